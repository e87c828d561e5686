//! Tracked processes: counted at the beginning and after each change, with the kernel's events and without.

use crate::{Dir, Helper, root};
use kalived::config::model::vrrp::ParamMatch;
use kalived::helper::proto::{Ask, Tell};
use std::fs;
use std::process::{Child, Command, Stdio};

fn watch(watch: u64, argv: &[&str], param_match: ParamMatch, full_command: bool) -> Ask {
    Ask::WatchProcesses { watch, argv: argv.iter().map(|w| (*w).to_owned()).collect(), param_match, full_command }
}
fn count(watch: u64, n: u32) -> Tell {
    Tell::Processes { watch, result: Ok(n) }
}

/// A program of this name that sleeps; killed at the end.
struct Sleeper(Child);

impl Sleeper {
    fn start(program: &str, args: &[&str]) -> Sleeper {
        Sleeper(Command::new(program).args(args).stdin(Stdio::null()).spawn().unwrap())
    }
    /// Dead, and not yet waited for: a zombie.
    fn kill(&mut self) {
        self.0.kill().unwrap();
    }
}
impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `sleep` under another name, at most 15 bytes, that no other test has.
fn program(dir: &Dir, name: &str) -> String {
    let path = dir.path(name);
    fs::copy("/bin/sleep", &path).unwrap();
    path
}

fn starts_stops_and_is_a_zombie(helper: &Helper, tag: &str) {
    let dir = Dir::make();
    // A name that a simple parser of /proc/PID/stat reads wrongly.
    let name = format!("{tag}{} ) Z", std::process::id() % 100_000);
    let path = program(&dir, &name);
    let mut first = Sleeper::start(&path, &["60"]);
    helper.ask(watch(1, &[&name], ParamMatch::Unset, false));
    helper.until(&count(1, 1));
    let second = Sleeper::start(&path, &["60"]);
    helper.until(&count(1, 2));
    first.kill();
    helper.until(&count(1, 1));
    drop(second);
    helper.until(&count(1, 0));
    drop(first);
    let _third = Sleeper::start(&path, &["60"]);
    helper.until(&count(1, 1));
}

#[test]
fn processes_start_stop_and_become_zombies() {
    starts_stops_and_is_a_zombie(&Helper::start(), "k");
}

#[test]
fn without_events_proc_is_read_and_that_is_said_once() {
    // The connector exists in the first network namespace only.
    if !root() || !Command::new("unshare").args(["-n", "true"]).status().is_ok_and(|s| s.success()) {
        println!("skipped: no network namespaces");
        return;
    }
    let helper = Helper::under(&["unshare", "-n"]);
    let absent = "no such process is";
    helper.ask(watch(7, &[absent], ParamMatch::Unset, false));
    let (Tell::Note { text, .. }, _) = helper.heard() else { panic!("a note") };
    assert!(text.contains("every 200 ms"), "{text}");
    assert_eq!(helper.heard().0, count(7, 0));
    helper.ask(Ask::Unwatch { watch: 7 });
    starts_stops_and_is_a_zombie(&helper, "u");
}

#[test]
fn a_process_that_changes_its_name_changes_the_count() {
    let helper = Helper::start();
    let (before, after) = (format!("b{}", std::process::id()), format!("a{}", std::process::id()));
    helper.ask(watch(1, &[&before], ParamMatch::Unset, false));
    helper.ask(watch(2, &[&after], ParamMatch::Unset, false));
    for w in [1, 2] {
        helper.until(&count(w, 0));
    }
    let script = "printf %s \"$0\" > /proc/$$/comm; read x; printf %s \"$1\" > /proc/$$/comm; read x";
    let (rx, mut tx) = std::io::pipe().unwrap();
    let child = Command::new("sh").args(["-c", script, &before, &after]).stdin(rx).spawn().unwrap();
    let _end = Sleeper(child);
    helper.until(&count(1, 1));
    std::io::Write::write_all(&mut tx, b"\n").unwrap();
    // In either order.
    let mut seen = [helper.says(), helper.says()];
    seen.sort_by_key(|t| matches!(t, Tell::Processes { watch: 2, .. }));
    assert_eq!(seen, [count(1, 0), count(2, 1)]);
}

#[test]
fn parameters_tell_one_from_another() {
    let (helper, dir) = (Helper::start(), Dir::make());
    let path = program(&dir, "params");
    let _all = [Sleeper::start(&path, &["60"]), Sleeper::start(&path, &["60", "1"]), Sleeper::start(&path, &["600"])];
    for (w, argv, compare, full, n) in [
        (1, vec![&path[..]], ParamMatch::Unset, true, 3),
        (2, vec![&path, "60"], ParamMatch::Unset, false, 1),
        (3, vec![&path, "60"], ParamMatch::Partial, false, 2),
        (4, vec![&path, "60"], ParamMatch::Initial, false, 3),
        (5, vec![&path], ParamMatch::Exact, false, 0),
    ] {
        helper.ask(watch(w, &argv, compare, full));
        helper.until(&count(w, n));
    }
}

#[test]
fn a_storm_of_processes_ends_in_the_right_number() {
    let (helper, dir) = (Helper::start(), Dir::make());
    let name = format!("s{}", std::process::id());
    let path = program(&dir, &name);
    helper.ask(watch(1, &[&name], ParamMatch::Unset, false));
    helper.until(&count(1, 0));
    // Each shell begins and ends some hundred processes; what is left counts.
    let script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do \"$0\" 0; /bin/true; done";
    let storm: Vec<_> = (0..4).map(|_| Command::new("sh").args(["-c", script, &path]).spawn().unwrap()).collect();
    for mut shell in storm {
        assert!(shell.wait().unwrap().success());
    }
    let _left = [Sleeper::start(&path, &["60"]), Sleeper::start(&path, &["60"]), Sleeper::start(&path, &["60"])];
    helper.until(&count(1, 3));
}
