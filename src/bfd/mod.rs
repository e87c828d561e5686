//! BFD (RFC 5880, 5881, 5883): the sessions of the `bfd_instance` blocks, and the session that a received packet belongs to.
//!
//! Read in this order: `wire/bfd.rs` (the packet), `session` (one session, pure), this file (all of them), `life` (start, reload, hand-over,
//! the end), `queue` (their times). A session reports up or down. `world/bfd.rs` passes that to trackers (`track_bfd`) and health checks
//! (`BFD_CHECK`); this module does not know them.
//!
//! One UDP socket for each port and family receives for all sessions; each session sends from a socket of its own, whose source port is its
//! own (RFC 5881 §4). Packets leave after the adverts of a turn.

mod life;
mod queue;
pub mod report;
pub mod session;
mod text;

use crate::config::model::bfd::BfdInstance;
use crate::effect::{BfdFx, BfdPort, BfdSpec, Effect, Effects};
use crate::event::{BfdEv, Errno, LONGEST_AGE};
use crate::id::{Arena, BfdKey, BfdMark};
use crate::snapshot::BfdShot;
use crate::time::{Duration, Instant, Now};
use crate::timers::{Due, Timers};
use crate::wire::bfd::{self, Refused, State, diag};
use crate::words::Limit;
use bytes::Bytes;
use core::fmt;
use core::net::IpAddr;
use queue::{Queue, Tag};
use session::{Out, Params, Session};
use std::collections::BTreeMap;

pub use text::tracked;

/// Time between two tries to open a socket: the usual cause is an address that does not exist yet.
const RETRY: Duration = Duration::from_secs(1);
/// Times of sessions that are handled in one turn: a packet or the loss of a peer, some microseconds each.
const STEPS: usize = 16;
/// Slow intervals after which a session that never came up counts as down. A handshake takes one to two of them.
const FIRST: u32 = 3;
/// First source port, and how many there are (RFC 5881 §4).
const PORTS: (u16, u32) = (49152, 16384);
/// Tries to draw a discriminator whose source port no other session has. With thousands of sessions two may share a port.
const DRAWS: u32 = 32;

/// What sessions may touch while they handle one input.
pub struct Cx<'a> {
    /// The turn's time.
    pub now: Now,
    /// The one timer table.
    pub timers: &'a mut Timers,
    /// The effects of the turn.
    pub fx: &'a mut Effects,
}

/// A session is up or down from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its name in the file.
    pub name: Box<str>,
    /// The session is in state Up.
    pub up: bool,
}

/// Why a packet is discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Discard {
    /// By its content.
    Refused(Refused),
    /// It belongs to no session.
    Session,
    /// It came over too many hops.
    Ttl,
}

impl Discard {
    /// How many reasons there are.
    pub const COUNT: usize = Refused::ALL.len() + 2;
    /// All of them, in the order of the counters.
    pub fn all() -> impl Iterator<Item = Discard> {
        Refused::ALL.into_iter().map(Discard::Refused).chain([Discard::Session, Discard::Ttl])
    }
    /// Its place among the counters.
    fn place(self) -> usize {
        match self {
            Discard::Refused(r) => r as usize,
            Discard::Session => Refused::ALL.len(),
            Discard::Ttl => Refused::ALL.len() + 1,
        }
    }
    /// The name of the counter in reports, such as "detect_mult".
    pub fn name(self) -> &'static str {
        match self {
            Discard::Refused(Refused::Version) => "version",
            Discard::Refused(Refused::Length) => "length",
            Discard::Refused(Refused::Multiplier) => "detect_mult",
            Discard::Refused(Refused::Multipoint) => "multipoint",
            Discard::Refused(Refused::MyDiscriminator) => "my_discriminator",
            Discard::Refused(Refused::YourDiscriminator) => "your_discriminator",
            Discard::Refused(Refused::Authentication) => "authentication",
            Discard::Session => "no_session",
            Discard::Ttl => "ttl",
        }
    }
}

impl fmt::Display for Discard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Discard::Refused(r) => r.fmt(f),
            Discard::Session => f.write_str("no session is configured with that sender, or has its Your Discriminator"),
            Discard::Ttl => f.write_str("its TTL is too low"),
        }
    }
}

