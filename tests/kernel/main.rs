//! Real daemons in network namespaces: what only a kernel can show.
//!
//! Read first: `../lab/mod.rs`. Modules: `life` (take-over and stop), `vectors` (every wire vector injected), `traps_election`,
//! `traps_interface`, `traps_process` (scenarios that hurt users of keepalived; the numbers are those of the collected list of
//! demands), `bad_input` (floods of malformed adverts), `bad_config` (files with mistakes), `seeds` (the pairs of the tutorials, with real
//! nginx and Apache), `guard` and `guard_faults` (processes that die, hang, or are replaced), `traps_life` (starts, ends and limits),
//! `traps_handover` (hand-overs that nobody takes; signals), `ends` (no address is left, whenever it ends), `unicast` (peers by
//! address, sources that come later), `local_users` (what scripts and files of other users may do to it), `lvs` (the IPVS table, beside keepalived's).

#[path = "../lab/mod.rs"]
mod lab;

mod accept;
mod announce;
mod bad_config;
mod bad_input;
mod ends;
mod guard;
mod guard_faults;
mod life;
mod local_users;
mod lvs;
mod record;
mod report;
mod seeds;
mod tracking;
mod traps_election;
mod traps_handover;
mod traps_interface;
mod traps_life;
mod traps_process;
mod traps_reload;
mod traps_scripts;
mod traps_successor;
mod unicast;
mod vectors;
mod virtual_routes;
mod vmac;
mod words;
