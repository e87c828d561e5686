//! Which addresses are filtered, and when the filter is added and removed.
//!
//! Read first: `filter/`, `mod.rs`. The filter is in force before the virtual routers have addresses, at a start and after a hand-over:
//! `pump_all` adds no address that waits for it. It is removed when the addresses are gone.

use super::*;
use crate::config::model::InstanceConfig;
use crate::event::FilterEv;
use crate::filter::settings;
use crate::snapshot::Snapshot;
use crate::wire::netlink::nft::is_link_local;

/// The addresses of one virtual router if it accepts no packets to them; link-local ones with their interface.
pub(super) fn hidden(cfg: &InstanceConfig) -> impl Iterator<Item = (IpAddr, String)> {
    let all = cfg.vips.iter().chain(&cfg.excluded).filter(|_| !cfg.accepts());
    all.map(|v| match is_link_local(&v.addr) {
        true => (v.addr, cfg.device_of(v).to_owned()),
        false => (v.addr, String::new()),
    })
}

impl World {
    // From now on this process is in charge. `before`: the snapshot of its predecessor.
    pub(super) fn begin_filter(&mut self, now: Now, before: &Snapshot) {
        let all: BTreeSet<_> = self.instances.iter().flat_map(|(_, vi)| hidden(vi.cfg())).collect();
        let settings = settings(&self.base);
        match all.is_empty() {
            true if before.filter => self.filter.clear(now.mono, settings, &mut self.timers),
            true => {}
            false => self.filter.want(now.mono, settings, all, &mut self.timers),
        }
    }

    // A reload begins: until its end there are addresses of both configurations.
    pub(super) fn filter_both(&mut self, now: Now, new: &Config) {
        let all: BTreeSet<_> = new.instances.iter().flat_map(hidden).collect();
        if !all.is_empty() || !self.filter.wanted().is_empty() {
            self.filter.change(now.mono, settings(new), all, &mut self.timers);
        }
    }

    pub(super) fn on_filter(&mut self, now: Now, event: FilterEv, fx: &mut Effects) {
        let mut notes = self.filter.on_event(now.mono, &event, &mut self.timers);
        notes.extend(self.marking.on_event(now.mono, &event, &mut self.timers));
        notes.into_iter().for_each(|n| fx.note(n));
    }

    // Stops filtering addresses that are gone.
    pub(super) fn settle_filter(&mut self, fx: &mut Effects) {
        if self.filter.settles() && !self.reloading() {
            // An own interface may have addresses that another process left.
            let own = self.vmacs.indices().flat_map(|i| self.links.addrs(i)).filter(|a| a.proto == ADDR_PROTO);
            let there = self.addrs.going().map(|id| id.1).chain(own.map(|a| a.addr));
            self.filter.settle(there, &mut self.timers);
            self.filter.pump(fx);
        }
        if self.phase == Phase::Stopping && !self.unread {
            self.end_filter(fx);
        }
    }

    // Removes the filter once no address is left.
    pub(super) fn end_filter(&mut self, fx: &mut Effects) {
        if self.addrs.going().next().is_none() {
            self.filter.release(&mut self.timers);
            self.filter.pump(fx);
        }
    }

    /// The filter in the kernel for virtual addresses, as it is wanted and as it is known to be.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }
}
