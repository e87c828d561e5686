//! The line to the guard: programs to start and end, reloads, the hand-over, heartbeats.
//!
//! Read first: `exec.rs`, `process/proto.rs`. Sending never waits: a program that cannot be requested counts as not started, and messages
//! that must not be lost are queued; the number of programs limits the queue.

use super::exec::{Exec, signal_of};
use super::lull::Lull;
use super::needed;
use super::os::Os;
use super::token::Token;
use crate::effect::GuardFx;
use crate::event::{ChildEnd, Errno, Event, GuardEv, Signal};
use crate::id::ChildKey;
use crate::lvs::sync;
use crate::note::{Level, Note};
use crate::process::dump::Kind;
use crate::process::image::image_with_header;
use crate::process::parts::Parts;
use crate::process::proto::{MAX, PERIOD, ToCore, ToGuard};
use crate::snapshot::Snapshot;
use crate::sys::lockfile;
use crate::sys::op::Fd;
use crate::time::{Duration, Instant, Now, earliest};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

/// Messages queued behind a full line: a SIGTERM and a SIGKILL for the most programs that the guard runs, and some others.
const UNSENT: usize = 2048;
/// Messages read in one turn.
const HEAR: usize = 64;
/// Between two tries to send messages that a full line did not take.
const RETRY: Duration = Duration::from_millis(10);

/// The core's end of the line to the guard: the socket, the messages not sent yet, and the time of the next heartbeat.
pub struct Line {
    fd: Fd,
    unsent: VecDeque<(Vec<u8>, Option<File>)>,
    beat: Instant,
    retry: Instant,
    buf: Box<[u8]>,
    ready: bool,
    /// The guard is notified when this core stands by, not when it has begun to.
    standby: bool,
    /// A signal for the guard was sent to this process too, and that was logged.
    misled: bool,
    /// The guard's process; 0: it has ended, and that was logged.
    parent: u32,
    /// Another process takes over: the armed adverts leave, and this process ends.
    frozen: bool,
    /// The queue had no room for a message, and that was not logged yet.
    full: bool,
    /// The number of messages that are too long for the line, not logged yet.
    too_long: u32,
    /// The file in which the guard expects the recording.
    record_to: Option<File>,
    lull: Lull,
}

impl<O: Os> Exec<O> {
    /// Sets the line to the guard. `standby`: the guard sends a message when the core is to begin.
    pub fn connect_guard(&mut self, fd: OwnedFd, standby: bool) {
        let fd: Fd = Rc::new(fd);
        let parent = self.os.parent();
        self.os.poll(Token::Guard, &fd, false);
        self.line = Some(Line {
            fd,
            unsent: VecDeque::new(),
            beat: Instant::default(),
            retry: Instant::default(),
            buf: vec![0; MAX].into(),
            ready: false,
            standby,
            misled: false,
            parent,
            frozen: false,
            full: false,
            too_long: 0,
            record_to: None,
            lull: Lull::default(),
        });
    }

    pub(super) fn guard_effect(&mut self, fx: GuardFx) {
        match fx {
            GuardFx::Spawn { child, spec } => {
                let message = ToGuard::Spawn { child: child.to_bits(), spec: *spec };
                let sent = match (&self.line, message.encode()) {
                    (_, None) => Err(Errno::E2BIG),
                    (Some(line), Some(bytes)) if line.unsent.is_empty() => {
                        self.os.send_message(&line.fd, &bytes, None).map_err(|e| match e.kind() {
                            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Errno::EPIPE,
                            _ => Errno::EAGAIN,
                        })
                    }
                    _ => Err(Errno::EAGAIN),
                };
                if let Err(errno) = sent {
                    self.inbox.push_back(Event::Guard(GuardEv::ChildExit { child, end: ChildEnd::NotStarted(errno) }));
                }
            }
            GuardFx::Kill { child, hard } => self.say(&ToGuard::Kill { child: child.to_bits(), hard }),
            GuardFx::Compile => self.say(&ToGuard::Compile),
            GuardFx::Reloaded(r) => self.say(&ToGuard::Reloaded { done: r.done, text: r.text }),
            GuardFx::StandingBy => self.ready(),
            GuardFx::Frozen => {
                if let Some(line) = &mut self.line {
                    line.frozen = true;
                }
                // Until now only a core of our own guard was in charge.
                self.charges = self.witness.as_ref().map_or(0, lockfile::charges);
            }
            GuardFx::LookForSuccessor => {
                let in_charge = self.witness.as_ref().is_some_and(|w| lockfile::charges(w) != self.charges);
                self.inbox.push_back(Event::Guard(GuardEv::Successor { in_charge }));
            }
        }
    }

    /// A turn is complete: every step of the start that can fail has succeeded.
    pub(super) fn started(&mut self) {
        if self.line.as_ref().is_some_and(|l| !l.standby) {
            self.ready();
        }
    }

    /// Reports once to the guard that this process runs, or stands by.
    fn ready(&mut self) {
        if self.line.as_mut().is_some_and(|l| !core::mem::replace(&mut l.ready, true)) {
            self.say(&ToGuard::Ready);
        }
    }

