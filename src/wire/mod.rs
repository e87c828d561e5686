//! Pure codecs: bytes to plain structs and back. Every length is checked before a byte is read.
//!
//! Nothing here panics on input, allocates by a length that the input claims, or knows the configuration: whether a well-formed advert is
//! accepted is decided in `vrrp/advert.rs`. Read in this order: `checksum`, `ipv4`, `vrrp`; then any other.

use core::fmt;

pub mod ah;
pub mod arp;
pub mod bfd;
pub mod checksum;
pub mod ether;
pub mod hmac;
pub mod ipv4;
pub mod ipv6;
pub mod ndisc;
pub mod netlink;
pub mod smtp;
pub mod vrrp;

/// Why bytes are not what they should be. One small list for all codecs: the caller knows what it was reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// Fewer bytes than the format or a length field asks for, or more than it can explain.
    Length,
    /// The IP header contradicts itself: IP version, header length or header checksum.
    Header,
    /// A fragment of an IPv4 packet.
    Fragment,
    /// A version this codec does not know.
    Version,
    /// A message type this codec does not know.
    Type,
    /// A field has a value that cannot be, for example an IPv4 prefix of 33 bits.
    Value,
    /// Something without which the message means nothing is not there.
    Missing,
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Bad::Length => "wrong length",
            Bad::Header => "bad IP header",
            Bad::Fragment => "IP fragment",
            Bad::Version => "unknown version",
            Bad::Type => "unknown type",
            Bad::Value => "impossible value",
            Bad::Missing => "a required part is missing",
        })
    }
}

/// The two bytes at `at`, in network order.
fn be16(bytes: &[u8], at: usize) -> Result<u16, Bad> {
    array(bytes, at).map(u16::from_be_bytes)
}

/// The `N` bytes at `at`.
fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Bad> {
    bytes.get(at..).and_then(|b| b.first_chunk()).copied().ok_or(Bad::Length)
}
