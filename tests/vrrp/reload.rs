//! Reloads: what is equal in both files is not touched, a change costs no advert and no address, and a thousand reloads leave nothing
//! behind. Trap numbers are those of `docs/traps.md`. Read first: `bench.rs`.

use crate::bench::*;
use kalived::config::diff::diff;
use kalived::config::model::{Config, Family, InstanceConfig, TrackInterface};
use kalived::effect::{Effect, Effects, GuardFx, Reloaded};
use kalived::event::{Event, GuardEv, NetEv, Signal};
use kalived::time::{Duration, Instant, nanos};
use kalived::timers::Due;
use kalived::vrrp::State;
use kalived::world::View;
use std::net::IpAddr;

const S: Duration = Duration::from_secs(1);
const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}
const A: &str = "198.18.0.100";
const B: &str = "198.18.0.101";
const C: &str = "198.18.0.102";

pub fn one(name: &str, vrid: u8, vips: &[&str]) -> InstanceConfig {
    let family = vips.first().map_or(Family::V4, |v| Family::of(&ip(v)));
    let mut c = InstanceConfig::new(name, "eth0", vrid, family);
    c.vips = vips.iter().map(|v| vip(v)).collect();
    c
}

pub fn config(instances: &[InstanceConfig]) -> Event<'static> {
    Event::Guard(GuardEv::Config(Box::new(Config { instances: instances.to_vec(), ..Config::default() })))
}

impl Bench {
    fn running(instances: &[InstanceConfig]) -> Bench {
        let mut b = Bench::cold(instances.to_vec());
        b.start();
        b
    }
    /// All of them Master; outputs and log so far are cleared.
    fn masters(instances: &[InstanceConfig]) -> Bench {
        let mut b = Bench::running(instances);
        // Some time before the next adverts leave.
        b.run(S * 20 + ms(250));
        assert!(b.world.views().iter().all(|v| v.state == State::Master), "{:?}", b.world);
        b.out.clear();
        b.log.clear();
        b
    }
    /// Answers to `Config` so far.
    fn answers(&mut self) -> Vec<Reloaded> {
        let all = std::mem::take(&mut self.asked).into_iter();
        all.filter_map(|e| if let Effect::Guard(GuardFx::Reloaded(r)) = e { Some(*r) } else { None }).collect()
    }
    pub fn reload(&mut self, instances: &[InstanceConfig]) -> String {
        self.event(config(instances));
        self.run(ms(1));
        let answers = self.answers();
        assert!(matches!(&answers[..], [r] if r.done), "{answers:?}");
        answers[0].text.clone()
    }
    fn named(&self, name: &str) -> View {
        self.world.views().into_iter().find(|v| v.name == name).expect("a virtual router of that name")
    }
    fn holds(&self, a: &str) -> bool {
        self.kernel.iter().any(|k| k.addr == ip(a))
    }
    fn deleted(&self, a: &str) -> bool {
        self.out.contains(&Out::Del(ip(a)))
    }
    /// Armed for it: when.
    fn armed_for(&self, name: &str) -> Vec<Instant> {
        let vr = self.named(name).vr;
        self.armed.keys().filter(|k| k.1 == vr).map(|k| k.0).collect()
    }
    /// Everything that can be seen of one virtual router.
    fn all_of(&self, name: &str) -> String {
        let v = self.named(name);
        let timers: Vec<_> =
            self.world.deadlines().filter(|(_, d)| format!("{d:?}").contains(&format!("({:?})", v.vr))).collect();
        format!("{v:?} {timers:?} {:?}", self.armed_for(name))
    }
    /// Priorities of its farewells and adverts since the output was cleared.
    fn stops(&self) -> Vec<bool> {
        self.out.iter().filter_map(|o| if let Out::Stop(f) = o { Some(f.is_some()) } else { None }).collect()
    }
}

