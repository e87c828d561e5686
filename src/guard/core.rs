//! A core as the guard sees it: a process, a line to it, its heartbeat.
//!
//! Read first: `proto.rs`. Nothing here waits: what the line does not take is queued, and a core whose queue is full is hung.

use super::beat::Heartbeat;
use super::log::Log;
use super::proto::{MAX, ToCore, ToGuard};
use super::role::Roles;
use crate::sys::child::Reports;
use crate::sys::seqpacket;
use crate::time::Instant;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

/// Messages queued behind a full line, which itself holds thousands: the end of every program there can be, many times over.
const QUEUED: usize = 4096;

/// What it is given.
pub struct Given<'a> {
    /// The configuration, an image.
    pub image: &'a File,
    /// Where snapshots are kept.
    pub snapshot: &'a File,
    /// Its end of the line to its helper.
    pub helper: BorrowedFd<'a>,
    /// It waits for `Go` before it sends anything.
    pub standby: bool,
}

/// See the module.
pub struct Core {
    /// Of all cores since the start of the guard.
    pub number: u32,
    /// Its process.
    pub pid: u32,
    /// When it was started.
    pub started: Instant,
    /// Whether it said that it runs, or stands by.
    pub ready: bool,
    /// Its heart.
    pub heart: Heartbeat,
    line: OwnedFd,
    closed: bool,
    queue: VecDeque<(Vec<u8>, Option<Rc<File>>)>,
}

/// What was heard.
#[derive(Debug)]
pub enum Heard {
    /// A message.
    Said(ToGuard),
    /// It closed the line: it is ending.
    Closed,
    /// Bytes that are no message.
    Nonsense,
}

impl Core {
    /// Starts one.
    pub fn start(
        number: u32,
        roles: &Roles,
        given: &Given<'_>,
        log: &Log,
        reports: &Reports,
        now: Instant,
    ) -> io::Result<Core> {
        let (line, theirs) = seqpacket::pair()?;
        let fds = [theirs.as_fd(), given.image.as_fd(), given.snapshot.as_fd(), given.helper];
        let pid = roles.core(&fds, given.standby, log, reports)?;
        Ok(Core::running(number, pid, line, now))
    }

    /// One that runs already.
    pub fn running(number: u32, pid: u32, line: OwnedFd, now: Instant) -> Core {
        Core {
            number,
            pid,
            started: now,
            ready: false,
            heart: Heartbeat::new(now),
            line,
            closed: false,
            queue: VecDeque::new(),
        }
    }

    /// Says something, with a file if it has one. `false`: it takes nothing any more.
    #[must_use]
    pub fn say(&mut self, message: ToCore, file: Option<&Rc<File>>) -> bool {
        if self.queue.len() >= QUEUED {
            return false;
        }
        self.queue.push_back((message.encode(), file.cloned()));
        self.flush();
        true
    }

    /// Sends what is queued, as far as it goes.
    pub fn flush(&mut self) {
        while let Some((bytes, file)) = self.queue.front() {
            match seqpacket::send(&self.line, bytes, file.as_ref().map(|f| f.as_fd())) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                // Sent; or it is gone, which its end tells.
                _ => drop(self.queue.pop_front()),
            }
        }
    }

    /// Whether something is still queued.
    pub fn backed_up(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The next thing it said.
    pub fn hear(&mut self) -> Option<Heard> {
        if self.closed {
            return None;
        }
        let mut buf = [0u8; MAX];
        match seqpacket::recv(&self.line, &mut buf) {
            Ok(r) if r.len == 0 => {
                self.closed = true;
                Some(Heard::Closed)
            }
            Ok(r) if r.truncated => Some(Heard::Nonsense),
            Ok(r) => Some(buf.get(..r.len).and_then(ToGuard::decode).map_or(Heard::Nonsense, Heard::Said)),
            Err(e) if [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted].contains(&e.kind()) => None,
            Err(_) => {
                self.closed = true;
                Some(Heard::Closed)
            }
        }
    }

    /// To wait on, while there is something to hear.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        (!self.closed).then(|| self.line.as_fd())
    }
}
