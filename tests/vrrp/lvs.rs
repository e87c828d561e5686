//! Virtual servers in the World: the configuration is read, checks are made, verdicts lead to changes of the kernel's table, and the next
//! process takes them over.

use crate::bench::*;
use crate::handover::{beside, every, freeze};
use kalived::config::model::check::{Check, Pace};
use kalived::config::model::global::{LvsSync, LvsTimeouts};
use kalived::config::model::lvs::{
    GroupEntry, Method, Protocol, RealServer, Scheduler, ServerGroup, Service, VirtualServer, parts,
};
use kalived::config::model::vrrp::Track;
use kalived::config::model::{Config, InstanceConfig};
use kalived::effect::{ConnFx, Effect, LvsFx, LvsOp};
use kalived::event::{Errno, Event, GuardEv, LvsEv, Stream};
use kalived::id::ConnKey;
use kalived::lvs::director::NEXT_TURN;
use kalived::record::Base;
use kalived::snapshot::Snapshot;
use kalived::time::Duration;
use kalived::vrrp::State;
use kalived::wire::netlink::ipvs::{Message, ServiceKey, Timeouts};
use kalived::world::World;

const S: Duration = Duration::from_secs(1);

/// 10.0.0.11 and 10.0.0.12 behind 10.9.9.9:80, each with a TCP_CHECK every 2 s, one retry after 1 s.
pub fn web() -> VirtualServer {
    let real = |host: u8| RealServer {
        addr: [10, 0, 0, host].into(),
        port: 80,
        checks: vec![Check::default()],
        ..RealServer::default()
    };
    VirtualServer {
        service: Service::Address(ip("10.9.9.9"), 80),
        protocol: Some(Protocol::Tcp),
        scheduler: Scheduler::Rr,
        method: Method::Dr,
        pace: Pace {
            delay_loop: Some(2 * S),
            retry: Some(1),
            delay_before_retry: Some(S),
            warmup: Some(Duration::ZERO),
            ..Pace::default()
        },
        real_servers: vec![real(11), real(12)],
        ..VirtualServer::default()
    }
}

impl Bench {
    /// Answers all requests of LVS; returns the changes of the table as text. `there`: the content of its first dump.
    fn serve(&mut self, servers: &[VirtualServer], there: &[Message]) -> Vec<String> {
        self.serve_groups(&[], servers, there)
    }

    pub fn serve_groups(
        &mut self,
        groups: &[ServerGroup],
        servers: &[VirtualServer],
        there: &[Message],
    ) -> Vec<String> {
        let mut changed = Vec::new();
        for _ in 0..100 {
            let (lvs, rest): (Vec<_>, Vec<_>) =
                std::mem::take(&mut self.asked).into_iter().partition(|e| matches!(e, Effect::Lvs(_)));
            self.asked = rest;
            if lvs.is_empty() {
                // Work that waits for a turn of its own.
                self.run(NEXT_TURN + Duration::from_nanos(1));
                if !self.asked.iter().any(|e| matches!(e, Effect::Lvs(_))) {
                    return changed;
                }
            }
            for e in lvs {
                let Effect::Lvs(fx) = e else { continue };
                let answers = match fx {
                    LvsFx::Read => vec![LvsEv::Config(Ok(parts(&None, groups, servers).collect()))],
                    LvsFx::Open => vec![LvsEv::Opened(Ok(()))],
                    LvsFx::DumpWithSync => vec![LvsEv::Synced { complete: false }],
                    LvsFx::Dump(of) => {
                        let is = |m: &&Message| matches!(m, Message::Service(..)) == of.is_none();
                        let found = there.iter().filter(is).cloned().collect();
                        vec![LvsEv::Found(found), LvsEv::Synced { complete: true }]
                    }
                    LvsFx::Change { req, op: LvsOp::AskTimeouts } => {
                        let found = Timeouts { tcp: 900, tcp_fin: 120, udp: 300 };
                        vec![LvsEv::Found(vec![Message::Timeouts(found)]), LvsEv::Reply { req, result: Ok(()) }]
                    }
                    LvsFx::Change { req, op } => {
                        changed.push(match op {
                            LvsOp::Service(act, ..) => format!("{act:?} service"),
                            LvsOp::Destination(act, _, key, to) => format!("{act:?} {} w{}", key.addr, to.weight),
                            other => format!("{other:?}"),
                        });
                        vec![LvsEv::Reply { req, result: Ok(()) }]
                    }
                };
                answers.into_iter().for_each(|e| self.event(Event::Lvs(e)));
            }
        }
        panic!("no end of requests: {changed:?}");
    }

