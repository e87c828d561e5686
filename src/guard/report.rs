//! Reports: requested of the core for a client of `kalived status` or for a dump file; passed as a file in memory.
//!
//! One request runs at a time; requests meanwhile are answered by the next report, because the state may have changed since the report
//! began. Read first: `daemon/report.rs` (which writes it), `dump/` (which writes keepalived's files).

use super::Guard;
use super::ctl::ClientId;
use super::queue::Queue;
use super::text;
use crate::process::dump::Kind;
use crate::process::proto::ToCore;
use crate::report::{Daemon, Moment};
use crate::sys::child::{self, End};
use crate::sys::clock;
use crate::time::{Duration, Instant, Now, Wall, nanos};
use std::fs::File;

/// How long the core may take: a report of 4,096 virtual routers takes a second on a slow processor.
const LIMIT: Duration = Duration::from_secs(5);
/// How long a dump file may take: the disk may be slow, but the reader has given up by then (VyOS waits 30 s).
const DUMP_LIMIT: Duration = Duration::from_secs(30);

/// The recipient of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// A client of the control socket.
    Client(ClientId),
    /// A file that keepalived writes on a signal, such as `keepalived.data`.
    Dump(Kind),
}

/// A process that writes a dump file.
struct Writer {
    pid: u32,
    kind: Kind,
    until: Instant,
    /// The file was requested again meanwhile.
    again: bool,
}

/// See the module. The queue is limited by the number of clients and the kinds of files.
#[derive(Default)]
pub struct Reporting {
    queue: Queue,
    now: Vec<Whom>,
    next: Vec<Whom>,
    until: Instant,
    writers: Vec<Writer>,
}

impl Guard {
    /// A report is requested.
    pub(super) fn ask_report(&mut self, now: Instant, whom: Whom) {
        if let Whom::Dump(kind) = whom
            && let Some(writer) = self.reporting.writers.iter_mut().find(|w| w.kind == kind)
        {
            // With two writers at once the older file could remain.
            writer.again = true;
            return;
        }
        if !self.reporting.next.contains(&whom) {
            self.reporting.next.push(whom);
        }
        if self.reporting.queue.ask() {
            self.begin_report(now);
        }
    }

    fn begin_report(&mut self, now: Instant) {
        self.reporting.now = core::mem::take(&mut self.reporting.next);
        self.reporting.until = now + LIMIT;
        let clear = self.reporting.now.contains(&Whom::Dump(Kind::StatsClear));
        self.tell(ToCore::Report { clear });
    }

    /// The core's report, or none.
    pub(super) fn on_report(&mut self, now: Instant, file: Option<File>) {
        let core = self.core.as_ref().map(|c| c.pid);
        let problem = match (&file, core) {
            (Some(_), _) => None,
            (None, Some(_)) => Some("the VRRP process does not answer".to_owned()),
            (None, None) => Some("no VRRP process: it died too often, and is started again in a while".to_owned()),
        };
        let daemon = self.describe(now, problem);
        for whom in core::mem::take(&mut self.reporting.now) {
            match (whom, &file) {
                (Whom::Client(client), _) => self.answers.give_report(client, &daemon, file.as_ref()),
                (Whom::Dump(kind), Some(file)) => self.write_dump(now, kind, file),
                (Whom::Dump(kind), None) => self.note(text::not_dumped(kind, "the VRRP process did not report")),
            }
        }
        if self.reporting.queue.done() {
            self.begin_report(now);
        }
    }

    /// A core of kalived 0.1.0 sends only text.
    pub(super) fn on_old_status(&mut self, now: Instant, lines: &str) {
        for whom in core::mem::take(&mut self.reporting.now) {
            match whom {
                Whom::Client(client) => self.answers.answer(client, true, lines),
                Whom::Dump(kind) => self.note(text::not_dumped(kind, "the VRRP process is of an older version")),
            }
        }
        if self.reporting.queue.done() {
            self.begin_report(now);
        }
    }

    /// A signal that does not start or stop processes.
    pub(super) fn on_dump_signal(&mut self, now: Instant, s: u8) {
        match (Kind::of_signal(s), &self.core) {
            (Some(kind), Some(core)) => {
                self.log.note(&text::dumping(kind, core.pid));
                self.ask_report(now, Whom::Dump(kind));
            }
            (Some(kind), None) => self.note(text::not_dumped(kind, "there is no VRRP process")),
            (None, _) => self.on_unused(s),
        }
    }

    fn write_dump(&mut self, now: Instant, kind: Kind, report: &File) {
        match self.roles.dump(kind, [report, &self.image], &self.log, &self.reports) {
            Ok(pid) => {
                let until = now + DUMP_LIMIT;
                self.reporting.writers.push(Writer { pid, kind, until, again: false });
            }
            Err(e) => self.note(text::not_dumped(kind, &e.to_string())),
        }
    }

    /// Returns whether the process was a writer of a dump file.
    pub(super) fn dump_ended(&mut self, now: Instant, pid: u32, end: End) -> bool {
        let Some(at) = self.reporting.writers.iter().position(|w| w.pid == pid) else { return false };
        let writer = self.reporting.writers.swap_remove(at);
        // A writer that exits has logged the reason.
        if let End::Signaled(_) = end {
            self.note(text::not_dumped(writer.kind, &text::end(end)));
        }
        if writer.again {
            self.ask_report(now, Whom::Dump(writer.kind));
        }
        true
    }

    pub(super) fn look_at_report(&mut self, now: Instant) {
        let open = !self.reporting.now.is_empty();
        if open && (now >= self.reporting.until || self.core.is_none()) {
            self.on_report(now, None);
        }
        for writer in self.reporting.writers.iter().filter(|w| now >= w.until) {
            child::kill(writer.pid, false, true);
        }
    }

    /// Describes the processes.
    fn describe(&self, now: Instant, problem: Option<String>) -> Daemon {
        let wall = clock::now().wall;
        let core = self.core.as_ref();
        let since = |at: Instant| {
            let age = now.since(at);
            let at = Now { mono: at, wall: Wall(wall.0.saturating_sub(nanos(age))) };
            Moment::of(at, Now { mono: now, wall })
        };
        Daemon {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            configuration: self.roles.file.clone(),
            core_pid: core.map(|c| c.pid),
            core_since: core.map(|c| since(c.started)),
            cores: self.cores,
            helper_pid: core.and_then(|c| c.helper),
            programs: self.scripts.len() as u64,
            last_reload: self.reloads.last.clone(),
            problem,
        }
    }
}
