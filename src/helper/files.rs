//! Tracked files: their first bytes, reported after each change.
//!
//! Every directory that affects what the path leads to is watched: the one of the file, and those of the symbolic links in the path. A
//! file that a writer closed, or that was moved into place, is reported at once. Every other change (a file that was only created or
//! removed, one that inotify does not report, as on NFS or in /sys) is found by reading the file every second, and reported once the
//! content has been the same for a tenth of a second: so a file between truncation and writing is not taken for an empty one.

use super::lane::{Closed, Inbox, Line};
use super::proto::{Ask, FILE_BYTES, Tell};
use super::{errno, text};
use crate::note::Level;
use crate::sys::inotify::Inotify;
use crate::sys::walk::{self, Refused};
use crate::sys::{clock, host, poll};
use crate::time::{Duration, Instant, earliest};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Between two scans of all files.
const AGAIN: Duration = Duration::from_secs(1);
/// How long content without an event must stay the same.
const SETTLED: Duration = Duration::from_millis(100);
/// Most symbolic links in the path of one file; the kernel's limit.
const MOST_LINKS: usize = 40;

/// `EPERM`: the file must not be opened.
const DISTRUSTED: i32 = 1;
/// `ENOENT`: there is no such file.
const ABSENT: i32 = 2;

type Content = Result<Vec<u8>, i32>;

struct Watch {
    path: PathBuf,
    /// Directories by number, and the name in each that the path uses.
    places: Vec<(i32, Vec<u8>)>,
    told: Option<Content>,
    /// Content that differs from the reported one, and since when.
    doubt: Option<(Content, Instant)>,
}

/// The lane's thread.
pub fn run(inbox: &Mutex<Inbox<Ask>>, line: &Line) {
    let inotify = Inotify::open();
    if let Err(e) = &inotify {
        line.note_once(Level::Warning, &text::no_inotify(e));
    }
    let mut files = Files { line, inotify: inotify.ok(), watches: BTreeMap::new(), again: clock::mono() + AGAIN };
    let mut inbox = inbox.lock().unwrap_or_else(PoisonError::into_inner);
    while files.turn(&mut inbox).is_ok() {}
}

struct Files<'a> {
    line: &'a Line,
    inotify: Option<Inotify>,
    watches: BTreeMap<u64, Watch>,
    /// When all files are scanned again.
    again: Instant,
}

impl Files<'_> {
    fn turn(&mut self, inbox: &mut Inbox<Ask>) -> Result<(), Closed> {
        let doubt = self.watches.values().filter_map(|w| w.doubt.as_ref().map(|d| d.1 + SETTLED)).min();
        let next = earliest(doubt, (!self.watches.is_empty()).then_some(self.again));
        let millis = next.map_or(-1, |at| at.since(clock::mono()).as_millis().min(1000) as i32 + 1);
        let mut fds = vec![inbox.fd()];
        fds.extend(self.inotify.as_ref().map(Inotify::fd));
        let ready = poll::readable(&fds, millis).unwrap_or_default();
        if ready.first() == Some(&true) {
            for ask in inbox.take()? {
                match ask {
                    Ask::WatchFile { watch, path } => self.watch(watch, path),
                    Ask::Unwatch { watch } => self.unwatch(watch),
                    _ => {}
                }
            }
        }
        if ready.get(1) == Some(&true) {
            self.events();
        }
        let now = clock::mono();
        let all = now >= self.again;
        if all {
            self.again = now + AGAIN;
        }
        let due = |w: &Watch| all || w.doubt.as_ref().is_some_and(|d| now >= d.1 + SETTLED);
        let due: Vec<u64> = self.watches.iter().filter(|(_, w)| due(w)).map(|(k, _)| *k).collect();
        for watch in due {
            self.look(watch, false);
        }
        Ok(())
    }

    fn watch(&mut self, watch: u64, path: String) {
        self.unwatch(watch);
        self.watches.insert(watch, Watch { path: path.into(), places: Vec::new(), told: None, doubt: None });
        self.place(watch);
        self.look(watch, true);
    }

    fn unwatch(&mut self, watch: u64) {
        if let Some(w) = self.watches.remove(&watch) {
            self.release(w.places);
        }
    }

    /// Watches the directories that the path uses now. Called before the file is read, so that no change falls in between.
    fn place(&mut self, watch: u64) {
        let (Some(inotify), Some(w)) = (&self.inotify, self.watches.get_mut(&watch)) else { return };
        let mut places = Vec::new();
        for (dir, name) in way(&w.path) {
            match inotify.add(&dir) {
                Ok(wd) => places.push((wd, name.as_bytes().to_vec())),
                // ENOSPC: the user has too many watches. The path may also change during the walk.
                Err(e) if e.kind() == std::io::ErrorKind::StorageFull => {
                    self.line.note_once(Level::Warning, &text::no_inotify(&e));
                }
                Err(_) => {}
            }
        }
        let old = core::mem::replace(&mut w.places, places);
        self.release(old);
    }

    /// Ends the watches of directories that no path uses any more.
    fn release(&mut self, places: Vec<(i32, Vec<u8>)>) {
        let Some(inotify) = &self.inotify else { return };
        let gone: BTreeSet<i32> = places.into_iter().map(|p| p.0).collect();
        for wd in gone {
            if !self.watches.values().any(|w| w.places.iter().any(|p| p.0 == wd)) {
                inotify.remove(wd);
            }
        }
    }

    fn events(&mut self) {
        let Some(Ok(events)) = self.inotify.as_mut().map(Inotify::events) else { return };
        let mut names: BTreeMap<(i32, Vec<u8>), bool> = BTreeMap::new();
        let mut lost = false;
        for e in events {
            lost |= e.lost;
            *names.entry((e.wd, e.name)).or_default() |= e.settled;
        }
        let mut touched = Vec::new();
        for (watch, w) in &self.watches {
            // An event of the name, or of the directory itself.
            let hit = |p: &(i32, Vec<u8>)| names.get(p).copied().max(names.get(&(p.0, Vec::new())).copied());
            let sure = if lost { Some(true) } else { w.places.iter().filter_map(hit).max() };
            touched.extend(sure.map(|sure| (*watch, sure)));
        }
        for (watch, sure) in touched {
            self.place(watch);
            self.look(watch, sure);
        }
    }

    /// Reads the file and reports new content. `sure`: the content is final.
    fn look(&mut self, watch: u64, sure: bool) {
        let Some(w) = self.watches.get_mut(&watch) else { return };
        let mut content = read(&w.path, self.line);
        if w.told.as_ref() == Some(&content) {
            w.doubt = None;
            return;
        }
        if !sure {
            // No event reported this change: perhaps the file is in a directory that is not watched.
            self.place(watch);
            content = self.watches.get(&watch).map_or(content, |w| read(&w.path, self.line));
        }
        let Some(w) = self.watches.get_mut(&watch) else { return };
        // Editors move a file away before they write it anew.
        let sure = w.told.is_none() || sure && content != Err(ABSENT);
        let now = clock::mono();
        let since = match &w.doubt {
            Some((same, since)) if *same == content => *since,
            _ => now,
        };
        if !sure && now < since + SETTLED {
            w.doubt = Some((content, since));
            return;
        }
        w.doubt = None;
        w.told = Some(content.clone());
        self.line.tell(&Tell::FileRead { watch, result: content }, None);
    }
}

