//! The path to a file, component by component, each examined through a descriptor: which users can change what a path leads to.
//!
//! Without an allocation, so that it also runs between fork and exec. The walk continues from the descriptor that was examined: no
//! component can be replaced in between. Read first: `files.rs`. Read next: its users, `child.rs` (programs that run as root) and
//! `tracked` below (files whose content is tracked).

use super::files::reopen;
use core::ffi::CStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

/// Longest path, and longest remainder of a path behind a symbolic link, with its NUL (PATH_MAX).
const LONGEST: usize = 4096;
/// Most symbolic links in a path; the kernel's limit.
const MAX_LINKS: usize = 40;

/// A component of the path, open with `O_PATH`.
pub struct Part<'a> {
    /// Kind, owner and permissions of the component.
    pub stat: &'a libc::stat,
    /// An open descriptor of it, valid until the walk continues.
    pub fd: RawFd,
}

impl Part<'_> {
    /// `S_IFREG` and its like.
    pub fn kind(&self) -> libc::mode_t {
        self.stat.st_mode & libc::S_IFMT
    }
}

/// Walks along the absolute `path`, through every symbolic link, and passes each component to `look`, from `/` to the file, links
/// included. Returns the descriptor of the file at the end (`O_PATH`), or an errno.
pub fn walk(path: &CStr, look: &mut dyn FnMut(&Part<'_>) -> Result<(), i32>) -> Result<OwnedFd, i32> {
    let bytes = path.to_bytes();
    if bytes.first() != Some(&b'/') {
        return Err(libc::EINVAL);
    }
    let mut left = Left::new(bytes)?;
    let mut at = open(libc::AT_FDCWD, c"/", libc::O_DIRECTORY)?;
    show(&at, look)?;
    let mut links = 0;
    let mut name = [0u8; 256];
    while left.next(&mut name)? {
        let component = CStr::from_bytes_until_nul(&name).map_err(|_| libc::ENAMETOOLONG)?;
        // Opened as a directory first, so that an automounter mounts the file system there.
        let here = match open(at.as_raw_fd(), component, libc::O_DIRECTORY) {
            Err(libc::ENOTDIR | libc::ELOOP) => open(at.as_raw_fd(), component, 0)?,
            other => other?,
        };
        let stat = show(&here, look)?;
        if stat.st_mode & libc::S_IFMT != libc::S_IFLNK {
            at = here;
            continue;
        }
        links += 1;
        if links > MAX_LINKS {
            return Err(libc::ELOOP);
        }
        if left.follow(&here)? {
            at = open(libc::AT_FDCWD, c"/", libc::O_DIRECTORY)?;
        }
    }
    Ok(at)
}

fn errno() -> i32 {
    // SAFETY: the C library's own place, always there.
    unsafe { *libc::__errno_location() }
}

fn open(dir: RawFd, name: &CStr, flags: i32) -> Result<OwnedFd, i32> {
    let flags = flags | libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    // SAFETY: a C string that outlives the call.
    match unsafe { libc::openat(dir, name.as_ptr(), flags) } {
        -1 => Err(errno()),
        // SAFETY: a new file descriptor that has no other owner.
        fd => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
    }
}

fn show(fd: &OwnedFd, look: &mut dyn FnMut(&Part<'_>) -> Result<(), i32>) -> Result<libc::stat, i32> {
    let stat = stat(fd.as_raw_fd())?;
    look(&Part { stat: &stat, fd: fd.as_raw_fd() })?;
    Ok(stat)
}

fn stat(fd: RawFd) -> Result<libc::stat, i32> {
    // SAFETY: all-zero is a valid stat, which outlives the call.
    unsafe {
        let mut stat: libc::stat = core::mem::zeroed();
        if libc::fstat(fd, &mut stat) < 0 { Err(errno()) } else { Ok(stat) }
    }
}

/// The remainder of a path.
struct Left {
    bytes: [u8; LONGEST],
    from: usize,
    to: usize,
}

impl Left {
    fn new(path: &[u8]) -> Result<Left, i32> {
        let mut bytes = [0; LONGEST];
        bytes.get_mut(..path.len()).ok_or(libc::ENAMETOOLONG)?.copy_from_slice(path);
        Ok(Left { bytes, from: 0, to: path.len() })
    }

    /// The next component with a NUL behind it; false at the end.
    fn next(&mut self, name: &mut [u8; 256]) -> Result<bool, i32> {
        let left = self.bytes.get(self.from..self.to).unwrap_or_default();
        let start = left.iter().take_while(|b| **b == b'/').count();
        let left = left.get(start..).unwrap_or_default();
        let len = left.iter().take_while(|b| **b != b'/').count();
        if len == 0 {
            return Ok(false);
        }
        let component = left.get(..len).unwrap_or_default();
        name.get_mut(..len).ok_or(libc::ENAMETOOLONG)?.copy_from_slice(component);
        *name.get_mut(len).ok_or(libc::ENAMETOOLONG)? = 0;
        self.from += start + len;
        Ok(true)
    }

    /// Puts the target of a symbolic link in front of the remainder. Returns whether the target begins at `/`.
    fn follow(&mut self, link: &OwnedFd) -> Result<bool, i32> {
        let mut bytes = [0u8; LONGEST];
        // SAFETY: an empty C string, which means the link itself, and a buffer with its length.
        let n = unsafe { libc::readlinkat(link.as_raw_fd(), c"".as_ptr(), bytes.as_mut_ptr().cast(), bytes.len()) };
        let n = usize::try_from(n).map_err(|_| errno())?;
        let rest = self.bytes.get(self.from..self.to).unwrap_or_default();
        let to = n + 1 + rest.len();
        *bytes.get_mut(n).ok_or(libc::ENAMETOOLONG)? = b'/';
        bytes.get_mut(n + 1..to).ok_or(libc::ENAMETOOLONG)?.copy_from_slice(rest);
        (self.bytes, self.from, self.to) = (bytes, 0, to);
        Ok(bytes.first() == Some(&b'/'))
    }
}

/// Whether only root can replace a component of the path to a program: every component belongs to root and no other user can write to it,
/// by mode or by access control list. `EPERM` where another user can.
pub fn only_root(path: &CStr) -> Result<(), i32> {
    walk(path, &mut |part| {
        let s = part.stat;
        let link = part.kind() == libc::S_IFLNK;
        // The mode of a link has no meaning.
        let writable = !link && (s.st_mode & 0o002 != 0 || s.st_mode & 0o020 != 0 && s.st_gid != 0);
        if s.st_uid != 0 || writable || !link && super::acl::others_write(part.fd, s.st_mode, s.st_gid) {
            return Err(libc::EPERM);
        }
        Ok(())
    })
    .map(drop)
}

/// Opens a directory in which only root and this user can create, replace or remove a name, and makes it with mode 0700 where it does not
/// exist. A directory on the way that another user could replace is an error, and so is a symbolic link at the end of the path. In a
/// sticky directory on the way no user can replace a file of another user.
pub fn own_directory(path: &Path) -> io::Result<File> {
    let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let c_string = |text: &std::ffi::OsStr| std::ffi::CString::new(text.as_encoded_bytes());
    let (at, name) = (c_string(parent.as_os_str())?, c_string(name)?);
    let us = super::unixsock::own_uid();
    // In a user namespace a file whose owner has no user there belongs to the host, as `/` does.
    let (mut root, mut wrong) = (None, None);
    let above = walk(&at, &mut |part| {
        let root = *root.get_or_insert(part.stat.st_uid);
        wrong = why_not_own(part, &[0, us, root], true);
        if wrong.is_some() { Err(libc::EPERM) } else { Ok(()) }
    });
    let above = match (above, wrong) {
        (_, Some(why)) => return Err(io::Error::other(why)),
        (Err(e), None) => return Err(io::Error::from_raw_os_error(e)),
        (Ok(fd), None) => File::from(fd),
    };
    // SAFETY: a C string that outlives the call.
    if unsafe { libc::mkdirat(above.as_raw_fd(), name.as_ptr(), 0o700) } < 0 && errno() != libc::EEXIST {
        return Err(io::Error::from_raw_os_error(errno()));
    }
    let found = open(above.as_raw_fd(), &name, 0).map_err(io::Error::from_raw_os_error)?;
    let stat = stat(found.as_raw_fd()).map_err(io::Error::from_raw_os_error)?;
    let part = Part { stat: &stat, fd: found.as_raw_fd() };
    match part.kind() {
        libc::S_IFDIR => {}
        libc::S_IFLNK => return Err(io::Error::other("it is a symbolic link, which is not followed")),
        _ => return Err(io::Error::from_raw_os_error(libc::ENOTDIR)),
    }
    if let Some(why) = why_not_own(&part, &[0, us, root.unwrap_or(0)], false) {
        return Err(io::Error::other(why));
    }
    reopen(&File::from(found), libc::O_RDONLY | libc::O_DIRECTORY)
}

/// Why another user can change what this component leads to. `sticky`: except in a sticky directory.
fn why_not_own(part: &Part<'_>, ours: &[u32], sticky: bool) -> Option<String> {
    let s = part.stat;
    let name = || {
        let name = std::fs::read_link(format!("/proc/self/fd/{}", part.fd));
        name.map_or_else(|_| "a directory of the path".to_owned(), |n| format!("`{}`", n.display()))
    };
    let shared = part.kind() == libc::S_IFLNK || sticky && s.st_mode & 0o1000 != 0;
    match () {
        () if !ours.contains(&s.st_uid) => Some(format!("{} belongs to user {}", name(), s.st_uid)),
        () if shared => None,
        () if s.st_mode & 0o002 != 0
            || s.st_mode & 0o020 != 0 && s.st_gid != 0
            || super::acl::others_write(part.fd, s.st_mode, s.st_gid) =>
        {
            Some(format!("other users may write to {} (mode {:o})", name(), s.st_mode & 0o7777))
        }
        () => None,
    }
}

/// Why the content of a file is not tracked.
#[derive(Debug)]
pub enum Refused {
    /// The error of the system call.
    Io(io::Error),
    /// It is a device, a pipe or a socket: opening or reading one has effects.
    NotRegular,
    /// A symbolic link of this user leads to a file that the user could not read.
    Link(u32),
}

/// The first bytes of a regular file, at most `most`.
///
/// The file at the end is examined before it is opened. A symbolic link gives its owner no rights of this process: a link that belongs
/// neither to root nor to `us` leads only to files that its owner owns or every user may read, through directories for which the same
/// holds.
pub fn tracked(path: &Path, us: u32, most: u64) -> Result<Vec<u8>, Refused> {
    let path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).map_err(|e| Refused::Io(e.into()))?;
    // The owner of the last symbolic link of another user, and the user whose link leads to what that user could not read.
    let mut lent = None;
    let mut foreign = None;
    let found = walk(&path, &mut |part| {
        let (mode, owner) = (part.stat.st_mode, part.stat.st_uid);
        if part.kind() == libc::S_IFLNK {
            if owner != 0 && owner != us {
                lent = Some(owner);
            }
            return Ok(());
        }
        let needed = if part.kind() == libc::S_IFDIR { 0o001 } else { 0o004 };
        match lent {
            Some(user) if owner != user && mode & needed == 0 => {
                foreign = Some(user);
                Err(libc::EPERM)
            }
            _ => Ok(()),
        }
    });
    let found = match (found, foreign) {
        (_, Some(user)) => return Err(Refused::Link(user)),
        (Err(e), None) => return Err(Refused::Io(io::Error::from_raw_os_error(e))),
        (Ok(fd), None) => File::from(fd),
    };
    let kind =
        stat(found.as_raw_fd()).map_err(|e| Refused::Io(io::Error::from_raw_os_error(e)))?.st_mode & libc::S_IFMT;
    match kind {
        libc::S_IFREG => {}
        libc::S_IFDIR => return Err(Refused::Io(io::Error::from_raw_os_error(libc::EISDIR))),
        _ => return Err(Refused::NotRegular),
    }
    let file = reopen(&found, libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY).map_err(Refused::Io)?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).map_err(Refused::Io)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    fn end_of(path: &Path) -> Result<(u64, usize), i32> {
        let path = CString::new(path.as_os_str().as_encoded_bytes()).unwrap();
        let mut parts = 0;
        let fd = walk(&path, &mut |_| {
            parts += 1;
            Ok(())
        })?;
        Ok((File::from(fd).metadata().unwrap().ino(), parts))
    }

    #[test]
    fn the_end_of_the_way_is_where_the_kernel_finds_it() {
        let dir = std::env::temp_dir().join(format!("kalived-walk-{}", std::process::id()));
        fs::create_dir_all(dir.join("a/b")).unwrap();
        let dir = fs::canonicalize(&dir).unwrap();
        fs::write(dir.join("a/b/file"), "x").unwrap();
        symlink("a/b", dir.join("relative")).unwrap();
        symlink(dir.join("relative/file"), dir.join("absolute")).unwrap();
        symlink(dir.join("round"), dir.join("round")).unwrap();
        symlink("nowhere", dir.join("dangling")).unwrap();
        let ino = fs::metadata(dir.join("a/b/file")).unwrap().ino();
        for name in ["a/b/file", "relative/file", "absolute", "a/../a/./b//file", "relative/../b/file"] {
            assert_eq!(end_of(&dir.join(name)).unwrap().0, ino, "{name}");
        }
        let depth = dir.components().count();
        assert_eq!(end_of(&dir.join("relative/file")).unwrap().1, depth + 4, "a, b, file and the link");
        assert_eq!(end_of(&dir.join("round")), Err(libc::ELOOP));
        assert_eq!(end_of(&dir.join("dangling")), Err(libc::ENOENT));
        assert_eq!(end_of(&dir.join("absolute/x")), Err(libc::ENOTDIR));
        assert_eq!(end_of(Path::new("relative")), Err(libc::EINVAL));
        assert_eq!(end_of(Path::new(&format!("/{}", "x".repeat(300)))), Err(libc::ENAMETOOLONG));
        assert_eq!(end_of(Path::new(&"/x".repeat(3000))), Err(libc::ENAMETOOLONG));
        assert!(end_of(Path::new("/")).is_ok());
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_directory_that_other_users_can_change_is_refused_and_no_link_is_followed() {
        let dir = std::env::temp_dir().join(format!("kalived-own-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let dir = fs::canonicalize(&dir).unwrap();
        let mode = |p: &Path| fs::symlink_metadata(p).unwrap().mode() & 0o7777;
        let set = |p: &Path, m| fs::set_permissions(p, fs::Permissions::from_mode(m)).unwrap();
        let why = |p: &Path| own_directory(p).map(|f| f.metadata().unwrap().ino()).map_err(|e| e.to_string());
        let new = dir.join("new");
        let ino = why(&new).unwrap();
        assert_eq!((mode(&new), why(&new)), (0o700, Ok(ino)), "made, then found");
        set(&new, 0o755);
        assert_eq!(why(&new), Ok(ino), "others may look at it");
        for m in [0o777, 0o1777, 0o702] {
            set(&new, m);
            assert!(why(&new).is_err_and(|e| e.contains("new") && e.contains("other users may write")), "{m:o}");
        }
        set(&new, 0o755);
        symlink("new", dir.join("link")).unwrap();
        symlink("nowhere", dir.join("dangling")).unwrap();
        fs::write(dir.join("file"), "").unwrap();
        for name in ["link", "dangling"] {
            assert!(why(&dir.join(name)).is_err_and(|e| e.contains("symbolic link")), "{name}");
        }
        assert!(!dir.join("nowhere").exists());
        assert!(
            why(&dir.join("file")).is_err() && why(&dir.join("none/below")).is_err() && why(Path::new("/")).is_err()
        );
        // A directory above it, and one above that is sticky.
        fs::create_dir(dir.join("above")).unwrap();
        set(&dir.join("above"), 0o777);
        assert!(why(&dir.join("above/new")).is_err_and(|e| e.contains("above")));
        assert!(!dir.join("above/new").exists());
        set(&dir.join("above"), 0o1777);
        assert!(why(&dir.join("above/new")).is_ok());
        if fs::metadata(&dir).unwrap().uid() == 0 {
            std::os::unix::fs::chown(&new, Some(1234), None).unwrap();
            assert!(why(&new).is_err_and(|e| e.contains("belongs to user 1234")));
            std::os::unix::fs::chown(&new, Some(0), Some(1234)).unwrap();
            set(&new, 0o770);
            assert!(why(&new).is_err_and(|e| e.contains("other users may write")));
            // A link of another user on the way.
            std::os::unix::fs::lchown(dir.join("link"), Some(1234), None).unwrap();
            assert!(why(&dir.join("link/below")).is_err_and(|e| e.contains("belongs to user 1234")));
        }
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn what_is_followed_is_a_regular_file_and_a_link_lends_no_rights() {
        let dir = std::env::temp_dir().join(format!("kalived-tracked-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let dir = fs::canonicalize(&dir).unwrap();
        let us = fs::metadata(&dir).unwrap().uid();
        fs::write(dir.join("file"), "12").unwrap();
        symlink("file", dir.join("link")).unwrap();
        symlink("/dev/null", dir.join("device")).unwrap();
        let read = |name: &str, us: u32| tracked(&dir.join(name), us, 16);
        assert_eq!(read("file", us).unwrap(), b"12");
        assert_eq!(read("link", us).unwrap(), b"12");
        assert!(matches!(read("device", us), Err(Refused::NotRegular)));
        assert!(matches!(tracked(&dir, us, 16), Err(Refused::Io(e)) if e.raw_os_error() == Some(libc::EISDIR)));
        assert!(matches!(read("none", us), Err(Refused::Io(e)) if e.kind() == io::ErrorKind::NotFound));
        if us != 0 {
            return fs::remove_dir_all(&dir).unwrap();
        }
        // A link of uid 1234: to its own file, to a file that every user may read, and to a file that only root may read.
        std::os::unix::fs::lchown(dir.join("link"), Some(1234), None).unwrap();
        let mode = |m| fs::set_permissions(dir.join("file"), fs::Permissions::from_mode(m)).unwrap();
        mode(0o604);
        assert_eq!(read("link", 0).unwrap(), b"12");
        mode(0o600);
        assert!(matches!(read("link", 0), Err(Refused::Link(1234))));
        std::os::unix::fs::chown(dir.join("file"), Some(1234), None).unwrap();
        assert_eq!(read("link", 0).unwrap(), b"12");
        // Behind a directory that the link's owner may not enter.
        std::os::unix::fs::chown(dir.join("file"), Some(0), None).unwrap();
        mode(0o644);
        fs::create_dir(dir.join("closed")).unwrap();
        fs::set_permissions(dir.join("closed"), fs::Permissions::from_mode(0o700)).unwrap();
        fs::rename(dir.join("file"), dir.join("closed/file")).unwrap();
        symlink(dir.join("closed/file"), dir.join("into")).unwrap();
        assert_eq!(read("into", 0).unwrap(), b"12");
        std::os::unix::fs::lchown(dir.join("into"), Some(1234), None).unwrap();
        assert!(matches!(read("into", 0), Err(Refused::Link(1234))));
        fs::remove_dir_all(&dir).unwrap();
    }
}
