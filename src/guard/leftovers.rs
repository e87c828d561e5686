//! Processes that check scripts left behind, in whatever session: ended when kalived stops. An orphaned process becomes a child of the
//! guard, because the guard is a subreaper; so every process that a script ever started is found below the guard.
//!
//! Processes of a notification script stay: operators start services in `notify_master`, which must not end because kalived does. They
//! are recognised by the variable [`MARK`], which only notification scripts have in their environment.
//!
//! First SIGTERM, then, after [`PATIENCE`], SIGKILL. Only descendants of this guard are examined, at most [`MOST`] of them.

use crate::sys::{child, clock, poll, processes};
use crate::time::Duration;

/// From SIGTERM to SIGKILL, the same as for scripts.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long killed processes may take to end.
const LAST: Duration = Duration::from_secs(1);
/// Processes examined in one round: far more than scripts can have at one time. Processes that multiply faster than they are killed are
/// left to the service manager.
const MOST: usize = 4096;
/// Milliseconds between two checks.
const PAUSE: i32 = 20;
/// A variable in the environment of each notification script, and of the processes that it starts.
pub(super) const MARK: &str = "KALIVED_EVENT";

/// Ends all of these processes. Returns when none is left, after three seconds at most.
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
