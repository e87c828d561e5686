//! Files with mistakes: a message with file, line, column and what to do about it, and a documented exit code; never a panic, never a hang.
//!
//! (Trap 99.) Each case is given to `--config-test` and to a start. Read first: `src/exit.rs`.

use crate::lab::daemon::{Conf, State, stand_in, under_test};
use crate::lab::{Lab, skip, until};
use kalived::exit::ExitCode;
use std::os::unix::net::UnixDatagram;

/// `start: None`: the daemon runs nevertheless.
struct Case {
    name: &'static str,
    text: String,
    test: ExitCode,
    start: Option<ExitCode>,
    /// `line:column` of the message, from 1.
    place: Option<(usize, usize)>,
    /// All of these, in lower case, are in what is printed.
    says: &'static [&'static str],
}

/// Place of the first `needle` in `text`; column 0: at the line's first word.
fn place(text: &str, needle: &str, nth: usize) -> Option<(usize, usize)> {
    let (i, line) = text.lines().enumerate().filter(|(_, l)| l.contains(needle)).nth(nth)?;
    Some((i + 1, line.find(needle)? + 1))
}

fn cases() -> Vec<Case> {
    let good = Conf::v3(150).text();
    let second = good
        .replace("VI_1", "VI_2")
        .lines()
        .skip_while(|l| !l.contains("vrrp_instance"))
        .collect::<Vec<_>>()
        .join("\n");
    let twice = format!("{good}\n{second}\n");
    let open = good.trim_end().trim_end_matches('}').to_owned();
    let absent = good.replace("interface eth0", "interface nosuch0");
    let unknown = good.replace("    state BACKUP\n", "    state BACKUP\n    virtual_router_idd 51\n");
    let range = good.replace("virtual_router_id 51", "virtual_router_id 256");
    vec![
        Case {
            name: "empty",
            text: String::new(),
            test: ExitCode::NoConfig,
            start: Some(ExitCode::NoConfig),
            place: None,
            says: &["empty"],
        },
        Case {
            name: "missing brace",
            place: place(&open, "vrrp_instance", 0).map(|(l, _)| (l, 0)),
            text: open,
            test: ExitCode::ConfigTest,
            start: None,
            says: &["}"],
        },
        Case {
            name: "duplicate VRID",
            place: place(&twice, "virtual_router_id", 1).map(|(l, _)| (l, 0)),
            text: twice,
            test: ExitCode::ConfigTest,
            start: Some(ExitCode::Config),
            says: &["virtual_router_id 51", "first used here", "help:"],
        },
        Case {
            name: "unknown interface",
            place: None,
            text: absent,
            test: ExitCode::ConfigTest,
            start: None,
            says: &["nosuch0"],
        },
        Case {
            name: "unknown keyword",
            place: place(&unknown, "virtual_router_idd", 0),
            text: unknown,
            test: ExitCode::ConfigTest,
            start: None,
            says: &["did you mean", "virtual_router_id"],
        },
        Case {
            name: "VRID out of range",
            place: place(&range, "256", 0).map(|(l, _)| (l, 0)),
            text: range,
            test: ExitCode::ConfigTest,
            start: Some(ExitCode::Config),
            says: &["256", "255"],
        },
    ]
}

fn check(case: &Case, how: &str, printed: &str) {
    let lower = printed.to_lowercase();
    assert!(!lower.contains("panicked"), "{} {how}:\n{printed}", case.name);
    for word in case.says {
        assert!(lower.contains(word), "{} {how} does not say {word:?}:\n{printed}", case.name);
    }
    if let Some((line, column)) = case.place {
        let at = if column == 0 { format!(".conf:{line}:") } else { format!(".conf:{line}:{column}") };
        assert!(printed.contains(&at), "{} {how} does not say {at}:\n{printed}", case.name);
    }
}

