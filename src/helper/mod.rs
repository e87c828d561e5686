//! The helper: a process that does for the core what may block. Files, processes, named pipes, host names.
//!
//! Read in this order: `proto` (what is said), this file (who does what), then `files`, `processes`, `fifos`, `names`.

pub mod proto;
