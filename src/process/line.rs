//! A line of the log: its destination and its form.
//!
//! Read next: `log.rs`, which writes lines without waiting or drops them; `daemon/log.rs`, which queues them for the ring.

use crate::note::{Level, Note};
use crate::sys::{clock, logfd};
use crate::time::Now;
use std::fmt::Write;
use std::sync::OnceLock;

/// The name in front of each line.
pub const IDENT: &str = "kalived";
/// Longest line, bytes: the limit of syslog daemons.
pub const LINE: usize = 2048;
/// The socket of the syslog daemon.
pub const SYSLOG: &str = "/dev/log";

/// The environment variable with the syslog facility for a process that another kalived starts.
pub const FACILITY: &str = "KALIVED_SYSLOG_FACILITY";
/// syslog's number of the facility daemon.
const DAEMON: u8 = 3;

static CHOSEN: OnceLock<u8> = OnceLock::new();

fn inherited() -> Option<u8> {
    std::env::var(FACILITY).ok()?.parse().ok().filter(|n| *n < 24)
}

/// Sets the facility of the command line, for this process and those that it starts. Called before the first line; the facility from the
/// parent process has precedence.
pub fn choose_facility(number: u8) {
    CHOSEN.get_or_init(|| inherited().unwrap_or(number));
}

/// The facility of lines for syslog: that of the parent process, else the chosen one, else daemon.
pub fn facility() -> u8 {
    *CHOSEN.get_or_init(|| inherited().unwrap_or(DAEMON))
}

/// The destination of log lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Standard error (`-l`).
    Console,
    /// The syslog socket at this path.
    Syslog(String),
    /// None (`-G` without `-l`).
    Nowhere,
}

/// Formats a note: one line, with a newline for the console.
pub fn line(target: &Target, now: Now, note: &Note, pid: u32) -> String {
    let t = clock::local(now.wall);
    let mut s = String::with_capacity(note.text.len() + 64);
    // Writing to a String cannot fail. Details (-D) are logged as info, because most syslog daemons drop debug.
    let severity = (note.level as u8).min(Level::Info as u8);
    let _ = match target {
        // The journal adds the time and the process itself.
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
    // One record is one line, whatever characters a name or a packet contains.
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
