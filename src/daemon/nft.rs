//! nf_tables over nfnetlink: the socket, and the protocol spoken on it.
//!
//! Read first: `netlink.rs` (requests, dumps, lost messages), `wire/netlink/nft.rs` (the encoding), `ipvs.rs` (a socket of the same kind). It is
//! opened when the first configuration that filters asks for it. A batch is a message of its own to the kernel, so a slice is one
//! request. The send runs on a kernel worker: the kernel takes a mutex for it that another program may be holding, and loads the module.
//!
//! The kernel reports every change of every ruleset on the host to this socket. This file reads deletions only, and of these the ones of
//! our table.

use super::netlink::{Limits, Netlink, Protocol, Told};
use super::os::Os;
use super::token::{NetToken, Token};
use crate::effect::{FilterFx, FilterOp};
use crate::event::{Errno, Event, FilterEv, ReqId};
use crate::sys::errno;
use crate::sys::netlink;
use crate::sys::op::{Fd, Header, Link};
use crate::sys::os::Buffers;
use crate::sys::ring::How;
use crate::sys::socket::SockAddr;
use crate::wire::Bad;
use crate::wire::netlink::Frame;
use crate::wire::netlink::nft::{self, Message, Table};
use bytes::BytesMut;
use std::io;
use std::rc::Rc;

/// Requests not sent yet plus requests not answered yet. The machine asks for one at a time.
const OPEN: usize = 4;
/// Buffers, and bytes of each: the kernel packs what it tells of a change into messages of one page, or two.
const BUFFERS: u16 = 16;
const BUFFER: u32 = 8192;
/// Group number of the buffers.
const GROUP: u16 = 4;
/// Tables of a dump that are kept: a host has some tens.
const TABLES: usize = 4096;

/// Name of the question whether there is nf_tables: not one of the machine's.
const GENERATION: ReqId = ReqId(u64::MAX);

/// The protocol.
struct Nft;

enum Request {
    Generation,
    Change(FilterOp),
}

enum Report {
    Table(Table),
    /// Something was deleted: the name of its table, and the netlink port of the process that deleted it.
    Deleted(String, u32),
}

impl Protocol for Nft {
    type Request = Request;
    type Dump = ();
    type Report = Report;
    fn put(out: &mut BytesMut, seq: u32, request: &Request) {
        match request {
            Request::Generation => nft::get_generation(out, seq),
            Request::Change(FilterOp::Put(rules, stale)) => nft::put(out, seq, rules, stale),
            Request::Change(FilterOp::Remove(names)) => nft::remove(out, seq, names),
        }
    }
    fn put_dump(out: &mut BytesMut, seq: u32, (): ()) {
        nft::get_tables(out, seq);
    }
    fn read(frame: &Frame<'_>) -> Result<Option<Report>, Bad> {
        Ok(nft::read(frame.kind, frame.body)?.map(|m| match m {
            Message::Table(t) => Report::Table(t),
            Message::Deleted(name) => Report::Deleted(name, frame.pid),
        }))
    }
}

/// The socket and everything open on it.
struct Talk<B> {
    fd: Fd,
    to: Rc<SockAddr>,
    header: Rc<Header>,
    buffers: B,
    talk: Netlink<Nft>,
    port: u32,
    /// Messages the kernel has dropped so far.
    drops: u32,
    /// The table that was put in force last.
    name: String,
    /// Of a dump.
    tables: Vec<Table>,
}

/// See the module.
pub struct Filter<B>(Option<Talk<B>>);

impl<B> Default for Filter<B> {
    /// Nothing is opened.
    fn default() -> Self {
        Filter(None)
    }
}

