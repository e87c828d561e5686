//! Gratuitous ARP and unsolicited NA, by which hosts and switches learn the new place of an address (RFC 9568 §6.4.1, R-113 to R-116).
//!
//! Read first: `wire/arp.rs`, `wire/ndisc.rs`; `daemon/frames.rs` sends the frames. One lane per interface. An address is in a lane at
//! most once, with a count of outstanding announcements, so the number of addresses limits a lane.
//!
//! - **Every address once before any twice.** An address that was not announced yet precedes those that were; and as long as the kernel
//!   still adds addresses on the interface ([`Announcer::expect`]), none is announced a second time.
//! - **Paced by completion.** One slice is in flight per interface; the next follows when [`Announcer::on_sent`] reports it. After
//!   `BURST` frames the lane pauses: on a single processor the receiving end of a veth pair, a bridge or a container runs only while
//!   this loop sleeps, and frames that it cannot take are dropped without an error.
//! - **No frame is lost.** A frame that was not sent (a full queue, an interface that is down) keeps its place and is tried again, with
//!   growing pauses, until it has left.
//! - **No announcement after the state Master.** Leaving Master ends every announcement of that virtual router at once.

use crate::effect::{Effect, Effects};
use crate::event::{Errno, Link};
use crate::id::VrKey;
use crate::links::Links;
use crate::time::{Duration, Instant, earliest};
use crate::timers::{Due, Timers};
use crate::wire::{arp, ndisc};
use bytes::Bytes;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Frames of a slice. A frame takes the kernel 3 to 6 µs, and up to 15 µs where a bridge and a capture run on the same processor: a slice
/// delays an armed advert by at most about 0.2 ms.
pub const SLICE: usize = 16;
/// Frames in full slices, one directly behind the other, until the lane pauses. A pause costs two wake-ups, some 0.1 ms; a socket with the
/// default buffer of 208 KiB takes about 270 frames.
const BURST: usize = 4 * SLICE;
/// Shortest and longest pause behind a burst. The pause is as long as the burst took; while addresses wait that were not announced
/// yet, a quarter: the receiver keeps the processor until it has taken all frames, so it needs a short pause only.
const REST: (Duration, Duration) = (Duration::from_micros(20), Duration::from_millis(1));
/// First and longest pause before a frame that could not be sent is tried again.
const RETRY: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));
/// How long the second announcements wait for addresses that were requested of the kernel, counted from the last one it confirmed: a
/// kernel that does not answer must not delay a repetition that hosts may need.
const PATIENCE: Duration = Duration::from_secs(1);
/// Frames beyond a turn's slice are sent in the next turn.
const NEXT_TURN: Duration = Duration::from_nanos(1);

type Key = (VrKey, IpAddr);

// The outstanding announcements of one address. It is in exactly one of `first`, `again` and `sending`.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
struct Left {
    times: u32,
    gap: Duration,
    // Announced at least once since the address was added.
    announced: bool,
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Slice {
    batch: u64,
    began: Instant,
    // `None`: cancelled.
    keys: Vec<Option<Key>>,
}

#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
struct Lane {
    left: BTreeMap<Key, Left>,
    first: VecDeque<Key>,
    again: VecDeque<Key>,
    // Requested of the kernel, not confirmed yet.
    expected: BTreeMap<IpAddr, VrKey>,
    // Until when the expected addresses are waited for.
    patience: Instant,
    sending: Option<Slice>,
    // Earliest next frame: by `vrrp_garp_interval`, behind a full slice, or after a failure.
    open: Instant,
    // Slices in a row of which a frame could not be sent.
    failures: u32,
    // Frames since the last pause, and how long their slices took.
    #[serde(default)]
    burst: (usize, Duration),
}

/// The outstanding announcements of all addresses, in one lane for each interface. The world has one for all virtual routers.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Announcer {
    lanes: BTreeMap<u32, Lane>,
    // Masters that have not requested all of their addresses yet.
    asking: BTreeSet<VrKey>,
    batches: u64,
    // The interface whose turn it is.
    turn: u32,
    // The earliest time of the next slice: the slice of this turn is used up.
    open: Instant,
}

// All keys of a virtual router.
fn keys_of(vr: VrKey) -> core::ops::RangeInclusive<Key> {
    (vr, IpAddr::V4(Ipv4Addr::UNSPECIFIED))..=(vr, IpAddr::V6(Ipv6Addr::from_bits(u128::MAX)))
}

