//! The core's side of the line to the helper: requests, answers, a helper that dies, a named pipe that is full.

use crate::PATIENCE;
use bytes::Bytes;
use kalived::config::model::vrrp::ParamMatch;
use kalived::daemon::exec::Exec;
use kalived::daemon::log::Sink;
use kalived::effect::{Effect, Effects, HelperFx, ProcessSpec};
use kalived::event::{Errno, Event, HelperEv};
use kalived::helper::proto::{Ask, FileId, LONGEST, Tell};
use kalived::id::{Arena, Key};
use kalived::process::line::Target;
use kalived::sys::ring::Ring;
use kalived::sys::{clock, fifo, seqpacket, signal};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};

/// An event as text.
fn words(e: &Event<'_>) -> String {
    match e {
        Event::Helper(HelperEv::FileRead { result, .. }) => format!("file {result:?}"),
        Event::Helper(HelperEv::Processes { result, .. }) => format!("processes {result:?}"),
        Event::Helper(HelperEv::FifoReady { result, .. }) => format!("fifo {result:?}"),
        Event::Helper(HelperEv::FifoWritten { result, .. }) => format!("written {result:?}"),
        Event::Helper(HelperEv::Resolved { result, .. }) => format!("resolved {result:?}"),
        other => panic!("{other:?}"),
    }
}

struct Core {
    exec: Exec,
    helper: OwnedFd,
}

impl Core {
    /// Nothing where this machine lacks what every core needs.
    fn new() -> Option<Core> {
        let ring = Ring::new().map_err(|e| println!("skipped: {e}")).ok()?;
        let signals = signal::install().unwrap();
        let exec = Exec::new(ring, signals, Sink::new(Target::Nowhere, false), true);
        let mut exec = exec.map_err(|e| println!("skipped: {e}")).ok()?;
        let (ours, helper) = seqpacket::pair().unwrap();
        exec.attach_helper(ours);
        Some(Core { exec, helper })
    }
    fn apply(&mut self, effects: impl IntoIterator<Item = Effect>) {
        let mut fx = Effects::default();
        effects.into_iter().for_each(|e| fx.push(e));
        self.exec.apply(clock::now(), &mut fx);
    }
    /// Turns until something is told.
    fn told(&mut self) -> Vec<String> {
        let deadline = clock::mono() + PATIENCE;
        let mut told = Vec::new();
        while told.is_empty() {
            assert!(clock::mono() < deadline, "nothing more is told");
            self.exec.wait(Some(deadline), None, false).unwrap();
            self.exec.events(clock::now(), &mut |e| told.push(words(&e)));
            self.apply([]);
        }
        told
    }
    fn asked(&self) -> Vec<Ask> {
        let mut buffer = vec![0; LONGEST];
        let mut asked = Vec::new();
        while let Some((n @ 1.., _)) = seqpacket::recv(&self.helper, &mut buffer).unwrap() {
            asked.push(Ask::decode(&buffer[..n]).unwrap());
        }
        asked
    }
    fn say(&self, tell: Tell, fd: Option<&OwnedFd>) {
        let fds: Vec<_> = fd.iter().map(|f| f.as_fd()).collect();
        seqpacket::send(&self.helper, &tell.encode().unwrap(), &fds).unwrap();
    }
}

fn key<M>() -> Key<M> {
    let mut names: Arena<M, ()> = Arena::default();
    names.insert(())
}

