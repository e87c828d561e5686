//! The raw sockets: one for all virtual routers on an interface, family and group, one for all with unicast peers that send from one
//! address; and the assignment of received packets, by VRID and, where several share one, by peer.
//!
//! Read first: `mod.rs`.

use super::*;
use crate::effect::SockFx;

/// From the time of the last advert by a socket to its end: a busy loop sends it late.
const LINGER: Duration = Duration::from_millis(100);

// One raw socket and its users.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Sock {
    pub(super) spec: SockSpec,
    // For the log: its interface, or the address that peers send to.
    pub(super) name: String,
    pub(super) state: SockState,
    // By VRID. Several under one have different unicast peers: `sockets::user_of`.
    pub(super) users: BTreeMap<u8, Vec<VrKey>>,
    // Addresses of the interface: a packet from one of them is our own.
    pub(super) own: Vec<IpAddr>,
    pub(super) unknown: u64,
    // Limits for the lines about opening it, which remote hosts must not suppress, and for those about unknown VRIDs.
    pub(super) limit: Limit,
    pub(super) unknown_limit: Limit,
    // Sources requested by `HearLocal`.
    pub(super) local: Vec<Ipv4Addr>,
}

impl Sock {
    pub(super) fn new(spec: SockSpec, name: String, own: Vec<IpAddr>) -> Sock {
        Sock {
            spec,
            name,
            state: SockState::None,
            users: BTreeMap::new(),
            own,
            unknown: 0,
            limit: Limit::default(),
            unknown_limit: Limit::default(),
            local: Vec::new(),
        }
    }
}

impl World {
    pub(super) fn on_datagram(&mut self, now: Now, key: SockKey, meta: &RxMeta, bytes: &[u8], fx: &mut Effects) {
        let Some(sock) = self.socks.get_mut(key) else { return };
        let family = sock.spec.family();
        // A packet without a readable VRID is counted on the socket like one with an unknown VRID.
        let vrid = advert::peek_vrid(family, meta, bytes).unwrap_or(0);
        let vr = match whose(&self.instances, sock, vrid, meta.src) {
            Whose::Of(vr) => vr,
            Whose::Nobody => {
                sock.unknown += 1;
                if let Some(more) = sock.unknown_limit.pass(now.mono) {
                    fx.note(text::after(text::unknown_vrid(&sock.name, vrid, meta.src, sock.unknown), more));
                }
                return;
            }
            Whose::Stranger(vr) => {
                let glimpse = advert::glimpse(family, meta, bytes);
                with!(self, vr, now, fx, |vi, cx| vi.on_reject(advert::Reject::UnicastSource, meta.src, glimpse, cx));
                return;
            }
        };
        let (own, to) = (&sock.own, sock.spec.address());
        let all = self.base.global.more.vrrp_owner_ignore_adverts;
        let ignores = self.instances.get(vr).is_some_and(|vi| vi.cfg().more.owner_ignore_adverts.unwrap_or(all));
        let verified = |vi: &mut Instance| {
            let heard = advert::verify(&vi.profile(own, to, now.wall), meta, bytes)?;
            vi.take_sequence(&heard, now.wall).map(|()| heard)
        };
        with!(self, vr, now, fx, |vi, cx| match verified(vi) {
            Ok(heard) if ignores && vi.cfg().priority == 255 => vi.on_ignored(&heard, cx),
            Ok(heard) => vi.on_advert(&heard, cx),
            Err(reject) => vi.on_reject(reject, meta.src, advert::glimpse(family, meta, bytes), cx),
        });
    }

    pub(super) fn on_sock(&mut self, now: Now, key: SockKey, result: Result<(), Errno>, fx: &mut Effects) {
        let Some(sock) = self.socks.get_mut(key) else { return };
        sock.state = match result {
            Ok(()) => {
                sock.local.clear();
                self.regrouped = true;
                SockState::Ready(key)
            }
            Err(e) => {
                if sock.limit.pass(now.mono).is_some() {
                    fx.note(text::socket_failed(&sock.name, e));
                }
                self.timers.set(Due::SockRetry(key), now.mono + RETRY);
                SockState::Failed(e)
            }
        };
        let users: Vec<VrKey> = sock.users.values().flatten().copied().collect();
        for vr in users {
            self.evaluate(now, vr, fx);
        }
    }

