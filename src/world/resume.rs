//! From one process to the next.
//!
//! Read first: `mod.rs`, `snapshot.rs`.

use super::*;
use crate::snapshot::Snapshot;

impl World {
    pub(super) fn on_freeze(&mut self, _now: Now, _fx: &mut Effects) {}
    pub(super) fn on_go(&mut self, _now: Now, _shot: Option<Box<Snapshot>>, _dead: Option<Instant>, _fx: &mut Effects) {
    }
}
