//! Generic netlink: which number the kernel gave to a family, and the four bytes in front of each of its messages.
//!
//! Read first: `mod.rs`. The kernel assigns the number of a family when its module is loaded, so the first request asks for it by name
//! (`CTRL_CMD_GETFAMILY`). The messages of a family have a file of their own (`ipvs.rs`).

use super::{NLM_F_ACK, NLM_F_REQUEST, attrs, put_attr, put_message, u16_at};
use crate::wire::Bad;
use bytes::{BufMut, BytesMut};

// <linux/genetlink.h>
/// `GENL_ID_CTRL`: the family that knows the others; `nlmsg_type` of its messages.
pub const CONTROLLER: u16 = 0x10;
const CTRL_CMD_NEWFAMILY: u8 = 1;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
/// Bytes of `struct genlmsghdr`.
pub(super) const GENERIC_HEADER: usize = 4;

/// A family and its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// `nlmsg_type` of its messages.
    pub id: u16,
    /// As it was asked for.
    pub name: String,
}

/// Appends the question for a family's number. Answered by one message of [`CONTROLLER`], or by an ack with ENOENT where
/// the kernel has no such family.
pub fn get_family(out: &mut BytesMut, seq: u32, name: &str) {
    put_message(out, CONTROLLER, NLM_F_REQUEST | NLM_F_ACK, seq, |out| {
        put_header(out, CTRL_CMD_GETFAMILY, 1);
        put_string(out, CTRL_ATTR_FAMILY_NAME, name);
    });
}

/// Reads a message of [`CONTROLLER`]; `None` for one that is no answer to [`get_family`].
///
/// # Errors
/// Lengths; a family without a number or a name.
pub fn read_family(body: &[u8]) -> Result<Option<Family>, Bad> {
    let (command, rest) = read_header(body)?;
    if command != CTRL_CMD_NEWFAMILY {
        return Ok(None);
    }
    let (mut id, mut name) = (None, None);
    for attr in attrs(rest) {
        match attr? {
            (CTRL_ATTR_FAMILY_ID, value) => id = Some(u16_at(value, 0)?),
            (CTRL_ATTR_FAMILY_NAME, value) => name = Some(string(value)?),
            _ => {}
        }
    }
    Ok(Some(Family { id: id.ok_or(Bad::Missing)?, name: name.ok_or(Bad::Missing)? }))
}

/// Appends a `struct genlmsghdr`.
pub(super) fn put_header(out: &mut BytesMut, command: u8, version: u8) {
    out.put_u8(command);
    out.put_u8(version);
    out.put_u16_ne(0);
}

/// The command, and what follows the header.
pub(super) fn read_header(body: &[u8]) -> Result<(u8, &[u8]), Bad> {
    let rest = body.get(GENERIC_HEADER..).ok_or(Bad::Length)?;
    Ok((body[0], rest))
}

/// A string with its NUL.
pub(super) fn put_string(out: &mut BytesMut, kind: u16, text: &str) {
    put_attr(out, kind, &[text.as_bytes(), b"\0"].concat());
}

/// The text before the first NUL; a string without one is taken whole.
pub(super) fn string(value: &[u8]) -> Result<String, Bad> {
    let end = memchr::memchr(0, value).unwrap_or(value.len());
    String::from_utf8(value[..end].to_vec()).map_err(|_| Bad::Value)
}
