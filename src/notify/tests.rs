//! Tests of the notifier's own interface: removal from the configuration, and continuing for another process.

use super::*;
use crate::config::model::global::{Fifo, GlobalMore};
use crate::config::model::setting::{Ready, Script};
use crate::effect::{Effect, GuardFx, HelperFx};
use crate::id::ChildKey;

struct Desk {
    n: Notifier,
    now: Now,
    children: Children,
    conns: Conns,
    fx: Effects,
    numbers: u64,
    running: Vec<ChildKey>,
    said: Vec<String>,
}

impl Desk {
    fn new() -> Desk {
        let mut d = Desk {
            n: Notifier::default(),
            now: Now { mono: Instant(1_000_000_000_000), ..Now::default() },
            children: Children::default(),
            conns: Conns::default(),
            fx: Effects::default(),
            numbers: 0,
            running: Vec::new(),
            said: Vec::new(),
        };
        d.with(|n, cx| n.set_global(&global("/f", None), cx));
        d.serve();
        d
    }
    fn with(&mut self, what: impl FnOnce(&mut Notifier, &mut Cx<'_>)) {
        let cx = &mut Cx {
            now: self.now,
            children: &mut self.children,
            conns: &mut self.conns,
            fx: &mut self.fx,
            numbers: &mut self.numbers,
        };
        what(&mut self.n, cx);
    }
    // Hooks are started, lines are written.
    fn serve(&mut self) {
        loop {
            let effects: Vec<Effect> = self.fx.drain().collect();
            if effects.is_empty() {
                return;
            }
            for e in effects {
                match e {
                    Effect::Guard(GuardFx::Spawn { child, spec }) => {
                        self.running.push(child);
                        self.said.push(spec.argv.join(" "));
                    }
                    Effect::Guard(GuardFx::Kill { hard, .. }) => self.said.push(format!("kill {hard}")),
                    Effect::Helper(HelperFx::OpenFifo { fifo, path, .. }) => {
                        self.said.push(format!("open {path}"));
                        self.with(|n, cx| n.on_fifo_ready(fifo, Ok(()), cx));
                    }
                    Effect::Helper(HelperFx::WriteFifo { fifo, line }) => {
                        self.said.push(String::from_utf8_lossy(&line).trim_end().to_owned());
                        self.with(|n, cx| n.on_fifo_written(fifo, Ok(()), cx));
                    }
                    Effect::Helper(HelperFx::CloseFifo { .. }) => self.said.push("close".into()),
                    _ => {}
                }
            }
        }
    }
    // Every program ends, and queued ones start, until none runs.
    fn finish(&mut self) {
        while let Some(child) = self.running.pop() {
            if let Some(crate::child::For::Hook(n)) = self.children.end(child) {
                self.with(|notifier, cx| notifier.on_exit(n, ChildEnd::Exited(0), cx));
            }
            self.serve();
        }
    }
    fn said(&mut self) -> Vec<String> {
        core::mem::take(&mut self.said)
    }
    fn state(&mut self, state: State) {
        let change = change(What::State(state));
        self.with(|n, cx| n.tell(change, cx));
        self.serve();
    }
    fn remove(&mut self) {
        let was = self.n.state(&who()).unwrap_or(State::Init);
        self.with(|n, cx| n.remove(change(What::Removed), was, cx));
        self.serve();
    }
}

fn script(program: &str) -> Option<Box<Script>> {
    Some(Box::new(Script { argv: vec![program.into()], ready: Ready::As { uid: 0, gid: 0 }, ..Script::default() }))
}

fn global(path: &str, reader: Option<&str>) -> Global {
    let fifo = Fifo { path: path.into(), user: None, group: None, ready: Ready::Unknown };
    let more =
        GlobalMore { notify_fifo: Some(fifo), notify_fifo_script: reader.and_then(script), ..GlobalMore::default() };
    Global { more: Box::new(more), ..Global::default() }
}

fn who() -> Subject {
    Subject::Instance("V".into())
}

fn scripts(deleted: Option<Option<Box<Script>>>) -> Notify {
    Notify { any: script("/any"), fault: script("/fault"), deleted, ..Notify::default() }
}

fn change(what: What) -> Change {
    Change { who: who(), what, priority: 100, cause: String::new(), at: Now::default() }
}

#[test]
fn gone_with_notify_deleted() {
    let mut d = Desk::new();
    d.with(|n, cx| n.set(&who(), &scripts(Some(script("/deleted"))), cx));
    d.state(State::Fault);
    d.finish();
    d.said();
    d.remove();
    d.finish();
    assert_eq!(d.said(), ["INSTANCE \"V\" DELETED 100", "/deleted", "/any INSTANCE V DELETED 100"]);
    assert_eq!(d.n.told(&who()), None, "forgotten");
    d.state(State::Backup);
    assert_eq!(d.said(), [""; 0]);
}

#[test]
fn gone_without_notify_deleted() {
    let mut d = Desk::new();
    d.with(|n, cx| n.set(&who(), &scripts(None), cx));
    d.state(State::Master);
    d.finish();
    d.said();
    d.remove();
    d.finish();
    assert_eq!(d.said(), ["INSTANCE \"V\" FAULT 100", "/any INSTANCE V FAULT 100"], "and not notify_fault");
    // In FAULT already: nothing is reported. A subject that is configured again is a new one.
    d.with(|n, cx| n.set(&who(), &scripts(None), cx));
    d.state(State::Fault);
    d.finish();
    assert_eq!(d.said(), ["INSTANCE \"V\" FAULT 100", "/fault", "/any INSTANCE V FAULT 100"]);
    d.remove();
    d.finish();
    assert_eq!(d.said(), [""; 0]);
}

#[test]
fn gone_and_back_while_a_hook_runs_stays_serial() {
    let mut d = Desk::new();
    d.with(|n, cx| n.set(&who(), &scripts(Some(None)), cx));
    d.state(State::Master);
    d.remove();
    d.with(|n, cx| n.set(&who(), &scripts(Some(None)), cx));
    d.state(State::Backup);
    assert_eq!(d.running.len(), 1);
    d.said.retain(|s| s.starts_with('/'));
    d.finish();
    d.said.retain(|s| s.starts_with('/'));
    assert_eq!(d.said(), ["MASTER", "DELETED", "BACKUP"].map(|s| format!("/any INSTANCE V {s} 100")));
}

#[test]
fn the_next_process_tells_nobody_anything_twice() {
    let mut d = Desk::new();
    d.with(|n, cx| n.set(&who(), &scripts(None), cx));
    d.state(State::Backup);
    d.finish();
    d.state(State::Master);
    assert_eq!(d.n.told(&who()), Some(State::Master), "its last program runs");
    d.state(State::Backup);
    assert_eq!(d.n.told(&who()), Some(State::Master), "this one waits");
    d.with(|n, cx| n.freeze(cx));
    d.said();
    d.finish();
    d.state(State::Fault);
    assert_eq!(d.said(), [""; 0], "frozen");
    let (told, piped) = (d.n.told(&who()), d.n.piped(&who()));

    let mut d = Desk::new();
    d.with(|n, cx| n.set(&who(), &scripts(None), cx));
    d.with(|n, _| n.resume(&who(), told, piped));
    d.said();
    d.state(State::Master);
    assert_eq!(d.said(), ["INSTANCE \"V\" MASTER 100"], "the pipe had been told BACKUP, the hooks had not");
    d.state(State::Backup);
    d.finish();
    assert_eq!(d.said(), ["INSTANCE \"V\" BACKUP 100", "/any INSTANCE V BACKUP 100"]);
}

#[test]
fn a_reload_leaves_a_pipe_and_its_reader_alone_unless_they_change() {
    let mut d = Desk::new();
    d.said();
    d.with(|n, cx| n.set_global(&global("/f", Some("/r1")), cx));
    d.serve();
    assert_eq!(d.said(), ["/r1 /f"]);
    d.with(|n, cx| n.set_global(&global("/f", Some("/r1")), cx));
    d.serve();
    assert_eq!(d.said(), [""; 0]);
    // Another reader: the old one is asked to end, and only then the new one starts.
    d.with(|n, cx| n.set_global(&global("/f", Some("/r2")), cx));
    d.serve();
    assert_eq!(d.said(), ["kill false"]);
    let old = d.running.pop().expect("a reader");
    let Some(crate::child::For::Hook(number)) = d.children.end(old) else { panic!("a hook's number") };
    d.with(|n, cx| n.on_exit(number, ChildEnd::Signaled(15), cx));
    d.serve();
    assert_eq!(d.said(), ["/r2 /f"]);
    // Another path: another pipe, and the reader of the old one is ended.
    d.with(|n, cx| n.set_global(&global("/g", Some("/r2")), cx));
    d.serve();
    assert_eq!(d.said(), ["open /g", "close", "kill false", "/r2 /g"]);
    // Configured again before the old reader has ended: its end is waited for.
    d.with(|n, cx| n.set_global(&global("/f", Some("/r2")), cx));
    d.serve();
    assert_eq!(d.said(), ["open /f", "close", "kill false"]);
}
