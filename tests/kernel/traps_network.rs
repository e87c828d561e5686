//! Traps of networks: neighbour entries, duplicate address detection, interfaces of others, large messages, a link that goes below a VMAC.
//!
//! Trap numbers are those of `docs/traps.md`. Read first: `../lab/mod.rs`.

use crate::guard::running;
use crate::lab::daemon::{Conf, Daemon, State, VIP, VIP6, stand_in};
use crate::lab::{Host, IFACE, Lab, skip, until_true};
use crate::vmac::macvlans;

fn start(lab: &Lab, host: &Host, conf: &Conf, state: State) -> Daemon {
    let daemon = lab.start(host, conf);
    daemon.await_state(state);
    daemon
}

/// While the Backup's port is down the Master's neighbour entry of it fails. The next question of the Master comes up to a second
/// after the port is up, and Master_Down_Interval is a third of that.
#[test]
fn trap_37_a_backup_that_returns_is_heard_by_the_masters_neighbour_table_at_once() {
    let Some(lab) = Lab::new("trap 37") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let unicast = |priority, peer: &Host, own: &Host| {
        let conf = Conf::v3(priority).every("0.1").with(&format!("unicast_src_ip {}", own.v4()));
        conf.with("unicast_peer {").with(&peer.v4()).with("}")
    };
    let on_a = start(&lab, &a, &unicast(150, &b, &a), State::Master);
    let on_b = start(&lab, &b, &unicast(100, &a, &b), State::Backup);
    let before = on_b.times(State::Master);
    for round in 1..=3 {
        lab.port(&b, "down");
        on_b.await_state(State::Fault);
        a.run(&format!("ip neigh flush dev {IFACE}"));
        until_true("a question without an answer", || {
            let entry = a.neighbour(&b.v4());
            entry.contains("INCOMPLETE") || entry.contains("FAILED")
        });
        lab.port(&b, "up");
        on_b.await_state(State::Backup);
        until_true("b to hear a", || a.sees(&b.v4(), &b));
        // Several Master_Down_Intervals.
        let wire = lab.capture(&b, "ip proto 112");
        wire.await_adverts(&a, 10);
        assert_eq!((round, on_b.times(State::Master)), (round, before), "{}", on_b.log());
    }
    assert_eq!(on_a.times(State::Master), 1, "{}", on_a.log());
}

/// Addresses of IPv6 on an interface with these words, such as `tentative` or `dadfailed`.
fn with_flag(host: &Host, flag: &str) -> String {
    host.run(&format!("ip -6 -o addr show dev {IFACE} {flag}"))
}

/// The previous owner still answers when its addresses are added here: detection would find it, and the kernel would not use the address.
#[test]
fn trap_53_an_ipv6_address_whose_old_owner_still_answers_is_used_all_the_same() {
    let Some(lab) = Lab::new("trap 53") else { return };
    let (a, old) = (lab.host("a", 20), lab.host("old", 30));
    a.script(&format!("sysctl -qw net.ipv6.conf.all.accept_dad=1 net.ipv6.conf.{IFACE}.accept_dad=1"));
    for vip in VIP6 {
        old.run(&format!("ip addr add {vip}/64 dev {IFACE} nodad"));
    }
    // Detection works here: an address of `old` cannot be taken by hand.
    a.run(&format!("ip addr add {}/64 dev {IFACE}", old.global()));
    until_true("dadfailed", || with_flag(&a, "dadfailed").contains(&old.global()));
    let on_a = start(&lab, &a, &Conf::v6(150), State::Master);
    until_true("both addresses", || VIP6.iter().all(|vip| a.holds(vip)));
    for flag in ["dadfailed", "tentative"] {
        let bad = with_flag(&a, flag);
        assert!(VIP6.iter().all(|vip| !bad.contains(&format!(" {vip}/"))), "{flag}: {bad}\n{}", on_a.log());
    }
}

