//! What the servers of a run say, by protocol.
//!
//! Read first: `draw.rs`. Every answer that is not the right one is a failure of the check: a connection that opens says nothing about a
//! web server.

use super::draw::{Drawn, Speaks};
use super::play::{Completion, Lie, Sim, Work};
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use kalived::effect::Peer;
use kalived::id::ConnKey;
use kalived::time::Instant;

/// What a server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Answer {
    /// What its check wants.
    Right,
    /// No connection: it is refused, or a port or host is unreachable.
    Refuses,
    /// No connection, and no word about it.
    Hangs,
    /// Another answer: an error of its protocol, or one to another question.
    Wrong,
    /// It opens connections and says nothing.
    Mute,
    /// The connection breaks within the answer.
    Breaks,
}

/// A connection of the process.
pub(super) struct Conn {
    /// It ends when it is open.
    pub(super) only: bool,
    pub(super) server: usize,
    /// What the server does on it, also if it does something else by now.
    pub(super) answer: Answer,
    /// Number of answers so far.
    pub(super) said: usize,
}

/// What follows the bytes of an answer.
pub(super) enum Then {
    Waits,
    Closes,
    Breaks(i32),
}

/// How a server of this protocol fails.
pub(super) fn fails(speaks: Speaks) -> &'static [Answer] {
    match speaks {
        Speaks::Tcp => &[Answer::Refuses, Answer::Hangs],
        Speaks::Http | Speaks::Smtp => {
            &[Answer::Refuses, Answer::Hangs, Answer::Wrong, Answer::Wrong, Answer::Mute, Answer::Breaks]
        }
        Speaks::Dns | Speaks::Udp | Speaks::Ping => &[Answer::Refuses, Answer::Wrong, Answer::Wrong, Answer::Mute],
    }
}

/// The next answer on a connection. A mail server speaks first, so that its first answer is to nothing.
pub(super) fn replies(speaks: Speaks, conn: &Conn, asked: &[u8]) -> (Vec<u8>, Then) {
    let Conn { server, answer, said: n, .. } = *conn;
    let right = match speaks {
        Speaks::Tcp => return (Vec::new(), Then::Waits),
        Speaks::Http if server.is_multiple_of(2) => b"HTTP/1.0 200 OK\r\n\r\nok".to_vec(),
        Speaks::Http => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec(),
        Speaks::Smtp => [&b"220-mail\r\n220 ready\r\n"[..], b"250 mail\r\n", b"221 bye\r\n"][n.min(2)].to_vec(),
        Speaks::Dns => dns(asked, 0),
        Speaks::Udp => b"pong".to_vec(),
        Speaks::Ping => echo(asked, 0),
    };
    let then = if speaks == Speaks::Http { Then::Closes } else { Then::Waits };
    match answer {
        Answer::Right => (right, then),
        Answer::Mute | Answer::Hangs => (Vec::new(), Then::Waits),
        Answer::Refuses => (Vec::new(), Then::Breaks(if speaks == Speaks::Ping { 113 } else { 111 })),
        Answer::Breaks => (right[..right.len() / 2].to_vec(), Then::Breaks(104)),
        Answer::Wrong => {
            let wrong = match speaks {
                Speaks::Http => b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_vec(),
                Speaks::Smtp => b"554 no\r\n".to_vec(),
                Speaks::Dns => dns(asked, 2),
                Speaks::Udp => b"gong".to_vec(),
                Speaks::Ping => echo(asked, 1),
                Speaks::Tcp => Vec::new(),
            };
            (wrong, then)
        }
    }
}

// The question with the bit of an answer, and this code.
fn dns(asked: &[u8], code: u8) -> Vec<u8> {
    let mut m = asked.to_vec();
    if let [_, _, flags, rcode, ..] = &mut m[..] {
        (*flags, *rcode) = (*flags | 0x80, code);
    }
    m
}

