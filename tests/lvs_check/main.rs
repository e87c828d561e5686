//! The health checks of real servers in virtual time, with simulated servers: their times, their verdicts, and hostile servers. Read first:
//! `bench.rs`.

mod bench;
mod hostile;
mod http;
mod kinds;
mod order;
mod pace;
mod programs;
mod specs;
