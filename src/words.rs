//! Parts of log lines that several modules use: a time, an error number; and [`Limit`], the limit on how often a line is logged.

use crate::net::Errno;
use crate::time::{Duration, Instant, nanos};

/// A duration for a log line: three figures are enough to see which interval was missed.
pub fn span(d: Duration) -> String {
    match nanos(d) {
        n if n >= 1_000_000_000 => format!("{:.2} s", d.as_secs_f64()),
        n if n >= 1_000_000 => format!("{:.1} ms", n as f64 / 1e6),
        n => format!("{:.1} us", n as f64 / 1e3),
    }
}

/// An errno for a log line.
pub fn errno(e: Errno) -> String {
    // The names a reader of this program's logs meets; any other number can be looked up with `errno(1)`.
    let name = match e.0 {
        1 => "operation not permitted",
        2 => "no such file or directory",
        3 => "no such process",
        5 => "input/output error",
        6 => "no such device or address",
        8 => "not a program",
        11 => "would block",
        12 => "out of memory",
        13 => "permission denied",
        17 => "exists already",
        19 => "no such device",
        20 => "not a directory",
        21 => "is a directory",
        22 => "invalid argument",
        23 | 24 => "too many open files",
        28 => "no space left on device",
        30 => "read-only file system",
        32 => "broken pipe",
        40 => "too many symbolic links",
        99 => "address not available",
        100 => "network is down",
        101 => "network is unreachable",
        104 => "connection reset",
        105 => "no buffer space",
        110 => "timed out",
        111 => "connection refused",
        113 => "no route to host",
        _ => "errno",
    };
    format!("{name} ({})", e.0)
}

/// Who caused a change, for a log line: the port of its netlink socket is its process number where it let the kernel choose.
pub fn by(port: Option<u32>) -> String {
    // The greatest process number there can be: what is above it was chosen otherwise.
    const PROCESSES: u32 = 1 << 22;
    match port {
        None => "another program".to_owned(),
        Some(0) => "the kernel".to_owned(),
        Some(pid) if pid <= PROCESSES => format!("process {pid}"),
        Some(port) => format!("another program (netlink port {port})"),
    }
}

/// Lets some lines through, then counts until the pause is over: a flood is a number, not a full disk.
#[derive(Debug, Default, Clone, serde::Serialize, serde::Deserialize)]
pub struct Limit {
    open: Instant,
    passed: u32,
    held_back: u64,
}

impl Limit {
    /// Pause between two lines of one kind.
    const PAUSE: Duration = Duration::from_secs(10);
    /// Lines in a pause where each one says something new: "the Master changed from A to B".
    pub const FEW: u32 = 5;
    /// State changes in a pause. A network that is repaired needs fewer; somebody who sends forged adverts causes a hundred.
    pub const STATES: u32 = 60;

    /// Whether to log now, and how many were held back since the last time.
    pub fn pass(&mut self, now: Instant) -> Option<u64> {
        self.pass_some(now, 1)
    }
    /// As [`Limit::pass`], with `most` lines in a pause.
    pub fn pass_some(&mut self, now: Instant, most: u32) -> Option<u64> {
        if now >= self.open {
            self.open = now + Self::PAUSE;
            self.passed = 0;
        }
        if self.passed >= most {
            self.held_back += 1;
            return None;
        }
        self.passed += 1;
        Some(core::mem::take(&mut self.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_a_number() {
        let mut l = Limit::default();
        assert_eq!(l.pass(Instant(1)), Some(0));
        for i in 0..1000 {
            assert_eq!(l.pass(Instant(2 + i)), None);
        }
        assert_eq!(l.pass(Instant(1) + Limit::PAUSE), Some(1000));
        let mut l = Limit::default();
        for _ in 0..Limit::FEW {
            assert_eq!(l.pass_some(Instant(1), Limit::FEW), Some(0));
        }
        assert_eq!(l.pass_some(Instant(2), Limit::FEW), None);
        assert_eq!(l.pass_some(Instant(1) + Limit::PAUSE, Limit::FEW), Some(1));
    }
}
