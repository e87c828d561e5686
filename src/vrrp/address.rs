//! Virtual addresses: one kind of item that the reconciler keeps in the kernel.
//!
//! Read first: `reconcile/`, `effect.rs` (`NetOp`), `links.rs` (the kernel's reports). An address is announced only after the kernel
//! confirmed it, so [`Addresses::on_reply`] returns the confirmed address and its owner.

use crate::effect::{AddrSpec, Effect, Effects, NetFx, NetOp};
use crate::event::{Doer, Errno, ReqId};
use crate::filter::Filter;
use crate::id::VrKey;
use crate::links::{AddrId, Links};
use crate::reconcile::{self, Ask, Item, Loss, Reconciler};
use crate::time::Instant;
use crate::timers::{Due, Timers};
use core::net::{IpAddr, Ipv4Addr};
use core::ops::Bound;
use std::collections::BTreeSet;

/// The owner of the addresses of `static_ipaddress`.
pub const FILE: VrKey = VrKey::NOBODY;

impl Item for AddrSpec {
    type Owner = VrKey;
    const SERIES: u8 = 0;
    // The kernel changes neither label nor flags of an existing address.
    const IN_PLACE: bool = false;
    fn is_there(errno: Errno) -> bool {
        errno == Errno::EEXIST
    }
    fn is_gone(errno: Errno) -> bool {
        matches!(errno, Errno::EADDRNOTAVAIL | Errno::ENODEV | Errno::ENXIO)
    }
}

/// Outcome of a request that is to be handled; never [`reconcile::Outcome::Gone`].
pub type Outcome = reconcile::Outcome<AddrId, VrKey>;

/// All virtual addresses, wanted and held, and the requests for them. The world has one for all virtual routers.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Addresses(Reconciler<AddrId, AddrSpec>);

fn id_of(spec: &AddrSpec) -> AddrId {
    (spec.ifindex, spec.addr, spec.prefix)
}

// The mirror does not contain an address's settings: an existing address is taken for the requested one.
fn mirror(links: &Links) -> impl Fn(AddrId, &AddrSpec) -> Vec<AddrSpec> {
    |id, spec| if links.has(id) { vec![spec.clone()] } else { Vec::new() }
}

impl Addresses {
    /// `vr` wants this address. Already held: `Some(id)`, announce it at once. `owner`: an address that exists already is the operator's
    /// and is never deleted.
    pub fn want(&mut self, vr: VrKey, spec: AddrSpec, owner: bool, links: &Links) -> Option<AddrId> {
        let id = id_of(&spec);
        // The router is no longer the address owner: the operator's address is a virtual address like any other now.
        let theirs = owner && (self.0.knows(id) || links.has(id));
        self.0.want(vr, id, spec, theirs).then_some(id)
    }
    /// As [`Addresses::want`] for a virtual router that was Master in another process: an existing address counts as held, whichever
    /// process added it. With `owner`, an address without our tag is the operator's.
    pub fn adopt(&mut self, vr: VrKey, spec: AddrSpec, owner: bool, links: &Links) -> Option<AddrId> {
        let id = id_of(&spec);
        match links.addr(id) {
            Some(a) if !self.0.knows(id) => {
                let theirs = owner && a.proto != spec.tag;
                self.0.adopt(vr, id, spec.clone(), spec, theirs);
                Some(id)
            }
            _ => self.want(vr, spec, owner, links),
        }
    }
    /// The wanted addresses with their owner, and whether each is held; without the operator's.
    pub fn own(&self) -> impl Iterator<Item = (VrKey, AddrId, bool)> {
        self.0.own()
    }
    /// Addresses of ours without an owner that may still be in the kernel: if this process dies, the next one has to delete them.
    pub fn going(&self) -> impl Iterator<Item = AddrId> {
        self.0.going()
    }
    /// A number that changes whenever [`Addresses::own`] or [`Addresses::going`] has other addresses.
    pub fn changes(&self) -> u64 {
        self.0.changes()
    }
    /// `vr` gives up all its addresses.
    pub fn release(&mut self, vr: VrKey) {
        self.0.release(vr);
    }
    /// `vr` gives up all its addresses except these; returns the others.
    pub fn keep_only(&mut self, vr: VrKey, keep: &BTreeSet<AddrId>) -> Vec<AddrId> {
        self.0.keep_only(vr, keep)
    }
    /// From now on nothing is deleted, until [`Addresses::let_go`].
    pub fn hold(&mut self) {
        self.0.hold();
    }
    /// Addresses that still have no owner may be deleted.
    pub fn let_go(&mut self) {
        self.0.let_go();
    }
    /// Requests nothing more: another process takes over ([`Reconciler::freeze`]).
    pub fn freeze(&mut self) {
        self.0.freeze();
    }
    /// Deletes a left-over of a killed daemon. `false`: the address is known here, and not a left-over.
    pub fn remove(&mut self, spec: AddrSpec) -> bool {
        self.0.remove(id_of(&spec), spec)
    }
    /// Whether nothing is queued, in flight or waiting for another try to delete.
    pub fn idle(&self) -> bool {
        self.0.idle()
    }
    /// Whether no request is in flight or queued; later tries do not count.
    pub fn quiet(&self) -> bool {
        self.0.quiet()
    }
    /// Addresses held for `vr`.
    pub fn held(&self, vr: VrKey) -> impl Iterator<Item = AddrId> {
        self.0.held(vr)
    }
    /// The sizes of all tables: for tests that no entry is left behind.
    pub fn sizes(&self) -> impl Iterator<Item = usize> {
        self.0.sizes().into_iter()
    }
    /// The addresses that `vr` wants.
    pub fn of(&self, vr: VrKey) -> impl Iterator<Item = AddrId> {
        self.0.of(vr)
    }
    /// Those of them that come after `after`, or with the first address of that interface.
    pub fn of_after(&self, vr: VrKey, ifindex: u32, after: Option<AddrId>) -> impl Iterator<Item = AddrId> {
        let first = Bound::Included((ifindex, IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0));
        self.0.of_from(vr, after.map_or(first, Bound::Excluded))
    }
    /// Whether the kernel has the address.
    pub fn is_held(&self, id: AddrId) -> bool {
        self.0.held_as(id).is_some()
    }
    /// How many addresses `vr` wants.
    pub fn wanted(&self, vr: VrKey) -> usize {
        self.0.wanted(vr)
    }
    /// Whether a request for the address is in flight.
    pub fn is_busy(&self, id: AddrId) -> bool {
        self.0.is_busy(id)
    }
    /// Whether the address has an owner.
    pub fn is_wanted(&self, id: AddrId) -> bool {
        self.0.is_wanted(id)
    }

