//! The rtnetlink codec of policy rules: a dump from a kernel, round trips of requests, and malformed messages.
//!
//! `rule-dump.hex` is a dump from Linux 6.18 in a network namespace.

use super::hex;
use bytes::BytesMut;
use kalived::rule::{BLACKHOLE, GOTO, NOTHING, Name, PROHIBIT, RULE_PROTO, RuleSpec, TO_TABLE, UNREACHABLE};
use kalived::wire::netlink::{Kind, del_rule, get_rules, messages, new_rule};
use proptest::prelude::*;
use std::net::IpAddr;

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).expect("a name")
}

/// The rules that `ip rule` added before the dump, in the order in which the kernel reports them.
fn added() -> Vec<RuleSpec> {
    let rule = |preference, action| RuleSpec { preference, action, ..RuleSpec::new(false) };
    let v6 = |preference, action| RuleSpec { preference, action, ..RuleSpec::new(true) };
    let table = |preference, table| RuleSpec { table, ..rule(preference, TO_TABLE) };
    vec![
        RuleSpec { from: (ip("10.1.0.0"), 16), to: (ip("10.2.0.0"), 16), iif: name("lo"), ..table(100, 1000) },
        RuleSpec { not: true, from: (ip("10.3.0.0"), 16), ..rule(101, BLACKHOLE) },
        RuleSpec { fwmark: (16, 255), oif: name("v9"), suppress_prefix: 0, ..table(102, 7) },
        RuleSpec {
            ipproto: 6,
            sport: Some((100, 200)),
            dport: Some((80, 80)),
            uids: Some((5, 9)),
            ..rule(103, PROHIBIT)
        },
        RuleSpec { goto: 32_766, tos: 16, ..rule(104, GOTO) },
        RuleSpec { fwmark: (5, u32::MAX), realms: 3 << 16 | 4, suppress_group: 6, proto: 4, ..table(105, 9) },
        RuleSpec { from: (ip("2001:db8::"), 32), ..v6(106, UNREACHABLE) },
        RuleSpec { l3mdev: true, ..v6(107, TO_TABLE) },
    ]
}

fn rules(bytes: &[u8]) -> Vec<RuleSpec> {
    let kinds = messages(bytes).map(|m| m.expect("sound").kind);
    kinds.filter_map(|k| if let Kind::Rule(rule) = k { Some(*rule) } else { None }).collect()
}

#[test]
#[cfg(target_endian = "little")]
fn a_dump_is_what_was_added() {
    let there = rules(&hex(include_str!("rule-dump.hex")));
    // The dump has the kernel's own rules, too.
    let there: Vec<RuleSpec> = there.into_iter().filter(|r| (100..=107).contains(&r.preference)).collect();
    assert_eq!(there, added());
}

#[test]
fn a_request_reads_back_as_it_was_meant() {
    for spec in added() {
        let mut out = BytesMut::new();
        new_rule(&mut out, 7, &spec);
        del_rule(&mut out, 8, &spec);
        let all: Vec<(u32, Kind)> = messages(&out).map(|m| m.expect("our own")).map(|m| (m.seq, m.kind)).collect();
        assert_eq!(all, [(7, Kind::Rule(Box::new(spec))), (8, Kind::RuleDel(Box::new(spec)))]);
    }
}

#[test]
#[cfg(target_endian = "little")]
fn requests_byte_for_byte() {
    let mut out = BytesMut::new();
    get_rules(&mut out, 9);
    assert_eq!(out[..], hex("1c0000002200010309000000000000000000000000000000 00000000")[..]);
    out.clear();
    new_rule(&mut out, 2, &RuleSpec { from: (ip("10.1.0.0"), 16), ..added()[0] });
    let want = "4c0000002000050602000000 00000000 0210100000000001 00000000
        0800060064000000 08000f00e8030000 080002000a010000 080001000a020000 070003006c6f0000 0500150012000000";
    assert_eq!(hex(want).len() as u32, u32::from_le_bytes(out[..4].try_into().expect("four")));
    assert_eq!(out[..], hex(want)[..]);
}

fn any_rule() -> impl Strategy<Value = RuleSpec> {
    let v4 = (any::<[u8; 4]>(), 0u8..=32).prop_map(|(a, len)| kalived::route::network(a.into(), len));
    let v6 = (any::<[u8; 16]>(), 0u8..=128).prop_map(|(a, len)| kalived::route::network(a.into(), len));
    let numbers = (1u32.., any::<u32>(), any::<u32>(), any::<[u8; 3]>());
    let ranges = (any::<Option<(u16, u16)>>(), any::<Option<(u32, u32)>>());
    (prop_oneof![v4, v6], numbers, ranges, "[a-z]{0,15}", any::<bool>()).prop_map(
        |(from, (preference, table, mark, [action, proto, tos]), (sport, uids), iif, not)| RuleSpec {
            from,
            iif: Name::new(iif.as_bytes()).unwrap_or_default(),
            fwmark: (mark, if mark == 0 { 0 } else { u32::MAX }),
            suppress_prefix: if not { 3 } else { NOTHING },
            proto: proto.max(1),
            tunnel: u64::from(mark) << 8,
            ..RuleSpec { preference, table, action, tos, sport, uids, not, ..RuleSpec::new(from.0.is_ipv6()) }
        },
    )
}

proptest! {
    #[test]
    fn any_rule_reads_back(r in any_rule()) {
        let mut out = BytesMut::new();
        new_rule(&mut out, 1, &r);
        prop_assert_eq!(rules(&out), [r]);
    }

    #[test]
    fn no_bytes_make_it_panic(
        kind in 32u16..=33,
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
fn names_of_interfaces() {
    assert_eq!(name("eth0").bytes(), b"eth0");
    assert_eq!((Name::new(b""), Name::new(b"a\0b"), Name::new(&[b'a'; 16])), (None, None, None));
    assert_eq!(Name::new(&[b'a'; 15]).map(|n| n.bytes().len()), Some(15));
    assert_eq!(RULE_PROTO, 18);
    let text: Vec<String> = added().iter().map(ToString::to_string).collect();
    assert_eq!(
        text[..3],
        [
            "100: from 10.1.0.0/16 to 10.2.0.0/16 iif lo lookup 1000",
            "101: not from 10.3.0.0/16 blackhole",
            "102: from all fwmark 0x10/0xff oif v9 lookup 7"
        ]
    );
    assert_eq!(text[6..], ["106: from 2001:db8::/32 unreachable", "107: from all (IPv6) l3mdev"]);
}
