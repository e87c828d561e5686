//! Whether a virtual router can run: its requirements, and the reaction to their changes.
//!
//! Read first: `mod.rs`, `links.rs`. Link, source address, socket and tracked interfaces are examined together after any change:
//! [`Instance::evaluate`] is the only place that raises or clears a fault.

use super::{Cause, Cx, Instance, SockState, say};
use crate::config::model::Family;
use crate::event::Errno;
use crate::timers::Due;
use crate::track::Kind;
use crate::vmac::Status;
use crate::vrrp::change::What;
use crate::vrrp::fsm::{Act, Input, State};
use crate::vrrp::seal::Signing;
use crate::vrrp::{text, timing};
use crate::wire;
use crate::words::Limit;
use core::net::IpAddr;
use std::collections::BTreeSet;

/// Why an instance is in FAULT. Each interface counts by itself (keepalived shares one bit among all).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Fault {
    /// The interface does not exist.
    Missing(String),
    /// The interface is down.
    Down(String),
    /// The interface cannot do multicast.
    NoMulticast(String),
    /// There is no usable source address.
    NoSource(String, Family),
    /// There is no IPv6 source address for unicast peers.
    NoGlobal(String),
    /// The source address of unicast adverts does not exist.
    Awaits(IpAddr),
    /// `unicast_fault_no_peer`, and there is no peer.
    NoPeer,
    /// Its own interface could not be made.
    NoOwnLink(String, Errno),
    /// The socket could not be opened.
    NoSocket(Errno),
    /// A tracked interface without weight is down (or, reversed, up).
    Tracked(String),
    /// A tracked script without weight failed (or, reversed, succeeded).
    Script(String),
    /// A tracked file's number times its weight is -254 or less; without weight: its number is not 0.
    File(String, i32),
    /// A tracked process without weight lacks its quorum (or, reversed, has it).
    Process(String),
    /// A tracked native check without weight failed (or, reversed, succeeded).
    Check(String),
    /// A tracked BFD session without weight is down (or, reversed, up).
    Bfd(String),
    /// A tracked virtual server without weight lacks its quorum (or, reversed, has it).
    VirtualServer(String),
    /// A tracker without weight has no result yet, while there is no other reason left.
    Waiting(Kind, String),
}

impl core::fmt::Display for Fault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Fault::Missing(i) => write!(f, "interface {i} does not exist"),
            Fault::Down(i) => write!(f, "interface {i} down"),
            Fault::NoMulticast(i) => write!(f, "interface {i} has no multicast"),
            Fault::NoSource(i, Family::V4) => write!(f, "no IPv4 address for interface {i}"),
            Fault::NoSource(i, Family::V6) => write!(f, "no IPv6 link-local address for interface {i}"),
            Fault::NoGlobal(i) => write!(f, "no global IPv6 address for interface {i}"),
            Fault::Awaits(a) => write!(f, "source address {a} is not there yet"),
            Fault::NoPeer => f.write_str("no unicast peer"),
            Fault::NoOwnLink(i, e) => write!(f, "interface {i} cannot be made: {}", text::errno(*e)),
            Fault::NoSocket(e) => write!(f, "no VRRP socket: {}", text::errno(*e)),
            Fault::Tracked(i) => write!(f, "tracked interface {i} down"),
            Fault::Script(s) => write!(f, "due to script {s}"),
            Fault::File(s, n) => write!(f, "tracked file {s} has status {n}"),
            Fault::Process(s) => write!(f, "tracked process {s} quorum not achieved"),
            Fault::Check(s) => write!(f, "due to check {s}"),
            Fault::Bfd(s) => write!(f, "due to BFD session {s}"),
            Fault::VirtualServer(s) => write!(f, "virtual server {s} quorum not achieved"),
            Fault::Waiting(kind, s) => write!(f, "no result of {} {s} yet", kind.word()),
        }
    }
}

impl Instance {
    /// Link, address or socket changed: computes faults, source address and priority.
    pub fn evaluate(&mut self, sock: SockState, cx: &mut Cx<'_>) {
        self.sock = sock;
        self.look_at_own(cx);
        let link = self.link(cx.links);
        let source = self.find_source(cx.links, cx.vips);
        let mut faults = BTreeSet::new();
        let name = || self.cfg.interface.clone();
        match link {
            None => drop(faults.insert(self.no_source(cx.links))),
            Some(l) => {
                if self.cfg.track_primary && !(l.up && l.running) {
                    faults.insert(Fault::Down(name()));
                }
                if !l.multicast && self.cfg.peers().is_none() {
                    faults.insert(Fault::NoMulticast(name()));
                }
                if source.is_none() {
                    faults.insert(self.no_source(cx.links));
                }
            }
        }
        if link.is_some() && self.sock_spec(cx.links, cx.vips).is_none() {
            faults.insert(self.no_source(cx.links));
        }
        if self.cfg.peers().is_some_and(<[_]>::is_empty) {
            faults.insert(Fault::NoPeer);
        }
        if let Some((_, name)) = self.cfg.own()
            && let Status::Refused(e) = cx.vmacs.status(self.key, name)
        {
            faults.insert(Fault::NoOwnLink(name.to_owned(), e));
        }
        let runs = matches!(self.state, State::Backup | State::Master);
        if cx.vmacs.waits(self.key) && faults.is_empty() && !runs && !matches!(sock, SockState::Failed(_)) {
            // Being made.
            self.set_ready(false);
            return;
        }
        match sock {
            SockState::Failed(e) => drop(faults.insert(Fault::NoSocket(e))),
            // Wait for the answer before saying what we are, unless there is a fault already.
            SockState::Opening(_) | SockState::None if faults.is_empty() && !runs => {
                self.set_ready(false);
                return;
            }
            SockState::Opening(_) | SockState::None | SockState::Ready(_) => {}
        }
        let (weight, why, waits) = self.tracked(&mut faults, cx);
        self.set_priority(weight, &why, cx);
        self.weighed = why;
        if let Some(mtu) = link.map(|l| l.mtu) {
            self.set_listed(mtu, cx);
        }
        let waits = if faults.is_empty() { waits } else { BTreeSet::new() };
        if !waits.is_empty() && self.state == State::Init {
            // Neither Backup nor FAULT until the result is known.
            if !core::mem::replace(&mut self.waits, true) {
                let what = waits.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                cx.fx.note(text::waits(&self.cfg.name, &what));
            }
            self.set_source(source, cx);
            self.set_ready(false);
            return;
        }
        self.waits = false;
        if self.state == State::Fault {
            faults.extend(waits);
        }
        if source.is_some() {
            self.set_source(source, cx);
            self.set_faults(faults, cx);
        } else {
            // The priority-0 advert at the fault still leaves from the previous address: the peers take over in Skew_Time.
            self.set_faults(faults, cx);
            self.set_source(source, cx);
        }
        if self.is_master() && self.phase.is_some() && self.armed.is_empty() {
            // The socket was replaced by another one.
            self.top_up(cx);
        }
    }

