//! FRR's vrrpd as partner, in version 3, and the cluster of three programs.
//!
//! vrrpd does not add an address: it takes an interface with the virtual MAC address, which has the addresses, up and down
//! (`protodown`). Its interfaces are learned from zebra. Read first: `main.rs`.

use super::lab::daemon::{Conf, Daemon, Program, State, VIP, VIP6, under_test};
use super::lab::{Host, IFACE, Lab, Owned, PATH, have, pause, skip, until_true};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Where Debian has FRR's programs.
const FRR: &str = "/usr/lib/frr";
/// The interfaces with the virtual MAC addresses of VRID 51.
const LINKS: [(&str, &str); 2] = [("vr4", "00:00:5e:00:01:33"), ("vr6", "00:00:5e:00:02:33")];

fn missing(name: &str) -> bool {
    for program in ["tshark", "keepalived", &format!("{FRR}/zebra"), &format!("{FRR}/vrrpd")] {
        if !have(program) {
            skip(name, &format!("{program} is not installed"));
            return true;
        }
    }
    false
}

/// zebra and vrrpd on a host.
struct Frr<'a> {
    host: &'a Host,
    dir: PathBuf,
    log: PathBuf,
    /// The one of [`LINKS`] that is watched.
    link: &'static str,
    _zebra: Owned,
    vrrpd: Option<Owned>,
}

impl<'a> Frr<'a> {
    fn new(lab: &Lab, host: &'a Host, priority: u8, v6: bool) -> Frr<'a> {
        let dir = lab.path("frr");
        std::fs::create_dir(&dir).expect("the lab's directory is writable");
        let vips: Vec<&str> = if v6 { VIP6.to_vec() } else { vec![VIP] };
        let (link, mac) = LINKS[usize::from(v6)];
        host.script(&format!(
            "ip link add {link} link {IFACE} address {mac} type macvlan mode bridge; ip link set {link} addrgenmode none"
        ));
        up(host, v6);
        let lines: String = vips.iter().map(|v| format!(" vrrp 51 {} {v}\n", if v6 { "ipv6" } else { "ip" })).collect();
        let text = format!(
            "log stdout\ndebug vrrp protocol\ninterface {IFACE}\n vrrp 51 version 3\n vrrp 51 priority {priority}\n \
             vrrp 51 advertisement-interval 200\n{lines}"
        );
        std::fs::write(dir.join("vrrpd.conf"), text).expect("the lab's directory is writable");
        std::fs::write(dir.join("zebra.conf"), "").expect("the lab's directory is writable");
        // Its programs run as this user.
        host.run(&format!("chown -R frr:frr {}", dir.display()));
        let log = lab.path("frr.log");
        let zebra = run(host, &dir, &log, "zebra");
        until_true("zebra's socket", || dir.join("zserv").exists());
        let mut frr = Frr { host, dir, log, link, _zebra: zebra, vrrpd: None };
        frr.start();
        frr
    }

    fn start(&mut self) {
        self.vrrpd = Some(run(self.host, &self.dir, &self.log, "vrrpd"));
    }

    /// Without a farewell; its interface stays as it is, and is taken down as if the host had died.
    fn kill9(&mut self) {
        self.vrrpd = None;
        self.host.run(&format!("ip link set {} down", self.link));
    }

    fn restart(&mut self) {
        up(self.host, self.link == LINKS[1].0);
        self.start();
    }

    fn stop(&mut self) {
        let vrrpd = self.vrrpd.as_mut().expect("it runs");
        let pid = vrrpd.0.id().to_string();
        assert!(Command::new("kill").arg(&pid).env("PATH", PATH).status().is_ok_and(|s| s.success()));
        until_true("vrrpd to end", || vrrpd.0.try_wait().expect("it is our child").is_some());
        self.kill9();
    }

    /// Whether the host answers for the addresses.
    fn owns(&self) -> bool {
        let shown = self.host.run(&format!("ip -o link show {}", self.link));
        shown.contains("LOWER_UP") && !shown.contains("protodown on")
    }
}

/// The interface with its addresses: those of IPv6 were lost when it went down.
fn up(host: &Host, v6: bool) {
    let (link, len) = (LINKS[usize::from(v6)].0, if v6 { "64" } else { "16" });
    for vip in if v6 { &VIP6[..] } else { &[VIP] } {
        host.run(&format!("ip addr replace {vip}/{len} dev {link} {}", if v6 { "nodad" } else { "" }));
    }
    host.run(&format!("ip link set {link} up"));
}

fn run(host: &Host, dir: &std::path::Path, log: &std::path::Path, program: &str) -> Owned {
    let file = std::fs::File::options().create(true).append(true).open(log).expect("the lab's directory is writable");
    let at = |name: &str| dir.join(name).display().to_string();
    let child = host
        .command(&format!("{FRR}/{program}"))
        .args(["-A", "127.0.0.1", "-P", "0", "--log", "stdout"])
        .args(["-f", &at(&format!("{program}.conf")), "-i", &at(&format!("{program}.pid"))])
        .args(["-z", &at("zserv"), "--vty_socket", &dir.display().to_string()])
        .stdout(Stdio::from(file.try_clone().expect("a file handle can be cloned")))
        .stderr(Stdio::from(file))
        .spawn()
        .expect("it is installed");
    Owned(child)
}

fn ours(lab: &Lab, host: &Host, priority: u8, v6: bool) -> Daemon {
    let conf = if v6 { Conf::v6(priority) } else { Conf::v3(priority) };
    lab.start_program(under_test(), host, &conf.with("use_vmac").text())
}

/// Version 3, a virtual MAC address on both sides.
fn life(name: &str, v6: bool) {
    if missing(name) {
        return;
    }
    let Some(lab) = Lab::new(name) else { return };
    let (a, b, client) = (lab.host("a", 20), lab.host("b", 30), lab.host("client", 40));
    let vip = if v6 { VIP6[1] } else { VIP };
    let wire = lab.capture(&client, "ip proto 112 or ip6 proto 112");
    let owner = |frr: &Frr<'_>, is_frr: bool| {
        until_true(&format!("{vip} on {} only", if is_frr { "FRR" } else { "a" }), || {
            let up =
                a.run("ip -o addr show up").contains(&format!(" {vip}/")) && a.run("ip -o link").contains("vrrp.51");
            frr.owns() == is_frr && (is_frr || up)
        });
        until_true("the client to reach it", || client.reaches(vip));
    };

