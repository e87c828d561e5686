//! What is wrong with a configuration, where, and what to do about it; and how that is shown.
//!
//! Rendered like a compiler's message: `file:line:column`, the line, a caret, "block opened here", help. Texts are made
//! where the mistake is found (`tree.rs`, `lower`). Deliberately absent: positions of anything that is not in a file.

use super::model::Place;
use super::source::{Sources, Span};
use crate::exit::ExitCode;
use std::fmt::Write;

/// Most messages kept. A hostile or binary file must not turn into gigabytes of messages; nobody reads more.
pub const MAX_KEPT: usize = 1000;
/// Most messages shown.
pub const MAX_SHOWN: usize = 100;
/// Longest piece of a line shown, in characters.
const MAX_LINE: usize = 160;

/// How bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The daemon does not start.
    Fatal,
    /// What is written has no effect; the daemon starts without it.
    Error,
    /// It has an effect, but maybe not the one that was wanted.
    Warning,
    /// Nothing wrong with the file: what kalived does about it.
    Note,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diag {
    /// How bad.
    pub severity: Severity,
    /// Its name where the place that found it gave one; see [`Diag::code`].
    pub name: Option<&'static str>,
    /// For Fatal: the exit code of a start. Otherwise `NoConfig` marks what alone makes a test end with that number.
    pub exit: ExitCode,
    /// Whether `--config-test` fails because of it.
    pub fails_test: bool,
    /// The file cannot be taken for what its author meant (a brace, a quote, a value is missing). A start makes the best of it, as
    /// keepalived does; a reload keeps what runs.
    pub torn: bool,
    /// For people.
    pub place: Place,
    /// What the caret marks.
    pub span: Span,
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// Other places that belong to it.
    pub related: Vec<(Place, Span, String)>,
}

impl Severity {
    /// As it is printed.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Fatal => "fatal",
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }
}

impl Diag {
    /// The stable short name of this kind of message, in kebab-case: for JSON and for `allow(...)`.
    pub fn code(&self) -> &'static str {
        self.name.unwrap_or_else(|| super::names::of(&self.message))
    }
}

/// Collects messages.
#[derive(Debug, Default)]
pub struct Diags {
    list: Vec<Diag>,
    dropped: usize,
}

impl Diags {
    /// Takes a message in and returns it for [`Diag::help`] and its like.
    pub fn push(&mut self, src: &Sources, severity: Severity, span: Span, message: impl Into<String>) -> Handle<'_> {
        // A fatal one is never lost: without it a start would go on.
        let kept = self.list.len() < MAX_KEPT || (severity == Severity::Fatal && self.list.len() < 2 * MAX_KEPT);
        if kept {
            self.list.push(Diag {
                severity,
                name: None,
                exit: ExitCode::Config,
                fails_test: severity < Severity::Note,
                torn: false,
                place: src.place(span),
                span,
                message: message.into(),
                help: None,
                related: Vec::new(),
            });
        } else {
            self.dropped += 1;
        }
        Handle { diag: if kept { self.list.last_mut() } else { None } }
    }
    /// Whether further messages are only counted: then it is not worth the time to think of help.
    pub fn is_full(&self) -> bool {
        self.list.len() >= MAX_KEPT
    }
    /// Whether one of them keeps the daemon from starting.
    pub fn has_fatal(&self) -> bool {
        self.list.iter().any(|d| d.severity == Severity::Fatal)
    }
    /// All of them in the order of reading, with the places that led to each, and how many were too many.
    pub fn finish(mut self, src: &Sources) -> (Vec<Diag>, usize) {
        self.list.sort_by_cached_key(|d| (src.order(d.span), d.severity));
        for d in &mut self.list {
            let chain = src.chain(d.span);
            d.related.extend(chain.into_iter().map(|(span, text)| (src.place(span), span, text)));
        }
        (self.list, self.dropped)
    }
    /// None of these says anything against the file.
    pub fn none_in_test(&mut self) {
        self.list.iter_mut().for_each(|d| d.fails_test = false);
    }
    /// Takes over another collection.
    pub fn append(&mut self, other: Diags) {
        self.dropped += other.dropped;
        for d in other.list {
            if self.list.len() < MAX_KEPT || d.severity == Severity::Fatal {
                self.list.push(d);
            } else {
                self.dropped += 1;
            }
        }
    }
}

