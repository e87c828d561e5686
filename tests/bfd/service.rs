//! The sessions of a configuration: whose packet is whose, what is discarded, sockets, a reload, the next process.

use crate::{START, ms, peer};
use bytes::Bytes;
use kalived::bfd::{Bfd, Cx, Told};
use kalived::config::model::bfd::BfdInstance;
use kalived::effect::{BfdFx, BfdPort, BfdSpec, Effect, Effects};
use kalived::event::{BfdEv, Errno};
use kalived::id::BfdKey;
use kalived::time::{Duration, Instant, Now, Wall};
use kalived::timers::{Due, Timers};
use kalived::wire::bfd::{Packet, State, parse};
use std::net::IpAddr;

const SINGLE: BfdPort = BfdPort { v6: false, multihop: false };
const PEER: &str = "198.18.0.30";

fn ip(s: &str) -> IpAddr {
    s.parse().expect("an address")
}

fn block(name: &str, peer: &str) -> BfdInstance {
    BfdInstance { name: name.into(), neighbor_ip: Some(ip(peer)), multiplier: 3, ..BfdInstance::default() }
}

/// What a session sent.
type Sent = (BfdKey, Packet);

struct Bench {
    bfd: Bfd,
    timers: Timers,
    now: Now,
    log: Vec<String>,
    sent: Vec<Sent>,
    opened: Vec<(BfdKey, BfdSpec)>,
    closed: Vec<BfdKey>,
    listens: Vec<BfdPort>,
    quit: Vec<BfdPort>,
    told: Vec<(String, bool)>,
    /// Answer to every opened socket.
    answer: Result<(), Errno>,
}

