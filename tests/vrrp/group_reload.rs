//! Sync groups over reloads and hand-overs: members are added, removed and moved, without an effect on the other members.
//!
//! Read first: `group.rs`.

use crate::bench::*;
use crate::group::{ETH1, MS, S, cold, group, masters, member, pair, started, states, two_links};
use crate::handover::{freeze, said, written};
use kalived::config::model::{Config, InstanceConfig};
use kalived::effect::{Effect, GuardFx};
use kalived::event::{Event, GuardEv};
use kalived::vrrp::State::{Backup, Fault, Master};
use kalived::world::World;

fn named(name: &str, n: usize, priority: u8) -> InstanceConfig {
    let mut c = member(n, priority);
    c.name = name.into();
    c.vrid += 10;
    c.vips = vec![vip(&format!("198.{}.0.110", 18 + n % 2))];
    c
}

fn with_c(config: &Config, group: &str) -> Config {
    let mut config = config.clone();
    config.instances.push(named("C", 0, 100));
    if let Some(g) = config.sync_groups.iter_mut().find(|g| &*g.name == group) {
        g.members.push("C".into());
    }
    config
}

impl Bench {
    fn takes(&mut self, config: &Config) {
        self.event(Event::Guard(GuardEv::Config(Box::new(config.clone()))));
        self.run(MS);
    }
}

/// Trap 8.
#[test]
fn who_comes_to_a_group_that_is_master_joins_it_without_disturbing_it() {
    let config = pair(100, 100);
    let mut b = masters(&config);
    b.takes(&with_c(&config, "G"));
    assert_eq!(states(&b), [Master, Master, Backup]);
    // Not sooner than a router that starts.
    let wait = b.who("C").first_wait;
    b.run(wait - MS * 2);
    assert_eq!(states(&b), [Master, Master, Backup]);
    b.run(MS * 2);
    assert_eq!(states(&b), [Master, Master, Master]);
    assert_eq!(b.logged("BACKUP STATE"), 1, "only the new one: {:?}", b.log);
    assert!(!b.wire().iter().any(|w| w.starts_with("del") || w.starts_with("farewell")), "{:?}", b.wire());
    assert!(b.frames() > 0, "its address is announced");
}

#[test]
fn one_that_joins_does_not_preempt_but_yields_with_all() {
    let config = pair(100, 100);
    let mut with = with_c(&config, "G");
    with.instances[2].preempt = false;
    // A Master of lower priority does not keep it out, with any Preempt_Mode: the group is Master already.
    let mut b = masters(&config);
    b.takes(&with);
    for _ in 0..60 {
        b.hears(&with.instances[2], 50);
        b.run(MS * 100);
    }
    assert_eq!(states(&b), [Master, Master, Master]);
    // A higher one does, and then none of the group can be.
    let mut b = masters(&config);
    b.takes(&with);
    b.hears(&with.instances[2], 150);
    assert_eq!(states(&b), [Backup, Backup, Backup]);
    assert_eq!(b.wire()[..2], ["farewell 61 0", "farewell 62 0"]);
}

#[test]
fn one_that_comes_and_cannot_run_stops_the_group() {
    let config = pair(100, 100);
    let mut with = with_c(&config, "G");
    with.instances[2].interface = "eth9".into();
    let mut b = masters(&config);
    b.takes(&with);
    assert_eq!(states(&b), [Fault, Fault, Fault]);
    // Removed again, it has no effect on the group.
    b.takes(&config);
    assert_eq!(states(&b), [Backup, Backup]);
    // Also where it stays in the file and leaves the group only.
    b.takes(&with);
    assert_eq!(states(&b), [Fault, Fault, Fault]);
    with.sync_groups[0].members.pop();
    b.takes(&with);
    assert_eq!(states(&b), [Backup, Backup, Fault]);
    b.run(S);
    assert_eq!(states(&b), [Master, Master, Fault]);
}

