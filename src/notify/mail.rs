//! Mail about changes of state: one message each, one connection at a time.
//!
//! Read first: `wire/smtp.rs`, `conn.rs`. Subjects and bodies are keepalived's, because mail filters match them. keepalived tries once;
//! here a message that was not delivered is tried again, unless the server refused it permanently. The queue is limited, and the newest
//! messages stay.

use super::{Cx, text};
use crate::config::model::Global;
use crate::conn::For;
use crate::effect::{ConnFx, Effect, HelperFx, Peer};
use crate::event::{Errno, Stream};
use crate::id::ConnKey;
use crate::time::{Duration, Instant, Wall};
use crate::vrrp::change::{Subject, What};
use crate::vrrp::fsm::State;
use crate::wire::smtp::{self, Message, Replies, Reply};
use crate::words::{Limit, errno};
use core::net::{IpAddr, SocketAddr};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Queued messages. If the server is unreachable for long, only the last changes of a flapping router are mailed.
const QUEUE: usize = 64;
/// How often a message is tried.
const TRIES: u8 = 3;
/// Between two tries.
const AGAIN: Duration = Duration::from_secs(10);
/// A whole dialogue takes at most `smtp_connect_timeout` times this number, however long each of its steps takes.
const WHOLE: u32 = 4;
/// The longest wait for mail at a stop. The addresses are removed already; the stop is not delayed further by an unreachable mail server.
const AT_STOP: Duration = Duration::from_secs(3);

/// The settings for sending.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Settings {
    host: String,
    port: u16,
    helo: String,
    from: String,
    to: Vec<Box<str>>,
    timeout: Duration,
    router: String,
    no_faults: bool,
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Letter {
    subject: String,
    body: Cow<'static, str>,
    at: Wall,
    tries: u8,
}

// The reply that is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
enum Step {
    Address,
    Connection,
    Greeting,
    Helo,
    From,
    To(usize),
    Data,
    Taken,
    Bye,
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Session {
    conn: ConnKey,
    step: Step,
    others: VecDeque<SocketAddr>,
    replies: Replies,
    accepted: usize,
    step_by: Instant,
    whole_by: Instant,
}

/// The mail settings, the messages that wait, and the dialogue with the mail server.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Mail {
    settings: Option<Settings>,
    queue: VecDeque<Letter>,
    // The session for the first of `queue`.
    session: Option<Session>,
    again: Option<Instant>,
    last: BTreeMap<Subject, Cow<'static, str>>,
    overflow: Limit,
    // Recipients that the server refused last time. Each is logged once until the server accepts it again.
    refused: BTreeSet<String>,
    give_up: Option<Instant>,
    frozen: bool,
}

impl Mail {
    /// The number of queued messages.
    pub fn waiting(&self) -> u64 {
        self.queue.len() as u64
    }

    /// Changes the settings; `host`: the name of this machine.
    pub fn set(&mut self, global: &Global, host: &str) {
        let more = &global.more;
        self.settings = more.smtp_server.as_ref().filter(|_| !more.notification_email.is_empty()).map(|s| Settings {
            host: s.host.to_string(),
            port: s.port,
            helo: more.smtp_helo_name.as_deref().unwrap_or(host).to_owned(),
            from: more.notification_email_from.as_deref().map_or_else(|| format!("root@{host}"), str::to_owned),
            to: more.notification_email.clone(),
            timeout: more.smtp_connect_timeout.max(Duration::from_secs(1)),
            router: global.router_id.clone().unwrap_or_else(|| host.to_owned()),
            no_faults: more.no_email_faults,
        });
        self.refused.clear();
        if self.settings.is_none() {
            self.queue.truncate(usize::from(self.session.is_some()));
        }
    }

    /// Queues a mail about a change of state of a virtual router or a sync group, if mail is configured.
    pub fn tell(&mut self, who: &Subject, what: What, cx: &mut Cx<'_>) {
        let Some(s) = &self.settings else { return };
        let Some(word) = what.state_word() else { return };
        if self.last.get(who).is_some_and(|w| *w == word) || (s.no_faults && word == State::Fault.word()) {
            return;
        }
        // Changes of servers are mailed by [`Mail::tell_server`].
        let event = match what {
            What::Stop => "Stopping".to_owned(),
            What::Deleted => "Deleted".to_owned(),
            _ => format!("Entering {word} state"),
        };
        let (kind, body) = match who {
            Subject::Group(_) => {
                ("VRRP Group", Cow::from(format!("=> All VRRP group instances are now in {word} state <=")))
            }
            _ if what == What::State(State::Master) => {
                ("VRRP Instance", "=> VRRP Instance is now owning VRRP VIPs <=".into())
            }
            _ => ("VRRP Instance", "=> VRRP Instance is no longer owning VRRP VIPs <=".into()),
        };
        let subject = format!("[{}] {kind} {} - {event}", s.router, who.name());
        self.last.insert(who.clone(), word.into());
        self.queue(subject, body, cx);
    }

