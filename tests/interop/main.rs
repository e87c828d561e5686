//! kalived and Debian's keepalived as partners: each as Master and as Backup, in each version and family.
//!
//! Read first: `../lab/mod.rs`. Every case has the same steps: preemption, crash, return, farewell. At its end tshark checks every packet of
//! both: none is malformed, none has a bad checksum.

mod bfd;
mod frr;
#[path = "../lab/mod.rs"]
mod lab;

use lab::daemon::{Conf, Daemon, Program, State, under_test};
use lab::{Host, Lab, have, skip, until_true};

/// Starts `program` with keepalived's spelling of what only it needs.
fn start(lab: &Lab, program: Program, host: &Host, conf: &Conf) -> Daemon {
    lab.start_program(program, host, &conf.text())
}

/// `high` is the program with priority 150.
/// Adverts to peers pass only where these are; those to a group everywhere.
fn life(name: &str, high: Program, low: Program, unicast: bool, conf: impl Fn(u8) -> Conf) {
    for program in ["keepalived", "tshark"] {
        if !have(program) {
            return skip(name, &format!("{program} is not installed"));
        }
    }
    let Some(lab) = Lab::new(name) else { return };
    let (a, b, client) = (lab.host("a", 20), lab.host("b", 30), lab.host("client", 40));
    let vip = conf(1).vips[0].clone();
    let owner = |is: &Host, not: &Host| {
        until_true(&format!("{vip} on {} and not on {}", is.name, not.name), || is.holds(&vip) && !not.holds(&vip));
    };
    let wire = lab.capture(if unicast { &b } else { &client }, "ip proto 112 or ip6 proto 112");

    // A lone Master, then preemption by the higher priority.
    let backup = start(&lab, low, &b, &conf(100));
    backup.await_state(State::Master);
    let master = start(&lab, high, &a, &conf(150));
    master.await_state(State::Master);
    backup.await_state(State::Backup);
    owner(&a, &b);

    // The Master is killed, without a farewell.
    master.kill9();
    backup.await_times(State::Master, 2);
    until_true("the VIP on b", || b.holds(&vip));
    assert!(wire.adverts_of(&a).iter().all(|v| v.priority == 150), "a killed Master said goodbye");

    // It returns, finds its own left-over address, and preempts.
    let master = start(&lab, high, &a, &conf(150));
    master.await_state(State::Master);
    backup.await_state(State::Backup);
    owner(&a, &b);

    // It is stopped: the partner accepts the farewell.
    let (code, log) = master.stop();
    assert_eq!(code, Some(0), "log:\n{log}");
    backup.await_times(State::Master, 3);
    owner(&b, &a);
    assert_eq!(wire.adverts_of(&a).iter().filter(|v| v.priority == 0).count(), 1, "one farewell");

    // The other one is stopped as Master, too; a comes back to an empty LAN.
    let master = start(&lab, high, &a, &conf(150));
    master.await_state(State::Master);
    backup.await_state(State::Backup);
    let (code, log) = backup.stop();
    assert_eq!(code, Some(0), "log:\n{log}");
    wire.await_adverts(&a, 5);
    assert_eq!(master.times(State::Master), 1, "log:\n{}", master.log());
    assert_eq!(wire.adverts_of(&b).iter().filter(|v| v.priority == 0).count(), 0, "a Backup leaves in silence (R-060)");
    let backup = start(&lab, low, &b, &conf(100));
    backup.await_state(State::Backup);
    wire.await_adverts(&a, 5);
    assert_eq!(backup.times(State::Master), 0);
    let (code, log) = master.stop();
    assert_eq!(code, Some(0), "log:\n{log}");
    backup.await_state(State::Master);
    owner(&b, &a);
    let (code, log) = backup.stop();
    assert_eq!(code, Some(0), "log:\n{log}");
    until_true("the last farewell", || wire.adverts_of(&b).last().is_some_and(|v| v.priority == 0));

    let adverts = wire.adverts().len();
    assert_eq!(wire.good_by_tshark(false), adverts, "tshark verified every advert");
}

