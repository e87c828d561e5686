//! Builds Ethernet frames with VRRP adverts, from the layouts in the RFCs and without code of the crate.
//!
//! The sender is always the LAN's other router, 198.18.0.30 or fe80::30, as in the wire vectors. Read first: `mod.rs`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An advert to build.
#[derive(Clone, Debug)]
pub struct Advert {
    /// 2 or 3.
    pub version: u8,
    /// Virtual router.
    pub vrid: u8,
    /// Priority.
    pub priority: u8,
    /// Seconds (v2) or centiseconds (v3).
    pub interval: u16,
    /// Addresses in the list; the first decides the family.
    pub vips: Vec<IpAddr>,
    /// v2: authentication type 1 with this secret.
    pub pass: Option<Vec<u8>>,
    /// v3 over IPv4: leave the pseudo-header out of the checksum.
    pub message_only: bool,
    /// IPv4 source.
    pub src: Ipv4Addr,
    /// IPv4 destination.
    pub dst: Ipv4Addr,
}

/// RFC 1071.
pub fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
    }
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Ethernet header for an IP packet to a multicast group, or to `unicast`'s MAC when the destination is not one.
pub fn ethernet(packet: &[u8], unicast: [u8; 6]) -> Vec<u8> {
    let v6 = packet[0] >> 4 == 6;
    let dst: [u8; 6] = if v6 {
        if packet[24] == 0xff { [0x33, 0x33, packet[36], packet[37], packet[38], packet[39]] } else { unicast }
    } else if packet[16] & 0xf0 == 0xe0 {
        [1, 0, 0x5e, packet[17] & 0x7f, packet[18], packet[19]]
    } else {
        unicast
    };
    let mut frame = dst.to_vec();
    frame.extend([0, 0, 0x5e, 0, if v6 { 2 } else { 1 }, 0x33]);
    frame.extend(if v6 { [0x86, 0xdd] } else { [8, 0] });
    frame.extend(packet);
    frame
}

impl Advert {
    /// VRRPv2, VRID 51, interval 1 s, VIP 198.18.0.100.
    pub fn v2(priority: u8) -> Advert {
        Advert {
            version: 2,
            vrid: 51,
            priority,
            interval: 1,
            vips: vec![IpAddr::from([198, 18, 0, 100])],
            pass: None,
            message_only: false,
            src: Ipv4Addr::new(198, 18, 0, 30),
            dst: Ipv4Addr::new(224, 0, 0, 18),
        }
    }

    /// VRRPv3 over IPv4 with pseudo-header, interval in centiseconds.
    pub fn v3(priority: u8, interval: u16) -> Advert {
        Advert { version: 3, interval, ..Advert::v2(priority) }
    }

    /// The VRRP message, checksum in place.
    fn message(&self) -> Vec<u8> {
        let mut m = vec![self.version << 4 | 1, self.vrid, self.priority, self.vips.len() as u8];
        if self.version == 2 {
            m.extend([u8::from(self.pass.is_some()), self.interval as u8]);
        } else {
            m.extend(self.interval.to_be_bytes());
        }
        m.extend([0, 0]);
        for vip in &self.vips {
            match vip {
                IpAddr::V4(a) => m.extend(a.octets()),
                IpAddr::V6(a) => m.extend(a.octets()),
            }
        }
        if self.version == 2 {
            let mut auth = self.pass.clone().unwrap_or_default();
            auth.resize(8, 0);
            m.extend(auth);
        }
        let mut summed = Vec::new();
        if self.v6() {
            summed.extend(self.src6().octets());
            summed.extend(GROUP6.octets());
            summed.extend([0, 0, (m.len() >> 8) as u8, m.len() as u8, 0, 0, 0, 112]);
        } else if self.version == 3 && !self.message_only {
            summed.extend(self.src.octets());
            summed.extend(self.dst.octets());
            summed.extend([0, 112, (m.len() >> 8) as u8, m.len() as u8]);
        }
        summed.extend(&m);
        let sum = checksum(&summed).to_be_bytes();
        m[6..8].copy_from_slice(&sum);
        m
    }

    fn v6(&self) -> bool {
        self.vips.first().is_some_and(IpAddr::is_ipv6)
    }

    fn src6(&self) -> Ipv6Addr {
        Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x30)
    }

    /// The IP packet.
    pub fn packet(&self) -> Vec<u8> {
        let m = self.message();
        if self.v6() {
            let mut p = vec![0x6c, 0, 0, 0, (m.len() >> 8) as u8, m.len() as u8, 112, 255];
            p.extend(self.src6().octets());
            p.extend(GROUP6.octets());
            p.extend(m);
            return p;
        }
        let total = (20 + m.len()) as u16;
        let mut p = vec![0x45, 0xc0];
        p.extend(total.to_be_bytes());
        p.extend([0, 0, 0, 0, 255, 112, 0, 0]);
        p.extend(self.src.octets());
        p.extend(self.dst.octets());
        let sum = checksum(&p).to_be_bytes();
        p[10..12].copy_from_slice(&sum);
        p.extend(m);
        p
    }

    /// The Ethernet frame; one for a unicast destination goes to host 20.
    pub fn frame(&self) -> Vec<u8> {
        ethernet(&self.packet(), [2, 0, 0, 0, 0, 20])
    }
}

const GROUP6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);