#[test]
fn nothing_changed_does_nothing() {
    let all = [one("VI_1", 51, &[A]), one("VI_2", 52, &[B])];
    let mut b = Bench::masters(&all);
    let before = (b.all_of("VI_1"), b.all_of("VI_2"), b.world.sizes(), b.kernel.clone());
    // A line moved in the file is no change.
    let mut moved = all.clone();
    moved[0].place.line = 99;
    moved[1].vips[0].place.line = 100;
    assert_eq!(b.reload(&moved), "virtual routers: 2 kept, 0 altered, 0 added, 0 removed");
    assert_eq!((b.all_of("VI_1"), b.all_of("VI_2"), b.world.sizes(), b.kernel.clone()), before);
    assert_eq!(
        (&b.out[..], &b.log[..]),
        (
            &[][..],
            &["Reloading", "Reloaded: virtual routers: 2 kept, 0 altered, 0 added, 0 removed"].map(String::from)[..]
        )
    );
}

#[test]
fn what_stays_is_not_touched_while_its_neighbours_change() {
    let all = [one("VI_1", 51, &[A]), one("VI_2", 52, &[B]), one("VI_3", 53, &[C])];
    let mut b = Bench::masters(&all);
    let before = b.all_of("VI_2");
    let mut altered = all[0].clone();
    altered.priority = 110;
    let new = [one("VI_4", 54, &["198.18.0.104"]), altered, all[1].clone()];
    assert_eq!(b.reload(&new), "virtual routers: 1 kept, 1 altered, 1 added, 1 removed");
    // The result equals the plan.
    let as_config = |list: &[InstanceConfig]| Config { instances: list.to_vec(), ..Config::default() };
    let plan = diff(&as_config(&all), &as_config(&new));
    assert_eq!(plan.routers.to_string(), "virtual routers: 1 kept, 1 altered, 1 added, 1 removed");
    assert_eq!(b.all_of("VI_2"), before);
    assert_eq!(b.logged("(VI_1) altered: priority 100 -> 110"), 1, "{:?}", b.log);
    assert_eq!((b.logged("(VI_4) added"), b.logged("(VI_3) removed; was MASTER")), (1, 1));
    assert_eq!(b.stops(), [false, true], "one armed anew, one says farewell");
    assert!(b.deleted(C) && !b.deleted(A) && !b.deleted(B));
    assert_eq!(b.named("VI_1").effective_priority, 110);
    b.run(S * 5);
    assert_eq!(b.named("VI_4").state, State::Master);
}

#[test]
fn trap_1_ten_configurations_at_once_and_the_last_one_counts() {
    let mut b = Bench::masters(&[one("VI_1", 51, &[A])]);
    for i in 1..=10 {
        let mut c = one("VI_1", 51, &[A]);
        c.priority = 100 + i;
        b.event(config(&[c]));
    }
    b.run(ms(100));
    let done: Vec<bool> = b.answers().iter().map(|r| r.done).collect();
    assert_eq!(done.len(), 10, "each is answered");
    assert_eq!(done.iter().filter(|d| **d).count(), 2, "the one that was begun, and the newest: {done:?}");
    assert!(done[9]);
    assert_eq!((b.state(), b.view().effective_priority), (State::Master, 110));
    assert_eq!(b.adverts(), 0);
}

#[test]
fn trap_1_a_configuration_in_the_midst_of_another_is_neither_lost_nor_mixed_in() {
    let many = |n: u8, priority| -> Vec<InstanceConfig> {
        let one = |i| InstanceConfig { priority, ..one(&format!("VI_{i}"), i, &[&format!("198.18.1.{i}")]) };
        (1..=n).map(one).collect()
    };
    let mut b = Bench::running(&many(200, 100));
    b.event(config(&many(200, 110)));
    b.now.mono += Duration::from_nanos(1);
    b.fire();
    let halfway = b.world.views().iter().filter(|v| v.effective_priority == 110).count();
    assert!((1..200).contains(&halfway), "in slices: {halfway}");
    b.event(config(&many(150, 120)));
    b.event(config(&many(180, 130)));
    b.run(ms(1));
    let answers = b.answers();
    let texts: Vec<&str> = answers.iter().map(|r| r.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "virtual routers: 0 kept, 200 altered, 0 added, 0 removed",
            "a newer configuration came before this one was begun",
            "virtual routers: 0 kept, 180 altered, 0 added, 20 removed"
        ]
    );
    assert!(b.world.views().iter().all(|v| v.effective_priority == 130) && b.world.views().len() == 180);
}

