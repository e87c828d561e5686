//! Guard and core when one of them hangs, is refused, or leaves processes: how that is detected, and that adverts continue.
//!
//! Read first: `guard.rs` (the same two, dying in an orderly way).

use crate::guard::{Monitor, ask, kill, pair, role, running};
use crate::lab::daemon::{Conf, Daemon, Program, State, VIP, executable, stand_in, under_test};
use crate::lab::{Host, Lab, pause, skip, until, until_true};
use crate::traps_scripts::script;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

pub fn signal(name: &str, pids: &[u32]) {
    let sent = Command::new("kill").arg(format!("-{name}")).args(pids.iter().map(u32::to_string)).status();
    assert!(sent.is_ok_and(|s| s.success()), "{pids:?} live");
}

fn gone(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |s| s.contains(") Z "))
}

#[test]
fn a_core_that_hangs_is_killed_and_replaced() {
    if stand_in() {
        return skip("guard: core hangs", "about kalived's processes");
    }
    let Some(lab) = Lab::new("guard: core hangs") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let (master, backup) = pair(&lab, &a, &b);
    let core = running(&master, "--core");
    signal("STOP", &[core]);
    backup.await_state(State::Master);
    master.await_line(&format!("VRRP child process({core}) does not answer: killing it"));
    until_true("it to be gone", || gone(core));
    // It sent nothing for longer than a peer waits, so it starts cold; then it preempts as usual.
    master.await_times(State::Master, 2);
    backup.await_times(State::Backup, 2);
    until_true("the VIP on a only", || a.holds(VIP) && !b.holds(VIP));
    assert_eq!(master.lines_with("does not answer").len(), 1, "log:\n{}", master.log());
    assert_eq!(master.stop().0, Some(0));
}

/// A compiler stops itself when its work is done, and is ended between two adverts (`src/daemon/lull.rs`).
#[test]
fn a_compiler_that_rests_is_ended_although_the_core_hangs_or_the_guard_dies() {
    if stand_in() {
        return skip("guard: compiler", "about kalived's processes");
    }
    let Some(lab) = Lab::new("guard: compiler") else { return };
    let a = lab.host("a", 20);
    let resting = |daemon: &Daemon| {
        let core = running(daemon, "--core");
        signal("STOP", &[core]);
        std::fs::write(daemon.conf(), Conf::v3(151).text()).expect("the lab's directory is writable");
        daemon.signal("HUP");
        let stopped = |p: &u32| std::fs::read_to_string(format!("/proc/{p}/stat")).is_ok_and(|s| s.contains(") T "));
        (core, until("the compiler to rest", || role(daemon, "--compile-config").filter(stopped)))
    };

    let daemon = lab.start(&a, &Conf::v3(150));
    until_true("the VIP on a", || a.holds(VIP));
    let (core, compiler) = resting(&daemon);
    until_true("the compiler's end", || gone(compiler));
    signal("CONT", &[core]);
    daemon.await_line("Reloaded");
    // Once more, with a core that answers.
    daemon.signal("HUP");
    until_true("another reload", || {
        daemon.lines_with("Reloaded").len() == 2 && role(&daemon, "--compile-config").is_none()
    });
    assert_eq!(daemon.stop().0, Some(0));

    let daemon = lab.start(&a, &Conf::v3(150));
    until_true("the VIP on a again", || a.holds(VIP));
    let (core, compiler) = resting(&daemon);
    kill(daemon.pid());
    until_true("the compiler's end", || gone(compiler));
    signal("CONT", &[core]);
    until_true("the core's end", || gone(core));
}

/// The kernel counts the locked memory of a killed core's ring for a moment longer.
#[test]
fn a_core_for_which_there_is_little_locked_memory_runs_and_is_followed_by_another() {
    if stand_in() {
        return skip("guard: locked memory", "about kalived's processes");
    }
    let Some(lab) = Lab::new("guard: locked memory") else { return };
    let a = lab.host("a", 20);
    for limit in [64 << 10, 160 << 10] {
        let limit = format!("--memlock={limit}:{limit}");
        let without = "-ipc_lock,-sys_resource";
        let poor = ["prlimit", &limit, "setpriv", "--bounding-set", without, "--inh-caps", without];
        let daemon = lab.start_under(&poor, under_test(), &a, &Conf::v3(150).text());
        until_true("the VIP on a", || a.holds(VIP));
        kill(running(&daemon, "--core"));
        daemon.await_line("going on with the snapshot");
        until_true("the VIP on a again", || a.holds(VIP));
        assert_eq!(daemon.stop().0, Some(0));
    }
}

