//! A run of the compiler: from text to an image, in a process of its own, with a time limit.
//!
//! Read first: `queue.rs`, `config/image.rs`.

use super::role::Roles;
use crate::config::image::MAGIC;
use crate::note::Note;
use crate::process::entry;
use crate::sys::child::{self, End, Reports};
use crate::sys::memfd;
use crate::time::{Duration, Instant};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::rc::Rc;

/// The largest known configuration takes a second; a longer run waits for a file server or a name server.
const LIMIT: Duration = Duration::from_secs(30);
/// Messages as entries, which are logged with their severities.
pub const ENTRIES: &str = "--log-entries";
/// Bytes of messages that are read.
const TEXT: usize = 16 * 1024;

/// The purpose of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// A reload: a file that fails `--config-test` is refused.
    Reload,
    /// `reload --force`, an upgrade, and the messages of a start: only a file that cannot be run is refused.
    Start,
}

/// A compiler that runs: its process, its deadline, and the files in memory for the image and the messages.
pub struct Compiler {
    /// The compiler's process.
    pub pid: u32,
    deadline: Instant,
    late: bool,
    older: bool,
    image: File,
    text: File,
}

impl Compiler {
    /// Starts the compiler. `new`: the program at the path, at an upgrade or a hand-over.
    pub fn start(roles: &Roles, new: bool, wanted: Use, reports: &Reports, now: Instant) -> io::Result<Compiler> {
        Compiler::start_as(roles, new, Some(wanted), reports, now)
    }

    /// Starts the program at the path again, as a release before there were [`ENTRIES`] and purposes: see [`Compiler::is_older`].
    pub fn start_older(roles: &Roles, reports: &Reports, now: Instant) -> io::Result<Compiler> {
        Compiler::start_as(roles, true, None, reports, now)
    }

    fn start_as(
        roles: &Roles,
        new: bool,
        wanted: Option<Use>,
        reports: &Reports,
        now: Instant,
    ) -> io::Result<Compiler> {
        let (image, text) = (memfd::create("kalived image")?, memfd::create("kalived messages")?);
        let pid = roles.compiler(new, wanted, &image, &text, reports)?;
        Ok(Compiler { pid, deadline: now + LIMIT, late: false, older: wanted.is_none(), image, text })
    }

    /// Whether the program refused our command line, because it is of a release that does not know [`ENTRIES`].
    pub fn is_older(&self, end: End) -> bool {
        end != End::Exited(0) && !self.older && self.messages().iter().any(|note| note.text.contains(ENTRIES))
    }

    /// Kills the compiler after its time limit.
    pub fn tick(&mut self, now: Instant) {
        if now >= self.deadline && !self.late {
            self.late = true;
            child::kill(self.pid, true, true);
        }
    }

    /// The compiler's messages, one per note; their number is limited.
    pub fn messages(&self) -> Vec<Note> {
        let mut buf = vec![0u8; TEXT];
        let n = self.text.read_at(&mut buf, 0).unwrap_or(0);
        buf.truncate(n);
        String::from_utf8_lossy(&buf).lines().filter(|l| !l.trim().is_empty()).map(entry::parse).collect()
    }

    /// The compiler ended: returns the image, sealed against changes, or why there is none.
    pub fn finish(self, end: End) -> Result<Rc<File>, String> {
        let first = || {
            let lines = self.messages();
            let with = |word: &str| lines.iter().map(|n| &n.text).find(|l| l.contains(word)).cloned();
            let worst = [": fatal: ", ": error: ", ": warning: "].into_iter().find_map(with);
            worst
                .or_else(|| lines.last().map(|n| n.text.clone()))
                .unwrap_or_else(|| "the compiler reported nothing".to_owned())
        };
        match end {
            End::Exited(0) => {}
            _ if self.late => return Err(format!("reading it took longer than {} s", LIMIT.as_secs())),
            End::Exited(code) => return Err(format!("{} (exit code {code})", first())),
            End::Signaled(signal) => return Err(format!("the compiler was killed by signal {signal}")),
        }
        // Any program may exit with 0, and at an upgrade this process executes the program that did.
        let mut begin = [0; MAGIC.len()];
        if self.image.read_exact_at(&mut begin, 0).is_err() || begin != MAGIC {
            return Err("the compiler left no configuration".to_owned());
        }
        memfd::seal(&self.image).map_err(|e| format!("the image could not be sealed: {e}"))?;
        Ok(Rc::new(self.image))
    }
}
