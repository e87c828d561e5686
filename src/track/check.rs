//! One `vrrp_check`: a port, a web server, a unix socket or a process that is checked without running a program.
//!
//! Read first: `mod.rs`, `flip.rs`, `conn.rs`. Each look is one connection, closed as soon as the answer is known. What a server sends
//! is hostile: the status line must come within `MAX_LINE` bytes, and nothing after it is read.

use super::flip::Flip;
use super::{Cx, Kind, second_run, text};
use crate::config::model::vrrp::{CheckTarget, ParamMatch, VrrpCheck};
use crate::conn::For;
use crate::effect::{ConnFx, Effect, Peer, ProcessSpec};
use crate::event::{Errno, Stream};
use crate::id::{ConnKey, TrackKey, WatchKey};
use crate::time::{Duration, Instant, nanos};
use crate::timers::{Due, Timers};
use crate::watch;
use crate::words::{errno, span};
use bytes::Bytes;

/// Bytes within which a status line must end. It has about thirty; a peer that sends more without one is no web server.
const MAX_LINE: usize = 4096;
/// What a unix socket's address holds (`sun_path` less its NUL).
const MAX_PATH: usize = 107;

// A look under way.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Look {
    conn: ConnKey,
    until: Instant,
    // The beginning of a status line, at most `MAX_LINE`.
    line: Vec<u8>,
}

/// A check that kalived makes itself: its times, its verdict, and the look under way.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Check {
    key: TrackKey,
    // Its block in the file: a `vrrp_check`, or a `vrrp_script` that only opens a port.
    kind: Kind,
    name: Box<str>,
    cfg: VrrpCheck,
    // `Err`: why it can never be done.
    target: Result<CheckTarget, Box<str>>,
    flip: Flip,
    due: Instant,
    look: Option<Look>,
    watch: Option<WatchKey>,
    count: Option<Result<u32, Errno>>,
}

impl Check {
    /// Not started. `kind`: what it is called in the log.
    pub fn new(key: TrackKey, kind: Kind, cfg: VrrpCheck) -> Check {
        let target = match cfg.target.clone() {
            None => Err("it has no target".into()),
            Some(CheckTarget::Unix(path)) if path.is_empty() || path.len() > MAX_PATH => {
                Err("its path has not 1 to 107 bytes".into())
            }
            Some(CheckTarget::Http { host, path, .. }) if !printable(&host) || !printable(&path) => {
                Err("a blank or a control character in its host or path".into())
            }
            Some(CheckTarget::Process(argv)) if argv.is_empty() => Err("it names no process".into()),
            Some(target) => Ok(target),
        };
        let mut flip = Flip::new(cfg.rise, cfg.fall, cfg.init_fail);
        if target.is_err() {
            flip.resume(false);
        }
        let name = cfg.name.clone();
        Check { key, kind, name, cfg, target, flip, due: Instant::default(), look: None, watch: None, count: None }
    }
    /// The `vrrp_check` as configured, or the one that stands for a `vrrp_script`.
    pub fn cfg(&self) -> &VrrpCheck {
        &self.cfg
    }
    /// Up or down; `None`: there is no answer yet.
    pub fn up(&self) -> Option<bool> {
        self.flip.up()
    }
    /// What an earlier process knew. A check that cannot be done stays failed.
    pub fn resume(&mut self, up: bool) {
        if self.target.is_ok() {
            self.flip.resume(up);
        }
    }
    /// What another check of this name knew.
    pub fn hold(&mut self, up: bool) {
        if self.target.is_ok() {
            self.flip.hold(up);
        }
    }
    /// Other numbers for the same target: what is known and the look under way stay.
    pub fn alter(&mut self, cfg: VrrpCheck, cx: &mut Cx<'_>) {
        self.flip.alter(cfg.rise, cfg.fall, cfg.init_fail);
        self.cfg = cfg;
        let interval = self.interval();
        self.due = cx.sooner(self.key, interval).unwrap_or(self.due);
    }
    /// Panics when a rule that must always hold does not.
    pub fn check_invariants(&self, timers: &Timers) {
        let (run, timeout) = (Due::TrackRun(self.key), Due::TrackTimeout(self.key));
        let next = self.peer().is_some() || self.watch.is_some() && self.flip.wavers();
        assert_eq!(timers.get(run).is_some(), next, "{}: the next look", self.name);
        assert_eq!(timers.get(timeout).is_some(), self.look.is_some(), "{}: a look has its end", self.name);
    }

    fn interval(&self) -> Duration {
        self.cfg.interval.max(Duration::from_millis(1))
    }
    fn timeout(&self) -> Duration {
        if self.cfg.timeout.is_zero() { self.interval() } else { self.cfg.timeout }
    }

