//! The nf_tables codec: the messages of a batch, their exact bytes, and malformed messages.

use super::hex;
use bytes::BytesMut;
use kalived::wire::netlink::frames;
use kalived::wire::netlink::ipvs::Protocol;
use kalived::wire::netlink::nft::{MarkKey, Marked, Message, Ruleset, Table, get_tables, put, read, remove};
use proptest::prelude::*;
use std::net::IpAddr;
use std::sync::Arc;

fn rules(addresses: &[(&str, &str)]) -> Ruleset {
    let address = |(a, dev): &(&str, &str)| (a.parse::<IpAddr>().expect("an address"), (*dev).to_owned());
    Ruleset {
        table: "keepalived".into(),
        comment: "kalived".into(),
        priority: -1,
        counters: false,
        addresses: addresses.iter().map(address).collect(),
        ..Ruleset::default()
    }
}

/// Type, flags and family of each message.
fn shape(bytes: &[u8]) -> Vec<(u16, u16, u8)> {
    frames(bytes).map(|f| f.expect("our own")).map(|f| (f.kind, f.flags, f.body[0])).collect()
}

#[test]
fn a_batch_is_whole_and_its_last_message_alone_asks_for_an_answer() {
    let all = rules(&[("10.0.0.1", ""), ("2001:db8::1", ""), ("fe80::1", "eth0")]);
    let mut out = BytesMut::new();
    put(&mut out, 7, &all, &["old".into()]);
    let shape = shape(&out);
    assert_eq!((shape.first(), shape.last()), (Some(&(0x10, 1, 0)), Some(&(0x11, 1, 0))));
    let asking = shape.iter().filter(|m| m.1 & 4 != 0).count();
    assert_eq!((asking, shape[shape.len() - 2].1 & 4), (1, 4));
    assert!(frames(&out).all(|f| f.expect("our own").seq == 7), "all messages have the sequence number of the batch");
    // The batch first creates and deletes the tables of both names: a deletion of a table that does not exist would fail.
    let tables: Vec<(u16, u16, u8)> = shape.iter().filter(|m| m.0 & !2 == 0x0a00).copied().collect();
    let clear = [(0x0a00, 0x401, 2), (0x0a02, 1, 2), (0x0a00, 0x401, 10), (0x0a02, 1, 10)];
    assert_eq!(tables[..8], [clear, clear].concat());
    assert_eq!(
        tables[8..],
        [(0x0a00, 0x601, 2), (0x0a00, 0x601, 10)],
        "NLM_F_EXCL: a table of another program is not filled"
    );
    let count = |kind| shape.iter().filter(|m| m.0 == kind).count();
    assert_eq!([count(0x0a09), count(0x0a0c), count(0x0a03), count(0x0a06)], [3, 3, 4, 2 + 6]);
    // With addresses of one family only, no table of the other one is filled.
    let mut out = BytesMut::new();
    put(&mut out, 7, &rules(&[("10.0.0.1", "")]), &[]);
    assert!(self::shape(&out).iter().filter(|m| m.2 == 10).all(|m| m.0 & !2 == 0x0a00));
}

#[test]
#[cfg(target_endian = "little")]
fn a_batch_byte_for_byte() {
    let mut out = BytesMut::new();
    put(&mut out, 9, &rules(&[("10.9.0.100", "")]), &[]);
    let all: Vec<_> = frames(&out).map(|f| f.expect("our own")).collect();
    let body = |kind: u16, nth: usize| all.iter().filter(|f| f.kind == kind).nth(nth).expect("there").body.to_vec();
    let name = "0f000100 6b656570616c6976656400 00";
    assert_eq!(all[0].body, hex("0000000a"));
    // The comment, which `nft list tables` shows, marks the table as kalived's.
    let comment = "0e000600 0008 6b616c6976656400 0000";
    assert_eq!(body(0x0a00, 2), hex(&format!("02000000{name}{comment}")));
    // The set: type ipv4_addr (7), keys of 4 bytes, set id 1.
    let set = "09000200 7669707300000000 08000400 00000007 08000500 00000004 08000a00 00000001";
    assert_eq!(body(0x0a09, 0), hex(&format!("02000000{name}{set}")));
    let elements = "09000200 7669707300000000 14000380 10000180 0c000180 08000100 0a090064";
    assert_eq!(body(0x0a0c, 0), hex(&format!("02000000{name}{elements}")));
    let chain =
        "07000300 696e0000 14000480 08000100 00000001 08000200 ffffffff 08000500 00000001 0b000700 66696c74657200 00";
    assert_eq!(body(0x0a03, 0), hex(&format!("02000000{name}{chain}")));
    let payload = "34000180 0c000100 7061796c6f616400 24000280 08000100 00000001 08000200 00000001 08000300 00000010 08000400 00000004";
    let lookup = "28000180 0b000100 6c6f6f6b757000 00 18000280 09000100 7669707300000000 08000200 00000001";
    let verdict =
        "30000180 0e000100 696d6d65646961746500 0000 1c000280 08000100 00000000 10000280 0c000280 08000100 00000000";
    let rule = format!("07000200 696e0000 90000480 {payload} {lookup} {verdict}");
    assert_eq!(body(0x0a06, 0), hex(&format!("02000000{name}{rule}")));
}

