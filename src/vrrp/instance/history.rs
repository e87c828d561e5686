//! The last changes of state with their causes. Read first: `mod.rs`.

use super::Instance;
use crate::time::Now;
use crate::vrrp::fsm::State;

/// Most transitions that are stored. A takeover and the return are two, a link that goes down and up four: room for the last two faults
/// and the changes before them.
const REMEMBERED: usize = 8;
/// Bytes of a stored cause: enough for the longest one of this program, and for the first ones of a list of faults.
const CAUSE: usize = 256;
/// A stored change of state.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Moved {
    /// The time.
    pub at: Now,
    /// The state before.
    pub from: State,
    /// The state after.
    pub to: State,
    /// The cause.
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
