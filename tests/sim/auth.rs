//! Authentication: what a seed draws of it, an attacker without the key, and what a router must accept and refuse (`auth`).
//!
//! Read first: `src/vrrp/seal.rs`, `options.rs`. Some groups have a *stranger*, a node whose key is another one: it and the others
//! refuse each other, so both sides have a Master, and the checkers leave it out of that group. The key that signs is replaced by reloads
//! (`reload.rs`). The sequences are read and remembered here a second time. A process that continues from another one may have seen less
//! than that one, so a copy of an old advert may be refused or not; what is new must be accepted.

use crate::ground::Fact;
use crate::node::Process;
use crate::options::Group;
use crate::packet::{self, Advert};
use crate::rng::Rng;
use crate::run::{Sabotage, Sim};
use bytes::Bytes;
use core::time::Duration;
use kalived::config::model::setting::Secret;
use kalived::config::model::vrrp::{AntiReplay, Hmac, HmacKey, HmacMode};
use kalived::config::model::{Auth as Field, InstanceConfig, Version};
use kalived::id::VrKey;
use kalived::time::Now;
use kalived::vrrp::advert::Reject;
use kalived::world::World;
use std::collections::BTreeMap;

/// Bytes of the Authentication Header, and of the trailer of `auth_hmac`.
pub const HEADER: usize = 24;
const TRAILER: usize = 28;
/// Ids of the keys that all routers of a group have; a stranger has this one.
pub const KEYS: [u8; 2] = [1, 2];
const OTHER: u8 = 9;

/// The authentication of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// None.
    None,
    /// A password in the clear: against a wrong file, not against an attacker.
    Pass,
    /// RFC 2338.
    Ah,
    /// `auth_hmac`.
    Hmac {
        /// `anti_replay monotonic`; else by time.
        monotonic: bool,
        /// `mode permissive`; else `enforce`.
        permissive: bool,
        /// Nodes with an odd number have `mode receive-only`.
        mixed: bool,
        /// `time_window`.
        window: Option<u32>,
    },
}

