//! Unicast peers: one packet for each, sources that are waited for, and virtual routers that share a VRID.

use crate::bench::*;
use kalived::config::model::vrrp::{OldChecksum, Peer};
use kalived::config::model::{Config, Family, InstanceConfig, Version};
use kalived::effect::{Effects, SockSpec};
use kalived::event::{AdvertEv, Errno, Event, GuardEv, NetEv, RxMeta, SockEv};
use kalived::time::{Duration, Instant};
use kalived::timers::Due;
use kalived::vrrp::State;
use kalived::vrrp::advert::Reject;
use kalived::vrrp::timing::Grid;
use kalived::wire::vrrp::{AdvertSpec, ToPeer, checksum_ok, packet_to};
use std::collections::BTreeSet;
use std::net::IpAddr;

const S: Duration = Duration::from_secs(1);
const OTHER: &str = "198.18.0.40";
const NULL: &[(IpAddr, Errno)] = &[];

fn peer(a: &str) -> Peer {
    Peer { addr: ip(a), min_ttl: None, max_ttl: None }
}

fn with(peers: &[&str], cfg: InstanceConfig) -> InstanceConfig {
    let mut c = cfg;
    c.more.unicast_peer = Some(peers.iter().map(|p| peer(p)).collect());
    c
}

fn v6(peers: &[&str]) -> InstanceConfig {
    let mut c = InstanceConfig::new("VI_6", "eth0", 51, Family::V6);
    c.vips = vec![vip("2001:db8::64")];
    with(peers, c)
}

/// Destination, source and TTL of a packet.
fn ends(p: &[u8]) -> (IpAddr, IpAddr, u8) {
    match p[0] >> 4 {
        4 => {
            let a = |at: usize| IpAddr::from([p[at], p[at + 1], p[at + 2], p[at + 3]]);
            (a(16), a(12), p[8])
        }
        _ => {
            let a = |at: usize| IpAddr::from(<[u8; 16]>::try_from(&p[at..at + 16]).expect("a header"));
            (a(24), a(8), p[7])
        }
    }
}

fn to(out: &[Out]) -> Vec<String> {
    let line = |o: &Out| match o {
        Out::Advert(p) => Some(format!("now {}", ends(p).0)),
        Out::Armed(_, p) => Some(format!("armed {}", ends(p).0)),
        Out::Stop(Some(p)) => Some(format!("farewell {}", ends(p).0)),
        Out::Stop(None) => Some("stop".to_owned()),
        _ => None,
    };
    out.iter().filter_map(line).collect()
}

/// An advert of a peer to `dst`.
fn rx_to(b: &mut Bench, cfg: &InstanceConfig, src: &str, dst: &str, priority: u8, how: ToPeer) {
    let addrs: Vec<IpAddr> = cfg.vips.iter().map(|v| v.addr).collect();
    let spec = AdvertSpec {
        family: cfg.family,
        version: cfg.version,
        vrid: cfg.vrid,
        priority,
        interval: cfg.advert_int,
        auth: &cfg.auth,
        checksum: cfg.checksum,
        src: ip(src),
        dst: ip(dst),
        addrs: &addrs,
    };
    let p = packet_to(&spec, how);
    let sock = b.specs.iter().find(|(_, s)| s.address() == ip(dst)).map_or(b.sock.expect("a socket"), |(k, _)| *k);
    let (meta, bytes) = match ip(dst) {
        IpAddr::V4(_) => (RxMeta { src: ip(src), dst: None, hop_limit: None }, &p[..]),
        IpAddr::V6(d) => (RxMeta { src: ip(src), dst: Some(d), hop_limit: Some(p[7]) }, &p[40..]),
    };
    b.event(Event::Sock(SockEv::Datagram { sock, meta, age: Duration::ZERO, bytes }));
}

const PLAIN: ToPeer = ToPeer { ttl: 255, summed: None };

fn rx(b: &mut Bench, cfg: &InstanceConfig, src: &str, priority: u8) {
    rx_to(b, cfg, src, OURS, priority, PLAIN);
}

fn rejected(b: &Bench, why: Reject) -> u64 {
    b.view().stats.rejected[why.index()]
}

