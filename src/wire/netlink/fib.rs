//! The rtnetlink messages of routes. Read first: `mod.rs`, `route.rs` at the root of the crate.
//!
//! A dump asks for routes with kalived's protocol number only, and the socket's filter drops notifications about all others: a million
//! routes of BGP neither wake the core nor fill its buffers.

use super::encap;
use super::{
    Kind, NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_MULTI, NLM_F_REPLACE, NLM_F_REQUEST,
    attrs, pad, put_attr, put_message, u16_at, u32_at,
};
use crate::route::{HopSpec, METRIC_V6, Metric, Mode, ROUTE_PROTO, RouteId, RouteSpec, network};
use crate::wire::{Bad, array};
use bytes::{BufMut, BytesMut};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

// <linux/rtnetlink.h>
pub(super) const RTM_NEWROUTE: u16 = 24;
pub(super) const RTM_DELROUTE: u16 = 25;
const RTM_GETROUTE: u16 = 26;
const RTA_DST: u16 = 1;
const RTA_SRC: u16 = 2;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RTA_METRICS: u16 = 8;
const RTA_MULTIPATH: u16 = 9;
const RTA_FLOW: u16 = 11;
const RTA_TABLE: u16 = 15;
const RTA_VIA: u16 = 18;
const RTA_PREF: u16 = 20;
const RTA_EXPIRES: u16 = 23;
const RTA_TTL_PROPAGATE: u16 = 26;
const RTAX_LOCK: u16 = 1;
const RTAX_CC_ALGO: u16 = 16;
const RTNH_F_ONLINK: u32 = 4;
const RTM_F_CLONED: u32 = 0x200;
/// Bytes of `struct rtmsg`.
const RTMSG: usize = 12;
/// Bytes of `struct rtnexthop`.
const RTNEXTHOP: usize = 8;
/// Most next hops of one route that are read; the kernel accepts some hundred.
const MOST_HOPS: usize = 1024;

// <linux/socket.h>
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// Appends a request for all routes with kalived's protocol number, in both families and every table.
pub fn get_routes(out: &mut BytesMut, seq: u32) {
    put_message(out, RTM_GETROUTE, NLM_F_REQUEST | NLM_F_DUMP, seq, |out| {
        out.put_slice(&[0, 0, 0, 0, 0, ROUTE_PROTO, 0, 0]);
        out.put_u32_ne(0);
    });
}

/// Appends a request to add a route. Answered by an ack with `seq`; EEXIST where exactly this one is there.
pub fn new_route(out: &mut BytesMut, seq: u32, spec: &RouteSpec) {
    let mode = match spec.mode {
        Mode::Prepend => 0,
        Mode::Append => NLM_F_APPEND,
        Mode::Alone => NLM_F_EXCL,
    };
    put_message(out, RTM_NEWROUTE, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | mode, seq, |out| put_route(out, spec));
}

/// Appends a request to delete exactly this route. Answered by an ack with `seq`.
pub fn del_route(out: &mut BytesMut, seq: u32, spec: &RouteSpec) {
    put_message(out, RTM_DELROUTE, NLM_F_REQUEST | NLM_F_ACK, seq, |out| put_route(out, spec));
}

/// Appends a request to delete one route and add another, with nothing in between. Answered by an ack with `seq`, to the addition.
pub fn change_route(out: &mut BytesMut, seq: u32, old: &RouteSpec, new: &RouteSpec) {
    // No request has number 0, so an error of the deletion answers none: only the result of the addition counts.
    put_message(out, RTM_DELROUTE, NLM_F_REQUEST, 0, |out| put_route(out, old));
    new_route(out, seq, new);
}

/// What a socket's filter (classic BPF: code, jump if true, jump if false, operand) lets through: everything but notifications about
/// routes of other protocols. One with `NLM_F_REPLACE` passes, because it may have replaced a route of kalived.
pub fn report_filter() -> Vec<(u16, u8, u8, u32)> {
    const LOAD_HALF: u16 = 0x28;
    const LOAD_BYTE: u16 = 0x30;
    const IF_EQUAL: u16 = 0x15;
    const IF_SET: u16 = 0x45;
    const RETURN: u16 = 0x06;
    // The filter loads values in network order; in the message they are in host order.
    let half = |n: u16| u32::from(u16::from_be_bytes(n.to_ne_bytes()));
    vec![
        (LOAD_HALF, 0, 0, 4),
        (IF_EQUAL, 1, 0, half(RTM_NEWROUTE)),
        (IF_EQUAL, 0, 4, half(RTM_DELROUTE)),
        (LOAD_HALF, 0, 0, 6),
        (IF_SET, 2, 0, half(NLM_F_MULTI | NLM_F_REPLACE)),
        (LOAD_BYTE, 0, 0, 16 + 5),
        (IF_EQUAL, 0, 1, u32::from(ROUTE_PROTO)),
        (RETURN, 0, 0, u32::MAX),
        (RETURN, 0, 0, 0),
    ]
}

