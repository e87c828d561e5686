//! The last changes of state with their causes: why did it move? Read first: `mod.rs`.

use super::Instance;
use crate::time::Now;
use crate::vrrp::fsm::State;

/// Transitions that are remembered. A takeover and the return are two, a link that goes and comes four: the last two faults and what
/// was before.
const REMEMBERED: usize = 8;
/// Bytes of a cause that is remembered: the longest of ours, and of a list of faults its first ones.
const CAUSE: usize = 256;
/// A change of state that is remembered.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Moved {
    /// When.
    pub at: Now,
    /// The state before.
    pub from: State,
    /// The state after.
    pub to: State,
    /// Why.
    pub cause: String,
}

impl Instance {
    pub(super) fn remember(&mut self, mut moved: Moved) {
        let end = (0..=CAUSE.min(moved.cause.len())).rev().find(|i| moved.cause.is_char_boundary(*i)).unwrap_or(0);
        moved.cause.truncate(end);
        if self.moved.len() >= REMEMBERED {
            self.moved.pop_front();
        }
        self.moved.push_back(moved);
    }
}
