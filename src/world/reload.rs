//! A reload: another configuration is put in force in bounded slices, so that 1,000 virtual routers lose no advert.
//!
//! Read first: `mod.rs`, `config/model/heirs.rs` (which old virtual router continues as which new one), `vrrp/instance/alter.rs` (the
//! change of one of them). What is the same in both configurations is not touched. No address is deleted before the end
//! (`Addresses::hold`): one virtual router may get the address that another one gives up, in any order in the file (trap 5).
//!
//! There is one reload at a time, and at most one waits, the newest: a configuration that comes during a reload begins after it,
//! never in the middle of it (trap 1). Every [`GuardEv::Config`] is answered, in order.

use super::*;
use crate::config::model::InstanceConfig;
use crate::config::model::heirs::{self, Routers};
use crate::effect::{GuardFx, Reloaded};
use crate::vrrp::instance::changes;
use std::collections::VecDeque;
use std::sync::Arc;

/// Work in one turn, in units of some microseconds each: a comparison is one, a change [`CHANGE`], and addresses count by
/// [`ADDRESSES`]. A slice stays below half a millisecond, and 1,000 unchanged virtual routers are done in 16 of them.
const SLICE: usize = 64;
/// See [`SLICE`]: an alteration formats a line, builds an advert, arms it anew.
const CHANGE: usize = 8;
/// See [`SLICE`]: how many addresses are compared, or requested, in the time of a unit.
const ADDRESSES: usize = 8;
/// The next slice has a turn of its own: the work that others wait for precedes it.
const NEXT_TURN: Duration = Duration::from_nanos(1);

/// What a reload has to do, and the configurations that wait.
#[derive(Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Reloads {
    now: Option<Box<Reload>>,
    next: Option<Box<Config>>,
    // Configurations that were never put in force because a newer one came.
    passed_over: usize,
    // The one that waits was answered already.
    #[serde(default)]
    answered: bool,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Reload {
    steps: VecDeque<Step>,
    // Without its instances.
    config: Config,
    // Those of the whole new configuration. Until the end, those of both are in force.
    vips: BTreeSet<IpAddr>,
    watchers: BTreeMap<String, Vec<VrKey>>,
    // By name of an instance: the sync group that it will be in.
    grouped: BTreeMap<String, Arc<str>>,
    routers: Routers,
    #[serde(default)]
    answered: bool,
}

