//! I-9, pause: received packets are handled before timers. A Master that receives a winning advert in a turn leaves Master in it; a
//! Backup that receives an acceptable advert stays Backup. After a pause a Master sends at most the adverts that were armed, and after a
//! winning advert in its queue none. If it was paused for three intervals or more and is still Master, it sends an advert before it waits
//! again, and an announcement within `announce::RETRY`, because hosts may have learned another Master. The announcement may wait for that
//! of another router on the same interface: they are paced.
//!
//! The rule is checked in every turn, not only in the first one after a pause.

use super::announce::RETRY;
use super::{Checker, GRAIN, Id, Worst};
use crate::ground::{Fact, Ground, How};
use core::time::Duration;
use kalived::time::Instant;
use kalived::vrrp::State;

/// This long after the last netlink fault every retry has been made.
const SURE: Duration = Duration::from_secs(12);

#[derive(Clone, Copy, Debug, Default)]
struct Turn {
    // A winning advert was handed to a Master in this turn.
    must_yield: bool,
    // An advert that restarts the timer of a Backup was handed to it, after any priority 0.
    must_wait: bool,
    // Losing adverts handed to it in this turn before the winning one: each may rightly have been answered.
    answers: u32,
    // Adverts by the loop in this turn.
    sent: u32,
    // Adverts and announcements since it has begun to react to its pause, over the turns that follow at once.
    said: u32,
    announced: u32,
    // A completion reported an advert that left so long ago that another router may have taken over meanwhile.
    stood_still: bool,
    moved: bool,
}

/// See the module.
pub struct Pause {
    turn: Vec<Vec<Turn>>,
    resumed: Vec<bool>,
    // Since when it has to announce: it was paused and is still Master.
    owed: Vec<Vec<Option<Instant>>>,
    worst: Worst,
}

impl Pause {
    pub fn new(g: &Ground) -> Pause {
        Pause {
            turn: vec![vec![Turn::default(); g.opts.groups.len()]; g.nodes.len()],
            resumed: vec![false; g.nodes.len()],
            owed: vec![vec![None; g.opts.groups.len()]; g.nodes.len()],
            worst: Worst::default(),
        }
    }
    // The announcement must come in time. The time begins anew where it is not possible.
    fn compare(&mut self, g: &Ground) -> Result<(), String> {
        for (node, owed) in self.owed.iter_mut().enumerate() {
            let n = &g.nodes[node];
            for (group, owed) in owed.iter_mut().enumerate() {
                let Some(from) = owed else { continue };
                if n.vr[group].state != State::Master {
                    *owed = None;
                    continue;
                }
                let able = n.healthy()
                    && !n.netlink_sick
                    && g.now.since(n.netlink_touched) > SURE
                    && n.vips[group].iter().all(|v| *v);
                *from = if able { (*from).max(n.touched).max(n.clock_touched) } else { g.now };
                if g.now.since(*from) > RETRY {
                    return Err(format!("node {node}, group {group}: stood still, still Master, and did not announce"));
                }
            }
        }
        Ok(())
    }
}

impl Checker for Pause {
    fn id(&self) -> Id {
        Id::I9
    }
    fn worst(&self) -> Worst {
        self.worst
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
                self.turn[node][group].said += 1;
            }
            Fact::Unsent { node, group, how: How::Now } => {
                self.turn[node][group].sent += 1;
                self.turn[node][group].said += 1;
            }
            Fact::Announced { node, group, .. } => {
                self.turn[node][group].announced += 1;
                if let Some(from) = self.owed[node][group].take() {
                    self.worst.add(g.now.since(from), RETRY);
                }
            }
            Fact::Moved { node, group } => {
                self.turn[node][group].moved = true;
                self.owed[node][group] = None;
            }
            Fact::Touched | Fact::Tick => return self.compare(g),
            Fact::HeardLate { node, group, due } => {
                let vr = &g.nodes[node].vr[group];
                let silent = g.lasts(node, g.opts.groups[group].members[node].interval * 3) + GRAIN;
                self.turn[node][group].stood_still |=
                    vr.state == State::Master && due > vr.since && g.now.since(due) >= silent;
            }
            Fact::TurnEnd { node, more } => {
                let after = if std::mem::take(&mut self.resumed[node]) { "the turn after a pause" } else { "a turn" };
                for group in 0..self.turn[node].len() {
                    let t = std::mem::take(&mut self.turn[node][group]);
                    if more {
                        // Timers are left over: it may react in the turn that follows at once.
                        let (stood_still, moved) = (t.stood_still, t.moved);
                        let (said, announced) = (t.said, t.announced);
                        self.turn[node][group] = Turn { stood_still, moved, said, announced, ..Turn::default() };
                    }
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
                    if t.stood_still && t.announced == 0 && state == State::Master {
                        self.owed[node][group].get_or_insert(g.now);
                    }
                    if t.stood_still && !more && !t.moved && t.said == 0 && g.nodes[node].healthy() {
                        return Err(format!(
                            "node {node}, group {group}: stood still, still Master, and did not say so in {after}: {t:?}"
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
                self.owed[node].fill(None);
                self.turn[node].fill(Turn::default());
                self.resumed[node] = false;
            }
            _ => {}
        }
        Ok(())
    }
}