    pub fn offered(&mut self) {
        self.event(Event::Lvs(LvsEv::Offered));
    }

    /// Requested connections of checks, with the last number of their address.
    fn probes(&mut self) -> Vec<(ConnKey, u8)> {
        let mut found = Vec::new();
        for e in std::mem::take(&mut self.asked) {
            match e {
                Effect::Conn(ConnFx::Connect { conn, to, .. }) => {
                    let text = format!("{to:?}");
                    found.push((conn, if text.contains("10.0.0.11") { 11 } else { 12 }));
                }
                Effect::Conn(_) => {}
                e => self.asked.push(e),
            }
        }
        found
    }

    /// For this time `dead` refuses connections and the other one answers. Returns the changes of the table, with the time since now in
    /// milliseconds.
    fn live(&mut self, d: Duration, dead: &[u8], servers: &[VirtualServer]) -> Vec<(u64, String)> {
        self.live_groups(d, dead, &[], servers)
    }

    fn live_groups(
        &mut self,
        d: Duration,
        dead: &[u8],
        groups: &[ServerGroup],
        servers: &[VirtualServer],
    ) -> Vec<(u64, String)> {
        let (from, until) = (self.now.mono, self.now.mono + d);
        let mut changed = Vec::new();
        while self.now.mono < until {
            self.run(Duration::from_millis(10));
            for (conn, host) in self.probes() {
                let what = if dead.contains(&host) { Stream::Failed(Errno(111)) } else { Stream::Connected };
                self.event(Event::Conn { conn, what });
            }
            let at = u64::try_from(self.now.mono.since(from).as_millis()).expect("a test");
            changed.extend(self.serve_groups(groups, servers, &[]).into_iter().map(|c| (at, c)));
        }
        changed
    }
}

fn http() -> ServiceKey {
    ServiceKey::Address(kalived::wire::netlink::ipvs::Protocol::Tcp, ip("10.9.9.9"), 80)
}

fn loaded() -> Bench {
    let mut b = Bench::master(every(100, false));
    b.offered();
    assert_eq!(b.serve(&[web()], &[]), ["New service", "New 10.0.0.11 w1", "New 10.0.0.12 w1"]);
    b
}

#[test]
fn a_port_that_closes_takes_its_server_out_after_its_retry_and_one_that_opens_brings_it_back() {
    let mut b = loaded();
    assert_eq!(b.logged("Gained quorum 1+0=1 <= 2 for VS [10.9.9.9]:tcp:80"), 1, "{:?}", b.log);
    assert_eq!(b.live(6 * S, &[], &[web()]), []);
    let out = b.live(6 * S, &[11], &[web()]);
    assert_eq!(out.len(), 1, "{out:?}");
    assert_eq!(out[0].1, "Delete 10.0.0.11 w1");
    // The first failure within an interval, the second one a second later.
    assert!((1000..=3030).contains(&out[0].0), "{out:?}");
    assert_eq!(b.logged("Removing service [10.0.0.11]:tcp:80 from VS [10.9.9.9]:tcp:80"), 1, "{:?}", b.log);
    let out = b.live(6 * S, &[], &[web()]);
    assert_eq!(out.len(), 1, "{out:?}");
    assert!(out[0].1 == "New 10.0.0.11 w1" && out[0].0 <= 2030, "{out:?}");
    assert_eq!(b.state(), State::Master);
}

