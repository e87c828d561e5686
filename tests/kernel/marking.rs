//! `nftables_ipvs` in a real nf_tables: which packets have which mark, a reload, a flush, an upgrade, left tables, tables of other programs.
//! IPVS is not needed: a kernel without it marks packets all the same.
//!
//! Read first: `../lab/mod.rs`, `src/filter/marking.rs`, `lvs.rs` (the same beside keepalived).

use crate::lab::daemon::{Daemon, Program, State, stand_in};
use crate::lab::{Host, Lab, have, skip, until_true};

/// Two groups: with TCP the one is reached at port 80 of a range and one address of IPv6, the other at all ports of an address.
fn conf(head: &str, groups: &str) -> String {
    let server = |group: &str, kind: &str, real: &str| {
        format!(
            "virtual_server group {group} {{\n lb_algo rr\n lb_kind {kind}\n persistence_timeout 360\n protocol TCP\n real_server {real} 80 {{\n  weight 1\n }}\n}}\n"
        )
    };
    let used = ["any", "web"].into_iter().filter(|g| groups.contains(&format!("virtual_server_group {g} ")));
    let servers: String = used.map(|g| server(g, "TUN", "198.18.0.77")).collect();
    format!(
        "global_defs {{\n {head}\n}}\n{groups}\n{servers}
vrrp_instance VI_1 {{\n state BACKUP\n interface eth0\n virtual_router_id 51\n version 3\n advert_int 0.1\n priority 100\n virtual_ipaddress {{\n  198.18.0.200/32\n }}\n}}\n"
    )
}

const WEB: &str = "virtual_server_group web {\n 198.18.0.101-105 80\n 2001:db8:12::101 80\n}\n";
const ANY: &str = "virtual_server_group any {\n 198.18.0.120 0\n}\n";

fn start(lab: &Lab, host: &Host, text: &str) -> Daemon {
    let d = lab.start_program(Program::Kalived, host, text);
    d.await_state(State::Master);
    d
}

fn rules(host: &Host) -> String {
    host.run("nft list ruleset")
}

fn lab(test: &str) -> Option<Lab> {
    if stand_in() || !have("nft") {
        skip(test, "about kalived's table, with nft");
        return None;
    }
    Lab::new(test)
}

/// Marks of packets to these addresses and ports, as a chain behind ours counts them.
fn marks(client: &Host, director: &Host, to: &[(&str, u16)]) -> Vec<String> {
    director.script(
        "nft add table inet seen; nft flush table inet seen; nft add set inet seen m '{ type mark . inet_service; flags dynamic; }'; \
         nft add chain inet seen in '{ type filter hook input priority 10; }'; \
         nft add rule inet seen in meta l4proto tcp tcp flags syn add @m '{ meta mark . tcp dport }'",
    );
    let mut all = Vec::new();
    for (addr, port) in to {
        director.script("nft flush set inet seen m");
        let try_it = format!(
            "import socket; s = socket.socket(socket.AF_INET6 if ':' in '{addr}' else socket.AF_INET); s.settimeout(1); s.connect_ex(('{addr}', {port}))"
        );
        client.command("python3").args(["-c", &try_it]).status().expect("python3");
        let text = director.run("nft list set inet seen m");
        let set = text.split("elements = {").nth(1).and_then(|t| t.split('}').next()).unwrap_or("").trim().to_owned();
        all.push(set.split(" . ").next().unwrap_or("").to_owned());
    }
    director.script("nft delete table inet seen");
    all
}

#[test]
fn packets_to_a_group_have_its_mark() {
    let test = "marking: packets";
    let Some(lab) = lab(test) else { return };
    let (a, client) = (lab.host("a", 20), lab.host("c", 40));
    for addr in ["198.18.0.101/16", "198.18.0.105/16", "198.18.0.120/16", "198.18.0.121/16", "2001:db8:12::101/64"] {
        a.run(&format!("ip addr add {addr} dev eth0 nodad"));
    }
    let text = conf("nftables_ipvs\n nftables_ipvs_start_fwmark 300", &format!("{WEB}{ANY}"));
    let on_a = start(&lab, &a, &text);
    until_true(&format!("the table; log:\n{}", on_a.log()), || rules(&a).contains("tcp_any_map return"));
    assert!(rules(&a).contains("198.18.0.101-198.18.0.105 . 80 : 0x0000012d"), "{}", rules(&a));
    let to = [
        ("198.18.0.101", 80),
        ("198.18.0.105", 80),
        ("198.18.0.105", 81),
        ("198.18.0.120", 1),
        ("198.18.0.120", 65_535),
        ("198.18.0.121", 80),
        ("2001:db8:12::101", 80),
    ];
    let (any, web, none) = ("0x0000012c", "0x0000012d", "0x00000000");
    assert_eq!(marks(&client, &a, &to), [web, web, none, any, any, none, web]);
    let (code, log) = on_a.stop();
    assert_eq!((code, rules(&a)), (Some(0), String::new()), "{log}");
}

