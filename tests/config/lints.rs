//! Lints: each is found, each can be silenced, and none fails a test that keepalived passes.

use super::common::text;
use kalived::config::check::{Host, Look};
use kalived::config::lint::{HostAddr, LINTS};
use kalived::config::{Loaded, allow, report};
use kalived::exit::ExitCode;

fn host() -> Host {
    let addr = |interface: &str, addr: &str, prefix| HostAddr {
        interface: interface.into(),
        addr: addr.parse().unwrap(),
        prefix,
    };
    Host {
        interfaces: vec!["eth0".into(), "eth1".into()],
        addrs: vec![addr("eth0", "10.0.0.5", 24), addr("eth0", "fe80::5", 64), addr("eth1", "10.1.0.5", 16)],
        exists: |path| path == "/bin/there",
        sysctl: |name| match name {
            "net.ipv4.vs.run_estimation" => Some(1),
            "net.ipv4.vs.est_nice" => None,
            _ => Some(0),
        },
    }
}

fn look(file: &str, strict: bool, names: &[&str]) -> Loaded {
    let mut loaded = text(file);
    let names: Vec<String> = names.iter().map(|s| (*s).to_owned()).collect();
    loaded.look(Look { host: Some(&host()), lints: true, strict_lints: strict, allow: &names, ..Look::default() });
    loaded
}

/// An instance on eth0 with these lines and one address.
fn instance(lines: &str) -> String {
    format!(
        "vrrp_instance a {{\n interface eth0\n virtual_router_id 1\n {lines}\n virtual_ipaddress {{\n  10.0.0.1/24\n }}\n}}\n"
    )
}

/// A file for each lint that the file alone shows, and its place.
fn samples() -> Vec<(&'static str, String, &'static str)> {
    let second =
        "vrrp_instance b {\n interface eth0\n virtual_router_id 2\n virtual_ipaddress {\n  10.0.0.1/24\n }\n}\n";
    let script = "vrrp_script s {\n script /bin/there\n}\n";
    let server = |lines: &str, real: &str| {
        let check = "TCP_CHECK {\n }";
        format!(
            "virtual_server 10.0.0.1 80 {{\n lb_algo rr\n protocol TCP\n {lines}\n real_server {real} 80 {{\n {check}\n }}\n}}\n"
        )
    };
    vec![
        ("address-in-two-instances", instance("") + second, "13:3"),
        ("auth-pass-too-long", instance("authentication {\nauth_type PASS\nauth_pass 123456789\n}"), "6:11"),
        ("ipv6-first-not-link-local", instance("").replace("10.0.0.1/24", "2001:db8::1/64\n  fe80::1/64"), "6:3"),
        ("ipvs-arp", server("lb_kind DR", "10.1.0.5"), "1:1"),
        ("ipvs-conn-reuse", server("lb_kind NAT", "10.0.0.9"), "1:1"),
        (
            "ipvs-estimation",
            server("lb_kind NAT", "10.0.0.9").replace(
                "\n real_server",
                &(0..2_000)
                    .map(|n| format!("\n real_server 10.9.{}.{} 80 {{\n }}", n / 250, n % 250 + 1))
                    .chain(["\n real_server".to_owned()])
                    .collect::<String>(),
            ),
            "1:1",
        ),
        // This is trap 90 of docs/traps.md.
        ("ipvs-loop", instance("") + &server("lb_kind DR", "10.1.0.5"), "9:1"),
        (
            "ipvs-persistent-quiescent",
            server("lb_kind NAT\npersistence_timeout 60\ninhibit_on_failure", "10.0.0.9"),
            "1:1",
        ),
        ("ipvs-removed-servers", server("lb_kind NAT", "10.0.0.9"), "1:1"),
        ("nopreempt-with-master", instance("state MASTER\npriority 200\nnopreempt"), "6:1"),
        ("peer-is-ourselves", instance("unicast_src_ip 10.0.0.5\nunicast_peer {\n 10.0.0.5\n}"), "1:1"),
        ("prefix-differs", instance("").replace("/24", "/16"), "6:3"),
        ("quoted-program", instance("notify \u{201C}/bin/x y\u{201D}"), "4:9"),
        ("script-missing", instance("notify /bin/not-there"), "4:9"),
        (
            "server-group-family",
            "virtual_server_group g {\n 2001:db8::1 80\n}\n".to_owned()
                + &server("lb_kind NAT", "10.0.0.9").replace("10.0.0.1 80", "group g"),
            "4:1",
        ),
        ("strict-hides-addresses", instance("") + "global_defs {\n vrrp_strict\n}\n", "10:2"),
        (
            "suspended-by-own-address",
            instance("track_virtual_server {\n [10.0.0.1]:tcp:80\n}") + &server("lb_kind NAT\nha_suspend", "10.0.0.9"),
            "1:1",
        ),
        (
            "sync-group-weight",
            instance("track_script {\n s weight 5\n}")
                + script
                + "vrrp_instance b {\n interface eth1\n virtual_router_id 2\n virtual_ipaddress {\n  10.1.0.1/16\n }\n}\n"
                + "vrrp_sync_group g {\n group {\n  a\n  b\n }\n}\n",
            "1:1",
        ),
        ("unused-check", instance("") + "vrrp_check c {\n tcp 10.0.0.9:80\n}\n", "9:1"),
        ("unused-script", instance("") + script, "9:1"),
        ("vip-is-own-address", instance("").replace("10.0.0.1/24", "10.0.0.5/24"), "6:3"),
        ("weight-without-effect", instance("priority 254\ntrack_interface {\n eth1 weight 5\n}"), "6:2"),
    ]
}

