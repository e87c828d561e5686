//! The report of the world, made in parts: each is a bounded amount of work.
//!
//! Read first: `src/report/mod.rs`. No code on the path of an advert calls this. What is added or removed while a report is made may or may
//! not be in it.

use super::{SockState, World};
use crate::id::{SockKey, VrKey, VsKey};
use crate::links::AddrId;
use crate::report::{
    Address, BfdSession, Group, Interface, Ipvs, LAYOUT, Moment, Part, Report, Routes, Rules, Socket, Tracker, rfc3339,
};
use crate::time::Now;
use crate::track::Verdict;
use crate::vrrp::text;
use std::collections::{BTreeSet, VecDeque};

/// Addresses, trackers, interfaces, sockets or real servers of a part: some 10 KiB of JSON.
const SOME: usize = 64;

// What is to come, in order.
#[derive(Debug, Default)]
enum Step {
    #[default]
    Begin,
    Instances,
    // Addresses of this one from here on.
    Addresses(VrKey, usize),
    Groups,
    Trackers(usize),
    Bfd(usize),
    BfdDiscarded,
    Interfaces,
    Sockets,
    Routes,
    Ipvs,
    VirtualServers,
    // Real servers of this one from here on.
    RealServers(VsKey, usize),
    Notifications,
    Done,
}

/// How far a report is.
#[derive(Debug, Default)]
pub struct Cursor {
    step: Step,
    instances: VecDeque<VrKey>,
    interfaces: VecDeque<String>,
    sockets: VecDeque<SockKey>,
    virtual_servers: VecDeque<VsKey>,
    clear: bool,
}

impl Cursor {
    /// At the beginning. `clear`: counters begin anew, each as soon as it is in the report.
    pub fn new(clear: bool) -> Cursor {
        Cursor { clear, ..Cursor::default() }
    }
}

impl World {
    /// The whole report at once.
    pub fn report(&mut self, now: Now) -> Report {
        let (mut report, mut cursor) = (Report::default(), Cursor::default());
        while let Some(part) = self.report_part(now, &mut cursor) {
            report.add(part);
        }
        report
    }

    /// The next part; `None`: that was all of it.
    pub fn report_part(&mut self, now: Now, at: &mut Cursor) -> Option<Part> {
        loop {
            match at.step {
                Step::Begin => {
                    at.instances = self.instances.keys().into();
                    at.interfaces = self.watchers.keys().cloned().collect();
                    at.sockets = self.socks.keys().into();
                    at.virtual_servers = self.lvs.farm().keys().into();
                    at.step = Step::Instances;
                    return Some(Part::Begin(LAYOUT, rfc3339(now.wall)));
                }
                Step::Instances => {
                    let Some(vr) = at.instances.pop_front() else {
                        at.step = Step::Groups;
                        continue;
                    };
                    let held = self.instances.get(vr).map_or(0, |vi| self.holds(vr, vi).count());
                    let Some(vi) = self.instances.get_mut(vr) else { continue };
                    let instance = vi.report(now, &self.timers, held);
                    if at.clear {
                        vi.clear_counters();
                    }
                    at.step = Step::Addresses(vr, 0);
                    return Some(Part::Instance(Box::new(instance)));
                }
                Step::Addresses(vr, from) => {
                    let some = self.addresses_of(vr, from);
                    at.step = if some.len() < SOME { Step::Instances } else { Step::Addresses(vr, from + SOME) };
                    if !some.is_empty() {
                        return Some(Part::Addresses(some));
                    }
                }
                Step::Groups => {
                    at.step = Step::Trackers(0);
                    let group = |g: super::GroupView| Group {
                        since: Moment::of(g.since, now),
                        name: g.name,
                        state: g.state,
                        members: g.members,
                        reasons: g.reasons,
                    };
                    return Some(Part::Groups(self.groups().into_iter().map(group).collect()));
                }
                Step::Trackers(from) => {
                    let some: Vec<Tracker> = self.tracks.views_from(from).take(SOME).map(tracker).collect();
                    at.step = if some.len() < SOME { Step::Bfd(0) } else { Step::Trackers(from + SOME) };
                    if !some.is_empty() {
                        return Some(Part::Trackers(some));
                    }
                }
                Step::Bfd(from) => {
                    let some: Vec<BfdSession> = self.bfd.report_from(from, now).take(SOME).collect();
                    at.step = if some.len() < SOME { Step::BfdDiscarded } else { Step::Bfd(from + SOME) };
                    if !some.is_empty() {
                        return Some(Part::BfdSessions(some));
                    }
                }
                Step::BfdDiscarded => {
                    at.step = Step::Interfaces;
                    let counts = self.bfd.discards();
                    if at.clear {
                        self.bfd.clear_counters();
                    }
                    return Some(Part::BfdDiscarded(counts));
                }
                Step::Interfaces => {
                    let names = at.interfaces.drain(..at.interfaces.len().min(SOME));
                    let some: Vec<Interface> = names.map(|name| self.interface(name)).collect();
                    if some.is_empty() {
                        at.step = Step::Sockets;
                    } else {
                        return Some(Part::Interfaces(some));
                    }
                }
                Step::Sockets => {
                    let keys = at.sockets.drain(..at.sockets.len().min(SOME));
                    let some: Vec<Socket> = keys.filter_map(|key| self.socket(key)).collect();
                    if at.sockets.is_empty() {
                        at.step = Step::Routes;
                    }
                    if !some.is_empty() {
                        return Some(Part::Sockets(some));
                    }
                }
                Step::Routes => {
                    at.step = Step::Ipvs;
                    let v = self.routes.view();
                    let routes = Routes {
                        configured: v.lines as u64,
                        held: v.held as u64,
                        waiting: v.waiting as u64,
                        virtual_wanted: v.virtual_wanted as u64,
                        virtual_held: v.virtual_held as u64,
                        restored: v.restored,
                    };
                    let v = self.rules.view();
                    let rules = Rules {
                        configured: v.lines as u64,
                        held: v.held as u64,
                        virtual_wanted: v.virtual_wanted as u64,
                        virtual_held: v.virtual_held as u64,
                        restored: v.restored,
                    };
                    return Some(Part::Routes(routes, rules));
                }
                Step::Ipvs => {
                    at.step = Step::VirtualServers;
                    let restored = self.lvs.restored();
                    return Some(Part::Ipvs(Ipvs { available: self.lvs.is_open(), restored }));
                }
                Step::VirtualServers => {
                    let Some(key) = at.virtual_servers.pop_front() else {
                        at.step = Step::Notifications;
                        continue;
                    };
                    let Some(vs) = self.lvs.report(key, now) else { continue };
                    at.step = Step::RealServers(key, 0);
                    return Some(Part::VirtualServer(Box::new(vs)));
                }
                Step::RealServers(key, from) => {
                    let some = self.lvs.report_servers(&self.checks, key, from, SOME, now);
                    at.step =
                        if some.len() < SOME { Step::VirtualServers } else { Step::RealServers(key, from + SOME) };
                    if !some.is_empty() {
                        return Some(Part::RealServers(some));
                    }
                }
                Step::Notifications => {
                    at.step = Step::Done;
                    return Some(Part::Notifications(self.notifier.report()));
                }
                Step::Done => return None,
            }
        }
    }

