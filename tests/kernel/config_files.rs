//! Files that kalived makes around a reload: `reload_file`, which says that the configuration is being read, and the copies of
//! `config_save_dir`.
//!
//! Read first: `../lab/mod.rs`.

use crate::lab::daemon::{Conf, Daemon, State, stand_in};
use crate::lab::{Lab, Owned, PATH, skip, until_true};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Its lines so far; it ends with the value.
struct Watch {
    _child: Owned,
    log: PathBuf,
}

impl Watch {
    fn of(lab: &Lab, dir: &Path) -> Watch {
        let log = lab.path("events");
        let out = std::fs::File::create(&log).expect("the lab's directory is writable");
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "python3", "-B", "-c", include_str!("../lab/inotify.py")])
            .arg(dir)
            .env("PATH", PATH)
            .stdin(Stdio::null())
            .stdout(out)
            .spawn()
            .expect("setpriv was found by missing()");
        let watch = Watch { _child: Owned(child), log };
        until_true("inotify", || watch.events().first().is_some_and(|l| l == "READY"));
        watch
    }
    fn events(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

/// An instance in an included file, and these global lines.
fn conf(dir: &Path, global: &str) -> String {
    let instance = dir.join("instance.conf");
    std::fs::write(&instance, Conf::v3(150).text()).expect("the lab's directory is writable");
    format!("global_defs {{\n{global}\n}}\ninclude {}\n", instance.display())
}

fn reload(daemon: &Daemon, n: usize) {
    daemon.signal("HUP");
    until_true(&format!("{n} reloads; log:\n{}", daemon.log()), || {
        daemon.lines_with("Reloaded:").len() + daemon.lines_with("Reload refused").len() >= n
    });
}

#[test]
fn reload_file_is_there_while_the_files_are_read_and_no_longer() {
    if stand_in() {
        return skip("reload_file", "Debian's keepalived has no such word");
    }
    let Some(lab) = Lab::new("reload_file") else { return };
    let a = lab.host("a", 20);
    let dir = lab.path("dir");
    std::fs::create_dir(&dir).expect("the lab's directory is writable");
    let mark = dir.join("reading");
    let text = conf(&dir, &format!("reload_file {}", mark.display()));
    let on_a = lab.start_program(crate::lab::daemon::under_test(), &a, &text);
    on_a.await_state(State::Master);
    assert!(!mark.exists(), "not at the start");
    let watch = Watch::of(&lab, &dir);
    for (n, broken) in [(1, false), (2, true)] {
        let before = watch.events().len();
        if broken {
            let path = dir.join("instance.conf");
            let old = std::fs::read_to_string(&path).expect("written above");
            std::fs::write(path, old.replace("priority 150", "priority 999 }"))
                .expect("the lab's directory is writable");
        }
        reload(&on_a, n);
        until_true(&format!("its removal: {:?}", watch.events()), || {
            watch.events()[before..].iter().any(|l| l == "DELETE reading")
        });
        let events = watch.events()[before..].to_vec();
        let at = |what: &str| events.iter().position(|l| l == what);
        let last = |what: &str| events.iter().rposition(|l| l == what);
        // What the test itself wrote comes before.
        let (made, gone) = (at("MOVED_TO reading"), at("DELETE reading"));
        assert!(made.is_some() && made < last("OPEN instance.conf"), "made first: {events:?}");
        assert!(last("CLOSE instance.conf") < gone, "removed last: {events:?}");
        assert!(!mark.exists());
    }
    assert_eq!(on_a.times(State::Master), 1, "{}", on_a.log());
}

/// The copies, in order.
fn saved(dir: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect();
    all.sort();
    all
}

#[test]
fn config_save_dir_has_each_configuration_that_was_read_and_is_one_that_nobody_else_can_change() {
    if stand_in() {
        return skip("config_save_dir", "Debian's keepalived has no such word");
    }
    let Some(lab) = Lab::new("config_save_dir") else { return };
    let a = lab.host("a", 20);
    let dir = lab.path("dir");
    std::fs::create_dir(&dir).expect("the lab's directory is writable");
    let copies = dir.join("copies");
    let text = conf(&dir, &format!("config_save_dir {}", copies.display()));
    let on_a = lab.start_program(crate::lab::daemon::under_test(), &a, &text);
    on_a.await_state(State::Master);
    let mode = |p: &Path| std::fs::symlink_metadata(p).expect("it is there").mode() & 0o7777;
    assert_eq!(mode(&copies), 0o700);
    let first = saved(&copies);
    assert_eq!(first.len(), 1, "{}", on_a.log());
    assert_eq!(mode(&first[0]), 0o600);
    let words = std::fs::read_to_string(&first[0]).expect("it is ours");
    assert!(
        words.contains("config_save_dir") && words.contains("virtual_router_id 51"),
        "with the included file:\n{words}"
    );
    // Their names are seconds.
    let mut reloads = 0;
    until_true("a second one", || {
        reloads += 1;
        reload(&on_a, reloads);
        saved(&copies).len() == 2
    });
    assert_eq!(std::fs::read_to_string(&saved(&copies)[1]).expect("it is ours"), words);
    // A directory that any user may write to; then a link, to a directory that is as it should be.
    std::fs::set_permissions(&copies, std::fs::Permissions::from_mode(0o777)).expect("it is ours");
    let there = saved(&copies);
    reloads += 1;
    reload(&on_a, reloads);
    on_a.await_line("other users may write to");
    assert_eq!(saved(&copies), there);
    let victim = dir.join("victim");
    std::fs::create_dir(&victim).expect("the lab's directory is writable");
    std::fs::remove_dir_all(&copies).expect("it is ours");
    symlink(&victim, &copies).expect("the lab's directory is writable");
    reloads += 1;
    reload(&on_a, reloads);
    on_a.await_line("it is a symbolic link");
    assert!(saved(&victim).is_empty());
    assert_eq!(on_a.states().last(), Some(&State::Master));
}
