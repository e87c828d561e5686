//! The messages about a configuration: the problem, its position, the remedy; and their output.
//!
//! Rendered like a compiler's message: `file:line:column`, the line, a caret, "block opened here", help. The texts are made where the
//! mistake is found (`tree.rs`, `lower`). Deliberately absent: positions of anything that is not in a file.

use super::kind::{Fate, Kind, Message};
use super::model::Place;
use super::secret;
use super::source::{Sources, Span};
use crate::exit::ExitCode;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Most messages kept of each severity, so that a hostile or binary file does not cause gigabytes of messages. Each severity has a limit
/// of its own, so that a flood of notes displaces no error.
pub const MAX_KEPT: usize = 1000;
/// Most messages shown.
pub const MAX_SHOWN: usize = 100;
/// Messages of one kind that are shown with their lines, by severity (Fatal, Error, Warning, Note); of further ones only the positions
/// are listed. An error has to be corrected at each position; ten of a kind show the pattern.
const SAME_KIND: [usize; 4] = [10, 10, 5, 3];
/// The same for messages with one and the same text.
const SAME_TEXT: usize = 3;
/// Positions listed of messages that are not shown with their lines.
const MAX_PLACES: usize = 12;
/// Longest piece of a line shown, in characters.
const MAX_LINE: usize = 160;

/// How bad a message is, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The daemon does not start.
    Fatal,
    /// The statement has no effect; the daemon starts without it.
    Error,
    /// The statement has an effect, but maybe not the intended one.
    Warning,
    /// The file is right: the note describes what kalived does.
    Note,
}

/// One message about a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diag {
    /// The severity; it decides whether the daemon starts.
    pub severity: Severity,
    /// The kind of mistake, which has the stable name for `allow(...)` and JSON.
    pub kind: &'static Kind,
    /// What happens to the marked text.
    pub fate: Fate,
    /// For Fatal: the exit code of a start. Otherwise: if every message that fails a test has `NoConfig`, the test ends with that number.
    pub exit: ExitCode,
    /// Whether `--config-test` fails because of it.
    pub fails_test: bool,
    /// The file is malformed (a brace, a quote or a value is missing). A start uses what can be read, as keepalived does; a reload keeps
    /// the running configuration.
    pub torn: bool,
    /// The position, for output.
    pub place: Place,
    /// The text that the caret marks.
    pub span: Span,
    /// The problem, one sentence without a full stop.
    pub message: String,
    /// What to write instead, or where to look; `None`: the message says enough.
    pub help: Option<String>,
    /// Further positions that the message refers to, each with a text.
    pub related: Vec<(Place, Span, String)>,
    /// Positions of the messages that this one replaces.
    pub covers: Vec<Span>,
}

/// The messages beyond the limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// The number of messages beyond the limits.
    pub messages: usize,
    /// Those for which `--config-test` fails.
    pub failing: usize,
}

impl core::ops::AddAssign for Cut {
    fn add_assign(&mut self, other: Cut) {
        self.messages += other.messages;
        self.failing += other.failing;
    }
}

impl Severity {
    /// The word before the message: "fatal", "error", "warning" or "note".
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
        self.kind.code
    }
    /// Whether `allow(...)` may remove it: warnings and notes, and the refusal to run without a part that kalived does not support yet,
    /// where the author of the `allow` knows what is missing.
    pub fn may_be_silenced(&self) -> bool {
        self.severity >= Severity::Warning || self.code() == NO_EFFECT
    }
}

/// The name of the messages about keywords without effect. It was given when more was to come, and stays.
pub const NO_EFFECT: &str = "no-effect-yet";

/// Collects the messages of one reading of a configuration, up to a limit for each kind.
#[derive(Debug, Default)]
pub struct Diags {
    list: Vec<Diag>,
    kept: [usize; 4],
    cut: Cut,
    /// The last message beyond the limit: the calls that follow decide whether it counts against the file.
    spare: Option<Box<Diag>>,
}