    fn addresses_of(&self, vr: VrKey, from: usize) -> Vec<Address> {
        let Some(vi) = self.instances.get(vr) else { return Vec::new() };
        let held: BTreeSet<AddrId> = self.holds(vr, vi).collect();
        let listed = vi.cfg().vips.len();
        let view = |(n, v): (usize, &crate::config::model::Vip)| {
            let dev = v.dev.as_deref().unwrap_or(vi.cfg().default_dev());
            let id = self.links.by_name(dev).map(|l| (l.ifindex, v.addr, v.prefix));
            Address {
                address: v.addr.to_string(),
                prefix_length: v.prefix,
                interface: dev.to_owned(),
                advertised: n < listed,
                held: id.is_some_and(|id| held.contains(&id)),
            }
        };
        vi.vips().enumerate().skip(from).take(SOME).map(view).collect()
    }

    fn interface(&self, name: String) -> Interface {
        let Some(l) = self.links.by_name(&name) else { return Interface { name, ..Interface::default() } };
        let mac = |m: [u8; 6]| m.map(|b| format!("{b:02x}")).join(":");
        Interface {
            name,
            ifindex: Some(l.ifindex),
            up: l.up,
            running: l.running,
            multicast: l.multicast,
            mtu_bytes: l.mtu,
            mac: l.mac.map(mac),
        }
    }

    fn socket(&self, key: SockKey) -> Option<Socket> {
        let s = self.socks.get(key)?;
        Some(Socket {
            name: s.name.clone(),
            address: s.spec.address().to_string(),
            ready: matches!(s.state, SockState::Ready(_)),
            error: if let SockState::Failed(e) = s.state { Some(text::errno(e)) } else { None },
            instances: s.users.values().map(Vec::len).sum::<usize>() as u64,
            packets_of_unknown_vrid: s.unknown,
        })
    }
}

fn tracker(t: crate::track::TrackView) -> Tracker {
    let (up, value) = match t.verdict {
        Verdict::Waiting => (None, None),
        Verdict::Up(up) => (Some(up), None),
        Verdict::Value(n) => (None, Some(n.to_string())),
    };
    Tracker { kind: t.kind.word().to_owned(), name: t.name.into_string(), up, running: t.running, value }
}
