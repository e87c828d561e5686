//! Gratuitous ARP (RFC 5227, RFC 9568 §8.1.2): the frame by which a new Master announces its hardware address for a virtual address.

use bytes::{BufMut, Bytes, BytesMut};
use core::net::Ipv4Addr;

/// A whole Ethernet frame: a broadcast ARP request in which sender and target are both `ip` at `mac`.
///
/// The target hardware address is `mac` too, as RFC 9568 §6.4.1 with errata 7947 and 7949 asks. keepalived, FRR and holo
/// put ff:ff:ff:ff:ff:ff there; receivers do not look at it in a request. `mac` is the interface's own address as long as
/// there is no virtual MAC.
pub fn gratuitous(mac: [u8; 6], ip: Ipv4Addr) -> Bytes {
    let mut f = BytesMut::with_capacity(42);
    f.put_slice(&[0xff; 6]);
    f.put_slice(&mac);
    f.put_u16(0x0806); // ETH_P_ARP
    f.put_u16(1); // hardware: Ethernet
    f.put_u16(0x0800); // protocol: IPv4
    f.put_u8(6);
    f.put_u8(4);
    f.put_u16(1); // request
    f.put_slice(&mac);
    f.put_slice(&ip.octets());
    f.put_slice(&mac);
    f.put_slice(&ip.octets());
    f.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_the_frame() {
        let frame = gratuitous([2, 0, 0, 0, 0, 0x33], Ipv4Addr::new(198, 18, 0, 100));
        #[rustfmt::skip]
        let want = [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0, 0, 0, 0, 0x33, 0x08, 0x06,
            0, 1, 8, 0, 6, 4, 0, 1,
            0x02, 0, 0, 0, 0, 0x33, 198, 18, 0, 100,
            0x02, 0, 0, 0, 0, 0x33, 198, 18, 0, 100,
        ];
        assert_eq!(&frame[..], &want);
    }
}
