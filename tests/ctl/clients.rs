//! Clients that behave badly have no effect on others, and the socket's name cannot be misused.

use crate::{Dir, exists, serve};
use kalived::cli::client::{Failure, exchange};
use kalived::guard::ctl::{MAX_CLIENTS, SILENCE, Server};
use kalived::process::request::{MAX_ANSWER, Request, decode, encode, socket_path};
use kalived::sys::{clock, unixsock};
use kalived::time::Duration;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

fn client(at: &Path) -> OwnedFd {
    unixsock::connect(at, Duration::from_secs(30)).unwrap()
}

fn said(fd: &OwnedFd) -> Option<(bool, String)> {
    let mut buf = vec![0; MAX_ANSWER];
    let (n, _) = unixsock::recv_with_fd(fd.as_fd(), &mut buf).unwrap();
    decode(&buf[..n])
}

#[test]
fn the_socket_is_for_its_owner_and_replaces_only_what_nobody_listens_on() {
    let dir = Dir::new("name");
    let at = socket_path(&dir.pid_file());
    assert_eq!(at, dir.path("k.sock"));
    let server = Server::listen(&at).unwrap();
    let meta = std::fs::symlink_metadata(&at).unwrap();
    assert!(meta.file_type().is_socket() && meta.permissions().mode() & 0o777 == 0o600);
    assert_eq!(Server::listen(&at).unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
    // Killed, then started again.
    drop(server);
    assert!(exists(&at));
    Server::listen(&at).expect("nobody listens there any more").remove();
    assert!(!exists(&at));
    // Neither followed nor removed: a link, one that leads nowhere, a file.
    let target = dir.path("target");
    std::fs::write(&target, "precious").unwrap();
    for leads_to in [target.clone(), dir.path("nowhere")] {
        std::os::unix::fs::symlink(&leads_to, &at).unwrap();
        assert!(Server::listen(&at).is_err());
        assert!(std::fs::symlink_metadata(&at).unwrap().is_symlink() && !exists(&dir.path("nowhere")));
        std::fs::remove_file(&at).unwrap();
    }
    std::fs::write(&at, "precious").unwrap();
    assert!(Server::listen(&at).is_err());
    assert_eq!(
        (std::fs::read(&at).unwrap(), std::fs::read(&target).unwrap()),
        (b"precious".to_vec(), b"precious".to_vec())
    );
    assert!(Server::listen(&dir.path(&"x".repeat(200))).is_err(), "no name for a socket");
}

#[test]
fn silent_clients_are_dropped_and_more_than_a_few_are_refused() {
    let dir = Dir::new("silent");
    let mut server = dir.server();
    let at = socket_path(&dir.pid_file());
    let now = clock::mono();
    assert_eq!((server.next_deadline(), server.fds().len()), (None, 1));
    let silent: Vec<_> = (0..MAX_CLIENTS)
        .map(|_| {
            let fd = client(&at);
            assert!(server.on_ready(now).is_empty());
            fd
        })
        .collect();
    assert_eq!((server.next_deadline(), server.fds().len()), (Some(now + SILENCE), 1 + MAX_CLIENTS));
    let late = client(&at);
    assert!(server.on_ready(now).is_empty());
    assert!(!said(&late).unwrap().0);
    // The time of the silent clients is over: there is room again, and what they send now is ignored.
    assert!(server.on_ready(now + SILENCE).is_empty());
    assert_eq!((server.next_deadline(), server.fds().len()), (None, 1));
    assert!(unixsock::send(silent[0].as_fd(), b"stop", None).is_err());
    let polite = client(&at);
    unixsock::send(polite.as_fd(), b"status\n", None).unwrap();
    let asked = server.on_ready(now + SILENCE);
    assert_eq!(asked.len(), 1);
    // A client that has sent its request is not polled for more.
    assert_eq!((asked[0].1, server.fds().len()), (Request::Status, 1));
    server.answer(asked[0].0, true, "fine");
    server.answer(asked[0].0, true, "twice");
    assert_eq!(said(&polite), Some((true, "fine".into())));
}

#[test]
fn what_is_no_request_is_answered() {
    let dir = Dir::new("wrong");
    let mut server = dir.server();
    let at = socket_path(&dir.pid_file());
    let long = [b'r'; 65];
    for (bytes, why) in [
        (&b"relaod"[..], "unknown request \"relaod\""),
        (b"\xff\x00\n", "unknown request \"\\xff\\x00\\n\""),
        (b"reload now", "unknown request"),
        (b" reload", "unknown request"),
        (&long, "at most 64 bytes"),
        (&[b'r'; 60_000], "at most 64 bytes"),
    ] {
        let fd = client(&at);
        unixsock::send(fd.as_fd(), bytes, None).unwrap();
        assert!(server.on_ready(clock::mono()).is_empty());
        let (ok, text) = said(&fd).unwrap();
        assert!(!ok && text.contains(why), "{text}");
    }
    // It disconnects before its request, and before its answer.
    drop(client(&at));
    assert!(server.on_ready(clock::mono()).is_empty());
    let fd = client(&at);
    unixsock::send(fd.as_fd(), b"reload", Some(at_file(&dir).as_fd())).unwrap();
    let asked = server.on_ready(clock::mono());
    drop(fd);
    server.answer(asked[0].0, true, "nobody hears this");
    assert_eq!(server.fds().len(), 1);
}

fn at_file(dir: &Dir) -> std::fs::File {
    std::fs::File::create(dir.path("gift")).unwrap()
}

#[test]
fn an_answer_of_any_length_arrives_or_is_cut_between_characters() {
    let dir = Dir::new("long");
    let mut server = dir.server();
    let at = socket_path(&dir.pid_file());
    let text = "ä".repeat(MAX_ANSWER);
    let asks = std::thread::scope(|scope| {
        #[allow(clippy::disallowed_methods)] // The client waits for us.
        let asks = scope.spawn(|| exchange(&at, Request::Status, crate::PATIENCE));
        serve(&mut server, |s, c, _| s.answer(c, true, &text), || asks.is_finished());
        asks.join().unwrap()
    });
    let (ok, got, _) = asks.unwrap();
    assert!(ok && got == "ä".repeat((MAX_ANSWER - 3) / 2));
    assert_eq!(decode(&encode(false, "")), Some((false, String::new())));
    for none in [&b""[..], b"ok", b"yes\n"] {
        assert_eq!(decode(none), None);
    }
}

#[test]
fn a_guard_that_does_not_answer_is_not_waited_for_for_ever() {
    let dir = Dir::new("hangs");
    let _server = dir.server();
    let at = socket_path(&dir.pid_file());
    match exchange(&at, Request::Reload, Duration::from_millis(20)) {
        Err(Failure::Other(why)) => assert!(why.contains("no answer within"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_listener_goes_on_through_another_owner() {
    let dir = Dir::new("exec");
    let server = dir.server();
    let at = socket_path(&dir.pid_file());
    unixsock::keep_across_exec(server.listener(), true).unwrap();
    let copy = server.listener().try_clone_to_owned().unwrap();
    // Waits in the kernel while one program is replaced by the next.
    let waiting = client(&at);
    unixsock::send(waiting.as_fd(), b"upgrade", None).unwrap();
    drop(server);
    let mut server = Server::from_fd(copy, &at);
    let asked = server.on_ready(clock::mono());
    assert_eq!(asked[0].1, Request::Upgrade);
    server.answer(asked[0].0, true, "done");
    assert_eq!(said(&waiting), Some((true, "done".into())));
}
