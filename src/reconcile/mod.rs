//! The *wanted* state of the kernel and the *held* state; the difference becomes requests. Start, reload, a lost netlink message and a
//! deletion by another process are all handled in this way.
//!
//! Read first: `lanes.rs` (the order of owners). An item has a key, by which the kernel distinguishes it from others, and a value, which
//! contains its other properties. Users: `vrrp/address.rs`, `routes/`. They translate a request into a netlink message, define the
//! meaning of the kernel's errors for their kind ([`Item`]) and keep a mirror of what the kernel reports; this module keeps no mirror.
//!
//! A report of a deletion alone causes no request, because our own deletions are reported as well. [`Reconciler::doubt`] records it, and
//! [`Reconciler::due`] checks the mirror a moment later. A missing item is added again at once the first time, then with a growing pause.
//!
//! The cost of an event grows with the items it names, never with all items; only [`Reconciler::compare`], after a complete dump,
//! examines all. The number of items limits everything here.

mod entry;
mod lanes;
#[cfg(test)]
mod tests;

use crate::event::{Doer, Errno, ReqId};
use crate::time::{Duration, Instant};
use core::ops::{Bound, RangeBounds};
use entry::Entry;
use lanes::Lanes;
use std::collections::{BTreeMap, BTreeSet};

/// Requests in flight at one time. They run on a kernel worker, not on the loop. Enough that the worker, which takes 10 µs and more for
/// each, does not wait for the loop; and few, because requests in flight are no longer shared fairly among owners.
pub const WINDOW: usize = 64;
/// How long after a report of a deletion the mirror is checked.
pub const DOUBT: Duration = Duration::from_millis(5);
/// First wait before another try; each failure in a row doubles it.
const FIRST_RETRY: Duration = Duration::from_millis(10);
/// Longest wait before another try, for an item that cannot be added or that another process keeps deleting.
pub const LONGEST_RETRY: Duration = Duration::from_secs(1);
/// After so long without a loss, the next loss is a first one again.
pub const PEACE: Duration = Duration::from_secs(10);
/// After so many tries to delete an item that the kernel refuses to delete, [`Reconciler::idle`] does not wait for it any more. The
/// deletion is still tried: an address left on a Backup answers for the Master.
const DELETE_TRIES: u32 = 5;
/// Values of one item that may be in the kernel. After a lost answer a dump follows, which resolves the doubt: more than one is rare.
const MAYBE: usize = 4;

/// The value of an item, and what its kind requires of the reconciler.
pub trait Item: Clone + PartialEq {
    /// The owner of items of this kind.
    type Owner: Copy + Ord;
    /// Distinguishes the requests of one kind from those of another: the upper eight bits of their [`ReqId`].
    const SERIES: u8;
    /// Whether a value is replaced by one request ([`Ask::Change`]). If not, the item is deleted and added again.
    const IN_PLACE: bool;
    /// Whether this answer to an addition means that the item exists.
    fn is_there(errno: Errno) -> bool;
    /// Whether this answer to a deletion means that the item does not exist.
    fn is_gone(errno: Errno) -> bool;
}

/// A request that the user of the reconciler sends to the kernel.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Ask<V> {
    /// Add the item with this value.
    Add(V),
    /// Delete the item, which has this value.
    Del(V),
    /// Delete the first and add the second, in this order; the answer is that of the addition.
    Change(V, V),
}

/// The meaning of an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome<K, O> {
    /// The item is in the kernel, as requested.
    Held {
        /// The owner that wants the item.
        owner: O,
        /// Key of the item.
        key: K,
    },
    /// The item could not be added; the addition is tried again. Reported once in a row of failures.
    Refused {
        /// The owner that wants the item.
        owner: O,
        /// Key of the item.
        key: K,
        /// The answer of the kernel.
        errno: Errno,
    },
    /// A deletion is done.
    Gone {
        /// Key of the item.
        key: K,
    },
    /// The item could not be deleted; the deletion is tried again. Reported once.
    Stuck {
        /// Key of the item.
        key: K,
        /// The answer of the kernel.
        errno: Errno,
    },
}