/// Without a number of its own a sync daemon has that of the instance that it follows; the old form of the keyword names no number at all.
#[test]
fn a_sync_daemon_has_the_number_of_its_instance() {
    for old_form in [false, true] {
        let mut instance = every(100, false);
        let mut config = Config::default();
        if old_form {
            instance.more.lvs_sync_daemon_interface = Some("eth0".into());
        } else {
            let sync = LvsSync { interface: "eth0".into(), instance: Some("VI_1".into()), ..LvsSync::default() };
            config.global.more.lvs_sync_daemon = Some(sync);
        }
        config.instances = vec![instance];
        let mut b = Bench::of(World::new(config));
        b.start();
        b.offered();
        b.serve(&[web()], &[]);
        b.run(2 * S);
        let changed = b.serve(&[web()], &[]);
        let started = |c: &&String| c.starts_with("Sync(true") && c.contains("id: 51");
        assert_eq!(changed.iter().filter(started).count(), 1, "{old_form} {changed:?} {:?}", b.log);
    }
}

/// The table without 10.0.0.11.
fn only_12() -> [Message; 2] {
    let key = http();
    let service = kalived::wire::netlink::ipvs::Service {
        scheduler: "rr".into(),
        flags: 0,
        timeout: 0,
        netmask: u32::MAX,
        engine: String::new(),
    };
    [
        Message::Service(key, service),
        Message::Destination(
            kalived::wire::netlink::ipvs::DestinationKey { addr: ip("10.0.0.12"), port: 80 },
            kalived::wire::netlink::ipvs::Destination {
                forward: kalived::wire::netlink::ipvs::Forward::Direct,
                weight: 1,
                upper: 0,
                lower: 0,
            },
            Default::default(),
        ),
    ]
}

#[test]
fn a_core_that_dies_again_does_not_forget_who_is_down() {
    let mut old = loaded();
    old.live(10 * S, &[11], &[web()]);
    let cfg = vec![every(100, false)];
    let dead_since = Some(old.now.mono);
    let snapshot = crate::handover::written(&old.world.last_snapshot(old.now));
    let since = snapshot.since.clone();
    // The first death: the next one goes on, and dies before it has read its virtual servers.
    let mut second = beside(&old, cfg.clone());
    second.kernel = old.kernel.clone();
    second.event(Event::Guard(GuardEv::Go { snapshot: Some(snapshot), dead_since }));
    second.fire();
    let left = second.world.last_snapshot(second.now);
    assert_eq!((left.instances.len(), left.checks.len(), left.services.len()), (1, 2, 1));
    assert_eq!(left.since, since);
    // The second death: a cold start.
    let servers = crate::handover::written(&left.of_servers());
    assert_eq!(servers.instances.len(), 0);
    let mut third = beside(&second, cfg);
    third.offered();
    third.event(Event::Guard(GuardEv::Go { snapshot: Some(servers), dead_since: None }));
    third.fire();
    assert_eq!(third.state(), State::Backup, "{:?}", third.log);
    assert_eq!(third.serve(&[web()], &only_12()), [""; 0], "the table is as it is to be");
    assert_eq!((third.logged("Removing service"), third.logged("Gained quorum")), (0, 0), "{:?}", third.log);
    let out = third.live(5 * S, &[], &[web()]);
    assert_eq!(out.iter().map(|(_, c)| c.as_str()).collect::<Vec<_>>(), ["New 10.0.0.11 w1"]);
    assert_eq!(third.world.last_snapshot(third.now).checks.len(), 2, "each is there once");
}

#[test]
fn the_next_process_knows_who_is_down_and_tells_nobody_again() {
    let mut old = loaded();
    old.live(10 * S, &[11], &[web()]);
    let cfg = vec![every(100, false)];
    let mut new = beside(&old, cfg);
    let snapshot = freeze(&mut old);
    assert_eq!(snapshot.checks.len(), 2);
    new.kernel = old.kernel.clone();
    new.offered();
    new.event(Event::Guard(GuardEv::Go { snapshot: Some(snapshot), dead_since: None }));
    new.fire();
    let there = only_12();
    assert_eq!(new.serve(&[web()], &there), [""; 0], "the table is as it is to be");
    assert_eq!((new.logged("Removing service"), new.logged("Gained quorum")), (0, 0), "{:?}", new.log);
    let out = new.live(5 * S, &[], &[web()]);
    assert_eq!(out.iter().map(|(_, c)| c.as_str()).collect::<Vec<_>>(), ["New 10.0.0.11 w1"]);
}

