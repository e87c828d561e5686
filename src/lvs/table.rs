//! The comparison of the kernel's IPVS table with the wanted one: services, and the destinations of each.
//!
//! Read first: `reconcile/`, `pool.rs`. The kernel reports no change of this table, so it is read: all services, then the destinations of
//! one service after the other; at the start, when another configuration was read, and every [`AUDIT`]. An entry that is there already is
//! adopted, one that differs is changed in place, one that another program deleted is put back, and one that is not wanted in a service
//! of kalived is deleted. Services of other programs are not touched.
//!
//! Destinations are requested only in a service that exists: the kernel deletes them with their service. A turn handles at most `SLICE`
//! of them.

use super::pace::Pace;
use super::text;
use crate::effect::{Effect, Effects, LvsFx, LvsOp};
use crate::event::{Errno, ReqId};
use crate::id::{Arena, ServiceMark, SvcKey, VsKey};
use crate::note::Note;
use crate::reconcile::{Ask, Item, Outcome, Reconciler};
use crate::time::{Duration, Instant, earliest};
use crate::wire::netlink::ipvs::{Act, Destination, DestinationKey, Message, Service, ServiceKey};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::ops::Bound;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Time between two reads of the whole table.
pub const AUDIT: Duration = Duration::from_secs(30);
/// Requests of a turn after which the next ones wait.
const MANY: usize = 16;
/// Services or destinations looked at in a turn: some microseconds each on a slow processor.
const SLICE: usize = 64;
/// Time before an interrupted read begins anew.
const AGAIN: Duration = Duration::from_secs(1);
/// Time between two services whose destinations are read: the reads of all of them are spread over this half of [`AUDIT`].
const SPREAD: Duration = Duration::from_secs(15);
/// The greatest such time, where there are few services.
const LONGEST_PAUSE: Duration = Duration::from_millis(10);

/// What is wanted. `of`: whose service it is.
pub trait Wants {
    /// Under this key of a service.
    fn at(&self, of: VsKey, service: &ServiceKey, key: DestinationKey) -> Option<Destination>;
    /// Under the n-th key: `None`: there are no more; `Some(None)`: that one cannot be in this service.
    fn nth(&self, of: VsKey, service: &ServiceKey, n: usize) -> Option<Option<(DestinationKey, Option<Destination>)>>;
    /// The virtual server in messages.
    fn name(&self, of: VsKey) -> Arc<str>;
}

impl Item for Service {
    type Owner = VsKey;
    const SERIES: u8 = 2;
    const IN_PLACE: bool = true;
    fn is_there(errno: Errno) -> bool {
        errno == Errno::EEXIST
    }
    fn is_gone(errno: Errno) -> bool {
        matches!(errno, Errno::ESRCH | Errno::ENOENT)
    }
}

impl Item for Destination {
    type Owner = SvcKey;
    const SERIES: u8 = 3;
    const IN_PLACE: bool = true;
    fn is_there(errno: Errno) -> bool {
        errno == Errno::EEXIST
    }
    fn is_gone(errno: Errno) -> bool {
        matches!(errno, Errno::ESRCH | Errno::ENOENT)
    }
}

/// The state of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
enum Stage {
    // Not in the kernel, as far as is known.
    Absent,
    // There; its destinations are to be read.
    Unread,
    // Its destinations are being asked for; the next one.
    Filling(usize),
    Filled,
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Known {
    key: ServiceKey,
    // Its virtual server; None: it is to be deleted.
    of: Option<VsKey>,
    value: Service,
    stage: Stage,
    // The kernel refused it, or one of its destinations; that was reported, and is tried again after the next read.
    refused: bool,
    // The configuration that its virtual server wanted it in last.
    #[serde(default)]
    claimed: u64,
    // It had another virtual server: once it is filled, what that one wanted goes, from this destination on.
    #[serde(default)]
    sweep: Option<DestinationKey>,
}

impl Known {
    fn new(key: ServiceKey, value: Service) -> Known {
        Known { key, of: None, value, stage: Stage::Absent, refused: false, claimed: 0, sweep: None }
    }
}

/// What is being read of the table.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
enum Look {
    #[default]
    Not,
    Services(BTreeSet<SvcKey>),
    // They were read, and are compared in slices; the last one that was.
    CompareServices(BTreeSet<SvcKey>, Option<ServiceKey>),
    Destinations(Dests),
    // Likewise.
    CompareDestinations(Dests, Option<DestinationKey>),
}

/// What is being read of one service.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Dests {
    svc: SvcKey,
    seen: BTreeSet<DestinationKey>,
    changed: usize,
    strange: usize,
}

