//! The command and the server: exit codes, output, the plan of a dry run of a reload.

use crate::{Dir, serve};
use kalived::config::image;
use kalived::config::model::{Config, Family, InstanceConfig};
use kalived::process::request::Request;
use std::io::{Seek, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, Output, Stdio};

fn start(dir: &Dir, args: &[&str]) -> Child {
    let mut c = Command::new(env!("CARGO_BIN_EXE_kalived"));
    c.args(args).arg("-p").arg(dir.pid_file());
    c.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap()
}

fn texts(out: &Output) -> (Option<i32>, String, String) {
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    (out.status.code(), text(&out.stdout), text(&out.stderr))
}

#[test]
fn a_question_is_answered_with_an_exit_code_and_a_sentence() {
    let dir = Dir::new("asked");
    let mut server = dir.server();
    let cases = [
        ("reload", Request::Reload, true, Some(0)),
        ("upgrade", Request::Upgrade, false, Some(1)),
        ("handover", Request::Handover, true, Some(0)),
        ("stop", Request::Stop, true, Some(0)),
        ("status", Request::Status, true, Some(0)),
    ];
    for (word, request, ok, code) in cases {
        let mut child = start(&dir, &[word]);
        let mut asked = Vec::new();
        serve(
            &mut server,
            |s, client, what| {
                asked.push(what);
                s.answer(client, ok, "two\nlines");
            },
            || child.try_wait().unwrap().is_some(),
        );
        let (got, out, err) = texts(&child.wait_with_output().unwrap());
        assert_eq!((asked, got), (vec![request], code), "{word}: {out}{err}");
        match ok {
            true => assert_eq!((out.as_str(), err.as_str()), ("two\nlines\n", "")),
            false => assert_eq!((out.as_str(), err.as_str()), ("", "kalived: two\nlines\n")),
        }
    }
}

/// Trap 95.
#[test]
fn where_no_kalived_runs_the_command_says_so_with_a_code_of_its_own() {
    let dir = Dir::new("nobody");
    let run = || texts(&start(&dir, &["reload"]).wait_with_output().unwrap());
    let (code, _, err) = run();
    assert!(code == Some(3) && err.contains("no kalived runs"), "{code:?} {err}");
    // Killed: the socket file exists, without a listener.
    drop(dir.server());
    let (code, _, err) = run();
    assert!(code == Some(3) && err.contains("no kalived runs"), "{code:?} {err}");
}

#[test]
fn a_guard_that_ends_without_an_answer_is_a_failure() {
    let dir = Dir::new("ends");
    let mut server = Some(dir.server());
    let mut child = start(&dir, &["reload"]);
    let mut asked = false;
    while !asked {
        let s = server.as_mut().unwrap();
        serve(s, |_, _, _| asked = true, || true);
        asked |= !s.on_ready(kalived::sys::clock::mono()).is_empty();
        crate::pause();
    }
    drop(server.take());
    let code = child.wait().unwrap().code();
    assert_eq!(code, Some(1));
}

fn running() -> Config {
    let mut c = InstanceConfig::new("V", "eth0", 1, Family::V4);
    c.priority = 100;
    Config { instances: vec![c], ..Config::default() }
}

#[test]
fn a_dry_run_compares_the_file_with_what_runs() {
    let dir = Dir::new("dry");
    let conf = dir.path("c.conf");
    // The interface that this host has, so that no message comes of it.
    let named = |entry: std::io::Result<std::fs::DirEntry>| entry.ok()?.file_name().into_string().ok();
    let here = std::fs::read_dir("/sys/class/net").into_iter().flatten().filter_map(named).find(|name| name != "lo");
    let Some(interface) = here else { return println!("skipped: no interface but lo") };
    let text = "vrrp_instance V {\n interface INTERFACE\n virtual_router_id 1\n priority 90\n virtual_ipaddress {\n 192.0.2.1/24\n }\n}\n"
        .replace("INTERFACE", &interface);
    std::fs::write(&conf, &text).unwrap();
    let other = dir.path("other.conf");
    std::fs::write(&other, text.replace("90", "77")).unwrap();
    let mut image = std::fs::File::options().read(true).write(true).create_new(true).open(dir.path("i")).unwrap();
    image.write_all(&image::encode(&running()).unwrap()).unwrap();
    let mut server = dir.server();
    let mut ask = |args: &[&str]| {
        let mut child = start(&dir, args);
        let file = conf.display().to_string();
        serve(
            &mut server,
            |s, client, what| {
                assert_eq!(what, Request::Image, "nothing is reloaded");
                s.answer_with_fd(client, &file, image.as_fd());
            },
            || child.try_wait().unwrap().is_some(),
        );
        // The client shares our offset and must not have moved it.
        assert_ne!(image.stream_position().unwrap(), 0);
        texts(&child.wait_with_output().unwrap())
    };
    let (code, out, err) = ask(&["reload", "--dry-run"]);
    assert!(code == Some(0) && out.contains("~") && out.contains("90"), "{code:?} {out}{err}");
    let (code, out, _) = ask(&["reload", "--dry-run", "--format=json", "-f", other.to_str().unwrap()]);
    assert!(code == Some(0) && out.starts_with('{') && out.contains("77"), "{code:?} {out}");
    std::fs::write(&conf, "vrrp_instance V {\n").unwrap();
    let (code, _, err) = ask(&["reload", "--dry-run"]);
    assert!(code == Some(2) && err.contains("c.conf"), "{code:?} {err}");
}

