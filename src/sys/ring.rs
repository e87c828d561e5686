//! One io_uring: submission, waiting, completions.
//!
//! Read first: `op.rs`. `T` is the tag that the owner gets back with a completion. Deliberately absent: SQPOLL (a kernel thread that
//! spins), registered files (a descriptor's lifetime is counted instead), and `DEFER_TASKRUN`: with this flag a timer that expires while
//! we are busy waits for our next call into the kernel, and adverts armed in advance would then be no better than ordinary timers.

use super::bufring::BufRing;
use super::op::{Done, Fd, Header, Link, Mem, Op, OpKey, OpMark};
use super::socket::SockAddr;
use crate::id::Arena;
use crate::time::Instant;
use bytes::Bytes;
use core::fmt;
use io_uring::squeue::Flags;
use io_uring::types::{SubmitArgs, TimeoutFlags, Timespec};
use io_uring::{EnterFlags, IoUring, cqueue, opcode, squeue, types};
use std::io;
use std::os::fd::AsRawFd;
use std::rc::Rc;

/// Submission entries. 1,024 × 64 bytes: 48 full chains (a timer and 20 sends) between two kernel calls, which is more than 900 adverts;
/// a turn with more of them calls the kernel more than once.
pub const SQ_ENTRIES: u32 = 1024;
/// The fewest entries: 40 KiB of locked memory instead of 140, which fits into a limit of 64 KiB. Still more than the longest chain; more
/// kernel calls in a turn with many adverts, and completions that do not fit are kept by the kernel.
const FEWEST: u32 = 256;

/// How often a full submission queue is offered to the kernel before the ring counts as broken. One call takes the whole queue; only a
/// kernel without memory for requests refuses it.
const SUBMIT_TRIES: usize = 64;

/// Buffers of receives that are kept for others: those of the connections of a few turns.
const SPARE: usize = 8;

/// Why there is no ring: the cause and the remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoRing {
    /// Why there is no ring, and the remedy, as a sentence.
    pub why: String,
    /// It may pass: there was no memory, or too much of it is locked.
    pub for_memory: bool,
}

impl From<io::Error> for NoRing {
    fn from(e: io::Error) -> NoRing {
        NoRing { why: explain(&e), for_memory: e.kind() == io::ErrorKind::OutOfMemory }
    }
}

impl fmt::Display for NoRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

/// The ring and everything in flight on it.
pub struct Ring<T> {
    io: IoUring,
    ops: Arena<OpMark, Op<T>>,
    abs_timer: bool,
    unknown: u64,
    broken: Option<i32>,
    // Buffers that receives have given back.
    spare: Vec<Box<[u8]>>,
}

impl<T: Copy> Ring<T> {
    /// Makes the ring. The error is a sentence with the reason and the remedy.
    pub fn new() -> Result<Ring<T>, NoRing> {
        Self::at_most(SQ_ENTRIES)
    }

    /// As [`Ring::new`], with at most so many entries, but for the fewest that there may be.
    pub fn at_most(entries: u32) -> Result<Ring<T>, NoRing> {
        Self::make(entries, COOP_TASKRUN)
    }

    /// As [`Ring::new`], with `COOP_TASKRUN` as given. For measurements; see [`COOP_TASKRUN`].
    pub fn with_coop(coop: bool) -> Result<Ring<T>, NoRing> {
        Self::make(SQ_ENTRIES, coop)
    }

    fn make(entries: u32, coop: bool) -> Result<Ring<T>, NoRing> {
        let io = smaller(entries, |entries| build(coop, entries))?;
        let mut probe = io_uring::Probe::new();
        let known = io.submitter().register_probe(&mut probe).is_ok();
        // SEND_ZC came with 6.0; a plain SEND with a destination came with 6.1 and has no flag of its own.
        if !known || !probe.is_supported(opcode::SendZc::CODE) || kernel_release() < Some((6, 1)) {
            return Err(NoRing { why: too_old(), for_memory: false });
        }
        let mut ring =
            Ring { io, ops: Arena::default(), abs_timer: false, unknown: 0, broken: None, spare: Vec::new() };
        ring.abs_timer = ring.enter(1, Some(Instant(1)), EnterFlags::ABS_TIMER) == Err(-libc::ETIME);
        Ok(ring)
    }

    /// The number of entries of the submission queue.
    pub fn entries(&self) -> u32 {
        self.io.params().sq_entries()
    }

    /// Whether the limit of locked memory left room for a smaller ring only.
    pub fn is_small(&self) -> bool {
        self.entries() < SQ_ENTRIES
    }

