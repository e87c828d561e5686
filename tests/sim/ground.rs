//! What the checkers know: the true state of the whole simulation, which no node knows, and the facts as they happen.
//!
//! Read first: `options.rs`. The simulation in `run.rs` keeps the [`Ground`] up to date and passes every [`Fact`] to every checker of
//! `invariants/`. Times are those of the simulation; a node's clocks differ from them, and run at
//! rates of their own: a bound that has a timer of a node uses [`Ground::due`], [`Ground::lasts`] or [`Ground::slow`].

use crate::options::Options;
use crate::packet::Advert;
use core::time::Duration;
use kalived::time::Instant;
use kalived::vrrp::State;

/// One virtual router on one node.
#[derive(Clone, Debug)]
pub struct Vr {
    /// As the World reported after its last turn; `Init` without a process.
    pub state: State,
    /// When it became so.
    pub since: Instant,
    /// State before.
    pub from: State,
    /// Its configuration in force has it.
    pub listed: bool,
    /// When it last left Master.
    pub left_master: Option<Instant>,
}

/// One node.
#[derive(Clone, Debug)]
pub struct NodeGround {
    /// The process runs (or is paused).
    pub alive: bool,
    /// SIGSTOP.
    pub paused: bool,
    /// The loop is busy.
    pub stalled: bool,
    /// Frozen, and the process that takes over has not begun.
    pub handing: bool,
    /// Sends fail.
    pub mute: bool,
    /// Interface there, up and running, with the node's own addresses usable.
    pub fit: bool,
    /// As far as its process knows, nothing that it tracks without weight is down.
    pub passes: bool,
    /// Netlink notifications were lost and no complete dump was handled since (nor ever, in a new process).
    pub stale: bool,
    /// Sockets cannot be opened.
    pub sockless: bool,
    /// Netlink requests fail.
    pub netlink_sick: bool,
    /// Last time anything above changed, or a fault touched this node in another way.
    pub touched: Instant,
    /// Last time its netlink side was touched: errors ended, overrun, an address taken away.
    pub netlink_touched: Instant,
    /// Last begin or end of a pause or stall.
    pub clock_touched: Instant,
    /// By group.
    pub vr: Vec<Vr>,
    /// By group: whether its configuration in force lists the last address of the group too.
    pub spare: Vec<bool>,
    /// By group, by VIP: whether the kernel has it.
    pub vips: Vec<Vec<bool>>,
}

impl NodeGround {
    /// Runs, without a fault, with all that it needs.
    pub fn healthy(&self) -> bool {
        let runs = self.alive && !self.paused && !self.stalled && !self.handing;
        runs && !self.mute && !self.stale && self.fit && self.passes
    }
}

/// A node's monotonic clock. It began at another time than true time, and runs at a rate of its own.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Its time at true time 0, nanoseconds: hosts boot at different times, so their time grids do not coincide.
    pub uptime: u64,
    /// Its error, in millionths: positive, it is too fast.
    pub ppm: i32,
}

/// Millionths.
const MILLION: i128 = 1_000_000;

impl Clock {
    /// What it shows at a true time.
    pub fn at(&self, true_time: Instant) -> Instant {
        Instant(self.uptime + self.runs(true_time))
    }
    /// How far it has run, whenever it began.
    pub fn runs(&self, true_time: Instant) -> u64 {
        (i128::from(true_time.0) * (MILLION + i128::from(self.ppm)) / MILLION) as u64
    }
    /// The first true time at which it shows this or more.
    pub fn true_time(&self, shown: Instant) -> Instant {
        let rate = MILLION + i128::from(self.ppm);
        let ran = i128::from(shown.0.saturating_sub(self.uptime));
        Instant(((ran * MILLION + rate - 1) / rate) as u64)
    }
}

/// Everything.
#[derive(Clone, Debug)]
pub struct Ground {
    /// True time.
    pub now: Instant,
    /// The draw.
    pub opts: Options,
    /// By node.
    pub nodes: Vec<NodeGround>,
    /// By node.
    pub clocks: Vec<Clock>,
    /// `cut[from][to]`: how many faults cut this direction.
    pub cut: Vec<Vec<u32>>,
    /// Last change of `cut` between two nodes, either direction; symmetric.
    pub cut_touched: Vec<Vec<Instant>>,
    /// D: the largest one-way delay of a packet that arrives at all, of those sent from now on.
    pub delay: Duration,
    /// J: the largest time from a completion or deadline to the end of the turn that handles it, on a healthy node.
    pub lateness: Duration,
    /// When every fault was healed and the last delayed packet was gone.
    pub healed: Option<Instant>,
}

