//! An upgrade: continuing as another program, and replacing one core by another; no peer notices.
//!
//! The program at our path confirms that it can continue (`successor.rs`). Then this process executes it, with the same process number,
//! children and descriptors. It starts a core beside the old one; when the new core stands by, the old one freezes and the new one
//! continues. A failure before the freeze changes nothing.
//!
//! Read first: `state.rs`, `world/resume.rs` (which defines freezing). A restart is in `handover.rs`.

use super::core::Core;
use super::ctl::ClientId;
use super::handover::FREEZE_LIMIT;
use super::state::{CoreState, OLD_VARIABLE, State, VARIABLE};
use super::successor::{Asked, Sound, Successor};
use super::{Guard, gone, text};
use crate::config::image;
use crate::process::image::image_of;
use crate::process::proto::ToCore;
use crate::process::slots::Slots;
use crate::snapshot;
use crate::sys::child::{self, End};
use crate::sys::unixsock::keep_across_exec;
use crate::time::{Duration, Instant};
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::rc::Rc;

/// How long the new core may take until it stands by: a dump of the kernel's addresses, a few sockets.
const STANDBY_LIMIT: Duration = Duration::from_secs(10);
/// How long a frozen core may wait for its last advert: 255 s is the longest interval.
pub(super) const LEAVE_LIMIT: Duration = Duration::from_secs(300);
/// Name of the snapshot among the descriptors that systemd keeps.
pub(crate) const STORED: &str = "snapshot";

/// The step of the upgrade.
pub(super) enum Upgrade {
    Asking(Successor, Option<ClientId>),
    /// The new program can continue; the upgrade begins when no reload is running.
    Sound(Sound, Option<ClientId>),
    Standing {
        next: Core,
        image: Rc<File>,
        until: Instant,
        client: Option<ClientId>,
    },
}

impl Upgrade {
    /// The core that stands by.
    pub(super) fn next(&self) -> Option<&Core> {
        if let Upgrade::Standing { next, .. } = self { Some(next) } else { None }
    }
    pub(super) fn next_mut(&mut self) -> Option<&mut Core> {
        if let Upgrade::Standing { next, .. } = self { Some(next) } else { None }
    }
    /// Whether the core in charge was asked to freeze: the upgrade cannot be abandoned then.
    pub(super) fn is_freezing(&self) -> bool {
        self.next().is_some_and(|next| next.ready)
    }
    fn client(&self) -> Option<ClientId> {
        match self {
            Upgrade::Asking(_, client) | Upgrade::Sound(_, client) | Upgrade::Standing { client, .. } => *client,
        }
    }
}

impl Guard {
    /// Begins `kalived upgrade`: asks the program at our path whether it understands the state. Refused during another upgrade or
    /// hand-over, and without a core that is ready.
    pub(super) fn begin_upgrade(&mut self, now: Instant, client: Option<ClientId>) {
        let refusal = match () {
            () if self.upgrade.is_some() => Some("an upgrade is under way"),
            () if self.core.as_ref().is_none_or(|c| !c.ready) || self.handover.is_some() => {
                Some("there is no VRRP process to go on for")
            }
            () => None,
        };
        if let Some(why) = refusal {
            self.refused(client, why);
            return;
        }
        self.note(text::upgrading(&self.roles.exe));
        match self.ask_successor(now) {
            Ok(asked) => self.upgrade = Some(Upgrade::Asking(asked, client)),
            Err(why) => self.refused(client, &why),
        }
    }

    /// Why the new configuration needs a restart, as a reload refuses it. The image of a program with another layout cannot be read here.
    fn needs_restart(&self, new: &File) -> Option<String> {
        let (old, new) = (image_of(&self.image).ok()?, image_of(new).ok()?);
        old.root.needs_restart(&new.root)
    }

    fn refused(&mut self, client: Option<ClientId>, why: &str) {
        let note = text::upgrade_refused(why);
        if let Some(client) = client {
            self.answers.answer(client, false, &note.text);
        }
        self.note(note);
    }

    /// Abandons the upgrade; the running core continues.
    pub(super) fn give_up_upgrade(&mut self, _now: Instant, why: &str) {
        let Some(upgrade) = self.upgrade.take() else { return };
        match &upgrade {
            Upgrade::Asking(asked, _) => asked.kill(),
            Upgrade::Sound(..) => {}
            Upgrade::Standing { next, image, .. } => {
                next.kill();
                self.keep_readable(image);
            }
        }
        self.refused(upgrade.client(), why);
    }

