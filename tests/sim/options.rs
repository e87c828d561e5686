//! What a seed draws before its run: nodes, virtual routers, timing, faults. All of it is printed when a seed fails.
//!
//! Read first: `rng.rs`, `faults.rs`. Deliberately absent: configurations with which the RFC itself leads to two Masters (v2 with unequal
//! intervals, two owners), because no invariant could be checked.

use crate::auth::Auth;
use crate::faults::{Class, Rates};
use crate::rng::Rng;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;
use kalived::config::model::vrrp::{OwnInterface, Peer};
use kalived::config::model::{ChecksumMode, Config, Family, InstanceConfig, Version, Vip};

/// The interface every node has on the one LAN.
pub const IFACE: &str = "eth0";
/// `garp_master_delay` in advert intervals: in scale with the seed, and longer than two Masters may overlap.
pub const GARP_DELAY: u32 = 2;
/// Streams of `Rng::stream` that are not a fault class.
const SHAPE: u64 = 1;
const MEMBER: u64 = 2;
const CHECKS: u64 = 0x42;
const FAULTS: u64 = 3;
const UNICAST: u64 = 0x45;
const HIDDEN: u64 = 0x46;
const VMAC: u64 = 0x47;
const CLOCKS: u64 = 0x48;
const AUTH: u64 = 0x49;
/// Largest error of a clock, in millionths. A quartz that the time service corrects by its utmost (500) is rarely that wrong.
const PPM: u64 = 200;

/// One virtual router: the settings that are equal on all its members.
#[derive(Clone, Debug)]
pub struct Group {
    /// Virtual router ID.
    pub vrid: u8,
    /// Family.
    pub family: Family,
    /// Protocol version.
    pub version: Version,
    /// Virtual addresses. The last one is on a node only while its configuration says so: see `reload.rs`.
    pub vips: Vec<IpAddr>,
    /// What a v3 checksum over IPv4 covers.
    pub checksum: ChecksumMode,
    /// No answer to a lower priority.
    pub silent: bool,
    /// Packets to its addresses are not accepted.
    pub hidden: bool,
    /// Each node has the others as unicast peers.
    pub unicast: Option<Unicast>,
    /// `use_vmac`.
    pub vmac: bool,
    /// Authentication.
    pub auth: Auth,
    /// The node whose key is another one.
    pub stranger: Option<usize>,
    /// By node.
    pub members: Vec<Member>,
}

/// How unicast is configured; the same on all nodes.
#[derive(Clone, Copy, Debug)]
pub struct Unicast {
    /// `unicast_src_ip`.
    pub source: bool,
    /// `check_unicast_src`.
    pub check: bool,
    /// The list has the node itself, too.
    pub itself: bool,
}

/// One node's part in a virtual router.
#[derive(Clone, Debug)]
pub struct Member {
    /// Configured, and with no tracking also effective, priority.
    pub priority: u8,
    /// Own advert interval.
    pub interval: Duration,
    /// False with nopreempt.
    pub preempt: bool,
    /// Zero: none.
    pub preempt_delay: Duration,
}

/// The whole draw.
#[derive(Clone, Debug)]
pub struct Options {
    /// The seed.
    pub seed: u64,
    /// How many nodes.
    pub nodes: usize,
    /// Host part of each node's address, which decides between equal priorities.
    pub host: Vec<u8>,
    /// The error of each node's clocks, in millionths.
    pub ppm: Vec<i32>,
    /// Virtual routers; every node is a member of each.
    pub groups: Vec<Group>,
    /// Faults.
    pub rates: Rates,
    /// What every virtual router tracks.
    pub checks: Option<crate::scripts::Drawn>,
    /// Largest delay of a packet without faults.
    pub wire: Duration,
    /// Largest time from a completion to the turn that handles it.
    pub wake: Duration,
    /// Largest time the kernel takes for a netlink request.
    pub netlink: Duration,
    /// The phase with faults ends at the earlier of this time and this number of events.
    pub chaos: Duration,
    /// See `chaos`. Bounds what one seed costs.
    pub chaos_events: u64,
}

