//! `virtual_routes`, `virtual_rules` and `static_rules` on a real kernel: the same `ip rule` and `ip route` as Debian's keepalived has with
//! the same file, what flushes and deletions leave (trap 45), and an end without a core.
//!
//! Read first: `../lab/mod.rs`.

use crate::guard::{kill, role};
use crate::lab::daemon::{Conf, Daemon, Program, State, VIP, stand_in, under_test};
use crate::lab::{Host, IFACE, Lab, have, skip, until_true};

/// Names are not resolved, and every line has the values for which the two programs have different defaults.
fn conf(priority: u8) -> String {
    let routes = format!(
        "virtual_routes {{\n 192.0.2.0/24 via 198.18.0.77\n 192.0.3.0/24 dev {IFACE} scope link src {VIP} metric 7\n \
         blackhole 192.0.4.0/24 table 99\n 2001:db8:99::/48 dev {IFACE}\n}}"
    );
    let rules = format!(
        "virtual_rules {{\n from 192.0.2.0/24 table 99 preference 400\n to 192.0.3.0/24 iif {IFACE} lookup 98\n \
                 fwmark 0x10/0xff table 97 priority 401\n not from 192.0.5.0/24 to 192.0.6.0/24 ipproto udp dport 53-54 table 96 preference 402\n}}"
    );
    let rules = rules.lines().fold(Conf::v3(priority), |conf, line| conf.with(line));
    let all = routes.lines().fold(rules, |conf, line| conf.with(line));
    format!(
        "static_rules {{\n from 192.0.9.0/24 table 90 preference 390\n to 192.0.8.0/24 blackhole\n}}\n{}",
        all.text()
    )
}

/// What there is of routes and rules besides the kernel's own; sorted.
fn seen(host: &Host) -> Vec<String> {
    let mut all = Vec::new();
    for what in ["-4 route show table all proto 18", "-6 route show table all proto 18", "-4 rule", "-6 rule"] {
        let text = host.run(&format!("ip {what}"));
        let kernel = |l: &&str| ["0:", "32766:", "32767:"].iter().any(|n| l.starts_with(n));
        all.extend(text.lines().filter(|l| !kernel(l)).map(|l| l.trim().to_owned()));
    }
    all.sort();
    all
}

fn has(host: &Host, what: &str) -> bool {
    seen(host).iter().any(|l| l.contains(what))
}

fn started(lab: &Lab, program: Program, host: &Host, priority: u8) -> Daemon {
    lab.start_program(program, host, &conf(priority))
}

const STATIC: [&str; 2] = [
    "16384:\tfrom all to 192.0.8.0/24 blackhole proto keepalived",
    "390:\tfrom 192.0.9.0/24 lookup 90 proto keepalived",
];

#[test]
fn the_same_routes_and_rules_as_keepalived_with_the_same_file() {
    if stand_in() || !have("keepalived") {
        return skip("virtual routes: as keepalived", "compares kalived with Debian's keepalived");
    }
    let mut all = Vec::new();
    for program in [Program::Keepalived, Program::Kalived] {
        let Some(lab) = Lab::new("virtual routes: as keepalived") else { return };
        let a = lab.host("a", 20);
        let on_a = started(&lab, program, &a, 100);
        on_a.await_state(State::Master);
        until_true(&format!("its last rule; log:\n{}", on_a.log()), || has(&a, "402:"));
        all.push(seen(&a));
        let (code, log) = on_a.stop();
        assert_eq!((code, seen(&a)), (Some(0), Vec::new()), "{log}");
    }
    assert_eq!(all[0], all[1]);
    assert_eq!(all[0].len(), 10, "{:#?}", all[0]);
}

#[test]
fn they_follow_the_master_and_come_back_when_others_remove_them() {
    let Some(lab) = Lab::new("virtual routes: follow") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let on_a = started(&lab, under_test(), &a, 150);
    on_a.await_state(State::Master);
    until_true("its last rule", || has(&a, "402:"));
    let whole = seen(&a);
    let on_b = started(&lab, under_test(), &b, 100);
    on_b.await_state(State::Backup);
    assert_eq!(seen(&b), STATIC, "a Backup has the static ones alone");
    if !stand_in() {
        // Some are deleted, then all; then the addresses, with the routes that need them.
        for line in [
            "ip route del 192.0.2.0/24; ip rule del pref 401; ip rule del pref 390",
            "ip route flush proto 18; ip route flush table 99; ip -6 route flush proto 18; ip rule flush proto 18",
            &format!("ip -4 addr flush dev {IFACE}; ip addr add 198.18.0.20/16 dev {IFACE}"),
        ] {
            a.script(line);
            until_true(&format!("all back after {line}: {:#?}\n{}", seen(&a), on_a.log()), || seen(&a) == whole);
        }
        on_a.await_line("was removed by process ");
    }
    on_a.await_state(State::Master);
    let (code, log) = on_a.stop();
    assert_eq!((code, seen(&a)), (Some(0), Vec::new()), "{log}");
    on_b.await_state(State::Master);
    until_true("all on b", || seen(&b).len() == whole.len());
}

