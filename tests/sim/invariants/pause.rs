//! I-9, pause: what was received comes before timers. In a turn that hands a winning advert to a Master, it leaves Master;
//! in one that hands an acceptable advert to a Backup, it stays Backup. After a pause a Master sends at most the adverts
//! that were armed, and if its queue held a winning one, none after that.
//!
//! Stated for every turn, not only the first after a pause: it is the same rule.

use super::{Checker, Id};
use crate::ground::{Fact, Ground, How};
use kalived::vrrp::State;

#[derive(Clone, Copy, Default)]
struct Turn {
    // A winning advert was handed to a Master in this turn.
    must_yield: bool,
    // An advert that restarts the timer of a Backup was handed to it, after any priority 0.
    must_wait: bool,
    // Losing adverts handed to it in this turn before the winning one: each may rightly have been answered.
    answers: u32,
    // Adverts by the loop in this turn.
    sent: u32,
}

/// See the module.
pub struct Pause {
    turn: Vec<Vec<Turn>>,
    resumed: Vec<bool>,
}

impl Pause {
    pub fn new(g: &Ground) -> Pause {
        Pause {
            turn: vec![vec![Turn::default(); g.opts.groups.len()]; g.nodes.len()],
            resumed: vec![false; g.nodes.len()],
        }
    }
}

impl Checker for Pause {
    fn id(&self) -> Id {
        Id::I9
    }
    fn see(&mut self, g: &Ground, fact: &Fact) -> Result<(), String> {
        match *fact {
            Fact::Resumed { node } => self.resumed[node] = true,
            Fact::Heard { node, group, advert, from } if from != node => {
                let (state, turn) = (g.nodes[node].vr[group].state, &mut self.turn[node][group]);
                let ours = g.opts.groups[group].members[node].priority;
                match state {
                    State::Master
                        if advert.priority > 0 && (advert.priority, g.rank(from, group).1) > g.rank(node, group) =>
                    {
                        turn.must_yield = true;
                    }
                    State::Master if !turn.must_yield => turn.answers += 1,
                    State::Backup if advert.priority == 0 => turn.must_wait = false,
                    State::Backup if advert.priority >= ours => turn.must_wait = true,
                    _ => {}
                }
            }
            Fact::Emitted { node, group, advert, how: How::Now } if advert.priority > 0 => {
                self.turn[node][group].sent += 1;
            }
            Fact::TurnEnd { node } => {
                let after = if std::mem::take(&mut self.resumed[node]) { "the turn after a pause" } else { "a turn" };
                for group in 0..self.turn[node].len() {
                    let t = std::mem::take(&mut self.turn[node][group]);
                    let state = g.nodes[node].vr[group].state;
                    if t.must_yield && state == State::Master {
                        return Err(format!(
                            "node {node}, group {group}: still Master at the end of {after} with a better advert"
                        ));
                    }
                    if t.must_yield && t.sent > t.answers {
                        return Err(format!(
                            "node {node}, group {group}: {} adverts in {after} that made it yield",
                            t.sent
                        ));
                    }
                    if t.must_wait && state == State::Master {
                        return Err(format!(
                            "node {node}, group {group}: became Master in {after} with a valid advert"
                        ));
                    }
                }
            }
            Fact::Ended { node } => {
                self.turn[node].fill(Turn::default());
                self.resumed[node] = false;
            }
            _ => {}
        }
        Ok(())
    }
}
