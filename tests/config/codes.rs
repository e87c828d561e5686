//! Tools and `allow(...)` use the names of messages: none may disappear or change its meaning unnoticed. `codes.tsv` has every name with
//! its severities in the files of these tests. KALIVED_BLESS=1 writes it anew; then read the difference.

use super::common::bytes;
use kalived::config::{allow, kind};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

#[test]
fn every_code_with_its_severities() {
    let mut seen: BTreeMap<String, BTreeSet<&'static str>> = BTreeMap::new();
    let all = allow::all_names().into_iter().chain([kind::CUT]);
    seen.extend(all.map(|n| (n.to_owned(), BTreeSet::new())));
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    for folder in ["seed", "corpus", "."] {
        for entry in std::fs::read_dir(dir.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "conf") {
                for d in bytes(&std::fs::read(&path).unwrap()).diags {
                    seen.entry(d.code().to_owned()).or_default().insert(d.severity.word());
                }
            }
        }
    }
    let line = |(name, words): (&String, &BTreeSet<&str>)| {
        let words: Vec<&str> = words.iter().copied().collect();
        format!("{name}\t{}\n", if words.is_empty() { "-".to_owned() } else { words.join(", ") })
    };
    let got: String = seen.iter().map(line).collect();
    let want = dir.join("codes.tsv");
    if std::env::var_os("KALIVED_BLESS").is_some() {
        std::fs::write(&want, &got).unwrap();
    }
    assert_eq!(got, std::fs::read_to_string(&want).unwrap_or_default(), "KALIVED_BLESS=1 writes it anew");
}
