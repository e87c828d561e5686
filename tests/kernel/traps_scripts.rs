//! Traps around check scripts and hooks: scripts that hang, hooks that overlap, users that do not exist, paths that others may write.
//!
//! Trap numbers are those of `docs/traps.md`. Read first: `../lab/mod.rs`.

use crate::guard::{ask, kill, running};
use crate::lab::daemon::{Conf, State, VIP, stand_in};
use crate::lab::{Lab, pause, skip, until, until_true};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// An executable file of this lab.
pub fn script(lab: &Lab, name: &str, text: &str) -> PathBuf {
    let path = lab.path(name);
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("the lab's directory is writable");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    path
}

fn text_of(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// A file whose instance tracks one script; `more` goes into the vrrp_script.
fn tracked(conf: &Conf, script: &str, more: &str) -> String {
    let block = format!("vrrp_script chk {{\n    script \"{script}\"\n    {more}\n}}\n\n");
    block + &conf.clone().with("track_script {").with("    chk").with("}").text()
}

const AS_ROOT: &str = "    script_user root\n    enable_script_security\n";

fn conf(priority: u8) -> Conf {
    Conf { global: AS_ROOT.to_owned(), ..Conf::v3(priority) }
}

#[test]
fn trap_71_a_script_that_ignores_sigterm_and_leaves_a_child_gets_its_slot_back() {
    let Some(lab) = Lab::new("trap 71") else { return };
    let a = lab.host("a", 20);
    let ran = lab.path("ran");
    let bad = script(
        &lab,
        "bad.sh",
        &format!("trap '' TERM\necho $$ >> {}\nsleep 1000 &\nwhile :; do sleep 1; done", ran.display()),
    );
    let good = lab.path("good");
    let other = script(&lab, "other.sh", &format!("echo x >> {}", good.display()));
    let text = format!("vrrp_script other {{\n    script {}\n    interval 1\n    weight 1\n}}\n", other.display())
        + &tracked(
            &conf(100).with("track_script {").with("    other").with("}"),
            &bad.display().to_string(),
            "interval 1\n    timeout 1\n    weight 1",
        );
    let daemon = lab.start_program(crate::lab::daemon::under_test(), &a, &text);
    until_true("the bad script to have run three times", || text_of(&ran).lines().count() >= 3);
    let first = text_of(&ran).lines().next().and_then(|l| l.parse::<u32>().ok()).expect("a pid");
    until_true("its process group to be gone", || {
        let group = std::process::Command::new("ps").args(["-o", "pid=", "-g", &first.to_string()]).output();
        group.is_ok_and(|o| o.stdout.is_empty())
    });
    until_true("the other one keeps its schedule", || text_of(&good).lines().count() >= 6);
    assert!(daemon.log().contains("VRRP_Script(chk) timed_out"), "{}", daemon.log());
    assert_eq!(daemon.stop().0, Some(0));
}

#[test]
fn trap_72_a_script_that_takes_too_long_has_failed_and_the_address_moves() {
    let Some(lab) = Lab::new("trap 72") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let hang = lab.path("hang");
    let slow = script(&lab, "slow.sh", &format!("[ -e {} ] && exec sleep 1000\nexit 0", hang.display()));
    let backup = lab.start(&b, &conf(100));
    let master = lab.start_program(
        crate::lab::daemon::under_test(),
        &a,
        &tracked(&conf(150), &slow.display().to_string(), "interval 1\n    timeout 1"),
    );
    until_true("the VIP on a", || a.holds(VIP) && !b.holds(VIP));
    std::fs::write(&hang, "").expect("the lab's directory is writable");
    until_true("the VIP on b", || b.holds(VIP) && !a.holds(VIP));
    master.await_state(State::Fault);
    std::fs::remove_file(&hang).expect("it was there");
    until_true("the VIP on a again", || a.holds(VIP) && !b.holds(VIP));
    drop((master, backup));
}

#[test]
fn trap_73_a_script_that_others_may_write_is_refused_and_the_message_says_which_part_and_how() {
    if stand_in() {
        return skip("trap 73", "the stand-in says it in other words");
    }
    let Some(lab) = Lab::new("trap 73") else { return };
    let a = lab.host("a", 20);
    let open = lab.path("open");
    std::fs::create_dir(&open).expect("the lab's directory is writable");
    let target = script(&lab, "target.sh", "exit 0");
    let inside = open.join("check.sh");
    std::fs::copy(&target, &inside).expect("the lab's directory is writable");
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).expect("it is ours");
    let link = lab.path("link.sh");
    std::os::unix::fs::symlink(&inside, &link).expect("the lab's directory is writable");
    for path in [&inside, &link] {
        let text = tracked(&conf(150), &path.display().to_string(), "interval 1");
        let daemon = lab.start_program(crate::lab::daemon::under_test(), &a, &text);
        daemon.await_state(State::Fault);
        let log = daemon.log();
        let line = log.lines().find(|l| l.contains(&open.display().to_string())).unwrap_or_default();
        assert!(line.contains("rwxrwxrwx") && line.contains("root"), "component, owner and mode: {line}\n{log}");
        assert!(!a.holds(VIP));
        let (code, printed) = lab.config_test(&a, &text);
        assert!(code == Some(6) && printed.contains("rwxrwxrwx"), "{code:?} {printed}");
    }
}

