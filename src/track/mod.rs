//! What virtual routers track beside interfaces: scripts, files, processes, native checks and BFD sessions.
//!
//! Read in this order: this file (all of them, by key and by name), `flip` (rise and fall), then one kind each: `script`, `file`,
//! `process`, `check`, `bfd`. A tracker has its verdict and does not know who uses it: `vrrp/instance/health.rs` reads verdicts by name,
//! `world/tracks.rs` passes events to the trackers and changes to the virtual routers. Deliberately absent: the application of
//! weights. A weight is that of the tracking line or, where it has none, the [`Weight`] kept here.

pub mod bfd;
pub mod check;
pub mod file;
pub mod flip;
pub mod process;
pub mod script;
#[cfg(test)]
mod tests;
pub mod text;

use crate::child::Children;
use crate::config::model::Config;
use crate::config::model::bfd::BfdInstance;
use crate::config::model::setting::Weight;
use crate::config::model::vrrp::{Track, TrackFile, TrackProcess, Tracks as Lines, VrrpCheck, VrrpScript};
use crate::conn::Conns;
use crate::effect::Effects;
use crate::event::{ChildEnd, Errno, Stream};
use crate::id::{Arena, ConnKey, TrackKey, TrackMark};
use crate::note::Note;
use crate::snapshot::TrackShot;
use crate::time::{Duration, Instant, Now, nanos};
use crate::timers::{Due, Timers};
use crate::watch::Watches;
use bfd::Bfd;
use check::Check;
use file::File;
use process::Process;
use script::Script;
use std::collections::{BTreeMap, BTreeSet};

/// What a tracker may touch while it handles one input.
pub struct Cx<'a> {
    /// The turn's time.
    pub now: Now,
    /// The one timer table.
    pub timers: &'a mut Timers,
    /// The effects of the turn.
    pub fx: &'a mut Effects,
    /// Programs: the scripts that run.
    pub children: &'a mut Children,
    /// Connections: those of native checks.
    pub conns: &'a mut Conns,
    /// The helper's watches of files and processes.
    pub watches: &'a mut Watches,
}

impl Cx<'_> {
    /// The interval was altered. Returns the new time of the next run if that is sooner: after a change from an hour to a second the
    /// next run is not an hour away.
    fn sooner(&mut self, key: TrackKey, interval: Duration) -> Option<Instant> {
        let (run, soonest) = (Due::TrackRun(key), self.now.mono + interval);
        self.timers.get(run).filter(|at| *at > soonest)?;
        self.timers.set(run, soonest);
        Some(soonest)
    }
}

/// When a tracker that runs at `now` for the first time runs again; from then on it runs every `interval`. The time is within the
/// second half of the interval, by a hash of the name: checks that start together run together only once, and the place of a check
/// does not depend on the others in the file.
pub(crate) fn second_run(now: Instant, interval: Duration, name: &str) -> Instant {
    // The product of a hash of 32 bits and these nanoseconds has 64 bits. So the spread is 4.3 s at most, which is enough.
    let spread = nanos(interval / 2).min(u64::from(u32::MAX));
    let share = (u64::from(CRC32C.checksum(name.as_bytes())) * spread) >> 32;
    now + (interval - Duration::from_nanos(spread - share))
}

/// How many trackers are not spread: together they cost a slow processor a few milliseconds, and each has its whole interval from the
/// first run on.
const FEW: usize = 8;

const CRC32C: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);

/// Kinds of trackers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Kind {
    /// A `vrrp_script`: a program and its exit status.
    Script,
    /// A `track_file`: the number in a file.
    File,
    /// A `vrrp_track_process`: the number of processes.
    Process,
    /// A `vrrp_check`: a check without a program.
    Check,
    /// A `bfd_instance`: the state of a BFD session.
    Bfd,
    /// The quorum of a `virtual_server`.
    VirtualServer,
}

