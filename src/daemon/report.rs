//! A report, written in parts into a file of memory that the guard is given.
//!
//! Read first: `src/report/mod.rs`. A turn writes `SLICE` bytes at most and one part more, which costs a slow processor some tenths of a
//! millisecond, and none while a takeover is near. One at a time: what is asked for meanwhile is for the guard to ask again.

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

/// See the module.
pub struct Reporting {
    file: File,
    cursor: Cursor,
    written: u64,
    /// A takeover goes first.
    waits: bool,
}

impl<O: Os> Exec<O> {
    /// The guard wants one. `clear`: counters begin anew with it.
    pub(super) fn begin_report(&mut self, clear: bool) {
        let cursor = Cursor::new(clear);
        // Without memory for it the guard tells that there is none.
        self.reporting =
            memfd::create("kalived report").ok().map(|file| Reporting { file, cursor, written: 0, waits: false });
    }

    /// After a turn: the next slice. `near`: a takeover is.
    pub(super) fn write_report(&mut self, now: Now, near: bool, machine: &mut dyn Machine) {
        let Some(mut r) = self.reporting.take() else { return };
        r.waits = near;
        if near {
            self.reporting = Some(r);
            return;
        }
        // What the turn asked for is under way before this.
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
            // Whoever is given it reads; that nobody can change it is not needed for that.
            let _ = memfd::seal(&r.file);
            self.tell_report(r.file);
        } else {
            self.reporting = Some(r);
        }
    }

    /// When the next slice is to be written; a takeover wakes us by itself.
    pub(super) fn report_deadline(&self) -> Option<Instant> {
        self.reporting.as_ref().filter(|r| !r.waits).map(|_| Instant::default())
    }
}

fn put(out: &mut Vec<u8>, part: &Part) {
    // A value of these types has no key that is no text, and no number that JSON does not have.
    let at = out.len();
    match serde_json::to_writer(&mut *out, part) {
        Ok(()) => out.push(b'\n'),
        Err(_) => out.truncate(at),
    }
}
