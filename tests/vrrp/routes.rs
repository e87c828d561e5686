//! Static routes: added, kept, put back, changed, removed; and the reports of it.

use crate::bench::{Bench, ETH0, Out, addr, link, v2};
use kalived::config::load;
use kalived::config::model::Config;
use kalived::config::source::{FileError, Files};
use kalived::effect::{Effect, GuardFx, NetOp};
use kalived::event::{AddrInfo, Errno, Event, GuardEv, NetEv};
use kalived::route::{ROUTE_PROTO, RouteSpec};
use kalived::time::{Duration, Instant};
use kalived::world::World;

struct Text(String);

impl Files for Text {
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        match path {
            "k.conf" => Ok(self.0.clone().into_bytes()),
            _ => Err(FileError { errno: Some(2), reason: "no such file".into() }),
        }
    }
}

/// A configuration with these lines, and its messages.
fn config(lines: &str) -> (Config, Vec<String>) {
    let text = format!(
        "vrrp_instance VI_1 {{\n interface eth0\n virtual_router_id 51\n priority 100\n virtual_ipaddress {{ 198.18.0.100 }}\n}}\nstatic_routes {{\n{lines}\n}}\n"
    );
    let loaded = load(&Text(text), "k.conf");
    (loaded.config, loaded.diags.into_iter().map(|d| d.message).collect())
}

fn cold(lines: &str) -> Bench {
    let (mut config, said) = config(lines);
    assert!(said.is_empty(), "{said:?}");
    config.instances = vec![v2()];
    Bench::of(World::new(config))
}

/// A started world. Everything that is due at once is done.
fn bench(lines: &str) -> Bench {
    let mut b = cold(lines);
    b.start();
    b.run(Duration::from_millis(1));
    b
}

