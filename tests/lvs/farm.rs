//! Virtual servers and their real servers: the kernel's table after each change of configuration or verdict. Read first: `kernel.rs`.

use crate::kernel::Bench;
use kalived::config::model::check::{Check, Pace};
use kalived::config::model::global::LvsFlush;
use kalived::config::model::lvs::{
    GroupEntry, Method, Protocol, RealServer, Scheduler, ServerGroup, Service, Sorry, VirtualServer,
};
use kalived::lvs::check::Standing;
use kalived::lvs::farm::Happened;
use kalived::time::Duration;
use kalived::vrrp::change::Subject;
use kalived::wire::netlink::ipvs::{self as wire, DestinationKey, Forward, ServiceKey};
use proptest::prelude::*;
use std::net::IpAddr;

pub fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

pub fn real(host: u8, weight: i32) -> RealServer {
    RealServer { addr: [10, 77, 0, host].into(), port: 80, weight: Some(weight), ..RealServer::default() }
}

pub fn web(reals: &[RealServer]) -> VirtualServer {
    VirtualServer {
        service: Service::Address(ip("10.77.1.1"), 80),
        protocol: Some(Protocol::Tcp),
        scheduler: Scheduler::Rr,
        method: Method::Dr,
        real_servers: reals.to_vec(),
        ..VirtualServer::default()
    }
}

fn service(addr: &str, port: u16) -> ServiceKey {
    ServiceKey::Address(wire::Protocol::Tcp, ip(addr), port)
}

#[test]
fn a_file_becomes_the_table_and_a_stop_takes_it_back() {
    let mut b = Bench::new();
    b.faults.no_module = true;
    b.load(&[], &[web(&[real(11, 1), real(12, 2)])]);
    assert_eq!(b.lines(), ["Tcp 10.77.1.1:80 rr", "-> 10.77.0.11:80 Route 1", "-> 10.77.0.12:80 Route 2"]);
    assert!(!b.faults.no_module, "the module was loaded");
    let foreign = service("10.77.9.9", 443);
    b.table.insert(foreign, b.table[&service("10.77.1.1", 80)].clone());
    b.stop();
    assert!(b.director.idle());
    assert_eq!(b.table.keys().collect::<Vec<_>>(), [&foreign], "what is not ours stays");
}

#[test]
fn without_virtual_servers_nothing_is_opened() {
    let mut b = Bench::new();
    b.load(&[], &[]);
    b.later(Duration::from_secs(100));
    assert_eq!((b.director.is_open(), b.asked.len()), (None, 0));
    assert!(b.director.is_empty());
}

#[test]
fn a_kernel_without_ipvs_is_said_once_and_asked_again() {
    let mut b = Bench::new();
    (b.faults.no_module, b.faults.no_modprobe) = (true, true);
    b.load(&[], &[web(&[real(11, 1)])]);
    b.later(Duration::from_secs(150));
    let said: Vec<_> = b.said.iter().filter(|s| s.starts_with("IPVS: Can't initialize ipvs")).collect();
    assert_eq!(said.len(), 1, "{:?}", b.said);
    assert!(said[0].contains("`modprobe ip_vs` ended with status 1") && said[0].contains("Load the module ip_vs"));
    (b.faults.no_module, b.faults.no_modprobe) = (false, false);
    b.later(Duration::from_secs(60));
    assert_eq!(b.lines().len(), 2);
    b.faults.no_module = true;
    b.stop();
    assert!(b.director.idle());
}

#[test]
fn what_is_there_is_adopted_and_what_nobody_wants_goes() {
    let mut b = Bench::new();
    b.load(&[], &[web(&[real(11, 1), real(12, 2)])]);
    let key = service("10.77.1.1", 80);
    let mut left = b.table.clone();
    // As another process left it: one is missing, one has another weight, one was removed from the file.
    let all = &mut left.get_mut(&key).expect("there").1;
    let of = |host| DestinationKey { addr: [10, 77, 0, host].into(), port: 80 };
    let d = all[&of(11)];
    all.remove(&of(11));
    all.insert(of(12), wire::Destination { weight: 7, ..d });
    all.insert(of(13), d);
    let mut b = Bench::new();
    b.table = left;
    b.load(&[], &[web(&[real(11, 1), real(12, 2)])]);
    let mut asked = b.asked.clone();
    asked.sort();
    let svc = "Tcp 10.77.1.1:80";
    assert_eq!(
        asked,
        [
            format!("Delete {svc} -> 10.77.0.13:80 w1"),
            format!("New {svc} -> 10.77.0.11:80 w1"),
            format!("Set {svc} -> 10.77.0.12:80 w2")
        ]
    );
    assert_eq!(b.lines(), ["Tcp 10.77.1.1:80 rr", "-> 10.77.0.11:80 Route 1", "-> 10.77.0.12:80 Route 2"]);
    assert!(b.said.iter().any(|s| s.starts_with("1 destinations of VS [10.77.1.1]:tcp:80")), "{:?}", b.said);
}

