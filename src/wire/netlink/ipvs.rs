//! The kernel's IPVS table over generic netlink, family `IPVS`: services, destinations, sync daemons, timeouts.
//!
//! Read first: `generic.rs`. Ports are in network order, except the port of a sync daemon, which the kernel has in host order. An address
//! has 16 bytes, of which IPv4 uses the first four. A service is identified by its address family and either protocol, address and port,
//! or a firewall mark; a destination in it by address and port.

use super::generic::{put_header, put_string, read_header, string};
use super::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, attrs, put_attr, put_message, u16_at, u32_at};
use crate::wire::{Bad, array};
use bytes::BytesMut;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Name of the family.
pub const FAMILY: &str = "IPVS";
const VERSION: u8 = 1;

// <linux/ip_vs.h>
const IPVS_CMD_NEW_SERVICE: u8 = 1;
const IPVS_CMD_SET_SERVICE: u8 = 2;
const IPVS_CMD_DEL_SERVICE: u8 = 3;
const IPVS_CMD_GET_SERVICE: u8 = 4;
const IPVS_CMD_NEW_DEST: u8 = 5;
const IPVS_CMD_SET_DEST: u8 = 6;
const IPVS_CMD_DEL_DEST: u8 = 7;
const IPVS_CMD_GET_DEST: u8 = 8;
const IPVS_CMD_NEW_DAEMON: u8 = 9;
const IPVS_CMD_DEL_DAEMON: u8 = 10;
const IPVS_CMD_GET_DAEMON: u8 = 11;
const IPVS_CMD_SET_CONFIG: u8 = 12;
const IPVS_CMD_GET_CONFIG: u8 = 13;
const IPVS_CMD_FLUSH: u8 = 17;

const IPVS_CMD_ATTR_SERVICE: u16 = 1;
const IPVS_CMD_ATTR_DEST: u16 = 2;
const IPVS_CMD_ATTR_DAEMON: u16 = 3;
const IPVS_CMD_ATTR_TIMEOUT_TCP: u16 = 4;
const IPVS_CMD_ATTR_TIMEOUT_TCP_FIN: u16 = 5;
const IPVS_CMD_ATTR_TIMEOUT_UDP: u16 = 6;
const NLA_F_NESTED: u16 = 0x8000;

const IPVS_SVC_ATTR_AF: u16 = 1;
const IPVS_SVC_ATTR_PROTOCOL: u16 = 2;
const IPVS_SVC_ATTR_ADDR: u16 = 3;
const IPVS_SVC_ATTR_PORT: u16 = 4;
const IPVS_SVC_ATTR_FWMARK: u16 = 5;
const IPVS_SVC_ATTR_SCHED_NAME: u16 = 6;
const IPVS_SVC_ATTR_FLAGS: u16 = 7;
const IPVS_SVC_ATTR_TIMEOUT: u16 = 8;
const IPVS_SVC_ATTR_NETMASK: u16 = 9;
const IPVS_SVC_ATTR_PE_NAME: u16 = 11;

const IPVS_DEST_ATTR_ADDR: u16 = 1;
const IPVS_DEST_ATTR_PORT: u16 = 2;
const IPVS_DEST_ATTR_FWD_METHOD: u16 = 3;
const IPVS_DEST_ATTR_WEIGHT: u16 = 4;
const IPVS_DEST_ATTR_U_THRESH: u16 = 5;
const IPVS_DEST_ATTR_L_THRESH: u16 = 6;
const IPVS_DEST_ATTR_ACTIVE_CONNS: u16 = 7;
const IPVS_DEST_ATTR_INACT_CONNS: u16 = 8;
const IPVS_DEST_ATTR_PERSIST_CONNS: u16 = 9;
const IPVS_DEST_ATTR_ADDR_FAMILY: u16 = 11;
const IPVS_DEST_ATTR_TUN_TYPE: u16 = 13;
const IPVS_DEST_ATTR_TUN_PORT: u16 = 14;
const IPVS_DEST_ATTR_TUN_FLAGS: u16 = 15;