#[test]
fn a_configuration_waits_for_the_start_and_a_stop_does_not_wait_for_it() {
    let mut b = Bench::cold(vec![one("VI_1", 51, &[A])]);
    b.event(Event::Start);
    b.event(config(&[one("VI_9", 59, &[A])]));
    b.event(config(&[one("VI_2", 52, &[B])]));
    assert_eq!(b.answers().len(), 1, "the first will never be begun");
    b.dump();
    b.run(ms(1));
    assert_eq!((b.answers().len(), b.named("VI_2").state), (1, State::Backup));
    assert!(!b.world.reloading());
    let mut b = Bench::masters(&[one("VI_1", 51, &[A])]);
    b.event(config(&[one("VI_1", 51, &[B])]));
    b.term();
    b.event(config(&[one("VI_1", 51, &[C])]));
    assert!(matches!(&b.answers()[..], [x, y] if !x.done && !y.done));
    assert!(!b.holds(A) && b.out.iter().any(|o| matches!(o, Out::Exit(_))), "{:?}", b.out);
}

#[test]
fn sighup_asks_for_a_compilation() {
    let mut b = Bench::masters(&[one("VI_1", 51, &[A])]);
    b.event(Event::Signal(Signal::Hup));
    assert!(matches!(&b.asked[..], [Effect::Guard(GuardFx::Compile)]));
    assert_eq!(b.logged("Reloading ..."), 1);
}

#[test]
fn what_a_process_cannot_change_about_itself_is_refused_whole() {
    let mut b = Bench::masters(&[one("VI_1", 51, &[A])]);
    let before = b.all_of("VI_1");
    let mut c = Config { instances: vec![one("VI_1", 51, &[B])], ..Config::default() };
    c.root.net_namespace = Some("blue".into());
    b.event(Event::Guard(GuardEv::Config(Box::new(c))));
    b.run(ms(1));
    let answers = b.answers();
    assert!(!answers[0].done && answers[0].text.contains("net_namespace"), "{answers:?}");
    assert_eq!(b.all_of("VI_1"), before);
}

#[test]
fn trap_3_a_fast_master_is_altered_without_a_gap() {
    let fast = |vips: &[&str]| InstanceConfig {
        advert_int: ms(100),
        version: kalived::config::model::Version::V3,
        ..one("VI_1", 51, vips)
    };
    for (new, what) in [
        (fast(&[A, B]), "VIP added"),
        (InstanceConfig { priority: 120, ..fast(&[A]) }, "priority"),
        (InstanceConfig { advert_int: ms(50), ..fast(&[A]) }, "faster"),
        (InstanceConfig { advert_int: ms(1000), ..fast(&[A]) }, "slower"),
        (InstanceConfig { preempt: false, ..fast(&[A]) }, "nothing that adverts tell"),
    ] {
        for offset in [10, 20, 37, 45] {
            let mut b = Bench::masters(&[fast(&[A])]);
            b.run(ms(offset));
            let next = b.armed_for("VI_1")[0];
            let last = next - ms(100);
            let new_interval = new.advert_int;
            b.reload(std::slice::from_ref(&new));
            let armed = b.armed_for("VI_1");
            assert_eq!(b.state(), State::Master, "{what}");
            let sent = b.out.iter().any(|o| matches!(o, Out::Advert(_)));
            let from = if sent { b.now.mono - ms(1) } else { last };
            let limit = if sent { new_interval } else { ms(100) };
            assert!(armed[0].since(from) <= limit, "{what}: {:?} after the last one", armed[0].since(from));
            // The first one after one that was sent at once lies between that and the grid.
            let on_grid = &armed[usize::from(sent)..];
            assert!(on_grid.windows(2).all(|w| w[1].since(w[0]) == new_interval), "{what}: the grid");
            assert!(armed.windows(2).all(|w| w[1].since(w[0]) >= new_interval / 2), "{what}: {armed:?}");
            assert_eq!(sent, new_interval != ms(100), "{what}: followers learn another interval at once");
            assert!(b.stops().iter().all(|farewell| !farewell), "{what}");
        }
    }
}

