//! `track_bfd`: what a virtual router and a sync group make of a BFD session; sessions over a reload, an upgrade and to the end.
//! The sessions themselves: `tests/bfd`.

use crate::bench::*;
use crate::track::line;
use kalived::config::model::bfd::BfdInstance;
use kalived::config::model::setting::Weight;
use kalived::config::model::vrrp::{SyncGroup, Track};
use kalived::config::model::{Config, InstanceConfig};
use kalived::effect::{BfdFx, BfdPort, Effect};
use kalived::event::{BfdEv, Event, GuardEv};
use kalived::time::{Duration, Instant};
use kalived::vrrp::State;
use kalived::wire::bfd::{self, Packet, parse};
use kalived::world::World;

const PORT: BfdPort = BfdPort { v6: false, multihop: false };

fn session(name: &str) -> BfdInstance {
    BfdInstance { name: name.into(), neighbor_ip: Some(ip(PEER)), multiplier: 3, ..BfdInstance::default() }
}

fn tracking(track: Track) -> Config {
    let mut vi = v3();
    vi.more.tracks.bfds.push(track);
    Config { instances: vec![vi], bfd: vec![session("r2")], ..Config::default() }
}

/// The bench with a peer of the one session.
struct Net {
    b: Bench,
    discr: u32,
    sent: Vec<(Instant, Packet)>,
}

impl Net {
    fn new(config: Config) -> Net {
        let mut b = Bench::of(World::new(config));
        b.start();
        b.fire();
        let mut n = Net { b, discr: 0, sent: Vec::new() };
        n.answer();
        n
    }
    /// What the world asked of its BFD sockets.
    fn answer(&mut self) {
        loop {
            let (ours, rest): (Vec<_>, Vec<_>) =
                std::mem::take(&mut self.b.asked).into_iter().partition(|e| matches!(e, Effect::Bfd(_)));
            self.b.asked = rest;
            if ours.is_empty() {
                return;
            }
            for e in ours {
                let Effect::Bfd(fx) = e else { continue };
                match fx {
                    BfdFx::Listen(port) => {
                        self.b.event(Event::Bfd(BfdEv::Listening { port, result: Ok(()) }));
                    }
                    BfdFx::Open { session, .. } => {
                        self.b.event(Event::Bfd(BfdEv::Ready { session, result: Ok(()) }));
                        self.b.fire();
                    }
                    BfdFx::Send { bytes, .. } => {
                        let p = parse(&bytes).expect("a good packet");
                        self.discr = p.mine;
                        self.sent.push((self.b.now.mono, p));
                    }
                    BfdFx::Quit(_) | BfdFx::Close { .. } => {}
                }
            }
        }
    }
    fn packet(&mut self, state: bfd::State) {
        let min_tx = if state == bfd::State::Up { 10_000 } else { 1_000_000 };
        let yours = if state == bfd::State::Down { 0 } else { self.discr };
        let p = Packet { state, multiplier: 3, mine: 77, yours, min_tx, min_rx: 10_000, ..Packet::default() };
        let bytes = p.encode();
        let (port, src, dst, age) = (PORT, ip(PEER), None, Duration::ZERO);
        self.b.event(Event::Bfd(BfdEv::Datagram { port, src, dst, ttl: Some(255), age, bytes: &bytes }));
        self.answer();
    }
    fn up(&mut self) {
        self.packet(bfd::State::Down);
        self.packet(bfd::State::Init);
        self.packet(bfd::State::Up);
    }
    /// The peer keeps the session up meanwhile.
    fn keep(&mut self, d: Duration) {
        let end = self.b.now.mono + d;
        while self.b.now.mono < end {
            self.b.run(Duration::from_millis(10));
            self.answer();
            self.packet(bfd::State::Up);
        }
    }
    fn pass(&mut self, d: Duration) {
        self.b.run(d);
        self.answer();
    }
    fn state(&self) -> State {
        self.b.view().state
    }
}

