//! Lines to a tree of statements, whatever is wrong with them: one bad line hides no other.
//!
//! Shape only; the keyword table is asked just for what opens a block. A brace that is missing is put where it was
//! forgotten: in front of a word that can only stand at the top level; and, when the braces of the file do not balance,
//! also in front of a word that only an outer block knows. Read first: `lex.rs`. Read next: `lower`.

use super::diag::{Diags, Severity};
use super::keyword::{self, Form, Scope};
use super::lex::{self, Quotes, Token, Word};
use super::source::{Sources, Span};

/// Deepest nesting taken in. The language needs five; this bounds the stack for hostile files.
const MAX_DEPTH: usize = 16;

/// Longest line taken in, in bytes; keepalived takes 1024. Columns are counted from the start of a line, so this bounds
/// the work for a hostile file that is one line.
const MAX_LINE: usize = 16 << 10;

/// A line or a block.
#[derive(Debug)]
pub struct Stmt {
    /// At least one, except for a block without a keyword, which is not kept.
    pub words: Vec<Word>,
    /// Everything after the first word, as written, without the comment. For commands.
    pub raw: Span,
    /// What is in its braces.
    pub block: Option<Box<Block>>,
}

impl Stmt {
    /// All its words.
    pub fn span(&self) -> Span {
        match (self.words.first(), self.words.last()) {
            (Some(a), Some(b)) => a.span.to(b.span),
            _ => Span::default(),
        }
    }
}

/// What is in braces.
#[derive(Debug)]
pub struct Block {
    /// The opening brace.
    pub open: Span,
    /// In file order.
    pub stmts: Vec<Stmt>,
}

/// Words that work on text and are not done yet.
#[derive(Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// The row of the table.
    pub name: &'static str,
    /// The line.
    pub span: Span,
}

/// A file's statements.
#[derive(Debug, Default)]
pub struct Tree {
    /// Top level, in file order.
    pub stmts: Vec<Stmt>,
    /// In file order.
    pub unsupported: Vec<Unsupported>,
    /// Number of lines that hold more than blanks and a comment.
    pub lines: usize,
}

/// Reads file number `file`.
pub fn parse(src: &Sources, file: u32, diags: &mut Diags) -> Tree {
    let (tree, found, balanced) = Builder::new(src, file, false).run();
    if balanced {
        diags.append(found);
        return tree;
    }
    let (tree, found, _) = Builder::new(src, file, true).run();
    diags.append(found);
    tree
}

struct Frame {
    stmt: Stmt,
    open: Span,
    /// What its keywords are; `None` for entries, and for blocks nobody knows.
    scope: Option<Scope>,
    stmts: Vec<Stmt>,
    /// The last statement may still get its brace on a later line.
    waiting: bool,
}

struct Builder<'a> {
    src: &'a Sources,
    file: u32,
    /// Guess where braces are missing.
    recover: bool,
    diags: Diags,
    frames: Vec<Frame>,
    tree: Tree,
    root_waiting: bool,
    too_deep: usize,
    balanced: bool,
}

impl<'a> Builder<'a> {
    fn new(src: &'a Sources, file: u32, recover: bool) -> Self {
        Builder {
            src,
            file,
            recover,
            diags: Diags::default(),
            frames: Vec::new(),
            tree: Tree::default(),
            root_waiting: false,
            too_deep: 0,
            balanced: true,
        }
    }

    fn run(mut self) -> (Tree, Diags, bool) {
        let src = self.src;
        let Some(file) = src.file(self.file) else { return (self.tree, self.diags, true) };
        let mut at = 0u32;
        let mut in_definition = false;
        for with_end in file.text.split_inclusive('\n') {
            let text = with_end.trim_end_matches(['\n', '\r']);
            let span = Span { file: self.file, start: at, end: at + text.len() as u32 };
            at += with_end.len() as u32;
            if in_definition {
                // The body of a multi-line $NAME= ends at a line without a backslash, or at a blank one.
                in_definition = text.trim_end().ends_with('\\');
                continue;
            }
            if let Some(zero) = memchr::memchr(0, text.as_bytes()) {
                let span = Span { start: span.start + zero as u32, end: span.start + zero as u32 + 1, ..span };
                self.say(Severity::Error, span, "a NUL byte: the line is ignored").help("is this a text file?");
                continue;
            }
            if text.len() > MAX_LINE {
                let span = Span { end: span.start + 1, ..span };
                self.say(Severity::Error, span, format!("a line longer than {MAX_LINE} bytes: it is ignored"));
                self.tree.lines += 1;
                continue;
            }
            match special(text.trim_start()) {
                Some("") => {
                    self.tree.lines += 1;
                    let start = span.end - text.trim_start().len() as u32;
                    self.say(
                        Severity::Note,
                        Span { start, ..span },
                        "a condition without anything after it: no effect",
                    );
                }
                Some(name) => {
                    in_definition = name == "$NAME=" && text.trim_end().ends_with('\\');
                    let start = span.end - text.trim_start().len() as u32;
                    self.tree.lines += 1;
                    self.tree.unsupported.push(Unsupported { name, span: Span { start, ..span } });
                }
                None => self.line(text, span),
            }
        }
        self.end_of_file(at);
        (self.tree, self.diags, self.balanced)
    }

