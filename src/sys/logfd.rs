//! The destination of log lines: fd 2, or the syslog socket. The loop writes through the ring (`daemon/log.rs`); the guard writes without
//! waiting, or drops the line.

use super::op::Fd;
use super::poll;
use super::socket::{SockAddr, connect, socket};
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::rc::Rc;

/// A duplicate of standard error, so that closing fd 2 elsewhere does not close it.
pub fn stderr() -> io::Result<Fd> {
    // SAFETY: no pointers; a bad fd 2 is an error.
    let fd = unsafe { libc::fcntl(2, libc::F_DUPFD_CLOEXEC, 3) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a new file descriptor that has no other owner.
    Ok(Rc::new(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// Whether standard error is a stream of systemd's journal, which reads a priority in front of each line
/// (`$JOURNAL_STREAM`, systemd.exec(5)).
pub fn stderr_is_journal() -> bool {
    use std::os::unix::fs::MetadataExt;
    static KNOWN: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *KNOWN.get_or_init(|| {
        let named = std::env::var("JOURNAL_STREAM").ok();
        let named = named.as_deref().and_then(|v| v.split_once(':'));
        let ids = named.and_then(|(dev, ino)| Some((dev.parse().ok()?, ino.parse().ok()?)));
        // The file that fd 2 refers to.
        let there = std::fs::metadata("/proc/self/fd/2").map(|m| (m.dev(), m.ino())).ok();
        ids.is_some() && ids == there
    })
}

/// A datagram socket connected to `path` (`/dev/log`). Never waits: connecting a datagram socket is local.
pub fn syslog(path: &str) -> io::Result<Fd> {
    let to = SockAddr::unix(path).ok_or(io::ErrorKind::InvalidInput)?;
    let fd = socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0)?;
    connect(fd.as_raw_fd(), &to)?;
    Ok(Rc::new(fd))
}

/// Writes without waiting: to a socket, or to standard error of any kind. An error of kind `WouldBlock`: the bytes are not accepted at
/// present.
pub fn write_now(fd: impl AsFd, bytes: &[u8], is_socket: bool) -> io::Result<()> {
    let f = fd.as_fd();
    let iov = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: the bytes and the vector outlive the call and are only read. Offset -1: where the file stands.
    let n = unsafe {
        match is_socket {
            true => {
                libc::send(f.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
            }
            false => libc::pwritev2(f.as_raw_fd(), &iov, 1, -1, libc::RWF_NOWAIT),
        }
    };
    let e = match n {
        0.. => return Ok(()),
        _ => io::Error::last_os_error(),
    };
    if is_socket || ![Some(libc::EOPNOTSUPP), Some(libc::EINVAL), Some(libc::ENOSYS)].contains(&e.raw_os_error()) {
        return Err(e);
    }
    // A terminal, or a file system that does not support RWF_NOWAIT: the only check possible beforehand is whether there is room.
    if !poll::writable(f, 0) {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    // SAFETY: as above.
    let n = unsafe { libc::write(f.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
    if n < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
