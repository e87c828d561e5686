//! The language of the control socket: one word asks, one message answers.
//!
//! The guard listens (`guard/ctl.rs`), and the commands ask (`cli/client.rs`).

use crate::sys::lockfile::beside;
use std::path::{Path, PathBuf};

/// Longest request, bytes: every word there is has less than 10.
pub const MAX_REQUEST: usize = 64;
/// Longest answer, bytes: a line for each of 255 virtual routers; well below a socket's buffer, so that it is sent at once.
pub const MAX_ANSWER: usize = 64 << 10;

/// What can be asked. Its word is its name in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Read the configuration again; answered when the new one is in force, or refused.
    Reload,
    /// The same, also where `--config-test` fails.
    ForceReload,
    /// Run the binary that is installed now, without a failover.
    Upgrade,
    /// End, so that a kalived that is started within the advert interval goes on where this one was.
    Handover,
    /// End as after SIGTERM.
    Stop,
    /// Say how things are.
    Status,
    /// Give the image of the configuration that runs in a file descriptor.
    Image,
    /// Give what the core recorded, likewise.
    Record,
}

impl Request {
    /// All of them.
    pub const ALL: [Request; 8] = [
        Request::Reload,
        Request::ForceReload,
        Request::Upgrade,
        Request::Handover,
        Request::Stop,
        Request::Status,
        Request::Image,
        Request::Record,
    ];

    /// What goes over the socket.
    pub fn word(self) -> &'static str {
        match self {
            Request::Reload => "reload",
            Request::ForceReload => "reload --force",
            Request::Upgrade => "upgrade",
            Request::Handover => "handover",
            Request::Stop => "stop",
            Request::Status => "status",
            Request::Image => "image",
            Request::Record => "record",
        }
    }

    /// Back from [`Request::word`].
    pub fn of(bytes: &[u8]) -> Option<Request> {
        Request::ALL.into_iter().find(|r| r.word().as_bytes() == bytes.trim_ascii_end())
    }
}

/// Where the socket of the kalived with this pid file is: `/run/kalived.sock` for `/run/kalived.pid`.
pub fn socket_path(pid_file: &Path) -> PathBuf {
    beside(pid_file, "sock")
}

/// An answer as it is sent: whether it was done, and text for people.
pub fn encode(ok: bool, text: &str) -> Vec<u8> {
    let head = if ok { "ok\n" } else { "no\n" };
    let mut end = text.len().min(MAX_ANSWER - head.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    [head.as_bytes(), &text.as_bytes()[..end]].concat()
}

/// An answer back from [`encode`]; `None`: that is none.
pub fn decode(bytes: &[u8]) -> Option<(bool, String)> {
    let (ok, text) = match bytes.split_at_checked(3)? {
        (b"ok\n", text) => (true, text),
        (b"no\n", text) => (false, text),
        _ => return None,
    };
    Some((ok, String::from_utf8_lossy(text).into_owned()))
}
