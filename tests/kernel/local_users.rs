//! Protection from local users: what a script inherits, who may replace one, which processes outlive the daemon, and a daemon that is
//! not root.
//!
//! Read first: `../lab/mod.rs`, `traps_scripts.rs` (scripts and their files).

use super::guard::{ask, role};
use super::traps_scripts::script;
use crate::lab::daemon::{Conf, Daemon, Program, State, VIP, stand_in};
use crate::lab::{Lab, have, skip, until, until_true};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

const AS_ROOT: &str = "    script_user root\n    enable_script_security\n";
/// `nobody`, which every machine has.
const NOBODY: u32 = 65_534;

fn conf(priority: u8) -> Conf {
    Conf { global: AS_ROOT.to_owned(), ..Conf::v3(priority) }
}

fn root() -> bool {
    // In a user namespace other users do not exist.
    std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|m| m.split_whitespace().nth(2) == Some("4294967295"))
        && std::fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0)
}

/// A directory of the lab that `nobody` may write to.
fn open_dir(lab: &Lab) -> PathBuf {
    let dir = lab.path("open");
    std::fs::create_dir(&dir).expect("the lab's directory is writable");
    std::os::unix::fs::chown(&dir, Some(NOBODY), Some(NOBODY)).expect("we are root");
    dir
}

fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok().filter(|t| !t.is_empty())
}

fn field<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_else(|| panic!("{name} in {text}")).trim()
}

fn lives(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| !s.contains(") Z "))
}

#[test]
fn a_script_of_another_user_has_nothing_of_the_daemons_standing() {
    if stand_in() || !root() {
        return skip("standing of scripts", "about kalived as root");
    }
    let Some(lab) = Lab::new("standing of scripts") else { return };
    let a = lab.host("a", 20);
    let seen = open_dir(&lab).join("seen");
    let hook = script(
        &lab,
        "hook.sh",
        &format!(
            "exec > {0}.new\ncat /proc/self/limits\necho oom $(cat /proc/self/oom_score_adj)\nid -u\nid -G\necho home $HOME user $USER path $PATH\n\
             cat /proc/self/status\necho sid $(cut -d' ' -f6,7 /proc/self/stat) $$\necho -900 > /proc/self/oom_score_adj\n\
             echo then $(cat /proc/self/oom_score_adj)\nchrt -f 10 true && echo real-time\nmv {0}.new {0}",
            seen.display()
        ),
    );
    let conf = conf(150).with(&format!("notify_master {} nobody", hook.display()));
    let wrapper = "echo -900 > /proc/self/oom_score_adj; ulimit -r 50; ulimit -e 40; ulimit -l unlimited; ulimit -c unlimited; \
                   export HOME=/opt/daemon USER=daemon PATH=/opt/daemon/bin:$PATH; exec \"$@\"";
    let daemon = lab.start_under(&["bash", "-c", wrapper, "bash"], Program::Kalived, &a, &conf.text());
    let text = until("the hook", || read(&seen));
    let limit = |name: &str| field(&text, name).split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        (limit("Max realtime priority"), limit("Max nice priority")),
        (vec!["0".into(); 2], vec!["0".into(); 2])
    );
    assert!(limit("Max locked memory").iter().all(|l| l != "unlimited"), "{text}");
    assert_eq!(limit("Max core file size")[0], "0");
    assert_eq!((field(&text, "oom "), field(&text, "then ")), ("0", "0"), "{text}");
    assert!(!text.contains("real-time"), "{text}");
    assert!(text.contains(" user nobody path /usr/") && !text.contains("/opt/daemon"), "{text}");
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(field(&text, set), "0000000000000000", "{text}");
    }
    // kalived has no huge pages, and a program has them as before.
    let own = read(Path::new("/proc/self/status")).expect("there is one");
    assert_eq!(field(&text, "THP_enabled:"), field(&own, "THP_enabled:"), "{text}");
    let session: Vec<&str> = field(&text, "sid ").split_whitespace().collect();
    assert_eq!((session[0], session[1]), (session[2], "0"), "a session of its own, no terminal");
    assert_eq!(daemon.stop().0, Some(0));
}