#[test]
fn what_somebody_deletes_or_changes_is_put_right() {
    let mut b = Bench::new();
    b.load(&[], &[web(&[real(11, 1), real(12, 2)])]);
    let want = b.lines();
    let key = service("10.77.1.1", 80);
    b.table.get_mut(&key).expect("there").1.clear();
    b.later(Duration::from_secs(31));
    assert_eq!(b.lines(), want);
    assert!(
        b.said.iter().any(|s| s.starts_with("2 real servers of VS [10.77.1.1]:tcp:80 were changed")),
        "{:?}",
        b.said
    );
    b.table.clear();
    b.later(Duration::from_secs(31));
    assert_eq!(b.lines(), want);
    assert!(b.said.iter().any(|s| s.starts_with("VS [10.77.1.1]:tcp:80 was removed")), "{:?}", b.said);
    let weight = |b: &mut Bench, w| b.table.get_mut(&key).expect("there").1.values_mut().for_each(|d| d.weight = w);
    weight(&mut b, 9);
    b.later(Duration::from_secs(31));
    assert_eq!(b.lines(), want);
    // Without a difference a read leads to no request.
    b.asked.clear();
    b.later(Duration::from_secs(300));
    assert_eq!(b.asked, [""; 0]);
}

#[test]
fn a_server_that_is_down_leaves_or_has_weight_0_and_the_sorry_server_comes() {
    let mut b = Bench::new();
    let mut vs = web(&[real(11, 1), real(12, 1)]);
    vs.real_servers[1].inhibit_on_failure = Some(true);
    vs.sorry = Some(Box::new(Sorry { addr: ip("10.77.0.16"), port: 80, inhibit: false, method: Method::Dr }));
    b.load(&[], &[vs]);
    b.verdict(0, 0, false);
    assert_eq!(b.lines(), ["Tcp 10.77.1.1:80 rr", "-> 10.77.0.12:80 Route 1"]);
    b.asked.clear();
    b.verdict(0, 1, false);
    assert_eq!(b.lines(), ["Tcp 10.77.1.1:80 rr", "-> 10.77.0.12:80 Route 0", "-> 10.77.0.16:80 Route 1"]);
    b.asked.clear();
    b.verdict(0, 0, true);
    assert_eq!(b.lines(), ["Tcp 10.77.1.1:80 rr", "-> 10.77.0.11:80 Route 1", "-> 10.77.0.12:80 Route 0"]);
    assert_eq!(b.asked.last().map(|s| &s[..6]), Some("Delete"), "never empty: {:?}", b.asked);
    let lines = [
        "Gained quorum 1+0=1 <= 2 for VS [10.77.1.1]:tcp:80",
        "Removing service [10.77.0.11]:tcp:80 from VS [10.77.1.1]:tcp:80",
        "Disabling service [10.77.0.12]:tcp:80 of VS [10.77.1.1]:tcp:80",
        "Lost quorum 1-0=1 > 0 for VS [10.77.1.1]:tcp:80",
        "Adding sorry server [10.77.0.16]:tcp:80 to VS [10.77.1.1]:tcp:80",
        "Removing alive servers from the pool for VS [10.77.1.1]:tcp:80",
        "Adding service [10.77.0.11]:tcp:80 to VS [10.77.1.1]:tcp:80",
        "Gained quorum 1+0=1 <= 1 for VS [10.77.1.1]:tcp:80",
        "Removing sorry server [10.77.0.16]:tcp:80 from VS [10.77.1.1]:tcp:80",
        "Adding alive servers to the pool for VS [10.77.1.1]:tcp:80",
    ];
    assert_eq!(b.said, lines);
}

