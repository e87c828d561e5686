//! The entry point: from a path to a [`Config`] and all messages about the file.

use super::diag::{self, Cut, Diag, Diags, Severity};
use super::hint;
use super::image::{self, MAGIC};
use super::input::{self, Options};
use super::keyword::nearest::distance;
use super::kind;
use super::lower::{self, CommandAt, InterfaceUse, Lowered, Said};
use super::model::Config;
use super::model::setting::Secret;
use super::rtnames::{Places, RtNames};
use super::secret;
use super::source::{Files, Kind, Sources, Span};
use super::tree::{self, Tree};
use super::verdict::Effect;
use crate::exit::ExitCode;
use std::collections::BTreeSet;

/// A configuration and what was said about it.
#[derive(Debug)]
pub struct Loaded {
    /// To run when [`Loaded::fatal`] is `None`.
    pub config: Config,
    /// All messages, in the order of their positions.
    pub diags: Vec<Diag>,
    /// Messages that were too many.
    pub cut: Cut,
    /// The texts that were read, for positions and excerpts in messages.
    pub sources: Sources,
    /// Every interface the file names.
    pub interfaces: Vec<InterfaceUse>,
    /// How much of the file has no effect.
    pub effect: Effect,
    /// Positions of the commands, for messages about them.
    pub commands: Vec<CommandAt>,
    /// Names of scripts and checks that something tracks.
    pub tracked: BTreeSet<Box<str>>,
    /// Statements that later messages point to.
    pub said: Vec<Said>,
    /// All statements. The caller frees them when no start or reload waits: a large file has half a million.
    pub(super) tree: Tree,
}

/// Reads and understands a configuration file. Never fails: what is wrong is in the result.
pub fn load(files: &dyn Files, path: &str) -> Loaded {
    load_with(files, path, &Options::default())
}

/// As [`load`], with what the text may depend on besides the files.
pub fn load_with(files: &dyn Files, path: &str, options: &Options<'_>) -> Loaded {
    let (mut loaded, tree) = load_tree(files, path, options);
    loaded.tree = tree;
    loaded
}

/// As [`load_with`], with the statements.
pub(super) fn load_tree(files: &dyn Files, path: &str, options: &Options<'_>) -> (Loaded, Tree) {
    let mut sources = Sources::default();
    let mut diags = Diags::default();
    let start = Span::default();
    if let Some(bytes) = compiled(files, path) {
        return (load_image(path, &bytes), Tree::default());
    }
    let Some(input) = input::read(files, path, options, &mut sources, &mut diags) else {
        return (done(sources, diags, Lowered::default()), Tree::default());
    };
    if let Some(what) = not_text(&sources) {
        let help = "save it as UTF-8 without NUL bytes; or is it the file that was meant?";
        let text = kind::not_text(what);
        diags.push(&sources, start, text).help(help).exit(ExitCode::NoConfig);
        return (done(sources, diags, Lowered::default()), Tree::default());
    }
    let tree = tree::parse(&sources, &input, &mut diags);
    if tree.lines == 0 && !input.worked && !diags.has_fatal() {
        diags
            .push(&sources, start, kind::empty_file())
            .help("write at least one `vrrp_instance <name> { ... }`; kalived.conf(5) has an example")
            .exit(ExitCode::NoConfig);
        return (done(sources, diags, Lowered::default()), Tree::default());
    }
    secret::mark(&mut sources, &tree);
    sources.rt_names = RtNames::load(files, places(&sources, &tree));
    let mut lowered = lower::lower(&sources, &tree, &mut diags);
    read_keys(files, &sources, &mut lowered, &mut diags);
    // Another fatal message says already why there is nothing.
    if has_nothing(&lowered.config) && !diags.has_fatal_for_good() {
        diags
            .push(&sources, start, kind::nothing_to_run())
            .help("add a `vrrp_instance <name> { ... }` or a `virtual_server`; kalived.conf(5) has an example");
    }
    (done(sources, diags, lowered), tree)
}

