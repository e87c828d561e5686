//! Native checks: a port, a web server, a unix socket, a process; and what a hostile server cannot do.

use crate::bench::*;
use crate::track::tracking;
use kalived::config::model::Config;
use kalived::config::model::setting::Weight;
use kalived::config::model::vrrp::{CheckTarget, VrrpCheck};
use kalived::effect::{ConnFx, Effect, HelperFx, Peer};
use kalived::event::{Errno, Event, HelperEv, Stream};
use kalived::id::ConnKey;
use kalived::time::Duration;
use kalived::vrrp::State;

const S: Duration = Duration::from_secs(1);
const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn tcp() -> CheckTarget {
    CheckTarget::Tcp("192.0.2.1:80".parse().expect("an address"))
}
fn http() -> CheckTarget {
    CheckTarget::Http {
        to: "[2001:db8::1]:8080".parse().expect("an address"),
        host: "www.example.org".into(),
        path: "/health?x=1".into(),
        status: (200, 299),
    }
}
fn check(target: CheckTarget) -> VrrpCheck {
    VrrpCheck { name: "web".into(), target: Some(target), ..VrrpCheck::default() }
}
fn bench(check: VrrpCheck) -> Bench {
    tracking(v2(), Config { checks: vec![check], ..Config::default() })
}

impl Bench {
    /// The connection that was asked for since the last look.
    fn conn(&mut self) -> ConnKey {
        let asked = std::mem::take(&mut self.asked);
        let conns: Vec<_> = asked
            .iter()
            .filter_map(|e| if let Effect::Conn(ConnFx::Connect { conn, .. }) = e { Some(*conn) } else { None })
            .collect();
        assert_eq!(conns.len(), 1, "{asked:?}");
        conns[0]
    }
    fn stream(&mut self, conn: ConnKey, what: Stream<'_>) {
        self.event(Event::Conn { conn, what });
    }
    fn closed(&self) -> usize {
        self.asked.iter().filter(|e| matches!(e, Effect::Conn(ConnFx::Close { .. }))).count()
    }
}

#[test]
fn a_port_that_accepts_is_up_and_each_look_is_a_connection_of_its_own() {
    for (target, peer) in [
        (tcp(), Peer::Tcp("192.0.2.1:80".parse().expect("an address"))),
        (CheckTarget::Unix("/run/app.sock".into()), Peer::Unix("/run/app.sock".into())),
    ] {
        let mut b = bench(VrrpCheck { interval: ms(200), ..check(target) });
        assert_eq!(b.state(), State::Init);
        assert!(matches!(&b.asked[0], Effect::Conn(ConnFx::Connect { to, .. }) if *to == peer), "{:?}", b.asked);
        let first = b.conn();
        b.stream(first, Stream::Connected);
        assert_eq!((b.state(), b.closed(), b.logged("VRRP_Check(web) succeeded")), (State::Backup, 1, 1));
        b.asked.clear();
        b.run(ms(199));
        assert!(b.asked.is_empty());
        b.run(ms(1));
        let second = b.conn();
        assert_ne!(first, second);
        b.stream(first, Stream::Failed(Errno(111)));
        assert_eq!(b.state(), State::Backup, "what comes late from the first is nobody's");
        b.stream(second, Stream::Failed(Errno(111)));
        assert_eq!((b.state(), b.closed()), (State::Fault, 0), "closed already");
        assert_eq!(b.logged("VRRP_Check(web) failed (connection refused (111))"), 1);
        assert_eq!(b.logged("(VI_1) Entering FAULT STATE: due to check web"), 1);
        b.run(ms(200));
        let third = b.conn();
        b.stream(third, Stream::Connected);
        assert_eq!(b.state(), State::Backup);
        assert_eq!(b.logged("VRRP_Check(web)"), 3, "no line per success");
    }
}

#[test]
fn no_answer_in_time_is_a_failure_and_the_next_look_is_on_time() {
    let mut b = bench(VrrpCheck { fall: 3, ..check(tcp()) });
    let conn = b.conn();
    b.stream(conn, Stream::Connected);
    for n in 1..=3 {
        b.asked.clear();
        b.run(S);
        assert_eq!(b.closed(), usize::from(n > 1), "look {n}");
        assert_eq!(b.state(), State::Backup, "look {n}");
        b.conn();
    }
    b.run(S);
    assert_eq!((b.state(), b.logged("failed (no answer within 1.00 s)")), (State::Fault, 1));
    b.run(ms(300));
    let mut b = bench(VrrpCheck { timeout: ms(50), ..check(tcp()) });
    b.conn();
    b.run(ms(50));
    assert_eq!((b.state(), b.closed()), (State::Fault, 1));
    let mut b = bench(VrrpCheck { timeout: S * 3, ..check(tcp()) });
    b.conn();
    b.run(ms(2900));
    assert!(b.asked.is_empty(), "one look at a time");
}

