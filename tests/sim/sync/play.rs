//! One run: first there are faults, and every rule is checked after every turn; then all faults end, and there must be one Master of all.
//!
//! Read first: `mod.rs`, `draw.rs`; then `faults.rs`. The order of a turn is that of the daemon's loop: completions, timers, effects.

use super::draw::{Drawn, File, Kind};
use crate::rng::Rng;
use bytes::Bytes;
use core::net::IpAddr;
use core::time::Duration;
use kalived::config::model::Config;
use kalived::effect::{
    ADDR_PROTO, AddrSpec, AdvertFx, ConnFx, Effect, Effects, GuardFx, HelperFx, NetFx, NetOp, Packets, SockFx, SockSpec,
};
use kalived::event::{AddrInfo, AdvertEv, Event, GuardEv, HelperEv, Link, NetEv, ReqId, RxMeta, SockEv};
use kalived::id::{FifoKey, SockKey, VrKey, WatchKey};
use kalived::snapshot::Snapshot;
use kalived::time::{Instant, Now, Wall};
use kalived::vrrp::State;
use kalived::world::World;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

/// A canary: a fault in the simulation itself, which the rules must detect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// The configuration of the World has no groups: each member is independent.
    NoGroups,
    /// Addresses are asked for before adverts are sent.
    AddressFirst,
    /// Adverts arrive with priority 1: nobody yields.
    LowerPriorities,
    /// A line that is read from the pipe comes twice.
    RepeatLines,
    /// A group forgets its last member at a reload.
    Forgetful,
}

/// The result of a run.
#[derive(Default)]
pub struct Outcome {
    /// Of everything that happened.
    pub hash: u64,
    /// The first violation.
    pub violation: Option<String>,
    /// What happened.
    pub story: Vec<String>,
    /// How often a group became Master.
    pub takeovers: u64,
    /// How often a member became Master after the others.
    pub joined: u64,
    /// How often a group was Master and became Backup.
    pub yielded: u64,
}

/// Something that waits for the loop.
pub(super) enum Completion {
    Net(NetMsg),
    Datagram(SockKey, IpAddr, Bytes),
    Sent(VrKey, u32, Instant),
    Opened(SockKey),
    Frames(u32, u64, usize),
    FifoReady(FifoKey),
    FifoWritten(FifoKey),
    File(WatchKey, Vec<u8>),
    Config(Box<Config>),
    Go(Option<Box<Snapshot>>, Option<Instant>),
    Successor,
}

#[derive(Clone)]
pub(super) enum NetMsg {
    Link(Link),
    Addr(AddrInfo),
    AddrDel(u32, IpAddr, u8),
    DumpBegin,
    Synced,
    Reply(ReqId),
}

pub(super) enum Work {
    Turn(usize),
    Armed(usize),
    Arrive { to: usize, link: usize, src: IpAddr, bytes: Bytes },
    Netlink { node: usize, life: u32, req: ReqId, op: NetOp },
    Fault(Kind, usize),
    Mend(Kind, usize, usize),
}

pub(super) struct Item(Instant, u64, Work);
impl PartialEq for Item {
    fn eq(&self, o: &Self) -> bool {
        (self.0, self.1) == (o.0, o.1)
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
        (self.0, self.1).cmp(&(o.0, o.1))
    }
}

/// Members' states as they were after the last turn.
pub(super) type States = BTreeMap<String, State>;

pub(super) struct Node {
    pub(super) world: World,
    pub(super) life: u32,
    pub(super) inbox: VecDeque<Completion>,
    pub(super) turn_at: Option<Instant>,
    pub(super) asleep: bool,
    pub(super) socks: BTreeMap<SockKey, SockSpec>,
    pub(super) armed: BTreeMap<(Instant, u64), (VrKey, SockKey, u32, Packets)>,
    // The adverts that the previous process has armed.
    pub(super) left: BTreeMap<(Instant, u64), (usize, Packets)>,
    pub(super) up: Vec<bool>,
    pub(super) addrs: Vec<AddrInfo>,
    pub(super) files: BTreeMap<&'static str, i32>,
    pub(super) watches: BTreeMap<WatchKey, &'static str>,
    pub(super) file: File,
    pub(super) snapshot: Option<Snapshot>,
    pub(super) standing_by: bool,
    // Members may differ for a while after this: one may have come, or could not be resumed.
    pub(super) came: Instant,
    pub(super) states: States,
    pub(super) advertised: BTreeSet<VrKey>,
    pub(super) lines: BTreeMap<String, String>,
    // Groups that a reload removed: one that comes back is notified as a new one.
    pub(super) gone: BTreeSet<String>,
}

