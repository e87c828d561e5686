//! The guard's loop: wait, read signals, reap children, read the core's messages, run timers.
//!
//! Read first: `mod.rs`.

use super::around::OWNER;
use super::core::{Core, Heard, Starter};
use super::handover::Handover;
use super::{After, Guard, STOP_LIMIT, leftovers, text};
use crate::exit::ExitCode;
use crate::process::proto::PERIOD;
use crate::process::proto::{ToCore, ToGuard};
use crate::process::sysctls;
use crate::sys::child::{self, End};
use crate::sys::daemonize::Start;
use crate::sys::{clock, poll, privilege, signal};
use crate::time::{Duration, Instant, earliest};
use std::fs::File;
use std::os::fd::AsFd;

/// Messages read in one turn: the rest is read in the next, and signals are handled in between.
const HEAR: usize = 64;
/// Programs started in one turn. A fork and its exec take about a millisecond on a slow processor; the rest is read in the next turn, and
/// signals, ends of children and heartbeats are handled in between.
const SPAWN: usize = 4;
/// Between two tries to send messages that a full line did not take.
const RETRY: Duration = Duration::from_millis(10);

/// The limits of one process per turn.
#[derive(Default)]
struct Share {
    heard: usize,
    spawns: usize,
}

impl Share {
    fn is_left(&self) -> bool {
        self.heard < HEAR && self.spawns < SPAWN
    }
    fn take(&mut self, spawn: bool) {
        self.heard += 1;
        self.spawns += usize::from(spawn);
    }
}

impl Guard {
    /// Starts the core and serves until the end; returns the exit code. `report`: the process that waits for the result of the start;
    /// `go`: there is a snapshot, and the core is to continue with it.
    pub fn run(mut self, report: Start, go: Option<ToCore>) -> u8 {
        self.report = Some(report);
        // Sent when the core stands by and the lock file shows that a core is in charge.
        self.go = go;
        let now = clock::mono();
        if self.go.is_some() || !self.startup || !self.begin_around(now, text::STARTUP) {
            self.start_core(now, None);
        }
        self.serve_on()
    }

    /// Serves until the end.
    pub(super) fn serve_on(mut self) -> u8 {
        privilege::hide();
        child::adopt_orphans();
        loop {
            let now = clock::mono();
            self.look(now);
            if let Some(code) = self.end
                && self.may_finish(now)
            {
                return self.finish(code);
            }
            self.wait(now);
            let now = clock::mono();
            for s in signal::take(&self.signals) {
                self.on_signal(now, s);
            }
            self.reap(now);
            self.hear(now);
            self.serve(now);
        }
    }

    fn finish(mut self, code: u8) -> u8 {
        self.scripts.kill_all();
        // Not at a hand-over: a service that a script started continues, as the addresses do.
        if self.stopping.is_some() {
            leftovers::end();
            // The core has put them back, or the remover after it.
            if let Some(lock) = &self.lock {
                let _ = std::fs::remove_file(sysctls::path(lock.path()));
            }
        }
        if let Some(report) = self.report.take() {
            report.failed(code);
        }
        // Once a client learns that this guard has ended, no file of ours may hinder the next guard.
        self.answers.unlisten();
        drop(self.core_pid_file.take());
        drop(self.checkers_pid_file.take());
        drop(self.pid_file.take());
        drop(self.lock.take());
        let note = text::stopped();
        self.answers.close(&note.text);
        self.note(note);
        code
    }

