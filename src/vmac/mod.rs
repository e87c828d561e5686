//! Own interfaces of virtual routers (`use_vmac`, `use_ipvlan`): which are wanted, whether they are up, and the sysctls they need.
//!
//! Read first: `reconcile/`, `links.rs` (the mirror), `knob.rs`. An interface is made down and stays down while its virtual router is not
//! Master. Its addresses stay on it meanwhile, so that one request makes the virtual router Master, for any number of addresses, and one
//! ends that. The kernel removes link-local IPv6 addresses when the interface goes down; they are added and removed with each takeover,
//! as on an ordinary interface.
//!
//! A virtual router may have several: the one of `use_vmac`, and one for each other interface that it has addresses on (`use_vmac_addr`).
//! All of them go up and down together.
//!
//! Two kinds of items for the reconciler: the interface, by name, and its state, by index: up or down, with kalived's alias or without.
//! One that another program made and that fits is used as it is and never deleted; at the end it is left down.
//!
//! Adverts do not depend on any of this: they leave from the interface below with the virtual address as their source, and are received
//! there.

mod item;
pub mod text;

pub use item::{Name, Stand};
use item::{as_is, stand_of};

use crate::effect::{Effect, Effects, HelperFx, NetFx, NetOp};
use crate::event::{Errno, Link, ReqId};
use crate::id::VrKey;
use crate::knob::{Knob, Set};
use crate::links::Links;
use crate::net::OwnLink;
use crate::note::Note;
use crate::reconcile::{Ask, LONGEST_RETRY, Outcome, Reconciler};
use crate::time::{Instant, earliest};
use crate::timers::{Due, Timers};
use std::collections::{BTreeMap, BTreeSet};

/// No interface has this index: a request about it fails with ENODEV.
const NONE: u32 = i32::MAX as u32;

/// The index that sysctls of the whole host are kept under: no interface has it.
pub const HOST: u32 = 0;
/// The name in place of an interface's for sysctls of the whole host.
pub const HOST_NAME: &str = "all";

/// The purposes for which sysctls are set on other interfaces than own ones, or on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
enum Sort {
    /// It is below an own interface.
    Below,
    /// `promote_secondaries`: IPv4 addresses stay when the first one of their subnet is removed.
    Promote,
    /// `disable_local_igmp`: of [`HOST`].
    LocalIgmp,
}

impl Sort {
    const ALL: [Sort; 3] = [Sort::Below, Sort::Promote, Sort::LocalIgmp];

    fn sets(self) -> &'static [Set] {
        match self {
            Sort::Below => &BELOW,
            Sort::Promote => &PROMOTE,
            Sort::LocalIgmp => &LOCAL_IGMP,
        }
    }
    fn has(self, knob: Knob) -> bool {
        self.sets().iter().any(|s| s.knob == knob)
    }
}

const PROMOTE: [Set; 1] = [Set { knob: Knob::PromoteSecondaries, to: 1, only: None }];
const LOCAL_IGMP: [Set; 1] = [Set { knob: Knob::LocalIgmpReports, to: 0, only: None }];

/// Sysctls of the interface below: it does not answer ARP requests for addresses of own interfaces, and sends requests with its own
/// address only. Otherwise hosts would learn its Ethernet address for a virtual address.
const BELOW: [Set; 2] =
    [Set { knob: Knob::ArpIgnore, to: 1, only: Some(0) }, Set { knob: Knob::ArpAnnounce, to: 2, only: None }];

/// The value that a sysctl is set to on other interfaces than own ones, or on the host.
pub fn below(knob: Knob) -> Option<u32> {
    Sort::ALL.iter().flat_map(|sort| sort.sets()).find(|s| s.knob == knob).map(|s| s.to)
}

