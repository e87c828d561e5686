//! Running in the background: two forks before the ring exists, and a pipe on which the daemon reports the result of its start.
//!
//! The command waits for that report: exit code 0 means that the daemon has started; for a failed start it is the daemon's own code, and
//! the message is still on the terminal. Standard input, output and error lead to /dev/null only after the report.

use crate::sys::socket;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// The background process's duty to report.
#[derive(Debug)]
pub struct Start(Option<OwnedFd>);

impl Start {
    /// For the foreground: no process waits for a report.
    pub fn foreground() -> Start {
        Start(None)
    }

    /// The start succeeded: releases the terminal and the waiting command.
    pub fn ready(self) {
        if self.0.is_some() {
            null_stdio();
        }
        self.report(0);
    }

    /// The start failed; the command ends with `code`.
    pub fn failed(self, code: u8) {
        self.report(code);
    }

    fn report(self, code: u8) {
        if let Some(fd) = self.0 {
            // SAFETY: one byte from a local; a reader that is gone is an EPIPE we do not care about.
            unsafe { libc::write(fd.as_raw_fd(), (&raw const code).cast(), 1) };
        }
    }
}

/// Forks twice. Returns in the grandchild only; the command itself waits for the report and exits with it.
pub fn background() -> io::Result<Start> {
    let mut ends = [0i32; 2];
    // SAFETY: two ints to write to.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: two new file descriptors that have no other owner.
    let (rx, tx) = unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) };
    // SAFETY: single-threaded, so the child may go on as it likes.
    match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()),
        0 => {}
        _ => {
            drop(tx);
            let mut code = 1u8;
            // SAFETY: one byte to a local. End of file (the daemon died before it could report) leaves the 1.
            while unsafe { libc::read(rx.as_raw_fd(), (&raw mut code).cast(), 1) } < 0
                && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
            {}
            // SAFETY: leaves without running the exit handlers and drops that belong to the daemon.
            unsafe { libc::_exit(i32::from(code)) }
        }
    }
    drop(rx);
    // SAFETY: plain calls without pointers. A session of its own, then a process that can never regain a terminal.
    unsafe {
        libc::setsid();
        match libc::fork() {
            -1 => libc::_exit(1),
            0 => {}
            _ => libc::_exit(0),
        }
        libc::chdir(c"/".as_ptr());
        libc::umask(0o022);
    }
    Ok(Start(Some(tx)))
}

/// Releases the terminal: 0, 1 and 2 lead to /dev/null.
pub fn null_stdio() {
    // SAFETY: a constant path; dup2 onto 0, 1 and 2 replaces them and nothing else.
    unsafe {
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        if null >= 0 {
            for fd in 0..3 {
                libc::dup2(null, fd);
            }
            if null > 2 {
                libc::close(null);
            }
        }
    }
}

/// The capabilities that VRRP needs and that the effective set of this process lacks. `None`: the set cannot be read.
pub fn missing_capabilities() -> Option<Vec<&'static str>> {
    const CAP_NET_ADMIN: u64 = 1 << 12;
    const CAP_NET_RAW: u64 = 1 << 13;
    let effective = effective_capabilities()?;
    let want = [(CAP_NET_ADMIN, "CAP_NET_ADMIN"), (CAP_NET_RAW, "CAP_NET_RAW")];
    Some(want.iter().filter(|(bit, _)| effective & bit == 0).map(|(_, name)| *name).collect())
}

/// The effective set as the kernel prints it.
pub(super) fn effective_capabilities() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

/// Whether a raw socket can be opened in this network namespace: capabilities count per namespace, so it has to be tried.
pub fn may_open_raw() -> io::Result<()> {
    socket::open_packet().map(drop)
}