    /// Mails that a server is up or down. The text is `first`, as keepalived has it, and below it why a server is down; without `first` it
    /// is the reason.
    pub fn tell_server(&mut self, who: &Subject, what: What, first: Option<&str>, why: &str, cx: &mut Cx<'_>) {
        let Some(s) = &self.settings else { return };
        let name = match who {
            Subject::RealServer { server, of } => format!("Realserver {server} of virtual server {of}"),
            who => format!("Virtualserver {}", who.name()),
        };
        let subject = format!("[{}] {name} - {}", s.router, what.word());
        let text = match first {
            Some(first) if what == What::Down => format!("=> {first} <=\nCause: {why}"),
            first => format!("=> {} <=", first.unwrap_or(why)),
        };
        self.queue(subject, text.into(), cx);
    }

    fn queue(&mut self, subject: String, body: Cow<'static, str>, cx: &mut Cx<'_>) {
        if self.queue.len() >= QUEUE {
            self.queue.remove(usize::from(self.session.is_some()));
            if let Some(held_back) = self.overflow.pass(cx.now.mono) {
                cx.fx.note(text::mail_overflow(held_back));
            }
        }
        self.queue.push_back(Letter { subject, body, at: cx.now.wall, tries: 0 });
        self.pump(cx);
    }

    /// A virtual router was removed; a later one of that name is a different one.
    pub fn forget(&mut self, who: &Subject) {
        self.last.remove(who);
    }
    /// Restores the state that the previous process had mailed.
    pub fn resume(&mut self, who: &Subject, told: Option<State>) {
        if let Some(s) = told {
            self.last.insert(who.clone(), s.word().into());
        }
    }

    /// The daemon stops: queued messages get a few more seconds.
    pub fn stop(&mut self, cx: &mut Cx<'_>) {
        self.give_up = Some(cx.now.mono + AT_STOP);
    }
    /// Another process takes over: no further message is begun.
    pub fn freeze(&mut self) {
        self.frozen = true;
    }
    /// Whether there is neither a session nor a queued message.
    pub fn idle(&self) -> bool {
        self.queue.is_empty() && self.session.is_none()
    }

    /// The time of the next due action.
    pub fn deadline(&self) -> Option<Instant> {
        let session = self.session.as_ref().map(|s| s.step_by.min(s.whole_by));
        let give_up = self.give_up.filter(|_| !self.idle());
        [session, self.again, give_up].into_iter().flatten().min()
    }

    /// Runs what is due.
    pub fn on_due(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        if self.give_up.is_some_and(|at| at <= now) {
            self.end(cx);
            self.again = None;
            let server = self.settings.as_ref().map_or("", |s| &s.host);
            for letter in self.queue.drain(..) {
                cx.fx.note(text::mail_failed(&letter.subject, server, "the daemon stops", false));
            }
            return;
        }
        if let Some(s) = &self.session
            && s.step_by.min(s.whole_by) <= now
        {
            let waited_for = match s.step {
                Step::Address => "no address in time",
                Step::Connection => "no connection in time",
                Step::Bye => "",
                _ => "no reply in time",
            };
            if s.step == Step::Bye { self.end(cx) } else { self.failed(waited_for, false, cx) }
        }
        if self.again.is_some_and(|at| at <= now) {
            self.again = None;
        }
        self.pump(cx);
    }

    /// The result of the name look-up.
    pub fn on_resolved(&mut self, conn: ConnKey, result: Result<&[SocketAddr], Errno>, cx: &mut Cx<'_>) {
        let Some(s) = self.session.as_mut().filter(|s| s.conn == conn && s.step == Step::Address) else { return };
        match result.map(<[_]>::split_first) {
            Ok(Some((first, others))) => {
                s.others = others.iter().copied().collect();
                s.step = Step::Connection;
                if let Some(settings) = &self.settings {
                    s.step_by = cx.now.mono + settings.timeout;
                }
                cx.fx.push(Effect::Conn(ConnFx::Connect { conn, to: Peer::Tcp(*first), way: None }));
            }
            Ok(None) => self.failed("its name has no address", false, cx),
            Err(e) => self.failed(&format!("its name has no address: {}", errno(e)), false, cx),
        }
    }

    /// An event of the connection.
    pub fn on_stream(&mut self, conn: ConnKey, what: Stream<'_>, cx: &mut Cx<'_>) {
        let Some(s) = self.session.as_mut().filter(|s| s.conn == conn) else { return };
        match what {
            Stream::Connected if s.step == Step::Connection => self.step(Step::Greeting, cx),
            Stream::Connected => {}
            Stream::Data(bytes) => self.on_data(bytes, cx),
            Stream::End if s.step == Step::Bye => self.end(cx),
            Stream::End => self.failed("it closed the connection", false, cx),
            // TLS was not requested.
            Stream::Broken(_) => self.failed("it broke the connection", false, cx),
            Stream::Failed(e) => {
                let next = if s.step == Step::Connection { s.others.pop_front() } else { None };
                match next {
                    Some(to) => {
                        cx.conns.forget(conn);
                        s.conn = cx.conns.connect(For::Mail, Peer::Tcp(to), cx.fx);
                    }
                    None if s.step == Step::Bye => self.end(cx),
                    None => self.failed(&errno(e), false, cx),
                }
            }
        }
        self.pump(cx);
    }

