//! The report of a virtual router, and its conditions. Read first: `src/report/instance.rs`.

use super::{Instance, SockState};
use crate::config::model::Family;
use crate::report::instance::{self as is, Name};
use crate::report::{Moment, seconds};
use crate::time::{Duration, Now};
use crate::timers::{Due, Timers};
use crate::vrrp::advert::Reject;
use crate::vrrp::fsm::State;
use crate::vrrp::senders::Sender;
use crate::vrrp::text;

/// The kernel adds an address within milliseconds; if a Master lacks one for this time, that is a condition.
const ADDING: Duration = Duration::from_secs(2);

impl Instance {
    /// The report without the addresses, of which `held` are held.
    pub fn report(&self, now: Now, timers: &Timers, held: usize) -> is::Instance {
        let master = self.master.and_then(|m| self.senders.get(m)).and_then(|s| s.says);
        let left = timers.get(Due::MasterDown(self.key)).map(|at| seconds(at.since(now.mono)));
        let moved = |m: &super::Moved| is::Transition {
            at: Moment::of(m.at, now),
            from: m.from,
            to: m.to,
            cause: m.cause.clone(),
        };
        let mut senders: Vec<&Sender> = self.senders.all().iter().collect();
        senders.sort_by_key(|s| core::cmp::Reverse((s.last.mono, s.addr)));
        is::Instance {
            name: self.cfg.name.clone(),
            interface: self.cfg.interface.clone(),
            vrid: self.cfg.vrid,
            family: if self.cfg.family == Family::V4 { is::Family::IPv4 } else { is::Family::IPv6 },
            version: self.version(),
            state: self.state,
            since: Moment::of(self.since, now),
            cause: self.moved.back().filter(|m| m.to == self.state).map_or_else(String::new, |m| m.cause.clone()),
            conditions: self.conditions(now, held),
            transitions: self.moved.iter().rev().map(moved).collect(),
            priority: self.cfg.priority,
            effective_priority: self.priority,
            reasons: self.reasons(),
            master: self.master,
            master_priority: master.map_or(0, |g| g.priority),
            source: self.source,
            destinations: match self.cfg.peers() {
                Some(peers) => peers.iter().map(|p| p.addr).collect(),
                None => vec![self.cfg.mcast_group],
            },
            advert_interval_seconds: seconds(self.cfg.advert_int),
            master_advert_interval_seconds: seconds(self.master_interval),
            master_down_interval_seconds: seconds(self.master_down_interval()),
            master_down_in_seconds: left,
            adverts_armed: self.armed.len() as u64,
            addresses_held: held as u64,
            addresses: Vec::new(),
            senders: senders.into_iter().map(|s| sender(s, now)).collect(),
            senders_dropped: self.senders.dropped(),
            counters: self.counters(),
        }
    }

    fn counters(&self) -> is::Counters {
        let s = &self.stats;
        let rejected = Reject::ALL.iter().map(|r| (r.name().to_owned(), s.rejected[r.index()]));
        is::Counters {
            adverts_received: s.advert_rcvd,
            adverts_sent: s.advert_sent,
            adverts_not_sent: s.send_failed,
            peer_packets_not_sent: s.peers_missed,
            became_master: s.become_master,
            released_master: s.release_master,
            priority_zero_received: s.pri_zero_rcvd,
            priority_zero_sent: s.pri_zero_sent,
            addresses_restored: s.restored,
            other_addresses: s.other_vips,
            dual_master: s.dual_master,
            rejected: rejected.filter(|(_, n)| *n > 0).collect(),
        }
    }

    /// keepalived's SIGRTMAX-1: the counters are reset.
    pub fn clear_counters(&mut self) {
        self.stats = super::Stats::default();
    }

    fn conditions(&self, now: Now, held: usize) -> Vec<is::Condition> {
        let mut all = Vec::new();
        let mut add = |name: Name, since: Option<Now>, detail: String, look_at: String| {
            all.push(is::Condition { name, since: since.map(|at| Moment::of(at, now)), detail, look_at });
        };
        if let Some(dual) = self.senders.dual() {
            let (seen, look) = self.second_master(dual);
            add(Name::DualMaster, Some(dual.since), seen, look);
        }
        match self.state {
            State::Fault => add(Name::Fault, Some(self.since), self.why_fault(), String::new()),
            State::Init => {
                let why =
                    if let SockState::Failed(e) = self.sock { text::errno(e) } else { "not started yet".to_owned() };
                add(Name::Waiting, None, why, String::new());
            }
            State::Master | State::Backup => {}
        }
        if self.failing > 0 {
            let detail = format!("the last {} adverts could not be sent", self.failing);
            add(
                Name::SendFailing,
                None,
                detail,
                "firewall rules for IP protocol 112 here (nft list ruleset)".to_owned(),
            );
        }
        if !self.missed.is_empty() {
            let list = self.missed.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            add(
                Name::PeersUnreached,
                None,
                format!("adverts do not leave to {list}"),
                "routes to these peers".to_owned(),
            );
        }
        let wanted = self.vips().count();
        if self.is_master() && held < wanted && now.mono.since(self.since.mono) > ADDING {
            let detail = format!("{} of {wanted} addresses are not held", wanted - held);
            add(Name::AddressesMissing, None, detail, "the interfaces of these addresses, and the log".to_owned());
        }
        let refused = self.senders.all().iter().filter(|s| s.refusal().is_some_and(|r| r != Reject::OwnPacket));
        // A sender that is a second Master is listed already.
        let recent = |s: &&Sender| now.mono.since(s.last.mono) < self.master_down_interval();
        let dual = self.senders.dual().map(|d| d.with);
        if let Some(s) = refused.filter(recent).filter(|s| Some(s.addr) != dual).max_by_key(|s| s.last.mono) {
            let why = s.refusal().map_or("", Reject::name);
            let since = s.last_accepted.unwrap_or(s.first);
            add(
                Name::AdvertsRefused,
                Some(since),
                format!("adverts from {} are refused: {why}", s.addr),
                String::new(),
            );
        }
        if self.state != State::Fault && self.priority < self.cfg.priority {
            add(
                Name::PriorityLowered,
                None,
                format!("{} of {}: {}", self.priority, self.cfg.priority, self.weighed),
                String::new(),
            );
        }
        let spilled = self.cfg.vips.len().saturating_sub(self.listed.len());
        if spilled > 0 && self.state != State::Init {
            let detail = format!("the last {spilled} of virtual_ipaddress do not fit into an advert");
            add(Name::AddressesNotAdvertised, None, detail, "virtual_ipaddress_excluded, on every router".to_owned());
        }
        all
    }
}

fn sender(s: &Sender, now: Now) -> is::Sender {
    let at = |at: Now| Moment::of(at, now);
    is::Sender {
        address: s.addr.to_string(),
        first: at(s.first),
        last: at(s.last),
        version: s.says.map(|g| g.version),
        priority: s.says.map(|g| g.priority),
        advert_interval_seconds: s.says.map(|g| seconds(g.interval)),
        accepted: s.accepted,
        refused: s.refused,
        last_accepted: s.last_accepted.map(at),
        last_refused: s.last_refused.map(|(t, _)| at(t)),
        last_refused_reason: s.last_refused.map(|(_, r)| r.name().to_owned()),
    }
}
