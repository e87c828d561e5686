//! `include` and its stricter forms, and the main path: which files are read, and from where.
//!
//! A relative name is relative to the directory of the file that contains the `include`. Directories, devices and executable files are
//! skipped. A missing file is reported; it prevents the start only where the file or `-e` requires that.

use super::{Frame, Reader, Reading};
use crate::config::glob;
use crate::config::kind::{self, Message};
use crate::config::lex::{self, Token};
use crate::config::source::{FileError, Kind, MAX_BYTES, Span};
use crate::exit::ExitCode;

/// Matched files can be read.
const READ: u8 = 1;
/// A plain name must exist.
const MATCH: u8 = 2;
/// A pattern must match something.
const WILD: u8 = 4;
/// Every alternative of braces must match something.
const BRACE: u8 = 8;
const ALL: u8 = READ | MATCH | WILD | BRACE;

/// The form of `include` at the start of a line: its length, and its checks.
pub(super) fn keyword(line: &str) -> Option<(usize, u8)> {
    let end = line.find([' ', '\t']).unwrap_or(line.len());
    let checks = match line.get(..end)? {
        "include" => 0,
        "includer" => READ,
        "includem" => READ | MATCH,
        "includew" => READ | MATCH | WILD,
        "includeb" => READ | BRACE,
        "includea" => ALL,
        _ => return None,
    };
    Some((end, checks))
}

fn directory(path: &str) -> &str {
    path.rfind('/').and_then(|i| path.get(..=i)).unwrap_or("")
}

/// Removes `./` and doubled slashes, so that a file that includes itself is recognised.
fn tidy(path: &str) -> String {
    let mut out = if path.starts_with('/') { "/".to_owned() } else { String::new() };
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
    out.push_str(&parts.join("/"));
    out
}