/// An item that another process deleted.
#[derive(Debug, PartialEq, Eq)]
pub struct Loss<K, O> {
    /// The owner that wants the item.
    pub owner: O,
    /// Key of the item.
    pub key: K,
    /// The first loss after [`PEACE`], which is logged. The others are counted.
    pub first: bool,
    /// The process that deleted it, as far as is known.
    pub by: Doer,
}

/// The wanted and the held items of one kind, and the requests under way.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
#[serde(bound(
    serialize = "K: serde::Serialize, V: serde::Serialize, V::Owner: serde::Serialize",
    deserialize = "K: serde::Deserialize<'de> + Ord, V: serde::Deserialize<'de>, V::Owner: serde::Deserialize<'de>"
))]
pub struct Reconciler<K, V: Item> {
    entries: BTreeMap<K, Entry<V>>,
    by_owner: BTreeMap<V::Owner, BTreeSet<K>>,
    // Ours without an owner; and of these, the ones that [`Reconciler::idle`] does not wait for.
    going: BTreeSet<K>,
    stuck: BTreeSet<K>,
    queue: Lanes<K, Option<V::Owner>>,
    inflight: BTreeMap<ReqId, K>,
    // Later tries and checks; at most two for an item.
    later: BTreeSet<(Instant, K)>,
    last_req: u64,
    // During a reload nothing is deleted: an item that one owner gives up may be wanted by the next one in the file.
    holding: bool,
    // Deletions that wait for the end of the reload.
    aside: BTreeSet<K>,
    // Another process is to be in charge: nothing is added any more.
    #[serde(default)]
    frozen: bool,
    // Additions that somebody else has to allow.
    #[serde(default = "BTreeSet::new")]
    barred: BTreeSet<K>,
    // Goes up whenever an item is wanted by somebody else than before, or is no longer known.
    changes: u64,
    restored: u64,
}

impl<K, V: Item> Default for Reconciler<K, V> {
    fn default() -> Self {
        Reconciler {
            entries: BTreeMap::new(),
            by_owner: BTreeMap::new(),
            going: BTreeSet::new(),
            stuck: BTreeSet::new(),
            queue: Lanes::default(),
            inflight: BTreeMap::new(),
            later: BTreeSet::new(),
            last_req: 0,
            holding: false,
            aside: BTreeSet::new(),
            frozen: false,
            barred: BTreeSet::new(),
            changes: 0,
            restored: 0,
        }
    }
}

impl<K: Copy + Ord, V: Item> Reconciler<K, V> {
    /// `owner` wants `key` with this value, in place of any previous owner. `theirs`: the item exists already and is the operator's.
    /// Returns whether it is held already, with no request in flight.
    pub fn want(&mut self, owner: V::Owner, key: K, value: V, theirs: bool) -> bool {
        let e = self.entries.entry(key).or_insert_with(|| {
            let held = theirs.then(|| value.clone());
            Entry::new(value.clone(), None, held, theirs)
        });
        let before = e.owner.replace(owner);
        e.lane = Some(owner);
        e.stuck = false;
        e.theirs &= theirs;
        e.value = value;
        let held = e.held.is_some() && e.asked().is_none();
        self.owned(key, before, Some(owner));
        self.touched(key);
        held
    }
    /// As [`Reconciler::want`] for an item that exists in the kernel as `there`, whichever process added it.
    pub fn adopt(&mut self, owner: V::Owner, key: K, value: V, there: V, theirs: bool) {
        self.entries.entry(key).or_insert_with(|| Entry::new(value.clone(), None, Some(there), theirs));
        self.want(owner, key, value, theirs);
    }
    /// An item of ours that is in the kernel without an owner: a left-over. `false`: it is known here, and not a left-over.
    pub fn remove(&mut self, key: K, value: V) -> bool {
        if self.entries.contains_key(&key) {
            return false;
        }
        self.entries.insert(key, Entry::new(value.clone(), None, Some(value), false));
        self.changes += 1;
        self.touched(key);
        true
    }
    /// `owner` gives up all its items.
    pub fn release(&mut self, owner: V::Owner) {
        self.keep_only(owner, &BTreeSet::new());
    }
    /// `owner` gives up all its items except these; returns the others.
    pub fn keep_only(&mut self, owner: V::Owner, keep: &BTreeSet<K>) -> Vec<K> {
        let all = self.by_owner.get(&owner);
        let keys: Vec<K> = all.map(|all| all.difference(keep).copied().collect()).unwrap_or_default();
        for &key in &keys {
            self.give_up(key);
        }
        keys
    }
    /// The item has no owner any more.
    pub fn give_up(&mut self, key: K) {
        let Some(e) = self.entries.get_mut(&key) else { return };
        let before = e.owner.take();
        self.owned(key, before, None);
        self.touched(key);
    }
    /// The kernel cannot have these items any more, because their interface was removed. The owners request them again when the interface
    /// is back.
    pub fn vanished(&mut self, keys: impl RangeBounds<K>) {
        let keys: Vec<K> = self.entries.range(keys).map(|(k, _)| *k).collect();
        for key in keys {
            if let Some(e) = self.entries.get_mut(&key) {
                (e.held, e.theirs) = (None, false);
                if let Some(more) = &mut e.more {
                    more.maybe.clear();
                }
                let before = e.owner.take();
                self.owned(key, before, None);
                self.touched(key);
            }
        }
    }
    /// The kernel has deleted this item without a report: it is added again if it is wanted. Nothing is under this key, so that a value
    /// whose answer was lost is not there either.
    pub fn absent(&mut self, key: K) {
        if let Some(e) = self.entries.get_mut(&key).filter(|e| e.asked().is_none()) {
            e.held = None;
            if let Some(more) = &mut e.more {
                more.maybe.clear();
            }
            self.touched(key);
        }
    }

