//! Replays what fuzzing has found (`tests/fuzz/corpus`), with the fuzz targets' own code.

#[path = "../fuzz/targets.rs"]
mod targets;

use std::path::Path;

fn replay(target: &str, run: fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let mut paths: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 5, "{target}: {} inputs", paths.len());
    for path in paths {
        let input = std::fs::read(&path).unwrap();
        if std::panic::catch_unwind(|| run(&input)).is_err() {
            panic!("{}: see above", path.display());
        }
    }
}

#[test]
fn source() {
    replay("source", targets::source);
}
#[test]
fn tree() {
    replay("tree", targets::tree);
}
#[test]
fn lower() {
    replay("lower", targets::lower);
}
#[test]
fn image() {
    replay("image", targets::image);
}
#[test]
fn helper() {
    replay("helper", targets::helper);
}
#[test]
fn line() {
    replay("line", targets::line);
}
