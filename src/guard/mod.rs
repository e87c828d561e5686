//! The parent process: starts and reaps all other processes, watches the core, and removes the addresses when the core will not return.
//!
//! poll(2) is its only blocking call, every queue has a limit, and work that may fail or take long runs in another process. Read in this
//! order: this file (the fields, and what follows when the core ends), `turn` (the loop), `proto` (the line to the core), `core`,
//! `restart`, `scripts`, `reload`, `successor`, `upgrade`, `handover`, `answers`, `report`, `dump`, `role` (how the other processes are
//! started), `start` (from the command line to here). Deliberately absent: VRRP.

pub mod allowed;
pub(crate) mod answers;
mod around;
pub mod beat;
pub mod compiler;
pub mod core;
pub mod ctl;
pub mod dump;
pub(crate) mod handover;
pub(crate) mod inherit;
mod ipvs;
mod leftovers;
pub mod queue;
mod reload;
mod report;
pub mod restart;
mod resting;
pub mod role;
pub mod scripts;
pub(crate) mod state;
mod successor;
pub mod systemd;
pub mod text;
mod trust;
mod turn;
pub(crate) mod upgrade;
pub mod vips;

use self::answers::Answers;
use self::core::{Core, Starter};
use self::ctl::ClientId;
use self::handover::Handover;
use self::reload::Reloads;
use self::report::Reporting;
use self::restart::{Next, Restart};
use self::resting::Resting;
use self::role::Roles;
use self::scripts::Scripts;
use self::upgrade::Upgrade;
use crate::config::image;
use crate::exit::ExitCode;
use crate::note::Note;
use crate::process::log::Log;
use crate::process::proto::{MAX, ToCore};
use crate::process::sysctls;
use crate::sys::child::{End, Reports};
use crate::sys::clock;
use crate::sys::daemonize::Start;
use crate::sys::lockfile::Lock;
use crate::sys::memfd;
use crate::sys::pidfile::PidFile;
use crate::sys::{sched, sections};
use crate::time::{Duration, Instant};
use std::any::Any;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// How long a stop may take: hooks may run meanwhile. A core that hangs is found sooner, by its heartbeat.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// How long the removal of the addresses may take.
const REMOVE_LIMIT: Duration = Duration::from_secs(5);

/// What follows when the addresses are removed.
#[derive(Clone, Copy, Debug)]
enum After {
    Start(Duration),
    End(u8),
}

/// A process that removes the addresses.
struct Removal {
    pid: u32,
    deadline: Instant,
    after: After,
    /// No address should be left: only a failure is logged.
    quiet: bool,
}

/// The parts of a new guard.
pub struct Made {
    /// How the other processes are started.
    pub roles: Roles,
    /// The destination of log lines.
    pub log: Log,
    /// The lock, which shows other processes that kalived runs and that a core is in charge.
    pub lock: Option<Lock>,
    /// The pid file of the guard; `None`: there is none.
    pub pid_file: Option<PidFile>,
    /// `-r`: the path of the core's pid file; `None`: none is written.
    pub core_pid_path: Option<PathBuf>,
    /// `-c`: the absolute path of the checkers' pid file, written while there are virtual servers; `None`: none is written.
    pub checkers_pid_path: Option<PathBuf>,
    /// The read end of the pipe into which the signal handlers write, SIGCHLD included.
    pub signals: OwnedFd,
    /// Where children report their start.
    pub reports: Reports,
    /// The compiled configuration for the first core.
    pub image: File,
    /// The file in memory to which cores write their snapshots.
    pub snapshot: File,
    /// The control socket and the socket to systemd.
    pub answers: Answers,
    /// `-R`: the guard ends when the core dies, and starts no other one.
    pub never: bool,
    /// There is a `startup_script`.
    pub startup: bool,
    /// The notes about the configuration after a successful start.
    pub notes: BTreeSet<String>,
    /// What else the start has in memory. It takes long to free, so that is done when the core runs.
    pub rest: Option<Box<dyn Any>>,
    /// The image lacks the virtual servers of the file (`config/quick.rs`): they are read once a core runs.
    pub incomplete: bool,
}

