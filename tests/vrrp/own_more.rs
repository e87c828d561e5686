//! Interfaces that addresses have of their own (`use_vmac` in an address line, `use_vmac_addr`), announcements from interfaces that adverts do
//! not leave from (`garp_extra_if`), and sysctls of interfaces and of the host (`promote_secondaries`, `disable_local_igmp`).

use crate::bench::{Bench, ETH0, Out, PEER, ip, link, v2, vip};
use kalived::config::model::global::ExtraGarp;
use kalived::config::model::vrrp::OwnInterface;
use kalived::config::model::{Config, InstanceConfig, Vip, VipMore};
use kalived::effect::NetOp;
use kalived::event::{Event, GuardEv, HelperEv, Link, NetEv};
use kalived::exit::ExitCode;
use kalived::knob::{Knob, Set};
use kalived::net::{Upon, UponKind};
use kalived::time::Duration;
use kalived::vrrp::State;
use kalived::world::World;
use std::net::IpAddr;

const MAC: [u8; 6] = [0, 0, 0x5e, 0, 1, 51];
const MAC6: [u8; 6] = [0, 0, 0x5e, 0, 2, 51];
const ETH1: u32 = 7;

fn on(addr: &str, dev: Option<&str>, vmac: Option<&str>) -> Vip {
    let more = vmac.map(|name| Box::new(VipMore { vmac: Some(name.into()), ..VipMore::default() }));
    Vip { dev: dev.map(str::to_owned), more, ..vip(addr) }
}

/// An address on the interface of the instance, one on a macvlan upon eth1, and one of the other family.
fn cfg() -> InstanceConfig {
    let mut cfg = v2();
    cfg.excluded =
        vec![on("198.19.0.1", Some("eth1"), Some("vrrp.51")), on("2001:db8::64", Some("eth1"), Some("vrrp6.51"))];
    cfg
}

fn started(cfg: &InstanceConfig) -> Bench {
    let mut b = Bench::cold(vec![cfg.clone()]);
    b.links.push(link(ETH1, "eth1", true));
    b.start();
    b.rx(cfg, PEER, 200, cfg.advert_int);
    b.run(Duration::from_millis(100));
    assert_eq!(b.state(), State::Backup, "{:?}", b.log);
    b
}

fn take_over(b: &mut Bench) {
    b.own_asked.clear();
    b.out.clear();
    b.wanted.clear();
    b.run(Duration::from_secs(4));
    assert_eq!(b.state(), State::Master, "{:?}", b.log);
}

fn named<'a>(b: &'a Bench, name: &str) -> &'a Link {
    b.links.iter().find(|l| l.name == name).unwrap_or_else(|| panic!("no {name}: {:?}", b.links))
}
fn addrs_on(b: &Bench, name: &str) -> Vec<IpAddr> {
    let ifindex = named(b, name).ifindex;
    b.kernel.iter().filter(|a| a.ifindex == ifindex).map(|a| a.addr).collect()
}
fn frames_from(b: &Bench, mac: [u8; 6]) -> usize {
    b.out.iter().filter(|o| matches!(o, Out::Frame(f) if f[6..12] == mac)).count()
}

#[test]
fn each_interface_and_family_has_one_and_they_go_up_and_down_with_the_state() {
    let cfg = cfg();
    let mut b = started(&cfg);
    let upon = Some(Upon { kind: UponKind::Macvlan, mode: Upon::MACVLAN_VEPA, parent: ETH1 });
    for (name, mac, address) in [("vrrp.51", MAC, "198.19.0.1"), ("vrrp6.51", MAC6, "2001:db8::64")] {
        let l = named(&b, name);
        assert_eq!((l.mac, l.upon, l.up, l.ours), (Some(mac), upon, false, true));
        assert_eq!(addrs_on(&b, name), [ip(address)], "it waits there");
    }
    assert!(!b.kernel.iter().any(|a| a.addr == ip("198.18.0.100")), "the other one comes with the state");
    let of = |dev: &str| -> Vec<Set> { b.knobs.iter().filter(|k| k.1 == dev).flat_map(|k| k.2.clone()).collect() };
    assert!(of("eth1").contains(&Set::to(Knob::ArpAnnounce, 2)) && of("eth0").is_empty());
    for _ in 0..2 {
        take_over(&mut b);
        assert!(named(&b, "vrrp.51").up && named(&b, "vrrp6.51").up);
        assert_eq!(b.wanted, [ip("198.18.0.100")]);
        assert_eq!(b.own_asked.len(), 2, "{:?}", b.own_asked);
        assert!(frames_from(&b, MAC) > 0 && frames_from(&b, MAC6) > 0);
        assert!(b.from.iter().all(Option::is_none), "adverts leave from the interface of the instance");
        b.own_asked.clear();
        b.rx(&cfg, PEER, 200, cfg.advert_int);
        b.run(Duration::from_millis(50));
        assert_eq!((b.state(), named(&b, "vrrp.51").up, named(&b, "vrrp6.51").up), (State::Backup, false, false));
        assert_eq!((addrs_on(&b, "vrrp.51").len(), addrs_on(&b, "vrrp6.51").len()), (1, 1));
        assert!(!b.kernel.iter().any(|a| a.addr == ip("198.18.0.100")));
    }
    b.term();
    b.run(Duration::from_secs(3));
    assert_eq!((b.links.len(), b.kernel.len()), (2, 2), "{:?}", b.links);
}

