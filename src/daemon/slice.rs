//! The number of address requests in one send to the kernel.
//!
//! One address takes the kernel from 8 µs to 130 µs (a slow processor, an interface with 2,000 addresses, IPv6). While the kernel works
//! on a send, nothing else runs on a single processor: no advert, no takeover, no announcement. So a send contains as many requests as
//! fit into a time, by the duration of the previous send: more where no advert and no takeover is due meanwhile, because each send also
//! costs a turn of the loop. The first one is short, because hosts wait for the announcement of the first addresses.

use crate::time::{Duration, Instant, nanos};

/// The time for one send where the loop and the kernel's worker share a processor, whatever is due.
pub const TARGET: Duration = Duration::from_micros(300);
/// The most time for one send where nothing is due, and where the worker has a processor of its own: each request has its own answer, so
/// nothing waits for the end of the send.
const LONGEST: Duration = Duration::from_millis(1);
/// Requests of the first send after a pause.
const FIRST: usize = 2;
/// Most requests: their answers and notifications, two messages each, fit into the buffers twice.
pub const MOST: usize = 128;
/// After so long without a send, the next one is a first one.
const PAUSE: Duration = Duration::from_millis(10);

/// The number of requests in the next send, from the measured duration of the previous one: 2 after a pause, at most [`MOST`].
#[derive(Debug)]
pub struct Slice {
    target: Duration,
    size: usize,
    // Nanoseconds for a request, measured in the previous send.
    cost: u64,
    // When the send in flight began.
    began: Instant,
    asked: usize,
    ended: Instant,
}

impl Slice {
    /// `apart`: the worker has a processor of its own.
    pub fn new(apart: bool) -> Slice {
        let target = if apart { LONGEST } else { TARGET };
        Slice { target, size: FIRST, cost: u64::MAX, began: Instant::default(), asked: 0, ended: Instant::default() }
    }

    /// The number of requests of the next send. `due`: the next deadline that must not be late.
    pub fn size(&mut self, now: Instant, due: Option<Instant>) -> usize {
        if now.since(self.ended) > PAUSE {
            self.size = FIRST;
        } else {
            let free = due.map_or(LONGEST, |at| at.since(now)).clamp(self.target, LONGEST);
            let fit = usize::try_from(nanos(free) / self.cost).unwrap_or(MOST);
            // The size at most doubles, so that it does not depend on one favourable measurement.
            self.size = fit.clamp(1, MOST.min(2 * self.size));
        }
        self.size
    }

    /// A send with `asked` requests begins.
    pub fn begin(&mut self, now: Instant, asked: usize) {
        (self.began, self.asked) = (now, asked);
    }

    /// The send completed.
    pub fn end(&mut self, now: Instant) {
        self.ended = now;
        self.cost = (nanos(now.since(self.began)) / self.asked.max(1) as u64).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sends(slice: &mut Slice, from: Instant, cost: Duration, n: usize) -> (Vec<usize>, Instant) {
        let mut now = from;
        let sizes = (0..n).map(|_| {
            // A deadline is always due at once.
            let size = slice.size(now, Some(now));
            slice.begin(now, size);
            now += cost * size as u32;
            slice.end(now);
            size
        });
        (sizes.collect(), now)
    }

    #[test]
    fn a_send_takes_its_time_whatever_a_request_costs() {
        let mut s = Slice::new(false);
        let at = Instant(1_000_000_000);
        assert_eq!(sends(&mut s, at, Duration::from_micros(10), 6).0, [2, 4, 8, 16, 30, 30]);
        let (sizes, now) = sends(&mut s, at, Duration::from_micros(62), 3);
        assert_eq!(sizes, [30, 4, 4], "the first one finds out");
        let (sizes, now) = sends(&mut s, now, Duration::from_millis(1), 3);
        assert_eq!(sizes, [4, 1, 1]);
        assert_eq!(sends(&mut s, now, Duration::ZERO, 9).0.last(), Some(&MOST));
    }

    #[test]
    fn what_is_due_leaves_so_much_and_nothing_due_leaves_more() {
        let mut s = Slice::new(false);
        let (_, mut now) = sends(&mut s, Instant(1_000_000_000), Duration::from_micros(10), 6);
        for (due, want) in [(Some(500), 50), (Some(0), 30), (None, 60), (None, 100), (Some(900), 90), (Some(100), 30)] {
            let size = s.size(now, due.map(|us| now + Duration::from_micros(us)));
            assert_eq!(size, want, "{due:?}");
            s.begin(now, size);
            now += Duration::from_micros(10) * size as u32;
            s.end(now);
        }
    }

    #[test]
    fn the_first_after_a_pause_is_short() {
        let mut s = Slice::new(true);
        let (sizes, now) = sends(&mut s, Instant(1_000_000_000), Duration::from_micros(10), 9);
        assert_eq!(sizes, [2, 4, 8, 16, 32, 64, 100, 100, 100]);
        assert_eq!(sends(&mut s, now + PAUSE * 2, Duration::from_micros(10), 1).0, [2]);
    }
}