/// Detection takes a second or two after the address was added.
#[test]
fn trap_54_a_link_local_address_that_is_tentative_at_the_start_delays_and_does_not_prevent() {
    let Some(lab) = Lab::new("trap 54") else { return };
    let a = lab.bare_host("a", 20);
    a.script(&format!(
        "sysctl -qw net.ipv6.conf.all.accept_dad=1 net.ipv6.conf.{IFACE}.accept_dad=1 net.ipv6.conf.{IFACE}.dad_transmits=2; \
         ip addr add {}/64 dev {IFACE}",
        a.v6()
    ));
    let on_a = lab.start(&a, &Conf::v6(150));
    on_a.await_state(State::Master);
    until_true("its addresses", || VIP6.iter().all(|vip| a.holds(vip)));
    if !stand_in() {
        assert_eq!(on_a.states().first(), Some(&State::Fault), "it was tentative when it was read: {}", on_a.log());
    }
}

#[test]
fn trap_55_one_link_local_address_is_virtual_on_two_interfaces() {
    let Some(lab) = Lab::new("trap 55") else { return };
    let a = lab.host("a", 20);
    a.script(
        "ip link add name eth1 type veth peer name far1; ip link set far1 up; ip link set eth1 addrgenmode none up",
    );
    a.script("ip addr add fe80::20/64 dev eth1 nodad");
    let one = Conf { vips: vec!["fe80::1".to_owned()], ..Conf::v3(150) };
    let text = one.text();
    let second = text.split_once("vrrp_instance").expect("an instance").1;
    let second = format!(
        "vrrp_instance{}",
        second.replace("VI_1", "VI_2").replace(&format!("interface {IFACE}"), "interface eth1")
    );
    let text = format!("{text}{second}");
    let on_a = lab.start_program(crate::lab::daemon::under_test(), &a, &text);
    for dev in [IFACE, "eth1"] {
        let there = || a.run(&format!("ip -6 -o addr show dev {dev}")).contains(" fe80::1/");
        until_true(&format!("fe80::1 on {dev}; log:\n{}", on_a.log()), there);
    }
    on_a.await_times(State::Master, 2);
    if stand_in() {
        return;
    }
    // One of the two leaves with its interface; the other stays.
    a.run("ip link set far1 down");
    on_a.await_line("(VI_2) Entering FAULT STATE");
    until_true("gone from eth1", || !a.run("ip -6 -o addr show dev eth1").contains(" fe80::1/"));
    assert!(a.run(&format!("ip -6 -o addr show dev {IFACE}")).contains(" fe80::1/"));
}

/// Interfaces of containers come and go: of no concern, and nothing of them is kept.
#[test]
fn trap_59_interfaces_of_others_that_come_and_go_change_nothing_and_cost_no_memory() {
    let Some(lab) = Lab::new("trap 59") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let on_a = start(&lab, &a, &Conf::v3(150), State::Master);
    let on_b = start(&lab, &b, &Conf::v3(100), State::Backup);
    let churn = |host: &Host, n: usize| {
        let batch = lab.path("churn.batch");
        let lines: String = (0..n)
            .map(|i| {
                format!(
                    "link add name c{i} type veth peer name d{i}\nlink set c{i} up\nlink set d{i} up\nlink del c{i}\n"
                )
            })
            .collect();
        std::fs::write(&batch, lines).expect("the lab's directory is writable");
        host.run(&format!("ip -batch {}", batch.display()));
    };
    churn(&a, 100);
    let lines = on_a.log().lines().count();
    let core = || if stand_in() { 0 } else { running(&on_a, "--core") };
    let core_before = core();
    let before = on_a.memory_kib();
    churn(&a, 200);
    // All of it was read once an event after it has been.
    a.script(&format!("ip addr del {VIP}/32 dev {IFACE}"));
    until_true("the VIP back", || a.holds(VIP));
    assert_eq!((on_a.times(State::Master), on_b.times(State::Master)), (1, 0), "{}", on_a.log());
    if stand_in() {
        return;
    }
    let more: Vec<String> = on_a.log().lines().skip(lines).map(str::to_owned).collect();
    assert!(more.len() < 10, "{more:#?}");
    assert!(on_a.memory_kib() < before + 2048, "{before} KiB before, {} KiB after", on_a.memory_kib());
    assert_eq!(core(), core_before);
}

