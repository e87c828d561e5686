//! Another configuration for a running virtual router: which changes affect a timer, an advert or an address, and which do not.
//!
//! Read first: `mod.rs`, `master.rs`; `world/reload.rs` calls this. Between [`Instance::alter`] and [`Instance::altered`] the world
//! evaluates the instance again ([`Instance::evaluate`]), so that faults, source and effective priority are computed by the same code as
//! at a start: three reloads and a cold start have the same result (trap 11).

use super::{Cx, Instance, Member};
use crate::config::model::vrrp::InstanceMore;
use crate::config::model::{InstanceConfig, Version, Vip};
use crate::effect::Packets;
use crate::links::AddrId;
use crate::time::Duration;
use crate::timers::Due;
use crate::vrrp::fsm::{Input, State};
use crate::vrrp::instance::Cause;
use crate::vrrp::seal::Signing;
use crate::vrrp::{text, timing};
use core::net::IpAddr;
use std::collections::BTreeSet;

/// The earlier values that [`Instance::altered`] needs.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Before {
    packets: Option<Packets>,
    epoch: u32,
    interval: Duration,
    // Adverts are signed differently.
    signed: bool,
}

impl Instance {
    /// Sets `cfg`, which is the same virtual router on the wire. The caller evaluates, then calls [`Instance::altered`].
    pub fn alter(&mut self, cfg: InstanceConfig, cx: &mut Cx<'_>) -> Before {
        let (waited, was_owner) = (self.wait(), self.owner());
        let old = core::mem::replace(&mut self.cfg, cfg);
        let before = Before {
            packets: self.packets.take(),
            epoch: self.epoch,
            interval: old.advert_int,
            signed: Signing::of(&old) != Signing::of(&self.cfg),
        };
        // All of them; `evaluate` shortens the list to the MTU.
        self.list(usize::MAX);
        // In v3 it is the interval of the Master that the router follows.
        if self.cfg.version == Version::V2 || self.master.is_none() {
            self.master_interval = self.cfg.advert_int;
        }
        match self.state {
            State::Backup => {
                if let Some(at) = cx.timers.get(Due::MasterDown(self.key)) {
                    // Counted from the last advert of the Master. `evaluate` adds the effect of tracking and priority.
                    let at = ((at + self.wait()) - waited).max(cx.now.mono);
                    // The owner of the addresses does not wait.
                    let now_owner = self.owner() && !was_owner;
                    cx.timers.set(Due::MasterDown(self.key), if now_owner { cx.now.mono } else { at });
                }
                if let Some(at) = cx.timers.get(Due::PreemptDelay(self.key)) {
                    if self.cfg.preempt && !self.cfg.preempt_delay.is_zero() {
                        let at = ((at + self.cfg.preempt_delay) - old.preempt_delay).max(cx.now.mono);
                        cx.timers.set(Due::PreemptDelay(self.key), at);
                    } else {
                        cx.timers.stop(Due::PreemptDelay(self.key));
                    }
                }
            }
            State::Master => self.alter_master(&old, cx),
            // The router may still wait for a socket; the weights of trackers are added when it starts.
            State::Init | State::Fault => self.priority = self.cfg.priority,
        }
        if !self.kept.is_empty() && !self.is_master() {
            self.keep_only_named(cx);
        }
        // Those that stay are looked at once more.
        self.kept.clear();
        before
    }

    fn alter_master(&mut self, old: &InstanceConfig, cx: &mut Cx<'_>) {
        if old.advert_int != self.cfg.advert_int
            && let Some(phase) = self.phase.take()
        {
            cx.grid.leave(phase);
            self.phase = Some(cx.grid.join(self.cfg.advert_int, self.weight()));
        }
        if old.garp.refresh != self.cfg.garp.refresh {
            cx.timers.stop(Due::GarpRefresh(self.key));
            self.set_refresh(cx.now.mono, cx);
        }
        if old.more.garp_extra_if != self.cfg.more.garp_extra_if {
            cx.timers.stop(Due::GarpExtra(self.key));
            self.set_extra(cx);
        }
        // New addresses are added before old ones are deleted.
        self.want_addresses(cx);
        self.keep_only_named(cx);
    }

    // Addresses that the configuration does not have any more go.
    fn keep_only_named(&mut self, cx: &mut Cx<'_>) {
        let keep: BTreeSet<AddrId> = self.specs(cx.links).map(|s| (s.ifindex, s.addr, s.prefix)).collect();
        for (ifindex, addr, prefix) in cx.addrs.keep_only(self.key, &keep) {
            // An address held with another prefix length is still announced by this router.
            if !keep.iter().any(|k| (k.0, k.1) == (ifindex, addr) && k.2 != prefix) {
                cx.announcer.forget(self.key, ifindex, addr);
            }
        }
    }

    /// After the evaluation: the armed adverts are made to match the configuration.
    pub fn altered(&mut self, before: &Before, cx: &mut Cx<'_>) {
        if !self.is_master() {
            // Built now, not at the time of the takeover.
            let _ = self.packets();
            return;
        }
        if before.interval != self.cfg.advert_int {
            // Backups wait by the old interval: they learn the new one before that is over.
            self.advertise_now(cx);
            self.rearm_now(cx);
        } else if before.epoch == self.epoch && (before.signed || before.packets != self.packets()) {
            self.rearm(cx);
        }
    }