#[test]
fn a_reload_touches_what_differs_and_keeps_verdicts() {
    let mut b = Bench::new();
    let other = VirtualServer { service: Service::Address(ip("10.77.1.2"), 80), ..web(&[real(11, 1)]) };
    b.load(&[], &[web(&[real(11, 1), real(12, 2), real(13, 1)]), other.clone()]);
    b.verdict(0, 1, false);
    b.asked.clear();
    b.load(&[], &[web(&[real(11, 1), real(12, 2), real(13, 1)]), other.clone()]);
    assert_eq!(b.asked, [""; 0], "nothing changed");
    // Another order, another weight, one more, one less; 12 is still down.
    b.load(&[], &[other, web(&[real(12, 5), real(14, 1), real(11, 3)])]);
    let mut asked = b.asked.clone();
    asked.sort();
    let svc = "Tcp 10.77.1.1:80";
    assert_eq!(
        asked,
        [
            format!("Delete {svc} -> 10.77.0.13:80 w1"),
            format!("New {svc} -> 10.77.0.14:80 w1"),
            format!("Set {svc} -> 10.77.0.11:80 w3")
        ]
    );
    let vs = b.director.farm().keys()[0];
    assert_eq!(b.director.farm().get(vs).map(|v| &*v.name), Some("[10.77.1.1]:tcp:80"));
    b.verdict(0, 0, true);
    assert!(b.lines().contains(&"-> 10.77.0.12:80 Route 5".to_owned()), "{:?}", b.lines());
    // The scheduler in place; a service that is not in the file any more goes, with its servers.
    b.asked.clear();
    b.load(&[], &[VirtualServer { scheduler: Scheduler::Wrr, ..web(&[real(12, 5), real(14, 1), real(11, 3)]) }]);
    b.asked.sort();
    assert_eq!(b.asked, ["Delete Tcp 10.77.1.2:80".to_owned(), format!("Set {svc}")]);
    b.load(&[], &[]);
    assert!(b.table.is_empty() && b.director.is_empty());
    assert!(b.director.table().sizes().all(|n| n == 0), "{:?}", b.director.table().sizes().collect::<Vec<_>>());
    assert_eq!(b.director.farm().sizes(), [0, 0]);
}

#[test]
fn a_group_is_a_service_for_each_member() {
    let mut b = Bench::new();
    let groups = [ServerGroup {
        name: "web".into(),
        entries: vec![
            GroupEntry::Range(ip("10.77.1.1"), 2, 80),
            GroupEntry::Range(ip("fd77::1"), 0, 443),
            GroupEntry::Mark(7, None),
        ],
    }];
    let vs = VirtualServer { service: Service::Group("web".into()), ..web(&[real(11, 1)]) };
    b.load(&groups, core::slice::from_ref(&vs));
    // An IPv4 server is no destination of an IPv6 service without a tunnel, so there is none; the port is the service's.
    let want = [
        "Tcp 10.77.1.1:80 rr",
        "-> 10.77.0.11:80 Route 1",
        "Tcp 10.77.1.2:80 rr",
        "-> 10.77.0.11:80 Route 1",
        "Tcp 10.77.1.3:80 rr",
        "-> 10.77.0.11:80 Route 1",
        "FWM 7 rr",
        "-> 10.77.0.11:0 Route 1",
    ];
    assert_eq!(b.lines(), want);
    let foreign =
        "VS group web tcp: [fd77::1]:tcp:443: address family doesn't match the real servers; nothing is served there";
    assert!(b.said.iter().any(|s| s == foreign), "{:?}", b.said);
    b.verdict(0, 0, false);
    assert_eq!(b.lines().len(), 4);
    assert_eq!(b.said.iter().filter(|s| s.starts_with("Removing service")).count(), 1, "{:?}", b.said);
    b.verdict(0, 0, true);
    assert_eq!(b.lines(), want);
    b.asked.clear();
    let fewer = [ServerGroup { name: "web".into(), entries: groups[0].entries[..1].to_vec() }];
    b.load(&fewer, &[vs]);
    assert_eq!(b.asked, ["Delete FWM 7"]);
}

