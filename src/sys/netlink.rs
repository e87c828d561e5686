//! The rtnetlink socket: one socket for notifications, requests and dumps.
//!
//! One receive queue is one order. The kernel generates a dump piece by piece while the socket is read. If the notifications came on a
//! second socket, "address deleted" could be read before an older piece of the dump that still contains the address, and the removed
//! address would be held for present. The price is that an overrun by a storm of notifications may also lose our acknowledgements.
//! `daemon/rtnl.rs` handles that: an overrun answers every open request, and the resync that follows reads the actual state.
//!
//! The encoding of messages is in `wire::netlink`; this file handles the socket only.

use super::op::Fd;
use super::socket::{SockAddr, bind, buffer, errno_or, option, socket};
use std::io;
use std::os::fd::AsRawFd;
use std::rc::Rc;

/// Receive buffer requested, bytes. The kernel accounts about 1 KiB for a notification about an address and 4 KiB for one about a link;
/// doubled by the kernel the buffer holds the notifications of some 4,000 interfaces that appear together (the start of a container host)
/// before messages are lost.
const RECEIVE_BUFFER: i32 = 8 << 20;
/// Send buffer: a slice of address changes is far below it.
const SEND_BUFFER: i32 = 1 << 20;

/// Send buffer for batches, bytes, which is the longest one that is taken: some 100,000 addresses.
const BATCH_BUFFER: i32 = 4 << 20;
/// `NFNLGRP_NFTABLES` of linux/netfilter/nfnetlink.h.
const NFNLGRP_NFTABLES: i32 = 7;

/// Bytes of a `sockaddr_nl`.
pub const NAME: u32 = size_of::<libc::sockaddr_nl>() as u32;

/// Opens the socket, subscribed to links and addresses of both families.
pub fn open() -> io::Result<(Fd, Rc<SockAddr>)> {
    let fd = socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE)?;
    let f = fd.as_raw_fd();
    buffer(f, libc::SO_RCVBUFFORCE, libc::SO_RCVBUF, RECEIVE_BUFFER);
    buffer(f, libc::SO_SNDBUFFORCE, libc::SO_SNDBUF, SEND_BUFFER);
    // An acknowledgement without a copy of the request: the answers of a slice then fit in small buffers.
    option(f, libc::SOL_NETLINK, libc::NETLINK_CAP_ACK, &1i32)?;
    // The kernel refuses dump requests with a wrong header rather than guess. Absent before 4.20, and not required.
    let _ = option(f, libc::SOL_NETLINK, NETLINK_GET_STRICT_CHK, &1i32);
    let groups = libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR;
    bind(f, &SockAddr::netlink(groups as u32))?;
    Ok((Rc::new(fd), Rc::new(SockAddr::netlink(0))))
}

/// The port that the kernel gave to an open socket: a notification about a change by this socket carries it.
pub fn port(fd: &Fd) -> io::Result<u32> {
    // SAFETY: all-zero is a valid sockaddr_nl.
    let mut name: libc::sockaddr_nl = unsafe { core::mem::zeroed() };
    let mut len = NAME;
    // SAFETY: both outlive the call, which writes `len` bytes at most.
    errno_or(unsafe { libc::getsockname(fd.as_raw_fd(), (&raw mut name).cast(), &mut len) })?;
    Ok(name.nl_pid)
}

/// What the other side of a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// rtnetlink: interfaces, addresses, routes and rules.
    Route,
    /// nfnetlink: nf_tables.
    Netfilter,
    /// Generic netlink: IPVS.
    Generic,
}

/// One that hears answers only, and waits for them, a few seconds at most: for a process that does nothing else.
pub fn open_quiet(whom: Whom) -> io::Result<(Fd, Rc<SockAddr>)> {
    let protocol = match whom {
        Whom::Route => libc::NETLINK_ROUTE,
        Whom::Netfilter => libc::NETLINK_NETFILTER,
        Whom::Generic => libc::NETLINK_GENERIC,
    };
    let fd = socket(libc::AF_NETLINK, libc::SOCK_RAW, protocol)?;
    let f = fd.as_raw_fd();
    // SAFETY: no pointers. It was made non-blocking, as all our sockets are.
    errno_or(unsafe { libc::fcntl(f, libc::F_SETFL, 0) })?;
    // As in `open`: a dump of routes then holds routes of our protocol only.
    let _ = option(f, libc::SOL_NETLINK, NETLINK_GET_STRICT_CHK, &1i32);
    option(f, libc::SOL_SOCKET, libc::SO_RCVTIMEO, &libc::timeval { tv_sec: 3, tv_usec: 0 })?;
    bind(f, &SockAddr::netlink(0))?;
    Ok((Rc::new(fd), Rc::new(SockAddr::netlink(0))))
}

