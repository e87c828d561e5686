//! Traps around starts, ends and limits: stale pid files, errors that stay, real-time limits that kill.
//!
//! Trap numbers are those of `docs/traps.md`. Read first: `../lab/mod.rs`.

use crate::guard::{ask, role, running};
use crate::lab::daemon::{Conf, Daemon, State, VIP, stand_in, under_test};
use crate::lab::{Host, IFACE, Lab, skip, until, until_true};

const STARTED: &str = "Starting VRRP child process";

/// As a container runtime starts it: as the first process of a process namespace, with a pid file that stays.
fn contained(lab: &Lab, host: &Host, pid_file: &str) -> Daemon {
    let first = ["unshare", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"];
    // The last -p counts.
    let words: Vec<&str> = first.into_iter().chain(["sh", "-c", "exec \"$@\" -p \"$0\"", pid_file]).collect();
    lab.start_under(&words, under_test(), host, &Conf::v3(150).text())
}

#[test]
fn trap_93_a_container_starts_again_with_the_same_process_number_and_its_old_pid_file() {
    if stand_in() {
        return skip("trap 93", "the stand-in has two pid files");
    }
    let Some(lab) = Lab::new("trap 93") else { return };
    let a = lab.host("a", 20);
    let pid_file = lab.path("held.pid");
    let path = pid_file.display().to_string();
    let number = || std::fs::read_to_string(&pid_file).unwrap_or_default();
    for _ in 0..3 {
        let daemon = contained(&lab, &a, &path);
        daemon.await_state(State::Master);
        assert_eq!(number(), "1\n");
        daemon.kill9();
        assert_eq!(number(), "1\n", "it stays");
    }
    // And with the number of a process that lives and is somebody else.
    std::fs::write(&pid_file, std::process::id().to_string()).expect("the lab's directory is writable");
    let mut daemon = contained(&lab, &a, &path);
    daemon.await_state(State::Master);
    until_true("the VIP on a", || a.holds(VIP));
    // unshare does not pass it on.
    let first = until("kalived behind unshare", || daemon.pids().get(1).copied());
    assert!(std::process::Command::new("kill").arg(first.to_string()).status().is_ok_and(|s| s.success()));
    assert_eq!(daemon.await_exit().code(), Some(0), "log:\n{}", daemon.log());
    assert!(!pid_file.exists() && !a.holds(VIP));
}

#[test]
fn trap_93_of_two_starts_at_once_exactly_one_survives() {
    if stand_in() {
        return skip("trap 93", "the stand-in has two pid files");
    }
    let Some(lab) = Lab::new("trap 93") else { return };
    let a = lab.host("a", 20);
    let path = lab.path("shared.pid").display().to_string();
    let prefix = ["sh", "-c", "exec \"$@\" -p \"$0\"", path.as_str()];
    for _ in 0..5 {
        let text = Conf::v3(150).text();
        let mut two = [(); 2].map(|()| lab.start_under(&prefix, under_test(), &a, &text));
        let (loser, code) = until("one of them to end", || {
            two.iter_mut().enumerate().find_map(|(i, d)| d.exit_code().map(|code| (i, code)))
        });
        assert!(code == 1 && two[loser].log().contains("already running"), "{code} {}", two[loser].log());
        let [first, second] = two;
        let winner = if loser == 0 { second } else { first };
        winner.await_state(State::Master);
        assert_eq!(std::fs::read_to_string(&path).ok(), Some(format!("{}\n", winner.pid())));
        assert_eq!(winner.stop().0, Some(0));
    }
}

/// Exit codes that say that another start would end the same way; the unit file tells systemd so.
#[test]
fn trap_101_an_error_that_stays_ends_it_once_with_a_code_that_says_so() {
    if stand_in() {
        return skip("trap 101", "the stand-in has other codes");
    }
    let Some(lab) = Lab::new("trap 101") else { return };
    let a = lab.host("a", 20);
    let unit = include_str!("../../scripts/kalived.service");
    let prevented = unit.lines().find_map(|l| l.strip_prefix("RestartPreventExitStatus=")).expect("it is there");
    let script = lab.path("no_uring.py");
    std::fs::write(&script, include_str!("../lab/no_uring.py")).expect("the lab's directory is writable");
    let script = script.display().to_string();
    let good = Conf::v3(150).text();
    // Found before anything is started; found by the VRRP process itself.
    let ways: [(&[&str], &str, usize); 3] =
        [(&[], "vrrp_instance V {\n", 0), (&[], "", 0), (&["python3", &script], &good, 1)];
    for (prefix, text, starts) in ways {
        let mut daemon = lab.start_under(prefix, under_test(), &a, text);
        let code = daemon.await_exit().code().expect("no signal ended it").to_string();
        let log = daemon.log();
        assert!(prevented.split_whitespace().any(|c| c == code), "{code}; log:\n{log}");
        assert_eq!(daemon.lines_with(STARTED).len(), starts, "log:\n{log}");
        assert!(daemon.lines_with("Respawning").is_empty() && log.lines().count() < 40, "log:\n{log}");
        assert!(!a.holds(VIP));
    }
}

/// Scheduling policy and `RLIMIT_RTTIME` as the kernel has them.
fn real_time(pid: u32) -> (bool, String) {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    // Field 41, counted behind the name, which may hold blanks.
    let stat = read("stat");
    let policy = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(38)).unwrap_or_default().to_owned();
    let limit = read("limits").lines().find(|l| l.starts_with("Max realtime timeout")).unwrap_or_default().to_owned();
    (policy == "2", limit.split_whitespace().nth(3).unwrap_or_default().to_owned())
}

