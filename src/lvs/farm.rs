//! All virtual servers of a configuration, made from its parts, and altered by the parts of another one.
//!
//! Read first: `pool.rs`, `config/model/lvs.rs`. A virtual server is identified by what it serves (address, port and protocol; mark;
//! group), a real server in it by address and port: one that is in both configurations keeps its key here, its verdict and its entry in
//! the kernel. A virtual server has one service in the kernel's table; one with a group has a service for each member, or
//! for each family of its members (`marks.rs`).

mod changes;
mod since;
mod told;

use super::check::{CheckSpec, Standing, Wanted};
use super::marks::Allotment;
use super::pool::{Pool, Server, Verdict};
use super::shape::{
    checks_of, id_of, in_service, keys_by_mark, keys_of, one_of_each, protocol_of, server_of, service_of, sorry_of,
    word_of,
};
use super::table::{Table, Wants};
use super::text;
use crate::config::model::lvs::{GroupEntry, Part, Protocol, RealServer, ServerGroup, Service, VirtualServer};
use crate::config::model::setting::Script;
use crate::config::model::{Config, Place};
use crate::id::{Arena, RsKey, ServerMark, SvcKey, VirtualMark, VsKey};
use crate::note::Note;
use crate::snapshot::{RampShot, SinceShot};
use crate::time::{Instant, Now};
use crate::vrrp::change::Subject;
use crate::wire::netlink::ipvs::{Destination, DestinationKey, Forward, ServiceKey};
use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use told::Untold;
pub use told::Usable;

/// Changes in order, for the log and the notifications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// A line of the log.
    Note(Note),
    /// A server is up or down from now on.
    Told(Box<Told>),
}

/// A change of a virtual server or real server that is notified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The virtual server or the real server.
    pub who: Subject,
    /// Whether a real server serves, or a virtual server has its quorum.
    pub up: bool,
    /// The command: `quorum_up` or `quorum_down`, `notify_up` or `notify_down`.
    pub scripts: [Option<Box<Script>>; 2],
    /// `smtp_alert`, where the file says so.
    pub mailed: Option<bool>,
    /// The cause of the change, as text.
    pub cause: String,
}

/// Settings that few real servers have.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Extra {
    scripts: [Option<Box<Script>>; 2],
    smtp_alert: Option<bool>,
}

/// Where a real server is.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
struct Whose {
    of: VsKey,
    place: usize,
}

/// One virtual server: its settings, its pool, and its services in the kernel's table.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Virtual {
    /// In messages: `[10.77.1.1]:tcp:80`, `FWM 7`, `[web]:0`.
    pub name: Arc<str>,
    /// The word for its protocol in messages.
    pub protocol: Box<str>,
    /// Its settings, without its real servers.
    pub cfg: Box<VirtualServer>,
    /// Its real servers, quorum and sorry server, and the destinations that follow from them.
    pub pool: Pool,
    /// Names of its real servers, by their places in the pool.
    pub reals: Vec<RsKey>,
    /// Its services in the table.
    pub services: Vec<SvcKey>,
    /// Since when it has its quorum, or has not.
    pub since: Now,
    // By place: weight in the file.
    weights: Vec<i64>,
    // What the checks of a real server add to it, where they do, and how many of them replace it.
    added: BTreeMap<RsKey, (i64, i64)>,
    // By place.
    extra: BTreeMap<usize, Extra>,
    // For real servers whose state has changed: since when, and why.
    changed: BTreeMap<RsKey, (Now, Box<str>)>,
    // When it was configured.
    born: Now,
    // `ha_suspend`: its checks are not made now.
    suspended: bool,
    // The configuration it was in last.
    generation: u64,
}

