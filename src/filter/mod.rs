//! The filter: a table of nf_tables that drops packets to and from the addresses of virtual routers that do not accept them (`no_accept`,
//! strict mode).
//!
//! Read first: `wire/netlink/nft.rs` (the rules), `reconcile/`. The table contains every such address of the configuration, also
//! while this router is Backup: a Backup has no address that a packet could be delivered to, and a takeover, which has to be quick, changes
//! nothing in the firewall, where another program may hold the kernel's lock for a second. An address is added only when the
//! table that has it is in force ([`Filter::awaits`]), and leaves the table when it is gone.
//!
//! The whole table is one item of a [`Reconciler`]: each change is one batch that replaces it. A comment marks kalived's table. A table of
//! the same name without that comment is another program's: it is left alone, and another name is used.
//!
//! Where the kernel has no nf_tables, or refuses the table, that is reported and virtual routers run without it, as keepalived's do.
//! Without the filter a restriction is missing; a virtual router that waited for it would end the service, on all hosts of that kind.

pub mod text;

use crate::config::model::Config;
use crate::effect::{Effect, Effects, FilterFx, FilterOp};
use crate::event::{Errno, FilterEv, ReqId};
use crate::note::Note;
use crate::reconcile::{Ask, Item, Outcome, Reconciler};
use crate::time::{Duration, Instant, earliest};
use crate::timers::{Due, Timers};
use crate::wire::netlink::nft::{COMMENT_MAX, NAME_MAX, Ruleset, Table};
use core::net::IpAddr;
use std::collections::BTreeSet;
use std::sync::Arc;

/// How long additions of addresses wait for the table. Another program that loads a large ruleset keeps the kernel busy for less.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// Name of the table without `nftables`: keepalived's.
pub const TABLE: &str = "keepalived";
/// The comment of the table, and its name where [`TABLE`] is another program's.
const OURS: &str = "kalived";
/// Time before the tables are read again after an interrupted read.
const AGAIN: Duration = Duration::from_millis(100);

impl Item for Arc<Ruleset> {
    type Owner = ();
    const SERIES: u8 = 8;
    const IN_PLACE: bool = true;
    // Never: the table that is there was made by another program just now.
    fn is_there(_: Errno) -> bool {
        false
    }
    fn is_gone(errno: Errno) -> bool {
        errno == Errno::ENOENT
    }
}

/// What the configuration says of the table, without the addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Settings {
    /// `nftables`: name of the table.
    pub table: Option<Box<str>>,
    /// `nftables_priority`.
    pub priority: i32,
    /// `nftables_counters`.
    pub counters: bool,
    /// `instance`: several kalived on one host have tables of their own.
    pub instance: Option<Box<str>>,
}

/// The settings of a configuration.
pub fn settings(config: &Config) -> Settings {
    let more = &config.global.more;
    Settings {
        table: more.nftables.clone(),
        priority: more.nftables_priority,
        counters: more.nftables_counters,
        instance: config.root.instance.clone(),
    }
}

impl Settings {
    /// Names that the table may have, the preferred one first.
    pub fn names(&self) -> [String; 2] {
        let first = cut(self.table.as_deref().unwrap_or(TABLE), NAME_MAX);
        let second = match &self.instance {
            Some(i) => format!("{OURS}_{i}"),
            None => OURS.to_owned(),
        };
        [first.to_owned(), cut(&second, NAME_MAX).to_owned()]
    }
    /// The comment that marks the table.
    pub fn comment(&self) -> String {
        match &self.instance {
            Some(i) => cut(&format!("{OURS} {i}"), COMMENT_MAX).to_owned(),
            None => OURS.to_owned(),
        }
    }
}

fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|n| text.is_char_boundary(*n)).unwrap_or(0);
    &text[..end]
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
enum Stage {
    /// No socket was requested yet.
    #[default]
    Closed,
    /// The socket is being opened, or the tables are being read.
    Asking,
    /// The tables of the kernel are known.
    Known,
    /// There is no nf_tables, or no name is free: until the next configuration.
    Without,
}

