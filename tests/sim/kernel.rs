//! A node's kernel as far as kalived sees it through netlink: one interface, its addresses. It outlives the process.
//!
//! Read first: `kalived::event`. Every change returns the netlink notifications, in the kernel's order. As in Linux, an interface that is
//! set down loses its IPv6 addresses and keeps its IPv4 ones; one that loses its carrier keeps both; a deleted interface loses all, and
//! comes back with another index. On top of it there may be interfaces that kalived made (macvlan): they keep their IPv6 addresses when
//! they go down if the sysctl is set, but never a link-local one.

use crate::fib::Fib;
use crate::filter::Rules;
use core::net::IpAddr;
use kalived::effect::{ADDR_PROTO, AddrSpec, NetOp};
use kalived::event::{AddrInfo, Errno, Event, Link, NetEv, ReqId};
use kalived::knob::{Knob, Set};
use kalived::route::RouteSpec;
use kalived::rule::RuleSpec;

/// What arrives on the netlink socket.
#[derive(Clone, Debug)]
pub enum Msg {
    /// `NetEv::LinkNew`.
    LinkNew(Link),
    /// `NetEv::LinkDel`.
    LinkDel(u32),
    /// `NetEv::AddrNew`.
    AddrNew(AddrInfo),
    /// `NetEv::AddrDel`.
    AddrDel(u32, IpAddr, u8),
    /// `NetEv::RouteNew` of one that replaced none.
    RouteNew(Box<RouteSpec>),
    /// `NetEv::RouteDel`.
    RouteDel(Box<RouteSpec>),
    /// `NetEv::RuleNew`.
    RuleNew(Box<RuleSpec>),
    /// `NetEv::RuleDel`.
    RuleDel(Box<RuleSpec>),
    /// `NetEv::Lost`.
    Lost,
    /// `NetEv::DumpBegin`.
    DumpBegin,
    /// `NetEv::Synced`.
    Synced(bool),
    /// `NetEv::Reply`.
    Reply(ReqId, Result<(), Errno>),
}

impl Msg {
    /// As the World takes it.
    pub fn event(self) -> Event<'static> {
        match self {
            Msg::LinkNew(l) => Event::Net(NetEv::LinkNew(l)),
            Msg::LinkDel(ifindex) => Event::Net(NetEv::LinkDel { ifindex }),
            Msg::AddrNew(a) => Event::Net(NetEv::AddrNew(a)),
            Msg::AddrDel(ifindex, addr, prefix) => Event::Net(NetEv::AddrDel { ifindex, addr, prefix, by: None }),
            Msg::RouteNew(route) => Event::Net(NetEv::RouteNew { route, replaced: false }),
            Msg::RouteDel(route) => Event::Net(NetEv::RouteDel(route, None)),
            Msg::RuleNew(rule) => Event::Net(NetEv::RuleNew(rule)),
            Msg::RuleDel(rule) => Event::Net(NetEv::RuleDel(rule, None)),
            Msg::Lost => Event::Net(NetEv::Lost),
            Msg::DumpBegin => Event::Net(NetEv::DumpBegin),
            Msg::Synced(complete) => Event::Net(NetEv::Synced { complete }),
            Msg::Reply(req, result) => Event::Net(NetEv::Reply { req, result }),
        }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// Current index, if the interface exists.
    pub ifindex: Option<u32>,
    last_index: u32,
    admin_up: bool,
    carrier: bool,
    mac: [u8; 6],
    addrs: Vec<AddrInfo>,
    /// The operator's addresses, whether or not they are there now.
    own: Vec<(IpAddr, u8)>,
    /// Routes.
    pub routes: Fib,
    upper: Vec<Upper>,
    /// nf_tables.
    pub rules: Rules,
}

// An interface on top of the one that exists.
#[derive(Clone, Debug)]
struct Upper {
    link: Link,
    keeps: bool,
}