#[test]
fn trap_4_a_reload_before_the_first_takeover_does_not_delay_it() {
    let mut b = Bench::running(&[v2()]);
    let due = b.left(Due::MasterDown).expect("a timer");
    b.run(S);
    b.reload(&[InstanceConfig { preempt_delay: S, ..v2() }]);
    assert_eq!(b.left(Due::MasterDown), Some(due - S - ms(1)), "it goes on waiting");
    // Another priority is another Skew_Time, from the same start.
    b.reload(&[InstanceConfig { priority: 200, ..v2() }]);
    let skews = Duration::from_nanos((200 - 100) * 1_000_000_000 / 256);
    assert_eq!(b.left(Due::MasterDown).map(nanos), Some(nanos(due - S - ms(2) - skews)));
}

#[test]
fn the_wait_counts_from_when_the_master_was_last_heard() {
    let slow = |i: Duration| InstanceConfig { advert_int: i, ..v3() };
    let mut b = Bench::running(&[slow(S)]);
    b.rx(&v3(), PEER, 200, S);
    b.run(S);
    // v3: the Master's interval counts, not ours.
    b.reload(&[slow(S * 5)]);
    assert_eq!(b.left(Due::MasterDown).map(nanos), Some(3_609_375_000 - 1_001_000_000));
    b.reload(&[InstanceConfig { down_timer_adverts: 5, ..slow(S * 5) }]);
    assert_eq!(b.left(Due::MasterDown).map(nanos), Some(5_609_375_000 - 1_002_000_000));
    // v2: ours. What has passed already has passed.
    let mut b = Bench::running(&[InstanceConfig { advert_int: S * 10, ..v2() }]);
    b.run(S * 20);
    b.reload(&[v2()]);
    assert_eq!(b.state(), State::Master);
    // After a farewell the wait is Skew_Time.
    let mut b = Bench::running(&[v2()]);
    b.rx(&v2(), PEER, 0, S);
    b.reload(&[InstanceConfig { down_timer_adverts: 9, ..v2() }]);
    assert_eq!(b.left(Due::MasterDown).map(nanos), Some(609_375_000 - 1_000_000));
}

/// Trap 5.
#[test]
fn trap_5_a_vip_that_changes_hands_never_leaves_the_kernel() {
    for swapped in [false, true] {
        let order = |mut list: Vec<InstanceConfig>| {
            if swapped {
                list.reverse();
            }
            list
        };
        let old = order(vec![one("VI_A", 51, &[A]), one("VI_B", 52, &[B, C])]);
        let new = order(vec![one("VI_A", 51, &[A, C]), one("VI_B", 52, &[B])]);
        // Both are Master.
        let mut b = Bench::masters(&old);
        b.reload(&new);
        assert!(b.holds(C) && !b.out.iter().any(|o| matches!(o, Out::Del(_) | Out::Add(_))), "{:?}", b.out);
        assert_eq!((b.named("VI_A").addresses, b.named("VI_B").addresses), ((2, 2), (1, 1)));
        // It is removed when its new virtual router yields, not when its old one does.
        b.rx(&new.iter().find(|c| c.name == "VI_B").unwrap().clone(), PEER, 200, S);
        assert!(b.holds(C) && b.holds(A) && !b.holds(B));
        b.rx(&new.iter().find(|c| c.name == "VI_A").unwrap().clone(), PEER, 200, S);
        assert!(!b.holds(C) && !b.holds(A));

        // Only the old virtual router is Master: then the address must be removed.
        let mut b = Bench::masters(&old);
        b.rx(&one("VI_A", 51, &[A]), PEER, 200, S);
        b.reload(&new);
        assert_eq!((b.named("VI_A").state, b.named("VI_B").state), (State::Backup, State::Master));
        assert!(!b.holds(C) && b.holds(B), "{:?}", b.out);
        // Only the new one is: then it is added.
        let mut b = Bench::masters(&old);
        b.rx(&one("VI_B", 52, &[B, C]), PEER, 200, S);
        assert!(!b.holds(C));
        b.out.clear();
        b.reload(&new);
        assert!(b.holds(C) && b.frames() > 0, "announced: {:?}", b.out);
    }
}