/// The wanted services and destinations, and what is known of those in the kernel.
#[derive(Default, serde::Serialize, serde::Deserialize)]
pub struct Table {
    services: Reconciler<SvcKey, Service>,
    destinations: Reconciler<(SvcKey, DestinationKey), Destination>,
    known: Arena<ServiceMark, Known>,
    by_key: BTreeMap<ServiceKey, SvcKey>,
    look: Look,
    // The services are known: new ones may be asked for.
    read: bool,
    // When the services are read next; None: not by themselves.
    look_at: Option<Instant>,
    // Services whose destinations are to be read, and when the next one is.
    unread: VecDeque<SvcKey>,
    read_at: Instant,
    pause: Duration,
    filling: VecDeque<SvcKey>,
    // When the next slice of comparing or filling has its turn, and when the next requests.
    #[serde(default)]
    slices: Pace,
    #[serde(default)]
    requests: Pace,
    // A service was there before it was asked for.
    #[serde(default)]
    adopting: bool,
    // Services of the process before that may not be wanted any more.
    inherited: BTreeSet<ServiceKey>,
}

const FIRST: DestinationKey = DestinationKey { addr: IpAddr::V4(Ipv4Addr::UNSPECIFIED), port: 0 };
const LAST: DestinationKey = DestinationKey { addr: IpAddr::V6(Ipv6Addr::from_bits(u128::MAX)), port: u16::MAX };

fn all_of(svc: SvcKey) -> core::ops::RangeInclusive<(SvcKey, DestinationKey)> {
    (svc, FIRST)..=(svc, LAST)
}

// The kernel refuses it, and would refuse it again at once.
fn is_final(errno: Errno) -> bool {
    // EPERM, ENOENT (scheduler, engine), ENODEV, EINVAL, ERANGE, EPROTONOSUPPORT, EOPNOTSUPP, EAFNOSUPPORT
    matches!(errno.0, 1 | 2 | 19 | 22 | 34 | 93 | 95 | 97)
}

impl Table {
    /// The key of a service that is known here.
    pub fn service(&self, svc: SvcKey) -> Option<ServiceKey> {
        self.known.get(svc).map(|k| k.key)
    }
    /// Whether it is in the kernel, as far as is known.
    pub fn is_held(&self, svc: SvcKey) -> bool {
        self.known.get(svc).is_some_and(|k| k.stage != Stage::Absent)
    }
    /// Whether nothing is known of the table and nothing wanted.
    pub fn is_empty(&self) -> bool {
        self.known.len() == 0
    }
    /// Keys of kalived's services in the kernel, at most `most`.
    pub fn ours(&self, most: usize) -> Vec<ServiceKey> {
        // Before the table is read: those of the previous process as well.
        self.by_key.keys().chain(&self.inherited).take(most).copied().collect()
    }
    /// The services of the previous process: those that are not wanted are deleted.
    pub fn inherit(&mut self, services: Vec<ServiceKey>) {
        self.inherited = services.into_iter().collect();
    }
    /// Whether the previous process had services that were not compared yet.
    pub fn inherits(&self) -> bool {
        !self.inherited.is_empty()
    }
    /// How often an entry was put back or corrected.
    pub fn restored(&self) -> u64 {
        self.services.restored() + self.destinations.restored()
    }
    /// How much is kept: for tests that nothing is left behind.
    pub fn sizes(&self) -> impl Iterator<Item = usize> {
        let own = [self.known.len(), self.by_key.len(), self.unread.len(), self.filling.len()];
        own.into_iter().chain(self.services.sizes()).chain(self.destinations.sizes())
    }
    /// Whether all deletions are done.
    pub fn idle(&self) -> bool {
        self.services.idle()
    }

