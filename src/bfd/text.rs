//! Every log line about BFD sessions, once; keepalived's wording where operators grep for it.
//!
//! Read first: `note.rs`.

use super::Discard;
use crate::event::Errno;
use crate::note::{Level, Note};
use crate::wire::bfd::{State, diag};
use crate::words::errno;
use core::net::IpAddr;

fn note(level: Level, text: String) -> Note {
    Note { level, text }
}

/// Another state. `diags`: the own diagnostic code and the peer's.
pub fn entering(name: &str, state: State, diags: (u8, u8)) -> Note {
    let word = state.word();
    let text = match state {
        State::Down | State::AdminDown => format!(
            "({name}) Entering {word} state (Local diagnostic - {}, Remote diagnostic - {})",
            diag::word(diags.0),
            diag::word(diags.1)
        ),
        State::Init | State::Up => format!("({name}) Entering {word} state"),
    };
    note(if state == State::Init { Level::Info } else { Level::Notice }, text)
}
/// It has not come up since it began, and counts as down from now on.
pub fn never_up(name: &str, peer: IpAddr) -> Note {
    note(Level::Notice, format!("BFD session {name} with {peer} has not come up: it counts as down"))
}
/// A virtual router tracks it.
pub fn tracked(instance: &str, name: &str, up: bool) -> Note {
    let word = if up { "UP" } else { "DOWN" };
    note(Level::Info, format!("VRRP_Instance({instance}) Tracked BFD instance {name} is {word}"))
}
/// The sending socket could not be opened.
pub fn no_socket(name: &str, source: Option<IpAddr>, e: Errno) -> Note {
    let from = source.map_or(String::new(), |a| format!(" for source {a}"));
    note(Level::Warning, format!("({name}) no BFD socket{from}: {}; trying again every second", errno(e)))
}
/// The receiving socket could not be opened.
pub fn no_port(port: u16, e: Errno) -> Note {
    let help = if e == Errno::EADDRINUSE { " (another BFD daemon on this host?)" } else { "" };
    note(Level::Error, format!("BFD cannot receive on UDP port {port}: {}{help}; trying again every second", errno(e)))
}
/// Packets cannot be sent; they are tried again with the next interval.
pub fn not_sent(name: &str, peer: IpAddr, e: Errno) -> Note {
    note(Level::Warning, format!("({name}) BFD packet to {peer} could not be sent: {}", errno(e)))
}
/// A packet was discarded, the `count`-th for that reason.
pub fn discarded(from: IpAddr, why: Discard, count: u64) -> Note {
    note(Level::Warning, format!("Discarding BFD packet from {from}: {why} (number {count} of this kind)"))
}
/// A packet was discarded because it came too far.
pub fn too_far(name: &str, from: IpAddr, ttl: u8, least: u8) -> Note {
    let text = format!(
        "({name}) Discarding BFD packet from {from}: its TTL is {ttl}, at least {least} is required (RFC 5881 section 5); \
         where the peer sends a lower one, configure `ttl 255` there, or `ttl {ttl}` or max_hops here"
    );
    note(Level::Warning, text)
}
