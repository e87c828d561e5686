//! The rtnetlink messages in use: links and addresses. Read first: `mod.rs`.

use super::link::{self, Info};
use super::{
    Kind, NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REPLACE, NLM_F_REQUEST, attrs, put_attr, put_message, u32_at,
};
use crate::net::{AddrInfo, AddrSpec, LINK_ALIAS, LINK_GROUP, Link, Upon};
use crate::wire::{Bad, array};
use bytes::{BufMut, BytesMut};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

// <linux/rtnetlink.h>
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const RTEXT_FILTER_SKIP_STATS: u32 = 1 << 3;

// <linux/socket.h>
const AF_UNSPEC: u8 = 0;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

// <linux/if.h>
const IFF_UP: u32 = 0x1;
const IFF_LOOPBACK: u32 = 0x8;
const IFF_RUNNING: u32 = 0x40;
const IFF_NOARP: u32 = 0x80;
const IFF_MULTICAST: u32 = 0x1000;

// <linux/if_link.h>
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_WIRELESS: u16 = 11;
const IFLA_LINKINFO: u16 = 18;
const IFLA_IFALIAS: u16 = 20;
const IFLA_GROUP: u16 = 27;
const IFLA_EXT_MASK: u16 = 29;
/// Bytes of `struct ifinfomsg`.
const IFINFOMSG: usize = 16;

// <linux/if_addr.h>
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_LABEL: u16 = 3;
const IFA_BROADCAST: u16 = 4;
const IFA_CACHEINFO: u16 = 6;
const IFA_FLAGS: u16 = 8;
const IFA_RT_PRIORITY: u16 = 9;
const IFA_PROTO: u16 = 11;
const IFA_F_SECONDARY: u32 = 0x01;
const IFA_F_NODAD: u32 = 0x02;
const IFA_F_DADFAILED: u32 = 0x08;
const IFA_F_TENTATIVE: u32 = 0x40;
const IFA_F_NOPREFIXROUTE: u32 = 0x200;
/// Bytes of `struct ifaddrmsg`.
const IFADDRMSG: usize = 8;
/// `INFINITY_LIFE_TIME` (net/addrconf.h): the address never expires.
const FOREVER: u32 = u32::MAX;

/// Appends a request for all links, without statistics, which are most of a link message and not used.
pub fn get_links(out: &mut BytesMut, seq: u32) {
    put_message(out, RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, seq, |out| {
        out.put_bytes(0, IFINFOMSG);
        put_attr(out, IFLA_EXT_MASK, &RTEXT_FILTER_SKIP_STATS.to_ne_bytes());
    });
}

/// Appends a request for all addresses of both families.
pub fn get_addrs(out: &mut BytesMut, seq: u32) {
    put_message(out, RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, seq, |out| out.put_bytes(0, IFADDRMSG));
}

/// The notification that answers [`new_addr`]. For IPv4 the kernel notifies while it adds or refreshes, with the number and the port
/// of the request; for IPv6 it does so later, from a worker of its own.
pub fn notice_of_new(spec: &AddrSpec) -> Option<u16> {
    spec.addr.is_ipv4().then_some(RTM_NEWADDR)
}

