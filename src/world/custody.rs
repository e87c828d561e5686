//! A world that froze for its successor keeps its addresses in custody: it sends nothing any more, and ends when the successor is in
//! charge. When none is in charge before a peer may take an address over, the world removes that address itself.
//!
//! The rule behind it: a process that holds an address ends only after a successor has confirmed that it takes the address over, or
//! after removing it. A frozen virtual router is silent after its last armed advert; a peer takes over `down_timer_adverts` intervals
//! later at the earliest, and up to that moment a successor resumes as Master (`vrrp/instance/resume.rs` has the same limit). The
//! world asks whether a successor is in charge at that moment, and every second before; the guard may also report it unasked. A router
//! with a better claim does not wait for that moment: its advert ends the time of the routers that make room for it.
//!
//! Read first: `resume.rs`. Deliberately absent: a farewell, which would be older than the successor's adverts.

use super::*;
use crate::effect::GuardFx;
use crate::event::{FilterEv, GuardEv, NetEv};

/// Time between two requests for a successor.
const LOOK: Duration = Duration::from_secs(1);
/// How long static addresses, routes, rules and the filter wait for a successor. No peer claims them, so the limit is only the time
/// within which a process that starts on a busy machine is in charge.
const ROUTES: Duration = Duration::from_secs(5);

/// What waits for a successor: virtual routers, with the time at which a peer may take over.
#[derive(Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Custody {
    limits: BTreeMap<VrKey, Instant>,
    /// The limit of static addresses, routes, rules and the filter; `None`: there are none, or they are being removed.
    routes: Option<Instant>,
    /// The guard was asked and has not answered.
    asked: bool,
    /// No successor was in charge: addresses and routes are being removed.
    removing: bool,
    /// The last snapshot, which later events do not change.
    pub(super) last_word: Option<crate::snapshot::Snapshot>,
}

impl Custody {
    /// Whether the world froze; it stays so to its end.
    pub(super) fn has_begun(&self) -> bool {
        self.last_word.is_some()
    }
}

impl World {
    /// Frozen: from now on only custody has timers.
    pub(super) fn begin_custody(&mut self, now: Now, fx: &mut Effects) {
        let word = self.shoot_all(now, true);
        self.timers = Timers::default();
        // The successor removes what its configuration does not have.
        self.addrs.freeze();
        self.vmacs.freeze();
        self.routes.freeze();
        self.rules.freeze();
        let limits = self.instances.iter().filter_map(|(vr, vi)| {
            // Addresses that stay on an own interface are down with it.
            let holds = vi.state() == State::Master || self.addrs.wanted(vr) > 0 && vi.cfg().own_names().is_empty();
            holds.then(|| (vr, vi.silent_limit(now.mono)))
        });
        let limits = limits.collect();
        let held = self.routes.view().held + self.rules.view().held + self.fixed_addresses();
        let own = !self.vmacs.is_empty() || !self.filter.wanted().is_empty();
        let routes = (held > 0 || own || !self.routes.idle() || !self.rules.idle()).then(|| now.mono + ROUTES);
        self.custody = Custody { limits, routes, last_word: Some(word), ..Custody::default() };
        if self.custody.limits.is_empty() && !self.addrs.idle() {
            // What was being removed is removed.
            self.custody.removing = true;
            self.let_all_go();
            self.timers.set(Due::Exit, now.mono + STOP_LIMIT);
        }
        self.watch_over(now, fx);
    }

    /// The events that a frozen world still handles.
    pub(super) fn on_frozen(&mut self, now: Now, event: Event<'_>, fx: &mut Effects) {
        match event {
            Event::Net(NetEv::Reply { req, result }) => {
                // No address is announced any more, and a timer tries a failed removal again.
                let _ = self.addrs.on_reply(now.mono, req, result, &mut self.timers);
                let _ = self.vmacs.on_reply(now.mono, req, result, &self.links, &mut self.timers);
                let _ = self.routes.on_reply(now.mono, req, result, &mut self.timers);
                let _ = self.rules.on_reply(now.mono, req, result, &mut self.timers);
            }
            Event::Filter(event @ FilterEv::Reply { .. }) => self.on_filter(now, event, fx),
            Event::Sock(SockEv::Datagram { sock, meta, bytes, .. }) => self.on_rival(now, sock, &meta, bytes),
            Event::Sock(SockEv::LocalDatagram { sock, meta, bytes, .. }) if self.links.is_local(meta.src) => {
                self.on_rival(now, sock, &meta, bytes);
            }
            Event::Net(NetEv::RouteDel(route, by)) => self.routes.on_deleted(now.mono, &route, by, &mut self.timers),
            Event::Net(NetEv::RuleDel(rule, by)) => self.rules.on_deleted(now.mono, *rule, by, &mut self.timers),
            Event::Net(NetEv::AddrDel { ifindex, addr, prefix, .. }) => {
                self.links.addr_del((ifindex, addr, prefix));
            }
            Event::Helper(HelperEv::Knobs { job, before, failed }) => {
                let _ = self.vmacs.on_knobs(job, &before, failed, &self.links);
            }
            Event::Net(NetEv::LinkDel { ifindex }) => {
                if let Some(name) = self.links.link_del(ifindex) {
                    self.addrs.on_link_gone(ifindex);
                    self.vmacs.on_link_gone(now.mono, ifindex, &name, &self.links, &mut self.timers);
                }
            }
            Event::Guard(GuardEv::Successor { in_charge: true }) => return self.end_custody(fx),
            Event::Guard(GuardEv::Successor { in_charge: false }) => self.give_up(now, fx),
            // An operator who stops the process does not wait for a successor.
            Event::Signal(Signal::Term | Signal::Int) => {
                self.custody.limits.values_mut().chain(&mut self.custody.routes).for_each(|at| *at = now.mono);
            }
            _ => return,
        }
        self.watch_over(now, fx);
    }

