//! A configuration as bytes: the compiler of a reload passes it to the loop, so that the loop never parses text.
//!
//! ```text
//! header:  magic 8 | version 2 | zero 2 | VRRP: length 4, CRC-32C 4 | LVS: length 4, CRC-32C 4 | CRC-32C of all this 4
//! then:    VRRP section | LVS section                                            (integers little endian)
//! ```
//! The VRRP section is a part of the model in postcard's encoding. The LVS section is a list of records, `length 4 | CRC-32C 4 |` a
//! [`Part`] in that encoding, the last one [`Part::End`]: the loop reads, checks and decodes the header and the VRRP part ([`Header`])
//! when it starts, and tens of thousands of real servers record by record ([`record`]) over many turns. What the CRCs detect and what not
//! is in `envelope.rs`: an attacker must not be able to write the file.
//!
//! Bounds for hostile bytes: an image is at most [`MAX_IMAGE`] long; a section allocates at most [`MAX_GROWTH`] bytes for each of its
//! own, and 1 MiB per nested list (serde's limit for a length without its bytes). Decoding is not recursive. Read first: `model/`.
//! Deliberately absent: compatibility with other versions; the text is the configuration, an image is used by one program only.

use super::model::bfd::BfdInstance;
use super::model::global::RootMore;
use super::model::lvs::{Part, parts_ref};
use super::model::route::{Route, Rule};
use super::model::vrrp::{
    GarpGroup, LinkDelay, Linkbeat, SyncGroup, TrackFile, TrackGroup, TrackProcess, VrrpCheck, VrrpScript,
};
use super::model::{Config, Global, InstanceConfig, Vip};
use bytes::{Buf, BufMut};
use core::fmt;
use core::ops::Range;
use crc::{CRC_32_ISCSI, Crc, Table};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The first bytes. The last two detect a file that went through a text conversion.
pub const MAGIC: [u8; 8] = *b"KALIVE\r\n";
/// Version of this layout. Increased with every change of the model; a test compares.
pub const VERSION: u16 = 4;
/// Bytes before the first section.
pub const HEADER: usize = 32;
/// Largest image, in bytes. The largest configuration known (37,000 real servers) has less than a tenth of it.
pub const MAX_IMAGE: usize = 256 << 20;
/// Bytes of memory that one byte of an image can turn into, at most (tested).
pub const MAX_GROWTH: usize = 64;

/// Sixteen bytes a step: nine times as fast as one; 255 routers with all their addresses make a section of a megabyte.
static CRC32C: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// Why bytes are not an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageError {
    /// Fewer bytes than a header, or than the header specifies: the actual and the expected number.
    Truncated(usize, usize),
    /// More bytes than the header specifies.
    TooLong(usize, usize),
    /// Longer than [`MAX_IMAGE`]; the number of bytes.
    TooLarge(usize),
    /// Not an image.
    Foreign,
    /// An image of another kalived.
    Version(u16),
    /// A part is damaged: which one, the CRC-32C in the header, that of the bytes.
    Damaged(&'static str, u32, u32),
    /// The CRC is right and the content is invalid: not made by [`encode`]. Which section.
    Malformed(&'static str),
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImageError::Truncated(have, want) => write!(f, "the image is cut off: {have} of {want} bytes are there"),
            ImageError::TooLong(have, want) => write!(f, "the image has {have} bytes instead of {want}"),
            ImageError::TooLarge(n) => write!(f, "the image says it has {n} bytes; at most {MAX_IMAGE} are allowed"),
            ImageError::Foreign => f.write_str("not an image of kalived"),
            ImageError::Version(v) => {
                let age = if *v < VERSION { "an older" } else { "a newer" };
                write!(f, "made by {age} kalived: version {v}, this one reads {VERSION}; compile the text again")
            }
            ImageError::Damaged(what, said, is) => {
                write!(f, "the image is damaged: CRC-32C of the {what} is {is:08x} instead of {said:08x}")
            }
            ImageError::Malformed(what) => write!(f, "the {what} of the image makes no sense"),
        }
    }
}

impl std::error::Error for ImageError {}

/// The image of a configuration. The error is [`ImageError::TooLarge`] only.
pub fn encode(config: &Config) -> Result<Vec<u8>, ImageError> {
    let mut lvs = Vec::new();
    for part in parts_ref(&config.ssl, &config.server_groups, &config.virtual_servers) {
        let body = section(LVS, &part)?;
        let len = u32::try_from(body.len()).map_err(|_| ImageError::TooLarge(body.len()))?;
        lvs.put_u32_le(len);
        lvs.put_u32_le(CRC32C.checksum(&body));
        lvs.put_slice(&body);
    }
    seal(&section(VRRP, &split(config))?, &lvs)
}

