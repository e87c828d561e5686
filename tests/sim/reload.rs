//! Reloads: sometimes a node gets another configuration, in any state. On each node it may differ from the drawn one in its virtual
//! routers, their priorities, whether they list one more address, and the key that signs.
//!
//! Read first: `options.rs`, `turn.rs`. The ground has the configuration that the World reports as in force, so every other invariant uses
//! that one. Checked here: a reload is complete within J, and then the World has the new configuration (L-5); one that changes nothing
//! has no effect but a line in the log, and changes no deadline and no state. Deliberately absent: another interval or VRID, which
//! `tests/vrrp/reload.rs` has.

use crate::auth::{Auth, KEYS};
use crate::faults::Class;
use crate::ground::Fact;
use crate::node::{Completion, Process};
use crate::options::Options;
use crate::run::Sim;
use kalived::config::model::Config;
use kalived::config::model::route::{Hop, Numbers, Prefix, Route, Rule};
use kalived::effect::{Effect, Effects, GuardFx};
use kalived::event::{Event, GuardEv};
use kalived::route::{BLACKHOLE, ROUTE_PROTO, RouteId, UNICAST};
use kalived::rule::{NOP, RuleSpec, UNREACHABLE};
use kalived::time::{Duration, Instant, Now};
use kalived::timers::Due;
use kalived::world::World;

/// One node's configuration, by group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variation {
    /// Whether it has this virtual router.
    pub present: Vec<bool>,
    /// With which priority.
    pub priority: Vec<u8>,
    /// Whether it lists the group's last address too.
    pub spare: Vec<bool>,
    /// The key of `auth_hmac` that signs.
    pub key: Vec<u8>,
    /// The places in the file, which have no meaning.
    pub line: u32,
}

impl Variation {
    /// As drawn.
    pub fn drawn(opts: &Options, node: usize) -> Variation {
        let n = opts.groups.len();
        let priority = opts.groups.iter().map(|g| g.members[node].priority).collect();
        Variation { present: vec![true; n], priority, spare: vec![false; n], key: vec![KEYS[0]; n], line: 1 }
    }

    /// The whole file.
    pub fn config(&self, opts: &Options, node: usize) -> Config {
        let mut config = opts.config(node);
        for (i, c) in config.instances.iter_mut().enumerate() {
            c.priority = self.priority[i];
            c.place.line = self.line;
            if !self.spare[i] {
                c.vips.pop();
            }
            if let Some(hmac) = c.more.hmac.as_mut().filter(|h| h.keys.iter().any(|k| k.id == self.key[i])) {
                hmac.active_key = Some(self.key[i]);
            }
            (c.more.routes, c.more.rules) = self.virtual_ones(i);
        }
        let mut present = self.present.iter();
        config.instances.retain(|_| *present.next().unwrap_or(&true));
        config.static_routes = self.routes();
        config.static_rules = vec![rule(100 + u32::from(self.priority[0]) % 3, UNREACHABLE)];
        // The order in the file has no meaning.
        if self.line.is_multiple_of(2) {
            config.instances.reverse();
        }
        config
    }
}

/// A rule of IPv4 that matches everything.
fn rule(preference: u32, action: u8) -> Rule {
    Rule { spec: Some(RuleSpec { preference, action, ..RuleSpec::new(false) }), ..Rule::default() }
}

/// One route: over the interface, or to nowhere.
fn route(to: &str, len: u8, dev: bool, kind: u8, metric: u32) -> Route {
    let hops = if dev { vec![Hop { dev: Some(crate::options::IFACE.into()), ..Hop::default() }] } else { Vec::new() };
    let numbers = Numbers { usable: true, kind, table: 254, protocol: ROUTE_PROTO, scope: 0, ..Numbers::default() };
    let to = Some(Prefix { addr: to.parse().expect("an address"), len });
    Route { to, hops, numbers, metric: Some(metric), ..Route::default() }
}

/// Whether a route is one of [`Variation::virtual_ones`].
pub fn is_virtual(id: &RouteId) -> bool {
    id.metric >= VIRTUAL
}

/// Metrics of virtual routes begin here.
const VIRTUAL: u32 = 100;

