//! Replays what fuzzing has found (`tests/fuzz/corpus`), with the fuzz targets' own code.

#[path = "../fuzz/targets.rs"]
mod targets;

use std::path::Path;

fn inputs(target: &str) -> Vec<std::path::PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let mut paths: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 5, "{target}: {} inputs", paths.len());
    paths
}

fn replay(target: &str, run: fn(&[u8])) {
    for path in inputs(target) {
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
#[test]
fn vrrp() {
    replay("vrrp", targets::vrrp);
}
#[test]
fn bfd() {
    replay("bfd", targets::bfd);
}
#[test]
fn netlink() {
    replay("netlink", targets::netlink);
}
#[test]
fn checks() {
    replay("checks", targets::checks);
}
#[test]
fn ipvs() {
    replay("ipvs", targets::ipvs);
}
#[test]
fn http() {
    replay("http", targets::http);
}
#[test]
fn smtp() {
    replay("smtp", targets::smtp);
}
#[test]
fn tls() {
    replay("tls", targets::tls);
}

/// A target and its name.
type Target = (&'static str, fn(&[u8]));

/// The first steps of a fuzzer: inputs of the corpus truncated, with single bits flipped, and repeated.
#[test]
fn every_target_survives_small_damage() {
    let all: [Target; 12] = [
        ("source", targets::source),
        ("tree", targets::tree),
        ("lower", targets::lower),
        ("image", targets::image),
        ("helper", targets::helper),
        ("line", targets::line),
        ("vrrp", targets::vrrp),
        ("bfd", targets::bfd),
        ("netlink", targets::netlink),
        ("http", targets::http),
        ("smtp", targets::smtp),
        ("tls", targets::tls),
    ];
    for (target, run) in all {
        for path in inputs(target).into_iter().take(15) {
            let input = std::fs::read(&path).unwrap();
            // Odd steps, so that every kind of field is hit in some input.
            let step = (input.len() / 12).max(1) | 1;
            for at in (0..input.len()).step_by(step) {
                let mut damaged = input.clone();
                damaged[at] ^= 1 << (at % 8);
                for bytes in [&input[..at], &damaged, &[&input[..at], &input[..]].concat()] {
                    if std::panic::catch_unwind(|| run(bytes)).is_err() {
                        panic!("{target}: {} at {at}: {bytes:?}", path.display());
                    }
                }
            }
        }
    }
}
