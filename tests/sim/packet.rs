//! A second decoder of packets, independent of `kalived::wire`, so that a mistake of the codec is detected. Only intact packets come
//! here; the network marks a damaged one.
//!
//! Read first: RFC 9568 §5. Deliberately absent: verification; that is the code under test.

use bytes::Bytes;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;

/// A decoded advert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advert {
    /// Source address.
    pub src: IpAddr,
    /// Destination: group, or unicast peer.
    pub dst: IpAddr,
    /// Virtual router.
    pub vrid: u8,
    /// 0 is a farewell.
    pub priority: u8,
    /// Advert interval; v2 whole seconds.
    pub interval: Duration,
}

/// Offset of the VRRP message in an IP packet, behind an Authentication Header where there is one.
pub fn header_len(packet: &[u8]) -> Option<usize> {
    match packet.first()? >> 4 {
        4 => {
            let ah = if *packet.get(9)? == 51 { crate::auth::HEADER } else { 0 };
            Some(usize::from(packet[0] & 15) * 4 + ah)
        }
        6 => Some(40),
        _ => None,
    }
}

/// Reads a whole IP packet.
pub fn advert(packet: &[u8]) -> Option<Advert> {
    let at = header_len(packet)?;
    let vrrp = packet.get(at..at + 8)?;
    let (src, dst) = if packet[0] >> 4 == 6 {
        (IpAddr::V6(v6(&packet[8..24])?), IpAddr::V6(v6(&packet[24..40])?))
    } else {
        (IpAddr::V4(v4(&packet[12..16])?), IpAddr::V4(v4(&packet[16..20])?))
    };
    let interval = match vrrp[0] >> 4 {
        2 => Duration::from_secs(u64::from(vrrp[5])),
        3 => Duration::from_millis(10 * u64::from(u16::from_be_bytes([vrrp[4] & 15, vrrp[5]]))),
        _ => return None,
    };
    Some(Advert { src, dst, vrid: vrrp[1], priority: vrrp[2], interval })
}

fn v4(b: &[u8]) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::from(<[u8; 4]>::try_from(b).ok()?))
}
fn v6(b: &[u8]) -> Option<Ipv6Addr> {
    Some(Ipv6Addr::from(<[u8; 16]>::try_from(b).ok()?))
}

/// The content of a gratuitous ARP or an unsolicited neighbour advertisement: this address is at this MAC address.
pub fn announcement(frame: &[u8]) -> Option<(IpAddr, [u8; 6])> {
    match frame.get(12..14)? {
        [0x08, 0x06] => {
            let arp = frame.get(14..42)?;
            Some((IpAddr::V4(v4(&arp[14..18])?), arp[8..14].try_into().ok()?))
        }
        [0x86, 0xdd] => {
            let na = frame.get(54..86)?;
            // Type 136, target at 8, then the target link-layer address option.
            (na[0] == 136 && na[24] == 2)
                .then(|| Some((IpAddr::V6(v6(&na[8..24])?), na[26..32].try_into().ok()?)))
                .flatten()
        }
        _ => None,
    }
}

/// Flips one bit.
pub fn flip(bytes: &Bytes, bit: usize) -> Bytes {
    let mut b = bytes.to_vec();
    if let Some(byte) = b.get_mut(bit / 8) {
        *byte ^= 1 << (bit % 8);
    }
    Bytes::from(b)
}

/// The same packet with another priority and a right checksum, for canaries.
pub fn with_priority(packet: &Bytes, priority: u8) -> Bytes {
    let mut b = packet.to_vec();
    let Some(at) = header_len(&b) else { return packet.clone() };
    let Some(vrrp) = b.get(at..).filter(|v| v.len() >= 8) else { return packet.clone() };
    let word = u16::from_be_bytes([priority, vrrp[3]]);
    replace(&mut b, at + 2, word, Some(at + 6));
    Bytes::from(b)
}

/// Replaces a 16-bit word, and changes the checksum that covers it.
pub fn replace(b: &mut [u8], at: usize, new: u16, checksum: Option<usize>) {
    // RFC 1624: HC' = ~(~HC + ~m + m').
    let old = u16::from_be_bytes([b[at], b[at + 1]]);
    b[at..at + 2].copy_from_slice(&new.to_be_bytes());
    let Some(sum_at) = checksum else { return };
    let sum = u32::from(!u16::from_be_bytes([b[sum_at], b[sum_at + 1]])) + u32::from(!old) + u32::from(new);
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = ((folded & 0xffff) + (folded >> 16)) as u16;
    b[sum_at..sum_at + 2].copy_from_slice(&(!folded).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Bytes {
        let mut p = vec![0x45, 0xc0, 0, 32, 0, 1, 0, 0, 255, 112, 0, 0, 10, 0, 0, 1, 224, 0, 0, 18];
        p.extend([0x31, 51, 100, 1, 0x00, 0x64, 0, 0, 10, 0, 0, 200]);
        Bytes::from(p)
    }

    #[test]
    fn reads_what_it_should() {
        let a = advert(&sample()).expect("well formed");
        assert_eq!((a.vrid, a.priority, a.interval), (51, 100, Duration::from_secs(1)));
        assert_eq!(a.src, IpAddr::from([10, 0, 0, 1]));
        assert_eq!(advert(&sample()[..25]), None);
        assert_eq!(advert(&[]), None);
    }

    #[test]
    fn a_rewritten_priority_keeps_the_sum() {
        let sum = |p: &[u8]| {
            let total: u32 = p[20..].chunks(2).map(|c| u32::from(u16::from_be_bytes([c[0], c[1]]))).sum();
            (total & 0xffff) + (total >> 16)
        };
        let mut p = sample().to_vec();
        let ck = !(sum(&p) as u16);
        p[26..28].copy_from_slice(&ck.to_be_bytes());
        assert_eq!(sum(&p), 0xffff);
        let q = with_priority(&Bytes::from(p), 7);
        assert_eq!((q[22], sum(&q)), (7, 0xffff));
    }
}
