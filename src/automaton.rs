//! Regular expressions over bytes, matched in slices: the work of one slice is bounded for every expression and every text.
//!
//! Read first: nothing. The expression becomes a nondeterministic automaton of at most `COMPILED` bytes, and the set of its states that
//! are alive is moved over the text byte by byte. There is no cache whose state would decide how long that takes: the steps are a function
//! of expression and text alone, so that a replay needs as many slices. [`Scan`] is all that is kept between two slices.
//!
//! The engine has no look-around, no back-reference and none of PCRE's callouts and verbs, and its `$` matches only at the end of the
//! text (PCRE's `dollar_endonly`).

use regex_automata::nfa::thompson::{BuildError, Compiler, Config, NFA, State, WhichCaptures};
use regex_automata::util::primitives::StateID;
use regex_automata::util::syntax;

/// Largest automaton in bytes: some thousand states, each of which is looked at once in a position at most.
const COMPILED: usize = 256 << 10;

/// A compiled regular expression, for searches in bytes.
#[derive(Clone, Debug)]
pub struct Automaton {
    nfa: NFA,
    // The bytes with which a match can begin; `None`: that is no matter of one byte.
    begins: Option<Box<[bool; 256]>>,
}

/// The progress in one text.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Scan {
    // The next position.
    at: usize,
    // The states that the byte before it leads to.
    alive: Vec<u32>,
}

impl Automaton {
    /// Compiles an expression with these options of PCRE2, or says why not.
    pub fn new(pattern: &str, options: &[Box<str>]) -> Result<Automaton, String> {
        let mut with = syntax::Config::new().unicode(false).utf8(false);
        for option in options {
            with = match &**option {
                "caseless" => with.case_insensitive(true),
                "multiline" => with.multi_line(true),
                "dotall" => with.dot_matches_new_line(true),
                "extended" => with.ignore_whitespace(true),
                "ungreedy" => with.swap_greed(true),
                "utf" | "ucp" => with.unicode(true),
                // How this engine is anyway, or without effect on whether a pattern that it takes matches.
                "dollar_endonly"
                | "no_auto_possess"
                | "no_start_optimize"
                | "no_dotstar_anchor"
                | "no_auto_capture"
                | "never_ucp"
                | "never_utf"
                | "never_backslash_c"
                | "use_offset_limit"
                | "alt_verbnames"
                | "auto_callout"
                | "match_unset_backref"
                | "dupnames" => with,
                other => return Err(format!("only PCRE has regex_options {other}")),
            };
        }
        let limits = Config::new().utf8(false).nfa_size_limit(Some(COMPILED)).which_captures(WhichCaptures::None);
        let nfa = Compiler::new().configure(limits).syntax(with).build(pattern).map_err(|e| why(pattern, &e))?;
        let mut automaton = Automaton { nfa, begins: None };
        automaton.begins = automaton.beginnings();
        Ok(automaton)
    }

    // Where no state looks at what is around a position, a match begins with one of these bytes.
    fn beginnings(&self) -> Option<Box<[bool; 256]>> {
        let mut bytes = Box::new([false; 256]);
        let mut seen = vec![false; self.nfa.states().len()];
        let mut open = vec![self.nfa.start_anchored()];
        while let Some(id) = open.pop() {
            if core::mem::replace(&mut seen[id.as_usize()], true) {
                continue;
            }
            match self.nfa.state(id) {
                State::Look { .. } | State::Match { .. } => return None,
                state => {
                    for (byte, begins) in (0u8..=255).zip(bytes.iter_mut()) {
                        *begins |= next(state, byte).is_some();
                    }
                    others(state, &mut open);
                }
            }
        }
        Some(bytes)
    }

    /// Continues with about so many steps, at most; a step is a byte, or a state in a position. `Some`: whether there is a match that begins
    /// at `first` or later and at `last` or earlier; `None`: that needs another slice.
    pub fn run(&self, text: &[u8], (first, last): (usize, usize), scan: &mut Scan, mut steps: usize) -> Option<bool> {
        scan.at = scan.at.max(first.min(text.len()));
        // In which position a state was looked at last.
        let mut looked = vec![usize::MAX; self.nfa.states().len()];
        let (mut open, mut now) = (Vec::new(), Vec::new());
        loop {
            if scan.alive.is_empty() {
                if let Some(begins) = &self.begins {
                    let rest = text.get(scan.at..).unwrap_or_default();
                    let rest = rest.get(..steps.min(rest.len())).unwrap_or_default();
                    let skipped = rest.iter().position(|b| begins[usize::from(*b)]).unwrap_or(rest.len());
                    scan.at += skipped;
                    steps = steps.saturating_sub(skipped);
                }
                if scan.at > last {
                    return Some(false);
                }
            }
            if steps == 0 {
                return None;
            }
            open.extend(scan.alive.drain(..).filter_map(|id| StateID::new(id as usize).ok()));
            open.extend((scan.at <= last).then(|| self.nfa.start_anchored()));
            while let Some(id) = open.pop() {
                steps = steps.saturating_sub(1);
                if core::mem::replace(&mut looked[id.as_usize()], scan.at) == scan.at {
                    continue;
                }
                match self.nfa.state(id) {
                    State::Match { .. } => return Some(true),
                    State::Look { look, next } => {
                        open.extend(self.nfa.look_matcher().matches(*look, text, scan.at).then_some(*next));
                    }
                    State::ByteRange { .. } | State::Dense(_) => now.push(id),
                    State::Sparse(some) => {
                        // The ranges are looked at one by one.
                        steps = steps.saturating_sub(some.transitions.len() / 4);
                        now.push(id);
                    }
                    state => others(state, &mut open),
                }
            }
            let Some(byte) = text.get(scan.at) else { return Some(false) };
            scan.alive.extend(now.drain(..).filter_map(|id| next(self.nfa.state(id), *byte)).map(|id| id.as_u32()));
            scan.at += 1;
        }
    }
}

