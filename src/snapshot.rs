//! What one process of kalived leaves to the next: enough to go on as Master without anybody noticing.
//!
//! Read first: `world/resume.rs`. A snapshot that does not check is no snapshot: the next process starts cold. The CRC finds accidents
//! (a torn write, another version); it is no protection against who may write our memory. What is decoded is still only a
//! claim: whoever resumes from it checks every range.
//!
//! Bounds: at most [`MAX_SNAPSHOT`] bytes are looked at; a length that is only promised allocates at most 1 MiB (serde's limit); decoding
//! is not recursive.

use crate::route::RouteId;
use bytes::{Buf, BufMut};
use core::fmt;
use core::net::IpAddr;
use crc::{CRC_32_ISCSI, Crc};
use serde::{Deserialize, Serialize};

/// The first bytes of a written snapshot.
pub const MAGIC: [u8; 8] = *b"KALSNAP\n";
/// Number of this layout: goes up with every change of the structures below.
pub const VERSION: u16 = 3;
/// The oldest layout that is understood.
const OLDEST: u16 = 2;
/// Bytes before the body: magic 8, version 2, zero 2, length of the body 4, CRC-32C of the body 4; integers little endian.
pub const HEADER: usize = 20;
/// Largest snapshot, in bytes: 4,096 virtual routers with a thousand addresses each stay below.
pub const MAX_SNAPSHOT: usize = 64 << 20;

const CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// Why bytes are no snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// Something else than a snapshot, or nothing.
    Foreign,
    /// Of another kalived whose snapshots look otherwise.
    Version(u16),
    /// Shorter or longer than it says, or too large.
    Length,
    /// The body is not what was written.
    Damaged,
    /// The CRC is right and the content is not.
    Malformed,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unusable::Foreign => f.write_str("there is no snapshot"),
            Unusable::Version(v) => write!(f, "the snapshot has version {v}, this kalived reads {VERSION}"),
            Unusable::Length => f.write_str("the snapshot is cut off, or too long"),
            Unusable::Damaged => f.write_str("the snapshot is damaged"),
            Unusable::Malformed => f.write_str("the snapshot makes no sense"),
        }
    }
}

impl std::error::Error for Unusable {}

/// Everything that is handed over. Times are nanoseconds of CLOCK_MONOTONIC, which does not stop between two processes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// When it was taken.
    pub at: u64,
    /// Taken by a frozen world: deadlines are exact, and what is armed still leaves.
    pub last: bool,
    /// Virtual routers by name.
    pub instances: Vec<InstanceShot>,
    /// Trackers by kind and name.
    pub tracks: Vec<TrackShot>,
    /// Addresses that nobody was to hold any more and whose deletion was not confirmed.
    pub going: Vec<(u32, IpAddr, u8)>,
    /// Static routes that are to be there, and those that are to go.
    pub routes: Vec<RouteId>,
}

impl Snapshot {
    /// As bytes. Empty, which is no snapshot, when it would be longer than [`MAX_SNAPSHOT`].
    pub fn encode(&self) -> Vec<u8> {
        let body = postcard::to_allocvec(self).unwrap_or_default();
        let (Ok(len), true) = (u32::try_from(body.len()), HEADER + body.len() <= MAX_SNAPSHOT) else {
            return Vec::new();
        };
        let mut out = Vec::with_capacity(HEADER + body.len());
        out.put_slice(&MAGIC);
        out.put_u16_le(VERSION);
        out.put_u16_le(0);
        out.put_u32_le(len);
        out.put_u32_le(CRC32C.checksum(&body));
        out.put_slice(&body);
        out
    }

    /// Back from [`Snapshot::encode`]; any other bytes are an error.
    pub fn decode(bytes: &[u8]) -> Result<Snapshot, Unusable> {
        let (mut header, body) = bytes.split_at_checked(HEADER).ok_or(Unusable::Foreign)?;
        if !header.starts_with(&MAGIC) {
            return Err(Unusable::Foreign);
        }
        header.advance(MAGIC.len());
        let (version, zero) = (header.get_u16_le(), header.get_u16_le());
        let (len, crc) = (header.get_u32_le() as usize, header.get_u32_le());
        if !(OLDEST..=VERSION).contains(&version) {
            return Err(Unusable::Version(version));
        }
        if zero != 0 {
            return Err(Unusable::Foreign);
        }
        if len != body.len() || bytes.len() > MAX_SNAPSHOT {
            return Err(Unusable::Length);
        }
        if CRC32C.checksum(body) != crc {
            return Err(Unusable::Damaged);
        }
        let whole = match version {
            2 => postcard::take_from_bytes::<Layout2>(body).map(|(old, rest)| (old.into(), rest)),
            _ => postcard::take_from_bytes(body),
        };
        match whole {
            Ok((snapshot, [])) => Ok(snapshot),
            Ok(_) | Err(_) => Err(Unusable::Malformed),
        }
    }
}