/// What the shrinker removes.
#[derive(Clone, Debug, Default)]
pub struct Without {
    /// These classes do not occur.
    pub classes: Vec<Class>,
    /// Only so many nodes.
    pub nodes: Option<usize>,
    /// Only these virtual routers, by index of the draw.
    pub groups: Option<usize>,
}

impl Options {
    /// Draws.
    pub fn draw(seed: u64, without: &Without) -> Options {
        let mut rng = Rng::stream(seed, SHAPE, 0);
        let nodes = rng.pick(&[2, 2, 2, 3, 3, 4, 5]);
        let unit_ms = match rng.below(8) {
            0 => 10,
            1 => 10 * rng.range(2, 10),
            2 | 3 => 10 * rng.range(10, 99),
            4..=6 => 1000,
            _ => 1000 * rng.range(2, 10),
        };
        let mut host: Vec<u8> = (0..5).map(|n| 11 + n).collect();
        for i in (1..host.len()).rev() {
            host.swap(i, rng.below(i as u64 + 1) as usize);
        }
        let wire = Duration::from_micros(rng.pick(&[20, 100, 500]));
        let wake = Duration::from_micros(rng.pick(&[5, 50, 200]));
        let netlink = Duration::from_micros(rng.pick(&[20, 200, 2000]));
        let group_count = rng.pick(&[1, 1, 2, 3]);
        let mut groups: Vec<Group> = Vec::new();
        for i in 0..group_count {
            let first = groups.first().map(|g| g.family);
            let mut own = Rng::stream(seed, UNICAST, i);
            let unicast = own.permille(300).then(|| Unicast {
                source: own.permille(500),
                check: own.permille(500),
                itself: own.permille(300),
            });
            let vmac = Rng::stream(seed, VMAC, i).permille(300);
            let hidden = Rng::stream(seed, HIDDEN, i).permille(300);
            let drawn = group(seed, i, first, unit_ms, &mut rng);
            let mut own = Rng::stream(seed, AUTH, i);
            let auth = Auth::draw(&mut own, drawn.version);
            let stranger = own.permille(150).then(|| own.below(5) as usize).filter(|_| auth.tells_apart());
            groups.push(Group { unicast, hidden, vmac, auth, stranger, ..drawn });
        }
        let chaos = Duration::from_millis(unit_ms * rng.range(40, 160));
        let nodes = without.nodes.unwrap_or(nodes).min(nodes);
        groups.truncate(without.groups.unwrap_or(usize::MAX));
        for g in &mut groups {
            g.members.truncate(nodes);
            g.stranger = g.stranger.filter(|s| *s < nodes && nodes > 1);
        }
        host.truncate(nodes);
        let mut clocks = Rng::stream(seed, CLOCKS, 0);
        let exact = clocks.permille(250);
        let ppm = (0..nodes).map(|_| if exact { 0 } else { clocks.range(0, 2 * PPM) as i32 - PPM as i32 }).collect();
        let checks = crate::scripts::Drawn::draw(&mut Rng::stream(seed, CHECKS, 0), unit_ms);
        let mut rates = crate::faults::draw(&mut Rng::stream(seed, FAULTS, 0), Duration::from_millis(unit_ms));
        for class in &without.classes {
            rates[*class as usize].present = false;
        }
        let checks = rates[Class::Script as usize].present.then_some(checks);
        Options { seed, nodes, host, ppm, groups, rates, checks, wire, wake, netlink, chaos, chaos_events: 3000 }
    }

