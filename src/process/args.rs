//! The arguments with which one process of kalived starts another, among them those for the log.
//!
//! The guard writes them (`guard/role.rs`); `start.rs` and the roles read them.

use super::line::{SYSLOG, Target};

/// First argument of the core.
pub const CORE: &str = "--core";
/// First argument of the helper.
pub const HELPER: &str = "--helper";
/// First argument of the process that removes addresses.
pub const REMOVE: &str = "--remove-vips";
/// First argument of the process that writes a dump file; its kind follows.
pub const DUMP: &str = "--dump";
/// The process that removes addresses waits for the end of a frozen core first; the number that follows is how often a core was in
/// charge.
pub const AFTER: &str = "--after-core=";
/// The core waits for `Go`.
pub const STANDBY: &str = "--standby";
/// The log has details as well (`-D`).
pub const DETAIL: &str = "--log-detail";
/// Log to standard error; to the syslog socket; nowhere.
pub const LOGS: [&str; 3] = ["--log=console", "--log=syslog", "--log=none"];
/// Release the terminal once the process runs.
pub const DETACH: &str = "--detach";

/// The configuration, for readers of `/proc/PID/cmdline` alone: programs look there for a path to know whose process it is.
pub const OF: &str = "--of=";

/// Whether `word` is among the arguments.
pub fn has(args: &[String], word: &str) -> bool {
    args.iter().any(|a| a == word)
}

/// The destination of log lines.
pub fn target(args: &[String]) -> Target {
    match LOGS.map(|word| has(args, word)) {
        [_, true, _] => Target::Syslog(SYSLOG.to_owned()),
        [_, _, true] => Target::Nowhere,
        _ => Target::Console,
    }
}
