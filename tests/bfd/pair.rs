//! Two sessions on a link that loses, delays and reorders packets.

use crate::{FAST, START, ms};
use kalived::bfd::session::{Out, Params, Session};
use kalived::time::{Duration, Instant};
use kalived::wire::bfd::{State, diag, parse};
use std::collections::BTreeSet;

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as u32
    }
    fn below(&mut self, n: u64) -> u64 {
        u64::from(self.next()) % n
    }
}

/// What the link does to the packets towards each end.
#[derive(Clone, Copy)]
struct Link {
    /// Lost, of a thousand.
    loss: u64,
    /// Shortest and longest way, microseconds: packets overtake each other where they differ.
    delay: (u64, u64),
}

const GOOD: Link = Link { loss: 0, delay: (100, 100) };

struct Pair {
    now: Instant,
    ends: [Session; 2],
    /// Towards end 0, towards end 1.
    links: [Link; 2],
    flying: BTreeSet<(Instant, u64, usize, Vec<u8>)>,
    count: u64,
    rng: Rng,
    /// When an end left a state, and for which.
    story: Vec<(Instant, usize, State)>,
    /// The last packet that reached each end.
    heard: [Instant; 2],
}

impl Pair {
    fn new(seed: u64, params: [Params; 2], links: [Link; 2]) -> Pair {
        let ends = [Session::new(params[0], 1, START), Session::new(params[1], 2, START)];
        let (flying, story) = (BTreeSet::new(), Vec::new());
        Pair { now: START, ends, links, flying, count: 0, rng: Rng(seed), story, heard: [START; 2] }
    }

    fn done(&mut self, end: usize, out: &Out) {
        self.ends[end].check_invariants();
        if out.left.is_some() {
            self.story.push((self.now, end, self.ends[end].state()));
        }
        let Some(bytes) = out.send else { return };
        let link = self.links[1 - end];
        if self.rng.below(1000) < link.loss {
            return;
        }
        let delay = link.delay.0 + self.rng.below(link.delay.1 - link.delay.0 + 1);
        self.count += 1;
        self.flying.insert((self.now + Duration::from_micros(delay), self.count, 1 - end, bytes.to_vec()));
    }

    fn run(&mut self, until: Instant) {
        // A session sends at most each millisecond, and answers each packet once.
        for _ in 0..1_000_000 {
            let timers = self.ends.iter().enumerate().filter_map(|(n, s)| Some((s.next()?, n)));
            let timer = timers.min();
            let packet = self.flying.first().map(|f| f.0);
            let next = [timer.map(|t| t.0), packet].into_iter().flatten().min();
            let Some(at) = next.filter(|at| *at <= until) else {
                self.now = until;
                return;
            };
            self.now = self.now.max(at);
            let random = self.rng.next();
            // Packets before timers, as the loop has it.
            if packet == Some(at)
                && let Some((_, _, to, bytes)) = self.flying.pop_first()
            {
                let p = parse(&bytes).expect("a good packet");
                self.heard[to] = self.now;
                let out = self.ends[to].on_packet(self.now, &p, random);
                self.done(to, &out);
            } else if let Some((_, end)) = timer {
                let out = self.ends[end].on_time(self.now, random);
                self.done(end, &out);
            }
        }
        panic!("a storm of packets");
    }

    fn states(&self) -> [State; 2] {
        [self.ends[0].state(), self.ends[1].state()]
    }
}

#[test]
fn two_sessions_come_up_at_once() {
    for seed in 0..50 {
        let mut p = Pair::new(seed, [FAST; 2], [GOOD; 2]);
        p.run(START + ms(5));
        assert_eq!(p.states(), [State::Up; 2], "the handshake does not wait for the slow timer: {:?}", p.story);
        p.run(START + ms(100));
        assert!(p.ends.iter().all(|s| !s.polls() && s.interval() == Some(ms(10)) && s.detection_time() == ms(30)));
        p.run(START + ms(10_000));
        assert_eq!(p.states(), [State::Up; 2]);
        assert_eq!(p.ends[0].remote().discr, 2);
    }
}

#[test]
fn the_slower_side_decides() {
    let other = Params { min_tx: 100_000, min_rx: 200_000, multiplier: 4, ..FAST };
    let mut p = Pair::new(1, [FAST, other], [GOOD; 2]);
    p.run(START + ms(2000));
    assert_eq!(p.states(), [State::Up; 2]);
    assert_eq!([p.ends[0].interval(), p.ends[1].interval()], [Some(ms(200)), Some(ms(100))]);
    assert_eq!([p.ends[0].detection_time(), p.ends[1].detection_time()], [ms(400), ms(600)]);
}

