//! What the services of the loop request of the operating system, as two traits: operations of a ring, and the few system calls that are
//! made directly.
//!
//! [`Ring`] implements both by forwarding, so that the shipped services are compiled against io_uring without a layer in between. The
//! simulator (`tests/sim/os`) implements both with a virtual clock and faults, and runs the same services. Read first: `ring.rs`,
//! `op.rs`.
//!
//! A descriptor is a real one on both sides: the simulation includes that it closes with the last operation that holds it.

use super::bufring::{BufRing, Received};
use super::op::{Done, Fd, Header, Link, OpKey};
use super::ring::{How, Ring};
use super::socket::{Origin, Pair, SockAddr, Transport};
use super::{bfd, clock, fifo, logfd, netlink, seqpacket, socket};
use crate::time::{Duration, Instant, Now};
use bytes::Bytes;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

/// Provided buffers; see [`BufRing`].
pub trait Buffers {
    /// Splits the buffer of a multishot receive into its parts; `None` when the buffer is shorter than its own header.
    fn datagram(&mut self, id: u16, len: i32, header: &Header) -> Option<Received<'_>>;
    /// Offers a buffer to the kernel again: once for each completion that named it.
    fn give(&mut self, id: u16);
}

impl Buffers for BufRing {
    fn datagram(&mut self, id: u16, len: i32, header: &Header) -> Option<Received<'_>> {
        BufRing::datagram(self, id, len, header)
    }
    fn give(&mut self, id: u16) {
        BufRing::give(self, id);
    }
}

/// Operations: submitted, linked, cancelled, completed. Each method is [`Ring`]'s of the same name.
pub trait Ops<T: Copy> {
    /// The buffers that datagrams are received into.
    type Buffers: Buffers;

    /// Makes `entries` buffers of `size` bytes, and offers all of them under the number `group`.
    fn buffers(&mut self, group: u16, entries: u16, size: u32) -> io::Result<Self::Buffers>;
    /// Makes room for `n` submission entries; false: there is none ([`Ring::room`]).
    fn room(&mut self, n: usize) -> bool;
    /// Queues a send ([`Ring::send`]).
    fn send(&mut self, tag: T, fd: &Fd, bytes: Bytes, to: Option<Rc<SockAddr>>, link: Link, how: How) -> OpKey;
    /// Queues a send that is linked hard and does not complete when it succeeds ([`Ring::send_quiet`]).
    fn send_quiet(&mut self, tag: T, fd: &Fd, bytes: Bytes, to: Option<Rc<SockAddr>>) -> OpKey;
    /// Releases the memory of a quiet send that has ended ([`Ring::release`]).
    fn release(&mut self, op: OpKey);
    /// Queues a write at the file's position ([`Ring::write`]).
    fn write(&mut self, tag: T, fd: &Fd, bytes: Bytes) -> OpKey;
    /// Queues one read of at most `size` bytes ([`Ring::read`]).
    fn read(&mut self, tag: T, fd: &Fd, size: usize) -> OpKey;
    /// Queues a connect; `worker`: never on this thread ([`Ring::connect`]).
    fn connect(&mut self, tag: T, fd: &Fd, to: Rc<SockAddr>, worker: bool) -> OpKey;
    /// Queues one receive of at most `size` bytes ([`Ring::recv`]).
    fn recv(&mut self, tag: T, fd: &Fd, size: usize) -> OpKey;
    /// Takes back the buffer of a completed receive ([`Ring::reuse`]).
    fn reuse(&mut self, buf: Box<[u8]>) {
        drop(buf);
    }
    /// Queues a wait until `fd` can be read or, with `write`, written ([`Ring::poll`]).
    fn poll(&mut self, tag: T, fd: &Fd, write: bool) -> OpKey;
    /// Queues a receive that completes for each datagram ([`Ring::recv_multi`]).
    fn recv_multi(&mut self, tag: T, fd: &Fd, header: &Rc<Header>, into: &Self::Buffers) -> OpKey;
    /// Queues a timer of CLOCK_MONOTONIC, which releases what is linked behind it ([`Ring::timeout_at`]).
    fn timeout_at(&mut self, tag: T, at: Instant, link: Link) -> OpKey;
    /// Queues the cancellation of `target` ([`Ring::cancel`]).
    fn cancel(&mut self, tag: T, target: OpKey, link: Link) -> OpKey;

