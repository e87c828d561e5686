//! The rules for the source code as tests: where `unsafe`, a clock or a file may be used, the direction of imports, the form of a file.
//!
//! Rules about code ignore comments and string literals. A rule that no longer fits is changed here, with its reason, and not
//! circumvented. Read first: the module documentation of `src/lib.rs`.

use std::fs;
use std::path::{Path, PathBuf};

/// A file longer than this holds more than one idea.
const MAX_LINES: usize = 700;

/// Layers, lowest first. A module imports its own layer and those below it.
const LAYERS: [&[&str]; 4] = [
    &["time", "id", "exit", "reload_time", "route", "rule", "net", "knob", "automaton"],
    &["timers", "event", "effect", "note", "words", "config", "wire", "octets", "envelope", "snapshot"],
    &[
        "child",
        "conn",
        "watch",
        "vrrp",
        "links",
        "lvs",
        "reconcile",
        "routes",
        "rules",
        "owned",
        "filter",
        "bfd",
        "vmac",
        "track",
        "notify",
        "report",
    ],
    // A recording begins with a world, and a world is recorded.
    &["world", "record"],
];

struct Source {
    /// From the repository's root, with `/`.
    path: String,
    text: String,
    /// Without comments and literals.
    code: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        // Files that cargo built there are not checked (the fuzz targets have a directory of their own).
        match path.is_dir() {
            true if path.file_name().is_some_and(|n| n == "target") => {}
            true => walk(&path, found),
            false => found.push(path),
        }
    }
}

/// Every file below these directories of the repository, sorted.
fn files(dirs: &[&str]) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for dir in dirs {
        walk(&root().join(dir), &mut found);
    }
    let mut named: Vec<_> = found
        .into_iter()
        .map(|p| (p.strip_prefix(root()).expect("below the root").to_string_lossy().replace('\\', "/"), p))
        .collect();
    named.sort();
    named
}

fn sources(dirs: &[&str]) -> Vec<Source> {
    let all: Vec<Source> = files(dirs)
        .into_iter()
        .filter(|(name, _)| name.ends_with(".rs"))
        .map(|(path, file)| {
            let text = fs::read_to_string(file).expect("a Rust file is readable text");
            Source { path, code: bare(&text), text }
        })
        .collect();
    assert!(all.len() > 10, "the sources were not found");
    all
}

/// Rust source without comments, string and character literals. Knows raw strings; that is all this crate needs.
fn bare(text: &str) -> String {
    let b: Vec<char> = text.chars().collect();
    let mut out = String::new();
    let mut i = 0;
    let at = |i: usize| b.get(i).copied().unwrap_or('\0');
    while i < b.len() {
        match (at(i), at(i + 1)) {
            ('/', '/') => {
                while i < b.len() && b[i] != '\n' {
                    i += 1;
                }
            }
            ('/', '*') => {
                i += 2;
                while i < b.len() && !(b[i] == '*' && at(i + 1) == '/') {
                    i += 1;
                }
                i += 2;
            }
            ('r', '"' | '#') if !out.ends_with(|c: char| c.is_alphanumeric() || c == '_') => {
                let hashes = b[i + 1..].iter().take_while(|c| **c == '#').count();
                if at(i + 1 + hashes) != '"' {
                    out.push('r');
                    i += 1;
                    continue;
                }
                i += 2 + hashes;
                while i < b.len()
                    && !(b[i] == '"' && b[i + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes)
                {
                    i += 1;
                }
                i += 1 + hashes;
            }
            ('"', _) => {
                i += 1;
                while i < b.len() && b[i] != '"' {
                    i += if b[i] == '\\' { 2 } else { 1 };
                }
                i += 1;
            }
            // A character literal, not a lifetime: closed after one character or an escape.
            ('\'', '\\') => {
                i += 3;
                while i < b.len() && b[i] != '\'' {
                    i += 1;
                }
                i += 1;
            }
            ('\'', _) if at(i + 2) == '\'' => i += 3,
            (c, _) => {
                out.push(c);
                i += 1;
            }
        }
    }
    out
}

/// Whether `code` has `word`, not as a part of a longer identifier.
fn says(code: &str, word: &str) -> bool {
    let ident = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(i, _)| {
        let before = code[..i].chars().next_back().is_some_and(ident);
        let after = code[i + word.len()..].chars().next().is_some_and(ident);
        // A word that begins or ends with punctuation cannot be part of a longer identifier there.
        !(before && word.starts_with(ident) || after && word.ends_with(ident))
    })
}