// Where a byte leads.
fn next(state: &State, byte: u8) -> Option<StateID> {
    match state {
        State::ByteRange { trans } => trans.matches_byte(byte).then_some(trans.next),
        State::Sparse(some) => some.matches_byte(byte),
        State::Dense(all) => all.matches_byte(byte),
        _ => None,
    }
}

// Where a state leads without a byte.
fn others(state: &State, open: &mut Vec<StateID>) {
    match state {
        State::Union { alternates } => open.extend(alternates.iter()),
        State::BinaryUnion { alt1, alt2 } => open.extend([*alt1, *alt2]),
        State::Capture { next, .. } => open.push(*next),
        _ => {}
    }
}

fn why(pattern: &str, e: &BuildError) -> String {
    let only_pcre = [
        ("(?=", "look-ahead"),
        ("(?!", "look-ahead"),
        ("(?<=", "look-behind"),
        ("(?<!", "look-behind"),
        ("(?>", "an atomic group"),
        ("(?R", "recursion"),
        ("(*", "a verb"),
        ("\\1", "a back-reference"),
        ("\\K", "\\K"),
    ];
    if e.size_limit().is_some() {
        return "it becomes larger than 256 KiB".into();
    }
    match only_pcre.iter().find(|(sign, _)| pattern.contains(sign)) {
        Some((_, what)) => format!("it has {what}, which only PCRE has"),
        None => {
            // The parser's message has several lines, with a mark under the pattern; the log gets one.
            let text = core::error::Error::source(e).map_or_else(|| e.to_string(), |source| source.to_string());
            text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // How many slices of so many steps a text needs, and the result.
    fn slices(pattern: &str, text: &[u8], steps: usize) -> (usize, bool) {
        let automaton = Automaton::new(pattern, &[]).unwrap();
        let mut scan = Scan::default();
        for n in 1.. {
            if let Some(found) = automaton.run(text, (0, usize::MAX), &mut scan, steps) {
                return (n, found);
            }
        }
        unreachable!()
    }

    #[test]
    fn no_expression_makes_a_slice_longer() {
        let text: Vec<u8> = (0..64u32 << 10).map(|n| b"0123456789 abcdefgh"[(n * n % 1009 % 19) as usize]).collect();
        for pattern in ["[0-9].{0,40}OK", "(a.*b.*){60}x", "((a|b)*a(a|b){20}c|.*b.*a.*b.*d){8}e", "(.*.*.*.*){100}x"] {
            let automaton = Automaton::new(pattern, &[]).unwrap();
            let states = automaton.nfa.states().len();
            let mut scan = Scan::default();
            let mut before = 0;
            while automaton.run(&text, (0, usize::MAX), &mut scan, 1000).is_none() {
                // It goes on in each slice, and what is kept is a set of states.
                assert!(scan.at > before && scan.at - before <= 1001 && scan.alive.len() <= states, "{pattern}");
                before = scan.at;
            }
        }
        assert_eq!(slices("zzz", &text, 1 << 15), (3, false), "a byte is a step");
        assert!(slices("efgh", b"x efefgh", 1).1);
    }

    proptest! {
        // In slices of any size it finds what the `regex` crate's own rules say: here by brute force over all substrings of a text that is
        // short, with an engine that knows only whole texts.
        #[test]
        fn slices_of_any_size_find_the_same(
            pattern in "[ab.]([ab.]|a\\*|\\(a\\|bb\\)|b\\{1,2\\}){0,4}", text in "[abc]{0,12}", steps in 1usize..9, first in 0usize..6, last in 0usize..12,
        ) {
            let automaton = Automaton::new(&pattern, &[]).unwrap();
            let whole = Automaton::new(&format!("^(?:{pattern})$"), &[]).unwrap();
            let is = |part: &str| whole.run(part.as_bytes(), (0, 0), &mut Scan::default(), usize::MAX) == Some(true);
            let want = (first..=last.min(text.len())).any(|from| (from..=text.len()).any(|to| is(&text[from..to])));
            let mut scan = Scan::default();
            let found = loop {
                if let Some(found) = automaton.run(text.as_bytes(), (first, last), &mut scan, steps) {
                    break found;
                }
                // What is kept survives being written.
                let bytes = serde_json::to_vec(&scan).unwrap();
                scan = serde_json::from_slice(&bytes).unwrap();
            };
            prop_assert_eq!(found, want, "{} in {}", pattern, text);
        }
    }
}
