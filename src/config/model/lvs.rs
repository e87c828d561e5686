//! `virtual_server`, `real_server`, `virtual_server_group`, `SSL`. Read first: `setting.rs`, `check.rs`.

use super::Place;
use super::check::{Check, Pace};
use super::setting::{Script, Secret, block, choice};
use core::net::IpAddr;
use core::time::Duration;
use serde::{Deserialize, Serialize};

choice! {
    /// Schedulers of the kernel.
    pub enum Scheduler {
        Rr = "rr", Wrr = "wrr", Lc = "lc", Wlc = "wlc", Lblc = "lblc", Lblcr = "lblcr", Sh = "sh", Mh = "mh", Dh = "dh",
        Fo = "fo", Ovf = "ovf", Sed = "sed", Nq = "nq", Twos = "twos",
    }
}

choice! {
    /// Transport of a service.
    pub enum Protocol { Tcp = "TCP", Udp = "UDP", Sctp = "SCTP" }
}

choice! {
    /// Family of a service without an address.
    pub enum IpFamily { Inet = "inet", Inet6 = "inet6" }
}

/// How packets are forwarded to a real server; default NAT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // the words of `lb_kind`
pub enum Method {
    #[default]
    Nat,
    Dr,
    Tun(Tunnel),
}

/// `type` of TUN: the encapsulation of forwarded packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tunnel {
    /// IP in IP.
    #[default]
    Ipip,
    /// To that port.
    Gue(u16, Checksum),
    /// GRE; no remote checksum offload.
    Gre(Checksum),
}

/// Checksum of a tunnel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // nocsum, csum, remcsum
pub enum Checksum {
    #[default]
    None,
    Csum,
    Remote,
}

/// What a service is known by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Service {
    /// Address and port; 0: any.
    Address(IpAddr, u16),
    /// Packets with this mark.
    Mark(u32),
    /// All members of that `virtual_server_group`.
    Group(Box<str>),
}

impl Default for Service {
    fn default() -> Self {
        Service::Mark(0)
    }
}

/// One line of a `virtual_server_group`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GroupEntry {
    /// First address, how many follow it, port (0: any).
    Range(IpAddr, u32, u16),
    /// Packets with this mark, and the family where it is given.
    Mark(u32, Option<IpFamily>),
}

/// One `virtual_server_group`: addresses and marks that a virtual server serves together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerGroup {
    /// Its name, by which a `virtual_server` refers to it.
    pub name: Box<str>,
    /// The lines of the group, in file order.
    pub entries: Vec<GroupEntry>,
}

/// What TLS of checks is made of, read where the file is compiled: the loop opens no file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pem {
    /// Certificates of those who may vouch for a server (`verify`): those of `ca`, else the system's. Empty: there are none.
    pub ca: Box<str>,
    /// `certificate`, which is shown to servers that ask for one.
    pub certificate: Box<str>,
    /// `key`, that of this certificate.
    pub key: Secret,
}

block! {
    /// `SSL`: the certificates and the key of SSL_GET.
    pub struct Ssl {
        /// Content of its files.
        #[serde(default)]
        pub pem: Box<Pem>,
        pub password: Option<Secret> => "password",
        pub ca: Option<Box<str>> => "ca",
        pub certificate: Option<Box<str>> => "certificate",
        pub key: Option<Box<str>> => "key",
    }
}

block! {
    /// One `virtual_server`: a service, its real servers and the settings that they share.
    pub struct VirtualServer {
        /// Address, mark or group.
        pub service: Service,
        /// Position of the block in the file.
        pub place: Place,
        pub ip_family: Option<IpFamily> => "ip_family",
        /// Defaults of the checks.
        pub pace: Pace,
        pub connect_timeout: Option<Duration> => "connect_timeout",
        pub scheduler: Scheduler = Scheduler::Wlc => "lb_algo" | "lvs_sched",
        /// `flag-1` to `flag-3` as the bits 1, 2, 4; also `sh-port`, `sh-fallback`, `mh-port`, `mh-fallback`.
        pub flags: u8,
        pub hashed: bool => "hashed",
        pub ops: bool => "ops",
        /// `lb_kind`, or `lvs_method`: the forwarding of real servers that name none; default NAT.
        pub method: Method,
        pub persistence_engine: Option<Box<str>> => "persistence_engine",
        pub persistence_timeout: u32 => "persistence_timeout",
        /// `persistence_granularity`: an IPv4 mask or an IPv6 prefix length; `None`: whole addresses.
        pub granularity: Option<u32>,
        pub protocol: Option<Protocol> => "protocol",
        pub ha_suspend: bool => "ha_suspend",
        pub inhibit_on_failure: bool => "inhibit_on_failure",
        pub smtp_alert: Option<bool> => "smtp_alert",
        pub virtualhost: Option<Box<str>> => "virtualhost",
        pub snmp_name: Option<Box<str>> => "snmp_name",
        pub omega: bool => "omega",
        pub quorum_up: Option<Box<Script>> => "quorum_up",
        pub quorum_down: Option<Box<Script>> => "quorum_down",
        pub quorum: u32 = 1 => "quorum",
        pub hysteresis: u32 => "hysteresis",
        pub weight: i32 = 1 => "weight",
        pub panic_threshold: u8 => "panic_threshold",
        pub slow_start: Duration => "slow_start",
        /// `sorry_server`: the server in charge without a quorum.
        pub sorry: Option<Box<Sorry>>,
        /// The real servers, in file order.
        pub real_servers: Vec<RealServer>,
    }
}

