//! A simulated ring under the shipped loop and its services: operations with the rules of io_uring, and faults.
//!
//! Rules of io_uring: a chain runs in order, each part when the one before it is final; behind a soft link a failure or a cancellation
//! cancels all that follows; a quiet send completes only when it does not succeed; a cancelled operation completes with ECANCELED; the
//! final completion of an operation is its last one; independent operations complete in any order. Faults, at rates that a run draws:
//! sends fail, timers fire while they are being cancelled, receives end, buffers run out, completions do not fit into the queue and
//! come with the next call into the kernel, writes are short, reads are interrupted.
//!
//! Read first: `src/sys/os.rs`, `src/daemon/adverts.rs` (races). `buffers.rs`, `route.rs` (the kernel behind rtnetlink), then
//! `machine.rs` (the requests to the services, and the rules for their answers) and `run.rs`. `line.rs` has a guard and a helper;
//! `routers.rs` runs the shipped `World` on the loop instead.

pub mod buffers;
mod calls;
mod lan;
mod line;
pub mod machine;
pub mod route;
mod routers;
pub mod run;

use crate::rng::Rng;
use buffers::{Datagram, Pool, SimBuffers};
use bytes::Bytes;
use kalived::daemon::token::Token;
use kalived::id::Arena;
use kalived::sys::op::{Done, Fd, Header, Link, OpKey, OpMark};
use kalived::sys::os::Ops;
use kalived::sys::ring::How;
use kalived::sys::socket::SockAddr;
use kalived::time::{Duration, Instant};
use route::Route;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::rc::{Rc, Weak};

const EINTR: i32 = -4;
const ENOMEM: i32 = -12;
const EAGAIN: i32 = -11;
const ENOENT: i32 = -2;
const EALREADY: i32 = -114;
const ETIME: i32 = -62;
const ENOBUFS: i32 = -105;
const ECANCELED: i32 = -125;
const ECONNREFUSED: i32 = -111;
const ECONNRESET: i32 = -104;

/// Longest time that a kernel worker, a connection or a full queue takes.
pub const SLOW: Duration = Duration::from_millis(8);

/// A timer that is due so soon may fire while it is being cancelled.
const NEARLY: Duration = Duration::from_millis(2);

/// A canary: a fault in the ring itself, which the machine must detect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Sometimes the completion of an advert is dropped.
    DropCompletion,
    /// Sometimes a chain is armed twice.
    ArmTwice,
    /// Sometimes an answer of netlink is dropped, and that is not reported.
    LoseAnswer,
    /// Sometimes a buffer is returned twice.
    GiveTwice,
    /// Sometimes bytes of a stream are delivered again.
    RepeatStream,
    /// A cancelled timer does not cancel its sends.
    KeepChain,
    /// Sometimes a message to the guard or the helper is dropped.
    LoseMessage,
    /// Sometimes a message of theirs is delivered again.
    RepeatMessage,
}

/// Rates of the faults, in a thousand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    /// Sends fail.
    pub send: u32,
    /// A timer fires while it is being cancelled.
    pub race: u32,
    /// A chain fails for want of memory.
    pub memory: u32,
    /// A multishot receive ends.
    pub receive: u32,
    /// Completions do not fit.
    pub overflow: u32,
    /// A socket's queue is full.
    pub full: u32,
    /// Connections are refused or reset; writes are short; reads are interrupted.
    pub stream: u32,
    /// Netlink sends fail, messages are lost.
    pub netlink: u32,
    /// There is no descriptor left.
    pub open: u32,
}

/// What left.
#[derive(Clone, Debug)]
pub enum Left {
    /// A packet of an advert.
    Packet(Bytes),
    /// An Ethernet frame.
    Frame(Bytes),
}

enum What {
    Send { bytes: Bytes, how: How },
    Write { bytes: Bytes },
    Read,
    Connect,
    Recv { size: usize },
    Poll { write: bool },
    RecvMulti { group: u16 },
    Timeout { at: Instant },
    Cancel { target: OpKey },
}

struct Op {
    tag: Token,
    what: What,
    fd: Option<Fd>,
    link: Link,
    quiet: bool,
    pending: bool,
    /// The operations that are linked behind it.
    rest: VecDeque<OpKey>,
}

