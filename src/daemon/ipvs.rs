//! IPVS over generic netlink: the socket, and the protocol spoken on it.
//!
//! Read first: `netlink.rs` (requests, dumps, lost messages), `netsocket.rs` (sending, receiving), `wire/netlink/ipvs.rs` (the encoding). The
//! socket is opened when the first configuration with virtual servers asks for it; until then nothing of this exists. The kernel loads
//! the module of a scheduler while it does what a request asks for: one more reason why a send runs on a worker.

use super::netlink::{Limits, Protocol, Told};
use super::netsocket::{Kind, NetSocket};
use super::os::Os;
use super::slice;
use super::token::Token;
use crate::effect::LvsOp;
use crate::event::{Errno, Event, LvsEv, ReqId};
use crate::sys::errno;
use crate::sys::op::Fd;
use crate::sys::os::Buffers;
use crate::sys::socket::SockAddr;
use crate::time::Instant;
use crate::wire::Bad;
use crate::wire::netlink::Frame;
use crate::wire::netlink::generic::{self, CONTROLLER};
use crate::wire::netlink::ipvs::{self, Message, ServiceKey};
use bytes::BytesMut;
use std::io;
use std::rc::Rc;

/// [`Limits::open`]. The machines ask for some hundred at a time.
const OPEN: usize = 1024;
/// Buffers, and bytes of each.
const BUFFERS: u16 = 32;
const BUFFER: u32 = 8192;
/// Group number of the buffers.
const GROUP: u16 = 3;
/// The content of a dump under way.
#[derive(Clone, Copy)]
enum Dumped {
    Services,
    Destinations(ServiceKey),
    SyncDaemons,
}

/// Name of the question for the family: not one of the machines'.
const FAMILY: ReqId = ReqId(u64::MAX);

/// The protocol. Requests bear the family's number, which is known only when the kernel was asked.
struct Generic;

enum Request {
    Family,
    Change(u16, LvsOp),
}

enum Report {
    Family(u16),
    Message(Message),
}

impl Protocol for Generic {
    type Request = Request;
    type Dump = (u16, Dumped);
    type Report = Report;
    fn put(out: &mut BytesMut, seq: u32, request: &Request) {
        let (family, op) = match request {
            Request::Family => return generic::get_family(out, seq, ipvs::FAMILY),
            Request::Change(family, op) => (*family, op),
        };
        match op {
            LvsOp::Service(act, key, service) => ipvs::service(out, family, seq, *act, key, service),
            LvsOp::Destination(act, of, key, to) => ipvs::destination(out, family, seq, *act, of, key, to),
            LvsOp::Flush => ipvs::flush(out, family, seq),
            LvsOp::Timeouts(timeouts) => ipvs::set_timeouts(out, family, seq, timeouts),
            LvsOp::AskTimeouts => ipvs::get_timeouts(out, family, seq),
            LvsOp::Sync(start, daemon) => ipvs::sync_daemon(out, family, seq, *start, daemon),
        }
    }
    fn put_dump(out: &mut BytesMut, seq: u32, (family, of): Self::Dump) {
        match of {
            Dumped::Services => ipvs::get_services(out, family, seq),
            Dumped::Destinations(of) => ipvs::get_destinations(out, family, seq, &of),
            Dumped::SyncDaemons => ipvs::get_sync_daemons(out, family, seq),
        }
    }
    fn read(frame: &Frame<'_>) -> Result<Option<Report>, Bad> {
        Ok(match frame.kind {
            CONTROLLER => generic::read_family(frame.body)?.map(|f| Report::Family(f.id)),
            // The kernel names the family of each destination since Linux 3.18.
            _ => Some(Report::Message(ipvs::read(frame.body, None)?)),
        })
    }
}

// The socket, and the family's number once it is known.
struct Talk<B> {
    socket: NetSocket<Generic, B>,
    family: Option<u16>,
}

/// The generic netlink socket for IPVS. It is opened when a configuration has virtual servers.
pub struct Ipvs<B> {
    several_cpus: bool,
    // In place of opening one here: of another network namespace, or why there is none.
    given: Option<Result<(Fd, Rc<SockAddr>), Errno>>,
    talk: Option<Talk<B>>,
}

impl<B: Buffers> Ipvs<B> {
    /// Nothing is opened. `several_cpus`: the kernel's workers have a processor of their own.
    pub fn new(several_cpus: bool) -> Ipvs<B> {
        Ipvs { several_cpus, given: None, talk: None }
    }

    /// The socket to use, in place of one in this network namespace.
    pub fn give(&mut self, socket: io::Result<(Fd, Rc<SockAddr>)>) {
        self.given = Some(socket.map_err(|e| errno_of(&e)));
    }

