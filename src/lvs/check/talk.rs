//! The dialogue on a connection: one small state machine for each kind of check, behind one interface.
//!
//! Read first: `spec.rs`. A machine receives bytes of a hostile server. Each keeps no more of them than its file head states, and none has
//! a timer: the look as a whole has one deadline, which the scheduler keeps.

use super::dns;
use super::http;
use super::ping;
use super::smtp;
use super::spec::What;
use super::udp;
use crate::effect::Peer;
use crate::event::{Errno, Stream};
use bytes::Bytes;
use std::borrow::Cow;

/// The last result in words, without what is known from the check: `HTTP 503`.
pub(super) type Words = Cow<'static, str>;

/// Why a look did not succeed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) words: Words,
    pub(super) cause: Cause,
}

/// Where the cause of a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// At the server.
    Server,
    /// On this host: after some tries it counts, too.
    Host,
    /// This host, or this process, has no descriptor or memory left: the look did not begin. It never counts.
    Room,
}

/// The result of a look.
pub(super) type Outcome = Result<Words, Failure>;

pub(super) fn failed(words: impl Into<Words>) -> Failure {
    Failure { words: words.into(), cause: Cause::Server }
}

/// What follows from an input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Wait for more bytes.
    Wait,
    /// Send this and go on.
    Say(Bytes),
    /// The connection is not needed any more; [`Talk::go_on`] in a later turn.
    More,
    /// It is over.
    Done(Outcome),
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) enum Talk {
    Tcp,
    Http(Box<http::Answer>),
    Smtp(smtp::Dialogue),
    Dns(dns::Query),
    Udp,
    Ping(ping::Echo),
}

impl Talk {
    /// The destination and the machine; `None`: this kind has no connection. `salt`: a different number each time.
    pub(super) fn begin(what: &What, salt: u32) -> Option<(Peer, Talk)> {
        Some(match what {
            What::Tcp(to) => (Peer::Tcp(*to), Talk::Tcp),
            What::Http(http) => (Peer::Tcp(http.to), Talk::Http(Box::default())),
            What::Smtp { to, .. } => (Peer::Tcp(*to), Talk::Smtp(smtp::Dialogue::default())),
            What::Dns { to, .. } => (Peer::Udp(*to), Talk::Dns(dns::Query::new(salt as u16))),
            What::Udp { to, .. } => (Peer::Udp(*to), Talk::Udp),
            What::Ping(to) => (Peer::Ping(*to), Talk::Ping(ping::Echo::new(salt, to.is_ipv4()))),
            What::Misc { .. } | What::File { .. } | What::Never(_) | What::Bfd(_) => return None,
        })
    }

    /// Something happened on the connection. `page`: which one of a web server is asked for.
    pub(super) fn on(&mut self, what: &What, page: usize, event: Stream<'_>) -> Step {
        if let Stream::Failed(e) = event {
            return match self {
                Talk::Smtp(d) if d.is_leaving() => Step::Done(Ok(Words::Borrowed("SMTP 250"))),
                _ => Step::Done(Err(Failure { words: crate::words::errno(e).into(), cause: cause_of(e) })),
            };
        }
        if let Stream::Broken(why) = event {
            return Step::Done(Err(failed(format!("TLS: {}", printable(why, 120)))));
        }
        match (self, what) {
            (Talk::Tcp, _) => match event {
                Stream::Connected => Step::Done(Ok(Words::Borrowed("connected"))),
                _ => Step::Wait,
            },
            (Talk::Http(answer), What::Http(http)) => match http.pages.get(page) {
                Some(page) => answer.on(page, event),
                None => Step::Done(Err(failed("no such page"))),
            },
            (Talk::Smtp(d), What::Smtp { helo, .. }) => d.on(helo, event),
            (Talk::Dns(q), What::Dns { name, query, .. }) => q.on(name, *query, event),
            (Talk::Udp, What::Udp { payload, reply, length, .. }) => udp::on(payload, reply.as_deref(), *length, event),
            (Talk::Ping(echo), _) => echo.on(event),
            _ => Step::Done(Err(failed("another kind of check"))),
        }
    }

    /// One more slice of what [`Step::More`] has left.
    pub(super) fn go_on(&mut self, what: &What, page: usize) -> Step {
        match (self, what) {
            (Talk::Http(answer), What::Http(http)) => {
                http.pages.get(page).map_or(Step::Wait, |page| answer.go_on(page, http::STEPS))
            }
            _ => Step::Wait,
        }
    }

    /// The time of the look is over.
    pub(super) fn on_timeout(&self, what: &What, limit: crate::time::Duration) -> Outcome {
        let within = crate::words::span(limit);
        match (self, what) {
            (Talk::Udp, What::Udp { reply: None, .. }) => Ok(Words::Borrowed("no error")),
            (Talk::Http(answer), _) if answer.is_matching() => {
                let words = format!("its body was not matched with the regex within {within}").into();
                Err(Failure { words, cause: Cause::Host })
            }
            (Talk::Http(answer), _) => Err(failed(format!("{} within {within}", answer.missing()))),
            (Talk::Smtp(d), _) => Err(failed(format!("{} within {within}", d.missing()))),
            _ => Err(failed(format!("no answer within {within}"))),
        }
    }
}

/// Whether this host, not the server, is the cause: no route, no port or address, no memory, descriptor or right to send.
pub(super) fn cause_of(e: Errno) -> Cause {
    match e.0 {
        // ENOMEM, ENFILE, EMFILE, ENOBUFS
        12 | 23 | 24 | 105 => Cause::Room,
        // EPERM, EAGAIN, EACCES, ENODEV, EINVAL, EAFNOSUPPORT, EADDRINUSE, EADDRNOTAVAIL, ENETDOWN, ENETUNREACH
        1 | 11 | 13 | 19 | 22 | 97 | 98 | 99 | 100 | 101 => Cause::Host,
        _ => Cause::Server,
    }
}

/// Hostile text for a message: printable, and not long.
pub(super) fn shown(bytes: &[u8]) -> String {
    printable(bytes, 40)
}

fn printable(bytes: &[u8], most: usize) -> String {
    bytes.iter().take(most).map(|b| if (32..127).contains(b) { char::from(*b) } else { '?' }).collect()
}