impl Auth {
    /// Draws.
    pub fn draw(rng: &mut Rng, version: Version) -> Auth {
        if rng.permille(500) {
            return Auth::None;
        }
        let kind = rng.below(3);
        let permissive = rng.permille(400);
        let (monotonic, mixed) = (rng.permille(500), permissive && rng.permille(500));
        let window = rng.permille(500).then(|| rng.range(5, 60) as u32);
        match (version, kind) {
            (Version::V2, 0) => Auth::Pass,
            (Version::V2, 1) => Auth::Ah,
            _ => Auth::Hmac { monotonic, permissive, mixed, window },
        }
    }
    /// Whether some routers of the group could refuse those of another key, in both directions.
    pub fn tells_apart(self) -> bool {
        !matches!(self, Auth::None | Auth::Hmac { mixed: true, .. })
    }
    /// Whether a node signs its adverts.
    pub fn signs(self, node: usize) -> bool {
        match self {
            Auth::None | Auth::Pass => false,
            Auth::Ah => true,
            Auth::Hmac { mixed, .. } => !mixed || node.is_multiple_of(2),
        }
    }
    // The sequence of a signed advert, from what a socket delivers.
    fn sequence(self, bytes: &[u8]) -> Option<u64> {
        match self {
            Auth::None | Auth::Pass => None,
            Auth::Ah => Some(u64::from(u32::from_be_bytes(bytes.get(28..32)?.try_into().ok()?))),
            Auth::Hmac { .. } => {
                let at = bytes.len().checked_sub(TRAILER)? + 4;
                Some(u64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
            }
        }
    }
    /// The window of `anti_replay time`, seconds.
    pub fn window(self, interval: Duration) -> Option<u64> {
        match self {
            Auth::Hmac { monotonic: false, window, .. } => {
                Some(window.map_or((interval * 3).as_secs().max(5), u64::from))
            }
            _ => None,
        }
    }
}

/// Adds it to the configuration of a node.
pub fn configure(g: &Group, node: usize, c: &mut InstanceConfig) {
    let stranger = g.stranger == Some(node);
    let word = if stranger { *b"another\0" } else { *b"the same" };
    match g.auth {
        Auth::None => {}
        Auth::Pass => c.auth = Field::Pass(word),
        Auth::Ah => c.auth = Field::Ah(word),
        Auth::Hmac { monotonic, permissive, mixed, window } => {
            let unknown = stranger && g.vrid.is_multiple_of(2);
            let ids: &[u8] = if unknown { &[OTHER] } else { &KEYS };
            let text =
                |id| format!("{} key {id} of thirty-two bytes and more", if stranger { "another" } else { "the" });
            let keys = ids.iter().map(|id| HmacKey { id: *id, secret: Secret(text(id).into()) }).collect();
            let mode = match (permissive, mixed && !node.is_multiple_of(2)) {
                (_, true) => HmacMode::ReceiveOnly,
                (true, _) => HmacMode::Permissive,
                (false, _) => HmacMode::Enforce,
            };
            let anti_replay = if monotonic { AntiReplay::Monotonic } else { AntiReplay::Time };
            let active_key = ids.first().copied();
            c.more.hmac = Some(Box::new(Hmac { keys, active_key, time_window: window, anti_replay, mode }));
        }
    }
}

/// The packet of an attacker without the key: an owner's advert, newer than the one it is made of.
pub fn forge(auth: Auth, bytes: &Bytes) -> Bytes {
    let mut b = packet::with_priority(bytes, 255).to_vec();
    let end = b.len();
    match auth {
        Auth::None | Auth::Pass => {}
        Auth::Ah => b[31] = b[31].wrapping_add(1),
        Auth::Hmac { .. } => {
            let v6 = b[0] >> 4 == 6;
            // The counter, and over IPv6 what the checksum of the message covers.
            let counter = u16::from_be_bytes([b[end - 18], b[end - 17]]).wrapping_add(1);
            packet::replace(&mut b, end - 18, counter, v6.then_some(46));
        }
    }
    Bytes::from(b)
}

/// What a World has counted for one virtual router: refused adverts, and accepted ones.
pub type Refusals = Option<(VrKey, [u64; Reject::ALL.len()], u64)>;

/// Of one sender.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    // The newest sequence that was accepted by any process of the node.
    newest: Option<u64>,
    // The last one that was accepted by this process for this virtual router.
    last: Option<(u32, VrKey, u64)>,
}

/// By node, group, sender.
pub type AllSeen = BTreeMap<(usize, usize, usize), Seen>;

fn newer(a: u64, b: u64) -> bool {
    a.wrapping_sub(b).cast_signed() > 0
}

impl Sim {
    /// Before an advert of this group is handled.
    pub fn refusals(&self, world: &World, group: usize) -> Refusals {
        let spec = &self.ground.opts.groups[group];
        let view = world.views().into_iter().find(|v| (v.vrid, v.family) == (spec.vrid, spec.family))?;
        Some((view.vr, view.stats.rejected, view.stats.advert_rcvd))
    }

    // For which reason it was refused, and whether it was accepted: in INIT, FAULT and standby neither.
    fn refused(&self, world: &World, group: usize, before: Refusals) -> Option<(VrKey, Option<Reject>, bool)> {
        let ((vr, before, some), (same, after, more)) = before.zip(self.refusals(world, group))?;
        let why = before.iter().zip(after).position(|(b, a)| *b < a).map(|i| Reject::ALL[i]);
        (vr == same).then_some((vr, why, more > some))
    }

