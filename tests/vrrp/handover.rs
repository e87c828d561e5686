//! From one process to the next: two worlds and one kernel. A hand-over, and a crash that ends in time, have no effect on other hosts; in
//! every other case of the snapshot and the gap the start is a cold one. Read first: `bench.rs`, `src/world/resume.rs`.

use crate::bench::*;
use kalived::config::model::{Config, Family, InstanceConfig, Version};
use kalived::effect::{ADDR_PROTO, Effect, GuardFx};
use kalived::event::{Event, GuardEv, NetEv};
use kalived::snapshot::Snapshot;
use kalived::time::{Duration, Instant};
use kalived::timers::Due;
use kalived::vrrp::State;
use kalived::world::World;

const MS: Duration = Duration::from_millis(1);

/// Version 3 every `ms`, IPv4 or IPv6.
pub fn every(ms: u64, v6: bool) -> InstanceConfig {
    let mut c = if v6 { InstanceConfig::new("VI_1", "eth0", 51, Family::V6) } else { v3() };
    if v6 {
        c.vips = vec![vip("fe80::100"), vip("2001:db8::100")];
    }
    c.version = Version::V3;
    c.advert_int = Duration::from_millis(ms);
    c
}

/// A process beside `old`, in standby on the same kernel at the same time.
pub fn beside(old: &Bench, cfg: Vec<InstanceConfig>) -> Bench {
    let mut b = Bench::of(World::standby(Config { instances: cfg, ..Config::default() }));
    (b.now, b.links, b.kernel) = (old.now, old.links.clone(), old.kernel.clone());
    b.start();
    b
}
pub fn said(b: &Bench, what: fn(&Effect) -> bool) -> usize {
    b.asked.iter().filter(|e| what(e)).count()
}
/// Freezes; the snapshot is encoded and decoded.
pub fn freeze(old: &mut Bench) -> Box<Snapshot> {
    old.event(Event::Guard(GuardEv::Freeze));
    assert_eq!(said(old, |e| matches!(e, Effect::Guard(GuardFx::Frozen))), 1);
    written(&old.world.last_snapshot(old.now))
}
pub fn written(s: &Snapshot) -> Box<Snapshot> {
    Box::new(Snapshot::decode(&s.encode()).expect("what was written is read"))
}
fn go(b: &mut Bench, snapshot: Box<Snapshot>, dead_since: Option<Instant>) {
    b.event(Event::Guard(GuardEv::Go { snapshot: Some(snapshot), dead_since }));
    b.fire();
}
/// A whole hand-over with `gap` between the freeze and `Go`.
fn hand_over(old: &mut Bench, cfg: Vec<InstanceConfig>, gap: Duration) -> Bench {
    let mut new = beside(old, cfg);
    let s = freeze(old);
    assert!(s.last);
    new.run(gap);
    new.kernel = old.kernel.clone();
    go(&mut new, s, None);
    new
}
fn armed(b: &Bench) -> Vec<Instant> {
    b.out.iter().filter_map(|o| if let Out::Armed(at, _) = o { Some(*at) } else { None }).collect()
}
fn touched_addresses(b: &Bench) -> bool {
    b.out.iter().any(|o| matches!(o, Out::Add(_) | Out::Del(_)))
}

#[test]
fn a_master_goes_on_and_nobody_notices() {
    for (ms, gap) in [(10, 0), (10, 30), (10, 80), (100, 5), (100, 700), (1000, 20), (1000, 900)] {
        for v6 in [false, true] {
            let cfg = every(ms, v6);
            let mut old = Bench::master(cfg.clone());
            old.run(cfg.advert_int * 7 + MS / 3);
            let before = old.view();
            let mut new = hand_over(&mut old, vec![cfg.clone()], MS * gap);
            let what = format!("{ms} ms, gap {gap} ms, IPv6 {v6}: {:?}", new.log);
            let last = *old.armed.keys().next_back().map(|(at, _)| at).expect("armed");
            assert!(armed(&new).iter().all(|at| *at > last), "strictly after what is armed; {what}");
            new.run(cfg.advert_int * 20);
            let mut all = armed(&old);
            all.extend(armed(&new));
            assert!(all.windows(2).all(|w| w[1].since(w[0]) == cfg.advert_int), "one an interval: {all:?}; {what}");
            assert_eq!(new.adverts() + new.frames(), 0, "nothing else leaves; {what}");
            assert!(!touched_addresses(&new), "{what}");
            assert_eq!((new.logged("goes on as MASTER"), new.logged("Entering")), (1, 0), "{what}");
            let after = new.view();
            assert_eq!((after.state, after.since), (State::Master, before.since), "{what}");
            assert_eq!(after.addresses, (cfg.vips.len(), cfg.vips.len()), "{what}");
            assert_eq!(after.stats.become_master, 1, "{what}");
            assert!(after.stats.advert_sent >= before.stats.advert_sent + 12, "they go on; {what}");
            new.term();
            assert!(new.out.iter().any(|o| matches!(o, Out::Stop(Some(_)))) && touched_addresses(&new), "{what}");
        }
    }
}

