//! Whole routers: the shipped `World` on the shipped loop and its services, two or three of them on one LAN, each over a simulated ring.
//!
//! `tests/sim/run.rs` runs `World` alone with many faults; `run.rs` beside this file runs the loop with random requests. Here both are one
//! program, as it ships: adverts leave from armed chains, addresses go through rtnetlink, packets through provided buffers. A run has a
//! time with faults (loss, cut paths, pauses, crashes, and those of the ring), then a time without, and ends with SIGTERM on each node, the
//! Master first.
//!
//! Read first: `mod.rs`, `route.rs`. `KALIVED_ROUTERS=n cargo test --test sim one_set_of_routers -- --nocapture` repeats one run.

use super::buffers::Datagram;
use super::lan::{Shape, ancillary, name, own, priority};
use super::route::Route;
use super::run::each_seed;
use super::{Left, Lie, Rates, SimOs};
use crate::packet::{self, Advert};
use crate::rng::Rng;
use core::net::IpAddr;
use kalived::config::model::{Config, Family, InstanceConfig};
use kalived::daemon::Turn;
use kalived::daemon::exec::Exec;
use kalived::daemon::log::Sink;
use kalived::exit::ExitCode;
use kalived::process::line::Target;
use kalived::time::{Duration, Instant};
use kalived::vrrp::State;
use kalived::world::World;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

/// Seeds of a run of the test command.
const SEEDS: u64 = 400;
/// Seeds within which a canary must be detected.
const CANARY_SEEDS: u64 = 60;
/// Limit of the turns, which no run reaches without a fault in the code.
const TURNS: u64 = 2_000_000;
/// Operations that remain at the end: the receive of rtnetlink and the read of signals, and two receives for each virtual router.
const OPERATIONS: usize = 2;
/// Likewise: signals, rtnetlink, frames, the log, and three for each virtual router.
const FILES: usize = 4;
/// A node that has ended starts again after this time at most.
const DOWN: Duration = Duration::from_secs(3);
/// Longest pause of a node (SIGSTOP, or a host that stands still).
const PAUSE: u64 = 2_000;
/// Longest delay of a packet on the LAN.
const WIRE: u64 = 400_000;
/// Longest time from a completion to its turn, but for a stall.
const WAKE: u64 = 200_000;
/// Longest time that the repair of a lost message of netlink takes: a dump, and requests again (`reconcile`).
const REPAIR: Duration = Duration::from_secs(2);

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rule {
    /// A Master's adverts are one interval apart or less, whatever the loop is doing, unless a send failed.
    Steady,
    /// No advert leaves after a farewell, until the router runs again.
    Farewell,
    /// An address is announced after an advert of its router, and while the kernel has it.
    Announced,
    /// Connected nodes do not both have an address for long.
    Doubled,
    /// Some time after the last fault the node with the highest priority, and no other, has the addresses.
    Settled,
    /// After SIGTERM on the Master the next node takes over; a node that ends has no address.
    HandedOver,
    /// A buffer is returned once.
    Buffers,
    /// At the end no operation, buffer or descriptor is left.
    Leaks,
}

impl Rule {
    const ALL: [Rule; 8] = [
        Rule::Steady,
        Rule::Farewell,
        Rule::Announced,
        Rule::Doubled,
        Rule::Settled,
        Rule::HandedOver,
        Rule::Buffers,
        Rule::Leaks,
    ];
}

/// The results of runs.
#[derive(Default)]
struct Figures {
    seeds: u64,
    turns: u64,
    adverts: u64,
    simulated: Duration,
    demanded: BTreeMap<Rule, u64>,
    faults: BTreeMap<&'static str, u64>,
}

/// A process and the ring below it.
struct Process {
    exec: Exec<SimOs>,
    world: World,
    turn: Turn,
    /// When the next turn is; `None`: the loop sleeps.
    wake: Option<Instant>,
    /// Until when it sleeps.
    until: Option<Instant>,
}