#[test]
fn a_stop_takes_the_services_out_and_waits_for_that() {
    let mut b = loaded();
    b.term();
    assert!(!b.out.iter().any(|o| matches!(o, Out::Exit(_))), "the table is not empty yet");
    assert_eq!(b.serve(&[], &[]), ["Delete service"]);
    b.run(S);
    assert!(b.out.iter().any(|o| matches!(o, Out::Exit(_))));
}

#[test]
fn a_world_without_virtual_servers_asks_for_nothing() {
    let mut b = Bench::master(every(100, false));
    b.run(100 * S);
    assert!(!b.asked.iter().any(|e| matches!(e, Effect::Lvs(_))));
}

fn tracks(weight: Option<i32>) -> InstanceConfig {
    let mut cfg = every(100, false);
    let line = Track { name: "[10.9.9.9]:tcp:80".into(), weight, reverse: None };
    cfg.more.tracks.virtual_servers.push(line);
    cfg
}

#[test]
fn an_instance_follows_the_quorum_of_a_virtual_server() {
    let mut b = Bench::new(tracks(None));
    b.offered();
    b.serve(&[web()], &[]);
    b.live(2 * S, &[], &[web()]);
    assert_eq!(b.state(), State::Master, "{:?}", b.log);
    b.live(5 * S, &[11], &[web()]);
    assert_eq!(b.state(), State::Master, "one of two is enough");
    b.live(5 * S, &[11, 12], &[web()]);
    assert_eq!(b.state(), State::Fault, "{:?}", b.log);
    assert_eq!(b.logged("virtual server [10.9.9.9]:tcp:80 quorum not achieved"), 1, "{:?}", b.log);
    let snapshot = freeze(&mut b);
    assert!(snapshot.tracks.iter().any(|t| t.kind == "virtual_server" && t.value == Some(0)), "for the next process");
    let mut b = Bench::new(tracks(Some(-30)));
    b.offered();
    b.serve(&[web()], &[]);
    b.live(2 * S, &[], &[web()]);
    b.live(5 * S, &[11, 12], &[web()]);
    assert_eq!((b.state(), b.logged("Changing effective priority from 100 to 70")), (State::Master, 1), "{:?}", b.log);
    b.live(5 * S, &[], &[web()]);
    assert_eq!(b.logged("Changing effective priority from 70 to 100"), 1, "{:?}", b.log);
}

// The next process, which has read its configuration. `there`: what the table has.
fn successor(
    old: &Bench,
    cfg: Vec<InstanceConfig>,
    snapshot: Box<Snapshot>,
    groups: &[ServerGroup],
    servers: &[VirtualServer],
    there: &[Message],
) -> (Bench, Vec<String>) {
    let mut new = beside(old, cfg);
    new.kernel = old.kernel.clone();
    new.offered();
    new.event(Event::Guard(GuardEv::Go { snapshot: Some(snapshot), dead_since: None }));
    new.fire();
    let changed = new.serve_groups(groups, servers, there);
    (new, changed)
}

/// A node with this instance and one virtual server.
fn director(cfg: &InstanceConfig) -> Bench {
    let mut b = Bench::new(cfg.clone());
    b.offered();
    b.serve(&[web()], &[]);
    b
}

#[test]
fn a_quorum_that_is_lost_keeps_its_instance_down_over_an_upgrade_and_brings_it_back_after_it() {
    let cfg = tracks(None);
    let mut old = director(&cfg);
    old.live(3 * S, &[], &[web()]);
    old.live(6 * S, &[11, 12], &[web()]);
    assert_eq!(old.state(), State::Fault, "{:?}", old.log);
    let snapshot = freeze(&mut old);
    let (mut new, _) = successor(&old, vec![cfg], snapshot, &[], &[web()], &[]);
    new.live(3 * S, &[11, 12], &[web()]);
    assert_eq!((new.state(), new.logged("Entering MASTER")), (State::Fault, 0), "{:?}", new.log);
    new.live(10 * S, &[12], &[web()]);
    assert_eq!(new.state(), State::Master, "{:?}", new.log);
}

