//! Stream connections on the ring: for mail and native checks.
//!
//! Read first: `exec.rs`.

use super::exec::Exec;
use crate::effect::Effect;
use crate::time::Now;

impl Exec {
    pub(super) fn stream_effect(&mut self, _now: Now, _effect: Effect) {}
}