struct Node {
    process: Option<Process>,
    /// Of a process that has ended: what its kernel still has.
    kernel: Route,
    /// When it starts again.
    start: Option<Instant>,
    /// It makes no turn before this time.
    paused: Instant,
    /// By virtual router.
    routers: Vec<Seen>,
}

/// What the LAN saw of a virtual router of one node.
#[derive(Clone, Default)]
struct Seen {
    /// The last advert that was no farewell.
    last: Option<Instant>,
    /// After a farewell, until the process ends or takes over.
    farewell: bool,
}

struct Run {
    seed: u64,
    rng: Rng,
    now: Instant,
    order: u64,
    rates: Rates,
    lie: Option<Lie>,
    shapes: Vec<Shape>,
    nodes: Vec<Node>,
    /// Datagrams on their way.
    lan: BTreeMap<(Instant, u64), (usize, Datagram, IpAddr)>,
    /// No packet goes from the first to the second.
    cut: BTreeSet<(usize, usize)>,
    loss: u32,
    /// What somebody deleted: it may be announced until the node knows.
    deleted: BTreeSet<(usize, IpAddr)>,
    chaos: bool,
    /// The last fault.
    shaken: Instant,
    /// By virtual router: since when two nodes have an address of it.
    doubled: Vec<Option<Instant>>,
    turns: u64,
    adverts: u64,
    wrong: Option<(Rule, String)>,
    demanded: BTreeMap<Rule, u64>,
    faults: BTreeMap<&'static str, u64>,
}

impl Run {
    fn draw(seed: u64, lie: Option<Lie>) -> Run {
        let mut rng = Rng::stream(seed, 0x110, 0);
        let nodes = rng.pick(&[2, 2, 3]);
        let shapes: Vec<Shape> = (0..rng.range(1, 3) as u8).map(|i| Shape::draw(i, &mut rng)).collect();
        let mut one = |most: u64| if rng.permille(400) { rng.below(most) as u32 } else { 0 };
        let rates = Rates {
            send: one(60),
            race: one(400),
            memory: one(10),
            receive: one(100),
            overflow: one(50),
            full: one(100),
            stream: 0,
            netlink: one(60),
            open: 0,
        };
        let loss = one(200);
        let now = Instant(1_000_000_000 + rng.below(1_000_000_000));
        let node = |_| Node {
            process: None,
            kernel: Route::default(),
            start: Some(now),
            paused: now,
            routers: vec![Seen::default(); shapes.len()],
        };
        Run {
            seed,
            now,
            order: 0,
            rates,
            lie,
            nodes: (0..nodes).map(node).collect(),
            doubled: vec![None; shapes.len()],
            shapes,
            lan: BTreeMap::new(),
            cut: BTreeSet::new(),
            loss,
            deleted: BTreeSet::new(),
            chaos: true,
            shaken: now,
            turns: 0,
            adverts: 0,
            wrong: None,
            demanded: BTreeMap::new(),
            faults: BTreeMap::new(),
            rng,
        }
    }

    fn demand(&mut self, rule: Rule, holds: bool, text: impl FnOnce() -> String) {
        *self.demanded.entry(rule).or_default() += 1;
        if !holds && self.wrong.is_none() {
            self.wrong = Some((rule, text()));
        }
    }

    fn longest(&self) -> Duration {
        self.shapes.iter().map(|s| s.interval).max().unwrap_or_default()
    }

    // ---- nodes

    fn start(&mut self, node: usize) {
        let n = &mut self.nodes[node];
        n.start = None;
        n.routers.fill(Seen::default());
        let rng = Rng::stream(self.seed, 0x111, self.turns << 8 | node as u64);
        let mut os = SimOs::new(self.now, rng, Rates::default(), self.lie);
        os.route = core::mem::take(&mut n.kernel);
        os.route.own = [own(node, Family::V4), own(node, Family::V6)].into();
        let signals = os.open().expect("no fault is on yet");
        let mut exec = Exec::new(os, signals, Sink::with_fd(Target::Console, true, None), self.rng.permille(500))
            .expect("the simulated system has everything");
        exec.os().rates = if self.chaos { self.rates } else { Rates::default() };
        let mut world = World::new(self.config(node));
        let turn = Turn::begin(&mut exec, &mut world);
        self.nodes[node].process = Some(Process { exec, world, turn, wake: None, until: None });
        self.sleep(node);
    }