/// Bytes before the part of a record.
pub const RECORD_HEADER: usize = 8;

/// Length of the LVS section of a configuration without LVS: its last record alone.
pub const EMPTY_LVS: usize = RECORD_HEADER + 1;

/// The first record of `bytes`, and its length in bytes; `Err` with the number of bytes that are required to read it.
///
/// # Errors [`ImageError::Damaged`] and [`ImageError::Malformed`].
pub fn record(bytes: &[u8]) -> Result<Result<(Part, usize), usize>, ImageError> {
    let Some(mut head) = bytes.get(..RECORD_HEADER) else { return Ok(Err(RECORD_HEADER)) };
    let (len, crc) = (head.get_u32_le() as usize, head.get_u32_le());
    if len > MAX_IMAGE {
        return Err(ImageError::Malformed(LVS));
    }
    let end = RECORD_HEADER + len;
    match bytes.get(RECORD_HEADER..end) {
        Some(body) => Ok(Ok((take(LVS, body, crc)?, end))),
        None => Ok(Err(end)),
    }
}

const VRRP: &str = "VRRP section";
const LVS: &str = "LVS section";

/// An image of two sections with any content. The error is [`ImageError::TooLarge`] only.
pub fn seal(vrrp: &[u8], lvs: &[u8]) -> Result<Vec<u8>, ImageError> {
    let len = HEADER.saturating_add(vrrp.len()).saturating_add(lvs.len());
    let (Ok(vrrp_len), Ok(lvs_len), true) = (u32::try_from(vrrp.len()), u32::try_from(lvs.len()), len <= MAX_IMAGE)
    else {
        return Err(ImageError::TooLarge(len));
    };
    let mut out = Vec::with_capacity(len);
    out.put_slice(&MAGIC);
    out.put_u16_le(VERSION);
    out.put_u16_le(0);
    out.put_u32_le(vrrp_len);
    out.put_u32_le(CRC32C.checksum(vrrp));
    out.put_u32_le(lvs_len);
    out.put_u32_le(CRC32C.checksum(lvs));
    out.put_u32_le(CRC32C.checksum(&out));
    out.put_slice(vrrp);
    out.put_slice(lvs);
    Ok(out)
}

/// The first [`HEADER`] bytes: the positions of the sections and their CRCs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    // Length and CRC of each section.
    vrrp: (usize, u32),
    lvs: (usize, u32),
}

impl Header {
    /// Checks magic, version, lengths and the header's CRC; the bytes after the header are not read.
    pub fn read(bytes: &[u8]) -> Result<Header, ImageError> {
        let known = bytes.len().min(MAGIC.len());
        if bytes.get(..known) != MAGIC.get(..known) {
            return Err(ImageError::Foreign);
        }
        let Some(header) = bytes.get(..HEADER) else { return Err(ImageError::Truncated(bytes.len(), HEADER)) };
        let (covered, mut sum) = header.split_at(HEADER - 4);
        let mut at = covered;
        at.advance(MAGIC.len());
        // Before the CRC: another version may have it at another offset.
        let version = at.get_u16_le();
        if version != VERSION {
            return Err(ImageError::Version(version));
        }
        check("header", covered, sum.get_u32_le())?;
        if at.get_u16_le() != 0 {
            return Err(ImageError::Foreign);
        }
        let mut part = || (at.get_u32_le() as usize, at.get_u32_le());
        let header = Header { vrrp: part(), lvs: part() };
        let len = HEADER.saturating_add(header.vrrp.0).saturating_add(header.lvs.0);
        if len > MAX_IMAGE { Err(ImageError::TooLarge(len)) } else { Ok(header) }
    }

    /// Length of the whole image, bytes: 32 to [`MAX_IMAGE`].
    pub fn image_len(&self) -> usize {
        HEADER + self.vrrp.0 + self.lvs.0
    }

    /// The position of the LVS section in the image.
    pub fn lvs_at(&self) -> Range<usize> {
        self.vrrp_at().end..self.image_len()
    }

    /// The position of the VRRP section in the image. The LVS section is the rest.
    pub fn vrrp_at(&self) -> Range<usize> {
        HEADER..HEADER + self.vrrp.0
    }

