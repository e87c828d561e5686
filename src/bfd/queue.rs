//! The times of all sessions, in a queue of their own: a timer of an advert takes no longer with a thousand sessions. The timer table has
//! one timer for all of them, [`Due::Bfd`](crate::timers::Due::Bfd).

use crate::effect::BfdPort;
use crate::id::BfdKey;
use crate::time::Instant;
use std::collections::{BTreeMap, BTreeSet};

/// The purpose of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub(super) enum Tag {
    /// The session's own: a packet is due, or the peer is lost.
    Session(BfdKey),
    /// A session that never came up counts as down.
    Verdict(BfdKey),
    /// Its sending socket is tried again.
    Socket(BfdKey),
    /// A receiving socket is tried again.
    Port(BfdPort),
}

/// See the module. At most one time for each tag.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Queue {
    by_tag: BTreeMap<Tag, Instant>,
    all: BTreeSet<(Instant, Tag)>,
}

impl Queue {
    /// Sets or replaces a time; `None` removes it.
    pub(super) fn set(&mut self, tag: Tag, at: Option<Instant>) {
        let old = match at {
            Some(at) => self.by_tag.insert(tag, at),
            None => self.by_tag.remove(&tag),
        };
        if old == at {
            return;
        }
        if let Some(old) = old {
            self.all.remove(&(old, tag));
        }
        if let Some(at) = at {
            self.all.insert((at, tag));
        }
    }
    pub(super) fn get(&self, tag: Tag) -> Option<Instant> {
        self.by_tag.get(&tag).copied()
    }
    pub(super) fn first(&self) -> Option<Instant> {
        self.all.first().map(|(at, _)| *at)
    }
    /// Takes the earliest that is due.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Tag> {
        let (_, tag) = self.all.first().copied().filter(|(at, _)| *at <= now)?;
        self.set(tag, None);
        Some(tag)
    }
    pub(super) fn clear(&mut self) {
        (self.by_tag, self.all) = (BTreeMap::new(), BTreeSet::new());
    }
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }
}
