//! Notification by hooks: recipients, order and limits, and the end of the process. Pipes are in `pipes.rs`, mail in `mail.rs`.
//!
//! Read first: `bench.rs`; `Desk` here is the rest of the system: programs that run for a while, pipes with or without a reader.

use crate::bench::{Bench, ETH0, Out, PEER, ip, link, v2, v3, vip};
use kalived::config::model::global::GlobalMore;
use kalived::config::model::setting::{Ready, Script};
use kalived::config::model::vrrp::{Notify, OwnInterface};
use kalived::config::model::{Config, Global, InstanceConfig};
use kalived::effect::{Effect, GuardFx, HelperFx, SpawnSpec};
use kalived::event::{ChildEnd, Errno, Event, GuardEv, HelperEv, NetEv, Signal};
use kalived::id::{ChildKey, FifoKey};
use kalived::time::{Duration, Instant};
use kalived::vrrp::State;
use kalived::world::World;
use std::collections::{BTreeMap, VecDeque};

pub fn script(words: &[&str]) -> Option<Box<Script>> {
    let argv = words.iter().map(|w| Box::from(*w)).collect();
    Some(Box::new(Script { argv, user: None, group: None, ready: Ready::As { uid: 1000, gid: 100 } }))
}

fn notifying(mut cfg: InstanceConfig, notify: Notify) -> InstanceConfig {
    cfg.more.notify = notify;
    cfg
}

// `/h` receives every change, with the arguments of a general hook.
pub fn general(cfg: InstanceConfig) -> InstanceConfig {
    notifying(cfg, Notify { any: script(&["/h"]), ..Notify::default() })
}

pub fn config(instances: Vec<InstanceConfig>, more: GlobalMore) -> Config {
    Config { instances, global: Global { more: Box::new(more), ..Global::default() }, ..Config::default() }
}

pub struct Desk {
    pub b: Bench,
    /// How long a program runs; `None`: until it is killed.
    takes: fn(&SpawnSpec) -> Option<Duration>,
    pub running: BTreeMap<ChildKey, (Option<Instant>, SpawnSpec)>,
    pub most: usize,
    pub begun: Vec<SpawnSpec>,
    pub kills: Vec<(String, bool)>,
    pub pipes: BTreeMap<FifoKey, String>,
    /// Lines that the kernel's part of each pipe has room for.
    pub room: usize,
    pub lines: Vec<String>,
    in_flight: usize,
    pub full: VecDeque<FifoKey>,
}

impl Desk {
    pub fn new(config: Config, takes: fn(&SpawnSpec) -> Option<Duration>) -> Desk {
        let mut d = Desk::of(Bench::of(World::new(config)), takes);
        d.b.start();
        d.serve();
        d
    }
    /// Around a world that has not started.
    pub fn of(b: Bench, takes: fn(&SpawnSpec) -> Option<Duration>) -> Desk {
        Desk {
            b,
            takes,
            running: BTreeMap::new(),
            most: 0,
            begun: Vec::new(),
            kills: Vec::new(),
            pipes: BTreeMap::new(),
            room: usize::MAX,
            lines: Vec::new(),
            in_flight: 0,
            full: VecDeque::new(),
        }
    }

    /// Executes or begins all requests.
    pub fn serve(&mut self) {
        while !self.b.asked.is_empty() {
            for e in std::mem::take(&mut self.b.asked) {
                match e {
                    Effect::Guard(GuardFx::Spawn { child, spec }) => {
                        let end = (self.takes)(&spec).map(|d| self.b.now.mono + d);
                        self.begun.push(*spec.clone());
                        self.running.insert(child, (end, *spec));
                        self.most = self.most.max(self.running.len());
                    }
                    Effect::Guard(GuardFx::Kill { child, hard }) => {
                        let Some((_, spec)) = self.running.get(&child) else { continue };
                        self.kills.push((spec.argv[0].clone(), hard));
                        if hard || !spec.argv[0].contains("deaf") {
                            self.running.remove(&child);
                            let end = ChildEnd::Signaled(if hard { 9 } else { 15 });
                            self.b.event(Event::Guard(GuardEv::ChildExit { child, end }));
                        }
                    }
                    Effect::Helper(HelperFx::OpenFifo { fifo, path, .. }) => {
                        self.pipes.insert(fifo, path);
                        self.b.event(Event::Helper(HelperEv::FifoReady { fifo, result: Ok(()) }));
                    }
                    Effect::Helper(HelperFx::CloseFifo { fifo }) => drop(self.pipes.remove(&fifo)),
                    Effect::Helper(HelperFx::WriteFifo { fifo, line }) => {
                        assert!(self.pipes.contains_key(&fifo), "written to a pipe that is open");
                        self.in_flight += 1;
                        assert_eq!(self.in_flight, 1, "one write at a time");
                        self.in_flight -= 1;
                        let result = if self.room > 0 {
                            self.room -= 1;
                            self.lines.push(String::from_utf8(line.to_vec()).expect("text"));
                            Ok(())
                        } else {
                            self.full.push_back(fifo);
                            Err(Errno::EAGAIN)
                        };
                        self.b.event(Event::Helper(HelperEv::FifoWritten { fifo, result }));
                    }
                    Effect::Guard(GuardFx::Frozen) | Effect::Guard(GuardFx::StandingBy) => {}
                    Effect::Guard(GuardFx::Reloaded(r)) => assert!(r.done, "{r:?}"),
                    other => panic!("not asked for here: {other:?}"),
                }
            }
        }
    }