impl Variation {
    /// Virtual routes and rules of a group: one over the interface, one to nowhere that all groups share, and with the spare address a
    /// rule more.
    fn virtual_ones(&self, group: usize) -> (Vec<Route>, Vec<Rule>) {
        let metric = VIRTUAL + group as u32;
        let routes =
            vec![route("192.0.2.0", 24, true, UNICAST, metric), route("203.0.113.0", 24, false, BLACKHOLE, VIRTUAL)];
        let mut rules = vec![rule(1_000 + metric, NOP)];
        if self.spare[group] {
            rules.push(rule(2_000, NOP));
        }
        (routes, rules)
    }
    /// Static routes of the file: two of IPv4, one of IPv6, one that leads nowhere; which of them there are, and with which metric,
    /// changes with what else is drawn.
    fn routes(&self) -> Vec<Route> {
        let metric = u32::from(self.priority[0]) % 3 + 1;
        let mut all = vec![
            route("192.0.2.0", 24, true, UNICAST, metric),
            route("198.51.100.0", 24, true, UNICAST, metric),
            route("2001:db8:1::", 48, true, UNICAST, metric),
            route("203.0.113.0", 24, false, BLACKHOLE, metric),
        ];
        all.truncate(1 + self.spare.iter().chain(&self.present).filter(|is| **is).count());
        all
    }
}

impl Sim {
    /// The fault: another configuration, or the same once more.
    pub fn draw_reload(&mut self, node: usize) {
        let groups = self.ground.opts.groups.len() as u64;
        let mut v = self.variations[node].clone();
        let owner = |v: &Variation, g: usize| v.priority[g] == 255;
        let signed: Vec<bool> = self.ground.opts.groups.iter().map(|g| matches!(g.auth, Auth::Hmac { .. })).collect();
        let rng = self.fault_rng(Class::Reload, node);
        v.line += 1 + rng.below(2) as u32;
        let g = rng.below(groups) as usize;
        match rng.below(6) {
            0 | 5 if signed[g] => v.key[g] = rng.pick(&KEYS),
            0 => {}
            1 | 2 if !owner(&v, g) => v.priority[g] = rng.range(1, 254) as u8,
            3 => v.present[g] ^= true,
            _ => v.spare[g] ^= true,
        }
        self.vary(node, v);
    }

    /// The node's file is this from now on, and it is told so if it runs.
    pub fn vary(&mut self, node: usize, v: Variation) {
        let same = Variation { line: v.line, ..self.variations[node].clone() } == v;
        let config = Box::new(v.config(&self.ground.opts, node));
        self.variations[node] = v;
        self.complete(node, Completion::Config { config, same });
    }

    /// An operator who changes the file of a killed daemon removes what it held and the new file does not have: kalived does not
    /// remove that, because it may be another kalived's, and reports it.
    pub fn clear_strangers(&mut self, node: usize) {
        let v = &self.variations[node];
        let groups = self.ground.opts.groups.iter().enumerate();
        let gone = groups.flat_map(|(g, spec)| {
            let last = spec.vips.len() - 1;
            let listed = move |n: usize| v.present[g] && (n < last || v.spare[g]);
            spec.vips.iter().enumerate().filter(move |(n, _)| !listed(*n)).map(|(_, vip)| *vip)
        });
        for vip in gone.collect::<Vec<_>>() {
            self.nodes[node].kernel.take(vip);
        }
        let config = self.variations[node].config(&self.ground.opts, node);
        let more = || config.instances.iter().map(|i| &i.more);
        let routes = config.static_routes.iter().chain(more().flat_map(|m| &m.routes));
        let rules = config.static_rules.iter().chain(more().flat_map(|m| &m.rules));
        let (routes, rules) = (routes.map(kalived::routes::id_of).collect(), rules.filter_map(|r| r.spec).collect());
        self.nodes[node].kernel.routes.keep_only(&routes, &rules);
        let own: Vec<&str> = config.instances.iter().filter_map(|i| Some(i.own()?.1)).collect();
        self.nodes[node].kernel.keep_uppers(&own);
        self.look_at_kernel(node);
    }