/// All virtual servers and real servers of the configuration, by key and by what they serve.
#[derive(Default, serde::Serialize, serde::Deserialize)]
pub struct Farm {
    pub(super) virtuals: Arena<VirtualMark, Virtual>,
    reals: Arena<ServerMark, Whose>,
    // Virtual servers by what they serve.
    pub(super) by_id: BTreeMap<Box<str>, VsKey>,
    groups: BTreeMap<Box<str>, Vec<GroupEntry>>,
    generation: u64,
    // The configuration being read: groups, how many virtual servers use each, and the virtual server whose real servers are read now.
    new_groups: BTreeMap<Box<str>, Vec<GroupEntry>>,
    used: BTreeMap<Box<str>, usize>,
    draft: Option<Box<Draft>>,
    // Services that virtual servers gave up in it. Another virtual server may take them over until it was read to its end.
    #[serde(default)]
    left: Vec<SvcKey>,
    // Whether the quorum of a new virtual server is notified; and whether its servers are that are up (`rs_init_notifies`).
    told: bool,
    init_notifies: bool,
    // Of this turn.
    pub(super) now: Now,
    // Real servers whose checks are to be set; an empty list: all their checks are removed.
    #[serde(default)]
    unchecked: VecDeque<(RsKey, Vec<(CheckSpec, bool)>)>,
    // Whether virtual servers had a quorum in the previous process, until a configuration is read.
    before: Vec<(Box<str>, bool)>,
    // `slow_start`: since when real servers are up again, and when their weight is computed again.
    #[serde(default)]
    pub(super) ramps: BTreeMap<RsKey, (Instant, Instant)>,
    #[serde(default)]
    pub(super) ramp_at: BTreeSet<(Instant, RsKey)>,
    // The same of the previous process, until their virtual server is read.
    #[serde(default)]
    pub(super) ramps_before: Vec<RampShot>,
    // Increases whenever a quorum may have changed.
    #[serde(default)]
    pub(super) changes: u64,
    // `nftables_ipvs`.
    #[serde(default)]
    pub(super) marks: Allotment,
    // Quorums that wait for the kernel's table.
    #[serde(default)]
    untold: Untold,
    // What the previous process knew of virtual servers and real servers, until a configuration is read.
    #[serde(default)]
    since_before: Vec<SinceShot>,
    // Virtual servers with `ha_suspend`, by their address.
    suspending: BTreeSet<(IpAddr, VsKey)>,
}

/// A virtual server whose real servers are read part by part. Most work for a real server is done when it is read: in the turn of the
/// last part a fraction of a microsecond is left for each.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Draft {
    cfg: Box<VirtualServer>,
    // The first real server has an IPv6 address.
    v6: Option<bool>,
    servers: Vec<Server>,
    checks: Vec<Vec<(CheckSpec, bool)>>,
    extra: BTreeMap<usize, Extra>,
}

impl Draft {
    fn more(&mut self, config: &Config, reals: Vec<RealServer>) {
        for rs in reals {
            let mut checks = checks_of(config, &self.cfg, &rs);
            if let Some((before, _)) = self.checks.last().and_then(|c| c.first()) {
                checks.iter_mut().for_each(|(spec, _)| spec.share(before));
            }
            self.v6.get_or_insert(rs.addr.is_ipv6());
            self.servers.push(server_of(&self.cfg, &rs, &checks));
            self.checks.push(checks);
            let extra = Extra { scripts: [rs.notify_up, rs.notify_down], smtp_alert: rs.smtp_alert };
            if extra != Extra::default() {
                self.extra.insert(self.servers.len() - 1, extra);
            }
        }
    }
}

impl Virtual {
    // The forwarding of a key of the pool; for the key of the sorry server, that one's.
    fn forward(&self, key: &DestinationKey) -> Forward {
        let server = self.pool.place(key).and_then(|place| self.pool.servers().get(place)).map(|s| s.shape.forward);
        server.or(self.pool.sorry().filter(|s| s.key == *key).map(|s| s.forward)).unwrap_or(Forward::Nat)
    }
    /// `ha_suspend`: its checks rest.
    pub fn is_suspended(&self) -> bool {
        self.suspended
    }
    /// `ha_suspend`: its checks are made while this host has this address.
    pub fn suspends(&self) -> Option<IpAddr> {
        match self.cfg.service {
            Service::Address(addr, _) if self.cfg.ha_suspend => Some(addr),
            _ => None,
        }
    }
    /// A real server of it in messages.
    pub fn server_name(&self, place: usize) -> String {
        self.pool.servers().get(place).map_or_else(String::new, |s| self.destination_name(&s.key))
    }
    /// Since when a real server of it has its state, and why.
    pub fn changed(&self, server: RsKey) -> (Now, &str) {
        self.changed.get(&server).map_or((self.born, ""), |(at, why)| (*at, why))
    }
    /// A server of it in messages.
    pub fn destination_name(&self, key: &DestinationKey) -> String {
        // As keepalived, and as in the table: packets with a mark go to any port, which only NAT changes.
        let any = matches!(self.cfg.service, Service::Mark(_)) && self.forward(key) != Forward::Nat;
        format!("[{}]:{}:{}", key.addr, self.protocol, if any { 0 } else { key.port })
    }
}