#[test]
fn a_quorum_that_is_there_changes_nothing_over_an_upgrade() {
    let cfg = tracks(None);
    let mut old = director(&cfg);
    old.live(5 * S, &[11], &[web()]);
    assert_eq!(old.state(), State::Master);
    let snapshot = freeze(&mut old);
    let (mut new, _) = successor(&old, vec![cfg], snapshot, &[], &[web()], &[]);
    new.live(5 * S, &[11], &[web()]);
    let quiet = ["Entering", "FAULT", "quorum not achieved"].iter().all(|w| new.logged(w) == 0);
    assert!(new.state() == State::Master && quiet, "{:?}", new.log);
}

#[test]
fn a_reload_that_tracks_another_virtual_server_follows_that_one() {
    let other = |port| VirtualServer { service: Service::Address(ip("10.9.9.8"), port), ..web() };
    // 10.0.0.12 alone.
    let mut second = other(80);
    second.real_servers.remove(0);
    let servers = [web(), second];
    let mut b = Bench::new(tracks(None));
    b.offered();
    b.serve(&servers, &[]);
    b.live(3 * S, &[], &servers);
    b.live(6 * S, &[12], &servers);
    assert_eq!(b.state(), State::Master, "one of two is enough");
    let mut cfg = tracks(None);
    cfg.more.tracks.virtual_servers[0].name = "[10.9.9.8]:tcp:80".into();
    let reload = |b: &mut Bench, cfg: InstanceConfig| {
        let config = Config { instances: vec![cfg], ..Config::default() };
        b.event(Event::Guard(GuardEv::Config(Box::new(config))));
        b.offered();
        b.run(Duration::from_millis(50));
        b.serve(&servers, &[]);
        b.live_groups(2 * S, &[12], &[], &servers);
    };
    reload(&mut b, cfg);
    assert_eq!(b.state(), State::Fault, "{:?}", b.log);
    reload(&mut b, tracks(None));
    b.live(5 * S, &[12], &servers);
    assert_eq!(b.state(), State::Master, "{:?}", b.log);
    // Its virtual server leaves the file: it is not served, so the instance does not pretend that it is.
    let config = Config { instances: vec![tracks(None)], ..Config::default() };
    b.event(Event::Guard(GuardEv::Config(Box::new(config))));
    b.offered();
    b.run(Duration::from_millis(50));
    b.serve(&servers[1..], &[]);
    b.live(2 * S, &[12], &servers[1..]);
    assert_eq!(b.state(), State::Fault, "{:?}", b.log);
}

#[test]
fn an_instance_follows_all_virtual_servers_of_a_group_and_a_mark_of_both_families() {
    let groups = [ServerGroup { name: "web".into(), entries: vec![GroupEntry::Range(ip("10.9.9.1"), 1, 80)] }];
    let of = |service: Service, protocol: Option<Protocol>, place: usize| {
        let mut vs = VirtualServer { service, protocol, ..web() };
        vs.real_servers = vec![vs.real_servers[place].clone()];
        vs
    };
    let group = |protocol, place| of(Service::Group("web".into()), Some(protocol), place);
    let mark = |v6, place| VirtualServer {
        ip_family: Some(if v6 {
            kalived::config::model::lvs::IpFamily::Inet6
        } else {
            kalived::config::model::lvs::IpFamily::Inet
        }),
        method: Method::Tun(kalived::config::model::lvs::Tunnel::Ipip),
        ..of(Service::Mark(7), None, place)
    };
    for (name, servers) in [
        ("group:web", [group(Protocol::Tcp, 0), group(Protocol::Udp, 1)]),
        ("fwmark:7", [mark(false, 0), mark(true, 1)]),
    ] {
        let mut cfg = tracks(None);
        cfg.more.tracks.virtual_servers[0].name = name.into();
        let mut b = Bench::new(cfg.clone());
        b.offered();
        b.serve_groups(&groups, &servers, &[]);
        b.live_groups(4 * S, &[], &groups, &servers);
        assert_eq!(b.state(), State::Master, "{name}: {:?}", b.log);
        for dead in [11, 12] {
            b.live_groups(6 * S, &[dead], &groups, &servers);
            assert_eq!(b.state(), State::Fault, "{name} {dead}: {:?}", b.log);
            let snapshot = freeze(&mut b);
            let (new, _) = successor(&b, vec![cfg.clone()], snapshot, &groups, &servers, &[]);
            b = new;
            b.live_groups(3 * S, &[dead], &groups, &servers);
            assert_eq!(b.state(), State::Fault, "{name} {dead}: {:?}", b.log);
            b.live_groups(8 * S, &[], &groups, &servers);
            assert_eq!(b.state(), State::Master, "{name} {dead}: {:?}", b.log);
        }
    }
}