const IPVS_DAEMON_ATTR_STATE: u16 = 1;
const IPVS_DAEMON_ATTR_MCAST_IFN: u16 = 2;
const IPVS_DAEMON_ATTR_SYNC_ID: u16 = 3;
const IPVS_DAEMON_ATTR_SYNC_MAXLEN: u16 = 4;
const IPVS_DAEMON_ATTR_MCAST_GROUP: u16 = 5;
const IPVS_DAEMON_ATTR_MCAST_GROUP6: u16 = 6;
const IPVS_DAEMON_ATTR_MCAST_PORT: u16 = 7;
const IPVS_DAEMON_ATTR_MCAST_TTL: u16 = 8;

// <linux/socket.h>
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// `IP_VS_SVC_F_PERSISTENT`: connections of one client go to one destination.
pub const PERSISTENT: u32 = 0x1;
/// `IP_VS_SVC_F_HASHED`: the kernel's own; it says nothing about the service.
const HASHED: u32 = 0x2;
/// `IP_VS_SVC_F_ONEPACKET`: each datagram of UDP is scheduled by itself.
pub const ONE_PACKET: u32 = 0x4;
/// `IP_VS_SVC_F_SCHED1`; the two others follow it. sh and mh: 0x8 fallback, 0x10 port.
pub const SCHEDULER_FLAG: u32 = 0x8;
const FORWARDING: u32 = 0x7;
/// Longest name of a scheduler or of a persistence engine, bytes.
pub const NAME_MAX: usize = 15;

/// Transport protocol of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[allow(missing_docs)] // IPPROTO_*
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    /// The word for it in messages.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        }
    }
    /// The protocol number in IP headers (`IPPROTO_*`).
    pub fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Sctp => 132,
        }
    }
    fn of(number: u16) -> Result<Protocol, Bad> {
        match number {
            6 => Ok(Protocol::Tcp),
            17 => Ok(Protocol::Udp),
            132 => Ok(Protocol::Sctp),
            _ => Err(Bad::Value),
        }
    }
}

/// What the kernel knows a service by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum ServiceKey {
    /// Protocol, address, port; port 0: any.
    Address(Protocol, IpAddr, u16),
    /// Packets with this mark; whether of IPv6.
    Mark(u32, bool),
}

impl ServiceKey {
    /// Whether its packets are of IPv6.
    pub fn is_ipv6(&self) -> bool {
        match self {
            ServiceKey::Address(_, addr, _) => addr.is_ipv6(),
            ServiceKey::Mark(_, v6) => *v6,
        }
    }
}

/// A service as it is to be.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Service {
    /// Scheduler, at most [`NAME_MAX`] bytes.
    pub scheduler: String,
    /// [`PERSISTENT`], [`ONE_PACKET`], [`SCHEDULER_FLAG`] and the two above it.
    pub flags: u32,
    /// Persistence in seconds; 0 without.
    pub timeout: u32,
    /// The clients that are taken for one: an IPv4 mask as a number in host order, or an IPv6 prefix length.
    pub netmask: u32,
    /// Persistence engine; empty: none.
    pub engine: String,
}

/// What a destination is known by within its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct DestinationKey {
    /// Its address; of the other family than the service's only with [`Forward::Tunnel`].
    pub addr: IpAddr,
    /// Its port, in host order.
    pub port: u16,
}

/// How packets reach a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Forward {
    /// Network address translation.
    Nat,
    /// To this host itself.
    Local,
    /// In a tunnel.
    Tunnel(Tunnel),
    /// Direct routing: packets keep their destination address.
    Direct,
    /// Past IPVS (the kernel's own).
    Bypass,
}

/// The tunnel's encapsulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Tunnel {
    /// IP in IP.
    Ipip,
    /// GUE to that port, with `IP_VS_TUNNEL_ENCAP_FLAG_*`.
    Gue(u16, u16),
    /// GRE, with those flags.
    Gre(u16),
}

/// A destination as it is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Destination {
    /// How packets reach the destination.
    pub forward: Forward,
    /// 0 takes no new connections; at most 65,535 is of use.
    pub weight: u32,
    /// No new connections above so many; 0: no limit.
    pub upper: u32,
    /// New ones again below so many; 0: three quarters of `upper`.
    pub lower: u32,
}