#[test]
fn names_do_not_reach_the_terminal_as_commands() {
    let dir = Dir::new("names");
    let mut server = dir.server();
    let mut child = start(&dir, &["status"]);
    let answer = "VI_\x1b]0;owned\x07\u{9b}2J\r\tMASTER\nsecond";
    serve(&mut server, |s, client, _| s.answer(client, true, answer), || child.try_wait().unwrap().is_some());
    let (code, out, _) = texts(&child.wait_with_output().unwrap());
    assert_eq!((code, out.as_str()), (Some(0), "VI_\\x1b]0;owned\\x07\\x9b2J\\x0d\tMASTER\nsecond\n"));
    // As a file is printed.
    let file = dir.path("names.conf");
    std::fs::write(
        &file,
        "vrrp_instance \"a\x1b[2Jb\" {\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {\n192.0.2.1\n}\n}\n",
    )
    .unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_kalived")).arg("--dump-conf").arg("-f").arg(&file).output().unwrap();
    let (_, out, err) = texts(&out);
    assert!(out.contains("a\\x1b[2Jb") && !out.contains('\x1b') && !err.contains('\x1b'), "{out}{err}");
    // And in JSON, which stays JSON.
    let second = dir.path("second.conf");
    std::fs::write(&second, std::fs::read_to_string(&file).unwrap().replace('\x1b', "\u{9b}")).unwrap();
    let mut json = Command::new(env!("CARGO_BIN_EXE_kalived"));
    let (_, out, _) = texts(&json.args(["diff", "--format=json"]).arg(&file).arg(&second).output().unwrap());
    assert!(out.contains("\\u009b") && out.contains("\\u001b") && !out.contains(['\x1b', '\u{9b}']), "{out}");
    assert!(serde_json::from_str::<serde_json::Value>(&out).is_ok(), "{out}");
}

#[test]
fn outputs_replace_a_file_and_follow_no_link() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    let dir = Dir::new("outputs");
    let conf = dir.path("k.conf");
    let text = "vrrp_instance a {\ninterface eth0\nvirtual_router_id 1\nversion 2\nauthentication {\nauth_type PASS\nauth_pass geheim\n}\nvirtual_ipaddress {\n192.0.2.1\n}\n}\n";
    std::fs::write(&conf, text).unwrap();
    let (out, victim, link) = (dir.path("out"), dir.path("victim"), dir.path("link"));
    for what in ["compile", "report"] {
        let _ = std::fs::remove_file(&out);
        std::fs::write(&victim, "victim").unwrap();
        let _ = std::fs::remove_file(&link);
        symlink(&victim, &link).unwrap();
        let run = |to: &std::path::Path| {
            let mut c = Command::new(env!("CARGO_BIN_EXE_kalived"));
            match what {
                "compile" => c.arg("--compile-config").arg(&conf).arg("-o").arg(to).arg("--offline"),
                _ => c.arg(format!("-t={}", to.display())).arg("-f").arg(&conf).arg("--offline"),
            };
            texts(&c.output().unwrap())
        };
        // A file that it wrote itself is replaced by a new file, also if it was changed meanwhile.
        run(&out);
        std::fs::set_permissions(&out, PermissionsExt::from_mode(0o666)).unwrap();
        let before = std::fs::metadata(&out).unwrap().ino();
        let (_, said, err) = run(&out);
        let meta = std::fs::metadata(&out).unwrap();
        assert_eq!(meta.mode() & 0o7777, 0o600, "{what} {said}{err}");
        assert_ne!(meta.ino(), before, "{what}: another file under its name");
        let (code, _, err) = run(&link);
        assert!(code == Some(1) && err.contains("symbolic link"), "{what} {code:?} {err}");
        assert_eq!(std::fs::read(&victim).unwrap(), b"victim");
    }
}

/// LVS-603: keepalived's genhash ends with 0 there, and says so on standard output, where the digest is expected.
#[test]
fn genhash_against_a_port_that_refuses_fails_and_prints_no_digest() {
    // A listener holds the port on another address, so no other process can bind it on all addresses during the test.
    let taken = std::net::TcpListener::bind("127.0.0.2:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for tls in [&[][..], &["-S"]] {
        let mut c = Command::new(env!("CARGO_BIN_EXE_kalived"));
        c.args(["genhash", "-s", "127.0.0.3", "-p", &port, "-u", "/", "-t", "20"]).args(tls);
        let (code, out, err) = texts(&c.output().unwrap());
        assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
        assert!(err.to_lowercase().contains("refused"), "{err}");
    }
}
