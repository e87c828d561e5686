//! Light tunnels of routes (`RTA_ENCAP`): IP in IP, MPLS, ILA. Read first: `mod.rs`, `fib.rs`.
//!
//! An attribute that was not asked for is not written, and the kernel reports it as 0.

use super::{attrs, put_attr};
use crate::route::{Encap, IpTunnel, MOST_LABELS};
use crate::wire::Bad;
use bytes::BytesMut;

// <linux/rtnetlink.h>
pub(super) const RTA_ENCAP_TYPE: u16 = 21;
pub(super) const RTA_ENCAP: u16 = 22;
// <linux/lwtunnel.h>
const MPLS: u16 = 1;
const IP: u16 = 2;
const ILA: u16 = 3;
const IP6: u16 = 4;
// `LWTUNNEL_IP_*` and `LWTUNNEL_IP6_*`: the numbers are the same, but for the two that are exchanged.
const ID: u16 = 1;
const DST: u16 = 2;
const SRC: u16 = 3;
const TTL: u16 = 4;
const TOS: u16 = 5;
const FLAGS: u16 = 6;
// <linux/mpls_iptunnel.h>
const MPLS_IPTUNNEL_DST: u16 = 1;
// <linux/ila.h>
const ILA_ATTR_LOCATOR: u16 = 1;

/// Appends the two attributes.
pub(super) fn put(out: &mut BytesMut, encap: &Encap) {
    let mut data = BytesMut::new();
    let kind = match encap {
        Encap::Ip(t) => {
            put_tunnel(&mut data, t);
            IP
        }
        Encap::Ip6(t) => {
            put_tunnel(&mut data, t);
            IP6
        }
        Encap::Mpls(labels) => {
            // RFC 3032: label, and the bottom of the stack at the last one.
            let last = labels.len().saturating_sub(1);
            let entry = |(n, label): (usize, &u32)| (label << 12 | u32::from(n == last) << 8).to_be_bytes();
            put_attr(&mut data, MPLS_IPTUNNEL_DST, &labels.iter().enumerate().map(entry).collect::<Vec<_>>().concat());
            MPLS
        }
        Encap::Ila(locator) => {
            put_attr(&mut data, ILA_ATTR_LOCATOR, &locator.to_be_bytes());
            ILA
        }
    };
    put_attr(out, RTA_ENCAP_TYPE, &kind.to_ne_bytes());
    put_attr(out, RTA_ENCAP, &data);
}

fn put_tunnel<const N: usize>(out: &mut BytesMut, t: &IpTunnel<[u8; N]>) {
    let mut put = |kind, value: &[u8]| {
        if value.iter().any(|b| *b != 0) {
            put_attr(out, kind, value);
        }
    };
    put(ID, &t.id.to_be_bytes());
    put(DST, &t.dst);
    put(SRC, &t.src);
    put(TTL, &[t.ttl]);
    put(TOS, &[t.tos]);
    put(FLAGS, &t.flags.to_be_bytes());
}

/// Reads the content of an `RTA_ENCAP` of this type; `None`: there is none, or one of a kind that kalived does not make.
pub(super) fn read(kind: u16, bytes: &[u8]) -> Result<Option<Encap>, Bad> {
    Ok(match kind {
        IP => Some(Encap::Ip(read_tunnel(bytes)?)),
        IP6 => Some(Encap::Ip6(read_tunnel(bytes)?)),
        MPLS => {
            let mut labels = Vec::new();
            for attr in attrs(bytes) {
                if let (MPLS_IPTUNNEL_DST, v) = attr? {
                    let entries = v.chunks_exact(4).take(MOST_LABELS).filter_map(|e| e.try_into().ok());
                    labels = entries.map(|e| u32::from_be_bytes(e) >> 12).collect();
                }
            }
            Some(Encap::Mpls(labels))
        }
        ILA => {
            let mut locator = 0;
            for attr in attrs(bytes) {
                if let (ILA_ATTR_LOCATOR, v) = attr? {
                    locator = u64::from_be_bytes(v.try_into().map_err(|_| Bad::Length)?);
                }
            }
            Some(Encap::Ila(locator))
        }
        _ => None,
    })
}

fn read_tunnel<const N: usize>(bytes: &[u8]) -> Result<IpTunnel<[u8; N]>, Bad> {
    let mut t = IpTunnel { id: 0, dst: [0; N], src: [0; N], tos: 0, ttl: 0, flags: 0 };
    for attr in attrs(bytes) {
        let (kind, v) = attr?;
        let byte = || v.first().copied().ok_or(Bad::Length);
        match kind {
            ID => t.id = u64::from_be_bytes(v.try_into().map_err(|_| Bad::Length)?),
            DST => t.dst = v.try_into().map_err(|_| Bad::Length)?,
            SRC => t.src = v.try_into().map_err(|_| Bad::Length)?,
            TTL => t.ttl = byte()?,
            TOS => t.tos = byte()?,
            FLAGS => t.flags = u16::from_be_bytes(v.try_into().map_err(|_| Bad::Length)?),
            _ => {}
        }
    }
    Ok(t)
}
