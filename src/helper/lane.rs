//! The way from the helper's first thread to the others, and from all of them to the core.
//!
//! A lane is a bounded queue with a pipe that becomes readable when something was put into it, so that a thread can wait for its
//! work and for the kernel at the same time.

use super::proto::Tell;
use crate::exit::ExitCode;
use crate::note::Level;
use crate::sys::{poll, seqpacket};
use std::collections::BTreeSet;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Work that waits in a lane: all that the core may ask for at once (`daemon/helperline.rs`) and as much taken back, so that only
/// a lane that hangs is ever full.
const WAITING: usize = 16_384;
/// How long the end waits for a lane's last work: a named pipe is removed in microseconds, unless its file system hangs.
const LAST_WORK: Duration = Duration::from_secs(1);

/// To the core.
#[derive(Clone)]
pub struct Line(Arc<(OwnedFd, Mutex<BTreeSet<String>>)>);

impl Line {
    /// Over this socket.
    pub fn new(socket: OwnedFd) -> Line {
        Line(Arc::new((socket, Mutex::default())))
    }

    /// The socket.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.0.as_fd()
    }

    /// Says something; waits while the core has not read what was said before. Nobody hears it when the core is gone.
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

    /// Has something said in the log.
    pub fn note(&self, level: Level, text: &str) {
        self.tell(&Tell::note(level, text), None);
    }

    /// As [`Line::note`], but the same thing only once. The texts are few: those of this program, with an errno at most.
    pub fn note_once(&self, level: Level, text: &str) {
        if self.0.1.lock().unwrap_or_else(PoisonError::into_inner).insert(text.to_owned()) {
            self.note(level, text);
        }
    }
}

/// A thread's end of a lane; several threads of one lane share it.
pub struct Inbox<T> {
    queue: Receiver<T>,
    wake: PipeReader,
}

/// Nothing more will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl<T> Inbox<T> {
    /// Readable when something waits, or nothing more will come.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// All that waits; to be called when [`Inbox::fd`] is readable.
    pub fn take(&mut self) -> Result<Vec<T>, Closed> {
        // As many as there may be. A byte was written after each, so one whose byte is not read here comes with a next call.
        let _ = self.wake.read(&mut [0; WAITING]);
        let mut all = Vec::new();
        for _ in 0..WAITING {
            match self.queue.try_recv() {
                Ok(one) => all.push(one),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) if all.is_empty() => return Err(Closed),
                Err(TryRecvError::Disconnected) => break,
            }
        }
        Ok(all)
    }

    /// The next one, waiting for it.
    pub fn wait_next(&mut self) -> Result<T, Closed> {
        let _ = self.wake.read(&mut [0; 1]);
        self.queue.recv().map_err(|_| Closed)
    }
}

/// A lane takes no more: it hangs, or has no thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// What a lane's thread does with its work.
pub type Work<T> = fn(&Mutex<Inbox<T>>, &Line);

/// The first thread's end of a lane. Its threads begin with the first work.
pub struct Lane<T> {
    name: &'static str,
    threads: usize,
    work: Work<T>,
    begun: Option<Begun<T>>,
}

struct Begun<T> {
    queue: SyncSender<T>,
    wake: PipeWriter,
    // Disconnected when the last thread has ended.
    ended: Receiver<()>,
}

impl<T: Send + 'static> Lane<T> {
    /// At most `threads` threads that do `work`.
    pub fn new(name: &'static str, threads: usize, work: Work<T>) -> Lane<T> {
        Lane { name, threads, work, begun: None }
    }

    /// Whether it has ever had work.
    pub fn begun(&self) -> bool {
        self.begun.is_some()
    }

    /// Gives it something to do.
    pub fn give(&mut self, line: &Line, what: T) -> Result<(), Full> {
        if self.begun.is_none() {
            self.begun = self.begin(line).ok();
        }
        let begun = self.begun.as_mut().ok_or(Full)?;
        begun.queue.try_send(what).map_err(|_| Full)?;
        // As many bytes as there is work at most, which is less than a pipe takes.
        begun.wake.write_all(&[0]).map_err(|_| Full)
    }

    fn begin(&self, line: &Line) -> io::Result<Begun<T>> {
        let (queue, rx) = sync_channel(WAITING);
        let (wake_rx, wake) = io::pipe()?;
        let (alive, ended) = sync_channel::<()>(0);
        let inbox = Arc::new(Mutex::new(Inbox { queue: rx, wake: wake_rx }));
        for _ in 0..self.threads {
            let (inbox, line, work, alive) = (inbox.clone(), line.clone(), self.work, alive.clone());
            thread::Builder::new().name(self.name.to_owned()).spawn(move || {
                let _alive = (alive, EndWithThread);
                work(&inbox, &line);
            })?;
        }
        Ok(Begun { queue, wake, ended })
    }

    /// No more work; waits for what it has, but not for ever.
    pub fn finish(&mut self) {
        let Some(Begun { queue, wake, ended }) = self.begun.take() else { return };
        drop((queue, wake));
        // Nothing is ever sent: this ends with the last thread, or with our patience.
        let _ = ended.recv_timeout(LAST_WORK);
    }
}

/// A lane that fell over must not be missed in silence: the process ends, and the guard begins another.
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
        let (queue, rx) = sync_channel(3);
        let (wake_rx, wake) = io::pipe().unwrap();
        let (_alive, ended) = sync_channel::<()>(0);
        let mut lane = Lane { name: "x", threads: 1, work: |_, _| (), begun: Some(Begun { queue, wake, ended }) };
        let mut inbox = Inbox { queue: rx, wake: wake_rx };
        let line = Line::new(seqpacket::pair().unwrap().0);
        assert_eq!(poll::readable(&[inbox.fd()], 0).unwrap(), [false]);
        for i in 0..3 {
            assert_eq!(lane.give(&line, i), Ok(()));
        }
        assert_eq!(lane.give(&line, 3), Err(Full));
        assert_eq!(poll::readable(&[inbox.fd()], 0).unwrap(), [true]);
        assert_eq!(inbox.take(), Ok(vec![0, 1, 2]));
        assert_eq!(poll::readable(&[inbox.fd()], 0).unwrap(), [false]);
        assert_eq!(lane.give(&line, 4), Ok(()));
        lane.begun = None;
        assert_eq!((inbox.take(), inbox.take()), (Ok(vec![4]), Err(Closed)));
    }
}
