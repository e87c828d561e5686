//! Programs that run for us, and who hears of their end. Names are given here, so that a late end reaches nobody else.
//!
//! Read first: `effect.rs` (`Spawn`, `Kill`).

use crate::effect::{Effect, Effects, GuardFx, SpawnSpec};
use crate::id::{Arena, CheckId, ChildKey, ChildMark, TrackKey};

/// Whom a program runs for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum For {
    /// A tracker's check.
    Track(TrackKey),
    /// A health check of real servers.
    Lvs(CheckId),
    /// Nobody waits for it.
    Nobody,
    /// The kernel's module for virtual servers is loaded.
    Module,
    /// A hook of the notifier: its own number for it.
    Hook(u64),
}

/// See the module.
#[derive(Default, serde::Serialize, serde::Deserialize)]
pub struct Children(Arena<ChildMark, For>);

impl Children {
    /// Asks for a program to be run.
    pub fn spawn(&mut self, whom: For, spec: SpawnSpec, fx: &mut Effects) -> ChildKey {
        let child = self.0.insert(whom);
        fx.push(Effect::Guard(GuardFx::Spawn { child, spec: Box::new(spec) }));
        child
    }
    /// It ended; whom it ran for.
    pub fn end(&mut self, child: ChildKey) -> Option<For> {
        self.0.remove(child)
    }
    /// How many run.
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// Whether none runs.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