    // An error that another host may have reported, by ICMP. It costs this advert, which is sent again, and no further one.
    pub(super) fn may_be_reported(&self, vr: VrKey, result: Result<(), Errno>, fx: &mut Effects) {
        if result.is_err_and(Errno::may_be_reported)
            && let Some(sock) = self.sock_of.get(&vr)
            && self.socks.get(*sock).is_some_and(|s| !s.spec.is_unicast())
        {
            fx.push(Effect::Sock(SockFx::Unconnect { sock: *sock }));
        }
    }

    /// [`Due::SockRetry`]: opens a socket again whose open failed, or closes one that lingers.
    pub(super) fn reopen(&mut self, key: SockKey, fx: &mut Effects) {
        if self.lingering.remove(&key) {
            fx.push(Effect::Sock(SockFx::Close { sock: key }));
        }
        if let Some(sock) = self.socks.get_mut(key)
            && matches!(sock.state, SockState::Failed(_))
        {
            // The instances stay in FAULT until the answer; `state` distinguishes a second retry from the first.
            sock.state = SockState::Opening(key);
            fx.push(Effect::Sock(SockFx::Open { sock: key, spec: sock.spec }));
        }
    }

    // The socket that this virtual router needs now, opened if necessary; it leaves the previous one.
    pub(super) fn sock_for(&mut self, now: Now, vr: VrKey, fx: &mut Effects) -> SockState {
        let Some(vi) = self.instances.get(vr) else { return SockState::None };
        let (vrid, interface) = (vi.cfg().vrid, vi.cfg().interface.clone());
        let spec = vi.sock_spec(&self.links, &self.vips);
        if let Some(key) = self.sock_of.get(&vr).copied()
            && let Some(sock) = self.socks.get_mut(key)
        {
            if Some(sock.spec) == spec {
                return sock.state;
            }
            // Before its socket is closed: a Master whose interface was renamed can still send a priority-0 advert on it, and one whose
            // interface was replaced has armed adverts that will never leave.
            let usable = sock.spec.ifindex().is_none_or(|i| self.links.get(i).is_some());
            // From another address to the same peers, or with AH to the same group: it is the same router, and all it needs is there.
            let moves = match (sock.spec, spec) {
                (SockSpec::Unicast { .. }, Some(SockSpec::Unicast { .. })) => true,
                (
                    SockSpec::Multicast { ifindex, group, .. },
                    Some(SockSpec::Multicast { ifindex: i, group: g, .. }),
                ) => (ifindex, group) == (i, g),
                _ => false,
            };
            with!(self, vr, now, fx, |vi, cx| if moves {
                vi.on_socket_moves(cx);
            } else {
                vi.on_socket_going(usable, cx);
            });
            self.leave_sock(vr, fx);
        }
        let Some(spec) = spec else { return SockState::None };
        let own = || match spec {
            SockSpec::Multicast { ifindex, .. } => own_addresses(&self.links, ifindex, &self.vips),
            SockSpec::Unicast { local, .. } => vec![local],
        };
        let key = *self.sock_by_spec.entry(spec).or_insert_with(|| {
            self.socks.insert_with(|key| {
                fx.push(Effect::Sock(SockFx::Open { sock: key, spec }));
                let name = if spec.is_unicast() { spec.address().to_string() } else { interface };
                Sock { state: SockState::Opening(key), ..Sock::new(spec, name, own()) }
            })
        });
        self.sock_of.insert(vr, key);
        self.regrouped = true;
        self.socks.get_mut(key).map_or(SockState::None, |sock| {
            sock.users.entry(vrid).or_default().push(vr);
            sock.state
        })
    }
}