    /// Whether the configuration has virtual servers.
    pub fn has_servers(&self) -> bool {
        self.lvs.0 > EMPTY_LVS
    }
    /// Decodes everything except the virtual servers, from the bytes at [`Header::vrrp_at`].
    pub fn vrrp(&self, section: &[u8]) -> Result<Config, ImageError> {
        take::<Vrrp>(VRRP, section, self.vrrp.1).map(join)
    }
}

/// The configuration of an image.
pub fn decode(bytes: &[u8]) -> Result<Config, ImageError> {
    let header = Header::read(bytes)?;
    let len = header.image_len();
    if bytes.len() > len {
        return Err(ImageError::TooLong(bytes.len(), len));
    }
    let (Some(vrrp), Some(lvs)) = (bytes.get(header.vrrp_at()), bytes.get(header.vrrp_at().end..len)) else {
        return Err(ImageError::Truncated(bytes.len(), len));
    };
    let mut config = header.vrrp(vrrp)?;
    check(LVS, lvs, header.lvs.1)?;
    gather(lvs, &mut config)?;
    Ok(config)
}

// Tuples of fields instead of separate structs: a new field in `Config` does not compile until it is added here.
type VrrpRef<'a> = (
    (&'a Global, &'a Vec<InstanceConfig>, &'a RootMore, &'a Vec<SyncGroup>, &'a Vec<VrrpScript>, &'a Vec<TrackFile>),
    (&'a Vec<TrackProcess>, &'a Vec<TrackGroup>, &'a Vec<GarpGroup>, &'a Vec<Linkbeat>, &'a Vec<LinkDelay>),
    (&'a Vec<Vip>, &'a Vec<Route>, &'a Vec<Rule>, &'a Vec<BfdInstance>, &'a Vec<VrrpCheck>),
);
type Vrrp = (
    (Global, Vec<InstanceConfig>, RootMore, Vec<SyncGroup>, Vec<VrrpScript>, Vec<TrackFile>),
    (Vec<TrackProcess>, Vec<TrackGroup>, Vec<GarpGroup>, Vec<Linkbeat>, Vec<LinkDelay>),
    (Vec<Vip>, Vec<Route>, Vec<Rule>, Vec<BfdInstance>, Vec<VrrpCheck>),
);

// Reads all parts of an LVS section; no bytes may remain.
fn gather(mut lvs: &[u8], config: &mut Config) -> Result<(), ImageError> {
    let nonsense = ImageError::Malformed(LVS);
    loop {
        let Ok((part, len)) = record(lvs)? else { return Err(nonsense) };
        lvs = lvs.get(len..).unwrap_or_default();
        match part {
            Part::Ssl(ssl) => config.ssl = Some(*ssl),
            Part::Group(group) => config.server_groups.push(group),
            Part::Server(server) => config.virtual_servers.push(*server),
            Part::Reals(more) => match config.virtual_servers.last_mut() {
                Some(server) => server.real_servers.extend(more),
                None => return Err(nonsense),
            },
            // They follow from the rest.
            Part::Marks(_) => {}
            Part::End => return if lvs.is_empty() { Ok(()) } else { Err(nonsense) },
        }
    }
}

fn split(config: &Config) -> VrrpRef<'_> {
    let Config {
        global,
        instances,
        root,
        sync_groups,
        scripts,
        checks,
        track_files,
        track_processes,
        track_groups,
        garp_groups,
        linkbeats,
        link_delays,
        static_addresses,
        static_routes,
        static_rules,
        bfd,
        // The LVS section.
        ssl: _,
        server_groups: _,
        virtual_servers: _,
    } = config;
    let blocks = (global, instances, root, sync_groups, scripts, track_files);
    let small = (track_processes, track_groups, garp_groups, linkbeats, link_delays);
    (blocks, small, (static_addresses, static_routes, static_rules, bfd, checks))
}

fn join(parts: Vrrp) -> Config {
    let (blocks, small, (static_addresses, static_routes, static_rules, bfd, checks)) = parts;
    let (global, instances, root, sync_groups, scripts, track_files) = blocks;
    let (track_processes, track_groups, garp_groups, linkbeats, link_delays) = small;
    Config {
        global,
        instances,
        root,
        sync_groups,
        scripts,
        checks,
        track_files,
        track_processes,
        track_groups,
        garp_groups,
        linkbeats,
        link_delays,
        static_addresses,
        static_routes,
        static_rules,
        bfd,
        ssl: None,
        server_groups: Vec::new(),
        virtual_servers: Vec::new(),
    }
}

fn section<T: Serialize>(what: &'static str, value: &T) -> Result<Vec<u8>, ImageError> {
    postcard::to_stdvec(value).map_err(|_| ImageError::Malformed(what))
}

