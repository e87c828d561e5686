//! Messages with descriptors between the processes of kalived: a connected pair of `SOCK_SEQPACKET` unix sockets.
//!
//! A message arrives whole or not at all, in order, and the end of the other process is read as an end of file. No call here waits: a
//! full queue is `WouldBlock`, and the caller decides what to do about it. Deliberately absent: the encoding (each line between two
//! processes has its own), credentials (both ends come from one `pair`).

use super::socket::buffer;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Most descriptors in one message: a new core is given its control socket, image, snapshot and helper line together.
pub const MOST_FDS: usize = 8;

/// Send buffer requested, bytes. The kernel accounts about 1.3 KiB for a small message: the buffer holds some 3,000, twelve for each
/// router of a full set of 255 whose hooks run at once.
const BUFFER: i32 = 4 << 20;

/// Words of ancillary data for [`MOST_FDS`] fds: a header of 16 bytes, and 4 bytes each.
const CONTROL: usize = 2 + MOST_FDS.div_ceil(2);

/// Two connected ends; both non-blocking and closed by exec.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0 as RawFd; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: two ints to write to.
    if unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    for end in ends {
        buffer(end, libc::SO_SNDBUFFORCE, libc::SO_SNDBUF, BUFFER);
    }
    // SAFETY: two new file descriptors that have no other owner.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

/// Sends one message, whole, or returns why not: `WouldBlock` when the queue is full, `BrokenPipe` or `ConnectionReset` when the other
/// end is closed. The other end would take an empty message for the end of the file, so it is refused (`InvalidInput`), as are more than
/// [`MOST_FDS`] descriptors.
pub fn send(fd: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    if bytes.is_empty() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    send_to(fd.as_fd(), None, bytes, fds)
}

