//! Effects to system calls, completions to events: the only holder of the map between names and fds.
//!
//! Read first: `event.rs`, `effect.rs`, then `adverts.rs` and `rtnl.rs`, which do the two hard parts. Every `Effect` has
//! its arm, without `_`, as in the simulator.

use super::adverts::Adverts;
use super::busy::{self, Busy, Change};
use super::frames::Frames;
use super::guardline::Line;
use super::handover::Slots;
use super::helperline::HelperLine;
use super::lead::{Lead, Plan};
use super::log::Sink;
use super::rtnl::Rtnl;
use super::sends::{To, Way};
use super::slice;
use super::streams::Streams;
use super::token::Token;
use crate::effect::{AdvertFx, Effect, Effects, NetFx, Packets, SockFx, SockSpec};
use crate::event::{AdvertEv, Errno, Event, LONGEST_AGE, RxMeta, Signal, SockEv};
use crate::exit::ExitCode;
use crate::id::{SockKey, VrKey};
use crate::note::{Level, Note};
use crate::sys::bufring::BufRing;
use crate::sys::clock;
use crate::sys::errno;
use crate::sys::op::{Done, Fd, Header, Link, OpKey};
use crate::sys::ring::Ring;
use crate::sys::sched;
use crate::sys::signal;
use crate::sys::socket::{self, Pair, SockAddr};
use crate::time::{Duration, Instant, Now, earliest};
use crate::vrrp::text;
use core::net::{IpAddr, Ipv4Addr};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::AsRawFd;
use std::rc::Rc;

/// Buffers for datagrams. A flood of 10,000 a second fills 128 in 13 ms, and then they wait in the socket.
const BUFFERS: u16 = 128;
/// Bytes each: header, sender and ancillary data (140), and an advert with 255 IPv6 addresses (4,088) or, for IPv4,
/// one with the longest IP header (60 + 1,036).
const BUFFER: u32 = 4608;
/// Group number of the datagram buffers.
const GROUP: u16 = 1;

/// Receives that fail one after another before a socket counts as lost. A single error may be somebody's ICMP.
const RECEIVE_FAILURES: u32 = 8;

/// How long an exit may wait for the last packets and log lines. The machines have confirmed or given up the rest;
/// longer, and a stopped syslog daemon would hold up a shutdown.
pub(super) const EXIT_GRACE: Duration = Duration::from_millis(500);

/// Address requests wait while a takeover is due within this time: its advert would stand behind the kernel's work on them. No
/// longer than it takes a slice, for a takeover that is so near comes or is called off within that time.
const TAKEOVER_NEAR: Duration = slice::TARGET;

struct Sock {
    pair: Pair,
    to: To,
    v6: bool,
    rx: OpKey,
    failures: u32,
    spec: SockSpec,
    local: Option<Local>,
}

/// The packet socket beside a VRRP socket, for adverts from addresses of this host.
struct Local {
    fd: Fd,
    rx: OpKey,
    failures: u32,
}

/// Counters that people may ask for (SIGUSR2 prints them).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams longer than any advert: dropped.
    pub oversized: u64,
    /// Datagrams whose sender could not be read: dropped.
    pub anonymous: u64,
    /// Times the datagram buffers ran out (nothing is lost by it).
    pub buffers_out: u64,
    /// Sends of frames that failed; they are tried again.
    pub frames_failed: u64,
    /// Completions that named nothing of ours.
    pub unknown: u64,
}

/// The interpreter.
pub struct Exec {
    pub(super) ring: Ring<Token>,
    buffers: BufRing,
    header_v4: Rc<Header>,
    header_v6: Rc<Header>,
    frames: Frames,
    /// Answers to this turn's frames.
    sent: Vec<Event<'static>>,
    signals: Fd,
    socks: BTreeMap<SockKey, Sock>,
    pub(super) adverts: Adverts,
    rtnl: Rtnl,
    pub(super) log: Sink,
    /// Answers that need no completion; told at the start of the next turn.
    pub(super) inbox: VecDeque<Event<'static>>,
    pub(super) exit: Option<(ExitCode, Instant)>,
    counters: Counters,
    lead: Lead,
    busy: Busy,
    /// Real-time priority of this process, if it has one.
    pub(super) rt_priority: Option<u8>,
    /// Adverts to leave with the next submission.
    urgent: Vec<(VrKey, Packets, Way)>,
    /// When the last requests went to the kernel.
    asked: Option<Instant>,
    several_cpus: bool,
    /// When the next takeover is due.
    takeover: Option<Instant>,
    /// To the guard, where there is one.
    pub(super) line: Option<Line>,
    /// Where snapshots go, where there is such a place.
    pub(super) slots: Option<Slots>,
    /// By which a successor in charge is seen (`sys/lockfile.rs`).
    pub witness: Option<std::fs::File>,
    /// What it said when this process froze.
    pub(super) charges: u64,
    /// When the guard is told the states.
    pub(super) summary_at: Option<Instant>,
    pub(super) streams: Streams,
    pub(super) helper: HelperLine,
}

