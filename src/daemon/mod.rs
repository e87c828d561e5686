//! The loop: completions to events, effects to submissions.
//!
//! Read in this order: this file (a turn), `exec` (Effect → system), `adverts` (pre-armed chains), `rtnl`, `log`, `entry` (messages about a configuration in it),
//! `lead` (awake in time), `busy` (too much to do), `guardline` (programs, reloads, the hand-over), `handover` (snapshots), `report`, `core` (from an exec to the
//! first turn). Deliberately absent: any decision about VRRP.

pub mod adverts;
pub mod busy;
pub mod core;
pub mod entry;
pub mod exec;
mod frames;
mod guardline;
pub mod handover;
pub mod helperline;
pub mod lead;
pub mod log;
pub mod netlink;
pub(crate) mod recordings;
pub mod report;
pub mod rtnl;
pub(crate) mod scripthost;
pub mod sends;
mod slice;
pub mod streams;
pub mod token;
pub(crate) mod tools;

use crate::effect::Effects;
use crate::event::Event;
use crate::exit::ExitCode;
use crate::note::{Level, Note};
use crate::report::Part;
use crate::snapshot::Snapshot;
use crate::sys::clock;
use crate::time::{Instant, Now};
use crate::timers::Due;
use crate::world::{Cursor, World};
use exec::Exec;

/// Expired timers dispatched in one turn. Each costs microseconds, so a turn stays below a millisecond; what is left
/// makes the next turn not wait, and packets that came meanwhile are looked at in between.
const FIRE: usize = 64;

/// What the loop drives: the [`World`], or a script in a test.
pub trait Machine {
    /// One input.
    fn handle(&mut self, now: Now, event: Event<'_>, fx: &mut Effects);
    /// Dispatches at most `limit` expired timers; `true`: more are due.
    fn fire(&mut self, now: Now, limit: usize, fx: &mut Effects) -> bool;
    /// When and why to wake next.
    fn next_deadline(&self) -> Option<(Instant, Due)>;
    /// When the next takeover is due.
    fn next_takeover(&self) -> Option<Instant> {
        None
    }
    /// What the next process must know, if that has changed since it was last asked for.
    fn snapshot(&mut self, _now: Now) -> Option<Snapshot> {
        None
    }
    /// The last word of one that has frozen.
    fn last_snapshot(&mut self, _now: Now) -> Option<Snapshot> {
        None
    }
    /// The next part of a report; `None`: that was all of it.
    fn report_part(&mut self, _now: Now, _at: &mut Cursor) -> Option<Part> {
        None
    }
    /// Nothing else is due: the recording may begin another part.
    fn checkpoint(&mut self) {}
    /// What was recorded, for a process of the same program.
    fn recorded(&self) -> Vec<u8> {
        Vec::new()
    }
    /// One line about the states, for the service manager.
    fn summary(&self) -> String {
        String::new()
    }
}

impl Machine for World {
    fn handle(&mut self, now: Now, event: Event<'_>, fx: &mut Effects) {
        World::handle(self, now, event, fx);
    }
    fn fire(&mut self, now: Now, limit: usize, fx: &mut Effects) -> bool {
        World::fire(self, now, limit, fx)
    }
    fn next_deadline(&self) -> Option<(Instant, Due)> {
        World::next_deadline(self)
    }
    fn next_takeover(&self) -> Option<Instant> {
        World::next_takeover(self)
    }
    fn snapshot(&mut self, now: Now) -> Option<Snapshot> {
        World::snapshot(self, now)
    }
    fn last_snapshot(&mut self, now: Now) -> Option<Snapshot> {
        Some(World::last_snapshot(self, now))
    }
    fn report_part(&mut self, now: Now, at: &mut Cursor) -> Option<Part> {
        World::report_part(self, now, at)
    }
    fn checkpoint(&mut self) {
        World::checkpoint(self);
    }
    fn recorded(&self) -> Vec<u8> {
        self.tape().map(crate::record::Tape::dump).unwrap_or_default()
    }
    fn summary(&self) -> String {
        World::summary(self)
    }
}

/// Runs until an [`Effect::Exit`](crate::effect::Effect::Exit).
///
/// A turn: wait until the next deadline or completion → read both clocks once → every completion that was queued when the
/// turn began → *then* the timers (packets before timers: an advert that is here already beats its own master-down) →
/// apply the effects in order → the next wait submits them.
pub fn run(exec: &mut Exec, machine: &mut dyn Machine) -> ExitCode {
    let mut fx = Effects::default();
    let now = clock::now();
    machine.handle(now, Event::Start, &mut fx);
    exec.apply(now, &mut fx);
    let mut more = false;
    loop {
        let next = machine.next_deadline().filter(|_| !exec.exiting());
        let until = next.map(|(at, _)| at);
        // A takeover is as sharp as an advert.
        let takeover = next.and_then(|(at, due)| matches!(due, Due::MasterDown(_)).then_some(at));
        let waited = exec.wait(until, takeover, more);
        let now = clock::now();
        if let Some(e) = waited.err().or_else(|| exec.broken()) {
            fx.note(Note { level: Level::Error, text: format!("the ring failed: {e}") });
            exec.apply(now, &mut fx);
            return ExitCode::Fatal;
        }
        let exiting = exec.exiting();
        exec.events(now, &mut |event| {
            if !exiting {
                machine.handle(now, event, &mut fx);
            }
        });
        more = !exiting && machine.fire(now, FIRE, &mut fx);
        exec.expect_takeover(machine.next_takeover());
        exec.apply(now, &mut fx);
        exec.frames_sent(&mut |now, event| {
            if !exiting {
                machine.handle(now, event, &mut fx);
            }
        });
        more |= !fx.is_empty();
        exec.look_at_load(now);
        exec.keep(now, machine);
        if let Some(code) = exec.finished_at(now.mono) {
            exec.flush();
            return code;
        }
    }
}
