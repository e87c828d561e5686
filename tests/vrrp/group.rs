//! Sync groups: their members are Master together or not at all, whatever happens to one of them. Trap numbers are those of
//! `docs/traps.md`.
//!
//! Read first: `bench.rs`, `src/vrrp/group.rs` (whose table has tests of its own). There are two members on two interfaces, except where a
//! test has others. Notifications and reloads of groups are in `group_told.rs` and `group_reload.rs`.

use crate::bench::*;
use kalived::config::model::setting::Weight;
use kalived::config::model::vrrp::{SyncGroup, Track, TrackFile};
use kalived::config::model::{Config, Family, InstanceConfig, TrackInterface, Version};
use kalived::effect::{Effect, HelperFx, SockSpec};
use kalived::event::{Event, HelperEv, NetEv, RxMeta, SockEv};
use kalived::id::WatchKey;
use kalived::time::Duration;
use kalived::vrrp::State::{self, Backup, Fault, Init, Master};
use kalived::world::{View, World};

pub const S: Duration = Duration::from_secs(1);
pub const MS: Duration = Duration::from_millis(1);
pub const ETH1: u32 = 4;
/// The peer, as it sends on each of the two interfaces.
const PEERS: [&str; 2] = ["198.18.0.30", "198.19.0.30"];

/// A member on interface `eth{n}` with VRID 61 + n, an address and an interval of 100 ms.
pub fn member(n: usize, priority: u8) -> InstanceConfig {
    let mut c = InstanceConfig::new(["A", "B"][n % 2], &format!("eth{}", n % 2), 61 + n as u8, Family::V4);
    c.version = Version::V3;
    c.priority = priority;
    c.advert_int = MS * 100;
    c.vips = vec![vip(&format!("198.{}.0.100", 18 + n % 2))];
    c
}

pub fn group(name: &str, members: &[&str]) -> SyncGroup {
    let members = members.iter().map(|m| Box::from(*m)).collect();
    SyncGroup { name: name.into(), members, ..SyncGroup::default() }
}

/// A and B in group G.
pub fn pair(a: u8, b: u8) -> Config {
    Config {
        instances: vec![member(0, a), member(1, b)],
        sync_groups: vec![group("G", &["A", "B"])],
        ..Config::default()
    }
}

/// Not started; both interfaces are up.
pub fn cold(config: &Config) -> Bench {
    let mut b = Bench::of(World::new(config.clone()));
    two_links(&mut b);
    b
}

pub fn two_links(b: &mut Bench) {
    b.links.push(link(ETH1, "eth1", true));
    b.kernel.push(addr(ETH1, "198.19.0.20", 16, 0));
}

pub fn started(config: &Config) -> Bench {
    let mut b = cold(config);
    b.start();
    b
}

/// As Master; outputs and log so far are cleared.
pub fn masters(config: &Config) -> Bench {
    let mut b = started(config);
    b.run(S * 3);
    assert_eq!(states(&b), [Master, Master]);
    b.out.clear();
    b.log.clear();
    b
}

impl Bench {
    /// An advert of the peer for a member.
    pub fn hears(&mut self, cfg: &InstanceConfig, priority: u8) {
        let n = usize::from(cfg.interface == "eth1");
        let ifindex = [ETH0, ETH1][n];
        let on = |s: &SockSpec| s.ifindex() == Some(ifindex);
        self.sock = self.specs.iter().rev().find(|(_, s)| on(s)).map(|(k, _)| *k);
        self.rx(cfg, PEERS[n], priority, cfg.advert_int);
    }
    pub fn who(&self, name: &str) -> View {
        self.world.views().into_iter().find(|v| v.name == name).expect("a virtual router of that name")
    }
    /// VRID and priority of every advert that left at once or as a farewell, addresses by their last number but one.
    pub fn wire(&self) -> Vec<String> {
        let named = |o: &Out| match o {
            Out::Advert(p) => Some(format!("advert {} {}", p[21], p[22])),
            Out::Stop(Some(p)) => Some(format!("farewell {} {}", p[21], p[22])),
            Out::Add(a) => Some(format!("add {a}")),
            Out::Del(a) => Some(format!("del {a}")),
            _ => None,
        };
        self.out.iter().filter_map(named).collect()
    }
    pub fn up(&mut self, ifindex: u32, up: bool) {
        let name = if ifindex == ETH0 { "eth0" } else { "eth1" };
        self.event(Event::Net(NetEv::LinkNew(link(ifindex, name, up))));
    }
}

