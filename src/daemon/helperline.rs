//! The line to the helper, which does for the loop what may block: files, processes, named pipes, sysctls, multicast groups, host names.
//!
//! Every request is kept, so that a new helper gets all of them again after one that died. Until then watches report nothing. Named pipes
//! that are open stay open, because this process writes to them: a pipe takes a line as a whole or not at all, and no write waits. Read
//! first: `exec.rs`, `helper/proto.rs`.

use super::exec::Exec;
use super::os::Os;
use super::token::{HelperToken, Token};
use crate::effect::HelperFx;
use crate::event::{Errno, Event, HelperEv};
use crate::helper::proto::{self, Ask, FileId, Tell};
use crate::id::{ConnKey, FifoKey, Key, SockKey, WatchKey};
use crate::note::{Level, Note};
use crate::sys::errno;
use crate::sys::op::{Fd, Link, OpKey};
use crate::time::{Duration, Instant, Now};
use core::net::IpAddr;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

/// Watched files and process patterns: more than any configuration has, and as many as the helper can examine within a second.
pub const MOST_WATCHES: usize = 4096;
/// Named pipes: a configuration has three, and a reload may keep the old ones for a while.
pub const MOST_FIFOS: usize = 64;
/// Host names looked up at a time: one for each possible connection.
pub const MOST_LOOKUPS: usize = super::streams::MOST;
/// Interfaces whose sysctls are set at a time: two for each virtual router there may be.
pub const MOST_KNOBS: usize = 8192;
/// Multicast groups that are being joined: two for each virtual router there may be.
pub const MOST_JOINS: usize = 8192;
/// Messages that wait for a helper that does not take them: all that may be asked for, and as much taken back. One that is so
/// far behind is given up.
const QUEUE: usize = 2 * (MOST_WATCHES + MOST_FIFOS + MOST_LOOKUPS + MOST_KNOBS + MOST_JOINS);
/// Messages sent or taken in a turn: each costs microseconds, so a turn stays below a millisecond.
const PER_TURN: usize = 64;

/// Groups that the loop joins itself in a turn, when the helper died: each may take tens of microseconds.
const HERE_PER_TURN: usize = 8;
/// A group that is not joined after this time is reported: the kernel's lock is held for so long by a program that does something wrong.
const LATE: Duration = Duration::from_secs(2);

/// After this time a helper that lives has removed the pipe that it was asked to remove.
const DONE: Duration = Duration::from_secs(10);

/// Logged when a group is not joined in time.
pub const JOINS_LATE: &str = "a multicast group has not been joined for 2 s: another program keeps the kernel's lock for interfaces, or the helper \
     process was stopped; virtual routers of that interface begin when it is joined";

/// Logged when the helper is so far behind that its queue is full.
pub const BEHIND: &str =
    "helper process does not keep up: the line to it is closed, and another one is asked for everything again";

/// Logged when the helper is lost.
pub const LOST: &str = "helper process lost: files, processes and host names are not looked at until it is back";

struct Fifo {
    ask: Ask,
    path: String,
    fd: Option<Fd>,
    /// The poll for room, after the pipe was full.
    room: Option<OpKey>,
    /// Closed before it was open: a file that the helper creates is to be removed.
    closing: bool,
}

struct Join {
    sock: SockKey,
    rx: Fd,
    ifindex: u32,
    group: IpAddr,
    since: Instant,
}

impl Join {
    fn ask(&self, job: u64) -> Ask {
        Ask::Join { job, ifindex: self.ifindex, group: self.group }
    }
}

