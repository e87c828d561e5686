//! Routes and rules: reports of the kernel go to [`Routes`](crate::routes::Routes) and [`Rules`](crate::rules::Rules), and their lines to
//! the log.
//!
//! A new Master's addresses are added first, then its routes, then its rules; when it leaves the state Master they are removed in the
//! opposite order, in one turn.
//!
//! Read first: `mod.rs`, `routes/`, `rules/`.

use super::*;
use crate::config::model::route::Route;
use crate::effect::NetFx;
use crate::route::RouteId;
use crate::routes::{self, id_of};
use crate::rule::RuleSpec;
use crate::rules;
use crate::snapshot::Snapshot;
use std::borrow::Cow;

// The routes of VRFs that are there in their tables; without those of others.
fn in_vrfs<'a>(routes: &'a [Route], links: &Links) -> Cow<'a, [Route]> {
    if routes.iter().all(|r| r.vrf.is_none()) {
        return Cow::Borrowed(routes);
    }
    let one = |r: &Route| {
        let mut r = r.clone();
        if let Some(name) = &r.vrf {
            r.numbers.table = links.by_name(name).filter(|l| l.vrf && l.table != 0)?.table;
        }
        Some(r)
    };
    Cow::Owned(routes.iter().filter_map(one).collect())
}

impl World {
    // Before the first dump: so that it has the routes and rules of ours.
    pub(super) fn watch_routes(&mut self, fx: &mut Effects) {
        if self.has_routes() {
            self.watch_routes_now(fx);
        }
    }

    pub(super) fn watch_routes_now(&mut self, fx: &mut Effects) {
        if !core::mem::replace(&mut self.routes_watched, true) {
            fx.push(Effect::Net(NetFx::WatchRoutes));
        }
    }

    fn has_routes(&self) -> bool {
        let more = |(_, vi): (VrKey, &Instance)| !vi.cfg().more.routes.is_empty() || !vi.cfg().more.rules.is_empty();
        !self.base.static_routes.is_empty() || !self.base.static_rules.is_empty() || self.instances.iter().any(more)
    }

    // The first dump is there, and no other process is in charge.
    pub(super) fn begin_routes(&mut self, now: Now, fx: &mut Effects) {
        self.fix_addresses();
        self.alter_routes(now, fx);
    }

    // Who goes on as Master does so by now: what another process left and nobody wants goes. The configuration says what a process
    // that left no word may have left.
    pub(super) fn end_routes(&mut self, before: &Snapshot, fx: &mut Effects) {
        self.drop_fixed(before);
        let (routes, rules) = self.drop_routes(before);
        if routes > 0 {
            fx.note(routes::text::dropped(routes));
        }
        if rules > 0 {
            fx.note(rules::text::dropped(rules));
        }
        let strangers = self.routes.strangers();
        if !strangers.is_empty() {
            fx.note(routes::text::strangers(&strangers));
        }
        let strangers = self.rules.strangers();
        if !strangers.is_empty() {
            fx.note(rules::text::strangers(&strangers));
        }
    }

    // How many routes and rules go.
    pub(super) fn drop_routes(&mut self, before: &Snapshot) -> (usize, usize) {
        let of = |(_, vi): (VrKey, &Instance)| -> (Vec<RouteId>, Vec<RuleSpec>) {
            let more = &vi.cfg().more;
            (
                in_vrfs(&more.routes, &self.links).iter().map(id_of).collect(),
                more.rules.iter().filter_map(|r| r.spec).collect(),
            )
        };
        let (mut routes, mut rules) = (BTreeSet::new(), BTreeSet::new());
        for (more_routes, more_rules) in self.instances.iter().map(of) {
            routes.extend(more_routes);
            rules.extend(more_rules);
        }
        routes.extend(before.routes.iter().chain(&before.virtual_routes));
        rules.extend(before.rules.iter().chain(&before.virtual_rules));
        (self.routes.drop_those(routes), self.rules.drop_those(rules))
    }

    fn alter_routes(&mut self, now: Now, fx: &mut Effects) {
        let routes = in_vrfs(&self.base.static_routes, &self.links);
        let routes = self.routes.alter(now.mono, &routes, &mut self.timers);
        let rules = self.rules.alter(now.mono, &self.base.static_rules, &mut self.timers);
        routes.into_iter().chain(rules).for_each(|n| fx.note(n));
    }

    // A reload may be the first to have any.
    pub(super) fn routes_reloaded(&mut self, now: Now, fx: &mut Effects) {
        self.fix_addresses();
        self.alter_routes(now, fx);
        if self.has_routes() && !self.routes_watched {
            self.watch_routes(fx);
            self.resync(fx);
        }
    }

