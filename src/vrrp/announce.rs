//! Gratuitous ARP and unsolicited NA: tells hosts and switches where an address lives now (RFC 9568 §6.4.1, R-113 to R-116).
//!
//! Read first: `wire/arp.rs`, `wire/ndisc.rs`. One lane per interface; an address stands in a lane at most once with a count of
//! announcements left, so the queue cannot outgrow the addresses. Every address gets its first announcement before any
//! gets its second. Leaving Master empties the lane of that virtual router at once: no announcement leaves after.

use crate::effect::{Effect, Effects};
use crate::id::VrKey;
use crate::links::Links;
use crate::time::{Duration, Instant};
use crate::timers::{Due, Timers};
use crate::wire::{arp, ndisc};
use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Frames a turn: some 3 µs each in the kernel, so a slice stays near 0.2 ms and 5,000 of them do not hold up the loop.
const SLICE: usize = 64;

/// A slice is a turn's worth: the next one must not be due in this one.
const NEXT_TURN: Duration = Duration::from_nanos(1);

// What is still to be said about one address.
#[derive(Debug, Clone, Copy)]
struct Left {
    times: u32,
    gap: Duration,
}

#[derive(Debug, Default)]
struct Lane {
    left: BTreeMap<(VrKey, IpAddr), Left>,
    // Each key of `left` once; a key that is no longer in `left` is passed over.
    order: VecDeque<(VrKey, IpAddr)>,
    // Earliest next frame, by `vrrp_garp_interval`.
    open: Instant,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Announcer {
    lanes: BTreeMap<u32, Lane>,
}

impl Announcer {
    /// Announce `addr` on `ifindex` `times` times, `gap` apart from the interface's other announcements.
    pub fn add(&mut self, vr: VrKey, ifindex: u32, addr: IpAddr, times: u32, gap: Duration) {
        if times == 0 {
            return;
        }
        let lane = self.lanes.entry(ifindex).or_default();
        let key = (vr, addr);
        match lane.left.get_mut(&key) {
            Some(left) => left.times = left.times.max(times),
            None => {
                lane.left.insert(key, Left { times, gap });
                lane.order.push_back(key);
            }
        }
    }
    /// `vr` announces nothing any more.
    pub fn cancel(&mut self, vr: VrKey) {
        self.lanes.retain(|_, lane| {
            lane.left.retain(|key, _| key.0 != vr);
            lane.order.retain(|key| key.0 != vr);
            !lane.order.is_empty()
        });
    }
    /// `vr` does not announce this address any more.
    pub fn forget(&mut self, vr: VrKey, ifindex: u32, addr: IpAddr) {
        if let Some(lane) = self.lanes.get_mut(&ifindex) {
            lane.left.remove(&(vr, addr));
        }
    }
    /// Sends what is due, one slice, and sets the timer for the rest.
    pub fn pump(&mut self, now: Instant, links: &Links, timers: &mut Timers, fx: &mut Effects) {
        let mut budget = SLICE;
        self.lanes.retain(|ifindex, lane| {
            let Some(link) = links.get(*ifindex) else { return false };
            while budget > 0
                && lane.open <= now
                && let Some(key) = lane.order.pop_front()
            {
                let Some(left) = lane.left.get_mut(&key) else { continue };
                let Some(frame) = frame(link.mac, link.noarp, key.1) else {
                    lane.left.remove(&key);
                    continue;
                };
                fx.push(Effect::Frame { ifindex: *ifindex, frame });
                budget -= 1;
                lane.open = now + left.gap;
                left.times -= 1;
                if left.times > 0 {
                    lane.order.push_back(key);
                } else {
                    lane.left.remove(&key);
                }
            }
            !lane.order.is_empty()
        });
        match self.lanes.values().map(|lane| lane.open.max(now + NEXT_TURN)).min() {
            Some(at) => timers.set(Due::GarpQueue, at),
            None => drop(timers.stop(Due::GarpQueue)),
        }
    }
    /// Whose announcements wait.
    pub fn waiting(&self) -> BTreeSet<VrKey> {
        self.lanes.values().flat_map(|lane| lane.left.keys().map(|key| key.0)).collect()
    }
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }
}

// None: an interface without ARP or without an Ethernet address has nobody to tell.
fn frame(mac: Option<[u8; 6]>, noarp: bool, addr: IpAddr) -> Option<bytes::Bytes> {
    let mac = mac?;
    match addr {
        IpAddr::V4(ip) => (!noarp).then(|| arp::gratuitous(mac, ip)),
        IpAddr::V6(ip) => Some(ndisc::unsolicited_na(mac, ip)),
    }
}
