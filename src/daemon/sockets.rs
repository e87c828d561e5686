//! VRRP sockets: they are opened, received from and closed here; and the socket by which a packet leaves.
//!
//! Read first: `sys/socket.rs` (the two sockets behind one), `sends.rs` (`Way`). The receiving one has a multishot receive into provided
//! buffers, beside it perhaps a packet socket for adverts from addresses of this host. A receive is cancelled before its descriptor is
//! released; a completion for a closed socket returns its buffer and is otherwise ignored.
//!
//! A multicast group is joined and left by the helper, because another process may hold the kernel's lock for that. The receive begins,
//! and the socket is ready, when the group is joined.

use super::adverts::Adverts;
use super::helperline::HelperLine;
use super::os::Os;
use super::sends::{To, Way};
use super::token::{SockToken, Token};
use crate::effect::{Packets, SockFx, SockSpec};
use crate::event::{Errno, Event, LONGEST_AGE, RxMeta, SockEv};
use crate::id::SockKey;
use crate::note::Note;
use crate::sys::errno;
use crate::sys::op::{Done, Fd, Header, Link, OpKey};
use crate::sys::os::Buffers;
use crate::sys::socket::{self, Pair, SockAddr};
use crate::time::{Duration, Now};
use crate::vrrp::text;
use core::net::{IpAddr, Ipv4Addr};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::rc::Rc;

/// Buffers for datagrams. They are locked memory. A flood of 10,000 a second fills 64 in 6 ms, and then datagrams wait in
/// the socket.
const BUFFERS: u16 = 64;
/// Bytes each: header, sender and ancillary data (140), and an advert with 255 IPv6 addresses (4,088) or, for IPv4,
/// one with the longest IP header (60 + 1,036).
const BUFFER: u32 = 4608;
/// Group number of the datagram buffers.
const GROUP: u16 = 1;

/// Datagrams that are read before the timers although the buffers run out again and again: more than the kernel keeps for a socket
/// (`RECEIVE_BUFFER`, at 512 bytes each: no packet takes less). So all that was there when a timer became due is read before it, and a
/// flood delays the timers once by the time that these take, some tens of milliseconds.
const UNREAD: usize = 4096;
/// Receives that fail one after another before a socket counts as lost. An ICMP message of any host may cause a single error.
const RECEIVE_FAILURES: u32 = 8;

struct Sock {
    pair: Pair,
    to: To,
    v6: bool,
    /// The receive; `None` while the group is being joined.
    rx: Option<OpKey>,
    failures: u32,
    spec: SockSpec,
    local: Option<Local>,
    /// Multicast adverts leave by a socket that is not connected to the group ([`SockFx::Unconnect`]).
    unconnected: bool,
}

/// The packet socket beside a VRRP socket, for adverts from addresses of this host.
struct Local {
    fd: Fd,
    rx: OpKey,
    failures: u32,
}

/// All VRRP sockets by their keys, the receive buffers that they share, and counters of datagrams dropped before they are read.
pub struct Sockets<B> {
    buffers: B,
    header_v4: Rc<Header>,
    header_v6: Rc<Header>,
    socks: BTreeMap<SockKey, Sock>,
    frames: Option<Fd>,
    /// Datagrams longer than any advert: dropped.
    pub oversized: u64,
    /// Datagrams whose sender could not be read: dropped.
    pub anonymous: u64,
    /// How often the datagram buffers ran out (no datagram is lost by that).
    pub buffers_out: u64,
    /// A receive ended although there may be more to read, since [`Sockets::are_behind`] was asked.
    cut: bool,
    /// Datagrams that were read since none was cut.
    read: usize,
}

impl<B: Buffers> Sockets<B> {
    /// No socket is open; the buffers are allocated.
    pub fn new(os: &mut impl Os<Buffers = B>) -> io::Result<Sockets<B>> {
        Ok(Sockets {
            buffers: os.buffers(GROUP, BUFFERS, BUFFER)?,
            header_v4: Header::new(socket::NAME, socket::CONTROL),
            header_v6: Header::new(socket::NAME, socket::CONTROL),
            socks: BTreeMap::new(),
            frames: None,
            oversized: 0,
            anonymous: 0,
            buffers_out: 0,
            cut: false,
            read: 0,
        })
    }

