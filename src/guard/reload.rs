//! A reload: the compiler runs, the core receives the image, the client receives the answer.
//!
//! Read first: `queue.rs`, `compiler.rs`.

use super::compiler::{Compiler, Use};
use super::ctl::ClientId;
use super::queue::Queue;
use super::{Guard, text};
use crate::note::{Level, Note};
use crate::process::entry;
use crate::process::image::image_of;
use crate::process::proto::ToCore;
use crate::sys::child::End;
use crate::sys::{files, sched};
use crate::time::{Duration, Instant};
use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::path::Path;
use std::rc::Rc;

/// How long the core may take to answer to a new configuration, before the next reload may begin all the same.
const LIMIT: Duration = Duration::from_secs(30);

/// So many configurations may be without an answer of the core, each for longer than [`LIMIT`].
const UNANSWERED: usize = 8;

/// The step of the running reload.
enum Step {
    Compiling(Compiler),
    /// After a start without the virtual servers of the file.
    Completing(Compiler),
    /// The core has the image; the deadline of its answer.
    Applying(Instant),
}

/// Which of a compiler's messages are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Say {
    /// Notes and lints that were not logged before.
    News,
    /// Only the reasons for which the file may be refused: the process that is started next logs the rest.
    Failures,
}

/// The requested reloads, the compiler that is running, and the notes about the file that were logged.
#[derive(Default)]
pub(super) struct Reloads {
    queue: Queue,
    /// Notes about the file, and lints, that were logged, at the start or at the last reload.
    notes: BTreeSet<String>,
    /// The configurations that the core received and has not answered, the oldest first: it answers each, in this order, and may do so
    /// after [`LIMIT`]. The last one is that of [`Step::Applying`], if there is this step.
    sent: VecDeque<Rc<File>>,
    /// `--force`: of the running reload, and of the one after it.
    force: bool,
    force_later: bool,
    step: Option<Step>,
    /// The clients of the running reload, and of the one after it. As many as there can be clients.
    asked: Vec<ClientId>,
    asked_later: Vec<ClientId>,
    /// A core completed a reload while another core stood by with the previous configuration.
    missed: bool,
    /// The `reload_file` that is there now.
    mark: Option<Box<str>>,
    /// The result of the last reload.
    pub(super) last: Option<String>,
}

impl Reloads {
    /// `notes`: the notes that a start logged about the file.
    pub(super) fn new(notes: BTreeSet<String>) -> Reloads {
        Reloads { notes, ..Reloads::default() }
    }
    /// A configuration that the core in charge may have begun to apply.
    pub(super) fn begun(&self) -> Option<&File> {
        self.sent.back().map(|image| &**image)
    }

    /// The process that compiles for a reload.
    pub(super) fn compiler(&self) -> Option<u32> {
        match &self.step {
            Some(Step::Compiling(c) | Step::Completing(c)) => Some(c.pid),
            _ => None,
        }
    }

    /// Whether no reload is running.
    pub(super) fn is_idle(&self) -> bool {
        self.queue == Queue::Idle
    }
}

impl Guard {
    /// Reads the configuration again; `client` gets the answer.
    /// `force`: also where `--config-test` fails.
    pub(super) fn ask_reload(&mut self, now: Instant, client: Option<ClientId>, force: bool) {
        let begin = self.reloads.queue.ask();
        *(if begin { &mut self.reloads.force } else { &mut self.reloads.force_later }) |= force;
        if begin { &mut self.reloads.asked } else { &mut self.reloads.asked_later }.extend(client);
        if begin {
            self.begin_reload(now);
        }
    }

    /// The core runs without the virtual servers of the file (`config/quick.rs`): reads the whole file. A reload that is requested meanwhile
    /// follows.
    pub(super) fn complete(&mut self, now: Instant) {
        if !self.reloads.queue.ask() {
            return;
        }
        match Compiler::start(&self.roles, false, Use::Start, &self.reports, now) {
            Ok(c) => self.reloads.step = Some(Step::Completing(c)),
            Err(e) => {
                self.note(text::no_servers(&e));
                self.completed(now);
            }
        }
    }

    fn on_completed(&mut self, now: Instant, compiler: Compiler, end: End) {
        self.say_messages(&compiler, Say::News);
        match compiler.finish(end) {
            Err(why) => self.note(text::no_servers(&why)),
            Ok(image) => {
                // The users of commands are the guard's, and those of the virtual servers are among them now.
                let of = |file: &File| {
                    let mut config = image_of(file).ok()?;
                    config.global.more.logins.clear();
                    Some(config)
                };
                if of(&self.image).is_some_and(|is| of(&image) == Some(is)) {
                    sched::in_ordinary_class(|| self.scripts.allow(&image));
                    self.image = image.clone();
                    self.write_checkers_pid();
                    self.tell_with(ToCore::Servers, Some(&image));
                } else {
                    // The file was changed meanwhile.
                    self.ask_reload(now, None, false);
                }
            }
        }
        self.completed(now);
    }

    fn completed(&mut self, now: Instant) {
        self.reloads.asked = core::mem::take(&mut self.reloads.asked_later);
        self.reloads.force = core::mem::take(&mut self.reloads.force_later);
        if self.reloads.queue.done() {
            self.begin_reload(now);
        }
    }

    fn begin_reload(&mut self, now: Instant) {
        self.note(text::reloading());
        self.mark_reading();
        self.answers.systemd.reloading(now);
        let wanted = if core::mem::take(&mut self.reloads.force) { Use::Start } else { Use::Reload };
        match Compiler::start(&self.roles, false, wanted, &self.reports, now) {
            Ok(c) => self.reloads.step = Some(Step::Compiling(c)),
            Err(e) => self.not_reloaded(now, &format!("the compiler could not be started: {e}")),
        }
    }