impl Exec {
    /// Opens what every run needs: packet socket, rtnetlink, signals.
    pub fn new(mut ring: Ring<Token>, signals: Fd, log: Sink) -> io::Result<Exec> {
        let buffers = BufRing::new(GROUP, BUFFERS, BUFFER)?;
        ring.register(&buffers)?;
        let frames = Frames::open()?;
        let several_cpus = std::thread::available_parallelism().is_ok_and(|n| n.get() > 1);
        let rtnl = Rtnl::open(&mut ring, several_cpus)?;
        ring.read(Token::Signals, &signals, SIGNAL_BYTES);
        Ok(Exec {
            ring,
            buffers,
            header_v4: Header::new(socket::NAME, socket::CONTROL),
            header_v6: Header::new(socket::NAME, socket::CONTROL),
            frames,
            sent: Vec::new(),
            signals,
            socks: BTreeMap::new(),
            adverts: Adverts::default(),
            rtnl,
            log,
            inbox: VecDeque::new(),
            exit: None,
            counters: Counters::default(),
            lead: Lead::default(),
            busy: Busy::default(),
            rt_priority: None,
            urgent: Vec::new(),
            asked: None,
            several_cpus,
            takeover: None,
            line: None,
            slots: None,
            witness: None,
            charges: 0,
            summary_at: None,
            streams: Streams::default(),
            helper: HelperLine::default(),
        })
    }

    /// Applies a turn's effects in order. Submission is the next wait's.
    pub fn apply(&mut self, now: Now, fx: &mut Effects) {
        for e in fx.drain() {
            self.effect(now, e);
        }
        // What leaves first: adverts that take over or contradict somebody, then announcements, then address requests: these keep a
        // processor busy for longer. Not while a farewell is on its way: the kernel's worker would overtake it, and the
        // addresses go only after the priority-0 advert.
        self.send_frames(now.mono);
        let near = self.takeover.is_some_and(|at| at <= clock::mono() + TAKEOVER_NEAR);
        let held = near || self.frames.held(now.mono).is_some();
        if !self.adverts.stopping()
            && !held
            && self.rtnl.pump(&mut self.ring, earliest(self.adverts.next_due(), self.takeover))
        {
            // On a single processor the worker could not run while we wait for it awake.
            self.asked = self.several_cpus.then_some(now.mono);
            self.ring.push_out();
        }
        self.adverts.arm(&mut self.ring);
        self.guard_pump(now.mono);
        self.pump_helper();
        self.log.pump(&mut self.ring, now.mono);
    }

