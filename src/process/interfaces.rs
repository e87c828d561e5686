//! The interfaces of this machine and their addresses, read once, for messages about a configuration. The daemon follows them instead
//! (`daemon/rtnl.rs`).
//!
//! Not by getifaddrs(3) and if_nameindex(3): they have room for one page per message, and glibc's never returns when the kernel's
//! message about an interface is longer (an interface with many other names, a network card with many functions).

use crate::sys::rtsync;
use crate::wire::netlink::{Kind, get_addrs, get_links, messages};
use bytes::BytesMut;
use core::net::IpAddr;
use std::collections::BTreeMap;

/// Names of the interfaces.
pub(crate) type Names = Vec<String>;
/// Interface, address, prefix length.
pub(crate) type Addresses = Vec<(String, IpAddr, u8)>;

/// Empty where the kernel does not answer.
pub(crate) fn read() -> (Names, Addresses) {
    let (mut names, mut addrs) = (BTreeMap::new(), Vec::new());
    let requests: [fn(&mut BytesMut, u32); 2] = [get_links, get_addrs];
    for request in requests {
        let mut out = BytesMut::new();
        request(&mut out, 1);
        // What was read up to an error is better than nothing: it is only used for messages.
        let _ = rtsync::ask(&out, &mut |bytes| {
            for m in messages(bytes).flatten() {
                match m.kind {
                    Kind::Link(l) => drop(names.insert(l.ifindex, l.name)),
                    Kind::Addr(a) => addrs.push(a),
                    Kind::Done { .. } | Kind::Ack { .. } => return true,
                    _ => {}
                }
            }
            false
        });
    }
    let on = addrs.into_iter().filter_map(|a| Some((names.get(&a.ifindex)?.clone(), a.addr, a.prefix)));
    let on = on.collect();
    (names.into_values().collect(), on)
}

#[cfg(test)]
mod tests {
    #[test]
    fn loopback_is_there() {
        let (names, addrs) = super::read();
        assert!(names.contains(&"lo".to_owned()), "{names:?}");
        assert!(addrs.is_empty() || addrs.contains(&("lo".to_owned(), [127, 0, 0, 1].into(), 8)), "{addrs:?}");
    }
}
