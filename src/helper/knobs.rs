//! Sysctls of interfaces, written by the helper, because a write to /proc may wait for a lock that another process holds.
//!
//! Read first: `knob.rs`.

use super::errno;
use super::lane::{Inbox, Line};
use super::proto::{Ask, Tell};
use crate::knob::{Knob, Set};
use crate::sys::knob;
use std::io;
use std::sync::{Mutex, PoisonError};

/// The lane's thread.
pub fn run(inbox: &Mutex<Inbox<Ask>>, line: &Line) {
    loop {
        let next = inbox.lock().unwrap_or_else(PoisonError::into_inner).wait_next();
        match next {
            Ok(Ask::Knobs { job, dev, set }) => {
                let (before, failed) = all(&dev, &set);
                line.tell(&Tell::Knobs { job, before, failed }, None);
            }
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

/// What was changed, with what it was before; the first that could not be set.
type Done = (Vec<(Knob, u32)>, Option<(Knob, i32)>);

fn all(dev: &str, set: &[Set]) -> Done {
    let (mut before, mut failed) = (Vec::new(), None);
    for s in set {
        match knob::set(dev, s) {
            Ok(was) => before.extend(was.map(|was| (s.knob, was))),
            // A kernel without IPv6, or an interface that is gone: nothing to set.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => failed = failed.or(Some((s.knob, errno(&e)))),
        }
    }
    (before, failed)
}
