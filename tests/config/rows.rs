//! Every keyword of keepalived 2.4.3 and of kalived, one row each in `rows.tsv`: a good value is accepted and kept, the default is that
//! of the row, both bounds are accepted, a value beyond a bound is reported with the keyword, the value and the range.
//!
//! Columns: scope, keyword, good values, bad values, least, most, default. `;;` separates values, `\n` is a line end, an
//! empty value is the bare keyword, `!` is no value at all. The rows describe keepalived, and are not made from kalived's keyword
//! table.

use super::common::{short, text};
use kalived::config::Loaded;
use kalived::config::diag::Diag;
use kalived::config::diff::{What, diff};
use kalived::config::keyword::{Scope, Status, find};

/// Blocks that define the names in the rows; without a message.
const BEFORE: &str = "vrrp_script s {\nscript /bin/true\n}\nvrrp_check c {\nunix /s\n}\ntrack_file f {\nfile /f\n}
vrrp_track_process p {\nprocess x\n}\nbfd_instance b {\nneighbor_ip 10.0.0.9\n}
vrrp_instance V {\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {\n10.0.0.1/24\n}\n}
vrrp_instance W {\ninterface eth0\nvirtual_router_id 2\nvirtual_ipaddress {\n10.0.0.2/24\n}\n}
vrrp_instance X {\ninterface eth0\nvirtual_router_id 3\nvirtual_ipaddress {\nfd00::3/64\n}\n}
virtual_server_group g {\n10.0.0.7 80\n}
virtual_server fwmark 5 {\nlb_algo rr\nlb_kind NAT\nreal_server 10.8.9.9 {\n}\n}\n";

const INSTANCE: &[&str] = &["interface eth9", "virtual_router_id 9", "virtual_ipaddress {\n10.9.9.9/24\n}"];
const SERVER: &[&str] = &[
    "protocol TCP",
    "lb_algo wlc",
    "lb_kind NAT",
    "sorry_server 10.8.1.8 80",
    "real_server 10.8.1.1 80 {\nweight 5\n}",
];
const KEY: &str = "key 1 0123456789abcdef0123456789abcdef";

/// Keywords that have a meaning only after another line.
const NEEDS: &[(&str, &str)] = &[
    ("sh-port", "lb_algo sh"),
    ("sh-fallback", "lb_algo sh"),
    ("hashed", "lb_algo sh"),
    ("mh-port", "lb_algo mh"),
    ("mh-fallback", "lb_algo mh"),
    ("ops", "protocol UDP"),
    ("hysteresis", "quorum 3"),
    ("timer_expired_backup", "nopreempt"),
    ("thread_timer_expired", "nopreempt"),
    ("preempt", "nopreempt"),
    ("owner_ignore_adverts", "priority 255"),
    ("unicast_ttl", "unicast_peer {\n10.9.9.8\n}"),
    ("unicast_fault_no_peer", "unicast_peer {\n10.9.9.8\n}"),
    ("vrrp_strict", "vrrp_lower_prio_no_advert"),
    ("strict_mode", "lower_prio_no_advert"),
];

/// Accepted, but not in the model: kalived always behaves in this way, or the keyword has no other meaning.
const NOT_KEPT: &[&str] = &["dynamic_interfaces", "no_virtual_ipaddress"];

