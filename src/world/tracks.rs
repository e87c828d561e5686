//! What is tracked beside interfaces.
//!
//! Read first: `mod.rs`.

use super::*;
use crate::event::ChildEnd;
use crate::id::{ConnKey, TrackKey, WatchKey};

impl World {
    pub(super) fn on_track_exit(&mut self, _now: Now, _track: TrackKey, _end: ChildEnd, _fx: &mut Effects) {}
    pub(super) fn on_file(&mut self, _now: Now, _w: WatchKey, _result: Result<&[u8], Errno>, _fx: &mut Effects) {}
    pub(super) fn on_processes(&mut self, _now: Now, _w: WatchKey, _result: Result<u32, Errno>, _fx: &mut Effects) {}
    pub(super) fn on_check_stream(
        &mut self,
        _now: Now,
        _track: TrackKey,
        _conn: ConnKey,
        _what: Stream<'_>,
        _fx: &mut Effects,
    ) {
    }
}