#[test]
fn each_peer_has_a_packet_of_its_own_with_its_own_checksum() {
    let mut b = Bench::new(with(&[PEER, OTHER], v3()));
    assert_eq!(
        b.specs.values().copied().collect::<Vec<_>>(),
        [SockSpec::Unicast { local: ip(OURS), ifindex: 0, ah: false }]
    );
    b.run(S * 4);
    assert_eq!(b.state(), State::Master);
    let first: Vec<String> = to(&b.out).into_iter().filter(|l| l.starts_with("now")).collect();
    assert_eq!(first, ["now 198.18.0.30", "now 198.18.0.40"]);
    for o in &b.out {
        if let Out::Advert(p) | Out::Armed(_, p) = o {
            let (dst, src, ttl) = ends(p);
            assert_eq!((src, ttl), (ip(OURS), 255));
            assert!(checksum_ok(Version::V3, b_checksum(), src, dst, &p[20..]), "the sum has the peer's address in it");
        }
    }
    // One advert is one timer and one report, however many peers there are.
    assert_eq!((b.armed.len(), b.view().armed), (1, 1));
    b.out.clear();
    b.term();
    assert_eq!(to(&b.out), ["farewell 198.18.0.30", "farewell 198.18.0.40"]);
    assert_eq!((b.view().stats.pri_zero_sent, b.logged("sent 0 priority")), (1, 1));
}

fn b_checksum() -> kalived::config::model::ChecksumMode {
    kalived::config::model::ChecksumMode::PseudoHeader
}

#[test]
fn a_peer_that_cannot_be_reached_is_reported_once_and_costs_the_others_nothing() {
    let mut b = Bench::master(with(&[PEER, OTHER], v3()));
    let missed = [(ip(OTHER), Errno(113))];
    for _ in 0..100 {
        let ((due, vr), epoch) = b.armed.pop_first().expect("an armed advert");
        b.run(due.since(b.now.mono));
        b.event(Event::Advert(AdvertEv::Sent { vr, epoch, due, result: Ok(()), missed: &missed }));
        assert_eq!(b.armed.len(), 1, "the next one is armed");
    }
    let s = b.view().stats;
    assert_eq!((s.peers_missed, s.send_failed, b.state()), (100, 0, State::Master));
    assert_eq!(b.logged("adverts to peer 198.18.0.40 do not leave"), 1, "{:?}", b.log);
    let ((due, vr), epoch) = b.armed.pop_first().expect("an armed advert");
    b.event(Event::Advert(AdvertEv::Sent { vr, epoch, due, result: Ok(()), missed: NULL }));
    assert_eq!(b.logged("adverts to peer 198.18.0.40 leave again"), 1, "{:?}", b.log);
    assert_eq!(b.logged("cannot send adverts"), 0);
}

#[test]
fn any_ttl_counts_unless_the_peer_s_line_says_otherwise() {
    let mut c = with(&[PEER, OTHER], v3());
    let far = ToPeer { ttl: 61, ..PLAIN };
    let mut b = Bench::new(c.clone());
    rx_to(&mut b, &c, PEER, OURS, 200, far);
    rx_to(&mut b, &c, "198.18.0.77", OURS, 200, far);
    assert_eq!(b.view().stats.advert_rcvd, 2, "an unknown router counts, too, as in keepalived");

    let peers = c.more.unicast_peer.as_mut().expect("peers");
    (peers[0].min_ttl, peers[0].max_ttl) = (Some(61), Some(63));
    let mut b = Bench::new(c.clone());
    for (ttl, counts) in [(60, false), (61, true), (63, true), (64, false), (255, false)] {
        let before = b.view().stats.advert_rcvd;
        rx_to(&mut b, &c, PEER, OURS, 200, ToPeer { ttl, ..PLAIN });
        assert_eq!(b.view().stats.advert_rcvd - before, u64::from(counts), "{ttl}");
    }
    assert_eq!(rejected(&b, Reject::Ttl), 3);
    rx_to(&mut b, &c, OTHER, OURS, 200, ToPeer { ttl: 1, ..PLAIN });
    assert_eq!(rejected(&b, Reject::Ttl), 3, "the other peer's line says nothing");
}

