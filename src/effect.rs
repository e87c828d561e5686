//! The actions that the [`World`](crate::world::World) requests: all of its outputs.
//!
//! The daemon (`daemon/exec.rs`) and the simulator (`tests/sim/exec.rs`) both match this without a `_` arm. Effects of one
//! turn are applied in order. Read first: `event.rs`.

pub use crate::net::{ADDR_PROTO, AddrSpec, OwnLink, STATIC_PROTO};

use crate::config::model::Family;
use crate::config::model::vrrp::ParamMatch;
use crate::event::ReqId;
use crate::exit::ExitCode;
use crate::id::{BfdKey, ChildKey, ConnKey, FifoKey, SockKey, VrKey, WatchKey};
use crate::knob::Set;
use crate::note::Note;
use crate::route::RouteSpec;
use crate::rule::RuleSpec;
use crate::time::Instant;
use crate::wire::netlink::ipvs::{Act, Destination, DestinationKey, Service, ServiceKey, SyncDaemon, Timeouts};
use crate::wire::netlink::nft::Ruleset;
use bytes::Bytes;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// A raw VRRP socket, of protocol 112, or of 51 with an Authentication Header: what it receives, and where it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum SockSpec {
    /// Receives what is sent to a group on one interface, and sends there.
    Multicast {
        /// Interface to bind to and to join the group on.
        ifindex: u32,
        /// Multicast group; its family is the socket's.
        group: IpAddr,
        /// Of protocol 51 instead of 112: adverts with an Authentication Header.
        #[serde(default)]
        ah: bool,
    },
    /// Receives what is sent to an address of this host through any interface; routes decide through which one it sends.
    Unicast {
        /// The address; its family is the socket's.
        local: IpAddr,
        /// Interface to bind to; 0: none. A link-local IPv6 address means nothing without one.
        ifindex: u32,
        /// Of protocol 51 instead of 112: adverts with an Authentication Header.
        #[serde(default)]
        ah: bool,
    },
}

impl SockSpec {
    /// IPv4 or IPv6, by its address.
    pub fn family(&self) -> Family {
        Family::of(&self.address())
    }
    /// The destination of what it receives.
    pub fn address(&self) -> IpAddr {
        match self {
            SockSpec::Multicast { group, .. } => *group,
            SockSpec::Unicast { local, .. } => *local,
        }
    }
    /// The interface it is bound to.
    pub fn ifindex(&self) -> Option<u32> {
        match self {
            SockSpec::Multicast { ifindex, .. } => Some(*ifindex),
            SockSpec::Unicast { ifindex, .. } => Some(*ifindex).filter(|i| *i != 0),
        }
    }
    /// Whether it is for adverts with an Authentication Header.
    pub fn is_ah(&self) -> bool {
        let (SockSpec::Multicast { ah, .. } | SockSpec::Unicast { ah, .. }) = self;
        *ah
    }
    /// Whether it is for unicast peers.
    pub fn is_unicast(&self) -> bool {
        matches!(self, SockSpec::Unicast { .. })
    }
}

/// A whole IP packet and its destination.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Packet {
    /// Destination, as in the packet.
    pub to: IpAddr,
    /// The whole packet from the IP header on, for IPv4 and IPv6.
    pub bytes: Bytes,
    /// Source Ethernet address, also where the socket's interface has another one; only to a group. `None`: the interface's own.
    #[serde(default)]
    pub from: Option<[u8; 6]>,
}

/// One advert: a packet for each destination. At least one; at most
/// [`MAX_PEERS`](crate::config::model::vrrp::MAX_PEERS).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Packets(Arc<[Packet]>);

impl Packets {
    /// An advert for one destination, in `bytes` from the IP header on.
    pub fn one(to: IpAddr, bytes: Bytes) -> Packets {
        Packets::one_from(None, to, bytes)
    }
    /// The same, from another Ethernet address than the interface's own.
    pub fn one_from(from: Option<[u8; 6]>, to: IpAddr, bytes: Bytes) -> Packets {
        Packets(Arc::new([Packet { to, bytes, from }]))
    }
    /// For several; `None` for an empty list.
    pub fn of(list: Vec<Packet>) -> Option<Packets> {
        (!list.is_empty()).then(|| Packets(list.into()))
    }
}

impl core::ops::Deref for Packets {
    type Target = [Packet];
    fn deref(&self) -> &[Packet] {
        &self.0
    }
}

