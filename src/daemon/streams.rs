//! Connections on the ring: for mail, native checks and the health checks of real servers. A datagram socket that is connected to
//! its peer counts as a connection: the operations are the same, but a datagram of no bytes is not an end. The World decides which
//! bytes are sent and how long an answer may take.
//!
//! Read first: `exec.rs`, `sys/op.rs`. A connection has at most two operations in flight: one that opens it or receives, and one that
//! sends. Bytes are passed to the kernel at once, and an operation waits for room only where there is none. A receive is requested at the
//! end of a turn, for the connections that are still open: most were closed because of what was received, and need no cancellation then.
//! A completion counts only if it has the name of the operation that is awaited: one that was cancelled, and completes after the name of
//! its connection was used again, is ignored.

use super::os::Os;
use super::token::{ConnToken, Token};
use crate::config::model::lvs::Pem;
use crate::effect::{ConnFx, Peer, Way};
use crate::event::{Errno, Event, Stream};
use crate::id::ConnKey;
use crate::process::tls::{Common, Tls};
use crate::sys::errno;
use crate::sys::op::{Done, Fd, Link, OpKey};
use crate::sys::os::Ops;
use crate::sys::ring::How;
use crate::sys::socket::{Origin, SockAddr, Transport};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// Connections of native checks and mail at a time.
const OTHERS: usize = 256;
/// Connections at a time: those of the health checks of real servers, which have their own limit, and those for native checks and
/// mail. Each is a descriptor and, once it is open, 4 KiB to receive into.
pub const MOST: usize = crate::lvs::check::CONNECTIONS + OTHERS;
/// Descriptors for everything else: a socket for each interface and family, netlink, pipes.
pub const REST: u64 = 512;

/// How many connections there may be where the process may have so many open files: all, and of them those of health checks. So that
/// neither takes the descriptors of the adverts, nor one of them those of the other.
pub fn fitting(files: u64) -> [usize; 2] {
    let free = usize::try_from(files.saturating_sub(REST).max(files / 4)).unwrap_or(MOST).clamp(2, MOST);
    [free, (free - OTHERS.min(free / 4).max(1)).min(crate::lvs::check::CONNECTIONS)]
}

/// Bytes that may wait to be sent on one connection: a mail is about 1 KiB, a request less.
pub const LONGEST_QUEUE: usize = 64 << 10;
/// Bytes of one receive, which are one event: the limit keeps one peer from delaying a turn.
const CHUNK: usize = 4096;

struct Conn {
    fd: Fd,
    opening: Option<OpKey>,
    rx: Option<OpKey>,
    tx: Option<OpKey>,
    queue: VecDeque<Bytes>,
    /// Bytes in `queue`, with what is in flight.
    queued: usize,
    /// Closed as soon as it is open.
    only: bool,
    /// A datagram socket: a datagram of no bytes is not an end.
    datagrams: bool,
    tls: Option<Box<Tls>>,
    /// Its end is announced to the peer (`close_notify` of TLS).
    says_end: bool,
}

impl Conn {
    /// Sends the next pieces, one at a time, so that they stay in order. The error ends the connection.
    fn pump(&mut self, os: &mut impl Os, conn: ConnKey) -> Result<(), Errno> {
        if self.opening.is_some() || self.tx.is_some() {
            return Ok(());
        }
        while let Some(bytes) = self.queue.front() {
            match os.send_now(&self.fd, bytes) {
                Ok(n) => self.sent(n),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    let token = Token::Conn(conn, ConnToken::Tx);
                    self.tx = Some(os.send(token, &self.fd, bytes.clone(), None, Link::Last, How::Wait));
                    break;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Errno(e.raw_os_error().unwrap_or(-errno::EINVAL))),
            }
        }
        Ok(())
    }

    // So many bytes of the first piece have left; what did not fit goes first.
    fn sent(&mut self, n: usize) {
        self.queued = self.queued.saturating_sub(n);
        if let Some(mut bytes) = self.queue.pop_front()
            && n < bytes.len()
        {
            self.queue.push_front(bytes.split_off(n));
        }
    }

    /// Sends what TLS has to say.
    fn send(&mut self, os: &mut impl Os, conn: ConnKey, bytes: Vec<u8>) -> Result<(), Errno> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.queued += bytes.len();
        self.queue.push_back(Bytes::from(bytes));
        self.pump(os, conn)
    }

    /// Cancels what is in flight; the descriptor closes with the last of it.
    fn close(self, os: &mut impl Ops<Token>) {
        for op in [self.opening, self.rx, self.tx].into_iter().flatten() {
            os.cancel(Token::Cancel, op, Link::Last);
        }
    }
}

