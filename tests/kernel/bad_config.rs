//! Files with mistakes: a message with file, line, column and what to do about it, and a documented exit code; never a panic, never a hang.
//!
//! Each case is given to `--config-test` and to a start. Read first: `src/exit.rs`.

use crate::lab::daemon::{Conf, State, stand_in, under_test};
use crate::lab::{Lab, skip, until};
use kalived::exit::ExitCode;

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