fn read(path: &Path, line: &Line) -> Content {
    walk::tracked(path, host::user(), FILE_BYTES as u64).map_err(|refused| {
        let why = match refused {
            Refused::Io(e) => return errno(&e),
            Refused::NotRegular => "it is not a regular file".to_owned(),
            Refused::Link(user) => format!("a symbolic link of uid {user} leads to what that user may not read"),
        };
        line.note_once(Level::Warning, &text::file_refused(&path.display().to_string(), &why));
        DISTRUSTED
    })
}

/// Directories and the names in them that determine what `path` leads to: those of every symbolic link in the path, and of the file; or,
/// where the path ends early, of the missing component.
fn way(path: &Path) -> Vec<(PathBuf, OsString)> {
    let names = |p: &Path| {
        let named = p.components().filter(|c| matches!(c, Component::Normal(_) | Component::ParentDir));
        named.map(|c| c.as_os_str().to_owned()).collect::<VecDeque<_>>()
    };
    let mut left = names(path);
    let (mut at, mut found, mut links) = (PathBuf::from("/"), Vec::new(), 0);
    while let Some(name) = left.pop_front() {
        if name == ".." {
            at.pop();
            continue;
        }
        let here = at.join(&name);
        match fs::read_link(&here) {
            Ok(target) if links < MOST_LINKS => {
                links += 1;
                found.push((at.clone(), name));
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                let mut more = names(&target);
                more.append(&mut left);
                left = more;
            }
            _ if left.is_empty() || fs::symlink_metadata(&here).is_err() => {
                found.push((at, name));
                return found;
            }
            _ => at = here,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn every_link_on_the_way_counts() {
        let dir = std::env::temp_dir().join(format!("kalived-way-{}", std::process::id()));
        let dir = {
            fs::create_dir_all(&dir).unwrap();
            fs::canonicalize(&dir).unwrap()
        };
        fs::create_dir_all(dir.join("v1")).unwrap();
        symlink("v1", dir.join("data")).unwrap();
        symlink("data/file", dir.join("file")).unwrap();
        symlink(dir.join("loop"), dir.join("loop")).unwrap();
        let of = |p: &str| way(&dir.join(p)).into_iter().map(|(d, n)| d.join(n)).collect::<Vec<_>>();
        let plain = of("v1/file");
        let linked = of("file");
        let missing = of("none/below/file");
        let looped = of("loop").len();
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(plain, [dir.join("v1/file")]);
        assert_eq!(linked, [dir.join("file"), dir.join("data"), dir.join("v1/file")]);
        assert_eq!(missing, [dir.join("none")]);
        assert_eq!(looped, MOST_LINKS + 1);
    }
}