#[test]
fn a_go_after_the_last_armed_advert_is_a_resume() {
    let cfg = every(10, false);
    for (late, resumes) in [(10_000_000, true), (29_999_999, true), (30_000_000, false)] {
        let mut old = Bench::master(cfg.clone());
        let mut new = beside(&old, vec![cfg.clone()]);
        let s = freeze(&mut old);
        let last = Instant(s.instances[0].last_armed.expect("armed"));
        new.now.mono = last + Duration::from_nanos(late);
        go(&mut new, s, None);
        let gap = late;
        assert_eq!(new.state() == State::Master, resumes, "{gap}: {:?}", new.log);
        assert_eq!(new.adverts(), usize::from(resumes), "{gap}: an advert at once");
        assert_eq!(new.logged("resumes as MASTER, silent for"), usize::from(resumes));
        assert_eq!(new.logged("starts anew: was Master, but silent for"), usize::from(!resumes), "{:?}", new.log);
        assert_eq!(touched_addresses(&new), !resumes, "left-overs are removed at a cold start only");
    }
}

#[test]
fn a_frozen_world_says_nothing_and_decides_nothing() {
    let mut old = Bench::master(every(100, false));
    let s = freeze(&mut old);
    let (out, log) = (old.out.len(), old.log.len());
    assert_eq!(s.instances[0].last_armed, old.armed.keys().next_back().map(|(at, _)| at.0));
    assert_eq!(old.armed.len(), 8, "armed to the full depth");
    old.event(Event::Guard(GuardEv::Freeze));
    old.rx(&every(100, false), PEER, 200, MS * 100);
    old.event(Event::Net(NetEv::LinkDel { ifindex: ETH0 }));
    old.event(Event::Net(NetEv::Lost));
    old.run(MS * 900);
    assert!(old.armed.is_empty());
    assert_eq!((old.out.len(), old.log.len(), old.state()), (out, log, State::Master), "{:?}", old.log);
    assert_eq!(said(&old, |e| matches!(e, Effect::Guard(GuardFx::Frozen))), 1);
    assert_eq!(old.world.last_snapshot(old.now), *s, "nor does its last word change");
}

#[test]
fn a_takeover_that_has_just_begun_is_handed_over_whole() {
    let cfg = every(10, false);
    let mut old = Bench::new(cfg.clone());
    while old.state() != State::Master {
        old.now.mono = old.world.next_deadline().expect("Master_Down_Timer").0;
        let mut fx = kalived::effect::Effects::default();
        // Not `Bench::fire`: the claim is to be outstanding.
        old.world.fire(old.now, 1, &mut fx);
    }
    // Its addresses are requested and not confirmed: the other process finds none and adds them.
    let s = freeze(&mut old);
    assert!(s.instances[0].announce && s.instances[0].addrs.len() == 1 && s.instances[0].last_armed.is_some());
    assert_eq!(old.armed.len(), 8);
    let mut new = beside(&old, vec![cfg]);
    go(&mut new, s, None);
    assert!(new.out.contains(&Out::Add(ip("198.18.0.100"))) && new.frames() > 0, "{:?}", new.out);
    assert_eq!(new.state(), State::Master);
}

