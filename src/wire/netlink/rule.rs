//! The rtnetlink messages of policy rules. Read first: `mod.rs`, `rule.rs` at the root of the crate.

use super::{
    Kind, NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, attrs, put_attr, put_message, u16_at, u32_at,
};
use crate::route::network;
use crate::rule::{Name, RuleSpec};
use crate::wire::{Bad, array};
use bytes::{BufMut, BytesMut};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

// <linux/rtnetlink.h>
pub(super) const RTM_NEWRULE: u16 = 32;
pub(super) const RTM_DELRULE: u16 = 33;
const RTM_GETRULE: u16 = 34;
// <linux/fib_rules.h>
const FRA_DST: u16 = 1;
const FRA_SRC: u16 = 2;
const FRA_IIFNAME: u16 = 3;
const FRA_GOTO: u16 = 4;
const FRA_PRIORITY: u16 = 6;
const FRA_FWMARK: u16 = 10;
const FRA_FLOW: u16 = 11;
const FRA_TUN_ID: u16 = 12;
const FRA_SUPPRESS_IFGROUP: u16 = 13;
const FRA_SUPPRESS_PREFIXLEN: u16 = 14;
const FRA_TABLE: u16 = 15;
const FRA_FWMASK: u16 = 16;
const FRA_OIFNAME: u16 = 17;
const FRA_L3MDEV: u16 = 19;
const FRA_UID_RANGE: u16 = 20;
const FRA_PROTOCOL: u16 = 21;
const FRA_IP_PROTO: u16 = 22;
const FRA_SPORT_RANGE: u16 = 23;
const FRA_DPORT_RANGE: u16 = 24;
const FIB_RULE_INVERT: u32 = 2;
/// Bytes of `struct fib_rule_hdr`.
const HEADER: usize = 12;

// <linux/socket.h>
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// Appends a request for all rules, in both families.
pub fn get_rules(out: &mut BytesMut, seq: u32) {
    put_message(out, RTM_GETRULE, NLM_F_REQUEST | NLM_F_DUMP, seq, |out| out.put_bytes(0, HEADER));
}

/// Appends a request to add a rule. Answered by an ack with `seq`; EEXIST where the same one is there.
pub fn new_rule(out: &mut BytesMut, seq: u32, spec: &RuleSpec) {
    let flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
    put_message(out, RTM_NEWRULE, flags, seq, |out| put(out, spec));
}

/// Appends a request to delete exactly this rule. Answered by an ack with `seq`; ENOENT where there is none.
pub fn del_rule(out: &mut BytesMut, seq: u32, spec: &RuleSpec) {
    put_message(out, RTM_DELRULE, NLM_F_REQUEST | NLM_F_ACK, seq, |out| put(out, spec));
}

fn put(out: &mut BytesMut, spec: &RuleSpec) {
    let family = if spec.is_v6() { AF_INET6 } else { AF_INET };
    // A table above 255 is said by the attribute alone.
    let table = u8::try_from(spec.table).unwrap_or(0);
    out.put_slice(&[family, spec.to.1, spec.from.1, spec.tos, table, 0, 0, spec.action]);
    out.put_u32_ne(if spec.not { FIB_RULE_INVERT } else { 0 });
    let mut number = |kind, n: u32| put_attr(out, kind, &n.to_ne_bytes());
    number(FRA_PRIORITY, spec.preference);
    for (kind, n, none) in [
        (FRA_TABLE, spec.table, 0),
        (FRA_GOTO, spec.goto, 0),
        (FRA_FLOW, spec.realms, 0),
        (FRA_SUPPRESS_PREFIXLEN, spec.suppress_prefix, u32::MAX),
        (FRA_SUPPRESS_IFGROUP, spec.suppress_group, u32::MAX),
    ] {
        if n != none {
            number(kind, n);
        }
    }
    if spec.fwmark != (0, 0) {
        number(FRA_FWMARK, spec.fwmark.0);
        number(FRA_FWMASK, spec.fwmark.1);
    }
    for (kind, (addr, len)) in [(FRA_SRC, spec.from), (FRA_DST, spec.to)] {
        if len > 0 {
            match addr {
                IpAddr::V4(a) => put_attr(out, kind, &a.octets()),
                IpAddr::V6(a) => put_attr(out, kind, &a.octets()),
            }
        }
    }
    for (kind, name) in [(FRA_IIFNAME, &spec.iif), (FRA_OIFNAME, &spec.oif)] {
        if !name.bytes().is_empty() {
            put_attr(out, kind, &[name.bytes(), b"\0"].concat());
        }
    }
    if spec.tunnel > 0 {
        put_attr(out, FRA_TUN_ID, &spec.tunnel.to_be_bytes());
    }
    if let Some((first, last)) = spec.uids {
        put_attr(out, FRA_UID_RANGE, &[first.to_ne_bytes(), last.to_ne_bytes()].concat());
    }
    for (kind, range) in [(FRA_SPORT_RANGE, spec.sport), (FRA_DPORT_RANGE, spec.dport)] {
        if let Some((first, last)) = range {
            put_attr(out, kind, &[first.to_ne_bytes(), last.to_ne_bytes()].concat());
        }
    }
    for (kind, n) in [(FRA_IP_PROTO, spec.ipproto), (FRA_L3MDEV, spec.l3mdev.into()), (FRA_PROTOCOL, spec.proto)] {
        if n > 0 {
            put_attr(out, kind, &[n]);
        }
    }
}

