//! Files on disk, checked through their descriptor: replaced in one step, or opened only when they are of the expected kind.
//!
//! A name may lead to another file between two calls; a descriptor does not. So a file is opened without side effects first, then
//! checked, then used through the same descriptor. Read next: `walk.rs` (which users can change what a path leads to).

use super::socket::errno_or;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

/// Names tried for the temporary file. Each is unique to this process, so more than one is needed only where a process with the
/// same number was killed while it wrote.
const NAMES: u32 = 16;

/// Replaces the content of `path` in one step: a reader finds the old content or the new one, complete. The file belongs to this
/// process's user and has mode 0600, whatever was there before.
///
/// The content is written to a temporary file beside it (`O_EXCL`), flushed to disk, and renamed to `path` by rename(2). A symbolic link
/// at `path` is refused, and so is everything else that is not a regular file, with two exceptions: the names of descriptors that are
/// open already (`/dev/stdout`, `/dev/stderr`, `/dev/fd/N`) and character devices (`/dev/null`), which are written to.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(fd) = open_already(path) {
        return dup(fd)?.write_all(content);
    }
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let dir = directory(parent)?;
    let name = CString::new(name.as_bytes())?;
    match open_at(&dir, &name, libc::O_PATH | libc::O_NOFOLLOW, 0) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
        Ok(there) => {
            let kind = there.metadata()?.file_type();
            match () {
                () if kind.is_file() => {}
                () if kind.is_char_device() => {
                    return reopen(&there, libc::O_WRONLY | libc::O_NOCTTY)?.write_all(content);
                }
                () if kind.is_symlink() => return Err(refused("it is a symbolic link, which is not followed")),
                () => return Err(refused("it exists and is not a regular file")),
            }
        }
    }
    put(&dir, &name, content, 0o600, true)?;
    // Flushes the directory, so that the name survives a power cut where the file system supports it.
    let _ = dir.sync_all();
    Ok(())
}

/// As [`replace`], with `mode`, for a file that other processes wait for and that need not survive a power cut. A symbolic link of that
/// name is replaced, never followed. The new file is closed after it was renamed, so that a process that waits for IN_CLOSE_WRITE is
/// notified.
pub fn publish(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    put(&directory(parent)?, &CString::new(name.as_bytes())?, content, mode, false)
}

fn put(dir: &File, name: &std::ffi::CStr, content: &[u8], mode: u32, to_disk: bool) -> io::Result<()> {
    let (temporary, mut file) = temporary(dir)?;
    let written = file.write_all(content).and_then(|()| match mode {
        0o600 => Ok(()),
        // Set by fchmod: the mode of open(2) is subject to our umask.
        mode => file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode)),
    });
    let done = written.and_then(|()| if to_disk { file.sync_all() } else { Ok(()) }).and_then(|()| {
        // SAFETY: two C strings that outlive the call.
        errno_or(unsafe { libc::renameat(dir.as_raw_fd(), temporary.as_ptr(), dir.as_raw_fd(), name.as_ptr()) })
    });
    if done.is_err() {
        // SAFETY: a C string that outlives the call. The name is ours.
        unsafe { libc::unlinkat(dir.as_raw_fd(), temporary.as_ptr(), 0) };
    }
    done.map(drop)
}

/// A new file that no other process has open, and its name in `dir`.
fn temporary(dir: &File) -> io::Result<(CString, File)> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
    for _ in 0..NAMES {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = CString::new(format!(".kalived-{}-{number}.tmp", std::process::id()))?;
        match open_at(dir, &name, libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW, 0o600) {
            Ok(file) => return Ok((name, file)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => last = e,
            Err(e) => return Err(e),
        }
    }
    Err(last)
}

/// The descriptor number in the name of a descriptor that is open already.
fn open_already(path: &Path) -> Option<RawFd> {
    let text = path.to_str()?;
    match text {
        "/dev/stdout" => Some(1),
        "/dev/stderr" => Some(2),
        _ => text.strip_prefix("/dev/fd/").or(text.strip_prefix("/proc/self/fd/"))?.parse().ok(),
    }
}

