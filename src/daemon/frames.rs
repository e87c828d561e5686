//! Ethernet frames: a slice at a time, and an answer when there is room for the next.
//!
//! Read first: `vrrp/announce.rs`, which decides what leaves when. Each interface has a packet socket of its own with a small send
//! buffer. The kernel gives a frame's bytes back to the buffer when the frame has really left, so the buffer is the limit of
//! what is under way: when it is full the answer waits until the kernel reports room, and a device that does not send
//! keeps back no other interface's frames.
//!
//! Deliberately absent: trying again. What was not sent is reported, and decided anew.

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

/// Sockets at most. To close one takes the kernel milliseconds, so they stay open; interfaces beyond that share.
const SOCKETS: usize = 32;
/// For so long the kernel is not asked for more addresses while frames wait for room. On a single processor the receiving end of a veth
/// pair, or a bridge, may run only while this process sleeps, and with always another address to be added it would not sleep before the
/// last one. Longer than it needs for a full buffer; and a device that does not send holds back nothing else.
const HOLD: Duration = Duration::from_millis(2);
/// Between two lines about frames that could not be sent.
const REPORT: Duration = Duration::from_secs(10);

struct Slice {
    ifindex: u32,
    batch: u64,
    frames: Vec<Bytes>,
}

/// See the module.
pub struct Frames {
    // The first one is opened at start, and taken by the first interface.
    socks: Vec<(u32, Fd)>,
    pending: Vec<Slice>,
    // Slices of which so many were sent and whose answer waits for room.
    full: BTreeMap<u32, (u64, usize)>,
    // Since a buffer is full, until then room is waited for.
    held: Option<Instant>,
    reported: Option<Instant>,
    /// Sends that failed for another reason than a full buffer.
    pub failed: u64,
}

impl Frames {
    /// With one socket, to see that there can be one.
    pub fn open(os: &mut impl Os) -> io::Result<Frames> {
        let socks = vec![(0, os.open_packet()?)];
        Ok(Frames { socks, pending: Vec::new(), full: BTreeMap::new(), held: None, reported: None, failed: 0 })
    }

    /// Takes a slice; [`Frames::send`] sends it.
    pub fn add(&mut self, ifindex: u32, batch: u64, frames: Vec<Bytes>) {
        self.pending.push(Slice { ifindex, batch, frames });
    }

    /// Whether something waits to be sent.
    pub fn waits(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Until when other work for the kernel waits, so that there is room soon.
    pub fn held(&self, now: Instant) -> Option<Instant> {
        self.held.filter(|until| now < *until)
    }

    /// Sends what was taken; the answers.
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

    /// The kernel reports room.
    pub fn on_room(&mut self, ifindex: u32) -> Option<Event<'static>> {
        let (batch, sent) = self.full.remove(&ifindex)?;
        self.held = None;
        Some(Event::Frames { ifindex, batch, sent, errno: None })
    }

    /// A line about a failure, now and then.
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