pub fn states(b: &Bench) -> Vec<State> {
    b.world.views().iter().map(|v| v.state).collect()
}

#[test]
fn all_adverts_of_a_takeover_leave_before_the_first_address_is_asked_for() {
    let config = pair(100, 200);
    let mut b = started(&config);
    assert_eq!(states(&b), [Backup, Backup]);
    // The lower priority waits longer, and both become Master when it does.
    let wait = b.who("A").master_down_interval;
    assert!(wait > b.who("B").master_down_interval);
    b.run(wait - MS);
    assert_eq!(states(&b), [Backup, Backup]);
    b.run(MS);
    assert_eq!(states(&b), [Master, Master]);
    b.run(MS * 2);
    assert_eq!(b.wire(), ["advert 61 100", "advert 62 200", "add 198.18.0.100", "add 198.19.0.100"]);
    assert_eq!(b.world.groups()[0].state, Master);
    assert_eq!(b.logged("VRRP_Group(G) Syncing instances to MASTER state"), 1, "{:?}", b.log);
    assert_eq!(b.logged("Entering MASTER STATE"), 2, "{:?}", b.log);
}

#[test]
fn a_master_on_one_link_keeps_the_whole_group_backup() {
    let config = pair(100, 100);
    let mut b = started(&config);
    for _ in 0..50 {
        b.hears(&config.instances[1], 150);
        b.run(MS * 100);
    }
    assert_eq!(states(&b), [Backup, Backup]);
    assert!(b.wire().is_empty(), "{:?}", b.wire());
    // It disappears; the member that has waited longer becomes Master together with the other.
    b.hears(&config.instances[1], 0);
    b.run(MS * 100);
    assert_eq!(states(&b), [Master, Master]);
}

#[test]
fn one_that_hears_a_better_master_takes_the_others_along() {
    let config = pair(100, 100);
    let mut b = masters(&config);
    b.hears(&config.instances[1], 150);
    assert_eq!(states(&b), [Backup, Backup]);
    // On the other link no router may have become Master yet: a router that waits there waits for Skew_Time only.
    assert_eq!(b.wire()[..1], ["farewell 61 0"]);
    assert_eq!(b.wire()[1..], ["del 198.19.0.100", "del 198.18.0.100"]);
    assert_eq!(b.logged("(A) Entering BACKUP STATE: vrrp_sync_group G: B is Backup"), 1, "{:?}", b.log);
    // The rival is Master on both links: no state changes any more.
    for _ in 0..50 {
        for cfg in &config.instances {
            b.hears(cfg, 150);
        }
        b.run(MS * 100);
        assert_eq!(states(&b), [Backup, Backup]);
    }
}

/// Its members are in FAULT or still wait for an address, so the group decides nothing.
#[test]
fn a_group_that_starts_in_fault_has_its_time() {
    for down in [0, 1] {
        let mut b = cold(&pair(100, 100));
        b.links[down].up = false;
        let began = b.now;
        b.start();
        b.run(S);
        assert_eq!(
            (b.world.groups()[0].state, b.world.groups()[0].since.wall),
            (Fault, began.wall),
            "{:?}",
            states(&b)
        );
    }
}

