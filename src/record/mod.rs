//! The inputs and effects of a world, recorded so that its decisions can be repeated: the ring in memory.
//!
//! Time, bytes and randomness come in as arguments, so a world that is given the same inputs decides the same. A [`Tape`] keeps the
//! last of them: two segments ([`segment`]), each with the whole state of the world at its beginning. When the second one is
//! full the first is dropped. What is kept for an input is a copy of it and of the effects, encoded (postcard) as it lies in memory:
//! nothing is looked up, sent or written. The state at the beginning of a segment is written when nothing else is due
//! ([`World::checkpoint`](crate::world::World::checkpoint)).
//!
//! Read next: `file.rs` (a recording in a file, without secrets), `replay.rs`. Deliberately absent: the view of the kernel or of a peer.

pub mod file;
pub mod replay;
mod signatures;

use crate::config::model::Config;
use crate::effect::Effect;
use crate::envelope::{Kind, Unusable};
use crate::event::Event;
use crate::time::{Duration, Instant, Now};
use crate::world::World;
use serde::{Deserialize, Serialize};

/// Most bytes of a segment. An advert takes some 150 (its completion, the next one armed, the timers looked at): 255 virtual routers at
/// 1 s have the last 13 seconds at least. All of it is locked memory, and both segments and two states are copied at once when they are
/// asked for.
const SEGMENT: usize = 512 << 10;
/// Bytes of a segment where there are few virtual routers: one at 1 s has the last 27 minutes at least.
const FEW: usize = 256 << 10;

/// Bytes of a segment for so many virtual routers.
pub const fn segment(routers: usize) -> usize {
    if routers > 8 { SEGMENT } else { FEW }
}

/// Bytes a second above which recording stops: some 3,500 adverts. The ring would then hold only the last second or two, and the
/// copies would take a fifth of the processor time of each advert.
const RATE: usize = 512 << 10;
/// How long it stops then.
const PAUSE: Duration = Duration::from_secs(60);

/// The dump of a core: a ring with the layout of its memory. Only a process of the same program reads it.
const KIND: Kind = Kind { magic: *b"KALTAPE\n", name: "ring of events", layouts: 1..=1, max: 256 << 20 };

/// An input of a world.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Input {
    /// An event of the daemon.
    Event(Box<Event<'static>>),
    /// Timers, at most this number.
    Fire(usize),
}

/// The same in the form that is written: by reference.
#[derive(Serialize)]
enum Given<'a> {
    Event(&'a Event<'a>),
    Fire(usize),
}

/// The state at the beginning of a recording.
#[derive(Serialize, Deserialize)]
pub enum Base {
    /// A world that has not started.
    Born {
        /// The configuration of the world.
        config: Box<Config>,
        /// Made with [`World::standby`].
        standby: bool,
        /// The name of the machine.
        host: String,
    },
    /// A running world: only the release that wrote it reads it, so its fields have no names in a file (`packed`).
    #[serde(with = "packed")]
    World(Box<World>),
}

/// A world as one string of bytes (postcard), in the ring and in a file alike.
mod packed {
    use crate::world::World;
    use serde::de::Error as _;
    use serde::ser::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(world: &World, to: S) -> Result<S::Ok, S::Error> {
        let whole = postcard::to_allocvec(world).map_err(S::Error::custom)?;
        bytes::Bytes::from(whole).serialize(to)
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Box<World>, D::Error> {
        let whole = bytes::Bytes::deserialize(from)?;
        match postcard::take_from_bytes(&whole) {
            Ok((world, [])) => Ok(Box::new(world)),
            Ok(_) => Err(D::Error::custom("bytes are left over")),
            Err(e) => Err(D::Error::custom(e)),
        }
    }
}

#[derive(Default)]
struct Segment {
    base: Vec<u8>,
    bytes: Vec<u8>,
    inputs: u64,
}

impl Segment {
    fn begin(&mut self, base: Vec<u8>, longest: usize) {
        self.bytes.clear();
        // Once, and not piece by piece while adverts wait.
        self.bytes.reserve(longest.min(self::longest(SEGMENT)));
        (self.base, self.inputs) = (base, 0);
    }
}

/// The last inputs and effects of a world, in two segments of bounded size.
pub struct Tape {
    segment: usize,
    // The segment before `now`; empty: there is none.
    old: Segment,
    now: Segment,
    // The number of inputs before those of `old`.
    first: u64,
    // The bytes of `now` up to the end of the last input that is complete.
    whole: usize,
    // Too long without a checkpoint, or too much in too short a time: nothing is added until the next checkpoint. What is there stays.
    stopped: bool,
    // When `now` began, the last input, and when recording may continue.
    began: Instant,
    last: Instant,
    resume: Instant,
}

/// A segment that has no successor by then, because something was due all the time, stops the recording until there is one.
const fn longest(segment: usize) -> usize {
    let most = segment + segment / 2;
    if most > FEW { most } else { FEW }
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_allocvec(value).unwrap_or_default()
}

impl Tape {
    /// A tape for a world that is made from `config` and has not started. `segment`: bytes.
    pub fn new(config: &Config, standby: bool, host: &str, segment: usize) -> Tape {
        #[derive(Serialize)]
        enum Born<'a> {
            Born { config: &'a Config, standby: bool, host: &'a str },
        }
        let mut now = Segment::default();
        now.begin(encode(&Born::Born { config, standby, host }), longest(segment));
        let never = Instant::default();
        Tape {
            segment,
            old: Segment::default(),
            now,
            first: 0,
            whole: 0,
            stopped: false,
            began: never,
            last: never,
            resume: never,
        }
    }

