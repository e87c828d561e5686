//! The pages in `docs/` and the code: everything that a comment refers to is on its page, and everything that a page names exists.
//!
//! Read first: `docs/architecture.md`. Rules have the form R-123 or LVS-123, traps "trap 21", invariants I-1, V-1, VMAC-1.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn page(name: &str) -> String {
    fs::read_to_string(root().join("docs").join(name)).unwrap_or_else(|e| panic!("docs/{name}: {e}"))
}

// The texts that are checked: sources, tests, manuals, scripts. Not this file, which names forms and not rules.
fn texts() -> Vec<(String, String)> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        let Ok(entries) = fs::read_dir(dir) else { return };
        for path in entries.flatten().map(|e| e.path()) {
            match path.is_dir() {
                // What cargo built, and real people's files.
                true if path.file_name().is_some_and(|n| n == "target" || n == "corpus") => {}
                true => walk(&path, found),
                false => found.push(path),
            }
        }
    }
    let mut found = Vec::new();
    for dir in ["src", "tests", "man", "scripts", "docs", "grammar"] {
        walk(&root().join(dir), &mut found);
    }
    found.push(root().join("README.md"));
    let mut all: Vec<(String, String)> = found
        .into_iter()
        .filter(|p| !p.ends_with("tests/docs.rs"))
        .filter_map(|p| {
            let name = p.strip_prefix(root()).ok()?.to_string_lossy().into_owned();
            Some((name, fs::read_to_string(p).ok()?))
        })
        .collect();
    all.sort();
    assert!(all.len() > 200, "the sources were not found");
    all
}

// Every `PREFIX` followed by digits that stands as a word of its own.
fn numbers<'a>(text: &'a str, prefix: &'a str) -> impl Iterator<Item = u32> + 'a {
    text.match_indices(prefix).filter_map(move |(at, _)| {
        let before = text[..at].chars().next_back();
        let rest = &text[at + prefix.len()..];
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let after = rest[digits..].chars().next();
        let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '-' || c == '_');
        (!part(before) && digits > 0 && !after.is_some_and(char::is_alphanumeric))
            .then(|| rest[..digits].parse().ok())?
    })
}

// Each text of this form is a row of the page; and the page has no row twice.
fn every_reference_is_a_row(page_name: &str, row: impl Fn(&str) -> Option<u32>, references: &[&str]) {
    let text = page(page_name);
    let rows: Vec<u32> = text.lines().filter_map(row).collect();
    let known: BTreeSet<u32> = rows.iter().copied().collect();
    assert_eq!(known.len(), rows.len(), "docs/{page_name} has a row twice");
    assert!(known.len() > 3, "docs/{page_name} has no rows");
    let mut missing = Vec::new();
    for (name, text) in texts() {
        for prefix in references {
            missing
                .extend(numbers(&text, prefix).filter(|n| !known.contains(n)).map(|n| format!("{name}: {prefix}{n}")));
        }
    }
    assert!(missing.is_empty(), "not in docs/{page_name}:\n{}", missing.join("\n"));
}

#[test]
fn every_rule_that_is_cited_stands_in_the_table_of_rules() {
    let row = |line: &str| line.strip_prefix("| R-")?.get(..3)?.parse().ok();
    every_reference_is_a_row("protocol.md", row, &["R-"]);
}

#[test]
fn every_rule_of_virtual_servers_that_is_cited_stands_in_the_table_of_them() {
    let row = |line: &str| line.strip_prefix("| LVS-")?.get(..3)?.parse().ok();
    every_reference_is_a_row("lvs-tests.md", row, &["LVS-"]);
}

#[test]
fn every_trap_that_is_cited_stands_in_the_list_of_traps() {
    let row = |line: &str| line.split_once(". ")?.0.parse().ok();
    every_reference_is_a_row("traps.md", row, &["trap ", "Trap ", "trap_"]);
}

#[test]
fn every_invariant_that_is_cited_stands_in_the_list_of_invariants() {
    for kind in ["I-", "L-", "H-", "F-", "V-", "T-", "FIB-", "VMAC-"] {
        let text = page("invariants.md");
        let known: BTreeSet<u32> = numbers(&text, kind).collect();
        for (name, text) in texts() {
            for n in numbers(&text, kind) {
                assert!(known.contains(&n), "{name}: {kind}{n} is not in docs/invariants.md");
            }
        }
    }
}

/// Documents that a reader of this repository does not have.
const ELSEWHERE: [&str; 5] = ["conformance.md", "behaviour.md", "user-demand", "DESIGN", "findings.md"];

#[test]
fn no_text_refers_to_a_document_that_is_not_here() {
    let found: Vec<String> = texts()
        .iter()
        .flat_map(|(name, text)| ELSEWHERE.iter().filter(|w| text.contains(**w)).map(move |w| format!("{name}: {w}")))
        .collect();
    assert!(found.is_empty(), "refers to what is not in the repository:\n{}", found.join("\n"));
}