    fn effect(&mut self, now: Now, effect: Effect) {
        match effect {
            Effect::Sock(SockFx::Open { sock, spec }) => {
                let result = self.open(sock, spec).map_err(|e| Errno(e.raw_os_error().unwrap_or(0)));
                self.inbox.push_back(Event::Sock(SockEv::Ready { sock, result }));
            }
            Effect::Sock(SockFx::Close { sock }) => {
                self.send_frames(now.mono);
                self.close(sock);
            }
            Effect::Sock(SockFx::HearLocal { sock, sources }) => self.hear_local(now, sock, &sources),
            Effect::Advert(AdvertFx::Send { vr, sock, packets }) => match self.way_now(sock) {
                Some(way) => self.urgent.push((vr, packets, way)),
                None => self.inbox.push_back(Event::Advert(AdvertEv::SendFailed { vr, errno: Errno::ENODEV })),
            },
            Effect::Advert(AdvertFx::At { vr, sock, epoch, at, packets }) => match self.way(sock) {
                Some(way) => self.adverts.add(vr, sock, way, epoch, at, packets),
                None => {
                    let result = Err(Errno::ENODEV);
                    self.inbox.push_back(Event::Advert(AdvertEv::Sent { vr, epoch, due: at, result, missed: &[] }));
                }
            },
            Effect::Advert(AdvertFx::Stop { vr, sock, farewell }) => {
                // A farewell is the last packet of its router.
                self.send_frames(now.mono);
                let way = self.way(sock);
                if farewell.is_some() && way.is_none() {
                    self.inbox.push_back(Event::Advert(AdvertEv::FarewellFailed { vr, errno: Errno::ENODEV }));
                }
                self.adverts.stop(&mut self.ring, vr, farewell.zip(way));
                // The farewell is on the wire before a kernel worker begins to take the addresses away.
                self.ring.push_out();
            }
            Effect::Frames { ifindex, batch, frames } => self.frames.add(ifindex, batch, frames),
            Effect::Net(NetFx::Change { req, op }) => self.inbox.extend(self.rtnl.request(req, op)),
            Effect::Net(NetFx::Resync) => self.inbox.extend(self.rtnl.resync()),
            Effect::Net(NetFx::WatchRoutes) => self.rtnl.watch_routes(),
            Effect::Guard(fx) => self.guard_effect(fx),
            Effect::Helper(fx) => self.helper_effect(fx),
            Effect::Conn(fx) => self.stream_effect(fx),
            Effect::Note(note) => self.log.note(now, note),
            Effect::Exit(code) => {
                // A later one only asks for more time: for the very last line. What is armed for a successor leaves before.
                let armed = self.adverts.last_due().filter(|_| self.frozen()).unwrap_or(now.mono);
                self.exit = Some((code, armed.max(now.mono) + EXIT_GRACE));
            }
        }
    }

    /// Whether there is more to do than a real-time process may: see `busy.rs`.
    pub(super) fn look_at_load(&mut self, now: Now) {
        let Some(priority) = self.rt_priority.filter(|_| self.busy.is_due(now.mono)) else { return };
        let Some(change) = self.busy.look(now.mono, clock::cpu()) else { return };
        let (rt, note) = match change {
            Change::Leave { first } => (None, busy::text::left(priority, first)),
            Change::Return => (Some(priority), busy::text::returned(priority)),
        };
        if sched::change_class(rt).is_ok() {
            self.log.note(now, note);
        }
    }

    /// Pushes the adverts that are to leave now: they take over or contradict somebody, so the rest of the turn waits for them.
    /// The machines limit their number. Whether there were any.
    fn send_urgent(&mut self) -> bool {
        let any = !self.urgent.is_empty();
        for (vr, packets, way) in self.urgent.drain(..) {
            self.adverts.sends.send(&mut self.ring, vr, &packets, &way);
        }
        any
    }

    /// Sends the frames of the turn, and before them its adverts: hosts follow the announcement, so the old Master is to have
    /// heard of us by then.
    fn send_frames(&mut self, now: Instant) {
        if self.send_urgent() {
            self.ring.push_out();
        }
        if !self.frames.waits() {
            return;
        }
        for answer in self.frames.send(&mut self.ring, now) {
            if let Event::Frames { errno: Some(e), .. } = answer
                && let Some(note) = self.frames.report(now, e)
            {
                self.log.note(Now { mono: now, ..clock::now() }, note);
            }
            self.sent.push(answer);
        }
    }