/// The connections there are.
#[derive(Default)]
pub struct Streams {
    all: BTreeMap<ConnKey, Conn>,
    /// At a time, where that is fewer than [`MOST`].
    room: Option<usize>,
    /// Certificates and key of the configuration.
    pem: Box<Pem>,
    /// Made when first needed; without and with `verify`.
    tls: [Option<Common>; 2],
    /// Those that are to receive from the end of this turn on.
    deaf: Vec<ConnKey>,
    /// Why TLS could not be begun just now.
    broken: Option<&'static str>,
    /// Connections that failed at once and whose event waits in the inbox: at most one for each effect of a turn.
    failed: BTreeSet<ConnKey>,
}

impl Streams {
    /// At most so many connections at a time.
    pub fn limit(&mut self, connections: usize) {
        self.room = Some(connections.min(MOST));
    }

    /// Another configuration's certificates and key.
    pub fn trust(&mut self, pem: Box<Pem>) {
        (self.pem, self.tls) = (pem, [None, None]);
    }

    /// Begins to open `conn`. On an error nothing is begun, and the caller reports `Failed`, or `Broken` for TLS.
    pub fn connect(&mut self, os: &mut impl Os, conn: ConnKey, to: &Peer, way: Option<&Way>) -> Result<(), Errno> {
        self.close(os, conn);
        if self.all.len() >= self.room.unwrap_or(MOST) {
            return Err(Errno::EMFILE);
        }
        let failed = |e: io::Error| Errno(e.raw_os_error().unwrap_or(-errno::EINVAL));
        let mut open = |transport, to| {
            let origin = way.map_or(Origin::default(), |w| Origin {
                source: w.source,
                device: w.device.as_deref(),
                mark: w.mark,
            });
            Ok((os.open_to(transport, to, &origin).map_err(failed)?, SockAddr::tcp(to)))
        };
        let (fd, addr) = match to {
            Peer::Tcp(addr) => open(Transport::Tcp, *addr)?,
            Peer::Udp(addr) => open(Transport::Udp, *addr)?,
            Peer::Ping(addr) => open(Transport::Icmp, SocketAddr::new(*addr, 0))?,
            Peer::Unix(path) => {
                let addr = SockAddr::unix(path).ok_or(Errno(-errno::EINVAL))?;
                (os.open_unix().map_err(failed)?, addr)
            }
        };
        let tls = match (way.and_then(|w| w.tls.as_ref()), to) {
            (Some(tls), Peer::Tcp(addr)) => {
                let made = self.tls(tls.name.as_deref(), tls.verify, addr.ip());
                self.broken = made.as_ref().err().copied();
                Some(Box::new(made.map_err(|_| Errno(-errno::EINVAL))?))
            }
            _ => None,
        };
        let worker = matches!(to, Peer::Unix(_));
        let op = os.connect(Token::Conn(conn, ConnToken::Open), &fd, Rc::new(addr), worker);
        let c = Conn {
            fd,
            opening: Some(op),
            rx: None,
            tx: None,
            queue: VecDeque::new(),
            queued: 0,
            only: way.is_some_and(|w| w.only),
            datagrams: matches!(to, Peer::Udp(_) | Peer::Ping(_)),
            tls,
            says_end: way.and_then(|w| w.tls.as_ref()).is_some_and(|t| t.says_end),
        };
        self.all.insert(conn, c);
        Ok(())
    }