/// The kernel's message about a network card with many functions is longer than the page or two that a reader has room for. Its other
/// names make the message of any interface as long.
#[test]
fn trap_60_an_interface_whose_message_is_longer_than_16_kib_is_found() {
    let Some(lab) = Lab::new("trap 60") else { return };
    let a = lab.host("a", 20);
    let batch = lab.path("names.batch");
    let names: String =
        (0..200).map(|n| format!("link property add dev {IFACE} altname {}{n}\n", "x".repeat(110))).collect();
    std::fs::write(&batch, names).expect("the lab's directory is writable");
    if !a.output(&format!("ip -batch {}", batch.display())).status.success() {
        return skip("trap 60", "this kernel has no other names of interfaces, or not so many");
    }
    let on_a = start(&lab, &a, &Conf::v3(150), State::Master);
    until_true("the VIP", || a.holds(VIP));
    // A report, not a dump.
    a.run(&format!("ip link set {IFACE} down"));
    on_a.await_state(State::Fault);
    a.run(&format!("ip link set {IFACE} up"));
    on_a.await_state(State::Master);
    until_true("the VIP", || a.holds(VIP));
}

#[test]
fn trap_63_with_the_link_below_the_connected_route_of_the_vmac_goes() {
    let Some(lab) = Lab::new("trap 63") else { return };
    let (a, c) = (lab.host("a", 20), lab.host("c", 40));
    let conf = Conf { vips: vec!["203.0.113.1/24".to_owned()], ..Conf::v3(150) }.with("use_vmac");
    let on_a = start(&lab, &a, &conf, State::Master);
    let routes = || {
        let all = a.run("ip route show dev vrrp.51");
        // A route that the kernel itself does not use any more says so.
        all.lines().filter(|l| !l.contains("linkdown") && !l.contains("dead")).map(str::to_owned).collect::<Vec<_>>()
    };
    until_true("the connected route", || routes().iter().any(|l| l.contains("203.0.113.0/24")));
    lab.port(&a, "down");
    on_a.await_state(State::Fault);
    until_true(&format!("no route: {:?}\n{}", routes(), on_a.log()), || routes().is_empty());
    assert_eq!(macvlans(&a).len(), 1, "the interface stays");
    lab.port(&a, "up");
    on_a.await_state(State::Master);
    until_true("the connected route", || routes().iter().any(|l| l.contains("203.0.113.0/24")));
    drop(c);
}

/// One interface with 60 virtual routers of each family, each with an interface of its own; in the machine of `vm61`, `VLANS` of them on
/// VLANs.
#[test]
fn trap_58_many_virtual_macs_at_the_start_cause_no_fault() {
    let Some(lab) = Lab::new("trap 58") else { return };
    let a = lab.host("a", 20);
    many_vmacs(&lab, &a, 60, |_| IFACE.to_owned());
}

#[test]
fn trap_58_virtual_macs_on_250_vlans_cause_no_fault() {
    const VLANS: usize = 250;
    let Some(lab) = Lab::new("trap 58 VLANs") else { return };
    let a = lab.host("a", 20);
    if !crate::vmac::has_kind(&a, &format!("link {IFACE} name v0 type vlan id 1")) {
        return skip("trap 58 VLANs", "this kernel has no VLANs");
    }
    let batch = lab.path("vlans.batch");
    let vlan = |n: usize| {
        let (id, hi, lo) = (n + 1, n / 100, n % 100);
        format!(
            "link add link {IFACE} name v{n} type vlan id {id}\nlink set v{n} addrgenmode none\nlink set v{n} up\n\
             addr add 10.{hi}.{lo}.2/24 dev v{n}\naddr add fe80::2/64 dev v{n} nodad\n"
        )
    };
    a.run("ip link del v0");
    std::fs::write(&batch, (0..VLANS).map(vlan).collect::<String>()).expect("the lab's directory is writable");
    a.run(&format!("ip -batch {}", batch.display()));
    many_vmacs(&lab, &a, VLANS, |n| format!("v{n}"));
}

/// `n` virtual routers of each family, on the interface of each number.
fn many_vmacs(lab: &Lab, a: &Host, n: usize, dev: impl Fn(usize) -> String) {
    let one = |i: usize| {
        let (vrid, dev) = (i + 1, dev(i));
        let (hi, lo) = (i / 100, i % 100);
        [("A", format!("10.{hi}.{lo}.1/24")), ("B", format!("fe80::{vrid:x}:1"))].map(|(name, vip)| {
            format!(
                "vrrp_instance {name}{i} {{\n state BACKUP\n interface {dev}\n virtual_router_id {vrid}\n priority 150\n version 3\n \
                 advert_int 1\n use_vmac\n virtual_ipaddress {{\n {vip}\n }}\n}}\n"
            )
        })
    };
    let text: String = (0..n).flat_map(one).collect();
    let on_a = lab.start_program(crate::lab::daemon::under_test(), a, &text);
    until_true(&format!("{} Masters; log:\n{}", 2 * n, on_a.log()), || on_a.times(State::Master) == 2 * n);
    assert_eq!(on_a.times(State::Fault), 0, "{}", on_a.lines_with("FAULT").join("\n"));
    assert_eq!(macvlans(a).len(), 2 * n);
    let (code, log) = on_a.stop();
    assert_eq!((code, macvlans(a).len()), (Some(0), 0), "{log}");
}

