//! `static_rules` and `virtual_rules`: which policy rules are wanted, and the mirror of those in the kernel.
//!
//! Read first: `reconcile/`, `owned.rs`, `rule.rs`; `routes/` is the same for routes, also the slices. A rule waits for no interface: the
//! kernel keeps a rule whose interface does not exist, and applies it when the interface is made. Rules of a virtual router are added
//! after its routes and removed before them.

pub mod text;

use crate::config::model::route::Rule;
use crate::effect::{Effect, Effects, NetFx, NetOp};
use crate::event::{Doer, Errno, ReqId};
use crate::id::VrKey;
use crate::note::Note;
use crate::owned::{Owned, Owner};
use crate::reconcile::{Ask, Item, Outcome, Reconciler};
use crate::rule::{RULE_PROTO, RuleSpec};
use crate::time::{Duration, Instant};
use crate::timers::{Due, Timers};
use std::collections::BTreeMap;

/// Rules that are examined in one turn: some microseconds each.
const SLICE: usize = 64;
/// As in `routes/`: the next slice has a turn of its own.
const NEXT_TURN: Duration = Duration::from_nanos(1);
/// Most rules of the kernel that are remembered. A host with more has them from another program.
const MOST: usize = 65_536;

impl Item for RuleSpec {
    type Owner = Owner;
    const SERIES: u8 = 5;
    // A rule is its own key: there is no other value.
    const IN_PLACE: bool = false;
    fn is_there(errno: Errno) -> bool {
        errno == Errno::EEXIST
    }
    fn is_gone(errno: Errno) -> bool {
        matches!(errno, Errno::ENOENT | Errno::ESRCH)
    }
}

/// Numbers of rules, for the report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RulesView {
    /// Lines of `static_rules`.
    pub lines: usize,
    /// Of these in the kernel.
    pub held: usize,
    /// Virtual rules that are wanted.
    pub virtual_wanted: usize,
    /// Of these in the kernel.
    pub virtual_held: usize,
    /// How often one was put back.
    pub restored: u64,
}

type Mirror = BTreeMap<RuleSpec, (u8, u64)>;

/// All wanted policy rules by owner, the mirror of those in the kernel, and the requests under way.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Rules {
    items: Reconciler<RuleSpec, RuleSpec>,
    // The kernel's rules without their protocol number; the number, and the last dump that had the rule.
    mirror: Mirror,
    generation: u64,
    // The owners of rules; `no_track`. Those of new Masters wait for their addresses and routes.
    owned: Owned<RuleSpec, bool>,
}

