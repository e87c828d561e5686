//! The health checks of real servers: all of them, by key, by specification and by real server.
//!
//! Read in this order: `spec` (what a check does), `verdict` (its state, from successive results), `plan` (when, and how many at a time),
//! `talk` with one file for each protocol, `one`; this file (which real server has which check), `carry` (how they are carried out). A
//! check reports whether it succeeds and what it adds to a weight; `lvs/pool.rs` decides what follows for the virtual server. Equal checks
//! of one real server, in any number of virtual servers, are carried out once.

mod carry;
mod digests;
mod dns;
mod http;
mod one;
mod pattern;
mod ping;
mod plan;
mod smtp;
mod spec;
mod talk;
mod text;
mod udp;
mod verdict;

pub use crate::snapshot::CheckShot;
pub use crate::track::Cx;
pub use pattern::Pattern;
pub use plan::{CONNECTIONS, PROGRAMS};
pub use spec::{CheckSpec, Http, INTERVAL, Pace, Page, Source, TIMEOUT, What, alpha};

use crate::id::{Arena, CheckId, CheckMark, RsKey};
use crate::time::{Instant, earliest};
use crate::timers::{Due, Timers};
use one::{One, State};
use plan::{Lane, Plan, Tag};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// A check that a real server is to have.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Wanted {
    /// Key of the real server.
    pub server: RsKey,
    /// The server in messages: `[10.77.0.11]:tcp:80`.
    pub name: Arc<str>,
    /// Its virtual server in messages: `[10.77.1.1]:tcp:80`.
    pub service: Arc<str>,
    /// Weight of the server in the file: a weight that `misc_dynamic` sets is a difference from it.
    pub weight: i64,
    /// Until this check has succeeded once, the server takes no part ([`alpha`]).
    pub alpha: bool,
    /// What the check does.
    pub spec: CheckSpec,
}

/// A change of a check, for one server.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CheckOut {
    /// Key of the real server.
    pub server: RsKey,
    /// The check whose result this is.
    pub check: CheckId,
    /// The check succeeds or fails from now on. The state of the server is in [`Checks::standing`].
    pub up: Option<bool>,
    /// What the check adds to the weight from now on.
    pub weight: Option<i64>,
    /// Why: the last result in words.
    pub words: Box<str>,
}

/// The combined state of all checks of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// `Some(false)`: one fails. `None`: none fails and one has not ended yet. A server without checks is up.
    pub up: Option<bool>,
    /// One with `alpha` has not ended yet.
    pub awaited: bool,
    /// What they add to its weight, worked out anew each time.
    pub weight: i64,
    /// How many of them replace the weight of the file (`misc_dynamic`): in what they add it is taken away.
    pub replacing: i64,
    /// The number of its checks that fail.
    pub failed: u32,
}

/// A check in a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckView<'a> {
    /// What the check does.
    pub spec: &'a CheckSpec,
    /// As in the log: `TCP_CHECK`.
    pub kind: &'static str,
    /// `None`: it has not ended yet.
    pub up: Option<bool>,
    /// Since when that is so.
    pub since: Instant,
    /// When the check last ended; `None`: it has not ended yet.
    pub ended: Option<Instant>,
    /// Its last result in words; empty: none yet.
    pub words: &'a str,
    /// Failures in a row that do not count yet.
    pub failures: u32,
}

/// For whom a check is carried out.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct User {
    server: RsKey,
    name: Arc<str>,
    service: Arc<str>,
    weight: i64,
    #[serde(default)]
    alpha: bool,
}

// A check of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Member {
    check: CheckId,
    alpha: bool,
    weight: i64,
}

/// Every check. See the module.
#[derive(Default, serde::Serialize, serde::Deserialize)]
pub struct Checks {
    // Each in a box: it has half a KiB, and an arena has room for up to twice as many as there are.
    all: Arena<CheckMark, Box<One>>,
    by_spec: BTreeMap<[u8; 16], CheckId>,
    of: BTreeMap<RsKey, Vec<Member>>,
    suspended: BTreeSet<RsKey>,
    plan: Plan,
    running: bool,
    // Checks that are to begin or to end, after `start` and `stop`: some in each turn.
    rousing: VecDeque<CheckId>,
    // The next of them begins or ends at this time at the earliest.
    #[serde(default)]
    rouse_at: Instant,
    // Checks whose body is being matched: one slice in each turn. The next is at this time at the earliest.
    #[serde(default)]
    matching: VecDeque<CheckId>,
    #[serde(default)]
    match_at: Instant,
    // Changes that could not be returned when they were found.
    unsaid: Vec<CheckOut>,
    // States of an earlier process that no check has taken over yet.
    memory: BTreeMap<[u8; 16], CheckShot>,
    // What `Snapshot::alpha` of an earlier process has, likewise.
    #[serde(default)]
    succeeded: BTreeSet<[u8; digests::LEN]>,
    // Number of looks so far, so that the salt of each look is different.
    looks: u32,
    // The last states of BFD sessions, and the checks that follow each.
    sessions: BTreeMap<Box<str>, bool>,
    followers: BTreeMap<Box<str>, BTreeSet<CheckId>>,
}

