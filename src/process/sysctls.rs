//! The former values of sysctls of interfaces, in a file beside the lock, for the start after all processes were killed.
//!
//! The helper notes a value before it changes the sysctl, and strikes it out after the value was put back. A kalived that starts, and does
//! not continue from another one, puts back what is noted, before its core changes any sysctl. The content is not trusted: it names
//! interfaces, sysctls that kalived changes, and numbers; and only a sysctl that still has kalived's value is put back.

use crate::knob::{Knob, Set};
use crate::sys::knob;
use crate::sys::lockfile::{Open, beside, is_left_over, open_own, open_to_write};
use crate::vmac;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The first line.
const FIRST: &str = "kalived sysctls 1";
/// Most values: two of each interface below a virtual router there may be (`daemon/helperline.rs`).
const MOST: usize = 16_384;
/// Longest content, bytes: a line is a name of 15, a sysctl of 30, and a number of 10.
const LONGEST: usize = 60 * MOST;

/// Where the file is, for this lock file: `/run/kalived.sysctls` for `/run/kalived.lock`.
pub fn path(lock: &Path) -> PathBuf {
    beside(lock, "sysctls")
}

/// Opens the file for a helper.
///
/// # Errors
/// Another program's file is there, or one that other users may change.
pub fn open(path: &Path) -> io::Result<File> {
    open_to_write(path, 0o600, is_ours)
}

fn is_ours(_: u64, first: &[u8]) -> bool {
    first.starts_with(FIRST.as_bytes())
}

type Notes = BTreeMap<(String, Knob), u32>;

/// The noted values, and their file.
pub struct Book {
    file: File,
    notes: Notes,
}

impl Book {
    /// The values in the file.
    pub fn of(file: File) -> Book {
        Book { notes: read(&file), file }
    }

    /// Whether a job changes an interface that is not kalived's own, or the host: those of its own end with the interface.
    pub fn concerns(job: &[Set]) -> bool {
        job.iter().all(|s| vmac::below(s.knob).is_some())
    }

    /// To be called before a sysctl is set: notes what it is, unless that is kalived's own value. A value noted before was another
    /// interface's of this name, or somebody has changed it since.
    ///
    /// # Errors
    /// The file could not be written. The value is lost if all processes are killed.
    pub fn before(&mut self, dev: &str, s: &Set) -> io::Result<()> {
        let key = (dev.to_owned(), s.knob);
        if vmac::below(s.knob) != Some(s.to) || (self.notes.len() >= MOST && !self.notes.contains_key(&key)) {
            return Ok(());
        }
        match knob::get(dev, s.knob) {
            Ok(was) if was != s.to && s.only.is_none_or(|only| only == was) => match self.notes.insert(key, was) {
                Some(noted) if noted == was => Ok(()),
                _ => self.write(),
            },
            // What cannot be read is not changed, either.
            _ => Ok(()),
        }
    }

    /// To be called after a sysctl was set: one that was put back is struck out.
    ///
    /// # Errors
    /// As [`Book::before`]; the next start finds kalived's value changed, and leaves it.
    pub fn after(&mut self, dev: &str, s: &Set) -> io::Result<()> {
        let key = (dev.to_owned(), s.knob);
        if self.notes.get(&key) != Some(&s.to) {
            return Ok(());
        }
        self.notes.remove(&key);
        self.write()
    }

    fn write(&self) -> io::Result<()> {
        let text = text(&self.notes);
        self.file.write_all_at(text.as_bytes(), 0)?;
        self.file.set_len(text.len() as u64)
    }
}

fn text(notes: &Notes) -> String {
    let lines = notes.iter().map(|((dev, knob), was)| format!("{dev} {knob} {was}\n"));
    core::iter::once(format!("{FIRST}\n")).chain(lines).collect()
}

fn read(file: &File) -> Notes {
    let mut bytes = vec![0; LONGEST];
    let mut n = 0;
    while let Some(rest) = bytes.get_mut(n..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, n as u64) {
            Ok(0) | Err(_) => break,
            Ok(more) => n += more,
        }
    }
    bytes.truncate(n);
    parse(&String::from_utf8_lossy(&bytes))
}

