//! Changes in directories, as inotify(7) reports them; and the first bytes of a file, without waiting for a writer.
//!
//! Directories are watched, not files: a file that is written anew, renamed over or removed and made again is a different file each time,
//! with the same name in the same directory.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Bytes read at a time: some thousand events with short names.
const BUFFER: usize = 64 << 10;
/// Bytes before an event's name.
const HEADER: usize = 16;

/// What happened to a name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Watch descriptor of the directory.
    pub wd: i32,
    /// Name of the entry that changed; empty: the directory itself.
    pub name: Vec<u8>,
    /// A writer has closed the file, or the name was added, removed or renamed: the present content is final.
    pub settled: bool,
    /// Events were lost: any file of any watched directory may have changed.
    pub lost: bool,
}

/// An inotify instance.
pub struct Inotify {
    fd: OwnedFd,
    buffer: Vec<u8>,
}

impl Inotify {
    /// Fails when the user has too many instances (`fs.inotify.max_user_instances`).
    pub fn open() -> io::Result<Inotify> {
        // SAFETY: no pointers.
        let fd = unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a new file descriptor that has no other owner.
        Ok(Inotify { fd: unsafe { OwnedFd::from_raw_fd(fd) }, buffer: vec![0; BUFFER] })
    }

    /// Readable when there are events.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Watches a directory; the same directory has the same number under every name.
    pub fn add(&self, dir: &Path) -> io::Result<i32> {
        let dir = CString::new(dir.as_os_str().as_bytes())?;
        let mask = libc::IN_CLOSE_WRITE
            | libc::IN_MOVED_TO
            | libc::IN_MOVED_FROM
            | libc::IN_DELETE
            | libc::IN_CREATE
            | libc::IN_ATTRIB
            | libc::IN_DELETE_SELF
            | libc::IN_MOVE_SELF
            | libc::IN_ONLYDIR;
        // SAFETY: `dir` is a C string that outlives the call.
        let wd = unsafe { libc::inotify_add_watch(self.fd.as_raw_fd(), dir.as_ptr(), mask) };
        if wd < 0 { Err(io::Error::last_os_error()) } else { Ok(wd) }
    }

    /// Ends the watch of a directory. The kernel has ended the watch of a removed directory already.
    pub fn remove(&self, wd: i32) {
        // SAFETY: no pointers; a wrong number is an error.
        unsafe { libc::inotify_rm_watch(self.fd.as_raw_fd(), wd) };
    }

    /// The events since the last call; at most one buffer of them.
    pub fn events(&mut self) -> io::Result<Vec<Event>> {
        // SAFETY: the buffer outlives the call and its length is its own.
        let n = unsafe { libc::read(self.fd.as_raw_fd(), self.buffer.as_mut_ptr().cast(), self.buffer.len()) };
        match usize::try_from(n) {
            Ok(n) => Ok(parse(self.buffer.get(..n).unwrap_or_default())),
            Err(_) => match io::Error::last_os_error() {
                e if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(Vec::new()),
                e => Err(e),
            },
        }
    }
}

fn parse(mut bytes: &[u8]) -> Vec<Event> {
    let int = |b: &[u8], at: usize| Some(u32::from_ne_bytes(b.get(at..at + 4)?.try_into().ok()?));
    let mut events = Vec::new();
    while let (Some(wd), Some(mask), Some(len)) = (int(bytes, 0), int(bytes, 4), int(bytes, 12)) {
        let end = HEADER.saturating_add(len as usize);
        let Some(name) = bytes.get(HEADER..end) else { break };
        let unsettled = libc::IN_CREATE | libc::IN_ATTRIB;
        events.push(Event {
            wd: wd as i32,
            name: name.iter().copied().take_while(|b| *b != 0).collect(),
            settled: mask & !(unsettled | libc::IN_ISDIR) != 0,
            lost: mask & libc::IN_Q_OVERFLOW != 0,
        });
        bytes = bytes.get(end..).unwrap_or_default();
    }
    events
}

/// The first bytes of a file, at most `most`. Does not wait for a named pipe or a device.
pub fn first_bytes(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_and_never_overrun() {
        let event = |wd: i32, mask: u32, name: &[u8]| {
            let mut b = wd.to_ne_bytes().to_vec();
            b.extend(mask.to_ne_bytes());
            b.extend([0; 4]);
            b.extend((name.len() as u32).to_ne_bytes());
            b.extend(name);
            b
        };
        let mut all = event(1, libc::IN_CREATE, b"new\0\0\0\0\0");
        all.extend(event(1, libc::IN_CLOSE_WRITE, b"new\0\0\0\0\0"));
        all.extend(event(-1, libc::IN_Q_OVERFLOW, b""));
        let read = parse(&all);
        let flat: Vec<_> = read.iter().map(|e| (e.wd, &e.name[..], e.settled, e.lost)).collect();
        assert_eq!(flat, [(1, &b"new"[..], false, false), (1, b"new", true, false), (-1, b"", true, true)]);
        for cut in 0..all.len() {
            assert!(parse(&all[..cut]).len() < 3);
        }
        assert!(parse(&event(1, 0, &[]).iter().map(|b| b | 0xf0).collect::<Vec<_>>()).is_empty());
    }
}
