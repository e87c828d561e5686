//! The kernel's interfaces and addresses as last reported: a mirror, without any wanted state.
//!
//! Read first: `event.rs` (`Link`, `AddrInfo`). Fed by notifications and by dumps; a dump marks each entry that it contains with a new
//! generation, and [`Links::sweep`] then removes the entries that it did not contain.

use crate::config::model::Family;
use crate::effect::ADDR_PROTO;
use crate::event::{AddrInfo, Link};
use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};

/// An address as a name: interface, address, prefix length.
pub type AddrId = (u32, IpAddr, u8);

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Entry {
    link: Link,
    seen: u64,
    addrs: BTreeMap<(IpAddr, u8), Addr>,
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Addr {
    info: AddrInfo,
    seen: u64,
    // The kernel's order: of several usable addresses the first is the primary one.
    order: u64,
}

/// The kernel's interfaces by index and by name, each with its addresses, as last reported.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Links {
    by_index: BTreeMap<u32, Entry>,
    by_name: BTreeMap<String, u32>,
    generation: u64,
    reported: u64,
}

/// The changes of a `LinkNew` that are used.
#[derive(Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LinkChange {
    /// Names whose state may have changed: the interface's, and its old name after a rename.
    pub names: Vec<String>,
    /// The hardware address changed.
    pub new_mac: bool,
}

impl Links {
    /// The interface with this name, as last reported; `None`: there is none.
    pub fn by_name(&self, name: &str) -> Option<&Link> {
        self.by_name.get(name).and_then(|i| self.get(*i))
    }
    /// The interface with this index, as last reported; `None`: there is none.
    pub fn get(&self, ifindex: u32) -> Option<&Link> {
        self.by_index.get(&ifindex).map(|e| &e.link)
    }
    /// All interfaces, by index.
    pub fn all(&self) -> impl Iterator<Item = &Link> {
        self.by_index.values().map(|e| &e.link)
    }
    /// Whether the interface is up as in keepalived: `IFF_UP` and `IFF_RUNNING`.
    pub fn is_up(&self, name: &str) -> bool {
        self.by_name(name).is_some_and(|l| l.up && l.running)
    }
    /// Addresses of an interface, by value.
    pub fn addrs(&self, ifindex: u32) -> impl Iterator<Item = &AddrInfo> {
        self.by_index.get(&ifindex).into_iter().flat_map(|e| e.addrs.values().map(|a| &a.info))
    }
    /// One address with all its prefix lengths on an interface.
    pub fn at(&self, ifindex: u32, addr: IpAddr) -> impl Iterator<Item = &AddrInfo> {
        let range = (addr, 0)..=(addr, u8::MAX);
        self.by_index.get(&ifindex).into_iter().flat_map(move |e| e.addrs.range(range.clone()).map(|(_, a)| &a.info))
    }
    /// Whether this address is one of the host's: on an interface that is up, for one that is down answers for none.
    pub fn is_local(&self, addr: IpAddr) -> bool {
        self.by_index.iter().any(|(ifindex, e)| e.link.up && self.at(*ifindex, addr).next().is_some())
    }
    /// Addresses of all interfaces.
    pub fn all_addrs(&self) -> impl Iterator<Item = &AddrInfo> {
        self.by_index.values().flat_map(|e| e.addrs.values().map(|a| &a.info))
    }
    /// The address with this interface, address and prefix length; `None`: the kernel has not reported it.
    pub fn addr(&self, id: AddrId) -> Option<&AddrInfo> {
        self.by_index.get(&id.0)?.addrs.get(&(id.1, id.2)).map(|a| &a.info)
    }
    /// Whether the kernel has exactly this address.
    pub fn has(&self, id: AddrId) -> bool {
        self.addr(id).is_some()
    }
    /// The primary address, the source of adverts: IPv4 the first that is not a VIP; IPv6 the first link-local one that is
    /// usable. `vips`: every configured VIP, so that a left-over of a killed daemon is never a source.
    pub fn source(&self, ifindex: u32, family: Family, vips: &BTreeSet<IpAddr>) -> Option<IpAddr> {
        let usable = |a: &AddrInfo| {
            Family::of(&a.addr) == family
                && a.proto != ADDR_PROTO
                && !vips.contains(&a.addr)
                && !a.tentative
                && !a.dad_failed
                && match a.addr {
                    IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_unspecified(),
                    IpAddr::V6(v6) => v6.is_unicast_link_local(),
                }
        };
        let all = self.by_index.get(&ifindex)?.addrs.values();
        all.filter(|a| usable(&a.info)).min_by_key(|a| (a.info.secondary, a.order)).map(|a| a.info.addr)
    }

