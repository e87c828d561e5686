//! `$NAME=value`, `$NAME`, `${NAME}` and the built-in names.
//!
//! Replacement is textual, as in keepalived: the value of a name may contain further names, and is read again. The origin of each part of
//! the line is kept. keepalived runs forever on `$A=$B`, `$B=$A`; here it is an error.

use super::{Frame, Reader};
use crate::config::kind;
use crate::config::lex::{self, Token};
use crate::config::secret;
use crate::config::source::{Piece, Span};
use crate::config::tree::MAX_LINE;
use std::rc::Rc;

/// Names inside names. A deeper nesting is a name that contains itself.
const MAX_DEPTH: u32 = 32;
/// Replacements in one line. Values may be empty, so the length of the line is no limit.
const MAX_IN_LINE: usize = 1024;
/// From `${` to its `}`. Limits the search in a line full of `${`.
const MAX_REFERENCE: usize = 300;
/// Lines of a multi-line definition.
const MAX_BODY: usize = 100_000;

/// The definition of a name.
#[derive(Clone, Debug)]
pub(super) struct Def {
    pub(super) value: Value,
    /// The position of the definition.
    pub(super) span: Span,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    /// The text, and its position.
    Text(String, Span),
    Lines(Rc<[Span]>),
}

/// The result for a line.
pub(super) enum Outcome {
    /// No name in it is defined.
    Same,
    Line(Span),
    /// The line cannot be used, which has been reported.
    Dropped,
}

/// A use of a name at this position of a line, and whether the following character allows it without braces.
fn reference(text: &str, at: usize) -> Option<(lex::Use<'_>, bool)> {
    let mut most = text.len().min(at + MAX_REFERENCE);
    while !text.is_char_boundary(most) {
        most -= 1;
    }
    let used = lex::name_used(text.get(at..most)?)?;
    let after = text.get(at + used.end..)?.chars().next();
    let ends = after.is_none_or(|c| c.is_ascii_whitespace() || matches!(c, '/' | ',' | ')'));
    let delimited = used.braces || ends;
    Some((used, delimited))
}

/// A line during the replacement of its names.
struct Work {
    text: String,
    pieces: Vec<Piece>,
}

impl Work {
    fn piece_at(&self, at: usize) -> (usize, Piece) {
        let n = self.pieces.partition_point(|p| p.at as usize <= at).max(1) - 1;
        (n, self.pieces.get(n).copied().unwrap_or(Piece { at: 0, origin: Span::default(), same: false, link: 0 }))
    }
    /// The origin of the text of a range.
    fn origin(&self, at: usize, end: usize) -> Span {
        let (_, p) = self.piece_at(at);
        if !p.same {
            return p.origin;
        }
        let start = p.origin.start + (at as u32 - p.at);
        Span { start, end: (start + (end - at) as u32).min(p.origin.end.max(start)), ..p.origin }
    }
    fn replace(&mut self, at: usize, end: usize, text: &str, new: Piece) {
        let (n, mut tail) = self.piece_at(end);
        if tail.same {
            tail.origin.start += end as u32 - tail.at;
        }
        tail.at = end as u32;
        let keep = self.pieces.partition_point(|p| (p.at as usize) < at);
        let later: Vec<Piece> = std::iter::once(tail).chain(self.pieces.iter().skip(n + 1).copied()).collect();
        self.pieces.truncate(keep);
        if !text.is_empty() {
            self.pieces.push(new);
        }
        let shift = |p: Piece| Piece { at: p.at - end as u32 + (at + text.len()) as u32, ..p };
        self.pieces.extend(later.into_iter().map(shift));
        self.text.replace_range(at..end, text);
    }
}

