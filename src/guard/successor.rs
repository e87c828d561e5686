//! The program at our path that is to continue, at an upgrade as at a restart: the checks before a core freezes.
//!
//! First it compiles the configuration. Then it reads our state and the stored snapshot, and reports whether it understands them, and
//! which snapshot layouts it reads; the newest of these that our core writes is chosen. Only then does a core freeze. A refusal changes
//! nothing: the running processes continue, and one line contains the reason. A core that died is followed by this same program, which
//! needs no check; what follows the check is the same for all three (`Go` with the snapshot, `world/resume.rs`).
//!
//! Read first: `compiler.rs`, `state.rs`, `snapshot/`. Users: `upgrade.rs`, `handover.rs`.

use super::compiler::{Compiler, Use};
use super::reload::Say;
use super::state::Understands;
use super::{Guard, text};
use crate::process::proto::ToCore;
use crate::snapshot;
use crate::sys::child::{self, End};
use crate::sys::memfd;
use crate::time::{Duration, Instant};
use std::fs::File;
use std::io;
use std::rc::Rc;

/// How long the program may take to answer.
const CHECK_LIMIT: Duration = Duration::from_secs(5);

/// A program that is being checked.
pub(super) enum Successor {
    Compiling(Compiler),
    Checking { pid: u32, deadline: Instant, late: bool, image: Rc<File>, answer: File },
}

/// A program that can continue.
pub(super) struct Sound {
    /// The configuration, compiled by this program.
    pub(super) image: Rc<File>,
    /// The layout of the snapshot that it is given.
    pub(super) layout: u16,
}

/// The state of the check after a process ended.
pub(super) enum Asked {
    /// The check is not finished.
    Open(Successor),
    Sound(Sound),
    Refused(String),
}

impl Successor {
    /// Ends the check: its result is not needed any more.
    pub(super) fn kill(&self) {
        match self {
            Successor::Compiling(c) => child::kill(c.pid, true, true),
            Successor::Checking { pid, .. } => child::kill(*pid, true, true),
        }
    }

    /// Kills the program when its time is over.
    pub(super) fn tick(&mut self, now: Instant) {
        match self {
            Successor::Compiling(c) => c.tick(now),
            Successor::Checking { pid, deadline, late, .. } if now >= *deadline && !*late => {
                *late = true;
                child::kill(*pid, true, true);
            }
            Successor::Checking { .. } => {}
        }
    }

    fn pid(&self) -> u32 {
        match self {
            Successor::Compiling(c) => c.pid,
            Successor::Checking { pid, .. } => *pid,
        }
    }
}

impl Guard {
    /// Begins the check.
    pub(super) fn ask_successor(&self, now: Instant) -> Result<Successor, String> {
        let started = Compiler::start(&self.roles, true, Use::Start, &self.reports, now);
        started.map(Successor::Compiling).map_err(|e| format!("{}: {e}", self.roles.exe.display()))
    }

    /// A process ended; it may be the one of the check.
    pub(super) fn successor_ended(&mut self, asked: Successor, now: Instant, pid: u32, end: End) -> Asked {
        if asked.pid() != pid {
            return Asked::Open(asked);
        }
        match asked {
            // A downgrade: what is older than the option is asked as its own release asks.
            Successor::Compiling(compiler) if compiler.is_older(end) => {
                match Compiler::start_older(&self.roles, &self.reports, now) {
                    Ok(again) => Asked::Open(Successor::Compiling(again)),
                    Err(e) => Asked::Refused(format!("{}: {e}", self.roles.exe.display())),
                }
            }
            Successor::Compiling(compiler) => {
                self.say_messages(&compiler, Say::Failures);
                match compiler.finish(end).and_then(|image| self.check(now, image)) {
                    Ok(next) => Asked::Open(next),
                    Err(why) => Asked::Refused(why),
                }
            }
            Successor::Checking { late: true, .. } => Asked::Refused("the new program does not answer".to_owned()),
            Successor::Checking { image, answer, .. } => match self.agree(&Understands::read(&answer), end) {
                Ok(layout) => Asked::Sound(Sound { image, layout }),
                Err(why) => Asked::Refused(why),
            },
        }
    }

    fn check(&self, now: Instant, image: Rc<File>) -> Result<Successor, String> {
        let start = || -> io::Result<(u32, File)> {
            let (state, answer) = (self.state(&image, None).write()?, memfd::create("kalived answer")?);
            let files = [&state, &*self.snapshot, &answer];
            Ok((self.roles.check_state(files, &self.log, &self.reports)?, answer))
        };
        let (pid, answer) = start().map_err(|e| format!("the new program could not be started: {e}"))?;
        Ok(Successor::Checking { pid, deadline: now + CHECK_LIMIT, late: false, image, answer })
    }

    /// Chooses the layout of the snapshot.
    fn agree(&self, said: &Understands, end: End) -> Result<u16, String> {
        if end != End::Exited(0) {
            let why = said.refused.clone().unwrap_or_else(|| text::end(end));
            return Err(format!("the new program does not understand our state ({why})"));
        }
        // A program without an answer is of a release before there were answers.
        let reads = if said.layouts.is_empty() { &snapshot::UNSAID[..] } else { &said.layouts };
        let writes = self.core.as_ref().map_or(&[][..], |c| c.writes());
        snapshot::common(writes, reads).ok_or_else(|| {
            format!("the new program reads snapshots of the layouts {reads:?}, and this one writes {writes:?}")
        })
    }

    /// From now on the core in charge writes the chosen layout.
    pub(super) fn tell_layout(&mut self, layout: u16) {
        if self.core.as_ref().is_some_and(|c| c.writes().len() > 1) {
            self.tell(ToCore::Layout(layout));
        }
    }
}
