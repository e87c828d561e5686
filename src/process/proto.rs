//! Messages between core and guard: one message per datagram of a local socket, descriptors beside the bytes.
//!
//! Pure, and both sides treat the other's bytes as hostile: decoding allocates no more than a few times the datagram, does not recurse,
//! and returns `None` for anything that is not exactly a message. Read first: `effect.rs` (`SpawnSpec`), `event.rs` (`ChildEnd`).
//!
//! ```text
//! version 1 | kind 1 | body        (integers little endian; a text is a length of 4 and UTF-8)
//! ```
//! Kinds and bodies are never changed, only added: at an upgrade a new guard communicates with an old core.

use crate::effect::SpawnSpec;
use crate::event::{ChildEnd, Errno};
use crate::time::Duration;
use bytes::{Buf, BufMut};

/// Version of the protocol.
const VERSION: u8 = 1;
/// Between two beats of the core, and between two checks of the guard.
pub const PERIOD: Duration = Duration::from_secs(1);
/// Longest message, bytes.
pub const MAX: usize = 64 * 1024;
/// Most arguments of a program, its name among them. The longest command in a configuration has a tenth of them.
pub const MAX_ARGS: usize = 512;
/// Most variables set for a program. Hooks get eight.
pub const MAX_ENV: usize = 64;
/// Longest text: the rest is cut off.
pub const MAX_TEXT: usize = 60_000;

/// A message from the core to the guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToGuard {
    /// The start is complete: the core runs, or stands by.
    Ready,
    /// The core is alive.
    Beat,
    /// Run a program; answered by [`ToCore::ChildExit`].
    Spawn {
        /// The core's name for the program.
        child: u64,
        /// The program to run.
        spec: SpawnSpec,
    },
    /// End a program's process group.
    Kill {
        /// The core's name for the program.
        child: u64,
        /// SIGKILL instead of SIGTERM.
        hard: bool,
    },
    /// Read and compile the configuration; [`ToCore::Config`] follows if it is valid.
    Compile,
    /// Answer to [`ToCore::Config`].
    Reloaded {
        /// Whether the configuration is in force.
        done: bool,
        /// The changes, or the reason of a refusal.
        text: String,
    },
    /// Answer to [`ToCore::Freeze`]: the last snapshot is written.
    Frozen,
    /// The answer of a core of kalived 0.1.0 to [`ToCore::Report`]: some lines about its state.
    Status(String),
    /// Answer to [`ToCore::Report`]: the report is in the file that comes along (`daemon/report.rs`).
    Report,
    /// The core received a signal that the guard handles.
    Signal(u8),
    /// The states, in one line; sent some time after they changed.
    Summary(String),
    /// Answer to [`ToCore::Lull`].
    Lull,
    /// Answer to [`ToCore::Record`].
    Recorded {
        /// Whether the recording is in the file.
        done: bool,
        /// Why the recording is not in the file; empty if it is.
        text: String,
    },
}

/// A message from the guard to the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToCore {
    /// A program ended.
    ChildExit {
        /// The core's name for the program.
        child: u64,
        /// Exit code, signal or failure to start.
        end: ChildEnd,
    },
    /// A configuration, as the image in the file that comes along.
    Config,
    /// The same configuration with its virtual servers, which the core did not have at its start. With a file.
    Servers,
    /// Freeze: another process takes over.
    Freeze,
    /// To a frozen core: the other process is in charge.
    Relieved,
    /// Begin, with the stored snapshot.
    Go {
        /// Since when no core sends adverts, nanoseconds of CLOCK_MONOTONIC; `None`: the previous core froze.
        dead_since: Option<u64>,
    },
    /// Begin after a core that died again soon after its start: of the stored snapshot only the virtual servers are taken over.
    GoServers,
    /// The helper died: the socket that comes along leads to a new one.
    Helper,
    /// The number of a signal that the guard received.
    Signal(u8),
    /// Write a report.
    Report {
        /// The counters are reset after the report.
        clear: bool,
    },
    /// Write snapshots in this layout from now on: the next process reads it.
    Layout(u16),
    /// Write the recording into the file that comes along.
    Record,
    /// Answer when no advert is due for some milliseconds.
    Lull,
}

const READY: u8 = 1;
const BEAT: u8 = 2;
const SPAWN: u8 = 3;
const KILL: u8 = 4;
const COMPILE: u8 = 5;
const RELOADED: u8 = 6;
const FROZEN: u8 = 7;
const STATUS: u8 = 8;
const SPAWN_ALONE: u8 = 9;
const SUMMARY: u8 = 10;
const REPORT: u8 = 12;
const SIGNALLED: u8 = 13;
const RECORDED: u8 = 11;
const IN_LULL: u8 = 14;

