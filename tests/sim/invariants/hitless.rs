//! H-1, hitless: without another fault, the replacement of a process by another one in time has no effect: no node changes its state, the
//! successor continues in the state that it inherits, and the adverts of a frozen Master and of its successor leave exactly one interval
//! `I` apart, none at once.
//!
//! The run draws the gap, so that it is "in time": a hand-over within the interval after the freeze, a crash within the time that
//! `down_timer_adverts` leaves.

use super::{Checker, GRAIN, Id, Worst, liveness};
use crate::ground::{Fact, Ground, How};
use core::time::Duration;
use kalived::time::Instant;
use kalived::vrrp::State;

/// See the module.
pub struct Hitless {
    // Whose process is replaced, whether it crashed, and its states before.
    watch: Option<(usize, bool, Vec<State>)>,
    // (node, group): when its last advert left.
    last: Vec<Vec<Option<Instant>>>,
    // As of the end of the last turn: the fact of a crash comes after it has happened.
    states: Vec<Vec<State>>,
    worst: Worst,
}

impl Hitless {
    pub fn new(g: &Ground) -> Hitless {
        let (n, groups) = (g.nodes.len(), g.opts.groups.len());
        Hitless {
            watch: None,
            last: vec![vec![None; groups]; n],
            states: vec![vec![State::Init; groups]; n],
            worst: Worst::default(),
        }
    }
}

impl Checker for Hitless {
    fn id(&self) -> Id {
        Id::H1
    }
    fn worst(&self) -> Worst {
        self.worst
    }
    fn see(&mut self, g: &Ground, fact: &Fact) -> Result<(), String> {
        match *fact {
            Fact::PassedOn { node, crash } => self.watch = Some((node, crash, self.states[node].clone())),
            Fact::PassedOnLongAgo => {
                let Some((node, _, before)) = self.watch.take() else { return Ok(()) };
                for (group, before) in before.into_iter().enumerate().filter(|(i, _)| liveness::settles(g, *i)) {
                    let is = g.nodes[node].vr[group].state;
                    if is != before {
                        return Err(format!("node {node}, group {group}: {before:?} was passed on, and is {is:?}"));
                    }
                }
            }
            Fact::Moved { node, group } => {
                let vr = &g.nodes[node].vr[group];
                self.states[node][group] = vr.state;
                let Some((whose, crash, before)) = &self.watch else { return Ok(()) };
                let back = *crash && *whose == node && vr.from == State::Init && before[group] == vr.state;
                if !back && liveness::settles(g, group) {
                    let (from, to) = (vr.from, vr.state);
                    return Err(format!(
                        "node {node}, group {group}: {from:?} to {to:?} when node {whose} was passed on"
                    ));
                }
            }
            Fact::Emitted { node, group, how, .. } => {
                let before = self.last[node][group].replace(g.now);
                let Some((whose, crash, _)) = &self.watch else { return Ok(()) };
                if *whose != node || *crash || !liveness::settles(g, group) {
                    return Ok(());
                }
                let interval = g.lasts(node, g.opts.groups[group].members[node].interval);
                let gap = before.map_or(interval, |t| g.now.since(t));
                self.worst.add(gap, interval);
                if how == How::Now || gap > interval + GRAIN || gap + GRAIN < interval {
                    return Err(format!("node {node}, group {group}: an advert {gap:?} after the last, {how:?}"));
                }
            }
            Fact::Tick => {
                let Some((node, false, _)) = self.watch else { return Ok(()) };
                for (group, last) in self.last[node].iter().enumerate() {
                    let interval = g.lasts(node, g.opts.groups[group].members[node].interval);
                    let silent = last.map_or(Duration::ZERO, |t| g.now.since(t));
                    let master = g.nodes[node].vr[group].state == State::Master;
                    if master && silent > interval + GRAIN && liveness::settles(g, group) {
                        return Err(format!(
                            "node {node}, group {group}: silent for {silent:?} while it was passed on"
                        ));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
