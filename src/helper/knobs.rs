//! Sysctls of interfaces, written by the helper, because a write to /proc may wait for a lock that another process holds.
//!
//! Their former values are noted in a file as well (`process/sysctls.rs`). Read first: `knob.rs`.

use super::errno;
use super::lane::{Inbox, Line};
use super::proto::{Ask, Tell};
use super::text;
use crate::knob::{Knob, Set};
use crate::note::Level;
use crate::process::sysctls::Book;
use crate::sys::knob;
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// A request, and the file where former values are noted.
pub type Job = (Ask, Option<Arc<File>>);

/// The lane's thread.
pub fn run(inbox: &Mutex<Inbox<Job>>, line: &Line) {
    let mut book: Option<Book> = None;
    loop {
        let next = inbox.lock().unwrap_or_else(PoisonError::into_inner).wait_next();
        match next {
            Ok((Ask::Knobs { job, dev, set }, file)) => {
                if book.is_none() {
                    book = file.and_then(|f| f.try_clone().ok()).map(Book::of);
                }
                let noted = book.as_mut().filter(|_| Book::concerns(&set));
                let (before, failed) = all(&dev, &set, noted, line);
                line.tell(&Tell::Knobs { job, before, failed }, None);
            }
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

/// What was changed, with what it was before; the first that could not be set.
type Done = (Vec<(Knob, u32)>, Option<(Knob, i32)>);

fn all(dev: &str, set: &[Set], mut book: Option<&mut Book>, line: &Line) -> Done {
    let (mut before, mut failed) = (Vec::new(), None);
    let note = |written: Option<io::Result<()>>| {
        if let Some(Err(e)) = written {
            line.note_once(Level::Warning, &text::not_noted(&e));
        }
    };
    for s in set {
        note(book.as_mut().map(|b| b.before(dev, s)));
        match knob::set(dev, s) {
            Ok(was) => before.extend(was.map(|was| (s.knob, was))),
            // A kernel without IPv6, or an interface that is gone: nothing to set.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => failed = failed.or(Some((s.knob, errno(&e)))),
        }
        note(book.as_mut().map(|b| b.after(dev, s)));
    }
    (before, failed)
}