/// The lines of a block without a message, without those of the keyword under test.
fn around(scope: Scope, keyword: &str) -> (String, String) {
    let lines = |all: &[&str]| -> String {
        let other = all.iter().filter(|l| l.split([' ', '\n']).next() != Some(keyword));
        other.flat_map(|l| [l, "\n"]).collect()
    };
    let open = |head: &str, inner: &[&str], tail: &str| (format!("{head} {{\n{}", lines(inner)), tail.to_owned());
    let check = |name: &str, inner: &[&str]| {
        let server = ["protocol TCP", "lb_algo wlc", "lb_kind NAT"].join("\n");
        let head = format!("virtual_server 10.8.0.1 80 {{\n{server}\nreal_server 10.8.1.1 80 {{\n{name} {{\n");
        (head + &lines(inner), "}\n}\n}\n".to_owned())
    };
    match scope {
        Scope::Root => (String::new(), String::new()),
        Scope::GlobalDefs => open("global_defs", &[], "}\n"),
        Scope::TrackGroup => open("track_group t", &[], "}\n"),
        Scope::SyncGroup => open("vrrp_sync_group t", &["group {\nV\nX\n}"], "}\n"),
        Scope::GarpGroup => open("garp_group", &["garp_interval 0.2", "gna_interval 0.2"], "}\n"),
        Scope::Instance if keyword == "native_ipv6" => {
            open("vrrp_instance t", &["interface eth9", "virtual_router_id 9", "no_virtual_ipaddress"], "}\n")
        }
        Scope::Instance if keyword == "vrf" => {
            open("vrrp_instance t", &[INSTANCE, &["unicast_peer {\n10.9.9.8\n}"]].concat(), "}\n")
        }
        Scope::Instance => open("vrrp_instance t", INSTANCE, "}\n"),
        Scope::Authentication => {
            let (head, _) = open("vrrp_instance t", INSTANCE, "");
            (head + "authentication {\n" + &lines(&["auth_type PASS", "auth_pass other"]), "}\n}\n".into())
        }
        Scope::AuthHmac => {
            let (head, _) = open("vrrp_instance t", INSTANCE, "");
            let inner = format!("auth_hmac {{\n{KEY}\n{}", lines(&["active_key 1"]));
            (head + &inner, "}\n}\n".into())
        }
        Scope::VrrpScript => open("vrrp_script t", &["script /bin/other"], "}\n"),
        Scope::VrrpCheck if matches!(keyword, "tcp" | "http" | "unix" | "process") => open("vrrp_check t", &[], "}\n"),
        Scope::VrrpCheck => open("vrrp_check t", &["tcp 10.0.0.6:80"], "}\n"),
        Scope::TrackProcess => open("vrrp_track_process t", &["process other"], "}\n"),
        Scope::TrackFile => open("track_file t", &["file /other"], "}\n"),
        Scope::Ssl => open("SSL", &[], "}\n"),
        Scope::BfdInstance if keyword == "neighbour_ip" => open("bfd_instance t", &[], "}\n"),
        Scope::BfdInstance => open("bfd_instance t", &["neighbor_ip 10.0.0.7"], "}\n"),
        Scope::VirtualServer => open("virtual_server 10.8.0.1 80", SERVER, "}\n"),
        Scope::RealServer => {
            let server = "virtual_server 10.8.0.1 80 {\nprotocol TCP\nlb_algo wlc\nlb_kind NAT\n";
            let server = format!("{server}real_server 10.8.1.2 80 {{\n}}\n");
            (format!("{server}real_server 10.8.1.1 80 {{\n"), "}\n}\n".into())
        }
        Scope::NetCheck | Scope::AnyCheck => check("TCP_CHECK", &[]),
        Scope::HttpCheck => check("SSL_GET", &["url {\npath /other\n}"]),
        Scope::Url => {
            let (head, tail) = check("HTTP_GET", &["url {"]);
            (head + &lines(&["path /other"]), format!("}}\n{tail}"))
        }
        Scope::SmtpCheck => check("SMTP_CHECK", &[]),
        Scope::DnsCheck => check("DNS_CHECK", &[]),
        Scope::MiscCheck => check("MISC_CHECK", &["misc_path /bin/other"]),
        Scope::UdpCheck => check("UDP_CHECK", &[]),
        Scope::FileCheck => check("FILE_CHECK", &["track_file f"]),
        Scope::BfdCheck => check("BFD_CHECK", &["name b"]),
        Scope::AddressLine => {
            let (head, _) = open("vrrp_instance t", &INSTANCE[..2], "");
            let line = match keyword {
                "<address>" => "",
                "use_vmac" => "10.9.9.9/24 dev eth1 ",
                "preferred_lft" | "home" | "mngtmpaddr" => "fd00::9/64 ",
                _ => "10.9.9.9/24 ",
            };
            (format!("{head}virtual_ipaddress {{\n{line}"), "\n}\n}\n".into())
        }
        Scope::PeerLine => {
            let (head, _) = open("vrrp_instance t", INSTANCE, "");
            (head + "unicast_peer {\n10.9.9.8 ", "\n}\n}\n".into())
        }
        Scope::TrackLine => {
            let (head, _) = open("vrrp_instance t", INSTANCE, "");
            (head + "track_script {\ns ", "\n}\n}\n".into())
        }
        // The type of a route is before its destination.
        Scope::RouteLine if find(Scope::RouteLine, keyword).is_some_and(|k| k.args.is_empty()) => {
            let after =
                if matches!(keyword, "append" | "prepend" | "add" | "onlink" | "no_track") { "dev eth0" } else { "" };
            let to = if keyword == "inet6" { "fd06::/24" } else { "10.6.0.0/24" };
            ("static_routes {\n".into(), format!(" {to} {after}\n}}\n"))
        }
        Scope::RouteLine if keyword == "to" => ("static_routes {\n".into(), " via 10.0.0.5\n}\n".into()),
        Scope::RouteLine => ("static_routes {\n10.6.0.0/24 ".into(), "\n}\n".into()),
        Scope::RuleLine => ("static_rules {\niif eth0 table 5 preference 9 ".into(), "\n}\n".into()),
        Scope::ServerGroupLine => ("virtual_server_group t {\n10.0.0.8 80\n".into(), "\n}\n".into()),
        other => panic!("{other:?}"),
    }
}

