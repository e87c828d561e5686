//! AH and `auth_hmac` between two worlds on the bench: armed adverts are accepted in the order in which they leave, with other adverts
//! between them, after a step of a clock, and over a hand-over; a copy is refused.

use crate::bench::*;
use bytes::Bytes;
use kalived::config::model::setting::Secret;
use kalived::config::model::vrrp::{AntiReplay, Hmac, HmacKey, HmacMode};
use kalived::config::model::{Auth, Config, InstanceConfig, Version};
use kalived::effect::{Effect, GuardFx, Packets};
use kalived::event::{Event, GuardEv, RxMeta, SockEv};
use kalived::record::Base;
use kalived::time::{Duration, Instant, Now, Wall};
use kalived::vrrp::State;
use kalived::vrrp::advert::Reject;
use kalived::vrrp::seal::{Seal, Signing};
use kalived::world::World;
use std::collections::BTreeMap;

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn hmac(mode: HmacMode, anti_replay: AntiReplay) -> Hmac {
    let key = |id, secret: &str| HmacKey { id, secret: Secret(secret.into()) };
    let keys = vec![key(1, KEY), key(7, "hex:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")];
    Hmac { keys, active_key: Some(1), mode, anti_replay, ..Hmac::default() }
}

fn with_hmac(mut cfg: InstanceConfig, hmac: Hmac) -> InstanceConfig {
    cfg.more.hmac = Some(Box::new(hmac));
    if cfg.version == Version::V3 {
        cfg.advert_int = Duration::from_millis(200);
    }
    cfg
}

fn ah() -> InstanceConfig {
    InstanceConfig { auth: Auth::Ah(*b"kalived1"), ..v2() }
}

/// Every way to sign.
fn ways() -> Vec<InstanceConfig> {
    let hmac = |cfg, replay| with_hmac(cfg, hmac(HmacMode::Enforce, replay));
    vec![ah(), hmac(v3(), AntiReplay::Time), hmac(v3(), AntiReplay::Monotonic), hmac(v2(), AntiReplay::Time)]
}

/// A Master, the wire, and a Backup at its other end.
struct Pair {
    a: Bench,
    b: Bench,
    armed: BTreeMap<Instant, Bytes>,
    seen: usize,
    left: Vec<Bytes>,
}

fn lower(cfg: &InstanceConfig) -> InstanceConfig {
    InstanceConfig { priority: 50, ..cfg.clone() }
}

