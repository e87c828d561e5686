//! What a named pipe and a mail server get about real and virtual servers, byte by byte. `tests/kernel/lvs_told.rs` compares the same with
//! keepalived. Read first: `lvs.rs`.

use crate::bench::*;
use crate::handover::every;
use crate::lvs::web;
use crate::pipes::piped;
use kalived::config::model::global::{GlobalMore, SmtpServer};
use kalived::config::model::lvs::{GroupEntry, Method, ServerGroup, Service, VirtualServer};
use kalived::config::model::{Config, Global};
use kalived::effect::{ConnFx, Effect, HelperFx, Peer};
use kalived::event::{Errno, Event, HelperEv, Stream};
use kalived::id::ConnKey;
use kalived::time::Duration;
use kalived::world::World;

/// The rest of the system: servers of which some refuse, a pipe with a reader, a mail server that takes everything.
struct Rest {
    b: Bench,
    servers: Vec<VirtualServer>,
    dead: &'static [u8],
    lines: Vec<String>,
    mail: Option<ConnKey>,
    // What was sent in each session.
    letters: Vec<String>,
}

fn group() -> Vec<ServerGroup> {
    vec![ServerGroup { name: "web".into(), entries: vec![GroupEntry::Range(ip("10.9.9.10"), 0, 80)] }]
}

impl Rest {
    fn new(servers: Vec<VirtualServer>) -> Rest {
        let more = GlobalMore {
            smtp_server: Some(SmtpServer { host: "192.0.2.25".into(), port: 25 }),
            notification_email: vec!["ops@example.net".into(), "night@example.net".into()],
            notification_email_from: Some("cluster@example.net".into()),
            smtp_helo_name: Some("lb1.example.net".into()),
            lvs_notify_fifo: piped().notify_fifo,
            smtp_alert_checker: Some(true),
            ..GlobalMore::default()
        };
        let global = Global { router_id: Some("LB1".into()), more: Box::new(more), ..Global::default() };
        let mut b = Bench::of(World::new(Config { instances: vec![every(100, false)], global, ..Config::default() }));
        b.start();
        b.offered();
        Rest { b, servers, dead: &[], lines: Vec::new(), mail: None, letters: Vec::new() }
    }

    fn says(&mut self, conn: ConnKey, what: Stream<'_>) {
        self.b.event(Event::Conn { conn, what });
    }

    fn one(&mut self, e: Effect) {
        match e {
            Effect::Conn(ConnFx::Connect { conn, to: Peer::Tcp(to), .. }) if to.port() == 25 => {
                (self.mail, self.letters) = (Some(conn), std::mem::take(&mut self.letters));
                self.letters.push(String::new());
                self.says(conn, Stream::Connected);
                self.says(conn, Stream::Data(b"220 mx\r\n"));
            }
            Effect::Conn(ConnFx::Connect { conn, to, .. }) => {
                let dead = self.dead.iter().any(|n| format!("{to:?}").contains(&format!("10.0.0.{n}")));
                self.says(conn, if dead { Stream::Failed(Errno(111)) } else { Stream::Connected });
            }
            Effect::Conn(ConnFx::Write { conn, bytes }) => {
                assert_eq!(Some(conn), self.mail, "a TCP_CHECK writes nothing");
                let text = String::from_utf8(bytes.to_vec()).expect("text");
                let reply: &[u8] = match text.as_str() {
                    "DATA\r\n" => b"354 go\r\n",
                    "QUIT\r\n" => b"221 bye\r\n",
                    _ => b"250 ok\r\n",
                };
                self.letters.last_mut().expect("it has begun").push_str(&text);
                self.says(conn, Stream::Data(reply));
            }
            Effect::Conn(_) => {}
            Effect::Helper(HelperFx::OpenFifo { fifo, .. }) => {
                self.b.event(Event::Helper(HelperEv::FifoReady { fifo, result: Ok(()) }));
            }
            Effect::Helper(HelperFx::WriteFifo { fifo, line }) => {
                self.lines.push(String::from_utf8(line.to_vec()).expect("text"));
                self.b.event(Event::Helper(HelperEv::FifoWritten { fifo, result: Ok(()) }));
            }
            other => self.b.asked.push(other),
        }
    }

