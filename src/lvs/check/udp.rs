//! UDP_CHECK: one datagram and its reply.
//!
//! Read first: `talk.rs`. No data is kept; a reply is compared in the receive buffer. A look that ends by its deadline without an ICMP
//! error is a success, unless a reply is required.

use super::talk::{Step, Words, failed};
use crate::event::Stream;
use bytes::Bytes;

pub(super) fn on(payload: &[u8], reply: Option<&[(u8, u8)]>, length: (u16, u16), event: Stream<'_>) -> Step {
    match event {
        Stream::Connected => Step::Say(Bytes::copy_from_slice(payload)),
        Stream::Data(bytes) => Step::Done(match reply {
            None => Ok(Words::Borrowed("replied")),
            // Any, of any length, as with keepalived.
            Some([]) => Ok(Words::Borrowed("replied as required")),
            Some(want) => match fits(want, length, bytes) {
                None => Ok(Words::Borrowed("replied as required")),
                Some(why) => Err(failed(why)),
            },
        }),
        Stream::End | Stream::Failed(_) | Stream::Broken(_) => Step::Wait,
    }
}

fn fits(want: &[(u8, u8)], (least, most): (u16, u16), bytes: &[u8]) -> Option<String> {
    if !(usize::from(least)..=usize::from(most)).contains(&bytes.len()) {
        return Some(format!("a reply of {} bytes, not {least} to {most}", bytes.len()));
    }
    // Of a shorter reply the common length is compared, as keepalived does: `min_reply_length` says how short it may be.
    let at = want.iter().zip(bytes).position(|((byte, mask), is)| byte & mask != is & mask)?;
    Some(format!("a reply with other content, from byte {at} on"))
}