    /// Whether a checkpoint is due.
    pub(crate) fn is_full(&self) -> bool {
        if self.stopped { self.last >= self.resume } else { self.now.bytes.len() >= self.segment }
    }

    pub(crate) fn event(&mut self, at: Now, event: &Event<'_>) {
        self.last = at.mono;
        self.put(&(at, Given::Event(event)));
    }

    pub(crate) fn fire(&mut self, at: Now, limit: usize) {
        self.last = at.mono;
        self.put(&(at, Given::Fire(limit)));
    }

    pub(crate) fn wanted(&mut self, effects: &[Effect]) {
        self.put(&effects);
        if !self.stopped {
            self.now.inputs += 1;
            self.whole = self.now.bytes.len();
        }
    }

    fn put<T: Serialize>(&mut self, what: &T) {
        if self.stopped {
            return;
        }
        if self.now.bytes.len() >= longest(self.segment) || postcard::to_io(what, &mut self.now.bytes).is_err() {
            self.stop();
        }
    }

    /// Adds nothing until the next checkpoint; an input whose effects are missing is removed.
    pub(crate) fn stop(&mut self) {
        self.stopped = true;
        self.now.bytes.truncate(self.whole);
    }

    /// Begins another segment, with this world.
    pub(crate) fn turn_over(&mut self, world: &World) {
        #[derive(Serialize)]
        enum Runs<'a> {
            #[allow(dead_code, reason = "its number is that of `Base::Born`")]
            Born,
            #[serde(serialize_with = "packed::serialize")]
            World(&'a World),
        }
        let least = Duration::from_secs(1).saturating_mul(self.segment as u32) / RATE as u32;
        if !self.stopped && self.last.since(self.began) < least {
            self.resume = self.last + PAUSE;
            return self.stop();
        }
        self.began = self.last;
        self.first += self.old.inputs;
        core::mem::swap(&mut self.old, &mut self.now);
        if core::mem::take(&mut self.stopped) {
            self.first += core::mem::take(&mut self.old.inputs);
            self.old.base.clear();
        }
        self.whole = 0;
        self.now.begin(encode(&Runs::World(world)), longest(self.segment));
    }

    /// The whole ring, for a process of the same program. Empty: nothing is recorded.
    pub fn dump(&self) -> Vec<u8> {
        let (base, old) = match self.old.base.is_empty() {
            true => (&self.now.base, &[][..]),
            false => (&self.old.base, &self.old.bytes[..]),
        };
        if base.is_empty() {
            return Vec::new();
        }
        KIND.seal(1, |out| {
            out.reserve(base.len() + old.len() + self.now.bytes.len() + 64);
            for part in [RELEASE.as_bytes(), base, old, &self.now.bytes] {
                out.extend_from_slice(&(part.len() as u64).to_le_bytes());
                out.extend_from_slice(part);
            }
            out.extend_from_slice(&self.first.to_le_bytes());
            Ok::<_, ()>(())
        })
    }
}

/// The version of this program.
pub const RELEASE: &str = env!("CARGO_PKG_VERSION");

/// Decodes the result of [`Tape::dump`].
pub fn read(bytes: &[u8]) -> Result<file::Recording, Unusable> {
    let (_, mut body) = KIND.open(bytes)?;
    let mut parts = [&[][..]; 4];
    for part in &mut parts {
        *part = take_part(&mut body).ok_or_else(|| KIND.malformed("a part is missing"))?;
    }
    let [release, base, old, new] = parts;
    let release = String::from_utf8_lossy(release).into_owned();
    if release != RELEASE {
        return Err(KIND.malformed(format!("it is of kalived {release}, and this is {RELEASE}")));
    }
    let first = <[u8; 8]>::try_from(body).map(u64::from_le_bytes).map_err(|e| KIND.malformed(e))?;
    let base = postcard::from_bytes(base).map_err(|e| KIND.malformed(e))?;
    let mut steps = Vec::new();
    for mut rest in [old, new] {
        while !rest.is_empty() {
            let ((at, input), behind) = postcard::take_from_bytes(rest).map_err(|e| KIND.malformed(e))?;
            let (effects, behind) = postcard::take_from_bytes(behind).map_err(|e| KIND.malformed(e))?;
            steps.push(file::Step { at, input, effects });
            rest = behind;
        }
    }
    Ok(file::Recording { release, first, base, steps })
}