#[test]
fn many_addresses_are_several_messages_of_one_batch() {
    let all: Vec<String> = (0..2500).map(|n: u32| format!("10.{}.{}.1", n / 256, n % 256)).collect();
    let all: Vec<(&str, &str)> = all.iter().map(|a| (a.as_str(), "")).collect();
    let mut out = BytesMut::new();
    put(&mut out, 1, &rules(&all), &[]);
    let lists: Vec<usize> =
        frames(&out).map(|f| f.expect("our own")).filter(|f| f.kind == 0x0a0c).map(|f| f.body.len()).collect();
    assert_eq!(lists.len(), 3);
    assert!(lists.iter().all(|len| *len < 65_535), "the elements are one attribute, whose length has 16 bits");
    // An element takes 16 bytes: the messages have room for all.
    let found = frames(&out).flatten().filter(|f| f.kind == 0x0a0c).map(|f| f.body.len() / 16).sum::<usize>();
    assert!(found >= 2500);
    assert!(out.len() < 4 << 20);
}

#[test]
fn names_are_removed_whether_they_are_there_or_not() {
    let mut out = BytesMut::new();
    remove(&mut out, 3, &["keepalived".into(), "kalived".into()]);
    let kinds: Vec<u16> = shape(&out).iter().map(|m| m.0).collect();
    assert_eq!(kinds, [0x10, 0x0a00, 0x0a02, 0x0a00, 0x0a02, 0x0a00, 0x0a02, 0x0a00, 0x0a02, 0x11]);
    out.clear();
    get_tables(&mut out, 4);
    assert_eq!(shape(&out), [(0x0a01, 0x301, 0)]);
}

#[test]
fn what_is_there_is_read_back() {
    let mut out = BytesMut::new();
    put(&mut out, 9, &rules(&[("fe80::1", "eth0")]), &[]);
    let read = |f: kalived::wire::netlink::Frame<'_>| read(f.kind, f.body).expect("our own");
    let all: Vec<Message> = frames(&out).flatten().filter_map(read).collect();
    let ours = Table { name: "keepalived".into(), v6: true, comment: Some("kalived".into()) };
    assert_eq!(all.last(), Some(&Message::Table(ours)));
    assert_eq!(all[1], Message::Deleted("keepalived".into()));
}

#[test]
fn what_makes_no_sense_is_an_error_or_nothing() {
    let read = |kind, text: &str| read(kind, &hex(text));
    assert!(read(0x0a00, "02").is_err(), "shorter than its header");
    assert!(read(0x0a00, "02000000").is_err(), "no name");
    assert!(read(0x0a00, "02000000 ff000100 61").is_err(), "an attribute longer than the message");
    assert_eq!(read(0x0a06, "02000000"), Ok(None), "messages about rules are not read");
    // A comment that is longer than the user data is ignored.
    let table = |data: &str| read(0x0a00, &format!("02000000 06000100 61000000 {data}")).expect("a table");
    let of = |comment: Option<&str>| {
        Some(Message::Table(Table { name: "a".into(), v6: false, comment: comment.map(Into::into) }))
    };
    assert_eq!(table("08000600 00096b61"), of(None));
    assert_eq!(table("0a000600 010161 00016200 00"), of(Some("b")), "after user data of another type");
}

proptest! {
    #[test]
    fn no_bytes_panic(kind in 0x0a00u16..0x0a20, body in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = read(kind, &body);
    }
}

fn marks(all: &[(Protocol, u16, &str, &str, u32)]) -> Ruleset {
    let one = |(protocol, port, first, last, mark): &(Protocol, u16, &str, &str, u32)| {
        let [first, last] = [*first, *last].map(|a| a.parse::<IpAddr>().expect("an address"));
        (MarkKey { v6: first.is_ipv6(), protocol: *protocol, port: *port, first }, Marked { last, mark: *mark })
    };
    let table = "keepalived_ipvs".into();
    Ruleset { table, comment: "kalived_ipvs".into(), marks: Arc::new(all.iter().map(one).collect()), ..rules(&[]) }
}

#[test]
fn marks_are_a_map_and_a_rule_for_each_family_and_protocol() {
    let all = marks(&[
        (Protocol::Tcp, 80, "10.0.0.1", "10.0.0.9", 1000),
        (Protocol::Tcp, 0, "10.0.1.1", "10.0.1.1", 1001),
        (Protocol::Udp, 53, "10.0.0.1", "10.0.0.1", 1002),
        (Protocol::Sctp, 80, "2001:db8::1", "2001:db8::ff", 1003),
    ]);
    let mut out = BytesMut::new();
    put(&mut out, 7, &all, &[]);
    let shape = shape(&out);
    let count = |kind, family| shape.iter().filter(|m| (m.0, m.2) == (kind, family)).count();
    let kinds = [0x0a03, 0x0a09, 0x0a0c, 0x0a06];
    assert_eq!(kinds.map(|k| count(k, 2)), [1, 3, 3, 3]);
    assert_eq!(kinds.map(|k| count(k, 10)), [1, 1, 1, 1]);
    let text = String::from_utf8_lossy(&out);
    // The map with ports is looked into first.
    let place = |name: &str| text.find(name).unwrap_or_else(|| panic!("no {name}"));
    assert!(place("tcp_map") < place("tcp_any_map") && place("tcp_any_map") < place("udp_map"));
    assert!(text.contains("sctp_map") && !text.contains("vips"));
}