    /// In this configuration `of` wants this service so. The error: another virtual server that was read before has it. One that had it in
    /// an earlier configuration only loses it to the first that wants it now, as if that one were alone.
    pub fn set(&mut self, key: ServiceKey, of: VsKey, value: Service, configuration: u64) -> Result<SvcKey, VsKey> {
        let svc = match self.by_key.get(&key) {
            Some(svc) => *svc,
            None => {
                let svc = self.known.insert(Known::new(key, value.clone()));
                self.by_key.insert(key, svc);
                svc
            }
        };
        if let Some(k) = self.known.get_mut(svc) {
            let before = k.of.filter(|other| *other != of);
            if let Some(other) = before.filter(|_| k.claimed == configuration) {
                return Err(other);
            }
            k.claimed = configuration;
            if k.of == Some(of) && k.value == value {
                return Ok(svc);
            }
            k.of = Some(of);
            k.value = value.clone();
            if before.is_some() {
                k.sweep = Some(FIRST);
                if matches!(k.stage, Stage::Filling(_) | Stage::Filled) {
                    self.fill_anew(svc);
                }
            }
        }
        self.services.want(of, svc, value, false);
        Ok(svc)
    }

    /// The whole configuration was read: of these services, those that no virtual server wanted in it are not wanted any more.
    pub fn drop_unclaimed(&mut self, left: Vec<SvcKey>, configuration: u64) {
        for svc in left {
            if self.known.get(svc).is_some_and(|k| k.of.is_some() && k.claimed != configuration) {
                self.drop(svc);
            }
        }
    }

    // This service is not wanted any more.
    fn drop(&mut self, svc: SvcKey) {
        self.destinations.vanished(all_of(svc));
        if let Some(k) = self.known.get_mut(svc) {
            k.sweep = None;
            k.of = None;
            k.stage = Stage::Absent;
        }
        self.services.give_up(svc);
        self.tidy(svc);
    }

    /// The end: nothing is wanted any more.
    pub fn release(&mut self) {
        self.look = Look::Not;
        self.look_at = None;
        // All requests are deletions now.
        self.read = true;
        self.unread.clear();
        self.filling.clear();
        for svc in self.known.keys() {
            self.drop(svc);
        }
    }

    /// The kernel has no table: nothing is known of it, and nothing is requested.
    pub fn forget(&mut self) {
        self.look = Look::Not;
        self.look_at = None;
        self.read = false;
        self.unread.clear();
    }

    // Forgets services that are neither wanted nor there.
    fn tidy(&mut self, svc: SvcKey) {
        let over = self.known.get(svc).is_some_and(|k| k.of.is_none()) && !self.services.knows(svc);
        if let Some(k) = over.then(|| self.known.remove(svc)).flatten() {
            self.by_key.remove(&k.key);
        }
    }

    /// `of` wants a destination of its service so, or not at all. Until the service exists this has no effect: [`Wants`] is read then.
    pub fn change(&mut self, svc: SvcKey, of: VsKey, key: DestinationKey, to: Option<Destination>) {
        let stage = self.known.get(svc).filter(|k| k.of == Some(of)).map(|k| k.stage);
        if !matches!(stage, Some(Stage::Filling(_) | Stage::Filled)) {
            return;
        }
        match to {
            Some(d) => drop(self.destinations.want(svc, (svc, key), d, false)),
            None => self.destinations.give_up((svc, key)),
        }
    }

    /// The table is to be read, before any new service is asked for: another configuration is there.
    pub fn look_now(&mut self, now: Instant) {
        self.read = false;
        self.look_at = Some(now);
    }

    /// When [`Table::work`] has something to do.
    pub fn next_due(&mut self, now: Instant) -> Option<Instant> {
        let comparing = matches!(self.look, Look::CompareServices(..) | Look::CompareDestinations(..));
        if comparing || !self.filling.is_empty() {
            return earliest(Some(self.slices.want(now)), self.requests.held());
        }
        self.slices.rest();
        let next = match self.look {
            Look::Not if self.read && !self.unread.is_empty() => Some(self.read_at),
            Look::Not => self.look_at,
            _ => None,
        };
        let next = earliest(next, self.requests.held());
        earliest(next, earliest(self.services.next_due(), self.destinations.next_due()))
    }

