//! Messages between the core and the helper: one message, one datagram, none longer than [`LONGEST`].
//!
//! Either side treats the other's bytes as hostile: a message decodes completely and within its limits, or not at all. Names are the
//! core's (`Key::to_bits`); the helper only returns them. Read first: `effect.rs`, which defines the terms.

use crate::config::model::vrrp::ParamMatch;
use crate::knob::{Knob, Set};
use crate::note::Level;
use core::net::{IpAddr, SocketAddr};
use serde::{Deserialize, Serialize};

/// Bytes of a message: a path of PATH_MAX (4,096), or a command line of some hundred words, with spare room.
pub const LONGEST: usize = 16 << 10;
/// Bytes of a path (PATH_MAX).
pub const LONGEST_PATH: usize = 4096;
/// Bytes of a host name (255 in DNS, with room for the scope of an address).
pub const LONGEST_HOST: usize = 300;
/// Words of a command line in a pattern.
pub const MOST_WORDS: usize = 512;
/// Bytes of a tracked file that are read: a number fits.
pub const FILE_BYTES: usize = 32;
/// Addresses of one host name.
pub const MOST_ADDRS: usize = 8;
/// Sysctls of one job.
pub const MOST_KNOBS: usize = 32;
/// Bytes of a line for the log.
pub const LONGEST_NOTE: usize = 1024;

/// A message from the core to the helper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// Report a file's content, now and after each change.
    WatchFile {
        /// The core's name of the watch.
        watch: u64,
        /// Absolute path of the file.
        path: String,
    },
    /// Report the number of matching processes, now and after each change.
    WatchProcesses {
        /// The core's name of the watch.
        watch: u64,
        /// Program and parameters, at least the program.
        argv: Vec<String>,
        /// How the parameters are compared with those of a process.
        param_match: ParamMatch,
        /// Compare the command line, not `comm`.
        full_command: bool,
    },
    /// End this watch, of either kind.
    Unwatch {
        /// The core's name of the watch.
        watch: u64,
    },
    /// Make and open a named pipe.
    OpenFifo {
        /// The core's name of the pipe.
        fifo: u64,
        /// Absolute path of the pipe.
        path: String,
        /// User id that owns the pipe.
        uid: u32,
        /// Group, which may read it; `u32::MAX`: only the owner reads.
        gid: u32,
    },
    /// Remove a named pipe if it is still the file that was created.
    RemoveFifo {
        /// Absolute path of the pipe.
        path: String,
        /// The file that was created.
        file: FileId,
    },
    /// Set sysctls of an interface.
    Knobs {
        /// The core's number of the job.
        job: u64,
        /// Name of the interface.
        dev: String,
        /// What to what, at most [`MOST_KNOBS`].
        set: Vec<Set>,
    },
    /// Addresses of a host.
    Lookup {
        /// The connection that needs them.
        conn: u64,
        /// Name or address.
        host: String,
        /// Port, as part of the addresses in the answer.
        port: u16,
    },
    /// Join a multicast group with the socket that comes along.
    Join {
        /// The core's number of the job.
        job: u64,
        /// Interface.
        ifindex: u32,
        /// Multicast address.
        group: IpAddr,
    },
    /// Leave a multicast group with the socket that comes along; not answered.
    Leave {
        /// Interface.
        ifindex: u32,
        /// Multicast address.
        group: IpAddr,
    },
}

/// The identity of a file, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileId {
    /// Number of the device (`st_dev`).
    pub dev: u64,
    /// Number of the inode (`st_ino`).
    pub ino: u64,
}

