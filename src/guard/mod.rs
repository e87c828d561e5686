//! The parent process: starts everything, reaps everything, watches the core, takes the addresses away when it is gone for good.
//!
//! poll(2) is its only blocking call, every queue has a limit, and what can fail interestingly runs in another process. Read in
//! this order: this file (what there is, and what follows when the core ends), `turn` (the loop), `proto` (the line to the core),
//! `core`, `restart`, `scripts`, `reload`, `successor`, `upgrade`, `handover`, `answers`, `report`, `dump`, `role` (how the others are started), `start` (from the command
//! line to here). Deliberately absent: VRRP.

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
mod leftovers;
pub mod queue;
mod reload;
mod report;
pub mod restart;
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
use self::role::Roles;
use self::scripts::Scripts;
use self::upgrade::Upgrade;
use crate::exit::ExitCode;
use crate::note::Note;
use crate::process::log::Log;
use crate::process::proto::{MAX, ToCore};
use crate::sys::child::{End, Reports};
use crate::sys::daemonize::Start;
use crate::sys::lockfile::Lock;
use crate::sys::memfd;
use crate::sys::pidfile::PidFile;
use crate::sys::sections;
use crate::time::{Duration, Instant};
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;

/// How long a stop may take: hooks may run meanwhile. A core that hangs is found sooner, by its heart.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// How long the addresses may take to go away.
const REMOVE_LIMIT: Duration = Duration::from_secs(5);

/// What follows when the addresses are gone.
#[derive(Clone, Copy, Debug)]
enum After {
    Start(Duration),
    End(u8),
}

/// A process that takes the addresses away.
struct Removal {
    pid: u32,
    deadline: Instant,
    after: After,
    /// There should be nothing left to remove: only a failure is worth a word.
    quiet: bool,
}

/// What a guard is made with.
pub struct Made {
    /// How the others are started.
    pub roles: Roles,
    /// Where lines go.
    pub log: Log,
    /// The lock, by which others see that we run and that a core is in charge.
    pub lock: Option<Lock>,
    /// The pid file.
    pub pid_file: Option<PidFile>,
    /// `-r`.
    pub core_pid_path: Option<PathBuf>,
    /// Signals.
    pub signals: OwnedFd,
    /// Where children tell how they started.
    pub reports: Reports,
    /// The configuration.
    pub image: File,
    /// Where snapshots are kept.
    pub snapshot: File,
    /// Who may ask, and who is told.
    pub answers: Answers,
    /// `-R`.
    pub never: bool,
    /// There is a `startup_script`.
    pub startup: bool,
    /// What a start that went well has to say about the configuration.
    pub notes: BTreeSet<String>,
}

/// See the module.
pub struct Guard {
    roles: Roles,
    log: Log,
    lock: Option<Lock>,
    pid_file: Option<PidFile>,
    core_pid_path: Option<PathBuf>,
    core_pid_file: Option<PidFile>,
    signals: OwnedFd,
    reports: Reports,
    scripts: Scripts,
    /// Who speaks for us.
    core: Option<Core>,
    cores: u32,
    /// The core's helper, which may have ended because the core does: said when another one is started.
    helper_died: Option<(u32, End)>,
    image: Rc<File>,
    snapshot: Rc<File>,
    restart: Restart,
    never: bool,
    removal: Option<Removal>,
    /// When a core is to be started.
    start_at: Option<Instant>,
    reloads: Reloads,
    reporting: Reporting,
    upgrade: Option<Upgrade>,
    /// A core that stands by with what a kalived before left is told this when we are in charge.
    go: Option<ToCore>,
    handover: Option<Handover>,
    /// One that was asked for while an upgrade could not be given up any more: who asked, with a client or as a signal.
    hand_over_later: Vec<Option<ClientId>>,
    /// Frozen cores whose armed adverts still leave, and when they are given up.
    leaving: Vec<(u32, Instant)>,
    /// Until when a stop may take.
    stopping: Option<Instant>,
    answers: Answers,
    /// Whom to tell that the start went well, or not.
    report: Option<Start>,
    end: Option<u8>,
    /// `startup_script` or `shutdown_script`.
    around: Option<around::Running>,
    /// There is one to run first.
    startup: bool,
    /// The last one has begun, or need not.
    shut: bool,
    /// Signals of keepalived that were said to do nothing, as bits.
    unused: u64,
    buf: Box<[u8; MAX]>,
}

impl Guard {
    /// Starts nothing yet.
    pub fn new(made: Made) -> Guard {
        Guard {
            roles: made.roles,
            log: made.log,
            lock: made.lock,
            pid_file: made.pid_file,
            core_pid_path: made.core_pid_path,
            core_pid_file: None,
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
            buf: Box::new([0; MAX]),
        }
    }

    fn note(&mut self, note: Note) {
        self.log.note(&note);
    }

