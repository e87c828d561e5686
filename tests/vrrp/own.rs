//! `use_vmac`: the own interface of a virtual router is made, taken up and down, put back, and removed, and the sysctls that were changed
//! for it are restored. Read first: `bench.rs`, `src/vmac/`.

use crate::bench::{Bench, ETH0, OURS, Out, PEER, addr, ip, link, v2, vip};
use kalived::config::model::vrrp::OwnInterface;
use kalived::config::model::{Config, Family, InstanceConfig, Version};
use kalived::effect::{Effect, GuardFx, NetOp};
use kalived::event::{Event, GuardEv, Link, NetEv};
use kalived::knob::{Knob, Set};
use kalived::net::{Upon, UponKind};
use kalived::snapshot::Snapshot;
use kalived::time::Duration;
use kalived::vrrp::State;
use kalived::world::World;
use std::collections::BTreeSet;
use std::net::IpAddr;

const MAC: [u8; 6] = [0, 0, 0x5e, 0, 1, 51];
const NAME: &str = "vrrp.51";

fn vmac(cfg: InstanceConfig) -> InstanceConfig {
    let mut cfg = cfg;
    let name = Some(NAME.into());
    cfg.more.own_interface = Some(Box::new(OwnInterface { name, ..OwnInterface::default() }));
    cfg
}

fn v6() -> InstanceConfig {
    let mut cfg = InstanceConfig::new("VI_1", "eth0", 51, Family::V6);
    cfg.vips = vec![vip("fe80::64"), vip("2001:db8::64")];
    vmac(cfg)
}

fn upon() -> Option<Upon> {
    Some(Upon { kind: UponKind::Macvlan, mode: Upon::MACVLAN_VEPA, parent: ETH0 })
}

/// The interface, if it is there.
fn own(b: &Bench) -> Option<&Link> {
    b.links.iter().find(|l| l.name == NAME)
}
fn is_up(b: &Bench) -> bool {
    own(b).expect("it is there").up
}
fn addrs_on(b: &Bench, ifindex: u32) -> Vec<IpAddr> {
    b.kernel.iter().filter(|a| a.ifindex == ifindex).map(|a| a.addr).collect()
}
fn on_own(b: &Bench) -> Vec<IpAddr> {
    addrs_on(b, own(b).expect("it is there").ifindex)
}
/// A Backup whose Master lives, a while after its start.
fn backup(cfg: InstanceConfig) -> Bench {
    let peer = if cfg.family == Family::V4 { PEER } else { "fe80::30" };
    let mut b = Bench::new(cfg.clone());
    b.rx(&cfg, peer, 200, cfg.advert_int);
    b.run(Duration::from_millis(100));
    assert_eq!(b.state(), State::Backup, "{:?}", b.log);
    b
}
/// The Master stops sending.
fn take_over(b: &mut Bench) {
    b.own_asked.clear();
    b.out.clear();
    b.log.clear();
    b.run(Duration::from_secs(4));
    assert_eq!(b.state(), State::Master);
}

#[test]
fn it_is_made_down_with_the_virtual_mac_and_the_addresses_wait_on_it() {
    let b = backup(vmac(v2()));
    let link = own(&b).expect("made");
    assert_eq!((link.mac, link.upon, link.up, link.ours), (Some(MAC), upon(), false, true));
    assert_eq!(on_own(&b), [ip("198.18.0.100")]);
    assert_eq!(addrs_on(&b, ETH0), [ip(OURS), ip("fe80::20")], "nothing on the interface below");
    assert_eq!((b.frames(), b.adverts()), (0, 0));
    // The sysctls of the interface, and of the one below.
    let of = |dev: &str| -> Vec<Set> { b.knobs.iter().filter(|k| k.1 == dev).flat_map(|k| k.2.clone()).collect() };
    assert!(of(NAME).contains(&Set::to(Knob::ArpIgnore, 1)) && of(NAME).contains(&Set::to(Knob::DisableIpv6, 1)));
    let below = of("eth0");
    assert!(below.contains(&Set { knob: Knob::ArpIgnore, to: 1, only: Some(0) }), "{below:?}");
    assert!(below.contains(&Set::to(Knob::ArpAnnounce, 2)));
}