pub(super) struct Sim {
    pub(super) drawn: Drawn,
    pub(super) now: Instant,
    pub(super) rng: Rng,
    pub(super) nodes: Vec<Node>,
    pub(super) queue: BinaryHeap<Reverse<Item>>,
    pub(super) order: u64,
    pub(super) chaos: bool,
    pub(super) cut: BTreeSet<(usize, usize, usize)>,
    pub(super) lie: Option<Lie>,
    pub(super) out: Outcome,
    pub(super) hasher: DefaultHasher,
}

pub(super) fn link(index: usize, up: bool) -> Link {
    Link {
        ifindex: 2 + index as u32,
        name: format!("eth{index}"),
        up,
        running: up,
        multicast: true,
        loopback: false,
        noarp: false,
        mtu: 1500,
        mac: Some([2, 0, 0, 0, 0, index as u8]),
        upon: None,
        ours: false,
        fresh: false,
        master: 0,
        vrf: false,
        table: 0,
    }
}

fn address(ifindex: u32, addr: IpAddr, prefix: u8, proto: u8) -> AddrInfo {
    AddrInfo { ifindex, addr, prefix, scope: 0, tentative: false, dad_failed: false, secondary: false, proto }
}

/// Runs a seed.
pub fn run(seed: u64, lie: Option<Lie>) -> Outcome {
    run_drawn(seed, lie, Drawn::new(seed))
}

/// The same with what a test says instead of what the seed draws.
pub fn run_drawn(seed: u64, lie: Option<Lie>, drawn: Drawn) -> Outcome {
    let mut sim = Sim {
        now: Instant(5_000_000_000),
        rng: Rng::stream(seed, 0x50_4c_41, 0),
        nodes: Vec::new(),
        queue: BinaryHeap::new(),
        order: 0,
        chaos: true,
        cut: BTreeSet::new(),
        lie,
        out: Outcome::default(),
        hasher: DefaultHasher::new(),
        drawn,
    };
    sim.play();
    sim.out.hash = sim.hasher.finish();
    sim.out
}

impl Sim {
    pub(super) fn play(&mut self) {
        self.say(format!("{:?}", self.drawn));
        for n in 0..self.drawn.nodes {
            let file = self.drawn.file();
            let world = World::new(self.config(n, &file));
            let own = (0..self.drawn.links).map(|l| address(2 + l as u32, self.drawn.address(n, l), 24, 0));
            self.nodes.push(Node {
                world,
                life: 0,
                inbox: VecDeque::new(),
                turn_at: None,
                asleep: false,
                socks: BTreeMap::new(),
                armed: BTreeMap::new(),
                left: BTreeMap::new(),
                up: vec![true; self.drawn.links],
                addrs: own.collect(),
                files: BTreeMap::from([("own", 0), ("group", 0)]),
                watches: BTreeMap::new(),
                file,
                snapshot: None,
                standing_by: false,
                came: self.now,
                states: States::new(),
                advertised: BTreeSet::new(),
                lines: BTreeMap::new(),
                gone: BTreeSet::new(),
            });
            self.begin(n);
        }
        for kind in self.drawn.faults.clone() {
            let n = self.rng.below(self.drawn.nodes as u64) as usize;
            self.next_fault(kind, n);
        }
        let interval = self.drawn.interval;
        self.until(self.now + interval * 120);
        self.heal();
        // Longer than any member listens at a start, and than a dispute lasts.
        self.until(self.now + interval * 120 + Duration::from_secs(10));
        self.calm();
    }