/// The core's end of the line to the helper: the socket, and the requests that a new helper gets again.
#[derive(Default)]
pub struct HelperLine {
    socket: Option<Fd>,
    rx: Option<OpKey>,
    tx: Option<OpKey>,
    /// Messages, with the descriptor that goes along.
    queue: VecDeque<(Vec<u8>, Option<Fd>)>,
    watches: BTreeMap<WatchKey, Ask>,
    fifos: BTreeMap<FifoKey, Fifo>,
    lookups: BTreeMap<ConnKey, Ask>,
    /// Sysctls that are being set, in the order they were asked for.
    knobs: BTreeMap<u64, Ask>,
    /// Groups that the helper is joining.
    joins: BTreeMap<u64, Join>,
    /// The number of the last of them.
    last_join: u64,
    /// Whether it was logged that some of them are late.
    late: bool,
    /// Before this time the loop joins itself ([`Exec::join_alone_until`]).
    alone_until: Option<Instant>,
    /// Groups that were joined or could not be, for the service of the sockets.
    joined: Vec<(SockKey, Result<(), Errno>)>,
    /// Named pipes to remove that no helper was there for; as many as there may be open.
    removals: Vec<Ask>,
    /// Named pipes that helpers made, of this process and of those before it, and that no helper was asked to remove.
    made: BTreeMap<String, FileId>,
    /// Named pipes that this helper was asked to remove, and when. The helper does not answer: one that dies within [`DONE`] may not have
    /// removed them.
    asked: VecDeque<(String, FileId, Instant)>,
    /// `made` is another one since it was last [kept](HelperLine::kept).
    dirty: bool,
    buffer: Vec<u8>,
    /// The helper was abandoned because its queue was full, and that was not logged yet.
    behind: bool,
}

impl HelperLine {
    /// Whether there is a helper.
    pub fn is_up(&self) -> bool {
        self.socket.is_some()
    }

    fn queue(&mut self, os: &mut impl Os, ask: &Ask) -> Result<(), Errno> {
        self.queue_with(os, ask, None)
    }

    fn queue_with(&mut self, os: &mut impl Os, ask: &Ask, fd: Option<Fd>) -> Result<(), Errno> {
        // Longer than a message may be, or a request that the helper would refuse.
        let bytes = ask.encode().map_err(|_| Errno(-errno::EINVAL))?;
        if self.socket.is_some() {
            if self.queue.len() >= QUEUE {
                // The failure is logged: no request may be lost, so all of them are sent to another helper.
                self.behind = true;
                self.hang_up(os);
            } else {
                self.queue.push_back((bytes, fd));
            }
        }
        Ok(())
    }

    /// Sends some of the queued messages.
    fn pump(&mut self, os: &mut impl Os) {
        let Some(socket) = self.socket.clone() else { return };
        if self.tx.is_some() {
            return;
        }
        for _ in 0..PER_TURN {
            let Some((bytes, fd)) = self.queue.front() else { return };
            match os.send_message(&socket, bytes, fd.as_deref().map(AsFd::as_fd)) {
                Ok(()) => drop(self.queue.pop_front()),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                // Too many descriptors are on their way, of this program or of others of the same user.
                Err(e) if e.raw_os_error() == Some(-errno::ETOOMANYREFS) => {
                    self.behind = true;
                    return self.hang_up(os);
                }
                // The read returns the end of the helper, after its last messages.
                Err(_) => return self.queue.clear(),
            }
        }
        if !self.queue.is_empty() {
            self.tx = Some(os.poll(Token::Helper(HelperToken::Tx), &socket, true));
        }
    }

    /// Closes the line. The helper reads the end of the line and ends, and the guard starts another one.
    fn hang_up(&mut self, os: &mut impl Os) {
        for op in [self.rx.take(), self.tx.take()].into_iter().flatten() {
            os.cancel(Token::Cancel, op, Link::Last);
        }
        self.socket = None;
        self.queue.clear();
        for (path, file, _) in core::mem::take(&mut self.asked) {
            if !self.made.contains_key(&path) {
                self.made.insert(path.clone(), file);
                self.remove_fifo(os, path);
            }
        }
        // Whether the helper had created these files is not known any more.
        self.fifos.retain(|_, f| !f.closing);
    }

    fn attach(&mut self, os: &mut impl Os, socket: OwnedFd) {
        self.hang_up(os);
        let socket: Fd = Rc::new(socket);
        self.rx = Some(os.poll(Token::Helper(HelperToken::Rx), &socket, false));
        self.socket = Some(socket);
        let mut all = core::mem::take(&mut self.removals);
        for ask in &all {
            if let Ask::RemoveFifo { path, file } = ask
                && self.made.remove(path).is_some()
            {
                self.give_up(path.clone(), *file, os.mono());
            }
        }
        all.extend(self.fifos.values().filter(|f| f.fd.is_none()).map(|f| f.ask.clone()));
        all.extend(self.knobs.values().chain(self.watches.values()).chain(self.lookups.values()).cloned());
        for ask in all {
            // All of them were encoded once before.
            let _ = self.queue(os, &ask);
        }
        let joins: Vec<_> = self.joins.iter().map(|(job, j)| (j.ask(*job), j.rx.clone())).collect();
        for (ask, rx) in joins {
            let _ = self.queue_with(os, &ask, Some(rx));
        }
        self.pump(os);
    }

