//! Announcements: their order and number, repetition of those that could not be sent, limits on those that other hosts cause; and the
//! order of work when many virtual routers take over at once. Read first: `bench.rs`.

use crate::bench::*;
use kalived::config::model::{Family, InstanceConfig};
use kalived::event::{Errno, Event, NetEv};
use kalived::time::Duration;
use kalived::vrrp::State;
use std::collections::BTreeMap;
use std::net::IpAddr;

const S: Duration = Duration::from_secs(1);
const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn many6(n: usize) -> InstanceConfig {
    let mut c = InstanceConfig::new("VI_1", "eth0", 51, Family::V6);
    c.vips = vec![vip("fe80::100")];
    c.excluded = (1..n).map(|i| vip(&format!("2001:db8::1:{i:x}"))).collect();
    c
}

fn many(n: usize) -> InstanceConfig {
    let mut c = v3();
    c.vips = (0..n.min(100)).map(|i| vip(&format!("198.18.1.{}", 1 + i))).collect();
    c.excluded = (100..n).map(|i| vip(&format!("198.18.{}.{}", 1 + i / 200, 1 + i % 200))).collect();
    c
}

/// Addresses in the order in which they were announced.
fn announced(b: &Bench) -> Vec<IpAddr> {
    let of = |o: &Out| match o {
        Out::Frame(f) if f[12..14] == [8, 6] => {
            Some(IpAddr::from(<[u8; 4]>::try_from(&f[28..32]).expect("four bytes")))
        }
        Out::Frame(f) => Some(IpAddr::from(<[u8; 16]>::try_from(&f[62..78]).expect("sixteen bytes"))),
        _ => None,
    };
    b.out.iter().filter_map(of).collect()
}

fn counts(of: &[IpAddr]) -> BTreeMap<IpAddr, usize> {
    let mut counts = BTreeMap::new();
    of.iter().for_each(|a| *counts.entry(*a).or_default() += 1);
    counts
}

/// Panics when an address comes for the n-th time before every address came n-1 times.
fn in_rounds(of: &[IpAddr], addresses: usize, times: usize) {
    assert_eq!(of.len(), addresses * times);
    for round in of.chunks(addresses) {
        assert_eq!(counts(round).len(), addresses, "each once: {round:?}");
    }
}

#[test]
fn every_address_is_announced_once_before_any_twice() {
    let sizes = [3, 40, 500];
    for (n, c) in sizes.into_iter().flat_map(|n| [(n, many(n)), (n, many6(n))]) {
        let mut b = Bench::master(c);
        b.event(Event::Net(NetEv::LinkNew(link(ETH0, "eth0", false))));
        b.event(Event::Net(NetEv::LinkNew(link(ETH0, "eth0", true))));
        b.out.clear();
        b.run(S * 5);
        in_rounds(&announced(&b), n, 5);
    }
}

#[test]
fn an_address_that_the_kernel_is_slow_to_confirm_is_waited_for_before_the_second_round() {
    for gap in [Duration::ZERO, ms(1)] {
        let mut c = many(3);
        c.garp.garp_interval = gap;
        let mut b = Bench::new(c);
        b.answer = false;
        b.run(S * 4);
        assert_eq!((b.state(), b.unanswered.len(), b.frames()), (State::Master, 3, 0));
        let mut open = std::mem::take(&mut b.unanswered).into_iter();
        for k in 1..=2 {
            b.event(Event::Net(NetEv::Reply { req: open.next().unwrap(), result: Ok(()) }));
            b.run(ms(20));
            assert_eq!(announced(&b).len(), k, "once, and at once");
        }
        b.event(Event::Net(NetEv::Reply { req: open.next().unwrap(), result: Ok(()) }));
        b.run(ms(100));
        in_rounds(&announced(&b), 3, 5);
    }
}

