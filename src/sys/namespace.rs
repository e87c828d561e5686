//! Network namespaces by name, as `ip netns` keeps them (ip-netns(8)).
//!
//! The guard enters the namespace of `net_namespace` or `-s` before it opens a socket, and every process that it starts lives there. The
//! socket for IPVS may be in another one (`net_namespace_ipvs`): a socket belongs for its life to the namespace in which it was opened.

use crate::sys::socket::errno_or;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The directory with the names of network namespaces, as ip-netns(8) makes it.
const DIR: &str = "/run/netns";
/// The namespace of this thread.
const OWN: &str = "/proc/thread-self/ns/net";
/// The namespace of the first process: what an empty name means.
const DEFAULT: &str = "/proc/1/ns/net";

/// Whether it can be the name of a namespace: the name of a file, without a directory.
pub fn is_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\0'])
}

// `None`: it is no name.
fn path(name: &str) -> Option<PathBuf> {
    match name {
        "" => Some(DEFAULT.into()),
        name => is_name(name).then(|| Path::new(DIR).join(name)),
    }
}

fn open(name: &str) -> io::Result<File> {
    File::open(path(name).ok_or(io::ErrorKind::InvalidInput)?)
}

fn set(file: &File) -> io::Result<()> {
    // SAFETY: no memory is shared. It changes the namespace of this thread, the only one of the process; open sockets stay where they are.
    errno_or(unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) }).map(drop)
}

/// Moves this process to the namespace. An empty name is the namespace of the first process. ENOENT: there is none of that name; EINVAL:
/// it is no name, or no network namespace; EPERM: CAP_SYS_ADMIN is missing.
pub fn enter(name: &str) -> io::Result<()> {
    set(&open(name)?)
}

/// Whether this process is in that namespace; no, where there is none of that name.
pub fn is_current(name: &str) -> bool {
    let same = |a: &Path| {
        let (a, b) = (a.metadata().ok()?, Path::new(OWN).metadata().ok()?);
        Some((a.dev(), a.ino()) == (b.dev(), b.ino()))
    };
    path(name).and_then(|p| same(&p)).unwrap_or(false)
}

/// Does `work` in the namespace and comes back. The outer error: the process could not come back, and must not go on.
pub fn within<T>(name: &str, work: impl FnOnce() -> io::Result<T>) -> io::Result<io::Result<T>> {
    let own = File::open(OWN)?;
    if let Err(e) = enter(name) {
        return Ok(Err(e));
    }
    let done = work();
    set(&own)?;
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(path("blue"), Some("/run/netns/blue".into()));
        assert_eq!(path(""), Some(DEFAULT.into()));
        for no in [".", "..", "a/b", "/proc/1/ns/net", "a\0b"] {
            assert_eq!(path(no), None, "{no:?}");
            assert_eq!(enter(no).unwrap_err().kind(), io::ErrorKind::InvalidInput);
            assert!(!is_current(no));
        }
    }
}