    /// Executes a request. Armed adverts of a closed socket are cancelled. Returns a note for the log.
    pub fn apply(
        &mut self,
        os: &mut impl Os<Buffers = B>,
        adverts: &mut Adverts,
        helper: &mut HelperLine,
        fx: SockFx,
        inbox: &mut VecDeque<Event<'static>>,
    ) -> Option<Note> {
        match fx {
            SockFx::Open { sock, spec } => {
                self.close(os, adverts, helper, sock);
                match self.open(os, helper, sock, spec) {
                    Ok(()) if spec.is_unicast() => self.begin(os, sock, inbox),
                    // The answer comes when the group is joined.
                    Ok(()) => {}
                    Err(e) => {
                        let result = Err(Errno(e.raw_os_error().unwrap_or(0)));
                        inbox.push_back(Event::Sock(SockEv::Ready { sock, result }));
                    }
                }
                None
            }
            SockFx::Close { sock } => {
                self.close(os, adverts, helper, sock);
                None
            }
            SockFx::HearLocal { sock, sources } => self.hear_local(os, sock, &sources),
            SockFx::Unconnect { sock } => {
                self.unconnect(os, sock);
                None
            }
        }
    }

    /// Continues with the sockets that joined their group, or could not.
    pub(super) fn joined(
        &mut self,
        os: &mut impl Os<Buffers = B>,
        helper: &mut HelperLine,
        inbox: &mut VecDeque<Event<'static>>,
    ) {
        for (sock, result) in helper.joined(os) {
            match result {
                Ok(()) => self.begin(os, sock, inbox),
                Err(e) => {
                    self.socks.remove(&sock);
                    inbox.push_back(Event::Sock(SockEv::Ready { sock, result: Err(e) }));
                }
            }
        }
    }

    /// Begins to receive: the socket is ready.
    fn begin(&mut self, os: &mut impl Os<Buffers = B>, sock: SockKey, inbox: &mut VecDeque<Event<'static>>) {
        let Some(s) = self.socks.get_mut(&sock) else { return };
        let header = if s.v6 { &self.header_v6 } else { &self.header_v4 };
        s.rx = Some(os.recv_multi(Token::Sock(SockToken::Rx(sock)), &s.pair.rx, header, &self.buffers));
        inbox.push_back(Event::Sock(SockEv::Ready { sock, result: Ok(()) }));
    }

    /// The socket and destination of packets that leave by `sock`.
    pub fn way(&self, sock: SockKey) -> Option<Way> {
        let s = self.socks.get(&sock)?;
        let frames = self.frames.clone().zip(s.spec.ifindex());
        Some(Way { fd: s.pair.tx.clone(), to: s.to.clone(), frames })
    }

    /// Opens the packet socket by which adverts from a virtual MAC address leave, before the first of them.
    pub fn need_frames(&mut self, os: &mut impl Os, packets: &Packets) {
        if self.frames.is_none() && packets.iter().any(|p| p.from.is_some()) {
            self.frames = os.open_frames().ok();
        }
    }

    /// As [`Sockets::way`], for an advert that is sent at once, before many armed ones: connects the socket if that failed when it was
    /// opened because the interface was down.
    pub fn way_now(&mut self, os: &mut impl Os, sock: SockKey) -> Option<Way> {
        if let Some(s) = self.socks.get_mut(&sock)
            && !s.unconnected
            && let To::One(group) = &s.to
            && os.connect_group(&s.pair.tx, group)
        {
            s.to = To::Connected;
        }
        self.way(sock)
    }

