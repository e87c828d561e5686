//! The filter of virtual routers that do not accept packets to their addresses: it is in force before an address is added and until it is
//! removed, also during a reload, a hand-over and a stop; and a kernel without nf_tables.

use crate::bench::{Bench, Out, ip, v2, v3, vip};
use kalived::config::model::{Config, InstanceConfig};
use kalived::effect::{Effect, FilterFx, FilterOp};
use kalived::event::{Errno, Event, FilterEv, GuardEv, ReqId};
use kalived::filter::PATIENCE;
use kalived::time::Duration;
use kalived::vrrp::State;
use kalived::wire::netlink::nft::{Ruleset, Table};
use kalived::world::World;
use std::sync::Arc;

const VIP: &str = "198.18.0.100";

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn hidden(mut cfg: InstanceConfig) -> InstanceConfig {
    cfg.more.no_accept = true;
    cfg
}

fn config(instances: Vec<InstanceConfig>) -> Config {
    let mut config = Config { instances, ..Config::default() };
    config.global.more.nftables_priority = -1;
    config
}

/// A world and its kernel's nf_tables.
struct Filtered {
    b: Bench,
    /// Tables that are there.
    tables: Vec<Table>,
    /// All rulesets that were requested, and the one in force.
    puts: Vec<Arc<Ruleset>>,
    force: Option<Arc<Ruleset>>,
    /// Changes that wait for an answer.
    open: Vec<(ReqId, FilterOp)>,
    answer: bool,
    has: bool,
}

impl Filtered {
    fn of(world: World) -> Filtered {
        let b = Bench::of(world);
        Filtered { b, tables: vec![], puts: vec![], force: None, open: vec![], answer: true, has: true }
    }
    fn new(instances: Vec<InstanceConfig>) -> Filtered {
        let mut f = Filtered::of(World::new(config(instances)));
        f.b.start();
        f.settle();
        f
    }
    fn settle(&mut self) {
        loop {
            let asked = std::mem::take(&mut self.b.asked);
            let (filter, rest): (Vec<_>, Vec<_>) = asked.into_iter().partition(|e| matches!(e, Effect::Filter(_)));
            self.b.asked = rest;
            if filter.is_empty() {
                return;
            }
            for e in filter {
                let Effect::Filter(fx) = e else { continue };
                match fx {
                    FilterFx::Open => {
                        let result = if self.has { Ok(()) } else { Err(Errno::EPROTONOSUPPORT) };
                        self.event(FilterEv::Opened(result));
                    }
                    FilterFx::Tables => {
                        if self.has {
                            let tables = self.tables.clone();
                            self.event(FilterEv::Tables { tables, complete: true });
                        }
                    }
                    FilterFx::Change { req, op } => {
                        self.open.push((req, op));
                        if self.answer {
                            self.done(Ok(()));
                        }
                    }
                }
            }
        }
    }
    /// The kernel has done the oldest change.
    fn done(&mut self, result: Result<(), Errno>) {
        let (req, op) = self.open.remove(0);
        if result.is_ok() {
            match op {
                FilterOp::Put(rules, stale) => {
                    self.tables.retain(|t| t.name != rules.table && !stale.contains(&t.name));
                    self.tables.push(Table {
                        name: rules.table.clone(),
                        v6: false,
                        comment: Some(rules.comment.clone()),
                    });
                    self.puts.push(rules.clone());
                    self.force = Some(rules);
                }
                FilterOp::Remove(names) => {
                    self.tables.retain(|t| !names.contains(&t.name));
                    self.force = None;
                }
            }
        }
        self.event(FilterEv::Reply { req, result });
    }
    fn event(&mut self, e: FilterEv) {
        self.b.event(Event::Filter(e));
        self.settle();
    }
    fn run(&mut self, d: Duration) {
        // In small steps, so that each request is answered at its time.
        let end = self.b.now.mono + d;
        while self.b.now.mono < end {
            let step = ms(1).min(end.since(self.b.now.mono));
            self.b.run(step);
            self.settle();
        }
    }
    fn filtered(&self) -> Vec<String> {
        self.force.iter().flat_map(|r| &r.addresses).map(|(a, dev)| format!("{a}{dev}")).collect()
    }
    fn added(&self) -> Vec<std::net::IpAddr> {
        self.b.out.iter().filter_map(|o| if let Out::Add(a) = o { Some(*a) } else { None }).collect()
    }
    fn reload(&mut self, instances: Vec<InstanceConfig>) {
        self.b.event(Event::Guard(GuardEv::Config(Box::new(config(instances)))));
        self.settle();
        self.run(ms(5));
    }
    fn stop(&mut self) {
        self.b.term();
        self.settle();
        self.run(ms(50));
    }
}

