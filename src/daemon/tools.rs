//! What kalived does without running: `--config-test`, `--dump-conf`, `--compile-config`, `diff`. Nothing of the system is
//! opened or changed, and no privilege is needed. The work is in `config`; here are files, terminals and exit codes.

use super::scripthost::ThisHost;
use crate::cli::{Colour, Report, Tool};
use crate::config::check::{Host, Look};
use crate::config::diff::diff;
use crate::config::files::Disk;
use crate::config::lint::HostAddr;
use crate::config::model::Config;
use crate::config::scripts::Prepare;
use crate::config::{self, Loaded, dump, image, load_with, report};
use crate::exit::ExitCode;
use crate::guard::start::{default_file, say};
use crate::sys::privilege::cap;
use crate::sys::{clock, files, host, ifaddrs, privilege, socket};
use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::path::Path;

/// Does it.
pub(crate) fn run(tool: &Tool, how: &Report) -> ExitCode {
    confine();
    match tool {
        Tool::Dump { file, show_secrets } => dump_conf(&file.clone().unwrap_or_else(default_file), *show_secrets, how),
        Tool::Compile { file, out } => compile(file, out, how),
        Tool::Diff { old, new } => compare(old, new, how),
    }
}

/// A tool reads what others wrote: of root's rights it needs to read any file, and to make those of `init_file` anywhere.
fn confine() {
    privilege::keep_only(&[cap::DAC_OVERRIDE]);
    privilege::hide();
}

/// Whether messages on standard error have colour.
pub(crate) fn colour(how: &Report) -> bool {
    match how.colour {
        Colour::Always => true,
        Colour::Never => false,
        // https://no-color.org: set and not empty.
        Colour::Auto => std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()) && std::io::stderr().is_terminal(),
    }
}

/// The configuration, with what it may depend on besides its files.
pub(crate) fn read(path: &str, how: &Report) -> Loaded {
    with_options(how, |options| load_with(&Disk, path, options))
}

fn with_options<T>(how: &Report, read: impl FnOnce(&config::Options<'_>) -> T) -> T {
    let id = how.config_id.clone().unwrap_or_else(host::short_name);
    read(&config::Options {
        config_id: &id,
        strict_include: how.strict_include,
        env: &|name| std::env::var(name).ok(),
        seed: clock::now().wall.0 ^ (u64::from(std::process::id()) << 32),
        ..config::Options::default()
    })
}

/// What a configuration is looked at for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For {
    /// To run it, here: commands are made ready, files of `init_file` are made.
    Run,
    /// To test it: the same without making files; lints.
    Test,
    /// To compare it with what runs: the same without lints.
    Compare,
    /// To show it: nothing of the commands matters.
    Show,
}

/// Adds what follows from this machine, and lints; takes out what is silenced.
pub(crate) fn look(loaded: &mut Loaded, how: &Report, what: For) {
    let host = (!how.offline).then(|| {
        let addr = |(interface, addr, prefix)| HostAddr { interface, addr, prefix };
        let addrs = ifaddrs::addresses().into_iter().map(addr).collect();
        Host { interfaces: socket::interfaces(), addrs, exists: |path| Path::new(path).exists() }
    });
    let prepare = Prepare { host: &ThisHost, make_files: what == For::Run, strict: how.strict_lints };
    loaded.look(Look {
        host: host.as_ref(),
        lints: what == For::Test,
        strict_lints: how.strict_lints,
        allow: &how.allow,
        scripts: (what != For::Show && !how.offline).then_some(prepare),
    });
}

/// `--config-test`.
pub(crate) fn test(path: &str, how: &Report, log: Option<&Path>) -> ExitCode {
    confine();
    let mut loaded = read(path, how);
    look(&mut loaded, how, For::Test);
    let text = match (how.json, log) {
        (true, _) => visible_json(&format!("{:#}\n", report::json(&loaded.diags, &loaded.sources))).into_owned(),
        (false, Some(_)) => loaded.render(how.colour == Colour::Always),
        (false, None) => loaded.render(colour(how)),
    };
    let written = match log {
        Some(path) => {
            files::replace(path, text.as_bytes()).map_err(|e| format!("cannot write {}: {e}", path.display()))
        }
        None if how.json => print(text.as_bytes()),
        None => {
            // Nobody reads standard error: the exit code says it.
            let _ = std::io::stderr().write_all(text.as_bytes());
            Ok(())
        }
    };
    match written {
        Ok(()) => loaded.config_test_exit(),
        Err(why) => failed(&why),
    }
}