    /// A read of the kernel found this value under a known key; `None`: none. Returns whether it differs from the known value. For kinds
    /// whose changes the kernel does not report; while a request is in flight its answer counts.
    pub fn saw(&mut self, key: K, is: Option<V>) -> bool {
        let Some(e) = self.entries.get_mut(&key).filter(|e| e.asked().is_none()) else { return false };
        let news = e.held.is_some() && e.held != is;
        if let Some(more) = &mut e.more {
            more.maybe.clear();
        }
        e.held = is;
        self.restored += u64::from(news);
        self.touched(key);
        news
    }
    /// The item of a request that was not answered yet.
    pub fn asked_about(&self, req: ReqId) -> Option<K> {
        self.inflight.get(&req).copied()
    }

    /// From now on nothing is deleted, until [`Reconciler::let_go`].
    pub fn hold(&mut self) {
        self.holding = true;
    }
    /// Items that still have no owner may be deleted.
    pub fn let_go(&mut self) {
        self.holding = false;
        for key in core::mem::take(&mut self.aside) {
            self.enqueue(key);
        }
    }

    /// From now on nothing is added, and what another process deletes is no loss: that process is the successor of this one. What is given
    /// up is still deleted.
    pub fn freeze(&mut self) {
        self.frozen = true;
    }

