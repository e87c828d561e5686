//! Real files of users: kalived's verdict on each is that of keepalived 2.4.3, for the same reason.
//! `corpus/VERDICTS.tsv`: file, config id, keepalived's verdict and the kinds of mistakes that it reported. Seeds: `seed/`.
//!
//! Messages about the machine and not about the file (missing interfaces, users, script security, included files that were
//! not collected) are ignored on both sides. Intended differences are in [`DIFFERENT`], with the reason.

use super::common::One;
use kalived::config::diag::{Diag, Severity};
use kalived::config::{Loaded, Options, load_with};
use std::path::{Path, PathBuf};

/// Kinds of mistakes that are about the machine.
const MACHINE: &[&str] = &[
    "script-security-not-enabled",
    "no-keepalived_script-user",
    "track-file-missing",
    "script-missing-or-insecure",
    "nonexistent-interface",
    "missing-include",
];

/// Parts of kalived's message for each of keepalived's kinds of mistakes; one of them must be in it.
const KINDS: &[(&str, &[&str])] = &[
    (
        "value-out-of-range-or-not-a-number",
        &["out of range", "not a number", "not a weight", "no interface can have", "cannot be used here"],
    ),
    ("auth_pass-too-long", &["longer than 8 bytes"]),
    ("invalid-address", &["is not an IP address", "cannot be the address", "bad prefix length"]),
    ("unknown-enum-value", &["unknown word", "unknown auth_type", "cannot be used here"]),
    // The wrong address is reported, not its consequences.
    ("no-VIP", &["has no virtual_ipaddress", "is not an IP address"]),
    ("persistence_timeout-0", &["`persistence_timeout` is ignored"]),
    ("garp-interval-0", &["`vrrp_garp_interval` is ignored", "`vrrp_gna_interval` is ignored"]),
    ("extra-or-empty", &["more than one address", "is empty"]),
    ("undefined-track-reference", &["is no vrrp_", "is no track_"]),
    ("default-scheduler-or-method", &["virtual_server without a", "`lb_algo` is ignored", "`lb_kind` is ignored"]),
    ("track-own-interface", &["own interface"]),
    ("value-adjusted", &["is used", "are used", "is ignored"]),
    ("nopreempt-with-MASTER", &["`nopreempt` has no effect"]),
    ("unknown-state", &["unknown state"]),
    ("vrid-not-set", &["virtual_router_id"]),
    ("strict-or-version-conflict", &["strict mode", "version 3"]),
    ("missing-parameter", &["without a value"]),
    ("invalid-virtual-or-real-server", &["virtual_server", "real_server"]),
    ("duplicate-definition", &["a second", "stands twice"]),
    ("duplicate-or-missing-script", &["a second time", "has no script", "without `misc_path"]),
    ("missing-close-brace", &["missing `}`"]),
    ("extra-close-brace", &["`}` without a block"]),
    ("unexpected-brace", &["its block is ignored", "without a keyword", "takes no block", "missing `}`"]),
    ("sync-group-size", &["has no members", "one member only"]),
];

/// Files with an intended difference, and its reason.
const DIFFERENT: &[(&str, &str)] = &[
    ("006", "no interface has such a name, so that there is nothing to run this instance on: fatal, not a warning"),
    ("011", "keepalived looks the mail server up while it reads the file: that is about the machine"),
    ("019", "a quorum above the sum of the weights is told also where there is a sorry_server"),
    ("043", "an instance whose virtual_router_id is no number does not run: fatal, so that it is not lost in silence"),
    ("044", "keepalived only logs that vrrp_iptables is old; that an instance tracks its own interface is told here"),
    ("091", "auth_type AH is refused, so that what keepalived makes of it (no state MASTER) does not come up"),
    ("117", "a template: `router_id` without a value is fatal here as every missing value"),
    ("125", "keepalived takes the line that defines IPV for a keyword; here it defines, as its author meant"),
    ("149", "half a second in version 2 would go out as another interval than the one written: fatal"),
    ("186", "${NAME} is one word, also where it is not defined, not the start of a block"),
    ("210", "virtual_router_id with a full-width blank is no number: fatal"),
    ("219", "as 125"),
    ("269", "virtual_router_id with a variable that is not defined is no number: fatal"),
    (
        "275",
        "keepalived tells only of old words here; names that are not defined, and too large a quorum, are told, too",
    ),
    ("306", "virtual_router_id 0, and version 3 without addresses: fatal"),
    ("292", "names of realms and free rule preferences are looked up on the system, not in the file"),
    ("seed-000-template-full", "virtual_router_id num: fatal"),
    ("seed-000-template-vrrp", "virtual_router_id num: fatal"),
    ("seed-004-frag-instance", "an instance without interface and virtual_router_id: fatal"),
];