fn reload(b: &mut Bench, lines: &str) {
    let (mut config, said) = config(lines);
    assert!(said.is_empty(), "{said:?}");
    config.instances = vec![v2()];
    b.event(Event::Guard(GuardEv::Config(Box::new(config))));
    b.run(Duration::from_millis(1));
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[test]
fn added_at_start_with_our_tag_and_removed_at_the_end() {
    let mut b = bench(
        "10.1.0.0/16 via 198.18.0.1\n default dev eth0 metric 7\n 2001:db8:1::/48 via fe80::1 dev eth0\n blackhole 10.9.0.0/16",
    );
    assert!(b.routes.watched);
    assert_eq!(b.routes.names(), ["10.1.0.0/16", "10.9.0.0/16", "2001:db8:1::/48", "default metric 7"]);
    assert!(b.routes.routes.iter().all(|r| r.proto == ROUTE_PROTO));
    let view = b.world.routes();
    assert_eq!((view.lines, view.held, view.waiting), (4, 4, 0));
    b.run(Duration::from_secs(30));
    assert_eq!(b.routes.asked.len(), 4, "asked for once: {:?}", b.routes.asked);
    b.term();
    b.run(ms(1));
    assert_eq!(b.routes.names(), [""; 0]);
    assert!(b.out.iter().any(|o| matches!(o, Out::Exit(_))));
}

#[test]
fn who_has_none_asks_for_none() {
    let mut b = Bench::new(v2());
    b.run(Duration::from_secs(5));
    assert!(!b.routes.watched && b.routes.asked.is_empty());
}

#[test]
fn put_back_at_once_then_with_a_growing_pause_and_reported_once() {
    let mut b = bench("10.1.0.0/16 via 198.18.0.1");
    for n in 0..40 {
        if b.routes.routes.is_empty() {
            b.run(ms(250));
            continue;
        }
        let gone = b.routes.take("10.1.0.0");
        b.event(gone);
        let at = b.now.mono;
        b.run(ms(5));
        if n == 0 {
            assert_eq!((b.routes.names().len(), b.now.mono.since(at)), (1, ms(5)), "within the doubt");
        }
    }
    assert_eq!(b.logged("was removed by another program"), 1);
    assert!(b.world.routes().restored > 5);
    b.run(Duration::from_secs(2));
    assert_eq!(b.routes.names(), ["10.1.0.0/16"]);
}

#[test]
fn no_track_is_left_to_others() {
    let mut b = bench("10.1.0.0/16 via 198.18.0.1 no_track\n 10.2.0.0/16 via 198.18.0.1 no_track protocol 77");
    let proto: Vec<u8> = b.routes.routes.iter().map(|r| r.proto).collect();
    assert!(proto.contains(&77) && proto.contains(&ROUTE_PROTO), "{proto:?}");
    let gone = b.routes.take("10.1.0.0");
    b.event(gone);
    b.run(Duration::from_secs(20));
    b.dump();
    b.run(Duration::from_secs(20));
    assert_eq!(b.routes.names(), ["10.2.0.0/16"], "neither put back");
    b.term();
    b.run(ms(1));
    assert_eq!(b.routes.names(), [""; 0], "and both removed at the end");
}

/// The successor of a frozen world removes what its own configuration does not have: that is no loss, and nothing is put back.
#[test]
fn what_the_successor_removes_is_not_put_back() {
    let mut b = bench("10.1.0.0/16 via 198.18.0.1\n 10.2.0.0/16 via 198.18.0.1");
    crate::handover::freeze(&mut b);
    let gone = b.routes.take("10.1.0.0");
    b.event(gone);
    b.run(Duration::from_secs(2));
    assert_eq!(b.routes.names(), ["10.2.0.0/16"]);
    // Stopped by an operator: the other one is removed, and the first one is not made for that.
    let asked = b.routes.asked.len();
    b.event(Event::Signal(kalived::event::Signal::Term));
    b.run(ms(1));
    b.event(Event::Guard(GuardEv::Successor { in_charge: false }));
    b.run(Duration::from_secs(2));
    assert_eq!((b.routes.names(), b.logged("putting it back")), (vec![], 0), "{:?}", b.log);
    assert_eq!(b.routes.asked.len(), asked + 1, "{:?}", b.routes.asked);
}

#[test]
fn a_route_waits_for_its_interface() {
    let mut b = bench("10.1.0.0/16 via 198.19.0.1 dev eth7\n 10.2.0.0/16 via 198.18.0.1 dev eth0");
    assert_eq!((b.routes.names(), b.world.routes().waiting), (vec!["10.2.0.0/16".to_owned()], 1));
    // The interface exists and is down; then it is up.
    b.event(Event::Net(NetEv::LinkNew(link(9, "eth7", false))));
    b.run(ms(20));
    assert_eq!(b.routes.names().len(), 1);
    b.event(Event::Net(NetEv::LinkNew(link(9, "eth7", true))));
    b.run(ms(1));
    assert_eq!(b.routes.names().len(), 2);
    // The interface is down: the kernel removes the routes without a report. The log has no loss, and they are added again when it is up.
    let over = |r: &RouteSpec| r.hops.iter().any(|h| h.ifindex == 9);
    b.routes.routes.retain(|r| !over(r));
    b.event(Event::Net(NetEv::LinkNew(link(9, "eth7", false))));
    b.run(ms(50));
    assert_eq!((b.routes.names().len(), b.world.routes().waiting), (1, 1));
    b.event(Event::Net(NetEv::LinkNew(link(9, "eth7", true))));
    b.run(ms(1));
    assert_eq!(b.routes.names().len(), 2);
    // The interface is deleted and made again with another index.
    b.routes.routes.retain(|r| !over(r));
    b.event(Event::Net(NetEv::LinkDel { ifindex: 9 }));
    b.event(Event::Net(NetEv::LinkNew(link(12, "eth7", true))));
    b.run(ms(20));
    assert!(b.routes.routes.iter().any(|r| r.hops.iter().any(|h| h.ifindex == 12)), "{:?}", b.routes.routes);
    assert_eq!(b.logged("another program"), 0);
}

#[test]
fn of_several_ways_those_that_are_there() {
    let mut b = bench("default nexthop via 198.18.0.1 dev eth0 weight 3 nexthop via 198.19.0.1 dev eth7");
    let hops = |b: &Bench| -> Vec<(u32, u8)> { b.routes.routes[0].hops.iter().map(|h| (h.ifindex, h.hops)).collect() };
    assert_eq!(hops(&b), [(ETH0, 2)]);
    b.event(Event::Net(NetEv::LinkNew(link(9, "eth7", true))));
    b.run(ms(1));
    assert_eq!((hops(&b), b.routes.routes.len()), (vec![(ETH0, 2), (9, 0)], 1));
    assert!(matches!(b.routes.asked.last(), Some(NetOp::RouteChange(..))), "in one go");
}

#[test]
fn a_reload_adds_and_removes_the_difference() {
    let mut b = bench("10.1.0.0/16 via 198.18.0.1\n 10.2.0.0/16 via 198.18.0.1\n 10.3.0.0/16 via 198.18.0.1");
    b.routes.asked.clear();
    reload(
        &mut b,
        "\n 10.1.0.0/16 via 198.18.0.1\n 10.3.0.0/16 via 198.18.0.1 src 198.18.0.20\n 10.4.0.0/16 via 198.18.0.1",
    );
    let mut asked: Vec<String> = (b.routes.asked.iter())
        .map(|op| match op {
            NetOp::RouteAdd(r) => format!("add {}", r.id),
            NetOp::RouteDel(r) => format!("del {}", r.id),
            NetOp::RouteChange(old, new) => format!("change {} src {:?} to {:?}", old.id, old.src, new.src),
            other => format!("{other:?}"),
        })
        .collect();
    asked.sort();
    assert_eq!(asked, ["add 10.4.0.0/16", "change 10.3.0.0/16 src None to Some(198.18.0.20)", "del 10.2.0.0/16"]);
    reload(&mut b, "");
    assert_eq!(b.routes.names(), [""; 0]);
    // A reload may add the first routes of the process.
    let mut b = Bench::new(v2());
    reload(&mut b, "10.1.0.0/16 via 198.18.0.1");
    assert!(b.routes.watched && b.routes.names() == ["10.1.0.0/16"]);
}

#[test]
fn what_the_kernel_refuses_is_reported_once_and_tried_when_something_changes() {
    let mut b = cold("10.1.0.0/16 via 198.18.9.1");
    b.routes.refuse = Some(Errno(101));
    b.start();
    b.run(Duration::from_secs(10));
    assert_eq!(b.logged("static route 10.1.0.0/16 cannot be added: the gateway is not reachable"), 1);
    assert!((10..25).contains(&b.routes.asked.len()), "{} tries in 10 s", b.routes.asked.len());
    b.routes.refuse = None;
    b.event(Event::Net(NetEv::AddrNew(addr(ETH0, "198.18.9.20", 24, 0))));
    b.run(ms(5));
    assert_eq!(b.routes.names(), ["10.1.0.0/16"]);
}

/// The kernel flushes the routes of a removed source address, and all of IPv4 with the last address, without a report.
#[test]
fn an_address_that_goes_takes_routes_along() {
    let mut b = bench("10.1.0.0/16 via 198.18.0.1 src 198.18.0.20\n 10.2.0.0/16 via 198.18.0.1 dev eth0");
    b.routes.routes.clear();
    let gone: Vec<AddrInfo> = b.kernel.iter().filter(|a| a.addr.is_ipv4()).cloned().collect();
    for a in &gone {
        b.event(Event::Net(NetEv::AddrDel { ifindex: a.ifindex, addr: a.addr, prefix: a.prefix, by: None }));
    }
    b.run(ms(10));
    gone.into_iter().for_each(|a| b.event(Event::Net(NetEv::AddrNew(a))));
    b.run(ms(20));
    assert_eq!((b.routes.names().len(), b.logged("another program")), (2, 0));
}

#[test]
fn left_overs_are_kept_changed_or_named() {
    let old = bench("10.1.0.0/16 via 198.18.0.1\n 10.2.0.0/16 via 198.18.0.1\n 10.3.0.0/16 via 198.18.0.1");
    let mut b = cold("10.1.0.0/16 via 198.18.0.1\n 10.2.0.0/16 via 198.18.0.2");
    b.routes.routes.clone_from(&old.routes.routes);
    b.start();
    b.run(ms(1));
    assert_eq!(b.routes.names(), ["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"]);
    assert!(matches!(&b.routes.asked[..], [NetOp::RouteChange(..)]), "{:?}", b.routes.asked);
    assert_eq!(
        b.logged("routes with protocol keepalived that this configuration does not have: 10.3.0.0/16; they stay"),
        1
    );
}

/// From one process to the next a route in both files is not touched; one in the first file alone is removed.
#[test]
fn over_an_upgrade() {
    let mut old = bench("10.1.0.0/16 via 198.18.0.1\n 10.2.0.0/16 via 198.18.0.1");
    let now = old.now;
    let snapshot = old.world.snapshot(now).expect("there is something to say");
    let (mut config, _) = config("10.1.0.0/16 via 198.18.0.1\n 10.3.0.0/16 via 198.18.0.1");
    config.instances = vec![v2()];
    let mut new = Bench::of(World::standby(config));
    new.routes.routes.clone_from(&old.routes.routes);
    new.start();
    assert!(new.asked.iter().any(|e| matches!(e, Effect::Guard(GuardFx::StandingBy))) && new.routes.asked.is_empty());
    new.event(Event::Guard(GuardEv::Go { snapshot: Some(Box::new(snapshot)), dead_since: Some(Instant(now.mono.0)) }));
    new.run(ms(1));
    let asked: Vec<String> = new.routes.asked.iter().map(|op| format!("{op:?}")).collect();
    assert_eq!(new.routes.names(), ["10.1.0.0/16", "10.3.0.0/16"]);
    assert_eq!(asked.len(), 2, "{asked:?}");
}

/// The new file has no route at all: those of the first one are read, and removed.
#[test]
fn over_an_upgrade_to_a_file_without_routes() {
    let mut old = bench("10.1.0.0/16 via 198.18.0.1\n 10.2.0.0/16 via 198.18.0.1");
    let mut new = Bench::of(World::standby(Config { instances: vec![v2()], ..Config::default() }));
    new.routes.routes.clone_from(&old.routes.routes);
    (new.now, new.kernel) = (old.now, old.kernel.clone());
    new.start();
    old.event(Event::Guard(GuardEv::Freeze));
    let snapshot = Some(Box::new(old.world.last_snapshot(old.now)));
    new.event(Event::Guard(GuardEv::Go { snapshot, dead_since: None }));
    assert!(new.routes.watched && new.world.stands_by(), "they are read first");
    new.dump();
    new.run(ms(1));
    assert!(new.routes.names().is_empty(), "{:?}", new.routes.names());
    // The first process sees them go, and says nothing.
    for route in old.routes.routes.clone() {
        old.event(Event::Net(NetEv::RouteDel(Box::new(route), None)));
    }
    old.run(ms(100));
    assert_eq!(old.logged("removed by another program"), 0, "{:?}", old.log);
}

/// A core died, and the next one is asked to stop before it is in charge: no other process is left that knows of the routes.
#[test]
fn stopped_before_it_went_on() {
    let mut old = bench("10.1.0.0/16 via 198.18.0.1\n 10.2.0.0/16 via 198.18.0.1");
    let now = old.now;
    let snapshot = old.world.snapshot(now).expect("there is something to say");
    let (mut config, _) = config("10.1.0.0/16 via 198.18.0.1");
    config.instances = vec![v2()];
    let mut new = Bench::of(World::standby(config));
    new.routes.routes.clone_from(&old.routes.routes);
    new.event(Event::Start);
    new.event(Event::Guard(GuardEv::Go { snapshot: Some(Box::new(snapshot)), dead_since: Some(Instant(now.mono.0)) }));
    new.term();
    new.dump();
    new.run(ms(1));
    assert!(new.routes.names().is_empty(), "{:?}", new.routes.names());
    assert!(matches!(new.out.last(), Some(Out::Exit(_))), "{:?}", new.out);
}

#[test]
fn a_lost_message_is_made_good_by_a_dump() {
    let mut b = bench("10.1.0.0/16 via 198.18.0.1\n 10.2.0.0/16 via 198.18.0.1");
    let _ = b.routes.take("10.2.0.0");
    b.event(Event::Net(NetEv::Lost));
    b.dump();
    b.run(ms(1));
    assert_eq!(b.routes.names(), ["10.1.0.0/16", "10.2.0.0/16"]);
}

/// 5,000 routes: no turn handles more than a slice of them.
#[test]
fn thousands_come_in_slices() {
    let lines: String = (0..5_000).map(|n| format!(" 10.{}.{}.0/24 via 198.18.0.1\n", n / 250, n % 250)).collect();
    let mut b = cold(&lines);
    b.answer = false;
    b.start();
    let mut most = 0;
    while b.world.next_deadline().is_some_and(|(at, _)| at <= b.now.mono + ms(1)) {
        let before = b.unanswered.len();
        b.now.mono += Duration::from_nanos(1);
        b.fire();
        most = most.max(b.unanswered.len() - before);
    }
    assert!(most <= 64, "{most} in one turn");
}

/// The mistake in a wrong line is reported; the other lines count.
#[test]
fn lines_that_cannot_be() {
    for (line, what) in [
        (
            "10.1.0.0/16 via 198.18.0.1 table nowhere_such",
            "unknown name `nowhere_such` in rt_tables: the line is ignored",
        ),
        ("blackhole 10.1.0.0/16 dev eth0", "a route that leads nowhere has no way: the line is ignored"),
        ("2001:db8::/32 via 198.18.0.1", "an IPv6 route cannot have an IPv4 gateway: the line is ignored"),
        ("10.1.0.0/16 dev eth0 rtt 5parsecs", "unknown rtt `5parsecs`: the line is ignored"),
    ] {
        let (config, said) = config(&format!("{line}\n 10.7.0.0/16 via 198.18.0.1"));
        assert!(said.iter().any(|s| s == what), "{line}: {said:?}");
        assert_eq!(config.static_routes.len(), 1, "{line}");
    }
    let mut b = bench("10.1.0.0/16 via 198.18.0.1\n 10.1.5.5/16 via 198.18.0.2");
    b.run(ms(1));
    assert_eq!((b.routes.names().len(), b.logged("static route 10.1.0.0/16 stands twice in its block")), (1, 1));
}