/// A message that was just made.
pub struct Handle<'a> {
    diag: Option<&'a mut Diag>,
}

impl Handle<'_> {
    /// Says what to do.
    pub fn help(mut self, text: impl Into<String>) -> Self {
        if let Some(d) = &mut self.diag {
            d.help = Some(text.into());
        }
        self
    }
    /// Says what to do, where that is known.
    pub fn maybe_help(self, text: Option<String>) -> Self {
        match text {
            Some(t) => self.help(t),
            None => self,
        }
    }
    /// Points to another place.
    pub fn also(mut self, src: &Sources, span: Span, text: impl Into<String>) -> Self {
        if let Some(d) = &mut self.diag {
            d.related.push((src.place(span), span, text.into()));
        }
        self
    }
    /// Gives it the name of a lint (`lint.rs`) or of a kind of message (`names.rs`).
    pub fn name(mut self, name: &'static str) -> Self {
        if let Some(d) = &mut self.diag {
            d.name = Some(name);
        }
        self
    }
    /// Another exit code than [`ExitCode::Config`].
    pub fn exit(mut self, code: ExitCode) -> Self {
        if let Some(d) = &mut self.diag {
            d.exit = code;
        }
        self
    }
    /// The file is not what its author meant: see [`Diag::torn`].
    pub fn torn(mut self) -> Self {
        if let Some(d) = &mut self.diag {
            d.torn = true;
        }
        self
    }
    /// Prevents a start but says nothing against the file.
    pub fn not_in_test(mut self) -> Self {
        if let Some(d) = &mut self.diag {
            d.fails_test = false;
        }
        self
    }
}

/// The messages as text, at most [`MAX_SHOWN`]; Fatal and Error ones are shown before room runs out for milder ones.
pub fn render(diags: &[Diag], dropped: usize, src: &Sources, colour: bool) -> String {
    let mut out = String::new();
    let mut room = MAX_SHOWN;
    let mut show = vec![false; diags.len()];
    for wanted in [Severity::Fatal, Severity::Error, Severity::Warning, Severity::Note] {
        for (d, s) in diags.iter().zip(&mut show).filter(|(d, _)| d.severity == wanted) {
            *s = room > 0 && d.severity == wanted;
            room = room.saturating_sub(1);
        }
    }
    for (d, _) in diags.iter().zip(&show).filter(|(_, s)| **s) {
        one(&mut out, d, src, colour);
    }
    let more = diags.len().saturating_sub(MAX_SHOWN) + dropped;
    if more > 0 {
        let _ = writeln!(out, "and {more} more");
    }
    out
}

fn one(out: &mut String, d: &Diag, src: &Sources, colour: bool) {
    let paint = |code: &str, text: &str| match colour {
        true => format!("\x1b[{code}m{text}\x1b[0m"),
        false => text.to_owned(),
    };
    let code = match d.severity {
        Severity::Fatal => "1;31",
        Severity::Error => "31",
        Severity::Warning => "33",
        Severity::Note => "36",
    };
    let word = d.severity.word();
    // The message may repeat words of a hostile file: no control character reaches the terminal.
    let _ = write!(out, "{}: {}: {}", paint("1", &d.place.to_string()), paint(code, word), clean(&d.message));
    // The name with which it can be silenced.
    match d.severity {
        Severity::Warning | Severity::Note => {
            let _ = writeln!(out, " [{}]", d.code());
        }
        Severity::Fatal | Severity::Error => out.push('\n'),
    }
    excerpt(out, src, d.span);
    for (place, span, text) in &d.related {
        let _ = writeln!(out, "  {}: {}", place, clean(text));
        excerpt(out, src, *span);
    }
    if let Some(help) = &d.help {
        let _ = writeln!(out, "  {}: {}", paint("32", "help"), clean(help));
    }
}

