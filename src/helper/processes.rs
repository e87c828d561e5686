//! Tracked processes: their number, reported after each change.
//!
//! The kernel reports which processes changed; their present state is read from /proc, once for all events of a process in a turn. So the
//! kind of an event is irrelevant, and a late read finds the present state. The events are subscribed to before the first scan of /proc;
//! after a loss of events everything is scanned again; without events, every 200 ms.
//!
//! Read first: `matching.rs`, `sys/connector.rs`. Deliberately absent: a periodic scan in addition to events. A program that has
//! rewritten its command line since its start counts with the original one, as in keepalived.

use super::lane::{Closed, Inbox, Line};
use super::matching::{Pattern, lives, stat};
use super::proto::{Ask, Tell};
use super::{errno, text};
use crate::note::Level;
use crate::sys::connector::{self, Connector, Event};
use crate::sys::inotify::first_bytes;
use crate::sys::{clock, poll};
use crate::time::{Duration, Instant};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Between two scans without events.
const SCAN: Duration = Duration::from_millis(200);
/// Processes examined in a turn: some milliseconds, after which events are read again before their queue overflows.
const SLICE: usize = 256;
/// Events read in a turn.
const EVENTS: usize = 1024;
/// How long the kernel may take to confirm the subscription. It answers within the request itself.
const ANSWER: Duration = Duration::from_millis(200);
/// Bytes of `/proc/PID/stat`: the name and the state are within the first hundred.
const STAT: u64 = 256;

struct Watch {
    pattern: Pattern,
    count: u32,
    told: Option<Result<u32, i32>>,
    /// Counted by a scan with at least this number.
    since: u64,
}

struct Process {
    /// The watches that count the process.
    watches: Vec<u64>,
    /// The number of the scan that saw it last.
    seen: u64,
}

struct Scan {
    number: u64,
    left: Vec<i32>,
}

/// The lane's thread.
pub fn run(inbox: &Mutex<Inbox<Ask>>, line: &Line) {
    let mut all = Processes {
        line,
        events: None,
        watches: BTreeMap::new(),
        pids: BTreeMap::new(),
        scan: None,
        next: None,
        scans: 0,
        failed: None,
    };
    let mut inbox = inbox.lock().unwrap_or_else(PoisonError::into_inner);
    while all.turn(&mut inbox).is_ok() {}
}

struct Processes<'a> {
    line: &'a Line,
    events: Option<Connector>,
    watches: BTreeMap<u64, Watch>,
    pids: BTreeMap<i32, Process>,
    scan: Option<Scan>,
    /// When the next scan begins.
    next: Option<Instant>,
    /// The number of scans begun.
    scans: u64,
    /// Why /proc cannot be read.
    failed: Option<i32>,
}

