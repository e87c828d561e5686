//! Where log lines go: fd 2, or the syslog socket. Opening only; writing is the ring's (`daemon/log.rs`).

use super::op::Fd;
use super::socket::{SockAddr, connect, socket};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::rc::Rc;

/// A count on standard error of its own, so that nobody's close can take it away.
pub fn stderr() -> io::Result<Fd> {
    // SAFETY: no pointers; a bad fd 2 is an error.
    let fd = unsafe { libc::fcntl(2, libc::F_DUPFD_CLOEXEC, 3) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a fresh fd that nobody else has.
    Ok(Rc::new(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// A datagram socket connected to `path` (`/dev/log`). Never waits: connecting a datagram socket is local.
pub fn syslog(path: &str) -> io::Result<Fd> {
    let to = SockAddr::unix(path).ok_or(io::ErrorKind::InvalidInput)?;
    let fd = socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0)?;
    connect(fd.as_raw_fd(), &to)?;
    Ok(Rc::new(fd))
}
