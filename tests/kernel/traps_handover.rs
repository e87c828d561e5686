//! A process that holds an address ends only after a successor has confirmed that it takes it over, or after removing it; and no signal
//! that keepalived handles ends a process.
//!
//! The service manager is `../lab/manager.py`: a restart is SIGQUIT, as `scripts/kalived.service` has it. Read first: `../lab/mod.rs`.

use crate::guard::{Monitor, ask, role};
use crate::lab::daemon::{Conf, Daemon, State, VIP, arguments, executable, stand_in, under_test};
use crate::lab::{Host, Lab, Owned, skip, until_true};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A service on `a`, and a peer.
struct Service {
    manager: Owned,
    conf: PathBuf,
    said: PathBuf,
    log: PathBuf,
    a: Host,
    b: Host,
    on_b: Daemon,
}

impl Service {
    fn start(lab: &Lab) -> Service {
        let (a, b) = (lab.host("a", 20), lab.host("b", 30));
        let on_b = lab.start(&b, &Conf::v3(100).every("0.1"));
        let paths = ["a.conf", "said", "a.log", "manager.py", "n", "a.pid"].map(|n| lab.path(n));
        let [conf, said, log, script, socket, pid] = paths;
        std::fs::write(&conf, Conf::v3(150).every("0.1").text()).expect("the lab's directory is writable");
        std::fs::write(&script, include_str!("../lab/manager.py")).expect("the lab's directory is writable");
        let out = std::fs::File::create(&log).expect("the lab's directory is writable");
        let mut c = a.command("python3");
        c.arg(&script).args([&socket, &said]).arg(executable(under_test()));
        c.args(arguments(under_test(), &conf, &pid)).stdin(Stdio::piped()).stderr(out);
        let manager = Owned(c.spawn().expect("python3 was found by missing()"));
        let s = Service { manager, conf, said, log, a, b, on_b };
        until_true("the VIP on a", || s.a.holds(VIP) && !s.b.holds(VIP));
        s.on_b.await_state(State::Backup);
        s
    }

    fn order(&mut self, line: &str) {
        let stdin = self.manager.0.stdin.as_mut().expect("it is piped");
        stdin.write_all(format!("{line}\n").as_bytes()).expect("the manager lives");
    }
    fn text(&self) -> String {
        let read = |p| std::fs::read_to_string(p).unwrap_or_default();
        format!("{}{}", read(&self.said), read(&self.log))
    }
    /// The peer has it, and no other host.
    fn await_peer(&self, what: &str) {
        until_true(what, || !self.a.holds(VIP) && self.b.holds(VIP));
    }
}

#[test]
fn a_restart_with_a_file_that_cannot_be_run_stops_in_good_order() {
    if stand_in() {
        return skip("restart: bad file", "the stand-in starts cold");
    }
    let twice = format!("{0}{1}", Conf::v3(150).text(), Conf::v3(150).text().replace("VI_1", "VI_2"));
    for (what, text) in [("fatal", Some(twice.as_str())), ("empty", Some("")), ("missing", None)] {
        let Some(lab) = Lab::new("restart: bad file") else { return };
        let mut s = Service::start(&lab);
        let wire = lab.capture(&s.b, "ip proto 112");
        match text {
            Some(text) => std::fs::write(&s.conf, text),
            None => std::fs::remove_file(&s.conf),
        }
        .expect("the lab's directory is writable");
        s.order("leave");
        s.await_peer(what);
        until_true("a farewell", || wire.adverts_of(&s.a).last().is_some_and(|v| v.priority == 0));
        until_true("the end of the process", || s.text().lines().any(|l| l.starts_with("exit ")));
        assert!(s.text().contains("exit 0"), "{what}: {}", s.text());
        assert!(s.text().contains("Hand-over refused: "), "{what}: {}", s.text());
    }
}

