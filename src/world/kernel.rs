//! The kernel's reports and the requests to it: interfaces, addresses, dumps, left-overs.
//!
//! Read first: `mod.rs`, `links.rs`, `vrrp/address.rs`.

use super::sockets::own_addresses;
use super::*;
use crate::effect::NetFx;
use crate::event::{Doer, Link};
use crate::snapshot::Snapshot;
use crate::wire::netlink::nft::is_link_local;

/// How long after a deletion of ours the loss of other addresses of the same subnet is attributed to it. A loss is examined some
/// milliseconds after the kernel reported it.
const SWEPT: Duration = Duration::from_secs(1);
/// Most deletions that are stored for that; one for each subnet would do.
const REMEMBERED: usize = 64;

impl World {
    pub(super) fn evaluate(&mut self, now: Now, vr: VrKey, fx: &mut Effects) {
        match self.phase {
            Phase::Running => {}
            // A virtual router that continues from another process runs already.
            Phase::Cleaning if self.instances.get(vr).is_some_and(|vi| vi.state() != State::Init) => {}
            Phase::Standby => {
                self.sock_for(now, vr, fx);
                return;
            }
            _ => return,
        }
        self.want_own(vr);
        let sock = self.sock_for(now, vr, fx);
        with!(self, vr, now, fx, |vi, cx| vi.evaluate(sock, cx));
    }

    // Every user of this interface is evaluated again.
    pub(super) fn refresh(&mut self, now: Now, name: &str, new_mac: bool, fx: &mut Effects) {
        let Some(watchers) = self.watchers.get(name).cloned() else { return };
        for vr in watchers {
            self.evaluate(now, vr, fx);
            with!(self, vr, now, fx, |vi, cx| vi.on_interface(cx));
            if new_mac {
                with!(self, vr, now, fx, |vi, cx| vi.on_new_mac(cx));
            }
        }
    }

    // An interface is as the kernel says, or as it said when that began to count.
    pub(super) fn on_link(&mut self, now: Now, link: crate::event::Link, fx: &mut Effects) {
        let (name, ifindex) = (link.name.clone(), link.ifindex);
        let was = self.links.by_name(&name).map(|l| (l.ifindex, l.up, l.up && l.running));
        let (is_admin_up, is_up) = (link.up, link.up && link.running);
        let change = self.links.link_new(link);
        if let Some((old, ..)) = was
            && old != ifindex
        {
            self.settled(old);
            self.addrs.on_link_gone(old);
            self.vmacs.on_link_gone(now.mono, old, &name, &self.links, &mut self.timers);
            self.source_changed(now, None, fx);
            self.links_changed(now, &[], Some(old), fx);
        }
        if self.watchers.contains_key(&name) && self.phase != Phase::Reading {
            match was {
                None => fx.note(text::link_known(&name, true)),
                // An own interface goes up and down with its virtual router.
                Some((.., up)) if up != is_up && self.vmacs.owner(ifindex).is_none() => {
                    fx.note(text::link_state(&name, is_up));
                }
                Some(_) => {}
            }
        }
        // Not for a carrier that is lost: the kernel keeps the routes then.
        let flushed = (was.is_some_and(|(_, up, _)| up) && !is_admin_up).then_some(ifindex);
        self.links_changed(now, &change.names, flushed, fx);
        if !change.names.is_empty() {
            self.own_link_new(now, ifindex, was.is_some_and(|(_, up, _)| up), fx);
        }
        for name in &change.names {
            if self.watchers.contains_key(name) && self.links.by_name(name).is_none() {
                fx.note(text::link_known(name, false));
            }
            self.refresh(now, name, change.new_mac, fx);
        }
    }

    pub(super) fn link_gone(&mut self, now: Now, ifindex: u32, name: &str, fx: &mut Effects) {
        self.settled(ifindex);
        if self.watchers.contains_key(name) {
            fx.note(text::link_known(name, false));
        }
        self.addrs.on_link_gone(ifindex);
        self.vmacs.on_link_gone(now.mono, ifindex, name, &self.links, &mut self.timers);
        self.links_changed(now, core::slice::from_ref(&name.to_owned()), Some(ifindex), fx);
        self.refresh(now, name, false, fx);
        self.source_changed(now, None, fx);
    }