fn take_part<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, rest) = from.split_first_chunk::<8>()?;
    let (part, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*len)).ok()?)?;
    *from = rest;
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::Effects;
    use crate::event::{HelperEv, Signal};
    use crate::time::Instant;

    // Seconds.
    fn at(n: u64) -> Now {
        Now { mono: Instant(n * 1_000_000_000), ..Now::default() }
    }

    fn world(segment: usize) -> World {
        let config = Config::default();
        let tape = Tape::new(&config, false, "host", segment);
        let mut world = World::new(config);
        world.set_host("host");
        world.record(tape);
        world
    }

    fn recorded(world: &World) -> Option<file::Recording> {
        world.tape().map(Tape::dump).filter(|d| !d.is_empty()).map(|d| read(&d).unwrap())
    }

    #[test]
    fn two_segments_are_kept_and_what_is_dropped_is_counted() {
        let (mut w, mut fx) = (world(300), Effects::default());
        let (mut n, mut turned) = (0, 0);
        while turned < 5 {
            let watch = crate::id::Key::from_bits(1 << 32).unwrap();
            w.handle(at(n + 1), Event::Helper(HelperEv::FileRead { watch, result: Ok(&[7; 20_000]) }), &mut fx);
            fx.drain().for_each(drop);
            n += 1;
            let full = w.tape().is_some_and(Tape::is_full);
            w.checkpoint();
            turned += usize::from(full);
            let r = recorded(&w).expect("whole");
            assert_eq!(r.first + r.steps.len() as u64, n, "none is missing, and none is there twice");
            assert_eq!(matches!(r.base, Base::World(_)), turned > 1);
            assert_eq!(r.first > 0, turned > 1);
            assert_eq!(replay::replay(r, |_| 0, &mut |_, _| {}), Ok(n - recorded(&w).expect("whole").first));
        }
    }

    #[test]
    fn without_a_checkpoint_in_time_nothing_is_added_until_the_next() {
        let (mut w, mut fx) = (world(FEW), Effects::default());
        let mut n = 0;
        while recorded_at_all(&w) {
            // An event of the maximum length.
            let watch = crate::id::Key::from_bits(1 << 32).unwrap();
            w.handle(at(n), Event::Helper(HelperEv::FileRead { watch, result: Ok(&[7; 60_000]) }), &mut fx);
            fx.drain().for_each(drop);
            n += 1;
            assert!(n < 1000, "it has a bound");
        }
        let before = recorded(&w).expect("what was there stays");
        assert_eq!((before.first, before.steps.len() as u64), (0, n - 1), "all but the one that did not fit");
        assert!(w.tape().is_some_and(|t| t.now.bytes.len() <= longest(FEW) && t.is_full()));
        w.handle(at(n), Event::Signal(Signal::Hup), &mut fx);
        w.checkpoint();
        w.handle(at(n + 1), Event::Signal(Signal::Hup), &mut fx);
        let r = recorded(&w).expect("whole again");
        assert!(r.steps.len() == 1 && matches!(r.base, Base::World(_)), "{}", r.steps.len());
    }

    #[test]
    fn too_much_in_too_short_a_time_makes_it_pause() {
        let (mut w, mut fx) = (world(3000), Effects::default());
        let hup = |w: &mut World, fx: &mut Effects, n| {
            w.handle(at(n), Event::Signal(Signal::Hup), fx);
            fx.drain().for_each(drop);
        };
        while !w.tape().is_some_and(Tape::is_full) {
            hup(&mut w, &mut fx, 0);
        }
        w.checkpoint();
        assert!(!recorded_at_all(&w) && recorded(&w).is_some_and(|r| !r.steps.is_empty()));
        for n in [1, 59, 60] {
            hup(&mut w, &mut fx, n);
            w.checkpoint();
            assert_eq!(recorded_at_all(&w), n == 60, "{n} s later");
        }
        hup(&mut w, &mut fx, 61);
        assert_eq!(recorded(&w).expect("whole again").steps.len(), 1);
    }

    fn recorded_at_all(w: &World) -> bool {
        w.tape().is_some_and(|t| !t.stopped)
    }

    #[test]
    fn what_is_no_ring_of_this_program_is_refused() {
        let mut w = world(FEW);
        w.handle(at(1), Event::Start, &mut Effects::default());
        let good = w.tape().unwrap().dump();
        assert!(read(&good).is_ok() && read(b"").is_err());
        let body = &good[crate::envelope::HEADER..];
        for n in 0..body.len() {
            let lie = |bytes: &[u8]| {
                KIND.seal(1, |out| {
                    out.extend_from_slice(bytes);
                    Ok::<_, ()>(())
                })
            };
            assert!(read(&lie(&body[..n])).is_err(), "cut at {n}");
            let mut bad = body.to_vec();
            bad[n] ^= 0xff;
            let _ = read(&lie(&bad));
        }
    }
}
