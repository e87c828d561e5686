//! What tracking adds up to: one weight, and the faults of what is tracked without one.
//!
//! Read first: `health.rs`, which asks; `track/mod.rs`. Everything is added up anew each time, from what is known now: nothing is
//! left over of an earlier verdict, and no sum is corrected by differences. A name that nothing has is not there.

use super::{Cx, Fault, Instance};
use crate::links::Links;
use crate::track::{Kind, Verdict};
use core::fmt::Write;
use std::collections::BTreeSet;

/// A file's number times its weight from here down is a fault, and from here up counts so much (keepalived's bounds).
const FILE: (i64, i64) = (-254, 253);

// The sum so far. `owner`: its priority never changes, so what has a weight is not tracked at all.
#[derive(serde::Serialize, serde::Deserialize)]
struct Sum {
    owner: bool,
    weight: i64,
    faults: BTreeSet<Fault>,
    // What moved the sum, in words; how much more there is than a line holds.
    why: String,
    named: usize,
}

/// So many reasons are named in a line; who has more trackers than that asks for the status of each.
const NAMED: usize = 8;

impl Sum {
    // Above 0: added while up. Below 0: subtracted while down. 0: down is a fault. `reverse` negates what is added, and makes up the
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

    // A file says its number, never up or down.
    fn add_file(&mut self, weight: i32, reverse: bool, value: i32, name: &str) {
        let fault = || Fault::File(name.to_owned(), value);
        let what = (Kind::File.word(), name);
        if weight == 0 {
            return self.add(0, reverse, value == 0, what, fault);
        }
        if self.owner {
            return;
        }
        // Two 32-bit numbers: fits.
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
    // Its own interface is down while it is not Master: the one below counts.
    fn is_up(&self, name: &str, links: &Links) -> bool {
        let own = self.cfg.own().is_some_and(|(_, own)| own == name);
        links.is_up(if own { &self.cfg.interface } else { name })
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
                    // On neither side of its weight.
                    Verdict::Waiting => {}
                    Verdict::Value(n) => sum.add_file(weight, reverse, n, &line.name),
                    Verdict::Up(up) => sum.add(weight, reverse, up, (kind.word(), &line.name), || match kind {
                        Kind::Script => Fault::Script(name()),
                        Kind::Process => Fault::Process(name()),
                        Kind::Check => Fault::Check(name()),
                        // Says its number, never up or down.
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
