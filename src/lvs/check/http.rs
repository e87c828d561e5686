//! The answer of a web server to one request: status, then MD5 of the body, then what the body must match.
//!
//! Read first: `talk.rs`. Kept of one answer: at most [`HEAD`] bytes of its header or, with a `regex`, [`MATCHED`] bytes of its body, and
//! the 100 bytes of an MD5 state. A `regex` is matched when the body is whole, in slices of a bounded number of steps: the first at once,
//! the others in turns of their own ([`Step::More`]). Of a body of which only the end matters, at most [`ENOUGH`] bytes are read; of any
//! other at most [`BODY`]. The body ends where the peer closes or, if that is sooner, after `Content-Length` bytes. The digest is over the
//! bytes as they are sent, chunk sizes included, as in keepalived and genhash.

use super::spec::Page;
use super::talk::{Failure, Step, Words, failed, shown};
use crate::automaton::Scan;
use crate::event::Stream;
use crate::track::check::parse_status;
use bytes::Bytes;
use md5::{Digest, Md5};

/// Longest header; a page with large cookies has some KiB.
pub(super) const HEAD: usize = 16 << 10;
/// Longest body whose digest is taken.
pub(super) const BODY: u64 = 16 << 20;
/// Body after which a server has shown that it sends one.
pub(super) const ENOUGH: u64 = 64 << 10;
/// So much of a body is looked at for a `regex`.
pub(super) const MATCHED: usize = 256 << 10;
/// Steps of an automaton in the turn in which a body is whole: there may be many bodies in one turn.
const FIRST_STEPS: usize = 4096;
/// Steps of each further slice: a fifth of a millisecond on a slow processor.
pub(super) const STEPS: usize = 16 << 10;

#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Answer {
    // The header until it is whole, then what a `regex` looks at.
    held: Vec<u8>,
    asked: bool,
    // Since the header is whole.
    body: Option<Body>,
    // All else is right, and the body is being matched.
    #[serde(default)]
    scan: Option<Scan>,
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Body {
    status: u16,
    // `Content-Length`.
    length: Option<u64>,
    read: u64,
    #[serde(with = "digest_state")]
    digest: Md5,
}

impl Answer {
    pub(super) fn on(&mut self, page: &Page, event: Stream<'_>) -> Step {
        match event {
            Stream::Connected => {
                self.asked = true;
                Step::Say(Bytes::copy_from_slice(page.request.as_bytes()))
            }
            Stream::Data(bytes) => self.read(page, bytes),
            Stream::End if self.body.is_some() => self.judge(page),
            Stream::End if self.held.is_empty() => Step::Done(Err(failed("closed without an answer"))),
            Stream::End => Step::Done(Err(failed("closed within the header of its answer"))),
            Stream::Failed(_) | Stream::Broken(_) => Step::Wait,
        }
    }

    /// What had not arrived when the time was over, as text.
    pub(super) fn missing(&self) -> &'static str {
        match &self.body {
            _ if !self.asked => "no connection",
            Some(_) => "no end of the answer",
            None if self.held.is_empty() => "no answer",
            None => "no whole header",
        }
    }

    fn read(&mut self, page: &Page, bytes: &[u8]) -> Step {
        let mut rest = bytes;
        if self.body.is_none() {
            // From three bytes before: the end of the header may have come in two pieces.
            let from = self.held.len().saturating_sub(3);
            let room = HEAD.saturating_sub(self.held.len());
            let before = self.held.len();
            self.held.extend_from_slice(&bytes[..bytes.len().min(room)]);
            if !b"HTTP/".starts_with(&self.held[..self.held.len().min(5)]) {
                return Step::Done(Err(failed(format!("no HTTP: it says {:?}", shown(&self.held)))));
            }
            let Some(end) = end_of_header(&self.held, from) else {
                return match self.held.len() >= HEAD {
                    true => Step::Done(Err(failed("a header of more than 16 KiB"))),
                    false => Step::Wait,
                };
            };
            let body = match head(&self.held[..end]) {
                Ok(body) => body,
                Err(why) => return Step::Done(Err(failed(why))),
            };
            rest = &bytes[end - before..];
            self.held.clear();
            self.held.shrink_to_fit();
            self.body = Some(body);
        }
        let Some(body) = &mut self.body else { return Step::Wait };
        let left = body.length.map_or(u64::MAX, |l| l.saturating_sub(body.read));
        let now = &rest[..rest.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
        body.read += now.len() as u64;
        if page.digest.is_some() {
            body.digest.update(now);
        }
        if page.regex.is_some() {
            let room = MATCHED - self.held.len();
            self.held.extend_from_slice(&now[..now.len().min(room)]);
        }
        let ended = body.length.is_some_and(|l| body.read >= l) || matches!(body.status, 100..=199 | 204 | 304);
        let enough = match (page.digest, &page.regex) {
            (Some(_), _) if body.read > BODY => {
                return Step::Done(Err(failed("a body of more than 16 MiB, too long for its digest")));
            }
            (Some(_), _) => false,
            (None, Some(_)) => self.held.len() >= MATCHED,
            // A status that is no success needs no body.
            (None, None) => body.read >= ENOUGH || !expected(page, body.status),
        };
        match ended || enough {
            true => self.judge(page),
            false => Step::Wait,
        }
    }

    // The body is whole.
    fn judge(&mut self, page: &Page) -> Step {
        let Some(body) = &self.body else { return Step::Wait };
        if let Err(why) = judge(page, body) {
            return Step::Done(Err(why));
        }
        self.scan = Some(Scan::default());
        self.go_on(page, FIRST_STEPS)
    }

    /// One more slice of matching the body.
    pub(super) fn go_on(&mut self, page: &Page, steps: usize) -> Step {
        let (Some(body), Some(scan)) = (&self.body, &mut self.scan) else { return Step::Wait };
        let status = body.status;
        let cut = self.held.len() >= MATCHED;
        match page.regex.as_ref().map_or(Some(Ok(())), |p| p.judge(&self.held, cut, scan, steps)) {
            None => Step::More,
            Some(Ok(())) => Step::Done(Ok(Words::Owned(format!("HTTP {status}")))),
            Some(Err(why)) => Step::Done(Err(failed(format!("HTTP {status} for {}, but {why}", page.path)))),
        }
    }

    /// The time of the look is over while the body is matched: this host is too slow for its regex.
    pub(super) fn is_matching(&self) -> bool {
        self.scan.is_some()
    }
}

