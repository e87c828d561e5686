//! Hooks: programs that run after a change. One at a time per virtual router, a few at a time in total.
//!
//! Read first: `change.rs`, `child.rs`. For each change, the script named for it runs first, with exactly the arguments of the file; when
//! it has ended, the general `notify` runs with four more: `INSTANCE NAME STATE PRIO`, or `GROUP`. No shell is used. The queue is
//! limited; beyond the limit the oldest changes are dropped, so a slow hook always gets the newest state in the end, and never one state
//! twice in a row.

use super::{Cx, script, text};
use crate::child::For;
use crate::config::model::setting::Script;
use crate::config::model::vrrp::Notify;
use crate::effect::{Effect, GuardFx, SpawnSpec};
use crate::event::ChildEnd;
use crate::id::ChildKey;
use crate::time::{Duration, Instant, Now, earliest};
use crate::vrrp::change::{Subject, What};
use crate::vrrp::fsm::State;
use crate::words::Limit;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Changes of one virtual router that wait for its hook. Longer than a usual series of changes within a hook's few seconds; a hook with a
/// longer backlog is better served with the present state.
const PENDING: usize = 16;
/// Hooks that run at the same time, over all virtual routers: when 255 change together, 255 processes must not compete with the loop for
/// the processor (trap 75).
const AT_ONCE: usize = 16;
/// After this time a running hook is logged, no longer counts for [`AT_ONCE`], and is ended if its next change waits.
const LONG: Duration = Duration::from_secs(60);
/// At a stop: hooks that still run have so long until they make room for `notify_stop`.
const LONG_AT_STOP: Duration = Duration::from_secs(4);
/// An error that was logged when the configuration was read is not logged again for the first state, which follows at once.
const JUST_TOLD: Duration = Duration::from_secs(1);
/// Time from SIGTERM to SIGKILL of a hook.
pub(super) const HARD: Duration = Duration::from_secs(2);
/// Bytes of a cause in the environment.
const CAUSE: usize = 512;

/// A change to report.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Told {
    /// The kind of change.
    pub what: What,
    /// The state before, as far as it was reported.
    pub old: Option<State>,
    /// The effective priority at the change; 0 for a subject without one.
    pub priority: u8,
    /// Why the state changed, as the log line says; may be empty.
    pub cause: String,
    /// Number of the change, over all virtual routers.
    pub seq: u64,
    /// The time of the change.
    pub at: Now,
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Run {
    number: u64,
    child: ChildKey,
    program: String,
    since: Instant,
    // Logged as slow; does not count any more.
    slow: bool,
    term: Option<Instant>,
    killed: bool,
    then: Option<SpawnSpec>,
}

#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
struct Slot {
    scripts: Notify,
    pending: VecDeque<Told>,
    // The number under which the slot is listed in `waiting`.
    waits: Option<u64>,
    run: Option<Run>,
    skipped: u64,
    // The state that was last reported to the hooks, and the one whose report is running.
    told: Option<State>,
    telling: Option<State>,
    removed: bool,
    overflow: Limit,
    refused: Limit,
    // When the errors of the configuration were logged.
    told_at_load: Option<Instant>,
}

/// The queue of each subject's changes, and the hooks that run.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Hooks {
    slots: BTreeMap<Subject, Slot>,
    // Slots with a queued change and no running program, by the number of the change.
    waiting: BTreeSet<(u64, Subject)>,
    by_number: BTreeMap<u64, Subject>,
    running: usize,
    frozen: bool,
    stopping: bool,
    // A stop was requested, but the addresses are still in the kernel.
    held: bool,
    stop_began: Option<Instant>,
    // Their reported state changed.
    #[serde(default)]
    changed: BTreeSet<Subject>,
}

impl Slot {
    fn has_scripts(&self) -> bool {
        let n = &self.scripts;
        [&n.master, &n.backup, &n.fault, &n.stop, &n.any, &n.master_rx_lower_pri].iter().any(|s| s.is_some())
            || matches!(n.deleted, Some(Some(_)))
    }

    fn specific(&self, who: &Subject, what: What) -> Option<(&'static str, &Script)> {
        let n = &self.scripts;
        let [up, down] = server_keywords(who);
        let (keyword, script) = match what {
            What::State(State::Master) => ("notify_master", &n.master),
            What::State(State::Backup) => ("notify_backup", &n.backup),
            What::State(State::Fault) => ("notify_fault", &n.fault),
            What::Stop => ("notify_stop", &n.stop),
            What::RxLowerPri => ("notify_master_rx_lower_pri", &n.master_rx_lower_pri),
            What::Up => (up, &n.master),
            What::Down => (down, &n.backup),
            What::Deleted => return n.deleted.as_ref()?.as_deref().map(|s| ("notify_deleted", s)),
            What::State(State::Init) | What::Removed | What::Priority(_) => return None,
        };
        script.as_deref().map(|s| (keyword, s))
    }

