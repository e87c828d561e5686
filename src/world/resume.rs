//! From one process to the next: standing by, freezing, continuing.
//!
//! Read first: `mod.rs`, `snapshot/`, `vrrp/instance/resume.rs` (one virtual router). A world in standby reads the kernel and opens its
//! sockets like any other, then waits for `Go`. It sends nothing and changes nothing, because another process is still in charge. But it
//! receives: between the last advert that the other process handled and `Go` there are some milliseconds, at an interval of 10 ms enough
//! to miss so many adverts that a Backup would take over. The last adverts for each virtual router are kept, and are handled after `Go`.
//!
//! Deliberately absent: a way back from frozen. The other process may have begun to send.

use super::sockets::Whose;
use super::*;
use crate::config::model::InstanceConfig;
use crate::config::model::vrrp::MAX_PEERS;
use crate::effect::{AdvertFx, GuardFx, Packets, STATIC_PROTO, SockFx};
use crate::notify::Subject;
use crate::snapshot::{Encoded, FarewellShot, GroupShot, InstanceShot, Snapshot};
use crate::vrrp::address::FILE;
use crate::vrrp::advert::Heard;
use crate::vrrp::instance::{BEHIND, Since};
use std::collections::VecDeque;

/// The content of `Go`.
type Orders = (Option<Box<Snapshot>>, Option<Instant>);

// A world that waits for `Go`.
#[derive(Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Standby {
    pub(super) go: Option<Orders>,
    // A stop was requested after `go`.
    #[serde(default)]
    pub(super) stop: Option<Signal>,
    said: bool,
    overheard: Overheard,
}

/// The states last reported to hooks and to pipes.
type Reported = (Option<State>, Option<State>);

type Overheard = BTreeMap<VrKey, VecDeque<(Heard, Now)>>;

/// Results of checks in a snapshot: some 100 bytes each.
const CHECKS: usize = 2048;
/// Services in a snapshot: some 60 bytes each. Of further ones, those that the next configuration does not have stay in the table.
const SERVICES: usize = 4096;
/// Between two snapshots because of a check's result: thousands of servers may change together.
const VERDICTS: Duration = Duration::from_secs(1);

/// Adverts kept for each virtual router: those of two rivals at 10 ms for the time that armed adverts last.
const OVERHEARD: usize = 16;

/// Of a packet: no advert is longer (255 IPv6 addresses, an IP header, a signature).
const LONGEST: usize = 4608;
/// No armed advert is further away.
const LONGEST_INTERVAL: Duration = Duration::from_secs(256);

// A virtual router in the last snapshot, and what else decides whether it is the same in the next one.
pub(super) struct Shot {
    addrs: Vec<AddrId>,
    // One of them was missing.
    missing: bool,
    ifindex: u32,
    part: Encoded,
}

// The content of the last snapshot, to decide whether another one is needed.
#[derive(Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Written {
    // A virtual router was added or removed, or all of them wait.
    pub(super) marks_changed: bool,
    // Virtual routers with another mark or another configuration.
    #[serde(default)]
    pub(super) changed: BTreeSet<VrKey>,
    // What was written of each virtual router.
    #[serde(skip)]
    pub(super) shots: BTreeMap<VrKey, Shot>,
    // A check of a real server has another result.
    pub(super) verdicts_changed: bool,
    verdicts_at: Instant,
    // If this process dies, it must not leave an address that the next configuration does not have and that is not known as ours.
    addresses: u64,
}

impl Written {
    // `differs`: the virtual router has another mark.
    pub(super) fn differs(&mut self, vr: VrKey, differs: bool) {
        if differs {
            self.changed.insert(vr);
        }
    }
}

impl World {
    /// A world that takes over from another process: give it [`Event::Start`], wait for [`GuardFx::StandingBy`], then give it
    /// [`GuardEv::Go`]; an earlier `Go` is executed when that is possible.
    pub fn standby(config: Config) -> World {
        World { standby: Some(Standby::default()), ..World::new(config) }
    }

    /// Whether it still waits for `Go`, or for what it needs to execute it.
    pub fn stands_by(&self) -> bool {
        self.standby.is_some()
    }

