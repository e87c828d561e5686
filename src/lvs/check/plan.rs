//! The plan of all health checks: when each is carried out, and how many at a time.
//!
//! Read first: `timers.rs`. Each check has at most two times in the queue: its next step (a start, the end of its look), and the time of the
//! report that it has not ended for long. The queue is separate from the timers, where all of it is the one timer [`Due::Checks`], so that
//! a timer of an advert costs the same beside 10,000 checks. The check that was due first begins first. The interval of a check that begins
//! late counts from its start, so that a machine that cannot keep up makes all intervals longer evenly.

use super::spec::What;
use crate::id::CheckId;
use crate::time::{Duration, Instant, earliest, nanos};
use crate::timers::{Due, Timers};
use crate::words::Limit;
use std::collections::{BTreeSet, VecDeque};

/// Connections of checks at a time, where the limit of open files allows it. Each is a descriptor and, once it is open, 4 KiB for what is
/// received: 16 MiB at most.
pub const CONNECTIONS: usize = 4096;
/// Programs of checks at a time: so many shells need about 500 MB.
pub const PROGRAMS: usize = 256;
/// Checks that begin in one turn. To open a connection keeps the kernel busy for some 40 us, in which no armed advert leaves.
pub(super) const SLICE: usize = 2;
/// Shortest time between two turns in which checks begin: at most 20,000 begin in a second.
pub(super) const PAUSE: Duration = Duration::from_micros(100);
/// Longest time between two such turns.
const LONGEST_PAUSE: Duration = Duration::from_millis(1);
/// A check that is due within this time begins together with one that is due now, if the time is no more than a hundredth of its interval:
/// a turn of its own would cost a third of what it takes to open a connection. Its next start counts from the time at which it was due.
pub(super) const TOGETHER: Duration = Duration::from_millis(1);
/// Steps of one turn that are no start: the end of a look whose time is over, some microseconds each.
pub(super) const STEPS: usize = 16;

/// Checks that are put into the plan, or ended, in one turn (at a start, a reload, a stop): some microseconds each.
pub(super) const ROUSED: usize = 32;
/// Time until the next turn that does so: in between the first checks begin, and processes of a lower priority run.
pub(super) const ROUSE_PAUSE: Duration = Duration::from_micros(500);

/// Time from one slice of matching a body with a regex to the next, of all checks together: they take a fifth of a processor at most.
pub(super) const MATCH_PAUSE: Duration = Duration::from_millis(1);

/// The purpose of a time in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub(super) enum Tag {
    /// The next start of the check, or the end of the time for its look.
    Step,
    /// Its look has not ended for long: this is reported.
    Overdue,
}

/// A kind of look of which only so many may be under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    Connections,
    Programs,
}

impl Lane {
    /// `None`: a check without looks, which follows a file or a BFD session.
    pub(super) fn of(what: &What) -> Option<Lane> {
        match what {
            What::Misc { .. } => Some(Lane::Programs),
            What::File { .. } | What::Never(_) | What::Bfd(_) => None,
            _ => Some(Lane::Connections),
        }
    }
}

#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
struct Places {
    taken: usize,
    waiting: VecDeque<CheckId>,
}

/// The queue of all health checks by time, and the limited places for those under way.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Plan {
    queue: BTreeSet<(Instant, Tag, CheckId)>,
    places: [Places; 2],
    // Connections at a time, where that is fewer than [`CONNECTIONS`].
    #[serde(default)]
    room: Option<usize>,
    // No check begins before this time.
    open: Instant,
    // Starts in 1,000 seconds, of all checks together.
    #[serde(default)]
    rate: u64,
    // Late starts since the last report, the longest delay among them; and all late starts.
    late: u64,
    worst: Duration,
    limit: Limit,
    all_late: u64,
    // Looks that have not ended for long, since the last report; and their total.
    overdue: u64,
    overdue_limit: Limit,
    all_overdue: u64,
}