    /// The interface that has this address, if adverts can leave from it: the address must not have been added by kalived, and must have
    /// passed duplicate address detection.
    pub fn holder(&self, addr: IpAddr) -> Option<u32> {
        let usable = |a: &AddrInfo| a.proto != ADDR_PROTO && !a.tentative && !a.dad_failed;
        self.by_index.keys().copied().find(|ifindex| self.at(*ifindex, addr).any(usable))
    }
    /// The IPv6 source of adverts to these peers: of the interface's global addresses (unique local ones included) the first that shares
    /// a prefix with a peer, else the first. `vips`: as for [`Links::source`].
    pub fn global_source(&self, ifindex: u32, peers: &[IpAddr], vips: &BTreeSet<IpAddr>) -> Option<IpAddr> {
        let usable = |a: &AddrInfo| {
            let IpAddr::V6(v6) = a.addr else { return false };
            let global = !(v6.is_unicast_link_local() || v6.is_loopback() || v6.is_multicast());
            global && a.proto != ADDR_PROTO && !vips.contains(&a.addr) && !a.tentative && !a.dad_failed
        };
        let near = |a: &AddrInfo| peers.iter().any(|p| same_prefix(*p, a.addr, a.prefix));
        let all = self.by_index.get(&ifindex)?.addrs.values().filter(|a| usable(&a.info));
        // Temporary addresses (RFC 8981) have the flag of secondary ones.
        all.min_by_key(|a| (!near(&a.info), a.info.secondary, a.order)).map(|a| a.info.addr)
    }

    /// Adds or updates an interface.
    pub fn link_new(&mut self, link: Link) -> LinkChange {
        let mut change = LinkChange { names: vec![link.name.clone()], new_mac: false };
        // A name moves when an interface was deleted and re-created before the deletion was reported.
        if let Some(old) = self.by_name.get(&link.name).copied().filter(|i| *i != link.ifindex) {
            self.by_index.remove(&old);
        }
        match self.by_index.get_mut(&link.ifindex) {
            Some(e) => {
                if e.link.name != link.name {
                    self.by_name.remove(&e.link.name);
                    change.names.push(e.link.name.clone());
                }
                change.new_mac = e.link.mac != link.mac;
                if e.link == link {
                    change.names.clear();
                }
                e.seen = self.generation;
                self.by_name.insert(link.name.clone(), link.ifindex);
                e.link = link;
            }
            None => {
                self.by_name.insert(link.name.clone(), link.ifindex);
                self.by_index.insert(link.ifindex, Entry { link, seen: self.generation, addrs: BTreeMap::new() });
            }
        }
        change
    }
    /// Removes an interface with its addresses; returns its name, if it was known.
    pub fn link_del(&mut self, ifindex: u32) -> Option<String> {
        let e = self.by_index.remove(&ifindex)?;
        if self.by_name.get(&e.link.name) == Some(&ifindex) {
            self.by_name.remove(&e.link.name);
        }
        Some(e.link.name)
    }
    /// Adds or updates an address. An address on an unknown interface is ignored: the dump brings both.
    pub fn addr_new(&mut self, a: AddrInfo) {
        let seen = self.generation;
        if let Some(e) = self.by_index.get_mut(&a.ifindex) {
            self.reported += 1;
            let order = e.addrs.get(&(a.addr, a.prefix)).map_or(self.reported, |known| known.order);
            e.addrs.insert((a.addr, a.prefix), Addr { info: a, seen, order });
        }
    }
    /// Removes an address; returns whether it was known.
    pub fn addr_del(&mut self, id: AddrId) -> bool {
        let Some(e) = self.by_index.get_mut(&id.0) else { return false };
        e.addrs.remove(&(id.1, id.2)).is_some()
    }
    /// A dump begins: entries that it does not contain are removed by [`Links::sweep`].
    pub fn begin(&mut self) {
        self.generation += 1;
    }
    /// A complete dump ended: removes the entries that it did not contain. Returns the removed interfaces.
    pub fn sweep(&mut self) -> Vec<(u32, String)> {
        let generation = self.generation;
        let gone: Vec<u32> = self.by_index.iter().filter(|(_, e)| e.seen != generation).map(|(i, _)| *i).collect();
        for e in self.by_index.values_mut() {
            e.addrs.retain(|_, a| a.seen == generation);
        }
        gone.into_iter().filter_map(|i| Some((i, self.link_del(i)?))).collect()
    }
}

