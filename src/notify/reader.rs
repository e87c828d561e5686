//! The program that kalived starts to read a named pipe: started with the pipe, restarted when it ends, never run twice.
//!
//! Read first: `fifo.rs`.

use super::queue::HARD;
use super::{Cx, script, text};
use crate::child::For;
use crate::config::model::setting::Script;
use crate::effect::{Effect, GuardFx};
use crate::event::ChildEnd;
use crate::id::ChildKey;
use crate::time::{Duration, Instant};

/// Pause before a reader that ended is started again; doubles up to a minute, and starts over after the reader ran for a minute, so that
/// a faulty script does not load the machine.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// From the end of the pipe to SIGTERM.
const BY_ITSELF: Duration = Duration::from_secs(1);

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Run {
    number: u64,
    child: ChildKey,
    since: Instant,
}

/// The reader of one pipe: its command, its run, and the pause before the next start.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Reader {
    script: Option<Script>,
    run: Option<Run>,
    pause: Option<Duration>,
    again: Option<Instant>,
    // When SIGTERM is sent; after that, when SIGKILL is sent.
    term: Option<Instant>,
    kill: Option<Instant>,
    // Not started again.
    over: bool,
}

impl Reader {
    /// Sets the program; a running one is kept if it is the same.
    pub fn set(&mut self, path: &str, script: Option<&Script>, cx: &mut Cx<'_>) {
        if self.script.as_ref() == script && !self.over {
            return;
        }
        self.end(cx);
        self.over = false;
        self.pause = None;
        self.again = None;
        self.script = script.cloned();
        if let Some(Err(why)) = script.map(script::check) {
            let program = script.map_or("", script::program);
            cx.fx.note(text::refused(path, "notify_fifo_script", program, &why, 0));
            self.script = None;
        }
    }

    /// Starts the program if it is to run and does not.
    pub fn pump(&mut self, path: &str, pipe_is_there: bool, cx: &mut Cx<'_>) {
        if !pipe_is_there || self.over || self.run.is_some() || self.again.is_some_and(|at| at > cx.now.mono) {
            return;
        }
        let Some(Ok(mut spec)) = self.script.as_ref().map(|s| script::spec(s, &[path.to_owned()])) else { return };
        spec.alone = true;
        self.again = None;
        let number = cx.number();
        let child = cx.children.spawn(For::Hook(number), spec, cx.fx);
        self.run = Some(Run { number, child, since: cx.now.mono });
    }

    /// A program ended; returns whether it was this reader.
    pub fn on_exit(&mut self, path: &str, number: u64, end: ChildEnd, cx: &mut Cx<'_>) -> bool {
        let Some(run) = self.run.take_if(|r| r.number == number) else { return false };
        let asked = self.kill.is_some() || self.term.is_some();
        (self.term, self.kill) = (None, None);
        if !asked && !self.over {
            let lived = cx.now.mono.since(run.since);
            let pause = if lived >= PAUSE.1 { PAUSE.0 } else { self.pause.unwrap_or(PAUSE.0) };
            self.pause = Some((pause * 2).min(PAUSE.1));
            self.again = Some(cx.now.mono + pause);
            cx.fx.note(text::reader_ended(path, end, pause));
        }
        true
    }

    /// Sends SIGTERM; the program is not started again until it is set again.
    pub fn end(&mut self, cx: &mut Cx<'_>) {
        self.over = true;
        self.again = None;
        if let Some(run) = &self.run
            && self.kill.is_none()
        {
            cx.fx.push(Effect::Guard(GuardFx::Kill { child: run.child, hard: false }));
            self.term = None;
            self.kill = Some(cx.now.mono + HARD);
        }
    }

    /// The pipe is closed: SIGTERM follows if the program does not end by itself.
    pub fn end_soon(&mut self, cx: &mut Cx<'_>) {
        self.over = true;
        self.again = None;
        if self.run.is_some() && self.term.is_none() && self.kill.is_none() {
            self.term = Some(cx.now.mono + BY_ITSELF);
        }
    }

    /// Another process takes over: no SIGKILL follows SIGTERM; the guard kills a reader that ignores it.
    pub fn hush(&mut self) {
        self.kill = None;
    }

    /// Whether the reader does not run.
    pub fn idle(&self) -> bool {
        self.run.is_none()
    }

    /// Runs what is due.
    pub fn on_due(&mut self, cx: &mut Cx<'_>) {
        let Some(run) = &self.run else { return };
        let now = cx.now.mono;
        if self.term.is_some_and(|at| at <= now) {
            self.term = None;
            self.kill = Some(now + HARD);
            cx.fx.push(Effect::Guard(GuardFx::Kill { child: run.child, hard: false }));
        } else if self.kill.is_some_and(|at| at <= now) {
            // And again later, in case a system call in the kernel does not end.
            self.kill = Some(now + HARD);
            cx.fx.push(Effect::Guard(GuardFx::Kill { child: run.child, hard: true }));
        }
    }

    /// The time of the next due action.
    pub fn deadline(&self, pipe_is_there: bool) -> Option<Instant> {
        [self.again.filter(|_| pipe_is_there && self.run.is_none()), self.term, self.kill].into_iter().flatten().min()
    }

    /// Kills the reader without delay.
    pub fn kill(&mut self, cx: &mut Cx<'_>) {
        if let Some(run) = &self.run {
            cx.fx.push(Effect::Guard(GuardFx::Kill { child: run.child, hard: true }));
        }
    }
}
