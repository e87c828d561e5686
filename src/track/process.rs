//! One `vrrp_track_process`: whether so many processes run.
//!
//! Read first: `mod.rs`. The helper counts the processes (`helper/processes.rs`); the quorum and its delays are here.

use super::{Cx, text};
use crate::config::model::vrrp::TrackProcess;
use crate::effect::ProcessSpec;
use crate::event::Errno;
use crate::id::{TrackKey, WatchKey};
use crate::timers::Due;
use crate::watch::For;

/// A tracked process: the watch of the helper, the last number, and whether it is within the quorum.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Process {
    key: TrackKey,
    cfg: TrackProcess,
    watch: Option<WatchKey>,
    // The last count.
    count: Option<Result<u32, Errno>>,
    up: Option<bool>,
}

impl Process {
    /// A tracker that watches nothing yet.
    pub fn new(key: TrackKey, cfg: TrackProcess) -> Process {
        Process { key, cfg, watch: None, count: None, up: None }
    }
    /// The `vrrp_track_process` as configured.
    pub fn cfg(&self) -> &TrackProcess {
        &self.cfg
    }
    /// Whether the quorum is there; `None`: not counted yet.
    pub fn up(&self) -> Option<bool> {
        self.up
    }
    /// Takes over the verdict of an earlier process.
    pub fn resume(&mut self, up: bool) {
        self.up = Some(up);
    }
    /// What is to be counted.
    pub fn spec(cfg: &TrackProcess) -> ProcessSpec {
        ProcessSpec {
            argv: cfg.process.iter().map(|w| w.to_string()).collect(),
            param_match: cfg.param_match,
            full_command: cfg.full_command,
        }
    }
    /// Another quorum or other delays for the same processes. True: the verdict changed.
    pub fn alter(&mut self, cfg: TrackProcess, cx: &mut Cx<'_>) -> bool {
        self.cfg = cfg;
        self.look(cx)
    }

    /// Begins the counting.
    pub fn start(&mut self, cx: &mut Cx<'_>) {
        self.watch = Some(cx.watches.processes(For::Track(self.key), Process::spec(&self.cfg), cx.fx));
    }

    /// So many run now. True: the verdict changed.
    pub fn on_count(&mut self, count: Result<u32, Errno>, cx: &mut Cx<'_>) -> bool {
        self.count = Some(count);
        self.look(cx)
    }

    /// `Due::TrackRun`: a delay is over. True: the verdict changed.
    pub fn on_delay(&mut self, cx: &mut Cx<'_>) -> bool {
        match self.wanted() {
            Some(up) => self.turn(up, cx),
            None => false,
        }
    }

    /// Nobody wants it any more.
    pub fn retire(&mut self, cx: &mut Cx<'_>) {
        cx.timers.stop(Due::TrackRun(self.key));
        if let Some(watch) = self.watch.take() {
            cx.watches.stop(watch, cx.fx);
        }
    }

    // The verdict of the last count. Processes that cannot be counted count as missing: a check without a result is never up.
    fn wanted(&self) -> Option<bool> {
        let count = self.count?.ok();
        let most = self.cfg.quorum_max.map_or(u32::MAX, u32::from);
        Some(count.is_some_and(|n| (u32::from(self.cfg.quorum)..=most).contains(&n)))
    }

    fn look(&mut self, cx: &mut Cx<'_>) -> bool {
        let Some(up) = self.wanted() else { return false };
        if self.up == Some(up) {
            // It came back before the delay was over.
            cx.timers.stop(Due::TrackRun(self.key));
            return false;
        }
        let delay = if up { self.cfg.fork_delay } else { self.cfg.terminate_delay };
        if self.up.is_none() || delay.is_zero() {
            return self.turn(up, cx);
        }
        // The delay runs from the first change: later ones do not extend it.
        if cx.timers.get(Due::TrackRun(self.key)).is_none() {
            cx.timers.set(Due::TrackRun(self.key), cx.now.mono + delay);
        }
        false
    }

    fn turn(&mut self, up: bool, cx: &mut Cx<'_>) -> bool {
        cx.timers.stop(Due::TrackRun(self.key));
        if self.up.replace(up) == Some(up) {
            return false;
        }
        match self.count {
            Some(Ok(n)) => cx.fx.note(text::quorum(&self.cfg.name, up, n)),
            Some(Err(e)) => cx.fx.note(text::uncounted(&self.cfg.name, e)),
            None => {}
        }
        true
    }
}
