//! rtnetlink: the socket for interfaces, addresses, routes and rules, and the protocol spoken on it.
//!
//! Read first: `netlink.rs` (requests, dumps, lost messages), `sys/netlink.rs` (why one socket), `wire/netlink` (the encoding). The send
//! runs on a kernel worker: the kernel takes the rtnl lock for it, which anybody on the host may be holding, and a loop that
//! sleeps on that lock is a loop whose armed adverts are late as well.

use super::netlink::{Limits, Netlink, Protocol, Told};
use super::os::Os;
use super::slice::{self, Slice};
use super::token::{NetToken, Token};
use crate::effect::{NetFx, NetOp};
use crate::event::{Errno, Event, NetEv};
use crate::sys::errno;
use crate::sys::netlink;
use crate::sys::op::{Fd, Header, Link};
use crate::sys::os::Buffers;
use crate::sys::ring::How;
use crate::sys::socket::SockAddr;
use crate::time::Instant;
use crate::wire::Bad;
use crate::wire::netlink::{self as wire, Frame, Kind};
use bytes::BytesMut;
use std::io;
use std::rc::Rc;

/// Requests not sent yet plus requests not answered yet. 255 routers × 32 addresses; beyond it a request is answered
/// with ENOBUFS, and the machines' own retry paces it.
const OPEN: usize = 8192;
/// Buffers: one per message. When they run out the messages wait in the socket, and nothing is lost; they are locked memory.
const BUFFERS: u16 = 32;
/// Bytes each: a dump's messages are at most as long as the buffer offered, a notice about a link is 2 to 3 KiB.
const BUFFER: u32 = 8192;
/// Group number of the buffers.
pub const GROUP: u16 = 2;

/// The protocol.
pub struct Route;

/// What is dumped, in this order: an interface before the addresses on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dump {
    /// Interfaces.
    Links,
    /// Addresses.
    Addrs,
    /// Routes that carry our tag.
    Routes,
    /// Policy rules.
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
        Ok(match frame.rtnetlink()? {
            Kind::Link(l) => Some(Event::Net(NetEv::LinkNew(l))),
            Kind::LinkDel(ifindex) => Some(Event::Net(NetEv::LinkDel { ifindex })),
            Kind::Addr(a) => Some(Event::Net(NetEv::AddrNew(a))),
            Kind::AddrDel { ifindex, addr, prefix } => Some(Event::Net(NetEv::AddrDel { ifindex, addr, prefix })),
            Kind::Route { route, replaced } => Some(Event::Net(NetEv::RouteNew { route, replaced })),
            Kind::RouteDel(route) => Some(Event::Net(NetEv::RouteDel(route))),
            Kind::Rule(rule) => Some(Event::Net(NetEv::RuleNew(rule))),
            Kind::RuleDel(rule) => Some(Event::Net(NetEv::RuleDel(rule))),
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

/// The rtnetlink socket and everything open on it.
pub struct Rtnl<B> {
    fd: Fd,
    to: Rc<SockAddr>,
    header: Rc<Header>,
    buffers: B,
    talk: Netlink<Route>,
    slice: Slice,
    /// Routes and rules are reported, and are part of each dump.
    routes: bool,
    /// Messages the kernel has dropped so far.
    drops: u32,
}

impl<B: Buffers> Rtnl<B> {
    /// Opens the socket and starts receiving.
    pub fn open(os: &mut impl Os<Buffers = B>, several_cpus: bool) -> io::Result<Rtnl<B>> {
        let (fd, to) = os.open_netlink()?;
        let buffers = os.buffers(GROUP, BUFFERS, BUFFER)?;
        let header = Header::new(netlink::NAME, 0);
        os.recv_multi(Token::Net(NetToken::Rx), &fd, &header, &buffers);
        let talk = Netlink::new(Limits { slice: slice::MOST, open: OPEN }, os.netlink_port(&fd)?);
        Ok(Rtnl { fd, to, header, buffers, talk, slice: Slice::new(several_cpus), routes: false, drops: 0 })
    }

    /// Does what is asked for; `Some`: answered at once.
    pub fn apply(&mut self, os: &mut impl Os<Buffers = B>, fx: NetFx) -> Option<Event<'static>> {
        match fx {
            NetFx::Change { req, op } => self.talk.request(req, op).map(event),
            NetFx::Resync => {
                // While one is running: then that one ends without a word, and another begins.
                let all = [Dump::Links, Dump::Addrs, Dump::Routes, Dump::Rules];
                self.talk.resync(if self.routes { &all } else { &all[..2] }).map(event)
            }
            NetFx::WatchRoutes => {
                if !core::mem::replace(&mut self.routes, true) {
                    // A socket that cannot join (no rights, which it has, or no memory) still gets the dumps.
                    let _ = os.watch_routes(&self.fd, &wire::report_filter());
                }
                None
            }
        }
    }

    /// Messages that made no sense. Counted, otherwise ignored.
    pub fn malformed(&self) -> u64 {
        self.talk.malformed
    }

    /// Whether a request waits for the kernel's answer.
    pub fn waits(&self) -> bool {
        self.talk.waits()
    }

    /// Sends the next slice, if none is on its way; whether it did. `due`: when the next thing is that must not be late.
    pub fn pump(&mut self, os: &mut impl Os<Buffers = B>, due: Option<Instant>) -> bool {
        if !self.talk.ready() {
            return false;
        }
        let now = os.mono();
        let Some((bytes, asked)) = self.talk.slice(self.slice.size(now, due)) else { return false };
        self.slice.begin(now, asked);
        os.send(Token::Net(NetToken::Tx), &self.fd, bytes, Some(self.to.clone()), Link::Last, How::Worker);
        true
    }

    /// A slice left, or failed to: then none of it was looked at.
    pub fn on_sent(&mut self, now: Instant, result: i32, tell: &mut dyn FnMut(Event<'_>)) {
        self.slice.end(now);
        let result = if result < 0 { Err(Errno(-result)) } else { Ok(()) };
        self.talk.on_sent(result, &mut |t| tell(event(t)));
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
        if let Some(id) = buffer {
            // The buffer goes back before anything is done about what was in it.
            let mut all = Vec::new();
            let lost = match self.buffers.datagram(id, result, &self.header) {
                Some(d) if netlink::from_kernel(d.name) => {
                    self.talk.on_bytes(d.payload, &mut |t| all.push(t));
                    d.truncated
                }
                // Another process writing to our port: nothing was lost.
                Some(_) => false,
                None => true,
            };
            self.buffers.give(id);
            all.into_iter().for_each(|t| tell(event(t)));
            if lost {
                self.lost(tell);
            }
        } else if result < 0 && result != errno::ECANCELED {
            // ENOBUFS: the kernel dropped messages, or our buffers ran out; the socket's own count of drops says which. Anything
            // else is as bad: from here on we do not know what we missed.
            let drops = os.netlink_drops(&self.fd);
            if result != errno::ENOBUFS || drops.is_none() || drops != Some(self.drops) {
                self.drops = drops.unwrap_or(self.drops);
                self.lost(tell);
            }
        }
        if !more {
            os.recv_multi(Token::Net(NetToken::Rx), &self.fd, &self.header, &self.buffers);
        }
    }

    fn lost(&mut self, tell: &mut dyn FnMut(Event<'_>)) {
        self.talk.lost(&mut |t| tell(event(t)));
    }

    /// Whether everything asked for was answered.
    pub fn idle(&self) -> bool {
        self.talk.idle()
    }
}
