//! Sync groups: their members, and the execution of their decisions.
//!
//! Read first: `mod.rs`, `vrrp/group.rs`. When the standing of a member changes, its group decides in the same turn and executes the
//! decision for all members before any other work. So all adverts of a takeover leave before the first address is requested, and at
//! the end of a turn members differ only while one joins.

use super::*;
use crate::config::model::vrrp::SyncGroup;
use crate::id::{GroupKey, GroupMark};
use crate::notify::{Subject, What};
use crate::vrrp::group::{self, Aim, Standing, Tally};
use crate::vrrp::instance::PREPARED;
use std::sync::Arc;

/// Limit of the rounds until no further decision follows; no group needs so many (the test is in `vrrp/group.rs`).
const ROUNDS: usize = 4;

// One `vrrp_sync_group`.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Group {
    name: Arc<str>,
    // In file order.
    members: Vec<VrKey>,
    tally: Tally,
    // A decision is being executed: members differ meanwhile.
    settling: bool,
    // The state that was last reported, and since when.
    state: State,
    since: Now,
    // Why it is Master: reported when the members have been reported.
    cause: String,
    // How often in a row it had to yield soon after it became Master.
    disputes: u32,
}

/// All sync groups, and the group of each virtual router.
#[derive(Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Groups {
    all: Arena<GroupMark, Group>,
    of: BTreeMap<VrKey, GroupKey>,
    // Members continue from another process one after the other: a group decides when all of them have.
    #[serde(default)]
    pub(super) resuming: bool,
}

impl Groups {
    /// The members of its group, itself among them; without a group only itself.
    pub(super) fn with(&self, vr: VrKey) -> Vec<VrKey> {
        self.of.get(&vr).and_then(|key| self.all.get(*key)).map_or_else(|| vec![vr], |g| g.members.clone())
    }
    pub(super) fn sizes(&self) -> [usize; 3] {
        [self.all.len(), self.all.iter().map(|(_, g)| g.members.len()).sum(), self.of.len()]
    }
}

/// The report of a sync group.
#[derive(Clone, Debug)]
pub struct GroupView {
    /// Name in the file.
    pub name: String,
    /// The state of the group, as the last decision of its members made it.
    pub state: State,
    /// When the group entered that state.
    pub since: Now,
    /// Names of the members, in file order.
    pub members: Vec<String>,
    /// Why it is in FAULT; else empty.
    pub reasons: String,
}

impl World {
    /// Every sync group, in file order as long as no reload changed it.
    pub fn groups(&self) -> Vec<GroupView> {
        let name = |vr: &VrKey| self.instances.get(*vr).map(|vi| vi.cfg().name.clone());
        let view = |(_, g): (GroupKey, &Group)| GroupView {
            name: g.name.to_string(),
            state: g.state,
            since: g.since,
            members: g.members.iter().filter_map(name).collect(),
            reasons: if g.state == State::Fault { self.why_fault(g).unwrap_or_default() } else { String::new() },
        };
        self.groups.all.iter().map(view).collect()
    }

    // The members that cannot run, and why.
    fn why_fault(&self, g: &Group) -> Option<String> {
        let members = g.members.iter().filter_map(|vr| self.instances.get(*vr));
        let faulty = members.filter(|vi| !vi.faults().is_empty());
        let all: Vec<String> = faulty.take(2).map(|vi| format!("{} ({})", vi.cfg().name, vi.reasons())).collect();
        (!all.is_empty()).then(|| all.join(", "))
    }

    /// The standing of a member changed.
    pub(super) fn stood(
        &mut self,
        now: Now,
        vr: VrKey,
        before: Option<Standing>,
        after: Option<Standing>,
        fx: &mut Effects,
    ) {
        let Some(key) = self.groups.of.get(&vr).copied() else { return };
        let Some(g) = self.groups.all.get_mut(key) else { return };
        before.into_iter().for_each(|s| g.tally.remove(s));
        after.into_iter().for_each(|s| g.tally.add(s));
        if !g.settling {
            self.settle_group(now, key, fx);
        }
    }

    /// Decides, then executes the decision.
    pub(super) fn settle_group(&mut self, now: Now, key: GroupKey, fx: &mut Effects) {
        if !matches!(self.phase, Phase::Cleaning | Phase::Running) || self.groups.resuming {
            return;
        }
        let mut last = None;
        for _ in 0..ROUNDS {
            let Some(g) = self.groups.all.get_mut(key) else { return };
            let Some(aim) = group::decide(&g.tally) else { break };
            g.settling = true;
            let members = core::mem::take(&mut g.members);
            let before = g.state;
            let why = self.commit(now, key, aim, &members, fx);
            if (aim, before) == (Aim::Backup, State::Master) {
                self.dispute(now, key, &members, fx);
            }
            let Some(g) = self.groups.all.get_mut(key) else { return };
            (g.members, g.settling) = (members, false);
            last = Some((aim, why));
        }
        self.tell_group(now, key, last, fx);
    }

