//! Signals and the end.
//!
//! Read first: `mod.rs`.

use super::*;
use crate::effect::GuardFx;

impl World {
    pub(super) fn on_signal(&mut self, now: Now, signal: Signal, fx: &mut Effects) {
        match signal {
            Signal::Term | Signal::Int => {
                let name = if signal == Signal::Term { "SIGTERM" } else { "SIGINT" };
                if matches!(self.phase, Phase::Stopping | Phase::Gone) {
                    // Asked twice: programs are waited for no longer. Addresses are, by `settle`.
                    self.hurried = true;
                    return;
                }
                // In charge already, but not begun: the state of the process before is taken over first, so that each Master says farewell.
                if let Some(standby) = self.standby.as_mut().filter(|s| s.go.is_some() && s.stop.is_none()) {
                    standby.stop = Some(signal);
                    self.timers.set(Due::Exit, now.mono + STOP_LIMIT);
                    return;
                }
                fx.note(text::stopping(name));
                let before = core::mem::replace(&mut self.phase, Phase::Stopping);
                self.abandon_reload("kalived stops", fx);
                for vr in self.instances.keys() {
                    with!(self, vr, now, fx, |vi, cx| vi.on_shutdown(cx));
                }
                self.stop_groups(now);
                self.addrs.release(crate::vrrp::address::FILE);
                self.routes.release();
                self.rules.release();
                self.stop_lvs(now, fx);
                self.stop_tracks(now, fx);
                self.stop_bfd(now, fx);
                self.timers.set(Due::Exit, now.mono + STOP_LIMIT);
                if matches!(before, Phase::Reading | Phase::Standby) {
                    self.remove_inherited(now, fx);
                }
            }
            Signal::Hup if matches!(self.phase, Phase::Stopping | Phase::Gone) => {}
            Signal::Hup => {
                fx.note(text::reloading());
                fx.push(Effect::Guard(GuardFx::Compile));
            }
        }
    }

    // Nobody became Master yet, so no virtual router gives anything up; but a process that died or that stopped speaking may have
    // left addresses, which this one was started to go on with.
    pub(super) fn remove_inherited(&mut self, now: Now, fx: &mut Effects) {
        self.unread = self.dumping || self.timers.get(Due::Resync).is_some();
        if self.unread {
            return; // the kernel's answer is on its way: `on_synced`
        }
        if let Some((Some(snapshot), _)) = self.standby.take().and_then(|s| s.go) {
            self.remove_dropped(&snapshot, fx);
            self.drop_routes(&snapshot);
            self.drop_fixed(&snapshot);
            self.inherit_own(&snapshot);
            self.end_own(&snapshot, fx);
            if snapshot.filter {
                self.filter.clear(now.mono, crate::filter::settings(&self.base), &mut self.timers);
            }
        }
        self.remove_leftovers(fx);
    }

    pub(super) fn exit(&mut self, now: Now, fx: &mut Effects) {
        if self.phase != Phase::Gone {
            self.phase = Phase::Gone;
            self.bfd_farewell(now, fx);
            self.timers.stop(Due::Exit);
            fx.note(text::all_stopped());
            fx.push(Effect::Exit(ExitCode::Ok));
        }
    }
}