    /// Returns whether the address may have consequences.
    pub(super) fn on_addr(&mut self, now: Now, a: AddrInfo, fx: &mut Effects) -> bool {
        let (ifindex, addr, ours) = (a.ifindex, a.addr, a.proto == ADDR_PROTO);
        let id = (ifindex, addr, a.prefix);
        self.links.addr_new(a);
        self.suspend_checks(now, addr, fx);
        self.address_came_or_went(now, id, false);
        // An address that a kalived added changes no source; 500 of them are added and deleted in a takeover.
        let matters = !ours && !self.vips.contains(&addr);
        if matters {
            self.addresses_changed(now, ifindex, fx);
            self.source_changed(now, Some(addr), fx);
        }
        matters
    }

    pub(super) fn on_addr_gone(&mut self, now: Now, id: AddrId, by: Doer, fx: &mut Effects) {
        // An address that a reload removed from `vips` is deleted only later.
        let ours = self.links.addr(id).is_some_and(|a| a.proto == ADDR_PROTO);
        if ours && id.1.is_ipv4() && (!self.addrs.is_wanted(id) || self.addrs.is_busy(id)) {
            self.removed.truncate(REMEMBERED - 1);
            self.removed.push_front((now.mono, id));
        }
        if self.links.addr_del(id) {
            self.addrs.on_deleted(now.mono, id, by, &mut self.timers);
            self.suspend_checks(now, id.1, fx);
            self.address_came_or_went(now, id, true);
            if !ours && !self.vips.contains(&id.1) {
                self.addresses_changed(now, id.0, fx);
                self.source_changed(now, Some(id.1), fx);
            }
        }
    }

    // An address was added or deleted, or (`None`) any may have been deleted with an interface: routers with a configured source, on
    // whatever interface, are evaluated again.
    pub(super) fn source_changed(&mut self, now: Now, addr: Option<IpAddr>, fx: &mut Effects) {
        if self.phase == Phase::Reading {
            return;
        }
        let given =
            |vi: &Instance| vi.cfg().source().filter(|_| vi.cfg().peers().is_some() || vi.cfg().more.track_src_ip);
        let concerned = |vi: &Instance| given(vi).is_some_and(|source| addr.is_none_or(|a| a == source));
        let all: Vec<VrKey> = self.instances.iter().filter(|(_, vi)| concerned(vi)).map(|(vr, _)| vr).collect();
        for vr in all {
            self.evaluate(now, vr, fx);
        }
    }

    // Which of our deletions removed this address too: with the first address of a subnet the kernel deletes all others of it, unless
    // `promote_secondaries` is set.
    pub(super) fn swept(&self, now: Instant, (ifindex, addr, prefix): AddrId) -> Option<IpAddr> {
        let IpAddr::V4(addr) = addr else { return None };
        let subnet = |a: Ipv4Addr| u32::from(a).checked_shr(32 - u32::from(prefix.min(32))).unwrap_or(0);
        let found = self.removed.iter().find(|(at, id)| {
            let same = matches!(id.1, IpAddr::V4(a) if subnet(a) == subnet(addr));
            same && (id.0, id.2) == (ifindex, prefix) && now.since(*at) <= SWEPT
        });
        found.map(|(_, id)| id.1)
    }

    // The own addresses of an interface changed: routers that receive and send there are evaluated again.
    pub(super) fn addresses_changed(&mut self, now: Now, ifindex: u32, fx: &mut Effects) {
        let own = own_addresses(&self.links, ifindex, &self.vips);
        for key in self.socks.keys() {
            let here = |s: &&mut Sock| !s.spec.is_unicast() && s.spec.ifindex() == Some(ifindex);
            if let Some(sock) = self.socks.get_mut(key).filter(here) {
                sock.own.clone_from(&own);
            }
        }
        if let Some(name) = self.links.get(ifindex).map(|l| l.name.clone())
            && let Some(watchers) = self.watchers.get(&name).cloned()
        {
            for vr in watchers {
                self.evaluate(now, vr, fx);
            }
        }
    }