    fn wait(&mut self, now: Instant) {
        let cores = [self.core.as_ref(), self.upgrade.as_ref().and_then(|u| u.next())];
        let backed_up = cores.iter().flatten().any(|c| c.backed_up());
        let at = earliest(self.start_at, backed_up.then_some(now + RETRY));
        let at = earliest(at, self.watchdog_due());
        let until = at.map_or(PERIOD, |at| at.since(now)).min(PERIOD);
        let mut fds = vec![self.signals.as_fd()];
        fds.extend(cores.iter().flatten().filter_map(|c| c.fd()));
        fds.extend(self.answers.fds());
        // Rounded up, so that the loop does not run again for a fraction of a millisecond.
        let millis = i32::try_from(until.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
        if poll::readable(&fds, millis).is_err() {
            // The poll failed with these descriptors. To loop without waiting would be worse than a delay.
            let _ = poll::readable(&[], 100);
        }
    }

    fn on_signal(&mut self, now: Instant, s: u8) {
        match s {
            signal::TERM | signal::INT => self.stop(now, s),
            signal::QUIT if self.stopping.is_none() => self.hand_over(now, None),
            signal::HUP if self.stopping.is_none() => self.ask_reload(now, None, false),
            s => self.on_dump_signal(now, s),
        }
    }

    /// A signal that keepalived acts on and kalived does not: logged once, because monitoring sends some of them every minute.
    pub(super) fn on_unused(&mut self, s: u8) {
        let bit = 1u64.checked_shl(u32::from(s) - 1).unwrap_or(0);
        if s != signal::CHLD && self.unused & bit == 0 {
            self.unused |= bit;
            self.note(text::unused_signal(s));
        }
    }

    /// A stop is requested, perhaps again.
    pub(super) fn stop(&mut self, now: Instant, s: u8) {
        if self.stopping.is_none() {
            self.answers.systemd.stopping("stopping");
            self.stopping = Some(now + STOP_LIMIT);
        }
        self.give_up_upgrade(now, "kalived stops");
        self.give_up_handover("kalived stops");
        self.forget_hand_over("kalived stops");
        // No advert of an old core may follow the priority-0 advert of the core in charge.
        for (pid, _) in self.leaving.drain(..) {
            child::kill(pid, false, true);
        }
        if self.core.is_some() {
            // It continues what another process left, so that each Master says farewell.
            if let Some(go) = self.go.take() {
                self.say_in_charge();
                self.tell(go);
            }
            self.tell(ToCore::Signal(s));
        } else if self.removal.is_none() && self.end.is_none() {
            self.start_at = None;
            self.make_sure(now);
        }
    }

    fn reap(&mut self, now: Instant) {
        // Each child that ends is reaped once, so this ends.
        while let Some((pid, end)) = child::ended() {
            for report in self.reports.read() {
                if let Some(note) = self.scripts.on_report(report) {
                    self.note(note);
                }
            }
            let script = self.scripts.on_end(pid, end);
            child::reap(pid);
            match script {
                Some(Some((OWNER, _, end))) => self.around_ended(now, end),
                Some(Some((core, name, end))) if self.core.as_ref().is_some_and(|c| c.number == core) => {
                    self.tell(ToCore::ChildExit { child: name, end });
                }
                Some(_) => {}
                None => self.on_end(now, pid, end),
            }
            for (core, child, end) in self.scripts.start_waiting(&self.reports) {
                if self.core.as_ref().is_some_and(|c| c.number == core) {
                    self.tell(ToCore::ChildExit { child, end });
                }
            }
        }
        self.rest_compiler(now);
    }

    /// One of our own processes ended.
    fn on_end(&mut self, now: Instant, pid: u32, end: End) {
        // A compiler that was ended in its rest had completed its work.
        let end = if self.resting.ended(pid) { End::Exited(0) } else { end };
        if let Some(core) = self.core.take_if(|c| c.pid == pid) {
            self.core_ended(now, core, end);
        } else if let Some(core) = self.core.as_mut().filter(|c| c.helper == Some(pid)) {
            core.helper_ended(now);
            // A helper that ends with its core has not failed. Which of the two is the case is known when the next one is to be started.
            self.helper_died = self.stopping.is_none().then_some((pid, end));
        } else if let Some(removal) = self.removal.take_if(|r| r.pid == pid) {
            if !removal.quiet || end != End::Exited(0) {
                self.note(text::removed(end));
            }
            if end != End::Exited(0) {
                self.remove_vips_here(matches!(removal.after, After::End(_)));
            }
            self.after(now, removal.after);
        } else if !self.dump_ended(now, pid, end) && !self.compiler_ended(now, pid, end) {
            self.leaving.retain(|(p, _)| *p != pid);
            self.handover_asked(now, pid, end);
            self.upgrade_ended(now, pid, end);
        }
    }

    /// A compiler that stopped itself has completed its work. It is ended, and its memory freed, at a moment that the core chooses; the
    /// reload goes on after that, because the next process that ends, such as the client's, would free that memory.
    fn rest_compiler(&mut self, now: Instant) {
        let Some(pid) = self.reloads.compiler().filter(|pid| child::stopped(*pid)) else { return };
        self.resting.add(pid, now);
        // The core of another release, which an upgrade replaces, may not know the request.
        if self.core.is_some() && self.upgrade.is_none() {
            self.tell(ToCore::Lull);
        } else {
            self.resting.end();
        }
    }

    fn core_ended(&mut self, now: Instant, core: Core, end: End) {
        self.helper_died = None;
        if self.handover_died(now, core.pid, end) {
            return self.scripts.orphan(core.number, now, false);
        }
        if self.go_for(&core, now, end) {
            return;
        }
        self.scripts.orphan(core.number, now, false);
        match (self.stopping, end) {
            (Some(_), End::Exited(0)) => self.make_sure(now),
            (Some(_), _) => {
                // A core that another process killed meanwhile is no internal fault: the remover does what was requested.
                let code = match end {
                    End::Exited(code) => code,
                    End::Signaled(s) if signal::is_from_outside(s) && !core.killed() => ExitCode::Ok as u8,
                    End::Signaled(_) => ExitCode::Internal as u8,
                };
                self.note(text::not_respawning(core.pid, end));
                self.remove_vips(now, After::End(code));
            }
            (None, _) => {
                self.follow(&core, now, end);
                self.core_will_not_answer(now);
            }
        }
    }

    fn hear(&mut self, now: Instant) {
        for next in [false, true] {
            let mut share = Share::default();
            while share.is_left() {
                let core = match next {
                    false => self.core.as_mut(),
                    true => self.upgrade.as_mut().and_then(|u| u.next_mut()),
                };
                let Some(core) = core else { break };
                match core.hear(&mut self.buf) {
                    // The end of the core follows.
                    None | Some(Heard::Closed) => break,
                    Some(Heard::Nonsense) => {
                        core.kill();
                        let note = text::nonsense(core.pid, "it said something that makes no sense");
                        self.note(note);
                        break;
                    }
                    Some(Heard::Said(message, file)) => {
                        core.heart.beat(now);
                        share.take(matches!(message, ToGuard::Spawn { .. }));
                        self.on_message(now, next, message, file);
                    }
                }
            }
        }
    }

    fn on_message(&mut self, now: Instant, next: bool, message: ToGuard, file: Option<File>) {
        match message {
            ToGuard::Beat => {}
            ToGuard::Ready if next => self.next_ready(now),
            ToGuard::Ready => {
                self.core_ready();
                if let Some(report) = self.report.take() {
                    report.ready();
                    self.answers.ready(None);
                }
            }
            // A core that stands by has no messages yet.
            _ if next => {}
            ToGuard::Spawn { child, spec } => {
                if let Some(core) = &self.core
                    && let Err(end) = self.scripts.spawn(core.number, child, &spec, &self.reports)
                {
                    self.tell(ToCore::ChildExit { child, end });
                }
            }
            ToGuard::Kill { child, hard } => {
                if let Some(core) = &self.core
                    && let Some(end) = self.scripts.kill(core.number, child, hard)
                {
                    self.tell(ToCore::ChildExit { child, end });
                }
            }
            ToGuard::Compile => self.ask_reload(now, None, false),
            ToGuard::Reloaded { done, text } => self.core_answered(now, done, &text),
            ToGuard::Frozen if self.handover.as_ref().is_some_and(Handover::is_freezing) => self.handed_over(now),
            ToGuard::Frozen => self.frozen(now),
            ToGuard::Status(text) => self.on_old_status(now, &text),
            ToGuard::Report => self.on_report(now, file),
            ToGuard::Signal(s) => self.on_dump_signal(now, s),
            ToGuard::Recorded { done, text } => self.on_recorded(done, &text),
            ToGuard::Summary(text) => self.answers.on_summary(text),
            ToGuard::Lull => self.resting.end(),
        }
    }

    /// Runs what is due.
    fn look(&mut self, now: Instant) {
        self.scripts.tick(now);
        self.resting.tick(now);
        let sysctls = self.lock.as_ref().map(|lock| sysctls::path(lock.path()));
        let mut starter = Starter { roles: &self.roles, log: &mut self.log, reports: &self.reports, sysctls };
        if let Some(core) = &mut self.core {
            let had = core.helper;
            let takes = core.look(&mut starter, now);
            if let Some((pid, end)) = self.helper_died.take_if(|_| had != core.helper) {
                starter.log.note(&text::helper_died(pid, end));
            }
            if !takes || core.heart.look(now) {
                core.kill();
                starter.log.note(&text::hung(core.pid));
            } else if self.stopping.is_some_and(|at| now >= at) {
                self.stopping = Some(now + STOP_LIMIT);
                core.kill();
                starter.log.note(&text::forcing(core.pid));
            }
        }
        if let Some(removal) = &self.removal
            && now >= removal.deadline
        {
            child::kill(removal.pid, false, true);
        }
        for (pid, _) in self.leaving.iter().filter(|(_, until)| now >= *until) {
            child::kill(*pid, false, true);
        }
        if self.start_at.is_some_and(|at| now >= at) {
            // A core that had not begun leaves the state of the previous kalived unchanged.
            let servers = self.go.is_none() && self.restart.keeps_servers();
            self.start_core(now, servers.then_some(ToCore::GoServers));
        }
        self.look_at_reload(now);
        self.look_at_upgrade(now);
        self.look_at_handover(now);
        self.look_at_around(now);
        self.look_at_report(now);
        self.look_at_answers(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_programs_asked_for_at_once_are_started_in_several_turns() {
        let turns = |spawns: usize, others: usize| {
            let mut messages = (0..spawns).map(|_| true).chain((0..others).map(|_| false)).peekable();
            let mut turns = 0;
            while messages.peek().is_some() {
                let mut share = Share::default();
                turns += 1;
                while share.is_left()
                    && let Some(spawn) = messages.next()
                {
                    share.take(spawn);
                }
                assert!(share.spawns <= SPAWN);
            }
            turns
        };
        assert_eq!(turns(50, 0), 50usize.div_ceil(SPAWN));
        assert_eq!(turns(0, 128), 2);
    }
}