    fn config(&self, node: usize) -> Config {
        let mut config = Config::default();
        for (i, s) in self.shapes.iter().enumerate() {
            let mut c = InstanceConfig::new(&format!("VI_{i}"), crate::options::IFACE, s.vrid, s.family);
            c.version = s.version;
            c.priority = priority(node);
            c.advert_int = s.interval;
            c.vips = s.vips.iter().map(|a| crate::options::vip(*a)).collect();
            c.garp.delay = s.interval * crate::options::GARP_DELAY;
            config.instances.push(c);
        }
        config
    }

    /// Ends a node without warning. Its kernel keeps what it has.
    fn crash(&mut self, node: usize) {
        if let Some(mut p) = self.nodes[node].process.take() {
            self.nodes[node].kernel = core::mem::take(&mut p.exec.os().route);
            let after = Duration::from_nanos(self.rng.below(DOWN.as_nanos() as u64));
            self.nodes[node].start = Some(self.now + after);
        }
    }

    /// The loop goes to sleep, or makes another turn at once.
    fn sleep(&mut self, node: usize) {
        use kalived::sys::os::Ops;
        let again = Duration::from_nanos(self.rng.range(1_000, 20_000));
        let Some(p) = &mut self.nodes[node].process else { return };
        p.turn.sleep(&mut p.exec, &mut p.world);
        let os = p.exec.os();
        match os.asleep.take() {
            // What did not fit into the queue is there now: the wait ends at once.
            Some(until) if os.queued() == 0 => (p.until, p.wake) = (until, None),
            _ => p.wake = Some(os.now + again),
        }
        self.look(node);
    }

    /// The time until which nothing happens on a node.
    fn next(&mut self, node: usize) -> Option<Instant> {
        let n = &mut self.nodes[node];
        let Some(p) = &mut n.process else { return n.start };
        let due = p.exec.os().next_due();
        let next = kalived::time::earliest(p.wake.or(p.until), due);
        next.map(|at| at.max(n.paused))
    }

    /// Time has passed on a node: what is due there is done, and its loop wakes up or makes its turn.
    fn pass(&mut self, node: usize) {
        use kalived::sys::os::Ops;
        let n = &mut self.nodes[node];
        let Some(p) = &mut n.process else {
            if n.start.is_some_and(|at| at <= self.now) {
                self.start(node);
            }
            return;
        };
        if self.now < n.paused {
            // A process that does not run sends nothing either: its chains go on in its own context.
            return;
        }
        let os = p.exec.os();
        os.advance(self.now);
        let ready = os.queued() > 0 || p.until.is_some_and(|at| at <= self.now);
        if p.wake.is_none() && ready {
            // Long work of the loop, during which the kernel sends what is armed. The advert that follows is armed in time.
            let stall = self.shapes.iter().map(|s| s.interval).min().unwrap_or_default() * 4 / 10;
            let most = if self.rng.permille(3) { stall.as_nanos() as u64 } else { WAKE };
            p.wake = Some(self.now + Duration::from_nanos(self.rng.below(most)));
        }
        let runs = p.wake.is_some_and(|at| at <= self.now);
        self.look(node);
        if runs {
            self.turn(node);
        }
    }

    fn turn(&mut self, node: usize) {
        self.turns += 1;
        let Some(p) = &mut self.nodes[node].process else { return };
        let code = p.turn.wake(&mut p.exec, &mut p.world);
        if let Err(wrong) = p.exec.os().buffers_held() {
            self.demand(Rule::Buffers, false, || wrong);
        }
        match code {
            None => {
                self.sleep(node);
                self.states(node);
            }
            Some(code) => self.ended(node, code),
        }
    }

