//! Signing the adverts of one virtual router, and checking whether those of others are new: AH (RFC 2338) and `auth_hmac`.
//!
//! Read first: `replay.rs`, `wire/ah.rs`, `wire/hmac.rs`. Adverts are armed in the kernel ahead of their time. Each is signed for the
//! time at which it is due, with a sequence of its own, so that adverts in the order of time have growing sequences. In three cases that
//! order is lost, and the adverts are armed again: an advert leaves at once with a sequence that an armed one has already, the wall clock
//! was set, or a key was replaced.
//!
//! The sequence of AH has 32 bits. keepalived counts adverts from 1 and continues from the sequence of the Master it followed; here it is
//! the clock's second, or one more than the last sequence sent or accepted, whichever is larger: a router that was restarted is not taken
//! for a replay of itself, and a keepalived that takes over continues from there.

use super::replay::{self, Marks, Mode, Refused, newer};
use crate::config::model::vrrp::{AntiReplay, Hmac, HmacMode};
use crate::config::model::{Auth, InstanceConfig};
use crate::effect::{Packet, Packets};
use crate::time::{Duration, Instant, Now, Wall};
use crate::wire::{ah, hmac, ipv4, ipv6};
use core::net::IpAddr;
use std::collections::VecDeque;

/// If the wall clock differs by more than this from the time by the monotonic clock, it was set.
const STEP: i128 = 100_000_000;

/// The signature of a virtual router's adverts, with its key.
#[derive(Clone, PartialEq, Eq)]
pub enum Signing {
    /// Adverts are sent as they are: no authentication, or a password (V2).
    None,
    /// AH with HMAC-MD5-96 (RFC 2338), with this key.
    Ah([u8; 8]),
    /// `auth_hmac`: key id, key, replay mode.
    Hmac(u8, Vec<u8>, Mode),
}

/// The replay mode of `auth_hmac`; `time_window` is by default three intervals, and at least 5 s.
pub fn mode_of(hmac: &Hmac, advert_int: Duration) -> Mode {
    match hmac.anti_replay {
        AntiReplay::Monotonic => Mode::Monotonic,
        AntiReplay::Time => {
            let three = u32::try_from((advert_int * 3).as_secs()).unwrap_or(u32::MAX);
            Mode::Time(hmac.time_window.unwrap_or(three.max(5)))
        }
    }
}

impl Signing {
    /// The signing of a configuration.
    pub fn of(cfg: &InstanceConfig) -> Signing {
        match (&cfg.auth, cfg.more.hmac.as_deref()) {
            (_, Some(hmac)) if hmac.mode != HmacMode::ReceiveOnly => {
                let key = hmac.keys.iter().find(|k| Some(k.id) == hmac.active_key);
                key.map_or(Signing::None, |k| Signing::Hmac(k.id, k.bytes(), mode_of(hmac, cfg.advert_int)))
            }
            (Auth::Ah(key), None) => Signing::Ah(*key),
            _ => Signing::None,
        }
    }
    /// The bytes that signing adds to a packet.
    pub fn overhead(cfg: &InstanceConfig) -> u32 {
        match Signing::of(cfg) {
            Signing::Hmac(..) => hmac::LEN as u32,
            Signing::Ah(_) => ah::LEN as u32,
            Signing::None => 0,
        }
    }
    fn next(&self, at: Wall, last: Option<u64>) -> u64 {
        match self {
            Signing::None => 0,
            Signing::Hmac(_, _, mode) => replay::next(*mode, at, last),
            Signing::Ah(_) => {
                let clock = at.0 / 1_000_000_000;
                clock.max(last.map_or(0, |n| n + 1)).min(u32::MAX.into())
            }
        }
    }
    /// The packets of an advert, signed.
    fn sign(&self, cfg: &InstanceConfig, src: IpAddr, packets: &Packets, sequence: u64) -> Packets {
        let multicast = cfg.peers().is_none();
        let one = |p: &Packet| {
            let bytes = match (self, src) {
                (Signing::Ah(key), IpAddr::V4(spi)) => {
                    let sequence = u32::try_from(sequence).unwrap_or(u32::MAX);
                    ah::wrap(&p.bytes, ah::Header { spi, sequence }, key, multicast)
                }
                (Signing::Hmac(key_id, key, _), _) => {
                    let header = if src.is_ipv4() { ipv4::HEADER } else { ipv6::HEADER };
                    hmac::append(&p.bytes, header, src, hmac::Trailer { key_id: *key_id, sequence }, key)
                }
                _ => None,
            };
            Packet { to: p.to, bytes: bytes.unwrap_or_else(|| p.bytes.clone()), from: p.from }
        };
        Packets::of(packets.iter().map(one).collect()).unwrap_or_else(|| packets.clone())
    }
}

/// What sequences count: those of one kind mean nothing for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Kind {
    /// The 32-bit sequence numbers of AH.
    Ah,
    /// The 64-bit sequences of `auth_hmac`.
    Hmac,
}

impl Kind {
    /// The kind of a configuration, in both directions.
    fn of(cfg: &InstanceConfig) -> Option<Kind> {
        match (&cfg.auth, &cfg.more.hmac) {
            (_, Some(_)) => Some(Kind::Hmac),
            (Auth::Ah(_), None) => Some(Kind::Ah),
            _ => None,
        }
    }
    // The kind of a sequence, by its size: AH has 32 bits, the other one the seconds above them.
    fn of_sequence(sequence: u64) -> Kind {
        if sequence > u32::MAX.into() { Kind::Hmac } else { Kind::Ah }
    }
}