/// A generic netlink socket: for requests and dumps, subscribed to nothing.
pub fn open_generic() -> io::Result<(Fd, Rc<SockAddr>)> {
    let fd = socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_GENERIC)?;
    let f = fd.as_raw_fd();
    // As in `open`.
    option(f, libc::SOL_NETLINK, libc::NETLINK_CAP_ACK, &1i32)?;
    bind(f, &SockAddr::netlink(0))?;
    Ok((Rc::new(fd), Rc::new(SockAddr::netlink(0))))
}

/// A netfilter socket: for requests and dumps, subscribed to changes of rulesets.
pub fn open_netfilter() -> io::Result<(Fd, Rc<SockAddr>)> {
    let fd = socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_NETFILTER)?;
    let f = fd.as_raw_fd();
    // A batch is one message; the kernel's default bound is 200 KiB, some 5,000 addresses.
    buffer(f, libc::SO_SNDBUFFORCE, libc::SO_SNDBUF, BATCH_BUFFER);
    // As in `open`.
    option(f, libc::SOL_NETLINK, libc::NETLINK_CAP_ACK, &1i32)?;
    bind(f, &SockAddr::netlink(0))?;
    option(f, libc::SOL_NETLINK, libc::NETLINK_ADD_MEMBERSHIP, &NFNLGRP_NFTABLES)?;
    Ok((Rc::new(fd), Rc::new(SockAddr::netlink(0))))
}

/// Subscribes to policy rules and to routes of both families, but for what `filter` (classic BPF: code, jump if true, jump if false, operand) drops.
pub fn watch_routes(fd: &Fd, filter: &[(u16, u8, u8, u32)]) -> io::Result<()> {
    let f = fd.as_raw_fd();
    let code = |&(code, jt, jf, k): &(u16, u8, u8, u32)| libc::sock_filter { code, jt, jf, k };
    let mut program: Vec<libc::sock_filter> = filter.iter().map(code).collect();
    let len = u16::try_from(program.len()).map_err(io::Error::other)?;
    // The kernel copies the program, so it need not outlive the call.
    option(f, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &libc::sock_fprog { len, filter: program.as_mut_ptr() })?;
    let groups = [libc::RTNLGRP_IPV4_ROUTE, libc::RTNLGRP_IPV6_ROUTE, libc::RTNLGRP_IPV4_RULE, libc::RTNLGRP_IPV6_RULE];
    for group in groups {
        option(f, libc::SOL_NETLINK, libc::NETLINK_ADD_MEMBERSHIP, &(group as i32))?;
    }
    Ok(())
}

/// `NETLINK_GET_STRICT_CHK` of linux/netlink.h.
const NETLINK_GET_STRICT_CHK: i32 = 12;

/// Whether a message came from the kernel. Any process may send to our port; only the kernel has port 0.
pub fn from_kernel(name: &[u8]) -> bool {
    let family = name.get(..2).map(|b| u16::from_ne_bytes([b[0], b[1]]));
    family == Some(libc::AF_NETLINK as u16) && name.get(4..8) == Some(&[0; 4])
}

/// The number of messages for this socket that the kernel could not queue since the socket was opened.
pub fn drops(fd: &Fd) -> Option<u32> {
    // SK_MEMINFO_DROPS of linux/sock_diag.h; the values before it are not used here.
    const DROPS: usize = 8;
    let mut values = [0u32; DROPS + 1];
    let mut len = size_of_val(&values) as libc::socklen_t;
    // SAFETY: both outlive the call, which writes `len` bytes at most.
    let r = unsafe {
        libc::getsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_MEMINFO, values.as_mut_ptr().cast(), &mut len)
    };
    (r == 0 && len as usize == size_of_val(&values)).then_some(values[DROPS])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_port_zero_is_the_kernel() {
        let mut name = [0u8; 12];
        name[..2].copy_from_slice(&(libc::AF_NETLINK as u16).to_ne_bytes());
        assert!(from_kernel(&name));
        name[4] = 1;
        assert!(!from_kernel(&name));
        assert!(!from_kernel(&name[..6]));
    }
}
