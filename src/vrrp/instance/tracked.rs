//! The result of tracking: one sum of weights, and the faults of trackers without weight.
//!
//! Read first: `health.rs`, which calls this; `track/mod.rs`. Everything is summed up anew each time from the present results: no effect
//! of an earlier result remains, and no sum is corrected by differences. An unknown name is ignored.

use super::{Cx, Fault, Instance};
use crate::links::Links;
use crate::track::{Kind, Verdict};
use core::fmt::Write;
use std::collections::BTreeSet;

/// A file's number times its weight is a fault at or below the first value, and counts at most the second (keepalived's bounds).
const FILE: (i64, i64) = (-254, 253);

// The sum so far. `owner`: its priority never changes, so a tracker with a weight is ignored.
#[derive(serde::Serialize, serde::Deserialize)]
struct Sum {
    owner: bool,
    weight: i64,
    faults: BTreeSet<Fault>,
    // The parts of the sum, as text; how many more there are than a line holds.
    why: String,
    named: usize,
}

/// Most reasons in a line; with more trackers, `kalived status` shows each.
const NAMED: usize = 8;

impl Sum {
    // Above 0: added while up. Below 0: subtracted while down. 0: down is a fault. `reverse` negates the added value, and makes up the
    // fault.
    fn add(&mut self, weight: i32, reverse: bool, up: bool, what: (&str, &str), fault: impl FnOnce() -> Fault) {
        let weight = i64::from(weight);
        if weight == 0 {
            if up == reverse {
                self.faults.insert(fault());
            }
        } else if !self.owner && up == (weight > 0) {
            self.count(if reverse { -weight } else { weight }, what);
        }
    }

    // A file has a number, never up or down.
    fn add_file(&mut self, weight: i32, reverse: bool, value: i32, name: &str) {
        let fault = || Fault::File(name.to_owned(), value);
        let what = (Kind::File.word(), name);
        if weight == 0 {
            return self.add(0, reverse, value == 0, what, fault);
        }
        if self.owner {
            return;
        }
        // The product of two 32-bit numbers fits.
        let product = i64::from(value) * i64::from(weight);
        match if reverse { -product } else { product } {
            w if w <= FILE.0 => drop(self.faults.insert(fault())),
            w => self.count(w.min(FILE.1), what),
        }
    }

    fn count(&mut self, weight: i64, (kind, name): (&str, &str)) {
        self.weight += weight;
        if weight != 0 {
            self.named += 1;
            if self.named <= NAMED {
                let _ = write!(self.why, ", {kind} {name} {weight:+}");
            }
        }
    }
}

impl Instance {
    // Its own interfaces are down while it is not Master: the ones below count.
    fn is_up(&self, name: &str, links: &Links) -> bool {
        links.is_up(self.cfg.below(name))
    }

    // Adds the faults of what is tracked; the weight with what it comes from, and what without weight has no result yet.
    pub(super) fn tracked(&self, faults: &mut BTreeSet<Fault>, cx: &Cx<'_>) -> (i64, String, BTreeSet<Fault>) {
        let faults_before = core::mem::take(faults);
        let mut sum = Sum { owner: self.owner(), weight: 0, faults: faults_before, why: String::new(), named: 0 };
        let mut waits = BTreeSet::new();
        for t in &self.cfg.track_interfaces {
            let (up, what) = (self.is_up(&t.name, cx.links), ("interface", t.name.as_str()));
            sum.add(t.weight.into(), t.reverse, up, what, || Fault::Tracked(t.name.clone()));
        }
        // A route over an interface that is down leads nowhere, and its virtual router is not fit to run, as in keepalived.
        for name in self.cfg.more.tracked_by_routes().filter(|name| !self.is_up(name, cx.links)) {
            sum.faults.insert(Fault::Tracked(name.to_owned()));
        }
        for kind in Kind::ALL {
            for line in kind.lines(&self.cfg.more.tracks) {
                let Some((verdict, own)) = cx.tracks.verdict(kind, &line.name) else { continue };
                let (weight, reverse) = (line.weight.unwrap_or(own.weight), line.reverse.unwrap_or(own.reverse));
                let name = || line.name.to_string();
                match verdict {
                    Verdict::Waiting if weight == 0 => drop(waits.insert(Fault::Waiting(kind, name()))),
                    // No weight is added or subtracted.
                    Verdict::Waiting => {}
                    Verdict::Value(n) => sum.add_file(weight, reverse, n, &line.name),
                    Verdict::Up(up) => sum.add(weight, reverse, up, (kind.word(), &line.name), || match kind {
                        Kind::Script => Fault::Script(name()),
                        Kind::Process => Fault::Process(name()),
                        Kind::Check => Fault::Check(name()),
                        Kind::Bfd => Fault::Bfd(name()),
                        Kind::VirtualServer => Fault::VirtualServer(name()),
                        // A file has a number, never up or down.
                        Kind::File => Fault::File(name(), i32::from(!up)),
                    }),
                }
            }
        }
        *faults = sum.faults;
        let mut why = format!("priority {}{}", self.cfg.priority, sum.why);
        if sum.named > NAMED {
            let _ = write!(why, " and {} more", sum.named - NAMED);
        }
        (sum.weight, why, waits)
    }
}
