//! The kernel's routes with kalived's protocol number as last reported, by notifications and dumps; not the wanted ones. As `links.rs`.

use crate::route::{RouteId, RouteSpec};
use std::collections::{BTreeMap, BTreeSet};

/// Most routes that are kept. Other daemons may use the same protocol number; kalived has fewer.
const MOST: usize = 65_536;

/// The kernel's routes with kalived's protocol number, by their keys and by interface.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Mirror {
    // IPv4 may have several with one key.
    routes: BTreeMap<RouteId, Vec<(RouteSpec, u64)>>,
    by_interface: BTreeSet<(u32, RouteId)>,
    generation: u64,
}

// Whether it is the same route, reported again.
fn same(a: &RouteSpec, b: &RouteSpec) -> bool {
    a.kind == b.kind && a.scope == b.scope && a.src == b.src && a.hops == b.hops
}

impl Mirror {
    /// Routes with a key.
    pub fn get(&self, id: RouteId) -> impl Iterator<Item = &RouteSpec> {
        self.routes.get(&id).into_iter().flatten().map(|(r, _)| r)
    }
    /// All keys, in their order.
    pub fn ids(&self) -> impl Iterator<Item = RouteId> {
        self.routes.keys().copied()
    }
    /// The number of keys.
    pub fn len(&self) -> usize {
        self.routes.len()
    }
    /// Keys of routes over an interface.
    pub fn on_interface(&self, ifindex: u32) -> Vec<RouteId> {
        let from = (ifindex, super::MIN_ID);
        self.by_interface.range(from..=(ifindex, super::MAX_ID)).map(|(_, id)| *id).collect()
    }
    /// Stores a route as the kernel reports it. Without effect if it would be the 65,537th key.
    pub fn insert(&mut self, route: RouteSpec) {
        if self.routes.len() >= MOST && !self.routes.contains_key(&route.id) {
            return;
        }
        let id = route.id;
        self.by_interface.extend(route.hops.iter().filter(|h| h.ifindex > 0).map(|h| (h.ifindex, id)));
        let list = self.routes.entry(id).or_default();
        // For IPv6 the kernel reports all next hops of a key as one route.
        list.retain(|(r, _)| !id.is_v6() && !same(r, &route) && !r.is(&route));
        list.push((route, self.generation));
    }
    /// Removes one; whether it was there.
    pub fn remove(&mut self, route: &RouteSpec) -> bool {
        let Some(list) = self.routes.get_mut(&route.id) else { return false };
        let before = list.len();
        // The removal of one next hop of several changes the route: the kernel reports the rest again, or the next comparison finds it.
        list.retain(|(r, _)| !(route.id.is_v6() || same(r, route) || r.is(route)));
        let gone = list.len() < before;
        if list.is_empty() {
            self.remove_all(route.id);
        }
        gone
    }
    /// Removes all with a key; whether there were any.
    pub fn remove_all(&mut self, id: RouteId) -> bool {
        let Some(list) = self.routes.remove(&id) else { return false };
        for hop in list.iter().flat_map(|(r, _)| &r.hops) {
            self.by_interface.remove(&(hop.ifindex, id));
        }
        true
    }
    /// A dump begins: routes that it does not contain are removed by [`Mirror::sweep`].
    pub fn begin(&mut self) {
        self.generation += 1;
    }
    /// A complete dump ended: removes the routes that it did not contain.
    pub fn sweep(&mut self) {
        let generation = self.generation;
        for list in self.routes.values_mut() {
            list.retain(|(_, seen)| *seen == generation);
        }
        let gone: Vec<RouteId> = self.routes.iter().filter(|(_, l)| l.is_empty()).map(|(id, _)| *id).collect();
        for id in gone {
            self.remove_all(id);
        }
        let routes = &self.routes;
        let over = |ifindex: u32, id: &RouteId| {
            routes.get(id).is_some_and(|l| l.iter().any(|(r, _)| r.hops.iter().any(|h| h.ifindex == ifindex)))
        };
        self.by_interface.retain(|(ifindex, id)| over(*ifindex, id));
    }
}
