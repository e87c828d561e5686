//! The ring, the pre-armed chains, the sockets and the log sink on the kernel of this machine.
//!
//! `chains` and `sink` need io_uring only; `netns` and parts of `command` need a network namespace of their own and make one with `unshare`. What
//! this machine does not offer is skipped with a printed reason. No test asserts how long anything took: the limits
//! below only end a test that hangs.

// An unwrap that fails is a failed test.
#![allow(clippy::unwrap_used)]

mod chains;
mod checks;
mod command;
mod groups;
mod helper_line;
mod netns;
mod sink;
mod streams;

use kalived::daemon::token::Token;
use kalived::sys::clock;
use kalived::sys::ring::Ring;
use kalived::time::{Duration, Instant};

/// After this a test that waits for something gives up.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A ring, or `None` with the reason printed.
pub fn ring() -> Option<Ring<Token>> {
    Ring::new().map_err(|e| println!("skipped: {e}")).ok()
}

/// Waits for completions, at most until `deadline`.
pub fn wait(ring: &mut Ring<Token>, deadline: Instant) {
    assert!(clock::mono() < deadline, "nothing more comes");
    ring.submit_and_wait(Some(deadline)).expect("the ring works");
}
