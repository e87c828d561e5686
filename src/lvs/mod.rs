//! Virtual servers: which real servers take part, and what the kernel's IPVS table is to hold. Pure.
//!
//! Read in this order: `pool.rs`, the logic of one virtual server; `farm.rs` with `shape.rs`, all of them and how they are made from the
//! file; `table.rs`, the comparison of the kernel's table with the wanted one; `sync.rs`, the kernel's threads that synchronise
//! connections with another director; `timeouts.rs`, those of its connections; `marks.rs`, the marks of `nftables_ipvs`; `pace.rs`, how
//! long work is spread over turns; `check/`, the health checks of real servers; `director.rs`, the order of all work. `report.rs` has
//! their part of the report, `text.rs` the lines of the log.

pub mod check;
pub mod director;
pub mod farm;
pub mod marks;
pub mod pace;
pub mod pool;
mod ramp;
pub mod report;
mod shape;
pub mod sync;
pub mod table;
pub mod text;
pub mod timeouts;

pub(crate) use shape::nth_address;
