//! A table of nf_tables that is kalived's: a ruleset that is put in force as a whole, put back where another program removed it, and
//! removed.
//!
//! Read first: `mod.rs`, `reconcile/`. The whole table is one item of a [`Reconciler`]: each change is one batch that replaces it. A
//! comment marks kalived's table. A table of the same name without that comment is another program's: it is left alone, and another name
//! is used.
//!
//! Several tables share one socket: the answers about one are known by the series of its requests, and each reads the list of tables.

use super::text::{self, Words};
use crate::effect::{Effect, Effects, FilterFx, FilterOp};
use crate::event::{Errno, FilterEv, ReqId};
use crate::note::Note;
use crate::reconcile::{Ask, Item, Outcome, Reconciler};
use crate::time::{Duration, Instant, earliest};
use crate::wire::netlink::nft::{Ruleset, Table};
use std::sync::Arc;

/// Time before the tables are read again after an interrupted read.
const AGAIN: Duration = Duration::from_millis(100);

/// A ruleset whose requests are of this series.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Whole<const SERIES: u8>(pub Arc<Ruleset>);

impl<const SERIES: u8> Item for Whole<SERIES> {
    type Owner = ();
    const SERIES: u8 = SERIES;
    const IN_PLACE: bool = true;
    // Never: the table that is there was made by another program just now.
    fn is_there(_: Errno) -> bool {
        false
    }
    fn is_gone(errno: Errno) -> bool {
        errno == Errno::ENOENT
    }
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

/// What an event came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The table that was requested last is in force.
    InForce,
    /// It is not there any more.
    Gone,
    /// The kernel refused it; it is tried again.
    Refused,
    /// There will be none, until the next configuration.
    Without,
}

/// One table in the kernel, found and recognised by its comment. `SERIES` keeps the request numbers of two tables apart.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Owned<const SERIES: u8> {
    stage: Stage,
    // The names it may have, the preferred one first, and its comment.
    names: [String; 2],
    comment: String,
    // The name in use, and kalived's tables that have the other one.
    name: String,
    stale: Vec<String>,
    items: Reconciler<(), Whole<SERIES>>,
    // As far as is known, kalived's table is there.
    present: bool,
    // It is wanted.
    wanted: bool,
    again: Option<Instant>,
    // What another process left is to be removed.
    clear: bool,
    // The log has a line that the table is not in force.
    complained: bool,
}

impl<const SERIES: u8> Owned<SERIES> {
    /// Whether no socket was requested: the names may be set.
    pub fn is_closed(&self) -> bool {
        self.stage == Stage::Closed
    }
    /// Its names, the preferred one first, and its comment: for the life of the process, once the socket is open.
    pub fn set_names(&mut self, names: [String; 2], comment: String) {
        (self.names, self.comment) = (names, comment);
    }
    /// Another configuration is there: what was impossible is tried again.
    pub fn reopen(&mut self) {
        if self.stage == Stage::Without {
            self.stage = Stage::Closed;
        }
    }
    /// Whether there will be none, until the next configuration.
    pub fn is_without(&self) -> bool {
        self.stage == Stage::Without
    }
    /// A table that an earlier process left is to be removed where none is wanted.
    pub fn clear(&mut self) {
        self.clear = self.stage != Stage::Known;
    }
    /// The name of the table in the kernel.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// The ruleset in force.
    pub fn in_force(&self) -> Option<&Ruleset> {
        self.items.held_as(()).map(|v| &*v.0)
    }
    /// The sizes of its collections, for a test that no entry is left behind.
    pub fn sizes(&self) -> [usize; 7] {
        self.items.sizes()
    }

    /// Whether nothing is to be waited for.
    pub fn idle(&self) -> bool {
        match self.stage {
            Stage::Asking => !self.clear && !self.wanted && !self.present,
            Stage::Closed => !self.clear,
            Stage::Known | Stage::Without => self.items.idle(),
        }
    }

    /// What is wanted: the rules of the table, whose name and comment are filled in; `None`: no table.
    pub fn want(&mut self, rules: Option<Ruleset>) {
        self.wanted = rules.is_some();
        if self.stage != Stage::Known {
            return;
        }
        let Some(rules) = rules else { return self.items.release(()) };
        let rules = Ruleset { table: self.name.clone(), comment: self.comment.clone(), ..rules };
        if self.items.value(()).is_none_or(|v| *v.0 != rules) || !self.items.is_wanted(()) {
            self.items.want((), (), Whole(Arc::new(rules)), false);
        }
    }

    /// From the kernel. [`Owned::want`] is called after it.
    pub fn on_event(&mut self, now: Instant, event: &FilterEv, words: &Words, notes: &mut Vec<Note>) -> Option<Turn> {
        match event {
            FilterEv::Opened(Err(errno)) if self.stage == Stage::Asking => {
                return Some(self.without(text::missing(words, *errno), notes));
            }
            FilterEv::Opened(_) => {}
            // Another table asked for them, and this one does not need them.
            FilterEv::Tables { .. } if matches!(self.stage, Stage::Closed | Stage::Without) => {}
            FilterEv::Tables { tables, complete: true } => return self.on_tables(tables, words, notes),
            FilterEv::Tables { complete: false, .. } => self.again = Some(now + AGAIN),
            FilterEv::Deleted { table } => {
                if *table == self.name && self.present {
                    self.present = false;
                    self.items.doubt(now, (), None);
                }
            }
            FilterEv::Lost => {
                // Answers were lost, and perhaps the report that the table is gone.
                if self.stage == Stage::Known {
                    self.again = Some(now);
                }
            }
            FilterEv::Reply { req, result } => return self.on_reply(now, *req, *result, words, notes),
        }
        None
    }

