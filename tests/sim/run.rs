//! One run of one seed: nodes, network and faults on a virtual clock, in two phases. First there are faults, and every invariant is
//! checked at every step; then all faults end, and what must happen in a healthy network is checked. At the end the Master of the
//! first group is stopped or killed.
//!
//! Read first: `ground.rs`, `node.rs`. The order of a turn is that of the daemon's loop: completions that were queued, then
//! timers, then effects. A pause releases armed adverts before what was received is handled, as the kernel does.

use crate::auth::AllSeen;
use crate::faults::Class;
use crate::ground::{Clock, Fact, Ground, NodeGround, Vr};
use crate::invariants::{Checkers, Id, liveness_bounds};
use crate::kernel::{Kernel, Msg};
use crate::net::{self, Flight, Paths};
use crate::node::{Completion, Node};
use crate::options::{Options, Without};
use crate::recording::Replayed;
use crate::reload::Variation;
use crate::rng::Rng;
use crate::scripts::{Check, Mode};
use crate::trace::{Figures, Trace};
use core::net::IpAddr;
use core::time::Duration;
use kalived::config::model::Family;
use kalived::effect::{FilterOp, NetOp};
use kalived::event::{ChildEnd, Errno, ReqId, Signal};
use kalived::id::{ChildKey, FifoKey};
use kalived::time::Instant;
use kalived::vrrp::State;
use kalived::world::World;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// Limit of the events of a run, which no run of the drawn length reaches without a fault in the code.
const EVENTS: u64 = 400_000;
/// Streams of `Rng::stream` for what is no fault class.
const NODE: u64 = 0x20;
const PATHS: u64 = 0x21;
const SCRIPT: u64 = 0x22;
const PROGRAMS: u64 = 0x23;

/// A canary: a fault in the simulation itself, which the checkers must detect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// Adverts arrive with priority 1: nobody yields.
    LowerPriorities,
    /// Adverts arrive with priority 254: nobody preempts.
    RaisePriorities,
    /// Sometimes an armed advert leaves twice.
    Stutter,
    /// Armed adverts cannot be cancelled.
    KeepArmed,
    /// Addresses are never really deleted.
    KeepAddresses,
    /// Adverts with priority 0 vanish.
    SwallowFarewell,
    /// Timers are dispatched half an interval before they are due.
    EagerTimers,
    /// Timers are dispatched before what was received.
    TimersFirst,
    /// A priority-0 advert is not sent on SIGTERM: the process is killed instead.
    KillForTerm,
    /// Gratuitous ARP and unsolicited NA do not reach the client.
    SwallowFrames,
    /// The last gratuitous ARP or NA of a slice is lost, and reported as sent.
    LoseFrames,
    /// Each leaves twice.
    RepeatFrames,
    /// Half of the time the loop wakes late, by half an interval.
    LateWakes,
    /// A successor receives a time of the last armed advert that is an interval too early.
    EarlyHeir,
    /// A successor receives the present time as the time of the previous process's death.
    LateHeir,
    /// Hooks that say MASTER are not run.
    LoseWords,
    /// Every line is written to the pipe twice.
    RepeatWords,
    /// A dropped packet is taken for a lost netlink message.
    HeedNoise,
    /// An interface that comes back is not reported.
    DeafToLinks,
    /// Routes are never really deleted.
    KeepRoutes,
    /// Routes are never really added.
    NoRoutes,
    /// Virtual routes are never really deleted.
    KeepVirtual,
    /// Rules are never really deleted.
    KeepRules,
    /// Rules are never really added.
    NoRules,
    /// Own interfaces of virtual routers do not really go down.
    KeepUp,
    /// They are never really deleted.
    KeepLinks,
    /// The filter is never really put in force.
    NoFilter,
    /// It is never really removed.
    KeepFilter,
    /// The clock of one node is a fifth too slow.
    SlowClock,
    /// The clock of one node is a fifth too fast.
    FastClock,
    /// Signed adverts arrive with a wrong signature.
    RefuseSigned,
    /// An attacker's adverts arrive with a right signature.
    AcceptForged,
    /// A frozen process receives the report that a successor is in charge.
    ForgetCustody,
}

