//! The timer table of the World. `set` replaces a timer, `stop` removes it, and a timer that has expired is taken from the table and handled
//! in the same turn: a stopped timer never fires.
//!
//! Read first: `time.rs`. Ordered by (deadline, name), so two runs fire in the same order.

use crate::id::{GroupKey, SockKey, TrackKey, VrKey};
use crate::time::Instant;
use std::collections::{BTreeMap, BTreeSet};

/// The reason of a deadline. Printable: a deadline without a reason cannot be debugged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum Due {
    /// No advert for Master_Down_Interval (RFC 9568 §6.4.2).
    MasterDown(VrKey),
    /// The first advert of a new Master is sent: the other steps of the takeover follow.
    Claim(VrKey),
    /// `preempt_delay` has passed since the first lower-priority advert.
    PreemptDelay(VrKey),
    /// The loop was late and has recovered: announce again if still Master.
    Reannounce(VrKey),
    /// The advert that was about to leave has left: the armed ones are replaced now.
    Rearm(VrKey),
    /// An advert could not be sent; it is tried again within the interval.
    AdvertRetry(VrKey),
    /// The last advert that the previous process armed leaves: from now on all adverts are sent by this process.
    Inherited(VrKey),
    /// The next part of a new Master's addresses is requested.
    ClaimMore(VrKey),
    /// Second GARP burst of a takeover.
    GarpSecond(VrKey),
    /// Second GARP burst after the answer to a lower priority.
    GarpLower(VrKey),
    /// The repeated announcement of `garp_master_refresh`.
    GarpRefresh(VrKey),
    /// The repeated announcement of `garp_extra_if`.
    GarpExtra(VrKey),
    /// A rival was answered and has yielded by now: the last announcement is to be from this router.
    GarpLast(VrKey),
    /// A second Master may have fallen silent.
    DualMaster(VrKey),
    /// The members of a sync group have been reported as Master: the group follows.
    GroupSay(GroupKey),
    /// The next slice of the GARP queue.
    GarpQueue,
    /// Addresses that could not be added or were deleted: try again.
    AddrRetry,
    /// The next part of the addresses that stay on an own interface is asked for.
    KeepMore(VrKey),
    /// The next part of the addresses on an own interface that came up is announced.
    HeardMore(VrKey),
    /// Interfaces of our own: some wait for another try or a look.
    OwnLinks,
    /// Routes: some wait for another try, a look, or their turn.
    Routes,
    /// The same for policy rules.
    Rules,
    /// An interface has been up or down for so long that it counts.
    LinkSettled(u32),
    /// nf_tables: another try, a look, or the wait for it is over.
    Filter,
    /// A socket that could not be opened: try again. One without users: its last advert has left.
    SockRetry(SockKey),
    /// A dump failed: request it again.
    Resync,
    /// `reload_time_file`: the time has come, or the wall clock is to be read again.
    ReloadTime,
    /// Hooks, pipes or mail: the notifier determines which.
    Notify,
    /// A tracker's next run or read is due, or the delay of a changed quorum is over. Before `TrackTimeout`: a run that is due at the
    /// moment its predecessor's time is over is not a second failure.
    TrackRun(TrackKey),
    /// The time of a tracker's run or read is over; or a program that was asked to end still runs.
    TrackTimeout(TrackKey),
    /// `vrrp_startup_delay` or `vrrp_delay_after_boot` is over.
    Startup,
    /// Health checks of real servers: the earliest of their times. They have a queue of their own, so that the timers of adverts do not
    /// take longer with the number of checks.
    Checks,
    /// The next slice of a reload.
    Reload,
    /// LVS: the next part of its configuration or of its table, another try, a check of the table.
    Lvs,
    /// A frozen world has sent no advert for so long that a peer may take over: check whether a successor is in charge.
    Custody,
    /// The process was asked to stop, and its wait for the kernel is over.
    Exit,
    /// BFD: the earliest time of all sessions, which have a queue of their own.
    Bfd,
    /// As `Filter`, of the table that marks packets for IPVS.
    Marking,
}

