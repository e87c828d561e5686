//! Configurations of tutorials, with typing errors that are copied from them: each loads, each error is reported.
//! `seed/*.txt` has the messages; run with KALIVED_BLESS=1 to write them anew, then read the difference.

use super::common::bytes;
use std::path::Path;

#[test]
fn every_seed_loads_with_its_messages() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/seed");
    let mut names: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().path()).collect();
    names.retain(|p| p.extension().is_some_and(|e| e == "conf"));
    names.sort();
    assert_eq!(names.len(), 26);
    let mut wrong = Vec::new();
    for path in names {
        let loaded = bytes(&std::fs::read(&path).unwrap());
        let got = format!(
            "{}instances: {}, start: {:?}, test: {:?}\n",
            loaded.render(false),
            loaded.config.instances.len(),
            loaded.fatal(),
            loaded.config_test_exit()
        );
        let want = path.with_extension("txt");
        if std::env::var_os("KALIVED_BLESS").is_some() {
            std::fs::write(&want, &got).unwrap();
        } else if std::fs::read_to_string(&want).unwrap_or_default() != got {
            wrong.push(format!("{}:\n{got}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}\nKALIVED_BLESS=1 writes the messages anew", wrong.join("\n"));
}
