//! One node: its kernel, and while it runs its process: the shipped `World`, the sockets, the adverts armed in the kernel, and
//! the completions that wait for the next turn.
//!
//! Read first: `kernel.rs`. A turn is in `turn.rs`, the execution of effects in `exec.rs`.

use crate::ground::Clock;
use crate::kernel::{Kernel, Msg};
use crate::packet::Advert;
use crate::rng::Rng;
use crate::scripts::Outside;
use bytes::Bytes;
use kalived::config::model::Config;
use kalived::effect::{Effects, Packets, SockSpec};
use kalived::event::{ChildEnd, Errno, FilterEv, ReqId, RxMeta, Signal};
use kalived::id::{ChildKey, FifoKey, SockKey, VrKey};
use kalived::snapshot::Snapshot;
use kalived::time::{Instant, Now, Wall};
use kalived::world::World;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Most datagrams a socket keeps for a process that does not read; the kernel's default receive buffer holds about as many.
const SOCKET_QUEUE: usize = 256;

/// A completion that waits for the loop.
#[derive(Clone, Debug)]
pub enum Completion {
    /// A datagram. `truth`: what it says and who sent it, unless it was damaged on the way.
    Datagram {
        /// Received where.
        sock: SockKey,
        /// Ancillary data.
        meta: RxMeta,
        /// As the socket delivers it.
        bytes: Bytes,
        /// Group, sender, content.
        truth: Option<(usize, usize, Advert)>,
        /// An attacker made it of an advert of this group.
        forged: Option<usize>,
    },
    /// An armed advert left or failed.
    AdvertSent {
        /// Whose.
        vr: VrKey,
        /// Armed with.
        epoch: u32,
        /// Armed for.
        due: Instant,
        /// The result of the sends.
        result: Result<(), Errno>,
        /// To whom it did not leave.
        missed: Vec<(core::net::IpAddr, Errno)>,
    },
    /// An immediate advert failed.
    SendFailed {
        /// Whose.
        vr: VrKey,
        /// Why.
        errno: Errno,
    },
    /// A slice of frames left, or a part of it.
    FramesSent {
        /// Where.
        ifindex: u32,
        /// Which.
        batch: u64,
        /// How many.
        sent: usize,
        /// Why not the next.
        errno: Option<Errno>,
    },
    /// A socket was opened, or not.
    SockReady {
        /// Which.
        sock: SockKey,
        /// Whether.
        result: Result<(), Errno>,
    },
    /// A socket that was open has failed.
    SockLost {
        /// Which.
        sock: SockKey,
        /// Why.
        errno: Errno,
    },
    /// Netlink.
    Net(Msg),
    /// nf_tables.
    Filter(FilterEv),
    /// A signal.
    Signal(Signal),
    /// Another configuration was compiled; `same`: its content is that of the previous one.
    Config {
        /// What.
        config: Box<Config>,
        /// Whether.
        same: bool,
    },
    /// A program ended.
    ChildExit {
        /// Which.
        child: ChildKey,
        /// How.
        end: ChildEnd,
    },
    /// Sysctls were set.
    Knobs {
        /// Which job.
        job: u64,
        /// What they were.
        before: Vec<(kalived::knob::Knob, u32)>,
    },
    /// A pipe can be written to, or not.
    FifoReady {
        /// Which.
        fifo: FifoKey,
        /// Whether.
        result: Result<(), Errno>,
    },
    /// A line was taken, or not.
    FifoWritten {
        /// Where.
        fifo: FifoKey,
        /// Whether.
        result: Result<(), Errno>,
    },
    /// `Go` for a process in standby: the snapshot of the previous one, and the time of its death.
    Go(Option<Box<Snapshot>>, Option<Instant>),
}

/// Completions by source: in order within one source, in any order between two.
#[derive(Debug, Default)]
pub struct Inbox {
    datagrams: BTreeMap<SockKey, VecDeque<Completion>>,
    adverts: VecDeque<Completion>,
    netlink: VecDeque<Completion>,
    filter: VecDeque<Completion>,
    rest: VecDeque<Completion>,
}

