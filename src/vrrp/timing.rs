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

/// The number of adverts that are kept armed in the kernel: about a second's worth, so that a loop which is busy for long still
/// advertises, and a hung one soon stops. At least 1, at most 8.
pub fn depth(interval: Duration) -> usize {
    (1_000_000_000 / nanos(interval).max(1)).clamp(1, 8) as usize
}

/// Phases of an interval. Virtual routers with one interval share a phase, hence a kernel timer, up to [`PER_SLOT`]; further ones use
/// another, so that 200 of them are 10 timers spread over the interval.
const SLOTS: u64 = 16;
/// Packets of a phase before the next is used: the last of 20 sends in a row leaves some 60 µs after the first, within the 0.1 ms that a
/// chain may be late.
const PER_SLOT: u16 = 20;

/// The grid avoids the kernel's periodic tick, which comes at whole milliseconds of the same clock (HZ 100 to 1000): an advert due in the
/// same interrupt would wait for the tick's work. Measured: every second advert at 10 ms 20 µs later.
const OFF_TICK: u64 = 500_000;

/// Phases that may be merged when the processor is too slow: 2 to the power of this, which is all of them.
const COARSEST: u32 = SLOTS.ilog2();
/// An advert that is handled late by this part of its interval shows that the loop does not keep up.
const LATE: u64 = 4;
/// Adverts that are measured before the grid is made coarser or finer, and the shortest time for that.
const SAMPLE: (u32, Duration) = (32, Duration::from_secs(1));
/// After this number of samples in a row without a late advert the grid becomes finer again.
const CALM: u32 = 10;

/// The phases of the adverts of each interval.
///
/// On a processor that does not keep up, neighbouring phases are merged: half the timers, half the turns, twice as many adverts in each.
/// An advert is earlier by that once, never later.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Grid {
    members: BTreeMap<u64, [u16; SLOTS as usize]>,
    coarse: u32,
    sample: Sample,
}

#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
struct Sample {
    since: Instant,
    all: u32,
    late: u32,
    calm: u32,
    said: bool,
}

/// A place on the grid: interval and phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Phase {
    interval: u64,
    slot: u64,
    // The number of packets of one advert.
    weight: u16,
}

impl Grid {
    /// Takes a phase for adverts with this number of packets: the fullest phase that has room, so that few timers serve many; when all
    /// are full, the emptiest.
    pub fn join(&mut self, interval: Duration, packets: usize) -> Phase {
        let weight = u16::try_from(packets).unwrap_or(u16::MAX).max(1);
        let interval = nanos(interval).max(SLOTS);
        let slots = self.members.entry(interval).or_default();
        // An advert of more packets than a phase holds has a phase of its own.
        let fits = |n: u16| n == 0 || n.saturating_add(weight) <= PER_SLOT;
        let room = (0..slots.len()).filter(|i| fits(slots[*i])).max_by_key(|i| (slots[*i], core::cmp::Reverse(*i)));
        let slot = room.or_else(|| (0..slots.len()).min_by_key(|i| slots[*i])).unwrap_or(0);
        slots[slot] = slots[slot].saturating_add(weight);
        Phase { interval, slot: slot as u64, weight }
    }
    /// Takes the phase that `on` is on, however full: the adverts continue in step with those that another process armed. Any phase, when
    /// `on` is on none.
    pub fn rejoin(&mut self, interval: Duration, packets: usize, on: Instant) -> Phase {
        let weight = u16::try_from(packets).unwrap_or(u16::MAX).max(1);
        let i = nanos(interval).max(SLOTS);
        let (step, offset) = (i / SLOTS, on.0.saturating_sub(OFF_TICK) % i);
        let slot = offset / step;
        if !offset.is_multiple_of(step) || slot >= SLOTS {
            return self.join(interval, packets);
        }
        let slots = self.members.entry(i).or_default();
        slots[slot as usize] = slots[slot as usize].saturating_add(weight);
        Phase { interval: i, slot, weight }
    }
    /// The first time of `phase` after `t`: at most one interval later, so an advert may come early but never late.
    pub fn after(&self, phase: Phase, t: Instant) -> Instant {
        Phase { slot: phase.slot >> self.coarse << self.coarse, ..phase }.after(t)
    }
    /// When to advertise after an advert at `from`: the next grid point. An advert that is off the grid (the first one of a Master) is
    /// followed by one in the middle of the time to a grid point, so that two are never closer than half an interval, nor further apart
    /// than one. After a longer pause only the grid counts: missed adverts are not made up for.
    pub fn next(&self, phase: Phase, from: Instant, now: Instant) -> Instant {
        let at = self.after(phase, from.max(now));
        let interval = Duration::from_nanos(phase.interval);
        let gap = at.since(from);
        if gap < interval / 2 {
            (from + (gap + interval) / 2).max(now)
        } else if gap > interval && gap <= interval * 2 {
            (from + gap / 2).max(now)
        } else {
            at
        }
    }
    /// An advert of that interval was handled so late. True: for the first time this processor does not keep up, which is to be logged.
    pub fn handled(&mut self, now: Instant, interval: Duration, late: Duration) -> bool {
        let s = &mut self.sample;
        s.all = s.all.saturating_add(1);
        s.late += u32::from(nanos(late) > nanos(interval) / LATE);
        if s.all < SAMPLE.0 || now < s.since + SAMPLE.1 {
            return false;
        }
        let (late, calm) = (s.late > s.all / 2, s.late == 0);
        s.calm = if calm { s.calm + 1 } else { 0 };
        (s.since, s.all, s.late) = (now, 0, 0);
        if late && self.coarse < COARSEST {
            self.coarse += 1;
            return !core::mem::replace(&mut s.said, true);
        }
        if s.calm >= CALM && self.coarse > 0 {
            s.calm = 0;
            self.coarse -= 1;
        }
        false
    }
    /// Releases the phase.
    pub fn leave(&mut self, phase: Phase) {
        if let Some(slots) = self.members.get_mut(&phase.interval) {
            let n = &mut slots[phase.slot as usize];
            *n = n.saturating_sub(phase.weight);
            if slots.iter().all(|n| *n == 0) {
                self.members.remove(&phase.interval);
            }
        }
    }
}

