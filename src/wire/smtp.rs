//! SMTP (RFC 5321) as far as a notification needs it: replies read from hostile bytes, commands and a message made so that
//! nothing in them can end a line.
//!
//! Deliberately absent: TLS, authentication, extensions, MIME.

use crate::time::Wall;
use bytes::Bytes;
use std::time::{Duration, UNIX_EPOCH};

/// Longest line of a reply, with its end (RFC 5321 §4.5.3.1.5).
pub const LINE: usize = 512;
/// Most lines of one reply; no server says that much in good faith.
pub const LINES: usize = 100;
/// Longest header field and body line (RFC 5322 §2.1.1), without its end.
const TEXT: usize = 998;

/// A whole reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Reply code, 200..=599.
    pub code: u16,
    /// Its last line, for people: printable, at most [`LINE`] bytes.
    pub text: String,
}

/// Why bytes are no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// A line without an end within [`LINE`].
    LongLine,
    /// A reply of more than [`LINES`] lines.
    ManyLines,
    /// No `<digit><digit><digit>` and space or hyphen; or another code within one reply.
    NoReply,
}

impl Bad {
    /// The error as text for the log.
    pub fn why(self) -> &'static str {
        match self {
            Bad::LongLine => "a line of its reply is longer than 512 bytes",
            Bad::ManyLines => "its reply has more than 100 lines",
            Bad::NoReply => "it does not speak SMTP",
        }
    }
}

/// Replies out of a stream, cut anywhere. Holds at most one line.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Replies {
    partial: Vec<u8>,
    lines: usize,
    code: Option<u16>,
}

impl Replies {
    /// Reads on; takes what it read from `bytes`. `None`: the reply is not whole yet, and `bytes` is empty.
    pub fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Reply>, Bad> {
        while !bytes.is_empty() {
            let end = memchr::memchr(b'\n', bytes);
            let (now, rest) = bytes.split_at(end.map_or(bytes.len(), |i| i + 1));
            if self.partial.len() + now.len() > LINE {
                return Err(Bad::LongLine);
            }
            self.partial.extend_from_slice(now);
            *bytes = rest;
            if end.is_none() {
                return Ok(None);
            }
            let line = core::mem::take(&mut self.partial);
            if let Some(reply) = self.line(&line)? {
                return Ok(Some(reply));
            }
        }
        Ok(None)
    }

    fn line(&mut self, line: &[u8]) -> Result<Option<Reply>, Bad> {
        let line = line.trim_ascii_end();
        self.lines += 1;
        if self.lines > LINES {
            return Err(Bad::ManyLines);
        }
        let (code, rest) = line.split_at_checked(3).ok_or(Bad::NoReply)?;
        let number = code.iter().try_fold(0u16, |n, d| d.is_ascii_digit().then(|| n * 10 + u16::from(d - b'0')));
        let code = number.filter(|n| (200..600).contains(n)).ok_or(Bad::NoReply)?;
        if self.code.is_some_and(|first| first != code) {
            return Err(Bad::NoReply);
        }
        match rest.first() {
            Some(b'-') => {
                self.code = Some(code);
                Ok(None)
            }
            Some(b' ') | None => {
                *self = Replies::default();
                Ok(Some(Reply { code, text: printable(line) }))
            }
            Some(_) => Err(Bad::NoReply),
        }
    }
}

fn printable(line: &[u8]) -> String {
    line.iter().map(|b| if (32..127).contains(b) { char::from(*b) } else { '?' }).collect()
}

/// The command `HELO` with this name.
pub fn helo(name: &str) -> Bytes {
    command("HELO ", name, "")
}
/// `MAIL FROM`; with or without brackets in `address`.
pub fn mail_from(address: &str) -> Bytes {
    command("MAIL FROM:<", address, ">")
}
/// The command `RCPT TO` with this recipient.
pub fn rcpt_to(address: &str) -> Bytes {
    command("RCPT TO:<", address, ">")
}
/// The command `DATA`.
pub fn data() -> Bytes {
    Bytes::from_static(b"DATA\r\n")
}
/// The command `QUIT`.
pub fn quit() -> Bytes {
    Bytes::from_static(b"QUIT\r\n")
}

