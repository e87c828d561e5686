//! A hundred ways to break a file. `hundred.conf` is right; each case changes one thing. `hundred.txt` has every
//! message as printed: read it as an operator who does not know kalived and has to correct the file.
//! KALIVED_BLESS=1 writes it anew.

use super::common::bytes;
use kalived::config::check::Look;
use std::fmt::Write;
use std::path::Path;

const GOOD: &str = include_str!("hundred.conf");

/// Name, the replaced text (which must be there once), and its replacement.
#[rustfmt::skip]
const CASES: &[(&str, &str, &str)] = &[
    // Braces that are missing, at each depth
    ("no close: global_defs", "lb1\n}", "lb1\n"),
    ("no close: vrrp_script", "interval 2\n}", "interval 2\n"),
    ("no close: vrrp_instance", "up web\"\n}", "up web\"\n"),
    ("no close: authentication", "secret\n    }", "secret\n"),
    ("no close: virtual_ipaddress", "dev eth0\n    }", "dev eth0\n"),
    ("no close: track_script", "chk\n    }", "chk\n"),
    ("no close: url", "200\n            }", "200\n"),
    ("no close: HTTP_GET", "_timeout 3\n        }\n", "_timeout 3\n"),
    ("no close: real_server", "_timeout 3\n        }\n    }", "_timeout 3\n        }\n"),
    ("no close: virtual_server, end of file", "_timeout 3\n        }\n    }\n}", "_timeout 3\n        }\n    }\n"),
    ("no open: global_defs", "global_defs {", "global_defs"),
    ("no open: vrrp_script", "vrrp_script chk {", "vrrp_script chk"),
    ("no open: vrrp_instance", "vrrp_instance web {", "vrrp_instance web"),
    ("no open: authentication", "authentication {", "authentication"),
    ("no open: virtual_ipaddress", "virtual_ipaddress {", "virtual_ipaddress"),
    ("no open: track_script", "track_script {", "track_script"),
    ("no open: virtual_server", "192.0.2.10 80 {", "192.0.2.10 80"),
    ("no open: real_server", "192.0.2.21 80 {", "192.0.2.21 80"),
    ("no open: HTTP_GET", "HTTP_GET {", "HTTP_GET"),
    ("no open: url", "url {", "url"),
    // Braces that are too many or of another kind
    ("stray close after global_defs", "lb1\n}", "lb1\n}\n}"),
    ("stray close in the middle of an instance", "advert_int 1\n", "advert_int 1\n    }\n"),
    ("stray close at the end", "_timeout 3\n        }\n    }\n}", "_timeout 3\n        }\n    }\n}\n}"),
    ("stray open", "priority 100\n", "priority 100\n    {\n"),
    ("open brace twice", "authentication {", "authentication { {"),
    ("round brackets", "authentication {", "authentication ("),
    ("square brackets", "authentication {", "authentication ["),
    ("full-width brace", "authentication {", "authentication \u{FF5B}"),
    ("brace on a value", "priority 100", "priority 100 {"),
    ("semicolons", "priority 100", "priority 100;"),
    ("comma", "lb_algo rr", "lb_algo, rr"),
    ("colon", "advert_int 1", "advert_int: 1"),
    ("equals sign", "priority 100", "priority = 100"),
    ("equals sign glued", "priority 100", "priority=100"),
    ("end of line comment of C", "priority 100", "priority 100 // higher wins"),
    ("comment of C", "global_defs {", "/* balancer */\nglobal_defs {"),
    // Quotes
    ("unclosed quote", "\"/usr/bin/true\"", "\"/usr/bin/true"),
    ("unclosed quote with arguments", "\"/usr/local/bin/up web\"", "\"/usr/local/bin/up web"),
    ("quote closed only", "\"/usr/bin/true\"", "/usr/bin/true\""),
    ("typographic quotes", "\"/usr/local/bin/up web\"", "\u{201C}/usr/local/bin/up web\u{201D}"),
    ("single quote unclosed", "\"/usr/local/bin/up web\"", "'/usr/local/bin/up web"),
    ("quoted keyword", "priority 100", "\"priority 100\""),
    // Wrong words
    ("typo: priority", "priority 100", "prioirty 100"),
    ("typo: global_defs", "global_defs", "global_def"),
    ("typo: vrrp_instance", "vrrp_instance", "vrrp_instanc"),
    ("typo: virtual_ipaddress", "virtual_ipaddress", "virtual_ip_address"),
    ("typo: interface", "interface eth0", "interfaces eth0"),
    ("typo: virtual_server", "virtual_server", "virtual_servers"),
    ("typo: real_server", "real_server", "realserver"),
    ("typo: HTTP_GET", "HTTP_GET", "HTTP_CHECK"),
    ("typo: status_code", "status_code", "statuscode"),
    ("typo: lb_algo", "lb_algo", "lb_alg"),
    ("letter case", "virtual_router_id", "Virtual_Router_ID"),
    ("letter case: state", "BACKUP", "Backup"),
    ("letter case: auth_type", "PASS", "pass"),
    ("hyphens", "virtual_router_id", "virtual-router-id"),
    ("blank in a keyword", "virtual_ipaddress", "virtual ipaddress"),
    ("keyword and value glued", "priority 100", "priority100"),
    ("no-break space", "priority 100", "priority\u{A0}100"),
    ("zero-width space", "priority 100", "\u{200B}priority 100"),
    ("ideographic space", "priority 100", "priority\u{3000}100"),
    ("full-width digits", "priority 100", "priority \u{FF11}\u{FF10}\u{FF10}"),
    ("an old name", "router_id lb1", "lvs_id lb1"),
    // Words in the wrong place
    ("misplaced: priority in global_defs", "router_id lb1", "priority 100"),
    ("misplaced: router_id in an instance", "state BACKUP", "router_id lb1"),
    ("misplaced: virtual_router_id in authentication", "auth_type PASS", "auth_type PASS\n        virtual_router_id 5"),
    ("misplaced: auth_pass in an instance", "state BACKUP", "state BACKUP\n    auth_pass x"),
    ("misplaced: vrrp_instance in global_defs", "router_id lb1", "router_id lb1\n    vrrp_instance x"),
    ("misplaced: delay_loop in global_defs", "router_id lb1", "delay_loop 6"),
    ("misplaced: real_server at the top", "virtual_server 192.0.2.10 80 {\n", "real_server 192.0.2.9 80 {\n}\nvirtual_server 192.0.2.10 80 {\n"),
    ("misplaced: interval in an instance", "advert_int 1", "interval 1"),
    ("misplaced: path in HTTP_GET", "url {", "path /\n            url {"),
    ("misplaced: interface at the top", "global_defs {", "interface eth0\nglobal_defs {"),
    ("misplaced: lb_algo in real_server", "weight 1", "lb_algo rr"),
    ("misplaced: script in track_script", "        chk\n", "        script chk\n"),
    // Values
    ("no value: priority", "priority 100", "priority"),
    ("no value: state", "state BACKUP", "state"),
    ("no value: interface", "interface eth0", "interface"),
    ("no value: auth_pass", "auth_pass secret", "auth_pass"),
    ("no value: vrrp_instance", "vrrp_instance web", "vrrp_instance"),
    ("no value: delay_loop", "delay_loop 6", "delay_loop"),
    ("no value: virtual_server", "virtual_server 192.0.2.10 80", "virtual_server"),
    ("type: priority", "priority 100", "priority high"),
    ("type: virtual_router_id", "virtual_router_id 51", "virtual_router_id web"),
    ("type: advert_int", "advert_int 1", "advert_int 1s"),
    ("type: decimal comma", "advert_int 1", "advert_int 0,5"),
    ("type: unit", "advert_int 1", "advert_int 100ms"),
    ("type: state", "state BACKUP", "state SLAVE"),
    ("type: lb_algo", "lb_algo rr", "lb_algo fastest"),
    ("type: lb_kind", "lb_kind DR", "lb_kind ROUTE"),
    ("type: protocol", "protocol TCP", "protocol HTTP"),
    ("type: port", "192.0.2.21 80", "192.0.2.21 http!"),
    ("type: a name for an address", "192.0.2.21 80", "web1.example 80"),
    ("range: priority 0", "priority 100", "priority 0"),
    ("range: priority 256", "priority 100", "priority 256"),
    ("range: virtual_router_id 0", "virtual_router_id 51", "virtual_router_id 0"),
    ("range: virtual_router_id 300", "virtual_router_id 51", "virtual_router_id 300"),
    ("range: advert_int 0", "advert_int 1", "advert_int 0"),
    ("range: advert_int 300", "advert_int 1", "advert_int 300"),
    ("range: a number beyond every number", "priority 100", "priority 99999999999999999999"),
    ("range: port", "192.0.2.21 80", "192.0.2.21 99999"),
    ("range: status_code", "status_code 200", "status_code 2000"),
    ("fraction with version 2", "advert_int 1", "advert_int 0.5"),
    ("hundredths with version 3", "advert_int 1", "version 3\n    advert_int 0.333"),
    ("password too long", "auth_pass secret", "auth_pass averylongsecret"),
    ("hash in the password", "auth_pass secret", "auth_pass se#cret"),
    ("too many words", "priority 100", "priority 100 110"),
    ("twice", "priority 100", "priority 100\n    priority 110"),
    // Addresses
    ("address: 300", "192.0.2.10/24", "192.0.2.300/24"),
    ("address: three parts", "192.0.2.10/24", "192.0.2/24"),
    ("address: netmask", "192.0.2.10/24", "192.0.2.10/255.255.255.0"),
    ("address: prefix 33", "192.0.2.10/24", "192.0.2.10/33"),
    ("address: blank before the prefix", "192.0.2.10/24", "192.0.2.10 /24"),
    ("address: two on a line", "192.0.2.10/24 dev eth0", "192.0.2.10/24 192.0.2.11/24"),
    ("address: comma", "192.0.2.10/24 dev eth0", "192.0.2.10/24, 192.0.2.11/24"),
    ("address: twice", "192.0.2.10/24 dev eth0", "192.0.2.10/24 dev eth0\n        192.0.2.10/24"),
    ("address: of the other family", "192.0.2.10/24 dev eth0", "192.0.2.10/24 dev eth0\n        2001:db8::10/64"),
    ("address: multicast", "192.0.2.10/24", "224.0.0.18/24"),
    ("address: broken IPv6", "192.0.2.10/24", "2001:db8:::10/64"),
    ("address: unknown word", "dev eth0", "device eth0"),
    ("address: word without a value", "dev eth0", "dev"),
    ("address: name of an interface", "dev eth0", "dev an-interface-name-too-long"),
    ("no addresses", "192.0.2.10/24 dev eth0", ""),
    // Blocks together
    ("no interface", "interface eth0", ""),
    ("no virtual_router_id", "virtual_router_id 51", ""),
    ("no auth_type", "auth_type PASS", ""),
    ("no auth_pass", "auth_pass secret", ""),
    ("script nobody defined", "        chk\n", "        check\n"),
    ("state MASTER with nopreempt", "state BACKUP", "state MASTER\n    nopreempt"),
    ("state MASTER without a priority", "state BACKUP\n    interface eth0\n    virtual_router_id 51\n    priority 100", "state MASTER\n    interface eth0\n    virtual_router_id 51"),
    ("a second instance with the name", "virtual_server 192.0.2.10 80 {\n", "vrrp_instance web {\n    interface eth1\n    virtual_router_id 52\n    virtual_ipaddress {\n        192.0.2.11\n    }\n}\nvirtual_server 192.0.2.10 80 {\n"),
    ("a second instance with the VRID", "virtual_server 192.0.2.10 80 {\n", "vrrp_instance two {\n    interface eth0\n    virtual_router_id 51\n    virtual_ipaddress {\n        192.0.2.11\n    }\n}\nvirtual_server 192.0.2.10 80 {\n"),
    // Text
    ("NUL byte", "priority 100", "priority\0 100"),
    ("escape sequence of a terminal", "priority 100", "prior\u{1B}[31mity 100"),
    ("control character", "priority 100", "priority\u{8} 100"),
    ("variable nobody defined", "priority 100", "priority $PRIO"),
    ("variable without end", "priority 100", "priority ${PRIO"),
    ("line continued as in a shell", "priority 100", "priority \\\n    100"),
    ("YAML", "router_id lb1", "- router_id: lb1"),
    ("merge conflict", "    priority 100\n", "<<<<<<< HEAD\n    priority 100\n=======\n    priority 200\n>>>>>>> theirs\n"),
    ("template not filled in", "priority 100", "priority {{ vrrp_priority }}"),
];

