//! Statements to meaning: walks the tree by the keyword table and fills the [`Config`].
//!
//! Words nobody knows, words that are not done yet and words in the wrong place are all dealt with in `walk`, so that
//! no block can drop something in silence. Read next: `value.rs` (numbers and the like), `global.rs`, `instance.rs`,
//! `finish.rs` (defaults and rules between keywords), `address.rs`.

mod address;
mod finish;
mod global;
mod instance;
mod value;

use super::diag::{Diags, Handle, Severity};
use super::keyword::{self, Form, Keyword, Scope, Status, nearest};
use super::lex::Word;
use super::model::Config;
use super::source::{Sources, Span};
use super::tree::{Stmt, Tree};
use std::collections::BTreeMap;

/// A name of an interface and where it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceUse {
    /// As written.
    pub name: String,
    /// Where.
    pub span: Span,
    /// By whom: "vrrp_instance VI_1".
    pub user: String,
}

/// What the file means.
#[derive(Debug, Default)]
pub struct Lowered {
    /// Complete for every instance without a fatal mistake.
    pub config: Config,
    /// Every interface the file names.
    pub interfaces: Vec<InterfaceUse>,
    /// Whether something not done yet would run here: then "nothing to run" is no mistake of the file.
    pub other_work: bool,
}

/// Gives the tree its meaning.
pub fn lower(src: &Sources, tree: &Tree, diags: &mut Diags) -> Lowered {
    let mut cx = Cx { src, diags, pending: BTreeMap::new(), interfaces: Vec::new(), other_work: false, partial: false };
    // global_defs first, wherever it stands: instances take defaults from it.
    let mut global = global::Globals::default();
    let mut drafts = Vec::new();
    cx.walk(Scope::Root, &tree.stmts, |cx, k, stmt| match (k.name, &stmt.block) {
        ("global_defs", Some(block)) => {
            cx.extra(stmt, 1);
            global.read(cx, &block.stmts);
        }
        ("vrrp_instance", Some(block)) => drafts.extend(instance::Draft::read(cx, k, stmt, &block.stmts)),
        _ => {}
    });
    let mut config = Config { global: global.global.clone(), instances: Vec::new() };
    finish::all(&mut cx, &global, drafts, &mut config);
    cx.tell_postponed();
    Lowered { config, interfaces: cx.interfaces, other_work: cx.other_work }
}

/// What every part of this folder works with.
struct Cx<'a> {
    src: &'a Sources,
    diags: &'a mut Diags,
    /// Keywords that are not done yet: first place, how many more.
    pending: BTreeMap<(Scope, &'static str), (&'static Keyword, Span, usize)>,
    interfaces: Vec<InterfaceUse>,
    other_work: bool,
    /// Lines are missing because they need `include`, `@id`, `$NAME=` or `~SEQ`, which has been told: what then looks
    /// missing or unknown is no mistake of the operator.
    partial: bool,
}