impl World {
    // A returning owner advertises from its address while this router holds it, and the kernel does not deliver such packets to the raw
    // socket. Where this router is the owner, there is no other owner.
    pub(super) fn hear_local(&mut self, fx: &mut Effects) {
        // Of all routers on an interface; with unicast peers, of all on a socket.
        let place = |key: SockKey, spec: &SockSpec| match spec {
            SockSpec::Multicast { ifindex, .. } => (*ifindex, None),
            SockSpec::Unicast { .. } => (0, Some(key)),
        };
        let mut at: BTreeMap<(u32, Option<SockKey>), BTreeSet<Ipv4Addr>> = BTreeMap::new();
        for (vr, key) in &self.sock_of {
            let (Some(vi), Some(sock)) = (self.instances.get(*vr), self.socks.get(*key)) else { continue };
            if vi.cfg().priority < 255 {
                let all = vi.vips().filter_map(|v| if let IpAddr::V4(a) = v.addr { Some(a) } else { None });
                at.entry(place(*key, &sock.spec)).or_default().extend(all);
            }
        }
        for key in self.socks.keys() {
            let Some(sock) = self.socks.get_mut(key) else { continue };
            if sock.spec.family() == Family::V6 || !matches!(sock.state, SockState::Ready(_)) {
                continue;
            }
            let sources: Vec<Ipv4Addr> = at.get(&place(key, &sock.spec)).into_iter().flatten().copied().collect();
            if sock.local != sources {
                sock.local.clone_from(&sources);
                fx.push(Effect::Sock(SockFx::HearLocal { sock: key, sources }));
            }
        }
    }
}

impl World {
    // Removes a virtual router from its socket, under any VRID; the last one closes the socket.
    pub(super) fn leave_sock(&mut self, vr: VrKey, fx: &mut Effects) {
        let Some(key) = self.sock_of.remove(&vr) else { return };
        let parts_at = self.instances.get(vr).and_then(Instance::parts_at);
        let Some(sock) = self.socks.get_mut(key) else { return };
        sock.users.values_mut().for_each(|list| list.retain(|user| *user != vr));
        sock.users.retain(|_, list| !list.is_empty());
        self.regrouped = true;
        if sock.users.is_empty() {
            self.sock_by_spec.remove(&sock.spec);
            self.socks.remove(key);
            match parts_at {
                // An armed advert is cancelled with its socket. What is received by it until then has no recipient.
                Some(at) => self.linger(key, at),
                None => {
                    self.timers.stop(Due::SockRetry(key));
                    fx.push(Effect::Sock(SockFx::Close { sock: key }));
                }
            }
        }
    }

    pub(super) fn linger(&mut self, key: SockKey, until: Instant) {
        self.lingering.insert(key);
        self.timers.set(Due::SockRetry(key), until + LINGER);
    }

    /// Whether a priority-0 advert is still to leave, behind the last advert of the previous process.
    pub(super) fn parting(&self) -> bool {
        !self.lingering.is_empty() || self.instances.iter().any(|(_, vi)| vi.parts_at().is_some())
    }
}

// The recipient of a packet.
#[derive(serde::Serialize, serde::Deserialize)]
pub(super) enum Whose {
    Nobody,
    Of(VrKey),
    // Several routers share the VRID, and the sender is a peer of none of them; this is the first.
    Stranger(VrKey),
}

// Under one VRID there is one virtual router, or several with unicast peers of their own.
pub(super) fn whose(instances: &Arena<VrMark, Instance>, sock: &Sock, vrid: u8, src: IpAddr) -> Whose {
    match sock.users.get(&vrid).map(Vec::as_slice) {
        None | Some([]) => Whose::Nobody,
        Some([vr]) => Whose::Of(*vr),
        Some(users @ [first, ..]) => {
            let peer_of = |vr: &&VrKey| {
                let peers = instances.get(**vr).and_then(|vi| vi.cfg().peers());
                peers.is_some_and(|all| all.iter().any(|p| p.addr == src))
            };
            users.iter().find(peer_of).map_or(Whose::Stranger(*first), |vr| Whose::Of(*vr))
        }
    }
}

// A packet from one of these is our own. VIPs are not among them: the returning owner may send from a VIP while this router holds it.
pub(super) fn own_addresses(links: &Links, ifindex: u32, vips: &BTreeSet<IpAddr>) -> Vec<IpAddr> {
    let own = links.addrs(ifindex).filter(|a| a.proto != ADDR_PROTO && !vips.contains(&a.addr));
    own.map(|a| a.addr).collect()
}