    pub(super) fn on_outcome(&mut self, now: Now, outcome: Outcome, fx: &mut Effects) {
        match outcome {
            Outcome::Held { owner: vr, key: id } => {
                with!(self, vr, now, fx, |vi, cx| vi.on_address_held(id.0, id.1, cx));
            }
            Outcome::Refused { owner: vr, key: id, errno } => {
                let dev = self.dev(id.0);
                self.announcer.refused(id.0, id.1);
                let name = self.instances.get(vr).map_or("static_ipaddress", |vi| &vi.cfg().name);
                fx.note(text::address_refused(name, id.1, id.2, &dev, errno));
            }
            Outcome::Gone { .. } => {}
            Outcome::Stuck { key: id, errno } => fx.note(text::address_stuck(id.1, id.2, &self.dev(id.0), errno)),
        }
    }

    pub(super) fn dev(&self, ifindex: u32) -> String {
        self.links.get(ifindex).map_or_else(|| format!("interface {ifindex}"), |l| l.name.clone())
    }

    pub(super) fn on_netlink_lost(&mut self, fx: &mut Effects) {
        if self.dumping {
            // The content of the running dump may be older than the lost messages: one more dump follows.
            self.dump_again = true;
        } else {
            fx.note(text::netlink_lost());
            self.resync(fx);
        }
    }

    pub(super) fn resync(&mut self, fx: &mut Effects) {
        if !self.dumping {
            self.dumping = true;
            fx.push(Effect::Net(NetFx::Resync));
        }
    }

    pub(super) fn on_synced(&mut self, now: Now, complete: bool, fx: &mut Effects) {
        self.dumping = false;
        if !complete {
            if self.dumps_failed == 0 {
                fx.note(text::resync_failed());
            }
            let wait = Duration::from_millis(20) * 2u32.saturating_pow(self.dumps_failed.min(6));
            self.dumps_failed += 1;
            self.timers.set(Due::Resync, now.mono + wait.min(RETRY));
            return;
        }
        self.dumps_failed = 0;
        for (ifindex, name) in self.links.sweep() {
            self.link_gone(now, ifindex, &name, fx);
        }
        self.routes.synced(now.mono, &mut self.timers);
        self.rules.synced(now.mono, &mut self.timers);
        self.vmacs.synced(&self.links, &mut self.timers);
        if core::mem::take(&mut self.dump_again) {
            self.resync(fx);
        }
        match self.phase {
            Phase::Stopping if self.unread => self.remove_inherited(now, fx),
            Phase::Reading if self.standby.is_some() => {
                self.phase = Phase::Standby;
                for vr in self.instances.keys() {
                    self.evaluate(now, vr, fx);
                }
            }
            Phase::Reading => {
                self.phase = Phase::Cleaning;
                self.begin_own(now, &Snapshot::default());
                self.remove_leftovers(fx);
                self.remove_strays(fx);
                self.name_strangers(fx);
                self.begin_filter(now, &Snapshot::default());
                self.begin_routes(now, fx);
                self.end_routes(&Snapshot::default(), fx);
                self.hold_back(now, None, fx);
            }
            Phase::Running => {
                for (vr, id) in self.addrs.reconcile(&self.links) {
                    with!(self, vr, now, fx, |vi, cx| vi.on_address_held(id.0, id.1, cx));
                }
                // An addition whose answer was lost, and whose address was given up meanwhile, left an address without an entry.
                self.remove_leftovers(fx);
                for vr in self.instances.keys() {
                    self.evaluate(now, vr, fx);
                }
            }
            Phase::Standby | Phase::Cleaning | Phase::Frozen | Phase::Stopping | Phase::Gone => {}
        }
    }

    // `vrrp_startup_delay` counts from now, `vrrp_delay_after_boot` from the boot, as the monotonic clock does; the later end counts.
    // `before`: the process before had begun to wait until then.
    pub(super) fn hold_back(&mut self, now: Now, before: Option<Instant>, fx: &mut Effects) {
        let more = &self.base.global.more;
        let until = (now.mono + more.vrrp_startup_delay).max(Instant::default() + more.vrrp_delay_after_boot);
        let until = before.map_or(until, |at| at.min(until));
        if until > now.mono {
            fx.note(text::held_back(until.since(now.mono)));
            self.begins = Some(until);
            // `wait_for_local_igmp` is asked again then.
            self.timers.set(Due::Startup, until);
            self.written.marks_changed = true;
        }
    }

