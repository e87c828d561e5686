//! The whole state of a running kalived, as one value.
//!
//! `World::report_part` makes it in parts, each a bounded amount of work, so that the loop is never delayed; [`Report::add`] joins the
//! parts where the report is shown: `kalived status`, keepalived's dump files, OpenMetrics. All of them show only the report. Every type
//! describes itself (`describe`), and the JSON schema and the manual page are generated from these descriptions.
//!
//! Rules for fields: a count is an integer; a duration is a number whose name ends with its unit; a moment is a [`Moment`]; an unknown
//! value is null; a name never gets another meaning. Types by domain: `daemon`, `instance`, `network`, `lvs`, `bfd`, `others`.

pub mod bfd;
pub mod daemon;
pub mod describe;
pub mod instance;
pub mod lvs;
pub mod network;
pub mod others;

pub use bfd::BfdSession;
pub use daemon::{Daemon, Log, Loop};
pub use instance::{Address, Condition, Counters, Instance, Sender, Transition};
pub use lvs::{HealthCheck, Ipvs, RealServer, ServerState, VirtualServer};
pub use network::{Interface, Routes, Rules, Socket};
pub use others::{Group, Notifications, Pipe, Tracker};

use crate::time::{Now, Wall};
use describe::record;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// Number of the layout, see [`Report::layout`].
pub const LAYOUT: u32 = 1;

record! {
    /// What kalived status --format=json prints.
    pub struct Report {
        /// Number of this layout. It increases when a field is removed or gets another meaning, not when one is added.
        pub layout: u32,
        /// When the report was made; each instance as it was at a moment shortly after. RFC 3339, UTC.
        pub time: String,
        /// The report would have been longer than 64 MiB, and its end is missing.
        pub truncated: bool,
        /// The processes of kalived, their release and their configuration.
        pub daemon: Daemon,
        /// Virtual routers, in the order of the file unless a reload added some.
        pub instances: Vec<Instance>,
        /// Sync groups, with the names of their members.
        pub groups: Vec<Group>,
        /// What is tracked beside interfaces, by kind and name.
        pub trackers: Vec<Tracker>,
        /// BFD sessions, by name.
        pub bfd_sessions: Vec<BfdSession>,
        /// BFD packets discarded, by reason.
        pub bfd_discarded: BTreeMap<String, u64>,
        /// Interfaces that the configuration names, as the kernel reports them.
        pub interfaces: Vec<Interface>,
        /// Sockets for adverts: one for each interface and group, or for each source of unicast adverts.
        pub sockets: Vec<Socket>,
        /// Static and virtual routes.
        pub routes: Routes,
        /// Static and virtual rules.
        pub rules: Rules,
        /// The kernel's IPVS table.
        pub ipvs: Ipvs,
        /// Virtual servers, in the order of the file unless a reload added some.
        pub virtual_servers: Vec<VirtualServer>,
        /// Notification scripts, named pipes and mail.
        pub notifications: Notifications,
        /// The loop of the VRRP process.
        pub event_loop: Loop,
        /// The log of the VRRP process.
        pub log: Log,
    }
}

record! {
    /// A moment, by the wall clock and as an age.
    pub struct Moment {
        /// The wall clock time, RFC 3339, UTC, with microseconds.
        pub time: String,
        /// How long ago that was when the report was made, by a clock that is never set.
        pub age_seconds: f64,
    }
}

/// RFC 3339, UTC, with microseconds.
pub fn rfc3339(at: Wall) -> String {
    humantime::format_rfc3339_micros(SystemTime::UNIX_EPOCH + Duration::from_nanos(at.0)).to_string()
}

/// A duration as the seconds of a field, to the microsecond.
pub fn seconds(d: Duration) -> f64 {
    (d.as_micros() as f64) / 1e6
}

impl Moment {
    /// The moment `at` with its age at `now`.
    pub fn of(at: Now, now: Now) -> Moment {
        Moment { time: rfc3339(at.wall), age_seconds: seconds(now.mono.since(at.mono)) }
    }
    /// The wall-clock time, nanoseconds since 1970; `None`: the text is no time.
    pub fn wall(&self) -> Option<Wall> {
        let at = humantime::parse_rfc3339(&self.time).ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(Wall(crate::time::nanos(at)))
    }
}

/// The parts of a report, one JSON value per line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Part {
    /// The first one: [`Report::layout`] and [`Report::time`].
    Begin(u32, String),
    /// A virtual router, without its addresses.
    Instance(Box<Instance>),
    /// More addresses of the virtual router before.
    Addresses(Vec<Address>),
    /// The sync groups; a configuration has no more than virtual routers.
    Groups(Vec<Group>),
    /// Some trackers; a report has as many of these parts as it needs.
    Trackers(Vec<Tracker>),
    /// Some interfaces.
    Interfaces(Vec<Interface>),
    /// Some sockets.
    Sockets(Vec<Socket>),
    /// The routes and rules.
    Routes(Routes, Rules),
    /// The kernel's IPVS table.
    Ipvs(Ipvs),
    /// A virtual server, without its real servers.
    VirtualServer(Box<VirtualServer>),
    /// More real servers of the virtual server before.
    RealServers(Vec<RealServer>),
    /// Scripts, pipes and mail.
    Notifications(Notifications),
    /// The loop and the log.
    Loop(Loop, Log),
    /// The last one: [`Report::truncated`].
    End(bool),
    /// More BFD sessions.
    BfdSessions(Vec<BfdSession>),
    /// BFD packets discarded.
    BfdDiscarded(BTreeMap<String, u64>),
}

impl Report {
    /// Adds a part, in the order of the file.
    pub fn add(&mut self, part: Part) {
        match part {
            Part::Begin(layout, time) => (self.layout, self.time) = (layout, time),
            Part::Instance(i) => self.instances.push(*i),
            Part::Addresses(more) => {
                if let Some(i) = self.instances.last_mut() {
                    i.addresses.extend(more);
                }
            }
            Part::Groups(more) => self.groups.extend(more),
            Part::Trackers(more) => self.trackers.extend(more),
            Part::Interfaces(more) => self.interfaces.extend(more),
            Part::Sockets(more) => self.sockets.extend(more),
            Part::Routes(routes, rules) => (self.routes, self.rules) = (routes, rules),
            Part::Ipvs(ipvs) => self.ipvs = ipvs,
            Part::VirtualServer(vs) => self.virtual_servers.push(*vs),
            Part::RealServers(more) => {
                if let Some(vs) = self.virtual_servers.last_mut() {
                    vs.real_servers.extend(more);
                }
            }
            Part::Notifications(n) => self.notifications = n,
            Part::Loop(event_loop, log) => (self.event_loop, self.log) = (event_loop, log),
            Part::End(truncated) => self.truncated = truncated,
            Part::BfdSessions(more) => self.bfd_sessions.extend(more),
            Part::BfdDiscarded(counts) => self.bfd_discarded = counts,
        }
    }

    /// Reads a file of parts. A line that is no part is skipped: a later version may have others.
    pub fn read(lines: &[u8]) -> Report {
        let mut report = Report { truncated: true, ..Report::default() };
        let parts = lines.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
        parts.for_each(|part| report.add(part));
        report
    }
}
