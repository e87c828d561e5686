//! Lines of `virtual_routes`, `static_routes`, `virtual_rules`, `static_rules`. Names of tables, protocols and scopes stay
//! as written: the files that give them numbers belong to the system. Read first: `setting.rs`.

use super::Place;
use super::setting::block;
use crate::route::{Encap, Metric, Mode};
use crate::rule::RuleSpec;
use core::net::IpAddr;
use serde::{Deserialize, Serialize};

/// Address and prefix length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prefix {
    /// As written, host bits included.
    pub addr: IpAddr,
    /// Prefix length: 0..=32 for IPv4, 0..=128 for IPv6.
    pub len: u8,
}

block! {
    /// One way of a route with several.
    pub struct Hop {
        /// `via`, `gw`, `or`: the gateway; `None`: the destination is on the link.
        pub via: Option<IpAddr>,
        pub dev: Option<Box<str>> => "dev" | "oif",
        pub weight: u16 = 1 => "weight",
        pub onlink: bool => "onlink",
        pub realms: Option<Box<str>> => "realms",
        /// `realms` as one number, the source realm in the upper 16 bits; 0: none.
        #[serde(default)]
        pub flow: u32,
        /// `encap`: the tunnel that packets of this next hop are sent through; `None`: none.
        pub encap: Option<Encap>,
    }
}

block! {
    /// Numbers of a route for TCP; with each whether it is locked.
    pub struct Metrics {
        pub mtu: Option<u32> => "mtu",
        pub advmss: Option<u32> => "advmss",
        pub rtt: Option<Box<str>> => "rtt",
        pub rttvar: Option<Box<str>> => "rttvar",
        pub reordering: Option<u32> => "reordering",
        pub cwnd: Option<u32> => "cwnd",
        pub ssthresh: Option<u32> => "ssthresh",
        pub rto_min: Option<Box<str>> => "rto_min",
        pub congctl: Option<Box<str>> => "congctl",
        pub hoplimit: Option<u8> => "hoplimit",
        pub window: Option<u32> => "window",
        pub initcwnd: Option<u32> => "initcwnd",
        pub initrwnd: Option<u32> => "initrwnd",
        pub quickack: Option<u8> => "quickack",
        pub fastopen_no_cookie: Option<u8> => "fastopen_no_cookie",
        pub features: Option<Box<str>> => "features",
        /// Names of those after `lock`, in file order.
        pub locked: Vec<Box<str>>,
    }
}

block! {
    /// One line of `virtual_routes` or `static_routes`, as written.
    pub struct Route {
        /// Position of the line in the file.
        pub place: Place,
        /// `inet`, `inet6`: true for IPv6; `None`: by the addresses.
        pub v6: Option<bool>,
        /// unicast, blackhole, ...; `None`: unicast.
        pub kind: Option<Box<str>>,
        /// Destination; `None`: default.
        pub to: Option<Prefix>,
        pub src: Option<IpAddr> => "src",
        /// `from`, of IPv6 routes.
        pub from: Option<Prefix>,
        /// The ways; more than one with `or` or `nexthop`.
        pub hops: Vec<Hop>,
        pub tos: Option<Box<str>> => "tos" | "dsfield",
        pub table: Option<Box<str>> => "table",
        pub protocol: Option<Box<str>> => "protocol",
        pub scope: Option<Box<str>> => "scope",
        pub metric: Option<u32> => "metric" | "priority" | "preference",
        pub expires: Option<u32> => "expires",
        pub realms: Option<Box<str>> => "realms",
        pub pref: Option<Box<str>> => "pref",
        pub ttl_propagate: Option<Box<str>> => "ttl-propagate",
        /// add, prepend, append; `None`: prepend.
        pub mode: Option<Box<str>>,
        pub no_track: bool => "no_track",
        pub track_group: Option<Box<str>> => "track_group",
        pub vrf: Option<Box<str>> => "vrf",
        /// The metrics of the line (`mtu`, `window` and others); `None`: none is given.
        pub metrics: Option<Box<Metrics>>,
        /// The same in the kernel's numbers.
        pub numbers: Numbers,
    }
}

