//! How the sockets are made, and why each option is there.
//!
//! A VRRP socket is two sockets. The receiving one is bound to the group, or to the address that unicast peers send to, so the kernel
//! drops all other packets before they wake the process. The sending one is of protocol 255 (`IPPROTO_RAW`), which no packet has, so it
//! receives nothing; it sends whole IP packets, of both families. Neither needs the interface to have an address or to be up.
//!
//! The sending socket is connected to the group where the kernel allows it ([`connect_group`]): a send that names no destination takes a
//! quarter less kernel time, because the kernel keeps a copy of the address for each linked request with one.

use super::op::Fd;
use crate::time::{Duration, Wall};
use bytes::Bytes;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::rc::Rc;

/// IANA protocol number of VRRP.
const IPPROTO_VRRP: i32 = 112;

// The IP protocol of adverts: with an Authentication Header it is that of the header.
fn protocol(ah: bool) -> i32 {
    if ah { libc::IPPROTO_AH } else { IPPROTO_VRRP }
}

/// Receive buffer requested, bytes. The kernel accounts at most 1,280 bytes for an advert, so (doubled by the kernel) the buffer holds
/// 1,600 adverts: what 255 virtual routers at 10 ms send in 60 ms, or a flood of 10,000 a second in 160 ms, while this process does not
/// run.
const RECEIVE_BUFFER: i32 = 1 << 20;
/// Send buffer of the raw sockets, bytes: a burst of 255 priority-0 adverts, or of adverts with 255 IPv6 addresses each.
const SEND_BUFFER: i32 = 1 << 20;
/// Send buffer of a packet socket, bytes; the kernel doubles it and accounts a frame with 768, so some 64 frames are in flight. A frame
/// counts until the device has sent it, or the receiving end of a veth pair has taken it from its queue of 1,000: the frames in flight
/// never fill a queue that would drop one.
const FRAME_BUFFER: i32 = 24 << 10;

/// Bytes of ancillary data of a received datagram: `SCM_TIMESTAMPNS` (16 + 16), and for IPv6 `IPV6_PKTINFO` (16 + 20) and `IPV6_HOPLIMIT`
/// (16 + 4), each aligned to 8, with spare room.
pub const CONTROL: usize = 128;
/// Bytes of sender address: the larger of `sockaddr_in` and `sockaddr_in6`.
pub const NAME: u32 = 28;

/// A destination in the kernel's form.
#[derive(Clone, Copy)]
pub struct SockAddr {
    storage: libc::sockaddr_storage,
    len: libc::socklen_t,
}

impl SockAddr {
    fn of<A: Copy>(a: A) -> SockAddr {
        const { assert!(size_of::<A>() <= size_of::<libc::sockaddr_storage>()) };
        // SAFETY: all-zero is a valid sockaddr_storage, and it is large and aligned enough for every sockaddr.
        let mut storage: libc::sockaddr_storage = unsafe { core::mem::zeroed() };
        // SAFETY: as above; `A` is Copy and not larger (checked when compiled).
        unsafe { core::ptr::write((&raw mut storage).cast::<A>(), a) };
        SockAddr { storage, len: size_of::<A>() as libc::socklen_t }
    }

