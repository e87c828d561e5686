//! The health checks of real servers: all of them, by name, by what they do and by whom they are for.
//!
//! Read first: `spec.rs` (what a check does). A check says whether it succeeds and what it adds to a weight; what a virtual server makes of
//! that is `lvs/pool.rs`'s. Equal checks of one backend, whoever names them, are carried out once.

mod spec;

pub use crate::track::Cx;
pub use spec::{CheckSpec, Http, Pace, Page, Source, What, alpha};

use crate::event::{ChildEnd, Errno, Stream};
use crate::id::{CheckId, ConnKey, RsKey, WatchKey};
use crate::time::Instant;
use std::sync::Arc;

/// A check that a real server is to have.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Wanted {
    /// For whom.
    pub server: RsKey,
    /// The server in messages: `[10.77.0.11]:tcp:80`.
    pub name: Arc<str>,
    /// Its virtual server in messages: `[10.77.1.1]:tcp:80`.
    pub service: Arc<str>,
    /// Weight of the server in the file: what `misc_dynamic` puts in its place is counted from there.
    pub weight: i64,
    /// See [`alpha`].
    pub alpha: bool,
    /// What is done.
    pub spec: CheckSpec,
}

/// Something changed for a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckOut {
    /// Whom it concerns.
    pub server: RsKey,
    /// What found it.
    pub check: CheckId,
    /// The check succeeds or fails from now on. Whether the server does is [`Checks::standing`]'s.
    pub up: Option<bool>,
    /// What the check adds to the weight from now on.
    pub weight: Option<i64>,
    /// Why: the last result in words.
    pub words: Box<str>,
}

/// What all checks of a server come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// `Some(false)`: one fails. `None`: none fails and one has not ended yet. A server without checks is up.
    pub up: Option<bool>,
    /// One with `alpha` has not ended yet.
    pub awaited: bool,
    /// What they add to its weight, worked out anew each time.
    pub weight: i64,
    /// How many fail.
    pub failed: u32,
}

/// A check as it is seen from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckView<'a> {
    /// What is done.
    pub spec: &'a CheckSpec,
    /// `None`: it has not ended yet.
    pub up: Option<bool>,
    /// Since when that is so.
    pub since: Instant,
    /// When it ended last.
    pub ended: Option<Instant>,
    /// Its last result in words; empty: none yet.
    pub words: &'a str,
    /// Failures in a row that do not count yet.
    pub failures: u32,
}

/// What another process needs to know of a check.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CheckShot {
    /// [`CheckSpec::digest`].
    pub spec: [u8; 16],
    /// Its verdict.
    pub up: bool,
    /// Failures in a row that do not count yet.
    pub failures: u32,
    /// The exit status of its program or the number of its file.
    pub value: Option<i32>,
}

/// Every check. See the module.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Checks {}

impl Checks {
    /// What an earlier process knew; before the first [`Checks::apply`].
    pub fn resume(&mut self, _shots: Vec<CheckShot>) {}
    /// What the next process is to know.
    pub fn shots(&self) -> Vec<CheckShot> {
        Vec::new()
    }
    /// These checks and no others. One that is there already keeps its state and its times; one that takes the place of another one of the
    /// same server keeps its verdict until its first result. Nothing begins before [`Checks::start`].
    pub fn apply(&mut self, _wanted: Vec<Wanted>, _cx: &mut Cx<'_>) {}
    /// Begins.
    pub fn start(&mut self, _cx: &mut Cx<'_>) {}
    /// Nothing is looked at any more, and what runs is asked to end. Verdicts stay.
    pub fn stop(&mut self, _cx: &mut Cx<'_>) {}
    /// `ha_suspend`: this server is not looked at, or again. Its verdicts stay. A check it shares goes on for the others.
    pub fn suspend(&mut self, _server: RsKey, _suspended: bool, _cx: &mut Cx<'_>) {}
    /// `Due::Checks`.
    pub fn on_due(&mut self, _cx: &mut Cx<'_>) -> Vec<CheckOut> {
        Vec::new()
    }
    /// Something happened on a connection that is `For::Lvs(check)`.
    pub fn on_stream(&mut self, _check: CheckId, _conn: ConnKey, _what: Stream<'_>, _cx: &mut Cx<'_>) -> Vec<CheckOut> {
        Vec::new()
    }
    /// A program that ran `For::Lvs(check)` ended.
    pub fn on_exit(&mut self, _check: CheckId, _end: ChildEnd, _cx: &mut Cx<'_>) -> Vec<CheckOut> {
        Vec::new()
    }
    /// A file that is watched `For::Lvs(check)` was read.
    pub fn on_read(
        &mut self,
        _check: CheckId,
        _watch: WatchKey,
        _result: Result<&[u8], Errno>,
        _cx: &mut Cx<'_>,
    ) -> Vec<CheckOut> {
        Vec::new()
    }
    /// What all checks of a server come to.
    pub fn standing(&self, _server: RsKey) -> Standing {
        Standing { up: Some(true), ..Standing::default() }
    }
    /// The checks of a server, in file order.
    pub fn views(&self, _server: RsKey) -> Vec<(CheckId, CheckView<'_>)> {
        Vec::new()
    }
    /// How many are carried out, and how many of those at this moment.
    pub fn sizes(&self) -> (usize, usize) {
        (0, 0)
    }
    /// Panics when a rule that must always hold does not.
    pub fn check_invariants(&self, _timers: &crate::timers::Timers) {}
}