    // Ours has the higher priority: preemption, crash, return, farewell.
    {
        let frr = Frr::new(&lab, &b, 100, v6);
        owner(&frr, true);
        let high = ours(&lab, &a, 150, v6);
        high.await_state(State::Master);
        owner(&frr, false);
        high.kill9();
        owner(&frr, true);
        let high = ours(&lab, &a, 150, v6);
        high.await_state(State::Master);
        owner(&frr, false);
        let (code, log) = high.stop();
        assert_eq!(code, Some(0), "log:\n{log}");
        assert!(!log.contains("dropped"), "{log}");
        owner(&frr, true);
    }
    b.run(&format!("ip link del {}", LINKS[usize::from(v6)].0));

    // FRR's has.
    let low = ours(&lab, &a, 100, v6);
    low.await_state(State::Master);
    let mut frr = Frr::new(&lab, &b, 150, v6);
    low.await_state(State::Backup);
    owner(&frr, true);
    frr.kill9();
    low.await_times(State::Master, 2);
    owner(&frr, false);
    frr.restart();
    low.await_state(State::Backup);
    owner(&frr, true);
    frr.stop();
    low.await_times(State::Master, 3);
    let (code, log) = low.stop();
    assert_eq!(code, Some(0), "log:\n{log}");
    assert!(!log.contains("dropped"), "{log}");
    let adverts = wire.adverts().len();
    assert_eq!(wire.good_by_tshark(false), adverts, "tshark verified every advert");
}

#[test]
fn v3_ipv4_with_vrrpd() {
    life("interop vrrpd, v3", false);
}

#[test]
fn v3_ipv6_with_vrrpd() {
    life("interop vrrpd, v3 IPv6", true);
}

