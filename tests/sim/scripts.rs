//! Programs and a pipe of a node: hooks, checks, and one named pipe, with their faults. A check fails, hangs, ignores SIGTERM, cannot be
//! started for lack of processes, or ends too late.
//!
//! Read first: `src/child.rs`, `src/track/script.rs`, `exec.rs`. A seed may have two checks: `hard` without weight, whose failure leads to
//! FAULT, and `soft` with one. [`Check`] has the true result of a check; the World's verdict must follow it within an interval, a timeout
//! and J. Deliberately absent: the work of a program, and the reader of the pipe.

use crate::faults::Class;
use crate::ground::{Fact, Word};
use crate::node::Completion;
use crate::options::Options;
use crate::rng::Rng;
use crate::run::{Sabotage, Sim, Work};
use bytes::Bytes;
use core::time::Duration;
use kalived::config::model::setting::{Ready, Script, Weight};
use kalived::config::model::vrrp::{Track, VrrpScript};
use kalived::config::model::{Config, global::Fifo};
use kalived::effect::SpawnSpec;
use kalived::event::{ChildEnd, Errno};
use kalived::id::{ChildKey, FifoKey};
use kalived::time::Instant;
use kalived::track::Verdict;
use kalived::world::World;
use std::collections::BTreeMap;

/// Names of the checks.
pub const CHECKS: [&str; 2] = ["hard", "soft"];
const HOOK: &str = "/hook";
const CHECK: &str = "/check";

/// The checks of a seed; every virtual router of every node tracks those that are there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Drawn {
    /// Whether there is `hard`.
    pub hard: bool,
    /// Weight of `soft`, if it is there.
    pub soft: Option<i32>,
    /// Between two runs.
    pub interval: Duration,
    /// A run that takes longer has failed.
    pub timeout: Duration,
}

impl Drawn {
    /// Draws; `unit` is the time scale of the seed.
    pub fn draw(rng: &mut Rng, unit_ms: u64) -> Drawn {
        let which = rng.below(3);
        let weight = rng.pick(&[-60, -10, 10, 60]);
        let interval = Duration::from_millis(unit_ms * rng.range(2, 6));
        let timeout = if rng.permille(500) { Duration::ZERO } else { interval / rng.range(1, 3) as u32 };
        Drawn { hard: which != 0, soft: (which != 1).then_some(weight), interval, timeout }
    }
    /// How long a run may take.
    pub fn patience(&self) -> Duration {
        if self.timeout.is_zero() { self.interval } else { self.timeout }
    }
    fn present(&self) -> [bool; 2] {
        [self.hard, self.soft.is_some()]
    }
}

/// What a check does at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Exit status 0.
    Good,
    /// Exit status 1.
    Fails,
    /// Does not end; whether it ends at SIGTERM, and how long after SIGKILL it takes.
    Hangs { deaf: bool, dies: Duration },
    /// No process can be started for it.
    NoProcess,
    /// Exit status 0, after its time.
    Late,
}

/// One check on one node.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// At present.
    pub mode: Mode,
    /// Since when.
    pub since: Instant,
}

/// A program that runs.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// As it was when it was started.
    mode: Mode,
}

/// The programs and the pipe of a process.
#[derive(Debug, Default)]
pub struct Outside {
    programs: BTreeMap<ChildKey, Program>,
    // The pipe, and whether it is full.
    pipe: Option<(FifoKey, bool)>,
}

impl Outside {
    /// It could not be opened, or is not open yet.
    pub fn pipe_is_closed(&self) -> bool {
        self.pipe.is_none()
    }
}

fn script(argv: &[&str]) -> Box<Script> {
    let argv = argv.iter().map(|a| Box::from(*a)).collect();
    Box::new(Script { argv, ready: Ready::As { uid: 0, gid: 0 }, ..Script::default() })
}