    /// The description for the log at start.
    pub fn describe(&self) -> String {
        format!(
            "io_uring: SQ {} CQ {}{}, single issuer, {}, waits {}",
            self.entries(),
            self.io.params().cq_entries(),
            if self.is_small() { ", because the locked-memory limit (ulimit -l) leaves no room for more" } else { "" },
            if COOP_TASKRUN { "cooperative task work" } else { "task work at once" },
            if self.abs_timer { "until an absolute time" } else { "for a span (absolute waits need Linux 6.12)" },
        )
    }

    /// The number of operations that have not completed.
    pub fn in_flight(&self) -> usize {
        self.ops.len()
    }

    /// The number of completions that named no operation of ours. They are counted and otherwise ignored.
    pub fn unknown(&self) -> u64 {
        self.unknown
    }

    /// The errno that made the ring unusable, if one did.
    pub fn broken(&self) -> Option<i32> {
        self.broken
    }

    /// Makes room for `n` entries that must reach the kernel in one submission (a chain). `n` at most [`SQ_ENTRIES`].
    pub fn room(&mut self, n: usize) -> bool {
        for _ in 0..SUBMIT_TRIES {
            let sq = self.io.submission();
            if sq.capacity() - sq.len() >= n {
                return true;
            }
            if sq.capacity() < n {
                return false;
            }
            drop(sq);
            match self.enter(0, None, EnterFlags::empty()) {
                Ok(()) => {}
                Err(e) if e == -libc::EINTR || e == -libc::EAGAIN || e == -libc::EBUSY => {}
                Err(e) => {
                    self.broken.get_or_insert(e);
                    return false;
                }
            }
        }
        self.broken.get_or_insert(-libc::EBUSY);
        false
    }

    /// Sends `bytes` to `to` (or to the address that the socket is connected to). `wait`: the kernel waits for room in a full socket
    /// buffer; otherwise the send fails with EAGAIN at once and never occupies a worker. `worker`: never on our thread.
    pub fn send(&mut self, tag: T, fd: &Fd, bytes: Bytes, to: Option<Rc<SockAddr>>, link: Link, how: How) -> OpKey {
        let e = send_entry(fd, &bytes, to.as_deref(), how);
        self.push(tag, e, link, Mem::Send { _bytes: bytes, _to: to }, Some(fd))
    }

    /// As [`Ring::send`] without a wait, linked hard, and without a completion when it succeeds: the operation linked behind it completes
    /// after it and reports both. The memory is kept until then; the owner releases it with [`Ring::release`].
    pub fn send_quiet(&mut self, tag: T, fd: &Fd, bytes: Bytes, to: Option<Rc<SockAddr>>) -> OpKey {
        let e = send_entry(fd, &bytes, to.as_deref(), How::NoWait).flags(Flags::SKIP_SUCCESS);
        self.push(tag, e, Link::Hard, Mem::Send { _bytes: bytes, _to: to }, Some(fd))
    }

    /// Releases a [quiet](Ring::send_quiet) operation that has ended: the operation linked behind it has completed.
    pub fn release(&mut self, op: OpKey) {
        self.ops.remove(op);
    }

    /// Writes `bytes` at the file's own position; the kernel waits for room in a full pipe.
    pub fn write(&mut self, tag: T, fd: &Fd, bytes: Bytes) -> OpKey {
        let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        // Offset -1: the current position; a file opened with O_APPEND is appended to.
        let e = opcode::Write::new(types::Fd(fd.as_raw_fd()), bytes.as_ptr(), size).offset(u64::MAX).build();
        self.push(tag, e, Link::Last, Mem::Send { _bytes: bytes, _to: None }, Some(fd))
    }

    /// Reads up to `size` bytes once.
    pub fn read(&mut self, tag: T, fd: &Fd, size: usize) -> OpKey {
        let mut buf = vec![0u8; size].into_boxed_slice();
        let len = u32::try_from(size).unwrap_or(u32::MAX);
        let e = opcode::Read::new(types::Fd(fd.as_raw_fd()), buf.as_mut_ptr(), len).offset(u64::MAX).build();
        self.push(tag, e, Link::Last, Mem::Read { buf }, Some(fd))
    }

    /// Opens a connection. `worker`: never on our thread, for an address that is a path, because its file system may not answer.
    pub fn connect(&mut self, tag: T, fd: &Fd, to: Rc<SockAddr>, worker: bool) -> OpKey {
        let mut e = opcode::Connect::new(types::Fd(fd.as_raw_fd()), to.as_ptr(), to.len()).build();
        if worker {
            e = e.flags(Flags::ASYNC);
        }
        self.push(tag, e, Link::Last, Mem::Send { _bytes: Bytes::new(), _to: Some(to) }, Some(fd))
    }

