//! `reload_time_file`: a reload at the time in a file.
//!
//! The helper process watches the file and reports its content; this file computes the time and requests the reload. The time is one of
//! the wall clock, so that clock is read once a minute: the reload also happens on time after a step of the clock. Read first: `mod.rs`,
//! `reload_time.rs`.

use super::*;
use crate::config::model::global::GlobalMore;
use crate::effect::{GuardFx, SpawnSpec};
use crate::id::WatchKey;
use crate::reload_time::{When, Zone};
use crate::time::Wall;

/// Longest wait without reading the wall clock.
const LOOK: Duration = Duration::from_secs(60);

// The zone where none was passed in.
fn utc() -> Zone {
    |_| 0
}

/// The configuration and the content of the file.
#[derive(serde::Serialize, serde::Deserialize)]
pub(super) struct Schedule {
    #[serde(skip, default = "utc")]
    zone: Zone,
    path: Option<String>,
    repeat: bool,
    watch: Option<WatchKey>,
    when: Option<When>,
    // Seconds since 1970.
    at: Option<i64>,
}

impl Default for Schedule {
    fn default() -> Schedule {
        Schedule { zone: |_| 0, path: None, repeat: false, watch: None, when: None, at: None }
    }
}

impl Schedule {
    pub(super) fn new(more: &GlobalMore) -> Schedule {
        let mut s = Schedule::default();
        s.set(more);
        s
    }
    fn set(&mut self, more: &GlobalMore) {
        self.path = more.reload_time_file.as_deref().map(str::to_owned);
        self.repeat = more.reload_repeat;
    }
}

fn seconds(wall: Wall) -> i64 {
    (wall.0 / 1_000_000_000) as i64
}

impl World {
    /// Sets the conversion from UTC to local time, for `reload_time_file`; UTC without this call.
    pub fn set_zone(&mut self, zone: Zone) {
        self.schedule.zone = zone;
    }

    // At start.
    pub(super) fn schedule_start(&mut self, fx: &mut Effects) {
        if let Some(path) = self.schedule.path.clone() {
            self.schedule.watch = Some(self.watches.file(crate::watch::For::ReloadTime, path, fx));
        }
    }

    // Another configuration is in force.
    pub(super) fn schedule_config(&mut self, now: Now, more: &GlobalMore, fx: &mut Effects) {
        let old = self.schedule.path.clone();
        self.schedule.set(more);
        if old != self.schedule.path {
            if let Some(watch) = self.schedule.watch.take() {
                self.watches.stop(watch, fx);
            }
            self.schedule.when = None;
            self.schedule_next(now, fx);
            self.schedule_start(fx);
        }
    }

    // The file was read.
    pub(super) fn schedule_file(&mut self, now: Now, result: Result<&[u8], Errno>, fx: &mut Effects) {
        let path = self.schedule.path.clone().unwrap_or_default();
        self.schedule.when = match result {
            Ok(content) => {
                let when = When::parse(content);
                if when.is_none() {
                    fx.note(text::reload_time_wrong(&path));
                }
                when
            }
            Err(Errno::ENOENT) => None,
            Err(e) => {
                fx.note(text::reload_time_unreadable(&path, e));
                None
            }
        };
        self.schedule_next(now, fx);
    }

    // The next time, logged when it changed.
    fn schedule_next(&mut self, now: Now, fx: &mut Effects) {
        let wall = seconds(now.wall);
        let s = &self.schedule;
        let at = s.when.and_then(|w| w.next(wall, s.zone));
        let passed = at.is_none() && s.when.is_some();
        if at != s.at || passed {
            match (at, s.when) {
                (Some(at), _) => fx.note(text::reload_scheduled(Duration::from_secs((at - wall).unsigned_abs()))),
                (None, Some(_)) => fx.note(text::reload_time_passed()),
                (None, None) => fx.note(text::reload_unscheduled()),
            }
        }
        self.schedule.at = at;
        self.schedule_timer(now);
    }

    fn schedule_timer(&mut self, now: Now) {
        match self.schedule.at {
            None => {
                self.timers.stop(Due::ReloadTime);
            }
            Some(at) => {
                let then = Wall(u64::try_from(at).unwrap_or(0).saturating_mul(1_000_000_000));
                self.timers.set(Due::ReloadTime, now.mono + then.since(now.wall).min(LOOK));
            }
        }
    }

    // The timer expired: the time has come, or a minute has passed.
    pub(super) fn schedule_due(&mut self, now: Now, fx: &mut Effects) {
        let Some(at) = self.schedule.at else { return };
        if seconds(now.wall) < at {
            return self.schedule_timer(now);
        }
        match self.phase {
            // No further reload.
            Phase::Stopping | Phase::Frozen | Phase::Gone => return,
            // Not started yet: try again soon.
            Phase::Reading | Phase::Standby | Phase::Cleaning => {
                return self.timers.set(Due::ReloadTime, now.mono + RETRY);
            }
            Phase::Running => {}
        }
        fx.note(text::reload_now());
        fx.push(Effect::Guard(GuardFx::Compile));
        if self.schedule.repeat && self.schedule.when.is_some_and(When::daily) {
            return self.schedule_next(now, fx);
        }
        // The reload runs once: the file is removed, as in keepalived, or the same line would mean tomorrow after a restart. `rm` is a
        // program of its own, because a file system that hangs must not delay this loop.
        self.schedule.when = None;
        self.schedule.at = None;
        if let Some(path) = self.schedule.path.clone().filter(|_| !self.schedule.repeat) {
            let argv = ["rm", "-f", "--"].map(str::to_owned).into_iter().chain([path]).collect();
            self.children.spawn(For::Nobody, SpawnSpec { argv, ..SpawnSpec::default() }, fx);
        }
    }
}