#[test]
fn standby_only_listens() {
    let old = Bench::master(v3());
    let mut new = beside(&old, vec![v3()]);
    assert_eq!(said(&new, |e| matches!(e, Effect::Guard(GuardFx::StandingBy))), 1);
    assert!(new.out.contains(&Out::Open));
    new.dump();
    new.rx(&v3(), PEER, 0, MS * 1000);
    new.event(Event::Net(NetEv::LinkNew(link(ETH0, "eth0", false))));
    new.event(Event::Net(NetEv::LinkNew(link(ETH0, "eth0", true))));
    new.run(MS * 60_000);
    // A reload waits until this process is in charge.
    new.event(Event::Guard(GuardEv::Config(Box::new(Config { instances: vec![v3()], ..Config::default() }))));
    assert_eq!(said(&new, |e| matches!(e, Effect::Guard(GuardFx::Reloaded(_)))), 0);
    assert_eq!(said(&new, |e| matches!(e, Effect::Guard(GuardFx::StandingBy))), 1, "said once");
    let quiet = |o: &Out| matches!(o, Out::Resync | Out::Open);
    assert!(new.out.iter().all(quiet) && new.state() == State::Init, "{:?}", new.out);
    assert!(new.world.snapshot(new.now).is_none());
    new.event(Event::Guard(GuardEv::Go { snapshot: None, dead_since: None }));
    assert_eq!(new.state(), State::Backup, "without a snapshot: cold");
    assert!(new.out.contains(&Out::Del(ip("198.18.0.100"))), "with its left-overs removed");
    new.event(Event::Guard(GuardEv::Go { snapshot: None, dead_since: None }));
    new.run(MS * 10_000);
    assert_eq!(new.state(), State::Master);
}

#[test]
fn go_before_the_dump_is_remembered() {
    let mut old = Bench::master(v3());
    let s = freeze(&mut old);
    let mut new = Bench::of(World::standby(Config { instances: vec![v3()], ..Config::default() }));
    (new.now, new.kernel) = (old.now, old.kernel.clone());
    new.event(Event::Start);
    new.event(Event::Guard(GuardEv::Go { snapshot: Some(s), dead_since: Some(old.now.mono) }));
    assert_eq!(new.out, [Out::Resync]);
    new.run(MS * 100);
    new.dump();
    assert_eq!(new.state(), State::Master);
    assert_eq!(said(&new, |e| matches!(e, Effect::Guard(GuardFx::StandingBy))), 0);
}

#[test]
fn an_interrupted_dump_is_waited_for() {
    let mut old = Bench::master(v3());
    let mut new = Bench::of(World::standby(Config { instances: vec![v3()], ..Config::default() }));
    (new.now, new.kernel) = (old.now, old.kernel.clone());
    new.event(Event::Start);
    new.event(Event::Net(NetEv::DumpBegin));
    new.event(Event::Net(NetEv::Synced { complete: false }));
    new.run(MS * 30);
    new.dump();
    // After a loss the state is read again before `Go` is acted on.
    new.event(Event::Net(NetEv::Lost));
    let s = freeze(&mut old);
    go(&mut new, s, None);
    assert_eq!(new.state(), State::Init);
    new.dump();
    assert_eq!(new.state(), State::Master);
}

#[test]
fn a_backup_keeps_its_deadline_and_its_master() {
    for ms in [10, 100, 1000] {
        let cfg = every(ms, false);
        let mut old = Bench::new(cfg.clone());
        // A Master with a longer interval: the learned interval is kept.
        old.rx(&cfg, PEER, 200, MS * (2 * ms as u32));
        old.run(MS);
        let due = old.world.next_deadline().expect("Master_Down_Timer").0;
        let mut new = hand_over(&mut old, vec![cfg.clone()], MS * 3);
        assert_eq!(new.world.next_deadline(), Some((due, Due::MasterDown(new.view().vr))));
        assert_eq!((new.state(), new.view().master), (State::Backup, Some(ip(PEER))));
        assert_eq!(new.view().master_down_interval, old.view().master_down_interval);
        assert_eq!((new.logged("goes on as BACKUP"), new.logged("Entering"), new.adverts()), (1, 0, 0));
        new.run(due.since(new.now.mono) - Duration::from_nanos(1));
        assert_eq!(new.state(), State::Backup);
        new.run(Duration::from_nanos(1));
        assert_eq!(new.state(), State::Master);
    }
}

#[test]
fn what_a_backup_hears_in_the_gap_counts() {
    let cfg = every(10, false);
    for (priority, want) in [(200, 36_093_750), (0, 6_093_750)] {
        let mut old = Bench::new(cfg.clone());
        old.rx(&cfg, PEER, 200, MS * 10);
        let mut new = beside(&old, vec![cfg.clone()]);
        let s = freeze(&mut old);
        new.run(MS * 10);
        new.rx(&cfg, PEER, 200, MS * 10);
        new.run(MS * 10);
        new.rx(&cfg, PEER, priority, MS * 10);
        let heard = new.now.mono;
        new.run(MS * 2);
        go(&mut new, s, None);
        let at = new.world.next_deadline().expect("Master_Down_Timer").0;
        assert_eq!(at, heard + Duration::from_nanos(want), "priority {priority}: {:?}", new.log);
    }
}

