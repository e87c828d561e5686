//! Health checks against real servers on loopback: nginx with and without TLS, exim, dnsmasq, UDP, ICMP; and one that hangs. The checks,
//! the connections and the ring are those of the daemon; only the World between them is not there.

use crate::{PATIENCE, ring, wait};
use kalived::child::Children;
use kalived::config::model::Config;
use kalived::config::model::check::{
    Check, CheckKind, DnsCheck, DnsType, HttpCheck, HttpProtocol, Regex, UdpCheck, Url,
};
use kalived::config::model::lvs::{RealServer, VirtualServer};
use kalived::conn::{Conns, For};
use kalived::daemon::streams::Streams;
use kalived::daemon::token::Token;
use kalived::effect::{Effect, Effects};
use kalived::event::{Event, Stream};
use kalived::id::{Arena, ConnKey, RsKey, ServerMark};
use kalived::lvs::check::{CheckSpec, Checks, Cx, Wanted};
use kalived::sys::clock;
use kalived::sys::ring::Ring;
use kalived::time::Duration;
use kalived::timers::{Due, Timers};
use kalived::watch::Watches;
use md5::{Digest, Md5};
use std::collections::VecDeque;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

struct Bench {
    ring: Ring<Token>,
    streams: Streams,
    checks: Checks,
    timers: Timers,
    fx: Effects,
    conns: Conns,
    children: Children,
    watches: Watches,
    servers: Arena<ServerMark, ()>,
    inbox: VecDeque<Event<'static>>,
}

