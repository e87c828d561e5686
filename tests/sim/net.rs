//! The LAN: one segment with every node, and a client host that accepts gratuitous ARP and unsolicited NA.
//!
//! Read first: `faults.rs`. Faults of a packet are drawn for each packet, sender and class. Without faults each path has a constant delay
//! and keeps the order.

use crate::auth::Auth;
use crate::faults::Class;
use crate::ground::Fact;
use crate::node::Completion;
use crate::packet::{self, Advert};
use crate::rng::Rng;
use crate::run::{Sabotage, Sim, Work};
use bytes::Bytes;
use core::net::IpAddr;
use core::time::Duration;
use kalived::event::RxMeta;

/// A copy of a packet on its way.
#[derive(Clone, Debug)]
pub struct Flight {
    /// To whom.
    pub to: usize,
    /// From whom.
    pub from: usize,
    /// The IP packet.
    pub packet: Bytes,
    /// Group and content, unless it was damaged.
    pub truth: Option<(usize, Advert)>,
    /// Its destination and source, as routed (damage does not misroute it).
    pub dst: IpAddr,
    /// See `dst`.
    pub src: IpAddr,
    /// With an Authentication Header.
    pub ah: bool,
    /// An attacker made it of an advert of this group.
    pub forged: Option<usize>,
}

/// Constant delays of all paths: `[from][to]`, without and with `Class::Delay`.
pub struct Paths(Vec<Vec<(Duration, Duration)>>);

impl Paths {
    /// Draws.
    pub fn draw(rng: &mut Rng, nodes: usize, wire: Duration, extra: Duration) -> Paths {
        let mut one = || {
            let base = rng.range(1, wire.as_nanos() as u64);
            let more = rng.below(extra.as_nanos() as u64 + 1);
            (Duration::from_nanos(base), Duration::from_nanos(more))
        };
        Paths((0..nodes).map(|_| (0..nodes).map(|_| one()).collect()).collect())
    }
}

/// A packet of an advert leaves `from` for all other nodes, or for the one node whose address is its destination.
pub fn transmit(sim: &mut Sim, from: usize, group: usize, advert: Advert, bytes: &Bytes) {
    for to in 0..sim.nodes.len() {
        // A unicast packet goes to one of them.
        if to == from || sim.ground.opts.owner(advert.dst).is_some_and(|peer| peer != to) {
            continue;
        }
        let swallowed = sim.sabotage == Some(Sabotage::SwallowFarewell) && advert.priority == 0;
        if sim.ground.cut[from][to] > 0 || swallowed || hit(sim, Class::Loss, from) {
            if !swallowed {
                sim.fact(Fact::Missed { from, to, group });
            }
            continue;
        }
        let (base, more) = sim.paths.0[from][to];
        let chaos = sim.chaos;
        let slow = chaos && present(sim, Class::Delay);
        sim.figures.faults[Class::Delay as usize] += u64::from(slow);
        let mut delay = base + if slow { more } else { Duration::ZERO };
        if hit(sim, Class::Reorder, from) {
            delay += extra(sim, Class::Reorder, from);
        }
        let auth = sim.ground.opts.groups[group].auth;
        let packet = bytes.clone();
        let mut flight = Flight {
            to,
            from,
            packet,
            truth: Some((group, advert)),
            dst: advert.dst,
            src: advert.src,
            ah: auth == Auth::Ah,
            forged: None,
        };
        if auth.signs(from) && !sim.ground.stranger(from, group) && !sim.ground.stranger(to, group) {
            let (packet, forged) = crate::auth::sabotaged(sim.sabotage, bytes, crate::auth::forge(auth, bytes));
            flight.packet = packet;
            if hit(sim, Class::Forge, from) {
                let forged = Flight { packet: forged, truth: None, forged: Some(group), ..flight.clone() };
                sim.after(delay, Work::Deliver(forged));
            }
        }
        match sim.sabotage.filter(|_| auth == Auth::None) {
            Some(Sabotage::LowerPriorities) if advert.priority > 0 => flight.packet = packet::with_priority(bytes, 1),
            Some(Sabotage::RaisePriorities) if advert.priority > 0 => flight.packet = packet::with_priority(bytes, 254),
            _ => {}
        }
        if hit(sim, Class::Duplicate, from) {
            let later = delay + extra(sim, Class::Duplicate, from);
            sim.after(later, Work::Deliver(flight.clone()));
        }
        if hit(sim, Class::Corrupt, from) {
            // Of an IPv6 header a socket delivers only hop limit and addresses.
            // With unicast peers the hop limit is not checked.
            let first = match advert.dst {
                IpAddr::V6(a) if a.is_multicast() => 56,
                IpAddr::V6(_) => 64,
                IpAddr::V4(_) => 0,
            };
            let bit = sim.fault_rng(Class::Corrupt, from).range(first, 8 * bytes.len() as u64 - 1) as usize;
            flight.packet = packet::flip(bytes, bit);
            flight.truth = None;
            sim.fact(Fact::Missed { from, to, group });
        }
        sim.after(delay, Work::Deliver(flight));
    }
}

