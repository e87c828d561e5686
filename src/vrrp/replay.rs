//! Sequence numbers of signed adverts: the number of an advert to be sent, and whether that of a received one is new.
//!
//! Read first: `wire/hmac.rs`. A sequence is a time (seconds, 1/65536 s) and a counter. In *time* mode a receiver accepts a sequence
//! within a window around its own clock that is newer than the last one; in *monotonic* mode one that is newer. "Newer" is serial-number
//! arithmetic, so a counter that wraps causes no problem. A mark moves only when the signature was right.
//!
//! An advert that is armed ahead is signed for the time at which it is due, so adverts in the order of time have growing sequences. A
//! clock that steps back does not lock out a sender: the sender continues from its last sequence until the clock has caught up, or, in
//! time mode, from the clock when its last one is beyond the window, where no receiver would accept it.

use crate::time::Wall;
use core::net::IpAddr;

/// Senders that are remembered. A virtual router with more than sixteen routers that share one key is not known; keepalived forgets the
/// first sender at a fifth one.
const MARKS: usize = 16;
const SECOND: u64 = 1_000_000_000;

/// How it is checked that a signed advert is new (`anti_replay`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Mode {
    /// Within this number of seconds of the clock, and newer than the last.
    Time(u32),
    /// Newer than the last.
    Monotonic,
}

/// Why a sequence is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Refused {
    /// Too far from this router's clock: seconds, negative for the past.
    Stale(i64),
    /// Not newer than the last one.
    Replay,
}

/// The sequence of a time, with the counter at zero.
pub fn of_clock(at: Wall) -> u64 {
    let (seconds, rest) = (at.0 / SECOND, at.0 % SECOND);
    // Seconds have 32 bits on the wire and wrap in 2106; "newer" wraps too.
    (seconds & 0xffff_ffff) << 32 | (rest * 65_536 / SECOND) << 16
}

/// Whether `a` comes after `b`, in serial-number arithmetic.
pub fn newer(a: u64, b: u64) -> bool {
    a.wrapping_sub(b).cast_signed() > 0
}

fn seconds_apart(a: u64, b: u64) -> i64 {
    i64::from((a >> 32) as u32).wrapping_sub(i64::from((b >> 32) as u32))
}

/// The sequence for an advert that leaves at `at`, behind one with `last`, if any.
pub fn next(mode: Mode, at: Wall, last: Option<u64>) -> u64 {
    let clock = of_clock(at);
    match (last, mode) {
        (None, _) => clock,
        // Beyond the window no receiver would accept it: begin anew with the clock.
        (Some(last), Mode::Time(window)) if seconds_apart(last, clock) > i64::from(window) => clock,
        (Some(last), _) => {
            let after = last.wrapping_add(1);
            if newer(clock, after) { clock } else { after }
        }
    }
}

/// The last sequence of each sender.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Marks(Vec<(IpAddr, u64)>);

impl Marks {
    /// The last sequence of each sender, the one received longest ago first.
    pub fn all(&self) -> &[(IpAddr, u64)] {
        &self.0
    }
    /// Restores the result of [`Marks::all`]; of too many the last ones.
    pub fn of(all: &[(IpAddr, u64)]) -> Marks {
        Marks(all[all.len().saturating_sub(MARKS)..].to_vec())
    }
    /// Whether the time of a sequence is acceptable; checked before its signature, which costs more. `Ok(true)`: more than half of the
    /// window is used up, which is logged for the administrator of the clocks.
    ///
    /// # Errors [`Refused::Stale`].
    pub fn fresh(mode: Mode, now: Wall, sequence: u64) -> Result<bool, Refused> {
        let Mode::Time(window) = mode else { return Ok(false) };
        let apart = seconds_apart(sequence, of_clock(now));
        if apart.unsigned_abs() > u64::from(window) {
            return Err(Refused::Stale(apart));
        }
        Ok(apart.unsigned_abs() * 2 > u64::from(window))
    }

