//! Stream connections on the ring against servers of the standard library on loopback.

use crate::{PATIENCE, ring, wait};
use bytes::Bytes;
use kalived::config::model::lvs::Pem;
use kalived::daemon::streams::{LONGEST_QUEUE, MOST, Streams};
use kalived::daemon::token::Token;
use kalived::effect::{ConnFx, Peer, Tls, Way};
use kalived::event::{Errno, Event, Stream};
use kalived::id::{Arena, ConnKey, ConnMark};
use kalived::sys::clock;
use kalived::sys::op::Done;
use kalived::sys::ring::Ring;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::UnixListener;
use std::thread;

/// An event of a connection, without a reference to its buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Heard {
    Connected,
    Data(Vec<u8>),
    End,
    Failed(i32),
    Broken(String),
}

fn on_done(streams: &mut Streams, ring: &mut Ring<Token>, done: &Done<Token>, tell: &mut dyn FnMut(Event<'_>)) {
    if let Token::Conn(conn, token) = done.tag {
        streams.on_done(ring, conn, token, done, tell);
    }
    // The end of a turn.
    streams.hear(ring);
}

struct Bench {
    ring: Ring<Token>,
    streams: Streams,
    names: Arena<ConnMark, ()>,
}

impl Bench {
    fn new() -> Option<Bench> {
        Some(Bench { ring: ring()?, streams: Streams::default(), names: Arena::default() })
    }
    fn name(&mut self) -> ConnKey {
        self.names.insert(())
    }
    fn connect(&mut self, to: Peer) -> ConnKey {
        let conn = self.name();
        assert_eq!(self.streams.connect(&mut self.ring, conn, &to, None), Ok(()));
        conn
    }
    fn write(&mut self, conn: ConnKey, bytes: &[u8]) -> Result<(), Errno> {
        self.streams.write(&mut self.ring, conn, Bytes::copy_from_slice(bytes))
    }
    /// The next events; none when nothing is in flight any more.
    fn next(&mut self) -> Vec<(ConnKey, Heard)> {
        let deadline = clock::mono() + PATIENCE;
        let mut heard = Vec::new();
        while heard.is_empty() && self.ring.in_flight() > 0 {
            wait(&mut self.ring, deadline);
            while let Some(done) = self.ring.pop() {
                let mut tell = |e: Event<'_>| {
                    let Event::Conn { conn, what } = e else { panic!("{e:?}") };
                    heard.push((
                        conn,
                        match what {
                            Stream::Connected => Heard::Connected,
                            Stream::Data(b) => Heard::Data(b.to_vec()),
                            Stream::End => Heard::End,
                            Stream::Failed(e) => Heard::Failed(e.0),
                            Stream::Broken(why) => Heard::Broken(String::from_utf8_lossy(why).into_owned()),
                        },
                    ));
                };
                on_done(&mut self.streams, &mut self.ring, &done, &mut tell);
            }
        }
        heard
    }
    /// The next thing, of this connection.
    fn one(&mut self, conn: ConnKey) -> Heard {
        let mut all = self.next();
        assert_eq!(all.len(), 1, "{all:?}");
        let (c, heard) = all.remove(0);
        assert_eq!(c, conn);
        heard
    }
    /// Data up to the end.
    fn text(&mut self, conn: ConnKey) -> Vec<u8> {
        let mut text = Vec::new();
        loop {
            match self.next().as_slice() {
                [(c, Heard::Data(b))] if *c == conn && !b.is_empty() && b.len() <= 4096 => text.extend(b),
                [(c, Heard::Data(b)), (d, Heard::End)] if *c == conn && *d == conn => {
                    text.extend(b);
                    return text;
                }
                [(c, Heard::End)] if *c == conn => return text,
                other => panic!("{other:?}"),
            }
        }
    }
    /// Nothing is in flight and nothing more is told.
    fn settled(&mut self) {
        assert_eq!(self.next(), []);
        assert_eq!((self.ring.in_flight(), self.streams.len()), (0, 0));
    }
}