#[test]
fn trap_74_a_script_whose_user_does_not_exist_has_failed() {
    if stand_in() {
        return skip("trap 74", "the stand-in removes the script and runs unchecked");
    }
    let Some(lab) = Lab::new("trap 74") else { return };
    let a = lab.host("a", 20);
    let good = script(&lab, "good.sh", "exit 0");
    let text = tracked(&Conf::v3(150), &good.display().to_string(), "interval 1\n    user nobody_of_that_name");
    let daemon = lab.start_program(crate::lab::daemon::under_test(), &a, &text);
    daemon.await_state(State::Fault);
    assert!(daemon.log().contains("nobody_of_that_name"), "{}", daemon.log());
    assert!(!a.holds(VIP));
}

#[test]
fn trap_70_hooks_of_an_instance_run_one_after_another_and_the_last_one_is_the_state() {
    let Some(lab) = Lab::new("trap 70") else { return };
    let a = lab.host("a", 20);
    let told = lab.path("told");
    let hook = script(&lab, "hook.sh", &format!("echo begin $3 >> {0}\nsleep 1\necho end $3 >> {0}", told.display()));
    let conf = conf(150).with(&format!("notify {}", hook.display()));
    let daemon = lab.start(&a, &conf);
    until_true("the VIP on a", || a.holds(VIP));
    for _ in 0..3 {
        lab.port(&a, "down");
        pause(50);
        lab.port(&a, "up");
        pause(50);
    }
    // The first hook of MASTER may still run, and the VIP may not be gone yet.
    let again = || {
        let text = text_of(&told);
        text.lines().last() == Some("end MASTER") && text.contains("end FAULT")
    };
    until_true("the last hook to be done", again);
    until_true("the VIP on a again", || a.holds(VIP));
    pause(1500);
    let text = text_of(&told);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.last(), Some(&"end MASTER"), "{text}");
    if stand_in() {
        return;
    }
    for pair in lines.chunks(2) {
        assert_eq!(pair[0].replace("begin", "end"), pair[1], "one at a time:\n{text}");
    }
    let states: Vec<&str> = lines.iter().filter_map(|l| l.strip_prefix("end ")).collect();
    assert!(states.windows(2).all(|w| w[0] != w[1]), "no state twice in a row: {states:?}");
    drop(daemon);
}

#[test]
fn trap_77_notify_stop_may_finish() {
    let Some(lab) = Lab::new("trap 77") else { return };
    let a = lab.host("a", 20);
    let told = lab.path("told");
    let hook = script(&lab, "stop.sh", &format!("echo begin >> {0}\nsleep 5\necho end >> {0}", told.display()));
    let mut daemon = lab.start(&a, &conf(150).with(&format!("notify_stop {}", hook.display())));
    until_true("the VIP on a", || a.holds(VIP));
    daemon.signal("TERM");
    until_true("the address to go at once", || !a.holds(VIP));
    assert_ne!(text_of(&told), "begin\nend\n", "the address does not wait for the script");
    let code = daemon.await_exit().code();
    if stand_in() {
        return; // gives it a second
    }
    assert_eq!((code, text_of(&told).as_str()), (Some(0), "begin\nend\n"), "{}", daemon.log());
}

