//! Another configuration, made so in bounded slices.
//!
//! Read first: `mod.rs`.

use super::*;

impl World {
    pub(super) fn on_config(&mut self, now: Now, config: Config, fx: &mut Effects) {
        self.schedule_config(now, &config.global.more, fx);
    }
}