    /// An IP destination; `ifindex` becomes the scope of an IPv6 one. The port is zero: raw sockets have none.
    pub fn ip(addr: IpAddr, ifindex: u32) -> SockAddr {
        match addr {
            IpAddr::V4(a) => SockAddr::of(libc::sockaddr_in {
                sin_family: libc::AF_INET as u16,
                sin_port: 0,
                sin_addr: in_addr(a),
                sin_zero: [0; 8],
            }),
            IpAddr::V6(a) => SockAddr::of(libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as u16,
                sin6_port: 0,
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: a.octets() },
                sin6_scope_id: ifindex,
            }),
        }
    }

    /// The destination of a whole Ethernet frame: sent on `ifindex`. `None` when the frame has no full header.
    pub fn frame(ifindex: u32, frame: &[u8]) -> Option<SockAddr> {
        let dst = frame.get(..6)?;
        let ethertype = u16::from_be_bytes(frame.get(12..14)?.try_into().ok()?);
        let mut addr = [0u8; 8];
        addr[..6].copy_from_slice(dst);
        Some(SockAddr::of(libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: ethertype.to_be(),
            sll_ifindex: i32::try_from(ifindex).ok()?,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 6,
            sll_addr: addr,
        }))
    }

    /// The address of a TCP peer.
    pub fn tcp(addr: SocketAddr) -> SockAddr {
        match addr {
            SocketAddr::V4(a) => SockAddr::of(libc::sockaddr_in {
                sin_family: libc::AF_INET as u16,
                sin_port: a.port().to_be(),
                sin_addr: in_addr(*a.ip()),
                sin_zero: [0; 8],
            }),
            SocketAddr::V6(a) => SockAddr::of(libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as u16,
                sin6_port: a.port().to_be(),
                sin6_flowinfo: a.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: a.ip().octets() },
                sin6_scope_id: a.scope_id(),
            }),
        }
    }

    /// A unix socket by path, at most 107 bytes without NUL; `None` for another path.
    pub fn unix(path: &str) -> Option<SockAddr> {
        // SAFETY: all-zero is a valid sockaddr_un.
        let mut a: libc::sockaddr_un = unsafe { core::mem::zeroed() };
        a.sun_family = libc::AF_UNIX as u16;
        if path.is_empty() || path.len() >= a.sun_path.len() || path.contains('\0') {
            return None;
        }
        for (to, from) in a.sun_path.iter_mut().zip(path.bytes()) {
            *to = from as libc::c_char;
        }
        Some(SockAddr::of(a))
    }

    pub(super) fn netlink(groups: u32) -> SockAddr {
        // SAFETY: all-zero is a valid sockaddr_nl (port 0: the kernel, or, when binding, one the kernel picks).
        let mut a: libc::sockaddr_nl = unsafe { core::mem::zeroed() };
        a.nl_family = libc::AF_NETLINK as u16;
        a.nl_groups = groups;
        SockAddr::of(a)
    }

    pub(super) fn as_ptr(&self) -> *const libc::sockaddr {
        (&raw const self.storage).cast()
    }
    pub(super) fn len(&self) -> libc::socklen_t {
        self.len
    }
}

/// The sender of a datagram, from its raw address.
pub fn sender(name: &[u8]) -> Option<IpAddr> {
    let family = u16::from_ne_bytes(name.get(..2)?.try_into().ok()?);
    match i32::from(family) {
        libc::AF_INET => Some(IpAddr::from(<[u8; 4]>::try_from(name.get(4..8)?).ok()?)),
        libc::AF_INET6 => Some(IpAddr::from(<[u8; 16]>::try_from(name.get(8..24)?).ok()?)),
        _ => None,
    }
}

/// Ancillary data of a datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// IPv6: the destination of the packet.
    pub dst: Option<Ipv6Addr>,
    /// IPv4: destination, where it was asked for.
    pub dst_v4: Option<Ipv4Addr>,
    /// Hop limit on arrival; IPv4: TTL, where it was asked for.
    pub hop_limit: Option<u8>,
    /// The time of arrival.
    pub stamp: Option<Wall>,
}

/// Reads the ancillary data of a datagram.
pub fn control(control: &[u8]) -> Control {
    let mut out = Control::default();
    let mut rest = control;
    // Each message is a header of a length (8 bytes), level and type (4 each), then data, padded to 8.
    while let (Some(len), Some(level), Some(kind)) = (word(rest, 0), int(rest, 8), int(rest, 12)) {
        let Some(data) = rest.get(16..len) else { break };
        if level == libc::IPPROTO_IPV6 && kind == libc::IPV6_PKTINFO {
            out.dst = data.get(..16).and_then(|d| <[u8; 16]>::try_from(d).ok()).map(Ipv6Addr::from);
        } else if level == libc::IPPROTO_IPV6 && kind == libc::IPV6_HOPLIMIT {
            out.hop_limit = int(data, 0).and_then(|h| u8::try_from(h).ok());
        } else if level == libc::IPPROTO_IP && kind == libc::IP_TTL {
            out.hop_limit = int(data, 0).and_then(|h| u8::try_from(h).ok());
        } else if level == libc::IPPROTO_IP && kind == libc::IP_PKTINFO {
            // An interface index, the local address, the destination of the header.
            out.dst_v4 = data.get(8..).and_then(|d| d.first_chunk::<4>()).map(|d| Ipv4Addr::from(*d));
        } else if level == libc::SOL_SOCKET && kind == libc::SCM_TIMESTAMPNS {
            out.stamp = timespec(data);
        }
        rest = rest.get(len.next_multiple_of(8)..).unwrap_or(&[]);
    }
    out
}

