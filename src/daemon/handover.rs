//! When the core keeps a snapshot, a report or a recording: after a turn, when nothing is due.
//!
//! Read first: `process/slots.rs`, where snapshots go.

use super::Machine;
use super::exec::Exec;
use super::os::Os;
use crate::note::{Level, Note};
use crate::process::slots::Slots;
use crate::snapshot::Snapshot;
use crate::time::{Duration, Instant, Now, earliest};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Between two snapshots: 255 takeovers in a second are not 255 times 40 KiB in the way of the next takeover.
const PAUSE: Duration = Duration::from_millis(20);
/// From a change to the line about it, and so between two such lines.
const SUMMARY_PAUSE: Duration = Duration::from_secs(1);

/// A takeover that is due within this time goes first: for a snapshot of 255 routers, which take over together, a slow processor needs
/// 2 to 4 ms. The first is for when it is not known yet; after that it is twice as long as the last one took, and at most the second:
/// virtual routers that take over and yield all the time do not keep it back for ever.
const TAKEOVER_NEAR: (Duration, Duration) = (Duration::from_millis(3), Duration::from_millis(10));

/// Where snapshots go, and when.
pub(super) struct Kept {
    pub(super) slots: Slots,
    /// Not before.
    after: Instant,
    /// To be asked again then.
    again: bool,
    /// How long the last one took.
    took: Duration,
}

impl Kept {
    pub(super) fn new(slots: Slots) -> Kept {
        Kept { slots, after: Instant::default(), again: false, took: Duration::ZERO }
    }
}

/// A copy of memory into memory: the file is the guard's, and no disk is waited for.
fn write_recording(file: &File, bytes: &[u8]) -> Result<(), String> {
    match bytes {
        [] => Err("nothing is recorded at the moment; try again in a second".to_owned()),
        bytes => file.write_all_at(bytes, 0).map_err(|e| e.to_string()),
    }
}

fn note(text: String) -> Note {
    Note { level: Level::Warning, text }
}

impl<O: Os> Exec<O> {
    /// After a turn: keeps what the next process must know, and tells the guard what it waits for.
    pub(super) fn keep(&mut self, now: Now, machine: &mut dyn Machine) {
        if self.line.is_none() {
            return;
        }
        if self.frozen() {
            self.summary_at = None;
            if let Some(kept) = self.kept.take() {
                // The last one, whatever was kept before; then nobody writes but who takes over.
                let shot = machine.last_snapshot(now);
                self.write_shot(kept, now, shot);
                self.kept = None;
                self.tell_frozen();
            }
            return;
        }
        self.started();
        let took = self.kept.as_ref().map_or(Duration::ZERO, |s| s.took);
        let wait = (took * 2).clamp(TAKEOVER_NEAR.0, TAKEOVER_NEAR.1);
        let near = self.next_takeover().is_some_and(|at| at <= now.mono + wait);
        self.write_report(now, near, machine);
        if !near {
            machine.checkpoint();
            if let Some(file) = self.record_to() {
                self.flush();
                let written = write_recording(&file, &machine.recorded());
                self.tell_recorded(written);
            }
        }
        let Some(kept) = &mut self.kept else { return };
        if near {
            kept.after = kept.after.max(now.mono + wait);
            self.summary_at = self.summary_at.map(|at| at.max(now.mono + wait));
        }
        kept.again = now.mono < kept.after;
        let from = self.os.mono();
        if !kept.again
            && let Some(shot) = machine.snapshot(now)
            && let Some(kept) = self.kept.take()
        {
            self.write_shot(kept, now, Some(shot));
            let took = self.os.mono().since(from);
            if let Some(kept) = &mut self.kept {
                kept.took = took;
            }
            // What is worth a snapshot may be worth a line; a takeover has better things to do.
            self.summary_at.get_or_insert(now.mono + SUMMARY_PAUSE);
        }
        if self.summary_at.is_some_and(|at| now.mono >= at) {
            self.summary_at = None;
            self.tell_summary(machine.summary());
        }
    }

    fn write_shot(&mut self, mut kept: Kept, now: Now, shot: Option<Snapshot>) {
        if let Some(shot) = shot {
            // What the turn asked for is under way before this.
            self.flush();
            let written = kept.slots.write(&shot);
            kept.after = now.mono + PAUSE;
            kept.again = true;
            if let Err(why) = written {
                self.log.note(now, note(format!("no snapshot kept: {why}")));
            }
        }
        self.kept = Some(kept);
    }

    /// Snapshots are written in this layout from now on, and one at once: whoever goes on may do so for a process that dies.
    pub(super) fn write_layout(&mut self, now: Now, layout: u16) {
        let Some(kept) = &mut self.kept else { return };
        kept.slots.set_layout(layout);
        let written =
            kept.slots.newest().map_err(|e| e.to_string()).and_then(|s| s.map_or(Ok(()), |s| kept.slots.write(&s)));
        if let Err(why) = written {
            self.log.note(now, note(format!("no snapshot kept in layout {layout}: {why}")));
        }
    }

    /// When to look whether there is something to keep.
    pub(super) fn keep_deadline(&self) -> Option<Instant> {
        let again = self.kept.as_ref().filter(|s| s.again).map(|s| s.after);
        earliest(earliest(again, self.report_deadline()), self.summary_at)
    }
}
