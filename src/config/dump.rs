//! `--dump-conf`: the configuration as a file again, with everything expanded: one entry per line, four blanks per block,
//! no comments, nothing that kalived ignored.
//!
//! Written from the statements of the expanded tree, so that every block of the language is covered without code of its
//! own. What was ignored is known from the messages; every step is proved by loading the text again and comparing the
//! model, and a step that would change the meaning is not taken. Secrets are asterisks unless asked for.
//! Read first: `tree.rs`, `load.rs`.

use super::Loaded;
use super::diag::Diag;
use super::input::Options;
use super::keyword::{self, Form, Scope};
use super::kind::Fate;
use super::lex::Word;
use super::load::load_tree;
use super::node::{MASK, Node};
use super::source::{FileError, Files, Sources, Span};
use super::tree::{Stmt, Tree};

/// Rounds of taking out what was ignored: a second one finds what the first one left half.
const ROUNDS: usize = 4;
/// Most places that are tried one by one, each by loading the whole text, where they cannot go together.
const ONE_BY_ONE: usize = 64;

/// Largest text, in bytes, for which that is worth the time; in a larger one what was ignored then stays.
const SMALL: usize = 256 << 10;

/// Reads a file and writes it anew; what there is to say about the original comes along.
pub fn dump(files: &dyn Files, path: &str, options: &Options<'_>, show_secrets: bool) -> (Loaded, String) {
    let (loaded, tree) = load_tree(files, path, options);
    let want = Node::of(&loaded.config);
    let mut best = write(&tree, &loaded, &[], false);
    match same(&best, &want) {
        None => {
            let doubt = "# This text does not mean exactly what the original does.\n";
            best.open.insert_str(0, doubt);
            best.masked.insert_str(0, doubt);
        }
        Some(mut now) => {
            for _ in 0..ROUNDS {
                let cut = droppable(&now, rejected(&now.0.diags), &want);
                let next = write(&now.1, &now.0, &cut, false);
                match same(&next, &want) {
                    Some(again) if !cut.is_empty() => (best, now) = (next, again),
                    _ => break,
                }
            }
            // What could not be left out is written as what it counts as.
            let last = write(&now.1, &now.0, &[], true);
            if same(&last, &want).is_some() {
                best = last;
            }
        }
    }
    (loaded, if show_secrets { best.open } else { best.masked })
}

/// Those of the places whose loss changes nothing.
fn droppable((loaded, tree): &(Loaded, Tree), cut: Vec<Cut>, want: &Node) -> Vec<Cut> {
    let works = |cut: &[Cut]| same(&write(tree, loaded, cut, false), want).is_some();
    if works(&cut) {
        return cut;
    }
    let mut out = Vec::new();
    if write(tree, loaded, &[], false).open.len() > SMALL {
        return out;
    }
    for one in cut.into_iter().take(ONE_BY_ONE) {
        out.push(one);
        if !works(&out) {
            out.pop();
        }
    }
    out
}

/// The text loaded again, when it means the same.
fn same(text: &Written, want: &Node) -> Option<(Loaded, Tree)> {
    struct Memory<'a>(&'a str);
    impl Files for Memory<'_> {
        fn read(&self, _: &str) -> Result<Vec<u8>, FileError> {
            Ok(self.0.as_bytes().to_vec())
        }
    }
    let (loaded, tree) = load_tree(&Memory(&text.open), "dump", &Options::default());
    (Node::of(&loaded.config) == *want).then_some((loaded, tree))
}

/// What was ignored: the places of the messages that say so.
fn rejected(diags: &[Diag]) -> Vec<Cut> {
    let mut cut: Vec<Cut> = Vec::new();
    for d in diags.iter().filter(|d| d.fate != Fate::Stands) {
        cut.extend(std::iter::once(&d.span).chain(&d.covers).map(|s| Cut { span: *s, what: d.fate }));
    }
    cut.sort_unstable();
    cut.dedup();
    cut
}

/// A piece of the file that was ignored, and what happened to it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Cut {
    span: Span,
    what: Fate,
}

/// Values that count as another one, which cannot be left out: without a priority `state MASTER` would be the owner.
fn counts_as(scope: Option<Scope>, name: &str, text: &str) -> Option<&'static str> {
    let number = || text.parse::<u16>().is_ok_and(|n| (1..=255).contains(&n));
    match (scope, name) {
        (Some(Scope::Instance), "priority") if !number() => Some("100"),
        (Some(Scope::Instance), "state") if !matches!(text, "MASTER" | "BACKUP") => Some("BACKUP"),
        _ => None,
    }
}