    /// The node's own address of a family; the winner of a tie has the greater one.
    pub fn address(&self, node: usize, family: Family) -> IpAddr {
        match family {
            Family::V4 => Ipv4Addr::new(10, 0, 0, self.host[node]).into(),
            Family::V6 => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, u16::from(self.host[node])).into(),
        }
    }

    /// The node with this address.
    pub fn owner(&self, addr: IpAddr) -> Option<usize> {
        (0..self.nodes).find(|n| self.address(*n, Family::of(&addr)) == addr)
    }

    /// The Ethernet address of a group.
    pub fn virtual_mac(&self, group: usize) -> [u8; 6] {
        let g = &self.groups[group];
        InstanceConfig::new("", IFACE, g.vrid, g.family).virtual_mac()
    }

    /// The group of an advert.
    pub fn group(&self, vrid: u8, family: Family) -> Option<usize> {
        self.groups.iter().position(|g| g.vrid == vrid && g.family == family)
    }

    /// The group a virtual address belongs to.
    pub fn group_of_vip(&self, vip: IpAddr) -> Option<usize> {
        self.groups.iter().position(|g| g.vips.contains(&vip))
    }

    /// Largest one-way delay of any copy of a packet while faults last.
    pub fn delay_with_faults(&self) -> Duration {
        let extra = |c: Class| {
            let r = self.rates[c as usize];
            if r.present { r.extra } else { Duration::ZERO }
        };
        self.wire + extra(Class::Delay) + extra(Class::Reorder) + extra(Class::Duplicate)
    }

    /// The configuration of one node.
    pub fn config(&self, node: usize) -> Config {
        let mut config = Config::default();
        for (i, g) in self.groups.iter().enumerate() {
            let m = &g.members[node];
            let mut c = InstanceConfig::new(&format!("VI_{i}"), IFACE, g.vrid, g.family);
            c.version = g.version;
            c.priority = m.priority;
            c.advert_int = m.interval;
            c.preempt = m.preempt;
            c.preempt_delay = m.preempt_delay;
            c.checksum = g.checksum;
            c.lower_prio_no_advert = g.silent;
            c.more.no_accept = g.hidden;
            crate::auth::configure(g, node, &mut c);
            if let Some(u) = g.unicast {
                let others = (0..self.nodes).filter(|n| u.itself || *n != node);
                let peer = |n| Peer { addr: self.address(n, g.family), min_ttl: None, max_ttl: None };
                c.more.unicast_peer = Some(others.map(peer).collect());
                c.more.check_unicast_src = u.check;
                c.more.unicast_src_ip = u.source.then(|| self.address(node, g.family));
            }
            if g.vmac {
                let name = Some(format!("vrrp.{i}").into());
                c.more.own_interface = Some(Box::new(OwnInterface { name, ..OwnInterface::default() }));
            }
            // One announcement each, for speed: the simulator checks which node announces and when.
            c.garp.repeat = 1;
            c.garp.delay = m.interval * GARP_DELAY;
            c.garp.lower_prio_delay = m.interval * GARP_DELAY;
            c.garp.lower_prio_repeat = 1;
            c.vips = g.vips.iter().map(|a| vip(*a)).collect();
            config.instances.push(c);
        }
        crate::scripts::configure(self, &mut config);
        config
    }
}

pub fn vip(addr: IpAddr) -> Vip {
    Vip {
        addr,
        prefix: if addr.is_ipv4() { 32 } else { 128 },
        dev: None,
        brd: None,
        scope: 0,
        label: None,
        deprecated: addr.is_ipv6(),
        noprefixroute: false,
        peer: None,
        more: None,
        place: kalived::config::model::Place::default(),
    }
}

