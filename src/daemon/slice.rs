//! How many address requests travel in one send to the kernel.
//!
//! One address costs the kernel 8 µs here and 130 µs there (a slow processor, an interface with 2,000 addresses, IPv6). While it
//! works on a send, nothing else runs on a single processor: no advert, no takeover, no announcement. So a send takes as
//! many requests as fit into a time, by what the send before took; and the first is short, for hosts wait for its
//! announcement.

use crate::time::{Duration, Instant};

/// What one send may take where the loop and the kernel's worker share a processor.
pub const TARGET: Duration = Duration::from_micros(300);
/// Where the worker has a processor of its own: each request is answered by itself, so nobody waits for the end of the send.
const APART: Duration = Duration::from_millis(1);
/// Requests of the first send after a pause.
const FIRST: usize = 2;
/// Requests at most: their answers and notices, two messages each, fit the buffers twice over.
pub const MOST: usize = 128;
/// After so long without a send, the next one is a first one.
const PAUSE: Duration = Duration::from_millis(10);

/// See the module.
#[derive(Debug)]
pub struct Slice {
    target: Duration,
    size: usize,
    // Of the send on its way.
    began: Instant,
    asked: usize,
    ended: Instant,
}

impl Slice {
    /// `apart`: the worker has a processor of its own.
    pub fn new(apart: bool) -> Slice {
        let target = if apart { APART } else { TARGET };
        Slice { target, size: FIRST, began: Instant::default(), asked: 0, ended: Instant::default() }
    }

    /// How many requests the next send may take.
    pub fn size(&mut self, now: Instant) -> usize {
        if now.since(self.ended) > PAUSE {
            self.size = FIRST;
        }
        self.size
    }

    /// A send with so many requests goes to the kernel.
    pub fn begin(&mut self, now: Instant, asked: usize) {
        (self.began, self.asked) = (now, asked);
    }

    /// It came back.
    pub fn end(&mut self, now: Instant) {
        self.ended = now;
        let took = now.since(self.began).as_nanos().max(1);
        let fit = self.target.as_nanos() * self.asked.max(1) as u128 / took;
        // Grown by what is known of, not by one lucky measurement.
        self.size = usize::try_from(fit).unwrap_or(MOST).clamp(1, MOST.min(2 * self.size));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sends(slice: &mut Slice, from: Instant, cost: Duration, n: usize) -> (Vec<usize>, Instant) {
        let mut now = from;
        let sizes = (0..n).map(|_| {
            let size = slice.size(now);
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
    fn the_first_after_a_pause_is_short() {
        let mut s = Slice::new(true);
        let (sizes, now) = sends(&mut s, Instant(1_000_000_000), Duration::from_micros(10), 9);
        assert_eq!(sizes, [2, 4, 8, 16, 32, 64, 100, 100, 100]);
        assert_eq!(sends(&mut s, now + PAUSE * 2, Duration::from_micros(10), 1).0, [2]);
    }
}
