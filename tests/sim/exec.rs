//! Executes the effects of a turn against the simulated kernel and network. There is no `_` arm: a new effect does not compile before it
//! is simulated.
//!
//! Read first: `kalived::effect`; the daemon's counterpart is `src/daemon/exec.rs`.

use crate::faults::Class;
use crate::ground::{Fact, How};
use crate::kernel::Msg;
use crate::node::{Armed, Completion};
use crate::packet::Advert;
use crate::reload::is_virtual;
use crate::run::{Sabotage, Sim, Work};
use crate::{net, packet};
use bytes::Bytes;
use core::net::IpAddr;
use core::time::Duration;
use kalived::effect::{AdvertFx, ConnFx, Effect, GuardFx, HelperFx, NetFx, NetOp, Packets, SockFx, SockSpec};
use kalived::event::Errno;
use kalived::id::SockKey;
use kalived::time::Instant;

/// Longest time until the result of a slice of frames is reported, nanoseconds.
const LATE: u64 = 50_000_000;

/// Of an advert: whether any packet left; if so, whom it did not leave to.
type Sent = (Result<(), Errno>, Vec<(IpAddr, Errno)>);

impl Sim {
    /// Applies the effects of one turn, in order.
    pub fn apply(&mut self, node: usize, effects: Vec<Effect>) {
        for effect in effects {
            let interface = self.nodes[node].kernel.ifindex.filter(|_| !self.nodes[node].socket_errors);
            let kernel = self.nodes[node].kernel.ifindex;
            let Some(p) = self.nodes[node].process.as_mut() else { return };
            match effect {
                Effect::Sock(SockFx::Open { sock, spec }) => {
                    let known = interface.is_some() && spec.ifindex().is_none_or(|i| kernel == Some(i));
                    if known {
                        p.socks.insert(sock, spec);
                    }
                    let result = if known { Ok(()) } else { Err(Errno::ENODEV) };
                    self.complete(node, Completion::SockReady { sock, result });
                }
                // No node advertises from a virtual address.
                Effect::Sock(SockFx::HearLocal { .. } | SockFx::Unconnect { .. }) => {}
                Effect::Sock(SockFx::Close { sock }) => {
                    p.socks.remove(&sock);
                    p.armed.retain(|_, a| a.sock != sock);
                    p.inbox.forget(sock);
                }
                Effect::Advert(AdvertFx::Send { vr, sock, packets }) => {
                    if let Err(errno) = self.send(node, sock, &packets, How::Now).0 {
                        self.complete(node, Completion::SendFailed { vr, errno });
                    }
                }
                Effect::Advert(AdvertFx::At { vr, sock, epoch, at, packets }) => {
                    if !p.socks.contains_key(&sock) {
                        let result = Err(Errno::ENODEV);
                        let missed = Vec::new();
                        self.complete(node, Completion::AdvertSent { vr, epoch, due: at, result, missed });
                        continue;
                    }
                    let order = self.next_order();
                    let Some(p) = self.nodes[node].process.as_mut() else { return };
                    if self.sabotage == Some(Sabotage::Stutter) && order.is_multiple_of(500) {
                        let again = Armed { vr, sock, epoch, packets: packets.clone() };
                        p.armed.insert((at + core::time::Duration::from_nanos(1), 0), again);
                    }
                    p.armed.insert((at, order), Armed { vr, sock, epoch, packets });
                    let at = self.nodes[node].clock.true_time(at);
                    self.at(at, Work::ArmedDue { node });
                }
                Effect::Advert(AdvertFx::Stop { vr, sock, farewell }) => {
                    if self.sabotage != Some(Sabotage::KeepArmed) {
                        p.armed.retain(|_, a| a.vr != vr);
                    }
                    if let Some(packets) = farewell {
                        // A failed farewell is not reported: it is not tried again.
                        let _ = self.send(node, sock, &packets, How::Now);
                    }
                }
                Effect::Frames { ifindex, batch, frames } => self.frames(node, ifindex, batch, &frames),
                Effect::Net(NetFx::Change { req, op }) => {
                    self.nodes[node].open.insert(req);
                    let at = self.netlink_slot(node);
                    let incarnation = self.nodes[node].incarnation;
                    self.at(at, Work::Netlink { node, incarnation, req, op });
                }
                Effect::Net(NetFx::Resync) => {
                    self.complete(node, Completion::Net(Msg::DumpBegin));
                    self.dump_soon(node, false);
                }
                Effect::Net(NetFx::WatchRoutes) => self.nodes[node].kernel.routes.watched = true,
                Effect::Guard(GuardFx::Spawn { child, spec }) => self.spawn(node, child, &spec),
                Effect::Guard(GuardFx::Kill { child, hard }) => self.kill(node, child, hard),
                Effect::Helper(HelperFx::OpenFifo { fifo, .. }) => self.open_pipe(node, fifo),
                Effect::Helper(HelperFx::WriteFifo { fifo, line }) => self.write_pipe(node, fifo, &line),
                Effect::Helper(HelperFx::CloseFifo { fifo }) => self.close_pipe(node, fifo),
                Effect::Helper(HelperFx::SetKnobs { job, dev, set }) => {
                    let before = self.nodes[node].kernel.set_knobs(&dev, &set);
                    self.complete(node, Completion::Knobs { job, before });
                }
                // No configuration of the simulator has a keyword that leads to these; and `Compile` or a second `StandingBy` would be a
                // fault of the World.
                effect @ (Effect::Helper(HelperFx::WatchFile { .. })
                | Effect::Helper(HelperFx::WatchProcesses { .. })
                | Effect::Helper(HelperFx::Unwatch { .. })
                | Effect::Helper(HelperFx::Lookup { .. })
                | Effect::Conn(ConnFx::Connect { .. })
                | Effect::Conn(ConnFx::Write { .. })
                | Effect::Conn(ConnFx::Close { .. })
                | Effect::Lvs(_)
                | Effect::Bfd(_)
                | Effect::Guard(GuardFx::Compile)
                | Effect::Guard(GuardFx::StandingBy)) => {
                    self.violate("effect".into(), format!("node {node} wants {effect:?}"));
                }
                Effect::Filter(fx) => self.filter_effect(node, fx),
                // `Sim::freeze` asked for it.
                Effect::Guard(GuardFx::Frozen) => {}
                // Of a frozen world only: `custody.rs`.
                Effect::Guard(GuardFx::LookForSuccessor) => {
                    self.violate("effect".into(), format!("node {node} looks for a successor"));
                }
                Effect::Guard(GuardFx::Reloaded(r)) => self.reloaded(node, r.done),
                Effect::Note(note) => {
                    self.trace.note(self.ground.now, node, &note);
                }
                Effect::Exit(code) => {
                    self.trace.mix(0xe817 + code as u64);
                    self.routes_are_gone(node);
                    self.links_are_gone(node);
                    self.filter_is_gone(node);
                    self.end(node);
                    return;
                }
            }
        }
    }

