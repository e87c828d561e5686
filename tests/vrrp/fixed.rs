//! `static_ipaddress`: present while its interface is, in any state of the virtual routers; an address of the operator is left alone.

use crate::bench::*;
use kalived::config::model::Config;
use kalived::effect::{ADDR_PROTO, Effect, GuardFx, STATIC_PROTO};
use kalived::event::{Event, GuardEv, NetEv};
use kalived::time::{Duration, Instant};
use kalived::world::World;

fn config(addresses: &[(&str, Option<&str>)]) -> Config {
    let fixed = |(a, dev): &(&str, Option<&str>)| {
        let mut v = vip(a);
        v.dev = dev.map(str::to_owned);
        v
    };
    Config { instances: vec![v2()], static_addresses: addresses.iter().map(fixed).collect(), ..Config::default() }
}

fn started(addresses: &[(&str, Option<&str>)]) -> Bench {
    let mut b = Bench::of(World::new(config(addresses)));
    b.start();
    b.run(Duration::from_millis(10));
    b
}

fn tagged(b: &Bench, proto: u8) -> Vec<String> {
    let mut all: Vec<String> = b.kernel.iter().filter(|a| a.proto == proto).map(|a| a.addr.to_string()).collect();
    all.sort();
    all
}

#[test]
fn added_at_start_put_back_and_removed_at_the_end() {
    // The default interface is eth0.
    let mut b = started(&[("10.7.0.1", Some("eth0")), ("2001:db8:7::1", None), ("10.7.0.9", Some("eth9"))]);
    assert_eq!(tagged(&b, STATIC_PROTO), ["10.7.0.1", "2001:db8:7::1"]);
    assert_eq!(b.frames(), 0, "nobody announces them");
    b.event(Event::Net(NetEv::LinkNew(link(9, "eth9", true))));
    b.run(Duration::from_millis(10));
    assert_eq!(b.world.fixed_addresses(), 3);
    let gone = b.kernel.iter().position(|a| a.addr == ip("10.7.0.1")).expect("it is there");
    let gone = b.kernel.remove(gone);
    b.event(Event::Net(NetEv::AddrDel { ifindex: gone.ifindex, addr: gone.addr, prefix: gone.prefix, by: None }));
    b.run(Duration::from_millis(10));
    assert_eq!((tagged(&b, STATIC_PROTO).len(), b.logged("static address 10.7.0.1/32 on eth0 was removed")), (3, 1));
    // In any state of the virtual router.
    b.run(Duration::from_secs(5));
    b.rx(&v2(), PEER, 200, Duration::from_secs(1));
    b.run(Duration::from_millis(10));
    assert_eq!((tagged(&b, STATIC_PROTO).len(), tagged(&b, ADDR_PROTO).len()), (3, 0));
    b.term();
    b.run(Duration::from_millis(10));
    assert!(tagged(&b, STATIC_PROTO).is_empty() && matches!(b.out.last(), Some(Out::Exit(_))));
}

#[test]
fn an_operators_address_stays_and_a_reload_makes_the_difference() {
    let mut b = Bench::of(World::new(config(&[("10.7.0.1", None), ("10.7.0.2", None)])));
    b.kernel.push(addr(ETH0, "10.7.0.2", 32, 0));
    b.start();
    b.run(Duration::from_millis(10));
    assert_eq!(tagged(&b, STATIC_PROTO), ["10.7.0.1"]);
    b.event(Event::Guard(GuardEv::Config(Box::new(config(&[("10.7.0.2", None), ("10.7.0.3", None)])))));
    b.run(Duration::from_millis(10));
    assert_eq!(tagged(&b, STATIC_PROTO), ["10.7.0.3"]);
    b.term();
    b.run(Duration::from_millis(10));
    assert!(b.kernel.iter().any(|a| a.addr == ip("10.7.0.2")) && tagged(&b, STATIC_PROTO).is_empty());
}