    /// Another core, for the configuration in `image`.
    fn launch(&mut self, image: &File, standby: bool, now: Instant) -> io::Result<Core> {
        self.cores += 1;
        let witness = match &self.lock {
            Some(lock) => lock.witness(),
            // Nobody locks it: no successor is ever seen.
            None => memfd::create("kalived no lock"),
        }?;
        self.scripts.allow(image);
        let mut starter = Starter { roles: &self.roles, log: &mut self.log, reports: &self.reports };
        Core::start(self.cores, [image, &self.snapshot, &witness], standby, &mut starter, now)
    }

    /// `go`: it stands by and is told to begin, with the snapshot that lies there.
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
            // No process to be had. Nobody answers for the addresses meanwhile; it is tried again soon.
            Err(e) => {
                self.note(text::core_not_started(&e));
                self.remove_vips_here();
                self.start_at = Some(now + Duration::from_secs(1));
            }
        }
    }

    /// A core said that it runs, or stands by: others see that somebody is in charge before it begins.
    fn core_ready(&mut self) {
        if let Some(core) = &mut self.core {
            core.ready = true;
        }
        self.say_in_charge();
        if let Some(go) = self.go.take() {
            self.tell(go);
        }
        // What the start needed is not needed again soon.
        sections::give_back_all();
    }

    /// A frozen core sees that somebody is in charge after it.
    fn say_in_charge(&mut self) {
        if let Some(Err(e)) = self.lock.as_ref().map(Lock::put_in_charge) {
            self.note(text::failed("a VRRP process that was handed over does not see that another is in charge", &e));
        }
    }

    /// From now on this one speaks for us.
    fn put_in_charge(&mut self, core: Core) {
        if let Some(path) = &self.core_pid_path {
            let written = match &mut self.core_pid_file {
                Some(file) => file.write_for(core.pid).map_err(|e| e.to_string()),
                none => crate::sys::pidfile::core_pid_file(path, core.pid)
                    .map(|f| *none = Some(f))
                    .map_err(|e| e.to_string()),
            };
            if let Err(why) = written {
                self.log.note(&text::failed("no pid file of the VRRP process", &why));
            }
        }
        self.core = Some(core);
    }

    /// The core ended although nobody had asked for it.
    fn follow(&mut self, core: &Core, now: Instant, end: End) {
        match self.restart.on_end(core.started, now, end) {
            Next::Resume => {
                self.note(text::respawning(core.pid, end));
                // One that had not begun leaves the state of the kalived before as it was.
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

    /// A core that was asked to stop says that it has nothing any more. What it did not know of goes as well: one that the kernel did
    /// not remove in time, or one of a core before it that it was not yet told about.
    fn make_sure(&mut self, now: Instant) {
        self.remove_vips_with(now, After::End(ExitCode::Ok as u8), true);
    }

    fn remove_vips_with(&mut self, now: Instant, after: After, quiet: bool) {
        let holdings = self.holdings(matches!(after, After::End(_)));
        match self.roles.remove_vips(holdings, &self.log, &self.reports) {
            Ok(pid) => self.removal = Some(Removal { pid, deadline: now + REMOVE_LIMIT, after, quiet }),
            Err(e) => {
                self.note(text::failed("no process to remove the virtual addresses", &e));
                self.remove_vips_here();
                self.after(now, after);
            }
        }
    }

    /// The last resort, where no other process can do it: we wait for the kernel, and there is nobody whom that holds up.
    fn remove_vips_here(&mut self) {
        let note = match vips::remove(self.holdings(false)) {
            Ok(()) => text::removed(End::Exited(0)),
            Err(why) => text::failed("the virtual addresses could not be removed", &why),
        };
        self.note(note);
    }

    /// What says which addresses there may be: the configuration in force, one that a core may have begun to act on, and what the
    /// last core kept. `end`: nobody follows.
    fn holdings(&self, end: bool) -> vips::Holdings<'_> {
        let images = [&self.image, self.reloads.begun().unwrap_or(&self.image)];
        vips::Holdings { images, snapshot: &self.snapshot, routes: end }
    }

    fn after(&mut self, now: Instant, after: After) {
        match after {
            After::Start(_) if self.stopping.is_some() => self.end = Some(0),
            After::Start(wait) => self.start_at = Some(now + wait),
            After::End(code) => self.end = Some(code),
        }
    }

    /// Says something to the core in charge. One that takes nothing any more is ended.
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

/// What whoever goes on for a core that died is told. It may have hung before: then nothing is known of it since its last beat.
fn gone(core: &Core, now: Instant) -> ToCore {
    let hung = now.since(core.heart.last()) > 2 * crate::process::proto::PERIOD;
    ToCore::Go { dead_since: Some(if hung { core.heart.last() } else { now }.0) }
}
