//! Notification of changes: hooks, named pipes, mail. Pure; the world calls it in each turn after all urgent work.
//!
//! Read in this order: `vrrp/change.rs` (the changes), `queue` (hooks), `fifo` and `reader` (named pipes and their readers), `mail`;
//! `text` contains the log lines. Every change has a number; hooks, pipes and mail each report changes in that order and never report one
//! state twice in a row. Deliberately absent: D-Bus, SNMP.

pub mod fifo;
pub mod mail;
pub mod queue;
pub mod reader;
pub mod script;
#[cfg(test)]
mod tests;
mod text;

pub use crate::vrrp::change::{Change, Subject, What};

use crate::child::Children;
use crate::config::model::Global;
use crate::config::model::vrrp::Notify;
use crate::conn::Conns;
use crate::effect::Effects;
use crate::event::{ChildEnd, Errno, Stream};
use crate::id::{ConnKey, FifoKey};
use crate::report::Notifications;
use crate::time::{Duration, Instant, Now, earliest};
use crate::timers::{Due, Timers};
use crate::vrrp::fsm::State;
use core::net::SocketAddr;
use fifo::Fifos;
use mail::Mail;
use queue::{Hooks, Told};
use std::collections::{BTreeMap, BTreeSet};

/// The time that hooks, pipes and mail have together at a stop, once the addresses are removed. A `notify_stop` of five seconds may
/// finish (trap 77), and the time is well below a service manager's limit (90 s).
pub const STOP_GRACE: Duration = Duration::from_secs(10);

/// A change of a virtual server or real server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTold {
    /// The virtual server or real server.
    pub who: Subject,
    /// Whether a real server takes connections, or a virtual server has its quorum.
    pub up: bool,
    /// `quorum_up` or `notify_up` in the place of `master`, `quorum_down` or `notify_down` in that of `backup`.
    pub scripts: Notify,
    /// Whether the change is mailed.
    pub mailed: bool,
    /// The first line of the mail, if that is not the reason.
    pub letter: Option<String>,
    /// The reason, as text.
    pub cause: String,
}

/// The parts of the world that the notifier uses.
pub struct Cx<'a> {
    /// The time of the turn.
    pub now: Now,
    /// Programs: hooks and the readers of pipes.
    pub children: &'a mut Children,
    /// Connections: the one to the mail server.
    pub conns: &'a mut Conns,
    /// The effects of the turn.
    pub fx: &'a mut Effects,
    /// Last number given to a program.
    pub numbers: &'a mut u64,
}

impl Cx<'_> {
    /// A number for a program; each is used once.
    pub fn number(&mut self) -> u64 {
        *self.numbers += 1;
        *self.numbers
    }
}

// The notifications of one virtual router or sync group.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
struct Known {
    notify: Notify,
    // What was last reported to hooks and mail, and to pipes; the same change twice in a row is reported once.
    last: Option<What>,
    piped: Option<What>,
    state: Option<State>,
}

/// Passes each change to hooks, pipes and mail, with a number. The world has one.
#[derive(Default, serde::Serialize, serde::Deserialize)]
pub struct Notifier {
    known: BTreeMap<Subject, Known>,
    hooks: Hooks,
    fifos: Fifos,
    mail: Mail,
    host: String,
    alert: bool,
    priority_changes: bool,
    seq: u64,
    stop_by: Option<Instant>,
    ended: bool,
    frozen: bool,
}

// The number of a change grows over restarts, too: a script may compare it with the last one that it saw.
fn next(seq: u64, at: Now) -> u64 {
    (seq + 1).max(at.wall.0 / 1_000_000)
}

impl Notifier {
    /// Sets the name of this machine, for mail without a `router_id`, `smtp_helo_name` or `notification_email_from`.
    pub fn set_host(&mut self, name: &str) {
        name.clone_into(&mut self.host);
    }

    /// Sets the notifications at the start and after a reload: opens and closes pipes, and logs programs that cannot run. Virtual routers
    /// and sync groups follow, each with [`Notifier::set`].
    pub fn set_global(&mut self, global: &Global, cx: &mut Cx<'_>) {
        let more = &global.more;
        self.alert = more.smtp_alert_vrrp.or(more.smtp_alert).unwrap_or(false);
        self.priority_changes = more.vrrp_notify_priority_changes;
        let host = if self.host.is_empty() { "localhost" } else { &self.host };
        self.mail.set(global, host);
        self.fifos.set(more, cx);
    }

    /// Sets the scripts of a virtual router or sync group, new or changed.
    pub fn set(&mut self, who: &Subject, notify: &Notify, cx: &mut Cx<'_>) {
        // Most of a reload changes nothing here, and one slice of a reload contains a thousand of them.
        if self.known.get(who).is_some_and(|k| k.notify == *notify) {
            return;
        }
        self.hooks.set(who, notify, cx);
        self.known.entry(who.clone()).or_default().notify = notify.clone();
    }

