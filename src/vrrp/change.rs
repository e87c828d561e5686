//! What people and programs are told: one change, and whose it is.
//!
//! Read first: `fsm.rs`. Made where the state is told to the log, so that log, hooks, pipes and mail see one sequence;
//! numbered by the notifier. A sync group has changes of its own, after those of its members, with priority 0.

use super::fsm::State;
use crate::time::Now;
use core::fmt;

/// Whom a change is about, by name in the file. A virtual router and a sync group may have the same name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Subject {
    /// `vrrp_instance`.
    Instance(String),
    /// `vrrp_sync_group`.
    Group(String),
    /// `virtual_server`.
    VirtualServer(String),
    /// `real_server`.
    RealServer {
        /// Itself.
        server: String,
        /// Its `virtual_server`.
        of: String,
    },
}

impl Subject {
    /// The first word of a line in a pipe, and of the words that a generic script gets.
    pub fn kind(&self) -> &'static str {
        match self {
            Subject::Instance(_) => "INSTANCE",
            Subject::Group(_) => "GROUP",
            Subject::VirtualServer(_) => "VS",
            Subject::RealServer { .. } => "RS",
        }
    }
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Subject::Instance(name) | Subject::Group(name) | Subject::VirtualServer(name) => name,
            Subject::RealServer { server, .. } => server,
        }
    }
}

impl fmt::Display for Subject {
    // As in the log: "(VI_1) ...".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Instance(name) => f.write_str(name),
            Subject::Group(name) => write!(f, "vrrp_sync_group {name}"),
            Subject::VirtualServer(name) => write!(f, "virtual_server {name}"),
            Subject::RealServer { server, of } => write!(f, "real_server {server} of {of}"),
        }
    }
}

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
    /// A real server takes connections; a virtual server has its quorum.
    Up,
    /// Or not.
    Down,
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
            What::Up => "UP",
            What::Down => "DOWN",
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
    pub who: Subject,
    /// What happened.
    pub what: What,
    /// The effective priority; 0 for who has none.
    pub priority: u8,
    /// Why, for people; may be empty.
    pub cause: String,
    /// When.
    pub at: Now,
}
