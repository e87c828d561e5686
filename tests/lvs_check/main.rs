//! The health checks of real servers in virtual time, against servers that are made up: when they look, what they make of answers, and what
//! a hostile server cannot do. Read first: `bench.rs`.

mod bench;
mod hostile;
mod http;
mod kinds;
mod order;
mod pace;
mod programs;
mod specs;