    /// A snapshot for the next process, if its content changed since the last one; not for every advert. Examines no virtual router when
    /// nothing changed.
    pub fn snapshot(&mut self, now: Now) -> Option<Snapshot> {
        if !matches!(self.phase, Phase::Cleaning | Phase::Running) {
            return None;
        }
        let tracks = self.tracks.take_dirty() | self.bfd.take_dirty();
        let told = self.notifier.take_changed();
        let timeouts = self.lvs.timeouts().take_dirty();
        let fib = self.routes.changes().wrapping_add(self.rules.changes()).wrapping_add(self.vmacs.changes());
        let addresses = self.addrs.changes().wrapping_add(fib);
        let verdicts = self.written.verdicts_changed && now.mono.since(self.written.verdicts_at) >= VERDICTS;
        let routers = self.written.marks_changed || !self.written.changed.is_empty() || !told.is_empty();
        if !tracks && !timeouts && !verdicts && !routers && addresses == self.written.addresses {
            return None;
        }
        let Written { changed, shots, .. } = core::mem::take(&mut self.written);
        let shots = self.shots(&changed, &told, shots);
        let parts = shots.values().map(|shot| shot.part.clone()).collect();
        self.written = Written { verdicts_at: now.mono, addresses, shots, ..Written::default() };
        Some(self.shoot(now, parts, false))
    }

    // What is written of the virtual routers: of those that did not change since the last snapshot, what was written then.
    fn shots(
        &self,
        changed: &BTreeSet<VrKey>,
        told: &BTreeSet<Subject>,
        mut before: BTreeMap<VrKey, Shot>,
    ) -> BTreeMap<VrKey, Shot> {
        let told: BTreeSet<&str> = told.iter().filter_map(Subject::instance).collect();
        let mut addrs = self.held();
        let (waiting, inherited) = (self.announcer.waiting(), self.inherited());
        let shot = |(vr, vi): (VrKey, &Instance)| {
            let (ids, missing) = addrs.remove(&vr).unwrap_or_default();
            let ifindex = vi.link(&self.links).map_or(0, |l| l.ifindex);
            let same = |shot: &Shot| {
                (shot.missing, shot.ifindex, &shot.addrs) == (missing, ifindex, &ids)
                    && !changed.contains(&vr)
                    && !told.contains(&*vi.cfg().name)
            };
            let shot = before.remove(&vr).filter(same).unwrap_or_else(|| {
                let shot = self.shot_of(vr, vi, ids.clone(), missing || waiting.contains(&vr), &inherited);
                Shot { addrs: ids, missing, ifindex, part: Encoded::of(shot) }
            });
            (vr, shot)
        };
        self.instances.iter().map(shot).collect()
    }

    // Addresses of each virtual router that it holds or has requested, and whether one is missing.
    fn held(&self) -> BTreeMap<VrKey, (Vec<AddrId>, bool)> {
        let mut addrs: BTreeMap<VrKey, (Vec<AddrId>, bool)> = BTreeMap::new();
        for (vr, id, held) in self.addrs.own() {
            let (ids, missing) = addrs.entry(vr).or_default();
            ids.push(id);
            *missing |= !held;
        }
        addrs
    }

    // Before the hooks are set: the states that the previous process reported.
    fn inherited(&self) -> BTreeMap<VrKey, Reported> {
        self.inherited.iter().map(|(vr, told, piped)| (*vr, (*told, *piped))).collect()
    }

    fn shot_of(
        &self,
        vr: VrKey,
        vi: &Instance,
        ids: Vec<AddrId>,
        announce: bool,
        inherited: &BTreeMap<VrKey, Reported>,
    ) -> InstanceShot {
        let ifindex = vi.link(&self.links).map_or(0, |l| l.ifindex);
        let before = inherited.get(&vr).copied().unwrap_or_default();
        let who = Subject::Instance(vi.cfg().name.clone());
        let notified = self.notifier.told(&who).or(before.0).map(|s| s as u8);
        let piped = self.notifier.piped(&who).or(before.1).map(|s| s as u8);
        InstanceShot { notified, piped, ..vi.shot(&self.timers, ifindex, ids, announce) }
    }

