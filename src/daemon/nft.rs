//! nf_tables over nfnetlink: the socket, and the protocol spoken on it.
//!
//! Read first: `netlink.rs` (requests, dumps, lost messages), `netsocket.rs` (sending, receiving), `wire/netlink/nft.rs` (the encoding). The
//! socket is opened when the first configuration that filters asks for it. A batch is a message of its own to the kernel, so a slice is
//! one request.
//!
//! The kernel reports every change of every ruleset on the host to this socket. This file reads deletions only, and of these the ones of
//! our tables.

use super::netlink::{Limits, Protocol, Told};
use super::netsocket::{Kind, NetSocket};
use super::os::Os;
use super::token::Token;
use crate::effect::{FilterFx, FilterOp};
use crate::event::{Errno, Event, FilterEv, ReqId};
use crate::sys::errno;
use crate::sys::os::Buffers;
use crate::time::Instant;
use crate::wire::Bad;
use crate::wire::netlink::Frame;
use crate::wire::netlink::nft::{self, Message, Table};
use bytes::BytesMut;
use std::collections::BTreeSet;
use std::io;

/// [`Limits::open`]. Each of two tables asks for one at a time, after the question whether there is nf_tables and that for all tables.
const OPEN: usize = 8;
/// Buffers, and bytes of each: the kernel packs what it tells of a change into messages of one page, or two.
const BUFFERS: u16 = 16;
const BUFFER: u32 = 8192;
/// Group number of the buffers.
const GROUP: u16 = 4;
/// Tables of a dump that are kept: a host has some tens.
const TABLES: usize = 4096;

/// Name of the question whether there is nf_tables: not one of the machine's.
const GENERATION: ReqId = ReqId(u64::MAX);

/// nf_tables as a netlink [`Protocol`]: its requests, and what is read of its notifications.
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

// The socket, and what its messages are compared with.
struct Talk<B> {
    socket: NetSocket<Nft, B>,
    // Our tables, as they were requested last.
    names: BTreeSet<String>,
    // Of a dump.
    tables: Vec<Table>,
}

/// The nfnetlink socket for nf_tables; `None` until a configuration filters or marks packets.
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
        if let (FilterFx::Open, None) = (&fx, &self.0) {
            match open(os) {
                Ok(talk) => self.0 = Some(talk),
                Err(e) => {
                    let errno = Errno(e.raw_os_error().unwrap_or(-errno::EINVAL));
                    return Some(Event::Filter(FilterEv::Opened(Err(errno))));
                }
            }
        }
        let Some(t) = &mut self.0 else {
            // `Opened` has reported it.
            let FilterFx::Change { req, .. } = fx else { return None };
            return Some(Event::Filter(FilterEv::Reply { req, result: Err(Errno::ENODEV) }));
        };
        let told = match fx {
            FilterFx::Open => t.socket.talk.request(GENERATION, Request::Generation),
            FilterFx::Tables => t.socket.talk.resync(&[()]),
            FilterFx::Change { req, op } => {
                match &op {
                    FilterOp::Put(rules, stale) => {
                        t.names.retain(|name| !stale.contains(name));
                        t.names.insert(rules.table.clone());
                    }
                    FilterOp::Remove(names) => t.names.retain(|name| !names.contains(name)),
                }
                t.socket.talk.request(req, Request::Change(op))
            }
        };
        told.and_then(|told| t.take(told)).map(Event::Filter)
    }

    /// Sends the next request, if none is on its way; whether it did.
    pub fn pump(&mut self, os: &mut impl Os<Buffers = B>) -> bool {
        self.0.as_mut().is_some_and(|t| t.socket.pump(os, None))
    }

    /// A request left, or failed to.
    pub fn on_sent(&mut self, now: Instant, result: i32, tell: &mut dyn FnMut(Event<'_>)) {
        let Some(t) = &mut self.0 else { return };
        let all = t.socket.sent(now, result);
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
        let all = t.socket.received(os, buffer, result, more);
        t.tell(all, tell);
    }

    /// Messages that made no sense. Counted, otherwise ignored.
    pub fn malformed(&self) -> u64 {
        self.0.as_ref().map_or(0, |t| t.socket.talk.malformed)
    }
}

fn open<B: Buffers>(os: &mut impl Os<Buffers = B>) -> io::Result<Talk<B>> {
    let limits = Limits { slice: 1, open: OPEN };
    let kind = Kind { token: Token::Filter, group: GROUP, buffers: BUFFERS, size: BUFFER, limits };
    let opened = os.open_netfilter()?;
    Ok(Talk { socket: NetSocket::new(os, opened, kind, false)?, names: BTreeSet::new(), tables: Vec::new() })
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
                (port != self.socket.port && self.names.contains(&table)).then_some(FilterEv::Deleted { table })
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
        let mut deleted = BTreeSet::new();
        for told in all {
            let Some(event) = self.take(told) else { continue };
            // A ruleset that is flushed is many deletions of one table.
            if let FilterEv::Deleted { table } = &event
                && !deleted.insert(table.clone())
            {
                continue;
            }
            tell(Event::Filter(event));
        }
    }
}
