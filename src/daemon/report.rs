//! A report, written in parts into a file in memory that is sent to the guard.
//!
//! Read first: `src/report/mod.rs`. A turn writes `SLICE` bytes at most and one part more, which takes some tenths of a millisecond on a
//! slow processor, and nothing while a takeover is near. One report at a time: the guard repeats a request that comes meanwhile.

use super::Machine;
use super::exec::Exec;
use super::os::Os;
use crate::note::{Level, Note};
use crate::process::report::MOST;
use crate::report::{Log, Part};
use crate::sys::memfd;
use crate::time::{Instant, Now};
use crate::world::Cursor;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Bytes of JSON made in a turn. A virtual router is about 2 KiB.
const SLICE: usize = 8 << 10;

/// A report under way: the file in memory, and the position in the report from which the next turn continues.
pub struct Reporting {
    file: File,
    cursor: Cursor,
    written: u64,
    /// A takeover has precedence.
    waits: bool,
}

impl<O: Os> Exec<O> {
    /// The guard requests a report. `clear`: the counters are reset with it.
    pub(super) fn begin_report(&mut self, clear: bool) {
        let cursor = Cursor::new(clear);
        // Without memory for the report the guard answers that there is none.
        self.reporting =
            memfd::create("kalived report").ok().map(|file| Reporting { file, cursor, written: 0, waits: false });
    }

    /// After a turn: writes the next slice. `near`: a takeover is near.
    pub(super) fn write_report(&mut self, now: Now, near: bool, machine: &mut dyn Machine) {
        let Some(mut r) = self.reporting.take() else { return };
        r.waits = near;
        if near {
            self.reporting = Some(r);
            return;
        }
        // Submits the effects of the turn first.
        self.flush();
        let mut slice = Vec::with_capacity(2 * SLICE);
        let mut ends = false;
        while !ends && slice.len() < SLICE {
            let next = machine.report_part(now, &mut r.cursor).filter(|_| r.written < MOST);
            if let Some(part) = &next {
                put(&mut slice, part);
            } else {
                ends = true;
                put(&mut slice, &Part::Loop(self.report(), Log { lines_lost: self.log.lost_so_far() }));
                put(&mut slice, &Part::End(r.written >= MOST));
            }
        }
        match r.file.write_all_at(&slice, r.written) {
            Ok(()) => r.written += slice.len() as u64,
            Err(e) => {
                let text = format!("no report can be written: {e}");
                return self.log.note(now, Note { level: Level::Warning, text });
            }
        }
        if ends {
            // The seal prevents changes; a reader of the report does not depend on it.
            let _ = memfd::seal(&r.file);
            self.tell_report(r.file);
        } else {
            self.reporting = Some(r);
        }
    }

    /// When the next slice is to be written; a takeover wakes the loop by itself.
    pub(super) fn report_deadline(&self) -> Option<Instant> {
        self.reporting.as_ref().filter(|r| !r.waits).map(|_| Instant::default())
    }
}

fn put(out: &mut Vec<u8>, part: &Part) {
    // These types always serialize: they have no key that is not text, and no number that JSON lacks.
    let at = out.len();
    match serde_json::to_writer(&mut *out, part) {
        Ok(()) => out.push(b'\n'),
        Err(_) => out.truncate(at),
    }
}
