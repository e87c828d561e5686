//! The state that one process of kalived passes to the next: enough to continue as Master without any visible change.
//!
//! Read first: `world/resume.rs`, `envelope.rs`, `encoded.rs`. Since layout 4 the body is JSON with field names, so it can be read by earlier and later
//! releases: a field that the reader does not know is ignored, a missing field has its default. **A new field needs only a default that
//! means what earlier processes did.** The layout's number increases only when a process that ignores the new field must not continue.
//! Before a core freezes, the successor reports which layouts it reads, and the newest that both know is written ([`common`]); layout 3
//! is written for the releases that read nothing else (`before.rs`).
//!
//! A decoded snapshot is not trusted: the code that resumes from it checks every range.
//!
//! Bounds: at most [`MAX_SNAPSHOT`] bytes are read; decoding allocates no more than a few times the number of bytes and recurses at most
//! 128 levels, both by serde_json. Measured for 255 routers with 8 addresses each: 130 kB, 0.2 ms to write when all of them have
//! changed, 0.5 ms to read (postcard, layout 3: 33 kB, 0.05 ms, 0.1 ms); 2,000 addresses: 40 kB, 0.05 ms, 0.2 ms. CBOR would save a
//! third of the bytes and no time. 37,000 records of real servers would be 4 MB and 14 ms: too much for one turn and for a slot
//! (`daemon/handover.rs`), so they will need a part of their own.

mod before;
mod encoded;

use crate::effect::{Packet, SockSpec};
use crate::envelope::{Kind, Unusable};
use crate::knob::Knob;
use crate::route::RouteId;
use crate::rule::RuleSpec;
use crate::wire::netlink::ipvs::{ServiceKey, Timeouts};
use core::net::IpAddr;
use serde::{Deserialize, Serialize};

pub use encoded::Encoded;

/// Number of the present layout.
pub const VERSION: u16 = 4;
/// The layouts that are read.
pub const READS: [u16; 3] = [2, 3, VERSION];
/// The layouts that can be written, the newest last.
pub const WRITES: [u16; 2] = [3, VERSION];
/// The layouts that a program reads if it does not report them: the releases before layout 4.
pub const UNSAID: [u16; 2] = [2, 3];
/// Largest snapshot, in bytes: 4,096 virtual routers with a thousand addresses each are smaller.
pub const MAX_SNAPSHOT: usize = 64 << 20;

const KIND: Kind = Kind { magic: *b"KALSNAP\n", name: "snapshot", layouts: 2..=VERSION, max: MAX_SNAPSHOT };

/// The layouts that a program writes if it does not report them: as [`UNSAID`].
pub const UNSAID_WRITES: [u16; 1] = [3];

/// The newest layout that one program writes and another one reads.
pub fn common(writes: &[u16], reads: &[u16]) -> Option<u16> {
    writes.iter().filter(|layout| reads.contains(layout)).max().copied()
}

/// The state that is passed on. Times are nanoseconds of CLOCK_MONOTONIC, which continues between two processes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Snapshot {
    /// When the snapshot was taken.
    pub at: u64,
    /// Taken by a frozen world: deadlines are exact, and armed adverts still leave.
    pub last: bool,
    /// Virtual routers by name.
    pub instances: Vec<Encoded>,
    /// Trackers by kind and name.
    pub tracks: Vec<TrackShot>,
    /// Addresses without an owner whose deletion was not confirmed.
    pub going: Vec<(u32, IpAddr, u8)>,
    /// Static routes that are wanted, and those that are to be deleted.
    pub routes: Vec<RouteId>,
    /// Addresses of `static_ipaddress` that are wanted; never an operator's own.
    pub fixed: Vec<(u32, IpAddr, u8)>,
    /// Routes of virtual routers that are Master.
    pub virtual_routes: Vec<RouteId>,
    /// Rules of the file.
    pub rules: Vec<RuleSpec>,
    /// Rules of virtual routers that are Master, and rules that are to be deleted.
    pub virtual_rules: Vec<RuleSpec>,
    /// Sync groups by name: what was reported of them. Their state is that of their members.
    pub groups: Vec<GroupShot>,
    /// Health checks of real servers, identified by their definition; if there are many, only those that fail.
    pub checks: Vec<CheckShot>,
    /// Where there are many: those with `alpha` that succeed (`Checks::shots`).
    pub alpha: String,
    /// Services of virtual servers in the kernel's table.
    pub services: Vec<ServiceKey>,
    /// Own interfaces of virtual routers that a process of kalived made.
    pub own: Vec<OwnShot>,
    /// Interfaces below them, and others whose sysctls were changed.
    pub below: Vec<BelowShot>,
    /// Virtual servers within their hysteresis, by what they serve, and whether they have a quorum.
    pub quorums: Vec<(Box<str>, bool)>,
    /// The kernel has kalived's table of nf_tables.
    pub filter: bool,
    /// Marks of virtual servers with a group, by what they serve (`nftables_ipvs`): the kernel has the table that marks packets so.
    pub marks: Vec<(Box<str>, u32)>,
    /// BFD sessions by name.
    pub bfd: Vec<BfdShot>,
    /// Real servers whose weight grows (`slow_start`).
    pub ramps: Vec<RampShot>,
    /// Virtual routers do not start before (`vrrp_startup_delay`, `vrrp_delay_after_boot`).
    pub begins: Option<u64>,
    /// Since when virtual servers and real servers have their states; if there are many, not all of them.
    pub since: Vec<SinceShot>,
    /// The kernel has no IPVS, so no quorum was notified.
    pub untold: bool,
    /// Timeouts of IPVS that `lvs_timeouts` changed, as they were before; 0: not changed.
    pub timeouts: Timeouts,
    /// Named pipes that kalived made: path, device, inode. Written by the daemon, not by the World.
    pub fifos: Vec<(Box<str>, u64, u64)>,
    /// A start, not a continuation, for virtual routers ([`Snapshot::of_servers`]).
    pub cold: bool,
}

