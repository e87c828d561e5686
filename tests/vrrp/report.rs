//! The report of a world: complete, with parts of bounded size, and valid by its schema; the peer table and DUAL_MASTER in the report
//! and in the log.

use crate::bench::{Bench, OURS, PEER, advert, ip, link, v2, v3, vip};
use kalived::config::model::{Config, InstanceConfig};
use kalived::event::{Event, NetEv, RxMeta, SockEv};
use kalived::report::describe::schema;
use kalived::report::instance::Name;
use kalived::report::{Instance, Part, Report};
use kalived::time::Duration;
use kalived::vrrp::State;
use kalived::world::{Cursor, World};
use serde_json::Value;

const S: Duration = Duration::from_secs(1);

/// Checks a value against a schema made by `describe`; a field that is not in it is refused.
pub fn holds(schema: &Value, of: &Value, value: &Value, at: &str) {
    let has = |key: &str| of.get(key);
    if let Some(name) = has("$ref").and_then(Value::as_str) {
        let name = name.strip_prefix("#/$defs/").expect("a definition");
        return holds(schema, &schema["$defs"][name], value, at);
    }
    if let Some(any) = has("anyOf").and_then(Value::as_array) {
        return match value {
            Value::Null => assert!(any.iter().any(|o| o["type"] == "null"), "{at}"),
            _ => holds(schema, &any[0], value, at),
        };
    }
    if let Some(words) = has("enum").and_then(Value::as_array) {
        return assert!(words.contains(value), "{at}: {value}");
    }
    match (of["type"].as_str(), value) {
        (Some("string"), Value::String(_)) | (Some("boolean"), Value::Bool(_)) => {}
        (Some("integer"), Value::Number(n)) => assert!(n.is_u64(), "{at}: {n} is a count"),
        (Some("number"), Value::Number(_)) => {}
        (Some("array"), Value::Array(all)) => {
            all.iter().enumerate().for_each(|(n, v)| holds(schema, &of["items"], v, &format!("{at}[{n}]")));
        }
        (Some("object"), Value::Object(all)) if of["additionalProperties"] == false => {
            for (name, v) in all {
                let of = of["properties"].get(name).unwrap_or_else(|| panic!("{at}.{name} is not in the schema"));
                holds(schema, of, v, &format!("{at}.{name}"));
            }
            for name in of["required"].as_array().expect("a list") {
                assert!(all.contains_key(name.as_str().expect("a name")), "{at}.{name} is missing");
            }
        }
        (Some("object"), Value::Object(all)) => {
            all.iter().for_each(|(n, v)| holds(schema, &of["additionalProperties"], v, &format!("{at}.{n}")));
        }
        (kind, value) => panic!("{at}: {kind:?} and {value}"),
    }
}

fn report(b: &mut Bench) -> Report {
    let report = b.world.report(b.now);
    let of = schema::<Report>();
    holds(&of, &of, &serde_json::to_value(&report).expect("JSON"), "report");
    report
}

fn first(b: &mut Bench) -> Instance {
    report(b).instances.swap_remove(0)
}

fn conditions(i: &Instance) -> Vec<Name> {
    i.conditions.iter().map(|c| c.name).collect()
}

#[test]
fn a_report_says_who_is_master_since_when_and_why() {
    let mut b = Bench::new(v3());
    b.rx(&v3(), PEER, 120, S);
    b.run(S);
    let i = first(&mut b);
    assert_eq!((i.state, i.master, i.master_priority), (State::Backup, Some(ip(PEER)), 120));
    assert_eq!((i.senders.len(), i.senders[0].address.as_str(), i.senders[0].accepted), (1, PEER, 1));
    assert!(i.master_down_in_seconds.is_some_and(|s| s > 2.0 && s < 3.0), "{i:?}");
    b.run(S * 4);
    let i = first(&mut b);
    assert_eq!((i.state, i.addresses_held, i.addresses[0].held), (State::Master, 1, true));
    assert!(i.cause.starts_with("no advert for 3.6") && i.cause.ends_with(PEER), "{}", i.cause);
    let last = &i.transitions[0];
    assert_eq!((last.from, last.to, &last.cause), (State::Backup, State::Master, &i.cause));
    assert_eq!((i.since.age_seconds * 10.0).round(), 14.0);
    assert_eq!((i.counters.adverts_received, i.counters.became_master, conditions(&i)), (1, 1, vec![]));
    // Faults are named, and what was before stays.
    b.event(Event::Net(NetEv::LinkNew(link(crate::bench::ETH0, "eth0", false))));
    let i = first(&mut b);
    assert_eq!((i.state, conditions(&i), i.transitions.len()), (State::Fault, vec![Name::Fault], 3));
    assert_eq!((i.conditions[0].detail.as_str(), i.reasons.as_str()), ("interface eth0 down", "interface eth0 down"));
}

