//! `static_routes` and `virtual_routes`: which routes are wanted, and the mirror of those in the kernel.
//!
//! Read first: `reconcile/`, `owned.rs`, `route.rs`, `links.rs`. A line of the file becomes a route when an interface that it names exists
//! and is up; until then it waits. Lines of a virtual router count while it is Master: from when the requests for its addresses were
//! answered ([`Routes::enter`]) until before they are removed ([`Routes::leave`]). Where several lines name one route, a static one counts
//! before those of virtual routers. The kernel removes some routes without a report: IPv4 routes of an interface that goes down or loses
//! its last address, and those whose source address is removed. [`Routes`] follows these rules, and adds the routes again as soon as the
//! kernel accepts them.
//!
//! Lines are examined in slices (`SLICE`), so that a turn takes a limited time with thousands of lines.

mod mirror;
pub mod text;

use crate::config::model::Place;
use crate::config::model::route::Route;
use crate::effect::{Effect, Effects, NetFx, NetOp};
use crate::event::{Doer, Errno, ReqId};
use crate::id::VrKey;
use crate::links::Links;
use crate::note::Note;
use crate::owned::{Owned, Owner};
use crate::reconcile::{Ask, DOUBT, Item, Outcome, Reconciler};
use crate::route::{HopSpec, METRIC_V6, ROUTE_PROTO, RouteId, RouteSpec, network};
use crate::time::{Duration, Instant};
use crate::timers::{Due, Timers};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use mirror::Mirror;
use std::collections::{BTreeMap, BTreeSet};

/// Lines that are examined in one turn: some microseconds each.
const SLICE: usize = 64;
/// Other work of a turn is more urgent, so the next slice has a turn of its own.
const NEXT_TURN: Duration = Duration::from_nanos(1);

impl Item for RouteSpec {
    type Owner = Owner;
    const SERIES: u8 = 1;
    // One message removes the old route and adds the new one.
    const IN_PLACE: bool = true;
    fn is_there(errno: Errno) -> bool {
        errno == Errno::EEXIST
    }
    fn is_gone(errno: Errno) -> bool {
        matches!(errno, Errno::ESRCH | Errno::ENODEV)
    }
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Line {
    route: Route,
    // The route as last requested; None: the line waits for an interface.
    spec: Option<RouteSpec>,
}

/// Numbers of routes, for the report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoutesView {
    /// Lines of `static_routes`.
    pub lines: usize,
    /// Of these in the kernel.
    pub held: usize,
    /// Of these waiting for an interface.
    pub waiting: usize,
    /// Virtual routes that are wanted.
    pub virtual_wanted: usize,
    /// Of these in the kernel.
    pub virtual_held: usize,
    /// How often one was put back.
    pub restored: u64,
}

type LineId = (RouteId, Owner);
type Lines = Owned<RouteId, Line>;

/// All wanted routes by owner, the mirror of those in the kernel, and the requests under way.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Routes {
    items: Reconciler<RouteId, RouteSpec>,
    mirror: Mirror,
    // The owners of routes. Those of new Masters wait until no request about an address is under way: the kernel refuses a route whose
    // source address is missing, or whose gateway is not reachable.
    owned: Lines,
    by: By,
    // Lines whose route another process of kalived held, and which were not examined yet.
    inherited: BTreeSet<RouteId>,
    // When refused routes are tried again because something changed.
    kick: Option<Instant>,
}

// Indexes of the lines.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
struct By {
    // The names of its interfaces.
    dev: BTreeMap<String, BTreeSet<LineId>>,
    // Its preferred source.
    src: BTreeSet<(IpAddr, LineId)>,
}

impl By {
    fn note(&mut self, line: LineId, route: &Route) {
        for dev in route.hops.iter().filter_map(|h| h.dev.as_deref()) {
            self.dev.entry(dev.to_owned()).or_default().insert(line);
        }
        self.src.extend(route.src.map(|src| (src, line)));
    }
    fn forget(&mut self, line: LineId, route: &Route) {
        for dev in route.hops.iter().filter_map(|h| h.dev.as_deref()) {
            if let Some(all) = self.dev.get_mut(dev) {
                all.remove(&line);
                if all.is_empty() {
                    self.dev.remove(dev);
                }
            }
        }
        if let Some(src) = route.src {
            self.src.remove(&(src, line));
        }
    }
}