    fn say(&mut self, severity: Severity, span: Span, message: impl Into<String>) -> super::diag::Handle<'_> {
        self.diags.push(self.src, severity, span, message)
    }

    fn line(&mut self, text: &str, at: Span) {
        let mut tokens = lex::line(text, at, Quotes::Double);
        let mut words: Vec<Word> = Vec::new();
        let mut i = 0;
        if !tokens.is_empty() {
            self.tree.lines += 1;
        }
        while let Some(token) = tokens.get(i) {
            i += 1;
            match token {
                Token::Word(w) => {
                    if words.is_empty() && keyword::takes_script(w.text(self.src)) {
                        let rest = Span { start: w.span.end, ..at };
                        tokens.truncate(i);
                        tokens.extend(lex::line(self.src.slice(rest), rest, Quotes::Both));
                    }
                    words.push(tokens.get(i - 1).and_then(Token::word).cloned().unwrap_or_else(|| Word::plain(at)));
                }
                Token::Unclosed(w) => {
                    words.push(w.clone());
                    let span = w.span;
                    let help = "a quoted text ends on the line on which it starts; add the closing \"";
                    self.say(Severity::Error, span, "unclosed quote").help(help);
                }
                Token::Open(span) => {
                    let span = *span;
                    self.open(std::mem::take(&mut words), span);
                }
                Token::Close(span) => {
                    let span = *span;
                    self.statement(std::mem::take(&mut words));
                    self.close(span);
                }
            }
        }
        self.statement(words);
    }

    /// A line without a brace.
    fn statement(&mut self, words: Vec<Word>) {
        if words.is_empty() || self.too_deep > 0 {
            return;
        }
        self.settle(&words);
        self.add(Stmt { raw: raw(&words), words, block: None }, true);
    }

    fn add(&mut self, stmt: Stmt, waiting: bool) {
        match self.frames.last_mut() {
            Some(f) => {
                f.stmts.push(stmt);
                f.waiting = waiting;
            }
            None => {
                self.tree.stmts.push(stmt);
                self.root_waiting = waiting;
            }
        }
    }

    /// The last statement, if it may still get a brace.
    fn take_waiting(&mut self) -> Option<Stmt> {
        let (waiting, stmts) = match self.frames.last_mut() {
            Some(f) => (&mut f.waiting, &mut f.stmts),
            None => (&mut self.root_waiting, &mut self.tree.stmts),
        };
        if std::mem::take(waiting) { stmts.pop() } else { None }
    }

    fn open(&mut self, words: Vec<Word>, open: Span) {
        if self.too_deep > 0 {
            self.too_deep += 1;
            return;
        }
        let stmt = if words.is_empty() {
            match self.take_waiting() {
                Some(stmt) => stmt,
                None => {
                    self.say(Severity::Error, open, "`{` without a keyword: this block is ignored");
                    Stmt { words, raw: open, block: None }
                }
            }
        } else {
            self.settle(&words);
            Stmt { raw: raw(&words), words, block: None }
        };
        self.push_frame(stmt, open);
    }

    fn push_frame(&mut self, stmt: Stmt, open: Span) {
        if self.frames.len() >= MAX_DEPTH {
            self.too_deep = 1;
            self.say(Severity::Error, open, format!("more than {MAX_DEPTH} blocks inside each other: ignored"));
            return;
        }
        let scope = match self.form_of(&stmt) {
            Some(Form::Block(scope)) => Some(scope),
            _ => None,
        };
        self.frames.push(Frame { stmt, open, scope, stmts: Vec::new(), waiting: false });
    }

    fn scope(&self) -> Option<Scope> {
        self.frames.last().map_or(Some(Scope::Root), |f| f.scope)
    }

    fn form_of(&self, stmt: &Stmt) -> Option<Form> {
        let name = stmt.words.first()?.text(self.src);
        keyword::find(self.scope()?, name).map(|k| k.form)
    }

    fn close(&mut self, span: Span) {
        if self.too_deep > 0 {
            self.too_deep -= 1;
        } else if self.frames.is_empty() {
            self.root_waiting = false;
            let help = "remove it, or add the `{` that belongs to it";
            self.say(Severity::Error, span, "`}` without a block that is open").help(help);
        } else {
            self.end_frame();
        }
    }

    fn end_frame(&mut self) {
        let Some(f) = self.frames.pop() else { return };
        if f.stmt.words.is_empty() {
            return;
        }
        let block = Some(Box::new(Block { open: f.open, stmts: f.stmts }));
        self.add(Stmt { block, ..f.stmt }, false);
    }

    /// Before a new statement: put in braces that were forgotten.
    fn settle(&mut self, words: &[Word]) {
        let Some(first) = words.first() else { return };
        let src = self.src;
        let name = first.text(src);
        if !self.frames.is_empty() && keyword::only_at_root(name) {
            self.balanced = false;
            return self.close_down_to(0, first.span);
        }
        if self.recover && self.scope().is_none_or(|s| keyword::find(s, name).is_none()) {
            let knows = |f: &Frame| f.scope.is_some_and(|s| keyword::find(s, name).is_some());
            if let Some(outer) = self.frames.iter().rposition(knows) {
                return self.close_down_to(outer + 1, first.span);
            }
        }
        // `vrrp_instance X` and on the next line something else than `{`, which belongs into the block and not here.
        let Some(stmt) = self.take_waiting() else { return };
        let here = self.scope().is_some_and(|s| keyword::find(s, name).is_some());
        let inside = match self.form_of(&stmt) {
            Some(Form::Block(scope)) => !here || keyword::find(scope, name).is_some(),
            Some(Form::Entries(_)) => !here,
            _ => false,
        };
        if !inside || keyword::only_at_root(name) {
            return self.add(stmt, false);
        }
        let what = src.slice(stmt.span()).to_owned();
        let end = Span { start: stmt.span().end, ..stmt.span() };
        let help = "a block is opened by `{` on the same or the next line; kalived reads on as if it were there";
        self.say(Severity::Error, stmt.span(), format!("missing `{{` after `{what}`")).help(help);
        self.push_frame(stmt, end);
    }

    fn close_down_to(&mut self, depth: usize, before: Span) {
        let src = self.src;
        let opened: Vec<(Span, String)> = self.frames.iter().skip(depth).rev().map(|f| opened(src, f)).collect();
        let (message, help) = match opened.len() {
            1 => ("missing `}` before this line", "the block must end before this line; kalived reads on as if it did"),
            _ => ("missing `}` before this line, several times", "these blocks must end before this line"),
        };
        let word = src.slice(before).to_owned();
        let mut handle =
            self.say(Severity::Error, before, format!("{message}: `{word}` cannot stand inside an open block"));
        for (span, text) in opened {
            handle = handle.also(src, span, text);
        }
        handle.help(help);
        while self.frames.len() > depth {
            self.end_frame();
        }
    }

    fn end_of_file(&mut self, end: u32) {
        let src = self.src;
        if self.frames.is_empty() {
            return;
        }
        self.balanced = false;
        let text = src.file(self.file).map_or("", |f| f.text.as_str());
        // The caret stands under the last thing in the file, not on the empty line after it.
        let last = text.trim_end().char_indices().next_back().map_or(0, |(i, _)| i as u32);
        let opened: Vec<(Span, String)> = self.frames.iter().rev().map(|f| opened(src, f)).collect();
        let span = Span { file: self.file, start: last.min(end), end: end.min(last + 1) };
        let mut handle = self.say(Severity::Error, span, "missing `}` at the end of the file");
        for (span, text) in opened {
            handle = handle.also(src, span, text);
        }
        handle.help("close the block; kalived reads it as if it ended here");
        while !self.frames.is_empty() {
            self.end_frame();
        }
    }
}

