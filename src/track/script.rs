//! One `vrrp_script`: a program that is run every so often, and what its exit status adds up to.
//!
//! Read first: `mod.rs`, `flip.rs`, `child.rs`. At most one run is under way. A run that does not end in time is a failure when its time
//! is over, and the next one begins only when its process has ended. Until then every run that is due is a failure too, so that a script
//! that hangs does not keep its last good result.

use super::flip::Flip;
use super::{Cx, Kind, second_run, text};
use crate::child::For;
use crate::config::model::setting::Ready;
use crate::config::model::vrrp::VrrpScript;
use crate::effect::{Effect, GuardFx, SpawnSpec};
use crate::event::{ChildEnd, Errno};
use crate::id::{ChildKey, TrackKey};
use crate::time::{Duration, Instant, nanos};
use crate::timers::{Due, Timers};

/// From SIGTERM to the first SIGKILL, as keepalived waits.
const GRACE: Duration = Duration::from_secs(2);
/// Time between two SIGKILLs. One is enough, except for a process in an uninterruptible wait (state D).
const AGAIN: Duration = Duration::from_secs(10);
/// Time until the next attempt when no process could be started for it: short, because others end soon.
const NO_PROCESS: Duration = Duration::from_millis(100);
/// Runs in a row that end in time before a run that does not is worth a line again: a script that takes about as long as its
/// interval would otherwise fill the log with two lines for each.
const CALM: u8 = 10;
/// A run that is due when no process could be started for this time is a failure: a result is not valid for ever. There is no further
/// condition of one interval: the run that is due one interval after the first attempt comes a little earlier than that, so only the
/// one after it would be the failure.
const NO_PROCESS_LIMIT: Duration = Duration::from_secs(1);

// A run under way.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Run {
    child: ChildKey,
    since: Instant,
    // SIGTERM was sent, because its time is over or because nobody wants it any more; SIGKILL, how often.
    asked: bool,
    kills: u32,
    // A run that was due meanwhile was skipped; and that was reported.
    skipped: bool,
    told: bool,
}

/// A tracked script: its command, its times, its verdict, and the run under way.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Script {
    key: TrackKey,
    name: Box<str>,
    cfg: VrrpScript,
    // `Err`: why it can never run.
    spec: Result<SpawnSpec, Box<str>>,
    flip: Flip,
    // When the next run is due; runs keep to this, so they do not drift.
    due: Instant,
    run: Option<Run>,
    // Since when no process could be started for it.
    wanting: Option<Instant>,
    status: u8,
    retired: bool,
    // Its runs had to be killed, and that was reported: further ones are not.
    stubborn: bool,
    // How many runs must end in time before a skipped one is reported again.
    lagging: u8,
}