/// Reads `RTM_NEWRULE` or `RTM_DELRULE`.
pub(super) fn read(kind: u16, body: &[u8]) -> Result<Kind, Bad> {
    let fixed: [u8; HEADER] = array(body, 0)?;
    let [family, to_len, from_len, tos, table, _, _, action, ..] = fixed;
    // Rules of multicast routing have families of their own.
    if !matches!(family, AF_INET | AF_INET6) {
        return Ok(Kind::Other(kind));
    }
    let v6 = family == AF_INET6;
    if to_len.max(from_len) > if v6 { 128 } else { 32 } {
        return Err(Bad::Value);
    }
    let mut spec = RuleSpec::new(v6);
    (spec.tos, spec.table, spec.action) = (tos, table.into(), action);
    spec.proto = 0;
    spec.not = u32_at(&fixed, 8)? & FIB_RULE_INVERT != 0;
    let (mut to, mut from) = (spec.to.0, spec.from.0);
    for attr in attrs(body.get(HEADER..).unwrap_or_default()) {
        let byte = |v: &[u8]| v.first().copied().ok_or(Bad::Length);
        match attr? {
            (FRA_DST, v) => to = ip(v6, v)?,
            (FRA_SRC, v) => from = ip(v6, v)?,
            (FRA_IIFNAME, v) => spec.iif = name(v)?,
            (FRA_OIFNAME, v) => spec.oif = name(v)?,
            (FRA_GOTO, v) => spec.goto = u32_at(v, 0)?,
            (FRA_PRIORITY, v) => spec.preference = u32_at(v, 0)?,
            (FRA_FWMARK, v) => spec.fwmark.0 = u32_at(v, 0)?,
            (FRA_FWMASK, v) => spec.fwmark.1 = u32_at(v, 0)?,
            (FRA_FLOW, v) => spec.realms = u32_at(v, 0)?,
            (FRA_TUN_ID, v) => spec.tunnel = u64::from_be_bytes(array(v, 0)?),
            (FRA_SUPPRESS_IFGROUP, v) => spec.suppress_group = u32_at(v, 0)?,
            (FRA_SUPPRESS_PREFIXLEN, v) => spec.suppress_prefix = u32_at(v, 0)?,
            (FRA_TABLE, v) => spec.table = u32_at(v, 0)?,
            (FRA_L3MDEV, v) => spec.l3mdev = byte(v)? != 0,
            (FRA_UID_RANGE, v) => spec.uids = Some((u32_at(v, 0)?, u32_at(v, 4)?)),
            (FRA_PROTOCOL, v) => spec.proto = byte(v)?,
            (FRA_IP_PROTO, v) => spec.ipproto = byte(v)?,
            (FRA_SPORT_RANGE, v) => spec.sport = Some((u16_at(v, 0)?, u16_at(v, 2)?)),
            (FRA_DPORT_RANGE, v) => spec.dport = Some((u16_at(v, 0)?, u16_at(v, 2)?)),
            _ => {}
        }
    }
    (spec.to, spec.from) = (network(to, to_len), network(from, from_len));
    let rule = Box::new(spec);
    Ok(if kind == RTM_DELRULE { Kind::RuleDel(rule) } else { Kind::Rule(rule) })
}

fn name(value: &[u8]) -> Result<Name, Bad> {
    let end = value.iter().position(|b| *b == 0).unwrap_or(value.len());
    Name::new(&value[..end]).ok_or(Bad::Value)
}

fn ip(v6: bool, value: &[u8]) -> Result<IpAddr, Bad> {
    let addr = if v6 {
        <[u8; 16]>::try_from(value).map(|a| IpAddr::V6(Ipv6Addr::from(a)))
    } else {
        <[u8; 4]>::try_from(value).map(|a| IpAddr::V4(Ipv4Addr::from(a)))
    };
    addr.map_err(|_| Bad::Length)
}