#[derive(Default)]
struct File {
    alive: Weak<OwnedFd>,
    netlink: bool,
    packets: bool,
    /// The multicast group that a VRRP socket receives.
    group: Option<IpAddr>,
    queue: VecDeque<Datagram>,
    drops: u32,
    /// Messages were lost, and that was not reported yet.
    overrun: bool,
    /// Of a stream: what its peer was sent, what waits to be read, whether it has ended or is broken.
    pub taken: Vec<u8>,
    pub input: VecDeque<u8>,
    pub ended: bool,
    pub reset: bool,
}

/// See the module.
pub struct SimOs {
    /// The monotonic clock.
    pub now: Instant,
    pub rng: Rng,
    pub rates: Rates,
    pub lie: Option<Lie>,
    ops: Arena<OpMark, Op>,
    pushed: Vec<OpKey>,
    /// Operations that become final at a time.
    due: BTreeMap<(Instant, u64), OpKey>,
    order: u64,
    done: VecDeque<Done<Token>>,
    overflown: VecDeque<Done<Token>>,
    files: BTreeMap<RawFd, File>,
    pools: BTreeMap<u16, Rc<RefCell<Pool>>>,
    pub left: Vec<(Instant, Left)>,
    pub log: Vec<u8>,
    pub route: Route,
    /// Until when the loop sleeps; `None`: it does not.
    pub asleep: Option<Option<Instant>>,
    /// How often each fault happened.
    pub faults: BTreeMap<&'static str, u64>,
    lines: BTreeMap<RawFd, line::Line>,
    null: std::fs::File,
}

impl SimOs {
    pub fn new(now: Instant, rng: Rng, rates: Rates, lie: Option<Lie>) -> SimOs {
        SimOs {
            now,
            rng,
            rates,
            lie,
            ops: Arena::default(),
            pushed: Vec::new(),
            due: BTreeMap::new(),
            order: 0,
            done: VecDeque::new(),
            overflown: VecDeque::new(),
            files: BTreeMap::new(),
            pools: BTreeMap::new(),
            left: Vec::new(),
            log: Vec::new(),
            route: Route::default(),
            asleep: None,
            faults: BTreeMap::new(),
            lines: BTreeMap::new(),
            null: std::fs::File::open("/dev/null").expect("a null device"),
        }
    }

    /// A descriptor of its own.
    pub fn open(&mut self) -> io::Result<Fd> {
        if self.happens("no descriptor", self.rates.open) {
            return Err(io::Error::from_raw_os_error(24));
        }
        let fd: Fd = Rc::new(self.null.try_clone()?.into());
        self.lines.remove(&fd.as_raw_fd());
        self.files.insert(fd.as_raw_fd(), File { alive: Rc::downgrade(&fd), ..File::default() });
        Ok(fd)
    }

    /// Descriptors that are still held.
    pub fn open_files(&self) -> usize {
        self.files.values().filter(|f| f.alive.strong_count() > 0).count()
    }

    /// The first mistake with buffers, and how many are held.
    pub fn buffers_held(&self) -> Result<usize, String> {
        let mut held = 0;
        for p in self.pools.values() {
            let p = p.borrow();
            if let Some(wrong) = &p.wrong {
                return Err(wrong.clone());
            }
            held += p.held();
        }
        Ok(held)
    }

    /// How many buffers were given back.
    pub fn buffers_given(&self) -> u64 {
        self.pools.values().map(|p| p.borrow().given).sum()
    }

    fn happens(&mut self, what: &'static str, permille: u32) -> bool {
        let yes = permille > 0 && self.rng.permille(permille);
        if yes {
            *self.faults.entry(what).or_default() += 1;
        }
        yes
    }

