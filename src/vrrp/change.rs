//! A change that is reported to people and programs, and its subject.
//!
//! Read first: `fsm.rs`. A change is made where the state is logged, so that log, hooks, pipes and mail see one sequence; the notifier
//! numbers it. A sync group has changes of its own, after those of its members, with priority 0.

use super::fsm::State;
use crate::time::Now;
use core::fmt;

/// The subject of a change, by name in the file. A virtual router and a sync group may have the same name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Subject {
    /// A `vrrp_instance`, by name.
    Instance(String),
    /// A `vrrp_sync_group`, by name.
    Group(String),
    /// A `virtual_server`, by the name that log lines use.
    VirtualServer(String),
    /// A `real_server` of one virtual server.
    RealServer {
        /// The real server as log lines name it: `[10.77.0.11]:tcp:80`.
        server: String,
        /// The virtual server as log lines name it.
        of: String,
    },
}

impl Subject {
    /// The name of a `vrrp_instance`; `None`: it is something else.
    pub fn instance(&self) -> Option<&str> {
        match self {
            Subject::Instance(name) => Some(name),
            _ => None,
        }
    }

    /// The first word of a line in a pipe, and of the words that a generic script is given.
    pub fn kind(&self) -> &'static str {
        match self {
            Subject::Instance(_) => "INSTANCE",
            Subject::Group(_) => "GROUP",
            Subject::VirtualServer(_) => "VS",
            Subject::RealServer { .. } => "RS",
        }
    }
    /// The name in messages; of a real server without that of its virtual server.
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

/// The kind of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum What {
    /// A state was entered; never Init.
    State(State),
    /// The daemon stops, in any state.
    Stop,
    /// The subject is no longer in the configuration, and has a `notify_deleted`.
    Deleted,
    /// The subject is no longer in the configuration and has no `notify_deleted`: reported as FAULT (`notify_fault` is not run for it).
    Removed,
    /// As Master, a lower-priority advert was answered.
    RxLowerPri,
    /// Tracking changed the priority of a Master (`true`) or Backup.
    Priority(bool),
    /// A real server takes connections; a virtual server has its quorum.
    Up,
    /// A real server takes no connections; a virtual server has lost its quorum.
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
    /// The state that a reader assumes afterwards, if the change is about the state.
    pub fn state_word(self) -> Option<&'static str> {
        match self {
            What::RxLowerPri | What::Priority(_) => None,
            _ => Some(self.word()),
        }
    }
}

/// One change of a subject, as log lines, notify scripts, pipes and mails report it.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Change {
    /// Whose state or priority changed.
    pub who: Subject,
    /// The new state, or another kind of change.
    pub what: What,
    /// The effective priority; 0 for a subject without one.
    pub priority: u8,
    /// The cause, as text; may be empty.
    pub cause: String,
    /// When the state changed.
    pub at: Now,
}
