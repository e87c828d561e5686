//! Virtual servers: events go to the [`Director`] and to the checks, the checks' verdicts to the director, and what follows to the log,
//! scripts, pipes and mail.
//!
//! Read first: `mod.rs`, `lvs/director.rs`, `lvs/check/`.

use super::*;
use crate::config::model::InstanceConfig;
use crate::config::model::vrrp::Notify;
use crate::effect::Effects;
use crate::event::{ChildEnd, LvsEv};
use crate::filter::marking;
use crate::id::{CheckId, ConnKey, WatchKey};
use crate::lvs::check::{CheckOut, Cx as CheckCx};
use crate::lvs::director::Cx as LvsCx;
use crate::lvs::farm::{Happened, Told};
use crate::lvs::{sync, text as lvs_text};
use crate::notify::{ServerTold, Subject};
use crate::wire::netlink::nft::Marks;
use std::sync::Arc;

// Calls a method of the director with the fields that it may change, as separate borrows.
macro_rules! lvs {
    ($world:ident, $now:expr, $fx:expr, |$lvs:ident, $cx:ident| $body:expr) => {{
        let $lvs = &mut $world.lvs;
        let $cx = &mut LvsCx { now: $now, timers: &mut $world.timers, fx: $fx, children: &mut $world.children };
        $body
    }};
}

// The same of the checks.
macro_rules! checks {
    ($world:ident, $now:expr, $fx:expr, |$checks:ident, $cx:ident| $body:expr) => {{
        let $checks = &mut $world.checks;
        let $cx = &mut CheckCx {
            now: $now,
            timers: &mut $world.timers,
            fx: $fx,
            children: &mut $world.children,
            conns: &mut $world.conns,
            watches: &mut $world.watches,
        };
        $body
    }};
}

impl World {
    pub(super) fn on_lvs(&mut self, now: Now, event: LvsEv, fx: &mut Effects) {
        if let LvsEv::Room(connections) = event {
            return self.checks.set_room(connections);
        }
        let config = matches!(event, LvsEv::Config(_));
        let base = &self.base;
        let happened = lvs!(self, now, fx, |lvs, cx| lvs.on_event(event, base, cx));
        self.after_lvs(now, happened, None, fx);
        if config {
            self.give_checks(now, fx);
            if let Some(marks) = self.lvs.take_marks() {
                self.mark(marks);
            }
        }
    }

    // The groups of a configuration are known by these marks from now on.
    fn mark(&mut self, marks: Arc<Marks>) {
        self.marking.want(marking::settings(&self.base), marks, &mut self.timers);
    }

    // A part of a configuration was read: its real servers get their checks, which begin when all of it is there.
    fn give_checks(&mut self, now: Now, fx: &mut Effects) {
        for (server, wanted) in self.lvs.take_checks() {
            checks!(self, now, fx, |checks, cx| checks.set(server, wanted, cx));
            let vs = self.lvs.farm().whose(server).map(|(vs, _)| vs);
            if let Some((vs, addr)) = vs.and_then(|vs| Some((vs, self.lvs.farm().suspends(vs)?))) {
                let suspended = !self.links.is_local(addr);
                self.lvs.suspend(vs, suspended);
                checks!(self, now, fx, |checks, cx| checks.suspend(server, suspended, cx));
            }
            let standing = self.checks.standing(server);
            let happened = lvs!(self, now, fx, |lvs, cx| lvs.on_standing(server, standing, cx));
            self.after_lvs(now, happened, None, fx);
        }
        if self.lvs.is_read() && !core::mem::replace(&mut self.checking, true) {
            lvs!(self, now, fx, |lvs, cx| lvs.resume_quorum(cx));
            checks!(self, now, fx, |checks, cx| checks.start(cx));
        }
    }