impl Reader<'_> {
    /// Opens the main file or files; false when there is none, which has been reported.
    pub(super) fn start(&mut self, path: &str) -> bool {
        if glob::is_pattern(path) && self.files.kind(path).is_err() {
            let found = glob::glob(self.files, path).unwrap_or_default();
            let mut paths: Vec<String> = found.into_iter().flat_map(|f| f.paths).collect();
            paths.retain(|p| matches!(self.files.kind(p), Ok(Kind::File { executable: false })));
            if let Some(first) = paths.first().cloned() {
                let count = paths.len();
                let rest: Vec<String> = paths.split_off(1);
                if !self.main(&first) {
                    return false;
                }
                if count > 1 {
                    self.say(Span::default(), kind::several_files(count, path));
                }
                // Below the first file, which is read first.
                self.stack.insert(0, Frame::Paths { paths: rest.into_iter(), from: None, must: true });
                return true;
            }
        }
        self.main(path)
    }

    fn main(&mut self, path: &str) -> bool {
        match self.take(path, None) {
            Ok(file) => {
                self.push_file(file, path);
                true
            }
            Err(e) => {
                let _ = self.src.add(path, Vec::new());
                self.say(Span::default(), kind::unreadable(&e.reason)).help(remedy(&e)).exit(ExitCode::NoConfig);
                false
            }
        }
    }

    fn take(&mut self, path: &str, from: Option<Span>) -> Result<u32, FileError> {
        let bytes = self.files.read(path)?;
        self.count_bytes += bytes.len();
        self.count_files += 1;
        let limits = self.options.limits;
        let too_large = FileError {
            errno: None,
            reason: format!("larger than {} MiB, which no configuration is", MAX_BYTES.min(limits.bytes) >> 20),
        };
        if self.count_bytes > limits.bytes {
            return Err(too_large);
        }
        self.src.add_included(path, bytes, from).ok_or(too_large)
    }

    fn push_file(&mut self, file: u32, path: &str) {
        let (name, checks) = (path.to_owned(), self.checks);
        self.stack.push(Frame::File(Reading { file, name, at: 0, sign: None, word: None, checks }));
    }

    fn reading(&self) -> impl Iterator<Item = &Reading> {
        self.stack.iter().rev().filter_map(|f| if let Frame::File(r) = f { Some(r) } else { None })
    }

    /// The directory of the file being read, absolute where that is known.
    pub(super) fn directory_now(&self) -> String {
        let name = self.reading().next().map_or("", |r| r.name.as_str());
        let here = directory(name).trim_end_matches('/');
        match (name.starts_with('/'), here.is_empty()) {
            (true, true) => "/".to_owned(),
            (true, false) => here.to_owned(),
            (false, true) => self.files.working_directory(),
            (false, false) => format!("{}/{here}", self.files.working_directory()),
        }
    }

    /// A line that begins with a form of `include`.
    pub(super) fn include(&mut self, here: Span) {
        let line = self.src.slice(here);
        let Some((length, form)) = keyword(line) else { return };
        let word = line.get(..length).unwrap_or("").to_owned();
        let rest = line.get(length..).unwrap_or("");
        let (name, used) = file_name(rest);
        let after = Span { start: here.start + (length + used) as u32, ..here };
        let pattern = name.to_owned();
        if pattern.is_empty() {
            self.say(here, kind::include_without_name(&word)).help("write `include <file>`");
            return;
        }
        let more = self.src.slice(after).trim();
        if more.starts_with('}') {
            self.stack.push(Frame::Line(after, false, 0));
        } else if !more.is_empty() {
            self.say(after, kind::include_words()).help("a file name with blanks stands in \"quotes\"");
        }
        let span = Span { end: after.start, ..here };
        let checks = form | self.checks | if self.options.strict_include { ALL } else { 0 };
        let base = self.reading().next().map_or("", |r| directory(&r.name)).to_owned();
        let full = if pattern.starts_with('/') { pattern } else { escape(&base) + &pattern };
        let Some(found) = glob::glob(self.files, &full) else {
            let text = kind::too_many_matches(glob::MAX_MATCHES);
            self.fatal(span, text);
            return;
        };
        let braces = found.len() > 1;
        let mut paths = Vec::new();
        let nothing = found.iter().all(|f| f.paths.is_empty());
        for f in found {
            let demanded = match (f.wild, braces) {
                _ if !f.paths.is_empty() => false,
                (_, true) if checks & BRACE != 0 => true,
                (true, _) => checks & WILD != 0,
                (false, false) => checks & MATCH != 0,
                (false, true) => checks & MATCH != 0 && nothing,
            };
            if demanded {
                let text = kind::include_demands(&f.pattern, &word);
                self.fatal(span, text);
            } else if f.paths.is_empty() && !f.wild && (!braces || nothing) {
                self.say(span, kind::include_missing(&f.pattern)).not_in_test();
            } else if f.paths.is_empty() && f.wild {
                self.say(span, kind::include_without_match(&f.pattern));
            }
            paths.extend(f.paths);
        }
        let must = checks & READ != 0;
        self.stack.push(Frame::Paths { paths: paths.into_iter(), from: Some(span), must });
    }

    fn fatal(&mut self, span: Span, text: Message) {
        self.say(span, text)
            .help("`include` alone, without include_check and without -e, goes on without the file")
            .exit(ExitCode::NoConfig);
    }

    /// One file of an `include`.
    pub(super) fn open(&mut self, path: &str, from: Option<Span>, must: bool) {
        let span = from.unwrap_or_default();
        let path = tidy(path);
        let open: Vec<String> = self.reading().map(|r| tidy(&r.name)).collect();
        let limits = self.options.limits;
        let refused = if open.contains(&path) {
            let mut chain: Vec<&str> = open.iter().rev().map(String::as_str).collect();
            chain.push(&path);
            Some((kind::includes_itself(chain.join(" -> ")), "break the circle"))
        } else if open.len() >= limits.depth {
            let mut chain: Vec<&str> = open.iter().rev().map(String::as_str).collect();
            chain.push(&path);
            let text = kind::includes_too_deep(limits.depth, chain.join(" -> "));
            Some((text, "do files include each other, through symbolic links?"))
        } else if self.count_files >= limits.files {
            Some((kind::too_many_files(limits.files, &path), "include fewer files"))
        } else {
            None
        };
        if let Some((text, help)) = refused {
            self.say(span, text).help(help);
            return;
        }
        let problem = match self.files.kind(&path) {
            Ok(Kind::File { executable: true }) => {
                Some("it may be executed, which no configuration file should".into())
            }
            Ok(Kind::File { .. }) => None,
            Ok(Kind::Directory) => Some("it is a directory".to_owned()),
            Ok(Kind::Other) => Some("it is not a regular file".to_owned()),
            Err(e) => Some(e.reason),
        };
        let problem = match problem {
            Some(why) => Some(why),
            None => match self.take(&path, from) {
                Ok(file) => {
                    self.push_file(file, &path);
                    None
                }
                Err(e) => Some(e.reason),
            },
        };
        let Some(why) = problem else { return };
        if must {
            self.fatal(span, kind::include_failed(&path, &why));
        } else {
            self.say(span, kind::not_included(&path, &why)).not_in_test();
        }
    }

    /// `include_check`: the checks for every `include` from here to the end of this file.
    pub(super) fn include_check(&mut self, here: Span) {
        let text = self.src.slice(here);
        let tokens = lex::tokens(text);
        let words = tokens.iter().filter(|t| matches!(t, Token::Word(_)));
        let mut words = words.map(|t| text.get(t.span().start as usize..t.span().end as usize).unwrap_or(""));
        if words.next() != Some("include_check") {
            return;
        }
        let mut checks = self.checks;
        let mut first = true;
        for word in words {
            let (plus, name) = match word.split_at_checked(1) {
                Some(("+", name)) => (Some(true), name),
                Some(("-", name)) => (Some(false), name),
                _ => (None, word),
            };
            let flag = match name {
                "read" | "readable" => READ,
                "match" => MATCH | READ,
                "wildcard_match" => WILD | READ,
                "brace_match" => BRACE | READ,
                _ => continue,
            };
            match plus {
                Some(true) => checks |= flag,
                // Removing a check keeps the weaker ones.
                Some(false) => checks &= !(if flag == READ { READ } else { flag & !READ }),
                None if first => checks = flag,
                None => checks |= flag,
            }
            first = false;
        }
        self.checks = if first { ALL } else { checks };
    }
}