/// What is in the queue.
#[derive(Clone, Debug)]
pub enum Work {
    /// A turn of a loop, if it is still due at this time.
    Turn { node: usize },
    /// Armed adverts are due.
    ArmedDue { node: usize },
    /// A packet arrives.
    Deliver(Flight),
    /// The kernel executes a request.
    Netlink { node: usize, incarnation: u32, req: ReqId, op: NetOp },
    /// The kernel changes the filter.
    Filter { node: usize, incarnation: u32, req: ReqId, op: FilterOp },
    /// The kernel answers the first half of a dump, the links, or the second, the addresses.
    Dump { node: usize, incarnation: u32, addrs: bool },
    /// A process is started.
    Boot { node: usize },
    /// A successor begins.
    Go { node: usize },
    /// A frozen process that holds addresses wakes.
    Custody { node: usize },
    /// A fault begins or ends.
    Fault { class: Class, node: usize, begins: bool },
    /// A program ends.
    ProgramEnds { node: usize, incarnation: u32, child: ChildKey, end: ChildEnd },
    /// A program reads from a full pipe.
    PipeRoom { node: usize, incarnation: u32, fifo: FifoKey },
    /// The result of a slice of frames is reported.
    FramesSent { node: usize, incarnation: u32, ifindex: u32, batch: u64, sent: usize, errno: Option<Errno> },
    /// Duplicate address detection is over.
    DadOver { node: usize },
    /// The client receives an announcement.
    ClientHears { addr: IpAddr, mac: [u8; 6] },
}

struct Item {
    at: Instant,
    order: u64,
    work: Work,
}
impl PartialEq for Item {
    fn eq(&self, o: &Self) -> bool {
        (self.at, self.order) == (o.at, o.order)
    }
}
impl Eq for Item {}
impl PartialOrd for Item {
    fn partial_cmp(&self, o: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(o))
    }
}
impl Ord for Item {
    fn cmp(&self, o: &Self) -> core::cmp::Ordering {
        (self.at, self.order).cmp(&(o.at, o.order))
    }
}

/// What was violated, and how.
#[derive(Clone, Debug)]
pub struct Violation {
    /// An `Id`, or another word.
    pub what: String,
    /// As text.
    pub text: String,
    /// When.
    pub at: Instant,
}

/// How a run is to be done.
#[derive(Clone, Debug, Default)]
pub struct How {
    /// What the shrinker removed.
    pub without: Without,
    /// A canary.
    pub sabotage: Option<Sabotage>,
    /// Check this alone.
    pub only: Option<Id>,
    /// Keep the trace.
    pub keep: bool,
    /// And the log.
    pub verbose: bool,
    /// Processes are recorded, in segments of so many bytes.
    pub recorded: Option<usize>,
}

/// The result of a run.
pub struct Outcome {
    /// Of everything that happened.
    pub hash: u64,
    /// The first violation.
    pub violation: Option<Violation>,
    /// For the report.
    pub figures: Figures,
    /// If kept.
    pub story: String,
    /// Of its recordings.
    pub replayed: Replayed,
}

/// See the module.
pub struct Sim {
    pub ground: Ground,
    pub nodes: Vec<Node>,
    pub paths: Paths,
    /// Faults are happening.
    pub chaos: bool,
    pub sabotage: Option<Sabotage>,
    pub trace: Trace,
    pub figures: Figures,
    /// The client's neighbour cache.
    pub client: BTreeMap<IpAddr, [u8; 6]>,
    checkers: Checkers,
    queue: BinaryHeap<Reverse<Item>>,
    order: u64,
    pub violation: Option<Violation>,
    pub fault_rngs: Vec<Vec<Rng>>,
    /// By node: how long programs take.
    pub programs_rng: Vec<Rng>,
    /// By node.
    pub checks: Vec<[Check; 2]>,
    pub one_way: Vec<Option<usize>>,
    pub isolated: Vec<bool>,
    pub script: Rng,
    /// What each node's file says, and what it was drawn to say.
    pub variations: Vec<Variation>,
    pub drawn: Vec<Variation>,
    pub reloading_since: Vec<Option<Instant>>,
    /// Processes are recorded, in segments of so many bytes.
    pub recorded: Option<usize>,
    pub replayed: Replayed,
    /// Sequences of signed adverts.
    pub seen: AllSeen,
}

