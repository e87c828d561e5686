//! The log sink: a reader that does not read delays nothing, and receives the number of lost lines.

use crate::{PATIENCE, ring, wait};
use kalived::daemon::log::Sink;
use kalived::daemon::token::Token;
use kalived::note::{Level, Note};
use kalived::process::line::Target;
use kalived::sys::clock;
use kalived::time::{Duration, Instant};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::rc::Rc;

/// A line is held for some milliseconds before it is written; here that time is always over.
fn later() -> Instant {
    clock::mono() + Duration::from_secs(1)
}

fn note(text: String) -> Note {
    Note { level: Level::Info, text }
}

#[test]
fn a_blocked_pipe_delays_nothing_and_loses_the_newest() {
    let Some(mut ring) = ring() else { return };
    let (mut rx, tx) = std::io::pipe().unwrap();
    let mut sink = Sink::with_fd(Target::Console, false, Some(Rc::new(OwnedFd::from(tx))));
    // Far more than the pipe (64 KiB) and the queue (4,096 lines) take together.
    for i in 0..10_000 {
        sink.note(clock::now(), note(format!("line {i} {}", "x".repeat(60))));
        sink.pump(&mut ring, later());
    }
    // The write that found the pipe full is in flight; the ring still serves others.
    let deadline = clock::mono() + PATIENCE;
    ring.timeout_at(Token::Cancel, clock::mono(), kalived::sys::op::Link::Last);
    let mut served = false;
    while !served {
        wait(&mut ring, deadline);
        while let Some(done) = ring.pop() {
            match done.tag {
                Token::Log => sink.on_written(done.result, clock::mono()),
                _ => served = true,
            }
            sink.pump(&mut ring, later());
        }
    }
    assert!(!sink.idle());

    let mut text = Vec::new();
    let mut after = false;
    loop {
        if sink.idle() {
            if after {
                break;
            }
            after = true;
            sink.note(clock::now(), note("after the jam".into()));
            sink.pump(&mut ring, later());
        }
        // A write is in flight, and it is what the reader gets next.
        let mut buf = [0; 65536];
        let n = rx.read(&mut buf).unwrap();
        text.extend_from_slice(&buf[..n]);
        ring.submit().unwrap();
        while let Some(done) = ring.pop() {
            sink.on_written(done.result, clock::mono());
            sink.pump(&mut ring, later());
            ring.submit().unwrap();
        }
    }
    drop(sink);
    drop(ring);
    rx.read_to_end(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    for (i, line) in lines[..lines.len() - 2].iter().enumerate() {
        assert!(line.contains(&format!(": line {i} ")), "the oldest are kept, in order, whole: {line}");
    }
    let kept = lines.len() - 2;
    assert!(lines[kept].contains(&format!("{} log lines lost", 10_000 - kept)), "{}", lines[kept]);
    assert!(lines[kept + 1].ends_with("after the jam"));
}

#[test]
fn syslog_that_comes_back_gets_the_line_it_missed() {
    let Some(mut ring) = ring() else { return };
    let path = std::env::temp_dir().join(format!("kalived-log-{}", std::process::id()));
    let name = path.to_str().unwrap().to_owned();
    let deadline = clock::mono() + PATIENCE;
    let mut sink = Sink::new(Target::Syslog(name), false);
    sink.note(clock::now(), note("nobody listens yet".into()));
    sink.pump(&mut ring, later());
    assert!(!sink.idle() && ring.in_flight() == 0);
    let again = sink.next_deadline().expect("it will try again");

    let listener = UnixDatagram::bind(&path).unwrap();
    sink.pump(&mut ring, again);
    while !sink.idle() {
        wait(&mut ring, deadline);
        while let Some(done) = ring.pop() {
            sink.on_written(done.result, again);
            sink.pump(&mut ring, again);
        }
    }
    let mut buf = [0; 4096];
    let n = listener.recv(&mut buf).unwrap();
    std::fs::remove_file(&path).unwrap();
    let line = String::from_utf8_lossy(&buf[..n]).into_owned();
    assert!(line.starts_with("<30>") && line.ends_with("]: nobody listens yet"), "{line}");
}