impl Diags {
    /// Adds a message and returns it for [`Diag::help`] and similar calls.
    pub fn push(&mut self, src: &Sources, span: Span, message: Message) -> Handle<'_> {
        self.count_spare();
        let Message { kind, severity, fate, text } = message;
        let diag = Diag {
            severity,
            kind,
            fate,
            exit: ExitCode::Config,
            fails_test: severity < Severity::Note,
            torn: false,
            // Not computed for a message that is only counted.
            place: if self.room(severity) { src.place(span) } else { Place::default() },
            span,
            message: text,
            help: None,
            related: Vec::new(),
            covers: Vec::new(),
        };
        Handle { diag: self.put(diag) }
    }
    fn room(&self, severity: Severity) -> bool {
        self.kept.get(severity as usize).is_some_and(|n| *n < MAX_KEPT)
    }
    fn put(&mut self, diag: Diag) -> Option<&mut Diag> {
        if !self.room(diag.severity) {
            self.cut.messages += 1;
            return Some(self.spare.insert(Box::new(diag)));
        }
        if let Some(n) = self.kept.get_mut(diag.severity as usize) {
            *n += 1;
        }
        self.list.push(diag);
        self.list.last_mut()
    }
    fn count_spare(&mut self) {
        self.cut.failing += usize::from(self.spare.take().is_some_and(|d| d.fails_test));
    }
    /// Whether further messages of a severity are only counted, so that no help has to be computed.
    pub fn is_full(&self, of: Severity) -> bool {
        !self.room(of)
    }
    /// Whether a message prevents the start of the daemon.
    pub fn has_fatal(&self) -> bool {
        self.list.iter().any(|d| d.severity == Severity::Fatal)
    }
    /// Whether a message prevents it that cannot be allowed.
    pub fn has_fatal_for_good(&self) -> bool {
        self.list.iter().any(|d| d.severity == Severity::Fatal && !d.may_be_silenced())
    }
    /// All messages in the order of reading, with the includes that led to each, and the number beyond the limits.
    pub fn finish(mut self, src: &Sources) -> (Vec<Diag>, Cut) {
        self.count_spare();
        self.list.sort_by_cached_key(|d| (src.order(d.span), d.severity));
        for d in &mut self.list {
            let chain = src.chain(d.span);
            d.related.extend(chain.into_iter().map(|(span, text)| (src.place(span), span, text)));
            secret::mask(src, d);
        }
        (self.list, self.cut)
    }
    /// None of these messages counts against the file.
    pub fn none_in_test(&mut self) {
        self.list.iter_mut().for_each(|d| d.fails_test = false);
        self.spare = None;
        self.cut.failing = 0;
    }
    /// Adds the messages of another collection.
    pub fn append(&mut self, mut other: Diags) {
        self.count_spare();
        other.count_spare();
        self.cut += other.cut;
        for d in other.list {
            self.put(d);
            self.count_spare();
        }
    }
}

/// A message that was just added.
pub struct Handle<'a> {
    diag: Option<&'a mut Diag>,
}