impl Token {
    fn word(&self) -> Option<&Word> {
        match self {
            Token::Word(w) | Token::Unclosed(w) => Some(w),
            _ => None,
        }
    }
}

fn opened(src: &Sources, f: &Frame) -> (Span, String) {
    match f.stmt.words.is_empty() {
        true => (f.open, "block opened here".to_owned()),
        false => (f.stmt.span(), format!("block `{}` opened here", src.slice(f.stmt.span()))),
    }
}

fn raw(words: &[Word]) -> Span {
    match words {
        [] => Span::default(),
        [one] => Span { start: one.span.end, ..one.span },
        [_, second, ..] => second.span.to(words.last().map_or(second.span, |w| w.span)),
    }
}

/// The table's name of what works on text at the start of a line; "" for a line that has no effect.
fn special(line: &str) -> Option<&'static str> {
    let mut letters = line.chars();
    match letters.next()? {
        '@' => {
            let rest = letters.as_str();
            let text = rest.split_once([' ', '\t']).map_or("", |(_, t)| t.trim());
            if text.is_empty() || text.starts_with(['#', '!']) {
                return Some(""); // a condition on nothing
            }
            Some(if rest.starts_with('^') { "@^ID" } else { "@ID" })
        }
        '~' if line.starts_with("~SEQx(") => Some("~SEQx"),
        '~' if line.starts_with("~SEQ(") => Some("~SEQ"),
        '~' if line.starts_with("~LST(") => Some("~LST"),
        '$' => {
            let rest = letters.as_str();
            let name = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
            (name.len() < rest.len() && name.starts_with('=')).then_some("$NAME=")
        }
        'i' => {
            let word = line.split([' ', '\t']).next()?;
            let names = ["include", "includer", "includem", "includew", "includeb", "includea"];
            names.into_iter().find(|n| *n == word)
        }
        _ => None,
    }
}