/// The parent process: the owner of every other process, of the control socket and of the pid files.
pub struct Guard {
    roles: Roles,
    log: Log,
    lock: Option<Lock>,
    pid_file: Option<PidFile>,
    core_pid_path: Option<PathBuf>,
    core_pid_file: Option<PidFile>,
    /// The same number once more, while the configuration has virtual servers.
    checkers_pid_path: Option<PathBuf>,
    checkers_pid_file: Option<PidFile>,
    signals: OwnedFd,
    reports: Reports,
    scripts: Scripts,
    /// The core in charge.
    core: Option<Core>,
    cores: u32,
    /// The core's helper, which may have ended because the core ends: logged when another one is started.
    helper_died: Option<(u32, End)>,
    image: Rc<File>,
    snapshot: Rc<File>,
    restart: Restart,
    never: bool,
    removal: Option<Removal>,
    /// When a core is to be started.
    start_at: Option<Instant>,
    reloads: Reloads,
    /// The compiler that has completed its work and was not ended yet.
    resting: Resting,
    reporting: Reporting,
    upgrade: Option<Upgrade>,
    /// The message for a core that stands by with the state of a previous kalived, sent when this guard is in charge.
    go: Option<ToCore>,
    handover: Option<Handover>,
    /// Hand-overs that were requested while an upgrade could not be abandoned any more: with the client, or `None` for a signal.
    hand_over_later: Vec<Option<ClientId>>,
    /// Frozen cores whose armed adverts still leave, and when they are killed.
    leaving: Vec<(u32, Instant)>,
    /// The deadline of a stop.
    stopping: Option<Instant>,
    answers: Answers,
    /// The process that waits for the result of the start.
    report: Option<Start>,
    end: Option<u8>,
    /// The running `startup_script` or `shutdown_script`.
    around: Option<around::Running>,
    /// There is a `startup_script` to run first.
    startup: bool,
    /// `shutdown_script` has begun, or need not run.
    shut: bool,
    /// Freed when the core runs ([`Made::rest`]).
    rest: Option<Box<dyn Any>>,
    /// The image lacks the virtual servers of the file ([`Made::incomplete`]).
    incomplete: bool,
    /// Signals of keepalived that were logged as having no effect, as bits.
    unused: u64,
    buf: Box<[u8; MAX]>,
}

/// Writes the number of a core into its pid file, which is made first if need be.
fn write_number(file: &mut Option<PidFile>, path: &Path, pid: u32) -> Result<(), String> {
    match file {
        Some(file) => file.write_for(pid).map_err(|e| e.to_string()),
        None => crate::sys::pidfile::core_pid_file(path, pid).map(|f| *file = Some(f)).map_err(|e| e.to_string()),
    }
}

impl Guard {
    /// Starts no process yet.
    pub fn new(made: Made) -> Guard {
        Guard {
            roles: made.roles,
            log: made.log,
            lock: made.lock,
            pid_file: made.pid_file,
            core_pid_path: made.core_pid_path,
            core_pid_file: None,
            checkers_pid_path: made.checkers_pid_path,
            checkers_pid_file: None,
            signals: made.signals,
            reports: made.reports,
            scripts: Scripts::default(),
            core: None,
            cores: 0,
            helper_died: None,
            unused: 0,
            image: Rc::new(made.image),
            snapshot: Rc::new(made.snapshot),
            restart: Restart::new(made.never),
            never: made.never,
            removal: None,
            start_at: None,
            reloads: Reloads::new(made.notes),
            resting: Resting::default(),
            reporting: Reporting::default(),
            upgrade: None,
            go: None,
            handover: None,
            hand_over_later: Vec::new(),
            leaving: Vec::new(),
            stopping: None,
            answers: made.answers,
            report: None,
            end: None,
            around: None,
            startup: made.startup,
            shut: false,
            rest: made.rest,
            incomplete: made.incomplete,
            buf: Box::new([0; MAX]),
        }
    }

