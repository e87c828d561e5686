//! `reload_time_file`: a reload at the time in a file, with both clocks set by the test. Without a time zone local time is UTC.

use crate::bench::{Bench, v2};
use kalived::config::model::Config;
use kalived::effect::{Effect, GuardFx, HelperFx};
use kalived::event::{Errno, Event, GuardEv, HelperEv};
use kalived::id::WatchKey;
use kalived::time::Duration;
use kalived::timers::Due;
use kalived::world::World;

const PATH: &str = "/etc/kalived/reload-at";
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

// The bench's wall clock begins at 2023-11-14 22:13:20.
fn bench(repeat: bool) -> (Bench, WatchKey) {
    let mut config = Config { instances: vec![v2()], ..Config::default() };
    config.global.more.reload_time_file = Some(PATH.into());
    config.global.more.reload_repeat = repeat;
    let mut b = Bench::of(World::new(config));
    b.start();
    let watch = b.asked.iter().find_map(|e| match e {
        Effect::Helper(HelperFx::WatchFile { watch, path }) => (path == PATH).then_some(*watch),
        _ => None,
    });
    (b, watch.expect("the file is watched"))
}

fn reloads(b: &Bench) -> usize {
    b.asked.iter().filter(|e| matches!(e, Effect::Guard(GuardFx::Compile))).count()
}

fn removals(b: &Bench) -> Vec<Vec<String>> {
    let spawned = |e: &Effect| match e {
        Effect::Guard(GuardFx::Spawn { spec, .. }) => Some(spec.argv.clone()),
        _ => None,
    };
    b.asked.iter().filter_map(spawned).collect()
}

// In pieces: the bench ends a run after so many timers.
fn pass(b: &mut Bench, d: Duration) {
    let end = b.now.mono + d;
    while b.now.mono < end {
        b.run(end.since(b.now.mono).min(10 * MINUTE));
    }
}

fn content(b: &mut Bench, watch: WatchKey, text: &str) {
    b.event(Event::Helper(HelperEv::FileRead { watch, result: Ok(text.as_bytes()) }));
}

#[test]
fn it_reloads_once_at_that_time_and_removes_the_file() {
    let (mut b, watch) = bench(false);
    content(&mut b, watch, "22:15:20\n");
    assert_eq!(b.logged("Reload scheduled in 120 s"), 1);
    pass(&mut b, 2 * MINUTE - Duration::from_secs(1));
    assert_eq!(reloads(&b), 0);
    pass(&mut b, Duration::from_secs(2));
    assert_eq!((reloads(&b), removals(&b)), (1, vec![["rm", "-f", "--", PATH].map(str::to_owned).to_vec()]));
    b.event(Event::Helper(HelperEv::FileRead { watch, result: Err(Errno::ENOENT) }));
    pass(&mut b, DAY + MINUTE);
    assert_eq!(reloads(&b), 1);
}

#[test]
fn with_reload_repeat_it_reloads_each_day() {
    let (mut b, watch) = bench(true);
    content(&mut b, watch, "22:15:20Z");
    pass(&mut b, 2 * DAY + 5 * MINUTE);
    assert_eq!((reloads(&b), removals(&b).len()), (3, 0));
    // A date is met once.
    let (mut b, watch) = bench(true);
    content(&mut b, watch, "23-11-14 22:15:20");
    pass(&mut b, 2 * DAY);
    assert_eq!((reloads(&b), removals(&b).len()), (1, 0));
}

#[test]
fn another_time_replaces_it_and_a_removed_file_cancels_it() {
    let (mut b, watch) = bench(false);
    content(&mut b, watch, "22:15:20");
    content(&mut b, watch, "22:20:20");
    pass(&mut b, 3 * MINUTE);
    assert_eq!(reloads(&b), 0);
    b.event(Event::Helper(HelperEv::FileRead { watch, result: Err(Errno::ENOENT) }));
    assert_eq!(b.logged("Scheduled reload cancelled"), 1);
    pass(&mut b, DAY);
    assert_eq!(reloads(&b), 0);
    content(&mut b, watch, "tomorrow");
    assert_eq!(b.logged("no time to reload at"), 1);
    content(&mut b, watch, "2023-01-01 00:00:00");
    assert_eq!(b.logged("its time has passed"), 1);
    pass(&mut b, DAY);
    assert_eq!(reloads(&b), 0);
}

#[test]
fn a_step_of_the_wall_clock_moves_it() {
    let (mut b, watch) = bench(false);
    content(&mut b, watch, "2023-11-15 22:13:20");
    b.now.wall.0 += 86_000 * 1_000_000_000;
    pass(&mut b, 2 * MINUTE);
    assert_eq!(reloads(&b), 0);
    pass(&mut b, 5 * MINUTE);
    assert_eq!(reloads(&b), 1);
    let (mut b, watch) = bench(false);
    content(&mut b, watch, "2023-11-14 22:15:20");
    b.now.wall.0 -= 3600 * 1_000_000_000;
    pass(&mut b, 4 * MINUTE);
    assert_eq!(reloads(&b), 0);
    pass(&mut b, 60 * MINUTE);
    assert_eq!(reloads(&b), 1);
}

#[test]
fn another_configuration_watches_another_file() {
    let (mut b, watch) = bench(false);
    content(&mut b, watch, "22:15:20");
    b.asked.clear();
    let config = Config { instances: vec![v2()], ..Config::default() };
    b.event(Event::Guard(GuardEv::Config(Box::new(config))));
    assert!(b.asked.iter().any(|e| matches!(e, Effect::Helper(HelperFx::Unwatch { watch: w }) if *w == watch)));
    // Was on its way already.
    content(&mut b, watch, "22:15:20");
    pass(&mut b, DAY);
    assert_eq!((reloads(&b), b.world.next_deadline().is_some_and(|(_, d)| d == Due::ReloadTime)), (0, false));
}
