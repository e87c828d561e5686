//! The guard's answers to commands, and its status for systemd.
//!
//! Read first: `ctl.rs`, `systemd.rs`.

use super::Guard;
use super::ctl::{ClientId, Server};
use super::report::Whom;
use super::systemd::Notifier;
use crate::process::proto::ToCore;
use crate::process::request::Request;
use crate::report::Daemon;
use crate::sys::memfd;
use crate::time::{Duration, Instant};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

/// How long the core may take to write its recording.
const RECORD: Duration = Duration::from_secs(2);

/// The control socket, the socket to systemd, and the state line of the core that both report. One in each guard.
pub struct Answers {
    server: Option<Server>,
    /// The socket to systemd.
    pub systemd: Notifier,
    /// The states of the virtual routers, in one line.
    summary: String,
    watchdog: Instant,
    /// The client that waits for a recording, the file of the recording, and the deadline. One at a time.
    record: Option<(ClientId, Rc<File>, Instant)>,
    /// Clients that wait for the end of the guard.
    pub(super) stop: Vec<ClientId>,
}

impl Answers {
    /// With a control socket, if there is one.
    pub fn new(server: Option<Server>, systemd: Notifier) -> Answers {
        Answers {
            server,
            systemd,
            summary: String::new(),
            watchdog: Instant::default(),
            record: None,
            stop: Vec::new(),
        }
    }

    /// The core reported the states.
    pub fn on_summary(&mut self, text: String) {
        self.summary = text;
        self.systemd.status(&self.summary);
    }

    /// The start is complete, or the operation `what`.
    pub fn ready(&mut self, what: Option<&str>) {
        let known = Some(self.summary.as_str()).filter(|s| !s.is_empty());
        let line: Vec<&str> = known.into_iter().chain(what).collect();
        let line = if line.is_empty() { "running".to_owned() } else { line.join("; ") };
        self.systemd.ready(&line);
    }

    /// The descriptors to poll.
    pub fn fds(&self) -> Vec<BorrowedFd<'_>> {
        self.server.as_ref().map(Server::fds).unwrap_or_default()
    }

    /// Answers a client; without effect when the client has disconnected.
    pub fn answer(&mut self, client: ClientId, ok: bool, text: &str) {
        if let Some(server) = &mut self.server {
            server.answer(client, ok, text);
        }
    }

    /// Sends a report: the processes as text, the rest as a file, where there is one.
    pub fn give_report(&mut self, client: ClientId, daemon: &Daemon, report: Option<&File>) {
        let (Some(server), Ok(text)) = (&mut self.server, serde_json::to_string(daemon)) else { return };
        match report {
            Some(file) => server.answer_with_fd(client, &text, file.as_fd()),
            None => server.answer(client, true, &text),
        }
    }

    /// The socket and its path, for an execve.
    pub fn listener(&self) -> Option<(BorrowedFd<'_>, &Path)> {
        self.server.as_ref().map(|s| (s.listener(), s.path()))
    }
    /// A waiting client, for an execve.
    pub fn take(&mut self, client: ClientId) -> Option<OwnedFd> {
        self.server.as_mut()?.take(client)
    }
    /// Takes over a client from [`Answers::take`].
    pub fn adopt(&mut self, fd: OwnedFd, now: Instant) -> Option<ClientId> {
        self.server.as_mut().map(|s| s.adopt(fd, now))
    }

    /// The guard begins to end: no further client can connect.
    pub fn unlisten(&mut self) {
        if let Some(server) = &mut self.server {
            server.unlink();
        }
    }

    /// The guard ends: the socket is closed, and clients that waited for the end are answered.
    pub fn close(&mut self, text: &str) {
        for client in core::mem::take(&mut self.stop) {
            self.answer(client, true, text);
        }
        if let Some(server) = self.server.take() {
            server.remove();
        }
    }
}

impl Guard {
    /// Serves the clients' requests.
    pub(super) fn serve(&mut self, now: Instant) {
        let Some(server) = &mut self.answers.server else { return };
        for (client, request) in server.on_ready(now) {
            match request {
                Request::Reload | Request::ForceReload if self.stopping.is_none() => {
                    self.ask_reload(now, Some(client), request == Request::ForceReload);
                }
                Request::Upgrade if self.stopping.is_none() => self.begin_upgrade(now, Some(client)),
                Request::Handover if self.stopping.is_none() => self.hand_over(now, Some(client)),
                Request::Reload | Request::ForceReload | Request::Upgrade | Request::Handover => {
                    self.answers.answer(client, false, "kalived stops");
                }
                Request::Stop => {
                    self.answers.stop.push(client);
                    self.stop(now, crate::sys::signal::TERM);
                }
                Request::Status => self.ask_report(now, Whom::Client(client)),
                Request::Record => self.ask_record(now, client),
                Request::Image => {
                    let (file, image) = (self.roles.file.clone(), self.image.clone());
                    if let Some(server) = &mut self.answers.server {
                        server.answer_with_fd(client, &file, image.as_fd());
                    }
                }
            }
        }
    }

    fn ask_record(&mut self, now: Instant, client: ClientId) {
        let refusal = match &self.core {
            _ if self.answers.record.is_some() => Some("a recording is being written"),
            None => Some("there is no VRRP process"),
            Some(core) if core.writes().len() < 2 => Some("the VRRP process is of a release that records nothing"),
            Some(_) => None,
        };
        let file = match (refusal, memfd::create("kalived recording")) {
            (Some(why), _) => return self.answers.answer(client, false, why),
            (None, Err(e)) => return self.answers.answer(client, false, &format!("no memory for it: {e}")),
            (None, Ok(file)) => Rc::new(file),
        };
        self.answers.record = Some((client, file.clone(), now + RECORD));
        self.tell_with(ToCore::Record, Some(&file));
    }

    /// The core wrote its recording, or failed to.
    pub(super) fn on_recorded(&mut self, done: bool, text: &str) {
        let Some((client, file, _)) = self.answers.record.take() else { return };
        match (&mut self.answers.server, done) {
            (Some(server), true) => server.answer_with_fd(client, "", file.as_fd()),
            _ => self.answers.answer(client, false, text),
        }
    }

    pub(super) fn look_at_answers(&mut self, now: Instant) {
        if self.answers.record.as_ref().is_some_and(|(_, _, until)| now >= *until) {
            self.on_recorded(false, "the VRRP process does not answer");
        }
        if self.watchdog_due().is_some_and(|at| now >= at) {
            self.answers.watchdog = now;
            self.answers.systemd.watchdog();
        }
    }

    /// When the service manager gets its next message. Only while the core is alive: the same loop watches its heartbeat.
    pub(super) fn watchdog_due(&self) -> Option<Instant> {
        let alive = self.core.is_some() || self.removal.is_some() || self.start_at.is_some() || self.around.is_some();
        self.answers.systemd.interval().filter(|_| alive).map(|every| self.answers.watchdog + every)
    }
}
