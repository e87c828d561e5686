//! `no_accept`, `accept` and strict mode on a real kernel: which addresses a client reaches, as with Debian's keepalived and the same
//! file; flushed rules, left tables, tables of other programs, and ends of every kind.
//!
//! Read first: `../lab/mod.rs`, `../vrrp/filter.rs` (the order of things).

use crate::guard::{kill, role};
use crate::lab::daemon::{Conf, Daemon, Program, State, VIP, VIP6, stand_in, under_test};
use crate::lab::{Host, IFACE, Lab, have, skip, until_true};

fn conf() -> Conf {
    Conf::v3(100).with("no_accept")
}

/// The tables with a name, by family.
fn tables(host: &Host) -> Vec<String> {
    let text = host.run("nft list tables");
    let mut all: Vec<String> = text.lines().map(|l| l.trim_start_matches("table ").to_owned()).collect();
    all.sort();
    all
}

fn rules(host: &Host) -> String {
    host.run("nft list ruleset")
}

/// What a client reaches, and whether it has resolved the address.
fn reached(client: &Host, master: &Host, addr: &str) -> (bool, bool) {
    client.script("ip neigh flush all");
    // A link-local address with its interface.
    let zone = if addr.starts_with("fe80") { format!("{addr}%{IFACE}") } else { addr.to_owned() };
    let reaches = client.reaches(&zone);
    (reaches, client.sees(addr, master))
}

/// A case, and of each address whether it is reached and resolved.
type Seen<'a> = (&'a str, Vec<(bool, bool)>);

fn needs(test: &str) -> bool {
    let has = have("nft");
    if !has {
        skip(test, "nft is not installed");
    }
    has
}

#[test]
fn the_same_packets_as_with_keepalived_and_the_same_file() {
    let test = "accept: as keepalived";
    if stand_in() || !have("keepalived") || !needs(test) {
        return skip(test, "compares kalived with Debian's keepalived");
    }
    let v4 = |line: &str| Conf::v3(100).with(line).text();
    let v6 = Conf::v6(100).with("no_accept").text();
    let strict = |line: &str| format!("global_defs {{\n vrrp_strict\n}}\n{}", Conf::v3(100).with(line).text());
    let cases = [
        ("no_accept", v4("no_accept"), vec![VIP]),
        ("accept", v4("accept"), vec![VIP]),
        ("neither", v4("nopreempt"), vec![VIP]),
        ("the later counts", v4("no_accept\n accept"), vec![VIP]),
        ("strict", strict("nopreempt"), vec![VIP]),
        ("strict, accept", strict("accept"), vec![VIP]),
        ("IPv6", v6, VIP6.to_vec()),
    ];
    let mut all: Vec<Vec<Seen<'_>>> = Vec::new();
    for program in [Program::Keepalived, Program::Kalived] {
        let mut seen = Vec::new();
        for (name, text, addrs) in &cases {
            let Some(lab) = Lab::new(test) else { return };
            let (a, client) = (lab.host("a", 20), lab.host("c", 40));
            let on_a = lab.start_program(program, &a, text);
            on_a.await_state(State::Master);
            until_true(&format!("{program:?}, {name}: the address"), || addrs.iter().all(|v| a.holds(v)));
            let mut what: Vec<(bool, bool)> = addrs.iter().map(|v| reached(&client, &a, v)).collect();
            // Its own addresses are not filtered, and neither are packets from there.
            what.push(reached(&client, &a, if addrs.len() == 1 { "198.18.0.20" } else { "2001:db8:12::20" }));
            // No packet leaves from the address either.
            if addrs.len() == 1 {
                let from =
                    format!("import socket; s = socket.create_connection((\"{}\", 9), 1, (\"{VIP}\", 0))", client.v4());
                let out = a.command("python3").args(["-c", &from]).output().expect("python3");
                what.push((String::from_utf8_lossy(&out.stderr).contains("refused"), true));
            }
            let (code, log) = on_a.stop();
            assert_eq!((code, tables(&a)), (Some(0), Vec::new()), "{log}");
            seen.push((*name, what));
        }
        all.push(seen);
    }
    assert_eq!(all[0], all[1]);
    // The address is not reached and is resolved; IPv6 needs neighbour discovery for that.
    let of = |name: &str| &all[1].iter().find(|(n, _)| *n == name).expect("a case").1;
    let (open, closed) = ((true, true), (false, true));
    assert_eq!(of("no_accept"), &[closed, open, closed]);
    assert_eq!(of("strict"), &[closed, open, closed]);
    assert_eq!(of("strict, accept"), &[open, open, open]);
    assert_eq!(of("IPv6"), &[closed, closed, open]);
}

#[test]
fn flushed_rules_come_back_and_a_backup_keeps_its_own() {
    if stand_in() || !needs("accept: flush") {
        return skip("accept: flush", "keepalived's does not come back");
    }
    let Some(lab) = Lab::new("accept: flush") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let on_a = lab.start(&a, &Conf { priority: 150, ..conf() });
    on_a.await_state(State::Master);
    until_true("the address", || a.holds(VIP));
    let whole = rules(&a);
    assert!(whole.contains("comment \"kalived\"") && whole.contains(&format!("elements = {{ {VIP} }}")), "{whole}");
    // As a restart of nftables.service does; then a part of the table is removed; then another program's ruleset replaces it.
    for line in [
        "nft flush ruleset",
        "nft delete element ip keepalived vips { 198.18.0.100 }",
        "nft flush chain ip keepalived in",
    ] {
        a.script(line);
        until_true(&format!("all back after {line}: {}\n{}", rules(&a), on_a.log()), || rules(&a) == whole);
    }
    on_a.await_line("putting it back");
    let on_b = lab.start(&b, &conf());
    on_b.await_state(State::Backup);
    until_true("a Backup's own", || rules(&b) == whole);
    let (code, log) = on_a.stop();
    assert_eq!((code, tables(&a)), (Some(0), Vec::new()), "{log}");
    on_b.await_state(State::Master);
    until_true("the address", || b.holds(VIP));
    assert_eq!(rules(&b), whole, "a takeover changes nothing");
}