    /// One slice of what is to be done. `sync`: the threads of synchronisation are dumped with the services. True: that dump begins.
    pub fn work(&mut self, now: Instant, wants: &dyn Wants, sync: bool, fx: &mut Effects) -> bool {
        // The kernel reports no change of this table, so no entry is in doubt.
        let _ = self.services.due(now, |_, held| vec![held.clone()]);
        let _ = self.destinations.due(now, |_, held| vec![*held]);
        if self.slices.take(now) {
            self.fill(wants);
            for note in self.compare(now, wants) {
                fx.note(note);
            }
        }
        if !matches!(self.look, Look::Not) {
            return false;
        }
        if self.look_at.is_some_and(|at| at <= now) && (self.unread.is_empty() || !self.read) {
            self.look_at = None;
            self.look = Look::Services(BTreeSet::new());
            fx.push(Effect::Lvs(if sync { LvsFx::DumpWithSync } else { LvsFx::Dump(None) }));
            return sync;
        } else if self.read && self.read_at <= now {
            while let Some(svc) = self.unread.pop_front() {
                let Some(k) = self.known.get(svc).filter(|k| k.of.is_some() && k.stage != Stage::Absent) else {
                    continue;
                };
                self.read_at = now + self.pause;
                self.look = Look::Destinations(Dests { svc, seen: BTreeSet::new(), changed: 0, strange: 0 });
                fx.push(Effect::Lvs(LvsFx::Dump(Some(k.key))));
                break;
            }
        }
        false
    }

    fn fill(&mut self, wants: &dyn Wants) {
        let mut room = SLICE;
        while let Some(svc) = self.filling.front().copied() {
            let Some(Known { key, of: Some(of), stage: Stage::Filling(n), .. }) = self.known.get_mut(svc) else {
                self.filling.pop_front();
                continue;
            };
            while room > 0 {
                let Some(next) = wants.nth(*of, key, *n) else { break };
                room -= 1;
                *n += 1;
                match next {
                    Some((key, Some(d))) => drop(self.destinations.want(svc, (svc, key), d, false)),
                    Some((key, None)) => self.destinations.give_up((svc, key)),
                    None => {}
                }
            }
            if room == 0 {
                return;
            }
            if let Some(k) = self.known.get_mut(svc) {
                if let (Some(from), Some(of)) = (k.sweep, k.of) {
                    let rest = (Bound::Excluded((svc, from)), Bound::Included((svc, LAST)));
                    let some: Vec<DestinationKey> =
                        self.destinations.keys(rest).take(room).map(|(_, key)| key).collect();
                    let strange = some.iter().filter(|key| wants.at(of, &k.key, **key).is_none());
                    strange.for_each(|key| self.destinations.give_up((svc, *key)));
                    k.sweep = some.last().copied().filter(|_| some.len() == room);
                    room -= some.len();
                    if k.sweep.is_some() {
                        return;
                    }
                }
                k.stage = Stage::Filled;
            }
            self.filling.pop_front();
        }
    }

    fn fill_anew(&mut self, svc: SvcKey) {
        let Some(k) = self.known.get_mut(svc) else { return };
        if !matches!(core::mem::replace(&mut k.stage, Stage::Filling(0)), Stage::Filling(_)) {
            self.filling.push_back(svc);
        }
    }

    /// Takes in the messages of a dump: services, or destinations of the service that was asked about.
    pub fn on_found(&mut self, messages: Vec<Message>, wants: &dyn Wants) {
        for message in messages {
            match message {
                Message::Service(key, value) => self.found_service(&key, value),
                Message::Destination(key, value, _) => self.found_destination(key, value, wants),
                Message::Timeouts(_) | Message::Daemon(_) | Message::Other(_) => {}
            }
        }
    }

    fn found_service(&mut self, key: &ServiceKey, value: Service) {
        let Look::Services(seen) = &mut self.look else { return };
        let Some(svc) = self.by_key.get(key).copied() else {
            if self.inherited.remove(key) {
                let svc = self.known.insert(Known::new(*key, value.clone()));
                seen.insert(svc);
                self.by_key.insert(*key, svc);
                self.services.remove(svc, value);
            }
            return;
        };
        seen.insert(svc);
        self.services.saw(svc, Some(value));
        if let Some(k) = self.known.get_mut(svc).filter(|k| k.of.is_some()) {
            if k.stage == Stage::Absent {
                k.stage = Stage::Unread;
                self.adopting = true;
            }
            self.unread.push_back(svc);
        }
    }

    fn found_destination(&mut self, key: DestinationKey, value: Destination, wants: &dyn Wants) {
        let Look::Destinations(Dests { svc, seen, changed, strange }) = &mut self.look else { return };
        let svc = *svc;
        let Some(Known { key: service, of: Some(of), .. }) = self.known.get(svc) else { return };
        seen.insert(key);
        if self.destinations.knows((svc, key)) {
            *changed += usize::from(self.destinations.saw((svc, key), Some(value)));
            return;
        }
        match wants.at(*of, service, key) {
            Some(wanted) => self.destinations.adopt(svc, (svc, key), wanted, value, false),
            None => *strange += usize::from(self.destinations.remove((svc, key), value)),
        }
    }