/// Whole files, with their names.
fn whole() -> Vec<(&'static str, Vec<u8>)> {
    let elf: Vec<u8> =
        b"\x7fELF\x02\x01\x01".iter().copied().chain((0..600u32).map(|i| (i * 37 % 251) as u8)).collect();
    vec![
        ("empty", Vec::new()),
        ("only comments", b"# soon\n! or later\n".to_vec()),
        ("only blanks", b" \n\t\n\n".to_vec()),
        ("a program", elf),
        ("UTF-16", GOOD.encode_utf16().flat_map(u16::to_le_bytes).take(200).collect()),
        ("a line of 100 kB", format!("vrrp_instance web {{\n    state {}\n}}\n", "x".repeat(100_000)).into_bytes()),
        ("a hundred blocks inside each other", format!("{}{}", "a {\n".repeat(100), "}\n".repeat(100)).into_bytes()),
        ("one brace", b"{".to_vec()),
        ("one closing brace", b"}".to_vec()),
        ("one quote", b"\"".to_vec()),
        ("one word", b"vrrp_instance".to_vec()),
        ("JSON", b"{\n  \"vrrp_instance\": {\n    \"priority\": 100\n  }\n}\n".to_vec()),
        ("an INI file", b"[vrrp_instance]\npriority = 100\n".to_vec()),
        ("GBK outside of a comment", b"vrrp_instance \xd6\xf7 {\n    \xd3\xc5\xcf\xc8 100\n}\n".to_vec()),
    ]
}

