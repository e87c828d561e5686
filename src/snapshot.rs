//! What one process of kalived leaves to the next: enough to go on as Master without anybody noticing.
//!
//! Read first: `world/mod.rs`. A snapshot that does not check is no snapshot: the next process starts cold.

use core::net::IpAddr;
use serde::{Deserialize, Serialize};

/// Everything that is handed over. Times are nanoseconds of CLOCK_MONOTONIC, which does not stop between two processes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// When it was taken.
    pub at: u64,
    /// Taken by a frozen world: deadlines are exact, and what is armed still leaves.
    pub last: bool,
    /// Virtual routers by name.
    pub instances: Vec<InstanceShot>,
    /// Trackers by kind and name.
    pub tracks: Vec<TrackShot>,
}

/// One virtual router.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceShot {
    /// Name in the file.
    pub name: String,
    /// Identity on the wire, so that a snapshot never resumes another router of the same name.
    pub vrid: u8,
    /// As `name`.
    pub interface: String,
    /// 0 Init, 1 Backup, 2 Master, 3 Fault.
    pub state: u8,
    /// Since when: monotonic and wall clock.
    pub since: (u64, u64),
    /// Effective priority.
    pub priority: u8,
    /// Master_Adver_Interval, nanoseconds.
    pub master_interval: u64,
    /// The Master we follow.
    pub master: Option<IpAddr>,
    /// Master_Down_Timer.
    pub master_down: Option<u64>,
    /// When the last armed advert leaves.
    pub last_armed: Option<u64>,
    /// Counters, in the order of `Stats`.
    pub stats: Vec<u64>,
    /// The state last told to hooks, as `state`; `None`: none yet.
    pub notified: Option<u8>,
}

/// One tracker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackShot {
    /// "script", "file", "process", "check".
    pub kind: String,
    /// Name in the file.
    pub name: String,
    /// `None`: not known yet. Else up (1) or down (0); of a file its value.
    pub value: Option<i64>,
}