#[test]
fn a_restart_whose_second_half_never_comes_leaves_no_address() {
    if stand_in() {
        return skip("restart: nobody", "the stand-in starts cold");
    }
    let Some(lab) = Lab::new("restart: nobody") else { return };
    let mut s = Service::start(&lab);
    let wire = lab.capture(&s.b, "ip proto 112");
    s.order("leave");
    s.await_peer("the VIP on b");
    until_true("the line about it", || s.text().contains("no process went on with it"));
    assert!(wire.adverts_of(&s.a).iter().all(|v| v.priority == 150), "no farewell");
}

/// A frozen process whose successor was in charge and has handed over again meanwhile removes nothing.
#[test]
fn restarts_in_quick_succession_do_not_touch_the_address() {
    if stand_in() {
        return skip("restart: quick", "the stand-in starts cold");
    }
    let Some(lab) = Lab::new("restart: quick") else { return };
    let mut s = Service::start(&lab);
    let monitor = Monitor::on(&lab, &s.a);
    for n in 1..=8 {
        s.order("restart");
        until_true("another READY=1", || s.text().matches("READY=1").count() > n);
    }
    s.on_b.await_state(State::Backup);
    assert!(!s.text().contains("no process went on with it"), "{}", s.text());
    assert!(s.a.holds(VIP) && !monitor.lost_the_vip(), "{}", s.text());
}

#[test]
fn a_hand_over_by_command_is_refused_for_a_file_that_cannot_be_run() {
    if stand_in() {
        return skip("handover: refused", "the stand-in cannot");
    }
    let Some(lab) = Lab::new("handover: refused") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let on_b = lab.start(&b, &Conf::v3(100));
    let mut on_a = lab.start(&a, &Conf::v3(150));
    until_true("the VIP on a", || a.holds(VIP));
    on_b.await_state(State::Backup);
    let monitor = Monitor::on(&lab, &a);
    let before = on_b.states().len();
    let write = |text: &str| std::fs::write(on_a.conf(), text).expect("the lab's directory is writable");
    write("");
    let (code, text) = ask(&on_a, "handover");
    assert!(code == Some(1) && text.contains("Hand-over refused: ") && text.contains("what runs goes on"), "{text}");
    // A reload refuses a file with a mistake, unless it is forced.
    let mistaken = Conf::v3(150).text().replace("priority", "priorty");
    write(&mistaken);
    let (code, text) = ask(&on_a, "reload");
    assert!(code == Some(1) && text.contains("priorty"), "{code:?} {text}");
    assert!(!monitor.lost_the_vip() && on_b.states().len() == before, "{}", on_b.log());
    let out = Command::new(executable(under_test())).args(["reload", "--force", "-p"]).arg(on_a.pid_file()).output();
    assert!(out.is_ok_and(|o| o.status.success()), "{}", on_a.log());
    write(&Conf::v3(150).text());
    // Without a successor.
    let (code, text) = ask(&on_a, "handover");
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(on_a.await_exit().code(), Some(0));
    until_true("the VIP on b", || !a.holds(VIP) && b.holds(VIP));
}