    /// One of our processes ended that none of the other functions handled.
    pub(super) fn upgrade_ended(&mut self, now: Instant, pid: u32, end: End) {
        match self.upgrade.take() {
            Some(Upgrade::Asking(asked, client)) => match self.successor_ended(asked, now, pid, end) {
                Asked::Open(asked) => self.upgrade = Some(Upgrade::Asking(asked, client)),
                Asked::Sound(sound) => match self.needs_restart(&sound.image) {
                    None => self.upgrade = Some(Upgrade::Sound(sound, client)),
                    Some(why) => self.refused(client, &why),
                },
                Asked::Refused(why) => self.refused(client, &why),
            },
            Some(Upgrade::Standing { next, image, client, .. }) if next.pid == pid => {
                // The old core has been asked to freeze: another core has to continue for it.
                let frozen = next.ready;
                self.keep_readable(&image);
                self.refused(client, &format!("the new VRRP process died ({})", text::end(end)));
                if frozen && let Some(core) = &self.core {
                    core.kill();
                }
            }
            Some(Upgrade::Standing { mut next, image, until, client }) if next.helper == Some(pid) => {
                next.helper_ended(now);
                self.upgrade = Some(Upgrade::Standing { next, image, until, client });
            }
            other => self.upgrade = other,
        }
    }

    /// The upgrade failed after this program was executed. This program may not be able to read the image that the previous one made, and
    /// a core that dies now has to be followed by one that can start.
    fn keep_readable(&mut self, image: &Rc<File>) {
        let mut header = [0; image::HEADER];
        let read = self.image.read_exact_at(&mut header, 0);
        if read.is_err() || image::Header::read(&header).is_err() {
            self.image = image.clone();
        }
    }

    /// The state for the guard that this process executes. The descriptors are those that it will have.
    pub(super) fn state(&self, image: &File, client: Option<BorrowedFd<'_>>) -> State {
        let place = |f: &crate::sys::pidfile::PidFile| (f.fd().as_raw_fd(), f.path().to_string_lossy().into_owned());
        let (rx, tx) = self.reports.fds();
        State {
            dont_respawn: self.never,
            console: self.log.console().map(|f| f.as_raw_fd()),
            pid_file: self.pid_file.as_ref().map(place),
            core_pid_file: self.core_pid_file.as_ref().map(place),
            checkers_pid_file: self.checkers_pid_path.as_ref().map(|path| {
                (self.checkers_pid_file.as_ref().map(|f| f.fd().as_raw_fd()), path.to_string_lossy().into_owned())
            }),
            lock: self.lock.as_ref().map(|l| (l.fd().as_raw_fd(), l.path().to_string_lossy().into_owned())),
            control: self.answers.listener().map(|(fd, path)| (fd.as_raw_fd(), path.to_string_lossy().into_owned())),
            client: client.map(|f| f.as_raw_fd()),
            reports: (rx.as_raw_fd(), tx.as_raw_fd()),
            images: (self.image.as_raw_fd(), image.as_raw_fd()),
            snapshot: self.snapshot.as_raw_fd(),
            core: self.core.as_ref().map(|c| CoreState {
                number: c.number,
                pid: c.pid,
                line: c.line().as_raw_fd(),
                started: c.started.0,
                helper: c.helper,
                writes: c.writes().to_vec(),
            }),
            cores: self.cores,
            leaving: self.leaving.iter().map(|(pid, _)| *pid).collect(),
            scripts: self.scripts.state(),
            name: crate::sys::child::name(),
            ..State::of(&self.roles)
        }
    }

    /// Executes the new program; returns only when that failed.
    fn become_it(&mut self, now: Instant, sound: &Sound, client: Option<ClientId>) -> (io::Error, Option<ClientId>) {
        // The new program does not know them.
        self.resting.end();
        // A core that dies from now on is followed by the new program too.
        self.tell_layout(sound.layout);
        let image = &*sound.image;
        let client = client.and_then(|c| self.answers.take(c));
        let state = self.state(image, client.as_ref().map(|f| f.as_fd()));
        let failed = match state.write() {
            Ok(file) => self.execute(&file, image, client.as_ref().map(|f| f.as_fd())),
            Err(e) => e,
        };
        self.tell_layout(snapshot::VERSION);
        // Kept to report the failure.
        (failed, client.and_then(|fd| self.answers.adopt(fd, now)))
    }

