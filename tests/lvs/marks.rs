//! `nftables_ipvs`: groups as services by a mark; which marks, and which packets have them. Read first: `kernel.rs`, `src/lvs/marks.rs`.

use crate::farm::{ip, real, web};
use crate::kernel::Bench;
use kalived::config::model::lvs::{GroupEntry, Method, Protocol, ServerGroup, Service, Tunnel, VirtualServer};
use kalived::lvs::marks::add;
use kalived::wire::netlink::ipvs::Protocol as Wire;
use kalived::wire::netlink::nft::{MarkKey, Marked, Marks};
use proptest::prelude::*;
use std::net::IpAddr;

fn bench() -> Bench {
    let mut b = Bench::new();
    b.more.nftables_ipvs = Some("keepalived_ipvs".into());
    b
}

fn group(name: &str, entries: &[(&str, u32, u16)]) -> ServerGroup {
    let entries = entries.iter().map(|(first, more, port)| GroupEntry::Range(ip(first), *more, *port)).collect();
    ServerGroup { name: name.into(), entries }
}

fn of(name: &str) -> VirtualServer {
    VirtualServer { service: Service::Group(name.into()), ..web(&[real(11, 1)]) }
}

fn udp(name: &str) -> VirtualServer {
    VirtualServer { protocol: Some(Protocol::Udp), ..of(name) }
}

fn text(marks: &Marks) -> Vec<String> {
    let one = |(k, m): (&MarkKey, &Marked)| format!("{:?} {}-{}:{} {}", k.protocol, k.first, m.last, k.port, m.mark);
    marks.iter().map(one).collect()
}

/// The marks of the configuration that was read.
fn marked(b: &mut Bench) -> Vec<String> {
    text(&b.director.take_marks().expect("a configuration was read to its end"))
}

/// The services.
fn services(b: &Bench) -> Vec<String> {
    b.lines().into_iter().filter(|l| !l.starts_with("->")).collect()
}

#[test]
fn a_group_is_one_service_for_each_family_and_protocol() {
    let mut b = bench();
    let groups = [
        group("web", &[("10.77.1.1", 0, 80), ("10.77.1.2", 3, 80), ("10.77.2.1", 0, 0)]),
        group("both", &[("10.77.3.1", 0, 80), ("fd77::10", 16, 80)]),
        group("unused", &[("10.77.9.1", 0, 80)]),
    ];
    let both = VirtualServer { method: Method::Tun(Tunnel::Ipip), ..of("both") };
    b.load(&groups, &[of("web"), udp("web"), both]);
    assert_eq!(services(&b), ["FWM 1000 rr", "FWM 1001 rr", "FWM 1002 rr", "FWM 1002 IPv6 rr"]);
    assert_eq!(b.lines()[1], "-> 10.77.0.11:0 Route 1");
    assert_eq!(
        marked(&mut b),
        [
            "Tcp 10.77.2.1-10.77.2.1:0 1000",
            "Tcp 10.77.1.1-10.77.1.1:80 1000",
            "Tcp 10.77.1.2-10.77.1.5:80 1000",
            "Tcp 10.77.3.1-10.77.3.1:80 1002",
            "Udp 10.77.2.1-10.77.2.1:0 1001",
            "Udp 10.77.1.1-10.77.1.1:80 1001",
            "Udp 10.77.1.2-10.77.1.5:80 1001",
            "Tcp fd77::10-fd77::20:80 1002",
        ]
    );
    assert_eq!(
        b.director.farm().keys().iter().map(|vs| b.director.farm().mark(*vs)).collect::<Vec<_>>(),
        [Some(1000), Some(1001), Some(1002)]
    );
    // Only NAT changes a port.
    let mut b = bench();
    b.load(&groups, &[VirtualServer { method: Method::Nat, ..of("web") }]);
    assert_eq!(b.lines(), ["FWM 1000 rr", "-> 10.77.0.11:80 Masq 1"]);
    b.stop();
    assert!(b.lines().is_empty());
}

#[test]
fn a_family_that_no_server_can_serve_is_not_marked() {
    let mut b = bench();
    b.load(&[group("both", &[("10.77.3.1", 0, 80), ("fd77::10", 0, 80)])], &[of("both")]);
    assert_eq!(services(&b), ["FWM 1000 rr"]);
    assert_eq!(marked(&mut b), ["Tcp 10.77.3.1-10.77.3.1:80 1000"]);
}

#[test]
fn without_the_setting_and_with_a_mark_of_its_own_each_member_is_a_service() {
    let mut own = group("own", &[("10.77.1.1", 1, 80)]);
    own.entries.push(GroupEntry::Mark(7, None));
    let mut b = bench();
    b.load(&[own.clone()], &[of("own")]);
    let each = ["Tcp 10.77.1.1:80 rr", "Tcp 10.77.1.2:80 rr", "FWM 7 rr"];
    assert_eq!((services(&b), marked(&mut b).len()), (each.map(str::to_owned).to_vec(), 0));
    // The setting comes and goes with a reload.
    own.entries.pop();
    b.load(&[own.clone()], &[of("own")]);
    assert_eq!((services(&b), marked(&mut b).len()), (vec!["FWM 1000 rr".to_owned()], 1));
    b.more.nftables_ipvs = None;
    b.load(&[own], &[of("own")]);
    assert_eq!((services(&b), marked(&mut b).len()), (each[..2].iter().map(|s| (*s).to_owned()).collect(), 0));
    assert_eq!(b.director.mark_shots(9), []);
}

