//! The lock of a running kalived: a file of its own, for its owner only, that is never removed.
//!
//! Its first byte is locked by the guard from its start to its end: two of them with one pid file exclude each other. It is an
//! open-file-description lock: shared by `fork`, kept over `execve`, gone with the last holder, also after SIGKILL. Only a write
//! lock says that a kalived is there: a read lock needs no more than the right to read. The content is a number that goes up
//! each time a core is put in charge: by that a frozen core knows that somebody answered for its addresses after it
//! (`world/custody.rs`), also when that one has handed over again since.
//!
//! Also here: how a file of ours is opened in a directory where others may put something in its place.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

const RUNS: i64 = 0;
/// Bytes of its content.
const CHARGES: u64 = size_of::<u64>() as u64;

/// The held lock.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

/// Why there is none.
#[derive(Debug)]
pub enum Refused {
    /// Another process holds it: the daemon is already running.
    Running,
    /// The file could not be opened or locked.
    Io(io::Error),
}

impl core::fmt::Display for Refused {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Refused::Running => f.write_str("another process holds it"),
            Refused::Io(e) => e.fmt(f),
        }
    }
}

/// What was found of somebody else's locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    Reader,
    Writer,
}

/// Where the lock of the kalived with this pid file is: `/run/kalived.lock` for `/run/kalived.pid`.
pub fn lock_path(pid_file: &Path) -> PathBuf {
    beside(pid_file, "lock")
}

/// A name beside that of the pid file, with this ending; never the same.
pub fn beside(pid_file: &Path, ending: &str) -> PathBuf {
    let path = pid_file.with_extension(ending);
    if path == pid_file { pid_file.with_extension(format!("{ending}.{ending}")) } else { path }
}

impl Lock {
    /// Takes it. Done before forking, so that the refusal is still seen on the terminal.
    pub fn take(path: &Path) -> Result<Lock, Refused> {
        // Going into the background changes the directory.
        let path = std::path::absolute(path).map_err(Refused::Io)?;
        let file = open_to_write(&path, 0o600, |len, _| len == CHARGES).map_err(Refused::Io)?;
        lock(&file, RUNS, 1)?;
        Ok(Lock { file, path })
    }

    /// Back from [`Lock::fd`] and [`Lock::path`], over an execve that kept both.
    pub fn from_parts(fd: OwnedFd, path: &Path) -> Result<Lock, Refused> {
        let file = File::from(fd);
        lock(&file, RUNS, 1)?;
        Ok(Lock { file, path: path.to_owned() })
    }

    /// From now on a core of ours answers for the addresses.
    pub fn put_in_charge(&self) -> io::Result<()> {
        self.file.write_all_at(&charges(&self.file).wrapping_add(1).to_le_bytes(), 0)
    }

    /// The same file for somebody who only looks, with [`charges`]; it holds no lock.
    pub fn witness(&self) -> io::Result<File> {
        let file = open_own(&self.path, Open::Read)?;
        let (ours, its) = (self.file.metadata()?, file.metadata()?);
        match (ours.dev(), ours.ino()) == (its.dev(), its.ino()) {
            true => Ok(file),
            false => Err(io::Error::other(format!("{} was replaced", self.path.display()))),
        }
    }