    /// For this time `dead` refuse connections. The lines and the letters of it.
    fn live(&mut self, d: Duration, dead: &'static [u8]) -> (Vec<String>, Vec<String>) {
        self.dead = dead;
        let until = self.b.now.mono + d;
        while self.b.now.mono < until {
            let all = std::mem::take(&mut self.b.asked);
            let idle = all.iter().all(|e| matches!(e, Effect::Lvs(_)));
            all.into_iter().for_each(|e| self.one(e));
            if idle {
                self.b.serve_groups(&group(), &self.servers.clone(), &[]);
                self.b.run(Duration::from_millis(10));
            }
        }
        (std::mem::take(&mut self.lines), std::mem::take(&mut self.letters))
    }
}

fn of(service: Service) -> VirtualServer {
    VirtualServer { service, ..web() }
}

const S: Duration = Duration::from_secs(1);

/// LVS-311, LVS-803: a line ends with a newline and nothing else.
#[test]
fn a_pipe_gets_these_lines_about_servers() {
    let by_mark = VirtualServer { protocol: None, ..of(Service::Mark(9)) };
    let all = [
        ("[10.9.9.9]:tcp:80", "tcp:80", web()),
        ("FWM 9", "none:0", by_mark.clone()),
        ("FWM 9", "none:80", VirtualServer { method: Method::Nat, ..by_mark }),
        ("[web]:0", "tcp:80", of(Service::Group("web".into()))),
    ];
    for (name, port, servers) in all {
        let mut r = Rest::new(vec![servers]);
        let real = |n: u8, word: &str| format!("RS [10.0.0.{n}]:{port} {name} {word}\n");
        let quorum = |word: &str| format!("VS {name} {word}\n");
        assert_eq!(r.live(6 * S, &[]).0, [quorum("UP")]);
        assert_eq!(r.live(6 * S, &[11]).0, [real(11, "DOWN")]);
        assert_eq!(r.live(6 * S, &[11, 12]).0, [real(12, "DOWN"), quorum("DOWN")]);
        assert_eq!(r.live(6 * S, &[11]).0, [real(12, "UP"), quorum("UP")]);
        assert_eq!(r.live(6 * S, &[]).0, [real(11, "UP")]);
    }
}

/// LVS-312: one letter for each change.
#[test]
fn a_mail_server_gets_these_letters_about_servers() {
    let mut r = Rest::new(vec![web()]);
    let letters = |r: &mut Rest, dead: &'static [u8]| -> Vec<String> {
        let plain = |l: &String| {
            let (before, after) = l.split_once("Date: ").expect("a letter has a date");
            format!("{before}{}", after.split_once("\r\n").expect("a line").1)
        };
        r.live(8 * S, dead).1.iter().map(plain).collect()
    };
    let letter = |subject: &str, text: &str| {
        format!(
            "HELO lb1.example.net\r\nMAIL FROM:<cluster@example.net>\r\nRCPT TO:<ops@example.net>\r\nRCPT TO:<night@example.net>\r\n\
             DATA\r\nFrom: cluster@example.net\r\nSubject: [LB1] {subject}\r\nX-Mailer: Keepalived\r\n\
             To: ops@example.net,\r\n night@example.net\r\n\r\n{text}\r\n.\r\nQUIT\r\n"
        )
    };
    let real = |n: u8, word: &str, text: &str| {
        letter(&format!("Realserver [10.0.0.{n}]:tcp:80 of virtual server [10.9.9.9]:tcp:80 - {word}"), text)
    };
    let quorum = |word: &str, text: &str| letter(&format!("Virtualserver [10.9.9.9]:tcp:80 - {word}"), text);
    let (up, down) =
        ("=> TCP CHECK succeed on service <=", "=> TCP CHECK failed on service <=\r\nCause: connection refused (111)");
    assert_eq!(letters(&mut r, &[]), [quorum("UP", "=> Gained quorum 1+0=1 <= 2 <=")]);
    assert_eq!(letters(&mut r, &[11]), [real(11, "DOWN", down)]);
    assert_eq!(letters(&mut r, &[11, 12]), [real(12, "DOWN", down), quorum("DOWN", "=> Lost quorum 1-0=1 > 0 <=")]);
    assert_eq!(letters(&mut r, &[11]), [real(12, "UP", up), quorum("UP", "=> Gained quorum 1+0=1 <= 1 <=")]);
    assert_eq!(letters(&mut r, &[]), [real(11, "UP", up)]);
}