#[test]
fn it_is_in_force_before_the_address_and_stays_for_a_backup() {
    let mut f = Filtered::of(World::new(config(vec![hidden(v2())])));
    f.answer = false;
    f.b.start();
    f.settle();
    assert_eq!(f.open.len(), 1, "asked for at the start, not at the takeover");
    // The kernel is busy: the virtual router becomes Master, advertises, and only its address waits.
    f.open.clear();
    let mut f = Filtered::of(World::new(config(vec![hidden(InstanceConfig { priority: 254, ..v3() })])));
    f.answer = false;
    f.b.start();
    f.settle();
    assert_eq!(f.added(), [] as [std::net::IpAddr; 0]);
    f.answer = true;
    f.done(Ok(()));
    assert_eq!(f.filtered(), [VIP]);
    f.run(Duration::from_secs(4));
    assert_eq!((f.b.state(), f.added()), (State::Master, vec![ip(VIP)]));
    assert_eq!(f.puts.len(), 1, "a takeover changes nothing in the firewall");
    // An advert of a better router: the address is removed, the filter stays.
    f.b.rx(&v3(), "198.18.0.30", 255, Duration::from_secs(1));
    f.settle();
    assert_eq!((f.b.state(), f.filtered()), (State::Backup, vec![VIP.to_owned()]));
}

#[test]
fn an_address_waits_for_it_but_not_for_ever() {
    for answer in [Some(Errno(16)), None] {
        let mut f = Filtered::of(World::new(config(vec![hidden(v3())])));
        f.answer = false;
        f.b.start();
        f.settle();
        // The table is flushed at once after it was made, and the kernel refuses it the second time.
        f.done(Ok(()));
        f.run(Duration::from_secs(3));
        f.event(FilterEv::Deleted { table: "keepalived".into() });
        f.run(ms(20));
        assert_eq!(f.b.logged("putting it back"), 1);
        assert_eq!(f.open.len(), 1);
        let since = f.b.now.mono;
        while f.b.state() != State::Master {
            f.run(ms(1));
        }
        let claimed = f.b.now.mono;
        let wait = match answer {
            Some(errno) => {
                assert_eq!(f.added(), [] as [std::net::IpAddr; 0], "not in force");
                f.done(Err(errno));
                Duration::ZERO
            }
            None => PATIENCE,
        };
        f.run(ms(2));
        assert!(f.b.adverts() > 0, "the advert does not wait");
        if answer.is_none() && claimed < since + wait {
            assert_eq!(f.added(), [] as [std::net::IpAddr; 0], "not in force");
        }
        f.run(wait);
        assert_eq!(f.added(), [ip(VIP)], "{answer:?}: {:?}", f.b.log);
        let said = if answer.is_some() { "cannot be put in force" } else { "is not in force yet" };
        assert_eq!(f.b.logged(said), 1, "{:?}", f.b.log);
    }
}

#[test]
fn who_accepts_needs_none_and_others_do_not_wait() {
    let mut f = Filtered::new(vec![v3()]);
    assert!(f.puts.is_empty() && f.tables.is_empty());
    f.run(Duration::from_secs(4));
    assert_eq!(f.added(), [ip(VIP)]);
    // The address owner accepts, whatever the file has.
    let f = Filtered::new(vec![hidden(InstanceConfig { priority: 255, ..v3() })]);
    assert!(f.puts.is_empty());
    // One that waits beside one that does not.
    let mut other = v3();
    (other.name, other.vrid, other.vips) = ("VI_2".into(), 52, vec![vip("198.18.0.101")]);
    let mut f = Filtered::of(World::new(config(vec![hidden(v3()), other])));
    f.answer = false;
    f.b.start();
    f.settle();
    f.run(ms(900));
    f.event(FilterEv::Lost);
    f.run(Duration::from_secs(3));
    assert!(f.added().contains(&ip("198.18.0.101")));
}

#[test]
fn a_reload_adds_before_and_removes_after() {
    let mut f = Filtered::new(vec![hidden(v3())]);
    f.run(Duration::from_secs(4));
    f.b.out.clear();
    // Another address instead.
    let mut new = hidden(v3());
    new.vips = vec![vip("198.18.0.101")];
    f.answer = false;
    f.reload(vec![new.clone()]);
    assert_eq!(f.added(), [] as [std::net::IpAddr; 0], "the new address waits");
    f.done(Ok(()));
    assert_eq!(f.filtered(), [VIP, "198.18.0.101"], "both, while both may be there");
    f.answer = true;
    f.run(ms(20));
    assert_eq!(f.added(), [ip("198.18.0.101")]);
    while !f.open.is_empty() {
        f.done(Ok(()));
    }
    assert_eq!(f.filtered(), ["198.18.0.101"]);
    let dels: Vec<&Out> = f.b.out.iter().filter(|o| matches!(o, Out::Del(_))).collect();
    assert_eq!(dels, [&Out::Del(ip(VIP))]);
    // It accepts packets now: nothing is filtered, and no table is left.
    new.more.no_accept = false;
    f.reload(vec![new.clone()]);
    assert_eq!((f.force.is_none(), f.tables.len()), (true, 0));
    assert!(f.b.kernel.iter().any(|a| a.addr == ip("198.18.0.101")), "and the address stays");
    // And no longer.
    f.reload(vec![hidden(new)]);
    assert_eq!(f.filtered(), ["198.18.0.101"]);
}