/// Adds hooks, checks and the pipe to a configuration.
pub fn configure(opts: &Options, config: &mut Config) {
    let drawn = opts.checks.unwrap_or_default();
    config.global.more.vrrp_notify_fifo =
        Some(Fifo { path: "/pipe".into(), user: None, group: None, ready: Ready::As { uid: 0, gid: 0 } });
    let names = CHECKS.iter().zip(drawn.present()).filter(|(_, p)| *p).map(|(n, _)| *n);
    for c in &mut config.instances {
        c.more.notify.any = Some(script(&[HOOK]));
        let line = |n| Track { name: Box::from(n), weight: None, reverse: None };
        c.more.tracks.scripts = names.clone().map(line).collect();
    }
    for name in names {
        let weight = if name == "soft" { drawn.soft.unwrap_or(0) } else { 0 };
        config.scripts.push(VrrpScript {
            name: name.into(),
            script: Some(script(&[CHECK, name])),
            interval: drawn.interval,
            timeout: drawn.timeout,
            weight: Weight { weight, reverse: false },
            ..VrrpScript::default()
        });
    }
}

impl Sim {
    /// `GuardFx::Spawn`.
    pub fn spawn(&mut self, node: usize, child: ChildKey, spec: &SpawnSpec) {
        let words: Vec<&str> = spec.argv.iter().map(String::as_str).collect();
        let (check, mode) = match words[..] {
            [HOOK, "INSTANCE", name, word, _] => {
                self.told(node, name, word, true);
                (None, Mode::Good)
            }
            [CHECK, name] => {
                let check = CHECKS.iter().position(|c| *c == name).unwrap_or(0);
                (Some(check), self.checks[node][check].mode)
            }
            _ => return self.violate("spawn".into(), format!("node {node} runs {words:?}")),
        };
        let Some(p) = self.nodes[node].process.as_mut() else { return };
        p.outside.programs.insert(child, Program { mode });
        let quick = self.unit() / 4;
        let patience = self.ground.opts.checks.unwrap_or_default().patience().as_nanos() as u64;
        // By the node's clock.
        let limit = self.ground.lasts(node, Duration::from_nanos(patience)).as_nanos() as u64;
        let rng = &mut self.programs_rng[node];
        let (wait, end) = match (check, mode) {
            // A hook: most end soon, some run so long that many changes wait.
            (None, _) if self.chaos && rng.permille(100) => (rng.range(1, quick * 40), ChildEnd::Exited(1)),
            (None, _) => (rng.range(1, quick), ChildEnd::Exited(0)),
            (_, Mode::Good) => (rng.range(1, quick.min(patience / 2)), ChildEnd::Exited(0)),
            (_, Mode::Fails) => (rng.range(1, quick.min(patience / 2)), ChildEnd::Exited(1)),
            (_, Mode::Late) => (limit + rng.range(1, patience), ChildEnd::Exited(0)),
            (_, Mode::NoProcess) => (1, ChildEnd::NotStarted(Errno::EAGAIN)),
            (_, Mode::Hangs { .. }) => return,
        };
        self.ends(node, child, Duration::from_nanos(wait), end);
    }

    fn ends(&mut self, node: usize, child: ChildKey, wait: Duration, end: ChildEnd) {
        let incarnation = self.nodes[node].incarnation;
        self.after(wait, Work::ProgramEnds { node, incarnation, child, end });
    }

    /// It is gone, unless it was before.
    pub fn program_ends(&mut self, node: usize, child: ChildKey, end: ChildEnd) {
        let Some(p) = self.nodes[node].process.as_mut() else { return };
        if p.outside.programs.remove(&child).is_some() {
            self.complete(node, Completion::ChildExit { child, end });
        }
    }