    /// A sequence whose signature was right: recorded, or refused.
    ///
    /// # Errors
    /// [`Refused::Replay`].
    pub fn take(&mut self, mode: Mode, now: Wall, from: IpAddr, sequence: u64) -> Result<(), Refused> {
        let known = self.0.iter().position(|(who, _)| *who == from);
        if let Some(i) = known {
            let (_, mark) = self.0.remove(i);
            // A mark outside the window comes from a wrong clock: it must not lock its sender out.
            let counts =
                !matches!(mode, Mode::Time(w) if seconds_apart(mark, of_clock(now)).unsigned_abs() > u64::from(w));
            if counts && !newer(sequence, mark) {
                self.0.push((from, mark));
                return Err(Refused::Replay);
            }
        } else if self.0.len() == MARKS {
            // The sender that was received longest ago.
            self.0.remove(0);
        }
        self.0.push((from, sequence));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const T: u64 = 1_700_000_000;
    fn at(seconds: u64) -> Wall {
        Wall(seconds * SECOND)
    }
    fn ip(n: u8) -> IpAddr {
        [10, 0, 0, n].into()
    }
    const TIME: Mode = Mode::Time(5);

    #[test]
    fn a_copy_is_refused_and_the_next_one_is_taken() {
        let mut m = Marks::default();
        for mode in [TIME, Mode::Monotonic] {
            let s = next(mode, at(T), None);
            assert_eq!(m.take(mode, at(T), ip(1), s), Ok(()));
            assert_eq!(m.take(mode, at(T), ip(1), s), Err(Refused::Replay));
            assert_eq!(m.take(mode, at(T), ip(2), s), Ok(()), "each sender has a mark of its own");
            assert_eq!(m.take(mode, at(T), ip(1), next(mode, at(T), Some(s))), Ok(()));
            m = Marks::default();
        }
    }

    #[test]
    fn the_window_counts_whole_seconds_either_way() {
        let s = of_clock(at(T));
        assert_eq!(Marks::fresh(TIME, at(T), s), Ok(false));
        assert_eq!(Marks::fresh(TIME, at(T + 3), s), Ok(true));
        assert_eq!(Marks::fresh(TIME, at(T + 5), s), Ok(true));
        assert_eq!(Marks::fresh(TIME, at(T + 6), s), Err(Refused::Stale(-6)));
        assert_eq!(Marks::fresh(TIME, at(T - 6), s), Err(Refused::Stale(6)));
        assert_eq!(Marks::fresh(Mode::Monotonic, at(T + 1_000_000), s), Ok(false));
    }

    #[test]
    fn trap_27_a_step_of_the_clock_locks_nobody_out() {
        // The sender's clock was an hour ahead, then was set right.
        let mut m = Marks::default();
        let ahead = next(TIME, at(T + 3600), None);
        assert_eq!(m.take(TIME, at(T + 3600), ip(1), ahead), Ok(()));
        let right = next(TIME, at(T), Some(ahead));
        assert_eq!(right, of_clock(at(T)), "back to the clock: beyond the window nobody would take it");
        assert_eq!(m.take(TIME, at(T), ip(1), right), Ok(()), "the mark lies outside the window");
        // A small step back: the sequence keeps growing.
        let a = next(TIME, at(T), None);
        let b = next(TIME, at(T - 2), Some(a));
        assert_eq!(b, a + 1);
        // In monotonic mode the sequence always grows.
        let far = next(Mode::Monotonic, at(T - 3600), Some(ahead));
        assert_eq!(far, ahead + 1);
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_goes() {
        let mut m = Marks::default();
        for n in 0..=MARKS as u8 {
            assert_eq!(m.take(TIME, at(T), ip(n), of_clock(at(T))), Ok(()));
        }
        assert_eq!(m.0.len(), MARKS);
        assert_eq!(m.take(TIME, at(T), ip(1), of_clock(at(T))), Err(Refused::Replay));
    }

    proptest! {
        // Adverts are accepted in the order of their time, however far ahead they were armed.
        #[test]
        fn adverts_in_order_of_time_are_taken(gaps in prop::collection::vec(0u64..2_000_000_000, 1..40), monotonic: bool) {
            let mode = if monotonic { Mode::Monotonic } else { TIME };
            let (mut now, mut last, mut m) = (T * SECOND, None, Marks::default());
            for gap in gaps {
                now += gap;
                let s = next(mode, Wall(now), last);
                prop_assert!(Marks::fresh(mode, Wall(now), s).is_ok());
                prop_assert_eq!(m.take(mode, Wall(now), ip(1), s), Ok(()));
                last = Some(s);
            }
        }
    }
}