    /// Something that the socket requires is missing, or another interface has our name now, and the socket is about to be closed;
    /// `usable`: it can still send.
    pub fn on_socket_going(&mut self, usable: bool, cx: &mut Cx<'_>) {
        if !usable {
            self.sock = SockState::None;
        }
        if matches!(self.state, State::Backup | State::Master) {
            let fault = match self.sock_spec(cx.links, cx.vips) {
                Some(_) => Fault::Missing(self.cfg.interface.clone()),
                None => self.no_source(cx.links),
            };
            self.set_faults(BTreeSet::from([fault]), cx);
        }
    }

    /// A BFD session that is tracked came up or went down. Whoever can send packets as its peer can cause this.
    pub fn on_tracked_bfd(&mut self, session: &str, up: bool, cx: &mut Cx<'_>) {
        say(&mut self.limits.bfd, Limit::FEW, cx, || crate::bfd::tracked(&self.cfg.name, session, up));
    }

    pub(super) fn set_priority(&mut self, weight: i64, why: &str, cx: &mut Cx<'_>) {
        // an owner stays one whatever is tracked. R-011: the sum of weights is limited to 1..=254.
        let new = match self.owner() {
            true => 255,
            false => i64::from(self.cfg.priority).saturating_add(weight).clamp(1, 254) as u8,
        };
        let old = core::mem::replace(&mut self.priority, new);
        if old == new {
            return;
        }
        if self.state != State::Init {
            say(&mut self.limits.priority, Limit::FEW, cx, || text::priority(&self.cfg.name, old, new, why));
        }
        self.packets = None;
        match self.state {
            State::Master => self.rearm(cx),
            State::Backup => {
                // The running timer moves by the difference of the Skew_Times.
                let skew = |p| timing::skew(self.cfg.version, p, self.master_interval);
                if let Some(at) = cx.timers.get(Due::MasterDown(self.key)) {
                    cx.timers.set(Due::MasterDown(self.key), (at + skew(new)) - skew(old));
                }
            }
            State::Init | State::Fault => return,
        }
        self.tell(What::Priority(self.is_master()), String::new(), cx);
    }

    // an advert is never fragmented. Addresses that do not fit are held all the same, as if they were excluded.
    pub(super) fn set_listed(&mut self, mtu: u32, cx: &mut Cx<'_>) {
        let mtu_left = mtu.saturating_sub(Signing::overhead(&self.cfg));
        let all = self.cfg.vips.len() + self.cfg.more.repeated.len();
        let fits = wire::vrrp::fits(self.cfg.family, self.cfg.version, mtu_left).min(all);
        if self.listed.len() == fits {
            return;
        }
        if fits < self.cfg.vips.len() {
            cx.fx.note(text::spilled(&self.cfg.name, self.cfg.vips.len() - fits, &self.cfg.interface, mtu));
        }
        self.list(fits);
        self.packets = None;
        if self.is_master() {
            self.rearm(cx);
        }
    }

    pub(super) fn set_source(&mut self, source: Option<IpAddr>, cx: &mut Cx<'_>) {
        if self.source == source {
            return;
        }
        self.source = source;
        self.packets = None;
        // Built now, not at the time of the takeover.
        let _ = self.packets();
        self.look_for_own_peer(cx);
        if self.is_master() {
            self.rearm(cx);
        }
    }

    pub(super) fn set_faults(&mut self, faults: BTreeSet<Fault>, cx: &mut Cx<'_>) {
        let changed = self.faults != faults;
        self.faults = faults;
        let input = match (self.faults.is_empty(), self.owner()) {
            (false, _) => Input::Fail,
            (true, true) => Input::StartOwner,
            (true, false) => Input::Start,
        };
        if self.state == State::Fault && input == Input::Fail {
            if changed {
                cx.fx.note(text::still_fault(&self.cfg.name, &self.fault_list()));
            }
            return;
        }
        let step = self.decide(input);
        if step.next == self.state {
            // A member of a group reports that it can run.
            if step.act == Act::Report {
                self.go(step, Cause::None, None, cx);
            }
        } else {
            let cause = match input {
                Input::Fail => Cause::Text(self.fault_list()),
                _ if self.state == State::Fault => Cause::Text("all faults are cleared".to_owned()),
                _ => Cause::None,
            };
            self.go(step, cause, None, cx);
        }
    }

    pub(super) fn fault_list(&self) -> String {
        self.faults.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }
}
