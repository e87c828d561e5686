//! Replay of a recording: the same inputs at the same times, and whether the decisions are the same.
//!
//! Read first: `mod.rs`. The decisions are reported in the words of the log.

use super::file::{Recording, Step};
use super::{Base, Input};
use crate::effect::{Effect, Effects};
use crate::note::Note;
use crate::reload_time::Zone;
use crate::time::Now;
use crate::world::World;
use core::fmt;

/// Characters of an effect or an event that are shown.
const SHOWN: usize = 600;

/// The first decision that differs from the recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differs {
    /// The number of the event, counted as in the recording.
    pub number: u64,
    /// The input, as text.
    pub event: String,
    /// The recorded decision; `None`: there is none.
    pub expected: Option<String>,
    /// The decision now; `None`: there is none.
    pub found: Option<String>,
}

impl fmt::Display for Differs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "nothing more".to_owned());
        write!(
            f,
            "event {} is decided otherwise than it was recorded\n  event:    {}\n  expected: {}\n  found:    {}",
            self.number,
            self.event,
            or_none(&self.expected),
            or_none(&self.found)
        )
    }
}

/// What is reported during the replay.
pub enum Said<'a> {
    /// An input, by its number.
    Input(u64, &'a Input),
    /// An effect of it.
    Effect(&'a Effect),
    /// A line of the log.
    Note(&'a Note),
}

fn short(what: &dyn fmt::Debug) -> String {
    let text = format!("{what:?}");
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}...", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

fn bytes(effect: &Effect) -> Vec<u8> {
    postcard::to_allocvec(effect).unwrap_or_default()
}

/// Replays a recording. `zone`: the machine's, for scheduled reloads. Returns the number of inputs.
pub fn replay(recording: Recording, zone: Zone, tell: &mut dyn FnMut(Now, Said<'_>)) -> Result<u64, Box<Differs>> {
    let mut world = match recording.base {
        Base::Born { config, standby, host } => {
            let mut world = if standby { World::standby(*config) } else { World::new(*config) };
            world.set_host(&host);
            world
        }
        Base::World(world) => *world,
    };
    world.set_zone(zone);
    let mut fx = Effects::default();
    let first = recording.first;
    let mut number = first;
    for Step { at, input, effects } in recording.steps {
        number += 1;
        tell(at, Said::Input(number, &input));
        let event = short(&input);
        match input {
            Input::Event(event) => world.handle(at, *event, &mut fx),
            Input::Fire(limit) => drop(world.fire(at, limit, &mut fx)),
        }
        let found: Vec<Effect> = fx.drain().collect();
        for n in 0..effects.len().max(found.len()) {
            let (then, now) = (effects.get(n), found.get(n));
            if then.map(bytes) != now.map(bytes) {
                let show = |e: Option<&Effect>| e.map(|e| short(e));
                return Err(Box::new(Differs { number, event, expected: show(then), found: show(now) }));
            }
            if let Some(effect) = now {
                tell(at, Said::Effect(effect));
                if let Effect::Note(note) = effect {
                    tell(at, Said::Note(note));
                }
            }
        }
    }
    Ok(number - first)
}
