//! Two nodes: the shipped `World` on the shipped loop and its services, over simulated rings and a wire between them.
//!
//! One life: both start, the better one is Master; it is asked to stop, and comes back; it dies; the other one is asked to stop. What is
//! demanded is what an operator sees on the wire and in the kernel. `KALIVED_PAIR=n cargo test --test sim one_pair` does one again.

use super::buffers::Datagram;
use super::{Left, Rates, SimOs};
use crate::options::{IFACE, vip};
use crate::packet::{self, Advert};
use crate::rng::Rng;
use bytes::Bytes;
use kalived::config::model::{Config, Family, InstanceConfig};
use kalived::daemon::Turn;
use kalived::daemon::exec::Exec;
use kalived::daemon::log::{Sink, Target};
use kalived::daemon::token::{SockToken, Token};
use kalived::exit::ExitCode;
use kalived::sys::os::Ops;
use kalived::sys::signal;
use kalived::time::{Duration, Instant, earliest};
use kalived::vrrp::State;
use kalived::world::World;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::IpAddr;

/// Seeds of a run of the test command.
const SEEDS: u64 = 300;
/// Longest time on the wire, and longest time that a loop is late.
const WIRE: Duration = Duration::from_micros(300);
const LATE: Duration = Duration::from_millis(30);

/// How often each rule was demanded.
#[derive(Default)]
struct Demanded(BTreeMap<&'static str, u64>);

struct Process {
    exec: Exec<SimOs>,
    turn: Turn,
    world: World,
    /// The loop sleeps until then, or until something has completed.
    until: Option<Instant>,
    /// It wakes then.
    wakes: Option<Instant>,
}

struct Node {
    process: Option<Process>,
    addr: IpAddr,
    priority: u8,
    ended: Option<ExitCode>,
    last: Option<(Instant, Advert)>,
    /// Addresses in its kernel survive the process.
    held: Vec<IpAddr>,
}

struct Pair {
    now: Instant,
    rng: Rng,
    rates: Rates,
    interval: Duration,
    nodes: [Node; 2],
    wire: BTreeMap<(Instant, u64), (usize, Bytes)>,
    order: u64,
    demanded: Demanded,
    wrong: Option<String>,
}

const VIP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 100));

impl Pair {
    fn new(seed: u64) -> Pair {
        let mut rng = Rng::stream(seed, 0x200, 0);
        let mut one = |most: u64| if rng.permille(500) { rng.below(most) as u32 } else { 0 };
        // Sends do not fail and the kernel has memory, so that each gap on the wire is the loop's.
        let rates = Rates { race: one(500), receive: one(200), overflow: one(100), full: one(100), ..Rates::default() };
        let rates = Rates { netlink: one(30), ..rates };
        let interval = rng.pick(&[10, 100, 1000]);
        let node = |i: u8, priority| Node {
            process: None,
            addr: [10, 0, 0, i + 1].into(),
            priority,
            ended: None,
            last: None,
            held: Vec::new(),
        };
        Pair {
            now: Instant(1_000_000_000 + rng.below(1_000_000_000)),
            interval: Duration::from_millis(interval),
            nodes: [node(0, 200), node(1, rng.range(1, 199) as u8)],
            rng,
            rates,
            wire: BTreeMap::new(),
            order: 0,
            demanded: Demanded::default(),
            wrong: None,
        }
    }

    fn demand(&mut self, rule: &'static str, holds: bool, text: impl FnOnce() -> String) {
        *self.demanded.0.entry(rule).or_default() += 1;
        if !holds {
            self.wrong.get_or_insert(format!("{rule}: {}", text()));
        }
    }

    fn start(&mut self, node: usize) {
        let n = &self.nodes[node];
        let mut instance = InstanceConfig::new("VI_1", IFACE, 51, Family::V4);
        instance.priority = n.priority;
        instance.advert_int = self.interval;
        instance.vips = vec![vip(VIP)];
        let mut os = SimOs::new(self.now, Rng::new(self.rng.bits()), self.rates, None);
        os.route.own = Some((n.addr, 24));
        os.route.addrs = n.held.iter().map(|a| ((*a, 32), ())).collect();
        let signals = os.open().expect("a descriptor");
        let several = self.rng.permille(500);
        let sink = Sink::with_fd(Target::Console, true, None);
        let mut exec = Exec::new(os, signals, sink, several).expect("the simulated system has everything");
        let mut world = World::new(Config { instances: vec![instance], ..Config::default() });
        let turn = Turn::begin(&mut exec, &mut world);
        let mut p = Process { exec, turn, world, until: None, wakes: None };
        sleep(&mut p, self.now, &mut self.rng);
        self.nodes[node].process = Some(p);
        (self.nodes[node].ended, self.nodes[node].last) = (None, None);
    }