fn dup(fd: RawFd) -> io::Result<File> {
    // SAFETY: no pointers; a number that is not open is an error.
    let fd = errno_or(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) })?;
    // SAFETY: a new file descriptor that has no other owner.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}

fn refused(why: &'static str) -> io::Error {
    io::Error::other(why)
}

/// Opens `name` in `dir`.
pub(super) fn open_at(dir: &File, name: &std::ffi::CStr, flags: i32, mode: u32) -> io::Result<File> {
    // SAFETY: a C string that outlives the call.
    let fd = errno_or(unsafe { libc::openat(dir.as_raw_fd(), name.as_ptr(), flags | libc::O_CLOEXEC, mode) })?;
    // SAFETY: a new file descriptor that has no other owner.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}

fn directory(path: &Path) -> io::Result<File> {
    File::options().read(true).custom_flags(libc::O_DIRECTORY).open(path)
}

/// Opens for use the file that was opened with `O_PATH`: the same file, whatever its name leads to by now.
pub(super) fn reopen(found: &File, flags: i32) -> io::Result<File> {
    let path = CString::new(format!("/proc/self/fd/{}", found.as_raw_fd()))?;
    // SAFETY: a C string that outlives the call.
    let fd = errno_or(unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC) })?;
    // SAFETY: a new file descriptor that has no other owner.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    #[test]
    fn a_file_is_replaced_and_never_written_into() {
        let dir = std::env::temp_dir().join(format!("kalived-replace-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let at = |n: &str| dir.join(n);
        let mode = |p: &Path| fs::symlink_metadata(p).unwrap().mode() & 0o7777;
        // A new file, then the replacement of a file that everybody could read and that another process holds open.
        replace(&at("new"), b"one").unwrap();
        assert_eq!((fs::read(at("new")).unwrap(), mode(&at("new"))), (b"one".to_vec(), 0o600));
        fs::write(at("old"), "before").unwrap();
        fs::set_permissions(at("old"), std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        fs::hard_link(at("old"), at("second name")).unwrap();
        replace(&at("old"), b"after").unwrap();
        assert_eq!((fs::read(at("old")).unwrap(), mode(&at("old"))), (b"after".to_vec(), 0o600));
        assert_eq!(fs::read(at("second name")).unwrap(), b"before");
        // Links, directories and pipes are refused and stay.
        fs::write(at("victim"), "victim").unwrap();
        symlink(at("victim"), at("link")).unwrap();
        symlink(at("nowhere"), at("dangling")).unwrap();
        fs::create_dir(at("directory")).unwrap();
        let fifo = CString::new(at("fifo").as_os_str().as_bytes()).unwrap();
        // SAFETY: a C string that outlives the call.
        assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
        for name in ["link", "dangling", "directory", "fifo"] {
            assert!(replace(&at(name), b"x").is_err(), "{name}");
        }
        assert_eq!(fs::read(at("victim")).unwrap(), b"victim");
        assert!(!at("nowhere").exists() && fs::symlink_metadata(at("link")).unwrap().is_symlink());
        // A device is written to and stays a device; so is a descriptor that is open already.
        replace(Path::new("/dev/null"), b"x").unwrap();
        assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
        let open = File::create(at("open")).unwrap();
        replace(Path::new(&format!("/dev/fd/{}", open.as_raw_fd())), b"through it").unwrap();
        assert_eq!(fs::read(at("open")).unwrap(), b"through it");
        assert!(replace(Path::new("/dev/fd/99999"), b"x").is_err());
        assert!(replace(&at("none/below"), b"x").is_err());
        // A published file has its mode and replaces a link of that name.
        publish(&at("link"), b"published", 0o644).unwrap();
        assert_eq!((fs::read(at("link")).unwrap(), mode(&at("link"))), (b"published".to_vec(), 0o644));
        assert_eq!(fs::read(at("victim")).unwrap(), b"victim");
        assert!(publish(&at("directory"), b"x", 0o600).is_err() && publish(&at("none/below"), b"x", 0o600).is_err());
        // Nothing temporary is left.
        let left = fs::read_dir(&dir).unwrap().flatten().filter(|e| e.file_name().to_string_lossy().starts_with('.'));
        assert_eq!(left.count(), 0);
        fs::remove_dir_all(&dir).unwrap();
    }
}
