//! Words to numbers, durations, truth values, addresses, by the form the keyword table gives. One function per form;
//! each tells what is wrong and what is allowed, and returns `None` when the setting stays as it was.

use super::Cx;
use crate::config::diag::Severity;
use crate::config::keyword::{Form, Keyword};
use crate::config::lex::Word;
use crate::config::source::Span;
use crate::config::tree::Stmt;
use core::net::IpAddr;
use core::time::Duration;

/// What to do with "5s" where a number is wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tail {
    /// Take the 5 with a warning, as keepalived does for most numbers.
    Lenient,
    /// Refuse.
    Strict,
}

/// The setting as a problem of the operator: bad values keep the default (Error) or keep the daemon from starting.
pub(super) type Bad = Severity;

impl<'a> Cx<'a> {
    /// The one argument; a missing one is fatal, as in keepalived.
    pub(super) fn arg(&mut self, k: &Keyword, stmt: &'a Stmt) -> Option<&'a Word> {
        self.extra(stmt, 2);
        if self.partial && stmt.words.get(1).is_some_and(|w| self.text(w).contains('$')) {
            return None;
        }
        let Some(word) = stmt.words.get(1) else {
            self.fatal(stmt.span(), format!("`{}` without a value", k.name))
                .help(format!("write `{} {}`", k.name, k.args));
            return None;
        };
        // Names may hold anything; a password would differ from the one the other routers send.
        if k.name == "auth_pass" && self.text(word).contains('\u{FFFD}') {
            self.fatal(word.span, "`auth_pass` holds bytes that are not UTF-8")
                .help("write it in UTF-8, best in ASCII");
            return None;
        }
        Some(word)
    }

    /// Tells of words after the first `used`.
    pub(super) fn extra(&mut self, stmt: &'a Stmt, used: usize) {
        let Some(rest) = stmt.words.get(used..) else { return };
        if let (Some(a), Some(b)) = (rest.first(), rest.last()) {
            self.note(a.span.to(b.span), "more words than the keyword takes: ignored");
        }
    }

    pub(super) fn string(&mut self, k: &Keyword, stmt: &'a Stmt) -> Option<(String, Span)> {
        self.arg(k, stmt).map(|w| (self.text(w).to_owned(), w.span))
    }

    pub(super) fn boolean(&mut self, stmt: &'a Stmt) -> Option<bool> {
        self.extra(stmt, 2);
        if self.partial && stmt.words.get(1).is_some_and(|w| self.text(w).contains('$')) {
            return None;
        }
        let Some(word) = stmt.words.get(1) else { return Some(true) };
        match self.text(word) {
            "true" | "on" | "yes" => Some(true),
            "false" | "off" | "no" => Some(false),
            other => {
                let text = format!("`{other}` is neither true, on, yes nor false, off, no; ignored");
                self.error(word.span, text);
                None
            }
        }
    }

    pub(super) fn int(&mut self, k: &Keyword, stmt: &'a Stmt, tail: Tail, bad: Bad) -> Option<(i64, Span)> {
        let word = self.arg(k, stmt)?;
        let Form::Int(min, max) = k.form else { return None };
        let text = self.text(word);
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        let len = text.len() - digits.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number = text.get(..len).unwrap_or("");
        let allowed = format!("allowed: {min}..{max}");
        self.number(k, word, number, tail, bad, &allowed)?;
        match number.parse::<i64>() {
            Ok(n) if (min..=max).contains(&n) => Some((n, word.span)),
            _ => {
                self.outside(k, word, bad, &allowed);
                None
            }
        }
    }

    /// In microseconds.
    pub(super) fn micros(&mut self, k: &Keyword, stmt: &'a Stmt, bad: Bad) -> Option<(u64, Span)> {
        let word = self.arg(k, stmt)?;
        let Form::Secs(min, max) = k.form else { return None };
        let text = self.text(word);
        let len = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let number = text.get(..len).unwrap_or("");
        let allowed = format!("allowed: {}..{} seconds", seconds(min), seconds(max));
        self.number(k, word, number, Tail::Lenient, bad, &allowed)?;
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
        if !digits(part) || (whole.is_empty() && part.is_empty()) {
            return self.not_a_number(k, word, bad, &allowed);
        }
        if part.len() > 6 {
            self.warn(word.span, "more than six decimals: the rest is dropped");
        }
        let whole = if whole.is_empty() { Some(0) } else { whole.parse::<u64>().ok() };
        let micro = part.bytes().chain(std::iter::repeat(b'0')).take(6).fold(0, |n, b| n * 10 + u64::from(b - b'0'));
        let value = whole.and_then(|w| w.checked_mul(1_000_000)).and_then(|w| w.checked_add(micro));
        match value {
            Some(v) if (min..=max).contains(&v) => Some((v, word.span)),
            _ => {
                self.outside(k, word, bad, &allowed);
                None
            }
        }
    }

    pub(super) fn duration(&mut self, k: &Keyword, stmt: &'a Stmt) -> Option<Duration> {
        self.micros(k, stmt, Severity::Error).map(|(us, _)| Duration::from_micros(us))
    }

    pub(super) fn ip(&mut self, k: &Keyword, stmt: &'a Stmt) -> Option<(IpAddr, Span)> {
        let word = self.arg(k, stmt)?;
        let text = self.text(word);
        match text.parse() {
            Ok(ip) => Some((ip, word.span)),
            Err(_) => {
                self.error(word.span, format!("`{text}` is not an IP address; `{}` is ignored", k.name));
                None
            }
        }
    }

    /// A name that an interface can have (at most 15 bytes, no blank, no slash).
    pub(super) fn interface(&mut self, word: &'a Word, user: &str) -> Option<String> {
        let name = self.text(word);
        let odd = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
        if name.is_empty() || name.len() > 15 || name == "." || name == ".." || name.contains(odd) {
            self.error(word.span, format!("no interface can have the name `{name}`; ignored"))
                .help("a name has 1 to 15 bytes, without blanks, / and :");
            return None;
        }
        let name = name.to_owned();
        self.interfaces.push(super::InterfaceUse { name: name.clone(), span: word.span, user: user.to_owned() });
        Some(name)
    }

    /// Whether `number`, the numeric start of the word, may be used.
    fn number(&mut self, k: &Keyword, word: &'a Word, number: &str, tail: Tail, bad: Bad, allowed: &str) -> Option<()> {
        let text = self.text(word);
        if !number.bytes().any(|b| b.is_ascii_digit()) {
            return self.not_a_number(k, word, bad, allowed);
        }
        if number.len() < text.len() {
            if tail == Tail::Strict || text.as_bytes().get(number.len()) == Some(&b',') {
                return self.not_a_number(k, word, bad, allowed);
            }
            self.warn(word.span, format!("`{text}` is not a plain number: {number} is used"));
        }
        Some(())
    }

    fn not_a_number<T>(&mut self, k: &Keyword, word: &'a Word, bad: Bad, allowed: &str) -> Option<T> {
        let text = format!("`{}` is not a number{}", self.text(word), ignored(k, bad));
        self.say(bad, word.span, text).help(allowed);
        None
    }

    fn outside(&mut self, k: &Keyword, word: &'a Word, bad: Bad, allowed: &str) {
        let text = format!("{} is out of range{}", self.text(word), ignored(k, bad));
        self.say(bad, word.span, text).help(allowed);
    }
}

fn ignored(k: &Keyword, bad: Bad) -> String {
    if bad == Severity::Error { format!(": `{}` is ignored", k.name) } else { format!(" for `{}`", k.name) }
}

/// Microseconds as seconds with as few decimals as needed.
pub(super) fn seconds(us: u64) -> String {
    let text = format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
