//! Lines to a tree of statements, whatever errors they contain: one wrong line hides no other.
//!
//! Only the structure is read; the keyword table is used only for keywords that open a block. A missing brace is inserted where it was
//! probably forgotten: in front of a word that is valid only at the top level; and, when the braces of the file do not balance, also in
//! front of a word that is valid only in an outer block. Read first: `lex.rs`. Read next: `lower`.

use super::diag::Diags;
use super::input::Input;
use super::keyword::{self, Form, Scope};
use super::kind::{self, Message};
use super::lex::{self, Quotes, Token, Word};
use super::source::{Sources, Span};

/// Deepest nesting. The language needs five; the limit bounds the stack for hostile files.
const MAX_DEPTH: usize = 16;

/// Longest line, in bytes; keepalived takes 1024. Columns are counted from the start of a line, so the limit bounds the work for a
/// hostile file that is one line.
pub const MAX_LINE: usize = 16 << 10;

/// Bytes that the grammar reads in one call: enough to make the cost of a call negligible, and little memory.
const SLICE: usize = 64 << 10;

/// The words of a statement. Most statements have one or two, and there are half a million: these need no memory of their own.
#[derive(Debug)]
pub enum Words {
    /// The keyword alone.
    One([Word; 1]),
    /// A keyword with one argument.
    Two([Word; 2]),
    /// Any other number of them.
    Others(Vec<Word>),
}

impl std::ops::Deref for Words {
    type Target = [Word];
    fn deref(&self) -> &[Word] {
        match self {
            Words::One(w) => w,
            Words::Two(w) => w,
            Words::Others(w) => w,
        }
    }
}

