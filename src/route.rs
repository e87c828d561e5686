//! A route as the kernel understands it: everything in numbers, interfaces by index.
//!
//! `wire/netlink/fib.rs` writes it to a message and reads it from one; `routes/` decides which routes are wanted. Numbers are those of
//! `linux/rtnetlink.h`.

use core::net::IpAddr;
use serde::{Deserialize, Serialize};

/// `RTPROT_KEEPALIVED`: the protocol of every route kalived adds, as keepalived does, unless the line has its own `protocol`.
pub const ROUTE_PROTO: u8 = 18;

/// `RT_TABLE_MAIN`: the table of routes without `table`.
pub const TABLE_MAIN: u32 = 254;
/// `RT_TABLE_LOCAL`: the table of local and broadcast addresses.
pub const TABLE_LOCAL: u32 = 255;

/// `RTN_UNICAST`: a route to a gateway or over an interface.
pub const UNICAST: u8 = 1;
/// `RTN_LOCAL`: the destination is this host.
pub const LOCAL: u8 = 2;
/// `RTN_BROADCAST`: packets are sent as broadcast.
pub const BROADCAST: u8 = 3;
/// `RTN_MULTICAST`: a multicast route.
pub const MULTICAST: u8 = 5;
/// `RTN_BLACKHOLE`; with the two after it, and `RTN_THROW`, a route without a next hop.
pub const BLACKHOLE: u8 = 6;
/// `RTN_UNREACHABLE`: packets are dropped, and the sender gets an ICMP error.
pub const UNREACHABLE: u8 = 7;
/// `RTN_PROHIBIT`: packets are dropped, and the sender gets an ICMP error "administratively prohibited".
pub const PROHIBIT: u8 = 8;
/// `RTN_THROW`: the search goes on in the table of the next rule.
pub const THROW: u8 = 9;

/// `RT_SCOPE_UNIVERSE`: the destination is beyond a gateway.
pub const SCOPE_UNIVERSE: u8 = 0;
/// `RT_SCOPE_LINK`: the destination is on the link.
pub const SCOPE_LINK: u8 = 253;
/// `RT_SCOPE_HOST`: the destination is this host.
pub const SCOPE_HOST: u8 = 254;

/// Metric that Linux gives an IPv6 route without one.
pub const METRIC_V6: u32 = 1024;

/// The key of a route: by these properties the kernel distinguishes routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RouteId {
    /// Number of the routing table.
    pub table: u32,
    /// Destination without host bits, and prefix length.
    pub to: (IpAddr, u8),
    /// IPv6: source prefix; `(::, 0)` without.
    pub from: (IpAddr, u8),
    /// IPv4: TOS of the packets that use the route; 0: any.
    pub tos: u8,
    /// Metric of the route (`RTA_PRIORITY`); the kernel prefers the smallest one.
    pub metric: u32,
}

/// A light tunnel of IP in IP: `LWTUNNEL_IP_*`, `LWTUNNEL_IP6_*`. 0: as the tunnel's interface has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpTunnel<A> {
    /// Number of the tunnel.
    pub id: u64,
    /// Address of the other end.
    pub dst: A,
    /// Address of this end.
    pub src: A,
    /// TOS or traffic class.
    pub tos: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// `TUNNEL_*`: which fields of the tunnel are set.
    pub flags: u16,
}

/// The encapsulation of packets to a next hop (`RTA_ENCAP`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Encap {
    /// IPv4, by a tunnel's interface that takes it from the route.
    Ip(IpTunnel<[u8; 4]>),
    /// IPv6, as `Ip`.
    Ip6(IpTunnel<[u8; 16]>),
    /// Labels, the outermost first; 1 to [`MOST_LABELS`].
    Mpls(Vec<u32>),
    /// Another locator in the upper half of the destination.
    Ila(u64),
}

/// `MAX_NEW_LABELS` of the kernel.
pub const MOST_LABELS: usize = 30;

/// A next hop of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct HopSpec {
    /// Interface; 0: the kernel finds it by the gateway.
    pub ifindex: u32,
    /// Gateway; of an IPv4 route it may be an IPv6 address.
    pub via: Option<IpAddr>,
    /// `rtnh_hops`: weight less 1.
    pub hops: u8,
    /// `RTNH_F_ONLINK`: the gateway is taken to be on the interface.
    pub onlink: bool,
    /// `RTA_FLOW`; 0: none.
    pub realms: u32,
    /// `RTA_ENCAP`: the encapsulation of packets to this hop; `None`: none.
    #[serde(default)]
    pub encap: Option<Encap>,
}

/// A value of `RTA_METRICS`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Metric {
    /// A number, in the unit of the metric.
    Number(u32),
    /// A congestion control's name, at most 15 bytes.
    Name(String),
}

/// How an addition treats routes of the same destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// In front of the routes of the same destination.
    #[default]
    Prepend,
    /// Behind the routes of the same destination.
    Append,
    /// There must be none.
    Alone,
}

