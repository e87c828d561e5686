//! Compilers that have completed their work and wait, stopped, for the moment at which they are ended.
//!
//! Their end frees much memory, which delays an advert on a single processor: `sys/giveback.rs`. The core names the moment.
//! Read first: `compiler.rs`, `daemon/lull.rs`.

use crate::sys::child;
use crate::time::{Duration, Instant};

/// A core that is alive names a moment within 200 ms.
const LIMIT: Duration = Duration::from_secs(2);

/// These compilers: one, because one reload follows another.
#[derive(Default)]
pub(super) struct Resting {
    killed: Vec<u32>,
    waiting: Vec<(u32, Instant)>,
}

impl Resting {
    /// A compiler stopped itself.
    pub(super) fn add(&mut self, pid: u32, now: Instant) {
        self.waiting.push((pid, now + LIMIT));
    }

    /// Ends all of them.
    pub(super) fn end(&mut self) {
        for (pid, _) in self.waiting.drain(..) {
            child::kill(pid, false, true);
            self.killed.push(pid);
        }
    }

    /// Ends all of them when the core has named no moment.
    pub(super) fn tick(&mut self, now: Instant) {
        if self.waiting.iter().any(|(_, at)| now >= *at) {
            self.end();
        }
    }

    /// A process ended; returns whether it was one of these.
    pub(super) fn ended(&mut self, pid: u32) -> bool {
        let before = self.killed.len() + self.waiting.len();
        self.killed.retain(|p| *p != pid);
        self.waiting.retain(|(p, _)| *p != pid);
        self.killed.len() + self.waiting.len() < before
    }
}
