//! Executes effects as system calls, and turns completions into events: the services of the loop, and which of them does what.
//!
//! Read first: `event.rs`, `effect.rs`, then the services, each with its descriptors, tokens and table: `sockets`, `adverts` (with
//! `sends`), `bfd`, `frames`, `rtnl`, `ipvs`, `nft`, `streams`, `guardline`, `helperline`, `log`. Each enum is matched in one place, without `_`. Generic over
//! the operating system: [`Ring`] in the daemon, a simulated one in `tests/sim/os`.

use super::adverts::Adverts;
use super::bfd::BfdSockets;
use super::busy::{self, Busy, Change};
use super::frames::Frames;
use super::guardline::Line;
use super::handover::Kept;
use super::helperline::HelperLine;
use super::ipvs::Ipvs;
use super::lead::{Lead, Plan};
use super::log::Sink;
use super::needed;
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
use crate::sys::sched;
use crate::sys::signal;
use crate::time::{Duration, Instant, Now, earliest};
use std::collections::VecDeque;
use std::io;

/// How long an exit may wait for the last packets and log lines; all other work is confirmed or given up by then. With a longer
/// limit a stopped syslog daemon would delay a shutdown.
pub(super) const EXIT_GRACE: Duration = Duration::from_millis(500);

/// Address requests wait while a takeover is due within this time: the kernel's work on them would delay its advert. The limit is
/// the time of one slice, so they wait no longer than one slice would have taken.
const TAKEOVER_NEAR: Duration = slice::TARGET;

/// Counters that `kalived status` reports.
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
    /// Completions whose token belongs to no operation in flight.
    pub unknown: u64,
}

/// How the last wait went: `lead.rs` learns from it how late this machine wakes up, and counts the time spent awake.
#[derive(Clone, Copy, Debug)]
enum Waited {
    Not,
    Slept,
    Spun(Instant),
}

/// The interpreter of effects. See the module.
pub struct Exec<O: Os = Ring<Token>> {
    pub(super) os: O,
    sockets: Sockets<O::Buffers>,
    bfd: BfdSockets<O::Buffers>,
    frames: Frames,
    /// Answers to this turn's frames.
    sent: Vec<Event<'static>>,
    signals: Fd,
    pub(super) adverts: Adverts,
    rtnl: Rtnl<O::Buffers>,
    pub(super) ipvs: Ipvs<O::Buffers>,
    filter: Filter<O::Buffers>,
    /// The virtual servers of the configuration that came last, where there are or were any.
    parts: Option<Parts>,
    pub(super) log: Sink,
    /// Answers that need no completion; delivered at the start of the next turn. At most one for each effect.
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
    /// Shows a frozen core whether a successor is in charge (`sys/lockfile.rs`).
    pub witness: Option<std::fs::File>,
    /// How often a core had been put in charge (`lockfile::charges`) when this process froze.
    pub(super) charges: u64,
    /// When the states are sent to the guard next.
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
            bfd: BfdSockets::default(),
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

    /// The operating system below: the simulator drives its own through this.
    pub fn os(&mut self) -> &mut O {
        &mut self.os
    }

    /// Applies a turn's effects in order. The next wait submits the operations.
    pub fn apply(&mut self, now: Now, fx: &mut Effects) {
        for e in fx.drain() {
            self.effect(now, e);
        }
        // The order of leaving: adverts that take over or answer an inferior Master, then announcements, then address requests, which
        // keep a processor busy for longer. No address request is made while a farewell is on its way: the kernel's worker would
        // overtake it, and addresses are removed only after the priority-0 advert.
        self.send_frames(now.mono);
        self.bfd.flush(&mut self.os, &mut self.inbox);
        let near = self.takeover.is_some_and(|at| at <= self.os.mono() + TAKEOVER_NEAR);
        let held = near || self.frames.held(now.mono).is_some();
        if !self.adverts.stopping() && !held && self.filter.pump(&mut self.os) {
            // The addition of addresses waits for the filter.
            self.os.push_out();
        }
        if !self.adverts.stopping()
            && !held
            && self.rtnl.pump(&mut self.os, earliest(self.adverts.next_due(), self.takeover))
        {
            // On a single processor the worker could not run while this thread waits awake.
            self.asked = self.several_cpus.then_some(now.mono);
            self.os.push_out();
        } else if !self.adverts.stopping() && !held {
            // Only in a turn without address requests: their completion leads to another turn, which comes here again.
            self.ipvs.pump(&mut self.os, earliest(self.adverts.next_due(), self.takeover));
        }
        self.adverts.arm(&mut self.os);
        self.streams.hear(&mut self.os);
        self.guard_pump(now);
        self.pump_helper(now);
        self.sockets.joined(&mut self.os, &mut self.helper, &mut self.inbox);
        self.log.pump(&mut self.os, now.mono);
    }

