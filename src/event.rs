//! What can happen to the [`World`](crate::world::World): every input it will ever see.
//!
//! The daemon makes these from io_uring completions, the simulator from its virtual network. Bytes are borrowed and
//! hostile. Read first: `time.rs`, `id.rs`; the other direction is `effect.rs`.

pub use crate::net::{AddrInfo, Errno, Link};

use crate::config::model::Config;
use crate::config::model::lvs::Part;
use crate::effect::BfdPort;
use crate::id::{BfdKey, ChildKey, ConnKey, FifoKey, SockKey, VrKey, WatchKey};
use crate::knob::Knob;
use crate::octets::Octets;
use crate::route::RouteSpec;
use crate::rule::RuleSpec;
use crate::snapshot::Snapshot;
use crate::time::{Duration, Instant};
use crate::wire::netlink::ipvs::Message;
use crate::wire::netlink::nft::Table;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Correlates a [`NetFx::Change`](crate::effect::NetFx::Change) with its [`NetEv::Reply`]; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct ReqId(pub u64);

/// Longest age of a datagram. The kernel stamps arrivals with the wall clock, which may be stepped in between: more than a
/// wake-up takes is not believed, so that a step moves no timer.
pub const LONGEST_AGE: Duration = Duration::from_millis(1);

/// What the kernel says about a received datagram beside its bytes.
///
/// An IPv4 raw socket delivers the IP header with the packet, so there everything is read from the bytes and the
/// optional fields stay `None`. An IPv6 raw socket delivers the VRRP message only; the rest is ancillary data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RxMeta {
    /// The sender, from the socket layer.
    pub src: IpAddr,
    /// IPv6: the destination of the packet (`IPV6_PKTINFO`).
    pub dst: Option<Ipv6Addr>,
    /// IPv6: hop limit on arrival (`IPV6_HOPLIMIT`).
    pub hop_limit: Option<u8>,
}

/// A signal that the daemon was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Signal {
    /// SIGTERM: stop.
    Term,
    /// SIGINT: stop.
    Int,
    /// SIGHUP: read the configuration again.
    Hup,
}

/// How a program ended, or that it never started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum ChildEnd {
    /// Exit status, 0..=255.
    Exited(u8),
    /// By a signal.
    Signaled(u8),
    /// It could not be started: no process, no such program, no permission.
    NotStarted(Errno),
}

/// What happened on a stream connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Stream<'a> {
    /// It is open.
    Connected,
    /// Hostile bytes, at most some KiB at a time.
    Data(#[serde(with = "crate::octets")] Octets<'a>),
    /// The other side will send no more.
    End,
    /// Its TLS failed: why, in words, some of which may be the other side's. Nothing more is heard of it, and it is closed already.
    Broken(#[serde(with = "crate::octets")] Octets<'a>),
    /// It could not be opened, or broke. Nothing more is heard of it, and it is closed already.
    Failed(Errno),
}

/// Events of the VRRP sockets.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub enum SockEv<'a> {
    /// A datagram from a raw VRRP socket. IPv4: the whole IP packet. IPv6: the VRRP message.
    Datagram {
        /// Key of the socket that received it.
        sock: SockKey,
        /// The sender, and for IPv6 destination and hop limit.
        meta: RxMeta,
        /// How long before this turn it arrived, at most [`LONGEST_AGE`]: the time to wake up is not added to every timer.
        age: Duration,
        /// The packet as received: for IPv4 from the IP header on, for IPv6 from the VRRP header on. Not verified.
        #[serde(with = "crate::octets")]
        bytes: Octets<'a>,
    },
    /// As `Datagram`, of those asked for by [`SockFx::HearLocal`](crate::effect::SockFx::HearLocal). While this host does not have the
    /// source address, the raw socket delivers it as well.
    LocalDatagram {
        /// Key of the socket that it belongs to.
        sock: SockKey,
        /// The sender, and for IPv6 destination and hop limit.
        meta: RxMeta,
        /// How long before this turn it arrived, at most [`LONGEST_AGE`].
        age: Duration,
        /// The whole IP packet.
        #[serde(with = "crate::octets")]
        bytes: Octets<'a>,
    },
    /// Answer to [`SockFx::Open`](crate::effect::SockFx::Open).
    Ready {
        /// Key of the socket.
        sock: SockKey,
        /// Whether it receives and sends now.
        result: Result<(), Errno>,
    },
    /// A socket that was ready stopped receiving for good; it is closed already.
    Lost {
        /// Key of the socket.
        sock: SockKey,
        /// Why the socket stopped receiving.
        errno: Errno,
    },
}

