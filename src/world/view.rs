//! The states in one line, for the service manager; and the view of a virtual router for tests and the simulator.
//!
//! Read first: `vrrp/instance/mod.rs`; `report.rs` has the complete report. No code on the path of an advert calls this.

use super::World;
use crate::config::model::Family;
use crate::id::VrKey;
use crate::links::AddrId;
use crate::time::{Duration, Now};
use crate::vrrp::State;
use crate::vrrp::instance::Instance;
use core::net::IpAddr;
use std::collections::BTreeSet;

/// Bytes of the line for all: systemd shows one line of about this length.
const SUMMARY: usize = 400;

/// What a virtual router looks like from outside, for tests.
#[derive(Clone, Debug)]
pub struct View {
    /// Name in the file.
    pub name: String,
    /// The key in the world: it stays the same over a reload that keeps the router.
    pub vr: VrKey,
    /// The state of the VRRP state machine.
    pub state: State,
    /// When it entered that state.
    pub since: Now,
    /// Name of the interface of the `vrrp_instance`.
    pub interface: String,
    /// Virtual Router Identifier, 1..=255.
    pub vrid: u8,
    /// IPv4 or IPv6.
    pub family: Family,
    /// The priority in adverts, 0..=255.
    pub effective_priority: u8,
    /// Why it is in FAULT, or what moved its priority; may be empty.
    pub reasons: String,
    /// As it would be armed now.
    pub master_down_interval: Duration,
    /// What is waited in silence after a start or a fault; longer for `nopreempt`.
    pub first_wait: Duration,
    /// The Master we follow.
    pub master: Option<IpAddr>,
    /// Source address of its adverts; `None`: it has none.
    pub source: Option<IpAddr>,
    /// Adverts armed in the kernel.
    pub armed: usize,
    /// Virtual addresses held, of all.
    pub addresses: (usize, usize),
    /// Its addresses in file order, advertised ones first.
    pub vips: Vec<VipView>,
    /// Counters of adverts, errors and changes of state.
    pub stats: crate::vrrp::instance::Stats,
}

/// A virtual address as it looks from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VipView {
    /// The address without its prefix.
    pub addr: IpAddr,
    /// Prefix length, 0..=128.
    pub prefix: u8,
    /// The interface it belongs on.
    pub dev: String,
    /// True: of `virtual_ipaddress`. False: of `virtual_ipaddress_excluded`.
    pub listed: bool,
    /// Whether the kernel confirmed that it is there.
    pub held: bool,
}

impl World {
    /// Every virtual router, by slot: in file order as long as no reload changed it.
    pub fn views(&self) -> Vec<View> {
        self.instances
            .iter()
            .map(|(vr, vi)| View {
                name: vi.cfg().name.clone(),
                vr,
                state: vi.state(),
                since: vi.since(),
                interface: vi.cfg().interface.clone(),
                vrid: vi.cfg().vrid,
                family: vi.cfg().family,
                effective_priority: vi.priority(),
                reasons: vi.reasons(),
                master_down_interval: vi.master_down_interval(),
                first_wait: vi.first_wait(),
                master: vi.master(),
                source: vi.source(),
                armed: vi.armed(),
                addresses: (self.holds(vr, vi).count(), vi.vips().count()),
                vips: self.vip_views(vr, vi),
                stats: vi.stats().clone(),
            })
            .collect()
    }

    fn vip_views(&self, vr: VrKey, vi: &Instance) -> Vec<VipView> {
        let held: BTreeSet<AddrId> = self.holds(vr, vi).collect();
        let listed = vi.cfg().vips.len();
        let view = |(n, v): (usize, &crate::config::model::Vip)| {
            let dev = v.dev.as_deref().unwrap_or(vi.cfg().default_dev());
            let id = self.links.by_name(dev).map(|l| (l.ifindex, v.addr, v.prefix));
            let held = id.is_some_and(|id| held.contains(&id));
            VipView { addr: v.addr, prefix: v.prefix, dev: dev.to_owned(), listed: n < listed, held }
        };
        vi.vips().enumerate().map(view).collect()
    }

    /// One bounded line: every state with the names in it, Master first.
    pub fn summary(&self) -> String {
        let mut parts: Vec<String> = Vec::new();
        let mut room = SUMMARY;
        for state in [State::Master, State::Fault, State::Backup, State::Init] {
            let names = || self.instances.iter().filter(|(_, vi)| vi.state() == state).map(|(_, vi)| &vi.cfg().name);
            let all = names().count();
            if all == 0 {
                continue;
            }
            let mut part = state.word().to_owned();
            let mut named = 0;
            for name in names() {
                let word = format!("{} {name}", if named > 0 { "," } else { "" });
                if word.len() > room {
                    break;
                }
                room -= word.len();
                part += &word;
                named += 1;
            }
            match all - named {
                0 => {}
                more if named == 0 => part += &format!(" {more}"),
                more => part += &format!(" and {more} more"),
            }
            parts.push(part);
        }
        parts.join("; ")
    }
}