fn group(seed: u64, index: u64, first: Option<Family>, unit_ms: u64, rng: &mut Rng) -> Group {
    let family = if rng.permille(400) { Family::V6 } else { Family::V4 };
    let version = if family == Family::V4 && unit_ms.is_multiple_of(1000) && rng.permille(600) {
        Version::V2
    } else {
        Version::V3
    };
    // One VRID in both families is two virtual routers; the same twice in one family is not allowed.
    let vrid =
        if index == 1 && first.is_some_and(|f| f != family) && rng.permille(500) { 51 } else { 51 + index as u8 };
    let n = index as u8;
    let mut vips: Vec<IpAddr> = match family {
        Family::V4 => (0..rng.range(1, 2) as u8).map(|k| Ipv4Addr::new(10, 0, 0, 200 + 10 * n + k).into()).collect(),
        // The first IPv6 address is link-local.
        Family::V6 => (0..rng.range(1, 2) as u16)
            .map(|k| {
                Ipv6Addr::new([0xfe80, 0x2001][k as usize], 0, 0, 0, 0, 0, 1, 0x200 + 10 * u16::from(n) + k).into()
            })
            .collect(),
    };
    vips.push(match family {
        Family::V4 => Ipv4Addr::new(10, 0, 0, 205 + 10 * n).into(),
        Family::V6 => Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 1, 0x205 + 10 * u16::from(n)).into(),
    });
    let checksum = if rng.permille(200) { ChecksumMode::MessageOnly } else { ChecksumMode::PseudoHeader };
    let silent = rng.permille(250);
    let slower = rng.pick(&[1, 1, 2]);
    let unequal_interval = version == Version::V3 && rng.permille(200);
    let equal_priority = rng.permille(250);
    let with_owner = rng.permille(150);
    let base = rng.range(1, 254) as u8;
    let members = (0..5)
        .map(|node| {
            let mut rng = Rng::stream(seed, MEMBER + 16 * (index + 1), node);
            let own = rng.pick(&[1, 1, 2, 4]);
            let times = slower * if unequal_interval { own } else { 1 };
            let interval = Duration::from_millis((unit_ms * times).min(10_000));
            let spread = rng.range(1, 254) as u8;
            let priority = match () {
                () if with_owner && node == 0 => 255,
                () if equal_priority => base,
                () => spread,
            };
            let preempt = !rng.permille(250);
            let delay = rng.range(1, 6);
            let preempt_delay = if rng.permille(150) { interval * delay as u32 } else { Duration::ZERO };
            Member { priority, interval, preempt, preempt_delay: if preempt { preempt_delay } else { Duration::ZERO } }
        })
        .collect();
    Group {
        vrid,
        family,
        version,
        vips,
        checksum,
        silent,
        hidden: false,
        unicast: None,
        vmac: false,
        auth: Auth::None,
        stranger: None,
        members,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_seeds_have_unicast_peers() {
        let drawn = |seed| Options::draw(seed, &Without::default());
        let groups: Vec<Group> = (0..100).flat_map(|seed| drawn(seed).groups).collect();
        let n = groups.iter().filter(|g| g.unicast.is_some()).count();
        assert!((20..=90).contains(&n), "{n} of {}", groups.len());
    }

    #[test]
    fn draws_are_stable_and_possible() {
        for seed in 0..500 {
            let o = Options::draw(seed, &Without::default());
            assert_eq!(format!("{o:?}"), format!("{:?}", Options::draw(seed, &Without::default())));
            for (i, g) in o.groups.iter().enumerate() {
                assert_eq!(o.group(g.vrid, g.family), Some(i), "seed {seed}: VRIDs are unique per family");
                assert!(g.members.iter().filter(|m| m.priority == 255).count() <= 1);
                assert!(g.version == Version::V3 || g.members.iter().all(|m| m.interval.subsec_nanos() == 0));
            }
        }
    }

    #[test]
    fn taking_a_class_away_leaves_the_rest() {
        let all = Options::draw(3, &Without::default());
        let less = Options::draw(3, &Without { classes: vec![Class::Loss], ..Without::default() });
        assert!(!less.rates[Class::Loss as usize].present);
        assert_eq!(format!("{:?}", all.groups), format!("{:?}", less.groups));
        assert_eq!(format!("{:?}", all.rates[1..].to_vec()), format!("{:?}", less.rates[1..].to_vec()));
    }
}