#[test]
fn a_server_that_is_back_reaches_its_weight_slowly_also_over_an_upgrade() {
    let mut vs = web();
    (vs.slow_start, vs.weight) = (20 * S, 100);
    let servers = [vs];
    let mut old = Bench::master(every(100, false));
    old.offered();
    assert_eq!(
        old.serve(&servers, &[]).last().map(String::as_str),
        Some("New 10.0.0.12 w100"),
        "at a start it is whole"
    );
    old.live(3 * S, &[], &servers);
    old.live(5 * S, &[11], &servers);
    let back = old.live(3 * S, &[], &servers);
    assert!(back[0].1 == "New 10.0.0.11 w1", "{back:?}");
    let begun = old.now.mono - (3 * S - Duration::from_millis(back[0].0));
    old.live(7 * S, &[], &servers);
    let weight = |text: &str| text.strip_prefix("Set 10.0.0.11 w").and_then(|w| w.parse::<u64>().ok());
    // Another program has changed it meanwhile.
    let snapshot = freeze(&mut old);
    assert_eq!(snapshot.ramps.len(), 1);
    assert!(snapshot.ramps[0].since.abs_diff(begun.0) <= 20_000_000, "when its check succeeded");
    let of = |host: u8, weight| {
        let to = kalived::wire::netlink::ipvs::Destination {
            forward: kalived::wire::netlink::ipvs::Forward::Direct,
            weight,
            upper: 0,
            lower: 0,
        };
        let key = kalived::wire::netlink::ipvs::DestinationKey { addr: [10, 0, 0, host].into(), port: 80 };
        Message::Destination(key, to, Default::default())
    };
    let service = kalived::wire::netlink::ipvs::Service {
        scheduler: "rr".into(),
        flags: 0,
        timeout: 0,
        netmask: u32::MAX,
        engine: String::new(),
    };
    let there = [Message::Service(http(), service), of(11, 30), of(12, 100)];
    let (mut new, changed) = successor(&old, vec![every(100, false)], snapshot, &[], &servers, &there);
    let first: Vec<u64> = changed.iter().filter_map(|c| weight(c)).collect();
    assert!(
        changed.len() == 1 && (45..=55).contains(&first[0]),
        "the ramp continues at the weight it had reached: {changed:?}"
    );
    let rest = new.live(12 * S, &[], &servers);
    let steps: Vec<u64> = rest.iter().filter_map(|(_, c)| weight(c)).collect();
    assert!(steps.windows(2).all(|w| w[0] < w[1]) && steps.last() == Some(&100), "{rest:?}");
    let whole = new.now.mono - 12 * S + Duration::from_millis(rest.last().expect("steps").0);
    let took = whole.since(begun);
    assert!(took >= 20 * S && took <= 21 * S, "{took:?}");
}

fn with_timeouts(tcp: Option<u32>) -> Config {
    let mut config = Config { instances: vec![every(100, false)], ..Config::default() };
    config.global.more.lvs_timeouts = LvsTimeouts { tcp, ..LvsTimeouts::default() };
    config
}

#[test]
fn a_crash_does_not_forget_the_timeouts_that_the_kernel_had() {
    let mut b = Bench::of(World::new(with_timeouts(Some(7))));
    b.start();
    b.run(200 * S);
    b.offered();
    let changed = b.serve(&[web()], &[]);
    assert!(!changed.iter().any(|c| c.starts_with("Timeouts")), "not before the next process would know: {changed:?}");
    let snapshot = b.world.snapshot(b.now).expect("the kernel's own are known");
    assert_eq!(snapshot.timeouts, Timeouts { tcp: 900, tcp_fin: 0, udp: 0 });
    b.run(S);
    let changed = b.serve(&[web()], &[]);
    assert_eq!(changed, ["Timeouts(Timeouts { tcp: 7, tcp_fin: 0, udp: 0 })"]);
    // It dies; the next one reads the snapshot and a file without the keyword.
    let shot = crate::handover::written(&snapshot);
    let mut next = Bench::of(World::standby(with_timeouts(None)));
    (next.now, next.links, next.kernel) = (b.now, b.links.clone(), b.kernel.clone());
    next.start();
    next.offered();
    let dead_since = Some(b.now.mono);
    next.event(Event::Guard(GuardEv::Go { snapshot: Some(shot), dead_since }));
    next.fire();
    let changed = next.serve(&[web()], &[]);
    assert!(changed.contains(&"Timeouts(Timeouts { tcp: 900, tcp_fin: 0, udp: 0 })".to_owned()), "{changed:?}");
    next.run(S);
    assert_eq!(next.world.last_snapshot(next.now).timeouts, Timeouts::default(), "they are the kernel's own again");
}