fn none(rule: &str, broken: Vec<String>) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

fn only_in(rule: &str, words: &[&str], allowed: &[&str]) {
    let broken = sources(&["src"])
        .iter()
        .filter(|s| !allowed.iter().any(|a| s.path.starts_with(a)))
        .flat_map(|s| {
            words.iter().filter(|w| says(&s.code, w)).map(|w| format!("{} says {w}", s.path)).collect::<Vec<_>>()
        })
        .collect();
    none(rule, broken);
}

#[test]
fn the_reader_of_rust_knows_code_from_text() {
    let text = "let a = \"unsafe \\\" libc::\"; // unsafe\nlet b = 'x'; let c: &'static str = r#\"dbg!(\"#; /* todo! */ r_unsafe(); '\\'';";
    let code = bare(text);
    assert!(
        !says(&code, "unsafe") && !says(&code, "libc::") && !says(&code, "dbg!") && !says(&code, "todo!"),
        "{code}"
    );
    assert!(says(&code, "let c") && says(&code, "'static") && says(&code, "r_unsafe"), "{code}");
    assert!(says("unsafe { libc::read(fd) }", "unsafe") && says("unsafe { libc::read(fd) }", "libc::"));
}

#[test]
fn only_sys_is_unsafe_and_knows_libc_and_io_uring() {
    only_in(
        "unsafe, libc and io_uring stay in src/sys",
        &["unsafe", "libc::", "io_uring::", "use libc", "use io_uring"],
        &["src/sys/"],
    );
}

#[test]
fn only_the_edge_touches_files_processes_threads_and_clocks() {
    let edge = [EDGE, &["src/config/files.rs"]].concat();
    only_in("files", &["std::fs", "fs::File", "use std::fs"], &edge);
    only_in("processes", &["std::process", "process::Command"], &edge);
    only_in("threads", &["std::thread", "thread::spawn"], &edge);
    only_in("the environment", &["std::env", "env::var"], &edge);
    only_in("a clock", &["Instant::now", "SystemTime::now"], &["src/sys/clock.rs"]);
}

/// The order of a hash map differs between runs, so the same events would not give the same effects.
#[test]
fn the_pure_side_has_no_hash_maps() {
    only_in("use BTreeMap, Arena or Vec", &["HashMap", "HashSet", "RandomState"], EDGE);
}

/// A recording holds a world without the names and the number of its fields (postcard): a field that is sometimes left out, or whose form
/// depends on its content, makes it unreadable. A report is JSON.
#[test]
fn what_a_recording_holds_has_all_its_fields() {
    let mut broken = Vec::new();
    for s in sources(&["src"]).iter().filter(|s| !["src/report/", "src/cli/"].iter().any(|a| s.path.starts_with(a))) {
        for attribute in s.code.split("#[serde(").skip(1).filter_map(|rest| rest.split(")]").next()) {
            let words = ["skip_serializing_if", "flatten", "untagged", "tag", "content"];
            broken.extend(words.iter().filter(|w| says(attribute, w)).map(|w| format!("{} says serde({w})", s.path)));
        }
    }
    none("no field is left out", broken);
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    let broken =
        sources(&["src", "tests"]).iter().filter(|s| !s.text.starts_with("//! ")).map(|s| s.path.clone()).collect();
    none("the first line is `//! …`", broken);
}

#[test]
fn one_idea_per_file() {
    let broken = sources(&["src", "tests"])
        .iter()
        .map(|s| (s.text.lines().count(), &s.path))
        .filter(|(n, _)| *n > MAX_LINES)
        .map(|(n, path)| format!("{path} has {n} lines"))
        .collect();
    none(&format!("at most {MAX_LINES} lines"), broken);
}