impl Script {
    /// A tracker that runs nothing yet.
    pub fn new(key: TrackKey, cfg: VrrpScript) -> Script {
        let spec = match cfg.script.as_deref() {
            None => Err("it has no `script`".into()),
            Some(s) if s.argv.first().is_none_or(|p| p.is_empty()) => Err("it names no program".into()),
            Some(s) => match &s.ready {
                Ready::As { uid, gid } => Ok(SpawnSpec {
                    argv: s.argv.iter().map(|a| a.to_string()).collect(),
                    env: Vec::new(),
                    uid: *uid,
                    gid: *gid,
                    alone: false,
                }),
                Ready::Refused(why) => Err(why.clone()),
                Ready::Unknown => Err("nobody has looked at its program".into()),
            },
        };
        let mut flip = Flip::new(cfg.rise, cfg.fall, cfg.init_fail);
        if spec.is_err() {
            flip.resume(false);
        }
        Script {
            key,
            name: cfg.name.clone(),
            cfg,
            spec,
            flip,
            due: Instant::default(),
            run: None,
            wanting: None,
            status: 0,
            retired: false,
            stubborn: false,
            lagging: 0,
        }
    }
    /// The `vrrp_script` as configured.
    pub fn cfg(&self) -> &VrrpScript {
        &self.cfg
    }
    /// Whether its program runs now.
    pub fn runs(&self) -> bool {
        self.run.is_some()
    }
    /// Up or down; `None`: it has not run yet.
    pub fn up(&self) -> Option<bool> {
        self.flip.up()
    }
    /// What an earlier process knew. A script that cannot run stays failed.
    pub fn resume(&mut self, up: bool) {
        if self.spec.is_ok() {
            self.flip.resume(up);
        }
    }
    /// What another script of this name knew.
    pub fn hold(&mut self, up: bool) {
        if self.spec.is_ok() {
            self.flip.hold(up);
        }
    }
    /// Other numbers for the same program: the run under way and what is known stay.
    pub fn alter(&mut self, cfg: VrrpScript, cx: &mut Cx<'_>) {
        self.flip.alter(cfg.rise, cfg.fall, cfg.init_fail);
        self.cfg = cfg;
        let interval = self.interval();
        self.due = cx.sooner(self.key, interval).unwrap_or(self.due);
    }
    /// Panics when a rule that must always hold does not.
    pub fn check_invariants(&self, timers: &Timers) {
        let (run, timeout) = (Due::TrackRun(self.key), Due::TrackTimeout(self.key));
        assert_eq!(timers.get(run).is_some(), self.spec.is_ok() && !self.retired, "{}: the next run", self.name);
        let ends = self.run.is_some() || self.wanting.is_some() && !self.retired;
        assert_eq!(timers.get(timeout).is_some(), ends, "{}: a run has its end", self.name);
    }

    fn interval(&self) -> Duration {
        // Also for a model that `config/lower` did not make: an interval of 0 would be a loop without a pause.
        self.cfg.interval.max(Duration::from_millis(1))
    }
    fn timeout(&self) -> Duration {
        if self.cfg.timeout.is_zero() { self.interval() } else { self.cfg.timeout }
    }

    /// The first run is due at once; the turn's limit on timers spreads those of many, and `second_run` the later ones.
    pub fn start(&mut self, spread: bool, cx: &mut Cx<'_>) {
        if let Err(why) = &self.spec {
            cx.fx.note(text::refused(Kind::Script, &self.name, why));
            return;
        }
        cx.timers.set(Due::TrackRun(self.key), cx.now.mono);
        let interval = self.interval();
        let second = if spread { second_run(cx.now.mono, interval, &self.name) } else { cx.now.mono + interval };
        self.due = Instant(second.0.saturating_sub(nanos(interval)));
    }

    /// `Due::TrackRun`. True: the verdict changed.
    pub fn on_run(&mut self, cx: &mut Cx<'_>) -> bool {
        let now = cx.now.mono;
        let interval = self.interval();
        self.due += interval;
        if self.due <= now {
            // After a pause of the machine there is one run, not all that were missed.
            let missed = now.since(self.due).as_nanos() / interval.as_nanos() + 1;
            self.due += interval.saturating_mul(u32::try_from(missed).unwrap_or(u32::MAX));
        }
        cx.timers.set(Due::TrackRun(self.key), self.due);
        if let Some(run) = &mut self.run {
            let first = !core::mem::replace(&mut run.skipped, true);
            let lagging = core::mem::replace(&mut self.lagging, CALM) > 0;
            if first && !lagging && !self.stubborn {
                run.told = true;
                cx.fx.note(text::already_running(&self.name));
            }
            return run.asked && self.timed_out(cx);
        }
        let given_up = self.wanting.is_some_and(|since| now.since(since) >= NO_PROCESS_LIMIT);
        self.spawn(cx);
        given_up && self.result(Err("no process for it".into()), cx)
    }

