//! Every message any file here provokes has a name of its own.

use super::common::bytes;
use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn every_message_has_a_name() {
    let mut paths = Vec::new();
    for folder in ["seed", "corpus", "."] {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config").join(folder);
        paths.extend(std::fs::read_dir(dir).into_iter().flatten().map(|e| e.unwrap().path()));
    }
    paths.retain(|p| p.extension().is_some_and(|e| e == "conf"));
    assert!(paths.len() > 26);
    let mut nameless = BTreeSet::new();
    for path in &paths {
        let loaded = bytes(&std::fs::read(path).unwrap());
        nameless.extend(loaded.diags.iter().filter(|d| d.code() == "other").map(|d| d.message.clone()));
    }
    let list: Vec<String> = nameless.into_iter().collect();
    assert!(list.is_empty(), "give them a row in src/config/names.rs:\n{}", list.join("\n"));
}
