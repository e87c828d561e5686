//! rtnetlink: the socket for interfaces, addresses, routes and rules, and the protocol spoken on it.
//!
//! Read first: `netlink.rs` (requests, dumps, lost messages), `netsocket.rs` (sending, receiving), `sys/netlink.rs` (why one socket),
//! `wire/netlink` (the encoding).

use super::netlink::{Limits, Protocol, Told};
use super::netsocket::{Kind as Socket, NetSocket};
use super::os::Os;
use super::slice;
use super::token::Token;
use crate::effect::{NetFx, NetOp};
use crate::event::{Event, NetEv};
use crate::sys::os::Buffers;
use crate::time::Instant;
use crate::wire::Bad;
use crate::wire::netlink::{self as wire, Frame, Kind};
use bytes::BytesMut;
use std::io;

/// [`Limits::open`]: 255 virtual routers with 32 addresses each. Beyond it the machines repeat their requests, each at its own pace.
const OPEN: usize = 8192;
/// Buffers: one per message.
const BUFFERS: u16 = 8;
/// Bytes each: a dump's messages are at most as long as the buffer offered, a notice about a link is 2 to 3 KiB, one about a link with
/// hundreds of other names ten times as long (trap 60). What is longer is lost, and no dump would ever be complete.
const BUFFER: u32 = 32 << 10;
/// Group number of the buffers.
pub const GROUP: u16 = 2;

/// rtnetlink as a netlink [`Protocol`]: its requests are [`NetOp`]s.
pub struct Route;

/// What is dumped, in this order: an interface before the addresses on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dump {
    /// Interfaces (RTM_GETLINK).
    Links,
    /// Addresses of both families (RTM_GETADDR).
    Addrs,
    /// Routes that carry our tag.
    Routes,
    /// Policy rules (RTM_GETRULE).
    Rules,
}