#[test]
fn what_a_master_hears_in_the_gap_counts_unless_it_was_before() {
    let cfg = every(100, false);
    let mut old = Bench::new(cfg.clone());
    let mut new = beside(&old, vec![cfg.clone()]);
    // Both processes receive it, then it stops: this router is Master since then.
    old.rx(&cfg, PEER, 200, MS * 100);
    new.rx(&cfg, PEER, 200, MS * 100);
    old.run(MS * 1000);
    new.run(MS * 1000);
    let s = freeze(&mut old);
    new.kernel = old.kernel.clone();
    for a in new.kernel.clone() {
        new.event(Event::Net(NetEv::AddrNew(a)));
    }
    go(&mut new, s.clone(), None);
    assert_eq!(new.state(), State::Master, "{:?}", new.log);

    let mut new = beside(&old, vec![cfg.clone()]);
    new.run(MS * 50);
    new.rx(&cfg, PEER, 200, MS * 100);
    new.run(MS * 10);
    go(&mut new, s, None);
    assert_eq!((new.state(), new.view().master), (State::Backup, Some(ip(PEER))), "it came back in the gap");
    assert!(new.out.contains(&Out::Del(ip("198.18.0.100"))) && new.frames() == 0);
}

/// The snapshot that a daemon writes when something changes, then a crash.
fn crash(cfg: &InstanceConfig, dead_for: Duration) -> Bench {
    let mut old = Bench::master(cfg.clone());
    let s = written(&old.world.snapshot(old.now).expect("never written before"));
    assert!(!s.last);
    let dead = old.now.mono;
    old.now.mono += dead_for;
    let mut new = beside(&old, vec![cfg.clone()]);
    go(&mut new, s, Some(dead));
    new
}

#[test]
fn a_crash_is_over_in_time_or_it_is_not() {
    for (ms, v6) in [(10, false), (100, true), (1000, false)] {
        let mut cfg = every(ms, v6);
        cfg.garp.delay = Duration::ZERO;
        // The last advert may have left an interval before it died: two of the three intervals are left.
        let limit = cfg.advert_int * 2;
        let mut new = crash(&cfg, limit - Duration::from_nanos(1));
        assert_eq!((new.state(), new.adverts()), (State::Master, 1), "{:?}", new.log);
        // Armed adverts are not waited for. The advert comes first, before anything that takes time.
        let first = new.out.iter().find(|o| !matches!(o, Out::Resync | Out::Open | Out::Armed(..)));
        assert!(matches!(first, Some(Out::Stop(None) | Out::Advert(_))));
        assert_eq!((new.logged("resumes as MASTER, silent for"), new.logged("Entering")), (1, 0));
        assert!(!touched_addresses(&new), "{:?}", new.out);
        new.run(cfg.advert_int);
        assert!(new.frames() >= cfg.vips.len(), "hosts hear from us last");
        let times = armed(&new);
        assert!(times[0].since(new.now.mono - cfg.advert_int) <= cfg.advert_int);

        let mut new = crash(&cfg, limit);
        assert_eq!((new.state(), new.adverts()), (State::Backup, 0), "{:?}", new.log);
        assert_eq!(new.logged("starts anew: was Master, but silent for"), 1, "{:?}", new.log);
        assert!(new.out.contains(&Out::Del(cfg.vips[0].addr)), "left-overs go");
        new.run(cfg.advert_int * 5);
        assert_eq!(new.state(), State::Master);
    }
}

#[test]
fn fewer_adverts_of_patience_is_less_time_to_come_back() {
    let cfg = InstanceConfig { down_timer_adverts: 2, ..every(100, false) };
    assert_eq!(crash(&cfg, MS * 99).state(), State::Master);
    assert_eq!(crash(&cfg, MS * 100).state(), State::Backup);
}

