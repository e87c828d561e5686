//! Virtual servers: which real servers take part, and what the kernel's IPVS table is to hold. Pure.
//!
//! Read in this order: `pool.rs`, the logic of one virtual server; `farm.rs` with `shape.rs`, all of them and what of the file they are made from;
//! `table.rs`, the kernel's table against what they want; `sync.rs`, the kernel's threads that tell connections to another director; `check/`, the health checks of real servers; `director.rs`, when which of it
//! happens. `report.rs` says how they stand, `text.rs` has the lines of the log.

pub mod check;
pub mod director;
pub mod farm;
pub mod pool;
pub mod report;
mod shape;
pub mod sync;
pub mod table;
pub mod text;
