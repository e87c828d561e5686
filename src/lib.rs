//! kalived: VRRP in one single-threaded io_uring loop.
//!
//! One idea carries it: [`world::World`] is a value and the ring is its interpreter. `World` takes `(Now, Event)` and appends
//! [`effect::Effect`]s; [`daemon`] turns completions into events and effects into submissions; the simulator in
//! `tests/sim` does the same with a virtual clock and network, on the very same code.
//!
//! Read in this order: `time`, `id`, `event`, `effect`, `vrrp::fsm`, `vrrp::instance`, `world`, then `daemon`.
//! Imports point one way: `daemon → {world, config, sys}`, `world → {vrrp, …} → {timers, event, effect, note,
//! config::model, wire} → {time, id}`, `sys → {time, id}`. `tests/tidy.rs` holds that.

pub mod child;
pub mod config;
pub mod conn;
pub mod effect;
pub mod event;
pub mod exit;
pub mod id;
pub mod links;
pub mod note;
pub mod notify;
pub mod reload_time;
pub mod snapshot;
pub mod time;
pub mod timers;
pub mod track;
pub mod vrrp;
pub mod watch;
pub mod wire;
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
pub mod sys;
