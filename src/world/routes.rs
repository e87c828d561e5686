//! Static routes: what the kernel reports goes to [`Routes`](crate::routes::Routes), and what it wants reported goes out.
//!
//! Read first: `mod.rs`, `routes/`.

use super::*;
use crate::config::model::route::Route;
use crate::effect::NetFx;
use crate::route::RouteId;
use crate::routes;

impl World {
    // Before the first dump: so that it has the routes of ours.
    pub(super) fn watch_routes(&mut self, fx: &mut Effects) {
        if !self.base.static_routes.is_empty() && !core::mem::replace(&mut self.routes_watched, true) {
            fx.push(Effect::Net(NetFx::WatchRoutes));
        }
    }

    // The first dump is there, and no other process is in charge.
    pub(super) fn begin_routes(&mut self, now: Now, before: &[RouteId], fx: &mut Effects) {
        let lines = core::mem::take(&mut self.base.static_routes);
        self.alter_routes(now, &lines, fx);
        self.base.static_routes = lines;
        let n = self.routes.drop_those(before);
        if n > 0 {
            fx.note(routes::text::dropped(n));
        }
        let strangers = self.routes.strangers();
        if !strangers.is_empty() {
            fx.note(routes::text::strangers(&strangers));
        }
    }

    pub(super) fn alter_routes(&mut self, now: Now, lines: &[Route], fx: &mut Effects) {
        let notes = self.routes.alter(now.mono, lines, &mut self.timers);
        notes.into_iter().for_each(|n| fx.note(n));
    }

    // A reload may be the first to have any.
    pub(super) fn routes_reloaded(&mut self, now: Now, fx: &mut Effects) {
        let lines = core::mem::take(&mut self.base.static_routes);
        self.alter_routes(now, &lines, fx);
        self.base.static_routes = lines;
        if !self.base.static_routes.is_empty() && !self.routes_watched {
            self.watch_routes(fx);
            self.resync(fx);
        }
    }

    pub(super) fn on_routes_due(&mut self, now: Now, fx: &mut Effects) {
        let notes = self.routes.on_due(now.mono, &self.links, &mut self.timers);
        notes.into_iter().for_each(|n| fx.note(n));
    }

    // An interface is another than before.
    pub(super) fn links_changed(&mut self, now: Now, names: &[String], flushed: Option<u32>) {
        if self.routes.is_empty() {
            return;
        }
        if let Some(ifindex) = flushed {
            self.routes.on_flush(now.mono, ifindex, false, &self.links, &mut self.timers);
        }
        self.routes.on_links(now.mono, names, &mut self.timers);
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

    /// How the static routes stand.
    pub fn routes(&self) -> routes::RoutesView {
        self.routes.view()
    }
}
