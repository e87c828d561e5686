//! `~SEQ(var, [start, [step,]] end) text`, `~SEQx` and `~LST(var, a, b) text`: repetition of the rest of the line.

use super::expand::{Def, Value};
use super::{Frame, Outcome, Reader};
use crate::config::kind;
use crate::config::source::Span;

/// Nested repetitions. Usual files have three.
const MAX_STACKED: usize = 16;

/// A running repetition.
pub(super) struct Repeat {
    names: Vec<String>,
    values: Values,
    /// The previous definitions of the names.
    saved: Vec<Option<Def>>,
    /// The line to repeat.
    pub(super) line: Span,
    /// Position of the word `~SEQ(...)` or `~LST(...)`.
    pub(super) span: Span,
}

enum Values {
    Range { next: Option<i64>, step: i64, end: i64, hex: bool },
    List(std::vec::IntoIter<Vec<String>>),
}

impl Iterator for Values {
    type Item = Vec<String>;
    fn next(&mut self) -> Option<Vec<String>> {
        match self {
            Values::List(rows) => rows.next(),
            Values::Range { next, step, end, hex } => {
                let n = (*next)?;
                if (*step > 0 && n > *end) || (*step < 0 && n < *end) {
                    return None;
                }
                *next = n.checked_add(*step);
                let sign = if n < 0 { "-" } else { "" };
                Some(vec![if *hex { format!("{sign}{:x}", n.unsigned_abs()) } else { n.to_string() }])
            }
        }
    }
}

/// Whether a line begins with a repetition.
pub(super) fn starts(line: &str) -> bool {
    ["~SEQ(", "~SEQx(", "~LST("].iter().any(|w| line.starts_with(w))
}

/// Parses the text in the parentheses.
fn parse(kind: &str, inside: &str) -> Result<(Vec<String>, Values), &'static str> {
    let parts = commas(inside);
    let Some((first, rest)) = parts.split_first() else { return Err("nothing in the parentheses") };
    let names: Vec<String> = group(first).unwrap_or_else(|| vec![(*first).to_owned()]);
    let good = |n: &String| {
        n.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && n.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    if !names.iter().all(good) {
        return Err("the first word must be a name of letters, digits and _");
    }
    if kind == "~LST(" {
        let mut rows = Vec::new();
        for part in rest {
            let row = if first.starts_with('{') { group(part).unwrap_or_default() } else { vec![(*part).to_owned()] };
            if row.len() != names.len() {
                return Err("every group must have as many values as there are names");
            }
            rows.push(row);
        }
        return if rows.is_empty() { Err("there is no value") } else { Ok((names, Values::List(rows.into_iter()))) };
    }
    let numbers: Option<Vec<i64>> = rest.iter().map(|t| number(t)).collect();
    let (start, step, end) = match numbers.ok_or("a value is not a whole number")?.as_slice() {
        [end] => (if *end < 0 { -1 } else { 1 }, None, *end),
        [start, end] => (*start, None, *end),
        [start, step, end] => (*start, Some(*step), *end),
        _ => return Err("there must be one to three numbers"),
    };
    let step = step.unwrap_or(if end < start { -1 } else { 1 });
    if step == 0 || (step > 0 && end < start) || (step < 0 && end > start) {
        return Err("the step does not lead from the start to the end");
    }
    Ok((names, Values::Range { next: Some(start), step, end, hex: kind == "~SEQx(" }))
}

fn number(text: &str) -> Option<i64> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |d| (-1, d));
    let value = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) if !hex.starts_with(['+', '-']) => i64::from_str_radix(hex, 16).ok()?,
        None if !digits.starts_with(['+', '-']) => digits.parse().ok()?,
        _ => return None,
    };
    Some(sign * value)
}

/// Splits at commas outside braces.
fn commas(text: &str) -> Vec<&str> {
    let (mut out, mut from, mut depth) = (Vec::new(), 0, 0usize);
    for (i, b) in text.bytes().enumerate() {
        match b {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                out.push(text.get(from..i).unwrap_or("").trim());
                from = i + 1;
            }
            _ => {}
        }
    }
    out.push(text.get(from..).unwrap_or("").trim());
    out
}

/// `{a, b}` to its parts.
fn group(text: &str) -> Option<Vec<String>> {
    let inside = text.strip_prefix('{')?.strip_suffix('}')?;
    Some(inside.split(',').map(|t| t.trim().to_owned()).collect())
}

impl Reader<'_> {
    /// Begins a repetition; `here` is the line from its `~` without the comment.
    pub(super) fn repeat(&mut self, here: Span) {
        let text = self.src.slice(here).to_owned();
        let open = text.find('(').map_or(text.len(), |i| i + 1);
        let (kind, rest) = text.split_at(open);
        let Some(close) = rest.find(')') else {
            self.say(here, kind::parenthesis_not_closed()).help(HELP);
            return;
        };
        let span = Span { end: here.start + (open + close) as u32 + 1, ..here };
        // A name in the parentheses is replaced first, then the line is read again.
        let inside = rest.get(..close).unwrap_or("");
        let text = match inside.contains('$') {
            false => Some((kind.to_owned(), inside.to_owned())),
            true => match self.replace(span) {
                Outcome::Line(line) => {
                    let text = self.src.slice(line);
                    let open = text.find('(').map_or(text.len(), |i| i + 1);
                    let (kind, rest) = text.split_at(open);
                    Some((kind.to_owned(), rest.trim_end_matches(')').to_owned()))
                }
                Outcome::Same => Some((kind.to_owned(), inside.to_owned())),
                Outcome::Dropped => None,
            },
        };
        let Some((kind, inside)) = text else { return };
        let (names, values) = match parse(&kind, &inside) {
            Ok(good) => good,
            Err(why) => {
                self.say(span, kind::bad_repetition(why)).help(HELP);
                return;
            }
        };
        let line = Span { start: span.end, ..here };
        if self.src.slice(line).trim().is_empty() {
            self.say(span, kind::nothing_to_repeat()).help(HELP);
            return;
        }
        if self.stack.iter().filter(|f| matches!(f, Frame::Repeat(_))).count() >= MAX_STACKED {
            self.say(span, kind::repetitions_too_deep(MAX_STACKED));
            return;
        }
        if self.exhausted {
            return;
        }
        let saved = names.iter().map(|n| self.defs.get(n).cloned()).collect();
        self.stack.push(Frame::Repeat(Repeat { names, values, saved, line, span }));
    }

    /// Sets the names to their next values; false at the end.
    pub(super) fn set_variables(&mut self, repeat: &mut Repeat) -> bool {
        let Some(values) = repeat.values.next() else {
            let names = std::mem::take(&mut repeat.names);
            let saved = std::mem::take(&mut repeat.saved);
            self.put_back(names, saved);
            return false;
        };
        let span = repeat.span;
        for (name, value) in repeat.names.iter().zip(values) {
            self.defs.insert(name.clone(), Def { value: Value::Text(value, span), span });
        }
        true
    }

    /// Restores the previous definitions of the names.
    pub(super) fn restore(&mut self, repeat: Repeat) {
        self.put_back(repeat.names, repeat.saved);
    }

    fn put_back(&mut self, names: Vec<String>, saved: Vec<Option<Def>>) {
        for (name, def) in names.into_iter().zip(saved) {
            match def {
                Some(def) => self.defs.insert(name, def),
                None => self.defs.remove(&name),
            };
        }
    }
}

const HELP: &str = "write `~SEQ(<name>, <start>, <step>, <end>) <text with ${name}>`, or `~LST(<name>, <a>, <b>) <text>`; \
                    start and step may be left out";
