//! kalived: VRRP and LVS health checks in one single-threaded io_uring loop.
//!
//! [`world::World`] is a value, and the ring is its interpreter. `World` takes `(Now, Event)` and appends [`effect::Effect`]s. [`daemon`]
//! turns completions into events, and effects into submissions; the simulator in `tests/sim` does the same for the same code, with a
//! virtual clock and a virtual network.
//!
//! Read in this order:
//! - what all others use: `time`, `id` (keys and names), `net` (interfaces, addresses, error numbers), `route`, `rule`, `knob` (sysctls),
//!   `exit` (exit codes), `automaton` (regular expressions)
//! - the inputs and outputs of `World`: `event`, `effect`, `timers`; `note` and `words` (lines of the log); `wire` (packets and netlink
//!   messages as bytes)
//! - `config`: from the text of a file to `config::model`, the only part of it that the modules below import
//! - resources outside of `World`, under names that are never reused: `child` (programs), `conn` (connections), `watch` (files, processes)
//! - `vrrp`: `vrrp::fsm` (the state table), `vrrp::instance` (a virtual router), `vrrp::group` (sync groups)
//! - the kernel's state: `links` (interfaces and addresses, as reported), `reconcile` (requests for each difference between the wanted
//!   and the reported state), `owned` (who wants which route or rule); their users `routes`, `rules`, `vmac` (own interfaces), `filter` (nftables)
//! - `track` (scripts, files, processes, checks), `bfd` (sessions), `lvs` (virtual servers and their health checks), `notify` (scripts,
//!   pipes, mail), `reload_time` (scheduled reloads)
//! - `report`: the state of the daemon for `kalived status` and the dump files; `snapshot`: the state for the next process; `envelope`: the
//!   header of a snapshot or a recording
//! - `world`, which owns all of the above and passes events to them; `record`, its recorder, with `octets` (how an event's bytes are recorded)
//! - `sys`, the only module that calls libc and io_uring; `process`, the code that all processes share
//! - the processes: `guard` starts and watches the others and answers commands; `daemon` is the core, the loop around `World`; `helper`
//!   makes the calls that may block; `cli` is the commands. `start` is the entry of each of them.
//!
//! Imports have one direction; `LAYERS` in `tests/tidy.rs` lists the modules of each layer, and its test checks them:
//! - `start → {cli, guard, daemon, helper} → process → {config, sys}`. Of the four in braces none imports another; only `daemon` imports
//!   the messages of `helper`.
//! - `daemon → {world, record} → vrrp and all others that World owns → {event, effect, timers, config::model, …} → {time, id, net, …}`,
//!   `notify → vrrp → track`, `wire → {net, route, rule, time}`, `sys → {time, id, knob}`.

pub mod automaton;
pub mod bfd;
pub mod child;
pub mod config;
pub mod conn;
pub mod effect;
pub mod envelope;
pub mod event;
pub mod exit;
pub mod filter;
pub mod id;
pub mod knob;
pub mod links;
pub mod lvs;
pub mod net;
pub mod note;
pub mod notify;
pub mod octets;
pub mod owned;
pub mod reconcile;
pub mod record;
pub mod reload_time;
pub mod report;
pub mod route;
pub mod routes;
pub mod rule;
pub mod rules;
pub mod snapshot;
pub mod time;
pub mod timers;
pub mod track;
pub mod vmac;
pub mod vrrp;
pub mod watch;
pub mod wire;
pub mod words;
pub mod world;

#[cfg(target_os = "linux")]
pub mod cli;
#[cfg(target_os = "linux")]
pub mod daemon;
#[cfg(target_os = "linux")]
pub mod guard;
#[cfg(target_os = "linux")]
pub mod helper;
#[cfg(target_os = "linux")]
pub mod process;
#[cfg(target_os = "linux")]
pub mod start;
#[cfg(target_os = "linux")]
pub mod sys;
