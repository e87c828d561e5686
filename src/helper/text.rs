//! The helper's texts for the log.

use std::fmt::Display;
use std::io;

/// A message of the core cannot be decoded.
pub const MALFORMED: &str = "helper: a message of the core could not be read";

/// There are no process events.
pub fn no_connector(why: &dyn Display) -> String {
    format!("track_process: the kernel's process events are not available ({why}): /proc is read every 200 ms instead")
}

/// There are no file events.
pub fn no_inotify(why: &io::Error) -> String {
    format!(
        "track_file: changes of files are not told by the kernel here ({why}): they are looked for every second instead"
    )
}

/// A named pipe that is not used.
pub fn fifo_refused(path: &str, why: &str) -> String {
    format!("notify fifo {path} is not used: {why}")
}

/// A named pipe that existed before and that every user can open.
pub fn fifo_open(path: &str, why: &str) -> String {
    format!("notify fifo {path} can be read or written by everybody ({why}): others may take its lines; chmod 0600 it")
}

/// A tracked file that is not read.
pub fn file_refused(path: &str, why: &str) -> String {
    format!("track_file {path} is not read: {why}")
}

/// A named pipe that could not be removed.
pub fn fifo_left(path: &str, why: &io::Error) -> String {
    format!("notify fifo {path} could not be removed: {why}")
}

/// The former value of a sysctl could not be written down.
pub fn not_noted(why: &io::Error) -> String {
    format!(
        "sysctls cannot be put back if all processes are killed: their former values could not be written down ({why})"
    )
}