    /// A router that is not Master advertises nothing; one that is advertises in time.
    fn states(&mut self, node: usize) {
        let paused = self.nodes[node].paused;
        let Some(p) = &self.nodes[node].process else { return };
        for v in p.world.views() {
            let Some(i) = self.shapes.iter().position(|s| s.vrid == v.vrid && s.family == v.family) else { continue };
            let interval = self.shapes[i].interval;
            let seen = &mut self.nodes[node].routers[i];
            if v.state != State::Master {
                seen.last = None;
            }
            let silent = seen.last.filter(|last| *last >= paused).map(|last| self.now.since(last));
            if let Some(silent) = silent.filter(|_| self.sure()) {
                let log = if silent <= interval { String::new() } else { self.log() };
                self.demand(Rule::Steady, silent <= interval, || {
                    format!("node {node}, VI_{i}: no advert for {silent:?}\n{log}")
                });
            }
        }
    }

    /// No send fails in this run.
    fn sure(&self) -> bool {
        self.rates.send == 0 && self.rates.memory == 0
    }

    fn ended(&mut self, node: usize, code: ExitCode) {
        use kalived::sys::os::Ops;
        self.look(node);
        let Some(mut p) = self.nodes[node].process.take() else { return };
        let os = p.exec.os();
        let (operations, files) = (os.in_flight(), os.open_files());
        let held = os.buffers_held().unwrap_or(usize::MAX);
        let given = os.buffers_given();
        let log = String::from_utf8_lossy(&os.log).into_owned();
        os.faults.iter().for_each(|(f, n)| *self.faults.entry(f).or_default() += n);
        self.nodes[node].kernel = core::mem::take(&mut os.route);
        *self.demanded.entry(Rule::Buffers).or_default() += given;
        self.demand(Rule::HandedOver, code == ExitCode::Ok, || format!("node {node} ended with {code:?}\n{log}"));
        let routers = self.shapes.len();
        let left: Vec<IpAddr> = self.nodes[node].kernel.addrs.keys().map(|(a, _)| *a).collect();
        self.demand(Rule::HandedOver, left.is_empty(), || format!("node {node} left {left:?} in the kernel\n{log}"));
        self.demand(Rule::Leaks, operations <= OPERATIONS + 2 * routers, || {
            format!("{operations} operations in flight at the end")
        });
        self.demand(Rule::Leaks, files <= FILES + 3 * routers, || format!("{files} descriptors open at the end"));
        self.demand(Rule::Leaks, held == 0, || format!("{held} buffers held at the end"));
    }

    fn route(&mut self, node: usize) -> &Route {
        let n = &mut self.nodes[node];
        match &mut n.process {
            Some(p) => &p.exec.os().route,
            None => &n.kernel,
        }
    }

    fn has(&mut self, node: usize, router: usize) -> bool {
        let vips = self.shapes[router].vips.clone();
        let route = self.route(node);
        vips.iter().any(|v| route.addrs.keys().any(|(a, _)| a == v))
    }

    fn owners(&mut self, router: usize) -> Vec<usize> {
        // A node without a process is a host that is off: its addresses do not count.
        (0..self.nodes.len()).filter(|n| self.nodes[*n].process.is_some() && self.has(*n, router)).collect()
    }

    fn log(&mut self) -> String {
        let mut out = String::new();
        for (i, n) in self.nodes.iter_mut().enumerate() {
            if let Some(p) = &mut n.process {
                let os = p.exec.os();
                out += &format!("node {i}, addresses {:?}:\n{}", os.route.addrs, String::from_utf8_lossy(&os.log));
            }
        }
        out
    }

    // ---- the LAN

