//! A hand-over to a kalived that is started next: the core freezes, systemd and a file keep the snapshot, and this process ends.
//!
//! Before the core freezes, the program that will be started has to confirm that it can continue (`successor.rs`), and there has to be a
//! file for the state. Any earlier failure refuses the hand-over: a command gets the reason and kalived continues; after SIGQUIT, which
//! systemd sends when it has decided already that this process ends, kalived stops as after SIGTERM. `world/custody.rs` describes what
//! follows the freeze: if no successor comes, all addresses are removed.
//!
//! A remover (`vips.rs`) watches the frozen core, because the guard has ended by then: the addresses of a core that is killed are removed
//! too.
//!
//! Read first: `upgrade.rs`, `sys/lockfile.rs`.

use super::ctl::ClientId;
use super::successor::{Asked, Successor};
use super::upgrade::{STORED, Upgrade};
use super::{After, Guard, text};
use crate::process::proto::ToCore;
use crate::process::slots::{Slots, is_slots};
use crate::sys::child::End;
use crate::sys::lockfile::{self, Lock, Open, beside, is_left_over, open_own};
use crate::time::{Duration, Instant};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// How long a core may take to freeze. Its adverts are armed for about a second; after that a core has to send further adverts.
pub(super) const FREEZE_LIMIT: Duration = Duration::from_secs(1);

/// Where a snapshot is kept, besides systemd.
pub(crate) fn snapshot_path(pid_file: &Path) -> PathBuf {
    beside(pid_file, "state")
}

/// A hand-over in progress.
pub(super) struct Handover {
    step: Step,
    client: Option<ClientId>,
    /// This process ends in any case.
    must_end: bool,
}