    pub fn drain_pipe(&mut self, room: usize) {
        self.room = room;
        while let Some(fifo) = self.full.pop_front() {
            self.b.event(Event::Helper(HelperEv::FifoReady { fifo, result: Ok(()) }));
            self.serve();
        }
    }

    pub fn run(&mut self, d: Duration) {
        let end = self.b.now.mono + d;
        for _ in 0..1_000_000 {
            self.serve();
            let next = self.running.iter().filter_map(|(c, (at, _))| Some(((*at)?, *c))).min();
            let timer = self.b.world.next_deadline().map(|(at, _)| at);
            match (next, timer) {
                (Some((at, child)), t) if at <= end && t.is_none_or(|t| at <= t) => {
                    self.b.run(at.since(self.b.now.mono));
                    self.running.remove(&child);
                    self.b.event(Event::Guard(GuardEv::ChildExit { child, end: ChildEnd::Exited(0) }));
                }
                (_, Some(t)) if t <= end => self.b.run(t.since(self.b.now.mono)),
                _ => break,
            }
        }
        self.b.run(end.since(self.b.now.mono));
        self.serve();
    }

    /// The states that general hooks received.
    pub fn told(&self, name: &str) -> Vec<String> {
        let all = self.begun.iter().filter(|s| s.argv.len() >= 5 && s.argv[s.argv.len() - 3] == name);
        all.map(|s| s.argv[s.argv.len() - 2].clone()).collect()
    }
    pub fn exited(&self) -> bool {
        self.b.out.iter().any(|o| matches!(o, Out::Exit(_)))
    }
}

fn var<'a>(s: &'a SpawnSpec, name: &str) -> &'a str {
    &s.env.iter().find(|(k, _)| k == name).unwrap_or_else(|| panic!("{name} is not set")).1
}

pub fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}
pub fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

// Reacts within a millisecond.
pub fn quick() -> InstanceConfig {
    InstanceConfig { advert_int: ms(10), priority: 254, ..v3() }
}

// A Master of `quick` yields, and takes over again at once.
pub fn flap(d: &mut Desk, cfg: &InstanceConfig) {
    d.b.rx(cfg, PEER, 255, ms(10));
    assert_eq!(d.b.state(), State::Backup);
    d.b.rx(cfg, PEER, 0, ms(10));
    d.run(ms(1));
    assert_eq!(d.b.state(), State::Master);
}

/// Trap 70.
#[test]
fn hooks_are_serial_and_the_last_one_is_the_last_state() {
    let cfg = general(quick());
    let mut d = Desk::new(config(vec![cfg.clone()], GlobalMore::default()), |_| Some(secs(2)));
    d.run(secs(10));
    assert_eq!(d.told("VI_1"), ["BACKUP", "MASTER"]);
    let began = d.b.now.mono;
    flap(&mut d, &cfg);
    assert!(d.b.now.mono.since(began) < ms(50));
    assert_eq!(d.told("VI_1"), ["BACKUP", "MASTER", "BACKUP"], "the next one waits");
    d.run(secs(10));
    assert_eq!(d.told("VI_1"), ["BACKUP", "MASTER", "BACKUP", "MASTER"]);
    assert_eq!(d.most, 1, "one at a time");
}

