//! Unix sockets of the guard: the control socket (SOCK_SEQPACKET keeps message boundaries), and datagrams to the service manager. No call
//! here waits, except in a client that set a limit.
//!
//! Read first: `seqpacket.rs` (messages with descriptors). Deliberately absent: credentials by message; SO_PEERCRED is what the kernel
//! recorded when the peer connected, and cannot be forged.

use super::seqpacket;
use crate::time::Duration;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// Connections that may wait to be accepted: as many as are served at the same time (`guard/ctl.rs`).
const BACKLOG: i32 = 8;

struct Address(libc::sockaddr_un, libc::socklen_t);

impl Address {
    // `@name`, as systemd writes it, is a name in the abstract namespace when `abstract_too`.
    fn of(name: &[u8], abstract_too: bool) -> io::Result<Address> {
        // SAFETY: all-zero is a valid sockaddr_un.
        let mut a: libc::sockaddr_un = unsafe { core::mem::zeroed() };
        a.sun_family = libc::AF_UNIX as u16;
        // A path ends in a zero byte, an abstract name by its length.
        if name.is_empty() || name.len() >= a.sun_path.len() || name.contains(&0) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "no name for a unix socket, which is 1 to 107 bytes",
            ));
        }
        for (to, from) in a.sun_path.iter_mut().zip(name) {
            *to = *from as libc::c_char;
        }
        let mut len = core::mem::offset_of!(libc::sockaddr_un, sun_path) + name.len();
        match name.first() {
            Some(b'@') if abstract_too => a.sun_path[0] = 0,
            _ => len += 1,
        }
        Ok(Address(a, len as libc::socklen_t))
    }
    fn path(path: &Path) -> io::Result<Address> {
        Address::of(path.as_os_str().as_bytes(), false)
    }
    fn as_ptr(&self) -> *const libc::sockaddr {
        (&raw const self.0).cast()
    }
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn count(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

fn new(kind: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    let fd = check(unsafe { libc::socket(libc::AF_UNIX, kind | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: a new file descriptor that has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn connect_to(fd: &OwnedFd, to: &Address) -> io::Result<()> {
    // SAFETY: the address and its length belong together and outlive the call.
    check(unsafe { libc::connect(fd.as_raw_fd(), to.as_ptr(), to.1) }).map(drop)
}

/// Listens at `path`, readable and writable for the owner only. A socket without a listener is replaced; anything else of that name, a
/// symbolic link too, is kept and is an error. `AddrInUse`: a process listens there. The pid file's lock, not this function, excludes two
/// processes that start at the same moment.
pub fn listen(path: &Path) -> io::Result<OwnedFd> {
    let at = Address::path(path)?;
    match std::fs::symlink_metadata(path) {
        Ok(m) if m.file_type().is_socket() => {
            let probe = new(libc::SOCK_SEQPACKET | libc::SOCK_NONBLOCK)?;
            match connect_to(&probe, &at) {
                Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path)?,
                _ => return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there")),
            }
        }
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is something that is not a socket")),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let fd = new(libc::SOCK_SEQPACKET | libc::SOCK_NONBLOCK)?;
    // SAFETY: no pointers. bind creates the file with the mode of the unbound socket (less the umask): there is no time at which
    // other users may connect, and the umask of the process need not change.
    check(unsafe { libc::fchmod(fd.as_raw_fd(), 0o600) })?;
    // SAFETY: the address and its length outlive the call. bind follows no link: a name that exists is EADDRINUSE.
    check(unsafe { libc::bind(fd.as_raw_fd(), at.as_ptr(), at.1) })?;
    // SAFETY: no pointers.
    check(unsafe { libc::listen(fd.as_raw_fd(), BACKLOG) })?;
    Ok(fd)
}

/// The next connection; `WouldBlock`: there is none.
pub fn accept(listener: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no address is asked for.
    let fd =
        check(unsafe { libc::accept4(listener.as_raw_fd(), core::ptr::null_mut(), core::ptr::null_mut(), flags) })?;
    // SAFETY: a new file descriptor that has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Connects a client. Waits at most `limit` here and in each later call on the socket.
pub fn connect(path: &Path, limit: Duration) -> io::Result<OwnedFd> {
    let fd = new(libc::SOCK_SEQPACKET)?;
    let t = libc::timeval {
        tv_sec: libc::time_t::try_from(limit.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_usec: libc::suseconds_t::from(limit.subsec_micros()),
    };
    for option in [libc::SO_SNDTIMEO, libc::SO_RCVTIMEO] {
        let len = size_of::<libc::timeval>() as libc::socklen_t;
        // SAFETY: `t` and its length outlive the call.
        check(unsafe { libc::setsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, option, (&raw const t).cast(), len) })?;
    }
    connect_to(&fd, &Address::path(path)?)?;
    Ok(fd)
}

/// The user id the peer had when it connected.
pub fn peer_uid(fd: BorrowedFd<'_>) -> io::Result<u32> {
    let mut cred = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes to `cred`, both outlive the call.
    check(unsafe {
        libc::getsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_PEERCRED, (&raw mut cred).cast(), &raw mut len)
    })?;
    Ok(cred.uid)
}

/// Our own effective user id.
pub fn own_uid() -> u32 {
    // SAFETY: no pointers, cannot fail.
    unsafe { libc::geteuid() }
}

/// Receives one message without waiting: its whole length, which is more than `buf.len()` when it was cut. Zero: the peer has closed. The
/// kernel closes descriptors that come with it.
pub fn recv(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
    // SAFETY: `buf` is written to for at most its length.
    count(unsafe { libc::recv(fd.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len(), flags) })
}

/// Sends one message without waiting, on a connected socket, with a descriptor if one is given.
pub fn send(fd: BorrowedFd<'_>, bytes: &[u8], gift: Option<BorrowedFd<'_>>) -> io::Result<()> {
    seqpacket::send_to(fd, None, bytes, gift.as_slice())
}

/// Receives one message and the descriptor that came with it. Waits as long as the socket does. A message longer than `buf` is an error
/// (`InvalidData`).
pub fn recv_with_fd(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    seqpacket::take(fd, buf, true).map(|(n, fds)| (n, fds.into_iter().next()))
}

/// A datagram socket to send from; it has no name and receives nothing.
pub fn datagram() -> io::Result<OwnedFd> {
    new(libc::SOCK_DGRAM | libc::SOCK_NONBLOCK)
}

/// Sends one datagram without waiting to a path, or to `@name` in the abstract namespace.
pub fn send_datagram(from: &OwnedFd, to: &str, bytes: &[u8], gift: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let to = Address::of(to.as_bytes(), true)?;
    seqpacket::send_to(from.as_fd(), Some((&to.0, to.1)), bytes, gift.as_slice())
}

/// Whether a file descriptor survives an execve.
pub fn keep_across_exec(fd: BorrowedFd<'_>, keep: bool) -> io::Result<()> {
    let flags = if keep { 0 } else { libc::FD_CLOEXEC };
    // SAFETY: no pointers.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, flags) }).map(drop)
}

/// Takes over a descriptor that this process was started with, and sets close-on-exec on it. The caller owns the number: it comes from
/// the process that started this one, and is taken once. An error when the number is not open, or is 0, 1 or 2.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    if number < 3 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: no pointers; a number that is not open is EBADF.
    check(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: it is open (just checked), and by the contract above no other part of this process owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