impl core::fmt::Debug for Checks {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Checks")
            .field("checks", &self.all.len())
            .field("servers", &self.of.len())
            .finish_non_exhaustive()
    }
}

impl Checks {
    /// How many connections there may be at a time; more than [`CONNECTIONS`] are never made.
    pub fn set_room(&mut self, connections: usize) {
        self.plan.set_room(connections);
    }

    /// Takes over the states of an earlier process; called before the checks are set. `alpha`: see [`Checks::shots`].
    pub fn resume(&mut self, shots: Vec<CheckShot>, alpha: &str) {
        self.memory.extend(shots.into_iter().map(|s| (s.spec, s)));
        self.succeeded.extend(digests::read(alpha));
    }

    /// The states for the snapshot, of at most `most` checks. Where there are more, checks without a failure are left out: the next process
    /// assumes success of a check that it does not know. With `alpha` it would await the server again, which would leave the table until
    /// then: of those that succeed the second part has the beginnings of their digests, 10 bytes of text each.
    pub fn shots(&self, most: usize) -> (Vec<CheckShot>, String) {
        let all = self.all.len() + self.memory.len() <= most;
        // Until a configuration is read, what no check has taken over yet: this process may die before.
        let mut shots: Vec<CheckShot> = self.memory.values().take(most).cloned().collect();
        let mut alpha = String::new();
        self.succeeded.iter().for_each(|digest| digests::write(digest, &mut alpha));
        for (_, one) in self.all.iter().filter(|(_, one)| !one.users.is_empty()) {
            let Some(shot) = one.shot() else { continue };
            let plain = shot.up && shot.failures == 0 && shot.value.is_none();
            if (all || !plain) && shots.len() < most {
                shots.push(shot);
            } else if shot.up && one.users.iter().any(|u| u.alpha) {
                digests::write(&digests::begin(&shot.spec), &mut alpha);
            }
        }
        (shots, alpha)
    }

    /// Sets the checks of all servers. For thousands of servers, [`Checks::set`] does the same in slices.
    pub fn apply(&mut self, wanted: Vec<Wanted>, cx: &mut Cx<'_>) {
        let mut by_server: BTreeMap<RsKey, Vec<Wanted>> = BTreeMap::new();
        for w in wanted {
            by_server.entry(w.server).or_default().push(w);
        }
        for server in self.of.keys().copied().filter(|s| !by_server.contains_key(s)).collect::<Vec<_>>() {
            self.set(server, Vec::new(), cx);
        }
        for (server, wanted) in by_server {
            self.set(server, wanted, cx);
        }
    }

    /// Sets the checks of one server. A check that it has already keeps its state and its times; one that does the same as another one at
    /// other times keeps that one's state. One that replaces another one has that one's verdict until its first result, so a server that is
    /// down does not come back because its check was edited. Nothing begins before [`Checks::start`].
    pub fn set(&mut self, server: RsKey, wanted: Vec<Wanted>, cx: &mut Cx<'_>) {
        let before = self.of.remove(&server).unwrap_or_default();
        // With no spare capacity: there may be one for each of tens of thousands of servers.
        let (mut members, mut fresh) = (Vec::<Member>::with_capacity(wanted.len()), Vec::new());
        for w in wanted {
            let digest = w.spec.digest();
            let check = match self.by_spec.get(&digest) {
                Some(check) => *check,
                None => {
                    let check = self.make(w.spec, digest, cx);
                    fresh.push(check);
                    check
                }
            };
            if members.iter().any(|m| m.check == check) {
                continue; // written twice
            }
            members.push(Member { check, alpha: w.alpha, weight: w.weight });
            let Some(one) = self.all.get_mut(check) else { continue };
            let user = User { server, name: w.name, service: w.service, weight: w.weight, alpha: w.alpha };
            match one.users.iter_mut().find(|u| u.server == server) {
                Some(old) => *old = user,
                None => {
                    one.users.reserve_exact(usize::from(one.users.is_empty()));
                    one.users.push(user);
                }
            }
        }
        let gone: Vec<CheckId> =
            before.iter().map(|m| m.check).filter(|c| !members.iter().any(|m| m.check == *c)).collect();
        for (check, old) in self.successors(&fresh, &gone) {
            self.introduce(check, old, cx);
        }
        for check in &gone {
            if let Some(one) = self.all.get_mut(*check) {
                one.users.retain(|u| u.server != server);
            }
            self.rouse(*check, cx);
        }
        for member in &members {
            self.rouse(member.check, cx);
        }
        match members.is_empty() {
            true => drop(self.suspended.remove(&server)),
            false => drop(self.of.insert(server, members)),
        }
        self.arm(cx);
    }

