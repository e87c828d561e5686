//! Another configuration, made so in bounded slices.
//!
//! Read first: `mod.rs`.

use super::*;

impl World {
    pub(super) fn on_config(&mut self, _now: Now, _config: Config, _fx: &mut Effects) {}
}