// An argument is one word: nothing in it can end the line, the word or the brackets around it.
fn command(verb: &str, word: &str, end: &str) -> Bytes {
    let room = LINE - 2 - verb.len() - end.len();
    let mut safe = String::new();
    for c in mailbox(word).chars().filter(|c| !c.is_control() && !c.is_whitespace() && !matches!(c, '<' | '>')) {
        if safe.len() + c.len_utf8() > room {
            break;
        }
        safe.push(c);
    }
    Bytes::from(format!("{verb}{safe}{end}\r\n"))
}

// `Name <a@b>` is what people write into From and To; the envelope has the mailbox alone.
fn mailbox(word: &str) -> &str {
    match (word.rfind('<'), word.rfind('>')) {
        (Some(open), Some(close)) if open < close => &word[open + 1..close],
        _ => word,
    }
}

/// The header fields and the text of a mail.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Header field `Date`, in UTC.
    pub at: Wall,
    /// Header field `From`.
    pub from: &'a str,
    /// Header field `To`: the recipients.
    pub to: &'a [Box<str>],
    /// Header field `Subject`.
    pub subject: &'a str,
    /// Text, lines ended by `\n`.
    pub body: &'a str,
}

impl Message<'_> {
    /// Header, body and the final dot: what follows 354.
    pub fn encode(&self) -> Bytes {
        let mut out = String::new();
        header(&mut out, "Date", &date(self.at));
        header(&mut out, "From", self.from);
        header(&mut out, "Subject", self.subject);
        header(&mut out, "X-Mailer", "Keepalived");
        for (n, to) in self.to.iter().enumerate() {
            // One recipient on each line, folded: any number of them fits.
            let comma = if n + 1 < self.to.len() { "," } else { "" };
            let begin = if n == 0 { "To: " } else { " " };
            out += begin;
            text(&mut out, to, TEXT - begin.len() - comma.len());
            out += comma;
            out += "\r\n";
        }
        out += "\r\n";
        for line in self.body.lines() {
            if line.starts_with('.') {
                out.push('.');
            }
            text(&mut out, line, TEXT - 1);
            out += "\r\n";
        }
        out += ".\r\n";
        Bytes::from(out)
    }
}

fn header(out: &mut String, name: &str, value: &str) {
    out.push_str(name);
    out.push_str(": ");
    text(out, value, TEXT - name.len() - 2);
    out.push_str("\r\n");
}

// What has no place on a line is a space.
fn text(out: &mut String, value: &str, room: usize) {
    let end = out.len() + room;
    for c in value.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if out.len() + c.len_utf8() > end {
            break;
        }
        out.push(c);
    }
}