/// Runs a seed.
pub fn run(seed: u64, how: &How) -> Outcome {
    let opts = Options::draw(seed, &how.without);
    let mut sim = Sim::new(opts, how);
    sim.play();
    sim.check_recordings();
    let nodes = sim.nodes.len();
    let mut figures = sim.figures;
    for (id, worst) in sim.checkers.worst() {
        figures.worst[id as usize].merge(worst);
    }
    figures.seeds = 1;
    figures.longest = (figures.events, seed);
    let story = if how.keep { sim.trace.story(nodes) } else { String::new() };
    Outcome { hash: sim.trace.hash(), violation: sim.violation, figures, story, replayed: sim.replayed }
}

impl Sim {
    pub fn new(opts: Options, how: &How) -> Sim {
        let (n, seed) = (opts.nodes, opts.seed);
        let mut script = Rng::stream(seed, SCRIPT, 0);
        let now = Instant(1_000_000_000 + script.below(5_000_000_000));
        let mut nodes: Vec<Node> = (0..n)
            .map(|i| {
                let own = vec![(opts.address(i, Family::V4), 24), (opts.address(i, Family::V6), 64)];
                let mut rng = Rng::stream(seed, NODE, i as u64);
                Node {
                    kernel: Kernel::new(i, own),
                    process: None,
                    incarnation: 0,
                    turn_at: None,
                    last_turn: now,
                    born: now,
                    netlink_free: now,
                    clock: Clock { uptime: rng.below(1_000_000_000_000), ppm: opts.ppm[i] },
                    wall: 1_700_000_000_000_000_000 + rng.below(1_000_000_000),
                    set: 0,
                    overrun: false,
                    lost: false,
                    losses: 0,
                    dump_losses: 0,
                    open: Default::default(),
                    netlink_errors: false,
                    asked_to_stop: false,
                    snapshot: None,
                    orders: None,
                    leaving: Vec::new(),
                    custodian: None,
                    heir_of: 0,
                    socket_errors: false,
                    send_errors: false,
                    rng,
                }
            })
            .collect();
        let vr = Vr { state: State::Init, listed: false, since: now, from: State::Init, left_master: None };
        let node_ground = NodeGround {
            alive: false,
            paused: false,
            stalled: false,
            handing: false,
            mute: false,
            stale: true,
            fit: true,
            passes: true,
            sockless: false,
            netlink_sick: false,
            touched: now,
            netlink_touched: Instant::default(),
            clock_touched: now,
            vr: vec![vr; opts.groups.len()],
            spare: vec![false; opts.groups.len()],
            vips: opts.groups.iter().map(|g| vec![false; g.vips.len()]).collect(),
        };
        let extra = opts.rates[Class::Delay as usize].extra;
        let paths = Paths::draw(&mut Rng::stream(seed, PATHS, 0), n, opts.wire, extra);
        let fault_rngs = Class::ALL.map(|c| (0..n).map(|i| c.stream(seed, i)).collect()).to_vec();
        let drawn: Vec<Variation> = (0..n).map(|i| Variation::drawn(&opts, i)).collect();
        let clocks = nodes.iter().map(|n| n.clock).collect();
        match how.sabotage {
            Some(Sabotage::SlowClock) => nodes[0].clock.ppm = -200_000,
            Some(Sabotage::FastClock) => nodes[0].clock.ppm = 200_000,
            _ => {}
        }
        let ground = Ground {
            now,
            clocks,
            nodes: vec![node_ground; n],
            cut: vec![vec![0; n]; n],
            cut_touched: vec![vec![now; n]; n],
            delay: opts.delay_with_faults(),
            lateness: opts.wake + crate::turn::TURN * (opts.groups.len() as u32 + 1),
            healed: None,
            opts,
        };
        Sim {
            checkers: Checkers::new(&ground, how.only),
            ground,
            nodes,
            paths,
            chaos: true,
            sabotage: how.sabotage,
            trace: Trace::new(how.keep, how.verbose),
            figures: Figures::default(),
            client: BTreeMap::new(),
            queue: BinaryHeap::new(),
            order: 0,
            violation: None,
            fault_rngs,
            programs_rng: (0..n).map(|i| Rng::stream(seed, PROGRAMS, i as u64)).collect(),
            checks: vec![[Check { mode: Mode::Good, since: now }; 2]; n],
            one_way: vec![None; n],
            isolated: vec![false; n],
            script,
            variations: drawn.clone(),
            drawn,
            reloading_since: vec![None; n],
            recorded: how.recorded,
            replayed: Replayed::default(),
            seen: AllSeen::default(),
        }
    }

