//! The farewell is the last packet: adverts that the previous process has armed leave before it, in every way in which a virtual router
//! leaves Master soon after a hand-over.
//!
//! Read first: `handover.rs`, `src/vrrp/instance/resume.rs`.

use crate::bench::*;
use crate::handover::{beside, every, freeze};
use kalived::config::model::{Config, InstanceConfig, TrackInterface};
use kalived::event::{Event, GuardEv, NetEv};
use kalived::time::{Duration, Instant};
use kalived::vrrp::State;
use kalived::world::World;

const MS: Duration = Duration::from_millis(1);

fn tracking(ms: u64) -> InstanceConfig {
    let eth1 = TrackInterface { name: "eth1".into(), weight: 0, reverse: false };
    InstanceConfig { track_interfaces: vec![eth1], ..every(ms, false) }
}

/// A Master whose adverts were armed by another process, and when the last of these leaves.
fn taken_over(cfg: &InstanceConfig, next: &InstanceConfig) -> (Bench, Instant) {
    let mut old = Bench::cold(vec![cfg.clone()]);
    old.links.push(link(4, "eth1", true));
    old.start();
    old.run(Duration::from_millis(200_050));
    assert_eq!(old.state(), State::Master);
    let mut new = beside(&old, vec![next.clone()]);
    let s = freeze(&mut old);
    let last = Instant(s.instances[0].last_armed.expect("armed"));
    new.kernel.clone_from(&old.kernel);
    new.event(Event::Guard(GuardEv::Go { snapshot: Some(s), dead_since: None }));
    new.fire();
    assert_eq!(new.state(), State::Master);
    new.run(MS * 3);
    new.out.clear();
    (new, last)
}

/// When the adverts with priority 0 leave: at once, and armed.
fn farewells(b: &Bench) -> (usize, Vec<Instant>) {
    let now = b.out.iter().filter(|o| matches!(o, Out::Stop(Some(p)) if p[22] == 0)).count();
    let armed = b.out.iter().filter_map(|o| match o {
        Out::Armed(at, p) if p[22] == 0 => Some(*at),
        _ => None,
    });
    (now, armed.collect())
}

fn parts(b: &Bench, last: Instant) -> Instant {
    let (1, [at]) = (farewells(b).0, &farewells(b).1[..]) else { panic!("{:?}", b.out) };
    assert!(*at > last && at.since(last) < MS * 10, "right behind the last advert of the process before");
    *at
}

fn exits(b: &Bench) -> bool {
    b.out.iter().any(|o| matches!(o, Out::Exit(_)))
}

#[test]
fn a_stop_waits_for_it() {
    for ms in [100, 1000, 4000] {
        let (mut b, last) = taken_over(&every(ms, false), &every(ms, false));
        b.term();
        let at = parts(&b, last);
        assert!(b.out.contains(&Out::Del(ip("198.18.0.100"))), "the address goes at once");
        b.run(at.since(b.now.mono) - Duration::from_nanos(1));
        assert!(!exits(&b), "{ms}: {:?}", b.out);
        b.run(MS * 200);
        assert!(exits(&b) && b.armed.is_empty(), "{ms}: {:?}", b.out);
    }
}

/// The next advert of a long interval may be minutes away.
#[test]
fn a_stop_waits_for_it_for_so_long_and_no_longer() {
    let (mut b, _) = taken_over(&every(40_000, false), &every(40_000, false));
    b.term();
    b.run(Duration::from_secs(13));
    assert!(exits(&b), "{:?}", b.out);
}

#[test]
fn a_fault_and_a_longer_interval() {
    for next in [tracking(100), tracking(300)] {
        let (mut b, last) = taken_over(&tracking(100), &next);
        b.event(Event::Net(NetEv::LinkNew(link(4, "eth1", false))));
        assert_eq!(b.state(), State::Fault);
        let at = parts(&b, last);
        b.run(at.since(b.now.mono));
        b.out.clear();
        // Nothing is left of the other process: a second farewell is one packet.
        b.event(Event::Net(NetEv::LinkNew(link(4, "eth1", true))));
        b.run(Duration::from_secs(4));
        assert_eq!(b.state(), State::Master, "{:?}", b.log);
        b.event(Event::Net(NetEv::LinkNew(link(4, "eth1", false))));
        assert_eq!(farewells(&b), (1, vec![]));
    }
}

