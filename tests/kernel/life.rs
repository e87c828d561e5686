//! Take-over after a crash, and an orderly stop, as a client and a capture see them. Read first: `../lab/mod.rs`.

use crate::lab::Lab;
use crate::lab::daemon::{Conf, State, VIP};
use crate::lab::{IFACE, until, until_true};
use std::process::Stdio;

#[test]
fn the_backup_takes_over_after_kill_9_and_the_clients_arp_entry_follows() {
    let Some(lab) = Lab::new("life: kill -9") else { return };
    let (a, b, client) = (lab.host("a", 20), lab.host("b", 30), lab.host("client", 40));
    let wire = lab.capture(&client, "ip proto 112 or arp");
    let master = lab.start(&a, &Conf::v2(150));
    master.await_state(State::Master);
    let backup = lab.start(&b, &Conf::v2(100));
    backup.await_state(State::Backup);
    until_true("the client to reach the VIP at a", || client.reaches(VIP) && client.sees(VIP, &a));
    assert!(!b.holds(VIP), "the Backup holds the VIP");

    master.kill9();
    backup.await_state(State::Master);
    until_true("b to hold the VIP", || b.holds(VIP));
    // There is no ping: the client can have learned this only from the gratuitous ARP.
    until_true("the client's ARP entry to point to b", || client.sees(VIP, &b));
    assert!(client.reaches(VIP));

    let first_advert = wire.adverts_of(&b).first().map(|a| a.ns).expect("b advertised");
    let garp: Vec<u64> = wire
        .frames()
        .iter()
        .filter(|f| f.announces().is_some_and(|(a, mac)| a.to_string() == VIP && mac == b.mac()))
        .map(|f| f.ns)
        .collect();
    assert!(garp[0] > first_advert, "the first gratuitous ARP went out before the first advert (R-061)");
    assert!(wire.adverts_of(&b).iter().all(|a| a.priority == 100), "b never was anything but priority 100");
}

#[test]
fn sigterm_on_a_master_says_goodbye_first_and_then_gives_the_addresses_back() {
    for conf in [Conf::v2(150), Conf::v6(150)] {
        let Some(lab) = Lab::new("life: SIGTERM") else { return };
        let a = lab.host("a", 20);
        let vip = conf.vips[0].clone();
        let wire = lab.capture(&a, "ip proto 112 or ip6 proto 112");
        let master = lab.start(&a, &conf);
        master.await_state(State::Master);
        until_true("a to hold the VIP", || a.holds(&vip));

        let monitor = lab.path("monitor.txt");
        let out = std::fs::File::create(&monitor).expect("the lab's directory is writable");
        let mut process = a
            .command("ip")
            .args(["-ts", "-o", "monitor", "address"])
            .stdout(out)
            .stderr(Stdio::null())
            .spawn()
            .expect("ip exists");
        // The monitor listens once it reports an address that the test adds.
        until_true("ip monitor to listen", || {
            a.script(&format!("ip addr add 192.0.2.9/32 dev {IFACE}; ip addr del 192.0.2.9/32 dev {IFACE}"));
            std::fs::read_to_string(&monitor).is_ok_and(|t| t.contains("192.0.2.9"))
        });

        let (code, log) = master.stop();
        assert_eq!(code, Some(0), "exit code; log:\n{log}");
        assert!(!a.holds(&vip), "the VIP is left behind");
        let removed = until("the removal in ip monitor", || {
            let text = std::fs::read_to_string(&monitor).unwrap_or_default();
            text.lines().find(|l| l.contains("Deleted") && l.contains(&vip)).map(str::to_owned)
        });
        process.kill().expect("ip monitor still runs");
        process.wait().expect("it is our child");

        let adverts =
            until("the farewell", || wire.adverts().last().filter(|a| a.priority == 0).map(|_| wire.adverts()));
        assert_eq!(adverts.iter().filter(|a| a.priority == 0).count(), 1, "exactly one farewell");
        assert!(adverts.iter().all(|a| a.ttl == 255), "TTL 255 on every advert, the farewell too (R-004)");
        let farewell = adverts.last().expect("not empty").ns;
        // `ip -ts` prints the wall clock of the moment it reads the message, which is after the removal.
        let gone = wall_ns(&removed, farewell);
        assert!(
            farewell < gone,
            "the VIP was removed {} ns before the farewell was on the wire: {removed}",
            farewell - gone
        );
    }
}

/// `[2026-01-31T10:20:30.123456] …` as nanoseconds; the date is taken from `near`, an instant of the same hour.
fn wall_ns(line: &str, near: u64) -> u64 {
    let time = line.split('T').nth(1).and_then(|t| t.split(']').next()).expect("ip -ts prints [date T time]");
    let (clock, micros) = time.split_once('.').expect("ip -ts prints microseconds");
    let seconds = clock.split(':').fold(0_u64, |s, part| s * 60 + part.parse::<u64>().expect("a number"));
    // Local time differs from UTC by whole quarters of an hour, so minutes and seconds within a quarter are enough.
    const QUARTER: u64 = 900_000_000_000;
    let within = (seconds * 1_000_000_000 + micros.parse::<u64>().expect("a number") * 1000) % QUARTER;
    let base = near - near % QUARTER;
    // The removal is at most a few seconds away from the farewell: pick the quarter that brings it closest.
    [base.saturating_sub(QUARTER), base, base + QUARTER]
        .into_iter()
        .map(|b| b + within)
        .min_by_key(|t| t.abs_diff(near))
        .expect("three candidates")
}