// Names of tables stand anywhere in the file, so where they are defined is looked up first.
fn places<'a>(sources: &'a Sources, tree: &'a Tree) -> Places<'a> {
    let mut places = Places::default();
    let global = tree.stmts.iter().filter(|s| s.words.first().is_some_and(|w| w.text(sources) == "global_defs"));
    for stmt in global.flat_map(|s| &s.block).flat_map(|b| &b.stmts) {
        if let [word, value, ..] = &stmt.words[..] {
            match word.text(sources) {
                "iproute_usr_dir" => places.usr = Some(value.text(sources)),
                "iproute_etc_dir" => places.etc = Some(value.text(sources)),
                _ => {}
            }
        }
    }
    places
}

// Neither a virtual router nor a virtual server, nor a BFD session that a peer counts on: what else there is serves them.
fn has_nothing(config: &Config) -> bool {
    config.instances.is_empty() && config.virtual_servers.is_empty() && config.bfd.is_empty()
}

/// Why the main file is no text, if it is none: a sentence's end. One odd byte does not make it one.
fn not_text(src: &Sources) -> Option<&'static str> {
    let text = src.file(0)?.text.as_str();
    // Enough to judge by: a program and UTF-16 show it at once.
    let head: Vec<char> = text.chars().take(4096).collect();
    let nuls = head.iter().filter(|c| **c == '\0').count();
    let odd = head.iter().filter(|c| **c == '\u{FFFD}' || (c.is_control() && !c.is_whitespace())).count();
    match (nuls * 4 >= head.len() && nuls > 0, nuls > 0 && odd * 10 > head.len()) {
        (true, _) if head.first() == Some(&'\u{FFFD}') || nuls * 5 < head.len() * 3 => Some("it looks like UTF-16"),
        (true, _) | (_, true) => Some("it is binary"),
        _ => None,
    }
}

// A compiled image in place of text. Only a regular file is looked into: what comes through a pipe comes once.
fn compiled(files: &dyn Files, path: &str) -> Option<Vec<u8>> {
    let begins = || files.begins_with(path, &MAGIC).unwrap_or(false);
    (matches!(files.kind(path), Ok(Kind::File { .. })) && begins()).then(|| files.read(path).ok())?
}

// It was text once, and what there was to say was said when it was compiled.
fn load_image(path: &str, bytes: &[u8]) -> Loaded {
    let (mut sources, mut diags) = (Sources::default(), Diags::default());
    sources.add(path, Vec::new());
    let config = match image::decode(bytes) {
        Ok(config) => config,
        Err(e) => {
            diags
                .push(&sources, Span::default(), kind::bad_image(&e))
                .help("compile it again from the text: kalived --compile-config FILE -o IMAGE")
                .exit(ExitCode::NoConfig);
            Config::default()
        }
    };
    if has_nothing(&config) && !diags.has_fatal() {
        diags.push(&sources, Span::default(), kind::empty_image());
    }
    done(sources, diags, Lowered { config, ..Lowered::default() })
}

/// Puts the contents of `file:` keys in their place: the daemon opens none of them. The messages do not repeat them.
fn read_keys(files: &dyn Files, sources: &Sources, lowered: &mut Lowered, diags: &mut Diags) {
    for (path, span) in std::mem::take(&mut lowered.key_files) {
        let read = || -> Result<Secret, String> {
            let bytes = files.read(&path).map_err(|e| e.reason)?;
            if files.others_may_read(&path) {
                return Err("others than its owner may read it (chmod 600)".to_owned());
            }
            let text = String::from_utf8(bytes).map_err(|_| "it is not text".to_owned())?;
            let text = text.trim_end_matches(['\n', '\r']);
            lower::is_key(text).then(|| Secret(text.into())).ok_or_else(|| "it has not 32 to 64 bytes".to_owned())
        };
        match read() {
            Ok(secret) => {
                let name = format!("file:{path}");
                let hmacs = lowered.config.instances.iter_mut().filter_map(|i| i.more.hmac.as_deref_mut());
                let keys = hmacs.flat_map(|h| &mut h.keys).filter(|k| *k.secret.0 == *name);
                keys.for_each(|k| k.secret = secret.clone());
            }
            Err(why) => {
                diags.push(sources, span, kind::key_file(&path, &why)).help("text or hex: of 32 to 64 bytes");
            }
        }
    }
}

