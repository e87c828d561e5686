//! The bench: one world with a simulated kernel that answers at once, a clock that the test advances, and a peer that sends adverts.

use crate::fib::Fib;
use bytes::Bytes;
use kalived::config::model::{Auth, ChecksumMode, Config, Family, InstanceConfig, Version, Vip};
use kalived::effect::{AdvertFx, ConnFx, Effect, Effects, GuardFx, HelperFx, NetFx, NetOp, SockFx};
use kalived::event::{AddrInfo, AdvertEv, Errno, Event, HelperEv, Link, NetEv, RxMeta, Signal, SockEv};
use kalived::id::{SockKey, VrKey};
use kalived::record::file::Recording;
use kalived::record::replay::replay;
use kalived::record::{self, Tape};
use kalived::time::{Duration, Instant, Now, Wall};
use kalived::timers::Due;
use kalived::vrrp::State;
use kalived::wire::vrrp::{AdvertSpec, packet};
use kalived::world::{View, World};
use std::collections::BTreeMap;
use std::net::IpAddr;

pub const ETH0: u32 = 3;
pub const OURS: &str = "198.18.0.20";
pub const PEER: &str = "198.18.0.30";

pub fn ip(s: &str) -> IpAddr {
    s.parse().expect("an address")
}

pub fn vip(s: &str) -> Vip {
    let addr = ip(s);
    Vip {
        addr,
        prefix: if addr.is_ipv4() { 32 } else { 128 },
        dev: None,
        brd: None,
        scope: 0,
        label: None,
        deprecated: false,
        noprefixroute: false,
        peer: None,
        more: None,
        place: Default::default(),
    }
}

/// VRID 51, priority 100, version 2, one VIP: profile V2 of the wire vectors.
pub fn v2() -> InstanceConfig {
    let mut c = InstanceConfig::new("VI_1", "eth0", 51, Family::V4);
    c.vips = vec![vip("198.18.0.100")];
    c
}
/// Profile V3PH.
pub fn v3() -> InstanceConfig {
    InstanceConfig { version: Version::V3, ..v2() }
}

pub fn link(ifindex: u32, name: &str, up: bool) -> Link {
    Link {
        ifindex,
        name: name.into(),
        up,
        running: up,
        multicast: true,
        loopback: false,
        noarp: false,
        mtu: 1500,
        mac: Some([2, 0, 0, 0, 0, ifindex as u8]),
        upon: None,
        ours: false,
        fresh: false,
        master: 0,
        vrf: false,
        table: 0,
    }
}

pub fn addr(ifindex: u32, a: &str, prefix: u8, proto: u8) -> AddrInfo {
    AddrInfo { ifindex, addr: ip(a), prefix, scope: 0, tentative: false, dad_failed: false, secondary: false, proto }
}

/// An output that is visible outside, with its time.
#[derive(Clone, Debug, PartialEq)]
pub enum Out {
    Advert(Bytes),
    Armed(Instant, Bytes),
    Stop(Option<Bytes>),
    Frame(Bytes),
    Add(IpAddr),
    Del(IpAddr),
    Resync,
    Open,
    Close,
    Exit(kalived::exit::ExitCode),
}

pub struct Bench {
    pub world: World,
    pub now: Now,
    pub out: Vec<Out>,
    pub log: Vec<String>,
    pub sock: Option<SockKey>,
    /// Every socket that was opened.
    pub specs: BTreeMap<SockKey, kalived::effect::SockSpec>,
    /// Adverts in the kernel: (due, vr, epoch).
    pub armed: BTreeMap<(Instant, VrKey), u32>,
    /// Whether the fake kernel answers netlink requests at once.
    pub answer: bool,
    pub unanswered: Vec<kalived::event::ReqId>,
    /// Every address that was requested, in order.
    pub wanted: Vec<IpAddr>,
    /// Whether slices of frames are answered at once; else they wait here: interface, slice, how many left.
    pub answer_frames: bool,
    pub slices: Vec<(u32, u64, usize)>,
    /// Frames of a slice that leave, and the results of the next slices.
    pub room: usize,
    pub frame_errors: std::collections::VecDeque<kalived::event::Errno>,
    /// Addresses the fake kernel has.
    pub kernel: Vec<AddrInfo>,
    pub links: Vec<Link>,
    pub routes: Fib,
    /// Requested sysctls, and whether the request is answered.
    pub knobs: Vec<(u64, String, Vec<kalived::knob::Set>)>,
    pub answer_knobs: bool,
    /// Ethernet addresses that adverts of any kind leave from, in order.
    pub from: Vec<Option<[u8; 6]>>,
    /// Requests for interfaces, in order.
    pub own_asked: Vec<NetOp>,
    /// Addresses of this host from which adverts are received.
    pub local: Vec<std::net::Ipv4Addr>,
    /// Requests to the guard, the helper and the streams, in order.
    pub asked: Vec<Effect>,
}