    /// Opens the socket if it is not open, and asks for the family; `Some`: answered at once.
    pub fn open(&mut self, os: &mut impl Os<Buffers = B>) -> Option<Event<'static>> {
        if self.talk.is_none() {
            match self.make(os) {
                Ok(talk) => self.talk = Some(talk),
                Err(errno) => return Some(Event::Lvs(LvsEv::Opened(Err(errno)))),
            }
        }
        let talk = self.talk.as_mut()?;
        let told = talk.socket.talk.request(FAMILY, Request::Family)?;
        talk.events(vec![told]).pop()
    }

    fn make(&mut self, os: &mut impl Os<Buffers = B>) -> Result<Talk<B>, Errno> {
        let limits = Limits { slice: slice::MOST, open: OPEN };
        let kind = Kind { token: Token::Ipvs, group: GROUP, buffers: BUFFERS, size: BUFFER, limits };
        let opened = match &self.given {
            Some(given) => given.clone()?,
            None => os.open_generic().map_err(|e| errno_of(&e))?,
        };
        let socket = NetSocket::new(os, opened, kind, self.several_cpus).map_err(|e| errno_of(&e))?;
        Ok(Talk { socket, family: None })
    }

    /// Asks for a change; `Some`: answered at once.
    pub fn change(&mut self, req: ReqId, op: LvsOp) -> Option<Event<'static>> {
        let refused = |errno| Some(Event::Lvs(LvsEv::Reply { req, result: Err(errno) }));
        let Some((t, family)) = self.talk.as_mut().and_then(|t| Some((t.family?, t))).map(|(f, t)| (t, f)) else {
            return refused(Errno::ENODEV);
        };
        match t.socket.talk.request(req, Request::Change(family, op)) {
            Some(Told::Reply { result: Err(errno), .. }) => refused(errno),
            _ => None,
        }
    }

    /// Asks for a dump; `Some`: answered at once.
    pub fn dump(&mut self, of: Option<ServiceKey>) -> Option<Event<'static>> {
        self.resync(&[of.map_or(Dumped::Services, Dumped::Destinations)])
    }

    /// The same of the services and the threads of synchronisation.
    pub fn dump_with_sync(&mut self) -> Option<Event<'static>> {
        self.resync(&[Dumped::Services, Dumped::SyncDaemons])
    }

    fn resync(&mut self, dumps: &[Dumped]) -> Option<Event<'static>> {
        match self.talk.as_mut().and_then(|t| Some((t.family?, t))) {
            Some((family, t)) => {
                let dumps: Vec<_> = dumps.iter().map(|d| (family, *d)).collect();
                let _ = t.socket.talk.resync(&dumps);
                None
            }
            None => Some(Event::Lvs(LvsEv::Synced { complete: false })),
        }
    }

    /// Sends the next slice, if none is on its way; whether it did. `due`: the next deadline that must not be late.
    pub fn pump(&mut self, os: &mut impl Os<Buffers = B>, due: Option<Instant>) -> bool {
        self.talk.as_mut().is_some_and(|t| t.socket.pump(os, due))
    }

    /// A slice left, or failed to.
    pub fn on_sent(&mut self, now: Instant, result: i32, tell: &mut dyn FnMut(Event<'_>)) {
        let Some(t) = &mut self.talk else { return };
        let all = t.socket.sent(now, result);
        t.events(all).into_iter().for_each(tell);
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
        let Some(t) = &mut self.talk else { return };
        let all = t.socket.received(os, buffer, result, more);
        t.events(all).into_iter().for_each(tell);
    }

    /// Messages that made no sense. Counted, otherwise ignored.
    pub fn malformed(&self) -> u64 {
        self.talk.as_ref().map_or(0, |t| t.socket.talk.malformed)
    }
}

fn errno_of(e: &io::Error) -> Errno {
    Errno(e.raw_os_error().unwrap_or(-errno::EINVAL))
}

/// Events for the World, made from the messages of one datagram. The entries of a dump are collected: one event for each datagram.
#[derive(Default)]
struct Events {
    done: Vec<Event<'static>>,
    found: Vec<Message>,
}

impl Events {
    fn push(&mut self, event: LvsEv) {
        self.flush();
        self.done.push(Event::Lvs(event));
    }
    fn flush(&mut self) {
        if !self.found.is_empty() {
            self.done.push(Event::Lvs(LvsEv::Found(core::mem::take(&mut self.found))));
        }
    }
}

impl<B> Talk<B> {
    fn take(&mut self, told: Told<Report>, events: &mut Events) {
        match told {
            Told::Report(Report::Family(id)) => self.family = Some(id),
            Told::Report(Report::Message(m)) => events.found.push(m),
            Told::Reply { req: FAMILY, result } => {
                let known = if self.family.is_some() { Ok(()) } else { Err(Errno::ENOENT) };
                events.push(LvsEv::Opened(result.and(known)));
            }
            Told::Reply { req, result } => events.push(LvsEv::Reply { req, result }),
            // The dump's end says that it is not complete, and open requests were answered.
            Told::Lost | Told::DumpBegin => {}
            Told::Synced { complete } => events.push(LvsEv::Synced { complete }),
        }
    }

    fn events(&mut self, all: Vec<Told<Report>>) -> Vec<Event<'static>> {
        let mut events = Events::default();
        all.into_iter().for_each(|told| self.take(told, &mut events));
        events.flush();
        events.done
    }
}
