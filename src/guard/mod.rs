//! The parent process: starts everything, reaps everything, watches the core, takes the addresses away when it is gone for good.
//!
//! poll(2) is its only blocking call, every queue has a limit, and what can fail interestingly runs in another process. Read in
//! this order: this file (the loop and what follows from each event), `proto` (the line to the core), `core`, `restart`,
//! `scripts`, `compiler`, `role` (how the others are started), `start` (from the command line to here). Deliberately absent: VRRP.

pub mod beat;
pub mod client;
pub mod compiler;
pub mod core;
pub mod ctl;
pub mod log;
pub mod proto;
pub mod queue;
pub mod restart;
pub mod role;
pub mod scripts;
pub mod start;
mod state;
pub mod systemd;
pub mod text;
mod turn;
pub mod vips;

use self::compiler::Compiler;
use self::core::{Core, Given};
use self::log::Log;
use self::queue::Queue;
use self::restart::{Next, Restart};
use self::role::Roles;
use self::scripts::Scripts;
use crate::note::Note;
use crate::sys::child::{self, End, Reports};
use crate::sys::daemonize::Start;
use crate::sys::memfd;
use crate::time::{Duration, Instant};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

/// How long a stop may take: hooks may run meanwhile. A core that hangs is found sooner, by its heart.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// How long the addresses may take to go away.
const REMOVE_LIMIT: Duration = Duration::from_secs(5);
/// How long the core may take to answer to a new configuration, before the next reload may begin all the same.
const RELOAD_LIMIT: Duration = Duration::from_secs(30);

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
}

/// A reload on its way.
enum Reload {
    Compiling(Compiler),
    /// The core has it; until when its answer is waited for.
    Applying(Rc<File>, Instant),
}

/// See the module.
pub struct Guard {
    roles: Roles,
    log: Log,
    signals: OwnedFd,
    reports: Reports,
    scripts: Scripts,
    core: Option<Core>,
    cores: u32,
    helper: Option<(u32, OwnedFd)>,
    image: Rc<File>,
    snapshot: Rc<File>,
    restart: Restart,
    removal: Option<Removal>,
    /// When a core is to be started.
    start_at: Option<Instant>,
    queue: Queue,
    reload: Option<Reload>,
    /// Until when a stop may take.
    stopping: Option<Instant>,
    /// Whom to tell that the start went well, or not.
    report: Option<Start>,
    end: Option<u8>,
}

impl Guard {
    /// A guard for the configuration in `image`. Starts nothing yet.
    pub fn new(roles: Roles, log: Log, signals: OwnedFd, image: File, never: bool) -> io::Result<Guard> {
        Ok(Guard {
            roles,
            log,
            signals,
            reports: Reports::new()?,
            scripts: Scripts::default(),
            core: None,
            cores: 0,
            helper: None,
            image: Rc::new(image),
            snapshot: Rc::new(memfd::create("kalived snapshot")?),
            restart: Restart::new(never),
            removal: None,
            start_at: None,
            queue: Queue::default(),
            reload: None,
            stopping: None,
            report: None,
            end: None,
        })
    }

    fn note(&mut self, note: Note) {
        self.log.note(&note);
    }

    fn start_core(&mut self, now: Instant, dead_since: Option<Instant>) {
        self.start_at = None;
        let null = match File::open("/dev/null") {
            Ok(f) => f,
            Err(e) => return self.no_core(&e, now),
        };
        let given = Given {
            image: &self.image,
            snapshot: &self.snapshot,
            helper: std::os::fd::AsFd::as_fd(&null),
            standby: dead_since.is_some(),
        };
        self.cores += 1;
        match Core::start(self.cores, &self.roles, &given, &self.log, &self.reports, now) {
            Ok(mut core) => {
                self.log.note(&text::core_started(core.pid));
                if let Some(at) = dead_since {
                    let _ = core.say(proto::ToCore::Go { dead_since: Some(at.0) }, None);
                }
                self.core = Some(core);
            }
            Err(e) => self.no_core(&e, now),
        }
    }

    /// No process to be had: as if it had died at once.
    fn no_core(&mut self, e: &io::Error, now: Instant) {
        self.note(text::core_not_started(e));
        let wait = Duration::from_secs(1);
        self.start_at = Some(now + wait);
    }

    /// The core ended although nobody had asked for it.
    fn follow(&mut self, core: &Core, now: Instant, end: End) {
        match self.restart.on_end(core.started, now, end) {
            Next::Resume => {
                self.note(text::respawning(core.pid, end));
                // It may have hung before it died: nothing is known of it since its last beat.
                let hung = now.since(core.heart.last()) > 2 * beat::PERIOD;
                self.start_core(now, Some(if hung { core.heart.last() } else { now }));
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
        match self.roles.remove_vips(&self.image, &self.log, &self.reports) {
            Ok(pid) => self.removal = Some(Removal { pid, deadline: now + REMOVE_LIMIT, after }),
            Err(e) => {
                self.note(text::failed("the virtual addresses could not be removed", &e));
                self.after(now, after);
            }
        }
    }

    fn after(&mut self, now: Instant, after: After) {
        match after {
            After::Start(_) if self.stopping.is_some() => self.end = Some(0),
            After::Start(wait) => self.start_at = Some(now + wait),
            After::End(code) => self.end = Some(code),
        }
    }

    /// Reads the configuration again.
    fn ask_reload(&mut self, now: Instant) {
        if self.queue.ask() {
            self.begin_reload(now);
        }
    }

    fn begin_reload(&mut self, now: Instant) {
        self.note(text::reloading());
        match Compiler::start(&self.roles, false, &self.reports, now) {
            Ok(c) => self.reload = Some(Reload::Compiling(c)),
            Err(e) => self.reloaded(now, false, &format!("the compiler could not be started: {e}")),
        }
    }

    fn compiled(&mut self, now: Instant, compiler: Compiler, end: End) {
        for line in compiler.messages() {
            self.note(text::compiler(&line));
        }
        match compiler.finish(end) {
            Err(why) => self.reloaded(now, false, &why),
            Ok(image) => match &mut self.core {
                Some(core) => {
                    let taken = core.say(proto::ToCore::Config, Some(&image));
                    self.reload = Some(Reload::Applying(image, now + RELOAD_LIMIT));
                    if !taken {
                        self.kill_core("it takes no messages");
                    }
                }
                // The next core starts with it.
                None => {
                    self.image = image;
                    self.reloaded(now, true, "for the next start");
                }
            },
        }
    }

    /// A reload is over, for good or ill.
    fn reloaded(&mut self, now: Instant, done: bool, text: &str) {
        if let Some(Reload::Applying(image, _)) = self.reload.take()
            && done
        {
            self.image = image;
        }
        self.note(text::reloaded(done, text));
        if self.queue.done() {
            self.begin_reload(now);
        }
    }

    fn kill_core(&mut self, why: &str) {
        if let Some(core) = &self.core {
            let (pid, note) = (core.pid, text::nonsense(core.pid, why));
            child::kill(pid, false, true);
            self.note(note);
        }
    }
}