    /// A dump has ended: what it has is compared from the next turn on.
    pub fn on_synced(&mut self, now: Instant, complete: bool) {
        self.look = match core::mem::take(&mut self.look) {
            Look::Services(seen) if complete => Look::CompareServices(seen, None),
            Look::Destinations(dests) if complete => Look::CompareDestinations(dests, None),
            Look::Services(_) => {
                self.look_at = Some(now + AGAIN);
                Look::Not
            }
            Look::Destinations(Dests { svc, .. }) => {
                self.look_at = Some(now + AGAIN);
                self.unread.push_front(svc);
                self.read_at = now + AGAIN;
                Look::Not
            }
            // Another dump was lost meanwhile.
            look => look,
        }
    }

    // One slice of the comparison, if there is one.
    fn compare(&mut self, now: Instant, wants: &dyn Wants) -> Vec<Note> {
        let mut notes = Vec::new();
        self.look = match core::mem::take(&mut self.look) {
            Look::CompareServices(seen, from) => {
                let after = from.map_or(Bound::Unbounded, Bound::Excluded);
                let some = self.by_key.range((after, Bound::Unbounded)).take(SLICE);
                let some: Vec<(ServiceKey, SvcKey)> = some.map(|(key, svc)| (*key, *svc)).collect();
                for (_, svc) in &some {
                    self.compare_service(*svc, seen.contains(svc), wants, &mut notes);
                }
                match some.last().filter(|_| some.len() == SLICE) {
                    Some((last, _)) => Look::CompareServices(seen, Some(*last)),
                    None => {
                        self.services_read(now);
                        Look::Not
                    }
                }
            }
            Look::CompareDestinations(mut dests, from) => {
                let svc = dests.svc;
                let after = from.map_or(Bound::Included((svc, FIRST)), |key| Bound::Excluded((svc, key)));
                let some = self.destinations.keys((after, Bound::Included((svc, LAST)))).take(SLICE);
                let some: Vec<DestinationKey> = some.map(|(_, key)| key).collect();
                for key in some.iter().filter(|key| !dests.seen.contains(key)) {
                    dests.changed += usize::from(self.destinations.saw((svc, *key), None));
                }
                match some.last().filter(|_| some.len() == SLICE) {
                    Some(last) => Look::CompareDestinations(dests, Some(*last)),
                    None => {
                        self.destinations_read(&dests, wants, &mut notes);
                        Look::Not
                    }
                }
            }
            look => look,
        };
        notes
    }

    fn destinations_read(&mut self, dests: &Dests, wants: &dyn Wants, notes: &mut Vec<Note>) {
        let known = self.known.get(dests.svc);
        let Some(of) = known.and_then(|k| k.of) else { return };
        if dests.changed > 0 && known.is_some_and(|k| k.stage != Stage::Unread) {
            notes.push(text::put_back(dests.changed, &wants.name(of)));
        }
        if dests.strange > 0 {
            notes.push(text::strangers(dests.strange, &wants.name(of)));
        }
        self.fill_anew(dests.svc);
    }

    fn compare_service(&mut self, svc: SvcKey, seen: bool, wants: &dyn Wants, notes: &mut Vec<Note>) {
        if !seen && let Some(k) = self.known.get_mut(svc) {
            // The answer of a request under way is newer than this.
            if k.stage != Stage::Absent && !self.services.is_busy(svc) {
                k.stage = Stage::Absent;
                notes.extend(k.of.map(|of| text::service_gone(&wants.name(of))));
                self.destinations.vanished(all_of(svc));
            }
            self.services.saw(svc, None);
            self.tidy(svc);
        }
        // A refused request is tried again.
        if let Some(Known { of: Some(of), value, .. }) = self.known.get(svc)
            && !self.services.is_wanted(svc)
        {
            self.services.want(*of, svc, value.clone(), false);
        }
    }

    fn services_read(&mut self, now: Instant) {
        self.inherited.clear();
        self.read = true;
        self.look_at = Some(now + AUDIT);
        self.read_at = now;
        let some = u32::try_from(self.unread.len().max(1)).unwrap_or(u32::MAX);
        // The first read is done at once, to adopt what is there; later ones are spread.
        self.pause =
            if core::mem::take(&mut self.adopting) { Duration::ZERO } else { (SPREAD / some).min(LONGEST_PAUSE) };
    }