/// See the module.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Filter {
    stage: Stage,
    settings: Settings,
    // As the configuration says; during a reload, as both configurations say.
    wanted: BTreeSet<(IpAddr, String)>,
    // The name in use, and kalived's tables that have the other one.
    name: String,
    stale: Vec<String>,
    items: Reconciler<(), Arc<Ruleset>>,
    // As far as is known, kalived's table is there.
    present: bool,
    // In force, as the kernel confirmed it.
    force: BTreeSet<(IpAddr, String)>,
    // Additions of addresses that wait, and how long.
    awaited: BTreeSet<IpAddr>,
    patience: Option<Instant>,
    // What is to remain when the addresses that are being removed are gone.
    target: Option<BTreeSet<(IpAddr, String)>>,
    again: Option<Instant>,
    // What another process left is to be removed.
    clear: bool,
    // The log has a line that the table is not in force.
    complained: bool,
    admit: bool,
}

impl Filter {
    /// Packets to and from these addresses are to be dropped; of link-local ones on that interface.
    pub fn want(
        &mut self,
        now: Instant,
        settings: Settings,
        addresses: BTreeSet<(IpAddr, String)>,
        timers: &mut Timers,
    ) {
        // The names hold for the life of the process.
        if self.stage == Stage::Closed {
            self.settings = settings;
        } else {
            (self.settings.priority, self.settings.counters) = (settings.priority, settings.counters);
        }
        self.wanted = addresses;
        self.target = None;
        if self.stage == Stage::Without {
            self.stage = Stage::Closed;
        }
        self.gate(now);
        self.refresh();
        self.rearm(timers);
    }

    /// As [`Filter::want`], but an address that is filtered now stays filtered until [`Filter::settle`] finds it gone.
    pub fn change(
        &mut self,
        now: Instant,
        settings: Settings,
        addresses: BTreeSet<(IpAddr, String)>,
        timers: &mut Timers,
    ) {
        let same = self.target.is_none() && self.wanted == addresses && self.stage != Stage::Without;
        if same && (self.settings.priority, self.settings.counters) == (settings.priority, settings.counters) {
            return;
        }
        let both: BTreeSet<_> = self.wanted.union(&addresses).cloned().collect();
        let target = (both != addresses).then_some(addresses);
        self.want(now, settings, both, timers);
        self.target = target;
    }

    /// Ends [`Filter::change`] when the old addresses are gone. `there`: addresses that no configuration lists and that the kernel may still
    /// have.
    pub fn settle(&mut self, there: impl Iterator<Item = IpAddr>, timers: &mut Timers) {
        let Some(target) = &self.target else { return };
        let surplus: BTreeSet<IpAddr> = self.wanted.difference(target).map(|(a, _)| *a).collect();
        let stays: BTreeSet<IpAddr> = target.iter().map(|(a, _)| *a).collect();
        if !there.into_iter().any(|a| surplus.contains(&a) && !stays.contains(&a)) {
            self.wanted = self.target.take().unwrap_or_default();
            self.refresh();
            self.rearm(timers);
        }
    }

    /// Whether [`Filter::settle`] has something to wait for.
    pub fn settles(&self) -> bool {
        self.target.is_some()
    }

    /// Nothing is to be filtered, and a table that an earlier process left is to be removed.
    pub fn clear(&mut self, now: Instant, settings: Settings, timers: &mut Timers) {
        self.want(now, settings, BTreeSet::new(), timers);
        self.clear = self.stage != Stage::Known;
    }

    /// The end: no address is left.
    pub fn release(&mut self, timers: &mut Timers) {
        if !self.wanted.is_empty() {
            self.wanted.clear();
            self.target = None;
            self.let_in();
            self.refresh();
            self.rearm(timers);
        }
    }

    /// Whether the addition of this address waits for the table.
    pub fn awaits(&self, addr: &IpAddr) -> bool {
        self.awaited.contains(addr)
    }

    /// Whether additions that waited may be asked for now: once.
    pub fn admits(&mut self) -> bool {
        core::mem::take(&mut self.admit)
    }

    /// Addresses of the table.
    pub fn wanted(&self) -> &BTreeSet<(IpAddr, String)> {
        &self.wanted
    }

    /// Whether this address is in the table that is in force.
    pub fn has(&self, addr: &IpAddr) -> bool {
        self.force.iter().any(|(a, _)| a == addr)
    }