#[test]
fn a_killed_kalived_leaves_it_and_the_next_one_replaces_it() {
    if stand_in() || !needs("accept: left over") {
        return skip("accept: left over", "about kalived's processes");
    }
    let Some(lab) = Lab::new("accept: left over") else { return };
    let a = lab.host("a", 20);
    let both = ["ip keepalived"];
    let on_a = lab.start(&a, &conf());
    on_a.await_state(State::Master);
    until_true("the address", || a.holds(VIP));
    on_a.kill9();
    assert_eq!(tables(&a), both, "killed with its guard");
    let mut other = conf();
    other.vips = vec!["198.18.0.101".into()];
    let on_a = lab.start(&a, &other);
    on_a.await_line("replacing the nftables table keepalived");
    on_a.await_state(State::Master);
    until_true("the other address", || rules(&a).contains("elements = { 198.18.0.101 }"));
    let (code, log) = on_a.stop();
    assert_eq!((code, tables(&a)), (Some(0), Vec::new()), "{log}");
}

#[test]
fn what_a_dead_core_left_is_taken_away_and_a_new_core_goes_on_with_it() {
    if stand_in() || !needs("accept: dead core") {
        return skip("accept: dead core", "about kalived's processes");
    }
    let Some(lab) = Lab::new("accept: dead core") else { return };
    let a = lab.host("a", 20);
    // Not started again: the addresses and their filter are removed.
    let mut on_a = lab.start_under(&["sh", "-c", "exec \"$@\" -R", "sh"], under_test(), &a, &conf().text());
    on_a.await_state(State::Master);
    until_true("the address", || a.holds(VIP));
    kill(role(&on_a, "--core").expect("it runs"));
    assert_eq!(on_a.await_exit().code(), Some(70));
    assert!(!a.holds(VIP));
    assert_eq!(tables(&a), Vec::<String>::new(), "{}", on_a.log());
    drop(on_a);
    // Started again, and reloaded.
    let on_a = lab.start(&a, &conf());
    on_a.await_state(State::Master);
    until_true("the address", || a.holds(VIP));
    let whole = rules(&a);
    let core = role(&on_a, "--core").expect("it runs");
    kill(core);
    until_true("another core", || role(&on_a, "--core").is_some_and(|c| c != core));
    until_true(&format!("the filter and the address; log:\n{}", on_a.log()), || rules(&a) == whole && a.holds(VIP));
    std::fs::write(on_a.conf(), conf().with("nopreempt").text()).expect("the lab's directory is writable");
    on_a.signal("HUP");
    on_a.await_line("Reloaded:");
    until_true("the filter", || rules(&a) == whole && a.holds(VIP));
    let (code, log) = on_a.stop();
    assert_eq!((code, tables(&a)), (Some(0), Vec::new()), "{log}");
}

#[test]
fn a_strange_table_is_left_alone() {
    if stand_in() || !needs("accept: strange") {
        return skip("accept: strange", "about kalived's table");
    }
    let Some(lab) = Lab::new("accept: strange") else { return };
    let (a, client) = (lab.host("a", 20), lab.host("c", 40));
    a.script("nft add table ip keepalived; nft add set ip keepalived vips '{ type ipv4_addr; }'");
    let strange = rules(&a);
    let on_a = lab.start(&a, &conf());
    on_a.await_line("an nftables table keepalived is there that kalived did not make");
    on_a.await_state(State::Master);
    until_true("the address", || a.holds(VIP));
    assert_eq!(tables(&a), ["ip kalived", "ip keepalived"]);
    assert_eq!(reached(&client, &a, VIP), (false, true));
    let (code, log) = on_a.stop();
    assert_eq!((code, rules(&a)), (Some(0), strange), "{log}");
}

#[test]
fn the_table_has_the_name_the_priority_and_the_counters_of_the_file() {
    if stand_in() || !needs("accept: settings") {
        return skip("accept: settings", "compares with the file");
    }
    let Some(lab) = Lab::new("accept: settings") else { return };
    let a = lab.host("a", 20);
    let file = |priority: i32, counters: &str| {
        let mut c = Conf::v6(100).with("no_accept");
        c.global = format!("    nftables fire\n    nftables_priority {priority}\n    {counters}\n    vrrp_iptables\n");
        c.text()
    };
    let on_a: Daemon = lab.start_program(under_test(), &a, &file(7, "nftables_counters"));
    on_a.await_state(State::Master);
    until_true("the table", || tables(&a) == ["ip6 fire"]);
    let whole = a.run("nft -nn list ruleset");
    for what in ["priority 7", "counter packets", "type ipv6_addr . ifname", "fe80::64 . \"eth0\"", "2001:db8:12::64"] {
        assert!(whole.contains(what), "{what}: {whole}");
    }
    std::fs::write(on_a.conf(), file(-5, "")).expect("the lab's directory is writable");
    on_a.signal("HUP");
    until_true(&format!("priority -5; log:\n{}", on_a.log()), || {
        let whole = a.run("nft -nn list ruleset");
        whole.contains("priority -5") && !whole.contains("counter")
    });
    let (code, log) = on_a.stop();
    assert_eq!((code, tables(&a)), (Some(0), Vec::new()), "{log}");
}
