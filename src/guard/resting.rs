//! A compiler that has completed its work and waits, stopped, for the moment at which the guard ends it.
//!
//! Its end frees much memory, which delays an advert on a single processor: `sys/giveback.rs`. The core names the moment. A reload
//! goes on when its compiler has ended, so there is one at a time. Read first: `compiler.rs`, `daemon/lull.rs`.

use crate::sys::child;
use crate::time::{Duration, Instant};

/// A core that is alive names a moment within 200 ms.
const LIMIT: Duration = Duration::from_secs(2);

/// The compiler's process id, and when it is ended at the latest.
#[derive(Default)]
pub(super) struct Resting(Option<(u32, Instant)>);

impl Resting {
    /// The compiler stopped itself.
    pub(super) fn add(&mut self, pid: u32, now: Instant) {
        self.0 = Some((pid, now + LIMIT));
    }

    /// Ends the compiler. Its end follows as that of any child.
    pub(super) fn end(&self) {
        if let Some((pid, _)) = self.0 {
            child::kill(pid, false, true);
        }
    }

    /// Ends the compiler when the core has named no moment.
    pub(super) fn tick(&self, now: Instant) {
        if self.0.is_some_and(|(_, until)| now >= until) {
            self.end();
        }
    }

    /// A process ended; returns whether it was this compiler.
    pub(super) fn ended(&mut self, pid: u32) -> bool {
        self.0.take_if(|(is, _)| *is == pid).is_some()
    }
}
