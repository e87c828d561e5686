//! Named pipes: made with the right owner, handed over, removed; and no file that another user put there is used.

use crate::{Dir, Helper, root};
use kalived::effect::NO_GROUP;
use kalived::helper::proto::{Ask, FileId, Tell};
use kalived::sys::fifo;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::process::Command;
use std::rc::Rc;

const EPERM: i32 = 1;
const ENOENT: i32 = 2;
const EEXIST: i32 = 17;

fn us() -> u32 {
    kalived::sys::host::user()
}

/// A directory in one that any user may write to, to which only its owner may write.
fn own_dir() -> Dir {
    let dir = Dir::make();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

fn open(helper: &Helper, path: &str, uid: u32, gid: u32) -> (Result<Option<FileId>, i32>, Option<OwnedFd>, String) {
    helper.ask(Ask::OpenFifo { fifo: 4, path: path.to_owned(), uid, gid });
    let mut notes = String::new();
    loop {
        match helper.heard() {
            (Tell::FifoReady { fifo: 4, result }, fds) => return (result, fds.into_iter().next(), notes),
            (Tell::Note { text, .. }, _) => notes.push_str(&text),
            (other, _) => panic!("{other:?}"),
        }
    }
}

fn gid() -> u32 {
    fs::metadata("/proc/self").unwrap().gid()
}

#[test]
fn a_named_pipe_is_made_used_and_removed() {
    let (helper, dir) = (Helper::start(), own_dir());
    let path = dir.path("events");
    let (result, fd, notes) = open(&helper, &path, us(), gid());
    let made = result.unwrap().expect("it was not there");
    let meta = fs::symlink_metadata(&path).unwrap();
    assert!(meta.file_type().is_fifo() && notes.is_empty(), "{notes}");
    assert_eq!((meta.dev(), meta.ino(), meta.uid()), (made.dev, made.ino, us()));
    assert_eq!(meta.mode() & 0o7777, 0o640, "the group that was named may read");
    // Without a reader a line fits, and a reader that comes later finds it.
    let fd = fd.unwrap();
    assert!(fifo::usable(&fd));
    let fd = Rc::new(fd);
    fifo::write(&fd, b"INSTANCE \"V\" MASTER 100\n").unwrap();
    assert!(fifo::write(&fd, &[0; fifo::ATOMIC + 1]).is_err());
    // Full: the answer comes at once, and no part of the line is in it.
    let full = (0..10_000).find_map(|_| fifo::write(&fd, &[b'x'; 4096]).err()).expect("a pipe has an end");
    assert_eq!(full.kind(), std::io::ErrorKind::WouldBlock);
    // The next one finds it and has not made it.
    let (again, second, _) = open(&helper, &path, us(), gid());
    assert_eq!((again, second.is_some()), (Ok(None), true));
    // Another file with that name is not removed.
    helper.ask(Ask::RemoveFifo { path: path.clone(), file: FileId { ino: made.ino + 1, ..made } });
    let (Tell::Note { text, .. }, _) = helper.heard() else { panic!("a note") };
    assert!(text.contains(&path) && fs::symlink_metadata(&path).is_ok(), "{text}");
    // The last message is handled although the line is closed right behind it.
    helper.ask(Ask::RemoveFifo { path: path.clone(), file: made });
    assert_eq!(helper.end(), Some(0));
    assert!(fs::symlink_metadata(&path).is_err());
}

#[test]
fn what_was_planted_is_refused_with_its_reason() {
    let (helper, dir) = (Helper::start(), own_dir());
    let target = dir.path("target");
    fs::write(&target, "precious").unwrap();
    symlink(&target, dir.path("link")).unwrap();
    symlink(dir.path("nowhere"), dir.path("dangling")).unwrap();
    assert!(Command::new("mkfifo").arg(dir.path("real")).status().unwrap().success());
    symlink(dir.path("real"), dir.path("to-real")).unwrap();
    for (name, errno, word) in [
        ("target", EEXIST, "not a named pipe"),
        ("link", EEXIST, "not a named pipe"),
        ("dangling", EEXIST, "not a named pipe"),
        ("to-real", EEXIST, "not a named pipe"),
        ("none/fifo", ENOENT, "No such file"),
    ] {
        let (result, fd, notes) = open(&helper, &dir.path(name), us(), gid());
        assert_eq!((result, fd.is_some()), (Err(errno), false), "{name}");
        assert!(notes.contains(&dir.path(name)) && notes.contains(word), "{notes}");
    }
    assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
    assert!(fs::symlink_metadata(dir.path("nowhere")).is_err());
    // The pipe itself, which kalived made, is used.
    assert_eq!(open(&helper, &dir.path("real"), us(), gid()).0, Ok(None));
}

#[test]
fn others_may_neither_own_it_nor_exchange_what_leads_to_it() {
    if !root() {
        return;
    }
    let (helper, dir) = (Helper::start(), own_dir());
    let path = dir.path("events");
    let chown = |path: &str, uid: u32| std::os::unix::fs::chown(path, Some(uid), Some(uid)).unwrap();
    // Made for the user it is configured for.
    let (result, _, _) = open(&helper, &path, 65_534, 65_534);
    assert!(result.unwrap().is_some());
    let meta = fs::symlink_metadata(&path).unwrap();
    assert_eq!((meta.uid(), meta.gid()), (65_534, 65_534));
    assert_eq!(meta.mode() & 0o7777, 0o640);
    // Without a group only the owner may read.
    let alone = dir.path("alone");
    assert!(open(&helper, &alone, 65_534, NO_GROUP).0.unwrap().is_some());
    let meta = fs::symlink_metadata(&alone).unwrap();
    assert_eq!((meta.uid(), meta.mode() & 0o7777), (65_534, 0o600));
    // One that was left for root gets its next reader as owner; one that is open to all users is reported.
    let left = dir.path("left");
    assert!(open(&helper, &left, 0, NO_GROUP).0.unwrap().is_some());
    assert_eq!(open(&helper, &left, 65_534, NO_GROUP).0, Ok(None));
    assert_eq!(fs::symlink_metadata(&left).unwrap().uid(), 65_534);
    let wide = dir.path("wide");
    assert!(open(&helper, &wide, 0, NO_GROUP).0.unwrap().is_some());
    fs::set_permissions(&wide, fs::Permissions::from_mode(0o666)).unwrap();
    let (result, _, notes) = open(&helper, &wide, 0, NO_GROUP);
    assert!(result == Ok(None) && notes.contains("0666"), "{notes}");
    // It is used again for that user, but for no other one.
    assert_eq!(open(&helper, &path, 65_534, 65_534).0, Ok(None));
    let (result, _, notes) = open(&helper, &path, 0, 0);
    assert!(result == Err(EPERM) && notes.contains("uid 65534"), "{result:?} {notes}");
    fs::remove_file(&path).unwrap();
    // Another user's directory, or one that any user may write to.
    let sub = dir.path("sub");
    fs::create_dir(&sub).unwrap();
    for (mode, uid, fine) in [(0o755, 1, false), (0o777, 0, false), (0o1777, 0, true), (0o775, 0, true)] {
        fs::set_permissions(&sub, fs::Permissions::from_mode(mode)).unwrap();
        std::os::unix::fs::chown(&sub, Some(uid), Some(0)).unwrap();
        let (result, _, notes) = open(&helper, &format!("{sub}/fifo"), 0, 0);
        assert_eq!(result.is_ok(), fine, "{mode:o} {uid} {notes}");
        assert!(fine || notes.contains(&format!("{sub} can be changed by others")), "{notes}");
    }
    chown(&sub, 1);
    // A directory of the pipe's own user is accepted.
    assert!(open(&helper, &format!("{sub}/own"), 1, 1).0.is_ok());
}
