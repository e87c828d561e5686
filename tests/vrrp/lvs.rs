//! Virtual servers in the World: the configuration is read, checks are made, verdicts lead to changes of the kernel's table, and the next
//! process takes them over.

use crate::bench::*;
use crate::handover::{beside, every, freeze};
use kalived::config::model::InstanceConfig;
use kalived::config::model::check::{Check, Pace};
use kalived::config::model::lvs::{Method, Protocol, RealServer, Scheduler, Service, VirtualServer, parts};
use kalived::config::model::vrrp::Track;
use kalived::effect::{ConnFx, Effect, LvsFx, LvsOp};
use kalived::event::{Errno, Event, GuardEv, LvsEv, Stream};
use kalived::id::ConnKey;
use kalived::lvs::director::NEXT_TURN;
use kalived::time::Duration;
use kalived::vrrp::State;
use kalived::wire::netlink::ipvs::{Message, ServiceKey};

const S: Duration = Duration::from_secs(1);

/// 10.0.0.11 and 10.0.0.12 behind 10.9.9.9:80, each with a TCP_CHECK every 2 s, one retry after 1 s.
fn web() -> VirtualServer {
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
                    LvsFx::Read => vec![LvsEv::Config(Ok(parts(&None, &[], servers).collect()))],
                    LvsFx::Open => vec![LvsEv::Opened(Ok(()))],
                    LvsFx::Dump(of) => {
                        let is = |m: &&Message| matches!(m, Message::Service(..)) == of.is_none();
                        let found = there.iter().filter(is).cloned().collect();
                        vec![LvsEv::Found(found), LvsEv::Synced { complete: true }]
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

    fn offered(&mut self) {
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
        let (from, until) = (self.now.mono, self.now.mono + d);
        let mut changed = Vec::new();
        while self.now.mono < until {
            self.run(Duration::from_millis(10));
            for (conn, host) in self.probes() {
                let what = if dead.contains(&host) { Stream::Failed(Errno(111)) } else { Stream::Connected };
                self.event(Event::Conn { conn, what });
            }
            let at = u64::try_from(self.now.mono.since(from).as_millis()).expect("a test");
            changed.extend(self.serve(servers, &[]).into_iter().map(|c| (at, c)));
        }
        changed
    }
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
    let key = ServiceKey::Address(kalived::wire::netlink::ipvs::Protocol::Tcp, ip("10.9.9.9"), 80);
    let service = kalived::wire::netlink::ipvs::Service {
        scheduler: "rr".into(),
        flags: 0,
        timeout: 0,
        netmask: u32::MAX,
        engine: String::new(),
    };
    let there = [
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
    ];
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