    /// What left a node since the last look.
    fn look(&mut self, node: usize) {
        let Some(p) = &mut self.nodes[node].process else { return };
        for (at, what) in core::mem::take(&mut p.exec.os().left) {
            match what {
                Left::Packet(bytes) => {
                    if let Some(advert) = packet::advert(&bytes) {
                        self.advert(node, at, &advert);
                        self.transmit(node, at, &advert, &bytes);
                    }
                }
                Left::Frame(bytes) => {
                    if let Some((addr, _)) = packet::announcement(&bytes) {
                        self.announced(node, addr);
                    }
                }
            }
        }
    }

    fn advert(&mut self, node: usize, at: Instant, advert: &Advert) {
        let family = Family::of(&advert.src);
        let Some(i) = self.shapes.iter().position(|s| s.vrid == advert.vrid && s.family == family) else { return };
        self.adverts += 1;
        let interval = self.shapes[i].interval;
        let seen = self.nodes[node].routers[i].clone();
        // After a pause the intervals count anew.
        let sure = self.sure() && seen.last.is_some_and(|last| last >= self.nodes[node].paused);
        if let Some(last) = seen.last.filter(|_| sure && advert.priority > 0) {
            let gap = at.since(last);
            let log = if gap <= interval { String::new() } else { self.log() };
            self.demand(Rule::Steady, gap <= interval, || {
                format!("at {at:?}: node {node}, VI_{i}: {gap:?} between adverts\n{log}")
            });
        }
        if advert.priority > 0 {
            self.demand(Rule::Farewell, !seen.farewell, || {
                format!("node {node}, VI_{i}: an advert after the farewell")
            });
        }
        let seen = &mut self.nodes[node].routers[i];
        seen.farewell = advert.priority == 0;
        seen.last = (advert.priority > 0).then_some(at);
    }

    fn announced(&mut self, node: usize, addr: IpAddr) {
        let Some(i) = self.shapes.iter().position(|s| s.vips.contains(&addr)) else { return };
        let seen = self.nodes[node].routers[i].clone();
        let quiet = self.sure();
        self.demand(Rule::Announced, seen.last.is_some() || !quiet, || {
            format!("node {node}, VI_{i}: {addr} was announced before an advert")
        });
        let there = self.route(node).addrs.keys().any(|(a, _)| *a == addr);
        let there = there || self.deleted.contains(&(node, addr));
        self.demand(Rule::Announced, there, || format!("node {node}, VI_{i}: {addr} was announced and is not there"));
    }

    fn transmit(&mut self, from: usize, at: Instant, advert: &Advert, bytes: &[u8]) {
        let (payload, control) = match advert.src {
            IpAddr::V4(_) => (bytes.to_vec(), Vec::new()),
            IpAddr::V6(_) => (bytes[40..].to_vec(), ancillary(advert.dst, bytes[7])),
        };
        let datagram = Datagram { name: name(advert.src), control, payload };
        for to in 0..self.nodes.len() {
            let lost = self.cut.contains(&(from, to)) || (self.chaos && self.rng.permille(self.loss));
            if to != from && !lost {
                self.order += 1;
                let delay = Duration::from_nanos(self.rng.range(1_000, WIRE));
                // A packet does not overtake the one before it by chance alone: times differ by less than an interval.
                self.lan.insert((at + delay, self.order), (to, datagram.clone(), advert.dst));
            }
        }
    }

    fn arrive(&mut self) {
        while let Some(entry) = self.lan.first_entry().filter(|e| e.key().0 <= self.now) {
            let (to, datagram, group) = entry.remove();
            let paused = self.now < self.nodes[to].paused;
            if let Some(p) = &mut self.nodes[to].process {
                let os = p.exec.os();
                if !paused {
                    os.advance(self.now);
                }
                os.multicast(group, &datagram);
            }
        }
    }

    // ---- time and faults

