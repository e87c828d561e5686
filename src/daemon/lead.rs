//! Waking up before the deadline.
//!
//! An idle processor needs 5 to 100 µs to resume, more in a virtual machine, and its caches are cold then. An armed advert would be late
//! by that time, and a takeover by twice that time. So the loop wakes a little early and spins in user space, until the advert has left
//! or Master_Down_Timer has run out. It does the same while a new Master waits for the kernel to confirm its addresses: sleeping and
//! being woken from another processor takes longer than the kernel's work.
//!
//! The time to wake early is measured: for every sleep that ends by its timer, the lateness is recorded (`WakeUps`), and the loop wakes
//! early by a little more than that. Where a wake-up takes 10 µs, the loop spins for 15 µs.
//!
//! The spinning time is limited: `SHARE` of the time, accumulated up to `PURSE`. When it is used up the loop sleeps until the deadline,
//! as if this file did not exist; so with many timers it costs its share and no more.

use crate::time::{Duration, Instant, nanos};

/// Bounds of the lead. The upper one is longer than most processors take to leave their deepest idle state, and than a hypervisor takes
/// to deliver the timer (measured: 45 µs) plus the way from there to user space (60 µs). The lower one covers the way from the end of the
/// sleep into the spin.
const LEAD: (Duration, Duration) = (Duration::from_micros(5), Duration::from_micros(150));
/// A deadline that follows an earlier one by less finds the processor awake and its caches warm: a second early wake-up is not needed.
const WARM: Duration = Duration::from_millis(1);
/// Longest spin for an answer of the kernel.
const ANSWER: Duration = Duration::from_micros(300);
/// The part of the time that may be spent spinning: one 50th of one processor. One router at 10 ms needs 1.5 % with the longest lead.
const SHARE: u64 = 50;
/// The most spinning time that accumulates: a takeover right after many adverts still has some.
const PURSE: Duration = Duration::from_millis(2);

/// What to do until the next event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// The deadline has come: collect completions, and continue.
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
        // A wake-up that other work delayed is no measure of a wake-up.
        let late = late.min(nanos(LEAD.1));
        if !core::mem::replace(&mut self.known, true) {
            (self.mean, self.deviation) = (late, late / 2);
            return;
        }
        self.deviation = (3 * self.deviation + self.mean.abs_diff(late)) / 4;
        self.mean = (7 * self.mean + late) / 8;
    }

    /// How early to wake for a deadline.
    fn lead(&self) -> Duration {
        let need = if self.known { self.mean + 2 * self.deviation + nanos(LEAD.0) } else { u64::MAX };
        Duration::from_nanos(need).clamp(LEAD.0, LEAD.1)
    }
}

/// The accumulated spinning time, and the measured wake-ups.
#[derive(Debug, Default)]
pub struct Lead {
    saved: u64,
    seen: Instant,
    wake_ups: WakeUps,
    /// The deadline of the present sleep.
    asleep_until: Option<Instant>,
    /// The sharp deadline of the previous plan, and the last one that had passed when it was replaced.
    sharp: Option<Instant>,
    last: Instant,
}

impl Lead {
    /// `until`: the next deadline; `sharp`: the next deadline that must not be late; `answer`: since when an answer of the kernel is
    /// awaited.
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
            // Not for a deadline that has passed already: nothing can be gained.
            Some(at) if at > now && at.since(self.last) >= WARM && self.pays(lead) => {
                if now + lead >= at {
                    Plan::Spin(at)
                } else {
                    Plan::Sleep(crate::time::earliest(until, Some(at - lead)))
                }
            }
            // A sleep until a time that has passed would cost a timer and a context switch.
            _ if until.is_some_and(|at| at <= now) => Plan::Now,
            _ => Plan::Sleep(until),
        }
    }

    /// The planned sleep ended at `now`, by its timer or for another reason.
    pub fn woke(&mut self, now: Instant) {
        if let Some(late) = self.asleep_until.take().and_then(|at| now.0.checked_sub(at.0)) {
            self.wake_ups.saw(late);
        }
    }

    /// A spin lasted from `from` to `to`.
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

    /// The spinning time per advert, with adverts every 10 ms and the given wake-up times, once these are measured: nanoseconds each; and
    /// the number of adverts that were not awaited awake.
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
                // At first no wake-up is measured.
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
        // 5 to 15 µs in turn.
        let (each, missed) = spun(|i| 5_000 + i % 3 * 5_000);
        assert!(each <= 25_000 && missed == 0, "{each} {missed}");
        let (each, missed) = spun(|_| 100_000);
        assert!(each <= 50_000 && missed == 0, "{each} {missed}");
        // One in fifty is very late: the lead of the others does not grow by it.
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
        // The first deadline has passed: the loop sleeps for the second, 0.6 ms after it, and spins for the one after a pause.
        assert_eq!(l.plan(Instant(1000 * MS + 50_000), None, at(625), None), Plan::Sleep(None));
        assert_eq!(l.plan(Instant(1000 * MS + 700_000), None, at(9_000), None), Plan::Sleep(at(8_850)));
    }

    #[test]
    fn never_spins_more_than_its_share() {
        let mut l = Lead::default();
        l.plan(Instant(1000 * MS), None, None, None);
        let (mut now, mut spun) = (Instant(1000 * MS), 0);
        // Adverts every millisecond would take 15 % of the time for spinning.
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