impl<'a> IntoIterator for &'a Words {
    type Item = &'a Word;
    type IntoIter = std::slice::Iter<'a, Word>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// A line or a block.
#[derive(Debug)]
pub struct Stmt {
    /// At least one, except for a block without a keyword, which is dropped.
    pub words: Words,
    /// Everything after the first word, as written, without the comment. For commands.
    pub raw: Span,
    /// The content of its braces.
    pub block: Option<Box<Block>>,
}

impl Stmt {
    /// The span of all its words.
    pub fn span(&self) -> Span {
        match (self.words.first(), self.words.last()) {
            (Some(a), Some(b)) => a.span.to(b.span),
            _ => Span::default(),
        }
    }
}

/// The content of braces.
#[derive(Debug)]
pub struct Block {
    /// Position of the opening brace.
    pub open: Span,
    /// The statements between the braces, in file order.
    pub stmts: Vec<Stmt>,
}

/// The statements of a configuration, with everything included.
#[derive(Debug, Default)]
pub struct Tree {
    /// Top level, in file order.
    pub stmts: Vec<Stmt>,
    /// Number of lines with more than blanks and a comment.
    pub lines: usize,
}

/// Reads the preprocessed text as a tree. Errors are reported in `diags`, and reading goes on behind them.
pub fn parse(src: &Sources, input: &Input, diags: &mut Diags) -> Tree {
    let (tree, found, balanced) = Builder::new(src, input, false).run();
    if balanced {
        diags.append(found);
        return tree;
    }
    let (tree, found, _) = Builder::new(src, input, true).run();
    diags.append(found);
    tree
}

struct Frame {
    stmt: Stmt,
    open: Span,
    /// The scope of its keywords; `None` for entries, and for unknown blocks.
    scope: Option<Scope>,
    stmts: Vec<Stmt>,
    /// The last statement may still get its brace on a later line.
    waiting: bool,
}

struct Builder<'a> {
    src: &'a Sources,
    input: &'a Input,
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
    fn new(src: &'a Sources, input: &'a Input, recover: bool) -> Self {
        Builder {
            src,
            input,
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
        let (src, input) = (self.src, self.input);
        let mut tokens = Vec::new();
        for chunk in &input.chunks {
            let text = src.slice(*chunk);
            let mut from = 0;
            // Most text is read in slices of many lines; an unusual line is read alone.
            let mut to = 0;
            while to < text.len() {
                let end = memchr::memchr(b'\n', &text.as_bytes()[to..]).map_or(text.len(), |i| to + i + 1);
                let odd = end - to > MAX_LINE || memchr::memchr(0, &text.as_bytes()[to..end]).is_some();
                if odd {
                    self.slice(text, *chunk, from, to, &mut tokens);
                    self.odd(text, *chunk, to, end);
                    from = end;
                } else if end - from >= SLICE {
                    self.slice(text, *chunk, from, end, &mut tokens);
                    from = end;
                }
                to = end;
            }
            self.slice(text, *chunk, from, text.len(), &mut tokens);
        }
        self.end_of_file();
        (self.tree, self.diags, self.balanced)
    }

    fn odd(&mut self, text: &str, chunk: Span, from: usize, to: usize) {
        let line = text.get(from..to).unwrap_or("");
        let at = |n: usize| Span {
            start: chunk.start + (from + n) as u32,
            end: chunk.start + (from + n) as u32 + 1,
            ..chunk
        };
        match memchr::memchr(0, line.as_bytes()) {
            Some(zero) => {
                self.say(at(zero), kind::nul_byte()).torn().help("is this a text file?");
            }
            None => {
                self.say(at(0), kind::line_too_long(MAX_LINE));
                self.tree.lines += 1;
            }
        }
    }

    /// Some whole lines.
    fn slice(&mut self, text: &str, chunk: Span, from: usize, to: usize, tokens: &mut Vec<Token>) {
        let part = text.get(from..to).unwrap_or("");
        if part.is_empty() {
            return;
        }
        tokens.clear();
        let at = Span { start: chunk.start + from as u32, end: chunk.start + to as u32, ..chunk };
        lex::lines(part, at, Quotes::Double, tokens);
        let bytes = part.as_bytes();
        let mut words: Vec<Word> = Vec::new();
        // Up to where a line was read again as a command, and the end of the last token.
        let (mut skip, mut last) = (at.start, at.start);
        for token in tokens.drain(..) {
            let span = token.span();
            if span.start < skip {
                continue;
            }
            let gap = bytes.get((last - at.start) as usize..(span.start - at.start) as usize).unwrap_or(&[]);
            if last == at.start || gap.contains(&b'\n') {
                self.statement(exact(&mut words));
                self.tree.lines += 1;
            }
            last = span.end;
            let script = match &token {
                Token::Word(w) if words.is_empty() => keyword::takes_script(w.text(self.src)),
                _ => false,
            };
            self.token(token, &mut words);
            if script {
                let start = (span.end - at.start) as usize;
                let end = memchr::memchr(b'\n', bytes.get(start..).unwrap_or(&[])).map_or(bytes.len(), |i| start + i);
                let rest = Span { start: span.end, end: at.start + end as u32, ..at };
                let name = self.src.slice(span);
                let quotes = if name.starts_with("regex") { Quotes::Escapes } else { Quotes::Both };
                let mut again = Vec::new();
                lex::lines(part.get(start..end).unwrap_or(""), rest, quotes, &mut again);
                for token in again {
                    self.token(token, &mut words);
                }
                (skip, last) = (rest.end, rest.end);
            }
        }
        self.statement(exact(&mut words));
    }

    fn token(&mut self, token: Token, words: &mut Vec<Word>) {
        match token {
            Token::Word(w) => words.push(w),
            Token::Unclosed(w) => {
                let help = "a quoted text ends on the line on which it starts; add the closing \"";
                self.say(w.span, kind::unclosed_quote()).torn().help(help);
                words.push(w);
            }
            Token::Open(span) => self.open(exact(words), span),
            Token::Close(span) => {
                self.statement(exact(words));
                self.close(span);
            }
        }
    }

    fn say(&mut self, span: Span, message: Message) -> super::diag::Handle<'_> {
        self.diags.push(self.src, span, message)
    }

