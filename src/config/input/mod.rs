//! What works on text before keywords are read: `include`, `@id`, `$NAME`, `~SEQ` and `~LST`.
//!
//! Most lines of most files hold none of these: they are found by searching whole files for the characters that start
//! them, and everything between is passed on as it stands, as pieces of the files ([`Input::chunks`]). What is left is
//! done line by line, with a stack instead of recursion. Every loop is bounded by [`Limits`].
//!
//! Read first: `source.rs`. Read next: `expand.rs` (names), `repeat.rs` (`~SEQ`, `~LST`), `include.rs`.

mod expand;
mod include;
mod repeat;

use super::diag::Diags;
use super::kind::{self, Message};
use super::lex::{self, Token};
use super::source::{Files, Sources, Span};
use expand::{Def, Outcome};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Conditions, repetitions and rounds of replacing in one line. People need three; each costs a look at the whole line.
const MAX_ROUNDS: usize = 100;

/// How much is taken in.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Files inside files. Nobody nests deeper than three; a cycle through symbolic links ends here.
    pub depth: usize,
    /// Files of one configuration, each inclusion counted.
    pub files: usize,
    /// Bytes of all files together.
    pub bytes: usize,
    /// Lines made by `~SEQ`, `~LST` and multi-line definitions. keepalived.conf(5) has an example that makes 1,040,384.
    pub lines: usize,
    /// Bytes of lines in which a name was replaced.
    pub replaced: usize,
    /// Replacements of names, in all.
    pub names: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { depth: 16, files: 20_000, bytes: 512 << 20, lines: 2_000_000, replaced: 256 << 20, names: 16_000_000 }
    }
}

/// What the text depends on besides the files.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// What `@id` is compared with: `--config-id`, else the node name up to its first dot.
    pub config_id: &'a str,
    /// Every `include` must find what it names, as after `include_check`.
    pub strict_include: bool,
    /// Environment variables, for `${_ENV NAME}`.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// For `${_RANDOM}`.
    pub seed: u64,
    /// How much is taken in.
    pub limits: Limits,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Options { config_id: "", strict_include: false, env: &|_| None, seed: 0, limits: Limits::default() }
    }
}

/// The text to read keywords from.
#[derive(Debug, Default)]
pub struct Input {
    /// In order. A line never goes on in the next one.
    pub chunks: Vec<Span>,
    /// A line was there that works on text: a file of such lines only is not empty.
    pub worked: bool,
}

/// Reads the files that `path` names, and what they include. `None`: there is nothing, and it has been told.
pub fn read(
    files: &dyn Files,
    path: &str,
    options: &Options<'_>,
    src: &mut Sources,
    diags: &mut Diags,
) -> Option<Input> {
    let mut reader = Reader {
        files,
        options,
        src,
        diags,
        input: Input::default(),
        stack: Vec::new(),
        defs: BTreeMap::new(),
        links: BTreeMap::new(),
        checks: 0,
        random: options.seed,
        count_files: 0,
        count_bytes: 0,
        count_lines: 0,
        count_names: 0,
        exhausted: false,
    };
    if !reader.start(path) {
        return None;
    }
    while let Some(frame) = reader.stack.pop() {
        reader.turn(frame);
    }
    Some(reader.input)
}

/// Where the next line comes from.
enum Frame {
    File(Reading),
    /// The rest of a line, whether it stands in a file, and how many rounds the line took so far.
    Line(Span, bool, usize),
    /// Files of an `include`, or of a main path with wildcards.
    Paths {
        paths: std::vec::IntoIter<String>,
        from: Option<Span>,
        must: bool,
    },
    /// A multi-line definition in use.
    Body {
        lines: Rc<[Span]>,
        next: usize,
        link: u32,
    },
    Repeat(repeat::Repeat),
}

struct Reading {
    file: u32,
    name: String,
    at: u32,
    /// The next `@`, `$` or `~`, and the next "include", at or after `at`.
    sign: Option<u32>,
    word: Option<u32>,
    /// `include_check` as it was outside.
    checks: u8,
}

struct Reader<'a> {
    files: &'a dyn Files,
    options: &'a Options<'a>,
    src: &'a mut Sources,
    diags: &'a mut Diags,
    input: Input,
    stack: Vec<Frame>,
    defs: BTreeMap<String, Def>,
    links: BTreeMap<(Span, u32), u32>,
    /// What an `include` must find.
    checks: u8,
    random: u64,
    count_files: usize,
    count_bytes: usize,
    count_lines: usize,
    count_names: usize,
    /// A limit was hit, which has been told.
    exhausted: bool,
}

