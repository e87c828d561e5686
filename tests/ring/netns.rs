//! Sockets, rtnetlink, signals and exit through the whole interpreter, in a network namespace of each test's own.
//!
//! A test starts itself again under `unshare -n` (with a user namespace where it is not root); the namespace ends with
//! that process, whatever happens in it.

use crate::PATIENCE;
use bytes::Bytes;
use kalived::daemon::exec::Exec;
use kalived::daemon::log::Sink;
use kalived::daemon::{Machine, run};
use kalived::effect::{AddrSpec, AdvertFx, Effect, Effects, NetFx, NetOp, Packets, SockFx, SockSpec};
use kalived::event::{AddrInfo, Errno, Event, Link, NetEv, ReqId, RxMeta, Signal, SockEv};
use kalived::exit::ExitCode;
use kalived::id::{Arena, SockKey, SockMark, VrKey, VrMark};
use kalived::process::line::Target;
use kalived::sys::{clock, ring::Ring, signal};
use kalived::time::{Instant, Now};
use kalived::timers::Due;
use std::process::Command;

const INSIDE: &str = "KALIVED_TEST_NETNS";

/// Whether this process is inside: then the test's body runs. Otherwise runs `test` inside, or prints why not.
pub fn inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let unshare = |args: &[&str]| {
        let mut c = Command::new("unshare");
        c.args(["-r", "-n"]).args(args);
        c
    };
    if !unshare(&["true"]).output().is_ok_and(|o| o.status.success()) {
        println!("skipped: no network namespace can be made here (root, or unprivileged user namespaces)");
        return false;
    }
    if let Err(e) = Ring::<()>::new() {
        println!("skipped: {e}");
        return false;
    }
    let me = std::env::current_exe().unwrap();
    let out = unshare(&[me.to_str().unwrap(), test, "--exact", "--nocapture"]).env(INSIDE, "1").output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{text}\n{}", String::from_utf8_lossy(&out.stderr));
    assert!(text.contains("1 passed"), "the test was not found inside: {text}");
    false
}

fn sh(line: &str) {
    let out = Command::new("sh").args(["-ec", line]).output().unwrap();
    assert!(out.status.success(), "{line}: {}", String::from_utf8_lossy(&out.stderr));
}

