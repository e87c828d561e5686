//! `interface_up_down_delays`: a change of an interface counts when it has lasted. Read first: `bench.rs`.

use crate::bench::{Bench, ETH0, link, v2, v3, vip};
use kalived::config::model::vrrp::LinkDelay;
use kalived::config::model::{Config, InstanceConfig, TrackInterface};
use kalived::event::{Event, NetEv};
use kalived::time::Duration;
use kalived::vrrp::State;
use kalived::world::World;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// As Master, with these delays in milliseconds.
fn master(cfg: InstanceConfig, interface: &str, down: u64, up: u64) -> Bench {
    let delay = LinkDelay { interface: interface.into(), down: ms(down), up: ms(up) };
    let mut b = Bench::of(World::new(Config { instances: vec![cfg], link_delays: vec![delay], ..Config::default() }));
    b.links.push(link(5, "eth1", true));
    b.start();
    b.run(Duration::from_secs(10));
    assert_eq!(b.state(), State::Master);
    b
}

fn set(b: &mut Bench, ifindex: u32, name: &str, up: bool) {
    b.event(Event::Net(NetEv::LinkNew(link(ifindex, name, up))));
}

#[test]
fn a_short_loss_of_link_is_nothing() {
    let mut b = master(v2(), "eth0", 500, 0);
    for _ in 0..20 {
        set(&mut b, ETH0, "eth0", false);
        b.run(ms(400));
        set(&mut b, ETH0, "eth0", true);
        b.run(ms(400));
        assert_eq!(b.state(), State::Master);
    }
    assert_eq!(b.logged("eth0"), 0, "{:?}", b.log);
    // A dump in between repeats the report, and changes no time.
    set(&mut b, ETH0, "eth0", false);
    b.run(ms(300));
    set(&mut b, ETH0, "eth0", false);
    b.run(ms(199));
    assert_eq!(b.state(), State::Master);
    b.run(ms(1));
    assert_eq!(b.state(), State::Fault);
    // Without a delay it is up at once.
    set(&mut b, ETH0, "eth0", true);
    assert_eq!(b.state(), State::Backup);
}

#[test]
fn it_is_up_when_it_has_been_up_for_long_enough() {
    let mut b = master(v2(), "eth0", 0, 2000);
    set(&mut b, ETH0, "eth0", false);
    assert_eq!(b.state(), State::Fault, "down has no delay");
    set(&mut b, ETH0, "eth0", true);
    b.run(ms(1999));
    set(&mut b, ETH0, "eth0", false);
    b.run(ms(10));
    set(&mut b, ETH0, "eth0", true);
    b.run(ms(1999));
    assert_eq!(b.state(), State::Fault, "it began anew");
    b.run(ms(1));
    assert_eq!(b.state(), State::Backup);
}

#[test]
fn down_counts_before_a_backup_takes_over() {
    // At most two of three intervals of 100 ms, whatever the file has.
    let mut b = master(InstanceConfig { advert_int: ms(100), ..v3() }, "eth0", 60_000, 0);
    set(&mut b, ETH0, "eth0", false);
    b.run(ms(199));
    assert_eq!(b.state(), State::Master);
    b.run(ms(1));
    assert_eq!(b.state(), State::Fault);
}

#[test]
fn a_tracked_interface_too_and_what_goes_or_comes_anew_counts_at_once() {
    let mut cfg = v2();
    cfg.track_interfaces = vec![TrackInterface { name: "eth1".into(), weight: 0, reverse: false }];
    let mut b = master(cfg, "eth1", 1000, 1000);
    set(&mut b, 5, "eth1", false);
    b.run(ms(500));
    assert_eq!(b.state(), State::Master);
    b.event(Event::Net(NetEv::LinkDel { ifindex: 5 }));
    assert_eq!(b.state(), State::Fault, "it is gone");
    set(&mut b, 6, "eth1", true);
    assert_eq!(b.state(), State::Backup, "another one");
    // The pending change of the previous interface is dropped.
    b.run(Duration::from_secs(20));
    assert_eq!((b.state(), b.world.views().len()), (State::Master, 1));
    // Renamed while its change was pending.
    set(&mut b, 6, "eth1", false);
    set(&mut b, 6, "lan", false);
    assert_eq!(b.state(), State::Fault);
    b.run(Duration::from_secs(5));
    set(&mut b, 6, "eth1", true);
    b.run(ms(1));
    assert_eq!(b.state(), State::Backup);
}

#[test]
fn other_interfaces_have_no_delay() {
    let mut other = v2();
    other.vips = vec![vip("198.18.0.100")];
    let mut b = master(other, "eth9", 1000, 1000);
    set(&mut b, ETH0, "eth0", false);
    assert_eq!(b.state(), State::Fault);
}