impl Wants for Farm {
    fn at(&self, of: VsKey, service: &ServiceKey, key: DestinationKey) -> Option<Destination> {
        let vs = self.virtuals.get(of)?;
        let mut candidates = vs.pool.with_address(key.addr);
        let own = candidates.find(|c| in_service(service, *c, vs.forward(c)) == Some(key))?;
        vs.pool.wanted_at(&own)
    }
    fn nth(&self, of: VsKey, service: &ServiceKey, n: usize) -> Option<Option<(DestinationKey, Option<Destination>)>> {
        let vs = self.virtuals.get(of)?;
        let (key, wanted) = vs.pool.nth(n)?;
        Some(in_service(service, key, vs.forward(&key)).map(|key| (key, wanted)))
    }
    fn name(&self, of: VsKey) -> Arc<str> {
        self.virtuals.get(of).map_or_else(|| "".into(), |vs| vs.name.clone())
    }
}

impl Farm {
    /// Whether there is no virtual server.
    pub fn is_empty(&self) -> bool {
        self.virtuals.len() == 0
    }
    /// Virtual servers and real servers there are.
    pub fn sizes(&self) -> [usize; 2] {
        [self.virtuals.len(), self.reals.len()]
    }
    /// The virtual server with this key; `None`: it was removed.
    pub fn get(&self, vs: VsKey) -> Option<&Virtual> {
        self.virtuals.get(vs)
    }
    /// All of them, by name.
    pub fn keys(&self) -> Vec<VsKey> {
        self.virtuals.keys()
    }
    /// The virtual server of this real server, and its place there.
    pub fn whose(&self, server: RsKey) -> Option<(VsKey, usize)> {
        self.reals.get(server).map(|w| (w.of, w.place))
    }

    /// Takes the new checks of at most `most` real servers of the last parts.
    pub fn take_checks(&mut self, most: usize) -> Vec<(RsKey, Vec<Wanted>)> {
        let some: Vec<_> = self.unchecked.drain(..most.min(self.unchecked.len())).collect();
        some.into_iter().map(|(server, checks)| (server, self.wanted_checks(server, checks))).collect()
    }
    /// Drops the checks that were not taken, and the quorums that were not told.
    pub fn forget_checks(&mut self) {
        self.unchecked.clear();
        self.untold.of.clear();
    }
    /// Whether there are more of them.
    pub fn has_checks(&self) -> bool {
        !self.unchecked.is_empty()
    }
    /// Virtual servers with `ha_suspend` and this address.
    pub fn suspending(&self, addr: IpAddr) -> Vec<VsKey> {
        let own = |(a, vs): &(IpAddr, VsKey)| (*a == addr).then_some(*vs);
        self.suspending.iter().filter_map(own).collect()
    }
    /// Suspends its checks, or ends that. True: it is a change.
    pub fn suspend(&mut self, vs: VsKey, suspended: bool) -> bool {
        let before = self.virtuals.get_mut(vs).map(|vs| core::mem::replace(&mut vs.suspended, suspended));
        before.is_some_and(|before| before != suspended)
    }
    /// The address of a virtual server with `ha_suspend`.
    pub fn suspends(&self, vs: VsKey) -> Option<IpAddr> {
        self.virtuals.get(vs)?.suspends()
    }
    /// The mark of a virtual server with a group (`nftables_ipvs`).
    pub fn mark(&self, vs: VsKey) -> Option<u32> {
        self.marks.of(&id_of(&self.virtuals.get(vs)?.cfg))
    }
    /// Whether programs are notified of the states that follow from a configuration.
    pub fn tells(&self) -> bool {
        self.told
    }