    /// Receives up to `size` bytes once; the completion carries them in `read`.
    pub fn recv(&mut self, tag: T, fd: &Fd, size: usize) -> OpKey {
        let spare = self.spare.pop().filter(|buf| buf.len() == size);
        let mut buf = spare.unwrap_or_else(|| vec![0u8; size].into_boxed_slice());
        let len = u32::try_from(size).unwrap_or(u32::MAX);
        let e = opcode::Recv::new(types::Fd(fd.as_raw_fd()), buf.as_mut_ptr(), len).build();
        self.push(tag, e, Link::Last, Mem::Read { buf }, Some(fd))
    }

    /// Takes back the buffer of a receive that has completed, for another one: a new one has to be cleared.
    pub fn reuse(&mut self, buf: Box<[u8]>) {
        if self.spare.len() < SPARE {
            self.spare.push(buf);
        }
    }

    /// Completes once as soon as `fd` can be read (or, with `write`, written) or has an error; at once where that holds already. A poll
    /// is not repeated: a caller that leaves bytes unread for the next turn polls again and is woken again.
    pub fn poll(&mut self, tag: T, fd: &Fd, write: bool) -> OpKey {
        let mask = if write { libc::POLLOUT } else { libc::POLLIN };
        let e = opcode::PollAdd::new(types::Fd(fd.as_raw_fd()), mask as u32).build();
        self.push(tag, e, Link::Last, Mem::Nothing, Some(fd))
    }

    /// Receives datagrams into `group`'s buffers until a completion without `more`.
    pub fn recv_multi(&mut self, tag: T, fd: &Fd, header: &Rc<Header>, group: &BufRing) -> OpKey {
        let e = opcode::RecvMsgMulti::new(types::Fd(fd.as_raw_fd()), &header.0, group.group()).build();
        self.push(tag, e, Link::Last, Mem::Header { _msg: header.clone() }, Some(fd))
    }

    /// Completes with ETIME at `at` of `CLOCK_MONOTONIC`, which counts as success for the operations linked behind it (`ETIME_SUCCESS`;
    /// without the flag the link would be severed and nothing sent).
    pub fn timeout_at(&mut self, tag: T, at: Instant, link: Link) -> OpKey {
        let ts = Box::new(timespec(at));
        let e = opcode::Timeout::new(&*ts).flags(TimeoutFlags::ABS | TimeoutFlags::ETIME_SUCCESS).build();
        self.push(tag, e, link, Mem::Time { _ts: ts }, None)
    }

    /// Cancels `target`; with a soft link behind it, that too. Completes with 0, ENOENT (no such, or already fired)
    /// or EALREADY (firing).
    pub fn cancel(&mut self, tag: T, target: OpKey, link: Link) -> OpKey {
        let e = opcode::AsyncCancel::new(target.to_bits()).build();
        self.push(tag, e, link, Mem::Nothing, None)
    }

    fn push(&mut self, tag: T, e: squeue::Entry, link: Link, mem: Mem, fd: Option<&Fd>) -> OpKey {
        let op = self.ops.insert(Op { tag, mem, _fd: fd.cloned() });
        let mut e = e.user_data(op.to_bits());
        // `Entry::flags` adds to the flags already set.
        match link {
            Link::Last => {}
            Link::Soft => e = e.flags(Flags::IO_LINK),
            Link::Hard => e = e.flags(Flags::IO_HARDLINK),
        }
        // Room for a chain was made before; other entries nearly always find room.
        let queued = self.enqueue(&e) || (self.room(1) && self.enqueue(&e));
        if !queued {
            self.broken.get_or_insert(-libc::EBUSY);
        }
        op
    }

    // For `push` alone.
    fn enqueue(&mut self, e: &squeue::Entry) -> bool {
        // SAFETY: everything the entry points at is owned by `ops[op]` behind a box or a count and stays there
        // until its final completion was seen (`pop`), also beyond the ring (`drop`).
        unsafe { self.io.submission().push(e) }.is_ok()
    }

    /// Submits and waits until an operation has completed or `until` has come. `None`: waits for a completion only. Returns after a
    /// signal too.
    pub fn submit_and_wait(&mut self, until: Option<Instant>) -> io::Result<()> {
        let r = if self.abs_timer || until.is_none() {
            self.enter(1, until, EnterFlags::ABS_TIMER)
        } else {
            let span = until.map(|at| Instant(at.0.saturating_sub(super::clock::mono().0)));
            self.enter(1, span, EnterFlags::empty())
        };
        settle(r)
    }