#[test]
fn a_crashed_backup_waits_anew_and_knows_what_it_learned() {
    let cfg = every(10, false);
    let mut old = Bench::new(cfg.clone());
    old.rx(&cfg, PEER, 200, MS * 50);
    let s = written(&old.world.snapshot(old.now).expect("changed"));
    old.now.mono += MS * 1000;
    let mut new = beside(&old, vec![cfg.clone()]);
    go(&mut new, s, Some(old.now.mono - MS));
    let down = old.view().master_down_interval;
    assert_eq!(new.world.next_deadline().map(|d| d.0), Some(new.now.mono + down), "{:?}", new.log);
    assert_eq!((new.state(), new.view().master), (State::Backup, Some(ip(PEER))));
}

#[test]
fn a_fault_in_the_gap_is_left_with_a_farewell_also_behind_what_is_armed() {
    let mut cfg = every(100, false);
    cfg.track_interfaces =
        vec![kalived::config::model::TrackInterface { name: "eth1".into(), weight: 0, reverse: false }];
    let mut old = Bench::cold(vec![cfg.clone()]);
    old.links.push(link(4, "eth1", true));
    old.start();
    old.run(MS * 2000);
    let s = freeze(&mut old);
    let last = Instant(s.instances[0].last_armed.expect("armed"));
    let mut new = beside(&old, vec![cfg.clone()]);
    new.event(Event::Net(NetEv::LinkNew(link(4, "eth1", false))));
    go(&mut new, s, None);
    assert_eq!((new.state(), new.logged("Entering FAULT STATE: tracked interface eth1 down")), (State::Fault, 1));
    let farewells: Vec<&Out> = new.out.iter().filter(|o| matches!(o, Out::Stop(Some(_)) | Out::Armed(..))).collect();
    let [Out::Stop(Some(now)), Out::Armed(at, then)] = farewells[..] else { panic!("{farewells:?}") };
    assert!(now == then && now[20 + 2] == 0, "priority 0, now and once more");
    assert!(*at > last && at.since(last) < cfg.advert_int);
    assert!(new.out.contains(&Out::Del(ip("198.18.0.100"))) && new.frames() == 0);
    assert_eq!(new.logged("Entering MASTER"), 0);

    let mut new = crash_on_a_dead_link();
    assert_eq!(new.state(), State::Fault, "{:?}", new.log);
    assert!(new.out.contains(&Out::Del(ip("198.18.0.100"))));
    new.run(MS * 10_000);
    assert_eq!((new.state(), new.frames()), (State::Fault, 0));
}

fn crash_on_a_dead_link() -> Bench {
    let mut old = Bench::master(every(100, false));
    let s = written(&old.world.snapshot(old.now).expect("changed"));
    old.links = vec![link(ETH0, "eth0", false)];
    let mut new = beside(&old, vec![every(100, false)]);
    go(&mut new, s, Some(old.now.mono));
    new
}

#[test]
fn an_interface_that_was_replaced_in_the_gap_took_all_that_was_armed_along() {
    let mut old = Bench::master(every(100, false));
    let mut new = beside(&old, vec![every(100, false)]);
    let s = freeze(&mut old);
    new.event(Event::Net(NetEv::LinkDel { ifindex: ETH0 }));
    new.event(Event::Net(NetEv::LinkNew(link(9, "eth0", true))));
    new.event(Event::Net(NetEv::AddrNew(addr(9, OURS, 16, 0))));
    go(&mut new, s, None);
    assert_eq!((new.state(), new.logged("its interface is gone or another one now")), (State::Backup, 1));
}

#[test]
fn an_owner_whose_fault_passes_takes_its_farewell_back() {
    let mut cfg = InstanceConfig { priority: 255, ..every(1000, false) };
    cfg.track_interfaces =
        vec![kalived::config::model::TrackInterface { name: "eth1".into(), weight: 0, reverse: false }];
    let mut old = Bench::cold(vec![cfg.clone()]);
    old.links.push(link(4, "eth1", true));
    old.start();
    old.run(MS * 2000);
    let s = freeze(&mut old);
    let mut new = beside(&old, vec![cfg]);
    new.event(Event::Net(NetEv::LinkNew(link(4, "eth1", false))));
    go(&mut new, s, None);
    assert_eq!((new.state(), new.armed.len()), (State::Fault, 1));
    new.event(Event::Net(NetEv::LinkNew(link(4, "eth1", true))));
    new.run(MS);
    assert_eq!(new.state(), State::Master);
    let last = new.out.iter().rev().find_map(|o| if let Out::Armed(_, p) = o { Some(p[20 + 2]) } else { None });
    assert_eq!((last, new.out.iter().filter(|o| matches!(o, Out::Stop(None))).count()), (Some(255), 1));
}