#[test]
fn without_weight_the_session_decides_between_backup_and_fault() {
    let mut n = Net::new(tracking(line("r2")));
    assert_eq!(n.state(), State::Init, "neither before anything is known");
    n.up();
    assert_eq!(n.state(), State::Backup);
    assert!(n.b.log.iter().any(|l| l == "VRRP_Instance(VI_1) Tracked BFD instance r2 is UP"), "{:?}", n.b.log);
    n.keep(Duration::from_secs(4));
    assert_eq!(n.state(), State::Master);
    let last = n.b.now.mono;
    n.pass(Duration::from_nanos(29_999_999));
    assert_eq!(n.state(), State::Master);
    n.b.out.clear();
    // The farewell and the fault happen in the turn in which the session is lost.
    n.pass(Duration::from_nanos(1));
    assert_eq!((n.state(), n.b.now.mono), (State::Fault, last + Duration::from_millis(30)));
    assert!(matches!(n.b.out.first(), Some(Out::Stop(Some(_)))), "priority 0 first: {:?}", n.b.out);
    assert!(n.b.view().reasons.contains("due to BFD session r2"), "{}", n.b.view().reasons);
    n.up();
    assert_eq!(n.state(), State::Backup);
    // The peer reports Down: the fault happens in the turn of its packet.
    n.packet(bfd::State::Down);
    assert_eq!(n.state(), State::Fault);
}

#[test]
fn a_session_that_never_comes_up_is_a_fault_after_three_seconds() {
    let mut n = Net::new(tracking(line("r2")));
    n.pass(Duration::from_millis(2999));
    assert_eq!(n.state(), State::Init);
    n.pass(Duration::from_millis(1));
    assert_eq!(n.state(), State::Fault);
}

#[test]
fn weight_and_reverse_are_as_for_every_tracker() {
    // Of the line, and of the block where the line has none; up, down.
    let of_line = |weight, reverse| {
        let track = Track { name: "r2".into(), weight: Some(weight), reverse: Some(reverse) };
        tracking(track)
    };
    let mut of_block = tracking(line("r2"));
    of_block.bfd[0].weight = Weight { weight: -20, reverse: false };
    let cases = [
        (of_line(30, false), 130, 100),
        (of_line(-30, false), 100, 70),
        (of_line(30, true), 70, 100),
        (of_line(-30, true), 100, 130),
        (of_block, 100, 80),
    ];
    for (config, up, down) in cases {
        let mut n = Net::new(config);
        assert_eq!(
            (n.state(), n.b.view().effective_priority),
            (State::Backup, 100),
            "nothing is added before it is known"
        );
        n.up();
        assert_eq!(n.b.view().effective_priority, up);
        n.packet(bfd::State::Down);
        assert_eq!(n.b.view().effective_priority, down);
        assert_eq!(n.state(), State::Backup);
    }
    let mut n = Net::new(tracking(Track { name: "r2".into(), weight: None, reverse: Some(true) }));
    n.up();
    assert_eq!(n.state(), State::Fault, "reversed");
    n.packet(bfd::State::Down);
    assert_eq!(n.state(), State::Backup);
}

#[test]
fn a_sync_group_follows_a_session() {
    let other = InstanceConfig { name: "VI_2".into(), vrid: 52, vips: vec![vip("198.18.0.101")], ..v3() };
    let mut group = SyncGroup { name: "G".into(), members: vec!["VI_1".into(), "VI_2".into()], ..SyncGroup::default() };
    group.tracks.bfds.push(line("r2"));
    let config = Config {
        instances: vec![v3(), other],
        bfd: vec![session("r2")],
        sync_groups: vec![group],
        ..Config::default()
    };
    let mut n = Net::new(config);
    n.up();
    n.keep(Duration::from_secs(5));
    let states = |n: &Net| n.b.world.views().iter().map(|v| v.state).collect::<Vec<_>>();
    assert_eq!(states(&n), [State::Master; 2]);
    n.packet(bfd::State::Down);
    assert_eq!(states(&n), [State::Fault; 2]);
    n.up();
    n.keep(Duration::from_secs(5));
    assert_eq!(states(&n), [State::Master; 2]);
}

