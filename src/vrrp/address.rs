//! Virtual addresses as *wanted* and *held*; the difference becomes netlink requests. Start, takeover, release, a lost
//! netlink message and somebody else's `ip addr del` all take this one path.
//!
//! Read first: `effect.rs` (`NetOp`), `links.rs` (what the kernel says). An address is announced only after the kernel
//! confirmed it, so [`Addresses::on_reply`] tells who got what.
//!
//! Deliberately absent: reacting to a single deletion message. Our own deletions are reported too, and replies and
//! notifications come on no common clock; so a deletion of something we hold is looked at again a moment later, against the
//! mirror, and only what is really gone is put back.

use crate::effect::{ADDR_PROTO, AddrSpec, Effect, Effects, NetOp};
use crate::event::{Errno, ReqId};
use crate::id::VrKey;
use crate::links::{AddrId, Links};
use crate::time::{Duration, Instant};
use crate::timers::{Due, Timers};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Requests under way at once. They run on a kernel worker, not on the loop; what bounds them is the socket buffer that takes
/// two answers each, and how soon a release can follow: 256 take the kernel about 2 ms. Enough that the worker never
/// waits for us while 500 VIPs are added.
const WINDOW: usize = 256;
/// How long after a deletion message the mirror is looked at.
const DOUBT: Duration = Duration::from_millis(5);
/// Longest wait before another try, for an address that cannot be added or that somebody keeps taking away.
const LONGEST_RETRY: Duration = Duration::from_secs(1);
/// After so long in peace, the next loss is a first one again.
const PEACE: Duration = Duration::from_secs(10);
/// After so many tries to delete an address that the kernel refuses to delete, nobody waits for it any more. It is still
/// tried: an address left on a Backup answers for the Master.
const DELETE_TRIES: u32 = 5;

#[derive(Debug)]
struct Entry {
    spec: AddrSpec,
    // Who wants it; None: it is to go.
    want: Option<VrKey>,
    held: bool,
    // Was there before us and belongs to the operator (address owner): announced, never deleted.
    foreign: bool,
    busy: bool,
    // Could not be deleted so often that nobody waits for it.
    stuck: bool,
    // The answer to its addition was lost: it may be there. Whoever gives it up has it deleted to be sure; after a reload nobody
    // may be left who would find it among the left-overs.
    doubtful: bool,
    failures: u32,
    last_failure: Option<Instant>,
}

impl Entry {
    // Of an address that the kernel has.
    fn there(spec: AddrSpec, want: Option<VrKey>, foreign: bool) -> Entry {
        Entry {
            spec,
            want,
            held: true,
            foreign,
            busy: false,
            stuck: false,
            doubtful: false,
            failures: 0,
            last_failure: None,
        }
    }
    fn backoff(&mut self, now: Instant) -> Instant {
        if self.last_failure.is_none_or(|t| now.since(t) > PEACE) {
            self.failures = 0;
        }
        self.last_failure = Some(now);
        let wait = Duration::from_millis(10) * 2u32.saturating_pow(self.failures.min(10));
        self.failures += 1;
        now + wait.min(LONGEST_RETRY)
    }
}

/// Outcome of a request that somebody should hear of.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The address is on the interface: announce it.
    Held {
        /// For whom.
        vr: VrKey,
        /// Which.
        id: AddrId,
    },
    /// It could not be added; it is tried again. Reported once in a row of failures.
    Refused {
        /// For whom.
        vr: VrKey,
        /// Which.
        id: AddrId,
        /// Why.
        errno: Errno,
    },
    /// It could not be deleted; it is tried again. Reported once.
    Stuck {
        /// Which.
        id: AddrId,
        /// Why.
        errno: Errno,
    },
}

/// See the module.
#[derive(Debug, Default)]
pub struct Addresses {
    entries: BTreeMap<AddrId, Entry>,
    queue: VecDeque<AddrId>,
    // Queued or not: keeps the queue free of doubles, hence bounded by `entries`.
    queued: BTreeSet<AddrId>,
    inflight: BTreeMap<ReqId, AddrId>,
    later: BTreeSet<(Instant, AddrId)>,
    last_req: u64,
    // Held with these settings, and wanted with others: the kernel can only take it away and add it again.
    outdated: BTreeMap<AddrId, AddrSpec>,
    // While a reload runs nothing is deleted: what one virtual router gives up, the next one in the file may want.
    holding: bool,
    // Deletions that wait for its end.
    aside: BTreeSet<AddrId>,
    // Goes up whenever an address is wanted by somebody else than before, or is no longer known.
    changes: u64,
}