impl Kind {
    /// Every kind, in the order of the members.
    pub const ALL: [Kind; 6] = [Kind::Script, Kind::File, Kind::Process, Kind::Check, Kind::Bfd, Kind::VirtualServer];
    /// As in snapshots and sentences.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Script => "script",
            Kind::File => "file",
            Kind::Process => "process",
            Kind::Check => "check",
            Kind::Bfd => "bfd",
            Kind::VirtualServer => "virtual_server",
        }
    }
    /// As at the beginning of a log line.
    pub fn title(self) -> &'static str {
        match self {
            Kind::Script => "VRRP_Script",
            Kind::File => "VRRP_Track_File",
            Kind::Process => "VRRP_Track_Process",
            Kind::Check => "VRRP_Check",
            Kind::Bfd => "BFD_Instance",
            Kind::VirtualServer => "Virtual_Server",
        }
    }
    /// The lines of `lines` that name trackers of this kind.
    pub fn lines(self, lines: &Lines) -> &[Track] {
        match self {
            Kind::Script => &lines.scripts,
            Kind::File => &lines.files,
            Kind::Process => &lines.processes,
            Kind::Check => &lines.checks,
            Kind::Bfd => &lines.bfds,
            Kind::VirtualServer => &lines.virtual_servers,
        }
    }
}

/// The verdict of a tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Verdict {
    /// There is no result yet.
    Waiting,
    /// It is as it should be, or not.
    Up(bool),
    /// A file's number.
    Value(i32),
}

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
enum Def {
    Script(VrrpScript),
    File(TrackFile),
    Process(TrackProcess),
    Check(VrrpCheck),
    Bfd(BfdInstance),
    // Its quorum is the virtual server's own.
    VirtualServer,
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
enum Machine {
    Script(Script),
    File(File),
    Process(Process),
    Check(Check),
    Bfd(Bfd),
    // Whether it has its quorum, as far as that is known.
    VirtualServer(Option<bool>),
}

impl Machine {
    fn new(key: TrackKey, kind: Kind, def: Def) -> Machine {
        match def {
            Def::Script(d) => Machine::Script(Script::new(key, d)),
            Def::File(d) => Machine::File(File::new(key, d)),
            Def::Process(d) => Machine::Process(Process::new(key, d)),
            Def::Check(d) => Machine::Check(Check::new(key, kind, d)),
            Def::Bfd(d) => Machine::Bfd(Bfd::new(d)),
            Def::VirtualServer => Machine::VirtualServer(None),
        }
    }
    // True: the verdict changed.
    fn start(&mut self, spread: bool, cx: &mut Cx<'_>) -> bool {
        match self {
            Machine::Script(m) => m.start(spread, cx),
            Machine::File(m) => return m.start(cx),
            Machine::Process(m) => m.start(cx),
            Machine::Check(m) => m.start(spread, cx),
            // The sessions start by themselves.
            Machine::Bfd(_) | Machine::VirtualServer(_) => {}
        }
        false
    }
    // True: nothing is left of it.
    fn retire(&mut self, cx: &mut Cx<'_>) -> bool {
        match self {
            Machine::Script(m) => return m.retire(cx),
            Machine::File(m) => m.retire(cx),
            Machine::Process(m) => m.retire(cx),
            Machine::Check(m) => m.retire(cx),
            Machine::Bfd(_) | Machine::VirtualServer(_) => {}
        }
        true
    }
    fn weight(&self) -> Weight {
        match self {
            Machine::Script(m) => m.cfg().weight,
            Machine::File(m) => m.cfg().weight,
            Machine::Process(m) => m.cfg().weight,
            Machine::Check(m) => m.cfg().weight,
            Machine::Bfd(m) => m.cfg().weight,
            Machine::VirtualServer(_) => Weight::default(),
        }
    }
    fn verdict(&self) -> Verdict {
        let up = match self {
            Machine::File(m) => return m.value().map_or(Verdict::Waiting, Verdict::Value),
            Machine::Script(m) => m.up(),
            Machine::Process(m) => m.up(),
            Machine::Check(m) => m.up(),
            Machine::Bfd(m) => m.up(),
            Machine::VirtualServer(up) => *up,
        };
        up.map_or(Verdict::Waiting, Verdict::Up)
    }
    fn resume(&mut self, value: i64) {
        match self {
            Machine::Script(m) => m.resume(value != 0),
            Machine::File(m) => m.resume(i32::try_from(value).unwrap_or(if value < 0 { i32::MIN } else { i32::MAX })),
            Machine::Process(m) => m.resume(value != 0),
            Machine::Check(m) => m.resume(value != 0),
            Machine::Bfd(m) => drop(m.set(value != 0)),
            Machine::VirtualServer(up) => *up = Some(value != 0),
        }
    }
    fn hold(&mut self, verdict: Verdict) {
        match (self, verdict) {
            (_, Verdict::Waiting) => {}
            (Machine::File(m), Verdict::Value(value)) => m.resume(value),
            (Machine::Script(m), Verdict::Up(up)) => m.hold(up),
            (Machine::Process(m), Verdict::Up(up)) => m.resume(up),
            (Machine::Check(m), Verdict::Up(up)) => m.hold(up),
            (Machine::Bfd(m), Verdict::Up(up)) => drop(m.set(up)),
            (Machine::VirtualServer(m), Verdict::Up(up)) => *m = Some(up),
            (Machine::File(_), Verdict::Up(_)) | (_, Verdict::Value(_)) => {}
        }
    }
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Tracker {
    kind: Kind,
    name: Box<str>,
    machine: Machine,
}

/// A tracker in a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackView {
    /// The kind of the tracker.
    pub kind: Kind,
    /// Name in the file.
    pub name: Box<str>,
    /// The present verdict.
    pub verdict: Verdict,
    /// A script: its program runs now.
    pub running: bool,
}

/// Every tracker. See the module.
#[derive(Default, serde::Serialize, serde::Deserialize)]
pub struct Tracks {
    all: Arena<TrackMark, Tracker>,
    // Trackers in use. One that only waits for the end of its last program is in `all` alone.
    by_name: BTreeMap<(Kind, Box<str>), TrackKey>,
    running: bool,
    dirty: bool,
}

impl Tracks {
    /// Makes those that an instance of `config` tracks. Nothing is looked at before [`Tracks::start`].
    pub fn new(config: &Config) -> Tracks {
        let mut t = Tracks::default();
        for (name, def) in wanted(config) {
            t.insert(name, def);
        }
        t
    }