#[test]
fn the_order_of_addresses_and_their_section_move_nothing_in_the_kernel() {
    let mut b = Bench::masters(&[one("VI_1", 51, &[A, B])]);
    b.reload(&[one("VI_1", 51, &[B, A])]);
    let mut c = one("VI_1", 51, &[A]);
    c.excluded = vec![vip(B)];
    b.reload(&[c]);
    assert!(!b.out.iter().any(|o| matches!(o, Out::Add(_) | Out::Del(_) | Out::Frame(_))), "{:?}", b.out);
    assert_eq!(b.stops(), [false, false], "the adverts say it");
}

#[test]
fn other_settings_of_an_address() {
    // Another prefix length is another address to an IPv4 kernel: first the new one, then the old one goes.
    let mut b = Bench::masters(&[one("VI_1", 51, &[A])]);
    let mut c = one("VI_1", 51, &[A]);
    c.vips[0].prefix = 24;
    b.reload(&[c.clone()]);
    let order: Vec<&Out> = b.out.iter().filter(|o| matches!(o, Out::Add(_) | Out::Del(_))).collect();
    assert_eq!(order, [&Out::Add(ip(A)), &Out::Del(ip(A))]);
    assert_eq!(b.kernel.iter().filter(|k| k.addr == ip(A)).map(|k| k.prefix).collect::<Vec<_>>(), [24]);
    // A label cannot be changed in the kernel: away and back, at once.
    c.vips[0].label = Some("eth0:1".into());
    b.out.clear();
    b.reload(&[c]);
    assert!(b.holds(A) && b.deleted(A) && b.frames() > 0);
    b.run(ms(10));
    // Entries, queued, under way, waiting, owned, going, put aside.
    assert_eq!(b.world.sizes()[9..16], [1, 0, 0, 0, 1, 0, 0], "one is held, and nothing under way");
}

#[test]
fn trap_6_two_instances_swap_their_vrids() {
    let old = [one("VI_1", 51, &[A]), one("VI_2", 52, &[B])];
    let mut b = Bench::masters(&old);
    let keys = (b.named("VI_1").vr, b.named("VI_2").vr);
    let new = [one("VI_1", 52, &[A]), one("VI_2", 51, &[B])];
    assert_eq!(b.reload(&new), "virtual routers: 0 kept, 2 altered, 0 added, 0 removed");
    assert!(!b.deleted(A) && !b.deleted(B) && b.stops() == [false, false], "{:?}", b.out);
    assert_eq!((b.named("VI_2").vr, b.named("VI_1").vr), keys, "a virtual router is its VRID");
    assert_eq!((b.named("VI_1").state, b.named("VI_2").state), (State::Master, State::Master));
    // Both still receive their own adverts, and no others.
    b.rx(&new[0], PEER, 200, S);
    assert_eq!((b.named("VI_1").state, b.named("VI_2").state), (State::Backup, State::Master));
    assert!(b.deleted(A) && !b.deleted(B));
}

#[test]
fn a_renamed_instance_goes_on() {
    let mut b = Bench::masters(&[one("VI_1", 51, &[A])]);
    let (before, armed) = (b.named("VI_1"), b.armed.clone());
    b.reload(&[one("lan", 51, &[A])]);
    let v = b.named("lan");
    assert_eq!((v.vr, v.state, v.since), (before.vr, State::Master, before.since));
    assert_eq!((&b.out[..], &b.armed), (&[][..], &armed));
    assert_eq!(b.logged("(lan) altered: was VI_1"), 1, "{:?}", b.log);
}

