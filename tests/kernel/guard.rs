//! Guard and core: the effect on other hosts, and the place of the addresses, when one of them dies or is replaced.
//!
//! Read first: `../lab/mod.rs`.

use crate::lab::daemon::{Conf, Daemon, Program, State, VIP, executable, stand_in, under_test};
use crate::lab::{Host, IFACE, Lab, skip, until, until_true};
use std::process::{Child, Command, Stdio};

/// The process with this role.
pub fn role(daemon: &Daemon, word: &str) -> Option<u32> {
    let is = |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|c| c.contains(word));
    daemon.pids().into_iter().find(is)
}

/// The same, once it has become one: it is some other program between its fork and its exec.
pub fn running(daemon: &Daemon, word: &str) -> u32 {
    until(word, || role(daemon, word))
}

pub fn kill(pid: u32) {
    assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().is_ok_and(|s| s.success()), "{pid} lives");
}

/// Kills the core, and waits for the next one.
fn kill_core(daemon: &Daemon) {
    let core = running(daemon, "--core");
    kill(core);
    until("another core", || role(daemon, "--core").filter(|c| *c != core));
}

pub fn ask(daemon: &Daemon, word: &str) -> (Option<i32>, String) {
    let out = Command::new(executable(Program::Kalived))
        .args([word, "-p"])
        .arg(daemon.pid_file())
        .output()
        .expect("it was built for this test");
    (out.status.code(), format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr)))
}

/// `ip monitor address` on a host: whether the VIP ever left.
pub struct Monitor(Child, std::path::PathBuf);

