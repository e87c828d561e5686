//! One `track_file`: a number in a file that changes priorities.
//!
//! Read first: `mod.rs`. The value is kept as it is; each virtual router multiplies it with its own weight.

use super::{Cx, text};
use crate::config::model::vrrp::TrackFile;
use crate::event::Errno;
use crate::id::{TrackKey, WatchKey};
use crate::watch::For;

/// A tracked file: the watch of the helper, and the number that was read last.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct File {
    key: TrackKey,
    cfg: TrackFile,
    watch: Option<WatchKey>,
    value: Option<i32>,
    // The error of the last log line: the same error is reported once.
    trouble: Option<Errno>,
    wordy: bool,
}

impl File {
    /// A tracker that watches nothing yet.
    pub fn new(key: TrackKey, cfg: TrackFile) -> File {
        File { key, cfg, watch: None, value: None, trouble: None, wordy: false }
    }
    /// The `track_file` as configured.
    pub fn cfg(&self) -> &TrackFile {
        &self.cfg
    }
    /// Its number; `None`: not read yet.
    pub fn value(&self) -> Option<i32> {
        self.value
    }
    /// Takes over the number that an earlier process had read.
    pub fn resume(&mut self, value: i32) {
        self.value = Some(value);
    }
    /// Other weight or first content: what is known stays.
    pub fn alter(&mut self, cfg: TrackFile) {
        self.cfg = cfg;
    }

    /// Begins to watch the file. Without a path there is none, and the number is 0. True: the verdict changed.
    pub fn start(&mut self, cx: &mut Cx<'_>) -> bool {
        match self.cfg.file.as_deref() {
            Some(path) => {
                self.watch = Some(cx.watches.file(For::Track(self.key), path.to_owned(), cx.fx));
                false
            }
            None => self.value.replace(0) != Some(0),
        }
    }

    /// Its content was read. True: the verdict changed.
    pub fn on_read(&mut self, result: Result<&[u8], Errno>, cx: &mut Cx<'_>) -> bool {
        let trouble = result.err().filter(|e| *e != Errno::ENOENT);
        if core::mem::replace(&mut self.trouble, trouble) != trouble
            && let Some(e) = trouble
        {
            cx.fx.note(text::file_unreadable(&self.cfg.name, e));
        }
        let wordy = wordy(result.unwrap_or_default());
        if !core::mem::replace(&mut self.wordy, wordy) && wordy {
            cx.fx.note(text::file_wordy(&self.cfg.name));
        }
        let value = match parse(result.unwrap_or_default()) {
            Ok(value) => value,
            Err(shown) => {
                let stays = self.value.unwrap_or(0);
                cx.fx.note(text::file_invalid(&self.cfg.name, &shown, stays));
                stays
            }
        };
        let old = self.value.replace(value);
        if old == Some(value) {
            return false;
        }
        cx.fx.note(text::file_value(&self.cfg.name, value));
        true
    }

    /// Nobody wants it any more.
    pub fn retire(&mut self, cx: &mut Cx<'_>) {
        if let Some(watch) = self.watch.take() {
            cx.watches.stop(watch, cx.fx);
        }
    }
}

/// A number as strtol with base 0 reads it (keepalived's way): blanks, a sign, then digits, `0x` hexadecimal, `0` octal; what
/// follows is not looked at, and no digit at all is 0. `Err`: does not fit an i32; as far as it was read.
pub(crate) fn parse(bytes: &[u8]) -> Result<i32, String> {
    let blank = |b: &u8| matches!(b, b' ' | b'\t'..=b'\r');
    let rest = &bytes[bytes.iter().take_while(|b| blank(b)).count()..];
    let (negative, rest) = match rest {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, rest),
    };
    let (base, digits) = match rest {
        [b'0', b'x' | b'X', d, ..] if d.is_ascii_hexdigit() => (16, &rest[2..]),
        [b'0', ..] => (8, rest),
        _ => (10, rest),
    };
    let mut n = 0i64;
    let mut shown = String::from(if negative { "-" } else { "" });
    for digit in digits.iter().map_while(|b| char::from(*b).to_digit(base)) {
        n = n.saturating_mul(i64::from(base)).saturating_add(i64::from(digit));
        shown.extend(char::from_digit(digit, base));
    }
    i32::try_from(if negative { -n } else { n }).map_err(|_| shown)
}

/// Whether there is text, and it does not begin with a number.
fn wordy(bytes: &[u8]) -> bool {
    let text = bytes.trim_ascii();
    let number = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
    !text.is_empty() && !number.first().is_some_and(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::{parse, wordy};

    #[test]
    fn words_are_no_number() {
        for bytes in [&b"abc"[..], b"-", b"\xff1", b" up\n", b"--1"] {
            assert!(wordy(bytes), "{:?}", String::from_utf8_lossy(bytes));
        }
        for bytes in [&b""[..], b" \n", b"0", b"-3\n", b"+7 seconds"] {
            assert!(!wordy(bytes), "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn numbers_are_read_as_strtol_does() {
        let ok: [(&[u8], i32); 14] = [
            (b"", 0),
            (b"\n", 0),
            (b"abc", 0),
            (b"7", 7),
            (b" \t-254\n", -254),
            (b"+3 seconds", 3),
            (b"0x1F", 31),
            (b"0x", 0),
            (b"010", 8),
            (b"09", 0),
            (b"2147483647", i32::MAX),
            (b"-2147483648", i32::MIN),
            (b"--1", 0),
            (b"\xff\xfe1", 0),
        ];
        for (bytes, want) in ok {
            assert_eq!(parse(bytes), Ok(want), "{:?}", String::from_utf8_lossy(bytes));
        }
        assert_eq!(parse(b"2147483648"), Err("2147483648".into()));
        assert_eq!(parse(b"-99999999999999999999999999999"), Err("-99999999999999999999999999999".into()));
    }
}
