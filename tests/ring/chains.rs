//! Chains of adverts, on socket pairs: what leaves, in which order, and what is reported.

use crate::{PATIENCE, ring, wait};
use bytes::Bytes;
use kalived::daemon::adverts::{Adverts, CHAIN};
use kalived::daemon::sends::{To, Way};
use kalived::daemon::token::{AdvertToken, Token};
use kalived::effect::{Packet, Packets};
use kalived::event::{AdvertEv, Errno, Event};
use kalived::id::{Arena, SockKey, SockMark, VrKey, VrMark};
use kalived::sys::clock;
use kalived::sys::op::Done;
use kalived::sys::ring::Ring;
use kalived::time::{Duration, Instant};
use std::os::unix::net::UnixDatagram;
use std::rc::Rc;

const MS: Duration = Duration::from_millis(1);
/// Far enough that no timer set there fires during a test.
const FAR: Duration = Duration::from_secs(3600);

struct Bench {
    ring: Ring<Token>,
    adverts: Adverts,
    out: UnixDatagram,
    way: Way,
    vrs: Vec<VrKey>,
    sock: SockKey,
    /// Router, epoch, due, result.
    told: Vec<(usize, u32, Instant, Result<(), Errno>)>,
    left: usize,
    /// Of adverts.
    completions: usize,
    /// Destinations that adverts did not leave to although they did to others.
    missed: usize,
    farewells_failed: usize,
}

