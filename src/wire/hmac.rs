//! The trailer that `auth_hmac` puts behind an advert: 28 bytes, wire-compatible with keepalived 2.4.
//!
//! ```text
//! type 1 | key id 1 | zero 2 | seconds 4 | 1/65536 s 2 | counter 2 | HMAC-SHA256, leading 16 bytes
//! ```
//!
//! The HMAC covers 20 bytes of context (IP version, VRRP version, VRID, zero, source address in 16 bytes), the VRRP message with its
//! checksum as zero, and the trailer with its HMAC as zero. Neither the IP header nor the destination is in it, so one signature serves
//! every peer. The trailer is not in the address count of the message, and over IPv4 not in its checksum. Whether a
//! sequence is new is decided in `vrrp/replay.rs`.

use super::{Bad, array, checksum, vrrp};
use bytes::{BufMut, Bytes, BytesMut};
use core::net::IpAddr;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Bytes of the trailer.
pub const LEN: usize = 28;
const PLAIN: usize = 12;
/// HMAC-SHA256 cut to 128 bits.
const HMAC_SHA256_128: u8 = 1;

/// What a signature is bound to besides the message.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// VRRP version, 2 or 3.
    pub version: u8,
    /// VRID of the advert.
    pub vrid: u8,
    /// Source address of the packet.
    pub src: IpAddr,
}

/// A trailer before its signature was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// Id of the key, 1..=255.
    pub key_id: u8,
    /// Seconds since 1970 in the upper half, then 1/65536 s, then a counter.
    pub sequence: u64,
}

/// Reads a trailer.
///
/// # Errors
/// [`Bad::Length`]; [`Bad::Type`] for another algorithm; [`Bad::Value`] where bytes that must be zero are not.
pub fn parse(bytes: &[u8]) -> Result<Trailer, Bad> {
    let fixed: [u8; PLAIN] = array(bytes, 0)?;
    if bytes.len() != LEN {
        return Err(Bad::Length);
    }
    if fixed[0] != HMAC_SHA256_128 {
        return Err(Bad::Type);
    }
    if fixed[2..4] != [0, 0] {
        return Err(Bad::Value);
    }
    Ok(Trailer { key_id: fixed[1], sequence: u64::from_be_bytes(array(&fixed, 4)?) })
}

/// The trailer for a message, from its first byte to its last address.
pub fn sign(context: &Context, message: &[u8], trailer: Trailer, key: &[u8]) -> [u8; LEN] {
    let mut out = [0; LEN];
    out[..PLAIN].copy_from_slice(&plain(trailer));
    if let Some(mac) = mac(context, message, trailer, key) {
        out[PLAIN..].copy_from_slice(&mac.finalize().into_bytes()[..LEN - PLAIN]);
    }
    out
}

/// A packet with `header` bytes of IP header, with the trailer behind its message; `None`: it is too short. Over IPv6 the checksum of the
/// message covers the trailer too.
pub fn append(packet: &[u8], header: usize, src: IpAddr, trailer: Trailer, key: &[u8]) -> Option<Bytes> {
    let message = packet.get(header..)?;
    let fixed = vrrp::Fixed::parse(message).ok()?;
    let context = Context { version: fixed.version, vrid: fixed.vrid, src };
    let mut out = BytesMut::with_capacity(packet.len() + LEN);
    out.put_slice(packet);
    out.put_slice(&sign(&context, message, trailer, key));
    if src.is_ipv4() {
        let total = u16::try_from(out.len()).ok()?;
        out[2..4].copy_from_slice(&total.to_be_bytes());
        out[10..12].fill(0);
        let sum = checksum::sum(&out[..header]);
        out[10..12].copy_from_slice(&sum.to_be_bytes());
    } else {
        let payload = out.len() - header;
        out[4..6].copy_from_slice(&u16::try_from(payload).ok()?.to_be_bytes());
        let dst = IpAddr::from(array::<16>(packet, 24).ok()?);
        out[header + 6..header + 8].fill(0);
        let sum = checksum::pseudo(src, dst, vrrp::PROTO, payload)?.bytes(&out[header..]).finish();
        out[header + 6..header + 8].copy_from_slice(&sum.to_be_bytes());
    }
    Some(out.freeze())
}

/// Whether the signature in `bytes`, which [`parse`] has read, is right, compared in constant time.
pub fn verifies(context: &Context, message: &[u8], bytes: &[u8], key: &[u8]) -> bool {
    let Ok(trailer) = parse(bytes) else { return false };
    mac(context, message, trailer, key).is_some_and(|mac| mac.verify_truncated_left(&bytes[PLAIN..]).is_ok())
}

fn plain(trailer: Trailer) -> [u8; PLAIN] {
    let mut out = [0; PLAIN];
    out[0] = HMAC_SHA256_128;
    out[1] = trailer.key_id;
    out[4..].copy_from_slice(&trailer.sequence.to_be_bytes());
    out
}

fn mac(context: &Context, message: &[u8], trailer: Trailer, key: &[u8]) -> Option<Hmac<Sha256>> {
    let mut head = [0; 20];
    head[0] = if context.src.is_ipv4() { 4 } else { 6 };
    head[1] = context.version;
    head[2] = context.vrid;
    match context.src {
        IpAddr::V4(a) => head[4..8].copy_from_slice(&a.octets()),
        IpAddr::V6(a) => head[4..20].copy_from_slice(&a.octets()),
    }
    // HMAC takes a key of any length; an error cannot come.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(&head);
    // The checksum, at 6 and 7, counts as zero: over IPv6 the kernel fills it in later.
    mac.update(message.get(..6)?);
    mac.update(&[0, 0]);
    mac.update(message.get(8..)?);
    mac.update(&plain(trailer));
    mac.update(&[0; LEN - PLAIN]);
    Some(mac)
}
