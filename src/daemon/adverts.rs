//! Armed adverts: chains of a kernel timer and the sends linked behind it. Read first: `exec.rs`.
//!
//! `AdvertAt`s of one turn with an equal time become one chain (at most [`CHAIN`] sends, then another chain); an advert to several
//! unicast peers is as many sends, all in one chain, and is reported once:
//! ```text
//! TIMEOUT(ABS | ETIME_SUCCESS) --soft--> SEND --hard--> SEND --hard--> … SEND
//! ```
//! **Soft behind the timer**: a cancelled timer must cancel its sends too. (Behind a *hard* link a cancelled timer
//! would release them, because the kernel does not fail the links of a cancelled timer: adverts would follow the farewell.)
//! **Hard between the sends**: one instance's failing send must not silence the others.
//! **Only the last send completes** when all goes well: those before it ask for no completion of their success
//! (`IOSQE_CQE_SKIP_SUCCESS`). Links run in order, so when the last has completed all before it are final, and each that has not
//! completed by itself has left. Twenty adverts are one completion, are handled in one turn, and are armed again as one chain:
//! a chain that is handled in pieces would be armed in pieces, and never become whole again. A failed send completes by itself; a
//! cancelled timer, which does not ask to be skipped, makes the kernel complete each send of its chain.
//!
//! **Stop** of a virtual router cancels every chain it has a member in, and its farewell is hard-linked behind the last
//! cancel, all in one submission. The other members of those chains come back ECANCELED and are armed again, at
//! the same time, in a new chain, at the end of the turn that sees them.
//!
//! ## Races, each with what makes it harmless
//! - *The timer fired, its completion is not seen yet.* The cancel finds nothing (ENOENT) or a timer that is firing
//!   (EALREADY); the sends run, and complete with their own result. They are reported as usual, with the epoch they
//!   were armed with. The result of a cancel is therefore ignored: each send's own completion says whether it has left.
//! - *The timer fires between the entry into the kernel and the cancel.* Then the sends may run after the farewell. The
//!   order of completions shows it, because it is the order of execution (one thread runs both): a member that left
//!   after its farewell has the farewell sent once more (`Stop::overtaken`). At most one repetition per stop: it
//!   waits until every member of that router has come back.
//! - *A second stop meets a chain that is being cancelled.* The member is only marked; nothing is cancelled twice.
//! - *A member is stopped, or its socket closed, between the cancellation and its completion.* It carries the mark and is
//!   not armed again; nothing is reported.
//! - *Stop in the turn that armed.* Chains are submitted at the end of a turn; what is not submitted yet is dropped.
//! - *One of several destinations cannot be reached.* Its send fails by itself; the advert has left if any of its sends has.
//! - *Two chains are overdue together* (this thread had no CPU). The kernel runs them in turns, send by send, so the order
//!   between routers is lost. For one router it holds as long as its place in the chains is the same; and adverts of one
//!   router that are armed at one time have the same content.
//! - *Armed again after its time.* The timer's absolute time has passed, so it fires at once, as late as the loop was.
//! - *A chain fails although nobody cancelled it* (no memory). Its members come back ECANCELED and are reported as failed,
//!   so that the virtual router decides; to arm them again here could repeat without end.
//! - *The socket is closed while armed.* The operation holds its own count on the fd (`sys/op.rs`), so the number
//!   cannot be reused by another socket before the send is final.
//!
//! Deliberately absent: when and what to send, which the virtual routers decide.

use super::sends::{Sends, Tally, Way};
use super::token::{AdvertToken, Token};
use crate::effect::Packets;
use crate::event::{AdvertEv, Errno, Event};
use crate::id::{Arena, Key, SockKey, VrKey};
use crate::sys::errno;
use crate::sys::op::{Link, OpKey};
use crate::sys::os::Ops;
use crate::sys::ring::How;
use crate::time::Instant;
use core::net::IpAddr;
use std::collections::BTreeMap;

/// What a [`ChainKey`] names: one chain of armed adverts.
pub enum ChainMark {}
/// Name of a chain.
pub type ChainKey = Key<ChainMark>;
/// What a [`StopKey`] names: the stop of one virtual router, until all its operations have completed.
pub enum StopMark {}
/// Name of a stop whose farewell is on its way.
pub type StopKey = Key<StopMark>;

