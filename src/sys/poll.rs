//! poll(2): the call in which the guard and the helper wait.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Waits until one of `fds` can be read (or has an error, which the read returns), or until `millis` have passed. Returns which can be
/// read; all `false` after the time or a signal.
pub fn readable(fds: &[BorrowedFd<'_>], millis: i32) -> io::Result<Vec<bool>> {
    let mut list: Vec<libc::pollfd> =
        fds.iter().map(|f| libc::pollfd { fd: f.as_raw_fd(), events: libc::POLLIN, revents: 0 }).collect();
    wait(&mut list, millis)?;
    Ok(list.iter().map(|p| p.revents != 0).collect())
}

/// Whether `fd` accepts bytes now; if not, waits until it does or has an error, or until `millis` have passed (-1: for ever).
pub fn writable(fd: BorrowedFd<'_>, millis: i32) -> bool {
    let mut list = [libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLOUT, revents: 0 }];
    wait(&mut list, millis).is_ok() && list[0].revents & libc::POLLOUT != 0
}

fn wait(list: &mut [libc::pollfd], millis: i32) -> io::Result<()> {
    // SAFETY: the slice outlives the call, and its own length is passed.
    let n = unsafe { libc::poll(list.as_mut_ptr(), list.len() as libc::nfds_t, millis) };
    if n >= 0 {
        return Ok(());
    }
    let e = io::Error::last_os_error();
    if e.kind() != io::ErrorKind::Interrupted {
        return Err(e);
    }
    list.iter_mut().for_each(|p| p.revents = 0);
    Ok(())
}
