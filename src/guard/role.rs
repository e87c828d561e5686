//! The other processes of kalived: the same program in another role.
//!
//! The processes execute /proc/self/exe, which is this program even after a package manager has replaced the file: only the program that
//! made an image and the words of the command line is sure to understand them. Only an upgrade executes the program at the path.

use super::compiler::{ENTRIES, Use};
use super::vips::Holdings;
use crate::process::args::{AFTER, CORE, DETACH, DETAIL, DUMP, HELPER, LOGS, OF, REMOVE, STANDBY};
use crate::process::dump::Kind;
use crate::process::line::{FACILITY, Target, facility};
use crate::process::log::Log;
use crate::process::reading::Reading;
use crate::process::scripthost::ThisHost;
use crate::sys::child::{self, How, Program, Reports};
use crate::sys::giveback;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

/// The parameters that all of them share.
#[derive(Clone, Debug)]
pub struct Roles {
    /// The path of this program when it was started.
    pub exe: PathBuf,
    /// Absolute path of the configuration.
    pub file: String,
    /// How the configuration is read.
    pub report: Reading,
    /// The destination of log lines.
    pub target: Target,
    /// `-D`: details are logged.
    pub detail: bool,
    /// Not in the foreground.
    pub background: bool,
}

/// Not passed to other processes: only the guard communicates with systemd.
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

    /// Why the program at the path must not be run; a text for the log.
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

    /// Starts the core, with its descriptors from 3 on.
    pub fn core(&self, fds: &[BorrowedFd<'_>], standby: bool, log: &Log, reports: &Reports) -> io::Result<u32> {
        let mut words = vec!["kalived: core", CORE];
        words.extend(self.log_words());
        words.extend(standby.then_some(STANDBY));
        words.extend(self.background.then_some(DETACH));
        let of = format!("{OF}{}", self.file);
        words.push(&of);
        self.spawn(false, &words, fds, log, reports)
    }

    /// Starts the helper, with its end of the line at 3, and the file of former sysctls at 4, if there is one.
    pub fn helper(&self, line: BorrowedFd<'_>, file: Option<&File>, log: &Log, reports: &Reports) -> io::Result<u32> {
        let fds: Vec<BorrowedFd<'_>> = core::iter::once(line).chain(file.map(AsFd::as_fd)).collect();
        // In the background it would keep the terminal open, or the pipe of a command that waits for the end of our output.
        self.spawn_with(false, &["kalived: helper", HELPER], !self.background, &fds, log, reports)
    }

    /// Starts the program at the path to check whether it understands the state. `files`: the state, the snapshot, and the file for the
    /// answer. A release before layout 4 reads the state only.
    pub fn check_state(&self, files: [&File; 3], log: &Log, reports: &Reports) -> io::Result<u32> {
        self.spawn(true, &["kalived", super::state::CHECK], &files.map(AsFd::as_fd), log, reports)
    }

    /// Starts the removal of the addresses in the images at 3 and 4 and in the snapshot at 5.
    pub fn remove_vips(&self, of: Holdings<'_>, log: &Log, reports: &Reports) -> io::Result<u32> {
        let [image, begun] = of.images.map(AsFd::as_fd);
        let mut words = vec!["kalived: remover", REMOVE];
        words.extend(of.routes.then_some(super::vips::ROUTES));
        self.spawn(false, &words, &[image, begun, of.snapshot.as_fd()], log, reports)
    }

    /// The same, for a frozen core that ends while no core after it is in charge. The line to that core is at 6, the lock's file at 7,
    /// and a byte at 8 reports that the core is frozen; `charges`: how often a core was in charge until now. The process outlives the
    /// guard; if the guard ends before the core froze, the process finds the other end of the pipe closed.
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

    /// Starts a process that writes a dump file from the report at 3, with the configuration of the image at 4.
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
        // Until the process runs, it writes errors of its start to standard error.
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
        // The core and the remover have addresses to remove before they end. A dump signal sent to all processes of kalived reaches the
        // writer of the dump file too.
        let held = words.iter().any(|w| [CORE, REMOVE, DUMP].contains(w));
        let outlives = words.iter().any(|w| w.starts_with(AFTER));
        child::spawn(&self.program(new, words)?, &How { fds: &fds, held, outlives, ..How::default() }, reports)
    }

    /// Starts the compiler: it writes the image to `image` and its messages to `text`. `new`: the program at the path.
    /// `wanted`: the purpose; `None`: the program is of a release that knows neither purposes nor entries.
    pub fn compiler(
        &self,
        new: bool,
        wanted: Option<Use>,
        image: &File,
        text: &File,
        reports: &Reports,
    ) -> io::Result<u32> {
        let mut words = vec!["kalived: compiler", "--compile-config", &self.file, "--color=never"];
        words.extend(wanted.map(|_| ENTRIES));
        words.extend((wanted == Some(Use::Start)).then_some("--force"));
        if let Some(id) = &self.report.config_id {
            words.extend(["-i", id]);
        }
        words.extend(self.report.strict_include.then_some("-e"));
        words.extend(self.report.offline.then_some("--offline"));
        let allow = format!("--allow={}", self.report.allow.join(","));
        words.extend((!self.report.allow.is_empty()).then_some(allow.as_str()));
        let fds = [None, Some(image.as_fd()), Some(text.as_fd())];
        let mut program = self.program(new, &words)?;
        if !new {
            program.env.extend(CString::new(format!("{}={}", giveback::VARIABLE, std::process::id())));
        }
        child::spawn(&program, &How { fds: &fds, ..How::default() }, reports)
    }
}