#[test]
fn what_is_wanted_is_asked_again_of_the_next_helper() {
    let Some(mut core) = Core::new() else { return };
    let mut names = Arena::default();
    let [file, process, gone] = [(); 3].map(|()| names.insert(()));
    let conn = key();
    let spec = ProcessSpec { argv: vec!["nginx".into()], param_match: ParamMatch::Unset, full_command: false };
    core.apply([
        Effect::Helper(HelperFx::WatchFile { watch: file, path: "/f".into() }),
        Effect::Helper(HelperFx::WatchProcesses { watch: process, spec: Box::new(spec) }),
        Effect::Helper(HelperFx::WatchFile { watch: gone, path: "/g".into() }),
        Effect::Helper(HelperFx::Unwatch { watch: gone }),
        Effect::Helper(HelperFx::Lookup { conn, host: "mail".into(), port: 25 }),
    ]);
    let asked = core.asked();
    assert_eq!(asked.len(), 5, "{asked:?}");
    assert!(matches!(&asked[1], Ask::WatchProcesses { argv, .. } if argv == &["nginx"]), "{asked:?}");
    // No event of a watch that has ended; all of the others, in order.
    core.say(Tell::FileRead { watch: gone.to_bits(), result: Ok(b"no".to_vec()) }, None);
    core.say(Tell::FileRead { watch: 0, result: Ok(b"no".to_vec()) }, None);
    core.say(Tell::FileRead { watch: file.to_bits(), result: Ok(b"5".to_vec()) }, None);
    core.say(Tell::Processes { watch: process.to_bits(), result: Err(13) }, None);
    assert_eq!(core.told(), ["file Ok([53])", "processes Err(Errno(13))"]);

    // The helper dies. Requests of the meantime are not lost, nor unanswered ones.
    let (ours, theirs) = seqpacket::pair().unwrap();
    drop(std::mem::replace(&mut core.helper, theirs));
    let late = names.insert(());
    core.apply([
        Effect::Helper(HelperFx::WatchFile { watch: late, path: "/late".into() }),
        Effect::Helper(HelperFx::Unwatch { watch: file }),
    ]);
    core.exec.attach_helper(ours);
    let mut asked = core.asked();
    asked.sort_by_key(|a| format!("{a:?}"));
    let kinds: Vec<String> = asked.iter().map(|a| format!("{a:?}")).collect();
    assert_eq!(asked.len(), 3, "{kinds:?}");
    assert!(kinds[0].starts_with("Lookup") && kinds[1].contains("/late") && kinds[2].contains("nginx"), "{kinds:?}");
    let addr = "192.0.2.1:25".parse().unwrap();
    for _ in 0..2 {
        // The second answer is ignored.
        core.say(Tell::Resolved { conn: conn.to_bits(), result: Ok(vec![addr]) }, None);
    }
    assert_eq!(core.told(), ["resolved Ok([192.0.2.1:25])"]);
}

#[test]
fn what_cannot_be_asked_fails_at_once() {
    let Some(mut core) = Core::new() else { return };
    core.apply([
        Effect::Helper(HelperFx::WatchFile { watch: key(), path: "relative".into() }),
        Effect::Helper(HelperFx::Lookup { conn: key(), host: "x".repeat(1000), port: 1 }),
        Effect::Helper(HelperFx::WriteFifo { fifo: key(), line: Bytes::from_static(b"x\n") }),
    ]);
    let (invalid, absent) = (Errno(libc::EINVAL), Errno::ENXIO);
    let expect =
        [format!("file Err({invalid:?})"), format!("resolved Err({invalid:?})"), format!("written Err({absent:?})")];
    assert_eq!(core.told(), expect);
    assert_eq!(core.asked(), []);
    // A helper that sends invalid messages is ended.
    seqpacket::send(&core.helper, b"\xff\xff", &[]).unwrap();
    let watch = key();
    core.apply([Effect::Helper(HelperFx::WatchFile { watch, path: "/f".into() })]);
    core.say(Tell::FileRead { watch: watch.to_bits(), result: Err(2) }, None);
    // A turn may come for something else: the log's own deadline, or what a test beside this one changes in the kernel.
    let deadline = clock::mono() + PATIENCE;
    while seqpacket::send(&core.helper, b"x", &[]).is_ok() {
        assert!(clock::mono() < deadline, "the line to the helper is open still");
        core.exec.wait(Some(deadline), None, false).unwrap();
        core.exec.events(clock::now(), &mut |e| assert!(!matches!(e, Event::Helper(_)), "{e:?}"));
        core.apply([]);
    }
}

#[test]
fn a_full_named_pipe_loses_no_part_of_a_line_and_is_told_when_it_has_room() {
    let Some(mut core) = Core::new() else { return };
    let dir = std::env::temp_dir();
    let name = format!("kalived-line-{}", std::process::id());
    let found = fifo::find(&File::open(&dir).unwrap(), name.as_bytes()).unwrap();
    let (fd, file) = (found.open().unwrap(), FileId { dev: found.id.0, ino: found.id.1 });
    let mut reader = File::from(found.open().unwrap());
    std::fs::remove_file(dir.join(&name)).unwrap();

    let pipe = key();
    core.apply([Effect::Helper(HelperFx::OpenFifo { fifo: pipe, path: "/run/f".into(), uid: 0, gid: 0 })]);
    assert_eq!(core.asked().len(), 1);
    core.say(Tell::FifoReady { fifo: pipe.to_bits(), result: Ok(Some(file)) }, Some(&fd));
    assert_eq!(core.told(), ["fifo Ok(())"]);
    let line = Bytes::from(vec![b'x'; 4096]);
    let mut written = 0;
    let full = loop {
        core.apply([Effect::Helper(HelperFx::WriteFifo { fifo: pipe, line: line.clone() })]);
        match core.told().as_slice() {
            [w] if w == "written Ok(())" => written += 1,
            other => break other.join(";"),
        }
        assert!(written < 10_000, "a pipe has an end");
    };
    assert_eq!(full, format!("written Err({:?})", Errno::EAGAIN));
    // While it is full every further line is refused, whole.
    core.apply([Effect::Helper(HelperFx::WriteFifo { fifo: pipe, line: line.clone() })]);
    assert_eq!(core.told(), [full]);
    let mut got = vec![0; 4096];
    reader.read_exact(&mut got).unwrap();
    assert_eq!(core.told(), ["fifo Ok(())"]);
    core.apply([Effect::Helper(HelperFx::WriteFifo { fifo: pipe, line: Bytes::from_static(b"last\n") })]);
    assert_eq!(core.told(), ["written Ok(())"]);
    let mut all = got;
    while !all.ends_with(b"last\n") {
        let mut more = [0; 4096];
        let n = reader.read(&mut more).unwrap();
        all.extend_from_slice(&more[..n]);
    }
    assert_eq!(all.len(), written * 4096 + 5);
    // It stays open without a helper, too; the next one removes it, because it was made for this core.
    let (ours, theirs) = seqpacket::pair().unwrap();
    core.helper = theirs;
    core.exec.attach_helper(ours);
    assert_eq!(core.asked(), []);
    core.apply([Effect::Helper(HelperFx::CloseFifo { fifo: pipe })]);
    assert_eq!(core.asked(), [Ask::RemoveFifo { path: "/run/f".into(), file }]);
    // A helper that was asked and died may not have done it.
    let (ours, theirs) = seqpacket::pair().unwrap();
    core.helper = theirs;
    core.exec.attach_helper(ours);
    assert_eq!(core.asked(), [Ask::RemoveFifo { path: "/run/f".into(), file }]);
}