    fn commit(&mut self, now: Now, key: GroupKey, aim: Aim, members: &[VrKey], fx: &mut Effects) -> String {
        let standing = |w: &World, vr: VrKey| w.instances.get(vr).and_then(Instance::standing);
        let mut them = members.iter().filter_map(|vr| self.instances.get(*vr));
        let why = match aim {
            Aim::Fault => them
                .find(|vi| vi.standing() == Some(Standing::Faulty))
                .map(|vi| format!("{} is in FAULT ({})", vi.cfg().name, vi.reasons())),
            Aim::Backup => them
                .find(|vi| matches!(vi.standing(), Some(Standing::Backup { .. })))
                .map(|vi| format!("{} is Backup", vi.cfg().name)),
            Aim::Master => Some("no member hears a Master".to_owned()),
            Aim::Join => Some("the others are Master".to_owned()),
            Aim::Start => Some("all members can run".to_owned()),
        };
        let name = self.groups.all.get(key).map(|g| g.name.clone()).unwrap_or_default();
        let why = format!("vrrp_sync_group {name}: {}", why.unwrap_or_default());
        let owner = |vr: &VrKey| self.instances.get(*vr).is_some_and(|vi| vi.cfg().priority == 255);
        let owners = members.iter().all(owner);
        for vr in members {
            if let Some(order) = standing(self, *vr).and_then(|s| group::order(aim, s)) {
                with!(self, *vr, now, fx, |vi, cx| vi.commit(order, &why, owners, cx));
            }
        }
        why
    }

    // The group had to yield. If it became Master together with another group, it waits longer than that one before it tries again.
    fn dispute(&mut self, now: Now, key: GroupKey, members: &[VrKey], fx: &mut Effects) {
        let rival = |vr: &&VrKey| self.instances.get(**vr).is_some_and(|vi| vi.master().is_some());
        let Some(vr) = members.iter().find(rival).copied() else { return };
        let Some((vi, g)) = self.instances.get(vr).zip(self.groups.all.get_mut(key)) else { return };
        let early = now.mono.since(g.since.mono) < vi.master_down_interval();
        g.disputes = if early { g.disputes.saturating_add(1) } else { 0 };
        let (lower, interval) = vi.rival();
        let more = interval * group::patience(g.disputes, lower);
        if !more.is_zero() {
            with!(self, vr, now, fx, |vi, cx| vi.wait_longer(more, cx));
        }
    }

    // The log and the notifications, after those of the members.
    fn tell_group(&mut self, now: Now, key: GroupKey, did: Option<(Aim, String)>, fx: &mut Effects) {
        let Some(g) = self.groups.all.get_mut(key) else { return };
        let state = g.tally.state();
        if state == g.state {
            return;
        }
        if self.timers.stop(Due::GroupSay(key)) {
            self.say_group(now, key);
        }
        let Some(g) = self.groups.all.get_mut(key) else { return };
        // It continues for another process, or no decision was necessary: as at a start with a member that cannot run.
        let resumed = did.is_none();
        (g.state, g.since) = (state, now);
        g.cause = did.as_ref().map(|(_, why)| why.clone()).unwrap_or_default();
        if resumed {
            let there = g.members.iter().filter_map(|vr| self.instances.get(*vr)).filter(|vi| vi.state() == state);
            g.since = there.map(Instance::since).max_by_key(|since| since.mono).unwrap_or(now);
        }
        if state == State::Init {
            return;
        }
        if let Some((_, why)) = &did {
            fx.note(text::group_syncs(&g.name, state, why));
        }
        // New Masters are reported when the urgent work is done, in the order of their timers.
        if state != State::Master || resumed {
            self.say_group(now, key);
        } else {
            self.timers.set(Due::GroupSay(key), now.mono + PREPARED);
        }
    }

    /// `Due::GroupSay`, or earlier.
    pub(super) fn say_group(&mut self, now: Now, key: GroupKey) {
        if let Some(g) = self.groups.all.get_mut(key) {
            let (who, cause) = (Subject::Group(g.name.to_string()), core::mem::take(&mut g.cause));
            self.changes.push(Change { who, what: What::State(g.state), priority: 0, cause, at: now });
        }
    }

    /// The daemon stops: groups are reported after their members.
    pub(super) fn stop_groups(&mut self, now: Now) {
        for key in self.groups.all.keys() {
            self.timers.stop(Due::GroupSay(key));
            let Some(g) = self.groups.all.get_mut(key).filter(|g| g.state != State::Init) else { continue };
            let (who, what) = (Subject::Group(g.name.to_string()), What::Stop);
            g.state = State::Init;
            self.changes.push(Change { who, what, priority: 0, cause: String::new(), at: now });
        }
    }

