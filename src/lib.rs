//! kalived: VRRP in one single-threaded io_uring loop.
//!
//! One idea carries it: [`world::World`] is a value and the ring is its interpreter. `World` takes `(Now, Event)` and appends
//! [`effect::Effect`]s; [`daemon`] turns completions into events and effects into submissions; the simulator in
//! `tests/sim` does the same with a virtual clock and network, on the very same code.
//!
//! Read in this order:
//! - the ground: `time`, `id`, `net`, `event`, `effect`, `timers`; names for what lives outside: `child` (programs), `conn`
//!   (connections), `watch` (files and processes)
//! - the machines: `vrrp::fsm`, `vrrp::instance`; `filter` (what drops packets to addresses); `track` (scripts, files, processes, checks), `notify` (hooks, pipes, mail),
//!   `bfd` (sessions that find a lost peer within milliseconds), `reload_time` (when a scheduled reload is due), `snapshot` in its `envelope` (what one process leaves to the next)
//! - `report`: everything there is to know, as one value; `kalived status` and the dump files show it
//! - `world`, which owns and routes them all; `config` is how the text of a file becomes what it is made from
//! - `sys`, which holds every system call, and `process`, what all processes share
//! - the processes: `guard` starts and watches the others and answers commands; `daemon` is the core, the loop around `world`;
//!   `helper` does for it what may block; `cli` is what a command does. `start` is the way to each of them.
//!
//! Imports point one way: `start → {cli, guard, daemon, helper} → process → {config, sys}`, and none of those four imports another
//! (`daemon` knows the messages of `helper`); `daemon → world → {vrrp, …} → {timers, event, effect, note, config::model} → {wire} →
//! {net, route, rule, time, id}`, `notify → vrrp → track`, `sys → {time, id}`. `tests/tidy.rs` holds that.

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