#[test]
fn another_router_of_that_name_is_not_resumed() {
    let others: [fn(&mut InstanceConfig); 3] =
        [|c| c.vrid = 52, |c| c.name = "VI_2".into(), |c| c.interface = "eth1".into()];
    for other in others {
        let mut old = Bench::master(every(100, false));
        let s = freeze(&mut old);
        let mut cfg = every(100, false);
        other(&mut cfg);
        old.links.push(link(4, "eth1", true));
        old.kernel.push(addr(4, "198.19.0.20", 16, 0));
        let mut new = beside(&old, vec![cfg]);
        go(&mut new, s, None);
        assert_eq!((new.state(), new.logged("goes on as")), (State::Backup, 0), "{:?}", new.log);
        assert!(new.out.contains(&Out::Del(ip("198.18.0.100"))), "what it held is a left-over");
    }
}

#[test]
fn what_makes_no_sense_resumes_nothing() {
    let cfg = every(100, false);
    let mut old = Bench::master(cfg.clone());
    let good = freeze(&mut old);
    let now = old.now.mono.0;
    type Lie = fn(&mut kalived::snapshot::InstanceShot, u64);
    let lies: [Lie; 9] = [
        |i, _| i.master_interval = 1,
        |i, _| i.priority = 0,
        |i, _| i.state = 7,
        |i, _| i.master_interval = 0,
        |i, _| i.master_interval = u64::MAX,
        |i, now| i.since.0 = now + 1,
        |i, now| i.last_armed = Some(now + 10_000_000_000),
        |i, _| i.last_armed = Some(u64::MAX),
        |i, _| (i.state, i.master_interval) = (1, 1),
    ];
    for (n, lie) in lies.into_iter().enumerate() {
        let mut s = good.clone();
        lie(&mut s.instances[0], now);
        let mut new = beside(&old, vec![cfg.clone()]);
        go(&mut new, s, None);
        assert_eq!((new.state(), new.logged("makes no sense")), (State::Backup, 1), "lie {n}: {:?}", new.log);
        new.run(MS * 500);
        assert_eq!(new.state(), State::Master, "and it works all the same");
    }
    // Text without an effect on the state is truncated.
    let mut s = good.clone();
    s.at = u64::MAX;
    s.instances[0].stats = vec![u64::MAX; s.instances[0].stats.len()];
    s.instances[0].master_down = Some(u64::MAX);
    s.instances[0].preempt_at = Some(u64::MAX);
    s.instances[0].addrs = vec![(ETH0, ip(OURS), 16), (u32::MAX, ip(OURS), 255)];
    for state in [1, 2] {
        s.instances[0].state = state;
        let mut new = beside(&old, vec![cfg.clone()]);
        go(&mut new, s.clone(), None);
        assert!(!new.out.contains(&Out::Del(ip(OURS))), "the operator's");
        new.run(MS * 2000);
        assert_eq!((new.state(), new.view().stats.pri_zero_sent), (State::Master, 0));
    }
}

#[test]
fn nopreempt_stays_what_it_was() {
    let cfg = InstanceConfig { preempt: false, ..every(100, false) };
    let mut old = Bench::new(cfg.clone());
    // A router of lower priority is Master and stays so.
    old.rx(&cfg, PEER, 50, MS * 100);
    old.run(MS * 90);
    let due = old.world.next_deadline().expect("Master_Down_Timer").0;
    let mut new = hand_over(&mut old, vec![cfg.clone()], MS * 5);
    assert_eq!(new.world.next_deadline().map(|d| d.0), Some(due));
    for _ in 0..20 {
        new.rx(&cfg, PEER, 50, MS * 100);
        new.run(MS * 100);
    }
    assert_eq!(new.state(), State::Backup);
    // Long silence right after a start keeps its deadline, too.
    let mut old = Bench::new(cfg.clone());
    let due = old.world.next_deadline().expect("Master_Down_Timer").0;
    let new = hand_over(&mut old, vec![cfg], MS * 5);
    assert_eq!(new.world.next_deadline().map(|d| d.0), Some(due));
}