fn put_route(out: &mut BytesMut, spec: &RouteSpec) {
    let RouteId { table, to, from, tos, metric } = spec.id;
    let family = if spec.id.is_v6() { AF_INET6 } else { AF_INET };
    let single = if let [hop] = &spec.hops[..] { Some(hop) } else { None };
    out.put_slice(&[family, to.1, from.1, tos, u8::try_from(table).unwrap_or(0), spec.proto, spec.scope, spec.kind]);
    out.put_u32_ne(if single.is_some_and(|h| h.onlink) { RTNH_F_ONLINK } else { 0 });
    put_attr(out, RTA_TABLE, &table.to_ne_bytes());
    if to.1 > 0 {
        put_attr(out, RTA_DST, &octets(&to.0));
    }
    if from.1 > 0 {
        put_attr(out, RTA_SRC, &octets(&from.0));
    }
    if metric > 0 {
        put_attr(out, RTA_PRIORITY, &metric.to_ne_bytes());
    }
    if let Some(src) = &spec.src {
        put_attr(out, RTA_PREFSRC, &octets(src));
    }
    if spec.realms > 0 {
        put_attr(out, RTA_FLOW, &spec.realms.to_ne_bytes());
    }
    if let Some(pref) = spec.pref {
        put_attr(out, RTA_PREF, &[pref]);
    }
    if let Some(expires) = spec.expires {
        put_attr(out, RTA_EXPIRES, &expires.to_ne_bytes());
    }
    if let Some(on) = spec.ttl_propagate {
        put_attr(out, RTA_TTL_PROPAGATE, &[u8::from(on)]);
    }
    if !spec.metrics.is_empty() || spec.lock > 0 {
        let mut all = BytesMut::new();
        if spec.lock > 0 {
            put_attr(&mut all, RTAX_LOCK, &spec.lock.to_ne_bytes());
        }
        for (kind, value) in &spec.metrics {
            match value {
                Metric::Number(n) => put_attr(&mut all, *kind, &n.to_ne_bytes()),
                Metric::Name(name) => put_attr(&mut all, *kind, &[name.as_bytes(), b"\0"].concat()),
            }
        }
        put_attr(out, RTA_METRICS, &all);
    }
    match single {
        Some(hop) => {
            if hop.ifindex > 0 {
                put_attr(out, RTA_OIF, &hop.ifindex.to_ne_bytes());
            }
            put_gateway(out, family, hop);
        }
        None if spec.hops.is_empty() => {}
        None => {
            let mut all = BytesMut::new();
            for hop in &spec.hops {
                let mut own = BytesMut::new();
                put_gateway(&mut own, family, hop);
                all.put_u16_ne((RTNEXTHOP + own.len()) as u16); // some addresses and labels at most
                all.put_slice(&[if hop.onlink { RTNH_F_ONLINK as u8 } else { 0 }, hop.hops]);
                all.put_u32_ne(hop.ifindex);
                all.put_slice(&own);
            }
            put_attr(out, RTA_MULTIPATH, &all);
        }
    }
}

fn put_gateway(out: &mut BytesMut, family: u8, hop: &HopSpec) {
    match hop.via {
        Some(IpAddr::V6(via)) if family == AF_INET => {
            put_attr(out, RTA_VIA, &[&u16::from(AF_INET6).to_ne_bytes()[..], &via.octets()].concat());
        }
        Some(via) => put_attr(out, RTA_GATEWAY, &octets(&via)),
        None => {}
    }
    if hop.realms > 0 {
        put_attr(out, RTA_FLOW, &hop.realms.to_ne_bytes());
    }
    if let Some(encap) = &hop.encap {
        encap::put(out, encap);
    }
    pad(out);
}

fn octets(addr: &IpAddr) -> Vec<u8> {
    match addr {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    }
}