impl Inbox {
    /// Queues; `false`: a socket's buffer is full and the datagram is gone.
    pub fn push(&mut self, c: Completion) -> bool {
        match c {
            Completion::Datagram { sock, .. } => {
                let q = self.datagrams.entry(sock).or_default();
                if q.len() >= SOCKET_QUEUE {
                    return false;
                }
                q.push_back(c);
            }
            Completion::AdvertSent { .. } => self.adverts.push_back(c),
            Completion::Net(_) => self.netlink.push_back(c),
            Completion::Filter(_) => self.filter.push_back(c),
            Completion::SendFailed { .. }
            | Completion::FramesSent { .. }
            | Completion::SockReady { .. }
            | Completion::SockLost { .. }
            | Completion::Config { .. }
            | Completion::Signal(_)
            | Completion::ChildExit { .. }
            | Completion::FifoReady { .. }
            | Completion::FifoWritten { .. }
            | Completion::Knobs { .. }
            | Completion::Go(..) => {
                self.rest.push_back(c);
            }
        }
        true
    }
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.adverts.is_empty()
            && self.netlink.is_empty()
            && self.filter.is_empty()
            && self.rest.is_empty()
            && self.datagrams.values().all(VecDeque::is_empty)
    }
    /// Whether a configuration waits.
    pub fn has_config(&self) -> bool {
        self.rest.iter().any(|c| matches!(c, Completion::Config { .. }))
    }
    /// Takes all, the sources interleaved at random.
    pub fn take(&mut self, rng: &mut Rng) -> Vec<Completion> {
        let mut out = Vec::new();
        loop {
            let mut queues: Vec<&mut VecDeque<Completion>> =
                [&mut self.adverts, &mut self.netlink, &mut self.filter, &mut self.rest]
                    .into_iter()
                    .chain(self.datagrams.values_mut())
                    .filter(|q| !q.is_empty())
                    .collect();
            if queues.len() <= 1 {
                out.extend(queues.into_iter().flat_map(|q| q.drain(..)));
                return out;
            }
            let i = rng.below(queues.len() as u64) as usize;
            out.extend(queues[i].pop_front());
        }
    }
    /// Datagrams of a closed socket are not delivered any more.
    pub fn forget(&mut self, sock: SockKey) {
        self.datagrams.remove(&sock);
    }
}

/// An armed advert.
#[derive(Clone, Debug)]
pub struct Armed {
    /// Whose.
    pub vr: VrKey,
    /// Where.
    pub sock: SockKey,
    /// Given back.
    pub epoch: u32,
    /// What.
    pub packets: Packets,
}

/// What ends with the process.
pub struct Process {
    /// The code under test.
    pub world: World,
    /// Of the turn.
    pub fx: Effects,
    /// Open sockets.
    pub socks: BTreeMap<SockKey, SockSpec>,
    /// By time, then by order of arming.
    pub armed: BTreeMap<(Instant, u64), Armed>,
    /// For the next turn.
    pub inbox: Inbox,
    /// SIGSTOP.
    pub paused: bool,
    /// The loop is busy.
    pub stalled: bool,
    /// `Event::Start` was given.
    pub started: bool,
    /// Programs and the pipe.
    pub outside: Outside,
    /// In standby while another one is in charge.
    pub waiting: bool,
}

/// See the module.
pub struct Node {
    /// Outlives the process.
    pub kernel: Kernel,
    /// `None`: killed, or stopped.
    pub process: Option<Process>,
    /// Counts processes, so that a completion for one does not reach the next.
    pub incarnation: u32,
    /// When the next turn is.
    pub turn_at: Option<Instant>,
    /// When the last one was.
    pub last_turn: Instant,
    /// When its process began.
    pub born: Instant,
    /// Netlink work is done in order: earliest time for the next.
    pub netlink_free: Instant,
    /// Monotonic clock.
    pub clock: Clock,
    /// Wall clock less what the monotonic clock has run; both have one rate.
    pub wall: u64,
    /// By how much it was set in all.
    pub set: i64,
    /// Notifications are being lost until the socket is read.
    pub overrun: bool,
    /// Some were lost, and that was not reported to the process yet.
    pub lost: bool,
    /// How many, ever.
    pub losses: u64,
    /// `losses` when the last dump began.
    pub dump_losses: u64,
    /// Requests that were sent and not answered.
    pub open: BTreeSet<ReqId>,
    /// Address requests and dumps fail.
    pub netlink_errors: bool,
    /// Sockets cannot be opened.
    pub socket_errors: bool,
    /// Half of the sends fail.
    pub send_errors: bool,
    /// SIGTERM is under way or being handled.
    pub asked_to_stop: bool,
    /// The snapshot written last.
    pub snapshot: Option<Snapshot>,
    /// The content of the next `Go`.
    pub orders: Option<(Option<Box<Snapshot>>, Option<Instant>)>,
    /// Adverts of processes that froze, by time, with their socket.
    pub leaving: Vec<(Instant, Option<SockSpec>, Packets)>,
    /// The last one of them, which holds the addresses until a successor is in charge.
    pub custodian: Option<Box<World>>,
    /// Netlink requests of this process and later ones are still executed.
    pub heir_of: u32,
    /// Order of completions, lengths of small delays.
    pub rng: Rng,
}

