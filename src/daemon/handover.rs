//! When the core writes a snapshot, a report or a recording: after a turn, when nothing is due.
//!
//! Read first: `process/slots.rs`, which stores snapshots.

use super::Machine;
use super::exec::Exec;
use super::os::Os;
use crate::note::{Level, Note};
use crate::process::slots::Slots;
use crate::snapshot::Snapshot;
use crate::time::{Duration, Instant, Now, earliest};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Between two snapshots at least the first value: 255 takeovers in a second must not write 255 times 40 KiB before the next takeover. Of
/// very many virtual routers that change one after another, the pause is ten times as long as the quicker of the last two snapshots took,
/// because one may have been interrupted, and at most the second value: snapshots take about a tenth of the processor's time. If the core
/// dies during the pause, its successor continues from the snapshot before.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(200));
/// From a change to the line about it, and so between two such lines.
const SUMMARY_PAUSE: Duration = Duration::from_secs(1);

/// A takeover that is due within this time precedes a snapshot: a snapshot of 255 routers, which take over together, takes 2 to 4 ms on a
/// slow processor. The first value holds until a snapshot was measured; after that the time is twice that of the last snapshot, and at
/// most the second value: virtual routers that change state all the time do not postpone it for ever.
const TAKEOVER_NEAR: (Duration, Duration) = (Duration::from_millis(3), Duration::from_millis(10));

/// Where and when snapshots are written.
pub(super) struct Kept {
    pub(super) slots: Slots,
    /// The earliest time of the next one.
    after: Instant,
    /// The world is to be asked again at that time.
    again: bool,
    /// How long the last snapshot took.
    took: Duration,
}

impl Kept {
    pub(super) fn new(slots: Slots) -> Kept {
        Kept { slots, after: Instant::default(), again: false, took: Duration::ZERO }
    }
}

/// Copies memory into memory: the file is the guard's, and no disk is involved.
fn write_recording(file: &File, bytes: &[u8]) -> Result<(), String> {
    match bytes {
        [] => Err("nothing is recorded".to_owned()),
        bytes => file.write_all_at(bytes, 0).map_err(|e| e.to_string()),
    }
}

fn note(text: String) -> Note {
    Note { level: Level::Warning, text }
}

impl<O: Os> Exec<O> {
    /// After a turn: writes the state for the next process, and what the guard requested.
    pub(super) fn keep(&mut self, now: Now, machine: &mut dyn Machine) {
        if self.line.is_none() {
            return;
        }
        if self.frozen() {
            self.summary_at = None;
            if let Some(kept) = self.kept.take() {
                // The last snapshot, whatever was written before; from now on only the process that takes over writes.
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
        // The named pipes are this process's own: the state beside them is that of the last snapshot, if the machine has no other one.
        let last = |kept: &mut Kept| kept.slots.newest().ok().flatten();
        let pipes = self.helper.is_dirty();
        if !kept.again
            && let Some(shot) = machine.snapshot(now).or_else(|| pipes.then(|| last(kept)).flatten())
            && let Some(kept) = self.kept.take()
        {
            self.write_shot(kept, now, Some(shot));
            let end = self.os.mono();
            if let Some(kept) = &mut self.kept {
                let before = core::mem::replace(&mut kept.took, end.since(from));
                kept.after = end + (kept.took.min(before) * 10).clamp(PAUSE.0, PAUSE.1);
            }
            // A change in the snapshot may change the summary too; a takeover has precedence over that line.
            self.summary_at.get_or_insert(now.mono + SUMMARY_PAUSE);
        }
        if self.summary_at.is_some_and(|at| now.mono >= at) {
            self.summary_at = None;
            self.tell_summary(machine.summary());
        }
    }

    fn write_shot(&mut self, mut kept: Kept, now: Now, shot: Option<Snapshot>) {
        if let Some(mut shot) = shot {
            shot.fifos = self.helper.kept();
            // Submits the effects of the turn first.
            self.flush();
            let written = kept.slots.write(&shot);
            kept.again = true;
            if let Err(why) = written {
                self.log.note(now, note(format!("no snapshot kept: {why}")));
            }
        }
        self.kept = Some(kept);
    }

    /// Writes snapshots in this layout from now on, and one at once: the next process may have to continue for a core that died.
    pub(super) fn write_layout(&mut self, now: Now, layout: u16) {
        let Some(kept) = &mut self.kept else { return };
        kept.slots.set_layout(layout);
        let written =
            kept.slots.newest().map_err(|e| e.to_string()).and_then(|s| s.map_or(Ok(()), |s| kept.slots.write(&s)));
        if let Err(why) = written {
            self.log.note(now, note(format!("no snapshot kept in layout {layout}: {why}")));
        }
    }

    /// When to check whether there is something to write.
    pub(super) fn keep_deadline(&self) -> Option<Instant> {
        let again = self.kept.as_ref().filter(|s| s.again).map(|s| s.after);
        earliest(earliest(again, self.report_deadline()), self.summary_at)
    }
}
