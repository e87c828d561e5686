//! From statements to the model: walks the tree by the keyword table and fills the [`Config`].
//!
//! Unknown keywords, keywords without effect and keywords in the wrong place are all handled in `walk`, so that no block can
//! drop one without a message. Read next: `value.rs` (numbers and the like), `global.rs`, `instance.rs`, `finish.rs` (defaults and
//! rules between keywords), `address.rs`.

mod address;
mod around;
mod check;
mod finish;
mod follow;
mod global;
mod instance;
mod process;
mod refs;
mod route;
mod route_numbers;
mod rule_numbers;
mod script;
mod server;
mod shell;
mod track;
pub(super) use track::is_key;
mod unicast;
mod value;
mod vrrp_check;

use super::diag::{Diags, Handle, Severity};
use super::keyword::{self, Form, Keyword, Scope, Status, nearest};
use super::kind::{self, Message};
use super::lex::Word;
use super::model::check::Regex;
use super::model::setting::Block;
use super::model::{Config, Place};
use super::source::{Sources, Span};
use super::tree::{Stmt, Tree};
use super::verdict::Effect;
use std::collections::{BTreeMap, BTreeSet};

/// A name of an interface and where it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceUse {
    /// Name of the interface, as written.
    pub name: String,
    /// Position of the name.
    pub span: Span,
    /// The block that uses it: "vrrp_instance VI_1".
    pub user: String,
}

/// A statement that messages about the whole configuration refer to: lints, and messages about commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The keyword of the statement.
    pub word: &'static str,
    /// The word after it; empty: none.
    pub value: Box<str>,
    /// Position of the keyword.
    pub span: Span,
}

impl Said {
    /// Keywords that are noted.
    const WORDS: &[&str] = &[
        "vrrp_script",
        "vrrp_check",
        "track_file",
        "vrrp_track_file",
        "dynamic_interfaces",
        "vrrp_strict",
        "strict_mode",
        "notify_fifo",
        "vrrp_notify_fifo",
    ];
}

/// The result: the configuration, and what later checks need.
#[derive(Debug, Default)]
pub struct Lowered {
    /// Complete for every instance without a fatal mistake.
    pub config: Config,
    /// Every interface the file names.
    pub interfaces: Vec<InterfaceUse>,
    /// How much of the file has no effect.
    pub effect: Effect,
    /// Positions of the commands, for messages about them.
    pub commands: Vec<CommandAt>,
    /// Names of scripts and checks that something tracks, also where that is not in the configuration for a mistake.
    pub tracked: BTreeSet<Box<str>>,
    /// Statements that later messages refer to.
    pub said: Vec<Said>,
    /// Files with keys of `auth_hmac`, to be read.
    pub key_files: Vec<(Box<str>, Span)>,
}

/// Reads the tree.
pub fn lower(src: &Sources, tree: &Tree, diags: &mut Diags) -> Lowered {
    let mut cx = Cx {
        src,
        diags,
        pending: BTreeMap::new(),
        interfaces: Vec::new(),
        effect: Effect::default(),
        seen: Vec::new(),
        quiet: 0,
        in_line: false,
        names: BTreeMap::new(),
        uses: Vec::new(),
        head: Span::default(),
        commands: Vec::new(),
        said: Vec::new(),
        of_group: Vec::new(),
        key_files: Vec::new(),
        next_preference: [crate::rule::FIRST_PREFERENCE; 2],
        regex: None,
    };
    // global_defs first, wherever it stands: instances take defaults from it.
    let mut global = global::Globals::default();
    let mut drafts = Vec::new();
    let mut config = Config::default();
    let empty: &[Stmt] = &[];
    cx.walk(Scope::Root, &tree.stmts, |cx, k, stmt| {
        let stmts = stmt.block.as_ref().map_or(empty, |b| &b.stmts);
        cx.head = stmt.span();
        match k.name {
            "global_defs" => {
                cx.extra(stmt, 1);
                global.read(cx, stmts);
            }
            "vrrp_instance" => drafts.extend(instance::Draft::read(cx, k, stmt, stmts)),
            "virtual_server" => config.virtual_servers.extend(server::virtual_server(cx, k, stmt, stmts)),
            "virtual_server_group" => config.server_groups.extend(server::group(cx, k, stmt, stmts)),
            _ => around::block(cx, k, stmt, stmts, &mut config),
        }
    });
    config.global = std::mem::take(&mut global.global);
    server::of_group(&mut cx, &mut config);
    finish::all(&mut cx, &global, drafts, &mut config);
    let mut tracked = refs::check(&mut cx, &mut config);
    follow::follow(&mut config);
    refs::tracked_in_vain(src, &tree.stmts, &config, &mut tracked);
    cx.tell_postponed();
    let Cx { interfaces, effect, commands, said, key_files, .. } = cx;
    Lowered { config, interfaces, effect, commands, tracked, said, key_files }
}

