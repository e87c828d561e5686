//! One run: first faults, with every rule held against every turn; then all is healed, and there must be one Master of all.
//!
//! Read first: `mod.rs`, `draw.rs`. The order of a turn is that of the daemon's loop: completions, timers, effects.

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

/// A lie told at the border of the simulation, to see that it is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// The World is not told of the groups: each member is on its own.
    NoGroups,
    /// Addresses are asked for before adverts are sent.
    AddressFirst,
    /// Adverts arrive with priority 1: nobody yields.
    LowerPriorities,
    /// A line that is taken from the pipe is there twice.
    RepeatLines,
    /// A group forgets its last member at a reload.
    Forgetful,
}

/// What a run gave.
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
enum Completion {
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
enum NetMsg {
    Link(Link),
    Addr(AddrInfo),
    AddrDel(u32, IpAddr, u8),
    DumpBegin,
    Synced,
    Reply(ReqId),
}

enum Work {
    Turn(usize),
    Armed(usize),
    Arrive { to: usize, link: usize, src: IpAddr, bytes: Bytes },
    Netlink { node: usize, life: u32, req: ReqId, op: NetOp },
    Fault(Kind, usize),
    Mend(Kind, usize, usize),
}

struct Item(Instant, u64, Work);
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
type States = BTreeMap<String, State>;

struct Node {
    world: World,
    life: u32,
    inbox: VecDeque<Completion>,
    turn_at: Option<Instant>,
    asleep: bool,
    socks: BTreeMap<SockKey, SockSpec>,
    armed: BTreeMap<(Instant, u64), (VrKey, SockKey, u32, Packets)>,
    // What the process before has armed.
    left: BTreeMap<(Instant, u64), (usize, Packets)>,
    up: Vec<bool>,
    addrs: Vec<AddrInfo>,
    files: BTreeMap<&'static str, i32>,
    watches: BTreeMap<WatchKey, &'static str>,
    file: File,
    snapshot: Option<Snapshot>,
    standing_by: bool,
    // Members may differ for a while after this: one may have come, or could not be resumed.
    came: Instant,
    states: States,
    advertised: BTreeSet<VrKey>,
    lines: BTreeMap<String, String>,
    // Groups that a reload took out: one that comes back is told of as a new one.
    gone: BTreeSet<String>,
}

struct Sim {
    drawn: Drawn,
    now: Instant,
    rng: Rng,
    nodes: Vec<Node>,
    queue: BinaryHeap<Reverse<Item>>,
    order: u64,
    chaos: bool,
    cut: BTreeSet<(usize, usize, usize)>,
    lie: Option<Lie>,
    out: Outcome,
    hasher: DefaultHasher,
}

fn link(index: usize, up: bool) -> Link {
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
    }
}

fn address(ifindex: u32, addr: IpAddr, prefix: u8, proto: u8) -> AddrInfo {
    AddrInfo { ifindex, addr, prefix, scope: 0, tentative: false, dad_failed: false, secondary: false, proto }
}