    /// Whether nothing is to be waited for.
    pub fn idle(&self) -> bool {
        match self.stage {
            Stage::Asking => !self.clear && self.wanted.is_empty() && !self.present,
            Stage::Closed => !self.clear,
            Stage::Known | Stage::Without => self.items.idle(),
        }
    }

    /// How much is kept.
    pub fn sizes(&self) -> impl Iterator<Item = usize> {
        self.items.sizes().into_iter().chain([self.wanted.len(), self.awaited.len()])
    }

    /// From the kernel.
    pub fn on_event(&mut self, now: Instant, event: FilterEv, timers: &mut Timers) -> Vec<Note> {
        let mut notes = Vec::new();
        match event {
            FilterEv::Opened(Ok(())) => {}
            FilterEv::Opened(Err(errno)) => self.without(text::missing(errno), &mut notes),
            FilterEv::Tables { tables, complete: true } => self.on_tables(&tables, &mut notes),
            FilterEv::Tables { complete: false, .. } => self.again = Some(now + AGAIN),
            FilterEv::Deleted { table } => {
                if table == self.name && self.present {
                    self.present = false;
                    self.items.doubt(now, ());
                }
            }
            FilterEv::Lost => {
                // Answers were lost, and perhaps the report that the table is gone.
                if self.stage == Stage::Known {
                    self.again = Some(now);
                }
            }
            FilterEv::Reply { req, result } => self.on_reply(now, req, result, &mut notes),
        }
        self.refresh();
        self.rearm(timers);
        notes
    }

    fn on_tables(&mut self, tables: &[Table], notes: &mut Vec<Note>) {
        if self.stage == Stage::Known {
            // Read again because something was lost.
            self.present = tables.iter().any(|t| t.name == self.name && self.is_ours(t));
            let there = self.present;
            self.items.compare(|(), v| if there { vec![v.clone()] } else { Vec::new() });
            return;
        }
        let names = self.settings.names();
        let strange = |name: &String| tables.iter().any(|t| t.name == *name && !self.is_ours(t));
        let left = |name: &String| tables.iter().any(|t| t.name == *name) && !strange(name);
        let Some(name) = names.iter().find(|n| !strange(n)).cloned() else {
            let note = text::no_name(&names);
            return self.without(note, notes);
        };
        if name != names[0] && !self.wanted.is_empty() {
            notes.push(text::strange(&names[0], &name));
        }
        let stale: Vec<String> = names.iter().filter(|n| **n != name && left(n)).cloned().collect();
        self.present = left(&name) || !stale.is_empty();
        self.stale = stale;
        self.name = name;
        self.stage = Stage::Known;
        self.clear = false;
        if self.present && self.wanted.is_empty() {
            notes.push(text::left_over(&self.name));
            let there = Ruleset { table: self.name.clone(), ..Ruleset::default() };
            self.items.remove((), Arc::new(there));
        } else if self.present {
            notes.push(text::replaced(&self.name));
        }
    }

    fn is_ours(&self, table: &Table) -> bool {
        table.comment.as_ref() == Some(&self.settings.comment())
    }

    fn on_reply(&mut self, now: Instant, req: ReqId, result: Result<(), Errno>, notes: &mut Vec<Note>) {
        if self.items.asked_about(req).is_none() {
            return;
        }
        let outcome = self.items.answer(now, req, result);
        match (outcome, result) {
            // It is tried again, and may be in force.
            (_, Err(Errno::ENOBUFS | Errno::ETIMEDOUT)) => {}
            (_, Err(errno)) if self.items.is_wanted(()) => self.refused(errno, notes),
            (Some(Outcome::Held { .. }), _) => {
                self.present = true;
                self.complained = false;
                self.stale.clear();
                if let Some(rules) = self.items.held_as(()) {
                    self.force.clone_from(&rules.addresses);
                }
                let waiting = self.awaited.len();
                let there: BTreeSet<IpAddr> = self.force.iter().map(|(a, _)| *a).collect();
                self.awaited.retain(|a| !there.contains(a));
                self.admit |= self.awaited.len() < waiting;
                self.patience.take_if(|_| self.awaited.is_empty());
            }
            (Some(Outcome::Gone { .. }), _) => {
                self.present = false;
                self.force.clear();
            }
            (Some(Outcome::Stuck { errno, .. }), _) => notes.push(text::stuck(&self.name, errno)),
            (Some(Outcome::Refused { .. }) | None, _) => {}
        }
    }

