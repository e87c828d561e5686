//! Two routers whose files are changed one after the other. The result depends on the traffic between them, so there are two worlds
//! on one link here. Read first: `bench.rs`, `reload.rs`.

use crate::bench::*;
use crate::reload::one;
use bytes::Bytes;
use kalived::config::model::{InstanceConfig, Version};
use kalived::event::{Event, NetEv, RxMeta, SockEv};
use kalived::time::{Duration, Instant, earliest};
use kalived::vrrp::State;

const S: Duration = Duration::from_secs(1);
const A: &str = "198.18.0.100";
const B: &str = "198.18.0.101";

/// A wire without delay.
struct Wire {
    ends: [Bench; 2],
    /// How much of each one's output was carried.
    seen: [usize; 2],
    /// Longest time with two Masters.
    both: Duration,
    since: Option<Instant>,
}

impl Wire {
    fn new(first: InstanceConfig, second: InstanceConfig) -> Wire {
        let mut ends = [Bench::cold(vec![first]), Bench::cold(vec![second])];
        ends[1].kernel = vec![addr(ETH0, PEER, 16, 0)];
        ends.iter_mut().for_each(Bench::start);
        Wire { ends, seen: [0; 2], both: Duration::ZERO, since: None }
    }
    fn deliver(&mut self, to: usize, p: &Bytes) {
        let Some(sock) = self.ends[to].sock else { return };
        let src = [p[12], p[13], p[14], p[15]].into();
        let meta = RxMeta { src, dst: None, hop_limit: None };
        self.ends[to].event(Event::Sock(SockEv::Datagram { sock, meta, age: Duration::ZERO, bytes: p }));
    }
    /// What was sent at once.
    fn carry(&mut self) {
        for from in [0, 1, 0, 1] {
            let new: Vec<Bytes> = self.ends[from].out[self.seen[from]..]
                .iter()
                .filter_map(|o| if let Out::Advert(p) | Out::Stop(Some(p)) = o { Some(p.clone()) } else { None })
                .collect();
            self.seen[from] = self.ends[from].out.len();
            new.iter().for_each(|p| self.deliver(1 - from, p));
        }
        let now = self.ends[0].now.mono;
        match (self.ends.iter().all(|b| b.state() == State::Master), self.since) {
            (true, None) => self.since = Some(now),
            (true, Some(t)) => self.both = self.both.max(now.since(t)),
            (false, _) => self.since = None,
        }
    }
    fn run(&mut self, d: Duration) {
        let end = self.ends[0].now.mono + d;
        for _ in 0..100_000 {
            let next = |b: &Bench| {
                earliest(b.world.next_deadline().map(|(at, _)| at), b.armed.keys().next().map(|(at, _)| *at))
            };
            let Some(at) = earliest(next(&self.ends[0]), next(&self.ends[1])).filter(|at| *at <= end) else { break };
            for b in &mut self.ends {
                b.now.mono = b.now.mono.max(at);
            }
            for from in 0..2 {
                while let Some((due, _)) = self.ends[from].armed.keys().next().copied().filter(|k| k.0 <= at) {
                    let out = &self.ends[from].out;
                    let armed = |o: &Out| if let Out::Armed(t, p) = o { (*t == due).then(|| p.clone()) } else { None };
                    let p = out.iter().rev().find_map(armed).expect("what was armed");
                    self.ends[from].advert_leaves();
                    self.deliver(1 - from, &p);
                }
            }
            self.ends.iter_mut().for_each(Bench::fire);
            self.carry();
        }
        self.ends.iter_mut().for_each(|b| b.now.mono = end);
    }
    fn reload(&mut self, n: usize, cfg: &InstanceConfig) {
        self.ends[n].event(crate::reload::config(std::slice::from_ref(cfg)));
        self.run(Duration::from_millis(1));
    }
    fn states(&self) -> [State; 2] {
        [self.ends[0].state(), self.ends[1].state()]
    }
}

fn pair(vips: &[&str], version: Version) -> [InstanceConfig; 2] {
    let base = InstanceConfig { version, ..one("VI_1", 51, vips) };
    [InstanceConfig { priority: 150, ..base.clone() }, base]
}

#[test]
fn trap_7_a_vip_is_rolled_out_and_there_are_never_two_masters() {
    for version in [Version::V2, Version::V3] {
        for (before, after) in [(&[A][..], &[A, B][..]), (&[A, B], &[A]), (&[A], &[B])] {
            for first in [0, 1] {
                let [x, y] = pair(before, version);
                let mut w = Wire::new(x, y);
                w.run(S * 10);
                assert_eq!(w.states(), [State::Master, State::Backup]);
                w.both = Duration::ZERO;
                let new = pair(after, version);
                w.reload(first, &new[first]);
                w.run(S * 30);
                assert_eq!(
                    w.states(),
                    [State::Master, State::Backup],
                    "{version:?} {before:?} -> {after:?}, {first} first"
                );
                w.reload(1 - first, &new[1 - first]);
                w.run(S * 30);
                assert_eq!(w.states(), [State::Master, State::Backup]);
                assert_eq!(w.both, Duration::ZERO);
                let told = w.ends[1].logged("lists other addresses");
                assert!(told >= 1, "and it is said");
                assert_eq!(w.ends[1].view().stats.become_master, 0);
            }
        }
    }
}

