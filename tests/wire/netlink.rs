//! The rtnetlink codec of interfaces and addresses: exact bytes in both directions, and malformed messages.
//!
//! The bytes were exchanged with Linux 6.18 in a network namespace: the kernel executed the requests and sent the answers and
//! notifications. They are little-endian.

use super::hex;
use bytes::BytesMut;
use kalived::effect::AddrSpec;
use kalived::event::{AddrInfo, Errno, Link};
use kalived::wire::Bad;
use kalived::wire::netlink::{Kind, Msg, del_addr, get_addrs, get_links, messages, new_addr};
use proptest::prelude::*;
use std::net::IpAddr;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn kinds(bytes: &[u8]) -> Vec<Result<Kind, Bad>> {
    messages(bytes).map(|m| m.map(|m| m.kind)).collect()
}

/// An address on interface 7, without any other attribute.
fn spec(addr: &str, prefix: u8) -> AddrSpec {
    AddrSpec {
        ifindex: 7,
        addr: ip(addr),
        prefix,
        brd: None,
        scope: 0,
        label: None,
        deprecated: false,
        noprefixroute: false,
        flags: 0,
        peer: None,
        tag: kalived::effect::ADDR_PROTO,
        metric: 0,
    }
}

fn labelled() -> AddrSpec {
    AddrSpec { brd: Some([10, 0, 0, 255].into()), label: Some("v0:vip".to_owned()), ..spec("10.0.0.1", 24) }
}

fn with_peer() -> AddrSpec {
    AddrSpec { scope: 253, noprefixroute: true, peer: Some(ip("10.0.0.14")), ..spec("10.0.0.9", 30) }
}

fn deprecated() -> AddrSpec {
    AddrSpec { deprecated: true, ..spec("2001:db8::64", 128) }
}

#[test]
#[cfg(target_endian = "little")]
fn requests_byte_for_byte() {
    let same = |put: &dyn Fn(&mut BytesMut), want: &str| {
        let mut out = BytesMut::new();
        put(&mut out);
        assert_eq!(out[..], hex(want)[..]);
    };
    same(
        &|o| new_addr(o, 1, &labelled()),
        "4c0000001400010501000000000000000218000007000000 080002000a000001 080001000a000001
        080004000a0000ff 0b00030076303a7669700000 0800080000000000 05000b006b000000",
    );
    same(
        &|o| new_addr(o, 2, &with_peer()),
        "38000000140001050200000000000000021e00fd07000000 080002000a000009 080001000a00000e
        0800080000020000 05000b006b000000",
    );
    same(
        &|o| new_addr(o, 3, &deprecated()),
        "6400000014000505030000000000000 00a80020007000000
        1400020020010db8000000000000000000000064 1400010020010db8000000000000000000000064
        1400060000000000ffffffff0000000000000000 0800080002000000 05000b006b000000",
    );
    same(
        &|o| del_addr(o, 4, &labelled()),
        "280000001500050004000000000000000218000007000000 080002000a000001 080001000a000001",
    );
    same(
        &|o| del_addr(o, 5, &with_peer()),
        "28000000150005000500000000000000021e00fd07000000 080002000a000009 080001000a00000e",
    );
    same(
        &|o| del_addr(o, 6, &deprecated()),
        "400000001500050006000000000000000a80000007000000
        1400020020010db8000000000000000000000064 1400010020010db8000000000000000000000064",
    );
    same(&|o| get_links(o, 8), "28000000120001030800000000000000 00000000000000000000000000000000 08001d0008000000");
    same(&|o| get_addrs(o, 9), "18000000160001030900000000000000 0000000000000000");
}

#[test]
fn requests_of_one_turn_share_a_buffer() {
    let mut out = BytesMut::new();
    // The length of the first message is no multiple of 4, so the second one begins after padding.
    new_addr(&mut out, 1, &labelled());
    del_addr(&mut out, 2, &deprecated());
    get_addrs(&mut out, 3);
    let seqs: Vec<u32> = messages(&out).map(|m| m.unwrap().seq).collect();
    assert_eq!(seqs, [1, 2, 3]);
}

