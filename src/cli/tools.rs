//! The tools: `--config-test`, `--dump-conf`, `--compile-config`, `diff`. They change nothing in the system, need no privilege, and open
//! no existing file for writing (`sys/files.rs`). The work is done in `config`; this file handles files, terminals and exit codes.

use super::{DEFAULT_FILES, Tool, recordings};
use crate::config::check::{Host, Look};
use crate::config::diag::Severity;
use crate::config::diff::diff;
use crate::config::files::Disk;
use crate::config::lint::HostAddr;
use crate::config::model::Config;
use crate::config::scripts::Prepare;
use crate::config::source::Files;
use crate::config::verdict::Wanted;
use crate::config::{self, Loaded, dump, image, keyword, load_with, quick, report};
use crate::exit::ExitCode;
use crate::note::{Level, Note};
use crate::process::entry;
use crate::process::interfaces;
use crate::process::log::say;
use crate::process::reading::{Colour, Reading};
use crate::process::scripthost::ThisHost;
use crate::sys::privilege::cap;
use crate::sys::{clock, files, host, namespace, privilege, signal};
use std::borrow::Cow;
use std::io::{IsTerminal, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Runs the tool.
pub(crate) fn run(tool: &Tool, how: &Reading) -> ExitCode {
    confine();
    match tool {
        Tool::Dump { file, show_secrets } => dump_conf(&file.clone().unwrap_or_else(default_file), *show_secrets, how),
        Tool::Compile { file, out, force, entries } => {
            if *entries {
                // The guard starts this process, and a signal sent to every process of the name kalived reaches it too.
                signal::ignore();
            }
            compile(file, out, *force, *entries, how)
        }
        Tool::Diff { old, new } => compare(old, new, how),
        Tool::Replay { file, verbose } => recordings::replay(file, *verbose),
    }
}

/// A tool reads files of other users. Of root's capabilities it needs those for reading any file, and for creating those of `init_file`.
fn confine() {
    privilege::keep_only(&[cap::DAC_OVERRIDE]);
    privilege::hide();
}

/// Whether messages on standard error have colour.
pub(crate) fn colour(how: &Reading) -> bool {
    match how.colour {
        Colour::Always => true,
        Colour::Never => false,
        // https://no-color.org: set and not empty.
        Colour::Auto => std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()) && std::io::stderr().is_terminal(),
    }
}

/// The configuration, with everything that it depends on besides its files.
pub(crate) fn read(path: &str, how: &Reading) -> Loaded {
    with_options(how, |options| load_with(&Disk, path, options))
}

/// The configuration without its virtual servers, which are read later, where that is possible (`config/quick.rs`): only of a large file.
pub(crate) fn read_quickly(path: &str, how: &Reading) -> Option<Loaded> {
    let large = |meta: &std::fs::Metadata| meta.is_file() && meta.len() >= quick::LARGE as u64;
    std::fs::metadata(path).ok().filter(large)?;
    let text = String::from_utf8(Disk.read(path).ok()?).ok()?;
    let reduced = quick::without_servers(&text)?;
    drop(text);
    let files = quick::Reduced { path, text: &reduced, disk: &Disk };
    let loaded = with_options(how, |options| load_with(&files, path, options));
    let whole = loaded.fatal().is_none() && loaded.torn().is_none() && !loaded.config.instances.is_empty();
    let config = &loaded.config;
    let none = config.virtual_servers.is_empty() && config.server_groups.is_empty() && config.ssl.is_none();
    // What virtual routers track is checked against the virtual servers.
    (whole && none && !loaded.sources.file(0)?.text.contains("track_virtual_server")).then_some(loaded)
}

fn with_options<T>(how: &Reading, read: impl FnOnce(&config::Options<'_>) -> T) -> T {
    let id = how.config_id.clone().unwrap_or_else(host::short_name);
    read(&config::Options {
        config_id: &id,
        strict_include: how.strict_include,
        env: &|name| std::env::var(name).ok(),
        seed: clock::now().wall.0 ^ (u64::from(std::process::id()) << 32),
        ..config::Options::default()
    })
}

/// The purpose of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For {
    /// To run it on this machine: commands are prepared, files of `init_file` are created.
    Run,
    /// To test it: the same without creating files, and with lints.
    Test,
    /// To compare it with the running one: the same without lints.
    Compare,
    /// To show it: commands are not examined.
    Show,
}