/// Sends behind one timer, at most. The grid (`vrrp/timing.rs`) decides how many adverts share a time: 20, because one send costs
/// the kernel 3 to 5 µs, so the last of them leaves less than 0.1 ms late. There are more only where the processor does not keep up;
/// two chains at one time would run in turns there, and gain nothing over one. The limit is there because a stop cancels the whole
/// chain. One advert has no more packets than this (`config::model::vrrp::MAX_PEERS`).
pub const CHAIN: usize = 64;
const _: () = assert!(crate::config::model::vrrp::MAX_PEERS <= CHAIN && CHAIN <= u8::MAX as usize);

/// How many adverts usually share a time: see [`CHAIN`].
const SHARED: usize = 20;

/// Cancels hard-linked in front of a farewell. More than the greatest depth of armed adverts (8); further ones are
/// submitted before them without a link, and the kernel still runs them in order.
const LINKED_CANCELS: usize = 16;

// An advert in a chain.
struct Member {
    vr: VrKey,
    sock: SockKey,
    epoch: u32,
    packets: Packets,
    way: Way,
    /// Not wanted any more: neither armed again nor, when cancelled, reported.
    stopped: bool,
    stop: Option<StopKey>,
    /// Its sends that are not final.
    open: usize,
    left: bool,
    cancelled: bool,
    missed: Vec<(IpAddr, Errno)>,
}

// One packet of an advert.
struct OneSend {
    /// Index of its advert.
    member: usize,
    /// Index of this packet among the packets of its advert, from 0.
    nth: usize,
    op: OpKey,
    done: bool,
}

struct Chain {
    at: Instant,
    timer: OpKey,
    fired: bool,
    cancelling: bool,
    /// Members that are not final.
    open: usize,
    /// The adverts of the chain; [`OneSend::member`] is an index into it. `None`: the advert is final.
    members: Vec<Option<Member>>,
    sends: Vec<OneSend>,
}

struct Stop {
    vr: VrKey,
    packets: Packets,
    way: Way,
    /// Members of `vr` whose completion is outstanding.
    waiting: usize,
    /// Farewells whose completion is outstanding.
    open: usize,
    /// At least one has completed: what leaves from now on may be behind it.
    sent: bool,
    tally: Tally,
    overtaken: bool,
}

/// Stands for the name of an operation that is not pushed yet.
fn nobody() -> OpKey {
    OpKey::from_bits(1 << 32).expect("generation one is a name")
}

/// The chains of armed adverts, their stops, and what is submitted at the end of the turn. `exec.rs` has one.
#[derive(Default)]
pub struct Adverts {
    chains: Arena<ChainMark, Chain>,
    stops: Arena<StopMark, Stop>,
    /// By the slot of the virtual router: the chains it has a member in, and perhaps those of the slot's previous user. A vector, not a
    /// map, because it is written twice for every advert.
    of_slot: Vec<Vec<ChainKey>>,
    /// Times of the chains whose timer has not completed, with their number at each.
    dues: BTreeMap<Instant, u32>,
    /// To be submitted at the end of the turn.
    pending: BTreeMap<Instant, Vec<Member>>,
    /// Those that leave at once.
    pub sends: Sends,
}

impl Adverts {
    /// Takes an advert; [`Adverts::arm`] submits it.
    pub fn add(&mut self, vr: VrKey, sock: SockKey, way: Way, epoch: u32, at: Instant, packets: Packets) {
        let open = packets.len();
        let m = Member {
            vr,
            sock,
            epoch,
            packets,
            way,
            stopped: false,
            stop: None,
            open,
            left: false,
            cancelled: false,
            missed: Vec::new(),
        };
        self.pending.entry(at).or_insert_with(|| Vec::with_capacity(SHARED)).push(m);
    }

    /// Submits what was taken, grouped by time.
    pub fn arm(&mut self, ring: &mut impl Ops<Token>) {
        while let Some((at, members)) = self.pending.pop_first() {
            let (mut chain, mut sends) = (Vec::new(), 0);
            for m in members {
                // The packets of one advert stay together.
                if sends + m.packets.len() > CHAIN {
                    self.submit(ring, at, core::mem::take(&mut chain));
                    sends = 0;
                }
                sends += m.packets.len();
                chain.push(m);
            }
            self.submit(ring, at, chain);
        }
    }