/// A file with this line in its place; without a line when `None`.
fn with(scope: Scope, keyword: &str, value: Option<&str>) -> Loaded {
    let (head, tail) = around(scope, keyword);
    let needs = NEEDS.iter().find(|(k, _)| *k == keyword).map_or(String::new(), |(_, l)| format!("{l}\n"));
    let line = match value {
        None if matches!(keyword, "<address>" | "to") => "10.9.9.9/24".to_owned(),
        None => String::new(),
        Some(v) if keyword == "<address>" => v.to_owned(),
        Some(v) => format!("{keyword} {v}"),
    };
    let end = if scope.in_line() { "" } else { "\n" };
    // Without a line its line end stays, so that nothing after it has another place.
    text(&format!("{BEFORE}{head}{needs}{}{end}{tail}", line.replace("\\n", "\n")))
}

/// No verdict on the line.
fn not_done(d: &Diag) -> bool {
    d.code() == "no-effect-yet"
}

fn faults(loaded: &Loaded) -> Vec<&Diag> {
    loaded.diags.iter().filter(|d| d.fails_test && !not_done(d)).collect()
}

struct Row<'a> {
    scope: Scope,
    keyword: &'a str,
    good: Vec<&'a str>,
    bad: Vec<&'a str>,
    least: &'a str,
    most: &'a str,
    default: &'a str,
}

fn rows() -> Vec<Row<'static>> {
    let row = |line: &'static str| {
        let cells: Vec<&'static str> = line.split('\t').collect();
        let [scope, keyword, good, bad, least, most, default] = cells[..] else { panic!("{line}") };
        let scope = *Scope::ALL.iter().find(|s| format!("{s:?}") == scope).expect("a scope of the table");
        let list = |c: &'static str, none| if c == none { Vec::new() } else { c.split(";;").collect() };
        Row { scope, keyword, good: list(good, "!"), bad: list(bad, ""), least, most, default }
    };
    include_str!("rows.tsv").lines().skip(1).map(row).collect()
}

/// Runs a check on every row and reports all that fail.
fn each(mut check: impl FnMut(&Row<'_>) -> Result<usize, String>) -> usize {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for row in rows() {
        match check(&row) {
            Ok(n) => count += n,
            Err(why) => wrong.push(format!("{:?} {}: {why}", row.scope, row.keyword)),
        }
    }
    assert!(wrong.is_empty(), "{} rows\n{}", wrong.len(), wrong.join("\n"));
    count
}

/// Old names and large values are reported, and used.
fn refused(d: &&Diag) -> bool {
    !d.message.contains("old name") && !d.message.contains("very large")
}