#[test]
fn beside_the_own_interface_of_the_instance() {
    let mut cfg = cfg();
    cfg.more.own_interface = Some(Box::new(OwnInterface { name: Some("vrrp1.51".into()), ..OwnInterface::default() }));
    let mut b = started(&cfg);
    take_over(&mut b);
    assert_eq!(named(&b, "vrrp1.51").upon.map(|u| u.parent), Some(ETH0));
    assert_eq!(addrs_on(&b, "vrrp1.51"), [ip("198.18.0.100")]);
    assert_eq!((addrs_on(&b, "vrrp.51"), addrs_on(&b, "eth1")), (vec![ip("198.19.0.1")], vec![]));
    assert!(["vrrp.51", "vrrp1.51", "vrrp6.51"].iter().all(|name| named(&b, name).up));
    assert!(b.wanted.is_empty(), "{:?}", b.wanted);
}

#[test]
fn an_interface_below_that_comes_later_goes_and_comes_back() {
    let cfg = cfg();
    let mut b = Bench::new(cfg.clone());
    b.run(Duration::from_secs(6));
    assert_eq!((b.state(), b.links.len()), (State::Master, 1), "it serves what it can");
    let appear = |b: &mut Bench, ifindex: u32| {
        b.links.push(link(ifindex, "eth1", true));
        b.event(Event::Net(NetEv::LinkNew(link(ifindex, "eth1", true))));
        b.run(Duration::from_millis(50));
        assert_eq!((named(b, "vrrp.51").up, addrs_on(b, "vrrp.51")), (true, vec![ip("198.19.0.1")]), "{:?}", b.log);
        assert!(frames_from(b, MAC) > 0, "announced");
    };
    appear(&mut b, ETH1);
    b.out.clear();
    let gone: Vec<u32> = b.links.iter().map(|l| l.ifindex).filter(|i| *i != ETH0).collect();
    for ifindex in gone {
        b.links.retain(|l| l.ifindex != ifindex);
        b.kernel.retain(|a| a.ifindex != ifindex);
        b.event(Event::Net(NetEv::LinkDel { ifindex }));
    }
    b.run(Duration::from_secs(2));
    assert_eq!((b.state(), b.links.len()), (State::Master, 1));
    appear(&mut b, 8);
}

#[test]
fn a_reload_that_takes_one_out_leaves_the_other() {
    let all = cfg();
    let mut b = started(&all);
    take_over(&mut b);
    let ifindex = named(&b, "vrrp6.51").ifindex;
    let mut fewer = all.clone();
    fewer.excluded[0] = on("198.19.0.1", Some("eth1"), None);
    for (cfg, there) in [(fewer, false), (all, true)] {
        b.event(Event::Guard(GuardEv::Config(Box::new(Config { instances: vec![cfg], ..Config::default() }))));
        b.run(Duration::from_millis(100));
        assert_eq!(b.links.iter().any(|l| l.name == "vrrp.51"), there, "{:?}", b.log);
        assert_eq!(addrs_on(&b, "eth1").len(), usize::from(!there));
        assert_eq!((named(&b, "vrrp6.51").ifindex, named(&b, "vrrp6.51").up), (ifindex, true), "not touched");
    }
    assert_eq!(addrs_on(&b, "vrrp.51"), [ip("198.19.0.1")]);
}

