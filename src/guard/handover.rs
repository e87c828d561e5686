//! A hand-over to a kalived that is started next: the core freezes, the snapshot is kept by systemd and in a file, and we end.
//!
//! Before anything is given up, the program that will be started has read the configuration and found that it can run it; and there is
//! a place for the state. Whatever is wrong before that refuses the hand-over: a command is answered and everything goes on; after
//! SIGQUIT, which systemd sends when it has decided already that this process ends, kalived stops as after SIGTERM. What follows the
//! freeze is in `world/custody.rs`: a successor that does not come leaves no address behind.
//!
//! Read first: `upgrade.rs`, `sys/lockfile.rs`.

use super::compiler::{Compiler, Use};
use super::ctl::ClientId;
use super::proto::ToCore;
use super::upgrade::STORED;
use super::{After, Guard, text};
use crate::daemon::handover::{Slots, is_slots};
use crate::sys::child::{self, End};
use crate::sys::lockfile::{Open, beside, is_left_over, open_own};
use crate::time::{Duration, Instant};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// How long a core may take to freeze. Its adverts are armed for about a second; after that somebody has to speak.
pub(super) const FREEZE_LIMIT: Duration = Duration::from_secs(1);

/// Where a snapshot is kept, besides systemd.
pub(super) fn snapshot_path(pid_file: &Path) -> PathBuf {
    beside(pid_file, "state")
}

/// One that is under way.
pub(super) struct Handover {
    step: Step,
    client: Option<ClientId>,
    /// We end in any case.
    must_end: bool,
}

enum Step {
    Compiling(Compiler),
    Freezing { until: Instant, file: Result<File, String> },
}

impl Handover {
    pub(super) fn is_freezing(&self) -> bool {
        matches!(self.step, Step::Freezing { .. })
    }
}

impl Guard {
    /// `kalived handover`, or SIGQUIT.
    pub(super) fn hand_over(&mut self, now: Instant, client: Option<ClientId>) {
        let must_end = client.is_none();
        if let Some(handover) = &mut self.handover {
            handover.must_end |= must_end;
            if let Some(client) = client {
                self.answers.answer(client, false, "a hand-over is under way");
            }
            return;
        }
        self.give_up_upgrade(now, "kalived hands over");
        let refusal = match () {
            () if self.core.as_ref().is_none_or(|c| !c.ready) || self.go.is_some() => {
                Some("there is no VRRP process whose state could be handed over".to_owned())
            }
            () if self.lock.is_none() => Some("there is no lock file, by which a successor is seen".to_owned()),
            () => None,
        };
        if let Some(why) = refusal {
            return self.handover_refused(now, client, must_end, &why);
        }
        self.note(text::handover_asked());
        match Compiler::start(&self.roles, true, Use::Start, &self.reports, now) {
            Ok(c) => self.handover = Some(Handover { step: Step::Compiling(c), client, must_end }),
            Err(e) => {
                let why = format!("{}: {e}", self.roles.exe.display());
                self.handover_refused(now, client, must_end, &why);
            }
        }
    }

    fn handover_refused(&mut self, now: Instant, client: Option<ClientId>, must_end: bool, why: &str) {
        let note = text::handover_refused(why, must_end);
        if let Some(client) = client {
            self.answers.answer(client, false, &note.text);
        }
        self.note(note);
        if must_end {
            self.stop(now, crate::sys::signal::TERM);
        }
    }

    /// Nothing more of it is done; `false`: the core is freezing, and there is no way back.
    pub(super) fn give_up_handover(&mut self, why: &str) {
        if let Some(handover) = self.handover.take() {
            if let Step::Compiling(c) = &handover.step {
                child::kill(c.pid, true, true);
            }
            if let Some(client) = handover.client {
                self.answers.answer(client, false, why);
            }
        }
    }

