//! Destinations and source address of a virtual router's adverts: a multicast group, or unicast peers.
//!
//! Read first: `mod.rs`, `effect.rs` (`SockSpec`, `Packets`). A missing source of unicast adverts is waited for: a configured address
//! that does not exist is a fault with that reason, and the virtual router starts when the address is added.

use super::{Cx, Fault, Instance, say};
use crate::config::model::vrrp::{OldChecksum, Peer};
use crate::config::model::{Auth, Family, InstanceConfig};
use crate::effect::{Packet, Packets, SockSpec};
use crate::event::{Errno, Link};
use crate::links::Links;
use crate::time::Wall;
use crate::vrrp::advert::{self, Glimpse, Heard, Profile, Reject, Unicast};
use crate::vrrp::fsm::State;
use crate::vrrp::text::{self, Limit};
use crate::wire;
use crate::wire::vrrp::{AdvertSpec, ToPeer};
use core::net::IpAddr;
use std::collections::BTreeSet;

/// Whether adverts leave from a link-local address: for peers that have only a link-local one no other source works.
fn from_link_local(peers: &[Peer]) -> bool {
    peers.iter().any(|p| wire::vrrp::is_link_local(&p.addr))
}

/// Adverts without addresses of one sender that are dropped (RFC 9568 §5.2.5) before the next is accepted: fewer than a Backup waits for.
const EMPTY_LISTS: u8 = 2;