fn timespec(data: &[u8]) -> Option<Wall> {
    let field = |at: usize| Some(u64::from_ne_bytes(data.get(at..at + 8)?.try_into().ok()?));
    Some(Wall(field(0)?.checked_mul(1_000_000_000)?.checked_add(field(8)?)?))
}

fn word(b: &[u8], at: usize) -> Option<usize> {
    // A length that overflows when it is padded is as invalid as one that points outside.
    usize::try_from(u64::from_ne_bytes(b.get(at..at + 8)?.try_into().ok()?)).ok().filter(|n| *n <= b.len())
}
fn int(b: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_ne_bytes(b.get(at..at + 4)?.try_into().ok()?))
}
fn in_addr(a: Ipv4Addr) -> libc::in_addr {
    libc::in_addr { s_addr: u32::from_ne_bytes(a.octets()) }
}

/// The two sockets behind one VRRP socket.
pub struct Pair {
    /// The socket that receives.
    pub rx: Fd,
    /// The socket that sends.
    pub tx: Fd,
}

/// Connects a sending socket to its group; returns whether that succeeded. It fails while the interface is down, and sends then name the
/// group. The connection fixes neither route nor source: each send of a raw socket looks up its route, and the source is the packet's
/// own, so the interface may go down and come back, and an address may be removed. Kernels before February 2026 return ICMP errors that any
/// host can send to a connected socket of protocol 255, and the next send fails; `SockFx::Unconnect` is the remedy.
pub fn connect_group(tx: &Fd, to: &SockAddr) -> bool {
    // SAFETY: the address outlives the call, and its own length is passed.
    unsafe { libc::connect(tx.as_raw_fd(), to.as_ptr(), to.len()) == 0 }
}

/// Opens both sockets for `group` on `ifindex`; `ah`: for adverts with an Authentication Header. The receiving one receives nothing until
/// the group is joined ([`join`]).
pub fn open_vrrp(ifindex: u32, group: IpAddr, ah: bool) -> io::Result<Pair> {
    let family = if group.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let to = SockAddr::ip(group, ifindex);
    let index = i32::try_from(ifindex).map_err(|_| io::Error::from_raw_os_error(libc::ENODEV))?;

    let rx = receiver(family, index, ah)?;
    let f = rx.as_raw_fd();
    match group {
        IpAddr::V4(_) => {
            // Receive only groups that this socket joined, not those that any socket of the host joined.
            option(f, libc::IPPROTO_IP, libc::IP_MULTICAST_ALL, &0i32)?;
        }
        IpAddr::V6(_) => option(f, libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_ALL, &0i32)?,
    }
    bind(f, &to)?;
    Ok(Pair { rx: Rc::new(rx), tx: open_sender(ifindex, group)? })
}

/// Joins `group` on `ifindex` with a receiving socket. A membership belongs to the socket, not to the process: the helper joins with a
/// duplicate of the descriptor. A membership that is there already is a success.
///
/// The call waits while another process holds the kernel's rtnl lock; so do [`leave`], and closing a socket that is still a member.
pub fn join(fd: impl AsFd, ifindex: u32, group: IpAddr) -> io::Result<()> {
    match membership(fd.as_fd(), ifindex, group, libc::IP_ADD_MEMBERSHIP, libc::IPV6_ADD_MEMBERSHIP) {
        Err(e) if e.raw_os_error() == Some(libc::EADDRINUSE) => Ok(()),
        joined => joined,
    }
}