/// A real server that is back, and whose weight grows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RampShot {
    /// Its virtual server, by what it serves.
    pub of: Box<str>,
    /// Address of the real server.
    pub addr: IpAddr,
    /// Port of the real server.
    pub port: u16,
    /// Since when it is back.
    pub since: u64,
}

/// Since when a virtual server or one of its real servers has its state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SinceShot {
    /// The virtual server, by what it serves.
    pub of: Box<str>,
    /// Address and port of the real server; `None`: it is about the virtual server.
    pub server: Option<(IpAddr, u16)>,
    /// Whether it serves, or has its quorum.
    pub up: bool,
    /// Since when: monotonic and wall clock.
    pub at: (u64, u64),
    /// When the virtual server was configured.
    pub born: (u64, u64),
    /// The cause, as text.
    pub why: Box<str>,
}

/// An own interface of a virtual router.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OwnShot {
    /// Name of the interface.
    pub name: String,
    /// Index of the interface.
    pub ifindex: u32,
}

/// An interface whose sysctls were changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BelowShot {
    /// Index of the interface.
    pub ifindex: u32,
    /// What its sysctls were before.
    pub before: Vec<(Knob, u32)>,
}

impl Snapshot {
    /// What remains for a core that starts cold: the state of virtual servers, and the named pipes. Virtual routers, their addresses and
    /// their trackers begin anew.
    pub fn of_servers(self) -> Snapshot {
        let Snapshot { at, checks, alpha, services, quorums, marks, ramps, since, untold, timeouts, fifos, .. } = self;
        Snapshot {
            at,
            checks,
            alpha,
            services,
            quorums,
            marks,
            ramps,
            since,
            untold,
            timeouts,
            fifos,
            cold: true,
            ..Snapshot::default()
        }
    }

    /// Encodes in the present layout. Empty, which is no snapshot, when it would be longer than [`MAX_SNAPSHOT`].
    pub fn encode(&self) -> Vec<u8> {
        self.encode_as(VERSION)
    }

    /// Encodes in one of [`WRITES`]; in the present layout when it is none of them. Fields that an older layout lacks are left out.
    pub fn encode_as(&self, layout: u16) -> Vec<u8> {
        match layout {
            3 => KIND.seal(3, |out| before::write(self, out)),
            _ => KIND.seal(VERSION, |out| serde_json::to_writer(out, self)),
        }
    }

    /// Decodes the result of [`Snapshot::encode_as`]; any other bytes are an error.
    pub fn decode(bytes: &[u8]) -> Result<Snapshot, Unusable> {
        match KIND.open(bytes)? {
            // serde would accept a list, with fields by position; this layout has names.
            (VERSION, body) if body.first() != Some(&b'{') => Err(KIND.malformed("not an object with named fields")),
            (VERSION, body) => serde_json::from_slice(body).map_err(|e| KIND.malformed(e)),
            (layout, body) => before::read(layout, body).map_err(|e| KIND.malformed(e)),
        }
    }
}

