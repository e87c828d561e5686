//! Sysctls of interfaces, read and written. It may wait for the kernel: never on the loop.
//!
//! Read first: `knob.rs` of the crate.

use crate::knob::Set;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};

/// Sets one; what it was, if that was something else.
///
/// # Errors
/// NotFound: there is no such interface, or the kernel has no such sysctl.
pub fn set(dev: &str, set: &Set) -> io::Result<Option<u32>> {
    let path = set.knob.path(dev).ok_or(io::ErrorKind::InvalidInput)?;
    let mut text = String::new();
    OpenOptions::new().read(true).open(&path)?.read_to_string(&mut text)?;
    let was: u32 = text.trim().parse().map_err(|_| io::ErrorKind::InvalidData)?;
    if was == set.to || set.only.is_some_and(|only| only != was) {
        return Ok(None);
    }
    OpenOptions::new().write(true).open(&path)?.write_all(set.to.to_string().as_bytes())?;
    Ok(Some(was))
}
