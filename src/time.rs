//! Points in time as plain values. No function here reads a clock: the daemon reads both clocks once a turn (`sys::clock`) and passes
//! them on, the simulator generates them.
//!
//! Read first: nothing. Deliberately absent: "far future" sentinels. A deadline that does not exist is `None`, and [`earliest`] compares
//! two deadlines (`Option::min` would take `None` for the earliest).

use core::fmt;
use core::ops::{Add, AddAssign, Sub};
pub use core::time::Duration;

/// Nanoseconds of `CLOCK_MONOTONIC`. A step of the wall clock does not affect it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
pub struct Instant(pub u64);

/// Nanoseconds since 1970 of `CLOCK_REALTIME`: for output, for the time in signed adverts, and for a scheduled reload. No timer uses it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
pub struct Wall(pub u64);

/// Both clocks, read once per turn of the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Now {
    /// The monotonic clock, for all timers and intervals.
    pub mono: Instant,
    /// The wall clock, for output, signed adverts and scheduled reloads.
    pub wall: Wall,
}

impl Instant {
    /// Time from `earlier` to `self`; zero when `earlier` is later.
    pub fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Wall {
    /// Time from `earlier` to `self`; zero when `earlier` is later, as after a step back.
    pub fn since(self, earlier: Wall) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A duration as nanoseconds, saturating after 584 years.
pub fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}

impl Add<Duration> for Instant {
    type Output = Instant;
    fn add(self, d: Duration) -> Instant {
        Instant(self.0.saturating_add(nanos(d)))
    }
}
impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, d: Duration) {
        *self = *self + d;
    }
}
impl Sub<Duration> for Instant {
    type Output = Instant;
    fn sub(self, d: Duration) -> Instant {
        Instant(self.0.saturating_sub(nanos(d)))
    }
}
impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}s", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}
impl fmt::Debug for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

/// The earlier of two deadlines; `None` means never.
pub fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, None) => a,
        (None, b) => b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_is_not_the_earliest() {
        let t = Instant(5);
        assert_eq!(earliest(None, Some(t)), Some(t));
        assert_eq!(earliest(Some(t), None), Some(t));
        assert_eq!(earliest(Some(t), Some(Instant(4))), Some(Instant(4)));
        assert_eq!(earliest(None, None), None);
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Instant(3).since(Instant(7)), Duration::ZERO);
        assert_eq!(Instant(3) - Duration::from_secs(1), Instant(0));
        assert_eq!(Instant(u64::MAX) + Duration::from_secs(1), Instant(u64::MAX));
    }
}
