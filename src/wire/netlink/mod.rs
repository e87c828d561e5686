//! Netlink framing: messages and attributes, in both directions. The content of messages is in `route.rs` (interfaces and addresses),
//! `link.rs` (own interfaces), `fib.rs` (routes) and `rule.rs` (policy rules); other protocols over netlink (`ipvs.rs`, `nft.rs`) read theirs
//! from [`frames`].
//!
//! Numbers carry their Linux header name and are the same on every architecture; byte order is the host's. Every length
//! in a message is compared with the bytes that are left before anything after it is read. Deliberately absent: sockets,
//! sequence bookkeeping (`daemon/netlink.rs`), extended acks.

mod encap;
mod fib;
pub mod generic;
pub mod ipvs;
mod link;
pub mod nft;
mod route;
mod rule;

pub use fib::{change_route, del_route, get_routes, new_route, report_filter};
pub use link::{del_link, new_link, set_link};
pub use route::{del_addr, get_addrs, get_links, new_addr, notice_of_new};
pub use rule::{del_rule, get_rules, new_rule};

use super::{Bad, array};
use crate::net::{AddrInfo, Errno, Link};
use crate::route::RouteSpec;
use crate::rule::RuleSpec;
use bytes::{BufMut, BytesMut};
use core::net::IpAddr;

/// Bytes of `struct nlmsghdr`.
const HEADER: usize = 16;
/// Bytes of `struct nlattr`.
const ATTR_HEADER: usize = 4;

// <linux/netlink.h>
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLMSG_OVERRUN: u16 = 4;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_MULTI: u16 = 0x2;
const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_APPEND: u16 = 0x800;
const NLM_F_CREATE: u16 = 0x400;
const NLA_TYPE_MASK: u16 = 0x3fff;

/// One received message, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Msg {
    /// The type and the content of the message.
    pub kind: Kind,
    /// `nlmsg_seq`: of the request that it answers, 0 in a notification.
    pub seq: u32,
    /// `nlmsg_pid`: the port that the answer or the cause of the notification belongs to, 0 for the kernel itself.
    pub pid: u32,
    /// `NLM_F_DUMP_INTR`: the dump this belongs to saw a table change underneath it; ask again.
    pub dump_interrupted: bool,
}

/// The content of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `RTM_NEWLINK`: an interface as it is now.
    Link(Link),
    /// `RTM_DELLINK`: the interface with this index is gone.
    LinkDel(u32),
    /// `RTM_NEWADDR`: an address as it is now.
    Addr(AddrInfo),
    /// `RTM_DELADDR`: an address that is gone.
    AddrDel {
        /// Index of the interface.
        ifindex: u32,
        /// The address.
        addr: IpAddr,
        /// Prefix length: 0..=32 for IPv4, 0..=128 for IPv6.
        prefix: u8,
    },
    /// `RTM_NEWROUTE`: a route as it is now. `replaced`: in the place of another one of the same destination.
    Route {
        /// The route as it is now.
        route: Box<RouteSpec>,
        /// `NLM_F_REPLACE`: it took the place of another one.
        replaced: bool,
    },
    /// `RTM_DELROUTE`: a route that is gone.
    RouteDel(Box<RouteSpec>),
    /// `RTM_NEWRULE`: a policy rule that was added, or is in the dump.
    Rule(Box<RuleSpec>),
    /// `RTM_DELRULE`: a policy rule that is gone.
    RuleDel(Box<RuleSpec>),
    /// `NLMSG_ERROR`: the answer to a request; also of one that succeeded.
    Ack {
        /// Sequence number of the request.
        seq: u32,
        /// Success, or the kernel's errno.
        result: Result<(), Errno>,
    },
    /// `NLMSG_DONE`: end of a dump.
    Done {
        /// Sequence number of the request.
        seq: u32,
        /// Success, or the errno that ended the dump.
        result: Result<(), Errno>,
    },
    /// `NLMSG_OVERRUN`: messages were lost.
    Overrun,
    /// A message that is not used here: its `nlmsg_type`.
    Other(u16),
}

/// One received message whose content is not decoded yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// `nlmsg_type`: the type of the message.
    pub kind: u16,
    /// `nlmsg_flags`: `NLM_F_MULTI` and others.
    pub flags: u16,
    /// `nlmsg_seq`: of the request that it answers; of a notification, 0 or that of another program's request.
    pub seq: u32,
    /// `nlmsg_pid`: the port that the answer or the cause of the notification belongs to, 0 for the kernel itself.
    pub pid: u32,
    /// The bytes after the header.
    pub body: &'a [u8],
}

/// A message of netlink itself, the same in every protocol over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// `NLMSG_ERROR`: the answer to the request with the message's sequence number.
    Ack(Result<(), Errno>),
    /// `NLMSG_DONE`: end of a dump.
    Done(Result<(), Errno>),
    /// `NLMSG_OVERRUN`: messages were lost.
    Overrun,
}

impl Frame<'_> {
    /// `NLM_F_DUMP_INTR`: the dump this belongs to saw a table change underneath it.
    pub fn dump_interrupted(&self) -> bool {
        self.flags & NLM_F_DUMP_INTR != 0
    }
    /// Read as a message of netlink itself; `None`: it is one of the protocol's.
    pub fn control(&self) -> Option<Result<Control, Bad>> {
        Some(match self.kind {
            NLMSG_ERROR => u32_at(self.body, 0).map(|e| Control::Ack(result(e))),
            // Old kernels send NLMSG_DONE without a status: then the dump succeeded.
            NLMSG_DONE if self.body.is_empty() => Ok(Control::Done(Ok(()))),
            NLMSG_DONE => u32_at(self.body, 0).map(|e| Control::Done(result(e))),
            NLMSG_OVERRUN => Ok(Control::Overrun),
            _ => return None,
        })
    }
    /// Read as a message of rtnetlink. [`Kind::Other`]: it is not used here.
    pub fn rtnetlink(&self) -> Result<Kind, Bad> {
        match self.kind {
            fib::RTM_NEWROUTE | fib::RTM_DELROUTE => fib::read(self.kind, self.flags, self.body),
            rule::RTM_NEWRULE | rule::RTM_DELRULE => rule::read(self.kind, self.body),
            kind => route::read(kind, self.body),
        }
    }
}

