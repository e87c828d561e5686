//! One query to a name server (RFC 1035 §4.1).
//!
//! Read first: `talk.rs`. No part of a reply is kept, and nothing behind its question is read: `NOERROR` for the question is a success,
//! also without an answer. A datagram that does not repeat identifier and question is ignored.

use super::talk::{Step, Words, failed};
use crate::config::model::check::DnsType;
use crate::event::Stream;
use bytes::Bytes;

#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Query {
    id: u16,
}

impl Query {
    pub(super) fn new(id: u16) -> Query {
        Query { id }
    }

    pub(super) fn on(&mut self, name: &str, query: DnsType, event: Stream<'_>) -> Step {
        match event {
            Stream::Connected => {
                // Recursion desired, one question.
                let mut m = self.id.to_be_bytes().to_vec();
                m.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
                m.extend(question(name, query));
                Step::Say(Bytes::from(m))
            }
            Stream::Data(bytes) => self.read(&question(name, query), bytes),
            Stream::End | Stream::Failed(_) | Stream::Broken(_) => Step::Wait,
        }
    }

    fn read(&self, question: &[u8], bytes: &[u8]) -> Step {
        let [a, b, flags, code, rest @ ..] = bytes else { return Step::Wait };
        let ours = u16::from_be_bytes([*a, *b]) == self.id && flags & 0x80 != 0 && rest.len() >= 8;
        if !ours {
            return Step::Wait;
        }
        // A server that refuses to read the question need not repeat it.
        let repeated = rest.get(8..).unwrap_or_default();
        let same = repeated.len() >= question.len() && repeated[..question.len()].eq_ignore_ascii_case(question);
        match code & 15 {
            0 if same => Step::Done(Ok(Words::Borrowed("NOERROR"))),
            0 => Step::Wait,
            n => Step::Done(Err(failed(match rcode(n) {
                Some(word) => format!("DNS {word} (rcode = {n})"),
                None => format!("DNS rcode = {n}"),
            }))),
        }
    }
}

fn question(name: &str, query: DnsType) -> Vec<u8> {
    let mut q = Vec::new();
    for label in name.split('.').filter(|l| !l.is_empty() && l.len() < 64) {
        // At most 63.
        q.push(label.len() as u8);
        q.extend_from_slice(label.as_bytes());
    }
    q.extend_from_slice(&[0, 0, number(query), 0, 1]);
    q
}

fn number(query: DnsType) -> u8 {
    match query {
        DnsType::A => 1,
        DnsType::Ns => 2,
        DnsType::Cname => 5,
        DnsType::Soa => 6,
        DnsType::Mx => 15,
        DnsType::Txt => 16,
        DnsType::Aaaa => 28,
        DnsType::Rrsig => 46,
        DnsType::Dnskey => 48,
    }
}

fn rcode(n: u8) -> Option<&'static str> {
    Some(match n {
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        _ => return None,
    })
}
