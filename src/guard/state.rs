//! The state that a guard passes to the guard it executes at an upgrade: its processes and its descriptors.
//!
//! Text (JSON) in a file in memory, so that another version can add fields and skip unknown ones. Before the core freezes, the new
//! program is asked whether it understands the state ([`CHECK`]). Read first: `upgrade.rs`.

use super::role::Roles;
use crate::process::line::SYSLOG;
use crate::process::line::Target;
use crate::process::reading::Reading;
use crate::sys::memfd;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;
use std::os::fd::RawFd;
use std::os::unix::fs::FileExt;

/// The environment variable with the descriptor of the state for the new program.
pub const VARIABLE: &str = "KALIVED_GUARD_STATE_FD";
/// Its name in kalived 0.1.0, whose guard may execute this program. For scripts this variable is the state of a virtual router, which is
/// no number.
pub const OLD_VARIABLE: &str = "KALIVED_STATE";
/// First argument of a program that is asked whether it understands the state at fd 3.
pub const CHECK: &str = "--check-state";
/// Increased when a program that does not know the new content must not continue.
const VERSION: u32 = 1;
/// Longest state, bytes: 512 programs with the longest path each stay below.
const MAX: u64 = 4 << 20;
/// Bytes of an answer that are read, and characters of its reason in the log.
const ANSWER: usize = 4096;
const WHY: usize = 500;

/// A program that runs for the core.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// Process id of the program, which is also the id of its process group.
    pub pid: u32,
    /// Core and name; `None`: no core is notified.
    pub owner: Option<(u32, u64)>,
    /// The path of the program.
    pub path: String,
    /// When it is killed, nanoseconds of CLOCK_MONOTONIC.
    pub deadline: Option<u64>,
    /// The program's arguments, if it must never run twice.
    #[serde(default)]
    pub alone: Vec<String>,
    /// A notification script.
    #[serde(default)]
    pub hook: bool,
}

/// A core that the next guard keeps running.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoreState {
    /// The number of this core, counted over all cores.
    pub number: u32,
    /// Process id of the core.
    pub pid: u32,
    /// The line to it.
    pub line: RawFd,
    /// When it was started, nanoseconds of CLOCK_MONOTONIC.
    pub started: u64,
    /// Process id of its helper; `None`: there was none.
    pub helper: Option<u32>,
    /// Snapshot layouts that the core can write; empty: a release before layout 4.
    #[serde(default)]
    pub writes: Vec<u16>,
}

/// The answer of a program that was asked whether it understands the state, in a file in memory beside the exit code.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Understands {
    /// Snapshot layouts that it reads; empty: a release before layout 4, which writes no answer.
    pub layouts: Vec<u16>,
    /// Why it cannot continue, as text.
    pub refused: Option<String>,
}

impl Understands {
    /// Writes the answer to the file.
    pub fn write(&self, file: &File) -> io::Result<()> {
        file.write_all_at(serde_json::to_string(self)?.as_bytes(), 0)
    }

    /// Reads the result of [`Understands::write`]. Another program wrote it: invalid content counts as no answer.
    pub fn read(file: &File) -> Understands {
        let mut bytes = vec![0; ANSWER];
        let n = file.read_at(&mut bytes, 0).unwrap_or(0);
        let said: Understands = serde_json::from_slice(bytes.get(..n).unwrap_or_default()).unwrap_or_default();
        let short = |why: String| why.chars().filter(|c| !c.is_control()).take(WHY).collect();
        Understands { refused: said.refused.map(short), ..said }
    }
}

/// The whole state that an upgrade passes to the next guard. Descriptors in it stay open over the execution of the new program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// The version of this format.
    pub version: u32,
    /// The path of the program.
    pub exe: String,
    /// Absolute path of the configuration.
    pub file: String,
    /// `-i`: the id of `@` lines; `None`: the node name up to its first dot.
    pub config_id: Option<String>,
    /// `-e`: every include must find a file.
    pub strict_include: bool,
    /// `--offline`: the interfaces of this machine are not examined.
    pub offline: bool,
    /// `--allow`: names of messages that are not printed.
    pub allow: Vec<String>,
    /// 0 standard error, 1 syslog, 2 nowhere.
    pub target: u8,
    /// `-D`: details are logged.
    pub detail: bool,
    /// False with `-n`: the guard stays in the foreground.
    pub background: bool,
    /// `-R`: the guard ends when the core dies.
    pub dont_respawn: bool,
    /// Standard error as it was at the start, where it is the destination of log lines.
    pub console: Option<RawFd>,
    /// The pid file and its path.
    pub pid_file: Option<(RawFd, String)>,
    /// The lock, as `pid_file`.
    pub lock: Option<(RawFd, String)>,
    /// The pid file of the core, as `pid_file`.
    pub core_pid_file: Option<(RawFd, String)>,
    /// The path of `-c`; the file is there while the configuration has virtual servers.
    pub checkers_pid_file: Option<(Option<RawFd>, String)>,
    /// The socket for commands, as `pid_file`.
    pub control: Option<(RawFd, String)>,
    /// The client that requested the upgrade.
    pub client: Option<RawFd>,
    /// The pipe on which children report their start.
    pub reports: (RawFd, RawFd),
    /// The configuration in force, and the one for the new core.
    pub images: (RawFd, RawFd),
    /// Descriptor of the file in memory to which cores write their snapshots.
    pub snapshot: RawFd,
    /// The running core.
    pub core: Option<CoreState>,
    /// The number of cores so far.
    pub cores: u32,
    /// Frozen cores whose armed adverts still leave.
    pub leaving: Vec<u32>,
    /// Programs that run for cores.
    pub scripts: Vec<Script>,
    /// What `ps` knows us by; empty: as ever.
    pub name: String,
}