fn clean(text: &str) -> String {
    let show = |c: char| if c.is_control() { '\u{FFFD}' } else { c };
    let mut out: String = text.chars().take(2000).map(show).collect();
    if out.len() < text.len() && text.chars().nth(2000).is_some() {
        out.push('…');
    }
    out
}

/// The line and a caret under the span; for a line in which a name was replaced also what it became.
fn excerpt(out: &mut String, src: &Sources, span: Span) {
    let origin = src.origin(span);
    let Some(file) = src.file(origin.file) else { return };
    let (number, start, text) = file.line_at(origin.start);
    let at = |n: u32| (n.saturating_sub(start) as usize).min(text.len());
    if text.trim().is_empty() {
        return;
    }
    let cells = cells(src, origin.file, start, text, at(origin.start), at(origin.end));
    show(out, &format!("{number:>6} |"), &cells);
    let line = src.line_of(span);
    if src.is_replaced(span) && !text.contains(src.slice(line).trim()) {
        let text = src.slice(line);
        let at = |n: u32| (n.saturating_sub(line.start) as usize).min(text.len());
        show(out, "     = |", &self::cells(src, line.file, line.start, text, at(span.start), at(span.end)));
    }
}

/// A character as shown, and whether it is marked.
type Cell = (char, bool);

/// A line with eight stars for every word that is a secret.
fn cells(src: &Sources, file: u32, start: u32, text: &str, from: usize, to: usize) -> Vec<Cell> {
    let hidden = secret_words(text);
    let marked = |i: usize| (i >= from && i < to) || i == from;
    let mut out: Vec<Cell> = Vec::new();
    let mut last = None;
    for (i, c) in text.char_indices() {
        let word = hidden.iter().position(|w| w.contains(&i));
        let word = word.or_else(|| src.is_secret(file, start + i as u32).then_some(usize::MAX));
        match word {
            None => out.push((if c.is_control() { ' ' } else { c }, marked(i))),
            Some(n) if last != Some(n) => out.extend([('*', marked(i)); 8]),
            Some(_) if marked(i) => {
                let len = out.len();
                out.iter_mut().skip(len.saturating_sub(8)).for_each(|c| c.1 = true);
            }
            Some(_) => {}
        }
        last = word;
    }
    out
}

fn show(out: &mut String, head: &str, cells: &[Cell]) {
    let before = cells.iter().position(|c| c.1).unwrap_or(cells.len());
    // Of a very long line only the part around the mark.
    let cells = cells.get(before.saturating_sub(MAX_LINE / 2)..).unwrap_or(&[]);
    let cells = cells.get(..MAX_LINE.min(cells.len())).unwrap_or(&[]);
    let line: String = cells.iter().map(|c| c.0).collect();
    let _ = writeln!(out, "{head} {}", line.trim_end());
    let end = cells.iter().rposition(|c| c.1).map_or(0, |i| i + 1);
    let mut carets = String::new();
    for (c, marked) in cells.get(..end).unwrap_or(&[]) {
        carets.push_str(if *marked { "^" } else { pad_for(*c) });
    }
    if carets.is_empty() {
        carets = cells.iter().map(|c| pad_for(c.0)).chain(["^"]).collect();
    }
    let _ = writeln!(out, "       | {carets}");
}

/// Words after which a secret stands.
const SECRET: &[&str] = &["auth_pass", "key", "password"];

/// Whether a line holds a secret.
pub fn tells_a_secret(line: &str) -> bool {
    !secret_words(line).is_empty()
}

