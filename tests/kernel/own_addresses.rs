//! Words whose effect is on interfaces other than that of the adverts: `use_vmac` of an address, `use_vmac_addr`, `vmac_addr_prefix`,
//! `garp_extra_if`; and sysctls that an instance or the host asks for: `promote_secondaries`, `disable_local_igmp`.
//!
//! Read first: `vmac.rs`. Both daemons are held against the same expectation where Debian's keepalived has the word.

use crate::guard::Monitor;
use crate::lab::daemon::{Conf, Daemon, Program, State, VIP, stand_in, under_test};
use crate::lab::{Host, IFACE, Lab, have, skip, until_true};
use crate::vmac::{addrs_on, knob, macvlans};
use std::collections::BTreeSet;

const MAC: &str = "00:00:5e:00:01:33";
/// Of another interface, eth1.
const FAR: [&str; 2] = ["198.19.0.100", "198.19.0.101"];

/// A second interface of a host; its other end is that of `client`, or stays here.
fn second(host: &Host, client: Option<&Host>) {
    let pid = client.map_or_else(|| host.pid().to_string(), |c| c.pid().to_string());
    let peer = if client.is_some() { "eth1" } else { "far1" };
    host.script(&format!("ip link add name eth1 type veth peer name {peer} netns {pid}"));
    for (host, name, addr) in [(Some(host), "eth1", "198.19.0.20/16"), (client, "eth1", "198.19.0.40/16")] {
        let Some(host) = host else { continue };
        host.script(&format!("ip link set {name} addrgenmode none up; ip addr add {addr} dev {name}"));
    }
    if client.is_none() {
        host.script("ip link set far1 addrgenmode none up");
    }
}

fn conf(own: &str, lines: [&str; 3], extra: &[&str], global: &str) -> String {
    let conf = Conf { vips: lines.map(str::to_owned).to_vec(), global: global.to_owned(), ..Conf::v3(150) };
    let conf = if own.is_empty() { conf } else { conf.with(own) };
    extra.iter().fold(conf, |conf, line| conf.with(line)).text()
}

/// Both programs with the same file, one after the other, each on a host of its own with a second interface.
fn both(test: &str, text: &str, mut see: impl FnMut(&Lab, &Host, &Daemon)) {
    if stand_in() || !have("keepalived") {
        return skip(test, "compares kalived with Debian's keepalived");
    }
    for program in [Program::Keepalived, Program::Kalived] {
        let Some(lab) = Lab::new(test) else { return };
        let a = lab.host("a", 20);
        second(&a, None);
        let on_a = lab.start_program(program, &a, text);
        on_a.await_state(State::Master);
        see(&lab, &a, &on_a);
        let (code, log) = on_a.stop();
        let left: Vec<_> = FAR.iter().chain(&[VIP]).filter(|v| a.holds(v)).collect();
        assert_eq!((code, macvlans(&a), left), (Some(0), Vec::new(), Vec::new()), "{log}");
    }
}

fn set(addrs: &[&str]) -> BTreeSet<String> {
    addrs.iter().map(|a| (*a).to_owned()).collect()
}

/// The own interfaces by name, each with the virtual MAC; then who has which address.
fn stands(a: &Host, log: &Daemon, own: &[(&str, &[&str])], plain: &[(&str, &[&str])]) {
    let names: BTreeSet<String> = own.iter().map(|(name, _)| (*name).to_owned()).collect();
    let made =
        || macvlans(a).iter().filter_map(|l| l.split([' ', '@']).next().map(str::to_owned)).collect::<BTreeSet<_>>();
    until_true(&format!("{names:?}; log:\n{}", log.log()), || made() == names);
    assert!(macvlans(a).iter().all(|l| l.ends_with(MAC)), "{:?}", macvlans(a));
    for (name, addrs) in own {
        until_true(&format!("{addrs:?} on {name}: {:?}", addrs_on(a, name)), || addrs_on(a, name) == set(addrs));
    }
    for (name, addrs) in plain {
        let there = || addrs.iter().all(|addr| addrs_on(a, name).contains(*addr));
        until_true(&format!("{addrs:?} on {name}: {:?}", addrs_on(a, name)), there);
    }
}

#[test]
fn an_address_with_use_vmac_is_on_an_interface_of_its_own_named_by_vmac_addr_prefix() {
    let lines = ["198.18.0.100/16", "198.19.0.100/16 dev eth1 use_vmac", "198.19.0.101/16 dev eth1"];
    // In an instance without `use_vmac`, then in one with it.
    both("use_vmac of an address", &conf("", lines, &[], "    vmac_addr_prefix va\n"), |_, a, log| {
        stands(
            a,
            log,
            &[("va.51", &["198.19.0.100/16"])],
            &[(IFACE, &["198.18.0.100/16"]), ("eth1", &["198.19.0.101/16"])],
        );
    });
    let global = "    vmac_prefix vr\n    vmac_addr_prefix va\n";
    both("use_vmac of an address", &conf("use_vmac", lines, &[], global), |_, a, log| {
        let own: &[(&str, &[&str])] = &[("vr.51", &["198.18.0.100/16"]), ("va.51", &["198.19.0.100/16"])];
        stands(a, log, own, &[("eth1", &["198.19.0.101/16"])]);
    });
}

