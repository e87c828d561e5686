//! F-1: a virtual address of a virtual router that does not accept packets is added only while the kernel filters it, and is filtered
//! until it is removed. F-2: a process that is stopped in order leaves no filter.
//!
//! Read first: `run.rs`, `src/filter/`. The filter may be missing only where the kernel refused it or an operator flushed the rules.

use crate::faults::Class;
use crate::node::Completion;
use crate::run::{Sabotage, Sim, Work};
use core::net::IpAddr;
use kalived::effect::{ADDR_PROTO, FilterFx, FilterOp};
use kalived::event::{Errno, FilterEv, ReqId};
use kalived::time::Duration;
use kalived::wire::netlink::nft::{Ruleset, Table};
use std::sync::Arc;

/// The filter of a node's kernel. It outlives the process.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// The ruleset in force.
    pub there: Option<Arc<Ruleset>>,
    /// Which process put it there.
    by: u32,
    /// It was refused, or flushed, since it was put in force last.
    excused: bool,
    /// A process was killed with its guard, and the next one began without knowing of it: one whose file filters nothing does not look for
    /// a table (kalived.conf(5), DIFFERENCES).
    pub abandoned: bool,
}

impl Rules {
    fn has(&self, addr: IpAddr) -> bool {
        self.there.as_ref().is_some_and(|r| r.addresses.iter().any(|(a, _)| *a == addr))
    }
    /// Whether the addition of this address is right.
    pub fn covers(&self, addr: IpAddr) -> bool {
        self.has(addr) || self.excused
    }
    /// An operator flushes all rules; whether ours were among them.
    pub fn flush(&mut self) -> Option<String> {
        let gone = self.there.take()?;
        self.excused = true;
        Some(gone.table.clone())
    }
}

impl Sim {
    /// A request of a process.
    pub fn filter_effect(&mut self, node: usize, fx: FilterFx) {
        match fx {
            FilterFx::Open => drop(self.complete(node, Completion::Filter(FilterEv::Opened(Ok(()))))),
            FilterFx::Tables => {
                let tables = self.filter_tables(node);
                let complete =
                    !self.nodes[node].netlink_errors || !self.fault_rng(Class::NetlinkError, node).permille(300);
                self.complete(node, Completion::Filter(FilterEv::Tables { tables, complete }));
            }
            FilterFx::Change { req, op } => {
                let at = self.netlink_slot(node);
                let incarnation = self.nodes[node].incarnation;
                self.at(at, Work::Filter { node, incarnation, req, op });
            }
        }
    }

    /// The kernel executes it as one transaction. The answer may be lost.
    pub fn filter_change(&mut self, node: usize, req: ReqId, op: &FilterOp) {
        let sick = self.nodes[node].netlink_errors;
        let refused = sick && self.fault_rng(Class::NetlinkError, node).permille(300);
        let lost = sick && self.fault_rng(Class::NetlinkError, node).permille(300);
        if refused {
            self.nodes[node].kernel.rules.excused = true;
        } else {
            self.filter_apply(node, op, self.nodes[node].incarnation);
        }
        let result = match (refused, lost) {
            (_, true) => Err(Errno::ENOBUFS),
            (true, _) => Err(Errno(16)),
            (false, false) => Ok(()),
        };
        self.complete(node, Completion::Filter(FilterEv::Reply { req, result }));
    }

    /// The tables of the node's kernel, as a listing reports them.
    pub fn filter_tables(&self, node: usize) -> Vec<Table> {
        let table = |r: &Arc<Ruleset>| Table {
            name: r.table.clone(),
            v6: r.addresses.iter().any(|(a, _)| a.is_ipv6()),
            comment: Some(r.comment.clone()),
        };
        self.nodes[node].kernel.rules.there.iter().map(table).collect()
    }

    /// For this process, which may have frozen or died meanwhile.
    pub fn filter_apply(&mut self, node: usize, op: &FilterOp, by: u32) {
        let (there, lie) = match op {
            FilterOp::Put(rules, _) => (Some(rules.clone()), Sabotage::NoFilter),
            FilterOp::Remove(_) => (None, Sabotage::KeepFilter),
        };
        if self.sabotage == Some(lie) {
            return;
        }
        let k = &mut self.nodes[node].kernel;
        let was = core::mem::replace(&mut k.rules, Rules { there, by, ..Rules::default() });
        let lone = k.addrs().find(|a| a.proto == ADDR_PROTO && was.has(a.addr) && !k.rules.has(a.addr)).map(|a| a.addr);
        // What another process left is removed by the next one, which does not filter what it does not have.
        if let Some(addr) = lone.filter(|_| was.by == by) {
            self.violate("F1".into(), format!("node {node} still has {addr}, which is not filtered any more"));
        }
    }

    /// An address was added.
    pub fn filter_covers(&mut self, node: usize, addr: IpAddr) {
        let Some(group) = self.ground.opts.group_of_vip(addr) else { return };
        let owner = self.ground.opts.groups[group].members[node].priority == 255;
        if self.ground.opts.groups[group].hidden && !owner {
            self.figures.filtered += 1;
            if !self.nodes[node].kernel.rules.covers(addr) {
                self.violate("F1".into(), format!("node {node} has {addr} before it is filtered"));
            }
        }
    }

    /// F-2.
    pub fn filter_is_gone(&mut self, node: usize) {
        let peace = self.ground.now.since(self.ground.nodes[node].netlink_touched) > Duration::from_secs(3);
        // As for routes: a process that is stopped before it is in charge knows of none.
        let old =
            self.ground.now.since(self.nodes[node].born) > Duration::from_secs(2) && !self.ground.nodes[node].handing;
        let old = old && self.nodes[node].custodian.is_none();
        let sick = !old || self.nodes[node].netlink_errors || self.nodes[node].overrun || self.nodes[node].lost;
        let rules = &self.nodes[node].kernel.rules;
        if rules.there.is_some() && !rules.abandoned && peace && !sick {
            self.violate("F2".into(), format!("node {node}: its filter is left after the end"));
        }
    }
}
