//! A configuration as bytes: what the compiler of a reload hands to the loop, so that the loop never parses text.
//!
//! ```text
//! magic 8 | version 2 | zero 2 | length of the body 4 | CRC-32C of the body 4 | body
//! body: length of the VRRP section 4 | VRRP section | LVS section                (integers little endian)
//! ```
//! Each section is a part of the model in postcard's encoding, so that the loop can take the VRRP part over without
//! decoding tens of thousands of real servers. The CRC finds accidents (a torn write, a bad disk); it is no protection
//! against an attacker, who must not be able to write the file in the first place.
//!
//! Bounds for hostile bytes: an image is at most [`MAX_IMAGE`] long; a section allocates at most [`MAX_GROWTH`] bytes
//! for each of its own, and 1 MiB per nested list (serde's limit for a length that is only promised). Decoding is not
//! recursive. Read first: `model.rs`. Deliberately absent: compatibility with other versions; the text is the
//! configuration, an image lives as long as one program.

use super::model::bfd::BfdInstance;
use super::model::global::RootMore;
use super::model::lvs::{ServerGroup, Ssl, VirtualServer};
use super::model::route::{Route, Rule};
use super::model::vrrp::{
    GarpGroup, LinkDelay, Linkbeat, SyncGroup, TrackFile, TrackGroup, TrackProcess, VrrpCheck, VrrpScript,
};
use super::model::{Config, Global, InstanceConfig, Vip};
use bytes::{Buf, BufMut};
use core::fmt;
use crc::{CRC_32_ISCSI, Crc};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The first bytes. The last two show a file that went through a text conversion.
pub const MAGIC: [u8; 8] = *b"KALIVE\r\n";
/// Number of this layout. Goes up with every change of the model; a test compares.
pub const VERSION: u16 = 2;
/// Bytes before the body.
pub const HEADER: usize = 20;
/// Largest image, in bytes. The largest configuration known (37,000 real servers) has less than a tenth of it.
pub const MAX_IMAGE: usize = 256 << 20;
/// Bytes of memory that one byte of an image can turn into, at most (tested).
pub const MAX_GROWTH: usize = 64;

const CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// Why bytes are no image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageError {
    /// Fewer bytes than a header; or fewer than the header says: how many there are, how many there should be.
    Truncated(usize, usize),
    /// More bytes than the header says.
    TooLong(usize, usize),
    /// Above [`MAX_IMAGE`].
    TooLarge(usize),
    /// Something else than an image.
    Foreign,
    /// An image of another kalived.
    Version(u16),
    /// The body is not what was written: CRC-32C of the header, of the body.
    Damaged(u32, u32),
    /// The CRC is right and the content is not: made by something else than [`encode`]. Which section.
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
            ImageError::Damaged(said, is) => {
                write!(f, "the image is damaged: CRC-32C is {is:08x} instead of {said:08x}")
            }
            ImageError::Malformed(what) => write!(f, "the {what} section of the image makes no sense"),
        }
    }
}

impl std::error::Error for ImageError {}

/// The image of a configuration. The error is [`ImageError::TooLarge`] only.
pub fn encode(config: &Config) -> Result<Vec<u8>, ImageError> {
    let (vrrp, lvs) = split(config);
    let (vrrp, lvs) = (section("VRRP", &vrrp)?, section("LVS", &lvs)?);
    let len = 4 + vrrp.len() + lvs.len();
    let (Ok(body_len), Ok(vrrp_len), true) = (u32::try_from(len), u32::try_from(vrrp.len()), HEADER + len <= MAX_IMAGE)
    else {
        return Err(ImageError::TooLarge(HEADER + len));
    };
    let mut out = Vec::with_capacity(HEADER + len);
    out.put_slice(&MAGIC);
    out.put_u16_le(VERSION);
    out.put_u16_le(0);
    out.put_u32_le(body_len);
    out.put_u32_le(0);
    out.put_u32_le(vrrp_len);
    out.put_slice(&vrrp);
    out.put_slice(&lvs);
    let crc = CRC32C.checksum(out.get(HEADER..).unwrap_or_default());
    if let Some(mut place) = out.get_mut(HEADER - 4..HEADER) {
        place.put_u32_le(crc);
    }
    Ok(out)
}

/// An image whose envelope is sound, not decoded yet.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    vrrp: &'a [u8],
    lvs: &'a [u8],
}

