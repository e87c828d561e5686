//! I-6: a dropped packet changes only counters. Checked whenever a packet arrives that no router sent in this form.
//!
//! Read first: `turn.rs`. A second run without the packet would show a violation, too, but only when a state or a timer differs.

use crate::run::{Sabotage, Sim};
use kalived::effect::{Effect, Effects};
use kalived::event::{Event, NetEv};
use kalived::time::{Instant, Now};
use kalived::timers::Due;
use kalived::vrrp::State;
use kalived::world::World;

/// What a dropped packet must leave as it is, and how many were dropped.
#[derive(PartialEq)]
pub struct Still {
    states: Vec<(State, u8, Option<std::net::IpAddr>, u64)>,
    deadlines: Vec<(Instant, Due)>,
    effects: usize,
}

impl Sim {
    /// Before a packet is handled that is not as it was sent.
    pub fn hold_still(world: &World, fx: &Effects) -> (Still, u64) {
        let views = world.views();
        let dropped = views.iter().flat_map(|v| v.stats.rejected).sum();
        let states = views.iter().map(|v| (v.state, v.effective_priority, v.master, v.stats.advert_rcvd)).collect();
        // A change of the filter by an earlier event, such as the begin of a reload, is requested with the next one, whatever that is.
        let effects = fx.iter().filter(|e| !matches!(e, Effect::Note(_) | Effect::Filter(_))).count();
        // Refused adverts, too, show a second Master. The timer of its end only leads to a line in the log.
        let deadlines = world.deadlines().filter(|(_, due)| !matches!(due, Due::DualMaster(_))).collect();
        (Still { states, deadlines, effects }, dropped)
    }

    /// After it: if it was dropped, nothing has changed.
    pub fn stood_still(&mut self, node: usize, world: &mut World, now: Now, before: (Still, u64), fx: &mut Effects) {
        let dropped = Self::hold_still(world, fx).1 > before.1;
        if dropped && self.sabotage == Some(Sabotage::HeedNoise) {
            world.handle(now, Event::Net(NetEv::Lost), fx);
        }
        if dropped && Self::hold_still(world, fx).0 != before.0 {
            self.violate("I6".into(), format!("node {node}: a dropped packet moved something: {world:?}"));
        }
    }
}