#[test]
fn nobody_waits_for_an_address_that_the_kernel_refuses_or_does_not_answer_for() {
    for refused in [true, false] {
        let mut b = Bench::new(many(2));
        b.answer = false;
        b.run(S * 4);
        let open = std::mem::take(&mut b.unanswered);
        b.event(Event::Net(NetEv::Reply { req: open[0], result: Ok(()) }));
        if refused {
            b.event(Event::Net(NetEv::Reply { req: open[1], result: Err(Errno(22)) }));
        }
        b.run(ms(500));
        assert_eq!(b.frames(), if refused { 5 } else { 1 });
        b.run(ms(600));
        assert_eq!(b.frames(), 5, "a second is long enough");
    }
}

#[test]
fn a_slice_is_under_way_at_a_time_and_the_next_waits_for_its_completion() {
    let mut b = Bench::new(many(100));
    b.answer_frames = false;
    b.run(S * 4);
    let first = b.frames();
    assert!(first > 0 && first <= 16 && b.slices.len() == 1, "{first} in {:?}", b.slices);
    b.run(S * 2);
    assert_eq!((b.frames(), b.slices.len()), (first, 1), "whatever time passes");
    for _ in 0..200 {
        for (ifindex, batch, sent) in std::mem::take(&mut b.slices) {
            b.event(Event::Frames { ifindex, batch, sent, errno: None });
            // An answer that comes twice, or for another slice, is ignored.
            b.event(Event::Frames { ifindex, batch, sent, errno: None });
            b.event(Event::Frames { ifindex, batch: batch + 1000, sent, errno: None });
        }
        b.run(ms(2));
        assert!(b.slices.len() <= 1);
    }
    b.out.retain(|o| matches!(o, Out::Frame(_)));
    in_rounds(&announced(&b)[..500], 100, 5);
}

#[test]
fn behind_four_full_slices_the_loop_sleeps() {
    let mut b = Bench::master(many(100));
    b.out.clear();
    b.event(Event::Net(NetEv::LinkNew(kalived::event::Link {
        mac: Some([2, 0, 0, 0, 0, 0x77]),
        ..link(ETH0, "eth0", true)
    })));
    let (mut slices, mut awake, mut longest) = (0, 0, 0);
    while b.frames() < 500 {
        let before = b.frames();
        b.fire();
        assert!(b.frames() - before <= 16);
        slices += usize::from(b.frames() - before == 16);
        let Some((next, _)) = b.world.next_deadline() else { break };
        awake += b.frames() - before;
        longest = longest.max(awake);
        assert!(next > b.now.mono, "one slice in a turn");
        if next > b.now.mono + Duration::from_nanos(1) {
            awake = 0;
        }
        b.turn_to(next);
    }
    assert_eq!(b.frames(), 500);
    assert!(slices >= 25, "{slices}");
    assert_eq!(longest, 64, "frames from one sleep to the next");
}

#[test]
fn a_frame_that_could_not_be_sent_is_tried_again_until_it_has_left() {
    let mut b = Bench::new(many(100));
    b.room = 5;
    // ENOBUFS, ENETDOWN, EPERM: whatever it is.
    b.frame_errors.extend([105, 100, 1, 105, 105].map(Errno));
    b.run(ms(3_850));
    // The first address is requested alone.
    assert_eq!(b.frames(), 21, "pauses of 10, 20, 40, 80 ms, and one that is not over");
    b.run(S * 10);
    // Two bursts of five.
    let all = counts(&announced(&b));
    assert_eq!(all.len(), 100);
    assert!(all.values().all(|n| *n == 10), "{all:?}");
}

#[test]
fn the_pause_before_another_try_grows_to_a_second() {
    let mut b = Bench::new(v3());
    b.room = 0;
    b.frame_errors.extend((0..30).map(|_| Errno(105)));
    b.run(S * 4);
    assert_eq!(b.frames(), 0);
    b.run(S * 20);
    assert!((2..=8).contains(&b.frame_errors.len()), "{} tries left", b.frame_errors.len());
}