    /// A virtual router is removed from the configuration.
    pub(super) fn leave_group(&mut self, vr: VrKey) -> Option<GroupKey> {
        let key = self.groups.of.remove(&vr)?;
        let g = self.groups.all.get_mut(key)?;
        let standing = self.instances.get(vr).and_then(Instance::standing);
        standing.into_iter().for_each(|s| g.tally.remove(s));
        g.members.retain(|m| *m != vr);
        Some(key)
    }

    /// Makes the groups those of a configuration; a member whose group is unchanged is not affected. Returns the virtual routers to be
    /// evaluated again.
    pub(super) fn regroup(&mut self, wanted: &[SyncGroup]) -> Vec<VrKey> {
        let by_name: BTreeMap<String, VrKey> =
            self.instances.iter().map(|(vr, vi)| (vi.cfg().name.clone(), vr)).collect();
        let mut goes: BTreeMap<VrKey, &str> = BTreeMap::new();
        for g in wanted {
            for vr in g.members.iter().filter_map(|m| by_name.get(&**m)) {
                goes.entry(*vr).or_insert(&g.name);
            }
        }
        let mut touched = Vec::new();
        // Virtual routers that have left their group.
        let leaves = |(vr, key): (&VrKey, &GroupKey)| {
            let is = self.groups.all.get(*key).map(|g| &*g.name);
            (goes.get(vr).copied() != is).then_some(*vr)
        };
        let leaving: Vec<VrKey> = self.groups.of.iter().filter_map(leaves).collect();
        for vr in leaving {
            self.leave_group(vr);
            if let Some(vi) = self.instances.get_mut(vr) {
                vi.leave_group();
            }
            touched.push(vr);
        }
        let names: BTreeSet<&str> = wanted.iter().map(|g| &*g.name).collect();
        let old: BTreeMap<Arc<str>, GroupKey> = self.groups.all.iter().map(|(k, g)| (g.name.clone(), k)).collect();
        for (_, key) in old.iter().filter(|(name, _)| !names.contains(&***name)) {
            self.timers.stop(Due::GroupSay(*key));
            self.groups.all.remove(*key);
        }
        for cfg in wanted {
            let key = old.get(&*cfg.name).copied().unwrap_or_else(|| {
                self.groups.all.insert(Group {
                    name: (&*cfg.name).into(),
                    members: Vec::new(),
                    tally: Tally::default(),
                    settling: false,
                    state: State::Init,
                    since: Now::default(),
                    cause: String::new(),
                    disputes: 0,
                })
            });
            let Some(g) = self.groups.all.get_mut(key) else { continue };
            let members = cfg.members.iter().filter_map(|m| by_name.get(&**m)).copied();
            g.members = members.filter(|vr| goes.get(vr) == Some(&&*cfg.name)).collect();
            for vr in &g.members {
                let Some(vi) = self.instances.get_mut(*vr).filter(|_| !self.groups.of.contains_key(vr)) else {
                    continue;
                };
                // A virtual router that this reload added waits for its group already.
                if vi.group() != Some(&g.name) {
                    vi.enter_group(g.name.clone());
                    touched.push(*vr);
                }
                vi.standing().into_iter().for_each(|s| g.tally.add(s));
                self.groups.of.insert(*vr, key);
            }
        }
        touched
    }

    /// A reload is complete: the groups are the new ones.
    pub(super) fn groups_altered(&mut self, now: Now, fx: &mut Effects) {
        let groups = core::mem::take(&mut self.base.sync_groups);
        let touched = self.regroup(&groups);
        self.base.sync_groups = groups;
        for vr in touched {
            self.evaluate(now, vr, fx);
        }
        self.settle_groups(now, fx);
    }

    pub(super) fn settle_groups(&mut self, now: Now, fx: &mut Effects) {
        for key in self.groups.all.keys() {
            self.settle_group(now, key, fx);
        }
    }

    /// Panics when members of a group differ, except for one that joins.
    pub(super) fn check_groups(&self) {
        for (key, g) in self.groups.all.iter() {
            let mut tally = Tally::default();
            let standings = g.members.iter().filter_map(|vr| self.instances.get(*vr).and_then(Instance::standing));
            standings.for_each(|s| tally.add(s));
            assert_eq!(g.tally, tally, "(group {}) {key:?} counts right", g.name);
            assert!(!g.settling, "(group {}) what it decided is done", g.name);
            if matches!(self.phase, Phase::Cleaning | Phase::Running) && !self.groups.resuming {
                assert_eq!(group::decide(&tally), None, "(group {}) has nothing left to decide", g.name);
            }
        }
    }
}