    /// Sets the time of the turn.
    pub fn at(&mut self, now: Now) {
        self.now = now;
    }

    /// Begins to read a configuration; one that was not read to its end is dropped.
    /// `told`: notifications report what is up then, and each real server if `init_notifies`.
    /// `marks_from`: the first mark, where groups are served by one.
    pub fn begin(&mut self, told: bool, init_notifies: bool, marks_from: Option<u32>) {
        self.marks.begin(marks_from);
        (self.told, self.init_notifies) = (told, init_notifies);
        self.generation += 1;
        self.draft = None;
        self.new_groups.clear();
        self.used.clear();
    }

    /// The next part of it. `config`: the rest of the configuration.
    pub fn part(&mut self, part: Part, config: &Config, table: &mut Table) -> Vec<Happened> {
        match part {
            // The keys of checks.
            Part::Ssl(_) => Vec::new(),
            Part::Group(ServerGroup { name, entries }) => {
                self.new_groups.insert(name, entries);
                Vec::new()
            }
            Part::Marks(marks) => {
                // A group that had one of them gets another mark when it is read.
                self.marks.take(&marks);
                Vec::new()
            }
            Part::Server(mut cfg) => {
                let happened = self.finish(table);
                cfg.place = Place::default();
                let reals = core::mem::take(&mut cfg.real_servers);
                let (servers, checks) = (Vec::new(), Vec::new());
                let mut draft = Draft { cfg, v6: None, servers, checks, extra: BTreeMap::new() };
                draft.more(config, reals);
                self.draft = Some(Box::new(draft));
                happened
            }
            Part::Reals(more) => {
                if let Some(draft) = &mut self.draft {
                    draft.more(config, more);
                }
                Vec::new()
            }
            Part::End => {
                let mut happened = self.finish(table);
                happened.extend(self.end(table));
                happened
            }
        }
    }

    // The virtual server whose real servers came is complete.
    fn finish(&mut self, table: &mut Table) -> Vec<Happened> {
        let Some(draft) = self.draft.take() else { return Vec::new() };
        self.changes += 1;
        let Draft { cfg, v6, servers, checks, extra } = *draft;
        let id = id_of(&cfg);
        let known = self.by_id.get(&id).copied();
        if known.and_then(|vs| self.virtuals.get(vs)).is_some_and(|vs| vs.generation == self.generation) {
            return vec![Happened::Note(text::twice(&id))];
        }
        let entries = match &cfg.service {
            Service::Group(name) => self.new_groups.get(name).map_or(&[][..], |e| e),
            _ => &[],
        };
        let mark = self.marks.mark(&id, entries);
        let mut keys = match mark {
            Some(mark) => keys_by_mark(mark, entries),
            None => keys_of(&cfg, v6.unwrap_or(false), entries),
        };
        let mut once = BTreeSet::new();
        keys.retain(|k| once.insert(*k));
        // In a service of another family nothing can be, except through a tunnel.
        let sorry = sorry_of(&cfg);
        let all = servers.iter().map(|s| (s.key, s.shape.forward)).chain(sorry.map(|s| (s.key, s.forward)));
        let families: Vec<(DestinationKey, Forward)> = one_of_each(all);
        let mut foreign = Vec::new();
        keys.retain(|k| {
            let fits = families.iter().any(|(key, forward)| in_service(k, *key, *forward).is_some());
            if !fits {
                foreign.push(*k);
            }
            fits
        });
        let mut happened = Vec::new();
        if let Some(first) = foreign.first() {
            happened.push(Happened::Note(text::of_other_family(&id, first, foreign.len(), keys.is_empty())));
            if keys.is_empty() {
                // As if it were not in the file.
                return happened;
            }
        }
        if mark.is_some() {
            let [v4, v6] = [false, true].map(|v6| keys.iter().any(|k| k.is_ipv6() == v6));
            let protocol = protocol_of(cfg.protocol.unwrap_or(Protocol::Udp));
            let others = self.marks.list(&id, protocol, entries, v4, v6);
            happened.extend((others > 0).then(|| Happened::Note(text::marked_already(&id, others))));
        }
        let vs = match known {
            Some(vs) => {
                happened.extend(self.alter(vs, cfg, servers, extra, table));
                vs
            }
            None => {
                let vs = self.add(id, cfg, servers, extra);
                self.resume_ramps_of(vs);
                let up = self.virtuals.get(vs).is_some_and(|v| v.pool.is_up());
                let held = up && (self.told || self.untold.before) && self.untold.quorum(vs, true);
                if self.told {
                    let told = self.virtuals.get(vs).map(|v| v.told_at_start(self.init_notifies, !held));
                    happened.extend(told.into_iter().flatten());
                }
                vs
            }
        };
        happened.extend(self.serve(vs, &keys, table));
        self.suspending.retain(|(_, of)| *of != vs);
        self.suspending.extend(self.suspends(vs).map(|addr| (addr, vs)));
        if let Some(vs) = self.virtuals.get(vs) {
            self.unchecked.extend(vs.reals.iter().copied().zip(checks));
        }
        happened
    }

