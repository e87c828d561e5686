//! Multicast groups that sockets of the core join and leave, because the kernel's lock for that may be held by another process for long.
//!
//! A membership belongs to the socket, so it remains when the helper closes its duplicate of the descriptor, and when the helper ends.
//! Read first: `sys/socket.rs` (`join`).

use super::errno;
use super::lane::{Inbox, Line};
use super::proto::{Ask, Tell};
use crate::sys::socket;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

/// The lane's thread.
pub fn run(inbox: &Mutex<Inbox<(Ask, OwnedFd)>>, line: &Line) {
    loop {
        let next = inbox.lock().unwrap_or_else(PoisonError::into_inner).wait_next();
        match next {
            Ok((Ask::Join { job, ifindex, group }, fd)) => {
                let result = socket::join(&fd, ifindex, group).map_err(|e| errno(&e));
                line.tell(&Tell::Joined { job, result }, None);
            }
            Ok((Ask::Leave { ifindex, group }, fd)) => {
                // A group that was never joined, or whose interface is gone: nothing to leave.
                let _ = socket::leave(&fd, ifindex, group);
            }
            Ok(_) => {}
            Err(_) => return,
        }
    }
}