#[test]
fn a_script_that_somebody_else_could_exchange_since_it_was_looked_at_is_not_run_as_root() {
    if stand_in() || !root() {
        return skip("exchanged scripts", "about kalived as root");
    }
    let Some(lab) = Lab::new("exchanged scripts") else { return };
    let a = lab.host("a", 20);
    let dir = lab.path("scripts");
    std::fs::create_dir(&dir).expect("the lab's directory is writable");
    let (check, ran) = (dir.join("check.sh"), lab.path("ran"));
    let write = |text: &str| {
        // With another name first: a program that runs is never written to.
        let new = dir.join("new");
        std::fs::write(&new, text).expect("the lab's directory is writable");
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
        new
    };
    std::fs::rename(write("#!/bin/sh\nexit 0\n"), &check).expect("it was just made");
    let text = format!("vrrp_script chk {{\n    script {}\n    interval 1\n}}\n", check.display())
        + &conf(150).with("track_script {").with("    chk").with("}").text();
    let daemon = lab.start_program(Program::Kalived, &a, &text);
    daemon.await_state(State::Master);
    let evil = format!("#!/bin/sh\nid -u > {}\nexit 0\n", ran.display());
    let good = || {
        std::fs::rename(write("#!/bin/sh\nexit 0\n"), &check).expect("it was just made");
    };
    let mut faults = 0;
    let mut masters = 1;
    let mut refused = |what: &str| {
        faults += 1;
        until_true(&format!("{what} refused"), || daemon.times(State::Fault) >= faults);
        assert!(!ran.exists(), "{what} was run");
    };
    let mut again = || {
        masters += 1;
        until_true("the VIP back", || daemon.times(State::Master) >= masters);
    };
    // Another user's file in its place.
    let new = write(&evil);
    std::os::unix::fs::chown(&new, Some(NOBODY), Some(0)).expect("we are root");
    std::fs::rename(&new, &check).expect("it was just made");
    refused("a script of nobody's");
    daemon.await_line(&format!("Unsafe permissions found for script '{}' - not run", check.display()));
    good();
    again();
    // The directory becomes a shared one.
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o1777)).expect("it is ours");
    std::fs::rename(write(&evil), &check).expect("it was just made");
    refused("a shared directory");
    good();
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    again();
    // Another user's link.
    let target = script(&lab, "target.sh", &format!("id -u > {}", ran.display()));
    let link = dir.join("link");
    std::os::unix::fs::symlink(&target, &link).expect("the lab's directory is writable");
    std::os::unix::fs::lchown(&link, Some(NOBODY), None).expect("we are root");
    std::fs::rename(&link, &check).expect("it was just made");
    refused("a link of nobody's");
    good();
    again();
    // An access control list.
    if have("setfacl") {
        std::fs::rename(write(&evil), &check).expect("it was just made");
        let acl = a.output(&format!("setfacl -m u:nobody:rwx {}", check.display()));
        if acl.status.success() {
            refused("a list that lets nobody write");
            good();
            again();
        }
    }
    assert_eq!(daemon.stop().0, Some(0));
}

#[test]
fn what_a_check_left_ends_with_the_daemon_and_what_a_hook_started_stays() {
    if stand_in() {
        return skip("leftovers", "the stand-in leaves them");
    }
    let Some(lab) = Lab::new("leftovers") else { return };
    let a = lab.host("a", 20);
    let (service, gentle, stubborn) = (lab.path("service"), lab.path("gentle"), lab.path("stubborn"));
    let (running, slow) = (lab.path("running"), lab.path("slow"));
    let hook = script(
        &lab,
        "hook.sh",
        &format!(
            "setsid sh -c 'echo $$ > {0}; sleep 1000; :' &\nwhile ! [ -s {0} ]; do sleep 0.1; done",
            service.display()
        ),
    );
    // The first run leaves two processes and ends, the second one starts a third and takes too long, all others succeed.
    let check = script(
        &lab,
        "check.sh",
        &format!(
            "[ -e {2} ] && exit 0\nif [ -e {3} ]; then setsid sh -c 'echo $$ > {2}; sleep 1000; :' & sleep 1000; fi\n\
             setsid sh -c 'echo $$ > {0}; sleep 1000; :' &\nsetsid sh -c 'trap \"\" TERM; echo $$ > {1}; while :; do sleep 1; done' &\n\
             while ! [ -s {0} -a -s {1} ]; do sleep 0.1; done\n: > {3}",
            gentle.display(),
            stubborn.display(),
            running.display(),
            slow.display()
        ),
    );
    let text = format!(
        "vrrp_script chk {{\n    script {}\n    interval 1\n    timeout 2\n    weight 1\n}}\n",
        check.display()
    ) + &conf(150)
        .with(&format!("notify_master {}", hook.display()))
        .with("track_script {")
        .with("    chk")
        .with("}")
        .text();
    let daemon = lab.start_program(Program::Kalived, &a, &text);
    let pid = |path: &Path| until("a process in a session of its own", || read(path)).trim().to_owned();
    let (service, gentle, stubborn, running) = (pid(&service), pid(&gentle), pid(&stubborn), pid(&running));
    // With the check that took too long its own processes were killed.
    until_true("what the check began to end with it", || !lives(&running));
    assert!(lives(&service) && lives(&gentle) && lives(&stubborn), "they may stay while kalived runs");
    // And over a hand-over to another process.
    let (code, text) = ask(&daemon, "upgrade");
    assert_eq!(code, Some(0), "{text}");
    assert!(lives(&service) && lives(&gentle) && lives(&stubborn));
    let (code, log) = daemon.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(!lives(&gentle) && !lives(&stubborn), "they outlived it");
    assert!(lives(&service), "a service that a hook started ended with kalived");
    // Its process id is still its own: it was alive just before, and no other process ends it.
    let ended = a.output(&format!("kill -9 {service}"));
    assert!(ended.status.success());
}