const CHILD_EXIT: u8 = 65;
const CONFIG: u8 = 66;
const FREEZE: u8 = 67;
const GO: u8 = 68;
const HELPER: u8 = 69;
const SIGNAL: u8 = 70;
const ASK_STATUS: u8 = 71;
const RELIEVED: u8 = 72;
const ASK_REPORT_CLEAR: u8 = 75;
const LAYOUT: u8 = 73;
const RECORD: u8 = 74;
const SERVERS: u8 = 76;
const LULL: u8 = 77;
const GO_SERVERS: u8 = 78;

fn begin(kind: u8) -> Vec<u8> {
    vec![VERSION, kind]
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.put_u32_le(text.len() as u32);
    out.put_slice(text.as_bytes());
}

/// The part of a text that is sent, cut between characters.
fn short(text: &str) -> &str {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

impl ToGuard {
    /// Encodes the message. `None`: a program that is too long for a message, or contains a NUL.
    pub fn encode(&self) -> Option<Vec<u8>> {
        Some(match self {
            ToGuard::Ready => begin(READY),
            ToGuard::Beat => begin(BEAT),
            ToGuard::Compile => begin(COMPILE),
            ToGuard::Frozen => begin(FROZEN),
            ToGuard::Report => begin(REPORT),
            ToGuard::Lull => begin(IN_LULL),
            ToGuard::Signal(number) => {
                let mut out = begin(SIGNALLED);
                out.put_u8(*number);
                out
            }
            ToGuard::Kill { child, hard } => {
                let mut out = begin(KILL);
                out.put_u64_le(*child);
                out.put_u8(u8::from(*hard));
                out
            }
            ToGuard::Reloaded { done, text } => {
                let mut out = begin(RELOADED);
                out.put_u8(u8::from(*done));
                put_text(&mut out, short(text));
                out
            }
            ToGuard::Recorded { done, text } => {
                let mut out = begin(RECORDED);
                out.put_u8(u8::from(*done));
                put_text(&mut out, short(text));
                out
            }
            ToGuard::Status(text) => {
                let mut out = begin(STATUS);
                put_text(&mut out, short(text));
                out
            }
            ToGuard::Summary(text) => {
                let mut out = begin(SUMMARY);
                put_text(&mut out, short(text));
                out
            }
            ToGuard::Spawn { child, spec } => return spawn(*child, spec),
        })
    }

    /// Decodes a message.
    pub fn decode(bytes: &[u8]) -> Option<ToGuard> {
        let mut r = Reader::new(bytes)?;
        let message = match r.u8()? {
            READY => ToGuard::Ready,
            BEAT => ToGuard::Beat,
            COMPILE => ToGuard::Compile,
            FROZEN => ToGuard::Frozen,
            REPORT => ToGuard::Report,
            IN_LULL => ToGuard::Lull,
            SIGNALLED => ToGuard::Signal(r.u8()?),
            KILL => ToGuard::Kill { child: r.u64()?, hard: r.flag()? },
            RELOADED => ToGuard::Reloaded { done: r.flag()?, text: r.people()? },
            STATUS => ToGuard::Status(r.people()?),
            RECORDED => ToGuard::Recorded { done: r.flag()?, text: r.people()? },
            SUMMARY => ToGuard::Summary(r.people()?),
            kind @ (SPAWN | SPAWN_ALONE) => {
                let (child, uid, gid) = (r.u64()?, r.u32()?, r.u32()?);
                let argv = r.list(MAX_ARGS, |r| Some(r.word()?.to_owned()))?;
                let env = r.list(MAX_ENV, |r| Some((r.name()?.to_owned(), r.word()?.to_owned())))?;
                if argv.first().is_none_or(String::is_empty) {
                    return None;
                }
                ToGuard::Spawn { child, spec: SpawnSpec { argv, env, uid, gid, alone: kind == SPAWN_ALONE } }
            }
            _ => return None,
        };
        r.end(message)
    }
}

fn spawn(child: u64, spec: &SpawnSpec) -> Option<Vec<u8>> {
    let mut out = begin(if spec.alone { SPAWN_ALONE } else { SPAWN });
    out.put_u64_le(child);
    out.put_u32_le(spec.uid);
    out.put_u32_le(spec.gid);
    out.put_u16_le(u16::try_from(spec.argv.len()).ok()?);
    spec.argv.iter().for_each(|a| put_text(&mut out, a));
    out.put_u16_le(u16::try_from(spec.env.len()).ok()?);
    for (name, value) in &spec.env {
        put_text(&mut out, name);
        put_text(&mut out, value);
    }
    // A message that the other side would refuse is not sent.
    (out.len() <= MAX && ToGuard::decode(&out).is_some()).then_some(out)
}

impl ToCore {
    /// Encodes the message.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            ToCore::ChildExit { child, end } => {
                let mut out = begin(CHILD_EXIT);
                out.put_u64_le(*child);
                let (how, code) = match end {
                    ChildEnd::Exited(code) => (0, i32::from(*code)),
                    ChildEnd::Signaled(signal) => (1, i32::from(*signal)),
                    ChildEnd::NotStarted(e) => (2, e.0),
                };
                out.put_u8(how);
                out.put_i32_le(code);
                out
            }
            ToCore::Config => begin(CONFIG),
            ToCore::Servers => begin(SERVERS),
            ToCore::Freeze => begin(FREEZE),
            ToCore::Relieved => begin(RELIEVED),
            ToCore::Go { dead_since } => {
                let mut out = begin(GO);
                out.put_u8(u8::from(dead_since.is_some()));
                out.put_u64_le(dead_since.unwrap_or(0));
                out
            }
            ToCore::GoServers => begin(GO_SERVERS),
            ToCore::Helper => begin(HELPER),
            ToCore::Report { clear: false } => begin(ASK_STATUS),
            ToCore::Report { clear: true } => begin(ASK_REPORT_CLEAR),
            ToCore::Record => begin(RECORD),
            ToCore::Lull => begin(LULL),
            ToCore::Layout(layout) => {
                let mut out = begin(LAYOUT);
                out.put_u16_le(*layout);
                out
            }
            ToCore::Signal(number) => {
                let mut out = begin(SIGNAL);
                out.put_u8(*number);
                out
            }
        }
    }

    /// Decodes a message.
    pub fn decode(bytes: &[u8]) -> Option<ToCore> {
        let mut r = Reader::new(bytes)?;
        let message = match r.u8()? {
            CHILD_EXIT => {
                let (child, how, code) = (r.u64()?, r.u8()?, r.i32()?);
                let end = match how {
                    0 => ChildEnd::Exited(u8::try_from(code).ok()?),
                    1 => ChildEnd::Signaled(u8::try_from(code).ok()?),
                    2 if code >= 0 => ChildEnd::NotStarted(Errno(code)),
                    _ => return None,
                };
                ToCore::ChildExit { child, end }
            }
            CONFIG => ToCore::Config,
            SERVERS => ToCore::Servers,
            FREEZE => ToCore::Freeze,
            RELIEVED => ToCore::Relieved,
            GO => match (r.flag()?, r.u64()?) {
                (true, at) => ToCore::Go { dead_since: Some(at) },
                (false, 0) => ToCore::Go { dead_since: None },
                (false, _) => return None,
            },
            GO_SERVERS => ToCore::GoServers,
            HELPER => ToCore::Helper,
            ASK_STATUS => ToCore::Report { clear: false },
            ASK_REPORT_CLEAR => ToCore::Report { clear: true },
            RECORD => ToCore::Record,
            LULL => ToCore::Lull,
            LAYOUT => ToCore::Layout(r.u16()?),
            SIGNAL => ToCore::Signal(r.u8()?),
            _ => return None,
        };
        r.end(message)
    }
}