#[test]
fn each_is_found_named_and_silenced() {
    for (name, file, place) in samples() {
        let loaded = look(&file, false, &[]);
        let found: Vec<_> = loaded.diags.iter().filter(|d| d.code() == name).collect();
        assert_eq!(found.len(), 1, "{name}\n{}", loaded.render(false));
        assert_eq!(format!("{}:{}", found[0].place.line, found[0].place.column), place, "{name}");
        assert!(found[0].help.is_some(), "{name}");
        assert!(loaded.render(false).contains(&format!(" [{name}]\n")), "{name}");
        // --allow, a comment above everything, on the line, above the line.
        let line = found[0].place.line as usize;
        let comment = format!("# kalived: allow({name})");
        let edit = |f: &dyn Fn(usize, &str) -> String| -> String {
            file.lines().enumerate().map(|(i, l)| f(i + 1, l) + "\n").collect()
        };
        let shapes = [
            format!("{comment}\n\n{file}"),
            edit(&|i, l| if i == line { format!("{l} {comment}") } else { l.to_owned() }),
            edit(&|i, l| if i == line { format!(" {comment}\n\n{l}") } else { l.to_owned() }),
        ];
        for shape in &shapes {
            let left = look(shape, false, &[]);
            assert!(left.diags.iter().all(|d| d.code() != name), "{name}\n{shape}\n{}", left.render(false));
        }
        assert!(look(&file, false, &[name]).diags.iter().all(|d| d.code() != name), "{name}");
    }
    let tested: Vec<&str> = samples().iter().map(|s| s.0).collect();
    // The last one needs the text of a script: see scripts.rs.
    let found_while_reading = ["duplicate-vrid", "mixed-families", "v2-fraction", "stops-keepalived"];
    for lint in LINTS {
        assert!(tested.contains(&lint.name) || found_while_reading.contains(&lint.name), "{} has no sample", lint.name);
    }
}

#[test]
fn a_lint_fails_a_test_only_when_asked_to() {
    let file = instance("priority 254\ntrack_interface {\n eth1 weight 5\n}");
    assert_eq!(look(&file, false, &[]).config_test_exit(), ExitCode::Ok);
    assert_eq!(look(&file, true, &[]).config_test_exit(), ExitCode::ConfigTest);
    assert_eq!(look(&file, true, &["weight-without-effect"]).config_test_exit(), ExitCode::Ok);
    // With --offline there is no message about this machine.
    let mut offline = text(&instance("notify /bin/not-there\n interface eth7").replace("/24", "/16"));
    offline.look(Look { lints: true, ..Look::default() });
    assert!(
        offline.diags.iter().all(|d| !["prefix-differs", "script-missing", "interface-missing"].contains(&d.code()))
    );
}

#[test]
fn an_ordinary_file_has_none() {
    let plain = instance(
        "unicast_src_ip 10.0.0.5\nunicast_peer {\n 10.0.0.6\n}\ntrack_script {\n s weight -20\n}\nnotify \"/bin/there x\"",
    ) + "vrrp_script s {\n script /bin/there\n}\n";
    for shape in [plain.clone(), plain.replace("10.0.0.1/24", "10.0.0.1"), plain.replace("10.0.0.1/24", "10.9.0.1/16")]
    {
        let loaded = look(&shape, false, &[]);
        let lints: Vec<&str> =
            loaded.diags.iter().map(|d| d.code()).filter(|c| LINTS.iter().any(|l| l.name == *c)).collect();
        assert!(lints.is_empty(), "{lints:?}");
    }
}

#[test]
fn errors_are_not_silenced() {
    let file = instance("advert_int 0.5").replace(
        "10.0.0.1/24",
        "10.0.0.1/24 # kalived: allow(unknown-word)\n  10.0.0.2 nonsense # kalived: allow(unknown-word)",
    );
    let loaded = look(&file, false, &["v2-fraction", "unknown-word"]);
    let codes: Vec<&str> = loaded.diags.iter().map(|d| d.code()).collect();
    assert!(codes.contains(&"v2-fraction") && codes.contains(&"unknown-word"), "{codes:?}");
}

#[test]
fn a_name_nobody_knows_is_told() {
    let loaded =
        look(&format!("{}# kalived: allow(prefix-difers, )\n# kalived: allowed(x)\n", instance("")), false, &[]);
    assert_eq!(
        loaded.render(false),
        "k.conf:9:18: warning: there is no message with the name `prefix-difers` [unknown-name]\n     9 | # kalived: allow(prefix-difers, )\n       |                  ^^^^^^^^^^^^^\n  help: did you mean `prefix-differs`?\n"
    );
    assert_eq!(allow::nearest("nopreempt-with-mastr"), Some("nopreempt-with-master"));
    assert_eq!(allow::nearest(&"x".repeat(10_000)), None);
}

