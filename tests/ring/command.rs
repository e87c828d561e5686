//! The command as an operator uses it: exit codes, the pid file, the background, SIGTERM.

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
    assert!(
        code == Some(5) && text.contains("absent0") && text.ends_with("c.conf: 1 warning: failed\n"),
        "{code:?} {text}"
    );
    let (code, text) = run(&["-t", "--offline", "-f", &dir.path("c.conf")]);
    assert!(code == Some(0) && text.ends_with("c.conf: no mistakes: passed\n"), "{code:?} {text}");
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
    // A pid file that an earlier one left does not count, whichever process has that number now.
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
    // It is not a child of this process: it has ended when its directory in /proc is gone or is a zombie's.
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

/// A word after -t is the file to test; no form of the option changes a file that was meant to be read.
#[test]
fn no_tool_writes_into_a_file_that_is_there() {
    use std::os::unix::fs::PermissionsExt;
    let dir = Dir::new("written");
    let (conf, other, log) = (dir.path("c.conf"), dir.path("other.conf"), dir.path("log"));
    std::fs::write(&other, CONFIG.replace("absent0", "absent1")).unwrap();
    let run = |args: &[&str]| code_and_text(&kalived(args).output().unwrap());
    let before =
        [&conf, &other].map(|p| (std::fs::read(p).unwrap(), std::fs::metadata(p).unwrap().modified().unwrap()));
    let ok = |args: &[&str], code: i32, says: &str| {
        let (got, text) = run(args);
        assert!(got == Some(code) && text.contains(says), "{args:?}: {got:?} {text}");
        let now =
            [&conf, &other].map(|p| (std::fs::read(p).unwrap(), std::fs::metadata(p).unwrap().modified().unwrap()));
        assert_eq!(now, before, "{args:?}");
    };
    let attached = format!("-t{conf}");
    let long = format!("--config-test={conf}");
    ok(&["-t", &conf], 5, "absent0");
    ok(&["--config-test", &conf], 5, "absent0");
    ok(&["-nt", &conf], 5, "absent0");
    ok(&["-t", "--offline", &conf], 0, "passed");
    ok(&["--offline", "-t", &conf], 0, "passed");
    ok(&["-t", &conf, "-f", &other], 1, "two files to test");
    ok(&["-f", &other, "-t", &conf], 1, "two files to test");
    // A log that is a configuration: this one, with any name, or another one.
    ok(&[&attached, "-f", &conf], 1, "is not written");
    ok(&[&long, "-f", &other], 1, "is not written");
    ok(&["--compile-config", &conf, "--offline", "-o", &conf], 1, "is not written");
    ok(&["--compile-config", &conf, "--offline", "-o", &other], 1, "is not written");
    // What kalived did not write, configuration or not.
    for text in [
        "priority 100\n",
        "10.0.0.1/24\n",
        "#!/bin/sh\nexit 0\n",
        "{{ template }}",
        "root:x:0:0::/root:/bin/sh\n",
        "[1]\n",
        " ",
    ] {
        let there = dir.path("there");
        std::fs::write(&there, text).unwrap();
        ok(&[&format!("-t{there}"), "--offline", "-f", &conf], 1, "kalived did not write");
        ok(&[&format!("-t{there}"), "--offline", "--format=json", "-f", &conf], 1, "kalived did not write");
        ok(&["--compile-config", &conf, "--offline", "-o", &there], 1, "kalived did not write");
        assert_eq!(std::fs::read_to_string(&there).unwrap(), text);
    }
    // What it wrote itself is replaced, by whichever of its tools.
    let again = dir.path("again");
    for _ in 0..2 {
        let to = format!("-t{again}");
        ok(&[&to, "--offline", "-f", &conf], 0, "");
        ok(&[&to, "-f", &conf], 5, "");
        ok(&[&to, "--offline", "--format=json", "-f", &conf], 0, "");
        ok(&[&to, "--format=json", "-f", &conf], 5, "");
        ok(&["--compile-config", &conf, "--offline", "-o", &again], 0, "");
    }
    // A log: a new file of its own, readable for its owner; what another name leads to stays, and links are not followed.
    let (link, name) = (dir.path("link"), dir.path("name"));
    std::fs::write(&log, "old.conf: no mistakes: passed\n").unwrap();
    std::fs::set_permissions(&log, std::fs::Permissions::from_mode(0o666)).unwrap();
    std::fs::hard_link(&log, &name).unwrap();
    std::os::unix::fs::symlink(&log, &link).unwrap();
    ok(&[&format!("-t{log}"), "--offline", "-f", &conf], 0, "");
    assert_eq!(std::fs::read_to_string(&log).unwrap(), format!("{conf}: no mistakes: passed\n"));
    assert_eq!(std::fs::read_to_string(&name).unwrap(), "old.conf: no mistakes: passed\n");
    assert_eq!(std::fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
    ok(&[&format!("--config-test={log}"), "-f", &conf], 5, "");
    assert!(std::fs::read_to_string(&log).unwrap().ends_with("1 warning: failed\n"));
    ok(&[&format!("-t{link}"), "--offline", "-f", &conf], 1, "symbolic link");
    ok(&["--compile-config", &conf, "--offline", "-o", &link], 1, "symbolic link");
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    ok(&["--compile-config", &conf, "--offline", "-o", &log], 0, "");
    assert!(std::fs::read(&log).unwrap().starts_with(b"KALIVE"));
    // Devices are written to as they are.
    ok(&["-t/dev/null", "--offline", "-f", &conf], 0, "");
    assert!(std::fs::metadata("/dev/null").unwrap().permissions().mode() & 0o777 == 0o666);
    let out = kalived(&["-t/dev/stdout", "--offline", "-f", &conf]).output().unwrap();
    assert!(String::from_utf8_lossy(&out.stdout).ends_with("passed\n"));
    let left: Vec<_> = std::fs::read_dir(&dir.0).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 7, "{left:?}");
}

