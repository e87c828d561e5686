//! What kalived tells people: every log text, defined once. keepalived's wording where operators grep for it,
//! and followed by the cause.
//!
//! A note is a value; the daemon prints it, a test compares it. Read first: nothing.

use core::fmt;

/// Syslog severities in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Level {
    /// Needs a person.
    Error = 3,
    /// Wrong, but handled.
    Warning = 4,
    /// State changes.
    Notice = 5,
    /// Ordinary life.
    Info = 6,
    /// Only with `-D`.
    Detail = 7,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Note {
    /// How loud.
    pub level: Level,
    /// What, without a trailing newline.
    pub text: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