impl Protocol for Route {
    type Request = NetOp;
    type Dump = Dump;
    type Report = Event<'static>;
    fn put(out: &mut BytesMut, seq: u32, op: &NetOp) {
        match op {
            NetOp::AddrAdd(spec) => wire::new_addr(out, seq, spec),
            NetOp::AddrDel(spec) => wire::del_addr(out, seq, spec),
            NetOp::RouteAdd(spec) => wire::new_route(out, seq, spec),
            NetOp::RouteDel(spec) => wire::del_route(out, seq, spec),
            NetOp::RouteChange(old, new) => wire::change_route(out, seq, old, new),
            NetOp::RuleAdd(spec) => wire::new_rule(out, seq, spec),
            NetOp::RuleDel(spec) => wire::del_rule(out, seq, spec),
            NetOp::LinkAdd(link) => wire::new_link(out, seq, link),
            NetOp::LinkSet { ifindex, up, tag } => wire::set_link(out, seq, *ifindex, *up, *tag),
            NetOp::LinkDel { ifindex } => wire::del_link(out, seq, *ifindex),
        }
    }
    fn notice(op: &NetOp) -> Option<u16> {
        match op {
            NetOp::AddrAdd(spec) => wire::notice_of_new(spec),
            _ => None,
        }
    }
    fn put_dump(out: &mut BytesMut, seq: u32, dump: Dump) {
        match dump {
            Dump::Links => wire::get_links(out, seq),
            Dump::Addrs => wire::get_addrs(out, seq),
            Dump::Routes => wire::get_routes(out, seq),
            Dump::Rules => wire::get_rules(out, seq),
        }
    }
    fn read(frame: &Frame<'_>) -> Result<Option<Event<'static>>, Bad> {
        let by = Some(frame.pid);
        Ok(match frame.rtnetlink()? {
            Kind::Link(l) => Some(Event::Net(NetEv::LinkNew(l))),
            Kind::LinkDel(ifindex) => Some(Event::Net(NetEv::LinkDel { ifindex })),
            Kind::Addr(a) => Some(Event::Net(NetEv::AddrNew(a))),
            Kind::AddrDel { ifindex, addr, prefix } => Some(Event::Net(NetEv::AddrDel { ifindex, addr, prefix, by })),
            Kind::Route { route, replaced } => Some(Event::Net(NetEv::RouteNew { route, replaced })),
            Kind::RouteDel(route) => Some(Event::Net(NetEv::RouteDel(route, by))),
            Kind::Rule(rule) => Some(Event::Net(NetEv::RuleNew(rule))),
            Kind::RuleDel(rule) => Some(Event::Net(NetEv::RuleDel(rule, by))),
            Kind::Ack { .. } | Kind::Done { .. } | Kind::Overrun | Kind::Other(_) => None,
        })
    }
}

fn event(told: Told<Event<'static>>) -> Event<'static> {
    match told {
        Told::Report(event) => event,
        Told::Reply { req, result } => Event::Net(NetEv::Reply { req, result }),
        Told::Lost => Event::Net(NetEv::Lost),
        Told::DumpBegin => Event::Net(NetEv::DumpBegin),
        Told::Synced { complete } => Event::Net(NetEv::Synced { complete }),
    }
}

/// The rtnetlink socket for interfaces, addresses, routes and rules. It is opened at the start.
pub struct Rtnl<B> {
    socket: NetSocket<Route, B>,
    /// Routes and rules are reported, and are part of each dump.
    routes: bool,
}

impl<B: Buffers> Rtnl<B> {
    /// Opens the socket and starts receiving.
    pub fn open(os: &mut impl Os<Buffers = B>, several_cpus: bool) -> io::Result<Rtnl<B>> {
        let limits = Limits { slice: slice::MOST, open: OPEN };
        let kind = Socket { token: Token::Net, group: GROUP, buffers: BUFFERS, size: BUFFER, limits };
        let opened = os.open_netlink()?;
        Ok(Rtnl { socket: NetSocket::new(os, opened, kind, several_cpus)?, routes: false })
    }

    /// Does what is asked for; `Some`: answered at once.
    pub fn apply(&mut self, os: &mut impl Os<Buffers = B>, fx: NetFx) -> Option<Event<'static>> {
        match fx {
            NetFx::Change { req, op } => self.socket.talk.request(req, op).map(event),
            NetFx::Resync => {
                // While one is running: then that one ends without a word, and another begins.
                let all = [Dump::Links, Dump::Addrs, Dump::Routes, Dump::Rules];
                self.socket.talk.resync(if self.routes { &all } else { &all[..2] }).map(event)
            }
            NetFx::WatchRoutes => {
                if !core::mem::replace(&mut self.routes, true) {
                    // A socket that cannot join (no rights, which it has, or no memory) still gets the dumps.
                    let _ = os.watch_routes(&self.socket.fd, &wire::report_filter());
                }
                None
            }
        }
    }

    /// Messages that made no sense. Counted, otherwise ignored.
    pub fn malformed(&self) -> u64 {
        self.socket.talk.malformed
    }

    /// Whether a request waits for the kernel's answer.
    pub fn waits(&self) -> bool {
        self.socket.talk.waits()
    }

    /// Sends the next slice, if none is on its way; whether it did. `due`: the next deadline that must not be late.
    pub fn pump(&mut self, os: &mut impl Os<Buffers = B>, due: Option<Instant>) -> bool {
        self.socket.pump(os, due)
    }

    /// A slice left, or failed to.
    pub fn on_sent(&mut self, now: Instant, result: i32, tell: &mut dyn FnMut(Event<'_>)) {
        self.socket.sent(now, result).into_iter().for_each(|told| tell(event(told)));
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
        self.socket.received(os, buffer, result, more).into_iter().for_each(|told| tell(event(told)));
    }

    /// Whether everything asked for was answered.
    pub fn idle(&self) -> bool {
        self.socket.talk.idle()
    }
}
