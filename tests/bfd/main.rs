//! BFD in virtual time: one session against packets by hand, two of them on a link that loses and reorders, and the sessions of a
//! configuration with their sockets played by the test. What instances make of it: `tests/vrrp/bfd.rs`.

mod pair;
mod service;
mod session;
mod wire;

use kalived::bfd::session::Params;
use kalived::time::{Duration, Instant};
use kalived::wire::bfd::{Packet, State};

/// A time of day, so that nothing depends on a clock that begins at 0.
pub const START: Instant = Instant(1_000_000_000_000);

/// So many milliseconds.
pub const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// 10 ms both ways, Detect Mult 3: lost after 30 ms.
pub const FAST: Params = Params { min_tx: 10_000, min_rx: 10_000, idle_tx: 1_000_000, multiplier: 3, passive: false };

/// A packet of a peer with the same parameters.
pub fn peer(state: State, yours: u32) -> Packet {
    let min_tx = if state == State::Up { 10_000 } else { 1_000_000 };
    Packet { state, multiplier: 3, mine: 77, yours, min_tx, min_rx: 10_000, ..Packet::default() }
}
