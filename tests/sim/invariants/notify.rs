//! I-10, notify: hooks and the pipe are told what happened, in order, each state once; what waits may be passed over only when
//! more than 16 changes wait, at a stop, and from one process to the next, which tells where things stand. In the calm the
//! last word is the state.
//!
//! Two in a row that are equal are a mistake, also across a hand-over and a crash; but not across a cold start, nor when the
//! configuration gave the virtual router up in between (FAULT, then, is the word for that).

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
    // What happened and was not told; `None`: whatever follows is of another virtual router of that name.
    ahead: Vec<Option<Word>>,
    // What happened last, told or not.
    newest: Option<Word>,
    told: Option<Word>,
    // The next word may pass some over; or say the last once more.
    may_skip: bool,
    may_repeat: bool,
}

impl Tale {
    fn happens(&mut self, word: Word) {
        if self.newest != Some(word) {
            self.ahead.push(Some(word));
            self.newest = Some(word);
        }
        self.may_skip |= word == Word::Stop;
    }
    fn ends(&mut self) {
        self.ahead.push(None);
        self.newest = None;
    }
    // Another process goes on, and tells at most how things stand.
    fn passed_on(&mut self, cold: bool) {
        let end = self.ahead.iter().rposition(Option::is_none).map_or(0, |i| i + 1);
        if self.ahead.len() > end {
            let last = self.ahead.pop();
            self.ahead.truncate(end);
            self.ahead.extend(last);
        }
        (self.may_skip, self.may_repeat) = (true, cold);
    }
    fn is_told(&mut self, word: Word, hook: bool) -> Result<(), String> {
        let skips = core::mem::take(&mut self.may_skip) || hook && self.ahead.len() > PENDING;
        let repeats = core::mem::take(&mut self.may_repeat) && self.told == Some(word);
        let Some(i) = self.ahead.iter().position(|w| *w == Some(word)) else {
            // Nothing new: what was told before, told to somebody who may not know.
            return if repeats { Ok(()) } else { Err(format!("{word:?}, which did not happen; {self:?}")) };
        };
        let before: Vec<Option<Word>> = self.ahead.drain(..=i).collect();
        if !skips && before[..i].iter().any(Option::is_some) {
            return Err(format!("{word:?}, and not what was before: {before:?}; {self:?}"));
        }
        if self.told == Some(word) && !repeats && !before.contains(&None) {
            return Err(format!("{word:?} twice in a row"));
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
            Fact::Started { node } => self.tales[node].iter_mut().flatten().for_each(|t| t.passed_on(true)),
            // It knows what was told before.
            Fact::Inherits { node, knows } if knows => {
                self.tales[node].iter_mut().for_each(|t| t[0].may_repeat = false);
            }
            // The line that was on its way may have been taken.
            Fact::Frozen { node } => {
                self.tales[node].iter_mut().for_each(|[hook, pipe]| {
                    hook.passed_on(false);
                    pipe.passed_on(true);
                });
            }
            Fact::Moved { node, group } => {
                let vr = &g.nodes[node].vr[group];
                // No longer in the configuration is a FAULT, unless it was one.
                let word = match vr.state {
                    State::Init if !vr.listed && vr.from == State::Fault => return Ok(()),
                    State::Init if !vr.listed => Word::Fault,
                    state => word(state),
                };
                self.tales[node][group].iter_mut().for_each(|t| t.happens(word));
            }
            Fact::Unlisted { node, group } => self.tales[node][group].iter_mut().for_each(Tale::ends),
            Fact::Told { node, group, word, hook } => {
                let who = if hook { "a hook" } else { "the pipe" };
                let tale = &mut self.tales[node][group][usize::from(!hook)];
                tale.is_told(word, hook).map_err(|e| format!("node {node}, group {group}: {who} is told {e}"))?;
            }
            Fact::Quiet => {
                for (node, tales) in self.tales.iter().enumerate() {
                    for (group, tales) in tales.iter().enumerate() {
                        let state = g.nodes[node].vr[group].state;
                        let late = tales.iter().position(|t| t.told != Some(word(state)));
                        if let Some(i) = late.filter(|_| state != State::Init && super::liveness::settles(g, group)) {
                            let told = tales[i].told;
                            let who = ["hook", "pipe"][i];
                            return Err(format!("node {node}, group {group}: {state:?}, last told {told:?} by {who}"));
                        }
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