fn both(name: &str, conf: impl Fn(u8) -> Conf) {
    life(&format!("{name}: ours higher"), under_test(), Program::Keepalived, false, &conf);
    life(&format!("{name}: keepalived higher"), Program::Keepalived, under_test(), false, &conf);
}

/// Host 20 has priority 150, host 30 the other; each has the other as its peer.
fn peers(name: &str, net: &str, conf: impl Fn(u8) -> Conf) {
    let conf = |priority| {
        let (own, peer) = if priority == 150 { (20, 30) } else { (30, 20) };
        let own = format!("unicast_src_ip {net}{own}");
        conf(priority).with(&own).with("unicast_peer {").with(&format!("{net}{peer}")).with("}")
    };
    life(&format!("{name}: ours higher"), under_test(), Program::Keepalived, true, conf);
    life(&format!("{name}: keepalived higher"), Program::Keepalived, under_test(), true, conf);
}

#[test]
fn v2_unicast() {
    peers("interop v2 unicast", "198.18.0.", Conf::v2);
}

#[test]
fn v3_unicast() {
    peers("interop v3 unicast", "198.18.0.", Conf::v3);
}

#[test]
fn v3_ipv6_unicast() {
    peers("interop v3 IPv6 unicast", "2001:db8:12::", Conf::v6);
}

#[test]
fn v2_ipv4() {
    both("interop v2", Conf::v2);
}

#[test]
fn v2_ipv4_with_a_password() {
    both("interop v2 PASS", |priority| {
        Conf::v2(priority).with("authentication {").with("auth_type PASS").with("auth_pass kalived1").with("}")
    });
}

#[test]
fn v3_ipv4() {
    both("interop v3", Conf::v3);
}

#[test]
fn v3_ipv6() {
    both("interop v3 IPv6", Conf::v6);
}

/// Three addresses in another order on each side: no side may report or refuse that.
#[test]
fn v2_three_addresses_in_any_order() {
    both("interop v2, three addresses", |priority| {
        let mut vips: Vec<String> = (100..103).map(|n| format!("198.18.0.{n}")).collect();
        if priority == 150 {
            vips.reverse();
        }
        Conf { vips, ..Conf::v2(priority) }
    });
}

/// AH: as [`life`], without a capture, for its adverts are of another protocol. No side may refuse a signature or a sequence of the other,
/// neither of one that takes over nor of one that comes back.
fn signed_life(name: &str, high: Program, low: Program) {
    if !have("keepalived") {
        return skip(name, "keepalived is not installed");
    }
    let Some(lab) = Lab::new(name) else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let conf = |priority| {
        Conf::v2(priority).with("authentication {").with("auth_type AH").with("auth_pass kalived1").with("}")
    };
    let vip = conf(1).vips[0].clone();
    let owner = |is: &Host, not: &Host| {
        until_true(&format!("{vip} on {} and not on {}", is.name, not.name), || is.holds(&vip) && !not.holds(&vip));
    };
    let backup = start(&lab, low, &b, &conf(100));
    backup.await_state(State::Master);
    let mut logs = Vec::new();
    for round in 1..=2 {
        let master = start(&lab, high, &a, &conf(150));
        master.await_state(State::Master);
        backup.await_state(State::Backup);
        owner(&a, &b);
        if round == 1 {
            logs.push(master.log());
            // It leaves its address where it is.
            master.kill9();
            backup.await_times(State::Master, 2);
            until_true("the VIP on b", || b.holds(&vip));
        } else {
            let (code, log) = master.stop();
            assert_eq!(code, Some(0), "log:\n{log}");
            logs.push(log);
            backup.await_times(State::Master, 3);
            owner(&b, &a);
        }
    }
    let (code, log) = backup.stop();
    assert_eq!(code, Some(0), "log:\n{log}");
    logs.push(log);
    for log in logs {
        let complaint = |l: &&str| ["IPSEC", "dropped", "auth-", "sequence"].iter().any(|w| l.contains(w));
        let complaints: Vec<&str> = log.lines().filter(complaint).collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }
}

#[test]
fn v2_ipv4_with_an_authentication_header() {
    signed_life("interop v2 AH: ours higher", under_test(), Program::Keepalived);
    signed_life("interop v2 AH: keepalived higher", Program::Keepalived, under_test());
}
