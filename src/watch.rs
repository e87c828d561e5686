//! Files and processes that are watched for us, and who hears of them. Names are given here, so that a late report reaches
//! nobody else.
//!
//! Read first: `effect.rs` (`WatchFile`, `WatchProcesses`, `Unwatch`), `child.rs` (the same for programs).

use crate::effect::{Effect, Effects, HelperFx, ProcessSpec};
use crate::id::{Arena, CheckId, TrackKey, WatchKey, WatchMark};

/// Whom a watch is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum For {
    /// A tracker.
    Track(TrackKey),
    /// A health check of real servers.
    Lvs(CheckId),
    /// `reload_time_file`.
    ReloadTime,
}

/// See the module.
#[derive(Default, serde::Serialize, serde::Deserialize)]
pub struct Watches(Arena<WatchMark, For>);

impl Watches {
    /// Asks for a file to be watched; `path` is absolute.
    pub fn file(&mut self, whom: For, path: String, fx: &mut Effects) -> WatchKey {
        let watch = self.0.insert(whom);
        fx.push(Effect::Helper(HelperFx::WatchFile { watch, path }));
        watch
    }
    /// Asks for processes to be counted.
    pub fn processes(&mut self, whom: For, spec: ProcessSpec, fx: &mut Effects) -> WatchKey {
        let watch = self.0.insert(whom);
        fx.push(Effect::Helper(HelperFx::WatchProcesses { watch, spec: Box::new(spec) }));
        watch
    }
    /// Whose it is; `None`: nobody waits for it any more.
    pub fn whose(&self, watch: WatchKey) -> Option<For> {
        self.0.get(watch).copied()
    }
    /// No more of it; its name is dead.
    pub fn stop(&mut self, watch: WatchKey, fx: &mut Effects) {
        if self.0.remove(watch).is_some() {
            fx.push(Effect::Helper(HelperFx::Unwatch { watch }));
        }
    }
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