    // ---- the script of a run ----

    pub fn play(&mut self) {
        let start = self.ground.now;
        let unit = self.unit();
        for node in 0..self.nodes.len() {
            let wait = Duration::from_nanos(self.nodes[node].rng.below(3 * unit));
            self.after(wait, Work::Boot { node });
            for class in Class::ALL.into_iter().filter(|c| !c.per_packet()) {
                self.schedule(class, node);
            }
        }
        let end = start + self.ground.opts.chaos;
        let most = self.ground.opts.chaos_events;
        self.until(end, most);
        self.heal();
        // No packet that was delayed before the end of the faults is older than this.
        let checked = self.ground.opts.checks.map_or(Duration::ZERO, |c| c.interval * 2 + c.patience());
        let settled = self.ground.now + self.ground.delay.max(checked) + self.ground.lateness * 2;
        self.until(settled, EVENTS);
        self.ground.delay = self.ground.opts.wire;
        self.ground.healed = Some(self.ground.now);
        for n in &mut self.ground.nodes {
            n.touched = self.ground.now;
        }
        let (_, rest) = liveness_bounds(&self.ground);
        let longest =
            self.ground.opts.groups.iter().flat_map(|g| &g.members).map(|m| m.interval).max().unwrap_or_default();
        self.until(self.ground.now + rest + longest * 3, EVENTS);
        self.check_client();
        self.routes_are_right();
        self.links_are_right();
        self.fact(Fact::Quiet);
        self.pass_on(longest);
        self.routes_are_right();
        self.links_are_right();
        self.fact(Fact::Quiet);
        match self.script.permille(300) && self.sabotage.is_none() || self.sabotage == Some(Sabotage::ForgetCustody) {
            true => self.hand_to_nobody(),
            false => self.last_act(),
        }
        self.figures.simulated = u128::from(self.ground.now.0 - start.0);
    }

    /// The Master of the first group is stopped or killed; another node must take over in time.
    fn last_act(&mut self) {
        let Some(node) = self.ground.masters(0).next() else { return };
        let stop = self.script.permille(500) || self.sabotage == Some(Sabotage::KillForTerm);
        let longest = (0..self.nodes.len())
            .flat_map(|n| (0..self.ground.opts.groups.len()).map(move |g| (n, g)))
            .map(|(n, g)| self.ground.longest_mdi(n, g))
            .max()
            .unwrap_or_default();
        if stop {
            self.fact(Fact::AskedToStop { node });
            if self.sabotage == Some(Sabotage::KillForTerm) {
                self.end(node);
            } else {
                self.complete(node, Completion::Signal(Signal::Term));
            }
        } else {
            self.end(node);
        }
        let until = self.ground.now + longest + self.ground.delay * 2 + self.ground.lateness * 4;
        self.until(until, EVENTS);
        if self.violation.is_none() {
            for group in 0..self.ground.opts.groups.len() {
                let left = (0..self.nodes.len()).any(|n| n != node && !self.ground.stranger(n, group));
                if left && self.ground.masters(group).count() != 1 {
                    let count = self.ground.masters(group).count();
                    self.violate("L1".into(), format!("group {group}: {count} Masters after node {node} went"));
                }
            }
        }
    }

    /// Handles events up to a time or a number of them, or until something is violated.
    pub fn until(&mut self, end: Instant, events: u64) {
        let limit = self.figures.events + events;
        while self.violation.is_none() && self.figures.events < limit {
            let Some(next) = self.queue.peek().map(|i| i.0.at).filter(|at| *at <= end) else {
                break;
            };
            if next > self.ground.now {
                self.ground.now = next;
                // A state that has not changed lasted until now.
                self.fact(Fact::Tick);
            }
            let Some(Reverse(item)) = self.queue.pop() else { break };
            self.figures.events += 1;
            if self.figures.events > EVENTS {
                self.violate("storm".into(), format!("more than {EVENTS} events"));
            }
            self.work(item.at, item.work);
        }
        if self.violation.is_none() && self.figures.events < limit && end > self.ground.now {
            self.ground.now = end;
            self.fact(Fact::Tick);
        }
    }

