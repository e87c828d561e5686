//! Notification after a hand-over and after a crash: nothing twice, and all that was not delivered yet.
//!
//! Read first: `handover.rs`, `notify.rs`.

use crate::bench::{Bench, PEER};
use crate::notify::{Desk, config, flap, general, ms, quick, script, secs};
use crate::pipes::piped;
use kalived::config::model::InstanceConfig;
use kalived::config::model::global::GlobalMore;
use kalived::event::{Event, GuardEv};
use kalived::snapshot::Snapshot;
use kalived::vrrp::State;
use kalived::world::World;

fn more() -> GlobalMore {
    GlobalMore { notify_fifo_script: script(&["/reader"]), ..piped() }
}

fn old(cfg: &InstanceConfig) -> Desk {
    let mut d = Desk::new(config(vec![cfg.clone()], more()), |s| (s.argv[0] == "/h").then_some(secs(2)));
    d.run(secs(20));
    assert_eq!(d.told("VI_1"), ["BACKUP", "MASTER"]);
    d
}

// The next process, which has the snapshot.
fn next(old: &Desk, cfg: &InstanceConfig, s: Snapshot, dead: bool) -> Desk {
    let mut b = Bench::of(World::standby(config(vec![cfg.clone()], more())));
    (b.now, b.links, b.kernel) = (old.b.now, old.b.links.clone(), old.b.kernel.clone());
    let mut d = Desk::of(b, |_| None);
    d.b.start();
    d.serve();
    assert!(d.begun.is_empty() && d.pipes.is_empty(), "another one is in charge");
    let snapshot = Some(Box::new(Snapshot::decode(&s.encode()).expect("what was written is read")));
    d.b.event(Event::Guard(GuardEv::Go { snapshot, dead_since: dead.then_some(old.b.now.mono) }));
    d.run(ms(1));
    d
}

fn freeze(d: &mut Desk) -> Snapshot {
    d.b.event(Event::Guard(GuardEv::Freeze));
    d.run(ms(1));
    d.b.world.last_snapshot(d.b.now)
}

#[test]
fn what_was_told_is_not_told_again() {
    let cfg = general(quick());
    let mut d = old(&cfg);
    d.lines.clear();
    let s = freeze(&mut d);
    assert_eq!(s.instances[0].notified, Some(State::Master as u8));
    assert_eq!(d.kills, [("/reader".to_owned(), false)], "one reader at a time");
    let mut n = next(&d, &cfg, s, false);
    assert_eq!(n.b.state(), State::Master);
    assert!(n.told("VI_1").is_empty() && n.lines.is_empty(), "{:?} {:?}", n.begun, n.lines);
    assert_eq!(n.begun.len(), 1, "its own reader");
    n.b.rx(&cfg, PEER, 255, ms(10));
    n.run(ms(1));
    assert_eq!(n.told("VI_1"), ["BACKUP"]);
    assert_eq!(n.lines, ["INSTANCE \"VI_1\" BACKUP 254\n"]);
}

#[test]
fn what_still_waited_is_told_by_the_next_process() {
    let cfg = general(quick());
    let mut d = old(&cfg);
    // The hook for BACKUP runs, and MASTER waits.
    flap(&mut d, &cfg);
    assert_eq!(d.told("VI_1").last().map(String::as_str), Some("BACKUP"));
    let s = freeze(&mut d);
    let n = next(&d, &cfg, s, false);
    assert_eq!(n.b.state(), State::Master);
    assert_eq!(n.told("VI_1"), ["MASTER"]);
}

#[test]
fn after_a_crash_that_was_short_nobody_hears_of_it() {
    let cfg = general(quick());
    let mut d = old(&cfg);
    let s = d.b.world.snapshot(d.b.now).expect("there was none yet");
    let n = next(&d, &cfg, s, true);
    assert_eq!(n.b.state(), State::Master);
    assert!(n.told("VI_1").is_empty() && n.lines.is_empty());
}

#[test]
fn a_hook_that_was_told_is_worth_a_snapshot() {
    let cfg = general(quick());
    let mut d = old(&cfg);
    flap(&mut d, &cfg);
    let told = |d: &mut Desk| d.b.world.snapshot(d.b.now).map(|s| s.instances[0].notified);
    assert_eq!(told(&mut d), Some(Some(State::Backup as u8)), "its hook runs");
    d.run(secs(3));
    assert_eq!(told(&mut d), Some(Some(State::Master as u8)));
    assert_eq!(told(&mut d), None);
}
