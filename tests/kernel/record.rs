//! A recording of a running kalived: a file whose replay prints the decisions, without a password.
//!
//! Read first: `../lab/mod.rs`. The simulator tests that a replay makes exactly the same decisions (`../sim/recording.rs`).

use crate::guard::{ask, kill, role, running};
use crate::lab::daemon::{Conf, Daemon, Program, State, VIP, executable, stand_in};
use crate::lab::{Lab, skip, until, until_true};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

fn record(daemon: &Daemon, to: &Path) -> (Option<i32>, String) {
    let out = Command::new(executable(Program::Kalived))
        .args(["record", "-p"])
        .arg(daemon.pid_file())
        .arg("-o")
        .arg(to)
        .output()
        .expect("it was built for this test");
    (out.status.code(), format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr)))
}

fn replay(file: &Path) -> (Option<i32>, String) {
    let out = Command::new(executable(Program::Kalived)).arg("replay").arg(file).output();
    let out = out.expect("it was built for this test");
    (out.status.code(), format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr)))
}

#[test]
fn what_happened_is_recorded_and_decided_again() {
    if stand_in() {
        return skip("record", "about kalived");
    }
    let Some(lab) = Lab::new("record") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let auth = "authentication {\n auth_type PASS\n auth_pass hush-hus\n }";
    let on_a = lab.start(&a, &Conf::v2(150).with(auth));
    on_a.await_state(State::Master);
    let on_b = lab.start(&b, &Conf::v2(100).with(auth));
    on_b.await_state(State::Backup);
    until_true("the VIP on a", || a.holds(VIP));
    assert_eq!(ask(&on_a, "stop").0, Some(0));
    on_b.await_state(State::Master);
    let file = lab.path("b.kalrec");
    let (code, text) = record(&on_b, &file);
    assert!(code == Some(0) && text.contains("events since "), "{code:?} {text}");
    let bytes = std::fs::read(&file).expect("it was written");
    assert!(!bytes.windows(8).any(|w| w == b"hush-hus"), "the password is in the file");
    assert_eq!(std::fs::metadata(&file).map(|m| m.permissions().mode() & 0o777).ok(), Some(0o600));
    let (code, text) = replay(&file);
    assert!(code == Some(0) && text.contains("everything is decided as it was recorded"), "{code:?} {text}");
    for line in ["Entering BACKUP STATE", "Entering MASTER STATE"] {
        assert!(text.contains(line), "{line}: {text}");
    }
    // It replaces an earlier recording, and no other file.
    assert_eq!(record(&on_b, &file).0, Some(0));
    let foreign = lab.path("foreign");
    std::fs::write(&foreign, "precious\n").expect("the lab's directory is writable");
    let (code, text) = record(&on_b, &foreign);
    assert!(code == Some(1) && text.contains("no recording"), "{code:?} {text}");
    assert_eq!(std::fs::read(&foreign).ok().as_deref(), Some(&b"precious\n"[..]));
    // Changed bytes, and bytes that are no recording.
    let mut bad = bytes.clone();
    let at = bad.len() / 2;
    bad[at] ^= 1;
    std::fs::write(&foreign, &bad).expect("the lab's directory is writable");
    let (code, text) = replay(&foreign);
    assert!(code == Some(1) && text.contains("damaged"), "{code:?} {text}");
    // A process that continues after another one records from its own start.
    let core = running(&on_b, "--core");
    kill(core);
    until("another core", || role(&on_b, "--core").filter(|c| *c != core));
    on_b.await_line("resumes as MASTER");
    until_true("a recording of it", || record(&on_b, &file).0 == Some(0));
    let (code, text) = replay(&file);
    assert!(code == Some(0) && text.contains("resumes as MASTER"), "{code:?} {text}");
    assert_eq!(on_b.stop().0, Some(0));
}