/// The names of a manifest's dependencies, and whether each is for tests only: lines of a section, or a section of its own.
fn dependencies(manifest: &str) -> Vec<(String, bool)> {
    let (mut inside, mut for_tests, mut found) = (false, false, Vec::new());
    for line in manifest.lines() {
        if let Some(section) = line.strip_prefix('[').and_then(|l| l.trim_end().strip_suffix(']')) {
            let kind = section.split_once("dependencies").map(|(kind, name)| (kind, name.strip_prefix('.')));
            inside = kind.is_some_and(|(_, name)| name.is_none());
            for_tests = kind.is_some_and(|(kind, _)| kind.ends_with("dev-"));
            found.extend(kind.and_then(|(_, name)| name).map(|name| (name.to_owned(), for_tests)));
        } else if inside && let Some((name, _)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
            found.push((name.trim().trim_end_matches(".workspace").to_owned(), for_tests));
        }
    }
    found
}

/// Whether code names this crate: `name::` with no path before it, in a file that does not import a module of that name.
fn imports_crate(code: &str, name: &str) -> bool {
    let ident = |c: char| c.is_alphanumeric() || c == '_';
    // `use crate::wire::{Bad, hmac, ipv4}` makes `hmac::` that module.
    let own = code.split("use crate::").skip(1).filter_map(|rest| rest.split(';').next());
    if own.into_iter().any(|list| says(list, name)) || says(code, &format!("mod {name}")) {
        return says(code, &format!("use ::{name}"));
    }
    code.match_indices(&format!("{name}::")).any(|(at, _)| {
        let before = &code[..at];
        // `::hmac::` is the crate, `wire::hmac::` is not.
        let before = before.strip_suffix("::").unwrap_or(before);
        before.chars().next_back().is_none_or(|c| !ident(c))
    })
}

#[test]
fn a_crate_is_told_from_a_module_of_its_name() {
    let manifest = "[package]\nname = \"x\"\n[dependencies]\nhmac = \"1\"\n[dependencies.crc]\nversion = \"3\"\n\
                    [target.'cfg(unix)'.dependencies]\nlibc = \"0\"\n[dev-dependencies.proptest]\nversion = \"1\"\n";
    let found = dependencies(manifest);
    let found: Vec<_> = found.iter().map(|(name, tests)| (name.as_str(), *tests)).collect();
    assert_eq!(found, [("hmac", false), ("crc", false), ("libc", false), ("proptest", true)]);
    for (code, is) in [
        ("use hmac::{Hmac, Mac};", true),
        ("let m = ::hmac::Hmac::new();", true),
        ("let m = hmac::Hmac::new();", true),
        ("use crate::wire::{Bad, hmac, ipv4}; hmac::parse(b)", false),
        ("wire::hmac::parse(b)", false),
        ("use crate::wire::hmac; use ::hmac::Mac;", true),
        ("myhmac::parse(b)", false),
    ] {
        assert_eq!(imports_crate(code, "hmac"), is, "{code}");
    }
}

/// A crate that nothing uses costs time to build and has to be trusted, without a benefit.
#[test]
fn every_dependency_is_used() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml");
    let all = sources(&["src", "tests"]);
    let used = |name: &str, dirs: &[&str]| {
        // The crate that is published as md-5 is called md5.
        let krate = if name == "md-5" { "md5".to_owned() } else { name.replace('-', "_") };
        all.iter().filter(|s| dirs.iter().any(|d| s.path.starts_with(d))).any(|s| imports_crate(&s.code, &krate))
    };
    let (mut unused, mut seen) = (Vec::new(), 0);
    for (name, for_tests) in dependencies(&manifest) {
        let dirs: &[&str] = if for_tests { &["tests/", "src/"] } else { &["src/"] };
        seen += 1;
        if !used(&name, dirs) {
            unused.push(name);
        }
    }
    assert!(seen > 10 && unused.is_empty(), "nothing uses {unused:?}");
}

