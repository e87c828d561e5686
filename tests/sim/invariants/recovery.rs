//! L-4, recovery: a node that has all that it needs again, without a further fault, is not in FAULT for longer than `S + 4J`.
//!
//! S is the longest wait before another try of what failed (`liveness.rs`), J the lateness of a loop; the debounce of interfaces is zero
//! here. `Ground` has whether it has all that it needs: link, address, sockets, and the verdict of its check script.

use super::liveness::SETTLE;
use super::{Checker, Id, Worst};
use crate::ground::{Fact, Ground};
use kalived::time::Instant;
use kalived::vrrp::State;

/// L-4.
pub struct Recovery {
    since: Vec<Option<Instant>>,
    worst: Worst,
}

impl Recovery {
    pub fn new(g: &Ground) -> Recovery {
        Recovery { since: vec![None; g.nodes.len()], worst: Worst::default() }
    }
}

impl Checker for Recovery {
    fn id(&self) -> Id {
        Id::L4
    }
    fn worst(&self) -> Worst {
        self.worst
    }
    fn see(&mut self, g: &Ground, fact: &Fact) -> Result<(), String> {
        let bound = SETTLE + g.lateness * 4;
        for (n, node) in g.nodes.iter().enumerate() {
            if !node.healthy() || node.sockless || node.netlink_sick {
                self.since[n] = None;
                continue;
            }
            let since = (*self.since[n].get_or_insert(g.now)).max(node.touched).max(node.netlink_touched);
            let waited = g.now.since(since);
            if let Fact::Moved { node: moved, group } = *fact
                && moved == n
                && node.vr[group].from == State::Fault
            {
                self.worst.add(waited, bound);
            }
            // An owner's weighted trackers are reasons for FAULT as well, which the ground does not follow.
            let owner = |group: usize| g.opts.checks.is_some() && g.opts.groups[group].members[n].priority == 255;
            let mut stuck = (0..node.vr.len()).filter(|i| node.vr[*i].state == State::Fault && !owner(*i));
            if waited > bound
                && let Some(group) = stuck.next()
            {
                return Err(format!(
                    "node {n}, group {group}: in FAULT for {waited:?} with all it needs, bound {bound:?}"
                ));
            }
        }
        Ok(())
    }
}