    /// When something happens next on a node.
    fn next(&mut self, node: usize) -> Option<Instant> {
        let p = self.nodes[node].process.as_mut()?;
        let due = p.exec.os().next_due();
        earliest(due, p.wakes.or(p.until)).map(|at| at.max(self.now))
    }

    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while self.wrong.is_none() {
            let times = [self.next(0), self.next(1), self.wire.first_key_value().map(|((at, _), _)| *at)];
            let Some((which, at)) = (0..3).filter_map(|i| Some((i, times[i]?))).min_by_key(|(_, at)| *at) else {
                break;
            };
            if at > end {
                break;
            }
            self.now = self.now.max(at);
            match which {
                2 => self.deliver(),
                node => self.step(node),
            }
        }
        self.now = self.now.max(end);
    }

    fn deliver(&mut self) {
        let Some((_, (to, bytes))) = self.wire.pop_first() else { return };
        let from = self.nodes[1 - to].addr;
        let IpAddr::V4(a) = from else { return };
        let mut name = vec![0; 16];
        name[0] = 2;
        name[4..8].copy_from_slice(&a.octets());
        let Some(p) = self.nodes[to].process.as_mut() else { return };
        let os = p.exec.os();
        os.advance(self.now);
        let d = Datagram { name, control: Vec::new(), payload: bytes.to_vec() };
        if let Some(tag) = os.tag_of(|t| matches!(t, Token::Sock(SockToken::Rx(_)))) {
            os.datagram(tag, d);
        }
        self.after(to);
    }

    fn step(&mut self, node: usize) {
        let Some(p) = self.nodes[node].process.as_mut() else { return };
        p.exec.os().advance(self.now);
        let ripe = p.wakes.is_some_and(|at| at <= self.now);
        self.after(node);
        let Some(p) = self.nodes[node].process.as_mut().filter(|_| ripe) else { return };
        p.wakes = None;
        let code = p.turn.wake(&mut p.exec, &mut p.world);
        p.world.check_invariants();
        if code.is_none() {
            sleep(p, self.now, &mut self.rng);
        }
        self.after(node);
        if let Some(code) = code {
            self.end(node, code);
        }
    }

    /// What left goes onto the wire; a loop for which something has completed, or whose time has come, wakes a little later.
    fn after(&mut self, node: usize) {
        let Some(p) = self.nodes[node].process.as_mut() else { return };
        let os = p.exec.os();
        let left = core::mem::take(&mut os.left);
        let held = os.route.addrs.keys().map(|(a, _)| *a).collect();
        let ready = os.queued() > 0 || p.until.is_some_and(|at| at <= self.now);
        if ready && p.wakes.is_none() {
            let longest = if self.rng.permille(5) { LATE.as_nanos() as u64 } else { 200_000 };
            p.wakes = Some(self.now + Duration::from_nanos(self.rng.below(longest)));
        }
        self.nodes[node].held = held;
        for (at, what) in left {
            if let Left::Packet(bytes) = what {
                self.sent(node, at, bytes);
            }
        }
    }

    fn sent(&mut self, node: usize, at: Instant, bytes: Bytes) {
        let Some(advert) = packet::advert(&bytes) else {
            self.wrong.get_or_insert("what left is no advert".into());
            return;
        };
        let right = advert.src == self.nodes[node].addr && advert.vrid == 51;
        self.demand("packets", right, || format!("node {node} sent {advert:?}"));
        if let Some((before, old)) = self.nodes[node].last.replace((at, advert))
            && old.priority > 0
        {
            // Armed ahead: what the loop does meanwhile delays nothing.
            let gap = at.since(before);
            let most = self.interval + Duration::from_micros(100);
            let farewell = advert.priority == 0;
            self.demand("no advert is late", gap <= most || farewell, || {
                format!("node {node}: {gap:?} between adverts")
            });
        }
        let wait = Duration::from_nanos(self.rng.below(WIRE.as_nanos() as u64));
        self.order += 1;
        self.wire.insert((at.max(self.now) + wait, self.order), (1 - node, bytes));
    }

    fn end(&mut self, node: usize, code: ExitCode) {
        self.nodes[node].ended = Some(code);
        let Some(mut p) = self.nodes[node].process.take() else { return };
        let os = p.exec.os();
        let held = os.buffers_held();
        self.demand("nothing is left", held == Ok(0), || format!("buffers: {held:?}"));
    }

    /// Who is Master, and that the address is there and nowhere else.
    fn master(&mut self, who: usize) {
        for node in 0..2 {
            let state = self.nodes[node].process.as_ref().map(|p| p.world.views()[0].state);
            let right = (state == Some(State::Master)) == (node == who);
            self.demand("one Master", right, || format!("node {node} is {state:?}, and {who} should be Master"));
            let held = self.nodes[node].held.contains(&VIP);
            // A process that was killed leaves its address to the guard, which is not here.
            if self.rates.netlink == 0 && self.nodes[node].process.is_some() {
                self.demand("addresses", held == (node == who), || format!("node {node} has the address: {held}"));
            }
        }
    }

    fn stop(&mut self, node: usize) {
        if let Some(p) = self.nodes[node].process.as_mut() {
            p.exec.os().advance(self.now);
            p.exec.os().signal(signal::TERM);
        }
        self.after(node);
        self.run(Duration::from_millis(900));
        let (ended, last) = (self.nodes[node].ended, self.nodes[node].last.map(|(_, a)| a.priority));
        self.demand("it ends when asked to", ended == Some(ExitCode::Ok), || format!("node {node}: {ended:?}"));
        self.demand("a farewell is last", last == Some(0), || format!("node {node}: its last priority is {last:?}"));
        let held = self.nodes[node].held.contains(&VIP);
        if self.rates.netlink == 0 {
            self.demand("addresses", !held, || format!("node {node} has ended, and its address is there"));
        }
    }

    fn life(&mut self) {
        let (i, late) = (self.interval, LATE * 4);
        self.start(0);
        self.start(1);
        self.run(i * 6 + late);
        self.master(0);
        self.stop(0);
        self.run(i * 2 + late);
        self.master(1);
        self.start(0);
        self.run(i * 6 + late);
        self.master(0);
        // Killed: what it had armed goes with it.
        self.nodes[0].process = None;
        self.run(i * 5 + late);
        self.master(1);
        self.stop(1);
    }
}

