//! BFD with FRR's bfdd and Debian's keepalived: single hop and multihop, both families, and what each side sees of the other's death.
//!
//! Read first: `../lab/mod.rs`. Order is asserted, of log lines and of captured packets; no time is. Intervals of 100 ms and a Detect Mult of
//! 10: a loaded machine loses no session by itself.

use crate::lab::capture::{Bfd, Capture};
use crate::lab::daemon::{Daemon, Program, executable, stand_in};
use crate::lab::{Host, Lab, Owned, have, skip, until, until_true};
use std::process::Stdio;

const DOWN: u8 = 1;
const UP: u8 = 3;

/// A session: its name, the addresses of both, and whether a router is between them.
struct Session {
    name: &'static str,
    a: &'static str,
    b: &'static str,
    multihop: bool,
}

const SESSIONS: [Session; 4] = [
    Session { name: "single4", a: "198.18.0.20", b: "198.18.0.30", multihop: false },
    Session { name: "single6", a: "2001:db8:12::20", b: "2001:db8:12::30", multihop: false },
    Session { name: "multi4", a: "198.51.100.20", b: "198.51.100.30", multihop: true },
    Session { name: "multi6", a: "2001:db8:51::20", b: "2001:db8:51::30", multihop: true },
];

/// keepalived's text of the sessions as end a has them, or end b.
fn blocks(sessions: &[Session], at_a: bool, more: &str) -> String {
    let block = |s: &Session| {
        let (own, peer) = if at_a { (s.a, s.b) } else { (s.b, s.a) };
        let multihop = if s.multihop { "\n    multihop" } else { "" };
        format!(
            "bfd_instance {} {{\n    neighbor_ip {peer}\n    source_ip {own}\n    min_rx 100\n    min_tx 100\n    \
             multiplier 10{multihop}\n{more}}}\n",
            s.name
        )
    };
    sessions.iter().map(block).collect()
}

/// What kalived runs: the sessions, and a virtual router that tracks the first.
fn ours(sessions: &[Session]) -> String {
    let vrrp = "vrrp_instance VI_1 {\n    state BACKUP\n    interface eth0\n    virtual_router_id 51\n    priority 100\n    \
        version 3\n    advert_int 0.2\n    virtual_ipaddress {\n        198.18.0.100\n    }\n    track_bfd {\n        single4\n    }\n}\n";
    blocks(sessions, true, "") + vrrp
}

/// Two hosts on a LAN, and a router between their further addresses.
fn net(lab: &Lab) -> (Host, Host, Host) {
    let (a, r, b) = (lab.host("a", 20), lab.host("r", 25), lab.host("b", 30));
    r.script(
        "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.send_redirects=0 \
           net.ipv4.conf.eth0.send_redirects=0
         ip route add 198.51.100.20 via 198.18.0.20; ip route add 198.51.100.30 via 198.18.0.30
         ip route add 2001:db8:51::20 via 2001:db8:12::20; ip route add 2001:db8:51::30 via 2001:db8:12::30",
    );
    for (host, own, peer) in [(&a, 20, 30), (&b, 30, 20)] {
        host.script(&format!(
            "ip link set lo up
             sysctl -qw net.ipv4.conf.all.accept_redirects=0 net.ipv4.conf.eth0.accept_redirects=0 \
               net.ipv6.conf.all.accept_redirects=0 net.ipv6.conf.eth0.accept_redirects=0
             ip addr add 198.51.100.{own}/32 dev lo; ip addr add 2001:db8:51::{own}/128 dev lo nodad
             ip route add 198.51.100.{peer} via 198.18.0.25; ip route add 2001:db8:51::{peer} via 2001:db8:12::25"
        ));
    }
    (a, r, b)
}

/// FRR's zebra and bfdd on a host.
struct Frr {
    zebra: Owned,
    bfdd: Owned,
}

/// Where Debian has them.
const FRR: &str = "/usr/lib/frr";

