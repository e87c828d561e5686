//! The command-line side of `kalived record` and `kalived replay`.
//!
//! Read first: `record/`. The command, not the core, decodes a recording: the loop only copies memory.

use super::tools::{failed, print, visible};
use crate::exit::ExitCode;
use crate::record::file::{MAGIC, Recording};
use crate::record::replay::{Said, replay as again};
use crate::reload_time::stamp;
use crate::sys::{clock, files};
use crate::time::Now;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Largest file that is read, bytes: ten times the recording of a core with the most virtual routers.
const MAX: u64 = 256 << 20;

/// Writes a core's recording to a file; returns the message to print.
pub(crate) fn save(from: OwnedFd, to: &str) -> Result<String, String> {
    let from = File::from(from);
    let len = from.metadata().map_err(|e| e.to_string())?.len();
    let len = usize::try_from(len.min(MAX)).map_err(|e| e.to_string())?;
    let mut bytes = vec![0; len];
    from.read_exact_at(&mut bytes, 0).map_err(|e| e.to_string())?;
    let mut recording = crate::record::read(&bytes).map_err(|e| e.to_string())?;
    recording.hide_secrets();
    let out = recording.encode();
    if out.is_empty() {
        return Err("the recording is too long for a file".to_owned());
    }
    let path = Path::new(to);
    let there = std::fs::symlink_metadata(path).is_ok_and(|m| m.is_file() && m.len() > 0);
    let is_ours = || {
        let mut first = [0; MAGIC.len()];
        File::open(path).and_then(|mut f| f.read_exact(&mut first)).is_ok() && first == MAGIC
    };
    if there && !is_ours() {
        return Err(format!(
            "{to} is not written: a file is there that is no recording; name another one, or remove it first"
        ));
    }
    files::replace(path, &out).map_err(|e| format!("cannot write {to}: {e}"))?;
    let steps = &recording.steps;
    let times = steps.first().zip(steps.last());
    let since = times.map_or_else(String::new, |(a, b)| format!(" since {}, the last at {},", when(a.at), when(b.at)));
    Ok(format!("{} events{since} are in {to}; `kalived replay {to}` decides them again", steps.len()))
}

fn when(at: Now) -> String {
    format!("{}.{:06}", stamp((at.wall.0 / 1_000_000_000) as i64, clock::utc_offset), at.wall.0 / 1000 % 1_000_000)
}

/// Executes the whole command.
pub(super) fn replay(file: &str, verbose: bool) -> ExitCode {
    clock::load_zone();
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|f| f.take(MAX + 1).read_to_end(&mut bytes));
    if let Err(e) = read {
        return failed(&format!("{file}: {e}"));
    }
    let recording = match Recording::decode(&bytes) {
        Ok(recording) => recording,
        Err(why) => return failed(&format!("{file}: {why}")),
    };
    let mut text = String::new();
    let mut tell = |at: Now, said: Said<'_>| {
        let line = match said {
            Said::Note(note) => note.text.clone(),
            Said::Input(number, input) if verbose => format!("event {number}: {input:?}"),
            Said::Effect(effect) if verbose => format!("  effect: {effect:?}"),
            Said::Input(..) | Said::Effect(_) => return,
        };
        text.push_str(&format!("{} {}\n", when(at), visible(&line)));
        // A reader that closed the pipe early is no failure.
        if text.len() > 64 << 10 {
            let _ = print(text.as_bytes());
            text.clear();
        }
    };
    let release = recording.release.clone();
    // A file may contain an impossible world: the panic ends only this replay.
    let done = catch_unwind(AssertUnwindSafe(|| again(recording, clock::utc_offset, &mut tell)));
    let _ = print(text.as_bytes());
    let Ok(done) = done else { return failed(&format!("{file}: no kalived ever was in this state")) };
    match done {
        Ok(n) => {
            let _ = print(
                format!("{n} events of kalived {release}: everything is decided as it was recorded\n").as_bytes(),
            );
            ExitCode::Ok
        }
        Err(differs) => failed(&visible(&differs.to_string())),
    }
}
