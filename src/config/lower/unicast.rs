//! The rules between the unicast keywords of an instance, and which instances cannot be distinguished by the packets that arrive.
//!
//! Read first: `finish.rs`. The same list of all routers may be used on each of them: the host's own address among the peers is left out
//! when adverts are sent, because it may be known only then (`vrrp/instance/peers.rs`).

use super::Cx;
use super::finish::family_name;
use crate::config::kind;
use crate::config::model::vrrp::{InstanceMore, MAX_PEERS};
use crate::config::model::{Family, InstanceConfig};
use crate::config::source::Span;
use core::net::IpAddr;
use std::collections::BTreeMap;

/// Whether adverts can leave and arrive without an interface being named.
pub(super) fn needs_no_interface(more: &InstanceMore, mcast_src: Option<IpAddr>) -> bool {
    more.unicast_peer.as_ref().is_some_and(|p| !p.is_empty()) && (more.unicast_src_ip.is_some() || mcast_src.is_some())
}

/// Completes the settings of an instance's peers.
pub(super) fn finish(cx: &mut Cx<'_>, head: Span, strict: bool, check_source: bool, out: &mut InstanceConfig) {
    let (family, vips_without_dev) =
        (out.family, out.vips.iter().chain(&out.excluded).filter(|v| v.dev.is_none()).count());
    let no_interface = out.interface.is_empty();
    let mcast_src = out.mcast_src;
    let more = &mut out.more;
    if let Some(src) = more.unicast_src_ip {
        let wrong = match src {
            _ if Family::of(&src) != family => Some(kind::unicast_src_of_other_family()),
            _ if src.is_multicast() || src.is_unspecified() || src.is_loopback() => Some(kind::bad_unicast_src()),
            _ => None,
        };
        if let Some(wrong) = wrong {
            cx.say(head, wrong);
            more.unicast_src_ip = None;
        }
    }
    if let Some(peers) = &mut more.unicast_peer {
        let all = peers.len();
        peers.retain(|p| {
            let wrong = match p.addr {
                a if Family::of(&a) != family => kind::peer_of_other_family_than(a, family_name(family)),
                a if a.is_multicast() || a.is_unspecified() || a.is_loopback() => kind::bad_peer(a),
                _ => return true,
            };
            cx.say(head, wrong);
            false
        });
        let lost = peers.len() < all;
        if peers.len() > MAX_PEERS {
            cx.say(head, kind::too_many_peers(peers.len(), MAX_PEERS)).help("use multicast, or split the group");
            peers.truncate(MAX_PEERS);
        }
        // A TTL for a peer concerns the adverts of that peer, so adverts of other hosts are refused.
        more.check_unicast_src |= check_source || peers.iter().any(|p| p.min_ttl.is_some() || p.max_ttl.is_some());
        if peers.is_empty() && !more.unicast_fault_no_peer {
            if lost {
                cx.say(head, kind::no_peer_left());
            }
            more.unicast_peer = None;
        }
    } else if more.unicast_fault_no_peer {
        more.unicast_peer = Some(Vec::new());
    }
    match &more.unicast_peer {
        None => {
            // keepalived accepts one in place of the other.
            if let (None, Some(src)) = (mcast_src, more.unicast_src_ip) {
                out.mcast_src = Some(src).filter(|a| !matches!(a, IpAddr::V6(a) if !a.is_unicast_link_local()));
            }
        }
        Some(_) if strict => {
            cx.say(head, kind::strict_unicast()).help("remove `vrrp_strict` (or `strict_mode`), or `unicast_peer`");
        }
        Some(peers) => {
            if peers.is_empty() {
                cx.say(head, kind::no_peer_fault());
            }
            if no_interface {
                // No interface is named whose state could be tracked.
                out.track_primary = false;
                if vips_without_dev > 0 {
                    cx.say(head, kind::address_without_dev(&out.name))
                        .help("add `dev <interface>` to each of its addresses, or `interface <name>`");
                }
            }
        }
    }
}

/// Virtual routers that share a VRID, by the properties that distinguish their packets.
#[derive(Default)]
pub(super) struct Vrids {
    // Multicast: interface, family, VRID, group.
    groups: BTreeMap<(String, Family, u8, IpAddr), Span>,
    // Unicast: sources, interface and peers.
    unicast: BTreeMap<(Family, u8), Vec<(Ends, Span)>>,
}

struct Ends {
    source: Option<IpAddr>,
    interface: String,
    peers: Vec<IpAddr>,
}

impl Vrids {
    /// Adds one. `Some`: the place of another one that it cannot be distinguished from.
    pub(super) fn insert(&mut self, i: &InstanceConfig, span: Span) -> Option<Span> {
        let Some(peers) = i.peers() else {
            return self.groups.insert((i.interface.clone(), i.family, i.vrid, i.mcast_group), span);
        };
        let mut peers: Vec<IpAddr> = peers.iter().map(|p| p.addr).collect();
        peers.sort_unstable();
        let new = Ends { source: i.source(), interface: i.interface.clone(), peers };
        let list = self.unicast.entry((i.family, i.vrid)).or_default();
        // Two sources have two sockets; on one socket the peers distinguish them.
        let same = |old: &Ends| {
            let one_place = match (old.source, new.source) {
                (Some(a), Some(b)) => a == b,
                _ => old.interface == new.interface,
            };
            one_place && old.peers.iter().any(|p| new.peers.binary_search(p).is_ok())
        };
        let found = list.iter().find(|(old, _)| same(old)).map(|(_, span)| *span);
        list.push((new, span));
        found
    }
}