/// Leaves `group` on `ifindex` with a receiving socket, whose close does not wait for the rtnl lock then.
pub fn leave(fd: impl AsFd, ifindex: u32, group: IpAddr) -> io::Result<()> {
    membership(fd.as_fd(), ifindex, group, libc::IP_DROP_MEMBERSHIP, libc::IPV6_DROP_MEMBERSHIP)
}

fn membership(fd: BorrowedFd<'_>, ifindex: u32, group: IpAddr, v4: i32, v6: i32) -> io::Result<()> {
    let index = i32::try_from(ifindex).map_err(|_| io::Error::from_raw_os_error(libc::ENODEV))?;
    match group {
        IpAddr::V4(g) => {
            let imr_address = in_addr(Ipv4Addr::UNSPECIFIED);
            let m = libc::ip_mreqn { imr_multiaddr: in_addr(g), imr_address, imr_ifindex: index };
            option(fd.as_raw_fd(), libc::IPPROTO_IP, v4, &m)
        }
        IpAddr::V6(g) => {
            let group = libc::in6_addr { s6_addr: g.octets() };
            let m = libc::ipv6_mreq { ipv6mr_multiaddr: group, ipv6mr_interface: ifindex };
            option(fd.as_raw_fd(), libc::IPPROTO_IPV6, v6, &m)
        }
    }
}

/// Opens the sending socket alone.
pub fn open_sender(ifindex: u32, group: IpAddr) -> io::Result<Fd> {
    let family = if group.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let index = i32::try_from(ifindex).map_err(|_| io::Error::from_raw_os_error(libc::ENODEV))?;
    let tx = sender_of(family, index)?;
    let f = tx.as_raw_fd();
    match group {
        IpAddr::V4(_) => option(f, libc::IPPROTO_IP, libc::IP_MULTICAST_LOOP, &0i32)?,
        IpAddr::V6(_) => {
            option(f, libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_LOOP, &0i32)?;
            option(f, libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_HOPS, &255i32)?;
            option(f, libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_IF, &index)?;
            // An address that belongs to no host, so that the socket does not depend on one.
            bind_sender(f, Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), ifindex);
        }
    }
    Ok(Rc::new(tx))
}

/// Opens both sockets for adverts that unicast peers send to `local`, an address of this host. `ifindex`: the interface that the sockets
/// are bound to; 0: none. Unbound, they reach peers by any interface and receive their adverts from any interface, also after a change of
/// routes.
pub fn open_unicast(ifindex: u32, local: IpAddr, ah: bool) -> io::Result<Pair> {
    let family = if local.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let index = i32::try_from(ifindex).map_err(|_| io::Error::from_raw_os_error(libc::ENODEV))?;
    let rx = receiver(family, index, ah)?;
    bind(rx.as_raw_fd(), &SockAddr::ip(local, ifindex))?;
    let tx = sender_of(family, index)?;
    if let IpAddr::V6(local) = local {
        bind_sender(tx.as_raw_fd(), local, ifindex);
    }
    Ok(Pair { rx: Rc::new(rx), tx: Rc::new(tx) })
}

// Without a bound source the kernel chooses one for each packet, although the packet has one, and examines every address of the interface
// for that. Measured with 255 addresses (6.18): 30 µs a packet, bound 1.2 µs. Where binding is refused, only speed is lost.
fn bind_sender(f: RawFd, source: Ipv6Addr, ifindex: u32) {
    if option(f, libc::IPPROTO_IPV6, IPV6_FREEBIND, &1i32).is_ok() {
        let _ = bind(f, &SockAddr::ip(IpAddr::V6(source), ifindex));
    }
}

