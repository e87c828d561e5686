//! The protocol of the control socket: a request is one word, the answer one message.
//!
//! The guard listens (`guard/ctl.rs`), and the commands send requests (`cli/client.rs`).

use crate::sys::lockfile::beside;
use std::path::{Path, PathBuf};

/// Longest request, bytes: every request has less than 20.
pub const MAX_REQUEST: usize = 64;
/// Longest answer, bytes: a line for each of 255 virtual routers; well below a socket's buffer, so that it is sent at once.
pub const MAX_ANSWER: usize = 64 << 10;

/// The requests; [`Request::word`] is the text of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Read the configuration again; answered when the new one is in force, or refused.
    Reload,
    /// The same, also where `--config-test` fails.
    ForceReload,
    /// Run the installed program, without a failover.
    Upgrade,
    /// End, so that a kalived that is started within the advert interval continues with this one's state.
    Handover,
    /// End as after SIGTERM.
    Stop,
    /// Report the state.
    Status,
    /// Send the image of the configuration in force, as a file descriptor.
    Image,
    /// Send the recording of the core, likewise.
    Record,
}

impl Request {
    /// Every request.
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

    /// The word that is sent.
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

    /// Parses the result of [`Request::word`].
    pub fn of(bytes: &[u8]) -> Option<Request> {
        Request::ALL.into_iter().find(|r| r.word().as_bytes() == bytes.trim_ascii_end())
    }
}

/// The socket of the kalived with this pid file: `/run/kalived.sock` for `/run/kalived.pid`.
pub fn socket_path(pid_file: &Path) -> PathBuf {
    beside(pid_file, "sock")
}

/// Encodes an answer: whether the request succeeded, and a text.
pub fn encode(ok: bool, text: &str) -> Vec<u8> {
    let head = if ok { "ok\n" } else { "no\n" };
    let mut end = text.len().min(MAX_ANSWER - head.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    [head.as_bytes(), &text.as_bytes()[..end]].concat()
}

/// Decodes an answer from [`encode`]; `None`: the bytes are no answer.
pub fn decode(bytes: &[u8]) -> Option<(bool, String)> {
    let (ok, text) = match bytes.split_at_checked(3)? {
        (b"ok\n", text) => (true, text),
        (b"no\n", text) => (false, text),
        _ => return None,
    };
    Some((ok, String::from_utf8_lossy(text).into_owned()))
}
