//! No end leaves an address: signals, commands and deaths in any order, at any time of a start, a resumption, a hand-over.
//!
//! Read first: `traps_handover.rs`. The order of the events is drawn from a fixed seed; their times are not fixed, and the result has to
//! be the same for every time.

use crate::guard::{ask, kill, role, running};
use crate::guard_faults::signal;
use crate::lab::daemon::{Conf, Daemon, VIP, stand_in, under_test};
use crate::lab::{Host, IFACE, Lab, pause, skip, until, until_true};

fn master(lab: &Lab, a: &Host, conf: &Conf) -> Daemon {
    let daemon = lab.start(a, conf);
    until_true("the VIP on a", || a.holds(VIP));
    daemon
}

fn conf() -> Conf {
    Conf::v3(150).every("0.05")
}

/// The virtual addresses that `a` has: the usual one, and those of 198.18.77.0/24.
fn held(a: &Host) -> Vec<String> {
    let all = a.run("ip -o -4 address show");
    let is = |l: &&str| l.contains(&format!(" {VIP}/")) || l.contains(" 198.18.77.");
    all.lines().filter(is).map(str::to_owned).collect()
}

/// After a stop or a hand-over it may end by itself in this moment.
fn kill_if_there(pid: u32) {
    let _ = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status();
}

/// No process of it is left.
fn nothing_left(a: &Host, what: &str, log: &str) {
    let left = held(a);
    assert!(left.is_empty(), "{what}: {left:?}\nlog:\n{log}");
}

#[test]
fn a_stop_right_after_the_core_died_removes_what_the_next_one_was_to_go_on_with() {
    if stand_in() {
        return skip("ends: core, stop", "about kalived's processes");
    }
    let Some(lab) = Lab::new("ends: core, stop") else { return };
    let a = lab.host("a", 20);
    for ms in [0, 2, 5, 10, 20, 40] {
        let daemon = master(&lab, &a, &conf());
        kill(role(&daemon, "--core").expect("it runs"));
        pause(ms);
        let (code, log) = daemon.stop();
        // Whether the guard heard of the death before it was asked, after that, or of both at once.
        assert_eq!(code, Some(0), "{ms} ms; log:\n{log}");
        nothing_left(&a, &format!("{ms} ms"), &log);
    }
}

#[test]
fn a_stop_leaves_no_route_rule_or_pipe_whoever_died_before() {
    if stand_in() {
        return skip("ends: what else", "about kalived's processes");
    }
    let Some(lab) = Lab::new("ends: what else") else { return };
    let a = lab.host("a", 20);
    let pipe = lab.path("pipe");
    let mut conf = conf();
    conf.global = format!("    notify_fifo {}\n", pipe.display());
    let fixed = format!(
        "static_routes {{\n    198.18.80.0/24 dev {IFACE}\n}}\nstatic_rules {{\n    from 198.18.80.1 table 100\n}}\n"
    );
    let text = format!("{fixed}{}", conf.text());
    let left = || format!("{}{}", a.run("ip route show 198.18.80.0/24"), a.run("ip rule show from 198.18.80.1"));
    for what in ["nothing", "core", "core twice", "upgrade", "helper", "helper that was asked"] {
        let mut daemon = lab.start_program(under_test(), &a, &text);
        // The pipe is made long before the address is added.
        until_true("the VIP on a", || a.holds(VIP) && left().lines().count() == 2);
        assert!(pipe.exists());
        match what {
            "nothing" => {}
            "upgrade" => assert_eq!(ask(&daemon, "upgrade").0, Some(0), "log:\n{}", daemon.log()),
            "helper" => kill(running(&daemon, "--helper")),
            // It does nothing any more, and dies when the core has asked it to remove the pipe.
            "helper that was asked" => {
                let helper = running(&daemon, "--helper");
                signal("STOP", &[helper]);
                daemon.signal("TERM");
                daemon.await_line("Stopped; was MASTER");
                kill(helper);
            }
            _ => {
                let core = running(&daemon, "--core");
                kill(core);
                let next = until("another core", || role(&daemon, "--core").filter(|c| *c != core));
                daemon.await_line("going on with the snapshot");
                if what == "core twice" {
                    kill(next);
                    daemon.await_line("to limit respawn rate");
                }
            }
        }
        if what != "helper that was asked" {
            daemon.signal("TERM");
        }
        let (code, log) = (daemon.await_exit().code(), daemon.log());
        assert_eq!(code, Some(0), "{what}; log:\n{log}");
        nothing_left(&a, what, &log);
        assert_eq!(left(), "", "{what}; log:\n{log}");
        assert!(!pipe.exists(), "{what}; log:\n{log}");
    }
}