    pub(super) fn config(&self, n: usize, file: &File) -> Config {
        let mut config = self.drawn.config(n, file);
        if self.lie == Some(Lie::NoGroups) {
            config.sync_groups.clear();
        }
        config
    }

    pub(super) fn say(&mut self, what: String) {
        what.hash(&mut self.hasher);
        self.out.story.push(format!("{:>14} {what}", self.now.0));
    }
    pub(super) fn violate(&mut self, what: String) {
        let at = self.now.0;
        self.out.violation.get_or_insert(format!("{what} (at {at})"));
    }
    pub(super) fn at(&mut self, at: Instant, work: Work) {
        self.order += 1;
        self.queue.push(Reverse(Item(at.max(self.now), self.order, work)));
    }
    pub(super) fn upto(&mut self, most: Duration) -> Duration {
        Duration::from_nanos(1 + self.rng.below(most.as_nanos() as u64))
    }
    pub(super) fn until(&mut self, end: Instant) {
        while self.out.violation.is_none()
            && let Some(Reverse(Item(at, ..))) = self.queue.peek()
            && *at <= end
        {
            self.now = *at;
            let Some(Reverse(Item(at, _, work))) = self.queue.pop() else { return };
            match work {
                Work::Turn(n) if self.nodes[n].turn_at == Some(at) => self.turn(n),
                Work::Turn(_) => {}
                Work::Armed(n) => self.armed_due(n),
                Work::Arrive { to, link, src, bytes } => self.arrive(to, link, src, bytes),
                Work::Netlink { node, life, req, op } => self.netlink(node, life, req, &op),
                Work::Fault(kind, n) => self.fault(kind, n),
                Work::Mend(kind, n, what) => self.mend(kind, n, what),
            }
        }
        self.now = end;
    }

    // ---- nodes ----

    pub(super) fn clock(&self) -> Now {
        Now { mono: self.now, wall: Wall(1_700_000_000_000_000_000 + self.now.0) }
    }
    pub(super) fn begin(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        node.life += 1;
        (node.came, node.turn_at, node.asleep) = (self.now, None, false);
        node.inbox.clear();
        node.socks.clear();
        node.watches.clear();
        node.advertised.clear();
        node.states.clear();
        let mut fx = Effects::default();
        let now = self.clock();
        self.nodes[n].world.handle(now, Event::Start, &mut fx);
        self.apply(n, fx);
        self.wake(n, self.now);
    }
    pub(super) fn wake(&mut self, n: usize, at: Instant) {
        if self.nodes[n].asleep || self.nodes[n].turn_at.is_some_and(|t| t <= at.max(self.now)) {
            return;
        }
        let at = at.max(self.now) + self.upto(self.drawn.wake);
        self.nodes[n].turn_at = Some(at);
        self.at(at, Work::Turn(n));
    }
    pub(super) fn complete(&mut self, n: usize, c: Completion) {
        self.nodes[n].inbox.push_back(c);
        self.wake(n, self.now);
    }

