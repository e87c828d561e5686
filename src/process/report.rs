//! A report in a file of memory: the core writes it (`daemon/report.rs`); the commands and the dump process read it.

use crate::report::Report;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Largest report, bytes: 4,096 virtual routers with fifty addresses each stay below.
pub const MOST: u64 = 64 << 20;

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