/// Adds the findings that depend on this machine, and lints; removes those that are silenced.
/// `namespace`: `-s`.
pub(crate) fn look(loaded: &mut Loaded, how: &Reading, what: For, namespace: Option<&str>) {
    // Interfaces of another network namespace are not looked at: entering it needs more rights than a tool has.
    let named = namespace.or(loaded.config.root.net_namespace.as_deref());
    let elsewhere = named.is_some_and(|name| !namespace::is_current(name));
    let host = (!how.offline && !elsewhere).then(|| {
        let (interfaces, addrs) = interfaces::read();
        let addr = |(interface, addr, prefix)| HostAddr { interface, addr, prefix };
        let addrs = addrs.into_iter().map(addr).collect();
        let sysctl = |name: &str| {
            let text = std::fs::read_to_string(format!("/proc/sys/{}", name.replace('.', "/"))).ok()?;
            text.trim().parse().ok()
        };
        Host { interfaces, addrs, exists: |path| Path::new(path).exists(), sysctl }
    });
    let prepare = Prepare { host: &ThisHost, make_files: what == For::Run, strict: how.strict_lints };
    loaded.look(Look {
        host: host.as_ref(),
        // Where a lint counts as a mistake, a reload runs all lints.
        lints: what == For::Test || (how.strict_lints && what == For::Run),
        starts: what == For::Run,
        strict_lints: how.strict_lints,
        allow: &how.allow,
        scripts: (what != For::Show && !how.offline).then_some(prepare),
    });
}

/// `--config-test`: checks the file and prints the messages, or writes them to `log`. Returns the exit code.
pub(crate) fn test(path: &str, how: &Reading, log: Option<&Path>, namespace: Option<&str>) -> ExitCode {
    confine();
    let mut loaded = read(path, how);
    look(&mut loaded, how, For::Test, namespace);
    let summary = loaded.summary(Wanted::Test);
    let text = |colour| match how.json {
        true => visible_json(&format!("{:#}\n", report::json(&loaded.diags, loaded.cut, &loaded.sources))).into_owned(),
        false => format!("{}{summary}\n", loaded.render(colour)),
    };
    let written = match log {
        Some(path) => write(path, text(how.colour == Colour::Always).as_bytes(), &loaded),
        None if how.json => print(text(false).as_bytes()),
        None => {
            // Standard error has no reader: the exit code contains the result.
            let _ = std::io::stderr().write_all(text(colour(how)).as_bytes());
            Ok(())
        }
    };
    match written {
        Ok(()) => loaded.may_run(Wanted::Test).err().unwrap_or(ExitCode::Ok),
        Err(why) => failed(&why),
    }
}

/// Bytes at the beginning and at the end of an existing file that are examined before it is replaced.
const LOOK: u64 = 1 << 20;

/// Puts a file with these bytes in the place of an earlier one of its kind (`sys/files.rs`). A file that kalived did not write is
/// refused: it is an input (a configuration or a part of one) or belongs to another program (a script, a file of the system).
fn write(path: &Path, bytes: &[u8], of: &Loaded) -> Result<(), String> {
    let refused = |why: &str| Err(format!("{} is not written: {why}", path.display()));
    let there = std::fs::symlink_metadata(path).ok().filter(|m| m.is_file() && m.len() > 0);
    if let Some(meta) = there {
        if is_source(of, (meta.dev(), meta.ino())) {
            return refused("it is a part of this configuration");
        }
        match ends(path, meta.len()) {
            Err(e) => return refused(&format!("it is there and cannot be read: {e}")),
            Ok((first, last)) if is_our_output(&first, &last) => {}
            Ok(_) => {
                return refused("a file is there that kalived did not write; name another one, or remove it first");
            }
        }
    }
    files::replace(path, bytes).map_err(|e| format!("cannot write {}: {e}", path.display()))
}

/// Whether a file is one of those that were read, under any name.
fn is_source(loaded: &Loaded, id: (u64, u64)) -> bool {
    let names = (0..).map_while(|n| loaded.sources.file(n)).filter(|f| !f.name.is_empty());
    names.into_iter().any(|f| std::fs::metadata(&*f.name).is_ok_and(|m| (m.dev(), m.ino()) == id))
}

/// The first and the last bytes of a file of this length.
fn ends(path: &Path, len: u64) -> std::io::Result<(Vec<u8>, Vec<u8>)> {
    let mut file = std::fs::File::open(path)?;
    let (mut first, mut last) = (Vec::new(), Vec::new());
    Read::by_ref(&mut file).take(LOOK).read_to_end(&mut first)?;
    file.seek(SeekFrom::Start(len.saturating_sub(LOOK)))?;
    file.take(LOOK).read_to_end(&mut last)?;
    Ok((first, last))
}

/// Whether the file is an image, a log of a test, or one in JSON.
fn is_our_output(first: &[u8], last: &[u8]) -> bool {
    let (begin, end) = (String::from_utf8_lossy(first), String::from_utf8_lossy(last));
    let is_log = Wanted::VERDICTS.iter().any(|verdict| end.trim_end().ends_with(verdict));
    let is_json = begin == "[]\n" || (begin.starts_with("[\n  {\n    \"") && begin.contains("\"severity\": \""));
    first.starts_with(&image::MAGIC) || is_json || (is_log && !is_configuration(&begin))
}

/// Whether a line begins with a block of a configuration. Lines quoted in messages begin with their number.
fn is_configuration(text: &str) -> bool {
    let first = |line: &str| line.split([' ', '\t', '{']).next().is_some_and(keyword::only_at_root);
    text.lines().any(|l| first(l.trim_start()))
}

