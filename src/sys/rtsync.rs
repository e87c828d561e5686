//! Synchronous netlink: a request, then a wait for the answer. For a process that does nothing else and may be killed at any time.

use super::errno;
use super::netlink::{self, Whom, from_kernel};
use std::io;
use std::os::fd::AsRawFd;

/// Bytes of one read: a piece of a dump is at most 32 KiB, except one whose only message is longer.
const BUFFER: usize = 128 * 1024;

/// Sends `request` to rtnetlink and hands each datagram of the answer to `tell`, until that says it has seen the end.
pub fn ask(request: &[u8], tell: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<()> {
    ask_of(Whom::Route, request, tell)
}

/// As [`ask`], of the netlink family `whom`.
pub fn ask_of(whom: Whom, request: &[u8], tell: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<()> {
    let (fd, to) = netlink::open_quiet(whom)?;
    let f = fd.as_raw_fd();
    // SAFETY: the bytes and the address outlive the call and know their lengths.
    let n = unsafe { libc::sendto(f, request.as_ptr().cast(), request.len(), 0, to.as_ptr(), to.len()) };
    if n < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut buf = vec![0u8; BUFFER];
    let mut name = [0u8; netlink::NAME as usize];
    loop {
        let mut len = netlink::NAME;
        // SAFETY: buffer, name and length outlive the call; the kernel writes within the lengths given.
        let n = unsafe { libc::recvfrom(f, buf.as_mut_ptr().cast(), buf.len(), 0, name.as_mut_ptr().cast(), &mut len) };
        let Ok(n) = usize::try_from(n) else {
            let e = io::Error::last_os_error();
            if e.raw_os_error() == Some(-errno::EINTR) {
                continue;
            }
            return Err(e);
        };
        if from_kernel(&name) && tell(buf.get(..n).unwrap_or_default()) {
            return Ok(());
        }
    }
}
