//! Programs that run for the core, and the part of the world that is notified of their end. Names are assigned here and never reused, so
//! that a late end reaches no other program's owner.
//!
//! Read first: `effect.rs` (`Spawn`, `Kill`).

use crate::effect::{Effect, Effects, GuardFx, SpawnSpec};
use crate::id::{Arena, CheckId, ChildKey, ChildMark, TrackKey};

/// The owner of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum For {
    /// A tracker's check.
    Track(TrackKey),
    /// A health check of real servers.
    Lvs(CheckId),
    /// No part of the world waits for the program.
    Nobody,
    /// The load of the kernel's module for virtual servers.
    Module,
    /// A hook of the notifier, by the notifier's number.
    Hook(u64),
}

/// The programs that were requested and have not ended, and for each the part of the world that is notified of its end.
#[derive(Default, serde::Serialize, serde::Deserialize)]
pub struct Children(Arena<ChildMark, For>);

impl Children {
    /// Requests a program to be run.
    pub fn spawn(&mut self, whom: For, spec: SpawnSpec, fx: &mut Effects) -> ChildKey {
        let child = self.0.insert(whom);
        fx.push(Effect::Guard(GuardFx::Spawn { child, spec: Box::new(spec) }));
        child
    }
    /// A program ended; returns its owner.
    pub fn end(&mut self, child: ChildKey) -> Option<For> {
        self.0.remove(child)
    }
    /// The number of running programs.
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// Whether no program runs.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