fn tcp() -> (TcpListener, Peer) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = Peer::Tcp(listener.local_addr().unwrap());
    (listener, to)
}

#[test]
fn what_is_written_arrives_in_order_and_the_answer_comes_back() {
    let Some(mut bench) = Bench::new() else { return };
    let (listener, to) = tcp();
    let server = thread::Builder::new()
        .spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut got = vec![0; 200_000];
            stream.read_exact(&mut got).unwrap();
            stream.write_all(&got).unwrap();
        })
        .unwrap();
    let conn = bench.connect(to);
    let all: Vec<u8> = (0..200_000u32).map(|i| i as u8 ^ (i >> 8) as u8).collect();
    // The first before it is open; each more than one send takes is kept in order behind it.
    let mut left = all.chunks(20_000);
    for chunk in left.by_ref().take(2) {
        assert_eq!(bench.write(conn, chunk), Ok(()));
    }
    assert_eq!(bench.one(conn), Heard::Connected);
    let mut text = Vec::new();
    for chunk in left {
        // One more as soon as there is room for it.
        while bench.streams.queued(conn) + chunk.len() > LONGEST_QUEUE {
            let deadline = clock::mono() + PATIENCE;
            wait(&mut bench.ring, deadline);
            while let Some(done) = bench.ring.pop() {
                on_done(&mut bench.streams, &mut bench.ring, &done, &mut |e| match e {
                    Event::Conn { what: Stream::Data(b), .. } => text.extend_from_slice(b),
                    other => panic!("{other:?}"),
                });
            }
        }
        assert_eq!(bench.write(conn, chunk), Ok(()));
    }
    text.extend(bench.text(conn));
    server.join().unwrap();
    assert!(text == all, "{} bytes", text.len());
    bench.streams.close(&mut bench.ring, conn);
    bench.settled();
}

#[test]
fn a_unix_socket_is_a_peer_like_another() {
    let Some(mut bench) = Bench::new() else { return };
    let path = std::env::temp_dir().join(format!("kalived-stream-{}", std::process::id()));
    let listener = UnixListener::bind(&path).unwrap();
    let server = thread::Builder::new()
        .spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"220 hello\r\n").unwrap();
        })
        .unwrap();
    let name = path.to_str().unwrap().to_owned();
    let conn = bench.connect(Peer::Unix(name.clone()));
    assert_eq!(bench.one(conn), Heard::Connected);
    assert_eq!(bench.text(conn), b"220 hello\r\n");
    server.join().unwrap();
    bench.streams.close(&mut bench.ring, conn);
    bench.settled();
    // No listener; no such file; not a path.
    let conn = bench.connect(Peer::Unix(name));
    assert_eq!(bench.one(conn), Heard::Failed(libc::ECONNREFUSED));
    std::fs::remove_file(&path).unwrap();
    let conn = bench.connect(Peer::Unix(path.to_str().unwrap().to_owned()));
    assert_eq!(bench.one(conn), Heard::Failed(libc::ENOENT));
    for odd in ["", "a\0b", &"x".repeat(108)] {
        let conn = bench.name();
        let refused = bench.streams.connect(&mut bench.ring, conn, &Peer::Unix(odd.to_owned()), None);
        assert_eq!(refused, Err(Errno(libc::EINVAL)), "{odd:?}");
    }
    bench.settled();
}

