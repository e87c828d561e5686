//! The log sink: bounded lines, one write at a time, never a wait.
//!
//! A pipe without a reader or a stopped syslog daemon must not delay an advert. So lines are queued, the ring writes them, and when the
//! queue is full the **newest** are dropped and counted: the first lines of a failure usually contain its cause. When there is room again
//! one line reports how many are missing.
//!
//! A change that is logged, such as a takeover, is often urgent as well. So a line is formatted and passed to the kernel a few
//! milliseconds after it was noted, with the time it was noted at; the lines of a burst share a write. Read first: `process/line.rs`.

use super::os::Os;
use super::token::Token;
use crate::note::{Level, Note};
use crate::process::line::{LINE, Target, line};
use crate::sys::errno;
use crate::sys::logfd;
use crate::sys::op::{Fd, Link};
use crate::sys::ring::How;
use crate::time::{Duration, Instant, Now};
use bytes::{Buf, Bytes};
use std::collections::VecDeque;

/// Queued lines. A state change of 255 routers is about 1,000 lines with `-D`: room for four of those.
const LINES: usize = 4096;
/// Queued bytes, so that long lines cannot use up the memory: 128 a line on average.
const BYTES: usize = 512 * 1024;
/// Bytes in one console write: some 40 lines. Formatting more at once would delay a takeover too long on a slow processor.
const WRITE: usize = 4 * 1024;
/// From the first noted line to the beginning of the write. Longer than a takeover with a handful of addresses takes.
const HOLD: Duration = Duration::from_millis(5);
/// Between two attempts to connect to a syslog daemon that does not run.
const RECONNECT: Duration = Duration::from_secs(1);

/// The queue of log lines and their destination: standard error, syslog or none.
pub struct Sink {
    target: Target,
    detail: bool,
    fd: Option<Fd>,
    retry: Option<Instant>,
    queue: VecDeque<(Now, Note)>,
    /// When the write of queued lines may begin.
    due: Instant,
    bytes: usize,
    lost: u64,
    /// Lines lost since the start.
    lost_so_far: u64,
    /// The bytes of the current write, and their number of lines.
    writing: Option<(Bytes, u64)>,
    busy: bool,
    pid: u32,
}

impl Sink {
    /// A sink; `detail`: [`Level::Detail`] too (`-D`).
    pub fn new(target: Target, detail: bool) -> Sink {
        let fd = match &target {
            Target::Console => logfd::stderr().ok(),
            Target::Syslog(_) | Target::Nowhere => None,
        };
        Sink::with_fd(target, detail, fd)
    }

    /// As [`Sink::new`], with a descriptor of the caller.
    pub fn with_fd(target: Target, detail: bool, fd: Option<Fd>) -> Sink {
        Sink {
            target,
            detail,
            fd,
            retry: None,
            queue: VecDeque::new(),
            due: Instant::default(),
            bytes: 0,
            lost: 0,
            lost_so_far: 0,
            writing: None,
            busy: false,
            pid: std::process::id(),
        }
    }

    /// The number of lines that were dropped so far.
    pub fn lost_so_far(&self) -> u64 {
        self.lost_so_far
    }

    /// Queues a line.
    pub fn note(&mut self, now: Now, note: Note) {
        if self.target == Target::Nowhere || (note.level == Level::Detail && !self.detail) {
            return;
        }
        if self.lost > 0 && self.fits(LINE) {
            let lost = core::mem::take(&mut self.lost);
            let text = format!("{lost} log lines lost: they were not taken fast enough");
            self.put(now, Note { level: Level::Warning, text });
        }
        self.put(now, note);
    }

    fn fits(&self, len: usize) -> bool {
        self.queue.len() < LINES && self.bytes + len <= BYTES
    }

    fn put(&mut self, now: Now, note: Note) {
        if self.fits(note.text.len()) {
            if self.queue.is_empty() {
                self.due = now.mono + HOLD;
            }
            self.bytes += note.text.len();
            self.queue.push_back((now, note));
        } else {
            (self.lost, self.lost_so_far) = (self.lost + 1, self.lost_so_far + 1);
        }
    }

    fn next(&mut self) -> Option<Bytes> {
        let (now, note) = self.queue.pop_front()?;
        self.bytes -= note.text.len();
        Some(self.line(now, &note).into())
    }

    fn line(&self, now: Now, note: &Note) -> String {
        line(&self.target, now, note, self.pid)
    }

    /// Starts the next write, if none is in flight.
    pub fn pump(&mut self, os: &mut impl Os, now: Instant) {
        if self.busy || self.idle() || (self.writing.is_none() && now < self.due) {
            return;
        }
        if self.fd.is_none() && !self.reconnect(os, now) {
            return;
        }
        let Some(fd) = self.fd.clone() else { return };
        if self.writing.is_none() {
            self.writing = Some(self.take());
        }
        let Some((bytes, _)) = &self.writing else { return };
        self.busy = true;
        match self.target {
            Target::Console | Target::Nowhere => os.write(Token::Log, &fd, bytes.clone()),
            // The kernel waits for room: the queue grows meanwhile, and no thread blocks.
            Target::Syslog(_) => os.send(Token::Log, &fd, bytes.clone(), None, Link::Last, How::Wait),
        };
    }