fn id_of(spec: &AddrSpec) -> AddrId {
    (spec.ifindex, spec.addr, spec.prefix)
}

impl Addresses {
    /// `vr` wants this address. Already held: `Some(id)`, announce it at once. `owner`: an address that is there already is the
    /// operator's and stays his.
    pub fn want(&mut self, vr: VrKey, spec: AddrSpec, owner: bool, links: &Links) -> Option<AddrId> {
        let id = id_of(&spec);
        let foreign = owner && links.has(id) && !self.entries.contains_key(&id);
        let e = self.entries.entry(id).or_insert_with(|| Entry {
            spec: spec.clone(),
            want: None,
            held: foreign,
            foreign,
            busy: false,
            stuck: false,
            doubtful: false,
            failures: 0,
            last_failure: None,
        });
        self.changes += u64::from(e.want != Some(vr));
        e.want = Some(vr);
        e.stuck = false;
        // An owner no more: what was the operator's is a virtual address like any other now.
        e.foreign &= owner;
        let before = core::mem::replace(&mut e.spec, spec);
        if e.held && !e.foreign && before != e.spec {
            // What the kernel has is what the first of several changes replaced.
            self.outdated.entry(id).or_insert(before);
            if self.outdated.get(&id) == Some(&e.spec) {
                self.outdated.remove(&id);
            }
        }
        let held = e.held && !e.busy;
        self.enqueue(id);
        held.then_some(id)
    }
    /// As [`Addresses::want`] for a virtual router that was Master in another process: what is there is held, whoever added it. With
    /// `owner`, what does not carry our tag is the operator's.
    pub fn adopt(&mut self, vr: VrKey, spec: AddrSpec, owner: bool, links: &Links) -> Option<AddrId> {
        let id = id_of(&spec);
        match links.addr(id) {
            Some(a) if !self.entries.contains_key(&id) => {
                let foreign = owner && a.proto != ADDR_PROTO;
                self.entries.insert(id, Entry::there(spec, Some(vr), foreign));
                self.changes += 1;
                Some(id)
            }
            _ => self.want(vr, spec, owner, links),
        }
    }
    /// What is wanted, by whom, and whether it is held; without what is the operator's.
    pub fn own(&self) -> impl Iterator<Item = (VrKey, AddrId, bool)> {
        self.entries.iter().filter(|(_, e)| !e.foreign).filter_map(|(id, e)| Some((e.want?, *id, e.held)))
    }
    /// Ours that nobody wants any more and that may still be there: a deletion may never be done if we die before it.
    pub fn going(&self) -> impl Iterator<Item = AddrId> {
        self.entries.iter().filter(|(_, e)| e.want.is_none() && !e.foreign).map(|(id, _)| *id)
    }
    /// Another number whenever [`Addresses::own`] or [`Addresses::going`] has other addresses.
    pub fn changes(&self) -> u64 {
        self.changes
    }
    /// `vr` wants none of its addresses any more.
    pub fn release(&mut self, vr: VrKey) {
        self.keep_only(vr, &BTreeSet::new());
    }
    /// `vr` wants only these of its addresses still; the others.
    pub fn keep_only(&mut self, vr: VrKey, keep: &BTreeSet<AddrId>) -> Vec<AddrId> {
        let gone = self.entries.iter().filter(|(id, e)| e.want == Some(vr) && !keep.contains(*id));
        let ids: Vec<AddrId> = gone.map(|(id, _)| *id).collect();
        self.changes += ids.len() as u64;
        for &id in &ids {
            if let Some(e) = self.entries.get_mut(&id) {
                e.want = None;
                // With a request under way its answer decides, and `held` says what was asked for.
                if !e.busy {
                    e.held |= core::mem::take(&mut e.doubtful);
                }
            }
            self.settle(id);
            self.enqueue(id);
        }
        ids
    }
    /// From now on nothing is deleted, until [`Addresses::let_go`].
    pub fn hold(&mut self) {
        self.holding = true;
    }
    /// What nobody wanted meanwhile may be deleted.
    pub fn let_go(&mut self) {
        self.holding = false;
        for id in core::mem::take(&mut self.aside) {
            self.enqueue(id);
        }
    }
    /// An address that should not be there: a left-over of a killed daemon. `false`: it is known here, and not a left-over.
    pub fn remove(&mut self, spec: AddrSpec) -> bool {
        let id = id_of(&spec);
        if self.entries.contains_key(&id) {
            return false;
        }
        self.entries.insert(id, Entry::there(spec, None, false));
        self.changes += 1;
        self.enqueue(id);
        true
    }
    /// Whether nothing is queued, under way or waiting for another try to delete.
    pub fn idle(&self) -> bool {
        self.inflight.is_empty() && self.entries.values().all(|e| e.want.is_some() || e.foreign || e.stuck)
    }
    /// Addresses held for `vr`.
    pub fn held(&self, vr: VrKey) -> impl Iterator<Item = AddrId> {
        self.entries.iter().filter(move |(_, e)| e.want == Some(vr) && e.held).map(|(id, _)| *id)
    }
    /// How many entries there are, with requests under way and what waits: for tests that nothing is left behind.
    pub fn sizes(&self) -> [usize; 6] {
        let (queue, aside) = (self.queue.len() + self.queued.len(), self.aside.len());
        [self.entries.len(), queue, self.inflight.len(), self.later.len(), self.outdated.len(), aside]
    }
    /// How many addresses `vr` wants.
    pub fn wanted(&self, vr: VrKey) -> usize {
        self.entries.values().filter(|e| e.want == Some(vr)).count()
    }
    /// Whether a request for it is under way.
    pub fn is_busy(&self, id: AddrId) -> bool {
        self.entries.get(&id).is_some_and(|e| e.busy)
    }
    /// Whether anybody wants it.
    pub fn is_wanted(&self, id: AddrId) -> bool {
        self.entries.get(&id).is_some_and(|e| e.want.is_some())
    }