    /// Submits, collects the completions that are ready, does not wait.
    pub fn submit(&mut self) -> io::Result<()> {
        let r = self.enter(0, None, EnterFlags::GETEVENTS);
        settle(r)
    }

    /// Submits the entries pushed so far, for operations that must not wait until the end of the turn. An error is returned by the next
    /// wait.
    pub fn push_out(&mut self) {
        let _ = self.enter(0, None, EnterFlags::empty());
    }

    fn enter(&mut self, want: u32, ts: Option<Instant>, flags: EnterFlags) -> Result<(), i32> {
        let mut sq = self.io.submission();
        sq.sync();
        let (len, overflow) = (sq.len() as u32, sq.cq_overflow());
        drop(sq);
        let mut flags = flags | EnterFlags::EXT_ARG;
        if want > 0 || overflow {
            flags |= EnterFlags::GETEVENTS;
        }
        let ts = ts.map(timespec);
        let mut args = SubmitArgs::new();
        if let Some(ts) = &ts {
            args = args.timespec(ts);
        } else {
            flags.remove(EnterFlags::ABS_TIMER);
        }
        // SAFETY: `args` and `ts` outlive the call, EXT_ARG declares the type of `args`, and `len` entries were pushed by
        // `push`, each with memory that outlives it.
        let r = unsafe { self.io.submitter().enter(len, want, flags.bits(), Some(&args)) };
        r.map(drop).map_err(|e| -e.raw_os_error().unwrap_or(libc::EIO))
    }

    /// Submits pushed entries, if there are any; fetches completions that did not fit into the queue.
    pub fn submit_pushed(&mut self) -> io::Result<()> {
        let sq = self.io.submission();
        let nothing = sq.is_empty() && !sq.cq_overflow();
        drop(sq);
        if nothing { Ok(()) } else { self.submit() }
    }

    /// The number of completions that are queued.
    pub fn queued(&mut self) -> usize {
        let mut cq = self.io.completion();
        cq.sync();
        cq.len()
    }

    /// The next completion that names an operation of ours.
    pub fn pop(&mut self) -> Option<Done<T>> {
        loop {
            let cqe = self.io.completion().next()?;
            let more = cqueue::more(cqe.flags());
            let buffer = cqueue::buffer_select(cqe.flags());
            let Some(op) = OpKey::from_bits(cqe.user_data()).filter(|k| self.ops.get(*k).is_some()) else {
                self.unknown += 1;
                continue;
            };
            let (tag, read) = if more {
                (self.ops.get(op)?.tag, None)
            } else {
                let done = self.ops.remove(op)?;
                (done.tag, if let Mem::Read { buf } = done.mem { Some(buf) } else { None })
            };
            return Some(Done { tag, op, result: cqe.result(), buffer, more, read });
        }
    }

    /// Gives `ring`'s buffers to the kernel under its group number.
    pub fn register(&mut self, ring: &BufRing) -> io::Result<()> {
        // SAFETY: the mapping is page aligned, has `entries` entries, and is leaked by `BufRing`: it outlives the ring.
        unsafe { self.io.submitter().register_buf_ring_with_flags(ring.base(), ring.entries(), ring.group(), 0) }
    }
}

fn build(coop: bool, entries: u32) -> io::Result<IoUring> {
    let mut b = IoUring::builder();
    b.setup_single_issuer().setup_submit_all().setup_clamp().setup_cqsize(4 * entries);
    if coop {
        b.setup_coop_taskrun();
    }
    b.build(entries)
}

/// A ring of so many entries; while there is no memory for it, of half as many, down to [`FEWEST`].
fn smaller<T>(entries: u32, make: impl Fn(u32) -> io::Result<T>) -> io::Result<T> {
    let mut entries = entries.max(FEWEST);
    loop {
        match make(entries) {
            Err(e) if e.raw_os_error() == Some(libc::ENOMEM) && entries > FEWEST => entries /= 2,
            made => return made,
        }
    }
}

impl<T> Drop for Ring<T> {
    /// The kernel cancels what is in flight after the ring was closed, at a time of its own: until then it may write to that memory, which
    /// is therefore never freed.
    fn drop(&mut self) {
        for op in self.ops.keys() {
            if let Some(op) = self.ops.remove(op) {
                core::mem::forget(op.mem);
            }
        }
    }
}

/// How a send handles a full buffer, and on which thread it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Now or EAGAIN.
    NoWait,
    /// When there is room; the ring polls the socket, and no thread blocks.
    Wait,
    /// On a kernel worker: for calls that may sleep on a kernel lock (rtnetlink).
    Worker,
}