fn dump_conf(path: &str, show_secrets: bool, how: &Report) -> ExitCode {
    let (mut loaded, text) = with_options(how, |options| dump::dump(&Disk, path, options, show_secrets));
    look(&mut loaded, how, For::Show);
    messages(&loaded, how);
    if loaded.fatal() == Some(ExitCode::NoConfig) {
        return ExitCode::NoConfig;
    }
    if text.is_empty() && !loaded.config.instances.is_empty() {
        say(&format!("{path} is a compiled image: it holds no text to print"));
        return ExitCode::NoConfig;
    }
    match print(visible(&text).as_bytes()) {
        // What cannot be run is printed all the same, and said to be so.
        Ok(()) => loaded.fatal().unwrap_or(ExitCode::Ok),
        Err(why) => failed(&why),
    }
}

fn compile(path: &str, out: &str, how: &Report) -> ExitCode {
    crate::sys::sched::small_pages();
    let mut loaded = read(path, how);
    look(&mut loaded, how, For::Run);
    messages(&loaded, how);
    if let Some(code) = loaded.fatal() {
        return code;
    }
    if loaded.torn().is_some() {
        // What is compiled is to be put in force: not a file whose end is missing.
        return ExitCode::ConfigTest;
    }
    let written = image::encode(&loaded.config).map_err(|e| e.to_string()).and_then(|bytes| match out {
        "-" => print(&bytes),
        // It holds passwords: a new file, readable for its owner only.
        file => files::replace(Path::new(file), &bytes).map_err(|e| format!("cannot write {file}: {e}")),
    });
    match written {
        Ok(()) => ExitCode::Ok,
        Err(why) => failed(&why),
    }
}

fn compare(old: &str, new: &str, how: &Report) -> ExitCode {
    let offline = Report { offline: true, ..how.clone() };
    let both = [old, new].map(|path| to_compare(path, &offline, For::Show));
    if let Some(code) = both.iter().find_map(Loaded::fatal) {
        return code;
    }
    let [old, new] = both;
    print_plan(&old.config, &new.config, how)
}

/// `reload --dry-run`: what a reload from `running` to the file would do.
pub(crate) fn dry_run(running: &Config, path: &str, how: &Report) -> ExitCode {
    let new = to_compare(path, how, For::Compare);
    new.fatal().unwrap_or_else(|| print_plan(running, &new.config, how))
}

fn to_compare(path: &str, how: &Report, what: For) -> Loaded {
    let mut loaded = read(path, how);
    look(&mut loaded, how, what);
    messages(&loaded, how);
    loaded
}

fn print_plan(old: &Config, new: &Config, how: &Report) -> ExitCode {
    let plan = diff(old, new);
    let text = match how.json {
        true => visible_json(&format!("{:#}\n", plan.json())).into_owned(),
        false => visible(&plan.to_string()).into_owned(),
    };
    match print(text.as_bytes()) {
        Ok(()) => ExitCode::Ok,
        Err(why) => failed(&why),
    }
}

/// What is wrong with the file, where it does not get in the way of the output.
fn messages(loaded: &Loaded, how: &Report) {
    let _ = write!(std::io::stderr(), "{}", loaded.render(colour(how)));
}

fn failed(why: &str) -> ExitCode {
    say(why);
    ExitCode::Fatal
}

/// Whether a character moves a terminal's cursor, or types into it.
fn commands_a_terminal(c: char) -> bool {
    c.is_control() && c != '\n' && c != '\t'
}

/// Control characters other than line ends and tabs as `\xNN`: a name is shown, not obeyed.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, |c| format!("\\x{:02x}", u32::from(c)))
}

/// The same in JSON, which writes them in a way of its own; those below U+0020 have been already.
fn visible_json(text: &str) -> Cow<'_, str> {
    escaped(text, |c| format!("\\u{:04x}", u32::from(c)))
}

fn escaped(text: &str, how: impl Fn(char) -> String) -> Cow<'_, str> {
    if !text.contains(commands_a_terminal) {
        return text.into();
    }
    text.chars().map(|c| if commands_a_terminal(c) { how(c) } else { c.to_string() }).collect::<String>().into()
}

fn print(bytes: &[u8]) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|e| format!("cannot write to standard output: {e}"))
}
