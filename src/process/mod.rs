//! What the processes of kalived share; parts of a single process are elsewhere.
//!
//! Read in this order: `args` (how one starts another), `proto` (what core and guard say to each other), `line` and `log` (the log),
//! `slots` (where snapshots are), `sysctls` (their former values), `image` and `parts` (the configuration), `request` (the control socket),
//! `reading`, `entry`, `scripthost`, `interfaces` (the configuration: how it is read, its messages as lines of the log, the machine as it
//! sees it), `dump` and `report`; `tls` (TLS of a client).

pub mod args;
pub mod dump;
pub mod entry;
pub mod image;
pub(crate) mod interfaces;
pub mod line;
pub mod log;
pub mod parts;
pub mod proto;
pub mod reading;
pub mod report;
pub mod request;
pub(crate) mod scripthost;
pub mod slots;
pub mod sysctls;
pub mod tls;
