//! The deterministic simulator: the shipped `World` on 2 to 5 nodes, under a virtual clock, network and kernel, with faults.
//!
//! `cargo test --test sim` runs `KALIVED_SEEDS` seeds (3,000), each twice. A failure prints its seed, a smaller run with the same
//! failure, the events, and the command that repeats it: `KALIVED_SEED=n cargo test --test sim one_seed -- --nocapture`
//! (with `KALIVED_LOG=1` every log line, too). `KALIVED_FROM=n` starts at another seed.
//!
//! Read in this order: `rng`, `faults`, `options` with `auth` (what a seed draws), `ground` (what checkers know), `invariants`, `kernel`
//! with `fib` and `filter`, `node`, `exec`, `scripts`, `net`, `run`, `turn`, `inject`; then `reload`, `handover`, `custody`, `routes`, `recording`. `sync`
//! and `lvs` are simulators of their own, of sync groups and of virtual servers. All these have neither `sys` nor `daemon`, and make
//! no system call. `os` runs the shipped loop and its services over a simulated ring, with random requests, between a guard and a
//! helper, and with the shipped `World` as whole routers on one LAN. `docs/invariants.md` lists what is checked.

mod auth;
mod custody;
mod exec;
mod faults;
mod fib;
mod filter;
mod ground;
mod handover;
mod inert;
mod inject;
mod invariants;
mod kernel;
mod lvs;
mod net;
mod node;
mod options;
mod os;
mod packet;
mod recording;
mod reload;
mod rng;
mod routes;
mod run;
mod scripts;
mod shrink;
mod sync;
mod trace;
mod turn;

use invariants::Id;
use options::Options;
use run::{How, Sabotage, Violation, run};
use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use trace::Figures;

/// Seeds of a run of the test command.
const SEEDS: u64 = 3_000;
/// Seeds within which a canary must be detected.
const CANARY_SEEDS: u64 = 300;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|v| v.parse().unwrap_or_else(|_| panic!("{name} is not a number: {v}")))
}

/// Runs a seed twice; returns the failure, if there is one. A panic of the code under test is a failure, too.
fn examine(seed: u64, figures: &mut Figures) -> Result<(), Violation> {
    let now = kalived::time::Instant::default();
    let once = || {
        std::panic::catch_unwind(|| run(seed, &How::default())).map_err(|_| Violation {
            what: "panic".into(),
            text: "see the message above".into(),
            at: now,
        })
    };
    let first = once()?;
    if let Some(v) = first.violation {
        return Err(v);
    }
    let second = once()?;
    if second.hash != first.hash {
        let text = "two runs of one seed differ: a hidden clock or an order that is not fixed".into();
        return Err(Violation { what: "determinism".into(), text, at: now });
    }
    figures.merge(&first.figures);
    Ok(())
}

/// Everything that is needed to examine a failure.
fn explain(seed: u64, v: &Violation) -> String {
    let (without, least) = shrink::shrink(seed, &How::default(), v);
    let story = |how: &How| match std::panic::catch_unwind(|| run(seed, how)) {
        Ok(outcome) => outcome.story,
        Err(_) => "  (it panicked)\n".to_owned(),
    };
    let opts = Options::draw(seed, &without);
    let groups: Vec<String> = opts
        .groups
        .iter()
        .map(|g| {
            let members = g.members.iter().map(|m| {
                let delay =
                    if m.preempt_delay.is_zero() { String::new() } else { format!(" delay {:?}", m.preempt_delay) };
                format!("{}{} every {:?}{delay}", m.priority, if m.preempt { "" } else { " nopreempt" }, m.interval)
            });
            let members = members.collect::<Vec<_>>().join("; ");
            format!(
                "  VRID {} {:?} {:?} {:?} silent {} {:?} {:?} stranger {:?}: {members}\n",
                g.vrid, g.version, g.family, g.checksum, g.silent, g.unicast, g.auth, g.stranger
            )
        })
        .collect();
    let faults: Vec<String> = faults::Class::ALL
        .into_iter()
        .filter(|c| opts.rates[*c as usize].present)
        .map(|c| {
            let r = opts.rates[c as usize];
            match c.per_packet() {
                true => format!("  {c:?} {}/1000 extra {:?}\n", r.permille, r.extra),
                false => format!("  {c:?} gap {:?} stay {:?}\n", r.gap, r.stay),
            }
        })
        .collect();
    let how = How { without, keep: true, verbose: std::env::var_os("KALIVED_LOG").is_some(), ..How::default() };
    format!(
        "seed {seed}: {} violated at {:?}: {}\nshrunk to {} nodes, hosts {:?}, wire {:?}, wake {:?}, netlink {:?}\n{}{}then at {:?}: {}\n{}\
         again: KALIVED_SEED={seed} cargo test --test sim one_seed -- --nocapture\n",
        v.what,
        v.at,
        v.text,
        opts.nodes,
        opts.host,
        opts.wire,
        opts.wake,
        opts.netlink,
        groups.concat(),
        faults.concat(),
        least.at,
        least.text,
        story(&how),
    )
}