/// The sending socket of one session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
enum Sock {
    #[default]
    Closed,
    Opening,
    Ready,
    Failed(Errno),
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct One {
    cfg: BfdInstance,
    peer: IpAddr,
    session: Session,
    sock: Sock,
    // Up or down, as last reported; `None`: nothing was reported yet.
    up: Option<bool>,
    // Since when it is in its state.
    since: Now,
    sent: u64,
    received: u64,
    not_sent: u64,
    // How often it came up, and how often it was lost.
    ups: u64,
    downs: u64,
    state_limit: Limit,
    limit: Limit,
}

impl One {
    fn multihop(&self) -> bool {
        self.cfg.multihop
    }
    fn port(&self) -> BfdPort {
        BfdPort { v6: self.peer.is_ipv6(), multihop: self.multihop() }
    }
    // RFC 5881 §5: 255 on a single hop. Over several hops (RFC 5883) no TTL is prescribed, and max_hops is a limit where it is written.
    fn ttl(&self) -> u8 {
        self.cfg.ttl.unwrap_or(255)
    }
    fn least_ttl(&self) -> u8 {
        match self.cfg.max_hops {
            ..0 => 0,
            0 if self.multihop() => 0,
            hops => self.ttl().saturating_sub(u8::try_from(hops).unwrap_or(u8::MAX)),
        }
    }
    fn spec(&self) -> BfdSpec {
        let port = PORTS.0 + (self.session.discr() % PORTS.1) as u16;
        BfdSpec { source: self.cfg.source_ip, to: self.peer, multihop: self.multihop(), ttl: self.ttl(), port }
    }
}

// Microseconds of a configured interval.
fn micros(d: Duration) -> u32 {
    u32::try_from(d.as_micros()).unwrap_or(u32::MAX).max(1)
}

fn params(cfg: &BfdInstance) -> Params {
    Params {
        min_tx: micros(cfg.min_tx),
        min_rx: micros(cfg.min_rx),
        idle_tx: micros(cfg.idle_tx).max(session::SLOW),
        multiplier: cfg.multiplier.max(1),
        passive: cfg.passive,
    }
}

/// Every session. See the module.
#[derive(Default, serde::Serialize, serde::Deserialize)]
pub struct Bfd {
    all: Arena<BfdMark, One>,
    by_name: BTreeMap<Box<str>, BfdKey>,
    by_discr: BTreeMap<u32, BfdKey>,
    by_peer: BTreeMap<(IpAddr, bool), Vec<BfdKey>>,
    ports: BTreeMap<BfdPort, Sock>,
    queue: Queue,
    random: u64,
    running: bool,
    // When the peers were told that this process ends.
    #[serde(default)]
    stopped: Option<Instant>,
    // The part of the snapshot about sessions has changed.
    dirty: bool,
    // The sessions in the snapshot of an earlier process, until the sessions begin.
    memory: BTreeMap<Box<str>, BfdShot>,
    discarded: [u64; Discard::COUNT],
    limit: Limit,
}

impl Bfd {
    // State of SplitMix64, for discriminators that other hosts cannot guess, and for jitter (RFC 5880 §6.8.7). No secret depends on it.
    fn random(&mut self) -> u32 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 32) as u32
    }

    /// Handles an event. Returns the sessions that changed.
    pub fn on_event(&mut self, event: &BfdEv<'_>, cx: &mut Cx<'_>) -> Option<Told> {
        let told = match event {
            BfdEv::Datagram { port, src, dst, ttl, age, bytes } => {
                let arrived = cx.now.mono - (*age).min(LONGEST_AGE);
                match self.find(*port, *src, *dst, *ttl, bytes) {
                    Ok((key, packet)) => self.on_packet(key, arrived, &packet, cx),
                    Err((why, key)) => {
                        self.discard(*src, why, key.zip(*ttl), cx);
                        None
                    }
                }
            }
            BfdEv::Listening { port, result } => {
                self.on_port(*port, *result, cx);
                None
            }
            BfdEv::Lost { port, errno } => {
                self.on_port(*port, Err(*errno), cx);
                None
            }
            BfdEv::Ready { session, result } => {
                self.on_ready(*session, *result, cx);
                None
            }
            BfdEv::SendFailed { session, errno } => {
                if let Some(one) = self.all.get_mut(*session) {
                    one.not_sent += 1;
                    if one.limit.pass(cx.now.mono).is_some() {
                        cx.fx.note(text::not_sent(&one.cfg.name, one.peer, *errno));
                    }
                }
                None
            }
        };
        self.arm(cx);
        told
    }

    /// `Due::Bfd`. Returns the sessions that changed.
    pub fn on_due(&mut self, cx: &mut Cx<'_>) -> Vec<Told> {
        let mut told = Vec::new();
        for _ in 0..STEPS {
            let Some(tag) = self.queue.pop(cx.now.mono) else { break };
            match tag {
                Tag::Session(key) => {
                    let random = self.random();
                    let Some(one) = self.all.get_mut(key) else { continue };
                    let out = one.session.on_time(cx.now.mono, random);
                    told.extend(self.after(key, out, cx));
                }
                Tag::Verdict(key) => {
                    let Some(one) = self.all.get_mut(key).filter(|one| one.up.is_none()) else { continue };
                    one.up = Some(false);
                    self.dirty = true;
                    cx.fx.note(text::never_up(&one.cfg.name, one.peer));
                    told.push(Told { name: one.cfg.name.clone(), up: false });
                }
                Tag::Socket(key) => self.open(key, cx),
                Tag::Port(port) => self.listen(port, cx),
            }
        }
        self.arm(cx);
        told
    }

    fn arm(&self, cx: &mut Cx<'_>) {
        match self.queue.first() {
            Some(at) if cx.timers.get(Due::Bfd) == Some(at) => {}
            Some(at) => cx.timers.set(Due::Bfd, at),
            None => drop(cx.timers.stop(Due::Bfd)),
        }
    }

    // RFC 5880 §6.8.6: the session of a packet. A packet that does not name it is of the session with that peer, and where the
    // configuration has a source address, was sent to that one.
    fn find(
        &self,
        port: BfdPort,
        src: IpAddr,
        dst: Option<IpAddr>,
        ttl: Option<u8>,
        bytes: &[u8],
    ) -> Result<(BfdKey, bfd::Packet), (Discard, Option<BfdKey>)> {
        let packet = bfd::parse(bytes).map_err(|r| (Discard::Refused(r), None))?;
        let key = match packet.yours {
            0 => {
                let of_peer = self.by_peer.get(&(src, port.multihop)).map_or(&[][..], |v| v);
                let meant = |k: &&BfdKey| {
                    let source = self.all.get(**k).and_then(|one| one.cfg.source_ip);
                    source.is_none_or(|s| dst.is_none_or(|d| d == s))
                };
                of_peer.iter().find(meant).copied()
            }
            yours => self.by_discr.get(&yours).copied(),
        };
        let found = key.and_then(|k| Some((k, self.all.get(k).filter(|one| one.port() == port)?)));
        let Some((key, one)) = found.filter(|_| self.running) else { return Err((Discard::Session, None)) };
        // RFC 5881 §5, before the packet has any effect. Without a TTL from the kernel the packet is discarded.
        if ttl.unwrap_or(0) < one.least_ttl() {
            return Err((Discard::Ttl, Some(key)));
        }
        Ok((key, packet))
    }

    fn discard(&mut self, from: IpAddr, why: Discard, of: Option<(BfdKey, u8)>, cx: &mut Cx<'_>) {
        let count = &mut self.discarded[why.place()];
        *count += 1;
        if self.running && self.limit.pass_some(cx.now.mono, Limit::FEW).is_some() {
            let one = of.and_then(|(key, ttl)| Some((self.all.get(key)?, ttl)));
            cx.fx.note(match one {
                Some((one, ttl)) => text::too_far(&one.cfg.name, from, ttl, one.least_ttl()),
                None => text::discarded(from, why, *count),
            });
        }
    }

    fn on_packet(&mut self, key: BfdKey, arrived: Instant, p: &bfd::Packet, cx: &mut Cx<'_>) -> Option<Told> {
        let random = self.random();
        let one = self.all.get_mut(key)?;
        one.received += 1;
        let before = (one.session.remote().discr, one.session.remote().min_tx, one.session.remote().multiplier);
        let out = one.session.on_packet(arrived, p, random);
        self.dirty |= before != (p.mine, p.min_tx, p.multiplier);
        self.after(key, out, cx)
    }

    // Executes the outputs of a session: its packet, its state, its next time.
    fn after(&mut self, key: BfdKey, out: Out, cx: &mut Cx<'_>) -> Option<Told> {
        let one = self.all.get_mut(key)?;
        if let Some(bytes) = out.send
            && one.sock == Sock::Ready
        {
            one.sent += 1;
            cx.fx.push(Effect::Bfd(BfdFx::Send { session: key, bytes: Bytes::copy_from_slice(&bytes) }));
        }
        self.queue.set(Tag::Session(key), one.session.next());
        let left = out.left?;
        let state = one.session.state();
        self.dirty = true;
        one.since = cx.now;
        one.ups += u64::from(state == State::Up);
        one.downs += u64::from(left == State::Up);
        if one.state_limit.pass_some(cx.now.mono, Limit::STATES).is_some() {
            let diags = (one.session.diag(), out.heard_diag);
            cx.fx.note(text::entering(&one.cfg.name, state, diags));
        }
        let up = match state {
            State::Up => true,
            _ if left == State::Up => false,
            // Down and Init in turn: nothing new.
            _ => return None,
        };
        self.queue.set(Tag::Verdict(key), None);
        (one.up.replace(up) != Some(up)).then(|| Told { name: one.cfg.name.clone(), up })
    }

    fn on_port(&mut self, port: BfdPort, result: Result<(), Errno>, cx: &mut Cx<'_>) {
        let Some(sock) = self.ports.get_mut(&port) else { return };
        *sock = match result {
            Ok(()) => Sock::Ready,
            Err(e) => {
                if self.limit.pass_some(cx.now.mono, Limit::FEW).is_some() {
                    cx.fx.note(text::no_port(port.number(), e));
                }
                self.queue.set(Tag::Port(port), Some(cx.now.mono + RETRY));
                Sock::Failed(e)
            }
        };
    }

    fn on_ready(&mut self, key: BfdKey, result: Result<(), Errno>, cx: &mut Cx<'_>) {
        let Some(one) = self.all.get_mut(key).filter(|one| one.sock == Sock::Opening) else { return };
        match result {
            Ok(()) => {
                one.sock = Sock::Ready;
                one.session.wake(cx.now.mono);
                self.queue.set(Tag::Session(key), one.session.next());
            }
            Err(e) => {
                one.sock = Sock::Failed(e);
                if one.limit.pass(cx.now.mono).is_some() {
                    cx.fx.note(text::no_socket(&one.cfg.name, one.cfg.source_ip, e));
                }
                self.queue.set(Tag::Socket(key), Some(cx.now.mono + RETRY));
            }
        }
    }

    fn open(&mut self, key: BfdKey, cx: &mut Cx<'_>) {
        if let Some(one) = self.all.get_mut(key) {
            one.sock = Sock::Opening;
            cx.fx.push(Effect::Bfd(BfdFx::Open { session: key, spec: one.spec() }));
        }
    }

    fn listen(&mut self, port: BfdPort, cx: &mut Cx<'_>) {
        if let Some(sock) = self.ports.get_mut(&port) {
            *sock = Sock::Opening;
            cx.fx.push(Effect::Bfd(BfdFx::Listen(port)));
        }
    }

    /// Whether it is up; `None`: there is none of that name, or it is not known yet.
    pub fn verdict(&self, name: &str) -> Option<bool> {
        self.all.get(*self.by_name.get(name)?)?.up
    }

    /// The number of entries of each kind, for tests that none is left behind.
    pub fn sizes(&self) -> [usize; 5] {
        let of_peers = self.by_peer.values().map(Vec::len).sum();
        [self.all.len(), self.by_discr.len(), of_peers, self.ports.len(), self.queue.len()]
    }

    /// Panics when an invariant is violated.
    pub fn check_invariants(&self, timers: &Timers) {
        assert_eq!(timers.get(Due::Bfd), self.queue.first(), "the one timer of all");
        if !self.running {
            return; // trackers and checks get no report at the end
        }
        for (key, one) in self.all.iter() {
            one.session.check_invariants();
            assert_eq!(self.queue.get(Tag::Session(key)), one.session.next(), "({}) its time", one.cfg.name);
            assert_eq!(self.by_discr.get(&one.session.discr()), Some(&key), "({}) its discriminator", one.cfg.name);
            let up = one.session.state() == State::Up;
            assert!(!up || one.up == Some(true), "({}) who follows it knows that it is up", one.cfg.name);
            assert!(up || one.up != Some(true), "({}) who follows it knows that it is down", one.cfg.name);
        }
    }
}
