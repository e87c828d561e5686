//! The invariants: one checker for each, in a file of its own, with the formula of its bound.
//!
//! Read first: `docs/invariants.md`, `ground.rs`. A checker receives facts and the true state and returns the text of a violation. Its
//! bounds are checked only in windows without a fault: the `touched` times in the ground are the times of the last fault of a node, or of
//! the path between two. J is `Ground::lateness`, D `Ground::delay`, I an advert interval. A timer lasts as
//! long as by the clock of its node (`Ground::lasts`); where a bound has timers of several nodes, by the slowest of their clocks.

mod announce;
mod dual_master;
mod hitless;
mod inversion;
mod liveness;
mod notify;
mod pause;
mod recovery;
mod timers;
mod transmission;
mod vips;

use crate::ground::{Fact, Ground};
use core::time::Duration;
pub use liveness::bounds as liveness_bounds;

/// Rounding allowed in comparing two computations of one duration.
pub const GRAIN: Duration = Duration::from_nanos(16);

/// Largest value of something over its bound, in thousandths; what is reported at the end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Worst {
    /// value / bound × 1000.
    pub permille: u64,
    /// How many were measured.
    pub count: u64,
}

impl Worst {
    /// One more measurement.
    pub fn add(&mut self, value: Duration, bound: Duration) {
        let p = value.as_nanos() * 1000 / bound.as_nanos().max(1);
        self.permille = self.permille.max(u64::try_from(p).unwrap_or(u64::MAX));
        self.count += 1;
    }
    /// The worse of both.
    pub fn merge(&mut self, o: Worst) {
        self.permille = self.permille.max(o.permille);
        self.count += o.count;
    }
}

/// The invariants that are checked here; see `docs/invariants.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Id {
    /// Dual Master.
    I1,
    /// Inversion.
    I2,
    /// VIPs iff Master.
    I3,
    /// Announced, each once before any twice.
    I11,
    /// Transmission.
    I5,
    /// Timers.
    I8,
    /// Pause.
    I9,
    /// Notify.
    I10,
    /// Election.
    L1,
    /// Farewell.
    L2,
    /// Recovery.
    L4,
    /// Hitless.
    H1,
}

impl Id {
    /// All.
    pub const ALL: [Id; 12] =
        [Id::I1, Id::I2, Id::I3, Id::I11, Id::I5, Id::I8, Id::I9, Id::I10, Id::L1, Id::L2, Id::L4, Id::H1];
}

/// One checker.
pub trait Checker {
    /// Which invariant.
    fn id(&self) -> Id;
    /// Sees a fact; `Err`: violated, and how.
    fn see(&mut self, g: &Ground, fact: &Fact) -> Result<(), String>;
    /// Its figure, if it has one.
    fn worst(&self) -> Worst {
        Worst::default()
    }
}

/// All of them.
pub struct Checkers(Vec<Box<dyn Checker>>);

impl Checkers {
    /// For a run; `only`: this one alone, to show that it can fail by itself.
    pub fn new(g: &Ground, only: Option<Id>) -> Checkers {
        let all: Vec<Box<dyn Checker>> = vec![
            Box::new(dual_master::DualMaster::new(g)),
            Box::new(inversion::Inversion::new(g)),
            Box::new(vips::Vips::default()),
            Box::new(announce::Announce::new(g)),
            Box::new(transmission::Transmission::new(g)),
            Box::new(timers::TimersHold::new(g)),
            Box::new(pause::Pause::new(g)),
            Box::new(notify::Notify::new(g)),
            Box::new(liveness::Election::new(g)),
            Box::new(liveness::Farewell::default()),
            Box::new(recovery::Recovery::new(g)),
            Box::new(hitless::Hitless::new(g)),
        ];
        Checkers(all.into_iter().filter(|c| only.is_none_or(|o| o == c.id())).collect())
    }
    /// Shows a fact to all.
    pub fn see(&mut self, g: &Ground, fact: &Fact) -> Result<(), (Id, String)> {
        for c in &mut self.0 {
            c.see(g, fact).map_err(|text| (c.id(), text))?;
        }
        Ok(())
    }
    /// Figures.
    pub fn worst(&self) -> impl Iterator<Item = (Id, Worst)> + '_ {
        self.0.iter().map(|c| (c.id(), c.worst()))
    }
}
