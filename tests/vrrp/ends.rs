//! A stop at an inconvenient time: before the process is in charge after another one, and a second time while it stops. No address stays.
//!
//! Read first: `handover.rs`.

use crate::bench::*;
use crate::handover::{beside, written};
use kalived::config::model::{Config, Family, InstanceConfig};
use kalived::event::{Event, GuardEv, NetEv};
use kalived::exit::ExitCode;
use kalived::time::Duration;
use kalived::vrrp::State;
use kalived::world::World;

const MS: Duration = Duration::from_millis(1);

/// A process in standby that was started after one that died or hung: the addresses of that one are on the interfaces, and no other
/// process is left to remove them.
#[test]
fn who_is_asked_to_stop_before_it_went_on_removes_what_it_was_to_go_on_with() {
    let vip = || Out::Del(ip("198.18.0.100"));
    let old = Bench::master(v3());
    let word = || written(&old.world.last_snapshot(old.now));
    let on = |world: World| {
        let mut b = Bench::of(world);
        (b.now, b.links, b.kernel) = (old.now, old.links.clone(), old.kernel.clone());
        b
    };
    let config = || Config { instances: vec![v3()], ..Config::default() };
    let ends = |b: &mut Bench, what: &str| {
        b.run(MS);
        assert_eq!(b.out.iter().filter(|o| **o == vip()).count(), 1, "{what}: {:?}", b.out);
        assert!(matches!(b.out.last(), Some(Out::Exit(ExitCode::Ok))), "{what}: {:?}", b.out);
        assert_eq!(b.adverts() + b.frames(), 0, "{what}: it was never Master");
        assert!(b.kernel.iter().all(|a| a.addr != ip("198.18.0.100")), "{what}");
    };
    // It stands by.
    let mut b = beside(&old, vec![v3()]);
    b.term();
    ends(&mut b, "standby");
    // The kernel has not answered yet: with and without standby, with and without `Go`.
    for (world, told) in
        [(World::standby(config()), false), (World::standby(config()), true), (World::new(config()), false)]
    {
        let mut b = on(world);
        b.event(Event::Start);
        if told {
            b.event(Event::Guard(GuardEv::Go { snapshot: Some(word()), dead_since: Some(old.now.mono) }));
        }
        b.term();
        assert!(!b.out.iter().any(|o| matches!(o, Out::Exit(_))), "not before it is known what is there");
        b.dump();
        ends(&mut b, "reading");
    }
    // It reads the kernel's state again after a loss, and `Go` came meanwhile.
    let mut b = beside(&old, vec![v3()]);
    b.event(Event::Net(NetEv::Lost));
    b.event(Event::Guard(GuardEv::Go { snapshot: Some(word()), dead_since: Some(old.now.mono) }));
    b.term();
    b.dump();
    ends(&mut b, "reading again");
}

/// A second request to stop ends only the wait for programs.
#[test]
fn asked_twice_to_stop_it_still_removes_every_address() {
    let mut cfg = v3();
    cfg.vips = (0..200).map(|n| vip(&format!("198.18.1.{n}"))).collect();
    let mut b = Bench::master(cfg);
    b.run(MS * 10);
    let held = b.kernel.len();
    assert!(held > 200, "{held}");
    let ended = |b: &Bench| b.out.iter().any(|o| matches!(o, Out::Exit(_)));
    // The kernel has not answered yet.
    b.answer = false;
    b.term();
    let asked = std::mem::take(&mut b.unanswered);
    assert!(!asked.is_empty() && asked.len() < 200, "{}", asked.len());
    b.term();
    b.term();
    b.run(MS * 100);
    assert!(!ended(&b), "it still has addresses");
    b.answer = true;
    for req in asked {
        b.event(Event::Net(NetEv::Reply { req, result: Ok(()) }));
    }
    b.run(MS);
    assert!(ended(&b));
    let deleted = b.out.iter().filter(|o| matches!(o, Out::Del(_))).count();
    assert!(deleted > 100, "all but those that were on their way: {deleted}");
}

/// An orderly stop of as many virtual routers as a link can have: every farewell leaves before anything else is done.
#[test]
fn of_255_routers_every_farewell_leaves_first() {
    for family in [Family::V4, Family::V6] {
        let one = move |vrid: u8| {
            let name = format!("VI_{vrid}");
            let mut c = InstanceConfig::new(&name, "eth0", vrid, family);
            let vips = match family {
                Family::V4 => [format!("198.18.1.{vrid}"), format!("198.18.2.{vrid}")],
                Family::V6 => [format!("fe80::1:{vrid:x}"), format!("2001:db8::{vrid:x}")],
            };
            c.vips = vips.iter().map(|v| vip(v)).collect();
            c
        };
        // Each answer of the bench's kernel is a call within a call.
        let stop = move || {
            let mut b = Bench::cold((1..=255).map(one).collect());
            b.start();
            b.run(MS * 5_000);
            assert_eq!(b.world.views().iter().filter(|v| v.state == State::Master).count(), 255, "{family:?}");
            b.out.clear();
            b.term();
            let stops = b.out.iter().take_while(|o| matches!(o, Out::Stop(Some(_)))).count();
            assert_eq!(stops, 255, "{family:?}");
        };
        let thread = std::thread::Builder::new().stack_size(256 << 20).spawn(stop).expect("a thread");
        thread.join().expect("every farewell leaves first");
    }
}