/// The text twice: as it is, and with asterisks.
#[derive(Default)]
struct Written {
    open: String,
    masked: String,
}

fn write(tree: &Tree, loaded: &Loaded, cut: &[Cut], used: bool) -> Written {
    let mut text = Text { src: &loaded.sources, cut, used, out: Written::default() };
    text.stmts(Some(Scope::Root), false, &tree.stmts, 0);
    text.out
}

struct Text<'a> {
    src: &'a Sources,
    /// The ignored pieces, sorted by position.
    cut: &'a [Cut],
    /// Write the value that is used instead of the one that is not right.
    used: bool,
    out: Written,
}

impl Text<'_> {
    fn put(&mut self, text: &str) {
        self.out.open.push_str(text);
        self.out.masked.push_str(text);
    }

    /// `lines`: entries, whose words are judged one by one.
    fn stmts(&mut self, scope: Option<Scope>, lines: bool, stmts: &[Stmt], depth: usize) {
        let mut first = true;
        for stmt in stmts {
            let Some(head) = stmt.words.first() else { continue };
            let whole = if lines { head.span } else { stmt.span() };
            if self.is_cut(whole)
                || lines && self.costs_line(stmt.span())
                || stmt.block.as_ref().is_some_and(|b| self.is_cut(b.open)) && lines
            {
                continue;
            }
            if depth == 0 && !first {
                self.put("\n");
            }
            first = false;
            for _ in 0..depth {
                self.put("    ");
            }
            let name = head.text(self.src).to_owned();
            let row = if lines { None } else { scope.and_then(|s| keyword::find(s, &name)) };
            for (i, word) in stmt.words.iter().enumerate() {
                if i > 0 && (lines && self.is_cut(word.span) || self.too_many(word.span)) {
                    continue;
                }
                if i > 0 {
                    self.put(" ");
                }
                let text = written(word, self.src);
                let text = match counts_as(scope, &name, word.text(self.src)) {
                    Some(other) if i == 1 && self.used => other.to_owned(),
                    _ => text,
                };
                self.out.open.push_str(&text);
                let hidden = secret(&name, scope, i, &text) || self.src.is_secret(word.span.file, word.span.start);
                self.out.masked.push_str(if hidden { MASK } else { &text });
            }
            if let Some(block) = &stmt.block {
                let (inner, entries) = match row.map(|r| r.form) {
                    Some(Form::Block(s)) => (Some(s), false),
                    Some(Form::Entries(s)) => (Some(s), true),
                    _ => (None, true),
                };
                self.put(" {\n");
                self.stmts(inner, entries, &block.stmts, depth + 1);
                for _ in 0..depth {
                    self.put("    ");
                }
                self.put("}");
            }
            self.put("\n");
        }
    }

    /// Whether a message about something ignored points into a span.
    fn is_cut(&self, span: Span) -> bool {
        self.cuts(span).any(|c| c.what != Fate::Words)
    }
    /// Whether it is a word too many. A message about such words points to the first and the last of them.
    fn too_many(&self, span: Span) -> bool {
        let at = self.cut.partition_point(|c| (c.span.file, c.span.start) <= (span.file, span.start));
        let before = self.cut.get(..at).unwrap_or(&[]).iter().rev().take(8);
        before.into_iter().any(|c| c.what == Fate::Words && c.span.file == span.file && span.end <= c.span.end)
    }
    /// Whether one of them costs the whole line.
    fn costs_line(&self, span: Span) -> bool {
        self.cuts(span).any(|c| c.what == Fate::Line)
    }
    fn cuts(&self, span: Span) -> impl Iterator<Item = &Cut> {
        let at = self.cut.partition_point(|c| (c.span.file, c.span.start) < (span.file, span.start));
        let inside = move |c: &&Cut| c.span.file == span.file && c.span.start < span.end.max(span.start + 1);
        self.cut.get(at..).unwrap_or(&[]).iter().take_while(inside)
    }
}

/// A word as it stands in the text, with its quotes and escapes: read again it is the same word.
fn written(word: &Word, src: &Sources) -> String {
    match src.slice(word.span) {
        "" => format!("\"{}\"", word.text(src)),
        slice => slice.to_owned(),
    }
}

/// Whether word number `i` of a statement is a secret.
fn secret(name: &str, scope: Option<Scope>, i: usize, text: &str) -> bool {
    match (name, i) {
        ("auth_pass", 1..) => true,
        ("password", 1..) => true,
        // `key <id> <text>|hex:<hex>|file:<path>`
        ("key", 2..) => scope == Some(Scope::AuthHmac) && !text.starts_with("file:"),
        _ => false,
    }
}
