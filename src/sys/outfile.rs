//! Writing a file that somebody asked a tool for: a new file beside it, readable for its owner only, then a rename. What was
//! there before is whole until the new one is; a symbolic link is not followed, and no file is ever opened to be changed.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Bytes of an existing file that are handed to the caller to judge by.
const LOOK: u64 = 1 << 20;
/// Names tried for the new file.
const TRIES: u32 = 100;

/// What is at a path that is to be written.
#[derive(Debug, PartialEq, Eq)]
pub enum There {
    /// Nothing, or an empty file.
    Nothing,
    /// A regular file: device and inode, and the first bytes.
    File((u64, u64), Vec<u8>),
    /// A terminal, a pipe, /dev/null: written to as it is.
    Stream,
}

/// Looks, links not followed. The error says why nothing may be written there.
pub fn look(path: &Path) -> Result<There, String> {
    let meta = match std::fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(There::Nothing),
        Err(e) => return Err(e.to_string()),
    };
    let kind = meta.file_type();
    if kind.is_symlink() {
        return Err("it is a symbolic link, which is not followed: name the file it leads to".to_owned());
    }
    if kind.is_char_device() || kind.is_fifo() {
        return Ok(There::Stream);
    }
    if !kind.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    if meta.len() == 0 {
        return Ok(There::Nothing);
    }
    let mut bytes = Vec::new();
    // What cannot be read cannot be judged, and is not replaced.
    let read = File::open(path).and_then(|f| f.take(LOOK).read_to_end(&mut bytes));
    read.map_err(|e| format!("it is there and cannot be read: {e}"))?;
    Ok(There::File((meta.dev(), meta.ino()), bytes))
}

/// Puts a new file with these bytes and mode 0600 in its place.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (mut file, beside) = beside(path)?;
    let done = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| std::fs::rename(&beside, path));
    if done.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    done
}

/// Writes to a terminal, a pipe or a device.
pub fn stream(path: &Path, bytes: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).custom_flags(libc::O_NOFOLLOW | libc::O_NOCTTY).open(path)?.write_all(bytes)
}

/// A file that did not exist, in the same directory.
fn beside(path: &Path) -> io::Result<(File, PathBuf)> {
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not the name of a file"))?;
    for n in 0..TRIES {
        let mut new = std::ffi::OsString::from(".");
        new.push(name);
        new.push(format!(".{}.{n}", std::process::id()));
        let new = path.with_file_name(new);
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            other => return other.map(|f| (f, new)),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "no free name for a temporary file beside it"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_new_file_takes_the_place_and_nothing_is_opened_to_be_changed() {
        let dir = std::env::temp_dir().join(format!("kalived-outfile-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let (out, link, held) = (dir.join("out"), dir.join("link"), dir.join("held"));
        assert_eq!(look(&out), Ok(There::Nothing));
        std::fs::write(&out, "old").unwrap();
        std::fs::set_permissions(&out, std::fs::Permissions::from_mode(0o666)).unwrap();
        // Another name of the old file keeps its content.
        std::fs::hard_link(&out, &held).unwrap();
        assert!(matches!(look(&out), Ok(There::File(_, bytes)) if bytes == b"old"));
        replace(&out, b"new").unwrap();
        assert_eq!((std::fs::read(&out).unwrap(), std::fs::read(&held).unwrap()), (b"new".to_vec(), b"old".to_vec()));
        assert_eq!(std::fs::metadata(&out).unwrap().permissions().mode() & 0o7777, 0o600);
        std::os::unix::fs::symlink(&out, &link).unwrap();
        assert!(look(&link).unwrap_err().contains("symbolic link"));
        assert!(look(&dir).unwrap_err().contains("regular file"));
        assert_eq!(look(Path::new("/dev/null")), Ok(There::Stream));
        stream(Path::new("/dev/null"), b"x").unwrap();
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 3, "nothing else is left");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
