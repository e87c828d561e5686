//! The whole daemon as a value: `(Now, Event)` in, [`Effect`](crate::effect::Effect)s out.
//!
//! Read first: `event.rs`, `effect.rs`, `vrrp/instance.rs`.

use crate::config::model::Config;
use crate::effect::Effects;
use crate::event::Event;
use crate::time::{Instant, Now};
use crate::timers::Due;

/// Owns every machine and routes every event.
pub struct World {}

impl World {
    /// A world that has not started: give it [`Event::Start`].
    pub fn new(_config: Config) -> World {
        World {}
    }
    /// One input.
    pub fn handle(&mut self, _now: Now, _event: Event<'_>, _fx: &mut Effects) {}
    /// Dispatches at most `limit` expired timers; `true`: more are due.
    pub fn fire(&mut self, _now: Now, _limit: usize, _fx: &mut Effects) -> bool {
        false
    }
    /// When and why to wake next.
    pub fn next_deadline(&self) -> Option<(Instant, Due)> {
        None
    }
    /// Panics when a rule that must always hold does not.
    pub fn check_invariants(&self) {}
}
