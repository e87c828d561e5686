//! The routes and policy rules of the bench's kernel.

use kalived::effect::NetOp;
use kalived::event::{Errno, Event, NetEv};
use kalived::route::RouteSpec;
use kalived::rule::RuleSpec;

#[derive(Default)]
pub struct Fib {
    pub routes: Vec<RouteSpec>,
    pub rules: Vec<RuleSpec>,
    /// They are reported.
    pub watched: bool,
    /// The answer to every addition.
    pub refuse: Option<Errno>,
    /// The requests, in order.
    pub asked: Vec<NetOp>,
}

impl Fib {
    /// Executes a request: returns the reports and the answer.
    pub fn apply(&mut self, op: &NetOp) -> (Vec<Event<'static>>, Result<(), Errno>) {
        self.asked.push(op.clone());
        match op {
            NetOp::RouteAdd(r) => self.add(r),
            NetOp::RouteDel(r) => self.delete(r),
            NetOp::RouteChange(old, new) => {
                let (mut told, _) = self.delete(old);
                let (more, result) = self.add(new);
                told.extend(more);
                (told, result)
            }
            NetOp::RuleAdd(r) if self.rules.iter().any(|x| x.untagged() == r.untagged()) => {
                (Vec::new(), Err(Errno::EEXIST))
            }
            NetOp::RuleAdd(r) => {
                self.rules.push(**r);
                (vec![Event::Net(NetEv::RuleNew(r.clone()))], Ok(()))
            }
            NetOp::RuleDel(r) => match self.rules.iter().position(|x| x == &**r) {
                Some(at) => (vec![Event::Net(NetEv::RuleDel(Box::new(self.rules.remove(at)), None))], Ok(())),
                None => (Vec::new(), Err(Errno::ENOENT)),
            },
            NetOp::AddrAdd(_)
            | NetOp::AddrDel(_)
            | NetOp::LinkAdd(_)
            | NetOp::LinkSet { .. }
            | NetOp::LinkDel { .. } => (Vec::new(), Ok(())),
        }
    }
    fn add(&mut self, r: &RouteSpec) -> (Vec<Event<'static>>, Result<(), Errno>) {
        if let Some(errno) = self.refuse {
            return (Vec::new(), Err(errno));
        }
        if self.routes.contains(r) {
            return (Vec::new(), Err(Errno::EEXIST));
        }
        self.routes.insert(0, r.clone());
        (vec![Event::Net(NetEv::RouteNew { route: Box::new(r.clone()), replaced: false })], Ok(()))
    }
    fn delete(&mut self, r: &RouteSpec) -> (Vec<Event<'static>>, Result<(), Errno>) {
        match self.routes.iter().position(|x| x == r) {
            Some(at) => (vec![Event::Net(NetEv::RouteDel(Box::new(self.routes.remove(at)), None))], Ok(())),
            None => (Vec::new(), Err(Errno::ESRCH)),
        }
    }
    /// Another program removes the route to this destination: returns the report.
    pub fn take(&mut self, to: &str) -> Event<'static> {
        let at = self.routes.iter().position(|r| r.id.to.0.to_string() == to).expect("it is there");
        Event::Net(NetEv::RouteDel(Box::new(self.routes.remove(at)), None))
    }
    /// Another program removes the rule with this preference: returns the report.
    pub fn take_rule(&mut self, preference: u32) -> Event<'static> {
        let at = self.rules.iter().position(|r| r.preference == preference).expect("it is there");
        Event::Net(NetEv::RuleDel(Box::new(self.rules.remove(at)), None))
    }
    /// Rules, by preference.
    pub fn rule_names(&self) -> Vec<String> {
        let mut all: Vec<RuleSpec> = self.rules.clone();
        all.sort();
        all.iter().map(ToString::to_string).collect()
    }
    /// Destinations, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut all: Vec<String> = self.routes.iter().map(|r| r.id.to_string()).collect();
        all.sort();
        all
    }
}
