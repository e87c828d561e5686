//! The bench: checks with a virtual clock, and servers whose answers the test gives.

use kalived::child::{self, Children};
use kalived::config::model::Config;
use kalived::config::model::check::{Check, CheckKind, HttpCheck, Url};
use kalived::config::model::lvs::{RealServer, VirtualServer};
use kalived::conn::{self, Conns};
use kalived::effect::{ConnFx, Effect, Effects, GuardFx, HelperFx, Peer, Way};
use kalived::event::{ChildEnd, Errno, Stream};
use kalived::id::{Arena, ChildKey, ConnKey, RsKey, ServerMark, WatchKey};
use kalived::lvs::check::{CheckOut, CheckSpec, Checks, Cx, Wanted, alpha};
use kalived::time::{Duration, Instant, Now, Wall};
use kalived::timers::{Due, Timers};
use kalived::watch::{self, Watches};
use std::collections::BTreeMap;

pub const S: Duration = Duration::from_secs(1);
pub const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// What a server does on a connection.
#[derive(Clone, Debug)]
pub enum Does {
    /// Opens it, and sends nothing.
    Accepts,
    /// Does not open it.
    Refuses(i32),
    /// Its TLS breaks.
    Breaks(&'static [u8]),
    /// Never answers.
    Hangs,
    /// After a request, these pieces, each after this time; then the given end.
    Says(Vec<(Duration, Vec<u8>)>, Then),
    /// As `Says`, without a request.
    Greets(Vec<(Duration, Vec<u8>)>, Then),
    /// After each message that it receives, the next of these.
    Answers(Vec<Vec<u8>>),
}

#[derive(Clone, Copy, Debug)]
pub enum Then {
    Closes,
    Resets,
    Waits,
}

#[derive(Clone, Debug)]
enum Happens {
    Connected,
    Data(Vec<u8>),
    End,
    Failed(i32),
    Broken(&'static [u8]),
}

pub struct Bench {
    pub now: Instant,
    pub checks: Checks,
    pub timers: Timers,
    fx: Effects,
    children: Children,
    conns: Conns,
    watches: Watches,
    pub servers: Arena<ServerMark, ()>,
    /// Of each address; others hang.
    pub does: BTreeMap<String, Does>,
    events: BTreeMap<(Instant, u64), (ConnKey, Happens)>,
    number: u64,
    live: BTreeMap<ConnKey, (String, bool, usize)>,
    /// Changes, with their times.
    pub outs: Vec<(Instant, CheckOut)>,
    pub notes: Vec<(Instant, String)>,
    /// Requested connections.
    pub opened: Vec<(Instant, ConnKey, Peer, Option<Box<Way>>)>,
    /// Sent bytes, with the address.
    pub said: Vec<(String, Vec<u8>)>,
    pub children_of: Vec<(Instant, ChildKey, Vec<String>)>,
    pub kills: Vec<(Instant, ChildKey, bool)>,
    pub watched: Vec<(WatchKey, String)>,
    pub unwatched: usize,
    /// Most connections that were open at once, and turns of `Due::Checks`.
    pub most: usize,
    pub turns: u64,
}

impl Bench {
    pub fn new() -> Bench {
        Bench {
            now: Instant(1_000_000_000),
            checks: Checks::default(),
            timers: Timers::default(),
            fx: Effects::default(),
            children: Children::default(),
            conns: Conns::default(),
            watches: Watches::default(),
            servers: Arena::default(),
            does: BTreeMap::new(),
            events: BTreeMap::new(),
            number: 0,
            live: BTreeMap::new(),
            outs: Vec::new(),
            notes: Vec::new(),
            opened: Vec::new(),
            said: Vec::new(),
            children_of: Vec::new(),
            kills: Vec::new(),
            watched: Vec::new(),
            unwatched: 0,
            most: 0,
            turns: 0,
        }
    }
    /// One server with one check, started.
    pub fn of(spec: CheckSpec) -> (Bench, RsKey) {
        let mut b = Bench::new();
        let server = b.servers.insert(());
        b.call(|c, cx| {
            c.start(cx);
            c.set(server, vec![wanted(server, spec)], cx);
        });
        (b, server)
    }
    pub fn call<R>(&mut self, f: impl FnOnce(&mut Checks, &mut Cx<'_>) -> R) -> R {
        let cx = &mut Cx {
            now: Now { mono: self.now, wall: Wall(0) },
            timers: &mut self.timers,
            fx: &mut self.fx,
            children: &mut self.children,
            conns: &mut self.conns,
            watches: &mut self.watches,
        };
        let r = f(&mut self.checks, cx);
        self.apply();
        r
    }
    fn later(&mut self, after: Duration, conn: ConnKey, what: Happens) {
        self.number += 1;
        self.events.insert((self.now + after, self.number), (conn, what));
    }
    fn pieces(&mut self, conn: ConnKey, pieces: &[(Duration, Vec<u8>)], then: Then) {
        let mut after = Duration::ZERO;
        for (wait, bytes) in pieces {
            after += *wait;
            for chunk in bytes.chunks(4096) {
                self.later(after, conn, Happens::Data(chunk.to_vec()));
            }
        }
        match then {
            Then::Closes => self.later(after, conn, Happens::End),
            Then::Resets => self.later(after, conn, Happens::Failed(104)),
            Then::Waits => {}
        }
    }
    fn apply(&mut self) {
        let effects: Vec<Effect> = self.fx.drain().collect();
        for e in effects {
            match e {
                Effect::Conn(ConnFx::Connect { conn, to, way }) => {
                    let only = way.as_ref().is_some_and(|w| w.only);
                    let (name, datagrams) = match &to {
                        Peer::Tcp(a) => (a.to_string(), false),
                        Peer::Udp(a) => (a.to_string(), true),
                        Peer::Ping(a) => (a.to_string(), true),
                        Peer::Unix(p) => (p.clone(), false),
                    };
                    self.opened.push((self.now, conn, to, way));
                    match self.does.get(&name).cloned().unwrap_or(Does::Hangs) {
                        Does::Refuses(e) => self.later(ms(0), conn, Happens::Failed(e)),
                        Does::Breaks(why) => self.later(ms(0), conn, Happens::Broken(why)),
                        Does::Hangs if !datagrams => {}
                        Does::Greets(pieces, then) => {
                            self.later(ms(0), conn, Happens::Connected);
                            self.pieces(conn, &pieces, then);
                        }
                        _ => self.later(ms(0), conn, Happens::Connected),
                    }
                    self.live.insert(conn, (name, only, 0));
                    self.most = self.most.max(self.live.len());
                }
                Effect::Conn(ConnFx::Write { conn, bytes }) => {
                    let Some((name, _, n)) = self.live.get_mut(&conn) else { panic!("said on nothing") };
                    let (name, told) = (name.clone(), *n);
                    *n += 1;
                    match self.does.get(&name).cloned() {
                        Some(Does::Says(pieces, then)) if told == 0 => self.pieces(conn, &pieces, then),
                        Some(Does::Answers(all)) => match all.get(told) {
                            Some(answer) => self.later(ms(0), conn, Happens::Data(answer.clone())),
                            None => self.later(ms(0), conn, Happens::End),
                        },
                        _ => {}
                    }
                    self.said.push((name, bytes.to_vec()));
                }
                Effect::Conn(ConnFx::Close { conn }) => {
                    assert!(self.live.remove(&conn).is_some(), "closed twice");
                    self.events.retain(|_, (c, _)| *c != conn);
                }
                Effect::Note(note) => self.notes.push((self.now, note.text)),
                Effect::Guard(GuardFx::Spawn { child, spec }) => self.children_of.push((self.now, child, spec.argv)),
                Effect::Guard(GuardFx::Kill { child, hard }) => self.kills.push((self.now, child, hard)),
                Effect::Helper(HelperFx::WatchFile { watch, path }) => self.watched.push((watch, path)),
                Effect::Helper(HelperFx::Unwatch { .. }) => self.unwatched += 1,
                other => panic!("{other:?}"),
            }
        }
    }
    fn take(&mut self, out: Vec<CheckOut>) {
        let now = self.now;
        self.outs.extend(out.into_iter().map(|o| (now, o)));
    }
    /// Until then.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let due = self.timers.next().map(|(at, _)| at);
            let event = self.events.keys().next().map(|(at, _)| *at);
            let Some(next) = [due, event].into_iter().flatten().min().filter(|at| *at <= end) else { break };
            self.now = next.max(self.now);
            if event.is_some_and(|at| at <= self.now) {
                let Some((_, (conn, what))) = self.events.pop_first() else { continue };
                self.hear(conn, what);
                continue;
            }
            let Some((_, due)) = self.timers.pop(self.now) else { continue };
            assert_eq!(due, Due::Checks);
            self.turns += 1;
            let out = self.call(|c, cx| c.on_due(cx));
            self.take(out);
        }
        self.now = end;
        self.checks.check_invariants(&self.timers);
    }
    fn hear(&mut self, conn: ConnKey, what: Happens) {
        let Some((_, only, _)) = self.live.get(&conn) else { return };
        let only = *only;
        let Some(conn::For::Lvs(check)) = self.conns.whose(conn) else { panic!("whose?") };
        if matches!(what, Happens::Failed(_) | Happens::Broken(_)) {
            self.conns.forget(conn);
        }
        if matches!(what, Happens::Failed(_) | Happens::Broken(_)) || only {
            self.live.remove(&conn);
        }
        let out = self.call(|c, cx| {
            let what = match &what {
                Happens::Connected => Stream::Connected,
                Happens::Data(bytes) => Stream::Data(bytes),
                Happens::End => Stream::End,
                Happens::Failed(e) => Stream::Failed(Errno(*e)),
                Happens::Broken(why) => Stream::Broken(why),
            };
            c.on_stream(check, conn, what, cx)
        });
        self.take(out);
    }
    /// The program that was started last ends.
    pub fn exits(&mut self, end: ChildEnd) {
        let child = self.children_of.last().expect("a program").1;
        let Some(child::For::Lvs(check)) = self.children.end(child) else { panic!("whose?") };
        let out = self.call(|c, cx| c.on_exit(check, end, cx));
        self.take(out);
    }
    /// The file that was watched last has this content.
    pub fn file(&mut self, result: Result<&[u8], Errno>) {
        let watch = self.watched.last().expect("a watch").0;
        let Some(watch::For::Lvs(check)) = self.watches.whose(watch) else { panic!("whose?") };
        let out = self.call(|c, cx| c.on_read(check, watch, result, cx));
        self.take(out);
    }
    /// `(milliseconds since the bench began, up)`.
    pub fn verdicts(&self) -> Vec<(u64, bool)> {
        let since = |at: Instant| (at.0 - 1_000_000_000) / 1_000_000;
        self.outs.iter().filter_map(|(at, o)| Some((since(*at), o.up?))).collect()
    }
    pub fn logged(&self, text: &str) -> usize {
        self.notes.iter().filter(|(_, n)| n.contains(text)).count()
    }
    pub fn words(&self, server: RsKey) -> String {
        self.checks.views(server).iter().map(|(_, v)| v.words.to_owned()).collect::<Vec<_>>().join("; ")
    }
    pub fn up(&self, server: RsKey) -> Option<bool> {
        self.checks.standing(server).up
    }
    pub fn connections(&self) -> usize {
        self.live.len()
    }
}

pub fn vs() -> VirtualServer {
    VirtualServer::default()
}
pub fn rs(host: u8) -> RealServer {
    RealServer { addr: [10, 77, 0, host].into(), port: 80, ..RealServer::default() }
}
/// A check, on its way into a specification.
pub fn check(kind: CheckKind) -> Check {
    let mut check = Check { kind, ..Check::default() };
    check.pace.delay_loop = Some(S * 2);
    check.pace.delay_before_retry = Some(S);
    check.pace.warmup = Some(Duration::ZERO);
    check.target.connect_timeout = Some(S);
    check
}
pub fn spec(check: &Check) -> CheckSpec {
    CheckSpec::of(&Config::default(), &vs(), &rs(11), check).remove(0)
}
pub fn http(url: Url) -> Check {
    check(CheckKind::Http(Box::new(HttpCheck { urls: vec![url], ..HttpCheck::default() })))
}
pub fn url(path: &str) -> Url {
    Url { path: Some(path.into()), ..Url::default() }
}
pub fn wanted(server: RsKey, spec: CheckSpec) -> Wanted {
    let name = format!("[{}]:tcp:{}", spec.backend.ip(), spec.backend.port()).into();
    let alpha = alpha(&vs(), &rs(11), &Check::default());
    Wanted { server, name, service: "[10.77.1.1]:tcp:80".into(), weight: 10, alpha, spec }
}
