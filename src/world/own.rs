//! Own interfaces of virtual routers (`use_vmac`, `use_ipvlan`): reports of the kernel and the helper go to
//! [`Vmacs`](crate::vmac::Vmacs), and the consequences to the virtual routers.
//!
//! Read first: `mod.rs`, `vmac/`, `vrrp/instance/own.rs`.

use super::*;
use crate::knob::Knob;
use crate::snapshot::{BelowShot, OwnShot, Snapshot};
use crate::vmac;

// How long virtual routers wait at a start until the helper has set the sysctl of `disable_local_igmp`: it takes milliseconds, and a
// helper that hangs must not prevent an election. Then reports are sent.
const SILENCE: Duration = Duration::from_secs(1);
// From closing a socket until the kernel has left its group: the receive that holds the socket is cancelled, which takes one turn.
const GROUPS_LEFT: Duration = Duration::from_millis(10);

// The kernel decides when a group is joined or left whether it reports that: it joins after the sysctl of `disable_local_igmp` was set, and
// leaves before the sysctl is put back.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct LocalIgmp {
    // At a start: the virtual routers wait no longer.
    silent_by: Option<Instant>,
    // At the end: all groups are left.
    left_by: Option<Instant>,
}

impl World {
    // Whether virtual routers wait for the sysctl.
    pub(super) fn local_igmp_is_on(&self, now: Now) -> bool {
        self.local_igmp.silent_by.is_some_and(|at| now.mono < at) && self.vmacs.waits_for_host()
    }

    pub(super) fn wait_for_local_igmp(&mut self, now: Now) {
        if let Some(at) = self.local_igmp.silent_by
            && self.local_igmp_is_on(now)
        {
            self.timers.set(Due::Startup, at);
        }
    }

    // At the end, after the addresses are removed: leaves the groups, then puts the sysctl back.
    pub(super) fn local_igmp_is_back(&mut self, now: Now, fx: &mut Effects) -> bool {
        if !self.vmacs.has_host() {
            return true;
        }
        // The last adverts leave by the sockets.
        if !self.leaving && self.parting() {
            return false;
        }
        match self.local_igmp.left_by {
            None => {
                self.instances.keys().into_iter().for_each(|vr| self.leave_sock(vr, fx));
                self.local_igmp.left_by = Some(now.mono + GROUPS_LEFT);
                self.timers.set(Due::Startup, now.mono + GROUPS_LEFT);
            }
            Some(at) if at <= now.mono => self.vmacs.release_host(),
            Some(_) => {}
        }
        false
    }

    // The first dump is there, and no other process is in charge.
    pub(super) fn begin_own(&mut self, now: Now, before: &Snapshot) {
        self.inherit_own(before);
        if self.base.global.more.disable_local_igmp {
            self.vmacs.silence_local_igmp(&self.links);
            // A process that continues from another one is a member of its groups already.
            if self.phase == Phase::Cleaning && before.below.is_empty() {
                self.local_igmp.silent_by = Some(now.mono + SILENCE);
                self.wait_for_local_igmp(now);
            }
        }
        for vr in self.instances.keys() {
            self.want_own(vr);
        }
    }

    pub(super) fn inherit_own(&mut self, before: &Snapshot) {
        let below = before.below.iter().map(|b| (b.ifindex, b.before.clone()));
        self.vmacs.inherit(below, before.own.iter().map(|o| &*o.name));
    }

    // Every virtual router that continues has requested its interface by now: all others that another process made are deleted.
    pub(super) fn end_own(&mut self, before: &Snapshot, fx: &mut Effects) {
        let made: Vec<(String, u32)> = before.own.iter().map(|o| (o.name.clone(), o.ifindex)).collect();
        let n = self.vmacs.drop_others(&made, &self.links);
        if n > 0 {
            fx.note(vmac::text::dropped(n));
        }
    }

    // Requests the interface that follows from the configuration and the interface below.
    pub(super) fn want_own(&mut self, vr: VrKey) {
        if !matches!(self.phase, Phase::Cleaning | Phase::Running) {
            return;
        }
        let Some(vi) = self.instances.get(vr) else { return };
        // One whose interface below is gone went with it.
        self.vmacs.want(vr, vi.own_wishes(&self.links), &self.links);
        self.vmacs.promote(vr, &vi.promoted(&self.links), &self.links);
    }

    pub(super) fn own_link_new(&mut self, now: Now, ifindex: u32, was_up: bool, fx: &mut Effects) {
        if self.vmacs.is_empty() {
            return;
        }
        let Some(link) = self.links.get(ifindex).cloned() else { return };
        self.vmacs.on_link(now.mono, &link, &self.links, &mut self.timers);
        if link.up == was_up {
            return;
        }
        let here: Vec<IpAddr> = self.links.addrs(ifindex).map(|a| a.addr).collect();
        for addr in here {
            self.suspend_checks(now, addr, fx);
        }
        if link.up
            && let Some(vr) = self.vmacs.owner(ifindex)
        {
            with!(self, vr, now, fx, |vi, cx| vi.on_own_up(ifindex, cx));
        }
    }

    pub(super) fn own_reply(
        &mut self,
        now: Now,
        req: crate::event::ReqId,
        result: Result<(), Errno>,
        fx: &mut Effects,
    ) {
        let (whom, note) = self.vmacs.on_reply(now.mono, req, result, &self.links, &mut self.timers);
        note.into_iter().for_each(|n| fx.note(n));
        if let Some(vr) = whom {
            self.evaluate(now, vr, fx);
        }
    }

    pub(super) fn own_knobs(
        &mut self,
        now: Now,
        job: u64,
        before: &[(Knob, u32)],
        failed: Option<(Knob, Errno)>,
        fx: &mut Effects,
    ) {
        let (users, note) = self.vmacs.on_knobs(job, before, failed, &self.links);
        note.into_iter().for_each(|n| fx.note(n));
        for vr in users {
            self.evaluate(now, vr, fx);
        }
    }

    pub(super) fn own_due(&mut self, now: Now, fx: &mut Effects) {
        let notes = self.vmacs.on_due(now.mono, &self.links, &mut self.timers);
        notes.into_iter().for_each(|n| fx.note(n));
    }

    // The part of the snapshot.
    pub(super) fn own_shots(&self) -> (Vec<OwnShot>, Vec<BelowShot>) {
        let own = self.vmacs.made().into_iter().map(|name| {
            // 0: it was requested, and no report of it has come.
            let ifindex = self.links.by_name(&name).map_or(0, |l| l.ifindex);
            OwnShot { name, ifindex }
        });
        let below = self.vmacs.before().map(|(ifindex, before)| BelowShot { ifindex, before: before.to_vec() });
        (own.collect(), below.collect())
    }

    // The addresses that hosts can reach here: not those that stay on an own interface that is down.
    pub(super) fn holds<'a>(&'a self, vr: VrKey, vi: &'a Instance) -> impl Iterator<Item = AddrId> + 'a {
        self.addrs.held(vr).filter(|id| vi.is_heard(id.0, &self.links))
    }

    /// How often another program deleted an own interface, or took one up or down.
    pub fn own_restored(&self) -> u64 {
        self.vmacs.restored()
    }
}
