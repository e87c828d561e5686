//! The rtnetlink codec of routes: a dump from a kernel, round trips of requests, and malformed messages.
//!
//! `route-dump.hex` is a dump from Linux 6.18 in a network namespace in which v0 is interface 3 and v1 is interface 2.

use super::hex;
use bytes::BytesMut;
use kalived::route::{
    BLACKHOLE, HopSpec, METRIC_V6, Metric, Mode, ROUTE_PROTO, RouteId, RouteSpec, UNICAST, UNREACHABLE,
};
use kalived::wire::netlink::{Kind, change_route, del_route, get_routes, messages, new_route, report_filter};
use proptest::prelude::*;
use std::net::IpAddr;

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// A unicast route in the main table with these next hops.
pub(super) fn route(to: &str, len: u8, hops: &[HopSpec]) -> RouteSpec {
    let to = ip(to);
    let none = if to.is_ipv6() { ip("::") } else { ip("0.0.0.0") };
    let metric = if to.is_ipv6() { METRIC_V6 } else { 0 };
    RouteSpec {
        id: RouteId { table: 254, to: (to, len), from: (none, 0), tos: 0, metric },
        kind: UNICAST,
        scope: 0,
        proto: ROUTE_PROTO,
        src: None,
        hops: hops.to_vec(),
        metrics: Vec::new(),
        lock: 0,
        realms: 0,
        pref: None,
        expires: None,
        ttl_propagate: None,
        mode: Mode::Prepend,
    }
}

fn hop(ifindex: u32, via: &str) -> HopSpec {
    HopSpec { ifindex, via: Some(ip(via)), ..HopSpec::default() }
}

fn dump() -> Vec<u8> {
    hex(include_str!("route-dump.hex"))
}

/// The routes that `ip route` added before the dump, in the order in which the kernel reports them.
fn added() -> Vec<RouteSpec> {
    let n = Metric::Number;
    let metrics = vec![(8, n(1360)), (4, n(800)), (2, n(1400)), (16, Metric::Name("reno".into()))];
    let full = route("10.2.0.0", 16, &[hop(3, "10.0.0.254")]);
    let mut multi = route("10.3.0.0", 16, &[hop(3, "10.0.0.254"), hop(2, "10.0.1.254")]);
    (multi.hops[0].hops, multi.hops[1].onlink) = (2, true);
    let v6 = |r: RouteSpec| RouteSpec { pref: Some(0), ..r };
    let default = route("::", 0, &[hop(3, "fe80::1"), hop(2, "fe80::2")]);
    let id = RouteId { table: 1000, metric: 7, ..full.id };
    vec![
        RouteSpec { id, src: Some(ip("10.0.0.1")), metrics, lock: 1 << 2, ..full },
        route("10.1.0.0", 16, &[hop(3, "10.0.0.254")]),
        multi,
        route("10.4.0.0", 16, &[hop(3, "fe80::1")]),
        RouteSpec { kind: BLACKHOLE, ..route("10.9.0.0", 16, &[]) },
        RouteSpec { pref: Some(1), ..route("2001:db8:1::", 48, &[hop(3, "fe80::1")]) },
        v6(RouteSpec { kind: UNREACHABLE, ..route("2001:db8:9::", 48, &[]) }),
        v6(RouteSpec { id: RouteId { metric: 5, ..default.id }, ..default }),
    ]
}

#[test]
#[cfg(target_endian = "little")]
fn a_dump_is_what_was_added() {
    let bytes = dump();
    let there: Vec<RouteSpec> = messages(&bytes)
        .filter_map(|m| match m.expect("sound").kind {
            Kind::Route { route, replaced } => (!replaced).then_some(*route),
            _ => None,
        })
        .collect();
    let want = added();
    assert_eq!(there.len(), want.len());
    for (is, want) in there.iter().zip(&want) {
        assert!(want.is(is), "wanted {want:?}\nis {is:?}");
        assert!(
            !RouteSpec { proto: 4, ..want.clone() }.is(is),
            "a route with another protocol number is another route"
        );
        let elsewhere = RouteSpec { src: Some(ip("10.0.0.77")), ..want.clone() };
        assert!(!elsewhere.is(is), "a route with another preferred source is another route");
    }
    assert_eq!(there.iter().filter(|is| want.iter().any(|w| w.is(is))).count(), want.len());
}

#[test]
fn a_request_reads_back_as_it_was_meant() {
    for spec in added() {
        let mut out = BytesMut::new();
        new_route(&mut out, 7, &spec);
        del_route(&mut out, 8, &spec);
        change_route(&mut out, 9, &spec, &spec);
        let all: Vec<(u32, Kind)> = messages(&out).map(|m| m.expect("our own")).map(|m| (m.seq, m.kind)).collect();
        let there = Kind::Route { route: Box::new(spec.clone()), replaced: false };
        let gone = Kind::RouteDel(Box::new(spec));
        assert_eq!(all, [(7, there.clone()), (8, gone.clone()), (0, gone), (9, there)]);
    }
}

#[test]
#[cfg(target_endian = "little")]
fn requests_byte_for_byte() {
    let mut out = BytesMut::new();
    get_routes(&mut out, 9);
    assert_eq!(out[..], hex("1c0000001a00010309000000000000000000000000120000 00000000")[..]);
    out.clear();
    new_route(&mut out, 2, &route("10.1.0.0", 16, &[hop(3, "10.0.0.254")]));
    let want = "3c0000001800050402000000000000000210 0000fe120001 00000000
        08000f00fe000000 080001000a010000 0800040003000000 080005000a0000fe";
    assert_eq!(out[..], hex(want)[..]);
}