    fn refused(&mut self, errno: Errno, notes: &mut Vec<Note>) {
        match errno {
            Errno::EOPNOTSUPP | Errno::EPERM | Errno::EPROTONOSUPPORT => {
                return self.without(text::missing(errno), notes);
            }
            // Another program has made a table of this name just now.
            Errno::EEXIST => {
                self.items.give_up(());
                self.stage = Stage::Closed;
            }
            _ => {}
        }
        // Reported once, until the table is in force.
        if !core::mem::replace(&mut self.complained, true) {
            notes.push(text::refused(&self.name, errno));
        }
        self.let_in();
    }

    /// `Due::Filter`.
    pub fn on_due(&mut self, now: Instant, timers: &mut Timers, fx: &mut Effects) {
        if self.again.take_if(|at| *at <= now).is_some() && self.stage != Stage::Without {
            fx.push(Effect::Filter(FilterFx::Tables));
        }
        if self.patience.is_some_and(|at| at <= now) {
            fx.note(text::slow(&self.name));
            self.let_in();
        }
        let there = self.present;
        for loss in self.items.due(now, |(), v| if there { vec![v.clone()] } else { Vec::new() }) {
            self.force.clear();
            if loss.first {
                fx.note(text::taken(&self.name));
            }
            self.gate(now);
        }
        self.refresh();
        self.rearm(timers);
    }

    /// Requests what is to be requested of the kernel.
    pub fn pump(&mut self, fx: &mut Effects) {
        if self.stage == Stage::Closed && (self.clear || !self.wanted.is_empty()) {
            self.stage = Stage::Asking;
            fx.push(Effect::Filter(FilterFx::Open));
            fx.push(Effect::Filter(FilterFx::Tables));
        }
        let (name, stale) = (&self.name, &self.stale);
        self.items.ask(|req, ask| {
            let op = match ask {
                Ask::Add(rules) | Ask::Change(_, rules) => FilterOp::Put(rules.clone(), stale.clone()),
                Ask::Del(_) => FilterOp::Remove([core::slice::from_ref(name), stale].concat()),
            };
            fx.push(Effect::Filter(FilterFx::Change { req, op }));
        });
    }

    // There will be no table.
    fn without(&mut self, note: Note, notes: &mut Vec<Note>) {
        if !self.wanted.is_empty() {
            notes.push(note);
        }
        self.stage = Stage::Without;
        self.clear = false;
        self.present = false;
        self.force.clear();
        self.items = Reconciler::default();
        self.let_in();
    }

    // Admits the additions that wait.
    fn let_in(&mut self) {
        self.patience = None;
        self.admit |= !self.awaited.is_empty();
        self.awaited.clear();
    }

    // Additions of addresses that are not in the table in force wait for it, at most [`PATIENCE`].
    fn gate(&mut self, now: Instant) {
        let awaited: BTreeSet<IpAddr> = self.wanted.difference(&self.force).map(|(a, _)| *a).collect();
        self.admit |= self.awaited.iter().any(|a| !awaited.contains(a));
        self.patience = (!awaited.is_empty()).then(|| now + PATIENCE);
        self.awaited = awaited;
    }

    // Passes what is wanted to the reconciler.
    fn refresh(&mut self) {
        if self.stage == Stage::Known {
            let rules = Ruleset {
                table: self.name.clone(),
                comment: self.settings.comment(),
                priority: self.settings.priority,
                counters: self.settings.counters,
                addresses: self.wanted.clone(),
            };
            if self.wanted.is_empty() {
                self.items.release(());
            } else if self.items.value(()).is_none_or(|v| **v != rules) || !self.items.is_wanted(()) {
                self.items.want((), (), Arc::new(rules), false);
            }
        }
    }

    fn rearm(&mut self, timers: &mut Timers) {
        match earliest(self.items.next_due(), earliest(self.patience, self.again)) {
            Some(at) if timers.get(Due::Filter) == Some(at) => {}
            Some(at) => timers.set(Due::Filter, at),
            None => drop(timers.stop(Due::Filter)),
        }
    }
}