/// Two ends of a cable in one namespace; the kernel does not generate addresses.
fn cable() -> (u32, u32) {
    sh("for i in all default; do echo 0 > /proc/sys/net/ipv6/conf/$i/accept_dad || true; done
        ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up
        ip addr add fe80::1/64 dev v0 nodad; ip addr add fe80::2/64 dev v1 nodad");
    (ifindex("v0"), ifindex("v1"))
}

fn ifindex(name: &str) -> u32 {
    let out = Command::new("ip").args(["-o", "link", "show", "dev", name]).output().unwrap();
    String::from_utf8_lossy(&out.stdout).split(':').next().unwrap().trim().parse().unwrap()
}

#[derive(Debug, PartialEq)]
enum Told {
    Ready(SockKey, Result<(), Errno>),
    Datagram(SockKey, RxMeta, Vec<u8>),
    Link(Link),
    Addr(AddrInfo),
    AddrDel(std::net::IpAddr),
    Reply(u64, Result<(), Errno>),
    Lost,
    Begin,
    Synced(bool),
    Other(String),
}

struct Lab {
    exec: Exec,
    fx: Effects,
    told: Vec<Told>,
    deadline: Instant,
    socks: Arena<SockMark, ()>,
    vr: VrKey,
}

impl Lab {
    fn new() -> Lab {
        let sink = Sink::new(Target::Console, true);
        let exec = Exec::new(Ring::new().unwrap(), signal::install().unwrap(), sink, true).unwrap();
        let vr = Arena::<VrMark, ()>::default().insert(());
        let deadline = clock::mono() + PATIENCE;
        Lab { exec, fx: Effects::default(), told: Vec::new(), deadline, socks: Arena::default(), vr }
    }

    fn push(&mut self, e: Effect) {
        self.fx.push(e);
    }

    /// Submits without looking at anything.
    fn submit(&mut self) {
        self.exec.apply(clock::now(), &mut self.fx);
        self.exec.wait(None, None, true).unwrap();
    }

    /// Turns until `enough`.
    fn until(&mut self, enough: impl Fn(&[Told]) -> bool) {
        let now = clock::now();
        self.exec.apply(now, &mut self.fx);
        while !enough(&self.told) {
            assert!(clock::mono() < self.deadline, "it never came: {:#?}", &self.told[self.told.len().min(20)..]);
            self.exec.wait(Some(self.deadline), None, false).unwrap();
            let now = clock::now();
            let told = &mut self.told;
            self.exec.events(now, &mut |e| {
                told.push(match e {
                    Event::Sock(SockEv::Ready { sock, result }) => Told::Ready(sock, result),
                    Event::Sock(SockEv::Datagram { sock, meta, bytes, .. }) => {
                        Told::Datagram(sock, meta, bytes.to_vec())
                    }
                    Event::Net(NetEv::LinkNew(l)) => Told::Link(l),
                    Event::Net(NetEv::AddrNew(a)) => Told::Addr(a),
                    Event::Net(NetEv::AddrDel { addr, .. }) => Told::AddrDel(addr),
                    Event::Net(NetEv::Reply { req, result }) => Told::Reply(req.0, result),
                    Event::Net(NetEv::Lost) => Told::Lost,
                    Event::Net(NetEv::DumpBegin) => Told::Begin,
                    Event::Net(NetEv::Synced { complete }) => Told::Synced(complete),
                    e => Told::Other(format!("{e:?}")),
                });
            });
            self.exec.apply(now, &mut self.fx);
        }
    }

    fn open(&mut self, ifindex: u32, group: &str) -> SockKey {
        let sock = self.socks.insert(());
        self.push(Effect::Sock(SockFx::Open {
            sock,
            spec: SockSpec::Multicast { ifindex, group: group.parse().unwrap(), ah: false },
        }));
        self.until(|t| t.iter().any(|t| matches!(t, Told::Ready(s, _) if *s == sock)));
        // Notifications of the kernel may have come, too.
        let at = self.told.iter().rposition(|t| matches!(t, Told::Ready(..)));
        assert_eq!(at.map(|at| self.told.remove(at)), Some(Told::Ready(sock, Ok(()))));
        sock
    }

    fn send(&mut self, sock: SockKey, packet: Vec<u8>) {
        self.push(Effect::Advert(AdvertFx::Send { vr: self.vr, sock, packets: to_group(packet) }));
    }

    fn datagrams(&self) -> Vec<(SockKey, RxMeta, Vec<u8>)> {
        let of = |t: &Told| if let Told::Datagram(s, m, b) = t { Some((*s, *m, b.clone())) } else { None };
        self.told.iter().filter_map(of).collect()
    }
}

/// An advert to the group of its family.
fn to_group(packet: Vec<u8>) -> Packets {
    let group = if packet[0] >> 4 == 4 { "224.0.0.18" } else { "ff02::12" };
    Packets::one(group.parse().unwrap(), Bytes::from(packet))
}

/// An IPv4 packet of protocol 112 from 192.0.2.9; the kernel fills in the checksum.
fn packet_v4(number: u16) -> Vec<u8> {
    let mut p = vec![0x45, 0xc0, 0, 28, 0, 1, 0, 0, 255, 112, 0, 0, 192, 0, 2, 9, 224, 0, 0, 18];
    p.extend([0x21, 1, 100, 0, 0, 1]);
    p.extend(number.to_be_bytes());
    p
}

fn packet_v6() -> Vec<u8> {
    let mut p = vec![0x60, 0, 0, 0, 0, 8, 112, 255];
    p.extend("fe80::2".parse::<std::net::Ipv6Addr>().unwrap().octets());
    p.extend("ff02::12".parse::<std::net::Ipv6Addr>().unwrap().octets());
    p.extend([0x31, 1, 100, 0, 0, 100, 0, 0]);
    p
}

#[test]
fn packets_of_both_families_arrive_with_what_must_be_checked() {
    if !inside("netns::packets_of_both_families_arrive_with_what_must_be_checked") {
        return;
    }
    let (v0, v1) = cable();
    let mut lab = Lab::new();
    let (rx4, tx4) = (lab.open(v0, "224.0.0.18"), lab.open(v1, "224.0.0.18"));
    let (rx6, tx6) = (lab.open(v0, "ff02::12"), lab.open(v1, "ff02::12"));
    lab.send(tx4, packet_v4(1));
    lab.send(tx6, packet_v6());
    lab.until(|t| t.iter().filter(|t| matches!(t, Told::Datagram(..))).count() >= 2);
    let mut got = lab.datagrams();
    got.sort_by_key(|g| g.0 != rx4);
    // The sender's sockets received none of their own packets: only these two arrived, on the other end.
    assert_eq!(got.len(), 2);
    let (sock, meta, bytes) = &got[0];
    assert_eq!((*sock, meta.src, meta.dst, meta.hop_limit), (rx4, [192, 0, 2, 9].into(), None, None));
    assert_eq!((bytes.len(), bytes[8], bytes[9], &bytes[20..]), (28, 255, 112, &packet_v4(1)[20..]));
    let (sock, meta, bytes) = &got[1];
    assert_eq!((*sock, meta.src), (rx6, "fe80::2".parse().unwrap()));
    assert_eq!((meta.dst, meta.hop_limit), (Some("ff02::12".parse().unwrap()), Some(255)));
    assert_eq!(bytes, &packet_v6()[40..]);
}

#[test]
fn a_flood_past_the_buffers_loses_nothing_that_the_socket_holds() {
    if !inside("netns::a_flood_past_the_buffers_loses_nothing_that_the_socket_holds") {
        return;
    }
    let (v0, v1) = cable();
    let mut lab = Lab::new();
    let (rx, tx) = (lab.open(v0, "224.0.0.18"), lab.open(v1, "224.0.0.18"));
    // More than the 256 buffers while nobody gives any back, less than any socket buffer holds without CAP_NET_ADMIN.
    for i in 0..300 {
        lab.send(tx, packet_v4(i));
    }
    lab.submit();
    lab.until(|t| t.iter().filter(|t| matches!(t, Told::Datagram(..))).count() >= 300);
    let numbers: Vec<u16> = lab
        .datagrams()
        .iter()
        .map(|(s, _, b)| (*s, u16::from_be_bytes([b[26], b[27]])))
        .map(|(s, n)| {
            assert_eq!(s, rx);
            n
        })
        .collect();
    assert_eq!(numbers, (0..300).collect::<Vec<_>>());
    assert!(lab.exec.counters().buffers_out > 0, "the buffers never ran out: this test shows nothing");
}

#[test]
fn a_closed_socket_is_silent_and_lets_go_of_its_fds() {
    if !inside("netns::a_closed_socket_is_silent_and_lets_go_of_its_fds") {
        return;
    }
    let (v0, v1) = cable();
    let mut lab = Lab::new();
    let tx = lab.open(v1, "224.0.0.18");
    let fds = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = fds();
    let old = lab.open(v0, "224.0.0.18");
    // Armed on it: cancelled with it.
    let at = clock::mono() + kalived::time::Duration::from_secs(3600);
    lab.push(Effect::Advert(AdvertFx::At { vr: lab.vr, sock: old, epoch: 1, at, packets: to_group(packet_v4(0)) }));
    lab.submit();
    assert_eq!(fds(), before + 2);
    lab.push(Effect::Sock(SockFx::Close { sock: old }));
    let new = lab.open(v0, "224.0.0.18");
    lab.send(tx, packet_v4(7));
    lab.until(|t| t.iter().any(|t| matches!(t, Told::Datagram(..))));
    assert!(lab.datagrams().iter().all(|d| d.0 == new), "{old:?} was heard of again");
    lab.push(Effect::Sock(SockFx::Close { sock: new }));
    lab.push(Effect::Net(NetFx::Resync)); // something to wait for, after the cancellations
    lab.until(|t| t.contains(&Told::Synced(true)));
    assert_eq!(fds(), before);
    assert!(!lab.told.iter().any(|t| matches!(t, Told::Other(_))), "{:?}", lab.told);
}

fn spec(ifindex: u32, addr: &str, prefix: u8) -> AddrSpec {
    AddrSpec {
        ifindex,
        addr: addr.parse().unwrap(),
        prefix,
        brd: None,
        scope: 0,
        label: None,
        deprecated: false,
        noprefixroute: false,
        flags: 0,
        peer: None,
        tag: kalived::effect::ADDR_PROTO,
        metric: 0,
    }
}

#[test]
fn requests_are_answered_each_and_a_dump_is_links_then_addresses() {
    if !inside("netns::requests_are_answered_each_and_a_dump_is_links_then_addresses") {
        return;
    }
    let (v0, _) = cable();
    let mut lab = Lab::new();
    lab.push(Effect::Net(NetFx::Resync));
    lab.until(|t| t.contains(&Told::Synced(true)));
    assert_eq!(lab.told.first(), Some(&Told::Begin));
    let first_addr = lab.told.iter().position(|t| matches!(t, Told::Addr(_))).unwrap();
    let last_link = lab.told.iter().rposition(|t| matches!(t, Told::Link(_))).unwrap();
    assert!(last_link < first_addr);
    assert!(lab.told.iter().any(|t| matches!(t, Told::Link(l) if l.name == "v0" && l.ifindex == v0 && l.up)));

    // One turn, several slices: every one gets its own answer, and what cannot be is refused by itself.
    lab.told.clear();
    for i in 0..100u64 {
        let s = spec(v0, &format!("10.1.0.{}", i + 1), 24);
        lab.push(Effect::Net(NetFx::Change { req: ReqId(i), op: NetOp::AddrAdd(s) }));
    }
    lab.push(Effect::Net(NetFx::Change { req: ReqId(100), op: NetOp::AddrDel(spec(v0, "10.9.9.9", 32)) }));
    lab.push(Effect::Net(NetFx::Change { req: ReqId(101), op: NetOp::AddrAdd(spec(9999, "10.9.9.9", 32)) }));
    lab.push(Effect::Net(NetFx::Change { req: ReqId(102), op: NetOp::AddrAdd(spec(v0, "2001:db8::1", 64)) }));
    lab.until(|t| t.iter().filter(|t| matches!(t, Told::Reply(..))).count() >= 103);
    let replies: Vec<_> =
        lab.told.iter().filter_map(|t| if let Told::Reply(r, e) = t { Some((*r, *e)) } else { None }).collect();
    let mut expect: Vec<_> = (0..100).map(|i| (i, Ok(()))).collect();
    expect.extend([(100, Err(Errno::EADDRNOTAVAIL)), (101, Err(Errno::ENODEV)), (102, Ok(()))]);
    assert_eq!(replies, expect);
    // The notice comes before the answer: one queue, one order.
    let notice = lab.told.iter().position(|t| matches!(t, Told::Addr(a) if a.addr.to_string() == "10.1.0.1"));
    let answer = lab.told.iter().position(|t| *t == Told::Reply(0, Ok(())));
    assert!(notice.is_some() && notice < answer);

    lab.told.clear();
    lab.push(Effect::Net(NetFx::Change { req: ReqId(103), op: NetOp::AddrDel(spec(v0, "2001:db8::1", 64)) }));
    lab.until(|t| t.contains(&Told::Reply(103, Ok(()))));
    assert!(lab.told.contains(&Told::AddrDel("2001:db8::1".parse().unwrap())));
}

#[test]
fn more_notices_than_buffers_are_all_told() {
    if !inside("netns::more_notices_than_buffers_are_all_told") {
        return;
    }
    let (v0, _) = cable();
    let mut lab = Lab::new();
    lab.push(Effect::Net(NetFx::Resync));
    lab.until(|t| t.contains(&Told::Synced(true)));
    lab.told.clear();
    // More notifications than buffers, while the loop is busy: the rest waits in the socket, and none is lost.
    sh("for i in $(seq 0 599); do echo addr add 10.$((i / 250)).$((i % 250)).1/32 dev v0; done | ip -batch -");
    lab.submit();
    lab.push(Effect::Net(NetFx::Change { req: ReqId(1), op: NetOp::AddrAdd(spec(v0, "10.77.0.1", 32)) }));
    lab.until(|t| t.iter().any(|t| matches!(t, Told::Reply(1, Ok(())))));
    let known = |t: &[Told]| {
        let v4 = |t: &Told| if let Told::Addr(a) = t { Some(a.addr).filter(|a| a.is_ipv4()) } else { None };
        t.iter().filter_map(v4).collect::<std::collections::BTreeSet<_>>().len()
    };
    lab.until(|t| known(t) == 601);
    assert!(!lab.told.contains(&Told::Lost), "nothing was");
}

/// Answers SIGINT by ending, with one advert armed and one frame sent before.
struct Script {
    heard: Vec<String>,
}

impl Machine for Script {
    fn handle(&mut self, _: Now, event: Event<'_>, fx: &mut Effects) {
        self.heard.push(format!("{event:?}"));
        match event {
            Event::Start => {
                let pid = std::process::id();
                sh(&format!("kill -HUP {pid}; kill -INT {pid}"));
                fx.push(Effect::Frames { ifindex: 1, batch: 7, frames: vec![Bytes::from_static(&[0; 60])] });
            }
            Event::Signal(Signal::Int) => fx.push(Effect::Exit(ExitCode::NoConfig)),
            _ => {}
        }
    }
    fn fire(&mut self, _: Now, _: usize, _: &mut Effects) -> bool {
        false
    }
    fn next_deadline(&self) -> Option<(Instant, Due)> {
        None
    }
}

#[test]
fn signals_are_events_and_exit_ends_the_loop_with_its_code() {
    if !inside("netns::signals_are_events_and_exit_ends_the_loop_with_its_code") {
        return;
    }
    let mut lab = Lab::new();
    let mut script = Script { heard: Vec::new() };
    assert_eq!(run(&mut lab.exec, &mut script), ExitCode::NoConfig);
    for signal in [
        // The interface is down (ENETDOWN), and that is reported.
        "Frames { ifindex: 1, batch: 7, sent: 0, errno: Some(Errno(100)) }",
        "Start",
        "Signal(Hup)",
        "Signal(Int)",
    ] {
        assert!(script.heard.iter().any(|h| h == signal), "{signal} in {:?}", script.heard);
    }
}

#[test]
fn adverts_outlive_the_address_and_the_link_that_their_socket_was_connected_by() {
    if !inside("netns::adverts_outlive_the_address_and_the_link_that_their_socket_was_connected_by") {
        return;
    }
    let (v0, v1) = cable();
    let groups = ["224.0.0.18", "ff02::12"];
    let mut lab = Lab::new();
    let rx = groups.map(|g| lab.open(v0, g));
    // One pair of sockets is opened while the link is up and has an address, the other while it is down.
    sh("ip addr add 192.0.2.9/24 dev v1");
    let early = groups.map(|g| lab.open(v1, g));
    sh("ip addr del 192.0.2.9/24 dev v1; ip link set v1 down");
    let late = groups.map(|g| lab.open(v1, g));
    // Down: each send reports it.
    for [v4, v6] in [early, late] {
        lab.send(v4, packet_v4(1));
        lab.send(v6, packet_v6());
    }
    lab.until(|t| t.iter().filter(|t| matches!(t, Told::Other(e) if e.starts_with("Advert(SendFailed"))).count() == 4);
    // Up again without any address of IPv4 and with another one of IPv6: all of them leave, and again armed ones.
    sh("ip link set v1 up; ip addr add fe80::9/64 dev v1 nodad");
    for round in 0..2 {
        lab.told.clear();
        for [v4, v6] in [early, late] {
            if round == 0 {
                lab.send(v4, packet_v4(2));
                lab.send(v6, packet_v6());
            } else {
                let (at, vr) = (clock::mono(), lab.vr);
                let packets = to_group(packet_v4(2));
                lab.push(Effect::Advert(AdvertFx::At { vr, sock: v4, epoch: 1, at, packets }));
                let packets = to_group(packet_v6());
                lab.push(Effect::Advert(AdvertFx::At { vr, sock: v6, epoch: 1, at, packets }));
            }
        }
        let heard = |t: &[Told], s| t.iter().filter(|t| matches!(t, Told::Datagram(k, ..) if *k == s)).count();
        lab.until(|t| rx.iter().all(|s| heard(t, *s) == 2));
        assert!(
            !lab.told.iter().any(|t| matches!(t, Told::Other(e) if e.contains("Err") || e.contains("Failed"))),
            "{:?}",
            lab.told
        );
    }
}