fn present(sim: &Sim, class: Class) -> bool {
    sim.ground.opts.rates[class as usize].present
}

fn hit(sim: &mut Sim, class: Class, from: usize) -> bool {
    let rate = sim.ground.opts.rates[class as usize];
    let hit = sim.chaos && rate.present && sim.fault_rng(class, from).permille(rate.permille);
    sim.figures.faults[class as usize] += u64::from(hit);
    hit
}

fn extra(sim: &mut Sim, class: Class, from: usize) -> Duration {
    let most = sim.ground.opts.rates[class as usize].extra.as_nanos() as u64;
    Duration::from_nanos(sim.fault_rng(class, from).below(most + 1))
}

/// A copy arrives.
pub fn deliver(sim: &mut Sim, f: Flight) {
    let node = &mut sim.nodes[f.to];
    let reached = node.kernel.link_ok() && (f.dst.is_multicast() || node.kernel.has(f.dst));
    let heard = if reached { node.listener(f.dst, f.ah) } else { None };
    let (meta, bytes) = if f.dst.is_ipv6() {
        // The socket does not deliver the header; damage to it is visible in the ancillary data or not at all.
        let hop_limit = f.packet.get(7).copied();
        let addr = |at: usize| f.packet.get(at..at + 16).and_then(|b| <[u8; 16]>::try_from(b).ok());
        let dst = addr(24).map(core::net::Ipv6Addr::from);
        let src = addr(8).map_or(f.src, |a| IpAddr::V6(a.into()));
        (RxMeta { src, dst, hop_limit }, f.packet.slice(40..))
    } else {
        let src =
            f.packet.get(12..16).and_then(|b| <[u8; 4]>::try_from(b).ok()).map_or(f.src, |a| IpAddr::V4(a.into()));
        (RxMeta { src, dst: None, hop_limit: None }, f.packet.clone())
    };
    let truth = f.truth.map(|(group, advert)| (group, f.from, advert));
    let forged = f.forged;
    let taken = heard.is_some_and(|sock| sim.complete(f.to, Completion::Datagram { sock, meta, bytes, truth, forged }));
    if let Some((group, _)) = f.truth.filter(|_| !taken) {
        sim.fact(Fact::Missed { from: f.from, to: f.to, group });
    }
}

/// A gratuitous ARP or NA reaches the client, or is lost.
pub fn announce(sim: &mut Sim, from: usize, addr: IpAddr, mac: [u8; 6]) {
    let swallowed = sim.sabotage == Some(Sabotage::SwallowFrames);
    if swallowed || sim.ground.cut[from].iter().any(|c| *c > 0) || hit(sim, Class::Loss, from) {
        return;
    }
    let delay = Duration::from_nanos(1 + sim.nodes[from].rng.below(1000));
    sim.after(delay, Work::ClientHears { addr, mac });
}

impl Sim {
    /// L-3 in its simplest form: a node that became Master after the end of the faults has the client's traffic once its second burst of
    /// announcements is sent. (The first may cross that of another Master that yields a moment later.)
    pub fn check_client(&mut self) {
        let Some(healed) = self.ground.healed else { return };
        for (i, group) in self.ground.opts.groups.iter().enumerate() {
            let Some(master) = self.ground.masters(i).next() else { continue };
            let since = self.ground.nodes[master].vr[i].since;
            let told = since + group.members[master].interval * (crate::options::GARP_DELAY + 1);
            if since <= healed || told > self.ground.now || group.stranger.is_some() {
                continue;
            }
            let mac = crate::kernel::mac_of(master);
            let listed =
                group.vips.iter().enumerate().filter(|(v, _)| self.ground.lists(master, i, *v)).map(|(_, vip)| vip);
            if let Some(vip) = listed.clone().find(|v| self.client.get(v) != Some(&mac)) {
                let text =
                    format!("group {i}: the client has {vip} at {:?}, Master is node {master}", self.client.get(vip));
                return self.violate("L3".into(), text);
            }
        }
    }
}