#[test]
fn a_marking_follows_reloads_comes_back_and_is_removed() {
    let test = "marking: life";
    let Some(lab) = lab(test) else { return };
    let a = lab.host("a", 20);
    let on_a = start(&lab, &a, &conf("nftables_ipvs", WEB));
    until_true(&format!("the table; log:\n{}", on_a.log()), || rules(&a).contains("tcp_map return"));
    let whole = rules(&a);
    assert!(whole.contains("comment \"kalived_ipvs\"") && whole.contains("priority filter - 1"), "{whole}");
    assert!(whole.contains("198.18.0.101-198.18.0.105 . 80 : 0x000003e8"), "{whole}");
    assert!(whole.contains("2001:db8:12::101 . 80 : 0x000003e8"), "{whole}");
    for line in ["nft flush ruleset", "nft flush chain ip keepalived_ipvs in", "nft delete table ip6 keepalived_ipvs"] {
        a.script(line);
        until_true(&format!("all back after {line}: {}\n{}", rules(&a), on_a.log()), || rules(&a) == whole);
    }
    let reload = |text: String| {
        std::fs::write(on_a.conf(), text).expect("the lab's directory is writable");
        on_a.signal("HUP");
    };
    // Another group, which comes first: the mark of the one before stays.
    reload(conf("nftables_ipvs\n nftables_ipvs_priority -7", &format!("{ANY}{WEB}")));
    until_true("the other group", || rules(&a).contains("198.18.0.120 . 0-65535 : 0x000003e9"));
    assert!(rules(&a).contains("198.18.0.101-198.18.0.105 . 80 : 0x000003e8"), "{}", rules(&a));
    assert!(rules(&a).contains("priority filter - 7"), "{}", rules(&a));
    // The setting goes, and comes back.
    reload(conf("router_id x", &format!("{ANY}{WEB}")));
    until_true("no table", || rules(&a).is_empty());
    reload(conf("nftables_ipvs", WEB));
    until_true("the table", || rules(&a) == whole);
    // All virtual servers go.
    reload(conf("nftables_ipvs", ""));
    until_true("no table", || rules(&a).is_empty());
    reload(conf("nftables_ipvs", WEB));
    until_true("the table", || rules(&a) == whole);
    let (code, log) = on_a.stop();
    assert_eq!((code, rules(&a)), (Some(0), String::new()), "{log}");
}

#[test]
fn a_left_marking_is_replaced_and_a_strange_one_is_left_alone() {
    let test = "marking: others";
    let Some(lab) = lab(test) else { return };
    let a = lab.host("a", 20);
    let on_a = start(&lab, &a, &conf("nftables_ipvs", WEB));
    until_true("the table", || rules(&a).contains("tcp_map return"));
    on_a.kill9();
    assert!(rules(&a).contains("tcp_map return"), "killed with its guard");
    let on_a = start(&lab, &a, &conf("nftables_ipvs", ANY));
    on_a.await_line("replacing the nftables table keepalived_ipvs");
    until_true("the other group", || rules(&a).contains("tcp_any_map return") && !rules(&a).contains("198.18.0.101"));
    let (code, log) = on_a.stop();
    assert_eq!((code, rules(&a)), (Some(0), String::new()), "{log}");
    a.script("nft add table ip keepalived_ipvs; nft add set ip keepalived_ipvs tcp_map '{ type ipv4_addr; }'");
    let strange = rules(&a);
    let on_a = start(&lab, &a, &conf("nftables_ipvs", ANY));
    on_a.await_line("an nftables table keepalived_ipvs is there that kalived did not make");
    until_true("the second name", || rules(&a).contains("table ip kalived_ipvs"));
    assert!(rules(&a).contains(strange.trim_end()), "{}", rules(&a));
    let (code, log) = on_a.stop();
    assert_eq!((code, rules(&a)), (Some(0), strange), "{log}");
}