#[test]
fn a_reload_keeps_the_session_and_gives_its_verdict_to_new_trackers() {
    let mut config = tracking(line("r2"));
    config.instances[0].more.tracks.bfds.clear();
    let mut n = Net::new(config.clone());
    n.up();
    let (discr, sent) = (n.discr, n.sent.len());
    config.instances[0].more.tracks.bfds.push(line("r2"));
    n.b.event(Event::Guard(GuardEv::Config(Box::new(config.clone()))));
    n.b.fire();
    n.answer();
    assert_eq!((n.state(), n.b.world.tracks()[0].verdict), (State::Backup, kalived::track::Verdict::Up(true)));
    assert_eq!(n.sent.len(), sent, "the peer notices nothing");
    n.keep(Duration::from_secs(1));
    assert_eq!(n.discr, discr);
    // Its intervals: the same session, with a Poll Sequence.
    config.bfd[0].min_tx = Duration::from_millis(20);
    n.b.event(Event::Guard(GuardEv::Config(Box::new(config.clone()))));
    n.keep(Duration::from_millis(20));
    assert!(n.sent.last().is_some_and(|(_, p)| p.poll && p.mine == discr && p.min_tx == 20_000), "{:?}", n.sent.last());
    // It goes, and the peer is told.
    config.bfd.clear();
    config.instances[0].more.tracks.bfds.clear();
    n.b.event(Event::Guard(GuardEv::Config(Box::new(config))));
    n.b.fire();
    n.answer();
    assert_eq!(n.sent.last().map(|(_, p)| p.state), Some(bfd::State::AdminDown));
    assert_eq!(n.state(), State::Backup);
}

#[test]
fn the_next_process_goes_on_with_the_session_and_as_master() {
    let config = tracking(line("r2"));
    let mut old = Net::new(config.clone());
    old.up();
    old.keep(Duration::from_secs(4));
    assert_eq!(old.state(), State::Master);
    old.b.event(Event::Guard(GuardEv::Freeze));
    old.answer();
    let snapshot = old.b.world.last_snapshot(old.b.now);
    let sent = old.sent.len();
    old.pass(Duration::from_millis(50));
    assert!(old.sent.len() > sent + 3, "a frozen process sends on");
    assert!(old.sent[sent..].iter().all(|(_, p)| p.state == bfd::State::Up));

    let mut b = Bench::of(World::standby(config));
    b.now = old.b.now;
    b.kernel = old.b.kernel.clone();
    b.start();
    b.event(Event::Guard(GuardEv::Go { snapshot: Some(crate::handover::written(&snapshot)), dead_since: None }));
    b.fire();
    let mut new = Net { b, discr: 0, sent: Vec::new() };
    new.answer();
    assert_eq!(new.state(), State::Master);
    let first = new.sent.first().expect("it sends at once").1;
    assert_eq!((first.state, first.mine, first.yours), (bfd::State::Up, old.discr, 77));
    new.keep(Duration::from_secs(1));
    assert_eq!(new.state(), State::Master);
    new.pass(Duration::from_millis(30));
    assert_eq!(new.state(), State::Fault);
}

// An image of a release without BFD has no sessions: they begin.
#[test]
fn an_older_snapshot_is_continued_without_sessions() {
    let config = tracking(line("r2"));
    let mut old = Net::new(config.clone());
    old.up();
    old.b.event(Event::Guard(GuardEv::Freeze));
    let mut snapshot = old.b.world.last_snapshot(old.b.now);
    snapshot.bfd.clear();
    snapshot.tracks.clear();
    let mut b = Bench::of(World::standby(config));
    b.now = old.b.now;
    b.start();
    b.event(Event::Guard(GuardEv::Go { snapshot: Some(crate::handover::written(&snapshot)), dead_since: None }));
    b.fire();
    let mut new = Net { b, discr: 0, sent: Vec::new() };
    new.answer();
    assert_eq!(new.sent.first().map(|(_, p)| p.state), Some(bfd::State::Down));
    new.up();
    assert_eq!(new.state(), State::Backup);
}

#[test]
fn at_the_end_the_peer_is_told() {
    let mut n = Net::new(tracking(line("r2")));
    n.up();
    n.keep(Duration::from_secs(4));
    n.b.event(Event::Signal(kalived::event::Signal::Term));
    n.pass(Duration::from_secs(3));
    let last: Vec<bfd::State> = n.sent.iter().rev().take(2).map(|(_, p)| p.state).collect();
    assert_eq!(last, [bfd::State::AdminDown; 2], "when it is asked, and again when it ends");
    assert!(n.b.out.iter().any(|o| matches!(o, Out::Exit(_))));
}