    /// See [`Ring::submit_and_wait`]. A simulated ring returns at once: the simulator calls the loop again when the time has come.
    fn submit_and_wait(&mut self, until: Option<Instant>) -> io::Result<()>;
    /// Submits, and stays awake until `end` or until an operation has completed; `ask`: by calling the kernel repeatedly.
    fn spin(&mut self, end: Instant, ask: bool) -> io::Result<()>;
    /// Submits, collects ready completions, does not wait ([`Ring::submit`]).
    fn submit(&mut self) -> io::Result<()>;
    /// Submits what must not wait until the end of the turn ([`Ring::push_out`]).
    fn push_out(&mut self);
    /// The number of queued completions ([`Ring::queued`]).
    fn queued(&mut self) -> usize;
    /// The next completion; `None`: none is queued ([`Ring::pop`]).
    fn pop(&mut self) -> Option<Done<T>>;
    /// The errno that made the ring unusable, if one did ([`Ring::broken`]).
    fn broken(&self) -> Option<i32>;
    /// The number of operations in flight ([`Ring::in_flight`]).
    fn in_flight(&self) -> usize;
    /// The number of completions that named no operation ([`Ring::unknown`]).
    fn unknown(&self) -> u64;
}

/// System calls that the services make directly: those that are no operations of a ring, or are cheaper as calls.
pub trait Calls {
    /// The monotonic clock and the wall clock, read together.
    fn now(&self) -> Now;
    /// The monotonic one.
    fn mono(&self) -> Instant;
    /// Processor time used so far.
    fn cpu(&self) -> Duration;
    /// Opens the two sockets for multicast adverts on an interface; the group is not joined yet ([`socket::open_vrrp`]).
    fn open_vrrp(&mut self, ifindex: u32, group: IpAddr, ah: bool) -> io::Result<Pair>;
    /// Joins a group; may wait, so only where no helper can do it ([`socket::join`]).
    fn join(&mut self, rx: &Fd, ifindex: u32, group: IpAddr) -> io::Result<()>;
    /// Opens the two sockets for unicast adverts to `local` ([`socket::open_unicast`]).
    fn open_unicast(&mut self, ifindex: u32, local: IpAddr, ah: bool) -> io::Result<Pair>;
    /// Opens a socket that sends multicast adverts ([`socket::open_sender`]).
    fn open_sender(&mut self, ifindex: u32, group: IpAddr) -> io::Result<Fd>;
    /// Connects a sending socket to its group; false: it failed ([`socket::connect_group`]).
    fn connect_group(&mut self, tx: &Fd, to: &SockAddr) -> bool;
    /// Opens a packet socket for adverts from addresses of this host ([`socket::open_local`]).
    fn open_local(&mut self, ifindex: u32, to: Ipv4Addr, sources: &[Ipv4Addr], ah: bool) -> io::Result<Fd>;
    /// Replaces the source addresses of such a socket ([`socket::filter_local`]).
    fn filter_local(&mut self, fd: &Fd, to: Ipv4Addr, sources: &[Ipv4Addr], ah: bool) -> io::Result<()>;
    /// Opens a packet socket that sends Ethernet frames ([`socket::open_packet`]).
    fn open_packet(&mut self) -> io::Result<Fd>;
    /// Opens a packet socket for adverts that leave as whole frames (`socket::open_frames`).
    fn open_frames(&mut self) -> io::Result<Fd>;
    /// Sends frames; returns how many left, and the errno of the next one ([`socket::send_frames`]).
    fn send_frames(&mut self, fd: &Fd, ifindex: u32, frames: &[Bytes]) -> (usize, Option<i32>);
    /// Opens a unix stream socket ([`socket::open_unix`]).
    fn open_unix(&mut self) -> io::Result<Fd>;
    /// Sends what there is room for, to the connected peer ([`socket::send_now`]).
    fn send_now(&mut self, fd: &Fd, bytes: &[u8]) -> io::Result<usize>;
    /// Opens a socket for a peer of `to`'s family ([`socket::open_to`]).
    fn open_to(&mut self, transport: Transport, to: SocketAddr, origin: &Origin<'_>) -> io::Result<Fd>;
    /// Opens a socket that receives on a UDP port of BFD ([`bfd::open_bfd_port`]).
    fn open_bfd_port(&mut self, v6: bool, port: u16) -> io::Result<Fd>;
    /// Opens a socket that sends the packets of one BFD session ([`bfd::open_bfd`]).
    fn open_bfd(&mut self, source: Option<IpAddr>, v6: bool, port: u16, ttl: u8) -> io::Result<Fd>;
    /// Sends one datagram without waiting ([`bfd::send_datagram`]).
    fn send_datagram(&mut self, fd: &Fd, bytes: &[u8], to: &SockAddr) -> io::Result<()>;
    /// Opens the rtnetlink socket; returns the kernel's address as well ([`netlink::open`]).
    fn open_netlink(&mut self) -> io::Result<(Fd, Rc<SockAddr>)>;
    /// Opens a generic netlink socket ([`netlink::open_generic`]).
    fn open_generic(&mut self) -> io::Result<(Fd, Rc<SockAddr>)>;
    /// Opens an nfnetlink socket ([`netlink::open_netfilter`]).
    fn open_netfilter(&mut self) -> io::Result<(Fd, Rc<SockAddr>)>;
    /// The netlink port of an open socket ([`netlink::port`]).
    fn netlink_port(&mut self, fd: &Fd) -> io::Result<u32>;
    /// Subscribes a socket to routes and policy rules that pass `filter` ([`netlink::watch_routes`]).
    fn watch_routes(&mut self, fd: &Fd, filter: &[(u16, u8, u8, u32)]) -> io::Result<()>;
    /// The number of messages that the kernel could not queue for a socket ([`netlink::drops`]).
    fn netlink_drops(&mut self, fd: &Fd) -> Option<u32>;
    /// See [`seqpacket::send`]; with one descriptor at most.
    fn send_message(&mut self, fd: &Fd, bytes: &[u8], gift: Option<BorrowedFd<'_>>) -> io::Result<()>;
    /// Takes one message and its descriptors; `None`: there is none at present ([`seqpacket::recv`]).
    fn recv_message(&mut self, fd: &Fd, buf: &mut [u8]) -> io::Result<Option<(usize, Vec<OwnedFd>)>>;
    /// Whether a descriptor is a pipe that a write never waits on ([`fifo::usable`]).
    fn usable_fifo(&mut self, fd: &OwnedFd) -> bool;
    /// Writes a line whole or not at all ([`fifo::write`]).
    fn write_fifo(&mut self, fd: &Fd, line: &[u8]) -> io::Result<()>;
    /// Duplicates standard error ([`logfd::stderr`]).
    fn open_stderr(&mut self) -> io::Result<Fd>;
    /// Opens a datagram socket that is connected to the syslog socket at `path` ([`logfd::syslog`]).
    fn open_syslog(&mut self, path: &str) -> io::Result<Fd>;
    /// The process that started this one.
    fn parent(&self) -> u32;
}

impl<T: Copy> Ops<T> for Ring<T> {
    type Buffers = BufRing;

    fn buffers(&mut self, group: u16, entries: u16, size: u32) -> io::Result<BufRing> {
        let buffers = BufRing::new(group, entries, size)?;
        self.register(&buffers)?;
        Ok(buffers)
    }
    #[inline]
    fn room(&mut self, n: usize) -> bool {
        Ring::room(self, n)
    }
    #[inline]
    fn send(&mut self, tag: T, fd: &Fd, bytes: Bytes, to: Option<Rc<SockAddr>>, link: Link, how: How) -> OpKey {
        Ring::send(self, tag, fd, bytes, to, link, how)
    }
    #[inline]
    fn send_quiet(&mut self, tag: T, fd: &Fd, bytes: Bytes, to: Option<Rc<SockAddr>>) -> OpKey {
        Ring::send_quiet(self, tag, fd, bytes, to)
    }
    #[inline]
    fn release(&mut self, op: OpKey) {
        Ring::release(self, op);
    }
    fn write(&mut self, tag: T, fd: &Fd, bytes: Bytes) -> OpKey {
        Ring::write(self, tag, fd, bytes)
    }
    fn read(&mut self, tag: T, fd: &Fd, size: usize) -> OpKey {
        Ring::read(self, tag, fd, size)
    }
    fn connect(&mut self, tag: T, fd: &Fd, to: Rc<SockAddr>, worker: bool) -> OpKey {
        Ring::connect(self, tag, fd, to, worker)
    }
    fn recv(&mut self, tag: T, fd: &Fd, size: usize) -> OpKey {
        Ring::recv(self, tag, fd, size)
    }
    fn reuse(&mut self, buf: Box<[u8]>) {
        Ring::reuse(self, buf);
    }
    fn poll(&mut self, tag: T, fd: &Fd, write: bool) -> OpKey {
        Ring::poll(self, tag, fd, write)
    }
    fn recv_multi(&mut self, tag: T, fd: &Fd, header: &Rc<Header>, into: &BufRing) -> OpKey {
        Ring::recv_multi(self, tag, fd, header, into)
    }
    #[inline]
    fn timeout_at(&mut self, tag: T, at: Instant, link: Link) -> OpKey {
        Ring::timeout_at(self, tag, at, link)
    }
    #[inline]
    fn cancel(&mut self, tag: T, target: OpKey, link: Link) -> OpKey {
        Ring::cancel(self, tag, target, link)
    }
    #[inline]
    fn submit_and_wait(&mut self, until: Option<Instant>) -> io::Result<()> {
        Ring::submit_and_wait(self, until)
    }
    fn spin(&mut self, end: Instant, ask: bool) -> io::Result<()> {
        self.submit_pushed()?;
        while clock::mono() < end && Ring::queued(self) == 0 {
            match ask {
                // Completions come from another processor: a call is quicker than an interrupt.
                true => Ring::submit(self)?,
                // Completions come from a timer of this processor.
                false => core::hint::spin_loop(),
            }
        }
        Ok(())
    }
    #[inline]
    fn submit(&mut self) -> io::Result<()> {
        Ring::submit(self)
    }
    #[inline]
    fn push_out(&mut self) {
        Ring::push_out(self);
    }
    #[inline]
    fn queued(&mut self) -> usize {
        Ring::queued(self)
    }
    #[inline]
    fn pop(&mut self) -> Option<Done<T>> {
        Ring::pop(self)
    }
    fn broken(&self) -> Option<i32> {
        Ring::broken(self)
    }
    fn in_flight(&self) -> usize {
        Ring::in_flight(self)
    }
    fn unknown(&self) -> u64 {
        Ring::unknown(self)
    }
}

impl<T: Copy> Calls for Ring<T> {
    #[inline]
    fn now(&self) -> Now {
        clock::now()
    }
    #[inline]
    fn mono(&self) -> Instant {
        clock::mono()
    }
    fn cpu(&self) -> Duration {
        clock::cpu()
    }
    fn open_vrrp(&mut self, ifindex: u32, group: IpAddr, ah: bool) -> io::Result<Pair> {
        socket::open_vrrp(ifindex, group, ah)
    }
    fn join(&mut self, rx: &Fd, ifindex: u32, group: IpAddr) -> io::Result<()> {
        socket::join(&**rx, ifindex, group)
    }
    fn open_unicast(&mut self, ifindex: u32, local: IpAddr, ah: bool) -> io::Result<Pair> {
        socket::open_unicast(ifindex, local, ah)
    }
    fn open_sender(&mut self, ifindex: u32, group: IpAddr) -> io::Result<Fd> {
        socket::open_sender(ifindex, group)
    }
    fn connect_group(&mut self, tx: &Fd, to: &SockAddr) -> bool {
        socket::connect_group(tx, to)
    }
    fn open_local(&mut self, ifindex: u32, to: Ipv4Addr, sources: &[Ipv4Addr], ah: bool) -> io::Result<Fd> {
        socket::open_local(ifindex, to, sources, ah)
    }
    fn filter_local(&mut self, fd: &Fd, to: Ipv4Addr, sources: &[Ipv4Addr], ah: bool) -> io::Result<()> {
        socket::filter_local(fd.as_raw_fd(), to, sources, ah)
    }
    fn open_frames(&mut self) -> io::Result<Fd> {
        socket::open_frames()
    }
    fn open_packet(&mut self) -> io::Result<Fd> {
        socket::open_packet()
    }
    #[inline]
    fn send_frames(&mut self, fd: &Fd, ifindex: u32, frames: &[Bytes]) -> (usize, Option<i32>) {
        socket::send_frames(fd, ifindex, frames)
    }
    fn open_unix(&mut self) -> io::Result<Fd> {
        socket::open_unix()
    }
    fn send_now(&mut self, fd: &Fd, bytes: &[u8]) -> io::Result<usize> {
        socket::send_now(fd, bytes)
    }
    fn open_to(&mut self, transport: Transport, to: SocketAddr, origin: &Origin<'_>) -> io::Result<Fd> {
        socket::open_to(transport, to, origin)
    }
    fn open_bfd_port(&mut self, v6: bool, port: u16) -> io::Result<Fd> {
        bfd::open_bfd_port(v6, port)
    }
    fn open_bfd(&mut self, source: Option<IpAddr>, v6: bool, port: u16, ttl: u8) -> io::Result<Fd> {
        bfd::open_bfd(source, v6, port, ttl)
    }
    fn send_datagram(&mut self, fd: &Fd, bytes: &[u8], to: &SockAddr) -> io::Result<()> {
        bfd::send_datagram(fd, bytes, to)
    }
    fn open_netlink(&mut self) -> io::Result<(Fd, Rc<SockAddr>)> {
        netlink::open()
    }
    fn open_generic(&mut self) -> io::Result<(Fd, Rc<SockAddr>)> {
        netlink::open_generic()
    }
    fn open_netfilter(&mut self) -> io::Result<(Fd, Rc<SockAddr>)> {
        netlink::open_netfilter()
    }
    fn netlink_port(&mut self, fd: &Fd) -> io::Result<u32> {
        netlink::port(fd)
    }
    fn watch_routes(&mut self, fd: &Fd, filter: &[(u16, u8, u8, u32)]) -> io::Result<()> {
        netlink::watch_routes(fd, filter)
    }
    fn netlink_drops(&mut self, fd: &Fd) -> Option<u32> {
        netlink::drops(fd)
    }
    fn send_message(&mut self, fd: &Fd, bytes: &[u8], gift: Option<BorrowedFd<'_>>) -> io::Result<()> {
        seqpacket::send(&**fd, bytes, gift.as_slice())
    }
    fn recv_message(&mut self, fd: &Fd, buf: &mut [u8]) -> io::Result<Option<(usize, Vec<OwnedFd>)>> {
        seqpacket::recv(&**fd, buf)
    }
    fn usable_fifo(&mut self, fd: &OwnedFd) -> bool {
        fifo::usable(fd)
    }
    fn write_fifo(&mut self, fd: &Fd, line: &[u8]) -> io::Result<()> {
        fifo::write(fd, line)
    }
    fn open_stderr(&mut self) -> io::Result<Fd> {
        logfd::stderr()
    }
    fn open_syslog(&mut self, path: &str) -> io::Result<Fd> {
        logfd::syslog(path)
    }
    fn parent(&self) -> u32 {
        std::os::unix::process::parent_id()
    }
}
