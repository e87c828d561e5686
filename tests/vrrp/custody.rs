//! Custody: a frozen world holds its addresses until a successor is in charge, or removes them before a peer may take over.
//!
//! Read first: `handover.rs`, `src/world/custody.rs`.

use crate::bench::*;
use crate::handover::{every, freeze, said};
use kalived::effect::{ADDR_PROTO, Effect, GuardFx};
use kalived::event::{Event, GuardEv};
use kalived::time::{Duration, Instant};
use kalived::vrrp::State;

const MS: Duration = Duration::from_millis(1);

fn looks(b: &Bench) -> usize {
    said(b, |e| matches!(e, Effect::Guard(GuardFx::LookForSuccessor)))
}
/// As `Bench::run`, while no successor is in charge.
fn run_alone(b: &mut Bench, d: Duration) {
    let (end, mut answered) = (b.now.mono + d, looks(b));
    while b.now.mono < end {
        let next = b.world.next_deadline().map_or(end, |(at, _)| at.min(end));
        b.run(next.since(b.now.mono));
        if looks(b) > answered {
            answered = looks(b);
            b.event(Event::Guard(GuardEv::Successor { in_charge: false }));
        } else if next >= end {
            break;
        }
    }
}
fn ended(b: &Bench) -> bool {
    b.out.contains(&Out::Exit(kalived::exit::ExitCode::Ok))
}
fn tagged(b: &Bench) -> usize {
    b.kernel.iter().filter(|a| a.proto == ADDR_PROTO).count()
}

#[test]
fn handed_over_to_nobody_the_addresses_go_when_a_peer_may_take_them() {
    for ms in [10, 100, 1000] {
        for v6 in [false, true] {
            let cfg = every(ms, v6);
            let mut old = Bench::master(cfg.clone());
            let s = freeze(&mut old);
            let limit = Instant(s.instances[0].last_armed.expect("armed")) + cfg.advert_int * 3;
            let wait = limit.since(old.now.mono) - Duration::from_nanos(1);
            run_alone(&mut old, wait);
            assert_eq!((looks(&old), tagged(&old)), (wait.as_secs() as usize, cfg.vips.len()), "{ms} {v6}");
            run_alone(&mut old, Duration::from_nanos(1));
            assert_eq!((tagged(&old), ended(&old)), (0, true), "{:?}", old.log);
            assert_eq!(old.logged("no process went on with it"), 1);
            assert_eq!(old.adverts(), 0, "no farewell: it would be older than what a late successor sends");
        }
    }
}

#[test]
fn a_successor_in_charge_ends_the_custody_and_the_addresses_stay() {
    let cfg = every(100, false);
    for asked in [true, false] {
        let mut old = Bench::master(cfg.clone());
        freeze(&mut old);
        assert!(!ended(&old), "somebody has to answer for the addresses");
        if asked {
            old.run(MS * 1200);
            assert_eq!(looks(&old), 1);
        }
        old.event(Event::Guard(GuardEv::Successor { in_charge: true }));
        assert_eq!((tagged(&old), ended(&old)), (1, true));
        old.run(MS * 10_000);
        assert_eq!((tagged(&old), looks(&old)), (1, usize::from(asked)), "nothing is left to be done");
    }
}

#[test]
fn each_router_is_in_custody_for_its_own_time_and_a_stop_ends_it() {
    let mut other = every(1000, false);
    (other.name, other.vrid, other.vips) = ("VI_2".into(), 52, vec![vip("198.18.0.101")]);
    let both = vec![every(10, false), other];
    let start = || {
        let mut b = Bench::cold(both.clone());
        b.start();
        b.run(MS * 10_000);
        assert_eq!(tagged(&b), 2);
        b.out.clear();
        freeze(&mut b);
        b
    };
    let mut old = start();
    run_alone(&mut old, MS * 500);
    assert_eq!((tagged(&old), ended(&old)), (1, false), "the slow one may still be gone on with");
    old.event(Event::Guard(GuardEv::Successor { in_charge: true }));
    assert_eq!((tagged(&old), ended(&old)), (1, true));
    // SIGTERM does not wait for a successor.
    let mut old = start();
    old.term();
    old.fire();
    assert_eq!(looks(&old), 1);
    old.event(Event::Guard(GuardEv::Successor { in_charge: false }));
    assert_eq!((tagged(&old), ended(&old)), (0, true));
    // The wait for a kernel that does not answer ends.
    let mut old = start();
    old.answer = false;
    old.term();
    old.fire();
    old.event(Event::Guard(GuardEv::Successor { in_charge: false }));
    assert!(!ended(&old));
    old.run(MS * 2000);
    assert!(ended(&old));
}

#[test]
fn a_backup_ends_at_once_and_a_process_that_has_not_begun_stops_instead() {
    let mut old = Bench::new(every(100, false));
    assert_eq!(old.state(), State::Backup);
    freeze(&mut old);
    assert!(ended(&old));
    let mut new = Bench::cold(vec![every(100, false)]);
    new.event(Event::Start);
    new.event(Event::Guard(GuardEv::Freeze));
    assert_eq!(said(&new, |e| matches!(e, Effect::Guard(GuardFx::Frozen))), 0);
    assert!(!ended(&new), "what a killed one left is looked for first");
    new.dump();
    assert!(ended(&new), "{:?}", new.log);
}

#[test]
fn a_router_with_a_better_claim_does_not_wait() {
    let cfg = every(1000, false);
    for (priority, goes) in [(cfg.priority + 1, true), (cfg.priority - 1, false), (0, false)] {
        let mut old = Bench::master(cfg.clone());
        freeze(&mut old);
        old.run(MS * 10);
        old.rx(&cfg, "198.18.0.9", priority, MS * 1000);
        old.fire();
        if !goes {
            assert_eq!((looks(&old), tagged(&old)), (0, cfg.vips.len()), "{priority}");
            continue;
        }
        assert_eq!(looks(&old), 1, "the process that goes on may be in charge already");
        old.event(Event::Guard(GuardEv::Successor { in_charge: false }));
        assert_eq!((tagged(&old), ended(&old), old.adverts()), (0, true, 0), "{:?}", old.log);
    }
    // A successor that is in charge makes room by itself.
    let mut old = Bench::master(cfg.clone());
    freeze(&mut old);
    old.rx(&cfg, "198.18.0.9", cfg.priority + 1, MS * 1000);
    old.fire();
    old.event(Event::Guard(GuardEv::Successor { in_charge: true }));
    assert_eq!((tagged(&old), ended(&old)), (1, true));
}
