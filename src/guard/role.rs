//! The other processes of kalived: the same program with another part to play.
//!
//! They run /proc/self/exe, which is this very program even after a package manager has put a new one in its place: an image and
//! the words on the line are understood by the program that made them. Only an upgrade starts what lies at the path.

use super::compiler::Use;
use super::vips::Holdings;
use crate::process::args::{AFTER, CORE, DETACH, DETAIL, DUMP, HELPER, LOGS, REMOVE, STANDBY};
use crate::process::dump::Kind;
use crate::process::line::{FACILITY, Target, facility};
use crate::process::log::Log;
use crate::process::reading::Reading;
use crate::process::scripthost::ThisHost;
use crate::sys::child::{self, How, Program, Reports};
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

/// What is the same for all of them.
#[derive(Clone, Debug)]
pub struct Roles {
    /// Where this program was when it was started.
    pub exe: PathBuf,
    /// The configuration, absolute.
    pub file: String,
    /// How it is read.
    pub report: Reading,
    /// Where lines go.
    pub target: Target,
    /// `-D`.
    pub detail: bool,
    /// Not in the foreground.
    pub background: bool,
}

/// Not for our own processes: who speaks with systemd is the guard.
const SYSTEMD: [&str; 8] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    super::state::VARIABLE,
    super::state::OLD_VARIABLE,
];

impl Roles {
    fn program(&self, new: bool, words: &[&str]) -> io::Result<Program> {
        if new && let Some(why) = self.distrust() {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        let path = CString::new(self.exe.as_os_str().as_encoded_bytes())?;
        let env = std::env::vars_os()
            .filter(|(n, _)| !SYSTEMD.iter().any(|s| n == s))
            .filter(|(n, _)| n != FACILITY)
            .filter_map(|(n, v)| CString::new([n.as_encoded_bytes(), b"=", v.as_encoded_bytes()].concat()).ok())
            .chain(CString::new(format!("{FACILITY}={}", facility())));
        Ok(Program {
            paths: if new { vec![path] } else { vec![c"/proc/self/exe".to_owned(), path] },
            argv: words.iter().map(|w| CString::new(*w)).collect::<Result<_, _>>()?,
            env: env.collect(),
        })
    }

    /// Why the program that lies at the path now is not to be run, for people.
    pub(super) fn distrust(&self) -> Option<String> {
        use std::os::unix::fs::MetadataExt;
        let mut ours = vec![0, crate::sys::unixsock::own_uid()];
        ours.extend(std::fs::metadata("/proc/self/exe").map(|m| m.uid()));
        super::trust::distrust(&ThisHost, &self.exe.to_string_lossy(), &ours)
    }

    fn log_words(&self) -> Vec<&'static str> {
        let mut words = vec![match self.target {
            Target::Console => LOGS[0],
            Target::Syslog(_) => LOGS[1],
            Target::Nowhere => LOGS[2],
        }];
        words.extend(self.detail.then_some(DETAIL));
        words
    }