#[test]
fn there_is_a_row_for_every_keyword() {
    let rows = rows();
    assert_eq!(rows.len(), 555);
    for scope in Scope::ALL.iter().filter(|s| **s != Scope::Lexer) {
        for k in scope.rows() {
            assert_eq!(
                rows.iter().filter(|r| r.scope == *scope && r.keyword == k.name).count(),
                1,
                "{scope:?} {}",
                k.name
            );
        }
    }
}

#[test]
fn good_values_and_bounds_are_accepted_and_kept() {
    let count = each(|row| {
        let base = with(row.scope, row.keyword, None);
        let mut changed = row.good.is_empty();
        let bounds = [row.least, row.most].into_iter().filter(|b| !b.is_empty());
        for value in row.good.iter().copied().chain(bounds.clone()) {
            let loaded = with(row.scope, row.keyword, Some(value));
            let bad: Vec<_> = faults(&loaded).into_iter().filter(refused).map(|d| &d.message).collect();
            if !bad.is_empty() {
                return Err(format!("`{value}`: {bad:?}"));
            }
            changed |= loaded.config != base.config;
        }
        if !changed && !NOT_KEPT.contains(&row.keyword) {
            return Err("no value changes the model".to_owned());
        }
        Ok(row.good.len() + bounds.count())
    });
    assert!(count > 900, "{count}");
}

#[test]
fn writing_the_default_changes_nothing() {
    let count = each(|row| {
        if row.default.is_empty() {
            return Ok(0);
        }
        let (base, written) = (with(row.scope, row.keyword, None), with(row.scope, row.keyword, Some(row.default)));
        // Their absence is reported as a mistake, and the same default is used.
        if base.config != written.config {
            return Err(format!("`{}` is not the default", row.default));
        }
        Ok(1)
    });
    assert!(count > 100, "{count}");
}

#[test]
fn bad_values_are_told_with_keyword_value_and_range() {
    let past = |bound: &str, step: i128| bound.parse::<i128>().map_or("0".to_owned(), |n| (n + step).to_string());
    let count = each(|row| {
        let mut bad: Vec<(String, bool)> = row.bad.iter().map(|b| ((*b).to_owned(), false)).collect();
        bad.extend([(row.least, -1), (row.most, 1)].iter().filter(|b| !b.0.is_empty()).map(|b| (past(b.0, b.1), true)));
        for (value, bound) in &bad {
            let (base, loaded) = (with(row.scope, row.keyword, None), with(row.scope, row.keyword, Some(value)));
            let before: Vec<&String> = faults(&base).iter().map(|d| &d.message).collect();
            let new: Vec<&Diag> = faults(&loaded).into_iter().filter(|d| !before.contains(&&d.message)).collect();
            if !new.iter().any(refused) {
                return Err(format!("`{value}` is taken: {:?}", short(&loaded)));
            }
            let says = |d: &&Diag| {
                let help = d.help.as_deref().unwrap_or("");
                d.message.contains(value.as_str())
                    && d.message.contains(&format!("`{}`", row.keyword))
                    && help.contains("allowed: ")
                    && [row.least, row.most].iter().all(|b| help.contains(b))
            };
            if *bound && !new.iter().any(says) {
                return Err(format!("`{value}`: {new:?}"));
            }
        }
        Ok(bad.len())
    });
    assert!(count > 500, "{count}");
}

#[test]
fn the_list_names_every_keyword_with_its_status() {
    let list = kalived::config::keyword::list();
    let lines: Vec<&str> = list.lines().skip(1).collect();
    assert_eq!(lines.len(), 574);
    assert!(lines.iter().all(|l| l.split('\t').count() == 7 && l.split('\t').all(|c| !c.is_empty())));
    assert!(
        lines
            .contains(&"vrrp_instance\tpriority\t<1..255>\t100; 255 if state MASTER\t1..255; outside: 100\tyes\tworks")
    );
    let own: Vec<&&str> = lines.iter().filter(|l| l.ends_with("works, kalived only")).collect();
    assert_eq!(own.len(), 25, "{own:?}");
    let known = include_str!("known-keywords.txt");
    let is = |scope: Scope, name: &str| known.lines().any(|l| l == format!("{scope:?} {name}"));
    for &scope in Scope::ALL {
        for k in scope.rows() {
            assert_ne!(is(scope, k.name), kalived::config::keyword::is_own(scope, k.name), "{scope:?} {}", k.name);
        }
    }
    let find = |scope: Scope, name: &str| find(scope, name).unwrap().status;
    assert_eq!(find(Scope::Instance, "auth_hmac"), Status::Supported);
}