    /// When the next operation becomes final by itself.
    pub fn next_due(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// Time passes: what is due becomes final, in order, or in any order where the times are equal.
    pub fn advance(&mut self, to: Instant) {
        while let Some(((at, n), _)) =
            self.due.first_key_value().map(|(k, v)| (*k, *v)).filter(|((at, _), _)| *at <= to)
        {
            self.now = self.now.max(at);
            let Some(op) = self.due.remove(&(at, n)) else { break };
            self.ripe(op);
        }
        self.now = self.now.max(to);
    }

    /// The first operation whose tag is so.
    fn find(&self, which: impl Fn(&Token) -> bool) -> Option<OpKey> {
        self.ops.iter().find(|(_, o)| o.pending && which(&o.tag)).map(|(k, _)| k)
    }

    /// A datagram comes in on the receive with this tag; `false`: nobody receives there.
    pub fn datagram(&mut self, tag: Token, d: Datagram) -> bool {
        let Some(op) = self.find(|t| *t == tag) else { return false };
        let Some(fd) = self.ops.get(op).and_then(|o| o.fd.as_ref()).map(|f| f.as_raw_fd()) else { return false };
        self.files.entry(fd).or_default().queue.push_back(d);
        self.receive(fd);
        true
    }

    /// A datagram comes in on each socket that receives this group.
    pub fn multicast(&mut self, group: IpAddr, d: &Datagram) {
        let open = |f: &File| f.group == Some(group) && f.alive.strong_count() > 0;
        let fds: Vec<RawFd> = self.files.iter().filter(|(_, f)| open(f)).map(|(fd, _)| *fd).collect();
        for fd in fds {
            self.files.entry(fd).or_default().queue.push_back(d.clone());
            self.receive(fd);
        }
    }

    /// A signal is delivered.
    pub fn signal(&mut self, byte: u8) {
        if let Some(op) = self.find(|t| *t == Token::Signals) {
            self.finish(op, 1, Some([byte].into()));
        }
    }

    /// Somebody deleted an address.
    pub fn deleted(&mut self, addr: IpAddr, prefix: u8) {
        let netlink = |t: &Token| matches!(t, Token::Net(kalived::daemon::token::NetToken::Rx));
        if let Some(fd) = self.fd_by(netlink) {
            self.answer(fd, vec![route::deleted(addr, prefix)]);
        }
    }

    /// Bytes come in on a stream, or its end, or a reset.
    pub fn stream(&mut self, fd: RawFd, bytes: &[u8], end: bool, reset: bool) {
        let Some(f) = self.files.get_mut(&fd) else { return };
        f.input.extend(bytes);
        f.ended |= end;
        f.reset |= reset;
        let waits = |o: &Op| o.pending && matches!(o.what, What::Recv { .. }) && fd_of(o) == Some(fd);
        let op = self.ops.iter().find(|(_, o)| waits(o)).map(|(k, _)| k);
        if let Some(op) = op {
            self.ripe(op);
        }
    }

    /// Whether the peer of a stream sends no more.
    pub fn stream_over(&self, fd: RawFd) -> bool {
        self.files.get(&fd).is_some_and(|f| f.ended || f.reset)
    }

    /// What the peer of a stream was sent so far.
    pub fn stream_taken(&self, fd: RawFd) -> &[u8] {
        self.files.get(&fd).map_or(&[], |f| &f.taken)
    }

    /// The descriptor of the first operation whose tag is so.
    pub fn fd_by(&self, which: impl Fn(&Token) -> bool) -> Option<RawFd> {
        self.ops.iter().find(|(_, o)| which(&o.tag)).and_then(|(_, o)| fd_of(o))
    }

    // ---- completions ----

    fn post(&mut self, done: Done<Token>) {
        if self.lie == Some(Lie::DropCompletion) && matches!(done.tag, Token::Advert(_)) && self.rng.permille(5) {
            return;
        }
        // A full queue has completions, so the loop is woken.
        let full = !self.done.is_empty() && self.happens("completion queue full", self.rates.overflow);
        if full || !self.overflown.is_empty() {
            self.overflown.push_back(done);
        } else {
            self.done.push_back(done);
        }
    }

    /// An operation is final; what is linked behind it goes on.
    fn finish(&mut self, key: OpKey, result: i32, read: Option<Box<[u8]>>) {
        let Some(op) = self.ops.get_mut(key) else { return };
        op.pending = false;
        let (mut rest, link, tag) = (core::mem::take(&mut op.rest), op.link, op.tag);
        let timer = matches!(op.what, What::Timeout { .. }) && result == ETIME;
        let failed = result < 0 && !timer;
        if op.quiet && !failed {
            // Its memory stays until it is released.
        } else {
            self.ops.remove(key);
            self.post(Done { tag, op: key, result, buffer: None, more: false, read });
        }
        if failed && link == Link::Soft && self.lie != Some(Lie::KeepChain) {
            while let Some(next) = rest.pop_front() {
                if let Some(op) = self.ops.remove(next) {
                    self.post(Done { tag: op.tag, op: next, result: ECANCELED, buffer: None, more: false, read: None });
                }
            }
            return;
        }
        self.run(rest);
    }

    /// Runs a chain from its head.
    fn run(&mut self, mut chain: VecDeque<OpKey>) {
        let Some(head) = chain.pop_front() else { return };
        let Some(op) = self.ops.get_mut(head) else { return };
        op.rest = chain;
        op.pending = true;
        self.issue(head);
    }

    fn later(&mut self, op: OpKey, at: Instant) {
        self.order += 1;
        // Equal times in any order.
        let salt = if self.rng.permille(500) { 1 << 40 } else { 0 };
        self.due.insert((at, self.order + salt), op);
    }

    fn soon(&mut self, op: OpKey) {
        let longest = if self.rng.permille(100) { SLOW.as_nanos() as u64 } else { 100_000 };
        let wait = Duration::from_nanos(self.rng.below(longest));
        self.later(op, self.now + wait);
    }

    fn issue(&mut self, key: OpKey) {
        let Some(op) = self.ops.get(key) else { return };
        let fd = fd_of(op);
        match &op.what {
            What::Timeout { at } => {
                let at = *at;
                if self.happens("no memory for a chain", self.rates.memory) {
                    return self.finish(key, ENOMEM, None);
                }
                self.later(key, at.max(self.now));
            }
            What::Cancel { target } => {
                let target = *target;
                self.cancel_now(key, target);
            }
            What::Send { how: How::Worker, .. } | What::Connect => self.soon(key),
            What::Send { how: How::Wait, .. } | What::Write { .. } => self.soon(key),
            What::Send { how: How::NoWait, bytes } => {
                let bytes = bytes.clone();
                if self.happens("send failed", self.rates.send) {
                    let errno = self.rng.pick(&[ENOBUFS, -1, EAGAIN, -101]);
                    return self.finish(key, errno, None);
                }
                let n = bytes.len() as i32;
                self.left.push((self.now, Left::Packet(bytes)));
                self.finish(key, n, None);
            }
            What::Poll { write } => {
                // Of a packet socket: when it has room.
                let fd = fd.unwrap_or(-1);
                if self.line_ready(fd, *write) || self.files.get(&fd).is_some_and(|f| f.packets) {
                    self.soon(key);
                }
            }
            What::RecvMulti { .. } => {
                if let Some(fd) = fd {
                    self.receive(fd);
                }
            }
            What::Recv { .. } => self.ripe(key),
            What::Read => {}
        }
    }

    /// Wakes the loop if it waits for this.
    fn ripe(&mut self, key: OpKey) {
        let Some(op) = self.ops.get(key).filter(|o| o.pending) else { return };
        let fd = fd_of(op).unwrap_or(-1);
        match &op.what {
            What::Timeout { .. } => self.finish(key, ETIME, None),
            What::Connect => {
                let refused = self.happens("connection refused", self.rates.stream);
                self.finish(key, if refused { ECONNREFUSED } else { 0 }, None);
            }
            What::Poll { .. } => self.finish(key, 4, None),
            What::Send { bytes, how: How::Worker } => {
                let bytes = bytes.clone();
                if self.happens("netlink send failed", self.rates.netlink) {
                    return self.finish(key, ENOBUFS, None);
                }
                let answers = self.route.requests(&bytes);
                self.finish(key, bytes.len() as i32, None);
                self.answer(fd, answers);
            }
            What::Send { bytes, .. } | What::Write { bytes } => {
                let (bytes, stream) =
                    (bytes.clone(), matches!(self.ops.get(key).map(|o| o.tag), Some(Token::Conn(..))));
                if self.happens("interrupted write", self.rates.stream) {
                    return self.finish(key, EINTR, None);
                }
                if stream && self.happens("connection reset", self.rates.stream / 4) {
                    return self.finish(key, ECONNRESET, None);
                }
                let mut n = bytes.len();
                if n > 1 && self.happens("short write", 4 * self.rates.stream) {
                    n = self.rng.range(1, n as u64 - 1) as usize;
                }
                match stream {
                    true => self.files.entry(fd).or_default().taken.extend(&bytes[..n]),
                    false => self.log.extend(&bytes[..n]),
                }
                self.finish(key, n as i32, None);
            }
            What::Recv { size } => {
                let size = *size;
                let Some(f) = self.files.get(&fd) else { return };
                if f.reset {
                    return self.finish(key, ECONNRESET, None);
                }
                if f.input.is_empty() {
                    if f.ended {
                        self.finish(key, 0, Some(Box::default()));
                    }
                    return;
                }
                if self.happens("interrupted read", self.rates.stream) {
                    return self.finish(key, EINTR, None);
                }
                let most = self.rng.range(1, size as u64) as usize;
                let again = self.lie == Some(Lie::RepeatStream) && self.rng.permille(20);
                let Some(f) = self.files.get_mut(&fd) else { return };
                let n = most.min(f.input.len());
                let bytes: Vec<u8> = f.input.drain(..n).collect();
                if again {
                    bytes.iter().rev().for_each(|b| f.input.push_front(*b));
                }
                self.finish(key, n as i32, Some(bytes.into()));
            }
            What::RecvMulti { .. } | What::Read | What::Cancel { .. } => {}
        }
    }

    /// The kernel's answers come in on the netlink socket.
    fn answer(&mut self, fd: RawFd, answers: Vec<Vec<u8>>) {
        for payload in answers {
            let is_answer = route::answers(&payload);
            if self.lie == Some(Lie::LoseAnswer) && is_answer && self.rng.permille(50) {
                continue;
            }
            // The end of a dump is never lost: NLMSG_DONE.
            let is_end = payload.get(4..6) == Some(&3u16.to_ne_bytes()[..]);
            if !is_end && self.happens("netlink overrun", self.rates.netlink / 4) {
                let f = self.files.entry(fd).or_default();
                (f.drops, f.overrun) = (f.drops + 1, true);
                continue;
            }
            let d = Datagram { name: route::kernel_name(), control: Vec::new(), payload };
            self.files.entry(fd).or_default().queue.push_back(d);
        }
        self.receive(fd);
    }

    /// Queued datagrams go into buffers while there are buffers and a receive.
    fn receive(&mut self, fd: RawFd) {
        loop {
            let waits = |o: &Op| o.pending && fd_of(o) == Some(fd) && matches!(o.what, What::RecvMulti { .. });
            let Some((key, op)) = self.ops.iter().find(|(_, o)| waits(o)) else { return };
            let What::RecvMulti { group } = op.what else { return };
            let (tag, pool) = (op.tag, self.pools.get(&group).cloned());
            let (Some(f), Some(pool)) = (self.files.get_mut(&fd), pool) else { return };
            if core::mem::take(&mut f.overrun) {
                self.finish(key, ENOBUFS, None);
                continue;
            }
            if f.queue.is_empty() {
                return;
            }
            if !pool.borrow().has() {
                *self.faults.entry("buffers ran out").or_default() += 1;
                return self.finish(key, ENOBUFS, None);
            }
            let Some(d) = f.queue.pop_front() else { return };
            let n = d.payload.len() as i32;
            let buffer = pool.borrow_mut().fill(d);
            let more = !self.happens("receive ended", self.rates.receive);
            if !more {
                self.ops.remove(key);
            }
            self.post(Done { tag, op: key, result: n, buffer, more, read: None });
        }
    }

    fn cancel_now(&mut self, key: OpKey, target: OpKey) {
        let Some(found) = self.ops.get(target).filter(|o| o.pending) else { return self.finish(key, ENOENT, None) };
        if let What::Timeout { at } = found.what
            && at <= self.now + NEARLY
            && self.happens("timer fired while it was cancelled", self.rates.race)
        {
            // The call into the kernel takes this long; its sends run after all that is submitted together with the cancel.
            self.now = self.now.max(at);
            return self.finish(key, EALREADY, None);
        }
        self.due.retain(|_, op| *op != target);
        self.finish(target, ECANCELED, None);
        self.finish(key, 0, None);
    }

    /// Into the kernel.
    fn enter(&mut self) {
        let pushed = core::mem::take(&mut self.pushed);
        let mut chain = VecDeque::new();
        let mut chains = Vec::new();
        for key in pushed {
            chain.push_back(key);
            if self.ops.get(key).is_none_or(|o| o.link == Link::Last) {
                chains.push(core::mem::take(&mut chain));
            }
        }
        chains.push(chain);
        for chain in chains {
            if self.lie == Some(Lie::ArmTwice) && self.is_armed(&chain) && self.rng.permille(20) {
                let bytes: Vec<Bytes> = chain
                    .iter()
                    .filter_map(|k| match &self.ops.get(*k)?.what {
                        What::Send { bytes, .. } => Some(bytes.clone()),
                        _ => None,
                    })
                    .collect();
                self.left.extend(bytes.into_iter().map(|b| (self.now, Left::Packet(b))));
            }
            self.run(chain);
        }
        // What is due already runs when the call ends.
        self.advance(self.now);
        let overflown = core::mem::take(&mut self.overflown);
        self.done.extend(overflown);
    }

    fn is_armed(&self, chain: &VecDeque<OpKey>) -> bool {
        chain.front().and_then(|k| self.ops.get(*k)).is_some_and(|o| matches!(o.what, What::Timeout { .. }))
    }

    fn push(&mut self, tag: Token, what: What, fd: Option<&Fd>, link: Link, quiet: bool) -> OpKey {
        let op = Op { tag, what, fd: fd.cloned(), link, quiet, pending: false, rest: VecDeque::new() };
        let key = self.ops.insert(op);
        self.pushed.push(key);
        key
    }
}

fn fd_of(op: &Op) -> Option<RawFd> {
    op.fd.as_ref().map(|f| f.as_raw_fd())
}

impl Ops<Token> for SimOs {
    type Buffers = SimBuffers;