    /// The first look is due at once; see `second_run`.
    pub fn start(&mut self, spread: bool, cx: &mut Cx<'_>) {
        match &self.target {
            Err(why) => cx.fx.note(text::refused(self.kind, &self.name, why)),
            Ok(CheckTarget::Process(argv)) => {
                let spec = ProcessSpec {
                    argv: argv.iter().map(|w| w.to_string()).collect(),
                    param_match: ParamMatch::Unset,
                    full_command: false,
                };
                self.watch = Some(cx.watches.processes(watch::For::Track(self.key), spec, cx.fx));
            }
            Ok(_) => {
                cx.timers.set(Due::TrackRun(self.key), cx.now.mono);
                let interval = self.interval();
                let second =
                    if spread { second_run(cx.now.mono, interval, &self.name) } else { cx.now.mono + interval };
                self.due = Instant(second.0.saturating_sub(nanos(interval)));
            }
        }
    }

    /// `Due::TrackRun`. True: the verdict changed.
    pub fn on_run(&mut self, cx: &mut Cx<'_>) -> bool {
        if self.watch.is_some() {
            return self.counted(cx);
        }
        let now = cx.now.mono;
        // A look whose time ends now has ended: it does not delay the next one.
        let changed = self.look.as_ref().is_some_and(|l| l.until <= now) && self.on_timeout(cx);
        let interval = self.interval();
        self.due += interval;
        if self.due <= now {
            let missed = now.since(self.due).as_nanos() / interval.as_nanos() + 1;
            self.due += interval.saturating_mul(u32::try_from(missed).unwrap_or(u32::MAX));
        }
        cx.timers.set(Due::TrackRun(self.key), self.due);
        if self.look.is_none()
            && let Some(to) = self.peer()
        {
            let conn = cx.conns.connect(For::Check(self.key), to, cx.fx);
            let until = now + self.timeout();
            self.look = Some(Look { conn, until, line: Vec::new() });
            cx.timers.set(Due::TrackTimeout(self.key), until);
        }
        changed
    }

    /// `Due::TrackTimeout`. True: the verdict changed.
    pub fn on_timeout(&mut self, cx: &mut Cx<'_>) -> bool {
        if self.look.is_none() {
            return false;
        }
        let why = format!("no answer within {}", span(self.timeout()));
        self.done(Err(why), cx)
    }

    /// Something happened on the connection. True: the verdict changed.
    pub fn on_stream(&mut self, conn: ConnKey, what: Stream<'_>, cx: &mut Cx<'_>) -> bool {
        let Some(look) = self.look.as_mut().filter(|l| l.conn == conn) else { return false };
        match (what, &self.target) {
            (Stream::Connected, Ok(CheckTarget::Http { host, path, .. })) => {
                let request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nUser-Agent: KeepAliveClient\r\n\r\n");
                cx.fx.push(Effect::Conn(ConnFx::Write { conn, bytes: Bytes::from(request) }));
                false
            }
            (Stream::Connected, _) => self.done(Ok(()), cx),
            (Stream::Data(bytes), Ok(CheckTarget::Http { status: (least, most), .. })) => {
                let verdict = match read_status(&mut look.line, bytes) {
                    Read::More => return false,
                    Read::Status(n) if (*least..=*most).contains(&n) => Ok(()),
                    Read::Status(n) => Err(format!("HTTP status {n}")),
                    Read::NoHttp => Err("no HTTP status line".to_owned()),
                };
                self.done(verdict, cx)
            }
            (Stream::Data(_), _) => false,
            (Stream::End, _) => self.done(Err("closed without an answer".to_owned()), cx),
            // Not expected: no TLS was requested.
            (Stream::Broken(_), _) => self.done(Err("broken".to_owned()), cx),
            (Stream::Failed(e), _) => self.done(Err(errno(e)), cx),
        }
    }

    /// The number of processes changed. True: the verdict changed.
    pub fn on_count(&mut self, count: Result<u32, Errno>, cx: &mut Cx<'_>) -> bool {
        self.count = Some(count);
        self.counted(cx)
    }

    /// Nobody wants it any more.
    pub fn retire(&mut self, cx: &mut Cx<'_>) {
        cx.timers.stop(Due::TrackRun(self.key));
        cx.timers.stop(Due::TrackTimeout(self.key));
        if let Some(look) = self.look.take() {
            cx.conns.close(look.conn, cx.fx);
        }
        if let Some(watch) = self.watch.take() {
            cx.watches.stop(watch, cx.fx);
        }
    }

    fn peer(&self) -> Option<Peer> {
        match self.target.as_ref().ok()? {
            CheckTarget::Tcp(to) | CheckTarget::Http { to, .. } => Some(Peer::Tcp(*to)),
            CheckTarget::Unix(path) => Some(Peer::Unix(path.to_string())),
            CheckTarget::Process(_) => None,
        }
    }