    fn wanted_checks(&self, server: RsKey, checks: Vec<(CheckSpec, bool)>) -> Vec<Wanted> {
        // One that was removed meanwhile has none.
        let Some((of, place)) = self.whose(server).filter(|_| !checks.is_empty()) else { return Vec::new() };
        let Some(vs) = self.virtuals.get(of) else { return Vec::new() };
        let name: Arc<str> = vs.server_name(place).into();
        let weight = vs.weights.get(place).copied().unwrap_or(1);
        let wanted =
            |(spec, alpha)| Wanted { server, name: name.clone(), service: vs.name.clone(), weight, alpha, spec };
        checks.into_iter().map(wanted).collect()
    }

    fn add(
        &mut self,
        id: Box<str>,
        cfg: Box<VirtualServer>,
        servers: Vec<Server>,
        extra: BTreeMap<usize, Extra>,
    ) -> VsKey {
        let name = match &cfg.service {
            Service::Address(..) => (&*id).into(),
            Service::Mark(mark) => format!("FWM {mark}").into(),
            Service::Group(group) => format!("[{group}]:{}", self.used.get(group).copied().unwrap_or(0)).into(),
        };
        self.count(&cfg);
        let mark = matches!(cfg.service, Service::Mark(_));
        let protocol = word_of(cfg.protocol.filter(|_| !mark)).into();
        let count = servers.len();
        let weights = servers.iter().map(|s| s.weight).collect();
        let mut pool = Pool::new(servers, sorry_of(&cfg), cfg.quorum, cfg.hysteresis);
        pool.set_panic(cfg.panic_threshold);
        let generation = self.generation;
        let (reals, services) = (Vec::new(), Vec::new());
        let (since, born, changed, added) = (self.now, self.now, BTreeMap::new(), BTreeMap::new());
        let vs = Virtual {
            name,
            protocol,
            cfg,
            pool,
            reals,
            services,
            since,
            weights,
            added,
            extra,
            changed,
            born,
            suspended: false,
            generation,
        };
        let of = self.virtuals.insert(vs);
        let reals = (0..count).map(|place| self.reals.insert(Whose { of, place })).collect();
        if let Some(vs) = self.virtuals.get_mut(of) {
            vs.reals = reals;
        }
        self.by_id.insert(id, of);
        of
    }

    fn count(&mut self, cfg: &VirtualServer) {
        if let Service::Group(group) = &cfg.service {
            *self.used.entry(group.clone()).or_default() += 1;
        }
    }