    /// `GuardFx::Kill`.
    pub fn kill(&mut self, node: usize, child: ChildKey, hard: bool) {
        let Some(p) = self.nodes[node].process.as_mut() else { return };
        let Some(program) = p.outside.programs.get(&child).copied() else { return };
        match (program.mode, hard) {
            (Mode::Hangs { deaf: true, .. }, false) => {}
            (Mode::Hangs { dies, .. }, true) => self.ends(node, child, dies, ChildEnd::Signaled(9)),
            (_, hard) => {
                let end = ChildEnd::Signaled(if hard { 9 } else { 15 });
                self.ends(node, child, Duration::from_nanos(1), end);
            }
        }
    }

    /// Begins or ends the fault of a check.
    pub fn change_check(&mut self, node: usize, begins: bool) {
        let Some(drawn) = self.ground.opts.checks else { return };
        let unit = self.unit();
        let rng = &mut self.fault_rngs[Class::Script as usize][node];
        let soft = match drawn.present() {
            [true, true] => rng.permille(500),
            [hard, _] => !hard,
        };
        let (kind, deaf, slow) = (rng.below(6), rng.permille(300), rng.permille(200));
        let dies = Duration::from_nanos(if slow { rng.range(1, 40 * unit) } else { 1 });
        let mode = match kind {
            0..=2 => Mode::Fails,
            3 => Mode::Hangs { deaf, dies },
            4 => Mode::NoProcess,
            _ => Mode::Late,
        };
        let now = self.ground.now;
        if begins {
            self.checks[node][usize::from(soft)] = Check { mode, since: now };
            return;
        }
        for check in &mut self.checks[node] {
            if check.mode != Mode::Good {
                *check = Check { mode: Mode::Good, since: now };
            }
        }
        // Programs that hung can end now.
        let Some(p) = self.nodes[node].process.as_ref() else { return };
        let hung = p.outside.programs.iter().filter(|(_, p)| matches!(p.mode, Mode::Hangs { .. } | Mode::Late));
        for child in hung.map(|(c, _)| *c).collect::<Vec<_>>() {
            self.ends(node, child, Duration::from_nanos(1), ChildEnd::Exited(0));
        }
    }

    // The pipe.

    /// `HelperFx::OpenFifo`.
    pub fn open_pipe(&mut self, node: usize, fifo: FifoKey) {
        let fails = self.chaos && self.programs_rng[node].permille(30);
        let Some(p) = self.nodes[node].process.as_mut() else { return };
        p.outside.pipe = (!fails).then_some((fifo, false));
        let result = if fails { Err(Errno::ENXIO) } else { Ok(()) };
        self.complete(node, Completion::FifoReady { fifo, result });
    }

    /// `HelperFx::WriteFifo`: the whole line, or the pipe is full for a while.
    pub fn write_pipe(&mut self, node: usize, fifo: FifoKey, line: &Bytes) {
        let fills = self.chaos && self.programs_rng[node].permille(30);
        let Some(p) = self.nodes[node].process.as_mut() else { return };
        let Some((_, full)) = p.outside.pipe.as_mut().filter(|(open, _)| *open == fifo) else {
            return self.violate("pipe".into(), format!("node {node} writes to a pipe that is not open: {line:?}"));
        };
        if core::mem::replace(full, fills) {
            self.violate("pipe".into(), format!("node {node} writes to a full pipe: {line:?}"));
        } else if fills {
            let unit = self.unit();
            let wait = self.programs_rng[node].range(1, unit * 2);
            let incarnation = self.nodes[node].incarnation;
            self.after(Duration::from_nanos(wait), Work::PipeRoom { node, incarnation, fifo });
        } else {
            let text = String::from_utf8_lossy(line).into_owned();
            match text.split_whitespace().collect::<Vec<_>>()[..] {
                ["INSTANCE", name, word, _] => self.told(node, name.trim_matches('"'), word, false),
                _ => self.violate("pipe".into(), format!("node {node} writes {text:?}")),
            }
        }
        let result = if fills { Err(Errno::EAGAIN) } else { Ok(()) };
        self.complete(node, Completion::FifoWritten { fifo, result });
    }

