//! The line itself: host names, invalid messages, and the end.

use crate::{Dir, Helper};
use kalived::helper::proto::{Ask, Tell};
use kalived::sys::seqpacket;

#[test]
fn a_name_becomes_addresses() {
    let helper = Helper::start();
    helper.ask(Ask::Lookup { conn: 1, host: "localhost".into(), port: 25 });
    match helper.says() {
        Tell::Resolved { conn: 1, result: Ok(addrs) } => {
            assert!(addrs.iter().all(|a| a.ip().is_loopback() && a.port() == 25), "{addrs:?}");
        }
        other => panic!("{other:?}"),
    }
    // No server is asked for a text that cannot be a name.
    helper.ask(Ask::Lookup { conn: 2, host: "no..name".into(), port: 25 });
    assert!(matches!(helper.says(), Tell::Resolved { conn: 2, result: Err(_) }));
}

#[test]
fn nonsense_is_passed_over_and_said_once() {
    let (helper, dir) = (Helper::start(), Dir::make());
    for nonsense in [&b"\xff"[..], &[0; 100], &[1; 20_000]] {
        seqpacket::send(&helper.line, nonsense, &[]).unwrap();
    }
    helper.ask(Ask::WatchFile { watch: 1, path: dir.path("none") });
    let (Tell::Note { text, .. }, _) = helper.heard() else { panic!("a note") };
    assert!(text.contains("could not be read"), "{text}");
    assert_eq!(helper.heard().0, Tell::FileRead { watch: 1, result: Err(2) });
}

#[test]
fn it_ends_with_the_line_and_not_with_a_signal() {
    let (helper, dir) = (Helper::start(), Dir::make());
    helper.ask(Ask::WatchFile { watch: 1, path: dir.path("none") });
    helper.says();
    for signal in ["-TERM", "-INT", "-HUP"] {
        let pid = helper.child.id().to_string();
        assert!(std::process::Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }
    helper.ask(Ask::WatchFile { watch: 2, path: dir.path("none") });
    assert_eq!(helper.says(), Tell::FileRead { watch: 2, result: Err(2) });
    assert_eq!(helper.end(), Some(0));
}

#[test]
fn without_a_line_it_does_nothing() {
    let status = std::process::Command::new(env!("CARGO_BIN_EXE_kalived")).arg("--helper").status().unwrap();
    assert_eq!(status.code(), Some(1));
}
