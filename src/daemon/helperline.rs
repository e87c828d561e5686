//! The line to the helper, which does for the loop what may block: files, processes, named pipes, host names.
//!
//! Read first: `exec.rs`.

use super::exec::Exec;
use crate::effect::Effect;
use crate::time::Now;

impl Exec {
    pub(super) fn helper_effect(&mut self, _now: Now, _effect: Effect) {}
}
