//! Routes with tunnels and realms: our request has the attributes that iproute2 sends for the same words, and its bytes read back as the
//! same route.
//!
//! The bytes are those of `ip route add ... proto 18` (iproute2 6.1, `strace -e write=3`), with v0 as interface 3.
#![cfg(target_endian = "little")]

use super::fib::{self, ip};
use super::hex;
use bytes::BytesMut;
use kalived::route::{Encap, HopSpec, IpTunnel, Mode, RouteId, RouteSpec};
use kalived::wire::netlink::{Kind, messages, new_route};
use std::net::IpAddr;

const HEAD: usize = 16 + 12;

fn four(text: &str) -> [u8; 4] {
    let IpAddr::V4(a) = ip(text) else { panic!("IPv4") };
    a.octets()
}

fn six(text: &str) -> [u8; 16] {
    let IpAddr::V6(a) = ip(text) else { panic!("IPv6") };
    a.octets()
}

fn route(to: &str, len: u8, hops: &[HopSpec]) -> RouteSpec {
    RouteSpec { mode: Mode::Alone, ..fib::route(to, len, hops) }
}

fn hop(via: &str) -> HopSpec {
    HopSpec { ifindex: 3, via: Some(ip(via)), ..HopSpec::default() }
}

fn through(via: &str, encap: Encap) -> HopSpec {
    HopSpec { encap: Some(encap), ..hop(via) }
}

fn tunnel(id: u64, dst: &str) -> IpTunnel<[u8; 4]> {
    IpTunnel { id, dst: four(dst), ..IpTunnel::default() }
}

/// The words of `ip route add`, what they mean, and what iproute2 sends.
fn cases() -> Vec<(&'static str, RouteSpec, &'static str)> {
    let ip4 = Encap::Ip(IpTunnel { src: four("10.0.0.1"), ttl: 9, tos: 4, ..tunnel(5, "10.0.0.7") });
    let (dst, src) = (six("2001:db8::7"), six("2001:db8::1"));
    let ip6 = Encap::Ip6(IpTunnel { id: 7, dst, src, ttl: 9, tos: 4, flags: 0 });
    let two = [
        HopSpec { hops: 1, ..through("10.0.0.2", Encap::Ip(tunnel(1, "10.0.0.7"))) },
        through("10.0.0.3", Encap::Ip(tunnel(2, "10.0.0.8"))),
    ];
    let realms = [HopSpec { realms: 5, ..hop("10.0.0.2") }, HopSpec { realms: 6 << 16 | 7, ..hop("10.0.0.3") }];
    vec![
        (
            "10.9.0.0/16 encap ip id 5 dst 10.0.0.7 src 10.0.0.1 ttl 9 tos 4 via 10.0.0.2 dev v0",
            route("10.9.0.0", 16, &[through("10.0.0.2", ip4)]),
            "6c00000018000506dc360d6b0000000002100000fe12000100000000080001000a090000300016800c00010000000000000000
             05080002000a000007080003000a0000010500040009e101000500050004e101000600150002000000080005000a0000020800
             040003000000",
        ),
        (
            "10.10.0.0/16 encap ip6 id 7 dst 2001:db8::7 src 2001:db8::1 hoplimit 9 tc 4 via 10.0.0.2 dev v0",
            route("10.10.0.0", 16, &[through("10.0.0.2", ip6)]),
            "8400000018000506dd360d6b0000000002100000fe12000100000000080001000a0a0000480016800c00010000000000000000
             071400020020010db80000000000000000000000071400030020010db80000000000000000000000010500040009c001000500
             0500040000000600150004000000080005000a0000020800040003000000",
        ),
        (
            "10.16.0.0/16 encap ip id 5 dst 10.0.0.7 key csum seq via 10.0.0.2 dev v0",
            route("10.16.0.0", 16, &[through("10.0.0.2", Encap::Ip(IpTunnel { flags: 0xd, ..tunnel(5, "10.0.0.7") }))]),
            "5c00000018000506dd360d6b0000000002100000fe12000100000000080001000a100000200016800c00010000000000000000
             05080002000a00000706000600000d01000600150002000100080005000a0000020800040003000000",
        ),
        (
            "10.11.0.0/16 encap mpls 100/200 via 10.0.0.2 dev v0",
            route("10.11.0.0", 16, &[through("10.0.0.2", Encap::Mpls(vec![100, 200]))]),
            "4c00000018000506dd360d6b0000000002100000fe12000100000000080001000a0b0000100016800c00010000064000000c81
             000600150001000100080005000a0000020800040003000000",
        ),
        (
            "2001:db8:9::/48 encap mpls 100 via 2001:db8::2 dev v0",
            route("2001:db8:9::", 48, &[through("2001:db8::2", Encap::Mpls(vec![100]))]),
            "6000000018000506dd360d6b000000000a300000fe120001000000001400010020010db80009000000000000000000000c0016
             80080001000006410006001500010000001400050020010db80000000000000000000000020800040003000000",
        ),
        (
            "2001:db8:9::/48 encap ila 1:2:3:4 via 2001:db8::2 dev v0",
            route("2001:db8:9::", 48, &[through("2001:db8::2", Encap::Ila(0x0001_0002_0003_0004))]),
            "6400000018000506dd360d6b000000000a300000fe120001000000001400010020010db80009000000000000000000001000
             16800c000100000100020003000406001500030001001400050020010db80000000000000000000000020800040003000000",
        ),
        (
            "10.13.0.0/16 nexthop encap ip id 1 dst 10.0.0.7 via 10.0.0.2 dev v0 weight 2 nexthop encap ip id 2 dst 10.0.0.8 \
             via 10.0.0.3 dev v0",
            route("10.13.0.0", 16, &two),
            "8800000018000506dd360d6b0000000002100000fe12000100000000080001000a0d0000640009003000000103000000180016
             800c0001000000000000000001080002000a0000070600150002000100080005000a0000023000000003000000180016800c00
             01000000000000000002080002000a0000080600150002000000080005000a000003",
        ),
        (
            "10.12.0.0/16 via 10.0.0.2 dev v0 realms 3/4",
            RouteSpec { realms: 3 << 16 | 4, ..route("10.12.0.0", 16, &[hop("10.0.0.2")]) },
            "3c00000018000506dd360d6b0000000002100000fe12000100000000080001000a0c0000080005000a00000208000b00040003
             000800040003000000",
        ),
        (
            "10.14.0.0/16 nexthop via 10.0.0.2 dev v0 realms 5 nexthop via 10.0.0.3 dev v0 realms 6/7",
            route("10.14.0.0", 16, &realms),
            "5800000018000506dd360d6b0000000002100000fe12000100000000080001000a0e0000340009001800000003000000080005
             000a00000208000b00050000001800000003000000080005000a00000308000b0007000600",
        ),
        (
            "10.15.0.0/16 via 10.0.0.2 dev v0 table 77, the table of a VRF",
            RouteSpec {
                id: RouteId { table: 77, ..route("10.15.0.0", 16, &[]).id },
                ..route("10.15.0.0", 16, &[hop("10.0.0.2")])
            },
            "3400000018000506dd360d6b00000000021000004d12000100000000080001000a0f0000080005000a0000020800040003000000",
        ),
    ]
}

