//! `startup_script` and `shutdown_script`: before the first core, and after the last core has removed everything it held.
//!
//! The scripts do not run at a hand-over, which is neither a start nor a stop: the addresses are held throughout, and no core would send
//! adverts while a script runs. Read first: `turn.rs`, `scripts.rs`.

use super::{Guard, text};
use crate::config::model::Config;
use crate::config::model::setting::{Ready, Script};
use crate::effect::SpawnSpec;
use crate::event::ChildEnd;
use crate::process::image::image_of;
use crate::time::{Duration, Instant};

/// The owner number of these scripts: no core has it.
pub(super) const OWNER: u32 = 0;

/// A running script.
pub(super) struct Running {
    word: &'static str,
    until: Instant,
}

/// The script, and the most time it may take.
fn of(config: &Config, word: &'static str) -> Option<(SpawnSpec, Duration)> {
    let more = &config.global.more;
    let (script, limit) = match word {
        text::STARTUP => (&more.startup_script, more.startup_script_timeout),
        _ => (&more.shutdown_script, more.shutdown_script_timeout),
    };
    let script: &Script = script.as_deref()?;
    let Ready::As { uid, gid } = script.ready else { return None };
    let argv = script.argv.iter().map(ToString::to_string).collect();
    Some((SpawnSpec { argv, uid, gid, ..SpawnSpec::default() }, Duration::from_secs(limit.into())))
}

impl Guard {
    /// Starts the script, if there is one and it may run.
    pub(super) fn begin_around(&mut self, now: Instant, word: &'static str) -> bool {
        let image = self.image.clone();
        let Some((spec, limit)) = image_of(&image).ok().and_then(|c| of(&c, word)) else { return false };
        self.scripts.allow(&image);
        match self.scripts.spawn(OWNER, u64::from(word == text::STARTUP), &spec, &self.reports) {
            Ok(()) => {
                self.around = Some(Running { word, until: now + limit });
                true
            }
            Err(end) => {
                self.note(text::around_ended(word, end));
                false
            }
        }
    }

    /// The script ended.
    pub(super) fn around_ended(&mut self, now: Instant, end: ChildEnd) {
        let Some(running) = self.around.take() else { return };
        if end != ChildEnd::Exited(0) {
            self.note(text::around_ended(running.word, end));
        }
        if running.word == text::STARTUP && self.end.is_none() && self.stopping.is_none() {
            self.start_core(now, None);
        }
    }

    pub(super) fn look_at_around(&mut self, now: Instant) {
        if let Some(running) = self.around.as_mut().filter(|r| now >= r.until) {
            let word = running.word;
            // Killed again after two seconds, in case a system call in the kernel does not end.
            running.until = now + Duration::from_secs(2);
            // The script is running, so it is killed and its end is reported later.
            let _ = self.scripts.kill(OWNER, u64::from(word == text::STARTUP), true);
            self.note(text::around_too_slow(word));
        }
    }

    /// Whether the guard may end: `shutdown_script` has run, or there is none.
    pub(super) fn may_finish(&mut self, now: Instant) -> bool {
        match &self.around {
            Some(running) => running.word == text::STARTUP,
            None if self.stopping.is_none() => true,
            None => core::mem::replace(&mut self.shut, true) || !self.begin_around(now, text::SHUTDOWN),
        }
    }
}