#[test]
fn a_virtual_server_whose_servers_are_all_of_another_family_is_left_out_but_for_tunnels() {
    let group = |addr: &str, n| ServerGroup { name: "six".into(), entries: vec![GroupEntry::Range(ip(addr), n, 80)] };
    let vs = VirtualServer { service: Service::Group("six".into()), ..web(&[real(11, 1)]) };
    let mut b = Bench::new();
    b.load(&[group("10.77.1.1", 0)], core::slice::from_ref(&vs));
    assert_eq!(b.lines().len(), 2);
    b.load(&[group("fd77::1", 1)], core::slice::from_ref(&vs));
    assert_eq!((b.lines(), b.director.farm().sizes()), (Vec::new(), [0, 0]), "as if it were not in the file");
    let why =
        "[fd77::1]:tcp:80 and 1 more: address family doesn't match the real servers; the virtual_server is ignored";
    assert!(b.said.iter().any(|s| s.ends_with(why)), "{:?}", b.said);
    let tunnel = VirtualServer { method: Method::Tun(kalived::config::model::lvs::Tunnel::Ipip), ..vs.clone() };
    b.load(&[group("fd77::1", 0)], &[tunnel]);
    assert_eq!(b.lines().len(), 2);
    // The sorry server is a destination, too.
    let sorry = Sorry { addr: ip("fd77::9"), port: 80, inhibit: false, method: Method::Dr };
    b.load(&[group("fd77::1", 0)], &[VirtualServer { sorry: Some(Box::new(sorry)), ..vs }]);
    assert_eq!(b.lines(), ["Tcp fd77::1:80 rr"]);
}

#[test]
fn two_virtual_servers_may_share_a_group_of_both_families() {
    let groups = [ServerGroup {
        name: "both".into(),
        entries: vec![GroupEntry::Range(ip("10.77.1.1"), 0, 80), GroupEntry::Range(ip("fd77::1"), 0, 80)],
    }];
    let four = VirtualServer { service: Service::Group("both".into()), ..web(&[real(11, 1)]) };
    let six = RealServer { addr: ip("fd77::11"), port: 80, ..RealServer::default() };
    let six = VirtualServer { real_servers: vec![six], protocol: Some(Protocol::Udp), ..four.clone() };
    let mut b = Bench::new();
    b.load(&groups, &[four, six]);
    let want = ["Tcp 10.77.1.1:80 rr", "-> 10.77.0.11:80 Route 1", "Udp fd77::1:80 rr", "-> fd77::11:80 Route 1"];
    assert_eq!(b.lines(), want);
}

#[test]
fn a_server_that_is_awaited_is_not_in_the_table() {
    let mut b = Bench::new();
    let mut vs = web(&[real(11, 1), real(12, 1)]);
    vs.pace = Pace { alpha: Some(true), ..Pace::default() };
    // Only where there is a check whose result can be waited for.
    vs.real_servers[0].checks = vec![Check::default()];
    b.load(&[], &[vs]);
    assert_eq!(b.lines(), ["Tcp 10.77.1.1:80 rr", "-> 10.77.0.12:80 Route 1"]);
    b.verdict(0, 0, true);
    assert_eq!(b.lines().len(), 3);
}

#[test]
fn nat_to_direct_routing_is_a_change_in_place_and_a_port_another_entry() {
    let mut b = Bench::new();
    let nat = VirtualServer { method: Method::Nat, ..web(&[real(11, 1)]) };
    b.load(&[], &[nat]);
    b.asked.clear();
    b.load(&[], &[web(&[real(11, 1)])]);
    assert_eq!(b.asked, ["Set Tcp 10.77.1.1:80 -> 10.77.0.11:80 w1"]);
    b.load(&[], &[VirtualServer { method: Method::Nat, ..web(&[RealServer { port: 8080, ..real(11, 1) }]) }]);
    assert_eq!(b.lines(), ["Tcp 10.77.1.1:80 rr", "-> 10.77.0.11:8080 Masq 1"]);
}

#[test]
fn a_scheduler_that_is_missing_is_said_once_and_tried_again_with_each_look() {
    let mut b = Bench::new();
    b.faults.no_scheduler = true;
    b.load(&[], &[web(&[real(11, 1)])]);
    b.later(Duration::from_secs(95));
    assert_eq!(b.asked.len(), 4, "once, and with three looks: {:?}", b.asked);
    assert_eq!(
        b.said[1..],
        ["VS [10.77.1.1]:tcp:80 is not served: this kernel has no scheduler rr (modprobe ip_vs_rr); it is tried again"]
    );
    b.faults.no_scheduler = false;
    b.later(Duration::from_secs(30));
    assert_eq!(b.lines().len(), 2);
}