#[test]
fn another_vrid_is_another_router_on_the_wire() {
    let mut b = Bench::masters(&[one("VI_1", 51, &[A])]);
    b.reload(&[one("VI_1", 53, &[A])]);
    assert_eq!(b.stops(), [true], "farewell under the old VRID");
    let farewell = b.out.iter().find_map(|o| if let Out::Stop(Some(p)) = o { Some(p.clone()) } else { None });
    assert_eq!(farewell, Some(advert(&one("VI_1", 51, &[A]), OURS, 0, S)));
    assert_eq!((b.state(), b.view().vrid), (State::Backup, 53));
    assert!(!b.holds(A), "a Backup has no address");
    b.run(S * 5);
    assert_eq!(b.state(), State::Master);
    assert!(b.holds(A));
    assert_eq!(b.view().stats.become_master, 2, "counters go on");
    // The old one's place is free.
    b.reload(&[one("VI_1", 53, &[A]), one("VI_2", 51, &[B])]);
    b.run(S * 5);
    assert_eq!(b.named("VI_2").state, State::Master);
}

#[test]
fn trap_8_a_fresh_instance_beside_a_master_leaves_it_alone() {
    let mut b = Bench::masters(&[one("VI_1", 51, &[A])]);
    let before = b.all_of("VI_1");
    b.reload(&[one("VI_0", 50, &[B]), one("VI_1", 51, &[A])]);
    assert_eq!(b.all_of("VI_1"), before);
    assert_eq!(b.named("VI_0").state, State::Backup);
    assert_eq!(b.out, [], "nothing is sent, added or removed");
}

#[test]
fn trap_11_three_reloads_and_a_cold_start_give_one_priority() {
    let track = |weight| TrackInterface { name: "eth1".into(), weight, reverse: false };
    let base = one("VI_1", 51, &[A]);
    let steps = [
        InstanceConfig { priority: 111, ..base.clone() },
        InstanceConfig { priority: 111, track_interfaces: vec![track(-11)], ..one("VI_1", 51, &[A, B]) },
        InstanceConfig { track_interfaces: vec![track(-11)], ..base.clone() },
        InstanceConfig { track_interfaces: vec![track(20)], ..base.clone() },
        base.clone(),
        InstanceConfig { track_interfaces: vec![track(0)], ..base.clone() },
        base.clone(),
        InstanceConfig { priority: 255, ..base.clone() },
        base.clone(),
    ];
    for up in [false, true] {
        for master in [false, true] {
            let started = |cfg: &InstanceConfig| {
                let mut b = Bench::cold(vec![cfg.clone()]);
                b.links.push(link(7, "eth1", up));
                b.start();
                b
            };
            let mut b = started(&base);
            if master {
                b.run(S * 5);
            }
            for (n, step) in steps.iter().enumerate() {
                b.reload(std::slice::from_ref(step));
                let cold = started(step);
                assert_eq!(b.view().effective_priority, cold.view().effective_priority, "step {n}, eth1 up: {up}");
                assert_eq!(
                    b.view().state == State::Fault,
                    cold.view().state == State::Fault,
                    "step {n}, eth1 up: {up}"
                );
            }
        }
    }
}

#[test]
fn trap_12_what_is_on_the_interface_already_is_removed_for_a_new_backup() {
    let v6 = one("VI_6", 60, &["fe80::64", "2001:db8::64"]);
    let mut b = Bench::masters(&[one("VI_1", 51, &[A])]);
    for (a, prefix, proto) in [(B, 32, 0), ("fe80::64", 128, 0), ("2001:db8::64", 64, kalived::effect::ADDR_PROTO)] {
        let a = addr(ETH0, a, prefix, proto);
        b.kernel.push(a.clone());
        b.event(Event::Net(NetEv::AddrNew(a)));
    }
    b.reload(&[one("VI_1", 51, &[A]), one("VI_2", 52, &[B]), v6.clone()]);
    assert_eq!((b.named("VI_2").state, b.named("VI_6").state), (State::Backup, State::Backup));
    assert!(b.holds(A) && !b.holds(B) && !b.holds("fe80::64") && !b.holds("2001:db8::64"), "{:?}", b.kernel);
    // Also when a virtual router that was there gets it.
    let mut b = Bench::running(&[one("VI_1", 51, &[A])]);
    let stray = addr(ETH0, B, 32, 0);
    b.kernel.push(stray.clone());
    b.event(Event::Net(NetEv::AddrNew(stray)));
    b.reload(&[one("VI_1", 51, &[A, B])]);
    assert!(!b.holds(B));
    // But an address that another one holds at that moment is not a left-over.
    let mut b = Bench::masters(&[one("VI_1", 51, &[A, B])]);
    b.reload(&[one("VI_0", 50, &[B, C]), one("VI_1", 51, &[A])]);
    assert!(!b.holds(B) && b.holds(A) && b.logged("left behind") == 0, "{:?}", b.log);
}

