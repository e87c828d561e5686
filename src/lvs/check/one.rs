//! One check: its look under way, and its state.
//!
//! Read first: `mod.rs`, `verdict.rs`, `talk.rs`.

use super::spec::{CheckSpec, What};
use super::talk::{Talk, Words};
use super::verdict::{Rule, Verdict};
use super::{CheckShot, User};
use crate::id::{ChildKey, ConnKey, WatchKey};
use crate::time::{Duration, Instant, nanos};

/// The state of the look.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub(super) enum State {
    /// None: the check is not in use now.
    #[default]
    Off,
    /// It waits for its next start.
    Idle,
    /// It is due, and waits for a place.
    Queued,
    /// A connection is open, or being opened, and `talk` has the state of the dialogue.
    Talking { conn: ConnKey, talk: Talk },
    /// A program. `kills`: SIGTERM, then repeated SIGKILL, because its time is over or because the check is not needed any more.
    Running { child: ChildKey, kills: u32 },
    /// A file is watched.
    Watching { watch: WatchKey },
    /// Nothing is carried out: the result is known.
    Known,
    /// It follows a BFD session.
    Following,
}

/// One check, carried out once for all real servers with an equal specification.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct One {
    pub(super) spec: CheckSpec,
    pub(super) digest: [u8; 16],
    pub(super) users: Vec<User>,
    pub(super) verdict: Verdict,
    pub(super) state: State,
    /// The time of its next step in the queue.
    pub(super) step: Option<Instant>,
    /// The time in the queue at which the log reports that it has not ended for long.
    pub(super) overdue: Option<Instant>,
    /// When its last start was due; the next one keeps to that.
    pub(super) due: Instant,
    /// Since when there is this verdict.
    pub(super) since: Instant,
    pub(super) ended: Option<Instant>,
    /// When it was configured, or configured again.
    pub(super) wanted: Instant,
    /// The last result.
    pub(super) words: Words,
    /// The exit status of its program, the number of its file.
    pub(super) value: Option<i32>,
    /// A failure of this host was reported.
    pub(super) local_said: bool,
}

/// What is known of a check.
pub(super) struct Legacy {
    what: What,
    verdict: Verdict,
    value: Option<i32>,
    words: Words,
    since: Instant,
}

impl One {
    pub(super) fn new(spec: CheckSpec, digest: [u8; 16], now: Instant) -> One {
        One {
            spec,
            digest,
            users: Vec::new(),
            verdict: Verdict::default(),
            state: State::Off,
            step: None,
            overdue: None,
            due: now,
            since: now,
            ended: None,
            wanted: now,
            words: Words::Borrowed(""),
            value: None,
            local_said: false,
        }
    }

    /// Takes over the verdict of an earlier process.
    pub(super) fn resume(&mut self, shot: &CheckShot) {
        self.verdict.resume(shot.up, shot.failures.min(self.spec.pace.retries));
        self.value = shot.value;
        if shot.since > 0 {
            self.since = self.since.min(Instant(shot.since));
        }
        self.words = Words::Borrowed("as the process before found it");
    }

    /// What another check that replaces this one may take over.
    pub(super) fn legacy(&self) -> Legacy {
        let One { verdict, value, words, since, .. } = self;
        Legacy {
            what: self.spec.what.clone(),
            verdict: verdict.clone(),
            value: *value,
            words: words.clone(),
            since: *since,
        }
    }

    /// Takes over what is known of the check that this one replaces.
    pub(super) fn inherit(&mut self, old: Legacy) {
        let same = old.what == self.spec.what;
        // A number that still means the same.
        let counts = match (&old.what, &self.spec.what) {
            (What::Misc { dynamic: a, .. }, What::Misc { dynamic: b, .. }) => *a && *b,
            (What::File { name: a, .. }, What::File { name: b, .. }) => a == b,
            _ => false,
        };
        if same || counts {
            self.value = old.value;
        }
        match old.verdict.up() {
            Some(_) if same => {
                self.verdict = old.verdict.with(self.spec.pace.retries);
                (self.words, self.since) = (old.words, old.since);
            }
            Some(up) => self.verdict.hold(up),
            None => {}
        }
    }

    /// It replaces the weight of the file.
    pub(super) fn replaces(&self) -> bool {
        matches!(self.spec.what, What::Misc { dynamic: true, .. }) && self.value.is_some_and(|v| v >= 2)
    }

    pub(super) fn shot(&self) -> Option<CheckShot> {
        let up = self.verdict.up()?;
        let (failures, since) = (self.verdict.failures(), self.since.0);
        Some(CheckShot { spec: self.digest, up, failures, value: self.value, since })
    }

    pub(super) fn rule(&self) -> Rule {
        let (pages, fast_recovery) = match &self.spec.what {
            What::Http(http) => (http.pages.len().max(1), http.fast_recovery),
            _ => (1, false),
        };
        // What a file or a BFD session says is so, until it says something else: nothing is tried again.
        let pace = &self.spec.pace;
        let (retries, rise) =
            if matches!(self.spec.what, What::File { .. } | What::Bfd(_)) { (0, 1) } else { (pace.retries, pace.rise) };
        Rule { retries, rise, pages, fast_recovery }
    }

    /// Its first start: within its warm-up, by the hash of its specification, so that checks that are configured together do not begin
    /// together. For one whose verdict is known it is within its whole interval.
    pub(super) fn first_start(&self, now: Instant) -> Instant {
        let pace = &self.spec.pace;
        let span = if self.verdict.is_settled() { pace.warmup.max(pace.interval) } else { pace.warmup };
        let [a, b, c, d, ..] = self.digest;
        let share = (u128::from(u32::from_le_bytes([a, b, c, d])) * u128::from(nanos(span))) >> 32;
        now + Duration::from_nanos(u64::try_from(share).unwrap_or(u64::MAX))
    }

    /// Whether a check whose start is due at `at` may begin now already.
    pub(super) fn may_begin(&self, at: Instant, now: Instant) -> bool {
        matches!(self.state, State::Idle) && at <= now + self.spec.pace.interval / 100
    }

    /// Its next start by its interval, after `now`.
    pub(super) fn next_start(&self, now: Instant) -> Instant {
        let interval = self.spec.pace.interval;
        let next = self.due + interval;
        if next > now {
            return next;
        }
        let missed = now.since(self.due).as_nanos() / interval.as_nanos().max(1);
        self.due + Duration::from_nanos(u64::try_from((missed + 1) * interval.as_nanos()).unwrap_or(u64::MAX))
    }

    /// The time from which on it has not ended for long: three intervals and the time that a look may take.
    pub(super) fn overdue_at(&self) -> Instant {
        let pace = &self.spec.pace;
        let begin = self.ended.unwrap_or(self.wanted + pace.warmup);
        begin + pace.interval.saturating_mul(3) + pace.timeout + pace.retry_delay
    }

    /// What it adds to a weight that is `weight` in the file.
    pub(super) fn adds(&self, weight: i64) -> i64 {
        let value = i64::from(self.value.unwrap_or(0));
        match &self.spec.what {
            What::Misc { dynamic: true, .. } if value >= 2 => value - 2 - weight,
            What::File { weight: factor, .. } => {
                let n = value * i64::from(factor.weight);
                if factor.reverse { -n } else { n }
            }
            _ => 0,
        }
    }
}
