//! Sysctls of interfaces, read and written. It may wait for the kernel: never on the loop.
//!
//! Read first: `knob.rs` of the crate.

use crate::knob::{Knob, Set};
use std::fs::OpenOptions;
use std::io::{self, Read, Write};

/// Reads one.
///
/// # Errors
/// As [`set`].
pub fn get(dev: &str, knob: Knob) -> io::Result<u32> {
    let path = knob.path(dev).ok_or(io::ErrorKind::InvalidInput)?;
    let mut text = String::new();
    OpenOptions::new().read(true).open(&path)?.read_to_string(&mut text)?;
    text.trim().parse().map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Sets one; what it was, if that was something else.
///
/// # Errors
/// NotFound: there is no such interface, or the kernel has no such sysctl.
pub fn set(dev: &str, set: &Set) -> io::Result<Option<u32>> {
    let was = get(dev, set.knob)?;
    if was == set.to || set.only.is_some_and(|only| only != was) {
        return Ok(None);
    }
    let path = set.knob.path(dev).ok_or(io::ErrorKind::InvalidInput)?;
    OpenOptions::new().write(true).open(&path)?.write_all(set.to.to_string().as_bytes())?;
    Ok(Some(was))
}