    fn insert(&mut self, name: (Kind, Box<str>), def: Def) -> TrackKey {
        let key = self.all.insert_with(|key| Tracker {
            kind: name.0,
            name: name.1.clone(),
            machine: Machine::new(key, name.0, def),
        });
        self.by_name.insert(name, key);
        key
    }

    /// Starts the trackers. Returns those whose verdict changed by that alone.
    pub fn start(&mut self, cx: &mut Cx<'_>) -> Vec<TrackKey> {
        self.running = true;
        let spread = self.all.len() > FEW;
        let mut started = Vec::new();
        for key in self.by_name.values() {
            if self.all.get_mut(*key).is_some_and(|t| t.machine.start(spread, cx)) {
                started.push(*key);
            }
        }
        started
    }

    /// Ends all tracking; running programs are asked to end. Verdicts stay.
    pub fn stop(&mut self, cx: &mut Cx<'_>) {
        self.running = false;
        for key in self.all.keys() {
            self.all.get_mut(key).map(|t| t.machine.retire(cx));
        }
    }

    /// Another configuration. A tracker that is defined as before keeps its state, its program and its schedule; an altered one starts
    /// anew and keeps its last verdict until the next result; one that no virtual router tracks ends. Returns those that are new or
    /// altered.
    pub fn alter(&mut self, config: &Config, cx: &mut Cx<'_>) -> Vec<TrackKey> {
        let mut wanted = wanted(config);
        let mut touched = Vec::new();
        for (name, key) in core::mem::take(&mut self.by_name) {
            match wanted.remove(&name) {
                None => self.retire(key, cx),
                Some(def) => {
                    let (key, changed) = self.alter_one(name, key, def, cx);
                    touched.extend(changed.then_some(key));
                }
            }
        }
        for (name, def) in wanted {
            let key = self.insert(name, def);
            touched.push(key);
            self.begin(key, cx);
        }
        self.dirty = true;
        touched
    }