    fn note(&mut self, note: Note) {
        self.log.note(&note);
    }

    /// Starts another core, for the configuration in `image`.
    fn launch(&mut self, image: &File, standby: bool, now: Instant) -> io::Result<Core> {
        self.cores += 1;
        let witness = match self.lock.as_ref().map(Lock::witness) {
            Some(Ok(witness)) => witness,
            // No process locks this file: it never shows a successor. Addresses have precedence over a file.
            none => {
                if let Some(Err(e)) = none {
                    self.note(text::failed("the VRRP process will not see a kalived after this one", &e));
                }
                memfd::create("kalived no lock")?
            }
        };
        let sysctls = self.lock.as_ref().map(|lock| sysctls::path(lock.path()));
        let mut starter = Starter { roles: &self.roles, log: &mut self.log, reports: &self.reports, sysctls };
        let core = Core::start(self.cores, [image, &self.snapshot, &witness], standby, &mut starter, now);
        // Before its first message is read, and while it starts: of a large configuration this takes long.
        sched::in_ordinary_class(|| self.scripts.allow(image));
        core
    }

    /// `go`: the core stands by and begins at this message, with the stored snapshot.
    fn start_core(&mut self, now: Instant, go: Option<ToCore>) {
        self.start_at = None;
        let image = self.image.clone();
        match self.launch(&image, go.is_some() || self.go.is_some(), now) {
            Ok(core) => {
                self.put_in_charge(core);
                if let Some(go) = go {
                    self.tell(go);
                }
            }
            // No process could be created. No core answers for the addresses meanwhile; the start is repeated soon.
            Err(e) => {
                self.note(text::core_not_started(&e));
                self.remove_vips_here(false);
                self.start_at = Some(now + Duration::from_secs(1));
            }
        }
    }

    /// A core reported that it runs, or stands by: before it begins, the lock file shows that a core is in charge.
    fn core_ready(&mut self) {
        if let Some(core) = &mut self.core {
            core.ready = true;
        }
        self.restart.on_ready();
        self.say_in_charge();
        if let Some(go) = self.go.take() {
            self.tell(go);
        }
        // Memory that the start needed is not needed again soon.
        let rest = self.rest.take();
        sched::in_ordinary_class(|| drop(rest));
        if std::mem::take(&mut self.incomplete) {
            self.complete(clock::mono());
        }
        sections::give_back_all();
    }

    /// Shows a frozen core that a core after it is in charge.
    fn say_in_charge(&mut self) {
        if let Some(Err(e)) = self.lock.as_ref().map(Lock::put_in_charge) {
            self.note(text::failed("a VRRP process that was handed over does not see that another is in charge", &e));
        }
    }

    /// From now on this core is in charge.
    fn put_in_charge(&mut self, core: Core) {
        if let Some(path) = &self.core_pid_path
            && let Err(why) = write_number(&mut self.core_pid_file, path, core.pid)
        {
            self.log.note(&text::failed("no pid file of the VRRP process", &why));
        }
        self.core = Some(core);
        self.write_checkers_pid();
    }

    /// keepalived has a process for virtual servers, and its pid file is there while that process is.
    fn write_checkers_pid(&mut self) {
        let (Some(path), Some(core)) = (&self.checkers_pid_path, &self.core) else { return };
        let mut header = [0; image::HEADER];
        let read = self.image.read_exact_at(&mut header, 0).is_ok();
        if !(read && image::Header::read(&header).is_ok_and(|h| h.has_servers())) {
            self.checkers_pid_file = None;
        } else if let Err(why) = write_number(&mut self.checkers_pid_file, path, core.pid) {
            self.log.note(&text::failed("no pid file of the process with the health checks", &why));
        }
    }