/// The key of a line's route.
pub fn id_of(r: &Route) -> RouteId {
    let v6 = r.is_v6();
    let none = if v6 { IpAddr::V6(Ipv6Addr::UNSPECIFIED) } else { IpAddr::V4(Ipv4Addr::UNSPECIFIED) };
    let net = |p: Option<crate::config::model::route::Prefix>| p.map_or((none, 0), |p| network(p.addr, p.len));
    let metric = match r.metric.unwrap_or(0) {
        0 if v6 => METRIC_V6,
        n => n,
    };
    let tos = if v6 { 0 } else { r.numbers.tos };
    RouteId { table: r.numbers.table, to: net(r.to), from: net(r.from), tos, metric }
}

// The route of a line, with those next hops whose interfaces exist and are up; None: it has next hops, and the interface of none is up.
fn spec_of(id: RouteId, r: &Route, links: &Links) -> Option<RouteSpec> {
    let hop = |h: &crate::config::model::route::Hop| {
        let ifindex = match &h.dev {
            Some(dev) => links.by_name(dev).filter(|l| l.up)?.ifindex,
            None => 0,
        };
        let hops = u8::try_from(h.weight.saturating_sub(1)).unwrap_or(u8::MAX);
        Some(HopSpec { ifindex, via: h.via, hops, onlink: h.onlink, realms: h.flow, encap: h.encap.clone() })
    };
    let hops: Vec<HopSpec> = r.hops.iter().filter_map(hop).collect();
    if hops.is_empty() && !r.hops.is_empty() {
        return None;
    }
    let n = &r.numbers;
    Some(RouteSpec {
        id,
        kind: n.kind,
        scope: n.scope,
        proto: n.protocol,
        src: r.src,
        hops,
        metrics: n.metrics.clone(),
        lock: n.lock,
        realms: n.realms,
        pref: n.pref,
        expires: r.expires,
        ttl_propagate: r.ttl_propagate.as_deref().map(|t| t == "enabled"),
        mode: n.mode,
    })
}

