//! A note: one line of the log as a value. The daemon prints it, a test compares it.
//!
//! The texts are in the `text.rs` of each directory, each once: keepalived's words where operators search for them, then the cause.

use core::fmt;

/// Syslog severities in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Level {
    /// The operator has to act.
    Error = 3,
    /// Wrong, but handled.
    Warning = 4,
    /// A change of state.
    Notice = 5,
    /// Normal operation.
    Info = 6,
    /// Only with `-D`.
    Detail = 7,
}

/// One line of the log with its severity.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Note {
    /// The severity, as in syslog.
    pub level: Level,
    /// The line, without a trailing newline.
    pub text: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