#[test]
fn a_lock_file_that_another_program_removes_or_opens_to_others_costs_no_address() {
    if stand_in() {
        return skip("guard: lock file", "about kalived's processes");
    }
    let Some(lab) = Lab::new("guard: lock file") else { return };
    let a = lab.host("a", 20);
    for removed in [true, false] {
        let daemon = lab.start(&a, &Conf::v3(150));
        until_true("the VIP on a", || a.holds(VIP));
        let lock = daemon.pid_file().with_extension("lock");
        match removed {
            true => std::fs::remove_file(&lock).expect("it is there"),
            false => std::fs::set_permissions(&lock, std::fs::Permissions::from_mode(0o620)).expect("it is there"),
        }
        kill(running(&daemon, "--core"));
        daemon.await_line("going on with the snapshot");
        until_true("the VIP on a again", || a.holds(VIP));
        let (code, text) = ask(&daemon, "handover");
        assert!(code == Some(1) && text.contains("lock file"), "{code:?} {text}");
        assert_eq!(daemon.stop().0, Some(0));
    }
}

/// The guard counts its own checks of the core, not time. It may run long before the core does.
#[test]
fn a_machine_that_was_paused_is_no_core_that_hangs() {
    if stand_in() {
        return skip("guard: paused", "about kalived's processes");
    }
    let Some(lab) = Lab::new("guard: paused") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let (master, backup) = pair(&lab, &a, &b);
    let core = running(&master, "--core");
    let all = master.pids();
    signal("STOP", &all);
    backup.await_state(State::Master);
    // Longer than a core may send no message while the guard runs.
    pause(8_000);
    signal("CONT", &[master.pid()]);
    pause(2_000);
    signal("CONT", &all);
    backup.await_times(State::Backup, 2);
    until_true("the VIP on a only", || a.holds(VIP) && !b.holds(VIP));
    // Through as many checks again as it takes until a core counts as hung.
    let wire = lab.capture(&b, "ip proto 112");
    wire.await_adverts(&a, 40);
    assert_eq!(role(&master, "--core"), Some(core), "log:\n{}", master.log());
    assert!(master.lines_with("does not answer").is_empty(), "log:\n{}", master.log());
    assert_eq!(master.stop().0, Some(0));
}

#[test]
fn a_helper_that_hangs_or_dies_costs_no_advert_and_its_files_come_back() {
    if stand_in() {
        return skip("guard: helper", "about kalived's processes");
    }
    let Some(lab) = Lab::new("guard: helper") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let file = lab.path("number");
    let put = |n: u8| std::fs::write(&file, format!("{n}\n")).expect("the lab's directory is writable");
    put(0);
    let block = format!("track_file load {{\n    file \"{}\"\n    weight 1\n}}\n", file.display());
    let conf = ["track_file {", "    load", "}"].iter().fold(Conf::v3(150), |c, line| c.with(line));
    let master = lab.start_program(under_test(), &a, &format!("{block}\n{}", conf.text()));
    master.await_state(State::Master);
    let backup = lab.start(&b, &Conf::v3(100));
    backup.await_state(State::Backup);
    let wire = lab.capture(&b, "ip proto 112");
    let on_wire = |priority: u8| {
        until_true("the priority on the wire", || wire.adverts_of(&a).last().is_some_and(|v| v.priority == priority));
    };
    put(10);
    on_wire(160);
    let helper = until("a helper", || role(&master, "--helper"));
    kill(helper);
    master.await_line(&format!("helper process({helper}) died: Respawning"));
    // Whether before the next helper looks or after it.
    put(20);
    on_wire(170);
    let next = until("another helper", || role(&master, "--helper").filter(|h| *h != helper));
    signal("STOP", &[next]);
    put(30);
    wire.await_adverts(&a, 40);
    signal("CONT", &[next]);
    on_wire(180);
    // One that hangs does not keep the daemon from stopping.
    signal("STOP", &[next]);
    assert!(wire.adverts_of(&b).is_empty() && backup.times(State::Master) == 0, "log of b:\n{}", backup.log());
    let (code, log) = master.stop();
    assert_eq!(code, Some(0), "log:\n{log}");
    until_true("the helper to end", || {
        // It ends with the line to its core, once it runs again.
        signal_if_there("CONT", next);
        gone(next)
    });
}