/// Helper to core. Errors are positive errnos.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tell {
    /// A file's first bytes, at most [`FILE_BYTES`].
    FileRead {
        /// The core's name of the watch.
        watch: u64,
        /// The bytes, or a positive errno.
        result: Result<Vec<u8>, i32>,
    },
    /// The number of matching processes.
    Processes {
        /// The core's name of the watch.
        watch: u64,
        /// The number, or a positive errno.
        result: Result<u32, i32>,
    },
    /// The pipe's descriptor comes along, unless the open failed.
    FifoReady {
        /// The core's name of the pipe.
        fifo: u64,
        /// The file that was created, if it did not exist before.
        result: Result<Option<FileId>, i32>,
    },
    /// What was changed, with what it was before; the first that could not be.
    Knobs {
        /// The core's number of the job.
        job: u64,
        /// At most [`MOST_KNOBS`].
        before: Vec<(Knob, u32)>,
        /// The sysctl that could not be set, and a positive errno.
        failed: Option<(Knob, i32)>,
    },
    /// Addresses, at least one, at most [`MOST_ADDRS`].
    Resolved {
        /// The connection that needs them.
        conn: u64,
        /// Addresses with the requested port.
        #[serde(with = "addresses")]
        result: Result<Vec<SocketAddr>, i32>,
    },
    /// For the log, at most [`LONGEST_NOTE`] bytes, one line.
    Note {
        /// Severity: 3..=7 as in syslog.
        level: u8,
        /// The line of the log, without a newline.
        text: String,
    },
    /// A multicast group was joined, or could not be.
    Joined {
        /// The core's number of the job.
        job: u64,
        /// A positive errno where it failed.
        result: Result<(), i32>,
    },
}

/// Addresses with their scope: a link-local address needs it, and serde leaves it out.
mod addresses {
    use core::net::{IpAddr, SocketAddr, SocketAddrV6};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    type Found = Result<Vec<SocketAddr>, i32>;
    type Plain = Result<Vec<(IpAddr, u16, u32)>, i32>;

    pub(super) fn serialize<S: Serializer>(found: &Found, to: S) -> Result<S::Ok, S::Error> {
        let scope = |a: &SocketAddr| if let SocketAddr::V6(a) = a { a.scope_id() } else { 0 };
        let plain: Plain = match found {
            Ok(all) => Ok(all.iter().map(|a| (a.ip(), a.port(), scope(a))).collect()),
            Err(e) => Err(*e),
        };
        plain.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Found, D::Error> {
        let addr = |(ip, port, scope)| match ip {
            IpAddr::V4(_) => SocketAddr::new(ip, port),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, scope).into(),
        };
        Ok(Plain::deserialize(from)?.map(|all| all.into_iter().map(addr).collect()))
    }
}

/// A message that cannot be encoded or decoded within its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl Ask {
    fn within_limits(&self) -> bool {
        let path = |p: &str| p.starts_with('/') && p.len() <= LONGEST_PATH && !p.contains('\0');
        match self {
            Ask::WatchFile { path: p, .. } | Ask::OpenFifo { path: p, .. } | Ask::RemoveFifo { path: p, .. } => path(p),
            Ask::WatchProcesses { argv, .. } => {
                (1..=MOST_WORDS).contains(&argv.len()) && !argv.iter().any(|w| w.contains('\0'))
            }
            Ask::Unwatch { .. } => true,
            Ask::Knobs { dev, set, .. } => set.len() <= MOST_KNOBS && Knob::ArpIgnore.path(dev).is_some(),
            Ask::Join { ifindex, group, .. } | Ask::Leave { ifindex, group } => {
                (1..=i32::MAX as u32).contains(ifindex) && group.is_multicast()
            }
            Ask::Lookup { host, .. } => (1..=LONGEST_HOST).contains(&host.len()) && !host.contains('\0'),
        }
    }
    /// The message, if it is within its limits.
    pub fn encode(&self) -> Result<Vec<u8>, Malformed> {
        if self.within_limits() { encode(self) } else { Err(Malformed) }
    }
    /// Decodes hostile bytes.
    pub fn decode(bytes: &[u8]) -> Result<Ask, Malformed> {
        decode(bytes).and_then(|a: Ask| if a.within_limits() { Ok(a) } else { Err(Malformed) })
    }
}

