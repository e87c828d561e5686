//! Queues from the helper's first thread to the other threads, and the line from all of them to the core.
//!
//! A lane is a bounded queue with a pipe that becomes readable when an item is added, so that a thread can wait for its work and for the
//! kernel at the same time.

use super::proto::Tell;
use crate::exit::ExitCode;
use crate::note::Level;
use crate::sys::{poll, seqpacket};
use std::collections::BTreeSet;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Items that wait in a lane: all that the core may request at one time (`daemon/helperline.rs`) and as many cancellations, so that only
/// a lane that hangs is ever full.
const WAITING: usize = 16_384;
/// How long the end of the helper waits for a lane's last work: a named pipe is removed in microseconds, unless its file system hangs.
const LAST_WORK: Duration = Duration::from_secs(1);

/// The line to the core.
#[derive(Clone)]
pub struct Line(Arc<(OwnedFd, Mutex<BTreeSet<String>>)>);

impl Line {
    /// A line over this socket.
    pub fn new(socket: OwnedFd) -> Line {
        Line(Arc::new((socket, Mutex::default())))
    }

    /// The helper's end of the socket to the core.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.0.as_fd()
    }

    /// Sends a message; waits until the core has read earlier ones. Without effect when the core has ended.
    pub fn tell(&self, tell: &Tell, fd: Option<BorrowedFd<'_>>) {
        let Ok(bytes) = tell.encode() else { return };
        while let Err(e) = seqpacket::send(self.fd(), &bytes, fd.as_slice()) {
            match e.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => {
                    poll::writable(self.fd(), -1);
                }
                _ => return,
            }
        }
    }

    /// Sends a line for the log.
    pub fn note(&self, level: Level, text: &str) {
        self.tell(&Tell::note(level, text), None);
    }

    /// As [`Line::note`], but the same text only once. There are few texts: those of this program, with an errno at most.
    pub fn note_once(&self, level: Level, text: &str) {
        if self.0.1.lock().unwrap_or_else(PoisonError::into_inner).insert(text.to_owned()) {
            self.note(level, text);
        }
    }
}

/// A thread's end of a lane; several threads of one lane share it.
pub struct Inbox<T> {
    queue: Receiver<T>,
    // Items that wait. A channel with a limit of its own would allocate all its places, a megabyte, at once.
    waiting: Arc<AtomicUsize>,
    wake: PipeReader,
}

/// No further item will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl<T> Inbox<T> {
    /// Readable when an item waits, or when no further item will come.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// All items that wait; to be called when [`Inbox::fd`] is readable.
    pub fn take(&mut self) -> Result<Vec<T>, Closed> {
        // As many as there may be. A byte is written after each item, so an item whose byte is not read here is taken by a later call.
        let _ = self.wake.read(&mut [0; WAITING]);
        let mut all = Vec::new();
        for _ in 0..WAITING {
            match self.queue.try_recv() {
                Ok(one) => {
                    self.waiting.fetch_sub(1, Ordering::Relaxed);
                    all.push(one);
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) if all.is_empty() => return Err(Closed),
                Err(TryRecvError::Disconnected) => break,
            }
        }
        Ok(all)
    }

    /// Waits for the next item.
    pub fn wait_next(&mut self) -> Result<T, Closed> {
        let _ = self.wake.read(&mut [0; 1]);
        let one = self.queue.recv().map_err(|_| Closed)?;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Ok(one)
    }
}

/// A lane takes no more items: it hangs, or has no thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// The function of a lane's thread.
pub type Work<T> = fn(&Mutex<Inbox<T>>, &Line);

/// The first thread's end of a lane. The lane's threads start with the first item.
pub struct Lane<T> {
    name: &'static str,
    threads: usize,
    work: Work<T>,
    begun: Option<Begun<T>>,
}

struct Begun<T> {
    queue: Sender<T>,
    waiting: Arc<AtomicUsize>,
    wake: PipeWriter,
    // Disconnected when the last thread has ended.
    ended: Receiver<()>,
}

