//! The files that keepalived writes on SIGUSR1, SIGUSR2, SIGRTMIN+2 and SIGRTMAX-1, in its formats, from a report.
//!
//! Exporters and distributions parse these files exactly, see `docs/readers.md`. A process of its own writes a file, because a disk may
//! be slow. The content is written to a new file beside, which is then renamed. A process that waits for IN_CLOSE_WRITE on the name
//! (VyOS) is notified, because the file is closed after it was renamed. Read first: `src/report/mod.rs`; then `data`,
//! `checkers`, `stats`, `json`: one format each.

pub mod checkers;
pub mod data;
pub mod json;
pub mod stats;
mod words;

use super::text;
use crate::config::model::Config;
use crate::config::model::global::GlobalMore;
use crate::exit::ExitCode;
use crate::process::args;
use crate::process::dump::Kind;
use crate::process::image::image_of;
use crate::process::log::Log;
use crate::process::report;
use crate::report::Report;
use crate::sys::privilege::cap;
use crate::sys::{child, clock, files, privilege, signal};
use std::fs::File;
use std::path::{Path, PathBuf};

/// The path of the file: the configured one, or keepalived's name in `dir`.
pub fn path(kind: Kind, config: &Config, dir: &Path) -> PathBuf {
    let GlobalMore { state_dump_file, stats_dump_file, json_dump_file, data_use_instance, .. } = &*config.global.more;
    let (set, name) = match kind {
        Kind::Data => (state_dump_file, "keepalived.data"),
        Kind::Stats | Kind::StatsClear => (stats_dump_file, "keepalived.stats"),
        Kind::Json => (json_dump_file, "keepalived.json"),
    };
    // The default path is in /tmp, and TMPDIR names another directory.
    let default = **set == *format!("/tmp/{name}");
    let file = match &**set {
        _ if default => dir.join(name),
        path if path.ends_with('/') => Path::new(path).join(name),
        path => dir.join(path),
    };
    let root = &config.root;
    let suffix = match (&root.net_namespace, &root.instance) {
        _ if !data_use_instance || kind != Kind::Data => return file,
        (Some(ns), Some(i)) => format!("{ns}_{i}"),
        (Some(one), None) | (None, Some(one)) => one.to_string(),
        (None, None) => return file,
    };
    inserted(&file, &format!(".{suffix}"))
}

/// The path of keepalived's second file of that kind, about virtual servers: `keepalived_check.data` beside `keepalived.data`.
pub fn check_path(config: &Config, dir: &Path) -> PathBuf {
    inserted(&path(Kind::Data, config, dir), "_check")
}

// Before the extension.
fn inserted(file: &Path, what: &str) -> PathBuf {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let ending = file.extension().map_or(String::new(), |e| format!(".{}", e.to_string_lossy()));
    file.with_file_name(format!("{stem}{what}{ending}"))
}

/// The content; `None`: keepalived writes no such file without virtual routers.
pub fn render(kind: Kind, report: &Report, config: &Config) -> Option<String> {
    match kind {
        Kind::Data => Some(data::render(report, config)),
        Kind::Stats | Kind::StatsClear => Some(stats::render(report)),
        Kind::Json if report.instances.is_empty() => None,
        Kind::Json => Some(json::render(report, config)),
    }
}

/// keepalived's directory for files without one.
fn directory() -> PathBuf {
    let dir = std::env::var_os("TMPDIR").map(PathBuf::from).filter(|d| d.is_absolute());
    dir.unwrap_or_else(|| PathBuf::from("/tmp"))
}

/// The role: the report at fd 3, the configuration's image at 4. `words`: the kind, and the destination of log lines.
pub fn role(words: &[String]) -> ExitCode {
    child::set_name(c"kalived");
    clock::load_zone();
    privilege::keep_only(&[cap::DAC_OVERRIDE, cap::FOWNER]);
    privilege::hide();
    signal::ignore();
    let Some(kind) = words.first().and_then(|word| Kind::of(word)) else { return ExitCode::Fatal };
    match write(kind) {
        Ok(()) => ExitCode::Ok,
        Err(why) => {
            Log::new(args::target(words), args::has(words, args::DETAIL)).note(&text::not_dumped(kind, &why));
            ExitCode::Fatal
        }
    }
}

fn write(kind: Kind) -> Result<(), String> {
    let [report, image] = child::inherited::<2>().map_err(|e| e.to_string())?.map(File::from);
    let report = report::read(&report)?;
    let config = image_of(&image)?;
    let mode = 0o666 & !u32::from(config.global.more.umask);
    let publish = |to: PathBuf, content: String| {
        files::publish(&to, content.as_bytes(), mode).map_err(|e| format!("{}: {e}", to.display()))
    };
    let to = path(kind, &config, &directory());
    if let Some(content) = render(kind, &report, &config) {
        publish(to, content)?;
    }
    if kind == Kind::Data && !config.virtual_servers.is_empty() {
        publish(check_path(&config, &directory()), checkers::render(&report, &config))?;
    }
    Ok(())
}