    // Deletes every configured VIP that is on its interface although no virtual router is Master yet. An owner's are its own,
    // unless their tag shows that a kalived added them; the tag also identifies one whose prefix length was changed in the file.
    pub(super) fn remove_leftovers(&mut self, fx: &mut Effects) {
        let n = self.instances.keys().into_iter().map(|vr| self.leftovers_of(vr)).sum();
        if n > 0 {
            fx.note(text::leftovers(n));
        }
    }

    // The number of left-overs of one virtual router that are being deleted.
    pub(super) fn leftovers_of(&mut self, vr: VrKey) -> usize {
        let Some(vi) = self.instances.get(vr) else { return 0 };
        let owner = vi.cfg().priority == 255;
        let own = vi.own_indices(&self.links);
        let mut n = 0;
        for spec in vi.specs(&self.links) {
            // What stays on an own interface is taken over as it is.
            if own.contains(&spec.ifindex) && crate::vrrp::instance::stays(spec.addr) {
                continue;
            }
            for a in self.links.at(spec.ifindex, spec.addr) {
                if a.proto == ADDR_PROTO || (!owner && a.prefix == spec.prefix) {
                    n += usize::from(self.addrs.remove(AddrSpec { prefix: a.prefix, ..spec.clone() }));
                }
            }
        }
        n
    }

    // Removes what a killed kalived left in other places, because the file was changed since: a virtual address of the file on another
    // interface, and the interface with the virtual MAC address of a virtual router that has none any more. An address that two hosts have
    // is worse than one that another kalived here puts back. A link-local address may be on several interfaces.
    pub(super) fn remove_strays(&mut self, fx: &mut Effects) {
        let mut places: BTreeSet<(u32, IpAddr)> = BTreeSet::new();
        let mut addrs: BTreeSet<IpAddr> = BTreeSet::new();
        let (mut names, mut macs) = (BTreeSet::new(), BTreeSet::new());
        for (_, vi) in self.instances.iter() {
            places.extend(vi.specs(&self.links).map(|s| (s.ifindex, s.addr)));
            addrs.extend(vi.vips().map(|v| v.addr).filter(|a| !is_link_local(a)));
            names.extend(vi.own_wishes(&self.links).into_iter().map(|w| w.link.name));
            macs.extend(self.links.by_name(&vi.cfg().interface).map(|l| (l.ifindex, vi.cfg().virtual_mac())));
        }
        let strays: Vec<AddrSpec> = (self.links.all_addrs())
            .filter(|a| a.proto == ADDR_PROTO && addrs.contains(&a.addr) && !places.contains(&(a.ifindex, a.addr)))
            .map(AddrSpec::from)
            .collect();
        let n = strays.into_iter().filter(|s| self.addrs.remove(s.clone())).count();
        if n > 0 {
            fx.note(text::leftovers(n));
        }
        let ours =
            |l: &&Link| l.ours && l.upon.zip(l.mac).is_some_and(|(upon, mac)| macs.contains(&(upon.parent, mac)));
        let left: Vec<(String, u32)> = self
            .links
            .all()
            .filter(ours)
            .filter(|l| !names.contains(&l.name))
            .map(|l| (l.name.clone(), l.ifindex))
            .collect();
        let n = self.vmacs.drop_others(&left, &self.links);
        if n > 0 {
            fx.note(crate::vmac::text::dropped(n));
        }
    }

    // Addresses of a killed kalived that the file does not have any more. They may as well belong to another kalived that runs here, so
    // they stay; but an address that two hosts may hold is logged.
    pub(super) fn name_strangers(&self, fx: &mut Effects) {
        let ours: BTreeSet<(u32, IpAddr)> =
            (self.instances.iter()).flat_map(|(_, vi)| vi.specs(&self.links).map(|s| (s.ifindex, s.addr))).collect();
        let going: BTreeSet<AddrId> = self.addrs.going().collect();
        let names: Vec<String> = (self.links.all_addrs())
            .filter(|a| a.proto == ADDR_PROTO && !ours.contains(&(a.ifindex, a.addr)))
            .filter(|a| !going.contains(&(a.ifindex, a.addr, a.prefix)))
            .map(|a| format!("{}/{} on {}", a.addr, a.prefix, self.dev(a.ifindex)))
            .collect();
        if !names.is_empty() {
            fx.note(text::strangers(&names));
        }
    }
}