/// I-10: some may be left out, but no state comes twice in a row and the newest comes last.
#[test]
fn a_hook_that_is_too_slow_misses_the_oldest_and_never_the_newest() {
    let cfg = general(quick());
    let mut d = Desk::new(config(vec![cfg.clone()], GlobalMore::default()), |_| Some(secs(20)));
    d.run(secs(1));
    for n in 0..50 {
        flap(&mut d, &cfg);
        if n == 20 {
            d.run(secs(30));
        }
    }
    d.run(secs(10_000));
    let told = d.told("VI_1");
    assert!(told.windows(2).all(|w| w[0] != w[1]), "no state twice in a row: {told:?}");
    assert_eq!(told.last().map(String::as_str), Some("MASTER"));
    let skipped: u64 = d.begun.iter().map(|s| var(s, "KALIVED_SKIPPED").parse::<u64>().expect("a number")).sum();
    assert_eq!(told.len() as u64 + skipped, 102, "each change was told or counted");
    assert!((17..40).contains(&told.len()), "{}", told.len());
    let seqs: Vec<u64> = d.begun.iter().map(|s| var(s, "KALIVED_SEQ").parse().expect("a number")).collect();
    assert!(seqs.windows(2).all(|w| w[0] < w[1]), "in order: {seqs:?}");
    assert!(d.b.logged("slower than changes of state") > 0);
}

/// Trap 78 and 79: exact words, once.
#[test]
fn hooks_get_their_arguments_word_by_word_and_the_general_one_four_more() {
    let cfg = notifying(
        v2(),
        Notify {
            master: script(&["/m", "it's", "$(reboot)", "a b", ""]),
            backup: script(&["/b"]),
            fault: script(&["/f"]),
            stop: script(&["/s"]),
            any: script(&["/any", "x"]),
            ..Notify::default()
        },
    );
    let mut d = Desk::new(config(vec![cfg], GlobalMore::default()), |_| Some(ms(1)));
    d.run(secs(10));
    d.b.event(Event::Net(NetEv::LinkNew(link(ETH0, "eth0", false))));
    d.run(secs(1));
    d.b.term();
    d.run(secs(1));
    let argv: Vec<String> = d.begun.iter().map(|s| s.argv.join("|")).collect();
    assert_eq!(
        argv,
        [
            "/b",
            "/any|x|INSTANCE|VI_1|BACKUP|100",
            "/m|it's|$(reboot)|a b|",
            "/any|x|INSTANCE|VI_1|MASTER|100",
            "/f",
            "/any|x|INSTANCE|VI_1|FAULT|100",
            "/s",
            "/any|x|INSTANCE|VI_1|STOP|100",
        ]
    );
    assert!(d.begun.iter().all(|s| (s.uid, s.gid) == (1000, 100)));
    let m = &d.begun[2];
    let seen =
        ["INSTANCE", "STATE", "OLD_STATE", "PRIORITY", "EVENT", "SKIPPED"].map(|v| var(m, &format!("KALIVED_{v}")));
    assert_eq!(seen, ["VI_1", "MASTER", "BACKUP", "100", "MASTER", "0"]);
    // Another kalived that starts later begins with a higher number.
    let seq: u64 = var(m, "KALIVED_SEQ").parse().expect("a number");
    assert!(seq >= 1_700_000_000_000, "{seq}");
    assert!(var(m, "KALIVED_CAUSE").starts_with("no advert for 3.6"), "{}", var(m, "KALIVED_CAUSE"));
    assert_eq!(var(&d.begun[4], "KALIVED_CAUSE"), "interface eth0 down");
    // Of the wall clock: some seconds after the bench's start.
    let time: u64 = var(m, "KALIVED_TIME").parse().expect("a number");
    assert!((1_700_000_000_000_000_000..1_700_000_060_000_000_000).contains(&time), "{time}");
    assert_eq!(d.begun[0].env.len(), 9);
    assert!(d.exited());
}

/// Trap 78.
#[test]
fn a_start_in_fault_is_told_once() {
    let cfg = general(v2());
    let mut d = Desk::new(config(vec![], GlobalMore::default()), |_| Some(ms(1)));
    d.b = Bench::of(World::new(config(vec![cfg], GlobalMore::default())));
    d.b.links = vec![link(ETH0, "eth0", false)];
    d.b.start();
    d.run(secs(60));
    assert_eq!(d.told("VI_1"), ["FAULT"]);
    assert_eq!(var(&d.begun[0], "KALIVED_OLD_STATE"), "INIT");
    d.b.event(Event::Net(NetEv::LinkNew(link(ETH0, "eth0", true))));
    d.run(secs(60));
    assert_eq!(d.told("VI_1"), ["FAULT", "BACKUP", "MASTER"]);
}