    /// After an intact one was handled: whether that was right, and then who has heard it.
    pub fn judge(
        &mut self,
        node: usize,
        p: &Process,
        now: Now,
        truth: (usize, usize, Advert),
        bytes: &Bytes,
        before: Refusals,
    ) {
        let (group, from, advert) = truth;
        let spec = &self.ground.opts.groups[group];
        let (auth, interval) = (spec.auth, spec.members[node].interval);
        let apart = spec.stranger.is_some_and(|s| s == node || s == from);
        let told = self.refused(&p.world, group, before);
        let why = told.and_then(|told| told.1);
        let taken = told.is_some_and(|told| told.2);
        let number = auth.sequence(bytes).filter(|_| auth.signs(from));
        let by_clock = number.zip(auth.window(interval)).map(|(n, window)| {
            let apart = i64::from((n >> 32) as u32) - (now.wall.0 / 1_000_000_000).cast_signed();
            apart.unsigned_abs() > window
        });
        let stale = by_clock == Some(true);
        let incarnation = self.nodes[node].incarnation;
        let seen = self.seen.entry((node, group, from)).or_default();
        let known = told.zip(number).and_then(|((vr, ..), _)| seen.last.filter(|l| (l.0, l.1) == (incarnation, vr)));
        let copy = number.zip(known).is_some_and(|(n, known)| !newer(n, known.2));
        let again = number.zip(known).is_some_and(|(n, known)| n == known.2);
        let wrong = match why {
            Some(Reject::AuthData | Reject::AuthKey) if apart => return,
            _ if apart && !taken => return,
            _ if apart => Some("is not refused, although its key is another one"),
            Some(Reject::AuthReplay) => {
                let fresh = number.is_none_or(|n| seen.newest.is_none_or(|m| newer(n, m)));
                fresh.then_some("is refused as a copy, and is new")
            }
            Some(Reject::AuthStale) => (!stale).then_some("is refused as too old, and is within the window"),
            Some(Reject::AuthData | Reject::AuthKey | Reject::AuthType | Reject::AuthMissing) => {
                Some("is refused, although its key is the right one")
            }
            _ if stale && taken => Some("is accepted, and is outside the window"),
            _ if copy && taken => Some("is accepted a second time"),
            _ => None,
        };
        // In standby: a copy of what the process before has accepted.
        let old = number.zip(seen.newest).is_some_and(|(n, newest)| !newer(n, newest));
        if p.waiting && old && !taken && why.is_none() {
            return;
        }
        let heard = !matches!(why, Some(Reject::AuthReplay | Reject::AuthStale));
        if let Some(((vr, ..), n)) = told.zip(number).filter(|_| heard) {
            seen.newest = Some(seen.newest.filter(|m| !newer(n, *m)).unwrap_or(n));
            // What a process in standby has seen is replaced by what the one before it had seen.
            if taken && !p.waiting {
                seen.last = Some((incarnation, vr, n));
            }
        }
        if let Some(wrong) = wrong {
            let text = format!("node {node}, group {group}: an advert of node {from} {wrong} ({auth:?}, {why:?})");
            return self.violate("auth".into(), text);
        }
        self.figures.signed[usize::from(!heard)] += u64::from(number.is_some() && (taken || !heard));
        self.fact(match (heard, p.waiting) {
            (true, true) => Fact::Overheard { node, group, advert, from },
            (true, false) => Fact::Heard { node, group, advert, from },
            (false, _) if again => return,
            (false, _) => Fact::Missed { from, to: node, group },
        });
    }

    /// After an attacker's packet was handled: it was refused.
    pub fn judge_forged(&mut self, node: usize, world: &World, group: usize, before: Refusals) {
        let Some((_, why, taken)) = self.refused(world, group, before) else { return };
        self.figures.signed[2] += u64::from(why.is_some());
        if taken {
            self.violate("auth".into(), format!("node {node}, group {group}: a forged advert is accepted"));
        }
    }

    /// The step of a wall clock, in nanoseconds. Documented: with `anti_replay time` routers whose clocks differ by more than the window
    /// refuse each other; and a clock that is set back makes a router that was started again, or that a reload took out and
    /// another one put in, wait until it has caught up: it knows nothing.
    pub fn wall_step(&mut self, node: usize, any: u64) -> i64 {
        use crate::faults::Class;
        let day: i64 = 86_400_000_000_000;
        let step = any.cast_signed() - day;
        let groups = &self.ground.opts.groups;
        let knows = [Class::Crash, Class::Stop, Class::CrashResume, Class::Reload]
            .iter()
            .all(|c| !self.ground.opts.rates[*c as usize].present);
        let signed = groups.iter().any(|g| g.auth.signs(0));
        let step = if signed && !knows { step.abs() } else { step };
        if groups.iter().all(|g| g.auth.window(Duration::ZERO).is_none()) {
            return step;
        }
        // At most a second and a half off, with a window of 5 s at least.
        let n = &self.nodes[node];
        let most = 1_500_000_000;
        (n.set + step % 1_000_000_000).clamp(-most, most) - n.set
    }
}