impl Announcer {
    /// `vr` requests its addresses of the kernel, some at a time; `false`: it has requested all of them.
    pub fn asks(&mut self, vr: VrKey, asking: bool) {
        if asking {
            self.asking.insert(vr);
        } else {
            self.asking.remove(&vr);
        }
    }
    /// The address was requested: no address on its interface is announced twice before this one was announced once.
    pub fn expect(&mut self, now: Instant, vr: VrKey, ifindex: u32, addr: IpAddr) {
        let lane = self.lanes.entry(ifindex).or_default();
        lane.expected.insert(addr, vr);
        lane.patience = now + PATIENCE;
    }
    /// The kernel refused the address: the others do not wait for it.
    pub fn refused(&mut self, ifindex: u32, addr: IpAddr) {
        if let Some(lane) = self.lanes.get_mut(&ifindex) {
            lane.expected.remove(&addr);
        }
    }
    /// Announces `addr` on `ifindex` `times` times, `gap` apart from the interface's other announcements.
    pub fn add(&mut self, now: Instant, vr: VrKey, ifindex: u32, addr: IpAddr, times: u32, gap: Duration) {
        self.put(now, vr, ifindex, addr, times, gap, false);
    }
    /// The same for an address that may have been announced since it was added: it does not precede those that were not.
    pub fn again(&mut self, now: Instant, vr: VrKey, ifindex: u32, addr: IpAddr, times: u32, gap: Duration) {
        self.put(now, vr, ifindex, addr, times, gap, true);
    }
    fn put(&mut self, now: Instant, vr: VrKey, ifindex: u32, addr: IpAddr, times: u32, gap: Duration, announced: bool) {
        let lane = self.lanes.entry(ifindex).or_default();
        let key = (vr, addr);
        if lane.expected.remove(&addr).is_some() {
            lane.patience = now + PATIENCE;
        }
        if times == 0 {
            return;
        }
        match lane.left.entry(key) {
            Entry::Occupied(mut there) => {
                let left = there.get_mut();
                left.times = left.times.max(times);
            }
            Entry::Vacant(place) => {
                place.insert(Left { times, gap, announced });
                if announced { &mut lane.again } else { &mut lane.first }.push_back(key);
            }
        }
    }
    /// Cancels all announcements of `vr`.
    pub fn cancel(&mut self, vr: VrKey) {
        self.asking.remove(&vr);
        for lane in self.lanes.values_mut() {
            lane.expected.retain(|_, whose| *whose != vr);
            if lane.left.range(keys_of(vr)).next().is_some() {
                lane.left.retain(|key, _| key.0 != vr);
                lane.purge(|key| key.0 == vr);
            }
        }
    }
    /// Cancels the announcements of this address by `vr`.
    pub fn forget(&mut self, vr: VrKey, ifindex: u32, addr: IpAddr) {
        if let Some(lane) = self.lanes.get_mut(&ifindex) {
            lane.expected.remove(&addr);
            if lane.left.remove(&(vr, addr)).is_some() {
                lane.purge(|key| *key == (vr, addr));
            }
        }
    }
    /// No frame is sent before `until`: other work has precedence.
    pub fn rest(&mut self, until: Instant) {
        self.open = self.open.max(until);
    }
    /// Sends the frames that are due, one slice, and sets the timer for the rest.
    pub fn pump(&mut self, now: Instant, links: &Links, timers: &mut Timers, fx: &mut Effects) {
        self.lanes.retain(|ifindex, lane| links.get(*ifindex).is_some() && !lane.is_over());
        let mut room = SLICE;
        let turns: Vec<u32> =
            self.lanes.range(self.turn..).chain(self.lanes.range(..self.turn)).map(|l| *l.0).collect();
        for ifindex in turns {
            let (Some(lane), Some(link)) = (self.lanes.get_mut(&ifindex), links.get(ifindex)) else { continue };
            if lane.next(!self.asking.is_empty()).is_none_or(|at| at > now) {
                continue;
            }
            if room == 0 {
                (self.turn, self.open) = (ifindex, now + NEXT_TURN);
                break;
            }
            let (keys, frames) = lane.take(now, link, !self.asking.is_empty(), &mut room);
            if !frames.is_empty() {
                self.batches += 1;
                lane.sending = Some(Slice { batch: self.batches, began: now, keys });
                fx.push(Effect::Frames { ifindex, batch: self.batches, frames });
            }
        }
        self.wake(now, timers);
    }
    /// The first `sent` frames of this slice left; `errno`: why the next one did not.
    pub fn on_sent(&mut self, now: Instant, ifindex: u32, batch: u64, sent: usize, errno: Option<Errno>) {
        let Some(lane) = self.lanes.get_mut(&ifindex) else { return };
        let Some(slice) = lane.sending.take_if(|s| s.batch == batch) else { return };
        for key in slice.keys.iter().take(sent).flatten() {
            let Some(left) = lane.left.get_mut(key) else { continue };
            left.times = left.times.saturating_sub(1);
            left.announced = true;
            if left.times > 0 {
                lane.again.push_back(*key);
            } else {
                lane.left.remove(key);
            }
        }
        for key in slice.keys.iter().skip(sent).flatten().rev() {
            match lane.left.get(key) {
                Some(left) if left.announced => lane.again.push_front(*key),
                Some(_) => lane.first.push_front(*key),
                None => {}
            }
        }
        match errno {
            Some(_) => {
                let pause = RETRY.0 * 2u32.saturating_pow(lane.failures.min(10));
                lane.failures += 1;
                lane.open = now + pause.min(RETRY.1);
            }
            None => {
                lane.failures = 0;
                // Behind a slice that is not full the lane waits for the next address anyhow.
                let (before, time) = core::mem::take(&mut lane.burst);
                if slice.keys.len() >= SLICE {
                    let (frames, took) = (before + slice.keys.len(), time + now.since(slice.began));
                    let rest = if frames < BURST {
                        lane.burst = (frames, took);
                        // Adverts that are due leave in between.
                        NEXT_TURN
                    } else {
                        let rest = if lane.first.is_empty() { took } else { took / 4 };
                        rest.clamp(REST.0, REST.1)
                    };
                    lane.open = lane.open.max(now + rest);
                }
            }
        }
    }
    /// Sets the timer for the next slice, or stops it.
    pub fn wake(&self, now: Instant, timers: &mut Timers) {
        let at = self.lanes.values().fold(None, |at, lane| earliest(at, lane.next(!self.asking.is_empty())));
        match at.map(|at| at.max(self.open).max(now)) {
            // The timer is due already.
            Some(at) if at <= now && timers.get(Due::GarpQueue).is_some_and(|set| set <= now) => {}
            Some(at) => timers.set(Due::GarpQueue, at),
            None => drop(timers.stop(Due::GarpQueue)),
        }
    }
    /// The virtual routers with outstanding announcements.
    pub fn waiting(&self) -> BTreeSet<VrKey> {
        self.lanes.values().flat_map(|lane| lane.left.keys().map(|key| key.0)).collect()
    }
    /// The number of entries of all kinds, for tests that no table grows.
    pub fn len(&self) -> usize {
        let all = |lane: &Lane| {
            lane.left.len()
                + lane.first.len()
                + lane.again.len()
                + lane.expected.len()
                + usize::from(lane.sending.is_some())
        };
        self.lanes.values().map(all).sum::<usize>() + self.asking.len()
    }
    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.lanes.values().all(Lane::is_over) && self.asking.is_empty()
    }
}