    fn open(
        &mut self,
        os: &mut impl Os<Buffers = B>,
        helper: &mut HelperLine,
        sock: SockKey,
        spec: SockSpec,
    ) -> io::Result<()> {
        let (pair, to) = match spec {
            SockSpec::Multicast { ifindex, group, ah } => {
                let pair = os.open_vrrp(ifindex, group, ah)?;
                helper.join(os, sock, &pair.rx, ifindex, group);
                let to = Rc::new(SockAddr::ip(group, ifindex));
                let connected = os.connect_group(&pair.tx, &to);
                (pair, if connected { To::Connected } else { To::One(to) })
            }
            SockSpec::Unicast { local, ifindex, ah } => (os.open_unicast(ifindex, local, ah)?, To::Each(ifindex)),
        };
        let v6 = spec.address().is_ipv6();
        self.socks.insert(sock, Sock { pair, to, v6, rx: None, failures: 0, spec, local: None, unconnected: false });
        Ok(())
    }

    /// Cancel before close: the receive is cancelled, and the descriptors close with the last operation that holds them.
    fn close(&mut self, os: &mut impl Os, adverts: &mut Adverts, helper: &mut HelperLine, sock: SockKey) {
        if let Some(s) = self.socks.remove(&sock) {
            adverts.close(os, sock);
            for rx in s.rx.into_iter().chain(s.local.map(|l| l.rx)) {
                os.cancel(Token::Cancel, rx, Link::Last);
            }
            if let SockSpec::Multicast { ifindex, group, .. } = s.spec {
                helper.leave(os, sock, s.pair.rx, ifindex, group);
            }
        }
    }

    // Adverts that are armed keep the socket that they were armed with.
    fn unconnect(&mut self, os: &mut impl Os<Buffers = B>, sock: SockKey) {
        let Some(s) = self.socks.get_mut(&sock).filter(|s| !s.unconnected) else { return };
        let SockSpec::Multicast { ifindex, group, .. } = s.spec else { return };
        if let Ok(tx) = os.open_sender(ifindex, group) {
            s.pair.tx = tx;
            s.to = To::One(Rc::new(SockAddr::ip(group, ifindex)));
            s.unconnected = true;
        }
    }

    fn hear_local(&mut self, os: &mut impl Os<Buffers = B>, sock: SockKey, sources: &[Ipv4Addr]) -> Option<Note> {
        let s = self.socks.get_mut(&sock)?;
        let IpAddr::V4(to) = s.spec.address() else { return None };
        let local = s.local.take();
        if sources.is_empty() {
            if let Some(l) = local {
                os.cancel(Token::Cancel, l.rx, Link::Last);
            }
            return None;
        }
        let result = match local {
            Some(l) => os.filter_local(&l.fd, to, sources, s.spec.is_ah()).map(|()| l),
            None => os.open_local(s.spec.ifindex().unwrap_or(0), to, sources, s.spec.is_ah()).map(|fd| {
                let rx = os.recv_multi(Token::Sock(SockToken::Local(sock)), &fd, &self.header_v4, &self.buffers);
                Local { fd, rx, failures: 0 }
            }),
        };
        match result {
            Ok(l) => {
                s.local = Some(l);
                None
            }
            Err(e) => Some(text::no_local(Errno(e.raw_os_error().unwrap_or(0)))),
        }
    }

