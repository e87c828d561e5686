//! Unicast peers in real namespaces: the routes of packets, and addresses and interfaces that come later.
//!
//! The numbers are those of `docs/traps.md`. A pair with keepalived is in `tests/interop`. Read first: `../lab/mod.rs`.

use crate::lab::capture::Capture;
use crate::lab::daemon::{Conf, Daemon, State, VIP, executable, stand_in, under_test};
use crate::lab::{Host, IFACE, Lab, pause, skip, until_true};

/// `conf` with peers; each is a host's address.
fn peers(conf: Conf, list: &[String]) -> Conf {
    let conf = list.iter().fold(conf.with("unicast_peer {"), |c, peer| c.with(&format!("    {peer}")));
    conf.with("}")
}

fn one_owner(is: &Host, not: &[&Host]) {
    until_true(&format!("{VIP} on {} alone", is.name), || is.holds(VIP) && not.iter().all(|n| !n.holds(VIP)));
}

fn start(lab: &Lab, host: &Host, conf: &Conf, state: State) -> Daemon {
    let daemon = lab.start(host, conf);
    daemon.await_state(state);
    daemon
}

fn reload(daemon: &Daemon, conf: &Conf) {
    std::fs::write(daemon.conf(), conf.text()).expect("the lab's directory is writable");
    daemon.signal("HUP");
}

fn to_group(wire: &Capture) -> usize {
    wire.adverts().iter().filter(|a| a.dst.is_multicast()).count()
}

/// Three routers with one list, which has each of them itself: it is left out.
#[test]
fn three_routers_of_which_one_cannot_be_reached_and_a_reload_that_brings_it_back() {
    let Some(lab) = Lab::new("unicast: three") else { return };
    let (a, b, c) = (lab.host("a", 20), lab.host("b", 30), lab.host("c", 40));
    let all: Vec<String> = [&a, &b, &c].iter().map(|h| h.v4()).collect();
    let wire = lab.capture(&c, "ip proto 112");
    let conf = |priority, list: &[String]| peers(Conf::v3(priority), list);
    let master = start(&lab, &a, &conf(150, &all), State::Master);
    let low = start(&lab, &b, &conf(100, &all), State::Backup);
    let lowest = start(&lab, &c, &conf(50, &all), State::Backup);
    one_owner(&a, &[&b, &c]);
    wire.await_adverts(&a, 5);
    assert!(wire.adverts_of(&a).iter().all(|v| v.dst.to_string() == c.v4() && v.ttl == 255));
    assert_eq!(to_group(&wire), 0);

    // A reject rule for one peer does not stop the packets to the other.
    a.script(&format!("ip route add unreachable {}/32", c.v4()));
    if !stand_in() {
        until_true("the peer to be named", || {
            master.log().contains(&format!("adverts to peer {} do not leave", c.v4()))
        });
    }
    lowest.await_times(State::Master, 1);
    assert_eq!(low.times(State::Master), 0, "b hears a all the time");
    a.run(&format!("ip route del unreachable {}/32", c.v4()));
    lowest.await_state(State::Backup);
    one_owner(&a, &[&b, &c]);

    // b stops being a peer and takes over; it becomes one again, and a keeps what it has.
    reload(&master, &conf(150, &[c.v4()]));
    low.await_state(State::Master);
    reload(&master, &conf(150, &all));
    low.await_state(State::Backup);
    one_owner(&a, &[&b, &c]);
    assert_eq!((master.times(State::Master), master.times(State::Backup)), (1, 1), "log:\n{}", master.log());

    // Another process continues, with the same peers.
    if !stand_in() {
        let out = a
            .command(executable(under_test()))
            .args(["upgrade", "-p", &master.pid_file().display().to_string()])
            .output()
            .expect("setpriv was found by missing()");
        assert!(out.status.success(), "{out:?}");
        wire.await_adverts(&a, 10);
        assert!(wire.adverts_of(&a).iter().all(|v| v.priority == 150), "no farewell");
        one_owner(&a, &[&b, &c]);
    }

    // The farewell reaches both.
    let (code, log) = master.stop();
    assert_eq!(code, Some(0), "log:\n{log}");
    low.await_state(State::Master);
    until_true("a farewell on c", || wire.adverts_of(&a).last().is_some_and(|v| v.priority == 0));
    one_owner(&b, &[&a, &c]);
}

#[test]
fn trap_51_the_source_comes_half_a_minute_late() {
    let Some(lab) = Lab::new("trap 51") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let late = "198.18.0.120";
    let conf = peers(Conf::v3(150).with(&format!("unicast_src_ip {late}")), &[b.v4()]);
    let other = start(&lab, &b, &peers(Conf::v3(100), &[late.to_owned()]), State::Master);
    let daemon = lab.start(&a, &conf);
    daemon.await_state(State::Fault);
    if !stand_in() {
        assert!(daemon.log().contains(&format!("source address {late} is not there yet")), "{}", daemon.log());
    }
    pause(1000);
    a.run(&format!("ip addr add {late}/16 dev {IFACE}"));
    daemon.await_state(State::Master);
    other.await_state(State::Backup);
    one_owner(&a, &[&b]);
    // Away again, and back.
    a.run(&format!("ip addr del {late}/16 dev {IFACE}"));
    daemon.await_state(State::Fault);
    other.await_state(State::Master);
    one_owner(&b, &[&a]);
    a.run(&format!("ip addr add {late}/16 dev {IFACE}"));
    daemon.await_state(State::Master);
    other.await_state(State::Backup);
    one_owner(&a, &[&b]);
}

