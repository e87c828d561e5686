//! Inputs and effects of a world are copied to a [`Tape`], if there is one.
//!
//! Read first: `record/`. A world with a tape makes the same decisions as one without.

use super::*;
use crate::effect::Packets;
use crate::record::Tape;
use crate::record::file::Hidden;

/// Most real servers of a world that is written in the midst of a run: some 300 bytes each, so that it takes a slow processor a millisecond.
const RECORDED_SERVERS: usize = 500;

impl World {
    /// From now on everything is kept. To be called before the first event, with a tape for this very world.
    pub fn record(&mut self, tape: Tape) {
        self.tape = Some(Box::new(tape));
    }

    /// The tape with what was recorded; `None`: nothing is recorded.
    pub fn tape(&self) -> Option<&Tape> {
        self.tape.as_deref()
    }

    /// When the tape is full, the next part of it begins here: with all that this world is. Called when nothing else is due.
    pub fn checkpoint(&mut self) {
        if let Some(mut tape) = self.tape.take_if(|t| t.is_full()) {
            match self.lvs.farm().sizes()[1] > RECORDED_SERVERS {
                // Tens of thousands of real servers would be written at once: the recording ends with the present part.
                true => tape.stop(),
                false => tape.turn_over(self),
            }
            self.tape = Some(tape);
        }
    }

    /// Handles one input: appends its effects to `fx`, and with a tape records both.
    pub fn handle(&mut self, now: Now, event: Event<'_>, fx: &mut Effects) {
        let Some(mut tape) = self.tape.take() else { return self.take_in(now, event, fx) };
        let before = fx.len();
        tape.event(now, &event);
        self.take_in(now, event, fx);
        tape.wanted(fx.since(before));
        self.tape = Some(tape);
    }

    /// Dispatches at most `limit` expired timers; `true`: more are due.
    pub fn fire(&mut self, now: Now, limit: usize, fx: &mut Effects) -> bool {
        let Some(mut tape) = self.tape.take() else { return self.fire_due(now, limit, fx) };
        let before = fx.len();
        tape.fire(now, limit);
        let more = self.fire_due(now, limit, fx);
        tape.wanted(fx.since(before));
        self.tape = Some(tape);
        more
    }

    pub(crate) fn hide_secrets(&mut self, hidden: &mut Hidden) {
        hidden.config(&mut self.base);
        self.reloads.hide_secrets(hidden);
        for vr in self.instances.keys() {
            if let Some(vi) = self.instances.get_mut(vr) {
                vi.hide_secrets(hidden);
            }
        }
    }
}

impl crate::vrrp::instance::Instance {
    fn hide_secrets(&mut self, hidden: &mut Hidden) {
        let (cfg, packets) = self.secrets();
        hidden.instance(cfg);
        packets.into_iter().for_each(|p: &mut Packets| hidden.packets(p));
    }
}