    /// The file in which the guard expects the recording; returned once.
    pub(super) fn record_to(&mut self) -> Option<File> {
        self.line.as_mut()?.record_to.take()
    }

    /// Reports that the recording was written, or why not.
    pub(super) fn tell_recorded(&mut self, done: Result<(), String>) {
        self.say(&ToGuard::Recorded { done: done.is_ok(), text: done.err().unwrap_or_default() });
    }

    /// Sends a report to the guard.
    pub(super) fn tell_report(&mut self, report: File) {
        self.say_with(&ToGuard::Report, Some(report));
    }

    /// Sends a line about the states, for the service manager.
    pub(super) fn tell_summary(&mut self, text: String) {
        self.say(&ToGuard::Summary(text));
    }

    /// Passes a dump signal on to the guard: monitoring sends it to any process of kalived.
    pub(super) fn pass_on(&mut self, signal: u8) {
        if !self.frozen() && Kind::of_signal(signal).is_some() {
            self.say(&ToGuard::Signal(signal));
        }
    }

    /// Reports to the guard that the last snapshot is written.
    pub(super) fn tell_frozen(&mut self) {
        self.say(&ToGuard::Frozen);
    }

    /// Whether another process takes over.
    pub(super) fn frozen(&self) -> bool {
        self.line.as_ref().is_some_and(|l| l.frozen)
    }

    /// Whether no armed advert has to leave before the end: no process takes over, or all armed adverts have left.
    pub(super) fn left(&self) -> bool {
        !self.frozen() || self.adverts.chains() == 0
    }

    /// Queues a message that must not be lost, and sends as many as possible. If it cannot be queued, that is logged and this process
    /// ends: a guard that accepts no messages starts no program, ends none, and learns nothing from the core.
    fn say(&mut self, message: &ToGuard) {
        self.say_with(message, None);
    }

    fn say_with(&mut self, message: &ToGuard, file: Option<File>) {
        let Some(line) = &mut self.line else { return };
        match message.encode() {
            Some(bytes) if line.unsent.len() < UNSENT => line.unsent.push_back((bytes, file)),
            Some(_) => line.full = true,
            None => line.too_long += 1,
        }
        line.flush(&mut self.os);
    }

    /// Sends a heartbeat when it is due, and queued messages.
    pub(super) fn guard_pump(&mut self, now: Now) {
        let Some(line) = &mut self.line else { return };
        if line.lull.begins(now.mono, self.adverts.next_due()) {
            self.say(&ToGuard::Lull);
        }
        let Some(line) = &mut self.line else { return };
        line.flush(&mut self.os);
        if !line.unsent.is_empty() {
            line.retry = now.mono + RETRY;
        }
        if now.mono >= line.beat {
            line.beat = now.mono + PERIOD;
            // Behind a full line the guard does not read, so a heartbeat would be useless.
            let _ = ToGuard::Beat.encode().map(|b| self.os.send_message(&line.fd, &b, None));
        }
        let (full, too_long) = (core::mem::take(&mut line.full), core::mem::take(&mut line.too_long));
        if too_long > 0 {
            let text = format!("{too_long} messages to the first process are too long, and were not sent");
            self.log.note(now, Note { level: Level::Error, text });
        }
        if full {
            let text = format!("the first process has not taken {UNSENT} messages: no script can run; stopping");
            self.log.note(now, Note { level: Level::Error, text });
            self.inbox.push_back(Event::Signal(Signal::Term));
        }
    }

    pub(super) fn guard_deadline(&self) -> Option<Instant> {
        let line = self.line.as_ref()?;
        let at = if line.unsent.is_empty() { line.beat } else { line.beat.min(line.retry) };
        earliest(Some(at), line.lull.deadline())
    }

    /// Whether a signal to this process is handled here. The guard handles a stop: it passes the signal on, and its end closes the line.
    /// systemd and a terminal signal every process. A signal to this process alone would make the guard start another core, after an
    /// unnecessary priority-0 advert.
    pub(super) fn is_for_us(&mut self, now: Now, signal: Signal) -> bool {
        let (Some(line), Signal::Term | Signal::Int) = (&mut self.line, signal) else { return true };
        if line.parent != self.os.parent() {
            if line.frozen {
                // The kernel sends the first one when the guard ends (PR_SET_PDEATHSIG), as at a hand-over.
                return core::mem::take(&mut line.parent) == 0;
            }
            // The end of the guard closes the line too.
            self.guard_gone(now);
            return false;
        }
        if !core::mem::replace(&mut line.misled, true) {
            let text = format!(
                "SIGTERM and SIGINT are taken by the first process, {}; this one ends when that does",
                line.parent
            );
            self.log.note(now, Note { level: Level::Info, text });
        }
        false
    }

    fn guard_gone(&mut self, now: Now) {
        let Some(line) = self.line.as_mut().filter(|l| !l.frozen) else { return };
        if core::mem::take(&mut line.parent) != 0 {
            let text =
                "the parent process is gone: without it nothing is watched and no script can run; stopping".to_owned();
            self.log.note(now, Note { level: Level::Error, text });
        }
    }

