//! VRRP in virtual time: the transition table, every duration to the nanosecond, and the effects of each input on a whole
//! [`World`](kalived::world::World). Read first: `bench.rs`, which every test here uses.

mod announce;
mod bench;
mod bfd;
mod cost;
mod custody;
mod debounce;
mod ends;
mod farewell;
mod fib;
mod filter;
mod fixed;
mod group;
mod group_reload;
mod group_told;
mod handover;
mod kernel_state;
mod life;
mod lvs;
mod mail;
mod native;
mod noise;
mod notify;
mod notify_handover;
mod notify_reload;
mod own;
mod own_more;
mod pause;
mod pipes;
#[path = "../wire/receiver.rs"]
mod receiver;
mod reload;
mod report;
mod resume;
mod roll_out;
mod routes;
mod rx;
mod schedule;
mod signed;
mod table;
mod track;
mod track_check;
mod track_pace;
mod unicast;
mod vectors;
mod virtual_routes;
