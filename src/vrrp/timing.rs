//! Durations and the advert grid: pure arithmetic in nanoseconds, nothing truncated to seconds or centiseconds.
//!
//! Read first: RFC 9568 §6.1, RFC 3768 §6.1, `docs/protocol.md`. 64 bits hold every product: (256 - 1) × 40.95 s is
//! 1.05e13 ns.

use crate::config::model::Version;
use crate::time::{Duration, Instant, nanos};
use std::collections::BTreeMap;

/// Skew_Time. v3: (256 - priority) × interval / 256, with the interval learned from the Master. v2: (256 - priority) / 256 s,
/// whatever the interval. The odd half nanosecond of a division is dropped.
pub fn skew(version: Version, priority: u8, master_interval: Duration) -> Duration {
    let unit = match version {
        Version::V2 => 1_000_000_000,
        Version::V3 => nanos(master_interval),
    };
    Duration::from_nanos((256 - u64::from(priority)) * unit / 256)
}

/// Master_Down_Interval: `adverts` (3 by the RFCs) × interval + Skew_Time.
pub fn master_down(version: Version, priority: u8, master_interval: Duration, adverts: u32) -> Duration {
    master_interval * adverts + skew(version, priority, master_interval)
}

/// How many adverts are kept armed in the kernel: about a second's worth, so that a loop which is busy for long does not fall
/// silent, and a wedged one does soon. At least 1, at most 8.
pub fn depth(interval: Duration) -> usize {
    (1_000_000_000 / nanos(interval).max(1)).clamp(1, 8) as usize
}

/// Phases into which an interval is cut. Virtual routers with one interval share a phase, hence a kernel timer, up to
/// [`PER_SLOT`]; the next ones take another, so that 200 of them are 10 timers spread over the interval.
const SLOTS: u64 = 16;
/// Members of a phase before the next is used: the last of 20 sends in a row leaves some 60 µs after the first, within the
/// 0.1 ms that a chain may be late.
const PER_SLOT: u16 = 20;

/// The grid lies beside the kernel's own: its periodic tick comes at whole milliseconds of the same clock (HZ 100 to 1000), and
/// an advert due in the same interrupt would wait for the tick's work. Measured: every second advert at 10 ms 20 µs later.
const OFF_TICK: u64 = 500_000;

/// Who advertises at which phase of which interval.
#[derive(Debug, Default)]
pub struct Grid {
    members: BTreeMap<u64, [u16; SLOTS as usize]>,
}

/// A place on the grid: interval and phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase {
    interval: u64,
    slot: u64,
}

impl Grid {
    /// Takes a place: the fullest phase that has room, so that few timers serve many; when all are full, the emptiest.
    pub fn join(&mut self, interval: Duration) -> Phase {
        let interval = nanos(interval).max(SLOTS);
        let slots = self.members.entry(interval).or_default();
        let room =
            (0..slots.len()).filter(|i| slots[*i] < PER_SLOT).max_by_key(|i| (slots[*i], core::cmp::Reverse(*i)));
        let slot = room.or_else(|| (0..slots.len()).min_by_key(|i| slots[*i])).unwrap_or(0);
        slots[slot] = slots[slot].saturating_add(1);
        Phase { interval, slot: slot as u64 }
    }
    /// Takes the place that `on` lies on, however full: adverts go on in step with what another process armed. Any place,
    /// when `on` lies on none.
    pub fn rejoin(&mut self, interval: Duration, on: Instant) -> Phase {
        let i = nanos(interval).max(SLOTS);
        let (step, offset) = (i / SLOTS, on.0.saturating_sub(OFF_TICK) % i);
        let slot = offset / step;
        if !offset.is_multiple_of(step) || slot >= SLOTS {
            return self.join(interval);
        }
        let slots = self.members.entry(i).or_default();
        slots[slot as usize] = slots[slot as usize].saturating_add(1);
        Phase { interval: i, slot }
    }
    /// Gives it back.
    pub fn leave(&mut self, phase: Phase) {
        if let Some(slots) = self.members.get_mut(&phase.interval) {
            let n = &mut slots[phase.slot as usize];
            *n = n.saturating_sub(1);
            if slots.iter().all(|n| *n == 0) {
                self.members.remove(&phase.interval);
            }
        }
    }
}