    fn alter_one(&mut self, name: (Kind, Box<str>), key: TrackKey, def: Def, cx: &mut Cx<'_>) -> (TrackKey, bool) {
        let Some(t) = self.all.get_mut(key) else { return (self.insert(name, def), true) };
        // `Ok`: the same target is tracked; true: the difference matters to the users.
        let kept = match (&mut t.machine, def) {
            (Machine::Script(m), Def::Script(d)) if m.cfg().script == d.script => {
                let other = *m.cfg() != d;
                if other {
                    m.alter(d, cx);
                }
                Ok(other)
            }
            (Machine::File(m), Def::File(d)) if m.cfg().file == d.file => {
                let other = *m.cfg() != d;
                m.alter(d);
                Ok(other)
            }
            (Machine::Process(m), Def::Process(d)) if Process::spec(m.cfg()) == Process::spec(&d) => {
                let other = *m.cfg() != d;
                if other {
                    m.alter(d, cx);
                }
                Ok(other)
            }
            (Machine::Check(m), Def::Check(d)) if m.cfg().target == d.target => {
                let other = *m.cfg() != d;
                if other {
                    m.alter(d, cx);
                }
                Ok(other)
            }
            (Machine::Bfd(m), Def::Bfd(d)) => {
                let other = *m.cfg() != d;
                m.alter(d);
                Ok(other)
            }
            (Machine::VirtualServer(_), Def::VirtualServer) => Ok(false),
            (_, def) => Err((def, t.machine.verdict())),
        };
        match kept {
            Ok(other) => {
                self.by_name.insert(name, key);
                (key, other)
            }
            Err((def, verdict)) => {
                self.retire(key, cx);
                let key = self.insert(name, def);
                if let Some(t) = self.all.get_mut(key) {
                    t.machine.hold(verdict);
                }
                self.begin(key, cx);
                (key, true)
            }
        }
    }

    fn begin(&mut self, key: TrackKey, cx: &mut Cx<'_>) {
        let spread = self.all.len() > FEW;
        if self.running
            && let Some(t) = self.all.get_mut(key)
        {
            t.machine.start(spread, cx);
        }
    }

    fn retire(&mut self, key: TrackKey, cx: &mut Cx<'_>) {
        if self.all.get_mut(key).is_some_and(|t| t.machine.retire(cx)) {
            self.all.remove(key);
        }
    }

    /// Panics when a rule that must always hold does not.
    pub fn check_invariants(&self, timers: &Timers) {
        for (key, t) in self.all.iter().filter(|_| self.running) {
            let named = self.find(t.kind, &t.name) == Some(key);
            match &t.machine {
                Machine::Script(m) => m.check_invariants(timers),
                Machine::Check(m) => m.check_invariants(timers),
                Machine::File(_) | Machine::Process(_) | Machine::Bfd(_) | Machine::VirtualServer(_) => {}
            }
            assert!(named || matches!(t.machine, Machine::Script(_)), "{}: only a program is waited for", t.name);
        }
    }

