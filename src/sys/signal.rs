//! Signals as bytes in a pipe that the ring reads: they are handled in the order of all other input.
//!
//! Deliberately absent: signalfd, which needs blocked signals, and so a mask that children inherit.

use super::op::Fd;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::rc::Rc;

/// Signals that become bytes; the reader defines their meaning. SIGALRM and the last four are here because some tools send them to every
/// process that could be a keepalived, and without a handler they end a process: SIGRTMIN+2 of glibc (36) and of musl (37), SIGRTMAX-1
/// and SIGRTMAX.
pub const TAKEN: [i32; 11] = [
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGHUP,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGQUIT,
    libc::SIGALRM,
    36,
    37,
    63,
    64,
];
/// SIGTERM, as the byte in the pipe.
pub const TERM: u8 = libc::SIGTERM as u8;
/// SIGINT, as the byte in the pipe.
pub const INT: u8 = libc::SIGINT as u8;
/// SIGHUP, as the byte in the pipe.
pub const HUP: u8 = libc::SIGHUP as u8;
/// SIGUSR1, as the byte in the pipe.
pub const USR1: u8 = libc::SIGUSR1 as u8;
/// SIGUSR2, as the byte in the pipe.
pub const USR2: u8 = libc::SIGUSR2 as u8;

/// SIGQUIT, as the byte in the pipe.
pub const QUIT: u8 = libc::SIGQUIT as u8;
/// SIGCHLD, for a process with children.
pub const CHLD: u8 = libc::SIGCHLD as u8;

/// Whether this signal, as the end of a process, came from another process: no fault of a program raises it.
pub fn is_from_outside(s: u8) -> bool {
    [libc::SIGKILL as u8, TERM, INT].contains(&s)
}

/// Ignores all signals of [`TAKEN`], and SIGPIPE.
pub fn ignore() {
    for signal in TAKEN.into_iter().chain([libc::SIGPIPE]) {
        // SAFETY: SIG_IGN is a valid disposition.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// Adds all signals of [`TAKEN`] to `set`. Async-signal-safe: it is called between fork and exec.
///
/// # Safety
/// `set` is initialised.
pub unsafe fn add_taken(set: &mut libc::sigset_t) {
    for signal in TAKEN {
        // SAFETY: it is a valid set.
        unsafe { libc::sigaddset(set, signal) };
    }
}

/// Blocks all of them until [`install_with_children`]: a process that receives SIGTERM during its start completes the start first, and
/// then removes everything it made.
pub fn hold() {
    // SAFETY: all-zero is a valid set, which outlives the calls.
    unsafe {
        let mut held: libc::sigset_t = core::mem::zeroed();
        libc::sigemptyset(&mut held);
        add_taken(&mut held);
        libc::sigprocmask(libc::SIG_BLOCK, &held, core::ptr::null_mut());
    }
}

/// Installs the handlers and returns the read end. SIGPIPE is ignored: a write without a reader fails with EPIPE.
pub fn install() -> io::Result<Fd> {
    install_for(&TAKEN).map(Rc::new)
}

/// As [`install`], for a process with children too. Reading never waits.
pub fn install_with_children() -> io::Result<OwnedFd> {
    let all: Vec<i32> = TAKEN.into_iter().chain([libc::SIGCHLD]).collect();
    install_for(&all)
}

/// The signals received, at most 64 at a time.
pub fn take(from: &OwnedFd) -> Vec<u8> {
    let mut buf = [0u8; 64];
    // SAFETY: the buffer outlives the call, and its own length is passed.
    let n = unsafe { libc::read(from.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len()) };
    usize::try_from(n).ok().and_then(|n| buf.get(..n)).unwrap_or_default().to_vec()
}

fn install_for(signals: &[i32]) -> io::Result<OwnedFd> {
    let mut ends = [0i32; 2];
    // SAFETY: two ints to write to. Non-blocking: a handler must never wait, and a full pipe has a byte to wake us.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: two new file descriptors that have no other owner.
    let (rx, tx) = unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) };
    let tx = std::sync::Arc::new(tx);
    for &signal in signals {
        let tx = tx.clone();
        let byte = signal as u8;
        let action = move || {
            // SAFETY: write(2) is async-signal-safe; one byte from this closure's own memory; errno is put back so
            // that the interrupted code does not see ours.
            unsafe {
                let errno = *libc::__errno_location();
                libc::write(tx.as_raw_fd(), (&raw const byte).cast(), 1);
                *libc::__errno_location() = errno;
            }
        };
        // SAFETY: the action only calls write(2) and allocates, locks and panics nowhere.
        unsafe { signal_hook::low_level::register(signal, action) }?;
    }
    // SAFETY: SIG_IGN is a valid disposition.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    // The signals were blocked: by `hold`, by the parent process, or over an execve.
    // SAFETY: all-zero is a valid set, which outlives the calls.
    unsafe {
        let mut none: libc::sigset_t = core::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, core::ptr::null_mut());
    }
    Ok(rx)
}
