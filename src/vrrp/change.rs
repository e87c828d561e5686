//! What people and programs are told: one change of one virtual router.
//!
//! Read first: `fsm.rs`. Made where the state is told to the log, so that log, hooks, pipes and mail see one sequence;
//! numbered by the notifier. Sync groups will have changes of their own (`GROUP`, priority 0).

use super::fsm::State;
use crate::id::VrKey;
use crate::time::Now;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum What {
    /// A state was entered; never Init.
    State(State),
    /// The daemon stops, in whatever state.
    Stop,
    /// It is no longer in the configuration, and `notify_deleted` asks for that word.
    Deleted,
    /// It is no longer in the configuration, and for lack of a better word that is a FAULT (`notify_fault` is not run for it).
    Removed,
    /// As Master, a lower-priority advert was answered.
    RxLowerPri,
    /// Tracking changed the priority of a Master (`true`) or Backup.
    Priority(bool),
}

impl What {
    /// The word in hooks' arguments and pipes.
    pub fn word(self) -> &'static str {
        match self {
            What::State(s) => s.word(),
            What::Stop => "STOP",
            What::Deleted => "DELETED",
            What::Removed => "FAULT",
            What::RxLowerPri => "MASTER_RX_LOWER_PRI",
            What::Priority(true) => "MASTER_PRIORITY",
            What::Priority(false) => "BACKUP_PRIORITY",
        }
    }
    /// The state a reader believes afterwards, if this is about the state.
    pub fn state_word(self) -> Option<&'static str> {
        match self {
            What::RxLowerPri | What::Priority(_) => None,
            _ => Some(self.word()),
        }
    }
}

/// One change.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Change {
    /// Whose.
    pub vr: VrKey,
    /// Its name in the file.
    pub name: String,
    /// What happened.
    pub what: What,
    /// The effective priority.
    pub priority: u8,
    /// Why, for people; may be empty.
    pub cause: String,
    /// When.
    pub at: Now,
}
