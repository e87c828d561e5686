//! The kinds of keepalived's dump files, and their signals. `guard/dump/` writes the files.

use crate::sys::signal;

/// The kind of a dump file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `keepalived.data`: configuration and state, on SIGUSR1.
    Data,
    /// `keepalived.stats`: counters, on SIGUSR2.
    Stats,
    /// The same, and the counters are reset.
    StatsClear,
    /// `keepalived.json`: configuration and state as JSON, on SIGRTMIN+2.
    Json,
}

impl Kind {
    const ALL: [Kind; 4] = [Kind::Data, Kind::Stats, Kind::StatsClear, Kind::Json];

    /// The kind for a signal. SIGRTMIN+2 is 36 with glibc and 37 with musl, and there are senders built with either.
    pub fn of_signal(number: u8) -> Option<Kind> {
        match number {
            signal::USR1 => Some(Kind::Data),
            signal::USR2 => Some(Kind::Stats),
            36 | 37 => Some(Kind::Json),
            63 => Some(Kind::StatsClear),
            _ => None,
        }
    }
    /// The word for arguments and messages.
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
    /// Parses the result of [`Kind::word`].
    pub fn of(word: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|k| k.word() == word)
    }
}
