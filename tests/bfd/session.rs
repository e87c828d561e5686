//! One session against packets by hand: the transitions, the times, the Poll Sequence. Numbers are sections of RFC 5880.

use crate::{FAST, START, ms, peer};
use kalived::bfd::session::{Out, Params, Remote, Session};
use kalived::time::{Duration, Instant};
use kalived::wire::bfd::{Packet, State, diag, parse};

const OURS: u32 = 5;

fn sent(out: &Out) -> Packet {
    parse(&out.send.expect("a packet")).expect("a good one")
}

fn down() -> Session {
    Session::new(FAST, OURS, START)
}

/// Up since `START`, the Poll Sequence answered.
fn up_with(params: Params) -> Session {
    let mut s = Session::new(params, OURS, START);
    s.on_packet(START, &peer(State::Down, 0), 0);
    s.on_packet(START, &peer(State::Init, OURS), 0);
    s.on_packet(START, &Packet { fin: true, ..peer(State::Up, OURS) }, 0);
    assert_eq!((s.state(), s.polls()), (State::Up, false));
    s
}

fn up() -> Session {
    up_with(FAST)
}

/// Runs the timer until `end`; when each packet left.
fn leaves(s: &mut Session, end: Instant, mut random: impl FnMut() -> u32) -> Vec<(Instant, Packet)> {
    let mut all = Vec::new();
    while let Some(at) = s.next().filter(|at| *at <= end) {
        let out = s.on_time(at, random());
        if out.send.is_some() {
            all.push((at, sent(&out)));
        }
        s.check_invariants();
    }
    all
}

// §6.8.6, the transitions: every state with every received state.
#[test]
fn every_state_with_every_received_state() {
    use State::*;
    let make = |state| match state {
        AdminDown => {
            let mut s = down();
            s.shut(START);
            s
        }
        Down => down(),
        Init => {
            let mut s = down();
            s.on_packet(START, &peer(Down, 0), 0);
            s
        }
        Up => up(),
    };
    let want = |from, received| match (from, received) {
        (AdminDown, _) => AdminDown,
        (_, AdminDown) => Down,
        (Down, Down) => Init,
        (Down, Init) => Up,
        (Down, Up) => Down,
        (Init, Down) => Init,
        (Init, Init | Up) => Up,
        (Up, Down) => Down,
        (Up, Init | Up) => Up,
    };
    for from in State::ALL {
        for received in State::ALL {
            let mut s = make(from);
            assert_eq!(s.state(), from);
            let out = s.on_packet(START + ms(1), &peer(received, OURS), 0);
            assert_eq!(s.state(), want(from, received), "{from:?} receives {received:?}");
            assert_eq!(out.left, (s.state() != from).then_some(from));
            // A change is said at once.
            assert_eq!(out.send.is_some(), out.left.is_some(), "{from:?} receives {received:?}");
            if out.left.is_some() {
                assert_eq!(sent(&out).state, s.state());
            }
            let signaled = from >= Init && s.state() == Down;
            assert_eq!(signaled, s.diag() == diag::NEIGHBOR, "diagnostic 3 where the peer said so");
            s.check_invariants();
        }
    }
}

// §6.8.4: the peer's Detect Mult times the larger of the own Required Min RX and its Desired Min TX, from the last packet on.
#[test]
fn a_silent_peer_is_lost_after_the_detection_time_and_not_before() {
    let mut s = up();
    assert_eq!(s.detection_time(), ms(30));
    let last = START + ms(7);
    s.on_packet(last, &peer(State::Up, OURS), 0);
    let before: Vec<_> = leaves(&mut s, last + ms(30) - Duration::from_nanos(1), || 0);
    assert!(!before.is_empty() && s.state() == State::Up);
    assert_eq!(s.next(), Some(last + ms(30)));
    let out = s.on_time(last + ms(30), 0);
    assert_eq!((out.left, s.state(), s.diag()), (Some(State::Up), State::Down, diag::EXPIRED));
    let p = sent(&out);
    assert_eq!((p.state, p.diag, p.yours), (State::Down, diag::EXPIRED, 77), "the peer is told, and which session");
    assert_eq!(s.remote().discr, 0, "§6.8.1");
    // A slower peer is given more time, a larger Required Min RX too.
    let mut s = up();
    s.on_packet(START, &Packet { min_tx: 40_000, multiplier: 5, ..peer(State::Up, OURS) }, 0);
    assert_eq!(s.detection_time(), ms(200));
    let s = up_with(Params { min_rx: 50_000, ..FAST });
    assert_eq!(s.detection_time(), ms(150));
    // From Init likewise.
    let mut s = down();
    s.on_packet(START, &peer(State::Down, 0), 0);
    leaves(&mut s, START + Duration::from_secs(3), || 0);
    assert_eq!((s.state(), s.diag()), (State::Down, diag::EXPIRED));
}