#[test]
fn mistakes_are_named_with_their_place_by_config_test_and_by_a_start() {
    if stand_in() {
        return skip("bad config", "the stand-in has other messages and codes");
    }
    let Some(lab) = Lab::new("bad config") else { return };
    let a = lab.host("a", 20);
    for case in cases() {
        let (code, printed) = lab.config_test(&a, &case.text);
        assert_eq!(code, Some(i32::from(case.test as u8)), "{} under --config-test:\n{printed}", case.name);
        check(&case, "under --config-test", &printed);

        let mut daemon = lab.start_program(under_test(), &a, &case.text);
        if let Some(expected) = case.start {
            let code = until(&format!("{} to be refused", case.name), || daemon.exit_code());
            assert_eq!(code, i32::from(expected as u8), "{} at a start:\n{}", case.name, daemon.log());
        } else {
            until(&format!("{} to run", case.name), || daemon.states().last().copied());
        }
        check(&case, "at a start", &daemon.log());
        assert!(case.name != "unknown interface" || daemon.states().last() == Some(&State::Fault));
    }
}

#[test]
fn a_file_that_is_not_there_or_cannot_be_read_is_named() {
    if stand_in() {
        return skip("unreadable config", "the stand-in has other messages and codes");
    }
    let Some(lab) = Lab::new("unreadable config") else { return };
    let a = lab.host("a", 20);
    let missing = lab.path("missing.conf");
    let directory = lab.path("directory.conf");
    std::fs::create_dir(&directory).expect("the lab's directory is writable");
    for (file, reason) in [(&missing, "no such file"), (&directory, "directory")] {
        let (code, printed) = lab.config_test_file(&a, file);
        assert_eq!(code, Some(6), "{printed}");
        let name = file.file_name().and_then(|n| n.to_str()).expect("a plain name");
        assert!(printed.contains(name) && printed.to_lowercase().contains(reason), "{printed}");
    }
    // Root may read every file, unless it drops that capability.
    let secret = lab.path("secret.conf");
    std::fs::write(&secret, Conf::v3(150).text()).expect("the lab's directory is writable");
    let script = format!(
        "chmod 000 {0}; exec setpriv --bounding-set -dac_override,-dac_read_search --inh-caps -dac_override,-dac_read_search \
         {1} -t -l --config {0}",
        secret.display(),
        env!("CARGO_BIN_EXE_kalived")
    );
    let out = a.command("sh").args(["-c", &script]).output().expect("sh exists");
    let printed = [out.stdout, out.stderr].concat();
    let printed = String::from_utf8_lossy(&printed);
    assert_eq!(out.status.code(), Some(6), "{printed}");
    assert!(printed.contains("secret.conf") && printed.to_lowercase().contains("permission denied"), "{printed}");
}

