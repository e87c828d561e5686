//! Bytes of files to text, and offsets back to file, line and column, through every `include` and `$NAME`.
//!
//! Reading goes through [`Files`], so that this module, the tests and a simulator never touch a disk; the disk is in
//! `files.rs`. Text that stands in no file (a line after `$NAME` was replaced) is kept in a text of its own, with the
//! place each part of it comes from. Deliberately absent: what makes such text, see `input`.

use super::model::Place;
use super::rtnames::RtNames;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Largest file that is read, in bytes. The largest configuration known (37,000 real servers, 455,413 lines) has
/// about 20 MB; a name that leads to an endless device must not fill the memory.
pub const MAX_BYTES: usize = 128 << 20;

/// Most places told for one message ("included from", "defined here"): nested includes are bounded below this.
const MAX_CHAIN: usize = 24;

/// Why a file could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    /// The errno value, where the system gave one.
    pub errno: Option<i32>,
    /// For people: "No such file or directory".
    pub reason: String,
}

/// What a name leads to, symbolic links followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File {
        /// Whether anybody may execute it.
        executable: bool,
    },
    /// A directory, which cannot be read as a file.
    Directory,
    /// A device, a socket, a pipe.
    Other,
}

/// Where the text of files comes from.
pub trait Files {
    /// The whole file. An implementation may stop after [`MAX_BYTES`] + 1 bytes.
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError>;
    /// Whether the first bytes of the file are these.
    fn begins_with(&self, path: &str, bytes: &[u8]) -> Result<bool, FileError> {
        self.read(path).map(|b| b.starts_with(bytes))
    }
    /// What the name leads to.
    fn kind(&self, path: &str) -> Result<Kind, FileError> {
        self.read(path).map(|_| Kind::File { executable: false })
    }
    /// Names in a directory, without `.` and `..`, in any order. The directory "" is the working directory.
    fn list(&self, directory: &str) -> Result<Vec<String>, FileError> {
        Err(FileError { errno: Some(20), reason: format!("{directory} is not a directory") })
    }
    /// Whether others than its owner may read it.
    fn others_may_read(&self, _path: &str) -> bool {
        false
    }
    /// The working directory.
    fn working_directory(&self) -> String {
        ".".to_owned()
    }
}

/// A piece of a file, in bytes of its decoded text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Number of the file in [`Sources`].
    pub file: u32,
    /// Offset of the first byte.
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

/// One file's text, or text that came out of replacing.
#[derive(Debug)]
pub struct Text {
    /// As the operator wrote it.
    pub name: Arc<str>,
    /// Decoded: no byte order mark, invalid UTF-8 replaced by U+FFFD.
    pub text: String,
    /// Where each line starts. Not kept for text that came out of replacing.
    lines: Vec<u32>,
    /// The `include` that led here.
    included: Option<Span>,
}

