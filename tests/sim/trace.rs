//! The trace of a run: a hash of all events, to compare two runs of one seed; a text with the state changes and faults, one column for
//! each node; and figures, which are summed over all seeds.

use crate::faults::Class;
use crate::ground::Word;
use crate::invariants::{Id, Worst};
use kalived::note::Note;
use kalived::time::Instant;
use kalived::vrrp::State;
use std::fmt::Write as _;

/// Lines of the text that are printed: the last ones before the end, which are the useful ones.
const PRINTED: usize = 60;

/// See the module.
#[derive(Default)]
pub struct Trace {
    hash: u64,
    /// (time, node, what).
    lines: Vec<(Instant, usize, String)>,
    // Whether the text has log notes, too.
    verbose: bool,
    // Whether lines are kept; hashing is always done.
    keep: bool,
}

impl Trace {
    /// An empty one. `keep`: with the text; `verbose`: with log notes.
    pub fn new(keep: bool, verbose: bool) -> Trace {
        Trace { keep, verbose, ..Trace::default() }
    }
    /// Mixes a number in.
    pub fn mix(&mut self, x: u64) {
        self.hash = (self.hash.rotate_left(5) ^ x).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
    /// Mixes bytes in.
    pub fn bytes(&mut self, tag: u64, bytes: &[u8]) {
        self.mix(tag);
        for chunk in bytes.chunks(8) {
            let mut word = [0u8; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
    }
    /// A log note: its words are part of the behaviour.
    pub fn note(&mut self, now: Instant, node: usize, note: &Note) {
        self.bytes(0x107e, note.text.as_bytes());
        if self.verbose {
            self.line(now, node, format!("\u{b7} {}", note.text));
        }
    }
    /// A state change.
    pub fn state(&mut self, now: Instant, node: usize, group: usize, from: State, to: State) {
        self.mix(0x57a7e ^ (node as u64) << 32 ^ (group as u64) << 40 ^ (to as u64) << 48);
        if self.keep {
            self.line(now, node, format!("VI_{group} {}\u{2192}{}", from.word(), to.word()));
        }
    }
    /// A hook or the pipe receives a state.
    pub fn told(&mut self, now: Instant, node: usize, group: usize, who: &str, word: Word) {
        self.mix(0x701d ^ (node as u64) << 32 ^ (group as u64) << 40 ^ (word as u64) << 48);
        if self.verbose {
            self.line(now, node, format!("{who}: VI_{group} {word:?}"));
        }
    }
    /// A fault begins or ends.
    pub fn fault(&mut self, now: Instant, node: usize, class: Class, begins: bool) {
        self.mix(0xfa17 ^ (node as u64) << 32 ^ (class as u64) << 40 ^ u64::from(begins) << 48);
        if self.keep {
            self.line(now, node, format!("{}{class:?}", if begins { "+" } else { "-" }));
        }
    }
    /// Any line.
    pub fn line(&mut self, now: Instant, node: usize, text: String) {
        if self.keep {
            self.lines.push((now, node, text));
        }
    }
    /// The hash so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }
    /// The text, one column for each node.
    pub fn story(&self, nodes: usize) -> String {
        let most = if self.verbose { usize::MAX } else { PRINTED };
        let skipped = self.lines.len().saturating_sub(most);
        let mut out = String::new();
        if skipped > 0 {
            let _ = writeln!(out, "  ... {skipped} lines before");
        }
        let head: String = (0..nodes).map(|n| format!("{:<24}", format!("node {n}"))).collect();
        let _ = writeln!(out, "{:>16}  {head}", "seconds");
        for (t, node, text) in &self.lines[skipped..] {
            let time = format!("{}.{:06}", t.0 / 1_000_000_000, t.0 % 1_000_000_000 / 1000);
            let _ = writeln!(out, "{time:>16}  {:indent$}{text}", "", indent = 24 * node);
        }
        out
    }
}

/// Figures of one run, or of all.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Runs added up.
    pub seeds: u64,
    /// Simulated nanoseconds.
    pub simulated: u128,
    /// Events handled.
    pub events: u64,
    /// Adverts sent.
    pub adverts: u64,
    /// State changes.
    pub transitions: u64,
    /// Hooks run and lines written about a state.
    pub told: u64,
    /// Signed adverts that were accepted, that were refused as copies or outside the window, and an attacker's.
    pub signed: [u64; 3],
    /// Additions of addresses that were to be filtered before.
    pub filtered: u64,
    /// State changes by old and new state.
    pub edges: [[u64; 4]; 4],
    /// By class.
    pub faults: [u64; Class::ALL.len()],
    /// By invariant.
    pub worst: [Worst; Id::ALL.len()],
    /// Most events of one seed, and which.
    pub longest: (u64, u64),
}

impl Figures {
    /// Adds another's.
    pub fn merge(&mut self, o: &Figures) {
        self.seeds += o.seeds;
        self.simulated += o.simulated;
        self.events += o.events;
        self.adverts += o.adverts;
        self.transitions += o.transitions;
        self.told += o.told;
        self.filtered += o.filtered;
        self.signed.iter_mut().zip(o.signed).for_each(|(a, b)| *a += b);
        for (a, b) in self.edges.iter_mut().flatten().zip(o.edges.as_flattened()) {
            *a += b;
        }
        self.faults.iter_mut().zip(o.faults).for_each(|(a, b)| *a += b);
        self.worst.iter_mut().zip(o.worst).for_each(|(a, b)| a.merge(b));
        self.longest = self.longest.max(o.longest);
    }
    /// As text.
    pub fn report(&self) -> String {
        let mut out = String::new();
        let hours = self.simulated / 3_600_000_000_000;
        let _ =
            writeln!(out, "simulator: {} seeds, each run twice with equal traces; {hours} simulated hours", self.seeds);
        let _ = writeln!(
            out,
            "  events {}, adverts {}, transitions {}, told {}, filtered {}; longest seed {} with {} events",
            self.events, self.adverts, self.transitions, self.told, self.filtered, self.longest.1, self.longest.0
        );
        let [accepted, refused, forged] = self.signed;
        let _ = writeln!(
            out,
            "  signed adverts accepted {accepted}, copies or old ones refused {refused}, forged ones {forged}"
        );
        let edges = State::ALL.iter().flat_map(|a| State::ALL.iter().map(move |b| (*a, *b)));
        let edges = edges.map(|(a, b)| (a, b, self.edges[a as usize][b as usize])).filter(|e| e.2 > 0);
        let edges: Vec<String> = edges.map(|(a, b, n)| format!("{}\u{2192}{} {n}", a.word(), b.word())).collect();
        let _ = writeln!(out, "  edges: {}", edges.join(", "));
        let faults = Class::ALL.map(|c| format!("{c:?} {}", self.faults[c as usize])).join(", ");
        let _ = writeln!(out, "  faults: {faults}");
        for id in Id::ALL {
            let w = self.worst[id as usize];
            if w.count > 0 {
                let _ = writeln!(
                    out,
                    "  {id:?}: largest value / bound {:.3} in {} measurements",
                    w.permille as f64 / 1000.0,
                    w.count
                );
            }
        }
        out
    }
}