    fn alter(
        &mut self,
        of: VsKey,
        cfg: Box<VirtualServer>,
        mut servers: Vec<Server>,
        extra: BTreeMap<usize, Extra>,
        table: &mut Table,
    ) -> Vec<Happened> {
        self.count(&cfg);
        let Some(vs) = self.virtuals.get_mut(of) else { return Vec::new() };
        vs.generation = self.generation;
        let before: BTreeMap<DestinationKey, RsKey> =
            vs.pool.servers().iter().map(|s| s.key).zip(vs.reals.iter().copied()).collect();
        let mut happened = Vec::new();
        let gone: Vec<(DestinationKey, RsKey)> = {
            let there: BTreeSet<DestinationKey> = servers.iter().map(|s| s.key).collect();
            before.iter().filter(|(key, _)| !there.contains(key)).map(|(key, rs)| (*key, *rs)).collect()
        };
        for (key, server) in gone {
            happened.push(Happened::Note(text::no_longer(&vs.destination_name(&key), &vs.name)));
            let place = vs.pool.place(&key);
            if place.and_then(|place| vs.pool.servers().get(place)).is_some_and(|s| s.verdict.serves()) {
                happened.push(vs.told_server(&key, place, false, "it is no longer in the configuration"));
            }
            self.reals.remove(server);
            self.unchecked.push_back((server, Vec::new()));
            vs.changed.remove(&server);
            vs.added.remove(&server);
        }
        let weights = core::mem::replace(&mut vs.weights, servers.iter().map(|s| s.weight).collect());
        for s in &mut servers {
            let Some(rs) = before.get(&s.key) else { continue };
            let place = vs.pool.place(&s.key);
            if let Some((added, replacing)) = vs.added.get_mut(rs) {
                // What replaces the weight of the file is what it was.
                let was = place.and_then(|place| weights.get(place)).copied().unwrap_or(s.weight);
                *added = added.saturating_add(replacing.saturating_mul(was - s.weight));
                s.weight = s.weight.saturating_add(*added);
            }
            let old = place.and_then(|place| vs.pool.servers().get(place));
            if let Some(old) = old.filter(|old| old.weight != s.weight) {
                let name = vs.destination_name(&s.key);
                let note = text::weight(old.weight, s.weight, old.verdict.serves(), &name, &vs.name);
                happened.push(Happened::Note(note));
            }
        }
        vs.extra = extra;
        vs.reals = servers
            .iter()
            .enumerate()
            .map(|(place, s)| match before.get(&s.key) {
                Some(rs) => {
                    if let Some(whose) = self.reals.get_mut(*rs) {
                        whose.place = place;
                    }
                    *rs
                }
                None => self.reals.insert(Whose { of, place }),
            })
            .collect();
        let old: Vec<(DestinationKey, Forward)> = before.keys().map(|k| (*k, vs.forward(k))).collect();
        let old_sorry = vs.pool.sorry().map(|s| (s.key, s.forward));
        let changes = vs.pool.alter(servers, sorry_of(&cfg), cfg.quorum, cfg.hysteresis, cfg.panic_threshold);
        vs.cfg = cfg;
        // Where the forwarding decides the port, the key of the entry is another one now.
        let vs = &*vs;
        for (key, was) in old.into_iter().chain(old_sorry) {
            for svc in &vs.services {
                let Some(service) = table.service(*svc) else { continue };
                let (then, now) = (in_service(&service, key, was), in_service(&service, key, vs.forward(&key)));
                if let Some(then) = then.filter(|_| then != now) {
                    table.change(*svc, of, then, None);
                }
            }
        }
        happened.extend(self.apply(of, changes, "another configuration", table));
        happened
    }

    // Sets its services.
    fn serve(&mut self, of: VsKey, keys: &[ServiceKey], table: &mut Table) -> Vec<Happened> {
        let Some(vs) = self.virtuals.get_mut(of) else { return Vec::new() };
        let mut happened = Vec::new();
        let mut services = Vec::with_capacity(keys.len());
        for key in keys {
            match table.set(*key, of, service_of(&vs.cfg, key.is_ipv6()), self.generation) {
                Ok(svc) => services.push(svc),
                Err(_) => happened.push(Happened::Note(text::served_already(&vs.name, key))),
            }
        }
        let before = core::mem::replace(&mut vs.services, services);
        if before != vs.services {
            let stays: BTreeSet<SvcKey> = vs.services.iter().copied().collect();
            self.left.extend(before.into_iter().filter(|svc| !stays.contains(svc)));
        }
        happened
    }