/// One packet for each text, each to another address.
fn packets(texts: &[&'static str]) -> Packets {
    let one = |(i, text): (usize, &&'static str)| Packet {
        to: [192, 0, 2, i as u8].into(),
        bytes: Bytes::from_static(text.as_bytes()),
        from: None,
    };
    Packets::of(texts.iter().enumerate().map(one).collect()).unwrap()
}

impl Bench {
    fn new(routers: usize) -> Option<Bench> {
        let ring = ring()?;
        let (tx, out) = UnixDatagram::pair().unwrap();
        out.set_nonblocking(true).unwrap();
        let mut vrs: Arena<VrMark, ()> = Arena::default();
        let mut socks: Arena<SockMark, ()> = Arena::default();
        Some(Bench {
            ring,
            adverts: Adverts::default(),
            out,
            way: Way { fd: Rc::new(tx.into()), to: To::Connected, frames: None },
            vrs: (0..routers).map(|_| vrs.insert(())).collect(),
            sock: socks.insert(()),
            told: Vec::new(),
            left: 0,
            completions: 0,
            missed: 0,
            farewells_failed: 0,
        })
    }

    fn add(&mut self, vr: usize, epoch: u32, at: Instant, text: &'static str) {
        self.adverts.add(self.vrs[vr], self.sock, self.way.clone(), epoch, at, packets(&[text]));
    }

    /// An advert for several destinations.
    fn add_all(&mut self, vr: usize, epoch: u32, at: Instant, texts: &[&'static str]) {
        self.adverts.add(self.vrs[vr], self.sock, self.way.clone(), epoch, at, packets(texts));
    }

    /// The end of a turn, and its submission.
    fn arm(&mut self) {
        self.adverts.arm(&mut self.ring);
        self.ring.submit().unwrap();
    }

    fn stop(&mut self, vr: usize, farewell: Option<&'static str>) {
        let farewell = farewell.map(|f| (packets(&[f]), self.way.clone()));
        self.adverts.stop(&mut self.ring, self.vrs[vr], farewell);
    }

    fn feed(&mut self, done: Done<Token>) {
        let (vrs, told, all_missed) = (&self.vrs, &mut self.told, &mut self.missed);
        let farewells_failed = &mut self.farewells_failed;
        let mut tell = |event: Event<'_>| match event {
            Event::Advert(AdvertEv::Sent { vr, epoch, due, result, missed }) => {
                *all_missed += missed.len();
                told.push((vrs.iter().position(|v| *v == vr).unwrap(), epoch, due, result));
            }
            Event::Advert(AdvertEv::FarewellFailed { .. }) => *farewells_failed += 1,
            _ => {}
        };
        if let Token::Advert(token) = done.tag {
            self.completions += usize::from(matches!(token, AdvertToken::Send(..)));
            self.left += usize::from(matches!(token, AdvertToken::Now(_)));
            self.adverts.on_done(&mut self.ring, token, done.result, &mut tell);
        }
    }

    /// Turns until nothing is in flight.
    fn settle(&mut self) {
        let deadline = clock::mono() + PATIENCE;
        while self.ring.in_flight() > 0 {
            wait(&mut self.ring, deadline);
            while let Some(done) = self.ring.pop() {
                self.feed(done);
            }
            self.arm();
        }
    }

    /// What left so far. Plain receives: they never enter the ring.
    fn wire(&self) -> Vec<String> {
        let mut all = Vec::new();
        let mut buf = [0; 64];
        while let Ok(n) = self.out.recv(&mut buf) {
            all.push(String::from_utf8(buf[..n].to_vec()).unwrap());
        }
        all
    }
}

#[test]
fn a_busy_loop_delays_no_chain() {
    let Some(mut b) = Bench::new(3) else { return };
    let now = clock::mono();
    // Taken in another order than due.
    for (at, texts) in [(15, ["7", "8", "9"]), (5, ["1", "2", "3"]), (10, ["4", "5", "6"])] {
        for (vr, text) in texts.into_iter().enumerate() {
            b.add(vr, 1, now + MS * at, text);
        }
    }
    b.arm();
    // 20 ms in user code: without a call into the kernel, in which the ring could do its work. The first receive below only finds
    // what was sent during that time, because it reads the queue before it returns.
    while clock::mono() < now + MS * 20 {}
    let mut buf = [0; 64];
    assert_eq!(b.out.recv(&mut buf).map_err(|e| e.kind()), Ok(1), "nothing left while the loop was busy");
    let mut wire = b.wire();
    wire.insert(0, char::from(buf[0]).to_string());
    // In order for each router. (Between routers only when this thread kept its CPU: chains that are overdue together take
    // turns, send by send.)
    wire.sort_by_key(|text| (text.parse::<usize>().unwrap() - 1) % 3);
    assert_eq!(wire, ["1", "4", "7", "2", "5", "8", "3", "6", "9"]);
    b.settle();
    b.told.sort_by_key(|t| t.0);
    let due: Vec<_> = b.told.iter().map(|t| (t.0, t.2.since(now).as_millis())).collect();
    assert_eq!(due, [(0, 5), (0, 10), (0, 15), (1, 5), (1, 10), (1, 15), (2, 5), (2, 10), (2, 15)]);
    assert!(b.told.iter().all(|t| t.1 == 1 && t.3 == Ok(())));
    assert_eq!(b.adverts.chains(), 0);
}

#[test]
fn the_farewell_is_last_and_nothing_is_told_of_what_was_taken_back() {
    let Some(mut b) = Bench::new(1) else { return };
    let now = clock::mono();
    for k in 1..=30 {
        // More chains than are linked in front of a farewell.
        b.add(0, 1, now + FAR * k, "advert");
    }
    b.arm();
    // Taken in the same turn as the stop: never submitted.
    b.add(0, 1, now, "too late");
    b.stop(0, Some("farewell"));
    b.settle();
    assert_eq!(b.wire(), ["farewell"]);
    assert_eq!((b.told.len(), b.adverts.chains(), b.adverts.stopping()), (0, 0, false));
}

#[test]
fn others_in_a_cancelled_chain_are_armed_again() {
    let Some(mut b) = Bench::new(4) else { return };
    let now = clock::mono();
    // Late enough that the stop comes first, however busy this machine is.
    let (soon, sooner) = (now + MS * 1600, now + MS * 1500);
    for (vr, text) in ["a", "b", "c", "d"].into_iter().enumerate() {
        b.add(vr, 7, soon, text);
        b.add(vr, 7, sooner, text);
    }
    b.arm();
    b.stop(0, Some("farewell a"));
    // c is stopped too, while b, c and d are on their way back.
    b.stop(2, None);
    b.settle();
    let mut wire = b.wire();
    wire[1..].sort();
    assert_eq!(wire, ["farewell a", "b", "b", "d", "d"]);
    b.told.sort_by_key(|t| t.0);
    assert_eq!(b.told, [(1, 7, sooner, Ok(())), (1, 7, soon, Ok(())), (3, 7, sooner, Ok(())), (3, 7, soon, Ok(()))]);
    assert_eq!(b.adverts.chains(), 0);
}

#[test]
fn closing_a_socket_takes_back_what_is_armed_on_it() {
    let Some(mut b) = Bench::new(2) else { return };
    let now = clock::mono();
    let mut socks: Arena<SockMark, ()> = Arena::default();
    socks.insert(());
    let (other, mine) = (socks.insert(()), b.sock);
    b.add(0, 1, now + MS * 1500, "kept");
    b.sock = other;
    b.add(1, 1, now + MS * 1500, "taken back");
    b.arm();
    assert_ne!(other, mine);
    b.adverts.close(&mut b.ring, other);
    b.settle();
    assert_eq!(b.wire(), ["kept"]);
    assert_eq!(b.told.len(), 1);
}

#[test]
fn a_chain_that_fired_unseen_is_reported_with_its_epoch() {
    let Some(mut b) = Bench::new(1) else { return };
    let now = clock::mono();
    b.add(0, 3, now, "advert");
    b.arm();
    // Its completions lie in the queue, unseen; the cancel finds nothing.
    while b.ring.queued() < 2 {
        b.ring.submit().unwrap();
    }
    b.stop(0, Some("farewell"));
    b.settle();
    assert_eq!(b.wire(), ["advert", "farewell"]);
    assert_eq!(b.told, [(0, 3, now, Ok(()))]);
}

#[test]
fn a_farewell_that_was_overtaken_is_sent_once_more() {
    let Some(mut b) = Bench::new(1) else { return };
    b.add(0, 1, clock::mono() + FAR, "advert");
    b.add(0, 1, clock::mono() + FAR * 2, "advert");
    b.arm();
    b.stop(0, Some("farewell"));
    b.ring.submit().unwrap();
    let deadline = clock::mono() + PATIENCE;
    let mut all = Vec::new();
    while b.ring.in_flight() > 0 {
        wait(&mut b.ring, deadline);
        while let Some(done) = b.ring.pop() {
            all.push(done);
        }
    }
    assert_eq!(b.wire(), ["farewell"]);
    // As in the kernel when the timer fires between the entry and the cancel: the farewell completes first, the sends after it, and
    // they have left.
    all.sort_by_key(|d| matches!(d.tag, Token::Advert(AdvertToken::Send(..))));
    for mut done in all {
        if matches!(done.tag, Token::Advert(AdvertToken::Send(..))) {
            done.result = 6;
        }
        b.feed(done);
    }
    b.settle();
    assert_eq!((b.wire(), b.left), (vec!["farewell".to_owned()], 1));
    assert_eq!(b.told.len(), 2, "they left, so they are told");
    assert!(!b.adverts.stopping());
}

#[test]
fn one_failing_send_silences_nobody_else() {
    let Some(mut b) = Bench::new(3) else { return };
    let (tx, gone) = UnixDatagram::pair().unwrap();
    drop(gone);
    let at = clock::mono();
    let good = b.way.clone();
    b.way = Way { fd: Rc::new(tx.into()), to: To::Connected, frames: None };
    b.add(0, 1, at, "first");
    b.way = good;
    b.add(1, 1, at, "second");
    b.add(2, 1, at, "third");
    b.arm();
    b.settle();
    assert_eq!(b.wire(), ["second", "third"]);
    assert!(b.told[0].0 == 0 && b.told[0].3.is_err() && b.told[1].3.is_ok() && b.told[2].3.is_ok());
}

#[test]
fn a_whole_chain_is_one_completion_and_stays_whole() {
    let Some(mut b) = Bench::new(20) else { return };
    let mut at = clock::mono();
    for round in 1..=3 {
        for vr in 0..20 {
            b.add(vr, round, at, "advert");
        }
        b.arm();
        assert_eq!(b.adverts.chains(), 1);
        let deadline = clock::mono() + PATIENCE;
        // For any division of the kernel's work into turns, one turn reports all or nothing.
        while b.adverts.chains() > 0 {
            wait(&mut b.ring, deadline);
            while let Some(done) = b.ring.pop() {
                b.feed(done);
            }
            assert!(b.told.len().is_multiple_of(20), "{} told", b.told.len());
        }
        at += MS;
    }
    assert_eq!((b.told.len(), b.completions, b.wire().len()), (60, 3, 60));
    assert_eq!(
        (b.ring.in_flight(), b.ring.unknown()),
        (0, 0),
        "the memory of those that do not complete is given back"
    );
}

#[test]
fn a_full_submission_queue_splits_no_chain() {
    let Some(mut b) = Bench::new(2 * CHAIN + 5) else { return };
    let now = clock::mono();
    // 40 times × 133 members: 120 chains, 5,440 entries in a queue of 1,024. The tail of a chain that was cut off from its
    // timer would be sent at once.
    for k in 1..=40 {
        for vr in 0..b.vrs.len() {
            b.add(vr, 1, now + FAR + MS * k, "early");
        }
    }
    b.arm();
    assert_eq!((b.adverts.chains(), b.wire().len()), (120, 0));
    for vr in 0..b.vrs.len() {
        b.stop(vr, Some("farewell"));
    }
    b.settle();
    assert_eq!(b.wire(), vec!["farewell"; 133]);
    assert_eq!((b.told.len(), b.adverts.chains(), b.ring.unknown()), (0, 0, 0));
}

#[test]
fn an_advert_to_several_peers_is_one_timer_and_is_told_once() {
    let Some(mut b) = Bench::new(2) else { return };
    let at = clock::mono() + MS * 5;
    b.add_all(0, 1, at, &["to a", "to b", "to c"]);
    b.add(1, 1, at, "another");
    b.arm();
    assert_eq!(b.adverts.chains(), 1);
    b.settle();
    assert_eq!(b.wire(), ["to a", "to b", "to c", "another"]);
    assert_eq!((b.told.len(), b.completions), (2, 1));
    assert_eq!((b.ring.in_flight(), b.ring.unknown(), b.adverts.chains()), (0, 0, 0));
}

#[test]
fn a_peer_that_cannot_be_reached_keeps_an_advert_from_nobody_else() {
    let Some(mut b) = Bench::new(1) else { return };
    // A datagram longer than the socket takes: EMSGSIZE, at once.
    let long: &'static str = Box::leak("x".repeat(1 << 20).into_boxed_str());
    let at = clock::mono();
    for (texts, ok, missed) in [(["a", long, "c"], true, 1), (["a", "b", long], true, 1), ([long; 3], false, 0)] {
        b.told.clear();
        b.missed = 0;
        b.add_all(0, 1, at, &texts);
        b.arm();
        b.settle();
        assert_eq!(b.wire().len(), 3 - texts.iter().filter(|t| t.len() > 1).count());
        assert_eq!((b.told.len(), b.told[0].3.is_ok(), b.missed), (1, ok, missed));
        assert_eq!((b.ring.in_flight(), b.adverts.chains()), (0, 0));
    }
    // The farewell, too: it failed only if it reached nobody.
    let farewell = |b: &mut Bench, texts: &[&'static str]| {
        let way = b.way.clone();
        b.adverts.stop(&mut b.ring, b.vrs[0], Some((packets(texts), way)));
        b.settle();
        (b.wire().len(), core::mem::take(&mut b.farewells_failed), b.adverts.stopping())
    };
    b.add_all(0, 1, clock::mono() + FAR, &["a", "b"]);
    b.arm();
    assert_eq!(farewell(&mut b, &[long, "bye b"]), (1, 0, false));
    assert_eq!(farewell(&mut b, &[long, long]), (0, 1, false));
}

#[test]
fn packets_of_one_advert_stay_in_one_chain() {
    let Some(mut b) = Bench::new(3) else { return };
    let at = clock::mono() + FAR;
    for vr in 0..3 {
        b.add_all(vr, 1, at, &["p"; 40]);
    }
    b.arm();
    assert_eq!(b.adverts.chains(), 3, "two of them are more than {CHAIN} sends");
    for vr in 0..3 {
        b.stop(vr, None);
    }
    b.settle();
    assert_eq!((b.wire().len(), b.told.len(), b.adverts.chains()), (0, 0, 0));
}
