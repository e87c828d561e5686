//! rtnetlink: the table of open requests, dumps, and what is done when messages were lost.
//!
//! Read first: `sys/netlink.rs` (why one socket), `wire/netlink` (the encoding). Requests of one turn travel in one send,
//! in order, each with a sequence number of its own; the kernel answers each. The send runs on a kernel worker: the
//! kernel takes the rtnl lock for it, which anybody on the host may be holding, and a loop that sleeps on that lock is a
//! loop whose armed adverts are late as well.
//!
//! A dump is links, then addresses. It shares the socket with the notifications, so what is read is in the order it was
//! true; a notification read during a dump is simply newer than what the dump has said so far.

use super::token::Token;
use crate::effect::NetOp;
use crate::event::{Errno, Event, ReqId};
use crate::sys::bufring::BufRing;
use crate::sys::errno;
use crate::sys::netlink;
use crate::sys::op::{Fd, Header, Link};
use crate::sys::ring::{How, Ring};
use crate::sys::socket::SockAddr;
use crate::wire::netlink as wire;
use bytes::BytesMut;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::rc::Rc;

/// Requests per send. Adding an address costs the kernel 8 to 30 µs, so a slice is about 1 ms of a worker, its answers
/// and notices (two messages each) fit the buffers below twice over, and the first GARPs need not wait for the last
/// address.
const SLICE: usize = 128;
/// Requests not sent yet plus requests not answered yet. 255 routers × 32 addresses; beyond it a request is answered
/// with ENOBUFS, and the machines' own retry paces it.
const OPEN: usize = 8192;
/// Buffers: one per message. When they run out the messages wait in the socket, and nothing is lost; they are locked memory.
const BUFFERS: u16 = 64;
/// Bytes each: a dump's messages are at most as long as the buffer offered, a notice about a link is 2 to 3 KiB.
const BUFFER: u32 = 8192;
/// Group number of the buffers.
pub const GROUP: u16 = 2;

enum Item {
    Op(ReqId, NetOp),
    Links,
    Addrs,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Dump {
    Idle,
    /// Asked for, not sent yet.
    Queued,
    Links(u32),
    Addrs(u32),
}

/// The rtnetlink socket and everything open on it.
pub struct Rtnl {
    fd: Fd,
    to: Rc<SockAddr>,
    header: Rc<Header>,
    buffers: BufRing,
    seq: u32,
    queue: VecDeque<Item>,
    open: BTreeMap<u32, ReqId>,
    /// The send on its way.
    sending: Option<Vec<u32>>,
    dump: Dump,
    interrupted: bool,
    /// Asked for again, or spoilt, while one was running: begin anew when it has ended.
    again: bool,
    /// Messages that made no sense. Counted, otherwise ignored.
    pub malformed: u64,
    /// Messages the kernel has dropped so far.
    drops: u32,
}

impl Rtnl {
    /// Opens the socket and starts receiving.
    pub fn open(ring: &mut Ring<Token>) -> io::Result<Rtnl> {
        let (fd, to) = netlink::open()?;
        let buffers = BufRing::new(GROUP, BUFFERS, BUFFER)?;
        ring.register(&buffers)?;
        let header = Header::new(netlink::NAME, 0);
        ring.recv_multi(Token::NetlinkRx, &fd, &header, &buffers);
        Ok(Rtnl {
            fd,
            to,
            header,
            buffers,
            seq: 0,
            queue: VecDeque::new(),
            open: BTreeMap::new(),
            sending: None,
            dump: Dump::Idle,
            interrupted: false,
            again: false,
            malformed: 0,
            drops: 0,
        })
    }

    /// Takes a request; `Err`: answered at once.
    pub fn request(&mut self, req: ReqId, op: NetOp) -> Option<Event<'static>> {
        if self.queue.len() + self.open.len() >= OPEN {
            return Some(Event::Reply { req, result: Err(Errno::ENOBUFS) });
        }
        self.queue.push_back(Item::Op(req, op));
        None
    }

