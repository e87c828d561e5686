//! Named pipes: the helper makes and opens them, and checks that it opens no other file by mistake; the core writes to them.
//!
//! Deliberately absent: where in the file system a named pipe may lie (`helper/fifos.rs`).

use super::op::Fd;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Bytes that a write to a pipe takes as a whole or not at all (PIPE_BUF).
pub const ATOMIC: usize = libc::PIPE_BUF;

/// A named pipe that was found or made and is not opened yet. The descriptor refers to this file from now on.
pub struct Found {
    /// The file, opened with `O_PATH`: opening it so has no effect on a device or a pipe.
    path: OwnedFd,
    /// Whether this call made the pipe.
    pub made: bool,
    /// Whether it is a named pipe.
    pub is_fifo: bool,
    /// User id of the owner.
    pub uid: u32,
    /// Permission bits, 0..=0o7777.
    pub mode: u32,
    /// Device and inode.
    pub id: (u64, u64),
}

/// The named pipe `name` (one path component) in `dir`, made with mode 0600 if it does not exist. A symbolic link is not followed: the
/// link itself is returned.
pub fn find(dir: &File, name: &[u8]) -> io::Result<Found> {
    let name = CString::new(name)?;
    // SAFETY: `name` is a C string that outlives the call.
    let made = unsafe { libc::mkfifoat(dir.as_raw_fd(), name.as_ptr(), 0o600) } == 0;
    if !made {
        let e = io::Error::last_os_error();
        if e.kind() != io::ErrorKind::AlreadyExists {
            return Err(e);
        }
    }
    let flags = libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    // SAFETY: as above.
    let fd = unsafe { libc::openat(dir.as_raw_fd(), name.as_ptr(), flags) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a new file descriptor that has no other owner.
    let path = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    let meta = path.metadata()?;
    Ok(Found {
        made,
        is_fifo: meta.file_type().is_fifo(),
        uid: meta.uid(),
        mode: meta.mode() & 0o7777,
        id: (meta.dev(), meta.ino()),
        path: path.into(),
    })
}

impl Found {
    /// Makes `uid` the owner, and lets `gid` read the pipe, if there is one.
    pub fn give(&self, uid: u32, gid: Option<u32>) -> io::Result<()> {
        // SAFETY: no arguments; they cannot fail.
        let us = unsafe { (libc::geteuid(), libc::getegid()) };
        if uid != us.0 || gid.is_some_and(|g| g != us.1) {
            // -1 leaves the owner or group unchanged.
            let group = gid.unwrap_or(libc::gid_t::MAX);
            // SAFETY: an empty C string literal; the fd is open. AT_EMPTY_PATH: the file itself, whatever its name is now.
            let r = unsafe { libc::fchownat(self.path.as_raw_fd(), c"".as_ptr(), uid, group, libc::AT_EMPTY_PATH) };
            if r < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        if gid.is_some() {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o640);
            std::fs::set_permissions(format!("/proc/self/fd/{}", self.path.as_raw_fd()), mode)?;
        }
        Ok(())
    }

    /// Opens the pipe for reading and writing, so that there is always a reader and no write fails for want of one. Neither this call nor
    /// a later write waits.
    pub fn open(&self) -> io::Result<OwnedFd> {
        let file = File::options()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY)
            .open(format!("/proc/self/fd/{}", self.path.as_raw_fd()))?;
        Ok(file.into())
    }
}

/// Removes `name` in `dir` if it is the named pipe `id`.
pub fn remove(dir: &File, name: &[u8], id: (u64, u64)) -> io::Result<()> {
    let name = CString::new(name)?;
    let flags = libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    // SAFETY: `name` is a C string that outlives the call.
    let fd = unsafe { libc::openat(dir.as_raw_fd(), name.as_ptr(), flags) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a new file descriptor that has no other owner.
    let meta = File::from(unsafe { OwnedFd::from_raw_fd(fd) }).metadata()?;
    if !meta.file_type().is_fifo() || (meta.dev(), meta.ino()) != id {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    // SAFETY: as above.
    if unsafe { libc::unlinkat(dir.as_raw_fd(), name.as_ptr(), 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Removes the pipe `id` at `path`. One that is gone already is no error; another file is one, and stays.
pub fn remove_at(path: &str, id: (u64, u64)) -> io::Result<()> {
    let done = split(path).and_then(|(dir, name)| remove(&directory(&dir)?, name.as_bytes(), id));
    match done {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// The directory and the file name in it.
pub fn split(path: &str) -> io::Result<(PathBuf, &OsStr)> {
    let path = Path::new(path);
    match (path.parent(), path.file_name()) {
        (Some(dir), Some(name)) if path.is_absolute() => Ok((dir.to_owned(), name)),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// The directory that a path without symbolic links leads to.
pub fn directory(dir: &Path) -> io::Result<File> {
    let file = File::open(std::fs::canonicalize(dir)?)?;
    if file.metadata()?.is_dir() { Ok(file) } else { Err(io::ErrorKind::NotADirectory.into()) }
}

/// Whether a descriptor from another process is a pipe that a write never waits on.
pub fn usable(fd: impl AsFd) -> bool {
    // SAFETY: no pointers.
    let flags = unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_GETFL) };
    let writes = flags & libc::O_ACCMODE == libc::O_RDWR;
    let fifo = || {
        let copy = fd.as_fd().try_clone_to_owned()?;
        Ok::<_, io::Error>(File::from(copy).metadata()?.file_type().is_fifo())
    };
    flags >= 0 && flags & libc::O_NONBLOCK != 0 && writes && fifo().unwrap_or(false)
}

/// Writes `line`, at most [`ATOMIC`] bytes, whole or not at all: `WouldBlock` when there is no room.
pub fn write(fd: &Fd, line: &[u8]) -> io::Result<()> {
    if line.len() > ATOMIC {
        return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
    }
    // SAFETY: `line` outlives the call. The fd does not block (`usable`).
    let n = unsafe { libc::write(fd.as_raw_fd(), line.as_ptr().cast(), line.len()) };
    match usize::try_from(n) {
        Ok(n) if n == line.len() => Ok(()),
        Ok(_) => Err(io::ErrorKind::WriteZero.into()),
        Err(_) => Err(io::Error::last_os_error()),
    }
}
