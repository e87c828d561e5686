//! The monotonic clock and the wall clock, and the local representation of a wall-clock time. The only file that reads a clock.

use crate::time::{Duration, Instant, Now, Wall};

fn read(id: libc::clockid_t) -> u64 {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `ts` outlives the call. The two clocks used here exist on every Linux, so the call cannot fail; were it
    // to, `ts` stays zero.
    unsafe { libc::clock_gettime(id, &mut ts) };
    (ts.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(ts.tv_nsec as u64)
}

/// Reads both clocks; called once per turn.
pub fn now() -> Now {
    Now { mono: mono(), wall: Wall(read(libc::CLOCK_REALTIME)) }
}

/// Reads `CLOCK_MONOTONIC`, which io_uring's absolute timeouts use too.
pub fn mono() -> Instant {
    Instant(read(libc::CLOCK_MONOTONIC))
}

/// CPU time that this process has used, user and kernel. The scheduler measures it; a count of ticks would miss work that timers start.
pub fn cpu() -> Duration {
    Duration::from_nanos(read(libc::CLOCK_PROCESS_CPUTIME_ID))
}

/// Loads the time zone. Called once at start: afterwards [`local`] touches no file.
pub fn load_zone() {
    unsafe extern "C" {
        fn tzset();
    }
    // SAFETY: single-threaded, at start; tzset reads the environment and the zone file only.
    unsafe { tzset() };
}

/// Seconds that local time is ahead of UTC at `at`, in seconds since 1970. Touches no file after [`load_zone`].
pub fn utc_offset(at: i64) -> i64 {
    // SAFETY: as in `local`.
    unsafe {
        let mut tm: libc::tm = core::mem::zeroed();
        libc::localtime_r(&at, &mut tm);
        tm.tm_gmtoff
    }
}

/// A wall-clock time in the local zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// The full year, such as 2026.
    pub year: i32,
    /// Month, 1..=12.
    pub month: u8,
    /// Day of the month, 1..=31.
    pub day: u8,
    /// Hour, 0..=23.
    pub hour: u8,
    /// Minute, 0..=59.
    pub minute: u8,
    /// Second, 0..=60; 60 is a leap second.
    pub second: u8,
    /// Microseconds, 0..=999,999.
    pub micros: u32,
}

/// The date and the time of day in the local time zone.
pub fn local(wall: Wall) -> Local {
    let seconds = (wall.0 / 1_000_000_000) as libc::time_t;
    // SAFETY: all-zero is a valid `tm`; both pointers are to locals that outlive the call. `localtime_r` does not
    // re-read the zone after `tzset`, so it opens no file.
    let tm = unsafe {
        let mut tm: libc::tm = core::mem::zeroed();
        libc::localtime_r(&seconds, &mut tm);
        tm
    };
    let small = |v: i32| u8::try_from(v).unwrap_or(0);
    Local {
        year: tm.tm_year.saturating_add(1900),
        month: small(tm.tm_mon.saturating_add(1)),
        day: small(tm.tm_mday),
        hour: small(tm.tm_hour),
        minute: small(tm.tm_min),
        second: small(tm.tm_sec),
        micros: (wall.0 % 1_000_000_000 / 1000) as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monotonic_does_not_go_back_and_parts_are_in_range() {
        let a = mono();
        let b = now();
        assert!(b.mono >= a);
        assert!(utc_offset(1_700_000_000).abs() <= 26 * 3600);
        let l = local(Wall(1_700_000_000_123_456_789));
        assert_eq!((l.year, l.month, l.micros), (2023, 11, 123_456));
    }
}
