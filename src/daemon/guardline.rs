//! The line to the guard: programs to run and to end, reloads, the hand-over.
//!
//! Read first: `exec.rs`.

use super::exec::Exec;
use crate::effect::Effect;
use crate::time::Now;

impl Exec {
    pub(super) fn guard_effect(&mut self, _now: Now, _effect: Effect) {}
}