// The common part of both kinds of receiving sockets; not bound to an address yet.
fn receiver(family: i32, index: i32, ah: bool) -> io::Result<OwnedFd> {
    let rx = socket(family, libc::SOCK_RAW, protocol(ah))?;
    let f = rx.as_raw_fd();
    // By index, not by name: a renamed interface keeps its index, a re-created one does not.
    if index != 0 {
        option(f, libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX, &index)?;
    }
    buffer(f, libc::SO_RCVBUFFORCE, libc::SO_RCVBUF, RECEIVE_BUFFER);
    // Timers count from the arrival of an advert, not from the wake-up of this process.
    option(f, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &1i32)?;
    if family == libc::AF_INET6 {
        // An IPv6 raw socket delivers no header: these two options deliver the hop limit and the destination, which must be checked
        //
        option(f, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, &1i32)?;
        option(f, libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT, &1i32)?;
    }
    Ok(rx)
}

// The common part of sending sockets.
fn sender_of(family: i32, index: i32) -> io::Result<OwnedFd> {
    let tx = socket(family, libc::SOCK_RAW, libc::IPPROTO_RAW)?;
    let f = tx.as_raw_fd();
    if index != 0 {
        option(f, libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX, &index)?;
    }
    buffer(f, libc::SO_SNDBUFFORCE, libc::SO_SNDBUF, SEND_BUFFER);
    // Nothing is read from this socket; the smallest buffer ensures that nothing is queued either.
    option(f, libc::SOL_SOCKET, libc::SO_RCVBUF, &0i32)?;
    control_priority(f);
    match family {
        libc::AF_INET => option(f, libc::IPPROTO_IP, libc::IP_HDRINCL, &1i32)?,
        _ => option(f, libc::IPPROTO_IPV6, IPV6_HDRINCL, &1i32)?,
    }
    Ok(tx)
}

/// `IPV6_FREEBIND` of linux/in6.h.
const IPV6_FREEBIND: i32 = 78;

/// `IPV6_HDRINCL`: missing from libc for this target.
const IPV6_HDRINCL: i32 = 36;

/// A packet socket that sends Ethernet frames. Protocol 0: it receives nothing. It needs `CAP_NET_RAW`, so opening one at start also
/// checks that capability in this network namespace, where it counts.
pub fn open_packet() -> io::Result<Fd> {
    let fd = socket(libc::AF_PACKET, libc::SOCK_RAW, 0)?;
    buffer(fd.as_raw_fd(), libc::SO_SNDBUFFORCE, libc::SO_SNDBUF, FRAME_BUFFER);
    control_priority(fd.as_raw_fd());
    Ok(Rc::new(fd))
}

/// A packet socket for adverts that leave as whole frames. One of its own, so that announcements under way take nothing of its buffer.
pub fn open_frames() -> io::Result<Fd> {
    let fd = socket(libc::AF_PACKET, libc::SOCK_RAW, 0)?;
    buffer(fd.as_raw_fd(), libc::SO_SNDBUFFORCE, libc::SO_SNDBUF, SEND_BUFFER);
    control_priority(fd.as_raw_fd());
    Ok(Rc::new(fd))
}

/// Frames of one call of [`send_frames`].
pub const FRAMES: usize = 32;

/// Sends Ethernet frames on `ifindex`, in order, without waiting. Returns how many the kernel took, and the errno of the first that it
/// refused. At most [`FRAMES`] are sent.
///
/// A system call of its own and not operations of the ring: one call sends all frames and returns at once how many left. 500 frames as
/// operations of the ring take about twice the kernel's own time for them.
pub fn send_frames(fd: &Fd, ifindex: u32, frames: &[Bytes]) -> (usize, Option<i32>) {
    let frames = &frames[..frames.len().min(FRAMES)];
    let mut to: Vec<SockAddr> = frames.iter().map_while(|f| SockAddr::frame(ifindex, f)).collect();
    let mut io: Vec<libc::iovec> =
        frames.iter().map(|f| libc::iovec { iov_base: f.as_ptr().cast_mut().cast(), iov_len: f.len() }).collect();
    let mut heads: Vec<libc::mmsghdr> = to
        .iter_mut()
        .zip(&mut io)
        .map(|(to, io)| {
            // SAFETY: all-zero is a valid mmsghdr: null pointers with zero lengths.
            let mut m: libc::mmsghdr = unsafe { core::mem::zeroed() };
            m.msg_hdr.msg_name = (&raw mut to.storage).cast();
            m.msg_hdr.msg_namelen = to.len;
            m.msg_hdr.msg_iov = io;
            m.msg_hdr.msg_iovlen = 1;
            m
        })
        .collect();
    let mut sent = 0;
    while sent < heads.len() {
        let left = &mut heads[sent..];
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // SAFETY: `left` has as many entries as passed; the memory they point at (`to`, `io`, the frames) outlives the call, and the kernel
        // only reads it. The type of the flags differs between C libraries.
        let n = unsafe { libc::sendmmsg(fd.as_raw_fd(), left.as_mut_ptr(), left.len() as u32, flags as _) };
        match usize::try_from(n) {
            Ok(n) if n > 0 => sent += n,
            _ => return (sent, Some(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))),
        }
    }
    // A frame without a full header was not sent.
    (sent, (sent < frames.len()).then_some(libc::EINVAL))
}