impl Reader<'_> {
    /// Reads a definition; `here` is the line from its `$` without the comment.
    pub(super) fn define(&mut self, here: Span, from_file: bool) {
        let text = self.src.slice(here);
        let Some((name, start)) = lex::definition(text) else { return };
        let name = name.to_owned();
        let raw = text.get(start..).unwrap_or("");
        let lead = (raw.len() - raw.trim_start().len()) as u32;
        let first = Span { start: here.start + start as u32 + lead, ..here };
        let value = match raw.trim_end().strip_suffix('\\') {
            None => Value::Text(raw.trim().to_owned(), first),
            Some(_) if !from_file => {
                let value = self.without_backslash(first);
                Value::Text(self.src.slice(value).to_owned(), value)
            }
            Some(_) => {
                let mut lines = vec![self.without_backslash(first)];
                // Up to the first line that does not end in a backslash, or a blank one.
                while let Some(line) = self.next_line() {
                    let text = self.src.slice(line);
                    let code = lex::code(text).trim_end();
                    let more = code.ends_with('\\');
                    let lead = (code.len() - code.trim_start().len()) as u32;
                    let span = Span { start: line.start + lead, end: line.start + code.len() as u32, ..line };
                    if span.start >= span.end {
                        // A line with only a comment does not end it, as in files of keepalived's maintainer.
                        if text.trim().is_empty() {
                            break;
                        }
                        continue;
                    }
                    lines.push(self.without_backslash(span));
                    if lines.len() > MAX_BODY {
                        self.say(here, kind::definition_too_long(MAX_BODY));
                        break;
                    }
                    if !more {
                        break;
                    }
                }
                lines.retain(|s| s.start < s.end);
                Value::Lines(lines.into())
            }
        };
        self.defs.insert(name, Def { value, span: here });
    }

    fn without_backslash(&self, span: Span) -> Span {
        let text = self.src.slice(span).trim_end();
        let text = text.strip_suffix('\\').unwrap_or(text).trim_end();
        Span { end: span.start + text.len() as u32, ..span }
    }

    /// Replaces the names in a line; `here` is the line without blanks before it and without its comment.
    pub(super) fn replace(&mut self, here: Span) -> Outcome {
        let text = self.src.slice(here).to_owned();
        let first = Piece { at: 0, origin: here, same: true, link: 0 };
        let mut work = Work { text, pieces: vec![first] };
        let mut tail: Option<(Rc<[Span]>, u32)> = None;
        let (mut count, mut changed) = (0usize, false);
        let mut values = Vec::new();
        'line: loop {
            let (mut pos, before) = (0, count);
            while let Some(i) = work.text.get(pos..).and_then(|t| memchr::memchr(b'$', t.as_bytes())) {
                let at = pos + i;
                pos = at + 1;
                let Some((used, delimited)) = reference(&work.text, at) else { continue };
                let (name, end) = (used.name.to_owned(), at + used.end);
                let origin = work.origin(at, end);
                if !delimited {
                    if self.defs.contains_key(&name) && count == 0 {
                        let text = kind::not_replaced(&name);
                        let help = format!("write `${{{name}}}`: without braces a blank, `/`, `,` or `)` must follow");
                        self.say(origin, text).help(help).not_in_test();
                    }
                    continue;
                }
                let above = work.piece_at(at).1.link;
                if self.src.link(above).is_some_and(|l| l.depth >= MAX_DEPTH) {
                    self.say(origin, kind::circular_definition(&name)).help("break the circle of definitions");
                    return Outcome::Dropped;
                }
                match self.defs.get(&name).cloned() {
                    Some(Def { value: Value::Text(value, value_span), span }) => {
                        let link = self.link(span, above, &name);
                        values.push(value_span);
                        let new = Piece { at: at as u32, origin, same: false, link };
                        work.replace(at, end, &value, new);
                        pos = at;
                    }
                    Some(Def { value: Value::Lines(lines), .. }) => {
                        if end < work.text.trim_end().len() || tail.is_some() {
                            self.say(origin, kind::definition_has_lines(&name))
                                .help("end the line after it; it is not replaced here");
                            continue;
                        }
                        let link = self.use_link(origin, above, &name);
                        let start = lines.first().copied().unwrap_or(origin);
                        let text = self.src.slice(start).to_owned();
                        let text = if lines.is_empty() { String::new() } else { text };
                        let new = Piece { at: at as u32, origin: start, same: true, link };
                        work.replace(at, end, &text, new);
                        tail = Some((lines, link));
                        // The rest of this line is handled when it is read again.
                        pos = work.text.len();
                    }
                    None => {
                        let args = used.args.to_owned();
                        let Some(value) = self.builtin(&name, &args, origin) else { continue };
                        let value = match value.as_str() {
                            "#" | "!" if !in_quotes(&work.text, at) => format!("\\{value}"),
                            _ => value,
                        };
                        let new = Piece { at: at as u32, origin, same: false, link: above };
                        work.replace(at, end, &value, new);
                        pos = at + value.len();
                    }
                }
                changed = true;
                count += 1;
                self.count_names += 1;
                if work.text.len() > MAX_LINE || count > MAX_IN_LINE {
                    let origin = work.origin(at, at);
                    let (what, limit) = if count > MAX_IN_LINE { ("names", MAX_IN_LINE) } else { ("bytes", MAX_LINE) };
                    let text = kind::replaced_line_too_long(&name, limit, what);
                    let help = "what a name stands for may hold names; here they add up to too much";
                    let link = self.defs.get(&name).map(|d| d.span);
                    let src = &*self.src;
                    let handle = self.diags.push(src, origin, text).help(help);
                    if let Some(span) = link {
                        handle.also(src, span, format!("`${name}` is defined here"));
                    }
                    return Outcome::Dropped;
                }
                if self.count_names > self.options.limits.names {
                    let limit = self.options.limits.names;
                    self.too_much(origin, kind::too_many_names(limit));
                    return Outcome::Dropped;
                }
                // The value of the name is a condition or a repetition, which is evaluated before the rest of the line. In a definition whose
                // name came from a name the rest is replaced first: in a repetition the value has another meaning each time.
                let definition = lex::definition(work.text.trim_start()).is_some();
                if tail.is_none() && !definition && super::begins_anew(&work.text) {
                    break 'line;
                }
            }
            if count == before || tail.is_some() {
                break;
            }
        }
        if !changed {
            return Outcome::Same;
        }
        if !values.is_empty() && secret::in_line(&work.text) {
            values.into_iter().for_each(|v| self.src.add_secret(v));
        }
        if self.src.replaced_bytes() + work.text.len() > self.options.limits.replaced {
            let limit = self.options.limits.replaced;
            self.too_much(here, kind::replaced_too_long(limit));
            return Outcome::Dropped;
        }
        let line = self.src.add_line(&work.text, &work.pieces);
        if let Some((lines, link)) = tail {
            let depth = self.stack.iter().filter(|f| matches!(f, Frame::Body { .. })).count();
            if depth >= MAX_DEPTH as usize {
                self.say(here, kind::definitions_too_deep()).help("break the circle of definitions");
                return Outcome::Dropped;
            }
            if !self.exhausted {
                self.stack.push(Frame::Body { lines, next: 1, link });
            }
        }
        Outcome::Line(line)
    }

    fn link(&mut self, span: Span, above: u32, name: &str) -> u32 {
        if let Some(&known) = self.links.get(&(span, above)) {
            return known;
        }
        let link = self.src.add_link(span, format!("`${name}` is defined here"), above);
        self.links.insert((span, above), link);
        link
    }

    fn use_link(&mut self, span: Span, above: u32, name: &str) -> u32 {
        self.src.add_link(span, format!("`${name}` is used here"), above)
    }

    /// The value of a built-in name; `None`: there is none of that name.
    fn builtin(&mut self, name: &str, args: &str, span: Span) -> Option<String> {
        Some(match name {
            "_PWD" => self.directory_now(),
            "_INSTANCE" => self.options.config_id.to_owned(),
            "_HASH" => "#".to_owned(),
            "_BANG" => "!".to_owned(),
            "_ENV" => {
                let value = (self.options.env)(args).unwrap_or_default();
                // A line end in the value would make a second line without a position in a file.
                value.chars().filter(|c| !c.is_control()).collect()
            }
            "_RANDOM" => {
                let mut numbers = args.split_ascii_whitespace().map(str::parse::<u32>);
                let (low, high) = match (numbers.next(), numbers.next(), numbers.next()) {
                    (None, _, _) => (0, 32767),
                    (Some(Ok(low)), None, _) => (low, 32767),
                    (Some(Ok(low)), Some(Ok(high)), None) => (low, high),
                    _ => {
                        let help = "write `${_RANDOM}`, `${_RANDOM <min>}` or `${_RANDOM <min> <max>}`";
                        self.say(span, kind::not_a_random_range()).help(help);
                        (0, 32767)
                    }
                };
                if low > high {
                    self.say(span, kind::random_range_reversed(low, high));
                    return Some(low.to_string());
                }
                (u64::from(low) + self.next_random() % (u64::from(high - low) + 1)).to_string()
            }
            _ => return None,
        })
    }

    /// splitmix64: every seed is valid.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.random ^ (self.random >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

fn in_quotes(text: &str, at: usize) -> bool {
    lex::tokens(text).iter().any(|t| {
        let quoted = match t {
            Token::Word(w) => w.is_quoted(),
            Token::Unclosed(_) => true,
            _ => false,
        };
        quoted && (t.span().start as usize..t.span().end as usize).contains(&at)
    })
}