impl<T: Send + 'static> Lane<T> {
    /// At most `threads` threads that run `work`.
    pub fn new(name: &'static str, threads: usize, work: Work<T>) -> Lane<T> {
        Lane { name, threads, work, begun: None }
    }

    /// Whether the lane has ever had an item.
    pub fn begun(&self) -> bool {
        self.begun.is_some()
    }

    /// Adds an item.
    pub fn give(&mut self, line: &Line, what: T) -> Result<(), Full> {
        if self.begun.is_none() {
            self.begun = self.begin(line).ok();
        }
        let begun = self.begun.as_mut().ok_or(Full)?;
        // Only this thread adds, so the number cannot pass the limit between the two lines.
        if begun.waiting.load(Ordering::Relaxed) >= WAITING {
            return Err(Full);
        }
        begun.waiting.fetch_add(1, Ordering::Relaxed);
        begun.queue.send(what).map_err(|_| Full)?;
        // At most as many bytes as items, which is less than a pipe holds.
        begun.wake.write_all(&[0]).map_err(|_| Full)
    }

    fn begin(&self, line: &Line) -> io::Result<Begun<T>> {
        let (queue, rx) = channel();
        let waiting = Arc::<AtomicUsize>::default();
        let (wake_rx, wake) = io::pipe()?;
        let (alive, ended) = sync_channel::<()>(0);
        let inbox = Arc::new(Mutex::new(Inbox { queue: rx, waiting: waiting.clone(), wake: wake_rx }));
        for _ in 0..self.threads {
            let (inbox, line, work, alive) = (inbox.clone(), line.clone(), self.work, alive.clone());
            thread::Builder::new().name(self.name.to_owned()).spawn(move || {
                let _alive = (alive, EndWithThread);
                work(&inbox, &line);
            })?;
        }
        Ok(Begun { queue, waiting, wake, ended })
    }

    /// Ends the lane after the items it has; does not wait for ever.
    pub fn finish(&mut self) {
        let Some(Begun { queue, wake, ended, .. }) = self.begun.take() else { return };
        drop((queue, wake));
        // Nothing is ever sent: the wait ends with the last thread, or after the limit.
        let _ = ended.recv_timeout(LAST_WORK);
    }
}

/// A panic of a lane's thread must not pass unnoticed: the process ends, and the guard starts another helper.
struct EndWithThread;

impl Drop for EndWithThread {
    fn drop(&mut self) {
        if thread::panicking() {
            std::process::exit(ExitCode::Internal as i32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::poll;

    #[test]
    fn work_arrives_in_order_is_bounded_and_ends() {
        let (queue, rx) = channel();
        let waiting = Arc::<AtomicUsize>::default();
        let (wake_rx, wake) = io::pipe().unwrap();
        let (_alive, ended) = sync_channel::<()>(0);
        let begun = Some(Begun { queue, waiting: waiting.clone(), wake, ended });
        let mut lane = Lane { name: "x", threads: 1, work: |_, _| (), begun };
        let mut inbox = Inbox { queue: rx, waiting, wake: wake_rx };
        let line = Line::new(seqpacket::pair().unwrap().0);
        assert_eq!(poll::readable(&[inbox.fd()], 0).unwrap(), [false]);
        let many = (0..WAITING).collect::<Vec<_>>();
        for i in &many {
            assert_eq!(lane.give(&line, *i), Ok(()));
        }
        assert_eq!(lane.give(&line, 0), Err(Full));
        assert_eq!(poll::readable(&[inbox.fd()], 0).unwrap(), [true]);
        assert_eq!(inbox.take(), Ok(many));
        assert_eq!(poll::readable(&[inbox.fd()], 0).unwrap(), [false]);
        for i in [4, 5] {
            assert_eq!(lane.give(&line, i), Ok(()));
        }
        assert_eq!(inbox.wait_next(), Ok(4));
        lane.begun = None;
        assert_eq!((inbox.take(), inbox.take()), (Ok(vec![5]), Err(Closed)));
    }
}