impl Routes {
    /// Sets the lines of `static_routes`. Lines that are the same are not touched; routes of kalived that exist already are kept. Returns
    /// lines for the log.
    pub fn alter(&mut self, now: Instant, routes: &[Route], timers: &mut Timers) -> Vec<Note> {
        let notes = self.set(Owner::File, "", routes);
        self.rearm(now, timers);
        notes
    }
    /// Sets the lines of a virtual router that became Master, or that is Master and was altered.
    pub fn enter(&mut self, now: Instant, vr: VrKey, name: &str, routes: &[Route], timers: &mut Timers) -> Vec<Note> {
        let notes = self.set(Owner::Instance(vr), name, routes);
        self.rearm(now, timers);
        notes
    }
    /// A virtual router is not Master any more.
    pub fn leave(&mut self, now: Instant, vr: VrKey, timers: &mut Timers) {
        if self.owned.has(Owner::Instance(vr)) {
            self.set(Owner::Instance(vr), "", &[]);
            self.rearm(now, timers);
        }
    }
    fn set(&mut self, owner: Owner, name: &str, routes: &[Route]) -> Vec<Note> {
        let mut notes = Vec::new();
        let mut change = self.owned.replace(owner, name);
        for route in routes {
            if !route.numbers.usable {
                notes.push(text::not_done(&text::who(owner, name), route));
                continue;
            }
            // A line that was moved in the file is the same.
            let route = Route { place: Place::default(), ..route.clone() };
            let id = id_of(&route);
            if !change.keeps(id) {
                notes.push(text::twice(&text::who(owner, name), &id));
                continue;
            }
            let before = self.owned.get(id, owner);
            if before.is_some_and(|l| l.route == route) {
                continue;
            }
            let spec = before.and_then(|l| l.spec.clone());
            if let Some(l) = before {
                self.by.forget((id, owner), &l.route);
            }
            self.by.note((id, owner), &route);
            self.owned.put(owner, id, Line { spec, route });
        }
        let mut gone = Vec::new();
        let by = &mut self.by;
        self.owned.replaced(change, |id, line, last| {
            line.iter().for_each(|l| by.forget((id, owner), &l.route));
            gone.extend(last.then_some(id));
        });
        for id in gone {
            self.items.give_up(id);
            if self.inherited.remove(&id) {
                self.drop_one(id);
            }
        }
        notes
    }
    fn who(&self, owner: Owner) -> String {
        text::who(owner, self.owned.name(owner))
    }
    /// Whether routes wait for the addresses of their virtual routers; then [`Routes::addresses_are_there`] is to be called.
    pub fn waits_for_addresses(&self) -> bool {
        self.owned.waits()
    }
    /// No request about an address is under way.
    pub fn addresses_are_there(&mut self, now: Instant, timers: &mut Timers) {
        self.owned.ready();
        self.rearm(now, timers);
    }
    /// From now on nothing is deleted, until [`Routes::let_go`]: during a reload one virtual router may give up a route that the next one
    /// wants.
    pub fn hold(&mut self) {
        self.items.hold();
    }
    /// Routes without an owner may be deleted.
    pub fn let_go(&mut self) {
        self.items.let_go();
    }
    /// At the end: no route is wanted any more.
    pub fn release(&mut self) {
        self.by = By::default();
        self.kick = None;
        self.owned.clear().for_each(|(owner, _)| self.items.release(owner));
        for id in core::mem::take(&mut self.inherited) {
            self.drop_one(id);
        }
    }
    /// No static route is wanted any more.
    pub fn release_file(&mut self) {
        self.set(Owner::File, "", &[]);
    }
    /// Whether no route is wanted, no request is under way, and none is known in the kernel.
    pub fn is_empty(&self) -> bool {
        self.owned.lines().next().is_none() && self.mirror.len() == 0 && self.items.is_empty()
    }
    /// Whether all deletions are done.
    pub fn idle(&self) -> bool {
        self.items.idle()
    }
    /// Whether nothing waits for its turn and no request is under way; what is tried later does not count.
    pub fn quiet(&self) -> bool {
        !self.owned.waits() && !self.owned.has_next() && self.items.quiet()
    }
    /// The numbers of routes for the report.
    pub fn view(&self) -> RoutesView {
        let waits = |(_, owner, l): &(RouteId, Owner, &Line)| *owner == Owner::File && l.spec.is_none();
        RoutesView {
            lines: self.owned.count(Owner::File),
            held: self.items.held(Owner::File).count(),
            waiting: self.owned.lines().filter(waits).count(),
            virtual_wanted: self.owned.instances().map(|owner| self.owned.count(owner)).sum(),
            virtual_held: self.owned.instances().map(|owner| self.items.held(owner).count()).sum(),
            restored: self.items.restored(),
        }
    }
    /// Static routes, and those without an owner that may still be in the kernel.
    pub fn of_file(&self) -> impl Iterator<Item = RouteId> {
        self.owned.of(Owner::File).chain(self.items.going())
    }
    /// Routes of virtual routers.
    pub fn of_instances(&self) -> impl Iterator<Item = RouteId> {
        self.owned.instances().flat_map(|owner| self.owned.of(owner))
    }
    /// How many routes a virtual router wants: 0 unless it is Master.
    pub fn wanted(&self, vr: VrKey) -> usize {
        self.owned.count(Owner::Instance(vr))
    }
    /// A number that changes whenever [`Routes::of_file`] or [`Routes::of_instances`] may have changed.
    pub fn changes(&self) -> u64 {
        self.items.changes()
    }
    /// The number of entries, for tests that none is left.
    pub fn sizes(&self) -> impl Iterator<Item = usize> {
        let own = [self.inherited.len(), self.mirror.len()];
        self.owned.sizes().into_iter().chain(own).chain(self.items.sizes())
    }
    /// Routes that another process of kalived held, or may have held: those without an owner are deleted. Returns their number.
    pub fn drop_those(&mut self, before: impl IntoIterator<Item = RouteId>) -> usize {
        let (stay, gone): (Vec<_>, Vec<_>) = before.into_iter().partition(|id| self.owned.is_pending(*id));
        self.inherited.extend(stay);
        gone.into_iter().filter(|id| self.owned.first(*id).is_none() && self.drop_one(*id)).count()
    }
    fn drop_one(&mut self, id: RouteId) -> bool {
        self.mirror.get(id).next().cloned().is_some_and(|r| self.items.remove(id, r))
    }
    /// Routes with kalived's protocol number that are not wanted here: of another kalived or keepalived on this host, or of one that was
    /// killed.
    pub fn strangers(&self) -> Vec<RouteId> {
        self.mirror.ids().filter(|id| self.owned.first(*id).is_none() && !self.items.knows(*id)).collect()
    }