#[test]
fn a_named_pipe_that_a_process_before_made_is_removed_like_an_own_one() {
    let Some(mut core) = Core::new() else { return };
    core.exec.inherit_fifos(&[("/run/f".into(), 1, 2)]);
    let pipe = key();
    core.apply([Effect::Helper(HelperFx::OpenFifo { fifo: pipe, path: "/run/f".into(), uid: 0, gid: 0 })]);
    let dir = std::env::temp_dir();
    let name = format!("kalived-before-{}", std::process::id());
    let found = fifo::find(&File::open(&dir).unwrap(), name.as_bytes()).unwrap();
    std::fs::remove_file(dir.join(&name)).unwrap();
    core.say(Tell::FifoReady { fifo: pipe.to_bits(), result: Ok(None) }, Some(&found.open().unwrap()));
    assert_eq!(core.told(), ["fifo Ok(())"]);
    core.asked();
    core.apply([Effect::Helper(HelperFx::CloseFifo { fifo: pipe })]);
    assert_eq!(core.asked(), [Ask::RemoveFifo { path: "/run/f".into(), file: FileId { dev: 1, ino: 2 } }]);
    // Nor twice.
    core.apply([Effect::Helper(HelperFx::CloseFifo { fifo: pipe })]);
    assert_eq!(core.asked(), []);
}

#[test]
fn a_named_pipe_closed_before_it_is_open_is_removed_when_it_is() {
    let Some(mut core) = Core::new() else { return };
    let (pipe, watch) = (key(), key());
    core.apply([
        Effect::Helper(HelperFx::OpenFifo { fifo: pipe, path: "/run/f".into(), uid: 0, gid: 0 }),
        Effect::Helper(HelperFx::CloseFifo { fifo: pipe }),
    ]);
    assert_eq!(core.asked().len(), 1);
    let dir = std::env::temp_dir();
    let name = format!("kalived-late-{}", std::process::id());
    let found = fifo::find(&File::open(&dir).unwrap(), name.as_bytes()).unwrap();
    std::fs::remove_file(dir.join(&name)).unwrap();
    let file = FileId { dev: 1, ino: 2 };
    core.say(Tell::FifoReady { fifo: pipe.to_bits(), result: Ok(Some(file)) }, Some(&found.open().unwrap()));
    core.apply([Effect::Helper(HelperFx::WatchFile { watch, path: "/f".into() })]);
    core.say(Tell::FileRead { watch: watch.to_bits(), result: Err(2) }, None);
    assert_eq!(core.told(), ["file Err(Errno(2))"]);
    let asked = core.asked();
    assert!(asked.contains(&Ask::RemoveFifo { path: "/run/f".into(), file }), "{asked:?}");
    // A file that is not a pipe, or that blocks, is not written to.
    let other = key();
    core.apply([Effect::Helper(HelperFx::OpenFifo { fifo: other, path: "/run/g".into(), uid: 0, gid: 0 })]);
    let null = OwnedFd::from(File::open("/dev/null").unwrap());
    core.say(Tell::FifoReady { fifo: other.to_bits(), result: Ok(None) }, Some(&null));
    assert_eq!(core.told(), [format!("fifo Err({:?})", Errno(libc::EINVAL))]);
}