    // A count is valid until the next one: it is a result now and, while more successive results are needed, one for each interval.
    fn counted(&mut self, cx: &mut Cx<'_>) -> bool {
        let verdict = match self.count {
            None => return false,
            Some(Ok(0)) => Err("no such process".to_owned()),
            Some(Ok(_)) => Ok(()),
            Some(Err(e)) => Err(format!("processes cannot be counted: {}", errno(e))),
        };
        let changed = self.result(verdict, cx);
        if self.flip.wavers() {
            cx.timers.set(Due::TrackRun(self.key), cx.now.mono + self.interval());
        } else {
            cx.timers.stop(Due::TrackRun(self.key));
        }
        changed
    }

    // The answer of a look.
    fn done(&mut self, verdict: Result<(), String>, cx: &mut Cx<'_>) -> bool {
        cx.timers.stop(Due::TrackTimeout(self.key));
        if let Some(look) = self.look.take() {
            // Nothing to close if it failed by itself.
            cx.conns.close(look.conn, cx.fx);
        }
        self.result(verdict, cx)
    }

    fn result(&mut self, verdict: Result<(), String>, cx: &mut Cx<'_>) -> bool {
        let changed = self.flip.result(verdict.is_ok());
        if changed {
            cx.fx.note(match verdict {
                Ok(()) => text::succeeded(self.kind, &self.name),
                Err(why) => text::failed(self.kind, &self.name, &why),
            });
        }
        changed
    }
}

// Whether the text may be part of a request line.
fn printable(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b > b' ' && b != 0x7f)
}

#[derive(Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
enum Read {
    More,
    Status(u16),
    NoHttp,
}

// One more piece of an answer; `line` has the beginning of the status line that earlier pieces brought.
fn read_status(line: &mut Vec<u8>, bytes: &[u8]) -> Read {
    let bytes = &bytes[..bytes.len().min(MAX_LINE - line.len())];
    let end = memchr::memchr(b'\n', bytes);
    line.extend_from_slice(&bytes[..end.unwrap_or(bytes.len())]);
    match end {
        Some(_) => parse_status(line).map_or(Read::NoHttp, Read::Status),
        None if line.len() >= MAX_LINE => Read::NoHttp,
        // The rest of a line that begins otherwise is not waited for.
        None if !b"HTTP/".starts_with(&line[..line.len().min(5)]) => Read::NoHttp,
        None => Read::More,
    }
}

// RFC 9112 §4: `HTTP/1.1 200 OK`.
pub(crate) fn parse_status(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/")?;
    let [major, b'.', minor, b' ', a, b, c, rest @ ..] = rest else { return None };
    if ![major, minor, a, b, c].iter().all(|d| d.is_ascii_digit()) || !matches!(rest.first(), None | Some(b' ' | b'\r'))
    {
        return None;
    }
    let status = [a, b, c].iter().fold(0, |n, d| n * 10 + u16::from(**d - b'0'));
    (100..=599).contains(&status).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_line_is_read_in_any_pieces_and_nothing_else_is() {
        for (answer, want) in [
            (&b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n"[..], Read::Status(200)),
            (b"HTTP/1.0 503\r\n", Read::Status(503)),
            (b"HTTP/1.0 404\n", Read::Status(404)),
            (b"HTTP/1.1 099 OK\r\n", Read::NoHttp),
            (b"HTTP/1.1 600 OK\r\n", Read::NoHttp),
            (b"HTTP/1.1 2000 OK\r\n", Read::NoHttp),
            (b"HTTP/1.1 20\r\n", Read::NoHttp),
            (b"HTTP/1.1  200\r\n", Read::NoHttp),
            (b"HTTP/\xff.1 200 OK\r\n", Read::NoHttp),
            (b"220 mail ESMTP\r\n", Read::NoHttp),
            (b"\n", Read::NoHttp),
            (b"HTTP/1.1 200 OK", Read::More),
        ] {
            let mut line = Vec::new();
            assert_eq!(read_status(&mut line, answer), want, "{:?}", String::from_utf8_lossy(answer));
            let (mut line, mut last) = (Vec::new(), Read::More);
            for byte in answer {
                last = read_status(&mut line, &[*byte]);
                if last != Read::More {
                    break;
                }
            }
            assert_eq!(last, want, "byte by byte: {:?}", String::from_utf8_lossy(answer));
        }
    }

    #[test]
    fn a_line_without_end_ends() {
        let mut line = Vec::new();
        assert_eq!(read_status(&mut line, b"HTTP/1.1 200 "), Read::More);
        let mut pieces = 0;
        while read_status(&mut line, &[b'x'; 1000]) == Read::More {
            pieces += 1;
        }
        assert_eq!((pieces, line.len()), (4, MAX_LINE));
        let mut line = Vec::new();
        assert_eq!(read_status(&mut line, &[b'H'; 1 << 20]), Read::NoHttp);
        assert_eq!(line.len(), MAX_LINE);
    }
}
