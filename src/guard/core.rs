//! A core as the guard sees it: a process, a line to it, its heartbeat, its helper.
//!
//! Read first: `proto.rs`. No call here waits: messages that the line does not take are queued, and a core whose queue is full counts as
//! hung.

use super::beat::Heartbeat;
use super::role::Roles;
use super::text;
use crate::process::log::Log;
use crate::process::proto::{MAX, ToCore, ToGuard};
use crate::process::sysctls;
use crate::snapshot;
use crate::sys::child::{self, Reports};
use crate::sys::seqpacket;
use crate::time::{Duration, Instant};
use std::cell::Cell;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;

/// Messages queued behind a full line, which itself holds thousands: the ends of all programs that can run at one time, many times over.
const QUEUED: usize = 4096;
/// From the end of a helper to the start of the next one.
const HELPER_PAUSE: Duration = Duration::from_secs(1);

/// The parameters of every start.
pub struct Starter<'a> {
    /// The parameters of all processes that the guard starts.
    pub roles: &'a Roles,
    /// The destination of log lines.
    pub log: &'a mut Log,
    /// Where children report their start.
    pub reports: &'a Reports,
    /// The file of former sysctls; `None`: there is no lock file, beside which it would be.
    pub sysctls: Option<PathBuf>,
}

/// A core process with its line, its heartbeat and its helper: the core in charge, or one that stands by.
pub struct Core {
    /// The number of this core, counted since the start of the guard.
    pub number: u32,
    /// Process id of the core.
    pub pid: u32,
    /// When the process was started, also if an earlier guard started it.
    pub started: Instant,
    /// Whether the core reported that it runs, or stands by.
    pub ready: bool,
    /// The core's heartbeat.
    pub heart: Heartbeat,
    /// Process id of its helper; `None`: there is none at present.
    pub helper: Option<u32>,
    /// Snapshot layouts that the core can write, the newest last.
    writes: Vec<u16>,
    /// When to start a helper.
    helper_at: Option<Instant>,
    line: OwnedFd,
    closed: bool,
    killed: Cell<bool>,
    queue: VecDeque<(Vec<u8>, Option<Rc<File>>)>,
}

/// What was received from a core.
#[derive(Debug)]
pub enum Heard {
    /// A message, with a file if one came along.
    Said(ToGuard, Option<File>),
    /// The core closed the line: it is ending.
    Closed,
    /// Bytes that are not a message.
    Nonsense,
}

impl Core {
    /// Starts a core with a helper. `files`: the configuration's image, the snapshot file, and the file that shows a successor.
    /// `standby`: the core waits for `Go` before it sends a packet.
    pub fn start(
        number: u32,
        files: [&File; 3],
        standby: bool,
        starter: &mut Starter<'_>,
        now: Instant,
    ) -> io::Result<Core> {
        let (line, theirs) = seqpacket::pair()?;
        let (to_helper, to_core) = seqpacket::pair()?;
        let [image, shots, witness] = files.map(AsFd::as_fd);
        let fds = [theirs.as_fd(), image, shots, to_helper.as_fd(), witness];
        let pid = starter.roles.core(&fds, standby, starter.log, starter.reports)?;
        // The core is this same program.
        let mut core = Core::running(number, pid, line, now, &snapshot::WRITES);
        core.helper = starter.helper(to_core.as_fd());
        core.helper_at = core.helper.is_none().then_some(now + HELPER_PAUSE);
        starter.log.note(&text::core_started(pid));
        Ok(core)
    }

    /// A core that runs already, without a helper. `writes`: the snapshot layouts that it reports it can write.
    pub fn running(number: u32, pid: u32, line: OwnedFd, started: Instant, writes: &[u16]) -> Core {
        Core {
            number,
            pid,
            started,
            ready: false,
            heart: Heartbeat::new(started),
            helper: None,
            writes: if writes.is_empty() { &snapshot::UNSAID_WRITES } else { writes }.to_vec(),
            helper_at: None,
            line,
            closed: false,
            killed: Cell::new(false),
            queue: VecDeque::new(),
        }
    }