#[test]
fn flushes() {
    let mut b = Bench::new();
    b.more.lvs_flush = true;
    b.table.insert(
        service("10.77.9.9", 1),
        (
            wire::Service { scheduler: "rr".into(), flags: 0, timeout: 0, netmask: !0, engine: String::new() },
            Default::default(),
        ),
    );
    b.load(&[], &[web(&[real(11, 1)])]);
    assert_eq!(b.asked[0], "flush");
    assert_eq!(b.lines().len(), 2, "{:?}", b.lines());
    b.asked.clear();
    b.load(&[], &[web(&[real(11, 1)])]);
    assert_eq!(b.asked, [""; 0], "not with a reload");
    b.more.lvs_flush_on_stop = LvsFlush::All;
    b.table.insert(service("10.77.9.9", 1), b.table[&service("10.77.1.1", 80)].clone());
    b.stop();
    assert!(b.table.is_empty() && b.director.idle());
}

#[test]
fn the_servers_of_one_large_virtual_server_get_their_checks_in_slices() {
    let mut b = Bench::new();
    let one = |n: u32| RealServer { addr: IpAddr::V4(std::net::Ipv4Addr::from_bits(0x0a40_0000 + n)), ..real(0, 1) };
    let reals: Vec<RealServer> = (0..3000).map(one).collect();
    b.load(&[], &[web(&reals), VirtualServer { service: Service::Mark(7), ..web(&reals[..20]) }]);
    assert!(b.director.is_read(), "all were taken");
    assert_eq!(b.most_checks, 16);
    assert_eq!(b.lines().len(), 2 + 3000 + 20);
}

