//! The IPv4 header: read from a raw socket, written for a socket with `IP_HDRINCL`.
//!
//! Deliberately absent: reassembly (the kernel does it) and the meaning of options (they are skipped).

use super::{Bad, array, be16, checksum};
use bytes::{BufMut, BytesMut};
use core::net::Ipv4Addr;

/// Length of a header without options, in bytes.
pub const HEADER: usize = 20;

/// What an IPv4 header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Source address.
    pub src: Ipv4Addr,
    /// Destination address.
    pub dst: Ipv4Addr,
    /// Time to live.
    pub ttl: u8,
    /// Protocol number of the payload.
    pub proto: u8,
    /// DSCP and ECN.
    pub tos: u8,
    /// Bytes of the packet with its header, as the header says; never more than were received.
    pub total_len: u16,
    /// Bytes of the header with its options, 20..=60.
    pub header_len: usize,
}

/// Reads a packet: its header and its payload, cut to the IP total length. What lies beyond that is Ethernet padding
/// all lengths were checked against what was really received.
///
/// # Errors
/// [`Bad::Length`], [`Bad::Header`], [`Bad::Fragment`]. A raw socket never delivers the last two; a packet socket does.
pub fn parse(bytes: &[u8]) -> Result<(Header, &[u8]), Bad> {
    let fixed: [u8; HEADER] = array(bytes, 0)?;
    let header_len = usize::from(fixed[0] & 0x0f) * 4;
    if fixed[0] >> 4 != 4 || header_len < HEADER {
        return Err(Bad::Header);
    }
    let header = bytes.get(..header_len).ok_or(Bad::Length)?;
    if checksum::sum(header) != 0 {
        return Err(Bad::Header);
    }
    let total_len = be16(&fixed, 2)?;
    let payload = bytes.get(header_len..usize::from(total_len)).ok_or(Bad::Length)?;
    // More-fragments flag and fragment offset; the bits above are "reserved" and DF.
    if be16(&fixed, 6)? & 0x3fff != 0 {
        return Err(Bad::Fragment);
    }
    let header = Header {
        src: Ipv4Addr::from(array::<4>(&fixed, 12)?),
        dst: Ipv4Addr::from(array::<4>(&fixed, 16)?),
        ttl: fixed[8],
        proto: fixed[9],
        tos: fixed[1],
        total_len,
        header_len,
    };
    Ok((header, payload))
}

/// Appends a header without options, checksum included. Identification is 0, so that the kernel fills in a growing one
/// (and then sums again); DF is clear.
///
/// `payload_len` above 65515 cannot be said in the header and is cut to it; no caller comes near.
pub fn put_header(out: &mut BytesMut, src: Ipv4Addr, dst: Ipv4Addr, ttl: u8, proto: u8, tos: u8, payload_len: usize) {
    let total_len = u16::try_from(HEADER + payload_len).unwrap_or(u16::MAX);
    let mut h = [0; HEADER];
    h[0] = 0x45;
    h[1] = tos;
    h[2..4].copy_from_slice(&total_len.to_be_bytes());
    h[8] = ttl;
    h[9] = proto;
    h[12..16].copy_from_slice(&src.octets());
    h[16..20].copy_from_slice(&dst.octets());
    let sum = checksum::sum(&h);
    h[10..12].copy_from_slice(&sum.to_be_bytes());
    out.put_slice(&h);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(payload: &[u8]) -> BytesMut {
        let mut out = BytesMut::new();
        put_header(&mut out, Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(224, 0, 0, 18), 255, 112, 0xc0, payload.len());
        out.put_slice(payload);
        out
    }

    /// Changes a byte and repairs the header checksum.
    fn with(mut p: BytesMut, at: usize, byte: u8) -> BytesMut {
        p[at] = byte;
        p[10..12].fill(0);
        let header = (usize::from(p[0] & 15) * 4).clamp(HEADER, p.len());
        let s = checksum::sum(&p[..header]);
        p[10..12].copy_from_slice(&s.to_be_bytes());
        p
    }

    #[test]
    fn what_is_written_is_read() {
        let p = packet(b"hello");
        let (h, payload) = parse(&p).unwrap();
        assert_eq!(payload, b"hello");
        assert_eq!((h.src, h.dst), (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(224, 0, 0, 18)));
        assert_eq!((h.ttl, h.proto, h.tos, h.total_len, h.header_len), (255, 112, 0xc0, 25, 20));
    }

    #[test]
    fn padding_goes_and_options_are_skipped() {
        let mut padded = packet(b"hello");
        padded.put_slice(&[0xee; 21]);
        assert_eq!(parse(&padded).unwrap().1, b"hello");
        assert_eq!(parse(&with(packet(b"\x94\x04\0\0hello"), 0, 0x46)).unwrap().1, b"hello");
    }

    #[test]
    fn contradictions_are_refused() {
        let p = packet(b"hello");
        assert_eq!(parse(&p[..19]), Err(Bad::Length));
        assert_eq!(parse(&p[..24]), Err(Bad::Length), "total length beyond the data");
        assert_eq!(parse(&with(p.clone(), 3, 19)), Err(Bad::Length), "total length inside the header");
        assert_eq!(parse(&with(p.clone(), 0, 0x4f)), Err(Bad::Length), "options beyond the data");
        assert_eq!(parse(&with(p.clone(), 0, 0x44)), Err(Bad::Header), "header shorter than a header");
        assert_eq!(parse(&with(p.clone(), 0, 0x65)), Err(Bad::Header), "not IPv4");
        assert_eq!(parse(&with(p.clone(), 6, 0x20)), Err(Bad::Fragment), "more fragments");
        assert_eq!(parse(&with(p.clone(), 7, 1)), Err(Bad::Fragment), "a later fragment");
        assert!(parse(&with(p.clone(), 6, 0x40)).is_ok(), "DF");
        let mut bad_sum = p;
        bad_sum[11] ^= 1;
        assert_eq!(parse(&bad_sum), Err(Bad::Header));
    }
}
