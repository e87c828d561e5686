//! Virtual servers and the kernel's table: adoption, requests, and corrections.
//!
//! Read first: `src/lvs/director.rs`, `kernel.rs` (the bench), `table.rs`.

mod farm;
mod kernel;
mod marks;
mod pace;
mod ramp;
mod sync;
mod table;
mod timeouts;
mod traps;