/// Runs a seed.
pub fn run(seed: u64, lie: Option<Lie>) -> Outcome {
    let drawn = Drawn::new(seed);
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
    fn play(&mut self) {
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

    fn config(&self, n: usize, file: &File) -> Config {
        let mut config = self.drawn.config(n, file);
        if self.lie == Some(Lie::NoGroups) {
            config.sync_groups.clear();
        }
        config
    }

    fn say(&mut self, what: String) {
        what.hash(&mut self.hasher);
        self.out.story.push(format!("{:>14} {what}", self.now.0));
    }
    fn violate(&mut self, what: String) {
        let at = self.now.0;
        self.out.violation.get_or_insert(format!("{what} (at {at})"));
    }
    fn at(&mut self, at: Instant, work: Work) {
        self.order += 1;
        self.queue.push(Reverse(Item(at.max(self.now), self.order, work)));
    }
    fn upto(&mut self, most: Duration) -> Duration {
        Duration::from_nanos(1 + self.rng.below(most.as_nanos() as u64))
    }
    fn until(&mut self, end: Instant) {
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

    fn clock(&self) -> Now {
        Now { mono: self.now, wall: Wall(1_700_000_000_000_000_000 + self.now.0) }
    }
    fn begin(&mut self, n: usize) {
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
    fn wake(&mut self, n: usize, at: Instant) {
        if self.nodes[n].asleep || self.nodes[n].turn_at.is_some_and(|t| t <= at.max(self.now)) {
            return;
        }
        let at = at.max(self.now) + self.upto(self.drawn.wake);
        self.nodes[n].turn_at = Some(at);
        self.at(at, Work::Turn(n));
    }
    fn complete(&mut self, n: usize, c: Completion) {
        self.nodes[n].inbox.push_back(c);
        self.wake(n, self.now);
    }

    fn turn(&mut self, n: usize) {
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
                    world.handle(now, Event::Net(NetEv::AddrDel { ifindex, addr, prefix }), &mut fx);
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

    // I-4: at the end of a turn the members of a group are Master or none is, unless one has come to it.
    fn look(&mut self, n: usize) {
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

    fn apply(&mut self, n: usize, mut fx: Effects) {
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
                | Effect::Sock(SockFx::HearLocal { .. })
                | Effect::Net(NetFx::WatchRoutes)
                | Effect::Guard(GuardFx::Spawn { .. })
                | Effect::Guard(GuardFx::Kill { .. })
                | Effect::Helper(HelperFx::WatchProcesses { .. })
                | Effect::Helper(HelperFx::Lookup { .. })
                | Effect::Conn(ConnFx::Connect { .. })
                | Effect::Conn(ConnFx::Write { .. })
                | Effect::Conn(ConnFx::Close { .. })
                | Effect::Guard(GuardFx::Compile)
                | Effect::Guard(GuardFx::Reloaded(_))
                | Effect::Guard(GuardFx::Frozen)
                | Effect::Exit(_) => {}
            }
        }
    }

    // Armed anew: a Master that was advertising still is.
    fn readvertised(&mut self, n: usize, vr: VrKey) {
        let master = self.nodes[n].world.views().iter().any(|v| v.vr == vr && v.state == State::Master);
        if master {
            self.nodes[n].advertised.insert(vr);
        }
    }

    // Before the first address of a takeover all members have advertised.
    fn first_address(&mut self, n: usize, spec: &AddrSpec) {
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

    fn line(&mut self, n: usize, line: &[u8]) {
        let text = String::from_utf8_lossy(line).trim_end().to_owned();
        let Some((who, rest)) = text.rsplit_once("\" ") else { return };
        let state = rest.split(' ').next().unwrap_or_default().to_owned();
        // Instances' lines are what the other simulator looks at.
        if !who.starts_with("GROUP") {
            return;
        }
        let last = self.nodes[n].lines.insert(who.to_owned(), state.clone());
        if last.as_ref() == Some(&state) && !self.nodes[n].gone.remove(who) {
            self.violate(format!("node {n}: {who} is told {state} twice in a row"));
        }
    }

    fn transmit(&mut self, from: usize, sock: SockKey, packets: &Packets) {
        let Some(spec) = self.nodes[from].socks.get(&sock).copied() else { return };
        let Some(link) = spec.ifindex().map(|i| i as usize - 2) else { return };
        self.cast(from, link, packets);
    }
    fn cast(&mut self, from: usize, link: usize, packets: &Packets) {
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
    fn arrive(&mut self, to: usize, link: usize, src: IpAddr, bytes: Bytes) {
        let ifindex = Some(2 + link as u32);
        let node = &self.nodes[to];
        let sock = node.socks.iter().find(|(_, s)| s.ifindex() == ifindex).map(|(k, _)| *k);
        if let Some(sock) = sock.filter(|_| node.up[link]) {
            self.complete(to, Completion::Datagram(sock, src, bytes));
        }
    }
    fn armed_due(&mut self, n: usize) {
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

    fn dump(&mut self, n: usize) {
        let links = (0..self.drawn.links).map(|l| NetMsg::Link(link(l, self.nodes[n].up[l])));
        let addrs = self.nodes[n].addrs.iter().cloned().map(NetMsg::Addr);
        let all: Vec<NetMsg> =
            [NetMsg::DumpBegin].into_iter().chain(links).chain(addrs).chain([NetMsg::Synced]).collect();
        all.into_iter().for_each(|m| self.complete(n, Completion::Net(m)));
    }
    fn netlink(&mut self, n: usize, life: u32, req: ReqId, op: &NetOp) {
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
            NetOp::RouteAdd(_) | NetOp::RouteDel(_) | NetOp::RouteChange(..) => {}
        }
        if self.nodes[n].life == life {
            self.complete(n, Completion::Net(NetMsg::Reply(req)));
        }
    }

    // ---- faults ----

    fn next_fault(&mut self, kind: Kind, n: usize) {
        let gap = self.drawn.interval * 40;
        let at = self.now + self.upto(gap);
        self.at(at, Work::Fault(kind, n));
    }

    fn fault(&mut self, kind: Kind, n: usize) {
        if !self.chaos {
            return;
        }
        let stay = self.upto(self.drawn.interval * 20);
        let what = self.rng.below(self.drawn.links as u64) as usize;
        self.say(format!("fault {kind:?} on node {n}, link {what}"));
        match kind {
            Kind::Link => self.set_link(n, what, false),
            Kind::Tracker => {
                let name = if what == 0 { "own" } else { "group" };
                let value = self.rng.pick(&[1, -1, 0]);
                self.write(n, name, value);
            }
            Kind::Cut => {
                let other = (n + 1) % self.drawn.nodes;
                self.cut.insert((what, n.min(other), n.max(other)));
            }
            Kind::Reload => {
                let mut file = self.drawn.file();
                for m in &mut file.members {
                    match self.rng.below(8) {
                        0 => m.0 = false,
                        1 => m.1 = None,
                        2 => m.1 = Some(1 - m.1.unwrap_or(0)),
                        _ => {}
                    }
                }
                self.reload(n, file);
            }
            Kind::Upgrade => self.upgrade(n),
            Kind::Crash => self.crash(n, true),
            Kind::Restart => self.crash(n, false),
            Kind::Pause => self.nodes[n].asleep = true,
        }
        self.at(self.now + stay, Work::Mend(kind, n, what));
    }

    fn mend(&mut self, kind: Kind, n: usize, what: usize) {
        match kind {
            Kind::Link => self.set_link(n, what, true),
            Kind::Tracker => {
                self.write(n, "own", 0);
                self.write(n, "group", 0);
            }
            Kind::Cut => self.cut.retain(|c| c.0 != what),
            Kind::Reload => {
                let file = self.drawn.file();
                self.reload(n, file);
            }
            Kind::Pause => {
                self.nodes[n].asleep = false;
                self.nodes[n].turn_at = None;
                self.wake(n, self.now);
            }
            Kind::Upgrade | Kind::Crash | Kind::Restart => {}
        }
        if self.chaos {
            let next = self.rng.below(self.drawn.nodes as u64) as usize;
            self.next_fault(kind, next);
        }
    }

    fn heal(&mut self) {
        self.say("healed".into());
        self.chaos = false;
        self.cut.clear();
        for n in 0..self.drawn.nodes {
            for l in 0..self.drawn.links {
                self.set_link(n, l, true);
            }
            self.mend(Kind::Tracker, n, 0);
            self.mend(Kind::Pause, n, 0);
            self.mend(Kind::Reload, n, 0);
        }
    }

    fn set_link(&mut self, n: usize, l: usize, up: bool) {
        if std::mem::replace(&mut self.nodes[n].up[l], up) != up {
            self.complete(n, Completion::Net(NetMsg::Link(link(l, up))));
        }
    }
    fn write(&mut self, n: usize, name: &'static str, value: i32) {
        self.nodes[n].files.insert(name, value);
        let watching = self.nodes[n].watches.iter().filter(|(_, w)| **w == name).map(|(k, _)| *k);
        for watch in watching.collect::<Vec<_>>() {
            self.complete(n, Completion::File(watch, format!("{value}\n").into_bytes()));
        }
    }
    fn reload(&mut self, n: usize, file: File) {
        if self.nodes[n].file == file {
            return;
        }
        let mut config = self.config(n, &file);
        if self.lie == Some(Lie::Forgetful) {
            config.sync_groups.iter_mut().for_each(|g| drop(g.members.pop()));
            config.sync_groups.retain(|g| !g.members.is_empty());
        }
        for name in ["G0", "G1"].into_iter().filter(|name| !config.sync_groups.iter().any(|g| *g.name == **name)) {
            self.nodes[n].gone.insert(format!("GROUP \"{name}"));
        }
        self.nodes[n].file = file;
        self.nodes[n].came = self.now;
        self.complete(n, Completion::Config(Box::new(config)));
    }

    fn retell(&mut self, n: usize) {
        self.nodes[n].gone.extend(["GROUP \"G0".to_owned(), "GROUP \"G1".to_owned()]);
    }

    // What is armed still leaves, from another process.
    fn bequeath(&mut self, n: usize) {
        let armed = std::mem::take(&mut self.nodes[n].armed);
        for (key, (_, sock, _, packets)) in armed {
            let spec = self.nodes[n].socks.get(&sock);
            if let Some(link) = spec.and_then(SockSpec::ifindex).map(|i| i as usize - 2) {
                self.nodes[n].left.insert(key, (link, packets));
            }
        }
    }

    fn upgrade(&mut self, n: usize) {
        // Neither while it starts nor in the midst of a reload: who asks for one waits until the other is done.
        if !self.nodes[n].world.running() || self.nodes[n].world.reloading() || !self.nodes[n].inbox.is_empty() {
            return;
        }
        let (now, mut fx) = (self.clock(), Effects::default());
        self.nodes[n].world.handle(now, Event::Guard(GuardEv::Freeze), &mut fx);
        self.apply(n, fx);
        let snapshot = self.nodes[n].world.last_snapshot(now);
        self.bequeath(n);
        self.retell(n); // XXX
        let config = self.config(n, &self.nodes[n].file.clone());
        self.nodes[n].world = World::standby(config);
        self.begin(n);
        let snapshot = Snapshot::decode(&snapshot.encode()).expect("what was written is read");
        self.complete(n, Completion::Go(Some(Box::new(snapshot)), None));
    }

    fn crash(&mut self, n: usize, resumes: bool) {
        self.retell(n); // XXX
        self.nodes[n].armed.clear();
        let config = self.config(n, &self.nodes[n].file.clone());
        match self.nodes[n].snapshot.take().filter(|_| resumes) {
            Some(s) => {
                self.nodes[n].world = World::standby(config);
                self.begin(n);
                let s = Snapshot::decode(&s.encode()).expect("what was written is read");
                self.complete(n, Completion::Go(Some(Box::new(s)), Some(self.now)));
            }
            None => {
                self.nodes[n].lines.clear();
                self.nodes[n].world = World::new(config);
                self.begin(n);
            }
        }
    }

    // ---- the calm ----

    // L-6, and the pipe says what is.
    fn calm(&mut self) {
        let drawn = self.drawn.clone();
        let file = drawn.file();
        for g in 0..2 {
            let of = |m: &usize| file.members[*m].1 == Some(g);
            let members: Vec<usize> = (0..drawn.members()).filter(of).collect();
            if members.is_empty() {
                continue;
            }
            let masters = |n: usize| {
                let state = |m: &&usize| self.nodes[n].states.get(&format!("V{m}")) == Some(&State::Master);
                members.iter().filter(state).count()
            };
            let counts: Vec<usize> = (0..drawn.nodes).map(masters).collect();
            if counts.iter().filter(|c| **c == members.len()).count() != 1
                || counts.iter().sum::<usize>() != members.len()
            {
                self.violate(format!("L-6: G{g} of {}: members that are Master, by node: {counts:?}", members.len()));
                return;
            }
            // Who is better on every link is Master, if nobody says nopreempt.
            let better = |a: usize, b: usize| members.iter().all(|m| drawn.priorities[a][*m] > drawn.priorities[b][*m]);
            let best = (0..drawn.nodes).find(|a| (0..drawn.nodes).all(|b| *a == b || better(*a, b)));
            if let Some(best) = best.filter(|b| counts[*b] == 0 && drawn.preempt.iter().all(|p| *p)) {
                self.violate(format!("L-6: G{g}: node {best} is the best everywhere: {counts:?}"));
            }
            for n in 0..drawn.nodes {
                let word = if counts[n] > 0 { "MASTER" } else { "BACKUP" };
                let told = self.nodes[n].lines.get(&format!("GROUP \"G{g}")).map(String::as_str);
                if told != Some(word) {
                    self.violate(format!("node {n}: the pipe says G{g} is {told:?}, it is {word}"));
                }
            }
        }
    }
}
