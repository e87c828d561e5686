//! The role that takes the addresses away when no core is left to do it: a dead node must not keep an address it does not answer
//! for. A process of its own, because it waits for the kernel, and somebody else may hold the lock that the kernel needs for it.
//!
//! Taken away are the file's virtual addresses, on the interfaces of the file, and those that the last snapshot names, that carry our
//! tag: an operator's own address of the same value stays, and so does one on another interface.

use super::start::say;
use crate::config::model::Config;
use crate::daemon::core::image_of;
use crate::daemon::handover::Slots;
use crate::effect::{ADDR_PROTO, AddrSpec};
use crate::event::{AddrInfo, Errno};
use crate::exit::ExitCode;
use crate::links::AddrId;
use crate::snapshot::Snapshot;
use crate::sys::privilege::cap;
use crate::sys::{child, privilege, rtsync, signal};
use crate::wire::netlink::{Kind, del_addr, get_addrs, get_links, messages};
use bytes::BytesMut;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::net::IpAddr;

/// Deletions in one request, so that their answers fit the socket's buffer.
const SLICE: usize = 64;

/// What says which addresses there may be.
#[derive(Clone, Copy, Debug)]
pub struct Holdings<'a> {
    /// The configuration in force; one that was being applied, or the same again.
    pub images: [&'a File; 2],
    /// Where snapshots are kept: it has what a configuration before had.
    pub snapshot: &'a File,
}

/// The role. The images are at fds 3 and 4, the snapshot at 5.
pub fn role() -> ExitCode {
    child::set_name(c"kalived");
    privilege::keep_only(&[cap::NET_ADMIN]);
    privilege::hide();
    // Half done is not done: the guard may end meanwhile, and whoever signals all processes signals this one.
    signal::ignore();
    let fds = child::inherited::<3>().map_err(|e| e.to_string()).map(|all| all.map(File::from));
    match fds.and_then(|[image, begun, snapshot]| remove(Holdings { images: [&image, &begun], snapshot: &snapshot })) {
        Ok(()) => ExitCode::Ok,
        Err(why) => {
            say(&why);
            ExitCode::Fatal
        }
    }
}

/// Removes the addresses. Waits for the kernel.
pub(super) fn remove(of: Holdings<'_>) -> Result<(), String> {
    let (names, there) = dump().map_err(|e| format!("the addresses could not be read: {e}"))?;
    let shot = of.snapshot.try_clone().ok().and_then(|f| Slots::new(f).newest());
    let mut ours = shot.map_or_else(Vec::new, |s| kept(&s, &there));
    let mut unread = None;
    for image in of.images {
        match image_of(image) {
            Ok(config) => ours.extend(self::ours(&config, &names, &there)),
            Err(why) => unread = Some(why),
        }
    }
    let mut failed = None;
    for slice in ours.chunks(SLICE) {
        let mut out = BytesMut::new();
        for (seq, spec) in (1..).zip(slice) {
            del_addr(&mut out, seq, spec);
        }
        let mut open = slice.len();
        let done = rtsync::ask(&out, &mut |bytes| {
            for kind in messages(bytes).flatten().map(|m| m.kind) {
                if let Kind::Ack { result, .. } = kind {
                    open -= usize::from(open > 0);
                    failed = failed.or(result.err().filter(|e| *e != Errno::EADDRNOTAVAIL));
                }
            }
            open == 0
        });
        done.map_err(|e| format!("the addresses could not be removed: {e}"))?;
    }
    match (failed, unread) {
        (Some(e), _) => Err(format!("an address could not be removed: errno {}", e.0)),
        (None, Some(why)) => Err(why),
        (None, None) => Ok(()),
    }
}

/// The interfaces' names, and the addresses.
fn dump() -> io::Result<(BTreeMap<u32, String>, Vec<AddrInfo>)> {
    let (mut names, mut all) = (BTreeMap::new(), Vec::new());
    let requests: [fn(&mut BytesMut, u32); 2] = [get_links, get_addrs];
    for request in requests {
        let mut out = BytesMut::new();
        request(&mut out, 1);
        rtsync::ask(&out, &mut |bytes| {
            for m in messages(bytes).flatten() {
                match m.kind {
                    Kind::Link(l) => drop(names.insert(l.ifindex, l.name)),
                    Kind::Addr(a) => all.push(a),
                    Kind::Done { .. } | Kind::Ack { .. } => return true,
                    _ => {}
                }
            }
            false
        })?;
    }
    Ok((names, all))
}