/// Connections of a destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Connections {
    /// Established connections.
    pub active: u32,
    /// Connections in any other state.
    pub inactive: u32,
    /// Templates of persistent connections.
    pub persistent: u32,
}

/// One half of connection synchronisation.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SyncDaemon {
    /// Sends (`true`) or receives.
    pub master: bool,
    /// Interface, at most 15 bytes.
    pub interface: String,
    /// Sync id, 0..=255: a backup takes messages of its own id only; 0: of any.
    pub id: u8,
    /// Largest message, bytes; 0: the kernel decides.
    pub max_len: u16,
    /// Multicast group; `None`: 224.0.0.81.
    pub group: Option<IpAddr>,
    /// UDP port; 0: 8848.
    pub port: u16,
    /// TTL of messages; 0: 1.
    pub ttl: u8,
}

/// Timeouts in seconds; 0 leaves one as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[allow(missing_docs)] // as `ipvsadm --set`
pub struct Timeouts {
    pub tcp: u32,
    pub tcp_fin: u32,
    pub udp: u32,
}

/// One message of the family.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Message {
    /// A service of the dump.
    Service(ServiceKey, Service),
    /// A destination of the dump; the service is the one that was asked about.
    Destination(DestinationKey, Destination, Connections),
    /// The connection timeouts.
    Timeouts(Timeouts),
    /// Something we have no use for: its command.
    Other(u8),
    /// One half of connection synchronisation, with the values that the kernel uses.
    Daemon(SyncDaemon),
}

/// Add (`NEW`), change (`SET`) or delete (`DEL`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[allow(missing_docs)]
pub enum Act {
    New,
    Set,
    Delete,
}

fn request(out: &mut BytesMut, family: u16, seq: u32, command: u8, flags: u16, body: impl FnOnce(&mut BytesMut)) {
    put_message(out, family, NLM_F_REQUEST | flags, seq, |out| {
        put_header(out, command, VERSION);
        body(out);
    });
}

fn nest(out: &mut BytesMut, kind: u16, body: impl FnOnce(&mut BytesMut)) {
    let mut inner = BytesMut::new();
    body(&mut inner);
    put_attr(out, kind | NLA_F_NESTED, &inner);
}

/// Appends a change to a service; a deletion looks at the key only. Answered by an ack: EEXIST, ESRCH (no such service), ENOENT (no such
/// scheduler or engine).
pub fn service(out: &mut BytesMut, family: u16, seq: u32, act: Act, key: &ServiceKey, service: &Service) {
    let command = match act {
        Act::New => IPVS_CMD_NEW_SERVICE,
        Act::Set => IPVS_CMD_SET_SERVICE,
        Act::Delete => IPVS_CMD_DEL_SERVICE,
    };
    request(out, family, seq, command, NLM_F_ACK, |out| {
        nest(out, IPVS_CMD_ATTR_SERVICE, |out| {
            put_service_key(out, key);
            if act == Act::Delete {
                return;
            }
            put_string(out, IPVS_SVC_ATTR_SCHED_NAME, &service.scheduler);
            if !service.engine.is_empty() {
                put_string(out, IPVS_SVC_ATTR_PE_NAME, &service.engine);
            }
            // struct ip_vs_flags: flags, and which of them count.
            put_attr(out, IPVS_SVC_ATTR_FLAGS, &[service.flags, u32::MAX].map(u32::to_ne_bytes).concat());
            put_attr(out, IPVS_SVC_ATTR_TIMEOUT, &service.timeout.to_ne_bytes());
            let mask = if key.is_ipv6() { service.netmask.to_ne_bytes() } else { service.netmask.to_be_bytes() };
            put_attr(out, IPVS_SVC_ATTR_NETMASK, &mask);
        });
    });
}

