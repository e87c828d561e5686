//! What the processes of kalived share; parts of a single process are elsewhere.
//!
//! Read in this order: `args` (how one starts another), `proto` (messages between core and guard), `line` and `log` (the log), `slots`
//! (where snapshots are stored), `image` and `parts` (the configuration), `request` (the control socket), `reading`, `entry`,
//! `scripthost` (the configuration: how it is read, its messages as lines of the log, its view of the machine), `dump` and `report`.

pub mod args;
pub mod dump;
pub mod entry;
pub mod image;
pub mod line;
pub mod log;
pub mod parts;
pub mod proto;
pub mod reading;
pub mod report;
pub mod request;
pub(crate) mod scripthost;
pub mod slots;