/// As [`send`], from any unix socket that keeps message boundaries, to the address it is connected to or to the given address.
pub(super) fn send_to(
    fd: BorrowedFd<'_>,
    to: Option<(&libc::sockaddr_un, libc::socklen_t)>,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
) -> io::Result<()> {
    if fds.len() > MOST_FDS || to.is_some_and(|(a, len)| len as usize > size_of_val(a)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut control = [0u64; CONTROL];
    let size = u32::try_from(size_of_val(fds)).unwrap_or(u32::MAX);
    // SAFETY: an all-zero msghdr is valid: null pointers with zero lengths.
    let mut m: libc::msghdr = unsafe { core::mem::zeroed() };
    m.msg_iov = &raw mut part;
    m.msg_iovlen = 1;
    if let Some((address, len)) = to {
        m.msg_name = (&raw const *address).cast_mut().cast();
        m.msg_namelen = len;
    }
    if !fds.is_empty() {
        m.msg_control = control.as_mut_ptr().cast();
        // SAFETY: arithmetic only.
        m.msg_controllen = unsafe { libc::CMSG_SPACE(size) } as usize;
        // SAFETY: the buffer is aligned for a cmsghdr and has room for MOST_FDS fds (`a_full_message_fits`), and there are no
        // more than that; so CMSG_FIRSTHDR is not null, and CMSG_DATA has room for as many ints as are written.
        unsafe {
            let c = libc::CMSG_FIRSTHDR(&raw const m);
            (*c).cmsg_level = libc::SOL_SOCKET;
            (*c).cmsg_type = libc::SCM_RIGHTS;
            (*c).cmsg_len = libc::CMSG_LEN(size) as usize;
            for (i, f) in fds.iter().enumerate() {
                core::ptr::write_unaligned(libc::CMSG_DATA(c).cast::<RawFd>().add(i), f.as_raw_fd());
            }
        }
    }
    // SAFETY: everything `m` points at outlives the call and is only read; the address has the given length (checked above).
    let sent = unsafe { libc::sendmsg(fd.as_raw_fd(), &raw const m, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) };
    match usize::try_from(sent) {
        Ok(n) if n == bytes.len() => Ok(()),
        // Impossible: the kernel takes a message as a whole.
        Ok(_) => Err(io::ErrorKind::WriteZero.into()),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// Takes one message: its length, and its descriptors (closed by exec). `None`: there is none at present. A length of 0: the other end is
/// closed and everything it sent has been taken. A message longer than `buf`, or with more than [`MOST_FDS`] descriptors, is dropped and
/// an error (`InvalidData`).
pub fn recv(fd: impl AsFd, buf: &mut [u8]) -> io::Result<Option<(usize, Vec<OwnedFd>)>> {
    let got = match take(fd.as_fd(), buf, false) {
        // The other end closed with messages of ours unread. The kernel reports that once, before the messages that the other end had
        // sent.
        Err(e) if e.kind() == io::ErrorKind::ConnectionReset => take(fd.as_fd(), buf, false),
        r => r,
    };
    match got {
        Ok(message) => Ok(Some(message)),
        Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(None),
        Err(e) => Err(e),
    }
}

/// One message with its fds; waits as long as the socket does if it may `wait`.
pub(super) fn take(fd: BorrowedFd<'_>, buf: &mut [u8], wait: bool) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut part = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
    let mut control = [0u64; CONTROL];
    // SAFETY: an all-zero msghdr is valid.
    let mut m: libc::msghdr = unsafe { core::mem::zeroed() };
    m.msg_iov = &raw mut part;
    m.msg_iovlen = 1;
    m.msg_control = control.as_mut_ptr().cast();
    m.msg_controllen = size_of_val(&control);
    let flags = libc::MSG_CMSG_CLOEXEC | if wait { 0 } else { libc::MSG_DONTWAIT };
    // SAFETY: everything `m` points at outlives the call, and the lengths are those of the buffers.
    let got = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut m, flags) };
    let n = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
    let mut fds = Vec::new();
    // SAFETY: the kernel filled `control` and set `msg_controllen`; the CMSG functions stay within it. Each int behind an
    // SCM_RIGHTS header is a new file descriptor without another owner, taken once.
    unsafe {
        let mut c = libc::CMSG_FIRSTHDR(&raw const m);
        while !c.is_null() {
            if (*c).cmsg_level == libc::SOL_SOCKET && (*c).cmsg_type == libc::SCM_RIGHTS {
                let bytes = (*c).cmsg_len.saturating_sub(libc::CMSG_LEN(0) as usize);
                for i in 0..bytes / size_of::<RawFd>() {
                    let raw = core::ptr::read_unaligned(libc::CMSG_DATA(c).cast::<RawFd>().add(i));
                    fds.push(OwnedFd::from_raw_fd(raw));
                }
            }
            c = libc::CMSG_NXTHDR(&raw const m, c);
        }
    }
    if m.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok((n, fds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn messages_keep_their_bounds_and_bring_fds() {
        let (a, b) = pair().unwrap();
        let mut buf = [0; 16];
        assert!(recv(&b, &mut buf).unwrap().is_none());
        let (mut rx, tx) = std::io::pipe().unwrap();
        send(&a, b"one", &[tx.as_fd()]).unwrap();
        send(&a, b"three", &[]).unwrap();
        drop(tx);
        let (n, mut fds) = recv(&b, &mut buf).unwrap().unwrap();
        assert_eq!((&buf[..n], fds.len()), (&b"one"[..], 1));
        let mut tx = std::fs::File::from(fds.remove(0));
        tx.write_all(b"x").unwrap();
        drop(tx);
        let mut text = String::new();
        rx.read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
        assert_eq!(recv(&b, &mut buf).unwrap().map(|(n, f)| (n, f.len())), Some((5, 0)));
        drop(a);
        assert_eq!(recv(&b, &mut buf).unwrap().map(|(n, _)| n), Some(0));
        assert_eq!(send(&b, b"x", &[]).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_full_message_fits() {
        let (a, b) = pair().unwrap();
        let all = [a.as_fd(); MOST_FDS];
        send(&a, b"x", &all).unwrap();
        let mut buf = [0; 1];
        assert_eq!(recv(&b, &mut buf).unwrap().map(|(n, f)| (n, f.len())), Some((1, MOST_FDS)));
        let more = [a.as_fd(); MOST_FDS + 1];
        assert_eq!(send(&a, b"x", &more).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(send(&a, b"", &[]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn what_does_not_fit_is_an_error_and_a_full_queue_waits_for_nobody() {
        let (a, b) = pair().unwrap();
        send(&a, b"four", &[]).unwrap();
        assert_eq!(recv(&b, &mut [0; 3]).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(recv(&b, &mut [0; 3]).unwrap().is_none());
        let full = (0..100_000).find_map(|_| send(&a, &[0; 1000], &[]).err()).expect("a queue has an end");
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        // The end of the file comes after the messages.
        drop(a);
        let left = (0..100_000).take_while(|_| recv(&b, &mut [0; 1000]).unwrap().unwrap().0 == 1000).count();
        assert!(left > 0);
        // Our messages that the closed end did not read cause no read error either.
        let (a, b) = pair().unwrap();
        send(&a, b"unread", &[]).unwrap();
        send(&b, b"last", &[]).unwrap();
        drop(b);
        assert_eq!(recv(&a, &mut [0; 8]).unwrap().map(|(n, _)| n), Some(4));
        assert_eq!(recv(&a, &mut [0; 8]).unwrap().map(|(n, _)| n), Some(0));
    }
}
