//! A line of the log: where it goes, and how it looks there.
//!
//! Read next: `log.rs`, which writes lines at once or not at all; `daemon/log.rs`, which queues them for the ring.

use crate::note::{Level, Note};
use crate::sys::{clock, logfd};
use crate::time::Now;
use std::fmt::Write;
use std::sync::OnceLock;

/// Name in front of each line.
pub const IDENT: &str = "kalived";
/// Longest line, bytes: what syslog daemons take.
pub const LINE: usize = 2048;
/// The socket of the syslog daemon.
pub const SYSLOG: &str = "/dev/log";

/// The facility of a process that is started by another kalived.
pub const FACILITY: &str = "KALIVED_SYSLOG_FACILITY";
/// syslog's number of the facility daemon.
const DAEMON: u8 = 3;

static CHOSEN: OnceLock<u8> = OnceLock::new();

fn inherited() -> Option<u8> {
    std::env::var(FACILITY).ok()?.parse().ok().filter(|n| *n < 24)
}

/// The facility that the command line names, for this process and those that it starts. Called before the first line; what the process
/// that started this one says goes first.
pub fn choose_facility(number: u8) {
    CHOSEN.get_or_init(|| inherited().unwrap_or(number));
}

/// The facility of lines for syslog: what the process that started this one says, else what was chosen, else daemon.
pub fn facility() -> u8 {
    *CHOSEN.get_or_init(|| inherited().unwrap_or(DAEMON))
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Standard error.
    Console,
    /// The syslog socket at this path.
    Syslog(String),
    /// Nobody (`-G` without `-l`).
    Nowhere,
}

/// A note in words: one line, with a newline for the console.
pub fn line(target: &Target, now: Now, note: &Note, pid: u32) -> String {
    let t = clock::local(now.wall);
    let mut s = String::with_capacity(note.text.len() + 64);
    // Writing to a String cannot fail.
    // Detail was asked for with -D: as info, for most syslog daemons drop debug.
    let severity = (note.level as u8).min(Level::Info as u8);
    let _ = match target {
        // It has the time and the process itself.
        Target::Console if logfd::stderr_is_journal() => write!(s, "<{severity}>"),
        Target::Console | Target::Nowhere => write!(
            s,
            "{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:06} {IDENT}[{}]: ",
            t.year, t.month, t.day, t.hour, t.minute, t.second, t.micros, pid
        ),
        Target::Syslog(_) => {
            const MONTHS: [&str; 12] =
                ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
            let month = MONTHS.get(usize::from(t.month).wrapping_sub(1)).unwrap_or(&"Jan");
            write!(
                s,
                "<{}>{month} {:2} {:02}:{:02}:{:02} {IDENT}[{}]: ",
                facility() * 8 + severity,
                t.day,
                t.hour,
                t.minute,
                t.second,
                pid
            )
        }
    };
    // One record is one line, whatever a name or a packet put into it.
    for c in note.text.chars() {
        if s.len() >= LINE - 5 {
            break;
        }
        s.push(if c.is_control() { ' ' } else { c });
    }
    if *target == Target::Console {
        s.push('\n');
    }
    s
}
