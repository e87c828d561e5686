//! Effects to system calls, completions to events: the services of the loop, and which of them does what.
//!
//! Read first: `event.rs`, `effect.rs`, then the services, each with its descriptors, tokens and table: `sockets`, `adverts` (with
//! `sends`), `frames`, `rtnl`, `ipvs`, `nft`, `streams`, `guardline`, `helperline`, `log`. Each enum is matched in one place, without `_`. Generic over
//! the operating system: [`Ring`] in the daemon, a simulated one in `tests/sim/os`.

use super::adverts::Adverts;
use super::busy::{self, Busy, Change};
use super::frames::Frames;
use super::guardline::Line;
use super::handover::Kept;
use super::helperline::HelperLine;
use super::ipvs::Ipvs;
use super::lead::{Lead, Plan};
use super::log::Sink;
use super::nft::Filter;
use super::os::Os;
use super::report::Reporting;
use super::rtnl::Rtnl;
use super::sends::Way;
use super::slice;
use super::sockets::Sockets;
use super::streams::Streams;
use super::token::{NetToken, Token};
use crate::config::model::lvs::Part;
use crate::effect::{AdvertFx, ConnFx, Effect, Effects, LvsFx, Packets, SockFx};
use crate::event::{AdvertEv, Errno, Event, LvsEv, Signal};
use crate::exit::ExitCode;
use crate::id::VrKey;
use crate::process::parts::Parts;
use crate::report::{Loop, seconds};
use crate::sys::op::{Done, Fd};
use crate::sys::ring::Ring;
use crate::sys::signal;
use crate::sys::{sched, sections};
use crate::time::{Duration, Instant, Now, earliest};
use std::collections::VecDeque;
use std::io;

/// How long an exit may wait for the last packets and log lines. The machines have confirmed or given up the rest;
/// longer, and a stopped syslog daemon would hold up a shutdown.
pub(super) const EXIT_GRACE: Duration = Duration::from_millis(500);

/// Address requests wait while a takeover is due within this time: its advert would stand behind the kernel's work on them. No
/// longer than it takes a slice, for a takeover that is so near comes or is called off within that time.
const TAKEOVER_NEAR: Duration = slice::TARGET;

/// Counters that people may ask for (`kalived status`).
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

/// What the last wait was, so that the turn after it can learn from it.
#[derive(Clone, Copy, Debug)]
enum Waited {
    Not,
    Slept,
    Spun(Instant),
}

/// The interpreter.
pub struct Exec<O: Os = Ring<Token>> {
    pub(super) os: O,
    sockets: Sockets<O::Buffers>,
    frames: Frames,
    /// Answers to this turn's frames.
    sent: Vec<Event<'static>>,
    signals: Fd,
    pub(super) adverts: Adverts,
    rtnl: Rtnl<O::Buffers>,
    ipvs: Ipvs<O::Buffers>,
    filter: Filter<O::Buffers>,
    /// The virtual servers of the configuration that came last, where there are or were any.
    parts: Option<Parts>,
    pub(super) log: Sink,
    /// Answers that need no completion; told at the start of the next turn. At most one for each effect.
    pub(super) inbox: VecDeque<Event<'static>>,
    pub(super) exit: Option<(ExitCode, Instant)>,
    lead: Lead,
    waited: Waited,
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
    pub(super) kept: Option<Kept>,
    /// By which a successor in charge is seen (`sys/lockfile.rs`).
    pub witness: Option<std::fs::File>,
    /// What it said when this process froze.
    pub(super) charges: u64,
    /// When the guard is told the states.
    pub(super) summary_at: Option<Instant>,
    pub(super) streams: Streams,
    pub(super) helper: HelperLine,
    /// A report that is being written.
    pub(super) reporting: Option<Reporting>,
}

impl<O: Os> Exec<O> {
    /// Opens what every run needs: packet socket, rtnetlink, signals. `several_cpus`: the kernel's workers have a processor of their own.
    pub fn new(mut os: O, signals: Fd, log: Sink, several_cpus: bool) -> io::Result<Exec<O>> {
        let sockets = Sockets::new(&mut os)?;
        let frames = Frames::open(&mut os)?;
        let rtnl = Rtnl::open(&mut os, several_cpus)?;
        os.read(Token::Signals, &signals, SIGNAL_BYTES);
        Ok(Exec {
            os,
            sockets,
            frames,
            sent: Vec::new(),
            signals,
            adverts: Adverts::default(),
            rtnl,
            ipvs: Ipvs::new(several_cpus),
            filter: Filter::default(),
            parts: None,
            log,
            inbox: VecDeque::new(),
            exit: None,
            lead: Lead::default(),
            waited: Waited::Not,
            busy: Busy::default(),
            rt_priority: None,
            urgent: Vec::new(),
            asked: None,
            several_cpus,
            takeover: None,
            line: None,
            kept: None,
            witness: None,
            charges: 0,
            summary_at: None,
            streams: Streams::default(),
            helper: HelperLine::default(),
            reporting: None,
        })
    }

