//! I-8, timers: a Backup becomes Master when its Master_Down_Timer runs out: never before, and not later than J after.
//!
//! The checker has a second implementation of that timer, from the text of the RFC: it is set to MDI on becoming Backup and on every
//! acceptable advert (v3: with the interval that it carries), to Skew on priority 0, and not changed by a lower priority if the router
//! preempts. MDI = 3 * MAI + Skew, by the node's clock exact to the nanosecond; after a start or a fault `nopreempt` waits longer. With `preempt_delay`, lower
//! adverts are accepted for that time from the first one on.
//!
//! A change of the priority moves it by the difference of the Skew_Times.
//!
//! A takeover is late only after `max(timer, end of the last pause or stall) + J`, and only while the node is healthy.

use super::{Checker, GRAIN, Id, Worst};
use crate::ground::{Fact, Ground, first_wait, mdi, skew};
use crate::packet::Advert;
use core::time::Duration;
use kalived::config::model::Version;
use kalived::time::Instant;
use kalived::vrrp::State;

#[derive(Clone, Copy, Default)]
struct Model {
    // Master_Down_Timer while Backup.
    deadline: Option<Instant>,
    // Master's interval.
    mai: Duration,
    // First lower-priority advert of a `preempt_delay` that was not cancelled.
    delay_from: Option<Instant>,
    // That delay has passed: lower adverts do not count any more.
    delay_over: bool,
    // A better advert made a Master yield in this turn.
    yields: bool,
    // It continues from a snapshot: nothing is known until it follows a Master.
    inherits: bool,
    // An advert that makes it yield came during its hand-over.
    overheard: bool,
}

/// See the module.
pub struct TimersHold {
    // [node][group]
    model: Vec<Vec<Model>>,
    worst: Worst,
}

impl TimersHold {
    pub fn new(g: &Ground) -> TimersHold {
        TimersHold { model: vec![vec![Model::default(); g.opts.groups.len()]; g.nodes.len()], worst: Worst::default() }
    }

    fn heard(&mut self, g: &Ground, node: usize, group: usize, advert: &Advert, host: u8) {
        let spec = &g.opts.groups[group];
        let me = &spec.members[node];
        let m = &mut self.model[node][group];
        let follow = |m: &mut Model| {
            if spec.version == Version::V3 {
                m.mai = advert.interval;
            }
            m.deadline = Some(g.due(node, g.now, mdi(spec.version, me.priority, m.mai)));
        };
        match g.nodes[node].vr[group].state {
            State::Master if !m.yields => {
                if advert.priority > 0 && (advert.priority, host) > g.rank(node, group) {
                    m.yields = true;
                    (m.delay_from, m.delay_over) = (None, false);
                    m.mai = me.interval;
                    follow(m);
                }
            }
            State::Backup if m.inherits && advert.priority < me.priority => m.deadline = None,
            State::Backup | State::Master => match advert.priority {
                0 => m.deadline = Some(g.due(node, g.now, skew(spec.version, me.priority, m.mai))),
                p if p >= me.priority => {
                    m.inherits = false;
                    (m.delay_from, m.delay_over) = (None, false);
                    follow(m);
                }
                // an owner always preempts, and at once.
                _ if me.priority == 255 => {}
                _ if !me.preempt => follow(m),
                _ if me.preempt_delay > Duration::ZERO && !m.delay_over => {
                    m.delay_from.get_or_insert(g.now);
                    follow(m);
                }
                _ => {}
            },
            State::Init | State::Fault => {}
        }
    }

    fn late(&mut self, g: &Ground, node: usize) -> Result<(), String> {
        let n = &g.nodes[node];
        if !n.healthy() {
            return Ok(());
        }
        for (group, m) in self.model[node].iter().enumerate() {
            let Some(deadline) = m.deadline.filter(|_| n.vr[group].state == State::Backup) else { continue };
            let last = deadline.max(n.clock_touched) + g.lateness;
            if g.now > last {
                return Err(format!(
                    "node {node}, group {group}: Backup {:?} past its Master_Down_Timer",
                    g.now.since(deadline)
                ));
            }
        }
        Ok(())
    }
}

impl Checker for TimersHold {
    fn id(&self) -> Id {
        Id::I8
    }
    fn worst(&self) -> Worst {
        self.worst
    }
    fn see(&mut self, g: &Ground, fact: &Fact) -> Result<(), String> {
        match *fact {
            Fact::Inherits { node } => self.model[node].iter_mut().for_each(|m| m.inherits = true),
            Fact::Heard { node, group, ref advert, from } | Fact::Overheard { node, group, ref advert, from }
                if from != node =>
            {
                self.heard(g, node, group, advert, g.opts.host[from]);
                let m = &mut self.model[node][group];
                m.overheard |= m.yields && matches!(fact, Fact::Overheard { .. });
            }
            Fact::Moved { node, group } => {
                let vr = &g.nodes[node].vr[group];
                let spec = &g.opts.groups[group];
                let me = &spec.members[node];
                let m = &mut self.model[node][group];
                match (vr.from, vr.state) {
                    (State::Backup, State::Master) => {
                        let deadline = m.deadline.unwrap_or_default();
                        if g.now + GRAIN < deadline {
                            return Err(format!(
                                "node {node}, group {group}: Master {:?} before its Master_Down_Timer",
                                deadline.since(g.now)
                            ));
                        }
                        if g.nodes[node].clock_touched < deadline {
                            self.worst.add(g.now.since(deadline), g.lateness);
                        }
                    }
                    // It yields, or it starts anew because `Go` came too late.
                    (State::Master, State::Backup) if m.overheard => (m.deadline, m.inherits) = (None, true),
                    (State::Master, State::Backup) if m.yields => {}
                    (State::Init, State::Backup) if m.inherits => m.mai = me.interval,
                    (_, State::Backup) => {
                        m.mai = me.interval;
                        m.deadline = Some(g.due(node, g.now, first_wait(spec.version, me)));
                        (m.delay_from, m.delay_over) = (None, false);
                    }
                    _ => {}
                }
                if vr.state != State::Backup {
                    *m = Model { mai: me.interval, ..Model::default() };
                }
            }
            Fact::Altered { node, group, from } => {
                let spec = &g.opts.groups[group];
                let m = &mut self.model[node][group];
                let (old, new) =
                    [from, spec.members[node].priority].map(|p| g.lasts(node, skew(spec.version, p, m.mai))).into();
                // The running timer moves by the difference of the Skew_Times.
                m.deadline = m.deadline.map(|at| ((at + new) - old).max(g.now));
            }
            Fact::TurnEnd { node, .. } => {
                for (group, m) in self.model[node].iter_mut().enumerate() {
                    (m.yields, m.overheard) = (false, false);
                    let delay = g.opts.groups[group].members[node].preempt_delay;
                    m.delay_over |= m.delay_from.is_some_and(|t| g.now >= g.due(node, t, delay));
                }
                return self.late(g, node);
            }
            Fact::Tick => {
                for node in 0..self.model.len() {
                    self.late(g, node)?;
                }
            }
            Fact::Ended { node } => self.model[node].fill(Model::default()),
            _ => {}
        }
        Ok(())
    }
}