    /// Passes it to the World, and checks the effects of one that changes nothing.
    pub fn take_config(&mut self, node: usize, p: &mut Process, now: Now, config: Box<Config>, same: bool) -> Now {
        let then = Now { mono: now.mono + Duration::from_nanos(1), ..now };
        // It may be opened by it, if that failed before.
        let closed = p.outside.pipe_is_closed();
        let busy = closed || p.world.reloading() || p.world.next_deadline().is_some_and(|(at, _)| at <= then.mono);
        let look = |w: &World| {
            let timers: Vec<(Instant, Due)> = w.deadlines().collect();
            format!("{w:?} {timers:?} {:?}", w.sizes())
        };
        let before = look(&p.world);
        let mut fx = Effects::default();
        p.world.handle(now, Event::Guard(GuardEv::Config(config)), &mut fx);
        let mut after = now;
        // Alone in its turn, so that all effects are its own.
        if same && !busy && p.world.next_deadline().is_some_and(|(at, due)| due == Due::Reload && at <= then.mono) {
            after = then;
            p.world.fire(then, 1, &mut fx);
            let quiet = fx.iter().all(|e| matches!(e, Effect::Note(_) | Effect::Guard(GuardFx::Reloaded(_))));
            if !quiet || p.world.reloading() || look(&p.world) != before {
                let text =
                    format!("node {node}: a reload that changes nothing did {fx:?}\n{before}\n{}", look(&p.world));
                self.violate("L5".into(), text);
            }
        }
        fx.drain().for_each(|e| p.fx.push(e));
        after
    }

    /// Updates the ground from the configuration in force. Called after each event of the World, before its states are compared.
    pub fn follow_config(&mut self, node: usize, world: &World) {
        let now = self.ground.now;
        let mut altered = Vec::new();
        for view in world.views() {
            let Some(group) = self.ground.opts.group(view.vrid, view.family) else { continue };
            let spec = &mut self.ground.opts.groups[group];
            let spare = view.addresses.1 == spec.vips.len();
            let from = core::mem::replace(&mut spec.members[node].priority, view.effective_priority);
            let had = core::mem::replace(&mut self.ground.nodes[node].spare[group], spare);
            if from != view.effective_priority || had != spare {
                altered.push((group, from));
            }
        }
        if altered.is_empty() {
            return;
        }
        self.ground.nodes[node].touched = now;
        for (group, from) in altered {
            self.fact(Fact::Altered { node, group, from });
        }
        self.fact(Fact::Touched);
    }

    /// L-5 has two parts: a reload ends, and then the requested configuration is in force.
    pub fn check_reload(&mut self, node: usize, world: &World) {
        let (now, n) = (self.ground.now, &self.ground.nodes[node]);
        if !world.reloading() || !world.running() || !n.healthy() {
            self.reloading_since[node] = None;
            return;
        }
        // What it is told in the turn that ends one is begun in the next.
        let since = (*self.reloading_since[node].get_or_insert(now)).max(n.touched);
        let most = self.ground.lateness * 4;
        if now.since(since) > most {
            self.violate("L5".into(), format!("node {node}: a reload takes {:?}, bound {most:?}", now.since(since)));
        }
    }

    /// `GuardFx::Reloaded`.
    pub fn reloaded(&mut self, node: usize, done: bool) {
        let Some(p) = self.nodes[node].process.as_ref() else { return };
        if !done || p.world.reloading() || p.inbox.has_config() || self.nodes[node].asked_to_stop {
            return;
        }
        let want = self.variations[node].config(&self.ground.opts, node);
        let mut want: Vec<(String, usize)> = want.instances.iter().map(|c| (c.name.clone(), c.vips.len())).collect();
        let mut have: Vec<(String, usize)> = p.world.views().into_iter().map(|v| (v.name, v.addresses.1)).collect();
        want.sort();
        have.sort();
        let asked = |v: &kalived::world::View| {
            let g = self.ground.opts.group(v.vrid, v.family)?;
            Some(self.variations[node].priority[g])
        };
        let soft = self.ground.opts.checks.and_then(|c| c.soft).unwrap_or(0);
        // With what it tracks, or without.
        let weighted = |p: u8| if p == 255 { p } else { (i32::from(p) + soft).clamp(1, 254) as u8 };
        let is = |v: &kalived::world::View, p| v.effective_priority == p || v.effective_priority == weighted(p);
        let priorities = p.world.views().iter().all(|v| asked(v).is_some_and(|p| is(v, p)));
        if want != have || !priorities {
            let text = format!("node {node}: reloaded, asked for {:?}, has {:?}", self.variations[node], p.world);
            self.violate("L5".into(), text);
        }
    }
}
