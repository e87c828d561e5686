//! Every log line about trackers, once. The wording is keepalived's where operators search for it.
//!
//! Read first: `note.rs`. Deliberately absent: a line for each success; the consequences for an instance (`vrrp/text.rs`).

use super::Kind;
use crate::event::Errno;
use crate::note::{Level, Note};
use crate::time::Duration;
use crate::words::{errno, span};

fn note(level: Level, text: String) -> Note {
    Note { level, text }
}

/// The exit status of a script has changed.
pub fn returning(name: &str, status: u8) -> Note {
    note(Level::Info, format!("Script `{name}` now returning {status}"))
}
/// A script or a check is up.
pub fn succeeded(kind: Kind, name: &str) -> Note {
    note(Level::Notice, format!("{}({name}) succeeded", kind.title()))
}
/// A script or a check is down.
pub fn failed(kind: Kind, name: &str, why: &str) -> Note {
    note(Level::Notice, format!("{}({name}) failed ({why})", kind.title()))
}
/// A script did not end in time, and is down.
pub fn timed_out(name: &str) -> Note {
    note(Level::Notice, format!("VRRP_Script({name}) timed_out"))
}
/// A run is due while the one before it lives.
pub fn already_running(name: &str) -> Note {
    note(Level::Info, format!("Track script {name} is already running, expect idle - skipping run"))
}
/// A script that still ran when it was due again has ended.
pub fn idle_again(name: &str, took: Duration) -> Note {
    note(Level::Info, format!("Track script {name} is idle again, its last run took {}", span(took)))
}
/// SIGTERM was not enough.
pub fn ignores_term(name: &str) -> Note {
    note(Level::Warning, format!("Track script {name} has not ended on SIGTERM; sending SIGKILL"))
}
/// No process could be started for it.
pub fn no_process(name: &str) -> Note {
    let text = format!(
        "Track script {name} could not be started: no process can be had for it now; trying again, its last result counts meanwhile"
    );
    note(Level::Warning, text)
}
/// It can never run.
pub fn refused(kind: Kind, name: &str, why: &str) -> Note {
    note(
        Level::Error,
        format!(
            "{}({name}) cannot run: {why}; it counts as failed until that is mended and the configuration is read again",
            kind.title()
        ),
    )
}
/// A tracker is configured, and nothing tracks it.
pub fn unused(kind: Kind, name: &str) -> Note {
    note(Level::Warning, format!("Warning - {} {name} is not used", kind.word()))
}
/// An owner's priority is not moved.
pub fn owner_weight(instance: &str, kind: &str, name: &str) -> Note {
    note(
        Level::Error,
        format!("({instance}) Cannot have weighted track {kind} '{name}' with priority 255: it is not tracked"),
    )
}
/// A tracked file has another value.
pub fn file_value(name: &str, value: i32) -> Note {
    note(Level::Detail, format!("Tracked file {name} has status {value}"))
}
/// Its content is no number.
pub fn file_invalid(name: &str, text: &str, value: i32) -> Note {
    note(
        Level::Warning,
        format!("Invalid number {text} read from tracked file {name} - ignoring; its status stays {value}"),
    )
}
/// It has text, but no number.
pub fn file_wordy(name: &str) -> Note {
    note(Level::Warning, format!("Tracked file {name} holds no number; its status is 0"))
}
/// It is there and cannot be read.
pub fn file_unreadable(name: &str, e: Errno) -> Note {
    note(Level::Warning, format!("Tracked file {name} cannot be read: {}; its status is 0", errno(e)))
}
/// Enough processes, or not.
pub fn quorum(name: &str, gained: bool, count: u32) -> Note {
    let word = if gained { "gained" } else { "lost" };
    note(Level::Notice, format!("Quorum {word} for tracked process {name} ({count} running)"))
}
/// They cannot be counted.
pub fn uncounted(name: &str, e: Errno) -> Note {
    note(Level::Error, format!("Quorum lost for tracked process {name}: processes cannot be counted: {}", errno(e)))
}