#[test]
fn what_was_not_sent_is_dropped_when_the_router_is_no_longer_master() {
    let c = many(100);
    let mut b = Bench::new(c.clone());
    b.room = 3;
    b.frame_errors.extend((0..100).map(|_| Errno(105)));
    b.run(S * 4);
    assert_eq!(b.state(), State::Master);
    b.rx(&c, PEER, 200, S);
    assert_eq!(b.state(), State::Backup);
    b.frame_errors.clear();
    b.room = usize::MAX;
    b.out.clear();
    b.run(S * 3);
    assert_eq!((b.frames(), b.state()), (0, State::Backup));
    // Master again: from the beginning, all of them.
    b.run(S * 5);
    in_rounds(&announced(&b)[..500], 100, 5);
}

#[test]
fn a_lower_priority_does_not_cancel_the_second_burst_of_the_takeover() {
    let c = v3();
    let mut b = Bench::new(c.clone());
    b.run(ms(3_609) + ms(1));
    assert_eq!((b.state(), b.frames()), (State::Master, 5));
    b.run(S * 2);
    b.rx(&c, PEER, 50, S);
    b.run(S * 2);
    b.out.clear();
    // 5 s after the takeover, and 5 s after the answer.
    b.run(S + ms(10));
    assert_eq!(b.frames(), 5, "garp_master_delay counts from the takeover");
    b.run(S * 3);
    assert_eq!(b.frames(), 10, "garp_lower_prio_delay from the answer");
}

#[test]
fn adverts_of_a_lower_priority_are_answered_at_once_and_cause_few_announcements() {
    for interval in [ms(100), S * 3] {
        let mut c = many(150);
        c.advert_int = interval;
        let mut b = Bench::new(c.clone());
        b.run(S * 60);
        assert_eq!(b.state(), State::Master);
        b.out.clear();
        // 100 a second for three seconds, as any host on the link can send them.
        for _ in 0..300 {
            b.rx(&c, PEER, 50, interval);
            b.run(ms(10));
        }
        assert!(b.adverts() >= 290, "{}", b.adverts());
        let bursts = (3_000 / 1_000_u128.max(interval.as_millis()) + 1) as usize;
        assert!(b.frames() >= 5 * 150 && b.frames() <= bursts * 6 * 150, "{} frames", b.frames());
        // The last announcement is the Master's: hosts may have received the other router's just before.
        b.out.clear();
        b.rx(&c, PEER, 50, interval);
        b.run(interval.max(S) + ms(10));
        assert!(counts(&announced(&b)).len() == 150, "{}", b.frames());
    }
}

/// An advert of a better priority and then its farewell make a router Backup and Master again, as often as a host on the link likes. Each
/// takeover announces every address, because hosts may point to the other router; the repetitions are those of one takeover.
#[test]
fn takeovers_that_follow_each_other_announce_each_address_once() {
    for interval in [ms(100), S * 3] {
        let mut c = InstanceConfig { priority: 254, advert_int: interval, ..many(150) };
        c.garp.delay = S * 5;
        let mut b = Bench::new(c.clone());
        b.run(S * 20);
        b.out.clear();
        let (pause, before) = (interval.max(S), b.view().stats.become_master);
        let start = b.now.mono;
        for _ in 0..40 {
            b.rx(&c, PEER, 255, interval);
            b.rx(&c, PEER, 0, interval);
            // Skew_Time, and the kernel's confirmations.
            b.run(ms(30));
            // An answer to a lower advert belongs to the limit, too.
            b.rx(&c, PEER, 50, interval);
        }
        let took = (b.view().stats.become_master - before) as usize;
        assert!(took >= 39, "{took}");
        // In each pause one takeover and one answer with all repetitions.
        let pauses = (b.now.mono.since(start).as_millis() / pause.as_millis() + 1) as usize;
        assert!(b.frames() <= 150 * (took + pauses * 10), "{} frames of {took} takeovers", b.frames());
        assert!(counts(&announced(&b)).values().all(|n| *n >= took - 1), "each takeover announces");
        // The last of them makes up for it.
        b.out.clear();
        b.run(pause + ms(200));
        assert!(counts(&announced(&b)).values().all(|n| *n >= 5), "{:?}", counts(&announced(&b)));
        // A takeover later on is a first one.
        b.run(S * 20);
        b.rx(&c, PEER, 255, interval);
        b.rx(&c, PEER, 0, interval);
        b.out.clear();
        b.run(ms(200));
        in_rounds(&announced(&b), 150, 5);
    }
}

