//! I-2, no lasting inversion: no Master is outranked by a healthy, preempting Backup that hears nobody better for longer than
//! `MDI + preempt_delay + (k + 1) * I + M + D + 2J`, where M is how soon an advert is due that leaves as it is although the priority has
//! changed (`IMMINENT`), and MDI = 3 * MAI + Skew of the Backup, with the longest interval of
//! the group (the most it can have learned), and k adverts of the Master missed while the delay was to be started.
//!
//! Checked while the whole LAN is at rest: every node is either healthy and connected to every other healthy one, or cannot send
//! at all; and no fault has affected any of them. Only a greater priority counts: a Master with an equal one stays.

use super::{Checker, Id, Worst};
use crate::ground::{Fact, Ground, How};
use kalived::time::Instant;
use kalived::vrrp::State;
use kalived::vrrp::instance::IMMINENT;

/// See the module.
pub struct Inversion {
    // [group]: since when there is an inversion, who, and adverts missed since.
    since: Vec<Option<(Instant, usize, usize)>>,
    missed: Vec<u32>,
    // [group]: last advert of a process that froze, with a greater priority than its successor has by now. These cannot be cancelled,
    // and a router that receives one waits.
    left: Vec<Instant>,
    worst: Worst,
}

impl Inversion {
    pub fn new(g: &Ground) -> Inversion {
        let n = g.opts.groups.len();
        Inversion {
            since: vec![None; n],
            missed: vec![0; n],
            left: vec![Instant::default(); n],
            worst: Worst::default(),
        }
    }
}

/// Since when the LAN has been at rest; `None`: it is not.
pub fn at_rest(g: &Ground) -> Option<Instant> {
    let mut since = Instant::default();
    for (a, node) in g.nodes.iter().enumerate() {
        since = since.max(node.touched);
        // A stalled or paused node's armed adverts still count; a node without interface or process is silent.
        if node.alive && !node.healthy() {
            return None;
        }
        for b in 0..a {
            since = since.max(g.cut_touched[a][b]);
            if node.healthy() && g.nodes[b].healthy() && !g.connected(a, b) {
                return None;
            }
        }
    }
    Some(since)
}

impl Checker for Inversion {
    fn id(&self) -> Id {
        Id::I2
    }
    fn worst(&self) -> Worst {
        self.worst
    }
    fn see(&mut self, g: &Ground, fact: &Fact) -> Result<(), String> {
        match *fact {
            Fact::Missed { group, .. } => self.missed[group] += 1,
            Fact::Emitted { node, group, advert, how: How::Left }
                if advert.priority > g.opts.groups[group].members[node].priority =>
            {
                self.left[group] = g.now;
                return Ok(());
            }
            Fact::Moved { .. } | Fact::Touched | Fact::Started { .. } | Fact::Ended { .. } | Fact::Tick => {}
            _ => return Ok(()),
        }
        if matches!(fact, Fact::Missed { .. }) {
            return Ok(());
        }
        let rest = at_rest(g);
        for group in 0..self.since.len() {
            let members = &g.opts.groups[group].members;
            let best_master = g.masters(group).max_by_key(|n| g.rank(*n, group));
            let best_backup = (0..g.nodes.len())
                .filter(|n| {
                    !g.stranger(*n, group)
                        && g.nodes[*n].healthy()
                        && g.nodes[*n].vr[group].state == State::Backup
                        && members[*n].preempt
                })
                .max_by_key(|n| g.rank(*n, group));
            let pair = match (rest, best_master, best_backup) {
                (Some(rest), Some(m), Some(b)) if members[m].priority < members[b].priority => {
                    let rest = rest.max(self.left[group]);
                    let start = rest.max(g.nodes[m].vr[group].since).max(g.nodes[b].vr[group].since);
                    Some((start, m, b))
                }
                _ => None,
            };
            if pair != self.since[group] {
                self.missed[group] = 0;
                self.since[group] = pair;
            }
            let Some((start, m, b)) = pair else { continue };
            let longest = members.iter().map(|m| m.interval).max().unwrap_or_default();
            let bound = g.longest_mdi(b, group)
                + g.slow(members[b].preempt_delay + longest * (self.missed[group] + 1))
                + IMMINENT
                + g.delay
                + g.lateness * 2;
            let lasts = g.now.since(start);
            self.worst.add(lasts, bound);
            if lasts > bound {
                return Err(format!(
                    "group {group}: node {m} (priority {}) is Master for {lasts:?} beside Backup {b} (priority {}), bound {bound:?}",
                    members[m].priority, members[b].priority
                ));
            }
        }
        Ok(())
    }
}