impl Kernel {
    /// Up, with the operator's addresses.
    pub fn new(node: usize, own: Vec<(IpAddr, u8)>) -> Kernel {
        let mut k = Kernel {
            ifindex: None,
            last_index: 1 + 10 * node as u32,
            admin_up: true,
            carrier: true,
            mac: mac_of(node),
            addrs: Vec::new(),
            own,
            routes: Fib::default(),
            upper: Vec::new(),
            rules: Rules::default(),
        };
        k.create();
        k
    }
    fn link(&self, ifindex: u32) -> Link {
        Link {
            ifindex,
            name: crate::options::IFACE.to_owned(),
            up: self.admin_up,
            running: self.admin_up && self.carrier,
            multicast: true,
            loopback: false,
            noarp: false,
            mtu: 1500,
            mac: Some(self.mac),
            upon: None,
            ours: false,
            fresh: false,
            master: 0,
            vrf: false,
            table: 0,
        }
    }
    /// Packets can be sent and received.
    pub fn link_ok(&self) -> bool {
        self.ifindex.is_some() && self.admin_up && self.carrier
    }
    /// It has everything that a virtual router needs.
    pub fn fit(&self) -> bool {
        self.link_ok() && self.own.iter().all(|o| self.addrs.iter().any(|a| a.addr == o.0 && !a.tentative))
    }
    /// Whether the node answers for the address: it is on its interface, or on one upon that which is up.
    pub fn has(&self, addr: IpAddr) -> bool {
        let up = |ifindex| self.upper.iter().all(|u| u.link.ifindex != ifindex || u.link.up);
        self.addrs.iter().any(|a| a.addr == addr && up(a.ifindex))
    }
    /// Interfaces that kalived made.
    pub fn uppers(&self) -> impl Iterator<Item = &Link> {
        self.upper.iter().map(|u| &u.link)
    }
    /// The index is that of an interface, and packets leave by it.
    pub fn sends_by(&self, ifindex: u32) -> (bool, bool) {
        match self.upper.iter().find(|u| u.link.ifindex == ifindex) {
            Some(u) => (true, u.link.up && self.link_ok()),
            None => (self.ifindex == Some(ifindex), self.link_ok()),
        }
    }
    /// Sysctls are set; which of them were other ones.
    pub fn set_knobs(&mut self, dev: &str, set: &[Set]) -> Vec<(Knob, u32)> {
        let keeps = set.iter().find(|s| s.knob == Knob::KeepAddrOnDown);
        if let (Some(u), Some(s)) = (self.upper.iter_mut().find(|u| u.link.name == dev), keeps) {
            u.keeps = s.to == 1;
        }
        set.iter().filter(|s| s.to != 0 || s.only.is_some()).map(|s| (s.knob, 0)).collect()
    }
    /// Another program deletes those that have other names.
    pub fn keep_uppers(&mut self, names: &[&str]) {
        let gone: Vec<u32> = self.uppers().filter(|l| !names.contains(&l.name.as_str())).map(|l| l.ifindex).collect();
        gone.into_iter().for_each(|ifindex| drop(self.delete_upper(ifindex)));
    }
    /// Another program takes one of those up or down.
    pub fn meddle(&mut self, nth: usize) -> Vec<Msg> {
        let all = self.upper.len();
        let Some(u) = self.upper.get(nth % all.max(1)) else { return Vec::new() };
        let (ifindex, up) = (u.link.ifindex, !u.link.up);
        self.set_upper(ifindex, up, None).0
    }
    /// First half of a dump.
    pub fn dump_links(&self) -> Vec<Msg> {
        let upper = self.upper.iter().map(|u| Msg::LinkNew(u.link.clone()));
        self.ifindex.map(|i| Msg::LinkNew(self.link(i))).into_iter().chain(upper).collect()
    }
    /// What is there.
    pub fn addrs(&self) -> impl Iterator<Item = &AddrInfo> {
        self.addrs.iter()
    }
    /// Second half.
    pub fn dump_addrs(&self, complete: bool) -> Vec<Msg> {
        let addrs = self.addrs.iter().cloned().map(Msg::AddrNew);
        addrs.chain(self.routes.dump()).chain([Msg::Synced(complete)]).collect()
    }
    /// The interface is created, with the operator's addresses.
    pub fn create(&mut self) -> Vec<Msg> {
        if self.ifindex.is_some() {
            return Vec::new();
        }
        self.last_index += 1;
        self.ifindex = Some(self.last_index);
        (self.admin_up, self.carrier) = (true, true);
        let mut out = vec![Msg::LinkNew(self.link(self.last_index))];
        out.extend(self.restore_own());
        out
    }
    /// The interface is deleted.
    pub fn delete(&mut self) -> Vec<Msg> {
        let Some(ifindex) = self.ifindex.take() else { return Vec::new() };
        let mut out: Vec<Msg> = self.addrs.drain(..).map(|a| Msg::AddrDel(a.ifindex, a.addr, a.prefix)).collect();
        out.extend(self.routes.flush(ifindex));
        out.extend(self.upper.drain(..).map(|u| Msg::LinkDel(u.link.ifindex)));
        out.push(Msg::LinkDel(ifindex));
        out
    }
    /// Carrier comes or goes.
    pub fn set_carrier(&mut self, on: bool) -> Vec<Msg> {
        if self.carrier == on {
            return Vec::new();
        }
        self.carrier = on;
        self.ifindex.map(|i| Msg::LinkNew(self.link(i))).into_iter().collect()
    }
    /// `ip link set up` or `down`. Up again, IPv6 addresses of the operator come back tentative: call `finish_dad` later.
    pub fn set_admin(&mut self, on: bool) -> Vec<Msg> {
        if self.admin_up == on {
            return Vec::new();
        }
        self.admin_up = on;
        let Some(i) = self.ifindex else { return Vec::new() };
        let mut out = vec![Msg::LinkNew(self.link(i))];
        if on {
            for (addr, prefix) in self.own.clone().into_iter().filter(|o| o.0.is_ipv6()) {
                if !self.has(addr) {
                    out.push(self.put(i, addr, prefix, 0, true));
                }
            }
        } else {
            out.extend(self.routes.flush(i));
            self.addrs.retain(|a| {
                if a.ifindex != i {
                    return true;
                }
                if a.addr.is_ipv6() {
                    out.push(Msg::AddrDel(i, a.addr, a.prefix));
                }
                a.addr.is_ipv4()
            });
        }
        out
    }
    /// Duplicate address detection found no other host.
    pub fn finish_dad(&mut self) -> Vec<Msg> {
        let tentative = self.addrs.iter_mut().filter(|a| a.tentative);
        tentative
            .map(|a| {
                a.tentative = false;
                Msg::AddrNew(a.clone())
            })
            .collect()
    }
    /// Whether an address is tentative.
    pub fn dad_runs(&self) -> bool {
        self.addrs.iter().any(|a| a.tentative)
    }
    /// The operator's addresses go.
    pub fn drop_own(&mut self) -> Vec<Msg> {
        let own = self.own.clone();
        own.into_iter().filter_map(|(addr, _)| self.take(addr)).collect()
    }
    /// And come back.
    pub fn restore_own(&mut self) -> Vec<Msg> {
        let Some(i) = self.ifindex else { return Vec::new() };
        let mut missing = self.own.clone();
        missing.retain(|o| !self.has(o.0));
        missing.into_iter().map(|(a, p)| self.put(i, a, p, 0, false)).collect()
    }
    /// Another program removes this address.
    pub fn take(&mut self, addr: IpAddr) -> Option<Msg> {
        let at = self.addrs.iter().position(|a| a.addr == addr)?;
        self.take_at(at)
    }
    fn take_at(&mut self, at: usize) -> Option<Msg> {
        let a = self.addrs.remove(at);
        // With its last IPv4 address an interface loses its IPv4 routes, without a report.
        if a.addr.is_ipv4() && !self.addrs.iter().any(|b| b.ifindex == a.ifindex && b.addr.is_ipv4()) {
            self.routes.flush_v4(a.ifindex);
        }
        Some(Msg::AddrDel(a.ifindex, a.addr, a.prefix))
    }
    /// A request of kalived: returns the notifications and the answer.
    pub fn apply(&mut self, op: &NetOp) -> (Vec<Msg>, Result<(), Errno>) {
        let up = self.admin_up;
        if let Some(answer) = self.routes.apply(op, |ifindex| (self.ifindex == Some(ifindex)).then_some(up)) {
            return answer;
        }
        match op {
            NetOp::LinkAdd(own) => self.add_upper(own),
            NetOp::LinkSet { ifindex, up, tag } => self.set_upper(*ifindex, *up, *tag),
            NetOp::LinkDel { ifindex } => self.delete_upper(*ifindex),
            op => {
                let (told, result) = self.apply_address(op);
                (told.into_iter().collect(), result)
            }
        }
    }
    fn apply_address(&mut self, op: &NetOp) -> (Option<Msg>, Result<(), Errno>) {
        let upper = |ifindex| self.upper.iter().any(|u| u.link.ifindex == ifindex);
        let known = |s: &AddrSpec| self.ifindex == Some(s.ifindex) || upper(s.ifindex);
        match op {
            NetOp::AddrAdd(s) if !known(s) => (None, Err(Errno::ENODEV)),
            NetOp::AddrAdd(s) => {
                self.addrs.retain(|a| (a.ifindex, a.addr) != (s.ifindex, s.addr));
                (Some(self.put(s.ifindex, s.addr, s.prefix, ADDR_PROTO, false)), Ok(()))
            }
            NetOp::AddrDel(s) if !known(s) => (None, Err(Errno::ENODEV)),
            NetOp::AddrDel(s) => match self.addrs.iter().position(|a| (a.ifindex, a.addr) == (s.ifindex, s.addr)) {
                Some(at) => (self.take_at(at), Ok(())),
                None => (None, Err(Errno::EADDRNOTAVAIL)),
            },
            op => unreachable!("{op:?} is one of routes or rules"),
        }
    }
    fn add_upper(&mut self, own: &kalived::effect::OwnLink) -> (Vec<Msg>, Result<(), Errno>) {
        if self.ifindex != Some(own.upon.parent) {
            return (Vec::new(), Err(Errno::ENODEV));
        }
        if self.upper.iter().any(|u| u.link.name == own.name) {
            return (Vec::new(), Err(Errno::EEXIST));
        }
        self.last_index += 1;
        let (up, running, upon, mac) = (false, false, Some(own.upon), own.mac);
        let (ours, fresh) = (true, true);
        let link = Link { name: own.name.clone(), up, running, upon, mac, ours, fresh, ..self.link(self.last_index) };
        self.upper.push(Upper { link: link.clone(), keeps: false });
        (vec![Msg::LinkNew(link)], Ok(()))
    }
    fn set_upper(&mut self, ifindex: u32, up: bool, tag: Option<u32>) -> (Vec<Msg>, Result<(), Errno>) {
        let running = up && self.link_ok();
        let Some(u) = self.upper.iter_mut().find(|u| u.link.ifindex == ifindex) else {
            return (Vec::new(), Err(Errno::ENODEV));
        };
        (u.link.up, u.link.running) = (up, running);
        if tag.is_some() {
            (u.link.ours, u.link.fresh) = (true, false);
        }
        let (keeps, mut out) = (u.keeps, vec![Msg::LinkNew(u.link.clone())]);
        if !up {
            let goes = |a: &AddrInfo| a.ifindex == ifindex && a.addr.is_ipv6() && (!keeps || a.scope == 253);
            out.extend(self.addrs.iter().filter(|a| goes(a)).map(|a| Msg::AddrDel(a.ifindex, a.addr, a.prefix)));
            self.addrs.retain(|a| !goes(a));
        }
        (out, Ok(()))
    }
    fn delete_upper(&mut self, ifindex: u32) -> (Vec<Msg>, Result<(), Errno>) {
        let Some(at) = self.upper.iter().position(|u| u.link.ifindex == ifindex) else {
            return (Vec::new(), Err(Errno::ENODEV));
        };
        self.upper.remove(at);
        let here = |a: &&AddrInfo| a.ifindex == ifindex;
        let mut out: Vec<Msg> =
            self.addrs.iter().filter(here).map(|a| Msg::AddrDel(a.ifindex, a.addr, a.prefix)).collect();
        self.addrs.retain(|a| a.ifindex != ifindex);
        out.push(Msg::LinkDel(ifindex));
        (out, Ok(()))
    }
    fn put(&mut self, ifindex: u32, addr: IpAddr, prefix: u8, proto: u8, tentative: bool) -> Msg {
        let link_local = matches!(addr, IpAddr::V6(a) if a.is_unicast_link_local());
        let info = AddrInfo {
            ifindex,
            addr,
            prefix,
            scope: if link_local { 253 } else { 0 },
            tentative,
            dad_failed: false,
            secondary: false,
            proto,
        };
        self.addrs.push(info.clone());
        Msg::AddrNew(info)
    }
}