#[test]
fn to_become_master_is_one_request_and_to_cease_another_one() {
    let mut cfg = vmac(v2());
    cfg.excluded = (1..=200).map(|n| vip(&format!("198.18.1.{n}"))).collect();
    let mut b = backup(cfg.clone());
    assert_eq!(on_own(&b).len(), 201);
    b.wanted.clear();
    take_over(&mut b);
    assert!(is_up(&b));
    assert!(matches!(b.own_asked[..], [NetOp::LinkSet { up: true, .. }]), "{:?}", b.own_asked);
    assert!(b.wanted.is_empty(), "{:?}", b.wanted);
    // The advert leaves first, from the virtual address, and each address is announced from it.
    assert!(matches!(b.out[0], Out::Advert(_)), "{:?}", b.out[0]);
    assert!(b.from.iter().all(|mac| *mac == Some(MAC)) && !b.from.is_empty());
    let frames = b.out.iter().filter_map(|o| if let Out::Frame(f) = o { Some(f[28..32].to_vec()) } else { None });
    let first: BTreeSet<Vec<u8>> = frames.take(201).collect();
    assert_eq!(first.len(), 201, "each address once before any twice");
    assert!(b.out.iter().all(|o| !matches!(o, Out::Frame(f) if f[6..12] != MAC)));
    b.own_asked.clear();
    b.out.clear();
    b.rx(&cfg, PEER, 200, cfg.advert_int);
    assert_eq!((b.state(), is_up(&b)), (State::Backup, false));
    assert!(matches!(b.own_asked[..], [NetOp::LinkSet { up: false, .. }]), "{:?}", b.own_asked);
    assert!(b.out.iter().all(|o| !matches!(o, Out::Del(_))), "{:?}", b.out);
    assert_eq!(on_own(&b).len(), 201);
}

#[test]
fn adverts_leave_from_the_interface_below_where_the_file_says_so() {
    let mut base = vmac(v2());
    base.more.vmac_xmit_base = true;
    let mut unicast = vmac(v2());
    unicast.more.unicast_peer =
        Some(vec![kalived::config::model::vrrp::Peer { addr: ip(PEER), min_ttl: None, max_ttl: None }]);
    for cfg in [base, unicast] {
        let mut b = Bench::new(cfg);
        b.run(Duration::from_secs(6));
        assert_eq!((b.state(), is_up(&b)), (State::Master, true));
        assert!(b.from.iter().all(Option::is_none) && !b.from.is_empty());
    }
}

#[test]
fn link_local_addresses_come_and_go_and_the_others_stay() {
    let cfg = v6();
    let mut b = backup(cfg.clone());
    assert_eq!(own(&b).expect("made").mac, Some([0, 0, 0x5e, 0, 2, 51]));
    assert!(b.knobs.iter().any(|k| k.2.contains(&Set::to(Knob::KeepAddrOnDown, 1))));
    assert!(b.knobs.iter().all(|k| k.1 != "eth0"), "IPv6 needs nothing of the interface below: {:?}", b.knobs);
    assert_eq!(on_own(&b), [ip("2001:db8::64")]);
    for _ in 0..2 {
        take_over(&mut b);
        assert_eq!((is_up(&b), on_own(&b).len()), (true, 2));
        b.rx(&cfg, "fe80::30", 200, cfg.advert_int);
        b.run(Duration::from_millis(50));
        assert_eq!((b.state(), is_up(&b)), (State::Backup, false));
        assert_eq!(on_own(&b), [ip("2001:db8::64")]);
        assert_eq!(b.logged("by another program"), 0, "{:?}", b.log);
    }
}

#[test]
fn who_takes_it_up_or_down_is_contradicted_at_once() {
    let mut b = backup(vmac(v2()));
    let meddle = |b: &mut Bench, up: bool| {
        let l = b.links.iter_mut().find(|l| l.name == NAME).expect("there");
        (l.up, l.running) = (up, up);
        let l = l.clone();
        b.event(Event::Net(NetEv::LinkNew(l)));
        b.run(Duration::from_millis(6));
    };
    meddle(&mut b, true);
    assert!(!is_up(&b));
    assert_eq!((b.world.own_restored(), b.logged("was taken up by another program")), (1, 1), "{:?}", b.log);
    take_over(&mut b);
    b.run(Duration::from_secs(20));
    b.out.clear();
    meddle(&mut b, false);
    assert!(is_up(&b));
    assert_eq!((b.world.own_restored(), b.logged("was taken down by another program")), (2, 1), "{:?}", b.log);
    assert!(b.frames() > 0, "announced again");
}

/// It is up already, and the kernel reports no change: its addresses are announced.
#[test]
fn found_up_at_a_takeover_its_addresses_are_announced() {
    let mut b = backup(vmac(v2()));
    b.run(Duration::from_secs(3));
    b.answer = false;
    let l = b.links.iter_mut().find(|l| l.name == NAME).expect("there");
    (l.up, l.running) = (true, true);
    let l = l.clone();
    b.event(Event::Net(NetEv::LinkNew(l)));
    b.out.clear();
    b.run(Duration::from_secs(1));
    assert_eq!(b.state(), State::Master);
    assert!(b.frames() > 0, "{:?}", b.log);
}

