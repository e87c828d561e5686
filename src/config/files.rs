//! The implementation of [`Files`] on a file system: the only file in `config` that opens files.

use super::source::{FileError, Files, Kind, MAX_BYTES};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;

/// Most names taken from one directory: more is no directory of configuration files.
const MAX_NAMES: usize = 100_000;

/// The name of standard input. A file of that name is `./-`.
pub const STDIN: &str = "-";

/// Files of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

fn fail(e: std::io::Error) -> FileError {
    let text = e.to_string();
    // "No such file or directory (os error 2)": people know the first half.
    let reason = text.split(" (os error").next().unwrap_or(&text).to_owned();
    FileError { errno: e.raw_os_error(), reason }
}

impl Files for Disk {
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        let mut bytes = Vec::new();
        if path == STDIN {
            std::io::stdin().lock().take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(fail)?;
            return Ok(bytes);
        }
        let file = std::fs::File::open(path).map_err(fail)?;
        // Large files are not copied while the memory for them grows.
        let len = file.metadata().map_or(0, |meta| meta.len());
        bytes.reserve(usize::try_from(len.min(MAX_BYTES as u64)).unwrap_or(0) + 1);
        // Bounded, because the name may lead to a device without an end.
        file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(fail)?;
        Ok(bytes)
    }
    fn begins_with(&self, path: &str, bytes: &[u8]) -> Result<bool, FileError> {
        let mut found = Vec::new();
        std::fs::File::open(path).map_err(fail)?.take(bytes.len() as u64).read_to_end(&mut found).map_err(fail)?;
        Ok(found == bytes)
    }
    fn kind(&self, path: &str) -> Result<Kind, FileError> {
        if path == STDIN {
            return Ok(Kind::Other);
        }
        let meta = std::fs::metadata(path).map_err(fail)?;
        Ok(match (meta.is_file(), meta.is_dir()) {
            (true, _) => Kind::File { executable: meta.permissions().mode() & 0o111 != 0 },
            (_, true) => Kind::Directory,
            _ => Kind::Other,
        })
    }
    fn others_may_read(&self, path: &str) -> bool {
        std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0)
    }
    fn list(&self, directory: &str) -> Result<Vec<String>, FileError> {
        let entries = std::fs::read_dir(if directory.is_empty() { "." } else { directory }).map_err(fail)?;
        // A name that is not UTF-8 cannot be written in a configuration file either.
        Ok(entries.filter_map(|e| e.ok()?.file_name().into_string().ok()).take(MAX_NAMES).collect())
    }
    fn working_directory(&self) -> String {
        std::env::current_dir().ok().and_then(|d| d.into_os_string().into_string().ok()).unwrap_or_else(|| ".".into())
    }
}
