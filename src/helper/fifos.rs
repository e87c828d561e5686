//! Named pipes: created, opened for the core, removed.
//!
//! A named pipe may be in a directory that other users can write to, such as /tmp, and root opens it. So an existing file must be a named
//! pipe of ours or of its configured user, and no other user may be able to replace a directory of its path. All checks use descriptors,
//! so that nothing can be replaced between the check and the use. Read first: `sys/fifo.rs`.

use super::lane::{Inbox, Line};
use super::proto::{Ask, FileId, Tell};
use super::{errno, text};
use crate::effect::NO_GROUP;
use crate::note::Level;
use crate::sys::{fifo, host};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// `EPERM`: the existing file is not trusted.
const DISTRUSTED: i32 = 1;
/// `EEXIST`: another kind of file exists.
const OTHER: i32 = 17;

/// The lane's thread.
pub fn run(inbox: &Mutex<Inbox<Ask>>, line: &Line) {
    loop {
        let next = inbox.lock().unwrap_or_else(PoisonError::into_inner).wait_next();
        match next {
            Ok(Ask::OpenFifo { fifo, path, uid, gid }) => match open(&path, uid, gid) {
                Ok((fd, made, open_to)) => {
                    if let Some(why) = open_to {
                        line.note_once(Level::Warning, &text::fifo_open(&path, &why));
                    }
                    line.tell(&Tell::FifoReady { fifo, result: Ok(made) }, Some(fd.as_fd()));
                }
                Err(Refused { errno, why }) => {
                    // The core requests the pipe repeatedly; the refusal is logged once.
                    line.note_once(Level::Error, &text::fifo_refused(&path, &why));
                    line.tell(&Tell::FifoReady { fifo, result: Err(errno) }, None);
                }
            },
            Ok(Ask::RemoveFifo { path, file }) => {
                if let Err(e) = fifo::remove_at(&path, (file.dev, file.ino)) {
                    line.note(Level::Warning, &text::fifo_left(&path, &e));
                }
            }
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

struct Refused {
    errno: i32,
    why: String,
}

impl From<io::Error> for Refused {
    fn from(e: io::Error) -> Refused {
        Refused { errno: errno(&e), why: e.to_string() }
    }
}

/// The descriptor; the file if it was created; and which other users may read lines from it.
type Opened = (OwnedFd, Option<FileId>, Option<String>);

fn open(path: &str, uid: u32, gid: u32) -> Result<Opened, Refused> {
    let (dir, name) = fifo::split(path)?;
    let us = host::user();
    trusted(&dir, &[0, us, uid], &[0, gid])?;
    let dir = fifo::directory(&dir)?;
    let found = fifo::find(&dir, name.as_bytes())?;
    let file = FileId { dev: found.id.0, ino: found.id.1 };
    if !found.is_fifo {
        return Err(Refused { errno: OTHER, why: "it exists and is not a named pipe".into() });
    }
    if found.uid != us && found.uid != uid {
        let why = format!("it belongs to uid {}, neither to kalived nor to uid {uid}", found.uid);
        return Err(Refused { errno: DISTRUSTED, why });
    }
    let gid = Some(gid).filter(|g| *g != NO_GROUP);
    // One of ours that an earlier run left, perhaps for another reader; any other mode than ours is an operator's choice.
    let fresh = found.made || found.uid == us && found.mode == 0o600;
    let opened = if fresh { found.give(uid, gid).and_then(|()| found.open()) } else { found.open() };
    match opened {
        Ok(fd) => {
            let open_to = !fresh && found.mode & 0o006 != 0;
            let why = open_to.then(|| format!("its mode is {:04o}", found.mode));
            Ok((fd, found.made.then_some(file), why))
        }
        Err(e) => {
            if found.made {
                let _ = fifo::remove(&dir, name.as_bytes(), found.id);
            }
            Err(e.into())
        }
    }
}

/// Checks that only `users` and `groups` can change a directory of the path, as it is written and as it is resolved: no other user may
/// write to it, unless it is sticky, where a user can replace only files of his own.
fn trusted(dir: &Path, users: &[u32], groups: &[u32]) -> Result<(), Refused> {
    let real = fs::canonicalize(dir)?;
    for part in dir.ancestors().chain(real.ancestors()) {
        // A symbolic link is as trusted as its owner.
        let meta = fs::symlink_metadata(part)?;
        let (mode, uid, gid) = (meta.mode(), meta.uid(), meta.gid());
        let writable = mode & 0o002 != 0 || mode & 0o020 != 0 && !groups.contains(&gid);
        if !users.contains(&uid) || meta.is_dir() && writable && mode & 0o1000 == 0 {
            let why = format!(
                "{} can be changed by others (owner {uid}, group {gid}, mode {:04o})",
                part.display(),
                mode & 0o7777
            );
            return Err(Refused { errno: DISTRUSTED, why });
        }
    }
    Ok(())
}