/// Whether the classic BPF program of `report_filter` lets the message through, executed as the kernel executes it.
fn passes(message: &[u8]) -> bool {
    let (program, mut at, mut a) = (report_filter(), 0, 0u32);
    loop {
        let (code, yes, no, k) = program[at];
        let i = k as usize;
        at += 1;
        match code {
            0x28 => a = u32::from(u16::from_be_bytes([message[i], message[i + 1]])),
            0x30 => a = u32::from(message[i]),
            0x15 => at += usize::from(if a == k { yes } else { no }),
            0x45 => at += usize::from(if a & k != 0 { yes } else { no }),
            0x06 => return k != 0,
            other => panic!("{other:#x}"),
        }
    }
}

#[test]
fn the_filter_drops_routes_of_others_and_nothing_else() {
    let message = |kind: u16, flags: u16, proto: u8| {
        let mut m = 28u32.to_ne_bytes().to_vec();
        m.extend(kind.to_ne_bytes());
        m.extend(flags.to_ne_bytes());
        m.extend([0; 8]);
        m.extend([2, 16, 0, 0, 254, proto, 0, 1, 0, 0, 0, 0]);
        m
    };
    for kind in [24, 25] {
        assert!(passes(&message(kind, 0, 18)), "a route of kalived");
        assert!(!passes(&message(kind, 0, 186)), "a route of BGP");
        assert!(!passes(&message(kind, 0x400, 186)), "a route of BGP, with NLM_F_CREATE");
        assert!(passes(&message(kind, 0x100, 186)), "with NLM_F_REPLACE: it may have replaced a route of kalived");
        assert!(passes(&message(kind, 0x2, 18)), "an entry of a dump");
    }
    for kind in [2, 3, 4, 16, 17, 20, 21] {
        assert!(passes(&message(kind, 0, 186)), "type {kind}");
    }
}

fn any_route() -> impl Strategy<Value = RouteSpec> {
    let v4 = (any::<[u8; 4]>(), 0u8..=32).prop_map(|(a, len)| kalived::route::network(a.into(), len));
    let v6 = (any::<[u8; 16]>(), 0u8..=128).prop_map(|(a, len)| kalived::route::network(a.into(), len));
    let hops = prop::collection::vec((1u32..9, any::<[u8; 16]>(), any::<(u8, bool)>()), 0..4);
    let numbers = (any::<u32>(), 1u32.., any::<[u8; 3]>(), any::<Option<[u8; 16]>>());
    let metrics = prop::collection::vec((2u16..=15, any::<u32>()), 0..4);
    (prop_oneof![v4, v6], hops, numbers, metrics, any::<u32>()).prop_map(
        |((to, len), hops, (table, metric, [kind, scope, proto], src), metrics, lock)| {
            let addr = |b: [u8; 16]| if to.is_ipv6() { b.into() } else { IpAddr::from([b[0], b[1], b[2], b[3]]) };
            let one = hops.len() == 1;
            let hops = hops.iter().map(|(ifindex, via, (n, onlink))| HopSpec {
                ifindex: *ifindex,
                via: Some(addr(*via)),
                hops: if one { 0 } else { *n },
                onlink: *onlink,
                realms: 0,
                encap: None,
            });
            let mut r = route(&to.to_string(), len, &hops.collect::<Vec<_>>());
            (r.id.table, r.id.metric, r.kind, r.scope, r.proto) = (table, metric, kind, scope, proto);
            (r.src, r.lock) = (src.map(addr), lock);
            r.metrics = metrics.into_iter().map(|(k, v)| (k, Metric::Number(v))).collect();
            r
        },
    )
}

proptest! {
    #[test]
    fn any_route_reads_back(r in any_route()) {
        let mut out = BytesMut::new();
        new_route(&mut out, 1, &r);
        let got: Vec<Kind> = messages(&out).map(|m| m.expect("our own").kind).collect();
        prop_assert_eq!(got, [Kind::Route { route: Box::new(r), replaced: false }]);
    }

    #[test]
    fn no_bytes_make_it_panic(
        kind in 24u16..=25,
        head in prop::collection::vec(any::<u8>(), 0..20),
        attributes in prop::collection::vec((0u16..32, 0u16..40, prop::collection::vec(any::<u8>(), 0..40)), 0..8),
    ) {
        let mut body = head;
        if let Some(family) = body.first_mut() {
            *family = [0, 2, 10][usize::from(*family) % 3];
        }
        for (kind, claimed, value) in attributes {
            body.extend(claimed.to_ne_bytes());
            body.extend(kind.to_ne_bytes());
            body.extend(value);
        }
        let mut m = ((16 + body.len()) as u32).to_ne_bytes().to_vec();
        m.extend(kind.to_ne_bytes());
        m.extend([0; 10]);
        m.extend(body);
        prop_assert_eq!(messages(&m).count(), 1);
    }
}

#[test]
fn a_dump_cut_or_changed_anywhere_is_survived() {
    let dump = dump();
    let whole = messages(&dump).count();
    for len in 0..dump.len() {
        assert!(messages(&dump[..len]).count() <= whole, "cut to {len}");
    }
    for at in 0..dump.len() {
        for byte in [0, 1, 3, 0x7f, 0xff] {
            let mut changed = dump.clone();
            changed[at] = byte;
            assert!(messages(&changed).count() <= dump.len() / 16 + 1, "byte {at} is {byte}");
        }
    }
}