/// kalived 150, keepalived 120, vrrpd 100.
#[test]
fn three_programs_have_one_owner_through_ten_rounds() {
    let name = "interop: three programs";
    if missing(name) {
        return;
    }
    let Some(lab) = Lab::new(name) else { return };
    let (a, b, c) = (lab.host("a", 20), lab.host("b", 30), lab.host("c", 50));
    let client = lab.host("client", 40);
    let wire = lab.capture(&client, "ip proto 112");
    let mut frr = Frr::new(&lab, &c, 100, false);
    let start_a = || lab.start_program(under_test(), &a, &Conf::v3(150).text());
    let start_b = || lab.start_program(Program::Keepalived, &b, &Conf::v3(120).text());
    let (mut on_b, mut on_a) = (start_b(), start_a());

    // Who answers for the address: an address counts where the link is up.
    let owners = |frr: &Frr<'_>| -> String {
        let has = |h: &Host| h.holds(VIP) && h.run(&format!("ip -o link show {IFACE}")).contains("LOWER_UP");
        let all = [('a', has(&a)), ('b', has(&b)), ('c', frr.owns())];
        all.into_iter().filter_map(|(name, is)| is.then_some(name)).collect()
    };
    // Somebody becomes the only owner, and stays it for ten of its adverts.
    let settled = |frr: &Frr<'_>, want: &str, round: &str| {
        until_true(&format!("{round}: {want} alone has the address, not {}", owners(frr)), || owners(frr) == want);
        let host = match want {
            "a" => &a,
            "b" => &b,
            _ => &c,
        };
        let seen = wire.adverts_of(host).len();
        until_true(&format!("{round}: adverts of {want}"), || {
            assert_eq!(owners(frr), want, "{round}");
            wire.adverts_of(host).len() >= seen + 10
        });
    };
    let reload_a = |on_a: &Daemon, priority: u8| {
        std::fs::write(on_a.conf(), Conf::v3(priority).text()).expect("the lab's directory is writable");
        on_a.signal("HUP");
    };
    settled(&frr, "a", "start");

    // kalived's process that speaks VRRP dies: the next one goes on.
    let is_core =
        |pid: &u32| std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|c| c.windows(7).any(|w| w == b"--core\0"));
    let core = on_a.pids().into_iter().find(is_core).expect("the guard has a core");
    assert!(Command::new("kill").args(["-9", &core.to_string()]).env("PATH", PATH).status().is_ok_and(|s| s.success()));
    until_true("1: the next core", || {
        !on_a.lines_with("resumes as MASTER").is_empty() || on_a.times(State::Backup) > 1
    });
    // One that was started too late is a Backup first.
    on_a.await_state(State::Master);
    settled(&frr, "a", "1: the core is killed");

    on_b.kill9();
    on_b = start_b();
    on_b.await_state(State::Backup);
    settled(&frr, "a", "2: keepalived is killed and started");

    // It cannot remove its address while it is stopped.
    on_a.signal_all("STOP");
    on_b.await_state(State::Master);
    on_a.signal_all("CONT");
    settled(&frr, "a", "3: kalived was stopped");

    lab.port(&a, "down");
    settled(&frr, "b", "4: the link of kalived is down");
    lab.port(&a, "up");
    settled(&frr, "a", "4: it is up");

    reload_a(&on_a, 90);
    settled(&frr, "b", "5: a lower priority");
    reload_a(&on_a, 150);
    settled(&frr, "a", "6: a higher priority");

    lab.port(&a, "down");
    lab.port(&b, "down");
    settled(&frr, "c", "7: the links of two are down");
    lab.port(&a, "up");
    lab.port(&b, "up");
    settled(&frr, "a", "7: they are up");

    let (code, log) = on_a.stop();
    assert_eq!(code, Some(0), "{log}");
    settled(&frr, "b", "8: kalived is stopped");
    on_a = start_a();
    settled(&frr, "a", "8: it is started");

    frr.kill9();
    pause(300);
    frr.restart();
    settled(&frr, "a", "9: vrrpd is killed and started");

    let (code, log) = on_a.stop();
    assert_eq!(code, Some(0), "{log}");
    settled(&frr, "b", "10: kalived is stopped");
    on_b.signal_all("STOP");
    until_true("10: vrrpd takes over", || frr.owns());
    on_b.signal_all("CONT");
    settled(&frr, "b", "10: keepalived was stopped");
    on_a = start_a();
    settled(&frr, "a", "10: kalived is started");

    for daemon in [on_a, on_b] {
        let (code, log) = daemon.stop();
        assert_eq!(code, Some(0), "{log}");
    }
    until_true("vrrpd is left", || frr.owns());
}
