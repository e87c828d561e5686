//! The Internet checksum (RFC 1071), with the pseudo-headers of IPv4 (RFC 793) and IPv6 (RFC 8200 §8.1).
//!
//! A computed zero stays zero: only UDP has a rule that turns it into 0xffff.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A sum in the making. Parts may be added in any order; each part counts as padded to an even length with a zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum(u64);

impl Sum {
    /// Adds bytes as 16-bit words in network order; an odd last byte is padded with zero.
    #[must_use]
    pub fn bytes(mut self, bytes: &[u8]) -> Sum {
        let mut words = bytes.chunks_exact(2);
        for w in &mut words {
            self.0 += u64::from(u16::from_be_bytes([w[0], w[1]]));
        }
        if let [last] = words.remainder() {
            self.0 += u64::from(*last) << 8;
        }
        self
    }

    /// The value for the checksum field, or zero if the summed bytes held a right checksum already.
    pub fn finish(self) -> u16 {
        let mut s = self.0;
        // A u64 folds to 16 bits in at most four steps.
        while s > 0xffff {
            s = (s & 0xffff) + (s >> 16);
        }
        !(s as u16)
    }
}

/// The checksum of `bytes`; zero if they hold a right checksum already.
pub fn sum(bytes: &[u8]) -> u16 {
    Sum::default().bytes(bytes).finish()
}

/// A checksum after some of what it sums was replaced by as many bytes, from an even place on (RFC 1624): as right as it was before.
pub fn replaced(sum: u16, old: &[u8], new: &[u8]) -> u16 {
    let inverted: Vec<u8> = old.iter().map(|b| !b).collect();
    let start = Sum(u64::from(!sum));
    // An odd last byte counts as padded with zero in both.
    start.bytes(&inverted).bytes(new).finish()
}

/// Pseudo-header of IPv4; `len` is the length of the upper-layer message in bytes.
pub fn pseudo_v4(src: Ipv4Addr, dst: Ipv4Addr, proto: u8, len: u16) -> Sum {
    Sum::default().bytes(&src.octets()).bytes(&dst.octets()).bytes(&[0, proto]).bytes(&len.to_be_bytes())
}

/// Pseudo-header of IPv6; `len` is the length of the upper-layer message in bytes, extension headers not counted.
pub fn pseudo_v6(src: Ipv6Addr, dst: Ipv6Addr, proto: u8, len: u32) -> Sum {
    Sum::default().bytes(&src.octets()).bytes(&dst.octets()).bytes(&len.to_be_bytes()).bytes(&[0, 0, 0, proto])
}

/// The pseudo-header for the family of the two addresses; `None` when they are of different families or `len` is more
/// than the family's length field can say.
pub fn pseudo(src: IpAddr, dst: IpAddr, proto: u8, len: usize) -> Option<Sum> {
    match (src, dst) {
        (IpAddr::V4(s), IpAddr::V4(d)) => Some(pseudo_v4(s, d, proto, u16::try_from(len).ok()?)),
        (IpAddr::V6(s), IpAddr::V6(d)) => Some(pseudo_v6(s, d, proto, u32::try_from(len).ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_example_of_rfc_1071() {
        // RFC 1071 §3: the sum of these is ddf2, the checksum its complement.
        assert_eq!(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
        assert_eq!(sum(&[]), 0xffff);
        assert_eq!(sum(&[0x12]), !0x1200);
    }

    #[test]
    fn a_computed_zero_stays_zero() {
        assert_eq!(sum(&[0xff, 0xfe, 0x00, 0x01]), 0);
    }

    proptest! {
        #[test]
        fn with_its_checksum_filled_in_a_message_sums_to_zero(mut m in prop::collection::vec(any::<u8>(), 2..2000)) {
            m[0] = 0;
            m[1] = 0;
            let s = sum(&m);
            m[..2].copy_from_slice(&s.to_be_bytes());
            prop_assert_eq!(sum(&m), 0);
        }

        #[test]
        fn parts_of_even_length_add_up(a in prop::collection::vec(any::<u8>(), 0..100), b in prop::collection::vec(any::<u8>(), 0..100)) {
            let a = &a[..a.len() & !1];
            prop_assert_eq!(Sum::default().bytes(a).bytes(&b).finish(), sum(&[a, &b].concat()));
        }
    }
}
