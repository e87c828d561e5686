//! Own interfaces: which ones a virtual router wants, and the addresses that stay on them.
//!
//! Read first: `mod.rs`, `vmac/`. The own interface of `use_vmac` or `use_ipvlan` has all addresses whose line names no other interface.
//! For addresses with `use_vmac`, and with `use_vmac_addr`, there is one more own interface for each other interface and each family.
//! Addresses stay while their interface is down, except link-local ones, which the kernel removes then.

use super::{Cx, Instance};
use crate::config::model::{Family, Vip};
use crate::effect::{ADDR_PROTO, AddrSpec};
use crate::event::Link;
use crate::links::{AddrId, Links};
use crate::net::{OwnLink, Upon, UponKind};
use crate::time::Duration;
use crate::timers::Due;
use crate::vmac::{Status, Wish};
use core::net::IpAddr;
use std::collections::BTreeSet;

/// Addresses that are put on an own interface at a time, with `PAUSE` in between: to prepare one costs 2 to 3 µs, and nothing waits
/// for them.
const CHUNK: usize = 32;
const PAUSE: Duration = Duration::from_micros(500);
/// Addresses of an own interface that are handed to the announcer in one turn: less than 0.2 ms on a slow processor, and more than it sends.
const ANNOUNCED: usize = 64;
const NEXT_TURN: Duration = Duration::from_nanos(1);
/// Metric of the prefix routes of an own interface: worse than the kernel's for the interface below, so that this host's other traffic
/// keeps using that one whether the virtual router is Master or not.
pub(super) const METRIC: u32 = 1024;

/// Whether an address stays on an interface that goes down.
pub(crate) fn stays(addr: IpAddr) -> bool {
    !matches!(addr, IpAddr::V6(a) if a.is_unicast_link_local())
}

impl Instance {
    // Its own interface as it is to be; `None`: it has none, or the one below is not there.
    fn own_link(&self, links: &Links) -> Option<OwnLink> {
        let (own, name) = self.cfg.own()?;
        let below = links.by_name(&self.cfg.interface)?;
        let upon = match own.ipvlan {
            false => Upon { kind: UponKind::Macvlan, mode: Upon::MACVLAN_VEPA, parent: below.ifindex },
            true => Upon { kind: UponKind::Ipvlan, mode: own.ipvlan_flags(), parent: below.ifindex },
        };
        let mac = (!own.ipvlan).then(|| own.mac.unwrap_or_else(|| self.cfg.virtual_mac()));
        let group = own.group.as_deref().and_then(|g| g.parse().ok()).unwrap_or(0);
        Some(OwnLink { name: name.to_owned(), upon, mac, group, master: vrf_of(below, links) })
    }

    // The same for an address with an interface of its own.
    fn vmac_link(&self, vip: &Vip, links: &Links) -> Option<OwnLink> {
        let name = vip.vmac()?.to_owned();
        let below = links.by_name(vip.dev.as_deref().unwrap_or(&self.cfg.interface))?;
        let upon = Upon { kind: UponKind::Macvlan, mode: Upon::MACVLAN_VEPA, parent: below.ifindex };
        let mac = Some(self.cfg.virtual_mac_of(Family::of(&vip.addr)));
        Some(OwnLink { name, upon, mac, group: 0, master: vrf_of(below, links) })
    }

    /// Its own interfaces as they are to be, but for those whose interface below is not there.
    pub fn own_wishes(&self, links: &Links) -> Vec<Wish> {
        let mut wishes = Vec::new();
        if let Some(link) = self.own_link(links) {
            let here = || self.vips().filter(|v| v.dev.is_none() && v.vmac().is_none());
            let families = (here().any(|v| v.addr.is_ipv4()), here().any(|v| v.addr.is_ipv6()));
            // Without any address there is nothing that the other family could be needed for.
            let families = if families == (false, false) {
                (self.cfg.family == Family::V4, self.cfg.family == Family::V6)
            } else {
                families
            };
            wishes.push(Wish { link, families });
        }
        let mut seen = BTreeSet::new();
        for vip in self.vips().filter(|v| v.vmac().is_some_and(|name| seen.insert(name))) {
            let families = (vip.addr.is_ipv4(), vip.addr.is_ipv6());
            wishes.extend(self.vmac_link(vip, links).map(|link| Wish { link, families }));
        }
        wishes
    }

