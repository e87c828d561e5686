//! The envelope of a file for another process or for a person: the kind of the content, its layout, and a checksum.
//!
//! ```text
//! magic 8 | layout 2 | zero 2 | length of the body 4 | CRC-32C of the body 4 | body        (integers little endian)
//! ```
//! The CRC detects accidents (a torn write, a bad disk); it gives no protection against a process that may write the bytes. Users:
//! `snapshot/`, `record/`.

use bytes::{Buf, BufMut};
use core::fmt;
use core::ops::RangeInclusive;
use crc::{CRC_32_ISCSI, Crc, Table};

/// Bytes before the body.
pub const HEADER: usize = 20;

/// Sixteen bytes a step: nine times as fast as one.
pub static CRC32C: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// A kind of content.
#[derive(Clone, Debug)]
pub struct Kind {
    /// The first bytes, by which the content is recognised.
    pub magic: [u8; 8],
    /// The word for it in messages, such as "recording".
    pub name: &'static str,
    /// The layouts that are read.
    pub layouts: RangeInclusive<u16>,
    /// Maximum length, bytes, with the envelope.
    pub max: usize,
}

/// Why bytes cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// Another kind of content, or nothing.
    Foreign(&'static str),
    /// A layout that this program does not read: the kind, the layout, the newest one that is read.
    Layout(&'static str, u16, u16),
    /// Shorter or longer than the length in the envelope, or too large.
    Length(&'static str),
    /// The body is damaged: the CRC is wrong.
    Damaged(&'static str),
    /// The CRC is right and the content is invalid: where and why.
    Malformed(&'static str, String),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unusable::Foreign(what) => write!(f, "there is no {what}"),
            Unusable::Layout(what, layout, newest) => {
                write!(f, "the {what} has layout {layout}, and this kalived reads layouts up to {newest}")
            }
            Unusable::Length(what) => write!(f, "the {what} is cut off, or too long"),
            Unusable::Damaged(what) => write!(f, "the {what} is damaged: its CRC-32C is another one"),
            Unusable::Malformed(what, why) => write!(f, "the {what} cannot be understood: {why}"),
        }
    }
}

impl std::error::Error for Unusable {}

impl Kind {
    /// An envelope with the bytes that `write` appends. Empty, which is no envelope, when it would be too long or cannot be written.
    pub fn seal<E>(&self, layout: u16, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Vec<u8> {
        let mut out = Vec::with_capacity(4096);
        out.put_slice(&self.magic);
        out.put_u16_le(layout);
        out.put_bytes(0, HEADER - 10);
        let written = write(&mut out).is_ok() && out.len() <= self.max;
        let Some((header, body)) = out.split_at_mut_checked(HEADER).filter(|_| written) else { return Vec::new() };
        let Ok(len) = u32::try_from(body.len()) else { return Vec::new() };
        let mut rest = header.get_mut(12..).unwrap_or_default();
        rest.put_u32_le(len);
        rest.put_u32_le(CRC32C.checksum(body));
        out
    }

    /// The layout and the body.
    pub fn open<'a>(&self, bytes: &'a [u8]) -> Result<(u16, &'a [u8]), Unusable> {
        let (mut header, body) = bytes.split_at_checked(HEADER).ok_or(Unusable::Foreign(self.name))?;
        if !header.starts_with(&self.magic) {
            return Err(Unusable::Foreign(self.name));
        }
        header.advance(self.magic.len());
        let (layout, zero) = (header.get_u16_le(), header.get_u16_le());
        let (len, crc) = (header.get_u32_le() as usize, header.get_u32_le());
        if !self.layouts.contains(&layout) {
            return Err(Unusable::Layout(self.name, layout, *self.layouts.end()));
        }
        if zero != 0 {
            return Err(Unusable::Foreign(self.name));
        }
        if len != body.len() || bytes.len() > self.max {
            return Err(Unusable::Length(self.name));
        }
        if CRC32C.checksum(body) != crc {
            return Err(Unusable::Damaged(self.name));
        }
        Ok((layout, body))
    }

    /// The content does not match its layout.
    pub fn malformed(&self, why: impl fmt::Display) -> Unusable {
        Unusable::Malformed(self.name, why.to_string())
    }
}