/// Appends a change to a destination of a service; a deletion looks at the keys only. Answered by an ack: EEXIST, ENOENT (no such
/// destination), ESRCH (no such service), ERANGE (lower above upper), EINVAL (another family without a tunnel, a multicast address).
pub fn destination(
    out: &mut BytesMut,
    family: u16,
    seq: u32,
    act: Act,
    of: &ServiceKey,
    key: &DestinationKey,
    destination: &Destination,
) {
    let command = match act {
        Act::New => IPVS_CMD_NEW_DEST,
        Act::Set => IPVS_CMD_SET_DEST,
        Act::Delete => IPVS_CMD_DEL_DEST,
    };
    request(out, family, seq, command, NLM_F_ACK, |out| {
        nest(out, IPVS_CMD_ATTR_SERVICE, |out| put_service_key(out, of));
        nest(out, IPVS_CMD_ATTR_DEST, |out| {
            put_attr(out, IPVS_DEST_ATTR_ADDR, &sixteen(&key.addr));
            put_attr(out, IPVS_DEST_ATTR_PORT, &key.port.to_be_bytes());
            put_attr(out, IPVS_DEST_ATTR_ADDR_FAMILY, &address_family(key.addr.is_ipv6()).to_ne_bytes());
            if act == Act::Delete {
                return;
            }
            let (method, tunnel) = match destination.forward {
                Forward::Nat => (0, None),
                Forward::Local => (1, None),
                Forward::Tunnel(t) => (2, Some(t)),
                Forward::Direct => (3, None),
                Forward::Bypass => (4, None),
            };
            put_attr(out, IPVS_DEST_ATTR_FWD_METHOD, &u32::to_ne_bytes(method));
            put_attr(out, IPVS_DEST_ATTR_WEIGHT, &destination.weight.to_ne_bytes());
            put_attr(out, IPVS_DEST_ATTR_U_THRESH, &destination.upper.to_ne_bytes());
            put_attr(out, IPVS_DEST_ATTR_L_THRESH, &destination.lower.to_ne_bytes());
            match tunnel {
                None => {}
                Some(Tunnel::Ipip) => put_attr(out, IPVS_DEST_ATTR_TUN_TYPE, &[0]),
                Some(Tunnel::Gue(port, flags)) => {
                    put_attr(out, IPVS_DEST_ATTR_TUN_TYPE, &[1]);
                    put_attr(out, IPVS_DEST_ATTR_TUN_PORT, &port.to_be_bytes());
                    put_attr(out, IPVS_DEST_ATTR_TUN_FLAGS, &flags.to_ne_bytes());
                }
                Some(Tunnel::Gre(flags)) => {
                    put_attr(out, IPVS_DEST_ATTR_TUN_TYPE, &[2]);
                    put_attr(out, IPVS_DEST_ATTR_TUN_FLAGS, &flags.to_ne_bytes());
                }
            }
        });
    });
}

/// Appends a request for all services.
pub fn get_services(out: &mut BytesMut, family: u16, seq: u32) {
    request(out, family, seq, IPVS_CMD_GET_SERVICE, NLM_F_DUMP, |_| {});
}

/// Appends a request for all destinations of a service.
pub fn get_destinations(out: &mut BytesMut, family: u16, seq: u32, of: &ServiceKey) {
    request(out, family, seq, IPVS_CMD_GET_DEST, NLM_F_DUMP, |out| {
        nest(out, IPVS_CMD_ATTR_SERVICE, |out| put_service_key(out, of));
    });
}

/// Appends a request that empties the whole table, entries of other programs included.
pub fn flush(out: &mut BytesMut, family: u16, seq: u32) {
    request(out, family, seq, IPVS_CMD_FLUSH, NLM_F_ACK, |_| {});
}