#[test]
fn every_path_that_a_page_names_exists() {
    let mut missing = Vec::new();
    let mut seen = 0;
    for file in fs::read_dir(root().join("docs")).expect("docs").flatten() {
        let text = fs::read_to_string(file.path()).expect("a page is readable text");
        // `path` and [words](path)
        let quoted = text.split('`').skip(1).step_by(2);
        let linked = text.split("](").skip(1).filter_map(|s| s.split_once(')')).map(|(p, _)| p);
        let local =
            |p: &&str| ["src/", "tests/", "scripts/", "man/", "docs/", "grammar/"].iter().any(|d| p.starts_with(d));
        for p in quoted.filter(local) {
            // A pattern names its directory.
            let p = p.split_whitespace().next().unwrap_or(p);
            let p = if p.contains('*') { p.rsplit_once('/').map_or(p, |(d, _)| d) } else { p };
            seen += 1;
            if !root().join(p).exists() {
                missing.push(format!("{}: {p}", file.path().display()));
            }
        }
        for p in linked.filter(|p| !p.contains("://")) {
            let p = p.split('#').next().unwrap_or(p);
            seen += 1;
            if !root().join("docs").join(p).exists() {
                missing.push(format!("{}: {p}", file.path().display()));
            }
        }
    }
    assert!(seen > 20, "no page names a path");
    assert!(missing.is_empty(), "does not exist:\n{}", missing.join("\n"));
}

// The tests of a row: `file` test, `file` test |
fn every_test_is_there(rule: &str, tests: &str) {
    let mut named = 0;
    for entry in tests.trim_end_matches(" |").split(", ") {
        let (file, test) = entry.trim_start_matches('`').split_once('`').expect("`file` test");
        let code = fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{rule}: {file}: {e}"));
        let test = test.trim();
        assert!(test.is_empty() || code.contains(&format!("fn {test}(")), "{rule}: {file} has no test {test}");
        named += 1;
    }
    assert!(named > 0, "{rule} names no test");
}

#[test]
fn every_rule_of_virtual_servers_has_its_tests_or_the_reason_why_not() {
    let text = page("lvs-tests.md");
    let (tested, untested) = text.split_once("## Without a test").expect("two tables");
    fn rows(text: &str) -> impl Iterator<Item = [&str; 3]> {
        text.lines().filter(|l| l.starts_with("| LVS-")).map(|row| {
            let parts: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
            <[&str; 3]>::try_from(parts).unwrap_or_else(|_| panic!("three columns: {row}"))
        })
    }
    for [rule, what, tests] in rows(tested) {
        assert!(what.len() > 10, "{rule} says what is so");
        every_test_is_there(rule, tests);
    }
    for [rule, what, why] in rows(untested) {
        assert!(what.len() > 3 && why.len() > 10, "{rule} says why");
    }
    assert!(rows(tested).count() > 50, "the table was not found");
}

#[test]
fn every_rule_has_its_tests_or_the_reason_why_not() {
    let rules: Vec<String> = page("protocol.md")
        .lines()
        .filter_map(|l| Some(l.strip_prefix("| ")?.split_once(' ')?.0.to_owned()).filter(|r| r.starts_with("R-")))
        .collect();
    let text = page("protocol-tests.md");
    let (tested, untested) = text.split_once("## Without a test").expect("two tables");
    fn rows(t: &str) -> Vec<(&str, &str)> {
        t.lines().filter_map(|l| l.strip_prefix("| R-").map(|_| &l[2..])?.split_once(" | ")).collect()
    }
    let listed: Vec<&str> = rows(tested).iter().chain(&rows(untested)).map(|(r, _)| *r).collect();
    for r in &rules {
        assert_eq!(listed.iter().filter(|l| **l == r).count(), 1, "{r} stands in docs/protocol-tests.md exactly once");
    }
    assert_eq!(listed.len(), rules.len(), "docs/protocol-tests.md has a rule that is none");
    for n in 1..=145 {
        let rule = format!("R-{n:03}");
        assert_eq!(rules.iter().filter(|r| **r == rule).count(), 1, "{rule} stands in docs/protocol.md exactly once");
    }
    let mut list = String::new();
    for (rule, tests) in rows(tested) {
        list += &format!("{rule}: {}\n", tests.trim_end_matches(" |").replace('`', ""));
        every_test_is_there(rule, tests);
    }
    for (rule, why) in rows(untested) {
        list += &format!("{rule}: no test: {}\n", why.trim_end_matches(" |"));
        assert!(why.len() > 10, "{rule} says why");
    }
    // Not captured: who runs the tests sees the list.
    std::io::stderr().write_all(list.as_bytes()).expect("standard error takes it");
}

/// The unit reads further options where Debian and where Fedora keep those of a service.
#[test]
fn the_unit_reads_the_options_of_both_distributions() {
    let unit = std::fs::read_to_string(root().join("scripts/kalived.service")).expect("the unit");
    for file in ["/etc/default/kalived", "/etc/sysconfig/kalived"] {
        assert!(unit.lines().any(|l| l == format!("EnvironmentFile=-{file}")), "{file}");
    }
    let start = unit.lines().find(|l| l.starts_with("ExecStart=")).expect("a command");
    assert!(start.ends_with(" $KALIVED_OPTIONS"), "{start}");
}