#[test]
fn over_an_upgrade_nothing_is_touched_that_is_in_both_files() {
    let mut old = started(&[("10.7.0.1", None), ("10.7.0.2", None)]);
    let now = old.now;
    let snapshot = old.world.snapshot(now).expect("there is something to say");
    assert_eq!(snapshot.fixed.len(), 2);
    let mut new = Bench::of(World::standby(config(&[("10.7.0.2", None)])));
    new.kernel.clone_from(&old.kernel);
    new.start();
    assert!(new.asked.iter().any(|e| matches!(e, Effect::Guard(GuardFx::StandingBy))));
    new.event(Event::Guard(GuardEv::Go { snapshot: Some(Box::new(snapshot)), dead_since: Some(Instant(now.mono.0)) }));
    new.run(Duration::from_millis(10));
    assert_eq!(tagged(&new, STATIC_PROTO), ["10.7.0.2"]);
    assert!(new.wanted.is_empty(), "{:?}", new.wanted);
}

/// Virtual routers wait, and ignore adverts meanwhile.
#[test]
fn a_start_that_is_delayed() {
    for (startup, boot, until) in [(10, 0, 10), (0, 1_020, 20), (10, 1_020, 20), (0, 5, 0)] {
        let mut config = config(&[]);
        config.global.more.vrrp_startup_delay = Duration::from_secs(startup);
        config.global.more.vrrp_delay_after_boot = Duration::from_secs(boot);
        let mut b = Bench::of(World::new(config));
        let began = b.now.mono;
        b.start();
        b.run(Duration::from_secs(until).saturating_sub(Duration::from_millis(1)));
        assert_eq!((b.sock.is_some(), b.adverts()), (until == 0, 0), "{startup} {boot}");
        assert_eq!(b.logged("Delaying startup for"), usize::from(until > 0));
        b.run(Duration::from_secs(4));
        let since = b.view().since.mono.since(began);
        assert_eq!((b.state(), since >= Duration::from_secs(until)), (kalived::vrrp::State::Master, true));
    }
}

/// The next process waits to the end of the delay, whatever happened to the one before; and no longer than its own file says.
#[test]
fn a_delay_goes_on_in_the_next_process() {
    for (startup, waits) in [(10, 7), (3600, 7), (2, 2), (0, 0)] {
        let with = |seconds| {
            let mut config = config(&[]);
            config.global.more.vrrp_startup_delay = Duration::from_secs(seconds);
            config
        };
        let mut old = Bench::of(World::new(with(10)));
        old.start();
        let snapshot = old.world.snapshot(old.now).expect("the end of the delay");
        old.run(Duration::from_secs(3));
        let mut new = Bench::of(World::standby(with(startup)));
        new.now = old.now;
        new.start();
        let dead_since = Some(new.now.mono);
        new.event(Event::Guard(GuardEv::Go { snapshot: Some(Box::new(snapshot)), dead_since }));
        new.run(Duration::from_secs(waits).saturating_sub(Duration::from_millis(1)));
        assert_eq!(new.logged("Entering BACKUP"), usize::from(waits == 0), "{startup}: {:?}", new.log);
        new.run(Duration::from_millis(1));
        assert_eq!(new.logged("Entering BACKUP"), 1, "{startup}: {:?}", new.log);
    }
}

/// A core that died twice: its virtual routers start, so they wait as at any start.
#[test]
fn a_cold_start_is_delayed() {
    let mut old = Bench::of(World::new(delayed(10, 150)));
    old.start();
    old.run(Duration::from_secs(15));
    assert_eq!(old.state(), kalived::vrrp::State::Master);
    let snapshot = old.world.snapshot(old.now).expect("there was none yet");
    for left in [Some(Box::new(snapshot.of_servers())), None] {
        let mut new = Bench::of(World::standby(delayed(10, 150)));
        new.now = old.now;
        new.start();
        new.event(Event::Guard(GuardEv::Go { snapshot: left, dead_since: None }));
        new.run(Duration::from_millis(9_999));
        assert_eq!((new.logged("Delaying startup for"), new.logged("Entering BACKUP")), (1, 0), "{:?}", new.log);
        new.run(Duration::from_millis(1));
        assert_eq!(new.logged("Entering BACKUP"), 1, "{:?}", new.log);
    }
}