    /// The kernel reported a deletion.
    pub fn on_deleted(&mut self, now: Instant, id: AddrId, by: Doer, timers: &mut Timers) {
        self.0.doubt(now, id, by);
        self.rearm(timers);
    }
    /// The interface was removed with its addresses. Their owners request them again when the interface is back.
    pub fn on_link_gone(&mut self, ifindex: u32) {
        let first = (ifindex, IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        match ifindex.checked_add(1) {
            Some(next) => self.0.vanished(first..(next, first.1, 0)),
            None => self.0.vanished(first..),
        }
    }
    /// After a complete dump: adds again what is wanted and missing. Returns the addresses that are in the kernel although their addition
    /// counted as failed: announce them.
    pub fn reconcile(&mut self, links: &Links) -> Vec<(VrKey, AddrId)> {
        self.0.compare(mirror(links))
    }
    /// `Due::AddrRetry`: runs tries and checks that are due. Returns the addresses that were missing (deleted by another process).
    pub fn on_retry(&mut self, now: Instant, links: &Links, timers: &mut Timers) -> Vec<Loss<AddrId, VrKey>> {
        let lost = self.0.due(now, mirror(links));
        self.rearm(timers);
        lost
    }
    /// The kernel answered.
    pub fn on_reply(
        &mut self,
        now: Instant,
        req: ReqId,
        result: Result<(), Errno>,
        timers: &mut Timers,
    ) -> Option<Outcome> {
        let outcome = self.0.answer(now, req, result);
        self.rearm(timers);
        match outcome {
            Some(Outcome::Gone { key }) => {
                self.same_under_another_prefix(key);
                None
            }
            other => other,
        }
    }
    /// What waited for the filter may be added now.
    pub fn admit(&mut self) {
        self.0.admit();
    }
    /// Emits requests, so many as may be under way; an address that waits for the `filter` is not added yet.
    pub fn pump(&mut self, filter: &Filter, fx: &mut Effects) {
        self.0.ask_allowed(
            |id, _| !filter.awaits(&id.1),
            |req, _, ask| {
                let op = match ask {
                    Ask::Add(spec) => NetOp::AddrAdd(spec.clone()),
                    Ask::Del(spec) | Ask::Change(spec, _) => NetOp::AddrDel(spec.clone()),
                };
                fx.push(Effect::Net(NetFx::Change { req, op }));
            },
        );
    }

    // An IPv6 address has one prefix length on an interface: adding it with a second one is accepted without effect, and deleting it with
    // the prefix length that the kernel has removes the address.
    fn same_under_another_prefix(&mut self, gone: AddrId) {
        if gone.1.is_ipv6() {
            let all = (gone.0, gone.1, 0)..=(gone.0, gone.1, u8::MAX);
            let twins: Vec<AddrId> = self.0.keys(all).filter(|id| *id != gone && self.0.is_wanted(*id)).collect();
            twins.into_iter().for_each(|id| self.0.absent(id));
        }
    }
    fn rearm(&self, timers: &mut Timers) {
        timers.follow(Due::AddrRetry, self.0.next_due());
    }
}
