//! Messages to systemd (sd_notify) and descriptors from it: a datagram of lines to the socket in `NOTIFY_SOCKET`. No library.
//!
//! No call waits or fails: without systemd every call does nothing, and a message that the manager does not read is lost. Deliberately
//! absent: removing the variables for children, because their environment is built from nothing.

use crate::sys::unixsock;
use crate::time::{Duration, Instant};
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

/// Most file descriptors taken back from the manager: the unit lets it keep 16, and an operator may configure another number.
const MAX_STORED: usize = 64;
/// First file descriptor that is passed (`SD_LISTEN_FDS_START`).
const FIRST_FD: RawFd = 3;
/// Longest status line, bytes: `systemctl status` shows one line.
const MAX_STATUS: usize = 512;
/// The shortest and the longest time between two messages to the watchdog. A limit of less than 20 ms is not one that a process can keep.
const OFTEN: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// The socket to the service manager.
#[derive(Debug, Default)]
pub struct Notifier {
    // The address, and the sending socket. `None`: there is no manager to notify.
    line: Option<(String, OwnedFd)>,
    watchdog: Option<Duration>,
    lost: u64,
}

/// How often the manager expects a message from the process `pid`: half of its limit. `None`: not at all, or another process is meant.
pub fn watchdog_interval(get: &dyn Fn(&str) -> Option<String>, pid: u32) -> Option<Duration> {
    let limit: u64 = get("WATCHDOG_USEC")?.parse().ok().filter(|us| *us > 0)?;
    let meant = get("WATCHDOG_PID").is_none_or(|p| p.parse() == Ok(pid));
    meant.then(|| Duration::from_micros((limit / 2).max(1)))
}

/// File descriptors that the manager kept, with their names; each is to be taken once with `sys::unixsock::inherited`. A descriptor
/// without a name is called "unknown", as systemd does it.
pub fn stored(get: &dyn Fn(&str) -> Option<String>, pid: u32) -> Vec<(RawFd, String)> {
    if get("LISTEN_PID").and_then(|p| p.parse().ok()) != Some(pid) {
        return Vec::new();
    }
    let n = get("LISTEN_FDS").and_then(|n| n.parse::<usize>().ok()).unwrap_or(0).min(MAX_STORED);
    let names = get("LISTEN_FDNAMES").unwrap_or_default();
    let names = names.split(':').filter(|n| !n.is_empty()).map(str::to_owned);
    let numbers = (FIRST_FD..).take(n);
    numbers.zip(names.chain(std::iter::repeat_with(|| "unknown".to_owned()))).collect()
}

impl Notifier {
    /// From the environment. Invalid variables count as unset.
    pub fn from_env(get: &dyn Fn(&str) -> Option<String>) -> Notifier {
        let known = |name: &String| name.len() > 1 && name.starts_with(['/', '@']);
        let line = get("NOTIFY_SOCKET").filter(known).and_then(|name| Some((name, unixsock::datagram().ok()?)));
        Notifier { line, watchdog: watchdog_interval(get, std::process::id()), lost: 0 }
    }

    /// Whether there is a manager.
    pub fn is_on(&self) -> bool {
        self.line.is_some()
    }

    /// How often to call [`Notifier::watchdog`]: half of the manager's limit, within `OFTEN`. `None`: not at all.
    pub fn interval(&self) -> Option<Duration> {
        self.watchdog.filter(|_| self.is_on()).map(|every| every.clamp(OFTEN.0, OFTEN.1))
    }

    /// The number of messages that could not be delivered.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// READY=1: the start or a reload is complete.
    pub fn ready(&mut self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={}", one_line(status)), None);
    }

    /// Sets the line for `systemctl status`.
    pub fn status(&mut self, text: &str) {
        self.send(&format!("STATUS={}", one_line(text)), None);
    }

    /// A reload begins. [`Notifier::ready`] follows, whatever its result.
    pub fn reloading(&mut self, now: Instant) {
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={}\nSTATUS=reloading", now.0 / 1000), None);
    }

    /// The stop begins.
    pub fn stopping(&mut self, status: &str) {
        self.send(&format!("STOPPING=1\nSTATUS={}", one_line(status)), None);
    }

    /// WATCHDOG=1. Sent only while the core is alive.
    pub fn watchdog(&mut self) {
        self.send("WATCHDOG=1", None);
    }

    /// Another process is now the service's main process.
    pub fn main_pid(&mut self, pid: u32) {
        self.send(&format!("MAINPID={pid}"), None);
    }

    /// Extends the timeout of the present operation.
    pub fn extend(&mut self, by: Duration) {
        self.send(&format!("EXTEND_TIMEOUT_USEC={}", by.as_micros()), None);
    }

    /// The errno of a failure.
    pub fn failed(&mut self, errno: i32, status: &str) {
        self.send(&format!("ERRNO={errno}\nSTATUS={}", one_line(status)), None);
    }