/// Trap 40, and what happens to one interface happens to all.
#[test]
fn one_that_cannot_run_keeps_the_others_from_running() {
    let config = pair(100, 100);
    let mut b = masters(&config);
    b.up(ETH1, false);
    assert_eq!(states(&b), [Fault, Fault]);
    let wire = b.wire();
    assert_eq!(wire[..2], ["farewell 62 0", "farewell 61 0"], "both before any address goes");
    assert_eq!(b.who("B").reasons, "interface eth1 down");
    assert_eq!(b.who("A").reasons, "another member of vrrp_sync_group G cannot run");
    assert_eq!(b.world.groups()[0].reasons, "B (interface eth1 down)");
    let now = b.now;
    let group = b.world.report(now).groups.swap_remove(0);
    assert_eq!((group.name.as_str(), group.state, group.members.join(" ")), ("G", Fault, "A B".to_owned()));
    assert_eq!(group.reasons, "B (interface eth1 down)");
    let details: Vec<String> =
        b.world.report(now).instances.iter().flat_map(|i| &i.conditions).map(|c| c.detail.clone()).collect();
    assert_eq!(details, ["another member of vrrp_sync_group G cannot run", "interface eth1 down"]);
    assert_eq!(b.logged("(A) Entering FAULT STATE: vrrp_sync_group G: B is in FAULT (interface eth1 down)"), 1);
    // One more reason, one less: not all are gone.
    b.up(ETH0, false);
    b.up(ETH1, true);
    assert_eq!(states(&b), [Fault, Fault]);
    assert_eq!(b.who("B").reasons, "another member of vrrp_sync_group G cannot run");
    b.run(S * 5);
    assert_eq!(states(&b), [Fault, Fault]);
    // All gone: all start, and wait as at a start.
    b.up(ETH0, true);
    assert_eq!(states(&b), [Backup, Backup]);
    b.run(S);
    assert_eq!(states(&b), [Master, Master]);
    // Down and up in one turn.
    b.out.clear();
    b.up(ETH1, false);
    b.up(ETH1, true);
    assert_eq!(states(&b), [Backup, Backup]);
    b.run(S);
    assert_eq!(states(&b), [Master, Master]);
}

#[test]
fn a_member_without_an_interface_keeps_the_group_from_starting() {
    let config = pair(100, 100);
    let mut b = Bench::of(World::new(config));
    b.start();
    assert_eq!(states(&b), [Fault, Fault]);
    b.run(S * 5);
    assert!(b.wire().is_empty());
    b.event(Event::Net(NetEv::LinkNew(link(ETH1, "eth1", true))));
    assert_eq!(states(&b), [Fault, Fault], "it has no address");
    b.event(Event::Net(NetEv::AddrNew(addr(ETH1, "198.19.0.20", 16, 0))));
    b.run(S);
    assert_eq!(states(&b), [Master, Master]);
}

#[test]
fn owners_start_at_once_and_only_together() {
    let mut b = started(&pair(255, 255));
    assert_eq!(states(&b), [Master, Master]);
    b.run(MS);
    assert_eq!(b.wire()[..2], ["advert 61 255", "advert 62 255"]);
    // An address owner and a member that is not one: the owner waits for the other.
    let mut b = started(&pair(255, 100));
    assert_eq!(states(&b), [Backup, Backup]);
    b.run(S);
    assert_eq!(states(&b), [Master, Master]);
}

#[test]
fn a_stop_says_farewell_for_all_before_any_address_goes() {
    let mut b = masters(&pair(100, 100));
    b.term();
    assert_eq!(b.wire(), ["farewell 61 0", "farewell 62 0", "del 198.18.0.100", "del 198.19.0.100"]);
    assert_eq!(states(&b), [Init, Init]);
}

