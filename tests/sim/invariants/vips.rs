//! I-3, VIPs iff Master: the kernel has a virtual address exactly while the node is Master, give or take `N + J`, N the time
//! of one netlink exchange. The first advert leaves before the first gratuitous ARP or NA. A Backup announces nothing, in particular not
//! in the turn in which it yields to a better Master, whose announcement it would revert.
//!
//! While netlink requests fail, or another program removes addresses, kalived may wait up to a second before it tries again:
//! then the bound is `RETRY` from the last such fault. An address on a node that is not Master makes two nodes answer for it; a
//! process that was killed leaves it, and its successor must remove it first.

use super::{Checker, Id, Worst};
use crate::ground::{Fact, Ground, How};
use core::time::Duration;
use kalived::time::Instant;
use kalived::vrrp::State;
use std::collections::BTreeMap;

/// Longest wait of the code under test before it tries an address again, plus some exchanges.
const RETRY: Duration = Duration::from_millis(1100);

/// See the module.
#[derive(Default)]
pub struct Vips {
    // (node, group) → when it last sent an advert as Master.
    advertised: BTreeMap<(usize, usize), Instant>,
    // (node, group, vip) → since when it is wrong, and since when that counts.
    wrong: BTreeMap<(usize, usize, usize), (Instant, Instant)>,
    started: BTreeMap<usize, Instant>,
    // (node, group) → when it last heard, as Master, an advert that beats it.
    beaten: BTreeMap<(usize, usize), Instant>,
    worst: Worst,
}

impl Checker for Vips {
    fn id(&self) -> Id {
        Id::I3
    }
    fn worst(&self) -> Worst {
        self.worst
    }
    fn see(&mut self, g: &Ground, fact: &Fact) -> Result<(), String> {
        match *fact {
            Fact::Started { node } => {
                self.started.insert(node, g.now);
            }
            Fact::Emitted { node, group, advert, how: How::Now | How::Armed | How::Left } if advert.priority > 0 => {
                self.advertised.insert((node, group), g.now);
            }
            // It was the first one, although no node received it.
            Fact::Unsent { node, group, .. } => {
                self.advertised.insert((node, group), g.now);
            }
            Fact::Heard { node, group, advert, from } => {
                let beats = advert.priority > 0 && (advert.priority, g.opts.host[from]) > g.rank(node, group);
                if beats && g.nodes[node].vr[group].state == State::Master {
                    self.beaten.insert((node, group), g.now);
                }
            }
            Fact::Announced { node, group, .. } => {
                let vr = &g.nodes[node].vr[group];
                // In the turn that ends with a farewell it may have announced before: no other node has yet.
                let parting = vr.left_master == Some(g.now) && self.beaten.get(&(node, group)) != Some(&g.now);
                if vr.state != State::Master && !parting {
                    return Err(format!("node {node} announces an address of group {group} in {:?}", vr.state));
                }
                if vr.state == State::Master && self.advertised.get(&(node, group)).is_none_or(|t| *t < vr.since) {
                    return Err(format!("node {node}, group {group}: announced before the first advert"));
                }
            }
            Fact::TurnEnd { .. } | Fact::Touched | Fact::Tick => return self.compare(g),
            _ => {}
        }
        Ok(())
    }
}

impl Vips {
    fn compare(&mut self, g: &Ground) -> Result<(), String> {
        for (n, node) in g.nodes.iter().enumerate() {
            for (group, vips) in node.vips.iter().enumerate() {
                for (v, present) in vips.iter().enumerate() {
                    let want = node.vr[group].state == State::Master && g.lists(n, group, v);
                    let key = (n, group, v);
                    // A node without a process, or with one that cannot run, is not checked.
                    if *present == want || !node.alive || node.paused || node.stalled || node.handing {
                        if let Some((_, counts)) = self.wrong.remove(&key).filter(|_| *present == want) {
                            self.worst.add(g.now.since(counts), Self::allowance(g, n, counts));
                        }
                        continue;
                    }
                    let born = self.started.get(&n).copied().unwrap_or_default();
                    let start = node.vr[group].since.max(node.touched).max(born);
                    let (since, counts) = self.wrong.entry(key).or_insert((g.now, g.now));
                    // The bound begins here.
                    *counts = if node.netlink_sick || node.stale { g.now } else { (*since).max(start).max(*counts) };
                    let (lasts, most) = (g.now.since(*counts), Self::allowance(g, n, *counts));
                    if lasts <= most {
                        continue;
                    }
                    return Err(format!(
                        "node {n}, group {group}, {}: {} for {lasts:?} though {:?}",
                        g.opts.groups[group].vips[v],
                        if *present { "present" } else { "absent" },
                        node.vr[group].state
                    ));
                }
            }
        }
        Ok(())
    }
    fn allowance(g: &Ground, node: usize, since: Instant) -> Duration {
        // Start: a dump, then a removal. Takeover and yield: one request each. All within a few exchanges.
        let exchange = (g.opts.netlink + g.lateness) * 4 + Duration::from_millis(1);
        let touched = g.nodes[node].netlink_touched;
        if touched == Instant::default() || since.since(touched) > RETRY * 10 {
            exchange
        } else {
            // The growing pause for an address that another program keeps removing applies until ten seconds after the last removal.
            (touched + RETRY).since(since) + exchange + RETRY
        }
    }
}