/// A change to the kernel's state.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum NetOp {
    /// Add with its tag, IPv6 without duplicate address detection; replaces an equal one.
    AddrAdd(AddrSpec),
    /// Delete the address with this interface, address and prefix length.
    AddrDel(AddrSpec),
    /// Add a route; EEXIST where exactly this one is there.
    RouteAdd(Box<RouteSpec>),
    /// Delete exactly this route.
    RouteDel(Box<RouteSpec>),
    /// Delete the first and add the second, in one go; the answer is that of the addition.
    RouteChange(Box<RouteSpec>, Box<RouteSpec>),
    /// Add a policy rule; EEXIST where the same one is there.
    RuleAdd(Box<RuleSpec>),
    /// Delete exactly this rule; ENOENT where it is not there.
    RuleDel(Box<RuleSpec>),
    /// Make an interface; EEXIST where one of that name is there.
    LinkAdd(Box<OwnLink>),
    /// Take an interface up or down.
    LinkSet {
        /// Index of the interface.
        ifindex: u32,
        /// Whether the interface is taken up (`IFF_UP`) or down.
        up: bool,
        /// Give it kalived's alias, too, and this group (`IFLA_GROUP`); `None`: it has the alias, or is not kalived's.
        tag: Option<u32>,
    },
    /// Delete an interface.
    LinkDel {
        /// Index of the interface.
        ifindex: u32,
    },
}

/// The value of a group id that means "no group".
pub const NO_GROUP: u32 = u32::MAX;

/// A program to run: in a session of its own, with only fds 0, 1 and 2 (on /dev/null), default signals, no privilege but
/// what its user has.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SpawnSpec {
    /// Program (absolute, or looked up in PATH where it has no slash) and arguments; at least the program.
    pub argv: Vec<String>,
    /// Variables on top of the clean environment (PATH, HOME and what else a service has; never LD_*, IFS).
    pub env: Vec<(String, String)>,
    /// User id that the program runs as.
    pub uid: u32,
    /// Group id, also the only supplementary group.
    pub gid: u32,
    /// It is not started before another program with the same arguments has ended, which a predecessor of this process may have
    /// left. For the reader of a pipe: two readers would share its lines.
    pub alone: bool,
}

/// The processes that a `track_process` or a `vrrp_check` counts, by the words of their command lines.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ProcessSpec {
    /// Program and parameters as written.
    pub argv: Vec<String>,
    /// How the words after the program's name are compared.
    pub param_match: ParamMatch,
    /// The whole command line is compared instead of `comm` (15 bytes).
    pub full_command: bool,
}

/// The address that a connection is opened to, and its transport protocol.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Peer {
    /// A TCP connection to this address and port.
    Tcp(SocketAddr),
    /// A unix stream socket by path, at most 107 bytes.
    Unix(String),
    /// UDP: each write is a datagram and so is each [`Stream::Data`](crate::event::Stream::Data); `Connected` at once.
    Udp(SocketAddr),
    /// ICMP messages to and from a host; as `Udp`. What is received over IPv4 begins with its IP header.
    Ping(IpAddr),
}

/// How a connection is opened, where that is not left to the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Way {
    /// Address it comes from; port 0: any.
    pub source: Option<SocketAddr>,
    /// Interface it goes through.
    pub device: Option<Box<str>>,
    /// Mark of its packets; 0: none.
    pub mark: u32,
    /// Nothing is sent on it: it is closed as soon as it is open, and `Connected` is its last event.
    pub only: bool,
    /// TLS over TCP: `Connected` when its handshake is over; the bytes written and received are those inside TLS.
    pub tls: Option<Tls>,
}

/// The options of a TLS handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Tls {
    /// Name of the server in the handshake (SNI), and with `verify` in its certificate; `None`: its address.
    pub name: Option<Box<str>>,
    /// Its certificate must be valid.
    #[serde(default)]
    pub verify: bool,
    /// The end of the connection is announced to the server (`close_notify`).
    #[serde(default)]
    pub says_end: bool,
}

/// What became of a reload.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Reloaded {
    /// One line of text: what was kept, altered, added and removed; or why nothing was done.
    pub text: String,
    /// Whether the new configuration is in force.
    pub done: bool,
}