impl Handle<'_> {
    /// Adds the remedy to the message.
    pub fn help(mut self, text: impl Into<String>) -> Self {
        if let Some(d) = &mut self.diag {
            d.help = Some(text.into());
        }
        self
    }
    /// Adds the remedy, if known.
    pub fn maybe_help(self, text: Option<String>) -> Self {
        match text {
            Some(t) => self.help(t),
            None => self,
        }
    }
    /// Adds a related position.
    pub fn also(mut self, src: &Sources, span: Span, text: impl Into<String>) -> Self {
        if let Some(d) = &mut self.diag {
            d.related.push((src.place(span), span, text.into()));
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
    /// The file is malformed: see [`Diag::torn`].
    pub fn torn(mut self) -> Self {
        if let Some(d) = &mut self.diag {
            d.torn = true;
        }
        self
    }
    /// The message does not count against the file. A fatal one always does.
    pub fn not_in_test(mut self) -> Self {
        if let Some(d) = &mut self.diag {
            d.fails_test = d.severity == Severity::Fatal;
        }
        self
    }
    /// Adds positions of messages that this one replaces.
    pub fn covers(mut self, spans: &[Span]) -> Self {
        if let Some(d) = &mut self.diag {
            d.covers.extend_from_slice(spans);
        }
        self
    }
}

/// The messages as text, one each, at most [`MAX_SHOWN`] and one that counts the rest; Fatal and Error ones precede milder ones. A
/// repeated message is shown a few times, then only its positions.
pub fn entries(diags: &[Diag], cut: Cut, src: &Sources, colour: bool) -> Vec<(Severity, String)> {
    let mut shown = folded(diags);
    let mut room = MAX_SHOWN;
    let mut more = cut.messages;
    for wanted in [Severity::Fatal, Severity::Error, Severity::Warning, Severity::Note] {
        shown.retain(|s| {
            let keep = s.0.severity != wanted || room > 0;
            if s.0.severity == wanted {
                room = room.saturating_sub(1);
                more += if keep { 0 } else { 1 + s.1.len() };
            }
            keep
        });
    }
    let mut out: Vec<(Severity, String)> = shown
        .into_iter()
        .map(|(d, others)| {
            let mut text = String::new();
            one(&mut text, d, src, colour);
            if !others.is_empty() {
                places(&mut text, d, &others);
            }
            (d.severity, text)
        })
        .collect();
    if more > 0 {
        out.push((if cut.failing > 0 { Severity::Error } else { Severity::Note }, format!("and {more} more\n")));
    }
    out
}

/// All messages as one text, see [`entries`].
pub fn render(diags: &[Diag], cut: Cut, src: &Sources, colour: bool) -> String {
    entries(diags, cut, src, colour).into_iter().map(|e| e.1).collect()
}

/// The messages to show with their lines, each with the later messages of its kind that are not shown.
fn folded(diags: &[Diag]) -> Vec<(&Diag, Vec<&Diag>)> {
    let mut kinds: BTreeMap<(Severity, &str), (usize, usize)> = BTreeMap::new();
    let mut texts: BTreeMap<(Severity, &str), (usize, usize)> = BTreeMap::new();
    let mut out: Vec<(&Diag, Vec<&Diag>)> = Vec::new();
    for d in diags {
        let code = d.code();
        let most = SAME_KIND.get(d.severity as usize).copied().unwrap_or(1);
        // The number shown, and the last of them.
        let (text, last_text) = texts.entry((d.severity, &d.message)).or_default();
        if *text >= SAME_TEXT.min(most) {
            if let Some(shown) = out.get_mut(*last_text) {
                shown.1.push(d);
            }
            continue;
        }
        // These messages come once for each keyword anyway.
        let alone = code == NO_EFFECT;
        let (kind, last_kind) = kinds.entry((d.severity, code)).or_default();
        if *kind >= most && !alone {
            if let Some(shown) = out.get_mut(*last_kind) {
                shown.1.push(d);
            }
            continue;
        }
        (*kind, *last_kind) = (*kind + 1, out.len());
        (*text, *last_text) = (*text + 1, out.len());
        out.push((d, Vec::new()));
    }
    out
}

/// Lists the positions of the others.
fn places(out: &mut String, of: &Diag, others: &[&Diag]) {
    let _ = write!(out, "  and {} more like it: ", others.len());
    for (i, d) in others.iter().take(MAX_PLACES).enumerate() {
        let gap = if i > 0 { ", " } else { "" };
        let file = if d.place.file == of.place.file { String::new() } else { format!("{}:", clean(&d.place.file)) };
        let _ = write!(out, "{gap}{file}{}", d.place.line);
    }
    out.push_str(if others.len() > MAX_PLACES { ", ...\n" } else { "\n" });
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
    // The message may quote words of a hostile file: no control character is written to the terminal.
    let _ = write!(out, "{}: {}: {}", paint("1", &d.place.to_string()), paint(code, word), clean(&d.message));
    // The name for `allow(...)`.
    match d.severity {
        _ if d.may_be_silenced() => {
            let _ = writeln!(out, " [{}]", d.code());
        }
        _ => out.push('\n'),
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

/// The line and a caret under the span; for a line in which a name was replaced also the result.
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

/// A displayed character, and whether it is marked.
type Cell = (char, bool);

/// A line with eight asterisks for every word that is a secret.
fn cells(src: &Sources, file: u32, start: u32, text: &str, from: usize, to: usize) -> Vec<Cell> {
    let hidden = secret::of_line(text);
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
    use super::super::kind;
    use super::*;

    #[test]
    fn looks_like_a_compiler_message() {
        let mut src = Sources::default();
        src.add("k.conf", b"a {\n\tpriority 300\n".to_vec());
        let mut d = Diags::default();
        let span = |start, end| Span { file: 0, start, end };
        d.push(&src, span(0, 1), kind::very_large("first"));
        d.push(&src, span(14, 17), kind::bad_scope("too \x1b[2Jlarge")).help("use 1..255").also(
            &src,
            span(2, 3),
            "opened here",
        );
        let (list, cut) = d.finish(&src);
        assert_eq!(
            render(&list, cut, &src, false),
            "k.conf:1:1: note: `first` is very large [out-of-range]\n     1 | a {\n       | ^\n\
             k.conf:2:11: error: unknown scope `too \u{FFFD}[2Jlarge`; ignored\n     2 |  priority 300\n       |           ^^^\n\
             \x20 k.conf:1:3: opened here\n     1 | a {\n       |   ^\n  help: use 1..255\n"
        );
        let cut = Cut { messages: 3, failing: 0 };
        assert!(render(&list, cut, &src, true).contains("\x1b[31merror\x1b[0m"));
        assert!(render(&list, cut, &src, false).ends_with("and 3 more\n"));
    }
    #[test]
    fn a_flood_is_bounded_and_loses_nothing_that_is_worse() {
        let mut src = Sources::default();
        src.add("k.conf", b"x\n".to_vec());
        let mut d = Diags::default();
        let span = Span { file: 0, start: 0, end: 1 };
        for _ in 0..10 * MAX_KEPT {
            d.push(&src, span, kind::very_large("n"));
        }
        for i in 0..MAX_KEPT + 5 {
            let _ = d.push(&src, span, kind::no_broadcast(i)).not_in_test();
        }
        d.push(&src, span, kind::no_broadcast(0));
        d.push(&src, span, kind::unclosed_quote());
        d.push(&src, span, kind::loopback());
        let (list, cut) = d.finish(&src);
        assert_eq!(list.len(), 2 * MAX_KEPT + 2);
        assert_eq!(cut, Cut { messages: 9 * MAX_KEPT + 6, failing: 1 });
        let text = render(&list, cut, &src, false);
        assert!(text.starts_with("k.conf:1:1: fatal: VRRP cannot run"));
        assert!(text.contains("\nk.conf:1:1: error: unclosed quote\n"));
        assert!(text.ends_with(&format!("and {} more\n", cut.messages)), "{text}");
    }
    #[test]
    fn what_repeats_is_shown_a_few_times() {
        let mut src = Sources::default();
        src.add("k.conf", "x\n".repeat(200).into_bytes());
        let at = |line: u32| Span { file: 0, start: 2 * line, end: 2 * line + 1 };
        let lines = |severity, text: &dyn Fn(u32) -> String| {
            let mut d = Diags::default();
            for i in 0..100 {
                d.push(&src, at(i), kind::bad_label(text(i)).severity(severity));
            }
            let (list, cut) = d.finish(&src);
            render(&list, cut, &src, false).lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let same = lines(Severity::Error, &|_| "same".into());
        assert_eq!(same.len(), 3 * SAME_TEXT + 1);
        assert_eq!(same[9], "  and 97 more like it: 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, ...");
        for (severity, most) in [(Severity::Error, 10), (Severity::Warning, 5), (Severity::Note, 3)] {
            let other = lines(severity, &|i| format!("number {i}"));
            assert_eq!(other.len(), 3 * most + 1, "{severity:?}");
        }
    }
}