impl Lane {
    fn is_over(&self) -> bool {
        self.left.is_empty() && self.expected.is_empty() && self.sending.is_none()
    }
    fn purge(&mut self, gone: impl Fn(&Key) -> bool) {
        self.first.retain(|key| !gone(key));
        self.again.retain(|key| !gone(key));
        let keys = self.sending.iter_mut().flat_map(|slice| &mut slice.keys);
        keys.filter(|key| key.as_ref().is_some_and(&gone)).for_each(|key| *key = None);
    }
    // When the next frame may leave; `asking`: more addresses will be expected.
    fn next(&self, asking: bool) -> Option<Instant> {
        if self.sending.is_some() || self.first.is_empty() && self.again.is_empty() {
            None
        } else if !self.first.is_empty() || self.expected.is_empty() && !asking {
            Some(self.open)
        } else {
            Some(self.open.max(self.patience))
        }
    }
    fn take(&mut self, now: Instant, link: &Link, asking: bool, room: &mut usize) -> (Vec<Option<Key>>, Vec<Bytes>) {
        let (mut keys, mut frames) = (Vec::new(), Vec::new());
        while *room > 0 && self.next(asking).is_some_and(|at| at <= now) {
            let Some(key) = self.first.pop_front().or_else(|| self.again.pop_front()) else { break };
            let Some(left) = self.left.get(&key) else { continue };
            match frame(link.mac, link.noarp, key.1) {
                Some(frame) => {
                    *room -= 1;
                    self.open = now + left.gap;
                    keys.push(Some(key));
                    frames.push(frame);
                }
                None => drop(self.left.remove(&key)),
            }
        }
        (keys, frames)
    }
}

// None: an interface without ARP or without an Ethernet address has no neighbours to inform.
fn frame(mac: Option<[u8; 6]>, noarp: bool, addr: IpAddr) -> Option<Bytes> {
    let mac = mac?;
    match addr {
        IpAddr::V4(ip) => (!noarp).then(|| arp::gratuitous(mac, ip)),
        IpAddr::V6(ip) => Some(ndisc::unsolicited_na(mac, ip)),
    }
}