    // All virtual routers as they are now. `last`: with their farewells.
    fn shots_now(&self, now: Now, last: bool) -> Vec<Encoded> {
        let mut addrs = self.held();
        let (waiting, inherited) = (self.announcer.waiting(), self.inherited());
        let shot = |(vr, vi): (VrKey, &Instance)| {
            let (ids, missing) = addrs.remove(&vr).unwrap_or_default();
            let farewell = || {
                let sock = self.socks.get(*self.sock_of.get(&vr)?)?.spec;
                Some(FarewellShot { sock, packets: vi.last_words(now)? })
            };
            let shot = self.shot_of(vr, vi, ids, missing || waiting.contains(&vr), &inherited);
            InstanceShot { farewell: last.then(farewell).flatten(), ..shot }.into()
        };
        self.instances.iter().map(shot).collect()
    }

    /// The last snapshot of a frozen world.
    pub fn last_snapshot(&self, now: Now) -> Snapshot {
        self.custody.last_word.clone().unwrap_or_else(|| self.shoot_all(now, false))
    }

    fn group_shot(&self, name: &str) -> GroupShot {
        let who = Subject::Group(name.to_owned());
        // Before the hooks are set: the state that the previous process reported.
        let before = self.inherited_groups.iter().find(|g| g.name == name);
        let told = |now: Option<State>, before: Option<u8>| now.map(|s| s as u8).or(before);
        GroupShot {
            name: name.to_owned(),
            notified: told(self.notifier.told(&who), before.and_then(|g| g.notified)),
            piped: told(self.notifier.piped(&who), before.and_then(|g| g.piped)),
        }
    }

    // Everything as it is now. `last`: for a successor of this frozen world.
    pub(super) fn shoot_all(&self, now: Now, last: bool) -> Snapshot {
        self.shoot(now, self.shots_now(now, last), last)
    }

    fn shoot(&self, now: Now, instances: Vec<Encoded>, last: bool) -> Snapshot {
        let groups = self.base.sync_groups.iter().map(|g| self.group_shot(&g.name)).collect();
        let at = self.frozen_at.unwrap_or(now.mono);
        let (own, below) = self.own_shots();
        let (checks, alpha) = self.checks.shots(CHECKS);
        let (since, untold) = self.lvs.since_shots(CHECKS);
        Snapshot {
            own,
            below,
            at: at.0,
            last,
            instances,
            tracks: self.tracks.shots(),
            going: self.addrs.going().collect(),
            fixed: self.addrs.own().filter(|(vr, ..)| *vr == FILE).map(|(_, id, _)| id).collect(),
            routes: self.routes.of_file().collect(),
            virtual_routes: self.routes.of_instances().collect(),
            rules: self.rules.of_file().collect(),
            virtual_rules: self.rules.of_instances().collect(),
            groups,
            checks,
            alpha,
            services: self.lvs.table().ours(SERVICES),
            quorums: self.lvs.farm().undecided(SERVICES),
            filter: !self.filter.wanted().is_empty(),
            marks: self.lvs.mark_shots(SERVICES),
            bfd: self.bfd.shots(),
            ramps: self.lvs.farm().ramps(SERVICES),
            begins: self.begins.filter(|at| *at > now.mono).map(|at| at.0),
            since,
            untold,
            timeouts: self.lvs.timeouts_before(),
            fifos: Vec::new(),
            cold: false,
        }
    }

    pub(super) fn on_freeze(&mut self, now: Now, fx: &mut Effects) {
        if matches!(self.phase, Phase::Stopping | Phase::Gone) {
            return; // the world ends by itself, with priority-0 adverts
        }
        if matches!(self.phase, Phase::Reading | Phase::Standby) {
            // There is no state yet that a successor could continue from.
            return self.on_signal(now, Signal::Term, fx);
        }
        for vr in self.instances.keys() {
            with!(self, vr, now, fx, |vi, cx| vi.on_freeze(cx));
        }
        // A farewell that is still to leave could follow the successor's first advert.
        for sock in core::mem::take(&mut self.lingering) {
            fx.push(Effect::Sock(SockFx::Close { sock }));
        }
        self.stop_tracks(now, fx);
        self.stop_checks(now, fx);
        self.freeze_hooks(now, fx);
        self.abandon_reload("another process goes on", fx);
        self.phase = Phase::Frozen;
        self.frozen_at = Some(now.mono);
        fx.push(Effect::Guard(GuardFx::Frozen));
        self.freeze_bfd(now, fx);
        self.begin_custody(now, fx);
        self.rearm_bfd(now, fx);
    }