/// Whether a keyword may stand in one block several times.
fn may_repeat(scope: Scope, k: &Keyword) -> bool {
    scope == Scope::Root && k.form != Form::Flag && !matches!(k.form, Form::Text)
        || matches!(k.form, Form::Entries(_))
        || (matches!(scope, Scope::VirtualServer | Scope::RealServer) && matches!(k.form, Form::Block(_)))
        || matches!(
            (scope, k.name),
            (Scope::HttpCheck, "url")
                | (Scope::SmtpCheck, "host")
                | (Scope::AuthHmac, "key")
                | (Scope::GarpGroup, "interface")
        )
}

/// The places of a keyword without effect.
struct Pending {
    k: &'static Keyword,
    span: Span,
    others: Vec<Span>,
    more: usize,
}

/// Most further places of a keyword without effect that are kept: for each, the `allow` comments of its line are looked up.
const MAX_PENDING: usize = 1000;

/// The state of the walk, which all files of this directory share.
struct Cx<'a> {
    src: &'a Sources,
    diags: &'a mut Diags,
    /// Keywords without effect: first place, how many more.
    pending: BTreeMap<(Scope, &'static str), Pending>,
    interfaces: Vec<InterfaceUse>,
    effect: Effect,
    /// Keywords of the blocks that are open, innermost last.
    seen: Vec<(&'static Keyword, &'a Stmt)>,
    /// How many blocks without effect are open.
    quiet: u32,
    /// A wrong word discards its whole line.
    in_line: bool,
    /// Names of blocks by kind, and where each stands first.
    names: BTreeMap<(&'static str, &'a str), Span>,
    /// Names that other blocks must define.
    uses: Vec<refs::Use>,
    /// The keyword and the name of the outermost block that is open.
    head: Span,
    commands: Vec<CommandAt>,
    said: Vec<Said>,
    /// Services with a group, in file order.
    of_group: Vec<Span>,
    /// Files with keys of `auth_hmac`.
    key_files: Vec<(Box<str>, Span)>,
    /// The preference of the next rule that has none, of IPv4 and of IPv6.
    next_preference: [u32; 2],
    /// The last regex, and why it cannot be used.
    regex: Option<(Regex, Option<String>)>,
}

/// The position of a command in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandAt {
    /// The position of the block that it stands in.
    pub block: Place,
    /// The keyword that the command belongs to.
    pub word: &'static str,
    /// Position of the command.
    pub span: Span,
}