    /// Has the manager keep `fd` for the process that is started next ([`stored`]). A descriptor of the same name stays beside it, so an
    /// old one has to be [forgotten](Notifier::forget) first. `name`: 1 to 255 ASCII characters, no colon. Returns whether the message
    /// was sent.
    pub fn store(&mut self, name: &str, fd: BorrowedFd<'_>) -> bool {
        // Without FDPOLL=0 the manager drops a file descriptor that reports an error or a hang-up, such as a socket whose peer ended.
        let lost = self.lost;
        self.send(&format!("FDSTORE=1\nFDNAME={name}\nFDPOLL=0"), Some(fd));
        self.lost == lost && self.is_on()
    }

    /// Has the manager close every file descriptor of that name.
    pub fn forget(&mut self, name: &str) {
        self.send(&format!("FDSTOREREMOVE=1\nFDNAME={name}"), None);
    }

    fn send(&mut self, text: &str, fd: Option<BorrowedFd<'_>>) {
        if let Some((to, from)) = &self.line
            && unixsock::send_datagram(from, to, text.as_bytes(), fd).is_err()
        {
            self.lost += 1;
        }
    }
}

// A newline would begin another assignment.
fn one_line(text: &str) -> String {
    let mut out: String = text.trim_end().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut end = out.len().min(MAX_STATUS);
    while !out.is_char_boundary(end) {
        end -= 1;
    }
    out.truncate(end);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env<'a>(vars: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        move |name| vars.iter().find(|v| v.0 == name).map(|v| v.1.to_owned())
    }

    #[test]
    fn the_watchdog_is_for_the_process_it_names() {
        let half = Some(Duration::from_secs(5));
        assert_eq!(watchdog_interval(&env(&[("WATCHDOG_USEC", "10000000")]), 7), half);
        assert_eq!(watchdog_interval(&env(&[("WATCHDOG_USEC", "10000000"), ("WATCHDOG_PID", "7")]), 7), half);
        assert_eq!(watchdog_interval(&env(&[("WATCHDOG_USEC", "10000000"), ("WATCHDOG_PID", "8")]), 7), None);
        for wrong in ["", "0", "-1", "x", "99999999999999999999"] {
            assert_eq!(watchdog_interval(&env(&[("WATCHDOG_USEC", wrong)]), 7), None, "{wrong}");
        }
        assert_eq!(watchdog_interval(&env(&[("WATCHDOG_USEC", "1")]), 7), Some(Duration::from_micros(1)));
    }

    #[test]
    fn what_was_stored_is_found_again_by_its_name() {
        let vars = [("LISTEN_PID", "7"), ("LISTEN_FDS", "3"), ("LISTEN_FDNAMES", "snapshot:control")];
        let want = [(3, "snapshot"), (4, "control"), (5, "unknown")].map(|(n, name)| (n, name.to_owned()));
        assert_eq!(stored(&env(&vars), 7), want);
        assert!(stored(&env(&vars), 8).is_empty(), "somebody else's");
        assert!(stored(&env(&vars[1..]), 7).is_empty());
        for wrong in ["", "0", "-3", "x"] {
            assert!(stored(&env(&[("LISTEN_PID", "7"), ("LISTEN_FDS", wrong)]), 7).is_empty(), "{wrong}");
        }
        assert_eq!(stored(&env(&[("LISTEN_PID", "7"), ("LISTEN_FDS", "4000000000")]), 7).len(), MAX_STORED);
    }

    #[test]
    fn without_a_manager_nothing_happens() {
        for vars in
            [&[][..], &[("NOTIFY_SOCKET", "relative")], &[("NOTIFY_SOCKET", "@")], &[("NOTIFY_SOCKET", "vsock:2:1")]]
        {
            let mut n = Notifier::from_env(&env(vars));
            n.ready("x");
            assert!(!n.is_on() && n.lost() == 0 && n.interval().is_none(), "{vars:?}");
        }
        let mut n = Notifier::from_env(&env(&[("NOTIFY_SOCKET", "/nonexistent/notify"), ("WATCHDOG_USEC", "4")]));
        n.watchdog();
        assert_eq!((n.is_on(), n.lost(), n.interval()), (true, 1, Some(OFTEN.0)));
        for (limit, every) in [(400_000, Duration::from_millis(200)), (30_000_000, OFTEN.1)] {
            let limit = format!("{limit}");
            let vars = [("NOTIFY_SOCKET", "/nonexistent/notify"), ("WATCHDOG_USEC", limit.as_str())];
            assert_eq!(Notifier::from_env(&env(&vars)).interval(), Some(every));
        }
    }

    #[test]
    fn a_status_is_one_line() {
        assert_eq!(one_line("a\nREADY=1\n"), "a READY=1");
        assert_eq!(one_line(&"ä".repeat(400)).len(), MAX_STATUS);
    }
}
