//! `virtual_routes`, `virtual_rules` and `static_rules`: added while their virtual router is Master, in order with its addresses, and put back
//! when another program removes them.

use crate::bench::{Bench, Out, PEER, link, v2};
use kalived::config::load;
use kalived::config::model::Config;
use kalived::config::source::{FileError, Files};
use kalived::effect::{Effect, GuardFx, NetOp};
use kalived::event::{Event, GuardEv, NetEv};
use kalived::route::ROUTE_PROTO;
use kalived::rule::RULE_PROTO;
use kalived::time::{Duration, Instant};
use kalived::vrrp::State;
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

/// A configuration whose virtual router has `lines`, and its messages. `more`: other blocks.
fn config(lines: &str, more: &str) -> (Config, Vec<String>) {
    let text = format!(
        "vrrp_instance VI_1 {{\n interface eth0\n virtual_router_id 51\n priority 100\n virtual_ipaddress {{ 198.18.0.100 }}\n{lines}\n}}\n{more}\n"
    );
    let loaded = load(&Text(text), "k.conf");
    (loaded.config, loaded.diags.into_iter().map(|d| d.message).collect())
}

fn sound(lines: &str, more: &str) -> Config {
    let (mut config, said) = config(lines, more);
    assert!(said.is_empty(), "{said:?}");
    // The version and interval of the bench's peer.
    for i in &mut config.instances {
        let like = v2();
        (i.version, i.vips, i.garp) = (like.version, like.vips, like.garp);
    }
    config
}

