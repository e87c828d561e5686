//! Who is told of a change: hooks, named pipes, mail. Pure; the world asks at its leisure, after everything urgent of a turn.
//!
//! Read in this order: `vrrp/change.rs` (what is told), `queue` (hooks), `fifo` and `reader` (named pipes and who reads them), `mail`;
//! `text` holds the log lines. Every change has a number; each of the three keeps what it has to tell in that order and never
//! says one state twice in a row. Deliberately absent: D-Bus, SNMP.

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

/// What hooks, pipes and mail have together for the end, once the addresses are gone: a `notify_stop` of five seconds is allowed to
/// finish (trap 77), and a service manager's patience (90 s) is not tried.
pub const STOP_GRACE: Duration = Duration::from_secs(10);

/// What is told of a virtual server or real server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTold {
    /// Which.
    pub who: Subject,
    /// Whether it is up.
    pub up: bool,
    /// `quorum_up` or `notify_up` in the place of `master`, the other one in that of `backup`.
    pub scripts: Notify,
    /// It is mailed.
    pub mailed: bool,
    /// Why, for people.
    pub cause: String,
}

/// What the notifier may touch.
pub struct Cx<'a> {
    /// The turn's time.
    pub now: Now,
    /// Programs.
    pub children: &'a mut Children,
    /// Connections.
    pub conns: &'a mut Conns,
    /// Output.
    pub fx: &'a mut Effects,
    /// Last number given to a program.
    pub numbers: &'a mut u64,
}

impl Cx<'_> {
    /// A number for a program, never used before.
    pub fn number(&mut self) -> u64 {
        *self.numbers += 1;
        *self.numbers
    }
}

// One virtual router or sync group as it is told about.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
struct Known {
    notify: Notify,
    // What hooks and mail, and what pipes were told last; the same twice in a row is told once.
    last: Option<What>,
    piped: Option<What>,
    state: Option<State>,
}

/// See the module.
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

impl Notifier {
    /// What this machine is called, for mail without a `router_id`, `smtp_helo_name` or `notification_email_from`.
    pub fn set_host(&mut self, name: &str) {
        name.clone_into(&mut self.host);
    }

    /// What is to be told from now on, at the start and after a reload: pipes are opened and closed, what cannot run is said.
    /// Virtual routers and sync groups follow, each with [`Notifier::set`].
    pub fn set_global(&mut self, global: &Global, cx: &mut Cx<'_>) {
        let more = &global.more;
        self.alert = more.smtp_alert_vrrp.or(more.smtp_alert).unwrap_or(false);
        self.priority_changes = more.vrrp_notify_priority_changes;
        let host = if self.host.is_empty() { "localhost" } else { &self.host };
        self.mail.set(global, host);
        self.fifos.set(more, cx);
    }

    /// Somebody to tell about, new or with other scripts.
    pub fn set(&mut self, who: &Subject, notify: &Notify, cx: &mut Cx<'_>) {
        // Most of a reload changes nothing here, and a thousand of them are one slice's work.
        if self.known.get(who).is_some_and(|k| k.notify == *notify) {
            return;
        }
        self.hooks.set(who, notify, cx);
        self.known.entry(who.clone()).or_default().notify = notify.clone();
    }

    /// It is gone from the configuration, and was in the state `was`: that is told, unless there is no word for it and FAULT, the
    /// word that stands in, would be no news.
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

    /// It is gone, and nobody is told.
    pub fn forget(&mut self, who: &Subject) {
        self.known.remove(who);
        self.hooks.remove(who);
        self.mail.forget(who);
        self.fifos.forget(who);
    }

    /// Who is known here and not among `those`, with the state it was told to be in.
    pub fn others(&self, those: &BTreeSet<Subject>) -> Vec<(Subject, State)> {
        let others = self.known.iter().filter(|(who, _)| !those.contains(who));
        others.map(|(who, k)| (who.clone(), k.state.unwrap_or(State::Init))).collect()
    }

    /// The state that was told last.
    pub fn state(&self, who: &Subject) -> Option<State> {
        self.known.get(who)?.state
    }

    /// A change.
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
        self.seq += 1;
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