    fn make(&mut self, spec: CheckSpec, digest: [u8; 16], cx: &mut Cx<'_>) -> CheckId {
        let mut one = One::new(spec, digest, cx.now.mono);
        if let Some(shot) = self.memory.remove(&digest) {
            one.resume(&shot);
        } else if !self.succeeded.is_empty() && self.succeeded.remove(&digests::begin(&digest)) {
            one.resume(&CheckShot { spec: digest, up: true, ..CheckShot::default() });
        }
        if let What::Never(why) = &one.spec.what {
            one.words = why.to_string().into();
            one.verdict.resume(false, 0);
            one.state = State::Known;
        }
        let session = if let What::Bfd(name) = &one.spec.what { Some(name.clone()) } else { None };
        self.plan.count(one.spec.pace.interval, true);
        let check = self.all.insert(Box::new(one));
        if let Some(name) = session {
            self.followers.entry(name).or_default().insert(check);
        }
        self.by_spec.insert(digest, check);
        check
    }

    // Which check each new one replaces: the one that does the same, else the next of its kind. Where there is none of its kind, one that
    // fails before one that succeeds.
    fn successors(&self, fresh: &[CheckId], gone: &[CheckId]) -> Vec<(CheckId, Option<CheckId>)> {
        let what = |c: CheckId| self.all.get(c).map(|one| &one.spec.what);
        let fails = |c: CheckId| self.all.get(c).is_some_and(|one| one.verdict.up() == Some(false));
        let (mut found, mut left) = (vec![None; fresh.len()], gone.to_vec());
        for round in 0..4 {
            for (check, old) in fresh.iter().zip(&mut found).filter(|(_, old)| old.is_none()) {
                let fits = |c: &CheckId| match round {
                    0 => what(*c) == what(*check),
                    1 => what(*c).map(text::kind) == what(*check).map(text::kind),
                    2 => fails(*c),
                    _ => true,
                };
                *old = left.iter().position(fits).map(|n| left.remove(n));
            }
        }
        fresh.iter().copied().zip(found).collect()
    }

    // A new check: takes over what is known from the one that it replaces, and reports what an operator should know about it.
    fn introduce(&mut self, check: CheckId, old: Option<CheckId>, cx: &mut Cx<'_>) {
        let known = old.and_then(|old| self.all.get(old)).map(|old| old.legacy());
        let Some(one) = self.all.get_mut(check) else { return };
        if let Some(known) = known.filter(|_| one.verdict.up().is_none()) {
            one.inherit(known);
        }
        if let (What::Never(why), Some(user)) = (&one.spec.what, one.users.first()) {
            cx.fx.note(text::failed(&one.spec, user, 0, why));
        }
    }

    /// A configuration was read: starts the checks, some in each turn, because ten thousand at once would delay it. What no check has
    /// taken over of an earlier process is forgotten.
    pub fn start(&mut self, cx: &mut Cx<'_>) {
        self.running = true;
        self.memory.clear();
        self.succeeded.clear();
        self.rouse_all(cx);
    }

    /// Ends all checks. Programs are asked to end at once, connections close in the following turns. Verdicts stay.
    pub fn stop(&mut self, cx: &mut Cx<'_>) {
        self.running = false;
        let programs = self.all.iter().filter(|(_, one)| matches!(one.state, State::Running { .. }));
        for check in programs.map(|(check, _)| check).collect::<Vec<_>>() {
            self.rouse(check, cx);
        }
        self.rouse_all(cx);
    }

    fn rouse_all(&mut self, cx: &mut Cx<'_>) {
        self.rousing = self.all.iter().map(|(check, _)| check).collect();
        self.arm(cx);
    }

    fn arm(&self, cx: &mut Cx<'_>) {
        let now = (!self.unsaid.is_empty()).then_some(cx.now.mono);
        let rouse = (!self.rousing.is_empty()).then_some(self.rouse_at.max(cx.now.mono));
        let slice = (!self.matching.is_empty()).then_some(self.match_at.max(cx.now.mono));
        let now = earliest(now, earliest(rouse, slice));
        self.plan.arm(now, cx.timers);
    }

