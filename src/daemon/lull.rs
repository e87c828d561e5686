//! A moment in which no advert is due soon, for what the guard is about to do: to end a process that took much memory.
//!
//! A kernel before 6.7 returns the pages of such a process with interrupts disabled (`sys/giveback.rs`): on a single processor 4 ms for 54
//! MB, measured at 1,000 MIPS. The answer goes out directly after an advert has left, when the next one is not due for longer than that.
//! Pure. Read first: `guardline.rs`.

use crate::time::{Duration, Instant};

/// The time that the guard gets: for its own wake-up, and for the pages.
const ROOM: Duration = Duration::from_millis(6);
/// The guard waits no longer, and a reload with it: with many virtual routers there is always an advert due.
const LIMIT: Duration = Duration::from_millis(200);

/// The guard's request to be told when no advert is due for a while.
#[derive(Debug, Default)]
pub(super) struct Lull {
    until: Option<Instant>,
}

impl Lull {
    /// The guard asks to be told of the next pause between adverts.
    pub(super) fn ask(&mut self, now: Instant) {
        self.until = Some(now + LIMIT);
    }

    /// Whether to answer now; true once per request. `next`: when the next armed advert leaves.
    pub(super) fn begins(&mut self, now: Instant, next: Option<Instant>) -> bool {
        let room = next.is_none_or(|at| at >= now + ROOM);
        self.until.take_if(|until| room || now >= *until).is_some()
    }

    /// When to answer at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_waits_for_room_but_not_forever() {
        let at = |ms: u64| Instant(1_000_000_000 + ms * 1_000_000);
        let mut lull = Lull::default();
        assert!(!lull.begins(at(0), None), "no request was made");
        lull.ask(at(0));
        assert!(!lull.begins(at(0), Some(at(5))));
        assert!(!lull.begins(at(9), Some(at(8))), "an advert that is late comes first");
        assert!(lull.begins(at(10), Some(at(20))));
        assert!(!lull.begins(at(11), Some(at(20))), "one answer");
        assert_eq!(lull.deadline(), None);

        // An advert every 4 ms.
        lull.ask(at(0));
        assert!((0..50).all(|n| !lull.begins(at(4 * n), Some(at(4 * n + 4)))));
        assert_eq!(lull.deadline(), Some(at(200)));
        assert!(lull.begins(at(200), Some(at(204))));

        // A Backup sends nothing.
        lull.ask(at(0));
        assert!(lull.begins(at(0), None));
    }
}
