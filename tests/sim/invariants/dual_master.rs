//! I-1, Dual Master: two healthy, mutually connected nodes are both Master no longer than
//! `(k + 1) * I + D + 2J`, I the interval of the one that must win, k how many of its adverts the other missed meanwhile.
//!
//! Why: the winner advertises at least once an interval (I-5), the advert takes at most D, and the loser yields in the turn
//! that handles it. A window begins anew whenever a fault touches either node or the path.

use super::{Checker, Id, Worst};
use crate::ground::{Fact, Ground};
use core::time::Duration;
use kalived::time::Instant;
use kalived::vrrp::State;

#[derive(Clone, Copy, Default)]
struct Overlap {
    since: Option<Instant>,
    missed: u32,
}

/// See the module.
pub struct DualMaster {
    // [group][winner][loser]
    pairs: Vec<Vec<Vec<Overlap>>>,
    worst: Worst,
}

impl DualMaster {
    pub fn new(g: &Ground) -> DualMaster {
        let n = g.nodes.len();
        DualMaster { pairs: vec![vec![vec![Overlap::default(); n]; n]; g.opts.groups.len()], worst: Worst::default() }
    }
    fn bound(g: &Ground, group: usize, winner: usize, missed: u32) -> Duration {
        g.lasts(winner, g.opts.groups[group].members[winner].interval * (missed + 1)) + g.delay + g.lateness * 2
    }
}

impl Checker for DualMaster {
    fn id(&self) -> Id {
        Id::I1
    }
    fn worst(&self) -> Worst {
        self.worst
    }
    fn see(&mut self, g: &Ground, fact: &Fact) -> Result<(), String> {
        if let Fact::Missed { from, to, group } = *fact {
            self.pairs[group][from][to].missed += 1;
            return Ok(());
        }
        if !matches!(fact, Fact::Moved { .. } | Fact::Touched | Fact::Ended { .. } | Fact::Tick) {
            return Ok(());
        }
        for (group, pairs) in self.pairs.iter_mut().enumerate() {
            let quiet = g.masters(group).take(2).count() < 2;
            for (w, row) in pairs.iter_mut().enumerate() {
                for (l, o) in row.iter_mut().enumerate() {
                    let both = !quiet
                        && w != l
                        && g.rank(w, group) > g.rank(l, group)
                        && g.connected(w, l)
                        && !g.stranger(w, group)
                        && !g.stranger(l, group)
                        && [w, l].iter().all(|n| g.nodes[*n].healthy() && g.nodes[*n].vr[group].state == State::Master);
                    if !both {
                        if let Some(since) = o.since.take() {
                            self.worst.add(g.now.since(since), Self::bound(g, group, w, o.missed));
                        }
                        continue;
                    }
                    let start = [
                        g.nodes[w].touched,
                        g.nodes[l].touched,
                        g.cut_touched[w][l],
                        g.nodes[w].vr[group].since,
                        g.nodes[l].vr[group].since,
                    ];
                    let start = start.into_iter().max().unwrap_or_default();
                    if o.since != Some(start) {
                        *o = Overlap { since: Some(start), missed: 0 };
                    }
                    let (lasts, bound) = (g.now.since(start), Self::bound(g, group, w, o.missed));
                    if lasts > bound {
                        return Err(format!(
                            "group {group}: nodes {w} and {l} both Master for {lasts:?}, bound {bound:?} ({} missed)",
                            o.missed
                        ));
                    }
                }
            }
        }
        Ok(())
    }
}