#[test]
fn the_next_process_goes_on_with_them() {
    let cfg = cfg();
    let mut b = started(&cfg);
    take_over(&mut b);
    b.event(Event::Guard(GuardEv::Freeze));
    let s = b.world.last_snapshot(b.now);
    assert_eq!((s.own.len(), s.below.len()), (2, 1));
    let mut new = Bench::of(World::standby(Config { instances: vec![cfg], ..Config::default() }));
    (new.now, new.links, new.kernel) = (b.now, b.links.clone(), b.kernel.clone());
    new.start();
    new.event(Event::Guard(GuardEv::Go { snapshot: Some(Box::new(s)), dead_since: None }));
    new.run(Duration::from_millis(100));
    assert_eq!(new.state(), State::Master, "{:?}", new.log);
    let moves = |op: &NetOp| matches!(op, NetOp::LinkSet { up: false, .. } | NetOp::LinkAdd(_) | NetOp::LinkDel { .. });
    assert!(!new.own_asked.iter().any(moves), "{:?}", new.own_asked);
    assert!(!new.out.iter().any(|o| matches!(o, Out::Add(_) | Out::Del(_))), "{:?}", new.out);
}

/// One announcement in each period from each virtual MAC address that adverts do not leave from; with `all` from every other interface.
#[test]
fn switches_hear_of_every_interface_again_and_again() {
    let every = Duration::from_secs(100);
    for (all, plain) in [(false, 0), (true, 1)] {
        let mut cfg = cfg();
        cfg.excluded.push(on("198.20.0.1", Some("eth1"), None));
        // A second address is not announced for it.
        cfg.excluded.push(on("198.19.0.2", Some("eth1"), Some("vrrp.51")));
        cfg.more.garp_extra_if = Some(ExtraGarp { all, every });
        let mut b = started(&cfg);
        take_over(&mut b);
        b.run(Duration::from_secs(50));
        for _ in 0..3 {
            b.out.clear();
            b.run(every);
            assert_eq!((frames_from(&b, MAC), frames_from(&b, MAC6)), (1, 1), "{all}");
            let eth = |n: u32| frames_from(&b, [2, 0, 0, 0, 0, n as u8]);
            assert_eq!((eth(ETH0), eth(ETH1)), (0, plain), "{all}: adverts keep the first one known");
        }
        b.rx(&cfg, PEER, 200, cfg.advert_int);
        b.out.clear();
        let end = b.now.mono + every * 2;
        while b.now.mono < end {
            b.rx(&cfg, PEER, 200, cfg.advert_int);
            b.run(Duration::from_secs(1));
        }
        assert_eq!((b.state(), b.frames()), (State::Backup, 0));
    }
}

/// With `vmac_xmit_base` no advert has the virtual MAC address: it is announced as well.
#[test]
fn the_own_interface_is_announced_where_adverts_do_not_leave_from_it() {
    for (base, times) in [(false, 0), (true, 1)] {
        let mut cfg = v2();
        let name = Some("vrrp.51".into());
        cfg.more.own_interface = Some(Box::new(OwnInterface { name, ..OwnInterface::default() }));
        cfg.more.vmac_xmit_base = base;
        cfg.more.garp_extra_if = Some(ExtraGarp { all: false, every: Duration::from_secs(100) });
        let mut b = Bench::new(cfg);
        b.run(Duration::from_secs(60));
        b.out.clear();
        b.run(Duration::from_secs(100));
        assert_eq!(frames_from(&b, MAC), times);
    }
}

#[test]
fn promote_secondaries_is_set_where_the_addresses_are_and_put_back() {
    let mut cfg = v2();
    cfg.excluded = vec![
        on("198.19.0.1", Some("eth1"), None),
        on("198.21.0.1", Some("eth2"), Some("vrrp.51")),
        on("2001:db8::64", Some("eth3"), None),
    ];
    cfg.more.promote_secondaries = true;
    let mut b = Bench::cold(vec![cfg.clone()]);
    b.links.extend([link(ETH1, "eth1", true), link(8, "eth2", true), link(9, "eth3", true)]);
    b.start();
    b.run(Duration::from_millis(10));
    let promoted = |b: &Bench, to: u32, only: Option<u32>| -> Vec<String> {
        let set = Set { knob: Knob::PromoteSecondaries, to, only };
        b.knobs.iter().filter(|k| k.2.contains(&set)).map(|k| k.1.clone()).collect()
    };
    // The interface of its own has it in any case, and eth2 has no address.
    assert_eq!(promoted(&b, 1, None), ["vrrp.51", "eth0", "eth1"]);
    // A reload without the keyword puts the sysctl back, unless another program has changed it meanwhile.
    b.knobs.clear();
    cfg.more.promote_secondaries = false;
    b.event(Event::Guard(GuardEv::Config(Box::new(Config { instances: vec![cfg.clone()], ..Config::default() }))));
    b.run(Duration::from_millis(50));
    assert_eq!(promoted(&b, 0, Some(1)), ["eth0", "eth1"]);
    cfg.more.promote_secondaries = true;
    b.event(Event::Guard(GuardEv::Config(Box::new(Config { instances: vec![cfg], ..Config::default() }))));
    b.run(Duration::from_millis(50));
    b.knobs.clear();
    b.term();
    b.run(Duration::from_secs(3));
    assert_eq!(promoted(&b, 0, Some(1)), ["eth0", "eth1"]);
}

