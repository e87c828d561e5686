//! ICMP echo (RFC 792, RFC 4443 §4.1).
//!
//! Read first: `talk.rs`. No data is kept. A raw socket receives every ICMP message from the host, so a message that is not the reply to
//! this request is ignored.

use super::talk::{Step, Words};
use crate::event::Stream;
use bytes::Bytes;

/// Data of a request; as many bytes as the whole message of keepalived.
const DATA: usize = 120;

#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Echo {
    // Identifier and sequence number.
    name: u32,
    v4: bool,
}

impl Echo {
    pub(super) fn new(name: u32, v4: bool) -> Echo {
        Echo { name, v4 }
    }

    pub(super) fn on(&mut self, event: Stream<'_>) -> Step {
        match event {
            Stream::Connected => Step::Say(self.request()),
            Stream::Data(bytes) if self.is_reply(bytes) => Step::Done(Ok(Words::Borrowed("echo reply"))),
            Stream::Data(_) | Stream::End | Stream::Failed(_) | Stream::Broken(_) => Step::Wait,
        }
    }

    fn request(&self) -> Bytes {
        let mut m = vec![if self.v4 { 8 } else { 128 }, 0, 0, 0];
        m.extend_from_slice(&self.name.to_be_bytes());
        m.extend(b"keepalived check - ".iter().cycle().take(DATA));
        // The kernel adds that of ICMPv6, which has a pseudo header.
        if self.v4 {
            let sum = checksum(&m).to_be_bytes();
            m[2..4].copy_from_slice(&sum);
        }
        Bytes::from(m)
    }

    fn is_reply(&self, bytes: &[u8]) -> bool {
        let message = match self.v4 {
            false => bytes,
            true => match bytes.first() {
                Some(first) if first >> 4 == 4 => bytes.get(usize::from(first & 15) * 4..).unwrap_or_default(),
                _ => return false,
            },
        };
        let kind = if self.v4 { 0 } else { 129 };
        matches!(message, [t, 0, _, _, rest @ ..] if *t == kind && rest.starts_with(&self.name.to_be_bytes()))
    }
}

// RFC 1071, of an even number of bytes.
fn checksum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes.chunks_exact(2).map(|p| u32::from(p[0]) << 8 | u32::from(p[1])).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    !((sum & 0xffff) + (sum >> 16)) as u16
}