/// A [`Snapshot`] of layout 2, which had no routes.
#[derive(Deserialize)]
struct Layout2 {
    at: u64,
    last: bool,
    instances: Vec<InstanceShot>,
    tracks: Vec<TrackShot>,
    going: Vec<(u32, IpAddr, u8)>,
}

impl From<Layout2> for Snapshot {
    fn from(old: Layout2) -> Snapshot {
        let Layout2 { at, last, instances, tracks, going } = old;
        Snapshot { at, last, instances, tracks, going, routes: Vec::new() }
    }
}

/// One virtual router.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceShot {
    /// Name in the file.
    pub name: String,
    /// Identity on the wire, so that a snapshot never resumes another router of the same name.
    pub vrid: u8,
    /// As `name`.
    pub interface: String,
    /// As `name`: IPv6.
    pub v6: bool,
    /// Index of `interface`; 0: there was none. Under another one nothing that was armed leaves.
    pub ifindex: u32,
    /// 0 Init, 1 Backup, 2 Master, 3 Fault.
    pub state: u8,
    /// Since when: monotonic and wall clock.
    pub since: (u64, u64),
    /// Effective priority.
    pub priority: u8,
    /// Master_Adver_Interval, nanoseconds.
    pub master_interval: u64,
    /// The Master we follow.
    pub master: Option<IpAddr>,
    /// Master_Down_Timer.
    pub master_down: Option<u64>,
    /// End of `preempt_delay`, while it runs.
    pub preempt_at: Option<u64>,
    /// `preempt_delay` is over.
    pub preempt_over: bool,
    /// When the last armed advert leaves.
    pub last_armed: Option<u64>,
    /// Addresses that it holds or has asked for, by interface index and prefix length; never an operator's own.
    pub addrs: Vec<(u32, IpAddr, u8)>,
    /// Announcements of them were still outstanding.
    pub announce: bool,
    /// Counters, in the order of `Stats`.
    pub stats: Vec<u64>,
    /// The state last told to hooks, as `state`; `None`: none yet.
    pub notified: Option<u8>,
    /// The state that the pipes were told last, as `state`; it may differ while a hook is slow or a pipe full.
    pub piped: Option<u8>,
}

/// One tracker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackShot {
    /// "script", "file", "process", "check".
    pub kind: String,
    /// Name in the file.
    pub name: String,
    /// `None`: not known yet. Else up (1) or down (0); of a file its value.
    pub value: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Snapshot {
        let vi = InstanceShot {
            name: "VI_1".into(),
            vrid: 51,
            interface: "eth0".into(),
            state: 2,
            since: (5, 6),
            priority: 100,
            master_interval: 10_000_000,
            master: Some([10, 0, 0, 1].into()),
            last_armed: Some(77),
            addrs: vec![(3, [10, 0, 0, 100].into(), 32)],
            stats: vec![1, 2, u64::MAX],
            notified: Some(2),
            piped: Some(1),
            ..InstanceShot::default()
        };
        let track = TrackShot { kind: "file".into(), name: "f".into(), value: Some(-3) };
        let going = vec![(3, [10, 0, 0, 101].into(), 32)];
        let none = (IpAddr::from([0, 0, 0, 0]), 0);
        let routes = vec![RouteId { table: 254, to: ([10, 1, 0, 0].into(), 16), from: none, tos: 0, metric: 7 }];
        Snapshot { at: 9, last: true, instances: vec![vi.clone(), vi], tracks: vec![track], going, routes }
    }

    #[test]
    fn there_and_back() {
        for s in [Snapshot::default(), sample()] {
            assert_eq!(Snapshot::decode(&s.encode()), Ok(s));
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let good = sample().encode();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Snapshot::decode(&bad).is_err(), "bit {bit}");
        }
        for n in 0..good.len() {
            assert!(Snapshot::decode(&good[..n]).is_err(), "cut at {n}");
        }
        let mut long = good;
        long.push(0);
        assert_eq!(Snapshot::decode(&long), Err(Unusable::Length));
    }

    // The envelope is right, the body promises more than there is: nothing is allocated for promises, nothing panics.
    #[test]
    fn a_body_that_lies_is_malformed() {
        let mut bodies = vec![vec![0xff; 64], vec![0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f]];
        let good = sample().encode();
        bodies.extend((0..good.len() - HEADER).map(|n| good[HEADER..HEADER + n].to_vec()));
        for body in bodies {
            let mut b = good[..HEADER].to_vec();
            b[12..16].copy_from_slice(&(body.len() as u32).to_le_bytes());
            b[16..20].copy_from_slice(&CRC32C.checksum(&body).to_le_bytes());
            b.extend(&body);
            assert_eq!(Snapshot::decode(&b), Err(Unusable::Malformed), "{body:?}");
        }
    }
}