    /// Passes an effect to its service.
    fn effect(&mut self, now: Now, effect: Effect) {
        match effect {
            Effect::Sock(fx) => {
                // Frames and adverts of this turn leave before their socket is closed.
                if matches!(fx, SockFx::Close { .. }) {
                    self.send_frames(now.mono);
                }
                let (os, adverts, helper) = (&mut self.os, &mut self.adverts, &mut self.helper);
                if let Some(note) = self.sockets.apply(os, adverts, helper, fx, &mut self.inbox) {
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
            Effect::Bfd(fx) => self.bfd.apply(&mut self.os, fx, &mut self.inbox),
            Effect::Note(note) => self.log.note(now, note),
            Effect::Exit(code) => {
                // A later `Exit` only extends the time, for the last log line. Adverts that are armed for the time until a successor is
                // in charge leave first.
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
                    needed::of_servers(&parts);
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
            LvsFx::DumpWithSync => self.ipvs.dump_with_sync(),
        };
        self.inbox.extend(answer);
    }

    /// A configuration came with these virtual servers. `Some`: the event for the World; `None` where there are none and never were, and
    /// `lvs_sync_daemon` is not in the file, either (`synced`).
    pub(super) fn offer(&mut self, parts: Parts, synced: bool) -> Option<Event<'static>> {
        let told = self.parts.is_some() || parts.any() || synced;
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
                // What this router sent in this turn leaves first: the farewell is its last packet.
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

    /// Pushes the adverts that are to leave now: they take over or answer an inferior Master, so the rest of the turn waits for them.
    /// The virtual routers limit their number. Returns whether there were any.
    fn send_urgent(&mut self) -> bool {
        let any = !self.urgent.is_empty();
        for (vr, packets, way) in self.urgent.drain(..) {
            self.adverts.sends.send(&mut self.os, vr, &packets, &way);
        }
        any
    }

    /// Sends the adverts of the turn, then its frames: hosts follow the announcement, so the old Master is to have received the advert
    /// by then.
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

    /// Delivers the results of this turn's frames, which are known already, without waiting for the next turn.
    pub fn frames_sent(&mut self, tell: &mut dyn FnMut(Now, Event<'_>)) {
        if !self.sent.is_empty() {
            // Read after the sends: the time that they took sets the pace of the next ones.
            let now = self.os.now();
            self.sent.drain(..).for_each(|e| tell(now, e));
        }
    }

    /// Sets when the next takeover is due: no long work is begun shortly before.
    pub fn expect_takeover(&mut self, at: Option<Instant>) {
        self.takeover = at;
    }

    /// When the next takeover is due.
    pub(super) fn next_takeover(&self) -> Option<Instant> {
        self.takeover
    }

    /// Waits for a completion, at most until `until`; for `takeover` it wakes early and waits awake (see `lead.rs`). Does not wait when
    /// answers are ready or with `busy`.
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
        let own = earliest(own, self.helper.next_deadline());
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

    /// Submits what is queued. An error occurs again in the next wait, which reports it.
    pub fn flush(&mut self) {
        let _ = self.os.submit();
    }

    /// Delivers every event that was ready when the turn began.
    pub fn events(&mut self, now: Now, tell: &mut dyn FnMut(Event<'_>)) {
        let mut queued = self.os.queued();
        for e in core::mem::take(&mut self.inbox) {
            if self.streams.is_heard(&e) {
                tell(e);
            }
        }
        // Bounded by what was queued at the start (at most the queue's 4,096): a flood cannot delay the timers.
        while queued > 0 {
            queued -= 1;
            let Some(done) = self.os.pop() else { break };
            self.completion(now, done, tell);
        }
    }

    /// After [`Exec::events`]: whether packets wait that no buffer was left for.
    pub(super) fn is_behind(&mut self) -> bool {
        self.sockets.are_behind()
    }

    /// Passes a completion to the service that its token names.
    fn completion(&mut self, now: Now, done: Done<Token>, tell: &mut dyn FnMut(Event<'_>)) {
        match done.tag {
            Token::Sock(token) => {
                let (os, adverts, helper) = (&mut self.os, &mut self.adverts, &mut self.helper);
                if let Some(note) = self.sockets.on_done(os, adverts, helper, now, token, &done, tell) {
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
            Token::Conn(conn, token) => {
                self.streams.on_done(&mut self.os, conn, token, &done, tell);
                if let Some(buf) = done.read {
                    self.os.reuse(buf);
                }
            }
            Token::Helper(token) => {
                let log = &mut self.log;
                self.helper.on_done(&mut self.os, token, done.op, &mut |note| log.note(now, note), tell);
            }
            Token::Bfd(port) => self.bfd.on_done(&mut self.os, now, port, &done, tell),
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

    /// As [`Exec::finished`], or when the time of an exit (`EXIT_GRACE`) has passed.
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
            oversized: self.sockets.oversized + self.bfd.oversized,
            anonymous: self.sockets.anonymous + self.bfd.anonymous,
            buffers_out: self.sockets.buffers_out + self.bfd.buffers_out,
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