/// Whether a timer that expires while our thread is busy in user code on *another* CPU than the one it was armed on may wait for that
/// CPU's next tick. It may not: without the flag the kernel interrupts the thread, and the advert leaves.
///
/// Measured (6.18, HZ 250, SCHED_RR, one router at 10 ms, 7 ms of busy user code a turn, the thread moved to the other CPU each turn;
/// captured on the veth peer): late p99 1.1 to 1.5 ms, max 2.6 to 3.9 ms with the flag; p99 0.6 ms, max 1.4 ms without. Where the thread
/// stays on its CPU there is no difference in lateness. 200 routers at 10 ms use the same CPU time with and without the flag.
pub const COOP_TASKRUN: bool = false;

fn send_entry(fd: &Fd, bytes: &Bytes, to: Option<&SockAddr>, how: How) -> squeue::Entry {
    let (addr, len) = to.map_or((core::ptr::null(), 0), |a| (a.as_ptr(), a.len()));
    let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let flags = libc::MSG_NOSIGNAL | if how == How::NoWait { libc::MSG_DONTWAIT } else { 0 };
    let e = opcode::Send::new(types::Fd(fd.as_raw_fd()), bytes.as_ptr(), size)
        .flags(flags)
        .dest_addr(addr)
        .dest_addr_len(len)
        .build();
    if how == How::Worker { e.flags(Flags::ASYNC) } else { e }
}

fn timespec(at: Instant) -> Timespec {
    Timespec::new().sec(at.0 / 1_000_000_000).nsec((at.0 % 1_000_000_000) as u32)
}

/// The results of a wait beside success: the time has passed, a signal came, completions are queued.
fn settle(r: Result<(), i32>) -> io::Result<()> {
    match r {
        Ok(()) => Ok(()),
        Err(e) if [-libc::ETIME, -libc::EINTR, -libc::EAGAIN, -libc::EBUSY].contains(&e) => Ok(()),
        Err(e) => Err(io::Error::from_raw_os_error(-e)),
    }
}

fn kernel_release() -> Option<(u32, u32)> {
    let text = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    release(&text)
}

fn release(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn too_old() -> String {
    let have = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("this kernel ({}) is too old: kalived needs io_uring of Linux 6.1 or later", have.trim())
}

fn explain(e: &io::Error) -> String {
    let disabled = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
    match e.raw_os_error() {
        Some(libc::ENOSYS) => {
            "this kernel has no io_uring (CONFIG_IO_URING): kalived needs Linux 6.1 or later with it".to_owned()
        }
        Some(libc::EINVAL) => too_old(),
        Some(libc::EPERM | libc::EACCES) if matches!(disabled.trim(), "1" | "2") => format!(
            "io_uring is forbidden here (kernel.io_uring_disabled = {}): set it to 0 with \
             `sysctl kernel.io_uring_disabled=0`, or to 1 and put kalived's group in kernel.io_uring_group",
            disabled.trim()
        ),
        Some(libc::EPERM | libc::EACCES) => {
            "io_uring is forbidden here, most likely by the container's seccomp filter: \
             allow io_uring_setup, io_uring_enter and io_uring_register in its profile"
                .to_owned()
        }
        Some(libc::ENOMEM) => format!(
            "no memory for io_uring: raise the locked-memory limit (ulimit -l): a ring takes 64 to 160 KiB, and two \
             of them run together in an upgrade ({e})"
        ),
        _ => format!("io_uring could not be set up: {e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_compare_by_number() {
        assert_eq!(release("6.18.44-fc-v657\n"), Some((6, 18)));
        assert_eq!(release("5.10.0-28-amd64"), Some((5, 10)));
        assert!(release("6.1") >= Some((6, 1)) && release("6.0") < Some((6, 1)) && release("odd") < Some((6, 1)));
    }

    #[test]
    fn a_ring_is_made_smaller_only_for_want_of_memory() {
        let of = |room: u32, errno: i32| {
            smaller(SQ_ENTRIES, |n| if n <= room { Ok(n) } else { Err(io::Error::from_raw_os_error(errno)) }).ok()
        };
        let of_memory = |room| of(room, libc::ENOMEM);
        assert_eq!([1024, 1000, 511, 255].map(of_memory), [Some(1024), Some(512), Some(256), None]);
        assert_eq!(of(512, libc::EPERM), None);
        assert_eq!(smaller(0, Ok).ok(), Some(FEWEST));
    }

    #[test]
    fn a_refusal_names_the_remedy() {
        assert!(explain(&io::Error::from_raw_os_error(libc::ENOSYS)).contains("6.1"));
        assert!(explain(&io::Error::from_raw_os_error(libc::EPERM)).contains("forbidden"));
    }
}