impl Bench {
    fn new() -> Option<Bench> {
        let mut b = Bench {
            ring: ring()?,
            streams: Streams::default(),
            checks: Checks::default(),
            timers: Timers::default(),
            fx: Effects::default(),
            conns: Conns::default(),
            children: Children::default(),
            watches: Watches::default(),
            servers: Arena::default(),
            inbox: VecDeque::new(),
        };
        b.call(|c, cx| c.start(cx));
        Some(b)
    }
    fn call<R>(&mut self, f: impl FnOnce(&mut Checks, &mut Cx<'_>) -> R) -> R {
        let cx = &mut Cx {
            now: clock::now(),
            timers: &mut self.timers,
            fx: &mut self.fx,
            children: &mut self.children,
            conns: &mut self.conns,
            watches: &mut self.watches,
        };
        f(&mut self.checks, cx)
    }
    fn hear(&mut self, conn: ConnKey, what: Stream<'_>) {
        let Some(For::Lvs(check)) = self.conns.whose(conn) else { return };
        if matches!(what, Stream::Failed(_) | Stream::Broken(_)) {
            self.conns.forget(conn);
        }
        self.call(|c, cx| c.on_stream(check, conn, what, cx));
    }
    fn turn(&mut self) {
        while self.timers.pop(clock::mono()).is_some_and(|(_, due)| due == Due::Checks) {
            self.call(|c, cx| c.on_due(cx));
        }
        loop {
            let effects: Vec<Effect> = self.fx.drain().collect();
            for e in effects {
                match e {
                    Effect::Conn(fx) => self.streams.apply(&mut self.ring, fx, &mut self.inbox),
                    Effect::Note(note) => println!("{note}"),
                    other => panic!("{other:?}"),
                }
            }
            match self.inbox.pop_front() {
                Some(Event::Conn { conn, what }) => self.hear(conn, what),
                Some(other) => panic!("{other:?}"),
                None if self.fx.is_empty() => break,
                None => {}
            }
        }
        let next = self.timers.next().map_or(PATIENCE, |(at, _)| at.since(clock::mono()));
        if !next.is_zero() {
            wait(&mut self.ring, clock::mono() + next);
        }
        while let Some(done) = self.ring.pop() {
            let Token::Conn(conn, token) = done.tag else { continue };
            let mut heard: Vec<(ConnKey, Kept)> = Vec::new();
            self.streams.on_done(&mut self.ring, conn, token, &done, &mut |e| {
                let Event::Conn { conn, what } = e else { panic!("{e:?}") };
                heard.push((conn, Kept::of(what)));
            });
            for (conn, kept) in heard {
                self.hear(conn, kept.what());
            }
        }
        self.streams.hear(&mut self.ring);
    }
    /// Until the only check of a server at `to` that is such has a verdict, another one than `not`.
    fn verdict(&mut self, to: SocketAddr, kind: CheckKind, change: impl FnOnce(&mut Check)) -> (RsKey, bool, String) {
        let mut check = Check { kind, ..Check::default() };
        check.pace.delay_loop = Some(Duration::from_millis(200));
        check.pace.delay_before_retry = Some(Duration::from_millis(50));
        check.pace.warmup = Some(Duration::ZERO);
        change(&mut check);
        let rs = RealServer { addr: to.ip(), port: to.port(), ..RealServer::default() };
        let spec = CheckSpec::of(&Config::default(), &VirtualServer::default(), &rs, &check).remove(0);
        let server = self.servers.insert(());
        let name = format!("[{}]:tcp:{}", to.ip(), to.port());
        let w = Wanted { server, name: name.into(), service: "x".into(), weight: 1, alpha: false, spec };
        self.call(|c, cx| c.set(server, vec![w], cx));
        let (up, words) = self.until(server, None);
        (server, up, words)
    }
    fn until(&mut self, server: RsKey, not: Option<bool>) -> (bool, String) {
        let deadline = clock::mono() + PATIENCE;
        loop {
            let up = self.checks.standing(server).up;
            if let Some(is) = up.filter(|_| up != not) {
                let words = self.checks.views(server).first().map(|(_, v)| v.words.to_owned());
                return (is, words.unwrap_or_default());
            }
            assert!(clock::mono() < deadline, "no verdict");
            self.turn();
        }
    }
}

// A received event, without a reference to its buffer.
enum Kept {
    Plain(Stream<'static>),
    Data(Vec<u8>),
    Broken(Vec<u8>),
}

impl Kept {
    fn of(what: Stream<'_>) -> Kept {
        match what {
            Stream::Data(b) => Kept::Data(b.to_vec()),
            Stream::Broken(b) => Kept::Broken(b.to_vec()),
            Stream::Connected => Kept::Plain(Stream::Connected),
            Stream::End => Kept::Plain(Stream::End),
            Stream::Failed(e) => Kept::Plain(Stream::Failed(e)),
        }
    }
    fn what(&self) -> Stream<'_> {
        match self {
            Kept::Plain(what) => *what,
            Kept::Data(b) => Stream::Data(b),
            Kept::Broken(b) => Stream::Broken(b),
        }
    }
}

// A server that is killed with the test.
struct Server {
    child: Child,
    dir: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        // nginx's master process ends its workers; one that is killed leaves them.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

// A server of the test.
fn thread<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> std::thread::JoinHandle<T> {
    std::thread::Builder::new().spawn(f).unwrap()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn pem(what: &str, der: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in der.chunks(3) {
        let n = group.iter().chain([&0, &0]).take(3).fold(0usize, |n, b| n << 8 | usize::from(*b));
        for i in 0..4 {
            text.push(if i <= group.len() { char::from(DIGITS[n >> (18 - 6 * i) & 63]) } else { '=' });
        }
    }
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|l| String::from_utf8_lossy(l).into_owned()).collect();
    format!("-----BEGIN {what}-----\n{}\n-----END {what}-----\n", lines.join("\n"))
}

/// nginx: a page in the clear and one by TLS, the latter for one name only.
fn nginx() -> Option<(Server, SocketAddr, SocketAddr)> {
    const NGINX: &str = "/usr/sbin/nginx";
    if !Path::new(NGINX).exists() {
        println!("skipped: no nginx");
        return None;
    }
    let dir = std::env::temp_dir().join(format!("kalived-checks-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("www")).unwrap();
    std::fs::write(dir.join("www/page"), "status: 42\n").unwrap();
    std::fs::write(dir.join("cert"), pem("CERTIFICATE", include_bytes!("tls-cert.der"))).unwrap();
    std::fs::write(dir.join("key"), pem("PRIVATE KEY", include_bytes!("tls-key.der"))).unwrap();
    let (clear, tls) = (free_port(), free_port());
    let d = dir.display();
    let conf = format!(
        "daemon off; pid {d}/pid; error_log {d}/error; worker_processes 1; user root;\nevents {{}}\nhttp {{\n\
         access_log off; client_body_temp_path {d}/b; proxy_temp_path {d}/p; fastcgi_temp_path {d}/f;\n\
         uwsgi_temp_path {d}/u; scgi_temp_path {d}/s; root {d}/www; ssl_certificate {d}/cert; ssl_certificate_key {d}/key;\n\
         server {{ listen 127.0.0.1:{clear}; location /busy {{ return 503; }} }}\n\
         server {{ listen 127.0.0.1:{tls} ssl default_server; ssl_reject_handshake on; }}\n\
         server {{ listen 127.0.0.1:{tls} ssl; server_name www.example.org; }}\n}}\n"
    );
    std::fs::write(dir.join("conf"), conf).unwrap();
    let child = Command::new(NGINX)
        .args(["-e", &format!("{d}/error"), "-c", &format!("{d}/conf")])
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let server = Server { child, dir };
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let deadline = clock::mono() + PATIENCE;
    while std::net::TcpStream::connect(at(tls)).is_err() {
        assert!(clock::mono() < deadline, "nginx does not listen");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    Some((server, at(clear), at(tls)))
}

fn get(path: &str, f: impl FnOnce(&mut HttpCheck, &mut Url)) -> HttpCheck {
    let mut url = Url { path: Some(path.into()), ..Url::default() };
    let mut block = HttpCheck::default();
    f(&mut block, &mut url);
    block.urls = vec![url];
    block
}

#[test]
fn nginx_in_the_clear_and_by_tls() {
    let Some(mut b) = Bench::new() else { return };
    let Some((server, clear, tls)) = nginx() else { return };
    for version in [HttpProtocol::V10, HttpProtocol::V10C, HttpProtocol::V11] {
        let page = get("/page", |block, url| {
            block.http_protocol = version;
            url.digest = Some(Md5::digest(b"status: 42\n").into());
            url.regex = Some(Box::new(Regex { pattern: Some("status: \\d+".into()), ..Regex::default() }));
        });
        let (_, up, words) = b.verdict(clear, CheckKind::Http(Box::new(page)), |_| ());
        assert_eq!((up, &*words), (true, "HTTP 200"), "{version:?}");
    }
    let busy = get("/busy", |_, _| ());
    let (_, up, words) = b.verdict(clear, CheckKind::Http(Box::new(busy)), |_| ());
    assert_eq!((up, &*words), (false, "HTTP 503 for /busy"));
    let named = |name: Option<&str>| {
        CheckKind::Ssl(Box::new(get("/page", |block, _| block.virtualhost = name.map(Into::into))))
    };
    let (page, up, words) = b.verdict(tls, named(Some("www.example.org")), |_| ());
    assert_eq!((up, &*words), (true, "HTTP 200"));
    let (_, up, words) = b.verdict(tls, named(Some("other.example.org")), |_| ());
    assert_eq!((up, words.starts_with("TLS: received fatal alert: Unrecog")), (false, true), "{words}");
    // TLS to a server that speaks none, and the other way round.
    let (_, up, words) = b.verdict(clear, named(None), |_| ());
    assert_eq!((up, words.starts_with("TLS: received corrupt message")), (false, true), "{words}");
    let plain = get("/page", |_, _| ());
    let (_, up, words) = b.verdict(tls, CheckKind::Http(Box::new(plain)), |_| ());
    assert_eq!((up, &*words), (false, "HTTP 400 for /page"));
    let (port, up, _) = b.verdict(clear, CheckKind::Tcp, |_| ());
    assert!(up);
    drop(server);
    let (up, words) = b.until(port, Some(true));
    assert_eq!((up, &*words), (false, "connection refused (111)"));
    let (up, words) = b.until(page, Some(true));
    assert_eq!((up, &*words), (false, "connection refused (111)"));
}

/// A directory for a server of this name, which other users may read.
fn directory(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("kalived-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

/// A daemon that stays in the foreground and is killed with the test.
fn daemon(dir: &Path, program: &str, args: &[&str]) -> Server {
    let child = Command::new(program).args(args).stdout(Stdio::null()).spawn().unwrap();
    Server { child, dir: dir.to_owned() }
}

// exim wants to start as root, because it runs as its own user.
const EXIM: &str = "/usr/sbin/exim4";

/// exim, which greets at the first port and refuses every client at the second one.
fn exim(dir: &Path, greets: SocketAddr, refuses: SocketAddr) -> Server {
    let (d, a, b) = (dir.display(), greets.port(), refuses.port());
    let conf = format!(
        "primary_hostname = mail.example.org\nspool_directory = {d}/spool\nlog_file_path = {d}/spool/%slog\npid_file_path = {d}/pid\n\
         local_interfaces = <; 127.0.0.1.{a} ; 127.0.0.1.{b}\nacl_smtp_connect = connect\nbegin acl\nconnect:\n  \
         deny condition = ${{if eq{{$received_port}}{{{b}}}}}\n       message = not for you\n  accept\n"
    );
    std::fs::write(dir.join("conf"), conf).unwrap();
    let spool = dir.join("spool");
    std::fs::create_dir_all(&spool).unwrap();
    // Its log is written by its user.
    std::fs::set_permissions(&spool, std::fs::Permissions::from_mode(0o777)).unwrap();
    daemon(dir, EXIM, &["-bdf", "-C", &format!("{d}/conf")])
}

#[test]
fn exim_greets_refuses_is_stopped_and_comes_back() {
    let Some(mut b) = Bench::new() else { return };
    if !Path::new(EXIM).exists() || !std::fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0) {
        println!("skipped: no exim, or not root");
        return;
    }
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let (greets, refuses) = (at(free_port()), at(free_port()));
    let smtp = || CheckKind::Smtp(Box::default());
    // Nobody listens yet: the first result is a failure, and the server comes up when exim does.
    let (one, up, words) = b.verdict(greets, smtp(), |_| ());
    assert_eq!((up, &*words), (false, "connection refused (111)"));
    let dir = directory("exim");
    let server = exim(&dir, greets, refuses);
    assert_eq!(b.until(one, Some(false)), (true, "SMTP 250".into()));
    let (_, up, words) = b.verdict(refuses, smtp(), |_| ());
    assert_eq!((up, &*words), (false, "greeting: 550 not for you"));
    drop(server);
    assert_eq!(b.until(one, Some(true)), (false, "connection refused (111)".into()));
    let _server = exim(&directory("exim"), greets, refuses);
    assert_eq!(b.until(one, Some(false)), (true, "SMTP 250".into()));
}

const DNSMASQ: &str = "/usr/sbin/dnsmasq";

/// dnsmasq with one name of example.org, and no other server to ask.
fn dnsmasq(dir: &Path, at: SocketAddr) -> Server {
    let conf = format!(
        "port={}\nlisten-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\nno-poll\nuser=\npid-file=\n\
         local=/example.org/\nhost-record=www.example.org,192.0.2.1\n",
        at.port()
    );
    std::fs::write(dir.join("conf"), conf).unwrap();
    daemon(dir, DNSMASQ, &["--keep-in-foreground", &format!("--conf-file={}/conf", dir.display())])
}

#[test]
fn dnsmasq_answers_denies_is_stopped_and_comes_back() {
    let Some(mut b) = Bench::new() else { return };
    if !Path::new(DNSMASQ).exists() {
        println!("skipped: no dnsmasq");
        return;
    }
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let dns = |name: &str| CheckKind::Dns(Box::new(DnsCheck { name: name.into(), query: DnsType::A }));
    let (www, up, words) = b.verdict(at, dns("www.example.org"), |_| ());
    assert_eq!((up, &*words), (false, "connection refused (111)"));
    let dir = directory("dnsmasq");
    let server = dnsmasq(&dir, at);
    assert_eq!(b.until(www, Some(false)), (true, "NOERROR".into()));
    let (_, up, words) = b.verdict(at, dns("absent.example.org"), |_| ());
    assert_eq!((up, &*words), (false, "DNS NXDOMAIN (rcode = 3)"));
    let (_, up, words) = b.verdict(at, dns("example.net"), |_| ());
    assert_eq!((up, &*words), (false, "DNS REFUSED (rcode = 5)"));
    drop(server);
    assert_eq!(b.until(www, Some(true)), (false, "connection refused (111)".into()));
    let _server = dnsmasq(&directory("dnsmasq"), at);
    assert_eq!(b.until(www, Some(false)), (true, "NOERROR".into()));
}

#[test]
fn mail_datagrams_and_echo() {
    let Some(mut b) = Bench::new() else { return };
    let mail = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = mail.local_addr().unwrap();
    let server = thread(move || {
        let (mut s, _) = mail.accept().unwrap();
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(s.try_clone().unwrap()));
        s.write_all(b"220-lab\r\n220 ready\r\n").unwrap();
        let helo = lines.next().unwrap().unwrap();
        s.write_all(b"250 fine\r\n").unwrap();
        let quit = lines.next().unwrap().unwrap();
        s.write_all(b"221 bye\r\n").unwrap();
        (helo, quit)
    });
    let (one, up, words) = b.verdict(to, CheckKind::Smtp(Box::default()), |_| ());
    assert_eq!((up, &*words), (true, "SMTP 250"));
    b.call(|c, cx| c.set(one, Vec::new(), cx));
    assert_eq!(server.join().unwrap(), ("HELO smtpchecker.keepalived.org".into(), "QUIT".into()));

    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = udp.local_addr().unwrap();
    let server = thread(move || {
        let mut buf = [0; 64];
        let (n, peer) = udp.recv_from(&mut buf).unwrap();
        udp.send_to(b"\x01reply", peer).unwrap();
        n
    });
    let want = CheckKind::Udp(Box::new(UdpCheck { require_reply: Some(vec![(1, 255)]), ..UdpCheck::default() }));
    let (one, up, words) = b.verdict(to, want.clone(), |_| ());
    assert_eq!((up, &*words, server.join().unwrap()), (true, "replied as required", 32));
    let (up, words) = b.until(one, Some(true));
    assert_eq!((up, &*words), (false, "connection refused (111)"), "its port is closed now");

    for to in ["127.0.0.1:0", "[::1]:0"] {
        let (_, up, words) = b.verdict(to.parse().unwrap(), CheckKind::Ping, |_| ());
        match &*words {
            "on this host: operation not permitted (1)" => println!("skipped: {words}"),
            _ => assert_eq!((up, &*words), (true, "echo reply")),
        }
    }
}

#[test]
fn a_server_that_hangs_costs_its_time_and_no_more() {
    let Some(mut b) = Bench::new() else { return };
    let hangs = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = hangs.local_addr().unwrap();
    let page = CheckKind::Http(Box::new(get("/", |_, _| ())));
    let (one, up, words) = b.verdict(to, page, |c| c.target.connect_timeout = Some(Duration::from_millis(100)));
    assert_eq!((up, &*words), (false, "no answer within 100.0 ms"));
    b.call(|c, cx| c.set(one, Vec::new(), cx));
    let (_, up, words) = b.verdict(to, CheckKind::Tcp, |c| c.target.bindto = Some([192, 0, 2, 77].into()));
    assert_eq!((up, &*words), (false, "on this host: address not available (99)"), "trap 84");
}
