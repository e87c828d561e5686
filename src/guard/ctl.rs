//! The control socket next to the pid file: `kalived reload`, `upgrade`, `handover`, `stop`, `status`, `record`.
//!
//! A client connects, sends one word as one message, gets one message back, and is disconnected. No call waits: a client that sends
//! nothing is dropped after [`SILENCE`], and for one that does not read, the answer stays in the kernel or is lost. Only root and the
//! user kalived runs as are served: the socket's mode restricts access, and the peer's credentials from the kernel are checked too. Read
//! first: `process/request.rs`. The other side is `cli/client.rs`. Deliberately absent: the execution of a request.

use crate::process::request::{MAX_REQUEST, Request, encode};
use crate::sys::unixsock;
use crate::time::{Duration, Instant, earliest};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Clients at a time. Each is a person or a unit's command that waits for one answer; more than a handful is a mistake.
pub const MAX_CLIENTS: usize = 8;
/// How long a client may be connected without sending a request.
pub const SILENCE: Duration = Duration::from_secs(2);
/// How long a client that sent a request is kept. The client gives up after 60 s itself (`cli/client.rs`).
pub const PATIENCE: Duration = Duration::from_secs(90);

/// The name of a client. Never reused: an answer to a client that has disconnected reaches no other client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientId(u64);

#[derive(Debug)]
struct Client {
    id: ClientId,
    fd: OwnedFd,
    // The client is dropped at this time.
    until: Instant,
    asked: bool,
}

/// See the module. Only [`Server::remove`] removes the socket's file: a process that passes the listener on must not.
#[derive(Debug)]
pub struct Server {
    listener: OwnedFd,
    path: PathBuf,
    // Another process may listen at that path already.
    unlinked: bool,
    clients: Vec<Client>,
    last_id: u64,
}

impl Server {
    /// Listens at `path`, for its owner only. `AddrInUse`: another process listens there.
    pub fn listen(path: &Path) -> io::Result<Server> {
        // Going into the background changes the working directory.
        let path = std::path::absolute(path)?;
        Ok(Server::from_fd(unixsock::listen(&path)?, &path))
    }

    /// Continues with a listener that was kept over an execve. `path` is absolute.
    pub fn from_fd(listener: OwnedFd, path: &Path) -> Server {
        Server { listener, path: path.to_owned(), unlinked: false, clients: Vec::new(), last_id: 0 }
    }

    /// The listener, for an execve (`sys::unixsock::keep_across_exec`). Clients are not kept: answer them first.
    pub fn listener(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// The descriptors to poll for reading: the listener first, then clients that have not sent a request yet. At most 1 +
    /// [`MAX_CLIENTS`].
    pub fn fds(&self) -> Vec<BorrowedFd<'_>> {
        let silent = self.clients.iter().filter(|c| !c.asked);
        std::iter::once(self.listener.as_fd()).chain(silent.map(|c| c.fd.as_fd())).collect()
    }

    /// When [`Server::on_ready`] is due although nothing is readable: a client has been silent for too long.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.clients.iter().fold(None, |at, c| earliest(at, Some(c.until)))
    }

    /// Reads requests: one of [`Server::fds`] is readable, or a deadline has passed. Each client sends one request and has to be answered
    /// once. The work is bounded.
    pub fn on_ready(&mut self, now: Instant) -> Vec<(ClientId, Request)> {
        self.clients.retain(|c| c.until > now);
        self.accept(now);
        let mut asked = Vec::new();
        self.clients.retain_mut(|c| c.asked || c.read(now, &mut asked));
        asked
    }

    fn accept(&mut self, now: Instant) {
        // As many as the kernel queues, and again as many that connected meanwhile; the rest is accepted in the next turn.
        for _ in 0..2 * MAX_CLIENTS {
            // There is no connection, or no descriptor is free for one; then only that client waits.
            let Ok(fd) = unixsock::accept(self.listener.as_fd()) else { return };
            let known = unixsock::peer_uid(fd.as_fd()).is_ok_and(|uid| uid == 0 || uid == unixsock::own_uid());
            let refusal = match known {
                false => Some("only root and the user kalived runs as may ask"),
                true if self.clients.len() >= MAX_CLIENTS => Some("too many clients at a time"),
                true => None,
            };
            if let Some(why) = refusal {
                let _ = unixsock::send(fd.as_fd(), &encode(false, why), None);
                continue;
            }
            self.last_id += 1;
            self.clients.push(Client { id: ClientId(self.last_id), fd, until: now + SILENCE, asked: false });
        }
    }

    /// Answers a client and disconnects it. Without effect when it has disconnected already.
    pub fn answer(&mut self, client: ClientId, ok: bool, text: &str) {
        self.send(client, &encode(ok, text), None);
    }

    /// As [`Server::answer`], with a descriptor that the client can read from: for [`Request::Image`]. It shares our file offset, so the
    /// client reads at given positions.
    pub fn answer_with_fd(&mut self, client: ClientId, text: &str, fd: BorrowedFd<'_>) {
        self.send(client, &encode(true, text), Some(fd));
    }

    fn send(&mut self, client: ClientId, bytes: &[u8], gift: Option<BorrowedFd<'_>>) {
        if let Some(at) = self.clients.iter().position(|c| c.id == client) {
            let c = self.clients.swap_remove(at);
            // An error means that the client has disconnected, or that its buffer is too small for an answer: the answer is dropped.
            let _ = unixsock::send(c.fd.as_fd(), bytes, gift);
        }
    }

    /// Removes a client that sent a request from the list, for an execve.
    pub fn take(&mut self, client: ClientId) -> Option<OwnedFd> {
        let at = self.clients.iter().position(|c| c.id == client)?;
        Some(self.clients.swap_remove(at).fd)
    }

    /// Takes over a client from [`Server::take`], which is to be answered.
    pub fn adopt(&mut self, fd: OwnedFd, now: Instant) -> ClientId {
        self.last_id += 1;
        let id = ClientId(self.last_id);
        self.clients.push(Client { id, fd, until: now + PATIENCE, asked: true });
        id
    }

    /// The path of the socket.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the socket's file: no further client can connect; connected clients stay.
    pub fn unlink(&mut self) {
        if !core::mem::replace(&mut self.unlinked, true) {
            let _ = std::fs::remove_file(&self.path);
        }
    }

    /// Ends the server: the file is removed, if it was not before, and clients get a last answer.
    pub fn remove(mut self) {
        self.unlink();
        for id in self.clients.iter().map(|c| c.id).collect::<Vec<_>>() {
            self.answer(id, false, "kalived ends");
        }
    }
}

impl Client {
    // Returns whether the client stays connected.
    fn read(&mut self, now: Instant, asked: &mut Vec<(ClientId, Request)>) -> bool {
        let mut buf = [0u8; MAX_REQUEST];
        let refusal = match unixsock::recv(self.fd.as_fd(), &mut buf) {
            Ok(0) => return false,
            Ok(n) => match buf.get(..n) {
                None => format!("a request is at most {MAX_REQUEST} bytes long"),
                Some(bytes) => match Request::of(bytes) {
                    Some(request) => {
                        self.asked = true;
                        self.until = now + PATIENCE;
                        asked.push((self.id, request));
                        return true;
                    }
                    None => format!("unknown request \"{}\"", bytes.escape_ascii()),
                },
            },
            Err(e) => return matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
        };
        let _ = unixsock::send(self.fd.as_fd(), &encode(false, &refusal), None);
        false
    }
}
