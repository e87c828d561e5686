//! The pid file: the number of a process, for scripts. Another file (`lockfile.rs`) ensures that only one daemon runs.
//!
//! An existing file is overwritten where it is ours, and removed with its writer. It carries a lock as well, by which two daemons do not
//! write one file in turns. A process that cannot take the lock because a reader holds a read lock writes all the same.

use super::lockfile::{self, open_to_write};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

pub use super::lockfile::Refused;

/// The held pid file. Removed when dropped.
#[derive(Debug)]
pub struct PidFile {
    file: File,
    path: PathBuf,
    owner: u32,
}

impl PidFile {
    /// Takes the lock. Called before forking, so that a refusal is still seen on the terminal.
    pub fn lock(path: &Path) -> Result<PidFile, Refused> {
        // Going into the background changes the working directory.
        let path = &std::path::absolute(path).map_err(Refused::Io)?;
        // Another kalived that stops may remove the file between our open and our lock. Then we hold a file that no longer has a name,
        // and try again. Each round needs a further process that stops at that moment: 8 is plenty.
        for _ in 0..8 {
            let file = open_to_write(path, 0o644, is_number).map_err(Refused::Io)?;
            lock(&file)?;
            if same_file(&file, path) {
                return Ok(PidFile { file, path: path.clone(), owner: std::process::id() });
            }
        }
        Err(Refused::Io(io::ErrorKind::WouldBlock.into()))
    }

    /// Writes the pid of this process; called by the process that stays.
    pub fn write(&mut self) -> io::Result<()> {
        self.owner = std::process::id();
        self.put(self.owner)
    }

    /// The same; a file that cannot be written, because the disk is full, is not left there empty.
    pub fn written(mut self) -> io::Result<PidFile> {
        self.write().map(|()| self)
    }

    /// Writes the pid of a child. The file belongs to this process and is removed with it; its content is the number of the child. Called
    /// again for the next child.
    pub fn write_for(&mut self, child: u32) -> io::Result<()> {
        self.owner = std::process::id();
        self.put(child)
    }

    // A reader sees one pid or none, never a mixture of two.
    fn put(&self, pid: u32) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.write_all_at(format!("{pid}\n").as_bytes(), 0)
    }

    /// The descriptor that holds the lock: the lock stays while any copy of it is open.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
    /// The absolute path of the pid file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file descriptor that holds the lock, and the path: for an execve that keeps both. The file stays.
    pub fn into_parts(mut self) -> io::Result<(OwnedFd, PathBuf)> {
        // No process is the owner: dropping this value removes nothing.
        self.owner = 0;
        // A duplicate is the same open file description, and the lock belongs to the description.
        Ok((OwnedFd::from(self.file.try_clone()?), self.path.clone()))
    }

    /// Makes the pid file again from [`PidFile::into_parts`]; without a lock of its own it takes one.
    pub fn from_parts(fd: OwnedFd, path: &Path) -> Result<PidFile, Refused> {
        let file = File::from(fd);
        lock(&file)?;
        Ok(PidFile { file, path: path.to_owned(), owner: std::process::id() })
    }
}

// A process number and a line end, written by any process.
fn is_number(len: u64, bytes: &[u8]) -> bool {
    len == bytes.len() as u64 && bytes.iter().all(|b| b.is_ascii_digit() || b.is_ascii_whitespace())
}

// A reader's lock does not prevent writing a number.
fn lock(file: &File) -> Result<(), Refused> {
    match lockfile::lock(file, 0, 0) {
        Err(Refused::Io(e)) if e.kind() == io::ErrorKind::WouldBlock => Ok(()),
        other => other,
    }
}

/// keepalived's `--vrrp_pid`: a pid file with the number of the core. Kept as long as there is a core; the number of a restarted core is
/// written with [`PidFile::write_for`].
pub fn core_pid_file(path: &Path, pid: u32) -> Result<PidFile, Refused> {
    let mut held = PidFile::lock(path)?;
    held.write_for(pid).map_err(Refused::Io)?;
    Ok(held)
}

fn same_file(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Not in a parent that only passed the lock on. While this process holds the lock, no other process can have taken the file over.
        if self.owner == std::process::id() && same_file(&self.file, &self.path) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_and_stale_files_are_harmless() {
        let path = std::env::temp_dir().join(format!("kalived-pidfile-{}", std::process::id()));
        std::fs::write(&path, format!("{}\n", std::process::id())).unwrap();
        let mut held = PidFile::lock(&path).expect("a stale file does not count");
        held.write().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        assert!(matches!(PidFile::lock(&path), Err(Refused::Running)));
        drop(held);
        assert!(!path.exists());
        drop(PidFile::lock(&path).expect("free again"));
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_cannot_be_written_does_not_stay() {
        let path = std::env::temp_dir().join(format!("kalived-full-pid-{}", std::process::id()));
        std::fs::write(&path, "").unwrap();
        // As on a full disk: what is written is refused.
        let held = PidFile { file: File::open(&path).unwrap(), path: path.clone(), owner: 0 };
        assert!(held.written().is_err());
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_holds_anything_else_than_a_number_is_not_written_to() {
        let path = std::env::temp_dir().join(format!("kalived-foreign-pid-{}", std::process::id()));
        for text in ["vrrp_instance a {\n}\n", "12x\n", &"1".repeat(100)] {
            std::fs::write(&path, text).unwrap();
            let refused = PidFile::lock(&path);
            assert!(matches!(&refused, Err(Refused::Io(e)) if e.to_string().contains("did not write")), "{refused:?}");
            drop(refused);
            assert!(core_pid_file(&path, 1).is_err());
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        for text in ["", "12", "4194304\n"] {
            std::fs::write(&path, text).unwrap();
            drop(PidFile::lock(&path).unwrap());
        }
        assert!(!path.exists());
    }

    #[test]
    fn the_cores_number_is_replaced_and_the_lock_goes_from_hand_to_hand() {
        let path = std::env::temp_dir().join(format!("kalived-corepid-{}", std::process::id()));
        let mut held = core_pid_file(&path, 1_234_567).unwrap();
        held.write_for(42).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "42\n");
        let (fd, at) = held.into_parts().unwrap();
        assert!(matches!(PidFile::lock(&path), Err(Refused::Running)), "locked in between too");
        let held = PidFile::from_parts(fd, &at).unwrap();
        assert!(path.exists() && matches!(PidFile::lock(&path), Err(Refused::Running)));
        drop(held);
        assert!(!path.exists());
    }
}
