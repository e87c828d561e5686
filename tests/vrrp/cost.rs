//! The cost of one event does not depend on the number of virtual routers.

use crate::bench::*;
use kalived::config::model::InstanceConfig;
use kalived::effect::Effects;
use kalived::event::{AdvertEv, Event, SockEv};
use kalived::time::Duration;
use kalived::vrrp::State;

const S: Duration = Duration::from_secs(1);

fn routers(n: u8) -> Vec<InstanceConfig> {
    let one = |i: u8| {
        let mut c = InstanceConfig::new(&format!("VI_{i}"), "eth0", i, kalived::config::model::Family::V4);
        c.vips = vec![vip(&format!("198.18.1.{i}"))];
        c
    };
    (1..=n).map(one).collect()
}

/// `n` Masters: how many virtual routers are read during a second of adverts, adverts of a rival, and the turns around them.
fn looked_at(n: u8) -> u64 {
    let mut b = Bench::cold(routers(n));
    b.start();
    b.run(S * 10);
    assert!(b.world.views().iter().all(|v| v.state == State::Master));
    b.world.snapshot(b.now);
    let before = b.world.looked_at();
    let rival = advert(&routers(1)[0], PEER, 50, S);
    let mut fx = Effects::default();
    for _ in 0..n {
        let ((due, vr), epoch) = b.armed.pop_first().expect("an armed advert");
        b.now.mono = b.now.mono.max(due);
        b.world.handle(b.now, Event::Advert(AdvertEv::Sent { vr, epoch, due, result: Ok(()), missed: &[] }), &mut fx);
        let meta = kalived::event::RxMeta { src: ip(PEER), dst: None, hop_limit: None };
        let sock = b.sock.expect("a socket");
        b.world.handle(
            b.now,
            Event::Sock(SockEv::Datagram { sock, meta, age: Duration::ZERO, bytes: &rival }),
            &mut fx,
        );
        while b.world.fire(b.now, 64, &mut fx) {}
        assert!(b.world.snapshot(b.now).is_none(), "nothing to tell the next process");
    }
    b.world.looked_at() - before
}

#[test]
fn no_advert_and_no_timer_looks_at_all_virtual_routers() {
    assert_eq!((looked_at(1), looked_at(100)), (0, 0));
}

#[test]
fn a_snapshot_encodes_only_the_virtual_routers_that_changed() {
    let all = routers(100);
    let mut b = Bench::cold(all.clone());
    b.start();
    b.run(S * 10);
    let mut last = b.world.snapshot(b.now).expect("there was none yet").instances;
    let mut next = |b: &mut Bench| {
        let next = b.world.snapshot(b.now).expect("something changed").instances;
        let anew: Vec<String> = last.iter().zip(&next).filter(|(a, b)| !a.is(b)).map(|(_, b)| b.name.clone()).collect();
        last = next;
        anew
    };
    b.rx(&all[6], PEER, 200, S);
    assert_eq!(next(&mut b), ["VI_7"], "it is Backup");
    b.rx(&all[8], PEER, 200, S);
    assert_eq!(next(&mut b), ["VI_9"]);
}

#[test]
fn what_is_new_for_the_next_process_is_still_seen() {
    let mut b = Bench::master(v2());
    assert!(b.world.snapshot(b.now).is_some());
    assert!(b.world.snapshot(b.now).is_none());
    b.rx(&v2(), PEER, 200, S);
    assert_eq!(b.state(), State::Backup);
    assert!(b.world.snapshot(b.now).is_some(), "another state");
    b.rx(&v2(), "198.18.0.31", 220, S);
    assert!(b.world.snapshot(b.now).is_some(), "another Master");
    b.rx(&v2(), "198.18.0.31", 220, S);
    assert!(b.world.snapshot(b.now).is_none(), "the same again");
}
