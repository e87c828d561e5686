//! The parent process: what talks to people and to systemd.

pub mod client;
pub mod ctl;
pub mod systemd;