    fn work(&mut self, at: Instant, work: Work) {
        match work {
            Work::Turn { node } => {
                if self.nodes[node].turn_at == Some(at) {
                    self.nodes[node].turn_at = None;
                    self.turn(node);
                }
            }
            Work::ArmedDue { node } => self.armed_due(node),
            Work::Deliver(flight) => net::deliver(self, flight),
            Work::Netlink { node, incarnation, req, op } => {
                if self.nodes[node].incarnation == incarnation && self.nodes[node].process.is_some() {
                    self.netlink(node, req, &op);
                } else if self.nodes[node].heir_of <= incarnation && self.nodes[node].process.is_some() {
                    self.netlink_of_another(node, &op);
                }
            }
            Work::Filter { node, incarnation, req, op } => {
                let n = &self.nodes[node];
                if n.incarnation == incarnation && n.process.is_some() {
                    self.filter_change(node, req, &op);
                } else if n.heir_of <= incarnation && n.process.is_some() {
                    self.filter_apply(node, &op, incarnation);
                }
            }
            Work::Dump { node, incarnation, addrs } => {
                if self.nodes[node].incarnation == incarnation && self.nodes[node].process.is_some() {
                    self.dump(node, addrs);
                }
            }
            Work::Boot { node } => self.boot(node),
            Work::Go { node } => self.go(node),
            Work::Custody { node } => self.custody(node),
            Work::Fault { class, node, begins } => self.fault(class, node, begins),
            Work::ProgramEnds { node, incarnation, child, end } => {
                if self.nodes[node].incarnation == incarnation {
                    self.program_ends(node, child, end);
                }
            }
            Work::PipeRoom { node, incarnation, fifo } => {
                if self.nodes[node].incarnation == incarnation {
                    self.pipe_has_room(node, fifo);
                }
            }
            Work::FramesSent { node, incarnation, ifindex, batch, sent, errno } => {
                if self.nodes[node].incarnation == incarnation {
                    self.complete(node, Completion::FramesSent { ifindex, batch, sent, errno });
                }
            }
            Work::DadOver { node } => {
                let told = self.nodes[node].kernel.finish_dad();
                self.notify(node, told);
                self.look_at_kernel(node);
            }
            Work::ClientHears { addr, mac } => {
                self.client.insert(addr, mac);
            }
        }
    }

    // ---- processes ----

    pub fn boot(&mut self, node: usize) {
        if self.nodes[node].process.is_some() {
            return;
        }
        let config = self.variations[node].config(&self.ground.opts, node);
        self.clear_strangers(node);
        let kernel = &mut self.nodes[node].kernel;
        kernel.routes.watched = false;
        kernel.rules.abandoned = kernel.rules.there.is_some();
        let world = self.born(config, false);
        self.start(node, world);
    }

    pub fn start(&mut self, node: usize, world: World) {
        self.nodes[node].start(world);
        self.nodes[node].born = self.ground.now;
        self.ground.nodes[node].alive = true;
        self.ground.nodes[node].stale = true;
        self.touch(node);
        self.fact(Fact::Started { node });
        self.wake(node, self.ground.now);
    }

    /// The process is gone; the kernel keeps its addresses.
    pub fn end(&mut self, node: usize) {
        let Some(p) = self.nodes[node].process.take() else { return };
        self.check_recording(&p.world);
        self.nodes[node].turn_at = None;
        self.nodes[node].orders = None;
        self.nodes[node].leaving.clear();
        self.nodes[node].custodian = None;
        self.gone(node);
    }

    /// The process in standby has ended; the frozen one before it has not.
    pub fn lose_successor(&mut self, node: usize) {
        self.nodes[node].process = None;
        self.nodes[node].turn_at = None;
        self.nodes[node].orders = None;
        self.gone(node);
    }