    /// What holds the lock: it stays while any copy of it is open.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
    /// Absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// How often a core was put in charge, by a file from [`Lock::witness`].
pub fn charges(witness: &File) -> u64 {
    let mut bytes = [0; 8];
    // A file that was just made has none.
    let read = witness.read_exact_at(&mut bytes, 0);
    if read.is_ok() { u64::from_le_bytes(bytes) } else { 0 }
}

/// Whether a kalived runs that holds the lock at `path`. `false` too where that cannot be seen.
pub fn runs(path: &Path) -> bool {
    open_own(path, Open::Read).is_ok_and(|f| is_held(&f))
}

/// The same, by a file from [`Lock::witness`].
pub fn is_held(witness: &File) -> bool {
    look(witness, RUNS, libc::F_RDLCK).is_ok_and(|found| found == Found::Writer)
}

/// Takes a write lock on the bytes from `start` on; `len` 0: all of them. A reader that is in the way is an error of its own, and not a
/// process that runs.
pub(super) fn lock(file: &File, start: i64, len: i64) -> Result<(), Refused> {
    let mut lock = flock(libc::F_WRLCK, start, len);
    // SAFETY: `lock` outlives the call.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &mut lock) } == 0 {
        return Ok(());
    }
    let e = io::Error::last_os_error();
    match e.raw_os_error() {
        Some(libc::EAGAIN | libc::EACCES) => match look(file, start, libc::F_RDLCK) {
            Ok(Found::Writer) => Err(Refused::Running),
            _ => Err(Refused::Io(io::Error::new(
                io::ErrorKind::WouldBlock,
                "another process holds a read lock on it, which no kalived does",
            ))),
        },
        _ => Err(Refused::Io(e)),
    }
}

fn flock(kind: libc::c_int, start: i64, len: i64) -> libc::flock {
    // SAFETY: all-zero is a valid flock; l_pid 0 is what OFD locks want.
    let mut lock: libc::flock = unsafe { core::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_start = start as libc::off_t;
    lock.l_len = len as libc::off_t;
    lock
}

fn look(file: &File, start: i64, kind: libc::c_int) -> io::Result<Found> {
    let mut lock = flock(kind, start, 1);
    // SAFETY: `lock` outlives the call, which writes what it found into it.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &mut lock) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(match libc::c_int::from(lock.l_type) {
        libc::F_WRLCK => Found::Writer,
        libc::F_RDLCK => Found::Reader,
        _ => Found::Nothing,
    })
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// To be read.
    Read,
    /// To be read and written; made with this mode where there is none.
    Create(u32),
}

/// Opens a file that only we make and change. Never waits, follows no link; a FIFO, a device, a file of somebody else, one with another
/// name elsewhere, or one that others may change is an error that says so.
pub fn open_own(path: &Path, how: Open) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).custom_flags(libc::O_CLOEXEC | libc::O_NOFOLLOW | libc::O_NONBLOCK);
    if let Open::Create(mode) = how {
        options.write(true).create(true).truncate(false).mode(mode);
    }
    let file = options.open(path)?;
    let m = file.metadata()?;
    let wrong = match () {
        () if !m.is_file() => "it is not a regular file".to_owned(),
        () if m.uid() != 0 && m.uid() != super::unixsock::own_uid() => format!("it belongs to user {}", m.uid()),
        () if m.nlink() > 1 => "it has another name too (a hard link)".to_owned(),
        () if m.permissions().mode() & 0o022 != 0 => {
            format!("others may write to it (mode {:o})", m.permissions().mode() & 0o7777)
        }
        () => return Ok(file),
    };
    Err(io::Error::new(io::ErrorKind::InvalidData, wrong))
}

/// The first bytes of a file that is looked at before it is written over.
pub const LOOK: usize = 64;

/// Opens a file to write over it. What is there has to be empty, or `is_ours` by its length and its first bytes (at most [`LOOK`]): a
/// name given by mistake leads to a file that somebody needs.
pub fn open_to_write(path: &Path, mode: u32, is_ours: fn(u64, &[u8]) -> bool) -> io::Result<File> {
    let file = open_own(path, Open::Create(mode))?;
    is_left_over(&file, is_ours)?;
    Ok(file)
}