    /// When the kernel does the next netlink request of this node: soon, and after the ones before.
    pub fn netlink_slot(&mut self, node: usize) -> Instant {
        let longest = self.ground.opts.netlink.as_nanos() as u64;
        let n = &mut self.nodes[node];
        let at = n.netlink_free.max(self.ground.now + Duration::from_nanos(n.rng.range(1, longest)));
        n.netlink_free = at;
        at
    }

    /// A socket fails; the daemon closes it and cancels what is armed on it.
    pub fn lose_socket(&mut self, node: usize, sock: SockKey) {
        if let Some(p) = self.nodes[node].process.as_mut() {
            p.socks.remove(&sock);
            p.armed.retain(|_, a| a.sock != sock);
            self.complete(node, Completion::SockLost { sock, errno: Errno::ENETDOWN });
        }
    }

    fn dump_soon(&mut self, node: usize, addrs: bool) {
        let at = self.netlink_slot(node);
        let incarnation = self.nodes[node].incarnation;
        self.at(at, Work::Dump { node, incarnation, addrs });
    }

    /// The kernel answers half of a dump; changes between the halves are reported between them.
    pub fn dump(&mut self, node: usize, addrs: bool) {
        let n = &mut self.nodes[node];
        let told = if addrs {
            let whole = n.dump_losses == n.losses;
            let broken = n.netlink_errors && self.fault_rng(Class::NetlinkError, node).permille(300);
            self.nodes[node].kernel.dump_addrs(whole && !broken)
        } else {
            n.dump_losses = n.losses;
            n.kernel.dump_links()
        };
        for msg in told {
            self.complete(node, Completion::Net(msg));
        }
        if !addrs {
            self.dump_soon(node, true);
        }
    }