    /// An address came or went: `ha_suspend`.
    pub(super) fn suspend_checks(&mut self, now: Now, addr: IpAddr, fx: &mut Effects) {
        let all = self.lvs.farm().suspending(addr);
        if all.is_empty() {
            return;
        }
        let suspended = !self.links.is_local(addr);
        for vs in all {
            if !self.lvs.suspend(vs, suspended) {
                continue;
            }
            let Some(vs) = self.lvs.farm().get(vs) else { continue };
            fx.note(lvs_text::suspended(suspended, addr, &vs.name));
            for server in vs.reals.clone() {
                checks!(self, now, fx, |checks, cx| checks.suspend(server, suspended, cx));
            }
        }
    }

    pub(super) fn on_lvs_due(&mut self, now: Now, fx: &mut Effects) {
        let turn = lvs!(self, now, fx, |lvs, cx| lvs.on_due(cx));
        if turn && self.phase == Phase::Running {
            let told = self.lvs.take_told();
            self.after_lvs(now, told, None, fx);
            self.give_checks(now, fx);
            lvs!(self, now, fx, |lvs, cx| lvs.go_on(cx));
        }
    }

    pub(super) fn on_module(&mut self, now: Now, end: ChildEnd, fx: &mut Effects) {
        lvs!(self, now, fx, |lvs, cx| lvs.on_loaded(end, cx));
    }

    pub(super) fn on_checks_due(&mut self, now: Now, fx: &mut Effects) {
        let out = checks!(self, now, fx, |checks, cx| checks.on_due(cx));
        self.after_checks(now, out, fx);
    }
    pub(super) fn on_lvs_exit(&mut self, now: Now, check: CheckId, end: ChildEnd, fx: &mut Effects) {
        let out = checks!(self, now, fx, |checks, cx| checks.on_exit(check, end, cx));
        self.after_checks(now, out, fx);
    }
    pub(super) fn on_lvs_stream(
        &mut self,
        now: Now,
        check: CheckId,
        conn: ConnKey,
        what: Stream<'_>,
        fx: &mut Effects,
    ) {
        let out = checks!(self, now, fx, |checks, cx| checks.on_stream(check, conn, what, cx));
        self.after_checks(now, out, fx);
    }
    pub(super) fn on_lvs_file(
        &mut self,
        now: Now,
        check: CheckId,
        watch: WatchKey,
        result: Result<&[u8], Errno>,
        fx: &mut Effects,
    ) {
        let out = checks!(self, now, fx, |checks, cx| checks.on_read(check, watch, result, cx));
        self.after_checks(now, out, fx);
    }

    /// A BFD session is up or down.
    pub(super) fn checks_follow(&mut self, now: Now, name: &str, up: bool, fx: &mut Effects) {
        checks!(self, now, fx, |checks, cx| checks.on_bfd(name, up, cx));
    }

    // Checks changed: whether the server does is what all of its checks come to.
    fn after_checks(&mut self, now: Now, out: Vec<CheckOut>, fx: &mut Effects) {
        for CheckOut { server, check, up, words, .. } in out {
            let letter = up.and_then(|up| self.checks.letter(check, up));
            let standing = self.checks.standing(server);
            self.written.verdicts_changed = true;
            let happened = lvs!(self, now, fx, |lvs, cx| lvs.on_result(server, standing, &words, cx));
            self.after_lvs(now, happened, letter.as_deref(), fx);
        }
    }