    /// Runs until `end`, or until a rule is broken.
    fn until(&mut self, end: Instant) {
        while self.now < end && self.wrong.is_none() {
            let mut next = kalived::time::earliest(Some(end), self.lan.first_key_value().map(|((at, _), _)| *at));
            for node in 0..self.nodes.len() {
                next = kalived::time::earliest(next, self.next(node));
            }
            self.now = self.now.max(next.unwrap_or(end));
            self.arrive();
            for node in 0..self.nodes.len() {
                self.pass(node);
            }
            self.compare();
            if self.turns > TURNS {
                self.demand(Rule::Leaks, false, || "it does not end".into());
            }
        }
    }

    /// Two nodes with one address, while nothing disturbs them.
    fn compare(&mut self) {
        for i in 0..self.shapes.len() {
            let owners = self.owners(i);
            if owners.len() < 2 {
                self.doubled[i] = None;
                continue;
            }
            if !self.cut.is_empty() || (self.chaos && self.loss > 0) {
                self.shaken = self.shaken.max(self.now);
            }
            let since = *self.doubled[i].get_or_insert(self.now);
            let bound = self.shapes[i].interval * 4 + REPAIR;
            let lasts = self.now.since(since.max(self.shaken));
            let now = self.now;
            self.demand(Rule::Doubled, lasts <= bound, || {
                format!("at {now:?}: VI_{i} is on the nodes {owners:?} for {lasts:?}")
            });
        }
    }

    fn fault(&mut self) {
        let node = self.rng.below(self.nodes.len() as u64) as usize;
        self.shaken = self.now;
        match self.rng.below(5) {
            0 => {
                let pause = Duration::from_millis(self.rng.below(PAUSE));
                self.nodes[node].paused = self.now + pause;
                self.shaken = self.now + pause;
                *self.faults.entry("pause").or_default() += 1;
            }
            1 => {
                self.crash(node);
                self.shaken = self.now + DOWN;
                *self.faults.entry("crash").or_default() += 1;
            }
            2 => {
                let to = (node + 1) % self.nodes.len();
                self.cut.insert((node, to));
                *self.faults.entry("cut").or_default() += 1;
            }
            3 => self.cut.clear(),
            _ => {
                let os = self.nodes[node].process.as_mut().map(|p| p.exec.os());
                // Somebody deletes an address by hand.
                if let Some(os) = os
                    && let Some((key, ())) = os.route.addrs.pop_first()
                {
                    os.deleted(key.0, key.1);
                    self.deleted.insert((node, key.0));
                    *self.faults.entry("address deleted").or_default() += 1;
                }
            }
        }
    }

    /// The time with faults, the time without, and the end of each node in turn.
    fn whole(&mut self) {
        let longest = self.longest();
        for _ in 0..self.rng.range(4, 12) {
            let wait = Duration::from_nanos(self.rng.below(3 * longest.as_nanos() as u64));
            self.until(self.now + wait);
            self.fault();
        }
        (self.chaos, self.loss) = (false, 0);
        self.cut.clear();
        self.rates = Rates { send: self.rates.send, memory: self.rates.memory, ..Rates::default() };
        for n in &mut self.nodes {
            if let Some(p) = &mut n.process {
                p.exec.os().rates = Rates::default();
            }
            n.paused = n.paused.min(self.now);
        }
        self.shaken = self.now + DOWN;
        let settle = DOWN + longest * 8 + REPAIR;
        self.until(self.now + settle);
        self.rates = Rates::default();
        for first in (0..self.nodes.len()).rev() {
            if self.wrong.is_some() {
                return;
            }
            self.settled(first);
            let Some(p) = &mut self.nodes[first].process else { return };
            p.exec.os().signal(kalived::sys::signal::TERM);
            self.until(self.now + longest * 5 + REPAIR);
            let gone = self.nodes[first].process.is_none();
            self.demand(Rule::HandedOver, gone, || format!("node {first} does not end"));
        }
    }