impl Bench {
    /// A started world with eth0 up, OURS/16 and fe80::20 on it.
    pub fn new(cfg: InstanceConfig) -> Bench {
        let mut b = Bench::cold(vec![cfg]);
        b.start();
        b
    }
    pub fn cold(instances: Vec<InstanceConfig>) -> Bench {
        Bench::of(World::new(Config { instances, ..Config::default() }))
    }
    /// A world that has not started.
    pub fn of(world: World) -> Bench {
        let mono = Instant(1_000_000_000_000);
        Bench {
            world,
            now: Now { mono, wall: Wall(1_700_000_000_000_000_000) },
            out: Vec::new(),
            log: Vec::new(),
            sock: None,
            specs: BTreeMap::new(),
            armed: BTreeMap::new(),
            answer: true,
            unanswered: Vec::new(),
            wanted: Vec::new(),
            answer_frames: true,
            slices: Vec::new(),
            room: usize::MAX,
            frame_errors: std::collections::VecDeque::new(),
            kernel: vec![addr(ETH0, OURS, 16, 0), addr(ETH0, "fe80::20", 64, 0)],
            links: vec![link(ETH0, "eth0", true)],
            routes: Fib::default(),
            knobs: Vec::new(),
            answer_knobs: true,
            own_asked: Vec::new(),
            from: Vec::new(),
            local: Vec::new(),
            asked: Vec::new(),
        }
    }
    pub fn start(&mut self) {
        self.event(Event::Start);
        self.dump();
    }
    /// From now on its world is recorded, in segments of so many bytes. Only before the first event.
    pub fn record(&mut self, config: &Config, segment: usize) {
        self.world.set_host("host");
        self.world.record(Tape::new(config, false, "host", segment));
    }
    /// The recording, after it was written to a file and read, is decided again. Returns it.
    pub fn replayed(&self) -> Recording {
        let read = || {
            let dump = self.world.tape().expect("a tape").dump();
            let mut recording = record::read(&dump).expect("a ring");
            recording.hide_secrets();
            Recording::decode(&recording.encode()).expect("a recording")
        };
        replay(read(), |_| 0, &mut |_, _| {}).unwrap_or_else(|differs| panic!("{differs}"));
        read()
    }
    pub fn dump(&mut self) {
        self.event(Event::Net(NetEv::DumpBegin));
        for l in self.links.clone() {
            self.event(Event::Net(NetEv::LinkNew(l)));
        }
        for a in self.kernel.clone() {
            self.event(Event::Net(NetEv::AddrNew(a)));
        }
        let routes = if self.routes.watched { self.routes.routes.clone() } else { Vec::new() };
        for r in routes {
            self.event(Event::Net(NetEv::RouteNew { route: Box::new(r), replaced: false }));
        }
        for r in if self.routes.watched { self.routes.rules.clone() } else { Vec::new() } {
            self.event(Event::Net(NetEv::RuleNew(Box::new(r))));
        }
        self.event(Event::Net(NetEv::Synced { complete: true }));
    }
    pub fn event(&mut self, e: Event<'_>) {
        let mut fx = Effects::default();
        self.world.handle(self.now, e, &mut fx);
        self.apply(fx);
    }
    pub fn apply(&mut self, mut fx: Effects) {
        self.world.check_invariants();
        let effects: Vec<Effect> = fx.drain().collect();
        for e in effects {
            match e {
                Effect::Sock(SockFx::Open { sock, spec }) => {
                    self.sock = Some(sock);
                    self.specs.insert(sock, spec);
                    self.out.push(Out::Open);
                    self.event(Event::Sock(SockEv::Ready { sock, result: Ok(()) }));
                }
                Effect::Sock(SockFx::HearLocal { sources, .. }) => self.local = sources,
                Effect::Sock(SockFx::Close { sock }) => {
                    if self.sock == Some(sock) {
                        self.sock = None;
                        self.armed.clear();
                    }
                    self.out.push(Out::Close);
                }
                Effect::Advert(AdvertFx::Send { packets, .. }) => {
                    self.from.extend(packets.iter().map(|p| p.from));
                    self.out.extend(packets.iter().map(|p| Out::Advert(p.bytes.clone())));
                }
                Effect::Advert(AdvertFx::At { vr, epoch, at, packets, .. }) => {
                    self.armed.insert((at, vr), epoch);
                    self.from.extend(packets.iter().map(|p| p.from));
                    self.out.extend(packets.iter().map(|p| Out::Armed(at, p.bytes.clone())));
                }
                Effect::Advert(AdvertFx::Stop { vr, farewell, .. }) => {
                    self.armed.retain(|(_, v), _| *v != vr);
                    match farewell {
                        None => self.out.push(Out::Stop(None)),
                        Some(all) => self.out.extend(all.iter().map(|p| Out::Stop(Some(p.bytes.clone())))),
                    }
                }
                Effect::Frames { ifindex, batch, frames } => {
                    let sent = frames.len().min(self.room);
                    self.out.extend(frames.into_iter().take(sent).map(Out::Frame));
                    match self.frame_errors.pop_front() {
                        Some(errno) => {
                            self.event(Event::Frames { ifindex, batch, sent, errno: Some(errno) });
                        }
                        None if self.answer_frames => {
                            self.event(Event::Frames { ifindex, batch, sent, errno: None });
                        }
                        None => self.slices.push((ifindex, batch, sent)),
                    }
                }
                Effect::Net(NetFx::Change { req, op }) => {
                    if let NetOp::AddrAdd(s) = &op {
                        self.wanted.push(s.addr);
                    }
                    if !self.answer {
                        self.unanswered.push(req);
                        continue;
                    }
                    match op {
                        NetOp::AddrAdd(s) => {
                            self.out.push(Out::Add(s.addr));
                            let mut a = addr(s.ifindex, &s.addr.to_string(), s.prefix, s.tag);
                            a.scope = s.scope;
                            self.kernel.push(a.clone());
                            self.event(Event::Net(NetEv::AddrNew(a)));
                        }
                        NetOp::AddrDel(s) => {
                            self.out.push(Out::Del(s.addr));
                            self.kernel.retain(|a| (a.ifindex, a.addr, a.prefix) != (s.ifindex, s.addr, s.prefix));
                            self.event(Event::Net(NetEv::AddrDel {
                                ifindex: s.ifindex,
                                addr: s.addr,
                                prefix: s.prefix,
                                by: None,
                            }));
                        }
                        op @ (NetOp::LinkAdd(_) | NetOp::LinkSet { .. } | NetOp::LinkDel { .. }) => {
                            let (told, result) = self.own_link(&op);
                            told.into_iter().for_each(|e| self.event(e));
                            self.event(Event::Net(NetEv::Reply { req, result }));
                            continue;
                        }
                        op => {
                            let (told, result) = self.routes.apply(&op);
                            told.into_iter().for_each(|e| self.event(e));
                            self.event(Event::Net(NetEv::Reply { req, result }));
                            continue;
                        }
                    }
                    self.event(Event::Net(NetEv::Reply { req, result: Ok(()) }));
                }
                Effect::Helper(HelperFx::SetKnobs { job, dev, set }) => {
                    let before = set.iter().map(|s| (s.knob, 0)).collect();
                    self.knobs.push((job, dev, set));
                    if self.answer_knobs {
                        self.event(Event::Helper(HelperEv::Knobs { job, before, failed: None }));
                    }
                }
                Effect::Net(NetFx::Resync) => self.out.push(Out::Resync),
                Effect::Net(NetFx::WatchRoutes) => self.routes.watched = true,
                // Requests of all but VRRP, in order; a test answers them with `Bench::event`.
                e @ (Effect::Guard(GuardFx::Spawn { .. })
                | Effect::Guard(GuardFx::Kill { .. })
                | Effect::Helper(HelperFx::WatchFile { .. })
                | Effect::Helper(HelperFx::WatchProcesses { .. })
                | Effect::Helper(HelperFx::Unwatch { .. })
                | Effect::Helper(HelperFx::OpenFifo { .. })
                | Effect::Helper(HelperFx::WriteFifo { .. })
                | Effect::Helper(HelperFx::CloseFifo { .. })
                | Effect::Helper(HelperFx::Lookup { .. })
                | Effect::Conn(ConnFx::Connect { .. })
                | Effect::Conn(ConnFx::Write { .. })
                | Effect::Conn(ConnFx::Close { .. })
                | Effect::Lvs(_)
                | Effect::Filter(_)
                | Effect::Bfd(_)
                | Effect::Guard(GuardFx::Compile)
                | Effect::Guard(GuardFx::Reloaded(_))
                | Effect::Guard(GuardFx::StandingBy)
                | Effect::Guard(GuardFx::LookForSuccessor)
                | Effect::Guard(GuardFx::Frozen)) => self.asked.push(e),
                Effect::Note(n) => self.log.push(n.text),
                e @ Effect::Sock(SockFx::Unconnect { .. }) => self.asked.push(e),
                Effect::Exit(code) => self.out.push(Out::Exit(code)),
            }
        }
    }
    /// A kernel's reaction to a request for an own interface: its reports and its answer.
    fn own_link(&mut self, op: &NetOp) -> (Vec<Event<'static>>, Result<(), Errno>) {
        self.own_asked.push(op.clone());
        match op {
            NetOp::LinkAdd(own) if self.links.iter().any(|l| l.name == own.name) => (Vec::new(), Err(Errno::EEXIST)),
            NetOp::LinkAdd(own) => {
                let ifindex = 100 + self.own_asked.len() as u32;
                let (upon, mac) = (Some(own.upon), own.mac);
                let (ours, fresh) = (true, true);
                let made =
                    Link { upon, mac, up: false, running: false, ours, fresh, ..link(ifindex, &own.name, false) };
                self.links.push(made.clone());
                (vec![Event::Net(NetEv::LinkNew(made))], Ok(()))
            }
            NetOp::LinkSet { ifindex, up, tag } => {
                let Some(l) = self.links.iter_mut().find(|l| l.ifindex == *ifindex) else {
                    return (Vec::new(), Err(Errno::ENODEV));
                };
                (l.up, l.running) = (*up, *up);
                if tag.is_some() {
                    (l.ours, l.fresh) = (true, false);
                }
                let mut told = vec![Event::Net(NetEv::LinkNew(l.clone()))];
                if !up {
                    let goes = |a: &AddrInfo| {
                        a.ifindex == *ifindex && matches!(a.addr, IpAddr::V6(v6) if v6.is_unicast_link_local())
                    };
                    for a in self.kernel.extract_if(.., |a| goes(a)) {
                        let (ifindex, addr, prefix) = (a.ifindex, a.addr, a.prefix);
                        told.push(Event::Net(NetEv::AddrDel { ifindex, addr, prefix, by: None }));
                    }
                }
                (told, Ok(()))
            }
            NetOp::LinkDel { ifindex } if self.links.iter().all(|l| l.ifindex != *ifindex) => {
                (Vec::new(), Err(Errno::ENODEV))
            }
            NetOp::LinkDel { ifindex } => {
                self.links.retain(|l| l.ifindex != *ifindex);
                self.kernel.retain(|a| a.ifindex != *ifindex);
                (vec![Event::Net(NetEv::LinkDel { ifindex: *ifindex })], Ok(()))
            }
            op => panic!("{op:?}"),
        }
    }
    /// Fires what is due now.
    pub fn fire(&mut self) {
        for _ in 0..10_000 {
            let mut fx = Effects::default();
            let more = self.world.fire(self.now, 64, &mut fx);
            self.apply(fx);
            // Frames that were answered meanwhile may be followed by more.
            let frames = |d: (Instant, Due)| d.0 <= self.now.mono && d.1 == Due::GarpQueue;
            if !more && !self.world.next_deadline().is_some_and(frames) {
                return;
            }
        }
        panic!("timers fire without end");
    }
    /// Advances the clock: timers fire and armed adverts leave when they are due, each at its own time.
    pub fn run(&mut self, d: Duration) {
        let end = self.now.mono + d;
        for _ in 0..1_000_000 {
            let timer = self.world.next_deadline().map(|(at, _)| at);
            let advert = self.armed.keys().next().map(|(at, _)| *at);
            let Some(at) = kalived::time::earliest(timer, advert).filter(|at| *at <= end) else { break };
            self.turn_to(self.now.mono.max(at));
            if advert.is_some_and(|a| a <= self.now.mono) {
                self.advert_leaves();
            } else {
                self.fire();
            }
        }
        self.turn_to(end);
    }
    pub fn turn_to(&mut self, at: Instant) {
        self.now.wall.0 += at.0.saturating_sub(self.now.mono.0);
        self.now.mono = at;
    }
    /// The oldest armed advert leaves, and the world gets the report now.
    pub fn advert_leaves(&mut self) {
        let ((due, vr), epoch) = self.armed.pop_first().expect("an armed advert");
        self.event(Event::Advert(AdvertEv::Sent { vr, epoch, due, result: Ok(()), missed: &[] }));
    }
    /// Time until the next deadline of this kind.
    pub fn left(&self, kind: fn(VrKey) -> Due) -> Option<Duration> {
        let (at, due) = self.world.next_deadline()?;
        assert_eq!(due, kind(self.view().vr), "the next deadline");
        Some(at.since(self.now.mono))
    }
    pub fn view(&self) -> View {
        self.world.views().into_iter().next().expect("a virtual router")
    }
    pub fn state(&self) -> State {
        self.view().state
    }
    /// An advert from the network.
    pub fn rx(&mut self, cfg: &InstanceConfig, src: &str, priority: u8, interval: Duration) {
        let p = advert(cfg, src, priority, interval);
        let src = ip(src);
        let sock = self.sock.expect("a socket");
        match (src, cfg.mcast_group) {
            (IpAddr::V4(_), _) => {
                let meta = RxMeta { src, dst: None, hop_limit: None };
                self.event(Event::Sock(SockEv::Datagram { sock, meta, age: Duration::ZERO, bytes: &p }));
            }
            (IpAddr::V6(_), IpAddr::V6(group)) => {
                let meta = RxMeta { src, dst: Some(group), hop_limit: Some(255) };
                self.event(Event::Sock(SockEv::Datagram { sock, meta, age: Duration::ZERO, bytes: &p[40..] }));
            }
            _ => panic!("one family"),
        }
    }
    /// As Master; the log and the outputs so far are cleared.
    pub fn master(cfg: InstanceConfig) -> Bench {
        let mut b = Bench::new(cfg);
        b.run(Duration::from_secs(200));
        assert_eq!(b.state(), State::Master);
        b.out.clear();
        b.log.clear();
        b
    }
    pub fn adverts(&self) -> usize {
        self.out.iter().filter(|o| matches!(o, Out::Advert(_))).count()
    }
    pub fn frames(&self) -> usize {
        self.out.iter().filter(|o| matches!(o, Out::Frame(_))).count()
    }
    pub fn term(&mut self) {
        self.event(Event::Signal(Signal::Term));
    }
    pub fn logged(&self, what: &str) -> usize {
        self.log.iter().filter(|l| l.contains(what)).count()
    }
}

/// An advert as `cfg`'s peer would send it.
pub fn advert(cfg: &InstanceConfig, src: &str, priority: u8, interval: Duration) -> Bytes {
    let addrs: Vec<IpAddr> = cfg.vips.iter().map(|v| v.addr).collect();
    packet(&AdvertSpec {
        family: cfg.family,
        version: cfg.version,
        vrid: cfg.vrid,
        priority,
        interval,
        auth: &Auth::None,
        checksum: ChecksumMode::PseudoHeader,
        src: ip(src),
        dst: cfg.mcast_group,
        addrs: &addrs,
    })
}