/// Appends a request to add an address or to refresh an equal one. Answered by an ack with `seq`, or when it succeeds by
/// [`notice_of_new`].
///
/// IPv6 addresses are added without duplicate address detection. A new address carries its tag (Linux
/// 5.18; older kernels do not look at the attribute). A label longer than 15 bytes makes the kernel refuse.
pub fn new_addr(out: &mut BytesMut, seq: u32, spec: &AddrSpec) {
    let ack = if notice_of_new(spec).is_some() { 0 } else { NLM_F_ACK };
    let flags = NLM_F_REQUEST | ack | NLM_F_CREATE | NLM_F_REPLACE;
    put_message(out, RTM_NEWADDR, flags, seq, |out| {
        let nodad = if spec.addr.is_ipv6() { IFA_F_NODAD } else { 0 };
        let noprefixroute = if spec.noprefixroute { IFA_F_NOPREFIXROUTE } else { 0 };
        let all = nodad | noprefixroute | spec.flags;
        put_addr(out, spec, all);
        if spec.addr.is_ipv4() {
            if let Some(brd) = spec.brd {
                put_attr(out, IFA_BROADCAST, &brd.octets());
            }
            if let Some(label) = &spec.label {
                put_attr(out, IFA_LABEL, &[label.as_bytes(), b"\0"].concat());
            }
        }
        if spec.deprecated {
            // struct ifa_cacheinfo: preferred, valid, created, updated.
            let lifetimes = [0, FOREVER, 0, 0];
            put_attr(out, IFA_CACHEINFO, &lifetimes.map(u32::to_ne_bytes).concat());
        }
        put_attr(out, IFA_FLAGS, &all.to_ne_bytes());
        put_attr(out, IFA_PROTO, &[spec.tag]);
        if spec.metric != 0 {
            put_attr(out, IFA_RT_PRIORITY, &spec.metric.to_ne_bytes());
        }
    });
}

/// Appends a request to delete an address. Answered by an ack with `seq`.
///
/// Interface, address, peer and prefix length name it. The label is left out on purpose: with one, the kernel would not
/// find an address that another program has added again with another label.
pub fn del_addr(out: &mut BytesMut, seq: u32, spec: &AddrSpec) {
    put_message(out, RTM_DELADDR, NLM_F_REQUEST | NLM_F_ACK, seq, |out| put_addr(out, spec, 0));
}

/// `struct ifaddrmsg` and the addresses.
fn put_addr(out: &mut BytesMut, spec: &AddrSpec, flags: u32) {
    out.put_u8(if spec.addr.is_ipv4() { AF_INET } else { AF_INET6 });
    out.put_u8(spec.prefix);
    out.put_u8(flags as u8); // the low eight; all of them are in IFA_FLAGS
    out.put_u8(spec.scope);
    out.put_u32_ne(spec.ifindex);
    put_ip(out, IFA_LOCAL, &spec.addr);
    put_ip(out, IFA_ADDRESS, spec.peer.as_ref().unwrap_or(&spec.addr));
}

fn put_ip(out: &mut BytesMut, kind: u16, addr: &IpAddr) {
    match addr {
        IpAddr::V4(a) => put_attr(out, kind, &a.octets()),
        IpAddr::V6(a) => put_attr(out, kind, &a.octets()),
    }
}

/// Reads the body of a message that is not netlink's own.
pub(super) fn read(kind: u16, body: &[u8]) -> Result<Kind, Bad> {
    match kind {
        RTM_NEWLINK | RTM_DELLINK => read_link(kind, body),
        RTM_NEWADDR | RTM_DELADDR => read_addr(kind, body),
        other => Ok(Kind::Other(other)),
    }
}