/// Nobody would run it again. What it started stays as well.
#[test]
fn a_hook_runs_to_its_end_when_its_core_dies_and_when_kalived_is_handed_over() {
    if stand_in() {
        return skip("hooks: to the end", "about kalived's processes");
    }
    let Some(lab) = Lab::new("hooks: to the end") else { return };
    let a = lab.host("a", 20);
    let (told, left, go) = (lab.path("told"), lab.path("left"), lab.path("go"));
    assert!(Command::new("mkfifo").arg(&go).status().is_ok_and(|s| s.success()));
    let hook = script(
        &lab,
        "long.sh",
        &format!(
            "sleep 1000 &\necho $! > {left}\necho begin >> {told}\nread x < {go}\necho end >> {told}",
            left = left.display(),
            told = told.display(),
            go = go.display()
        ),
    );
    for handed_over in [false, true] {
        let _ = std::fs::remove_file(&told);
        let mut daemon = lab.start(&a, &conf(150).every("1").with(&format!("notify_master {}", hook.display())));
        until_true("the hook to begin", || text_of(&told) == "begin\n");
        if handed_over {
            assert_eq!(ask(&daemon, "handover").0, Some(0), "{}", daemon.log());
            assert_eq!(daemon.await_exit().code(), Some(0));
        } else {
            // Snapshots are 20 ms apart: a core that dies before the next one has its hook run again by the core that follows.
            pause(1000);
            kill(running(&daemon, "--core"));
            daemon.await_line("resumes as MASTER");
        }
        // Opened so, it fails while there is no reader.
        let open = || std::fs::File::options().write(true).custom_flags(libc::O_NONBLOCK).open(&go).ok();
        let mut to = until("the hook to wait", open);
        to.write_all(b"go\n").expect("there is a reader");
        until_true("the hook to end", || text_of(&told) == "begin\nend\n");
        let sleeper = text_of(&left).trim().to_owned();
        if !handed_over {
            assert_eq!(daemon.stop().0, Some(0));
        }
        let state = std::fs::read_to_string(format!("/proc/{sleeper}/stat")).unwrap_or_default();
        assert!(state.contains("(sleep) S"), "{state}; log:\n{}", text_of(&told));
        kill(sleeper.parse().expect("a number"));
        until_true("the addresses to go", || !a.holds(VIP));
    }
}

#[test]
fn trap_78_each_hook_once() {
    let Some(lab) = Lab::new("trap 78") else { return };
    let a = lab.host("a", 20);
    let told = lab.path("told");
    let hook = |word: &str| script(&lab, &format!("{word}.sh"), &format!("echo {word} $* >> {}", told.display()));
    let mut conf = conf(150);
    for word in ["notify", "notify_master", "notify_backup", "notify_fault", "notify_stop"] {
        conf = conf.with(&format!("{word} {}", hook(word).display()));
    }
    lab.port(&a, "down");
    let daemon = lab.start(&a, &conf);
    daemon.await_state(State::Fault);
    pause(500);
    lab.port(&a, "up");
    until_true("the VIP on a", || a.holds(VIP));
    until_true("the hooks of MASTER", || text_of(&told).contains("notify INSTANCE VI_1 MASTER"));
    daemon.stop();
    let want = "notify_fault \nnotify INSTANCE VI_1 FAULT 150\nnotify_backup \nnotify INSTANCE VI_1 BACKUP 150\nnotify_master \nnotify \
                INSTANCE VI_1 MASTER 150\nnotify_stop \nnotify INSTANCE VI_1 STOP 150\n";
    let text =
        text_of(&told).replace("notify_fault\n", "notify_fault \n").replace("notify_backup\n", "notify_backup \n");
    let text = text.replace("notify_master\n", "notify_master \n").replace("notify_stop\n", "notify_stop \n");
    if !stand_in() {
        assert_eq!(text, want);
    }
}