#[test]
#[cfg(target_endian = "little")]
fn addresses_as_the_kernel_tells_them() {
    let told = hex(
        // 10.0.0.9 peer 10.0.0.14/30, added by kalived
        "540000001400020009000000895700000 21e80fd07000000 080001000a00000e 080002000a000009 0700030076300000
         05000b006b000000 0800080080020000 14000600ffffffffffffffff4859020069590200
         500000001400000000000000000000000a80a20007000000 1400010020010db8000000000000000000000064
         140006000000 0000ffffffff4859020069590200 08000800a2000000 05000b006b000000
         500000001400000000000000000000000a4080fd02000000 14000100fe8000000000000000d85dfffe218ada
         14000600ffffffffffffffff3459020034590200 08000800c0000000 05000b0003000000
         60000000150000000400000089570000 0218800007000000 080001000a000001 080002000a000001 080004000a0000ff
         0b00030076303a7669700000 05000b006b000000 0800080080000000 14000600ffffffffffffffff4859020069590200",
    );
    let info = |ifindex, addr, prefix, scope, tentative, proto| AddrInfo {
        ifindex,
        addr: ip(addr),
        prefix,
        scope,
        tentative,
        dad_failed: false,
        secondary: false,
        proto,
    };
    let want = [
        Kind::Addr(info(7, "10.0.0.9", 30, 253, false, b'k')),
        Kind::Addr(info(7, "2001:db8::64", 128, 0, false, b'k')),
        Kind::Addr(info(2, "fe80::d8:5dff:fe21:8ada", 64, 253, true, 3)),
        Kind::AddrDel { ifindex: 7, addr: ip("10.0.0.1"), prefix: 24 },
    ];
    let got: Vec<Msg> = messages(&told).map(|m| m.unwrap()).collect();
    assert_eq!(got.iter().map(|m| m.kind.clone()).collect::<Vec<_>>(), want);
    assert_eq!((got[0].seq, got[0].pid, got[0].dump_interrupted), (9, 0x5789, false));
    assert_eq!((got[1].seq, got[1].pid), (0, 0));
}

/// A dump of three links: lo and both ends of a veth.
#[cfg(target_endian = "little")]
fn link_dump() -> Vec<u8> {
    hex(include_str!("link-dump.hex"))
}

#[test]
#[cfg(target_endian = "little")]
fn links_as_the_kernel_tells_them() {
    let dump = link_dump();
    let mut links = messages(&dump).map(|m| match m.unwrap().kind {
        Kind::Link(l) => l,
        other => panic!("{other:?}"),
    });
    let lo = Link {
        ifindex: 1,
        name: "lo".to_owned(),
        up: true,
        running: true,
        multicast: false,
        loopback: true,
        noarp: false,
        mtu: 65536,
        mac: Some([0; 6]),
        upon: None,
        ours: false,
        fresh: false,
        master: 0,
        vrf: false,
        table: 0,
    };
    assert_eq!(links.next(), Some(lo));
    let v0 = links.find(|l| l.name == "v0").expect("a link named v0");
    let want = Link {
        ifindex: 7,
        name: "v0".to_owned(),
        up: true,
        running: true,
        multicast: true,
        loopback: false,
        noarp: false,
        mtu: 1500,
        mac: Some([2, 0, 0, 0, 0, 0x33]),
        upon: None,
        ours: false,
        fresh: false,
        master: 0,
        vrf: false,
        table: 0,
    };
    assert_eq!(v0, want);
}