// An IPv4 header and the reply to an echo request whose identifier differs by this.
fn echo(asked: &[u8], by: u8) -> Vec<u8> {
    let mut m = vec![0x45; 20];
    m.extend_from_slice(asked);
    if let Some([kind, _, _, _, id, ..]) = m.get_mut(20..) {
        (*kind, *id) = (0, id.wrapping_add(by));
    }
    m
}

impl Sim {
    // The process opens a connection.
    pub(super) fn connect(&mut self, conn: ConnKey, to: &Peer, only: bool) {
        let (Peer::Tcp(SocketAddr::V4(at)) | Peer::Udp(SocketAddr::V4(at))) = to else {
            let Peer::Ping(addr) = to else { return self.violate(format!("a connection to {to:?}")) };
            return self.connect_to(conn, *addr, only, true);
        };
        self.connect_to(conn, (*at.ip()).into(), only, matches!(to, Peer::Udp(_)));
    }

    fn connect_to(&mut self, conn: ConnKey, to: IpAddr, only: bool, datagrams: bool) {
        let Some(server) = (0..self.drawn.servers).find(|n| Drawn::server(*n) == to) else {
            return self.violate(format!("a connection to {to}"));
        };
        let answer = match self.lie {
            Some(Lie::AllAnswer) => Answer::Right,
            Some(Lie::NoneAnswers) => Answer::Refuses,
            Some(Lie::Believes(what)) if self.drawn.speaks[server] == what => match self.answers[server].0 {
                Answer::Wrong | Answer::Mute | Answer::Breaks => Answer::Right,
                other => other,
            },
            _ => self.answers[server].0,
        };
        self.conns.insert(conn, Conn { only, server, answer, said: 0 });
        let at = self.now + self.upto(Duration::from_millis(5));
        let comes = match answer {
            // Datagrams need no connection: the sender learns of a closed port only when it has sent one.
            _ if datagrams => Completion::Connected(conn),
            Answer::Refuses => Completion::Failed(conn, 111),
            Answer::Hangs => return,
            _ => Completion::Connected(conn),
        };
        self.at(at, Work::Comes(self.life, comes));
        if !datagrams && !only && self.drawn.speaks[server] == Speaks::Smtp {
            self.reply(conn, at, &[]);
        }
    }

    // The process sends something on a connection.
    pub(super) fn asked(&mut self, conn: ConnKey, bytes: &[u8]) {
        self.reply(conn, self.now, bytes);
    }

    // What the server sends from then on, in pieces.
    fn reply(&mut self, conn: ConnKey, mut at: Instant, asked: &[u8]) {
        let Some(c) = self.conns.get_mut(&conn) else { return };
        let speaks = self.drawn.speaks[c.server];
        let (all, then) = replies(speaks, c, asked);
        c.said += 1;
        let datagram = matches!(speaks, Speaks::Dns | Speaks::Udp | Speaks::Ping);
        let mut rest = &all[..];
        while !rest.is_empty() {
            let some = if datagram { rest.len() } else { self.rng.range(1, rest.len() as u64) as usize };
            let (piece, left) = rest.split_at(some);
            at += self.upto(Duration::from_millis(2));
            self.at(at, Work::Comes(self.life, Completion::Data(conn, piece.to_vec())));
            rest = left;
        }
        at += self.upto(Duration::from_millis(2));
        match then {
            Then::Waits => {}
            Then::Closes => self.at(at, Work::Comes(self.life, Completion::Closed(conn))),
            Then::Breaks(errno) => self.at(at, Work::Comes(self.life, Completion::Failed(conn, errno))),
        }
    }

    // From now on a server does this.
    pub(super) fn set_server(&mut self, server: usize, answer: Answer) {
        let (is, since) = self.answers[server];
        // Whatever else it does: it is down all the same.
        let same = (is == Answer::Right) == (answer == Answer::Right);
        if answer == Answer::Right {
            self.known_down.remove(&server);
        }
        self.answers[server] = (answer, if same { since } else { self.now });
        self.say(format!("server {server}: {answer:?}"));
    }
}
