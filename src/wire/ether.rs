//! Ethernet headers in front of multicast packets. Read first: `mod.rs`.

use bytes::{BufMut, Bytes, BytesMut};
use core::net::IpAddr;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;

/// The Ethernet address of a multicast group (RFC 1112 section 6.4, RFC 2464 section 7); `None`: it is no group.
pub fn group(to: IpAddr) -> Option<[u8; 6]> {
    match to {
        IpAddr::V4(a) if a.is_multicast() => {
            let [_, b, c, d] = a.octets();
            Some([1, 0, 0x5e, b & 0x7f, c, d])
        }
        IpAddr::V6(a) if a.is_multicast() => {
            let [.., w, x, y, z] = a.octets();
            Some([0x33, 0x33, w, x, y, z])
        }
        _ => None,
    }
}

/// A packet to a group as a frame from `from`; `None`: it goes to no group.
pub fn to_group(from: [u8; 6], to: IpAddr, packet: &[u8]) -> Option<Bytes> {
    let mut out = BytesMut::with_capacity(14 + packet.len());
    out.put_slice(&group(to)?);
    out.put_slice(&from);
    out.put_u16(if to.is_ipv4() { ETHERTYPE_IPV4 } else { ETHERTYPE_IPV6 });
    out.put_slice(packet);
    Some(out.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_the_addresses_of_the_rfcs() {
        let at = |a: &str| group(a.parse().unwrap());
        assert_eq!(at("224.0.0.18"), Some([1, 0, 0x5e, 0, 0, 0x12]));
        assert_eq!(at("239.129.2.3"), Some([1, 0, 0x5e, 1, 2, 3]), "23 bits");
        assert_eq!(at("ff02::12"), Some([0x33, 0x33, 0, 0, 0, 0x12]));
        assert_eq!((at("192.0.2.1"), at("fe80::1")), (None, None));
        let frame = to_group([0, 0, 0x5e, 0, 1, 51], "224.0.0.18".parse().unwrap(), b"abc").unwrap();
        assert_eq!(&frame[..], b"\x01\x00\x5e\x00\x00\x12\x00\x00\x5e\x00\x01\x33\x08\x00abc");
    }
}
