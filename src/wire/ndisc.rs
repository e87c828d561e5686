//! Unsolicited neighbour advertisement (RFC 4861 §4.4): the counterpart of gratuitous ARP in IPv6.

use super::{checksum, ipv6};
use bytes::{BufMut, Bytes, BytesMut};
use core::net::Ipv6Addr;

const ICMPV6: u8 = 58;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Fixed part, target and one target link-layer address option.
const NA_LEN: usize = 32;

/// A whole Ethernet frame from `target` at `mac` to all nodes: hop limit 255, R=1 S=0 O=1, `mac` as target
/// link-layer address. R is always set: a virtual router is a router (RFC 9568 §6.4.1), whatever the interface's
/// forwarding switch says at this moment.
pub fn unsolicited_na(mac: [u8; 6], target: Ipv6Addr) -> Bytes {
    let mut na = [0; NA_LEN];
    na[0] = 136; // neighbour advertisement
    na[4] = 0x80 | 0x20; // router, override
    na[8..24].copy_from_slice(&target.octets());
    na[24] = 2; // target link-layer address
    na[25] = 1; // in units of 8 bytes
    na[26..32].copy_from_slice(&mac);
    let sum = checksum::pseudo_v6(target, ALL_NODES, ICMPV6, NA_LEN as u32).bytes(&na).finish();
    na[2..4].copy_from_slice(&sum.to_be_bytes());

    let mut f = BytesMut::with_capacity(14 + ipv6::HEADER + NA_LEN);
    f.put_slice(&[0x33, 0x33, 0, 0, 0, 1]);
    f.put_slice(&mac);
    f.put_u16(0x86dd); // ETH_P_IPV6
    ipv6::put_header(&mut f, target, ALL_NODES, 255, ICMPV6, 0, NA_LEN);
    f.put_slice(&na);
    f.freeze()
}