#[test]
fn a_refusal_a_reset_and_an_end_are_three_things() {
    let Some(mut bench) = Bench::new() else { return };
    let (listener, to) = tcp();
    let conn = bench.connect(to.clone());
    assert_eq!(bench.one(conn), Heard::Connected);
    // An end is only of what comes: ours may still be sent.
    let (stream, _) = listener.accept().unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(bench.one(conn), Heard::End);
    assert_eq!(bench.write(conn, b"still"), Ok(()));
    let mut got = [0; 5];
    let mut stream = stream;
    // The send leaves with a submission.
    bench.ring.submit().unwrap();
    stream.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"still");
    bench.streams.close(&mut bench.ring, conn);
    bench.settled();
    // Data that is not read before the close leads to a reset for the other side.
    let conn = bench.connect(to.clone());
    assert_eq!(bench.one(conn), Heard::Connected);
    assert_eq!(bench.write(conn, b"unread"), Ok(()));
    bench.ring.submit().unwrap();
    let (stream, _) = listener.accept().unwrap();
    while stream.peek(&mut [0; 6]).unwrap() < 6 {}
    drop(stream);
    assert_eq!(bench.one(conn), Heard::Failed(libc::ECONNRESET));
    bench.settled();
    drop(listener);
    let conn = bench.connect(to);
    assert_eq!(bench.one(conn), Heard::Failed(libc::ECONNREFUSED));
    // A write to a failed connection has no effect.
    assert_eq!(bench.write(conn, b"x"), Ok(()));
    bench.settled();
}

#[test]
fn a_peer_that_hangs_is_closed_and_leaves_nothing_in_flight() {
    let Some(mut bench) = Bench::new() else { return };
    let (listener, to) = tcp();
    let conn = bench.connect(to.clone());
    assert_eq!(bench.one(conn), Heard::Connected);
    let (stream, _) = listener.accept().unwrap();
    // It reads nothing: one send hangs in the kernel, more wait here, and then it is too much.
    let mut refused = None;
    for _ in 0..100_000 {
        if let Err(e) = bench.write(conn, &[0; 16 << 10]) {
            refused = Some(e);
            break;
        }
        bench.ring.submit().unwrap();
        while let Some(done) = bench.ring.pop() {
            on_done(&mut bench.streams, &mut bench.ring, &done, &mut |e| panic!("{e:?}"));
        }
    }
    assert_eq!(refused, Some(Errno::ENOBUFS));
    assert!(bench.ring.in_flight() > 0);
    bench.settled();
    drop(stream);
    // Closed while it waits for an answer, and while it is being opened; under a name that is used again at once.
    let conn = bench.connect(to.clone());
    assert_eq!(bench.one(conn), Heard::Connected);
    let (mut stream, _) = listener.accept().unwrap();
    stream.write_all(b"for the one before").unwrap();
    assert_eq!(bench.streams.connect(&mut bench.ring, conn, &to, None), Ok(()));
    assert_eq!(bench.one(conn), Heard::Connected);
    bench.streams.close(&mut bench.ring, conn);
    bench.settled();
}

#[test]
fn there_are_so_many_and_no_more() {
    let Some(mut bench) = Bench::new() else { return };
    assert!(kalived::sys::limits::raise_files(MOST as u64 + 512) >= MOST as u64 + 512, "the limit of open files");
    let (_listener, to) = tcp();
    let all: Vec<ConnKey> = (0..MOST).map(|_| bench.connect(to.clone())).collect();
    let one_more = bench.name();
    assert_eq!(bench.streams.connect(&mut bench.ring, one_more, &to, None), Err(Errno::EMFILE));
    for conn in all {
        bench.streams.close(&mut bench.ring, conn);
    }
    bench.settled();
    bench.connect(to);
}

#[test]
fn a_connection_that_is_only_opened_is_closed_when_it_is_open() {
    let Some(mut bench) = Bench::new() else { return };
    let (listener, to) = tcp();
    let conn = bench.name();
    let source = Some("127.0.0.2:0".parse().unwrap());
    let way = Way { source, device: Some("lo".into()), only: true, ..Way::default() };
    assert_eq!(bench.streams.connect(&mut bench.ring, conn, &to, Some(&way)), Ok(()));
    assert_eq!(bench.one(conn), Heard::Connected);
    assert!(bench.streams.is_empty());
    let (mut stream, from) = listener.accept().unwrap();
    assert_eq!(from.ip().to_string(), "127.0.0.2");
    assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0, "closed in order, not reset");
    let way = Way { source: Some("192.0.2.77:0".parse().unwrap()), ..Way::default() };
    let refused = bench.streams.connect(&mut bench.ring, conn, &to, Some(&way));
    assert_eq!(refused, Err(Errno(99)), "an address that this host does not have");
    let way = Way { device: Some("no-such".into()), ..Way::default() };
    assert_eq!(bench.streams.connect(&mut bench.ring, conn, &to, Some(&way)), Err(Errno(19)));
}