#[test]
fn with_check_unicast_src_strangers_are_inert() {
    let mut c = with(&[PEER], v3());
    c.more.check_unicast_src = true;
    let mut b = Bench::new(c.clone());
    let before = b.left(Due::MasterDown);
    rx(&mut b, &c, "198.18.0.77", 200);
    rx(&mut b, &c, "198.18.0.77", 0);
    assert_eq!((b.left(Due::MasterDown), rejected(&b, Reject::UnicastSource)), (before, 2), "R-028");
    rx(&mut b, &c, PEER, 200);
    assert_eq!(b.view().stats.advert_rcvd, 1);
}

#[test]
fn the_old_checksum_counts_and_never_disables_the_right_one() {
    let old = ToPeer { ttl: 255, summed: Some(ip("224.0.0.18")) };
    let mut c = with(&[PEER], v3());
    let mut b = Bench::new(c.clone());
    for (n, how) in [old, PLAIN, old, PLAIN].into_iter().enumerate() {
        rx_to(&mut b, &c, PEER, OURS, 200, how);
        assert_eq!(b.view().stats.advert_rcvd, n as u64 + 1, "R-136");
    }
    assert_eq!(b.logged("old checksum of unicast adverts"), 1, "{:?}", b.log);
    // The checksum of received adverts does not change the one that is sent.
    b.run(S * 5);
    let summed = |b: &Bench, dst: &str| {
        let p = b.out.iter().find_map(|o| if let Out::Advert(p) = o { Some(p.clone()) } else { None });
        checksum_ok(Version::V3, b_checksum(), ip(OURS), ip(dst), &p.expect("an advert")[20..])
    };
    assert!(summed(&b, PEER) && !summed(&b, "224.0.0.18"));

    c.more.old_unicast_checksum = OldChecksum::Always;
    let mut b = Bench::new(c.clone());
    rx(&mut b, &c, PEER, 0);
    assert_eq!(b.view().stats.advert_rcvd, 1, "the right one counts all the same");
    b.run(S * 5);
    assert!(summed(&b, "224.0.0.18") && !summed(&b, PEER));

    c.more.old_unicast_checksum = OldChecksum::Never;
    let mut b = Bench::new(c.clone());
    rx_to(&mut b, &c, PEER, OURS, 200, old);
    assert_eq!((rejected(&b, Reject::Checksum), b.view().stats.advert_rcvd), (1, 0));
}

#[test]
fn trap_51_a_source_that_comes_later_is_waited_for() {
    let late = "198.18.0.21";
    let mut c = with(&[PEER], v3());
    c.more.unicast_src_ip = Some(ip(late));
    let mut b = Bench::new(c.clone());
    assert_eq!((b.state(), b.view().reasons), (State::Fault, format!("source address {late} is not there yet")));
    b.run(S * 30);
    assert_eq!((b.state(), b.specs.len()), (State::Fault, 0));
    // The source address may be added on any interface.
    b.event(Event::Net(NetEv::LinkNew(link(9, "lo1", true))));
    b.out.clear();
    b.event(Event::Net(NetEv::AddrNew(addr(9, late, 32, 0))));
    assert_eq!(b.state(), State::Backup);
    b.fire();
    assert_eq!(b.frames(), 1, "its peers hear where the address is");
    b.run(S * 4);
    assert_eq!((b.state(), b.view().source), (State::Master, Some(ip(late))));
    // The source address is removed: a farewell, and the wait begins again.
    b.out.clear();
    b.event(Event::Net(NetEv::AddrDel { ifindex: 9, addr: ip(late), prefix: 32, by: None }));
    assert_eq!((b.state(), to(&b.out)), (State::Fault, vec!["farewell 198.18.0.30".to_owned()]));
    assert!(b.out.contains(&Out::Close));
    b.event(Event::Net(NetEv::AddrNew(addr(9, late, 32, 0))));
    assert_eq!(b.state(), State::Backup);
    // The interface is removed together with the source address.
    b.event(Event::Net(NetEv::LinkDel { ifindex: 9 }));
    assert_eq!(b.state(), State::Fault);
}