    /// The node with the highest priority of those that run has the addresses.
    fn settled(&mut self, first: usize) {
        for i in 0..self.shapes.len() {
            let owners = self.owners(i);
            let log = if owners == [first] { String::new() } else { self.log() };
            let rule = if first + 1 == self.nodes.len() { Rule::Settled } else { Rule::HandedOver };
            self.demand(rule, owners == [first], || {
                format!("VI_{i} is on the nodes {owners:?}, not on {first}\n{log}")
            });
            let wanted = self.shapes[i].vips.len();
            let vips = self.shapes[i].vips.clone();
            let there = self.route(first).addrs.keys().filter(|(a, _)| vips.contains(a)).count();
            self.demand(rule, there == wanted, || format!("VI_{i}: {there} of {wanted} addresses are there\n{log}"));
        }
    }
}

fn run(seed: u64, lie: Option<Lie>, figures: &mut Figures) -> Option<(Rule, String)> {
    let mut run = Run::draw(seed, lie);
    let start = run.now;
    run.whole();
    for n in &mut run.nodes {
        if let Some(p) = &mut n.process {
            p.exec.os().faults.iter().for_each(|(f, n)| *run.faults.entry(f).or_default() += n);
        }
    }
    figures.seeds += 1;
    figures.turns += run.turns;
    figures.adverts += run.adverts;
    figures.simulated += run.now.since(start);
    run.demanded.iter().for_each(|(r, n)| *figures.demanded.entry(*r).or_default() += n);
    run.faults.iter().for_each(|(f, n)| *figures.faults.entry(f).or_default() += n);
    run.wrong
}

fn report(f: &Figures) -> String {
    let mut out = format!(
        "routers: {} seeds, {} turns, {} adverts, {:.0?} of virtual time\n",
        f.seeds, f.turns, f.adverts, f.simulated
    );
    for rule in Rule::ALL {
        let n = f.demanded.get(&rule).copied().unwrap_or(0);
        out += &format!("  {rule:?}: demanded {n} times\n");
    }
    let faults: Vec<String> = f.faults.iter().map(|(f, n)| format!("{f} {n}")).collect();
    out + "  faults: " + &faults.join(", ") + "\n"
}

#[test]
fn routers() {
    let mut figures = Figures::default();
    let seeds = crate::number("KALIVED_SEEDS").map_or(SEEDS, |n| n / 20);
    each_seed(seeds, ("KALIVED_ROUTERS", "one_set_of_routers"), |seed| run(seed, None, &mut figures));
    let _ = std::io::stderr().write_all(report(&figures).as_bytes());
    for rule in Rule::ALL {
        assert!(figures.demanded.get(&rule).is_some_and(|n| *n > 0), "{rule:?} was never demanded");
    }
}

#[test]
fn one_set_of_routers() {
    let seed = crate::number("KALIVED_ROUTERS").unwrap_or(1);
    let mut figures = Figures::default();
    let wrong = run(seed, None, &mut figures);
    println!("{}", report(&figures));
    if let Some((rule, text)) = wrong {
        panic!("seed {seed}: {rule:?}: {text}");
    }
}

/// The canaries of the ring that a whole router shows, and the rules that detect them; `run.rs` has the others.
#[test]
fn every_lie_about_routers_is_noticed() {
    let lies: [(Lie, &[Rule]); 3] = [
        (Lie::DropCompletion, &[Rule::Steady, Rule::Settled, Rule::Doubled, Rule::HandedOver, Rule::Leaks]),
        (Lie::LoseAnswer, &[Rule::Settled, Rule::HandedOver, Rule::Doubled, Rule::Announced]),
        (Lie::GiveTwice, &[Rule::Buffers]),
    ];
    for (lie, rules) in lies {
        let found = (0..CANARY_SEEDS).find_map(|seed| run(seed, Some(lie), &mut Figures::default()));
        let (rule, text) = found.unwrap_or_else(|| panic!("{lie:?} was not noticed within {CANARY_SEEDS} seeds"));
        assert!(rules.contains(&rule), "{lie:?} was noticed by {rule:?}: {text}");
    }
}