fn dump_conf(path: &str, show_secrets: bool, how: &Reading) -> ExitCode {
    let (mut loaded, text) = with_options(how, |options| dump::dump(&Disk, path, options, show_secrets));
    look(&mut loaded, how, For::Show, None);
    messages(&loaded, how);
    if loaded.fatal() == Some(ExitCode::NoConfig) {
        return ExitCode::NoConfig;
    }
    if text.is_empty() && !loaded.config.instances.is_empty() {
        say(&format!("{path} is a compiled image: it holds no text to print"));
        return ExitCode::NoConfig;
    }
    match print(visible(&text).as_bytes()) {
        // A configuration that cannot be run is printed all the same, with the messages.
        Ok(()) => loaded.fatal().unwrap_or(ExitCode::Ok),
        Err(why) => failed(&why),
    }
}

fn compile(path: &str, out: &str, force: bool, entries: bool, how: &Reading) -> ExitCode {
    let wanted = if force { Wanted::ForcedReload } else { Wanted::Reload };
    let mut loaded = read(path, how);
    look(&mut loaded, how, For::Run, None);
    // Reported at the start, and the same for every reload.
    loaded.diags.retain(|d| d.severity != Severity::Note || d.code() != "no-script-user");
    let may = loaded.may_run(wanted);
    if entries {
        let lines: String = entry::entries(&loaded).iter().map(|n| entry::write(n) + "\n").collect();
        let _ = std::io::stderr().write_all(lines.as_bytes());
    } else {
        messages(&loaded, how);
        if may.is_err() || !loaded.diags.is_empty() {
            let _ = writeln!(std::io::stderr(), "{}", loaded.summary(wanted));
        }
    }
    if let Err(code) = may {
        return code;
    }
    if entries && let Err(text) = super::saved::save(&loaded) {
        let _ = std::io::stderr().write_all((entry::write(&Note { level: Level::Warning, text }) + "\n").as_bytes());
    }
    let written = image::encode(&loaded.config).map_err(|e| e.to_string()).and_then(|bytes| match out {
        "-" => print(&bytes),
        file => write(Path::new(file), &bytes, &loaded),
    });
    match written {
        Ok(()) => ExitCode::Ok,
        Err(why) => failed(&why),
    }
}

fn compare(old: &str, new: &str, how: &Reading) -> ExitCode {
    let offline = Reading { offline: true, ..how.clone() };
    let both = [old, new].map(|path| to_compare(path, &offline, For::Show));
    if let Some(code) = both.iter().find_map(Loaded::fatal) {
        return code;
    }
    let [old, new] = both;
    print_plan(&old.config, &new.config, how)
}

/// `reload --dry-run`: what a reload from `running` to the file would do.
pub(crate) fn dry_run(running: &Config, path: &str, how: &Reading) -> ExitCode {
    let new = to_compare(path, how, For::Compare);
    if let Err(code) = new.may_run(Wanted::Reload) {
        let _ = writeln!(std::io::stderr(), "{}", new.summary(Wanted::Reload));
        // The effect of `--force` is shown all the same.
        return new.fatal().unwrap_or_else(|| match print_plan(running, &new.config, how) {
            ExitCode::Ok => code,
            other => other,
        });
    }
    print_plan(running, &new.config, how)
}

fn to_compare(path: &str, how: &Reading, what: For) -> Loaded {
    let mut loaded = read(path, how);
    look(&mut loaded, how, what, None);
    messages(&loaded, how);
    loaded
}

fn print_plan(old: &Config, new: &Config, how: &Reading) -> ExitCode {
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

/// Prints the messages about the file, where they do not mix with the output.
fn messages(loaded: &Loaded, how: &Reading) {
    let _ = write!(std::io::stderr(), "{}", loaded.render(colour(how)));
}

pub(super) fn failed(why: &str) -> ExitCode {
    say(why);
    ExitCode::Fatal
}

/// Whether a terminal interprets the character as a command.
fn commands_a_terminal(c: char) -> bool {
    c.is_control() && c != '\n' && c != '\t'
}

/// Control characters other than line ends and tabs as `\xNN`: a terminal displays a name and does not interpret it.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, |c| format!("\\x{:02x}", u32::from(c)))
}

/// The same in JSON, which has its own escapes; characters below U+0020 are escaped already.
pub(crate) fn visible_json(text: &str) -> Cow<'_, str> {
    escaped(text, |c| format!("\\u{:04x}", u32::from(c)))
}

fn escaped(text: &str, how: impl Fn(char) -> String) -> Cow<'_, str> {
    if !text.contains(commands_a_terminal) {
        return text.into();
    }
    text.chars().map(|c| if commands_a_terminal(c) { how(c) } else { c.to_string() }).collect::<String>().into()
}

pub(super) fn print(bytes: &[u8]) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|e| format!("cannot write to standard output: {e}"))
}

/// The configuration when no option names one.
pub(crate) fn default_file() -> String {
    let found = DEFAULT_FILES.iter().find(|f| Path::new(f).exists());
    found.unwrap_or(&DEFAULT_FILES[0]).to_string()
}