/// What a hand-over keeps is what the next process begins with: without a place for it, the process that runs goes on.
#[test]
fn a_hand_over_whose_state_cannot_be_kept_is_refused() {
    if stand_in() {
        return skip("handover: no room", "the stand-in cannot");
    }
    let Some(lab) = Lab::new("handover: no room") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let on_b = lab.start(&b, &Conf::v3(100));
    // The lock, the state and the socket lie in a file system of 64 KiB.
    let small = lab.path("small");
    std::fs::create_dir(&small).expect("the lab's directory is writable");
    let _mounted = Small::mount(&small);
    let pid_file = small.join("a.pid");
    let place = pid_file.to_str().expect("the lab's names are text");
    let words = ["sh", "-c", "exec \"$@\" -p \"$0\"", place];
    let mut on_a = lab.start_under(&words, under_test(), &a, &Conf::v3(150).text());
    let handover = || {
        let out = Command::new(executable(under_test())).args(["handover", "-p", place]).output();
        let out = out.expect("the program under test can be run");
        (out.status.code(), format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr)))
    };
    until_true("the VIP on a", || a.holds(VIP));
    on_b.await_state(State::Backup);
    let monitor = Monitor::on(&lab, &a);
    let before = on_b.states().len();

    let state = small.join("a.state");
    let refused = |why: &str| {
        let (code, text) = handover();
        assert!(code == Some(1) && text.contains("Hand-over refused: the state cannot be kept: "), "{code:?} {text}");
        assert!(text.contains(why) && text.contains("what runs goes on"), "{text}");
        assert!(!monitor.lost_the_vip() && on_b.states().len() == before, "{}", on_b.log());
    };
    std::fs::create_dir(&state).expect("there is room");
    refused("Is a directory");
    std::fs::remove_dir(&state).expect("it is empty");
    let filler = small.join("filler");
    let mut file = std::fs::File::create(&filler).expect("there is room");
    while file.write_all(&[0; 4096]).is_ok() {}
    refused("No space left on device");
    assert!(!state.exists(), "a part of a state is none");

    drop(file);
    std::fs::remove_file(&filler).expect("it is there");
    let (code, text) = handover();
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(on_a.await_exit().code(), Some(0));
    until_true("the VIP on b", || !a.holds(VIP) && b.holds(VIP));
}

/// A mounted file system of 64 KiB.
struct Small(PathBuf);

