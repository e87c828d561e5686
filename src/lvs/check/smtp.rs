//! The dialogue with a mail server: greeting, HELO, QUIT (RFC 5321 §3.1, §4.1.1.1, §4.1.1.10).
//!
//! Read first: `talk.rs`, `wire/smtp.rs`, which keeps at most one line of 512 bytes and accepts at most 100 lines of one reply.

use super::talk::{Step, Words, failed};
use crate::event::Stream;
use crate::wire::smtp::{self, Replies};

#[derive(Debug, Default, PartialEq, Eq, Clone, Copy, serde::Serialize, serde::Deserialize)]
enum Phase {
    #[default]
    Connection,
    Greeting,
    Helo,
    Quit,
}

#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Dialogue {
    phase: Phase,
    replies: Replies,
}

impl Dialogue {
    pub(super) fn on(&mut self, helo: &str, event: Stream<'_>) -> Step {
        match event {
            Stream::Connected => {
                self.phase = Phase::Greeting;
                Step::Wait
            }
            Stream::Data(bytes) => self.read(helo, bytes),
            Stream::End if self.phase == Phase::Quit => Step::Done(Ok(Words::Borrowed("SMTP 250"))),
            Stream::End => Step::Done(Err(failed(format!("closed, {}", self.missing())))),
            Stream::Failed(_) | Stream::Broken(_) => Step::Wait,
        }
    }

    /// The server has answered all commands; the way in which it closes is not part of the result.
    pub(super) fn is_leaving(&self) -> bool {
        self.phase == Phase::Quit
    }

    /// What had not arrived when the time was over, as text.
    pub(super) fn missing(&self) -> &'static str {
        match self.phase {
            Phase::Connection => "no connection",
            Phase::Greeting => "no greeting",
            Phase::Helo => "no reply to HELO",
            Phase::Quit => "no reply to QUIT",
        }
    }

    fn read(&mut self, helo: &str, mut bytes: &[u8]) -> Step {
        let reply = match self.replies.next(&mut bytes) {
            Ok(Some(reply)) => reply,
            Ok(None) => return Step::Wait,
            Err(bad) => return Step::Done(Err(failed(bad.why()))),
        };
        // A server that sends an answer before the command does not speak SMTP.
        let early = !bytes.is_empty() && self.phase != Phase::Quit;
        match (self.phase, reply.code) {
            (Phase::Greeting | Phase::Helo, _) if early => {
                Step::Done(Err(failed("it answers before it is asked: it does not speak SMTP")))
            }
            (Phase::Greeting, 220) => {
                self.phase = Phase::Helo;
                Step::Say(smtp::helo(helo))
            }
            (Phase::Helo, 250) => {
                self.phase = Phase::Quit;
                Step::Say(smtp::quit())
            }
            (Phase::Quit, _) => Step::Done(Ok(Words::Borrowed("SMTP 250"))),
            (Phase::Connection, _) => Step::Wait,
            (Phase::Greeting, _) => Step::Done(Err(failed(format!("greeting: {}", reply.text)))),
            (Phase::Helo, _) => Step::Done(Err(failed(format!("reply to HELO: {}", reply.text)))),
        }
    }
}