impl Bench {
    fn new(config: &[BfdInstance]) -> Bench {
        let mut b = Bench::standby(Bfd::default());
        b.start(config);
        b
    }
    fn standby(bfd: Bfd) -> Bench {
        Bench {
            bfd,
            timers: Timers::default(),
            now: Now { mono: START, wall: Wall(1_700_000_000_000_000_000) },
            log: Vec::new(),
            sent: Vec::new(),
            opened: Vec::new(),
            closed: Vec::new(),
            listens: Vec::new(),
            quit: Vec::new(),
            told: Vec::new(),
            answer: Ok(()),
        }
    }
    fn start(&mut self, config: &[BfdInstance]) {
        self.act(|bfd, cx| bfd.start(config, cx));
    }
    fn act<T: IntoIterator<Item = Told>>(&mut self, f: impl FnOnce(&mut Bfd, &mut Cx<'_>) -> T) {
        let mut fx = Effects::default();
        let told = f(&mut self.bfd, &mut Cx { now: self.now, timers: &mut self.timers, fx: &mut fx });
        self.told.extend(told.into_iter().map(|t| (t.name.to_string(), t.up)));
        let all: Vec<Effect> = fx.drain().collect();
        for e in all {
            match e {
                Effect::Bfd(BfdFx::Listen(port)) => {
                    self.listens.push(port);
                    self.event(BfdEv::Listening { port, result: self.answer });
                }
                Effect::Bfd(BfdFx::Quit(port)) => self.quit.push(port),
                Effect::Bfd(BfdFx::Open { session, spec }) => {
                    self.opened.push((session, spec));
                    self.event(BfdEv::Ready { session, result: self.answer });
                }
                Effect::Bfd(BfdFx::Send { session, bytes }) => {
                    self.sent.push((session, parse(&bytes).expect("a good packet")));
                }
                Effect::Bfd(BfdFx::Close { session }) => self.closed.push(session),
                Effect::Note(n) => self.log.push(n.text),
                other => panic!("{other:?}"),
            }
        }
        self.bfd.check_invariants(&self.timers);
    }
    fn event(&mut self, e: BfdEv<'_>) {
        self.act(|bfd, cx| bfd.on_event(&e, cx));
    }
    fn packet(&mut self, port: BfdPort, src: &str, ttl: u8, p: &Packet) {
        let bytes = Bytes::copy_from_slice(&p.encode());
        let (src, age) = (ip(src), Duration::ZERO);
        self.event(BfdEv::Datagram { port, src, dst: None, ttl: Some(ttl), age, bytes: &bytes });
    }
    fn run(&mut self, until: Instant) {
        while let Some((at, due)) = self.timers.next().filter(|(at, _)| *at <= until) {
            self.now.mono = self.now.mono.max(at);
            assert_eq!(due, Due::Bfd);
            self.timers.pop(self.now.mono);
            self.act(|bfd, cx| bfd.on_due(cx));
        }
        self.now.mono = until;
    }
    /// The discriminator that a session used last.
    fn discr(&self, n: usize) -> u32 {
        let key = self.opened[n].0;
        self.sent.iter().rev().find(|(k, _)| *k == key).expect("it sent").1.mine
    }
    /// Session `n` comes up with `src`.
    fn up(&mut self, n: usize, src: &str) -> u32 {
        self.run(self.now.mono + ms(1));
        let discr = self.discr(n);
        let port = BfdPort { v6: ip(src).is_ipv6(), multihop: self.opened[n].1.multihop };
        self.packet(port, src, 255, &peer(State::Down, 0));
        self.packet(port, src, 255, &peer(State::Init, discr));
        discr
    }
    fn discarded(&self, reason: &str) -> u64 {
        self.bfd.discards()[reason]
    }
    fn state(&self, name: &str) -> String {
        let all: Vec<_> = self.bfd.report_from(0, self.now).collect();
        all.iter().find(|s| s.name == name).expect("it is there").state.clone()
    }
}

#[test]
fn a_session_comes_up_and_is_lost() {
    let mut b = Bench::new(&[block("r2", PEER)]);
    assert_eq!(b.listens, [SINGLE]);
    let spec = b.opened[0].1;
    assert_eq!((spec.to, spec.source, spec.multihop, spec.ttl), (ip(PEER), None, false, 255));
    assert!(spec.port >= 49152);
    let discr = b.up(0, PEER);
    assert_eq!(b.told, [("r2".to_owned(), true)]);
    assert!(b.log.iter().any(|l| l == "(r2) Entering Up state"), "{:?}", b.log);
    assert_eq!(b.sent.iter().map(|(_, p)| p.state).collect::<Vec<_>>(), [State::Down, State::Init, State::Up]);
    // Kept up by its packets.
    for _ in 0..20 {
        b.run(b.now.mono + ms(10));
        b.packet(SINGLE, PEER, 255, &peer(State::Up, discr));
    }
    assert_eq!(b.told.len(), 1);
    b.run(b.now.mono + ms(29));
    assert_eq!(b.told.len(), 1, "not before the detection time");
    b.run(b.now.mono + ms(1));
    assert_eq!(b.told[1..], [("r2".to_owned(), false)]);
    let line = "(r2) Entering Down state (Local diagnostic - Control Detection Time Expired, Remote diagnostic - No Diagnostic)";
    assert_eq!(b.log.last().map(String::as_str), Some(line));
}

#[test]
fn a_session_that_never_comes_up_counts_as_down_after_a_while() {
    let mut b = Bench::new(&[block("r2", PEER)]);
    b.run(START + ms(2999));
    assert_eq!((b.told.len(), b.bfd.verdict("r2")), (0, None));
    b.run(START + ms(3000));
    assert_eq!((&b.told[..], b.bfd.verdict("r2")), (&[("r2".to_owned(), false)][..], Some(false)));
    // Down, Init, Down: nothing new.
    b.packet(SINGLE, PEER, 255, &peer(State::Down, 0));
    b.run(b.now.mono + ms(5000));
    assert_eq!(b.told.len(), 1);
    b.up(0, PEER);
    assert_eq!(b.told.last(), Some(&("r2".to_owned(), true)));
}

// RFC 5881 §5: before anything else is done with it.
#[test]
fn a_packet_that_came_too_far_is_discarded() {
    let ttl = |cfg: BfdInstance, least: u8| {
        let mut b = Bench::new(std::slice::from_ref(&cfg));
        b.run(START + ms(1));
        let port = BfdPort { v6: cfg.neighbor_ip.unwrap().is_ipv6(), multihop: cfg.multihop };
        let src = cfg.neighbor_ip.unwrap().to_string();
        if least > 0 {
            b.packet(port, &src, least - 1, &peer(State::Down, 0));
            assert_eq!((b.state(&cfg.name), b.discarded("ttl")), ("Down".to_owned(), 1));
            assert!(
                b.log.iter().any(|l| l.contains(&format!("its TTL is {}, at least {least}", least - 1))),
                "{:?}",
                b.log
            );
        }
        b.packet(port, &src, least, &peer(State::Down, 0));
        assert_eq!(b.state(&cfg.name), "Init");
    };
    ttl(block("a", PEER), 255);
    ttl(block("a", "2001:db8::2"), 255);
    ttl(BfdInstance { max_hops: 2, ..block("a", PEER) }, 253);
    ttl(BfdInstance { max_hops: -1, ..block("a", PEER) }, 0);
    ttl(BfdInstance { ttl: Some(64), ..block("a", "2001:db8::2") }, 64);
    ttl(BfdInstance { multihop: true, ..block("a", PEER) }, 0);
    ttl(BfdInstance { multihop: true, max_hops: 5, ..block("a", PEER) }, 250);
    // A TTL that the kernel did not report is no TTL.
    let mut b = Bench::new(&[block("a", PEER)]);
    let bytes = peer(State::Down, 0).encode();
    let (port, src, dst, age) = (SINGLE, ip(PEER), None, Duration::ZERO);
    b.event(BfdEv::Datagram { port, src, dst, ttl: None, age, bytes: &bytes });
    assert_eq!(b.discarded("ttl"), 1);
}

#[test]
fn every_reason_to_discard_is_counted_and_changes_nothing() {
    let mut b = Bench::new(&[block("r2", PEER)]);
    let discr = b.up(0, PEER);
    let sent = b.sent.len();
    let good = peer(State::Down, discr).encode();
    let with = |at: usize, byte: u8| {
        let mut bytes = good.to_vec();
        bytes[at] = byte;
        bytes
    };
    let mut authenticated = with(3, 26);
    authenticated[1] |= 4;
    authenticated.extend([0, 0]);
    let mut nobody = good.to_vec();
    nobody[4..8].fill(0);
    let mut up_to_nobody = peer(State::Up, 1).encode().to_vec();
    up_to_nobody[8..12].fill(0);
    let other = peer(State::Down, discr ^ 1).encode().to_vec();
    let all = [
        ("version", with(0, 0x40)),
        ("length", good[..20].to_vec()),
        ("length", Vec::new()),
        ("detect_mult", with(2, 0)),
        ("multipoint", with(1, 0x41)),
        ("my_discriminator", nobody),
        ("your_discriminator", up_to_nobody),
        ("authentication", authenticated),
        ("no_session", other),
    ];
    for (reason, bytes) in all {
        let before = b.discarded(reason);
        let (port, src, dst, age) = (SINGLE, ip(PEER), None, Duration::ZERO);
        b.event(BfdEv::Datagram { port, src, dst, ttl: Some(255), age, bytes: &bytes });
        assert_eq!(b.discarded(reason), before + 1, "{reason}");
    }
    // Of a stranger, and of the peer on another port.
    b.packet(SINGLE, "198.18.0.31", 255, &peer(State::Down, 0));
    b.packet(BfdPort { multihop: true, ..SINGLE }, PEER, 255, &peer(State::Down, 0));
    b.packet(BfdPort { multihop: true, ..SINGLE }, PEER, 255, &peer(State::Down, discr));
    assert_eq!(b.discarded("no_session"), 4);
    assert_eq!((b.state("r2"), b.sent.len()), ("Up".to_owned(), sent));
    // A flood is some lines and a number.
    let lines = b.log.len();
    for _ in 0..10_000 {
        b.packet(SINGLE, "198.18.0.31", 255, &peer(State::Down, 0));
    }
    assert!(b.log.len() <= lines + 5, "{:?}", &b.log[lines..]);
    assert_eq!(b.discarded("no_session"), 10_004);
}

// Two sessions with one peer: a first packet belongs to the one whose source address it was sent to.
#[test]
fn sessions_with_one_peer_are_told_apart() {
    let from = |name: &str, source: &str| BfdInstance { source_ip: Some(ip(source)), ..block(name, PEER) };
    let mut b = Bench::new(&[from("a", "198.18.0.20"), from("b", "198.18.0.21")]);
    b.run(START + ms(1));
    let bytes = peer(State::Down, 0).encode();
    let (port, src, age) = (SINGLE, ip(PEER), Duration::ZERO);
    b.event(BfdEv::Datagram { port, src, dst: Some(ip("198.18.0.21")), ttl: Some(255), age, bytes: &bytes });
    assert_eq!((b.state("a"), b.state("b")), ("Down".to_owned(), "Init".to_owned()));
    b.event(BfdEv::Datagram { port, src, dst: Some(ip("198.18.0.22")), ttl: Some(255), age, bytes: &bytes });
    assert_eq!(b.discarded("no_session"), 1);
}

#[test]
fn discriminators_and_source_ports_are_all_different() {
    let many: Vec<BfdInstance> = (0..200).map(|n| block(&format!("s{n}"), &format!("198.18.1.{n}"))).collect();
    let mut b = Bench::new(&many);
    b.run(START + ms(1));
    let mut ports: Vec<u16> = b.opened.iter().map(|(_, s)| s.port).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!((ports.len(), b.bfd.sizes()[..2].to_vec()), (200, vec![200, 200]));
    assert!(ports.iter().all(|p| *p >= 49152));
    assert_eq!(b.sent.len(), 200);
}

#[test]
fn a_socket_that_cannot_be_opened_is_tried_again() {
    let mut b = Bench::standby(Bfd::default());
    b.answer = Err(Errno::EADDRNOTAVAIL);
    b.start(&[block("r2", PEER)]);
    assert_eq!((b.sent.len(), b.listens.len(), b.opened.len()), (0, 1, 1));
    assert!(b.bfd.report_from(0, b.now).next().unwrap().error.is_some());
    b.answer = Ok(());
    b.run(START + ms(1100));
    assert_eq!((b.listens.len(), b.opened.len()), (2, 2));
    assert!(!b.sent.is_empty(), "at once when it can");
    // It is closed by the kernel, and opened again.
    b.event(BfdEv::Lost { port: SINGLE, errno: Errno::ENOBUFS });
    b.run(b.now.mono + ms(1100));
    assert_eq!(b.listens.len(), 3);
}

/// Trap 15: the session stays Up over a reload.
#[test]
fn a_reload_leaves_alone_what_did_not_change() {
    let (a, c) = (block("a", PEER), block("c", "198.18.0.32"));
    let mut b = Bench::new(&[a.clone(), c]);
    let discr = b.up(0, PEER);
    let (opened, sent) = (b.opened.len(), b.sent.len());
    let key = b.opened[0].0;
    let alter = |b: &mut Bench, config: &[BfdInstance]| {
        b.act(|bfd, cx| {
            bfd.alter(config, cx);
            []
        });
    };
    alter(&mut b, &[a.clone(), block("n", "198.18.0.33")]);
    assert_eq!((b.state("a"), b.opened.len()), ("Up".to_owned(), opened + 1));
    assert_eq!(b.closed, [b.opened[1].0]);
    let farewell = b.sent[sent..].iter().find(|(k, _)| *k == b.opened[1].0).expect("the peer is told").1;
    assert_eq!(farewell.state, State::AdminDown);
    assert!(b.sent[sent..].iter().all(|(k, _)| *k != key), "nothing was sent for the session that stays");
    // Other intervals: the same session, a Poll Sequence.
    let slower = BfdInstance { min_tx: ms(50), ..a.clone() };
    alter(&mut b, std::slice::from_ref(&slower));
    b.run(b.now.mono + ms(10));
    let p = b.sent.last().expect("it sends").1;
    assert_eq!((p.mine, p.state, p.poll, p.min_tx), (discr, State::Up, true, 50_000));
    assert_eq!(b.told, [("a".to_owned(), true)]);
    // Another peer is another session.
    alter(&mut b, &[block("a", "198.18.0.40")]);
    assert_eq!(b.state("a"), "Down");
    assert_eq!(b.bfd.sizes()[..3], [1, 1, 1]);
    alter(&mut b, &[]);
    assert_eq!((b.bfd.sizes(), b.timers.len()), ([0; 5], 0), "nothing is left");
    assert_eq!(b.quit, [SINGLE]);
}

#[test]
fn the_next_process_goes_on_and_the_frozen_one_sends_until_then() {
    let cfg = [block("r2", PEER)];
    let mut old = Bench::new(&cfg);
    let discr = old.up(0, PEER);
    old.bfd.take_dirty();
    let shots = old.bfd.shots();
    old.act(|bfd, cx| {
        bfd.freeze(cx);
        []
    });
    let sent = old.sent.len();
    old.run(old.now.mono + ms(200));
    assert!(old.sent.len() >= sent + 20, "it sends on");
    assert!(old.sent[sent..].iter().all(|(_, p)| p.state == State::Up));
    assert_eq!((old.told.len(), &old.quit[..]), (1, &[SINGLE][..]), "and loses nobody");
    old.packet(SINGLE, PEER, 255, &peer(State::Down, discr));
    assert_eq!(old.state("r2"), "Up");

    let mut new = Bench::standby(Bfd::default());
    new.bfd.resume(&shots);
    new.start(&cfg);
    assert_eq!(new.told, [("r2".to_owned(), true)]);
    new.run(START + ms(1));
    let p = new.sent[0].1;
    assert_eq!((p.state, p.mine, p.yours), (State::Up, discr, 77));
    assert_eq!(new.opened[0].1.port, old.opened[0].1.port, "RFC 5881 §4: the same source port");
    new.packet(SINGLE, PEER, 255, &peer(State::Up, discr));
    new.run(new.now.mono + ms(30));
    assert_eq!(new.told.last(), Some(&("r2".to_owned(), false)), "and can be lost");
    // Another session of that name begins anew.
    let mut other = Bench::standby(Bfd::default());
    other.bfd.resume(&shots);
    other.start(&[block("r2", "198.18.0.31")]);
    assert_eq!((other.state("r2"), other.told.len()), ("Down".to_owned(), 0));
}

// A snapshot is a file: whatever is in it, no rule is broken.
#[test]
fn a_snapshot_that_makes_no_sense_is_not_continued() {
    let cfg = [block("r2", PEER)];
    let mut old = Bench::new(&cfg);
    old.up(0, PEER);
    let good = old.bfd.shots().remove(0);
    let mut bad = Vec::new();
    for n in 0..=255 {
        bad.push(kalived::snapshot::BfdShot { state: n, ..good.clone() });
        bad.push(kalived::snapshot::BfdShot { remote_state: n, ..good.clone() });
    }
    for up in [None, Some(false), Some(true)] {
        for state in 0..4 {
            bad.push(kalived::snapshot::BfdShot { up, state, ..good.clone() });
        }
    }
    bad.push(kalived::snapshot::BfdShot { discr: 0, ..good.clone() });
    bad.push(kalived::snapshot::BfdShot { remote_multiplier: 0, ..good.clone() });
    bad.push(kalived::snapshot::BfdShot { remote_discr: 0, ..good.clone() });
    for shot in bad {
        let mut new = Bench::standby(Bfd::default());
        new.bfd.resume(&[shot.clone(), shot]);
        new.start(&cfg);
        new.run(START + ms(5000));
        assert_eq!(new.bfd.verdict("r2"), Some(false));
    }
}

#[test]
fn a_stop_says_admin_down_twice_and_nothing_more() {
    let mut b = Bench::new(&[block("r2", PEER), block("r3", "198.18.0.31")]);
    b.up(0, PEER);
    let sent = b.sent.len();
    b.act(|bfd, cx| {
        bfd.stop(cx);
        []
    });
    let said: Vec<State> = b.sent[sent..].iter().map(|(_, p)| p.state).collect();
    assert_eq!(said, [State::AdminDown; 2]);
    b.run(b.now.mono + ms(1000));
    b.act(|bfd, cx| {
        bfd.farewell(cx);
        []
    });
    assert_eq!(b.sent.len(), sent + 4);
    assert_eq!((b.timers.len(), b.told.len()), (0, 1));
}