/// The sequences of a virtual router. Bounded by the armed adverts and the remembered senders.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Seal {
    // The kind of all sequences here.
    #[serde(default)]
    kind: Option<Kind>,
    // The last sequence that was sent, or that was accepted of another router (AH).
    left: Option<u64>,
    // The sequences of armed adverts, oldest first.
    armed: VecDeque<(Instant, u64)>,
    marks: Marks,
    // The wall clock minus the monotonic clock when the armed ones were signed.
    offset: Option<i128>,
}

fn offset(now: Now) -> i128 {
    i128::from(now.wall.0) - i128::from(now.mono.0)
}

fn later(a: Option<u64>, b: u64) -> Option<u64> {
    Some(a.filter(|a| newer(*a, b)).unwrap_or(b))
}

fn moved_on(sequence: u64, by: Duration) -> u64 {
    let nanos = Wall(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX));
    match Kind::of_sequence(sequence) {
        Kind::Ah => sequence.saturating_add(by.as_secs()).min(u32::MAX.into()),
        Kind::Hmac => sequence.wrapping_add(replay::of_clock(nanos)),
    }
}

impl Seal {
    // The configuration may have another kind than the sequences: they are forgotten.
    fn fit(&mut self, cfg: &InstanceConfig) {
        let kind = Kind::of(cfg);
        if kind.is_some() && self.kind != kind {
            *self = Seal { kind, ..Seal::default() };
        }
    }
    // The adverts that were due have left.
    fn settle(&mut self, until: Instant) {
        while let Some((_, sequence)) = self.armed.front().copied().filter(|(due, _)| *due <= until) {
            self.armed.pop_front();
            self.left = later(self.left, sequence);
        }
    }
    /// Signs an advert that is armed for `at`, after those armed so far.
    pub fn arm(&mut self, cfg: &InstanceConfig, src: IpAddr, packets: &Packets, at: Instant, now: Now) -> Packets {
        let signing = Signing::of(cfg);
        if signing == Signing::None {
            return packets.clone();
        }
        self.fit(cfg);
        self.settle(now.mono);
        self.offset = Some(offset(now));
        let due = Wall(now.wall.0 + at.0.saturating_sub(now.mono.0));
        // A larger one of another router may have been accepted since the last one was armed (AH).
        let last = self.armed.back().map_or(self.left, |(_, s)| later(self.left, *s));
        let sequence = signing.next(due, last);
        self.armed.push_back((at, sequence));
        signing.sign(cfg, src, packets, sequence)
    }
    /// Signs an advert that leaves at once. `true`: the armed ones have to be armed again, or receivers would refuse them.
    pub fn send(&mut self, cfg: &InstanceConfig, src: IpAddr, packets: &Packets, now: Now) -> (Packets, bool) {
        let signing = Signing::of(cfg);
        if signing == Signing::None {
            return (packets.clone(), false);
        }
        self.fit(cfg);
        self.settle(now.mono);
        let sequence = signing.next(now.wall, self.left);
        self.left = Some(sequence);
        let overtaken = self.armed.front().is_some_and(|(_, s)| !newer(*s, sequence));
        (signing.sign(cfg, src, packets, sequence), overtaken)
    }
    /// The armed adverts are cancelled; those that are due by `until` may leave all the same.
    pub fn disarm(&mut self, until: Instant) {
        self.settle(until);
        self.armed.clear();
    }
    /// Whether the wall clock was set since the armed adverts were signed.
    pub fn stepped(&self, now: Now) -> bool {
        !self.armed.is_empty() && self.offset.is_some_and(|then| (offset(now) - then).abs() > STEP)
    }
    /// Whether an advert whose signature was right is new; its sequence is then recorded.
    ///
    /// # Errors [`Refused::Replay`].
    pub fn take(&mut self, cfg: &InstanceConfig, from: IpAddr, sequence: u64, now: Wall) -> Result<(), Refused> {
        self.fit(cfg);
        match cfg.more.hmac.as_deref() {
            Some(hmac) => self.marks.take(mode_of(hmac, cfg.advert_int), now, from, sequence),
            None => {
                self.marks.take(Mode::Monotonic, now, from, sequence)?;
                self.left = later(self.left, sequence);
                Ok(())
            }
        }
    }
    /// For the next process: the last sequence that was sent, that of the last armed advert, and the marks.
    pub fn shot(&self) -> (Option<u64>, Option<u64>, Vec<(IpAddr, u64)>) {
        (self.left, self.armed.back().map(|(_, s)| *s), self.marks.all().to_vec())
    }
    /// Restores the result of [`Seal::shot`]; `last`: when the last armed advert leaves.
    ///
    /// The snapshot of a process that died may be days old, and a clock that was set back since does not show which sequences were sent
    /// after it: the last one is moved on by the time that has passed, as if the clock of the snapshot had run on.
    pub fn resume(
        &mut self,
        (left, armed): (Option<u64>, Option<u64>),
        last: Option<Instant>,
        marks: &[(IpAddr, u64)],
        now: Instant,
    ) {
        self.kind = left.or(armed).or(marks.first().map(|(_, s)| *s)).map(Kind::of_sequence);
        self.left = left;
        self.armed.clear();
        match (armed, last) {
            (Some(sequence), Some(at)) => self.armed.push_back((at, moved_on(sequence, now.since(at)))),
            // Armed by a Master that is one no more.
            (Some(sequence), None) => self.left = later(left, sequence),
            (None, _) => {}
        }
        self.marks = Marks::of(marks);
    }
}