impl Frr {
    /// `None`, and said: it cannot run here.
    fn start(test: &str, lab: &Lab, host: &Host) -> Option<Frr> {
        let dir = lab.path("frr");
        std::fs::create_dir(&dir).expect("the lab's directory is writable");
        let mut conf = String::from("bfd\n");
        for s in &SESSIONS {
            let how = if s.multihop { "multihop" } else { "interface eth0" };
            let place = match s.multihop {
                true => format!("{how} local-address {}", s.b),
                false => format!("local-address {} {how}", s.b),
            };
            conf += &format!(
                " peer {} {place}\n  detect-multiplier 10\n  receive-interval 100\n  transmit-interval 100\n",
                s.a
            );
        }
        std::fs::write(dir.join("bfdd.conf"), conf).expect("the lab's directory is writable");
        let owned = host.command("chown").args(["-R", "frr:frr"]).arg(&dir).stderr(Stdio::null()).status();
        // It gives up root for this user, whose files these are; in a user namespace there is no such user.
        let reachable = host.command("chmod").arg("0711").arg(dir.parent().expect("it is in a directory")).status();
        if !owned.is_ok_and(|s| s.success()) || !reachable.is_ok_and(|s| s.success()) {
            skip(test, "the user frr cannot own a directory here");
            return None;
        }
        let at = |name: &str| dir.join(name).display().to_string();
        let start = |program: &str, more: &[&str]| {
            let log = std::fs::File::create(lab.path(&format!("{program}.log"))).expect("writable");
            let child = host
                .command(&format!("{FRR}/{program}"))
                .args(["-z", &at("z.sock"), "--vty_socket", &dir.display().to_string(), "-A", "127.0.0.1", "-P", "0"])
                .args(["-i", &at(&format!("{program}.pid"))])
                .args(more)
                .stdout(log.try_clone().expect("a file handle can be cloned"))
                .stderr(log)
                .spawn()
                .expect("it is installed");
            Owned(child)
        };
        let zebra = start("zebra", &[]);
        until_true("zebra listens", || dir.join("z.sock").exists());
        let bfdd = start("bfdd", &["--bfdctl", &at("bfdd.sock"), "-f", &at("bfdd.conf"), "--log", "stdout"]);
        Some(Frr { zebra, bfdd })
    }

    /// Dies without a word.
    fn kill9(mut self) {
        for child in [&mut self.bfdd, &mut self.zebra] {
            child.0.kill().expect("it runs");
            child.0.wait().expect("it runs no more");
        }
    }
}

fn up(daemon: &Daemon, sessions: &[Session], times: usize) {
    for s in sessions {
        let line = format!("({}) Entering Up state", s.name);
        until_true(&format!("{line} {times} times"), || daemon.lines_with(&line).len() >= times);
    }
}

/// The packets of one session in order, ours as `true`.
fn of(wire: &Capture, s: &Session) -> Vec<(bool, Bfd)> {
    let (a, b): (std::net::IpAddr, std::net::IpAddr) =
        (s.a.parse().expect("an address"), s.b.parse().expect("an address"));
    let all = wire.frames().into_iter().filter_map(|f| f.bfd());
    all.filter(|p| (p.src, p.dst) == (a, b) || (p.src, p.dst) == (b, a)).map(|p| (p.src == a, p)).collect()
}

/// What every packet of ours must be.
fn well_formed(wire: &Capture, sessions: &[Session]) {
    for s in sessions {
        let ours: Vec<Bfd> = of(wire, s).into_iter().filter(|(own, _)| *own).map(|(_, p)| p).collect();
        assert!(!ours.is_empty(), "{}", s.name);
        let ports: std::collections::BTreeSet<u16> = ours.iter().map(|p| p.sport).collect();
        assert!(ports.len() == 1 && ports.iter().all(|p| *p >= 49152), "{}: RFC 5881 section 4: {ports:?}", s.name);
        for p in &ours {
            assert_eq!((p.ttl, p.dport), (255, if s.multihop { 4784 } else { 3784 }), "{}: {p:?}", s.name);
            assert!(!(p.poll && p.fin), "{}: {p:?}", s.name);
            assert!(p.state == UP || p.min_tx >= 1_000_000, "{}: RFC 5880 section 6.8.3: {p:?}", s.name);
        }
    }
}

/// After the peer's last packet ours say Up for as long as ten of its packets take at most, then Down for the time that expired.
fn fell(wire: &Capture, s: &Session) {
    let (last, after) = until(&format!("{} is lost", s.name), || {
        let all = of(wire, s);
        let last = all.iter().rposition(|(own, _)| !own)?;
        let after: Vec<Bfd> = all[last..].iter().skip(1).map(|(_, p)| *p).collect();
        after.iter().any(|p| p.state == DOWN).then(|| (all[last].1, after))
    });
    let ups = after.iter().take_while(|p| p.state == UP).count();
    let down = after[ups];
    // A second of silence: 13 packets of ours where each interval is reduced by a quarter, and one on its way.
    assert!(ups <= 14, "{}: {ups} packets of ours before it was noticed", s.name);
    assert_eq!((down.state, down.diag), (DOWN, 1), "{}: Control Detection Time Expired", s.name);
    println!("{}: Down {} ms after the last packet of the peer", s.name, (down.ns - last.ns) / 1_000_000);
}

