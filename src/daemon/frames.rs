//! Ethernet frames: a slice at a time, and an answer when there is room for the next.
//!
//! Read first: `vrrp/announce.rs`, which decides what is sent when. Each interface has a packet socket of its own with a small send
//! buffer. The kernel returns a frame's bytes to the buffer when the frame has left the device, so the buffer limits the frames in
//! flight: when it is full the answer waits until the kernel reports room, and a device that does not send delays no other interface's
//! frames.
//!
//! Deliberately absent: a retry. Frames that were not sent are reported, and the announcement is decided anew.

use super::os::Os;
use super::token::Token;
use crate::event::{Errno, Event};
use crate::note::{Level, Note};
use crate::sys::errno;
use crate::sys::op::Fd;
use crate::time::{Duration, Instant};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::io;

/// Most sockets. Closing one takes the kernel milliseconds, so they stay open; further interfaces share one.
const SOCKETS: usize = 32;
/// How long no more addresses are requested of the kernel while frames wait for room: with further addresses to add this process would not
/// sleep before the last one, and the receiving end may run only while it sleeps (`vrrp/announce.rs`). The time is longer than a full
/// buffer needs to drain; a device that does not send delays nothing else.
const HOLD: Duration = Duration::from_millis(2);
/// Between two lines about frames that could not be sent.
const REPORT: Duration = Duration::from_secs(10);

struct Slice {
    ifindex: u32,
    batch: u64,
    frames: Vec<Bytes>,
}

/// The packet sockets for gratuitous ARP and unsolicited NA, one for each interface, and the slices that wait for room.
pub struct Frames {
    // The first one is opened at the start, and taken by the first interface.
    socks: Vec<(u32, Fd)>,
    pending: Vec<Slice>,
    // Slices whose frames were sent and whose answer waits for room: the batch and the number of frames.
    full: BTreeMap<u32, (u64, usize)>,
    // Until when other requests wait for room in a full buffer.
    held: Option<Instant>,
    reported: Option<Instant>,
    /// Sends that failed for another reason than a full buffer.
    pub failed: u64,
}

impl Frames {
    /// Opens one socket, to check that it is permitted.
    pub fn open(os: &mut impl Os) -> io::Result<Frames> {
        let socks = vec![(0, os.open_packet()?)];
        Ok(Frames { socks, pending: Vec::new(), full: BTreeMap::new(), held: None, reported: None, failed: 0 })
    }

    /// Queues a slice; [`Frames::send`] sends it.
    pub fn add(&mut self, ifindex: u32, batch: u64, frames: Vec<Bytes>) {
        self.pending.push(Slice { ifindex, batch, frames });
    }

    /// Whether a slice waits to be sent.
    pub fn waits(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Until when other requests to the kernel wait, so that there is room soon.
    pub fn held(&self, now: Instant) -> Option<Instant> {
        self.held.filter(|until| now < *until)
    }

    /// Sends the queued slices; returns the answers.
    pub fn send(&mut self, os: &mut impl Os, now: Instant) -> Vec<Event<'static>> {
        let mut answers = Vec::new();
        for Slice { ifindex, batch, frames } in core::mem::take(&mut self.pending) {
            let fd = match self.sock(os, ifindex) {
                Ok(fd) => fd,
                Err(e) => {
                    self.failed += 1;
                    let errno = Some(Errno(e.raw_os_error().unwrap_or(0)));
                    answers.push(Event::Frames { ifindex, batch, sent: 0, errno });
                    continue;
                }
            };
            let (sent, failure) = os.send_frames(&fd, ifindex, &frames);
            if failure == Some(-errno::EAGAIN) {
                self.full.insert(ifindex, (batch, sent));
                self.held = Some(now + HOLD);
                os.poll(Token::Frames(ifindex), &fd, true);
                continue;
            }
            self.failed += u64::from(failure.is_some());
            answers.push(Event::Frames { ifindex, batch, sent, errno: failure.map(Errno) });
        }
        answers
    }

    /// The kernel reports room in a buffer.
    pub fn on_room(&mut self, ifindex: u32) -> Option<Event<'static>> {
        let (batch, sent) = self.full.remove(&ifindex)?;
        self.held = None;
        Some(Event::Frames { ifindex, batch, sent, errno: None })
    }

    /// A line about a failure, at most one in ten seconds.
    pub fn report(&mut self, now: Instant, errno: Errno) -> Option<Note> {
        if self.reported.is_some_and(|at| now < at) {
            return None;
        }
        self.reported = Some(now + REPORT);
        let error = io::Error::from_raw_os_error(errno.0);
        let text = format!("gratuitous ARP or NA not sent, trying again: {error} ({} times so far)", self.failed);
        Some(Note { level: Level::Warning, text })
    }

    fn sock(&mut self, os: &mut impl Os, ifindex: u32) -> io::Result<Fd> {
        if let Some((_, fd)) = self.socks.iter().find(|(i, _)| *i == ifindex) {
            return Ok(fd.clone());
        }
        if let [(unused @ 0, fd)] = &mut self.socks[..] {
            *unused = ifindex;
            return Ok(fd.clone());
        }
        if self.socks.len() >= SOCKETS {
            return Ok(self.socks[ifindex as usize % SOCKETS].1.clone());
        }
        let fd = os.open_packet()?;
        self.socks.push((ifindex, fd.clone()));
        Ok(fd)
    }
}
