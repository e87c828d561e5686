//! The loop: completions to events, effects to submissions.
//!
//! Read in this order: this file (a turn), `exec` (which service does what), `sockets`, `adverts` (armed adverts) with `sends`, `frames`,
//! `bfd`, `rtnl`, `ipvs`, `nft`, `streams`, `log`, `lead` (waking before a deadline), `busy` (an overloaded processor), `guardline`
//! (programs, reloads, the hand-over), `helperline`, `handover` (snapshots), `report`, `core` (from an exec to the first turn), `os` (what
//! all of it is generic over). Deliberately absent: any decision about VRRP.

pub mod adverts;
pub mod bfd;
pub mod busy;
pub mod core;
pub mod exec;
mod frames;
mod guardline;
pub mod handover;
pub mod helperline;
pub mod ipvs;
pub mod lead;
pub mod log;
mod lull;
mod needed;
pub mod netlink;
pub mod netsocket;
pub mod nft;
pub mod os;
pub mod report;
pub mod rtnl;
pub mod sends;
mod slice;
pub mod sockets;
pub mod streams;
pub mod token;

use crate::effect::Effects;
use crate::event::Event;
use crate::exit::ExitCode;
use crate::note::{Level, Note};
use crate::report::Part;
use crate::snapshot::Snapshot;
use crate::time::{Instant, Now};
use crate::timers::Due;
use crate::world::{Cursor, World};
use exec::Exec;
use os::Os;

/// Expired timers dispatched in one turn. Each takes microseconds, so a turn stays below a millisecond; if timers remain, the next turn
/// does not wait, and packets that came meanwhile are handled in between.
pub const FIRE: usize = 64;

/// The state machine that the loop drives: the [`World`], or a script in a test.
pub trait Machine {
    /// Handles one input.
    fn handle(&mut self, now: Now, event: Event<'_>, fx: &mut Effects);
    /// Dispatches at most `limit` expired timers; `true`: more are due.
    fn fire(&mut self, now: Now, limit: usize, fx: &mut Effects) -> bool;
    /// The next deadline and its reason.
    fn next_deadline(&self) -> Option<(Instant, Due)>;
    /// When the next takeover is due.
    fn next_takeover(&self) -> Option<Instant> {
        None
    }
    /// The state for the next process, if it changed since the last call.
    fn snapshot(&mut self, _now: Now) -> Option<Snapshot> {
        None
    }
    /// The last snapshot of a frozen machine.
    fn last_snapshot(&mut self, _now: Now) -> Option<Snapshot> {
        None
    }
    /// The next part of a report; `None`: the report is complete.
    fn report_part(&mut self, _now: Now, _at: &mut Cursor) -> Option<Part> {
        None
    }
    /// Nothing else is due: the recording may begin another segment.
    fn checkpoint(&mut self) {}
    /// The recording, for a process of the same program.
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
/// A turn: wait until the next deadline or completion → read both clocks once → handle every completion that was queued when the turn
/// began → *then* the timers (packets before timers: an advert that was received already precedes its own Master_Down_Timer) → apply the
/// effects in order → the next wait submits them.
pub fn run<O: Os>(exec: &mut Exec<O>, machine: &mut dyn Machine) -> ExitCode {
    let mut turn = Turn::begin(exec, machine);
    loop {
        turn.sleep(exec, machine);
        if let Some(code) = turn.wake(exec, machine) {
            return code;
        }
    }
}

/// The state between two turns. The simulator calls its methods itself, because its clock stands still while a node sleeps.
#[derive(Default)]
pub struct Turn {
    fx: Effects,
    more: bool,
    failed: Option<std::io::Error>,
}

impl Turn {
    /// Handles the first input.
    pub fn begin<O: Os>(exec: &mut Exec<O>, machine: &mut dyn Machine) -> Turn {
        let mut turn = Turn::default();
        let now = exec.os().now();
        machine.handle(now, Event::Start, &mut turn.fx);
        exec.apply(now, &mut turn.fx);
        turn
    }

    /// Waits until the next deadline or completion.
    pub fn sleep<O: Os>(&mut self, exec: &mut Exec<O>, machine: &mut dyn Machine) {
        let next = machine.next_deadline().filter(|_| !exec.exiting());
        let until = next.map(|(at, _)| at);
        // A takeover must be on time, like an advert.
        let takeover = next.and_then(|(at, due)| matches!(due, Due::MasterDown(_)).then_some(at));
        self.failed = exec.sleep(until, takeover, self.more).err();
    }

    /// The wait is over. `Some`: the loop ends with this code.
    pub fn wake<O: Os>(&mut self, exec: &mut Exec<O>, machine: &mut dyn Machine) -> Option<ExitCode> {
        let fx = &mut self.fx;
        exec.woke();
        let now = exec.os().now();
        if let Some(e) = self.failed.take().or_else(|| exec.broken()) {
            fx.note(Note { level: Level::Error, text: format!("the ring failed: {e}") });
            exec.apply(now, fx);
            return Some(ExitCode::Fatal);
        }
        let exiting = exec.exiting();
        exec.events(now, &mut |event| {
            if !exiting {
                machine.handle(now, event, fx);
            }
        });
        // Nor are timers handled before packets that are still in the sockets.
        self.more = !exiting && (exec.is_behind() || machine.fire(now, FIRE, fx));
        exec.expect_takeover(machine.next_takeover());
        exec.apply(now, fx);
        exec.frames_sent(&mut |now, event| {
            if !exiting {
                machine.handle(now, event, fx);
            }
        });
        self.more |= !fx.is_empty();
        exec.look_at_load(now);
        exec.keep(now, machine);
        let code = exec.finished_at(now.mono);
        if code.is_some() {
            exec.flush();
        }
        code
    }
}