/// A route to add, or as the kernel reports it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RouteSpec {
    /// The properties by which the kernel distinguishes routes.
    pub id: RouteId,
    /// Type of the route (`RTN_*`).
    pub kind: u8,
    /// `RT_SCOPE_*`; IPv6 has none.
    pub scope: u8,
    /// Protocol number (`RTPROT_*`); kalived's is [`ROUTE_PROTO`].
    pub proto: u8,
    /// `RTA_PREFSRC`: the preferred source address; `None`: the kernel chooses it.
    pub src: Option<IpAddr>,
    /// The next hops; none for a route that drops packets.
    pub hops: Vec<HopSpec>,
    /// `RTAX_*` with values.
    pub metrics: Vec<(u16, Metric)>,
    /// `RTAX_LOCK`: the metrics that the kernel must not change, as bits.
    pub lock: u32,
    /// `RTA_FLOW`; 0: none.
    pub realms: u32,
    /// IPv6 `RTA_PREF`: 0 medium, 1 high, 3 low.
    pub pref: Option<u8>,
    /// IPv6: lifetime, seconds.
    pub expires: Option<u32>,
    /// `RTA_TTL_PROPAGATE` of MPLS; `None`: not set.
    pub ttl_propagate: Option<bool>,
    /// Of an addition: its place among the routes of the same destination.
    pub mode: Mode,
}

impl RouteId {
    /// Whether it is one of IPv6.
    pub fn is_v6(&self) -> bool {
        self.to.0.is_ipv6()
    }
}

impl core::fmt::Display for RouteId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let (addr, len) = self.to;
        if len == 0 {
            f.write_str(if addr.is_ipv6() { "default (IPv6)" } else { "default" })?;
        } else {
            write!(f, "{addr}/{len}")?;
        }
        if self.table != TABLE_MAIN {
            write!(f, " table {}", self.table)?;
        }
        if self.tos != 0 {
            write!(f, " tos {}", self.tos)?;
        }
        if self.metric != if addr.is_ipv6() { METRIC_V6 } else { 0 } {
            write!(f, " metric {}", self.metric)?;
        }
        Ok(())
    }
}

/// A prefix without its host bits.
pub fn network(addr: IpAddr, len: u8) -> (IpAddr, u8) {
    match addr {
        IpAddr::V4(a) => {
            let len = len.min(32);
            let mask = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
            (IpAddr::V4((a.to_bits() & mask).into()), len)
        }
        IpAddr::V6(a) => {
            let len = len.min(128);
            let mask = u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0);
            (IpAddr::V6((a.to_bits() & mask).into()), len)
        }
    }
}

impl RouteSpec {
    /// Whether it has no next hop by its type: the kernel gives such a route of IPv6 the loopback interface.
    pub fn leads_nowhere(&self) -> bool {
        matches!(self.kind, BLACKHOLE | UNREACHABLE | PROHIBIT | THROW)
    }
    /// Whether `there`, a route of the kernel, is this one: properties that were not requested may have any value.
    pub fn is(&self, there: &RouteSpec) -> bool {
        let scope = self.id.is_v6() || self.scope == there.scope;
        let metric = |m: &(u16, Metric)| there.metrics.contains(m);
        self.id == there.id
            && self.kind == there.kind
            && self.proto == there.proto
            && scope
            && (self.src.is_none() || self.src == there.src)
            && (self.pref.is_none() || self.pref == there.pref)
            && self.lock & there.lock == self.lock
            && self.metrics.iter().all(metric)
            && (self.leads_nowhere() || self.same_hops(there))
    }
    /// The realms of one of its ways: the kernel reports those of a single way as those of the route. IPv6 has none.
    fn realms_of(&self, hop: &HopSpec) -> u32 {
        match () {
            () if self.id.is_v6() => 0,
            () if hop.realms == 0 && self.hops.len() == 1 => self.realms,
            () => hop.realms,
        }
    }
    fn same_hops(&self, there: &RouteSpec) -> bool {
        let mut rest: Vec<&HopSpec> = there.hops.iter().collect();
        self.hops.len() == rest.len()
            && self.hops.iter().all(|h| {
                let like = |t: &&HopSpec| {
                    (h.ifindex == 0 || h.ifindex == t.ifindex)
                        && h.via == t.via
                        && h.encap == t.encap
                        && self.realms_of(h) == there.realms_of(t)
                        && (h.hops == t.hops || self.hops.len() == 1)
                        && (!h.onlink || t.onlink)
                };
                rest.iter().position(like).map(|at| rest.remove(at)).is_some()
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_bits_go() {
        let net = |a: &str, len| network(a.parse().expect("an address"), len);
        assert_eq!(net("10.1.2.3", 16), net("10.1.0.0", 16));
        assert_eq!(net("10.1.2.3", 0), net("0.0.0.0", 0));
        assert_eq!(net("10.1.2.3", 32).0.to_string(), "10.1.2.3");
        assert_eq!(net("2001:db8::1", 64).0.to_string(), "2001:db8::");
        assert_eq!(net("2001:db8::1", 128).0.to_string(), "2001:db8::1");
        assert_eq!(net("2001:db8::1", 0).0.to_string(), "::");
    }
}
