//! Resumption after a crash together with another event: cases that the simulator has found.
//!
//! Read first: `handover.rs`.

use crate::bench::*;
use kalived::config::model::{Config, InstanceConfig, Version};
use kalived::effect::ADDR_PROTO;
use kalived::event::{Event, GuardEv};
use kalived::snapshot::Snapshot;
use kalived::time::Duration;
use kalived::vrrp::State;
use kalived::world::World;

const MS: Duration = Duration::from_millis(1);
const BETTER: &str = "198.18.0.30";

fn cfg() -> InstanceConfig {
    InstanceConfig { version: Version::V3, advert_int: MS * 100, ..v3() }
}
fn spare() -> InstanceConfig {
    let mut c = cfg();
    c.vips.push(vip("198.18.0.105"));
    c
}
/// In standby on the same kernel.
fn beside(old: &Bench, cfg: InstanceConfig) -> Bench {
    let mut b = Bench::of(World::standby(Config { instances: vec![cfg], ..Config::default() }));
    (b.now, b.links, b.kernel) = (old.now, old.links.clone(), old.kernel.clone());
    b.start();
    b
}
fn go_on(b: &mut Bench, s: &Snapshot, dead: Duration) {
    let dead_since = Some(b.now.mono - dead);
    b.event(Event::Guard(GuardEv::Go { snapshot: Some(Box::new(s.clone())), dead_since }));
}

/// A reload gives a Master one more address, and it is killed. The next configuration does not have that address: only the
/// snapshot says whose it is.
#[test]
fn an_address_of_the_last_reload_is_known_after_a_crash() {
    let mut old = Bench::master(cfg());
    assert!(old.world.snapshot(old.now).is_some());
    old.reload(&[spare()]);
    let s = old.world.snapshot(old.now).expect("an address more is worth writing");
    assert_eq!(s.instances[0].addrs.len(), 2);
    old.kernel.push(addr(2, "198.18.0.105", 32, ADDR_PROTO));
    let mut new = beside(&old, cfg());
    go_on(&mut new, &s, MS);
    assert!(new.out.contains(&Out::Del(ip("198.18.0.105"))), "{:?}", new.out);
    assert_eq!(new.state(), State::Master);
}

/// As before, but the address was given up already and the kernel had not confirmed that when the process was killed.
#[test]
fn an_address_that_was_going_is_known_after_a_crash() {
    let mut old = Bench::master(spare());
    assert!(old.world.snapshot(old.now).is_some());
    old.answer = false;
    old.reload(&[cfg()]);
    let s = old.world.snapshot(old.now).expect("an address less is worth writing");
    assert_eq!((s.instances[0].addrs.len(), s.going.len()), (1, 1));
    old.kernel.push(addr(2, "198.18.0.105", 32, ADDR_PROTO));
    let mut new = beside(&old, cfg());
    go_on(&mut new, &s, MS);
    assert!(new.out.contains(&Out::Del(ip("198.18.0.105"))), "{:?}", new.out);
}

/// A better Master sent an advert while the process was dead, which is received in the turn of `Go`: it yields, and sends nothing first.
#[test]
fn who_has_to_yield_does_not_speak_first() {
    let mut old = Bench::master(cfg());
    let s = old.world.snapshot(old.now).expect("never written before");
    let mut new = beside(&old, cfg());
    go_on(&mut new, &s, MS * 50);
    new.rx(&cfg(), BETTER, 200, MS * 100);
    new.fire();
    assert_eq!((new.state(), new.adverts(), new.frames()), (State::Backup, 0, 0), "{:?}", new.log);
}

/// Several adverts of an inferior Master wait for a successor: one answer is sent, because it leaves now.
#[test]
fn what_was_overheard_is_answered_once() {
    let mut old = Bench::master(cfg());
    let mut new = beside(&old, cfg());
    old.event(Event::Guard(GuardEv::Freeze));
    let s = old.world.last_snapshot(old.now);
    for _ in 0..4 {
        new.run(MS * 20);
        new.rx(&cfg(), BETTER, 1, MS * 100);
    }
    new.event(Event::Guard(GuardEv::Go { snapshot: Some(Box::new(s)), dead_since: None }));
    new.fire();
    assert_eq!((new.state(), new.adverts()), (State::Master, 1), "{:?}", new.log);
}

/// A router in FAULT has counted, too.
#[test]
fn a_fault_keeps_its_counters() {
    let mut old = Bench::master(cfg());
    let down = kalived::event::Link { up: false, running: false, ..link(ETH0, "eth0", false) };
    old.links = vec![down.clone()];
    old.event(Event::Net(kalived::event::NetEv::LinkNew(down)));
    assert_eq!(old.state(), State::Fault);
    let was = old.view().stats;
    assert!(was.advert_sent > 10 && was.become_master == 1);
    let mut new = beside(&old, cfg());
    let s = old.world.snapshot(old.now).expect("changed");
    go_on(&mut new, &s, MS);
    new.run(MS);
    assert_eq!((new.state(), new.view().stats), (State::Fault, was));
}
