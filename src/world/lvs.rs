//! Virtual servers: events go to the [`Director`], and what happened to people and programs.
//!
//! Read first: `mod.rs`, `lvs/director.rs`.

use super::*;
use crate::effect::Effects;
use crate::event::{ChildEnd, LvsEv};
use crate::lvs::director::Cx as LvsCx;
use crate::config::model::vrrp::Notify;
use crate::lvs::farm::{Happened, Told};
use crate::notify::{ServerTold, Subject};

// The director with everything it may touch; the borrow checker needs the fields apart.
macro_rules! lvs {
    ($world:ident, $now:expr, $fx:expr, |$lvs:ident, $cx:ident| $body:expr) => {{
        let $lvs = &mut $world.lvs;
        let $cx =
            &mut LvsCx { now: $now, timers: &mut $world.timers, fx: $fx, children: &mut $world.children };
        $body
    }};
}

impl World {
    pub(super) fn on_lvs(&mut self, now: Now, event: LvsEv, fx: &mut Effects) {
        let happened = lvs!(self, now, fx, |lvs, cx| lvs.on_event(event, cx));
        self.after_lvs(now, happened, fx);
    }

    pub(super) fn on_lvs_due(&mut self, now: Now, fx: &mut Effects) {
        lvs!(self, now, fx, |lvs, cx| lvs.on_due(cx));
    }

    pub(super) fn on_module(&mut self, now: Now, end: ChildEnd, fx: &mut Effects) {
        lvs!(self, now, fx, |lvs, cx| lvs.on_loaded(end, cx));
    }

    /// The end of a turn: a configuration that was offered is read once its virtual routers run, and the table hears what is wanted.
    pub(super) fn settle_lvs(&mut self, now: Now, fx: &mut Effects) {
        if self.lvs.is_offered() && self.phase == Phase::Running && !self.reloading() {
            let (more, first) = (&self.base.global.more, !self.went_on);
            lvs!(self, now, fx, |lvs, cx| lvs.begin(more, first, cx));
        }
        self.lvs.pump(fx);
    }

    /// The process ends.
    pub(super) fn stop_lvs(&mut self, now: Now, fx: &mut Effects) {
        let more = &self.base.global.more;
        let happened = lvs!(self, now, fx, |lvs, cx| lvs.stop(more, cx));
        self.after_lvs(now, happened, fx);
    }

    fn after_lvs(&mut self, now: Now, happened: Vec<Happened>, fx: &mut Effects) {
        for h in happened {
            match h {
                Happened::Note(note) => fx.note(note),
                Happened::Told(told) => self.tell_server(now, *told, fx),
            }
        }
    }

    // keepalived mails what happens to real servers unless the file says otherwise, and of virtual servers if it says so.
    fn tell_server(&mut self, now: Now, told: Told, fx: &mut Effects) {
        let more = &self.base.global.more;
        let real = matches!(told.who, Subject::RealServer { .. });
        let mailed = told.mailed.or(more.smtp_alert_checker).or(more.smtp_alert).unwrap_or(real);
        let [master, backup] = told.scripts;
        let scripts = Notify { master, backup, ..Notify::default() };
        let told = ServerTold { who: told.who, up: told.up, scripts, mailed, cause: told.cause };
        notify!(self, now, fx, |n, cx| n.tell_server(told, cx));
    }
}