impl Instance {
    /// Its interface; without one in the file, the interface that has the source of its adverts.
    pub fn link<'a>(&self, links: &'a Links) -> Option<&'a Link> {
        if self.cfg.interface.is_empty() {
            return links.get(links.holder(self.cfg.source()?)?);
        }
        links.by_name(&self.cfg.interface)
    }

    /// The present source of adverts. `vips`: never one of these.
    pub fn find_source(&self, links: &Links, vips: &BTreeSet<IpAddr>) -> Option<IpAddr> {
        let family = self.cfg.family;
        match (self.cfg.peers(), self.cfg.source()) {
            (None, Some(given)) if !self.cfg.more.track_src_ip => Some(given),
            (None, Some(given)) => links.holder(given).map(|_| given),
            (Some(_), Some(given)) => links.holder(given).map(|_| given),
            (Some(peers), None) if family == Family::V6 && !from_link_local(peers) => {
                let to: Vec<IpAddr> = peers.iter().map(|p| p.addr).collect();
                links.global_source(self.link(links)?.ifindex, &to, vips)
            }
            (_, None) => links.source(self.link(links)?.ifindex, family, vips),
        }
    }

    /// The socket that it needs now; `None`: something required for one is missing.
    pub fn sock_spec(&self, links: &Links, vips: &BTreeSet<IpAddr>) -> Option<SockSpec> {
        let link = self.link(links)?;
        if self.cfg.peers().is_none() {
            return Some(SockSpec::Multicast { ifindex: link.ifindex, group: self.cfg.mcast_group, ah: self.is_ah() });
        }
        let local = self.find_source(links, vips)?;
        let ifindex = match self.cfg.more.vrf.as_deref() {
            _ if wire::vrrp::is_link_local(&local) => link.ifindex,
            Some(vrf) => links.by_name(vrf).filter(|l| l.vrf)?.ifindex,
            None => 0,
        };
        Some(SockSpec::Unicast { local, ifindex, ah: self.is_ah() })
    }

    fn vrf_is_missing(&self, links: &Links) -> bool {
        self.cfg.more.vrf.as_deref().is_some_and(|vrf| links.by_name(vrf).is_none_or(|l| !l.vrf))
    }

    // With `auth_hmac` the other authentication does not count.
    fn is_ah(&self) -> bool {
        matches!(self.cfg.auth, Auth::Ah(_)) && self.cfg.more.hmac.is_none()
    }

    /// Why [`Instance::sock_spec`] returns none, or adverts have no source.
    pub fn no_source(&self, links: &Links) -> Fault {
        let name = self.cfg.interface.clone();
        match (self.cfg.peers(), self.cfg.source()) {
            _ if !name.is_empty() && self.link(links).is_none() => Fault::Missing(name),
            _ if self.vrf_is_missing(links) => Fault::Missing(self.cfg.more.vrf.as_deref().unwrap_or("").to_owned()),
            (_, Some(given)) => Fault::Awaits(given),
            (Some(peers), None) if self.cfg.family == Family::V6 && !from_link_local(peers) => Fault::NoGlobal(name),
            _ => Fault::NoSource(name, self.cfg.family),
        }
    }

    /// The rules for adverts from peers; `local`: the address that they were sent to.
    pub(super) fn unicast(&self, local: IpAddr) -> Option<Unicast<'_>> {
        let more = &self.cfg.more;
        self.cfg.peers().map(|peers| Unicast {
            local,
            peers,
            check_source: more.check_unicast_src,
            old_checksum: more.old_unicast_checksum,
        })
    }

    /// The profile for an advert that was received on a socket for `to`; `own`: the addresses of the receiving interface.
    pub fn profile<'a>(&'a self, own: &'a [IpAddr], to: IpAddr, wall: Wall) -> Profile<'a> {
        Profile {
            family: self.cfg.family,
            version: self.cfg.version,
            vrid: self.cfg.vrid,
            auth: &self.cfg.auth,
            advert_int: self.cfg.advert_int,
            checksum: self.cfg.checksum,
            group: self.cfg.mcast_group,
            unicast: self.unicast(to),
            vips: &self.listed,
            held: &self.held,
            unlisted: self.unlisted,
            lists_none: self.lists_none,
            own,
            known: self.known,
            skip_check_adv_addr: self.cfg.skip_check_adv_addr,
            hmac: self.cfg.more.hmac.as_deref(),
            wall,
        }
    }

    pub(super) fn says(&self, heard: &Heard) -> Glimpse {
        let Heard { priority, interval, no_vips, .. } = *heard;
        Glimpse { version: self.version(), priority, interval, no_vips }
    }

    /// A verified advert that an owner with `owner_ignore_adverts` ignores: only its sender is recorded.
    pub fn on_ignored(&mut self, heard: &Heard, cx: &mut Cx<'_>) {
        let says = self.says(heard);
        self.meet(heard.src, Some(says), None, cx);
    }

    /// A packet for our VRID that was dropped. Only counters and the record of its sender change. One of these: a router that
    /// sends adverts without addresses, and no other, is heard from then on, because both would stay Master.
    pub fn on_reject(&mut self, reject: Reject, from: IpAddr, says: Option<Glimpse>, cx: &mut Cx<'_>) {
        let n = reject.index();
        self.stats.rejected[n] += 1;
        self.meet(from, says, Some(reject), cx);
        if matches!(reject, Reject::Count | Reject::AddressList) && says.is_some_and(|s| s.no_vips) {
            let before = self.empty.filter(|(src, _)| *src == from).map_or(0, |(_, n)| n);
            let n = before.saturating_add(1);
            self.empty = Some((from, n));
            if n >= EMPTY_LISTS {
                self.lists_none = Some(from);
            }
        } else if self.empty.is_some_and(|(src, _)| src == from) {
            // In a row: a sender of anything else that is dropped is no such router.
            self.empty = None;
        }
        if matches!(self.state, State::Init | State::Fault) {
            return;
        }
        self.silence.rejected += 1;
        self.silence.last_reject = Some((reject, from));
        if let Some(more) = self.limits.rejected[n].pass(cx.now.mono) {
            cx.fx.note(text::rejected(&self.cfg.name, reject.name(), from, self.stats.rejected[n], more));
        }
    }

    /// A signed advert is accepted only if its sequence is new; the sequence is recorded.
    ///
    /// # Errors [`Reject::AuthReplay`].
    pub fn take_sequence(&mut self, heard: &Heard, wall: Wall) -> Result<(), Reject> {
        let Some(sequence) = heard.sequence else { return Ok(()) };
        self.seal.take(&self.cfg, heard.src, sequence, wall).map_err(advert::refused)
    }
    /// The number of packets of an advert.
    pub(super) fn weight(&self) -> usize {
        self.cfg.peers().map_or(1, <[Peer]>::len)
    }

    /// An advert with this priority, for every destination; `None`: no source, or no destination.
    pub(super) fn build(&self, priority: u8) -> Option<Packets> {
        let spec = AdvertSpec {
            family: self.cfg.family,
            version: self.cfg.version,
            vrid: self.cfg.vrid,
            priority,
            interval: self.cfg.advert_int,
            auth: &self.cfg.auth,
            checksum: self.cfg.checksum,
            src: self.source?,
            dst: self.cfg.mcast_group,
            addrs: &self.listed,
        };
        let Some(peers) = self.cfg.peers() else {
            return Some(Packets::one_from(self.cfg.advert_mac(), spec.dst, wire::vrrp::packet(&spec)));
        };
        let peer = to_peer(&self.cfg);
        let one =
            |to| Packet { to, bytes: wire::vrrp::packet_to(&AdvertSpec { dst: to, ..spec.clone() }, peer), from: None };
        Packets::of(destinations(peers, spec.src).map(one).collect())
    }

    /// Logs that the file has our own address among the peers, as one file for all routers does.
    pub(super) fn look_for_own_peer(&mut self, cx: &mut Cx<'_>) {
        let Some(own) = self.source else { return };
        if self.cfg.peers().is_some_and(|peers| peers.iter().any(|p| p.addr == own)) {
            say(&mut self.limits.own_peer, 1, cx, || text::own_peer(&self.cfg.name, own));
        }
    }

    /// An advert left, but not to these peers. Each is logged once, and once more when it is reached again.
    pub(super) fn count_missed(&mut self, missed: &[(IpAddr, Errno)], cx: &mut Cx<'_>) {
        if missed.is_empty() && self.missed.is_empty() {
            return;
        }
        self.stats.peers_missed += missed.len() as u64;
        let name = self.cfg.name.clone();
        for (peer, errno) in missed.iter().filter(|(peer, _)| !self.missed.contains(peer)) {
            say(&mut self.limits.missed, Limit::FEW, cx, || text::peer_missed(&name, *peer, *errno));
        }
        for peer in self.missed.iter().filter(|peer| !missed.iter().any(|m| m.0 == **peer)) {
            say(&mut self.limits.missed, Limit::FEW, cx, || text::peer_reached(&name, *peer));
        }
        self.missed = missed.iter().map(|m| m.0).collect();
    }

    /// After FAULT: the Master's neighbour entry for our address may be stale, and its adverts would wait for a new one.
    pub(super) fn announce_source(&self, cx: &mut Cx<'_>) {
        if let (Some(_), Some(source)) = (self.cfg.peers(), self.source)
            && let Some(ifindex) = cx.links.holder(source)
        {
            cx.announcer.add(cx.now.mono, self.key, ifindex, source, 1, self.gap(source));
        }
    }

    /// Its socket is about to be replaced by one on another address: the adverts armed on it are cancelled, and the evaluation that
    /// follows arms them again.
    pub fn on_socket_moves(&mut self, cx: &mut Cx<'_>) {
        if self.is_master() {
            self.note_last(cx);
            self.disarm(None, cx);
        }
    }
}

/// The destinations of adverts. Our own address is left out, unless there is no other.
fn destinations(peers: &[Peer], own: IpAddr) -> impl Iterator<Item = IpAddr> {
    let alone = peers.iter().all(|p| p.addr == own);
    peers.iter().map(|p| p.addr).filter(move |a| alone || *a != own)
}

fn to_peer(cfg: &InstanceConfig) -> ToPeer {
    let old = cfg.more.old_unicast_checksum == OldChecksum::Always && cfg.family == Family::V4;
    ToPeer {
        ttl: cfg.more.unicast_ttl.filter(|ttl| *ttl > 0).unwrap_or(wire::vrrp::TTL),
        summed: old.then_some(cfg.mcast_group),
    }
}
