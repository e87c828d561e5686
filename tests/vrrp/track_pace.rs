//! When many checks run: spread over their interval. Read first: `track.rs`.

use crate::bench::*;
use crate::track::{script, scripts};
use kalived::effect::{Effect, GuardFx};
use kalived::event::{ChildEnd, Event, GuardEv};
use kalived::time::Duration;

const S: Duration = Duration::from_secs(1);

#[test]
fn checks_that_start_together_run_apart() {
    let names: Vec<String> = (0..50).map(|i| format!("s{i}")).collect();
    let mut b = scripts(v2(), names.iter().map(|n| script(n)).collect());
    // Every run succeeds at once. The times at which the second and third ones begin:
    let mut runs: Vec<kalived::time::Instant> = Vec::new();
    let begin = b.now.mono;
    while b.now.mono < begin + S * 3 {
        for e in std::mem::take(&mut b.asked) {
            if let Effect::Guard(GuardFx::Spawn { child, .. }) = e {
                runs.push(b.now.mono);
                b.event(Event::Guard(GuardEv::ChildExit { child, end: ChildEnd::Exited(0) }));
            }
        }
        b.run(Duration::from_millis(1));
    }
    let first = runs.iter().filter(|at| at.since(begin) < S / 100).count();
    assert_eq!(first, 50, "the first results are there at once");
    let later: Vec<u128> = runs.iter().map(|at| at.since(begin).as_millis()).filter(|ms| *ms > 10).collect();
    assert!(later.len() >= 100, "each again within the interval, then once an interval: {}", later.len());
    let most = (0..3000).map(|t| later.iter().filter(|ms| (t..t + 10).contains(*ms)).count()).max();
    assert!(most <= Some(6), "{most:?} of 50 begin within 10 ms");
}