// Lines that are none are passed over.
fn parse(text: &str) -> Notes {
    let line = |line: &str| {
        let mut words = line.split(' ');
        let (dev, word, was) = (words.next()?, words.next()?, words.next()?.parse().ok()?);
        let knob = Knob::ALL.into_iter().find(|k| k.words().1 == word).filter(|k| vmac::below(*k).is_some())?;
        let fine = words.next().is_none() && knob.path(dev).is_some();
        fine.then(|| ((dev.to_owned(), knob), was))
    };
    text.lines().skip(1).take(MOST).filter_map(line).collect()
}

/// Puts back what a kalived that was killed has noted, and removes the file. Returns how many sysctls were put back. No other kalived
/// with this lock may run.
///
/// # Errors
/// The file is not kalived's, or others may change it.
pub fn put_back(path: &Path) -> io::Result<usize> {
    let file = match open_own(path, Open::Read) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
        file => file?,
    };
    is_left_over(&file, is_ours)?;
    let back = |((dev, knob), was): &((String, Knob), u32)| {
        let set = Set { knob: *knob, to: *was, only: vmac::below(*knob) };
        // An interface that is gone has taken its sysctls along.
        knob::set(dev, &set).is_ok_and(|changed| changed.is_some())
    };
    let n = read(&file).into_iter().filter(back).count();
    std::fs::remove_file(path)?;
    Ok(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else_is_believed() {
        let notes: Notes =
            [(("eth0".to_owned(), Knob::ArpIgnore), 0), (("all".to_owned(), Knob::LocalIgmpReports), 1)].into();
        assert_eq!(parse(&text(&notes)), notes);
        let hostile = "kalived sysctls 1\n../../kernel arp_ignore 0\neth0 rp_filter 0\neth0 arp_ignore -1\neth0 arp_ignore\n\
                       eth0 arp_ignore 0 0\n\neth0  arp_ignore 0\neth1 arp_announce 1\n\u{fffd}";
        let only: Notes = [(("eth1".to_owned(), Knob::ArpAnnounce), 1)].into();
        assert_eq!(parse(hostile), only);
        assert_eq!(parse(""), Notes::new());
    }

    // An interface is deleted, and another one has its name; or somebody has changed the sysctl since.
    #[test]
    fn a_value_that_is_not_kalived_s_takes_the_place_of_the_one_before() {
        let was: u32 =
            std::fs::read_to_string("/proc/sys/net/ipv4/conf/lo/arp_announce").unwrap().trim().parse().unwrap();
        let mut book = Book::of(crate::sys::memfd::create("test").unwrap());
        let key = ("lo".to_owned(), Knob::ArpAnnounce);
        book.notes.insert(key.clone(), was + 7);
        let kalived = vmac::below(Knob::ArpAnnounce).unwrap();
        assert_ne!(was, kalived, "of a machine with other values the test proves nothing");
        book.before("lo", &Set { knob: Knob::ArpAnnounce, to: kalived, only: None }).unwrap();
        assert_eq!((book.notes.get(&key), read(&book.file).get(&key)), (Some(&was), Some(&was)));
    }

    #[test]
    fn a_file_of_another_program_is_left_alone() {
        let path = std::env::temp_dir().join(format!("kalived-sysctls-{}", std::process::id()));
        std::fs::write(&path, "eth0 arp_ignore 0\n").unwrap();
        assert!(open(&path).is_err() && put_back(&path).is_err() && path.exists());
        std::fs::write(&path, "").unwrap();
        // There is no such interface; the value stays noted until kalived puts it back or starts.
        let set = Set { knob: Knob::ArpIgnore, to: 1, only: Some(0) };
        let mut book = Book::of(open(&path).unwrap());
        book.before("no-such-dev", &set).unwrap();
        assert!(book.notes.is_empty());
        book.notes.insert(("no-such-dev".to_owned(), Knob::ArpIgnore), 0);
        book.write().unwrap();
        assert_eq!(Book::of(open(&path).unwrap()).notes, book.notes);
        book.after("no-such-dev", &Set { knob: Knob::ArpIgnore, to: 0, only: Some(1) }).unwrap();
        assert!(Book::of(open(&path).unwrap()).notes.is_empty());
        assert_eq!((put_back(&path).unwrap(), path.exists()), (0, false));
        assert_eq!(put_back(&path).unwrap(), 0);
    }
}