    fn submit(&mut self, ring: &mut impl Ops<Token>, at: Instant, members: Vec<Member>) {
        let count: usize = members.iter().map(|m| m.packets.len()).sum();
        if count == 0 {
            return;
        }
        // All of it in one submission: a chain cut in two would be two chains, the second without a timer.
        ring.room(1 + count);
        let open = members.len();
        let members = members.into_iter().map(Some).collect();
        let sends = Vec::with_capacity(count);
        // The push needs the chain's name and returns the timer's: that one is filled in below.
        let chain =
            self.chains.insert(Chain { at, timer: nobody(), fired: false, cancelling: false, open, members, sends });
        let timer = ring.timeout_at(Token::Advert(AdvertToken::Timer(chain)), at, Link::Soft);
        *self.dues.entry(at).or_default() += 1;
        let Some(c) = self.chains.get_mut(chain) else { return };
        c.timer = timer;
        for (member, m) in c.members.iter().enumerate().filter_map(|(i, m)| Some((i, m.as_ref()?))) {
            for (nth, p) in m.packets.iter().enumerate() {
                let i = c.sends.len();
                let token = Token::Advert(AdvertToken::Send(chain, i as u8));
                let (fd, to, packet) = m.way.give(p);
                let op = if i + 1 == count {
                    ring.send(token, fd, packet, to, Link::Last, How::NoWait)
                } else {
                    ring.send_quiet(token, fd, packet, to)
                };
                c.sends.push(OneSend { member, nth, op, done: false });
            }
            if self.of_slot.len() <= m.vr.slot() {
                self.of_slot.resize(m.vr.slot() + 1, Vec::new());
            }
            let of = &mut self.of_slot[m.vr.slot()];
            if of.last() != Some(&chain) {
                of.push(chain);
            }
        }
    }

    /// Cancels every armed advert of `vr`, then sends the farewell to each of its destinations.
    pub fn stop(&mut self, ring: &mut impl Ops<Token>, vr: VrKey, farewell: Option<(Packets, Way)>) {
        self.pending.values_mut().for_each(|list| list.retain(|m| m.vr != vr));
        let stop = farewell.map(|(packets, way)| {
            let open = packets.len();
            let tally = Tally::default();
            self.stops.insert(Stop { vr, packets, way, waiting: 0, open, sent: false, tally, overtaken: false })
        });
        let chains = self.of_slot.get(vr.slot()).cloned().unwrap_or_default();
        let timers = self.take_back(&chains, stop, |m| m.vr == vr);
        let Some((key, stop)) = stop.and_then(|k| Some((k, self.stops.get(k)?))) else {
            for t in timers {
                ring.cancel(Token::Cancel, t, Link::Last);
            }
            return;
        };
        let linked_from = timers.len().saturating_sub(LINKED_CANCELS);
        for t in &timers[..linked_from] {
            ring.cancel(Token::Cancel, *t, Link::Last);
        }
        ring.room(timers.len() - linked_from + stop.packets.len());
        for t in &timers[linked_from..] {
            ring.cancel(Token::Cancel, *t, Link::Hard);
        }
        for (i, p) in stop.packets.iter().enumerate() {
            // Hard: the failed send to one peer does not stop the farewells to the others.
            let link = if i + 1 == stop.packets.len() { Link::Last } else { Link::Hard };
            let (fd, to, bytes) = stop.way.give(p);
            ring.send(Token::Advert(AdvertToken::Farewell(key)), fd, bytes, to, link, How::NoWait);
        }
    }

    /// Cancels every advert armed on `sock`, of any router.
    pub fn close(&mut self, ring: &mut impl Ops<Token>, sock: SockKey) {
        self.pending.values_mut().for_each(|list| list.retain(|m| m.sock != sock));
        for t in self.take_back(&self.chains.keys(), None, |m| m.sock == sock) {
            ring.cancel(Token::Cancel, t, Link::Last);
        }
    }