    /// Joins `group` on `ifindex` with the receiving socket of `sock`; [`HelperLine::joined`] has the result.
    pub(super) fn join(&mut self, os: &mut impl Os, sock: SockKey, rx: &Fd, ifindex: u32, group: IpAddr) {
        self.last_join += 1;
        let job = self.last_join;
        let join = Join { sock, rx: rx.clone(), ifindex, group, since: os.mono() };
        let ask = join.ask(job);
        let alone = self.socket.is_none() || self.alone_until.is_some_and(|until| os.mono() < until);
        if alone || self.joins.len() >= MOST_JOINS {
            return self.join_here(os, &join);
        }
        self.joins.insert(job, join);
        if let Err(e) = self.queue_with(os, &ask, Some(rx.clone())) {
            self.joins.remove(&job);
            self.joined.push((sock, Err(e)));
        }
    }

    fn join_here(&mut self, os: &mut impl Os, join: &Join) {
        let result = os.join(&join.rx, join.ifindex, join.group);
        self.joined.push((join.sock, result.map_err(|e| Errno(e.raw_os_error().unwrap_or(-errno::EINVAL)))));
    }

    /// Leaves the group that this socket joined or is joining, and closes it. The last descriptor is the helper's, so that the loop does
    /// not wait for the kernel's lock. Without a helper the kernel does both when the descriptor is closed.
    pub(super) fn leave(&mut self, os: &mut impl Os, sock: SockKey, rx: Fd, ifindex: u32, group: IpAddr) {
        self.joins.retain(|_, j| j.sock != sock);
        self.joined.retain(|(s, _)| *s != sock);
        let _ = self.queue_with(os, &Ask::Leave { ifindex, group }, Some(rx));
    }

    /// The sockets that joined their groups, or could not, since the last call.
    pub(super) fn joined(&mut self, os: &mut impl Os) -> Vec<(SockKey, Result<(), Errno>)> {
        // Without a helper the loop joins: adverts that are late once are better than a router that never listens. Each result is an event,
        // so that another turn follows with the next ones.
        if self.socket.is_none() {
            for _ in 0..HERE_PER_TURN {
                let Some((_, join)) = self.joins.pop_first() else { break };
                self.join_here(os, &join);
            }
        }
        core::mem::take(&mut self.joined)
    }