#[test]
fn datagrams_go_and_come_one_by_one_and_an_empty_one_is_no_end() {
    let Some(mut bench) = Bench::new() else { return };
    let server = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let conn = bench.connect(Peer::Udp(server.local_addr().unwrap()));
    assert_eq!(bench.one(conn), Heard::Connected);
    assert_eq!(bench.write(conn, b"one"), Ok(()));
    assert_eq!(bench.write(conn, b"two"), Ok(()));
    let mut buf = [0; 16];
    let peer = wait_for(&mut bench, &server, &mut buf, b"one");
    wait_for(&mut bench, &server, &mut buf, b"two");
    for reply in [&b""[..], b"three"] {
        server.send_to(reply, peer).unwrap();
        assert_eq!(bench.one(conn), Heard::Data(reply.to_vec()));
    }
    drop(server);
    assert_eq!(bench.write(conn, b"gone"), Ok(()));
    assert_eq!(bench.one(conn), Heard::Failed(111), "the port is closed");
}

// The ring sends while it is waited for.
fn wait_for(bench: &mut Bench, server: &std::net::UdpSocket, buf: &mut [u8], want: &[u8]) -> std::net::SocketAddr {
    server.set_read_timeout(Some(std::time::Duration::from_millis(1))).unwrap();
    let deadline = clock::mono() + PATIENCE;
    loop {
        bench.ring.submit().unwrap();
        while let Some(done) = bench.ring.pop() {
            on_done(&mut bench.streams, &mut bench.ring, &done, &mut |e| panic!("{e:?}"));
        }
        if let Ok((n, peer)) = server.recv_from(buf) {
            assert_eq!(&buf[..n], want);
            return peer;
        }
        assert!(clock::mono() < deadline, "no datagram");
    }
}

// A server with a self-signed certificate that has expired; returns the requested name.
//
// Each certificate of these tests ended before 2022, begins in 2100, or holds until 2120: no test depends on today's date.
fn tls_server(
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> (std::net::SocketAddr, thread::JoinHandle<Option<String>>) {
    server_with(include_bytes!("tls-cert.der"), versions)
}

fn server_with(
    cert: &'static [u8],
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> (std::net::SocketAddr, thread::JoinHandle<Option<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    let cert = rustls::pki_types::CertificateDer::from(cert.to_vec());
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(include_bytes!("tls-key.der").to_vec().into());
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert], key)
        .unwrap();
    let server = thread::Builder::new().spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut session = rustls::ServerConnection::new(std::sync::Arc::new(config)).unwrap();
        let mut tls = rustls::Stream::new(&mut session, &mut stream);
        let mut asked = [0; 5];
        if tls.read_exact(&mut asked).is_err() {
            return None; // the certificate was refused
        }
        assert_eq!(&asked, b"hello");
        tls.write_all(&[b'x'; 20_000]).unwrap();
        tls.conn.send_close_notify();
        tls.flush().unwrap();
        session.server_name().map(str::to_owned)
    });
    (to, server.unwrap())
}

#[test]
fn tls_is_spoken_with_any_certificate_and_the_name_is_told() {
    for versions in [&[&rustls::version::TLS13][..], &[&rustls::version::TLS12]] {
        for name in [Some("www.example.org"), None] {
            let Some(mut bench) = Bench::new() else { return };
            let (to, server) = tls_server(versions);
            let way = Way { tls: Some(Tls { name: name.map(Into::into), ..Tls::default() }), ..Way::default() };
            let conn = bench.name();
            assert_eq!(bench.streams.connect(&mut bench.ring, conn, &Peer::Tcp(to), Some(&way)), Ok(()));
            assert_eq!(bench.one(conn), Heard::Connected);
            assert_eq!(bench.write(conn, b"hello"), Ok(()));
            let (mut said, mut ended) = (0, false);
            while !ended {
                for (_, heard) in bench.next() {
                    match heard {
                        Heard::Data(bytes) => said += bytes.len(),
                        Heard::End => ended = true,
                        other => panic!("{other:?}"),
                    }
                }
            }
            assert_eq!((said, server.join().unwrap().as_deref()), (20_000, name));
            bench.streams.close(&mut bench.ring, conn);
            bench.settled();
        }
    }
}