/// The same of a file that is open.
pub fn is_left_over(file: &File, is_ours: fn(u64, &[u8]) -> bool) -> io::Result<()> {
    let mut first = [0; LOOK];
    let n = file.read_at(&mut first, 0)?;
    match n == 0 || is_ours(file.metadata()?.len(), first.get(..n).unwrap_or_default()) {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::InvalidData, "a file is there that kalived did not write")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Dir(PathBuf);
    impl Dir {
        fn new(name: &str) -> Dir {
            let dir = std::env::temp_dir().join(format!("kalived-lock-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&dir).unwrap();
            Dir(dir)
        }
    }
    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn one_holder_and_who_is_in_charge_is_seen_by_others() {
        let dir = Dir::new("one");
        let path = lock_path(&dir.0.join("k.pid"));
        let held = Lock::take(&path).unwrap();
        assert!(matches!(Lock::take(&path), Err(Refused::Running)));
        let witness = held.witness().unwrap();
        assert!(runs(&path));
        let before = charges(&witness);
        held.put_in_charge().unwrap();
        assert_eq!(charges(&witness), before + 1);
        // Over an execve, and from one thread of a process to the next: the same description.
        let copy = held.fd().try_clone_to_owned().unwrap();
        drop(held);
        assert!(runs(&path));
        let held = Lock::from_parts(copy, &path).unwrap();
        assert!(matches!(Lock::take(&path), Err(Refused::Running)));
        drop(held);
        assert!(!runs(&path), "gone with its holder");
        assert_eq!(charges(&witness), before + 1, "that somebody was in charge is not forgotten");
        assert!(path.exists(), "never removed: nobody can lock a file that has lost its name");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        drop(Lock::take(&path).unwrap());
    }

    #[test]
    fn somebody_elses_file_is_not_taken_for_a_lock_and_the_names_differ() {
        let dir = Dir::new("theirs");
        let path = dir.0.join("k.lock");
        std::fs::write(&path, "theirs").unwrap();
        assert!(matches!(Lock::take(&path), Err(Refused::Io(e)) if e.to_string().contains("did not write")));
        assert_eq!(std::fs::read(&path).unwrap(), b"theirs");
        for name in ["k.pid", "k", "k.lock", "k.sock", "k.state"] {
            let pid = Path::new("/run").join(name);
            let mut all = vec![pid.clone(), beside(&pid, "lock"), beside(&pid, "sock"), beside(&pid, "state")];
            all.sort();
            all.dedup();
            assert_eq!(all.len(), 4, "{all:?}");
        }
    }

    #[test]
    fn a_read_lock_is_no_kalived() {
        let dir = Dir::new("read");
        let path = dir.0.join("k.lock");
        drop(Lock::take(&path).unwrap());
        let reader = File::open(&path).unwrap();
        let mut shared = flock(libc::F_RDLCK, 0, 0);
        // SAFETY: `shared` outlives the call.
        assert_eq!(unsafe { libc::fcntl(reader.as_raw_fd(), libc::F_OFD_SETLK, &mut shared) }, 0);
        match Lock::take(&path) {
            Err(Refused::Io(e)) => assert!(e.to_string().contains("read lock"), "{e}"),
            other => panic!("{other:?}"),
        }
        assert!(!runs(&path));
    }

    #[test]
    fn what_somebody_else_put_there_is_refused_and_nothing_waits() {
        let dir = Dir::new("foreign");
        let path = dir.0.join("k.lock");
        let refused = |what: &str| match open_own(&path, Open::Create(0o600)) {
            Err(e) => assert!(e.to_string().contains(what), "{e}"),
            Ok(_) => panic!("{what}"),
        };
        let name = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).unwrap();
        // SAFETY: a C string that outlives the call.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        refused("not a regular file");
        assert!(open_own(&path, Open::Read).is_err(), "a FIFO without a writer is not waited for");
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(dir.0.join("target"), &path).unwrap();
        assert!(open_own(&path, Open::Create(0o600)).is_err() && !dir.0.join("target").exists());
        std::fs::remove_file(&path).unwrap();
        std::fs::write(dir.0.join("other"), "").unwrap();
        std::fs::hard_link(dir.0.join("other"), &path).unwrap();
        refused("another name");
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        refused("others may write");
        if super::super::unixsock::own_uid() == 0 {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            std::os::unix::fs::chown(&path, Some(12_345), None).unwrap();
            refused("belongs to user 12345");
        }
    }
}
