//! Netlink framing: messages and attributes, both ways. What the messages say is in `route.rs`.
//!
//! Numbers carry their Linux header name and are the same on every architecture; byte order is the host's. Every length
//! in a message is held against what is really there before anything behind it is read. Deliberately absent: sockets,
//! sequence bookkeeping (`daemon/rtnl.rs`), extended acks.

pub mod generic;
pub mod ipvs;
mod route;

pub use route::{del_addr, get_addrs, get_links, new_addr};

use super::{Bad, array};
use crate::event::{AddrInfo, Errno, Link};
use bytes::{BufMut, BytesMut};
use core::net::IpAddr;

/// `struct nlmsghdr`.
const HEADER: usize = 16;
/// `struct nlattr`.
const ATTR_HEADER: usize = 4;

// <linux/netlink.h>
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLMSG_OVERRUN: u16 = 4;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_CREATE: u16 = 0x400;
const NLA_TYPE_MASK: u16 = 0x3fff;

/// One received message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Msg {
    /// What it says.
    pub kind: Kind,
    /// `nlmsg_seq`: of the request that it answers, 0 in a notification.
    pub seq: u32,
    /// `nlmsg_pid`: the port that the answer or the cause of the notification belongs to, 0 for the kernel itself.
    pub pid: u32,
    /// `NLM_F_DUMP_INTR`: the dump this belongs to saw a table change underneath it; ask again.
    pub dump_interrupted: bool,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `RTM_NEWLINK`: an interface as it is now.
    Link(Link),
    /// `RTM_DELLINK`: the interface with this index is gone.
    LinkDel(u32),
    /// `RTM_NEWADDR`: an address as it is now.
    Addr(AddrInfo),
    /// `RTM_DELADDR`.
    AddrDel {
        /// Interface.
        ifindex: u32,
        /// Address.
        addr: IpAddr,
        /// Prefix length.
        prefix: u8,
    },
    /// `NLMSG_ERROR`: the answer to a request. (An `Ok` too: it is how success is told.)
    Ack {
        /// Of the request.
        seq: u32,
        /// What the kernel said.
        result: Result<(), Errno>,
    },
    /// `NLMSG_DONE`: end of a dump.
    Done {
        /// Of the request.
        seq: u32,
        /// Whether the dump went well.
        result: Result<(), Errno>,
    },
    /// `NLMSG_OVERRUN`: messages were lost.
    Overrun,
    /// Something we have no use for: its `nlmsg_type`.
    Other(u16),
}

/// The messages in what one receive brought.
///
/// A message whose length does not fit ends the walk with one error, since nothing behind it can be found. A message
/// that is bad inside is one error, and the walk goes on behind it.
pub fn messages(bytes: &[u8]) -> impl Iterator<Item = Result<Msg, Bad>> + '_ {
    let mut rest = bytes;
    core::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        match split(rest) {
            Ok((whole, behind)) => {
                rest = behind;
                Some(message(whole))
            }
            Err(bad) => {
                rest = &[];
                Some(Err(bad))
            }
        }
    })
}

/// The first message of `bytes` with its header, and what is behind it and its padding.
fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), Bad> {
    let len = u32_at(bytes, 0)? as usize;
    if len < HEADER {
        return Err(Bad::Length);
    }
    let whole = bytes.get(..len).ok_or(Bad::Length)?;
    // The last message need not be padded.
    Ok((whole, bytes.get(len.next_multiple_of(4)..).unwrap_or_default()))
}

fn message(whole: &[u8]) -> Result<Msg, Bad> {
    let (kind, flags) = (u16_at(whole, 4)?, u16_at(whole, 6)?);
    let (seq, pid) = (u32_at(whole, 8)?, u32_at(whole, 12)?);
    let body = whole.get(HEADER..).ok_or(Bad::Length)?;
    let kind = match kind {
        NLMSG_ERROR => Kind::Ack { seq, result: result(u32_at(body, 0)?) },
        // The status was added to NLMSG_DONE later on; without one, there was nothing to complain of.
        NLMSG_DONE if body.is_empty() => Kind::Done { seq, result: Ok(()) },
        NLMSG_DONE => Kind::Done { seq, result: result(u32_at(body, 0)?) },
        NLMSG_OVERRUN => Kind::Overrun,
        other => route::read(other, body)?,
    };
    Ok(Msg { kind, seq, pid, dump_interrupted: flags & NLM_F_DUMP_INTR != 0 })
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