#[test]
fn only_the_last_transitions_are_remembered() {
    let mut b = Bench::master(v2());
    for up in [false, true].repeat(10) {
        b.event(Event::Net(NetEv::LinkNew(link(crate::bench::ETH0, "eth0", up))));
        b.run(S / 100);
    }
    let i = first(&mut b);
    assert_eq!((i.transitions.len(), i.state), (8, State::Backup));
    assert!(i.transitions.windows(2).all(|w| w[0].from == w[1].to && w[0].at.age_seconds <= w[1].at.age_seconds));
}

#[test]
fn a_report_of_thousands_comes_in_parts_that_cost_little_each() {
    let make = |n: u32| {
        let mut c =
            InstanceConfig::new(&format!("VI_{n}"), "eth0", (n % 255 + 1) as u8, kalived::config::model::Family::V4);
        c.interface = format!("eth{}", n / 255);
        c.vips = vec![vip(&format!("10.{}.{}.1", n / 250, n % 250))];
        c
    };
    let mut all: Vec<InstanceConfig> = (0..3000).map(make).collect();
    all[7].vips = (0..1000).map(|n| vip(&format!("172.16.{}.{}", n / 250, n % 250))).collect();
    let mut b = Bench::of(World::new(Config { instances: all, ..Config::default() }));
    b.start();
    let (mut at, mut parts, mut bytes, mut longest) = (Cursor::new(false), 0, 0, 0);
    let mut whole = Report::default();
    while let Some(part) = b.world.report_part(b.now, &mut at) {
        let text = serde_json::to_string(&part).expect("JSON");
        (parts, bytes, longest) = (parts + 1, bytes + text.len(), longest.max(text.len()));
        whole.add(serde_json::from_str(&text).expect("it reads back"));
    }
    assert!(parts > 6000 && longest < 16 << 10, "{parts} parts, the longest has {longest} bytes");
    assert!(bytes < 12 << 20, "{bytes}");
    assert_eq!((whole.instances.len(), whole.instances[7].addresses.len()), (3000, 1000));
    assert_eq!(whole.interfaces.len(), 12);
    assert_eq!(whole, b.world.report(b.now));
}

#[test]
fn parts_that_are_not_known_are_left_out_and_a_cut_one_is_said() {
    let lines = "{\"Begin\":[7,\"2026-01-01T00:00:00.000Z\"]}\n{\"OfTomorrow\":[1]}\n{\"Instance\":{\"name\":\"a\",\"new\":1}}\n";
    let cut = Report::read(lines.as_bytes());
    assert_eq!((cut.layout, cut.instances.len(), cut.instances[0].name.as_str(), cut.truncated), (7, 1, "a", true));
    let end = serde_json::to_string(&Part::End(false)).expect("JSON");
    assert!(!Report::read(format!("{lines}{end}\n").as_bytes()).truncated);
}

#[test]
fn counters_begin_anew_with_the_report_that_clears_them() {
    let mut b = Bench::master(v2());
    let mut at = Cursor::new(true);
    let mut seen = Report::default();
    while let Some(part) = b.world.report_part(b.now, &mut at) {
        seen.add(part);
    }
    let sent = seen.instances[0].counters.adverts_sent;
    assert!(sent > 100 && first(&mut b).counters.adverts_sent == 0);
}

/// A second Master whose adverts are received here, and that does not receive ours.
#[test]
fn a_lower_router_that_goes_on_is_a_dual_master_with_what_to_look_at() {
    let mut b = Bench::master(v3());
    for n in 0..3 {
        assert_eq!((b.logged("DUAL_MASTER"), conditions(&first(&mut b))), (0, vec![]), "{n}: it may be about to yield");
        b.rx(&v3(), PEER, 90, S);
        b.run(S);
    }
    let i = first(&mut b);
    assert_eq!((conditions(&i), b.logged("DUAL_MASTER: "), i.counters.dual_master), (vec![Name::DualMaster], 1, 1));
    let c = &i.conditions[0];
    assert_eq!(c.detail, format!("{PEER} is Master, priority 90, and this router is too"));
    for word in ["does not hear us", "protocol 112", "224.0.0.18", "IGMP snooping", "log"] {
        assert!(c.look_at.contains(word), "{word} in {}", c.look_at);
    }
    assert_eq!(c.since.as_ref().map(|m| m.age_seconds), Some(1.0));
    for _ in 0..20 {
        b.rx(&v3(), PEER, 90, S);
        b.run(S);
    }
    assert_eq!((b.logged("DUAL_MASTER: "), b.logged("DUAL_MASTER is over")), (1, 0), "said once");
    b.run(S * 4);
    assert_eq!((b.logged("DUAL_MASTER is over after"), conditions(&first(&mut b))), (1, vec![]));
}

