//! The raw sockets: one for all virtual routers on an interface, family and group; and what is received on them.
//!
//! Read first: `mod.rs`.

use super::*;

impl World {
    pub(super) fn on_datagram(&mut self, now: Now, key: SockKey, meta: &RxMeta, bytes: &[u8], fx: &mut Effects) {
        let Some(sock) = self.socks.get_mut(key) else { return };
        let family = Family::of(&sock.spec.group);
        // What does not even name a VRID is nobody's; it is counted on the socket like an unknown one.
        let vrid = advert::peek_vrid(family, meta, bytes).unwrap_or(0);
        let Some(vr) = sock.users.get(&vrid).copied() else {
            sock.unknown += 1;
            if let Some(more) = sock.unknown_limit.pass(now.mono) {
                fx.note(text::after(text::unknown_vrid(&sock.interface, vrid, meta.src, sock.unknown), more));
            }
            return;
        };
        let own = &sock.own;
        with!(self, vr, now, fx, |vi, cx| match advert::verify(&vi.profile(own), meta, bytes) {
            Ok(heard) => vi.on_advert(&heard, cx),
            Err(reject) => vi.on_reject(reject, meta.src, cx),
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
                    fx.note(text::socket_failed(&sock.interface, e));
                }
                self.timers.set(Due::SockRetry(key), now.mono + RETRY);
                SockState::Failed(e)
            }
        };
        let users: Vec<VrKey> = sock.users.values().copied().collect();
        for vr in users {
            self.evaluate(now, vr, fx);
        }
    }

    pub(super) fn reopen(&mut self, key: SockKey, fx: &mut Effects) {
        if let Some(sock) = self.socks.get_mut(key)
            && matches!(sock.state, SockState::Failed(_))
        {
            // The instances stay in FAULT until the answer; `state` tells a second retry from the first.
            sock.state = SockState::Opening(key);
            fx.push(Effect::OpenSock { sock: key, spec: sock.spec });
        }
    }

    // The socket this virtual router belongs on now, opened if need be; leaves the one it was on.
    pub(super) fn sock_for(&mut self, now: Now, vr: VrKey, fx: &mut Effects) -> SockState {
        let Some(cfg) = self.instances.get(vr).map(Instance::cfg) else { return SockState::None };
        let (vrid, interface) = (cfg.vrid, cfg.interface.clone());
        let spec = self.links.by_name(&interface).map(|l| SockSpec { ifindex: l.ifindex, group: cfg.mcast_group });
        if let Some(key) = self.sock_of.get(&vr).copied()
            && let Some(sock) = self.socks.get_mut(key)
        {
            if Some(sock.spec) == spec {
                return sock.state;
            }
            // Before its socket goes: a Master whose interface was renamed can still say goodbye on it, and one whose interface
            // was replaced has adverts armed that will never leave.
            let renamed = self.links.get(sock.spec.ifindex).is_some();
            with!(self, vr, now, fx, |vi, cx| vi.on_socket_going(renamed, cx));
            self.leave_sock(vr, fx);
        }
        let Some(spec) = spec else { return SockState::None };
        let own = || own_addresses(&self.links, spec.ifindex, &self.vips);
        let key = *self.sock_by_spec.entry(spec).or_insert_with(|| {
            self.socks.insert_with(|key| {
                fx.push(Effect::OpenSock { sock: key, spec });
                Sock {
                    spec,
                    interface,
                    state: SockState::Opening(key),
                    users: BTreeMap::new(),
                    own: own(),
                    unknown: 0,
                    limit: Limit::default(),
                    unknown_limit: Limit::default(),
                    local: Vec::new(),
                }
            })
        });
        self.sock_of.insert(vr, key);
        self.regrouped = true;
        self.socks.get_mut(key).map_or(SockState::None, |sock| {
            sock.users.insert(vrid, vr);
            sock.state
        })
    }
}

impl World {
    // An owner that returns advertises from its address while we hold it, and the kernel keeps such packets from the raw socket. An
    // owner here has nobody to return.
    pub(super) fn hear_local(&mut self, fx: &mut Effects) {
        let mut by_interface: BTreeMap<u32, BTreeSet<Ipv4Addr>> = BTreeMap::new();
        for (vr, key) in &self.sock_of {
            let (Some(vi), Some(sock)) = (self.instances.get(*vr), self.socks.get(*key)) else { continue };
            if vi.cfg().priority < 255 {
                let all = vi.vips().filter_map(|v| if let IpAddr::V4(a) = v.addr { Some(a) } else { None });
                by_interface.entry(sock.spec.ifindex).or_default().extend(all);
            }
        }
        for key in self.socks.keys() {
            let Some(sock) = self.socks.get_mut(key) else { continue };
            if sock.spec.group.is_ipv6() || !matches!(sock.state, SockState::Ready(_)) {
                continue;
            }
            let sources: Vec<Ipv4Addr> = by_interface.get(&sock.spec.ifindex).into_iter().flatten().copied().collect();
            if sock.local != sources {
                sock.local.clone_from(&sources);
                fx.push(Effect::HearLocal { sock: key, sources });
            }
        }
    }
}

impl World {
    // Off the socket it is on, under whatever VRID; the last one closes it.
    pub(super) fn leave_sock(&mut self, vr: VrKey, fx: &mut Effects) {
        let Some(key) = self.sock_of.remove(&vr) else { return };
        let Some(sock) = self.socks.get_mut(key) else { return };
        sock.users.retain(|_, user| *user != vr);
        self.regrouped = true;
        if sock.users.is_empty() {
            self.sock_by_spec.remove(&sock.spec);
            self.socks.remove(key);
            self.timers.stop(Due::SockRetry(key));
            fx.push(Effect::CloseSock { sock: key });
        }
    }
}

// A packet from one of these is our own. Not from a VIP: its returning owner may send from it while we hold it.
pub(super) fn own_addresses(links: &Links, ifindex: u32, vips: &BTreeSet<IpAddr>) -> Vec<IpAddr> {
    let own = links.addrs(ifindex).filter(|a| a.proto != ADDR_PROTO && !vips.contains(&a.addr));
    own.map(|a| a.addr).collect()
}
