//! I-11, announced: after a takeover every address that the kernel confirmed is announced once before any is announced twice, and
//! within `RETRY` from the time at which it is possible: the router is Master, the kernel has the address, frames
//! can be sent. A frame that could not be sent is tried again after at most a second, hence that bound.
//!
//! The order is required only of takeovers without a fault: an address that is put back, or whose confirmation was lost, may come at any
//! time. A process that continues from another one does not announce its addresses, which hosts know already.

use super::{Checker, Id, Worst};
use crate::ground::{Fact, Ground};
use core::time::Duration;
use kalived::time::Instant;
use kalived::vrrp::State;

/// Longest wait of the code under test before it tries a frame again, plus a few turns and netlink exchanges.
pub const RETRY: Duration = Duration::from_millis(1100);

#[derive(Clone, Default)]
struct Vr {
    // Became Master by itself, in this process.
    took_over: bool,
    // Something happened that a takeover does not bring about.
    touched: bool,
    // By VIP: how often it was announced since the takeover, and since when it is there without an announcement.
    vips: Vec<(u32, Option<Instant>)>,
}

/// See the module.
pub struct Announce {
    vrs: Vec<Vec<Vr>>,
    worst: Worst,
}

impl Announce {
    /// For a run.
    pub fn new(g: &Ground) -> Announce {
        let vr = |group: &crate::options::Group| Vr { vips: vec![(0, None); group.vips.len()], ..Vr::default() };
        let vrs = (0..g.nodes.len()).map(|_| g.opts.groups.iter().map(vr).collect()).collect();
        Announce { vrs, worst: Worst::default() }
    }
}

impl Checker for Announce {
    fn id(&self) -> Id {
        Id::I11
    }
    fn worst(&self) -> Worst {
        self.worst
    }
    fn see(&mut self, g: &Ground, fact: &Fact) -> Result<(), String> {
        match *fact {
            Fact::Moved { node, group } => {
                let vr = &mut self.vrs[node][group];
                vr.took_over = g.nodes[node].vr[group].state == State::Master;
                vr.touched = !g.nodes[node].healthy() || g.nodes[node].netlink_sick;
                vr.vips.fill((0, None));
            }
            Fact::Inherits { node } => self.vrs[node].iter_mut().for_each(|vr| vr.took_over = false),
            Fact::Altered { node, group, .. } => self.vrs[node][group].touched = true,
            Fact::Announced { node, group, vip } => {
                let vr = &mut self.vrs[node][group];
                let (count, since) = &mut vr.vips[vip];
                *count += 1;
                if let Some(since) = since.take().filter(|_| *count == 1) {
                    self.worst.add(g.now.since(since), RETRY);
                }
                let second = *count == 2;
                let silent = (0..vr.vips.len())
                    .find(|v| vr.vips[*v].0 == 0 && g.nodes[node].vips[group][*v] && g.lists(node, group, *v));
                if let Some(silent) = silent.filter(|_| second && vr.took_over && !vr.touched) {
                    let vips = &g.opts.groups[group].vips;
                    return Err(format!(
                        "node {node}, group {group}: {} announced twice before {} once",
                        vips[vip], vips[silent]
                    ));
                }
            }
            Fact::Touched => {
                for (node, vrs) in self.vrs.iter_mut().enumerate() {
                    let n = &g.nodes[node];
                    let shaken = n.touched.max(n.netlink_touched).max(n.clock_touched) >= g.now;
                    vrs.iter_mut().filter(|_| shaken || n.netlink_sick).for_each(|vr| vr.touched = true);
                }
                return self.compare(g);
            }
            Fact::TurnEnd { .. } | Fact::Tick => return self.compare(g),
            _ => {}
        }
        Ok(())
    }
}

impl Announce {
    fn compare(&mut self, g: &Ground) -> Result<(), String> {
        for (node, vrs) in self.vrs.iter_mut().enumerate() {
            let n = &g.nodes[node];
            for (group, vr) in vrs.iter_mut().enumerate() {
                let able = vr.took_over && n.healthy() && !n.netlink_sick && n.vr[group].state == State::Master;
                for (vip, (count, since)) in vr.vips.iter_mut().enumerate() {
                    if !n.vips[group][vip] {
                        // Gone: announced anew when it is back.
                        (*count, *since) = (0, None);
                    }
                    let silent = able && *count == 0 && n.vips[group][vip] && g.lists(node, group, vip);
                    if !silent {
                        *since = None;
                        continue;
                    }
                    let from = since.get_or_insert(g.now);
                    *from = (*from).max(n.touched).max(n.netlink_touched).max(n.clock_touched);
                    let lasts = g.now.since(*from);
                    if lasts > RETRY {
                        let addr = g.opts.groups[group].vips[vip];
                        return Err(format!("node {node}, group {group}: {addr} held for {lasts:?} and not announced"));
                    }
                }
            }
        }
        Ok(())
    }
}
