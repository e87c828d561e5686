//! Messages about files stay the same when the code behind them changes. `snapshot.tsv` has every message
//! about the files of these tests, and the codes for the values of `rows.tsv`; a difference is intended or a fault.
//! KALIVED_BLESS=1 writes it anew; then read the difference.

use super::common::bytes;
use super::rows;
use kalived::config::{Loaded, report};
use std::fmt::Write;
use std::path::Path;

/// Place, severity, code, whether a test fails, text and remedy of each message: the fields of `--format=json`.
fn messages(out: &mut String, name: &str, loaded: &Loaded) {
    let list = report::json(&loaded.diags, loaded.cut, &loaded.sources);
    for m in list.as_array().unwrap() {
        let word = |key: &str| m[key].as_str().unwrap_or("-").replace(['\n', '\t'], " ");
        let end = format!("{}:{}", m["end"]["line"], m["end"]["column"]);
        let related: Vec<String> = (m["related"].as_array().unwrap().iter())
            .map(|r| format!("{}:{} {}", r["line"], r["column"], r["message"].as_str().unwrap()))
            .collect();
        let fails = if m["fails"] == true { "fails" } else { "-" };
        let (severity, code, text, help) = (word("severity"), word("code"), word("message"), word("help"));
        let place = format!("{}:{}-{end}", m["line"], m["column"]);
        writeln!(out, "{name}\t{place}\t{severity}\t{code}\t{fails}\t{text}\t{help}\t{}", related.join("; ")).unwrap();
    }
}

#[test]
fn messages_are_what_they_were() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let mut got = String::from("file\tplace\tseverity\tcode\tfails\tmessage\thelp\trelated\n");
    for folder in ["corpus", "seed", "."] {
        let entries = std::fs::read_dir(dir.join(folder)).unwrap().map(|e| e.unwrap().path());
        let mut paths: Vec<_> = entries.filter(|p| p.extension().is_some_and(|e| e == "conf")).collect();
        paths.sort();
        for path in paths {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            messages(&mut got, &name, &bytes(&std::fs::read(&path).unwrap()));
        }
    }
    got.push_str(&rows::codes());
    let want = dir.join("snapshot.tsv");
    if std::env::var_os("KALIVED_BLESS").is_some() {
        std::fs::write(&want, &got).unwrap();
    }
    let want = std::fs::read_to_string(&want).unwrap_or_default();
    let (got, want): (Vec<&str>, Vec<&str>) = (got.lines().collect(), want.lines().collect());
    let other: Vec<String> = (got.iter().filter(|l| !want.contains(l)).map(|l| format!("+ {l}")))
        .chain(want.iter().filter(|l| !got.contains(l)).map(|l| format!("- {l}")))
        .collect();
    assert!(other.is_empty() && got.len() == want.len(), "KALIVED_BLESS=1 writes it anew\n{}", other.join("\n"));
}