/// What of `there` is to go because a snapshot names it.
fn kept(shot: &Snapshot, there: &[AddrInfo]) -> Vec<AddrSpec> {
    let ids: BTreeSet<AddrId> = shot.instances.iter().flat_map(|i| &i.addrs).chain(&shot.going).copied().collect();
    let tagged = there.iter().filter(|a| a.proto == ADDR_PROTO && ids.contains(&(a.ifindex, a.addr, a.prefix)));
    tagged.map(|a| spec(a, None)).collect()
}

fn spec(a: &AddrInfo, peer: Option<IpAddr>) -> AddrSpec {
    AddrSpec {
        ifindex: a.ifindex,
        addr: a.addr,
        prefix: a.prefix,
        brd: None,
        scope: a.scope,
        label: None,
        deprecated: false,
        noprefixroute: false,
        peer,
    }
}

/// What of `there` is to go. An interface that the configuration does not name counts as every one it names and that is not
/// there: it may have another name since, and the address on it is still ours.
fn ours(config: &Config, names: &BTreeMap<u32, String>, there: &[AddrInfo]) -> Vec<AddrSpec> {
    let present: BTreeSet<&str> = names.values().map(String::as_str).collect();
    let mut vips: BTreeMap<(IpAddr, Option<&str>), Option<IpAddr>> = BTreeMap::new();
    let mut named = BTreeSet::new();
    for i in &config.instances {
        for v in i.vips.iter().chain(&i.excluded) {
            let dev = v.dev.as_deref().unwrap_or(&i.interface);
            named.insert(dev);
            vips.insert((v.addr, present.contains(dev).then_some(dev)), v.peer);
        }
    }
    let tagged = there.iter().filter(|a| a.proto == ADDR_PROTO);
    tagged
        .filter_map(|a| {
            let dev = names.get(&a.ifindex).map(String::as_str).filter(|n| named.contains(n));
            Some(spec(a, *vips.get(&(a.addr, dev))?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::{Family, InstanceConfig, Vip};

    #[test]
    fn what_goes_is_ours_by_value_tag_and_interface() {
        let addr = |n: u8| IpAddr::from([192, 0, 2, n]);
        let info = |ifindex, addr, proto| AddrInfo {
            ifindex,
            addr,
            prefix: 24,
            scope: 0,
            tentative: false,
            dad_failed: false,
            secondary: false,
            proto,
        };
        let mut i = InstanceConfig::new("a", "eth0", 1, Family::V4);
        let vip = |n: u8, dev: Option<&str>| Vip {
            addr: addr(n),
            prefix: 24,
            dev: dev.map(str::to_owned),
            brd: None,
            scope: 0,
            label: None,
            deprecated: false,
            noprefixroute: false,
            peer: None,
            more: None,
            place: Default::default(),
        };
        i.vips = vec![vip(1, None), vip(2, Some("eth1"))];
        i.excluded = vec![vip(3, Some("gone"))];
        let config = Config { instances: vec![i], ..Config::default() };
        let names = BTreeMap::from([(1, "eth0".to_owned()), (2, "eth1".to_owned()), (3, "eth2".to_owned())]);
        let there: Vec<AddrInfo> = (1..=3)
            .flat_map(|ifindex| (1..=4).map(move |n| (ifindex, n)))
            .map(|(ifindex, n)| info(ifindex, addr(n), ADDR_PROTO))
            .collect();
        let goes: Vec<(u32, IpAddr)> = ours(&config, &names, &there).iter().map(|s| (s.ifindex, s.addr)).collect();
        assert_eq!(goes, [(1, addr(1)), (2, addr(2)), (3, addr(3))]);
        assert_eq!(ours(&config, &names, &[info(1, addr(1), 0)]), []);
    }
}