#[test]
fn when_many_take_over_every_advert_leaves_before_the_first_address() {
    let routers = |n: u8| -> Vec<InstanceConfig> {
        let one = |i: u8| {
            let mut c = InstanceConfig { vrid: i, name: format!("VI_{i}"), ..v3() };
            c.vips = (1..=8).map(|v| vip(&format!("198.18.{v}.{i}"))).collect();
            c
        };
        (1..=n).map(one).collect()
    };
    // The first address of each before the second of any.
    let mut b = Bench::cold(routers(30));
    b.start();
    b.answer = false;
    b.run(S * 4);
    assert_eq!(b.wanted.len(), 64, "a window of requests");
    let first = &b.wanted[..30];
    let whose: std::collections::BTreeSet<String> =
        first.iter().map(|a| a.to_string().rsplit('.').next().unwrap().to_owned()).collect();
    assert_eq!(whose.len(), 30, "one of each router: {first:?}");
    let mut b = Bench::cold(routers(30));
    b.start();
    b.run(S * 4);
    assert!(b.world.views().iter().all(|v| v.state == State::Master));
    let first_add = b.out.iter().position(|o| matches!(o, Out::Add(_))).unwrap();
    let before = b.out[..first_add].iter().filter(|o| matches!(o, Out::Advert(_))).count();
    assert_eq!(before, 30, "adverts before the first address");
    // Farewells leave together as well.
    b.out.clear();
    b.term();
    let stops = b.out.iter().take_while(|o| matches!(o, Out::Stop(Some(_)))).count();
    assert_eq!(stops, 30, "farewells before anything else");
}

#[test]
fn a_takeover_that_is_due_in_a_moment_goes_before_what_takes_long() {
    let one = |vrid: u8| {
        let mut c = InstanceConfig { vrid, name: format!("VI_{vrid}"), ..v3() };
        c.vips = vec![vip(&format!("198.18.1.{vrid}"))];
        c
    };
    for (apart, waits) in [(300, true), (3_000, false)] {
        let mut b = Bench::cold(vec![one(1), one(2)]);
        b.start();
        b.rx(&one(1), PEER, 200, S);
        b.run(Duration::from_micros(apart));
        b.rx(&one(2), PEER, 200, S);
        b.out.clear();
        b.run(S * 4);
        assert!(b.world.views().iter().all(|v| v.state == State::Master));
        let at = |which: fn(&Out) -> bool| b.out.iter().position(which).expect("it comes");
        let second = 1 + b.out.iter().skip(1).position(|o| matches!(o, Out::Advert(_))).expect("a second advert");
        assert!(matches!(b.out[0], Out::Advert(_)));
        for (what, first) in
            [("announcement", at(|o| matches!(o, Out::Frame(_)))), ("armed", at(|o| matches!(o, Out::Armed(..))))]
        {
            assert_eq!(second < first, waits, "{apart} us apart: {what}");
        }
    }
}

#[test]
fn many_addresses_are_asked_for_some_at_a_time() {
    let mut b = Bench::new(many(2000));
    b.answer = false;
    let mut asked = Vec::new();
    while b.state() != State::Master {
        let next = b.world.next_deadline().unwrap().0;
        b.run(next.since(b.now.mono));
    }
    for _ in 0..5_000 {
        for req in std::mem::take(&mut b.unanswered) {
            asked.push(b.now.mono);
            b.event(Event::Net(NetEv::Reply { req, result: Ok(()) }));
        }
        if b.frames() == 0 {
            assert!(asked.len() <= 64, "the first is announced before the last is asked for");
        }
        let next = b.world.next_deadline().unwrap().0;
        b.run(next.since(b.now.mono).min(ms(1)));
    }
    b.run(ms(200));
    assert_eq!(asked.len() + b.unanswered.len(), 2000);
    assert!(asked.iter().filter(|at| **at == asked[0]).count() <= 64);
}