fn signal_if_there(name: &str, pid: u32) {
    let _ = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).output();
}

/// A Master that was started from a file of the lab's own, which can be replaced; a Backup; the file.
fn replaceable(lab: &Lab, a: &Host, b: &Host) -> (Daemon, Daemon, PathBuf) {
    let path = lab.path("kalived");
    std::fs::copy(executable(Program::Kalived), &path).expect("the lab's directory is writable");
    let text = path.display().to_string();
    // Its $0 is that file, its $1 the program that the lab would start.
    let prefix = ["sh", "-c", "me=$0; shift; exec \"$me\" \"$@\"", &text];
    let master = lab.start_under(&prefix, under_test(), a, &Conf::v3(150).text());
    master.await_state(State::Master);
    let backup = lab.start(b, &Conf::v3(100));
    backup.await_state(State::Backup);
    until_true("a to hold the VIP", || a.holds(VIP));
    (master, backup, path)
}

/// As a package manager does: another file of that name.
fn replace(lab: &Lab, path: &Path, text: &str) {
    let new = lab.path("new");
    std::fs::write(&new, format!("#!/bin/sh\n{text}\n")).expect("the lab's directory is writable");
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    std::fs::rename(&new, path).expect("the lab's directory is writable");
}

#[test]
fn an_upgrade_to_a_program_that_is_no_good_changes_nothing() {
    if stand_in() {
        return skip("guard: bad upgrade", "the stand-in cannot");
    }
    let Some(lab) = Lab::new("guard: bad upgrade") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let (master, backup, path) = replaceable(&lab, &a, &b);
    let monitor = Monitor::on(&lab, &a);
    let wire = lab.capture(&b, "ip proto 112");
    let before = (master.pid(), Some(running(&master, "--core")), Some(running(&master, "--helper")));
    let good = executable(Program::Kalived);
    let no_uring = lab.path("no_uring.py");
    std::fs::write(&no_uring, include_str!("../lab/no_uring.py")).expect("the lab's directory is writable");
    // Programs that support only a part of an upgrade: nothing; the configuration; that, but it hangs; all, but the VRRP process
    // cannot start; all, but it never gets ready.
    let compiles = format!("case $1 in --compile-config) exec {good} \"$@\";; esac");
    let becomes = |hang: &str| {
        let how = format!("exec python3 {} {hang} {good} \"$@\"", no_uring.display());
        format!("{compiles}\ncase $1 in --check*) exit 0;; esac\n{how}")
    };
    let ways = [
        "exit 0".to_owned(),
        "exit 3".to_owned(),
        "kill -SEGV $$".to_owned(),
        format!("{compiles}\nexit 1"),
        format!("{compiles}\nexec sleep 1000"),
        becomes("--hang"),
        becomes(""),
    ];
    for way in ways {
        replace(&lab, &path, &way);
        let (code, text) = ask(&master, "upgrade");
        assert!(code.is_some_and(|c| c != 0) && text.contains("Upgrade refused"), "{way}: {code:?} {text}");
        assert_eq!((master.pid(), role(&master, "--core"), role(&master, "--helper")), before, "{way}");
        wire.await_adverts(&a, 5);
    }
    // A file that cannot be executed at all.
    std::fs::write(&path, "").expect("the lab's directory is writable");
    let (code, text) = ask(&master, "upgrade");
    assert!(code.is_some_and(|c| c != 0) && text.contains("Upgrade refused"), "{code:?} {text}");
    // One that any user could have put there.
    replace(&lab, &path, &format!("exec {good} \"$@\""));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).expect("it is ours");
    let (code, text) = ask(&master, "upgrade");
    assert!(code == Some(1) && text.contains("is writable by everybody: it is not run"), "{code:?} {text}");
    assert_eq!(master.lines_with("Upgrade refused").len(), 9, "log:\n{}", master.log());
    assert!(wire.adverts_of(&b).is_empty() && backup.times(State::Master) == 0, "log of b:\n{}", backup.log());
    assert!(wire.adverts_of(&a).iter().all(|v| v.priority == 150), "no farewell");
    assert!(a.holds(VIP) && !monitor.lost_the_vip(), "{}", monitor.text());
    // The running daemon is not affected: it stops as usual.
    let (code, log) = master.stop();
    assert_eq!(code, Some(0), "log:\n{log}");
    assert!(!a.holds(VIP));
}