    /// The kernel reported a deletion; `by`: who did it.
    pub fn doubt(&mut self, now: Instant, key: K, by: Doer) {
        if self.entries.get(&key).is_some_and(|e| e.held.is_some() || e.asked().is_some()) {
            self.look_at(now + DOUBT, key);
            if let Some(more) = self.entries.get_mut(&key).and_then(|e| e.more.as_mut()) {
                more.by = by;
            }
        }
    }
    /// When [`Reconciler::due`] has something to do.
    pub fn next_due(&self) -> Option<Instant> {
        self.later.first().map(|(at, _)| *at)
    }
    /// Runs tries and checks that are due. `there`: the values of ours that the mirror has under a key that is held, or wanted, with this
    /// value. Returns the items that were missing.
    pub fn due(&mut self, now: Instant, there: impl Fn(K, &V) -> Vec<V>) -> Vec<Loss<K, V::Owner>> {
        let mut losses = Vec::new();
        while let Some((at, key)) = self.later.first().copied().filter(|(at, _)| *at <= now) {
            self.later.remove(&(at, key));
            let Some(e) = self.entries.get_mut(&key) else { continue };
            let (mut look, mut by) = (false, None);
            if let Some(more) = &mut e.more {
                more.retry = more.retry.filter(|t| *t != at);
                look = more.look.take_if(|t| *t == at).is_some();
                by = more.by;
            }
            if e.asked().is_some() {
                // The answer determines what is held; the mirror is checked after it.
                if look {
                    self.look_at(now + DOUBT, key);
                }
            } else if let Some(held) = &e.held
                && !there(key, held).contains(held)
            {
                e.held = None;
                e.theirs = false;
                if let Some(owner) = e.owner.filter(|_| !self.frozen) {
                    // A first loss is repaired now; repeated losses are repaired with a growing pause.
                    let first = e.in_peace(now);
                    let again = e.backoff(now);
                    self.restored += 1;
                    losses.push(Loss { owner, key, first, by });
                    if !first {
                        self.try_at(again, key);
                        continue;
                    }
                }
            } else if e.retry().is_some() && e.held.is_none() {
                // A check of an item that is not in the kernel and waits for its next try.
                continue;
            }
            self.touched(key);
        }
        losses
    }
    /// A change may make refused items possible: all that wait for another try are tried now.
    pub fn retry_now(&mut self) {
        let waiting: Vec<K> = self.later.iter().map(|(_, key)| *key).collect();
        for key in waiting {
            if let Some(at) = self.entries.get_mut(&key).and_then(|e| e.more.as_mut()?.retry.take()) {
                self.forget_later(at, key);
                self.enqueue(key);
            }
        }
    }
    /// After a complete dump: adds again what is wanted and missing. `there` as for [`Reconciler::due`]. Returns the items that are in
    /// the kernel although their addition counted as failed (the answer was lost): counted as absent, they would not be deleted when they
    /// are given up.
    pub fn compare(&mut self, there: impl Fn(K, &V) -> Vec<V>) -> Vec<(V::Owner, K)> {
        let mut found = Vec::new();
        let keys: Vec<K> = self.entries.keys().copied().collect();
        for key in keys {
            if let Some(e) = self.entries.get_mut(&key).filter(|e| e.asked().is_none()) {
                let mut is = there(key, e.held.as_ref().or(e.maybe().last()).unwrap_or(&e.value));
                e.theirs &= !is.is_empty();
                let best = is.iter().position(|v| *v == e.value).unwrap_or(0);
                let held = (!is.is_empty()).then(|| is.swap_remove(best));
                if let Some(owner) = e.owner.filter(|_| e.held.is_none() && held.is_some()) {
                    found.push((owner, key));
                }
                is.truncate(MAYBE);
                e.held = held;
                if !is.is_empty() || e.more.is_some() {
                    e.more().maybe = is;
                }
            }
            self.touched(key);
        }
        found
    }

    /// The kernel answered a request.
    pub fn answer(&mut self, now: Instant, req: ReqId, result: Result<(), Errno>) -> Option<Outcome<K, V::Owner>> {
        let key = self.inflight.remove(&req)?;
        let e = self.entries.get_mut(&key)?;
        let asked = e.more.as_mut()?.asked.take()?;
        let mut outcome = None;
        let lost = result.is_err_and(|e| matches!(e, Errno::ENOBUFS | Errno::ETIMEDOUT));
        match (asked, result) {
            (Ask::Del(_), Err(errno)) if !V::is_gone(errno) && !e.is_over() => {
                let at = e.backoff(now);
                if e.failures() >= DELETE_TRIES && !core::mem::replace(&mut e.stuck, true) {
                    outcome = Some(Outcome::Stuck { key, errno });
                }
                self.index(key);
                self.try_at(at, key);
                return outcome;
            }
            (Ask::Del(v), _) => {
                e.now_gone(&v);
                outcome = Some(Outcome::Gone { key });
            }
            (Ask::Add(v) | Ask::Change(_, v), Err(errno)) if !V::is_there(errno) => {
                let first = e.failures() == 0 || e.in_peace(now);
                let at = e.backoff(now);
                if lost {
                    e.may_be_there(v);
                }
                if let Some(owner) = e.owner {
                    self.try_at(at, key);
                    return first.then_some(Outcome::Refused { owner, key, errno });
                }
            }
            (Ask::Add(v), _) => {
                e.now_there(v);
                outcome = e.owner.map(|owner| Outcome::Held { owner, key });
            }
            (Ask::Change(old, new), _) => {
                e.now_gone(&old);
                e.now_there(new);
                outcome = e.owner.map(|owner| Outcome::Held { owner, key });
            }
        }
        self.touched(key);
        outcome
    }
    /// Emits requests up to [`WINDOW`].
    pub fn ask(&mut self, mut emit: impl FnMut(ReqId, &Ask<V>)) {
        self.ask_about(|req, _, ask| emit(req, ask));
    }
    /// As [`Reconciler::ask`], for values that do not say which item they are of.
    pub fn ask_about(&mut self, emit: impl FnMut(ReqId, K, &Ask<V>)) {
        self.ask_allowed(|_, _| true, emit);
    }
    /// As [`Reconciler::ask`], but items that are not `allowed` are not added until [`Reconciler::admit`] asks again.
    pub fn ask_allowed(&mut self, allowed: impl Fn(K, &V) -> bool, mut emit: impl FnMut(ReqId, K, &Ask<V>)) {
        while self.inflight.len() < WINDOW
            && let Some(key) = self.queue.pop()
        {
            let Some(e) = self.entries.get_mut(&key) else { continue };
            let Some(ask) = e.next() else { continue };
            if self.frozen && !matches!(ask, Ask::Del(_)) {
                continue;
            }
            if self.holding && matches!(ask, Ask::Del(_)) {
                self.aside.insert(key);
                continue;
            }
            if let Ask::Add(v) = &ask
                && !allowed(key, v)
            {
                self.barred.insert(key);
                continue;
            }
            if let Some(at) = e.more.as_mut().and_then(|m| m.retry.take()) {
                self.later.remove(&(at, key));
                if e.look() == Some(at) {
                    self.later.insert((at, key));
                }
            }
            self.last_req += 1;
            let req = ReqId(u64::from(V::SERIES) << 56 | self.last_req);
            self.inflight.insert(req, key);
            emit(req, key, e.more().asked.insert(ask));
        }
    }

