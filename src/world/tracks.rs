//! Tracking of all but interfaces: events go to the trackers, their changes to the virtual routers that track them.
//!
//! Read first: `mod.rs`, `track/mod.rs`.

use super::*;
use crate::event::ChildEnd;
use crate::id::{ConnKey, WatchKey};
use crate::track::{Cx as TrackCx, Kind};
use crate::watch;

// Calls a method of the trackers with the fields that it may change, as separate borrows.
macro_rules! tracks {
    ($world:ident, $now:expr, $fx:expr, |$tracks:ident, $cx:ident| $body:expr) => {{
        let $tracks = &mut $world.tracks;
        let $cx = &mut TrackCx {
            now: $now,
            timers: &mut $world.timers,
            fx: $fx,
            children: &mut $world.children,
            conns: &mut $world.conns,
            watches: &mut $world.watches,
        };
        $body
    }};
}

impl World {
    pub(super) fn on_track_run(&mut self, now: Now, track: TrackKey, fx: &mut Effects) {
        let changed = tracks!(self, now, fx, |t, cx| t.on_run(track, cx));
        self.after_track(now, track, changed, fx);
    }
    pub(super) fn on_track_timeout(&mut self, now: Now, track: TrackKey, fx: &mut Effects) {
        let changed = tracks!(self, now, fx, |t, cx| t.on_timeout(track, cx));
        self.after_track(now, track, changed, fx);
    }
    pub(super) fn on_track_exit(&mut self, now: Now, track: TrackKey, end: ChildEnd, fx: &mut Effects) {
        let changed = tracks!(self, now, fx, |t, cx| t.on_exit(track, end, cx));
        self.after_track(now, track, changed, fx);
    }
    pub(super) fn on_file(&mut self, now: Now, w: WatchKey, result: Result<&[u8], Errno>, fx: &mut Effects) {
        let track = match self.watches.whose(w) {
            Some(watch::For::Track(track)) => track,
            Some(watch::For::ReloadTime) => return self.schedule_file(now, result, fx),
            Some(watch::For::Lvs(check)) => return self.on_lvs_file(now, check, w, result, fx),
            None => return,
        };
        let changed = tracks!(self, now, fx, |t, cx| t.on_read(track, result, cx));
        self.after_track(now, track, changed, fx);
    }
    pub(super) fn on_processes(&mut self, now: Now, w: WatchKey, result: Result<u32, Errno>, fx: &mut Effects) {
        let Some(watch::For::Track(track)) = self.watches.whose(w) else { return };
        let changed = tracks!(self, now, fx, |t, cx| t.on_count(track, result, cx));
        self.after_track(now, track, changed, fx);
    }
    pub(super) fn on_check_stream(
        &mut self,
        now: Now,
        track: TrackKey,
        conn: ConnKey,
        what: Stream<'_>,
        fx: &mut Effects,
    ) {
        let changed = tracks!(self, now, fx, |t, cx| t.on_stream(track, conn, what, cx));
        self.after_track(now, track, changed, fx);
    }

    /// The virtual routers are about to start: each tracker begins at once.
    pub(super) fn start_tracks(&mut self, now: Now, fx: &mut Effects) {
        for note in core::mem::take(&mut self.remarks) {
            fx.note(note);
        }
        for track in tracks!(self, now, fx, |t, cx| t.start(cx)) {
            self.after_track(now, track, true, fx);
        }
    }

    /// Ends all tracking, and asks running programs to end: a stop, or another process takes over.
    pub(super) fn stop_tracks(&mut self, now: Now, fx: &mut Effects) {
        tracks!(self, now, fx, |t, cx| t.stop(cx));
    }

    /// Another configuration; called before its virtual routers are made, so that none lacks a tracker. [`World::link_tracks`] follows.
    pub(super) fn alter_tracks(&mut self, now: Now, config: &Config, fx: &mut Effects) {
        for note in crate::track::remarks(config) {
            fx.note(note);
        }
        let touched = tracks!(self, now, fx, |t, cx| t.alter(config, cx));
        self.quorums = None;
        self.link_tracks();
        for track in touched {
            self.after_track(now, track, true, fx);
        }
    }

    /// Works out anew which virtual routers use which tracker.
    pub(super) fn link_tracks(&mut self) {
        self.track_users.clear();
        for (vr, vi) in self.instances.iter() {
            for kind in Kind::ALL {
                for line in kind.lines(&vi.cfg().more.tracks) {
                    if let Some(track) = self.tracks.find(kind, &line.name) {
                        self.track_users.entry(track).or_default().push(vr);
                    }
                }
            }
        }
    }

    pub(super) fn after_track(&mut self, now: Now, track: TrackKey, changed: bool, fx: &mut Effects) {
        if !changed {
            return;
        }
        for vr in self.users(track) {
            self.evaluate(now, vr, fx);
        }
    }

    /// A reload altered or added this virtual router, which is evaluated next.
    pub(super) fn instance_altered(&mut self, vr: VrKey) {
        let Some(vi) = self.instances.get(vr) else { return };
        for kind in Kind::ALL {
            for line in kind.lines(&vi.cfg().more.tracks) {
                if let Some(track) = self.tracks.find(kind, &line.name) {
                    let users = self.track_users.entry(track).or_default();
                    if !users.contains(&vr) {
                        users.push(vr);
                    }
                }
            }
        }
    }

    // During a reload virtual routers change one by one, so each is searched; else `link_tracks` has worked it out.
    fn users(&self, track: TrackKey) -> Vec<VrKey> {
        if !self.reloading() {
            return self.track_users.get(&track).cloned().unwrap_or_default();
        }
        let Some((kind, name)) = self.tracks.name(track) else { return Vec::new() };
        let lines = |vi: &Instance| kind.lines(&vi.cfg().more.tracks).iter().any(|t| &*t.name == name);
        self.instances.iter().filter(|(_, vi)| lines(vi)).map(|(vr, _)| vr).collect()
    }
}
