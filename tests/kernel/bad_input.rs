//! A flood of malformed adverts: no state changes, no advert of the Master is missing, memory does not grow, the log stays short.
//!
//! The frames are the wire vectors that are dropped, so each reason of the vectors comes by 10,000 / 46 times a second. Read first: `vectors.rs`.

use crate::lab::advert::ethernet;
use crate::lab::daemon::{Conf, Daemon, State, stand_in};
use crate::lab::{Lab, skip};
use crate::vectors::{Vector, vectors};
use std::collections::BTreeSet;

const RATE: u32 = 10_000;
const SECONDS: u64 = 10;

/// Reasons that no instance counts: another VRID has no instance here, and the kernel may drop the others.
const UNCOUNTED: [&str; 3] = ["vrid", "destination", "own-packet"];

fn flood(name: &str, profile: &str, conf: fn(u8) -> Conf) {
    if stand_in() {
        return skip(name, "the stand-in takes some of these packets");
    }
    let Some(lab) = Lab::new(name) else { return };
    let (a, b, peer) = (lab.host("a", 20), lab.host("b", 10), lab.host("peer", 30));
    // The vectors have priority 100 and the highest address: the Master would yield if it accepted one.
    let master = lab.start(&a, &conf(100));
    master.await_state(State::Master);
    let backup = lab.start(&b, &conf(90));
    backup.await_state(State::Backup);
    let wire = lab.capture(&peer, "(ip proto 112 or ip6 proto 112) and ether src 02:00:00:00:00:14");

    let all = vectors();
    let dropped: Vec<&Vector> = all.iter().filter(|v| v.profile == profile && !v.accept).collect();
    assert!(dropped.len() > 15, "{} drop vectors", dropped.len());
    let frames: Vec<Vec<u8>> = dropped.iter().map(|v| ethernet(&v.packet, a.mac())).collect();
    let mut injector = lab.injector(&peer);
    // Each once first: memory that is allocated for the first packet of a kind is not a leak.
    injector.flood(&frames, RATE, u64::from(RATE));
    injector.flooded();
    wire.await_adverts(&a, 2);
    let before: Vec<(u64, usize)> =
        [&master, &backup].iter().map(|d| (d.memory_kib(), d.log().lines().count())).collect();

    injector.flood(&frames, RATE, u64::from(RATE) * SECONDS);
    assert_eq!(injector.flooded(), u64::from(RATE) * SECONDS);
    wire.await_adverts(&a, 3);

    assert_eq!(master.states(), [State::Backup, State::Master], "log:\n{}", tail(&master));
    assert_eq!(backup.states(), [State::Backup], "log:\n{}", tail(&backup));
    let adverts = wire.adverts_of(&a);
    assert!(adverts.iter().all(|v| v.priority == 100), "one priority, no farewell");
    // Were one missing, its neighbours would be two intervals apart.
    let worst = adverts.windows(2).map(|w| w[1].ns - w[0].ns).max().expect("more than one advert");
    assert!(worst < 1_900_000_000, "an advert is missing: {worst} ns between two");
    for (daemon, (memory, lines)) in [&master, &backup].into_iter().zip(before) {
        let (now, new) = (daemon.memory_kib(), daemon.log().lines().count() - lines);
        // Each packet is an event: the recorder's segments fill, each up to twice its size, and no more.
        let recorder = 4 * kalived::record::segment(usize::MAX) as u64 / 1024;
        assert!(now <= memory + recorder + 512, "memory grew from {memory} to {now} KiB");
        assert!(new <= 300, "{new} log lines for {} packets:\n{}", u64::from(RATE) * SECONDS, tail(daemon));
        counted(daemon, &dropped);
    }
    assert_eq!(master.stop().0, Some(0));
}

/// Each reason has its log line and, in the report, its count.
fn counted(daemon: &Daemon, dropped: &[&Vector]) {
    let report = crate::report::of(daemon);
    let rejected = &report["instances"][0]["counters"]["rejected"];
    let log = daemon.log();
    let reasons: BTreeSet<&str> = dropped.iter().filter(|v| v.layer == "daemon").map(|v| v.reason.as_str()).collect();
    for reason in reasons.into_iter().filter(|r| !UNCOUNTED.contains(r)) {
        assert!(log.contains(&format!(": {reason} (")), "no line about {reason}; log:\n{log}");
        let sent = u64::from(RATE) * (SECONDS + 1) / dropped.len() as u64;
        let count = rejected[reason].as_u64().unwrap_or(0);
        // A busy machine may lose some before the daemon receives them; a reason that is not counted is still detected.
        assert!(count > sent / 2, "{reason}: {count} counted of {sent} and more; {report}");
    }
    if dropped.iter().any(|v| v.reason == "vrid") {
        assert!(log.contains("unknown VRID"), "log:\n{log}");
    }
}

fn tail(daemon: &Daemon) -> String {
    let log = daemon.log();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(80)..].join("\n")
}

#[test]
fn a_flood_of_malformed_v2_adverts_changes_nothing() {
    flood("bad input: v2", "V2", Conf::v2);
}

#[test]
fn a_flood_of_malformed_v3_adverts_changes_nothing() {
    flood("bad input: v3", "V3PH", |priority| Conf::v3(priority).every("1"));
}

#[test]
fn a_flood_of_malformed_ipv6_adverts_changes_nothing() {
    flood("bad input: v6", "V6", |priority| Conf::v6(priority).every("1"));
}
