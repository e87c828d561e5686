//! Virtual servers in the simulator: the shipped `World` with one to three services, a kernel's IPVS table and servers of every protocol
//! that has a check, which answer, refuse, hang, are silent, break off, or say something else.
//!
//! Read first: `docs/invariants.md` (virtual servers), `draw.rs` (what a seed draws), `play.rs` (the run), `servers.rs` (what servers say),
//! `rules.rs` (the rules). It is a separate simulator, as `sync/` is, because nothing here depends on another node.
//!
//! A failure prints its seed; `KALIVED_LVS_SEED=n cargo test --test sim lvs_seed -- --nocapture` prints what happened.

mod draw;
mod play;
mod rules;
mod servers;
#[path = "../../lvs/table.rs"]
mod table;

use draw::Speaks;
use play::{Lie, run};

/// Seeds of a run of the test command.
const SEEDS: u64 = 300;
/// Seeds within which a canary must be detected.
const CANARY_SEEDS: u64 = 60;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|v| v.parse().ok())
}

#[test]
fn virtual_servers() {
    let seeds = number("KALIVED_LVS_SEEDS").unwrap_or(SEEDS);
    let (mut removed, mut returned, mut sorry, mut restored, mut replayed) = (0, 0, 0, 0, 0);
    for seed in 0..seeds {
        let (once, again) = (run(seed, None), run(seed, None));
        if let Some(what) = once.violation {
            panic!("seed {seed}: {what}; KALIVED_LVS_SEED={seed} cargo test --test sim lvs_seed -- --nocapture");
        }
        assert_eq!(once.hash, again.hash, "seed {seed}: two runs differ: a hidden clock or an order that is not fixed");
        removed += once.removed;
        returned += once.returned;
        sorry += once.sorry;
        restored += once.restored;
        replayed += once.replayed;
    }
    println!(
        "{seeds} seeds: servers left the table {removed} times and came back {returned} times, sorry servers came {sorry} times, \
         entries were put right {restored} times, {replayed} events of recordings from checkpoints were decided again"
    );
    // Each rule was checked at least once.
    assert!(removed > seeds && returned > seeds && sorry > seeds / 10 && restored > seeds / 10 && replayed > seeds);
}

#[test]
fn lvs_seed() {
    if let Some(seed) = number("KALIVED_LVS_SEED") {
        let outcome = run(seed, None);
        println!("{}", outcome.story.join("\n"));
        assert_eq!(outcome.violation, None);
    }
}

#[test]
fn a_lie_about_virtual_servers_is_noticed() {
    for (lie, word) in [
        (Lie::KeepServers, "V-1"),
        (Lie::AllAnswer, "V-1"),
        (Lie::NoneAnswers, "V-2"),
        (Lie::KeepSorry, "V-3"),
        (Lie::RepeatHooks, "V-4"),
        (Lie::TakeOthers, "V-5"),
        (Lie::KeepServices, "V-5"),
        (Lie::Believes(Speaks::Http), "V-1"),
        (Lie::Believes(Speaks::Smtp), "V-1"),
        (Lie::Believes(Speaks::Dns), "V-1"),
        (Lie::Believes(Speaks::Udp), "V-1"),
        (Lie::Believes(Speaks::Ping), "V-1"),
        (Lie::ForgetVerdicts, "V-7"),
    ] {
        let found = (0..CANARY_SEEDS).find_map(|seed| run(seed, Some(lie)).violation.filter(|v| v.contains(word)));
        assert!(found.is_some(), "{lie:?} is not noticed");
    }
}