/// `Thu, 01 Jan 1970 00:00:00 +0000` (RFC 5322 §3.3).
pub fn date(at: Wall) -> String {
    let secs = at.0 / 1_000_000_000;
    // Day 0 was a Thursday.
    let weekday = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][(secs / 86_400 % 7) as usize];
    // 1970-01-01T00:00:00Z: nanoseconds in 64 bits end in the year 2554.
    let text = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(secs)).to_string();
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or("");
    let names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = part(5, 7).parse::<usize>().ok().and_then(|n| names.get(n - 1)).unwrap_or(&"Jan");
    format!("{weekday}, {} {month} {} {} +0000", part(8, 10), part(0, 4), part(11, 19))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(parts: &[&[u8]]) -> Result<Vec<Reply>, Bad> {
        let (mut replies, mut found) = (Replies::default(), Vec::new());
        for part in parts {
            let mut bytes = *part;
            while let Some(r) = replies.next(&mut bytes)? {
                found.push(r);
            }
            assert!(bytes.is_empty());
        }
        Ok(found)
    }

    #[test]
    fn replies_in_any_pieces() {
        let text = b"220-mx.example\r\n220 ready\x07\r\n250 ok\n354\r\n";
        let want = [(220, "220 ready?"), (250, "250 ok"), (354, "354")];
        let want: Vec<Reply> = want.map(|(code, text)| Reply { code, text: text.into() }).into();
        assert_eq!(all(&[text]).as_ref(), Ok(&want));
        let single: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(all(&single).as_ref(), Ok(&want));
        for cut in 0..text.len() {
            let (a, b) = text.split_at(cut);
            assert_eq!(all(&[a, b]).as_ref(), Ok(&want), "{cut}");
        }
    }

    #[test]
    fn what_is_no_reply() {
        assert_eq!(all(&[&[b'2'; LINE + 1]]), Err(Bad::LongLine));
        let exact = [b"220 ".as_slice(), &[b'x'; LINE - 6], b"\r\n"].concat();
        assert_eq!(all(&[&exact]).map(|r| r.len()), Ok(1));
        assert_eq!(all(&[b"220-x\r\n".repeat(LINES).as_slice(), b"220 end\r\n"]), Err(Bad::ManyLines));
        assert_eq!(all(&[b"220-x\r\n".repeat(LINES - 1).as_slice(), b"220 end\r\n"]).map(|r| r.len()), Ok(1));
        for bad in
            [b"hello\r\n".as_slice(), b"\r\n", b"22\r\n", b"199 x\r\n", b"220x\r\n", b"220-a\r\n250 b\r\n", b"600 x\n"]
        {
            assert_eq!(all(&[bad]), Err(Bad::NoReply), "{bad:?}");
        }
    }

    #[test]
    fn nothing_ends_a_command_before_its_end() {
        assert_eq!(rcpt_to("a@b\r\nDATA\r\n>x<").as_ref(), b"RCPT TO:<a@bDATAx>\r\n");
        assert_eq!(mail_from("The Cluster <root@n1>").as_ref(), b"MAIL FROM:<root@n1>\r\n");
        assert_eq!(helo("n1\nQUIT").as_ref(), b"HELO n1QUIT\r\n");
        assert_eq!(helo(&"x".repeat(9999)).len(), LINE);
    }

    #[test]
    fn a_message() {
        let m = Message {
            at: Wall(1_700_000_000_000_000_000),
            from: "Cluster <root@n1>",
            to: &["a@x".into(), "b@x\r\nBcc: c@x".into()],
            subject: "[n1] VRRP Instance VI\r\n\r\n.\r\n - Stopping",
            body: "..\n.\nlast",
        };
        assert_eq!(
            core::str::from_utf8(&m.encode()),
            Ok("Date: Tue, 14 Nov 2023 22:13:20 +0000\r\nFrom: Cluster <root@n1>\r\n\
                Subject: [n1] VRRP Instance VI    .   - Stopping\r\nX-Mailer: Keepalived\r\n\
                To: a@x,\r\n b@x  Bcc: c@x\r\n\r\n...\r\n..\r\nlast\r\n.\r\n")
        );
        let long = "é".repeat(2000);
        let bytes = Message { subject: &long, body: &long, ..m }.encode();
        assert!(bytes.split(|b| *b == b'\n').all(|l| l.len() <= TEXT + 1));
    }

    #[test]
    fn dates() {
        let at = |secs: u64| date(Wall(secs * 1_000_000_000));
        assert_eq!(at(0), "Thu, 01 Jan 1970 00:00:00 +0000");
        assert_eq!(at(951_782_399), "Mon, 28 Feb 2000 23:59:59 +0000");
        assert_eq!(at(951_782_400), "Tue, 29 Feb 2000 00:00:00 +0000");
        assert_eq!(at(1_709_251_199), "Thu, 29 Feb 2024 23:59:59 +0000");
        assert_eq!(at(4_107_542_400), "Mon, 01 Mar 2100 00:00:00 +0000");
    }
}
