//! The own interface of a virtual router (`use_vmac`, `use_ipvlan`): its wanted state, and the addresses that stay on it.
//!
//! Read first: `mod.rs`, `vmac/`. It has all addresses whose line names no other interface. They stay while it is down, except
//! link-local ones, which the kernel removes then.

use super::{Cx, Instance};
use crate::config::model::Family;
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
/// Metric of the prefix routes of an own interface: worse than the kernel's for the interface below, so that this host's other traffic
/// keeps using that one whether the virtual router is Master or not.
pub(super) const METRIC: u32 = 1024;

/// Whether an address stays on an interface that goes down.
pub(super) fn stays(addr: IpAddr) -> bool {
    !matches!(addr, IpAddr::V6(a) if a.is_unicast_link_local())
}

impl Instance {
    /// Its own interface as wanted; `None`: it has none, or the one below is not there.
    pub fn own_wish(&self, links: &Links) -> Option<Wish> {
        let (own, name) = self.cfg.own()?;
        let below = links.by_name(&self.cfg.interface)?;
        let parent = below.ifindex;
        // In the VRF of the interface below.
        let master = links.get(below.master).filter(|m| m.vrf).map_or(0, |m| m.ifindex);
        let upon = match own.ipvlan {
            false => Upon { kind: UponKind::Macvlan, mode: Upon::MACVLAN_VEPA, parent },
            true => Upon { kind: UponKind::Ipvlan, mode: own.ipvlan_flags(), parent },
        };
        let mac = (!own.ipvlan).then(|| own.mac.unwrap_or_else(|| self.cfg.virtual_mac()));
        let group = own.group.as_deref().and_then(|g| g.parse().ok()).unwrap_or(0);
        let here = || self.vips().filter(|v| v.dev.is_none());
        let families = (here().any(|v| v.addr.is_ipv4()), here().any(|v| v.addr.is_ipv6()));
        // Without an address only the family of the adverts is needed.
        let families = if families == (false, false) {
            (self.cfg.family == Family::V4, self.cfg.family == Family::V6)
        } else {
            families
        };
        Some(Wish { link: OwnLink { name: name.to_owned(), upon, mac, group, master }, families })
    }

    /// Whether this is an address that stays on its own interface while that is down.
    pub fn stays_here(&self, spec: &AddrSpec, links: &Links) -> bool {
        let own = self.cfg.own().and_then(|_| self.default_link(links));
        own.is_some_and(|l| l.ifindex == spec.ifindex) && stays(spec.addr)
    }

    /// The interface of addresses whose line names none.
    pub(super) fn default_link<'a>(&self, links: &'a Links) -> Option<&'a Link> {
        match self.own_wish(links) {
            Some(wish) => links.by_name(&wish.link.name).filter(|l| wish.link.is(l)),
            None if self.cfg.own().is_some() => None,
            None => links.by_name(&self.cfg.interface),
        }
    }

    /// Its own interface may have come or gone: addresses are put on it, or are forgotten with it.
    pub(super) fn look_at_own(&mut self, cx: &mut Cx<'_>) {
        match cx.vmacs.status(self.key) {
            Status::Ready(ifindex) if self.kept.is_none_or(|(kept, _)| kept != ifindex) => {
                self.forget_own(cx);
                self.kept = Some((ifindex, 0));
                cx.timers.set(Due::KeepMore(self.key), cx.now.mono);
                cx.vmacs.raise(self.key, self.is_master(), cx.links);
            }
            Status::Ready(_) => {}
            // The same interface, whose sysctls are set anew: its addresses stay.
            Status::Waiting if self.kept.is_some_and(|(own, _)| cx.vmacs.owner(own) == Some(self.key)) => {}
            Status::None | Status::Waiting | Status::Refused(_) => self.forget_own(cx),
        }
    }

    // The interface that had its addresses is gone. A Master's addresses follow from its state.
    fn forget_own(&mut self, cx: &mut Cx<'_>) {
        if self.kept.take().is_some() {
            cx.timers.stop(Due::KeepMore(self.key));
            if !self.is_master() {
                cx.addrs.release(self.key);
            }
        }
    }

    /// `Due::KeepMore`: the next of the addresses that stay.
    pub fn on_keep_more(&mut self, cx: &mut Cx<'_>) {
        let Some((ifindex, from)) = self.kept else { return };
        let (owner, master) = (self.owner(), self.is_master());
        let some: Vec<_> = self.vips().skip(from).take(CHUNK).filter_map(|v| self.spec(v, cx.links)).collect();
        for spec in some.into_iter().filter(|s| s.ifindex == ifindex && (master || stays(s.addr))) {
            if !cx.addrs.is_wanted((spec.ifindex, spec.addr, spec.prefix)) {
                cx.addrs.adopt(self.key, spec, owner, cx.links);
            }
        }
        self.kept = Some((ifindex, from + CHUNK));
        if from + CHUNK < self.vips().count() {
            cx.timers.set(Due::KeepMore(self.key), cx.now.mono + PAUSE);
        } else {
            self.drop_left(ifindex, cx);
        }
    }

    // The interface was made for this virtual router. An address on it with kalived's tag that is not in the configuration is from an
    // earlier configuration, whose removal another process may not have finished.
    fn drop_left(&mut self, ifindex: u32, cx: &mut Cx<'_>) {
        let left = cx.links.addrs(ifindex).filter(|a| a.proto == ADDR_PROTO);
        let listed: BTreeSet<IpAddr> = self.vips().map(|v| v.addr).collect();
        let left = left.filter(|a| !listed.contains(&a.addr) && !cx.addrs.is_wanted((ifindex, a.addr, a.prefix)));
        let left = left.map(AddrSpec::from);
        for spec in left.collect::<Vec<_>>() {
            cx.addrs.remove(spec);
        }
    }

    /// Its own interface is up: what is on it is announced.
    pub fn on_own_up(&mut self, ifindex: u32, cx: &mut Cx<'_>) {
        let here: Vec<AddrId> = cx.addrs.held(self.key).filter(|id| id.0 == ifindex).collect();
        for (ifindex, addr, _) in here {
            self.on_address_held(ifindex, addr, cx);
        }
    }

    // The kernel reports no change where another program has taken it up before.
    pub(super) fn on_own_found_up(&mut self, cx: &mut Cx<'_>) {
        if let Some((ifindex, _)) = self.kept.filter(|(own, _)| cx.links.get(*own).is_some_and(|l| l.up)) {
            self.on_own_up(ifindex, cx);
        }
    }

    /// Whether hosts can reach an address there: not on an own interface that is down.
    pub fn is_heard(&self, ifindex: u32, links: &Links) -> bool {
        self.kept.is_none_or(|(own, _)| own != ifindex) || links.get(ifindex).is_some_and(|l| l.up)
    }

    /// Not Master any more: its addresses go, but for those that stay on its own interface, which goes down.
    pub(super) fn let_addresses_go(&mut self, cx: &mut Cx<'_>) {
        cx.vmacs.raise(self.key, false, cx.links);
        let Some((own, _)) = self.kept else { return cx.addrs.release(self.key) };
        let keep: BTreeSet<AddrId> = cx.addrs.of(self.key).filter(|id| id.0 == own && stays(id.1)).collect();
        cx.addrs.keep_only(self.key, &keep);
    }

    /// It does not run any more: nothing of its own interface is needed.
    pub(super) fn give_up_own(&mut self, cx: &mut Cx<'_>) {
        self.kept = None;
        cx.timers.stop(Due::KeepMore(self.key));
        cx.vmacs.release(self.key);
        cx.addrs.release(self.key);
    }
}