    fn gone(&mut self, node: usize) {
        let g = &mut self.ground.nodes[node];
        (g.alive, g.paused, g.stalled, g.handing, g.passes) = (false, false, false, false, true);
        for vr in &mut g.vr {
            if vr.state == State::Master {
                vr.left_master = Some(self.ground.now);
            }
            (vr.from, vr.state, vr.since) = (vr.state, State::Init, self.ground.now);
        }
        self.touch(node);
        self.fact(Fact::Ended { node });
    }

    /// Queues a completion and schedules a turn; `false`: there is no process for it.
    pub fn complete(&mut self, node: usize, c: Completion) -> bool {
        let now = self.ground.now;
        let Some(p) = self.nodes[node].process.as_mut() else { return false };
        let taken = p.inbox.push(c);
        self.wake(node, now);
        taken
    }

    /// Delivers the kernel's notifications, except those that are lost.
    pub fn notify(&mut self, node: usize, told: impl IntoIterator<Item = Msg>) {
        for msg in told {
            if self.nodes[node].overrun {
                self.lose(node);
            } else {
                self.complete(node, Completion::Net(msg));
            }
        }
    }

    /// A netlink message does not fit. The loss is reported in the place of the first one; the others are dropped.
    pub fn lose(&mut self, node: usize) {
        self.nodes[node].losses += 1;
        if !core::mem::replace(&mut self.nodes[node].lost, true) {
            self.complete(node, Completion::Net(Msg::Lost));
        }
        let g = &mut self.ground.nodes[node];
        (g.stale, g.netlink_touched) = (true, self.ground.now);
        self.touch(node);
    }

    /// A turn at `at` or a little later, unless one comes sooner.
    pub fn wake(&mut self, node: usize, at: Instant) {
        let longest = self.ground.opts.wake.as_nanos() as u64;
        let late = if self.sabotage == Some(Sabotage::LateWakes) { self.unit() / 2 } else { 0 };
        let n = &mut self.nodes[node];
        if !n.runs() || n.turn_at.is_some_and(|t| t <= at) {
            return;
        }
        let at = at + Duration::from_nanos(n.rng.range(1, longest) + n.rng.below(late + 1));
        if n.turn_at.is_none_or(|t| t > at) {
            n.turn_at = Some(at);
            self.at(at, Work::Turn { node });
        }
    }

    /// SIGCONT, or the loop is free again.
    pub fn wakes_up(&mut self, node: usize) {
        self.wake(node, self.ground.now);
    }

    // ---- helpers ----

    /// The ground follows the kernel.
    pub fn look_at_kernel(&mut self, node: usize) {
        let k = &self.nodes[node].kernel;
        let g = &mut self.ground.nodes[node];
        for (group, vips) in self.ground.opts.groups.iter().zip(&mut g.vips) {
            for (vip, has) in group.vips.iter().zip(vips) {
                *has = k.has(*vip);
            }
        }
        if g.fit != k.fit() {
            g.fit = k.fit();
            self.touch(node);
        }
    }

    /// The stream of a class on a node.
    pub fn fault_rng(&mut self, class: Class, node: usize) -> &mut Rng {
        &mut self.fault_rngs[class as usize][node]
    }
    /// A number that grows.
    pub fn next_order(&mut self) -> u64 {
        self.order += 1;
        self.order
    }
    /// Puts work into the queue; work for a past time is done now.
    pub fn at(&mut self, at: Instant, work: Work) {
        let order = self.next_order();
        self.queue.push(Reverse(Item { at: at.max(self.ground.now), order, work }));
    }
    /// As `at`, from now.
    pub fn after(&mut self, wait: Duration, work: Work) {
        self.at(self.ground.now + wait, work);
    }
    /// Shows a fact to the checkers.
    pub fn fact(&mut self, fact: Fact) {
        if self.violation.is_none()
            && let Err((id, text)) = self.checkers.see(&self.ground, &fact)
        {
            self.violate(format!("{id:?}"), text);
        }
    }
    /// Notes the first violation.
    pub fn violate(&mut self, what: String, text: String) {
        self.violation.get_or_insert(Violation { what, text, at: self.ground.now });
    }
}