    pub(super) fn on_go(&mut self, snapshot: Option<Box<Snapshot>>, dead_since: Option<Instant>) {
        if let Some(standby) = &mut self.standby {
            standby.go = Some((snapshot, dead_since));
        }
    }

    // While another process is in charge, this one only receives.
    pub(super) fn overhear(&mut self, now: Now, key: SockKey, meta: &RxMeta, bytes: &[u8]) {
        let (Some(standby), Some(sock)) = (&mut self.standby, self.socks.get(key)) else { return };
        let vrid = advert::peek_vrid(sock.spec.family(), meta, bytes).unwrap_or(0);
        if let Whose::Of(vr) = sockets::whose(&self.instances, sock, vrid, meta.src)
            && let Some(vi) = self.instances.get(vr)
            && let Ok(heard) = advert::verify(&vi.profile(&sock.own, sock.spec.address(), now.wall), meta, bytes)
        {
            let list = standby.overheard.entry(vr).or_default();
            if list.len() >= OVERHEARD {
                list.pop_front();
            }
            list.push_back((heard, now));
        }
    }

    // In standby, after every input: if ready, executes `Go` or reports standby.
    pub(super) fn stand_by(&mut self, now: Now, fx: &mut Effects) {
        let opening = self.socks.iter().any(|(_, s)| matches!(s.state, SockState::Opening(_)));
        if opening || self.dumping || self.timers.get(Due::Resync).is_some() {
            return;
        }
        let Some(standby) = &mut self.standby else { return };
        if standby.go.is_none() {
            if !core::mem::replace(&mut standby.said, true) {
                fx.push(Effect::Guard(GuardFx::StandingBy));
            }
            return;
        }
        // The process before had routes or rules, and this one has read none: its file has none.
        let had = |s: &Snapshot| {
            let routes = s.routes.len() + s.virtual_routes.len();
            routes + s.rules.len() + s.virtual_rules.len() > 0
        };
        if !self.routes_watched && standby.go.iter().any(|(s, _)| s.as_deref().is_some_and(had)) {
            self.watch_routes_now(fx);
            return self.resync(fx);
        }
        let Standby { go, stop, overheard, .. } = self.standby.take().unwrap_or_default();
        let (snapshot, dead_since) = go.unwrap_or_default();
        self.phase = Phase::Cleaning;
        self.went_on = snapshot.is_some();
        let cold = snapshot.as_ref().is_none_or(|s| s.cold);
        self.begin_routes(now, fx);
        let snapshot = snapshot.unwrap_or_default();
        self.begin_own(now, &snapshot);
        self.begin_filter(now, &snapshot);
        self.resume(now, &snapshot, dead_since, &overheard, fx);
        self.end_routes(&snapshot, fx);
        self.end_own(&snapshot, fx);
        self.remove_leftovers(fx);
        if cold {
            self.remove_strays(fx);
            self.hold_back(now, None, fx);
        }
        self.name_strangers(fx);
        if let Some(signal) = stop {
            self.on_signal(now, signal, fx);
        }
    }