impl Phase {
    /// As [`Grid::after`], where no phases are merged.
    pub fn after(self, t: Instant) -> Instant {
        let offset = self.slot * (self.interval / SLOTS) + OFF_TICK;
        let since = t.0.saturating_sub(offset);
        let next = offset + (since / self.interval + 1) * self.interval;
        // Only right after boot there is no grid point yet.
        Instant(if t.0 < offset { offset } else { next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    const MS: u64 = 1_000_000;

    #[test]
    fn skew_and_master_down_to_the_nanosecond() {
        // (interval, priority) → v3 skew, calculated by hand from RFC 9568 §6.1.
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
    fn at_overload_more_adverts_share_a_time_and_afterwards_fewer() {
        let mut g = Grid::default();
        let i = Duration::from_millis(10);
        let phases: Vec<Phase> = (0..200).map(|_| g.join(i, 1)).collect();
        let mut armed: Vec<Instant> = phases.iter().map(|p| g.after(*p, Instant(MS))).collect();
        let (mut said, mut now) = (0, MS);
        let mut second = |g: &mut Grid, late: Duration| {
            for _ in 0..101 {
                now += 10 * MS;
                for (p, at) in phases.iter().zip(&mut armed) {
                    let next = g.after(*p, *at);
                    assert!(*at < next && next <= *at + i, "never late");
                    *at = next;
                    said += u32::from(g.handled(Instant(now), i, late));
                }
            }
            let mut times: Vec<u64> = armed.iter().map(|at| at.0 % (10 * MS)).collect();
            times.sort_unstable();
            times.dedup();
            times.len()
        };
        assert_eq!(second(&mut g, i / 16), 10, "twenty share a time");
        let crowded: Vec<usize> = (0..6).map(|_| second(&mut g, i)).collect();
        assert!(crowded.is_sorted_by(|a, b| a >= b) && crowded[5] == 1, "{crowded:?}");
        let calm: Vec<usize> = (0..60).map(|_| second(&mut g, Duration::ZERO)).collect();
        assert!(calm.is_sorted() && calm[59] == 10, "{calm:?}");
        assert_eq!(said, 1);
    }

    #[test]
    fn adverts_keep_a_distance() {
        let mut g = Grid::default();
        let i = Duration::from_millis(10);
        let p = g.join(i, 1);
        for first in (0..10_000_000).step_by(9_973) {
            // The first one is sent now, the following ones are armed up to half an interval later.
            for later in [0, 200_000, 5_000_000] {
                let mut last = Instant(50_000_000 + first);
                let now = last + Duration::from_nanos(later);
                for _ in 0..4 {
                    let at = g.next(p, last, now);
                    let gap = at.since(last);
                    assert!(at >= now && gap >= i / 2 && gap <= i, "{first} {later}: {gap:?}");
                    last = at;
                }
                assert_eq!(p.after(Instant(last.0 - 1)), last, "on the grid again");
            }
            // After a long pause: from now on.
            let now = Instant(90_000_000 + first);
            assert_eq!(g.next(p, Instant(1), now), p.after(now));
        }
    }

    #[test]
    fn grid_is_never_late_and_shared() {
        let mut g = Grid::default();
        let i = Duration::from_millis(10);
        let phases: Vec<Phase> = (0..200).map(|_| g.join(i, 1)).collect();
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
            assert_eq!(other.rejoin(i, 1, on), *p, "the same place in another process");
        }
        assert_eq!(
            other.rejoin(i, 1, Instant(123_456_789)).after(Instant(0)).0 % 625_000,
            OFF_TICK,
            "on the grid at any rate"
        );
        phases.into_iter().for_each(|p| g.leave(p));
        assert!(g.members.is_empty());
    }
}