    /// What became of the frames of this turn: known already, so nobody waits for a turn to hear of it.
    pub fn frames_sent(&mut self, tell: &mut dyn FnMut(Now, Event<'_>)) {
        if !self.sent.is_empty() {
            // Behind the sends: how long they took paces the next ones.
            let now = clock::now();
            self.sent.drain(..).for_each(|e| tell(now, e));
        }
    }

    /// When the next takeover is due: nothing long is begun shortly before.
    pub fn expect_takeover(&mut self, at: Option<Instant>) {
        self.takeover = at;
    }

    /// When the next takeover is due.
    pub(super) fn next_takeover(&self) -> Option<Instant> {
        self.takeover
    }

    fn open(&mut self, sock: SockKey, spec: SockSpec) -> io::Result<()> {
        self.close(sock);
        let (pair, to) = match spec {
            SockSpec::Multicast { ifindex, group } => {
                let (pair, group) = (socket::open_vrrp(ifindex, group)?, Rc::new(SockAddr::ip(group, ifindex)));
                let connected = socket::connect_group(&pair.tx, &group);
                (pair, if connected { To::Connected } else { To::One(group) })
            }
            SockSpec::Unicast { local, ifindex } => (socket::open_unicast(ifindex, local)?, To::Each(ifindex)),
        };
        let v6 = spec.address().is_ipv6();
        let header = if v6 { &self.header_v6 } else { &self.header_v4 };
        let rx = self.ring.recv_multi(Token::Rx(sock), &pair.rx, header, &self.buffers);
        self.socks.insert(sock, Sock { pair, to, v6, rx, failures: 0, spec, local: None });
        Ok(())
    }

    /// Cancel before close: the receive is cancelled, and the fds close with the last operation that holds them.
    fn close(&mut self, sock: SockKey) {
        if let Some(s) = self.socks.remove(&sock) {
            self.adverts.close(&mut self.ring, sock);
            self.ring.cancel(Token::Cancel, s.rx, Link::Last);
            if let Some(local) = s.local {
                self.ring.cancel(Token::Cancel, local.rx, Link::Last);
            }
        }
    }

    fn hear_local(&mut self, now: Now, sock: SockKey, sources: &[Ipv4Addr]) {
        let Some(s) = self.socks.get_mut(&sock) else { return };
        let IpAddr::V4(to) = s.spec.address() else { return };
        let local = s.local.take();
        if sources.is_empty() {
            if let Some(l) = local {
                self.ring.cancel(Token::Cancel, l.rx, Link::Last);
            }
            return;
        }
        let result = match local {
            Some(l) => socket::filter_local(l.fd.as_raw_fd(), to, sources).map(|()| l),
            None => socket::open_local(s.spec.ifindex().unwrap_or(0), to, sources).map(|fd| {
                let rx = self.ring.recv_multi(Token::RxLocal(sock), &fd, &self.header_v4, &self.buffers);
                Local { fd, rx, failures: 0 }
            }),
        };
        match result {
            Ok(l) => s.local = Some(l),
            Err(e) => self.log.note(now, text::no_local(Errno(e.raw_os_error().unwrap_or(0)))),
        }
    }

    fn local_datagram(&mut self, sock: SockKey, done: &Done<Token>, now: Now, tell: &mut dyn FnMut(Event<'_>)) {
        let Done { result, buffer, more, .. } = *done;
        let mut open = self.socks.get_mut(&sock).and_then(|s| s.local.as_mut());
        if let Some(id) = buffer {
            if open.is_some()
                && let Some(d) = self.buffers.datagram(id, result, &self.header_v4).filter(|d| !d.truncated)
                && let Some(src) = d.payload.get(12..16).and_then(|b| <[u8; 4]>::try_from(b).ok())
            {
                let meta = RxMeta { src: src.into(), dst: None, hop_limit: None };
                let stamp = socket::control(d.control).stamp;
                let age = stamp.map_or(Duration::ZERO, |at| now.wall.since(at)).min(LONGEST_AGE);
                tell(Event::Sock(SockEv::LocalDatagram { sock, meta, age, bytes: d.payload }));
            }
            self.buffers.give(id);
        }
        let Some(l) = open.as_mut() else { return };
        match result {
            0.. => l.failures = 0,
            // Said once each time the interface goes down.
            errno::ENOBUFS | errno::ENETDOWN => {}
            _ => l.failures += 1,
        }
        if more {
            return;
        }
        if l.failures < RECEIVE_FAILURES {
            l.rx = self.ring.recv_multi(Token::RxLocal(sock), &l.fd, &self.header_v4, &self.buffers);
        } else if let Some(s) = self.socks.get_mut(&sock) {
            s.local = None;
            self.log.note(now, text::no_local(Errno(-result)));
        }
    }

    fn way(&self, sock: SockKey) -> Option<Way> {
        let s = self.socks.get(&sock)?;
        Some(Way { fd: s.pair.tx.clone(), to: s.to.clone() })
    }

    // For an advert that leaves at once, which begins a time of many: the interface may have been down when its socket was opened.
    fn way_now(&mut self, sock: SockKey) -> Option<Way> {
        if let Some(s) = self.socks.get_mut(&sock)
            && let To::One(group) = &s.to
            && socket::connect_group(&s.pair.tx, group)
        {
            s.to = To::Connected;
        }
        self.way(sock)
    }

    /// Waits until something completed or `until`; with `takeover` to the point (see `lead.rs`). Does not wait when answers lie
    /// ready or `busy`.
    pub fn wait(&mut self, until: Option<Instant>, takeover: Option<Instant>, busy: bool) -> io::Result<()> {
        if busy || !self.inbox.is_empty() || self.finished().is_some() {
            return self.ring.submit();
        }
        let own = earliest(self.log.next_deadline(), self.exit.map(|(_, at)| at));
        let own = earliest(own, earliest(self.guard_deadline(), self.keep_deadline()));
        let from = clock::mono();
        let own = earliest(own, self.frames.held(from));
        let until = earliest(until, own);
        let sharp = earliest(takeover, self.adverts.next_due());
        let answer = self.asked.filter(|_| self.rtnl.waits());
        match self.lead.plan(from, until, sharp, answer) {
            Plan::Now => self.ring.submit(),
            Plan::Sleep(until) => {
                let waited = self.ring.submit_and_wait(until);
                self.lead.woke(clock::mono());
                waited
            }
            Plan::Spin(end) => {
                self.ring.submit_pushed()?;
                let mut now = clock::mono();
                while now < end && self.ring.queued() == 0 {
                    match answer {
                        // From another processor: asking is quicker than being interrupted.
                        Some(_) => self.ring.submit()?,
                        // From a timer of this one.
                        None => core::hint::spin_loop(),
                    }
                    now = clock::mono();
                }
                self.lead.spent(from, now);
                Ok(())
            }
        }
    }

    /// Hands what is queued to the kernel. An error comes again with the next wait, which reports it.
    pub fn flush(&mut self) {
        let _ = self.ring.submit();
    }

    /// Tells every event that lay ready when the turn began.
    pub fn events(&mut self, now: Now, tell: &mut dyn FnMut(Event<'_>)) {
        let mut queued = self.ring.queued();
        for e in core::mem::take(&mut self.inbox) {
            tell(e);
        }
        // Bounded by what was queued at the start (at most the queue, 4,096): a flood cannot keep timers waiting.
        while queued > 0 {
            queued -= 1;
            let Some(done) = self.ring.pop() else { break };
            self.completion(now, done, tell);
        }
    }

    fn completion(&mut self, now: Now, done: Done<Token>, tell: &mut dyn FnMut(Event<'_>)) {
        if let Token::RxLocal(sock) = done.tag {
            return self.local_datagram(sock, &done, now, tell);
        }
        let Done { tag, op, result, buffer, more, read } = done;
        match tag {
            Token::Rx(sock) => self.datagram(now, sock, result, buffer, more, tell),
            Token::Timer(chain) => self.adverts.on_timer(chain),
            Token::Advert(chain, i) => self.adverts.on_send(&mut self.ring, chain, i, result, tell),
            Token::Farewell(stop) => {
                if let Some(e) = self.adverts.on_farewell(&mut self.ring, stop, result) {
                    tell(e);
                }
            }
            Token::Send(key) => {
                if let Some(e) = self.adverts.sends.on_done(key, result) {
                    tell(e);
                }
            }
            Token::FrameRoom(ifindex) => {
                if let Some(e) = self.frames.on_room(ifindex) {
                    tell(e);
                }
            }
            Token::NetlinkTx => self.rtnl.on_sent(result, tell),
            Token::NetlinkRx => self.rtnl.on_received(&mut self.ring, buffer, result, more, tell),
            Token::Signals => {
                let bytes = read.as_deref().unwrap_or_default();
                let n = usize::try_from(result).unwrap_or(0);
                for s in bytes.iter().take(n).filter_map(|b| signal_of(*b)) {
                    if s == Signal::Usr2 {
                        let text = self.describe();
                        self.log.note(now, Note { level: Level::Info, text });
                    }
                    if self.is_for_us(now, s) {
                        tell(Event::Signal(s));
                    }
                }
                self.ring.read(Token::Signals, &self.signals, SIGNAL_BYTES);
            }
            Token::Guard => self.on_guard(now, tell),
            Token::Log => self.log.on_written(result, now.mono),
            Token::Cancel | Token::RxLocal(_) => {}
            Token::Connect(_) | Token::StreamRx(_) | Token::StreamTx(_) => {
                self.streams.on_done(&mut self.ring, tag, op, result, read.as_deref(), tell);
            }
            Token::HelperRx | Token::HelperTx | Token::FifoRoom(_) => self.on_helper(now, tag, op, tell),
        }
    }

    fn datagram(
        &mut self,
        now: Now,
        sock: SockKey,
        result: i32,
        buffer: Option<u16>,
        more: bool,
        tell: &mut dyn FnMut(Event<'_>),
    ) {
        let open = self.socks.get_mut(&sock);
        if let Some(id) = buffer {
            if let Some(s) = &open {
                let header = if s.v6 { &self.header_v6 } else { &self.header_v4 };
                match self.buffers.datagram(id, result, header) {
                    Some(d) if d.truncated => self.counters.oversized += 1,
                    Some(d) => match socket::sender(d.name) {
                        Some(src) => {
                            let c = socket::control(d.control);
                            let meta = RxMeta { src, dst: c.dst, hop_limit: c.hop_limit };
                            let age = c.stamp.map_or(Duration::ZERO, |at| now.wall.since(at)).min(LONGEST_AGE);
                            tell(Event::Sock(SockEv::Datagram { sock, meta, age, bytes: d.payload }));
                        }
                        None => self.counters.anonymous += 1,
                    },
                    None => self.counters.oversized += 1,
                }
            }
            self.buffers.give(id);
        }
        let Some(s) = open else { return };
        if result >= 0 {
            s.failures = 0;
        } else if result == errno::ENOBUFS {
            self.counters.buffers_out += 1;
        } else {
            s.failures += 1;
        }
        if more {
            return;
        }
        if s.failures < RECEIVE_FAILURES {
            let header = if s.v6 { &self.header_v6 } else { &self.header_v4 };
            s.rx = self.ring.recv_multi(Token::Rx(sock), &s.pair.rx, header, &self.buffers);
        } else {
            self.close(sock);
            tell(Event::Sock(SockEv::Lost { sock, errno: Errno(-result) }));
        }
    }

    /// The exit code, once everything before the exit is done or its time is up.
    pub fn finished(&self) -> Option<ExitCode> {
        self.exit
            .filter(|_| self.adverts.sends.is_empty() && !self.adverts.stopping() && self.left() && self.log.settled())
            .map(|(code, _)| code)
    }

    /// As [`Exec::finished`], or because the grace has passed.
    pub fn finished_at(&self, now: Instant) -> Option<ExitCode> {
        self.finished().or_else(|| self.exit.filter(|(_, at)| now >= *at).map(|(code, _)| code))
    }

    /// Whether an exit was asked for: nothing new is begun then.
    pub fn exiting(&self) -> bool {
        self.exit.is_some()
    }

    /// What made the ring unusable, if something did.
    pub fn broken(&self) -> Option<io::Error> {
        self.ring.broken().map(|e| io::Error::from_raw_os_error(-e))
    }

    /// Counters so far.
    pub fn counters(&self) -> Counters {
        Counters { unknown: self.ring.unknown(), frames_failed: self.frames.failed, ..self.counters }
    }

    /// One line for SIGUSR2.
    pub fn describe(&self) -> String {
        let c = self.counters();
        format!(
            "{} operations in flight, {} chains of adverts, {} sockets, {} connections; {}; datagrams too long {}, without sender {}; \
             buffers used up {} times, frames not sent {}, unknown completions {}, malformed netlink messages {}",
            self.ring.in_flight(),
            self.adverts.chains(),
            self.socks.len(),
            self.streams.len(),
            self.helper.describe(),
            c.oversized,
            c.anonymous,
            c.buffers_out,
            c.frames_failed,
            c.unknown,
            self.rtnl.malformed(),
        )
    }
}

/// Bytes of one read of the signal pipe: more signals than that at once are read in the next turn.
const SIGNAL_BYTES: usize = 64;

pub(super) fn signal_of(byte: u8) -> Option<Signal> {
    match byte {
        signal::TERM => Some(Signal::Term),
        signal::INT => Some(Signal::Int),
        signal::HUP => Some(Signal::Hup),
        signal::USR1 => Some(Signal::Usr1),
        signal::USR2 => Some(Signal::Usr2),
        _ => None,
    }
}