    /// The end of a turn: begins to read a configuration that was offered once its virtual routers run, and requests changes of the table.
    pub(super) fn settle_lvs(&mut self, now: Now, fx: &mut Effects) {
        if self.lvs.is_offered() && self.phase == Phase::Running && !self.reloading() {
            let (more, first) = (&self.base.global.more, !self.went_on);
            lvs!(self, now, fx, |lvs, cx| lvs.begin(more, first, cx));
            let instances: Vec<&InstanceConfig> = self.instances.iter().map(|(_, vi)| vi.cfg()).collect();
            let sync = sync::configured(&self.base, &instances);
            let master = sync.as_ref().and_then(|s| s.instance.as_deref()).is_some_and(|name| self.is_master(name));
            self.lvs.sync().set(sync);
            self.lvs.sync().on_role(master);
        }
        if !self.changes.is_empty()
            && let Some(name) = self.lvs.sync().follows().map(str::to_owned)
        {
            let own = |c: &Change| matches!(&c.who, crate::vrrp::change::Subject::Instance(n) if *n == name);
            if self.changes.iter().any(own) {
                let master = self.is_master(&name);
                self.lvs.sync().on_role(master);
            }
        }
        if self.phase == Phase::Running && self.lvs.is_to_clean() {
            lvs!(self, now, fx, |lvs, cx| lvs.clean(cx));
            self.mark(Arc::default());
        }
        self.marking.pump(fx);
        self.lvs.pump(now.mono, fx);
        self.track_quorums(now, fx);
    }

    // `track_virtual_server`: the quorums that virtual routers follow. One that the configuration does not have after all is down.
    fn track_quorums(&mut self, now: Now, fx: &mut Effects) {
        let seen = (self.lvs.farm().changes(), self.lvs.is_read());
        if self.quorums == Some(seen) || self.phase != Phase::Running || self.lvs.farm().is_empty() {
            return;
        }
        self.quorums = Some(seen);
        let farm = self.lvs.farm();
        let is = |(track, name): (TrackKey, &str)| {
            let there = farm.has(name);
            Some((track, farm.quorum(name).or((seen.1 && !there).then_some(false))?))
        };
        let found: Vec<(TrackKey, bool)> = self.tracks.virtual_servers().filter_map(is).collect();
        for (track, up) in found {
            let changed = self.tracks.on_quorum(track, up);
            self.after_track(now, track, changed, fx);
        }
    }

    fn is_master(&self, name: &str) -> bool {
        self.instances.iter().any(|(_, vi)| vi.cfg().name == name && vi.state() == State::Master)
    }

    /// The process ends.
    pub(super) fn stop_lvs(&mut self, now: Now, fx: &mut Effects) {
        self.stop_checks(now, fx);
        let more = &self.base.global.more;
        let happened = lvs!(self, now, fx, |lvs, cx| lvs.stop(more, cx));
        self.marking.release(&mut self.timers);
        self.after_lvs(now, happened, Some("Shutting down"), fx);
    }

    /// Ends all checks: the process ends, or another one takes over.
    pub(super) fn stop_checks(&mut self, now: Now, fx: &mut Effects) {
        if core::mem::take(&mut self.checking) {
            checks!(self, now, fx, |checks, cx| checks.stop(cx));
        }
    }

    // `letter`: what a letter about a real server says first; without one it says the cause.
    fn after_lvs(&mut self, now: Now, happened: Vec<Happened>, letter: Option<&str>, fx: &mut Effects) {
        for h in happened {
            match h {
                Happened::Note(note) => fx.note(note),
                Happened::Told(told) => self.tell_server(now, *told, letter, fx),
            }
        }
    }

    // As keepalived, mail is sent for real servers unless the file forbids it, and for virtual servers only if the file asks for it.
    fn tell_server(&mut self, now: Now, told: Told, letter: Option<&str>, fx: &mut Effects) {
        let more = &self.base.global.more;
        let real = matches!(told.who, Subject::RealServer { .. });
        let mailed = told.mailed.or(more.smtp_alert_checker).or(more.smtp_alert).unwrap_or(real);
        let [master, backup] = told.scripts;
        let scripts = Notify { master, backup, ..Notify::default() };
        let letter = letter.filter(|_| real).map(str::to_owned);
        let told = ServerTold { who: told.who, up: told.up, scripts, mailed, letter, cause: told.cause };
        notify!(self, now, fx, |n, cx| n.tell_server(told, cx));
    }
}