/// `SKF_AD_OFF + SKF_AD_PKTTYPE`: the offset at which a filter reads `sll_pkttype`.
const PACKET_TYPE: u32 = 0xffff_f004;
/// Most addresses in a filter. Each takes two instructions, and a filter has at most 4,096. With more addresses the source is not tested:
/// each advert is then received twice, and the second copy is dropped where its source is checked.
const FILTERED: usize = 1000;

/// A packet socket for the adverts to `to` on `ifindex`, or with 0 on every interface, that come from one of `sources`, each a whole IP
/// packet.
///
/// The kernel drops an IPv4 packet whose source is an address of this host before a raw socket receives it (`accept_local` is 0). A
/// Master that holds the address of its returning owner would never receive that owner's adverts. A packet socket receives packets before
/// that check; it needs neither a sysctl nor a change that would have to be undone. IPv6 has no such check.
pub fn open_local(ifindex: u32, to: Ipv4Addr, sources: &[Ipv4Addr], ah: bool) -> io::Result<Fd> {
    // Protocol 0: nothing is received before the filter is attached and the socket is bound.
    let fd = socket(libc::AF_PACKET, libc::SOCK_DGRAM, 0)?;
    let f = fd.as_raw_fd();
    option(f, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &1i32)?;
    filter_local(f, to, sources, ah)?;
    let to = SockAddr::of(libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: (libc::ETH_P_IP as u16).to_be(),
        sll_ifindex: i32::try_from(ifindex).map_err(|_| io::Error::from_raw_os_error(libc::ENODEV))?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    });
    bind(f, &to)?;
    Ok(Rc::new(fd))
}

/// Replaces the sources of a socket from [`open_local`].
pub fn filter_local(f: RawFd, to: Ipv4Addr, sources: &[Ipv4Addr], ah: bool) -> io::Result<()> {
    let mut code = local_filter(to, sources, ah);
    let program = libc::sock_fprog { len: code.len() as u16, filter: code.as_mut_ptr() };
    // `program` points to `code`, which outlives the call; the kernel copies it.
    option(f, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

// The packet begins with its IP header.
fn local_filter(to: Ipv4Addr, sources: &[Ipv4Addr], ah: bool) -> Vec<libc::sock_filter> {
    let op = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt, jf, k };
    let load = |size: u32, at: u32| op(libc::BPF_LD | size | libc::BPF_ABS, 0, 0, at);
    let equal = |k: u32, jt: u8, jf: u8| op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, jt, jf, k);
    let (take, drop) = (op(libc::BPF_RET | libc::BPF_K, 0, 0, 0x4_0000), op(libc::BPF_RET | libc::BPF_K, 0, 0, 0));
    let mut code = vec![load(libc::BPF_W, PACKET_TYPE), equal(u32::from(libc::PACKET_OTHERHOST), 0, 1), drop];
    code.extend([load(libc::BPF_B, 9), equal(protocol(ah) as u32, 1, 0), drop]);
    code.extend([load(libc::BPF_W, 16), equal(u32::from(to), 1, 0), drop]);
    if sources.len() > FILTERED {
        code.push(take);
        return code;
    }
    code.push(load(libc::BPF_W, 12));
    for source in sources {
        code.extend([equal(u32::from(*source), 0, 1), take]);
    }
    code.push(drop);
    code
}

