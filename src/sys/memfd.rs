//! Anonymous files in memory: a configuration image, a snapshot, the output of a child. Passed between processes as a descriptor.

use super::socket::errno_or;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// An empty one. `name` is shown in /proc.
pub fn create(name: &str) -> io::Result<File> {
    let name = std::ffi::CString::new(name)?;
    // SAFETY: a C string that outlives the call.
    let fd = errno_or(unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) })?;
    // SAFETY: a new file descriptor that has no other owner.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// From now on no holder of the file can change its content.
pub fn seal(file: &File) -> io::Result<()> {
    let seals = libc::F_SEAL_WRITE | libc::F_SEAL_GROW | libc::F_SEAL_SHRINK | libc::F_SEAL_SEAL;
    // SAFETY: no pointers.
    errno_or(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn sealed_is_sealed() {
        let file = create("test").unwrap();
        file.write_all_at(b"abc", 0).unwrap();
        seal(&file).unwrap();
        assert!(file.write_all_at(b"x", 0).is_err() && file.set_len(0).is_err());
        let mut buf = [0; 3];
        file.read_exact_at(&mut buf, 0).unwrap();
        assert_eq!(&buf, b"abc");
    }
}