    fn resume(
        &mut self,
        now: Now,
        snapshot: &Snapshot,
        dead_since: Option<Instant>,
        overheard: &Overheard,
        fx: &mut Effects,
    ) {
        self.tracks.resume(&snapshot.tracks);
        self.bfd.resume(&snapshot.bfd);
        self.checks.resume(snapshot.checks.clone(), &snapshot.alpha);
        self.lvs.inherit(snapshot.services.clone(), snapshot.quorums.clone());
        if !snapshot.marks.is_empty() {
            self.lvs.inherit_marks(snapshot.marks.clone());
            self.marking.inherit();
        }
        self.lvs.resume_ramps(snapshot.ramps.clone());
        self.lvs.timeouts().inherit(snapshot.timeouts);
        self.lvs.inherit_since(snapshot.since.clone(), snapshot.untold);
        self.inherited_groups.clone_from(&snapshot.groups);
        // A process that continues from another one does not wait anew.
        if let Some(at) = snapshot.begins {
            self.hold_back(now, Some(Instant(at)), fx);
        }
        let at = Instant(snapshot.at).min(now.mono);
        let before = match dead_since {
            None if snapshot.last => Since::Frozen,
            // The process did not freeze, so it was alive when it wrote this, and nothing later is known.
            None => Since::Dead(at),
            Some(since) => Since::Dead(since.min(now.mono)),
        };
        let shots: BTreeMap<&str, &InstanceShot> = snapshot.instances.iter().map(|s| (s.name.as_str(), &**s)).collect();
        // Masters first: an advert may be due.
        let mut order: Vec<VrKey> = self.instances.keys();
        let shot_of = |vi: &Instance| shots.get(vi.cfg().name.as_str()).copied();
        order
            .sort_by_key(|vr| self.instances.get(*vr).and_then(shot_of).is_none_or(|s| s.state != State::Master as u8));
        let mut went_on: BTreeSet<&str> = BTreeSet::new();
        self.groups.resuming = true;
        for vr in order {
            let Some((shot, same)) = self.instances.get(vr).and_then(|vi| Some((shot_of(vi)?, vi.is_of(shot_of(vi)?))))
            else {
                continue;
            };
            let state = |n: Option<u8>| State::ALL.get(usize::from(n?)).copied();
            if same {
                went_on.insert(&shot.name);
                self.inherited.push((vr, state(shot.notified), state(shot.piped)));
            }
            let sock = self.sock_for(now, vr, fx);
            with!(self, vr, now, fx, |vi, cx| if same {
                vi.resume(shot, at, before, sock, cx);
            } else {
                cx.fx.note(text::cold(&vi.cfg().name, text::ANOTHER_ROUTER));
            });
            for (heard, arrived) in overheard.get(&vr).into_iter().flatten() {
                with!(self, vr, now, fx, |vi, cx| vi.on_overheard(heard, *arrived, at, cx));
            }
        }
        self.groups.resuming = false;
        self.settle_groups(now, fx);
        if snapshot.last {
            let gone = snapshot.instances.iter().filter(|shot| !went_on.contains(&*shot.name));
            gone.for_each(|shot| self.part_for(now, shot, fx));
        }
        self.remove_dropped(snapshot, fx);
    }

    // A virtual router that was Master, and that the configuration does not have any more: its farewell leaves, before its addresses are
    // removed and once more behind the adverts that the previous process has armed.
    fn part_for(&mut self, now: Now, shot: &InstanceShot, fx: &mut Effects) {
        let Some(FarewellShot { sock: spec, packets }) = &shot.farewell else { return };
        let usable = spec.ifindex().is_none_or(|i| self.links.get(i).is_some());
        let sound = packets.len() <= MAX_PEERS && packets.iter().all(|p| p.bytes.len() <= LONGEST);
        let Some(packets) = Packets::of(packets.clone()).filter(|_| usable && sound) else { return };
        // Names for one farewell.
        let family = spec.family();
        let vr = self.instances.insert_with(|key| Instance::new(InstanceConfig::new("", "", 1, family), key));
        self.instances.remove(vr);
        let sock = self.socks.insert(Sock::new(*spec, String::new(), Vec::new()));
        self.socks.remove(sock);
        fx.push(Effect::Sock(SockFx::Open { sock, spec: *spec }));
        fx.note(text::sent_zero(&shot.name));
        fx.push(Effect::Advert(AdvertFx::Send { vr, sock, packets: packets.clone() }));
        let last = Instant(shot.last_armed.unwrap_or(0));
        let at = if last > now.mono && last < now.mono + LONGEST_INTERVAL { last + BEHIND } else { now.mono };
        if at > now.mono {
            fx.push(Effect::Advert(AdvertFx::At { vr, sock, epoch: 0, at, packets }));
        }
        self.linger(sock, at);
    }

    // Addresses that the previous process held and that have no owner any more.
    pub(super) fn remove_dropped(&mut self, snapshot: &Snapshot, fx: &mut Effects) {
        let ours: BTreeSet<AddrId> = (self.instances.iter())
            .flat_map(|(_, vi)| vi.specs(&self.links).map(|s| (s.ifindex, s.addr, s.prefix)))
            .collect();
        let mut n = 0;
        let held = snapshot.instances.iter().flat_map(|s| &s.addrs);
        for id in held.chain(&snapshot.going).filter(|id| !ours.contains(id)) {
            if let Some(a) = self.links.addr(*id).filter(|a| matches!(a.proto, ADDR_PROTO | STATIC_PROTO)) {
                n += usize::from(self.addrs.remove(AddrSpec::from(a)));
            }
        }
        if n > 0 {
            fx.note(text::dropped_addresses(n));
        }
    }
}