// §6.8.7: 75 to 100 % of the interval, with a Detect Mult of 1 75 to 90 %; §6.8.3: a second or more while not Up.
#[test]
fn intervals_are_jittered_within_their_bounds() {
    for (multiplier, idle, most) in [(3, 1_000_000, 1000), (1, 1_000_000, 900), (3, 5_000_000, 1000), (3, 10, 1000)] {
        let mut n = 0u32;
        let mut random = || {
            n = n.wrapping_add(0x9e37_79b9);
            n
        };
        let params = Params { multiplier, idle_tx: idle, ..FAST };
        let mut s = Session::new(params, OURS, START);
        let whole = u64::from(idle.max(1_000_000)) * 1000;
        let slow = leaves(&mut s, START + Duration::from_secs(300), &mut random);
        assert_eq!(slow[0].0, START, "the first one at once");
        let gaps: Vec<u64> = slow.windows(2).map(|w| w[1].0.since(w[0].0).as_nanos() as u64).collect();
        assert!(gaps.iter().all(|g| (whole * 3 / 4..=whole * most / 1000).contains(g)), "{gaps:?}");
        let (least, largest) = (gaps.iter().min().unwrap(), gaps.iter().max().unwrap());
        assert!(largest - least > whole / 20, "they differ");
        let mut s = up_with(params);
        s.on_packet(START, &Packet { min_tx: 4_000_000, ..peer(State::Up, OURS) }, 0);
        let fast = leaves(&mut s, START + ms(3000), &mut random);
        let gaps: Vec<u64> = fast.windows(2).map(|w| w[1].0.since(w[0].0).as_nanos() as u64).collect();
        assert!(gaps.len() > 290, "{}", gaps.len());
        assert!(gaps.iter().all(|g| (7_500_000..=10_000 * most).contains(g)), "{gaps:?}");
        assert!(fast.iter().all(|(_, p)| p.multiplier == multiplier));
    }
}

// A late timer moves the next packet by less than it was late, and a whole interval that was missed is not made up for.
#[test]
fn lateness_does_not_add_up() {
    let mut s = up();
    s.on_packet(START, &Packet { min_tx: 4_000_000, ..peer(State::Up, OURS) }, 0);
    let due = s.next().unwrap();
    s.on_time(due + ms(2), 0);
    assert_eq!(s.next(), Some(due + ms(10)));
    let due = s.next().unwrap();
    s.on_time(due + ms(25), 0);
    assert_eq!(s.next(), Some(due + ms(35)));
}

// §6.8.7: 0 asks for no periodic packets, and a smaller value is honoured at once.
#[test]
fn what_the_peer_takes_is_what_it_gets() {
    let mut s = up();
    s.on_packet(START, &Packet { min_rx: 0, min_tx: 4_000_000, ..peer(State::Up, OURS) }, 0);
    assert_eq!((s.interval(), leaves(&mut s, START + ms(500), || 0).len()), (None, 0));
    s.on_packet(START + ms(500), &Packet { min_rx: 800_000, min_tx: 4_000_000, ..peer(State::Up, OURS) }, 0);
    assert_eq!(leaves(&mut s, START + ms(900), || 0).len(), 1, "at once, as the last one is long ago");
    s.on_packet(START + ms(900), &Packet { min_rx: 20_000, min_tx: 4_000_000, ..peer(State::Up, OURS) }, 0);
    assert_eq!(s.next(), Some(START + ms(900)), "§6.8.3: not after the rest of 800 ms");
    assert_eq!(leaves(&mut s, START + ms(1000), || 0).len(), 6);
}

// §6.5: a poll is answered at once and outside of the timer, in every state, and never together with P.
#[test]
fn a_poll_is_answered_at_once() {
    let mut s = down();
    let out = s.on_packet(START, &Packet { poll: true, ..peer(State::Up, OURS) }, 0);
    assert_eq!((sent(&out).fin, sent(&out).poll, sent(&out).state), (true, false, State::Down));
    let mut s = down();
    s.on_packet(START, &peer(State::Down, 0), 0);
    let out = s.on_packet(START, &Packet { poll: true, ..peer(State::Up, OURS) }, 0);
    assert_eq!((sent(&out).fin, sent(&out).poll, sent(&out).state), (true, false, State::Up));
    assert!(s.polls());
    let (_, next) = leaves(&mut s, START + ms(10), || 0)[0];
    assert!(next.poll && !next.fin, "its own poll goes on with the next packet");
}

