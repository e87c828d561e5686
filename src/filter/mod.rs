//! The filter: a table of nf_tables that drops packets to and from the addresses of virtual routers that do not accept them (`no_accept`,
//! strict mode).
//!
//! Read first: `wire/netlink/nft.rs` (the rules), `owned.rs`. `marking.rs` has the table of `nftables_ipvs`. The table here contains every
//! such address of the configuration, also while this router is Backup: a Backup has no address that a packet could be delivered to, and a
//! takeover, which has to be quick, changes nothing in the firewall, where another program may hold the kernel's lock for a second. An
//! address is added only when the table that has it is in force ([`Filter::awaits`]), and leaves the table when it is gone.
//!
//! Where the kernel has no nf_tables, or refuses the table, that is reported and virtual routers run without it, as keepalived's do.
//! Without the filter a restriction is missing; a virtual router that waited for it would end the service, on all hosts of that kind.

pub mod marking;
pub mod owned;
pub mod text;

use crate::config::model::Config;
use crate::effect::Effects;
use crate::event::FilterEv;
use crate::note::Note;
use crate::time::{Duration, Instant, earliest};
use crate::timers::{Due, Timers};
use crate::wire::netlink::nft::{COMMENT_MAX, NAME_MAX, Ruleset};
use core::net::IpAddr;
use owned::{Owned, Turn};
use std::collections::BTreeSet;
use text::Words;

/// How long additions of addresses wait for the table. Another program that loads a large ruleset keeps the kernel busy for less.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// Name of the table without `nftables`: keepalived's.
pub const TABLE: &str = "keepalived";
/// The comment of the table, and its name where [`TABLE`] is another program's.
const OURS: &str = "kalived";
/// Name of the table that marks packets without a name in `nftables_ipvs`: keepalived's.
pub const MARKING: &str = "keepalived_ipvs";

const WORDS: Words = Words { setting: "no_accept", keyword: "nftables", loss: "the addresses accept packets" };

/// What the configuration says of the table, without the addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Settings {
    /// `nftables`: name of the table.
    pub table: Option<Box<str>>,
    /// `nftables_priority`: priority of the chains in their hooks.
    pub priority: i32,
    /// `nftables_counters`: the rules count packets and bytes.
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

/// The filter of the virtual addresses: its settings, the wanted ruleset, and the state of the table in the kernel.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Filter {
    settings: Settings,
    // As the configuration says; during a reload, as both configurations say.
    wanted: BTreeSet<(IpAddr, String)>,
    owned: Owned<8>,
    // In force, as the kernel confirmed it.
    force: BTreeSet<(IpAddr, String)>,
    // Additions of addresses that wait, and how long.
    awaited: BTreeSet<IpAddr>,
    patience: Option<Instant>,
    // What is to remain when the addresses that are being removed are gone.
    target: Option<BTreeSet<(IpAddr, String)>>,
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
        if self.owned.is_closed() {
            self.settings = settings;
            self.owned.set_names(self.settings.names(), self.settings.comment());
        } else {
            (self.settings.priority, self.settings.counters) = (settings.priority, settings.counters);
        }
        self.wanted = addresses;
        self.target = None;
        self.owned.reopen();
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
        let same = self.target.is_none() && self.wanted == addresses && !self.owned.is_without();
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
        self.owned.clear();
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
        self.owned.idle()
    }

    /// The sizes of its collections, for a test that no entry is left behind.
    pub fn sizes(&self) -> impl Iterator<Item = usize> {
        self.owned.sizes().into_iter().chain([self.wanted.len(), self.awaited.len()])
    }

    /// Handles an event from nf_tables; returns lines for the log.
    pub fn on_event(&mut self, now: Instant, event: &FilterEv, timers: &mut Timers) -> Vec<Note> {
        let mut notes = Vec::new();
        match self.owned.on_event(now, event, &WORDS, &mut notes) {
            Some(Turn::InForce) => {
                if let Some(rules) = self.owned.in_force() {
                    self.force.clone_from(&rules.addresses);
                }
                let waiting = self.awaited.len();
                let there: BTreeSet<IpAddr> = self.force.iter().map(|(a, _)| *a).collect();
                self.awaited.retain(|a| !there.contains(a));
                self.admit |= self.awaited.len() < waiting;
                self.patience.take_if(|_| self.awaited.is_empty());
            }
            Some(Turn::Gone) => self.force.clear(),
            Some(Turn::Refused) => self.let_in(),
            Some(Turn::Without) => {
                self.force.clear();
                self.let_in();
            }
            None => {}
        }
        self.refresh();
        self.rearm(timers);
        notes
    }

    /// [`Due::Filter`]: retries a failed request; once it has waited long enough, the addresses are added without the filter.
    pub fn on_due(&mut self, now: Instant, timers: &mut Timers, fx: &mut Effects) {
        if self.patience.is_some_and(|at| at <= now) {
            fx.note(text::slow(self.owned.name()));
            self.let_in();
        }
        if self.owned.on_due(now, fx) {
            self.force.clear();
            self.gate(now);
        }
        self.refresh();
        self.rearm(timers);
    }

    /// Requests what is to be requested of the kernel.
    pub fn pump(&mut self, fx: &mut Effects) {
        self.owned.pump(fx);
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

    // Passes what is wanted to the table.
    fn refresh(&mut self) {
        let rules = (!self.wanted.is_empty()).then(|| Ruleset {
            priority: self.settings.priority,
            counters: self.settings.counters,
            addresses: self.wanted.clone(),
            ..Ruleset::default()
        });
        self.owned.want(rules);
    }

    fn rearm(&mut self, timers: &mut Timers) {
        timers.follow(Due::Filter, earliest(self.owned.next_due(), self.patience));
    }
}
