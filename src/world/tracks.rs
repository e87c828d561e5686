//! What is tracked beside interfaces.
//!
//! Read first: `mod.rs`.

use super::*;
use crate::event::ChildEnd;
use crate::id::{TrackKey, WatchKey};

impl World {
    // A reload begins: trackers as `config` has them, before any virtual router that uses them is altered.
    pub(super) fn alter_tracks(&mut self, _now: Now, _config: &Config, _fx: &mut Effects) {}
    // A reload altered or added this virtual router, which is evaluated next.
    pub(super) fn instance_altered(&mut self, _now: Now, _vr: VrKey, _fx: &mut Effects) {}
    pub(super) fn on_track_exit(&mut self, _now: Now, _track: TrackKey, _end: ChildEnd, _fx: &mut Effects) {}
    pub(super) fn on_file(&mut self, _now: Now, _w: WatchKey, _result: Result<&[u8], Errno>, _fx: &mut Effects) {}
    pub(super) fn on_processes(&mut self, _now: Now, _w: WatchKey, _result: Result<u32, Errno>, _fx: &mut Effects) {}
}