impl Phase {
    /// The first grid point after `t`: at most one interval later, so an advert may come early but never late.
    pub fn after(self, t: Instant) -> Instant {
        let offset = self.slot * (self.interval / SLOTS) + OFF_TICK;
        let since = t.0.saturating_sub(offset);
        let next = offset + (since / self.interval + 1) * self.interval;
        // Only in the first instants after boot there is no grid point yet.
        Instant(if t.0 < offset { offset } else { next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    const MS: u64 = 1_000_000;

    #[test]
    fn skew_and_master_down_to_the_nanosecond() {
        // (interval, priority) → v3 skew, worked out by hand from RFC 9568 §6.1.
        let v3 = [
            (10, 1, 9_960_937),
            (10, 100, 6_093_750),
            (10, 254, 78_125),
            (1_000, 1, 996_093_750),
            (1_000, 100, 609_375_000),
            (1_000, 254, 7_812_500),
            (40_950, 1, 40_790_039_062),
            (40_950, 100, 24_953_906_250),
            (40_950, 254, 319_921_875),
        ];
        for (ms, p, want) in v3 {
            let i = Duration::from_millis(ms);
            assert_eq!(nanos(skew(Version::V3, p, i)), want, "v3 {ms} ms p={p}");
            assert_eq!(nanos(master_down(Version::V3, p, i, 3)), 3 * ms * MS + want);
        }
        for (p, want) in [(1, 996_093_750), (100, 609_375_000), (200, 218_750_000), (254, 7_812_500)] {
            for s in [1, 10, 255] {
                assert_eq!(nanos(skew(Version::V2, p, Duration::from_secs(s))), want, "v2 skew ignores the interval");
                assert_eq!(nanos(master_down(Version::V2, p, Duration::from_secs(s), 3)), 3000 * s * MS + want);
            }
        }
        // MAI 4095 cs, p = 1.
        assert_eq!(nanos(master_down(Version::V3, 1, Duration::from_millis(40_950), 3)) / MS, 163_640);
    }

    #[test]
    fn master_down_grows_with_interval_and_shrinks_with_priority() {
        for cs in 1..=4095u64 {
            let i = Duration::from_millis(cs * 10);
            for p in 1..255u8 {
                let (a, b) = (master_down(Version::V3, p, i, 3), master_down(Version::V3, p + 1, i, 3));
                assert!(a > b && b >= i * 3, "a lower priority waits longer: {cs} cs p={p}");
            }
        }
    }

    #[test]
    fn depth_is_a_second_of_adverts_within_bounds() {
        let d = |ms| depth(Duration::from_millis(ms));
        assert_eq!([d(10), d(125), d(130), d(400), d(1000), d(40_950)], [8, 8, 7, 2, 1, 1]);
    }

    #[test]
    fn grid_is_never_late_and_shared() {
        let mut g = Grid::default();
        let i = Duration::from_millis(10);
        let phases: Vec<Phase> = (0..200).map(|_| g.join(i)).collect();
        let mut used = phases.iter().map(|p| p.slot).collect::<Vec<_>>();
        used.sort_unstable();
        used.dedup();
        assert_eq!(used.len(), 10, "200 virtual routers, 20 a phase");
        for p in &phases {
            for t in [0, 1, 624_999, 625_000, 9_999_999, 10_000_000, 123_456_789] {
                let n = p.after(Instant(t));
                assert!(n > Instant(t) && n <= Instant(t) + i, "{p:?} after {t} is {n:?}");
                assert_eq!(p.after(n), n + i, "no drift");
            }
        }
        let mut other = Grid::default();
        for p in &phases {
            let on = p.after(Instant(123_456_789));
            assert_eq!(other.rejoin(i, on), *p, "the same place in another process");
        }
        assert_eq!(
            other.rejoin(i, Instant(123_456_789)).after(Instant(0)).0 % 625_000,
            OFF_TICK,
            "on the grid at any rate"
        );
        phases.into_iter().for_each(|p| g.leave(p));
        assert!(g.members.is_empty());
    }
}