impl<B: Buffers> Filter<B> {
    /// Does what is asked for; `Some`: answered at once.
    pub fn apply(&mut self, os: &mut impl Os<Buffers = B>, fx: FilterFx) -> Option<Event<'static>> {
        let event = match (fx, &mut self.0) {
            (FilterFx::Open, Some(t)) => t.talk.request(GENERATION, Request::Generation).and_then(|told| t.take(told)),
            (FilterFx::Open, None) => match open(os) {
                Ok(mut talk) => {
                    let told = talk.talk.request(GENERATION, Request::Generation);
                    let event = told.and_then(|told| talk.take(told));
                    self.0 = Some(talk);
                    event
                }
                Err(e) => Some(FilterEv::Opened(Err(Errno(e.raw_os_error().unwrap_or(-errno::EINVAL))))),
            },
            // `Opened` has said so.
            (FilterFx::Tables, None) => None,
            (FilterFx::Change { req, .. }, None) => Some(FilterEv::Reply { req, result: Err(Errno::ENODEV) }),
            (FilterFx::Tables, Some(t)) => t.talk.resync(&[()]).and_then(|told| t.take(told)),
            (FilterFx::Change { req, op }, Some(t)) => {
                if let FilterOp::Put(rules, _) = &op {
                    t.name.clone_from(&rules.table);
                }
                t.talk.request(req, Request::Change(op)).and_then(|told| t.take(told))
            }
        };
        event.map(Event::Filter)
    }

    /// Sends the next request, if none is on its way; whether it did.
    pub fn pump(&mut self, os: &mut impl Os<Buffers = B>) -> bool {
        let Some(t) = &mut self.0 else { return false };
        let Some((bytes, _)) = t.talk.slice(1) else { return false };
        os.send(Token::Filter(NetToken::Tx), &t.fd, bytes, Some(t.to.clone()), Link::Last, How::Worker);
        true
    }

    /// A request left, or failed to: then it was not looked at.
    pub fn on_sent(&mut self, result: i32, tell: &mut dyn FnMut(Event<'_>)) {
        let Some(t) = &mut self.0 else { return };
        let result = if result < 0 { Err(Errno(-result)) } else { Ok(()) };
        let mut all = Vec::new();
        t.talk.on_sent(result, &mut |told| all.push(told));
        t.tell(all, tell);
    }

    /// A completion of the receive.
    pub fn on_received(
        &mut self,
        os: &mut impl Os<Buffers = B>,
        buffer: Option<u16>,
        result: i32,
        more: bool,
        tell: &mut dyn FnMut(Event<'_>),
    ) {
        let Some(t) = &mut self.0 else { return };
        let mut all = Vec::new();
        let mut lost = false;
        if let Some(id) = buffer {
            lost = match t.buffers.datagram(id, result, &t.header) {
                Some(d) if netlink::from_kernel(d.name) => {
                    t.talk.on_bytes(d.payload, &mut |told| all.push(told));
                    d.truncated
                }
                Some(_) => false,
                None => true,
            };
            t.buffers.give(id);
        } else if result < 0 && result != errno::ECANCELED {
            // As of rtnetlink: the socket's own count says whether anything was dropped.
            let drops = os.netlink_drops(&t.fd);
            lost = result != errno::ENOBUFS || drops.is_none() || drops != Some(t.drops);
            t.drops = drops.unwrap_or(t.drops);
        }
        if lost {
            t.talk.lost(&mut |told| all.push(told));
        }
        t.tell(all, tell);
        if !more {
            os.recv_multi(Token::Filter(NetToken::Rx), &t.fd, &t.header, &t.buffers);
        }
    }

    /// Messages that made no sense. Counted, otherwise ignored.
    pub fn malformed(&self) -> u64 {
        self.0.as_ref().map_or(0, |t| t.talk.malformed)
    }
}

fn open<B: Buffers>(os: &mut impl Os<Buffers = B>) -> io::Result<Talk<B>> {
    let (fd, to) = os.open_netfilter()?;
    let buffers = os.buffers(GROUP, BUFFERS, BUFFER)?;
    let header = Header::new(netlink::NAME, 0);
    let port = os.netlink_port(&fd)?;
    let talk = Netlink::new(Limits { slice: 1, open: OPEN }, port);
    os.recv_multi(Token::Filter(NetToken::Rx), &fd, &header, &buffers);
    Ok(Talk { fd, to, header, buffers, talk, port, drops: 0, name: String::new(), tables: Vec::new() })
}

impl<B> Talk<B> {
    fn take(&mut self, told: Told<Report>) -> Option<FilterEv> {
        match told {
            Told::Report(Report::Table(t)) => {
                // Beside a dump it is a table that was made just now.
                if self.tables.len() < TABLES {
                    self.tables.push(t);
                }
                None
            }
            Told::Report(Report::Deleted(table, port)) => {
                (port != self.port && table == self.name).then_some(FilterEv::Deleted { table })
            }
            Told::Reply { req: GENERATION, result } => Some(FilterEv::Opened(result)),
            Told::Reply { req, result } => Some(FilterEv::Reply { req, result }),
            Told::Lost => Some(FilterEv::Lost),
            Told::DumpBegin => {
                self.tables.clear();
                None
            }
            Told::Synced { complete } => Some(FilterEv::Tables { tables: core::mem::take(&mut self.tables), complete }),
        }
    }

    fn tell(&mut self, all: Vec<Told<Report>>, tell: &mut dyn FnMut(Event<'_>)) {
        let mut deleted = false;
        for told in all {
            let Some(event) = self.take(told) else { continue };
            // A ruleset that is flushed is many deletions of one table.
            if matches!(event, FilterEv::Deleted { .. }) && core::mem::replace(&mut deleted, true) {
                continue;
            }
            tell(Event::Filter(event));
        }
    }
}
