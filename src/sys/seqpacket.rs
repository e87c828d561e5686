//! A pair of sockets that carry whole messages between two of our processes, with at most one fd beside the bytes.
//!
//! Deliberately absent: waiting. A full or an empty socket is `WouldBlock`; who waits, does it with `poll` or the ring.

use super::socket::{buffer, errno_or};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Send buffer asked for, bytes. The kernel accounts about 1.3 KiB for a small message: this holds some 3,000, twelve for each
/// router of a full set of 255.
const BUFFER: i32 = 4 << 20;

/// What came.
#[derive(Debug)]
pub struct Received {
    /// Bytes in the buffer; zero: the other side is gone.
    pub len: usize,
    /// It was longer than the buffer.
    pub truncated: bool,
    /// The fd that came with it.
    pub fd: Option<OwnedFd>,
}

/// Two connected ends.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0i32; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: two ints to write to.
    errno_or(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) })?;
    for end in ends {
        buffer(end, libc::SO_SNDBUFFORCE, libc::SO_SNDBUF, BUFFER);
    }
    // SAFETY: two fresh fds that nobody else has.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

// A control message with one fd in it: 16 bytes of header, 4 of fd, 4 of padding. Aligned as the header wants it.
#[repr(C, align(8))]
struct Control([u8; 24]);

fn message(iov: &mut libc::iovec) -> libc::msghdr {
    // SAFETY: all-zero is a valid msghdr: null pointers with zero lengths.
    let mut m: libc::msghdr = unsafe { core::mem::zeroed() };
    m.msg_iov = iov;
    m.msg_iovlen = 1;
    m
}

/// Sends one message, or fails at once.
pub fn send(to: impl AsFd, bytes: &[u8], pass: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let mut iov = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut m = message(&mut iov);
    let mut control = Control([0; 24]);
    if let Some(fd) = pass {
        control.0[..8].copy_from_slice(&20usize.to_ne_bytes());
        control.0[8..12].copy_from_slice(&libc::SOL_SOCKET.to_ne_bytes());
        control.0[12..16].copy_from_slice(&libc::SCM_RIGHTS.to_ne_bytes());
        control.0[16..20].copy_from_slice(&fd.as_raw_fd().to_ne_bytes());
        m.msg_control = control.0.as_mut_ptr().cast();
        m.msg_controllen = control.0.len();
    }
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the message, its vector, its bytes and its control data are locals or borrowed for the call; all are only read.
    let n = unsafe { libc::sendmsg(to.as_fd().as_raw_fd(), &m, flags) };
    if n < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Receives one message, or fails at once.
pub fn recv(from: impl AsFd, bytes: &mut [u8]) -> io::Result<Received> {
    let mut iov = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let mut m = message(&mut iov);
    let mut control = Control([0; 24]);
    m.msg_control = control.0.as_mut_ptr().cast();
    m.msg_controllen = control.0.len();
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: as in `send`; the kernel writes within the lengths given.
    let n = unsafe { libc::recvmsg(from.as_fd().as_raw_fd(), &mut m, flags) };
    let len = usize::try_from(n).map_err(|_| io::Error::last_os_error())?;
    let int = |at: usize| i32::from_ne_bytes(core::array::from_fn(|i| control.0[at + i]));
    let rights = m.msg_controllen >= 20 && (int(8), int(12)) == (libc::SOL_SOCKET, libc::SCM_RIGHTS);
    // SAFETY: the kernel has just installed this fd for us; there is room for one, so there is no second one to lose.
    let fd = rights.then(|| unsafe { OwnedFd::from_raw_fd(int(16)) });
    Ok(Received { len, truncated: m.msg_flags & libc::MSG_TRUNC != 0, fd })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek, Write};

    #[test]
    fn messages_stay_whole_and_carry_an_fd() {
        let (a, b) = pair().unwrap();
        let mut file = super::super::memfd::create("test").unwrap();
        file.write_all(b"inside").unwrap();
        send(&a, b"one", None).unwrap();
        send(&a, b"two", Some(file.as_fd())).unwrap();
        let mut buf = [0u8; 8];
        let one = recv(&b, &mut buf).unwrap();
        assert_eq!((one.len, one.fd.is_none(), &buf[..3]), (3, true, &b"one"[..]));
        let two = recv(&b, &mut buf[..2]).unwrap();
        assert!(two.truncated && two.len == 2);
        let mut same = std::fs::File::from(two.fd.unwrap());
        let mut text = String::new();
        same.rewind().unwrap();
        same.read_to_string(&mut text).unwrap();
        assert_eq!(text, "inside");
        assert_eq!(recv(&b, &mut buf).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(a);
        assert_eq!(recv(&b, &mut buf).unwrap().len, 0);
    }

    #[test]
    fn a_full_socket_refuses_and_holds_what_a_storm_of_hooks_needs() {
        let (a, _b) = pair().unwrap();
        let mut sent = 0;
        while send(&a, &[7; 256], None).is_ok() {
            sent += 1;
            assert!(sent < 1_000_000, "bounded by the kernel");
        }
        assert!(sent > 100, "{sent}");
    }
}