    /// Takes a wish for a dump. `DumpBegin`, unless one is running: then that one ends without a word, and another
    /// begins.
    pub fn resync(&mut self) -> Option<Event<'static>> {
        if self.dump != Dump::Idle {
            self.again = true;
            return None;
        }
        self.dump = Dump::Queued;
        self.interrupted = false;
        self.queue.push_back(Item::Links);
        Some(Event::DumpBegin)
    }

    /// Whether a request waits for the kernel's answer.
    pub fn waits(&self) -> bool {
        !self.open.is_empty()
    }

    /// Sends the next slice, if none is on its way; whether it did.
    pub fn pump(&mut self, ring: &mut Ring<Token>) -> bool {
        if self.sending.is_some() || self.queue.is_empty() {
            return false;
        }
        let mut out = BytesMut::new();
        let mut seqs = Vec::new();
        for item in self.queue.drain(..SLICE.min(self.queue.len())) {
            // 0 is what notifications carry.
            self.seq = self.seq.wrapping_add(1).max(1);
            let seq = self.seq;
            match item {
                Item::Op(req, op) => {
                    match &op {
                        NetOp::AddrAdd(spec) => wire::new_addr(&mut out, seq, spec),
                        NetOp::AddrDel(spec) => wire::del_addr(&mut out, seq, spec),
                    }
                    self.open.insert(seq, req);
                }
                Item::Links => {
                    wire::get_links(&mut out, seq);
                    self.dump = Dump::Links(seq);
                }
                Item::Addrs => {
                    wire::get_addrs(&mut out, seq);
                    self.dump = Dump::Addrs(seq);
                }
            }
            seqs.push(seq);
        }
        ring.send(Token::NetlinkTx, &self.fd, out.freeze(), Some(self.to.clone()), Link::Last, How::Worker);
        self.sending = Some(seqs);
        true
    }

    /// A slice left, or failed to: then none of it was looked at.
    pub fn on_sent(&mut self, result: i32, tell: &mut dyn FnMut(Event<'_>)) {
        let seqs = self.sending.take().unwrap_or_default();
        if result >= 0 {
            return;
        }
        for seq in seqs {
            self.answered(seq, Err(Errno(-result)), tell);
        }
    }

    /// A completion of the receive.
    pub fn on_received(
        &mut self,
        ring: &mut Ring<Token>,
        buffer: Option<u16>,
        result: i32,
        more: bool,
        tell: &mut dyn FnMut(Event<'_>),
    ) {
        if let Some(id) = buffer {
            let mut events = Vec::new();
            let lost = match self.buffers.datagram(id, result, &self.header) {
                Some(d) if netlink::from_kernel(d.name) => {
                    for m in wire::messages(d.payload) {
                        match m {
                            Ok(m) => events.push(m),
                            Err(_) => self.malformed += 1,
                        }
                    }
                    d.truncated
                }
                // Another process writing to our port: nothing was lost.
                Some(_) => false,
                None => true,
            };
            self.buffers.give(id);
            for m in events {
                self.on_message(m, tell);
            }
            if lost {
                self.lost(tell);
            }
        } else if result < 0 && result != errno::ECANCELED {
            // ENOBUFS: the kernel dropped messages, or our buffers ran out; the socket's own count of drops says which. Anything
            // else is as bad: from here on we do not know what we missed.
            let drops = netlink::drops(&self.fd);
            if result != errno::ENOBUFS || drops.is_none() || drops != Some(self.drops) {
                self.drops = drops.unwrap_or(self.drops);
                self.lost(tell);
            }
        }
        if !more {
            ring.recv_multi(Token::NetlinkRx, &self.fd, &self.header, &self.buffers);
        }
    }

    /// Messages were lost, perhaps answers among them: every request that was sent is answered with ENOBUFS. (A late
    /// answer finds no entry and is ignored.) A running dump's end is never lost, but its middle may be.
    fn lost(&mut self, tell: &mut dyn FnMut(Event<'_>)) {
        for req in core::mem::take(&mut self.open).into_values() {
            tell(Event::Reply { req, result: Err(Errno::ENOBUFS) });
        }
        self.interrupted = true;
        tell(Event::NetlinkLost);
    }

    fn on_message(&mut self, m: wire::Msg, tell: &mut dyn FnMut(Event<'_>)) {
        self.interrupted |= m.dump_interrupted;
        match m.kind {
            wire::Kind::Link(l) => tell(Event::LinkNew(l)),
            wire::Kind::LinkDel(ifindex) => tell(Event::LinkDel { ifindex }),
            wire::Kind::Addr(a) => tell(Event::AddrNew(a)),
            wire::Kind::AddrDel { ifindex, addr, prefix } => tell(Event::AddrDel { ifindex, addr, prefix }),
            wire::Kind::Ack { seq, result } => self.answered(seq, result, tell),
            wire::Kind::Done { seq, result } => self.dump_step(seq, result.is_ok(), tell),
            wire::Kind::Overrun => self.lost(tell),
            wire::Kind::Other(_) => {}
        }
    }

    fn answered(&mut self, seq: u32, result: Result<(), Errno>, tell: &mut dyn FnMut(Event<'_>)) {
        if let Some(req) = self.open.remove(&seq) {
            tell(Event::Reply { req, result });
        } else if result.is_err() {
            self.dump_step(seq, false, tell);
        }
    }

    fn dump_step(&mut self, seq: u32, ok: bool, tell: &mut dyn FnMut(Event<'_>)) {
        match self.dump {
            Dump::Links(s) if s == seq && ok && !self.again => {
                self.dump = Dump::Queued;
                self.queue.push_back(Item::Addrs);
            }
            Dump::Links(s) | Dump::Addrs(s) if s == seq => {
                self.dump = Dump::Idle;
                let complete = ok && !self.interrupted;
                if core::mem::take(&mut self.again) {
                    if let Some(begin) = self.resync() {
                        tell(begin);
                    }
                } else {
                    tell(Event::Synced { complete });
                }
            }
            _ => {}
        }
    }

    /// Whether everything asked for was answered.
    pub fn idle(&self) -> bool {
        self.queue.is_empty() && self.open.is_empty() && self.sending.is_none()
    }
}