    fn execute(&self, file: &File, image: &File, client: Option<BorrowedFd<'_>>) -> io::Error {
        let (rx, tx) = self.reports.fds();
        let mut keep: Vec<BorrowedFd<'_>> = vec![rx, tx, self.image.as_fd(), self.snapshot.as_fd(), file.as_fd()];
        keep.extend([Some(image.as_fd()), client].into_iter().flatten());
        keep.extend(self.log.console().map(|f| f.as_fd()));
        keep.extend(
            [&self.pid_file, &self.core_pid_file, &self.checkers_pid_file].into_iter().flatten().map(|f| f.fd()),
        );
        keep.extend(self.lock.as_ref().map(|l| l.fd()));
        keep.extend(self.answers.listener().map(|(fd, _)| fd));
        keep.extend(self.core.as_ref().map(Core::line));
        let all = |on: bool| keep.iter().try_for_each(|fd| keep_across_exec(*fd, on));
        let words: Result<Vec<CString>, _> =
            std::env::args_os().map(|a| CString::new(a.into_encoded_bytes())).collect();
        let env = std::env::vars_os().filter(|(n, _)| n != VARIABLE && n != OLD_VARIABLE);
        let env =
            env.filter_map(|(n, v)| CString::new([n.as_encoded_bytes(), b"=", v.as_encoded_bytes()].concat()).ok());
        let mut env: Vec<CString> = env.collect();
        if let Some(why) = self.roles.distrust() {
            return io::Error::new(io::ErrorKind::PermissionDenied, why);
        }
        // Under both names: the program at the path may be the older one.
        for name in [VARIABLE, OLD_VARIABLE] {
            env.extend(CString::new(format!("{name}={}", file.as_raw_fd())));
        }
        let failed = match (all(true), CString::new(self.roles.exe.as_os_str().as_encoded_bytes()), words) {
            (Err(e), ..) => e,
            (_, Ok(path), Ok(words)) => child::execute(&path, &words, &env),
            _ => io::ErrorKind::InvalidInput.into(),
        };
        let _ = all(false);
        failed
    }

    /// The new core stands by: the old one freezes, in the chosen layout.
    pub(super) fn next_ready(&mut self, now: Instant) {
        if let Some(Upgrade::Standing { next, until, .. }) = &mut self.upgrade {
            next.ready = true;
            *until = now + FREEZE_LIMIT;
            self.tell(ToCore::Freeze);
        }
    }

    /// The old core is frozen, its last snapshot is written.
    pub(super) fn frozen(&mut self, now: Instant) {
        if self.upgrade.as_ref().and_then(Upgrade::next).is_none() {
            return;
        }
        if let Some(mut old) = self.core.take() {
            // The core that stands by has confirmed, and the guard is responsible for it from now on.
            let _ = old.say(ToCore::Relieved, None);
            self.scripts.orphan(old.number, now, true);
            self.leaving.push((old.pid, now + LEAVE_LIMIT));
        }
        self.relieve(now, ToCore::Go { dead_since: None });
    }

    /// The core that stands by continues for the core in charge, which has ended.
    fn relieve(&mut self, now: Instant, go: ToCore) {
        let Some(Upgrade::Standing { next, image, client, .. }) = self.upgrade.take() else { return };
        let pid = next.pid;
        self.put_in_charge(next);
        self.say_in_charge();
        self.tell(go);
        self.image = image;
        self.write_checkers_pid();
        let note = text::upgraded(pid);
        if let Some(client) = client {
            self.answers.answer(client, true, &note.text);
        }
        self.answers.ready(Some(&note.text));
        self.note(note);
        self.reload_again(now);
    }

    /// Whether a core stands by and continues for this core, which ended.
    pub(super) fn go_for(&mut self, core: &Core, now: Instant, end: End) -> bool {
        if self.stopping.is_some() || self.upgrade.as_ref().and_then(Upgrade::next).is_none() {
            return false;
        }
        self.note(text::respawning(core.pid, end));
        self.scripts.orphan(core.number, now, false);
        self.relieve(now, gone(core, now));
        true
    }

    pub(super) fn look_at_upgrade(&mut self, now: Instant) {
        match &mut self.upgrade {
            Some(Upgrade::Asking(asked, _)) => asked.tick(now),
            Some(Upgrade::Sound(..)) if self.reloads.is_idle() && self.scripts.is_settled() => {
                let Some(Upgrade::Sound(sound, client)) = self.upgrade.take() else { return };
                let (e, client) = self.become_it(now, &sound, client);
                self.refused(client, &format!("{}: {e}", self.roles.exe.display()));
            }
            Some(Upgrade::Standing { next, until, .. }) if now >= *until => match (next.ready, &self.core) {
                // The core does not freeze. It may be hung, and none of its armed adverts may leave beside those of the new core.
                (true, Some(core)) => core.kill(),
                _ => self.give_up_upgrade(now, "the new VRRP process is not ready in time"),
            },
            _ => {}
        }
    }

    /// Continues the upgrade that the previous program began: starts a core for the new configuration, beside the running one.
    pub(super) fn go_on_upgrading(&mut self, now: Instant, image: Rc<File>, client: Option<ClientId>) {
        // The previous program asked this one; a release before layout 4 did not.
        let looked = self.snapshot.try_clone().map_err(|e| e.to_string());
        let looked = looked.and_then(|file| Slots::new(file).newest().map_err(|e| e.to_string()));
        if let Err(why) = looked {
            self.keep_readable(&image);
            return self.refused(client, &why);
        }
        match self.launch(&image, true, now) {
            Ok(next) => {
                self.upgrade = Some(Upgrade::Standing { next, image, until: now + STANDBY_LIMIT, client });
            }
            Err(e) => {
                self.keep_readable(&image);
                self.refused(client, &format!("the new VRRP process could not be started: {e}"));
            }
        }
    }
}
