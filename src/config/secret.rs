//! Words of a file that no message, excerpt or masked dump shows: passwords and keys.
//!
//! A line is judged by its keywords (`of_line`), also one that never became a statement. Statements are judged by the block that they
//! stand in (`mark`): in `authentication` and `auth_hmac` everything is hidden that is neither a keyword nor a plain setting, so that a
//! misspelt or misplaced password is. Where in doubt, too much is hidden.

use super::diag::Diag;
use super::keyword::nearest::{distance, is_known};
use super::lex::{self, Token};
use super::node::MASK;
use super::source::{Sources, Span};
use super::tree::{MAX_LINE, Stmt, Tree};
use std::ops::Range;

/// Keywords that a secret follows.
const SECRET: &[&str] = &["auth_pass", "key", "password"];
/// Secrets shorter than this are replaced in a message only where they are quoted.
const SHORT: usize = 4;

/// Whether this first word of a line announces a secret, maybe misspelt.
fn announces(word: &str) -> bool {
    let near = |s: &&str| match s.len() {
        ..=4 => distance(s, word) <= 1,
        _ => distance(s, word) <= 2,
    };
    word.len() < 20 && word != "auth_type" && SECRET.iter().any(near)
}

/// Whether this first word begins a block with secrets, maybe misspelt.
fn opens_secrets(word: &str) -> bool {
    let begins = word.get(..4).is_some_and(|w| w.eq_ignore_ascii_case("auth"));
    let near = || ["authentication", "auth_hmac"].iter().any(|s| distance(s, word) <= 2);
    begins || ((7..=16).contains(&word.len()) && near())
}

/// Whether a line contains a secret.
pub fn in_line(line: &str) -> bool {
    !of_line(line).is_empty()
}

/// The positions of the secrets of a line: what follows such a keyword, to the end of the statement. A password may contain a brace or a
/// comment sign: where the sign really ends the statement, too much is hidden rather than too little.
pub fn of_line(line: &str) -> Vec<Range<usize>> {
    if line.len() > MAX_LINE {
        return SECRET.iter().any(|s| line.contains(s)).then_some(0..line.len()).into_iter().collect();
    }
    let mut out: Vec<Range<usize>> = Vec::new();
    // A piece without a blank before it belongs to the same word.
    let mut hide = |at: Range<usize>| match out.last_mut() {
        Some(last) if last.end == at.start => last.end = at.end,
        _ => out.push(at),
    };
    // The end of the previous piece, once a keyword was found; whether something is hidden after it.
    let (mut first, mut secret, mut hidden): (bool, Option<usize>, bool) = (true, None, false);
    for token in lex::tokens(line) {
        let at = token.span().start as usize..token.span().end as usize;
        let brace = matches!(token, Token::Open(_) | Token::Close(_));
        match secret {
            Some(end) if !brace || !hidden || at.start == end => {
                hide(at.clone());
                (secret, hidden) = (Some(at.end), true);
            }
            _ if brace => (first, secret) = (true, None),
            None => {
                let word = line.get(at.clone()).unwrap_or("").trim_matches('"');
                let is_one = if first { announces(word) } else { SECRET.contains(&word) };
                // `@id` is a condition for the rest of the line.
                first = first && word.starts_with('@');
                (secret, hidden) = (is_one.then_some(at.end), false);
            }
            _ => {}
        }
    }
    // A comment sign in a password starts a comment, which would show the rest of the password.
    let mut end = secret.unwrap_or(line.len());
    while let Some(word) = line.get(end..).and_then(|t| t.split_whitespace().next()) {
        let start = end + line.get(end..).and_then(|t| t.find(word)).unwrap_or(0);
        end = start + word.len();
        hide(start..end);
    }
    out
}

/// Marks the secrets of all statements. Before a message about one is made or shown.
pub fn mark(src: &mut Sources, tree: &Tree) {
    let mut found = Vec::new();
    walk(src, &tree.stmts, In::Elsewhere, &mut found);
    found.into_iter().for_each(|span| src.add_secret_word(span));
}

/// The kind of block that a statement stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum In {
    Elsewhere,
    /// Only exact words are looked for: there are half a million statements, and none of their blocks has a password.
    Servers,
    /// `authentication` and `auth_hmac`: blocks that contain secrets.
    Secrets,
    /// A block in such a block, or behind a secret.
    Hidden,
}

