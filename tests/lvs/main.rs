//! Virtual servers against a kernel's table: what is there, what is asked for, what is put back.
//!
//! Read first: `src/lvs/director.rs`, `kernel.rs` (the bench), `table.rs`.

mod farm;
mod kernel;
mod table;
