//! When many checks run: spread over their interval; and a file that keeps a router from preempting. Read first: `track.rs`.

use crate::bench::*;
use crate::track::{file, files, script, scripts, weight};
use kalived::config::model::InstanceConfig;
use kalived::config::model::vrrp::TrackFile;
use kalived::effect::{Effect, GuardFx};
use kalived::event::{ChildEnd, Event, GuardEv};
use kalived::time::Duration;
use kalived::vrrp::State;

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

// The recipe in kalived.conf(5), EXAMPLES: a file below /run, which init_file makes with -100 after a boot, and preempt_delay.
#[test]
fn trap_91_a_rebooted_preferred_master_waits_until_its_connections_are_there() {
    let cfg = InstanceConfig { priority: 200, preempt_delay: S * 60, ..v2() };
    let booted = |synced: &str| {
        let mut b = files(cfg.clone(), vec![TrackFile { weight: weight(1, false), ..file("synced") }]);
        b.reads(0, synced);
        b
    };
    let follows = |b: &mut Bench, seconds: u32| {
        for _ in 0..seconds {
            b.rx(&cfg, PEER, 150, S);
            b.run(S);
        }
        b.state()
    };
    let mut b = booted("-100");
    assert_eq!((b.priority(), follows(&mut b, 300)), (100, State::Backup), "it does not preempt before");
    b.reads(0, "0");
    assert_eq!((b.priority(), follows(&mut b, 55)), (200, State::Backup), "preempt_delay counts from then on");
    assert_eq!(follows(&mut b, 10), State::Master, "{:?}", b.log);
    // The peer dies meanwhile: somebody has to have the address.
    let mut b = booted("-100");
    follows(&mut b, 10);
    b.run(S * 5);
    assert_eq!(b.state(), State::Master, "{:?}", b.log);
    // The daemon alone was started again: the file is there, and only the delay counts.
    let mut b = booted("0");
    assert_eq!((follows(&mut b, 55), follows(&mut b, 10)), (State::Backup, State::Master));
}