/// Events of the adverts: which left and which failed.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub enum AdvertEv<'a> {
    /// A pre-armed advert left, or failed to. Not reported for adverts that [`AdvertFx::Stop`](crate::effect::AdvertFx::Stop) took back.
    Sent {
        /// Key of the virtual router whose advert it is.
        vr: VrKey,
        /// The `epoch` it was armed with.
        epoch: u32,
        /// When it should have left; how late it is, is the turn's time less this.
        due: Instant,
        /// What the kernel said to the sends: success if at least one packet left.
        result: Result<(), Errno>,
        /// Destinations whose packet did not leave although others did; empty when none did.
        #[serde(deserialize_with = "crate::octets::list")]
        missed: &'a [(IpAddr, Errno)],
    },
    /// An immediate advert ([`AdvertFx::Send`](crate::effect::AdvertFx::Send)) failed: to all its destinations. Success is not reported.
    SendFailed {
        /// Key of the virtual router whose advert it is.
        vr: VrKey,
        /// The error of the first packet of it that could not be sent.
        errno: Errno,
    },
    /// The farewell of an [`AdvertFx::Stop`](crate::effect::AdvertFx::Stop) failed: to all its destinations. Success is not reported.
    FarewellFailed {
        /// Key of the virtual router whose farewell it is.
        vr: VrKey,
        /// The error of the first packet of it that could not be sent.
        errno: Errno,
    },
}

/// Who caused a change: the port of its netlink socket, which is its process number where the kernel chose it; 0: the kernel itself;
/// `None`: not known.
pub type Doer = Option<u32>;

/// Events from rtnetlink: notifications and dumps of the kernel's interfaces, addresses, routes and rules, and answers.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub enum NetEv {
    /// Interface added or changed.
    LinkNew(Link),
    /// The kernel removed an interface.
    LinkDel {
        /// Index it had.
        ifindex: u32,
    },
    /// Address added or changed.
    AddrNew(AddrInfo),
    /// An address was removed from an interface.
    AddrDel {
        /// Index of the interface.
        ifindex: u32,
        /// The address without its prefix.
        addr: IpAddr,
        /// Prefix length, 0..=128.
        prefix: u8,
        /// Who removed it.
        #[serde(default)]
        by: Doer,
    },
    /// A route of ours as it is now, or one that took a place.
    RouteNew {
        /// The route as the kernel has it now.
        route: Box<RouteSpec>,
        /// It replaced another one of the same destination, which may have been ours.
        replaced: bool,
    },
    /// A route of ours is gone, and who removed it.
    RouteDel(Box<RouteSpec>, Doer),
    /// The kernel has this policy rule. kalived or another program added it.
    RuleNew(Box<RuleSpec>),
    /// A policy rule is gone, and who removed it.
    RuleDel(Box<RuleSpec>, Doer),
    /// Netlink messages were lost (`ENOBUFS`): what we know of the kernel may be wrong.
    Lost,
    /// A dump asked for by [`NetFx::Resync`](crate::effect::NetFx::Resync) begins: links, then addresses follow as
    /// ordinary `LinkNew` and `AddrNew`.
    DumpBegin,
    /// The dump ended; what it did not mention does not exist. `false`: it was interrupted, ask again.
    Synced {
        /// Whether the dump is complete and consistent.
        complete: bool,
    },
    /// Answer to [`NetFx::Change`](crate::effect::NetFx::Change).
    Reply {
        /// Number of the request, as in the change.
        req: ReqId,
        /// Success, or the errno of the kernel.
        result: Result<(), Errno>,
    },
}

