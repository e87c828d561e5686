//! I-5, transmission:
//! - Only a Master sends adverts; one with priority 0 only in the turn in which it leaves Master.
//! - Without a fault the gap between two adverts of a Master is at most `I + J`.
//! - An armed advert is never closer than half an interval to the armed one before it, nor to the first one of a Master. After a
//!   pause of the machine the armed adverts leave at once.
//! - While it is Master, and after each pause, it sends at most elapsed / I + 3 adverts (the first one is immediate, the grid may be
//!   early, one may be due in the same turn), and answers and a burst. There is one answer for each received advert that has priority 0
//!   or loses, at most one in 10 ms. After a pause or stall up to 8 armed adverts leave at once (the most that are ever armed),
//!   and one more because the router is still Master; adverts that were not armed are not sent later.

use super::{Checker, Id, Worst};
use crate::ground::{Fact, Ground, How};
use core::time::Duration;
use kalived::time::Instant;
use kalived::vrrp::State;

/// Most adverts that are armed at once.
const DEPTH: u64 = 8;
///
const ANSWER_GAP: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, Default)]
struct Tenure {
    sent: u64,
    heard: u64,
    // Adverts that may come in a burst since the window began.
    burst: u64,
    // Since when it is counted, if not since the tenure began.
    from: Option<Instant>,
    // Claims and answers of the turn in which it began: their adverts are seen after the change.
    credit: u64,
    // Claims and answers of the last turn that had any.
    turn: (Option<Instant>, u64),
    last: Option<Instant>,
    // The last armed one, or the first of the tenure.
    spaced: Option<Instant>,
}

impl Tenure {
    // A pause is over: armed adverts leave, missed ones do not.
    fn released(&mut self, now: Instant) {
        (self.sent, self.heard, self.burst, self.from) = (0, 0, DEPTH + 1, Some(now));
        self.spaced = None;
    }
    fn in_turn(&mut self, now: Instant) {
        let before = if self.turn.0 == Some(now) { self.turn.1 } else { 0 };
        self.turn = (Some(now), before + 1);
    }
}

/// See the module.
pub struct Transmission {
    // [node][group]
    tenure: Vec<Vec<Tenure>>,
    worst: Worst,
}

impl Transmission {
    pub fn new(g: &Ground) -> Transmission {
        Transmission {
            tenure: vec![vec![Tenure::default(); g.opts.groups.len()]; g.nodes.len()],
            worst: Worst::default(),
        }
    }
    fn silence(&mut self, g: &Ground, node: usize, group: usize) -> Result<(), String> {
        let (n, t) = (&g.nodes[node], &self.tenure[node][group]);
        let vr = &n.vr[group];
        if vr.state != State::Master || !n.healthy() {
            return Ok(());
        }
        // After a fault the next advert is due within one interval of it, as after the last advert.
        let from = t.last.unwrap_or(vr.since).max(vr.since).max(n.touched);
        let interval = g.lasts(node, g.opts.groups[group].members[node].interval);
        let (lasts, bound) = (g.now.since(from), interval + g.lateness);
        self.worst.add(lasts, bound);
        if lasts > bound {
            return Err(format!("node {node}, group {group}: Master, but silent for {lasts:?}, bound {bound:?}"));
        }
        Ok(())
    }
}

impl Checker for Transmission {
    fn id(&self) -> Id {
        Id::I5
    }
    fn worst(&self) -> Worst {
        self.worst
    }
    fn see(&mut self, g: &Ground, fact: &Fact) -> Result<(), String> {
        match *fact {
            Fact::Moved { node, group } => {
                let t = &mut self.tenure[node][group];
                t.in_turn(g.now);
                *t = Tenure { credit: t.turn.1, turn: t.turn, ..Tenure::default() };
            }
            Fact::Heard { node, group, advert, from } | Fact::Overheard { node, group, advert, from } => {
                let loses = advert.priority == 0 || (advert.priority, g.rank(from, group).1) < g.rank(node, group);
                if loses {
                    let t = &mut self.tenure[node][group];
                    t.in_turn(g.now);
                    t.heard += 1;
                }
            }
            Fact::Resumed { node } => self.tenure[node].iter_mut().for_each(|t| t.released(g.now)),
            Fact::Touched => {
                for (n, node) in self.tenure.iter_mut().enumerate() {
                    if g.nodes[n].touched == g.now {
                        node.iter_mut().for_each(|t| t.released(g.now));
                    }
                }
            }
            Fact::Emitted { node, group, advert, how } => {
                let vr = &g.nodes[node].vr[group];
                let leaving = vr.left_master == Some(g.now);
                let interval = g.lasts(node, g.opts.groups[group].members[node].interval);
                // In any state of its successor. A successor that leaves Master repeats its farewell after the last of them.
                if how == How::Left && vr.state != State::Master {
                    return Ok(());
                }
                // What is armed does not leave while the process is paused.
                let awake = g.nodes[node].clock_touched;
                let late = vr.left_master.is_some_and(|t| g.now.since(t.max(awake)) <= interval * (DEPTH as u32 + 1));
                if advert.priority == 0 && how == How::Armed && late {
                    return Ok(());
                }
                if advert.priority == 0 {
                    // It may be Master again: an owner whose fault began and ended within one turn.
                    if !leaving {
                        return Err(format!("node {node}, group {group}: priority 0 without leaving Master"));
                    }
                    return Ok(());
                }
                if vr.state != State::Master && !leaving {
                    return Err(format!("node {node}, group {group}: an advert in state {:?}", vr.state));
                }
                self.silence(g, node, group)?;
                let t = &mut self.tenure[node][group];
                // Those of a frozen process may be of an earlier tenure.
                t.sent += u64::from(how != How::Left);
                t.last = Some(g.now);
                let released = t.from.is_some_and(|from| g.now.since(from) <= g.lateness);
                if how == How::Armed && !released {
                    let apart = t.spaced.map(|before| g.now.since(before));
                    let least = (interval / 2).saturating_sub(g.lateness + interval / 100);
                    if let Some(apart) = apart.filter(|d| *d < least) {
                        return Err(format!(
                            "node {node}, group {group}: two adverts only {apart:?} apart, least {least:?}"
                        ));
                    }
                }
                if how == How::Armed || (how == How::Now && t.sent == 1 && t.from.is_none()) {
                    t.spaced = Some(g.now);
                }
                let elapsed = g.now.since(t.from.unwrap_or(vr.since));
                let per = |d: Duration| (elapsed.as_nanos() / d.as_nanos().max(1)) as u64;
                let answers = t.heard.min(per(g.lasts(node, ANSWER_GAP)) + 1);
                let most = per(interval) + 2 + answers + t.credit + t.burst;
                if t.sent > most {
                    return Err(format!(
                        "node {node}, group {group}: {} adverts in {elapsed:?} at {interval:?}, at most {most}",
                        t.sent
                    ));
                }
            }
            Fact::Tick | Fact::TurnEnd { .. } => {
                for node in 0..g.nodes.len() {
                    for group in 0..g.opts.groups.len() {
                        self.silence(g, node, group)?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
