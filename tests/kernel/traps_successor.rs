//! Successors, and the addresses without one: a successor that cannot read the state, deaths during a hand-over, an end without a
//! snapshot.
//!
//! Read first: `traps_handover.rs`. `scripts/upgrade-from` tries a hand-over between two real releases.

use crate::guard::{Monitor, ask, kill, pair, role};
use crate::lab::daemon::{Conf, Program, State, VIP, executable, stand_in, under_test};
use crate::lab::{Host, Lab, pause, skip, until, until_true};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().is_ok_and(|s| s.success()));
}

/// As a package manager puts it there: a new file, then rename.
fn put(place: &Path, text: &[u8]) {
    let new = place.with_extension("new");
    std::fs::write(&new, text).expect("the lab's directory is writable");
    std::fs::set_permissions(&new, PermissionsExt::from_mode(0o755)).expect("it is ours");
    std::fs::rename(&new, place).expect("one directory");
}

#[test]
fn a_successor_that_does_not_understand_is_refused_and_what_runs_stays_in_charge() {
    if stand_in() {
        return skip("successor: refused", "about kalived's processes");
    }
    let Some(lab) = Lab::new("successor: refused") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let place = lab.path("kalived");
    let whole = std::fs::read(executable(Program::Kalived)).expect("it was built for this test");
    put(&place, &whole);
    let text = place.display().to_string();
    // What follows the prefix is the program under test: the copy runs in its place.
    let script = "shift; exec \"$0\" \"$@\"";
    let on_a = lab.start_under(&["sh", "-c", script, &text], under_test(), &a, &Conf::v3(150).text());
    on_a.await_state(State::Master);
    let on_b = lab.start(&b, &Conf::v3(100));
    on_b.await_state(State::Backup);
    until_true("the VIP on a", || a.holds(VIP));
    let (monitor, before, core) = (Monitor::on(&lab, &a), on_b.states().len(), role(&on_a, "--core"));
    let says = [
        ("echo '{\"layouts\":[99]}' >&5; exit 0", "reads snapshots of the layouts [99], and this one writes [3, 4]"),
        ("echo '{\"refused\":\"no such layout\"}' >&5; exit 1", "does not understand our state (no such layout)"),
        ("exit 1", "does not understand our state (exited with status 1)"),
        ("kill -9 $$", "does not understand our state (due to signal 9)"),
    ];
    for (does, said) in says {
        let real = executable(Program::Kalived);
        put(&place, format!("#!/bin/sh\n[ \"$1\" = --check-state ] || exec {real} \"$@\"\n{does}\n").as_bytes());
        for word in ["upgrade", "handover"] {
            let (code, text) = ask(&on_a, word);
            assert!(code == Some(1) && text.contains(said), "{does}: {word}: {code:?} {text}\n{}", on_a.log());
        }
        assert_eq!(role(&on_a, "--core"), core, "{}", on_a.log());
    }
    assert_eq!(on_a.lines_with("Upgrade refused: ").len(), says.len(), "a line each: {}", on_a.log());
    assert!(!monitor.lost_the_vip() && on_b.states().len() == before, "{}", on_b.log());
    // After all that, the real program is accepted.
    put(&place, &whole);
    let (code, text) = ask(&on_a, "upgrade");
    assert_eq!(code, Some(0), "{text}");
    assert!(!monitor.lost_the_vip());
    assert_eq!(on_a.stop().0, Some(0));
}

/// A frozen core is killed, and there is no successor.
#[test]
fn a_frozen_core_that_is_killed_leaves_no_address() {
    if stand_in() {
        return skip("successor: killed", "about kalived's processes");
    }
    let Some(lab) = Lab::new("successor: killed") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let (mut on_a, on_b) = pair(&lab, &a, &b);
    let core = role(&on_a, "--core").expect("it runs");
    let (code, text) = ask(&on_a, "handover");
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(on_a.await_exit().code(), Some(0));
    kill(core);
    until_true("the VIP to leave a", || !a.holds(VIP));
    on_b.await_state(State::Master);
}