#[test]
fn trap_52_a_global_source_for_global_peers_whatever_is_learned_first() {
    let c = v6(&["2001:db8::30"]);
    let mut b = Bench::cold(vec![c.clone()]);
    b.start();
    assert_eq!((b.state(), b.view().reasons.as_str()), (State::Fault, "no global IPv6 address for interface eth0"));
    let mut tentative = addr(ETH0, "2001:db8::20", 64, 0);
    tentative.tentative = true;
    b.event(Event::Net(NetEv::AddrNew(addr(ETH0, "fd00::20", 64, 0))));
    b.event(Event::Net(NetEv::AddrNew(tentative.clone())));
    assert_eq!(b.view().source, Some(ip("fd00::20")), "better than none");
    tentative.tentative = false;
    b.event(Event::Net(NetEv::AddrNew(tentative)));
    let source = ip("2001:db8::20");
    assert_eq!((b.state(), b.view().source), (State::Backup, Some(source)), "the one in the peer's network");
    assert_eq!(b.specs.values().last(), Some(&SockSpec::Unicast { local: source, ifindex: 0, ah: false }));
    rx_to(&mut b, &c, "2001:db8::30", "2001:db8::20", 200, ToPeer { ttl: 64, ..PLAIN });
    assert_eq!(b.view().stats.advert_rcvd, 1);
    // To peers with link-local addresses the source is the own link-local address, on the interface of the instance.
    let b = Bench::new(v6(&["fe80::30"]));
    assert_eq!(b.specs.values().last(), Some(&SockSpec::Unicast { local: ip("fe80::20"), ifindex: ETH0, ah: false }));
}

#[test]
fn a_source_that_changes_moves_the_socket_and_not_the_state() {
    let mut c = with(&[PEER], v3());
    c.more.unicast_src_ip = Some(ip(OURS));
    let mut b = Bench::cold(vec![c.clone()]);
    b.kernel.push(addr(ETH0, "198.18.0.22", 16, 0));
    b.start();
    b.run(S * 4);
    assert_eq!(b.state(), State::Master);
    let armed = b.armed.keys().next().map(|k| k.0);
    b.out.clear();
    c.more.unicast_src_ip = Some(ip("198.18.0.22"));
    b.reload(&[c.clone()]);
    assert_eq!((b.state(), b.view().stats.release_master), (State::Master, 0));
    assert_eq!(b.armed.keys().next().map(|k| k.0), armed, "at the time it was due anyhow");
    assert!(b.out.iter().all(|o| !matches!(o, Out::Stop(Some(_)) | Out::Del(_))), "{:?}", b.out);
    let last = b.out.iter().rev().find_map(|o| if let Out::Armed(_, p) = o { Some(ends(p)) } else { None });
    assert_eq!(last, Some((ip(PEER), ip("198.18.0.22"), 255)));
}

#[test]
fn other_peers_after_a_reload_are_armed_anew_without_a_transition() {
    let mut b = Bench::master(with(&[PEER], v3()));
    b.run(Duration::from_millis(300));
    b.out.clear();
    let armed = b.armed.keys().next().map(|k| k.0);
    b.reload(&[with(&[OTHER, PEER], v3())]);
    assert_eq!((b.state(), b.view().stats.release_master), (State::Master, 0));
    assert_eq!(to(&b.out), ["stop", "armed 198.18.0.40", "armed 198.18.0.30"]);
    assert_eq!(b.armed.keys().next().map(|k| k.0), armed, "no advert is late for it");
    assert_eq!(b.logged("+peer 198.18.0.40"), 1, "{:?}", b.log);
    // With a multicast group instead of peers it is another virtual router for its peers, so it sends them a farewell.
    b.out.clear();
    b.reload(&[v3()]);
    assert_eq!(to(&b.out)[..2], ["farewell 198.18.0.40", "farewell 198.18.0.30"]);
    assert_eq!(b.state(), State::Backup);
}