/// Sysctls of an own interface. Reverse path filtering is loose: the route back to a client mostly leads through the interface below.
const OWN_V4: [Set; 4] = [
    Set { knob: Knob::ArpIgnore, to: 1, only: None },
    Set { knob: Knob::ArpAnnounce, to: 2, only: None },
    Set { knob: Knob::RpFilter, to: 2, only: None },
    Set { knob: Knob::PromoteSecondaries, to: 1, only: None },
];
/// Likewise for IPv6. No address is generated, and those that are not link-local stay while the interface is down.
const OWN_V6: [Set; 6] = [
    Set { knob: Knob::DisableIpv6, to: 0, only: None },
    Set { knob: Knob::AddrGenMode, to: 1, only: None },
    Set { knob: Knob::AcceptRa, to: 0, only: None },
    Set { knob: Knob::Autoconf, to: 0, only: None },
    Set { knob: Knob::AcceptDad, to: 0, only: None },
    Set { knob: Knob::KeepAddrOnDown, to: 1, only: None },
];

/// An own interface that a virtual router wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The macvlan or ipvlan that is to exist.
    pub link: OwnLink,
    /// Whether it has IPv4 and IPv6 addresses.
    pub families: (bool, bool),
}

/// Whether a virtual router's own interfaces exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It has none.
    None,
    /// It is being made, or its sysctls are being set.
    Waiting,
    /// It could not be made.
    Refused(Errno),
    /// It is there, with this index.
    Ready(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
enum Step {
    No,
    Asked(u64),
    Done,
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct One {
    name: Name,
    link: OwnLink,
    families: (bool, bool),
    // Its virtual router is Master.
    up: bool,
    // Another program made it.
    theirs: bool,
    // The interface exists and fits.
    ifindex: Option<u32>,
    set: Step,
    refused: Option<Errno>,
}

// The interface below own ones, or another one whose sysctls a virtual router needs set.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
struct Below {
    users: BTreeSet<VrKey>,
    // The former values of its sysctls.
    before: Vec<(Knob, u32)>,
    // Its sysctls are set.
    done: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
enum Job {
    Own(VrKey, Name),
    Below(u32, Sort),
    Restore,
}

/// The own interfaces of all virtual routers, their state up or down, and the sysctls that they need.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Vmacs {
    links: Reconciler<Name, OwnLink>,
    stands: Reconciler<u32, Stand>,
    of: BTreeMap<(VrKey, Name), One>,
    below: BTreeMap<(u32, Sort), Below>,
    // The former values of sysctls, as another process found them, by interface.
    inherited: BTreeMap<u32, Vec<(Knob, u32)>>,
    // Interfaces that another process made or requested: a second request sets the alias, and the process may have died in between.
    #[serde(default)]
    made_before: BTreeSet<Name>,
    // Those that another program changed, and when they are deleted.
    #[serde(default)]
    wrong: BTreeMap<Name, Instant>,
    jobs: BTreeMap<u64, Job>,
    last_job: u64,
    // Jobs that were not passed to the helper yet: number, interface, settings.
    asks: Vec<(u64, String, Vec<Set>)>,
    holding: bool,
    changes: u64,
}

fn links_there(links: &Links) -> impl Fn(Name, &OwnLink) -> Vec<OwnLink> {
    |name, link| match links.by_name(&name.text()) {
        Some(l) if link.is(l) => vec![link.clone()],
        _ => Vec::new(),
    }
}

fn stands_there(links: &Links) -> impl Fn(u32, &Stand) -> Vec<Stand> {
    |ifindex, _| links.get(ifindex).map(stand_of).into_iter().collect()
}

impl Vmacs {
    /// `vr` wants exactly these interfaces. Called again after every change of interfaces; cheap when nothing is to be done.
    pub fn want(&mut self, vr: VrKey, wishes: Vec<Wish>, links: &Links) {
        let names: BTreeSet<Name> = wishes.iter().map(|w| Name::of(&w.link.name)).collect();
        let others: Vec<Name> = self.names_of(vr).filter(|name| !names.contains(name)).collect();
        others.into_iter().for_each(|name| self.release_one(vr, name));
        for wish in wishes {
            self.want_one(vr, wish, links);
        }
    }

    fn want_one(&mut self, vr: VrKey, wish: Wish, links: &Links) {
        let Wish { link, families } = wish;
        let name = Name::of(&link.name);
        let key = (vr, name);
        if self.of.get(&key).is_none_or(|o| o.link != link) {
            let there = links.by_name(&link.name).filter(|_| !self.links.knows(name));
            let mut theirs = false;
            match there {
                Some(l) if link.is(l) => {
                    theirs = !l.ours && !self.made_before.contains(&name);
                    self.links.adopt(vr, name, link.clone(), link.clone(), theirs);
                }
                // kalived's, with other settings: it is deleted and made anew.
                other => match other.and_then(as_is) {
                    Some(old) => self.links.adopt(vr, name, link.clone(), old, false),
                    None => drop(self.links.want(vr, name, link.clone(), false)),
                },
            }
            let up = self.of.get(&key).is_some_and(|o| o.up);
            let one = One { name, link, families, up, theirs, ifindex: None, set: Step::No, refused: None };
            self.of.insert(key, one);
        }
        if let Some(o) = self.of.get_mut(&key).filter(|o| o.families != families) {
            (o.families, o.set) = (families, Step::No);
        }
        self.look(key, links);
    }

    /// `vr` wants `promote_secondaries` on exactly these interfaces.
    pub fn promote(&mut self, vr: VrKey, interfaces: &BTreeSet<u32>, links: &Links) {
        let promoted = self.below.iter_mut().filter(|(key, _)| key.1 == Sort::Promote && !interfaces.contains(&key.0));
        promoted.for_each(|(_, b)| _ = b.users.remove(&vr));
        for ifindex in interfaces {
            self.prepare(vr, *ifindex, Sort::Promote, links);
        }
    }

    /// `disable_local_igmp`: from now on the host sends no IGMP reports for 224.0.0.0/24.
    pub fn silence_local_igmp(&mut self, links: &Links) {
        self.prepare(VrKey::NOBODY, HOST, Sort::LocalIgmp, links);
    }

    /// Whether that was asked for and is not answered yet.
    pub fn waits_for_host(&self) -> bool {
        self.below.get(&(HOST, Sort::LocalIgmp)).is_some_and(|b| !b.done)
    }

    /// Whether a sysctl of the whole host is set.
    pub fn has_host(&self) -> bool {
        self.below.get(&(HOST, Sort::LocalIgmp)).is_some_and(|b| !b.users.is_empty())
    }

    /// Sets the own interfaces of a virtual router up or down: it is Master, or not.
    pub fn raise(&mut self, vr: VrKey, up: bool, links: &Links) {
        for name in self.names_of(vr).collect::<Vec<_>>() {
            if let Some(o) = self.of.get_mut(&(vr, name)).filter(|o| o.up != up) {
                o.up = up;
                self.look((vr, name), links);
            }
        }
    }

    fn names_of(&self, vr: VrKey) -> impl Iterator<Item = Name> {
        self.all_of(vr).map(|o| o.name)
    }
    fn all_of(&self, vr: VrKey) -> impl Iterator<Item = &One> {
        self.of.range((vr, Name::FIRST)..=(vr, Name::LAST)).map(|(_, o)| o)
    }

    fn release_one(&mut self, vr: VrKey, name: Name) {
        let Some(o) = self.of.remove(&(vr, name)) else { return };
        if let Some(ifindex) = o.ifindex {
            // It is set down at once; the deletion takes the kernel longer.
            self.stands.give_up(ifindex);
        }
        self.links.give_up(o.name);
        // Another one of its own may stand upon the same interface.
        let parent = o.link.upon.parent;
        if !self.all_of(vr).any(|other| other.link.upon.parent == parent && other.families.0)
            && let Some(b) = self.below.get_mut(&(parent, Sort::Below))
        {
            b.users.remove(&vr);
        }
    }

    /// `vr` wants no interface any more: what was made for it is deleted, and what was set for it is put back.
    pub fn release(&mut self, vr: VrKey) {
        self.names_of(vr).collect::<Vec<_>>().into_iter().for_each(|name| self.release_one(vr, name));
        self.below.values_mut().for_each(|b| _ = b.users.remove(&vr));
    }

    /// What was set for the whole host is put back.
    pub fn release_host(&mut self) {
        self.release(VrKey::NOBODY);
    }

    // Compares the wanted interface with the kernel's, and requests the difference.
    fn look(&mut self, (vr, name): (VrKey, Name), links: &Links) {
        let Some(o) = self.of.get_mut(&(vr, name)) else { return };
        let link = links.by_name(&o.link.name).filter(|l| o.link.is(l));
        let ifindex = link.map(|l| l.ifindex);
        if o.ifindex != ifindex {
            if let Some(old) = o.ifindex {
                self.stands.vanished(old..=old);
                // The interface of another program is gone; the next one is made here.
                o.theirs = false;
            }
            (o.ifindex, o.set) = (ifindex, Step::No);
        }
        let Some(link) = link else { return };
        o.refused = None;
        if self.links.value(o.name) == Some(&o.link) && !self.links.held(vr).any(|n| n == o.name) {
            // It was made, although the answer was lost.
            self.links.saw(o.name, Some(o.link.clone()));
        }
        if o.set == Step::No {
            self.last_job += 1;
            o.set = Step::Asked(self.last_job);
            let mut set = OWN_V4.to_vec();
            match o.families.1 {
                true => set.extend(OWN_V6),
                false => set.push(Set::to(Knob::DisableIpv6, 1)),
            }
            self.jobs.insert(self.last_job, Job::Own(vr, name));
            self.asks.push((self.last_job, link.name.clone(), set));
        }
        // It is set up only after its sysctls are set; one that another process left up is not set down for that.
        let stand = Stand { up: o.up && (o.set == Step::Done || link.up), ours: !o.theirs };
        let (below, needs) = (o.link.upon.parent, o.families.0);
        if !self.stands.knows(link.ifindex) {
            self.stands.adopt(vr, link.ifindex, stand, stand_of(link), false);
        } else if self.stands.value(link.ifindex) != Some(&stand) || !self.stands.is_wanted(link.ifindex) {
            self.stands.want(vr, link.ifindex, stand, false);
        }
        if needs {
            self.prepare(vr, below, Sort::Below, links);
        } else if !self.all_of(vr).any(|o| o.link.upon.parent == below && o.families.0)
            && let Some(b) = self.below.get_mut(&(below, Sort::Below))
        {
            b.users.remove(&vr);
        }
    }

    fn prepare(&mut self, vr: VrKey, ifindex: u32, sort: Sort, links: &Links) {
        let Some(name) = dev_of(ifindex, links) else { return };
        let key = (ifindex, sort);
        if let Some(b) = self.below.get_mut(&key) {
            b.users.insert(vr);
            return;
        }
        let before =
            self.inherited.get_mut(&ifindex).map(|all| all.extract_if(.., |(knob, _)| sort.has(*knob)).collect());
        let before = before.unwrap_or_default();
        self.inherited.retain(|_, left| !left.is_empty());
        self.below.insert(key, Below { users: BTreeSet::from([vr]), before, done: false });
        self.last_job += 1;
        self.jobs.insert(self.last_job, Job::Below(ifindex, sort));
        self.asks.push((self.last_job, name, sort.sets().to_vec()));
    }

    /// Whether the interface of this name is there.
    pub fn status(&self, vr: VrKey, name: &str) -> Status {
        self.of.get(&(vr, Name::of(name))).map_or(Status::None, |o| self.status_of(o))
    }
    fn status_of(&self, o: &One) -> Status {
        let key = (o.link.upon.parent, Sort::Below);
        let below = !o.families.0 || self.below.get(&key).is_some_and(|b| b.done);
        match (o.ifindex, o.refused) {
            (Some(ifindex), _) if o.set == Step::Done && below => Status::Ready(ifindex),
            (None, Some(errno)) => Status::Refused(errno),
            _ => Status::Waiting,
        }
    }
    /// The own interfaces of `vr` that exist.
    pub fn ready(&self, vr: VrKey) -> impl Iterator<Item = u32> {
        self.all_of(vr).filter_map(|o| match self.status_of(o) {
            Status::Ready(ifindex) => Some(ifindex),
            Status::None | Status::Waiting | Status::Refused(_) => None,
        })
    }
    /// Whether an own interface of `vr` is being made.
    pub fn waits(&self, vr: VrKey) -> bool {
        self.all_of(vr).any(|o| self.status_of(o) == Status::Waiting)
    }
    /// The virtual router whose own interface has this index.
    pub fn owner(&self, ifindex: u32) -> Option<VrKey> {
        self.of.iter().find(|(_, o)| o.ifindex == Some(ifindex)).map(|((vr, _), _)| *vr)
    }
    /// All own interfaces that exist.
    pub fn indices(&self) -> impl Iterator<Item = u32> {
        self.of.values().filter_map(|o| o.ifindex)
    }
    /// Whether `vr` wants an interface of its own to be up.
    pub fn wants_up(&self, vr: VrKey) -> bool {
        self.all_of(vr).any(|o| o.up)
    }
    // The wanted own interfaces of this name, or upon this interface.
    fn concerned(&self, name: &str, ifindex: u32) -> Vec<(VrKey, Name)> {
        let name = Name::of(name);
        let all = self.of.iter().filter(|(_, o)| o.name == name || o.link.upon.parent == ifindex);
        all.map(|(key, _)| *key).collect()
    }
    /// Whether none is wanted and nothing is left to do.
    pub fn is_empty(&self) -> bool {
        self.of.is_empty() && self.links.is_empty() && self.below.is_empty()
    }

    /// The kernel reported an interface.
    pub fn on_link(&mut self, now: Instant, link: &Link, links: &Links, timers: &mut Timers) {
        if self.stands.value(link.ifindex).is_some_and(|s| *s != stand_of(link)) {
            self.stands.doubt(now, link.ifindex, None);
        }
        // Another program renamed it, or changed its Ethernet address: it is made again. Two with one address cannot both be up.
        let other = self.of.values().find(|o| o.ifindex == Some(link.ifindex) && !o.link.is(link));
        if let Some((name, theirs)) = other.map(|o| (o.name, o.theirs)) {
            self.links.doubt(now, name, None);
            if let Some(is) = as_is(link).filter(|_| !theirs && Name::of(&link.name) != name) {
                self.links.remove(Name::of(&link.name), is);
            }
        }
        for key in self.concerned(&link.name, link.ifindex) {
            self.look(key, links);
        }
        self.rearm(timers);
    }
    /// An interface is gone.
    pub fn on_link_gone(&mut self, now: Instant, ifindex: u32, name: &str, links: &Links, timers: &mut Timers) {
        self.stands.vanished(ifindex..=ifindex);
        self.links.doubt(now, Name::of(name), None);
        // Its sysctls went with it.
        for sort in Sort::ALL {
            if self.below.remove(&(ifindex, sort)).is_some() {
                self.jobs.retain(|_, job| *job != Job::Below(ifindex, sort));
            }
        }
        for key in self.concerned(name, ifindex) {
            self.look(key, links);
        }
        self.rearm(timers);
    }
    /// After a complete dump.
    pub fn synced(&mut self, links: &Links, timers: &mut Timers) {
        self.links.compare(links_there(links));
        self.stands.compare(stands_there(links));
        let all: Vec<(VrKey, Name)> = self.of.keys().copied().collect();
        all.into_iter().for_each(|key| self.look(key, links));
        self.rearm(timers);
    }
    /// The kernel answered. Returns the virtual router that it concerns, and the log line.
    pub fn on_reply(
        &mut self,
        now: Instant,
        req: ReqId,
        result: Result<(), Errno>,
        links: &Links,
        timers: &mut Timers,
    ) -> (Option<VrKey>, Option<Note>) {
        let mut found = (None, None);
        match self.links.answer(now, req, result) {
            Some(Outcome::Held { owner, key }) => {
                self.look((owner, key), links);
                found.0 = Some(owner);
            }
            Some(Outcome::Refused { owner, key, errno }) => {
                if let Some(o) = self.of.get_mut(&(owner, key)).filter(|o| o.ifindex.is_none()) {
                    o.refused = Some(errno);
                    let there = links.by_name(&key.text()).is_some();
                    found = (Some(owner), Some(text::not_made(&key.text(), there, errno)));
                }
            }
            Some(Outcome::Stuck { key, errno }) => found.1 = Some(text::stuck(&key.text(), errno)),
            Some(Outcome::Gone { .. }) | None => {}
        }
        match self.stands.answer(now, req, result) {
            Some(Outcome::Refused { key, errno, .. } | Outcome::Stuck { key, errno }) => {
                let up = self.stands.value(key).is_some_and(|s| s.up);
                found.1 = Some(text::not_set(&name_of(key, links), up, errno));
            }
            Some(Outcome::Held { .. } | Outcome::Gone { .. }) | None => {}
        }
        self.rearm(timers);
        found
    }
    /// The helper answered. Returns the virtual routers that it concerns, and the log line.
    pub fn on_knobs(
        &mut self,
        job: u64,
        before: &[(Knob, u32)],
        failed: Option<(Knob, Errno)>,
        links: &Links,
    ) -> (Vec<VrKey>, Option<Note>) {
        let mut name = String::new();
        let users = match self.jobs.remove(&job) {
            Some(Job::Own(vr, own)) => {
                if let Some(o) = self.of.get_mut(&(vr, own)).filter(|o| o.set == Step::Asked(job)) {
                    // A sysctl that could not be set is reported, and the virtual router runs without it.
                    o.set = Step::Done;
                    name.clone_from(&o.link.name);
                }
                self.look((vr, own), links);
                vec![vr]
            }
            Some(Job::Below(ifindex, sort)) => match self.below.get_mut(&(ifindex, sort)) {
                Some(b) => {
                    let known: BTreeSet<Knob> = b.before.iter().map(|(knob, _)| *knob).collect();
                    b.before.extend(before.iter().filter(|(knob, _)| !known.contains(knob)));
                    b.done = true;
                    self.changes += 1;
                    name = name_of(ifindex, links);
                    // Nothing waits for the other kinds.
                    b.users.iter().copied().filter(|_| sort == Sort::Below).collect()
                }
                None => Vec::new(),
            },
            Some(Job::Restore) | None => Vec::new(),
        };
        (users, failed.filter(|_| !name.is_empty()).map(|(knob, errno)| text::knob_not_set(&name, knob, errno)))
    }
    /// `Due::OwnLinks`: requests that were delayed until now.
    pub fn on_due(&mut self, now: Instant, links: &Links, timers: &mut Timers) -> Vec<Note> {
        let mut notes = Vec::new();
        for loss in self.links.due(now, links_there(links)) {
            let there = links.by_name(&loss.key.text());
            if loss.first {
                notes.push(match there {
                    Some(_) => text::changed(&loss.key.text()),
                    None => text::deleted(&loss.key.text()),
                });
            }
            // It is deleted first: at once the first time.
            if there.and_then(as_is).is_some() {
                self.wrong.insert(loss.key, if loss.first { now } else { now + LONGEST_RETRY });
            }
        }
        let wrong: Vec<Name> = self.wrong.iter().filter(|(_, at)| **at <= now).map(|(name, _)| *name).collect();
        for name in wrong {
            self.wrong.remove(&name);
            let is = links.by_name(&name.text()).and_then(as_is);
            if is.is_some() && self.links.is_wanted(name) && self.links.held_as(name).is_none() {
                self.links.saw(name, is);
            }
        }
        for loss in self.stands.due(now, stands_there(links)) {
            let up = self.stands.value(loss.key).is_some_and(|s| s.up);
            if loss.first && links.get(loss.key).is_some_and(|l| l.up != up) {
                notes.push(text::moved(&name_of(loss.key, links), up));
            }
        }
        self.rearm(timers);
        notes
    }
    /// Emits requests, up to the limit of those under way.
    pub fn pump(&mut self, links: &Links, fx: &mut Effects) {
        self.stands.ask_about(|req, ifindex, ask| {
            let (up, ours) = match ask {
                Ask::Add(s) | Ask::Change(_, s) => (s.up, s.ours),
                Ask::Del(_) => (false, false),
            };
            // An interface that has the alias keeps the group that somebody gave it since.
            let fresh = ours && links.get(ifindex).is_some_and(|l| l.fresh || !l.ours);
            let group = || self.of.values().find(|o| o.ifindex == Some(ifindex)).map_or(0, |o| o.link.group);
            let tag = fresh.then(group);
            fx.push(Effect::Net(NetFx::Change { req, op: NetOp::LinkSet { ifindex, up, tag } }));
        });
        self.links.ask_about(|req, name, ask| {
            let op = match ask {
                Ask::Add(link) | Ask::Change(_, link) => NetOp::LinkAdd(Box::new(link.clone())),
                Ask::Del(link) => {
                    let there = links.by_name(&name.text()).filter(|l| link.is(l));
                    NetOp::LinkDel { ifindex: there.map_or(NONE, |l| l.ifindex) }
                }
            };
            fx.push(Effect::Net(NetFx::Change { req, op }));
        });
        if !self.holding && self.below.values().any(|b| b.users.is_empty() && b.done) {
            let (over, rest) =
                core::mem::take(&mut self.below).into_iter().partition(|(_, b)| b.users.is_empty() && b.done);
            self.below = rest;
            self.restore(over, links);
        }
        for (job, dev, set) in self.asks.drain(..) {
            fx.push(Effect::Helper(HelperFx::SetKnobs { job, dev, set }));
        }
    }

    // A sysctl that no virtual router needs any more is put back, unless another program has changed it meanwhile.
    fn restore(&mut self, over: BTreeMap<(u32, Sort), Below>, links: &Links) {
        self.changes += 1;
        for ((ifindex, _), b) in over {
            let back = |(knob, to): &(Knob, u32)| Set { knob: *knob, to: *to, only: below(*knob) };
            let set: Vec<Set> = b.before.iter().map(back).collect();
            if let Some(dev) = dev_of(ifindex, links).filter(|_| !set.is_empty()) {
                self.last_job += 1;
                self.jobs.insert(self.last_job, Job::Restore);
                self.asks.push((self.last_job, dev, set));
            }
        }
    }

    /// From now on nothing is deleted, until [`Vmacs::let_go`].
    pub fn hold(&mut self) {
        self.holding = true;
        self.links.hold();
        self.stands.hold();
    }
    /// From now on interfaces that are not wanted may be deleted.
    pub fn let_go(&mut self) {
        self.holding = false;
        self.links.let_go();
        self.stands.let_go();
    }
    /// Requests nothing more: another process takes over ([`Reconciler::freeze`]).
    pub fn freeze(&mut self) {
        self.links.freeze();
        self.stands.freeze();
    }
    /// Whether all deletions are done, no request is under way, and the sysctls are restored.
    pub fn idle(&self) -> bool {
        let kept = self.below.values().all(|b| !b.users.is_empty());
        self.links.idle() && self.stands.idle() && kept && !self.jobs.values().any(|job| *job == Job::Restore)
    }
    /// A number that changes whenever [`Vmacs::made`] or [`Vmacs::before`] may have changed.
    pub fn changes(&self) -> u64 {
        self.changes.wrapping_add(self.links.changes())
    }
    /// Interfaces that this process made or requested, or is deleting.
    pub fn made(&self) -> BTreeSet<String> {
        let asked = self.of.values().filter(|o| !o.theirs).map(|o| o.name);
        let own = self.links.own().map(|(_, name, _)| name);
        own.chain(self.links.going()).chain(asked).map(|name| name.text()).collect()
    }
    /// The former values of the sysctls of other interfaces and of the host, by interface; an interface may occur twice.
    pub fn before(&self) -> impl Iterator<Item = (u32, &[(Knob, u32)])> {
        let now = self.below.iter().map(|((ifindex, _), b)| (*ifindex, b.before.as_slice()));
        let inherited = self.inherited.iter().map(|(ifindex, before)| (*ifindex, before.as_slice()));
        now.chain(inherited).filter(|(_, before)| !before.is_empty())
    }
    /// The former values of sysctls as the previous process found them: they are put back, not the values of now. `made`: its
    /// [`Vmacs::made`].
    pub fn inherit<'a>(
        &mut self,
        before: impl IntoIterator<Item = (u32, Vec<(Knob, u32)>)>,
        made: impl IntoIterator<Item = &'a str>,
    ) {
        for (ifindex, before) in before {
            self.inherited.entry(ifindex).or_default().extend(before);
        }
        self.made_before.extend(made.into_iter().map(Name::of));
    }
    /// All wanted interfaces were requested: the others that the previous process left are deleted. Returns their number.
    pub fn drop_others(&mut self, made: &[(String, u32)], links: &Links) -> usize {
        self.made_before.clear();
        for (ifindex, before) in core::mem::take(&mut self.inherited) {
            for sort in Sort::ALL {
                let before: Vec<_> = before.iter().copied().filter(|(knob, _)| sort.has(*knob)).collect();
                if !before.is_empty() {
                    let left = Below { before, done: true, ..Below::default() };
                    self.below.entry((ifindex, sort)).or_insert(left);
                }
            }
        }
        let left = made.iter().filter_map(|(name, ifindex)| as_is(links.get(*ifindex).filter(|l| l.name == *name)?));
        left.filter(|link| self.links.remove(Name::of(&link.name), link.clone())).count()
    }
    /// How often another program deleted one, or set one up or down.
    pub fn restored(&self) -> u64 {
        self.links.restored() + self.stands.restored()
    }
    /// The number of entries, for tests that none is left.
    pub fn sizes(&self) -> impl Iterator<Item = usize> {
        let own = [self.of.len(), self.below.len(), self.inherited.len(), self.jobs.len(), self.asks.len()];
        own.into_iter().chain(self.links.sizes()).chain(self.stands.sizes())
    }

    fn rearm(&self, timers: &mut Timers) {
        let wrong = self.wrong.values().min().copied();
        timers.follow(Due::OwnLinks, earliest(wrong, earliest(self.links.next_due(), self.stands.next_due())));
    }
}

fn name_of(ifindex: u32, links: &Links) -> String {
    dev_of(ifindex, links).unwrap_or_else(|| format!("interface {ifindex}"))
}

// The name of the directory of its sysctls.
fn dev_of(ifindex: u32, links: &Links) -> Option<String> {
    match ifindex {
        HOST => Some(HOST_NAME.to_owned()),
        _ => links.get(ifindex).map(|l| l.name.clone()),
    }
}