    /// `Due::TrackTimeout`. True: the verdict changed.
    pub fn on_timeout(&mut self, cx: &mut Cx<'_>) -> bool {
        let Some(run) = &mut self.run else {
            if self.wanting.is_some() {
                self.spawn(cx);
            }
            return false;
        };
        let first = !core::mem::replace(&mut run.asked, true);
        let wait = if first { GRACE } else { AGAIN };
        if !first {
            if run.kills == 0 && !self.stubborn {
                cx.fx.note(text::ignores_term(&self.name));
            }
            run.kills = run.kills.saturating_add(1);
        }
        cx.fx.push(Effect::Guard(GuardFx::Kill { child: run.child, hard: !first }));
        cx.timers.set(Due::TrackTimeout(self.key), cx.now.mono + wait);
        first && !self.retired && self.timed_out(cx)
    }

    /// It ended. True: the verdict changed.
    pub fn on_exit(&mut self, end: ChildEnd, cx: &mut Cx<'_>) -> bool {
        let Some(run) = self.run.take() else { return false };
        cx.timers.stop(Due::TrackTimeout(self.key));
        if self.retired {
            return false;
        }
        let stubborn = core::mem::replace(&mut self.stubborn, run.kills > 0);
        if !run.skipped {
            self.lagging = self.lagging.saturating_sub(1);
        }
        if run.told && !stubborn {
            cx.fx.note(text::idle_again(&self.name, cx.now.mono.since(run.since)));
        }
        if run.asked {
            self.wanting = None;
            return false; // counted when its time was over
        }
        match end {
            ChildEnd::NotStarted(Errno::EAGAIN) => {
                if self.wanting.is_none() {
                    self.wanting = Some(run.since);
                    cx.fx.note(text::no_process(&self.name));
                }
                cx.timers.set(Due::TrackTimeout(self.key), cx.now.mono + NO_PROCESS);
                return false;
            }
            _ => self.wanting = None,
        }
        match end {
            ChildEnd::Exited(status) => {
                if core::mem::replace(&mut self.status, status) != status {
                    cx.fx.note(text::returning(&self.name, status));
                }
                let ok = if status == 0 { Ok(()) } else { Err(format!("exited with status {status}")) };
                self.result(ok, cx)
            }
            ChildEnd::Signaled(signal) => self.result(Err(format!("due to signal {signal}")), cx),
            ChildEnd::NotStarted(e) => {
                self.result(Err(format!("could not be started: {}", crate::words::errno(e))), cx)
            }
        }
    }

    /// It is not in use any more: no run is begun, and the one under way is asked to end. True: none is under way.
    pub fn retire(&mut self, cx: &mut Cx<'_>) -> bool {
        self.retired = true;
        cx.timers.stop(Due::TrackRun(self.key));
        match &mut self.run {
            None => {
                cx.timers.stop(Due::TrackTimeout(self.key));
                true
            }
            Some(run) => {
                if !core::mem::replace(&mut run.asked, true) {
                    cx.fx.push(Effect::Guard(GuardFx::Kill { child: run.child, hard: false }));
                    cx.timers.set(Due::TrackTimeout(self.key), cx.now.mono + GRACE);
                }
                false
            }
        }
    }

    fn spawn(&mut self, cx: &mut Cx<'_>) {
        let Ok(spec) = &self.spec else { return };
        let child = cx.children.spawn(For::Track(self.key), spec.clone(), cx.fx);
        self.run = Some(Run { child, since: cx.now.mono, asked: false, kills: 0, skipped: false, told: false });
        cx.timers.set(Due::TrackTimeout(self.key), cx.now.mono + self.timeout());
    }

    fn timed_out(&mut self, cx: &mut Cx<'_>) -> bool {
        let changed = self.flip.result(false);
        if changed {
            cx.fx.note(text::timed_out(&self.name));
        }
        changed
    }

    fn result(&mut self, ok: Result<(), String>, cx: &mut Cx<'_>) -> bool {
        let changed = self.flip.result(ok.is_ok());
        if changed {
            cx.fx.note(match ok {
                Ok(()) => text::succeeded(Kind::Script, &self.name),
                Err(why) => text::failed(Kind::Script, &self.name, &why),
            });
        }
        changed
    }
}
