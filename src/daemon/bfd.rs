//! The UDP sockets of BFD: one for each port and family that receives, one for each session that sends.
//!
//! Read first: `effect.rs` (`BfdFx`), `sockets.rs`. The receiving ones have buffers of their own: a flood to a BFD port takes nothing from
//! adverts, and fills `BUFFERS` of a turn. Packets are sent by a system call, behind the adverts of the turn: its result is known at
//! once, and an operation of the ring would wake the loop once more for each.

use super::os::Os;
use super::token::Token;
use crate::effect::{BfdFx, BfdPort, BfdSpec};
use crate::event::{BfdEv, Errno, Event, LONGEST_AGE};
use crate::id::BfdKey;
use crate::sys::errno;
use crate::sys::op::{Done, Fd, Header, Link, OpKey};
use crate::sys::os::Buffers;
use crate::sys::socket::{self, SockAddr};
use crate::time::{Duration, Now};
use bytes::Bytes;
use core::net::SocketAddr;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::rc::Rc;

/// Buffers for datagrams: at most so many packets are handled in a turn, some microseconds each. More wait in the socket.
const BUFFERS: u16 = 32;
/// Bytes each: header, sender and ancillary data (172), and a packet of 24 with room for what may follow it.
const BUFFER: u32 = 512;
/// Group number of the buffers.
const GROUP: u16 = 5;
/// Receives that fail one after another before a socket counts as lost.
const RECEIVE_FAILURES: u32 = 8;

struct Receiver {
    fd: Fd,
    rx: OpKey,
    failures: u32,
}

struct Sender {
    fd: Fd,
    to: SockAddr,
}

/// The UDP sockets of all BFD sessions, made by `exec.rs` and opened on request ([`BfdFx`]).
pub struct BfdSockets<B> {
    // Made when they are needed first.
    buffers: Option<B>,
    header: Rc<Header>,
    ports: BTreeMap<BfdPort, Receiver>,
    senders: BTreeMap<BfdKey, Sender>,
    // To be sent behind the adverts of the turn.
    queue: Vec<(BfdKey, Fd, SockAddr, Bytes)>,
    /// Datagrams longer than any packet: dropped.
    pub oversized: u64,
    /// Datagrams whose sender could not be read: dropped.
    pub anonymous: u64,
    /// How often the buffers ran out (no datagram is lost by that).
    pub buffers_out: u64,
}

impl<B> Default for BfdSockets<B> {
    fn default() -> BfdSockets<B> {
        BfdSockets {
            buffers: None,
            header: Header::new(socket::NAME, socket::CONTROL),
            ports: BTreeMap::new(),
            senders: BTreeMap::new(),
            queue: Vec::new(),
            oversized: 0,
            anonymous: 0,
            buffers_out: 0,
        }
    }
}

fn code(e: &io::Error) -> Errno {
    Errno(e.raw_os_error().unwrap_or(0))
}

impl<B: Buffers> BfdSockets<B> {
    /// Does what is asked for.
    pub fn apply(&mut self, os: &mut impl Os<Buffers = B>, fx: BfdFx, inbox: &mut VecDeque<Event<'static>>) {
        match fx {
            BfdFx::Listen(port) => {
                self.quit(os, port);
                let result = self.listen(os, port).map_err(|e| code(&e));
                inbox.push_back(Event::Bfd(BfdEv::Listening { port, result }));
            }
            BfdFx::Quit(port) => self.quit(os, port),
            BfdFx::Open { session, spec } => {
                let opened = os.open_bfd(spec.source, spec.to.is_ipv6(), spec.port, spec.ttl);
                let result = opened.map_err(|e| code(&e)).map(|fd| {
                    self.senders.insert(session, Sender { fd, to: destination(&spec) });
                });
                inbox.push_back(Event::Bfd(BfdEv::Ready { session, result }));
            }
            BfdFx::Send { session, bytes } => match self.senders.get(&session) {
                Some(s) => self.queue.push((session, s.fd.clone(), s.to, bytes)),
                None => inbox.push_back(Event::Bfd(BfdEv::SendFailed { session, errno: Errno::ENODEV })),
            },
            BfdFx::Close { session } => drop(self.senders.remove(&session)),
        }
    }

    /// Sends the packets of the turn.
    pub fn flush(&mut self, os: &mut impl Os<Buffers = B>, inbox: &mut VecDeque<Event<'static>>) {
        for (session, fd, to, bytes) in self.queue.drain(..) {
            if let Err(e) = os.send_datagram(&fd, &bytes, &to) {
                inbox.push_back(Event::Bfd(BfdEv::SendFailed { session, errno: code(&e) }));
            }
        }
    }

    fn listen(&mut self, os: &mut impl Os<Buffers = B>, port: BfdPort) -> io::Result<()> {
        let buffers = match &mut self.buffers {
            Some(b) => b,
            none => none.insert(os.buffers(GROUP, BUFFERS, BUFFER)?),
        };
        let fd = os.open_bfd_port(port.v6, port.number())?;
        let rx = os.recv_multi(Token::Bfd(port), &fd, &self.header, buffers);
        self.ports.insert(port, Receiver { fd, rx, failures: 0 });
        Ok(())
    }

    fn quit(&mut self, os: &mut impl Os<Buffers = B>, port: BfdPort) {
        if let Some(r) = self.ports.remove(&port) {
            os.cancel(Token::Cancel, r.rx, Link::Last);
        }
    }

    /// A completion of a receive.
    pub fn on_done(
        &mut self,
        os: &mut impl Os<Buffers = B>,
        now: Now,
        port: BfdPort,
        done: &Done<Token>,
        tell: &mut dyn FnMut(Event<'_>),
    ) {
        let Some(buffers) = &mut self.buffers else { return };
        let open = self.ports.get_mut(&port).filter(|r| r.rx == done.op);
        if let Some(id) = done.buffer {
            if open.is_some() {
                match buffers.datagram(id, done.result, &self.header) {
                    Some(d) if !d.truncated => match socket::sender(d.name) {
                        Some(src) => {
                            let c = socket::control(d.control);
                            let age = c.stamp.map_or(Duration::ZERO, |at| now.wall.since(at)).min(LONGEST_AGE);
                            let dst = c.dst.map(Into::into).or(c.dst_v4.map(Into::into));
                            let (ttl, bytes) = (c.hop_limit, d.payload);
                            tell(Event::Bfd(BfdEv::Datagram { port, src, dst, ttl, age, bytes }));
                        }
                        None => self.anonymous += 1,
                    },
                    _ => self.oversized += 1,
                }
            }
            buffers.give(id);
        }
        let Some(r) = open else { return };
        if done.result >= 0 {
            r.failures = 0;
        } else if done.result == errno::ENOBUFS {
            self.buffers_out += 1;
        } else {
            r.failures += 1;
        }
        if done.more {
            return;
        }
        if r.failures < RECEIVE_FAILURES {
            r.rx = os.recv_multi(Token::Bfd(port), &r.fd, &self.header, buffers);
            return;
        }
        self.ports.remove(&port);
        tell(Event::Bfd(BfdEv::Lost { port, errno: Errno(-done.result) }));
    }
}

fn destination(spec: &BfdSpec) -> SockAddr {
    let port = BfdPort { v6: spec.to.is_ipv6(), multihop: spec.multihop }.number();
    SockAddr::tcp(SocketAddr::new(spec.to, port))
}