/// A name without quotes, and the length of its text: words and braces without a blank between them, or in braces.
fn file_name(text: &str) -> (&str, usize) {
    let tokens = lex::tokens(text);
    let Some(first) = tokens.first().map(Token::span) else { return ("", text.len()) };
    let (start, mut end, mut depth) = (first.start as usize, first.start as usize, 0);
    for token in &tokens {
        let span = token.span();
        match token {
            _ if span.start as usize > end && depth == 0 => break,
            Token::Word(w) if w.is_quoted() && end == start => {
                let end = span.end as usize;
                return (text.get(start + 1..end - 1).unwrap_or(""), end);
            }
            Token::Unclosed(_) if end == start => return (text.get(start + 1..).unwrap_or(""), text.len()),
            Token::Open(_) => depth += 1,
            Token::Close(_) if depth == 0 => break,
            Token::Close(_) => depth -= 1,
            _ => {}
        }
        end = span.end as usize;
    }
    (text.get(start..end).unwrap_or(""), end)
}

/// A directory as a pattern that matches only itself.
fn escape(directory: &str) -> String {
    let mut out = String::new();
    for c in directory.chars() {
        if matches!(c, '*' | '?' | '[' | '{' | '}' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

pub(super) fn remedy(e: &FileError) -> &'static str {
    match e.errno {
        Some(2 | 20) => "create the file, or name another one with --config",
        Some(1 | 13) => "run kalived as root, or make the file readable for it",
        Some(21) => "this is a directory; name a file in it with --config",
        _ => "name another file with --config",
    }
}
