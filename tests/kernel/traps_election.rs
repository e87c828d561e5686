//! Traps of the election and its timers: two Masters, none, or a client that sends to the wrong one.
//!
//! Trap numbers are those of `docs/traps.md`. Trap 24 (a timeout and a packet ready in the same turn) concerns the order inside one turn,
//! which is not visible from outside: the simulator tests it. Read first: `../lab/mod.rs`.

use crate::lab::advert::Advert;
use crate::lab::daemon::{Conf, State, VIP, stand_in};
use crate::lab::{IFACE, Lab, pause, skip, until_true};

const ADVERTS: &str = "ip proto 112";

/// Stops the Master until the peer has taken over, then continues it: the client must send to the Master again.
#[test]
fn trap_21_a_master_that_was_stopped_announces_itself_again() {
    if stand_in() {
        return skip("trap 21", "the stand-in never learns that it had stalled");
    }
    let Some(lab) = Lab::new("trap 21") else { return };
    let (a, b, client) = (lab.host("a", 20), lab.host("b", 30), lab.host("client", 40));
    let master = lab.start(&a, &Conf::v3(150));
    master.await_state(State::Master);
    let backup = lab.start(&b, &Conf::v3(100));
    backup.await_state(State::Backup);
    until_true("the client to reach the VIP at a", || client.reaches(VIP) && client.sees(VIP, &a));

    master.signal_all("STOP");
    backup.await_state(State::Master);
    until_true("the client to see the VIP at b", || client.sees(VIP, &b));
    master.signal_all("CONT");
    backup.await_state(State::Backup);
    until_true("the client to see the VIP at a again, untold", || client.sees(VIP, &a));
    assert!(a.holds(VIP) && client.reaches(VIP));
    until_true("b to have given the VIP back", || !b.holds(VIP));
}

/// As before, but the Master that comes back receives no advert: the peer that had taken over has ended, and was never received.
/// Only its own lateness shows it that the client may have learned another Master.
#[test]
fn trap_21_a_master_that_was_stopped_and_heard_nobody_announces_itself_all_the_same() {
    if stand_in() {
        return skip("trap 21, nobody heard", "the stand-in never learns that it had stalled");
    }
    let Some(lab) = Lab::new("trap 21, nobody heard") else { return };
    let (a, b, client) = (lab.host("a", 20), lab.host("b", 30), lab.host("client", 40));
    let wire = lab.capture(&client, "ip proto 112 or arp");
    let master = lab.start(&a, &Conf::v3(150));
    master.await_state(State::Master);
    let backup = lab.start(&b, &Conf::v3(100));
    backup.await_state(State::Backup);
    until_true("the client to reach the VIP at a", || client.reaches(VIP) && client.sees(VIP, &a));
    // The second burst, five seconds after the first, would hide what is looked for.
    let announced = || wire.frames().iter().filter(|f| f.announces().is_some_and(|(_, mac)| mac == a.mac())).count();
    until_true("both bursts of announcements", || announced() >= 10);
    a.script(&format!("{DEAF}; nft add rule inet deaf in ip protocol 112 drop"));

    master.signal_all("STOP");
    backup.await_state(State::Master);
    until_true("the client to see the VIP at b", || client.sees(VIP, &b));
    backup.kill9();
    master.signal_all("CONT");
    until_true("the client to see the VIP at a again, untold", || client.sees(VIP, &a));
}

/// The beginning of a firewall for incoming packets.
const DEAF: &str = "nft add table inet deaf; nft add chain inet deaf in '{ type filter hook input priority 0; }'";

#[test]
fn trap_22_a_backup_that_was_deaf_yields_and_the_client_follows() {
    let Some(lab) = Lab::new("trap 22") else { return };
    let (a, b, client) = (lab.host("a", 20), lab.host("b", 30), lab.host("client", 40));
    let master = lab.start(&a, &Conf::v3(150));
    master.await_state(State::Master);
    let backup = lab.start(&b, &Conf::v3(100));
    backup.await_state(State::Backup);
    until_true("the client to reach the VIP at a", || client.reaches(VIP) && client.sees(VIP, &a));

    b.script(&format!("{DEAF}; nft add rule inet deaf in ip protocol 112 drop"));
    backup.await_state(State::Master);
    // It receives nothing for a while: there are two Masters, and the client changes between them.
    pause(2000);
    b.run("nft delete table inet deaf");
    backup.await_state(State::Backup);
    until_true("b to have given the VIP back", || !b.holds(VIP));
    until_true("the client to see the VIP at a, untold", || client.sees(VIP, &a));
    assert!(client.reaches(VIP));
    assert_eq!(master.times(State::Master), 1, "the rightful Master never left");
    assert_eq!(master.states().last(), Some(&State::Master));
}