impl Monitor {
    pub fn on(lab: &Lab, host: &Host) -> Monitor {
        let path = lab.path("monitor.txt");
        let out = std::fs::File::create(&path).expect("the lab's directory is writable");
        let child = host.command("ip").args(["-o", "monitor", "address"]).stdout(out).stderr(Stdio::null()).spawn();
        let monitor = Monitor(child.expect("ip exists"), path);
        // It listens once it reports an address that the test adds.
        until_true("ip monitor to listen", || {
            host.script(&format!("ip addr add 192.0.2.9/32 dev {IFACE}; ip addr del 192.0.2.9/32 dev {IFACE}"));
            monitor.text().contains("192.0.2.9")
        });
        monitor
    }
    pub fn text(&self) -> String {
        std::fs::read_to_string(&self.1).unwrap_or_default()
    }
    pub fn lost_the_vip(&self) -> bool {
        self.text().lines().any(|l| l.contains("Deleted") && l.contains(VIP))
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A Master on a and a Backup on b.
pub fn pair(lab: &Lab, a: &Host, b: &Host) -> (Daemon, Daemon) {
    let master = lab.start(a, &Conf::v3(150));
    master.await_state(State::Master);
    let backup = lab.start(b, &Conf::v3(100));
    backup.await_state(State::Backup);
    until_true("a to hold the VIP", || a.holds(VIP));
    (master, backup)
}

#[test]
fn a_core_that_is_killed_is_back_before_anybody_notices() {
    if stand_in() {
        return skip("guard: core killed", "the stand-in starts again as a Backup");
    }
    let Some(lab) = Lab::new("guard: core killed") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let (master, backup) = pair(&lab, &a, &b);
    let monitor = Monitor::on(&lab, &a);
    kill_core(&master);
    master.await_line("resumes as MASTER");
    assert!(master.lines_with("died: Respawning").len() == 1, "log:\n{}", master.log());
    // The other side's timer would have expired by then.
    let wire = lab.capture(&b, "ip proto 112");
    wire.await_adverts(&a, 8);
    assert!(wire.adverts_of(&b).is_empty() && backup.times(State::Master) == 0, "log of b:\n{}", backup.log());
    assert!(a.holds(VIP) && !monitor.lost_the_vip(), "{}", monitor.text());
    let (code, log) = master.stop();
    assert_eq!(code, Some(0), "log:\n{log}");
    backup.await_state(State::Master);
}

#[test]
fn a_guard_that_is_killed_leaves_no_address_behind() {
    if stand_in() {
        return skip("guard: guard killed", "about kalived's processes");
    }
    let Some(lab) = Lab::new("guard: guard killed") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let (master, backup) = pair(&lab, &a, &b);
    let (core, helper) = (running(&master, "--core"), running(&master, "--helper"));
    kill(master.pid());
    backup.await_state(State::Master);
    until_true("the VIP to leave a", || !a.holds(VIP));
    assert_eq!(backup.lines_with("received priority 0").len(), 1, "a said goodbye; log of b:\n{}", backup.log());
    let gone = |pid: u32| match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat.contains(") Z "),
        Err(_) => true,
    };
    until_true("core and helper to end", || gone(core) && gone(helper));
}

#[test]
fn a_core_that_dies_again_and_again_gives_its_addresses_up() {
    if stand_in() {
        return skip("guard: crash loop", "about kalived's processes");
    }
    let Some(lab) = Lab::new("guard: crash loop") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let (master, backup) = pair(&lab, &a, &b);
    kill_core(&master);
    master.await_line("resumes as MASTER");
    kill(running(&master, "--core"));
    master.await_line("Restart of VRRP process delayed 1 seconds");
    master.await_line("the virtual addresses were removed");
    backup.await_state(State::Master);
    // Then it starts cold, and preempts as usual.
    master.await_times(State::Master, 2);
    until_true("a to hold the VIP again", || a.holds(VIP));
    assert_eq!(master.stop().0, Some(0));
}

#[test]
fn a_core_that_dies_again_does_not_forget_which_servers_are_down() {
    if stand_in() {
        return skip("guard: verdicts", "about kalived's processes");
    }
    let Some(lab) = Lab::new("guard: verdicts") else { return };
    let host = lab.host("a", 20);
    // Nobody listens at that port.
    let servers = "virtual_server 10.77.1.1 80 {\n  delay_loop 1\n  warmup 0\n  lb_algo rr\n  lb_kind NAT\n  protocol TCP\n  \
                   real_server 127.0.0.1 9 {\n    TCP_CHECK {\n      connect_timeout 1\n    }\n  }\n}\n";
    let daemon = lab.start_program(Program::Kalived, &host, &format!("{}{servers}", Conf::v3(150).text()));
    let failed = "TCP_CHECK on service [127.0.0.1]:tcp:9 failed";
    daemon.await_line(failed);
    // A frozen core writes all that it knows.
    let (code, text) = ask(&daemon, "upgrade");
    assert_eq!(code, Some(0), "{text}; log:\n{}", daemon.log());
    daemon.await_state(State::Master);
    kill_core(&daemon);
    until_true("the next core to go on", || daemon.lines_with("going on with the snapshot").len() == 2);
    kill(running(&daemon, "--core"));
    daemon.await_line("to limit respawn rate");
    daemon.await_line("a cold start, with the verdicts of 1 health checks");
    // It is down all the while, and the check that fails again is no transition.
    until_true("a check of the new core", || ask(&daemon, "status").1.contains("connection refused"));
    assert_eq!(daemon.lines_with(failed).len(), 1, "log:\n{}", daemon.log());
    assert_eq!(daemon.stop().0, Some(0));
}

#[test]
fn an_upgrade_and_a_hand_over_are_seen_by_nobody() {
    if stand_in() {
        return skip("guard: upgrade", "the stand-in cannot");
    }
    let Some(lab) = Lab::new("guard: upgrade") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let (mut master, backup) = pair(&lab, &a, &b);
    let monitor = Monitor::on(&lab, &a);
    let wire = lab.capture(&b, "ip proto 112");
    let pid = master.pid();
    for n in 1..=3 {
        let core = role(&master, "--core");
        let (code, text) = ask(&master, "upgrade");
        assert_eq!(code, Some(0), "upgrade {n}: {text}; log:\n{}", master.log());
        assert!(text.contains("Upgraded to"), "{text}");
        until_true("another core only", || role(&master, "--standby").is_some() && role(&master, "--core") != core);
    }
    assert_eq!(master.pid(), pid);
    wire.await_adverts(&a, 10);
    let (code, text) = ask(&master, "handover");
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(master.await_exit().code(), Some(0));
    // The lab has a different pid file for each daemon. A successor needs that of its predecessor; the last -p counts.
    let same = master.pid_file().display().to_string();
    let script = "exec \"$@\" -p \"$0\"";
    let next = lab.start_under(&["sh", "-c", script, &same], under_test(), &a, &Conf::v3(150).text());
    next.await_line("goes on as MASTER");
    let seen = wire.adverts_of(&a).len();
    wire.await_adverts(&a, seen + 10);
    assert!(wire.adverts_of(&b).is_empty() && backup.times(State::Master) == 0, "log of b:\n{}", backup.log());
    assert!(wire.adverts_of(&a).iter().all(|v| v.priority == 150), "no farewell");
    assert!(a.holds(VIP) && !monitor.lost_the_vip(), "{}", monitor.text());
    assert_eq!(next.stop().0, Some(0));
}