#[test]
fn nothing_unfinished_is_left() {
    let words = ["todo!", "unimplemented!", "dbg!"];
    let broken = sources(&["src", "tests"])
        .iter()
        .flat_map(|s| {
            words.iter().filter(|w| says(&s.code, w)).map(|w| format!("{} says {w}", s.path)).collect::<Vec<_>>()
        })
        .collect();
    none("no place-holders", broken);
}

/// Modules named in `crate::x` and `crate::{x, y::z}`.
fn imports(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (i, _) in code.match_indices("crate::") {
        let rest = &code[i + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 1;
            let mut name = String::new();
            for c in list.chars() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 1 => names.push(std::mem::take(&mut name)),
                    _ if depth == 1 => name.push(c),
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
            }
            names.push(name);
        } else {
            names.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_' || *c == ':').collect());
        }
    }
    names.into_iter().map(|n| n.trim().to_owned()).filter(|n| !n.is_empty()).collect()
}

/// The files that may use system calls, files, processes, threads and clocks.
const EDGE: &[&str] = &[
    "src/sys/",
    "src/process/",
    "src/daemon/",
    "src/guard/",
    "src/helper/",
    "src/cli/",
    "src/main.rs",
    "src/start.rs",
    "src/cli.rs",
];

/// The code of one process each, and the entry of all of them; none imports another one.
const PROCESSES: [&str; 5] = ["start", "cli", "guard", "daemon", "helper"];

/// The directions are explained in the module documentation of `src/lib.rs`.
#[test]
fn imports_point_one_way() {
    let layer = |module: &str| LAYERS.iter().position(|l| l.contains(&module));
    let mut broken = Vec::new();
    let mut seen = 0;
    for s in sources(&["src"]) {
        let inside = s.path.trim_start_matches("src/");
        let module = inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs");
        for import in imports(&s.code) {
            seen += 1;
            let target = import.split("::").next().unwrap_or_default();
            let model_only = !import.starts_with("config::") || import.starts_with("config::model");
            let fine = match module {
                "main" | "lib" | "start" => true,
                "daemon" if target == "helper" => import.starts_with("helper::proto"),
                "cli" | "daemon" | "guard" | "helper" => module == target || !PROCESSES.contains(&target),
                "process" => !PROCESSES.contains(&target) && target != "world" && target != "record",
                "sys" => ["sys", "time", "id", "knob"].contains(&target),
                // Codecs know nothing of the machines.
                "wire" => ["wire", "net", "route", "rule", "time"].contains(&target),
                // Trackers report to virtual routers, and virtual routers to notifications: no cycle.
                "track" if ["vrrp", "notify"].contains(&target) => false,
                "vrrp" if target == "notify" => false,
                "notify" if target == "track" => false,
                _ if module == target => true,
                _ => match (layer(module), layer(target)) {
                    (Some(own), Some(theirs)) => theirs <= own && model_only,
                    _ => false,
                },
            };
            if !fine {
                broken.push(format!("{} imports crate::{import}", s.path));
            }
        }
    }
    assert!(seen > 20, "no imports were found");
    none("see the module documentation of src/lib.rs", broken);
}

#[test]
fn no_path_of_a_developers_machine_is_left() {
    // In pieces, so that this file does not contain them.
    let paths = [["/ho", "me/"], ["/ro", "ot/"], ["/wo", "rk/"], ["/Us", "ers/"], ["/tmp", "/w/"]].map(|p| p.concat());
    let mut broken = Vec::new();
    for (name, file) in files(&["src", "tests", "scripts", "man", "grammar", ".ci"]) {
        let Ok(text) = fs::read_to_string(file) else { continue };
        // Files of users are as their authors wrote them.
        if name.starts_with("tests/config/seed") || name.starts_with("tests/config/corpus") {
            continue;
        }
        for (n, line) in text.lines().enumerate() {
            broken.extend(paths.iter().filter(|p| line.contains(p.as_str())).map(|p| format!("{name}:{}: {p}", n + 1)));
        }
    }
    none("paths of somebody's machine", broken);
}