struct Row {
    name: String,
    oracle: String,
    /// What `@id` is compared with.
    id: &'static str,
    /// Kinds of mistakes without those of the machine.
    kinds: Vec<String>,
    path: PathBuf,
}

fn rows() -> Vec<Row> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let row = |line: &'static str| {
        let mut cells = line.split('\t');
        let (name, id, verdict) = (cells.next()?, cells.next()?, cells.next()?);
        let (word, kinds) = verdict.split_once(':').unwrap_or((verdict.split(' ').next()?, ""));
        // Without the user, or the file, keepalived drops the script and then misses its name.
        let dropped = ["no-keepalived_script-user", "track-file-missing"].iter().any(|k| kinds.contains(k));
        let of_machine = |k: &&str| {
            MACHINE.iter().any(|m| k.starts_with(m))
                    || (dropped && *k == "undefined-track-reference")
                    // An old form works, and leads to a note here.
                    || *k == "deprecated"
        };
        let kinds = kinds.split(';').map(str::trim).filter(|k| !k.is_empty() && !of_machine(k));
        let kinds: Vec<String> = kinds.map(str::to_owned).collect();
        let oracle = match word {
            "fail" if kinds.iter().any(|k| k == "missing-parameter") => "fail",
            "ok" => "ok",
            _ if kinds.is_empty() => "ok",
            _ => "warn",
        };
        let folder = if name.starts_with("seed-") { "seed" } else { "corpus" };
        let path = dir.join(folder).join(format!("{name}.conf"));
        Some(Row { name: name.to_owned(), oracle: oracle.to_owned(), id, kinds, path })
    };
    include_str!("corpus/VERDICTS.tsv").lines().skip(1).filter_map(row).collect()
}

/// Keywords without effect yet, and a file that is only a part of one: these are no verdict on the file.
fn not_done(d: &Diag) -> bool {
    matches!(d.code(), "no-effect-yet" | "nothing-to-run") || d.message.contains("is not supported yet")
}

fn verdict(loaded: &Loaded) -> &'static str {
    let mine = || loaded.diags.iter().filter(|d| d.fails_test && !not_done(d));
    match () {
        () if mine().any(|d| d.severity == Severity::Fatal) => "fail",
        () if mine().next().is_some() => "warn",
        () => "ok",
    }
}

fn blames(loaded: &Loaded, kind: &str) -> bool {
    let has = |piece: &str| loaded.diags.iter().any(|d| d.message.contains(piece));
    if let Some(words) = kind.strip_prefix("unknown-keyword(") {
        // Keywords in an unknown block are not reported again.
        return words
            .trim_end_matches(')')
            .split(',')
            .any(|w| [format!("unknown keyword `{w}`"), format!("`{w}` cannot stand")].iter().any(|m| has(m)));
    }
    let Some((_, pieces)) = KINDS.iter().find(|(k, _)| *k == kind) else { panic!("unknown kind {kind}") };
    pieces.iter().any(|p| has(p))
}

#[test]
fn the_verdict_is_keepalived_s() {
    let mut wrong = Vec::new();
    let (mut same, mut seen) = (0, Vec::new());
    for row in rows() {
        let options = Options { config_id: row.id, ..Options::default() };
        let loaded = load_with(&One(std::fs::read(&row.path).unwrap()), "k.conf", &options);
        let ours = verdict(&loaded);
        let unblamed: Vec<&String> = row.kinds.iter().filter(|k| !blames(&loaded, k)).collect();
        if ours == row.oracle && unblamed.is_empty() {
            same += 1;
            continue;
        }
        seen.push(row.name.clone());
        if !DIFFERENT.iter().any(|(name, _)| *name == row.name) {
            let text = loaded.render(false);
            wrong.push(format!(
                "=== {}: keepalived {}, ours {ours}; not blamed: {unblamed:?}\n{text}",
                row.name, row.oracle
            ));
        }
    }
    let stale: Vec<_> = DIFFERENT.iter().filter(|(n, _)| !seen.iter().any(|s| s == n)).collect();
    assert!(wrong.is_empty(), "{same} same, {} wrong\n{}", wrong.len(), wrong.join("\n"));
    assert!(stale.is_empty(), "no longer different: {stale:?}");
    assert_eq!(same + DIFFERENT.len(), 150);
}