/// As a service manager with a limit of its own starts it: 20 ms of processor time without a pause. One that can be lifted, and one
/// that can only be with CAP_SYS_RESOURCE.
#[test]
fn trap_103_nobody_is_killed_for_having_worked_too_long() {
    for limit in ["--rttime=20000:unlimited", "--rttime=20000:20000"] {
        worked_too_long(limit);
    }
}

fn worked_too_long(limit: &str) {
    if stand_in() {
        return skip("trap 103", "the stand-in sets a limit of its own");
    }
    let Some(lab) = Lab::new("trap 103") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let daemon = lab.start_under(&["prlimit", limit], under_test(), &a, &Conf::v3(150).text());
    daemon.await_state(State::Master);
    let wire = lab.capture(&b, "ip proto 112");
    let check = |when: &str| {
        for pid in [daemon.pid(), running(&daemon, "--core")] {
            let (real, most) = real_time(pid);
            let log = daemon.log();
            assert!(most == "unlimited" || !real, "{when}: {pid:?} may run {most} us; log:\n{log}");
            assert!(most == "unlimited" || log.contains("RLIMIT_RTTIME is 20000 us"), "not told; log:\n{log}");
        }
    };
    check("at the start");
    let core = Some(running(&daemon, "--core"));
    // A long operation: more than that for an ordinary program.
    let more: String = (0..200)
        .map(|i| {
            format!(
                "vrrp_instance I{i} {{\n interface absent{i}\n virtual_router_id {}\n virtual_ipaddress {{ 10.9.{i}.1 }}\n}}\n",
                1 + i
            )
        })
        .collect();
    std::fs::write(daemon.conf(), "# kalived: allow(interface-missing)\n\n".to_owned() + &Conf::v3(150).text() + &more)
        .expect("the lab's directory is writable");
    daemon.signal("HUP");
    daemon.await_line("Reloaded");
    assert_eq!(role(&daemon, "--core"), core, "log:\n{}", daemon.log());
    let (code, text) = ask(&daemon, "upgrade");
    assert_eq!(code, Some(0), "{text}; log:\n{}", daemon.log());
    until_true("one core", || role(&daemon, "--core").is_some_and(|c| Some(c) != core));
    check("after an upgrade");
    wire.await_adverts(&a, 10);
    assert!(daemon.lines_with("Respawning").is_empty(), "log:\n{}", daemon.log());
    assert_eq!(daemon.stop().0, Some(0));
}

/// As Neutron does it: a kalived in each network namespace, one file each with the same numbers in it, and floating IPs among the addresses
/// that are not advertised. There are 300 in the trap; `KALIVED_NAMESPACES` sets the number.
#[test]
fn trap_106_a_floating_ip_removed_in_one_namespace_of_many_changes_nothing_in_the_others() {
    let Some(lab) = Lab::new("trap 106") else { return };
    let count = std::env::var("KALIVED_NAMESPACES").ok().and_then(|n| n.parse().ok()).unwrap_or(16);
    let text = |floating: &[u8]| {
        let lines = floating.iter().map(|n| format!(" 203.0.113.{n}/32 dev {IFACE}\n")).collect::<String>();
        Conf::v3(50).every("2").with("nopreempt").with(&format!("virtual_ipaddress_excluded {{\n{lines} }}")).text()
    };
    let routers: Vec<(Host, Daemon)> = (0..count)
        .map(|n| {
            let host = lab.island(&format!("qrouter{n}"));
            let daemon = lab.start_program(under_test(), &host, &text(&[1, 2, 3]));
            (host, daemon)
        })
        .collect();
    for (host, daemon) in &routers {
        daemon.await_state(State::Master);
        // The last thing that it says: the second announcement, five seconds later.
        daemon.await_line("Sending/queueing");
        until_true("its addresses", || {
            ["203.0.113.1", "203.0.113.2", "203.0.113.3", VIP].iter().all(|vip| host.holds(vip))
        });
    }
    let told = |(host, daemon): &(Host, Daemon)| (host.run("ip -o addr show"), daemon.states(), daemon.pids());
    for (n, floating) in [(count / 2, &[1, 3][..]), (count / 3, &[][..]), (count / 2, &[1, 3, 4][..])] {
        let before: Vec<_> = routers.iter().map(told).collect();
        let lines: Vec<_> = routers.iter().map(|(_, daemon)| daemon.log().lines().count()).collect();
        let (host, daemon) = &routers[n];
        std::fs::write(daemon.conf(), text(floating)).expect("the lab's directory is writable");
        daemon.signal("HUP");
        let right = || (1..=4u8).all(|i| host.holds(&format!("203.0.113.{i}")) == floating.contains(&i));
        until_true(&format!("the addresses of the new file; log:\n{}", daemon.log()), right);
        assert!(host.holds(VIP) && daemon.times(State::Master) == 1, "{}", daemon.log());
        for (i, router) in routers.iter().enumerate().filter(|(i, _)| *i != n) {
            assert_eq!(told(router), before[i], "router {i}");
            assert_eq!(router.1.log().lines().count(), lines[i], "router {i}: {}", router.1.log());
        }
    }
    // One ends; the others stay.
    let before: Vec<_> = routers.iter().map(told).collect();
    let mut routers = routers;
    let (host, daemon) = routers.remove(0);
    assert_eq!(daemon.stop().0, Some(0));
    assert!(!host.holds(VIP) && !host.holds("203.0.113.1"));
    for (router, before) in routers.iter().zip(&before[1..]) {
        assert_eq!(&told(router), before);
    }
}