#[test]
fn deleted_by_somebody_else_it_is_made_again_as_it_was() {
    let mut b = backup(vmac(v2()));
    take_over(&mut b);
    b.out.clear();
    let ifindex = own(&b).expect("there").ifindex;
    b.links.retain(|l| l.ifindex != ifindex);
    b.kernel.retain(|a| a.ifindex != ifindex);
    b.event(Event::Net(NetEv::LinkDel { ifindex }));
    b.run(Duration::from_millis(50));
    assert_eq!((b.state(), is_up(&b)), (State::Master, true), "{:?}", b.log);
    assert_eq!(on_own(&b), [ip("198.18.0.100")]);
    assert!(b.frames() > 0, "announced again");
    assert_eq!(b.logged("was deleted by another program"), 1, "{:?}", b.log);
}

/// Renamed, or with another Ethernet address: made again, and the other one is removed, because two with one address cannot both be up.
#[test]
fn changed_by_somebody_else_it_is_made_again_as_it_was() {
    let changes: [fn(&mut Link); 2] = [|l| l.name = "foo".into(), |l| l.mac = Some([2, 0, 0, 0, 0, 9])];
    for change in changes {
        for master in [true, false] {
            let mut b = backup(vmac(v2()));
            if master {
                take_over(&mut b);
            }
            let ifindex = own(&b).expect("there").ifindex;
            for _ in 0..3 {
                let there = b.links.iter_mut().find(|l| l.ifindex == ifindex);
                if let Some(l) = there {
                    change(l);
                    let l = l.clone();
                    b.event(Event::Net(NetEv::LinkNew(l)));
                }
                b.run(Duration::from_millis(500));
            }
            assert_eq!(is_up(&b), master, "{:?}", b.log);
            assert_eq!((own(&b).expect("made").mac, on_own(&b)), (Some(MAC), vec![ip("198.18.0.100")]), "{:?}", b.log);
            assert!(b.links.iter().all(|l| l.ifindex != ifindex), "{:?}", b.links);
            assert_eq!(b.logged("; making it again"), 1, "{:?}", b.log);
            b.term();
            b.run(Duration::from_secs(1));
            assert!(own(&b).is_none() && b.links.len() == 1, "{:?}", b.links);
        }
    }
}

#[test]
fn a_stop_leaves_nothing() {
    for master in [false, true] {
        let mut b = backup(vmac(v2()));
        if master {
            take_over(&mut b);
        }
        b.knobs.clear();
        b.term();
        b.run(Duration::from_secs(3));
        assert!(own(&b).is_none() && b.kernel.len() == 2, "{:?}", b.kernel);
        let set = |knob, only| Set { knob, to: 0, only: Some(only) };
        let back: Vec<Set> = b.knobs.iter().filter(|k| k.1 == "eth0").flat_map(|k| k.2.clone()).collect();
        assert_eq!(back, [set(Knob::ArpIgnore, 1), set(Knob::ArpAnnounce, 2)], "as it was, unless somebody changed it");
        assert!(matches!(b.out.last(), Some(Out::Exit(_))), "{:?}", b.out.last());
    }
}

#[test]
fn the_end_waits_until_the_sysctls_are_put_back() {
    let mut b = backup(vmac(v2()));
    b.answer_knobs = false;
    b.knobs.clear();
    b.out.clear();
    b.term();
    b.run(Duration::from_millis(500));
    assert!(!b.out.iter().any(|o| matches!(o, Out::Exit(_))));
    let job = b.knobs[0].0;
    b.event(Event::Helper(kalived::event::HelperEv::Knobs { job, before: Vec::new(), failed: None }));
    b.run(Duration::from_millis(1));
    assert!(b.out.iter().any(|o| matches!(o, Out::Exit(_))), "{:?}", b.out);
}

#[test]
fn one_that_somebody_else_made_is_used_and_left_down_and_alone() {
    let mut b = Bench::cold(vec![vmac(v2())]);
    b.links.push(Link { mac: Some(MAC), upon: upon(), ..link(9, NAME, true) });
    b.kernel.push(addr(9, "198.18.0.100", 32, 0));
    b.start();
    b.run(Duration::from_secs(6));
    assert_eq!((b.state(), is_up(&b), on_own(&b).len()), (State::Master, true, 1), "{:?}", b.log);
    b.term();
    b.run(Duration::from_secs(3));
    let left = own(&b).expect("not deleted");
    assert_eq!((left.up, left.ours, on_own(&b)), (false, false, vec![]));
}

