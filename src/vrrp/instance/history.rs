//! The last changes of state with their causes. Read first: `mod.rs`.

use super::Instance;
use crate::time::{Instant, Now};
use crate::vrrp::fsm::State;
use crate::vrrp::text;

/// Most transitions that are stored. A takeover and the return are two, a link that goes down and up four: room for the last two faults
/// and the changes before them.
const REMEMBERED: usize = 8;
/// Bytes of a stored cause: enough for the longest one of this program, and for the first ones of a list of faults.
const CAUSE: usize = 256;
/// A stored change of state.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Moved {
    /// When the state changed.
    pub at: Now,
    /// The state that was left.
    pub from: State,
    /// The state that was entered.
    pub to: State,
    /// Why, as the log line says; may be empty.
    pub cause: String,
}

impl Instance {
    // Why Master_Down_Timer ran out.
    pub(super) fn silence_cause(&self, now: Instant) -> String {
        let s = &self.silence;
        let quiet = s.since.map_or_else(String::new, |t| format!(" for {}", text::span(now.since(t))));
        let mut cause = match (s.zero_from, s.preempting) {
            (Some(from), _) => format!("{from} stepped down (priority 0)"),
            (None, Some((from, p))) if self.preempt_delay_over => {
                let delay = text::span(self.cfg.preempt_delay);
                format!("preempting {from}: priority {} > {p}, preempt_delay {delay} elapsed", self.priority)
            }
            (None, Some((from, p))) => format!("preempting {from}: priority {} > {p}", self.priority),
            // Asked by one who is Master by now.
            (None, None) => match self.master.or(self.predecessor) {
                Some(m) => format!("no advert{quiet}, last from {m}"),
                None => format!("no advert{quiet}"),
            },
        };
        if let Some((reject, from)) = s.last_reject {
            cause += &format!("; {} dropped, last from {from}: {}", s.rejected, reject.name());
        }
        cause
    }

    pub(super) fn remember(&mut self, mut moved: Moved) {
        let end = (0..=CAUSE.min(moved.cause.len())).rev().find(|i| moved.cause.is_char_boundary(*i)).unwrap_or(0);
        moved.cause.truncate(end);
        if self.moved.len() >= REMEMBERED {
            self.moved.pop_front();
        }
        self.moved.push_back(moved);
    }
}