    /// When a group that is being joined is late.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let (_, oldest) = self.joins.first_key_value()?;
        (!self.late).then(|| oldest.since + LATE)
    }

    /// Whether a join is late and that is to be logged: once for all that are late together.
    fn is_late(&mut self, now: Instant) -> bool {
        self.late &= !self.joins.is_empty();
        let late = self.next_deadline().is_some_and(|at| at <= now);
        self.late |= late;
        late
    }

    fn watch(&mut self, os: &mut impl Os, watch: WatchKey, ask: Ask) -> Result<(), Errno> {
        if self.watches.len() >= MOST_WATCHES && !self.watches.contains_key(&watch) {
            return Err(Errno::ENOBUFS);
        }
        self.queue(os, &ask)?;
        self.watches.insert(watch, ask);
        Ok(())
    }

    fn open_fifo(&mut self, os: &mut impl Os, fifo: FifoKey, path: String, ask: Ask) -> Result<(), Errno> {
        if self.fifos.len() >= MOST_FIFOS {
            return Err(Errno::ENOBUFS);
        }
        self.close_fifo(os, fifo);
        self.queue(os, &ask)?;
        self.fifos.insert(fifo, Fifo { ask, path, fd: None, room: None, closing: false });
        Ok(())
    }

    fn close_fifo(&mut self, os: &mut impl Os, fifo: FifoKey) {
        let Some(mut f) = self.fifos.remove(&fifo) else { return };
        if let Some(op) = f.room {
            os.cancel(Token::Cancel, op, Link::Last);
        }
        if f.fd.is_some() {
            self.remove_fifo(os, f.path);
        } else if self.socket.is_some() {
            f.closing = true;
            self.fifos.insert(fifo, f);
        }
    }

    /// Removes the pipe, if a helper made it.
    fn remove_fifo(&mut self, os: &mut impl Os, path: String) {
        let Some(file) = self.made.get(&path).copied() else { return };
        let ask = Ask::RemoveFifo { path: path.clone(), file };
        if self.socket.is_some() {
            let _ = self.queue(os, &ask);
            self.made.remove(&path);
            self.give_up(path, file, os.mono());
        } else if self.removals.len() < MOST_FIFOS {
            self.removals.push(ask);
        }
    }

    // Notes that a helper is asked to remove the pipe. Only the last ones are noted, as many as there may be open.
    fn give_up(&mut self, path: String, file: FileId, now: Instant) {
        if self.asked.len() >= MOST_FIFOS {
            self.dirty |= self.asked.pop_front().is_some();
        }
        self.asked.push_back((path, file, now));
    }

    /// Named pipes that a process before this one made.
    pub(super) fn inherit(&mut self, fifos: &[(Box<str>, u64, u64)]) {
        let some = fifos.iter().take(MOST_FIFOS);
        self.made.extend(some.map(|(path, dev, ino)| (path.to_string(), FileId { dev: *dev, ino: *ino })));
    }

    /// What the next process has to know, or the one that removes what is left.
    pub(super) fn kept(&mut self) -> Vec<(Box<str>, u64, u64)> {
        self.dirty = false;
        let asked = self.asked.iter().map(|(path, file, _)| (path, file));
        self.made.iter().chain(asked).map(|(path, file)| (path.as_str().into(), file.dev, file.ino)).collect()
    }

    /// Whether [`HelperLine::kept`] is another one than last time.
    pub(super) fn is_dirty(&self) -> bool {
        self.dirty
    }

    fn write_fifo(&mut self, os: &mut impl Os, key: FifoKey, line: &[u8]) -> Result<(), Errno> {
        let open = self.fifos.get_mut(&key).filter(|f| !f.closing);
        let Some((f, fd)) = open.and_then(|f| f.fd.clone().map(|fd| (f, fd))) else { return Err(Errno::ENXIO) };
        if f.room.is_some() {
            return Err(Errno::EAGAIN);
        }
        os.write_fifo(&fd, line).map_err(|e| {
            if e.kind() == io::ErrorKind::WouldBlock {
                f.room = Some(os.poll(Token::Helper(HelperToken::Room(key)), &fd, true));
            }
            Errno(e.raw_os_error().unwrap_or(-errno::EINVAL))
        })
    }

    /// The addresses of this look-up are not needed any more.
    pub(super) fn forget_lookup(&mut self, conn: ConnKey) {
        self.lookups.remove(&conn);
    }

    /// A named pipe was opened, or the open failed.
    fn on_fifo(
        &mut self,
        os: &mut impl Os,
        fifo: FifoKey,
        result: Result<Option<FileId>, i32>,
        fd: Option<OwnedFd>,
    ) -> Option<Event<'static>> {
        let f = self.fifos.get_mut(&fifo).filter(|f| f.fd.is_none())?;
        // The helper has done what it was asked before this. A new pipe may have the inode number of a removed one.
        self.asked.retain(|(path, ..)| *path != f.path);
        if let Ok(Some(file)) = result
            && self.made.len() < 2 * MOST_FIFOS
        {
            self.dirty |= self.made.insert(f.path.clone(), file) != Some(file);
        }
        let result = result.map_err(Errno).and_then(|_| match fd.filter(|fd| os.usable_fifo(fd)) {
            Some(fd) => Ok(fd),
            None => Err(Errno(-errno::EINVAL)),
        });
        if f.closing {
            let f = self.fifos.remove(&fifo)?;
            if result.is_ok() {
                self.remove_fifo(os, f.path);
            }
            return None;
        }
        let result = match result {
            Ok(fd) => {
                f.fd = Some(Rc::new(fd));
                Ok(())
            }
            Err(e) => {
                // The notifier repeats the request.
                self.fifos.remove(&fifo);
                Err(e)
            }
        };
        Some(Event::Helper(HelperEv::FifoReady { fifo, result }))
    }
}