    fn buffers(&mut self, group: u16, entries: u16, _size: u32) -> io::Result<SimBuffers> {
        // Fewer than the services ask for, so that they run out.
        let pool = Pool::new(entries.min(8));
        pool.borrow_mut().twice = self.lie == Some(Lie::GiveTwice);
        self.pools.insert(group, pool.clone());
        Ok(SimBuffers::new(pool))
    }
    fn room(&mut self, n: usize) -> bool {
        // The queue is as long as the shipped one.
        if self.pushed.len() + n > kalived::sys::ring::SQ_ENTRIES as usize {
            self.enter();
        }
        true
    }
    fn send(&mut self, tag: Token, fd: &Fd, bytes: Bytes, _: Option<Rc<SockAddr>>, link: Link, how: How) -> OpKey {
        self.push(tag, What::Send { bytes, how }, Some(fd), link, false)
    }
    fn send_quiet(&mut self, tag: Token, fd: &Fd, bytes: Bytes, _: Option<Rc<SockAddr>>) -> OpKey {
        self.push(tag, What::Send { bytes, how: How::NoWait }, Some(fd), Link::Hard, true)
    }
    fn release(&mut self, op: OpKey) {
        self.ops.remove(op);
    }
    fn write(&mut self, tag: Token, fd: &Fd, bytes: Bytes) -> OpKey {
        self.push(tag, What::Write { bytes }, Some(fd), Link::Last, false)
    }
    fn read(&mut self, tag: Token, fd: &Fd, _size: usize) -> OpKey {
        self.push(tag, What::Read, Some(fd), Link::Last, false)
    }
    fn connect(&mut self, tag: Token, fd: &Fd, _to: Rc<SockAddr>, _worker: bool) -> OpKey {
        self.push(tag, What::Connect, Some(fd), Link::Last, false)
    }
    fn recv(&mut self, tag: Token, fd: &Fd, size: usize) -> OpKey {
        self.push(tag, What::Recv { size }, Some(fd), Link::Last, false)
    }
    fn poll(&mut self, tag: Token, fd: &Fd, write: bool) -> OpKey {
        self.push(tag, What::Poll { write }, Some(fd), Link::Last, false)
    }
    fn recv_multi(&mut self, tag: Token, fd: &Fd, _: &Rc<Header>, _into: &SimBuffers) -> OpKey {
        let netlink = self.files.get(&fd.as_raw_fd()).is_some_and(|f| f.netlink);
        let group = if netlink { kalived::daemon::rtnl::GROUP } else { 1 };
        self.push(tag, What::RecvMulti { group }, Some(fd), Link::Last, false)
    }
    fn timeout_at(&mut self, tag: Token, at: Instant, link: Link) -> OpKey {
        self.push(tag, What::Timeout { at }, None, link, false)
    }
    fn cancel(&mut self, tag: Token, target: OpKey, link: Link) -> OpKey {
        self.push(tag, What::Cancel { target }, None, link, false)
    }
    fn submit_and_wait(&mut self, until: Option<Instant>) -> io::Result<()> {
        self.enter();
        self.asleep = Some(until);
        Ok(())
    }
    fn spin(&mut self, end: Instant, _ask: bool) -> io::Result<()> {
        self.enter();
        self.asleep = Some(Some(end));
        Ok(())
    }
    fn submit(&mut self) -> io::Result<()> {
        self.enter();
        Ok(())
    }
    fn push_out(&mut self) {
        self.enter();
    }
    fn queued(&mut self) -> usize {
        self.done.len()
    }
    fn pop(&mut self) -> Option<Done<Token>> {
        self.done.pop_front()
    }
    fn broken(&self) -> Option<i32> {
        None
    }
    fn in_flight(&self) -> usize {
        self.ops.len()
    }
    fn unknown(&self) -> u64 {
        0
    }
}
