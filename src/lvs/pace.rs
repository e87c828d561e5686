//! The pace of long work that is done in many turns. Pure.
//!
//! A slice of it has a turn of its own, and after it the loop rests, because a real-time process that does not sleep enough for a second is
//! stopped by the kernel for the rest of it (`daemon/busy.rs`), and its adverts with it. How long a slice takes depends on the processor
//! and on the kernel's work that follows from it. So the time from one slice to the next adapts: it is doubled when the loop was still
//! busy at its end, and shrinks slowly while it was not; the loop rests a third of the time on average.

use crate::time::{Duration, Instant};

/// Shortest time from the beginning of one slice to that of the next: the other processes of a single processor must go on, too.
pub const LEAST: Duration = Duration::from_millis(1);
/// The greatest such time. A processor on which a slice takes longer has other work, too.
const MOST: Duration = Duration::from_millis(8);
/// A turn that begins so late had to wait for the one before.
const LATE: Duration = Duration::from_micros(50);

/// The time from one slice of long work to the next, adapted to the time that slices take.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Pace {
    every: Duration,
    at: Option<Instant>,
}

impl Pace {
    /// There is something to do: when its turn comes. What happens meanwhile does not put it off.
    pub(super) fn want(&mut self, now: Instant) -> Instant {
        *self.at.get_or_insert(now + self.every.max(LEAST))
    }
    /// There is nothing to do.
    pub(super) fn rest(&mut self) {
        self.at = None;
    }
    /// Whether its turn has come; [`Pace::want`] sets the next one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let Some(at) = self.at.filter(|at| *at <= now) else { return false };
        self.at = None;
        let every = self.every.max(LEAST);
        self.every = if now.since(at) > LATE { every * 2 } else { every - every / 16 }.clamp(LEAST, MOST);
        true
    }
    /// Whether nothing holds it up: its turn has come, or it has rested long enough.
    pub(super) fn is_open(&mut self, now: Instant) -> bool {
        self.at.is_none() || self.take(now)
    }
    /// When its turn comes, if it is held up.
    pub(super) fn held(&self) -> Option<Instant> {
        self.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The share of time that is worked, where a slice takes this long.
    fn share(work: Duration) -> f64 {
        let (mut pace, mut now, mut worked) = (Pace::default(), Instant(1_000_000_000), Duration::ZERO);
        let from = now;
        for _ in 0..10_000 {
            let at = pace.want(now);
            // The loop is busy with the slice before, then it sleeps.
            now = (now + work).max(at);
            assert!(pace.take(now));
            worked += work;
        }
        worked.as_secs_f64() / now.since(from).as_secs_f64()
    }

    #[test]
    fn the_loop_rests_whatever_a_slice_takes() {
        for us in [700, 1_500, 3_000] {
            let share = share(Duration::from_micros(us));
            assert!((0.5..0.8).contains(&share), "{us} us: {share}");
        }
        assert!(share(Duration::from_micros(10)) < 0.05);
    }

    #[test]
    fn what_happens_meanwhile_does_not_put_it_off() {
        let (mut pace, now) = (Pace::default(), Instant(1_000_000_000));
        let at = pace.want(now);
        for n in 1..20 {
            assert!(pace.want(now + LEAST * n / 20) == at && !pace.take(now + LEAST * n / 20));
        }
        assert!(pace.take(at) && !pace.take(at));
        assert!(pace.is_open(at));
        pace.want(at);
        assert!(!pace.is_open(at));
        pace.rest();
        assert!(pace.is_open(at));
    }
}