/// Effects for the VRRP sockets: open, close, and what else they receive.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub enum SockFx {
    /// Open a socket; answered by [`SockEv::Ready`](crate::event::SockEv::Ready).
    Open {
        /// Key of the socket, chosen by the world.
        sock: SockKey,
        /// What it receives, and where it sends.
        spec: SockSpec,
    },
    /// Close it; no event of it follows. Adverts still armed on it are cancelled.
    Close {
        /// Key of the socket.
        sock: SockKey,
    },
    /// Also receive, on an IPv4 socket, adverts from these addresses although this host has them; an empty list ends that. Replaces the
    /// request before. They come as [`SockEv::LocalDatagram`](crate::event::SockEv::LocalDatagram).
    HearLocal {
        /// Key of the IPv4 socket.
        sock: SockKey,
        /// IPv4 addresses of this host that adverts are accepted from.
        sources: Vec<Ipv4Addr>,
    },
    /// Send multicast adverts by a socket that is not connected to the group from now on: errors that other hosts report do not reach it.
    Unconnect {
        /// Key of the socket, a multicast one.
        sock: SockKey,
    },
}

/// Effects for adverts: send, arm and stop.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub enum AdvertFx {
    /// Send an advert now. Answered by [`AdvertEv::SendFailed`](crate::event::AdvertEv::SendFailed) when no packet of it could be sent.
    Send {
        /// Key of the virtual router that sends it.
        vr: VrKey,
        /// Key of the socket that it leaves by.
        sock: SockKey,
        /// One packet for each destination.
        packets: Packets,
    },
    /// Arm an advert: the kernel sends it at `at`, also while the loop is busy. Answered by one
    /// [`AdvertEv::Sent`](crate::event::AdvertEv::Sent).
    At {
        /// Key of the virtual router that sends it.
        vr: VrKey,
        /// Key of the socket that it leaves by.
        sock: SockKey,
        /// Tells adverts armed before a [`AdvertFx::Stop`] from those after it; given back in the answer.
        epoch: u32,
        /// When. Adverts with an equal time share one kernel timer.
        at: Instant,
        /// One packet for each destination.
        packets: Packets,
    },
    /// Cancel every armed advert of `vr`; then, in the same hard-linked submission, send `farewell` (priority 0).
    Stop {
        /// Key of the virtual router that stops.
        vr: VrKey,
        /// Key of the socket that the farewell leaves by.
        sock: SockKey,
        /// The last packets on the wire, one for each destination, if any.
        farewell: Option<Packets>,
    },
}

/// Effects for rtnetlink: changes of interfaces, addresses, routes and rules, and dumps.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub enum NetFx {
    /// Change the kernel's state; answered by [`NetEv::Reply`](crate::event::NetEv::Reply). Those of one turn travel in one netlink send.
    Change {
        /// Name of the request.
        req: ReqId,
        /// The change of an interface, address, route or rule.
        op: NetOp,
    },
    /// Dump links and addresses: `DumpBegin`, `LinkNew`…, `AddrNew`…, `Synced`.
    Resync,
    /// From now on report kalived's policy rules and routes, and dump them with the others (`RouteNew`…, `RuleNew`… before `Synced`).
    WatchRoutes,
}

/// A change to the kernel's IPVS table.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum LvsOp {
    /// A service; a deletion takes its destinations with it.
    Service(Act, ServiceKey, Box<Service>),
    /// A destination of a service.
    Destination(Act, ServiceKey, DestinationKey, Destination),
    /// Empty the whole table, entries of other programs included.
    Flush,
    /// Timeouts of connections.
    Timeouts(Timeouts),
    /// Report them as [`Message::Timeouts`](crate::wire::netlink::ipvs::Message), before the answer.
    AskTimeouts,
    /// One half of connection synchronisation starts (`true`) or stops.
    Sync(bool, Box<SyncDaemon>),
}

/// Of LVS: its configuration, and the kernel's IPVS table.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub enum LvsFx {
    /// Read the next parts of the configuration; answered by [`LvsEv::Config`](crate::event::LvsEv::Config). The first request after
    /// [`LvsEv::Offered`](crate::event::LvsEv::Offered) begins at its beginning.
    Read,
    /// Open the socket if it is not open, and ask for the family; answered by [`LvsEv::Opened`](crate::event::LvsEv::Opened).
    Open,
    /// Change the table; answered by [`LvsEv::Reply`](crate::event::LvsEv::Reply).
    Change {
        /// Name of the request.
        req: ReqId,
        /// The change of a service, of a destination or of the whole table.
        op: LvsOp,
    },
    /// Dump all services, or the destinations of one: [`LvsEv::Found`](crate::event::LvsEv::Found)…, then
    /// [`LvsEv::Synced`](crate::event::LvsEv::Synced). One at a time.
    Dump(Option<ServiceKey>),
    /// Dump all services, then the threads of connection synchronisation.
    DumpWithSync,
}

/// A change of the filter: one transaction.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum FilterOp {
    /// Put this ruleset in force, in place of any table of its name; delete the tables with the other names.
    Put(Arc<Ruleset>, Vec<String>),
    /// Delete the tables with these names.
    Remove(Vec<String>),
}