impl Pair {
    fn new(cfg: &InstanceConfig) -> Pair {
        let a = Bench::master(cfg.clone());
        let mut b = Bench::cold(vec![lower(cfg)]);
        b.kernel = vec![addr(ETH0, PEER, 16, 0)];
        b.now = a.now;
        b.start();
        let mut pair = Pair { a, b, armed: BTreeMap::new(), seen: 0, left: Vec::new() };
        pair.pass();
        pair
    }
    fn deliver(&mut self, bytes: &Bytes) {
        self.b.now = self.a.now;
        let sock = self.b.sock.expect("a socket");
        let meta = RxMeta { src: ip(OURS), dst: None, hop_limit: None };
        self.b.event(Event::Sock(SockEv::Datagram { sock, meta, age: Duration::ZERO, bytes }));
        self.left.push(bytes.clone());
    }
    // The Master's output since then is on the wire; due adverts leave.
    fn pass(&mut self) {
        let new: Vec<Out> = self.a.out[self.seen..].to_vec();
        self.seen = self.a.out.len();
        for out in new {
            match out {
                Out::Advert(bytes) => self.deliver(&bytes),
                Out::Armed(at, bytes) => drop(self.armed.insert(at, bytes)),
                Out::Stop(farewell) => {
                    self.armed.clear();
                    if let Some(bytes) = farewell {
                        self.deliver(&bytes);
                    }
                }
                _ => {}
            }
        }
        while let Some((_, bytes)) = self.armed.first_key_value().filter(|(at, _)| **at <= self.a.now.mono) {
            let bytes = bytes.clone();
            self.armed.pop_first();
            self.deliver(&bytes);
        }
    }
    fn run(&mut self, d: Duration) {
        let end = self.a.now.mono + d;
        while self.a.now.mono < end {
            self.a.run(Duration::from_millis(10));
            self.pass();
            self.b.run(self.a.now.mono.since(self.b.now.mono));
            self.b.now.wall = self.a.now.wall;
        }
    }
    fn accepted(&self) -> u64 {
        self.b.view().stats.advert_rcvd
    }
    fn rejected(&self, why: Reject) -> u64 {
        self.b.view().stats.rejected[why.index()]
    }
    fn refused(&self) -> u64 {
        self.b.view().stats.rejected.iter().sum()
    }
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[test]
fn what_leaves_in_order_is_taken_and_a_copy_is_not() {
    for cfg in ways() {
        let mut p = Pair::new(&cfg);
        p.run(Duration::from_secs(10));
        let n = p.accepted();
        assert!(n >= 9 && p.refused() == 0 && p.b.state() == State::Backup, "{n} {:?}", p.b.view().stats);
        let copies = p.left.clone();
        for copy in &copies {
            p.deliver(copy);
        }
        assert_eq!(p.accepted(), n);
        let replays = p.rejected(Reject::AuthReplay) + p.rejected(Reject::AuthStale);
        assert_eq!(replays, copies.len() as u64);
    }
}

/// Answers leave at once, between armed adverts; in the end a farewell.
#[test]
fn answers_and_farewells_are_taken_too() {
    for cfg in ways() {
        let mut p = Pair::new(&cfg);
        p.run(Duration::from_secs(3));
        for _ in 0..5 {
            let before = p.accepted();
            // A Master of lower priority sends a signed advert, with the same clock.
            let mut other = Bench::cold(vec![lower(&cfg)]);
            other.kernel = vec![addr(ETH0, PEER, 16, 0)];
            other.now = p.a.now;
            other.start();
            other.run(Duration::from_secs(5));
            assert_eq!(other.state(), State::Master);
            let said = other.out.iter().find_map(|o| if let Out::Advert(b) = o { Some(b.clone()) } else { None });
            p.run(Duration::from_secs(5));
            let sock = p.a.sock.expect("a socket");
            let meta = RxMeta { src: ip(PEER), dst: None, hop_limit: None };
            let bytes = said.expect("an advert");
            let answers = p.a.adverts();
            p.a.event(Event::Sock(SockEv::Datagram { sock, meta, age: Duration::ZERO, bytes: &bytes }));
            p.pass();
            assert_eq!(p.a.adverts(), answers + 1, "{:?}", p.a.view().stats);
            p.run(Duration::from_secs(2));
            assert!(p.accepted() > before + 2);
        }
        assert_eq!(p.refused(), 0, "{:?}", p.b.view().stats);
        p.a.term();
        p.pass();
        assert_eq!((p.refused(), p.b.view().stats.pri_zero_rcvd), (0, 1));
    }
}

/// Trap 27. A clock that is set on the sender, or on both, costs one or two adverts, never a takeover.
#[test]
fn a_wall_clock_that_is_set_locks_nobody_out() {
    for cfg in ways() {
        for step in [-3_600_i64, -2, 2, 3_600] {
            let mut p = Pair::new(&cfg);
            p.run(Duration::from_secs(3));
            let wall = p.a.now.wall.0.cast_signed() + step * 1_000_000_000;
            p.a.now.wall.0 = wall.cast_unsigned();
            p.b.now.wall = p.a.now.wall;
            p.run(Duration::from_secs(20));
            assert_eq!(p.b.state(), State::Backup, "{step} s: {:?}", p.b.view().stats);
            assert!(p.refused() <= 6, "{step} s: {:?}", p.b.view().stats);
            let (n, refused) = (p.accepted(), p.refused());
            p.run(Duration::from_secs(5));
            assert!(p.accepted() >= n + 4 && p.refused() == refused, "{step} s");
        }
    }
}

#[test]
fn modes_and_keys() {
    let of = |mode| with_hmac(v3(), hmac(mode, AntiReplay::Time));
    let play = |sender: InstanceConfig, receiver: InstanceConfig| {
        let mut p = Pair::new(&sender);
        let mut b = Bench::cold(vec![lower(&receiver)]);
        b.kernel = vec![addr(ETH0, PEER, 16, 0)];
        b.now = p.a.now;
        b.start();
        p.b = b;
        p.run(ms(1_500));
        (p.accepted() > 0, p.refused(), Reject::ALL.iter().copied().find(|r| p.rejected(*r) > 0))
    };
    let plain = || InstanceConfig { advert_int: ms(200), ..v3() };
    let taken = (true, 0, None);
    for (sender, receiver, verdict) in [
        (of(HmacMode::Permissive), of(HmacMode::Enforce), taken),
        (plain(), of(HmacMode::Permissive), taken),
        (plain(), of(HmacMode::ReceiveOnly), taken),
        (of(HmacMode::ReceiveOnly), plain(), taken),
        (of(HmacMode::Enforce), of(HmacMode::ReceiveOnly), taken),
    ] {
        assert_eq!(play(sender, receiver), verdict);
    }
    let why = |sender, receiver| play(sender, receiver).2;
    assert_eq!(why(plain(), of(HmacMode::Enforce)), Some(Reject::AuthMissing));
    assert_eq!(why(of(HmacMode::ReceiveOnly), of(HmacMode::Enforce)), Some(Reject::AuthMissing));
    let edit = |f: &dyn Fn(&mut Hmac)| {
        let mut hmac = hmac(HmacMode::Permissive, AntiReplay::Time);
        f(&mut hmac);
        with_hmac(v3(), hmac)
    };
    let (one, other) = (edit(&|h| h.keys.truncate(1)), edit(&|h| h.active_key = Some(7)));
    assert_eq!(why(other.clone(), one), Some(Reject::AuthKey));
    assert_eq!(why(other, edit(&|h| h.keys[1].secret = Secret(KEY.into()))), Some(Reject::AuthData));
    assert_eq!(why(of(HmacMode::Enforce), plain()), Some(Reject::Length), "who does not know it drops it");
    // AH beside a password or nothing.
    assert_eq!(why(v2(), ah()), Some(Reject::AuthType));
    assert_eq!(why(InstanceConfig { auth: Auth::Ah(*b"another1"), ..v2() }, ah()), Some(Reject::AuthData));
}

/// The key in use is changed: the armed adverts are signed with the new one at once.
#[test]
fn a_key_is_exchanged_without_a_gap() {
    let cfg = with_hmac(v3(), hmac(HmacMode::Enforce, AntiReplay::Time));
    let mut p = Pair::new(&cfg);
    p.run(Duration::from_secs(2));
    let mut next = cfg.clone();
    next.more.hmac.as_mut().expect("it is there").active_key = Some(7);
    let key_of = |bytes: &Bytes| bytes[bytes.len() - 27];
    let config = Box::new(Config { instances: vec![next], ..Config::default() });
    p.a.event(Event::Guard(GuardEv::Config(config)));
    p.a.run(ms(1));
    p.pass();
    let from = p.left.len();
    p.run(Duration::from_secs(2));
    assert!(p.left[..from].iter().all(|b| key_of(b) == 1) && p.left[from..].iter().skip(1).all(|b| key_of(b) == 7));
    assert!(p.a.armed.len() > 3 && p.refused() == 0 && p.left.len() > from + 8);
}

/// The armed adverts of the process before leave first; those of the next one are newer, and copies are still refused.
#[test]
fn sequences_and_marks_survive_a_hand_over() {
    for cfg in ways() {
        let mut p = Pair::new(&cfg);
        p.run(Duration::from_secs(3));
        p.a.event(Event::Guard(GuardEv::Freeze));
        p.pass();
        assert!(p.a.asked.iter().any(|e| matches!(e, Effect::Guard(GuardFx::Frozen))));
        let snapshot = p.a.world.last_snapshot(p.a.now);
        let mut next = Bench::of(World::standby(Config { instances: vec![cfg.clone()], ..Config::default() }));
        next.now = p.a.now;
        next.kernel.clone_from(&p.a.kernel);
        next.start();
        next.event(Event::Guard(GuardEv::Go { snapshot: Some(Box::new(snapshot)), dead_since: None }));
        assert_eq!(next.state(), State::Master);
        p.a = next;
        p.seen = 0;
        let n = p.accepted();
        p.run(Duration::from_secs(4));
        assert!(p.accepted() >= n + 3 && p.refused() == 0, "{:?}", p.b.view().stats);
        // The Backup's process is replaced: the new one knows which adverts were accepted.
        p.b.event(Event::Guard(GuardEv::Freeze));
        let snapshot = p.b.world.last_snapshot(p.b.now);
        let mut b = Bench::of(World::standby(Config { instances: vec![lower(&cfg)], ..Config::default() }));
        b.now = p.b.now;
        b.kernel = vec![addr(ETH0, PEER, 16, 0)];
        b.start();
        b.event(Event::Guard(GuardEv::Go { snapshot: Some(Box::new(snapshot)), dead_since: None }));
        p.b = b;
        let (last, n) = (p.left.last().expect("some left").clone(), p.accepted());
        p.deliver(&last);
        assert_eq!((p.accepted(), p.rejected(Reject::AuthReplay)), (n, 1));
    }
}

/// Two processes, one after the other, start anew from what the one before left, and the wall clock was set back: peers remember the
/// sequences that they have accepted.
#[test]
fn a_start_from_an_old_snapshot_is_no_replay() {
    for cfg in [ah(), with_hmac(v3(), hmac(HmacMode::Enforce, AntiReplay::Monotonic))] {
        let mut p = Pair::new(&cfg);
        p.run(Duration::from_secs(5));
        p.a.event(Event::Guard(GuardEv::Freeze));
        p.pass();
        // What is armed leaves, whatever becomes of the process.
        core::mem::take(&mut p.armed).values().for_each(|bytes| p.deliver(bytes));
        for starts in 1..=2 {
            let snapshot = crate::handover::written(&p.a.world.last_snapshot(p.a.now));
            let mut next = Bench::of(World::standby(Config { instances: vec![cfg.clone()], ..Config::default() }));
            let Now { mono, wall } = p.a.now;
            next.now = Now { mono: mono + Duration::from_secs(60), wall: Wall(wall.0 - 86_400_000_000_000) };
            next.kernel.clone_from(&p.a.kernel);
            next.start();
            let dead_since = (starts == 2).then_some(p.a.now.mono);
            next.event(Event::Guard(GuardEv::Go { snapshot: Some(snapshot), dead_since }));
            next.fire();
            assert_eq!(next.state(), State::Backup, "{:?}", next.log);
            p.a = next;
        }
        (p.seen, p.armed) = (0, BTreeMap::new());
        let (n, refused) = (p.accepted(), p.refused());
        p.run(Duration::from_secs(8));
        assert_eq!(p.a.state(), State::Master, "{:?}", p.a.log);
        assert!(p.accepted() >= n + 4, "{:?}", p.b.view().stats);
        assert_eq!(p.refused(), refused, "{:?}", p.b.view().stats);
    }
}

/// From one kind of signature to the other: the sequences of the one mean nothing for the other, in a running process and in the next.
#[test]
fn another_kind_of_signature_begins_anew() {
    let hmac = with_hmac(v2(), hmac(HmacMode::Enforce, AntiReplay::Time));
    for (first, then) in [(hmac.clone(), ah()), (ah(), hmac)] {
        for reload in [true, false] {
            let mut p = Pair::new(&first);
            p.run(Duration::from_secs(3));
            assert!(p.accepted() > 1);
            if reload {
                for (bench, cfg) in [(&mut p.b, lower(&then)), (&mut p.a, then.clone())] {
                    let config = Box::new(Config { instances: vec![cfg], ..Config::default() });
                    bench.event(Event::Guard(GuardEv::Config(config)));
                    bench.run(ms(1));
                }
            } else {
                let next = |old: &mut Bench, cfg: InstanceConfig| {
                    old.event(Event::Guard(GuardEv::Freeze));
                    let snapshot = old.world.last_snapshot(old.now);
                    let mut new = Bench::of(World::standby(Config { instances: vec![cfg], ..Config::default() }));
                    new.now = old.now;
                    new.kernel.clone_from(&old.kernel);
                    new.start();
                    new.event(Event::Guard(GuardEv::Go { snapshot: Some(Box::new(snapshot)), dead_since: None }));
                    new.fire();
                    new
                };
                p.b = next(&mut p.b, lower(&then));
                p.a = next(&mut p.a, then.clone());
                (p.seen, p.armed) = (0, BTreeMap::new());
            }
            assert_eq!((p.a.state(), p.b.state()), (State::Master, State::Backup), "{:?}", p.a.log);
            let (n, refused) = (p.accepted(), p.refused());
            p.run(Duration::from_secs(6));
            assert!(p.accepted() >= n + 4, "{:?}", p.b.view().stats);
            assert!(p.refused() <= refused + 1, "{:?}", p.b.view().stats);
            assert_eq!((p.a.state(), p.b.state()), (State::Master, State::Backup), "{:?}", p.b.log);
        }
    }
}

/// AH is received by another socket: a Master that gets one, or gives it up, stays Master.
#[test]
fn ah_comes_and_goes_with_a_reload() {
    for (first, then) in [(v2(), ah()), (ah(), v2())] {
        let mut b = Bench::master(first);
        let config = Box::new(Config { instances: vec![then], ..Config::default() });
        b.event(Event::Guard(GuardEv::Config(config)));
        b.run(ms(1));
        assert_eq!((b.state(), b.logged("FAULT"), b.specs.len()), (State::Master, 0, 2), "{:?}", b.log);
        assert!(!b.out.iter().any(|o| matches!(o, Out::Stop(Some(_)) | Out::Del(_))), "{:?}", b.out);
        assert_eq!(b.armed.len(), 1, "and is armed on it");
    }
}

/// No output has a secret.
#[test]
fn secrets_are_not_shown() {
    for cfg in ways() {
        let text = format!("{cfg:?}");
        assert!(!text.contains("kalived1") && !text.contains(KEY) && !text.contains("000102"), "{text}");
    }
}

/// A recording from a checkpoint on: with other keys in it, every decision is the same.
#[test]
fn a_recording_from_a_checkpoint_has_other_keys_and_the_same_decisions() {
    for cfg in ways() {
        let config = Config { instances: vec![cfg], ..Config::default() };
        let mut b = Bench::of(World::new(config.clone()));
        b.record(&config, 100);
        b.start();
        for _ in 0..20 {
            b.run(Duration::from_secs(1));
            b.world.checkpoint();
        }
        assert_eq!(b.state(), State::Master);
        let recording = b.replayed();
        assert!(recording.first > 0 && matches!(recording.base, Base::World(_)), "from its start");
    }
}

/// An advert has room for what signing adds, and no less: a virtual router that only accepts signatures adds none.
#[test]
fn the_room_for_a_signature_is_what_signing_takes() {
    let received = with_hmac(v3(), hmac(HmacMode::ReceiveOnly, AntiReplay::Time));
    let permissive = with_hmac(v3(), hmac(HmacMode::Permissive, AntiReplay::Time));
    for cfg in ways().into_iter().chain([v2(), v3(), received, permissive]) {
        let mut bytes = vec![0u8; 40];
        (bytes[0], bytes[3]) = (0x45, 40);
        let packets = Packets::one([224, 0, 0, 18].into(), Bytes::from(bytes));
        let now = Now { mono: Instant(1_000_000_000), wall: Wall(1_700_000_000_000_000_000) };
        let (signed, _) = Seal::default().send(&cfg, [192, 0, 2, 1].into(), &packets, now);
        let added: usize = signed.iter().map(|p| p.bytes.len() - 40).sum();
        assert_eq!(added as u32, Signing::overhead(&cfg), "{:?} {:?}", cfg.auth, cfg.more.hmac);
    }
}