#[test]
fn forty_thousand_servers_come_in_slices() {
    let mut b = Bench::new();
    let servers: Vec<VirtualServer> = (0..500u32)
        .map(|n| {
            let addr = IpAddr::V4((0x0a00_0001 + n).into());
            let reals: Vec<RealServer> = (0..80).map(|h| real(h, 1)).collect();
            VirtualServer { service: Service::Address(addr, 80), ..web(&reals) }
        })
        .collect();
    b.load(&[], &servers);
    assert_eq!(b.table.values().map(|(_, d)| d.len()).sum::<usize>(), 40_000);
    assert!(b.most <= 2 * kalived::reconcile::WINDOW, "{} in one turn", b.most);
    b.asked.clear();
    b.load(&[], &servers);
    b.later(Duration::from_secs(60));
    assert_eq!(b.asked, [""; 0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    // After losses, deletions and interruptions: some reads later the table is the wanted one, and nothing else is in it.
    #[test]
    fn the_table_converges(
        lose in prop::option::of(2u64..9), interrupt in prop::option::of(2u64..5),
        steps in prop::collection::vec((0usize..6, 0usize..2, 0usize..4, any::<bool>()), 1..30),
    ) {
        let mut b = Bench::new();
        (b.faults.lose, b.faults.interrupt) = (lose, interrupt);
        let file = |n: usize| {
            let other = VirtualServer { service: Service::Address(ip("10.77.1.2"), 80), ..web(&[real(21, 1), real(22, 3)]) };
            let mut vs = web(&(11..=14).map(|h| real(h, 1 + i32::try_from(n % 3).unwrap())).collect::<Vec<_>>());
            vs.sorry = Some(Box::new(Sorry { addr: ip("10.77.0.16"), port: 80, inhibit: false, method: Method::Dr }));
            vs.real_servers.truncate(4 - n % 2);
            if n % 4 == 3 { vec![vs] } else { vec![vs, other] }
        };
        b.load(&[], &file(0));
        for (what, vs, place, up) in steps {
            let keys: Vec<ServiceKey> = b.table.keys().copied().collect();
            match what {
                0 | 1 => {
                    let farm = b.director.farm();
                    let known = farm.keys().get(vs).is_some_and(|k| farm.get(*k).is_some_and(|v| place < v.reals.len()));
                    if known { b.verdict(vs, place, up); }
                }
                2 => b.load(&[], &file(place)),
                3 => drop(keys.get(vs).map(|k| b.table.remove(k))),
                4 => {
                    if let Some((_, all)) = keys.get(vs).and_then(|k| b.table.get_mut(k)) {
                        if up { all.pop_first(); } else { all.values_mut().for_each(|d| d.forward = Forward::Nat); }
                    }
                }
                _ => b.later(Duration::from_secs(7)),
            }
        }
        (b.faults.lose, b.faults.interrupt) = (None, None);
        b.later(Duration::from_secs(100));
        let farm = b.director.farm();
        let mut want: Vec<(ServiceKey, Vec<(DestinationKey, wire::Destination)>)> = farm.keys().into_iter().map(|k| {
            let vs = farm.get(k).unwrap();
            let Service::Address(addr, port) = vs.cfg.service else { unreachable!() };
            (ServiceKey::Address(wire::Protocol::Tcp, addr, port), vs.pool.wanted().into_iter().collect())
        }).collect();
        want.sort_by_key(|(k, _)| *k);
        let is: Vec<_> = b.table.iter().map(|(k, (_, d))| (*k, d.iter().map(|(k, d)| (*k, *d)).collect::<Vec<_>>())).collect();
        prop_assert_eq!(is, want);
        b.asked.clear();
        b.later(Duration::from_secs(100));
        prop_assert_eq!(&b.asked, &Vec::<String>::new());
        b.stop();
        prop_assert!(b.director.idle() && b.table.is_empty());
    }
}

// Groups and virtual servers that want some of four services, also the same ones.
fn drawn() -> impl Strategy<Value = (Vec<ServerGroup>, Vec<VirtualServer>)> {
    let group = prop::collection::vec((1u8..5, 0u32..2), 0..3);
    let server = (0usize..7, prop::collection::vec((11u8..15, 1i32..3), 1..4), 0u8..4);
    (prop::collection::vec(group, 3..4), prop::collection::vec(server, 0..5)).prop_map(|(groups, servers)| {
        let addr = |n: u8| IpAddr::from([10, 77, 1, n]);
        let names = ["a", "b", "c"];
        let entry = |(n, more): (u8, u32)| GroupEntry::Range(addr(n), more, 80);
        let groups = groups.into_iter().zip(names).map(|(entries, name)| ServerGroup {
            name: name.into(),
            entries: entries.into_iter().map(entry).collect(),
        });
        let servers = servers.into_iter().map(|(what, reals, how)| {
            let mut once = std::collections::BTreeSet::new();
            let reals: Vec<RealServer> =
                reals.into_iter().filter(|(h, _)| once.insert(*h)).map(|(h, w)| real(h, w)).collect();
            let service = match what {
                0..=3 => Service::Address(addr(what as u8 + 1), 80),
                n => Service::Group(names[n - 4].into()),
            };
            let method = if how & 1 > 0 { Method::Dr } else { Method::Nat };
            let scheduler = if how & 2 > 0 { Scheduler::Rr } else { Scheduler::Wrr };
            VirtualServer { service, method, scheduler, ..web(&reals) }
        });
        (groups.collect(), servers.collect())
    })
}

proptest! {
    // Whatever was before: after a reload the table is that of a start with the new file.
    #[test]
    fn a_reload_leads_to_the_table_of_a_start(files in prop::collection::vec(drawn(), 2..4)) {
        let mut b = Bench::new();
        for (groups, servers) in &files {
            b.load(groups, servers);
            b.later(Duration::from_secs(1));
            let mut fresh = Bench::new();
            fresh.load(groups, servers);
            fresh.later(Duration::from_secs(1));
            prop_assert_eq!(b.lines(), fresh.lines());
        }
        b.load(&[], &[]);
        prop_assert!(b.table.is_empty() && b.director.table().sizes().all(|n| n == 0));
    }
}

/// The address is in another group now: its service is never deleted, and its destinations change without a moment in which it has none.
#[test]
fn a_service_moves_from_one_virtual_server_to_another() {
    let group = |name: &str, hosts: &[u8]| ServerGroup {
        name: name.into(),
        entries: hosts.iter().map(|h| GroupEntry::Range([10, 77, 1, *h].into(), 0, 80)).collect(),
    };
    let of = |name: &str, host| VirtualServer { service: Service::Group(name.into()), ..web(&[real(host, 1)]) };
    let servers = [of("a", 11), of("b", 12)];
    for (before, after) in [([&[1][..], &[2, 3]], [&[1, 3][..], &[2]]), ([&[1, 3], &[2]], [&[1], &[2, 3]])] {
        let mut b = Bench::new();
        b.load(&[group("a", before[0]), group("b", before[1])], &servers);
        b.asked.clear();
        b.load(&[group("a", after[0]), group("b", after[1])], &servers);
        let svc = "Tcp 10.77.1.3:80";
        let (new, old) = if after[0].contains(&3) { (11, 12) } else { (12, 11) };
        assert_eq!(
            b.asked,
            [format!("New {svc} -> 10.77.0.{new}:80 w1"), format!("Delete {svc} -> 10.77.0.{old}:80 w1")]
        );
        // Verdicts of the one that had it do not reach it any more.
        b.asked.clear();
        b.verdict(usize::from(old == 12), 0, false);
        assert!(!b.asked.iter().any(|a| a.contains(svc)), "{:?}", b.asked);
    }
}

/// A weight that a program sets is what it was when a reload changes the weight of the file: no state between the two is seen.
#[test]
fn a_weight_that_replaces_that_of_the_file_outlives_a_reload() {
    let file = |weight| {
        let vs = web(&[real(11, weight)]);
        [VirtualServer {
            quorum: 4,
            sorry: Some(Box::new(Sorry { addr: ip("10.77.0.16"), port: 80, inhibit: false, method: Method::Dr })),
            ..vs
        }]
    };
    let mut b = Bench::new();
    b.load(&[], &file(10));
    b.result(0, 0, Standing { up: Some(true), weight: -3, replacing: 1, ..Standing::default() });
    assert!(b.lines().contains(&"-> 10.77.0.11:80 Route 7".to_owned()), "{:?}", b.lines());
    b.asked.clear();
    b.said.clear();
    b.happened.clear();
    b.standing = Standing { up: Some(true), weight: 4, replacing: 1, ..Standing::default() };
    b.load(&[], &file(3));
    assert_eq!((&b.asked, &b.said, b.happened.len()), (&Vec::new(), &Vec::new(), 0));
    // A verdict and a weight in one: drained, it is up, and the quorum is not there for a moment.
    b.result(0, 0, Standing { up: Some(false), weight: 4, replacing: 1, ..Standing::default() });
    b.said.clear();
    b.result(0, 0, Standing { up: Some(true), weight: -3, replacing: 1, ..Standing::default() });
    assert!(!b.said.iter().any(|s| s.contains("Gained quorum")), "{:?}", b.said);
}

// `quorum_up` may announce a route: it is not run while nothing can be served.
#[test]
fn no_quorum_is_gained_before_the_table_can_be_used() {
    let quorums = |b: &Bench| -> Vec<bool> {
        let of = |h: &Happened| match h {
            Happened::Told(t) if matches!(t.who, Subject::VirtualServer(_)) => Some(t.up),
            _ => None,
        };
        b.happened.iter().filter_map(of).collect()
    };
    let mut b = Bench::new();
    (b.faults.no_module, b.faults.no_modprobe) = (true, true);
    let other = VirtualServer { service: Service::Address(ip("10.77.1.2"), 80), ..web(&[real(12, 1)]) };
    let gone = VirtualServer { service: Service::Address(ip("10.77.1.3"), 80), ..web(&[real(13, 1)]) };
    b.load(&[], &[web(&[real(11, 1)]), other.clone(), gone]);
    b.later(Duration::from_secs(30));
    assert_eq!(quorums(&b), [false; 0], "{:?}", b.said);
    assert!(!b.said.iter().any(|s| s.contains("Gained quorum")), "{:?}", b.said);
    let why = |s: &String| s.contains("have no quorum") && s.contains("`modprobe ip_vs` ended with status 1");
    assert_eq!(b.said.iter().filter(|s| why(s)).count(), 1, "{:?}", b.said);
    // What nobody was told of is not lost, either: by its checks, and with its block.
    b.verdict(0, 0, false);
    b.verdict(0, 0, true);
    b.verdict(1, 0, false);
    b.load(&[], &[web(&[real(11, 1)]), other.clone()]);
    assert_eq!(quorums(&b), [false; 0], "{:?}", b.said);
    (b.faults.no_module, b.faults.no_modprobe) = (false, false);
    b.later(Duration::from_secs(60));
    assert_eq!(quorums(&b), [true]);
    assert_eq!(b.said.iter().filter(|s| s.contains("Gained quorum")).count(), 1, "{:?}", b.said);
    b.verdict(1, 0, true);
    b.verdict(0, 0, false);
    assert_eq!(quorums(&b), [true, true, false]);
    // One that stops without IPVS has nothing to take back.
    let mut b = Bench::new();
    (b.faults.no_module, b.faults.no_modprobe) = (true, true);
    b.load(&[], &[VirtualServer { omega: true, ..web(&[real(11, 1)]) }]);
    b.stop();
    assert_eq!(quorums(&b), [false; 0]);
    // Many are told a few in each turn, and all are.
    let mut b = Bench::new();
    let many: Vec<VirtualServer> = (1..=200)
        .map(|n| VirtualServer { service: Service::Address([10, 77, 2, n].into(), 80), ..web(&[real(11, 1)]) })
        .collect();
    b.load(&[], &many);
    assert_eq!(quorums(&b).len(), 200);
}

#[test]
fn what_did_not_change_has_its_time_and_reason_from_the_process_before() {
    let mut b = Bench::new();
    let file = [VirtualServer { quorum: 2, ..web(&[real(11, 1), real(12, 1), real(13, 1)]) }];
    b.load(&[], &file);
    b.standing = Standing { up: Some(true), ..Standing::default() };
    let born = b.now;
    b.later(Duration::from_secs(100));
    b.verdict(0, 0, false);
    let failed = b.now.mono;
    b.later(Duration::from_secs(100));
    b.verdict(0, 1, false);
    let lost = b.now.mono;
    b.later(Duration::from_secs(100));
    let (shots, untold) = b.director.since_shots(100);
    assert!(!untold && shots.len() == 3, "{shots:?}");
    assert_eq!(b.director.since_shots(2).0.len(), 2, "bounded");

    let mut next = Bench::new();
    next.now = b.now;
    next.director.inherit_since(shots, false);
    next.load(&[], &file);
    next.verdict(0, 0, false);
    // This one is back.
    next.verdict(0, 2, false);
    next.resume();
    let back = next.now.mono;
    let farm = next.director.farm();
    let vs = farm.get(farm.keys()[0]).expect("there");
    assert!(!vs.pool.is_up());
    assert_eq!(vs.since.mono, lost, "without its quorum since then");
    let of = |n: usize| (vs.changed(vs.reals[n]).0.mono, vs.changed(vs.reals[n]).1.to_owned());
    assert_eq!(of(0), (failed, "a test".to_owned()));
    assert!(of(1).0 <= born.mono, "up as it was configured: {:?}", of(1));
    assert_eq!(of(2), (back, "a test".to_owned()), "it failed in this process");
}

#[test]
fn only_what_comes_into_the_pool_or_leaves_it_is_said_to() {
    let said = |b: &mut Bench| std::mem::take(&mut b.said).into_iter().filter(|s| s.contains("ing service")).count();
    // The last ones stay.
    let mut b = Bench::new();
    b.load(&[], &[VirtualServer { panic_threshold: 100, ..web(&[real(11, 1), real(12, 1)]) }]);
    b.verdict(0, 0, false);
    assert_eq!((b.lines().len(), said(&mut b)), (3, 0));
    b.verdict(0, 0, true);
    assert_eq!((b.lines().len(), said(&mut b)), (3, 0));
    let told =
        b.happened.iter().filter(|h| matches!(h, Happened::Told(t) if matches!(t.who, Subject::RealServer { .. })));
    assert_eq!(told.count(), 2, "notified all the same");
    // One that was awaited, and fails.
    let mut b = Bench::new();
    let awaited = |host| RealServer { checks: vec![Check::default()], ..real(host, 1) };
    b.load(
        &[],
        &[VirtualServer { pace: Pace { alpha: Some(true), ..Pace::default() }, ..web(&[awaited(11), awaited(12)]) }],
    );
    b.verdict(0, 0, false);
    assert_eq!(said(&mut b), 0);
    b.verdict(0, 0, true);
    assert_eq!(said(&mut b), 1);
}

#[test]
fn a_reload_that_changes_three_of_300_servers_requests_three_changes() {
    let servers = |changed: i32| -> Vec<RealServer> {
        let one = |n: u16| {
            let [high, low] = n.to_be_bytes();
            let weight = if n % 100 == 50 { changed } else { 1 };
            RealServer { addr: [10, 78, high, low].into(), port: 80, weight: Some(weight), ..RealServer::default() }
        };
        (0..300).map(one).collect()
    };
    let mut b = Bench::new();
    b.load(&[], &[web(&servers(1))]);
    assert_eq!(b.lines().len(), 301);
    b.asked.clear();
    b.load(&[], &[web(&servers(7))]);
    b.later(Duration::from_secs(60));
    assert_eq!(b.asked.len(), 3, "{:?}", b.asked);
    assert!(b.asked.iter().all(|a| a.starts_with("Set ") && a.ends_with("w7")), "{:?}", b.asked);
}