/// Effects for nf_tables: the tables of the filter and of packet marks.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub enum FilterFx {
    /// Open the socket if it is not open; answered by [`FilterEv::Opened`](crate::event::FilterEv::Opened).
    Open,
    /// List the tables; answered by [`FilterEv::Tables`](crate::event::FilterEv::Tables).
    Tables,
    /// Change the filter; answered by [`FilterEv::Reply`](crate::event::FilterEv::Reply).
    Change {
        /// Name of the request.
        req: ReqId,
        /// The table to replace or to delete.
        op: FilterOp,
    },
}

/// Of the line to the guard.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub enum GuardFx {
    /// Run a program; answered by [`GuardEv::ChildExit`](crate::event::GuardEv::ChildExit), also when it could not be started.
    Spawn {
        /// Key of the program, chosen by the world and returned in the answer.
        child: ChildKey,
        /// The program, its arguments and its user.
        spec: Box<SpawnSpec>,
    },
    /// Signal a program's process group: SIGTERM, or with `hard` SIGKILL. `ChildExit` follows when it is gone.
    Kill {
        /// Key of the program.
        child: ChildKey,
        /// True: SIGKILL. False: SIGTERM.
        hard: bool,
    },
    /// Ask for a reload: another process reads and compiles the configuration; `Config` follows if it is valid.
    Compile,
    /// Answer to [`GuardEv::Config`](crate::event::GuardEv::Config).
    Reloaded(Box<Reloaded>),
    /// A world in standby has read the kernel's state and opened its sockets: from now on it acts on `Go` at once. Sent once, and not
    /// when `Go` came before.
    StandingBy,
    /// Answer to `Freeze`: everything that can be armed is armed. The daemon takes the last snapshot and lets the armed adverts leave;
    /// [`Effect::Exit`] follows when no address is in custody any more.
    Frozen,
    /// Of a frozen world: ask whether a successor is in charge; answered by [`GuardEv::Successor`](crate::event::GuardEv::Successor).
    LookForSuccessor,
}

/// Of the line to the helper.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub enum HelperFx {
    /// Watch a file; answered by [`HelperEv::FileRead`](crate::event::HelperEv::FileRead), now and after each change.
    WatchFile {
        /// Key of the watch, chosen by the world.
        watch: WatchKey,
        /// Absolute path of the file.
        path: String,
    },
    /// Count processes; answered by [`HelperEv::Processes`](crate::event::HelperEv::Processes), now and after each change.
    WatchProcesses {
        /// Key of the watch, chosen by the world.
        watch: WatchKey,
        /// The processes that are counted.
        spec: Box<ProcessSpec>,
    },
    /// End this watch.
    Unwatch {
        /// Key of the watch.
        watch: WatchKey,
    },
    /// Make a named pipe if it is not there, open it without a reader; answered by
    /// [`HelperEv::FifoReady`](crate::event::HelperEv::FifoReady).
    OpenFifo {
        /// Key of the pipe, chosen by the world.
        fifo: FifoKey,
        /// Absolute path of the pipe.
        path: String,
        /// User id that owns the pipe.
        uid: u32,
        /// Group, which may read it; [`NO_GROUP`]: only the owner reads.
        gid: u32,
    },
    /// Write one line, at most 4,096 bytes (PIPE_BUF), at once or not at all; answered by
    /// [`HelperEv::FifoWritten`](crate::event::HelperEv::FifoWritten). One at a time.
    WriteFifo {
        /// Key of the pipe.
        fifo: FifoKey,
        /// With its newline.
        line: Bytes,
    },
    /// Close it, and remove it if kalived made it.
    CloseFifo {
        /// Key of the pipe.
        fifo: FifoKey,
    },
    /// Set sysctls of an interface; answered by [`HelperEv::Knobs`](crate::event::HelperEv::Knobs). Jobs are done in their order.
    SetKnobs {
        /// Number of the job, returned in the answer.
        job: u64,
        /// Name of the interface.
        dev: String,
        /// Sysctls and their values.
        set: Vec<Set>,
    },
    /// Addresses of a host name, off the loop; answered by [`HelperEv::Resolved`](crate::event::HelperEv::Resolved).
    Lookup {
        /// Key of the connection that the addresses are for.
        conn: ConnKey,
        /// Name or address.
        host: String,
        /// Port, as part of the addresses in the answer.
        port: u16,
    },
}