impl Small {
    fn mount(at: &std::path::Path) -> Small {
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k,mode=700", "small"]).arg(at).status();
        assert!(done.is_ok_and(|s| s.success()), "the tests run in a mount namespace of their own");
        Small(at.to_owned())
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: a daemon that a failed test left may have files open in it.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn no_signal_that_keepalived_takes_ends_a_process_or_moves_an_address() {
    if stand_in() {
        return skip("signals", "about kalived's processes");
    }
    let Some(lab) = Lab::new("signals") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let on_b = lab.start(&b, &Conf::v3(100));
    let on_a = lab.start(&a, &Conf::v3(150));
    until_true("the VIP on a", || a.holds(VIP));
    on_b.await_state(State::Backup);
    until_true("guard, core and helper", || on_a.pids().len() == 3);
    let (monitor, before) = (Monitor::on(&lab, &a), (on_a.pids(), on_b.states().len()));
    // SIGUSR1, SIGUSR2, SIGALRM; SIGRTMIN+2 of two C libraries, SIGRTMAX-1, SIGRTMAX.
    for signal in ["10", "12", "14", "36", "37", "63", "64"] {
        on_a.signal_all(signal);
        on_a.signal_all(signal);
    }
    // The first process handles a stop: a core that alone receives SIGTERM sends no farewell.
    let core = role(&on_a, "--core").expect("a core").to_string();
    let wire = lab.capture(&b, "ip proto 112");
    for signal in ["-TERM", "-INT", "-QUIT"] {
        assert!(Command::new("kill").args([signal, &core]).status().is_ok_and(|s| s.success()));
    }
    wire.await_adverts(&a, 5);
    assert_eq!((on_a.pids(), on_b.states().len()), before, "{}", on_a.log());
    assert!(!monitor.lost_the_vip() && wire.adverts_of(&a).iter().all(|v| v.priority == 150));
    assert_eq!(on_a.lines_with("has no meaning here").len(), 2, "said once each: {}", on_a.log());
    let (code, _) = on_a.stop();
    assert_eq!(code, Some(0));
}

#[test]
fn what_lies_in_place_of_our_files_neither_holds_up_a_start_nor_is_touched() {
    if stand_in() {
        return skip("files in the way", "about kalived's files");
    }
    let Some(lab) = Lab::new("files in the way") else { return };
    let a = lab.host("a", 20);
    let pid = lab.path("own.pid");
    let beside = |ending: &str| pid.with_extension(ending);
    for name in [beside("state"), pid.clone()] {
        assert!(Command::new("mkfifo").arg(name).status().is_ok_and(|s| s.success()));
    }
    std::fs::write(beside("sock"), "precious").expect("the lab's directory is writable");
    let text = pid.display().to_string();
    // The last -p counts.
    let prefix = ["sh", "-c", "exec \"$@\" -p \"$0\"", text.as_str()];
    let on_a = lab.start_under(&prefix, under_test(), &a, &Conf::v3(150).text());
    on_a.await_state(State::Master);
    on_a.await_line("own.state is not used: it is not a regular file");
    on_a.await_line("own.pid: it is not a regular file");
    on_a.await_line("no socket for commands at ");
    let out = Command::new(executable(under_test())).args(["status", "-p"]).arg(&pid).output().expect("it was built");
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.code() == Some(1) && text.contains("own.sock is not a socket"), "{:?} {text}", out.status);
    assert_eq!(std::fs::read(beside("sock")).ok().as_deref(), Some(&b"precious"[..]));
    let (code, log) = on_a.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(!a.holds(VIP));
}

/// A word too many, or the wrong one, behind `-p` or `-r`.
#[test]
fn a_file_that_kalived_did_not_write_is_not_written_to_whatever_option_names_it() {
    if stand_in() {
        return skip("named by mistake", "about kalived's files");
    }
    let Some(lab) = Lab::new("named by mistake") else { return };
    let a = lab.host("a", 20);
    let pid = lab.path("k.conf");
    // The names beside that of the pid file, and the one for `-r`.
    let [core, lock, state] = ["r.conf", "lock", "state"].map(|ending| pid.with_extension(ending));
    for path in [&pid, &core, &lock, &state] {
        std::fs::write(path, "precious\n").expect("the lab's directory is writable");
    }
    let script = "exec \"$@\" -p \"$0\" -r \"${0%.conf}.r.conf\"";
    let text = pid.display().to_string();
    let prefix = ["sh", "-c", script, text.as_str()];
    let on_a = lab.start_under(&prefix, under_test(), &a, &Conf::v3(150).text());
    on_a.await_state(State::Master);
    for what in ["no pid file ", "no lock file ", "k.state is not used: ", "no pid file of the VRRP process: "] {
        assert!(on_a.await_line(what).contains("a file is there that kalived did not write"), "{what}: {}", on_a.log());
    }
    // Without a lock there is no hand-over, so the state file is not replaced.
    on_a.signal("QUIT");
    until_true("the VIP to go", || !a.holds(VIP));
    let (code, log) = on_a.stop();
    assert_eq!(code, Some(0), "{log}");
    for path in [pid, core, lock, state] {
        assert_eq!(std::fs::read(&path).ok().as_deref(), Some(&b"precious\n"[..]), "{}", path.display());
    }
}

#[test]
fn a_note_about_the_file_is_not_repeated_at_each_reload() {
    if stand_in() {
        return skip("notes", "about kalived's log");
    }
    let Some(lab) = Lab::new("notes") else { return };
    let a = lab.host("a", 20);
    let on_a = lab.start(&a, &Conf::v3(150).with("priority 150"));
    on_a.await_state(State::Master);
    for _ in 0..3 {
        let (code, text) = ask(&on_a, "reload");
        assert_eq!(code, Some(0), "{text}");
    }
    assert_eq!(on_a.lines_with("a second time in this block").len(), 1, "{}", on_a.log());
    // Another note is news.
    std::fs::write(on_a.conf(), Conf::v3(150).with("priority 150").with("advert_int 0.2").text())
        .expect("the lab's directory is writable");
    assert_eq!(ask(&on_a, "reload").0, Some(0));
    assert_eq!(on_a.lines_with("`advert_int` a second time").len(), 1, "{}", on_a.log());
}
