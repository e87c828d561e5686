//! One tracked `bfd_instance`: the last verdict of its session.
//!
//! Read first: `mod.rs`, `bfd/mod.rs`. The session runs whether it is tracked or not.

use crate::config::model::bfd::BfdInstance;

/// A tracked BFD session. It is up while the session is in state Up.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Bfd {
    cfg: BfdInstance,
    up: Option<bool>,
}

impl Bfd {
    /// Nothing is known yet.
    pub fn new(cfg: BfdInstance) -> Bfd {
        Bfd { cfg, up: None }
    }
    /// The `bfd_instance` as configured.
    pub fn cfg(&self) -> &BfdInstance {
        &self.cfg
    }
    /// Another configuration; the session says what that makes of it.
    pub fn alter(&mut self, cfg: BfdInstance) {
        self.cfg = cfg;
    }
    /// Whether it is up; `None`: not known yet.
    pub fn up(&self) -> Option<bool> {
        self.up
    }
    /// What was known before, or what the session says now. True: the verdict changed.
    pub fn set(&mut self, up: bool) -> bool {
        self.up.replace(up) != Some(up)
    }
}
