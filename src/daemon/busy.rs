//! Overload of the processor: the core leaves the real-time class before the kernel stops it.
//!
//! A real-time process that uses more than `sched_rt_runtime_us` of a second (by default 950 of 1,000 ms) is stopped for the rest of that
//! second: 50 ms without an advert, at 10 ms more than Master_Down_Interval. A core with so much work takes an ordinary priority in time,
//! the best there is; the scheduler then makes it wait some milliseconds now and then, but never 50 ms. The core returns to the real-time
//! class when the load has ended. Both changes are logged, the first one with advice.
//!
//! Pure except for the arguments of [`Busy::look`]; `exec.rs` calls it. Processor time is measured, not the lateness of a turn: on a
//! machine that is busy with other processes, a core that waits does not use up its own share.

use crate::time::{Duration, Instant};

/// How often the processor time is read.
const WINDOW: Duration = Duration::from_millis(100);
/// Percent of a window: a window with at least the first is full, one with less than the second is easy.
const FULL: u128 = 90;
const EASY: u128 = 70;
/// So many full windows in a row are more than a burst, and the kernel's limit is a window and a half away.
const FULL_WINDOWS: u32 = 8;
/// After so many easy windows in a row the load has ended.
const EASY_WINDOWS: u32 = 50;

/// A change of the scheduling class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Leave the real-time class; `first`: for the first time.
    Leave {
        /// Not logged yet.
        first: bool,
    },
    /// Return to the real-time class.
    Return,
}

/// Decides when the core leaves the real-time class and when it returns, by its processor time in successive windows.
#[derive(Debug, Default)]
pub struct Busy {
    since: Instant,
    used: Duration,
    full: u32,
    easy: u32,
    left: bool,
    said: bool,
}

impl Busy {
    /// Whether a window is over.
    pub fn is_due(&self, now: Instant) -> bool {
        now >= self.since + WINDOW
    }

    /// `used`: processor time of this process so far.
    pub fn look(&mut self, now: Instant, used: Duration) -> Option<Change> {
        let (span, work) = (now.since(self.since), used.saturating_sub(self.used));
        (self.since, self.used) = (now, used);
        // In a longer window the process slept, or another process had the processor.
        let percent = 100 * work.as_nanos() / span.as_nanos().max(1);
        self.full = if percent >= FULL { self.full + 1 } else { 0 };
        self.easy = if percent < EASY { self.easy + 1 } else { 0 };
        if !self.left && self.full >= FULL_WINDOWS {
            self.left = true;
            return Some(Change::Leave { first: !core::mem::replace(&mut self.said, true) });
        }
        if self.left && self.easy >= EASY_WINDOWS {
            self.left = false;
            return Some(Change::Return);
        }
        None
    }
}

/// The log lines.
pub mod text {
    use crate::note::{Level, Note};

    /// The core left the real-time class.
    pub fn left(priority: u8, first: bool) -> Note {
        let why = if first {
            ": the kernel would stop a real-time process that is; adverts may be late. Fewer virtual routers, longer intervals or a \
             faster processor help"
        } else {
            ""
        };
        Note {
            level: Level::Warning,
            text: format!(
                "this processor is too slow for what there is to do; real-time priority {priority} given up for now{why}"
            ),
        }
    }

    /// The core returned to the real-time class.
    pub fn returned(priority: u8) -> Note {
        Note { level: Level::Notice, text: format!("less to do; real-time priority {priority} again") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs for `windows` windows with `percent` of each used; returns the changes, each with its window.
    fn run(b: &mut Busy, t: &mut (u64, u64), windows: u32, percent: u64) -> Vec<(u32, Change)> {
        let mut all = Vec::new();
        for i in 0..windows {
            t.0 += 100_000_000;
            t.1 += 1_000_000 * percent;
            assert!(b.is_due(Instant(t.0)));
            all.extend(b.look(Instant(t.0), Duration::from_nanos(t.1)).map(|c| (i, c)));
        }
        all
    }

    #[test]
    fn it_leaves_before_the_kernel_throttles_and_comes_back_after() {
        let (mut b, mut t) = (Busy::default(), (0, 0));
        assert_eq!(run(&mut b, &mut t, 100, 85), [], "much, and sustainable");
        assert_eq!(run(&mut b, &mut t, 7, 100), [], "a burst");
        assert_eq!(run(&mut b, &mut t, 1, 10), []);
        let left = run(&mut b, &mut t, 20, 100);
        assert_eq!(left, [(7, Change::Leave { first: true })]);
        // 0.8 s of work in a row: the kernel allows 0.95 s in each of its own seconds.
        assert!(WINDOW * (left[0].0 + 1) < Duration::from_millis(950));
        assert_eq!(run(&mut b, &mut t, 100, 80), [], "not yet");
        assert_eq!(run(&mut b, &mut t, 60, 30), [(49, Change::Return)]);
        assert_eq!(run(&mut b, &mut t, 10, 100), [(7, Change::Leave { first: false })]);
    }
}
