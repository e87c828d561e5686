//! `config_save_dir`: what was read at a start or a reload, with all included files, as one file for each time.
//!
//! An operator can find out later what changed. The files contain passwords, so only their owner can read them, and no other user can
//! change the directory.

use crate::config::Loaded;
use crate::config::source::Span;
use crate::sys::{clock, files, walk};
use std::fmt::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// Files that are kept, the newest: a program that reloads every minute leaves half an hour.
const KEPT: usize = 32;
/// What their names begin with; the time follows, in seconds since 1970.
const PREFIX: &str = "kalived.conf.";

/// Saves it where its configuration says so.
///
/// # Errors
/// Why it could not be saved, for people.
pub(crate) fn save(loaded: &Loaded) -> Result<(), String> {
    let Some(dir) = loaded.config.global.more.config_save_dir.as_deref() else { return Ok(()) };
    let why = |e: &dyn core::fmt::Display| format!("config_save_dir {dir}: {e}; the configuration is not saved there");
    let open = walk::own_directory(Path::new(dir)).map_err(|e| why(&e))?;
    // The directory that was examined, whatever its name leads to by now.
    let path = &*PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd()));
    let name = format!("{PREFIX}{:012}", clock::now().wall.0 / 1_000_000_000);
    files::publish(&path.join(name), text(loaded).as_bytes(), 0o600).map_err(|e| why(&e))?;
    let names = std::fs::read_dir(path).map_err(|e| why(&e))?;
    let ours = |name: &String| name.strip_prefix(PREFIX).is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()));
    let mut old: Vec<String> = names.filter_map(|e| e.ok()?.file_name().into_string().ok()).filter(ours).collect();
    old.sort_unstable();
    for name in old.iter().rev().skip(KEPT) {
        std::fs::remove_file(path.join(name)).map_err(|e| why(&e))?;
    }
    Ok(())
}

fn text(loaded: &Loaded) -> String {
    let mut out = String::new();
    for (n, file) in (0..).map_while(|n| Some((n, loaded.sources.file(n)?))) {
        if !loaded.sources.is_replaced(Span { file: n, start: 0, end: 0 }) {
            let _ = writeln!(out, "# file {}\n{}", file.name, file.text.trim_end_matches('\n'));
        }
    }
    out
}