/// Appends a request to start (`New`) or stop (`Delete`) one half of synchronisation. Answered by an ack: EEXIST, ESRCH (not running),
/// ENODEV, EINVAL (a destination of the other family exists).
pub fn sync_daemon(out: &mut BytesMut, family: u16, seq: u32, start: bool, daemon: &SyncDaemon) {
    let command = if start { IPVS_CMD_NEW_DAEMON } else { IPVS_CMD_DEL_DAEMON };
    request(out, family, seq, command, NLM_F_ACK, |out| {
        nest(out, IPVS_CMD_ATTR_DAEMON, |out| {
            put_attr(out, IPVS_DAEMON_ATTR_STATE, &u32::to_ne_bytes(if daemon.master { 1 } else { 2 }));
            put_string(out, IPVS_DAEMON_ATTR_MCAST_IFN, &daemon.interface);
            put_attr(out, IPVS_DAEMON_ATTR_SYNC_ID, &u32::from(daemon.id).to_ne_bytes());
            if !start {
                return;
            }
            if daemon.max_len != 0 {
                put_attr(out, IPVS_DAEMON_ATTR_SYNC_MAXLEN, &daemon.max_len.to_ne_bytes());
            }
            match daemon.group {
                Some(IpAddr::V4(g)) => put_attr(out, IPVS_DAEMON_ATTR_MCAST_GROUP, &g.octets()),
                Some(IpAddr::V6(g)) => put_attr(out, IPVS_DAEMON_ATTR_MCAST_GROUP6, &g.octets()),
                None => {}
            }
            if daemon.port != 0 {
                put_attr(out, IPVS_DAEMON_ATTR_MCAST_PORT, &daemon.port.to_ne_bytes());
            }
            if daemon.ttl != 0 {
                put_attr(out, IPVS_DAEMON_ATTR_MCAST_TTL, &[daemon.ttl]);
            }
        });
    });
}

/// Appends a request for the halves of synchronisation that run.
pub fn get_sync_daemons(out: &mut BytesMut, family: u16, seq: u32) {
    request(out, family, seq, IPVS_CMD_GET_DAEMON, NLM_F_DUMP, |_| {});
}

/// Appends a request for the timeouts.
pub fn get_timeouts(out: &mut BytesMut, family: u16, seq: u32) {
    request(out, family, seq, IPVS_CMD_GET_CONFIG, NLM_F_ACK, |_| {});
}

/// Appends a request to set the timeouts.
pub fn set_timeouts(out: &mut BytesMut, family: u16, seq: u32, timeouts: &Timeouts) {
    request(out, family, seq, IPVS_CMD_SET_CONFIG, NLM_F_ACK, |out| {
        put_attr(out, IPVS_CMD_ATTR_TIMEOUT_TCP, &timeouts.tcp.to_ne_bytes());
        put_attr(out, IPVS_CMD_ATTR_TIMEOUT_TCP_FIN, &timeouts.tcp_fin.to_ne_bytes());
        put_attr(out, IPVS_CMD_ATTR_TIMEOUT_UDP, &timeouts.udp.to_ne_bytes());
    });
}

fn put_service_key(out: &mut BytesMut, key: &ServiceKey) {
    put_attr(out, IPVS_SVC_ATTR_AF, &address_family(key.is_ipv6()).to_ne_bytes());
    match key {
        ServiceKey::Address(protocol, addr, port) => {
            put_attr(out, IPVS_SVC_ATTR_PROTOCOL, &u16::from(protocol.number()).to_ne_bytes());
            put_attr(out, IPVS_SVC_ATTR_ADDR, &sixteen(addr));
            put_attr(out, IPVS_SVC_ATTR_PORT, &port.to_be_bytes());
        }
        ServiceKey::Mark(mark, _) => put_attr(out, IPVS_SVC_ATTR_FWMARK, &mark.to_ne_bytes()),
    }
}

fn address_family(v6: bool) -> u16 {
    if v6 { AF_INET6 } else { AF_INET }
}

/// `union nf_inet_addr`: an address in 16 bytes, of which IPv4 uses the first four.
fn sixteen(addr: &IpAddr) -> [u8; 16] {
    match addr {
        IpAddr::V6(a) => a.octets(),
        IpAddr::V4(a) => {
            let mut all = [0; 16];
            all[..4].copy_from_slice(&a.octets());
            all
        }
    }
}

fn address(family: u16, value: &[u8]) -> Result<IpAddr, Bad> {
    match family {
        AF_INET => Ok(IpAddr::V4(Ipv4Addr::from(array::<4>(value, 0)?))),
        AF_INET6 => Ok(IpAddr::V6(Ipv6Addr::from(array::<16>(value, 0)?))),
        _ => Err(Bad::Value),
    }
}

