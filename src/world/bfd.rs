//! BFD: events go to the sessions, and their verdicts to the virtual routers that track them and to the health checks of real servers.
//!
//! Read first: `mod.rs`, `bfd/mod.rs`, `tracks.rs`, `lvs.rs`. Nearly every packet changes no verdict, and then only its session handles it.

use super::*;
use crate::bfd::{Cx as BfdCx, Told};
use crate::effect::Effects;
use crate::event::BfdEv;

// The sessions with everything they may touch; the borrow checker needs the fields apart.
macro_rules! bfd {
    ($world:ident, $now:expr, $fx:expr, |$bfd:ident, $cx:ident| $body:expr) => {{
        let $bfd = &mut $world.bfd;
        let $cx = &mut BfdCx { now: $now, timers: &mut $world.timers, fx: $fx };
        $body
    }};
}

impl World {
    /// True: a verdict changed, and others are concerned.
    pub(super) fn on_bfd(&mut self, now: Now, event: &BfdEv<'_>, fx: &mut Effects) -> bool {
        let told = bfd!(self, now, fx, |b, cx| b.on_event(event, cx));
        let changed = told.is_some();
        self.after_bfd(now, told, fx);
        changed
    }
    pub(super) fn on_bfd_due(&mut self, now: Now, fx: &mut Effects) {
        let told = bfd!(self, now, fx, |b, cx| b.on_due(cx));
        self.after_bfd(now, told, fx);
    }

    /// The virtual routers are about to start: so do the sessions.
    pub(super) fn start_bfd(&mut self, now: Now, fx: &mut Effects) {
        let config = core::mem::take(&mut self.base.bfd);
        let told = bfd!(self, now, fx, |b, cx| b.start(&config, cx));
        self.base.bfd = config;
        self.after_bfd(now, told, fx);
    }
    /// Another configuration, after its trackers are there.
    pub(super) fn alter_bfd(&mut self, now: Now, config: &Config, fx: &mut Effects) {
        bfd!(self, now, fx, |b, cx| b.alter(&config.bfd, cx));
        self.checks.keep_sessions(|name| config.bfd.iter().any(|b| *b.name == *name));
        // A tracker may be new, and its session not.
        let known: Vec<Told> = config
            .bfd
            .iter()
            .filter_map(|cfg| Some(Told { name: cfg.name.clone(), up: self.bfd.verdict(&cfg.name)? }))
            .collect();
        self.after_bfd(now, known, fx);
    }
    /// The process ends: the peers are told.
    pub(super) fn stop_bfd(&mut self, now: Now, fx: &mut Effects) {
        bfd!(self, now, fx, |b, cx| b.stop(cx));
    }
    pub(super) fn bfd_farewell(&mut self, now: Now, fx: &mut Effects) {
        bfd!(self, now, fx, |b, cx| b.farewell(cx));
    }
    /// Another process takes over: the sessions send on and receive nothing.
    pub(super) fn freeze_bfd(&mut self, now: Now, fx: &mut Effects) {
        bfd!(self, now, fx, |b, cx| b.freeze(cx));
    }
    /// A frozen world: its sessions send on.
    pub(super) fn frozen_bfd_due(&mut self, now: Now, fx: &mut Effects) {
        let _ = bfd!(self, now, fx, |b, cx| b.on_due(cx));
    }
    pub(super) fn rearm_bfd(&mut self, now: Now, fx: &mut Effects) {
        bfd!(self, now, fx, |b, cx| b.rearm(cx));
    }

    fn after_bfd(&mut self, now: Now, told: impl IntoIterator<Item = Told>, fx: &mut Effects) {
        for Told { name, up } in told {
            if let Some(track) = self.tracks.on_bfd(&name, up) {
                for vr in self.track_users.get(&track).cloned().unwrap_or_default() {
                    with!(self, vr, now, fx, |vi, cx| vi.on_tracked_bfd(&name, up, cx));
                }
                self.after_track(now, track, true, fx);
            }
            self.checks_follow(now, &name, up, fx);
        }
    }
}