/// A unix stream socket.
pub fn open_unix() -> io::Result<Fd> {
    Ok(Rc::new(socket(libc::AF_UNIX, libc::SOCK_STREAM, 0)?))
}

/// The protocol spoken with a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A TCP stream.
    Tcp,
    /// UDP datagrams.
    Udp,
    /// ICMP or ICMPv6, by the peer's family. Needs `CAP_NET_RAW`.
    Icmp,
}

/// The origin of a connection's packets, where the kernel does not choose it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Origin<'a> {
    /// Address; port 0: any.
    pub source: Option<SocketAddr>,
    /// The interface that packets leave by; `None`: the routes decide. Needs `CAP_NET_RAW`.
    pub device: Option<&'a str>,
    /// Mark; 0: none. Needs `CAP_NET_ADMIN`.
    pub mark: u32,
}

/// A socket for a peer of `to`'s family.
pub fn open_to(transport: Transport, to: SocketAddr, origin: &Origin<'_>) -> io::Result<Fd> {
    let v4 = to.is_ipv4();
    let family = if v4 { libc::AF_INET } else { libc::AF_INET6 };
    let (kind, protocol) = match transport {
        Transport::Tcp => (libc::SOCK_STREAM, 0),
        Transport::Udp => (libc::SOCK_DGRAM, 0),
        Transport::Icmp if v4 => (libc::SOCK_RAW, libc::IPPROTO_ICMP),
        Transport::Icmp => (libc::SOCK_RAW, libc::IPPROTO_ICMPV6),
    };
    let fd = socket(family, kind, protocol)?;
    let f = fd.as_raw_fd();
    if origin.mark != 0 {
        option(f, libc::SOL_SOCKET, libc::SO_MARK, &origin.mark)?;
    }
    if let Some(device) = origin.device {
        // By name: the configuration names the interface, and its index may change.
        let mut name = [0u8; libc::IFNAMSIZ];
        let bytes = device.as_bytes();
        if bytes.len() >= name.len() {
            return Err(io::Error::from_raw_os_error(libc::ENODEV));
        }
        name[..bytes.len()].copy_from_slice(bytes);
        option(f, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, &name)?;
    }
    if let Some(source) = origin.source {
        if transport == Transport::Tcp {
            match source.port() {
                // The kernel chooses the port when the peer is known, so a port that is in use towards another peer is possible.
                0 => option(f, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, &1i32)?,
                // The kernel may still hold the previous connection in TIME_WAIT.
                _ => option(f, libc::SOL_SOCKET, libc::SO_REUSEADDR, &1i32)?,
            }
        }
        let port = if transport == Transport::Icmp { 0 } else { source.port() };
        bind(f, &SockAddr::tcp(SocketAddr::new(source.ip(), port)))?;
    }
    Ok(Rc::new(fd))
}

/// Sends what there is room for, to the peer that the socket is connected to. Never waits: `WouldBlock`.
pub fn send_now(fd: &Fd, bytes: &[u8]) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the bytes outlive the call, which only reads them.
    let n = unsafe { libc::send(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// A TCP connection for a tool that has nothing else to do: opened within `limit`, blocking. `mark`: 0: none.
pub fn connect_within(to: SocketAddr, mark: u32, limit: Duration) -> io::Result<std::net::TcpStream> {
    let fd = socket(if to.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 }, libc::SOCK_STREAM, 0)?;
    if mark != 0 {
        option(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_MARK, &mark)?;
    }
    let stream = std::net::TcpStream::from(fd);
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(limit))?;
    match connect(stream.as_raw_fd(), &SockAddr::tcp(to)) {
        // The send timeout holds for the opening too.
        Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => Err(io::ErrorKind::TimedOut.into()),
        done => done.map(|()| stream),
    }
}