#[test]
fn a_stop_puts_the_timeouts_back_before_it_ends() {
    let mut b = Bench::of(World::new(with_timeouts(Some(7))));
    b.start();
    b.run(200 * S);
    b.offered();
    b.serve(&[web()], &[]);
    b.run(S);
    b.serve(&[web()], &[]);
    b.term();
    assert!(!b.out.iter().any(|o| matches!(o, Out::Exit(_))));
    let changed = b.serve(&[], &[]);
    assert!(changed.contains(&"Timeouts(Timeouts { tcp: 900, tcp_fin: 0, udp: 0 })".to_owned()), "{changed:?}");
    b.run(S);
    assert!(b.out.iter().any(|o| matches!(o, Out::Exit(_))));
}

// This is trap 18 of docs/traps.md.
#[test]
fn a_failed_server_whose_check_a_reload_replaces_is_back_when_the_new_one_succeeds() {
    let mut b = loaded();
    b.live(6 * S, &[11], &[web()]);
    let mut other = web();
    other.real_servers[0].checks[0].target.connect_port = Some(8080);
    b.offered();
    let changed = b.serve(&[other.clone()], &[]);
    assert!(!changed.iter().any(|c| c.contains("10.0.0.11")), "not because it was edited: {changed:?}");
    let out = b.live(5 * S, &[], &[other]);
    assert!(out.iter().any(|(_, c)| c == "New 10.0.0.11 w1"), "{out:?}");
}

/// `n` real servers with TCP_CHECKs.
fn many(n: u32) -> VirtualServer {
    let web = web();
    let one = web.real_servers[0].clone();
    let real = |n: u32| RealServer { addr: std::net::Ipv4Addr::from(0x0a00_0100 + n).into(), ..one.clone() };
    VirtualServer { real_servers: (0..n).map(real).collect(), ..web }
}

fn recorded(servers: u32, seconds: u32, segment: usize) -> Bench {
    let config = Config { instances: vec![every(100, false)], ..Config::default() };
    let mut b = Bench::of(World::new(config.clone()));
    b.record(&config, segment);
    b.start();
    b.offered();
    let service = [many(servers)];
    b.serve(&service, &[]);
    for _ in 0..seconds {
        b.live(S, &[12], &service);
        b.world.checkpoint();
    }
    b
}

#[test]
fn a_recording_from_a_checkpoint_has_the_checks() {
    let recording = recorded(20, 20, 3_000).replayed();
    assert!(recording.first > 0 && matches!(recording.base, Base::World(_)), "from its start");
}

/// So many that no checkpoint is made in the midst of a run: what was recorded until then stays, and ends with a whole input.
#[test]
fn with_too_many_real_servers_a_recording_ends_and_stays() {
    let mut b = recorded(501, 4, 30_000);
    let recording = b.replayed();
    assert!(recording.first == 0 && matches!(recording.base, Base::Born { .. }) && recording.steps.len() > 10);
    let before = b.world.tape().expect("a tape").dump();
    assert!(before.len() < 1 << 20, "it has a bound");
    b.live(S, &[], &[many(501)]);
    assert!(b.world.tape().expect("a tape").dump() == before, "nothing is added");
    // A reload with few of them: it is recorded again.
    b.offered();
    b.serve(&[many(20)], &[]);
    b.run(S);
    b.world.checkpoint();
    b.live(S, &[], &[many(20)]);
    let recording = b.replayed();
    assert!(recording.first > 0 && matches!(recording.base, Base::World(_)) && !recording.steps.is_empty());
}