/// Searches for the next of something; keeps what is still ahead.
fn ahead(known: Option<u32>, at: u32, find: impl Fn() -> Option<usize>) -> Option<u32> {
    match known {
        Some(k) if k >= at => known,
        _ => Some(find().map_or(u32::MAX, |i| at + i as u32)),
    }
}

impl Reader<'_> {
    fn say(&mut self, span: Span, message: Message) -> super::diag::Handle<'_> {
        self.diags.push(self.src, span, message)
    }

    fn turn(&mut self, frame: Frame) {
        match frame {
            Frame::File(reading) => self.file(reading),
            Frame::Line(span, from_file, rounds) => self.logical(span, from_file, rounds),
            Frame::Paths { mut paths, from, must } => {
                let Some(path) = paths.next() else { return };
                self.stack.push(Frame::Paths { paths, from, must });
                self.open(&path, from, must);
            }
            Frame::Body { lines, next, link } => {
                let Some(&span) = lines.get(next) else { return };
                let line = self.copy(span, link);
                self.stack.push(Frame::Body { lines, next: next + 1, link });
                if self.one_more(span) {
                    self.logical(line, false, 0);
                }
            }
            Frame::Repeat(mut repeat) => {
                if !self.set_variables(&mut repeat) {
                    return;
                }
                let (line, span) = (repeat.line, repeat.span);
                self.stack.push(Frame::Repeat(repeat));
                if self.one_more(span) {
                    self.logical(line, false, 0);
                }
            }
        }
    }

    /// A line of a multi-line definition, as text that knows where it is used.
    fn copy(&mut self, span: Span, link: u32) -> Span {
        let text = self.src.slice(span).to_owned();
        self.src.add_line(&text, &[super::source::Piece { at: 0, origin: span, same: true, link }])
    }

    /// Counts a made line; false when it is one too many.
    fn one_more(&mut self, span: Span) -> bool {
        self.count_lines += 1;
        let limits = self.options.limits;
        if self.count_lines > limits.lines {
            self.too_much(span, kind::repetitions_too_long(&limits.lines));
        } else if self.src.replaced_bytes() > limits.replaced {
            self.too_much(span, kind::replaced_too_long(&limits.replaced));
        }
        !self.exhausted
    }

    /// Ends everything that repeats.
    fn too_much(&mut self, span: Span, message: Message) {
        if !std::mem::replace(&mut self.exhausted, true) {
            let help = "make the ranges smaller; what repeats is left out from here on, and kalived does not start";
            self.say(span, message).help(help);
        }
        while let Some(frame) = self.stack.pop() {
            match frame {
                Frame::File(_) | Frame::Paths { .. } => {
                    self.stack.push(frame);
                    break;
                }
                Frame::Repeat(repeat) => self.restore(repeat),
                _ => {}
            }
        }
    }

    /// Passes on what needs nothing done, and does the next line that may.
    fn file(&mut self, mut r: Reading) {
        let Some(file) = self.src.file(r.file) else { return };
        let (bytes, at) = (file.text.as_bytes(), r.at as usize);
        let Some(rest) = bytes.get(at..).filter(|b| !b.is_empty()) else {
            self.checks = r.checks;
            return;
        };
        r.sign = ahead(r.sign, r.at, || memchr::memchr3(b'@', b'$', b'~', rest));
        r.word = ahead(r.word, r.at, || memchr::memmem::find(rest, b"include"));
        let hit = r.sign.min(r.word).map_or(usize::MAX, |h| h as usize);
        if hit >= bytes.len() {
            let all = Span { file: r.file, start: r.at, end: bytes.len() as u32 };
            r.at = all.end;
            self.emit(all);
            self.stack.push(Frame::File(r));
            return;
        }
        let line = self.src.line_of(Span { file: r.file, start: hit as u32, end: hit as u32 });
        let plain = Span { file: r.file, start: r.at, end: line.start };
        r.at = (line.end + 1).min(bytes.len() as u32);
        self.emit(plain);
        self.stack.push(Frame::File(r));
        self.logical(line, true, 0);
    }

    /// The next line of the file, for a definition that goes on.
    fn next_line(&mut self) -> Option<Span> {
        let Some(Frame::File(r)) = self.stack.last_mut() else { return None };
        let len = self.src.file(r.file)?.text.len() as u32;
        if r.at >= len {
            return None;
        }
        let line = self.src.line_of(Span { file: r.file, start: r.at, end: r.at });
        r.at = (line.end + 1).min(len);
        Some(line)
    }

    /// Passes text on, with its line end.
    fn emit(&mut self, span: Span) {
        let more = self.src.file(span.file).is_some_and(|f| f.text.as_bytes().get(span.end as usize) == Some(&b'\n'));
        let ends = span.end > span.start && self.src.slice(span).ends_with('\n');
        let span = Span { end: span.end + u32::from(more && !ends), ..span };
        if span.start >= span.end {
            return;
        }
        match self.input.chunks.last_mut() {
            Some(last) if last.file == span.file && last.end == span.start => last.end = span.end,
            _ => self.input.chunks.push(span),
        }
    }

    /// One line, or the rest of one after a brace or a condition.
    fn logical(&mut self, mut line: Span, from_file: bool, rounds: usize) {
        for round in rounds..MAX_ROUNDS {
            let src = &*self.src;
            let text = src.slice(line);
            let odd = text.len() > super::tree::MAX_LINE || memchr::memchr(0, text.as_bytes()).is_some();
            let tokens = if odd { Vec::new() } else { lex::tokens(text) };
            let code = text.get(..tokens.last().map_or(0, |t| t.span().end as usize)).unwrap_or(text).trim_end();
            let word = code.trim_start();
            let at = line.start + (code.len() - word.len()) as u32;
            let here = Span { file: line.file, start: at, end: line.start + code.len() as u32 };
            if word.is_empty() {
                return self.emit(line);
            }
            let first = word.as_bytes().first().copied();
            self.input.worked |= matches!(first, Some(b'@' | b'$' | b'~'));
            match first.unwrap_or(b' ') {
                b'@' => {
                    let (id, rest) = word.split_once([' ', '\t']).unwrap_or((word, ""));
                    let wanted = match id.strip_prefix("@^") {
                        Some(id) => id != self.options.config_id,
                        None => id.strip_prefix('@') == Some(self.options.config_id),
                    };
                    if rest.is_empty() {
                        self.say(here, kind::condition_without_text());
                        return;
                    }
                    if !wanted {
                        return;
                    }
                    line.start = at + (word.len() - rest.len()) as u32;
                    continue;
                }
                b'$' if lex::definition(word).is_some() => return self.define(here, from_file),
                b'~' if repeat::starts(word) => return self.repeat(here),
                _ => {}
            }
            // After a brace a line begins anew: what stands there must not be replaced before its condition or repetition
            // is known.
            let cut = split(text, &tokens).map(|cut| line.start + cut as u32);
            let here = cut.map_or(here, |cut| Span { end: cut, ..here });
            if let Some(cut) = cut {
                self.stack.push(Frame::Line(Span { start: cut, ..line }, from_file, round + 1));
                line.end = cut;
            }
            if memchr::memchr(b'$', self.src.slice(here).as_bytes()).is_some() {
                match self.replace(here) {
                    expand::Outcome::Same => {}
                    expand::Outcome::Line(span) => {
                        line = span;
                        continue;
                    }
                    expand::Outcome::Dropped => return,
                }
            }
            let word = self.src.slice(here);
            if include::keyword(word).is_some() {
                self.input.worked = true;
                return self.include(here);
            }
            if word.starts_with("include_check") {
                self.include_check(here);
            }
            return self.emit(line);
        }
        self.say(line, kind::too_many_rounds(MAX_ROUNDS));
    }
}

/// Whether a line begins with something that decides about the rest of it, or holds such a beginning after a brace.
fn begins_anew(text: &str) -> bool {
    special(text.trim_start()) || split(text, &lex::tokens(text)).is_some()
}

fn special(rest: &str) -> bool {
    match rest.as_bytes().first() {
        Some(b'@') => true,
        Some(b'$') => lex::definition(rest).is_some(),
        Some(b'~') => repeat::starts(rest),
        Some(b'i') => rest.starts_with("include"),
        _ => false,
    }
}

/// After the first brace behind which something stands that works on text.
fn split(text: &str, tokens: &[Token]) -> Option<usize> {
    let braces = tokens.iter().filter(|t| matches!(t, Token::Open(_) | Token::Close(_)));
    let mut ends = braces.map(|t| t.span().end as usize);
    ends.find(|end| special(text.get(*end..).unwrap_or("").trim_start()))
}
