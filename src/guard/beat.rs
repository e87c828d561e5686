//! Whether the core is alive: it sends a beat once a second.
//!
//! Pure. The guard's wake-ups are counted, not time: after a pause of the machine the guard wakes once, however long the pause was.

use crate::process::proto::PERIOD;
use crate::time::Instant;

/// Checks without a beat between them after which the core counts as hung. A turn of the loop takes milliseconds at worst; a core that
/// has not completed one for five seconds has missed its adverts long ago.
pub const MISSED: u32 = 5;

/// Counts the seconds without a beat of one core. It counts as hung when more than [`MISSED`] are missing.
#[derive(Clone, Copy, Debug)]
pub struct Heartbeat {
    looked: Instant,
    missed: u32,
    last: Instant,
}

impl Heartbeat {
    /// A core that was just started.
    pub fn new(now: Instant) -> Heartbeat {
        Heartbeat { looked: now, missed: 0, last: now }
    }
    /// A beat was received.
    pub fn beat(&mut self, now: Instant) {
        self.missed = 0;
        self.last = now;
    }
    /// Checks at most once a period, however often it is called. Returns whether the core is hung.
    pub fn look(&mut self, now: Instant) -> bool {
        if now >= self.looked + PERIOD {
            self.looked = now;
            self.missed += 1;
        }
        self.missed > MISSED
    }
    /// The time of the last beat.
    pub fn last(&self) -> Instant {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_looks_without_a_beat_are_a_hung_core_and_a_pause_is_one_look() {
        let at = |s: u64| Instant(s * 1_000_000_000);
        let mut h = Heartbeat::new(at(0));
        for s in 1..100 {
            assert!(!h.look(at(s)));
            h.beat(at(s));
        }
        // After a pause of an hour the guard may be the first process to run.
        assert!(!h.look(at(3_700)) && !h.look(at(3_700)));
        h.beat(at(3_700));
        for s in 1..=5 {
            assert!(!h.look(at(3_700 + s)), "{s}");
            assert!(!h.look(at(3_700 + s)), "asked again");
        }
        assert!(h.look(at(3_706)));
        assert_eq!(h.last(), at(3_700));
    }
}
