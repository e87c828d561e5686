//! Log lines of the notifier. Read first: `note.rs`.

use crate::event::{ChildEnd, Errno};
use crate::note::{Level, Note};
use crate::time::Duration;
use crate::words::{errno, span};
use core::fmt::Display;

fn note(level: Level, text: String) -> Note {
    Note { level, text }
}

fn more(held_back: u64) -> String {
    if held_back > 0 { format!(" ({held_back} more such since the last line)") } else { String::new() }
}

/// A hook's program cannot run; logged at load, and when it should have run.
pub fn refused(whose: impl Display, keyword: &str, program: &str, why: &str, held_back: u64) -> Note {
    // The program is named once.
    let why = why.strip_prefix(program).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(why);
    note(Level::Error, format!("({whose}) {keyword} `{program}` is not run: {why}{}", more(held_back)))
}
/// A program ended with a status other than 0.
pub fn ended(whose: impl Display, program: &str, end: ChildEnd) -> Note {
    match end {
        ChildEnd::Exited(n) => note(Level::Info, format!("({whose}) script `{program}` exited with status {n}")),
        ChildEnd::Signaled(n) => note(Level::Warning, format!("({whose}) script `{program}` was ended by signal {n}")),
        ChildEnd::NotStarted(e) => {
            note(Level::Error, format!("({whose}) script `{program}` could not be started: {}", errno(e)))
        }
    }
}
/// A hook runs for a long time.
pub fn slow(whose: impl Display, program: &str, since: Duration) -> Note {
    note(Level::Warning, format!("({whose}) script `{program}` still runs after {}", span(since)))
}
/// A hook is ended because the next one waits.
pub fn terminated(whose: impl Display, program: &str) -> Note {
    note(Level::Warning, format!("({whose}) script `{program}` is terminated: the next change of state waits for it"))
}
/// Changes that were not reported to hooks.
pub fn skipped(whose: impl Display, held_back: u64) -> Note {
    note(
        Level::Warning,
        format!(
            "({whose}) scripts are slower than changes of state: old ones are skipped, the newest is not{}",
            more(held_back)
        ),
    )
}
/// The time limit of the stop is over.
pub fn grace_over(n: usize) -> Note {
    note(Level::Warning, format!("{n} script(s) did not end in time for the stop: terminated"))
}
/// A named pipe cannot be used.
pub fn fifo_failed(path: &str, e: Errno) -> Note {
    note(Level::Error, format!("FIFO {path}: {}; trying again", errno(e)))
}
/// A named pipe must not be used.
pub fn fifo_refused(path: &str, why: &str) -> Note {
    note(Level::Error, format!("FIFO {path} is not used: {why}"))
}
/// A pipe's backlog overflows.
pub fn fifo_full(path: &str) -> Note {
    note(Level::Warning, format!("FIFO {path}: nobody reads, or too slowly: the oldest lines are lost"))
}
/// The pipe has room again.
pub fn fifo_lost(path: &str, n: u64) -> Note {
    note(Level::Notice, format!("FIFO {path}: {n} lines were lost; the latest states follow"))
}
/// The program that reads a pipe ended by itself.
pub fn reader_ended(path: &str, end: ChildEnd, pause: Duration) -> Note {
    let how = match end {
        ChildEnd::Exited(n) => format!("exited with status {n}"),
        ChildEnd::Signaled(n) => format!("was ended by signal {n}"),
        ChildEnd::NotStarted(e) => format!("could not be started: {}", errno(e)),
    };
    note(Level::Warning, format!("FIFO {path}: its script {how}; started again in {}", span(pause)))
}
/// A mail was not accepted.
pub fn mail_failed(subject: &str, server: &str, why: &str, again: bool) -> Note {
    let then = if again { "trying again" } else { "given up" };
    note(Level::Warning, format!("mail `{subject}` to SMTP server {server} failed: {why}; {then}"))
}
/// One of several recipients was refused.
pub fn mail_recipient(to: &str, server: &str, why: &str) -> Note {
    note(Level::Warning, format!("SMTP server {server} refuses recipient {to}: {why}"))
}
/// A mail was accepted.
pub fn mail_sent(subject: &str) -> Note {
    note(Level::Detail, format!("mail `{subject}` sent"))
}
/// Too many mails are queued.
pub fn mail_overflow(held_back: u64) -> Note {
    note(Level::Warning, format!("too many mails wait for the SMTP server: the oldest are dropped{}", more(held_back)))
}
