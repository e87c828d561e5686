//! I-10, notify: hooks and the pipe receive the changes in order, each state once. Without a fault the last one received is the state.
//!
//! A missing state is permitted, until there is no fault: when more than 16 changes waited, at a stop, when another process
//! continued, and when the configuration removed the virtual router.

use super::{Checker, Id};
use crate::ground::{Fact, Ground, Word};
use kalived::vrrp::State;

/// Changes that may wait for a hook.
const PENDING: usize = 16;

fn word(state: State) -> Word {
    match state {
        State::Master => Word::Master,
        State::Backup => Word::Backup,
        State::Fault => Word::Fault,
        State::Init => Word::Stop,
    }
}

// What one receiver has received of one virtual router.
#[derive(Clone, Debug, Default)]
struct Tale {
    // Changes that were not delivered.
    ahead: Vec<Word>,
    // The last change, delivered or not.
    newest: Option<Word>,
    told: Option<Word>,
    // Some may be missing, until there is no fault.
    loose: bool,
}

impl Tale {
    fn happens(&mut self, word: Word, hook: bool) {
        if self.newest != Some(word) {
            self.ahead.push(word);
            self.newest = Some(word);
        }
        self.loose |= word == Word::Stop || hook && self.ahead.len() > PENDING;
    }
    // Another process continues, and delivers at most the present state; `sure`: it knows exactly what was delivered.
    fn passed_on(&mut self, sure: bool) {
        self.loose |= !sure || !self.ahead.is_empty();
    }
    // The configuration removed it, or adds it.
    fn ends(&mut self) {
        self.newest = None;
        self.loose = true;
    }
    fn is_told(&mut self, word: Word) -> Result<(), String> {
        if self.loose {
            // Several equal words cannot be distinguished.
        } else if self.told == Some(word) {
            return Err(format!("{word:?} twice in a row"));
        } else if self.ahead.first() == Some(&word) {
            self.ahead.remove(0);
        } else {
            return Err(format!("{word:?}, and not {:?}", self.ahead));
        }
        self.told = Some(word);
        Ok(())
    }
}

/// See the module.
pub struct Notify {
    // [node][group][hook, pipe]
    tales: Vec<Vec<[Tale; 2]>>,
}

impl Notify {
    pub fn new(g: &Ground) -> Notify {
        Notify { tales: vec![vec![Default::default(); g.opts.groups.len()]; g.nodes.len()] }
    }
}

impl Checker for Notify {
    fn id(&self) -> Id {
        Id::I10
    }
    fn see(&mut self, g: &Ground, fact: &Fact) -> Result<(), String> {
        match *fact {
            // A cold start has no earlier state, and a line under way may have reached the pipe.
            Fact::Started { node } => {
                self.tales[node].iter_mut().flatten().for_each(|t| t.passed_on(false));
            }
            Fact::Frozen { node } => {
                for [hook, pipe] in &mut self.tales[node] {
                    hook.passed_on(true);
                    pipe.passed_on(false);
                }
            }
            Fact::Moved { node, group } => {
                let vr = &g.nodes[node].vr[group];
                // The removal from the configuration is delivered as FAULT, unless the state was FAULT.
                let word = match vr.state {
                    State::Init if !vr.listed && vr.from == State::Fault => return Ok(()),
                    State::Init if !vr.listed => Word::Fault,
                    state => word(state),
                };
                let [hook, pipe] = &mut self.tales[node][group];
                hook.happens(word, true);
                pipe.happens(word, false);
            }
            Fact::Unlisted { node, group } => self.tales[node][group].iter_mut().for_each(Tale::ends),
            Fact::Told { node, group, word, hook } => {
                let who = if hook { "a hook" } else { "the pipe" };
                let tale = &mut self.tales[node][group][usize::from(!hook)];
                tale.is_told(word).map_err(|e| format!("node {node}, group {group}: {who} is told {e}"))?;
            }
            Fact::Quiet => {
                for (node, tales) in self.tales.iter().enumerate() {
                    for (group, tales) in tales.iter().enumerate() {
                        let state = g.nodes[node].vr[group].state;
                        let late = tales.iter().position(|t| t.told != Some(word(state)));
                        if let Some(i) = late.filter(|i| {
                            tales[*i].told != Some(Word::Stop)
                                && state != State::Init
                                && super::liveness::settles(g, group)
                        }) {
                            let told = tales[i].told;
                            let who = ["hook", "pipe"][i];
                            return Err(format!("node {node}, group {group}: {state:?}, last told {told:?} by {who}"));
                        }
                    }
                }
                for tale in self.tales.iter_mut().flatten().flatten() {
                    tale.ahead.clear();
                    tale.loose = false;
                }
            }
            _ => {}
        }
        Ok(())
    }
}
