//! The UDP sockets of BFD, and why each option is there. Read first: `socket.rs`.

use super::op::Fd;
use super::socket::{SockAddr, bind, control_priority, option, socket};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::io;
use std::os::fd::AsRawFd;
use std::rc::Rc;

/// Receive buffer of a BFD port, bytes; the kernel doubles it and accounts a packet with some 800: 160 packets, those of 16 sessions in 100
/// ms. A longer queue would only hold packets that say nothing about now.
const BFD_BUFFER: i32 = 64 << 10;

/// A socket that receives on a UDP port of BFD, with the TTL and the destination of each packet.
pub fn open_bfd_port(v6: bool, port: u16) -> io::Result<Fd> {
    let fd = socket(if v6 { libc::AF_INET6 } else { libc::AF_INET }, libc::SOCK_DGRAM, 0)?;
    let f = fd.as_raw_fd();
    // The kernel releases the socket of a process that ended a moment later than the process.
    option(f, libc::SOL_SOCKET, libc::SO_REUSEADDR, &1i32)?;
    option(f, libc::SOL_SOCKET, libc::SO_RCVBUF, &BFD_BUFFER)?;
    option(f, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &1i32)?;
    let any: IpAddr = if v6 {
        option(f, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, &1i32)?;
        option(f, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, &1i32)?;
        option(f, libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT, &1i32)?;
        Ipv6Addr::UNSPECIFIED.into()
    } else {
        option(f, libc::IPPROTO_IP, libc::IP_PKTINFO, &1i32)?;
        option(f, libc::IPPROTO_IP, libc::IP_RECVTTL, &1i32)?;
        Ipv4Addr::UNSPECIFIED.into()
    };
    bind(f, &SockAddr::tcp(SocketAddr::new(any, port)))?;
    Ok(Rc::new(fd))
}

/// Source ports of BFD (RFC 5881 §4).
const BFD_PORTS: core::ops::RangeInclusive<u16> = 49152..=65535;
/// Source ports that are tried one after another.
const BFD_TRIES: u16 = 64;

/// A socket that BFD packets of one session are sent from: from `source`, or where the kernel thinks best, with this TTL. `port` is the
/// first source port that is tried, of 49152 to 65535.
pub fn open_bfd(source: Option<IpAddr>, v6: bool, port: u16, ttl: u8) -> io::Result<Fd> {
    let fd = socket(if v6 { libc::AF_INET6 } else { libc::AF_INET }, libc::SOCK_DGRAM, 0)?;
    let f = fd.as_raw_fd();
    // Nothing is read from this socket.
    option(f, libc::SOL_SOCKET, libc::SO_RCVBUF, &0i32)?;
    // The successor of a process has the same source port (RFC 5881 §4), while that process still has it.
    option(f, libc::SOL_SOCKET, libc::SO_REUSEADDR, &1i32)?;
    control_priority(f);
    // DSCP CS6, as adverts have it. Refused in no known place; without it packets leave all the same.
    let any: IpAddr = if v6 {
        option(f, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, &1i32)?;
        option(f, libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, &i32::from(ttl))?;
        let _ = option(f, libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &0xc0i32);
        Ipv6Addr::UNSPECIFIED.into()
    } else {
        option(f, libc::IPPROTO_IP, libc::IP_TTL, &i32::from(ttl))?;
        let _ = option(f, libc::IPPROTO_IP, libc::IP_TOS, &0xc0i32);
        Ipv4Addr::UNSPECIFIED.into()
    };
    let (first, many) = (*BFD_PORTS.start(), BFD_PORTS.end() - BFD_PORTS.start() + 1);
    let mut result = Ok(());
    for n in 0..BFD_TRIES {
        let port = first + (port.saturating_sub(first) + n) % many;
        result = bind(f, &SockAddr::tcp(SocketAddr::new(source.unwrap_or(any), port)));
        match &result {
            Err(e) if e.raw_os_error() == Some(libc::EADDRINUSE) => {}
            _ => break,
        }
    }
    result?;
    Ok(Rc::new(fd))
}

/// Sends one datagram without waiting.
pub fn send_datagram(fd: &Fd, bytes: &[u8], to: &SockAddr) -> io::Result<()> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the bytes and the address outlive the call, and their own lengths are passed.
    let r = unsafe { libc::sendto(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags, to.as_ptr(), to.len()) };
    if r < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
