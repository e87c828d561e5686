//! What check scripts left behind, whatever session it moved to: ended when kalived stops. A process that lost its parent is the
//! guard's child, for the guard adopts orphans; so everything a script ever started is found below the guard.
//!
//! What a notification script left stays: `notify_master` is where people start a service, and it must not end because kalived
//! does. It is known by the variable [`MARK`], which only notification scripts have in their environment.
//!
//! First SIGTERM, then, after [`PATIENCE`], SIGKILL. Only the processes of this guard are looked at, at most [`MOST`] of them.

use crate::sys::{child, clock, poll, processes};
use crate::time::Duration;

/// From SIGTERM to SIGKILL, as scripts get it.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long what was killed may take to go.
const LAST: Duration = Duration::from_secs(1);
/// Processes looked at in one round: more than scripts can have at one time, by far. What multiplies faster than it is killed is left
/// to the service manager.
const MOST: usize = 4096;
/// Milliseconds between two looks.
const PAUSE: i32 = 20;
/// In the environment of each notification script, and of what it starts.
const MARK: &str = "KALIVED_EVENT";

/// Ends all of it. Returns when nothing is left, after three seconds at most.
pub(super) fn end() {
    for (hard, time) in [(false, PATIENCE), (true, LAST)] {
        let until = clock::mono() + time;
        let mut asked = std::collections::BTreeSet::new();
        loop {
            while let Some((pid, _)) = child::ended() {
                child::reap(pid);
            }
            let mut left = processes::descendants(MOST);
            left.retain(|pid| !processes::has_variable(*pid, MARK));
            if left.is_empty() {
                return;
            }
            for pid in left.iter().filter(|pid| hard || !asked.contains(*pid)) {
                processes::signal_descendant(*pid, hard);
            }
            asked.extend(left);
            if clock::mono() >= until {
                break;
            }
            let _ = poll::readable(&[], PAUSE);
        }
    }
}
