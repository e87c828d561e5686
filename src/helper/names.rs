//! Host names to addresses. A name server that does not answer blocks one thread for half a minute, and nothing else.
//!
//! Deliberately absent: a cache, and a time limit: the requester has a time limit of its own and does not wait longer.

use super::lane::{Inbox, Line};
use super::proto::{Ask, LONGEST_HOST, MOST_ADDRS, Tell};
use std::io;
use std::net::ToSocketAddrs;
use std::sync::{Mutex, PoisonError};

/// Look-ups at a time: with two name servers that do not answer, other look-ups still proceed.
pub const THREADS: usize = 4;

/// `ENXIO`: the errors of the system's resolver have no errno: there is no such name, or no server answers for it.
const UNKNOWN: i32 = 6;

/// One of the lane's threads.
pub fn run(inbox: &Mutex<Inbox<Ask>>, line: &Line) {
    loop {
        let next = inbox.lock().unwrap_or_else(PoisonError::into_inner).wait_next();
        match next {
            Ok(Ask::Lookup { conn, host, port }) => {
                line.tell(&Tell::Resolved { conn, result: look_up(&host, port) }, None);
            }
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

fn look_up(host: &str, port: u16) -> Result<Vec<std::net::SocketAddr>, i32> {
    if host.len() > LONGEST_HOST {
        return Err(UNKNOWN);
    }
    // A literal address in brackets, as in a URL.
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let found = (host, port).to_socket_addrs().map_err(|e: io::Error| e.raw_os_error().unwrap_or(UNKNOWN))?;
    let mut addrs = Vec::new();
    for a in found {
        if addrs.len() < MOST_ADDRS && !addrs.contains(&a) {
            addrs.push(a);
        }
    }
    if addrs.is_empty() { Err(UNKNOWN) } else { Ok(addrs) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_need_no_server() {
        for (host, addr) in [("192.0.2.1", "192.0.2.1:25"), ("2001:db8::1", "[2001:db8::1]:25"), ("[::1]", "[::1]:25")]
        {
            assert_eq!(look_up(host, 25), Ok(vec![addr.parse().unwrap()]));
        }
        assert_eq!(look_up(&"x".repeat(LONGEST_HOST + 1), 25), Err(UNKNOWN));
    }
}