/// Reads a message of the family. `of` is the service that destinations were asked about: kernels before 3.18 do not name a destination's
/// family, and it is then the service's.
///
/// # Errors
/// Lengths; a part that is missing; a value that cannot be.
pub fn read(body: &[u8], of: Option<&ServiceKey>) -> Result<Message, Bad> {
    let (command, rest) = read_header(body)?;
    let mut timeouts = Timeouts::default();
    for attr in attrs(rest) {
        match (command, attr?) {
            // What is dumped comes as the command that would make it.
            (IPVS_CMD_NEW_SERVICE, (IPVS_CMD_ATTR_SERVICE, value)) => return read_service(value),
            (IPVS_CMD_NEW_DEST, (IPVS_CMD_ATTR_DEST, value)) => {
                return read_destination(value, of.is_some_and(ServiceKey::is_ipv6));
            }
            (IPVS_CMD_NEW_DAEMON, (IPVS_CMD_ATTR_DAEMON, value)) => return read_daemon(value),
            (IPVS_CMD_SET_CONFIG, (IPVS_CMD_ATTR_TIMEOUT_TCP, value)) => timeouts.tcp = u32_at(value, 0)?,
            (IPVS_CMD_SET_CONFIG, (IPVS_CMD_ATTR_TIMEOUT_TCP_FIN, value)) => timeouts.tcp_fin = u32_at(value, 0)?,
            (IPVS_CMD_SET_CONFIG, (IPVS_CMD_ATTR_TIMEOUT_UDP, value)) => timeouts.udp = u32_at(value, 0)?,
            _ => {}
        }
    }
    match command {
        IPVS_CMD_SET_CONFIG => Ok(Message::Timeouts(timeouts)),
        IPVS_CMD_NEW_SERVICE | IPVS_CMD_NEW_DEST | IPVS_CMD_NEW_DAEMON => Err(Bad::Missing),
        other => Ok(Message::Other(other)),
    }
}

fn read_service(nest: &[u8]) -> Result<Message, Bad> {
    let (mut family, mut protocol, mut addr, mut port, mut mark) = (None, None, None, None, None);
    let mut service = Service { scheduler: String::new(), flags: 0, timeout: 0, netmask: 0, engine: String::new() };
    let mut mask: [u8; 4] = [0; 4];
    for attr in attrs(nest) {
        match attr? {
            (IPVS_SVC_ATTR_AF, value) => family = Some(u16_at(value, 0)?),
            (IPVS_SVC_ATTR_PROTOCOL, value) => protocol = Some(u16_at(value, 0)?),
            (IPVS_SVC_ATTR_ADDR, value) => addr = Some(value),
            (IPVS_SVC_ATTR_PORT, value) => port = Some(u16::from_be_bytes(array(value, 0)?)),
            (IPVS_SVC_ATTR_FWMARK, value) => mark = Some(u32_at(value, 0)?),
            (IPVS_SVC_ATTR_SCHED_NAME, value) => service.scheduler = string(value)?,
            (IPVS_SVC_ATTR_PE_NAME, value) => service.engine = string(value)?,
            (IPVS_SVC_ATTR_FLAGS, value) => service.flags = u32_at(value, 0)? & !HASHED,
            (IPVS_SVC_ATTR_TIMEOUT, value) => service.timeout = u32_at(value, 0)?,
            (IPVS_SVC_ATTR_NETMASK, value) => mask = array(value, 0)?,
            _ => {}
        }
    }
    let family = family.ok_or(Bad::Missing)?;
    service.netmask = if family == AF_INET6 { u32::from_ne_bytes(mask) } else { u32::from_be_bytes(mask) };
    let key = match mark.filter(|m| *m != 0) {
        Some(mark) => ServiceKey::Mark(mark, family == AF_INET6),
        None => {
            let addr = address(family, addr.ok_or(Bad::Missing)?)?;
            ServiceKey::Address(Protocol::of(protocol.ok_or(Bad::Missing)?)?, addr, port.ok_or(Bad::Missing)?)
        }
    };
    // The kernel keeps a timeout where there is no persistence; it means nothing then.
    if service.flags & PERSISTENT == 0 {
        service.timeout = 0;
    }
    Ok(Message::Service(key, service))
}