#[test]
fn a_guard_that_is_killed_right_after_its_core_is_followed_by_a_core_that_cleans_up() {
    if stand_in() {
        return skip("ends: core, guard", "about kalived's processes");
    }
    let Some(lab) = Lab::new("ends: core, guard") else { return };
    let a = lab.host("a", 20);
    for round in 0..4 {
        let mut daemon = master(&lab, &a, &conf());
        let core = role(&daemon, "--core").expect("it runs");
        kill(core);
        // The next one is a process of its own, and may be anywhere in its start.
        until_true("another core", || role(&daemon, "--core").is_some_and(|c| c != core));
        daemon.signal("KILL");
        daemon.await_exit();
        until_true(&format!("no address (round {round}); log:\n{}", daemon.log()), || !a.holds(VIP));
    }
}

#[test]
fn a_stop_that_is_asked_for_again_and_again_waits_for_the_addresses() {
    if stand_in() {
        return skip("ends: again", "about kalived's processes");
    }
    let Some(lab) = Lab::new("ends: again") else { return };
    let a = lab.host("a", 20);
    let more = (0..250).map(|n| format!(" 198.18.77.{n}/32\n")).collect::<String>();
    let many = conf().with(&format!("virtual_ipaddress_excluded {{\n{more} }}"));
    let daemon = master(&lab, &a, &many);
    until_true("all addresses", || held(&a).len() == 251);
    for signal in ["TERM", "INT", "TERM"] {
        daemon.signal(signal);
    }
    let (code, log) = daemon.stop();
    assert_eq!(code, Some(0), "log:\n{log}");
    nothing_left(&a, "signalled four times", &log);
}

#[test]
fn a_stop_while_it_starts_removes_what_a_killed_one_left() {
    if stand_in() {
        return skip("ends: start", "the stand-in removes nothing at its end");
    }
    let Some(lab) = Lab::new("ends: start") else { return };
    let a = lab.host("a", 20);
    for ms in [0, 5, 10, 15, 20, 30] {
        master(&lab, &a, &conf()).kill9();
        assert!(a.holds(VIP), "nobody could remove it");
        let daemon = lab.start(&a, &conf());
        // Before that it is not kalived yet, but the shell's `ip netns exec` or the like.
        daemon.await_line("Starting Kalived");
        pause(ms);
        let (code, log) = daemon.stop();
        assert_eq!(code, Some(0), "{ms} ms; log:\n{log}");
        nothing_left(&a, &format!("{ms} ms"), &log);
    }
}

#[test]
fn nothing_is_left_after_any_order_of_signals_commands_and_deaths() {
    if stand_in() {
        return skip("ends: random", "about kalived's processes");
    }
    let Some(lab) = Lab::new("ends: random") else { return };
    let a = lab.host("a", 20);
    // Knuth's generator: which events come is the same in every run.
    let mut state = 0x9568u64;
    let mut below = |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    for round in 0..8 {
        let daemon = master(&lab, &a, &conf());
        let mut done = Vec::new();
        // No process follows a guard that was killed: it is the last one.
        while done.len() < 3 && !done.contains(&"guard -9") {
            let what = match below(10) {
                0 | 1 => "core -9",
                2 => "helper -9",
                3 => "HUP",
                4 => "upgrade",
                5 => "handover",
                6 => "QUIT",
                7 => "TERM",
                8 => "INT",
                _ => "guard -9",
            };
            done.push(what);
            match what {
                "core -9" => role(&daemon, "--core").into_iter().for_each(kill_if_there),
                "helper -9" => role(&daemon, "--helper").into_iter().for_each(kill_if_there),
                "guard -9" => daemon.signal("KILL"),
                "upgrade" | "handover" => drop(ask(&daemon, what)),
                signal => daemon.signal(signal),
            }
            pause(below(4) * below(80));
        }
        daemon.signal("TERM");
        // A core that was handed over has until a peer may take over.
        until_true(&format!("no address after {done:?} (round {round}); log:\n{}", daemon.log()), || !a.holds(VIP));
        let (_, log) = daemon.stop();
        nothing_left(&a, &format!("{done:?} (round {round})"), &log);
    }
}