#[test]
fn trap_23_a_backup_that_was_stopped_reads_its_queue_before_its_timer() {
    let Some(lab) = Lab::new("trap 23") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let wire = lab.capture(&a, ADVERTS);
    let master = lab.start(&a, &Conf::v3(150));
    master.await_state(State::Master);
    let backup = lab.start(&b, &Conf::v3(100));
    backup.await_state(State::Backup);
    wire.await_adverts(&a, 3);
    for _ in 0..3 {
        backup.signal_all("STOP");
        wire.await_adverts(&a, 8);
        backup.signal_all("CONT");
        wire.await_adverts(&a, 8);
    }
    assert_eq!(backup.times(State::Master), 0, "log:\n{}", backup.log());
    assert!(wire.adverts_of(&b).is_empty(), "a Backup sent an advert (R-067)");
}

/// Each kind again and again: the Backup still becomes Master, and reports what was wrong with the adverts.
#[test]
fn trap_28_rejected_adverts_do_not_keep_a_backup_waiting() {
    let Some(lab) = Lab::new("trap 28") else { return };
    let (dut, peer) = (lab.host("dut", 20), lab.host("peer", 30));
    let good = Advert { pass: Some(b"secret".to_vec()), ..Advert::v2(200) };
    let mut ttl = good.frame();
    ttl[14 + 8] = 254;
    let sum = crate::lab::advert::checksum(&[&ttl[14..24], &[0, 0], &ttl[26..34]].concat()).to_be_bytes();
    ttl[24..26].copy_from_slice(&sum);
    let mut checksum = good.frame();
    checksum[14 + 20 + 7] ^= 1;
    let auth = Advert { pass: Some(b"wrong".to_vec()), ..good.clone() }.frame();
    let list = Advert { vips: vec!["198.18.0.101".parse().expect("an address")], ..good.clone() }.frame();
    let interval = Advert { interval: 2, ..good.clone() }.frame();

    let mut injector = lab.injector(&peer);
    let conf = Conf::v2(100).with("authentication {").with("auth_type PASS").with("auth_pass secret").with("}");
    let daemon = lab.start(&dut, &conf);
    daemon.await_state(State::Backup);
    until_true("Master although rejected adverts keep coming", || {
        for frame in [&ttl, &checksum, &auth, &list, &interval] {
            injector.send(frame);
        }
        daemon.times(State::Master) > 0
    });
    if stand_in() {
        return; // names the reason once per state, and not the sender
    }
    let log = daemon.log().to_lowercase();
    for (kind, words) in [
        ("TTL", ["ttl", "hop limit"]),
        ("checksum", ["checksum", "checksum"]),
        ("password", ["passw", "auth"]),
        ("interval", ["interval", "interval"]),
    ] {
        assert!(words.iter().any(|w| log.contains(w)), "no word about the {kind}; log:\n{log}");
    }
    assert!(log.contains("198.18.0.30"), "the sender is not named; log:\n{log}");
    injector.send(&good.frame());
    daemon.await_state(State::Backup);
}

/// The port of the restarted node passes nothing for three seconds after its link is up, as with spanning tree.
#[test]
fn trap_31_nopreempt_a_restarted_node_behind_a_deaf_port_does_not_take_over() {
    if stand_in() {
        return skip("trap 31", "the stand-in takes over when its port is deaf for long enough");
    }
    let Some(lab) = Lab::new("trap 31") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let wire = lab.capture(&b, ADVERTS);
    let master = lab.start(&b, &Conf::v2(100).with("nopreempt"));
    master.await_state(State::Master);
    // Link down, as after a power cycle; the daemon is up first.
    lab.port(&a, "down");
    let restarted = lab.start(&a, &Conf::v2(150).with("nopreempt"));
    restarted.await_line("VI_1");
    // From just after one advert to just after the third from there on: with the wait for the next one, b is not heard for
    // four intervals, which is longer than a's Master_Down_Interval.
    wire.await_adverts(&b, 1);
    lab.port(&a, "up");
    lab.lan().run("ip link set dev p20 type bridge_slave state 1");
    wire.await_adverts(&b, 3);
    lab.lan().run("ip link set dev p20 type bridge_slave state 3");
    wire.await_adverts(&b, 6);
    assert_eq!(restarted.times(State::Master), 0, "log:\n{}", restarted.log());
    assert_eq!(master.states().last(), Some(&State::Master));
    assert!(wire.adverts_of(&a).is_empty());
}