#[test]
fn seeds() {
    let count = number("KALIVED_SEEDS").unwrap_or(SEEDS);
    let from = number("KALIVED_FROM").unwrap_or(0);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let (next, failed) = (AtomicU64::new(from), AtomicBool::new(false));
    let total = Mutex::new((Figures::default(), Vec::<(u64, Violation)>::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut figures = Figures::default();
                while !failed.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + count {
                        break;
                    }
                    if let Err(v) = examine(seed, &mut figures) {
                        failed.store(number("KALIVED_ALL").is_none(), Ordering::Relaxed);
                        total.lock().expect("no thread panics while it holds this").1.push((seed, v));
                    }
                }
                total.lock().expect("no thread panics while it holds this").0.merge(&figures);
            });
        }
    });
    let (figures, mut failures) = total.into_inner().expect("all threads have ended");
    // Written directly: the test harness prints nothing of a test that passes.
    let _ = std::io::stderr().write_all(figures.report().as_bytes());
    failures.sort_by_key(|f| f.0);
    if let Some((seed, v)) = failures.first() {
        for (seed, v) in &failures {
            println!("seed {seed}: {} {}", v.what, v.text);
        }
        panic!("{} of {count} seeds failed\n{}", failures.len(), explain(*seed, v));
    }
}

#[test]
fn one_seed() {
    let seed = number("KALIVED_SEED").unwrap_or(1);
    let mut figures = Figures::default();
    if let Err(v) = examine(seed, &mut figures) {
        panic!("{}", explain(seed, &v));
    }
    if number("KALIVED_SEED").is_some() {
        let verbose = std::env::var_os("KALIVED_LOG").is_some();
        println!("{}{}", run(seed, &How { keep: true, verbose, ..How::default() }).story, figures.report());
    }
}

/// Each invariant, checked alone, detects a canary that violates it: no checker is without effect.
#[test]
fn canaries() {
    let lies = [
        (Sabotage::LowerPriorities, Id::I1),
        (Sabotage::RaisePriorities, Id::I2),
        (Sabotage::KeepAddresses, Id::I3),
        (Sabotage::LoseFrames, Id::I11),
        (Sabotage::RepeatFrames, Id::I11),
        (Sabotage::KeepArmed, Id::I5),
        (Sabotage::Stutter, Id::I5),
        (Sabotage::SlowClock, Id::I5),
        (Sabotage::SlowClock, Id::I8),
        (Sabotage::FastClock, Id::I8),
        (Sabotage::FastClock, Id::H1),
        (Sabotage::LateWakes, Id::I8),
        (Sabotage::EagerTimers, Id::I8),
        (Sabotage::TimersFirst, Id::I9),
        (Sabotage::RaisePriorities, Id::L1),
        (Sabotage::SwallowFarewell, Id::L2),
        (Sabotage::KillForTerm, Id::L2),
        (Sabotage::EarlyHeir, Id::H1),
        (Sabotage::LateHeir, Id::H1),
        (Sabotage::LoseWords, Id::I10),
        (Sabotage::RepeatWords, Id::I10),
        (Sabotage::DeafToLinks, Id::L4),
    ];
    for (lie, id) in lies {
        let how = How { sabotage: Some(lie), only: Some(id), ..How::default() };
        let caught =
            (0..CANARY_SEEDS).find(|seed| run(*seed, &how).violation.is_some_and(|v| v.what == format!("{id:?}")));
        println!("{lie:?}: {id:?} notices at seed {caught:?}");
        assert!(caught.is_some(), "{id:?} does not notice {lie:?} within {CANARY_SEEDS} seeds");
    }
    let how = How { sabotage: Some(Sabotage::SwallowFrames), ..How::default() };
    let caught = (0..CANARY_SEEDS).find(|seed| run(*seed, &how).violation.is_some_and(|v| v.what == "L3"));
    assert!(caught.is_some(), "nobody notices that the client hears nothing");
    let lies =
        [Sabotage::KeepRoutes, Sabotage::NoRoutes, Sabotage::KeepVirtual, Sabotage::KeepRules, Sabotage::NoRules];
    for lie in lies {
        let how = How { sabotage: Some(lie), ..How::default() };
        let caught = (0..CANARY_SEEDS).find(|seed| run(*seed, &how).violation.is_some_and(|v| v.what == "FIB1"));
        assert!(caught.is_some(), "nobody notices {lie:?}");
    }
    for (lie, what) in [(Sabotage::KeepUp, "VMAC1"), (Sabotage::KeepUp, "I3"), (Sabotage::KeepLinks, "VMAC1")] {
        let only = (what == "I3").then_some(Id::I3);
        let how = How { sabotage: Some(lie), only, ..How::default() };
        let caught = (0..CANARY_SEEDS).find(|seed| run(*seed, &how).violation.is_some_and(|v| v.what == what));
        assert!(caught.is_some(), "{what} does not notice {lie:?}");
    }
    let lies = [
        (Sabotage::NoFilter, "F1"),
        (Sabotage::KeepFilter, "F2"),
        (Sabotage::RefuseSigned, "auth"),
        (Sabotage::AcceptForged, "auth"),
    ];
    for (lie, rule) in lies {
        let how = How { sabotage: Some(lie), ..How::default() };
        let caught = (0..CANARY_SEEDS).find(|seed| run(*seed, &how).violation.is_some_and(|v| v.what == rule));
        assert!(caught.is_some(), "rule {rule} does not notice {lie:?} within {CANARY_SEEDS} seeds");
    }
    let how = How { sabotage: Some(Sabotage::ForgetCustody), ..How::default() };
    let caught = (0..CANARY_SEEDS).find(|seed| run(*seed, &how).violation.is_some_and(|v| v.what == "custody"));
    assert!(caught.is_some(), "nobody notices addresses that a hand-over to nobody leaves behind");
    let how = How { sabotage: Some(Sabotage::HeedNoise), ..How::default() };
    let caught = (0..CANARY_SEEDS).find(|seed| run(*seed, &how).violation.is_some_and(|v| v.what == "I6"));
    assert!(caught.is_some(), "nobody notices that a dropped packet has effects");
}
