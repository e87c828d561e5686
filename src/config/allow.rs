//! Silencing: `# kalived: allow(NAME, NAME)` in a file, and `--allow NAME`.
//!
//! On a line it holds for that line; on a line of its own for the next line that holds more than a comment; above
//! everything else in a file for the whole file. Warnings and notes can be silenced. Errors cannot: what is written there
//! has no effect, and nobody may be left to believe that it has.

use super::diag::{Diag, Diags, Severity};
use super::keyword::nearest::distance;
use super::source::{Sources, Span};
use super::{lint, names};
use std::collections::BTreeMap;

/// What stands in the comment, before the names.
const MARK: &str = "kalived: allow(";

/// Every name that can be silenced or is known, sorted.
pub fn all_names() -> Vec<&'static str> {
    let mut all: Vec<&str> = lint::LINTS
        .iter()
        .map(|l| l.name)
        .chain(names::KINDS.iter().map(|k| k.0))
        .chain(names::OF_MACHINE.iter().copied())
        .collect();
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

/// What the files allow.
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
        let (mut offset, mut only_comments) = (0u32, true);
        let mut waiting: Vec<String> = Vec::new();
        for (n, line) in (1u32..).zip(text.split_inclusive('\n')) {
            let trimmed = line.trim();
            let comment = trimmed.starts_with(['#', '!']);
            let names = marked(line).map(|(at, list)| known(src, number, offset + at as u32, list, diags));
            if comment || trimmed.is_empty() {
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
            offset += line.len() as u32;
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

/// The names in a comment of a line, and where they start.
fn marked(line: &str) -> Option<(usize, &str)> {
    let at = line.find(MARK)?;
    if !line.get(..at)?.trim_end().ends_with(['#', '!']) {
        return None;
    }
    let start = at + MARK.len();
    let rest = line.get(start..)?;
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
                .push(src, Severity::Warning, span, format!("there is no message with the name `{name}`"))
                .name("unknown-name")
                .help(help.unwrap_or_else(|| "kalived.conf(5) lists them under DIAGNOSTICS and LINTS".to_owned()))
                .not_in_test();
        }
    }
    out
}