#[test]
fn an_address_that_becomes_virtual_is_no_source_any_more() {
    let mut b = Bench::masters(&[v2()]);
    let second = addr(ETH0, "198.18.0.21", 16, 0);
    b.kernel.push(second.clone());
    b.event(Event::Net(NetEv::AddrNew(second)));
    let mut taken = one("VI_2", 52, &[OURS]);
    taken.vips[0].prefix = 16;
    b.reload(&[v2(), taken]);
    assert_eq!(b.named("VI_1").source, Some(ip("198.18.0.21")));
    assert!(!b.holds(OURS), "a Backup's virtual address is not on the interface");
}

#[test]
fn another_interface_another_group_and_back() {
    let mut b = Bench::cold(vec![one("VI_1", 51, &[A])]);
    b.links.push(link(7, "eth1", true));
    b.kernel.push(addr(7, "198.19.0.20", 16, 0));
    b.start();
    b.run(S * 5);
    let on = |dev: &str| InstanceConfig { interface: dev.into(), ..one("VI_1", 51, &[A]) };
    b.reload(&[on("eth1")]);
    assert_eq!(b.stops(), [false, true][1..], "farewell on eth0");
    assert_eq!((b.state(), b.view().source, b.holds(A)), (State::Backup, Some(ip("198.19.0.20")), false));
    b.run(S * 5);
    assert_eq!(b.kernel.iter().find(|a| a.addr == ip(A)).map(|a| a.ifindex), Some(7));
    let group = IpAddr::from([224, 0, 0, 99]);
    b.reload(&[InstanceConfig { mcast_group: group, ..on("eth1") }]);
    b.run(S * 5);
    assert_eq!(b.state(), State::Master);
    let sizes = b.world.sizes();
    assert_eq!((sizes[2], sizes[3]), (2, 2), "one socket, one user");
}

#[test]
fn a_fault_comes_and_goes_with_a_reload() {
    let mut b = Bench::masters(&[v2()]);
    let tracked = TrackInterface { name: "nowhere".into(), weight: 0, reverse: false };
    b.reload(&[InstanceConfig { track_interfaces: vec![tracked], ..v2() }]);
    assert_eq!((b.state(), b.stops(), b.holds(A)), (State::Fault, vec![true], false));
    b.reload(&[v2()]);
    assert_eq!(b.state(), State::Backup);
}

#[test]
fn who_becomes_the_owner_takes_over_at_once_and_one_who_is_no_more_stays_until_beaten() {
    let mut b = Bench::running(&[v3()]);
    b.rx(&v3(), PEER, 200, S);
    b.reload(&[InstanceConfig { priority: 255, ..v3() }]);
    assert_eq!((b.state(), b.view().effective_priority), (State::Master, 255));
    b.reload(&[v3()]);
    assert_eq!((b.state(), b.view().effective_priority), (State::Master, 100));
    b.rx(&v3(), PEER, 200, S);
    assert_eq!((b.state(), b.holds(A)), (State::Backup, false));
}