#[test]
#[cfg(target_endian = "little")]
fn a_marking_byte_for_byte() {
    let mut out = BytesMut::new();
    let all =
        marks(&[(Protocol::Tcp, 80, "10.9.0.2", "10.9.0.5", 1000), (Protocol::Tcp, 0, "10.9.1.1", "10.9.1.1", 7)]);
    put(&mut out, 9, &all, &[]);
    let all: Vec<_> = frames(&out).map(|f| f.expect("our own")).collect();
    let body = |kind: u16, nth: usize| all.iter().filter(|f| f.kind == kind).nth(nth).expect("there").body.to_vec();
    let name = "14000100 6b656570616c697665645f6970767300";
    // As nft(8) makes it: interval, map, concatenation; ipv4_addr . inet_service (7 << 6 | 13), 8 bytes; mark (19), 4 bytes; the fields.
    let set = "0c000200 7463705f6d617000 08000300 0000008c 08000400 000001cd 08000500 00000008 08000600 00000013 08000700 00000004";
    let desc = "20000980 1c000280 0c000180 08000100 00000004 0c000180 08000100 00000002";
    assert_eq!(
        body(0x0a09, 0),
        hex(&format!("02000000{name}{set}{desc}08000a00 00000001 0a000d00 0104 01000000 0000"))
    );
    let element = |first: &str, last: &str, mark: &str| {
        let end = |kind: &str, value: &str| format!("10000{kind} 0c000100 {value}");
        format!("30000180 {} {} 0c000280 08000100 {mark}", end("180", first), end("a80", last))
    };
    let head = |name: &str| format!("02000000{}{name}", "14000100 6b656570616c697665645f6970767300");
    let some = element("0a090002 00500000", "0a090005 00500000", "e8030000");
    assert_eq!(body(0x0a0c, 0), hex(&format!("{} 34000380 {some}", head("0c000200 7463705f6d617000"))));
    // Without a port: all ports.
    let some = element("0a090101 00000000", "0a090101 ffff0000", "07000000");
    assert_eq!(body(0x0a0c, 1), hex(&format!("{} 34000380 {some}", head("10000200 7463705f616e795f6d617000"))));
    let protocol = "24000180 09000100 6d65746100000000 14000280 08000200 00000010 08000100 00000001";
    let tcp = "2c000180 08000100 636d7000 20000280 08000100 00000001 08000200 00000000 0c000380 05000100 06000000";
    let payload = |dreg: u8, base: u8, offset: u8, len: u8| {
        format!(
            "34000180 0c000100 7061796c6f616400 24000280 08000100 000000{dreg:02x} 08000200 000000{base:02x} 08000300 000000{offset:02x} 08000400 000000{len:02x}"
        )
    };
    let lookup =
        "30000180 0b000100 6c6f6f6b757000 00 20000280 0c000100 7463705f6d617000 08000200 00000001 08000300 00000001";
    let mark = "24000180 09000100 6d65746100000000 14000280 08000200 00000003 08000300 00000001";
    let back =
        "30000180 0e000100 696d6d65646961746500 0000 1c000280 08000100 00000000 10000280 0c000280 08000100 fffffffb";
    let rule = [protocol, tcp, &payload(1, 1, 16, 4), &payload(9, 2, 2, 2), lookup, mark, back].concat();
    let len = hex(&rule).len() + 4;
    let rule = format!("02000000{name} 07000200 696e0000 {:02x}{:02x}0480 {rule}", len & 255, len >> 8);
    assert_eq!(body(0x0a06, 0), hex(&rule));
}

#[test]
fn many_marks_are_several_messages_of_one_batch() {
    let one = |n: u16| {
        let first = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, n, 1]);
        (MarkKey { v6: true, protocol: Protocol::Tcp, port: 80, first }, Marked { last: first, mark: 9 })
    };
    let mut out = BytesMut::new();
    put(&mut out, 1, &Ruleset { marks: Arc::new((0..10_000).map(one).collect()), ..marks(&[]) }, &[]);
    let lists: Vec<usize> =
        frames(&out).map(|f| f.expect("our own")).filter(|f| f.kind == 0x0a0c).map(|f| f.body.len()).collect();
    assert!(lists.len() > 10 && lists.iter().all(|len| *len < 65_535), "{lists:?}");
    assert!(out.len() < 4 << 20, "less than what the socket takes");
}