#[test]
fn marks_of_the_file_are_left_out_and_those_of_virtual_servers_stay() {
    let all = ["a", "b", "c"].map(|name| group(name, &[(&format!("10.77.1.{}", name.as_bytes()[0]), 0, 80)]));
    let by_mark = |m| VirtualServer { service: Service::Mark(m), protocol: None, ..of("a") };
    let mut b = bench();
    // The mark comes last in the file.
    b.load(&all, &[of("b"), of("c"), by_mark(1001)]);
    let marks = |b: &Bench| -> Vec<(String, u32)> {
        b.director.mark_shots(9).into_iter().map(|(id, m)| (id.replace("group ", "").replace(" tcp", ""), m)).collect()
    };
    assert_eq!(marks(&b), [("b".into(), 1000), ("c".into(), 1002)]);
    // A new one does not change the others.
    b.load(&all, &[of("a"), of("b"), of("c"), by_mark(1001)]);
    assert_eq!(marks(&b), [("a".into(), 1003), ("b".into(), 1000), ("c".into(), 1002)]);
    // Over an upgrade, too, whatever the order in the file.
    let mut next = bench();
    next.table = b.table.clone();
    next.director.inherit_marks(b.director.mark_shots(9));
    next.load(&all, &[of("c"), of("b"), of("a"), by_mark(1001)]);
    assert_eq!(marks(&next), marks(&b));
    assert!(next.asked.is_empty(), "{:?}", next.asked);
    // One that is removed loses its service and its mark, which is free from the next configuration on.
    b.load(&all, &[of("a"), of("c")]);
    assert_eq!(services(&b), ["FWM 1002 rr", "FWM 1003 rr"]);
    assert_eq!(marked(&mut b).len(), 2);
    b.load(&all, &[of("a"), udp("a"), of("c")]);
    assert_eq!(services(&b), ["FWM 1000 rr", "FWM 1002 rr", "FWM 1003 rr"]);
    // The file uses a mark that a group has: the group yields.
    b.load(&all, &[by_mark(1003), of("a"), of("c")]);
    assert_eq!(marks(&b), [("a".into(), 1001), ("c".into(), 1002)]);
    assert_eq!(services(&b), ["FWM 1001 rr", "FWM 1002 rr", "FWM 1003 rr"]);
    b.stop();
    assert!(b.director.idle() && b.lines().is_empty());
}

#[test]
fn the_first_mark_is_the_file_s_and_the_last_number_is_no_end() {
    let mut b = bench();
    b.more.nftables_ipvs_start_fwmark = u32::MAX;
    b.load(&[group("a", &[("10.77.1.1", 0, 80)])], &[of("a"), udp("a")]);
    assert_eq!(services(&b), ["FWM 1 rr", "FWM 4294967295 rr"]);
}

#[test]
fn an_address_of_two_groups_is_that_of_the_first() {
    let mut b = bench();
    let groups = [group("few", &[("10.77.1.3", 1, 80)]), group("many", &[("10.77.1.1", 8, 80), ("10.77.1.3", 0, 81)])];
    b.load(&groups, &[of("few"), of("many")]);
    assert_eq!(
        marked(&mut b),
        [
            "Tcp 10.77.1.1-10.77.1.2:80 1001",
            "Tcp 10.77.1.3-10.77.1.4:80 1000",
            "Tcp 10.77.1.5-10.77.1.9:80 1001",
            "Tcp 10.77.1.3-10.77.1.3:81 1001",
        ]
    );
    let said = b.said.iter().filter(|s| s.contains("1 members of its group")).count();
    assert_eq!(said, 1, "{:?}", b.said);
}

proptest! {
    /// Every address has the mark of the first range with it, and no two ranges overlap.
    #[test]
    fn ranges_in_any_order_are_disjoint_and_the_first_counts(all in prop::collection::vec((0u32..40, 0u32..12, 1u32..4), 1..12)) {
        let at = |n: u32| IpAddr::from(u32::MAX.wrapping_sub(50).wrapping_add(n).to_be_bytes());
        let key = |n| MarkKey { v6: false, protocol: Wire::Tcp, port: 80, first: at(n) };
        let mut marks = Marks::new();
        let mut model = [0u32; 52];
        for (first, more, mark) in all {
            let alone = add(&mut marks, key(first), at(first + more), mark);
            let there = &mut model[first as usize..=(first + more) as usize];
            prop_assert_eq!(alone, there.iter().all(|m| [0, mark].contains(m)));
            there.iter_mut().filter(|m| **m == 0).for_each(|m| *m = mark);
        }
        let mut last = None;
        for (k, m) in &marks {
            prop_assert!(last < Some(k.first) && k.first <= m.last);
            last = Some(m.last);
        }
        for n in 0..52 {
            let found = marks.iter().find(|(k, m)| k.first <= at(n) && at(n) <= m.last).map_or(0, |(_, m)| m.mark);
            prop_assert_eq!(found, model.get(n as usize).copied().filter(|_| n < 51).unwrap_or(0), "{}", n);
        }
    }
}