impl<'a> Image<'a> {
    /// Checks magic, version, length and CRC.
    pub fn open(bytes: &'a [u8]) -> Result<Image<'a>, ImageError> {
        let known = bytes.len().min(MAGIC.len());
        if bytes.get(..known) != MAGIC.get(..known) {
            return Err(ImageError::Foreign);
        }
        let Some((mut header, body)) = bytes.split_at_checked(HEADER) else {
            return Err(ImageError::Truncated(bytes.len(), HEADER));
        };
        header.advance(MAGIC.len());
        let (version, zero) = (header.get_u16_le(), header.get_u16_le());
        let (len, crc) = (header.get_u32_le() as usize, header.get_u32_le());
        if version != VERSION {
            return Err(ImageError::Version(version));
        }
        if zero != 0 {
            return Err(ImageError::Foreign);
        }
        if len > MAX_IMAGE - HEADER {
            return Err(ImageError::TooLarge(len));
        }
        if body.len() < len {
            return Err(ImageError::Truncated(bytes.len(), HEADER + len));
        }
        if body.len() > len {
            return Err(ImageError::TooLong(bytes.len(), HEADER + len));
        }
        let is = CRC32C.checksum(body);
        if is != crc {
            return Err(ImageError::Damaged(crc, is));
        }
        let (mut size, rest) = body.split_at_checked(4).ok_or(ImageError::Malformed("VRRP"))?;
        let (vrrp, lvs) = rest.split_at_checked(size.get_u32_le() as usize).ok_or(ImageError::Malformed("VRRP"))?;
        Ok(Image { vrrp, lvs })
    }

    /// Everything but the virtual servers.
    pub fn vrrp(&self) -> Result<Config, ImageError> {
        take::<Vrrp>("VRRP", self.vrrp).map(join)
    }

    /// Everything.
    pub fn config(&self) -> Result<Config, ImageError> {
        let mut config = self.vrrp()?;
        (config.ssl, config.server_groups, config.virtual_servers) = take("LVS", self.lvs)?;
        Ok(config)
    }
}

// Tuples of fields instead of structs of their own: a field more in `Config` does not compile until it has its place.
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
type LvsRef<'a> = (&'a Option<Ssl>, &'a Vec<ServerGroup>, &'a Vec<VirtualServer>);

fn split(config: &Config) -> (VrrpRef<'_>, LvsRef<'_>) {
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
        ssl,
        server_groups,
        virtual_servers,
    } = config;
    let blocks = (global, instances, root, sync_groups, scripts, track_files);
    let small = (track_processes, track_groups, garp_groups, linkbeats, link_delays);
    (
        (blocks, small, (static_addresses, static_routes, static_rules, bfd, checks)),
        (ssl, server_groups, virtual_servers),
    )
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

/// The configuration of an image: [`Image::open`] and [`Image::config`].
pub fn decode(bytes: &[u8]) -> Result<Config, ImageError> {
    Image::open(bytes)?.config()
}

fn section<T: Serialize>(what: &'static str, value: &T) -> Result<Vec<u8>, ImageError> {
    postcard::to_stdvec(value).map_err(|_| ImageError::Malformed(what))
}

/// Nothing may be left over.
fn take<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, ImageError> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        _ => Err(ImageError::Malformed(what)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said() {
        let good = encode(&Config::default()).unwrap();
        assert_eq!(decode(&good), Ok(Config::default()));
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            decode(&bytes).unwrap_err().to_string()
        };
        assert_eq!(decode(&[]).unwrap_err().to_string(), "the image is cut off: 0 of 20 bytes are there");
        assert_eq!(decode(b"KALI").unwrap_err().to_string(), "the image is cut off: 4 of 20 bytes are there");
        assert_eq!(decode(b"vrrp_instance x {").unwrap_err().to_string(), "not an image of kalived");
        assert_eq!(
            with(8, 0),
            format!("made by an older kalived: version 0, this one reads {VERSION}; compile the text again")
        );
        assert_eq!(
            with(8, 99),
            format!("made by a newer kalived: version 99, this one reads {VERSION}; compile the text again")
        );
        assert_eq!(with(10, 1), "not an image of kalived");
        assert!(with(15, 0xff).starts_with("the image says it has 42"), "{}", with(15, 0xff));
        assert!(with(16, !good[16]).starts_with("the image is damaged: CRC-32C is "));
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

    #[test]
    fn a_right_crc_does_not_make_nonsense_sound() {
        for body in [&[][..], &[1], &[9, 0, 0, 0], &[0, 0, 0, 0], &[255, 255, 255, 255, 0], &[1, 0, 0, 0, 255, 7]] {
            let mut bytes = encode(&Config::default()).unwrap();
            bytes.truncate(HEADER);
            bytes[12..16].copy_from_slice(&(body.len() as u32).to_le_bytes());
            bytes[16..20].copy_from_slice(&CRC32C.checksum(body).to_le_bytes());
            bytes.extend_from_slice(body);
            assert!(matches!(decode(&bytes), Err(ImageError::Malformed(_))), "{body:?}");
        }
    }
}
