//! Virtual servers: which real servers take part, and what the kernel's IPVS table is to hold. Pure.
//!
//! Read first: `pool.rs`, the logic of one virtual server; `check/`, the health checks of real servers.

pub mod check;
pub mod pool;