impl Reloads {
    pub(super) fn hide_secrets(&mut self, hidden: &mut crate::record::file::Hidden) {
        if let Some(config) = &mut self.next {
            hidden.config(config);
        }
        if let Some(reload) = &mut self.now {
            hidden.config(&mut reload.config);
            for step in &mut reload.steps {
                if let Step::Have(cfg, _) = step {
                    hidden.instance(cfg);
                }
            }
        }
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
enum Step {
    // An instance of the new configuration, and the virtual router that continues as it.
    Have(Box<InstanceConfig>, Option<VrKey>),
    Gone(VrKey),
}

/// Every interface name that a virtual router depends on.
pub(super) fn interfaces_of(cfg: &InstanceConfig) -> BTreeSet<String> {
    let mut names = BTreeSet::from([cfg.interface.clone()]);
    names.extend(cfg.own_names().into_iter().map(str::to_owned));
    names.extend(cfg.more.vrf.as_deref().map(str::to_owned));
    names.extend(cfg.track_interfaces.iter().map(|t| t.name.clone()));
    names.extend(cfg.vips.iter().chain(&cfg.excluded).filter_map(|v| v.dev.clone()));
    names.extend(cfg.more.routes.iter().filter_map(|r| r.vrf.as_deref()).map(str::to_owned));
    names.extend(cfg.more.tracked_by_routes().map(str::to_owned));
    names
}

/// Its virtual addresses, unless it owns them: see `World::vips`.
pub(super) fn vips_of(cfg: &InstanceConfig) -> impl Iterator<Item = IpAddr> {
    let all = cfg.vips.iter().chain(&cfg.excluded).map(|v| v.addr);
    all.filter(|_| cfg.priority != 255)
}

impl World {
    /// Whether virtual routers run: left-overs are removed, no stop has begun, no other process is in charge.
    pub fn running(&self) -> bool {
        self.phase == Phase::Running
    }

    /// Whether a configuration is being put in force, or waits to be.
    pub fn reloading(&self) -> bool {
        self.reloads.now.is_some() || self.reloads.next.is_some()
    }

    pub(super) fn on_config(&mut self, mut config: Box<Config>, fx: &mut Effects) {
        if matches!(self.phase, Phase::Stopping | Phase::Frozen | Phase::Gone) {
            answer(false, "kalived stops", fx);
            return;
        }
        config.instances.iter_mut().for_each(InstanceConfig::forget_places);
        config.share_group_tracks();
        // One that was answered is not lost for one that cannot be.
        if self.reloads.answered
            && let Some(why) = self.base.root.needs_restart(&config.root)
        {
            fx.note(text::not_reloaded(&why));
            return answer(false, &why, fx);
        }
        if self.reloads.next.replace(config).is_some() && !core::mem::take(&mut self.reloads.answered) {
            if self.reloads.now.is_some() {
                self.reloads.passed_over += 1;
            } else {
                self.pass_over(1, fx);
            }
        }
    }

    /// Ends all reloads unfinished, because the process stops or hands over.
    pub(super) fn abandon_reload(&mut self, why: &str, fx: &mut Effects) {
        let r = core::mem::take(&mut self.reloads);
        if let Some(reload) = &r.now {
            self.timers.stop(Due::Reload);
            self.let_all_go();
            if !reload.answered {
                answer(false, why, fx);
            }
        }
        for _ in 0..r.passed_over + usize::from(r.next.is_some() && !r.answered) {
            answer(false, why, fx);
        }
    }

    /// Begins the reload that waits, if there is one and nothing has to end first.
    pub(super) fn begin_reload(&mut self, now: Now, fx: &mut Effects) {
        let delayed = self.phase == Phase::Cleaning && self.begins.is_some_and(|at| at > now.mono);
        let begins = self.phase == Phase::Running && self.reloads.now.is_none();
        if !(begins || delayed && !self.reloads.answered) {
            return;
        }
        let Some(mut config) = self.reloads.next.take() else { return };
        if let Some(why) = self.base.root.needs_restart(&config.root) {
            fx.note(text::not_reloaded(&why));
            answer(false, &why, fx);
            // The virtual servers of that configuration are not put in force either.
            self.lvs.refuse();
            return;
        }
        if delayed {
            // `vrrp_startup_delay` may be longer than anybody waits for an answer. A process that is started meanwhile begins with it.
            let left = self.begins.map_or(Duration::ZERO, |at| at.since(now.mono));
            answer(true, &text::reload_waits(left), fx);
            self.reloads.next = Some(config);
            self.reloads.answered = true;
            return;
        }
        fx.note(text::reload_begins());
        self.addrs.hold();
        self.vmacs.hold();
        self.routes.hold();
        self.rules.hold();
        self.filter_both(now, &config);
        self.alter_tracks(now, &config, fx);
        self.alter_bfd(now, &config, fx);
        self.schedule_config(now, &config.global.more, fx);
        self.alter_hooks(now, &config, fx);
        let new = core::mem::take(&mut config.instances);
        let grouped = config.sync_groups.iter().flat_map(|g| {
            let name: Arc<str> = (&*g.name).into();
            g.members.iter().map(move |m| (m.to_string(), name.clone()))
        });
        let grouped = grouped.collect();
        let keys = self.instances.keys();
        let old: Vec<&InstanceConfig> = self.instances.iter().map(|(_, vi)| vi.cfg()).collect();
        let heirs = heirs::heirs(&old, &new);
        let going_on: BTreeSet<VrKey> = heirs.iter().flatten().map(|n| keys[*n]).collect();
        let have = new.into_iter().zip(heirs).map(|(cfg, n)| Step::Have(Box::new(cfg), n.map(|n| keys[n])));
        let gone = keys.iter().filter(|vr| !going_on.contains(vr)).map(|vr| Step::Gone(*vr));
        self.reloads.now = Some(Box::new(Reload {
            steps: have.chain(gone).collect(),
            config: *config,
            vips: BTreeSet::new(),
            watchers: BTreeMap::new(),
            grouped,
            routers: Routers::default(),
            answered: core::mem::take(&mut self.reloads.answered),
        }));
        self.timers.set(Due::Reload, now.mono + NEXT_TURN);
    }

    /// `Due::Reload`: one slice.
    pub(super) fn on_reload(&mut self, now: Now, fx: &mut Effects) {
        let Some(mut r) = self.reloads.now.take() else { return };
        let mut left = SLICE;
        while left > 0
            && let Some(step) = r.steps.pop_front()
        {
            let cost = match step {
                Step::Have(cfg, Some(vr)) => self.goes_on(now, &mut r, *cfg, vr, fx),
                Step::Have(cfg, None) => self.comes(now, &mut r, *cfg, fx),
                Step::Gone(vr) => self.goes(now, &mut r, vr, fx),
            };
            left = left.saturating_sub(cost);
        }
        if r.steps.is_empty() {
            self.end_reload(now, *r, fx);
        } else {
            self.reloads.now = Some(r);
            self.timers.set(Due::Reload, now.mono + NEXT_TURN);
        }
    }

    fn goes_on(&mut self, now: Now, r: &mut Reload, cfg: InstanceConfig, vr: VrKey, fx: &mut Effects) -> usize {
        let addresses = (cfg.vips.len() + cfg.excluded.len()) / ADDRESSES;
        r.enter(&cfg, vr);
        let Some(old) = self.instances.get(vr).map(Instance::cfg) else { return 1 };
        if *old == cfg {
            r.routers.kept += 1;
            return 1 + addresses;
        }
        r.routers.altered += 1;
        // Other peers are still the same virtual router; a group in their place is not.
        let unicast = (old.peers().is_some(), cfg.peers().is_some());
        let own = old.more.own_interface == cfg.more.own_interface;
        let same = own && old.wire() == cfg.wire() && old.mcast_group == cfg.mcast_group && unicast.0 == unicast.1;
        let (name, changes) = (cfg.name.clone(), changes(old, &cfg));
        fx.note(if same { text::altered(&name, &changes) } else { text::renewed(&name, &changes) });
        self.enter(now, &cfg, vr, fx);
        self.written.changed.insert(vr);
        if same {
            let mut before = None;
            with!(self, vr, now, fx, |vi, cx| before = Some(vi.alter(cfg, cx)));
            self.routed(now, vr, fx);
            self.regrouped = true;
            self.prepare(now, vr, fx);
            if let Some(before) = before {
                with!(self, vr, now, fx, |vi, cx| vi.altered(&before, cx));
            }
        } else {
            with!(self, vr, now, fx, |vi, cx| vi.retire(cx));
            self.leave_sock(vr, fx);
            with!(self, vr, now, fx, |vi, _cx| vi.renew(cfg));
            self.prepare(now, vr, fx);
        }
        CHANGE + addresses * 2
    }

    fn comes(&mut self, now: Now, r: &mut Reload, cfg: InstanceConfig, fx: &mut Effects) -> usize {
        let addresses = (cfg.vips.len() + cfg.excluded.len()) / ADDRESSES;
        r.routers.added += 1;
        fx.note(text::added(&cfg.name));
        let vr = self.instances.insert_with(|key| Instance::new(cfg.clone(), key));
        // It starts together with its group, which is complete at the end of the reload.
        if let Some((group, vi)) = r.grouped.get(&cfg.name).zip(self.instances.get_mut(vr)) {
            vi.enter_group(group.clone());
        }
        self.written.marks_changed = true;
        r.enter(&cfg, vr);
        self.enter(now, &cfg, vr, fx);
        self.prepare(now, vr, fx);
        CHANGE + addresses * 2
    }

    fn goes(&mut self, now: Now, r: &mut Reload, vr: VrKey, fx: &mut Effects) -> usize {
        let Some(vi) = self.instances.get(vr) else { return 1 };
        let (was, addresses) = (vi.state(), vi.vips().count() / ADDRESSES);
        r.routers.removed += 1;
        fx.note(text::removed(&vi.cfg().name, was));
        with!(self, vr, now, fx, |vi, cx| vi.retire(cx));
        self.leave_sock(vr, fx);
        let group = self.leave_group(vr);
        self.instance_removed(now, vr, was, fx);
        self.instances.remove(vr);
        if let Some(key) = group {
            self.settle_group(now, key, fx);
        }
        self.written.marks_changed = true;
        CHANGE + addresses
    }

    // From now on the virtual router receives the events of its interfaces and addresses.
    fn enter(&mut self, now: Now, cfg: &InstanceConfig, vr: VrKey, fx: &mut Effects) {
        for name in interfaces_of(cfg) {
            let watchers = self.watchers.entry(name).or_default();
            if !watchers.contains(&vr) {
                watchers.push(vr);
            }
        }
        let new: BTreeSet<IpAddr> = vips_of(cfg).filter(|a| !self.vips.contains(a)).collect();
        self.vips.extend(&new);
        self.own_addresses_changed(now, &new, fx);
    }

    // As at a cold start: an address that is there already is a left-over, unless a virtual router holds it.
    fn prepare(&mut self, now: Now, vr: VrKey, fx: &mut Effects) {
        let n = self.leftovers_of(vr);
        if n > 0 {
            fx.note(text::leftovers(n));
        }
        self.instance_altered(vr);
        self.evaluate(now, vr, fx);
    }

    // Addresses became virtual ones, or ceased to be. One that kalived added is never a source address; one that the operator added
    // may have been one, or be one now.
    fn own_addresses_changed(&mut self, now: Now, which: &BTreeSet<IpAddr>, fx: &mut Effects) {
        if which.is_empty() {
            return;
        }
        let there = self.links.all_addrs().filter(|a| a.proto != ADDR_PROTO && which.contains(&a.addr));
        let interfaces: BTreeSet<u32> = there.map(|a| a.ifindex).collect();
        for ifindex in interfaces {
            self.addresses_changed(now, ifindex, fx);
        }
    }

    fn end_reload(&mut self, now: Now, r: Reload, fx: &mut Effects) {
        self.watchers = r.watchers;
        self.link_tracks();
        let gone: BTreeSet<IpAddr> = self.vips.difference(&r.vips).copied().collect();
        self.vips = r.vips;
        self.own_addresses_changed(now, &gone, fx);
        self.let_all_go();
        if self.base.global.process != r.config.global.process {
            fx.note(text::kept_until_restart("priorities, memory and CPUs of the process"));
        }
        self.schedule_config(now, &r.config.global.more, fx);
        self.base = r.config;
        self.groups_altered(now, fx);
        self.routes_reloaded(now, fx);
        self.hooks_altered(now, fx);
        let what = r.routers.to_string();
        fx.note(text::reloaded(&what));
        if !r.answered {
            answer(true, &what, fx);
        }
        let passed_over = core::mem::take(&mut self.reloads.passed_over);
        self.pass_over(passed_over, fx);
    }

    fn pass_over(&mut self, n: usize, fx: &mut Effects) {
        for _ in 0..n {
            answer(false, "a newer configuration came before this one was begun", fx);
        }
    }
}

impl Reload {
    fn enter(&mut self, cfg: &InstanceConfig, vr: VrKey) {
        self.vips.extend(vips_of(cfg));
        for name in interfaces_of(cfg) {
            self.watchers.entry(name).or_default().push(vr);
        }
    }
}

fn answer(done: bool, text: &str, fx: &mut Effects) {
    fx.push(Effect::Guard(GuardFx::Reloaded(Box::new(Reloaded { text: text.to_owned(), done }))));
}