/// Files that look unusual and are right: no message.
#[test]
fn odd_and_right() {
    let good = bytes(GOOD.as_bytes()).render(false);
    let shapes = [
        ("CR LF", GOOD.replace('\n', "\r\n")),
        ("a byte order mark", format!("\u{FEFF}{GOOD}")),
        ("tabs", GOOD.replace("    ", "\t")),
        ("no indentation", GOOD.replace("    ", "")),
        ("Chinese comments", GOOD.replace('\n', " # 主备 {\"\n")),
        ("a brace at the end of a value", GOOD.replace("router_id lb1\n}", "router_id lb1}")),
        ("no newline at the end", GOOD.trim_end().to_owned()),
        ("blank lines", GOOD.replace('\n', "\n\n")),
        ("braces on lines of their own", GOOD.replace(" {", "\n{")),
    ];
    let messages = |text: &str| {
        let all: Vec<String> = bytes(text.as_bytes()).diags.iter().map(|d| d.message.clone()).collect();
        all
    };
    for (name, text) in shapes {
        assert_eq!(messages(&text), messages(GOOD), "{name}:\n{good}");
    }
}

#[test]
fn every_message_helps() {
    let mut cases: Vec<(&str, Vec<u8>)> = Vec::new();
    for (name, from, to) in CASES {
        assert_eq!(GOOD.matches(from).count(), 1, "{name}: {from:?} stands there once");
        cases.push((name, GOOD.replacen(from, to, 1).into_bytes()));
    }
    cases.extend(whole());
    assert!(cases.len() >= 100);
    // Messages about the right file (keywords without effect yet) are left out.
    let known: Vec<String> = bytes(GOOD.as_bytes()).diags.iter().map(|d| d.message.clone()).collect();
    let mut got = String::new();
    let mut silent = Vec::new();
    for (name, file) in &cases {
        let mut loaded = bytes(file);
        loaded.look(Look { lints: true, ..Look::default() });
        loaded.diags.retain(|d| !known.contains(&d.message));
        let _ = writeln!(got, "=== {name}\n{}", loaded.render(false));
        if loaded.diags.is_empty() {
            silent.push(*name);
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/hundred.txt");
    if std::env::var_os("KALIVED_BLESS").is_some() {
        std::fs::write(&path, &got).unwrap();
    }
    let want = std::fs::read_to_string(&path).unwrap_or_default();
    let wrong: Vec<&str> = got.split("=== ").filter(|s| !want.contains(s)).collect();
    assert!(wrong.is_empty() && want == got, "KALIVED_BLESS=1 writes hundred.txt anew:\n{}", wrong.join("\n"));
    assert!(silent.is_empty(), "nothing is said about {silent:?}");
}
