//! The lock of a running kalived: a separate file, accessible to its owner only, that is never removed.
//!
//! The guard locks its first byte from its start to its end: two guards with one pid file exclude each other. The lock is an
//! open-file-description lock: `fork` shares it, `execve` keeps it, and the kernel releases it with the last holder, also after SIGKILL.
//! Only a write lock shows that a kalived runs: a read lock needs no more than the right to read. The content is a number that increases
//! each time a core is put in charge. By this number a core that was stopped for a while detects that another core answered for its
//! addresses meanwhile (`world/custody.rs`), also when that core has handed over again since.
//!
//! Also here: opening a file of ours in a directory where other users may create files.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

const RUNS: i64 = 0;
/// Bytes of the file's content.
const CHARGES: u64 = size_of::<u64>() as u64;

/// The held lock.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

/// Why the lock was not taken.
#[derive(Debug)]
pub enum Refused {
    /// Another process holds the lock: the daemon is already running.
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

/// What was found of the locks of other processes.
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

/// A file name beside the pid file, with this ending; it always differs from the pid file's own name.
pub fn beside(pid_file: &Path, ending: &str) -> PathBuf {
    let path = pid_file.with_extension(ending);
    if path == pid_file { pid_file.with_extension(format!("{ending}.{ending}")) } else { path }
}

impl Lock {
    /// Takes the lock. Called before forking, so that a refusal is still seen on the terminal.
    pub fn take(path: &Path) -> Result<Lock, Refused> {
        // Going into the background changes the working directory.
        let path = std::path::absolute(path).map_err(Refused::Io)?;
        let file = open_to_write(&path, 0o600, |len, _| len == CHARGES).map_err(Refused::Io)?;
        lock(&file, RUNS, 1)?;
        Ok(Lock { file, path })
    }

    /// Makes the lock again from [`Lock::fd`] and [`Lock::path`], after an execve that kept both.
    pub fn from_parts(fd: OwnedFd, path: &Path) -> Result<Lock, Refused> {
        let file = File::from(fd);
        lock(&file, RUNS, 1)?;
        Ok(Lock { file, path: path.to_owned() })
    }

    /// Records that from now on a core of this guard answers for the addresses.
    pub fn put_in_charge(&self) -> io::Result<()> {
        self.file.write_all_at(&charges(&self.file).wrapping_add(1).to_le_bytes(), 0)
    }

    /// Opens the same file for a process that only reads [`charges`]; it holds no lock. By its descriptor: another program may have removed
    /// the file's name, or changed its mode.
    pub fn witness(&self) -> io::Result<File> {
        File::open(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }

    /// Whether the next kalived finds this file under its name: otherwise no core of ours would see that it is in charge.
    pub fn is_in_place(&self) -> bool {
        let id = |file: &File| file.metadata().map(|m| (m.dev(), m.ino())).ok();
        open_own(&self.path, Open::Read).is_ok_and(|file| id(&file).is_some() && id(&file) == id(&self.file))
    }

    /// The descriptor that holds the lock: the lock stays while any copy of it is open.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
    /// The absolute path of the lock file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// How often a core was put in charge, read through a file from [`Lock::witness`].
pub fn charges(witness: &File) -> u64 {
    let mut bytes = [0; 8];
    // A new file has no content.
    let read = witness.read_exact_at(&mut bytes, 0);
    if read.is_ok() { u64::from_le_bytes(bytes) } else { 0 }
}

/// Whether a running kalived holds the lock at `path`. `false` too where that cannot be read.
pub fn runs(path: &Path) -> bool {
    open_own(path, Open::Read).is_ok_and(|f| is_held(&f))
}

/// The same, through a file from [`Lock::witness`].
pub fn is_held(witness: &File) -> bool {
    look(witness, RUNS, libc::F_RDLCK).is_ok_and(|found| found == Found::Writer)
}

/// Takes a write lock on `len` bytes from `start`; `len` 0: all of them. A read lock of another process is a different error than a
/// running process.
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

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// To be read.
    Read,
    /// To be read and written; created with this mode where it does not exist.
    Create(u32),
}

/// Opens a file that only this program creates and changes. Never waits and follows no link. A FIFO, a device, a file of a user
/// other than root and this one, one with another hard link, or one that other users may change is an error with that reason.
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

/// The number of leading bytes that are examined before a file is overwritten.
pub const LOOK: usize = 64;

/// Opens a file to overwrite it. The existing file has to be empty, or `is_ours` by its length and its first bytes (at most [`LOOK`]): a
/// name given by mistake may lead to a file that is in use.
pub fn open_to_write(path: &Path, mode: u32, is_ours: fn(u64, &[u8]) -> bool) -> io::Result<File> {
    let file = open_own(path, Open::Create(mode))?;
    is_left_over(&file, is_ours)?;
    Ok(file)
}

/// The same check for an open file.
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
        // Over an execve, and between threads of a process: the same open file description.
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
    fn a_lock_that_lost_its_name_still_has_witnesses() {
        let dir = Dir::new("lost");
        let path = lock_path(&dir.0.join("k.pid"));
        let held = Lock::take(&path).unwrap();
        assert!(held.is_in_place());
        let seen = |held: &Lock| {
            let witness = held.witness().unwrap();
            let before = charges(&witness);
            held.put_in_charge().unwrap();
            charges(&witness) == before + 1 && is_held(&witness)
        };
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o620)).unwrap();
        assert!(seen(&held) && !held.is_in_place(), "the next kalived does not take this one");
        std::fs::remove_file(&path).unwrap();
        assert!(seen(&held) && !held.is_in_place());
        drop(Lock::take(&path).unwrap());
        assert!(seen(&held) && !held.is_in_place(), "another file is there");
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
