//! Reception: a dropped vector changes nothing, an accepted one has its effect. Read first: `bench.rs`.

use crate::bench::*;
use kalived::config::model::{Auth, ChecksumMode, InstanceConfig};
use kalived::event::{Event, NetEv, RxMeta, SockEv};
use kalived::time::Duration;
use kalived::timers::Due;
use kalived::vrrp::State;
use kalived::wire::vrrp::{AdvertSpec, packet};
use std::net::IpAddr;

const S: Duration = Duration::from_secs(1);

fn bad_checksum() -> Vec<u8> {
    let mut p = advert(&v2(), PEER, 200, S).to_vec();
    p[26] ^= 1;
    p
}

#[test]
fn trap_28_a_dropped_advert_moves_no_timer_and_is_counted() {
    let mut b = Bench::new(v2());
    let sock = b.sock.expect("a socket");
    let meta = RxMeta { src: ip(PEER), dst: None, hop_limit: None };
    let bad = bad_checksum();
    for _ in 0..36 {
        b.run(Duration::from_millis(100));
        b.event(Event::Sock(SockEv::Datagram { sock, meta, age: Duration::ZERO, bytes: &bad }));
    }
    assert_eq!(b.left(Due::MasterDown), Some(Duration::from_nanos(9_375_000)));
    b.run(Duration::from_millis(10));
    assert_eq!(b.state(), State::Master);
    assert_eq!(b.logged("no advert for 3.61 s; 36 dropped, last from 198.18.0.30: checksum"), 1, "{:?}", b.log);
    assert_eq!(b.view().stats.rejected.iter().sum::<u64>(), 36);
}

#[test]
fn trap_43_44_floods_are_numbers() {
    let mut b = Bench::new(v2());
    let sock = b.sock.expect("a socket");
    let mut other = v2();
    other.vrid = 99;
    let unknown = advert(&other, PEER, 200, S);
    let bad = bad_checksum();
    let lines = b.log.len();
    for i in 0..10_000u32 {
        let src = std::net::IpAddr::V4(std::net::Ipv4Addr::from(0xc612_0100 + i));
        let meta = RxMeta { src, dst: None, hop_limit: None };
        b.event(Event::Sock(SockEv::Datagram { sock, meta, age: Duration::ZERO, bytes: &bad }));
        b.event(Event::Sock(SockEv::Datagram { sock, meta, age: Duration::ZERO, bytes: &unknown }));
    }
    assert_eq!(b.log.len() - lines, 2, "one line for each kind: {:?}", &b.log[lines..]);
    assert_eq!(b.state(), State::Backup);
}

#[test]
fn nothing_is_heard_in_fault() {
    let mut b = Bench::new(v2());
    b.event(Event::Net(NetEv::LinkNew(link(ETH0, "eth0", false))));
    let lines = b.log.len();
    b.rx(&v2(), PEER, 0, S);
    b.rx(&v2(), PEER, 200, S);
    assert_eq!((b.state(), b.log.len(), b.view().stats.advert_rcvd), (State::Fault, lines, 0), "R-055");
}

#[test]
fn a_timer_counts_from_the_arrival_of_the_advert_and_believes_no_stepped_clock() {
    let mut b = Bench::new(v2());
    let sock = b.sock.expect("a socket");
    let meta = RxMeta { src: ip(PEER), dst: None, hop_limit: None };
    let good = advert(&v2(), PEER, 200, S);
    b.event(Event::Sock(SockEv::Datagram { sock, meta, age: Duration::from_micros(120), bytes: &good }));
    assert_eq!(b.left(Due::MasterDown), Some(Duration::from_nanos(3_609_375_000 - 120_000)));
    b.event(Event::Sock(SockEv::Datagram { sock, meta, age: Duration::from_secs(3600), bytes: &good }));
    assert_eq!(b.left(Due::MasterDown), Some(Duration::from_nanos(3_608_375_000)), "R-090");
}

/// 10,000 senders with a password of their own each, with and without a right checksum: one line, and a table of bounded length. The cost of
/// each is that of one packet (`cost.rs`).
#[test]
fn trap_43_wrong_passwords_of_many_senders_are_one_line_and_one_number() {
    let right = InstanceConfig { auth: Auth::Pass(*b"secret\0\0"), ..v2() };
    let mut b = Bench::new(right.clone());
    let sock = b.sock.expect("a socket");
    let packet = |src: IpAddr, n: u32| {
        let mut password = [0; 8];
        password[..4].copy_from_slice(&n.to_be_bytes());
        let vips: Vec<IpAddr> = right.vips.iter().map(|v| v.addr).collect();
        packet(&AdvertSpec {
            family: right.family,
            version: right.version,
            vrid: right.vrid,
            priority: 200,
            interval: S,
            auth: &Auth::Pass(password),
            checksum: ChecksumMode::PseudoHeader,
            src,
            dst: right.mcast_group,
            addrs: &vips,
        })
    };
    let lines = b.log.len();
    for n in 0..10_000u32 {
        let src = IpAddr::from((0xc612_0100 + n.wrapping_mul(0x9e37) % 0xffff).to_be_bytes());
        let meta = RxMeta { src, dst: None, hop_limit: None };
        let bytes = packet(src, n);
        b.event(Event::Sock(SockEv::Datagram { sock, meta, age: Duration::ZERO, bytes: &bytes }));
    }
    assert_eq!(b.log.len() - lines, 1, "{:?}", &b.log[lines..]);
    assert_eq!((b.state(), b.view().stats.rejected.iter().sum::<u64>()), (State::Backup, 10_000));
    let now = b.now;
    let senders = b.world.report(now).instances.swap_remove(0).senders.len();
    assert!(senders <= 16, "{senders} senders are kept");
    // None of them kept it waiting.
    b.run(S * 4);
    assert_eq!(b.state(), State::Master);
    // A flood that goes on has a line now and then, however long it lasts.
    let lines = b.log.len();
    for n in 0..60_000u32 {
        let src = IpAddr::from((0xc612_0100 + n % 0xffff).to_be_bytes());
        let meta = RxMeta { src, dst: None, hop_limit: None };
        let bytes = packet(src, n);
        b.event(Event::Sock(SockEv::Datagram { sock, meta, age: Duration::ZERO, bytes: &bytes }));
        if n % 100 == 0 {
            b.run(Duration::from_millis(100));
        }
    }
    assert!(b.log.len() - lines <= 10, "a line in ten seconds: {:?}", &b.log[lines..]);
}