/// A node's Ethernet address.
pub fn mac_of(node: usize) -> [u8; 6] {
    [2, 0, 0, 0, 0, node as u8 + 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel() -> Kernel {
        Kernel::new(0, vec![([10, 0, 0, 1].into(), 24), ("fe80::1".parse().expect("an address"), 64)])
    }

    #[test]
    fn down_flushes_v6_and_recreate_changes_the_index() {
        let mut k = kernel();
        let before = k.ifindex;
        assert!(k.fit());
        assert_eq!(k.set_admin(false).len(), 2, "the link and one IPv6 address");
        assert!(!k.fit());
        k.set_admin(true);
        assert!(!k.fit() && k.dad_runs(), "link-local is tentative");
        assert_eq!(k.finish_dad().len(), 1);
        assert!(k.fit());
        assert_eq!(k.delete().len(), 3);
        k.create();
        assert!(k.fit() && k.ifindex != before);
    }

    #[test]
    fn answers_like_linux() {
        let mut k = kernel();
        let spec = AddrSpec {
            ifindex: k.ifindex.expect("there"),
            addr: [10, 0, 0, 200].into(),
            prefix: 32,
            brd: None,
            scope: 0,
            label: None,
            deprecated: false,
            noprefixroute: false,
            flags: 0,
            peer: None,
            tag: kalived::effect::ADDR_PROTO,
            metric: 0,
        };
        assert_eq!(k.apply(&NetOp::AddrDel(spec.clone())).1, Err(Errno::EADDRNOTAVAIL));
        assert_eq!(k.apply(&NetOp::AddrAdd(spec.clone())).1, Ok(()));
        assert!(k.has(spec.addr));
        assert_eq!(k.apply(&NetOp::AddrAdd(spec.clone())).1, Ok(()), "replaces");
        assert_eq!((k.dump_links().len(), k.dump_addrs(true).len()), (1, 3 + 1));
        k.delete();
        assert_eq!(k.apply(&NetOp::AddrAdd(spec)).1, Err(Errno::ENODEV));
    }
}