#[test]
fn groups_come_go_and_change_their_members() {
    let config = pair(100, 100);
    // Without a group, then with one: both are Master, and nothing happens.
    let alone = Config { sync_groups: Vec::new(), ..config.clone() };
    let mut b = masters(&alone);
    b.takes(&config);
    assert_eq!((states(&b), b.wire()), (vec![Master, Master], vec![]));
    assert_eq!(b.world.groups()[0].state, Master);
    b.takes(&alone);
    assert_eq!((states(&b), b.wire()), (vec![Master, Master], vec![]));
    assert!(b.world.groups().is_empty());
    let before = b.world.sizes();
    for _ in 0..20 {
        b.takes(&config);
        b.takes(&alone);
    }
    assert_eq!(b.world.sizes(), before, "nothing is left behind");
    // One follows another Master: as a group neither can be Master.
    b.hears(&config.instances[1], 150);
    assert_eq!(states(&b), [Master, Backup]);
    b.takes(&config);
    assert_eq!(states(&b), [Backup, Backup]);
    assert_eq!(b.wire().iter().filter(|w| *w == "farewell 61 0").count(), 1, "{:?}", b.wire());
    // In FAULT because of another member: it starts when it leaves the group.
    b.up(ETH1, false);
    assert_eq!(states(&b), [Fault, Fault]);
    b.takes(&alone);
    assert_eq!(states(&b), [Backup, Fault]);
    // From one group to another one.
    b.up(ETH1, true);
    let mut moved = with_c(&config, "none");
    b.takes(&moved);
    b.run(S * 2);
    assert_eq!(states(&b), [Master, Master, Master]);
    moved.sync_groups = vec![group("H", &["A", "C"])];
    b.out.clear();
    b.takes(&moved);
    assert_eq!((states(&b), b.wire()), (vec![Master; 3], vec![]));
    b.up(ETH1, false);
    assert_eq!(states(&b), [Master, Fault, Master], "no longer its business");
    let names: Vec<String> = b.world.groups().into_iter().map(|g| format!("{} {:?}", g.name, g.members)).collect();
    assert_eq!(names, [r#"H ["A", "C"]"#]);
}

// A member's name with another VRID is another virtual router: it starts anew, and joins.
#[test]
fn a_member_that_starts_anew_joins() {
    let config = pair(100, 100);
    let mut b = masters(&config);
    let mut other = config.clone();
    other.instances[1].vrid = 99;
    b.takes(&other);
    assert_eq!(states(&b), [Master, Backup]);
    b.run(S);
    assert_eq!(states(&b), [Master, Master]);
    assert!(!b.wire().contains(&"farewell 61 0".to_owned()), "{:?}", b.wire());
}

// While a reload is under way a new owner does not become Master before its group is there.
#[test]
fn new_members_wait_for_their_group() {
    let mut config = pair(255, 255);
    config.instances[1].interface = "eth9".into();
    let none = Config::default();
    let mut b = started(&none);
    b.takes(&config);
    assert_eq!(states(&b), [Fault, Fault]);
    assert!(b.wire().is_empty(), "{:?}", b.wire());
}

fn beside(old: &Bench, config: &Config) -> Bench {
    let mut b = Bench::of(World::standby(config.clone()));
    (b.now, b.links, b.kernel) = (old.now, old.links.clone(), old.kernel.clone());
    b.start();
    b
}

#[test]
fn a_group_that_is_handed_over_goes_on_as_it_was() {
    let config = pair(100, 100);
    let mut old = masters(&config);
    let mut new = beside(&old, &config);
    let s = freeze(&mut old);
    new.kernel = old.kernel.clone();
    new.event(Event::Guard(GuardEv::Go { snapshot: Some(s), dead_since: None }));
    new.fire();
    assert_eq!(states(&new), [Master, Master]);
    assert_eq!(new.world.groups()[0].state, Master);
    new.run(S * 2);
    assert_eq!(states(&new), [Master, Master]);
    assert_eq!(new.wire(), Vec::<String>::new(), "nothing but what is armed");
    assert_eq!(said(&new, |e| matches!(e, Effect::Guard(GuardFx::Frozen))), 0);
}

// After a crash one member is known to be Master still, the other one is not: it joins.
#[test]
fn a_member_that_cannot_be_resumed_joins_the_others() {
    let mut config = pair(100, 100);
    config.instances[0].advert_int = S * 2;
    let mut old = cold(&config);
    old.start();
    old.run(S * 20);
    assert_eq!(states(&old), [Master, Master]);
    let s = written(&old.world.snapshot(old.now).expect("something to say"));
    let mut new = beside(&old, &config);
    let died = new.now.mono;
    new.run(S);
    new.event(Event::Guard(GuardEv::Go { snapshot: Some(s), dead_since: Some(died) }));
    new.fire();
    assert_eq!(states(&new), [Master, Backup], "silent for ten of its intervals");
    assert_eq!(new.logged("(B) starts anew"), 1, "{:?}", new.log);
    new.run(S);
    assert_eq!(states(&new), [Master, Master]);
}

#[test]
fn a_group_with_a_member_whose_interface_is_gone_is_not_resumed() {
    let config = pair(100, 100);
    let mut old = masters(&config);
    let mut new = Bench::of(World::standby(config.clone()));
    new.now = old.now;
    two_links(&mut new);
    new.links[1].up = false;
    new.links[1].running = false;
    new.kernel = old.kernel.clone();
    new.start();
    let s = freeze(&mut old);
    new.event(Event::Guard(GuardEv::Go { snapshot: Some(s), dead_since: None }));
    new.fire();
    new.run(MS);
    assert_eq!(states(&new), [Fault, Fault]);
    assert!(new.wire().contains(&"farewell 61 0".to_owned()), "{:?}", new.wire());
}

// A would preempt a lower Master on its link, and B follows a better one: the group is Backup.
fn torn() -> (Config, Bench) {
    let config = pair(200, 100);
    let mut b = started(&config);
    for _ in 0..30 {
        b.hears(&config.instances[0], 150);
        b.hears(&config.instances[1], 150);
        b.run(MS * 100);
    }
    assert_eq!(states(&b), [Backup, Backup]);
    b.out.clear();
    b.log.clear();
    (config, b)
}

fn went_on(old: &mut Bench, config: &Config) -> Bench {
    let mut new = beside(old, config);
    let s = freeze(old);
    new.kernel.clone_from(&old.kernel);
    new.event(Event::Guard(GuardEv::Go { snapshot: Some(s), dead_since: None }));
    new.fire();
    new
}

#[test]
fn a_group_decides_after_all_its_members_have_gone_on() {
    let (config, mut old) = torn();
    let new = went_on(&mut old, &config);
    assert_eq!((states(&new), new.wire()), (vec![Backup, Backup], vec![]), "{:?}", new.log);
    assert_eq!(new.logged("Entering"), 0, "{:?}", new.log);
}

// What the new virtual router will hear on its link is not known yet.
#[test]
fn a_member_that_starts_anew_is_waited_for() {
    let (config, mut b) = torn();
    let mut other = config.clone();
    other.instances[1].vrid = 99;
    b.takes(&other);
    assert_eq!((states(&b), b.wire()), (vec![Backup, Backup], vec![]), "{:?}", b.log);
    // The new member receives no advert.
    let wait = b.who("B").first_wait;
    for _ in 0..10 {
        b.hears(&other.instances[0], 150);
        b.run(wait / 10);
    }
    assert_eq!(states(&b), [Master, Master], "{:?}", b.log);
}

#[test]
fn one_that_joins_goes_on_joining() {
    let config = pair(100, 100);
    let with = with_c(&config, "G");
    let mut old = masters(&config);
    old.takes(&with);
    assert_eq!(states(&old), [Master, Master, Backup]);
    let written_before = written(&old.world.snapshot(old.now).expect("something to say"));
    let died = old.now.mono;
    // After a hand-over, and after a crash.
    let mut crashed = beside(&old, &with);
    crashed.event(Event::Guard(GuardEv::Go { snapshot: Some(written_before), dead_since: Some(died) }));
    crashed.fire();
    for mut new in [went_on(&mut old, &with), crashed] {
        assert_eq!(states(&new), [Master, Master, Backup], "{:?}", new.log);
        new.run(S * 2);
        assert_eq!(states(&new), [Master, Master, Master], "{:?}", new.log);
        assert!(!new.wire().iter().any(|w| w.starts_with("farewell")), "{:?}", new.wire());
    }
}