/// The code that runs: everything but the configuration itself, without comments and tests.
fn code_outside() -> String {
    fn walk(dir: &std::path::Path, out: &mut String) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("src/config") {
                walk(&path, out);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap().lines();
                code.filter(|l| !l.trim_start().starts_with("//")).for_each(|l| *out += &format!("{l}\n"));
            }
        }
    }
    let mut out = String::new();
    walk(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut out);
    out
}

/// Settings that change how the rest is read or prepared, and the file of src/config that does it.
const DONE_IN_READING: &[(&str, &str)] = &[
    ("use_symlink_paths", "scripts.rs"),
    ("script_user", "scripts.rs"),
    ("include_check", "input/include.rs"),
    ("vrrp_check_unicast_src", "lower/finish.rs"),
    ("unicast_fault_no_peer", "lower/unicast.rs"),
    ("mcast_src", "model/mod.rs"),
    ("tracking_weight", "model/sync.rs"),
    ("v6", "lower/route_numbers.rs"),
    ("unicast_src_ip", "model/mod.rs"),
    ("process_names", "model/global.rs"),
    ("vrrp_process_name", "model/global.rs"),
    ("iproute_usr_dir", "load.rs"),
    ("iproute_etc_dir", "load.rs"),
    ("vmac_prefix", "lower/finish.rs"),
    ("vmac_addr_prefix", "lower/finish.rs"),
    ("use_vmac_addr", "lower/finish.rs"),
    ("vrrp_garp_extra_if", "lower/finish.rs"),
    ("vmac_xmit_base", "model/mod.rs"),
    ("home", "model/mod.rs"),
    ("mngtmpaddr", "model/mod.rs"),
    ("track_group", "lower/follow.rs"),
];

/// The keyword table has which keywords have an effect; the test checks that code reads each of those settings.
#[test]
fn what_claims_an_effect_is_read_outside_the_configuration() {
    let code = code_outside();
    let words: std::collections::BTreeSet<&str> =
        code.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).collect();
    let count = each(|row| {
        let works = find(row.scope, row.keyword).is_some_and(|k| k.status == Status::Supported);
        if !works || NOT_KEPT.contains(&row.keyword) {
            return Ok(0);
        }
        let base = with(row.scope, row.keyword, None).config;
        let mut fields = Vec::new();
        for value in row.good.iter().chain([&row.least, &row.most]) {
            let plan = diff(&base, &with(row.scope, row.keyword, Some(value)).config);
            for entry in plan.entries {
                match entry.what {
                    What::Kept => {}
                    What::Altered(changes) => fields.extend(changes.into_iter().map(|c| c.model)),
                    // A block that is read counts as a whole.
                    What::Added | What::Removed => return Ok(1),
                }
            }
        }
        let inside = |w: &str| {
            let file = DONE_IN_READING.iter().find(|(field, _)| *field == w);
            file.is_some_and(|(_, file)| {
                let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config").join(file);
                std::fs::read_to_string(path).unwrap().contains(w)
            })
        };
        let read = |f: &String| words.contains(f.as_str()) || inside(f);
        match fields.iter().any(read) {
            true => Ok(1),
            false => Err(format!("nobody reads any of {fields:?}")),
        }
    });
    assert!(count > 100, "{count}");
}

/// For `snapshot.rs`: the codes for each value of each row.
pub fn codes() -> String {
    let mut out = String::new();
    for row in rows() {
        for value in row.good.iter().chain(&row.bad).chain([&row.least, &row.most, &""]) {
            let loaded = with(row.scope, row.keyword, Some(value));
            let codes: Vec<String> =
                loaded.diags.iter().map(|d| format!("{} {}", d.severity.word(), d.code())).collect();
            if !codes.is_empty() {
                out += &format!("{:?} {}\t{value}\t{}\n", row.scope, row.keyword, codes.join(", "));
            }
        }
    }
    out
}
