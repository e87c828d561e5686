//! FIB-1: the routes and rules of a node are the static ones of its file and those of its virtual routers that are Master. VMAC-1: the same
//! for own interfaces.
//!
//! Read first: `run.rs`, `reload.rs` (the configurations), `fib.rs` (the routes and rules of a simulated kernel).

use crate::run::Sim;
use kalived::route::RouteId;
use kalived::routes::id_of;
use kalived::rule::RuleSpec;
use kalived::time::Duration;
use kalived::vrrp::State;
use std::collections::BTreeSet;

impl Sim {
    /// FIB-1: without a fault a node has the static routes of its file, the routes and rules of each virtual router that is Master, and no
    /// other of kalived: a node that is not Master has no virtual route.
    pub fn routes_are_right(&mut self) {
        for node in 0..self.nodes.len() {
            let n = &self.nodes[node];
            if !(n.runs() && self.ground.nodes[node].fit) {
                continue;
            }
            let config = self.variations[node].config(&self.ground.opts, node);
            let is_master = |name: &str| {
                let views = n.process.as_ref().map(|p| p.world.views()).unwrap_or_default();
                views.iter().any(|v| v.name == name && v.state == State::Master)
            };
            let masters: Vec<_> = config.instances.iter().filter(|i| is_master(&i.name)).map(|i| &i.more).collect();
            let mut want: BTreeSet<RouteId> = config.static_routes.iter().map(id_of).collect();
            want.extend(masters.iter().flat_map(|m| &m.routes).map(id_of));
            let mut rules: BTreeSet<RuleSpec> = config.static_rules.iter().filter_map(|r| r.spec).collect();
            rules.extend(masters.iter().flat_map(|m| &m.rules).filter_map(|r| r.spec));
            let have: BTreeSet<RouteId> = n.kernel.routes.ours().map(|r| r.id).collect();
            let have_rules: BTreeSet<RuleSpec> = n.kernel.routes.rules().copied().collect();
            if want != have || rules != have_rules {
                let text = format!(
                    "node {node}: there are to be the routes {want:?} and rules {rules:?}, the kernel has {have:?} and {have_rules:?}"
                );
                self.violate("FIB1".into(), text);
                return;
            }
        }
    }

    /// VMAC-1: a process that is stopped in order leaves no own interface of a virtual router.
    pub fn links_are_gone(&mut self, node: usize) {
        let left: Vec<String> = self.nodes[node].kernel.uppers().map(|l| l.name.clone()).collect();
        if !left.is_empty() && self.ends_in_peace(node) {
            self.violate("VMAC1".into(), format!("node {node}: {left:?} are left after the end"));
        }
    }

    /// VMAC-1: without a fault a node has an own interface for each virtual router that is configured for one, up exactly where that is
    /// Master, and no other.
    pub fn links_are_right(&mut self) {
        for node in 0..self.nodes.len() {
            let n = &self.nodes[node];
            if !(n.runs() && self.ground.nodes[node].fit) {
                continue;
            }
            let config = self.variations[node].config(&self.ground.opts, node);
            let views = n.process.as_ref().map(|p| p.world.views()).unwrap_or_default();
            let master = |name: &str| views.iter().any(|v| v.name == name && v.state == State::Master);
            let want: BTreeSet<(String, bool)> =
                config.instances.iter().filter_map(|i| Some((i.own()?.1.to_owned(), master(&i.name)))).collect();
            let have: BTreeSet<(String, bool)> = n.kernel.uppers().map(|l| (l.name.clone(), l.up)).collect();
            if want != have {
                let text =
                    format!("node {node}: there are to be the interfaces {want:?} (up), the kernel has {have:?}");
                self.violate("VMAC1".into(), text);
                return;
            }
        }
    }

    // Whether the process has been sent every report that it may have missed.
    fn ends_in_peace(&self, node: usize) -> bool {
        let peace = self.ground.now.since(self.ground.nodes[node].netlink_touched) > Duration::from_secs(3);
        let old =
            self.ground.now.since(self.nodes[node].born) > Duration::from_secs(2) && !self.ground.nodes[node].handing;
        let n = &self.nodes[node];
        peace && old && n.custodian.is_none() && !(n.netlink_errors || n.overrun || n.lost)
    }

    /// FIB-1: a process that is stopped in order leaves no route.
    pub fn routes_are_gone(&mut self, node: usize) {
        let peace = self.ground.now.since(self.ground.nodes[node].netlink_touched) > Duration::from_secs(3);
        // A process that is stopped before it has read the kernel's state, or before it is in charge, knows of no route.
        let old =
            self.ground.now.since(self.nodes[node].born) > Duration::from_secs(2) && !self.ground.nodes[node].handing;
        // A frozen process that still waits for its successor removes them itself.
        let old = old && self.nodes[node].custodian.is_none();
        let sick = !old || self.nodes[node].netlink_errors || self.nodes[node].overrun || self.nodes[node].lost;
        let routes = &self.nodes[node].kernel.routes;
        let left = routes.ours().count() + routes.rules().count();
        if left > 0 && peace && !sick {
            self.violate("FIB1".into(), format!("node {node}: {left} routes and rules are left after the end"));
        }
    }
}