fn expected(page: &Page, status: u16) -> bool {
    page.status.iter().any(|(a, b)| (*a..=*b).contains(&status))
}

// All but its regex.
fn judge(page: &Page, body: &Body) -> Result<(), Failure> {
    let status = body.status;
    if !expected(page, status) {
        return Err(failed(format!("HTTP {status} for {}", page.path)));
    }
    if let Some(want) = page.digest {
        let is: [u8; 16] = body.digest.clone().finalize().into();
        if is != want {
            let hex: String = is.iter().map(|b| format!("{b:02x}")).collect();
            return Err(failed(format!("HTTP {status} for {}, but the MD5 digest of its body is {hex}", page.path)));
        }
    }
    Ok(())
}

// Behind the empty line; a line ends in CR LF or, as RFC 9112 §2.2 lets a reader accept, in LF.
fn end_of_header(bytes: &[u8], from: usize) -> Option<usize> {
    memchr::memchr_iter(b'\n', &bytes[from..])
        .map(|i| from + i)
        .find_map(|i| match bytes.get(i + 1..).unwrap_or_default() {
            [b'\n', ..] => Some(i + 2),
            [b'\r', b'\n', ..] => Some(i + 3),
            _ => None,
        })
        .filter(|end| *end <= bytes.len())
}

// A whole header.
fn head(bytes: &[u8]) -> Result<Body, &'static str> {
    let mut lines = bytes.split(|b| *b == b'\n');
    let status = parse_status(lines.next().unwrap_or_default()).ok_or("no HTTP status line")?;
    let mut length = None;
    for line in lines {
        let Some((name, value)) = line.iter().position(|b| *b == b':').map(|i| line.split_at(i)) else { continue };
        if !name.eq_ignore_ascii_case(b"content-length") {
            continue;
        }
        let digits = value[1..].trim_ascii();
        let n = digits
            .iter()
            .try_fold(0u64, |n, d| n.checked_mul(10)?.checked_add(u64::from(char::from(*d).to_digit(10)?)));
        match n.filter(|_| !digits.is_empty()) {
            Some(n) if length.is_none_or(|l| l == n) => length = Some(n),
            _ => return Err("a Content-Length that is no length"),
        }
    }
    Ok(Body { status, length, read: 0, digest: Md5::new() })
}

mod digest_state {
    use md5::Md5;
    use md5::digest::common::hazmat::{SerializableState, SerializedState};

    pub(super) fn serialize<S: serde::Serializer>(state: &Md5, to: S) -> Result<S::Ok, S::Error> {
        serde::Serialize::serialize(&state.serialize()[..], to)
    }
    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Md5, D::Error> {
        let bytes = <Vec<u8> as serde::Deserialize>::deserialize(from)?;
        let bad = |_| serde::de::Error::custom("no state of an MD5");
        let state: SerializedState<Md5> = bytes.as_slice().try_into().map_err(bad)?;
        Md5::deserialize(&state).map_err(|_| serde::de::Error::custom("no state of an MD5"))
    }
}