#[test]
fn frr_single_hop_and_multihop() {
    let test = "interop BFD with FRR";
    if stand_in() {
        return skip(test, "keepalived 2.2.7 has no multihop");
    }
    if !have(&format!("{FRR}/bfdd")) {
        return skip(test, "frr is not installed");
    }
    let Some(lab) = Lab::new(test) else { return };
    let (a, _r, b) = net(&lab);
    let wire = lab.capture(&a, "udp port 3784 or udp port 4784");
    let daemon = lab.start_program(Program::Kalived, &a, &ours(&SESSIONS));
    let Some(frr) = Frr::start(test, &lab, &b) else { return };
    up(&daemon, &SESSIONS, 1);
    daemon.await_line("(VI_1) Entering MASTER STATE");

    // A reload and an upgrade: neither side leaves Up.
    let pid = daemon.pid_file().display().to_string();
    let before = wire.frames().len();
    for command in ["reload", "upgrade", "reload"] {
        let out = a.command(executable(Program::Kalived)).args([command, "-p", &pid]).output().expect("it starts");
        assert!(out.status.success(), "{command}: {}", String::from_utf8_lossy(&out.stderr));
        let n = wire.frames().len() + 100;
        until_true("a hundred packets more", || wire.frames().len() >= n);
    }
    let since: Vec<Bfd> = wire.frames().into_iter().skip(before).filter_map(|f| f.bfd()).collect();
    assert!(since.iter().all(|p| p.state == UP), "{:?}", since.iter().find(|p| p.state != UP));

    // The peer dies: the session falls, and its router with it.
    frr.kill9();
    SESSIONS.iter().for_each(|s| fell(&wire, s));
    daemon.await_line("(VI_1) Entering FAULT STATE: due to BFD session single4");
    let log = daemon.log();
    let at = |text: &str| log.find(text).unwrap_or_else(|| panic!("{text}:\n{log}"));
    assert!(at("(single4) Entering Down state") < at("Tracked BFD instance single4 is DOWN"));
    assert!(at("Tracked BFD instance single4 is DOWN") < at("(VI_1) Entering FAULT STATE"));

    // It comes back.
    let Some(_frr) = Frr::start(test, &lab, &b) else { return };
    up(&daemon, &SESSIONS, 2);
    daemon.await_times(crate::lab::daemon::State::Master, 2);

    // kalived leaves: it says so, and the peer follows.
    let (code, log) = daemon.stop();
    assert_eq!(code, Some(0), "log:\n{log}");
    for s in &SESSIONS {
        until_true(&format!("{}: the peer follows", s.name), || {
            of(&wire, s).last().is_some_and(|(own, p)| !own && (p.state, p.diag) == (DOWN, 3))
        });
        let ours: Vec<u8> = of(&wire, s).iter().filter(|(own, _)| *own).map(|(_, p)| p.state).collect();
        assert_eq!(ours.last(), Some(&0), "{}: AdminDown", s.name);
    }
    well_formed(&wire, &SESSIONS);
}

#[test]
fn keepalived_both_families() {
    let test = "interop BFD with keepalived";
    if stand_in() || !have("keepalived") {
        return skip(test, "kalived and keepalived are both needed");
    }
    let Some(lab) = Lab::new(test) else { return };
    let (a, _r, b) = net(&lab);
    let sessions = &SESSIONS[..2];
    let wire = lab.capture(&a, "udp port 3784");
    let ours = lab.start_program(Program::Kalived, &a, &ours(sessions));
    // It sends a hop limit of 64 over IPv6 where none is written.
    let text = blocks(sessions, false, "    ttl 255\n");
    let theirs = lab.start_program(Program::Keepalived, &b, &text);
    up(&ours, sessions, 1);
    up(&theirs, sessions, 1);
    ours.await_line("(VI_1) Entering MASTER STATE");
    theirs.kill9();
    sessions.iter().for_each(|s| fell(&wire, s));
    ours.await_line("(VI_1) Entering FAULT STATE: due to BFD session single4");

    // The other way round: it notices the death of ours.
    let theirs = lab.start_program(Program::Keepalived, &b, &text);
    up(&ours, sessions, 2);
    up(&theirs, sessions, 1);
    ours.kill9();
    for s in sessions {
        theirs.await_line(&format!(
            "({}) Entering Down state (Local diagnostic - Control Detection Time Expired",
            s.name
        ));
    }
    well_formed(&wire, sessions);
}

/// RFC 5881 section 5: what came through a router is no packet of a single-hop session, unless max_hops allows it.
#[test]
fn a_packet_through_a_router_is_discarded() {
    let test = "BFD packets through a router";
    if stand_in() {
        return skip(test, "only kalived is looked at");
    }
    let Some(lab) = Lab::new(test) else { return };
    let (a, _r, b) = net(&lab);
    let single = |name: &'static str, n: usize| Session { name, multihop: false, ..SESSIONS[n] };
    let sessions = [single("far4", 2), single("far6", 3)];
    let strict = lab.start_program(Program::Kalived, &a, &blocks(&sessions, true, ""));
    let lax = lab.start_program(Program::Kalived, &b, &blocks(&sessions, false, "    max_hops 1\n"));
    for s in &sessions {
        strict.await_line(&format!("({}) Discarding BFD packet from {}: its TTL is 254, at least 255", s.name, s.b));
        lax.await_line(&format!("({}) Entering Init state", s.name));
    }
    assert!(strict.lines_with("Entering").is_empty(), "{}", strict.log());
}