impl<'a> Cx<'a> {
    fn say(&mut self, span: Span, message: Message) -> Handle<'_> {
        self.diags.push(self.src, span, message)
    }
    fn text(&self, word: &'a Word) -> &'a str {
        word.text(self.src)
    }

    /// Passes every statement to `on` whose keyword is known here, and handles all others.
    fn walk(&mut self, scope: Scope, stmts: &'a [Stmt], mut on: impl FnMut(&mut Self, &'static Keyword, &'a Stmt)) {
        let base = self.seen.len();
        for stmt in stmts {
            let Some(k) = self.known(scope, stmt) else { continue };
            if let Some(now) = keyword::replaced_by(scope, k.name) {
                // The old name works: it is no mistake.
                self.say(stmt.span(), kind::old_name(k.name, now))
                    .help(format!("write `{now}`; kalived.conf(5) says what it takes"));
            }
            if !may_repeat(scope, k) && self.repeated(base, k, stmt) {
                continue;
            }
            match k.status {
                Status::Supported | Status::Always => {}
                // Inside a block without effect this has been told with the block.
                Status::Never if self.quiet > 0 => {}
                Status::Never => self.postpone(scope, k, stmt.span()),
            }
            if matches!(scope, Scope::Root | Scope::GlobalDefs | Scope::Instance) && Said::WORDS.contains(&k.name) {
                let value = stmt.words.get(1).map_or("", |w| self.text(w)).into();
                self.said.push(Said { word: k.name, value, span: stmt.words.first().map_or(stmt.span(), |w| w.span) });
            }
            self.effect.settings += 1;
            self.effect.without += usize::from(self.quiet > 0 || !k.status.has_effect());
            let quiet = u32::from(!k.status.has_effect() && stmt.block.is_some());
            self.quiet += quiet;
            on(self, k, stmt);
            self.quiet -= quiet;
        }
        self.seen.truncate(base);
    }

    /// Reports a keyword that stood in this block already; true: this one is ignored.
    fn repeated(&mut self, base: usize, k: &'static Keyword, stmt: &'a Stmt) -> bool {
        let here = self.seen.get(base..).unwrap_or(&[]);
        let Some((_, first)) = here.iter().find(|(row, _)| std::ptr::eq(*row, k)) else {
            self.seen.push((k, stmt));
            return false;
        };
        let (src, first) = (self.src, first.span());
        let script = k.form == Form::Script;
        let text = match script {
            true => kind::repeated_command(k.name),
            false => kind::repeated_keyword(k.name),
        };
        self.say(stmt.span(), text).also(src, first, "before here");
        script
    }

    /// Reads a block: `special` reads keywords with a form of their own and returns true for them; the table reads the others.
    fn fill<B: Block>(
        &mut self,
        scope: Scope,
        stmts: &'a [Stmt],
        block: &mut B,
        mut special: impl FnMut(&mut Self, &mut B, &'static Keyword, &'a Stmt) -> bool,
    ) {
        self.walk(scope, stmts, |cx, k, stmt| {
            if !special(cx, block, k, stmt) {
                cx.set(&mut [block], k, stmt);
            }
        });
    }

    /// Stores the value of a statement in the first of these blocks that has a field for it.
    fn set(&mut self, blocks: &mut [&mut dyn Block], k: &'static Keyword, stmt: &'a Stmt) {
        for block in blocks {
            if let Some(field) = block.setting(k.name) {
                if let Some(value) = self.value(k, stmt) {
                    let fits = field.put(value);
                    debug_assert!(fits, "{}: the form of the table and the type of the field differ", k.name);
                }
                return;
            }
        }
        debug_assert!(false, "{} has no field", k.name);
    }

    /// The row of a statement's keyword; reports a wrong form.
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
                self.say(stmt.span(), kind::block_missing(name)).help(help);
                None
            }
            Some(b) if !wants => {
                self.say(b.open, kind::block_not_allowed(name));
                Some(k)
            }
            _ => Some(k),
        }
    }

    fn unknown(&mut self, scope: Scope, stmt: &'a Stmt, first: &'a Word) {
        let name = self.text(first);
        let next = stmt.words.get(1).map(|w| self.text(w));
        let mut help = if self.diags.is_full(Severity::Error) { None } else { nearest::help(scope, name, next) };
        if help.is_none() && name.contains('\u{FFFD}') {
            help = Some("the word holds bytes that are not UTF-8".to_owned());
        }
        if let Some(undefined) = super::hint::undefined(name) {
            help = Some(undefined);
        }
        // The value that holds instead of the intended one.
        if let Some(near) = nearest::nearest(scope, name).and_then(|n| keyword::find(scope, n))
            && let (Some(h), Some(default)) = (&mut help, value::default_without(near))
            && h.starts_with("did you mean")
        {
            h.push_str(&format!(" Without it: {default}"));
        }
        let block = if stmt.block.is_some() { "; its block is ignored" } else { "" };
        let inside = if scope == Scope::Root { "at the top level".to_owned() } else { format!("in {}", scope.title()) };
        let text = match nearest::is_known(name) {
            true => kind::misplaced_keyword(name, &inside, block),
            false => kind::unknown_keyword(name, &inside, block),
        };
        self.say(first.span, text).maybe_help(help);
    }

    fn postpone(&mut self, scope: Scope, k: &'static Keyword, span: Span) {
        let Some(e) = self.pending.get_mut(&(scope, k.name)) else {
            self.pending.insert((scope, k.name), Pending { k, span, others: Vec::new(), more: 0 });
            return;
        };
        e.more += 1;
        if e.others.len() < MAX_PENDING {
            e.others.push(span);
        }
    }

    fn tell_postponed(&mut self) {
        for Pending { k, span, others, more } in std::mem::take(&mut self.pending).into_values() {
            if !self.effect.keywords.contains(&k.name) {
                self.effect.keywords.push(k.name);
            }
            let more = match more {
                0 => String::new(),
                1 => " (and in 1 more place)".to_owned(),
                n => format!(" (and in {n} more places)"),
            };
            let what = format!("checked and kept, but it has no effect. {}", k.doc.trim_end_matches('.'));
            self.say(span, kind::no_effect(k.name, &what, &more)).covers(&others);
        }
    }
}

/// Whether a block has a keyword, also a wrong one: then a message about that keyword exists.
fn says(src: &Sources, stmts: &[Stmt], name: &str) -> bool {
    stmts.iter().any(|s| s.words.first().is_some_and(|w| w.text(src) == name))
}
