//! What must happen after the end of all faults.
//!
//! L-1, election: in every group a node is Master within `S + max MDI + D + 2J` and the bound of I-1 after that end. After one preemption
//! more (`max (MDI + preempt_delay) + I + D + 2J`) there is exactly one Master, which has the greatest priority if all preempt, and
//! from then on no state changes (I-7). MDI is Master_Down_Interval; S is the longest time that the code under test waits before it
//! repeats a failed operation (a socket, a dump, an address).
//!
//! L-2, farewell: a Master that is asked to stop sends priority 0 and removes its addresses. At most `Skew + J` after a Backup has
//! received that, a node is Master; so from the farewell `D + J + min Skew + J`, one J for the turn that receives it and one for the
//! timer.

use super::{Checker, Id, Worst};
use crate::ground::{Fact, Ground, How, skew};
use core::time::Duration;
use kalived::time::Instant;
use kalived::vrrp::State;

/// Longest wait before another try.
pub const SETTLE: Duration = Duration::from_millis(1200);

/// When there must be a Master in every group, and when everything must have come to rest, after the healing.
pub fn bounds(g: &Ground) -> (Duration, Duration) {
    let (mut first, mut rest) = (Duration::ZERO, Duration::ZERO);
    for (i, group) in g.opts.groups.iter().enumerate() {
        let longest = group.members.iter().map(|m| m.interval).max().unwrap_or_default();
        let slack = g.slow(longest) + (g.delay + g.lateness * 2) * 2;
        let mdi = (0..g.nodes.len()).map(|n| g.longest_mdi(n, i)).max().unwrap_or_default();
        let delay = group.members.iter().map(|m| m.preempt_delay).max().unwrap_or_default();
        first = first.max(SETTLE + mdi + slack);
        rest = rest.max(SETTLE + mdi + slack + mdi + g.slow(delay) + slack);
    }
    (first, rest)
}

/// Whether the protocol guarantees that states stop changing. It does not with unequal intervals and `lower_prio_no_advert`: a Master
/// with a short interval that is about to yield advertises it to the Backups just after the better Master's advert; their timers expire
/// before that one's next advert, and only the phase of the two grids ends this.
pub(super) fn settles(g: &Ground, group: usize) -> bool {
    let group = &g.opts.groups[group];
    !group.silent || group.members.windows(2).all(|m| m[0].interval == m[1].interval)
}

/// L-1.
pub struct Election {
    elected: Vec<bool>,
    over: bool,
    worst: Worst,
}

impl Election {
    pub fn new(g: &Ground) -> Election {
        Election { elected: vec![false; g.opts.groups.len()], over: false, worst: Worst::default() }
    }
}

impl Checker for Election {
    fn id(&self) -> Id {
        Id::L1
    }
    fn worst(&self) -> Worst {
        self.worst
    }
    fn see(&mut self, g: &Ground, fact: &Fact) -> Result<(), String> {
        if let Fact::AskedToStop { .. } | Fact::Ended { .. } = fact {
            self.over |= g.healed.is_some();
        }
        let Some(healed) = g.healed.filter(|_| !self.over) else { return Ok(()) };
        let (first, rest) = bounds(g);
        let since = g.now.since(healed);
        if let Fact::Moved { node, group } = *fact
            && since > rest
            && settles(g, group)
        {
            let vr = &g.nodes[node].vr[group];
            return Err(format!("node {node}, group {group}: {:?} to {:?} in the calm", vr.from, vr.state));
        }
        for group in 0..g.opts.groups.len() {
            let count = g.masters(group).count();
            if count > 0 && !self.elected[group] {
                self.elected[group] = true;
                self.worst.add(since, first);
            }
            if !self.elected[group] && since > first {
                return Err(format!("group {group}: nobody is Master {since:?} after the healing, bound {first:?}"));
            }
            if since > rest && settles(g, group) {
                if count != 1 {
                    return Err(format!("group {group}: {count} Masters {since:?} after the healing"));
                }
                let members = &g.opts.groups[group].members;
                let peers = members.iter().enumerate().filter(|(n, _)| !g.stranger(*n, group)).map(|(_, m)| m);
                let best = peers.clone().map(|m| m.priority).max();
                let master = g.masters(group).next().map(|n| members[n].priority);
                if peers.clone().all(|m| m.preempt) && master != best {
                    return Err(format!("group {group}: Master has priority {master:?}, best is {best:?}"));
                }
            }
        }
        Ok(())
    }
}

/// L-2.
#[derive(Default)]
pub struct Farewell {
    stopping: Option<usize>,
    // Groups in which it was Master, and whether it sent a farewell.
    was_master: Vec<(usize, bool)>,
    // Group, and the time at which a node must be Master.
    until: Vec<(usize, Instant, Instant)>,
    worst: Worst,
}

impl Checker for Farewell {
    fn id(&self) -> Id {
        Id::L2
    }
    fn worst(&self) -> Worst {
        self.worst
    }
    fn see(&mut self, g: &Ground, fact: &Fact) -> Result<(), String> {
        match *fact {
            Fact::AskedToStop { node } => {
                self.stopping = Some(node);
                let groups = 0..g.opts.groups.len();
                self.was_master =
                    groups.filter(|i| g.nodes[node].vr[*i].state == State::Master).map(|i| (i, false)).collect();
            }
            Fact::Emitted { node, group, advert, how: How::Now }
                if advert.priority == 0 && self.stopping == Some(node) =>
            {
                self.was_master.iter_mut().filter(|m| m.0 == group).for_each(|m| m.1 = true);
                let spec = &g.opts.groups[group];
                let longest = spec.members.iter().map(|m| m.interval).max().unwrap_or_default();
                let least = (0..g.nodes.len())
                    .filter(|n| {
                        *n != node
                            && !g.stranger(*n, group)
                            && g.nodes[*n].healthy()
                            && g.nodes[*n].vr[group].state == State::Backup
                    })
                    .map(|n| skew(spec.version, spec.members[n].priority, longest))
                    .min();
                if let Some(least) = least {
                    self.until.push((group, g.now, g.now + g.delay + g.slow(least) + g.lateness * 2));
                }
            }
            Fact::Ended { node } if self.stopping == Some(node) => {
                if let Some((group, _)) = self.was_master.iter().find(|m| !m.1) {
                    return Err(format!("node {node}, group {group}: stopped without a farewell"));
                }
                if g.nodes[node].vips.iter().flatten().any(|v| *v) {
                    return Err(format!("node {node}: stopped and left an address behind"));
                }
                self.stopping = None;
            }
            Fact::Moved { .. } | Fact::Tick | Fact::TurnEnd { .. } => {
                let mut late = None;
                let worst = &mut self.worst;
                self.until.retain(|(group, from, until)| {
                    let done = g.masters(*group).next().is_some();
                    if done {
                        worst.add(g.now.since(*from), until.since(*from));
                    } else if g.now > *until {
                        late = Some((*group, g.now.since(*from), until.since(*from)));
                    }
                    !done
                });
                if let Some((group, took, bound)) = late {
                    return Err(format!("group {group}: no Master {took:?} after the farewell, bound {bound:?}"));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