    /// What was not allowed may be allowed now.
    pub fn admit(&mut self) {
        for key in core::mem::take(&mut self.barred) {
            self.enqueue(key);
        }
    }

    /// What is wanted, by whom, and whether it is held; without what is the operator's.
    pub fn own(&self) -> impl Iterator<Item = (V::Owner, K, bool)> {
        let own = self.entries.iter().filter(|(_, e)| !e.theirs);
        own.filter_map(|(key, e)| Some((e.owner?, *key, e.held.is_some())))
    }
    /// Items of ours without an owner that may still be in the kernel: if this process dies, the next one has to delete them.
    pub fn going(&self) -> impl Iterator<Item = K> {
        self.going.iter().copied()
    }
    /// A number that changes whenever [`Reconciler::own`] or [`Reconciler::going`] has other items.
    pub fn changes(&self) -> u64 {
        self.changes
    }
    /// The number of items that were added again after another process deleted them.
    pub fn restored(&self) -> u64 {
        self.restored
    }
    /// Whether no request is in flight and no item waits for its deletion, except those that the kernel refuses to delete.
    pub fn idle(&self) -> bool {
        self.inflight.is_empty() && self.going.len() == self.stuck.len()
    }
    /// Whether no request is in flight or queued; later tries do not count.
    pub fn quiet(&self) -> bool {
        self.inflight.is_empty() && self.queue.len() == 0 && self.barred.is_empty()
    }
    /// Items held for `owner`.
    pub fn held(&self, owner: V::Owner) -> impl Iterator<Item = K> {
        let all = self.by_owner.get(&owner).into_iter().flatten().copied();
        all.filter(|key| self.entries.get(key).is_some_and(|e| e.held.is_some()))
    }
    /// Items that `owner` wants.
    pub fn of(&self, owner: V::Owner) -> impl Iterator<Item = K> {
        self.by_owner.get(&owner).into_iter().flatten().copied()
    }
    /// Those of them from there on.
    pub fn of_from(&self, owner: V::Owner, from: Bound<K>) -> impl Iterator<Item = K> {
        self.by_owner.get(&owner).into_iter().flat_map(move |all| all.range((from, Bound::Unbounded))).copied()
    }
    /// How many items `owner` wants.
    pub fn wanted(&self, owner: V::Owner) -> usize {
        self.by_owner.get(&owner).map_or(0, BTreeSet::len)
    }
    /// The value of an item as it is there.
    pub fn held_as(&self, key: K) -> Option<&V> {
        self.entries.get(&key)?.held.as_ref()
    }
    /// Whether an owner wants the item with this key.
    pub fn is_wanted(&self, key: K) -> bool {
        self.entries.get(&key).is_some_and(|e| e.owner.is_some())
    }
    /// Whether a request for the item is in flight.
    pub fn is_busy(&self, key: K) -> bool {
        self.entries.get(&key).is_some_and(|e| e.asked().is_some())
    }
    /// Whether there is an entry for the item.
    pub fn knows(&self, key: K) -> bool {
        self.entries.contains_key(&key)
    }
    /// The value of a known item: the wanted one, or the one in the kernel.
    pub fn value(&self, key: K) -> Option<&V> {
        self.entries.get(&key).map(|e| &e.value)
    }
    /// Whether no item is known.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
    /// Keys in a range.
    pub fn keys(&self, range: impl RangeBounds<K>) -> impl Iterator<Item = K> {
        self.entries.range(range).map(|(key, _)| *key)
    }
    /// The numbers of entries, and of items queued, in flight, waiting, owned, going and set aside: for tests that no item is left
    /// behind.
    pub fn sizes(&self) -> [usize; 7] {
        let owned = self.by_owner.values().map(BTreeSet::len).sum();
        let (going, aside) = (self.going.len() + self.stuck.len(), self.aside.len() + self.barred.len());
        [self.entries.len(), self.queue.len(), self.inflight.len(), self.later.len(), owned, going, aside]
    }