    /// The router is removed from the configuration or from this wire: a priority-0 advert if it is Master, then nothing.
    pub fn retire(&mut self, cx: &mut Cx<'_>) {
        self.go(self.decide(Input::Shutdown), Cause::None, None, cx);
        self.forget_faults();
        self.quit(cx);
        self.give_up_own(cx);
    }

    /// After [`Instance::retire`]: another virtual router under the same key. Counters and log limits continue; so does the epoch,
    /// because adverts of the previous router may still be reported.
    pub fn renew(&mut self, cfg: InstanceConfig) {
        let fresh = Instance::new(cfg, self.key);
        let old = core::mem::replace(self, fresh);
        (self.stats, self.limits, self.epoch, self.since) =
            (old.stats, old.limits, old.epoch.wrapping_add(1), old.since);
        self.seal = old.seal;
        self.member = old.member.map(Member::renewed);
    }

    // The duration of the running Master_Down_Timer.
    fn wait(&self) -> Duration {
        if self.silence.zero_from.is_some() {
            timing::skew(self.cfg.version, self.priority, self.master_interval)
        } else if self.master.is_none() {
            self.first_wait()
        } else {
            self.master_down_interval()
        }
    }
}

/// The differences between two configurations of a virtual router, for the log: "priority 100 -> 110, +VIP 10.0.0.5".
pub fn changes(old: &InstanceConfig, new: &InstanceConfig) -> String {
    let mut out = Vec::new();
    let mut say = |differs: bool, text: &dyn Fn() -> String| {
        if differs {
            out.push(text());
        }
    };
    say(old.name != new.name, &|| format!("was {}", old.name));
    say(old.interface != new.interface, &|| format!("interface {} -> {}", old.interface, new.interface));
    say(old.vrid != new.vrid, &|| format!("virtual_router_id {} -> {}", old.vrid, new.vrid));
    say(old.family != new.family, &|| "family".to_owned());
    say(old.version != new.version, &|| format!("version {:?} -> {:?}", old.version, new.version));
    say(old.priority != new.priority, &|| format!("priority {} -> {}", old.priority, new.priority));
    say(old.advert_int != new.advert_int, &|| {
        format!("advert_int {} -> {}", text::span(old.advert_int), text::span(new.advert_int))
    });
    say(old.preempt != new.preempt, &|| if new.preempt { "preempt" } else { "nopreempt" }.to_owned());
    say(old.preempt_delay != new.preempt_delay, &|| format!("preempt_delay {}", text::span(new.preempt_delay)));
    say(old.auth != new.auth || old.more.hmac != new.more.hmac, &|| "authentication".to_owned());
    say(old.garp != new.garp, &|| "garp".to_owned());
    say(old.track_interfaces != new.track_interfaces, &|| "track_interface".to_owned());
    say(old.more.routes != new.more.routes, &|| "virtual_routes".to_owned());
    say(old.more.rules != new.more.rules, &|| "virtual_rules".to_owned());
    for (word, a, b) in [("VIP", &old.vips, &new.vips), ("excluded VIP", &old.excluded, &new.excluded)] {
        let set = |l: &[Vip]| l.iter().map(|v| v.addr).collect::<BTreeSet<IpAddr>>();
        let (sa, sb) = (set(a), set(b));
        list(word, &sa, &sb, &mut out);
        if sa == sb && a != b {
            out.push(format!("{word} settings or order"));
        }
    }
    let peers = |i: &InstanceConfig| i.peers().map(|all| all.iter().map(|p| p.addr).collect::<BTreeSet<_>>());
    match (peers(old), peers(new)) {
        (Some(a), Some(b)) => {
            list("peer", &a, &b, &mut out);
            if a == b && old.peers() != new.peers() {
                out.push("unicast_peer settings or order".to_owned());
            }
        }
        (a, b) if a != b => out.push(if b.is_some() { "unicast_peer" } else { "no unicast_peer" }.to_owned()),
        _ => {}
    }
    let mut rest = (old.clone(), new.clone());
    for c in [&mut rest.0, &mut rest.1] {
        // All fields that were named above.
        *c = InstanceConfig {
            name: String::new(),
            interface: String::new(),
            vrid: 1,
            family: new.family,
            version: new.version,
            priority: 1,
            advert_int: Duration::ZERO,
            preempt: true,
            preempt_delay: Duration::ZERO,
            auth: new.auth.clone(),
            garp: new.garp.clone(),
            track_interfaces: Vec::new(),
            vips: Vec::new(),
            excluded: Vec::new(),
            more: Box::new(InstanceMore {
                unicast_peer: None,
                hmac: None,
                routes: Vec::new(),
                rules: Vec::new(),
                ..(*c.more).clone()
            }),
            ..c.clone()
        };
    }
    if rest.0 != rest.1 {
        out.push(if out.is_empty() { "settings" } else { "other settings" }.to_owned());
    }
    out.join(", ")
}

// Most addresses in a line of the log; `kalived diff` shows all.
const NAMED: usize = 8;

fn list(word: &str, a: &BTreeSet<IpAddr>, b: &BTreeSet<IpAddr>, out: &mut Vec<String>) {
    for (sign, list) in [('+', b.difference(a)), ('-', a.difference(b))] {
        let all: Vec<String> = list.map(|addr| format!("{sign}{word} {addr}")).collect();
        out.extend(all.iter().take(NAMED).cloned());
        if all.len() > NAMED {
            out.push(format!("{sign}{} more", all.len() - NAMED));
        }
    }
}