fn read_daemon(nest: &[u8]) -> Result<Message, Bad> {
    let (mut state, mut daemon) = (None, SyncDaemon::default());
    for attr in attrs(nest) {
        match attr? {
            (IPVS_DAEMON_ATTR_STATE, value) => state = Some(u32_at(value, 0)?),
            (IPVS_DAEMON_ATTR_MCAST_IFN, value) => daemon.interface = string(value)?,
            (IPVS_DAEMON_ATTR_SYNC_ID, value) => {
                daemon.id = u8::try_from(u32_at(value, 0)?).map_err(|_| Bad::Value)?;
            }
            (IPVS_DAEMON_ATTR_SYNC_MAXLEN, value) => daemon.max_len = u16_at(value, 0)?,
            (IPVS_DAEMON_ATTR_MCAST_GROUP, value) => daemon.group = Some(address(AF_INET, value)?),
            (IPVS_DAEMON_ATTR_MCAST_GROUP6, value) => daemon.group = Some(address(AF_INET6, value)?),
            (IPVS_DAEMON_ATTR_MCAST_PORT, value) => daemon.port = u16_at(value, 0)?,
            (IPVS_DAEMON_ATTR_MCAST_TTL, value) => daemon.ttl = *value.first().ok_or(Bad::Length)?,
            _ => {}
        }
    }
    daemon.master = match state.ok_or(Bad::Missing)? {
        1 => true,
        2 => false,
        _ => return Err(Bad::Value),
    };
    Ok(Message::Daemon(daemon))
}

fn read_destination(nest: &[u8], service_v6: bool) -> Result<Message, Bad> {
    let (mut family, mut addr, mut port, mut method) = (address_family(service_v6), None, None, None);
    let (mut kind, mut tunnel_port, mut flags) = (0u8, 0u16, 0u16);
    let (mut weight, mut upper, mut lower) = (0, 0, 0);
    let mut connections = Connections::default();
    for attr in attrs(nest) {
        match attr? {
            (IPVS_DEST_ATTR_ADDR, value) => addr = Some(value),
            (IPVS_DEST_ATTR_PORT, value) => port = Some(u16::from_be_bytes(array(value, 0)?)),
            (IPVS_DEST_ATTR_ADDR_FAMILY, value) => family = u16_at(value, 0)?,
            (IPVS_DEST_ATTR_FWD_METHOD, value) => method = Some(u32_at(value, 0)? & FORWARDING),
            (IPVS_DEST_ATTR_WEIGHT, value) => weight = u32_at(value, 0)?,
            (IPVS_DEST_ATTR_U_THRESH, value) => upper = u32_at(value, 0)?,
            (IPVS_DEST_ATTR_L_THRESH, value) => lower = u32_at(value, 0)?,
            (IPVS_DEST_ATTR_ACTIVE_CONNS, value) => connections.active = u32_at(value, 0)?,
            (IPVS_DEST_ATTR_INACT_CONNS, value) => connections.inactive = u32_at(value, 0)?,
            (IPVS_DEST_ATTR_PERSIST_CONNS, value) => connections.persistent = u32_at(value, 0)?,
            (IPVS_DEST_ATTR_TUN_TYPE, value) => kind = *value.first().ok_or(Bad::Length)?,
            (IPVS_DEST_ATTR_TUN_PORT, value) => tunnel_port = u16::from_be_bytes(array(value, 0)?),
            (IPVS_DEST_ATTR_TUN_FLAGS, value) => flags = u16_at(value, 0)?,
            _ => {}
        }
    }
    let forward = match (method.ok_or(Bad::Missing)?, kind) {
        (0, _) => Forward::Nat,
        (1, _) => Forward::Local,
        (2, 0) => Forward::Tunnel(Tunnel::Ipip),
        (2, 1) => Forward::Tunnel(Tunnel::Gue(tunnel_port, flags)),
        (2, 2) => Forward::Tunnel(Tunnel::Gre(flags)),
        (3, _) => Forward::Direct,
        (4, _) => Forward::Bypass,
        _ => return Err(Bad::Value),
    };
    let key = DestinationKey { addr: address(family, addr.ok_or(Bad::Missing)?)?, port: port.ok_or(Bad::Missing)? };
    Ok(Message::Destination(key, Destination { forward, weight, upper, lower }, connections))
}