/// Events from IPVS and from the reading of virtual servers.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub enum LvsEv {
    /// There is a configuration of virtual servers, another one than before: it is read with [`LvsFx::Read`](crate::effect::LvsFx::Read).
    /// Not told where there never were any. Of a reload: after [`GuardEv::Config`].
    Offered,
    /// The next parts of it, at least one; the last one is [`Part::End`]. The error is for people: no more of it can be read.
    Config(Result<Vec<Part>, Box<str>>),
    /// Answer to [`LvsFx::Open`](crate::effect::LvsFx::Open). ENOENT: the kernel has no IPVS, or its module is not loaded.
    Opened(Result<(), Errno>),
    /// What a dump has, in the order of the kernel.
    Found(Vec<Message>),
    /// A dump has ended; `false`: without some of it.
    Synced {
        /// False: the dump lacks some of the table.
        complete: bool,
    },
    /// Answer to [`LvsFx::Change`](crate::effect::LvsFx::Change).
    Reply {
        /// Number of the request, as in the change.
        req: ReqId,
        /// Success, or the errno of the kernel.
        result: Result<(), Errno>,
    },
    /// Health checks may have so many connections at a time: fewer than [`CONNECTIONS`](crate::lvs::check::CONNECTIONS), because of the limit
    /// of open files.
    Room(usize),
}

/// From the line to the guard.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub enum GuardEv {
    /// A configuration was compiled and checked: make it so. Answered by [`GuardFx::Reloaded`](crate::effect::GuardFx::Reloaded).
    Config(Box<Config>),
    /// A program ended with all it left behind in its process group; its name is dead.
    ChildExit {
        /// Key of the program, as in [`GuardFx::Spawn`](crate::effect::GuardFx::Spawn).
        child: ChildKey,
        /// Exit code, signal or failure to start.
        end: ChildEnd,
    },
    /// Another process takes over: nothing new is begun, what is armed leaves. Answered by
    /// [`GuardFx::Frozen`](crate::effect::GuardFx::Frozen).
    Freeze,
    /// To a frozen world, when asked ([`GuardFx::LookForSuccessor`](crate::effect::GuardFx::LookForSuccessor)) or as soon as it is known.
    Successor {
        /// Whether another process is in charge of what this one held.
        in_charge: bool,
    },
    /// To a world made with [`World::standby`](crate::world::World::standby): begin. With a snapshot of the process before, if that one
    /// checks; `dead_since` is when that process armed its last advert or was last known to be alive.
    Go {
        /// What the process before knew.
        snapshot: Option<Box<Snapshot>>,
        /// Since when nobody speaks for us; `None`: the process before froze and its armed adverts still leave.
        dead_since: Option<Instant>,
    },
}

/// From the line to the helper.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub enum HelperEv<'a> {
    /// A watched file has this content: once at the beginning, then after each change.
    FileRead {
        /// Name of the watch.
        watch: WatchKey,
        /// Its first bytes, at most 32; or why it cannot be read (ENOENT: it is not there).
        #[serde(with = "crate::octets::result")]
        result: Result<&'a [u8], Errno>,
    },
    /// So many processes match: once at the beginning, then after each change.
    Processes {
        /// Name of the watch.
        watch: WatchKey,
        /// How many; or why that cannot be told (it is tried again, and told when it can).
        result: Result<u32, Errno>,
    },
    /// Answer to [`HelperFx::OpenFifo`](crate::effect::HelperFx::OpenFifo); and, after a write that failed with EAGAIN, that there is
    /// room again.
    FifoReady {
        /// Key of the pipe.
        fifo: FifoKey,
        /// Whether it can be written to.
        result: Result<(), Errno>,
    },
    /// Answer to [`HelperFx::WriteFifo`](crate::effect::HelperFx::WriteFifo): the whole line or nothing.
    FifoWritten {
        /// Key of the pipe.
        fifo: FifoKey,
        /// EAGAIN: the pipe is full; `FifoReady` follows.
        result: Result<(), Errno>,
    },
    /// Answer to [`HelperFx::SetKnobs`](crate::effect::HelperFx::SetKnobs).
    Knobs {
        /// Number of the job, as in the request.
        job: u64,
        /// Of those that were changed, what they were before.
        before: Vec<(Knob, u32)>,
        /// The first that could not be set.
        failed: Option<(Knob, Errno)>,
    },
    /// Answer to [`HelperFx::Lookup`](crate::effect::HelperFx::Lookup).
    Resolved {
        /// Key of the connection that the addresses are for.
        conn: ConnKey,
        /// At least one address, at most 8.
        #[serde(deserialize_with = "crate::octets::list_result")]
        result: Result<&'a [SocketAddr], Errno>,
    },
}