    fn tls(&mut self, name: Option<&str>, verify: bool, addr: IpAddr) -> Result<Tls, &'static str> {
        let slot = &mut self.tls[usize::from(verify)];
        let common = match slot {
            Some(common) => common.clone(),
            None => slot.insert(Common::new(&self.pem, verify)?).clone(),
        };
        Tls::new(&common, name, addr).map_err(|_| "no session")
    }

    /// Sends `bytes` after those before. An error: the connection is closed, and `Failed` is to be told. Nothing happens on a
    /// connection that is closed already: its end was told.
    pub fn write(&mut self, os: &mut impl Os, conn: ConnKey, bytes: Bytes) -> Result<(), Errno> {
        let Some(c) = self.all.get_mut(&conn) else { return Ok(()) };
        if bytes.is_empty() {
            return Ok(());
        }
        let bytes = match &mut c.tls {
            None => bytes,
            Some(tls) => match tls.say(&bytes) {
                Ok(()) => Bytes::from(tls.outgoing()),
                Err(_) => return Err(Errno::ENOBUFS),
            },
        };
        if c.queued.saturating_add(bytes.len()) > LONGEST_QUEUE {
            self.close(os, conn);
            return Err(Errno::ENOBUFS);
        }
        c.queued += bytes.len();
        c.queue.push_back(bytes);
        let done = c.pump(os, conn);
        if done.is_err() {
            self.close(os, conn);
        }
        done
    }

    /// The end of a turn: those that are open go on to receive.
    pub fn hear(&mut self, os: &mut impl Ops<Token>) {
        for conn in self.deaf.drain(..) {
            if let Some(c) = self.all.get_mut(&conn).filter(|c| c.rx.is_none()) {
                c.rx = Some(os.recv(Token::Conn(conn, ConnToken::Rx), &c.fd, CHUNK));
            }
        }
    }

    /// Closes it; no event of it follows.
    pub fn close(&mut self, os: &mut impl Ops<Token>, conn: ConnKey) {
        let Some(mut c) = self.all.remove(&conn) else { return };
        if let Some(tls) = c.tls.as_mut().filter(|t| c.says_end && t.is_connected())
            && c.queue.is_empty()
        {
            tls.end();
            // A few bytes into an empty send queue: the descriptor closes when they are in it. The result is not waited for.
            let bytes = Bytes::from(tls.outgoing());
            os.send(Token::Conn(conn, ConnToken::Tx), &c.fd, bytes, None, Link::Last, How::Wait);
        }
        c.close(os);
    }

    /// Bytes that wait to be sent, with what is in flight.
    pub fn queued(&self, conn: ConnKey) -> usize {
        self.all.get(&conn).map_or(0, |c| c.queued)
    }

    /// The number of connections, those being opened included.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is no connection.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Does what is asked for.
    pub fn apply(&mut self, os: &mut impl Os, fx: ConnFx, inbox: &mut VecDeque<Event<'static>>) {
        let (conn, done) = match fx {
            ConnFx::Connect { conn, to, way } => (conn, self.connect(os, conn, &to, way.as_deref())),
            ConnFx::Write { conn, bytes } => (conn, self.write(os, conn, bytes)),
            ConnFx::Close { conn } => {
                self.close(os, conn);
                self.failed.remove(&conn);
                (conn, Ok(()))
            }
        };
        if let Err(errno) = done {
            self.failed.insert(conn);
            let what = self.broken.take().map_or(Stream::Failed(errno), |why| Stream::Broken(why.as_bytes()));
            inbox.push_back(Event::Conn { conn, what });
        }
    }

    /// Whether this event of the inbox is still to be reported: not when its connection was closed meanwhile.
    pub fn is_heard(&mut self, event: &Event<'_>) -> bool {
        match event {
            Event::Conn { conn, .. } => self.failed.remove(conn),
            _ => true,
        }
    }

    /// Handles a completion of the connection's operation: an open, received bytes or sent bytes. A failure closes the connection.
    pub fn on_done(
        &mut self,
        os: &mut impl Os,
        conn: ConnKey,
        token: ConnToken,
        done: &Done<Token>,
        tell: &mut dyn FnMut(Event<'_>),
    ) {
        if let Err(errno) = self.go_on(os, conn, token, done, tell) {
            self.close(os, conn);
            tell(Event::Conn { conn, what: Stream::Failed(errno) });
        }
    }

    // The error ends the connection.
    fn go_on(
        &mut self,
        os: &mut impl Os,
        conn: ConnKey,
        token: ConnToken,
        done: &Done<Token>,
        tell: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), Errno> {
        let Some(c) = self.all.get_mut(&conn) else { return Ok(()) };
        let slot = match token {
            ConnToken::Open => &mut c.opening,
            ConnToken::Rx => &mut c.rx,
            ConnToken::Tx => &mut c.tx,
        };
        if *slot != Some(done.op) {
            return Ok(());
        }
        *slot = None;
        let Ok(n) = usize::try_from(done.result) else {
            // Interrupted before anything happened: it is repeated. A connect is not, because it may have begun.
            match token {
                ConnToken::Rx if done.result == errno::EINTR => self.deaf.push(conn),
                ConnToken::Tx if done.result == errno::EINTR => c.pump(os, conn)?,
                ConnToken::Open | ConnToken::Rx | ConnToken::Tx => return Err(Errno(-done.result)),
            }
            return Ok(());
        };
        match token {
            ConnToken::Open if c.only => {
                self.all.remove(&conn);
                tell(Event::Conn { conn, what: Stream::Connected });
            }
            ConnToken::Open => {
                self.deaf.push(conn);
                match &mut c.tls {
                    None => {
                        c.pump(os, conn)?;
                        tell(Event::Conn { conn, what: Stream::Connected });
                    }
                    Some(tls) => {
                        let hello = tls.outgoing();
                        c.send(os, conn, hello)?;
                    }
                }
            }
            ConnToken::Rx if n == 0 && !c.datagrams => match &c.tls {
                Some(tls) if !tls.is_connected() => {
                    self.close(os, conn);
                    tell(Event::Conn { conn, what: Stream::Broken(b"closed within the handshake") });
                }
                _ => tell(Event::Conn { conn, what: Stream::End }),
            },
            ConnToken::Rx => {
                self.deaf.push(conn);
                let bytes = done.read.as_deref().and_then(|b| b.get(..n)).unwrap_or_default();
                match &mut c.tls {
                    None => tell(Event::Conn { conn, what: Stream::Data(bytes) }),
                    Some(tls) => match tls.feed(bytes) {
                        Ok(fed) => {
                            let out = tls.outgoing();
                            c.send(os, conn, out)?;
                            if fed.connected {
                                tell(Event::Conn { conn, what: Stream::Connected });
                            }
                            if !fed.plain.is_empty() {
                                tell(Event::Conn { conn, what: Stream::Data(&fed.plain) });
                            }
                            if fed.end {
                                tell(Event::Conn { conn, what: Stream::End });
                            }
                        }
                        Err(why) => {
                            self.close(os, conn);
                            tell(Event::Conn { conn, what: Stream::Broken(why.as_bytes()) });
                        }
                    },
                }
            }
            ConnToken::Tx => {
                c.sent(n);
                c.pump(os, conn)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lvs::check::CONNECTIONS;

    #[test]
    fn connections_leave_the_descriptors_that_everything_else_needs() {
        assert_eq!(fitting(MOST as u64 + REST), [MOST, CONNECTIONS]);
        assert_eq!(fitting(1 << 20), [MOST, CONNECTIONS]);
        assert_eq!(fitting(4096), [3584, 3328]);
        assert_eq!(fitting(1024), [512, 384]);
        assert_eq!(fitting(256), [64, 48]);
        for files in 0..6000 {
            let [all, checks] = fitting(files);
            assert!(checks >= 1 && checks < all && (all as u64) + REST.min(files / 4) <= files.max(4), "{files}");
        }
    }
}