/// The advert and the address requests of a takeover precede the request for any hook.
#[test]
fn the_takeover_comes_first() {
    let mut b = Bench::new(general(v2()));
    b.asked.clear();
    let mut sent = None;
    while b.asked.is_empty() {
        let (at, _) = b.world.next_deadline().expect("a timer");
        b.run(at.since(b.now.mono));
        sent = sent.or_else(|| b.out.iter().position(|o| matches!(o, Out::Advert(_))));
    }
    assert!(sent.is_some() && b.out.iter().any(|o| matches!(o, Out::Armed(..))), "{:?}", b.out);
    assert!(b.out.contains(&Out::Add(ip("198.18.0.100"))));
}

fn many(n: u8, one: fn(InstanceConfig) -> InstanceConfig) -> Vec<InstanceConfig> {
    (1..=n)
        .map(|vrid| {
            let name = format!("VI_{vrid}");
            one(InstanceConfig { name, vrid, vips: vec![vip(&format!("198.18.1.{vrid}"))], ..v2() })
        })
        .collect()
}

/// Trap 75.
#[test]
fn two_hundred_and_fifty_five_hooks_run_a_few_at_a_time() {
    let mut d = Desk::new(config(many(255, general), GlobalMore::default()), |_| Some(ms(500)));
    d.run(secs(300));
    assert_eq!(d.most, 16);
    for n in 1..=255 {
        assert_eq!(d.told(&format!("VI_{n}")), ["BACKUP", "MASTER"]);
    }
    let seqs: Vec<u64> = d.begun.iter().map(|s| var(s, "KALIVED_SEQ").parse().expect("a number")).collect();
    assert!(seqs[..255].windows(2).all(|w| w[0] < w[1]), "in the order of the changes");
}

#[test]
fn hooks_that_never_end_hold_up_nobody_for_long() {
    let mut d = Desk::new(config(many(20, general), GlobalMore::default()), |s| {
        s.argv.iter().any(|a| a == "BACKUP").then_some(ms(1))
    });
    d.run(secs(4));
    assert_eq!(d.running.len(), 16);
    d.run(secs(61));
    assert_eq!(d.running.len(), 20, "after a minute they do not count");
    assert!(d.kills.is_empty(), "nothing waits for them: {:?}", d.kills);
    assert_eq!(d.b.logged("still runs after"), 16);
    d.run(secs(600));
    assert_eq!(d.b.logged("still runs after"), 20, "said once each");
}

#[test]
fn a_hook_that_keeps_the_next_one_waiting_is_ended() {
    let cfg = notifying(
        quick(),
        Notify { master: script(&["/deaf"]), backup: script(&["/b"]), any: None, ..Notify::default() },
    );
    let mut d = Desk::new(config(vec![cfg.clone()], GlobalMore::default()), |s| (s.argv[0] == "/b").then_some(ms(1)));
    d.run(secs(1));
    flap(&mut d, &cfg);
    d.run(secs(58));
    assert!(d.kills.is_empty());
    d.run(secs(2));
    assert_eq!(d.kills, [("/deaf".to_owned(), false)]);
    d.run(secs(2));
    assert_eq!(d.kills[1..], [("/deaf".to_owned(), true)]);
    let began: Vec<&str> = d.begun.iter().map(|s| s.argv[0].as_str()).collect();
    assert_eq!(began, ["/b", "/deaf", "/b", "/deaf"]);
}

#[test]
fn what_must_not_run_does_not_and_says_so() {
    let mut refused = script(&["/m"]);
    refused.as_mut().expect("a script").ready = Ready::Refused("/m is writable by others".into());
    let mut unknown = script(&["/b"]);
    unknown.as_mut().expect("a script").ready = Ready::Unknown;
    let cfg = notifying(v2(), Notify { master: refused, backup: unknown, any: script(&["/h"]), ..Notify::default() });
    let mut d = Desk::new(config(vec![cfg], GlobalMore::default()), |_| Some(ms(1)));
    assert_eq!(d.b.logged("notify_master `/m` is not run: /m is writable by others"), 1, "{:?}", d.b.log);
    d.run(secs(20));
    assert_eq!(d.begun.len(), 2);
    assert_eq!(d.told("VI_1"), ["BACKUP", "MASTER"]);
    let lines = d.b.logged("is not run");
    assert!((3..=4).contains(&lines), "{:?}", d.b.log);
}