    /// The operating system below, for who drives a simulated one.
    pub fn os(&mut self) -> &mut O {
        &mut self.os
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
        let near = self.takeover.is_some_and(|at| at <= self.os.mono() + TAKEOVER_NEAR);
        let held = near || self.frames.held(now.mono).is_some();
        if !self.adverts.stopping() && !held && self.filter.pump(&mut self.os) {
            // Addresses wait for it.
            self.os.push_out();
        }
        if !self.adverts.stopping()
            && !held
            && self.rtnl.pump(&mut self.os, earliest(self.adverts.next_due(), self.takeover))
        {
            // On a single processor the worker could not run while we wait for it awake.
            self.asked = self.several_cpus.then_some(now.mono);
            self.os.push_out();
        } else if !self.adverts.stopping() && !held {
            // Addresses first: its completion is a turn that comes here again.
            self.ipvs.pump(&mut self.os, earliest(self.adverts.next_due(), self.takeover));
        }
        self.adverts.arm(&mut self.os);
        self.guard_pump(now);
        self.pump_helper(now);
        self.log.pump(&mut self.os, now.mono);
    }

    /// Which service does it.
    fn effect(&mut self, now: Now, effect: Effect) {
        match effect {
            Effect::Sock(fx) => {
                // What this turn announces leaves before its socket closes.
                if matches!(fx, SockFx::Close { .. }) {
                    self.send_frames(now.mono);
                }
                if let Some(note) = self.sockets.apply(&mut self.os, &mut self.adverts, fx, &mut self.inbox) {
                    self.log.note(now, note);
                }
            }
            Effect::Advert(fx) => self.advert_effect(now, fx),
            Effect::Frames { ifindex, batch, frames } => self.frames.add(ifindex, batch, frames),
            Effect::Net(fx) => self.inbox.extend(self.rtnl.apply(&mut self.os, fx)),
            Effect::Guard(fx) => self.guard_effect(fx),
            Effect::Helper(fx) => self.inbox.extend(self.helper.apply(&mut self.os, fx)),
            Effect::Conn(fx) => {
                if let ConnFx::Close { conn } = fx {
                    self.helper.forget_lookup(conn);
                }
                self.streams.apply(&mut self.os, fx, &mut self.inbox);
            }
            Effect::Lvs(fx) => self.lvs_effect(fx),
            Effect::Filter(fx) => self.inbox.extend(self.filter.apply(&mut self.os, fx)),
            Effect::Note(note) => self.log.note(now, note),
            Effect::Exit(code) => {
                // A later one only asks for more time: for the very last line. What is armed for a successor leaves before.
                let armed = self.adverts.last_due().filter(|_| self.frozen()).unwrap_or(now.mono);
                self.exit = Some((code, armed.max(now.mono) + EXIT_GRACE));
            }
        }
    }

    fn lvs_effect(&mut self, fx: LvsFx) {
        let answer = match fx {
            LvsFx::Read => {
                let next = self.parts.as_mut().map_or_else(|| Err("there is none".to_owned()), Parts::read);
                let next = next.map(|parts| {
                    // Keys concern connections alone: the machines, and what records them, do not see them.
                    let (mut keys, rest) = parts.into_iter().partition::<Vec<_>, _>(|p| matches!(p, Part::Ssl(_)));
                    if let Some(Part::Ssl(ssl)) = keys.pop() {
                        self.streams.trust(ssl.pem);
                    }
                    rest
                });
                Some(Event::Lvs(LvsEv::Config(next.map_err(Into::into))))
            }
            LvsFx::Open => self.ipvs.open(&mut self.os),
            LvsFx::Change { req, op } => self.ipvs.change(req, op),
            LvsFx::Dump(of) => self.ipvs.dump(of),
        };
        self.inbox.extend(answer);
    }