impl Route {
    /// Whether it is one of IPv6: as said, or by its addresses.
    pub fn is_v6(&self) -> bool {
        let prefixes = self.to.iter().chain(&self.from).map(|p| p.addr);
        let first = prefixes.chain(self.src).chain(self.hops.iter().filter_map(|h| h.via)).next();
        self.v6.unwrap_or_else(|| first.is_some_and(|a| a.is_ipv6()))
    }
}

/// A route in the kernel's numbers, but for its interfaces.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    /// They are filled in, and the kernel may be asked for such a route.
    pub usable: bool,
    /// The type of the route (`RTN_*`).
    pub kind: u8,
    /// Table; 0: that of the VRF, which the kernel knows.
    pub table: u32,
    /// `tos` or `dsfield`, as in the IP header; 0: not given.
    pub tos: u8,
    /// The protocol number (`RTPROT_*`) that the kernel stores with the route.
    pub protocol: u8,
    /// The scope (`RT_SCOPE_*`).
    pub scope: u8,
    /// `realms` as one number: the source realm in the upper 16 bits, the destination realm in the lower ones.
    pub realms: u32,
    /// `pref` of an IPv6 route: the router preference of RFC 4191.
    pub pref: Option<u8>,
    /// The metrics with their attribute numbers (`RTAX_*`).
    pub metrics: Vec<(u16, Metric)>,
    /// The metrics that the kernel must not change, as bits (`RTAX_LOCK`).
    pub lock: u32,
    /// Before or behind routes of the same destination.
    pub mode: Mode,
}

/// The action of a rule, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// The line names no action.
    #[default]
    None,
    /// `table` or `lookup`: the routing table that is searched.
    Table(Box<str>),
    /// `goto` that preference.
    Goto(u32),
    /// `nop`: the rule does nothing.
    Nop,
    /// blackhole, unreachable, prohibit or another type.
    Type(Box<str>),
}

block! {
    /// One line of `virtual_rules` or `static_rules`, as written.
    pub struct Rule {
        /// Position of the line in the file.
        pub place: Place,
        /// `inet`, `inet6`: true for IPv6; `None`: by the addresses.
        pub v6: Option<bool>,
        /// `from`; `None`: all.
        pub from: Option<Prefix>,
        /// `to`; `None`: all.
        pub to: Option<Prefix>,
        /// What is done with packets that match.
        pub action: Action,
        pub not: bool => "not",
        pub preference: Option<u32> => "preference" | "order" | "priority",
        pub tos: Option<Box<str>> => "tos" | "dsfield",
        pub fwmark: Option<Box<str>> => "fwmark",
        pub realms: Option<Box<str>> => "realms",
        pub suppress_prefixlength: Option<u8> => "suppress_prefixlength" | "sup_pl",
        pub suppress_ifgroup: Option<Box<str>> => "suppress_ifgroup" | "sup_group",
        pub iif: Option<Box<str>> => "dev" | "iif",
        pub oif: Option<Box<str>> => "oif",
        pub tunnel_id: Option<u32> => "tunnel-id",
        /// `uidrange`, both ends allowed.
        pub uidrange: Option<(u32, u32)>,
        pub l3mdev: bool => "l3mdev",
        pub protocol: Option<u8> => "protocol",
        pub ipproto: Option<Box<str>> => "ipproto",
        /// `sport`, both ends allowed.
        pub sport: Option<(u16, u16)>,
        /// `dport`, both ends allowed.
        pub dport: Option<(u16, u16)>,
        pub no_track: bool => "no_track",
        pub track_group: Option<Box<str>> => "track_group",
        /// The same in the kernel's numbers; `None`: the line has a word without effect so far.
        pub spec: Option<RuleSpec>,
    }
}