#[test]
fn a_name_that_is_taken_is_a_fault_with_its_reason_until_it_is_free() {
    let mut b = Bench::cold(vec![vmac(v2())]);
    b.links.push(link(9, NAME, true));
    b.start();
    b.run(Duration::from_secs(6));
    assert_eq!(b.state(), State::Fault, "{:?}", b.log);
    assert!(b.view().reasons.contains("interface vrrp.51 cannot be made"), "{}", b.view().reasons);
    assert_eq!(b.logged("an interface of that name is there"), 1, "{:?}", b.log);
    assert!(is_up(&b), "not touched");
    b.links.retain(|l| l.ifindex != 9);
    b.event(Event::Net(NetEv::LinkDel { ifindex: 9 }));
    b.run(Duration::from_secs(6));
    assert_eq!((b.state(), is_up(&b)), (State::Master, true), "{:?}", b.log);
}

#[test]
fn what_a_killed_process_left_is_taken_down_first_and_made_anew_if_it_does_not_fit() {
    // `fresh`: killed after it had made the interface, and before it gave it the alias.
    let leftover = |mac, fresh| Link { mac: Some(mac), upon: upon(), ours: true, fresh, ..link(9, NAME, true) };
    for (mac, fresh, ifindex) in [(MAC, false, 9), (MAC, true, 9), ([0, 0, 0x5e, 0, 1, 50], false, 0)] {
        let cfg = vmac(v2());
        let mut b = Bench::cold(vec![cfg.clone()]);
        b.links.push(leftover(mac, fresh));
        b.kernel.push(addr(9, "198.18.0.100", 32, kalived::effect::ADDR_PROTO));
        b.start();
        b.rx(&cfg, PEER, 200, cfg.advert_int);
        b.run(Duration::from_millis(100));
        assert_eq!((b.state(), is_up(&b)), (State::Backup, false), "{:?}", b.log);
        let l = own(&b).expect("there");
        assert_eq!((l.mac, l.ifindex == 9, l.fresh), (Some(MAC), ifindex == 9, false));
        assert_eq!(on_own(&b), [ip("198.18.0.100")]);
        b.term();
        b.run(Duration::from_secs(3));
        assert!(own(&b).is_none());
    }
}

/// Another process on the same kernel, with this configuration, after one that left `s`.
fn successor(b: &Bench, instances: Vec<InstanceConfig>, s: &Snapshot) -> Bench {
    let mut new = Bench::of(World::standby(Config { instances, ..Config::default() }));
    (new.now, new.links, new.kernel) = (b.now, b.links.clone(), b.kernel.clone());
    new.start();
    new.event(Event::Guard(GuardEv::Go { snapshot: Some(Box::new(s.clone())), dead_since: None }));
    new
}

#[test]
fn the_next_process_goes_on_with_it_and_knows_what_the_sysctls_were() {
    let cfg = vmac(v2());
    let mut b = backup(cfg.clone());
    take_over(&mut b);
    b.event(Event::Guard(GuardEv::Freeze));
    let s = b.world.last_snapshot(b.now);
    assert_eq!((s.own.len(), s.below.len()), (1, 1));
    let mut new = successor(&b, vec![cfg], &s);
    assert_eq!(new.state(), State::Master, "{:?}", new.log);
    new.run(Duration::from_millis(100));
    assert!(is_up(&new) && on_own(&new).len() == 1);
    let moves = |op: &NetOp| matches!(op, NetOp::LinkSet { up: false, .. } | NetOp::LinkAdd(_) | NetOp::LinkDel { .. });
    assert!(!new.own_asked.iter().any(moves), "{:?}", new.own_asked);
    assert!(!new.out.iter().any(|o| matches!(o, Out::Add(_) | Out::Del(_))), "{:?}", new.out);
    // It finds 1 and 2, and puts back what the first process found.
    new.knobs.clear();
    new.term();
    new.run(Duration::from_secs(3));
    assert!(
        new.knobs.iter().any(|k| k.2.contains(&Set { knob: Knob::ArpIgnore, to: 0, only: Some(1) })),
        "{:?}",
        new.knobs
    );
}

#[test]
fn what_the_next_configuration_does_not_have_goes() {
    let mut b = backup(vmac(v2()));
    take_over(&mut b);
    b.event(Event::Guard(GuardEv::Freeze));
    let s = b.world.last_snapshot(b.now);
    let mut new = successor(&b, vec![v2()], &s);
    new.run(Duration::from_millis(100));
    assert!(own(&new).is_none(), "{:?}", new.log);
    assert!(new.knobs.iter().any(|k| k.1 == "eth0"), "its sysctls are put back");
}