/// The attacker knows the key, which is as if a router accepted a wrong signature; and a right one arrives as a wrong one.
pub fn sabotaged(lie: Option<Sabotage>, bytes: &Bytes, forged: Bytes) -> (Bytes, Bytes) {
    match lie {
        Some(Sabotage::AcceptForged) => (bytes.clone(), bytes.clone()),
        Some(Sabotage::RefuseSigned) => (packet::flip(bytes, 8 * bytes.len() - 1), forged),
        _ => (bytes.clone(), forged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::IFACE;
    use kalived::config::model::Family;
    use kalived::effect::{Packet, Packets};
    use kalived::time::{Instant, Wall};
    use kalived::vrrp::seal::Seal;

    /// The core dies long after its last snapshot, and the wall clock was set back in between: its adverts had growing numbers and no time.
    #[test]
    fn a_process_that_resumes_after_a_step_back_is_no_replay_of_itself() {
        let second = Duration::from_secs(1);
        for auth in [Auth::Ah, Auth::Hmac { monotonic: true, permissive: false, mixed: false, window: None }] {
            let mut cfg = InstanceConfig::new("VI_0", IFACE, 51, Family::V4);
            cfg.version = Version::V2;
            match auth {
                Auth::Ah => cfg.auth = Field::Ah(*b"the same"),
                _ => {
                    let keys = vec![HmacKey { id: 1, secret: Secret("a key of thirty-two bytes and more".into()) }];
                    let anti_replay = AntiReplay::Monotonic;
                    cfg.more.hmac = Some(Box::new(Hmac { keys, active_key: Some(1), anti_replay, ..Hmac::default() }));
                }
            }
            let mut bytes = vec![0x45, 0xc0, 0, 40, 0, 1, 0, 0, 255, 112, 0, 0, 10, 0, 0, 1, 224, 0, 0, 18];
            bytes.extend([0x21, 51, 100, 1, 0, 1, 0, 0, 10, 0, 0, 200, 0, 0, 0, 0, 0, 0, 0, 0]);
            let to = [224, 0, 0, 18].into();
            let advert = Packets::of(vec![Packet { to, bytes: bytes.into(), from: None }]).expect("one packet");
            let src = [10, 0, 0, 1].into();
            let (mut sender, mut receiver) = (Seal::default(), Seal::default());
            let mut hears = |packets: &Packets| {
                let sequence = auth.sequence(&packets[0].bytes).expect("a signed one");
                receiver.take(&cfg, src, sequence, Wall(0))
            };
            let mut mono = Instant(50_000_000_000);
            let wall = |mono: Instant, back: u64| Wall(1_700_000_000_000_000_000 + mono.0 - back * 1_000_000_000);
            let first = sender.arm(&cfg, src, &advert, mono + second, Now { mono, wall: wall(mono, 0) });
            assert_eq!(hears(&first), Ok(()));
            let (left, armed, marks) = sender.shot();
            let last = mono + second;
            for _ in 0..1_000 {
                mono += second;
                let next = sender.arm(&cfg, src, &advert, mono + second, Now { mono, wall: wall(mono, 86_400) });
                assert_eq!(hears(&next), Ok(()));
            }
            mono += second * 2;
            let mut heir = Seal::default();
            heir.resume((left, armed), Some(last), &marks, mono);
            let resumed = heir.arm(&cfg, src, &advert, mono + second, Now { mono, wall: wall(mono, 86_400) });
            assert_eq!(hears(&resumed), Ok(()), "{auth:?}");
        }
    }
}