/// TC_PRIO_CONTROL: precedes bulk traffic in a queueing discipline with bands. Priority 7 needs CAP_NET_ADMIN, 6 needs no capability.
pub(super) fn control_priority(f: RawFd) {
    if option(f, libc::SOL_SOCKET, libc::SO_PRIORITY, &7i32).is_err() {
        let _ = option(f, libc::SOL_SOCKET, libc::SO_PRIORITY, &6i32);
    }
}

/// A result of the C library as a `Result`.
pub(super) fn errno_or(r: i32) -> io::Result<i32> {
    if r < 0 { Err(io::Error::last_os_error()) } else { Ok(r) }
}

/// Sets a buffer size beyond `net.core.*mem_max` with the capability, or up to that limit without it.
pub(super) fn buffer(f: RawFd, force: i32, plain: i32, bytes: i32) {
    if option(f, libc::SOL_SOCKET, force, &bytes).is_err() {
        let _ = option(f, libc::SOL_SOCKET, plain, &bytes);
    }
}

pub(super) fn socket(family: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers. Non-blocking: nothing may ever block the loop; io_uring polls by itself.
    let fd = unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, protocol) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a new file descriptor that has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub(super) fn option<V: Copy>(f: RawFd, level: i32, name: i32, value: &V) -> io::Result<()> {
    // SAFETY: `value` outlives the call and the length is its own; the kernel reads it only.
    let r = unsafe { libc::setsockopt(f, level, name, (value as *const V).cast(), size_of::<V>() as libc::socklen_t) };
    if r < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

pub(super) fn bind(f: RawFd, to: &SockAddr) -> io::Result<()> {
    // SAFETY: `to` outlives the call and knows its length.
    let r = unsafe { libc::bind(f, to.as_ptr(), to.len()) };
    if r < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

pub(super) fn connect(f: RawFd, to: &SockAddr) -> io::Result<()> {
    // SAFETY: as in `bind`.
    let r = unsafe { libc::connect(f, to.as_ptr(), to.len()) };
    if r < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: i32, data: &[u8]) -> Vec<u8> {
        let mut m = (16 + data.len() as u64).to_ne_bytes().to_vec();
        m.extend(libc::IPPROTO_IPV6.to_ne_bytes());
        m.extend(kind.to_ne_bytes());
        m.extend(data);
        m.resize(m.len().next_multiple_of(8), 0);
        m
    }

    #[test]
    fn ancillary_data_is_read_and_never_overrun() {
        let dst: Ipv6Addr = "ff02::12".parse().unwrap();
        let mut info = dst.octets().to_vec();
        info.extend(7i32.to_ne_bytes());
        let mut all = message(libc::IPV6_PKTINFO, &info);
        all.extend(message(libc::IPV6_HOPLIMIT, &255i32.to_ne_bytes()));
        let mut stamp = message(libc::SCM_TIMESTAMPNS, &[3u64.to_ne_bytes(), 7u64.to_ne_bytes()].concat());
        stamp[8..12].copy_from_slice(&libc::SOL_SOCKET.to_ne_bytes());
        all.extend(stamp);
        let stamp = Some(Wall(3_000_000_007));
        let read = Control { dst: Some(dst), hop_limit: Some(255), stamp, ..Control::default() };
        assert_eq!(control(&all), read);
        for cut in 0..all.len() {
            let _ = control(&all[..cut]);
        }
        all[..8].copy_from_slice(&u64::MAX.to_ne_bytes());
        assert_eq!(control(&all), Control::default());
        all[..8].fill(0);
        assert_eq!(control(&all), Control::default());
    }

    #[test]
    fn addresses_survive_the_trip() {
        for text in ["192.0.2.1", "fe80::1"] {
            let ip: IpAddr = text.parse().unwrap();
            let a = SockAddr::ip(ip, 3);
            // SAFETY: `len` bytes of the storage are initialised (all of it is).
            let raw = unsafe { core::slice::from_raw_parts(a.as_ptr().cast::<u8>(), a.len() as usize) };
            assert_eq!(sender(raw), Some(ip));
        }
        assert_eq!(sender(&[]), None);
        assert!(SockAddr::frame(1, &[0; 13]).is_none() && SockAddr::frame(1, &[0; 14]).is_some());
    }
}
