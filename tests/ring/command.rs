//! The command as an operator meets it: exit codes, the pid file, the background, SIGTERM.

use crate::netns::inside;
use std::path::PathBuf;
use std::process::{Command, Output};

const CONFIG: &str =
    "vrrp_instance V {\n interface absent0\n virtual_router_id 1\n virtual_ipaddress { 10.0.0.1/32 }\n}\n";

struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Dir {
        let dir = std::env::temp_dir().join(format!("kalived-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("c.conf"), CONFIG).unwrap();
        Dir(dir)
    }
    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}
impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn kalived(args: &[&str]) -> Command {
    let mut c = Command::new(env!("CARGO_BIN_EXE_kalived"));
    c.args(args);
    c
}

fn code_and_text(out: &Output) -> (Option<i32>, String) {
    (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
}

#[test]
fn what_cannot_start_says_why_with_its_own_code() {
    let dir = Dir::new("refused");
    let run = |args: &[&str]| code_and_text(&kalived(args).output().unwrap());
    let (code, text) = run(&["--config", &dir.path("none.conf"), "-n"]);
    assert_eq!(code, Some(6), "{text}");
    std::fs::write(dir.path("empty.conf"), "").unwrap();
    assert_eq!(run(&["-f", &dir.path("empty.conf"), "-n"]).0, Some(6));
    let (code, text) = run(&["-t", "-f", &dir.path("c.conf")]);
    assert!(code == Some(0) && text.contains("absent0"), "{code:?} {text}");
    let (code, text) = run(&["--nonsense"]);
    assert!(code == Some(1) && text.contains("--nonsense"), "{text}");
    let (code, text) = run(&["-v"]);
    assert!(code == Some(0) && text.starts_with("Kalived v"), "{text}");
    let (code, text) = run(&["--help"]);
    assert!(code == Some(0) && text.contains("--use-file") && text.contains("Exit codes"), "{text}");
}

#[test]
fn a_missing_capability_is_named() {
    if !inside("command::a_missing_capability_is_named") {
        return;
    }
    let dir = Dir::new("caps");
    let mut c = Command::new("setpriv");
    c.args(["--bounding-set", "-net_admin", "--inh-caps", "-net_admin", env!("CARGO_BIN_EXE_kalived")]);
    let out = c.args(["-n", "-f", &dir.path("c.conf"), "-p", &dir.path("pid")]).output();
    let Ok(out) = out else {
        println!("skipped: no setpriv");
        return;
    };
    let (code, text) = code_and_text(&out);
    assert!(code == Some(4) && text.contains("CAP_NET_ADMIN"), "{code:?} {text}");
}

#[test]
fn the_background_daemon_holds_its_pid_file_and_stops_when_asked() {
    if !inside("command::the_background_daemon_holds_its_pid_file_and_stops_when_asked") {
        return;
    }
    let dir = Dir::new("background");
    let (conf, pid) = (dir.path("c.conf"), dir.path("pid"));
    // What an earlier one left behind does not count, whoever has that number now.
    std::fs::write(&pid, std::process::id().to_string()).unwrap();
    let start = || kalived(&["-f", &conf, "-p", &pid]).output().unwrap();
    let (code, text) = code_and_text(&start());
    assert_eq!(code, Some(0), "{text}");
    // The command waited for the start: the pid is there now.
    let daemon = std::fs::read_to_string(&pid).unwrap().trim().to_owned();
    assert_ne!(daemon, std::process::id().to_string());
    let name = std::fs::read_to_string(format!("/proc/{daemon}/comm")).unwrap();
    assert_eq!(name.trim(), "kalived");
    let (code, text) = code_and_text(&start());
    assert!(code == Some(1) && text.contains("already running"), "{code:?} {text}");
    assert!(Command::new("kill").arg(&daemon).status().unwrap().success());
    // Its parent is not us: it is gone when its directory in /proc is, or only a zombie's is left.
    let gone = || match std::fs::read_to_string(format!("/proc/{daemon}/stat")) {
        Ok(stat) => stat.contains(") Z "),
        Err(_) => true,
    };
    let deadline = kalived::sys::clock::mono() + crate::PATIENCE;
    while !gone() {
        assert!(kalived::sys::clock::mono() < deadline, "it does not stop");
        std::thread::yield_now();
    }
    assert!(!std::path::Path::new(&pid).exists());
}
