//! The descendants of this process: found in /proc, and signalled so that a process which got the same number since is never hit.
//!
//! Read first: `child.rs`.

use std::collections::BTreeSet;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Every process below this one, parents first, at most `most`.
pub fn descendants(most: usize) -> Vec<u32> {
    below(std::process::id(), most)
}

/// Every process below `root`.
pub fn below(root: u32, most: usize) -> Vec<u32> {
    let mut all = Vec::new();
    let mut seen = BTreeSet::new();
    let mut next = vec![root];
    while let Some(pid) = next.pop() {
        // Each thread has children of its own.
        let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for task in tasks.flatten() {
            let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            for child in text.split_whitespace().filter_map(|w| w.parse::<u32>().ok()) {
                if all.len() < most && seen.insert(child) {
                    all.push(child);
                    next.push(child);
                }
            }
        }
    }
    all
}

/// The parent of a process.
fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // After the name, which may contain any characters: the state, then the parent.
    stat.rsplit_once(") ")?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Whether a process is below this one.
fn is_below(mut pid: u32) -> bool {
    let us = std::process::id();
    // A longer chain of parents does not lead to this process.
    for _ in 0..64 {
        match parent(pid) {
            Some(p) if p == us => return true,
            Some(p) if p > 1 => pid = p,
            _ => return false,
        }
    }
    false
}

/// Bytes of an environment that are read; the kernel allows one string of this length.
const ENVIRONMENT: u64 = 128 * 1024;

/// Whether a process was started with that variable in its environment. False where it may not be read.
pub fn has_variable(pid: u32, name: &str) -> bool {
    use std::io::Read;
    let Ok(file) = std::fs::File::open(format!("/proc/{pid}/environ")) else { return false };
    let mut all = Vec::new();
    // Bytes that were read before an error count, too.
    let _ = file.take(ENVIRONMENT).read_to_end(&mut all);
    all.split(|b| *b == 0).any(|v| v.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'=')))
}

/// Sends SIGTERM or SIGKILL to a process that [`descendants`] found, if it still is a descendant. A pidfd holds its number between the
/// check and the signal.
pub fn signal_descendant(pid: u32, hard: bool) {
    let Ok(number) = i32::try_from(pid) else { return };
    // SAFETY: no pointers; the result is a new file descriptor that has no other owner.
    let fd = unsafe {
        match i32::try_from(libc::syscall(libc::SYS_pidfd_open, number, 0)) {
            Ok(fd @ 0..) => OwnedFd::from_raw_fd(fd),
            _ => return,
        }
    };
    if !is_below(pid) {
        return;
    }
    let signal = if hard { libc::SIGKILL } else { libc::SIGTERM };
    // SAFETY: no siginfo is passed with the signal.
    unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd.as_raw_fd(), signal, core::ptr::null::<u8>(), 0) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_found_by_its_whole_name() {
        let us = std::process::id();
        assert!(has_variable(us, "PATH"));
        assert!(!has_variable(us, "PAT") && !has_variable(us, "NO_SUCH_VARIABLE_HERE"));
        assert!(!has_variable(u32::MAX, "PATH"));
    }
}