    fn on_data(&mut self, mut bytes: &[u8], cx: &mut Cx<'_>) {
        while let Some(s) = &mut self.session {
            match s.replies.next(&mut bytes) {
                Ok(Some(reply)) => self.on_reply(&reply, cx),
                Ok(None) => return,
                Err(_) if s.step == Step::Bye => return self.end(cx),
                Err(bad) => return self.failed(bad.why(), false, cx),
            }
        }
    }

    fn on_reply(&mut self, reply: &Reply, cx: &mut Cx<'_>) {
        let (Some(s), Some(settings), Some(letter)) = (&mut self.session, &self.settings, self.queue.front()) else {
            return self.end(cx);
        };
        let good = match s.step {
            Step::Address | Step::Connection => return self.failed("it speaks before it is connected", false, cx),
            Step::Data => reply.code == 354,
            _ => (200..300).contains(&reply.code),
        };
        let to = |n: usize| settings.to.get(n).map(|to| (Step::To(n), smtp::rcpt_to(to)));
        let next = match s.step {
            Step::To(n) => {
                let to_n = settings.to.get(n).map_or("", |to| to);
                if good {
                    s.accepted += 1;
                    self.refused.remove(to_n);
                } else if self.refused.insert(to_n.to_owned()) {
                    cx.fx.note(text::mail_recipient(to_n, &settings.host, &reply.text));
                }
                match to(n + 1) {
                    Some(next) => Some(next),
                    // The message is sent to the accepted recipients.
                    None if s.accepted > 0 => Some((Step::Data, smtp::data())),
                    None => None,
                }
            }
            Step::Bye => return self.end(cx),
            _ if !good => None,
            Step::Greeting => Some((Step::Helo, smtp::helo(&settings.helo))),
            Step::Helo => Some((Step::From, smtp::mail_from(&settings.from))),
            Step::From => to(0),
            Step::Data => {
                let m = Message {
                    at: letter.at,
                    from: &settings.from,
                    to: &settings.to,
                    subject: &letter.subject,
                    body: &letter.body,
                };
                Some((Step::Taken, m.encode()))
            }
            Step::Taken => {
                cx.fx.note(text::mail_sent(&letter.subject));
                self.queue.pop_front();
                Some((Step::Bye, smtp::quit()))
            }
            Step::Address | Step::Connection => None,
        };
        match next {
            Some((step, bytes)) => {
                cx.fx.push(Effect::Conn(ConnFx::Write { conn: s.conn, bytes }));
                self.step(step, cx);
            }
            None => self.failed(&reply.text, reply.code >= 500, cx),
        }
    }

    fn step(&mut self, step: Step, cx: &mut Cx<'_>) {
        if let (Some(s), Some(settings)) = (&mut self.session, &self.settings) {
            s.step = step;
            s.step_by = cx.now.mono + settings.timeout;
        }
    }

    // The message was not delivered.
    fn failed(&mut self, why: &str, for_good: bool, cx: &mut Cx<'_>) {
        self.end(cx);
        let Some(letter) = self.queue.front_mut() else { return };
        letter.tries += 1;
        let again = !for_good && letter.tries < TRIES && self.settings.is_some();
        let server = self.settings.as_ref().map_or("", |s| &s.host);
        cx.fx.note(text::mail_failed(&letter.subject, server, why, again));
        if again {
            self.again = Some(cx.now.mono + AGAIN);
        } else {
            self.queue.pop_front();
        }
    }

    fn end(&mut self, cx: &mut Cx<'_>) {
        if let Some(s) = self.session.take() {
            cx.conns.close(s.conn, cx.fx);
        }
    }

    fn pump(&mut self, cx: &mut Cx<'_>) {
        if self.session.is_some() || self.again.is_some() || self.queue.is_empty() || self.frozen {
            return;
        }
        let Some(settings) = &self.settings else { return self.queue.clear() };
        let now = cx.now.mono;
        let (step, conn) = match settings.host.parse::<IpAddr>() {
            Ok(addr) => {
                let to = Peer::Tcp(SocketAddr::new(addr, settings.port));
                (Step::Connection, cx.conns.connect(For::Mail, to, cx.fx))
            }
            Err(_) => {
                let conn = cx.conns.name(For::Mail);
                cx.fx.push(Effect::Helper(HelperFx::Lookup { conn, host: settings.host.clone(), port: settings.port }));
                (Step::Address, conn)
            }
        };
        self.session = Some(Session {
            conn,
            step,
            others: VecDeque::new(),
            replies: Replies::default(),
            accepted: 0,
            step_by: now + settings.timeout,
            whole_by: now + settings.timeout * WHOLE,
        });
    }
}