    /// The kernel reported a deletion.
    pub fn on_deleted(&mut self, now: Instant, id: AddrId, timers: &mut Timers) {
        if self.entries.get(&id).is_some_and(|e| e.want.is_some()) {
            self.retry_at(now + DOUBT, id, timers);
        }
    }
    /// The interface is gone and took its addresses along.
    pub fn on_link_gone(&mut self, ifindex: u32) {
        let ids: Vec<AddrId> = self.entries.keys().filter(|id| id.0 == ifindex).copied().collect();
        for id in ids {
            if let Some(e) = self.entries.get_mut(&id) {
                (e.held, e.doubtful) = (false, false);
                // Nothing to add to; whoever wants it asks again when the interface is back.
                e.want = None;
                e.foreign = false;
            }
            self.settle(id);
        }
    }
    /// After a complete dump: puts back what is wanted and not there.
    /// Returns what is there although its addition failed as far as we knew (the answer was lost): announce it. Taking it
    /// for absent would forget it when it is released, and leave it on a Backup.
    pub fn reconcile(&mut self, links: &Links) -> Vec<(VrKey, AddrId)> {
        let mut found = Vec::new();
        let ids: Vec<AddrId> = self.entries.keys().copied().collect();
        for id in ids {
            if let Some(e) = self.entries.get_mut(&id).filter(|e| !e.busy) {
                let there = links.has(id);
                if !there {
                    e.foreign = false;
                } else if let Some(vr) = e.want.filter(|_| !e.held) {
                    found.push((vr, id));
                }
                (e.held, e.doubtful) = (there, false);
            }
            self.settle(id);
            self.enqueue(id);
        }
        found
    }
    /// `Due::AddrRetry`: what was put off until now. Returns what was found missing (taken away by somebody else).
    pub fn on_retry(&mut self, now: Instant, links: &Links, timers: &mut Timers) -> Vec<(VrKey, AddrId)> {
        let mut lost = Vec::new();
        while let Some((at, id)) = self.later.first().copied().filter(|(at, _)| *at <= now) {
            self.later.remove(&(at, id));
            let Some(e) = self.entries.get_mut(&id) else { continue };
            if !e.busy && e.held && !links.has(id) {
                e.held = false;
                e.foreign = false;
                if let Some(vr) = e.want {
                    lost.push((vr, id));
                    // The first loss is mended now; who keeps taking it away meets a growing pause, not a race.
                    if e.last_failure.is_some_and(|t| now.since(t) <= PEACE) {
                        let at = e.backoff(now);
                        self.retry_at(at, id, timers);
                        continue;
                    }
                    e.backoff(now);
                }
            }
            self.settle(id);
            self.enqueue(id);
        }
        self.rearm(timers);
        lost
    }
    /// The kernel answered.
    pub fn on_reply(
        &mut self,
        now: Instant,
        req: ReqId,
        result: Result<(), Errno>,
        timers: &mut Timers,
    ) -> Option<Outcome> {
        let id = self.inflight.remove(&req)?;
        let e = self.entries.get_mut(&id)?;
        e.busy = false;
        let adding = !e.held;
        let mut outcome = None;
        match (adding, result) {
            (true, Ok(()) | Err(Errno::EEXIST)) => {
                (e.held, e.doubtful) = (true, false);
                if let Some(vr) = e.want {
                    outcome = Some(Outcome::Held { vr, id });
                }
            }
            (false, Ok(()) | Err(Errno::EADDRNOTAVAIL | Errno::ENODEV | Errno::ENXIO)) => {
                e.held = false;
                self.outdated.remove(&id);
                self.same_under_another_prefix(id);
            }
            (true, Err(errno)) => {
                let first = e.failures == 0;
                let at = e.backoff(now);
                let lost = matches!(errno, Errno::ENOBUFS | Errno::ETIMEDOUT);
                if let Some(vr) = e.want {
                    e.doubtful |= lost;
                    outcome = first.then_some(Outcome::Refused { vr, id, errno });
                    self.retry_at(at, id, timers);
                    return outcome;
                }
                e.held = lost || core::mem::take(&mut e.doubtful);
            }
            (false, Err(errno)) => {
                let at = e.backoff(now);
                if e.failures >= DELETE_TRIES && !core::mem::replace(&mut e.stuck, true) {
                    outcome = Some(Outcome::Stuck { id, errno });
                }
                self.retry_at(at, id, timers);
                return outcome;
            }
        }
        self.settle(id);
        self.enqueue(id);
        outcome
    }
    /// Emits requests up to the window.
    pub fn pump(&mut self, fx: &mut Effects) {
        while self.inflight.len() < WINDOW
            && let Some(id) = self.queue.pop_front()
        {
            self.queued.remove(&id);
            if !self.wants_work(id) {
                continue;
            }
            let Some(e) = self.entries.get_mut(&id) else { continue };
            if e.held && self.holding {
                self.aside.insert(id);
                continue;
            }
            e.busy = true;
            self.last_req += 1;
            let req = ReqId(self.last_req);
            let op = if e.held {
                NetOp::AddrDel(self.outdated.get(&id).unwrap_or(&e.spec).clone())
            } else {
                self.outdated.remove(&id);
                NetOp::AddrAdd(e.spec.clone())
            };
            self.inflight.insert(req, id);
            fx.push(Effect::Netlink { req, op });
        }
    }