fn walk(src: &Sources, stmts: &[Stmt], within: In, found: &mut Vec<Span>) {
    for stmt in stmts {
        let Some(head) = stmt.words.first() else { continue };
        let first = head.text(src);
        let opens = matches!(within, In::Elsewhere) && opens_secrets(first);
        // What follows the first word of these blocks is of them.
        let mut inner = match within {
            In::Secrets | In::Hidden => In::Hidden,
            _ if opens => In::Secrets,
            In::Servers => In::Servers,
            In::Elsewhere if first.starts_with("virtual_server") => In::Servers,
            In::Elsewhere => In::Elsewhere,
        };
        // A password that stands where a keyword should.
        if within == In::Hidden || (within == In::Secrets && !is_known(first) && !near_known(first)) {
            found.push(head.span);
        }
        let mut after = opens || matches!(within, In::Secrets | In::Hidden);
        for (i, word) in stmt.words.iter().enumerate().skip(1) {
            let text = word.text(src);
            if after && !((within == In::Secrets || opens) && is_plain(first, text, i)) {
                found.push(word.span);
            }
            after |= matches!(text, "auth_pass" | "password");
        }
        if within == In::Elsewhere && !opens && matches!(first, "auth_pass" | "password") {
            found.extend(stmt.words.iter().skip(1).map(|w| w.span));
            after = true;
        }
        if after && !opens {
            inner = In::Hidden;
        }
        if let Some(block) = &stmt.block {
            walk(src, &block.stmts, inner, found);
        }
    }
}

/// A keyword that is only misspelt.
fn near_known(word: &str) -> bool {
    ["auth_type", "auth_pass", "key", "active_key", "mode", "anti_replay", "time_window"]
        .iter()
        .any(|k| distance(k, word) <= k.len() / 3)
}

/// A setting, the number of a key, or the file of one: no secret.
fn is_plain(first: &str, text: &str, position: usize) -> bool {
    match (first, position) {
        ("auth_type" | "mode" | "anti_replay" | "time_window", 1) => true,
        ("key" | "active_key", 1) => text.parse::<u16>().is_ok(),
        ("key", 2) => text.starts_with("file:"),
        // Another sign in place of `{`.
        (_, 1) if opens_secrets(first) && text.chars().nth(1).is_none() => !text.starts_with(char::is_alphanumeric),
        // The number of a keyword that stands here because a brace is missing.
        (_, 1) => is_known(first) && !announces(first) && text.parse::<u16>().is_ok(),
        _ => false,
    }
}

/// Replaces the secrets that stand in or near the places of a message.
pub fn mask(src: &Sources, diag: &mut Diag) {
    let spans = std::iter::once(diag.span).chain(diag.related.iter().map(|r| r.1));
    let mut words: Vec<String> = Vec::new();
    for span in spans.flat_map(|s| [s, src.origin(s)]) {
        let line = src.line_of(span);
        let line = Span { end: line.end.max(span.end), ..line };
        for secret in src.secrets_in(line) {
            let text = src.slice(secret);
            words.extend([text.to_owned(), text.trim_matches('"').to_owned()]);
            // As it is without its quotes and escapes.
            let escaped = lex::tokens(text).into_iter().filter_map(|t| match t {
                Token::Word(w) | Token::Unclosed(w) => Some(w.text(&Sources::default()).to_owned()),
                Token::Open(_) | Token::Close(_) => None,
            });
            words.extend(escaped);
        }
    }
    words.retain(|w| !w.is_empty());
    if words.is_empty() {
        return;
    }
    // The longest first: one may be a part of another.
    words.sort_unstable_by_key(|w| std::cmp::Reverse(w.len()));
    words.dedup();
    let hide = |text: &mut String| words.iter().for_each(|w| *text = without(text, w));
    hide(&mut diag.message);
    diag.help.iter_mut().for_each(hide);
    diag.related.iter_mut().for_each(|r| hide(&mut r.2));
}

/// The text with the mask for every place where this word stands as a whole.
fn without(text: &str, word: &str) -> String {
    if word.len() < SHORT {
        return text.replace(&format!("`{word}`"), &format!("`{MASK}`"));
    }
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(word) {
        let (before, after) = (rest.get(..at).unwrap_or(""), rest.get(at + word.len()..).unwrap_or(""));
        let whole = !before.ends_with(part) && !after.starts_with(part);
        out.push_str(before);
        out.push_str(if whole { MASK } else { word });
        rest = after;
    }
    out + rest
}