/// Attributes as (type, value), those inside nested ones too, sorted; without the bit that marks a nested one, and with the next hops as
/// their values.
fn attributes(bytes: &[u8], path: &[u16], out: &mut Vec<(Vec<u16>, Vec<u8>)>) {
    let mut rest = bytes;
    while rest.len() >= 4 {
        let len = usize::from(u16::from_le_bytes([rest[0], rest[1]]));
        let kind = u16::from_le_bytes([rest[2], rest[3]]) & 0x3fff;
        let (value, here) = (&rest[4..len], [path, &[kind]].concat());
        match kind {
            9 if path.is_empty() => {
                let mut hops = value;
                while !hops.is_empty() {
                    let len = usize::from(u16::from_le_bytes([hops[0], hops[1]]));
                    out.push((here.clone(), hops[2..8].to_vec()));
                    attributes(&hops[8..len], &here, out);
                    hops = &hops[len.next_multiple_of(4).min(hops.len())..];
                }
            }
            22 if !path.contains(&22) => attributes(value, &here, out),
            _ => out.push((here, value.to_vec())),
        }
        rest = &rest[len.next_multiple_of(4).min(rest.len())..];
    }
}

fn sorted(message: &[u8]) -> Vec<(Vec<u16>, Vec<u8>)> {
    let mut out = Vec::new();
    attributes(&message[HEAD..], &[], &mut out);
    out.sort();
    out
}

/// `RTA_TABLE`, `RTA_PRIORITY`.
const ALWAYS: [u16; 2] = [15, 6];
/// `ILA_ATTR_CSUM_MODE`, which has no word in the file.
const ILA_CSUM_MODE: [u16; 2] = [22, 3];

#[test]
fn a_request_has_the_attributes_that_iproute2_sends() {
    for (words, spec, bytes) in cases() {
        let theirs = hex(bytes);
        let mut ours = BytesMut::new();
        new_route(&mut ours, 1, &spec);
        assert_eq!(ours[4..8], theirs[4..8], "type and flags of {words}");
        assert_eq!(ours[16..HEAD], theirs[16..HEAD], "struct rtmsg of {words}");
        let (mut is, mut want) = (sorted(&ours), sorted(&theirs));
        is.retain(|(path, _)| !ALWAYS.map(|kind| vec![kind]).contains(path));
        let ila = spec.hops.iter().any(|h| matches!(h.encap, Some(Encap::Ila(_))));
        want.retain(|(path, _)| !ila || path[..] != ILA_CSUM_MODE);
        assert_eq!(is, want, "{words}");
    }
}

#[test]
fn what_iproute2_sends_reads_as_that_route() {
    for (words, spec, bytes) in cases() {
        let bytes = hex(bytes);
        let read: Vec<Kind> = messages(&bytes).map(|m| m.expect(words).kind).collect();
        // Which of several routes is replaced is in the flags of the request alone.
        let want = RouteSpec { mode: Mode::default(), ..spec };
        assert_eq!(read, [Kind::Route { route: Box::new(want), replaced: false }], "{words}");
    }
}
