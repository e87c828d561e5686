//! Bytes of files to text, and offsets back to file, line and column.
//!
//! Reading goes through [`Files`], so that this module, the tests and a simulator never touch a disk; the disk is in
//! `files.rs`. Deliberately absent: `include`, `@id`, `$NAME` and `~SEQ`, which `tree.rs` reports with their place.

use super::model::Place;
use std::sync::Arc;

/// Largest file that is read, in bytes. The largest configuration known (37,000 real servers, 455,413 lines) has
/// about 20 MB; a name that leads to an endless device must not fill the memory.
pub const MAX_BYTES: usize = 128 << 20;

/// Why a file could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    /// The errno value, where the system gave one.
    pub errno: Option<i32>,
    /// For people: "No such file or directory".
    pub reason: String,
}

/// Where the text of files comes from.
pub trait Files {
    /// The whole file. An implementation may stop after [`MAX_BYTES`] + 1 bytes.
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError>;
}

/// A piece of a file, in bytes of its decoded text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Number of the file in [`Sources`].
    pub file: u32,
    /// First byte.
    pub start: u32,
    /// One after the last byte.
    pub end: u32,
}

impl Span {
    /// From the start of this to the end of `other`.
    pub fn to(self, other: Span) -> Span {
        Span { file: self.file, start: self.start, end: other.end.max(self.start) }
    }
}

/// One file's text.
#[derive(Debug)]
pub struct Text {
    /// As the operator wrote it.
    pub name: Arc<str>,
    /// Decoded: no byte order mark, invalid UTF-8 replaced by U+FFFD.
    pub text: String,
    /// Where each line starts.
    lines: Vec<u32>,
}

impl Text {
    fn new(name: &str, text: String) -> Text {
        let mut lines = vec![0];
        lines.extend(memchr::memchr_iter(b'\n', text.as_bytes()).map(|i| i as u32 + 1));
        Text { name: name.into(), text, lines }
    }
    /// Line (from 1), where it starts, and its text without the line end.
    pub fn line_at(&self, offset: u32) -> (u32, u32, &str) {
        let n = self.lines.partition_point(|&s| s <= offset).max(1) - 1;
        let start = self.lines.get(n).copied().unwrap_or(0);
        let end = self.lines.get(n + 1).map_or(self.text.len(), |&e| e as usize);
        let line = self.text.get(start as usize..end).unwrap_or("");
        (n as u32 + 1, start, line.trim_end_matches(['\n', '\r']))
    }
}

/// Every file that was read, in order.
#[derive(Debug, Default)]
pub struct Sources {
    files: Vec<Text>,
}

impl Sources {
    /// Takes a file in; `None` when it is larger than [`MAX_BYTES`].
    pub fn add(&mut self, name: &str, bytes: Vec<u8>) -> Option<u32> {
        if bytes.len() > MAX_BYTES {
            return None;
        }
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(e) => String::from_utf8_lossy(e.as_bytes()).into_owned(),
        };
        let text = match text.strip_prefix('\u{FEFF}') {
            Some(rest) => rest.to_owned(),
            None => text,
        };
        self.files.push(Text::new(name, text));
        Some(self.files.len() as u32 - 1)
    }
    /// One file.
    pub fn file(&self, number: u32) -> Option<&Text> {
        self.files.get(number as usize)
    }
    /// The text under a span; empty for a span that is not from here.
    pub fn slice(&self, span: Span) -> &str {
        self.file(span.file).and_then(|f| f.text.get(span.start as usize..span.end as usize)).unwrap_or("")
    }
    /// For messages.
    pub fn place(&self, span: Span) -> Place {
        let Some(file) = self.file(span.file) else { return Place::default() };
        let (line, start, text) = file.line_at(span.start);
        let before = text.get(..(span.start - start) as usize).unwrap_or(text);
        Place { file: file.name.clone(), line, column: before.chars().count() as u32 + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_become_lines_and_columns() {
        let mut s = Sources::default();
        s.add("a", b"\xEF\xBB\xBFab\r\n\xC3\xA9x\n\n".to_vec());
        let at = |start| s.place(Span { file: 0, start, end: start }).to_string();
        assert_eq!([at(0), at(1), at(4), at(6), at(8), at(99)], ["a:1:1", "a:1:2", "a:2:1", "a:2:2", "a:3:1", "a:4:1"]);
        assert_eq!(s.place(Span { file: 7, start: 0, end: 0 }), Place::default());
    }
    #[test]
    fn bytes_that_are_not_utf8_are_replaced() {
        let mut s = Sources::default();
        s.add("a", b"# \xB1\xB8\nx".to_vec());
        assert_eq!(s.file(0).unwrap().text, "# \u{FFFD}\u{FFFD}\nx");
    }
}
