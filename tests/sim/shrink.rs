//! Makes a failing run smaller: drops fault classes one by one, then nodes, then virtual routers, as long as the same
//! invariant still fails. Runs are cheap and each class has its own random numbers, so this is a plain loop.
//!
//! Read first: `options.rs` (`Without`). Deliberately absent: removing single events.

use crate::faults::Class;
use crate::options::{Options, Without};
use crate::run::{How, Violation, run};

/// The smallest way found in which `what` is still violated, and that violation.
pub fn shrink(seed: u64, how: &How, found: &Violation) -> (Without, Violation) {
    let mut best = (how.without.clone(), found.clone());
    let tries = |without: &Without| {
        let attempt = How { without: without.clone(), ..how.clone() };
        let outcome = std::panic::catch_unwind(|| run(seed, &attempt)).ok()?;
        outcome.violation.filter(|v| v.what == found.what)
    };
    for class in Class::ALL {
        let mut less = best.0.clone();
        less.classes.push(class);
        if let Some(v) = tries(&less) {
            best = (less, v);
        }
    }
    let drawn = Options::draw(seed, &how.without);
    for nodes in 2..drawn.nodes {
        let less = Without { nodes: Some(nodes), ..best.0.clone() };
        if let Some(v) = tries(&less) {
            best = (less, v);
            break;
        }
    }
    for groups in 1..drawn.groups.len() {
        let less = Without { groups: Some(groups), ..best.0.clone() };
        if let Some(v) = tries(&less) {
            best = (less, v);
            break;
        }
    }
    best
}