/// Effects for stream connections: open, write and close.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub enum ConnFx {
    /// Open a connection; answered by [`Event::Conn`](crate::event::Event::Conn).
    Connect {
        /// Key of the connection, chosen by the world.
        conn: ConnKey,
        /// The address, port and protocol to connect to.
        to: Peer,
        /// How; `None`: the kernel decides.
        way: Option<Box<Way>>,
    },
    /// Send all of these bytes, after those before. A failure is reported as [`Stream::Failed`](crate::event::Stream::Failed).
    Write {
        /// Key of the connection.
        conn: ConnKey,
        /// The bytes, sent in order.
        bytes: Bytes,
    },
    /// Close it; no event of it, or of a look-up for it, follows.
    Close {
        /// Key of the connection.
        conn: ConnKey,
    },
}

/// A UDP port that BFD packets are received on, of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct BfdPort {
    /// True: IPv6. False: IPv4.
    pub v6: bool,
    /// Multihop BFD (RFC 5883) in place of single-hop BFD (RFC 5881).
    pub multihop: bool,
}

impl BfdPort {
    /// Its number (RFC 5881 §4, RFC 5883 §5).
    pub fn number(self) -> u16 {
        if self.multihop { 4784 } else { 3784 }
    }
}

/// What a BFD session sends from and to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct BfdSpec {
    /// Source address; `None`: the kernel chooses it.
    pub source: Option<IpAddr>,
    /// Source port; the next ones are tried where another program has it.
    pub port: u16,
    /// Destination, at the port of `multihop`.
    pub to: IpAddr,
    /// Multihop BFD: packets go to port 4784 in place of 3784.
    pub multihop: bool,
    /// TTL or hop limit of its packets.
    pub ttl: u8,
}

/// Of the sockets of BFD.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub enum BfdFx {
    /// Receive on a port; answered by [`BfdEv::Listening`](crate::event::BfdEv::Listening).
    Listen(BfdPort),
    /// Receive there no more.
    Quit(BfdPort),
    /// Open the sending socket of a session; answered by [`BfdEv::Ready`](crate::event::BfdEv::Ready).
    Open {
        /// Key of the session.
        session: BfdKey,
        /// Source, destination and TTL of its packets.
        spec: BfdSpec,
    },
    /// Send a packet, behind the adverts of the turn.
    Send {
        /// Key of the session.
        session: BfdKey,
        /// The BFD control packet, without headers.
        bytes: Bytes,
    },
    /// Close the sending socket, after what was sent before.
    Close {
        /// Key of the session.
        session: BfdKey,
    },
}

/// Every output, by the service that does it.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub enum Effect {
    /// For the VRRP sockets.
    Sock(SockFx),
    /// For the adverts.
    Advert(AdvertFx),
    /// Send whole Ethernet frames (gratuitous ARP, unsolicited NA), in order, behind the adverts of the turn; answered by
    /// [`Event::Frames`](crate::event::Event::Frames).
    Frames {
        /// Out of which interface.
        ifindex: u32,
        /// Name of the slice, given back in the answer.
        batch: u64,
        /// From the destination MAC on.
        frames: Vec<Bytes>,
    },
    /// For rtnetlink.
    Net(NetFx),
    /// Of the line to the guard.
    Guard(GuardFx),
    /// Of the line to the helper.
    Helper(HelperFx),
    /// For stream connections.
    Conn(ConnFx),
    /// For IPVS, and the reading of virtual servers from the configuration image.
    Lvs(LvsFx),
    /// For nf_tables.
    Filter(FilterFx),
    /// Write to the log.
    Note(Note),
    /// End the process once everything before this is done.
    Exit(ExitCode),
    /// Of the sockets of BFD.
    Bfd(BfdFx),
}

/// The effects of one turn, in order.
#[derive(Debug, Default)]
pub struct Effects(Vec<Effect>);

impl Effects {
    /// Appends an effect to those of the turn.
    pub fn push(&mut self, e: Effect) {
        self.0.push(e);
    }
    /// Appends a line for the log.
    pub fn note(&mut self, n: Note) {
        self.0.push(Effect::Note(n));
    }
    /// Takes all, in order; the storage is kept.
    pub fn drain(&mut self) -> impl Iterator<Item = Effect> + '_ {
        self.0.drain(..)
    }
    /// The effects so far, without taking them.
    pub fn iter(&self) -> impl Iterator<Item = &Effect> {
        self.0.iter()
    }
    /// The effects behind the first `before`.
    pub fn since(&self, before: usize) -> &[Effect] {
        self.0.get(before..).unwrap_or_default()
    }
    /// The number of effects that were not taken yet.
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// Whether every effect was taken.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