    /// The core ended without a request.
    fn follow(&mut self, core: &Core, now: Instant, end: End) {
        match self.restart.on_end(core.started, now, end) {
            Next::Resume => {
                self.note(text::respawning(core.pid, end));
                // A core that had not begun leaves the state of the previous kalived unchanged.
                let go = if self.go.is_none() { Some(gone(core, now)) } else { None };
                self.start_core(now, go);
            }
            Next::Cold { wait } => {
                self.note(text::respawning(core.pid, end));
                self.note(text::delayed(wait));
                self.remove_vips(now, After::Start(wait));
            }
            Next::End(code) => {
                let note = if restart::permanent(code) { text::terminating } else { text::not_respawning };
                self.note(note(core.pid, end));
                self.remove_vips(now, After::End(code));
            }
        }
    }

    fn remove_vips(&mut self, now: Instant, after: After) {
        self.remove_vips_with(now, after, false);
    }

    /// A core that was asked to stop reported that it holds nothing any more, or no core is there. What a core did not know of is removed
    /// too: an address that the kernel did not remove in time, one of a core before it that had not been reported to it yet, and what
    /// stays between two cores.
    fn make_sure(&mut self, now: Instant) {
        self.remove_vips_with(now, After::End(ExitCode::Ok as u8), true);
    }

    fn remove_vips_with(&mut self, now: Instant, after: After, quiet: bool) {
        let holdings = self.holdings(matches!(after, After::End(_)));
        match self.roles.remove_vips(holdings, &self.log, &self.reports) {
            Ok(pid) => self.removal = Some(Removal { pid, deadline: now + REMOVE_LIMIT, after, quiet }),
            Err(e) => {
                self.note(text::failed("no process to remove the virtual addresses", &e));
                self.remove_vips_here(matches!(after, After::End(_)));
                self.after(now, after);
            }
        }
    }

    /// The last resort, where no other process can do it: the guard waits for the kernel, and there is no core that this delays.
    fn remove_vips_here(&mut self, end: bool) {
        let note = match vips::remove(self.holdings(end)) {
            Ok(()) => text::removed(End::Exited(0)),
            Err(why) => text::failed("the virtual addresses could not be removed", &why),
        };
        self.note(note);
    }

    /// The sources of the addresses that may exist: the configuration in force, one that a core may have begun to apply, and the last
    /// core's snapshot. `end`: no core follows.
    fn holdings(&self, end: bool) -> vips::Holdings<'_> {
        let images = [&self.image, self.reloads.begun().unwrap_or(&self.image)];
        vips::Holdings { images, snapshot: &self.snapshot, routes: end }
    }

    fn after(&mut self, now: Instant, after: After) {
        match after {
            // What was left for the next core goes too.
            After::Start(_) if self.stopping.is_some() => self.make_sure(now),
            After::Start(wait) => self.start_at = Some(now + wait),
            After::End(code) => self.end = Some(code),
        }
    }

    /// Sends a message to the core in charge. A core that accepts no more messages is killed.
    fn tell(&mut self, message: ToCore) {
        self.tell_with(message, None);
    }

    fn tell_with(&mut self, message: ToCore, file: Option<&Rc<File>>) {
        if let Some(core) = &mut self.core
            && !core.say(message, file)
        {
            core.kill();
            let note = text::nonsense(core.pid, "it takes no messages");
            self.note(note);
        }
    }
}

/// The message for the successor of a core that died. The core may have hung before: then nothing is known of it since its last beat.
fn gone(core: &Core, now: Instant) -> ToCore {
    let hung = now.since(core.heart.last()) > 2 * crate::process::proto::PERIOD;
    ToCore::Go { dead_since: Some(if hung { core.heart.last() } else { now }.0) }
}