    /// A dump begins.
    pub fn begin_dump(&mut self) {
        self.mirror.begin();
    }
    /// A complete dump has ended: what is wanted and not there is added.
    pub fn synced(&mut self, now: Instant, timers: &mut Timers) {
        self.mirror.sweep();
        let (mirror, owned) = (&self.mirror, &self.owned);
        let _ = self.items.compare(|id, held| there(mirror, owned, id, held));
        self.rearm(now, timers);
    }
    /// The kernel has this route.
    pub fn on_new(&mut self, now: Instant, route: RouteSpec, replaced: bool, timers: &mut Timers) {
        let id = route.id;
        if replaced && self.mirror.remove_all(id) {
            self.items.doubt(now, id, None);
        }
        if route.proto == ROUTE_PROTO {
            self.mirror.insert(route);
        }
        self.rearm(now, timers);
    }
    /// Requests nothing more: another process takes over ([`Reconciler::freeze`]).
    pub fn freeze(&mut self) {
        self.items.freeze();
    }
    /// The kernel has removed this route.
    pub fn on_deleted(&mut self, now: Instant, route: &RouteSpec, by: Doer, timers: &mut Timers) {
        if self.mirror.remove(route) {
            self.items.doubt(now, route.id, by);
            self.rearm(now, timers);
        }
    }
    /// Interfaces with these names were changed, made or removed.
    pub fn on_links(&mut self, now: Instant, names: &[String], timers: &mut Timers) {
        for name in names {
            self.owned.look_at(self.by.dev.get(name).into_iter().flatten().map(|(id, _)| *id));
        }
        self.changed(now, timers);
    }
    /// This interface is down or removed, or (`v4_only`) has no IPv4 address any more: the kernel removed its routes, and reports only
    /// those of IPv6.
    pub fn on_flush(&mut self, now: Instant, ifindex: u32, v4_only: bool, links: &Links, timers: &mut Timers) {
        for id in self.mirror.on_interface(ifindex) {
            if !(v4_only && id.is_v6()) {
                self.flushed(id, links);
            }
        }
        self.changed(now, timers);
    }
    /// An address was added or removed.
    pub fn on_address(&mut self, now: Instant, addr: IpAddr, gone: bool, links: &Links, timers: &mut Timers) {
        if gone {
            let all = self.by.src.range((addr, (MIN_ID, Owner::File))..).take_while(|(src, _)| *src == addr);
            let ids: Vec<RouteId> = all.map(|(_, (id, _))| *id).collect();
            ids.into_iter().for_each(|id| self.flushed(id, links));
        }
        self.changed(now, timers);
    }
    fn flushed(&mut self, id: RouteId, links: &Links) {
        self.mirror.remove_all(id);
        // A line that waits for an interface now is not requested.
        self.look(id, links);
        self.items.absent(id);
    }
    // The kernel may accept a refused route now. After a pause and not after each address: a takeover adds 500.
    fn changed(&mut self, now: Instant, timers: &mut Timers) {
        if self.kick.is_none() && self.items.next_due().is_some() {
            self.kick = Some(now + DOUBT);
        }
        self.rearm(now, timers);
    }