impl Ground {
    /// When a timer of a node that it sets at `from` has run out by its clock.
    pub fn due(&self, node: usize, from: Instant, timer: Duration) -> Instant {
        let clock = &self.clocks[node];
        clock.true_time(clock.at(from) + timer)
    }
    /// How long a timer of a node really lasts, give or take a nanosecond.
    pub fn lasts(&self, node: usize, timer: Duration) -> Duration {
        let clock = Clock { uptime: 0, ..self.clocks[node] };
        Duration::from_nanos(clock.true_time(Instant(timer.as_nanos() as u64)).0)
    }
    /// How long a timer lasts on the node with the slowest clock.
    pub fn slow(&self, timer: Duration) -> Duration {
        (0..self.clocks.len()).map(|n| self.lasts(n, timer)).max().unwrap_or(timer)
    }
    /// Both directions open.
    pub fn connected(&self, a: usize, b: usize) -> bool {
        self.cut[a][b] == 0 && self.cut[b][a] == 0
    }
    /// Whether a node's configuration lists a virtual address of a group, by its place among them.
    pub fn lists(&self, node: usize, group: usize, vip: usize) -> bool {
        vip + 1 < self.opts.groups[group].vips.len() || self.nodes[node].spare[group]
    }
    /// The priority and address that decide between two Masters.
    pub fn rank(&self, node: usize, group: usize) -> (u8, u8) {
        (self.opts.groups[group].members[node].priority, self.opts.host[node])
    }
    /// Whether a node has another key than the others of a group: it is none of them.
    pub fn stranger(&self, node: usize, group: usize) -> bool {
        self.opts.groups[group].stranger == Some(node)
    }
    /// All Masters of a group, except a stranger.
    pub fn masters(&self, group: usize) -> impl Iterator<Item = usize> + '_ {
        (0..self.nodes.len()).filter(move |n| {
            self.nodes[*n].alive && self.nodes[*n].vr[group].state == State::Master && !self.stranger(*n, group)
        })
    }
    /// Longest time that a member may wait without an advert: Master_Down_Interval from the longest interval of the group and its own
    /// priority, or its first wait.
    pub fn longest_mdi(&self, node: usize, group: usize) -> Duration {
        let g = &self.opts.groups[group];
        let longest = g.members.iter().map(|m| m.interval).max().unwrap_or_default();
        let m = &g.members[node];
        self.slow(mdi(g.version, m.priority, longest).max(first_wait(g.version, m)))
    }
}

/// How long a member waits without an advert after a start or a fault. With nopreempt at least 4 s, an interval and its Skew_Time,
/// because its interface may not receive yet (trap 31).
pub fn first_wait(version: kalived::config::model::Version, m: &crate::options::Member) -> Duration {
    let down = mdi(version, m.priority, m.interval);
    if m.preempt || m.priority == 255 {
        return down;
    }
    down.max(Duration::from_secs(4) + m.interval + skew(version, m.priority, m.interval))
}

/// Master_Down_Interval, computed a second time from the RFCs, in nanoseconds.
pub fn mdi(version: kalived::config::model::Version, priority: u8, interval: Duration) -> Duration {
    interval * 3 + skew(version, priority, interval)
}

/// Skew_Time. v2: of a second; v3: of the interval.
pub fn skew(version: kalived::config::model::Version, priority: u8, interval: Duration) -> Duration {
    let unit = match version {
        kalived::config::model::Version::V2 => Duration::from_secs(1),
        kalived::config::model::Version::V3 => interval,
    };
    unit * (256 - u32::from(priority)) / 256
}

/// How an advert left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// By the loop, in the turn that is being applied.
    Now,
    /// By the kernel, armed before.
    Armed,
    /// As `Armed`, by a process that froze.
    Left,
}