/// Where the secrets of a line stand: what follows such a keyword, to the end of the statement.
fn secret_words(line: &str) -> Vec<std::ops::Range<usize>> {
    let mut out: Vec<std::ops::Range<usize>> = Vec::new();
    let (mut secret, mut first) = (false, true);
    let bytes = line.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        match bytes[i] {
            b' ' | b'\t' | b'\r' => i += 1,
            b'{' | b'}' => {
                // A password may hold a brace: where one was meant, too much is hidden rather than too little.
                (secret, first) = (secret && out.is_empty(), true);
                i += 1;
            }
            b'#' | b'!' if !secret => break,
            quote => {
                let start = i;
                let close = match quote {
                    b'"' | b'\'' => memchr::memchr(quote, bytes.get(i + 1..).unwrap_or(&[])).map(|n| i + n + 2),
                    _ => None,
                };
                let blank = |b: &u8| matches!(b, b' ' | b'\t' | b'\r') || (!secret && matches!(b, b'{' | b'}'));
                // Only where no quote closes: looked for at each quote, a line of quotes would cost its length squared.
                let end = || bytes[start + 1..].iter().position(blank).map_or(bytes.len(), |n| start + 1 + n);
                i = close.unwrap_or_else(end);
                let word = line.get(start..i).unwrap_or("").trim_matches('"');
                if secret {
                    out.push(start..i);
                } else if first && !word.starts_with('@') {
                    // Misspelt, it is a secret as well.
                    let near =
                        |s: &&str| *s == word || (s.len() > 4 && super::keyword::nearest::distance(s, word) <= 2);
                    secret = word.len() < 20 && SECRET.iter().any(near);
                    first = false;
                }
            }
        }
    }
    out
}

/// A blank as wide as the character above it: East Asian wide characters take two columns.
fn pad_for(c: char) -> &'static str {
    match c as u32 {
        0x1100..=0x115F | 0x2E80..=0xA4CF | 0xAC00..=0xD7A3 | 0xF900..=0xFAFF | 0xFE30..=0xFE6F | 0xFF00..=0xFF60 => {
            "  "
        }
        0x200B..=0x200F | 0x300..=0x36F => "",
        _ => " ",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_like_a_compiler_message() {
        let mut src = Sources::default();
        src.add("k.conf", b"a {\n\tpriority 300\n".to_vec());
        let mut d = Diags::default();
        let span = |start, end| Span { file: 0, start, end };
        d.push(&src, Severity::Warning, span(0, 1), "first");
        d.push(&src, Severity::Error, span(14, 17), "too \x1b[2Jlarge").help("use 1..255").also(
            &src,
            span(2, 3),
            "opened here",
        );
        let (list, dropped) = d.finish(&src);
        assert_eq!(
            render(&list, dropped, &src, false),
            "k.conf:1:1: warning: first [other]\n     1 | a {\n       | ^\n\
             k.conf:2:11: error: too \u{FFFD}[2Jlarge\n     2 |  priority 300\n       |           ^^^\n\
             \x20 k.conf:1:3: opened here\n     1 | a {\n       |   ^\n  help: use 1..255\n"
        );
        assert!(render(&list, 3, &src, true).contains("\x1b[31merror\x1b[0m"));
        assert!(render(&list, 3, &src, false).ends_with("and 3 more\n"));
    }
    #[test]
    fn a_flood_is_bounded_and_loses_no_fatal_one() {
        let mut src = Sources::default();
        src.add("k.conf", b"x\n".to_vec());
        let mut d = Diags::default();
        let span = Span { file: 0, start: 0, end: 1 };
        for _ in 0..10 * MAX_KEPT {
            d.push(&src, Severity::Note, span, "n");
        }
        d.push(&src, Severity::Fatal, span, "f");
        let (list, dropped) = d.finish(&src);
        assert_eq!((list.len(), dropped), (MAX_KEPT + 1, 9 * MAX_KEPT));
        assert_eq!(list[0].severity, Severity::Fatal);
        let text = render(&list, dropped, &src, false);
        assert!(text.starts_with("k.conf:1:1: fatal: f"));
        assert!(text.ends_with(&format!("and {} more\n", 9 * MAX_KEPT + 1 + MAX_KEPT - MAX_SHOWN)));
    }
}