    /// The subject was removed from the configuration in state `was`. The removal is reported with the script for it. Without such a
    /// script it is reported as FAULT, unless the state was FAULT or INIT.
    pub fn remove(&mut self, change: Change, was: State, cx: &mut Cx<'_>) {
        let who = change.who.clone();
        let Some(known) = self.known.get(&who) else { return };
        if known.notify.deleted.is_some() {
            self.tell(Change { what: What::Deleted, ..change }, cx);
        } else if !matches!(was, State::Fault | State::Init) {
            self.tell(Change { what: What::Removed, ..change }, cx);
        }
        self.forget(&who);
    }

    /// The subject was removed; nothing is reported.
    pub fn forget(&mut self, who: &Subject) {
        self.known.remove(who);
        self.hooks.remove(who);
        self.mail.forget(who);
        self.fifos.forget(who);
    }

    /// The known subjects that are not among `those`, with the state that was last reported.
    pub fn others(&self, those: &BTreeSet<Subject>) -> Vec<(Subject, State)> {
        let others = self.known.iter().filter(|(who, _)| !those.contains(who));
        others.map(|(who, k)| (who.clone(), k.state.unwrap_or(State::Init))).collect()
    }

    /// The state that was last reported.
    pub fn state(&self, who: &Subject) -> Option<State> {
        self.known.get(who)?.state
    }

    /// Passes a change to hooks, pipes and mail. One of an unknown subject is ignored.
    pub fn tell(&mut self, change: Change, cx: &mut Cx<'_>) {
        let Some(known) = self.known.get_mut(&change.who) else { return };
        if self.frozen {
            return;
        }
        let old = known.state;
        let (mut hooks, mut pipes) = (true, true);
        if change.what.state_word().is_some() {
            hooks = known.last.replace(change.what) != Some(change.what);
            pipes = known.piped.replace(change.what) != Some(change.what);
        }
        if !hooks && !pipes {
            return;
        }
        if let What::State(s) = change.what {
            known.state = Some(s);
        }
        self.seq = next(self.seq, change.at);
        let priorities = known.notify.priority_changes.unwrap_or(self.priority_changes);
        let mailed = known.notify.smtp_alert.unwrap_or(self.alert);
        if pipes && (priorities || !matches!(change.what, What::Priority(_))) {
            let line = fifo::line(&change.who, change.what.word(), change.priority);
            let state = change.what.state_word().map(|_| change.what);
            self.fifos.tell(&change.who, state, &line, cx);
        }
        if hooks && mailed {
            self.mail.tell(&change.who, change.what, cx);
        }
        if hooks && !matches!(change.what, What::Priority(_)) {
            let Change { who, what, priority, cause, at } = change;
            self.hooks.push(&who, Told { what, old, priority, cause, seq: self.seq, at }, cx);
        }
    }

    /// A virtual server or real server is up or down. Its scripts are kept only while one is queued or runs: there may be tens of
    /// thousands of servers.
    pub fn tell_server(&mut self, told: ServerTold, cx: &mut Cx<'_>) {
        if self.frozen {
            return;
        }
        self.seq = next(self.seq, cx.now);
        let ServerTold { who, up, scripts, mailed, letter, cause } = told;
        let what = if up { What::Up } else { What::Down };
        self.fifos.tell(&who, Some(what), &fifo::line(&who, what.word(), 0), cx);
        if mailed {
            self.mail.tell_server(&who, what, letter.as_deref(), &cause, cx);
        }
        if scripts != Notify::default() {
            self.hooks.set(&who, &scripts, cx);
            let at = cx.now;
            self.hooks.push(&who, Told { what, old: None, priority: 0, cause, seq: self.seq, at }, cx);
            // Queued and running scripts are completed.
            self.hooks.remove(&who);
        }
    }

    /// `fifo_write_vrrp_states_on_reload`: writes a state to every pipe once more.
    pub fn repeat(&mut self, who: &Subject, state: State, priority: u8, cx: &mut Cx<'_>) {
        if state != State::Init {
            self.fifos.tell(who, Some(What::State(state)), &fifo::line(who, state.word(), priority), cx);
        }
    }

    /// The state that was last reported to the subject's hooks, for the snapshot.
    pub fn told(&self, who: &Subject) -> Option<State> {
        self.hooks.told(who)
    }

    /// The state that was last written to the pipes. Without pipes: the one that was last reported to hooks.
    pub fn piped(&self, who: &Subject) -> Option<State> {
        if self.fifos.is_empty() { self.told(who) } else { self.fifos.told(who) }
    }