impl Tell {
    fn within_limits(&self) -> bool {
        let errno = |e: &i32| *e > 0;
        match self {
            Tell::FileRead { result, .. } => result.as_ref().map_or_else(errno, |b| b.len() <= FILE_BYTES),
            Tell::Processes { result, .. } => result.as_ref().map_or_else(errno, |_| true),
            Tell::FifoReady { result, .. } => result.as_ref().map_or_else(errno, |_| true),
            Tell::Joined { result, .. } => result.as_ref().map_or_else(errno, |()| true),
            Tell::Resolved { result, .. } => {
                result.as_ref().map_or_else(errno, |a| (1..=MOST_ADDRS).contains(&a.len()))
            }
            Tell::Knobs { before, failed, .. } => {
                before.len() <= MOST_KNOBS && failed.as_ref().is_none_or(|(_, e)| errno(e))
            }
            Tell::Note { level, text } => {
                (3..=7).contains(level) && text.len() <= LONGEST_NOTE && !text.contains(char::is_control)
            }
        }
    }
    /// A line for the log, cut and made printable.
    pub fn note(level: Level, text: &str) -> Tell {
        let mut text: String = text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        let end = (0..=LONGEST_NOTE.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        text.truncate(end);
        Tell::Note { level: level as u8, text }
    }
    /// The message, if it is within its limits.
    pub fn encode(&self) -> Result<Vec<u8>, Malformed> {
        if self.within_limits() { encode(self) } else { Err(Malformed) }
    }
    /// Decodes hostile bytes.
    pub fn decode(bytes: &[u8]) -> Result<Tell, Malformed> {
        decode(bytes).and_then(|t: Tell| if t.within_limits() { Ok(t) } else { Err(Malformed) })
    }
}

fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, Malformed> {
    postcard::to_stdvec(message).ok().filter(|b| b.len() <= LONGEST).ok_or(Malformed)
}

fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Malformed> {
    if bytes.len() > LONGEST {
        return Err(Malformed);
    }
    match postcard::take_from_bytes(bytes) {
        Ok((message, [])) => Ok(message),
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks() -> Vec<Ask> {
        let path = || "/run/a b\u{e9}".to_owned();
        let file = FileId { dev: u64::MAX, ino: 0 };
        let processes = |param_match| Ask::WatchProcesses {
            watch: 1 << 32,
            argv: vec!["nginx".into(), String::new()],
            param_match,
            full_command: true,
        };
        vec![
            Ask::WatchFile { watch: 1, path: path() },
            processes(ParamMatch::Unset),
            processes(ParamMatch::Partial),
            Ask::Unwatch { watch: u64::MAX },
            Ask::OpenFifo { fifo: 3, path: path(), uid: u32::MAX, gid: 0 },
            Ask::RemoveFifo { path: path(), file },
            Ask::Knobs { job: 7, dev: "vrrp.51".into(), set: vec![Set::to(Knob::AcceptRa, 0)] },
            Ask::Join { job: 8, ifindex: 1, group: "224.0.0.18".parse().unwrap() },
            Ask::Leave { ifindex: i32::MAX as u32, group: "ff02::12".parse().unwrap() },
            Ask::Lookup { conn: 9, host: "fe80::1%eth0".into(), port: 25 },
        ]
    }

    fn tells() -> Vec<Tell> {
        vec![
            Tell::FileRead { watch: 1, result: Ok(vec![0xff; FILE_BYTES]) },
            Tell::FileRead { watch: 1, result: Err(2) },
            Tell::Processes { watch: 1, result: Ok(u32::MAX) },
            Tell::FifoReady { fifo: 1, result: Ok(None) },
            Tell::FifoReady { fifo: 1, result: Ok(Some(FileId { dev: 1, ino: 2 })) },
            Tell::Knobs { job: 7, before: vec![(Knob::ArpIgnore, 0)], failed: Some((Knob::AcceptRa, 30)) },
            Tell::Joined { job: 8, result: Ok(()) },
            Tell::Joined { job: 8, result: Err(19) },
            Tell::Resolved { conn: 1, result: Ok(vec!["[fe80::1%3]:25".parse().unwrap()]) },
            Tell::Resolved { conn: 1, result: Err(110) },
            Tell::note(Level::Warning, "two\nlines"),
        ]
    }

    #[test]
    fn messages_survive_the_trip_and_none_is_read_from_a_part_or_with_more_behind() {
        for a in asks() {
            let bytes = a.encode().unwrap();
            assert_eq!(Ask::decode(&bytes), Ok(a));
            for cut in 0..bytes.len() {
                assert_eq!(Ask::decode(&bytes[..cut]), Err(Malformed));
            }
            assert_eq!(Ask::decode(&[&bytes[..], &[0]].concat()), Err(Malformed));
        }
        for t in tells() {
            let bytes = t.encode().unwrap();
            assert_eq!(Tell::decode(&bytes), Ok(t));
            for cut in 0..bytes.len() {
                assert_eq!(Tell::decode(&bytes[..cut]), Err(Malformed));
            }
        }
    }

    #[test]
    fn what_is_beyond_a_limit_is_neither_said_nor_heard() {
        let asks = [
            Ask::WatchFile { watch: 1, path: "relative".into() },
            Ask::WatchFile { watch: 1, path: format!("/{}", "x".repeat(LONGEST_PATH)) },
            Ask::OpenFifo { fifo: 1, path: "/a\0b".into(), uid: 0, gid: 0 },
            Ask::Knobs { job: 1, dev: "../all".into(), set: vec![] },
            Ask::Knobs { job: 1, dev: "e".into(), set: vec![Set::to(Knob::AcceptRa, 0); MOST_KNOBS + 1] },
            Ask::Join { job: 1, ifindex: 0, group: "224.0.0.18".parse().unwrap() },
            Ask::Join { job: 1, ifindex: 1 << 31, group: "224.0.0.18".parse().unwrap() },
            Ask::Leave { ifindex: 1, group: "192.0.2.1".parse().unwrap() },
            Ask::Lookup { conn: 1, host: String::new(), port: 1 },
            Ask::Lookup { conn: 1, host: "x".repeat(LONGEST_HOST + 1), port: 1 },
            Ask::WatchProcesses { watch: 1, argv: vec![], param_match: ParamMatch::Exact, full_command: false },
            Ask::WatchProcesses {
                watch: 1,
                argv: vec![String::new(); MOST_WORDS + 1],
                param_match: ParamMatch::Exact,
                full_command: false,
            },
        ];
        for a in asks {
            assert_eq!(a.encode(), Err(Malformed), "{a:?}");
            assert_eq!(Ask::decode(&postcard::to_stdvec(&a).unwrap()), Err(Malformed), "{a:?}");
        }
        let long = Ask::WatchProcesses {
            watch: 1,
            argv: vec!["x".repeat(LONGEST)],
            param_match: ParamMatch::Exact,
            full_command: false,
        };
        assert_eq!(long.encode(), Err(Malformed));
        let tells = [
            Tell::FileRead { watch: 1, result: Ok(vec![0; FILE_BYTES + 1]) },
            Tell::FileRead { watch: 1, result: Err(0) },
            Tell::Processes { watch: 1, result: Err(-2) },
            Tell::Knobs { job: 1, before: vec![(Knob::AcceptRa, 0); MOST_KNOBS + 1], failed: None },
            Tell::Knobs { job: 1, before: vec![], failed: Some((Knob::AcceptRa, 0)) },
            Tell::Joined { job: 1, result: Err(0) },
            Tell::Resolved { conn: 1, result: Ok(vec![]) },
            Tell::Resolved { conn: 1, result: Ok(vec!["1.1.1.1:1".parse().unwrap(); MOST_ADDRS + 1]) },
            Tell::Note { level: 0, text: "x".into() },
            Tell::Note { level: 4, text: "two\nlines".into() },
        ];
        for t in tells {
            assert_eq!(t.encode(), Err(Malformed), "{t:?}");
            assert_eq!(Tell::decode(&postcard::to_stdvec(&t).unwrap()), Err(Malformed), "{t:?}");
        }
        assert!(Tell::note(Level::Info, &"\u{e9}".repeat(LONGEST_NOTE)).encode().is_ok());
    }

    #[test]
    fn a_length_that_lies_costs_no_memory() {
        // WatchProcesses with 2^60 words.
        let mut bytes = vec![1, 1];
        bytes.extend([0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10]);
        assert_eq!(Ask::decode(&bytes), Err(Malformed));
    }
}