/// The state of one virtual router.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InstanceShot {
    /// Name in the file.
    pub name: String,
    /// Identifies the virtual router, so that a snapshot never resumes another router of the same name.
    pub vrid: u8,
    /// Name of its interface; with `vrid` and `v6` it identifies the virtual router.
    pub interface: String,
    /// The family is IPv6; with `vrid` and `interface` it identifies the virtual router.
    pub v6: bool,
    /// Index of `interface`; 0: there was none. If the index has changed, no armed advert leaves.
    pub ifindex: u32,
    /// 0 Init, 1 Backup, 2 Master, 3 Fault.
    pub state: u8,
    /// Since when: monotonic and wall clock.
    pub since: (u64, u64),
    /// Effective priority, 0..=255.
    pub priority: u8,
    /// Master_Adver_Interval, nanoseconds: the interval of the Master that the router follows.
    pub master_interval: u64,
    /// Address of the Master that it follows; `None`: there is none.
    pub master: Option<IpAddr>,
    /// When Master_Down_Timer expires, nanoseconds of CLOCK_MONOTONIC; `None`: it does not run.
    pub master_down: Option<u64>,
    /// End of `preempt_delay`, while it runs.
    pub preempt_at: Option<u64>,
    /// `preempt_delay` has expired.
    pub preempt_over: bool,
    /// When the last armed advert leaves.
    pub last_armed: Option<u64>,
    /// Addresses that it holds or has requested, by interface index and prefix length; never an operator's own.
    pub addrs: Vec<(u32, IpAddr, u8)>,
    /// Announcements of these addresses were still outstanding.
    pub announce: bool,
    /// Counters, in the order of `Stats`.
    pub stats: Vec<u64>,
    /// The sequence of the last signed advert that left.
    pub sequence: Option<u64>,
    /// The sequence of the last armed signed advert.
    pub armed_sequence: Option<u64>,
    /// The last sequence accepted of each sender.
    pub marks: Vec<(IpAddr, u64)>,
    /// The state last reported to hooks, as `state`; `None`: none yet.
    pub notified: Option<u8>,
    /// The state last written to the pipes, as `state`; it may differ while a hook is slow or a pipe full.
    pub piped: Option<u8>,
    /// In a sync group: Master_Down_Timer ran out since the last advert of a Master.
    pub willing: bool,
    /// In a sync group that is Master: it was added, and follows no Master.
    pub joining: bool,
    /// Its farewell, in a snapshot of a frozen world, if it is Master: for a successor whose configuration does not have it any more.
    pub farewell: Option<FarewellShot>,
}

/// The priority-0 advert of a virtual router, to be sent behind its last armed advert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FarewellShot {
    /// The socket that it leaves by.
    pub sock: SockSpec,
    /// A packet for each destination.
    pub packets: Vec<Packet>,
}

/// The state of one sync group: what its hooks and pipes were told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupShot {
    /// Name in the file.
    pub name: String,
    /// As in a virtual router.
    pub notified: Option<u8>,
    /// As in a virtual router.
    pub piped: Option<u8>,
}

/// The last verdict of one tracker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrackShot {
    /// `track::Kind::word`: "script", "file", …
    pub kind: String,
    /// Name in the file.
    pub name: String,
    /// `None`: not known yet. Else up (1) or down (0); for a file its value.
    pub value: Option<i64>,
}

/// The state of one BFD session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BfdShot {
    /// Name in the file.
    pub name: Box<str>,
    /// With `source` and `multihop`: identifies the session, so that no other one of the same name is continued.
    pub peer: Option<IpAddr>,
    /// With `peer`: source address in the file; `None`: the kernel chooses it.
    pub source: Option<IpAddr>,
    /// With `peer`: Multihop BFD (RFC 5883).
    pub multihop: bool,
    /// Its own discriminator (bfd.LocalDiscr).
    pub discr: u32,
    /// 0 AdminDown, 1 Down, 2 Init, 3 Up.
    pub state: u8,
    /// Its own diagnostic code (bfd.LocalDiag).
    pub diag: u8,
    /// The peer's discriminator; 0: not known.
    pub remote_discr: u32,
    /// State of the peer: 0 AdminDown, 1 Down, 2 Init, 3 Up.
    pub remote_state: u8,
    /// The peer's Required Min RX Interval, microseconds.
    pub remote_min_rx: u32,
    /// The peer's Desired Min TX Interval, microseconds.
    pub remote_min_tx: u32,
    /// The peer's Detect Mult.
    pub remote_multiplier: u8,
    /// The peer's demand mode.
    pub remote_demand: bool,
    /// Up or down, as last reported to trackers and checks; `None`: nothing was reported yet.
    pub up: Option<bool>,
}

