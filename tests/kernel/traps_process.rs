//! Traps around the process: a log without a reader, limits, a missing io_uring, intervals that the packet cannot carry.
//!
//! Trap numbers are those of `docs/traps.md`. Read first: `../lab/mod.rs`.

use crate::lab::daemon::{Conf, State, VIP, stand_in, under_test};
use crate::lab::{Lab, Owned, skip, until, until_true};
use std::process::{Command, Stdio};

/// The pipe is full before the daemon starts, so the very first line it writes would block for ever.
#[test]
fn trap_26_a_log_that_nobody_reads_stops_nothing() {
    if stand_in() {
        return skip("trap 26", "the stand-in writes its log in the way of its timers");
    }
    let Some(lab) = Lab::new("trap 26") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let wire = lab.capture(&b, "ip proto 112");
    let (unread, full) = std::io::pipe().expect("a pipe");
    let filler = full.try_clone().expect("a pipe end can be cloned");
    // Writes until the pipe takes no more. Opened anew, so that the daemon's own end stays one that blocks.
    let full_of = ["if=/dev/zero", "of=/proc/self/fd/1", "oflag=nonblock", "bs=4096"];
    let dd = Command::new("dd").args(full_of).env("LC_ALL", "C").stdout(filler).stdin(Stdio::null()).output();
    let said = String::from_utf8_lossy(&dd.expect("dd exists").stderr).into_owned();
    assert!(said.contains("temporarily unavailable"), "the pipe is full: {said}");
    let (out, err) = (full.try_clone().expect("a pipe end can be cloned"), full);
    let mut daemon = lab.start_logging_to(&a, &Conf::v3(150).text(), out.into(), err.into());
    until_true("the VIP on a", || a.holds(VIP));
    wire.await_adverts(&a, 20);
    daemon.signal("TERM");
    assert_eq!(daemon.await_exit().code(), Some(0));
    assert_eq!(wire.adverts_of(&a).last().map(|v| v.priority), Some(0));
    assert!(!a.holds(VIP));
    drop(unread);
}

/// Processes that use the processors and the disk, with the priority of any process.
#[test]
fn trap_25_busy_processors_and_disks_cause_no_transition() {
    let Some(lab) = Lab::new("trap 25") else { return };
    let (a, b) = (lab.host("a", 20), lab.host("b", 30));
    let conf = |priority| Conf::v3(priority).every("0.1");
    let on_a = lab.start(&a, &conf(150));
    on_a.await_state(State::Master);
    let on_b = lab.start(&b, &conf(100));
    on_b.await_state(State::Backup);
    let before = on_b.times(State::Master);
    let dir = lab.path("disk");
    std::fs::create_dir(&dir).expect("the lab's directory is writable");
    let hog = "while :; do :; done".to_owned();
    let write = |n: usize| {
        let file = dir.join(n.to_string());
        format!("while :; do dd if=/dev/zero of={} bs=64k count=4 conv=fsync 2>/dev/null; done", file.display())
    };
    let load: Vec<Owned> = std::iter::repeat_n(hog, 6)
        .chain((0..12).map(write))
        .map(|text| Owned(a.command("sh").args(["-c", &text]).stdout(Stdio::null()).spawn().expect("sh exists")))
        .collect();
    let wire = lab.capture(&b, "ip proto 112");
    wire.await_adverts(&a, 40);
    drop(load);
    assert_eq!((on_a.times(State::Master), on_b.times(State::Master)), (1, before), "{}{}", on_a.log(), on_b.log());
}

fn refused(test: &str, conf: &Conf, value: &str) {
    let Some(lab) = Lab::new(test) else { return };
    let a = lab.host("a", 20);
    let line = 1 + conf.text().lines().position(|l| l.contains("advert_int")).expect("the file sets it");
    let (code, printed) = lab.config_test(&a, &conf.text());
    if stand_in() {
        assert_ne!(code, Some(0), "{printed}");
        return;
    }
    assert_eq!(code, Some(5), "{printed}");
    assert!(printed.contains("advert_int") || printed.contains(value), "{printed}");
    assert!(printed.contains(&format!(".conf:{line}:")), "file and line are missing:\n{printed}");
    // A start may refuse, too, or use a value that fits; it may not send a wrong interval.
    let wire = lab.capture(&a, "ip proto 112");
    let mut daemon = lab.start(&a, conf);
    let mut code = None;
    until_true("a refusal or adverts", || {
        code = daemon.exit_code();
        code.is_some() || wire.adverts().len() > 3
    });
    if let Some(code) = code {
        assert_eq!(code, 2, "log:\n{}", daemon.log());
        assert!(wire.adverts().is_empty());
    }
    for advert in wire.adverts() {
        let on_wire = u16::from_be_bytes([advert.message[4], advert.message[5]]) & 0x0fff;
        assert!(on_wire > 0, "interval 0 on the wire");
    }
}

#[test]
fn trap_29_a_fraction_of_a_second_in_version_2_is_an_error() {
    refused("trap 29", &Conf::v2(150).every("0.4"), "0.4");
}

#[test]
fn trap_30_41_seconds_in_version_3_are_an_error() {
    refused("trap 30", &Conf::v3(150).every("41"), "41");
}

#[test]
fn trap_102_without_real_time_rights_it_runs_and_says_which_limit_refused() {
    if stand_in() {
        return skip("trap 102", "the stand-in does not try");
    }
    let Some(lab) = Lab::new("trap 102") else { return };
    let a = lab.host("a", 20);
    let poor = ["prlimit", "--rtprio=0:0", "setpriv", "--bounding-set", "-sys_nice", "--inh-caps", "-sys_nice"];
    let daemon = lab.start_under(&poor, under_test(), &a, &Conf::v3(150).text());
    daemon.await_state(State::Master);
    until_true("the VIP on a", || a.holds(VIP));
    let about = daemon.lines_with("RLIMIT_RTPRIO");
    assert_eq!(about.len(), 1, "one line that names the limit; log:\n{}", daemon.log());
    assert_eq!(daemon.stop().0, Some(0));
}

#[test]
fn trap_104_where_io_uring_is_forbidden_it_says_so_and_ends_with_its_own_code() {
    if stand_in() {
        return skip("trap 104", "the stand-in has no use for io_uring");
    }
    let Some(lab) = Lab::new("trap 104") else { return };
    let a = lab.host("a", 20);
    let script = lab.path("no_uring.py");
    std::fs::write(&script, include_str!("../lab/no_uring.py")).expect("the lab's directory is writable");
    let script = script.display().to_string();
    let mut daemon = lab.start_under(&["python3", &script], under_test(), &a, &Conf::v3(150).text());
    let code = until("a refusal", || daemon.exit_code());
    let log = daemon.log();
    assert_eq!(code, 7, "log:\n{log}");
    assert!(log.contains("io_uring"), "log:\n{log}");
    assert!(log.contains("kernel.io_uring_disabled") || log.contains("seccomp"), "no remedy; log:\n{log}");
    assert!(!a.holds(VIP));
}