#[test]
fn trap_7_a_router_restarted_between_the_two_reloads_makes_no_second_master() {
    for restarted in [0, 1] {
        let [x, y] = pair(&[A], Version::V2);
        let new = pair(&[A, B], Version::V2);
        let mut w = Wire::new(x.clone(), y.clone());
        w.run(S * 10);
        w.reload(0, &new[0]);
        // Killed, and started again with the file it has.
        let now = w.ends[0].now;
        let mut fresh = Bench::cold(vec![[&new[0], &y][restarted].clone()]);
        fresh.kernel = vec![addr(ETH0, [OURS, PEER][restarted], 16, 0)];
        fresh.now = now;
        fresh.start();
        w.ends[restarted] = fresh;
        w.seen[restarted] = 0;
        w.run(S * 30);
        assert_eq!(w.states(), [State::Master, State::Backup], "{restarted}");
        assert!(w.both <= S, "a takeover may overlap by an advert: {:?}", w.both);
    }
}

#[test]
fn two_nodes_boot_together_and_one_is_reloaded_before_its_first_takeover() {
    // Trap 4.
    for reloaded in [0, 1] {
        let both = pair(&[A], Version::V2);
        let mut w = Wire::new(both[0].clone(), both[1].clone());
        w.run(S * 2);
        w.reload(reloaded, &InstanceConfig { preempt_delay: S, ..both[reloaded].clone() });
        w.run(S * 3);
        assert_eq!(w.states(), [State::Master, State::Backup]);
        assert_eq!(w.both, Duration::ZERO);
    }
}

/// Addresses that are advertised, and those that are not.
type Lists = (&'static [&'static str], &'static [&'static str]);

fn lists(priority: u8, version: Version, (vips, excluded): Lists) -> InstanceConfig {
    let excluded = excluded.iter().map(|a| vip(a)).collect();
    InstanceConfig { priority, version, excluded, ..one("VI_1", 51, vips) }
}

/// Two routers with any lists of addresses accept each other's adverts: from a cold start, and when their files are changed one after
/// the other.
#[test]
fn routers_with_any_lists_hear_each_other() {
    const ALL: [Lists; 8] = [
        (&[], &[]),
        (&[], &[A]),
        (&[], &[A, B]),
        (&[A], &[B]),
        (&[B], &[A]),
        (&[A, A], &[B]),
        (&[A, B], &[]),
        (&[A], &[]),
    ];
    // RFC 9568 §5.2.5: a router that lists everything it has ignores an advert without addresses; not a router that sends no other.
    let deaf = |hears: Lists, sends: Lists| sends.0.is_empty() && !hears.0.is_empty() && hears.1.is_empty();
    for version in [Version::V2, Version::V3] {
        for x in ALL {
            for y in ALL {
                // No address in common, and neither knows the other: a different virtual router (trap 28).
                let held = |l: Lists| l.0.iter().chain(l.1).copied().collect::<Vec<_>>();
                let stranger = |hears: Lists, sends: Lists| {
                    !hears.0.is_empty() && !sends.0.is_empty() && !sends.0.iter().any(|a| held(hears).contains(a))
                };
                if version == Version::V2 && (stranger(x, y) || stranger(y, x)) {
                    continue;
                }
                let mut w = Wire::new(lists(150, version, x), lists(100, version, y));
                w.run(S * 10);
                assert_eq!(w.states(), [State::Master, State::Backup], "{version:?} {x:?} {y:?}");
                let bound = if deaf(y, x) { S * 3 } else { Duration::ZERO };
                assert!(w.both <= bound, "{version:?} {x:?} {y:?}: {:?}", w.both);
            }
        }
        for (before, after) in
            [(1, 7), (7, 1), (1, 3), (3, 2), (0, 7), (7, 0), (2, 6), (6, 2)].map(|(x, y)| (ALL[x], ALL[y]))
        {
            for first in [0, 1] {
                let [old, new] = [before, after].map(|l| [lists(150, version, l), lists(100, version, l)]);
                let mut w = Wire::new(old[0].clone(), old[1].clone());
                w.run(S * 10);
                w.reload(first, &new[first]);
                w.run(S * 30);
                w.reload(1 - first, &new[1 - first]);
                w.run(S * 30);
                assert_eq!(w.states(), [State::Master, State::Backup], "{version:?} {before:?} -> {after:?}");
                assert_eq!(
                    (w.both, w.ends[1].view().stats.become_master),
                    (Duration::ZERO, 0),
                    "{before:?} -> {after:?}"
                );
            }
        }
    }
}

/// 255 addresses: the first router's MTU carries 135 of them.
#[test]
fn a_list_cut_to_the_mtu_is_heard() {
    for version in [Version::V2, Version::V3] {
        let all: Vec<String> = (1..=255).map(|n| format!("198.18.9.{n}")).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let [x, y] = pair(&all, version);
        let mut w = Wire::new(x, y);
        let mut small = link(ETH0, "eth0", true);
        small.mtu = 576;
        w.ends[0].event(Event::Net(NetEv::LinkNew(small)));
        w.run(S * 10);
        assert_eq!(w.states(), [State::Master, State::Backup], "{version:?}");
    }
}
