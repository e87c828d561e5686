//! Sync groups in the simulator: the shipped `World` on two or three nodes with an interface on each of several links, whose groups
//! have members on all of them.
//!
//! Read first: `docs/invariants.md` (I-4, L-6), `draw.rs` (what a seed draws), `play.rs` (nodes and network), `faults.rs`. It is separate
//! from the simulator in `tests/sim`, whose nodes have one interface: the rules here are not about the time of a takeover, but about equal
//! states of the members of a group.
//!
//! A failure prints its seed; `KALIVED_SYNC_SEED=n cargo test --test sim sync_seed -- --nocapture` prints what happened.

mod draw;
mod faults;
mod play;

use draw::Drawn;
use play::{Lie, run, run_drawn};

/// Seeds of a run of the test command.
const SEEDS: u64 = 300;
/// Seeds within which a canary must be detected.
const CANARY_SEEDS: u64 = 60;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|v| v.parse().ok())
}

#[test]
fn sync_groups() {
    let seeds = number("KALIVED_SYNC_SEEDS").unwrap_or(SEEDS);
    let (mut takeovers, mut joined, mut yielded) = (0, 0, 0);
    for seed in 0..seeds {
        let (once, again) = (run(seed, None), run(seed, None));
        if let Some(what) = once.violation {
            panic!("seed {seed}: {what}; KALIVED_SYNC_SEED={seed} cargo test --test sim sync_seed -- --nocapture");
        }
        assert_eq!(once.hash, again.hash, "seed {seed}: two runs differ: a hidden clock or an order that is not fixed");
        takeovers += once.takeovers;
        joined += once.joined;
        yielded += once.yielded;
    }
    println!(
        "{seeds} seeds: groups became Master {takeovers} times, yielded {yielded} times; members joined {joined} times"
    );
    // Each rule was checked at least once.
    assert!(takeovers > seeds && joined > seeds / 20 && yielded > seeds / 20);
}

/// Trap 41: each of three routers has the best priority on one of three links, and preempts. In the end one is Master of all, and stays.
#[test]
fn three_routers_that_are_each_better_on_another_link_agree() {
    let cycle = |seed| {
        let mut drawn = Drawn::new(seed);
        (drawn.nodes, drawn.links, drawn.first) = (3, 3, 3);
        drawn.priorities = vec![vec![150, 100, 50], vec![50, 150, 100], vec![100, 50, 150]];
        (drawn.preempt, drawn.weight) = (vec![true; 3], 0);
        if seed % 2 == 0 {
            (drawn.faults, drawn.loss) = (Vec::new(), 0);
        }
        drawn
    };
    for seed in 0..60 {
        let outcome = run_drawn(seed, None, cycle(seed));
        assert_eq!(outcome.violation, None, "seed {seed}");
        assert!(outcome.takeovers > 0, "seed {seed}");
    }
    // Without groups each of them stays Master of its link.
    assert!(run_drawn(0, Some(Lie::NoGroups), cycle(0)).violation.is_some());
}

#[test]
fn sync_seed() {
    if let Some(seed) = number("KALIVED_SYNC_SEED") {
        let outcome = run(seed, None);
        println!("{}", outcome.story.join("\n"));
        assert_eq!(outcome.violation, None);
    }
}

#[test]
fn a_lie_about_groups_is_noticed() {
    for (lie, word) in [
        (Lie::NoGroups, "I-4"),
        (Lie::AddressFirst, "first address"),
        (Lie::LowerPriorities, "L-6"),
        (Lie::RepeatLines, "twice"),
        (Lie::Forgetful, "I-4"),
    ] {
        let found = (0..CANARY_SEEDS).find_map(|seed| run(seed, Some(lie)).violation.filter(|v| v.contains(word)));
        assert!(found.is_some(), "{lie:?} is not noticed");
    }
}