#[test]
fn what_a_dead_core_left_is_taken_away_and_what_a_killed_kalived_left_at_the_next_start() {
    if stand_in() {
        return skip("virtual routes: dead core", "about kalived's processes");
    }
    let Some(lab) = Lab::new("virtual routes: dead core") else { return };
    let a = lab.host("a", 20);
    // Another program's rule, equal except for its protocol number.
    a.script("ip rule add from 192.0.2.0/24 table 99 preference 400 proto static");
    let mut on_a = lab.start_under(&["sh", "-c", "exec \"$@\" -R", "sh"], under_test(), &a, &conf(150));
    on_a.await_state(State::Master);
    until_true("its last rule", || has(&a, "402:"));
    kill(role(&on_a, "--core").expect("it runs"));
    assert_eq!(on_a.await_exit().code(), Some(70));
    assert_eq!(seen(&a), ["400:\tfrom 192.0.2.0/24 lookup 99 proto static"], "{}", on_a.log());
    assert!(!a.holds(VIP));
    let on_a = started(&lab, under_test(), &a, 150);
    on_a.await_state(State::Master);
    until_true("its last rule", || has(&a, "402:"));
    let whole = seen(&a);
    let (code, log) = on_a.stop();
    assert_eq!(code, Some(0), "{log}");
    // What a killed daemon leaves.
    a.script("ip rule add fwmark 0x10/0xff table 97 priority 401 proto 18; ip route add 192.0.2.0/24 via 198.18.0.77 proto 18");
    let on_a = started(&lab, under_test(), &a, 150);
    on_a.await_line("rules that were left");
    on_a.await_state(State::Master);
    until_true("all of it once", || seen(&a) == whole);
}

/// Trap 13: a reload changes the source of a route, the address that it is, the address in whose subnet the default route's gateway is, and
/// all of it. With an address the kernel takes away the routes from it.
#[test]
fn trap_13_routes_are_there_after_a_reload_that_changes_what_they_need() {
    let Some(lab) = Lab::new("trap 13") else { return };
    let a = lab.host("a", 20);
    let text = |vip: &str, inside: u8, source: &str| {
        let conf = Conf { vips: vec![format!("{vip}/16"), format!("203.0.113.{inside}/24")], ..Conf::v3(150) };
        let routes =
            format!("virtual_routes {{\n 192.0.2.0/24 via 198.18.0.77 src {source}\n 0.0.0.0/0 via 203.0.113.1\n}}");
        routes.lines().fold(conf, |c, line| c.with(line)).text()
    };
    let routes = |source: &str| {
        let all = a.run("ip -4 route show proto 18");
        let (one, default) =
            (format!("192.0.2.0/24 via 198.18.0.77 dev {IFACE} src {source}"), "default via 203.0.113.1 dev ");
        all.lines().count() == 2
            && all.lines().any(|l| l.starts_with(&one))
            && all.lines().any(|l| l.starts_with(default))
    };
    let (other, own) = ("198.18.0.101", a.v4());
    let on_a = lab.start_program(under_test(), &a, &text(VIP, 2, VIP));
    on_a.await_state(State::Master);
    until_true(&format!("both routes; log:\n{}", on_a.log()), || routes(VIP));
    let steps = [
        (VIP, 2, &*own),
        (VIP, 2, VIP),
        (other, 2, other),
        (other, 3, other),
        (VIP, 4, &*own),
        (other, 2, other),
        (VIP, 3, VIP),
    ];
    for (n, (vip, inside, source)) in steps.into_iter().enumerate() {
        std::fs::write(on_a.conf(), text(vip, inside, source)).expect("the lab's directory is writable");
        on_a.signal("HUP");
        let settled =
            || a.holds(vip) && a.holds(&format!("203.0.113.{inside}")) && a.run("ip -o -4 addr").lines().count() == 4;
        until_true(&format!("step {n}: addresses; log:\n{}", on_a.log()), settled);
        until_true(&format!("step {n}: {}; log:\n{}", a.run("ip -4 route"), on_a.log()), || routes(source));
    }
    // Nothing removes them later.
    lab.capture(&a, "ip proto 112").await_adverts(&a, 5);
    assert!(routes(VIP), "{}", a.run("ip -4 route"));
    assert_eq!(on_a.times(State::Master), 1, "{}", on_a.log());
    let (code, log) = on_a.stop();
    assert_eq!((code, seen(&a)), (Some(0), Vec::new()), "{log}");
}