    /// The interfaces on which addresses stay while they are down.
    pub fn own_indices(&self, links: &Links) -> BTreeSet<u32> {
        let there = |w: &Wish| links.by_name(&w.link.name).filter(|l| w.link.is(l)).map(|l| l.ifindex);
        self.own_wishes(links).iter().filter_map(there).collect()
    }

    /// Interfaces with IPv4 addresses of its that are to have `promote_secondaries`. An own one has it anyhow.
    pub fn promoted(&self, links: &Links) -> BTreeSet<u32> {
        if !self.cfg.more.promote_secondaries {
            return BTreeSet::new();
        }
        let v4 = self.vips().filter(|v| v.addr.is_ipv4() && !self.on_own(v));
        let devs: BTreeSet<&str> = v4.map(|v| self.cfg.device_of(v)).collect();
        devs.into_iter().filter_map(|dev| links.by_name(dev)).map(|l| l.ifindex).collect()
    }

    /// Whether an address is on an interface of its own.
    pub(super) fn on_own(&self, v: &Vip) -> bool {
        v.vmac().is_some() || v.dev.is_none() && self.cfg.own().is_some()
    }

    // Whether the interface of an address can take it: one that is being made, or was refused, cannot.
    pub(super) fn takes(&self, v: &Vip, cx: &Cx<'_>) -> bool {
        let own = if self.on_own(v) { Some(self.cfg.device_of(v)) } else { None };
        own.is_none_or(|name| !matches!(cx.vmacs.status(self.key, name), Status::Waiting | Status::Refused(_)))
    }