    /// `fire` of a frozen world.
    pub(super) fn fire_frozen(&mut self, now: Now, fx: &mut Effects) {
        while let Some((_, due)) = self.timers.pop(now.mono) {
            match due {
                Due::Custody => {
                    self.custody.asked = true;
                    fx.push(Effect::Guard(GuardFx::LookForSuccessor));
                }
                Due::AddrRetry => drop(self.addrs.on_retry(now.mono, &self.links, &mut self.timers)),
                Due::OwnLinks => self.own_due(now, fx),
                Due::Routes | Due::Rules => self.on_routes_due(now, fx),
                Due::Filter => self.filter.on_due(now.mono, &mut self.timers, fx),
                Due::Bfd => self.frozen_bfd_due(now, fx),
                // The kernel does not answer.
                Due::Exit => return self.end_custody(fx),
                _ => {}
            }
        }
        self.watch_over(now, fx);
    }

    // An advert that a Master makes room for: its sender is Master, or takes over now.
    fn on_rival(&mut self, now: Now, key: SockKey, meta: &RxMeta, bytes: &[u8]) {
        let Some(sock) = self.socks.get(key) else { return };
        let vrid = advert::peek_vrid(sock.spec.family(), meta, bytes).unwrap_or(0);
        let sockets::Whose::Of(vr) = sockets::whose(&self.instances, sock, vrid, meta.src) else { return };
        let Some(vi) = self.instances.get_mut(vr) else { return };
        let heard = advert::verify(&vi.profile(&sock.own, sock.spec.address(), now.wall), meta, bytes);
        // A replayed advert claims nothing.
        let yields = heard.is_ok_and(|heard| vi.take_sequence(&heard, now.wall).is_ok() && vi.yields_to(&heard));
        let all = self.base.global.more.vrrp_owner_ignore_adverts;
        let ignores = vi.cfg().priority == 255 && vi.cfg().more.owner_ignore_adverts.unwrap_or(all);
        if yields && !ignores {
            for member in self.groups.with(vr) {
                if let Some(at) = self.custody.limits.get_mut(&member) {
                    *at = now.mono.min(*at);
                }
            }
        }
    }

    // No successor is in charge: what a peer may take over now is removed.
    fn give_up(&mut self, now: Now, fx: &mut Effects) {
        self.custody.asked = false;
        let mut waiting = self.custody.limits.values().chain(&self.custody.routes).peekable();
        if waiting.peek().is_some() && waiting.all(|at| *at > now.mono) {
            return; // there is time
        }
        self.custody.removing = true;
        // An unfinished reload holds back no removal any more.
        self.let_all_go();
        let over: Vec<VrKey> =
            self.custody.limits.iter().filter(|(_, at)| **at <= now.mono).map(|(vr, _)| *vr).collect();
        for vr in over {
            self.custody.limits.remove(&vr);
            if let Some(vi) = self.instances.get(vr) {
                fx.note(text::no_successor(&vi.cfg().name));
            }
            self.rules.leave(now.mono, vr, &mut self.timers);
            self.routes.leave(now.mono, vr, &mut self.timers);
            self.vmacs.release(vr);
            self.addrs.release(vr);
        }
        if self.custody.routes.take_if(|at| *at <= now.mono).is_some() {
            self.vmacs.release_host();
            self.addrs.release(crate::vrrp::address::FILE);
            for vr in self.instances.keys() {
                if !self.custody.limits.contains_key(&vr) {
                    self.vmacs.release(vr);
                    self.addrs.release(vr);
                }
            }
            self.routes.release_file();
            self.rules.release_file();
        }
        self.timers.set(Due::Exit, now.mono + STOP_LIMIT);
    }

    fn watch_over(&mut self, now: Now, fx: &mut Effects) {
        if self.phase != Phase::Frozen {
            return;
        }
        if self.custody.removing {
            self.pump_all(now, fx);
            // As long as something waits, addresses that stay on own interfaces may be there, or about to be added.
            if self.custody.limits.is_empty() && self.custody.routes.is_none() {
                self.end_filter(fx);
            }
        }
        match self.custody.limits.values().chain(&self.custody.routes).min() {
            Some(at) => {
                if !self.custody.asked {
                    self.timers.set(Due::Custody, (*at).clamp(now.mono, now.mono + LOOK));
                }
                self.timers.stop(Due::Exit);
            }
            None if !self.custody.removing || self.all_idle() => self.end_custody(fx),
            None => {}
        }
    }

    fn end_custody(&mut self, fx: &mut Effects) {
        self.phase = Phase::Gone;
        self.timers = Timers::default();
        fx.push(Effect::Exit(ExitCode::Ok));
    }
}