    /// The kernel does an address request.
    pub fn netlink(&mut self, node: usize, req: kalived::event::ReqId, op: &NetOp) {
        let adding = matches!(
            op,
            NetOp::AddrAdd(_) | NetOp::LinkAdd(_) | NetOp::RouteAdd(_) | NetOp::RouteChange(..) | NetOp::RuleAdd(_)
        );
        let often = if adding { 500 } else { 200 };
        let refused = self.nodes[node].netlink_errors && self.fault_rng(Class::NetlinkError, node).permille(often);
        let result = match op {
            _ if refused => Err(Errno::ENOBUFS),
            NetOp::AddrDel(_) if self.sabotage == Some(Sabotage::KeepAddresses) => Ok(()),
            NetOp::LinkSet { up: false, .. } if self.sabotage == Some(Sabotage::KeepUp) => Ok(()),
            NetOp::LinkDel { .. } if self.sabotage == Some(Sabotage::KeepLinks) => Ok(()),
            NetOp::RouteDel(_) if self.sabotage == Some(Sabotage::KeepRoutes) => Ok(()),
            NetOp::RouteAdd(_) if self.sabotage == Some(Sabotage::NoRoutes) => Ok(()),
            // Virtual ones alone: static ones are removed at an end only.
            NetOp::RouteDel(r) if self.sabotage == Some(Sabotage::KeepVirtual) && is_virtual(&r.id) => Ok(()),
            NetOp::RuleDel(_) if self.sabotage == Some(Sabotage::KeepRules) => Ok(()),
            NetOp::RuleAdd(_) if self.sabotage == Some(Sabotage::NoRules) => Ok(()),
            op => {
                let (told, result) = self.nodes[node].kernel.apply(op);
                self.notify(node, told);
                if let (NetOp::AddrAdd(s), Ok(())) = (op, result) {
                    self.filter_covers(node, s.addr);
                }
                result
            }
        };
        if self.nodes[node].overrun {
            self.lose(node);
        } else {
            self.complete(node, Completion::Net(Msg::Reply(req, result)));
        }
        self.look_at_kernel(node);
    }

    /// Armed by a process that froze: it is still there, until the last of them has left.
    fn inherited_due(&mut self, node: usize) {
        let now = self.nodes[node].clock.at(self.ground.now);
        while self.nodes[node].leaving.first().is_some_and(|(at, ..)| *at <= now) {
            let (_, sock, packets) = self.nodes[node].leaving.remove(0);
            // The process that armed it does not need the result any more.
            let _ = self.send_by(node, sock, &packets, How::Left);
        }
    }

    /// The kernel sends what is armed and due, unless the process is stopped: the send is made in its context.
    pub fn armed_due(&mut self, node: usize) {
        self.inherited_due(node);
        let now = self.nodes[node].clock.at(self.ground.now);
        loop {
            let Some(p) = self.nodes[node].process.as_mut().filter(|p| !p.paused) else { return };
            let Some(((due, _), a)) = p.armed.first_key_value().map(|(k, a)| (*k, a.clone())) else { return };
            if due > now {
                return;
            }
            p.armed.pop_first();
            let (result, missed) = self.send(node, a.sock, &a.packets, How::Armed);
            self.complete(node, Completion::AdvertSent { vr: a.vr, epoch: a.epoch, due, result, missed });
        }
    }

    fn send(&mut self, node: usize, sock: SockKey, packets: &Packets, how: How) -> Sent {
        let spec = self.nodes[node].process.as_ref().and_then(|p| p.socks.get(&sock)).copied();
        self.send_by(node, spec, packets, how)
    }

    /// One advert: it has left if any of its packets has.
    fn send_by(&mut self, node: usize, spec: Option<SockSpec>, packets: &Packets, how: How) -> Sent {
        let (mut missed, mut emitted) = (Vec::new(), false);
        for p in packets.iter() {
            let read = packet::advert(&p.bytes).filter(|a| a.dst == p.to);
            let opts = &self.ground.opts;
            let found = read.and_then(|a| Some((opts.group(a.vrid, kalived::config::model::Family::of(&a.src))?, a)));
            let Some((group, advert)) = found else {
                self.violate("packet".into(), format!("node {node} sent what is no advert of ours: {p:02x?}"));
                return (Ok(()), Vec::new());
            };
            if let Err(errno) = self.can_send(node, spec, group, &advert) {
                missed.push((p.to, errno));
                continue;
            }
            self.trace.bytes(0x5e4d, &p.bytes);
            if !core::mem::replace(&mut emitted, true) {
                self.figures.adverts += 1;
                self.fact(Fact::Emitted { node, group, advert, how });
            }
            net::transmit(self, node, group, advert, &p.bytes);
        }
        let whole = packets.iter().find_map(|p| packet::advert(&p.bytes));
        if let (Some(first), false, Some(advert)) = (missed.first().copied(), emitted, whole) {
            let family = kalived::config::model::Family::of(&advert.src);
            if let Some(group) = self.ground.opts.group(advert.vrid, family) {
                self.fact(Fact::Unsent { node, group, how });
            }
            return (Err(first.1), Vec::new());
        }
        for (to, _) in &missed {
            let group = whole.and_then(|a| self.ground.opts.group(a.vrid, kalived::config::model::Family::of(&a.src)));
            if let (Some(group), Some(to)) = (group, self.ground.opts.owner(*to)) {
                self.fact(Fact::Missed { from: node, to, group });
            }
        }
        (Ok(()), missed)
    }

