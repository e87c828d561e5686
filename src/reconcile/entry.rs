//! One item: what is wanted, what the kernel has, and the request under way.
//!
//! Read first: `mod.rs`.

use super::{Ask, FIRST_RETRY, Item, LONGEST_RETRY, MAYBE, PEACE};
use crate::event::Doer;
use crate::time::Instant;

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(from = "Flat<V>", into = "Flat<V>")]
#[serde(bound(
    serialize = "V: serde::Serialize, V::Owner: serde::Serialize",
    deserialize = "V: serde::Deserialize<'de>, V::Owner: serde::Deserialize<'de>"
))]
pub(super) struct Entry<V: Item> {
    // The wanted value; the value in the kernel when no owner wants the item.
    pub(super) value: V,
    // The owner; None: the item is to be deleted.
    pub(super) owner: Option<V::Owner>,
    // The lane of its requests: that of the owner, or of the last one.
    pub(super) lane: Option<V::Owner>,
    // The value in the kernel, as far as known.
    pub(super) held: Option<V>,
    // The item existed before and belongs to the operator: never deleted.
    pub(super) theirs: bool,
    // The deletion failed so often that [`Reconciler::idle`] does not wait for it.
    pub(super) stuck: bool,
    // What few entries have at a time; in a box, because there may be tens of thousands of entries.
    pub(super) more: Option<Box<More<V>>>,
}

#[derive(Clone, Debug)]
pub(super) struct More<V: Item> {
    // The request in flight.
    pub(super) asked: Option<Ask<V>>,
    // The values of additions and changes whose answers were lost: they may be in the kernel as well. When the item is given up they are
    // deleted to be sure; after a reload no owner may be left that would find them among the left-overs.
    pub(super) maybe: Vec<V>,
    pub(super) failures: u32,
    pub(super) last_failure: Option<Instant>,
    // In `later`: the next try, and the next check of the mirror.
    pub(super) retry: Option<Instant>,
    pub(super) look: Option<Instant>,
    // Who caused the reported deletion that is checked.
    pub(super) by: Doer,
}

impl<V: Item> Default for More<V> {
    fn default() -> Self {
        More { asked: None, maybe: Vec::new(), failures: 0, last_failure: None, retry: None, look: None, by: None }
    }
}

impl<V: Item> More<V> {
    pub(super) fn is_empty(&self) -> bool {
        self.asked.is_none()
            && self.maybe.is_empty()
            && self.last_failure.is_none()
            && self.retry.is_none()
            && self.look.is_none()
    }
}

// An entry in a recording.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename = "Entry")]
#[serde(bound(
    serialize = "V: serde::Serialize, V::Owner: serde::Serialize",
    deserialize = "V: serde::Deserialize<'de>, V::Owner: serde::Deserialize<'de>"
))]
struct Flat<V: Item> {
    value: V,
    owner: Option<V::Owner>,
    lane: Option<V::Owner>,
    held: Option<V>,
    theirs: bool,
    asked: Option<Ask<V>>,
    stuck: bool,
    maybe: Vec<V>,
    failures: u32,
    last_failure: Option<Instant>,
    retry: Option<Instant>,
    look: Option<Instant>,
    #[serde(default)]
    by: Doer,
}

impl<V: Item> From<Flat<V>> for Entry<V> {
    fn from(f: Flat<V>) -> Self {
        let Flat { value, owner, lane, held, theirs, asked, stuck, maybe, failures, last_failure, retry, look, by } = f;
        let more = More { asked, maybe, failures, last_failure, retry, look, by };
        Entry { value, owner, lane, held, theirs, stuck, more: (!more.is_empty()).then(|| Box::new(more)) }
    }
}

impl<V: Item> From<Entry<V>> for Flat<V> {
    fn from(e: Entry<V>) -> Self {
        let Entry { value, owner, lane, held, theirs, stuck, more } = e;
        let More { asked, maybe, failures, last_failure, retry, look, by } = more.map(|m| *m).unwrap_or_default();
        Flat { value, owner, lane, held, theirs, asked, stuck, maybe, failures, last_failure, retry, look, by }
    }
}

impl<V: Item> Entry<V> {
    pub(super) fn new(value: V, owner: Option<V::Owner>, held: Option<V>, theirs: bool) -> Entry<V> {
        Entry { value, owner, lane: owner, held, theirs, stuck: false, more: None }
    }
    pub(super) fn more(&mut self) -> &mut More<V> {
        self.more.get_or_insert_default()
    }
    pub(super) fn asked(&self) -> Option<&Ask<V>> {
        self.more.as_ref()?.asked.as_ref()
    }
    pub(super) fn maybe(&self) -> &[V] {
        self.more.as_ref().map_or(&[], |m| &m.maybe)
    }
    pub(super) fn retry(&self) -> Option<Instant> {
        self.more.as_ref()?.retry
    }
    pub(super) fn look(&self) -> Option<Instant> {
        self.more.as_ref()?.look
    }
    pub(super) fn failures(&self) -> u32 {
        self.more.as_ref().map_or(0, |m| m.failures)
    }
    pub(super) fn in_peace(&self, now: Instant) -> bool {
        self.more.as_ref().and_then(|m| m.last_failure).is_none_or(|t| now.since(t) > PEACE)
    }
    pub(super) fn backoff(&mut self, now: Instant) -> Instant {
        let peace = self.in_peace(now);
        let more = self.more();
        if peace {
            more.failures = 0;
        }
        more.last_failure = Some(now);
        let wait = FIRST_RETRY * 2u32.saturating_pow(more.failures.min(10));
        more.failures = more.failures.saturating_add(1);
        now + wait.min(LONGEST_RETRY)
    }
    // The request that is due now.
    pub(super) fn next(&self) -> Option<Ask<V>> {
        if self.asked().is_some() || self.theirs {
            return None;
        }
        let mut all = self.held.iter().chain(self.maybe());
        if self.owner.is_none() {
            return all.next().map(|v| Ask::Del(v.clone()));
        }
        match all.find(|v| **v != self.value) {
            Some(other) if V::IN_PLACE => Some(Ask::Change(other.clone(), self.value.clone())),
            // A value replaces another that may be in the kernel; one that is in the kernel is deleted first.
            Some(other) if self.held.as_ref() == Some(other) => Some(Ask::Del(other.clone())),
            _ if self.held.is_none() => Some(Ask::Add(self.value.clone())),
            _ => None,
        }
    }
    // Neither wanted, nor in the kernel (or not ours), nor in a request.
    pub(super) fn is_over(&self) -> bool {
        self.owner.is_none()
            && self.asked().is_none()
            && (self.theirs || self.held.is_none() && self.maybe().is_empty())
    }
    // Ours, and no owner wants it any more.
    pub(super) fn is_going(&self) -> bool {
        self.owner.is_none() && !self.theirs
    }
    pub(super) fn now_there(&mut self, value: V) {
        if let Some(more) = &mut self.more {
            more.maybe.retain(|v| V::IN_PLACE && *v != value);
        }
        self.held = Some(value);
    }
    pub(super) fn now_gone(&mut self, value: &V) {
        if let Some(more) = &mut self.more {
            more.maybe.retain(|v| V::IN_PLACE && v != value);
        }
        self.held.take_if(|v| !V::IN_PLACE || v == value);
    }
    pub(super) fn may_be_there(&mut self, value: V) {
        if self.held.as_ref() != Some(&value) && !self.maybe().contains(&value) {
            let maybe = &mut self.more().maybe;
            if maybe.len() >= MAYBE {
                maybe.remove(0);
            }
            maybe.push(value);
        }
    }
}
