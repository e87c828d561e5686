//! A hand-over without a successor: it is never started, refuses the file, or dies while it stands by. The frozen process keeps the
//! addresses in custody and removes them itself before a peer may hold them.
//!
//! Read first: `src/world/custody.rs`, `handover.rs`.

use crate::ground::Fact;
use crate::node::Node;
use crate::run::{Sabotage, Sim, Work};
use core::time::Duration;
use kalived::effect::{ADDR_PROTO, Effect, Effects, FilterFx, GuardFx, HelperFx, NetFx};
use kalived::event::{Event, FilterEv, GuardEv, HelperEv, NetEv};
use kalived::time::Instant;
use kalived::vrrp::State;

/// Most events of one wait.
const EVENTS: u64 = 100_000;

impl Node {
    /// Addresses with our tag.
    fn tagged(&self) -> usize {
        self.kernel.addrs().filter(|a| a.proto == ADDR_PROTO).count()
    }
}

impl Sim {
    /// When the next timer of the frozen process is due.
    pub fn custody_wakes(&mut self, node: usize) {
        let n = &self.nodes[node];
        let next = n.custodian.as_ref().and_then(|w| w.next_deadline());
        if let Some((at, _)) = next {
            let wait = n.clock.true_time(at).since(self.ground.now);
            self.after(wait, Work::Custody { node });
        }
    }

    /// It wakes.
    pub fn custody(&mut self, node: usize) {
        let now = self.nodes[node].clocks(self.ground.now);
        let Some(mut world) = self.nodes[node].custodian.take() else { return };
        let mut fx = Effects::default();
        world.fire(now, 64, &mut fx);
        let mut ended = false;
        loop {
            let effects: Vec<Effect> = fx.drain().collect();
            if effects.is_empty() {
                break;
            }
            for effect in effects {
                match effect {
                    Effect::Guard(GuardFx::LookForSuccessor) => {
                        let begun = self.nodes[node].process.as_ref().is_some_and(|p| !p.waiting);
                        let in_charge = begun || self.sabotage == Some(Sabotage::ForgetCustody);
                        world.handle(now, Event::Guard(GuardEv::Successor { in_charge }), &mut fx);
                    }
                    Effect::Net(NetFx::Change { req, op }) => {
                        self.netlink_of_another(node, &op);
                        world.handle(now, Event::Net(NetEv::Reply { req, result: Ok(()) }), &mut fx);
                    }
                    Effect::Helper(HelperFx::SetKnobs { job, dev, set }) => {
                        let before = self.nodes[node].kernel.set_knobs(&dev, &set);
                        world.handle(now, Event::Helper(HelperEv::Knobs { job, before, failed: None }), &mut fx);
                    }
                    Effect::Filter(FilterFx::Change { req, op }) => {
                        self.filter_apply(node, &op, self.nodes[node].incarnation);
                        world.handle(now, Event::Filter(FilterEv::Reply { req, result: Ok(()) }), &mut fx);
                    }
                    // An incomplete listing is repeated: it changes nothing.
                    Effect::Filter(FilterFx::Tables) => {
                        let tables = self.filter_tables(node);
                        world.handle(now, Event::Filter(FilterEv::Tables { tables, complete: true }), &mut fx);
                    }
                    Effect::Note(note) => self.trace.note(self.ground.now, node, &note),
                    Effect::Exit(_) => ended = true,
                    other => self.violate("custody".into(), format!("node {node} is frozen and wants {other:?}")),
                }
            }
        }
        if !ended {
            self.nodes[node].custodian = Some(world);
            self.custody_wakes(node);
        } else if self.nodes[node].process.is_none() {
            self.routes_are_gone(node);
            self.links_are_gone(node);
            self.filter_is_gone(node);
        }
    }

    /// A Master of the first group is handed over, and no process follows. Nothing is left on its interfaces, and at no time does it hold an
    /// address together with the next Master.
    pub fn hand_to_nobody(&mut self) {
        let Some(node) = self.ground.masters(0).next() else { return };
        let unit = self.unit();
        let groups = 0..self.ground.opts.groups.len();
        let longest = groups.clone().map(|g| self.ground.longest_mdi(0, g)).max().unwrap_or_default();
        let held: Vec<usize> = groups.filter(|g| self.ground.nodes[node].vr[*g].state == State::Master).collect();
        self.freeze(node, 0);
        if self.nodes[node].custodian.is_none() {
            return;
        }
        // Never started or refused: gone at once. Dead while it stood by: a while later.
        if self.script.permille(500) {
            let stands = Duration::from_nanos(self.script.below(2 * unit));
            self.until(self.ground.now + stands, EVENTS);
        }
        self.lose_successor(node);
        let before = self.violation.is_some();
        // Static routes wait five seconds for a successor, and then a second for each time the kernel refuses.
        let routes = Duration::from_secs(8);
        let end = self.ground.now + longest * 4 + routes + self.ground.delay * 2 + self.ground.lateness * 4;
        let mut gone: Option<Instant> = None;
        // In steps, to check in between who holds which address.
        while self.ground.now < end && self.violation.is_none() {
            let step = self.ground.now + Duration::from_nanos(unit / 20 + 1);
            self.until(step, EVENTS);
            if self.nodes[node].tagged() == 0 {
                gone = gone.or(Some(self.ground.now));
            }
            let rival = held.iter().copied().filter(|g| self.ground.nodes[node].vips[*g].contains(&true));
            let rival = rival.into_iter().find_map(|g| {
                let others = Some(g).filter(|g| !self.ground.stranger(node, *g))?;
                Some((g, self.ground.masters(others).find(|m| *m != node)?))
            });
            if let Some((group, master)) = rival {
                let text = format!(
                    "node {node} was handed over to nobody and holds addresses of group {group}, whose Master is node {master}"
                );
                self.violate("custody".into(), text);
            }
        }
        if !before && self.violation.is_none() {
            let left = self.nodes[node].tagged();
            if gone.is_none() || left > 0 || self.nodes[node].custodian.is_some() {
                self.violate(
                    "custody".into(),
                    format!("node {node} was handed over to nobody and keeps {left} addresses"),
                );
            }
        }
        self.fact(Fact::Touched);
    }
}