impl HelperLine {
    /// Sends the requests of this turn. Returns a note for the log.
    pub(super) fn turn(&mut self, os: &mut impl Os) -> Option<Note> {
        self.pump(os);
        let now = os.mono();
        while self.asked.front().is_some_and(|(.., at)| *at + DONE <= now) {
            self.dirty |= self.asked.pop_front().is_some();
        }
        core::mem::take(&mut self.behind).then(|| Note { level: Level::Error, text: BEHIND.to_owned() })
    }

    /// Executes a request; `Some`: it is answered at once.
    pub fn apply(&mut self, os: &mut impl Os, fx: HelperFx) -> Option<Event<'static>> {
        let answer = match fx {
            HelperFx::WatchFile { watch, path } => {
                let ask = Ask::WatchFile { watch: watch.to_bits(), path };
                self.watch(os, watch, ask).err().map(|e| HelperEv::FileRead { watch, result: Err(e) })
            }
            HelperFx::WatchProcesses { watch, spec } => {
                let ask = Ask::WatchProcesses {
                    watch: watch.to_bits(),
                    argv: spec.argv,
                    param_match: spec.param_match,
                    full_command: spec.full_command,
                };
                self.watch(os, watch, ask).err().map(|e| HelperEv::Processes { watch, result: Err(e) })
            }
            HelperFx::Unwatch { watch } => {
                if self.watches.remove(&watch).is_some() {
                    let _ = self.queue(os, &Ask::Unwatch { watch: watch.to_bits() });
                }
                None
            }
            HelperFx::OpenFifo { fifo, path, uid, gid } => {
                let ask = Ask::OpenFifo { fifo: fifo.to_bits(), path: path.clone(), uid, gid };
                self.open_fifo(os, fifo, path, ask).err().map(|e| HelperEv::FifoReady { fifo, result: Err(e) })
            }
            HelperFx::WriteFifo { fifo, line } => {
                Some(HelperEv::FifoWritten { fifo, result: self.write_fifo(os, fifo, &line) })
            }
            HelperFx::CloseFifo { fifo } => {
                self.close_fifo(os, fifo);
                None
            }
            HelperFx::SetKnobs { job, dev, set } => {
                let first = set.first().map(|s| s.knob);
                let ask = Ask::Knobs { job, dev, set };
                let room = if self.knobs.len() < MOST_KNOBS { Ok(()) } else { Err(Errno::ENOBUFS) };
                let asked = room.and_then(|()| self.queue(os, &ask));
                self.knobs.extend(asked.is_ok().then_some((job, ask)));
                let failed = |e| HelperEv::Knobs { job, before: Vec::new(), failed: first.map(|knob| (knob, e)) };
                asked.err().map(failed)
            }
            HelperFx::Lookup { conn, host, port } => {
                let ask = Ask::Lookup { conn: conn.to_bits(), host, port };
                let room = if self.lookups.len() < MOST_LOOKUPS { Ok(()) } else { Err(Errno::EAGAIN) };
                let asked = room.and_then(|()| self.queue(os, &ask));
                self.lookups.extend(asked.is_ok().then_some((conn, ask)));
                asked.err().map(|e| HelperEv::Resolved { conn, result: Err(e) })
            }
        };
        answer.map(Event::Helper)
    }

    /// Handles a completion of the line: a message that arrived, or one that was sent. Completions of closed sockets are ignored.
    pub(super) fn on_done(
        &mut self,
        os: &mut impl Os,
        token: HelperToken,
        op: OpKey,
        note: &mut dyn FnMut(Note),
        tell: &mut dyn FnMut(Event<'_>),
    ) {
        match token {
            HelperToken::Rx => {
                if self.rx.take_if(|rx| *rx == op).is_some() {
                    self.hear(os, note, tell);
                }
            }
            HelperToken::Tx => {
                if self.tx.take_if(|tx| *tx == op).is_some() {
                    self.pump(os);
                }
            }
            HelperToken::Room(fifo) => {
                if let Some(f) = self.fifos.get_mut(&fifo).filter(|f| f.room == Some(op)) {
                    f.room = None;
                    tell(Event::Helper(HelperEv::FifoReady { fifo, result: Ok(()) }));
                }
            }
        }
    }

    fn hear(&mut self, os: &mut impl Os, note: &mut dyn FnMut(Note), tell: &mut dyn FnMut(Event<'_>)) {
        let Some(socket) = self.socket.clone() else { return };
        let mut buffer = core::mem::take(&mut self.buffer);
        buffer.resize(proto::LONGEST, 0);
        let mut gone = false;
        for _ in 0..PER_TURN {
            let said = match os.recv_message(&socket, &mut buffer) {
                Ok(None) => break,
                Ok(Some((0, _))) | Err(_) => None,
                Ok(Some((n, fds))) => buffer.get(..n).and_then(|b| Tell::decode(b).ok()).map(|t| (t, fds)),
            };
            let Some((said, fds)) = said else {
                gone = true;
                break;
            };
            self.heard(os, said, fds, note, tell);
        }
        self.buffer = buffer;
        if gone {
            self.hang_up(os);
            note(Note { level: Level::Warning, text: LOST.to_owned() });
        } else if self.rx.is_none() && self.socket.is_some() {
            self.rx = Some(os.poll(Token::Helper(HelperToken::Rx), &socket, false));
        }
    }

    /// Messages about a watch, pipe or look-up that has ended are dropped here.
    fn heard(
        &mut self,
        os: &mut impl Os,
        said: Tell,
        mut fds: Vec<OwnedFd>,
        note: &mut dyn FnMut(Note),
        tell: &mut dyn FnMut(Event<'_>),
    ) {
        match said {
            Tell::FileRead { watch, result } => {
                let watch = Key::from_bits(watch).filter(|w| self.watches.contains_key(w));
                if let Some(watch) = watch {
                    tell(Event::Helper(HelperEv::FileRead { watch, result: result.as_deref().map_err(|e| Errno(*e)) }));
                }
            }
            Tell::Processes { watch, result } => {
                let watch = Key::from_bits(watch).filter(|w| self.watches.contains_key(w));
                if let Some(watch) = watch {
                    tell(Event::Helper(HelperEv::Processes { watch, result: result.map_err(Errno) }));
                }
            }
            Tell::FifoReady { fifo, result } => {
                let fd = if fds.is_empty() { None } else { Some(fds.swap_remove(0)) };
                let event = Key::from_bits(fifo).and_then(|f| self.on_fifo(os, f, result, fd));
                if let Some(event) = event {
                    tell(event);
                }
            }
            Tell::Knobs { job, before, failed } => {
                if self.knobs.remove(&job).is_some() {
                    let failed = failed.map(|(knob, e)| (knob, Errno(e)));
                    tell(Event::Helper(HelperEv::Knobs { job, before, failed }));
                }
            }
            Tell::Joined { job, result } => {
                if let Some(join) = self.joins.remove(&job) {
                    self.joined.push((join.sock, result.map_err(Errno)));
                }
            }
            Tell::Resolved { conn, result } => {
                let conn = Key::from_bits(conn).filter(|c| self.lookups.remove(c).is_some());
                if let Some(conn) = conn {
                    tell(Event::Helper(HelperEv::Resolved { conn, result: result.as_deref().map_err(|e| Errno(*e)) }));
                }
            }
            Tell::Note { level, text } => {
                let level = match level {
                    3 => Level::Error,
                    4 => Level::Warning,
                    5 => Level::Notice,
                    6 => Level::Info,
                    _ => Level::Detail,
                };
                note(Note { level, text });
            }
        }
    }
}

impl<O: Os> Exec<O> {
    /// Sets the socket to a helper, the first or another one after a helper died: it gets all current requests.
    pub fn attach_helper(&mut self, socket: OwnedFd) {
        self.helper.attach(&mut self.os, socket);
    }

    /// Until then the loop joins multicast groups itself: nothing is armed yet that could be late, a core that follows a dead one has no time
    /// to lose, and the helper, a process of ordinary priority that is just starting, may have to wait for a processor.
    pub fn join_alone_until(&mut self, until: Instant) {
        self.helper.alone_until = Some(until);
    }

    /// Named pipes that a process before this one made.
    pub fn inherit_fifos(&mut self, fifos: &[(Box<str>, u64, u64)]) {
        self.helper.inherit(fifos);
    }

    /// Sends the requests of this turn.
    pub(super) fn pump_helper(&mut self, now: Now) {
        if let Some(note) = self.helper.turn(&mut self.os) {
            self.log.note(now, note);
        }
        if self.helper.is_late(now.mono) {
            self.log.note(now, Note { level: Level::Warning, text: JOINS_LATE.to_owned() });
        }
    }
}