    pub(super) fn turn(&mut self, n: usize) {
        self.nodes[n].turn_at = None;
        let (now, mut fx) = (self.clock(), Effects::default());
        for c in std::mem::take(&mut self.nodes[n].inbox) {
            if matches!(c, Completion::Config(_) | Completion::Go(..)) {
                self.nodes[n].came = self.now;
            }
            let world = &mut self.nodes[n].world;
            match c {
                Completion::Net(NetMsg::Link(l)) => world.handle(now, Event::Net(NetEv::LinkNew(l)), &mut fx),
                Completion::Net(NetMsg::Addr(a)) => world.handle(now, Event::Net(NetEv::AddrNew(a)), &mut fx),
                Completion::Net(NetMsg::AddrDel(ifindex, addr, prefix)) => {
                    world.handle(now, Event::Net(NetEv::AddrDel { ifindex, addr, prefix, by: None }), &mut fx);
                }
                Completion::Net(NetMsg::DumpBegin) => world.handle(now, Event::Net(NetEv::DumpBegin), &mut fx),
                Completion::Net(NetMsg::Synced) => {
                    world.handle(now, Event::Net(NetEv::Synced { complete: true }), &mut fx)
                }
                Completion::Net(NetMsg::Reply(req)) => {
                    world.handle(now, Event::Net(NetEv::Reply { req, result: Ok(()) }), &mut fx)
                }
                Completion::Datagram(sock, src, bytes) => {
                    let meta = RxMeta { src, dst: None, hop_limit: None };
                    world.handle(
                        now,
                        Event::Sock(SockEv::Datagram { sock, meta, age: Duration::ZERO, bytes: &bytes }),
                        &mut fx,
                    );
                }
                Completion::Sent(vr, epoch, due) => {
                    world.handle(
                        now,
                        Event::Advert(AdvertEv::Sent { vr, epoch, due, result: Ok(()), missed: &[] }),
                        &mut fx,
                    );
                }
                Completion::Opened(sock) => {
                    world.handle(now, Event::Sock(SockEv::Ready { sock, result: Ok(()) }), &mut fx)
                }
                Completion::Frames(ifindex, batch, sent) => {
                    world.handle(now, Event::Frames { ifindex, batch, sent, errno: None }, &mut fx);
                }
                Completion::FifoReady(fifo) => {
                    world.handle(now, Event::Helper(HelperEv::FifoReady { fifo, result: Ok(()) }), &mut fx)
                }
                Completion::FifoWritten(fifo) => {
                    world.handle(now, Event::Helper(HelperEv::FifoWritten { fifo, result: Ok(()) }), &mut fx)
                }
                Completion::File(watch, bytes) => {
                    world.handle(now, Event::Helper(HelperEv::FileRead { watch, result: Ok(&bytes) }), &mut fx);
                }
                Completion::Config(config) => world.handle(now, Event::Guard(GuardEv::Config(config)), &mut fx),
                Completion::Go(snapshot, dead_since) => {
                    world.handle(now, Event::Guard(GuardEv::Go { snapshot, dead_since }), &mut fx)
                }
                Completion::Successor => {
                    world.handle(now, Event::Guard(GuardEv::Successor { in_charge: true }), &mut fx)
                }
            }
        }
        for _ in 0..20 {
            if !self.nodes[n].world.fire(now, 64, &mut fx) {
                break;
            }
        }
        self.nodes[n].world.check_invariants();
        if let Some(s) = self.nodes[n].world.snapshot(now) {
            self.nodes[n].snapshot = Some(s);
        }
        self.look(n);
        self.apply(n, fx);
        if let Some((at, _)) = self.nodes[n].world.next_deadline() {
            self.wake(n, at);
        }
    }

    // I-4: at the end of a turn all members of a group are Master or none is, unless one has joined it.
    pub(super) fn look(&mut self, n: usize) {
        let views = self.nodes[n].world.views();
        let states: States = views.iter().map(|v| (v.name.clone(), v.state)).collect();
        let longest = views.iter().map(|v| v.first_wait).max().unwrap_or_default();
        let file = self.nodes[n].file.clone();
        for g in 0..2 {
            let of = |m: &(usize, &(bool, Option<usize>))| m.1.0 && m.1.1 == Some(g);
            let members: Vec<String> =
                file.members.iter().enumerate().filter(of).map(|(m, _)| format!("V{m}")).collect();
            let in_state = |all: &States, s: State| members.iter().filter(|m| all.get(*m) == Some(&s)).count();
            let (was, is) = (&self.nodes[n].states, &states);
            let (masters, before) = (in_state(is, State::Master), in_state(was, State::Master));
            let whole = !members.is_empty() && masters == members.len();
            self.out.takeovers += u64::from(whole && before == 0);
            self.out.joined += u64::from(whole && (1..masters).contains(&before));
            self.out.yielded += u64::from(before > 0 && masters == 0 && in_state(is, State::Backup) == members.len());
            let reloading = self.nodes[n].world.reloading();
            let since = self.now.since(self.nodes[n].came);
            // A reload and a resumption make members join; nothing else may make them differ.
            let allowed = longest + self.drawn.wake * 3 + self.drawn.interval;
            if (1..members.len()).contains(&masters) && since > allowed && !reloading {
                self.violate(format!("I-4: node {n}: G{g}: {masters} of {} are Master", members.len()));
            }
        }
        if self.nodes[n].states != states {
            let words: Vec<String> = states.iter().map(|(n, s)| format!("{n} {}", s.word())).collect();
            self.say(format!("node {n}: {}", words.join(", ")));
            self.nodes[n].states = states;
        }
    }

