//! The processes, the loop and the log. Read first: `mod.rs`.

use super::Moment;
use super::describe::record;

record! {
    /// The processes. A value that is null does not exist, or the VRRP process did not report it in time.
    pub struct Daemon {
        /// Version of the guard, which answers.
        pub version: String,
        /// Its process number, the one in the pid file.
        pub pid: u32,
        /// The configuration file, absolute.
        pub configuration: String,
        /// Process number of the core, which speaks VRRP.
        pub core_pid: Option<u32>,
        /// Since when the core runs.
        pub core_since: Option<Moment>,
        /// Cores started so far. Each one after the first followed one that died, or an upgrade.
        pub cores: u32,
        /// Process number of the helper.
        pub helper_pid: Option<u32>,
        /// Scripts that run now.
        pub programs: u64,
        /// The result of the last reload; null: none yet.
        pub last_reload: Option<String>,
        /// Why a part of the report is missing; null: it is whole.
        pub problem: Option<String>,
    }
}

record! {
    /// The loop of the VRRP process. Each count begins with that process.
    pub struct Loop {
        /// Operations that the kernel has been given and has not completed.
        pub operations_in_flight: u64,
        /// Kernel timers that adverts are armed on.
        pub advert_timers: u64,
        /// Connections for checks and mail.
        pub connections: u64,
        /// There is a helper process.
        pub helper: bool,
        /// Real-time priority; null: none.
        pub realtime_priority: Option<u8>,
        /// Processor time used.
        pub cpu_seconds: f64,
        /// Datagrams longer than any advert, dropped.
        pub datagrams_too_long: u64,
        /// Datagrams whose sender could not be read, dropped.
        pub datagrams_without_sender: u64,
        /// Times the buffers for datagrams were used up; nothing is lost by it.
        pub buffers_used_up: u64,
        /// Gratuitous ARPs and neighbour advertisements that could not be sent and were tried again.
        pub frames_not_sent: u64,
        /// Completions of no known operation.
        pub unknown_completions: u64,
        /// Netlink messages that could not be understood.
        pub malformed_netlink_messages: u64,
    }
}

record! {
    /// The log of the VRRP process.
    pub struct Log {
        /// Lines that the system log did not take in time.
        pub lines_lost: u64,
    }
}