    // Priority changes are written to pipes only, and an advert of lower priority is no change of state.
    fn generic(&self, what: What) -> Option<(&'static str, &Script)> {
        what.state_word()?;
        self.scripts.any.as_deref().map(|s| ("notify", s))
    }

    fn push(&mut self, who: &Subject, told: Told, cx: &mut Cx<'_>) {
        // One queued event of a lower advert stands for all that follow it.
        if told.what == What::RxLowerPri && self.pending.back().is_some_and(|t| t.what == What::RxLowerPri) {
            return;
        }
        self.pending.push_back(told);
        if self.pending.len() <= PENDING {
            return;
        }
        let oldest = self.pending.iter().position(|t| t.what == What::RxLowerPri).unwrap_or(0);
        self.pending.remove(oldest);
        self.skipped += 1;
        // The change that is the oldest now may be the state that the hook was last given. Only one can be: the states alternate.
        let first = self.pending.iter().position(|t| t.what.state_word().is_some());
        if let Some(i) = first
            && let What::State(s) = self.pending[i].what
            && self.telling.or(self.told) == Some(s)
        {
            self.pending.remove(i);
            self.skipped += 1;
        }
        if let Some(held_back) = self.overflow.pass(cx.now.mono) {
            cx.fx.note(text::skipped(who, held_back));
        }
    }

    // The programs for a change, in order; those that must not run are logged.
    fn steps(&mut self, who: &Subject, told: &Told, cx: &mut Cx<'_>) -> VecDeque<SpawnSpec> {
        let skipped = core::mem::take(&mut self.skipped);
        let mut steps = VecDeque::new();
        let mut refusals = Vec::new();
        let mut add = |found: Option<(&'static str, &Script)>, more: &[String]| {
            let Some((keyword, script)) = found else { return };
            match script::spec(script, more) {
                Ok(mut spec) => {
                    spec.env = env(who, told, skipped);
                    steps.push_back(spec);
                }
                Err(why) => refusals.push((keyword, script::program(script).to_owned(), why)),
            }
        };
        add(self.specific(who, told.what), &[]);
        let more = [who.kind(), who.name(), told.what.word(), &told.priority.to_string()].map(str::to_owned);
        add(self.generic(told.what), &more);
        let just_told = self.told_at_load.is_some_and(|at| cx.now.mono < at + JUST_TOLD);
        for (keyword, program, why) in refusals.into_iter().filter(|_| !just_told) {
            if let Some(held_back) = self.refused.pass(cx.now.mono) {
                cx.fx.note(text::refused(who, keyword, &program, &why, held_back));
            }
        }
        steps
    }
}

// The keywords of a server's scripts. They stand in the places of `notify_master` and `notify_backup`.
fn server_keywords(who: &Subject) -> [&'static str; 2] {
    match who {
        Subject::VirtualServer(_) => ["quorum_up", "quorum_down"],
        _ => ["notify_up", "notify_down"],
    }
}

fn is_server(who: &Subject) -> bool {
    matches!(who, Subject::VirtualServer(_) | Subject::RealServer { .. })
}

// One line, without control bytes, of limited length: the text comes from packets and files.
fn line(text: &str, max: usize) -> String {
    let mut out = String::new();
    for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if out.len() + c.len_utf8() > max {
            break;
        }
        out.push(c);
    }
    out
}

fn env(who: &Subject, told: &Told, skipped: u64) -> Vec<(String, String)> {
    let state = match told.what {
        What::RxLowerPri | What::Priority(true) => State::Master.word(),
        What::Priority(false) => State::Backup.word(),
        what => what.word(),
    };
    let old = match told.what {
        What::Up => What::Down.word(),
        What::Down => What::Up.word(),
        _ => told.old.unwrap_or(State::Init).word(),
    };
    let (name, of) = match who {
        Subject::Group(_) => ("KALIVED_GROUP", None),
        Subject::Instance(_) => ("KALIVED_INSTANCE", None),
        Subject::VirtualServer(_) => ("KALIVED_VIRTUAL_SERVER", None),
        Subject::RealServer { of, .. } => ("KALIVED_REAL_SERVER", Some(of)),
    };
    let of = of.map(|of| ("KALIVED_VIRTUAL_SERVER".to_owned(), line(of, CAUSE)));
    let all = [
        (name, line(who.name(), CAUSE)),
        ("KALIVED_STATE", state.to_owned()),
        ("KALIVED_OLD_STATE", old.to_owned()),
        ("KALIVED_PRIORITY", told.priority.to_string()),
        ("KALIVED_EVENT", told.what.word().to_owned()),
        ("KALIVED_CAUSE", line(&told.cause, CAUSE)),
        ("KALIVED_SEQ", told.seq.to_string()),
        ("KALIVED_SKIPPED", skipped.to_string()),
        ("KALIVED_TIME", told.at.wall.0.to_string()),
    ]
    .map(|(k, v)| (k.to_owned(), v));
    all.into_iter().chain(of).collect()
}