/// Deadlines by reason; at most one each.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Timers {
    by_due: BTreeMap<Due, Instant>,
    queue: BTreeSet<(Instant, Due)>,
    // The entries of `queue` that are a `Due::MasterDown`.
    takeovers: BTreeSet<(Instant, VrKey)>,
}

impl Timers {
    /// Sets or replaces a deadline.
    pub fn set(&mut self, due: Due, at: Instant) {
        self.stop(due);
        self.by_due.insert(due, at);
        self.queue.insert((at, due));
        if let Due::MasterDown(vr) = due {
            self.takeovers.insert((at, vr));
        }
    }
    /// Sets a deadline, or removes it where there is none.
    pub fn follow(&mut self, due: Due, at: Option<Instant>) {
        match at {
            Some(at) if self.get(due) == Some(at) => {}
            Some(at) => self.set(due, at),
            None => drop(self.stop(due)),
        }
    }
    /// Removes a deadline; returns whether there was one.
    pub fn stop(&mut self, due: Due) -> bool {
        match self.by_due.remove(&due) {
            Some(at) => {
                if let Due::MasterDown(vr) = due {
                    self.takeovers.remove(&(at, vr));
                }
                self.queue.remove(&(at, due))
            }
            None => false,
        }
    }
    /// The deadline, if set.
    pub fn get(&self, due: Due) -> Option<Instant> {
        self.by_due.get(&due).copied()
    }
    /// The earliest deadline; `None`: no timer is set.
    pub fn next(&self) -> Option<(Instant, Due)> {
        self.queue.first().copied()
    }
    /// Takes the earliest deadline that is due at `now`.
    pub fn pop(&mut self, now: Instant) -> Option<(Instant, Due)> {
        let (at, due) = self.next().filter(|(at, _)| *at <= now)?;
        self.stop(due);
        Some((at, due))
    }
    /// When the next Master_Down_Timer runs out.
    pub fn next_takeover(&self) -> Option<Instant> {
        self.takeovers.first().map(|(at, _)| *at)
    }
    /// Takes the earliest Master_Down_Timer that has run out at `now`, whatever else is due before it.
    pub fn pop_takeover(&mut self, now: Instant) -> Option<VrKey> {
        let (_, vr) = self.takeovers.first().copied().filter(|(at, _)| *at <= now)?;
        self.stop(Due::MasterDown(vr));
        Some(vr)
    }
    /// Stops every timer of a virtual router.
    pub fn stop_all(&mut self, vr: VrKey) {
        use Due::*;
        for due in [
            MasterDown(vr),
            Claim(vr),
            PreemptDelay(vr),
            Reannounce(vr),
            Rearm(vr),
            AdvertRetry(vr),
            Inherited(vr),
            ClaimMore(vr),
            HeardMore(vr),
            GarpSecond(vr),
            GarpLower(vr),
            GarpRefresh(vr),
            GarpExtra(vr),
            GarpLast(vr),
            DualMaster(vr),
        ] {
            self.stop(due);
        }
    }
    /// All deadlines, earliest first.
    pub fn iter(&self) -> impl Iterator<Item = (Instant, Due)> + '_ {
        self.queue.iter().copied()
    }
    /// The number of deadlines.
    pub fn len(&self) -> usize {
        self.by_due.len()
    }
    /// Whether there is no deadline.
    pub fn is_empty(&self) -> bool {
        self.by_due.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_replaces_and_stop_leaves_nothing() {
        let mut t = Timers::default();
        let at = Instant;
        t.set(Due::AddrRetry, at(5));
        t.set(Due::AddrRetry, at(9));
        t.set(Due::GarpQueue, at(7));
        assert_eq!((t.next(), t.len()), (Some((at(7), Due::GarpQueue)), 2));
        assert_eq!(t.pop(at(6)), None);
        assert!(t.stop(Due::GarpQueue) && !t.stop(Due::GarpQueue));
        assert_eq!(t.pop(at(9)), Some((at(9), Due::AddrRetry)));
        assert!(t.is_empty() && t.next().is_none());
    }
}