    /// Takes the lines of one write. Syslog: one line. Console: as many as fit.
    fn take(&mut self) -> (Bytes, u64) {
        let mut lines = 1;
        let mut out = self.next().unwrap_or_default();
        if self.target == Target::Console {
            let mut all = Vec::from(out);
            while all.len() + LINE <= WRITE
                && let Some(next) = self.next()
            {
                all.extend_from_slice(&next);
                lines += 1;
            }
            out = all.into();
        }
        (out, lines)
    }

    fn reconnect(&mut self, os: &mut impl Os, now: Instant) -> bool {
        if self.retry.is_some_and(|at| now < at) {
            return false;
        }
        let fd = match &self.target {
            Target::Console => os.open_stderr().ok(),
            Target::Syslog(path) => os.open_syslog(path).ok(),
            Target::Nowhere => None,
        };
        self.reconnected(fd, now)
    }

    fn reconnected(&mut self, fd: Option<Fd>, now: Instant) -> bool {
        self.fd = fd;
        self.retry = self.fd.is_none().then(|| now + RECONNECT);
        self.fd.is_some()
    }

    /// A write completed.
    pub fn on_written(&mut self, result: i32, now: Instant) {
        self.busy = false;
        let Some((mut bytes, lines)) = self.writing.take() else { return };
        let console = self.target == Target::Console;
        match usize::try_from(result) {
            Ok(n) if console && n > 0 && n < bytes.len() => {
                bytes.advance(n);
                self.writing = Some((bytes, lines));
            }
            Ok(_) => {}
            Err(_) if [errno::EINTR, errno::EAGAIN].contains(&result) => self.writing = Some((bytes, lines)),
            // The reader of a pipe has ended: the lines are lost.
            Err(_) if console => (self.lost, self.lost_so_far) = (self.lost + lines, self.lost_so_far + lines),
            // The syslog daemon may restart: the line waits for it.
            Err(_) => {
                self.writing = Some((bytes, lines));
                self.fd = None;
                self.retry = Some(now + RECONNECT);
            }
        }
    }

    /// When to call [`Sink::pump`] without another event.
    pub fn next_deadline(&self) -> Option<Instant> {
        let due = if self.writing.is_none() { self.due } else { Instant::default() };
        (!self.busy && !self.idle()).then(|| self.retry.map_or(due, |at| at.max(due)))
    }

    /// Whether an exit need not wait for the sink: every line was written, or there is no reader.
    pub fn settled(&self) -> bool {
        self.idle() || (self.fd.is_none() && self.retry.is_some())
    }

    /// Whether every line was written.
    pub fn idle(&self) -> bool {
        self.queue.is_empty() && self.writing.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Wall;

    const NOW: Now = Now { mono: Instant(0), wall: Wall(1_700_000_000_000_000_000) };

    fn note(text: &str) -> Note {
        Note { level: Level::Info, text: text.to_owned() }
    }

    #[test]
    fn one_record_is_one_bounded_line() {
        let s = Sink::with_fd(Target::Console, false, None);
        let line = s.line(NOW, &note(&format!("a\nb{}", "ü".repeat(LINE))));
        assert!(line.contains("a b") && line.ends_with('\n') && line.matches('\n').count() == 1);
        assert!(line.len() <= LINE);
        let s = Sink::with_fd(Target::Syslog(String::new()), false, None);
        assert!(s.line(NOW, &note("x")).starts_with("<30>Nov "));
    }

    #[test]
    fn an_exit_waits_for_the_last_lines_unless_nobody_takes_them() {
        let mut s = Sink::with_fd(Target::Syslog(String::new()), false, None);
        s.note(NOW, note("last"));
        assert!(!s.settled(), "not tried yet");
        assert!(!s.reconnected(None, NOW.mono));
        assert!(s.settled() && !s.idle());
    }

    #[test]
    fn detail_needs_the_option_and_the_newest_are_dropped_and_counted() {
        let mut s = Sink::with_fd(Target::Console, false, None);
        s.note(NOW, Note { level: Level::Detail, text: "detail".into() });
        assert!(s.idle());
        for i in 0..LINES + 10 {
            s.note(NOW, note(&format!("line {i}")));
        }
        assert_eq!((s.queue.len(), s.lost), (LINES, 10));
        while !s.queue.is_empty() {
            let (b, _) = s.take();
            assert!(!String::from_utf8_lossy(&b).contains(&format!("line {LINES}")));
        }
        assert_eq!(s.bytes, 0);
        s.note(NOW, note("after"));
        let (b, lines) = s.take();
        let text = String::from_utf8_lossy(&b).into_owned();
        assert!(lines == 2 && text.find("10 log lines lost") < text.find("after"));
    }
}