    // A virtual router became Master and has asked for its addresses, or left, or has another configuration.
    pub(super) fn routed(&mut self, now: Now, vr: VrKey, fx: &mut Effects) {
        let Some(vi) = self.instances.get(vr) else { return };
        if vi.wants_routes() {
            let (name, more) = (&vi.cfg().name, &vi.cfg().more);
            let routes = in_vrfs(&more.routes, &self.links);
            let routes = self.routes.enter(now.mono, vr, name, &routes, &mut self.timers);
            let rules = self.rules.enter(now.mono, vr, name, &more.rules, &mut self.timers);
            routes.into_iter().chain(rules).for_each(|n| fx.note(n));
        } else {
            self.rules.leave(now.mono, vr, &mut self.timers);
            self.routes.leave(now.mono, vr, &mut self.timers);
        }
    }

    // Requests to the kernel, so many as may be under way. What is to go goes in this order; what is to come waits for the others.
    pub(super) fn pump_all(&mut self, now: Now, fx: &mut Effects) {
        self.filter.pump(fx);
        if self.filter.admits() {
            self.addrs.admit();
        }
        self.rules.pump(fx);
        self.routes.pump(fx);
        // Up or down is one request for all addresses.
        self.vmacs.pump(&self.links, fx);
        self.addrs.pump(&self.filter, fx);
        if self.routes.waits_for_addresses() && self.addrs.quiet() {
            self.routes.addresses_are_there(now.mono, &mut self.timers);
        }
        if self.rules.waits_for_routes() && self.addrs.quiet() && self.routes.quiet() {
            self.rules.routes_are_there(now.mono, &mut self.timers);
        }
    }

    pub(super) fn all_idle(&self) -> bool {
        let own = self.addrs.idle() && self.vmacs.idle();
        own && self.routes.idle() && self.rules.idle() && self.filter.idle() && self.marking.idle() && self.lvs.idle()
    }

    // A reload is over, or is not gone on with.
    pub(super) fn let_all_go(&mut self) {
        self.addrs.let_go();
        self.vmacs.let_go();
        self.routes.let_go();
        self.rules.let_go();
    }

    pub(super) fn on_routes_due(&mut self, now: Now, fx: &mut Effects) {
        let routes = self.routes.on_due(now.mono, &self.links, &mut self.timers);
        let rules = self.rules.on_due(now.mono, &mut self.timers);
        routes.into_iter().chain(rules).for_each(|n| fx.note(n));
    }

    // An interface is another than before.
    pub(super) fn links_changed(&mut self, now: Now, names: &[String], flushed: Option<u32>, fx: &mut Effects) {
        self.fix_on(names);
        self.vrfs_changed(now, names, fx);
        if self.routes.is_empty() {
            return;
        }
        if let Some(ifindex) = flushed {
            self.routes.on_flush(now.mono, ifindex, false, &self.links, &mut self.timers);
        }
        self.routes.on_links(now.mono, names, &mut self.timers);
    }

    // A VRF that lines of routes name came or went.
    fn vrfs_changed(&mut self, now: Now, names: &[String], fx: &mut Effects) {
        if !matches!(self.phase, Phase::Cleaning | Phase::Running) {
            return;
        }
        for name in names {
            let here = |routes: &[Route]| routes.iter().any(|r| r.vrf.as_deref() == Some(name));
            if here(&self.base.static_routes) {
                self.alter_routes(now, fx);
            }
            let watchers = self.watchers.get(name).into_iter().flatten().copied();
            let concerned = |vr: &VrKey| self.instances.get(*vr).is_some_and(|vi| here(&vi.cfg().more.routes));
            for vr in watchers.filter(concerned).collect::<Vec<_>>() {
                self.routed(now, vr, fx);
            }
        }
    }

    pub(super) fn address_came_or_went(&mut self, now: Now, id: AddrId, gone: bool) {
        if self.routes.is_empty() {
            return;
        }
        self.routes.on_address(now.mono, id.1, gone, &self.links, &mut self.timers);
        if gone && id.1.is_ipv4() && !self.links.addrs(id.0).any(|a| a.addr.is_ipv4()) {
            self.routes.on_flush(now.mono, id.0, true, &self.links, &mut self.timers);
        }
    }

    /// The numbers of wanted and held routes, for the report.
    pub fn routes(&self) -> routes::RoutesView {
        self.routes.view()
    }

    /// How the policy rules stand.
    pub fn rules(&self) -> rules::RulesView {
        self.rules.view()
    }
}
