//! The kernel's process connector: reports every fork, exec, exit and change of a process name.
//!
//! The connector exists in the initial network namespace only, reports to the initial pid namespace only, and needs CAP_NET_ADMIN. Where
//! one of these is missing, the kernel sends an error or no answer at all: so the connector counts as available only after an answer.

use super::socket::{SockAddr, bind, buffer, socket};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// `NETLINK_CONNECTOR`: the netlink protocol of the connector.
const PROTOCOL: i32 = 11;
/// `CN_IDX_PROC` and `CN_VAL_PROC`.
const PROC: u32 = 1;
/// `PROC_CN_MCAST_LISTEN`: the request for events.
const LISTEN: u32 = 1;
/// Bytes in front of the event: `nlmsghdr` and `cn_msg`.
const HEADERS: usize = 16 + 20;
/// Bytes of an event in front of its data: kind, cpu, time.
const EVENT: usize = 16;
/// Receive buffer requested, bytes. The kernel accounts about 800 for an event: doubled by the kernel the buffer holds 10,000 events, as
/// many as a machine that compiles software makes while this process does not run for a second.
const RECEIVE_BUFFER: i32 = 4 << 20;
/// Our number in the request; the answer has the next number. (The field `seq` is the kernel's own count.)
const ACK: u32 = 0x6b61_6c69;

/// What happened to a process. Threads are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The process began, executed another program, or changed its name.
    Changed(i32),
    /// The process has ended.
    Gone(i32),
    /// The answer to [`Connector::listen`]: zero or a positive errno.
    Answer(u32),
    /// Any other event.
    Other,
}

/// A connection to the process connector.
pub struct Connector(OwnedFd);

impl Connector {
    /// Subscribes to the events. Called before the first scan of /proc, so that no change falls in between. Events are complete only
    /// after an [`Event::Answer`] of zero.
    pub fn listen() -> io::Result<Connector> {
        let fd = socket(libc::AF_NETLINK, libc::SOCK_DGRAM, PROTOCOL)?;
        buffer(fd.as_raw_fd(), libc::SO_RCVBUFFORCE, libc::SO_RCVBUF, RECEIVE_BUFFER);
        bind(fd.as_raw_fd(), &SockAddr::netlink(PROC))?;
        let mut m = Vec::with_capacity(HEADERS + 4);
        m.extend((HEADERS as u32 + 4).to_ne_bytes());
        m.extend((libc::NLMSG_DONE as u16).to_ne_bytes());
        m.extend([0; 10]);
        for word in [PROC, PROC, 0, ACK] {
            m.extend(word.to_ne_bytes());
        }
        m.extend(4u16.to_ne_bytes());
        m.extend([0; 2]);
        m.extend(LISTEN.to_ne_bytes());
        let to = SockAddr::netlink(0);
        // SAFETY: message and address outlive the call and know their lengths.
        let n = unsafe { libc::sendto(fd.as_raw_fd(), m.as_ptr().cast(), m.len(), 0, to.as_ptr(), to.len()) };
        if n < 0 { Err(io::Error::last_os_error()) } else { Ok(Connector(fd)) }
    }

    /// Readable when there are events.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// The next event; `None`: there is none at present. ENOBUFS: events were lost.
    pub fn next(&self) -> io::Result<Option<Event>> {
        let mut bytes = [0u8; 256];
        // SAFETY: all-zero is a valid sockaddr_nl.
        let mut from: libc::sockaddr_nl = unsafe { core::mem::zeroed() };
        let mut len = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
        // SAFETY: buffer, address and length outlive the call, and the lengths are theirs.
        let n = unsafe {
            libc::recvfrom(
                self.0.as_raw_fd(),
                bytes.as_mut_ptr().cast(),
                bytes.len(),
                libc::MSG_DONTWAIT,
                (&raw mut from).cast(),
                &raw mut len,
            )
        };
        let Ok(n) = usize::try_from(n) else {
            let e = io::Error::last_os_error();
            return match e.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
                _ => Err(e),
            };
        };
        // Any process may send to our port; only the kernel has port 0.
        let kernel = from.nl_pid == 0;
        Ok(Some(if kernel { parse(bytes.get(..n).unwrap_or_default()) } else { Event::Other }))
    }
}

/// Whether an error of [`Connector::next`] means that events were lost, and not that the socket has failed.
pub fn lost(e: &io::Error) -> bool {
    e.raw_os_error() == Some(libc::ENOBUFS)
}

fn parse(bytes: &[u8]) -> Event {
    let word = |at: usize| {
        let b = bytes.get(at..at.checked_add(4)?)?;
        Some(u32::from_ne_bytes(b.try_into().ok()?))
    };
    let data = |i: usize| word(HEADERS + EVENT + 4 * i);
    let leader = |pid: Option<u32>, tgid: Option<u32>| {
        let pid = i32::try_from(pid?).ok()?;
        (tgid == u32::try_from(pid).ok() && pid > 0).then_some(pid)
    };
    if word(16) != Some(PROC) || word(20) != Some(PROC) {
        return Event::Other;
    }
    let event = match word(HEADERS) {
        // The answer to our request, and not to that of another listener.
        Some(0) if word(28) == Some(ACK + 1) => data(0).map(Event::Answer),
        // fork: parent (pid, tgid), child (pid, tgid).
        Some(1) => leader(data(2), data(3)).map(Event::Changed),
        // exec, comm: pid, tgid.
        Some(2 | 0x200) => leader(data(0), data(1)).map(Event::Changed),
        // exit.
        Some(0x8000_0000) => leader(data(0), data(1)).map(Event::Gone),
        _ => None,
    };
    event.unwrap_or(Event::Other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u32, data: &[u32]) -> Vec<u8> {
        let mut m = vec![0; 16];
        for word in [PROC, PROC, 9, ACK + 1, 0, kind, 0, 0, 0].iter().chain(data) {
            m.extend(word.to_ne_bytes());
        }
        m
    }

    #[test]
    fn processes_are_told_from_threads() {
        for (kind, data, event) in [
            (1, vec![1, 1, 7, 7], Event::Changed(7)),
            (1, vec![1, 1, 8, 7], Event::Other),
            (2, vec![7, 7], Event::Changed(7)),
            (0x200, vec![7, 7, 0, 0, 0, 0], Event::Changed(7)),
            (0x200, vec![8, 7, 0, 0, 0, 0], Event::Other),
            (0x8000_0000, vec![7, 7, 0, 0], Event::Gone(7)),
            (0x8000_0000, vec![8, 7, 0, 0], Event::Other),
            (0x8000_0000, vec![0, 0, 0, 0], Event::Other),
            (2, vec![u32::MAX, u32::MAX], Event::Other),
            (4, vec![7, 7], Event::Other),
            (0, vec![1], Event::Answer(1)),
        ] {
            let m = message(kind, &data);
            assert_eq!(parse(&m), event, "{kind:#x} {data:?}");
            for cut in 0..m.len() {
                let _ = parse(&m[..cut]);
            }
        }
        assert_eq!(parse(&[]), Event::Other);
        let mut foreign = message(0, &[0]);
        foreign[28] ^= 1;
        assert_eq!(parse(&foreign), Event::Other);
    }
}