#[test]
fn trap_32_nopreempt_equal_priorities_a_restart_changes_nothing() {
    let Some(lab) = Lab::new("trap 32") else { return };
    // The Master has the lower address, so it would lose a tie.
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let wire = lab.capture(&a, ADVERTS);
    let conf = Conf::v3(100).with("nopreempt");
    let master = lab.start(&a, &conf);
    master.await_state(State::Master);
    for _ in 0..2 {
        let other = lab.start(&b, &conf);
        other.await_state(State::Backup);
        wire.await_adverts(&a, 8);
        assert_eq!(other.times(State::Master), 0, "log:\n{}", other.log());
        other.kill9();
        wire.await_adverts(&a, 3);
    }
    assert_eq!(master.states(), [State::Backup, State::Master]);
    assert!(wire.adverts_of(&b).is_empty());
}

#[test]
fn trap_33_nopreempt_a_cable_pulled_and_plugged_in_again_changes_nothing() {
    let Some(lab) = Lab::new("trap 33") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let wire = lab.capture(&b, ADVERTS);
    let low = lab.start(&b, &Conf::v3(100).with("nopreempt"));
    low.await_state(State::Master);
    let high = lab.start(&a, &Conf::v3(150).with("nopreempt"));
    high.await_state(State::Backup);
    for _ in 0..2 {
        lab.port(&a, "down");
        high.await_state(State::Fault);
        wire.await_adverts(&b, 5);
        lab.port(&a, "up");
        high.await_state(State::Backup);
        wire.await_adverts(&b, 8);
    }
    assert_eq!(high.times(State::Master), 0, "log:\n{}", high.log());
    assert_eq!(low.times(State::Master), 1);
    // Then the Master's own cable.
    lab.port(&b, "down");
    low.await_state(State::Fault);
    high.await_state(State::Master);
    let wire = lab.capture(&a, ADVERTS);
    lab.port(&b, "up");
    low.await_state(State::Backup);
    wire.await_adverts(&a, 8);
    assert_eq!(low.times(State::Master), 1, "log:\n{}", low.log());
    assert!(a.holds(VIP) && !b.holds(VIP));
}

/// The delay is longer than the tests' patience: a Master at all proves that it did not apply.
#[test]
fn trap_34_preempt_delay_does_not_delay_a_cold_start() {
    let Some(lab) = Lab::new("trap 34") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let one = lab.start(&a, &Conf::v3(150).with("preempt_delay 300"));
    let two = lab.start(&b, &Conf::v3(100).with("preempt_delay 300"));
    until_true("one Master", || {
        [&one, &two].iter().filter(|d| d.states().last() == Some(&State::Master)).count() == 1
            && (a.holds(VIP) != b.holds(VIP))
    });
}

#[test]
fn trap_35_preempt_delay_is_honoured_after_a_fault_and_zero_means_at_once() {
    let Some(lab) = Lab::new("trap 35") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let wire = lab.capture(&b, ADVERTS);
    let low = lab.start(&b, &Conf::v3(100));
    low.await_state(State::Master);
    lab.port(&a, "down");
    let high = lab.start(&a, &Conf::v3(150).with("preempt_delay 300"));
    high.await_state(State::Fault);
    lab.port(&a, "up");
    high.await_state(State::Backup);
    wire.await_adverts(&b, 15);
    assert_eq!(high.times(State::Master), 0, "log:\n{}", high.log());
    high.kill9();

    lab.port(&a, "down");
    let high = lab.start(&a, &Conf::v3(150).with("preempt_delay 0"));
    high.await_state(State::Fault);
    lab.port(&a, "up");
    high.await_state(State::Master);
    low.await_state(State::Backup);
}

#[test]
fn trap_38_the_farewell_is_on_the_wire_before_the_link_goes_away() {
    let Some(lab) = Lab::new("trap 38") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let wire = lab.capture(&b, ADVERTS);
    let master = lab.start(&a, &Conf::v2(150));
    master.await_state(State::Master);
    let backup = lab.start(&b, &Conf::v2(100));
    backup.await_state(State::Backup);
    wire.await_adverts(&a, 2);
    let (code, log) = master.stop();
    a.run(&format!("ip link set {IFACE} down"));
    assert_eq!(code, Some(0), "log:\n{log}");
    backup.await_state(State::Master);
    let last = wire.adverts_of(&a).pop().expect("a advertised");
    assert_eq!(last.priority, 0, "the last word of a Master is priority 0 (R-077)");
    assert_eq!(wire.adverts_of(&a).iter().filter(|v| v.priority == 0).count(), 1);
}

