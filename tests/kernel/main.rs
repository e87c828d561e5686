//! Real daemons in network namespaces: the tests that need a real kernel.
//!
//! Read first: `../lab/mod.rs`, then `life` (take-over and stop). The head of each module states what it tests. The modules `traps_*` have
//! the numbers of `docs/traps.md`.

#[path = "../lab/mod.rs"]
mod lab;

mod accept;
mod announce;
mod bad_config;
mod bad_input;
mod bonds;
mod config_files;
mod ends;
mod guard;
mod guard_faults;
mod large_file;
mod life;
mod local_users;
mod lvs;
mod lvs_probe;
mod lvs_told;
mod marking;
mod namespace;
mod own_addresses;
mod record;
mod report;
mod route_words;
mod seeds;
mod tracking;
mod traps_election;
mod traps_handover;
mod traps_interface;
mod traps_life;
mod traps_network;
mod traps_process;
mod traps_reload;
mod traps_scripts;
mod traps_successor;
mod unicast;
mod vectors;
mod virtual_routes;
mod vmac;
mod words;
