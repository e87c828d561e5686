//! The table that marks packets to the members of a `virtual_server_group` (`nftables_ipvs`).
//!
//! Read first: `owned.rs`, `lvs/marks.rs`. It follows the services of the kernel's IPVS table: what a configuration's groups are is marked
//! when all of it was read, and nothing is marked when kalived has ended and removed its services.

use super::owned::{Owned, Turn};
use super::text::{self, Words};
use super::{MARKING, cut};
use crate::config::model::Config;
use crate::effect::Effects;
use crate::event::FilterEv;
use crate::note::Note;
use crate::time::Instant;
use crate::timers::{Due, Timers};
use crate::wire::netlink::nft::{COMMENT_MAX, Marks, NAME_MAX, Ruleset};
use std::sync::Arc;

/// The comment of the table, and its name where the configured one is another program's.
const OURS: &str = "kalived_ipvs";

const WORDS: Words = Words {
    setting: "nftables_ipvs",
    keyword: "nftables_ipvs",
    loss: "virtual servers with a group of addresses receive no packets",
};

/// What the configuration says of the table, without what is marked.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Settings {
    /// Names that the table may have, the preferred one first.
    pub names: [String; 2],
    /// The comment that marks the table.
    pub comment: String,
    /// `nftables_ipvs_priority`: priority of the chain in its hook.
    pub priority: i32,
    /// `nftables_counters`: the rules count packets and bytes.
    pub counters: bool,
}

/// The settings of a configuration.
pub fn settings(config: &Config) -> Settings {
    let more = &config.global.more;
    let filter = super::settings(config).names();
    let first = cut(more.nftables_ipvs.as_deref().unwrap_or(MARKING), NAME_MAX).to_owned();
    let (second, comment) = match &config.root.instance {
        Some(i) => (format!("{OURS}_{i}"), format!("{OURS} {i}")),
        None => (OURS.to_owned(), OURS.to_owned()),
    };
    let second = cut(&second, NAME_MAX).to_owned();
    // Both settings may name one table; each of ours is replaced as a whole.
    let first = if filter.contains(&first) { second.clone() } else { first };
    let comment = cut(&comment, COMMENT_MAX).to_owned();
    Settings {
        names: [first, second],
        comment,
        priority: more.nftables_ipvs_priority,
        counters: more.nftables_counters,
    }
}

/// The table of packet marks: its settings, the wanted marks, and the state of the table in the kernel.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Marking {
    settings: Settings,
    wanted: Arc<Marks>,
    owned: Owned<9>,
    // The previous process had the table.
    inherited: bool,
}

impl Marking {
    /// The previous process had the table: it stays until a configuration was read.
    pub fn inherit(&mut self) {
        self.inherited = true;
    }

    /// Packets that are to be marked from now on.
    pub fn want(&mut self, settings: Settings, marks: Arc<Marks>, timers: &mut Timers) {
        let inherited = core::mem::take(&mut self.inherited);
        if self.owned.is_closed() {
            self.owned.set_names(settings.names.clone(), settings.comment.clone());
        }
        self.settings = settings;
        self.wanted = marks;
        self.owned.reopen();
        if inherited && self.wanted.is_empty() {
            self.owned.clear();
        }
        self.refresh(timers);
    }

    /// The end: nothing is marked any more.
    pub fn release(&mut self, timers: &mut Timers) {
        self.wanted = Arc::default();
        self.refresh(timers);
    }

    /// Whether nothing is to be waited for.
    pub fn idle(&self) -> bool {
        self.owned.idle()
    }
    /// The sizes of its collections, for a test that no entry is left behind.
    pub fn sizes(&self) -> impl Iterator<Item = usize> {
        self.owned.sizes().into_iter().chain([self.wanted.len()])
    }

    /// Handles an event from nf_tables; returns lines for the log.
    pub fn on_event(&mut self, now: Instant, event: &FilterEv, timers: &mut Timers) -> Vec<Note> {
        let mut notes = Vec::new();
        if let Some(Turn::InForce) = self.owned.on_event(now, event, &WORDS, &mut notes) {
            notes.push(text::marking(self.owned.name(), self.wanted.len()));
        }
        self.refresh(timers);
        notes
    }

    /// [`Due::Marking`]: retries a failed request and sets the next time.
    pub fn on_due(&mut self, now: Instant, timers: &mut Timers, fx: &mut Effects) {
        self.owned.on_due(now, fx);
        self.refresh(timers);
    }

    /// Requests what is to be requested of the kernel.
    pub fn pump(&mut self, fx: &mut Effects) {
        self.owned.pump(fx);
    }

    fn refresh(&mut self, timers: &mut Timers) {
        let rules = (!self.wanted.is_empty()).then(|| Ruleset {
            priority: self.settings.priority,
            counters: self.settings.counters,
            marks: self.wanted.clone(),
            ..Ruleset::default()
        });
        self.owned.want(rules);
        timers.follow(Due::Marking, self.owned.next_due());
    }
}