enum Step {
    Asking(Successor),
    /// `watcher`: the process that is notified when the core has frozen.
    Freezing {
        until: Instant,
        file: Result<File, String>,
        layout: u16,
        watcher: Option<io::PipeWriter>,
    },
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
        if self.upgrade.as_ref().is_some_and(Upgrade::is_freezing) {
            // The core in charge cannot freeze twice: the core after it hands over.
            self.hand_over_later.push(client);
            return;
        }
        self.give_up_upgrade(now, "kalived hands over");
        let refusal = match () {
            () if self.core.as_ref().is_none_or(|c| !c.ready) || self.go.is_some() => {
                Some("there is no VRRP process whose state could be handed over".to_owned())
            }
            () if !self.lock.as_ref().is_some_and(Lock::is_in_place) => {
                Some("there is no lock file of this kalived, by which a successor is seen".to_owned())
            }
            () => None,
        };
        if let Some(why) = refusal {
            return self.handover_refused(now, client, must_end, &why);
        }
        self.note(text::handover_asked());
        match self.ask_successor(now) {
            Ok(asked) => self.handover = Some(Handover { step: Step::Asking(asked), client, must_end }),
            Err(why) => self.handover_refused(now, client, must_end, &why),
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

    /// Abandons the hand-over; `false`: the core is freezing, and the hand-over cannot be abandoned.
    pub(super) fn give_up_handover(&mut self, why: &str) {
        if let Some(handover) = self.handover.take() {
            match &handover.step {
                Step::Asking(asked) => asked.kill(),
                Step::Freezing { .. } => self.forget_state(&handover),
            }
            if let Some(client) = handover.client {
                self.answers.answer(client, false, why);
            }
        }
    }

    /// A process ended; it may be the successor that is being checked.
    pub(super) fn handover_asked(&mut self, now: Instant, pid: u32, end: End) {
        let Some(Handover { step: Step::Asking(asked), client, must_end }) =
            self.handover.take_if(|h| matches!(h.step, Step::Asking(_)))
        else {
            return;
        };
        let layout = match self.successor_ended(asked, now, pid, end) {
            Asked::Open(asked) => {
                self.handover = Some(Handover { step: Step::Asking(asked), client, must_end });
                return;
            }
            Asked::Refused(why) => return self.handover_refused(now, client, must_end, &why),
            Asked::Sound(sound) => sound.layout,
        };
        let file = self.place_for_state(layout);
        if let (false, Err(why)) = (self.answers.systemd.is_on(), &file) {
            let why = format!("the state cannot be kept: {why}");
            return self.handover_refused(now, client, must_end, &why);
        }
        self.note(text::handing_over());
        let watcher = self.watcher();
        let step = Step::Freezing { until: now + FREEZE_LIMIT, file, layout, watcher };
        self.handover = Some(Handover { step, client, must_end });
        self.tell_layout(layout);
        self.tell(ToCore::Freeze);
    }

    /// Starts a hand-over that was postponed until the end of an upgrade.
    fn hand_over_now(&mut self, now: Instant) {
        // Not before there is again a core whose state could be handed over, or it is known that there is none.
        let is_over = self.upgrade.is_none() && self.core.as_ref().is_none_or(|c| c.ready);
        if is_over && !self.hand_over_later.is_empty() {
            for client in core::mem::take(&mut self.hand_over_later) {
                self.hand_over(now, client);
            }
        }
    }

    /// Cancels postponed hand-overs.
    pub(super) fn forget_hand_over(&mut self, why: &str) {
        for client in core::mem::take(&mut self.hand_over_later).into_iter().flatten() {
            self.answers.answer(client, false, why);
        }
    }

    // The core did not freeze, so this state is no hand-over: the next start must begin without it.
    fn forget_state(&self, handover: &Handover) {
        if let (Step::Freezing { file: Ok(_), .. }, Some(lock)) = (&handover.step, &self.lock) {
            let _ = fs::remove_file(snapshot_path(lock.path()));
        }
    }

    /// A file with room for a snapshot as large as the last one.
    fn place_for_state(&self, layout: u16) -> Result<File, String> {
        let path = self.lock.as_ref().map(|l| snapshot_path(l.path())).ok_or("there is no lock file")?;
        let about = |e: &dyn core::fmt::Display| format!("{}: {e}", path.display());
        let file = private(&path).map_err(|e| about(&e))?;
        if let Err(e) = self.keep_in(&file, layout) {
            // A part of a state is none.
            let _ = fs::remove_file(&path);
            return Err(about(&e));
        }
        Ok(file)
    }

    fn keep_in(&self, file: &File, layout: u16) -> Result<(), String> {
        let copy = |f: &File| f.try_clone().map_err(|e| e.to_string());
        let Some(shot) = Slots::new(copy(&self.snapshot)?).newest().map_err(|e| e.to_string())? else { return Ok(()) };
        let mut slots = Slots::new(copy(file)?);
        slots.set_layout(layout);
        slots.write(&shot)
    }

    /// A process that removes the addresses if the frozen core is killed and no successor comes; it begins when it is notified.
    fn watcher(&mut self) -> Option<io::PipeWriter> {
        let start = || -> io::Result<io::PipeWriter> {
            let (Some(core), Some(lock)) = (&self.core, &self.lock) else { return Err(io::ErrorKind::NotFound.into()) };
            let (begin, told) = io::pipe()?;
            let (witness, charges) = (lock.witness()?, lockfile::charges(&lock.witness()?));
            let files = [core.line(), witness.as_fd(), begin.as_fd()];
            self.roles.remove_vips_after(self.holdings(true), files, charges, &self.log, &self.reports)?;
            Ok(told)
        };
        match start() {
            Ok(told) => Some(told),
            Err(e) => {
                self.note(text::failed("nobody watches the process that is handed over", &e));
                None
            }
        }
    }

    /// The core is frozen, its last snapshot is written.
    pub(super) fn handed_over(&mut self, _now: Instant) {
        let Some(handover) = self.handover.take() else { return };
        let Step::Freezing { file, layout, watcher, .. } = handover.step else { return };
        // The core ends by itself, when a successor is in charge or the addresses are removed.
        self.core = None;
        if let Some(mut watcher) = watcher {
            // If the watcher has ended, it was not needed until now.
            let _ = watcher.write_all(b"x");
        }
        self.end = Some(0);
        let in_file = file.and_then(|file| self.keep_in(&file, layout));
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

    /// The core ended instead of freezing: there is nothing to hand over. Returns whether the end was handled here.
    pub(super) fn handover_died(&mut self, now: Instant, pid: u32, end: End) -> bool {
        let Some(handover) = self.handover.take_if(|h| h.is_freezing()) else { return false };
        self.forget_state(&handover);
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
        self.hand_over_now(now);
        match &mut self.handover {
            Some(Handover { step: Step::Asking(asked), .. }) => asked.tick(now),
            Some(Handover { step: Step::Freezing { until, .. }, .. }) if now >= *until => {
                // The end of the core follows; another try does no harm.
                *until = now + FREEZE_LIMIT;
                if let Some(core) = &self.core {
                    core.kill();
                }
            }
            _ => {}
        }
    }
}

/// A file of this user only, in place of one that a kalived left, or of an entry that is no regular file.
fn private(path: &Path) -> io::Result<File> {
    if std::fs::symlink_metadata(path).is_ok_and(|m| m.is_file()) {
        is_left_over(&open_own(path, Open::Read)?, is_slots)?;
    }
    let _ = std::fs::remove_file(path);
    let file = open_own(path, Open::Create(0o600))?;
    // A file that another process put there meanwhile would be ours only by its owner.
    match file.metadata()?.len() {
        0 => Ok(file),
        _ => Err(io::ErrorKind::AlreadyExists.into()),
    }
}