    /// A line without a brace.
    fn statement(&mut self, words: Words) {
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

    fn open(&mut self, words: Words, open: Span) {
        if self.too_deep > 0 {
            self.too_deep += 1;
            return;
        }
        let stmt = if words.is_empty() {
            match self.take_waiting() {
                Some(stmt) => stmt,
                None => {
                    self.say(open, kind::stray_open_brace()).torn();
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
            self.say(open, kind::nested_too_deep(MAX_DEPTH));
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
            self.say(span, kind::stray_close_brace()).torn().help(help);
        } else {
            self.end_frame();
        }
    }

    fn end_frame(&mut self) {
        let Some(mut f) = self.frames.pop() else { return };
        f.stmts.shrink_to_fit();
        if f.stmt.words.is_empty() {
            return;
        }
        let block = Some(Box::new(Block { open: f.open, stmts: f.stmts }));
        self.add(Stmt { block, ..f.stmt }, false);
    }

    /// Before a new statement: inserts forgotten braces.
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
        // `vrrp_instance X` and on the next line another word than `{`: it belongs into the block.
        let waiting = match self.frames.last() {
            Some(f) => f.stmts.last().filter(|_| f.waiting),
            None => self.tree.stmts.last().filter(|_| self.root_waiting),
        };
        let Some(stmt) = waiting else { return };
        let here = || self.scope().is_some_and(|s| keyword::find(s, name).is_some());
        let inside = match self.form_of(stmt) {
            Some(Form::Block(scope)) => !here() || keyword::find(scope, name).is_some(),
            Some(Form::Entries(_)) => !here(),
            _ => false,
        };
        if !inside || keyword::only_at_root(name) {
            // It stays as it is.
            match self.frames.last_mut() {
                Some(f) => f.waiting = false,
                None => self.root_waiting = false,
            }
            return;
        }
        let Some(stmt) = self.take_waiting() else { return };
        let what = src.slice(stmt.span()).to_owned();
        let end = Span { start: stmt.span().end, ..stmt.span() };
        let help = "a block is opened by `{` on the same or the next line; kalived reads on as if it were there";
        self.say(stmt.span(), kind::missing_open_brace(&what)).torn().help(help);
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
        let mut handle = self.say(before, kind::missing_close_brace(message, &word)).torn();
        for (span, text) in opened {
            handle = handle.also(src, span, text);
        }
        handle.help(help);
        while self.frames.len() > depth {
            self.end_frame();
        }
    }

    fn end_of_file(&mut self) {
        let src = self.src;
        if self.frames.is_empty() {
            return;
        }
        self.balanced = false;
        // The caret is under the last text of the file, not on the empty line after it.
        let all = self.input.chunks.iter().rev();
        let chunk = all.copied().find(|c| !src.slice(*c).trim().is_empty()).unwrap_or_default();
        let last = src.slice(chunk).trim_end().char_indices().next_back().map_or(0, |(i, _)| i as u32);
        let opened: Vec<(Span, String)> = self.frames.iter().rev().map(|f| opened(src, f)).collect();
        let start = chunk.start + last;
        let span = Span { start, end: chunk.end.min(start + 1).max(start), ..chunk };
        let mut handle = self.say(span, kind::missing_close_brace_at_end()).torn();
        for (span, text) in opened {
            handle = handle.also(src, span, text);
        }
        handle.help("close the block; kalived reads it as if it ended here");
        while !self.frames.is_empty() {
            self.end_frame();
        }
    }
}

/// The words of a statement in no more memory than needed; the storage is kept for the next one.
fn exact(words: &mut Vec<Word>) -> Words {
    match words.len() {
        0 => Words::Others(Vec::new()),
        1 | 2 => {
            let mut all = words.drain(..);
            match (all.next(), all.next()) {
                (Some(a), Some(b)) => Words::Two([a, b]),
                (Some(a), None) => Words::One([a]),
                _ => Words::Others(Vec::new()),
            }
        }
        n => {
            let mut out = Vec::with_capacity(n);
            out.append(words);
            Words::Others(out)
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
