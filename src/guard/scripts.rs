//! The programs that run for the core: by process group, at most [`MOST`].
//!
//! Read first: `sys/child.rs`, `effect.rs` (`SpawnSpec`).

use super::text;
use crate::effect::SpawnSpec;
use crate::event::{ChildEnd, Errno};
use crate::note::Note;
use crate::sys::child::{self, End, How, Program, Report, Reports};
use crate::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;

/// Programs at one time. A hook for each of 255 routers and a check beside each; beyond it something does not end, and one more
/// process does not help.
pub const MOST: usize = 512;
/// From SIGTERM to SIGKILL for programs of a core that is gone.
const PATIENCE: Duration = Duration::from_secs(2);
/// Scripts named for their missing `#!` line; beyond it the log has said it often enough.
const NAMED: usize = 64;

struct Running {
    /// Which core asked for it, and by which name; `None`: that core is gone, nobody is told.
    owner: Option<(u32, u64)>,
    path: String,
    /// What its start failed with.
    failed: Option<i32>,
    /// When it is killed.
    deadline: Option<Instant>,
}

/// See the module.
#[derive(Default)]
pub struct Scripts {
    by_pid: BTreeMap<u32, Running>,
    by_name: BTreeMap<(u32, u64), u32>,
    named: BTreeSet<String>,
}

/// What became of a program: whom to tell, and what.
pub type Ended = Option<(u32, u64, ChildEnd)>;

impl Scripts {
    /// Starts one for core number `core`. The error is what to tell it.
    pub fn spawn(&mut self, core: u32, name: u64, spec: &SpawnSpec, reports: &Reports) -> Result<(), ChildEnd> {
        let failed = |e: std::io::Error| ChildEnd::NotStarted(Errno(e.raw_os_error().unwrap_or(Errno::EAGAIN.0)));
        if self.by_pid.len() >= MOST || self.by_name.contains_key(&(core, name)) {
            return Err(ChildEnd::NotStarted(Errno::EAGAIN));
        }
        let program = program(spec).ok_or(ChildEnd::NotStarted(Errno::ENOENT))?;
        let how = How { user: Some((spec.uid, spec.gid)), fds: &[], shell: true };
        let pid = child::spawn(&program, &how, reports).map_err(failed)?;
        let path = spec.argv.first().cloned().unwrap_or_default();
        self.by_pid.insert(pid, Running { owner: Some((core, name)), path, failed: None, deadline: None });
        self.by_name.insert((core, name), pid);
        Ok(())
    }

    /// Signals one of core number `core`.
    pub fn kill(&self, core: u32, name: u64, hard: bool) {
        if let Some(pid) = self.by_name.get(&(core, name)) {
            child::kill(*pid, true, hard);
        }
    }

    /// A child told about its start.
    pub fn on_report(&mut self, report: Report) -> Option<Note> {
        match report {
            Report::Failed(pid, errno) => {
                self.by_pid.get_mut(&pid)?.failed = Some(errno);
                None
            }
            Report::ByShell(pid) => {
                let path = &self.by_pid.get(&pid)?.path;
                let new = self.named.len() < NAMED && self.named.insert(path.clone());
                new.then(|| text::shebang(path))
            }
        }
    }

    /// Process `pid` has ended and still has its number. `None`: not one of these.
    pub fn on_end(&mut self, pid: u32, end: End) -> Option<Ended> {
        let running = self.by_pid.remove(&pid)?;
        // What it left behind. Its number names the group until it is reaped, so nobody else is meant.
        child::kill(pid, true, true);
        let Some((core, name)) = running.owner else { return Some(None) };
        self.by_name.remove(&(core, name));
        let end = match (running.failed, end) {
            (Some(errno), _) => ChildEnd::NotStarted(Errno(errno)),
            (None, End::Exited(code)) => ChildEnd::Exited(code),
            (None, End::Signaled(signal)) => ChildEnd::Signaled(signal),
        };
        Some(Some((core, name, end)))
    }

    /// Core number `core` is gone: what ran for it is ended now, or at `until` (work that another core must not see cut short).
    pub fn orphan(&mut self, core: u32, now: Instant, until: Option<Instant>) {
        for (pid, running) in &mut self.by_pid {
            if running.owner.is_some_and(|(c, _)| c == core) {
                running.owner = None;
                if until.is_none() {
                    child::kill(*pid, true, false);
                }
                running.deadline = Some(until.unwrap_or(now + PATIENCE));
            }
        }
        self.by_name.retain(|(c, _), _| *c != core);
    }

    /// Kills what should have ended by now.
    pub fn tick(&mut self, now: Instant) {
        for (pid, running) in &mut self.by_pid {
            if running.deadline.is_some_and(|at| now >= at) {
                child::kill(*pid, true, true);
                // Again, should it sit in a system call that does not end: nothing is lost by it.
                running.deadline = Some(now + PATIENCE);
            }
        }
    }

    /// Kills everything.
    pub fn kill_all(&self) {
        self.by_pid.keys().for_each(|pid| child::kill(*pid, true, true));
    }

    /// How many run.
    pub fn len(&self) -> usize {
        self.by_pid.len()
    }
    /// Whether none runs.
    pub fn is_empty(&self) -> bool {
        self.by_pid.is_empty()
    }
}

/// Where a program without a slash in its name is looked for, when our own environment does not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Variables that are handed on. Everything else stays here: LD_*, IFS and their like change what a script does, and
/// NOTIFY_SOCKET would let it speak to systemd in our name.
const KEPT: [&str; 8] = ["HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "TZ", "USER"];

/// `None`: there is a NUL in it.
fn program(spec: &SpawnSpec) -> Option<Program> {
    let c = |s: &str| CString::new(s).ok();
    let path = std::env::var("PATH").ok().filter(|p| !p.is_empty()).unwrap_or_else(|| PATH.to_owned());
    let name = spec.argv.first()?;
    let paths = match name.contains('/') {
        true => vec![c(name)?],
        // Not the current directory, which an empty element would mean.
        false => path.split(':').filter(|d| d.starts_with('/')).filter_map(|d| c(&format!("{d}/{name}"))).collect(),
    };
    let mut env: BTreeMap<String, String> =
        KEPT.iter().filter_map(|n| Some(((*n).to_owned(), std::env::var(n).ok()?))).collect();
    env.extend(std::env::vars_os().filter_map(|(n, v)| {
        let (n, v) = (n.into_string().ok()?, v.into_string().ok()?);
        n.starts_with("LC_").then_some((n, v))
    }));
    env.entry("PATH".to_owned()).or_insert(path);
    env.extend(spec.env.iter().cloned());
    Some(Program {
        paths,
        argv: spec.argv.iter().map(|a| c(a)).collect::<Option<_>>()?,
        env: env.iter().filter_map(|(n, v)| c(&format!("{n}={v}"))).collect(),
    })
}