impl Rules {
    /// Sets the lines of `static_rules`. Lines that are the same are not touched. Returns lines for the log.
    pub fn alter(&mut self, now: Instant, rules: &[Rule], timers: &mut Timers) -> Vec<Note> {
        let notes = self.set(Owner::File, "", rules);
        self.rearm(now, timers);
        notes
    }
    /// Sets the lines of a virtual router that became Master, or that is Master and was altered.
    pub fn enter(&mut self, now: Instant, vr: VrKey, name: &str, rules: &[Rule], timers: &mut Timers) -> Vec<Note> {
        let notes = self.set(Owner::Instance(vr), name, rules);
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
    fn set(&mut self, owner: Owner, name: &str, rules: &[Rule]) -> Vec<Note> {
        let mut notes = Vec::new();
        let mut change = self.owned.replace(owner, name);
        for rule in rules {
            let Some(spec) = rule.spec else { continue };
            if !change.keeps(spec) {
                notes.push(text::twice(&crate::routes::text::who(owner, name), &spec));
                continue;
            }
            match self.owned.get_mut(spec, owner) {
                Some(no_track) => *no_track = rule.no_track,
                None => self.owned.put(owner, spec, rule.no_track),
            }
        }
        let (items, mirror) = (&mut self.items, &self.mirror);
        self.owned.replaced(change, |spec, _, last| {
            if last {
                items.give_up(spec);
                // Another process of kalived held it, and it was not examined yet.
                drop_one(items, mirror, spec);
            }
        });
        notes
    }
    fn who(&self, owner: Owner) -> String {
        crate::routes::text::who(owner, self.owned.name(owner))
    }
    /// Whether rules wait for addresses and routes; then [`Rules::routes_are_there`] is to be called.
    pub fn waits_for_routes(&self) -> bool {
        self.owned.waits()
    }
    /// No request about an address or a route is under way.
    pub fn routes_are_there(&mut self, now: Instant, timers: &mut Timers) {
        self.owned.ready();
        self.rearm(now, timers);
    }
    /// From now on nothing is deleted, until [`Rules::let_go`]: a reload runs.
    pub fn hold(&mut self) {
        self.items.hold();
    }
    /// Rules without an owner may be deleted.
    pub fn let_go(&mut self) {
        self.items.let_go();
    }
    /// At the end: no rule is wanted any more.
    pub fn release(&mut self) {
        for (owner, specs) in self.owned.clear() {
            self.items.release(owner);
            specs.into_iter().for_each(|spec| _ = drop_one(&mut self.items, &self.mirror, spec));
        }
    }
    /// No static rule is wanted any more.
    pub fn release_file(&mut self) {
        self.set(Owner::File, "", &[]);
    }
    /// Whether all deletions are done.
    pub fn idle(&self) -> bool {
        self.items.idle()
    }
    /// The numbers of rules for the report.
    pub fn view(&self) -> RulesView {
        RulesView {
            lines: self.owned.count(Owner::File),
            held: self.items.held(Owner::File).count(),
            virtual_wanted: self.owned.instances().map(|owner| self.owned.count(owner)).sum(),
            virtual_held: self.owned.instances().map(|owner| self.items.held(owner).count()).sum(),
            restored: self.items.restored(),
        }
    }
    /// Rules of the file.
    pub fn of_file(&self) -> impl Iterator<Item = RuleSpec> {
        self.owned.of(Owner::File)
    }
    /// Rules of virtual routers, and those that are not wanted any more and that may be there still.
    pub fn of_instances(&self) -> impl Iterator<Item = RuleSpec> {
        self.owned.instances().flat_map(|owner| self.owned.of(owner)).chain(self.items.going())
    }
    /// How many rules a virtual router wants: 0 unless it is Master.
    pub fn wanted(&self, vr: VrKey) -> usize {
        self.owned.count(Owner::Instance(vr))
    }
    /// A number that changes whenever [`Rules::of_file`] or [`Rules::of_instances`] may have changed.
    pub fn changes(&self) -> u64 {
        self.items.changes()
    }
    /// The number of entries, for tests that none is left.
    pub fn sizes(&self) -> impl Iterator<Item = usize> {
        self.owned.sizes().into_iter().chain(self.items.sizes())
    }
    /// Rules that another process of kalived held, or may have held: those without an owner are deleted. Returns their number.
    pub fn drop_those(&mut self, before: impl IntoIterator<Item = RuleSpec>) -> usize {
        let (owned, items, mirror) = (&self.owned, &mut self.items, &self.mirror);
        before.into_iter().filter(|spec| owned.first(*spec).is_none() && drop_one(items, mirror, *spec)).count()
    }
    /// Rules with kalived's protocol number that are not wanted here: of another kalived or keepalived on this host, or of one that was
    /// killed.
    pub fn strangers(&self) -> Vec<RuleSpec> {
        let ours = self.mirror.iter().filter(|(_, (proto, _))| *proto == RULE_PROTO);
        let specs = ours.map(|(spec, _)| RuleSpec { proto: RULE_PROTO, ..*spec });
        specs.filter(|spec| self.owned.first(*spec).is_none() && !self.items.knows(*spec)).collect()
    }

    /// A dump begins.
    pub fn begin_dump(&mut self) {
        self.generation += 1;
    }
    /// A complete dump has ended: what is wanted and not there is added.
    pub fn synced(&mut self, now: Instant, timers: &mut Timers) {
        self.mirror.retain(|_, (_, seen)| *seen == self.generation);
        let (mirror, owned) = (&self.mirror, &self.owned);
        let _ = self.items.compare(|spec, _| there(mirror, owned, spec));
        self.rearm(now, timers);
    }
    /// The kernel has this rule.
    pub fn on_new(&mut self, rule: RuleSpec) {
        if self.mirror.len() < MOST {
            self.mirror.insert(rule.untagged(), (rule.proto, self.generation));
        }
    }
    /// Requests nothing more: another process takes over ([`Reconciler::freeze`]).
    pub fn freeze(&mut self) {
        self.items.freeze();
    }
    /// The kernel has removed this rule.
    pub fn on_deleted(&mut self, now: Instant, rule: RuleSpec, by: Doer, timers: &mut Timers) {
        if self.mirror.remove(&rule.untagged()).is_some() {
            self.items.doubt(now, rule, by);
            self.rearm(now, timers);
        }
    }
    /// `Due::Rules`. Returns lines for the log.
    pub fn on_due(&mut self, now: Instant, timers: &mut Timers) -> Vec<Note> {
        let (mirror, owned) = (&self.mirror, &self.owned);
        let losses = self.items.due(now, |spec, _| there(mirror, owned, spec));
        let notes = losses.iter().filter(|l| l.first).map(|l| text::taken(&self.who(l.owner), &l.key, l.by)).collect();
        for _ in 0..SLICE {
            let Some(spec) = self.owned.pop() else { break };
            let Some((owner, _)) = self.owned.first(spec) else { continue };
            match self.mirror.get(&spec.untagged()) {
                // A rule that a killed daemon left, or another process of kalived; one with another protocol number is the operator's and stays.
                Some((proto, _)) if !self.items.knows(spec) => {
                    self.items.adopt(owner, spec, spec, spec, *proto != spec.proto);
                }
                _ => {
                    self.items.want(owner, spec, spec, false);
                }
            }
        }
        self.rearm(now, timers);
        notes
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
            // The kernel's report may come later, or not at all before reports are subscribed to.
            Outcome::Held { key, .. } => {
                self.mirror.entry(key.untagged()).or_insert((key.proto, self.generation));
                None
            }
            Outcome::Gone { .. } => None,
        }
    }
    /// Emits requests, up to the limit of those under way.
    pub fn pump(&mut self, fx: &mut Effects) {
        self.items.ask(|req, ask| {
            let op = match *ask {
                Ask::Add(rule) => NetOp::RuleAdd(Box::new(rule)),
                Ask::Del(rule) | Ask::Change(rule, _) => NetOp::RuleDel(Box::new(rule)),
            };
            fx.push(Effect::Net(NetFx::Change { req, op }));
        });
    }
    fn rearm(&self, now: Instant, timers: &mut Timers) {
        let next = self.owned.has_next().then_some(now + NEXT_TURN);
        timers.follow(Due::Rules, crate::time::earliest(next, self.items.next_due()));
    }
}

fn there(mirror: &Mirror, owned: &Owned<RuleSpec, bool>, spec: RuleSpec) -> Vec<RuleSpec> {
    let no_track = owned.first(spec).is_some_and(|(_, no_track)| *no_track);
    if no_track || mirror.contains_key(&spec.untagged()) { vec![spec] } else { Vec::new() }
}

fn drop_one(items: &mut Reconciler<RuleSpec, RuleSpec>, mirror: &Mirror, spec: RuleSpec) -> bool {
    let ours = mirror.get(&spec.untagged()).is_some_and(|(proto, _)| *proto == spec.proto);
    ours && items.remove(spec, spec)
}