/// A state in the words of hooks and pipes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the words
pub enum Word {
    Master,
    Backup,
    Fault,
    Stop,
}

/// What happened.
#[derive(Clone, Copy, Debug)]
pub enum Fact {
    /// A process was started.
    Started {
        /// Where.
        node: usize,
    },
    /// A process was killed, or exited.
    Ended {
        /// Where.
        node: usize,
    },
    /// An undamaged advert is being handed to the World; a signed one is accepted by it.
    Heard {
        /// By whom.
        node: usize,
        /// Of which group.
        group: usize,
        /// The advert.
        advert: Advert,
        /// Who sent it.
        from: usize,
    },
    /// After a turn the state is another (already in the ground).
    Moved {
        /// Where.
        node: usize,
        /// Which group.
        group: usize,
    },
    /// A turn was handled and its effects were applied.
    TurnEnd {
        /// Whose.
        node: usize,
        /// More timers are due: the next turn follows at once.
        more: bool,
    },
    /// An advert left a node's interface.
    Emitted {
        /// Whose.
        node: usize,
        /// Which group.
        group: usize,
        /// The advert.
        advert: Advert,
        /// By whose hand.
        how: How,
    },
    /// An advert will not reach this node intact.
    Missed {
        /// Sender.
        from: usize,
        /// Who does not hear it.
        to: usize,
        /// Which group.
        group: usize,
    },
    /// An advert was sent, and the send failed.
    Unsent {
        /// Whose.
        node: usize,
        /// Which group.
        group: usize,
        /// By whose hand.
        how: How,
    },
    /// The loop hears that an armed advert left, a long time ago.
    HeardLate {
        /// Whose.
        node: usize,
        /// Which group.
        group: usize,
        /// When it was due.
        due: Instant,
    },
    /// A gratuitous ARP or NA left.
    Announced {
        /// Whose.
        node: usize,
        /// Whose address.
        group: usize,
        /// Its place among the group's addresses.
        vip: usize,
    },
    /// A paused process runs again; its armed adverts have not left yet.
    Resumed {
        /// Which.
        node: usize,
    },
    /// Another configuration is in force for this virtual router (already in the ground).
    Altered {
        /// Where.
        node: usize,
        /// Which group.
        group: usize,
        /// Its priority before.
        from: u8,
    },
    /// Its configuration does not have this virtual router any more (already in the ground).
    Unlisted {
        /// Where.
        node: usize,
        /// Which group.
        group: usize,
    },
    /// A hook was started, or a line was written.
    Told {
        /// Where.
        node: usize,
        /// Of which group.
        group: usize,
        /// What.
        word: Word,
        /// A hook; else the pipe.
        hook: bool,
    },
    /// A process froze; another one goes on.
    Frozen {
        /// Where.
        node: usize,
    },
    /// The time without faults has lasted long enough for every hook to have ended.
    Quiet,
    /// A fault began or ended here (already in the ground).
    Touched,
    /// As `Heard`, by a process in standby.
    Overheard {
        /// By whom.
        node: usize,
        /// Of which group.
        group: usize,
        /// The advert.
        advert: Advert,
        /// Who sent it.
        from: usize,
    },
    /// A process continues from another one's snapshot, whose content the checkers do not know.
    Inherits {
        /// Where.
        node: usize,
    },
    /// While there is no fault, a process is replaced in time: no state may change.
    PassedOn {
        /// Whose.
        node: usize,
        /// It crashed.
        crash: bool,
    },
    /// The observation that began with `PassedOn` is over.
    PassedOnLongAgo,
    /// Only the time has changed. At least once for each event.
    Tick,
    /// The node got SIGTERM after the end of all faults.
    AskedToStop {
        /// Which.
        node: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_at_the_first_true_time_that_shows_it() {
        for ppm in [-200_000, -200, -1, 0, 1, 200, 200_000] {
            let clock = Clock { uptime: 77, ppm };
            for n in 0..1_000 {
                let asked = Instant(1_000_000_000 + 7_777_777 * n);
                let at = clock.true_time(asked);
                assert!(clock.at(at) >= asked && clock.at(Instant(at.0 - 1)) < asked, "{ppm} {n}");
            }
        }
    }
}
