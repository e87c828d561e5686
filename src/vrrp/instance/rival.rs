//! A second Master: the condition DUAL_MASTER, its log lines, and the advice.
//!
//! Read first: `vrrp/senders.rs`. Nothing here changes the behaviour of a virtual router; the election (`fsm.rs`) decides that. The
//! advice follows from the observations: why the other router's adverts are refused here, or that it does not yield although our adverts
//! should reach it.

use super::{Cx, Instance, say};
use crate::config::model::{Family, Version};
use crate::timers::Due;
use crate::vrrp::advert::{Glimpse, Reject};
use crate::vrrp::fsm::State;
use crate::vrrp::senders::{Dual, Own, Sender};
use crate::vrrp::text;
use core::net::IpAddr;

impl Instance {
    /// The number of its version.
    pub(super) fn version(&self) -> u8 {
        if self.cfg.version == Version::V2 { 2 } else { 3 }
    }

    /// An advert with this router's VRID was received, accepted or refused: is its sender a second Master?
    pub(super) fn meet(&mut self, from: IpAddr, says: Option<Glimpse>, refused: Option<Reject>, cx: &mut Cx<'_>) {
        let own = Own {
            active: matches!(self.state, State::Master | State::Backup),
            master: self.is_master(),
            interval: self.cfg.advert_int,
            adverts: self.cfg.down_timer_adverts,
        };
        let before = self.senders.dual();
        let begins = self.senders.on_advert(cx.now, from, says, refused, own);
        let Some(dual) = self.senders.dual() else {
            if let Some(over) = before {
                self.rival_gone(over, cx);
            }
            return;
        };
        if begins {
            self.stats.dual_master += 1;
            cx.timers.set(Due::DualMaster(self.key), dual.until);
            let (seen, look) = self.second_master(dual);
            say(&mut self.limits.dual, 1, cx, || text::dual_master(&self.cfg.name, &seen, &look));
        }
    }

    /// [`Due::DualMaster`]: ends the condition if no further advert of the second Master came.
    pub fn on_dual_master_due(&mut self, cx: &mut Cx<'_>) {
        match self.senders.take_gone(cx.now.mono) {
            Some(over) => self.rival_gone(over, cx),
            None => {
                if let Some(dual) = self.senders.dual() {
                    cx.timers.set(Due::DualMaster(self.key), dual.until);
                }
            }
        }
    }

    /// The state changed: a second Master has to be observed again.
    pub(super) fn forget_rivals(&mut self, cx: &mut Cx<'_>) {
        if let Some(over) = self.senders.on_state() {
            self.rival_gone(over, cx);
        }
    }

    fn rival_gone(&mut self, over: Dual, cx: &mut Cx<'_>) {
        cx.timers.stop(Due::DualMaster(self.key));
        let lasted = cx.now.mono.since(over.since.mono);
        say(&mut self.limits.dual_over, 1, cx, || text::dual_master_over(&self.cfg.name, over.with, lasted));
    }

    /// A second Master as text: the observation, and the advice.
    pub(super) fn second_master(&self, dual: Dual) -> (String, String) {
        let Some(s) = self.senders.get(dual.with) else {
            return (format!("{} is Master too", dual.with), String::new());
        };
        let priority = s.says.map_or_else(String::new, |g| format!(", priority {}", g.priority));
        let beside = match (self.is_master(), self.master) {
            (true, _) => "this router is".to_owned(),
            (false, Some(m)) if m != dual.with => format!("{m} is"),
            // The sender is the one that this router follows: the other Master is the router that was heard last besides it.
            (false, _) => {
                let others = self.senders.all().iter().filter(|o| o.addr != dual.with);
                let other = others.max_by_key(|o| o.last.mono);
                other.map_or_else(|| "another one is".to_owned(), |o| format!("{} is", o.addr))
            }
        };
        let (refused, look) = (s.refusal(), self.look_at(s));
        let refused = refused.map_or_else(String::new, |r| format!("; its adverts are refused here: {}", r.name()));
        (format!("{} is Master{priority}, and {beside} too{refused}", dual.with), look)
    }

