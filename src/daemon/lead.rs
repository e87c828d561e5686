//! Being awake before the time comes.
//!
//! An idle processor needs 5 to 100 µs to come back, more in a virtual machine, and then finds its caches cold. A pre-armed
//! advert would be late by that, and a takeover by that and as much again. So the loop wakes a little early and spins, in
//! user space, until the advert has left or Master_Down_Timer has run out. The same while a new Master waits for the kernel
//! to confirm its addresses: to sleep and be woken from another processor costs more than the kernel needs for the work.
//!
//! How early is what this machine needs: every sleep that ends by its timer says how late that was (`WakeUps`), and the loop
//! wakes early by that and a little more. Where a wake-up takes 10 µs, 15 µs are spun.
//!
//! What is spun away is bounded: `SHARE` of the time, saved up to `PURSE`. When that is spent the loop sleeps to the point,
//! as if this file did not exist; so with many timers it costs its share and no more.

use crate::time::{Duration, Instant, nanos};

/// Bounds of how early. The upper one is longer than most processors take to leave their deepest idle state, and than a hypervisor
/// takes to deliver the timer (seen: 45 µs) plus the way from there to user space (60 µs). The lower one is for the way from
/// the end of the sleep into the spin.
const LEAD: (Duration, Duration) = (Duration::from_micros(5), Duration::from_micros(150));
/// What follows an earlier one by less finds the processor awake and its caches warm: to wake for it twice is a waste.
const WARM: Duration = Duration::from_millis(1);
/// Longest spin for an answer of the kernel's.
const ANSWER: Duration = Duration::from_micros(300);
/// Part of the time that may be spun away: one 50th of one processor. One router at 10 ms needs 1.5 % with the longest lead.
const SHARE: u64 = 50;
/// What can be saved up: a takeover right after many adverts is not to go without.
const PURSE: Duration = Duration::from_millis(2);

/// What to do until the next event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// It is time already: collect what is ready, and go on.
    Now,
    /// Sleep until then, or for ever.
    Sleep(Option<Instant>),
    /// Stay awake until then, or until something has completed.
    Spin(Instant),
}

/// How late this machine wakes up: a running mean and its deviation, as TCP estimates a round trip (RFC 6298).
#[derive(Debug, Default)]
struct WakeUps {
    mean: u64,
    deviation: u64,
    known: bool,
}

impl WakeUps {
    fn saw(&mut self, late: u64) {
        // One that was put off by other work says nothing about a wake-up.
        let late = late.min(nanos(LEAD.1));
        if !core::mem::replace(&mut self.known, true) {
            (self.mean, self.deviation) = (late, late / 2);
            return;
        }
        self.deviation = (3 * self.deviation + self.mean.abs_diff(late)) / 4;
        self.mean = (7 * self.mean + late) / 8;
    }

    /// How early to wake for a time that is to be met.
    fn lead(&self) -> Duration {
        let need = if self.known { self.mean + 2 * self.deviation + nanos(LEAD.0) } else { u64::MAX };
        Duration::from_nanos(need).clamp(LEAD.0, LEAD.1)
    }
}

/// The purse, and what wake-ups take.
#[derive(Debug, Default)]
pub struct Lead {
    saved: u64,
    seen: Instant,
    wake_ups: WakeUps,
    /// What the sleep under way ends at.
    asleep_until: Option<Instant>,
    /// The sharp time of the plan before, and the last one that had come when it was replaced.
    sharp: Option<Instant>,
    last: Instant,
}

impl Lead {
    /// `until`: the next thing to do; `sharp`: the next that must not be late; `answer`: since when the kernel owes an answer that
    /// is waited for.
    pub fn plan(
        &mut self,
        now: Instant,
        until: Option<Instant>,
        sharp: Option<Instant>,
        answer: Option<Instant>,
    ) -> Plan {
        self.saved = (self.saved + nanos(now.since(self.seen)) / SHARE).min(nanos(PURSE));
        self.seen = self.seen.max(now);
        if let Some(before) = self.sharp.filter(|at| sharp != Some(*at) && *at <= now) {
            self.last = self.last.max(before);
        }
        self.sharp = sharp;
        let plan = self.choose(now, until, sharp, answer);
        self.asleep_until = match plan {
            Plan::Sleep(until) => until.filter(|at| *at > now),
            Plan::Now | Plan::Spin(_) => None,
        };
        plan
    }

    fn choose(&self, now: Instant, until: Option<Instant>, sharp: Option<Instant>, answer: Option<Instant>) -> Plan {
        if let Some(since) = answer
            && now < since + ANSWER
            && self.pays(ANSWER)
        {
            return Plan::Spin(since + ANSWER);
        }
        let lead = self.wake_ups.lead();
        match sharp {
            // Not for what is due already: nothing can be gained.
            Some(at) if at > now && at.since(self.last) >= WARM && self.pays(lead) => {
                if now + lead >= at {
                    Plan::Spin(at)
                } else {
                    Plan::Sleep(crate::time::earliest(until, Some(at - lead)))
                }
            }
            // To sleep until a time that has come costs a timer and a switch of tasks.
            _ if until.is_some_and(|at| at <= now) => Plan::Now,
            _ => Plan::Sleep(until),
        }
    }

    /// The sleep that was planned ended at `now`, because its time had come or for another reason.
    pub fn woke(&mut self, now: Instant) {
        if let Some(late) = self.asleep_until.take().and_then(|at| now.0.checked_sub(at.0)) {
            self.wake_ups.saw(late);
        }
    }

