//! Limits on what other hosts can cause with packets: lines in the log, programs; and adverts from an address that this host has itself.
//!
//! Read first: `bench.rs`.

use crate::bench::*;
use kalived::effect::{ADDR_PROTO, Effect, SockFx};
use kalived::event::{AdvertEv, Errno, Event, NetEv, RxMeta, SockEv};
use kalived::time::Duration;
use kalived::vrrp::State;
use kalived::world::VipView;

const S: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

/// Two rivals of higher priority, in turn, with an interval that makes a takeover slow.
#[test]
fn accepted_adverts_do_not_fill_the_log() {
    let mut b = Bench::new(v3());
    b.log.clear();
    for _ in 0..2000 {
        b.rx(&v3(), PEER, 200, S * 10);
        b.run(MS * 5);
        b.rx(&v3(), "198.18.0.31", 201, S);
        b.run(MS * 5);
    }
    // 20 s: two or three pauses.
    assert!((5..=15).contains(&b.logged("master changed from")), "{:?}", b.log);
    assert!(b.log.len() <= 24, "{} lines: {:?}", b.log.len(), b.log);
    assert_eq!(b.logged(" more of this kind since the last such line)") > 0, b.log.len() > 10, "{:?}", b.log);
    // The last line matches the state, whatever was left out.
    b.rx(&v3(), "198.18.0.32", 202, S);
    for _ in 0..12 {
        b.run(S);
        b.rx(&v3(), "198.18.0.32", 202, S);
    }
    let last = b.log.iter().rev().find(|l| l.contains("master ")).expect("a line");
    assert!(last.contains("to 198.18.0.32, priority 202"), "{last}");
}

/// For any packets and in any state, the number of lines in a time is bounded.
#[test]
fn no_packet_causes_more_than_a_few_lines() {
    let mut delayed = v3();
    delayed.preempt_delay = MS * 50;
    let mut fast = v3();
    fast.advert_int = MS * 10;
    for cfg in [v3(), v2(), delayed, fast] {
        let mut b = Bench::new(cfg.clone());
        b.log.clear();
        let begin = b.now.mono;
        let mut n = 0u32;
        while b.now.mono.since(begin) < S * 60 {
            n = n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let src = ["198.18.0.30", "198.18.0.31", OURS, "198.18.0.3"][(n >> 8) as usize % 4];
            let priority = [0, 0, 50, 99, 100, 101, 200, 255][(n >> 16) as usize % 8];
            let interval = [S, S * 9, MS * 10][(n >> 24) as usize % 3];
            b.rx(&cfg, src, priority, if cfg.version == v2().version { S } else { interval });
            b.run(MS * u64::from(n >> 28) as u32);
        }
        // 20 kinds of lines, the state changes among them; six or seven pauses of 10 s.
        assert!(b.log.len() <= 7 * (60 + 5 * 5 + 15), "{} lines: {:?}", b.log.len(), &b.log[..100]);
        assert!(b.logged("Entering ") <= 7 * 60, "{}", b.logged("Entering "));
    }
}

#[test]
fn a_farewell_that_did_not_leave_is_not_counted() {
    let mut b = Bench::master(v2());
    b.event(Event::Net(NetEv::LinkNew(link(ETH0, "eth0", false))));
    assert_eq!((b.view().stats.pri_zero_sent, b.view().stats.send_failed), (1, 0));
    let vr = b.view().vr;
    b.event(Event::Advert(AdvertEv::FarewellFailed { vr, errno: Errno::ENETDOWN }));
    assert_eq!((b.view().stats.pri_zero_sent, b.view().stats.send_failed), (0, 1));
    assert_eq!(b.logged("the priority 0 advert could not be sent: network is down (100)"), 1, "{:?}", b.log);
}

#[test]
fn a_returning_owner_is_heard_although_the_kernel_keeps_its_adverts_from_us() {
    let own = ip("198.18.0.100");
    let mut b = Bench::new(v2());
    assert_eq!(b.local, ["198.18.0.100".parse::<std::net::Ipv4Addr>().unwrap()]);
    let p = advert(&v2(), "198.18.0.100", 255, S);
    let sock = b.sock.expect("a socket");
    let meta = RxMeta { src: own, dst: None, hop_limit: None };
    // While this host does not have the address, the raw socket delivers the packet, too: this is a second copy.
    b.event(Event::Sock(SockEv::LocalDatagram { sock, meta, age: Duration::ZERO, bytes: &p }));
    assert_eq!(b.view().stats.advert_rcvd, 0);
    b.run(S * 5);
    assert_eq!(b.state(), State::Master);
    assert!(b.kernel.iter().any(|a| a.addr == own && a.proto == ADDR_PROTO));
    b.event(Event::Sock(SockEv::LocalDatagram { sock, meta, age: Duration::ZERO, bytes: &p }));
    assert_eq!((b.state(), b.view().master), (State::Backup, Some(own)));
    // The address owner itself waits for no other router; and another list after a reload.
    let mut owner = v2();
    owner.priority = 255;
    assert!(Bench::new(owner).local.is_empty());
    let mut more = v2();
    more.excluded = vec![vip("198.18.0.101"), vip("fe80::1")];
    b.reload(&[more]);
    assert_eq!(b.local.len(), 2, "{:?}", b.local);
}

#[test]
fn a_view_has_interface_and_addresses() {
    let mut c = v2();
    c.excluded = vec![vip("198.18.0.101")];
    c.excluded[0].dev = Some("eth9".into());
    let v = Bench::master(c).view();
    let one =
        |addr: &str, dev: &str, listed, held| VipView { addr: ip(addr), prefix: 32, dev: dev.into(), listed, held };
    assert_eq!(v.interface, "eth0");
    assert_eq!(v.vips, [one("198.18.0.100", "eth0", true, true), one("198.18.0.101", "eth9", false, false)]);
}

/// Kernels before February 2026 return to a connected sending socket the ICMP errors that any host sends: such an error costs one advert, which
/// is sent again, and the socket is replaced.
#[test]
fn an_error_that_another_host_reported_is_the_last_one() {
    let unconnected = |b: &mut Bench| {
        let asked = std::mem::take(&mut b.asked);
        asked.iter().filter(|e| matches!(e, Effect::Sock(SockFx::Unconnect { .. }))).count()
    };
    let mut b = Bench::master(v2());
    let vr = b.view().vr;
    b.event(Event::Advert(AdvertEv::SendFailed { vr, errno: Errno(92) }));
    assert_eq!(unconnected(&mut b), 1, "ENOPROTOOPT: protocol unreachable");
    b.event(Event::Advert(AdvertEv::SendFailed { vr, errno: Errno::ENOBUFS }));
    assert_eq!(unconnected(&mut b), 0, "of this host");
}