    /// `ha_suspend`: suspends the checks of this server, or ends that. Its verdicts stay. A shared check goes on for the other servers.
    pub fn suspend(&mut self, server: RsKey, suspended: bool, cx: &mut Cx<'_>) {
        let Some(members) = self.of.get(&server) else { return };
        let checks: Vec<CheckId> = members.iter().map(|m| m.check).collect();
        match suspended {
            true => drop(self.suspended.insert(server)),
            false => drop(self.suspended.remove(&server)),
        }
        for check in checks {
            self.rouse(check, cx);
        }
        self.arm(cx);
    }

    /// The combined state of all checks of a server.
    pub fn standing(&self, server: RsKey) -> Standing {
        let mut standing = Standing { up: Some(true), ..Standing::default() };
        for member in self.of.get(&server).map_or(&[][..], |m| m) {
            let Some(one) = self.all.get(member.check) else { continue };
            standing.weight = standing.weight.saturating_add(one.adds(member.weight));
            standing.replacing += i64::from(one.replaces());
            match one.verdict.up() {
                Some(true) => {}
                Some(false) => standing.failed += 1,
                None => {
                    standing.up = None;
                    standing.awaited |= member.alpha;
                }
            }
        }
        if standing.failed > 0 {
            standing.up = Some(false);
        }
        standing
    }

    /// The checks of a server, in file order.
    pub fn views(&self, server: RsKey) -> Vec<(CheckId, CheckView<'_>)> {
        let members = self.of.get(&server).map_or(&[][..], |m| m);
        let view = |m: &Member| {
            let one = self.all.get(m.check)?;
            Some((
                m.check,
                CheckView {
                    spec: &one.spec,
                    kind: text::kind(&one.spec.what),
                    up: one.verdict.up(),
                    since: one.since,
                    ended: one.ended,
                    words: &one.words,
                    failures: one.verdict.failures(),
                },
            ))
        };
        members.iter().filter_map(view).collect()
    }

    /// What a letter says first about a server that is up, or down, by the last result of this check.
    pub fn letter(&self, check: CheckId, up: bool) -> Option<String> {
        self.all.get(check).map(|one| text::letter(&one.spec.what, up, &one.words))
    }

    /// How many checks there are, how many of them have a connection or a program at this moment, and how many starts were late so far.
    pub fn sizes(&self) -> (usize, usize, u64) {
        let busy = self.plan.taken(Lane::Connections) + self.plan.taken(Lane::Programs);
        (self.all.len(), busy, self.plan.all_late())
    }

    /// How often a check had not ended for three intervals.
    pub fn overdue(&self) -> u64 {
        self.plan.all_overdue()
    }

    /// Panics when an invariant is violated.
    pub fn check_invariants(&self, timers: &Timers) {
        let (mut busy, mut times) = ([0; 2], 0);
        for (check, one) in self.all.iter() {
            let lane = Lane::of(&one.spec.what);
            for (at, tag) in [(one.step, Tag::Step), (one.overdue, Tag::Overdue)] {
                if let Some(at) = at {
                    assert!(self.plan.has(at, tag, check), "{check:?}: its time is in the queue");
                    times += 1;
                }
            }
            let steps = matches!(one.state, State::Idle | State::Talking { .. } | State::Running { .. });
            assert_eq!(one.step.is_some(), steps, "{check:?}: {:?} goes on", one.state);
            match one.state {
                State::Talking { .. } | State::Running { .. } => busy[lane.expect("it takes a place") as usize] += 1,
                State::Queued => {
                    assert!(self.plan.is_waiting(lane.expect("it takes a place"), check), "{check:?} waits");
                }
                _ => {}
            }
            assert!(!one.users.is_empty() || matches!(one.state, State::Running { .. }), "{check:?}: nobody wants it");
            for user in &one.users {
                let members = self.of.get(&user.server).expect("a server that uses a check has it");
                assert_eq!(members.iter().filter(|m| m.check == check).count(), 1);
            }
        }
        for (server, members) in &self.of {
            for m in members {
                let one = self.all.get(m.check).expect("a check of a server is there");
                assert!(one.users.iter().any(|u| u.server == *server));
            }
        }
        assert_eq!(busy, [self.plan.taken(Lane::Connections), self.plan.taken(Lane::Programs)]);
        assert!(busy[0] <= self.plan.most(Lane::Connections) && busy[1] <= self.plan.most(Lane::Programs));
        assert_eq!(times, self.plan.len(), "a time in the queue is somebody's");
        assert!(self.matching.len() <= self.all.len());
        let more = !self.rousing.is_empty() || !self.unsaid.is_empty() || !self.matching.is_empty();
        assert_eq!(timers.get(Due::Checks).is_some(), times > 0 || more);
    }
}