#[test]
fn trap_36_a_delay_that_ends_while_the_interface_is_down_does_not_keep_it_from_becoming_master() {
    for down in [true, false] {
        let mut config = config(&[]);
        config.global.more.vrrp_startup_delay = Duration::from_secs(2);
        let mut b = Bench::of(World::new(config));
        let up = b.links.clone();
        b.links.iter_mut().for_each(|l| (l.up, l.running) = (!down, false));
        b.start();
        b.run(Duration::from_secs(5));
        assert_eq!((b.state(), b.adverts()), (kalived::vrrp::State::Fault, 0));
        up.into_iter().for_each(|l| b.event(Event::Net(NetEv::LinkNew(l))));
        b.run(Duration::from_secs(4));
        assert_eq!(b.state(), kalived::vrrp::State::Master, "{:?}", b.log);
    }
}

/// The address owner with `owner_ignore_adverts` ignores all adverts.
#[test]
fn an_owner_that_ignores_adverts() {
    for ignores in [false, true] {
        let mut cfg = v2();
        cfg.priority = 255;
        cfg.more.owner_ignore_adverts = Some(ignores);
        let mut b = Bench::master(cfg.clone());
        b.rx(&cfg, "198.18.0.200", 255, Duration::from_secs(1));
        let state = if ignores { kalived::vrrp::State::Master } else { kalived::vrrp::State::Backup };
        assert_eq!((b.state(), b.view().stats.advert_rcvd), (state, u64::from(!ignores)));
    }
}

fn delayed(seconds: u64, priority: u8) -> Config {
    let mut config = config(&[]);
    config.global.more.vrrp_startup_delay = Duration::from_secs(seconds);
    config.instances[0].priority = priority;
    config
}

fn answers(b: &Bench) -> Vec<bool> {
    let of = |e: &Effect| match e {
        Effect::Guard(GuardFx::Reloaded(r)) => Some(r.done),
        _ => None,
    };
    b.asked.iter().filter_map(of).collect()
}

/// The guard does not wait as long as a delay may be, and what it was told must be true when a process dies meanwhile.
#[test]
fn a_reload_during_the_delay_is_answered_at_once_and_put_in_force_after_it() {
    let mut b = Bench::of(World::new(delayed(60, 150)));
    b.start();
    b.run(Duration::from_secs(1));
    for (n, priority) in [(1, 160), (2, 170)] {
        b.event(Event::Guard(GuardEv::Config(Box::new(delayed(60, priority)))));
        b.run(Duration::from_millis(10));
        assert_eq!((answers(&b), b.view().effective_priority), (vec![true; n], 150));
    }
    let mut other = delayed(60, 180);
    other.root.instance = Some("other".into());
    b.event(Event::Guard(GuardEv::Config(Box::new(other))));
    b.run(Duration::from_millis(10));
    assert_eq!(answers(&b), [true, true, false], "what is impossible is refused at once");
    b.event(Event::Guard(GuardEv::Config(Box::new(delayed(60, 190)))));
    b.run(Duration::from_secs(70));
    assert_eq!(
        (answers(&b), b.view().effective_priority),
        (vec![true, true, false, true], 190),
        "each is answered once"
    );
}

#[test]
fn a_hand_over_during_the_delay_keeps_everything() {
    let mut config = delayed(60, 150);
    config.static_addresses = vec![vip("10.7.0.1")];
    let mut old = Bench::of(World::new(config.clone()));
    old.start();
    old.run(Duration::from_secs(1));
    assert_eq!(tagged(&old, STATIC_PROTO), ["10.7.0.1"]);
    old.event(Event::Guard(GuardEv::Freeze));
    assert!(old.asked.iter().any(|e| matches!(e, Effect::Guard(GuardFx::Frozen))));
    let snapshot = old.world.last_snapshot(old.now);
    let mut new = Bench::of(World::standby(config));
    (new.now, new.kernel) = (old.now, old.kernel.clone());
    new.start();
    new.event(Event::Guard(GuardEv::Go { snapshot: Some(Box::new(snapshot)), dead_since: None }));
    old.event(Event::Guard(GuardEv::Successor { in_charge: true }));
    assert!(matches!(old.out.last(), Some(Out::Exit(_))), "{:?}", old.out);
    new.run(Duration::from_secs(58));
    assert_eq!((tagged(&old, STATIC_PROTO).len(), new.logged("Entering")), (1, 0));
    assert!(new.wanted.is_empty(), "{:?}", new.wanted);
    new.run(Duration::from_secs(5));
    assert_eq!(new.state(), kalived::vrrp::State::Master);
}