    // ---- effects ----

    pub(super) fn apply(&mut self, n: usize, mut fx: Effects) {
        let mut effects: Vec<Effect> = fx.drain().collect();
        if self.lie == Some(Lie::AddressFirst) {
            effects.sort_by_key(|e| !matches!(e, Effect::Net(NetFx::Change { .. })));
        }
        for e in effects {
            match e {
                Effect::Sock(SockFx::Open { sock, spec }) => {
                    self.nodes[n].socks.insert(sock, spec);
                    self.complete(n, Completion::Opened(sock));
                }
                Effect::Sock(SockFx::Close { sock }) => {
                    self.nodes[n].socks.remove(&sock);
                    self.nodes[n].armed.retain(|_, a| a.1 != sock);
                }
                Effect::Advert(AdvertFx::Send { vr, sock, packets }) => {
                    self.nodes[n].advertised.insert(vr);
                    self.transmit(n, sock, &packets);
                }
                Effect::Advert(AdvertFx::At { vr, sock, epoch, at, packets }) => {
                    self.nodes[n].advertised.insert(vr);
                    self.order += 1;
                    let order = self.order;
                    self.nodes[n].armed.insert((at, order), (vr, sock, epoch, packets));
                    self.at(at, Work::Armed(n));
                }
                Effect::Advert(AdvertFx::Stop { vr, sock, farewell }) => {
                    self.nodes[n].advertised.remove(&vr);
                    self.nodes[n].armed.retain(|_, a| a.0 != vr);
                    if let Some(packets) = farewell {
                        self.transmit(n, sock, &packets);
                    } else {
                        self.readvertised(n, vr);
                    }
                }
                Effect::Net(NetFx::Change { req, op }) => {
                    if let NetOp::AddrAdd(spec) = &op {
                        self.first_address(n, spec);
                    }
                    let (at, life) = (self.now + self.upto(self.drawn.netlink), self.nodes[n].life);
                    self.at(at, Work::Netlink { node: n, life, req, op });
                }
                Effect::Frames { ifindex, batch, frames } => {
                    self.complete(n, Completion::Frames(ifindex, batch, frames.len()))
                }
                Effect::Net(NetFx::Resync) => self.dump(n),
                Effect::Helper(HelperFx::WatchFile { watch, path }) => {
                    let name = if path.ends_with("own") { "own" } else { "group" };
                    self.nodes[n].watches.insert(watch, name);
                    let text = format!("{}\n", self.nodes[n].files[name]);
                    self.complete(n, Completion::File(watch, text.into_bytes()));
                }
                Effect::Helper(HelperFx::Unwatch { watch }) => drop(self.nodes[n].watches.remove(&watch)),
                Effect::Helper(HelperFx::OpenFifo { fifo, .. }) => self.complete(n, Completion::FifoReady(fifo)),
                Effect::Helper(HelperFx::WriteFifo { fifo, line }) => {
                    self.line(n, &line);
                    if self.lie == Some(Lie::RepeatLines) {
                        self.line(n, &line);
                    }
                    self.complete(n, Completion::FifoWritten(fifo));
                }
                Effect::Guard(GuardFx::StandingBy) => self.nodes[n].standing_by = true,
                Effect::Guard(GuardFx::LookForSuccessor) => self.complete(n, Completion::Successor),
                Effect::Note(note) => self.out.story.push(format!("{:>14} node {n}: {}", self.now.0, note.text)),
                Effect::Helper(HelperFx::CloseFifo { .. })
                | Effect::Sock(SockFx::HearLocal { .. } | SockFx::Unconnect { .. })
                | Effect::Net(NetFx::WatchRoutes)
                | Effect::Guard(GuardFx::Spawn { .. })
                | Effect::Guard(GuardFx::Kill { .. })
                | Effect::Helper(HelperFx::WatchProcesses { .. })
                | Effect::Helper(HelperFx::Lookup { .. })
                | Effect::Helper(HelperFx::SetKnobs { .. })
                | Effect::Conn(ConnFx::Connect { .. })
                | Effect::Conn(ConnFx::Write { .. })
                | Effect::Conn(ConnFx::Close { .. })
                | Effect::Lvs(_)
                | Effect::Filter(_)
                | Effect::Bfd(_)
                | Effect::Guard(GuardFx::Compile)
                | Effect::Guard(GuardFx::Reloaded(_))
                | Effect::Guard(GuardFx::Frozen)
                | Effect::Exit(_) => {}
            }
        }
    }