#[test]
fn a_web_server_is_asked_for_its_status_and_for_nothing_more() {
    let mut b = bench(check(http()));
    let conn = b.conn();
    b.stream(conn, Stream::Connected);
    let Some(Effect::Conn(ConnFx::Write { bytes, .. })) = b.asked.first() else { panic!("a request: {:?}", b.asked) };
    assert_eq!(&bytes[..], b"GET /health?x=1 HTTP/1.0\r\nHost: www.example.org\r\nUser-Agent: KeepAliveClient\r\n\r\n");
    b.stream(conn, Stream::Data(b"HTTP/1.1 2"));
    assert_eq!((b.state(), b.closed()), (State::Init, 0));
    b.stream(conn, Stream::Data(b"04 No Content\r\nSer"));
    assert_eq!((b.state(), b.closed()), (State::Backup, 1));
    for (answer, why) in [
        (&b"HTTP/1.1 503 Busy\r\n"[..], "HTTP status 503"),
        (b"SSH-2.0-x\r\n", "no HTTP status line"),
        (b"HTTP/1.1 \xff\xff\xff\r\n", "no HTTP status line"),
    ] {
        b.asked.clear();
        b.run(S);
        let conn = b.conn();
        b.stream(conn, Stream::Connected);
        b.asked.clear();
        b.stream(conn, Stream::Data(answer));
        assert_eq!((b.state(), b.closed()), (State::Fault, 1), "{why}");
        assert_eq!(b.logged(&format!("VRRP_Check(web) failed ({why})")), 1, "{:?}", b.log);
        b.asked.clear();
        b.log.clear();
        b.run(S);
        let conn = b.conn();
        b.stream(conn, Stream::Connected);
        b.stream(conn, Stream::Data(b"HTTP/1.1 200 OK\r\n"));
        assert_eq!(b.state(), State::Backup);
    }
    b.asked.clear();
    b.run(S);
    let conn = b.conn();
    b.stream(conn, Stream::Connected);
    b.stream(conn, Stream::End);
    assert_eq!((b.state(), b.logged("failed (closed without an answer)")), (State::Fault, 1));
}

#[test]
fn a_server_that_never_ends_its_line_is_cut_off() {
    let mut b = bench(check(http()));
    let conn = b.conn();
    b.stream(conn, Stream::Connected);
    b.stream(conn, Stream::Data(b"HTTP/1.1 200 "));
    for _ in 0..4 {
        assert_eq!(b.closed(), 0);
        b.stream(conn, Stream::Data(&[b'x'; 1024]));
    }
    assert_eq!((b.state(), b.closed()), (State::Fault, 1));
    b.stream(conn, Stream::Data(b"more"));
    assert_eq!(b.closed(), 1);
}

#[test]
fn a_process_that_runs_is_up_and_rise_counts_intervals() {
    let target = || CheckTarget::Process(vec!["haproxy".into()]);
    let mut b = bench(check(target()));
    let watch = b.watched()[0];
    assert!(matches!(&b.asked[0], Effect::Helper(HelperFx::WatchProcesses { spec, .. }) if spec.argv == ["haproxy"]));
    for (n, state) in [(1, State::Backup), (0, State::Fault), (7, State::Backup)] {
        b.event(Event::Helper(HelperEv::Processes { watch, result: Ok(n) }));
        assert_eq!(b.state(), state, "at once");
    }
    b.event(Event::Helper(HelperEv::Processes { watch, result: Err(Errno(1)) }));
    assert_eq!((b.state(), b.logged("processes cannot be counted")), (State::Fault, 1));

    let mut b = bench(VrrpCheck { rise: 3, fall: 2, interval: ms(100), ..check(target()) });
    let watch = b.watched()[0];
    b.event(Event::Helper(HelperEv::Processes { watch, result: Ok(0) }));
    assert_eq!(b.state(), State::Fault, "the first is decisive");
    b.event(Event::Helper(HelperEv::Processes { watch, result: Ok(1) }));
    b.run(ms(199));
    assert_eq!(b.state(), State::Fault);
    b.run(ms(1));
    assert_eq!(b.state(), State::Backup, "told, and two intervals later");
    b.event(Event::Helper(HelperEv::Processes { watch, result: Ok(0) }));
    b.run(ms(50));
    b.event(Event::Helper(HelperEv::Processes { watch, result: Ok(1) }));
    b.run(S);
    assert_eq!((b.state(), b.logged("failed")), (State::Backup, 1), "back in time");
}

#[test]
fn weights_and_targets_that_cannot_be() {
    let weighted = VrrpCheck { weight: Weight { weight: -40, reverse: false }, ..check(tcp()) };
    let mut b = bench(weighted);
    let conn = b.conn();
    b.stream(conn, Stream::Failed(Errno(113)));
    assert_eq!((b.state(), b.view().effective_priority), (State::Backup, 60));
    let http = CheckTarget::Http {
        to: "192.0.2.1:80".parse().expect("an address"),
        host: "h\r\nX: y".into(),
        path: "/".into(),
        status: (200, 299),
    };
    for target in
        [Some(CheckTarget::Unix("/x".repeat(60).into())), Some(http), Some(CheckTarget::Process(vec![])), None]
    {
        let b = bench(VrrpCheck { target, ..check(tcp()) });
        assert_eq!((b.state(), b.logged("VRRP_Check(web) cannot run"), b.asked.len()), (State::Fault, 1, 0));
    }
}