    fn on_tables(&mut self, tables: &[Table], words: &Words, notes: &mut Vec<Note>) -> Option<Turn> {
        if self.stage == Stage::Known {
            // Read again because something was lost.
            self.present = tables.iter().any(|t| t.name == self.name && self.is_ours(t));
            let there = self.present;
            self.items.compare(|(), v| if there { vec![v.clone()] } else { Vec::new() });
            return None;
        }
        let names = self.names.clone();
        let strange = |name: &String| tables.iter().any(|t| t.name == *name && !self.is_ours(t));
        let left = |name: &String| tables.iter().any(|t| t.name == *name) && !strange(name);
        let Some(name) = names.iter().find(|n| !strange(n)).cloned() else {
            return Some(self.without(text::no_name(words, &names), notes));
        };
        if name != names[0] && self.wanted {
            notes.push(text::strange(&names[0], &name));
        }
        let stale: Vec<String> = names.iter().filter(|n| **n != name && left(n)).cloned().collect();
        self.present = left(&name) || !stale.is_empty();
        self.stale = stale;
        self.name = name;
        self.stage = Stage::Known;
        self.clear = false;
        if self.present && !self.wanted {
            notes.push(text::left_over(&self.name));
            let there = Ruleset { table: self.name.clone(), ..Ruleset::default() };
            self.items.remove((), Whole(Arc::new(there)));
        } else if self.present {
            notes.push(text::replaced(&self.name));
        }
        None
    }

    fn is_ours(&self, table: &Table) -> bool {
        table.comment.as_ref() == Some(&self.comment)
    }

    fn on_reply(
        &mut self,
        now: Instant,
        req: ReqId,
        result: Result<(), Errno>,
        words: &Words,
        notes: &mut Vec<Note>,
    ) -> Option<Turn> {
        self.items.asked_about(req)?;
        let outcome = self.items.answer(now, req, result);
        match (outcome, result) {
            // It is tried again, and may be in force.
            (_, Err(Errno::ENOBUFS | Errno::ETIMEDOUT)) => None,
            (_, Err(errno)) if self.items.is_wanted(()) => Some(self.refused(errno, words, notes)),
            (Some(Outcome::Held { .. }), _) => {
                self.present = true;
                self.complained = false;
                self.stale.clear();
                Some(Turn::InForce)
            }
            (Some(Outcome::Gone { .. }), _) => {
                self.present = false;
                Some(Turn::Gone)
            }
            (Some(Outcome::Stuck { errno, .. }), _) => {
                notes.push(text::stuck(&self.name, errno));
                None
            }
            (Some(Outcome::Refused { .. }) | None, _) => None,
        }
    }

    fn refused(&mut self, errno: Errno, words: &Words, notes: &mut Vec<Note>) -> Turn {
        match errno {
            Errno::EOPNOTSUPP | Errno::EPERM | Errno::EPROTONOSUPPORT => {
                return self.without(text::missing(words, errno), notes);
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
            notes.push(text::refused(words, &self.name, errno));
        }
        Turn::Refused
    }

    // There will be no table.
    fn without(&mut self, note: Note, notes: &mut Vec<Note>) -> Turn {
        if self.wanted {
            notes.push(note);
        }
        self.stage = Stage::Without;
        self.clear = false;
        self.present = false;
        self.items = Reconciler::default();
        Turn::Without
    }

    /// When [`Owned::on_due`] has something to do.
    pub fn next_due(&self) -> Option<Instant> {
        earliest(self.items.next_due(), self.again)
    }

    /// What is due. True: another program removed the table, or a part of it. [`Owned::want`] is called after it.
    pub fn on_due(&mut self, now: Instant, fx: &mut Effects) -> bool {
        if self.again.take_if(|at| *at <= now).is_some() && self.stage != Stage::Without {
            fx.push(Effect::Filter(FilterFx::Tables));
        }
        let there = self.present;
        let losses = self.items.due(now, |(), v| if there { vec![v.clone()] } else { Vec::new() });
        for _ in losses.iter().filter(|loss| loss.first) {
            fx.note(text::taken(&self.name));
        }
        !losses.is_empty()
    }

    /// Requests what is to be requested of the kernel.
    pub fn pump(&mut self, fx: &mut Effects) {
        if self.stage == Stage::Closed && (self.clear || self.wanted) {
            self.stage = Stage::Asking;
            fx.push(Effect::Filter(FilterFx::Open));
            fx.push(Effect::Filter(FilterFx::Tables));
        }
        let (name, stale) = (&self.name, &self.stale);
        self.items.ask(|req, ask| {
            let op = match ask {
                Ask::Add(rules) | Ask::Change(_, rules) => FilterOp::Put(rules.0.clone(), stale.clone()),
                Ask::Del(_) => FilterOp::Remove([core::slice::from_ref(name), stale].concat()),
            };
            fx.push(Effect::Filter(FilterFx::Change { req, op }));
        });
    }
}