/// A file that fails a test is refused by the compiler of a reload, unless it is forced.
#[test]
fn what_a_test_fails_is_not_compiled_without_force() {
    let dir = Dir::new("forced");
    let conf = dir.path("bad.conf");
    std::fs::write(&conf, CONFIG.replace("interface", "priorty 100\n state MASTER\n interface")).unwrap();
    let run = |args: &[&str]| kalived(args).output().unwrap();
    let (code, text) = code_and_text(&run(&["-t", "--offline", &conf]));
    assert!(code == Some(5) && text.ends_with(": failed\n"), "{code:?} {text}");
    let refused = run(&["--compile-config", &conf, "--offline"]);
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(5), 0));
    assert!(String::from_utf8_lossy(&refused.stderr).contains(": refused; `--force` takes it all the same"));
    let forced = run(&["--compile-config", &conf, "--offline", "--force"]);
    assert!(forced.status.success() && forced.stdout.starts_with(b"KALIVE"));
    // A file that cannot be run is refused with force, too.
    std::fs::write(&conf, CONFIG.replace("virtual_router_id 1", "virtual_router_id 0")).unwrap();
    assert_eq!(run(&["--compile-config", &conf, "--offline", "--force"]).status.code(), Some(2));
}

#[test]
fn a_configuration_from_standard_input() {
    use std::io::Write;
    let piped = |args: &[&str], text: &str| {
        let mut c = kalived(args);
        c.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let mut child = c.spawn().unwrap();
        // Who refuses it does not read it.
        let _ = child.stdin.take().unwrap().write_all(text.as_bytes());
        child.wait_with_output().unwrap()
    };
    assert_eq!(
        code_and_text(&piped(&["-t", "--offline", "-f", "-"], CONFIG)),
        (Some(0), "-: no mistakes: passed\n".into())
    );
    assert_eq!(code_and_text(&piped(&["-t", "-", "--offline"], CONFIG)).0, Some(0));
    assert_eq!(piped(&["-t", "--offline", "-f", "-"], "foo\n").status.code(), Some(5));
    let dump = piped(&["--dump-conf=-"], CONFIG);
    assert!(dump.status.success() && String::from_utf8_lossy(&dump.stdout).starts_with("vrrp_instance V {"));
    let (code, text) = code_and_text(&piped(&["-n", "-f", "-"], CONFIG));
    assert!(code == Some(1) && text.contains("standard input"), "{code:?} {text}");
}