#[test]
fn each_refusal_has_its_own_advice() {
    let mut other_list = v2();
    other_list.vips = vec![vip("203.0.113.7")];
    let mut auth = v2();
    auth.auth = kalived::config::model::Auth::Pass(*b"secret\0\0");
    let cases = [
        (v2(), advert(&v3(), PEER, 90, S), "version", "version (vrrp_version): 198.18.0.30 has 3, this router has 2"),
        (
            v2(),
            advert(&v2(), PEER, 90, S * 2),
            "interval",
            "advert_int: 198.18.0.30 has 2.00 s, this router has 1.00 s",
        ),
        (v2(), advert(&other_list, PEER, 90, S), "address-list", "they use VRID 51 on this network too"),
        (auth, advert(&v2(), PEER, 90, S), "auth-type", "auth_type differs"),
    ];
    for (cfg, packet, reason, advice) in cases {
        let mut b = Bench::master(cfg);
        for _ in 0..3 {
            let meta = RxMeta { src: ip(PEER), dst: None, hop_limit: None };
            let sock = b.sock.expect("a socket");
            b.event(Event::Sock(SockEv::Datagram { sock, meta, age: Duration::ZERO, bytes: &packet }));
            b.run(S * 2);
        }
        let i = first(&mut b);
        assert_eq!(i.state, State::Master);
        let c = &i.conditions[0];
        assert_eq!((c.name, b.logged("DUAL_MASTER")), (Name::DualMaster, 1), "{reason}: {i:?}");
        assert!(c.detail.ends_with(&format!("its adverts are refused here: {reason}")), "{}", c.detail);
        assert!(c.look_at.contains(advice), "{reason}: {}", c.look_at);
        let s = &i.senders[0];
        assert_eq!((s.refused, s.accepted, s.last_refused_reason.as_deref()), (3, 0, Some(reason)));
        assert_eq!(s.priority, Some(90));
    }
}

#[test]
fn a_backup_reports_two_masters_and_no_takeover_between_them() {
    let mut b = Bench::new(v3());
    for _ in 0..5 {
        b.rx(&v3(), PEER, 120, S);
        b.run(S);
    }
    // Another one takes over, and the first one stops sending.
    for _ in 0..6 {
        b.rx(&v3(), "198.18.0.40", 130, S);
        b.run(S);
    }
    assert_eq!((b.logged("DUAL_MASTER"), first(&mut b).senders.len()), (0, 2));
    for _ in 0..6 {
        b.rx(&v3(), "198.18.0.40", 130, S);
        b.run(S / 2);
        b.rx(&v3(), PEER, 120, S);
        b.run(S / 2);
    }
    let i = first(&mut b);
    assert_eq!((i.state, conditions(&i), b.logged("DUAL_MASTER")), (State::Backup, vec![Name::DualMaster], 1));
    assert!(i.conditions[0].look_at.contains("the log of both Masters"), "{:?}", i.conditions);
}

/// 100,000 forged sources: no more memory, no more log, and the real Master stays in the table.
#[test]
fn a_flood_of_forged_senders_costs_no_memory_and_no_log() {
    let mut b = Bench::new(v2());
    b.rx(&v2(), PEER, 120, S);
    b.log.clear();
    let forged = |n: u32| std::net::IpAddr::from((0x0a00_0001u32 + n).to_be_bytes()).to_string();
    for n in 0..20_000 {
        let packet = advert(&v3(), &forged(n), 200, S);
        let meta = RxMeta { src: ip(&forged(n)), dst: None, hop_limit: None };
        let sock = b.sock.expect("a socket");
        b.event(Event::Sock(SockEv::Datagram { sock, meta, age: Duration::ZERO, bytes: &packet }));
        if n % 10 == 0 {
            b.run(Duration::from_millis(1));
        }
    }
    let i = first(&mut b);
    assert_eq!((i.state, i.senders.len(), i.senders_dropped), (State::Backup, 16, 20_000 - 15));
    assert!(i.senders.iter().any(|s| s.address == PEER && s.accepted == 1), "{:?}", i.senders);
    assert!(b.log.len() <= 2 && b.logged("DUAL_MASTER") == 0, "{:?}", b.log);
    assert_ne!(i.source, Some(ip(PEER)));
    assert_eq!(i.source, Some(ip(OURS)));
}