fn same_prefix(a: IpAddr, b: IpAddr, prefix: u8) -> bool {
    let (IpAddr::V6(a), IpAddr::V6(b)) = (a, b) else { return false };
    (u128::from(a) ^ u128::from(b)).checked_shr(128 - u32::from(prefix.min(128))).is_none_or(|rest| rest == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn link(ifindex: u32, name: &str) -> Link {
        Link {
            ifindex,
            name: name.into(),
            up: true,
            running: true,
            multicast: true,
            loopback: false,
            noarp: false,
            mtu: 1500,
            mac: Some([2, 0, 0, 0, 0, ifindex as u8]),
            upon: None,
            ours: false,
            fresh: false,
            master: 0,
            vrf: false,
            table: 0,
        }
    }
    fn addr(ifindex: u32, a: &str, proto: u8) -> AddrInfo {
        AddrInfo {
            ifindex,
            addr: a.parse().unwrap(),
            prefix: 24,
            scope: 0,
            tentative: false,
            dad_failed: false,
            secondary: false,
            proto,
        }
    }

    #[test]
    fn a_leftover_vip_is_never_the_source() {
        let mut l = Links::default();
        l.link_new(link(3, "eth0"));
        l.addr_new(addr(3, "10.0.0.100", 0)); // a VIP left by a daemon that does not tag
        l.addr_new(addr(3, "10.0.0.101", ADDR_PROTO));
        let vips = BTreeSet::from(["10.0.0.100".parse().unwrap()]);
        assert_eq!(l.source(3, Family::V4, &vips), None);
        l.addr_new(addr(3, "10.0.0.2", 0));
        assert_eq!(l.source(3, Family::V4, &vips), Some("10.0.0.2".parse().unwrap()));
        assert_eq!(l.source(3, Family::V6, &vips), None);
    }

    #[test]
    fn recreate_rename_and_sweep() {
        let mut l = Links::default();
        l.link_new(link(3, "eth0"));
        l.addr_new(addr(3, "10.0.0.2", 0));
        // Re-created under another index; the deletion was lost.
        assert_eq!(l.link_new(link(7, "eth0")).names, ["eth0"]);
        assert_eq!((l.get(3), l.by_name("eth0").map(|l| l.ifindex)), (None, Some(7)));
        let mut renamed = link(7, "lan0");
        renamed.up = false;
        assert_eq!(l.link_new(renamed.clone()).names, ["lan0", "eth0"]);
        assert!(l.by_name("eth0").is_none() && !l.is_up("lan0"));
        assert!(l.link_new(renamed).names.is_empty(), "nothing changed");
        l.addr_new(addr(7, "10.0.0.3", 0));
        l.begin();
        l.link_new(link(8, "eth1"));
        assert_eq!(l.sweep(), [(7, "lan0".to_owned())]);
        assert!(l.by_name("eth1").is_some() && !l.has((7, "10.0.0.3".parse().unwrap(), 24)));
        assert_eq!(l.link_del(7), None);
    }
}