    /// The interface of an address.
    pub(super) fn link_of<'a>(&self, v: &Vip, links: &'a Links) -> Option<&'a Link> {
        let own = match (v.vmac(), v.dev.as_deref()) {
            (Some(_), _) => self.vmac_link(v, links)?,
            (None, Some(dev)) => return links.by_name(dev),
            (None, None) if self.cfg.own().is_some() => self.own_link(links)?,
            (None, None) => return links.by_name(&self.cfg.interface),
        };
        links.by_name(&own.name).filter(|l| own.is(l))
    }

    /// Own interfaces may have come or gone: addresses are put on them, or are forgotten with them.
    pub(super) fn look_at_own(&mut self, cx: &mut Cx<'_>) {
        let mut now: BTreeSet<u32> = cx.vmacs.ready(self.key).collect();
        // The same interface, whose sysctls are set anew: its addresses stay.
        now.extend(self.kept.iter().filter(|own| cx.vmacs.owner(**own) == Some(self.key)));
        if now == self.kept {
            return;
        }
        let (more, fewer) = (!now.is_subset(&self.kept), !self.kept.is_subset(&now));
        self.kept = now;
        // A Master's addresses follow from its state.
        if fewer && !self.is_master() {
            let keep: BTreeSet<AddrId> = cx.addrs.of(self.key).filter(|id| self.kept.contains(&id.0)).collect();
            cx.addrs.keep_only(self.key, &keep);
        }
        if more {
            self.kept_from = 0;
            cx.timers.set(Due::KeepMore(self.key), cx.now.mono);
            cx.vmacs.raise(self.key, self.is_master(), cx.links);
        } else if self.kept.is_empty() {
            cx.timers.stop(Due::KeepMore(self.key));
        }
    }

    /// `Due::KeepMore`: the next of the addresses that stay.
    pub fn on_keep_more(&mut self, cx: &mut Cx<'_>) {
        if self.kept.is_empty() {
            return;
        }
        let (owner, master, from) = (self.owner(), self.is_master(), self.kept_from);
        let some: Vec<_> = self.vips().skip(from).take(CHUNK).filter_map(|v| self.spec(v, cx.links)).collect();
        for spec in some.into_iter().filter(|s| self.kept.contains(&s.ifindex) && (master || stays(s.addr))) {
            if !cx.addrs.is_wanted((spec.ifindex, spec.addr, spec.prefix)) {
                cx.addrs.adopt(self.key, spec, owner, cx.links);
            }
        }
        self.kept_from = from + CHUNK;
        if self.kept_from < self.vips().count() {
            cx.timers.set(Due::KeepMore(self.key), cx.now.mono + PAUSE);
        } else {
            self.drop_left(cx);
        }
    }

    // The interfaces were made for this virtual router: an address on one of them with our tag that the configuration does not have there is
    // of an earlier configuration, which another process may not have removed to the end.
    fn drop_left(&mut self, cx: &mut Cx<'_>) {
        let listed: BTreeSet<(u32, IpAddr)> = self.specs(cx.links).map(|s| (s.ifindex, s.addr)).collect();
        let left = self.kept.iter().flat_map(|own| cx.links.addrs(*own)).filter(|a| a.proto == ADDR_PROTO);
        let left = left.filter(|a| !listed.contains(&(a.ifindex, a.addr)));
        let left = left.filter(|a| !cx.addrs.is_wanted((a.ifindex, a.addr, a.prefix))).map(AddrSpec::from);
        for spec in left.collect::<Vec<_>>() {
            cx.addrs.remove(spec);
        }
    }

    /// Whether each of its `all` addresses is on an own interface already, or was requested there: a new Master has nothing to request.
    pub(super) fn all_stay(&self, all: usize, cx: &Cx<'_>) -> bool {
        !self.kept.is_empty() && self.kept_from >= all && cx.addrs.wanted(self.key) == all
    }

    /// An own interface is up: what is on it is announced, some addresses at a time.
    pub fn on_own_up(&mut self, ifindex: u32, cx: &mut Cx<'_>) {
        if self.is_master() {
            self.risen.insert(ifindex, None);
            self.on_heard_more(cx);
        }
    }

    /// `Due::HeardMore`: the next of them.
    pub fn on_heard_more(&mut self, cx: &mut Cx<'_>) {
        if !self.is_master() {
            return self.risen.clear();
        }
        let Some((ifindex, after)) = self.risen.pop_first() else { return };
        let next = cx.addrs.of_after(self.key, ifindex, after);
        let here: Vec<AddrId> = next.take_while(|id| id.0 == ifindex).take(ANNOUNCED).collect();
        for (ifindex, addr, prefix) in &here {
            if cx.addrs.is_held((*ifindex, *addr, *prefix)) {
                self.on_address_held(*ifindex, *addr, cx);
            }
        }
        if here.len() == ANNOUNCED {
            self.risen.insert(ifindex, here.last().copied());
        }
        if !self.risen.is_empty() {
            cx.timers.set(Due::HeardMore(self.key), cx.now.mono + NEXT_TURN);
        }
    }

    // The kernel reports no change where another program has taken it up before.
    pub(super) fn on_own_found_up(&mut self, cx: &mut Cx<'_>) {
        let up: Vec<u32> = self.kept.iter().copied().filter(|own| cx.links.get(*own).is_some_and(|l| l.up)).collect();
        up.into_iter().for_each(|ifindex| self.on_own_up(ifindex, cx));
    }

    /// Whether hosts can reach an address there: not on an own interface that is down.
    pub fn is_heard(&self, ifindex: u32, links: &Links) -> bool {
        !self.kept.contains(&ifindex) || links.get(ifindex).is_some_and(|l| l.up)
    }

    /// Not Master any more: its addresses go, but for those that stay on its own interfaces, which go down.
    pub(super) fn let_addresses_go(&mut self, cx: &mut Cx<'_>) {
        cx.vmacs.raise(self.key, false, cx.links);
        if self.kept.is_empty() {
            return cx.addrs.release(self.key);
        }
        let here = |id: &AddrId| self.kept.contains(&id.0) && stays(id.1);
        let keep: BTreeSet<AddrId> = cx.addrs.of(self.key).filter(here).collect();
        cx.addrs.keep_only(self.key, &keep);
    }

    /// It does not run any more: nothing of its own interfaces is needed.
    pub(super) fn give_up_own(&mut self, cx: &mut Cx<'_>) {
        self.kept.clear();
        cx.timers.stop(Due::KeepMore(self.key));
        cx.vmacs.release(self.key);
        cx.addrs.release(self.key);
    }
}

// The VRF of the interface below; 0: none.
fn vrf_of(below: &Link, links: &Links) -> u32 {
    links.get(below.master).filter(|m| m.vrf).map_or(0, |m| m.ifindex)
}