    /// The loop, with its fds from 3 on.
    pub fn core(&self, fds: &[BorrowedFd<'_>], standby: bool, log: &Log, reports: &Reports) -> io::Result<u32> {
        let mut words = vec!["kalived: core", CORE];
        words.extend(self.log_words());
        words.extend(standby.then_some(STANDBY));
        words.extend(self.background.then_some(DETACH));
        self.spawn(false, &words, fds, log, reports)
    }

    /// The helper, with its end of the line at 3.
    pub fn helper(&self, line: BorrowedFd<'_>, log: &Log, reports: &Reports) -> io::Result<u32> {
        // In the background it would keep the terminal, or the pipe of a command that waits for our output to end.
        self.spawn_with(false, &["kalived: helper", HELPER], !self.background, &[line], log, reports)
    }

    /// Asks the program that lies at the path now whether it understands. `files`: the state, where snapshots are, and where its answer
    /// goes. A release before layout 4 looks at the state only.
    pub fn check_state(&self, files: [&File; 3], log: &Log, reports: &Reports) -> io::Result<u32> {
        self.spawn(true, &["kalived", super::state::CHECK], &files.map(AsFd::as_fd), log, reports)
    }

    /// Takes away the addresses of the images at 3 and 4 and of the snapshot at 5.
    pub fn remove_vips(&self, of: Holdings<'_>, log: &Log, reports: &Reports) -> io::Result<u32> {
        let [image, begun] = of.images.map(AsFd::as_fd);
        let mut words = vec!["kalived: remover", REMOVE];
        words.extend(of.routes.then_some(super::vips::ROUTES));
        self.spawn(false, &words, &[image, begun, of.snapshot.as_fd()], log, reports)
    }

    /// The same, should a frozen core end while nobody is in charge after it. Its line is at 6, the lock's file at 7, and a byte at 8
    /// says that it is frozen; `charges`: how often a core was in charge until now. It outlives us; should we end before the core
    /// froze, it finds the other end of the pipe closed.
    pub fn remove_vips_after(
        &self,
        of: Holdings<'_>,
        [line, witness, begin]: [BorrowedFd<'_>; 3],
        charges: u64,
        log: &Log,
        reports: &Reports,
    ) -> io::Result<u32> {
        let [image, begun] = of.images.map(AsFd::as_fd);
        let (fds, after) = ([image, begun, of.snapshot.as_fd(), line, witness, begin], format!("{AFTER}{charges}"));
        self.spawn(false, &["kalived: remover", REMOVE, super::vips::ROUTES, &after], &fds, log, reports)
    }

    /// Writes a dump file from the report at 3, with the configuration of the image at 4.
    pub fn dump(&self, kind: Kind, files: [&File; 2], log: &Log, reports: &Reports) -> io::Result<u32> {
        let mut words = vec!["kalived: dump", DUMP, kind.word()];
        words.extend(self.log_words());
        self.spawn(false, &words, &files.map(AsFd::as_fd), log, reports)
    }

    fn spawn(
        &self,
        new: bool,
        words: &[&str],
        more: &[BorrowedFd<'_>],
        log: &Log,
        reports: &Reports,
    ) -> io::Result<u32> {
        // Until it runs, what keeps it from running is said where the operator looks.
        self.spawn_with(new, words, true, more, log, reports)
    }

    fn spawn_with(
        &self,
        new: bool,
        words: &[&str],
        may_say: bool,
        more: &[BorrowedFd<'_>],
        log: &Log,
        reports: &Reports,
    ) -> io::Result<u32> {
        let stderr = std::io::stderr();
        let stderr = log.console().map_or(stderr.as_fd(), |fd| fd.as_fd());
        let mut fds = vec![None, None, may_say.then_some(stderr)];
        fds.extend(more.iter().map(|f| Some(*f)));
        // The core and the remover have addresses to remove before they end; who signals all processes of ours wants a dump file, and
        // the one that writes it is one of them.
        let held = words.iter().any(|w| [CORE, REMOVE, DUMP].contains(w));
        let outlives = words.iter().any(|w| w.starts_with(AFTER));
        child::spawn(&self.program(new, words)?, &How { fds: &fds, held, outlives, ..How::default() }, reports)
    }

    /// The compiler: the image goes to `image`, what it has to say to `text`. `new`: the program that lies at the path now.
    pub fn compiler(&self, new: bool, wanted: Use, image: &File, text: &File, reports: &Reports) -> io::Result<u32> {
        let mut words = vec!["kalived: compiler", "--compile-config", &self.file, "--color=never", "--log-entries"];
        words.extend((wanted == Use::Start).then_some("--force"));
        if let Some(id) = &self.report.config_id {
            words.extend(["-i", id]);
        }
        words.extend(self.report.strict_include.then_some("-e"));
        words.extend(self.report.offline.then_some("--offline"));
        let allow = format!("--allow={}", self.report.allow.join(","));
        words.extend((!self.report.allow.is_empty()).then_some(allow.as_str()));
        let fds = [None, Some(image.as_fd()), Some(text.as_fd())];
        child::spawn(&self.program(new, &words)?, &How { fds: &fds, ..How::default() }, reports)
    }
}