/// The same with a successor in time: it has the addresses.
#[test]
fn a_frozen_core_that_is_killed_is_followed_as_any_other() {
    if stand_in() {
        return skip("successor: killed, followed", "about kalived's processes");
    }
    let Some(lab) = Lab::new("successor: killed, followed") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let (mut on_a, on_b) = pair(&lab, &a, &b);
    let monitor = Monitor::on(&lab, &a);
    let core = role(&on_a, "--core").expect("it runs");
    assert_eq!(ask(&on_a, "handover").0, Some(0));
    assert_eq!(on_a.await_exit().code(), Some(0));
    let next = after(&lab, &a, on_a.pid_file(), "0.2");
    kill(core);
    next.await_line("MASTER");
    until_true("the remover to end", || {
        let ps = String::from_utf8_lossy(&Command::new("ps").args(["-eo", "args"]).output().expect("ps").stdout)
            .into_owned();
        let conf = next.pid_file().display().to_string();
        !ps.lines().any(|l| l.contains("--after-core") && l.contains(&conf))
    });
    // Its armed adverts ended with it, so the peer may have sent adverts for a moment.
    until_true("one Master", || on_b.states().last() == Some(&State::Backup) && !b.holds(VIP));
    assert!(a.holds(VIP) && !monitor.lost_the_vip(), "{}", next.log());
    assert_eq!(next.stop().0, Some(0));
}

/// The next one with the same pid file, by which they know each other; the last -p counts.
fn after(lab: &Lab, a: &Host, pid_file: &Path, every: &str) -> crate::lab::daemon::Daemon {
    let same = pid_file.display().to_string();
    let text = Conf::v3(150).every(every).text();
    lab.start_under(&["sh", "-c", "exec \"$@\" -p \"$0\"", &same], under_test(), a, &text)
}

/// SIGQUIT when the core was told to freeze for an upgrade: the new core hands over in its turn.
#[test]
fn a_restart_in_the_middle_of_an_upgrade_is_seen_by_nobody() {
    if stand_in() {
        return skip("successor: restart in upgrade", "about kalived's processes");
    }
    let Some(lab) = Lab::new("successor: restart in upgrade") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    // A core that is delayed misses some adverts, and fewer than three.
    let mut on_a = lab.start(&a, &Conf::v3(150).every("1"));
    on_a.await_state(State::Master);
    let on_b = lab.start(&b, &Conf::v3(100).every("1"));
    on_b.await_state(State::Backup);
    let (monitor, before) = (Monitor::on(&lab, &a), on_b.states().len());
    let core = role(&on_a, "--core").expect("it runs");
    // It does not freeze before it continues.
    signal(core, "STOP");
    let pid_file = on_a.pid_file().to_owned();
    let upgrade = Command::new(executable(Program::Kalived)).args(["upgrade", "-p"]).arg(&pid_file).spawn();
    let mut upgrade = upgrade.expect("it was built for this test");
    until("a core that stands by", || role(&on_a, "--standby"));
    pause(150);
    on_a.signal("QUIT");
    pause(50);
    signal(core, "CONT");
    assert_eq!(on_a.await_exit().code(), Some(0), "{}", on_a.log());
    let log = on_a.log();
    let next = after(&lab, &a, &pid_file, "1");
    next.await_line("goes on as MASTER");
    let _ = upgrade.wait();
    assert!(a.holds(VIP) && !monitor.lost_the_vip() && on_b.states().len() == before, "{log}\n{}", next.log());
    assert_eq!(next.stop().0, Some(0));
}

#[test]
fn an_end_without_a_core_takes_the_static_routes_away() {
    if stand_in() {
        return skip("successor: routes", "about kalived's processes");
    }
    let Some(lab) = Lab::new("successor: routes") else { return };
    let a = lab.host("a", 20);
    let text = format!(
        "static_routes {{\n    192.0.2.0/24 dev {0}\n    blackhole 198.18.80.0/24\n}}\n{1}",
        crate::lab::IFACE,
        Conf::v3(150).text()
    );
    // Another program's with the same protocol number, and the same destination in another table.
    a.script("ip route add blackhole 198.18.81.0/24 proto 18; ip route add blackhole 198.18.80.0/24 table 99 proto 18");
    let routes = |table: &str| a.run(&format!("ip -4 route show table {table} proto 18"));
    let mut on_a = lab.start_under(&["sh", "-c", "exec \"$@\" -R", "sh"], under_test(), &a, &text);
    on_a.await_state(State::Master);
    until_true("the routes", || routes("main").lines().count() == 3);
    kill(role(&on_a, "--core").expect("it runs"));
    assert_eq!(on_a.await_exit().code(), Some(70));
    let left = routes("main");
    assert!(left.lines().count() == 1 && left.contains("198.18.81.0/24"), "{left}\n{}", on_a.log());
    assert!(routes("99").contains("198.18.80.0/24") && !a.holds(VIP));
}