    /// A spin took from `from` to `to`.
    pub fn spent(&mut self, from: Instant, to: Instant) {
        self.saved = self.saved.saturating_sub(nanos(to.since(from)));
        self.seen = to;
    }

    fn pays(&self, cost: Duration) -> bool {
        self.saved >= nanos(cost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    fn us(n: u64) -> Option<Instant> {
        Some(Instant(n * 1000))
    }

    #[test]
    fn sleeps_until_shortly_before_and_then_spins() {
        let mut l = Lead::default();
        let t = us(1_000_000);
        assert_eq!(l.plan(Instant(500 * MS), us(2_000_000), t, None), Plan::Sleep(us(999_850)));
        assert_eq!(l.plan(Instant(999_850_000), us(2_000_000), t, None), Plan::Spin(Instant(1_000_000_000)));
        assert_eq!(
            l.plan(Instant(1_000_000_000), us(2_000_000), t, None),
            Plan::Sleep(us(2_000_000)),
            "due: the kernel's"
        );
        assert_eq!(l.plan(Instant(2000 * MS), us(2_000_000), None, None), Plan::Now);
        assert_eq!(l.plan(Instant(2000 * MS), None, None, None), Plan::Sleep(None));
    }

    /// Spins away how much for adverts every 10 ms, on a machine whose wake-ups take so long, from when it is known: nanoseconds
    /// each; and how many were not waited for awake.
    fn spun(wake_up: impl Fn(u64) -> u64) -> (u64, u64) {
        let mut l = Lead::default();
        let (mut now, mut spun, mut missed) = (Instant(1000 * MS), 0, 0);
        for i in 0..300 {
            let due = Instant((1010 + 10 * i) * MS);
            let Plan::Sleep(Some(at)) = l.plan(now, None, Some(due), None) else { unreachable!("10 ms before") };
            now = at + Duration::from_nanos(wake_up(i));
            l.woke(now);
            match l.plan(now, None, Some(due), None) {
                Plan::Spin(end) => {
                    l.spent(now, end);
                    spun += if i < 100 { 0 } else { nanos(end.since(now)) };
                }
                // At first nothing is known of this machine.
                _ => missed += u64::from(i >= 100),
            }
            now = due;
        }
        (spun / 200, missed)
    }

    #[test]
    fn spins_for_what_wake_ups_take_here() {
        let (each, missed) = spun(|_| 10_000);
        assert!(each <= 6_000 && missed == 0, "{each} {missed}");
        // 5 to 15 µs by turns.
        let (each, missed) = spun(|i| 5_000 + i % 3 * 5_000);
        assert!(each <= 25_000 && missed == 0, "{each} {missed}");
        let (each, missed) = spun(|_| 100_000);
        assert!(each <= 50_000 && missed == 0, "{each} {missed}");
        // One in fifty is late by much: the others do not pay for it.
        let (each, missed) = spun(|i| if i % 50 == 49 { 5 * MS } else { 10_000 });
        assert!(each <= 30_000 && missed <= 8, "{each} {missed}");
    }

    #[test]
    fn a_wake_up_by_something_else_says_nothing() {
        let mut l = Lead::default();
        l.plan(Instant(1000 * MS), us(2_000_000), None, None);
        l.woke(Instant(1500 * MS));
        assert!(!l.wake_ups.known);
        l.plan(Instant(1500 * MS), None, None, None);
        l.woke(Instant(1600 * MS));
        assert!(!l.wake_ups.known);
    }

    #[test]
    fn what_follows_closely_is_not_woken_for_twice() {
        let mut l = Lead::default();
        let at = |us: u64| Some(Instant(1000 * MS + us * 1000));
        assert_eq!(l.plan(Instant(999 * MS), None, at(0), None), Plan::Sleep(at(0).map(|at| at - LEAD.1)));
        // The first has come: the second, 0.6 ms after it, is slept for; the one after a pause is not.
        assert_eq!(l.plan(Instant(1000 * MS + 50_000), None, at(625), None), Plan::Sleep(None));
        assert_eq!(l.plan(Instant(1000 * MS + 700_000), None, at(9_000), None), Plan::Sleep(at(8_850)));
    }

    #[test]
    fn never_spins_more_than_its_share() {
        let mut l = Lead::default();
        l.plan(Instant(1000 * MS), None, None, None);
        let (mut now, mut spun) = (Instant(1000 * MS), 0);
        // Adverts every millisecond: 15 % of the time, were it paid for.
        while now < Instant(2000 * MS) {
            let due = now + Duration::from_millis(1);
            match l.plan(now, None, Some(due), None) {
                Plan::Sleep(Some(at)) => {
                    if let Plan::Spin(end) = l.plan(at, None, Some(due), None) {
                        l.spent(at, end);
                        spun += nanos(end.since(at));
                    }
                }
                Plan::Sleep(None) | Plan::Now => {}
                Plan::Spin(_) => unreachable!("too early"),
            }
            now = due;
        }
        assert!(spun <= 1000 * MS / SHARE + nanos(PURSE), "{spun}");
        assert!(spun > 500 * MS / SHARE, "{spun}");
    }

    #[test]
    fn an_answer_is_waited_for_so_long_and_no_longer() {
        let mut l = Lead::default();
        l.plan(Instant(1000 * MS), None, None, None);
        let asked = us(1_000_000);
        assert_eq!(l.plan(Instant(1000 * MS + 50_000), None, None, asked), Plan::Spin(Instant(1000 * MS + 300_000)));
        assert_eq!(l.plan(Instant(1000 * MS + 300_000), None, None, asked), Plan::Sleep(None));
    }
}