fn read_link(kind: u16, body: &[u8]) -> Result<Kind, Bad> {
    let fixed: [u8; IFINFOMSG] = array(body, 0)?;
    // Other families tell of one protocol's view. AF_BRIDGE is the trap: its RTM_DELLINK means that a port left a bridge,
    // not that an interface is gone.
    if fixed[0] != AF_UNSPEC {
        return Ok(Kind::Other(kind));
    }
    let (ifindex, flags) = (u32_at(&fixed, 4)?, u32_at(&fixed, 8)?);
    if ifindex == 0 {
        return Err(Bad::Value);
    }
    if kind == RTM_DELLINK {
        return Ok(Kind::LinkDel(ifindex));
    }
    let (mut name, mut mtu, mut mac) = (None, 0, None);
    let (mut parent, mut master, mut info, mut ours) = (0, 0, Info::Other, false);
    let mut fresh = false;
    for attr in attrs(body.get(IFINFOMSG..).unwrap_or_default()) {
        match attr? {
            (IFLA_IFNAME, v) => name = Some(text(v)),
            (IFLA_MTU, v) => mtu = u32_at(v, 0)?,
            (IFLA_ADDRESS, v) => mac = v.try_into().ok(),
            (IFLA_LINK, v) => parent = u32_at(v, 0)?,
            (IFLA_MASTER, v) => master = u32_at(v, 0)?,
            (IFLA_LINKINFO, v) => info = link::read_info(v)?,
            (IFLA_IFALIAS, v) => ours = text(v) == LINK_ALIAS,
            (IFLA_GROUP, v) => fresh = u32_at(v, 0)? == LINK_GROUP,
            // A wireless event says only the name and what it is about: not a description of the link.
            (IFLA_WIRELESS, _) => return Ok(Kind::Other(kind)),
            _ => {}
        }
    }
    let is = |flag| flags & flag != 0;
    Ok(Kind::Link(Link {
        ifindex,
        name: name.ok_or(Bad::Missing)?,
        up: is(IFF_UP),
        running: is(IFF_RUNNING),
        multicast: is(IFF_MULTICAST),
        loopback: is(IFF_LOOPBACK),
        noarp: is(IFF_NOARP),
        mtu,
        mac,
        upon: match info {
            Info::Upon(kind, mode) => Some(Upon { kind, mode, parent }),
            Info::Vrf(_) | Info::Other => None,
        },
        ours: ours || fresh,
        fresh: fresh && !ours,
        master,
        vrf: matches!(info, Info::Vrf(_)),
        table: if let Info::Vrf(table) = info { table } else { 0 },
    }))
}

fn read_addr(kind: u16, body: &[u8]) -> Result<Kind, Bad> {
    let fixed: [u8; IFADDRMSG] = array(body, 0)?;
    let [family, prefix, flags, scope, ..] = fixed;
    let ifindex = u32_at(&fixed, 4)?;
    if family != AF_INET && family != AF_INET6 {
        return Ok(Kind::Other(kind));
    }
    if prefix > if family == AF_INET { 32 } else { 128 } {
        return Err(Bad::Value);
    }
    let (mut local, mut address, mut flags, mut proto) = (None, None, u32::from(flags), 0);
    for attr in attrs(body.get(IFADDRMSG..).unwrap_or_default()) {
        match attr? {
            (IFA_LOCAL, v) => local = Some(ip(family, v)?),
            (IFA_ADDRESS, v) => address = Some(ip(family, v)?),
            (IFA_FLAGS, v) => flags = u32_at(v, 0)?,
            (IFA_PROTO, v) => proto = *v.first().ok_or(Bad::Length)?,
            _ => {}
        }
    }
    let addr = local.or(address).ok_or(Bad::Missing)?;
    if kind == RTM_DELADDR {
        return Ok(Kind::AddrDel { ifindex, addr, prefix });
    }
    let is = |flag| flags & flag != 0;
    Ok(Kind::Addr(AddrInfo {
        ifindex,
        addr,
        prefix,
        scope,
        tentative: is(IFA_F_TENTATIVE),
        dad_failed: is(IFA_F_DADFAILED),
        // The same bit means "temporary" for IPv6.
        secondary: family == AF_INET && is(IFA_F_SECONDARY),
        proto,
    }))
}

fn ip(family: u8, value: &[u8]) -> Result<IpAddr, Bad> {
    if family == AF_INET {
        <[u8; 4]>::try_from(value).map(|a| Ipv4Addr::from(a).into()).map_err(|_| Bad::Length)
    } else {
        <[u8; 16]>::try_from(value).map(|a| Ipv6Addr::from(a).into()).map_err(|_| Bad::Length)
    }
}

/// A C string: up to its NUL, or all of it. The kernel allows names that are not UTF-8.
pub(super) fn text(value: &[u8]) -> String {
    let end = value.iter().position(|b| *b == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}
