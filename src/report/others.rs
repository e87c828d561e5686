//! Sync groups, trackers and notifications. Read first: `mod.rs`.

use super::Moment;
use super::describe::record;
use crate::vrrp::State;

record! {
    /// A sync group.
    pub struct Group {
        /// Its name in the file.
        pub name: String,
        /// State of the group: INIT, BACKUP, MASTER or FAULT.
        pub state: State,
        /// Since when it has that state.
        pub since: Moment,
        /// Names of its members, in the order of the file.
        pub members: Vec<String>,
        /// Why it is in FAULT; else empty.
        pub reasons: String,
    }
}

record! {
    /// A script, file, process, check, BFD session or virtual server that is tracked.
    pub struct Tracker {
        /// script, file, process, check, bfd or virtual_server.
        pub kind: String,
        /// Its name in the file.
        pub name: String,
        /// Whether it is up; null: no result yet, or a file.
        pub up: Option<bool>,
        /// The program of a script runs.
        pub running: bool,
        /// The number of a file, as text, for it may be negative; null: none yet, or no file.
        pub value: Option<String>,
    }
}

record! {
    /// Notification scripts, named pipes and mail.
    pub struct Notifications {
        /// Notification scripts that run.
        pub scripts_running: u64,
        /// Virtual routers whose script waits for its turn.
        pub scripts_waiting: u64,
        /// Changes that were dropped because the script was still running. Its next run gets their number.
        pub scripts_skipped: u64,
        /// Named pipes, by path.
        pub pipes: Vec<Pipe>,
        /// Messages that wait for the mail server.
        pub mails_waiting: u64,
    }
}

record! {
    /// A named pipe.
    pub struct Pipe {
        /// Absolute path of the pipe.
        pub path: String,
        /// It is open.
        pub open: bool,
        /// Lines that wait for a reader.
        pub lines_waiting: u64,
        /// Lines lost since the pipe was last empty, because no process read it.
        pub lines_lost: u64,
    }
}
