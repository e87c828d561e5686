//! The settings of a virtual server as keys and values of the kernel's table.
//!
//! Read first: `config/model/lvs.rs`, `wire/netlink/ipvs.rs`.

use super::check::{CheckSpec, alpha};
use super::pool::{Server, Sorry, Verdict};
use crate::config::model::Config;
use crate::config::model::lvs::{
    Checksum, GroupEntry, IpFamily, Method, Protocol, RealServer, Service, Tunnel, VirtualServer,
};
use crate::wire::netlink::ipvs::{self, Destination, DestinationKey, Forward, ServiceKey};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

fn forward_of(method: Method) -> Forward {
    let flags = |c: Checksum| match c {
        Checksum::None => 0,
        Checksum::Csum => 1,
        Checksum::Remote => 2,
    };
    match method {
        Method::Nat => Forward::Nat,
        Method::Dr => Forward::Direct,
        Method::Tun(Tunnel::Ipip) => Forward::Tunnel(ipvs::Tunnel::Ipip),
        Method::Tun(Tunnel::Gue(port, c)) => Forward::Tunnel(ipvs::Tunnel::Gue(port, flags(c))),
        Method::Tun(Tunnel::Gre(c)) => Forward::Tunnel(ipvs::Tunnel::Gre(flags(c))),
    }
}

pub(super) fn protocol_of(protocol: Protocol) -> ipvs::Protocol {
    match protocol {
        Protocol::Tcp => ipvs::Protocol::Tcp,
        Protocol::Udp => ipvs::Protocol::Udp,
        Protocol::Sctp => ipvs::Protocol::Sctp,
    }
}

pub(super) fn word_of(protocol: Option<Protocol>) -> &'static str {
    protocol.map_or("none", Protocol::name)
}

/// What the names of [`id_of`] begin with, of those that are tracked under `name`; the whole of it for an address.
pub(super) fn track_prefix(name: &str) -> String {
    match (name.strip_prefix("fwmark:"), name.strip_prefix("group:")) {
        (Some(mark), _) => format!("mark {mark} "),
        (_, Some(group)) => format!("group {group} "),
        _ => name.to_owned(),
    }
}

// Its identity, by which it is found in another configuration.
pub(super) fn id_of(cfg: &VirtualServer) -> Box<str> {
    match &cfg.service {
        Service::Address(addr, port) => format!("[{addr}]:{}:{port}", word_of(cfg.protocol)),
        Service::Mark(mark) => format!("mark {mark} {}", cfg.ip_family.is_some_and(|f| f == IpFamily::Inet6)),
        Service::Group(name) => format!("group {name} {}", word_of(cfg.protocol)),
    }
    .into()
}

// As the kernel is to have it.
pub(super) fn service_of(cfg: &VirtualServer, v6: bool) -> ipvs::Service {
    let mut flags = u32::from(cfg.flags) * ipvs::SCHEDULER_FLAG;
    if cfg.persistence_timeout > 0 {
        flags |= ipvs::PERSISTENT;
    }
    if cfg.ops {
        flags |= ipvs::ONE_PACKET;
    }
    ipvs::Service {
        scheduler: cfg.scheduler.word().to_owned(),
        flags,
        timeout: cfg.persistence_timeout,
        netmask: cfg.granularity.unwrap_or(if v6 { 128 } else { u32::MAX }),
        engine: cfg.persistence_engine.as_deref().unwrap_or_default().to_owned(),
    }
}

pub(crate) fn nth_address(first: IpAddr, n: u32) -> IpAddr {
    match first {
        IpAddr::V4(a) => IpAddr::V4(Ipv4Addr::from_bits(a.to_bits().wrapping_add(n))),
        IpAddr::V6(a) => IpAddr::V6(Ipv6Addr::from_bits(a.to_bits().wrapping_add(u128::from(n)))),
    }
}