    /// A configuration came with these virtual servers. `Some`: it is to be told; not where there are none and never were.
    pub(super) fn offer(&mut self, parts: Parts) -> Option<Event<'static>> {
        if parts.any() {
            sections::keep_checks();
        }
        let told = self.parts.is_some() || parts.any();
        if told {
            self.streams.trust(Box::default());
            self.parts = Some(parts);
        }
        told.then_some(Event::Lvs(LvsEv::Offered))
    }

    fn advert_effect(&mut self, now: Now, fx: AdvertFx) {
        if let AdvertFx::Send { packets, .. } | AdvertFx::At { packets, .. } = &fx {
            self.sockets.need_frames(&mut self.os, packets);
        }
        match fx {
            AdvertFx::Send { vr, sock, packets } => match self.sockets.way_now(&mut self.os, sock) {
                Some(way) => self.urgent.push((vr, packets, way)),
                None => {
                    self.inbox.push_back(Event::Advert(AdvertEv::SendFailed { vr, errno: Errno::ENODEV }));
                }
            },
            AdvertFx::At { vr, sock, epoch, at, packets } => match self.sockets.way(sock) {
                Some(way) => self.adverts.add(vr, sock, way, epoch, at, packets),
                None => {
                    let result = Err(Errno::ENODEV);
                    let sent = AdvertEv::Sent { vr, epoch, due: at, result, missed: &[] };
                    self.inbox.push_back(Event::Advert(sent));
                }
            },
            AdvertFx::Stop { vr, sock, farewell } => {
                // A farewell is the last packet of its router.
                self.send_frames(now.mono);
                let way = self.sockets.way(sock);
                if farewell.is_some() && way.is_none() {
                    self.inbox.push_back(Event::Advert(AdvertEv::FarewellFailed { vr, errno: Errno::ENODEV }));
                }
                self.adverts.stop(&mut self.os, vr, farewell.zip(way));
                // The farewell is on the wire before a kernel worker begins to take the addresses away.
                self.os.push_out();
            }
        }
    }

    /// Whether there is more to do than a real-time process may: see `busy.rs`.
    pub(super) fn look_at_load(&mut self, now: Now) {
        let Some(priority) = self.rt_priority.filter(|_| self.busy.is_due(now.mono)) else { return };
        let Some(change) = self.busy.look(now.mono, self.os.cpu()) else { return };
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
            self.adverts.sends.send(&mut self.os, vr, &packets, &way);
        }
        any
    }

    /// Sends the frames of the turn, and before them its adverts: hosts follow the announcement, so the old Master is to have
    /// heard of us by then.
    fn send_frames(&mut self, now: Instant) {
        if self.send_urgent() {
            self.os.push_out();
        }
        if !self.frames.waits() {
            return;
        }
        let wall = self.os.now();
        for answer in self.frames.send(&mut self.os, now) {
            if let Event::Frames { errno: Some(e), .. } = answer
                && let Some(note) = self.frames.report(now, e)
            {
                self.log.note(Now { mono: now, ..wall }, note);
            }
            self.sent.push(answer);
        }
    }

    /// What became of the frames of this turn: known already, so nobody waits for a turn to hear of it.
    pub fn frames_sent(&mut self, tell: &mut dyn FnMut(Now, Event<'_>)) {
        if !self.sent.is_empty() {
            // Behind the sends: how long they took paces the next ones.
            let now = self.os.now();
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

    /// Waits until something completed or `until`; with `takeover` to the point (see `lead.rs`). Does not wait when answers lie
    /// ready or `busy`.
    pub fn wait(&mut self, until: Option<Instant>, takeover: Option<Instant>, busy: bool) -> io::Result<()> {
        self.sleep(until, takeover, busy)?;
        self.woke();
        Ok(())
    }

    /// The first half of [`Exec::wait`]; [`Exec::woke`] is the other.
    pub(super) fn sleep(&mut self, until: Option<Instant>, takeover: Option<Instant>, busy: bool) -> io::Result<()> {
        self.waited = Waited::Not;
        if busy || !self.inbox.is_empty() || self.finished().is_some() {
            return self.os.submit();
        }
        let own = earliest(self.log.next_deadline(), self.exit.map(|(_, at)| at));
        let own = earliest(own, earliest(self.guard_deadline(), self.keep_deadline()));
        let from = self.os.mono();
        let own = earliest(own, self.frames.held(from));
        let until = earliest(until, own);
        let sharp = earliest(takeover, self.adverts.next_due());
        let answer = self.asked.filter(|_| self.rtnl.waits());
        match self.lead.plan(from, until, sharp, answer) {
            Plan::Now => self.os.submit(),
            Plan::Sleep(until) => {
                self.waited = Waited::Slept;
                self.os.submit_and_wait(until)
            }
            Plan::Spin(end) => {
                self.waited = Waited::Spun(from);
                self.os.spin(end, answer.is_some())
            }
        }
    }

    /// The wait is over.
    pub(super) fn woke(&mut self) {
        match core::mem::replace(&mut self.waited, Waited::Not) {
            Waited::Not => {}
            Waited::Slept => self.lead.woke(self.os.mono()),
            Waited::Spun(from) => self.lead.spent(from, self.os.mono()),
        }
    }

    /// Hands what is queued to the kernel. An error comes again with the next wait, which reports it.
    pub fn flush(&mut self) {
        let _ = self.os.submit();
    }

    /// Tells every event that lay ready when the turn began.
    pub fn events(&mut self, now: Now, tell: &mut dyn FnMut(Event<'_>)) {
        let mut queued = self.os.queued();
        for e in core::mem::take(&mut self.inbox) {
            if self.streams.is_heard(&e) {
                tell(e);
            }
        }
        // Bounded by what was queued at the start (at most the queue, 4,096): a flood cannot keep timers waiting.
        while queued > 0 {
            queued -= 1;
            let Some(done) = self.os.pop() else { break };
            self.completion(now, done, tell);
        }
    }

    /// Whose it is.
    fn completion(&mut self, now: Now, done: Done<Token>, tell: &mut dyn FnMut(Event<'_>)) {
        match done.tag {
            Token::Sock(token) => {
                if let Some(note) = self.sockets.on_done(&mut self.os, &mut self.adverts, now, token, &done, tell) {
                    self.log.note(now, note);
                }
            }
            Token::Advert(token) => self.adverts.on_done(&mut self.os, token, done.result, tell),
            Token::Frames(ifindex) => {
                if let Some(e) = self.frames.on_room(ifindex) {
                    tell(e);
                }
            }
            Token::Net(NetToken::Tx) => self.rtnl.on_sent(self.os.mono(), done.result, tell),
            Token::Net(NetToken::Rx) => {
                self.rtnl.on_received(&mut self.os, done.buffer, done.result, done.more, tell);
            }
            Token::Ipvs(NetToken::Tx) => self.ipvs.on_sent(self.os.mono(), done.result, tell),
            Token::Ipvs(NetToken::Rx) => {
                self.ipvs.on_received(&mut self.os, done.buffer, done.result, done.more, tell);
            }
            Token::Filter(NetToken::Tx) => self.filter.on_sent(self.os.mono(), done.result, tell),
            Token::Filter(NetToken::Rx) => {
                self.filter.on_received(&mut self.os, done.buffer, done.result, done.more, tell);
            }
            Token::Conn(conn, token) => self.streams.on_done(&mut self.os, conn, token, &done, tell),
            Token::Helper(token) => {
                let log = &mut self.log;
                self.helper.on_done(&mut self.os, token, done.op, &mut |note| log.note(now, note), tell);
            }
            Token::Guard => self.on_guard(now, tell),
            Token::Signals => self.on_signals(now, &done, tell),
            Token::Log => self.log.on_written(done.result, now.mono),
            Token::Cancel => {}
        }
    }

    fn on_signals(&mut self, now: Now, done: &Done<Token>, tell: &mut dyn FnMut(Event<'_>)) {
        let bytes = done.read.as_deref().unwrap_or_default();
        let n = usize::try_from(done.result).unwrap_or(0);
        for b in bytes.iter().take(n).copied() {
            match signal_of(b) {
                Some(s) if self.is_for_us(now, s) => tell(Event::Signal(s)),
                Some(_) => {}
                None => self.pass_on(b),
            }
        }
        self.os.read(Token::Signals, &self.signals, SIGNAL_BYTES);
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
        self.os.broken().map(|e| io::Error::from_raw_os_error(-e))
    }

    /// Counters so far.
    pub fn counters(&self) -> Counters {
        Counters {
            oversized: self.sockets.oversized,
            anonymous: self.sockets.anonymous,
            buffers_out: self.sockets.buffers_out,
            frames_failed: self.frames.failed,
            unknown: self.os.unknown(),
        }
    }

    /// The loop, for a report.
    pub fn report(&self) -> Loop {
        let c = self.counters();
        Loop {
            operations_in_flight: self.os.in_flight() as u64,
            advert_timers: self.adverts.chains() as u64,
            connections: self.streams.len() as u64,
            helper: self.helper.is_up(),
            realtime_priority: self.rt_priority,
            cpu_seconds: seconds(self.os.cpu()),
            datagrams_too_long: c.oversized,
            datagrams_without_sender: c.anonymous,
            buffers_used_up: c.buffers_out,
            frames_not_sent: c.frames_failed,
            unknown_completions: c.unknown,
            malformed_netlink_messages: self.rtnl.malformed() + self.ipvs.malformed() + self.filter.malformed(),
        }
    }
}

/// Bytes of one read of the signal pipe: more signals than that at once are read in the next turn.
const SIGNAL_BYTES: usize = 64;

pub(super) fn signal_of(byte: u8) -> Option<Signal> {
    match byte {
        signal::TERM => Some(Signal::Term),
        signal::INT => Some(Signal::Int),
        signal::HUP => Some(Signal::Hup),
        _ => None,
    }
}