#[test]
fn a_lower_advert_has_its_own_hook_and_no_other() {
    let lower = Notify { master_rx_lower_pri: script(&["/low"]), any: script(&["/h"]), ..Notify::default() };
    let cfg = notifying(v2(), lower);
    let mut d = Desk::new(config(vec![cfg.clone()], GlobalMore::default()), |_| Some(ms(100)));
    d.run(secs(10));
    d.begun.clear();
    for _ in 0..100 {
        d.b.rx(&cfg, PEER, 50, secs(1));
        d.run(ms(5));
    }
    d.run(secs(2));
    // Half a second of adverts, each answered; the program runs once.
    assert_eq!(d.begun.len(), 1);
    d.b.rx(&cfg, PEER, 50, secs(1));
    d.run(secs(2));
    assert_eq!(d.begun.len(), 2);
    assert_eq!(
        var(&d.begun[1], "KALIVED_CAUSE"),
        "198.18.0.30 has priority 50 < 100; 49 more such adverts since the last call"
    );
    // Three seconds of it, ten a second.
    for _ in 0..30 {
        d.b.rx(&cfg, PEER, 50, secs(1));
        d.run(ms(100));
    }
    d.run(secs(1));
    assert!((5..=6).contains(&d.begun.len()), "{}", d.begun.len());
    assert!(d.begun.iter().all(|s| s.argv == ["/low"] && var(s, "KALIVED_EVENT") == "MASTER_RX_LOWER_PRI"));
    assert_eq!(var(&d.begun[0], "KALIVED_STATE"), "MASTER");
}

// ---- the end ----

/// Trap 77.
#[test]
fn notify_stop_is_allowed_its_time_after_the_addresses_went() {
    let cfg = notifying(v2(), Notify { stop: script(&["/stop"]), ..Notify::default() });
    let mut d = Desk::new(config(vec![cfg], GlobalMore::default()), |_| Some(secs(5)));
    d.run(secs(10));
    d.b.answer = false;
    d.b.out.clear();
    d.b.term();
    d.run(ms(1));
    assert!(d.begun.is_empty(), "addresses go first");
    let req = d.b.unanswered.pop().expect("a request");
    d.b.event(Event::Net(NetEv::Reply { req, result: Ok(()) }));
    d.run(ms(4900));
    assert_eq!(d.begun.len(), 1);
    assert!(!d.exited());
    d.run(ms(100));
    assert!(d.exited() && d.kills.is_empty());
}

#[test]
fn a_stop_waits_for_nobody_longer_than_its_grace() {
    let cfg = notifying(v2(), Notify { stop: script(&["/deaf"]), ..Notify::default() });
    let mut d = Desk::new(config(vec![cfg], GlobalMore::default()), |_| None);
    d.run(secs(10));
    d.b.term();
    d.run(ms(9_999));
    assert!(!d.exited() && d.kills.is_empty());
    d.run(ms(1));
    assert_eq!(d.kills, [("/deaf".to_owned(), false)]);
    assert!(!d.exited());
    d.run(secs(2));
    assert!(d.exited());
    assert_eq!(d.kills[1..], [("/deaf".to_owned(), true)]);
}

#[test]
fn at_a_stop_only_the_stop_is_told_and_to_all_at_once() {
    let mut d = Desk::new(config(many(100, general), GlobalMore::default()), |_| Some(secs(3)));
    d.run(secs(1));
    assert_eq!(d.running.len(), 16);
    d.begun.clear();
    d.b.term();
    d.run(secs(6));
    assert!(d.exited());
    assert!(d.begun.iter().all(|s| s.argv[3] == "STOP"), "what waited is over");
    assert_eq!(d.begun.len(), 100);
}

#[test]
fn who_asks_twice_waits_for_nothing() {
    let cfg = notifying(v2(), Notify { stop: script(&["/stop"]), ..Notify::default() });
    let mut d = Desk::new(config(vec![cfg], GlobalMore::default()), |_| None);
    d.run(secs(10));
    d.b.term();
    d.run(ms(10));
    d.b.event(Event::Signal(Signal::Int));
    d.serve();
    assert!(d.exited());
    assert_eq!(d.kills, [("/stop".to_owned(), true)]);
}

/// With a virtual MAC the sysctls are put back through the helper. One that does not answer is waited for as long as the kernel is, and
/// no longer, because a script ran.
#[test]
fn a_helper_that_does_not_answer_does_not_hold_up_the_end() {
    for answers in [true, false] {
        let mut cfg = notifying(v3(), Notify { stop: script(&["/s"]), ..Notify::default() });
        let name = Some("vrrp.51".into());
        cfg.more.own_interface = Some(Box::new(OwnInterface { name, ..OwnInterface::default() }));
        let mut d = Desk::new(config(vec![cfg], GlobalMore::default()), |_| Some(ms(3_000)));
        d.run(secs(10));
        d.b.answer_knobs = answers;
        d.b.term();
        d.run(ms(if answers { 3_100 } else { 5_100 }));
        assert!(matches!(d.b.out.last(), Some(Out::Exit(_))), "{answers}: {:?}", d.b.log);
    }
}
