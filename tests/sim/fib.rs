//! The routes and policy rules of a node's kernel, as far as kalived uses them. An interface that goes down flushes its routes, those of
//! IPv4 without a report.

use crate::kernel::Msg;
use kalived::effect::NetOp;
use kalived::event::Errno;
use kalived::route::{ROUTE_PROTO, RouteId, RouteSpec};
use kalived::rule::RuleSpec;
use std::collections::BTreeSet;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Fib {
    routes: Vec<RouteSpec>,
    rules: Vec<RuleSpec>,
    /// The process asked for reports.
    pub watched: bool,
}

impl Fib {
    /// Routes with kalived's protocol number.
    pub fn ours(&self) -> impl Iterator<Item = &RouteSpec> {
        self.routes.iter().filter(|r| r.proto == ROUTE_PROTO)
    }
    /// Rules.
    pub fn rules(&self) -> impl Iterator<Item = &RuleSpec> {
        self.rules.iter()
    }
    /// Their messages in a dump.
    pub fn dump(&self) -> Vec<Msg> {
        let all = self.ours().filter(|_| self.watched);
        let rules = self.rules.iter().filter(|_| self.watched).map(|r| Msg::RuleNew(Box::new(*r)));
        all.map(|r| Msg::RouteNew(Box::new(r.clone()))).chain(rules).collect()
    }
    /// The interface goes down or away.
    pub fn flush(&mut self, ifindex: u32) -> Vec<Msg> {
        let over = |r: &RouteSpec| r.hops.iter().any(|h| h.ifindex == ifindex);
        let gone: Vec<RouteSpec> = self.routes.iter().filter(|r| over(r)).cloned().collect();
        self.routes.retain(|r| !over(r));
        let told = gone.into_iter().filter(|r| r.id.is_v6() && self.watched);
        told.map(|r| Msg::RouteDel(Box::new(r))).collect()
    }
    /// An operator removes what a killed process left and the file does not have any more.
    pub fn keep_only(&mut self, ids: &BTreeSet<RouteId>, rules: &BTreeSet<RuleSpec>) {
        self.routes.retain(|r| ids.contains(&r.id));
        self.rules.retain(|r| rules.contains(r));
    }
    /// The interface has no IPv4 address any more.
    pub fn flush_v4(&mut self, ifindex: u32) {
        self.routes.retain(|r| r.id.is_v6() || r.hops.iter().all(|h| h.ifindex != ifindex));
    }
    /// Another program removes one of kalived's.
    pub fn take(&mut self, nth: usize) -> Vec<Msg> {
        let all = self.routes.len() + self.rules.len();
        if all == 0 {
            return Vec::new();
        }
        match (nth % all).checked_sub(self.routes.len()) {
            Some(rule) => {
                let gone = self.rules.remove(rule);
                self.told(Msg::RuleDel(Box::new(gone)))
            }
            None => {
                let gone = self.routes.remove(nth % all);
                self.told(Msg::RouteDel(Box::new(gone)))
            }
        }
    }
    fn told(&self, msg: Msg) -> Vec<Msg> {
        Some(msg).filter(|_| self.watched).into_iter().collect()
    }
    /// A request of kalived, if it is about routes. `up`: whether an interface is there, and up.
    pub fn apply(&mut self, op: &NetOp, up: impl Fn(u32) -> Option<bool>) -> Option<(Vec<Msg>, Result<(), Errno>)> {
        Some(match op {
            NetOp::RouteAdd(r) => self.add(r, up),
            NetOp::RouteDel(r) => self.delete(r),
            NetOp::RouteChange(old, new) => {
                let (mut told, _) = self.delete(old);
                let (more, result) = self.add(new, up);
                told.extend(more);
                (told, result)
            }
            NetOp::RuleAdd(r) if self.rules.contains(r) => (Vec::new(), Err(Errno::EEXIST)),
            NetOp::RuleAdd(r) => {
                self.rules.push(**r);
                (self.told(Msg::RuleNew(r.clone())), Ok(()))
            }
            NetOp::RuleDel(r) => match self.rules.iter().position(|x| x == &**r) {
                Some(at) => {
                    let gone = self.rules.remove(at);
                    (self.told(Msg::RuleDel(Box::new(gone))), Ok(()))
                }
                None => (Vec::new(), Err(Errno::ENOENT)),
            },
            NetOp::AddrAdd(_)
            | NetOp::AddrDel(_)
            | NetOp::LinkAdd(_)
            | NetOp::LinkSet { .. }
            | NetOp::LinkDel { .. } => return None,
        })
    }
    fn add(&mut self, r: &RouteSpec, up: impl Fn(u32) -> Option<bool>) -> (Vec<Msg>, Result<(), Errno>) {
        for hop in r.hops.iter().filter(|h| h.ifindex > 0) {
            match up(hop.ifindex) {
                None => return (Vec::new(), Err(Errno::ENODEV)),
                Some(false) => return (Vec::new(), Err(Errno::ENETDOWN)),
                Some(true) => {}
            }
        }
        if self.routes.contains(r) {
            return (Vec::new(), Err(Errno::EEXIST));
        }
        self.routes.insert(0, r.clone());
        (self.told(Msg::RouteNew(Box::new(r.clone()))), Ok(()))
    }
    fn delete(&mut self, r: &RouteSpec) -> (Vec<Msg>, Result<(), Errno>) {
        match self.routes.iter().position(|x| x == r) {
            Some(at) => {
                let gone = self.routes.remove(at);
                (self.told(Msg::RouteDel(Box::new(gone))), Ok(()))
            }
            None => (Vec::new(), Err(Errno::ESRCH)),
        }
    }
}
