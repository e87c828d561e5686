//! Watched files and processes, and the part of the world that is notified of changes. As in `child.rs`, names are never reused.
//!
//! Read first: `effect.rs` (`WatchFile`, `WatchProcesses`, `Unwatch`), `child.rs`.

use crate::effect::{Effect, Effects, HelperFx, ProcessSpec};
use crate::id::{Arena, CheckId, TrackKey, WatchKey, WatchMark};

/// The owner of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum For {
    /// A tracker: a `track_file`, a `vrrp_track_process` or a check of processes.
    Track(TrackKey),
    /// A health check of real servers.
    Lvs(CheckId),
    /// The file of a scheduled reload (`reload_time_file`).
    ReloadTime,
}

/// The watches that were requested and not ended, and for each the part of the world that is notified.
#[derive(Default, serde::Serialize, serde::Deserialize)]
pub struct Watches(Arena<WatchMark, For>);

impl Watches {
    /// Requests a file to be watched; `path` is absolute.
    pub fn file(&mut self, whom: For, path: String, fx: &mut Effects) -> WatchKey {
        let watch = self.0.insert(whom);
        fx.push(Effect::Helper(HelperFx::WatchFile { watch, path }));
        watch
    }
    /// Requests matching processes to be counted.
    pub fn processes(&mut self, whom: For, spec: ProcessSpec, fx: &mut Effects) -> WatchKey {
        let watch = self.0.insert(whom);
        fx.push(Effect::Helper(HelperFx::WatchProcesses { watch, spec: Box::new(spec) }));
        watch
    }
    /// The owner of a watch; `None`: the watch has ended.
    pub fn whose(&self, watch: WatchKey) -> Option<For> {
        self.0.get(watch).copied()
    }
    /// Ends a watch; its name is invalid from now on.
    pub fn stop(&mut self, watch: WatchKey, fx: &mut Effects) {
        if self.0.remove(watch).is_some() {
            fx.push(Effect::Helper(HelperFx::Unwatch { watch }));
        }
    }
    /// The number of watches.
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// Whether there is no watch.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