    /// `Due::Routes`. Returns lines for the log.
    pub fn on_due(&mut self, now: Instant, links: &Links, timers: &mut Timers) -> Vec<Note> {
        if self.kick.take_if(|at| *at <= now).is_some() {
            self.items.retry_now();
        }
        let (mirror, owned) = (&self.mirror, &self.owned);
        let losses = self.items.due(now, |id, held| there(mirror, owned, id, held));
        let notes = losses.iter().filter(|l| l.first).map(|l| text::taken(&self.who(l.owner), &l.key, l.by)).collect();
        for _ in 0..SLICE {
            let Some(id) = self.owned.pop() else { break };
            self.look(id, links);
        }
        self.rearm(now, timers);
        notes
    }
    fn look(&mut self, id: RouteId, links: &Links) {
        self.inherited.remove(&id);
        let Some((owner, l)) = self.owned.first(id) else { return };
        let spec = spec_of(id, &l.route, links);
        if let Some(l) = self.owned.get_mut(id, owner) {
            l.spec.clone_from(&spec);
        }
        match spec {
            Some(spec) => {
                let (mirror, owned) = (&self.mirror, &self.owned);
                let known = self.items.knows(id);
                // A route that a killed daemon left: kept if it is as wanted, else changed.
                let left = if known { None } else { there(mirror, owned, id, &spec).into_iter().next() };
                match left.filter(|_| self.mirror.get(id).next().is_some()) {
                    Some(is) => self.items.adopt(owner, id, spec, is, false),
                    None => {
                        self.items.want(owner, id, spec, false);
                    }
                }
            }
            // None of its interfaces is up: the kernel has removed it.
            None => {
                self.mirror.remove_all(id);
                self.items.vanished(id..=id);
            }
        }
    }
    /// The kernel answered a request.
    pub fn on_reply(
        &mut self,
        now: Instant,
        req: ReqId,
        result: Result<(), Errno>,
        timers: &mut Timers,
    ) -> Option<Note> {
        let outcome = self.items.answer(now, req, result);
        self.rearm(now, timers);
        match outcome? {
            Outcome::Refused { owner, key, errno } => Some(text::refused(&self.who(owner), &key, errno)),
            Outcome::Stuck { key, errno } => Some(text::stuck(&key, errno)),
            Outcome::Held { key, .. } => {
                // The route existed, although the kernel should have removed it: then nothing was reported.
                if let Some(v) = self.items.value(key)
                    && v.proto == ROUTE_PROTO
                    && !self.mirror.get(key).any(|r| v.is(r))
                {
                    self.mirror.insert(v.clone());
                }
                None
            }
            Outcome::Gone { .. } => None,
        }
    }
    /// Emits requests, up to the limit of those under way.
    pub fn pump(&mut self, fx: &mut Effects) {
        self.items.ask(|req, ask| {
            let op = match ask.clone() {
                Ask::Add(r) => NetOp::RouteAdd(Box::new(r)),
                Ask::Del(r) => NetOp::RouteDel(Box::new(r)),
                Ask::Change(old, new) => NetOp::RouteChange(Box::new(old), Box::new(new)),
            };
            fx.push(Effect::Net(NetFx::Change { req, op }));
        });
    }
    fn rearm(&self, now: Instant, timers: &mut Timers) {
        let next = self.owned.has_next().then_some(now + NEXT_TURN);
        let all = [next, self.kick, self.items.next_due()];
        timers.follow(Due::Routes, all.into_iter().flatten().min());
    }
}

const MIN_ID: RouteId = RouteId {
    table: 0,
    to: (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
    from: (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
    tos: 0,
    metric: 0,
};
const MAX_ADDR: IpAddr = IpAddr::V6(Ipv6Addr::from_bits(u128::MAX));
const MAX_ID: RouteId =
    RouteId { table: u32::MAX, to: (MAX_ADDR, u8::MAX), from: (MAX_ADDR, u8::MAX), tos: u8::MAX, metric: u32::MAX };

// The routes with this key that kalived has in the kernel. One that is as wanted, or as held, is returned with the wanted or held value.
fn there(mirror: &Mirror, owned: &Lines, id: RouteId, held: &RouteSpec) -> Vec<RouteSpec> {
    if held.proto != ROUTE_PROTO {
        // With another protocol number (`no_track` with `protocol`) the kernel's reports do not reach this process.
        return vec![held.clone()];
    }
    let line = owned.first(id).map(|(_, line)| line);
    if line.is_some_and(|l| l.route.no_track) {
        return vec![held.clone()];
    }
    let wanted = line.and_then(|l| l.spec.as_ref());
    let like = |is: &RouteSpec| wanted.filter(|w| w.is(is)).or(Some(held).filter(|h| h.is(is))).unwrap_or(is).clone();
    mirror.get(id).map(like).collect()
}