impl Node {
    /// Starts a process; the caller schedules its first turn.
    pub fn start(&mut self, world: World) {
        self.incarnation += 1;
        self.heir_of = self.incarnation;
        self.turn_at = None;
        (self.overrun, self.lost) = (false, false);
        self.open.clear();
        self.asked_to_stop = false;
        self.process = Some(Process {
            world,
            fx: Effects::default(),
            socks: BTreeMap::new(),
            armed: BTreeMap::new(),
            inbox: Inbox::default(),
            paused: false,
            stalled: false,
            started: false,
            outside: Outside::default(),
            waiting: false,
        });
    }
    /// What its clocks show.
    pub fn clocks(&self, true_time: Instant) -> Now {
        let wall = Wall(self.clock.runs(true_time).wrapping_add(self.wall));
        Now { mono: self.clock.at(true_time), wall }
    }
    /// A running process whose loop can run.
    pub fn runs(&self) -> bool {
        self.process.as_ref().is_some_and(|p| !p.paused && !p.stalled)
    }
    /// The socket that receives packets to this address; `ah`: those with an Authentication Header.
    pub fn listener(&self, to: core::net::IpAddr, ah: bool) -> Option<SockKey> {
        let p = self.process.as_ref()?;
        // The kernel delivers a copy to each socket. Of two sockets, the older one stays open only until its farewell has left; the world
        // drops what it receives, so the model delivers to the newer one alone.
        p.socks.iter().rfind(|(_, s)| s.address() == to && s.is_ah() == ah && self.can_open(s)).map(|(k, _)| *k)
    }
    /// Whether the interface that a socket is bound to is there.
    pub fn can_open(&self, spec: &SockSpec) -> bool {
        self.kernel.ifindex.is_some_and(|here| spec.ifindex().is_none_or(|i| i == here))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_stays_in_order() {
        let key = |n: u64| SockKey::from_bits((n << 32) | n).expect("a generation above 0");
        let meta = RxMeta { src: [10, 0, 0, 1].into(), dst: None, hop_limit: None };
        let mut rng = Rng::new(4);
        let mut inbox = Inbox::default();
        for i in 0..40u8 {
            let sock = key(1 + u64::from(i % 2));
            assert!(inbox.push(Completion::Datagram {
                sock,
                meta,
                bytes: Bytes::from(vec![i]),
                truth: None,
                forged: None
            }));
            inbox.push(Completion::Net(Msg::LinkDel(u32::from(i))));
        }
        let all = inbox.take(&mut rng);
        assert!(inbox.is_empty() && all.len() == 80);
        let of = |k: u64| -> Vec<u8> {
            let hit = |c: &Completion| match c {
                Completion::Datagram { sock, bytes, .. } if *sock == key(k) => Some(bytes[0]),
                _ => None,
            };
            all.iter().filter_map(hit).collect()
        };
        assert!(of(1).is_sorted() && of(2).is_sorted() && of(1).len() == 20);
    }

    #[test]
    fn a_socket_holds_so_much() {
        let sock = SockKey::from_bits(1 << 32).expect("a generation above 0");
        let meta = RxMeta { src: [10, 0, 0, 1].into(), dst: None, hop_limit: None };
        let mut inbox = Inbox::default();
        let d = || Completion::Datagram { sock, meta, bytes: Bytes::new(), truth: None, forged: None };
        assert!((0..SOCKET_QUEUE).all(|_| inbox.push(d())));
        assert!(!inbox.push(d()));
    }
}