impl<'a> Cx<'a> {
    fn say(&mut self, severity: Severity, span: Span, message: impl Into<String>) -> Handle<'_> {
        self.diags.push(self.src, severity, span, message)
    }
    fn fatal(&mut self, span: Span, message: impl Into<String>) -> Handle<'_> {
        self.say(Severity::Fatal, span, message)
    }
    fn error(&mut self, span: Span, message: impl Into<String>) -> Handle<'_> {
        self.say(Severity::Error, span, message)
    }
    fn warn(&mut self, span: Span, message: impl Into<String>) -> Handle<'_> {
        self.say(Severity::Warning, span, message)
    }
    fn note(&mut self, span: Span, message: impl Into<String>) -> Handle<'_> {
        self.say(Severity::Note, span, message)
    }
    fn text(&self, word: &'a Word) -> &'a str {
        word.text(self.src)
    }

    /// Hands every statement whose keyword works to `on`, and deals with all the others.
    fn walk(&mut self, scope: Scope, stmts: &'a [Stmt], mut on: impl FnMut(&mut Self, &'static Keyword, &'a Stmt)) {
        let mut seen: BTreeMap<&'static str, Span> = BTreeMap::new();
        for stmt in stmts {
            let Some(k) = self.known(scope, stmt) else { continue };
            match k.status {
                Status::Supported => {
                    let once = !matches!(k.form, Form::Entries(_)) && scope != Scope::Root;
                    if let Some(first) = once.then(|| seen.insert(k.name, stmt.span())).flatten() {
                        let src = self.src;
                        let text = format!("`{}` a second time in this block: the last one counts", k.name);
                        self.note(stmt.span(), text).also(src, first, "before here");
                    }
                    on(self, k, stmt);
                }
                Status::Always => self.spell(k, stmt),
                Status::NotYet | Status::Refused => {
                    self.spell(k, stmt);
                    if k.name == "unicast_peer" && stmt.block.as_ref().is_none_or(|b| b.stmts.is_empty()) {
                        self.warn(stmt.span(), "`unicast_peer` without a peer: adverts go to the multicast group");
                        continue;
                    }
                    self.other_work |= matches!(k.name, "virtual_server" | "bfd_instance");
                    self.postpone(scope, k, stmt.span());
                }
            }
        }
    }

    /// The row of a statement's keyword; everything wrong with its shape is told.
    fn known(&mut self, scope: Scope, stmt: &'a Stmt) -> Option<&'static Keyword> {
        let first = stmt.words.first()?;
        let name = self.text(first);
        let Some(k) = keyword::find(scope, name) else {
            self.unknown(scope, stmt, first);
            return None;
        };
        let wants = matches!(k.form, Form::Block(_) | Form::Entries(_));
        match &stmt.block {
            None if wants => {
                let help = format!("write `{} {}`", k.name, if k.args.is_empty() { "{ ... }" } else { k.args });
                self.error(stmt.span(), format!("`{name}` needs a block in braces; ignored")).help(help);
                None
            }
            Some(b) if !wants => {
                let text = format!("`{name}` takes no block; what is in the braces is ignored");
                self.error(b.open, text);
                Some(k)
            }
            _ => Some(k),
        }
    }

    fn unknown(&mut self, scope: Scope, stmt: &'a Stmt, first: &'a Word) {
        let name = self.text(first);
        let next = stmt.words.get(1).map(|w| self.text(w));
        let mut help = if self.diags.is_full() { None } else { nearest::help(scope, name, next) };
        if help.is_none() && name.contains('\u{FFFD}') {
            help = Some("the word holds bytes that are not UTF-8".to_owned());
        }
        if self.partial && name.contains('$') {
            return;
        }
        if name.starts_with('$') {
            help = Some(format!("`{name}` is not defined in this file"));
        }
        let block = if stmt.block.is_some() { "; its block is ignored" } else { "" };
        let inside = if scope == Scope::Root { "at the top level".to_owned() } else { format!("in {}", scope.title()) };
        let text = match nearest::is_known(name) {
            true => format!("`{name}` cannot stand {inside}{block}"),
            false => format!("unknown keyword `{name}` {inside}{block}"),
        };
        self.error(first.span, text).maybe_help(help);
    }

    /// Looks for words nobody knows in a block that has no effect.
    fn spell(&mut self, k: &'static Keyword, stmt: &'a Stmt) {
        let (Form::Block(scope), Some(block)) = (k.form, &stmt.block) else { return };
        for inner in &block.stmts {
            if let Some(k) = self.known(scope, inner) {
                self.spell(k, inner);
            }
        }
    }

    fn postpone(&mut self, scope: Scope, k: &'static Keyword, span: Span) {
        self.pending.entry((scope, k.name)).and_modify(|e| e.2 += 1).or_insert((k, span, 0));
    }

    fn tell_postponed(&mut self) {
        for (k, span, more) in std::mem::take(&mut self.pending).into_values() {
            let more = match more {
                0 => String::new(),
                1 => " (and in 1 more place)".to_owned(),
                n => format!(" (and in {n} more places)"),
            };
            if k.status == Status::Refused {
                let why = match k.name {
                    "unicast_peer" => "without it adverts would go to the multicast group",
                    "auth_hmac" => "without it adverts would go out unsigned and unsigned ones be believed",
                    "net_namespace" => "without it addresses would be set in the wrong network namespace",
                    _ => "without it a part of the file would be missing",
                };
                self.fatal(span, format!("`{}` is not supported yet{more}: {why}", k.name))
                    .help("remove it, or keep keepalived for this configuration");
            } else {
                let what = match k.form {
                    Form::Block(_) | Form::Entries(_) => "the block has no effect",
                    _ => "it has no effect",
                };
                self.note(span, format!("`{}` is not supported yet: {what}{more}", k.name));
            }
        }
    }
}