    // Armed anew: a Master that was advertising goes on.
    pub(super) fn readvertised(&mut self, n: usize, vr: VrKey) {
        let master = self.nodes[n].world.views().iter().any(|v| v.vr == vr && v.state == State::Master);
        if master {
            self.nodes[n].advertised.insert(vr);
        }
    }

    // Before the first address of a takeover all members have advertised.
    pub(super) fn first_address(&mut self, n: usize, spec: &AddrSpec) {
        let views = self.nodes[n].world.views();
        let Some(m) = (0..self.drawn.members()).find(|m| Drawn::vip(*m) == spec.addr) else { return };
        let Some((_, of)) = self.nodes[n].file.members.get(m).copied().filter(|(there, of)| *there && of.is_some())
        else {
            return;
        };
        let of_group = |name: &str| {
            let index = name.trim_start_matches('V').parse::<usize>().ok();
            index.and_then(|i| self.nodes[n].file.members.get(i)).is_some_and(|(there, g)| *there && *g == of)
        };
        let silent = |v: &&kalived::world::View| {
            v.state == State::Master && of_group(&v.name) && !self.nodes[n].advertised.contains(&v.vr)
        };
        let resumed = self.now.since(self.nodes[n].came) < self.drawn.interval * 2;
        if let Some(v) = views.iter().find(silent).filter(|_| !resumed || self.nodes[n].life == 1) {
            self.violate(format!("node {n}: the first address is asked for before the advert of {}", v.name));
        }
    }

    pub(super) fn line(&mut self, n: usize, line: &[u8]) {
        let text = String::from_utf8_lossy(line).trim_end().to_owned();
        let Some((who, rest)) = text.rsplit_once("\" ") else { return };
        let state = rest.split(' ').next().unwrap_or_default().to_owned();
        // The other simulator checks the lines of instances.
        if !who.starts_with("GROUP") {
            return;
        }
        let last = self.nodes[n].lines.insert(who.to_owned(), state.clone());
        if last.as_ref() == Some(&state) && !self.nodes[n].gone.remove(who) {
            self.violate(format!("node {n}: {who} is told {state} twice in a row"));
        }
    }