#[test]
#[cfg(target_endian = "little")]
fn leaving_a_bridge_is_not_the_end_of_an_interface() {
    let family = |family: u8| {
        let mut m =
            hex("54000000110000000000000000000000 00000100020000004310010000000000 0700030076310000 08000a0003000000
            08000400dc050000 0500100006000000 0a00010002d85d218ada0000 0800050007000000");
        m[16] = family;
        kinds(&m)
    };
    assert_eq!(family(7), [Ok(Kind::Other(17))], "AF_BRIDGE");
    assert_eq!(family(0), [Ok(Kind::LinkDel(2))]);
}

#[test]
#[cfg(target_endian = "little")]
fn answers_as_the_kernel_gives_them() {
    let ok = hex("24000000020000010100000089570000 00000000 4c000000140005050100000000000000");
    assert_eq!(kinds(&ok), [Ok(Kind::Ack { seq: 1, result: Ok(()) })]);
    let gone = hex("3c000000020000000400000089570000 9dffffff 280000001500050004000000000000000218000007000000
        080002000a000001080001000a000001");
    assert_eq!(kinds(&gone), [Ok(Kind::Ack { seq: 4, result: Err(Errno::EADDRNOTAVAIL) })]);
    let done = hex("1400000003000200 0900000089570000 00000000");
    assert_eq!(kinds(&done), [Ok(Kind::Done { seq: 9, result: Ok(()) })]);
    let interrupted = hex("1400000003001200 0900000089570000 fcffffff");
    let m = messages(&interrupted).next().unwrap().unwrap();
    assert!(m.dump_interrupted);
    assert_eq!(m.kind, Kind::Done { seq: 9, result: Err(Errno(4)) });
    assert_eq!(kinds(&hex("10000000 0400 0000 00000000 00000000")), [Ok(Kind::Overrun)]);
    assert_eq!(kinds(&hex("10000000 0100 0000 00000000 00000000")), [Ok(Kind::Other(1))]);
    // i32::MIN has no positive counterpart.
    let worst = hex("14000000 0200 0000 09000000 89570000 00000080");
    assert_eq!(kinds(&worst), [Ok(Kind::Ack { seq: 9, result: Err(Errno(i32::MAX)) })]);
}

/// One message around `body`.
fn message(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut m = ((16 + body.len()) as u32).to_ne_bytes().to_vec();
    m.extend(kind.to_ne_bytes());
    m.extend([0; 10]);
    m.extend(body);
    m
}

fn attribute(kind: u16, claimed: u16, value: &[u8]) -> Vec<u8> {
    [&claimed.to_ne_bytes(), &kind.to_ne_bytes(), value].concat()
}

/// RTM_NEWADDR for interface 7, IPv4, with these attributes.
fn addr_with(prefix: u8, attributes: &[u8]) -> Vec<Result<Kind, Bad>> {
    let head = [&[2, prefix, 0, 0][..], &7u32.to_ne_bytes()].concat();
    kinds(&message(20, &[&head, attributes].concat()))
}

#[test]
fn a_length_that_lies_is_refused() {
    let address = attribute(1, 8, &[10, 0, 0, 1]);
    assert!(matches!(addr_with(24, &address)[..], [Ok(Kind::Addr(_))]));
    assert_eq!(addr_with(33, &address), [Err(Bad::Value)]);
    assert_eq!(addr_with(24, &[]), [Err(Bad::Missing)]);
    for claimed in [0, 1, 3, 9, 0xffff] {
        assert_eq!(addr_with(24, &attribute(1, claimed, &[10, 0, 0, 1])), [Err(Bad::Length)], "claimed {claimed}");
    }
    // An attribute whose value is too short for its type.
    assert_eq!(addr_with(24, &attribute(1, 7, &[10, 0, 0, 0])), [Err(Bad::Length)]);
    for (kind, size) in [(8, 3), (11, 0)] {
        let short = attribute(kind, 4 + size, &vec![0; usize::from(size).next_multiple_of(4)]);
        assert_eq!(addr_with(24, &[short, address.clone()].concat()), [Err(Bad::Length)], "attribute {kind}");
    }
    // Three bytes after the last attribute, too few for another one.
    assert_eq!(addr_with(24, &[&address[..], &[1, 2, 3]].concat()), [Err(Bad::Length)]);
    // A body that is shorter than its fixed structure has no attributes.
    for kind in [16, 17, 20, 21, 2] {
        assert_eq!(kinds(&message(kind, &[0; 3])), [Err(Bad::Length)], "type {kind}");
    }
}

#[test]
fn a_message_length_that_lies_ends_the_walk() {
    let good = message(3, &[]);
    for claimed in [0u32, 15, 17, u32::MAX] {
        let mut bad = message(3, &[]);
        bad[..4].copy_from_slice(&claimed.to_ne_bytes());
        let both = [good.clone(), bad].concat();
        assert_eq!(kinds(&both), [Ok(Kind::Done { seq: 0, result: Ok(()) }), Err(Bad::Length)], "claimed {claimed}");
    }
    assert_eq!(kinds(&[0; 5]), [Err(Bad::Length)]);
    assert_eq!(kinds(&[]), []);
}

#[test]
fn a_message_that_is_bad_inside_does_not_hide_the_next() {
    let both = [message(20, &[]), message(4, &[])].concat();
    assert_eq!(kinds(&both), [Err(Bad::Length), Ok(Kind::Overrun)]);
}

#[test]
fn odd_links() {
    let head = |index: u32, flags: u32| [&[0; 4][..], &index.to_ne_bytes(), &flags.to_ne_bytes(), &[0; 4]].concat();
    let link =
        |index, flags, attributes: &[u8]| kinds(&message(16, &[head(index, flags), attributes.to_vec()].concat()));
    let name = attribute(3, 7, b"v0\0\0");
    assert_eq!(link(0, 0, &name), [Err(Bad::Value)]);
    assert_eq!(link(7, 0, &[]), [Err(Bad::Missing)]);
    // A message with IFLA_WIRELESS is an event of the driver and does not describe the interface.
    assert_eq!(link(7, 0, &[&name[..], &attribute(11, 4, &[])].concat()), [Ok(Kind::Other(16))]);
    // A tunnel: its hardware address is an IPv4 address, and it has IFF_NOARP.
    let tunnel = link(7, 0x80 | 0x1, &[&name[..], &attribute(1, 8, &[10, 0, 0, 1])].concat());
    assert!(matches!(&tunnel[..], [Ok(Kind::Link(l))] if l.mac.is_none() && l.noarp && l.up && !l.running));
    // NLA_F_NESTED and NLA_F_NET_BYTEORDER in the type of an attribute are no part of its number.
    assert!(matches!(&link(7, 0, &attribute(3 | 0x8000, 7, b"v0\0\0"))[..], [Ok(Kind::Link(l))] if l.name == "v0"));
}

#[test]
fn flags_mean_what_their_family_says() {
    let read = |family: u8, flags: u32, address: &[u8]| {
        let head = [&[family, 24, 0, 0][..], &7u32.to_ne_bytes()].concat();
        let flags = attribute(8, 8, &flags.to_ne_bytes());
        match kinds(&message(20, &[head, flags, address.to_vec()].concat())).pop() {
            Some(Ok(Kind::Addr(a))) => (a.secondary, a.tentative, a.dad_failed),
            other => panic!("{other:?}"),
        }
    };
    let (v4, v6) = (attribute(2, 8, &[10, 0, 0, 1]), attribute(1, 20, &[0xfe; 16]));
    assert_eq!(read(2, 0x80 | 0x01, &v4), (true, false, false));
    assert_eq!(read(10, 0x80 | 0x01, &v6), (false, false, false), "IFA_F_TEMPORARY is the same bit");
    assert_eq!(read(10, 0x80 | 0x40, &v6), (false, true, false));
    assert_eq!(read(10, 0x80 | 0x40 | 0x08, &v6), (false, true, true));
}

fn any_spec() -> impl Strategy<Value = AddrSpec> {
    let flags = any::<(bool, bool)>();
    let v4 = (any::<[u8; 4]>(), 0u8..=32, any::<Option<[u8; 4]>>(), any::<Option<[u8; 4]>>(), "[a-z0-9:]{0,15}")
        .prop_map(|(a, prefix, brd, peer, label)| AddrSpec {
            addr: a.into(),
            brd: brd.map(Into::into),
            peer: peer.map(Into::into),
            label: Some(label).filter(|l| !l.is_empty()),
            ..spec("0.0.0.0", prefix)
        });
    let v6 = (any::<[u8; 16]>(), 0u8..=128, any::<Option<[u8; 16]>>()).prop_map(|(a, prefix, peer)| AddrSpec {
        addr: a.into(),
        peer: peer.map(Into::into),
        ..spec("::", prefix)
    });
    (prop_oneof![v4, v6], any::<u32>(), any::<u8>(), flags).prop_map(
        |(s, ifindex, scope, (deprecated, noprefixroute))| AddrSpec { ifindex, scope, deprecated, noprefixroute, ..s },
    )
}

proptest! {
    #[test]
    fn a_request_reads_back_as_the_kernel_would_tell_it(s in any_spec(), seq in any::<u32>()) {
        let mut out = BytesMut::new();
        new_addr(&mut out, seq, &s);
        del_addr(&mut out, seq, &s);
        let info = AddrInfo {
            ifindex: s.ifindex,
            addr: s.addr,
            prefix: s.prefix,
            scope: s.scope,
            tentative: false,
            dad_failed: false,
            secondary: false,
            proto: b'k',
        };
        let gone = Kind::AddrDel { ifindex: s.ifindex, addr: s.addr, prefix: s.prefix };
        prop_assert_eq!(kinds(&out), [Ok(Kind::Addr(info)), Ok(gone)]);
        prop_assert!(messages(&out).all(|m| m.is_ok_and(|m| m.seq == seq)));
    }

    #[test]
    fn no_bytes_make_it_panic_or_walk_for_ever(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        // Each message has at least a header; one error more may be at the end.
        prop_assert!(messages(&bytes).count() <= bytes.len() / 16 + 1);
    }

    #[test]
    fn no_attributes_make_it_panic(
        kind in prop_oneof![16u16..=21, 2u16..=4],
        head in prop::collection::vec(any::<u8>(), 0..20),
        attributes in prop::collection::vec((0u16..40, 0u16..24, prop::collection::vec(any::<u8>(), 0..20)), 0..8),
    ) {
        let mut body = head;
        // A family that the codec knows, so that it reads the attributes.
        if let Some(family) = body.first_mut() {
            *family = [0, 2, 10][usize::from(*family) % 3];
        }
        for (kind, claimed, value) in attributes {
            body.extend(attribute(kind, claimed, &value));
        }
        prop_assert_eq!(messages(&message(kind, &body)).count(), 1);
    }
}

#[test]
#[cfg(target_endian = "little")]
fn a_dump_cut_or_changed_anywhere_is_survived() {
    let dump = link_dump();
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

/// The request for an own interface has the form of the kernel's report of it.
#[test]
fn an_interface_of_our_own_is_asked_for_as_it_is_reported() {
    use kalived::net::{OwnLink, Upon, UponKind};
    use kalived::wire::netlink::{del_link, new_link, set_link};
    for (kind, mode, mac) in
        [(UponKind::Macvlan, Upon::MACVLAN_VEPA, Some([0, 0, 0x5e, 0, 1, 51])), (UponKind::Ipvlan, 2, None)]
    {
        let own = OwnLink { name: "vrrp.51".into(), upon: Upon { kind, mode, parent: 7 }, mac, group: 3, master: 5 };
        let mut out = BytesMut::new();
        new_link(&mut out, 9, &own);
        // The index in `struct ifinfomsg`, which the kernel assigns.
        out[20..24].copy_from_slice(&11u32.to_ne_bytes());
        let told = kinds(&out);
        let [Ok(Kind::Link(link))] = &told[..] else { panic!("{told:?}") };
        assert!(own.is(link) && link.ifindex == 11 && !link.up && link.ours && link.fresh, "{link:?}");
        assert!(!OwnLink { upon: Upon { parent: 8, ..own.upon }, ..own.clone() }.is(link));
        // No cut leads to a panic.
        for n in 0..out.len() {
            let _ = kinds(&out[..n]);
        }
    }
    let (mut out, mut del) = (BytesMut::new(), BytesMut::new());
    set_link(&mut out, 9, 11, true, Some(3));
    del_link(&mut del, 9, 11);
    assert_eq!(out[16..32], [[0, 0, 0, 0], 11u32.to_ne_bytes(), 1u32.to_ne_bytes(), 1u32.to_ne_bytes()].concat()[..]);
    assert!(out.windows(7).any(|w| w == b"kalived"));
    let group = [8u16.to_ne_bytes(), 27u16.to_ne_bytes()].concat();
    assert!(out.windows(8).any(|w| w[..4] == group[..] && w[4..] == 3u32.to_ne_bytes()));
    assert_eq!(del[16..24], [[0, 0, 0, 0], 11u32.to_ne_bytes()].concat()[..]);
}