/// What ends a start is in the log, where a start at boot is looked for, as well as on standard error; in the journal once.
#[test]
fn a_start_that_fails_is_in_the_log() {
    if stand_in() {
        return skip("start log", "the stand-in has other messages");
    }
    let Some(lab) = Lab::new("start log") else { return };
    let a = lab.host("a", 20);
    let (socket, conf, pid) = (lab.path("log"), lab.path("k.conf"), lab.path("k.pid"));
    let log = UnixDatagram::bind(&socket).expect("the lab's directory is writable");
    log.set_nonblocking(true).expect("a socket");
    let own_dev = format!(
        "mount -t tmpfs dev /dev && mknod -m 666 /dev/null c 1 3 && mknod -m 666 /dev/urandom c 1 9 && touch /dev/log \
         && mount --bind {} /dev/log && exec \"$@\"",
        socket.display()
    );
    let start = |text: &str, before: &[&str], options: &[&str]| {
        std::fs::write(&conf, text).expect("the lab's directory is writable");
        let mut c = a.command("unshare");
        c.args(["--mount", "sh", "-c", &own_dev, "sh"]).args(before).arg(env!("CARGO_BIN_EXE_kalived"));
        let out = c.args(options).arg("-f").arg(&conf).arg("-p").arg(&pid).output().expect("unshare was found");
        let mut lines = Vec::new();
        let mut buf = [0; 4096];
        while let Ok(n) = log.recv(&mut buf) {
            lines.push(String::from_utf8_lossy(&buf[..n]).into_owned());
        }
        (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned(), lines)
    };
    let good = Conf::v3(150).text();
    let fatal = good.replace("virtual_router_id 51", "virtual_router_id 0");
    let count =
        |lines: &[String], what: &str| lines.iter().filter(|l| l.starts_with("<27>") && l.contains(what)).count();
    for options in [&["-n"][..], &[]] {
        let (code, printed, lines) = start(&fatal, &[], options);
        assert_eq!(code, Some(i32::from(ExitCode::Config as u8)), "{printed}");
        assert!(printed.contains("virtual_router_id"), "{printed}");
        assert_eq!(count(&lines, "fatal: "), 1, "{options:?} {lines:?}");
        assert_eq!(count(&lines, "1 fatal error"), 1, "{options:?} {lines:?}");
    }
    // On standard error, as wanted.
    assert_eq!(start(&fatal, &[], &["-n", "-l"]).2, [""; 0]);
    // No permission; too few descriptors.
    let no_raw = ["setpriv", "--bounding-set", "-net_raw", "--inh-caps", "-net_raw"];
    let few = ["sh", "-c", "ulimit -n 40; exec \"$@\"", "sh"];
    for (before, what, wants) in [
        (&no_raw[..], "missing CAP_NET_RAW", ExitCode::Permission),
        (&few[..], "at most 40 open files are allowed, and 78 are needed", ExitCode::Fatal),
    ] {
        let (code, printed, lines) = start(&good, before, &["-n"]);
        assert_eq!((code, count(&lines, what)), (Some(i32::from(wants as u8)), 1), "{printed} {lines:?}");
        assert!(printed.contains(what), "{printed}");
    }
    // A soft limit alone is raised.
    let soft = ["sh", "-c", "ulimit -S -n 40; exec \"$@\"", "sh"];
    let (_, printed, lines) = start(&fatal, &soft, &["-n"]);
    assert_eq!((count(&lines, "open files"), count(&lines, "fatal: ")), (0, 1), "{printed} {lines:?}");
    // Another one runs.
    let held = lab.start_program(under_test(), &a, &good);
    held.await_line("Entering BACKUP STATE");
    let mut c = a.command("unshare");
    c.args(["--mount", "sh", "-c", &own_dev, "sh", env!("CARGO_BIN_EXE_kalived"), "-n", "-f"]);
    let out = c.arg(&conf).arg("-p").arg(held.pid_file()).output().expect("unshare was found");
    assert_eq!(out.status.code(), Some(i32::from(ExitCode::Config as u8)), "{}", String::from_utf8_lossy(&out.stderr));
    std::fs::write(&conf, &good).expect("the lab's directory is writable");
    let mut c = a.command("unshare");
    c.args(["--mount", "sh", "-c", &own_dev, "sh", env!("CARGO_BIN_EXE_kalived"), "-n", "-f"]);
    let out = c.arg(&conf).arg("-p").arg(held.pid_file()).output().expect("unshare was found");
    assert_eq!(out.status.code(), Some(i32::from(ExitCode::Fatal as u8)), "{}", String::from_utf8_lossy(&out.stderr));
    let mut buf = [0; 4096];
    let mut lines = Vec::new();
    while let Ok(n) = log.recv(&mut buf) {
        lines.push(String::from_utf8_lossy(&buf[..n]).into_owned());
    }
    assert_eq!(count(&lines, "daemon is already running"), 1, "{lines:?}");
}

/// The disk is full: the pid file is named, and no empty one stays.
#[test]
fn a_pid_file_that_cannot_be_written_is_named() {
    if stand_in() {
        return skip("full disk", "the stand-in has other messages");
    }
    let Some(lab) = Lab::new("full disk") else { return };
    let a = lab.host("a", 20);
    let (conf, dir) = (lab.path("k.conf"), lab.path("full"));
    std::fs::create_dir(&dir).expect("the lab's directory is writable");
    std::fs::write(&conf, Conf::v3(150).text()).expect("the lab's directory is writable");
    let (k, at) = (env!("CARGO_BIN_EXE_kalived"), dir.display());
    let script = format!(
        "mount -t tmpfs -o size=4k full {at}; echo x > {at}/fill
         {k} -n -l -f {} -p {at}/k.pid 2>&1 | while read -r line; do
             echo \"$line\"
             case $line in *BACKUP*) test -e {at}/k.pid && echo LEFT; kill $(pgrep -f -x '{k} -n -l .* -p {at}/k.pid');; esac
         done",
        conf.display()
    );
    let out = a.command("unshare").args(["--mount", "sh", "-c", &script]).output().expect("unshare was found");
    let printed = String::from_utf8_lossy(&out.stdout);
    let named = format!("no pid file {at}/k.pid: No space left on device");
    assert!(printed.contains(&named) && printed.contains("Stopped Kalived"), "{printed}");
    assert!(!printed.contains("LEFT"), "{printed}");
}
