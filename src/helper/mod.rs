//! The helper: a process that does for the core what may block. Files, processes, named pipes, sysctls, multicast groups, host names.
//!
//! One thread reads the core's messages and puts each into its lane; a lane is a thread of its own, started when it is first needed, so
//! that a file system that hangs does not stop the counting of processes, and a name server stops neither of them. Every lane answers the
//! core directly: a message is one datagram, so messages never mix. When the core's end of the line closes, the helper ends.
//!
//! Read in this order: `proto` (what is said), this file (who does what), `lane`, then `files`, `matching` and `processes`,
//! `fifos`, `knobs`, `groups`, `names`. Deliberately absent: anything that would have to survive; the core asks a new helper for all of
//! it again.

mod fifos;
mod files;
mod groups;
mod knobs;
pub mod lane;
pub mod matching;
mod names;
mod processes;
pub mod proto;
pub mod text;

use crate::exit::ExitCode;
use crate::note::Level;
use crate::sys::privilege::{Files, cap};
use crate::sys::{child, limits, poll, privilege, sections, seqpacket, signal};
use lane::{Lane, Line};
use proto::{Ask, Tell};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// `EAGAIN`: the lane is full.
const BUSY: i32 = 11;

/// `kalived --helper`: the socket to the core is fd 3; fd 4, where the guard could open it, is the file of former sysctls
/// (`process/sysctls.rs`).
pub fn main() -> ExitCode {
    let both = child::inherited().map(|[socket, file]: [OwnedFd; 2]| (socket, Some(File::from(file))));
    match both.or_else(|_| child::inherited().map(|[socket]: [OwnedFd; 1]| (socket, None))) {
        Ok((socket, file)) => {
            // A terminal or a service manager signals all processes at once. The helper ends when the core does, after the core's last
            // message.
            signal::ignore();
            sections::give_back_all();
            // The core has two descriptors for each socket, and the same limit: a helper that cannot join yet has room for all of them.
            limits::raise_files(u64::MAX);
            confine();
            run(socket, file)
        }
        // An operator started it by hand; there is no core at fd 3.
        Err(_) => ExitCode::Fatal,
    }
}

/// Keeps the capabilities that the helper needs: for files of other owners, pipes and their owners, process events. Gives up those that
/// only the guard and the core need.
fn confine() {
    let kept = [cap::CHOWN, cap::DAC_OVERRIDE, cap::FOWNER, cap::NET_ADMIN, cap::SYS_PTRACE];
    privilege::keep_only(&kept);
    privilege::leave_files(Files::Pipes);
    privilege::hide();
}

/// Serves the core at the other end of `socket` until that closes. `file`: where former values of sysctls are noted.
pub fn run(socket: OwnedFd, file: Option<File>) -> ExitCode {
    let line = Line::new(socket);
    let mut lanes = Lanes::new(line.clone(), file);
    let mut buffer = vec![0; proto::LONGEST];
    loop {
        if poll::readable(&[line.fd()], -1).is_err() {
            return ExitCode::Fatal;
        }
        match seqpacket::recv(line.fd(), &mut buffer) {
            Ok(None) => {}
            Ok(Some((0, _))) => break,
            Ok(Some((n, fds))) => match buffer.get(..n).map(Ask::decode) {
                Some(Ok(ask)) => lanes.give(ask, fds),
                _ => line.note_once(Level::Error, text::MALFORMED),
            },
            Err(e) if e.kind() == io::ErrorKind::InvalidData => line.note_once(Level::Error, text::MALFORMED),
            Err(_) => return ExitCode::Fatal,
        }
    }
    // A named pipe that the helper created is removed before the helper ends.
    lanes.fifos.finish();
    ExitCode::Ok
}

struct Lanes {
    line: Line,
    files: Lane<Ask>,
    processes: Lane<Ask>,
    fifos: Lane<Ask>,
    knobs: Lane<knobs::Job>,
    noted: Option<Arc<File>>,
    groups: Lane<(Ask, OwnedFd)>,
    names: Lane<Ask>,
}

impl Lanes {
    fn new(line: Line, file: Option<File>) -> Lanes {
        Lanes {
            files: Lane::new("files", 1, files::run),
            processes: Lane::new("processes", 1, processes::run),
            // One thread: a pipe is removed under a name before it is created again.
            fifos: Lane::new("fifos", 1, fifos::run),
            // One thread: what is put back is not set again before.
            knobs: Lane::new("sysctls", 1, knobs::run),
            noted: file.map(Arc::new),
            // One thread: a socket leaves after it joined.
            groups: Lane::new("groups", 1, groups::run),
            names: Lane::new("names", names::THREADS, names::run),
            line,
        }
    }

    fn give(&mut self, ask: Ask, mut fds: Vec<OwnedFd>) {
        // A request to a full lane fails. A cancellation that a full lane does not take has no consequence: the core ignores what the
        // watch reports.
        let refused = match ask {
            Ask::WatchFile { watch, .. } => {
                let given = self.files.give(&self.line, ask);
                given.err().map(|_| Tell::FileRead { watch, result: Err(BUSY) })
            }
            Ask::WatchProcesses { watch, .. } => {
                let given = self.processes.give(&self.line, ask);
                given.err().map(|_| Tell::Processes { watch, result: Err(BUSY) })
            }
            Ask::Unwatch { .. } => {
                for lane in [&mut self.files, &mut self.processes] {
                    if lane.begun() {
                        let _ = lane.give(&self.line, ask.clone());
                    }
                }
                None
            }
            Ask::OpenFifo { fifo, .. } => {
                let given = self.fifos.give(&self.line, ask);
                given.err().map(|_| Tell::FifoReady { fifo, result: Err(BUSY) })
            }
            Ask::RemoveFifo { .. } => {
                let _ = self.fifos.give(&self.line, ask);
                None
            }
            Ask::Knobs { job, ref set, .. } => {
                let first = set.first().map(|s| (s.knob, BUSY));
                let given = self.knobs.give(&self.line, (ask, self.noted.clone()));
                given.err().map(|_| Tell::Knobs { job, before: Vec::new(), failed: first })
            }
            Ask::Join { job, .. } => {
                let given = fds.pop().is_some_and(|fd| self.groups.give(&self.line, (ask, fd)).is_ok());
                (!given).then_some(Tell::Joined { job, result: Err(BUSY) })
            }
            Ask::Leave { .. } => {
                if let Some(fd) = fds.pop() {
                    let _ = self.groups.give(&self.line, (ask, fd));
                }
                None
            }
            Ask::Lookup { conn, .. } => {
                let given = self.names.give(&self.line, ask);
                given.err().map(|_| Tell::Resolved { conn, result: Err(BUSY) })
            }
        };
        if let Some(tell) = refused {
            self.line.tell(&tell, None);
        }
    }
}

/// A positive errno for an error; EIO where the system gave none.
fn errno(e: &io::Error) -> i32 {
    e.raw_os_error().filter(|n| *n > 0).unwrap_or(5)
}
