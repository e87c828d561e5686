//! The IP Authentication Header as VRRP version 2 uses it (RFC 2338 §5.3.6.3; RFC 2402; HMAC-MD5-96, RFC 2403).
//!
//! Read first: `ipv4.rs`. The header is between the IP header and the VRRP message: next header 112, the sender's address as SPI, a
//! sequence number, and 96 bits of HMAC-MD5 over the whole packet, in which the fields that routers change are set to zero. With multicast
//! the TTL is covered, too: it is 255, or the advert is dropped. The IP identification is covered, so the sender chooses one that is not
//! 0: the kernel would replace 0. Deliberately absent: whether a sequence number is new (`vrrp/replay.rs`).

use super::{Bad, array, checksum, ipv4, vrrp};
use bytes::{BufMut, Bytes, BytesMut};
use core::net::Ipv4Addr;
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;

/// IP protocol number of the Authentication Header.
pub const PROTO: u8 = 51;
/// Bytes of the header with its check value.
pub const LEN: usize = 24;
const ICV: usize = 12;
/// Length field: 32-bit words less two.
const WORDS: u8 = (LEN / 4 - 2) as u8;

/// The fields of a received Authentication Header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Security parameters index: the sender's address.
    pub spi: Ipv4Addr,
    /// Sequence number, by which a replay is recognised.
    pub sequence: u32,
}

/// Reads the header in front of a VRRP message, from the payload of an IPv4 packet.
///
/// # Errors
/// [`Bad::Length`]: cut short, or another length than the one in use. [`Bad::Type`]: what follows is not VRRP.
pub fn parse(payload: &[u8]) -> Result<(Header, &[u8]), Bad> {
    let fixed: [u8; LEN] = array(payload, 0)?;
    if fixed[1] != WORDS {
        return Err(Bad::Length);
    }
    if fixed[0] != vrrp::PROTO {
        return Err(Bad::Type);
    }
    let header =
        Header { spi: Ipv4Addr::from(array::<4>(&fixed, 4)?), sequence: u32::from_be_bytes(array(&fixed, 8)?) };
    Ok((header, &payload[LEN..]))
}

/// Fills in the check value of a packet: IP header without options, then [`LEN`] bytes for this header, then the message.
///
/// # Errors
/// [`Bad::Length`]: the packet is shorter than both headers.
pub fn sign(packet: &mut [u8], header: Header, key: &[u8; 8], multicast: bool) -> Result<(), Bad> {
    let at = super::ipv4::HEADER;
    let ah = packet.get_mut(at..at + LEN).ok_or(Bad::Length)?;
    ah.fill(0);
    ah[0] = vrrp::PROTO;
    ah[1] = WORDS;
    ah[4..8].copy_from_slice(&header.spi.octets());
    ah[8..12].copy_from_slice(&header.sequence.to_be_bytes());
    let icv = mac(packet, at, key, multicast)?.finalize().into_bytes();
    packet[at + LEN - ICV..at + LEN].copy_from_slice(&icv[..ICV]);
    Ok(())
}

/// A packet without this header, with it; `None`: it is too short for an IP header without options. The IP identification is made of the
/// sequence, for the kernel would fill in a zero one.
pub fn wrap(packet: &[u8], header: Header, key: &[u8; 8], multicast: bool) -> Option<Bytes> {
    let (ip, message) = packet.split_at_checked(ipv4::HEADER)?;
    let mut out = BytesMut::with_capacity(packet.len() + LEN);
    out.put_slice(ip);
    let total = u16::try_from(packet.len() + LEN).ok()?;
    out[2..4].copy_from_slice(&total.to_be_bytes());
    out[4..6].copy_from_slice(&(header.sequence as u16).max(1).to_be_bytes());
    out[9] = PROTO;
    out[10..12].fill(0);
    let sum = checksum::sum(&out);
    out[10..12].copy_from_slice(&sum.to_be_bytes());
    out.put_bytes(0, LEN);
    out.put_slice(message);
    sign(&mut out, header, key, multicast).ok()?;
    Some(out.freeze())
}

/// Whether the check value of a received packet is right, compared in constant time. `header_len`: bytes of its IP header.
pub fn verifies(packet: &[u8], header_len: usize, key: &[u8; 8], multicast: bool) -> bool {
    let icv = packet.get(header_len + LEN - ICV..header_len + LEN);
    let mac = mac(packet, header_len, key, multicast);
    icv.zip(mac.ok()).is_some_and(|(icv, mac)| mac.verify_truncated_left(icv).is_ok())
}

// Over: the IP header with type of service, flags and fragment offset, header checksum (and TTL, where routers may count it down) as
// zero, this header with its check value as zero, and the message.
fn mac(packet: &[u8], header_len: usize, key: &[u8; 8], multicast: bool) -> Result<Hmac<Md5>, Bad> {
    let mut ip = [0; 60];
    let ip = ip.get_mut(..header_len).filter(|ip| ip.len() >= super::ipv4::HEADER).ok_or(Bad::Length)?;
    ip.copy_from_slice(packet.get(..header_len).ok_or(Bad::Length)?);
    ip[1] = 0;
    ip[6..8].fill(0);
    if !multicast {
        ip[8] = 0;
    }
    ip[10..12].fill(0);
    let rest = packet.get(header_len..).filter(|r| r.len() >= LEN).ok_or(Bad::Length)?;
    // HMAC takes a key of any length.
    let mut mac = Hmac::<Md5>::new_from_slice(key).map_err(|_| Bad::Value)?;
    mac.update(ip);
    mac.update(&rest[..LEN - ICV]);
    mac.update(&[0; ICV]);
    mac.update(&rest[LEN..]);
    Ok(mac)
}