/// One health check of real servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CheckShot {
    /// `CheckSpec::digest`: identifies the definition of the check.
    pub spec: [u8; 16],
    /// The verdict: true if the check succeeds.
    pub up: bool,
    /// Failures in a row that do not count yet.
    pub failures: u32,
    /// The exit status of its program or the number of its file.
    pub value: Option<i32>,
    /// Since when it has this verdict; 0: not known.
    pub since: u64,
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
        let instances = vec![vi.clone().into(), vi.into()];
        Snapshot { at: 9, last: true, instances, tracks: vec![track], going, routes, ..Snapshot::default() }
    }

    #[test]
    fn there_and_back() {
        for s in [Snapshot::default(), sample()] {
            assert_eq!(Snapshot::decode(&s.encode()), Ok(s.clone()));
            for layout in WRITES {
                assert_eq!(Snapshot::decode(&s.encode_as(layout)), Ok(s.clone()), "{layout}");
            }
        }
        assert_eq!(WRITES.last(), Some(&VERSION));
        let with = |reads: &[u16]| common(&WRITES, reads);
        assert_eq!(
            [with(&READS), with(&UNSAID), with(&[4, 5]), with(&[2]), with(&[5])],
            [Some(VERSION), Some(3), Some(4), None, None]
        );
        assert_eq!(common(&UNSAID_WRITES, &READS), Some(3), "the release before is read");
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        for layout in WRITES {
            let good = sample().encode_as(layout);
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
            assert!(matches!(Snapshot::decode(&long), Err(Unusable::Length(_))));
        }
    }

    fn sealed(layout: u16, body: &[u8]) -> Result<Snapshot, Unusable> {
        Snapshot::decode(&KIND.seal(layout, |out| {
            out.extend_from_slice(body);
            Ok::<_, ()>(())
        }))
    }

    // The envelope is right, but the body contains a length without the bytes: no memory is allocated for it, nothing panics.
    #[test]
    fn a_body_that_lies_is_malformed() {
        let is_malformed = |layout, body: &[u8]| match sealed(layout, body) {
            Err(Unusable::Malformed(..)) => {}
            other => panic!("layout {layout}, {}: {other:?}", body.escape_ascii()),
        };
        let mut bodies = vec![vec![0xff; 64], vec![0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f]];
        for layout in WRITES {
            let good = sample().encode_as(layout);
            let body = &good[crate::envelope::HEADER..];
            assert!(sealed(layout, body).is_ok());
            bodies.extend((0..body.len()).map(|n| body[..n].to_vec()));
            bodies.iter().for_each(|b| is_malformed(layout, b));
            bodies.truncate(2);
        }
        let deep = "[".repeat(1 << 20);
        for body in ["", "null", "[]", "{\"at\":-1}", "{\"at\":1}{}", "{\"instances\":[{\"state\":256}]}", &deep] {
            is_malformed(VERSION, body.as_bytes());
        }
        is_malformed(VERSION, format!("{{\"of_tomorrow\":{deep}}}").as_bytes());
        let why = sealed(VERSION, br#"{"instances":[{"priority":"high"}]}"#).unwrap_err().to_string();
        assert!(why.contains("cannot be understood: invalid type: string \"high\", expected u8"), "{why}");
    }

    // Another release has more fields, or fewer.
    #[test]
    fn what_is_unknown_is_ignored_and_what_is_missing_has_its_default() {
        let whole = serde_json::to_value(sample()).unwrap();
        let read = |v: &serde_json::Value| sealed(VERSION, v.to_string().as_bytes());
        // Every object except a route, whose fields are its identity, and each of its fields in turn.
        let places = ["", "/instances/0", "/instances/1", "/tracks/0"];
        for place in places {
            let fields = whole.pointer(place).and_then(|v| v.as_object()).expect("an object");
            for name in fields.keys() {
                let mut less = whole.clone();
                less.pointer_mut(place).and_then(|v| v.as_object_mut()).expect("an object").remove(name);
                assert!(read(&less).is_ok(), "{place}/{name}");
            }
            let mut more = whole.clone();
            let to = more.pointer_mut(place).and_then(|v| v.as_object_mut()).expect("an object");
            to.insert("of_tomorrow".to_owned(), serde_json::json!({"groups": [[1, "a"], null]}));
            assert_eq!(read(&more), Ok(sample()), "{place}");
        }
        assert_eq!(sealed(VERSION, b"{}"), Ok(Snapshot::default()));
        let mut less = whole;
        less.as_object_mut().expect("an object").remove("routes");
        assert_eq!(read(&less), Ok(Snapshot { routes: Vec::new(), ..sample() }));
    }
}
