//! Notification of changes of state: hooks, named pipes, mail.
//!
//! Read first: `mod.rs`, `notify/mod.rs`. This file passes events to the notifier, at the end of a turn.

use super::*;
use crate::config::model::InstanceConfig;
use crate::config::model::vrrp::SyncGroup;
use crate::event::{ChildEnd, Stream};
use crate::id::{ConnKey, FifoKey};
use crate::notify::{Subject, What};
use core::net::SocketAddr;

fn gone(who: Subject, priority: u8, at: Now) -> Change {
    Change { who, what: What::Removed, priority, cause: "no longer in the configuration".to_owned(), at }
}

fn set(n: &mut Notifier, cfg: &InstanceConfig, cx: &mut crate::notify::Cx<'_>) {
    n.set(&Subject::Instance(cfg.name.clone()), &cfg.more.notify, cx);
}

fn group_of(g: &SyncGroup) -> Subject {
    Subject::Group(g.name.to_string())
}

impl World {
    /// The name of this machine, for mail without a configured name.
    pub fn set_host(&mut self, name: &str) {
        self.notifier.set_host(name);
    }

    /// Opens pipes and sets hooks. Before the first virtual router starts.
    pub(super) fn begin_notifying(&mut self, now: Now, fx: &mut Effects) {
        let (base, instances) = (&self.base, &self.instances);
        notify!(self, now, fx, |n, cx| {
            n.set_global(&base.global, cx);
            instances.iter().for_each(|(_, vi)| set(n, vi.cfg(), cx));
            base.sync_groups.iter().for_each(|g| n.set(&group_of(g), &g.notify, cx));
        });
        self.inherit(now);
        self.inherit_groups(now);
        self.written.shots.clear();
    }

    /// A reload begins: sets the notifications of `config`.
    pub(super) fn alter_hooks(&mut self, now: Now, config: &Config, fx: &mut Effects) {
        // Earlier changes are reported as the previous configuration requires.
        self.tell_changes(now, fx);
        notify!(self, now, fx, |n, cx| {
            n.set_global(&config.global, cx);
            config.instances.iter().for_each(|cfg| set(n, cfg, cx));
            config.sync_groups.iter().for_each(|g| n.set(&group_of(g), &g.notify, cx));
        });
    }

    /// A reload removed this virtual router in that state; its key is invalid afterwards.
    pub(super) fn instance_removed(&mut self, now: Now, vr: VrKey, was: State, fx: &mut Effects) {
        self.tell_changes(now, fx);
        let Some(vi) = self.instances.get(vr) else { return };
        // Another virtual router may have its name by now.
        let name = &vi.cfg().name;
        if self.instances.iter().any(|(other, vi)| other != vr && vi.cfg().name == *name) {
            return;
        }
        let (who, priority) = (Subject::Instance(name.clone()), vi.priority());
        notify!(self, now, fx, |n, cx| n.remove(gone(who, priority, now), was, cx));
    }

    /// A reload is complete. Notifications use names: a virtual router that continues under another name is reported under that one.
    pub(super) fn hooks_altered(&mut self, now: Now, fx: &mut Effects) {
        // What was reported is asked for anew.
        self.written.shots.clear();
        self.tell_changes(now, fx);
        let instances = self.instances.iter().map(|(_, vi)| Subject::Instance(vi.cfg().name.clone()));
        let there: BTreeSet<Subject> = instances.chain(self.base.sync_groups.iter().map(group_of)).collect();
        for (who, was) in self.notifier.others(&there) {
            notify!(self, now, fx, |n, cx| match who {
                // As in keepalived: only the members of a removed group are reported.
                Subject::Group(_) => n.forget(&who),
                who => n.remove(gone(who, 0, now), was, cx),
            });
        }
        for (vr, vi) in self.instances.iter() {
            let (who, state) = (Subject::Instance(vi.cfg().name.clone()), vi.state());
            // A new Master is reported when its urgent work is done.
            let telling = self.timers.get(Due::Claim(vr)).is_some();
            if state != State::Init && !telling && self.notifier.state(&who) != Some(state) {
                let cause = "goes by this name since the reload".to_owned();
                self.changes.push(Change { who, what: What::State(state), priority: vi.priority(), cause, at: now });
            }
        }
        self.tell_changes(now, fx);
        if self.base.global.more.fifo_write_vrrp_states_on_reload {
            let (instances, groups) = (&self.instances, self.groups());
            notify!(self, now, fx, |n, cx| {
                for (_, vi) in instances.iter() {
                    n.repeat(&Subject::Instance(vi.cfg().name.clone()), vi.state(), vi.priority(), cx);
                }
                groups.iter().for_each(|g| n.repeat(&Subject::Group(g.name.clone()), g.state, 0, cx));
            });
        }
    }

