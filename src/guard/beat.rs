//! Whether the core still lives: it says so once a second.
//!
//! Pure. Counted are the guard's own wake-ups, not time: a machine that was paused wakes the guard once, however long it was.

use crate::process::proto::PERIOD;
use crate::time::Instant;

/// Looks without a beat between them after which the core counts as hung. A loop turn takes milliseconds at worst; what does
/// not turn for five seconds has lost its adverts long ago.
pub const MISSED: u32 = 5;

/// See the module.
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
    /// It was heard.
    pub fn beat(&mut self, now: Instant) {
        self.missed = 0;
        self.last = now;
    }
    /// Looks; at most once a period, however often it is called. Whether the core is hung.
    pub fn look(&mut self, now: Instant) -> bool {
        if now >= self.looked + PERIOD {
            self.looked = now;
            self.missed += 1;
        }
        self.missed > MISSED
    }
    /// When it was last heard.
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
        // Paused for an hour: the guard may be the first to run again.
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
