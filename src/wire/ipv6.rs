//! The fixed IPv6 header: written for a socket with `IPV6_HDRINCL`, read by tests and the simulator.
//!
//! The daemon never reads one: an IPv6 raw socket delivers the message and tells the rest beside it. Deliberately
//! absent for that reason: extension headers.

use super::{Bad, array, be16};
use bytes::{BufMut, BytesMut};
use core::net::Ipv6Addr;

/// Length of the header, in bytes.
pub const HEADER: usize = 40;

/// What an IPv6 header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Source address.
    pub src: Ipv6Addr,
    /// Destination address.
    pub dst: Ipv6Addr,
    /// Hop limit, 0..=255.
    pub hop_limit: u8,
    /// Protocol number of what follows, an extension header included.
    pub next_header: u8,
    /// Traffic class: DSCP and ECN.
    pub class: u8,
}

/// Reads a packet: its header and its payload, cut to the payload length.
///
/// # Errors
/// [`Bad::Length`], or [`Bad::Header`] when it is not IPv6.
pub fn parse(bytes: &[u8]) -> Result<(Header, &[u8]), Bad> {
    let fixed: [u8; HEADER] = array(bytes, 0)?;
    if fixed[0] >> 4 != 6 {
        return Err(Bad::Header);
    }
    let payload = bytes.get(HEADER..HEADER + usize::from(be16(&fixed, 4)?)).ok_or(Bad::Length)?;
    let header = Header {
        src: Ipv6Addr::from(array::<16>(&fixed, 8)?),
        dst: Ipv6Addr::from(array::<16>(&fixed, 24)?),
        hop_limit: fixed[7],
        next_header: fixed[6],
        class: (fixed[0] << 4) | (fixed[1] >> 4),
    };
    Ok((header, payload))
}

/// Appends a header with flow label 0. `payload_len` above 65535 cannot be said and is cut to it; no caller comes near.
pub fn put_header(
    out: &mut BytesMut,
    src: Ipv6Addr,
    dst: Ipv6Addr,
    hop_limit: u8,
    next_header: u8,
    class: u8,
    payload_len: usize,
) {
    out.put_u32((6 << 28) | (u32::from(class) << 20));
    out.put_u16(u16::try_from(payload_len).unwrap_or(u16::MAX));
    out.put_u8(next_header);
    out.put_u8(hop_limit);
    out.put_slice(&src.octets());
    out.put_slice(&dst.octets());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_lengths_hold() {
        let (src, dst) = (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1), Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12));
        let mut p = BytesMut::new();
        put_header(&mut p, src, dst, 255, 112, 0xc0, 5);
        p.put_slice(b"hello, and padding");
        let (h, payload) = parse(&p).unwrap();
        assert_eq!(payload, b"hello");
        assert_eq!(h, Header { src, dst, hop_limit: 255, next_header: 112, class: 0xc0 });
        assert_eq!(parse(&p[..44]), Err(Bad::Length));
        assert_eq!(parse(&p[..39]), Err(Bad::Length));
        p[0] = 0x45;
        assert_eq!(parse(&p), Err(Bad::Header));
    }
}
