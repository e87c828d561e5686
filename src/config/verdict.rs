//! Whether a file may be run: one answer for `--config-test`, a start and a reload, and the last line that reports it.
//!
//! - *fatal*: kalived does not start with the file, and does not reload it;
//! - *error*: what is written has no effect, or another one than it says. A start goes on without it, as keepalived does,
//!   because an old file must not keep a host without its address after a boot; a test fails, and a reload is refused,
//!   because a configuration without that error runs already;
//! - *warning*: it has an effect, but maybe not the one that was wanted. It counts like an error, except for lints
//!   (`lint.rs`), which count only with `--strict-lints`;
//! - *note*: nothing against the file.
//!
//! Read first: `diag.rs`. Deliberately absent: what else can keep a process from starting (permissions, the pid file).

use super::Loaded;
use super::diag::Severity;
use crate::exit::ExitCode;
use std::fmt::Write;

/// Most keywords without effect named in the last line.
const MAX_NAMED: usize = 6;

/// What the file is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// `--config-test`: errors fail the test.
    Test,
    /// A start: only a fatal message refuses the file.
    Start,
    /// A reload, and `--compile-config`: what fails a test is refused.
    Reload,
    /// The same with `--force`: only what keeps kalived from starting is refused.
    ForcedReload,
}

impl Wanted {
    /// How the last line of a test ends.
    pub const VERDICTS: [&'static str; 2] = [": passed", ": failed"];
}

/// How many settings a file has, and how many of them kalived does not act on yet: by the keyword table alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// Keywords with what follows them, those in inner blocks counted.
    pub settings: usize,
    /// Those without effect, and those inside such a block.
    pub without: usize,
    /// The keywords, outermost only, in the order of the table's scopes, each once.
    pub keywords: Vec<&'static str>,
}

impl Loaded {
    /// Whether the file may run. The error is the exit code that says why not: [`ExitCode::Config`] or
    /// [`ExitCode::NoConfig`] for what keeps kalived from starting, [`ExitCode::ConfigTest`] for mistakes, and
    /// [`ExitCode::NoConfig`] again where a script that is not secure is the only one.
    pub fn may_run(&self, wanted: Wanted) -> Result<(), ExitCode> {
        let code = match wanted {
            Wanted::Start | Wanted::ForcedReload => self.fatal().unwrap_or(ExitCode::Ok),
            Wanted::Test => self.config_test_exit(),
            Wanted::Reload => self.fatal().unwrap_or_else(|| self.config_test_exit()),
        };
        if code == ExitCode::Ok { Ok(()) } else { Err(code) }
    }

    /// The last line, without a newline: how many of each, how much of the file has no effect, and what follows.
    pub fn summary(&self, wanted: Wanted) -> String {
        let count = |s: Severity| self.diags.iter().filter(|d| d.severity == s).count();
        let lints = self.diags.iter().filter(|d| d.severity == Severity::Warning && !d.fails_test).count();
        let named = |n: usize, one: &str, more: &str| match n {
            0 => None,
            1 => Some(format!("1 {one}")),
            n => Some(format!("{n} {more}")),
        };
        let parts: Vec<String> = [
            named(count(Severity::Fatal), "fatal error", "fatal errors"),
            named(count(Severity::Error), "error", "errors"),
            named(count(Severity::Warning) - lints, "warning", "warnings"),
            named(lints, "lint", "lints"),
            named(count(Severity::Note), "note", "notes"),
            named(self.cut.messages, "more message", "more messages"),
        ]
        .into_iter()
        .flatten()
        .collect();
        let mut out = self.name();
        let _ = write!(out, ": {}", if parts.is_empty() { "no mistakes".to_owned() } else { parts.join(", ") });
        if self.effect.without > 0 {
            let Effect { settings, without, keywords } = &self.effect;
            let names: Vec<String> = keywords.iter().take(MAX_NAMED).map(|k| format!("`{k}`")).collect();
            let more = if keywords.len() > MAX_NAMED { ", ..." } else { "" };
            let verb = if *without == 1 { "has" } else { "have" };
            let _ = write!(out, "; {without} of {settings} settings {verb} no effect ({}{more})", names.join(", "));
        }
        out.push_str(match (wanted, self.may_run(wanted).is_ok()) {
            (Wanted::Test, true) => Wanted::VERDICTS[0],
            (Wanted::Test, false) => Wanted::VERDICTS[1],
            (Wanted::Start, true) => ": kalived starts with it",
            (Wanted::Start, false) => ": kalived does not start with it",
            (Wanted::Reload | Wanted::ForcedReload, true) => ": taken",
            (Wanted::Reload, false) if self.fatal().is_none() => ": refused; `--force` takes it all the same",
            (Wanted::Reload | Wanted::ForcedReload, false) => ": refused",
        });
        out
    }

    /// The main file, as it was named.
    fn name(&self) -> String {
        let name = self.sources.file(0).map_or("", |f| &*f.name);
        let clean: String = name.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect();
        if clean.is_empty() { "the configuration".to_owned() } else { clean }
    }
}