impl State {
    /// The state with the parameters of all processes.
    pub fn of(roles: &Roles) -> State {
        State {
            version: VERSION,
            exe: roles.exe.to_string_lossy().into_owned(),
            file: roles.file.clone(),
            config_id: roles.report.config_id.clone(),
            strict_include: roles.report.strict_include,
            offline: roles.report.offline,
            allow: roles.report.allow.clone(),
            target: match roles.target {
                Target::Console => 0,
                Target::Syslog(_) => 1,
                Target::Nowhere => 2,
            },
            detail: roles.detail,
            background: roles.background,
            ..State::default()
        }
    }

    /// The parameters from [`State::of`].
    pub fn roles(&self) -> Roles {
        Roles {
            exe: self.exe.clone().into(),
            file: self.file.clone(),
            report: Reading {
                config_id: self.config_id.clone(),
                strict_include: self.strict_include,
                offline: self.offline,
                allow: self.allow.clone(),
                ..Reading::default()
            },
            target: match self.target {
                0 => Target::Console,
                1 => Target::Syslog(SYSLOG.to_owned()),
                _ => Target::Nowhere,
            },
            detail: self.detail,
            background: self.background,
        }
    }

    /// Writes the state to a file in memory.
    pub fn write(&self) -> io::Result<File> {
        let file = memfd::create("kalived state")?;
        file.write_all_at(serde_json::to_string(self)?.as_bytes(), 0)?;
        Ok(file)
    }

    /// Reads the result of [`State::write`]. `None`: the content is invalid, or not understood by this program.
    pub fn read(file: &File) -> Option<State> {
        let len = file.metadata().ok()?.len();
        if len > MAX {
            return None;
        }
        let mut bytes = vec![0; usize::try_from(len).ok()?];
        file.read_exact_at(&mut bytes, 0).ok()?;
        serde_json::from_slice(&bytes).ok().filter(|s: &State| s.version == VERSION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_back_and_what_is_none_says_nothing() {
        let of = |bytes: &[u8]| {
            let file = memfd::create("test").unwrap();
            file.write_all_at(bytes, 0).unwrap();
            Understands::read(&file)
        };
        let said = Understands { layouts: vec![3, 4], refused: Some("no".into()) };
        let file = memfd::create("test").unwrap();
        said.write(&file).unwrap();
        assert_eq!(Understands::read(&file), said);
        assert_eq!(of(br#"{"layouts":[9],"of_tomorrow":{}}"#).layouts, [9]);
        for none in [&b""[..], b"[]", b"{\"layouts\":[-1]}", &[b'['; 10_000]] {
            assert_eq!(of(none), Understands::default(), "{}", none.escape_ascii());
        }
        let long = format!("{{\"refused\":\"\\u001b{}\"}}", "x".repeat(1000));
        assert_eq!(of(long.as_bytes()).refused, Some("x".repeat(WHY)));
    }

    #[test]
    fn what_is_left_is_understood_by_this_and_by_a_later_version() {
        let state = State {
            version: VERSION,
            file: "/etc/kalived/kalived.conf".into(),
            allow: vec!["x".into()],
            core: Some(CoreState {
                number: 3,
                pid: 77,
                line: 9,
                started: u64::MAX,
                helper: Some(78),
                writes: vec![3, 4],
            }),
            scripts: vec![Script {
                pid: 80,
                owner: Some((3, u64::MAX)),
                path: "/bin/x".into(),
                deadline: None,
                alone: vec!["a".into()],
                hook: true,
            }],
            ..State::default()
        };
        assert_eq!(State::read(&state.write().unwrap()), Some(state.clone()));
        let file = memfd::create("test").unwrap();
        file.write_all_at(br#"{"version":1,"file":"f","of_tomorrow":[1]}"#, 0).unwrap();
        assert_eq!(State::read(&file).map(|s| s.file), Some("f".into()));
        for bad in [&b""[..], b"{}", b"{\"version\":2}", b"[1", b"{\"version\":1,\"cores\":-1}"] {
            let file = memfd::create("test").unwrap();
            file.write_all_at(bad, 0).unwrap();
            assert_eq!(State::read(&file), None, "{}", bad.escape_ascii());
        }
        // As the previous release wrote it.
        let old = br#"{"version":1,"core":{"number":1,"pid":7,"line":3,"started":9,"helper":null}}"#;
        let file = memfd::create("test").unwrap();
        file.write_all_at(old, 0).unwrap();
        assert_eq!(State::read(&file).and_then(|s| s.core).map(|c| c.writes), Some(Vec::new()));
        let roles = state.roles();
        assert_eq!(State::of(&roles).roles().file, state.file);
    }
}