#[test]
fn virtual_routers_that_share_a_vrid_are_told_apart_by_peer() {
    let mut second = with(&[OTHER], v3());
    (second.name, second.vips) = ("VI_2".into(), vec![vip("198.18.0.101")]);
    let mut third = v3();
    (third.name, third.vips) = ("VI_3".into(), vec![vip("198.18.0.102")]);
    let first = with(&[PEER], v3());
    let mut b = Bench::cold(vec![first.clone(), second.clone(), third.clone()]);
    b.start();
    let groups: Vec<bool> = b.specs.values().map(SockSpec::is_unicast).collect();
    assert_eq!(groups, [true, false], "two share a socket, the multicast one has its own");
    rx(&mut b, &first, PEER, 200);
    rx(&mut b, &second, OTHER, 210);
    rx(&mut b, &first, "198.18.0.77", 220);
    rx_to(&mut b, &third, PEER, "224.0.0.18", 230, PLAIN);
    let views = b.world.views();
    let heard: Vec<(u64, Option<IpAddr>)> = views.iter().map(|v| (v.stats.advert_rcvd, v.master)).collect();
    assert_eq!(heard, [(1, Some(ip(PEER))), (1, Some(ip(OTHER))), (1, Some(ip(PEER)))]);
    let strangers = views.iter().map(|v| v.stats.rejected[Reject::UnicastSource.index()]).sum::<u64>();
    assert_eq!(strangers, 1, "it is a peer of neither");
}

#[test]
fn our_own_address_among_the_peers_is_left_out() {
    let mut b = Bench::master(with(&[OURS, PEER], v3()));
    assert_eq!(b.armed.len(), 1);
    let mut log = Bench::new(with(&[OURS, PEER], v3()));
    assert_eq!(log.logged("198.18.0.20 is our own address: nothing is sent to it"), 1, "{:?}", log.log);
    log.term();
    b.term();
    assert_eq!(to(&b.out), ["farewell 198.18.0.30"]);
}

#[test]
fn without_a_peer_and_with_unicast_fault_no_peer_it_is_a_fault() {
    let mut c = with(&[], v3());
    c.more.unicast_fault_no_peer = true;
    let mut b = Bench::new(c);
    b.run(S * 10);
    assert_eq!((b.state(), b.view().reasons.as_str()), (State::Fault, "no unicast peer"));
    b.reload(&[with(&[PEER], v3())]);
    assert_eq!(b.state(), State::Backup);
}

#[test]
fn an_interface_without_multicast_or_without_a_name_will_do() {
    let mut b = Bench::cold(vec![with(&[PEER], v3())]);
    b.links[0].multicast = false;
    b.start();
    assert_eq!(b.state(), State::Backup);

    let mut c = with(&[PEER], v3());
    (c.interface, c.track_primary, c.more.unicast_src_ip) = (String::new(), false, Some(ip(OURS)));
    c.vips[0].dev = Some("eth0".into());
    let mut b = Bench::master(c);
    assert_eq!(b.view().addresses, (1, 1));
    b.term();
    assert_eq!(to(&b.out), ["farewell 198.18.0.30"]);
}

#[test]
fn a_successor_hears_and_goes_on_with_peers() {
    let c = with(&[PEER, OTHER], v3());
    let mut old = Bench::new(c.clone());
    rx(&mut old, &c, PEER, 200);
    let mut fx = Effects::default();
    old.world.handle(old.now, Event::Guard(GuardEv::Freeze), &mut fx);
    let shot = old.world.last_snapshot(old.now);
    let config = Config { instances: vec![c.clone()], ..Config::default() };
    let mut new = Bench::of(kalived::world::World::standby(config));
    new.now = old.now;
    new.start();
    // A farewell that was received in standby and that the old process did not handle.
    rx(&mut new, &c, PEER, 0);
    new.event(Event::Guard(GuardEv::Go { snapshot: Some(Box::new(shot)), dead_since: None }));
    assert_eq!((new.state(), new.view().stats.pri_zero_rcvd), (State::Backup, 1));
    new.run(S);
    assert_eq!(new.state(), State::Master, "Skew_Time after the farewell");
}

/// The limit on adverts that share a time counts packets, not virtual routers.
#[test]
fn adverts_to_many_peers_fill_a_phase_sooner() {
    let interval = Duration::from_millis(10);
    let times = |packets: usize, routers: usize| {
        let mut grid = Grid::default();
        let phases: Vec<_> = (0..routers).map(|_| grid.join(interval, packets)).collect();
        let at: BTreeSet<Instant> = phases.iter().map(|p| grid.after(*p, Instant(1_000_000))).collect();
        at.len()
    };
    assert_eq!((times(1, 20), times(4, 5), times(4, 20), times(64, 3)), (1, 1, 4, 3));
}