fn master(lines: &str, more: &str) -> Bench {
    let mut b = Bench::of(World::new(sound(lines, more)));
    b.start();
    b.run(Duration::from_secs(6));
    assert_eq!(b.world.views()[0].state, State::Master);
    b
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

const LINES: &str = "virtual_routes {\n 10.1.0.0/16 via 198.18.0.1\n blackhole 10.9.0.0/16\n}\n\
    virtual_rules {\n from 10.1.0.0/16 table 100 preference 500\n to 10.2.0.0/16 blackhole preference 501\n}";
const ROUTES: [&str; 2] = ["10.1.0.0/16", "10.9.0.0/16"];
const RULES: [&str; 2] = ["500: from 10.1.0.0/16 lookup 100", "501: from all to 10.2.0.0/16 blackhole"];

fn nothing(b: &Bench) -> bool {
    b.routes.names().is_empty() && b.routes.rules.is_empty()
}

/// A router of higher priority sends an advert: Backup.
fn beaten(b: &mut Bench) {
    b.rx(&v2(), PEER, 200, Duration::from_secs(1));
}

#[test]
fn there_while_master_after_its_addresses_and_gone_before_them() {
    let mut b = Bench::of(World::new(sound(LINES, "")));
    b.start();
    b.run(ms(500));
    assert!(b.routes.watched && b.routes.asked.is_empty(), "nothing for a Backup");
    // The kernel is slow: no route is requested before the answer for the address, and no rule before the answers for the routes.
    b.answer = false;
    b.run(Duration::from_secs(5));
    assert_eq!(b.world.views()[0].state, State::Master);
    assert_eq!(b.wanted.len(), 1);
    assert_eq!(b.unanswered.len(), 1, "the address alone");
    let answer = |b: &mut Bench| {
        for req in core::mem::take(&mut b.unanswered) {
            b.event(Event::Net(NetEv::Reply { req, result: Ok(()) }));
        }
        b.run(ms(1));
        b.unanswered.len()
    };
    assert_eq!(answer(&mut b), 2, "the routes");
    assert_eq!(answer(&mut b), 2, "the rules");
    assert_eq!(answer(&mut b), 0);

    let mut b = master(LINES, "");
    assert_eq!(
        (b.routes.names(), b.routes.rule_names()),
        (ROUTES.map(String::from).into(), RULES.map(String::from).into())
    );
    assert!(
        b.routes.routes.iter().all(|r| r.proto == ROUTE_PROTO) && b.routes.rules.iter().all(|r| r.proto == RULE_PROTO)
    );
    let (routes, rules) = (b.world.routes(), b.world.rules());
    assert_eq!((routes.lines, routes.virtual_wanted, routes.virtual_held), (0, 2, 2));
    assert_eq!((rules.lines, rules.virtual_wanted, rules.virtual_held), (0, 2, 2));
    b.run(Duration::from_secs(30));
    assert_eq!(b.routes.asked.len(), 4, "asked for once: {:?}", b.routes.asked);
    b.routes.asked.clear();
    b.out.clear();
    beaten(&mut b);
    assert!(nothing(&b), "gone in the turn in which it yields");
    let asked: Vec<bool> = b.routes.asked.iter().map(|op| matches!(op, NetOp::RuleDel(_))).collect();
    assert_eq!(asked, [true, true, false, false], "rules before routes");
    assert!(b.out.iter().any(|o| matches!(o, Out::Del(_))));
    // They are added again, and removed at the end.
    b.run(Duration::from_secs(6));
    assert!(!nothing(&b));
    b.term();
    b.run(ms(1));
    assert!(nothing(&b) && b.out.iter().any(|o| matches!(o, Out::Exit(_))));
}

#[test]
fn put_back_at_once_counted_and_named_once() {
    let mut b = master(LINES, "");
    for _ in 0..3 {
        let gone = b.routes.take("10.1.0.0");
        b.event(gone);
        let gone = b.routes.take_rule(500);
        b.event(gone);
        b.run(Duration::from_secs(2));
        assert_eq!((b.routes.names().len(), b.routes.rules.len()), (2, 2));
    }
    assert_eq!(b.world.views()[0].state, State::Master, "nothing else follows from it");
    assert_eq!((b.world.routes().restored, b.world.rules().restored), (3, 3));
    assert_eq!(b.logged("(VI_1) virtual route 10.1.0.0/16 was removed by another program"), 1);
    assert_eq!(b.logged("(VI_1) virtual rule 500: from 10.1.0.0/16 lookup 100 was removed by another program"), 1);
    // Also a route and a rule whose removal was not reported.
    let _ = (b.routes.take("10.1.0.0"), b.routes.take_rule(501));
    b.event(Event::Net(NetEv::Lost));
    b.dump();
    b.run(ms(1));
    assert_eq!((b.routes.names().len(), b.routes.rules.len()), (2, 2));
}

#[test]
fn no_track_is_left_to_others() {
    let lines = "virtual_routes {\n 10.1.0.0/16 via 198.19.0.1 dev eth7 no_track\n}\n\
        virtual_rules {\n from 10.1.0.0/16 table 100 preference 500 no_track\n}";
    let mut b = master(lines, "");
    assert_eq!((b.routes.names().len(), b.routes.rules.len()), (0, 1), "its interface is missing, which is no fault");
    b.event(Event::Net(NetEv::LinkNew(link(9, "eth7", true))));
    b.run(ms(5));
    assert_eq!(b.routes.names(), ["10.1.0.0/16"]);
    let gone = [b.routes.take("10.1.0.0"), b.routes.take_rule(500)];
    gone.into_iter().for_each(|e| b.event(e));
    b.run(Duration::from_secs(5));
    assert!(nothing(&b), "neither put back");
}

/// As in keepalived, the interface of a route is tracked.
#[test]
fn an_interface_of_a_route_that_is_down_is_a_fault() {
    let lines = "virtual_routes {\n 10.1.0.0/16 via 198.19.0.1 dev eth7\n}";
    let mut b = Bench::of(World::new(sound(lines, "")));
    b.links.push(link(9, "eth7", true));
    b.start();
    b.run(Duration::from_secs(6));
    assert_eq!((b.world.views()[0].state, b.routes.names().len()), (State::Master, 1));
    b.routes.routes.clear();
    b.event(Event::Net(NetEv::LinkNew(link(9, "eth7", false))));
    assert_eq!(b.world.views()[0].state, State::Fault);
    b.event(Event::Net(NetEv::LinkNew(link(9, "eth7", true))));
    b.run(Duration::from_secs(6));
    assert_eq!((b.world.views()[0].state, b.routes.names().len()), (State::Master, 1));
    assert_eq!(b.logged("another program"), 0);
}

#[test]
fn a_reload_adds_and_removes_the_difference() {
    let mut b = master(LINES, "static_rules {\n from 10.5.0.0/16 table 5 preference 50\n}");
    assert_eq!(b.routes.rules.len(), 3);
    b.routes.asked.clear();
    let lines = "virtual_routes {\n 10.1.0.0/16 via 198.18.0.1\n 10.3.0.0/16 via 198.18.0.1\n}\n\
        virtual_rules {\n from 10.1.0.0/16 table 100 preference 500\n to 10.2.0.0/16 prohibit preference 501\n}";
    let config = sound(lines, "static_rules {\n from 10.5.0.0/16 table 5 preference 51\n}");
    b.event(Event::Guard(GuardEv::Config(Box::new(config))));
    b.run(ms(5));
    assert_eq!(b.world.views()[0].state, State::Master);
    assert_eq!(b.routes.names(), ["10.1.0.0/16", "10.3.0.0/16"]);
    let rules = ["51: from 10.5.0.0/16 lookup 5", RULES[0], "501: from all to 10.2.0.0/16 prohibit"];
    assert_eq!(b.routes.rule_names(), rules);
    assert_eq!(b.routes.asked.len(), 6, "{:?}", b.routes.asked);
    // A reload removes the virtual router, and with it its routes and rules.
    b.event(Event::Guard(GuardEv::Config(Box::new(sound("", "")))));
    b.run(ms(5));
    assert!(nothing(&b), "{:?} {:?}", b.routes.names(), b.routes.rule_names());
}

/// Two virtual routers name one route, with different properties: it stays while one of them is Master.
#[test]
fn a_route_of_two() {
    let two = |b: &str| {
        format!(
            "vrrp_instance VI_2 {{\n interface eth0\n virtual_router_id 52\n priority 100\n virtual_ipaddress {{ 198.18.0.101 }}\n{b}\n}}"
        )
    };
    let lines = "virtual_routes {\n 10.1.0.0/16 via 198.18.0.1\n}\nvirtual_rules {\n table 9 preference 9\n}";
    let other = lines.replace("198.18.0.1\n", "198.18.0.2\n");
    let mut b = master(lines, &two(&other));
    b.run(Duration::from_secs(2));
    assert_eq!((b.routes.names().len(), b.routes.rules.len()), (1, 1));
    let via = |b: &Bench| b.routes.routes[0].hops[0].via.map(|a| a.to_string());
    assert_eq!(via(&b).as_deref(), Some("198.18.0.1"), "the first counts");
    beaten(&mut b);
    b.run(ms(5));
    let states: Vec<State> = b.world.views().iter().map(|v| v.state).collect();
    assert_eq!(states, [State::Backup, State::Master]);
    assert_eq!((b.routes.names().len(), b.routes.rules.len()), (1, 1));
    assert_eq!(via(&b).as_deref(), Some("198.18.0.2"));
}

/// A new process does not change the routes of a Master that continues; routes of a dead process that are not wanted are removed.
#[test]
fn over_an_upgrade_and_after_a_crash() {
    let mut old = master(LINES, "");
    let now = old.now;
    let snapshot = old.world.snapshot(now).expect("there is something to say");
    assert_eq!((snapshot.virtual_routes.len(), snapshot.virtual_rules.len(), snapshot.routes.len()), (2, 2, 0));
    let next = |lines: &str, snapshot, dead_since: Duration| {
        let mut new = Bench::of(World::standby(sound(lines, "")));
        new.now = now;
        new.kernel.clone_from(&old.kernel);
        new.routes.routes.clone_from(&old.routes.routes);
        new.routes.rules.clone_from(&old.routes.rules);
        new.start();
        assert!(
            new.asked.iter().any(|e| matches!(e, Effect::Guard(GuardFx::StandingBy))) && new.routes.asked.is_empty()
        );
        new.now.mono += dead_since;
        new.event(Event::Guard(GuardEv::Go { snapshot, dead_since: Some(Instant(now.mono.0)) }));
        new.run(ms(5));
        new
    };
    let new = next(LINES, Some(Box::new(snapshot.clone())), ms(10));
    assert_eq!((new.world.views()[0].state, new.routes.asked.len()), (State::Master, 0), "{:?}", new.routes.asked);
    // The new file has fewer lines.
    let new = next("virtual_routes {\n blackhole 10.9.0.0/16\n}", Some(Box::new(snapshot.clone())), ms(10));
    assert_eq!((new.routes.names(), new.routes.rules.len()), (vec!["10.9.0.0/16".to_owned()], 0));
    // Too long after the last advert: it starts as a Backup.
    let new = next(LINES, Some(Box::new(snapshot)), Duration::from_secs(60));
    assert!(new.world.views()[0].state == State::Backup && nothing(&new), "{:?}", new.routes.names());
    // After a kill without a snapshot only the file is known.
    let mut new = Bench::of(World::new(sound(LINES, "")));
    new.routes.routes.clone_from(&old.routes.routes);
    new.routes.rules.clone_from(&old.routes.rules);
    new.start();
    new.run(ms(5));
    assert!(nothing(&new), "{:?}", new.routes.names());
}

#[test]
fn static_rules_stay_and_an_operators_rule_stays_his() {
    let more = "static_rules {\n from 10.5.0.0/16 table 5 preference 50\n from 10.6.0.0/16 table 6 preference 60\n}";
    let mut b = Bench::of(World::new(sound("", more)));
    let config = sound("", more);
    let theirs = config.static_rules[1].spec.expect("usable");
    b.routes.rules.push(kalived::rule::RuleSpec { proto: 4, ..theirs });
    b.start();
    b.run(ms(5));
    assert_eq!(b.routes.rules.len(), 2);
    beaten(&mut b);
    b.run(Duration::from_secs(10));
    assert_eq!(b.routes.asked.len(), 1, "{:?}", b.routes.asked);
    b.term();
    b.run(ms(5));
    let left: Vec<u8> = b.routes.rules.iter().map(|r| r.proto).collect();
    assert_eq!(left, [4], "what was there before stays");
}

#[test]
fn lines_that_cannot_be_and_rules_without_a_preference() {
    for (line, what) in [
        ("from 10.1.0.0/16", "a rule without an action: the line is ignored"),
        ("from 10.1.0.0/16 type unicast", "a rule without an action: the line is ignored"),
        ("from 10.1.0.0/16 to 2001:db8::/32 table 5", "a rule with addresses of two families: the line is ignored"),
        ("fwmark 0xzz table 5", "unknown fwmark `0xzz`: the line is ignored"),
        ("ipproto tpc table 5", "unknown ipproto `tpc`: the line is ignored"),
        ("table nowhere_such", "unknown name `nowhere_such` in rt_tables: the line is ignored"),
    ] {
        let (config, said) =
            config("", &format!("static_rules {{\n {line} preference 7\n from 10.7.0.0/16 table 7 preference 8\n}}"));
        assert!(said.iter().any(|s| s == what), "{line}: {said:?}");
        assert_eq!(config.static_rules.len(), 1, "{line}");
    }
    // The numbers that keepalived assigns: downwards from 16,384 in the order of the file, for each family.
    let (config, said) = config(
        "virtual_rules {\n from 10.1.0.0/16 table 1\n from 2001:db8::/32 table 2\n from 10.3.0.0/16 table 3\n}",
        "",
    );
    let given: Vec<u32> = config.instances[0].more.rules.iter().filter_map(|r| r.spec).map(|s| s.preference).collect();
    assert_eq!(given, [16_384, 16_384, 16_383]);
    assert_eq!(said[2], "a rule without a preference: it gets 16383");
}
