//! Named pipes: a line for each change, for programs that run permanently.
//!
//! Read first: `change.rs`; event.rs (`FifoReady`, `FifoWritten`); `reader.rs`, the program that kalived may start as reader. One write
//! is in flight per pipe, so lines never mix. Lines that cannot be written are queued, up to a limit. Beyond the limit the oldest lines
//! are dropped, and as soon as there is room the reader gets `RESYNC "kalived" LOST <n>`, the latest of the lost states of each virtual
//! router, and then the queued lines.

use super::reader::Reader;
use super::{Cx, text};
use crate::config::model::global::{Fifo, GlobalMore};
use crate::config::model::setting::{Ready, Script};
use crate::effect::{Effect, HelperFx, NO_GROUP};
use crate::event::{ChildEnd, Errno};
use crate::id::{Arena, FifoKey, FifoMark};
use crate::time::{Duration, Instant, earliest};
use crate::vrrp::change::{Subject, What};
use crate::vrrp::fsm::State;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Lines queued for one pipe, beside the 64 KiB in the kernel: four for each of 255 virtual routers.
const BACKLOG: usize = 1024;
/// The longest line: a line has to be written as a whole or not at all (PIPE_BUF).
const LONGEST: usize = 4096;
/// Pause before a pipe that failed is opened again; doubles up to a minute.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// The longest wait for a full pipe at a stop.
const AT_STOP: Duration = Duration::from_secs(2);

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Line {
    // `None`: the line has no subject.
    who: Option<Subject>,
    // The line is about a state: the latest such line is kept.
    state: Option<What>,
    text: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
enum Open {
    No,
    // The open was requested.
    Asked,
    // The pipe is full: `FifoReady` reports when it has room.
    Full,
    Ready,
    // A line is being written: the first of `urgent`, else of `backlog`.
    Writing,
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Pipe {
    owner: (u32, u32),
    says: Says,
    key: Option<FifoKey>,
    open: Open,
    again: Option<Instant>,
    pause: Duration,
    // The error that was logged, so that the same error is logged once.
    trouble: Option<Errno>,
    // The lines after a loss; written first.
    urgent: VecDeque<Line>,
    backlog: VecDeque<Line>,
    lost: u64,
    lost_states: BTreeMap<Subject, Line>,
    reader: Reader,
    // No longer in the configuration: removed when its reader has ended.
    gone: bool,
}

/// All named pipes, by path: the descriptor of each, its reader, and the lines that wait.
#[derive(Default, serde::Serialize, serde::Deserialize)]
pub struct Fifos {
    pipes: BTreeMap<String, Pipe>,
    keys: Arena<FifoMark, String>,
    stop_began: Option<Instant>,
    // The state in the last line that any pipe took.
    told: BTreeMap<Subject, State>,
    #[serde(default)]
    changed: BTreeSet<Subject>,
}

/// `INSTANCE "name" STATE PRIO`, or `GROUP` in its place. For servers, whose names have brackets: `VS name STATE`, `RS name of STATE`.
pub fn line(who: &Subject, word: &str, priority: u8) -> Bytes {
    let clean = |c: char| if c.is_control() || c == '"' { '?' } else { c };
    // A name that leaves no room for the rest is cut; names of files are shorter.
    let safe = |name: &str, most: usize| {
        let mut safe = String::new();
        for c in name.chars().map(clean) {
            if safe.len() + c.len_utf8() > most {
                break;
            }
            safe.push(c);
        }
        safe
    };
    let (kind, room) = (who.kind(), LONGEST - 64);
    Bytes::from(match who {
        Subject::Instance(name) | Subject::Group(name) => {
            format!("{kind} \"{}\" {word} {priority}\n", safe(name, room))
        }
        Subject::VirtualServer(name) => format!("{kind} {} {word}\n", safe(name, room)),
        Subject::RealServer { server, of } => {
            format!("{kind} {} {} {word}\n", safe(server, room / 2), safe(of, room / 2))
        }
    })
}

// The configured pipes and their readers. Two keywords with the same path are one pipe, with the reader of the first.
fn wanted(more: &GlobalMore) -> Vec<(&Fifo, Option<&Script>, Says)> {
    let mut found: Vec<(&Fifo, Option<&Script>, Says)> = Vec::new();
    let all = [
        (&more.notify_fifo, &more.notify_fifo_script, Says { vrrp: true, lvs: true }),
        (&more.vrrp_notify_fifo, &more.vrrp_notify_fifo_script, Says { vrrp: true, lvs: false }),
        (&more.lvs_notify_fifo, &more.lvs_notify_fifo_script, Says { vrrp: false, lvs: true }),
    ];
    for (fifo, script, says) in all {
        let Some(f) = fifo else { continue };
        match found.iter_mut().find(|(have, ..)| have.path == f.path) {
            Some((.., before)) => *before = Says { vrrp: before.vrrp || says.vrrp, lvs: before.lvs || says.lvs },
            None => found.push((f, script.as_deref(), says)),
        }
    }
    found
}

// The subjects of a pipe's lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Says {
    vrrp: bool,
    lvs: bool,
}

impl Says {
    fn about(self, who: &Subject) -> bool {
        match who {
            Subject::Instance(_) | Subject::Group(_) => self.vrrp,
            Subject::VirtualServer(_) | Subject::RealServer { .. } => self.lvs,
        }
    }
}

/// Owner and group of a pipe. Without a configured owner it is the reader's user, and no other user can read. Without a configured group,
/// no group can read.
fn owner(fifo: &Fifo, reader: Option<&Script>) -> Result<(u32, u32), String> {
    let (uid, gid) = match &fifo.ready {
        Ready::As { uid, gid } => (*uid, *gid),
        Ready::Unknown if fifo.user.is_none() && fifo.group.is_none() => (0, 0),
        Ready::Unknown => return Err("its owner was not looked up".to_owned()),
        Ready::Refused(why) => return Err(why.to_string()),
    };
    let gid = if fifo.group.is_some() { gid } else { NO_GROUP };
    match reader.filter(|_| fifo.user.is_none()).map(|s| &s.ready) {
        Some(Ready::As { uid, .. }) => Ok((*uid, gid)),
        _ => Ok((uid, gid)),
    }
}

impl Fifos {
    /// The state of the pipes; a configuration has three at most.
    pub fn report(&self) -> Vec<crate::report::Pipe> {
        let pipe = |(path, p): (&String, &Pipe)| crate::report::Pipe {
            path: path.clone(),
            open: !matches!(p.open, Open::No | Open::Asked),
            lines_waiting: (p.urgent.len() + p.backlog.len()) as u64,
            lines_lost: p.lost,
        };
        self.pipes.iter().map(pipe).collect()
    }

    /// Opens and closes pipes as the configuration requires. An unchanged pipe continues undisturbed, with its reader.
    pub fn set(&mut self, more: &GlobalMore, cx: &mut Cx<'_>) {
        let mut keep = Vec::new();
        for (fifo, script, says) in wanted(more) {
            let owner = match owner(fifo, script) {
                Ok(owner) => owner,
                Err(why) => {
                    cx.fx.note(text::fifo_refused(&fifo.path, &why));
                    continue;
                }
            };
            keep.push(fifo.path.to_string());
            let pipe = self.pipes.entry(fifo.path.to_string()).or_insert_with(|| Pipe::new(owner, says));
            pipe.gone = false;
            pipe.says = says;
            if pipe.owner != owner {
                pipe.owner = owner;
                close(&mut self.keys, pipe, cx);
            }
            pipe.reader.set(&fifo.path, script, cx);
            if pipe.key.is_none() {
                open(&mut self.keys, &fifo.path, pipe, cx);
            }
            pipe.reader.pump(&fifo.path, pipe.is_open(), cx);
        }
        for (path, pipe) in &mut self.pipes {
            if !keep.contains(path) {
                pipe.gone = true;
                close(&mut self.keys, pipe, cx);
                pipe.reader.end(cx);
            }
        }
        self.pipes.retain(|_, p| !(p.gone && p.reader.idle()));
    }

    /// Queues a line for every pipe; `state`: the state that the line contains.
    pub fn tell(&mut self, who: &Subject, state: Option<What>, text: &Bytes, cx: &mut Cx<'_>) {
        for (path, pipe) in self.pipes.iter_mut().filter(|(_, p)| !p.gone && p.says.about(who)) {
            pipe.backlog.push_back(Line { who: Some(who.clone()), state, text: text.clone() });
            // The line being written is the first of `backlog` when `urgent` is empty.
            let first = usize::from(pipe.open == Open::Writing && pipe.urgent.is_empty());
            if pipe.backlog.len() > BACKLOG
                && let Some(old) = pipe.backlog.remove(first)
            {
                if pipe.lost == 0 {
                    cx.fx.note(text::fifo_full(path));
                }
                pipe.lost += 1;
                if let (Some(who), Some(_)) = (&old.who, old.state) {
                    pipe.lost_states.insert(who.clone(), old);
                }
            }
            pump(pipe, cx);
        }
    }

    /// The pipe can be written to, or the open failed.
    pub fn on_ready(&mut self, key: FifoKey, result: Result<(), Errno>, cx: &mut Cx<'_>) {
        let Some(path) = self.keys.get(key).cloned() else { return };
        let Some(pipe) = self.pipes.get_mut(&path).filter(|p| p.key == Some(key)) else { return };
        match result {
            Ok(()) => {
                pipe.pause = AGAIN.0;
                pipe.trouble = None;
                if matches!(pipe.open, Open::Asked | Open::Full) {
                    pipe.open = Open::Ready;
                }
                if pipe.lost > 0 {
                    cx.fx.note(text::fifo_lost(&path, pipe.lost));
                }
                pump(pipe, cx);
                pipe.reader.pump(&path, true, cx);
            }
            Err(e) => {
                pipe.trouble(&path, e, cx);
                self.failed(&path, cx);
            }
        }
    }

    /// A line was written, or the write failed.
    pub fn on_written(&mut self, key: FifoKey, result: Result<(), Errno>, cx: &mut Cx<'_>) {
        let Some(path) = self.keys.get(key).cloned() else { return };
        let Some(pipe) = self.pipes.get_mut(&path).filter(|p| p.key == Some(key)) else { return };
        if pipe.open != Open::Writing {
            return;
        }
        match result {
            Ok(()) => {
                pipe.open = Open::Ready;
                let line = pipe.urgent.pop_front().or_else(|| pipe.backlog.pop_front());
                if let Some(Line { who: Some(who), state: Some(What::State(s)), .. }) = line
                    && self.told.insert(who.clone(), s) != Some(s)
                {
                    self.changed.insert(who);
                }
                pump(pipe, cx);
            }
            Err(Errno::EAGAIN) => pipe.open = Open::Full,
            Err(e) => {
                pipe.trouble(&path, e, cx);
                self.failed(&path, cx);
            }
        }
    }

    fn failed(&mut self, path: &str, cx: &mut Cx<'_>) {
        if let Some(pipe) = self.pipes.get_mut(path) {
            close(&mut self.keys, pipe, cx);
            pipe.again = Some(cx.now.mono + pipe.pause);
            pipe.pause = (pipe.pause * 2).min(AGAIN.1);
        }
    }

    /// A reader ended; false: the program is no reader.
    pub fn on_exit(&mut self, number: u64, end: ChildEnd, cx: &mut Cx<'_>) {
        for (path, pipe) in &mut self.pipes {
            if pipe.reader.on_exit(path, number, end, cx) {
                pipe.reader.pump(path, pipe.is_open(), cx);
            }
        }
        self.pipes.retain(|_, p| !(p.gone && p.reader.idle()));
    }

    /// The last lines were queued: each pipe is closed once they are written, then its reader is asked to end.
    pub fn stop(&mut self, cx: &mut Cx<'_>) {
        self.stop_began = Some(cx.now.mono);
        self.on_due(cx);
    }

    /// Another process takes over: its readers are to be the only ones.
    pub fn freeze(&mut self, cx: &mut Cx<'_>) {
        for pipe in self.pipes.values_mut() {
            pipe.reader.end(cx);
            pipe.reader.hush();
        }
    }

    /// Whether all pipes are closed, after a stop.
    pub fn idle(&self) -> bool {
        self.pipes.values().all(|p| p.key.is_none() && p.reader.idle())
    }

    /// Kills the readers without delay.
    pub fn kill(&mut self, cx: &mut Cx<'_>) {
        self.pipes.values_mut().for_each(|p| p.reader.kill(cx));
    }

    /// Whether there is no pipe.
    pub fn is_empty(&self) -> bool {
        self.pipes.is_empty()
    }
    /// The state in the last line that a pipe took.
    pub fn told(&self, who: &Subject) -> Option<State> {
        self.told.get(who).copied()
    }
    /// The subjects whose [`Fifos::told`] changed since the last call.
    pub fn take_changed(&mut self) -> BTreeSet<Subject> {
        core::mem::take(&mut self.changed)
    }
    /// Restores the state that the previous process had written.
    pub fn resume(&mut self, who: &Subject, told: Option<State>) {
        if let Some(state) = told {
            self.told.insert(who.clone(), state);
        }
    }
    /// The subject was removed from the configuration.
    pub fn forget(&mut self, who: &Subject) {
        self.told.remove(who);
    }

    /// Runs what is due: opening again, starting and ending readers, and the time limit of a stop.
    pub fn on_due(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        for (path, pipe) in &mut self.pipes {
            if let Some(began) = self.stop_began {
                if pipe.key.is_some() && (pipe.is_written() || began + AT_STOP <= now) {
                    close(&mut self.keys, pipe, cx);
                    // The reader reads the end of the pipe and may end by itself.
                    pipe.reader.end_soon(cx);
                } else if pipe.key.is_none() {
                    pipe.again = None;
                    pipe.reader.end_soon(cx);
                }
            } else if pipe.again.is_some_and(|at| at <= now) {
                open(&mut self.keys, path, pipe, cx);
            }
            pipe.reader.on_due(cx);
            pipe.reader.pump(path, pipe.is_open(), cx);
        }
        self.pipes.retain(|_, p| !(p.gone && p.reader.idle()));
    }

    /// The time of the next due action.
    pub fn deadline(&self) -> Option<Instant> {
        let each = self.pipes.values().map(|p| {
            let patience = self
                .stop_began
                .filter(|_| p.key.is_some())
                .map(|began| if p.is_written() { began } else { began + AT_STOP });
            earliest(earliest(p.again, patience), p.reader.deadline(p.is_open()))
        });
        each.flatten().min()
    }
}

impl Pipe {
    fn trouble(&mut self, path: &str, e: Errno, cx: &mut Cx<'_>) {
        if self.trouble.replace(e) != Some(e) {
            cx.fx.note(text::fifo_failed(path, e));
        }
    }
    fn is_open(&self) -> bool {
        matches!(self.open, Open::Full | Open::Ready | Open::Writing)
    }
    fn is_written(&self) -> bool {
        self.urgent.is_empty() && self.backlog.is_empty() && self.lost == 0
    }
    fn new(owner: (u32, u32), says: Says) -> Pipe {
        Pipe {
            owner,
            says,
            key: None,
            open: Open::No,
            again: None,
            pause: AGAIN.0,
            trouble: None,
            urgent: VecDeque::new(),
            backlog: VecDeque::new(),
            lost: 0,
            lost_states: BTreeMap::new(),
            reader: Reader::default(),
            gone: false,
        }
    }
}

fn open(keys: &mut Arena<FifoMark, String>, path: &str, pipe: &mut Pipe, cx: &mut Cx<'_>) {
    let key = keys.insert(path.to_owned());
    pipe.key = Some(key);
    pipe.open = Open::Asked;
    pipe.again = None;
    cx.fx.push(Effect::Helper(HelperFx::OpenFifo {
        fifo: key,
        path: path.to_owned(),
        uid: pipe.owner.0,
        gid: pipe.owner.1,
    }));
}

fn close(keys: &mut Arena<FifoMark, String>, pipe: &mut Pipe, cx: &mut Cx<'_>) {
    pipe.open = Open::No;
    pipe.again = None;
    if let Some(key) = pipe.key.take() {
        keys.remove(key);
        cx.fx.push(Effect::Helper(HelperFx::CloseFifo { fifo: key }));
    }
}

fn pump(pipe: &mut Pipe, cx: &mut Cx<'_>) {
    let (Some(key), Open::Ready) = (pipe.key, pipe.open) else { return };
    if pipe.lost > 0 && pipe.urgent.is_empty() {
        let lost = core::mem::take(&mut pipe.lost);
        let marker = Bytes::from(format!("RESYNC \"kalived\" LOST {lost}\n"));
        pipe.urgent.push_back(Line { who: None, state: None, text: marker });
        pipe.urgent.extend(core::mem::take(&mut pipe.lost_states).into_values());
    }
    if let Some(next) = pipe.urgent.front().or(pipe.backlog.front()) {
        cx.fx.push(Effect::Helper(HelperFx::WriteFifo { fifo: key, line: next.text.clone() }));
        pipe.open = Open::Writing;
    }
}
