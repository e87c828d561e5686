//! The kalived processes of this machine, by their command lines: for the message that the requested kalived does not run.
//!
//! Read first: `client.rs`. The list may be incomplete: a process may end while it is examined, and a container shows only its own
//! processes.

use super::Parsed;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Most processes that are listed.
const MOST: usize = 8;

/// Processes with their pid files.
pub(super) fn running() -> Vec<(u32, PathBuf)> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok());
    let mut out: Vec<(u32, PathBuf)> = pids
        .filter(|pid| *pid != std::process::id())
        .filter_map(|pid| Some((pid, pid_file(pid)?)))
        .take(MOST)
        .collect();
    out.sort_unstable();
    out
}

fn pid_file(pid: u32) -> Option<PathBuf> {
    let of = |name: &str| std::fs::read(format!("/proc/{pid}/{name}")).ok();
    if of("comm")?.trim_ascii_end() != b"kalived" {
        return None;
    }
    let (path, by_default) = pid_file_of(&of("cmdline")?)?;
    if let Some(path) = by_default.then(|| of_namespace(pid)).flatten() {
        return Some(path);
    }
    // A daemon changes its working directory when it goes into the background: a relative path is then shown as given.
    let cwd = std::fs::read_link(format!("/proc/{pid}/cwd")).ok().filter(|d| d.as_path() != Path::new("/"));
    Some(cwd.map_or(path.clone(), |d| d.join(path)))
}

// Where the configuration names a network namespace, the pid file is named after it.
fn of_namespace(pid: u32) -> Option<PathBuf> {
    let default = Path::new(super::DEFAULT_PID_FILE);
    let (start, end) = (format!("{}-", default.file_stem()?.to_str()?), ".pid");
    let of_that = |file: &Path| {
        let name = file.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        name.starts_with(&start)
            && name.ends_with(end)
            && std::fs::read_to_string(file).is_ok_and(|text| text.trim_end() == pid.to_string())
    };
    std::fs::read_dir(default.parent()?).ok()?.flatten().map(|e| e.path()).find(|f| of_that(f))
}

/// The pid file of a guard, and whether its command line leaves it open; none for the other processes and for commands.
fn pid_file_of(cmdline: &[u8]) -> Option<(PathBuf, bool)> {
    let words = cmdline.strip_suffix(b"\0")?.split(|b| *b == 0).map(|w| OsString::from_vec(w.to_vec()));
    let words: Vec<OsString> = words.collect();
    if words.first()?.to_string_lossy().starts_with("kalived: ") {
        return None;
    }
    match super::parse(words) {
        Parsed::Run(o) if o.test.is_none() => Some((o.pid_file, o.pid_by_default)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pid_file_of_a_command_line() {
        let of = |words: &[&str]| pid_file_of(format!("{}\0", words.join("\0")).as_bytes());
        assert_eq!(of(&["/usr/sbin/kalived", "-n", "-p", "/run/a.pid"]), Some(("/run/a.pid".into(), false)));
        assert_eq!(of(&["kalived", "-nlp", "a.pid"]), Some(("a.pid".into(), false)));
        assert_eq!(of(&["kalived"]), Some((super::super::DEFAULT_PID_FILE.into(), true)));
        for no in [
            &["kalived: core", "--core"][..],
            &["kalived", "reload"],
            &["kalived", "-t"],
            &["kalived", "--nonsense"],
            &[""],
        ] {
            assert_eq!(of(no).filter(|_| no != [""]), None, "{no:?}");
        }
        assert_eq!(pid_file_of(b""), None);
    }
}