    /// The kernel answered a request.
    pub fn on_reply(&mut self, now: Instant, req: ReqId, result: Result<(), Errno>, wants: &dyn Wants) -> Vec<Note> {
        let mut notes = Vec::new();
        if let Some(svc) = self.services.asked_about(req) {
            let of = self.known.get(svc).and_then(|k| k.of);
            match self.services.answer(now, req, result) {
                Some(Outcome::Held { .. }) => {
                    if let Some(k) = self.known.get_mut(svc) {
                        k.refused = false;
                        if k.stage == Stage::Absent {
                            self.fill_anew(svc);
                        }
                    }
                }
                Some(Outcome::Refused { errno, .. }) => {
                    if let Some((k, of)) = self.known.get_mut(svc).zip(of) {
                        if !core::mem::replace(&mut k.refused, true) {
                            notes.push(text::service_refused(&wants.name(of), &k.value, errno));
                        }
                        if is_final(errno) {
                            // `compare_service` wants it again after the next read.
                            self.services.give_up(svc);
                        }
                    }
                }
                Some(Outcome::Stuck { errno, .. }) => {
                    notes.extend(self.known.get(svc).map(|k| text::service_stuck(&k.key, errno)));
                }
                Some(Outcome::Gone { .. }) | None => {}
            }
            self.tidy(svc);
        } else if let Some((svc, key)) = self.destinations.asked_about(req) {
            let outcome = self.destinations.answer(now, req, result);
            let name = |of: Option<VsKey>| of.map_or_else(|| "".into(), |of| wants.name(of));
            let of = self.known.get(svc).and_then(|k| k.of);
            match result {
                // The service is not there.
                Err(Errno::ESRCH) if of.is_some() => self.lost(svc),
                // It was to be changed, and is not there.
                Err(Errno::ENOENT) => self.destinations.absent((svc, key)),
                _ => match outcome {
                    Some(Outcome::Refused { errno, .. }) => {
                        if self.known.get_mut(svc).is_some_and(|k| !core::mem::replace(&mut k.refused, true)) {
                            notes.push(text::destination_refused(&key, &name(of), errno));
                        }
                        if is_final(errno) {
                            // The next read requests it again.
                            self.destinations.give_up((svc, key));
                        }
                    }
                    Some(Outcome::Stuck { errno, .. }) => notes.push(text::destination_stuck(&key, &name(of), errno)),
                    Some(Outcome::Held { .. } | Outcome::Gone { .. }) | None => {}
                },
            }
        }
        notes
    }

    fn lost(&mut self, svc: SvcKey) {
        let Some(k) = self.known.get_mut(svc) else { return };
        if core::mem::replace(&mut k.stage, Stage::Absent) != Stage::Absent {
            self.destinations.vanished(all_of(svc));
            self.services.saw(svc, None);
        }
    }

    /// Emits requests, so many as may be under way. After many of them the next ones wait for their turn: the kernel's work on them
    /// counts as that of this process.
    pub fn pump(&mut self, now: Instant, fx: &mut Effects) {
        if !self.requests.is_open(now) {
            return;
        }
        let before = fx.len();
        let known = &self.known;
        let mut nowhere = Vec::new();
        if self.read {
            self.services.ask_about(|req, svc, ask| match known.get(svc) {
                Some(k) => {
                    let (act, service) = act_of(ask);
                    let op = LvsOp::Service(act, k.key, Box::new(service.clone()));
                    fx.push(Effect::Lvs(LvsFx::Change { req, op }));
                }
                None => nowhere.push(req),
            });
        }
        self.destinations.ask_about(|req, (svc, key), ask| match known.get(svc) {
            Some(k) => {
                let (act, to) = act_of(ask);
                fx.push(Effect::Lvs(LvsFx::Change { req, op: LvsOp::Destination(act, k.key, key, *to) }));
            }
            None => nowhere.push(req),
        });
        // A destination of a service that is gone; the kernel deleted it, too.
        for req in nowhere {
            self.destinations.answer(Instant::default(), req, Err(Errno::ESRCH));
        }
        if fx.len() - before >= MANY {
            self.requests.want(now);
        }
    }
}

fn act_of<V>(ask: &Ask<V>) -> (Act, &V) {
    match ask {
        Ask::Add(v) => (Act::New, v),
        Ask::Change(_, v) => (Act::Set, v),
        Ask::Del(v) => (Act::Delete, v),
    }
}
