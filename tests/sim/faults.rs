//! The faults of a run, by class. Each seed draws for each class whether it occurs, and its rate and length.
//!
//! Read first: `rng.rs`. `inject.rs` has the effect of a class on the simulation; here are only the classes, their rates and their
//! lengths. Packet faults are drawn for each packet, the others are periods that begin and end.

use crate::rng::Rng;
use core::time::Duration;

/// A class of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub enum Class {
    /// A packet vanishes.
    Loss,
    /// A packet takes longer; all of one path the same, so nothing is reordered.
    Delay,
    /// A packet comes twice.
    Duplicate,
    /// Each packet has a delay of its own, so one may overtake another.
    Reorder,
    /// One bit of a packet is flipped.
    Corrupt,
    /// One node neither hears nor is heard.
    Isolate,
    /// One direction between two nodes is cut.
    OneWay,
    /// kill -9, later started again; its addresses stay.
    Crash,
    /// SIGTERM, later started again.
    Stop,
    /// SIGSTOP, later SIGCONT.
    Pause,
    /// The loop is busy; the kernel works on.
    Stall,
    /// Carrier or administrative down, later up.
    LinkFlap,
    /// Interface deleted, later there again with another ifindex.
    LinkRecreate,
    /// The interface's own address goes, later comes back.
    AddrLoss,
    /// Another program removes a virtual address, and a route.
    VipLoss,
    /// Address requests fail for a while, and so do dumps.
    NetlinkError,
    /// Netlink notifications are lost, and the kernel reports the loss.
    Overrun,
    /// The wall clock steps by up to a day either way.
    WallStep,
    /// A raw socket dies, and none can be opened for a while.
    SockLoss,
    /// Half of the sends fail, as with a closed firewall or a full queue.
    SendError,
    /// Another configuration, or the same once more.
    Reload,
    /// Killed, and another process goes on from the snapshot that was written last.
    CrashResume,
    /// Another process takes over.
    HandOver,
    /// A check fails, hangs, cannot be started or takes too long.
    Script,
    /// An attacker without the key sends an owner's advert in the name of the sender of a signed one.
    Forge,
}

impl Class {
    /// All of them, in order of their number.
    pub const ALL: [Class; 25] = [
        Class::Loss,
        Class::Delay,
        Class::Duplicate,
        Class::Reorder,
        Class::Corrupt,
        Class::Isolate,
        Class::OneWay,
        Class::Crash,
        Class::Stop,
        Class::Pause,
        Class::Stall,
        Class::LinkFlap,
        Class::LinkRecreate,
        Class::AddrLoss,
        Class::VipLoss,
        Class::NetlinkError,
        Class::Overrun,
        Class::WallStep,
        Class::SockLoss,
        Class::SendError,
        Class::Reload,
        Class::CrashResume,
        Class::HandOver,
        Class::Script,
        Class::Forge,
    ];
    /// Whether it is drawn for each packet (the others are periods).
    pub fn per_packet(self) -> bool {
        self <= Class::Corrupt || self == Class::Forge
    }
    /// Its stream of random numbers for one node.
    pub fn stream(self, seed: u64, node: usize) -> Rng {
        Rng::stream(seed, 0x100 + self as u64, node as u64)
    }
}

/// The rate and length of one class in one seed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rate {
    /// Whether it occurs.
    pub present: bool,
    /// Per-packet classes: of a thousand packets.
    pub permille: u32,
    /// Period classes: mean time from an end to the next begin.
    pub gap: Duration,
    /// Period classes: least length; the length is this and an exponential of twice this.
    pub stay: Duration,
    /// Delay and reorder: largest addition.
    pub extra: Duration,
}

/// Every class's rate, by `Class as usize`.
pub type Rates = [Rate; Class::ALL.len()];

/// Draws the rates; `unit` is the time scale of the seed (its shortest advert interval).
pub fn draw(rng: &mut Rng, unit: Duration) -> Rates {
    let unit = unit.as_nanos() as u64;
    let mut rates = Rates::default();
    // Some seeds have nearly no faults, some have very many.
    let density = rng.pick(&[100, 300, 300, 500, 700]);
    for class in Class::ALL {
        let present = rng.permille(density);
        let permille = rng.pick(&[5, 20, 50, 100, 300]);
        let gap = Duration::from_nanos(rng.range(4, 40) * unit);
        let stay = Duration::from_nanos(unit / 10 * rng.pick(&[1, 3, 10, 20, 50]));
        // In half of the seeds a late packet is only a little late.
        let extra = Duration::from_nanos(unit / 100 * rng.pick(&[1, 10, 100, 300]));
        let permille = if class == Class::Corrupt { permille.min(100) } else { permille };
        rates[class as usize] = Rate { present, permille, gap, stay, extra };
    }
    rates
}