    // Virtual routers that continue from the previous process: what that process reported is not reported again, and what it could not
    // report is reported now.
    fn inherit(&mut self, now: Now) {
        for (vr, told, piped) in core::mem::take(&mut self.inherited) {
            let Some(vi) = self.instances.get(vr) else { continue };
            let who = Subject::Instance(vi.cfg().name.clone());
            self.notifier.resume(&who, told, piped);
            self.notified = true;
            // A new Master is reported by itself.
            let state = Some(vi.state());
            let news = told != state || piped != state;
            if vi.state() != State::Init && news && self.timers.get(Due::Claim(vr)).is_none() {
                let what = What::State(vi.state());
                let cause = "taken over from the process before".to_owned();
                self.changes.push(Change { who, what, priority: vi.priority(), cause, at: now });
            }
        }
    }

    // As `inherit`, for sync groups: a change that was reported for all members may not have been reported for the group.
    fn inherit_groups(&mut self, now: Now) {
        let shots = core::mem::take(&mut self.inherited_groups);
        let state = |n: Option<u8>| State::ALL.get(usize::from(n?)).copied();
        for g in self.groups() {
            let Some(shot) = shots.iter().find(|s| s.name == g.name) else { continue };
            let (who, told, piped) = (Subject::Group(g.name.clone()), state(shot.notified), state(shot.piped));
            self.notifier.resume(&who, told, piped);
            self.notified = true;
            let is = Some(g.state);
            let said = |c: &Change| c.who == who && c.what == What::State(g.state);
            if g.state != State::Init && (told != is || piped != is) && !self.changes.iter().any(said) {
                let cause = "taken over from the process before".to_owned();
                self.changes.push(Change { who, what: What::State(g.state), priority: 0, cause, at: now });
            }
        }
    }

    /// Freezes hooks, pipes and mail, after the changes of the turn were passed to them: another process takes over.
    pub(super) fn freeze_hooks(&mut self, now: Now, fx: &mut Effects) {
        self.tell_changes(now, fx);
        notify!(self, now, fx, |n, cx| n.freeze(cx));
        self.notifier.wake(&mut self.timers);
    }

    // Reports the changes at the end of a turn.
    pub(super) fn tell_changes(&mut self, now: Now, fx: &mut Effects) {
        if matches!(self.phase, Phase::Reading | Phase::Standby | Phase::Cleaning) {
            return; // the notifier knows no subject yet
        }
        let mut changes = core::mem::take(&mut self.changes);
        for change in changes.drain(..) {
            notify!(self, now, fx, |n, cx| n.tell(change, cx));
        }
        self.changes = changes;
        if core::mem::take(&mut self.notified) {
            self.notifier.wake(&mut self.timers);
        }
    }

    // The addresses are removed, or their removal is not waited for any longer: only the notifications remain.
    pub(super) fn leave(&mut self, now: Now, fx: &mut Effects) {
        let first = !self.leaving;
        self.leaving = true;
        // The farewell is the last packet: where adverts of the previous process are still to leave, it leaves behind them once more. An
        // interval that is longer than the time of the programs below is not waited for.
        if notify!(self, now, fx, |n, cx| n.stop(cx)) && !self.parting() {
            self.exit(now, fx);
            return;
        }
        if first {
            // With two more seconds for programs that have to be killed.
            self.timers.set(Due::Exit, now.mono + crate::notify::STOP_GRACE + STOP_LIMIT);
        }
        self.notifier.wake(&mut self.timers);
    }

    pub(super) fn on_exit_due(&mut self, now: Now, fx: &mut Effects) {
        // It could not be taken over in time.
        if matches!(self.phase, Phase::Reading | Phase::Standby)
            && let Some(signal) = self.standby.as_ref().and_then(|s| s.stop)
        {
            return self.on_signal(now, signal, fx);
        }
        if self.leaving || self.hurried {
            notify!(self, now, fx, |n, cx| n.kill(cx));
            self.exit(now, fx);
        } else {
            self.leave(now, fx);
        }
    }

    pub(super) fn on_notify_due(&mut self, now: Now, fx: &mut Effects) {
        notify!(self, now, fx, |n, cx| n.on_due(cx));
    }
    pub(super) fn on_hook_exit(&mut self, now: Now, hook: u64, end: ChildEnd, fx: &mut Effects) {
        notify!(self, now, fx, |n, cx| n.on_exit(hook, end, cx));
    }
    pub(super) fn on_fifo_ready(&mut self, now: Now, fifo: FifoKey, result: Result<(), Errno>, fx: &mut Effects) {
        notify!(self, now, fx, |n, cx| n.on_fifo_ready(fifo, result, cx));
    }
    pub(super) fn on_fifo_written(&mut self, now: Now, fifo: FifoKey, result: Result<(), Errno>, fx: &mut Effects) {
        notify!(self, now, fx, |n, cx| n.on_fifo_written(fifo, result, cx));
    }
    pub(super) fn on_resolved(&mut self, now: Now, conn: ConnKey, r: Result<&[SocketAddr], Errno>, fx: &mut Effects) {
        notify!(self, now, fx, |n, cx| n.on_resolved(conn, r, cx));
    }
    pub(super) fn on_mail_stream(&mut self, now: Now, conn: ConnKey, what: Stream<'_>, fx: &mut Effects) {
        notify!(self, now, fx, |n, cx| n.on_stream(conn, what, cx));
    }
}
