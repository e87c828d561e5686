//! A report in a file in memory: the core writes it (`daemon/report.rs`); the commands and the dump process read it.

use crate::report::Report;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Largest report, bytes: that of 4,096 virtual routers with fifty addresses each is smaller.
pub const MOST: u64 = 64 << 20;

/// Reads a report from its file.
pub fn read(file: &File) -> Result<Report, String> {
    let wrong = |e: &dyn std::fmt::Display| format!("the report cannot be read: {e}");
    let len = file.metadata().map_err(|e| wrong(&e))?.len();
    // One slice more than the limit may have been written.
    if len > 2 * MOST {
        return Err(wrong(&"it is too large"));
    }
    let mut bytes = vec![0; usize::try_from(len).map_err(|e| wrong(&e))?];
    // Read at a position: the file offset is shared with the process that sent the descriptor.
    file.read_exact_at(&mut bytes, 0).map_err(|e| wrong(&e))?;
    Ok(Report::read(&bytes))
}