#[test]
fn use_vmac_addr_gives_every_address_of_another_interface_the_virtual_mac() {
    let lines = ["198.18.0.100/16", "198.19.0.100/16 dev eth1", "198.19.0.101/16 dev eth1"];
    let global = "    vmac_prefix vr\n    vmac_addr_prefix va\n";
    both("use_vmac_addr", &conf("use_vmac", lines, &["use_vmac_addr"], global), |_, a, log| {
        let both: &[&str] = &["198.19.0.100/16", "198.19.0.101/16"];
        stands(a, log, &[("vr.51", &["198.18.0.100/16"]), ("va.51", both)], &[]);
    });
}

/// A client behind the other interface has an old entry for each address. Only an announcement on that interface corrects it.
#[test]
fn garp_extra_if_repeats_the_announcements_where_no_adverts_leave() {
    let Some(lab) = Lab::new("garp_extra_if") else { return };
    let (a, c) = (lab.host("a", 20), lab.host("c", 40));
    second(&a, Some(&c));
    let lines = ["198.18.0.100/16", "198.19.0.100/16 dev eth1 use_vmac", "198.19.0.101/16 dev eth1"];
    let text = conf("use_vmac", lines, &["garp_extra_if all 1"], "    vmac_addr_prefix va\n");
    let on_a = lab.start_program(under_test(), &a, &text);
    on_a.await_state(State::Master);
    let plain = a.run("ip -o link show dev eth1");
    let plain = plain.split("link/ether ").nth(1).and_then(|l| l.split(' ').next()).expect("it has a MAC").to_owned();
    let entry = |addr: &str| c.run(&format!("ip neigh show {addr} dev eth1"));
    for round in 0..2 {
        for addr in FAR {
            c.run(&format!("ip neigh replace {addr} lladdr 02:00:00:00:00:99 dev eth1 nud stale"));
        }
        for (addr, mac) in [(FAR[0], MAC), (FAR[1], &*plain)] {
            until_true(&format!("{addr} at {mac}, round {round}: {}\n{}", entry(addr), on_a.log()), || {
                entry(addr).contains(&format!("lladdr {mac}"))
            });
        }
    }
}

/// The kernel decides when a group is joined or left whether it reports that.
#[test]
fn disable_local_igmp_sends_no_report_from_the_start_to_the_end() {
    let reports = "cat /proc/sys/net/ipv4/igmp_link_local_mcast_reports";
    for (words, expected) in [("", true), ("    disable_local_igmp\n", false)] {
        let Some(lab) = Lab::new("disable_local_igmp") else { return };
        let (a, c) = (lab.host("a", 20), lab.host("c", 40));
        let capture = lab.capture(&c, "igmp");
        let mut conf = Conf::v3(150);
        conf.global = words.to_owned();
        let on_a = lab.start(&a, &conf);
        on_a.await_state(State::Master);
        assert_eq!(a.run(reports).trim(), if expected { "1" } else { "0" });
        let (code, log) = on_a.stop();
        assert_eq!((code, a.run(reports).trim()), (Some(0), "1"), "{log}");
        // Of a group that is joined now the kernel sends its report; those of before have left.
        if expected {
            until_true("a report", || !capture.frames().is_empty());
        } else {
            crate::lab::pause(1500);
            assert!(capture.frames().is_empty(), "{:?}\n{log}", capture.frames());
        }
    }
}

#[test]
fn promote_secondaries_keeps_the_other_addresses_of_a_subnet() {
    let Some(lab) = Lab::new("promote_secondaries") else { return };
    let a = lab.host("a", 20);
    let lines = ["203.0.113.1/24", "203.0.113.2/24", "203.0.113.3/24"];
    let on_a = lab.start_program(under_test(), &a, &conf("", lines, &["promote_secondaries"], ""));
    on_a.await_state(State::Master);
    until_true("its addresses", || lines.iter().all(|l| addrs_on(&a, IFACE).contains(*l)));
    until_true("the sysctl", || knob(&a, IFACE, "promote_secondaries") == "1");
    let monitor = Monitor::on(&lab, &a);
    a.run(&format!("ip addr del {} dev {IFACE}", lines[0]));
    until_true("the deletion", || monitor.text().contains("203.0.113.1/24"));
    if !stand_in() {
        until_true("its return", || addrs_on(&a, IFACE).contains(lines[0]));
    }
    let deleted: Vec<String> = monitor.text().lines().filter(|l| l.contains("Deleted")).map(str::to_owned).collect();
    assert!(deleted.iter().all(|l| !l.contains(lines[1]) && !l.contains(lines[2])), "{deleted:?}");
    let (code, log) = on_a.stop();
    assert_eq!((code, knob(&a, IFACE, "promote_secondaries")), (Some(0), "0".to_owned()), "{log}");
}
