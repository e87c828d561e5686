//! Traps of a reload, an upgrade and a crash, which must have no effect on other hosts.
//!
//! Trap numbers are those of `docs/traps.md`. Read first: `../lab/mod.rs`, `../lab/capture.rs`.

use crate::lab::daemon::{Conf, Daemon, State, VIP, executable, stand_in, under_test};
use crate::lab::{Host, Lab, pause, skip, until, until_true};

/// Runs `kalived <verb>` for a running daemon: exit code and text.
fn ask(host: &Host, daemon: &Daemon, verb: &str) -> (Option<i32>, String) {
    let out = host
        .command(executable(under_test()))
        .args([verb, "-p", &daemon.pid_file().display().to_string()])
        .output()
        .expect("setpriv was found by missing()");
    (out.status.code(), String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned())
}

fn change(daemon: &Daemon, text: &str) {
    std::fs::write(daemon.conf(), text).expect("the lab's directory is writable");
}

fn core(daemon: &Daemon) -> u32 {
    until("the core", || {
        daemon.pids().into_iter().find(|p| {
            std::fs::read(format!("/proc/{p}/cmdline"))
                .is_ok_and(|c| c.split(|b| *b == 0).any(|w| w.starts_with(b"--core")))
        })
    })
}

fn fds(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

fn memory_kib(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:").map(str::to_owned)).unwrap_or_default();
    line.split_whitespace().next().and_then(|w| w.parse().ok()).unwrap_or(0)
}

/// Two routers, a Master and b Backup, settled.
fn pair(lab: &Lab, master: &Conf) -> (Host, Host, Daemon, Daemon) {
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let on_b = lab.start(&b, &Conf { priority: 100, ..master.clone() });
    let on_a = lab.start(&a, master);
    until_true("the VIP on a", || a.holds(VIP) && !b.holds(VIP));
    on_b.await_state(State::Backup);
    (a, b, on_a, on_b)
}

#[test]
fn trap_1_ten_signals_at_once_and_the_last_file_counts() {
    let Some(lab) = Lab::new("trap 1") else { return };
    let (a, b, on_a, on_b) = pair(&lab, &Conf::v3(150));
    let before = (on_a.states().len(), on_b.states().len());
    for n in 0..10u8 {
        let mut conf = Conf::v3(150 + n);
        conf.vips.push(format!("198.18.0.{}", 110 + n));
        change(&on_a, &conf.text());
        on_a.signal("HUP");
        pause(9);
    }
    until_true("the address of the last file", || a.holds("198.18.0.119") && !a.holds("198.18.0.118"));
    assert!(a.holds(VIP) && !b.holds(VIP));
    assert_eq!((on_a.states().len(), on_b.states().len()), before, "no transition\n{}", on_a.log());
    drop((on_a, on_b));
}

#[test]
fn trap_3_a_reload_at_100_ms_leaves_the_backup_in_peace() {
    let Some(lab) = Lab::new("trap 3") else { return };
    let (a, _b, on_a, on_b) = pair(&lab, &Conf::v3(150).every("0.1"));
    let before = on_b.states().len();
    for n in 0..5u8 {
        change(&on_a, &Conf::v3(150 + n % 2).every("0.1").text());
        on_a.signal("HUP");
        pause(200);
    }
    assert!(a.holds(VIP));
    assert_eq!(on_b.states().len(), before, "{}", on_b.log());
}

#[test]
fn trap_4_reloaded_before_its_first_master_down_timer_one_of_two_is_master() {
    let Some(lab) = Lab::new("trap 4") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let (on_a, on_b) = (lab.start(&a, &Conf::v2(150)), lab.start(&b, &Conf::v2(100)));
    on_a.await_state(State::Backup);
    on_a.signal("HUP");
    until_true("the VIP on a only", || a.holds(VIP) && !b.holds(VIP));
    pause(1500);
    assert!(a.holds(VIP) && !b.holds(VIP));
    assert!(on_b.times(State::Master) <= 1, "{}", on_b.log());
}

/// Two instances on one interface, in either order.
fn two(first: (&str, u8, &[&str]), second: (&str, u8, &[&str])) -> String {
    let one = |(name, vrid, vips): (&str, u8, &[&str])| {
        let vips: String = vips.iter().map(|v| format!("        {v}\n")).collect();
        format!(
            "vrrp_instance {name} {{\n    interface eth0\n    virtual_router_id {vrid}\n    priority 150\n    advert_int 0.2\n    \
             version 3\n    virtual_ipaddress {{\n{vips}    }}\n}}\n"
        )
    };
    one(first) + &one(second)
}

/// Watches address messages of a host until dropped; what was deleted.
struct Deletions {
    _monitor: crate::lab::Owned,
    path: std::path::PathBuf,
}

impl Deletions {
    fn watch(lab: &Lab, host: &Host) -> Deletions {
        let path = lab.path("deleted");
        let file = std::fs::File::create(&path).expect("the lab's directory is writable");
        let mut c = host.command("ip");
        c.args(["-o", "monitor", "address"]).stdout(file);
        let monitor = crate::lab::Owned(c.spawn().expect("ip was found by missing()"));
        let watch = Deletions { _monitor: monitor, path };
        // It listens once it reports an address that the test adds and removes.
        until_true("the monitor", || {
            host.script("ip addr add 203.0.113.9/32 dev lo; ip addr del 203.0.113.9/32 dev lo");
            watch.text().contains("203.0.113.9")
        });
        watch
    }
    fn text(&self) -> String {
        std::fs::read_to_string(&self.path).unwrap_or_default()
    }
    fn of(&self, addr: &str) -> usize {
        self.text().lines().filter(|l| l.starts_with("Deleted") && l.contains(&format!(" {addr}/"))).count()
    }
}

#[test]
fn trap_5_an_address_that_changes_hands_never_leaves_the_kernel() {
    let Some(lab) = Lab::new("trap 5") else { return };
    for order in [false, true] {
        let a = lab.host(if order { "b" } else { "a" }, if order { 30 } else { 20 });
        let file = |moved: bool| {
            let x: &[&str] = if moved { &["198.18.0.101"] } else { &["198.18.0.101", "198.18.0.100"] };
            let y: &[&str] = if moved { &["198.18.0.102", "198.18.0.100"] } else { &["198.18.0.102"] };
            if order { two(("X", 1, x), ("Y", 2, y)) } else { two(("Y", 2, y), ("X", 1, x)) }
        };
        let daemon = lab.start_program(under_test(), &a, &file(false));
        until_true("all addresses", || ["198.18.0.100", "198.18.0.101", "198.18.0.102"].iter().all(|v| a.holds(v)));
        let watch = Deletions::watch(&lab, &a);
        for moved in [true, false, true] {
            change(&daemon, &file(moved));
            let (code, text) = if stand_in() {
                daemon.signal("HUP");
                pause(500);
                (Some(0), String::new())
            } else {
                ask(&a, &daemon, "reload")
            };
            assert_eq!(code, Some(0), "{text}");
            assert!(a.holds("198.18.0.100"));
        }
        if !stand_in() {
            pause(300);
            assert_eq!(watch.of("198.18.0.100"), 0, "{}", watch.text());
        }
        daemon.stop();
    }
}

#[test]
fn trap_6_two_instances_swap_their_vrids() {
    if stand_in() {
        return skip("trap 6", "the stand-in takes an address away for a moment");
    }
    let Some(lab) = Lab::new("trap 6") else { return };
    let a = lab.host("a", 20);
    let daemon = lab.start_program(under_test(), &a, &two(("X", 1, &["198.18.0.101"]), ("Y", 2, &["198.18.0.102"])));
    until_true("both addresses", || a.holds("198.18.0.101") && a.holds("198.18.0.102"));
    let watch = Deletions::watch(&lab, &a);
    change(&daemon, &two(("X", 2, &["198.18.0.101"]), ("Y", 1, &["198.18.0.102"])));
    let (code, text) = ask(&a, &daemon, "reload");
    assert_eq!(code, Some(0), "{text}");
    until_true("both addresses still", || a.holds("198.18.0.101") && a.holds("198.18.0.102"));
    pause(1500);
    assert_eq!((watch.of("198.18.0.101"), watch.of("198.18.0.102")), (0, 0), "{}\n{}", watch.text(), daemon.log());
    assert!(a.holds("198.18.0.101") && a.holds("198.18.0.102"), "{}", daemon.log());
}

#[test]
fn trap_7_an_address_more_on_one_node_and_later_on_the_other_never_makes_two_masters() {
    let Some(lab) = Lab::new("trap 7") else { return };
    for (n, conf) in [Conf::v2(150), Conf::v3(150)].into_iter().enumerate() {
        for first in [0, 1] {
            let m = (n * 20 + first * 10) as u8;
            let (a, b) = (lab.host("a", 20 + m), lab.host("b", 25 + m));
            let with = |priority: u8, more: bool| {
                let mut c = Conf { priority, vrid: 51 + m, ..conf.clone() };
                c.vips = vec![format!("198.18.1.{m}")];
                if more {
                    c.vips.push(format!("198.18.2.{m}"));
                }
                c.text()
            };
            let on_b = lab.start_program(under_test(), &b, &with(100, false));
            let on_a = lab.start_program(under_test(), &a, &with(150, false));
            let vip = format!("198.18.1.{m}");
            until_true("the VIP on a", || a.holds(&vip) && !b.holds(&vip));
            let before = on_b.times(State::Master);
            let nodes = [(&on_a, 150), (&on_b, 100)];
            for (daemon, priority) in if first == 0 { nodes } else { [nodes[1], nodes[0]] } {
                change(daemon, &with(priority, true));
                daemon.signal("HUP");
                pause(4500);
                assert!(a.holds(&vip) && !b.holds(&vip), "{}\n{}", on_a.log(), on_b.log());
            }
            until_true("the new address on a", || a.holds(&format!("198.18.2.{m}")));
            assert_eq!(on_b.times(State::Master), before, "{}", on_b.log());
        }
    }
}

#[test]
fn trap_9_a_broken_file_changes_nothing_and_the_command_says_so() {
    if stand_in() {
        return skip("trap 9", "the stand-in has no such command");
    }
    let Some(lab) = Lab::new("trap 9") else { return };
    let (a, _b, on_a, on_b) = pair(&lab, &Conf::v3(150));
    let before = on_b.states().len();
    for broken in ["vrrp_instance VI_1 {\n    interface eth0\n    virtual_router_id 51\n", "", "nonsense {\n"] {
        change(&on_a, broken);
        let (code, text) = ask(&a, &on_a, "reload");
        assert!(code.is_some_and(|c| c != 0), "{text}");
        assert!(text.contains(".conf"), "says where: {text}");
        assert!(a.holds(VIP));
    }
    assert_eq!(on_b.states().len(), before);
    change(&on_a, &Conf::v3(160).text());
    assert_eq!(ask(&a, &on_a, "reload").0, Some(0));
    on_a.await_line("priority");
}

/// SNMP and D-Bus have no effect in kalived; their words, and the files that other programs read the state from, come and go by reloads.
#[test]
fn trap_14_snmp_d_bus_and_metrics_are_switched_by_reloads_without_a_transition() {
    if stand_in() {
        return skip("trap 14", "the stand-in has no such command");
    }
    let Some(lab) = Lab::new("trap 14") else { return };
    let (a, _b, on_a, on_b) = pair(&lab, &Conf::v3(150));
    let before = on_b.times(State::Master);
    let mut with = Conf::v3(150);
    with.global =
        "    enable_snmp_vrrp\n    enable_snmp_rfc\n    enable_dbus\n    dbus_service_name org.example.Vrrp1\n"
            .to_owned();
    let words = with.global.lines().count();
    for (round, conf) in [&with, &Conf::v3(150), &with, &Conf::v3(150)].into_iter().enumerate() {
        change(&on_a, &conf.text());
        let (code, text) = ask(&a, &on_a, "reload");
        assert_eq!(code, Some(0), "{text}");
        for (format, has) in [("text", "VI_1"), ("json", "\"VI_1\""), ("openmetrics", "kalived_vrrp_")] {
            let out = a
                .command(executable(under_test()))
                .args(["status", &format!("--format={format}"), "-p", &on_a.pid_file().display().to_string()])
                .output()
                .expect("setpriv was found by missing()");
            let text = String::from_utf8_lossy(&out.stdout).into_owned();
            assert!(out.status.success() && text.contains(has), "round {round}, {format}: {text}");
        }
        // It is said once that they have no effect, and not at each reload.
        let said = ["enable_snmp_vrrp", "enable_snmp_rfc", "enable_dbus", "dbus_service_name"];
        let lines: usize = said.iter().map(|w| on_a.lines_with(&format!("`{w}`")).len().min(1)).sum();
        assert_eq!(lines, words, "{}", on_a.log());
    }
    assert_eq!((on_a.times(State::Master), on_b.times(State::Master)), (1, before), "{}", on_a.log());
    assert!(a.holds(VIP));
}

#[test]
fn trap_12_an_address_that_is_there_when_a_new_instance_is_backup_is_removed() {
    let Some(lab) = Lab::new("trap 12") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let other = "198.18.0.105";
    let on_b = lab.start_program(under_test(), &b, &two(("X", 1, &["198.18.0.101"]), ("Y", 2, &[other])));
    until_true("b holds it", || b.holds(other));
    let on_a = lab.start(&a, &Conf::v3(100));
    until_true("the VIP on a", || a.holds(VIP));
    a.run(&format!("ip addr add {other}/32 dev eth0"));
    let more = two(("X", 1, &["198.18.0.101"]), ("Y", 2, &[other])).replace("priority 150", "priority 50");
    change(&on_a, &(Conf::v3(100).text() + &more));
    on_a.signal("HUP");
    until_true("a to let go of it", || !a.holds(other));
    assert!(a.holds(VIP) && b.holds(other));
    drop((on_a, on_b));
}

#[test]
fn trap_16_a_hook_that_reloads_makes_no_loop() {
    if stand_in() {
        return skip("trap 16", "the stand-in has no such command");
    }
    let Some(lab) = Lab::new("trap 16") else { return };
    let a = lab.host("a", 20);
    let told = lab.path("told");
    let hook = crate::traps_scripts::script(&lab, "hook.sh", &format!("echo x >> {}\nkill -HUP $PPID", told.display()));
    let daemon = lab.start(&a, &Conf::v3(150).with(&format!("notify {}", hook.display())));
    until_true("the VIP on a", || a.holds(VIP));
    pause(3000);
    let text = std::fs::read_to_string(&told).unwrap_or_default();
    assert_eq!(text, "x\nx\n", "BACKUP and MASTER, and nothing more");
    assert_eq!(daemon.lines_with("Reloaded").len(), 2, "{}", daemon.log());
}

/// Trap 10.
#[test]
fn a_thousand_reloads_leave_memory_fds_and_states_as_they_were() {
    if stand_in() {
        return skip("1,000 reloads", "the stand-in has no command that waits for the result");
    }
    let Some(lab) = Lab::new("1,000 reloads") else { return };
    let (a, _b, on_a, on_b) = pair(&lab, &Conf::v3(150));
    let reload = |n: u32| {
        // Priority, an address and a tracker come and go.
        let mut conf = Conf::v3(if n.is_multiple_of(2) { 150 } else { 160 });
        if n.is_multiple_of(3) {
            conf.vips.push("198.18.0.101".to_owned());
        }
        let script = "vrrp_script chk {\n    script /bin/true\n    interval 1\n    weight 5\n}\n";
        let text = match n % 5 {
            0 => script.to_owned() + &conf.with("track_script {").with("    chk").with("}").text(),
            _ => conf.text(),
        };
        change(&on_a, &text);
        let (code, text) = ask(&a, &on_a, "reload");
        assert_eq!(code, Some(0), "reload {n}: {text}\n{}", on_a.log());
    };
    (0..100).for_each(reload);
    // A check script may be running in any moment, and costs a descriptor for as long.
    let least = |pid: u32| {
        let seen = (0..20).map(|_| {
            pause(20);
            fds(pid)
        });
        (seen.min().expect("twenty"), memory_kib(pid))
    };
    let both = |d: &Daemon| [least(d.pid()), least(core(d))];
    let (before, states) = (both(&on_a), (on_a.states().len(), on_b.states().len()));
    (100..1000).for_each(reload);
    for (then, now) in before.into_iter().zip(both(&on_a)) {
        assert!(now.0 <= then.0, "fds {then:?} {now:?}");
        assert!(now.1 <= then.1 + 1024, "KiB {then:?} {now:?}");
    }
    assert_eq!((on_a.states().len(), on_b.states().len()), states, "no transition");
}

#[test]
fn trap_105_a_hundred_upgrades_at_100_ms_are_not_noticed() {
    if stand_in() {
        return skip("trap 105", "the stand-in cannot do that");
    }
    let Some(lab) = Lab::new("trap 105") else { return };
    let (a, b, on_a, on_b) = pair(&lab, &Conf::v3(150).every("0.1"));
    let watch = Deletions::watch(&lab, &a);
    let before = (fds(on_a.pid()), on_b.states().len());
    let wire = lab.capture(&b, "ip proto 112");
    for n in 0..100 {
        let (code, text) = ask(&a, &on_a, "upgrade");
        assert_eq!(code, Some(0), "upgrade {n}: {text}\n{}", on_a.log());
        assert!(a.holds(VIP), "upgrade {n}");
    }
    assert_eq!(on_b.states().len(), before.1, "{}", on_b.log());
    assert_eq!(watch.of(VIP), 0, "the address never left");
    until_true("the last of the old cores to have sent what it had armed", || on_a.pids().len() == 3);
    until_true(&format!("the guard to hold no more than the {} descriptors of before", before.0), || {
        fds(on_a.pid()) <= before.0
    });
    assert!(wire.adverts_of(&a).iter().all(|v| v.priority == 150), "no farewell");
    assert!(wire.adverts_of(&b).is_empty(), "the peer never spoke");
    let (code, log) = on_a.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(!a.holds(VIP));
}

#[test]
fn a_killed_core_is_followed_by_another_before_the_peer_takes_over() {
    if stand_in() {
        return skip("a killed core", "the stand-in starts cold");
    }
    let Some(lab) = Lab::new("a killed core") else { return };
    let (a, b, on_a, on_b) = pair(&lab, &Conf::v3(150).every("0.1"));
    let watch = Deletions::watch(&lab, &a);
    let before = on_b.states().len();
    let old = core(&on_a);
    let _ = std::process::Command::new("kill").args(["-KILL", &old.to_string()]).status();
    on_a.await_line("resumes as MASTER");
    pause(500);
    assert!(a.holds(VIP) && !b.holds(VIP));
    assert_eq!((on_b.states().len(), watch.of(VIP)), (before, 0), "{}\n{}", on_a.log(), on_b.log());
    assert_ne!(core(&on_a), old);
    // Again at once: it is not resumed, and a dead node keeps no address it does not answer for.
    let _ = std::process::Command::new("kill").args(["-KILL", &core(&on_a).to_string()]).status();
    until_true("the address to go", || watch.of(VIP) > 0);
    until_true("the VIP on a again", || a.holds(VIP) && !b.holds(VIP));
    assert_eq!(on_a.stop().0, Some(0));
}

/// As `scripts/kalived.service` has it: a restart is SIGQUIT, and what the service gives into the store comes back to the next.
#[test]
fn a_restart_by_the_service_manager_is_not_noticed_and_a_reload_says_how_it_went() {
    use std::io::Write;
    if stand_in() {
        return skip("service manager", "the stand-in starts cold");
    }
    let Some(lab) = Lab::new("service manager") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let on_b = lab.start(&b, &Conf::v3(100).every("0.1"));
    let conf = lab.path("a.conf");
    let write = |c: &Conf| std::fs::write(&conf, c.text()).expect("the lab's directory is writable");
    write(&Conf::v3(150).every("0.1"));
    let (script, said, socket, pid) = (lab.path("manager.py"), lab.path("said"), lab.path("n"), lab.path("a.pid"));
    std::fs::write(&script, include_str!("../lab/manager.py")).expect("the lab's directory is writable");
    let log = std::fs::File::create(lab.path("a.log")).expect("the lab's directory is writable");
    let mut manager = a.command("python3");
    manager.arg(&script).args([&socket, &said]).arg(executable(under_test()));
    manager
        .args(crate::lab::daemon::arguments(under_test(), &conf, &pid))
        .stdin(std::process::Stdio::piped())
        .stderr(log);
    let mut manager = crate::lab::Owned(manager.spawn().expect("python3 was found by missing()"));
    let said = || std::fs::read_to_string(&said).unwrap_or_default();
    let mut order = |line: &str| {
        let stdin = manager.0.stdin.as_mut().expect("it is piped");
        stdin.write_all(format!("{line}\n").as_bytes()).expect("the manager lives");
    };
    until_true("READY=1", || said().contains("READY=1"));
    until_true("the VIP on a", || a.holds(VIP) && !b.holds(VIP));
    until_true("the states", || said().contains("STATUS=MASTER VI_1"));
    on_b.await_state(State::Backup);
    let (watch, before) = (Deletions::watch(&lab, &a), on_b.states().len());
    for n in 1..=5 {
        order("restart");
        until_true("another READY=1", || said().matches("READY=1").count() > n && a.holds(VIP));
        pause(500);
    }
    assert_eq!((on_b.states().len(), watch.of(VIP)), (before, 0), "{}\n{}", said(), on_b.log());
    assert_eq!(said().matches("exit 0").count(), 5, "{}", said());
    write(&Conf::v3(160).every("0.1"));
    order("reload");
    until_true("the result of a reload", || said().contains("RELOADING=1") && said().contains("1 altered"));
    std::fs::write(&conf, "vrrp_instance {").expect("the lab's directory is writable");
    order("reload");
    until_true("the result of a reload that failed", || said().contains("Reload refused"));
    assert!(a.holds(VIP) && on_b.states().len() == before);
    order("stop");
    until_true("the VIP on b", || b.holds(VIP) && !a.holds(VIP));
}