/// A port that leaves its bridge is reported as a deletion, of the family AF_BRIDGE: the interface is there all the same.
#[test]
fn trap_40_a_group_whose_tracked_port_leaves_its_bridge_while_a_members_interface_flaps_is_of_one_state() {
    if stand_in() {
        return skip("trap 40", "the states are read from the report");
    }
    let Some(lab) = Lab::new("trap 40") else { return };
    let a = lab.host("a", 20);
    a.script(
        "ip link add name eth1 type veth peer name far1; ip link set far1 up; ip link set eth1 addrgenmode none up
         ip addr add 198.19.0.20/16 dev eth1
         ip link add name br1 type bridge stp_state 0 forward_delay 0; ip link set br1 up
         ip link add name t0 type veth peer name t1; ip link set t1 up; ip link set t0 master br1; ip link set t0 up",
    );
    let member = |name: &str, dev: &str, vrid: u8, vip: &str| {
        format!(
            "vrrp_instance {name} {{\n interface {dev}\n virtual_router_id {vrid}\n priority 150\n version 3\n advert_int 0.1\n \
             track_interface {{\n t0\n }}\n virtual_ipaddress {{\n {vip}/16\n }}\n}}\n"
        )
    };
    let text = format!(
        "vrrp_sync_group G {{\n group {{\n A\n B\n }}\n}}\n{}{}",
        member("A", IFACE, 61, VIP),
        // It tracks nothing.
        member("B", "eth1", 62, "198.19.0.100").replace(" track_interface {\n t0\n }\n", "")
    );
    let on_a = lab.start_program(crate::lab::daemon::under_test(), &a, &text);
    let all = |state: &str| {
        let report = crate::report::of(&on_a);
        let one = |v: &serde_json::Value| v["state"] == state;
        let all = |list: &str| report[list].as_array().is_some_and(|l| !l.is_empty() && l.iter().all(one));
        all("instances") && all("groups")
    };
    let held = || (a.holds(VIP), a.holds("198.19.0.100"));
    on_a.await_times(State::Master, 2);
    until_true("both Master", || all("MASTER") && held() == (true, true));
    for round in 0..4 {
        let (first, then) = match round % 2 {
            0 => ("ip link set eth1 down", "ip link set t0 nomaster"),
            _ => ("ip link set t0 nomaster", "ip link set eth1 down"),
        };
        a.script(&format!("{first}; {then}"));
        until_true(&format!("both in FAULT; log:\n{}", on_a.log()), || all("FAULT") && held() == (false, false));
        a.script("ip link set eth1 up");
        until_true(&format!("both Master; log:\n{}", on_a.log()), || all("MASTER") && held() == (true, true));
        // All within one turn or two of the loop.
        a.script("ip link set eth1 down; ip link set t0 master br1; ip link set t0 nomaster; ip link set eth1 up; ip link set t0 master br1");
        on_a.await_times(State::Fault, 4 * round + 4);
        until_true(&format!("both Master; log:\n{}", on_a.log()), || all("MASTER") && held() == (true, true));
    }
    // It was the port that counted, all the time.
    let before = on_a.times(State::Fault);
    a.script("ip link set t0 nomaster");
    a.script(&format!("ip addr del {VIP}/16 dev {IFACE}"));
    until_true("the address back, after all that was before it", || a.holds(VIP));
    assert_eq!(on_a.times(State::Fault), before, "{}", on_a.log());
    a.script("ip link set t0 down");
    until_true("both in FAULT", || all("FAULT") && held() == (false, false));
    a.script("ip link set t0 up");
    until_true("both Master", || all("MASTER") && held() == (true, true));
}