    /// Marks the members that `which` selects, and returns the timers that must be cancelled for it.
    fn take_back(&mut self, chains: &[ChainKey], stop: Option<StopKey>, which: impl Fn(&Member) -> bool) -> Vec<OpKey> {
        let mut timers = Vec::new();
        for key in chains {
            let Some(c) = self.chains.get_mut(*key) else { continue };
            let mut any = false;
            for m in c.members.iter_mut().flatten().filter(|m| which(m)) {
                any = true;
                m.stopped = true;
                if let Some(s) = stop.filter(|_| m.stop.is_none()).and_then(|k| self.stops.get_mut(k)) {
                    m.stop = stop;
                    s.waiting += 1;
                }
            }
            if any && !c.fired && !c.cancelling {
                c.cancelling = true;
                timers.push(c.timer);
            }
        }
        timers
    }

    /// A completion. `tell` receives the events for the World.
    pub fn on_done(
        &mut self,
        ring: &mut impl Ops<Token>,
        token: AdvertToken,
        result: i32,
        tell: &mut dyn FnMut(Event<'_>),
    ) {
        match token {
            AdvertToken::Timer(chain) => self.on_timer(chain),
            AdvertToken::Send(chain, i) => self.on_send(ring, chain, i, result, tell),
            AdvertToken::Farewell(stop) => {
                if let Some(e) = self.on_farewell(ring, stop, result) {
                    tell(e);
                }
            }
            AdvertToken::Now(key) => {
                if let Some(e) = self.sends.on_done(key, result) {
                    tell(e);
                }
            }
        }
    }

    /// A chain's timer completed.
    fn on_timer(&mut self, chain: ChainKey) {
        if let Some(c) = self.chains.get_mut(chain) {
            c.fired = true;
            if let Some(n) = self.dues.get_mut(&c.at) {
                *n -= 1;
                if *n == 0 {
                    self.dues.remove(&c.at);
                }
            }
        }
        self.forget_if_over(chain);
    }

    /// A chain's send completed; the last one stands for those before it, too. `tell` receives the events for the World.
    fn on_send(
        &mut self,
        ring: &mut impl Ops<Token>,
        chain: ChainKey,
        i: u8,
        result: i32,
        tell: &mut dyn FnMut(Event<'_>),
    ) {
        let Some(c) = self.chains.get(chain) else { return };
        if usize::from(i) + 1 == c.sends.len() {
            if result >= 0 && c.fired {
                return self.all_left(ring, chain, tell);
            }
            let quiet: Vec<(u8, OpKey)> =
                (0..i).zip(&c.sends).filter(|(_, s)| !s.done).map(|(j, s)| (j, s.op)).collect();
            for (j, op) in quiet {
                ring.release(op);
                // Whatever the last one's result is: the ones before it were not cancelled unless it was.
                let result = if result == errno::ECANCELED { result } else { 0 };
                self.one_sent(ring, chain, j, result, tell);
            }
        }
        self.one_sent(ring, chain, i, result, tell);
    }

    /// The last of a chain has left, so all have that did not fail.
    fn all_left(&mut self, ring: &mut impl Ops<Token>, chain: ChainKey, tell: &mut dyn FnMut(Event<'_>)) {
        let Some(c) = self.chains.remove(chain) else { return };
        for s in c.sends.iter().filter(|s| !s.done) {
            // No effect for the last one, which has completed.
            ring.release(s.op);
        }
        for m in c.members.into_iter().flatten() {
            self.unlink(m.vr, chain);
            if let Some(key) = m.stop {
                self.came_back(ring, key, true);
            }
            let (result, missed) = (Ok(()), m.missed.as_slice());
            tell(Event::Advert(AdvertEv::Sent { vr: m.vr, epoch: m.epoch, due: c.at, result, missed }));
        }
    }

    fn unlink(&mut self, vr: VrKey, chain: ChainKey) {
        if let Some(of) = self.of_slot.get_mut(vr.slot()) {
            of.retain(|k| *k != chain);
        }
    }

    fn one_sent(
        &mut self,
        ring: &mut impl Ops<Token>,
        chain: ChainKey,
        i: u8,
        result: i32,
        tell: &mut dyn FnMut(Event<'_>),
    ) {
        let Some(c) = self.chains.get_mut(chain) else { return };
        let (at, cancelling) = (c.at, c.cancelling);
        let Some(s) = c.sends.get_mut(usize::from(i)).filter(|s| !s.done) else { return };
        s.done = true;
        let Some(slot) = c.members.get_mut(s.member) else { return };
        let Some(m) = slot else { return };
        match result {
            0.. => m.left = true,
            errno::ECANCELED => m.cancelled = true,
            e => m.missed.extend(m.packets.get(s.nth).map(|p| (p.to, Errno(-e)))),
        }
        m.open = m.open.saturating_sub(1);
        if m.open > 0 {
            return;
        }
        let Some(m) = slot.take() else { return };
        c.open -= 1;
        // Another member of the same router (or of the same slot) in the same chain keeps the entry.
        let more = c.members.iter().flatten().any(|other| other.vr.slot() == m.vr.slot());
        if !more {
            self.unlink(m.vr, chain);
        }
        self.forget_if_over(chain);
        if let Some(key) = m.stop {
            self.came_back(ring, key, m.left);
        }
        if m.cancelled && !m.left && cancelling {
            if !m.stopped {
                self.add(m.vr, m.sock, m.way, m.epoch, at, m.packets);
            }
            return;
        }
        let first = m.missed.first().map_or(Errno::ECANCELED, |(_, e)| *e);
        let (result, missed) = if m.left { (Ok(()), m.missed.as_slice()) } else { (Err(first), &[][..]) };
        tell(Event::Advert(AdvertEv::Sent { vr: m.vr, epoch: m.epoch, due: at, result, missed }));
    }

    fn came_back(&mut self, ring: &mut impl Ops<Token>, key: StopKey, left: bool) {
        if let Some(s) = self.stops.get_mut(key) {
            s.waiting = s.waiting.saturating_sub(1);
            s.overtaken |= left && s.sent;
        }
        self.settle(ring, key);
    }

    /// A farewell to one destination completed. Returns the event for the World, if there is one.
    fn on_farewell(&mut self, ring: &mut impl Ops<Token>, key: StopKey, result: i32) -> Option<Event<'static>> {
        let s = self.stops.get_mut(key)?;
        s.sent = true;
        s.tally.count(result);
        s.open = s.open.saturating_sub(1);
        let (vr, failed) = (s.vr, s.tally.failed().filter(|_| s.open == 0));
        self.settle(ring, key);
        failed.map(|errno| Event::Advert(AdvertEv::FarewellFailed { vr, errno }))
    }

    fn settle(&mut self, ring: &mut impl Ops<Token>, key: StopKey) {
        if self.stops.get(key).is_none_or(|s| s.open > 0 || s.waiting > 0) {
            return;
        }
        let Some(s) = self.stops.remove(key) else { return };
        // Not when the router has become Master again meanwhile: then its adverts are right.
        if s.overtaken && !self.is_armed(s.vr) {
            self.sends.send(ring, s.vr, &s.packets, &s.way);
        }
    }

    fn is_armed(&self, vr: VrKey) -> bool {
        let of = self.of_slot.get(vr.slot()).into_iter().flatten().filter_map(|c| self.chains.get(*c));
        let mut armed = of.flat_map(|c| c.members.iter().flatten());
        self.pending.values().flatten().any(|m| m.vr == vr) || armed.any(|m| m.vr == vr)
    }

    fn forget_if_over(&mut self, chain: ChainKey) {
        if self.chains.get(chain).is_some_and(|c| c.fired && c.open == 0) {
            self.chains.remove(chain);
        }
    }

    /// When the next chain leaves.
    pub fn next_due(&self) -> Option<Instant> {
        self.dues.first_key_value().map(|(at, _)| *at)
    }

    /// When the last armed chain leaves.
    pub fn last_due(&self) -> Option<Instant> {
        self.dues.last_key_value().map(|(at, _)| *at)
    }

    /// The number of chains whose operations have not all completed.
    pub fn chains(&self) -> usize {
        self.chains.len()
    }

    /// Whether a farewell, or an advert that might have overtaken one, is still on its way.
    pub fn stopping(&self) -> bool {
        !self.stops.is_empty()
    }
}