// §6.8.3: another interval while Up is confirmed by a Poll Sequence; what would lose packets waits for it.
#[test]
fn another_interval_is_confirmed_by_a_poll_sequence() {
    let slow = Params { min_tx: 50_000, min_rx: 5_000, ..FAST };
    let mut s = up();
    s.alter(slow, START, 0);
    let before = leaves(&mut s, START + ms(29), || 0);
    assert!(before.len() >= 2, "as often as before: {before:?}");
    let told = |p: &Packet| (p.poll, p.min_tx, p.min_rx);
    assert!(before.iter().all(|(_, p)| told(p) == (true, 50_000, 5_000)), "and says what will be");
    assert_eq!(s.detection_time(), ms(30), "the peer still sends every 10 ms");
    s.on_packet(START + ms(29), &Packet { fin: true, min_tx: 5_000, ..peer(State::Up, OURS) }, 0);
    assert_eq!((s.interval(), s.detection_time(), s.polls()), (Some(ms(50)), ms(15), false));
    // The other way round, both hold at once.
    let mut s = up_with(slow);
    s.alter(FAST, START, 0);
    assert_eq!((s.interval(), s.detection_time(), s.polls()), (Some(ms(10)), ms(30), true));
    // What changes while a Poll Sequence is under way needs another one: its F may answer to the first values.
    s.alter(slow, START, 0);
    let fin = Packet { fin: true, ..peer(State::Up, OURS) };
    s.on_packet(START, &fin, 0);
    assert_eq!((s.interval(), s.polls()), (Some(ms(10)), true));
    s.on_packet(START, &fin, 0);
    assert_eq!((s.interval(), s.polls()), (Some(ms(50)), false));
    // Another Detect Mult needs none.
    let mut s = up();
    s.alter(Params { multiplier: 9, ..FAST }, START, 0);
    assert!(!s.polls() && leaves(&mut s, START + ms(10), || 0)[0].1.multiplier == 9);
}

// §6.1: nothing is sent before the peer was heard.
#[test]
fn a_passive_session_waits_for_its_peer() {
    let mut s = Session::new(Params { passive: true, ..FAST }, OURS, START);
    assert_eq!(s.next(), None);
    let out = s.on_packet(START + ms(5000), &peer(State::Down, 0), 0);
    assert_eq!((sent(&out).state, sent(&out).yours), (State::Init, 77));
    s.on_packet(START + ms(5001), &peer(State::Init, OURS), 0);
    assert_eq!(s.state(), State::Up);
    // Lost: said once, then silent again.
    leaves(&mut s, START + ms(20_000), || 0);
    assert_eq!((s.state(), s.next()), (State::Down, None));
    assert_eq!(s.shut(START).send, None, "nobody to tell");
}

// §6.6: a peer in demand mode is not sent periodic packets while both are Up; a Poll Sequence is carried out all the same.
#[test]
fn demand_mode_of_the_peer_is_honoured() {
    let mut s = up();
    s.on_packet(START, &Packet { demand: true, min_tx: 4_000_000, ..peer(State::Up, OURS) }, 0);
    assert_eq!(leaves(&mut s, START + ms(500), || 0).len(), 0);
    s.alter(Params { min_tx: 20_000, ..FAST }, START + ms(500), 0);
    assert!(leaves(&mut s, START + ms(600), || 0).len() > 4, "the poll");
    s.on_packet(START + ms(600), &Packet { demand: true, fin: true, min_tx: 4_000_000, ..peer(State::Up, OURS) }, 0);
    assert_eq!(leaves(&mut s, START + ms(900), || 0).len(), 0);
    s.on_packet(START + ms(900), &peer(State::Up, OURS), 0);
    assert!(!leaves(&mut s, START + ms(920), || 0).is_empty());
}

// §6.8.16: held down on purpose: it is said, and nothing of the peer changes it.
#[test]
fn admin_down_is_said_and_stays() {
    let mut s = up();
    let out = s.shut(START);
    let p = sent(&out);
    assert_eq!((p.state, p.diag, p.yours, out.left), (State::AdminDown, diag::ADMIN, 77, Some(State::Up)));
    assert_eq!(s.next(), None);
    let poll = Packet { poll: true, ..peer(State::Down, 0) };
    assert_eq!(s.on_packet(START, &poll, 0), Out::default());
    assert_eq!((s.state(), s.next()), (State::AdminDown, None));
}

// The next process goes on: the same discriminators, a packet at once, and a whole detection time for the peer.
#[test]
fn a_session_that_is_continued_is_up_and_can_be_lost() {
    let remote =
        Remote { discr: 77, state: State::Up, diag: 0, min_rx: 10_000, min_tx: 10_000, multiplier: 3, demand: false };
    let mut s = Session::resume(FAST, OURS, State::Up, diag::NONE, remote, START);
    let first = leaves(&mut s, START, || 0);
    assert_eq!(first.len(), 1);
    let p = first[0].1;
    assert_eq!((p.state, p.mine, p.yours, p.poll), (State::Up, OURS, 77, true), "the intervals may be others now");
    leaves(&mut s, START + ms(30), || 0);
    assert_eq!((s.state(), s.diag()), (State::Down, diag::EXPIRED));
}