#[test]
fn a_running_preempt_delay_runs_on() {
    let cfg = InstanceConfig { preempt_delay: MS * 2000, ..every(100, false) };
    let mut old = Bench::new(cfg.clone());
    let heard = |b: &mut Bench, n: u32| {
        for _ in 0..n {
            b.rx(&cfg, PEER, 50, MS * 100);
            b.run(MS * 100);
        }
    };
    heard(&mut old, 15);
    let mut new = hand_over(&mut old, vec![cfg.clone()], Duration::ZERO);
    heard(&mut new, 5);
    assert_eq!(new.state(), State::Backup);
    // The delay ends at 2 s; from then on adverts of the lower one are ignored.
    heard(&mut new, 5);
    assert_eq!(new.state(), State::Master);
}

#[test]
fn an_owner_goes_on_as_owner() {
    let cfg = InstanceConfig { priority: 255, ..every(10, false) };
    let mut old = Bench::cold(vec![cfg.clone()]);
    // One address is the operator's, the other one kalived added.
    let mut cfg2 = cfg.clone();
    cfg2.vips = vec![vip("198.18.0.100"), vip("198.18.0.101")];
    old.world = World::new(Config { instances: vec![cfg2.clone()], ..Config::default() });
    old.kernel.push(addr(ETH0, "198.18.0.100", 32, 0));
    old.start();
    old.run(MS * 100);
    let mut new = hand_over(&mut old, vec![cfg2.clone()], MS * 20);
    new.run(MS * 100);
    assert_eq!((new.state(), new.view().effective_priority, new.adverts()), (State::Master, 255, 0));
    assert!(!touched_addresses(&new));
    new.term();
    assert!(new.out.contains(&Out::Del(ip("198.18.0.101"))), "ours goes");
    assert!(!new.out.contains(&Out::Del(ip("198.18.0.100"))), "the operator's stays");
    // Too late after a crash, an address owner is still Master at once, as at any start.
    let mut new = crash(&cfg, MS * 500);
    new.run(MS);
    assert_eq!((new.state(), new.logged("Entering MASTER STATE")), (State::Master, 1), "{:?}", new.log);
}

#[test]
fn two_hundred_and_fifty_five_at_once() {
    let cfgs: Vec<InstanceConfig> = (1..=255u8)
        .map(|n| {
            let mut c = InstanceConfig { name: format!("VI_{n}"), vrid: n, ..every(10, false) };
            c.vips = vec![vip(&format!("198.18.1.{n}"))];
            c
        })
        .collect();
    let mut old = Bench::cold(cfgs.clone());
    old.start();
    // In pieces: the bench takes so many steps at a time.
    (0..6).for_each(|_| old.run(MS * 1000));
    old.out.clear();
    let mut new = hand_over(&mut old, cfgs, MS * 20);
    let views = new.world.views();
    let odd: Vec<_> = views.iter().filter(|v| v.state != State::Master || v.addresses != (1, 1)).collect();
    assert!(odd.is_empty(), "{odd:?} {:?}", new.log);
    new.run(MS * 200);
    assert_eq!((new.adverts(), new.frames(), touched_addresses(&new)), (0, 0, false));
    // Each continues at its own place of the grid.
    let mut by_vrid: std::collections::BTreeMap<u8, Vec<Instant>> = Default::default();
    let leaving = |b: &Bench, by: &mut std::collections::BTreeMap<u8, Vec<Instant>>| {
        for o in &b.out {
            if let Out::Armed(at, p) = o {
                by.entry(p[21]).or_default().push(*at);
            }
        }
    };
    leaving(&old, &mut by_vrid);
    leaving(&new, &mut by_vrid);
    assert_eq!(by_vrid.len(), 255);
    assert!(by_vrid.values().all(|t| t.windows(2).all(|w| w[1].since(w[0]) == MS * 10)));
}

#[test]
fn hand_overs_one_after_another_arm_no_more_than_one() {
    for ms in [10, 1000] {
        let cfg = every(ms, false);
        let mut worlds = vec![Bench::master(cfg.clone())];
        let most = worlds[0].now.mono + cfg.advert_int * 9;
        for _ in 0..20 {
            let old = worlds.last_mut().expect("one at least");
            let new = hand_over(old, vec![cfg.clone()], Duration::ZERO);
            worlds.push(new);
        }
        let mut all: Vec<Instant> = worlds.iter().flat_map(armed).collect();
        assert!(all.iter().all(|at| *at <= most));
        let mut last = worlds.pop().expect("the last");
        last.out.clear();
        last.run(cfg.advert_int * 20);
        all.extend(armed(&last));
        all.sort_unstable();
        assert!(all.windows(2).all(|w| w[1].since(w[0]) == cfg.advert_int), "{all:?}");
        assert_eq!((last.state(), last.logged("anew")), (State::Master, 0));
    }
}