    fn can_send(&mut self, node: usize, spec: Option<SockSpec>, group: usize, advert: &Advert) -> Result<(), Errno> {
        let n = &self.nodes[node];
        let Some(spec) = spec else { return Err(Errno::ENODEV) };
        if n.kernel.ifindex.is_none() || spec.ifindex().is_some_and(|i| n.kernel.ifindex != Some(i)) {
            return Err(Errno::ENODEV);
        }
        if !n.kernel.link_ok() {
            return Err(Errno::ENETDOWN);
        }
        let opts = &self.ground.opts;
        let unicast = opts.groups[group].unicast.is_some();
        // To the group, or to another node from the address that is listened on.
        let right = match spec {
            SockSpec::Multicast { group, .. } => !unicast && group == advert.dst,
            SockSpec::Unicast { local, .. } => {
                unicast && local == advert.src && opts.owner(advert.dst).is_some_and(|to| to != node)
            }
        };
        let right = right && spec.is_ah() == (opts.groups[group].auth == crate::auth::Auth::Ah);
        if n.send_errors && self.fault_rng(Class::SendError, node).permille(500) {
            return Err(Errno::EPERM);
        }
        if !right || self.ground.opts.owner(advert.src) != Some(node) {
            let text = format!("node {node} sent from {} to {} (R-002, R-003, R-006, R-135)", advert.src, advert.dst);
            self.violate("packet".into(), text);
        }
        Ok(())
    }

    /// A slice leaves, or a part of it; the answer comes at once, or late where the queue was full.
    fn frames(&mut self, node: usize, ifindex: u32, batch: u64, frames: &[Bytes]) {
        let k = &self.nodes[node].kernel;
        let mut errno = match k.sends_by(ifindex) {
            (false, _) => Some(Errno::ENODEV),
            (true, false) => Some(Errno::ENETDOWN),
            (true, true) => None,
        };
        let (mut sent, mut wait) = (0, Duration::ZERO);
        while errno.is_none() && sent < frames.len() {
            if self.nodes[node].send_errors {
                let longest = self.unit().min(LATE);
                let rng = self.fault_rng(Class::SendError, node);
                if rng.permille(300) {
                    errno = rng.permille(500).then_some(Errno::ENOBUFS);
                    wait = Duration::from_nanos(rng.below(longest));
                    break;
                }
            }
            if self.sabotage != Some(Sabotage::LoseFrames) || sent + 1 < frames.len() {
                self.frame(node, &frames[sent]);
            }
            if self.sabotage == Some(Sabotage::RepeatFrames) {
                self.frame(node, &frames[sent]);
            }
            sent += 1;
        }
        let incarnation = self.nodes[node].incarnation;
        self.after(wait, Work::FramesSent { node, incarnation, ifindex, batch, sent, errno });
    }

    fn frame(&mut self, node: usize, frame: &Bytes) {
        self.trace.bytes(0xf4a3, frame);
        let told: Option<(IpAddr, [u8; 6])> = packet::announcement(frame);
        let virtual_mac = |addr| {
            let group = self.ground.opts.group_of_vip(addr)?;
            self.ground.opts.groups[group].vmac.then(|| self.ground.opts.virtual_mac(group))
        };
        // What the client learns is the port that a frame comes from: the virtual address is the same on all nodes.
        let mac = crate::kernel::mac_of(node);
        let Some((addr, _)) = told.filter(|t| t.1 == virtual_mac(t.0).unwrap_or(mac)) else {
            self.violate(
                "frame".into(),
                format!("node {node} sent a frame that announces nothing of its own: {frame:02x?}"),
            );
            return;
        };
        // Out of FAULT, for the peers' neighbour caches.
        if self.ground.opts.owner(addr) == Some(node) && self.ground.opts.groups.iter().any(|g| g.unicast.is_some()) {
            return;
        }
        let Some(group) = self.ground.opts.group_of_vip(addr) else {
            self.violate("frame".into(), format!("node {node} announces {addr}, which is no virtual address"));
            return;
        };
        let vip = self.ground.opts.groups[group].vips.iter().position(|a| *a == addr).unwrap_or_default();
        self.fact(Fact::Announced { node, group, vip });
        net::announce(self, node, addr, mac);
    }
}