    /// Reads messages of the guard.
    pub(super) fn on_guard(&mut self, now: Now, tell: &mut dyn FnMut(Event<'_>)) {
        for _ in 0..HEAR {
            let Some(line) = &mut self.line else { return };
            let (message, file) = match self.os.recv_message(&line.fd, &mut line.buf) {
                Ok(None) => break,
                Ok(Some((n @ 1.., fds))) => (line.buf.get(..n).and_then(ToCore::decode), fds.into_iter().next()),
                Err(e) if e.kind() == io::ErrorKind::InvalidData => (None, None),
                // The guard has ended: no process watches this core any more, so another node, whose core is watched, is to take the
                // addresses.
                Ok(Some((0, _))) | Err(_) => {
                    self.guard_gone(now);
                    if !self.frozen() {
                        tell(Event::Signal(Signal::Term));
                    }
                    return;
                }
            };
            match message {
                Some(message) => self.on_message(now, message, file, tell),
                None => {
                    let text = "the guard said something that makes no sense".to_owned();
                    self.log.note(now, Note { level: Level::Error, text });
                }
            }
        }
        if let Some(line) = &self.line {
            self.os.poll(Token::Guard, &line.fd, false);
        }
    }

    fn on_message(&mut self, now: Now, message: ToCore, file: Option<OwnedFd>, tell: &mut dyn FnMut(Event<'_>)) {
        match (message, file) {
            (ToCore::ChildExit { child, end }, _) => {
                if let Some(child) = ChildKey::from_bits(child) {
                    tell(Event::Guard(GuardEv::ChildExit { child, end }));
                }
            }
            (ToCore::Config, Some(file)) => {
                let file = File::from(file);
                match image_with_header(&file) {
                    Ok((config, header)) => {
                        let synced = sync::is_configured(&config);
                        needed::of(&config);
                        tell(Event::Guard(GuardEv::Config(Box::new(config))));
                        self.offer(Parts::new(file, &header), synced).into_iter().for_each(tell);
                    }
                    Err(text) => self.say(&ToGuard::Reloaded { done: false, text }),
                }
            }
            (ToCore::Servers, Some(file)) => {
                let file = File::from(file);
                match image_with_header(&file) {
                    Ok((config, header)) => {
                        let synced = sync::is_configured(&config);
                        self.offer(Parts::new(file, &header), synced).into_iter().for_each(tell);
                    }
                    Err(text) => self.log.note(now, Note { level: Level::Error, text }),
                }
            }
            (ToCore::Config | ToCore::Servers, None) => {}
            (ToCore::Freeze, _) => tell(Event::Guard(GuardEv::Freeze)),
            (ToCore::Relieved, _) => tell(Event::Guard(GuardEv::Successor { in_charge: true })),
            (go @ (ToCore::Go { .. } | ToCore::GoServers), _) => {
                let found = self.kept.as_mut().map_or(Ok(None), |k| k.slots.newest());
                let (found, dead_since) = match go {
                    ToCore::Go { dead_since } => (found, dead_since),
                    // No virtual router goes on, so it does not matter since when none did.
                    _ => (found.map(|s| s.map(Snapshot::of_servers)), None),
                };
                let (level, text) = match &found {
                    Ok(Some(s)) if go == ToCore::GoServers => {
                        let n = s.checks.len();
                        (Level::Info, format!("a cold start, with the verdicts of {n} health checks"))
                    }
                    Ok(Some(s)) => {
                        (Level::Info, format!("going on with the snapshot of {} instances", s.instances.len()))
                    }
                    Ok(None) => (Level::Info, "no snapshot to go on with: a cold start".to_owned()),
                    Err(why) => (Level::Error, format!("{why}: a cold start")),
                };
                self.log.note(now, Note { level, text });
                let snapshot = found.ok().flatten().map(Box::new);
                self.inherit_fifos(snapshot.as_ref().map_or(&[], |s| &s.fifos));
                if let Some(line) = &mut self.line {
                    line.standby = false;
                }
                tell(Event::Guard(GuardEv::Go { snapshot, dead_since: dead_since.map(Instant) }));
            }
            (ToCore::Helper, Some(socket)) => self.attach_helper(socket),
            (ToCore::Helper, None) => {}
            (ToCore::Report { clear }, _) => self.begin_report(clear),
            (ToCore::Layout(layout), _) => self.write_layout(now, layout),
            (ToCore::Record, Some(file)) => {
                if let Some(line) = &mut self.line {
                    line.record_to = Some(file.into());
                }
            }
            (ToCore::Record, None) => {}
            (ToCore::Lull, _) => {
                if let Some(line) = &mut self.line {
                    line.lull.ask(now.mono);
                }
            }
            (ToCore::Signal(number), _) => {
                if let Some(s) = signal_of(number) {
                    tell(Event::Signal(s));
                }
            }
        }
    }
}

impl Line {
    fn flush(&mut self, os: &mut impl Os) {
        while let Some((bytes, file)) = self.unsent.front() {
            match os.send_message(&self.fd, bytes, file.as_ref().map(AsFd::as_fd)) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                _ => drop(self.unsent.pop_front()),
            }
        }
    }
}