impl Plan {
    /// At most so many connections at a time: the process may have no more descriptors.
    pub(super) fn set_room(&mut self, connections: usize) {
        self.room = Some(connections.clamp(1, CONNECTIONS));
    }
    /// How many looks of this kind may be under way.
    pub(super) fn most(&self, lane: Lane) -> usize {
        match lane {
            Lane::Connections => self.room.unwrap_or(CONNECTIONS),
            Lane::Programs => PROGRAMS,
        }
    }
    pub(super) fn set(&mut self, at: Instant, tag: Tag, id: CheckId) {
        self.queue.insert((at, tag, id));
    }
    pub(super) fn unset(&mut self, at: Instant, tag: Tag, id: CheckId) {
        self.queue.remove(&(at, tag, id));
    }
    pub(super) fn has(&self, at: Instant, tag: Tag, id: CheckId) -> bool {
        self.queue.contains(&(at, tag, id))
    }
    pub(super) fn first(&self, now: Instant) -> Option<(Instant, Tag, CheckId)> {
        self.queue.first().copied().filter(|(at, ..)| *at <= now)
    }
    /// How many times are in the queue.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }
    pub(super) fn is_open(&self, now: Instant) -> bool {
        now >= self.open
    }
    /// Enough has begun in this turn. Checks begin at most twice as often as on average, so that those that waited while the loop had other
    /// work do not begin in one burst. `hurry`: a verdict may change, so the pause is the shortest one.
    pub(super) fn pause(&mut self, now: Instant, hurry: bool) {
        let even = 1_000_000_000_000 * SLICE as u64 / self.rate.max(1) / 2;
        let even = Duration::from_nanos(even).clamp(PAUSE, LONGEST_PAUSE);
        self.open = now + if hurry { PAUSE } else { even };
    }
    /// A check with this interval was added (`comes`) or removed.
    pub(super) fn count(&mut self, interval: Duration, comes: bool) {
        let rate = 1_000_000_000_000 / nanos(interval).max(1);
        self.rate = if comes { self.rate.saturating_add(rate) } else { self.rate.saturating_sub(rate) };
    }
    /// Sets the one timer of all. `other`: when there is something else to do.
    pub(super) fn arm(&self, other: Option<Instant>, timers: &mut Timers) {
        let next = self.queue.first().map(|(at, ..)| (*at).max(self.open));
        match earliest(next, other) {
            // The timer is set to this time already, as in most turns.
            at if at == timers.get(Due::Checks) => {}
            Some(at) => timers.set(Due::Checks, at),
            None => drop(timers.stop(Due::Checks)),
        }
    }
    /// Takes a place; false: there is none, and the check waits for one.
    pub(super) fn enter(&mut self, lane: Lane, id: CheckId) -> bool {
        let most = self.most(lane);
        let places = &mut self.places[lane as usize];
        if places.taken >= most {
            places.waiting.push_back(id);
            return false;
        }
        places.taken += 1;
        true
    }
    /// Gives a place back.
    pub(super) fn leave(&mut self, lane: Lane) {
        let places = &mut self.places[lane as usize];
        places.taken = places.taken.saturating_sub(1);
    }
    /// Less than half of the connections are in use.
    pub(super) fn is_roomy(&self) -> bool {
        self.taken(Lane::Connections) < self.most(Lane::Connections) / 2
    }
    /// The check that has waited longest, if there is a place for it.
    pub(super) fn waiting(&mut self, lane: Lane) -> Option<CheckId> {
        let most = self.most(lane);
        let places = &mut self.places[lane as usize];
        (places.taken < most).then(|| places.waiting.pop_front()).flatten()
    }
    /// The check waits for a place no longer.
    pub(super) fn give_up(&mut self, lane: Lane, id: CheckId) {
        self.places[lane as usize].waiting.retain(|w| *w != id);
    }
    pub(super) fn taken(&self, lane: Lane) -> usize {
        self.places[lane as usize].taken
    }
    pub(super) fn is_waiting(&self, lane: Lane, id: CheckId) -> bool {
        self.places[lane as usize].waiting.contains(&id)
    }
    /// Late starts since the process was started.
    pub(super) fn all_late(&self) -> u64 {
        self.all_late
    }
    /// A check has not ended for long. `Some`: it is to be reported now, with the number of others that were not.
    pub(super) fn not_ended(&mut self, now: Instant) -> Option<u64> {
        self.all_overdue += 1;
        self.overdue += 1;
        self.overdue_limit.pass(now).map(|_| core::mem::take(&mut self.overdue) - 1)
    }
    /// Looks that had not ended for long, since the process was started.
    pub(super) fn all_overdue(&self) -> u64 {
        self.all_overdue
    }
    /// A check that was due `late` ago begins. Returns whether its interval counts from now; and, if it is to be reported, how many have
    /// begun late since the last report and by how much.
    pub(super) fn begun(
        &mut self,
        now: Instant,
        late: Duration,
        interval: Duration,
    ) -> (bool, Option<(u64, Duration)>) {
        if late <= slack(interval) {
            return (false, None);
        }
        self.late += 1;
        self.all_late += 1;
        self.worst = self.worst.max(late);
        let said = self.limit.pass(now).map(|_| (core::mem::take(&mut self.late), core::mem::take(&mut self.worst)));
        (true, said)
    }
}

// A start that is late by no more than this is on time: the next one keeps to the interval.
fn slack(interval: Duration) -> Duration {
    (interval / 10).max(Duration::from_millis(10))
}