fn check(what: &'static str, bytes: &[u8], said: u32) -> Result<(), ImageError> {
    let is = CRC32C.checksum(bytes);
    if is == said { Ok(()) } else { Err(ImageError::Damaged(what, said, is)) }
}

/// Decodes a section; no bytes may remain.
fn take<T: DeserializeOwned>(what: &'static str, bytes: &[u8], crc: u32) -> Result<T, ImageError> {
    check(what, bytes, crc)?;
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        _ => Err(ImageError::Malformed(what)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::lvs::VirtualServer;
    use super::*;

    #[test]
    fn what_is_wrong_is_said() {
        let good = encode(&Config::default()).unwrap();
        assert_eq!(decode(&good), Ok(Config::default()));
        let last = good.len() - 1;
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            decode(&bytes).unwrap_err().to_string()
        };
        assert_eq!(decode(&[]).unwrap_err().to_string(), "the image is cut off: 0 of 32 bytes are there");
        assert_eq!(decode(b"KALI").unwrap_err().to_string(), "the image is cut off: 4 of 32 bytes are there");
        assert_eq!(decode(b"vrrp_instance x {").unwrap_err().to_string(), "not an image of kalived");
        for (version, age) in [(0, "an older"), (2, "an older"), (99, "a newer")] {
            let says =
                format!("made by {age} kalived: version {version}, this one reads {VERSION}; compile the text again");
            assert_eq!(with(8, version), says);
        }
        for (at, what) in
            [(10, "header"), (15, "header"), (31, "header"), (HEADER, "VRRP section"), (last, "LVS section")]
        {
            assert!(
                with(at, !good[at]).starts_with(&format!("the image is damaged: CRC-32C of the {what} is ")),
                "{at}"
            );
        }
        assert!(decode(&[&good[..], b"x"].concat()).unwrap_err().to_string().starts_with("the image has "));
        for cut in 0..good.len() {
            assert!(matches!(decode(&good[..cut]), Err(ImageError::Truncated(..))), "{cut}");
        }
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bytes).is_err(), "bit {bit}");
        }
    }

    // With the header's CRC corrected.
    fn with_header(at: usize, bytes: &[u8]) -> Result<Config, ImageError> {
        let mut image = encode(&Config::default()).unwrap();
        image[at..at + bytes.len()].copy_from_slice(bytes);
        let crc = CRC32C.checksum(&image[..HEADER - 4]);
        image[HEADER - 4..HEADER].copy_from_slice(&crc.to_le_bytes());
        decode(&image)
    }

    #[test]
    fn a_right_crc_does_not_make_nonsense_sound() {
        let good = encode(&Config::default()).unwrap();
        let (vrrp, lvs) = good[HEADER..].split_at(Header::read(&good).unwrap().vrrp_at().len());
        assert_eq!(seal(vrrp, lvs), Ok(good.clone()));
        for section in [&[][..], &[255, 255, 255, 255, 0], &[255, 7]] {
            assert_eq!(decode(&seal(section, lvs).unwrap()), Err(ImageError::Malformed(VRRP)));
            assert_eq!(decode(&seal(vrrp, section).unwrap()), Err(ImageError::Malformed(LVS)));
        }
        for longer in [[vrrp, &[0]].concat(), [vrrp, lvs].concat()] {
            assert_eq!(
                decode(&seal(&longer, lvs).unwrap()),
                Err(ImageError::Malformed(VRRP)),
                "something is left over"
            );
        }
        assert_eq!(with_header(10, &[1]), Err(ImageError::Foreign));
        for at in [12, 20] {
            assert!(matches!(with_header(at, &[255; 4]), Err(ImageError::TooLarge(n)) if n > MAX_IMAGE));
            assert!(matches!(with_header(at, &[255, 255, 1, 0]), Err(ImageError::Truncated(..))));
        }
    }

    #[test]
    fn the_vrrp_section_needs_nothing_of_the_other_one() {
        use super::super::model::Family;
        let instances = vec![InstanceConfig::new("a", "eth0", 1, Family::V4)];
        let servers = vec![VirtualServer::default(); 10];
        let config = Config { instances, virtual_servers: servers, ..Config::default() };
        let image = encode(&config).unwrap();
        let header = Header::read(&image[..HEADER]).unwrap();
        assert_eq!(header.image_len(), image.len());
        let section = &image[header.vrrp_at()];
        assert_eq!(header.vrrp(section), Ok(Config { virtual_servers: Vec::new(), ..config }));
        assert!(matches!(header.vrrp(&section[1..]), Err(ImageError::Damaged(VRRP, ..))));
    }
}