#[test]
fn trap_39_a_firewall_that_eats_one_advert_makes_no_second_master() {
    let Some(lab) = Lab::new("trap 39") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let wire = lab.capture(&b, ADVERTS);
    let master = lab.start(&a, &Conf::v2(150));
    master.await_state(State::Master);
    let backup = lab.start(&b, &Conf::v2(100));
    backup.await_state(State::Backup);
    wire.await_adverts(&a, 2);
    a.script("nft add table inet f; nft add chain inet f out '{ type filter hook output priority 0; }'; nft add rule inet f out ip protocol 112 drop");
    pause(1500);
    a.run("nft delete table inet f");
    wire.await_adverts(&a, 5);
    assert_eq!(backup.times(State::Master), 0, "log:\n{}", backup.log());
    assert_eq!(master.states().last(), Some(&State::Master));
    if !stand_in() {
        let about: Vec<_> = master
            .log()
            .lines()
            .filter(|l| l.contains("EPERM") || l.contains("not permitted"))
            .map(str::to_owned)
            .collect();
        assert_eq!(about.len(), 1, "one line for one outage: {about:?}");
    }
}

#[test]
fn trap_44_adverts_for_an_unknown_vrid_at_10k_a_second_have_no_effect() {
    let Some(lab) = Lab::new("trap 44") else { return };
    let (a, b, peer) = (lab.host("a", 20), lab.host("b", 30), lab.host("peer", 40));
    let wire = lab.capture(&peer, "ip proto 112 and (src host 198.18.0.20 or src host 198.18.0.30)");
    let master = lab.start(&a, &Conf::v3(150));
    master.await_state(State::Master);
    let backup = lab.start(&b, &Conf::v3(100));
    backup.await_state(State::Backup);
    let mut injector = lab.injector(&peer);
    let stranger = Advert { vrid: 99, src: [198, 18, 0, 40].into(), ..Advert::v3(255, 20) }.frame();
    let lines = (master.log().lines().count(), backup.log().lines().count());
    injector.flood(&[stranger], 10_000, 50_000);
    assert_eq!(injector.flooded(), 50_000);
    wire.await_adverts(&a, 5);
    assert_eq!(master.states().last(), Some(&State::Master));
    assert_eq!(backup.times(State::Master), 0, "log:\n{}", backup.log());
    assert_eq!(master.times(State::Master), 1);
    for (daemon, before) in [(&master, lines.0), (&backup, lines.1)] {
        let new = daemon.log().lines().count() - before;
        assert!(new < 60, "{new} new log lines for 50,000 packets:\n{}", daemon.log());
    }
}

/// The address is the owner's own, and its adverts come from it: the kernel of the router that holds it meanwhile drops such packets as
/// coming from itself. IPv6 has no such rule; it is tried all the same.
#[test]
fn an_owner_that_comes_back_is_heard_by_who_holds_its_address() {
    if stand_in() {
        return skip("returning owner", "the stand-in and the owner are both Master");
    }
    for v6 in [false, true] {
        let Some(lab) = Lab::new(&format!("returning owner, IPv6 {v6}")) else { return };
        let (a, b) = (lab.host("a", 20), lab.host("b", 30));
        let (vip, own) = if v6 { ("fe80::64", "fe80::64/64") } else { (VIP, &*format!("{VIP}/16")) };
        a.run(&format!("ip addr flush dev {IFACE} scope {}", if v6 { "link" } else { "global" }));
        a.run(&format!("ip addr add {own} dev {IFACE}{}", if v6 { " nodad" } else { "" }));
        let conf = |priority| Conf { vips: vec![own.to_owned()], ..Conf::v3(priority) };
        let owner = lab.start(&a, &conf(255));
        owner.await_state(State::Master);
        let backup = lab.start(&b, &conf(100));
        backup.await_state(State::Backup);
        owner.stop();
        backup.await_state(State::Master);
        until_true("b to hold the address", || b.holds(vip));
        let owner = lab.start(&a, &conf(255));
        owner.await_state(State::Master);
        backup.await_state(State::Backup);
        until_true("b to have given the address back", || !b.holds(vip));
        assert_eq!(owner.states(), [State::Master], "v6: {v6}");
    }
}