/// The messages in the bytes of one receive.
///
/// A message whose length does not fit ends the iteration with one error, because the next message cannot be found.
pub fn frames(bytes: &[u8]) -> impl Iterator<Item = Result<Frame<'_>, Bad>> {
    let mut rest = bytes;
    core::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let next = split(rest);
        rest = next.as_ref().map_or(&[], |(_, behind)| behind);
        Some(next.and_then(|(whole, _)| frame(whole)))
    })
}

/// As [`frames`], read as rtnetlink. A message with malformed content is one error, and the iteration continues after it.
pub fn messages(bytes: &[u8]) -> impl Iterator<Item = Result<Msg, Bad>> + '_ {
    frames(bytes).map(|f| {
        let f = f?;
        let seq = f.seq;
        let kind = match f.control() {
            Some(control) => match control? {
                Control::Ack(result) => Kind::Ack { seq, result },
                Control::Done(result) => Kind::Done { seq, result },
                Control::Overrun => Kind::Overrun,
            },
            None => f.rtnetlink()?,
        };
        Ok(Msg { kind, seq, pid: f.pid, dump_interrupted: f.dump_interrupted() })
    })
}

/// The first message of `bytes` with its header, and the bytes after it and its padding.
fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), Bad> {
    let len = u32_at(bytes, 0)? as usize;
    if len < HEADER {
        return Err(Bad::Length);
    }
    let whole = bytes.get(..len).ok_or(Bad::Length)?;
    // The last message need not be padded.
    Ok((whole, bytes.get(len.next_multiple_of(4)..).unwrap_or_default()))
}

fn frame(whole: &[u8]) -> Result<Frame<'_>, Bad> {
    Ok(Frame {
        kind: u16_at(whole, 4)?,
        flags: u16_at(whole, 6)?,
        seq: u32_at(whole, 8)?,
        pid: u32_at(whole, 12)?,
        body: whole.get(HEADER..).ok_or(Bad::Length)?,
    })
}

/// The kernel's `int error`: zero or a negative errno. A positive one, which no kernel sends, counts as that errno too.
fn result(error: u32) -> Result<(), Errno> {
    match error.cast_signed() {
        0 => Ok(()),
        e => Err(Errno(e.saturating_abs())),
    }
}

/// The attributes in `bytes`: type without its flag bits, and value.
fn attrs(bytes: &[u8]) -> impl Iterator<Item = Result<(u16, &[u8]), Bad>> {
    let mut rest = bytes;
    core::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let attr = attr(rest);
        rest = attr.as_ref().map_or(&[], |a| a.2);
        Some(attr.map(|(kind, value, _)| (kind, value)))
    })
}

fn attr(bytes: &[u8]) -> Result<(u16, &[u8], &[u8]), Bad> {
    let (len, kind) = (usize::from(u16_at(bytes, 0)?), u16_at(bytes, 2)?);
    let value = bytes.get(ATTR_HEADER..len).ok_or(Bad::Length)?;
    Ok((kind & NLA_TYPE_MASK, value, bytes.get(len.next_multiple_of(4)..).unwrap_or_default()))
}

/// Appends a message of any protocol that asks for an answer; `body` as bytes.
pub fn request(out: &mut BytesMut, kind: u16, seq: u32, body: &[u8]) {
    put_message(out, kind, NLM_F_REQUEST | NLM_F_ACK, seq, |out| out.put_slice(body));
}

/// Appends a request of any protocol for a dump.
pub fn request_dump(out: &mut BytesMut, kind: u16, seq: u32, body: &[u8]) {
    put_message(out, kind, NLM_F_REQUEST | NLM_F_DUMP, seq, |out| out.put_slice(body));
}

/// Appends a message: header, then what `body` appends; the length is filled in afterwards.
fn put_message(out: &mut BytesMut, kind: u16, flags: u16, seq: u32, body: impl FnOnce(&mut BytesMut)) {
    pad(out);
    let start = out.len();
    out.put_u32_ne(0);
    out.put_u16_ne(kind);
    out.put_u16_ne(flags);
    out.put_u32_ne(seq);
    out.put_u32_ne(0); // nlmsg_pid: to the kernel
    body(out);
    let len = (out.len() - start) as u32; // our own messages stay far below 4 GiB
    out[start..start + 4].copy_from_slice(&len.to_ne_bytes());
    pad(out);
}

/// Appends an attribute. Values are addresses, numbers and labels: far below the 64 KiB that the length can say.
fn put_attr(out: &mut BytesMut, kind: u16, value: &[u8]) {
    pad(out);
    out.put_u16_ne((ATTR_HEADER + value.len()) as u16);
    out.put_u16_ne(kind);
    out.put_slice(value);
    pad(out);
}

/// Both messages and attributes begin at a multiple of four.
fn pad(out: &mut BytesMut) {
    let missing = out.len().next_multiple_of(4) - out.len();
    out.put_bytes(0, missing);
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, Bad> {
    array(bytes, at).map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, Bad> {
    array(bytes, at).map(u32::from_ne_bytes)
}
