//! The log of every process except the core: a line is written without waiting or dropped, because the guard waits only in its poll.
//!
//! Read first: `line.rs`.

use super::entry;
use super::line::{Target, line};
use crate::note::{Level, Note};
use crate::sys::op::Fd;
use crate::sys::{clock, logfd};
use crate::time::{Duration, Instant};
use std::io::Write;

/// Between two attempts to connect to a syslog daemon that does not run.
const RECONNECT: Duration = Duration::from_secs(1);

/// The log of one process: its destination, the open descriptor, and the number of lost lines.
pub struct Log {
    target: Target,
    detail: bool,
    fd: Option<Fd>,
    retry: Instant,
    lost: u64,
}

impl Log {
    /// A log to `target`; `detail`: [`Level::Detail`] too.
    pub fn new(target: Target, detail: bool) -> Log {
        let fd = match target {
            Target::Console => logfd::stderr().ok(),
            Target::Syslog(_) | Target::Nowhere => None,
        };
        Log { target, detail, fd, retry: Instant::default(), lost: 0 }
    }

    /// A log that continues with the standard error of the previous program.
    pub fn with_console(target: Target, detail: bool, fd: Option<Fd>) -> Log {
        Log { target, detail, fd, retry: Instant::default(), lost: 0 }
    }

    /// The destination of lines.
    pub fn target(&self) -> &Target {
        &self.target
    }
    /// Whether details are logged.
    pub fn detail(&self) -> bool {
        self.detail
    }
    /// Standard error, if it is the destination.
    pub fn console(&self) -> Option<&Fd> {
        self.fd.as_ref().filter(|_| self.target == Target::Console)
    }

    /// Writes one line.
    pub fn note(&mut self, note: &Note) {
        if self.target == Target::Nowhere || (note.level == Level::Detail && !self.detail) {
            return;
        }
        if self.lost > 0 {
            let text = format!("{} log lines lost: they were not taken fast enough", self.lost);
            if self.write(&Note { level: Level::Warning, text }) {
                self.lost = 0;
            }
        }
        if !self.write(note) {
            self.lost = self.lost.saturating_add(1);
        }
    }

    fn write(&mut self, note: &Note) -> bool {
        let now = clock::now();
        if self.fd.is_none()
            && let Target::Syslog(path) = &self.target
            && now.mono >= self.retry
        {
            self.retry = now.mono + RECONNECT;
            self.fd = logfd::syslog(path).ok();
        }
        let Some(fd) = &self.fd else { return false };
        let text = line(&self.target, now, note, std::process::id());
        let socket = matches!(self.target, Target::Syslog(_));
        match logfd::write_now(fd, text.as_bytes(), socket) {
            Ok(()) => true,
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => false,
            Err(_) => {
                // The syslog daemon may restart; the next line connects again. Standard error is not reopened.
                if socket {
                    self.fd = None;
                }
                false
            }
        }
    }
}

/// Writes to standard error, while that is still the operator's terminal.
pub fn say(text: &str) {
    let text = format!("kalived: {text}");
    // Of several lines the first is the reason, the others explain it: one entry for the journal.
    let text = match logfd::stderr_is_journal() {
        true => entry::write(&Note { level: Level::Error, text: text.trim_end().replace('\n', " ") }),
        false => text,
    };
    let _ = writeln!(std::io::stderr(), "{text}");
}