// What it serves, as keys of the table. `v6`: the family where the file says nothing of it.
pub(super) fn keys_of(cfg: &VirtualServer, v6: bool, entries: &[GroupEntry]) -> Vec<ServiceKey> {
    let protocol = protocol_of(cfg.protocol.unwrap_or(Protocol::Udp));
    let v6 = cfg.ip_family.map_or(v6, |f| f == IpFamily::Inet6);
    match &cfg.service {
        Service::Address(addr, port) => vec![ServiceKey::Address(protocol, *addr, *port)],
        Service::Mark(mark) => vec![ServiceKey::Mark(*mark, v6)],
        Service::Group(_) => {
            let mut keys = Vec::new();
            for entry in entries {
                match *entry {
                    GroupEntry::Range(first, more, port) => {
                        keys.extend((0..=more).map(|n| ServiceKey::Address(protocol, nth_address(first, n), port)));
                    }
                    GroupEntry::Mark(mark, family) => {
                        keys.push(ServiceKey::Mark(mark, family.map_or(v6, |f| f == IpFamily::Inet6)));
                    }
                }
            }
            keys
        }
    }
}

/// The same with a mark for all members of its group, of each family that they have.
pub(super) fn keys_by_mark(mark: u32, entries: &[GroupEntry]) -> Vec<ServiceKey> {
    let has = |v6| entries.iter().any(|e| matches!(e, GroupEntry::Range(first, ..) if first.is_ipv6() == v6));
    [false, true].into_iter().filter(|v6| has(*v6)).map(|v6| ServiceKey::Mark(mark, v6)).collect()
}

/// What its checks are, each with its `alpha`.
pub(super) fn checks_of(config: &Config, cfg: &VirtualServer, rs: &RealServer) -> Vec<(CheckSpec, bool)> {
    let of = |c| CheckSpec::of(config, cfg, rs, c).into_iter().map(move |spec| (spec, alpha(cfg, rs, c)));
    rs.checks.iter().flat_map(of).collect()
}

pub(super) fn server_of(cfg: &VirtualServer, rs: &RealServer, checks: &[(CheckSpec, bool)]) -> Server {
    let awaited = checks.iter().any(|(_, alpha)| *alpha);
    Server {
        key: DestinationKey { addr: rs.addr, port: rs.port },
        shape: Destination {
            forward: forward_of(rs.method.unwrap_or(cfg.method)),
            weight: 0,
            upper: rs.uthreshold,
            lower: rs.lthreshold,
        },
        weight: i64::from(rs.weight.unwrap_or(cfg.weight)),
        inhibit: rs.inhibit_on_failure.unwrap_or(cfg.inhibit_on_failure),
        verdict: if awaited { Verdict::Awaited } else { Verdict::Unchecked },
    }
}

pub(super) fn sorry_of(cfg: &VirtualServer) -> Option<Sorry> {
    let sorry = cfg.sorry.as_ref()?;
    let port = match (&cfg.service, sorry.port) {
        (Service::Address(_, port), 0) => *port,
        (_, port) => port,
    };
    let key = DestinationKey { addr: sorry.addr, port };
    Some(Sorry { key, forward: forward_of(sorry.method), inhibit: sorry.inhibit })
}

/// The key of a pool's destination in one of its services; `None`: it cannot be in it. Only NAT changes a port.
pub(super) fn in_service(service: &ServiceKey, key: DestinationKey, forward: Forward) -> Option<DestinationKey> {
    if key.addr.is_ipv6() != service.is_ipv6() && !matches!(forward, Forward::Tunnel(_)) {
        return None;
    }
    let own = match service {
        ServiceKey::Address(_, _, port) => *port,
        ServiceKey::Mark(..) => 0,
    };
    let port = if key.port == 0 || forward != Forward::Nat { own } else { key.port };
    Some(DestinationKey { port, ..key })
}

/// One destination for each combination of what decides whether it fits into a service.
pub(super) fn one_of_each(all: impl Iterator<Item = (DestinationKey, Forward)>) -> Vec<(DestinationKey, Forward)> {
    let mut found: Vec<(DestinationKey, Forward)> = Vec::new();
    for (key, forward) in all {
        let tunnel = |f: &Forward| matches!(f, Forward::Tunnel(_));
        let alike = |o: &(DestinationKey, Forward)| {
            o.0.addr.is_ipv6() == key.addr.is_ipv6() && tunnel(&o.1) == tunnel(&forward)
        };
        if !found.iter().any(alike) {
            found.push((key, forward));
        }
    }
    found
}