#[test]
fn trap_65_peers_on_loopbacks_that_are_reached_by_two_ways() {
    let Some(lab) = Lab::new("trap 65") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    for (host, n, other) in [(&a, 1, &b), (&b, 2, &a)] {
        // Two addresses on one link stand for two links: what counts is that the kernel picks the way.
        host.run(&format!("ip addr add 10.255.0.{n}/32 dev lo"));
        host.run(&format!("ip addr add 198.19.0.{}/16 dev {IFACE}", host.n));
        let loopback = 3 - n;
        host.run(&format!(
            "ip route add 10.255.0.{loopback}/32 nexthop via 198.18.0.{} nexthop via 198.19.0.{}",
            other.n, other.n
        ));
    }
    let conf = |priority, n: u8| {
        let conf = Conf::v3(priority).with(&format!("unicast_src_ip 10.255.0.{n}"));
        peers(conf, &[format!("10.255.0.{}", 3 - n)])
    };
    let low = start(&lab, &b, &conf(100, 2), State::Master);
    let high = start(&lab, &a, &conf(150, 1), State::Master);
    low.await_state(State::Backup);
    one_owner(&a, &[&b]);
    // One way goes.
    a.run("ip route replace 10.255.0.2/32 via 198.19.0.30");
    b.run("ip route replace 10.255.0.1/32 via 198.19.0.20");
    pause(2000);
    assert_eq!((high.times(State::Master), low.times(State::Master)), (1, 1), "log:\n{}", low.log());
}

#[test]
fn trap_49_an_interface_made_anew_whose_address_comes_later() {
    let Some(lab) = Lab::new("trap 49") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let own = "192.0.2.20";
    a.run("ip link add name side type veth peer name edis");
    let make = "ip link set side up; ip link set edis up";
    a.script(&format!("{make}; ip addr add {own}/32 dev side"));
    b.run(&format!("ip route add {own}/32 via 198.18.0.20"));
    let conf = peers(Conf::v3(150).with(&format!("unicast_src_ip {own}")), &[b.v4()]);
    let other = start(&lab, &b, &peers(Conf::v3(100), &[own.to_owned()]), State::Master);
    let daemon = lab.start(&a, &conf);
    daemon.await_state(State::Master);
    other.await_state(State::Backup);
    a.run("ip link del side");
    daemon.await_state(State::Fault);
    other.await_state(State::Master);
    a.script(&format!(
        "ip link add name other type veth peer name other2; ip link add name side type veth peer name edis; {make}"
    ));
    pause(1000);
    a.run(&format!("ip addr add {own}/32 dev side"));
    daemon.await_state(State::Master);
    other.await_state(State::Backup);
    one_owner(&a, &[&b]);
}

/// Two instances on one interface with one VRID: each hears its own peer.
#[test]
fn one_vrid_twice_with_different_peers() {
    let Some(lab) = Lab::new("unicast: one VRID") else { return };
    let (a, b, c) = (lab.host("a", 20), lab.host("b", 30), lab.host("c", 40));
    let second = "198.18.0.101";
    let of = |name: &str, vip: &str, priority: u8, peer: &str| {
        let conf = Conf { vips: vec![vip.to_owned()], ..Conf::v3(priority) };
        let text = peers(conf, &[peer.to_owned()]).text().replace("VI_1", name);
        text.split_once("vrrp_instance").map(|(_, block)| format!("vrrp_instance{block}")).expect("an instance")
    };
    let both = format!("{}{}", of("VI_1", VIP, 150, &b.v4()), of("VI_2", second, 50, &c.v4()));
    let low = lab.start_program(under_test(), &b, &of("VI_1", VIP, 100, &a.v4()));
    let high = lab.start_program(under_test(), &c, &of("VI_2", second, 100, &a.v4()));
    let _daemon = lab.start_program(under_test(), &a, &both);
    until_true("each on its Master", || a.holds(VIP) && c.holds(second) && !b.holds(VIP) && !a.holds(second));
    pause(1500);
    assert_eq!((low.states().last(), high.states().last()), (Some(&State::Backup), Some(&State::Master)));
    assert!(a.holds(VIP) && c.holds(second));
}

/// The kernel would look for a source among all addresses of the interface, for each packet to each peer, which already has one.
#[test]
fn what_sends_to_ipv6_peers_has_its_source_and_needs_no_search_for_one() {
    if stand_in() {
        return skip("unicast: source", "about kalived's sockets");
    }
    let Some(lab) = Lab::new("unicast: source") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let conf = peers(Conf::v6(150).with(&format!("unicast_src_ip {}", a.global())), &[b.global()]);
    let wire = lab.capture(&b, "ip6 proto 112");
    let on_a = start(&lab, &a, &conf, State::Master);
    wire.await_adverts(&a, 2);
    assert!(wire.adverts_of(&a).iter().all(|v| v.src.to_string() == a.global() && v.dst.to_string() == b.global()));
    // Its protocol is 255: it receives nothing.
    let text = a.run("cat /proc/net/raw6");
    let own =
        |l: &&str| l.split_whitespace().nth(1).is_some_and(|s| s.ends_with(":00FF") && !s.starts_with(&"0".repeat(32)));
    assert_eq!(text.lines().filter(own).count(), 1, "{text}\n{}", on_a.log());
    // It is no reason to keep the address, and none to fail when the address comes and goes.
    a.run(&format!("ip addr del {}/64 dev {IFACE}", a.global()));
    on_a.await_state(State::Fault);
    a.run(&format!("ip addr add {}/64 dev {IFACE} nodad", a.global()));
    on_a.await_state(State::Master);
    wire.await_adverts(&a, 2);
}