    fn wants_work(&self, id: AddrId) -> bool {
        let wrong = |e: &Entry| e.want.is_some() != e.held || self.outdated.contains_key(&id);
        self.entries.get(&id).is_some_and(|e| !e.busy && !e.foreign && wrong(e))
    }
    fn enqueue(&mut self, id: AddrId) {
        if self.wants_work(id) && self.queued.insert(id) {
            self.queue.push_back(id);
        }
    }
    // An IPv6 address has one prefix length on an interface: adding it with another one as well is accepted and does nothing,
    // and with the one the kernel knows the address is gone.
    fn same_under_another_prefix(&mut self, gone: AddrId) {
        let all = (gone.0, gone.1, 0)..=(gone.0, gone.1, u8::MAX);
        let twins = self.entries.range_mut(all).filter(|(_, e)| gone.1.is_ipv6() && e.want.is_some() && !e.busy);
        let twins: Vec<AddrId> = twins
            .map(|(id, e)| {
                e.held = false;
                *id
            })
            .collect();
        twins.into_iter().for_each(|id| self.enqueue(id));
    }
    // An entry nobody wants and that is not there (or not ours) is forgotten.
    fn settle(&mut self, id: AddrId) {
        if self.entries.get(&id).is_some_and(|e| e.want.is_none() && !e.busy && (!e.held || e.foreign)) {
            self.entries.remove(&id);
            self.changes += 1;
            self.outdated.remove(&id);
            self.aside.remove(&id);
        }
    }
    fn retry_at(&mut self, at: Instant, id: AddrId, timers: &mut Timers) {
        self.later.insert((at, id));
        self.rearm(timers);
    }
    fn rearm(&self, timers: &mut Timers) {
        match self.later.first() {
            Some((at, _)) => timers.set(Due::AddrRetry, *at),
            None => drop(timers.stop(Due::AddrRetry)),
        }
    }
}
