//! The kinds of keepalived's dump files, and the signals that ask for them. How they are written: `guard/dump/`.

use crate::sys::signal;

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `keepalived.data`.
    Data,
    /// `keepalived.stats`.
    Stats,
    /// The same, and counters begin anew.
    StatsClear,
    /// `keepalived.json`.
    Json,
}

impl Kind {
    const ALL: [Kind; 4] = [Kind::Data, Kind::Stats, Kind::StatsClear, Kind::Json];

    /// What asks for it. SIGRTMIN+2 is 36 with glibc and 37 with musl, and there are senders built with either.
    pub fn of_signal(number: u8) -> Option<Kind> {
        match number {
            signal::USR1 => Some(Kind::Data),
            signal::USR2 => Some(Kind::Stats),
            36 | 37 => Some(Kind::Json),
            63 => Some(Kind::StatsClear),
            _ => None,
        }
    }
    /// As an argument and in sentences.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Data => "data",
            Kind::Stats => "stats",
            Kind::StatsClear => "stats-clear",
            Kind::Json => "json",
        }
    }
    /// keepalived's words in the log.
    pub fn printing(self) -> &'static str {
        match self {
            Kind::Data => "Printing VRRP data",
            Kind::Stats => "Printing VRRP stats",
            Kind::StatsClear => "Printing and clearing VRRP stats",
            Kind::Json => "Printing VRRP as json",
        }
    }
    /// Back from [`Kind::word`].
    pub fn of(word: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|k| k.word() == word)
    }
}