#[test]
fn trap_79_arguments_reach_a_script_as_they_are_and_nothing_else_does() {
    let Some(lab) = Lab::new("trap 79") else { return };
    let a = lab.host("a", 20);
    let told = lab.path("told");
    let show = format!(
        "exec > {0}.new\nfor w in \"$@\"; do echo \"<$w>\"; done\nls /proc/self/fd | tr '\\n' ' '\necho\nenv | cut -d= -f1 | sort | tr '\\n' ' '\n\
         echo\nid -u\nps -o pgid=,pid= -p $$\nmv {0}.new {0}",
        told.display()
    );
    let hook = script(&lab, "show.sh", &show);
    let conf = conf(150).with(&format!("notify_master \"{} 'it\\\"s' $(id) ;ls *\"", hook.display()));
    let daemon = lab.start_under(
        &["env", "LD_LIBRARY_PATH=/nowhere", "IFS=x", "NOTIFY_SOCKET=/nowhere/socket"],
        crate::lab::daemon::under_test(),
        &a,
        &conf.text(),
    );
    until_true("the VIP on a", || a.holds(VIP));
    let text = until("the hook", || Some(text_of(&told)).filter(|t| !t.is_empty()));
    if stand_in() {
        return;
    }
    assert!(text.contains("<$(id)>") && text.contains("<;ls>") && text.contains("<*>"), "{text}");
    // ls itself opens the directory: 3.
    assert!(text.contains("\n0 1 2 3 \n"), "only fds 0, 1, 2: {text}");
    for unwanted in ["LD_LIBRARY_PATH", "NOTIFY_SOCKET", "LD_PRELOAD"] {
        assert!(!text.contains(unwanted), "{text}");
    }
    assert!(text.contains("KALIVED_STATE") && text.contains("KALIVED_CAUSE"), "{text}");
    drop(daemon);
}

#[test]
fn trap_76_a_fifo_whose_reader_is_dead_or_slow_loses_no_state_and_mixes_no_lines() {
    if stand_in() {
        return skip("trap 76", "the stand-in drops what does not fit");
    }
    let Some(lab) = Lab::new("trap 76") else { return };
    let a = lab.host("a", 20);
    let fifo = lab.path("fifo");
    let conf = Conf { global: format!("{AS_ROOT}    vrrp_notify_fifo {}\n", fifo.display()), ..Conf::v3(150) };
    let daemon = lab.start(&a, &conf);
    until_true("the VIP on a", || a.holds(VIP));
    for _ in 0..5 {
        lab.port(&a, "down");
        daemon.await_state(State::Fault);
        lab.port(&a, "up");
        daemon.await_state(State::Master);
    }
    // Nothing was read until now; a pipe keeps what fits.
    let reader = BufReader::new(std::fs::File::open(&fifo).expect("the daemon made it"));
    let (tx, rx) = std::sync::mpsc::channel();
    #[allow(clippy::disallowed_methods)] // opening and reading a pipe waits for its writer
    let reading = std::thread::spawn(move || {
        for line in reader.lines().map_while(Result::ok) {
            if tx.send(line).is_err() {
                break;
            }
        }
    });
    let mut lines: Vec<String> = Vec::new();
    until_true("the last state in the pipe", || {
        lines.extend(rx.try_iter());
        lines.len() >= 17
    });
    let states: Vec<&str> = lines.iter().map(|l| l.split(' ').nth(2).unwrap_or_default()).collect();
    assert_eq!(states[..2], ["BACKUP", "MASTER"]);
    assert!(states[2..].chunks(3).all(|c| c == ["FAULT", "BACKUP", "MASTER"]), "{lines:?}");
    assert!(lines.iter().all(|l| l.starts_with("INSTANCE \"VI_1\" ") && l.ends_with(" 150")), "{lines:?}");
    daemon.stop();
    until_true("the end of the pipe", || reading.is_finished());
    assert_eq!(rx.try_iter().last().as_deref(), Some("INSTANCE \"VI_1\" STOP 150"));
    assert!(!fifo.exists(), "removed by the one who made it");
}