/// Trap 41: each of two groups is better on one link. Both become Master, both yield; then one waits longer.
#[test]
fn who_yields_at_once_waits_longer_than_the_other() {
    let config = pair(150, 50);
    let mut b = started(&config);
    b.run(b.who("B").master_down_interval);
    assert_eq!(states(&b), [Master, Master]);
    let waits = |b: &Bench| {
        let vr = b.who("B").vr;
        let due = kalived::timers::Due::MasterDown(vr);
        let at = b.world.deadlines().find(|(_, d)| *d == due).expect("a timer").0;
        at.since(b.now.mono)
    };
    b.hears(&config.instances[1], 150);
    assert_eq!(states(&b), [Backup, Backup]);
    let mdi = b.who("B").master_down_interval;
    // 198.19.0.20 is lower than 198.19.0.30: two intervals.
    assert_eq!(waits(&b), mdi + MS * 200);
    b.run(waits(&b));
    assert_eq!(states(&b), [Master, Master]);
    b.hears(&config.instances[1], 150);
    assert_eq!(waits(&b), mdi + MS * 400);
    // A Master that stays is followed as always.
    b.hears(&config.instances[1], 150);
    assert_eq!(waits(&b), mdi);
    // And one that was Master for long has no dispute.
    b.run(S * 10);
    b.hears(&config.instances[1], 150);
    assert_eq!(waits(&b), mdi);
}

fn line(name: &str) -> Track {
    Track { name: name.into(), weight: None, reverse: None }
}

fn watch(b: &Bench, path: &str) -> WatchKey {
    let found = b.asked.iter().find_map(|e| match e {
        Effect::Helper(HelperFx::WatchFile { watch, path: p }) if p.contains(path) => Some(*watch),
        _ => None,
    });
    found.expect("a watched file")
}

#[test]
fn what_a_group_tracks_moves_all_its_members() {
    let mut config = pair(100, 120);
    let named = |name: &str, weight| TrackFile {
        name: name.into(),
        file: Some(format!("/run/{name}").into()),
        weight: Weight { weight, reverse: false },
        ..TrackFile::default()
    };
    config.track_files = vec![named("up", 1), named("fault", 0), named("own", 1)];
    config.sync_groups[0].tracks.files = vec![line("up"), line("fault")];
    config.sync_groups[0].tracks.interfaces = vec![line("eth2")];
    config.instances[0].more.tracks.files = vec![line("own")];
    let mut b = cold(&config);
    b.links.push(link(5, "eth2", true));
    b.start();
    let files = ["up", "fault", "own"].map(|name| watch(&b, name));
    for file in files {
        b.event(Event::Helper(HelperEv::FileRead { watch: file, result: Ok(b"0\n") }));
    }
    assert_eq!(states(&b), [Backup, Backup]);
    b.event(Event::Helper(HelperEv::FileRead { watch: files[0], result: Ok(b"30\n") }));
    assert_eq!([b.who("A").effective_priority, b.who("B").effective_priority], [130, 150]);
    b.run(S * 3);
    assert_eq!(states(&b), [Master, Master]);
    b.event(Event::Helper(HelperEv::FileRead { watch: files[1], result: Ok(b"1\n") }));
    assert_eq!(states(&b), [Fault, Fault]);
    b.event(Event::Helper(HelperEv::FileRead { watch: files[1], result: Ok(b"0\n") }));
    assert_eq!(states(&b), [Backup, Backup]);
    b.event(Event::Net(NetEv::LinkNew(link(5, "eth2", false))));
    assert_eq!(states(&b), [Fault, Fault]);
    b.event(Event::Net(NetEv::LinkNew(link(5, "eth2", true))));
    assert_eq!(states(&b), [Backup, Backup]);
    // What a member tracks itself has no weight in a group: it is a fault, of all.
    b.event(Event::Helper(HelperEv::FileRead { watch: files[2], result: Ok(b"5\n") }));
    assert_eq!([b.who("A").effective_priority, b.who("B").effective_priority], [130, 150]);
    assert_eq!(states(&b), [Fault, Fault]);

    config.sync_groups[0].tracking_weight = true;
    let mut b = cold(&config);
    b.links.push(link(5, "eth2", true));
    b.start();
    let own = watch(&b, "own");
    b.event(Event::Helper(HelperEv::FileRead { watch: own, result: Ok(b"5\n") }));
    assert_eq!([b.who("A").effective_priority, b.who("B").effective_priority], [105, 120]);
}

