//! A guard that was executed by another guard: it takes over the children, descriptors and pending requests, and continues.
//!
//! Read first: `state.rs`, `upgrade.rs`.

use super::answers::Answers;
use super::core::Core;
use super::ctl::Server;
use super::scripts::Scripts;
use super::state::{OLD_VARIABLE, State, Understands, VARIABLE};
use super::systemd::Notifier;
use super::{Guard, Made, beat};
use crate::exit::ExitCode;
use crate::process::log::Log;
use crate::process::log::say;
use crate::process::slots::Slots;
use crate::snapshot;
use crate::sys::child::Reports;
use crate::sys::lockfile::Lock;
use crate::sys::pidfile::PidFile;
use crate::sys::unixsock::inherited;
use crate::sys::{child, clock, signal};
use crate::time::Instant;
use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Continues, when there is a state to continue with: returns the exit code then.
pub(crate) fn guard() -> Option<u8> {
    // The old name first: kalived 0.1.0 passes on the new variable as it received it, with a number that is no longer valid.
    let number = [OLD_VARIABLE, VARIABLE].iter().find_map(|n| std::env::var(n).ok()?.parse().ok())?;
    let state = State::read(&File::from(inherited(number).ok()?))?;
    // What became of us under another name is known by the old one.
    match state.name.as_str() {
        "" => child::set_name(c"kalived"),
        name => child::set_name_to(name),
    }
    clock::load_zone();
    Some(match take(state) {
        Ok(guard) => guard.serve_on(),
        Err(why) => {
            say(&format!("what the program before left makes no sense: {why}"));
            ExitCode::Internal as u8
        }
    })
}

/// Whether this program understands the state at fd 3 and the snapshot at 4: another version asks before it freezes its core. The answer
/// is written to fd 5; a release before layout 4 passes the state only.
pub(crate) fn check() -> ExitCode {
    let (state, more) = match child::inherited::<3>() {
        Ok([state, snapshot, answer]) => (Some(state), Some((File::from(snapshot), File::from(answer)))),
        Err(_) => (child::inherited::<1>().ok().map(|[state]| state), None),
    };
    let understood = state.and_then(|fd| State::read(&File::from(fd))).map(|_| ());
    let mut said = Understands { layouts: snapshot::READS.to_vec(), refused: None };
    if understood.is_none() {
        said.refused = Some("the state of the first process is of another version".to_owned());
    }
    if let Some((shots, answer)) = more {
        if let Err(why) = Slots::new(shots).newest() {
            said.refused = Some(why.to_string());
        }
        if said.write(&answer).is_err() {
            return ExitCode::Fatal;
        }
    }
    if said.refused.is_none() { ExitCode::Ok } else { ExitCode::Fatal }
}

fn take(state: State) -> Result<Guard, String> {
    let fd = |number| inherited(number).map_err(|e| format!("fd {number}: {e}"));
    let now = clock::mono();
    let roles = state.roles();
    let console = state.console.map(fd).transpose()?.map(Rc::new);
    let log = Log::with_console(roles.target.clone(), roles.detail, console);
    let pid_file = |place: Option<(i32, String)>| {
        let (number, path) = place?;
        PidFile::from_parts(inherited(number).ok()?, Path::new(&path)).ok()
    };
    let core_pid_path = state.core_pid_file.as_ref().map(|(_, path)| PathBuf::from(path));
    let (checkers_pid_file, checkers_pid_path) = match state.checkers_pid_file {
        Some((number, path)) => (pid_file(number.map(|n| (n, path.clone()))), Some(PathBuf::from(path))),
        None => (None, None),
    };
    let server = state.control.map(|(number, path)| Ok::<_, String>(Server::from_fd(fd(number)?, Path::new(&path))));
    let notifier = Notifier::from_env(&|name| std::env::var(name).ok());
    let lock = state.lock.and_then(|(number, path)| Lock::from_parts(inherited(number).ok()?, Path::new(&path)).ok());
    let mut guard = Guard::new(Made {
        roles,
        log,
        lock,
        pid_file: pid_file(state.pid_file),
        core_pid_path,
        checkers_pid_path,
        signals: signal::install_with_children().map_err(|e| e.to_string())?,
        reports: Reports::from_fds(fd(state.reports.0)?, fd(state.reports.1)?),
        image: fd(state.images.0)?.into(),
        snapshot: fd(state.snapshot)?.into(),
        answers: Answers::new(server.transpose()?, notifier),
        never: state.dont_respawn,
        startup: false,
        rest: None,
        incomplete: false,
        notes: BTreeSet::new(),
    });
    guard.core_pid_file = pid_file(state.core_pid_file);
    guard.checkers_pid_file = checkers_pid_file;
    guard.cores = state.cores;
    // An upgrade begins only while a core runs.
    guard.restart.on_ready();
    guard.scripts = Scripts::from_state(state.scripts);
    guard.scripts.allow(&guard.image);
    guard.leaving = state.leaving.into_iter().map(|pid| (pid, now + super::upgrade::LEAVE_LIMIT)).collect();
    if let Some(c) = state.core {
        let mut core = Core::running(c.number, c.pid, fd(c.line)?, Instant(c.started), &c.writes);
        core.helper = c.helper;
        core.ready = true;
        core.heart = beat::Heartbeat::new(now);
        guard.core = Some(core);
    }
    let image: File = fd(state.images.1)?.into();
    let client = match state.client {
        Some(number) => guard.answers.adopt(fd(number)?, now),
        None => None,
    };
    guard.go_on_upgrading(now, Rc::new(image), client);
    Ok(guard)
}