    /// Whether that was the compiler of a hand-over.
    pub(super) fn handover_compiled(&mut self, now: Instant, pid: u32, end: End) -> bool {
        let Some(Handover { step: Step::Compiling(compiler), client, must_end }) =
            self.handover.take_if(|h| matches!(&h.step, Step::Compiling(c) if c.pid == pid))
        else {
            return false;
        };
        self.say_messages(&compiler, super::reload::Say::Failures);
        if let Err(why) = compiler.finish(end) {
            self.handover_refused(now, client, must_end, &why);
            return true;
        }
        let file = self.place_for_state();
        if let (false, Err(why)) = (self.answers.systemd.is_on(), &file) {
            let why = format!("the state cannot be kept: {why}");
            self.handover_refused(now, client, must_end, &why);
            return true;
        }
        self.note(text::handing_over());
        self.handover = Some(Handover { step: Step::Freezing { until: now + FREEZE_LIMIT, file }, client, must_end });
        self.tell(ToCore::Freeze);
        true
    }

    /// A file that takes a snapshot as large as the last one.
    fn place_for_state(&self) -> Result<File, String> {
        let path = self.lock.as_ref().map(|l| snapshot_path(l.path())).ok_or("there is no lock file")?;
        let about = |e: &dyn core::fmt::Display| format!("{}: {e}", path.display());
        let file = private(&path).map_err(|e| about(&e))?;
        self.keep_in(&file).map_err(|e| about(&e))?;
        Ok(file)
    }

    fn keep_in(&self, file: &File) -> Result<(), String> {
        let copy = |f: &File| f.try_clone().map_err(|e| e.to_string());
        match Slots::new(copy(&self.snapshot)?).newest() {
            Some(shot) => Slots::new(copy(file)?).write(&shot),
            None => Ok(()),
        }
    }

    /// The core is frozen, its last snapshot in its place.
    pub(super) fn handed_over(&mut self, _now: Instant) {
        let Some(handover) = self.handover.take() else { return };
        let Step::Freezing { file, .. } = handover.step else { return };
        // It ends by itself, when a successor is in charge or the addresses are gone.
        self.core = None;
        self.end = Some(0);
        let in_file = file.and_then(|file| self.keep_in(&file));
        let stored = self.answers.systemd.is_on() && {
            self.answers.systemd.forget(STORED);
            self.answers.systemd.store(STORED, self.snapshot.as_fd())
        };
        let failed = in_file.err().filter(|_| !stored);
        if let Some(why) = &failed {
            self.note(text::state_not_kept(why));
        }
        if let Some(client) = handover.client {
            match failed {
                None => self.answers.stop.push(client),
                Some(why) => {
                    let note = text::state_not_kept(&why);
                    self.answers.answer(client, false, &note.text);
                }
            }
        }
    }

    /// The core ended instead of freezing: there is nothing to hand over. Whether it is dealt with.
    pub(super) fn handover_died(&mut self, now: Instant, pid: u32, end: End) -> bool {
        let Some(handover) = self.handover.take_if(|h| h.is_freezing()) else { return false };
        let why = format!("the VRRP process died of it ({})", text::end(end));
        let note = text::handover_refused(&why, handover.must_end);
        if let Some(client) = handover.client {
            self.answers.answer(client, false, &note.text);
        }
        self.note(note);
        if handover.must_end {
            self.note(text::not_respawning(pid, end));
            self.remove_vips(now, After::End(0));
        }
        handover.must_end
    }

    pub(super) fn look_at_handover(&mut self, now: Instant) {
        match &mut self.handover {
            Some(Handover { step: Step::Compiling(c), .. }) => c.tick(now),
            Some(Handover { step: Step::Freezing { until, .. }, .. }) if now >= *until => {
                // Its end follows; another try does no harm.
                *until = now + FREEZE_LIMIT;
                if let Some(core) = &self.core {
                    core.kill();
                }
            }
            _ => {}
        }
    }
}

/// A file of our own only, in place of one that a kalived left, or of something that is no file.
fn private(path: &Path) -> io::Result<File> {
    if std::fs::symlink_metadata(path).is_ok_and(|m| m.is_file()) {
        is_left_over(&open_own(path, Open::Read)?, is_slots)?;
    }
    let _ = std::fs::remove_file(path);
    let file = open_own(path, Open::Create(0o600))?;
    // Somebody else's that was put there meanwhile would be a file of ours only by its owner.
    match file.metadata()?.len() {
        0 => Ok(file),
        _ => Err(io::ErrorKind::AlreadyExists.into()),
    }
}
