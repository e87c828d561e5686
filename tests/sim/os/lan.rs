//! What the nodes of `routers.rs` have in common, and the raw addresses and ancillary data of datagrams on their LAN.

use super::route::IFINDEX;
use crate::rng::Rng;
use core::net::IpAddr;
use kalived::config::model::{Family, Version};
use kalived::time::Duration;

/// One virtual router, the same on all nodes but for the priority.
pub struct Shape {
    pub vrid: u8,
    pub family: Family,
    pub version: Version,
    pub interval: Duration,
    pub vips: Vec<IpAddr>,
}

impl Shape {
    /// Draws.
    pub fn draw(index: u8, rng: &mut Rng) -> Shape {
        let family = rng.pick(&[Family::V4, Family::V6]);
        let version = if family == Family::V4 && rng.permille(300) { Version::V2 } else { Version::V3 };
        let interval = match version {
            Version::V2 => Duration::from_secs(1),
            Version::V3 => Duration::from_millis(rng.pick(&[10, 50, 100, 400, 1000])),
        };
        let vips = (0..rng.range(1, 4) as u8).map(|k| match family {
            Family::V4 => IpAddr::from([10, 0, 0, 100 + 10 * index + k]),
            Family::V6 => {
                IpAddr::from([if k == 0 { 0xfe80 } else { 0x2001 }, 0, 0, 0, 0, 0, index.into(), u16::from(k) + 0x200])
            }
        });
        Shape { vrid: 51 + index, family, version, interval, vips: vips.collect() }
    }
}

/// The last node has the highest.
pub fn priority(node: usize) -> u8 {
    100 + 10 * node as u8
}

pub fn own(node: usize, family: Family) -> (IpAddr, u8) {
    let host = 11 + node as u8;
    match family {
        Family::V4 => (IpAddr::from([10, 0, 0, host]), 24),
        Family::V6 => (IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, u16::from(host)]), 64),
    }
}

/// A raw `struct sockaddr_in` or `sockaddr_in6`.
pub fn name(addr: IpAddr) -> Vec<u8> {
    let mut out = vec![0; if addr.is_ipv4() { 16 } else { 28 }];
    match addr {
        IpAddr::V4(a) => {
            out[0] = 2;
            out[4..8].copy_from_slice(&a.octets());
        }
        IpAddr::V6(a) => {
            out[0] = 10;
            out[8..24].copy_from_slice(&a.octets());
        }
    }
    out
}

/// Raw ancillary data of a datagram over IPv6: IPV6_PKTINFO and IPV6_HOPLIMIT.
pub fn ancillary(to: IpAddr, hops: u8) -> Vec<u8> {
    let mut out = Vec::new();
    let mut add = |kind: i32, data: &[u8]| {
        out.extend((16 + data.len() as u64).to_ne_bytes());
        out.extend(41i32.to_ne_bytes());
        out.extend(kind.to_ne_bytes());
        out.extend(data);
        out.resize(out.len().next_multiple_of(8), 0);
    };
    if let IpAddr::V6(to) = to {
        let mut info = to.octets().to_vec();
        info.extend(IFINDEX.to_ne_bytes());
        add(50, &info);
    }
    add(52, &i32::from(hops).to_ne_bytes());
    out
}