fn status_of(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default()
}

/// Bits of a set of capabilities.
fn caps(status: &str, set: &str) -> u64 {
    u64::from_str_radix(field(status, set), 16).expect("a number in hexadecimal")
}

#[test]
fn the_core_keeps_what_the_network_asks_for_and_nothing_else() {
    if stand_in() || !root() {
        return skip("capabilities of the core", "about kalived as root");
    }
    let Some(lab) = Lab::new("capabilities of the core") else { return };
    let a = lab.host("a", 20);
    let daemon = lab.start(&a, &conf(150));
    daemon.await_state(State::Master);
    let status = status_of(until("a core", || role(&daemon, "--core")));
    // NET_ADMIN, NET_RAW, IPC_LOCK, SYS_NICE.
    let needed = 1 << 12 | 1 << 13 | 1 << 14 | 1u64 << 23;
    for set in ["CapEff:", "CapPrm:", "CapBnd:"] {
        assert_eq!(caps(&status, set) & !needed, 0, "{set} {status}");
    }
    assert_eq!(field(&status, "NoNewPrivs:"), "1");
    // It keeps these through a reload and an upgrade.
    for word in ["reload", "upgrade"] {
        let (code, text) = ask(&daemon, word);
        assert_eq!(code, Some(0), "{word}: {text}");
    }
    assert!(a.holds(VIP));
    assert_eq!(daemon.stop().0, Some(0));
    assert!(!a.holds(VIP));
}

/// As the second unit starts it: an ordinary user with four ambient capabilities.
fn unprivileged(lab: &Lab, host: &crate::lab::Host, text: &str) -> Daemon {
    let four = "+net_admin,+net_raw,+sys_nice,+ipc_lock";
    let caps = ["--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all"].map(|w| format!("{w},{four}"));
    let mut words = vec!["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"];
    words.extend(caps.iter().map(String::as_str));
    lab.start_under(&words, Program::Kalived, host, text)
}

#[test]
fn it_runs_as_an_ordinary_user_with_four_capabilities() {
    if stand_in() || !root() {
        return skip("an ordinary user", "about kalived, and other users are needed");
    }
    let Some(lab) = Lab::new("an ordinary user") else { return };
    let sees = ["--reuid=65534", "--clear-groups", "test", "-x", crate::lab::daemon::executable(Program::Kalived)];
    if !std::process::Command::new("setpriv").args(sees).status().is_ok_and(|s| s.success()) {
        return skip("an ordinary user", "the program lies where other users may not go");
    }
    let a = lab.host("a", 20);
    let dir = open_dir(&lab);
    std::fs::set_permissions(lab.path("").parent().expect("in the lab"), std::fs::Permissions::from_mode(0o1777))
        .expect("it is ours");
    let seen = dir.join("seen");
    let hook = script(
        &lab,
        "hook.sh",
        &format!(
            "{{ id -u; cat /proc/self/status; echo oom $(cat /proc/self/oom_score_adj); }} > {0}.new\nmv {0}.new {0}",
            seen.display()
        ),
    );
    let fifo = dir.join("fifo");
    let conf = Conf { global: format!("    vrrp_notify_fifo {}\n", fifo.display()), ..Conf::v3(150) };
    let daemon = unprivileged(&lab, &a, &conf.with(&format!("notify_master {}", hook.display())).text());
    daemon.await_state(State::Master);
    until_true("the VIP", || a.holds(VIP));
    let text = until("the hook", || read(&seen));
    assert!(text.starts_with("65534\n"), "{text}");
    for set in ["CapPrm:", "CapEff:", "CapAmb:", "CapInh:"] {
        assert_eq!(caps(&text, set), 0, "{text}");
    }
    assert!(!daemon.log().contains("as root"), "{}", daemon.log());
    let meta = until("the pipe", || std::fs::symlink_metadata(&fifo).ok());
    assert_eq!((meta.uid(), meta.mode() & 0o7777), (NOBODY, 0o600));
    // Other processes of that user may not read it: its memory has secrets.
    let core = until("a core", || role(&daemon, "--core"));
    for pid in [daemon.pid(), core] {
        let owner = std::fs::metadata(format!("/proc/{pid}/mem")).expect("it lives").uid();
        assert_eq!(owner, 0, "process {pid} can be read by its user");
    }
    for word in ["reload", "status", "upgrade", "reload"] {
        let (code, text) = ask(&daemon, word);
        assert_eq!(code, Some(0), "{word}: {text}\n{}", daemon.log());
    }
    assert_eq!(daemon.times(State::Master), 1, "no move by any of it");
    // The old process ends when the last advert that it armed has left.
    until_true("the old core to leave", || !lives(&core.to_string()));
    super::guard::kill(until("the next core", || role(&daemon, "--core")));
    daemon.await_line("resumes as MASTER");
    assert!(a.holds(VIP));
    let (code, log) = daemon.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(!a.holds(VIP), "{log}");
}