#[test]
fn the_new_configuration_counts() {
    let mut cfg = every(100, false);
    cfg.vips.push(vip("198.18.0.101"));
    let mut old = Bench::master(cfg.clone());
    let mut then = every(100, false);
    then.vips = vec![vip("198.18.0.100"), vip("198.18.0.102")];
    then.priority = 120;
    let new = hand_over(&mut old, vec![then.clone()], MS);
    let moved: Vec<&Out> = new.out.iter().filter(|o| matches!(o, Out::Add(_) | Out::Del(_))).collect();
    assert_eq!(moved.len(), 2, "{moved:?}");
    assert!(moved.contains(&&Out::Add(ip("198.18.0.102"))) && moved.contains(&&Out::Del(ip("198.18.0.101"))));
    assert!(new.frames() > 0, "the new one is announced");
    assert_eq!((new.view().effective_priority, new.logged("Changing effective priority from 100 to 120")), (120, 1));
    // The same address with another prefix length: the old one goes, the new one comes.
    let mut other = every(100, false);
    other.vips[0].prefix = 24;
    let mut old = Bench::master(every(100, false));
    let new = hand_over(&mut old, vec![other], MS);
    assert!(new.out.contains(&Out::Add(ip("198.18.0.100"))) && new.out.contains(&Out::Del(ip("198.18.0.100"))));
}

#[test]
fn a_longer_interval_is_told_before_the_shorter_one_is_missed() {
    for (from, to) in [(10, 1000), (1000, 10)] {
        let mut old = Bench::master(every(from, false));
        let new = hand_over(&mut old, vec![every(to, false)], MS);
        let last = old.armed.keys().next_back().map(|(at, _)| *at).expect("armed");
        let first = armed(&new)[0];
        assert!(
            first > last && first.since(last) <= MS * from.min(to) as u32,
            "{from} to {to}: {first:?} after {last:?}"
        );
        assert_eq!(new.adverts(), 0);
    }
}

#[test]
fn a_snapshot_is_worth_writing_when_something_changed() {
    let cfg = every(100, false);
    let mut b = Bench::new(cfg.clone());
    assert!(b.world.snapshot(b.now).is_some(), "the start");
    assert!(b.world.snapshot(b.now).is_none(), "nothing since");
    b.rx(&cfg, PEER, 200, MS * 100);
    assert!(b.world.snapshot(b.now).is_some(), "a Master is followed");
    for _ in 0..10 {
        b.run(MS * 100);
        b.rx(&cfg, PEER, 200, MS * 100);
        assert!(b.world.snapshot(b.now).is_none(), "one more advert");
    }
    b.rx(&cfg, PEER, 200, MS * 200);
    assert!(b.world.snapshot(b.now).is_some(), "another interval was learned");
    b.run(MS * 10_000);
    let s = b.world.snapshot(b.now).expect("Master");
    assert_eq!((s.instances[0].state, s.instances[0].addrs.len()), (2, 1));
    assert!(s.instances[0].last_armed.is_some() && !s.last);
    b.run(MS * 10_000);
    assert!(b.world.snapshot(b.now).is_none(), "adverts are not worth it");
    b.term();
    assert!(b.world.snapshot(b.now).is_none(), "who stops leaves nothing");
}

#[test]
fn an_address_that_nobody_of_us_added_is_no_left_over_of_ours() {
    let mut old = Bench::master(every(100, false));
    let mut s = freeze(&mut old);
    s.instances[0].addrs.push((ETH0, ip("198.18.0.77"), 32));
    s.instances[0].addrs.push((ETH0, ip("198.18.0.78"), 32));
    old.kernel.push(addr(ETH0, "198.18.0.77", 32, 0));
    old.kernel.push(addr(ETH0, "198.18.0.78", 32, ADDR_PROTO));
    let mut new = beside(&old, vec![every(100, false)]);
    go(&mut new, s, None);
    assert!(new.out.contains(&Out::Del(ip("198.18.0.78"))) && !new.out.contains(&Out::Del(ip("198.18.0.77"))));
}