#[test]
fn a_guard_that_is_killed_takes_its_scripts_with_it() {
    if stand_in() {
        return skip("guard: killed with scripts", "about kalived's processes");
    }
    let Some(lab) = Lab::new("guard: killed with scripts") else { return };
    let a = lab.host("a", 20);
    let ran = lab.path("ran");
    let long = script(&lab, "long.sh", &format!("echo $$ > {0}.new\nmv {0}.new {0}\nexec sleep 1000", ran.display()));
    let mut conf = Conf::v3(150);
    conf.global = "    script_user root\n    enable_script_security\n".to_owned();
    let block = format!("vrrp_script long {{\n    script {}\n    interval 100\n    weight 1\n}}\n", long.display());
    let text = format!("{block}\n{}", conf.with("track_script {").with("    long").with("}").text());
    let wire = lab.capture(&a, "ip proto 112");
    let master = lab.start_program(under_test(), &a, &text);
    until_true("the VIP on a", || a.holds(VIP));
    let pid = until("the script's number", || std::fs::read_to_string(&ran).ok()?.trim().parse::<u32>().ok());
    kill(master.pid());
    until_true("script, VIP and daemon to be gone", || gone(pid) && !a.holds(VIP));
    until_true("a farewell", || wire.adverts_of(&a).last().is_some_and(|v| v.priority == 0));
}

/// More scripts than may run: one that may not is a failed check, without another effect.
#[test]
fn seven_hundred_scripts_at_once_stop_nothing() {
    if stand_in() {
        return skip("guard: 700 scripts", "about kalived's processes");
    }
    let Some(lab) = Lab::new("guard: 700 scripts") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let long = script(&lab, "long.sh", "exec sleep 1000");
    let mut conf = Conf::v3(150).with("track_script {");
    let mut blocks = String::new();
    for i in 0..700 {
        blocks += &format!(
            "vrrp_script s{i} {{\n    script {}\n    interval 5\n    timeout 100\n    weight 1\n}}\n",
            long.display()
        );
        conf = conf.with(&format!("    s{i}"));
    }
    let mut conf = conf.with("}");
    conf.global = "    script_user root\n    enable_script_security\n".to_owned();
    let backup = lab.start(&b, &Conf::v3(100));
    let master = lab.start_program(under_test(), &a, &format!("{blocks}\n{}", conf.text()));
    until_true("the VIP on a only", || a.holds(VIP) && !b.holds(VIP));
    let wire = lab.capture(&b, "ip proto 112");
    let core = Some(running(&master, "--core"));
    let taken = backup.times(State::Master);
    until_true("as many as may run", || master.pids().len() >= 512);
    wire.await_adverts(&a, 50);
    let pids = master.pids();
    assert!(pids.len() <= 512 + 3, "{} processes", pids.len());
    assert_eq!(role(&master, "--core"), core, "log:\n{}", master.log());
    assert!(wire.adverts_of(&b).is_empty() && backup.times(State::Master) == taken, "log of b:\n{}", backup.log());
    let (code, log) = master.stop();
    assert_eq!(code, Some(0), "log:\n{log}");
    until_true("all of them to be gone", || pids.iter().all(|p| gone(*p)));
}
