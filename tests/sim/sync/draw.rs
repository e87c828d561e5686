//! What a seed draws: nodes, links, members, groups, timing, and which faults there are.
//!
//! Read first: `mod.rs`. Every node has every member, one or two on each link; a node's file may lack a member, or have it in another
//! group, while faults last.

use crate::rng::Rng;
use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;
use kalived::config::model::global::Fifo;
use kalived::config::model::setting::{Ready, Weight};
use kalived::config::model::vrrp::{SyncGroup, Track, TrackFile};
use kalived::config::model::{Config, Family, InstanceConfig, Version, Vip};

/// Kinds of fault; each seed has some of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An interface of one node goes down and comes back.
    Link,
    /// The number in a file that a group or a member tracks changes.
    Tracker,
    /// A link carries nothing between two nodes.
    Cut,
    /// Another configuration: members and groups come, go and move.
    Reload,
    /// The process is replaced by another one.
    Upgrade,
    /// It dies and is started anew from its last snapshot.
    Crash,
    /// It dies and starts cold.
    Restart,
    /// It does not run for a while.
    Pause,
}

impl Kind {
    /// All.
    pub const ALL: [Kind; 8] =
        [Kind::Link, Kind::Tracker, Kind::Cut, Kind::Reload, Kind::Upgrade, Kind::Crash, Kind::Restart, Kind::Pause];
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// How many.
    pub nodes: usize,
    /// How many links, with an interface of every node on each.
    pub links: usize,
    /// Advert interval.
    pub interval: Duration,
    /// Of each node, of each member.
    pub priorities: Vec<Vec<u8>>,
    /// By node.
    pub preempt: Vec<bool>,
    /// Members `0..first` are in group G0, the others in G1.
    pub first: usize,
    /// Which faults occur.
    pub faults: Vec<Kind>,
    /// So many of a thousand packets are lost.
    pub loss: u32,
    /// Weight of the file that the first group tracks; 0: its failure is a FAULT.
    pub weight: i32,
    /// Largest delays: of a packet, of a turn, of netlink.
    pub wire: Duration,
    /// See `wire`.
    pub wake: Duration,
    /// See `wire`.
    pub netlink: Duration,
}

/// What a node's file has of the draw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// By member: whether it is there, and in which group, if in any.
    pub members: Vec<(bool, Option<usize>)>,
}

impl Drawn {
    /// Draws.
    pub fn new(seed: u64) -> Drawn {
        let mut rng = Rng::stream(seed, 0x53_59_4e, 0);
        let (nodes, links) = (rng.pick(&[2, 2, 2, 3]), rng.range(2, 4) as usize);
        let members = links + usize::from(rng.permille(400));
        let one_each = rng.permille(600);
        let priorities = (0..nodes).map(|_| {
            let one = rng.range(1, 254) as u8;
            (0..members).map(|_| if one_each { one } else { rng.range(1, 254) as u8 }).collect()
        });
        let priorities = priorities.collect();
        Drawn {
            nodes,
            links,
            interval: Duration::from_millis(rng.pick(&[10, 50, 100, 1000])),
            priorities,
            preempt: (0..nodes).map(|_| !rng.permille(200)).collect(),
            first: if rng.permille(700) { members } else { rng.range(1, members as u64 - 1) as usize },
            faults: Kind::ALL.into_iter().filter(|_| rng.permille(450)).collect(),
            loss: rng.pick(&[0, 0, 10, 100]),
            weight: rng.pick(&[0, 0, 30, -30]),
            wire: Duration::from_micros(rng.pick(&[20, 200])),
            wake: Duration::from_micros(rng.pick(&[5, 200])),
            netlink: Duration::from_micros(rng.pick(&[20, 1000])),
        }
    }

    /// How many members there are.
    pub fn members(&self) -> usize {
        self.priorities[0].len()
    }
    /// The link that a member is on.
    pub fn link_of(&self, member: usize) -> usize {
        member % self.links
    }
    /// What was drawn, unchanged.
    pub fn file(&self) -> File {
        File { members: (0..self.members()).map(|m| (true, Some(usize::from(m >= self.first)))).collect() }
    }
    /// The address of a node on a link.
    pub fn address(&self, node: usize, link: usize) -> IpAddr {
        Ipv4Addr::new(10, link as u8, 0, 11 + ((node * 7) % 5) as u8).into()
    }
    /// The virtual address of a member.
    pub fn vip(member: usize) -> IpAddr {
        Ipv4Addr::new(10, 200, 0, member as u8).into()
    }

    /// As the World takes it.
    pub fn config(&self, node: usize, file: &File) -> Config {
        let mut config = Config::default();
        for (m, (there, _)) in file.members.iter().enumerate().filter(|(_, (there, _))| *there) {
            debug_assert!(*there);
            let mut c =
                InstanceConfig::new(&format!("V{m}"), &format!("eth{}", self.link_of(m)), 50 + m as u8, Family::V4);
            c.version = Version::V3;
            c.priority = self.priorities[node][m];
            c.advert_int = self.interval;
            c.preempt = self.preempt[node];
            c.garp.repeat = 1;
            c.garp.delay = Duration::ZERO;
            c.vips = vec![vip(Drawn::vip(m))];
            if m == 0 {
                c.more.tracks.files = vec![line("own")];
            }
            config.instances.push(c);
        }
        for g in 0..2 {
            let members = file.members.iter().enumerate().filter(|(_, (there, of))| *there && *of == Some(g));
            let members: Vec<Box<str>> = members.map(|(m, _)| format!("V{m}").into()).collect();
            if !members.is_empty() {
                let mut group = SyncGroup { name: format!("G{g}").into(), members, ..SyncGroup::default() };
                if g == 0 {
                    group.tracks.files = vec![line("group")];
                }
                config.sync_groups.push(group);
            }
        }
        config.track_files = [("own", 0), ("group", self.weight)]
            .into_iter()
            .map(|(name, weight)| TrackFile {
                name: name.into(),
                file: Some(format!("/run/{name}").into()),
                weight: Weight { weight, reverse: false },
                ..TrackFile::default()
            })
            .collect();
        let fifo = Fifo { path: "/run/fifo".into(), user: None, group: None, ready: Ready::Unknown };
        config.global.more.vrrp_notify_fifo = Some(fifo);
        config
    }
}

fn line(name: &str) -> Track {
    Track { name: name.into(), weight: None, reverse: None }
}

fn vip(addr: IpAddr) -> Vip {
    Vip {
        addr,
        prefix: 32,
        dev: None,
        brd: None,
        scope: 0,
        label: None,
        deprecated: false,
        noprefixroute: false,
        peer: None,
        more: None,
        place: Default::default(),
    }
}