fn done(sources: Sources, diags: Diags, lowered: Lowered) -> Loaded {
    let (mut diags, cut) = diags.finish(&sources);
    hint::add(&sources, &mut diags);
    diags.iter_mut().for_each(|d| secret::mask(&sources, d));
    let Lowered { config, interfaces, effect, commands, tracked, said, .. } = lowered;
    Loaded { config, diags, cut, sources, interfaces, effect, commands, tracked, said, tree: Tree::default() }
}

impl Loaded {
    /// Whether a statement with this keyword is there.
    pub fn says(&self, word: &str) -> bool {
        self.said.iter().any(|s| s.word == word)
    }
    /// Why the daemon must not start, as its exit code.
    pub fn fatal(&self) -> Option<ExitCode> {
        let codes = || self.diags.iter().filter(|d| d.severity == Severity::Fatal).map(|d| d.exit);
        codes().find(|c| *c == ExitCode::NoConfig).or_else(|| codes().next())
    }
    /// The first place where the file is not what its author meant, if there is one: a reload keeps what runs.
    pub fn torn(&self) -> Option<&Diag> {
        self.diags.iter().find(|d| d.torn)
    }
    /// The exit code of `--config-test`: Ok for every file keepalived finds no fault with, unless it needs something
    /// kalived refuses to run without; keepalived's own number (that of [`ExitCode::NoConfig`]) where the only fault is that
    /// scripts are not secure.
    pub fn config_test_exit(&self) -> ExitCode {
        if self.fatal() == Some(ExitCode::NoConfig) {
            ExitCode::NoConfig
        } else if self.cut.failing > 0 || self.diags.iter().any(|d| d.fails_test && d.exit != ExitCode::NoConfig) {
            ExitCode::ConfigTest
        } else if self.diags.iter().any(|d| d.fails_test) {
            ExitCode::NoConfig
        } else {
            ExitCode::Ok
        }
    }
    /// All messages as text, ending in a newline; empty when there are none.
    pub fn render(&self, colour: bool) -> String {
        diag::render(&self.diags, self.cut, &self.sources, colour)
    }
    /// Other messages about these files, for example those of [`check_interfaces`].
    pub fn render_these(&self, diags: &[Diag], colour: bool) -> String {
        diag::render(diags, Cut::default(), &self.sources, colour)
    }
}

/// Interfaces that the file names and this machine does not have. `names`: those it has, for "did you mean".
/// Warnings: kalived waits for them.
pub fn check_interfaces(loaded: &Loaded, exists: &dyn Fn(&str) -> bool, names: &[&str]) -> Vec<Diag> {
    let mut diags = Diags::default();
    let mut told = std::collections::BTreeSet::new();
    for used in &loaded.interfaces {
        if exists(&used.name) || !told.insert(&used.name) {
            continue;
        }
        let near = names.iter().map(|n| (distance(&used.name, n), *n)).filter(|(d, _)| *d <= 2).min();
        let help = match near {
            Some((_, n)) => format!("did you mean `{n}`? otherwise kalived waits until `{}` appears", used.name),
            None => format!("kalived waits until `{}` appears", used.name),
        };
        let help = super::hint::contains_odd(&used.name).unwrap_or(help);
        let text = kind::interface_missing(&used.name, &used.user);
        diags.push(&loaded.sources, used.span, text).help(help);
    }
    diags.finish(&loaded.sources).0
}