    /// A virtual server or real server is up or down. It is known by its scripts only while it has something to run: there may be tens of
    /// thousands of them.
    pub fn tell_server(&mut self, told: ServerTold, cx: &mut Cx<'_>) {
        if self.frozen {
            return;
        }
        self.seq += 1;
        let ServerTold { who, up, scripts, mailed, cause } = told;
        let what = if up { What::Up } else { What::Down };
        self.fifos.tell(&who, Some(what), &fifo::line(&who, what.word(), 0), cx);
        if mailed {
            self.mail.tell_server(&who, what, &cause, cx);
        }
        if scripts != Notify::default() {
            self.hooks.set(&who, &scripts, cx);
            let at = cx.now;
            self.hooks.push(&who, Told { what, old: None, priority: 0, cause, seq: self.seq, at }, cx);
            // What waits or runs is told to its end.
            self.hooks.remove(&who);
        }
    }

    /// `fifo_write_vrrp_states_on_reload`: a state that every reader of a pipe is told once more.
    pub fn repeat(&mut self, who: &Subject, state: State, priority: u8, cx: &mut Cx<'_>) {
        if state != State::Init {
            self.fifos.tell(who, Some(What::State(state)), &fifo::line(who, state.word(), priority), cx);
        }
    }

    /// The state that its hooks were told last, for the snapshot.
    pub fn told(&self, who: &Subject) -> Option<State> {
        self.hooks.told(who)
    }

    /// The state that the pipes were told last: its line was taken. Where there is no pipe: what hooks were told.
    pub fn piped(&self, who: &Subject) -> Option<State> {
        if self.fifos.is_empty() { self.told(who) } else { self.fifos.told(who) }
    }

    /// Whether [`Notifier::told`] or [`Notifier::piped`] has something else to say than the last time.
    pub fn take_dirty(&mut self) -> bool {
        let (hooks, fifos) = (self.hooks.take_dirty(), self.fifos.take_dirty());
        hooks || fifos
    }

    /// What the process before had told: it is not told again.
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

    /// Another process takes over: nothing new is begun, and its readers of the pipes are to be the only ones.
    pub fn freeze(&mut self, cx: &mut Cx<'_>) {
        self.frozen = true;
        self.hooks.freeze();
        self.mail.freeze();
        self.fifos.freeze(cx);
    }

    /// The addresses are gone: the last words. True when there is nothing (more) to wait for.
    pub fn stop(&mut self, cx: &mut Cx<'_>) -> bool {
        if self.stop_by.is_none() {
            self.stop_by = Some(cx.now.mono + STOP_GRACE);
            self.hooks.stop(cx);
            self.fifos.stop(cx);
            self.mail.stop(cx);
        }
        self.hooks.idle() && self.fifos.idle() && self.mail.idle()
    }

    /// A program ended.
    pub fn on_exit(&mut self, number: u64, end: ChildEnd, cx: &mut Cx<'_>) {
        self.hooks.on_exit(number, end, cx);
        self.fifos.on_exit(number, end, cx);
    }
    /// A pipe can be written to; or not.
    pub fn on_fifo_ready(&mut self, fifo: FifoKey, result: Result<(), Errno>, cx: &mut Cx<'_>) {
        self.fifos.on_ready(fifo, result, cx);
    }
    /// A line was written; or not.
    pub fn on_fifo_written(&mut self, fifo: FifoKey, result: Result<(), Errno>, cx: &mut Cx<'_>) {
        self.fifos.on_written(fifo, result, cx);
    }
    /// The mail server has these addresses.
    pub fn on_resolved(&mut self, conn: ConnKey, result: Result<&[SocketAddr], Errno>, cx: &mut Cx<'_>) {
        self.mail.on_resolved(conn, result, cx);
    }
    /// Something happened on the connection to the mail server.
    pub fn on_stream(&mut self, conn: ConnKey, what: Stream<'_>, cx: &mut Cx<'_>) {
        self.mail.on_stream(conn, what, cx);
    }

    /// How it stands.
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

    /// `Due::Notify`.
    pub fn on_due(&mut self, cx: &mut Cx<'_>) {
        if self.stop_by.is_some_and(|at| at <= cx.now.mono) {
            // Softly first; the world's patience ends with the hard way.
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

    /// The stop waits no longer: whatever still runs is killed.
    pub fn kill(&mut self, cx: &mut Cx<'_>) {
        self.hooks.end_all(true, cx);
        self.fifos.kill(cx);
    }

    /// Sets the one timer to when something is due.
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