impl Hooks {
    /// The number of hooks that run, that are queued, and that were skipped.
    pub fn counts(&self) -> (u64, u64, u64) {
        let skipped = self.slots.values().map(|s| s.skipped).sum();
        (self.running as u64, self.waiting.len() as u64, skipped)
    }

    /// Sets the scripts of a virtual router; a known one uses them from its next change on. Programs that cannot run are logged.
    pub fn set(&mut self, who: &Subject, scripts: &Notify, cx: &mut Cx<'_>) {
        let slot = self.slots.entry(who.clone()).or_default();
        let same = slot.scripts == *scripts;
        slot.removed = false;
        slot.scripts = scripts.clone();
        let n = &slot.scripts;
        let mut told = false;
        let [up, down] = match is_server(who) {
            true => server_keywords(who),
            false => ["notify_master", "notify_backup"],
        };
        let all = [
            (up, &n.master),
            (down, &n.backup),
            ("notify_fault", &n.fault),
            ("notify_stop", &n.stop),
            ("notify", &n.any),
            ("notify_master_rx_lower_pri", &n.master_rx_lower_pri),
        ];
        let deleted = n.deleted.iter().flatten().map(|s| ("notify_deleted", s));
        for (keyword, script) in all.into_iter().filter_map(|(k, s)| Some((k, s.as_ref()?))).chain(deleted) {
            if let (false, Err(why)) = (same, script::check(script)) {
                cx.fx.note(text::refused(who, keyword, script::program(script), &why, 0));
                told = true;
            }
        }
        if told {
            // The state that follows at once does not log it again.
            slot.told_at_load = Some(cx.now.mono);
        }
    }

    /// The subject was removed from the configuration; queued changes are still reported.
    pub fn remove(&mut self, who: &Subject) {
        if let Some(slot) = self.slots.get_mut(who) {
            slot.removed = true;
            if slot.run.is_none() && slot.pending.is_empty() {
                self.slots.remove(who);
            }
        }
    }

    /// The state that was last reported to the hooks. Without hooks: the last state.
    pub fn told(&self, who: &Subject) -> Option<State> {
        self.slots.get(who)?.told
    }

    /// The subjects whose [`Hooks::told`] changed since the last call.
    pub fn take_changed(&mut self) -> BTreeSet<Subject> {
        core::mem::take(&mut self.changed)
    }

    /// Restores the state that the previous process had reported to the hooks.
    pub fn resume(&mut self, who: &Subject, told: Option<State>) {
        if let Some(slot) = self.slots.get_mut(who) {
            slot.told = told;
        }
    }

    /// Queues a change.
    pub fn push(&mut self, who: &Subject, told: Told, cx: &mut Cx<'_>) {
        if told.what == What::Stop && !self.stopping {
            self.stopping = true;
            self.held = true;
            // Older queued changes are not reported any more: only the last state matters.
            for slot in self.slots.values_mut() {
                slot.pending.clear();
            }
        }
        // `omega`: for a server, the change to down is the last one.
        if self.stopping && told.what != What::Stop && !is_server(who) {
            return;
        }
        let Some(slot) = self.slots.get_mut(who) else { return };
        if !slot.has_scripts() {
            if let What::State(s) = told.what {
                slot.told = Some(s);
                self.changed.insert(who.clone());
            }
            return;
        }
        let seq = told.seq;
        slot.push(who, told, cx);
        if slot.run.is_none() && slot.waits.is_none() && !slot.pending.is_empty() {
            slot.waits = Some(seq);
            self.waiting.insert((seq, who.clone()));
        }
        self.pump(cx);
    }

    /// The addresses are removed: `notify_stop` may run.
    pub fn stop(&mut self, cx: &mut Cx<'_>) {
        self.stopping = true;
        self.held = false;
        self.stop_began = Some(cx.now.mono);
        self.pump(cx);
    }

    /// Another process takes over: no further program starts.
    pub fn freeze(&mut self) {
        self.frozen = true;
    }

    /// Whether no program runs and no change is queued.
    pub fn idle(&self) -> bool {
        self.by_number.is_empty() && self.waiting.is_empty()
    }