impl Protocol {
    /// The word for it in messages and in the names of servers.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        }
    }
}

impl VirtualServer {
    /// Its name in `track_virtual_server`: that of the log where that is one word.
    pub fn track_name(&self) -> String {
        match &self.service {
            Service::Address(addr, port) => format!("[{addr}]:{}:{port}", self.protocol.map_or("none", Protocol::name)),
            Service::Mark(mark) => format!("fwmark:{mark}"),
            Service::Group(name) => format!("group:{name}"),
        }
    }
}

/// `sorry_server` and what follows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sorry {
    /// Its address, of either family.
    pub addr: IpAddr,
    /// Its port; the service's where none is given.
    pub port: u16,
    /// `sorry_server_inhibit`: it stays in the kernel's table with weight 0 while it is not needed.
    pub inhibit: bool,
    /// `sorry_server_lvs_method`; default that of the virtual server.
    pub method: Method,
}

block! {
    /// One server of a pool. `None`: the virtual server's.
    pub struct RealServer {
        /// The address that packets are forwarded to; its checks connect to it unless they name another one.
        pub addr: IpAddr = IpAddr::V4(core::net::Ipv4Addr::UNSPECIFIED),
        /// Its port; the service's where none is given.
        pub port: u16,
        /// The port in the file, where another one is used because only NAT can change it: the checks connect to this one.
        #[serde(default)]
        pub written_port: Option<u16>,
        pub weight: Option<i32> => "weight",
        /// `lvs_method`; `None`: that of the virtual server.
        pub method: Option<Method>,
        pub uthreshold: u32 => "uthreshold",
        pub lthreshold: u32 => "lthreshold",
        /// Defaults of its checks.
        pub pace: Pace,
        pub connect_timeout: Option<Duration> => "connect_timeout",
        pub inhibit_on_failure: Option<bool> => "inhibit_on_failure",
        pub smtp_alert: Option<bool> => "smtp_alert",
        pub virtualhost: Option<Box<str>> => "virtualhost",
        pub snmp_name: Option<Box<str>> => "snmp_name",
        pub notify_up: Option<Box<Script>> => "notify_up",
        pub notify_down: Option<Box<Script>> => "notify_down",
        /// The health checks. The server is up while all of them succeed.
        pub checks: Vec<Check>,
    }
}

/// Real servers of a [`Part`]: a part is read, and made so, in one turn.
pub const PART_SERVERS: usize = 16;

/// What of a configuration concerns LVS, piece by piece: the loop takes it in over many turns, for there may be tens of thousands of
/// real servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// `SSL`; the first part, if there is one.
    Ssl(Box<Ssl>),
    /// A `virtual_server_group`. All come before the first virtual server.
    Group(ServerGroup),
    /// A `virtual_server` without its real servers, which follow.
    Server(Box<VirtualServer>),
    /// More real servers of the virtual server before, at most [`PART_SERVERS`].
    Reals(Vec<RealServer>),
    /// That was all of it.
    End,
    /// Marks that the file uses, at most [`PART_MARKS`]: before the first virtual server, where there are groups.
    Marks(Vec<u32>),
}