    /// The subjects whose [`Notifier::told`] or [`Notifier::piped`] changed since the last call.
    pub fn take_changed(&mut self) -> BTreeSet<Subject> {
        let mut all = self.hooks.take_changed();
        all.append(&mut self.fifos.take_changed());
        all
    }

    /// Restores the states that the previous process had reported: they are not reported again.
    pub fn resume(&mut self, who: &Subject, told: Option<State>, piped: Option<State>) {
        if let Some(known) = self.known.get_mut(who) {
            known.state = told;
            known.last = told.map(What::State);
            known.piped = piped.map(What::State);
            self.fifos.resume(who, piped);
            self.hooks.resume(who, told);
            self.mail.resume(who, told);
        }
    }

    /// Another process takes over: no further program starts, and its readers of the pipes are to be the only ones.
    pub fn freeze(&mut self, cx: &mut Cx<'_>) {
        self.frozen = true;
        self.hooks.freeze();
        self.mail.freeze();
        self.fifos.freeze(cx);
    }

    /// The addresses are removed: reports the last changes. True when there is nothing (more) to wait for.
    pub fn stop(&mut self, cx: &mut Cx<'_>) -> bool {
        if self.stop_by.is_none() {
            self.stop_by = Some(cx.now.mono + STOP_GRACE);
            self.hooks.stop(cx);
            self.fifos.stop(cx);
            self.mail.stop(cx);
        }
        self.hooks.idle() && self.fifos.idle() && self.mail.idle()
    }

    /// A program of the notifier ended: a hook, or the reader of a pipe.
    pub fn on_exit(&mut self, number: u64, end: ChildEnd, cx: &mut Cx<'_>) {
        self.hooks.on_exit(number, end, cx);
        self.fifos.on_exit(number, end, cx);
    }
    /// A pipe can be written to, or the open failed.
    pub fn on_fifo_ready(&mut self, fifo: FifoKey, result: Result<(), Errno>, cx: &mut Cx<'_>) {
        self.fifos.on_ready(fifo, result, cx);
    }
    /// A line was written, or the write failed.
    pub fn on_fifo_written(&mut self, fifo: FifoKey, result: Result<(), Errno>, cx: &mut Cx<'_>) {
        self.fifos.on_written(fifo, result, cx);
    }
    /// The addresses of the mail server.
    pub fn on_resolved(&mut self, conn: ConnKey, result: Result<&[SocketAddr], Errno>, cx: &mut Cx<'_>) {
        self.mail.on_resolved(conn, result, cx);
    }
    /// An event of the connection to the mail server.
    pub fn on_stream(&mut self, conn: ConnKey, what: Stream<'_>, cx: &mut Cx<'_>) {
        self.mail.on_stream(conn, what, cx);
    }

    /// The state of the notifications.
    pub fn report(&self) -> Notifications {
        let (scripts_running, scripts_waiting, scripts_skipped) = self.hooks.counts();
        Notifications {
            scripts_running,
            scripts_waiting,
            scripts_skipped,
            pipes: self.fifos.report(),
            mails_waiting: self.mail.waiting(),
        }
    }

    /// [`Due::Notify`]: runs what is due in hooks, pipes and mail; at a stop, ends the hooks whose time is over.
    pub fn on_due(&mut self, cx: &mut Cx<'_>) {
        if self.stop_by.is_some_and(|at| at <= cx.now.mono) {
            // First with SIGTERM; [`Notifier::kill`] follows when the world's limit is over.
            if !core::mem::replace(&mut self.ended, true) {
                let n = self.hooks.end_all(false, cx);
                if n > 0 {
                    cx.fx.note(text::grace_over(n));
                }
            }
            return;
        }
        self.hooks.on_due(cx);
        self.fifos.on_due(cx);
        self.mail.on_due(cx);
    }

    /// The time limit of the stop is over: kills every program that still runs.
    pub fn kill(&mut self, cx: &mut Cx<'_>) {
        self.hooks.end_all(true, cx);
        self.fifos.kill(cx);
    }

    /// Sets the one timer to the next due action.
    pub fn wake(&self, timers: &mut Timers) {
        let parts = [self.hooks.deadline(), self.fifos.deadline(), self.mail.deadline()];
        let mut next = parts.into_iter().flatten().min();
        if self.ended {
            next = None;
        } else if self.stop_by.is_some() {
            next = earliest(next, self.stop_by);
        }
        if self.frozen {
            next = None;
        }
        match next {
            Some(at) if timers.get(Due::Notify) != Some(at) => timers.set(Due::Notify, at),
            Some(_) => {}
            None => drop(timers.stop(Due::Notify)),
        }
    }
}