/// The remainder of a message.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Option<Reader<'a>> {
        match bytes.split_first() {
            Some((&VERSION, rest)) if bytes.len() <= MAX => Some(Reader(rest)),
            _ => None,
        }
    }
    fn u8(&mut self) -> Option<u8> {
        self.0.try_get_u8().ok()
    }
    fn u16(&mut self) -> Option<u16> {
        self.0.try_get_u16_le().ok()
    }
    fn u32(&mut self) -> Option<u32> {
        self.0.try_get_u32_le().ok()
    }
    fn i32(&mut self) -> Option<i32> {
        self.0.try_get_i32_le().ok()
    }
    fn u64(&mut self) -> Option<u64> {
        self.0.try_get_u64_le().ok()
    }
    fn flag(&mut self) -> Option<bool> {
        match self.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
    fn text(&mut self) -> Option<&'a str> {
        let len = self.u32()? as usize;
        let (text, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        core::str::from_utf8(text).ok()
    }
    /// A text for people.
    fn people(&mut self) -> Option<String> {
        self.text().filter(|t| t.len() <= MAX_TEXT).map(str::to_owned)
    }
    /// A text that can be an argument.
    fn word(&mut self) -> Option<&'a str> {
        self.text().filter(|t| !t.contains('\0'))
    }
    /// A text that can be the name of a variable.
    fn name(&mut self) -> Option<&'a str> {
        self.word().filter(|t| !t.is_empty() && !t.contains('='))
    }
    fn list<T>(&mut self, max: usize, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let n = usize::from(self.u16()?);
        // Each item has a length of four bytes at least.
        if n > max || n > self.0.len() / 4 {
            return None;
        }
        let mut all = Vec::with_capacity(n);
        for _ in 0..n {
            all.push(item(self)?);
        }
        Some(all)
    }
    fn end<T>(self, message: T) -> Option<T> {
        self.0.is_empty().then_some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> SpawnSpec {
        SpawnSpec {
            argv: vec!["/bin/a b".into(), String::new(), "$(x) 'ü'".into()],
            env: vec![("STATE".into(), "MASTER".into()), ("EMPTY".into(), String::new())],
            uid: 65534,
            gid: 7,
            alone: false,
        }
    }

    fn all() -> (Vec<ToGuard>, Vec<ToCore>) {
        (
            vec![
                ToGuard::Ready,
                ToGuard::Beat,
                ToGuard::Spawn { child: u64::MAX, spec: spec() },
                ToGuard::Spawn { child: 5, spec: SpawnSpec { alone: true, ..spec() } },
                ToGuard::Kill { child: 1, hard: true },
                ToGuard::Compile,
                ToGuard::Reloaded { done: false, text: "no".into() },
                ToGuard::Frozen,
                ToGuard::Status("2 of 3 are Master".into()),
                ToGuard::Report,
                ToGuard::Signal(36),
                ToGuard::Summary("MASTER a".into()),
                ToGuard::Recorded { done: false, text: "no".into() },
                ToGuard::Lull,
            ],
            vec![
                ToCore::ChildExit { child: 9, end: ChildEnd::Exited(255) },
                ToCore::ChildExit { child: 9, end: ChildEnd::Signaled(9) },
                ToCore::ChildExit { child: 9, end: ChildEnd::NotStarted(Errno::EAGAIN) },
                ToCore::Config,
                ToCore::Servers,
                ToCore::Freeze,
                ToCore::Relieved,
                ToCore::Go { dead_since: None },
                ToCore::Go { dead_since: Some(0) },
                ToCore::GoServers,
                ToCore::Helper,
                ToCore::Report { clear: false },
                ToCore::Report { clear: true },
                ToCore::Layout(u16::MAX),
                ToCore::Record,
                ToCore::Lull,
                ToCore::Signal(15),
            ],
        )
    }

    #[test]
    fn what_is_said_is_understood_and_nothing_else() {
        let (guard, core) = all();
        for m in guard {
            let bytes = m.encode().unwrap();
            assert_eq!(ToGuard::decode(&bytes).as_ref(), Some(&m));
            assert_eq!(ToCore::decode(&bytes), None, "{m:?}");
            for cut in 0..bytes.len() {
                assert_eq!(ToGuard::decode(&bytes[..cut]), None, "{m:?} cut at {cut}");
            }
            assert_eq!(ToGuard::decode(&[&bytes[..], b"x"].concat()), None);
            assert_eq!(ToGuard::decode(&[&[2], &bytes[1..]].concat()), None, "another language");
        }
        for m in core {
            let bytes = m.encode();
            assert_eq!(ToCore::decode(&bytes), Some(m));
            assert_eq!(ToGuard::decode(&bytes), None, "{m:?}");
            for cut in 0..bytes.len() {
                assert_eq!(ToCore::decode(&bytes[..cut]), None, "{m:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_program_that_cannot_be_one_is_not_sent() {
        let with = |change: fn(&mut SpawnSpec)| {
            let mut spec = spec();
            change(&mut spec);
            ToGuard::Spawn { child: 1, spec }.encode()
        };
        assert!(with(|_| ()).is_some());
        assert!(with(|s| s.argv.clear()).is_none());
        assert!(with(|s| s.argv[0].clear()).is_none());
        assert!(with(|s| s.argv[1].push('\0')).is_none());
        assert!(with(|s| s.env[0].0.push('=')).is_none());
        assert!(with(|s| s.argv.resize(MAX_ARGS + 1, "x".into())).is_none());
        assert!(with(|s| s.env.resize(MAX_ENV + 1, ("a".into(), "b".into()))).is_none());
        assert!(with(|s| s.argv[1] = "x".repeat(MAX)).is_none());
        assert!(with(|s| s.argv[1] = "x".repeat(MAX / 2)).is_some());
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let bytes = ToGuard::Status("ü".repeat(MAX_TEXT)).encode().unwrap();
        let Some(ToGuard::Status(text)) = ToGuard::decode(&bytes) else { panic!("understood") };
        assert_eq!(text, "ü".repeat(MAX_TEXT / 2));
        let odd = format!("x{}", "ü".repeat(MAX_TEXT));
        assert_eq!(short(&odd).len(), MAX_TEXT - 1);
    }
}
