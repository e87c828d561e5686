//! The disk behind [`Files`]: the only file in `config` that opens anything.

use super::source::{FileError, Files, MAX_BYTES};
use std::io::Read;

/// Files of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Files for Disk {
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        let fail = |e: std::io::Error| {
            let text = e.to_string();
            // "No such file or directory (os error 2)": people know the first half.
            let reason = text.split(" (os error").next().unwrap_or(&text).to_owned();
            FileError { errno: e.raw_os_error(), reason }
        };
        let mut bytes = Vec::new();
        // Bounded, because the name may lead to a device without an end.
        std::fs::File::open(path).map_err(fail)?.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(fail)?;
        Ok(bytes)
    }
}