#[test]
fn a_thousand_reloads_leave_nothing_behind() {
    let first = [one("VI_1", 51, &[A]), one("VI_2", 52, &[B]), one("VI_3", 53, &[C])];
    let mut other = [one("VI_3", 53, &[A]), one("VI_1", 51, &[C, "198.18.0.103"]), one("VI_4", 52, &[B])];
    other[0].vips[0].prefix = 24;
    other[1].priority = 150;
    let mut third = [one("VI_1", 52, &[A]), one("VI_2", 51, &[B]), one("VI_5", 55, &["198.18.0.105"])];
    third[1].advert_int = S * 2;
    let mut b = Bench::masters(&first);
    let mut sizes = None;
    for n in 0..1000 {
        for cfg in [&other[..], &third[..], &[], &first[..]] {
            b.reload(cfg);
            b.run(if n % 3 == 0 { S * 10 } else { ms(n % 7) });
        }
        b.run(S * 40);
        assert!(b.world.views().iter().all(|v| v.state == State::Master));
        let now = b.world.sizes();
        assert_eq!(sizes.get_or_insert(now.clone()), &now, "after {n} rounds");
        b.out.clear();
        b.log.clear();
    }
    assert_eq!(b.kernel.len(), 5, "its own two and three virtual ones: {:?}", b.kernel);
}

#[test]
fn a_thousand_virtual_routers_are_altered_a_few_in_a_turn() {
    let many = |priority| -> Vec<InstanceConfig> {
        let vrid = |i: u32| (i % 250 + 1) as u8;
        let one = |i: u32| {
            let vips = [format!("198.18.{}.{}", 10 + i / 250, vrid(i))];
            let mut c = one(&format!("VI_{i}"), vrid(i), &[&vips[0]]);
            c.interface = format!("eth{}", i / 250);
            InstanceConfig { priority, ..c }
        };
        (0..1000).map(one).collect()
    };
    let mut b = Bench::cold(many(100));
    b.links = (0..4).map(|i| link(i + 3, &format!("eth{i}"), true)).collect();
    b.kernel = (0..4).map(|i| addr(i + 3, &format!("198.18.0.{}", i + 1), 16, 0)).collect();
    b.start();
    b.run(S * 5);
    assert!(b.world.views().iter().all(|v| v.state == State::Master));
    b.event(config(&many(110)));
    let (mut slices, mut most) = (0, 0);
    while b.world.reloading() {
        b.now.mono += Duration::from_nanos(1);
        let mut fx = Effects::default();
        b.world.fire(b.now, 64, &mut fx);
        most = most.max(fx.len());
        slices += 1;
        b.apply(fx);
    }
    assert!(slices >= 100 && most <= 64, "{slices} slices, at most {most} effects in one");
    assert_eq!(b.answers().len(), 1);
    // 1,000 that stay are compared in a few turns.
    b.event(config(&many(110)));
    let mut slices = 0;
    while b.world.reloading() {
        b.now.mono += Duration::from_nanos(1);
        b.fire();
        slices += 1;
    }
    assert!((2..50).contains(&slices), "{slices}");
}

#[test]
fn an_addition_whose_answer_was_lost_is_undone_although_its_virtual_router_is_gone() {
    for (gone_first, errno) in [(false, 105), (true, 105)] {
        let mut b = Bench::running(&[one("VI_1", 51, &[A]), one("VI_2", 52, &[B])]);
        b.answer = false;
        b.run(S * 4);
        // Both additions were executed, and their answers were lost.
        let requests = std::mem::take(&mut b.unanswered);
        assert_eq!(requests.len(), 2);
        let lost = |b: &mut Bench| {
            b.answer = true;
            for req in &requests {
                b.event(Event::Net(NetEv::Reply { req: *req, result: Err(kalived::event::Errno(errno)) }));
            }
        };
        if gone_first {
            b.event(config(&[one("VI_1", 51, &[A])]));
            b.now.mono += ms(1);
            b.fire();
            lost(&mut b);
        } else {
            lost(&mut b);
            b.event(config(&[one("VI_1", 51, &[A])]));
        }
        b.run(S);
        assert!(b.deleted(B) && !b.deleted(A), "gone first: {gone_first}: {:?}", b.out);
    }
}