#[test]
fn json_for_tools() {
    let file = "vrrp_instance 主 {\n prioirty 5\n interface eth0\n virtual_router_id 1\n}\nvrrp_instance b {\n interface eth0\n virtual_router_id 1\n no_virtual_ipaddress\n}\n";
    let loaded = look(file, false, &["missing-address"]);
    let json = report::json(&loaded.diags, loaded.cut, &loaded.sources);
    assert_eq!(
        json,
        serde_json::json!([
            {
                "file": "k.conf", "line": 2, "column": 2, "end": {"line": 2, "column": 10}, "severity": "error",
                "code": "unknown-keyword", "message": "unknown keyword `prioirty` in vrrp_instance",
                "help": "did you mean `priority`? Without it: 100; 255 if state MASTER", "fails": true, "related": []
            },
            {
                "file": "k.conf", "line": 8, "column": 20, "end": {"line": 8, "column": 21}, "severity": "fatal",
                "code": "duplicate-vrid", "message": "virtual_router_id 1 is used twice on eth0 for IPv4",
                "help": "give one of them another virtual_router_id, on all its routers", "fails": true,
                "related": [{
                    "file": "k.conf", "line": 4, "column": 20, "end": {"line": 4, "column": 21}, "message": "first used here"
                }]
            }
        ])
    );
}

#[test]
fn a_suspended_virtual_server_is_a_trap_only_at_the_own_address_and_without_a_weight() {
    let file = |track: &str, lines: &str, addr: &str| {
        instance(&format!("track_virtual_server {{\n {track}\n}}"))
            + &format!(
                "virtual_server {addr} 80 {{\n lb_algo rr\n lb_kind NAT\n protocol TCP\n {lines}\n real_server 10.0.0.9 80 {{\n \
                 TCP_CHECK {{\n }}\n }}\n}}\n"
            )
    };
    let found = |text: &str| look(text, false, &[]).diags.iter().any(|d| d.code() == "suspended-by-own-address");
    assert!(found(&file("[10.0.0.1]:tcp:80", "ha_suspend", "10.0.0.1")));
    assert!(!found(&file("[10.0.0.1]:tcp:80 weight -10", "ha_suspend", "10.0.0.1")));
    assert!(!found(&file("[10.0.0.1]:tcp:80", "", "10.0.0.1")));
    assert!(!found(&file("[10.0.0.2]:tcp:80", "ha_suspend", "10.0.0.2")));
}

#[test]
fn a_group_of_both_families_is_said_for_the_entries_that_nobody_can_serve() {
    let file = |method: &str| {
        format!(
            "virtual_server_group g {{\n 10.0.0.1 80\n 2001:db8::1 80\n fwmark 7 inet6\n fwmark 8\n}}\nvirtual_server group g {{\n \
             lb_algo rr\n lb_kind {method}\n protocol TCP\n real_server 10.0.0.9 80 {{\n }}\n}}\n"
        )
    };
    let found = |text: &str| {
        let loaded = look(text, false, &[]);
        loaded.diags.iter().filter(|d| d.code() == "server-group-family").map(|d| d.message.clone()).collect::<Vec<_>>()
    };
    let said = found(&file("NAT"));
    assert!(said.len() == 2 && said[0].contains("2001:db8::1") && said[1].contains("fwmark 7"), "{said:?}");
    assert_eq!(found(&file("TUN")), [""; 0]);
}

// What the kernel's settings do to virtual servers is in the log of a start; other lints are for a test.
#[test]
fn a_start_finds_the_lints_about_the_kernel_of_virtual_servers_and_no_others() {
    let file = "virtual_server 10.0.0.1 80 {\n  lb_kind NAT\n  protocol TCP\n  real_server 10.0.0.2 80 {\n    TCP_CHECK {\n    }\n  }\n}\n\
                vrrp_script unused {\n  script /bin/true\n}\n";
    let machine = Host { sysctl: |name| name.starts_with("net.ipv4.vs.").then_some(0), ..host() };
    let codes = |lints: bool| {
        let mut loaded = text(file);
        loaded.look(Look { host: Some(&machine), lints, starts: true, ..Look::default() });
        let mut codes: Vec<String> = loaded.diags.iter().map(|d| d.code().to_owned()).collect();
        codes.dedup();
        codes
    };
    let (all, start) = (codes(true), codes(false));
    let is_lint = |c: &&String| LINTS.iter().any(|l| l.name == c.as_str());
    let of_start: Vec<&String> = start.iter().filter(is_lint).collect();
    assert!(of_start.iter().any(|c| *c == "ipvs-removed-servers"), "{start:?}");
    let of_all: Vec<&String> = all.iter().filter(is_lint).filter(|c| c.starts_with("ipvs-")).collect();
    assert!(
        of_start.iter().all(|c| of_all.contains(c)) && of_start.len() < all.iter().filter(is_lint).count(),
        "{all:?} {start:?}"
    );
}
