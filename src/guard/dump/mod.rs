//! The files that keepalived writes on SIGUSR1, SIGUSR2, SIGRTMIN+2 and SIGRTMAX-1, in its formats, from a report.
//!
//! Exporters and distributions read these to the letter, see `docs/readers.md`. A process of its own writes one: a disk may be slow.
//! The content goes to a new file beside, which then takes the name. Whoever waits for IN_CLOSE_WRITE on the name (VyOS) hears it,
//! because the file is closed after it was renamed. Read first: `src/report/mod.rs`; then `data`, `stats`, `json`: one format each.

pub mod data;
pub mod json;
pub mod stats;
mod words;

use super::log::Log;
use super::role;
use super::text;
use crate::config::model::Config;
use crate::config::model::global::GlobalMore;
use crate::daemon::core::image_of;
use crate::daemon::log::Target;
use crate::daemon::report::MOST;
use crate::exit::ExitCode;
use crate::guard::start::SYSLOG;
use crate::report::Report;
use crate::sys::privilege::cap;
use crate::sys::{child, clock, files, privilege, signal};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `keepalived.data`.
    Data,
    /// `keepalived.stats`.
    Stats,
    /// The same, and counters begin anew.
    StatsClear,
    /// `keepalived.json`.
    Json,
}

impl Kind {
    const ALL: [Kind; 4] = [Kind::Data, Kind::Stats, Kind::StatsClear, Kind::Json];

    /// What asks for it. SIGRTMIN+2 is 36 with glibc and 37 with musl, and there are senders built with either.
    pub fn of_signal(number: u8) -> Option<Kind> {
        match number {
            signal::USR1 => Some(Kind::Data),
            signal::USR2 => Some(Kind::Stats),
            36 | 37 => Some(Kind::Json),
            63 => Some(Kind::StatsClear),
            _ => None,
        }
    }
    /// As an argument and in sentences.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Data => "data",
            Kind::Stats => "stats",
            Kind::StatsClear => "stats-clear",
            Kind::Json => "json",
        }
    }
    /// keepalived's words in the log.
    pub fn printing(self) -> &'static str {
        match self {
            Kind::Data => "Printing VRRP data",
            Kind::Stats => "Printing VRRP stats",
            Kind::StatsClear => "Printing and clearing VRRP stats",
            Kind::Json => "Printing VRRP as json",
        }
    }
    fn of(word: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|k| k.word() == word)
    }

    /// Where it goes: as the configuration says, or keepalived's name in `dir`.
    pub fn path(self, config: &Config, dir: &Path) -> PathBuf {
        let GlobalMore { state_dump_file, stats_dump_file, json_dump_file, data_use_instance, .. } =
            &*config.global.more;
        let (set, name) = match self {
            Kind::Data => (state_dump_file, "keepalived.data"),
            Kind::Stats | Kind::StatsClear => (stats_dump_file, "keepalived.stats"),
            Kind::Json => (json_dump_file, "keepalived.json"),
        };
        // The default names /tmp, and TMPDIR says another directory.
        let default = **set == *format!("/tmp/{name}");
        let file = match &**set {
            _ if default => dir.join(name),
            path if path.ends_with('/') => Path::new(path).join(name),
            path => dir.join(path),
        };
        let root = &config.root;
        let suffix = match (&root.net_namespace, &root.instance) {
            _ if !data_use_instance || self != Kind::Data => return file,
            (Some(ns), Some(i)) => format!("{ns}_{i}"),
            (Some(one), None) | (None, Some(one)) => one.to_string(),
            (None, None) => return file,
        };
        // Before the ending.
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        let ending = file.extension().map_or(String::new(), |e| format!(".{}", e.to_string_lossy()));
        file.with_file_name(format!("{stem}.{suffix}{ending}"))
    }

    /// The content; `None`: keepalived writes no such file without virtual routers.
    pub fn render(self, report: &Report, config: &Config) -> Option<String> {
        match self {
            Kind::Data => Some(data::render(report, config)),
            Kind::Stats | Kind::StatsClear => Some(stats::render(report)),
            Kind::Json if report.instances.is_empty() => None,
            Kind::Json => Some(json::render(report, config)),
        }
    }
}

/// keepalived's directory for files without one.
fn directory() -> PathBuf {
    let dir = std::env::var_os("TMPDIR").map(PathBuf::from).filter(|d| d.is_absolute());
    dir.unwrap_or_else(|| PathBuf::from("/tmp"))
}

/// The role: the report at fd 3, the configuration's image at 4. `args`: the kind, and where lines go.
pub fn role(args: &[String]) -> ExitCode {
    child::set_name(c"kalived");
    clock::load_zone();
    privilege::keep_only(&[cap::DAC_OVERRIDE, cap::FOWNER]);
    privilege::hide();
    signal::ignore();
    let has = |w: &str| args.iter().any(|a| a == w);
    let target = match (has(role::LOGS[1]), has(role::LOGS[2])) {
        (true, _) => Target::Syslog(SYSLOG.to_owned()),
        (_, true) => Target::Nowhere,
        _ => Target::Console,
    };
    let Some(kind) = args.first().and_then(|word| Kind::of(word)) else { return ExitCode::Fatal };
    match write(kind) {
        Ok(()) => ExitCode::Ok,
        Err(why) => {
            Log::new(target, has(role::DETAIL)).note(&text::not_dumped(kind, &why));
            ExitCode::Fatal
        }
    }
}

fn write(kind: Kind) -> Result<(), String> {
    let [report, image] = child::inherited::<2>().map_err(|e| e.to_string())?.map(File::from);
    let report = read(&report)?;
    let config = image_of(&image)?;
    let path = kind.path(&config, &directory());
    let Some(content) = kind.render(&report, &config) else { return Ok(()) };
    let mode = 0o666 & !u32::from(config.global.more.umask);
    files::publish(&path, content.as_bytes(), mode).map_err(|e| format!("{}: {e}", path.display()))
}

/// A report out of its file of memory.
pub fn read(file: &File) -> Result<Report, String> {
    let wrong = |e: &dyn std::fmt::Display| format!("the report cannot be read: {e}");
    let len = file.metadata().map_err(|e| wrong(&e))?.len();
    // One slice more than the limit may have been written.
    if len > 2 * MOST {
        return Err(wrong(&"it is too large"));
    }
    let mut bytes = vec![0; usize::try_from(len).map_err(|e| wrong(&e))?];
    // At positions: the offset is shared with the process that gave it.
    file.read_exact_at(&mut bytes, 0).map_err(|e| wrong(&e))?;
    Ok(Report::read(&bytes))
}