/// Two virtual routers on one interface: the sysctl is put back when the last of them is removed.
#[test]
fn the_last_one_puts_it_back() {
    let both = [51, 52].map(|vrid| {
        let mut cfg = v2();
        (cfg.name, cfg.vrid) = (format!("VI_{vrid}"), vrid);
        cfg.vips = vec![vip(&format!("198.18.0.{vrid}"))];
        cfg.more.promote_secondaries = true;
        cfg
    });
    let mut b = Bench::cold(both.to_vec());
    b.start();
    b.run(Duration::from_millis(10));
    for (left, put_back) in [(&both[..1], 0), (&both[..0], 1)] {
        b.knobs.clear();
        b.event(Event::Guard(GuardEv::Config(Box::new(Config { instances: left.to_vec(), ..Config::default() }))));
        b.run(Duration::from_millis(50));
        assert_eq!(b.knobs.len(), put_back, "{:?}", b.knobs);
    }
}

/// The kernel decides at the join and at the leave whether it reports them.
#[test]
fn groups_are_joined_after_local_igmp_was_silenced_and_left_before_it_is_put_back() {
    let mut config = Config { instances: vec![v2()], ..Config::default() };
    config.global.more.disable_local_igmp = true;
    let mut b = Bench::of(World::new(config.clone()));
    b.answer_knobs = false;
    b.start();
    b.run(Duration::from_millis(10));
    let opened = |b: &Bench| b.out.contains(&Out::Open);
    assert!(!opened(&b), "{:?}", b.out);
    let job = b.knobs[0].0;
    b.event(Event::Helper(HelperEv::Knobs { job, before: vec![(Knob::LocalIgmpReports, 1)], failed: None }));
    assert!(opened(&b), "{:?}", b.out);
    b.answer_knobs = true;
    b.knobs.clear();
    b.run(Duration::from_secs(5));
    b.term();
    assert!(b.knobs.is_empty(), "{:?}", b.knobs);
    let until = b.now;
    while b.knobs.is_empty() {
        assert!(b.now.mono < until.mono + Duration::from_secs(3), "it is put back");
        b.run(Duration::from_millis(1));
    }
    assert!(b.out.contains(&Out::Close), "{:?}", b.out);
    assert_eq!(b.knobs[0].2, [Set { knob: Knob::LocalIgmpReports, to: 1, only: Some(0) }]);
    b.run(Duration::from_secs(1));
    assert!(b.out.contains(&Out::Exit(ExitCode::Ok)), "{:?}", b.out);
    // A helper that does not answer delays the election, and does not prevent it.
    let mut b = Bench::of(World::new(config));
    b.answer_knobs = false;
    b.start();
    b.run(Duration::from_millis(990));
    assert!(!opened(&b));
    b.run(Duration::from_millis(20));
    assert!(opened(&b));
}

#[test]
fn local_igmp_is_silenced_at_the_start_and_put_back_at_the_end() {
    let mut config = Config { instances: vec![v2()], ..Config::default() };
    config.global.more.disable_local_igmp = true;
    let mut b = Bench::of(World::new(config.clone()));
    b.start();
    b.run(Duration::from_millis(10));
    let asked = |b: &Bench| -> Vec<(String, Vec<Set>)> { b.knobs.iter().map(|k| (k.1.clone(), k.2.clone())).collect() };
    assert_eq!(asked(&b), [("all".to_owned(), vec![Set::to(Knob::LocalIgmpReports, 0)])]);
    // The sysctl was 1 before.
    let job = b.knobs[0].0;
    assert!(job > 0);
    b.knobs.clear();
    // The next process knows the former value.
    b.event(Event::Guard(GuardEv::Freeze));
    let s = b.world.last_snapshot(b.now);
    assert_eq!((s.below.len(), s.below[0].ifindex), (1, 0));
    let mut new = Bench::of(World::standby(config));
    (new.now, new.links, new.kernel) = (b.now, b.links.clone(), b.kernel.clone());
    let mut s = s;
    s.below[0].before = vec![(Knob::LocalIgmpReports, 1)];
    new.start();
    new.event(Event::Guard(GuardEv::Go { snapshot: Some(Box::new(s)), dead_since: None }));
    new.run(Duration::from_millis(10));
    new.knobs.clear();
    new.term();
    new.run(Duration::from_secs(3));
    let back = Set { knob: Knob::LocalIgmpReports, to: 1, only: Some(0) };
    assert_eq!(asked(&new), [("all".to_owned(), vec![back])]);
}