#[test]
fn trap_76_a_reader_that_ignores_sigterm_is_never_one_of_two() {
    if stand_in() {
        return skip("trap 76: readers", "about kalived's processes");
    }
    let Some(lab) = Lab::new("trap 76: readers") else { return };
    let a = lab.host("a", 20);
    let (fifo, pids, beside) = (lab.path("fifo"), lab.path("pids"), lab.path("beside"));
    let reader = script(
        &lab,
        "reader.sh",
        &format!(
            "trap '' TERM\nfor p in $(cat {0}); do kill -0 $p && echo $p >> {1}; done\necho $$ >> {0}\n\
             exec 3< \"$1\"\nwhile :; do read line <&3 || sleep 0.1; done",
            pids.display(),
            beside.display()
        ),
    );
    let global =
        format!("{AS_ROOT}    vrrp_notify_fifo {}\n    vrrp_notify_fifo_script {}\n", fifo.display(), reader.display());
    let daemon = lab.start(&a, &Conf { global, ..Conf::v3(150) });
    let readers = || text_of(&pids).lines().count();
    until_true("a reader", || readers() == 1);
    daemon.await_state(State::Master);
    let (code, text) = super::guard::ask(&daemon, "upgrade");
    assert_eq!(code, Some(0), "{text}");
    until_true("the next reader", || readers() == 2);
    super::guard::kill(until("a core", || super::guard::role(&daemon, "--core")));
    until_true("the one after that", || readers() == 3);
    assert_eq!(text_of(&beside), "", "of {}", text_of(&pids));
    assert_eq!(daemon.stop().0, Some(0));
}

#[test]
fn the_shapes_of_check_scripts_that_people_write_all_work() {
    let Some(lab) = Lab::new("shapes of scripts") else { return };
    let a = lab.host("a", 20);
    let flag = lab.path("flag");
    std::fs::write(&flag, "").expect("the lab's directory is writable");
    let plain = script(&lab, "plain.sh", "exit 0");
    let bare = lab.path("bare.sh");
    std::fs::write(&bare, "exit 0\n").expect("the lab's directory is writable");
    std::fs::set_permissions(&bare, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    let arguments = script(&lab, "arguments.sh", "[ \"$1 $2\" = \"one two\" ]");
    let mut listener = a.command("python3");
    listener.args(["-c", "import socket,time\ns=socket.socket(); s.setsockopt(1,2,1); s.bind(('127.0.0.1',8080)); s.listen(64); time.sleep(1000)"]);
    let listener = crate::lab::Owned(listener.spawn().expect("python3 exists"));
    let shapes = [
        "killall -0 sleep".to_owned(),
        "/usr/bin/killall -0 sleep".to_owned(),
        "</dev/tcp/127.0.0.1/8080".to_owned(),
        format!("if [ -f {} ]; then exit 0; else exit 1; fi", flag.display()),
        format!("[ -f {} ] && exit 0 || exit 1", flag.display()),
        plain.display().to_string(),
        format!("{} one two", arguments.display()),
        bare.display().to_string(),
        "/bin/sh -c 'exit 0'".to_owned(),
    ];
    let blocks: String = (shapes.iter().enumerate())
        .map(|(n, s)| format!("vrrp_script s{n} {{\n    script \"{s}\"\n    interval 1\n}}\n"))
        .collect();
    let mut conf = Conf { global: "    script_user root\n".to_owned(), ..Conf::v3(150) }.with("track_script {");
    for n in 0..shapes.len() {
        conf = conf.with(&format!("    s{n}"));
    }
    let daemon = lab.start_program(crate::lab::daemon::under_test(), &a, &(blocks + &conf.with("}").text()));
    if stand_in() {
        return; // some of them fail there
    }
    until_true("every script to succeed", || a.holds(VIP));
    drop(listener);
    std::fs::remove_file(&flag).expect("it was there");
    daemon.await_state(State::Fault);
    daemon.await_line("VRRP_Script(s2) failed");
    daemon.await_line("VRRP_Script(s3) failed");
}