    /// The tracker of that kind and name.
    pub fn find(&self, kind: Kind, name: &str) -> Option<TrackKey> {
        self.by_name.get(&(kind, name.into())).copied()
    }
    /// Its kind and name; `None`: it is not in use any more.
    pub fn name(&self, key: TrackKey) -> Option<(Kind, &str)> {
        let t = self.all.get(key)?;
        (self.find(t.kind, &t.name) == Some(key)).then_some((t.kind, &*t.name))
    }
    /// Its verdict, and the weight that counts where the tracking line has none.
    pub fn verdict(&self, kind: Kind, name: &str) -> Option<(Verdict, Weight)> {
        let t = self.all.get(self.find(kind, name)?)?;
        Some((t.machine.verdict(), t.machine.weight()))
    }
    /// All in use, by kind and name.
    pub fn views(&self) -> impl Iterator<Item = TrackView> + '_ {
        self.views_from(0)
    }
    /// As [`Tracks::views`], without the first ones.
    pub fn views_from(&self, from: usize) -> impl Iterator<Item = TrackView> + '_ {
        self.by_name.values().skip(from).filter_map(|k| self.all.get(*k)).map(|t| TrackView {
            kind: t.kind,
            name: t.name.clone(),
            verdict: t.machine.verdict(),
            running: matches!(&t.machine, Machine::Script(m) if m.runs()),
        })
    }
    /// How many there are, with those that are only waiting for their last program to end.
    pub fn len(&self) -> usize {
        self.all.len()
    }
    /// Whether nothing is tracked.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The state for the snapshot.
    pub fn shots(&self) -> Vec<TrackShot> {
        self.views()
            .map(|v| TrackShot {
                kind: v.kind.word().to_owned(),
                name: v.name.into(),
                value: match v.verdict {
                    Verdict::Waiting => None,
                    Verdict::Up(up) => Some(i64::from(up)),
                    Verdict::Value(n) => Some(i64::from(n)),
                },
            })
            .collect()
    }
    /// Takes the state of the previous process, as if nothing had happened since. Before [`Tracks::start`].
    pub fn resume(&mut self, shots: &[TrackShot]) {
        for shot in shots {
            let kind = Kind::ALL.into_iter().find(|k| k.word() == shot.kind);
            if let (Some(kind), Some(value)) = (kind, shot.value)
                && let Some(t) = self.find(kind, &shot.name).and_then(|key| self.all.get_mut(key))
            {
                t.machine.resume(value);
            }
        }
    }
    /// Whether [`Tracks::shots`] may have changed since the last call.
    pub fn take_dirty(&mut self) -> bool {
        core::mem::take(&mut self.dirty)
    }

    // ---- events; true: the verdict changed ----

    /// [`Due::TrackRun`]: a run of a script or a check is due, or a delay of a process is over.
    pub fn on_run(&mut self, key: TrackKey, cx: &mut Cx<'_>) -> bool {
        self.changed(key, |m| match m {
            Machine::Script(m) => m.on_run(cx),
            Machine::Process(m) => m.on_delay(cx),
            Machine::Check(m) => m.on_run(cx),
            Machine::File(_) | Machine::Bfd(_) | Machine::VirtualServer(_) => false,
        })
    }
    /// [`Due::TrackTimeout`]: the time of a run is over.
    pub fn on_timeout(&mut self, key: TrackKey, cx: &mut Cx<'_>) -> bool {
        self.changed(key, |m| match m {
            Machine::Script(m) => m.on_timeout(cx),
            Machine::Check(m) => m.on_timeout(cx),
            Machine::Process(_) | Machine::File(_) | Machine::Bfd(_) | Machine::VirtualServer(_) => false,
        })
    }
    /// The program of a script ended ([`GuardEv::ChildExit`](crate::event::GuardEv::ChildExit)).
    pub fn on_exit(&mut self, key: TrackKey, end: ChildEnd, cx: &mut Cx<'_>) -> bool {
        let changed = self.changed(key, |m| match m {
            Machine::Script(m) => m.on_exit(end, cx),
            _ => false,
        });
        // The last event of a tracker that is not in use any more.
        if self.all.get(key).is_some_and(|t| self.find(t.kind, &t.name) != Some(key)) {
            self.all.remove(key);
        }
        changed
    }
    /// The content of a file arrived ([`HelperEv::FileRead`](crate::event::HelperEv::FileRead)).
    pub fn on_read(&mut self, key: TrackKey, result: Result<&[u8], Errno>, cx: &mut Cx<'_>) -> bool {
        self.changed(key, |m| match m {
            Machine::File(m) => m.on_read(result, cx),
            _ => false,
        })
    }
    /// A number of processes arrived ([`HelperEv::Processes`](crate::event::HelperEv::Processes)).
    pub fn on_count(&mut self, key: TrackKey, count: Result<u32, Errno>, cx: &mut Cx<'_>) -> bool {
        self.changed(key, |m| match m {
            Machine::Process(m) => m.on_count(count, cx),
            Machine::Check(m) => m.on_count(count, cx),
            _ => false,
        })
    }
    /// Something happened on the connection of a check ([`Event::Conn`](crate::event::Event::Conn)).
    pub fn on_stream(&mut self, key: TrackKey, conn: ConnKey, what: Stream<'_>, cx: &mut Cx<'_>) -> bool {
        self.changed(key, |m| match m {
            Machine::Check(m) => m.on_stream(conn, what, cx),
            _ => false,
        })
    }

    /// A BFD session is up or down. Its tracker, if that is new to it.
    pub fn on_bfd(&mut self, name: &str, up: bool) -> Option<TrackKey> {
        let key = self.find(Kind::Bfd, name)?;
        let changed = self.changed(key, |m| match m {
            Machine::Bfd(m) => m.set(up),
            _ => false,
        });
        changed.then_some(key)
    }

    /// The virtual servers whose quorum is tracked.
    pub fn virtual_servers(&self) -> impl Iterator<Item = (TrackKey, &str)> {
        let all = self.by_name.range((Kind::VirtualServer, "".into())..);
        all.take_while(|((kind, _), _)| *kind == Kind::VirtualServer).map(|((_, name), key)| (*key, &**name))
    }
    /// Whether it has its quorum.
    pub fn on_quorum(&mut self, key: TrackKey, up: bool) -> bool {
        self.changed(key, |m| match m {
            Machine::VirtualServer(was) => was.replace(up) != Some(up),
            _ => false,
        })
    }

    fn changed(&mut self, key: TrackKey, f: impl FnOnce(&mut Machine) -> bool) -> bool {
        let changed = self.all.get_mut(key).is_some_and(|t| f(&mut t.machine));
        self.dirty |= changed;
        changed
    }
}