    pub(super) fn transmit(&mut self, from: usize, sock: SockKey, packets: &Packets) {
        let Some(spec) = self.nodes[from].socks.get(&sock).copied() else { return };
        let Some(link) = spec.ifindex().map(|i| i as usize - 2) else { return };
        self.cast(from, link, packets);
    }
    pub(super) fn cast(&mut self, from: usize, link: usize, packets: &Packets) {
        for p in packets.iter() {
            for to in (0..self.nodes.len()).filter(|to| *to != from) {
                let (a, b) = (from.min(to), from.max(to));
                let lost = self.chaos && self.rng.permille(self.drawn.loss);
                if !self.nodes[from].up[link] || self.cut.contains(&(link, a, b)) || lost {
                    continue;
                }
                let mut bytes = p.bytes.to_vec();
                if self.lie == Some(Lie::LowerPriorities) && bytes[22] > 0 {
                    // Checksum: RFC 1624.
                    let sum = u32::from(u16::from_be_bytes([bytes[26], bytes[27]]));
                    let old = u32::from(u16::from_be_bytes([bytes[22], bytes[23]]));
                    bytes[22] = 1;
                    let new = u32::from(u16::from_be_bytes([bytes[22], bytes[23]]));
                    let mut s = (!sum & 0xffff) + (!old & 0xffff) + new;
                    s = (s & 0xffff) + (s >> 16);
                    s = (s & 0xffff) + (s >> 16);
                    bytes[26..28].copy_from_slice(&((!s & 0xffff) as u16).to_be_bytes());
                }
                let (at, src) = (self.now + self.upto(self.drawn.wire), self.drawn.address(from, link));
                self.at(at, Work::Arrive { to, link, src, bytes: bytes.into() });
            }
        }
    }
    pub(super) fn arrive(&mut self, to: usize, link: usize, src: IpAddr, bytes: Bytes) {
        let ifindex = Some(2 + link as u32);
        let node = &self.nodes[to];
        let sock = node.socks.iter().find(|(_, s)| s.ifindex() == ifindex).map(|(k, _)| *k);
        if let Some(sock) = sock.filter(|_| node.up[link]) {
            self.complete(to, Completion::Datagram(sock, src, bytes));
        }
    }
    pub(super) fn armed_due(&mut self, n: usize) {
        while let Some((key, _)) = self.nodes[n].left.first_key_value().filter(|(k, _)| k.0 <= self.now) {
            let key = *key;
            if let Some((link, packets)) = self.nodes[n].left.remove(&key) {
                self.cast(n, link, &packets);
            }
        }
        while let Some((key, _)) = self.nodes[n].armed.first_key_value().filter(|(k, _)| k.0 <= self.now) {
            let key = *key;
            let Some((vr, sock, epoch, packets)) = self.nodes[n].armed.remove(&key) else { return };
            self.transmit(n, sock, &packets);
            self.complete(n, Completion::Sent(vr, epoch, key.0));
        }
    }

    // ---- the kernel ----

    pub(super) fn dump(&mut self, n: usize) {
        let links = (0..self.drawn.links).map(|l| NetMsg::Link(link(l, self.nodes[n].up[l])));
        let addrs = self.nodes[n].addrs.iter().cloned().map(NetMsg::Addr);
        let all: Vec<NetMsg> =
            [NetMsg::DumpBegin].into_iter().chain(links).chain(addrs).chain([NetMsg::Synced]).collect();
        all.into_iter().for_each(|m| self.complete(n, Completion::Net(m)));
    }
    pub(super) fn netlink(&mut self, n: usize, life: u32, req: ReqId, op: &NetOp) {
        match op {
            NetOp::AddrAdd(s) => {
                let a = address(s.ifindex, s.addr, s.prefix, ADDR_PROTO);
                if !self.nodes[n].addrs.iter().any(|have| (have.ifindex, have.addr) == (a.ifindex, a.addr)) {
                    self.nodes[n].addrs.push(a.clone());
                    self.complete(n, Completion::Net(NetMsg::Addr(a)));
                }
            }
            NetOp::AddrDel(s) => {
                let before = self.nodes[n].addrs.len();
                self.nodes[n].addrs.retain(|a| (a.ifindex, a.addr) != (s.ifindex, s.addr));
                if self.nodes[n].addrs.len() < before {
                    self.complete(n, Completion::Net(NetMsg::AddrDel(s.ifindex, s.addr, s.prefix)));
                }
            }
            NetOp::RouteAdd(_)
            | NetOp::RouteDel(_)
            | NetOp::RouteChange(..)
            | NetOp::RuleAdd(_)
            | NetOp::RuleDel(_)
            | NetOp::LinkAdd(_)
            | NetOp::LinkSet { .. }
            | NetOp::LinkDel { .. } => {}
        }
        if self.nodes[n].life == life {
            self.complete(n, Completion::Net(NetMsg::Reply(req)));
        }
    }
}