    // Removes the virtual servers that are not in the new configuration.
    fn end(&mut self, table: &mut Table) -> Vec<Happened> {
        self.changes += 1;
        self.groups = core::mem::take(&mut self.new_groups);
        self.marks.end();
        let generation = self.generation;
        let old: Vec<(Box<str>, VsKey)> = {
            let is_old = |vs: VsKey| self.virtuals.get(vs).is_none_or(|v| v.generation != generation);
            self.by_id.iter().filter(|(_, vs)| is_old(**vs)).map(|(id, vs)| (id.clone(), *vs)).collect()
        };
        let mut happened = Vec::new();
        for (id, of) in old {
            self.by_id.remove(&id);
            self.suspending.retain(|(_, vs)| *vs != of);
            let Some(vs) = self.virtuals.remove(of) else { continue };
            happened.push(Happened::Note(text::removed(&vs.name)));
            let told = !self.untold.of.remove(&of);
            happened.extend(vs.told_at_end("it is no longer in the configuration", told));
            for rs in vs.reals {
                self.reals.remove(rs);
                self.unchecked.push_back((rs, Vec::new()));
            }
            self.left.extend(vs.services);
        }
        table.drop_unclaimed(core::mem::take(&mut self.left), generation);
        happened
    }

    /// Virtual servers within their hysteresis, at most so many, and whether they have a quorum.
    pub fn undecided(&self, most: usize) -> Vec<(Box<str>, bool)> {
        let of = |vs: &VsKey| self.virtuals.get(*vs).filter(|vs| !vs.pool.is_decided()).map(|vs| vs.pool.is_up());
        let now = self.by_id.iter().filter_map(|(id, vs)| Some((id.clone(), of(vs)?)));
        // Before a configuration is read: those of the previous process, which precede what is known so far.
        now.filter(|(id, _)| !self.before.iter().any(|b| b.0 == *id))
            .chain(self.before.iter().cloned())
            .take(most)
            .collect()
    }
    /// The virtual servers that were undecided in the previous process: see [`Farm::resume_quorum`].
    pub fn inherit(&mut self, undecided: Vec<(Box<str>, bool)>) {
        self.before = undecided;
    }
    /// A configuration was read, and its real servers have the verdicts of the previous process, which has notified the quorum already.
    pub fn resume_quorum(&mut self, table: &mut Table) {
        for (id, up) in core::mem::take(&mut self.before) {
            let Some(of) = self.by_id.get(&id).copied() else { continue };
            let changes = self.virtuals.get_mut(of).map(|vs| vs.pool.resume(up)).unwrap_or_default();
            let _ = self.apply(of, changes, "", table);
        }
        self.resume_since();
    }

    /// The state of a real server and what its checks add to the weight that the file gives it, from now on.
    pub fn on_standing(&mut self, server: RsKey, standing: Standing, why: &str, table: &mut Table) -> Vec<Happened> {
        let Some((of, place)) = self.whose(server) else { return Vec::new() };
        let Some(vs) = self.virtuals.get_mut(of) else { return Vec::new() };
        let weight = vs.weights.get(place).copied().unwrap_or(1).saturating_add(standing.weight);
        match (standing.weight, standing.replacing) {
            (0, 0) => vs.added.remove(&server),
            added => vs.added.insert(server, added),
        };
        let Some((was, before)) = vs.pool.servers().get(place).map(|s| (s.weight, s.verdict)) else {
            return Vec::new();
        };
        let slow = !vs.cfg.slow_start.is_zero();
        if standing.up == Some(true) && before == Verdict::Down && slow {
            self.begin_ramp(server, self.now.mono);
        }
        let Some(vs) = self.virtuals.get_mut(of) else { return Vec::new() };
        let mut changes = vs.pool.on_result(place, standing.up, weight);
        if standing.up == Some(false) && self.ramps.contains_key(&server) {
            changes.extend(self.end_ramp(server));
        }
        let Some(vs) = self.virtuals.get(of) else { return Vec::new() };
        let mut happened = Vec::new();
        // A number below that means that the server is down.
        if was != weight && was.min(weight) >= 0 {
            let serves = standing.up.unwrap_or(before.serves());
            let note = text::weight(was, weight, serves, &vs.server_name(place), &vs.name);
            happened.push(Happened::Note(note));
        }
        happened.extend(self.apply(of, changes, why, table));
        happened
    }

    /// The process ends: the notifications of virtual servers with `omega`, and of their servers.
    pub fn omega(&self) -> Vec<Happened> {
        let last = self.virtuals.iter().filter(|(_, vs)| vs.cfg.omega);
        last.flat_map(|(of, vs)| vs.told_at_end("kalived stops", !self.untold.of.contains(&of))).collect()
    }
}
