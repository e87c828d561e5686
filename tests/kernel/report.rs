//! The reports of a pair in real namespaces: JSON is valid by its schema, a firewall rule leads to DUAL_MASTER, and keepalived's dump files
//! appear as their readers expect. Read first: `../lab/mod.rs`.

use crate::lab::daemon::{Conf, Daemon, Program, State, VIP, executable, stand_in};
use crate::lab::{Host, Lab, have, skip, until, until_true};
use serde_json::Value;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

/// The output of `kalived status` in this format.
pub fn status(daemon: &Daemon, format: &str) -> String {
    let out = Command::new(executable(Program::Kalived))
        .args(["status", "--format", format, "-p"])
        .arg(daemon.pid_file())
        .output()
        .expect("it was built");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// The report of a daemon.
pub fn of(daemon: &Daemon) -> Value {
    serde_json::from_str(&status(daemon, "json")).expect("JSON")
}

fn conditions(daemon: &Daemon) -> Vec<String> {
    let report = of(daemon);
    let all = report["instances"][0]["conditions"].as_array().cloned().unwrap_or_default();
    all.iter().map(|c| c["name"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Packets from a to b are dropped: b takes over, and a receives its adverts.
#[test]
fn a_firewall_rule_makes_two_masters_and_the_report_says_so_on_the_one_that_hears() {
    if stand_in() {
        return;
    }
    if !have("nft") {
        return skip("report: dual master", "nft is not installed");
    }
    let Some(lab) = Lab::new("report: dual master") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let on_a = lab.start(&a, &Conf::v3(150));
    on_a.await_state(State::Master);
    let on_b = lab.start(&b, &Conf::v3(100));
    on_b.await_state(State::Backup);
    until_true("the address on a", || a.holds(VIP));
    until_true("a report of a Backup that follows", || of(&on_b)["instances"][0]["master"] == a.v4());
    let report = of(&on_a);
    let i = &report["instances"][0];
    assert_eq!(
        (&i["state"], &i["addresses"][0]["held"], &i["source"]),
        (&"MASTER".into(), &true.into(), &a.v4().into())
    );
    assert_eq!((&report["daemon"]["pid"], &report["truncated"]), (&on_a.pid().into(), &false.into()));
    assert!(report["event_loop"]["advert_timers"].as_u64() > Some(0), "{report}");
    assert_eq!((conditions(&on_a), conditions(&on_b)), (Vec::<String>::new(), vec![]));

    b.script("nft add table ip t; nft 'add chain ip t in { type filter hook input priority 0; }'; nft add rule ip t in ip protocol 112 drop");
    on_b.await_state(State::Master);
    until_true("a to report two Masters", || conditions(&on_a) == ["DUAL_MASTER"]);
    let text = status(&on_a, "text");
    assert!(text.contains("(VI_1) DUAL_MASTER since ") && text.contains(&b.v4()), "{text}");
    assert!(text.contains("firewall rules for IP protocol 112") && text.contains("IGMP snooping"), "{text}");
    on_a.await_line("(VI_1) DUAL_MASTER: ");
    let metrics = status(&on_a, "openmetrics");
    let line = metrics.lines().find(|l| l.starts_with("kalived_vrrp_condition{") && l.contains("DUAL_MASTER"));
    assert!(line.is_some_and(|l| l.ends_with(" 1")) && metrics.ends_with("# EOF\n"), "{metrics}");
    // The other host receives no advert, and reports what that may mean.
    let text = status(&on_b, "text");
    assert!(
        text.contains("MASTER since")
            && text.contains("no advert for")
            && text.contains(&format!("last from {}", a.v4())),
        "{text}"
    );

    b.script("nft delete table ip t");
    on_b.await_state(State::Backup);
    until_true("one Master again", || conditions(&on_a).is_empty());
    on_a.await_line("DUAL_MASTER is over after");
    assert_eq!(of(&on_a)["instances"][0]["counters"]["dual_master"], 1);
    for daemon in [on_a, on_b] {
        assert_eq!(daemon.stop().0, Some(0));
    }
}

/// The directory that TMPDIR names, and the daemon that writes there.
fn dumper(lab: &Lab, host: &Host, more: &str) -> (Daemon, std::path::PathBuf) {
    let dir = lab.path("dumps");
    std::fs::create_dir_all(&dir).expect("the lab's directory is writable");
    let mut conf = Conf::v3(150);
    conf.global = more.to_owned();
    let tmp = format!("TMPDIR={}", dir.display());
    let daemon = lab.start_under(&["env", &tmp], Program::Kalived, host, &conf.text());
    daemon.await_state(State::Master);
    (daemon, dir)
}

/// Trap 97. VyOS waits for IN_CLOSE_WRITE on the final name, then deletes the file; exporters read it and want whole numbers.
#[test]
fn dump_files_are_there_when_their_name_is_closed_and_never_through_a_link() {
    if stand_in() {
        return;
    }
    let Some(lab) = Lab::new("report: dumps") else { return };
    let a = lab.host("a", 20);
    let (daemon, dir) = dumper(&lab, &a, "");
    let victim = lab.path("victim");
    std::fs::write(&victim, "victim").expect("the lab's directory is writable");
    std::os::unix::fs::symlink(&victim, dir.join("keepalived.json")).expect("the lab's directory is writable");
    for (signal, name) in [
        ("USR1", "keepalived.data"),
        ("USR2", "keepalived.stats"),
        ("36", "keepalived.json"),
        ("37", "keepalived.json"),
    ] {
        let mut events = kalived::sys::inotify::Inotify::open().expect("inotify");
        events.add(&dir).expect("a directory");
        daemon.signal(signal);
        until(&format!("{name} to be closed"), || {
            let all = events.events().ok()?;
            all.into_iter().find(|e| e.name == name.as_bytes() && e.settled)
        });
        let text = std::fs::read_to_string(dir.join(name)).expect("the file is there");
        assert!(text.contains("VI_1"), "{name}: {text}");
        std::fs::remove_file(dir.join(name)).expect("VyOS deletes it");
    }
    assert_eq!(std::fs::read_to_string(&victim).expect("it stays"), "victim");
    // Statistics and data with no pause between: both are there, and name the same virtual routers.
    daemon.signal("USR2");
    daemon.signal("USR1");
    let read = |name: &str| until(name, || std::fs::read_to_string(dir.join(name)).ok());
    let (stats, data) = (read("keepalived.stats"), read("keepalived.data"));
    assert_eq!((stats.matches("VRRP Instance: ").count(), data.matches(" VRRP Instance = ").count()), (1, 1));
    // OpenWrt signals every process and reads at once; nothing ends.
    // Guard, core, helper: each process that wrote a file has ended.
    let before = until("three processes", || Some(daemon.pids()).filter(|pids| pids.len() == 3));
    daemon.signal_all("37");
    until_true("the file", || dir.join("keepalived.json").exists());
    assert_eq!(daemon.pids().into_iter().filter(|p| before.contains(p)).count(), before.len());
    // Nothing else is left there.
    let left = || {
        std::fs::read_dir(&dir)
            .expect("a directory")
            .flatten()
            .filter(|e| e.file_name().to_string_lossy().starts_with('.'))
            .count()
    };
    until_true("no temporary file", || left() == 0);
    // 63: counters begin anew.
    daemon.signal("63");
    daemon.await_line("Printing and clearing VRRP stats for process(");
    until_true("counters that begin anew", || of(&daemon)["instances"][0]["counters"]["became_master"] == 0);
    assert_eq!(daemon.stop().0, Some(0));
}

#[test]
fn startup_and_shutdown_scripts_run_around_all_of_it_and_are_not_waited_for_for_ever() {
    if stand_in() {
        return;
    }
    let Some(lab) = Lab::new("report: own scripts") else { return };
    let a = lab.host("a", 20);
    let (began, ended) = (lab.path("began"), lab.path("ended"));
    let (up, down) = (lab.path("up"), lab.path("down"));
    for (path, body) in [
        (&up, format!("ip -o address show dev eth0 > {}; exit 3", began.display())),
        (&down, format!("ip -o address show dev eth0 > {}; sleep 60", ended.display())),
    ] {
        std::fs::write(path, format!("#!/bin/sh\n{body}\n")).expect("the lab's directory is writable");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(path, mode).expect("it is ours");
    }
    let mut conf = Conf::v3(150);
    conf.global = format!(
        "script_user root\nstartup_script {}\nshutdown_script {}\nshutdown_script_timeout 1\n",
        up.display(),
        down.display()
    );
    let daemon = lab.start(&a, &conf);
    daemon.await_state(State::Master);
    until_true("the address", || a.holds(VIP));
    assert!(
        daemon.log().find("startup_script exited with status 3") < daemon.log().find("Starting VRRP child process")
    );
    let before = std::fs::read_to_string(&began).expect("it ran");
    assert!(before.contains("198.18.0.20") && !before.contains(VIP), "{before}");
    let (code, log) = daemon.stop();
    let after = std::fs::read_to_string(&ended).expect("it ran");
    assert!(after.contains("198.18.0.20") && !after.contains(VIP), "{after}");
    assert!(log.contains("shutdown_script has not ended within shutdown_script_timeout: killed"), "{log}");
    assert_eq!(code, Some(0));
}

/// Two members of a group change their state on two hosts, and each is asked again and again meanwhile: every report is whole and of one moment.
#[test]
fn trap_94_reports_during_transitions_are_whole_and_of_one_moment() {
    if stand_in() {
        return;
    }
    let Some(lab) = Lab::new("trap 94") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let text = |priority: u8| {
        let one = |name: &str, vrid: u8, vip: &str| {
            format!(
                "vrrp_instance {name} {{\n interface eth0\n virtual_router_id {vrid}\n priority {priority}\n version 3\n \
                 advert_int 0.1\n virtual_ipaddress {{\n {vip}\n }}\n}}\n"
            )
        };
        format!(
            "vrrp_sync_group G {{\n group {{\n A\n B\n }}\n}}\n{}{}",
            one("A", 51, VIP),
            one("B", 52, "198.18.0.101")
        )
    };
    let on_a = lab.start_program(Program::Kalived, &a, &text(150));
    on_a.await_times(State::Master, 2);
    let on_b = lab.start_program(Program::Kalived, &b, &text(100));
    on_b.await_times(State::Backup, 2);
    let over = AtomicBool::new(false);
    let reader = |daemon: &Daemon| {
        let (mut last, mut seen, mut reports) = (0, std::collections::BTreeSet::new(), 0);
        while !over.load(Ordering::Relaxed) {
            let report = of(daemon);
            one_moment(&report);
            let members = report["instances"].as_array().expect("two");
            let changes = members.iter().map(|i| i["counters"]["became_master"].as_u64()).collect::<Option<Vec<_>>>();
            let sum = changes.expect("numbers").iter().sum::<u64>();
            assert!(sum >= last, "counters do not go back: {report}");
            last = sum;
            seen.insert(report["groups"][0]["state"].as_str().map(str::to_owned));
            reports += 1;
            let metrics = status(daemon, "openmetrics");
            assert!(metrics.ends_with("# EOF\n"), "{metrics}");
            let state = |name: &str| {
                let is = |l: &&str| {
                    l.starts_with("kalived_vrrp_state{") && l.contains(&format!("\"{name}\"")) && l.ends_with(" 1")
                };
                metrics
                    .lines()
                    .find(is)
                    .and_then(|l| l.split("state=\"").nth(1))
                    .map(|l| l.split('"').next().unwrap_or("").to_owned())
            };
            assert!(state("A").is_some() && state("A") == state("B"), "{metrics}");
        }
        (seen, reports)
    };
    std::thread::scope(|all| {
        let readers = [&on_a, &on_a, &on_b, &on_b].map(|daemon| all.spawn(move || reader(daemon)));
        // Set also when what follows fails: a scope waits for its threads.
        let done = Over(&over);
        for round in 1..=5 {
            lab.port(&a, "down");
            on_b.await_times(State::Master, 2 * round);
            on_a.await_times(State::Fault, 2 * round);
            lab.port(&a, "up");
            on_a.await_times(State::Master, 2 * round + 2);
            on_b.await_times(State::Backup, 2 * round + 2);
        }
        drop(done);
        for reader in readers {
            let (seen, reports) = reader.join().expect("every report was sound");
            assert!(seen.len() > 1 && reports > 5, "{seen:?} in {reports} reports");
        }
    });
}

/// Ends the readers.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What is so in every report, between any two events.
fn one_moment(report: &Value) {
    let (group, members) = (&report["groups"][0], report["instances"].as_array().expect("a list"));
    assert_eq!((members.len(), &report["truncated"]), (2, &false.into()), "{report}");
    for i in members {
        assert_eq!(i["state"], group["state"], "a member and its group: {report}");
        let count = |name: &str| i["counters"][name].as_u64().expect("a number");
        let master = u64::from(i["state"] == "MASTER");
        assert_eq!(count("became_master"), count("released_master") + master, "state and counters: {report}");
    }
}

/// A day of questions, one a second, is 86,400: what one adds to the log, a few hundred show.
#[test]
fn trap_96_questions_add_nothing_to_the_log() {
    if stand_in() {
        return;
    }
    let Some(lab) = Lab::new("trap 96") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let on_a = lab.start(&a, &Conf::v3(150));
    on_a.await_state(State::Master);
    let on_b = lab.start(&b, &Conf::v3(100));
    on_b.await_state(State::Backup);
    until_true("a report of a Backup that follows", || of(&on_b)["instances"][0]["master"] == a.v4());
    // The last thing that it says: the second announcement, five seconds after it became Master.
    on_a.await_line("Sending/queueing");
    let logs = || [on_a.log(), on_b.log()];
    let before = logs();
    for _ in 0..60 {
        for daemon in [&on_a, &on_b] {
            for format in ["text", "json", "openmetrics"] {
                assert!(status(daemon, format).contains("VI_1"));
            }
        }
    }
    assert_eq!(logs(), before);
}