impl Text {
    fn new(name: &str, text: String, included: Option<Span>) -> Text {
        let mut lines = vec![0];
        lines.extend(memchr::memchr_iter(b'\n', text.as_bytes()).map(|i| i as u32 + 1));
        Text { name: name.into(), text, lines, included }
    }
    /// Where a line starts, from 1; 0 where there is none of that number.
    pub fn line_start(&self, line: u32) -> u32 {
        (line as usize).checked_sub(1).and_then(|n| self.lines.get(n)).copied().unwrap_or(0)
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

/// A part of a line that came out of replacing, up to the next part.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// Where it starts, in bytes.
    pub at: u32,
    /// Where it comes from: the text itself, or the `$NAME` it replaced.
    pub origin: Span,
    /// Byte n of it is byte n of `origin`.
    pub same: bool,
    /// Number of a [`Link`], from 1; 0: none.
    pub link: u32,
}

/// A place that had a part in a piece of text: the definition of a name.
#[derive(Debug)]
pub struct Link {
    /// Position of the definition.
    pub span: Span,
    /// What: "`$VIP` is defined here".
    pub text: String,
    /// Number of the link it was found through; 0: none.
    pub parent: u32,
    /// How many links are above it.
    pub depth: u32,
}

/// Every text, in the order of reading.
#[derive(Debug, Default)]
pub struct Sources {
    files: Vec<Text>,
    /// Number of the text that came out of replacing.
    replaced: Option<u32>,
    pieces: Vec<Piece>,
    links: Vec<Link>,
    /// Places of passwords and keys, and of definitions that were used as one: never shown. File and start, to the end; no two overlap.
    secrets: BTreeMap<(u32, u32), u32>,
    /// Names of the system for numbers of routes.
    pub rt_names: RtNames,
}

impl Sources {
    /// Takes a file in; `None` when it is larger than [`MAX_BYTES`].
    pub fn add(&mut self, name: &str, bytes: Vec<u8>) -> Option<u32> {
        self.add_included(name, bytes, None)
    }
    /// Takes a file in that an `include` named.
    pub fn add_included(&mut self, name: &str, bytes: Vec<u8>, from: Option<Span>) -> Option<u32> {
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
        self.files.push(Text::new(name, text, from));
        Some(self.files.len() as u32 - 1)
    }
    /// Takes in a line that came out of replacing; a line end is added. `pieces` start at 0 and count from its start.
    pub fn add_line(&mut self, line: &str, pieces: &[Piece]) -> Span {
        let file = *self.replaced.get_or_insert_with(|| {
            self.files.push(Text { name: "".into(), text: String::new(), lines: Vec::new(), included: None });
            self.files.len() as u32 - 1
        });
        let Some(text) = self.files.get_mut(file as usize) else { return Span::default() };
        let start = text.text.len() as u32;
        text.text.push_str(line);
        text.text.push('\n');
        self.pieces.extend(pieces.iter().map(|p| Piece { at: start + p.at, ..*p }));
        Span { file, start, end: start + line.len() as u32 }
    }
    /// Bytes of text that came out of replacing.
    pub fn replaced_bytes(&self) -> usize {
        self.replaced.and_then(|n| self.file(n)).map_or(0, |t| t.text.len())
    }
    /// Takes a link in and gives its number.
    pub fn add_link(&mut self, span: Span, text: String, parent: u32) -> u32 {
        let depth = self.link(parent).map_or(0, |l| l.depth + 1);
        self.links.push(Link { span, text, parent, depth });
        self.links.len() as u32
    }
    /// One link, by its number from 1.
    pub fn link(&self, number: u32) -> Option<&Link> {
        self.links.get((number as usize).checked_sub(1)?)
    }
    /// Text that is a password, or a part of one.
    pub fn add_secret(&mut self, span: Span) {
        let Span { file, mut start, mut end } = span;
        loop {
            let known = self.secrets_in(Span { file, start, end }).next();
            let Some(known) = known else { break };
            self.secrets.remove(&(file, known.start));
            (start, end) = (start.min(known.start), end.max(known.end));
        }
        if start < end {
            self.secrets.insert((file, start), end);
        }
    }
    /// A word that is a password, and what it was made of: definitions, and the text of a repetition.
    pub fn add_secret_word(&mut self, span: Span) {
        let mut todo = vec![span];
        while let Some(span) = todo.pop() {
            let known = self.secrets_in(span).any(|s| s.start <= span.start && s.end >= span.end);
            self.add_secret(span);
            if known || !self.is_replaced(span) {
                continue;
            }
            let from = self.pieces.partition_point(|p| p.at <= span.start).saturating_sub(1);
            for (i, piece) in self.pieces.iter().enumerate().skip(from).take_while(|(_, p)| p.at < span.end) {
                let end = self.pieces.get(i + 1).map_or(span.end, |p| p.at.min(span.end));
                let at = |n: u32| (piece.origin.start + n.saturating_sub(piece.at)).min(piece.origin.end);
                todo.push(if piece.same {
                    Span { start: at(span.start), end: at(end), ..piece.origin }
                } else {
                    piece.origin
                });
                let mut link = self.link(piece.link);
                while let Some(l) = link {
                    // The rest of the line of a definition is its value.
                    let line = self.line_of(l.span);
                    if let Some(sign) = self.slice(line).find('=') {
                        todo.push(Span { start: line.start + sign as u32 + 1, ..line });
                    }
                    link = self.link(l.parent);
                }
            }
        }
    }
    /// The secrets that overlap a span.
    pub fn secrets_in(&self, span: Span) -> impl Iterator<Item = Span> {
        let file = span.file;
        let all = self.secrets.range((file, 0)..(file, span.end)).rev();
        all.map(move |(&(file, start), &end)| Span { file, start, end }).take_while(move |s| s.end > span.start)
    }
    /// Whether a byte is of such a value.
    pub fn is_secret(&self, file: u32, at: u32) -> bool {
        self.secrets_in(Span { file, start: at, end: at + 1 }).next().is_some()
    }
    /// Whether the text stands in no file.
    pub fn is_replaced(&self, span: Span) -> bool {
        self.replaced == Some(span.file)
    }
    fn piece(&self, span: Span) -> Option<&Piece> {
        let after = self.pieces.partition_point(|p| p.at <= span.start);
        self.pieces.get(after.checked_sub(1)?)
    }
    /// One step towards the file.
    fn step(&self, span: Span) -> Option<(Span, u32)> {
        if !self.is_replaced(span) {
            return None;
        }
        let piece = self.piece(span)?;
        let origin = match piece.same {
            true => {
                let start = (piece.origin.start + (span.start - piece.at)).min(piece.origin.end);
                let end = (start + (span.end - span.start)).clamp(start, piece.origin.end.max(start));
                Span { start, end, ..piece.origin }
            }
            false => piece.origin,
        };
        Some((origin, piece.link))
    }
    /// Where in a file the text of a span comes from: the text itself, or the `$NAME` that was replaced by it.
    pub fn origin(&self, span: Span) -> Span {
        let mut at = span;
        // A line is made of earlier text only: this ends.
        while let Some((next, _)) = self.step(at) {
            at = next;
        }
        at
    }
    /// The places that led to a span, nearest first: definitions, then includes.
    pub fn chain(&self, span: Span) -> Vec<(Span, String)> {
        let mut out: Vec<(Span, String)> = Vec::new();
        let mut todo = vec![span];
        let mut includes = None;
        while let Some(mut at) = todo.pop() {
            while let Some((next, link)) = self.step(at) {
                let mut link = self.link(link);
                while let Some(l) = link {
                    if out.len() >= MAX_CHAIN {
                        return out;
                    }
                    let place = self.origin(l.span);
                    if !out.iter().any(|(s, _)| *s == place) {
                        out.push((place, l.text.clone()));
                        todo.push(l.span);
                    }
                    link = self.link(l.parent);
                }
                at = next;
            }
            includes = includes.or(Some(at.file));
        }
        let mut file = includes.unwrap_or(span.file);
        while let Some(from) = self.file(file).and_then(|f| f.included) {
            if out.len() >= MAX_CHAIN {
                break;
            }
            let from = self.origin(from);
            out.push((from, "included from here".to_owned()));
            file = from.file;
        }
        out
    }
    /// Sorts spans in the order in which a reader of the files, going into each include, meets them.
    pub fn order(&self, span: Span) -> Vec<u32> {
        let mut at = self.origin(span);
        // Among several from one place: those of a later repetition later.
        let mut out = vec![if self.is_replaced(span) { span.start } else { 0 }, at.start];
        while let Some(from) = self.file(at.file).and_then(|f| f.included) {
            at = self.origin(from);
            out.push(at.start);
        }
        out.push(at.file);
        out.reverse();
        out
    }
    /// The whole line around the start of a span, without its line end.
    pub fn line_of(&self, span: Span) -> Span {
        let Some(file) = self.file(span.file) else { return span };
        let bytes = file.text.as_bytes();
        let at = (span.start as usize).min(bytes.len());
        let start = memchr::memrchr(b'\n', &bytes[..at]).map_or(0, |i| i + 1);
        let end = memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |i| at + i);
        Span { file: span.file, start: start as u32, end: end as u32 }
    }
    /// The text with this number; `None`: there is none.
    pub fn file(&self, number: u32) -> Option<&Text> {
        self.files.get(number as usize)
    }
    /// The text under a span; empty for a span that is not from here.
    pub fn slice(&self, span: Span) -> &str {
        self.file(span.file).and_then(|f| f.text.get(span.start as usize..span.end as usize)).unwrap_or("")
    }
    /// For messages: where in a file.
    pub fn place(&self, span: Span) -> Place {
        let span = self.origin(span);
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