/// Events from nf_tables: answers, and deletions by other programs.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub enum FilterEv {
    /// Answer to [`FilterFx::Open`](crate::effect::FilterFx::Open).
    Opened(Result<(), Errno>),
    /// Answer to [`FilterFx::Tables`](crate::effect::FilterFx::Tables).
    Tables {
        /// In the order of the kernel.
        tables: Vec<Table>,
        /// Whether these are all tables.
        complete: bool,
    },
    /// Somebody else deleted a table of this name, or something in it. Told of the names that were put in force.
    Deleted {
        /// Name of the table.
        table: String,
    },
    /// Messages were lost.
    Lost,
    /// Answer to [`FilterFx::Change`](crate::effect::FilterFx::Change).
    Reply {
        /// Number of the request, as in the change.
        req: ReqId,
        /// Success, or the errno of the kernel.
        result: Result<(), Errno>,
    },
}

/// From the sockets of BFD.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub enum BfdEv<'a> {
    /// A UDP payload.
    Datagram {
        /// The port that received it.
        port: BfdPort,
        /// Source address of the packet.
        src: IpAddr,
        /// The destination of the packet.
        dst: Option<IpAddr>,
        /// TTL or hop limit on arrival.
        ttl: Option<u8>,
        /// How long before this turn it arrived, at most [`LONGEST_AGE`].
        age: Duration,
        /// The BFD control packet, without headers. Not verified.
        #[serde(with = "crate::octets")]
        bytes: Octets<'a>,
    },
    /// Answer to [`BfdFx::Listen`](crate::effect::BfdFx::Listen).
    Listening {
        /// The port, as in the request.
        port: BfdPort,
        /// Success, or why the port does not receive.
        result: Result<(), Errno>,
    },
    /// A port that received stopped receiving for good; it is closed already.
    Lost {
        /// The port that receives no more.
        port: BfdPort,
        /// Why it stopped receiving.
        errno: Errno,
    },
    /// Answer to [`BfdFx::Open`](crate::effect::BfdFx::Open).
    Ready {
        /// Key of the session.
        session: BfdKey,
        /// Whether it can send now.
        result: Result<(), Errno>,
    },
    /// A packet did not leave. Success is not reported.
    SendFailed {
        /// Key of the session.
        session: BfdKey,
        /// Why the packet was not sent.
        errno: Errno,
    },
}

/// Every input, by the service it comes from.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub enum Event<'a> {
    /// First event of all: open what is needed, ask for the kernel's state.
    Start,
    /// The daemon received SIGTERM, SIGINT or SIGHUP.
    Signal(Signal),
    /// From the VRRP sockets.
    Sock(SockEv<'a>),
    /// From the adverts.
    Advert(AdvertEv<'a>),
    /// Answer to [`Effect::Frames`](crate::effect::Effect::Frames), as soon as there is room for more.
    Frames {
        /// Out of which interface.
        ifindex: u32,
        /// Number of the slice, as in [`Effect::Frames`](crate::effect::Effect::Frames).
        batch: u64,
        /// So many of it left, from the first on; the others were not sent and will not be.
        sent: usize,
        /// Why the next one was not sent. `None`, and not all left: there was no room.
        errno: Option<Errno>,
    },
    /// From rtnetlink.
    Net(NetEv),
    /// From the line to the guard.
    Guard(GuardEv),
    /// From the line to the helper.
    Helper(HelperEv<'a>),
    /// From IPVS, and from the reading of virtual servers.
    Lvs(LvsEv),
    /// From nf_tables.
    Filter(FilterEv),
    /// Something happened on a stream connection.
    Conn {
        /// Key of the connection.
        conn: ConnKey,
        /// What happened: it was opened, received bytes, ended or failed.
        what: Stream<'a>,
    },
    /// From the sockets of BFD.
    Bfd(BfdEv<'a>),
}