    /// A completion of a receive. Returns a note for the log.
    pub fn on_done(
        &mut self,
        os: &mut impl Os<Buffers = B>,
        adverts: &mut Adverts,
        helper: &mut HelperLine,
        now: Now,
        token: SockToken,
        done: &Done<Token>,
        tell: &mut dyn FnMut(Event<'_>),
    ) -> Option<Note> {
        match token {
            SockToken::Rx(sock) => {
                if let Some(errno) = self.datagram(os, now, sock, done, tell) {
                    self.close(os, adverts, helper, sock);
                    tell(Event::Sock(SockEv::Lost { sock, errno }));
                }
                None
            }
            SockToken::Local(sock) => self.local_datagram(os, now, sock, done, tell),
        }
    }

    /// After the completions of a turn: whether datagrams wait that the receives had no buffers for. A timer that is due was perhaps
    /// stopped by one of them.
    pub fn are_behind(&mut self) -> bool {
        if !core::mem::take(&mut self.cut) {
            self.read = 0;
        }
        // A flood: from now on timers fire, until the sockets were read to the end once.
        self.read > 0 && self.read <= UNREAD * self.socks.len()
    }

    /// `Some`: the socket is lost.
    fn datagram(
        &mut self,
        os: &mut impl Os<Buffers = B>,
        now: Now,
        sock: SockKey,
        done: &Done<Token>,
        tell: &mut dyn FnMut(Event<'_>),
    ) -> Option<Errno> {
        let open = self.socks.get_mut(&sock).filter(|s| s.rx == Some(done.op));
        if let Some(id) = done.buffer {
            self.read += 1;
            if let Some(s) = &open {
                let header = if s.v6 { &self.header_v6 } else { &self.header_v4 };
                match self.buffers.datagram(id, done.result, header) {
                    Some(d) if d.truncated => self.oversized += 1,
                    Some(d) => match socket::sender(d.name) {
                        Some(src) => {
                            let c = socket::control(d.control);
                            let meta = RxMeta { src, dst: c.dst, hop_limit: c.hop_limit };
                            let age = c.stamp.map_or(Duration::ZERO, |at| now.wall.since(at)).min(LONGEST_AGE);
                            tell(Event::Sock(SockEv::Datagram { sock, meta, age, bytes: d.payload }));
                        }
                        None => self.anonymous += 1,
                    },
                    None => self.oversized += 1,
                }
            }
            self.buffers.give(id);
        }
        let s = open?;
        if done.result >= 0 {
            s.failures = 0;
        } else if done.result == errno::ENOBUFS {
            self.buffers_out += 1;
        } else {
            s.failures += 1;
        }
        if done.more {
            return None;
        }
        if s.failures >= RECEIVE_FAILURES {
            return Some(Errno(-done.result));
        }
        self.cut |= done.result >= 0 || done.result == errno::ENOBUFS;
        let header = if s.v6 { &self.header_v6 } else { &self.header_v4 };
        s.rx = Some(os.recv_multi(Token::Sock(SockToken::Rx(sock)), &s.pair.rx, header, &self.buffers));
        None
    }

    fn local_datagram(
        &mut self,
        os: &mut impl Os<Buffers = B>,
        now: Now,
        sock: SockKey,
        done: &Done<Token>,
        tell: &mut dyn FnMut(Event<'_>),
    ) -> Option<Note> {
        let mut open = self.socks.get_mut(&sock).and_then(|s| s.local.as_mut()).filter(|l| l.rx == done.op);
        if let Some(id) = done.buffer {
            if open.is_some()
                && let Some(d) = self.buffers.datagram(id, done.result, &self.header_v4).filter(|d| !d.truncated)
                && let Some(src) = d.payload.get(12..16).and_then(|b| <[u8; 4]>::try_from(b).ok())
            {
                let meta = RxMeta { src: src.into(), dst: None, hop_limit: None };
                let stamp = socket::control(d.control).stamp;
                let age = stamp.map_or(Duration::ZERO, |at| now.wall.since(at)).min(LONGEST_AGE);
                tell(Event::Sock(SockEv::LocalDatagram { sock, meta, age, bytes: d.payload }));
            }
            self.buffers.give(id);
        }
        let l = open.as_mut()?;
        match done.result {
            0.. => l.failures = 0,
            // Reported once each time the interface goes down.
            errno::ENOBUFS | errno::ENETDOWN => {}
            _ => l.failures += 1,
        }
        if done.more {
            return None;
        }
        if l.failures < RECEIVE_FAILURES {
            l.rx = os.recv_multi(Token::Sock(SockToken::Local(sock)), &l.fd, &self.header_v4, &self.buffers);
            return None;
        }
        if let Some(s) = self.socks.get_mut(&sock) {
            s.local = None;
        }
        Some(text::no_local(Errno(-done.result)))
    }
}