    /// `reload_file` of the running configuration: there, and empty, while the files are read.
    fn mark_reading(&mut self) {
        let path = image_of(&self.image).ok().and_then(|c| c.global.more.reload_file);
        let Some(path) = path else { return };
        match files::publish(Path::new(&*path), b"", 0o600) {
            Ok(()) => self.reloads.mark = Some(path),
            Err(e) => self.note(text::no_reload_file(&path, &e)),
        }
    }

    fn unmark_reading(&mut self) {
        if let Some(path) = self.reloads.mark.take()
            && let Err(e) = std::fs::remove_file(&*path)
        {
            self.note(text::no_reload_file(&path, &e));
        }
    }

    /// Returns whether the process was the compiler of a reload.
    pub(super) fn compiler_ended(&mut self, now: Instant, pid: u32, end: End) -> bool {
        if !matches!(&self.reloads.step, Some(Step::Compiling(c) | Step::Completing(c)) if c.pid == pid) {
            return false;
        }
        if let Some(Step::Completing(_)) = &self.reloads.step {
            if let Some(Step::Completing(compiler)) = self.reloads.step.take() {
                self.on_completed(now, compiler, end);
            }
            return true;
        }
        self.unmark_reading();
        if let Some(Step::Compiling(compiler)) = self.reloads.step.take() {
            self.say_messages(&compiler, Say::News);
            match compiler.finish(end) {
                Err(why) => self.not_reloaded(now, &why),
                Ok(_) if self.core.is_some() && self.reloads.sent.len() >= UNANSWERED => {
                    self.not_reloaded(now, "the VRRP process has not answered to the last ones");
                }
                Ok(image) if self.core.is_some() => {
                    self.reloads.step = Some(Step::Applying(now + LIMIT));
                    self.reloads.sent.push_back(image.clone());
                    sched::in_ordinary_class(|| self.scripts.allow(&image));
                    self.tell_with(ToCore::Config, Some(&image));
                }
                // The next core starts with this image.
                Ok(image) => {
                    self.image = image;
                    self.reloaded(now, true, "for the next start");
                }
            }
        }
        true
    }

    /// The core answered.
    pub(super) fn core_answered(&mut self, now: Instant, done: bool, text: &str) {
        let Some(image) = self.reloads.sent.pop_front() else { return };
        if done {
            self.image = image;
            self.write_checkers_pid();
        }
        if self.reloads.sent.is_empty() && matches!(self.reloads.step, Some(Step::Applying(_))) {
            self.reloaded(now, done, text);
        } else {
            // Nobody waits for this one any more.
            self.note(text::reloaded(done, text));
        }
    }

    /// The core has ended and will not answer.
    pub(super) fn core_will_not_answer(&mut self, now: Instant) {
        self.reloads.sent.clear();
        if matches!(self.reloads.step, Some(Step::Applying(_))) {
            self.reloaded(now, false, "the VRRP process died of it");
        }
    }

    /// A reload failed before it reached the core.
    fn not_reloaded(&mut self, now: Instant, why: &str) {
        self.unmark_reading();
        self.note(text::reloaded(false, why));
        self.reloaded(now, false, why);
    }

    /// A reload is over, successfully or not, and its result is reported.
    fn reloaded(&mut self, now: Instant, done: bool, text: &str) {
        self.reloads.missed |= done && self.upgrade.is_some();
        self.end_reload(now, done, text::reloaded(done, text));
    }

    fn end_reload(&mut self, now: Instant, done: bool, note: Note) {
        self.reloads.step = None;
        self.answers.ready(Some(&note.text));
        for client in core::mem::take(&mut self.reloads.asked) {
            self.answers.answer(client, done, &note.text);
        }
        self.reloads.last = Some(note.text);
        self.reloads.asked = core::mem::take(&mut self.reloads.asked_later);
        self.reloads.force = core::mem::take(&mut self.reloads.force_later);
        if self.reloads.queue.done() {
            self.begin_reload(now);
        }
    }

    /// Another core has been in charge since a reload began or ended: the reload must not be lost.
    pub(super) fn reload_again(&mut self, now: Instant) {
        // The previous core sends no more answers. A configuration for which no client waits is older than that of the core in charge.
        let newest = self.reloads.sent.pop_back();
        self.reloads.sent.clear();
        if let (Some(image), Some(Step::Applying(until))) = (newest, &mut self.reloads.step) {
            *until = now + LIMIT;
            self.reloads.sent.push_back(image.clone());
            self.tell_with(ToCore::Config, Some(&image));
        } else if core::mem::take(&mut self.reloads.missed) {
            // The configuration was accepted once already.
            self.ask_reload(now, None, true);
        }
    }

    /// Logs the messages of a compiler.
    pub(super) fn say_messages(&mut self, compiler: &Compiler, what: Say) {
        let messages = compiler.messages();
        let said: BTreeSet<String> = messages.iter().filter(|n| entry::says_once(n)).map(|n| n.text.clone()).collect();
        for note in messages {
            let known = match what {
                Say::News => self.reloads.notes.contains(&note.text) && entry::says_once(&note),
                Say::Failures => note.level > Level::Error,
            };
            if !known {
                self.note(note);
            }
        }
        if what == Say::News {
            self.reloads.notes = said;
        }
    }

    pub(super) fn look_at_reload(&mut self, now: Instant) {
        match &mut self.reloads.step {
            Some(Step::Compiling(c) | Step::Completing(c)) => c.tick(now),
            Some(Step::Applying(until)) if now >= *until => {
                let note = text::not_answered(LIMIT);
                self.note(note.clone());
                self.end_reload(now, false, note);
            }
            _ => {}
        }
    }
}