#[test]
fn a_frozen_process_without_a_successor_removes_it() {
    let mut b = backup(vmac(v2()));
    take_over(&mut b);
    b.event(Event::Guard(GuardEv::Freeze));
    for _ in 0..20 {
        b.run(Duration::from_secs(1));
        if b.asked.iter().any(|e| matches!(e, Effect::Guard(GuardFx::LookForSuccessor))) {
            b.asked.clear();
            b.event(Event::Guard(GuardEv::Successor { in_charge: false }));
        }
    }
    assert!(own(&b).is_none() && b.kernel.len() == 2, "{:?}", b.kernel);
    assert!(b.out.iter().any(|o| matches!(o, Out::Exit(_))));
}

fn reload(b: &mut Bench, instances: Vec<InstanceConfig>) {
    let config = Config { instances, ..Config::default() };
    b.event(Event::Guard(GuardEv::Config(Box::new(config))));
    b.run(Duration::from_millis(50));
    let done = |e: &Effect| matches!(e, Effect::Guard(GuardFx::Reloaded(r)) if r.done);
    assert!(b.asked.drain(..).any(|e| done(&e)), "{:?}", b.log);
}

#[test]
fn a_reload_that_takes_it_out_removes_it_and_one_that_keeps_it_does_not_touch_it() {
    let cfg = vmac(v2());
    let mut b = backup(cfg.clone());
    take_over(&mut b);
    let ifindex = own(&b).expect("there").ifindex;
    // More addresses, another priority: it stays as it is.
    let mut more = cfg.clone();
    more.priority = 120;
    more.excluded = vec![vip("198.18.0.101")];
    b.own_asked.clear();
    reload(&mut b, vec![more.clone()]);
    assert_eq!((b.state(), own(&b).map(|l| l.ifindex), is_up(&b)), (State::Master, Some(ifindex), true));
    assert_eq!((on_own(&b).len(), b.own_asked.len()), (2, 0), "{:?}", b.own_asked);
    reload(&mut b, vec![cfg.clone()]);
    assert_eq!(on_own(&b), [ip("198.18.0.100")]);
    // Of a Backup as well.
    b.rx(&cfg, PEER, 200, cfg.advert_int);
    reload(&mut b, vec![more]);
    assert_eq!((b.state(), on_own(&b).len(), is_up(&b)), (State::Backup, 2, false));
    reload(&mut b, vec![cfg]);
    assert_eq!(on_own(&b), [ip("198.18.0.100")]);
    // Out.
    reload(&mut b, vec![v2()]);
    assert!(own(&b).is_none(), "{:?}", b.own_asked);
    b.run(Duration::from_secs(6));
    assert_eq!((b.state(), addrs_on(&b, ETH0).len()), (State::Master, 3));
    b.run(Duration::from_secs(1));
    assert!(b.from.last().is_some_and(Option::is_none));
}

#[test]
fn nothing_grows_from_takeover_to_takeover() {
    let cfg = vmac(InstanceConfig { version: Version::V3, ..v2() });
    let mut b = backup(cfg.clone());
    let mut sizes = Vec::new();
    for _ in 0..5 {
        take_over(&mut b);
        b.rx(&cfg, PEER, 200, cfg.advert_int);
        b.run(Duration::from_millis(100));
        sizes.push(b.world.sizes());
    }
    assert!(sizes.windows(2).all(|w| w[0] == w[1]), "{sizes:?}");
}

#[test]
fn its_address_does_not_count_as_there_while_it_is_down() {
    let cfg = vmac(v2());
    let mut b = backup(cfg.clone());
    // The address owner advertises from the virtual address: the advert is received once, by the ordinary socket.
    let before = b.view().stats.advert_rcvd;
    let sock = b.sock.expect("a socket");
    let bytes = crate::bench::advert(&cfg, "198.18.0.100", 255, cfg.advert_int);
    let meta = kalived::event::RxMeta { src: ip("198.18.0.100"), dst: None, hop_limit: None };
    b.event(Event::Sock(kalived::event::SockEv::LocalDatagram { sock, meta, age: Duration::ZERO, bytes: &bytes }));
    assert_eq!(b.view().stats.advert_rcvd, before, "the ordinary socket delivers it");
    take_over(&mut b);
    b.event(Event::Sock(kalived::event::SockEv::LocalDatagram { sock, meta, age: Duration::ZERO, bytes: &bytes }));
    assert_eq!(b.view().stats.advert_rcvd, before + 1);
}
