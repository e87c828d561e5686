//! I-10, notify: hooks and the pipe are told what happened, in order, each state once. In the calm the last word is the state.
//!
//! Not held against the order, until the calm: what waited when more than 16 changes did,
//! at a stop, when another process went on, and when the configuration gave the virtual router up.

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

// One listener's knowledge of one virtual router.
#[derive(Clone, Debug, Default)]
struct Tale {
    // What happened and was not told.
    ahead: Vec<Word>,
    // What happened last, told or not.
    newest: Option<Word>,
    told: Option<Word>,
    // Some may be passed over, until the calm.
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
    // Another process goes on, and tells at most how things stand; `sure`: it knows exactly what was told.
    fn passed_on(&mut self, sure: bool) {
        self.loose |= !sure || !self.ahead.is_empty();
    }
    // The configuration gave it up, or takes it on.
    fn ends(&mut self) {
        self.newest = None;
        self.loose = true;
    }
    fn is_told(&mut self, word: Word) -> Result<(), String> {
        if self.loose {
            // Which of several equal words this is cannot be told.
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
            // A cold start knows nothing of before, and a pipe may have taken the line that was on its way.
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
                // No longer in the configuration is a FAULT, unless it was one.
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