/// Reads `RTM_NEWROUTE` or `RTM_DELROUTE`.
pub(super) fn read(kind: u16, flags: u16, body: &[u8]) -> Result<Kind, Bad> {
    let fixed: [u8; RTMSG] = array(body, 0)?;
    let [family, to_len, from_len, tos, table, proto, scope, rtn, ..] = fixed;
    let route_flags = u32_at(&fixed, 8)?;
    // Other families, and what the routing cache made of a route.
    if !matches!(family, AF_INET | AF_INET6) || route_flags & RTM_F_CLONED != 0 {
        return Ok(Kind::Other(kind));
    }
    let v6 = family == AF_INET6;
    if to_len.max(from_len) > if v6 { 128 } else { 32 } {
        return Err(Bad::Value);
    }
    let none = if v6 { IpAddr::V6(Ipv6Addr::UNSPECIFIED) } else { IpAddr::V4(Ipv4Addr::UNSPECIFIED) };
    let (mut to, mut from) = (none, none);
    let mut spec = RouteSpec {
        id: RouteId { table: table.into(), to: (none, 0), from: (none, 0), tos: if v6 { 0 } else { tos }, metric: 0 },
        kind: rtn,
        scope,
        proto,
        src: None,
        hops: Vec::new(),
        metrics: Vec::new(),
        lock: 0,
        realms: 0,
        pref: None,
        expires: None,
        ttl_propagate: None,
        mode: Mode::default(),
    };
    let (mut tunnel, mut packed) = (0, &[][..]);
    let mut single = HopSpec { onlink: route_flags & RTNH_F_ONLINK != 0, ..HopSpec::default() };
    for attr in attrs(body.get(RTMSG..).unwrap_or_default()) {
        match attr? {
            (RTA_TABLE, v) => spec.id.table = u32_at(v, 0)?,
            (RTA_DST, v) => to = ip(v6, v)?,
            (RTA_SRC, v) => from = ip(v6, v)?,
            (RTA_PRIORITY, v) => spec.id.metric = u32_at(v, 0)?,
            (RTA_PREFSRC, v) => spec.src = Some(ip(v6, v)?),
            (RTA_FLOW, v) => spec.realms = u32_at(v, 0)?,
            (RTA_PREF, v) => spec.pref = Some(*v.first().ok_or(Bad::Length)?),
            (RTA_TTL_PROPAGATE, v) => spec.ttl_propagate = Some(*v.first().ok_or(Bad::Length)? != 0),
            (RTA_METRICS, v) => read_metrics(v, &mut spec)?,
            (RTA_MULTIPATH, v) => spec.hops = read_hops(v6, v)?,
            (RTA_OIF, v) => single.ifindex = u32_at(v, 0)?,
            (kind @ (RTA_GATEWAY | RTA_VIA), v) => single.via = Some(gateway(v6, kind, v)?),
            (encap::RTA_ENCAP_TYPE, v) => tunnel = u16_at(v, 0)?,
            (encap::RTA_ENCAP, v) => packed = v,
            _ => {}
        }
    }
    single.encap = encap::read(tunnel, packed)?;
    if spec.hops.is_empty() && (single.ifindex > 0 || single.via.is_some()) {
        spec.hops.push(single);
    }
    if v6 && spec.id.metric == 0 {
        spec.id.metric = METRIC_V6;
    }
    (spec.id.to, spec.id.from) = (network(to, to_len), network(from, from_len));
    let route = Box::new(spec);
    Ok(match kind {
        RTM_DELROUTE => Kind::RouteDel(route),
        _ => Kind::Route { route, replaced: flags & NLM_F_REPLACE != 0 },
    })
}

fn read_metrics(bytes: &[u8], spec: &mut RouteSpec) -> Result<(), Bad> {
    for attr in attrs(bytes) {
        match attr? {
            (RTAX_LOCK, v) => spec.lock = u32_at(v, 0)?,
            (RTAX_CC_ALGO, v) => spec.metrics.push((RTAX_CC_ALGO, Metric::Name(super::route::text(v)))),
            (kind, v) => spec.metrics.push((kind, Metric::Number(u32_at(v, 0)?))),
        }
    }
    Ok(())
}

fn read_hops(v6: bool, bytes: &[u8]) -> Result<Vec<HopSpec>, Bad> {
    let (mut rest, mut hops) = (bytes, Vec::new());
    while !rest.is_empty() && hops.len() < MOST_HOPS {
        let len = usize::from(u16_at(rest, 0)?);
        let fixed: [u8; RTNEXTHOP] = array(rest, 0)?;
        let own = rest.get(RTNEXTHOP..len).ok_or(Bad::Length)?;
        let mut hop = HopSpec {
            ifindex: u32_at(&fixed, 4)?,
            hops: fixed[3],
            onlink: u32::from(fixed[2]) & RTNH_F_ONLINK != 0,
            ..HopSpec::default()
        };
        let (mut tunnel, mut packed) = (0, &[][..]);
        for attr in attrs(own) {
            match attr? {
                (encap::RTA_ENCAP_TYPE, v) => tunnel = u16_at(v, 0)?,
                (encap::RTA_ENCAP, v) => packed = v,
                (kind @ (RTA_GATEWAY | RTA_VIA), v) => hop.via = Some(gateway(v6, kind, v)?),
                (RTA_FLOW, v) => hop.realms = u32_at(v, 0)?,
                _ => {}
            }
        }
        hop.encap = encap::read(tunnel, packed)?;
        hops.push(hop);
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(hops)
}

fn gateway(v6: bool, kind: u16, value: &[u8]) -> Result<IpAddr, Bad> {
    if kind == RTA_GATEWAY {
        return ip(v6, value);
    }
    let family = u16_at(value, 0)?;
    ip(family == u16::from(AF_INET6), value.get(2..).unwrap_or_default())
}

fn ip(v6: bool, value: &[u8]) -> Result<IpAddr, Bad> {
    let addr = if v6 {
        <[u8; 16]>::try_from(value).map(|a| IpAddr::V6(Ipv6Addr::from(a)))
    } else {
        <[u8; 4]>::try_from(value).map(|a| IpAddr::V4(Ipv4Addr::from(a)))
    };
    addr.map_err(|_| Bad::Length)
}