    // The causes of a second Master, by what was observed of it.
    fn look_at(&self, s: &Sender) -> String {
        let (from, vrid) = (s.addr, self.cfg.vrid);
        let same = |what: &str| format!("look at {what}, which all routers of this virtual router must have alike");
        match s.refusal() {
            Some(Reject::Version) => {
                let theirs = s.says.map_or(0, |g| g.version);
                same(&format!("version (vrrp_version): {from} has {theirs}, this router has {}", self.version()))
            }
            Some(Reject::AuthType) => same("authentication: auth_type differs"),
            Some(Reject::AuthData) => same("authentication: auth_pass or the key differs"),
            Some(Reject::AuthKey) => same("auth_hmac: a key of that number is missing here"),
            Some(Reject::AuthMissing) => {
                format!("look at auth_hmac on {from}: it does not sign its adverts, and mode enforce takes no others")
            }
            Some(Reject::AuthStale) => format!("look at the clocks of this router and of {from} (timedatectl)"),
            Some(Reject::AuthReplay) => format!("look for a device or a host that repeats adverts of {from}"),
            Some(Reject::Interval) => {
                let theirs = s.says.map_or_else(String::new, |g| format!("{from} has {}, ", text::span(g.interval)));
                same(&format!("advert_int: {theirs}this router has {}", text::span(self.cfg.advert_int)))
            }
            Some(Reject::Checksum) => {
                "look at v3_checksum_as_v2 and old_unicast_checksum on both routers, and at devices between them that change packets"
                    .to_owned()
            }
            Some(Reject::AddressList | Reject::Count | Reject::FirstAddress) => format!(
                "look at virtual_ipaddress on both routers; if {from} belongs to others, they use VRID {vrid} on this network too: give one \
                 of the two another virtual_router_id"
            ),
            Some(Reject::Ttl) => format!(
                "look for a router or tunnel between the two: adverts of {from} do not come from this network; with unicast peers at \
                 min_ttl and max_ttl"
            ),
            Some(Reject::Destination) => {
                "look at unicast_peer and mcast_dst_ip on both routers: one sends to peers, or to another group".to_owned()
            }
            Some(Reject::UnicastSource) => format!("look at unicast_peer here: {from} is none of the peers"),
            Some(Reject::Source) => format!("look at the source address of {from}: no router sends from it"),
            Some(_) => format!("look at what {from} sends: tcpdump -v -i {} proto 112", self.cfg.interface),
            None if self.source == Some(from) => {
                format!("look for another host with the address {from}, or a network that sends our packets back")
            }
            None if !self.is_master() => "look at the log of both Masters: they do not hear each other, or refuse each other's adverts".to_owned(),
            None if self.failing > 0 => {
                "our adverts do not leave: look at firewall rules for IP protocol 112 here (nft list ruleset)".to_owned()
            }
            None => self.unheard(from),
        }
    }

    // The other router accepts VRRP adverts and does not yield: so it does not receive ours.
    fn unheard(&self, from: IpAddr) -> String {
        let way = match (self.cfg.peers(), self.cfg.family) {
            (Some(_), _) => format!("whether this router is among its unicast_peer and {from} among ours"),
            (None, Family::V4) => {
                format!("whether a switch filters multicast to {} (IGMP snooping)", self.cfg.mcast_group)
            }
            (None, Family::V6) => {
                format!("whether a switch filters multicast to {} (MLD snooping)", self.cfg.mcast_group)
            }
        };
        format!(
            "we hear it and it does not give way to our priority {}: it does not hear us or refuses our adverts; on {from} look at firewall \
             rules for IP protocol 112 and at the log for refused adverts; between the two, {way}",
            self.priority
        )
    }
}