    // Called after every change of an entry: removes it when it is over, updates the indexes, queues the next request.
    fn touched(&mut self, key: K) {
        if self.entries.get(&key).is_some_and(Entry::is_over) {
            if let Some(e) = self.entries.remove(&key) {
                for at in [e.retry(), e.look()].into_iter().flatten() {
                    self.later.remove(&(at, key));
                }
            }
            self.changes += 1;
            self.aside.remove(&key);
            self.barred.remove(&key);
        }
        // One search for all steps: this runs several times for each address of a takeover.
        let mut e = self.entries.get_mut(&key);
        if let Some(e) = &mut e {
            e.more.take_if(|more| more.is_empty());
        }
        let e = e.map(|e| &*e);
        let going = e.is_some_and(Entry::is_going);
        let stuck = going && e.is_some_and(|e| e.stuck);
        let lane = e.filter(|e| e.next().is_some()).map(|e| e.lane);
        put(&mut self.going, key, going);
        put(&mut self.stuck, key, stuck);
        if let Some(lane) = lane {
            self.queue.push(lane, key);
        }
    }
    fn index(&mut self, key: K) {
        let e = self.entries.get(&key).filter(|e| e.is_going());
        put(&mut self.going, key, e.is_some());
        put(&mut self.stuck, key, e.is_some_and(|e| e.stuck));
    }
    fn owned(&mut self, key: K, before: Option<V::Owner>, after: Option<V::Owner>) {
        if before == after {
            return;
        }
        self.changes += 1;
        if let Some(o) = before
            && let Some(keys) = self.by_owner.get_mut(&o)
        {
            keys.remove(&key);
            if keys.is_empty() {
                self.by_owner.remove(&o);
            }
        }
        if let Some(o) = after {
            self.by_owner.entry(o).or_default().insert(key);
        }
    }
    fn enqueue(&mut self, key: K) {
        if let Some(e) = self.entries.get(&key).filter(|e| e.next().is_some()) {
            self.queue.push(e.lane, key);
        }
    }
    fn try_at(&mut self, at: Instant, key: K) {
        if let Some(before) = self.entries.get_mut(&key).and_then(|e| e.more().retry.replace(at)) {
            self.forget_later(before, key);
        }
        self.later.insert((at, key));
    }
    fn look_at(&mut self, at: Instant, key: K) {
        // The earliest of several times: a flood of reports does not postpone the check.
        if let Some(e) = self.entries.get_mut(&key).filter(|e| e.look().is_none()) {
            e.more().look = Some(at);
            self.later.insert((at, key));
        }
    }
    // `at` is no longer one of the two times of an entry, unless it is the other one.
    fn forget_later(&mut self, at: Instant, key: K) {
        if !self.entries.get(&key).is_some_and(|e| e.retry() == Some(at) || e.look() == Some(at)) {
            self.later.remove(&(at, key));
        }
    }
}

fn put<K: Ord>(set: &mut BTreeSet<K>, key: K, is: bool) {
    if is {
        set.insert(key);
    } else {
        set.remove(&key);
    }
}