    /// Snapshot layouts that the core can write. More than one: it accepts [`ToCore::Layout`].
    pub fn writes(&self) -> &[u16] {
        &self.writes
    }

    /// The core's helper ended.
    pub fn helper_ended(&mut self, now: Instant) {
        self.helper = None;
        self.helper_at = Some(now + HELPER_PAUSE);
    }

    /// Starts a helper when it is due, and sends queued messages. `false`: the core accepts no more messages.
    #[must_use]
    pub fn look(&mut self, starter: &mut Starter<'_>, now: Instant) -> bool {
        self.flush();
        if self.helper_at.is_none_or(|at| now < at) {
            return true;
        }
        self.helper_at = Some(now + HELPER_PAUSE);
        let Ok((theirs, to_core)) = seqpacket::pair() else { return true };
        self.helper = starter.helper(to_core.as_fd());
        if self.helper.is_none() {
            return true;
        }
        self.helper_at = None;
        starter.log.note(&text::helper_started(self.helper.unwrap_or(0)));
        self.say(ToCore::Helper, Some(&Rc::new(theirs.into())))
    }

    /// Sends a message, with a file if it has one. `false`: the core accepts no more messages.
    #[must_use]
    pub fn say(&mut self, message: ToCore, file: Option<&Rc<File>>) -> bool {
        if self.queue.len() >= QUEUED {
            return false;
        }
        self.queue.push_back((message.encode(), file.cloned()));
        self.flush();
        true
    }

    fn flush(&mut self) {
        while let Some((bytes, file)) = self.queue.front() {
            let gift = file.as_ref().map(|f| f.as_fd());
            match seqpacket::send(&self.line, bytes, gift.as_slice()) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                // The message was sent, or the core has ended, which is reported when it is reaped.
                _ => drop(self.queue.pop_front()),
            }
        }
    }

    /// Whether messages are still queued.
    pub fn backed_up(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The next message of the core.
    pub fn hear(&mut self, buf: &mut [u8; MAX]) -> Option<Heard> {
        if self.closed {
            return None;
        }
        match seqpacket::recv(&self.line, buf) {
            Ok(None) => None,
            Ok(Some((n @ 1.., fds))) => {
                let file = fds.into_iter().next().map(File::from);
                Some(match buf.get(..n).and_then(ToGuard::decode) {
                    Some(message) => Heard::Said(message, file),
                    None => Heard::Nonsense,
                })
            }
            Err(e) if e.kind() == io::ErrorKind::InvalidData => Some(Heard::Nonsense),
            Ok(Some((0, _))) | Err(_) => {
                self.closed = true;
                Some(Heard::Closed)
            }
        }
    }

    /// The descriptor to poll, while the core may still send.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        (!self.closed).then(|| self.line.as_fd())
    }

    /// The line, for an execve.
    pub fn line(&self) -> BorrowedFd<'_> {
        self.line.as_fd()
    }

    /// Kills the core with SIGKILL. The guard reaps the process later.
    pub fn kill(&self) {
        self.killed.set(true);
        child::kill(self.pid, false, true);
    }

    /// Whether the core was killed: it hung, or sent an invalid message.
    pub fn killed(&self) -> bool {
        self.killed.get()
    }
}

impl Starter<'_> {
    /// Starts a helper with its end of a line.
    fn helper(&mut self, line: BorrowedFd<'_>) -> Option<u32> {
        let file = self.sysctls.as_deref().map(sysctls::open).transpose();
        let file = file.unwrap_or_else(|e| {
            self.log.note(&text::failed("former values of sysctls are lost if all processes are killed", &e));
            None
        });
        match self.roles.helper(line, file.as_ref(), self.log, self.reports) {
            Ok(pid) => Some(pid),
            Err(e) => {
                self.log.note(&text::failed("the helper process could not be started", &e));
                None
            }
        }
    }
}