// The order of the trace and its times, all of them virtual: whoever is not heard is lost exactly a detection time after its last packet, and
// says so; the other one follows at once.
#[test]
fn a_link_that_breaks_is_found_within_the_detection_time() {
    const CUT: Link = Link { loss: 1000, delay: (100, 100) };
    for seed in 0..50 {
        let mut p = Pair::new(seed, [FAST; 2], [GOOD; 2]);
        p.run(START + ms(1000) + Duration::from_micros(seed * 173));
        p.story.clear();
        // Both ways.
        p.links = [CUT; 2];
        p.run(p.now + ms(500));
        assert_eq!(p.states(), [State::Down; 2]);
        for end in [0, 1] {
            let at = p.story.iter().find(|(_, e, _)| *e == end).expect("it fell").0;
            assert_eq!(at, p.heard[end] + ms(30), "seed {seed} end {end}");
            assert_eq!(p.ends[end].diag(), diag::EXPIRED);
        }
        // And comes back.
        p.links = [GOOD; 2];
        p.run(p.now + ms(2000));
        assert_eq!(p.states(), [State::Up; 2]);
        // One way: the end that hears nothing tells the other.
        p.story.clear();
        p.links = [CUT, GOOD];
        let heard = p.now;
        p.run(heard + ms(45));
        let fell: Vec<(usize, State)> = p.story.iter().map(|(_, end, state)| (*end, *state)).collect();
        assert_eq!(fell[..2], [(0, State::Down), (1, State::Down)], "seed {seed}");
        assert_eq!(p.story[0].0, p.heard[0] + ms(30));
        assert_eq!(p.story[1].0, p.story[0].0 + Duration::from_micros(100), "the way of one packet");
        assert_eq!(p.ends[1].diag(), diag::NEIGHBOR);
    }
}

// Loss and reordering for half an hour of virtual time; then a good link, and both agree.
#[test]
fn whatever_the_link_does_both_agree_in_the_end() {
    for seed in 0..40 {
        let mut rng = Rng(seed);
        let bad = |rng: &mut Rng| Link { loss: rng.below(700), delay: (100, 100 + rng.below(40_000)) };
        let multiplier = 1 + rng.below(5) as u8;
        let mut params = [Params { multiplier, ..FAST }, Params { min_tx: 30_000, ..FAST }];
        params[1].passive = rng.below(2) == 0;
        let mut p = Pair::new(seed, params, [GOOD; 2]);
        for minute in 1..=30 {
            p.links = [bad(&mut rng), bad(&mut rng)];
            p.run(START + Duration::from_secs(minute * 60));
            if rng.below(3) == 0 {
                let end = rng.below(2) as usize;
                let min_tx = 10_000 + rng.below(90_000) as u32;
                p.ends[end].alter(Params { min_tx, ..params[end] }, p.now, rng.next());
            }
        }
        p.links = [GOOD; 2];
        p.run(p.now + Duration::from_secs(10));
        assert_eq!(p.states(), [State::Up; 2], "seed {seed}");
        assert!(p.ends.iter().all(|s| !s.polls()), "seed {seed}: every Poll Sequence ends");
        let lost = p.story.len();
        p.run(p.now + Duration::from_secs(600));
        assert_eq!((p.states(), p.story.len()), ([State::Up; 2], lost), "seed {seed}");
    }
}

// Up to 40 % of the packets of a Detect Mult of 20 are lost without harm: 20 in a row are not.
#[test]
fn some_loss_does_no_harm() {
    let params = Params { multiplier: 20, ..FAST };
    let bad = Link { loss: 400, delay: (100, 9_000) };
    for seed in 0..10 {
        let mut p = Pair::new(seed, [params; 2], [GOOD; 2]);
        p.run(START + ms(1000));
        p.story.clear();
        p.links = [bad; 2];
        p.run(p.now + Duration::from_secs(300));
        assert_eq!((p.states(), p.story.len()), ([State::Up; 2], 0), "seed {seed}");
    }
}

// A peer that starts anew with another discriminator is lost and found, whether it said so or not.
#[test]
fn a_peer_that_restarts_is_noticed() {
    for says in [true, false] {
        let mut p = Pair::new(3, [FAST; 2], [GOOD; 2]);
        p.run(START + ms(1000));
        p.story.clear();
        if says {
            let out = p.ends[1].shut(p.now);
            p.done(1, &out);
        }
        let now = p.now;
        p.ends[1] = Session::new(FAST, 9, now);
        p.run(now + ms(3000));
        assert_eq!(p.states(), [State::Up; 2]);
        let fell = p.story.iter().find(|(_, end, _)| *end == 0).expect("it was noticed");
        assert_eq!((fell.0, fell.2), (now + Duration::from_micros(100), State::Down), "by its first packet");
        assert_eq!(p.ends[0].remote().discr, 9);
    }
}