// This is trap 86 of docs/traps.md.
#[test]
fn a_certificate_is_verified_where_that_is_asked_for() {
    let ca = include_str!("tls-ca.pem");
    let good: &[u8] = include_bytes!("tls-good.der");
    let unknown = "TLS: certificate is signed by nobody who is known (ca of SSL)";
    let other = include_str!("tls-other-ca.pem");
    let itself = "TLS: certificate is none of a server (signed by itself?): ";
    for (cert, name, ca, why) in [
        (good, Some("www.example.org"), ca, ""),
        (good, None, ca, ""),
        (good, Some("www.example.net"), ca, "TLS: certificate is for another name"),
        (include_bytes!("tls-expired.der"), Some("www.example.org"), ca, "TLS: certificate expired "),
        (include_bytes!("tls-early.der"), Some("www.example.org"), ca, "TLS: certificate is not valid yet"),
        (good, Some("www.example.org"), other, unknown),
        (include_bytes!("tls-self.der"), Some("www.example.org"), ca, itself),
        (good, Some("www.example.org"), "", "TLS: there are no certificates to verify with (ca of SSL)"),
    ] {
        for versions in [&[&rustls::version::TLS13][..], &[&rustls::version::TLS12]] {
            let Some(mut bench) = Bench::new() else { return };
            let (to, server) = server_with(cert, versions);
            bench.streams.trust(Box::new(Pem { ca: ca.into(), ..Pem::default() }));
            let tls = Tls { name: name.map(Into::into), verify: true, says_end: true };
            let way = Some(Box::new(Way { tls: Some(tls), ..Way::default() }));
            let conn = bench.name();
            let mut inbox = VecDeque::new();
            bench.streams.apply(&mut bench.ring, ConnFx::Connect { conn, to: Peer::Tcp(to), way }, &mut inbox);
            let heard = match inbox.pop_front() {
                None => bench.one(conn),
                Some(Event::Conn { what: Stream::Broken(why), .. }) => {
                    Heard::Broken(String::from_utf8_lossy(why).into_owned())
                }
                Some(other) => panic!("{other:?}"),
            };
            match heard {
                Heard::Connected => assert_eq!(why, ""),
                Heard::Broken(is) => {
                    assert!(!why.is_empty() && format!("TLS: {is}").starts_with(why), "{is}, not {why}")
                }
                other => panic!("{other:?}"),
            }
            bench.streams.close(&mut bench.ring, conn);
            bench.settled();
            // A server without a connection waits for one.
            drop(std::net::TcpStream::connect(to));
            assert_eq!(server.join().unwrap(), None);
        }
    }
}

#[test]
fn what_is_no_tls_is_named() {
    for (says, why) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "received corrupt message of type InvalidContentType"),
        (b"\x15\x03\x03\0\x02\x02\x28", "received fatal alert: "),
        (b"\x16\x03\x03\xff\xff", "received corrupt message of type "),
        (b"", "closed within the handshake"),
    ] {
        let Some(mut bench) = Bench::new() else { return };
        let (listener, to) = tcp();
        let conn = bench.name();
        let way = Way { tls: Some(Tls::default()), ..Way::default() };
        assert_eq!(bench.streams.connect(&mut bench.ring, conn, &to, Some(&way)), Ok(()));
        // The ring connects while it is waited for.
        bench.ring.submit().unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(says).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let Heard::Broken(is) = bench.one(conn) else { panic!("it is no TLS") };
        assert!(is.starts_with(why), "{is}");
        bench.settled();
        assert!(bench.streams.is_empty());
    }
}
