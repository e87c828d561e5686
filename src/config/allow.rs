//! Silencing: `# kalived: allow(NAME, NAME)` in a file, and `--allow NAME`.
//!
//! On a line it holds for that line; on a line of its own for the next line that holds more than a comment; above
//! everything else in a file for the whole file. Warnings and notes can be silenced. Errors cannot: the statement has no effect, and
//! its author has to be told.

use super::diag::{Diag, Diags};
use super::keyword::nearest::distance;
use super::kind;
use super::lex;
use super::source::{Sources, Span};
use std::collections::BTreeMap;

/// What stands in the comment, before the names.
const MARK: &str = "kalived: allow(";

/// Every name that can be silenced or is known, sorted.
pub fn all_names() -> Vec<&'static str> {
    let mut all: Vec<&str> = kind::KINDS.iter().map(|k| k.code).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The nearest known name, for "did you mean".
pub fn nearest(name: &str) -> Option<&'static str> {
    // No name is longer; the distance to a text of a hostile file would cost the product of both lengths.
    if name.len() > 40 {
        return None;
    }
    all_names().into_iter().map(|n| (distance(name, n), n)).filter(|(d, _)| *d <= 3).min().map(|(_, n)| n)
}

/// The messages that `allow(...)` in the files and `--allow` silence: everywhere, in a file, or on a line.
#[derive(Debug, Default)]
pub struct Allowed {
    everywhere: Vec<String>,
    whole_file: BTreeMap<u32, Vec<String>>,
    lines: BTreeMap<(u32, u32), Vec<String>>,
}

impl Allowed {
    /// Reads the comments of all files; names nobody knows become warnings.
    pub fn read(src: &Sources, everywhere: &[String], diags: &mut Diags) -> Allowed {
        let mut out = Allowed { everywhere: everywhere.to_vec(), ..Allowed::default() };
        let mut number = 0;
        while let Some(file) = src.file(number) {
            // Most files have none: one fast look, then line by line.
            if !file.name.is_empty() && memchr::memmem::find(file.text.as_bytes(), MARK.as_bytes()).is_some() {
                out.file(src, number, &file.text, diags);
            }
            number += 1;
        }
        out
    }

    fn file(&mut self, src: &Sources, number: u32, text: &str, diags: &mut Diags) {
        let mut comments = lex::comments(text).into_iter().peekable();
        let (mut offset, mut only_comments) = (0usize, true);
        let mut waiting: Vec<String> = Vec::new();
        for (n, line) in (1u32..).zip(text.split_inclusive('\n')) {
            let comment = comments.next_if(|c| c.start < offset + line.len()).unwrap_or(offset..offset);
            let said = text.get(comment.clone()).unwrap_or("");
            let names = marked(said).map(|(at, list)| known(src, number, (comment.start + at) as u32, list, diags));
            let before = line.get(..if comment.is_empty() { line.len() } else { comment.start - offset });
            if before.is_none_or(|t| t.trim().is_empty()) {
                match names {
                    Some(names) if only_comments => self.whole_file.entry(number).or_default().extend(names),
                    Some(names) => waiting.extend(names),
                    None => {}
                }
            } else {
                only_comments = false;
                let mut all = std::mem::take(&mut waiting);
                all.extend(names.into_iter().flatten());
                if !all.is_empty() {
                    self.lines.insert((number, n), all);
                }
            }
            offset += line.len();
        }
    }

    /// Whether a message is to be left out.
    pub fn silences(&self, d: &Diag, src: &Sources) -> bool {
        if !d.may_be_silenced() {
            return false;
        }
        // What stands for several places is silent when all of them are.
        self.silent(d.code(), src.origin(d.span).file, d.place.line)
            && d.covers.iter().all(|s| self.silent(d.code(), src.origin(*s).file, src.place(*s).line))
    }

    fn silent(&self, code: &str, file: u32, line: u32) -> bool {
        let lists = [Some(&self.everywhere), self.whole_file.get(&file), self.lines.get(&(file, line))];
        lists.into_iter().flatten().flatten().any(|n| n == code)
    }
}

/// The names in a comment, and where they start.
fn marked(comment: &str) -> Option<(usize, &str)> {
    let at = comment.find(MARK)?;
    if !comment.get(..at)?.trim_end().ends_with(['#', '!']) {
        return None;
    }
    let start = at + MARK.len();
    let rest = comment.get(start..)?;
    Some((start, rest.split(')').next().unwrap_or(rest)))
}

fn known(src: &Sources, file: u32, at: u32, list: &str, diags: &mut Diags) -> Vec<String> {
    let mut out = Vec::new();
    let mut start = at;
    for part in list.split(',') {
        let name = part.trim();
        let lead = (part.len() - part.trim_start().len()) as u32;
        let span = Span { file, start: start + lead, end: start + lead + name.len() as u32 };
        start += part.len() as u32 + 1;
        if all_names().contains(&name) {
            out.push(name.to_owned());
        } else if !name.is_empty() {
            let help = nearest(name).map(|n| format!("did you mean `{n}`?"));
            diags
                .push(src, span, kind::no_such_name(name))
                .help(help.unwrap_or_else(|| "kalived.conf(5) lists them under DIAGNOSTICS and LINTS".to_owned()))
                .not_in_test();
        }
    }
    out
}
