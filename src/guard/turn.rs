//! The guard's loop: wait, read signals, reap, hear the core, look at the clock.
//!
//! Read first: `mod.rs`.

use super::beat::PERIOD;
use super::core::Heard;
use super::proto::{ToCore, ToGuard};
use super::{Guard, Reload, STOP_LIMIT, child, text};
use crate::note::{Level, Note};
use crate::sys::child::End;
use crate::sys::daemonize::Start;
use crate::sys::{clock, poll, signal};
use crate::time::{Duration, Instant, earliest};
use std::os::fd::AsFd;

/// Messages heard in one turn: what is left is heard in the next, and signals come in between.
const HEAR: usize = 64;
/// Between two tries to send what a full line did not take.
const RETRY: Duration = Duration::from_millis(10);

impl Guard {
    /// Starts the core and serves until the end; the exit code. `report`: whom to tell that the start went well, or not.
    pub fn run(mut self, report: Start) -> u8 {
        self.report = Some(report);
        self.start_core(clock::mono(), None);
        loop {
            let now = clock::mono();
            self.look(now);
            if let Some(code) = self.end {
                return self.finish(code);
            }
            self.wait(now);
            let now = clock::mono();
            for s in signal::take(&self.signals) {
                self.on_signal(now, s);
            }
            self.reap(now);
            self.hear(now);
        }
    }

    fn finish(mut self, code: u8) -> u8 {
        self.scripts.kill_all();
        if let Some(report) = self.report.take() {
            report.failed(code);
        }
        self.note(text::stopped());
        code
    }

    fn wait(&mut self, now: Instant) {
        let backed_up = self.core.as_ref().is_some_and(|c| c.backed_up());
        let at = earliest(self.start_at, backed_up.then_some(now + RETRY));
        let until = at.map_or(PERIOD, |at| at.since(now)).min(PERIOD);
        let mut fds = vec![self.signals.as_fd()];
        fds.extend(self.core.as_ref().and_then(|c| c.fd()));
        // Rounded up, so that it does not turn for the last part of a millisecond.
        let millis = i32::try_from(until.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
        if poll::readable(&fds, millis).is_err() {
            // Not with these fds. To turn without waiting would be worse than to be late.
            let _ = poll::readable(&[], 100);
        }
    }

    fn on_signal(&mut self, now: Instant, s: u8) {
        match s {
            signal::TERM | signal::INT => {
                self.stopping.get_or_insert(now + STOP_LIMIT);
                if self.core.is_some() {
                    self.tell(ToCore::Signal(s));
                } else if self.removal.is_none() {
                    self.end = Some(0);
                }
            }
            signal::HUP if self.stopping.is_none() => self.ask_reload(now),
            signal::USR1 | signal::USR2 => self.tell(ToCore::Signal(s)),
            _ => {}
        }
    }

    fn tell(&mut self, message: ToCore) {
        if let Some(core) = &mut self.core
            && !core.say(message, None)
        {
            self.kill_core("it takes no messages");
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
            if let Some(ended) = self.scripts.on_end(pid, end) {
                child::reap(pid);
                if let Some((core, name, end)) = ended
                    && self.core.as_ref().is_some_and(|c| c.number == core)
                {
                    self.tell(ToCore::ChildExit { child: name, end });
                }
                continue;
            }
            child::reap(pid);
            self.on_end(now, pid, end);
        }
    }

    /// One of our own processes ended.
    fn on_end(&mut self, now: Instant, pid: u32, end: End) {
        if let Some(core) = self.core.take_if(|c| c.pid == pid) {
            self.scripts.orphan(core.number, now, None);
            if let Some(Reload::Applying(..)) = self.reload
                && self.stopping.is_none()
            {
                self.reloaded(now, false, "the VRRP process died of it");
            }
            match (self.stopping, end) {
                (Some(_), End::Exited(0)) => self.end = Some(0),
                (Some(_), _) => {
                    let code = if let End::Exited(code) = end { code } else { crate::exit::ExitCode::Internal as u8 };
                    self.note(text::not_respawning(pid, end));
                    self.remove_vips(now, super::After::End(code));
                }
                (None, _) => self.follow(&core, now, end),
            }
        } else if let Some(removal) = self.removal.take_if(|r| r.pid == pid) {
            self.note(text::removed(end));
            self.after(now, removal.after);
        } else if matches!(&self.reload, Some(Reload::Compiling(c)) if c.pid == pid)
            && let Some(Reload::Compiling(compiler)) = self.reload.take()
        {
            self.compiled(now, compiler, end);
        }
    }

    fn hear(&mut self, now: Instant) {
        for _ in 0..HEAR {
            let Some(heard) = self.core.as_mut().and_then(|c| c.hear()) else { return };
            match heard {
                // Its end follows.
                Heard::Closed => return,
                Heard::Nonsense => return self.kill_core("it said something that makes no sense"),
                Heard::Said(message) => self.on_message(now, message),
            }
        }
    }

    fn on_message(&mut self, now: Instant, message: ToGuard) {
        let Some(core) = &mut self.core else { return };
        core.heart.beat(now);
        match message {
            ToGuard::Beat => {}
            ToGuard::Ready => {
                core.ready = true;
                if let Some(report) = self.report.take() {
                    report.ready();
                }
            }
            ToGuard::Spawn { child, spec } => {
                if let Err(end) = self.scripts.spawn(core.number, child, &spec, &self.reports) {
                    self.tell(ToCore::ChildExit { child, end });
                }
            }
            ToGuard::Kill { child, hard } => self.scripts.kill(core.number, child, hard),
            ToGuard::Compile => self.ask_reload(now),
            ToGuard::Reloaded { done, text } => {
                if let Some(Reload::Applying(..)) = self.reload {
                    self.reloaded(now, done, &text);
                }
            }
            ToGuard::Frozen => {}
            ToGuard::Status(text) => self.note(Note { level: Level::Info, text }),
        }
    }

    /// What is due.
    fn look(&mut self, now: Instant) {
        self.scripts.tick(now);
        if let Some(core) = &mut self.core {
            core.flush();
            let pid = core.pid;
            if core.heart.look(now) {
                self.note(text::hung(pid));
                child::kill(pid, false, true);
            } else if self.stopping.is_some_and(|at| now >= at) {
                self.stopping = Some(now + STOP_LIMIT);
                self.note(text::forcing(pid));
                child::kill(pid, false, true);
            }
        }
        if let Some(removal) = &self.removal
            && now >= removal.deadline
        {
            child::kill(removal.pid, false, true);
        }
        match &mut self.reload {
            Some(Reload::Compiling(c)) => c.tick(now),
            Some(Reload::Applying(_, until)) if now >= *until => {
                self.reloaded(now, false, "the VRRP process did not answer");
            }
            _ => {}
        }
        if self.start_at.is_some_and(|at| now >= at) {
            self.start_core(now, None);
        }
    }
}
