//! `interface_up_down_delays`: an interface that goes down or comes up counts as changed only when it has stayed so for a while.
//!
//! Read first: `mod.rs`. The kernel's report is kept here, and reaches the mirror (`links.rs`) and its readers when the time is over. An
//! interface that appears or disappears counts at once.

use super::*;
use crate::event::Link;

/// The kernel's last reports of interfaces whose change does not count yet.
pub(super) type Settling = BTreeMap<u32, Link>;

impl World {
    // The link as it counts now.
    pub(super) fn debounced(&mut self, now: Now, link: Link) -> Link {
        let Some((down, up)) = self.delays_of(&link.name) else {
            self.settled(link.ifindex);
            return link;
        };
        let running = |l: &Link| l.up && l.running;
        let Some(known) = self.links.get(link.ifindex).filter(|l| l.name == link.name) else {
            self.settled(link.ifindex);
            return link;
        };
        let delay = if running(&link) { up } else { down };
        if running(known) == running(&link) || delay.is_zero() {
            self.settled(link.ifindex);
            return link;
        }
        let ifindex = link.ifindex;
        let counts = Link { up: known.up, running: known.running, ..link.clone() };
        if self.settling.insert(ifindex, link).is_none() {
            self.timers.set(Due::LinkSettled(ifindex), now.mono + delay);
        }
        counts
    }

    // The kernel's report counts, or the interface is gone.
    pub(super) fn settled(&mut self, ifindex: u32) {
        if self.settling.remove(&ifindex).is_some() {
            self.timers.stop(Due::LinkSettled(ifindex));
        }
    }

    /// [`Due::LinkSettled`]: the state of the interface has lasted, and takes effect.
    pub(super) fn on_link_settled(&mut self, now: Now, ifindex: u32, fx: &mut Effects) {
        if let Some(link) = self.settling.remove(&ifindex) {
            self.on_link(now, link, fx);
        }
    }

    // Delays before it counts as down, and as up. A Master on an interface that is down but counts as up loses its adverts, so the delay
    // is shorter than the time after which a Backup takes over.
    fn delays_of(&self, name: &str) -> Option<(Duration, Duration)> {
        let delay = self.base.link_delays.iter().find(|d| *d.interface == *name)?;
        let users = self.watchers.get(name).into_iter().flatten().filter_map(|vr| self.instances.get(*vr));
        let most = users.map(|vi| vi.cfg().advert_int * (vi.cfg().down_timer_adverts - 1).max(1)).min();
        Some((most.map_or(delay.down, |most| delay.down.min(most)), delay.up))
    }
}