#[test]
fn a_stop_leaves_nothing_and_goes_last() {
    let mut f = Filtered::new(vec![hidden(v3())]);
    f.run(Duration::from_secs(4));
    f.b.answer = false;
    f.b.term();
    f.settle();
    assert_eq!(f.filtered(), [VIP], "the address may be there still");
    f.b.answer = true;
    for req in core::mem::take(&mut f.b.unanswered) {
        f.b.event(Event::Net(kalived::event::NetEv::Reply { req, result: Ok(()) }));
    }
    f.settle();
    assert!(f.force.is_none() && f.tables.is_empty());
    f.run(ms(50));
    assert!(f.b.out.iter().any(|o| matches!(o, Out::Exit(_))));
}

#[test]
fn without_nf_tables_it_goes_on_and_says_so_once() {
    let mut f = Filtered::of(World::new(config(vec![hidden(v3())])));
    f.has = false;
    f.b.start();
    f.settle();
    f.run(Duration::from_secs(10));
    assert_eq!((f.b.state(), f.added()), (State::Master, vec![ip(VIP)]));
    assert_eq!(f.b.logged("no_accept has no effect: this kernel has no nf_tables"), 1, "{:?}", f.b.log);
    // The next reload tries again.
    f.has = true;
    f.reload(vec![hidden(InstanceConfig { priority: 101, ..v3() })]);
    assert_eq!(f.filtered(), [VIP]);
    f.stop();
    assert!(f.tables.is_empty());
}

#[test]
fn a_left_over_is_replaced_and_a_strange_table_is_left_alone() {
    let table =
        |name: &str, comment: Option<&str>| Table { name: name.into(), v6: false, comment: comment.map(Into::into) };
    let start = |tables: Vec<Table>| {
        let mut f = Filtered::of(World::new(config(vec![hidden(v3())])));
        f.tables = tables;
        f.b.start();
        f.settle();
        f
    };
    let f = start(vec![table("filter", None), table("keepalived", Some("kalived"))]);
    assert_eq!((f.puts[0].table.as_str(), f.tables.len()), ("keepalived", 2));
    assert_eq!(f.b.logged("replacing the nftables table keepalived"), 1);
    // keepalived's, or of a second kalived with a name of its own.
    for comment in [None, Some("kalived east")] {
        let mut f = start(vec![table("keepalived", comment), table("kalived", Some("kalived"))]);
        assert_eq!(f.puts[0].table, "kalived");
        assert_eq!(f.b.logged("a table of this name") + f.b.logged("did not make"), 1, "{:?}", f.b.log);
        f.stop();
        assert_eq!(f.tables, [table("keepalived", comment)]);
    }
    // The name is free again: the other one goes.
    let f = start(vec![table("kalived", Some("kalived"))]);
    assert_eq!(f.tables, [table("keepalived", Some("kalived"))]);
    // Both names are another program's.
    let mut f = start(vec![table("keepalived", None), table("kalived", None)]);
    assert_eq!((f.puts.len(), f.b.logged("belong to another program")), (0, 1));
    f.run(Duration::from_secs(4));
    assert_eq!(f.added(), [ip(VIP)]);
}

#[test]
fn a_table_that_is_flushed_comes_back_at_once_and_later_more_slowly() {
    let mut f = Filtered::new(vec![hidden(v3())]);
    f.run(Duration::from_secs(4));
    for n in 1..=3 {
        f.force = None;
        f.event(FilterEv::Deleted { table: "keepalived".into() });
        f.run(if n == 1 { ms(10) } else { Duration::from_secs(1) });
        assert_eq!((f.filtered(), f.puts.len()), (vec![VIP.to_owned()], n + 1));
    }
    assert_eq!(f.b.logged("putting it back"), 1, "once in a row");
    // A table of another name is ignored.
    f.event(FilterEv::Deleted { table: "filter".into() });
    f.run(Duration::from_secs(1));
    assert_eq!(f.puts.len(), 4);
}

#[test]
fn link_local_addresses_are_filtered_on_their_interface() {
    let mut cfg = hidden(v3());
    cfg.excluded = vec![vip("fe80::99"), vip("2001:db8::9")];
    cfg.excluded[0].dev = Some("eth7".into());
    let f = Filtered::new(vec![cfg]);
    assert_eq!(f.filtered(), [VIP, "2001:db8::9", "fe80::99eth7"]);
}