impl Processes<'_> {
    fn turn(&mut self, inbox: &mut Inbox<Ask>) -> Result<(), Closed> {
        let millis = match (&self.scan, self.next) {
            (Some(_), _) => 0,
            (None, Some(at)) => at.since(clock::mono()).as_millis().min(1000) as i32,
            (None, None) => -1,
        };
        let mut fds = vec![inbox.fd()];
        fds.extend(self.events.as_ref().map(Connector::fd));
        let ready = poll::readable(&fds, millis).unwrap_or_default();
        if ready.first() == Some(&true) {
            for ask in inbox.take()? {
                match ask {
                    Ask::WatchProcesses { watch, argv, param_match, full_command } => {
                        self.watch(watch, Pattern::new(&argv, param_match, full_command));
                    }
                    Ask::Unwatch { watch } => self.unwatch(watch),
                    _ => {}
                }
            }
        }
        if ready.get(1) == Some(&true) {
            self.take_events();
        }
        self.scan();
        self.tell();
        Ok(())
    }

    fn watch(&mut self, watch: u64, pattern: Pattern) {
        self.unwatch(watch);
        if self.watches.is_empty() {
            self.events = match listen() {
                Ok(events) => Some(events),
                Err(e) => {
                    self.line.note_once(Level::Warning, &text::no_connector(&e));
                    None
                }
            };
        }
        self.watches.insert(watch, Watch { pattern, count: 0, told: None, since: self.scans + 1 });
        self.next = Some(clock::mono());
    }

    fn unwatch(&mut self, watch: u64) {
        if self.watches.remove(&watch).is_none() {
            return;
        }
        for p in self.pids.values_mut() {
            p.watches.retain(|w| *w != watch);
        }
        self.pids.retain(|_, p| !p.watches.is_empty());
        if self.watches.is_empty() {
            (self.events, self.scan, self.next) = (None, None, None);
        }
    }

    fn take_events(&mut self) {
        // The last event of each process: its number may belong to another process already.
        let mut touched: BTreeMap<i32, bool> = BTreeMap::new();
        for _ in 0..EVENTS {
            match self.events.as_ref().map(Connector::next) {
                Some(Ok(Some(Event::Changed(pid)))) => drop(touched.insert(pid, true)),
                Some(Ok(Some(Event::Gone(pid)))) => drop(touched.insert(pid, false)),
                Some(Ok(Some(_))) => {}
                Some(Ok(None)) | None => break,
                Some(Err(e)) => {
                    if !connector::lost(&e) {
                        self.line.note_once(Level::Warning, &text::no_connector(&e));
                        self.events = None;
                    }
                    self.next = Some(clock::mono());
                    break;
                }
            }
        }
        for (pid, there) in touched {
            let watches = if there { self.who_counts(pid) } else { Vec::new() };
            self.set(pid, watches);
        }
    }

    /// A slice of a scan.
    fn scan(&mut self) {
        let now = clock::mono();
        if self.scan.is_none() && self.next.is_some_and(|at| now >= at) {
            self.next = self.events.is_none().then(|| now + SCAN);
            match pids() {
                Ok(left) => {
                    self.scans += 1;
                    self.scan = Some(Scan { number: self.scans, left });
                    self.failed = None;
                }
                Err(e) => {
                    self.failed = Some(errno(&e));
                    self.next = Some(now + SCAN);
                }
            }
        }
        let Some(mut scan) = self.scan.take() else { return };
        for pid in scan.left.split_off(scan.left.len().saturating_sub(SLICE)) {
            let watches = self.who_counts(pid);
            self.set(pid, watches);
        }
        if !scan.left.is_empty() {
            self.scan = Some(scan);
            return;
        }
        // Seen neither by this scan, nor by an event since the scan began.
        let gone: Vec<i32> = self.pids.iter().filter(|(_, p)| p.seen < scan.number).map(|(pid, _)| *pid).collect();
        for pid in gone {
            self.set(pid, Vec::new());
        }
        for w in self.watches.values_mut().filter(|w| w.since <= scan.number) {
            w.since = 0;
        }
    }

    /// The watches that a process counts for now.
    fn who_counts(&self, pid: i32) -> Vec<u64> {
        let read = |what: &str, most: u64| first_bytes(Path::new(&format!("/proc/{pid}/{what}")), most);
        let Ok(text) = read("stat", STAT) else { return Vec::new() };
        let Some((comm, _)) = stat(&text).filter(|s| lives(s.1)) else { return Vec::new() };
        // Reading the command line touches the process' memory, which may be swapped out: only where a pattern needs it.
        let needs = self.watches.values().filter_map(|w| w.pattern.needs()).max();
        let cmdline = needs.and_then(|n| read("cmdline", n as u64).ok()).unwrap_or_default();
        self.watches.iter().filter(|(_, w)| w.pattern.matches(comm, &cmdline)).map(|(k, _)| *k).collect()
    }

    fn set(&mut self, pid: i32, watches: Vec<u64>) {
        let before = self.pids.remove(&pid).map(|p| p.watches).unwrap_or_default();
        for (watch, w) in &mut self.watches {
            match (before.contains(watch), watches.contains(watch)) {
                (false, true) => w.count = w.count.saturating_add(1),
                (true, false) => w.count = w.count.saturating_sub(1),
                _ => {}
            }
        }
        if !watches.is_empty() {
            self.pids.insert(pid, Process { watches, seen: self.scans });
        }
    }

    fn tell(&mut self) {
        for (watch, w) in &mut self.watches {
            let result = match self.failed {
                Some(errno) => Err(errno),
                None if w.since > 0 => continue,
                None => Ok(w.count),
            };
            if w.told != Some(result) {
                w.told = Some(result);
                self.line.tell(&Tell::Processes { watch: *watch, result }, None);
            }
        }
    }
}

/// The connector, after the kernel has confirmed the subscription.
fn listen() -> io::Result<Connector> {
    let events = Connector::listen()?;
    let until = clock::mono() + ANSWER;
    loop {
        match events.next() {
            Ok(Some(Event::Answer(0))) => return Ok(events),
            Ok(Some(Event::Answer(errno))) => {
                return Err(io::Error::from_raw_os_error(i32::try_from(errno).unwrap_or(5)));
            }
            // Other processes that change meanwhile are seen by the scan that follows.
            Ok(Some(_)) => {}
            Ok(None) => {
                let left = until.since(clock::mono());
                if left.is_zero() {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                poll::readable(&[events.fd()], left.as_millis() as i32 + 1)?;
            }
            Err(e) if connector::lost(&e) => {}
            Err(e) => return Err(e),
        }
        if clock::mono() > until {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

/// The process ids that /proc lists, in no order.
fn pids() -> io::Result<Vec<i32>> {
    let entries = fs::read_dir("/proc")?;
    Ok(entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect())
}