#[test]
fn a_reload_that_removes_it_keeps_the_socket_until_then() {
    let (mut b, last) = taken_over(&every(1000, false), &every(1000, false));
    b.event(Event::Guard(GuardEv::Config(Box::default())));
    b.run(MS);
    let at = parts(&b, last);
    assert!(b.world.views().is_empty() && b.sock.is_some());
    b.run(at.since(b.now.mono) - Duration::from_nanos(1));
    assert_eq!(b.armed.len(), 1, "not taken back with its socket");
    b.run(MS * 200);
    assert!(b.armed.is_empty() && b.sock.is_none(), "{:?}", b.out);
    b.term();
    b.run(MS);
    assert!(exits(&b));
}

/// A stop between `Go` and the end of the first dump: what is taken over is given up with a farewell.
#[test]
fn a_stop_before_it_went_on() {
    let mut old = Bench::master(every(1000, false));
    let mut new = Bench::of(World::standby(Config { instances: vec![every(1000, false)], ..Config::default() }));
    (new.now, new.links, new.kernel) = (old.now, old.links.clone(), old.kernel.clone());
    new.event(Event::Start);
    let s = freeze(&mut old);
    let last = Instant(s.instances[0].last_armed.expect("armed"));
    new.event(Event::Guard(GuardEv::Go { snapshot: Some(s), dead_since: None }));
    new.term();
    new.dump();
    new.fire();
    let at = parts(&new, last);
    assert!(new.out.contains(&Out::Del(ip("198.18.0.100"))), "{:?}", new.out);
    new.run(at.since(new.now.mono) + MS * 200);
    assert!(exits(&new), "{:?}", new.out);
    // A kernel that does not answer is not waited for.
    let mut new = Bench::of(World::standby(Config { instances: vec![every(1000, false)], ..Config::default() }));
    new.event(Event::Start);
    new.event(Event::Guard(GuardEv::Go { snapshot: None, dead_since: None }));
    new.term();
    new.run(Duration::from_secs(20));
    assert!(exits(&new), "{:?}", new.out);
}

/// The next configuration does not have it: its farewell is in the snapshot, because the next process has no source, key or list for it.
#[test]
fn a_router_that_the_next_configuration_does_not_have() {
    let others: [fn(&mut InstanceConfig); 2] = [|c| c.vrid = 52, |c| c.name = "other".into()];
    for other in others {
        let mut old = Bench::master(every(1000, false));
        old.run(MS * 50);
        let mut next = every(1000, false);
        other(&mut next);
        let mut new = beside(&old, vec![next]);
        let s = freeze(&mut old);
        let last = Instant(s.instances[0].last_armed.expect("armed"));
        new.event(Event::Guard(GuardEv::Go { snapshot: Some(s), dead_since: None }));
        new.fire();
        assert_eq!(new.state(), State::Backup);
        let zero: Vec<usize> = (0..new.out.len())
            .filter(|n| match &new.out[*n] {
                Out::Advert(p) | Out::Armed(_, p) => (p[21], p[22]) == (51, 0),
                _ => false,
            })
            .collect();
        let [now, then] = zero[..] else { panic!("{:?}", new.out) };
        let gone = new.out.iter().position(|o| *o == Out::Del(ip("198.18.0.100"))).expect("removed");
        assert!(now < gone && matches!(new.out[then], Out::Armed(at, _) if at > last && at.since(last) < MS * 10));
        assert_eq!((new.logged("left alone"), new.logged("Sent")), (0, 0), "{:?}", new.log);
        let open = new.world.sizes();
        new.run(Duration::from_secs(2));
        assert_eq!(new.out.iter().filter(|o| **o == Out::Close).count(), 1, "{open:?}");
        new.term();
        new.run(Duration::from_secs(1));
        assert!(exits(&new), "{:?}", new.out);
    }
}
