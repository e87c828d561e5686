//! Recordings: a replay makes the same decisions, from the start of a process and from any checkpoint.
//!
//! Read first: `kalived::record`. In a recorded run each process has a recording; at its end, and at the end of the run, it is processed
//! as a file (secrets replaced, written, read) and replayed. A recorded run has the same history as one that is not recorded.

use crate::options::Options;
use crate::run::{How, Sim, run};
use kalived::config::model::Config;
use kalived::effect::{AdvertFx, Effect};
use kalived::record::file::Recording;
use kalived::record::replay::{Differs, replay};
use kalived::record::{self, Tape};
use kalived::world::World;

/// Seeds of a run of the test command: each is run twice, and its processes are replayed.
const SEEDS: u64 = 60;

/// The content of the replays, to check that they were not empty.
#[derive(Clone, Copy, Debug, Default)]
pub struct Replayed {
    pub recordings: u64,
    pub events: u64,
    /// Begun from a checkpoint.
    pub from_checkpoints: u64,
}

impl Sim {
    /// The world of a new process.
    pub fn born(&self, config: Config, standby: bool) -> World {
        let tape = self.recorded.map(|segment| Tape::new(&config, standby, "host", segment));
        let mut world = if standby { World::standby(config) } else { World::new(config) };
        if let Some(tape) = tape {
            world.set_host("host");
            world.record(tape);
        }
        world
    }

    /// Its end, or that of the run.
    pub fn check_recording(&mut self, world: &World) {
        let Some(tape) = world.tape() else { return };
        let recording = match through_a_file(tape) {
            Ok(recording) => recording,
            Err(why) => return self.violate("recording".into(), why),
        };
        self.replayed.recordings += 1;
        self.replayed.from_checkpoints += u64::from(recording.first > 0);
        match replay(recording, |_| 0, &mut |_, _| {}) {
            Ok(n) => self.replayed.events += n,
            Err(differs) => self.violate("recording".into(), differs.to_string()),
        }
    }

    /// Of every process that is left.
    pub fn check_recordings(&mut self) {
        for node in 0..self.nodes.len() {
            if let Some(p) = self.nodes[node].process.take() {
                self.check_recording(&p.world);
                self.nodes[node].process = Some(p);
            }
        }
    }
}

/// The recording as a file has it: secrets replaced, written, read.
pub fn through_a_file(tape: &Tape) -> Result<Recording, String> {
    let dump = tape.dump();
    let mut recording = record::read(&dump).map_err(|e| format!("{} bytes: {e}", dump.len()))?;
    recording.hide_secrets();
    Recording::decode(&recording.encode()).map_err(|e| e.to_string())
}

#[test]
fn what_was_recorded_is_decided_again() {
    let mut sum = Replayed::default();
    for seed in 0..SEEDS {
        // A segment that fills many times in a run, or never.
        let segment = if seed % 3 == 0 { usize::MAX / 2 } else { 4_000 };
        let outcome = run(seed, &How { recorded: Some(segment), ..How::default() });
        if let Some(v) = outcome.violation {
            panic!("seed {seed}: {} at {:?}: {}", v.what, v.at, v.text);
        }
        let plain = run(seed, &How::default());
        assert_eq!(outcome.hash, plain.hash, "seed {seed}: a world with a tape decides otherwise");
        sum.recordings += outcome.replayed.recordings;
        sum.events += outcome.replayed.events;
        sum.from_checkpoints += outcome.replayed.from_checkpoints;
    }
    println!("{sum:?}");
    assert!(sum.recordings > SEEDS && sum.events > 1000 * SEEDS && sum.from_checkpoints > SEEDS / 2, "{sum:?}");
}

/// A replay that decided something else: where, and what.
#[test]
fn a_recording_that_is_decided_otherwise_says_where() {
    let mut found = false;
    let mut lie = |recording: Recording| {
        let mut recording = recording;
        let total = recording.steps.len();
        let is_advert = |e: &Effect| matches!(e, Effect::Advert(AdvertFx::At { .. }));
        let Some(at) = recording.steps.iter().rposition(|s| s.effects.iter().any(is_advert)) else { return };
        for effect in &mut recording.steps[at].effects {
            if let Effect::Advert(AdvertFx::At { epoch, .. }) = effect {
                *epoch += 1000;
            }
        }
        let first = recording.first;
        let Differs { number, expected, found: now, .. } =
            *replay(recording, |_| 0, &mut |_, _| {}).expect_err("an epoch is another one");
        assert!(number == first + at as u64 + 1 && number <= first + total as u64, "{number}, {at} of {total}");
        let (expected, now) = (expected.expect("an effect was recorded"), now.expect("an effect is found"));
        assert!(expected.contains("Advert(At") && now.contains("Advert(At") && expected != now, "{expected} {now}");
        found = true;
    };
    let how = How { recorded: Some(usize::MAX / 2), ..How::default() };
    let mut sim = Sim::new(Options::draw(3, &how.without), &how);
    sim.play();
    let left = sim.nodes.iter().filter_map(|n| n.process.as_ref()?.world.tape());
    left.filter_map(|tape| through_a_file(tape).ok()).for_each(&mut lie);
    assert!(found, "no world of this seed sent an advert");
}