#[test]
fn a_tracked_interface_of_one_member_is_a_fault_of_all() {
    let mut config = pair(100, 100);
    config.instances[0].track_interfaces = vec![TrackInterface { name: "eth2".into(), weight: -20, reverse: false }];
    let mut b = started(&config);
    assert_eq!(states(&b), [Fault, Fault], "eth2 does not exist, and its weight does not count");
    b.event(Event::Net(NetEv::LinkNew(link(5, "eth2", true))));
    assert_eq!(states(&b), [Backup, Backup]);
}

// A partition of one link must not lead to two Masters: the other link has one.
#[test]
fn lower_adverts_on_one_link_and_silence_on_the_other() {
    let config = pair(100, 100);
    let mut b = started(&config);
    for _ in 0..20 {
        b.hears(&config.instances[0], 50);
        b.run(MS * 100);
    }
    assert_eq!(states(&b), [Master, Master], "it preempts on the one and waited long enough on the other");
    let mut config = pair(100, 100);
    config.instances[0].preempt = false;
    let mut b = started(&config);
    for _ in 0..100 {
        b.hears(&config.instances[0], 50);
        b.run(MS * 100);
    }
    assert_eq!(states(&b), [Backup, Backup], "nopreempt: the Master on one link stays, so nobody here is");
}

// All adverts of a group of 255 leave in one turn, and the cost of a member does not grow with the group.
#[test]
fn a_group_of_255() {
    let all: Vec<InstanceConfig> = (0..255)
        .map(|n| {
            let mut c = InstanceConfig::new(&format!("V{n}"), "eth0", (n + 1) as u8, Family::V4);
            c.version = Version::V3;
            c.vips = vec![vip(&format!("198.18.7.{n}"))];
            c
        })
        .collect();
    let names: Vec<&str> = all.iter().map(|c| c.name.as_str()).collect();
    let sync_groups = vec![group("G", &names)];
    let mut b = Bench::of(World::new(Config { instances: all.clone(), sync_groups, ..Config::default() }));
    b.start();
    let first = |b: &Bench| b.world.next_takeover().expect("a timer");
    b.turn_to(first(&b));
    let mut turns = 0;
    while b.adverts() == 0 {
        let mut fx = kalived::effect::Effects::default();
        b.world.fire(b.now, 1024, &mut fx);
        b.apply(fx);
        turns += 1;
    }
    assert_eq!((b.adverts(), turns), (255, 1));
    assert!(!b.out.iter().any(|o| matches!(o, Out::Add(_))));
    b.run(S * 2);
    assert!(b.world.views().iter().all(|v| v.state == Master && v.addresses == (1, 1)));
    // An advert, and a better Master's: no pass over all of them.
    let sock = b.sock.expect("a socket");
    for priority in [50, 200] {
        let (before, mut fx) = (b.world.looked_at(), kalived::effect::Effects::default());
        let bytes = advert(&all[7], PEER, priority, S);
        let meta = RxMeta { src: ip(PEER), dst: None, hop_limit: None };
        b.world.handle(
            b.now,
            Event::Sock(SockEv::Datagram { sock, meta, age: Duration::ZERO, bytes: &bytes }),
            &mut fx,
        );
        assert_eq!(b.world.looked_at(), before, "priority {priority}");
        b.apply(fx);
    }
    assert!(b.world.views().iter().all(|v| v.state == Backup));
    assert_eq!(b.out.iter().filter(|o| matches!(o, Out::Stop(Some(_)))).count(), 254, "one yields, the others resign");
}