fn sleep(p: &mut Process, now: Instant, rng: &mut Rng) {
    p.turn.sleep(&mut p.exec, &mut p.world);
    (p.until, p.wakes) = match p.exec.os().asleep.take() {
        Some(until) => (until, None),
        None => (None, Some(now + Duration::from_nanos(rng.range(1_000, 20_000)))),
    };
}

fn run(seed: u64, total: &mut Demanded) -> Option<String> {
    let mut pair = Pair::new(seed);
    pair.life();
    pair.demanded.0.iter().for_each(|(r, n)| *total.0.entry(r).or_default() += n);
    pair.wrong.map(|w| format!("{w}; every {:?}, {:?}", pair.interval, pair.rates))
}

#[test]
fn pairs() {
    let mut demanded = Demanded::default();
    for seed in 0..SEEDS {
        if let Some(wrong) = run(seed, &mut demanded) {
            panic!("seed {seed}: {wrong}\nagain: KALIVED_PAIR={seed} cargo test --test sim one_pair -- --nocapture");
        }
    }
    let mut text = format!("pair: {SEEDS} seeds\n");
    demanded.0.iter().for_each(|(rule, n)| text += &format!("  {rule}: demanded {n} times\n"));
    let _ = std::io::stderr().write_all(text.as_bytes());
}

#[test]
fn one_pair() {
    let seed = crate::number("KALIVED_PAIR").unwrap_or(1);
    assert_eq!(run(seed, &mut Demanded::default()), None, "seed {seed}");
}