    /// A hook ended; the next one may begin.
    pub fn on_exit(&mut self, number: u64, end: ChildEnd, cx: &mut Cx<'_>) {
        let Some(name) = self.by_number.remove(&number) else { return };
        let Some(slot) = self.slots.get_mut(&name) else { return };
        let Some(run) = slot.run.take_if(|r| r.number == number) else { return };
        if !run.slow {
            self.running -= 1;
        }
        if end != ChildEnd::Exited(0) {
            cx.fx.note(text::ended(&name, &run.program, end));
        }
        match run.then {
            Some(spec) if !self.frozen => self.run(&name, spec, None, cx),
            _ => self.over(&name),
        }
        self.pump(cx);
    }

    /// Handles hooks that run too long.
    pub fn on_due(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        let (stopping, stop_began) = (self.stopping, self.stop_began);
        for (name, slot) in &mut self.slots {
            let waits = !slot.pending.is_empty();
            let Some(run) = &mut slot.run else { continue };
            let (slow, end) = limits(run, waits, stop_began);
            if slow.is_some_and(|at| at <= now) {
                run.slow = true;
                self.running -= 1;
                if !stopping {
                    cx.fx.note(text::slow(name, &run.program, now.since(run.since)));
                }
            }
            if end.is_some_and(|at| at <= now) {
                if run.term.is_none() {
                    run.term = Some(now);
                    cx.fx.note(text::terminated(name, &run.program));
                    cx.fx.push(Effect::Guard(GuardFx::Kill { child: run.child, hard: false }));
                } else {
                    run.killed = true;
                    cx.fx.push(Effect::Guard(GuardFx::Kill { child: run.child, hard: true }));
                }
            }
        }
        self.pump(cx);
    }

    /// The time of the next due action.
    pub fn deadline(&self) -> Option<Instant> {
        let each = self.slots.values().filter_map(|slot| {
            let (slow, end) = limits(slot.run.as_ref()?, !slot.pending.is_empty(), self.stop_began);
            earliest(slow, end)
        });
        each.min()
    }

    /// Ends all running programs; returns their number.
    pub fn end_all(&mut self, hard: bool, cx: &mut Cx<'_>) -> usize {
        self.waiting.clear();
        for run in self.slots.values().filter_map(|s| s.run.as_ref()) {
            cx.fx.push(Effect::Guard(GuardFx::Kill { child: run.child, hard }));
        }
        self.by_number.len()
    }

    fn pump(&mut self, cx: &mut Cx<'_>) {
        // At a stop the addresses are removed already, so many processes delay nothing.
        while !self.frozen && !self.held && (self.running < AT_ONCE || self.stopping) {
            let Some((_, name)) = self.waiting.pop_first() else { return };
            let Some(slot) = self.slots.get_mut(&name) else { continue };
            slot.waits = None;
            let Some(told) = slot.pending.pop_front() else { continue };
            slot.telling = match told.what {
                What::State(s) => Some(s),
                _ => None,
            };
            let mut steps = slot.steps(&name, &told, cx);
            match steps.pop_front() {
                Some(spec) => self.run(&name, spec, steps.pop_front(), cx),
                None => self.over(&name),
            }
        }
    }

    fn run(&mut self, who: &Subject, spec: SpawnSpec, then: Option<SpawnSpec>, cx: &mut Cx<'_>) {
        let Some(slot) = self.slots.get_mut(who) else { return };
        if then.is_none() {
            // A change counts as reported when its last program has started.
            slot.told = slot.telling.or(slot.told);
            self.changed.insert(who.clone());
        }
        let number = cx.number();
        let program = spec.argv.first().cloned().unwrap_or_default();
        let child = cx.children.spawn(For::Hook(number), spec, cx.fx);
        let since = cx.now.mono;
        slot.run = Some(Run { number, child, program, since, slow: false, term: None, killed: false, then });
        self.by_number.insert(number, who.clone());
        self.running += 1;
    }

    // A change was reported: the next one of this virtual router is queued in its place.
    fn over(&mut self, who: &Subject) {
        let Some(slot) = self.slots.get_mut(who) else { return };
        // After a freeze in between, the change was not reported: the next process begins it anew.
        if !self.frozen {
            slot.told = slot.telling.take().or(slot.told);
            self.changed.insert(who.clone());
        }
        match slot.pending.front().map(|t| t.seq) {
            Some(seq) => {
                slot.waits = Some(seq);
                self.waiting.insert((seq, who.clone()));
            }
            None if slot.removed => drop(self.slots.remove(who)),
            None => {}
        }
    }
}

// When a running hook is logged as slow, and when it is ended, with SIGTERM or SIGKILL.
fn limits(run: &Run, waits: bool, stop_began: Option<Instant>) -> (Option<Instant>, Option<Instant>) {
    let mut long = run.since + LONG;
    if let Some(began) = stop_began {
        long = long.min(began + LONG_AT_STOP);
    }
    let slow = (!run.slow).then_some(run.since + LONG);
    let end = match run.term {
        None => waits.then_some(long),
        Some(at) => (!run.killed).then_some(at + HARD),
    };
    (slow, end)
}