// Names of trackers in use, by kind.
fn names<'a>(lines: impl Iterator<Item = &'a Lines>) -> BTreeSet<(Kind, &'a str)> {
    lines.flat_map(|l| Kind::ALL.into_iter().flat_map(|k| k.lines(l).iter().map(move |t| (k, &*t.name)))).collect()
}

// Everything that can be tracked.
fn defs(config: &Config) -> impl Iterator<Item = (Kind, &str, Def)> {
    let scripts = config.scripts.iter().map(|d| (Kind::Script, &*d.name, script(d)));
    let files = config.track_files.iter().map(|d| (Kind::File, &*d.name, Def::File(d.clone())));
    let processes = config.track_processes.iter().map(|d| (Kind::Process, &*d.name, Def::Process(d.clone())));
    let checks = config.checks.iter().map(|d| (Kind::Check, &*d.name, Def::Check(d.clone())));
    let bfds = config.bfd.iter().map(|d| (Kind::Bfd, &*d.name, Def::Bfd(d.clone())));
    scripts.chain(files).chain(processes).chain(checks).chain(bfds)
}

// `script "</dev/tcp/ADDR/PORT"` opens a port and does nothing else: that needs no program.
fn script(d: &VrrpScript) -> Def {
    match d.native.clone() {
        None => Def::Script(d.clone()),
        target => Def::Check(VrrpCheck {
            name: d.name.clone(),
            target,
            interval: d.interval,
            timeout: d.timeout,
            weight: d.weight,
            rise: d.rise,
            fall: d.fall,
            init_fail: d.init_fail,
        }),
    }
}

// Every tracker that an instance tracks. Those of its sync group are among them (`Config::share_group_tracks`).
fn wanted(config: &Config) -> BTreeMap<(Kind, Box<str>), Def> {
    let names = names(config.instances.iter().map(|i| &i.more.tracks));
    // The virtual servers themselves are not in a configuration that is in force: they are read part by part.
    let servers = names.iter().filter(|(kind, _)| *kind == Kind::VirtualServer);
    let servers = servers.map(|(kind, name)| ((*kind, Box::from(*name)), Def::VirtualServer));
    let own = defs(config).filter(|d| names.contains(&(d.0, d.1)));
    own.map(|(kind, name, def)| ((kind, name.into()), def)).chain(servers).collect()
}

/// Log lines about the trackers of a configuration: those that nothing tracks, and weights that have no effect on an owner's priority.
pub fn remarks(config: &Config) -> Vec<Note> {
    let groups = config.sync_groups.iter().map(|g| &g.tracks);
    let used = names(config.instances.iter().map(|i| &i.more.tracks).chain(groups));
    // A session or a file may be there for real servers, which are not in a configuration that is in force, or for its peer alone.
    let elsewhere = |kind| matches!(kind, Kind::Bfd | Kind::File);
    let unused = defs(config).filter(|d| !elsewhere(d.0) && !used.contains(&(d.0, d.1)));
    let unused = unused.map(|d| text::unused(d.0, d.1));
    let mut out: Vec<Note> = unused.collect();
    let weights: BTreeMap<(Kind, &str), i32> = defs(config)
        .map(|(kind, name, def)| {
            let weight = match def {
                Def::Script(d) => d.weight,
                Def::File(d) => d.weight,
                Def::Process(d) => d.weight,
                Def::Check(d) => d.weight,
                Def::Bfd(d) => d.weight,
                Def::VirtualServer => Weight::default(),
            };
            ((kind, name), weight.weight)
        })
        .collect();
    for i in config.instances.iter().filter(|i| i.priority == 255) {
        let interfaces = i.track_interfaces.iter().filter(|t| t.weight != 0).map(|t| ("interface", &*t.name));
        out.extend(interfaces.map(|(kind, name)| text::owner_weight(&i.name, kind, name)));
        for kind in Kind::ALL {
            for t in kind.lines(&i.more.tracks) {
                if t.weight.or_else(|| weights.get(&(kind, &*t.name)).copied()).is_some_and(|w| w != 0) {
                    out.push(text::owner_weight(&i.name, kind.word(), &t.name));
                }
            }
        }
    }
    out
}