    /// Its reader has read.
    pub fn pipe_has_room(&mut self, node: usize, fifo: FifoKey) {
        let Some(p) = self.nodes[node].process.as_mut() else { return };
        if let Some((_, full)) = p.outside.pipe.as_mut().filter(|(open, full)| *open == fifo && *full) {
            *full = false;
            self.complete(node, Completion::FifoReady { fifo, result: Ok(()) });
        }
    }

    /// `HelperFx::CloseFifo`.
    pub fn close_pipe(&mut self, node: usize, fifo: FifoKey) {
        if let Some(p) = self.nodes[node].process.as_mut()
            && p.outside.pipe.is_some_and(|(open, _)| open == fifo)
        {
            p.outside.pipe = None;
        }
    }

    fn told(&mut self, node: usize, name: &str, word: &str, hook: bool) {
        let group = name.strip_prefix("VI_").and_then(|n| n.parse().ok());
        let word = match word {
            "MASTER" => Word::Master,
            "BACKUP" => Word::Backup,
            "FAULT" => Word::Fault,
            "STOP" => Word::Stop,
            // About no state.
            "MASTER_RX_LOWER_PRI" | "MASTER_PRIORITY" | "BACKUP_PRIORITY" => return,
            _ => return self.violate("told".into(), format!("node {node} tells {name} {word}")),
        };
        let Some(group) = group.filter(|g| *g < self.ground.opts.groups.len()) else {
            return self.violate("told".into(), format!("node {node} tells of {name}"));
        };
        self.figures.told += 1;
        let who = if hook { "hook" } else { "pipe" };
        self.trace.told(self.ground.now, node, group, who, word);
        let (lost, twice) = match self.sabotage {
            Some(Sabotage::LoseWords) => (hook && word == Word::Master, false),
            Some(Sabotage::RepeatWords) => (false, !hook),
            _ => (false, false),
        };
        for _ in 0..usize::from(!lost) + usize::from(twice) {
            self.fact(Fact::Told { node, group, word, hook });
        }
    }

    /// Updates the ground from the verdicts of the checks. Called before the states are compared.
    pub fn follow_checks(&mut self, node: usize, world: &World) {
        if !self.ground.opts.checks.is_some_and(|d| d.hard) {
            return;
        }
        let hard = world.tracks().into_iter().find(|t| &*t.name == CHECKS[0]).map(|t| t.verdict);
        let up = hard == Some(Verdict::Up(true));
        if core::mem::replace(&mut self.ground.nodes[node].passes, up) != up {
            self.touch(node);
            self.fact(Fact::Touched);
        }
    }

    /// A check's verdict must follow its true result in time.
    pub fn check_verdicts(&mut self, node: usize, world: &World) {
        let Some(drawn) = self.ground.opts.checks else { return };
        let (now, touched) = (self.ground.now, self.ground.nodes[node].clock_touched);
        if !world.running() || self.nodes[node].asked_to_stop {
            return;
        }
        if world.views().is_empty() {
            // It is not run; it begins anew when a virtual router tracks it again.
            self.nodes[node].born = now;
        }
        // The run under way, the wait for the next one, and that one; where no process can be started, at least a second more.
        let timers = drawn.interval * 2 + drawn.patience() + Duration::from_secs(1);
        let soon = self.ground.lasts(node, timers) + self.ground.lateness * 8;
        for track in world.tracks() {
            let Some(check) = CHECKS.iter().position(|c| **c == *track.name) else { continue };
            let Check { mode, since } = self.checks[node][check];
            let since = since.max(touched).max(self.nodes[node].born);
            let believes = track.verdict == Verdict::Up(true);
            if now.since(since) > soon && believes != (mode == Mode::Good) {
                let text =
                    format!("node {node}: {} {mode:?} for {:?}, and {:?}", track.name, now.since(since), track.verdict);
                self.violate("T1".into(), text);
            }
        }
    }
}