impl VirtualServer {
    // Without its real servers.
    fn bare(&self) -> VirtualServer {
        // There may be thousands: they are not copied to be dropped.
        let VirtualServer {
            service,
            place,
            ip_family,
            pace,
            connect_timeout,
            scheduler,
            flags,
            hashed,
            ops,
            method,
            persistence_engine,
            persistence_timeout,
            granularity,
            protocol,
            ha_suspend,
            inhibit_on_failure,
            smtp_alert,
            virtualhost,
            snmp_name,
            omega,
            quorum_up,
            quorum_down,
            quorum,
            hysteresis,
            weight,
            panic_threshold,
            slow_start,
            sorry,
            real_servers: _,
        } = self;
        VirtualServer {
            service: service.clone(),
            place: place.clone(),
            ip_family: *ip_family,
            pace: pace.clone(),
            connect_timeout: *connect_timeout,
            scheduler: *scheduler,
            flags: *flags,
            hashed: *hashed,
            ops: *ops,
            method: *method,
            persistence_engine: persistence_engine.clone(),
            persistence_timeout: *persistence_timeout,
            granularity: *granularity,
            protocol: *protocol,
            ha_suspend: *ha_suspend,
            inhibit_on_failure: *inhibit_on_failure,
            smtp_alert: *smtp_alert,
            virtualhost: virtualhost.clone(),
            snmp_name: snmp_name.clone(),
            omega: *omega,
            quorum_up: quorum_up.clone(),
            quorum_down: quorum_down.clone(),
            quorum: *quorum,
            hysteresis: *hysteresis,
            weight: *weight,
            panic_threshold: *panic_threshold,
            slow_start: *slow_start,
            sorry: sorry.clone(),
            real_servers: Vec::new(),
        }
    }
}

/// A [`Part`] that is written: the same bytes, without a copy of the real servers.
#[derive(Debug, Serialize)]
#[allow(missing_docs)] // as there
pub enum PartRef<'a> {
    Ssl(&'a Ssl),
    Group(&'a ServerGroup),
    Server(Box<VirtualServer>),
    Reals(&'a [RealServer]),
    End,
    Marks(Vec<u32>),
}

/// Marks of a [`Part`].
pub const PART_MARKS: usize = 1024;

// Those of virtual servers and of groups.
fn marks<'a>(groups: &'a [ServerGroup], servers: &'a [VirtualServer]) -> impl Iterator<Item = Vec<u32>> + use<'a> {
    let of_server = |vs: &VirtualServer| match vs.service {
        Service::Mark(mark) => Some(mark),
        _ => None,
    };
    let of_entry = |e: &GroupEntry| match e {
        GroupEntry::Mark(mark, _) => Some(*mark),
        GroupEntry::Range(..) => None,
    };
    let servers = if groups.is_empty() { &[] } else { servers };
    let of_groups = groups.iter().flat_map(|g| &g.entries).filter_map(of_entry);
    let mut all = servers.iter().filter_map(of_server).chain(of_groups);
    core::iter::from_fn(move || {
        Some(all.by_ref().take(PART_MARKS).collect::<Vec<u32>>()).filter(|some| !some.is_empty())
    })
}

/// As [`parts`], to be written.
pub fn parts_ref<'a>(
    ssl: &'a Option<Ssl>,
    groups: &'a [ServerGroup],
    servers: &'a [VirtualServer],
) -> impl Iterator<Item = PartRef<'a>> {
    let all = servers;
    let servers = servers.iter().flat_map(|vs| {
        let reals = vs.real_servers.chunks(PART_SERVERS).map(PartRef::Reals);
        core::iter::once(PartRef::Server(Box::new(vs.bare()))).chain(reals)
    });
    let marks = marks(groups, all).map(PartRef::Marks);
    ssl.iter()
        .map(PartRef::Ssl)
        .chain(groups.iter().map(PartRef::Group))
        .chain(marks)
        .chain(servers)
        .chain([PartRef::End])
}

/// In the order in which they are read.
pub fn parts<'a>(
    ssl: &'a Option<Ssl>,
    groups: &'a [ServerGroup],
    servers: &'a [VirtualServer],
) -> impl Iterator<Item = Part> + 'a {
    let ssl = ssl.iter().map(|s| Part::Ssl(Box::new(s.clone())));
    let marks = marks(groups, servers).map(Part::Marks);
    let groups = groups.iter().map(|g| Part::Group(g.clone()));
    let servers = servers.iter().flat_map(|vs| {
        let reals = vs.real_servers.chunks(PART_SERVERS).map(|some| Part::Reals(some.to_vec()));
        core::iter::once(Part::Server(Box::new(vs.bare()))).chain(reals)
    });
    ssl.chain(groups).chain(marks).chain(servers).chain([Part::End])
}
