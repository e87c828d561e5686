//! The role that removes the addresses when no core is left to do it: a dead node must not keep an address that it does not answer for. A
//! process of its own, because it waits for the kernel, and another process may hold the kernel's lock.
//!
//! Removed are the file's virtual addresses, on the interfaces of the file, and those in the last snapshot, that carry our tag: an
//! operator's own address of the same value stays, and so does one on another interface. Before them the virtual routes and rules of the
//! file and of the snapshot are removed. When kalived ends, the static addresses, routes and rules are removed as well; until the next
//! core starts they stay, because no peer claims them.
//!
//! Interfaces that a kalived made for virtual routers of the file or of the snapshot (`use_vmac`) are deleted, which takes their addresses along, and the
//! sysctls of those below them are put back.
//!
//! Services of IPVS and named pipes stay until the next core starts, as static routes do; `ipvs.rs` removes the services when kalived ends.
//!
//! With [`AFTER`] it first waits for the end of a core that was handed over, which removes its addresses itself unless it is killed.

use super::ipvs::Ipvs;
use crate::config::model::Config;
use crate::effect::{ADDR_PROTO, AddrSpec, STATIC_PROTO};
use crate::event::{AddrInfo, Errno, Link};
use crate::exit::ExitCode;
use crate::filter::{marking, settings};
use crate::knob::Set;
use crate::links::AddrId;
use crate::process::args::AFTER;
use crate::process::image::image_with_header;
use crate::process::log::say;
use crate::process::slots::Slots;
use crate::route::{ROUTE_PROTO, RouteId, RouteSpec};
use crate::routes::id_of;
use crate::rule::RuleSpec;
use crate::snapshot::Snapshot;
use crate::sys::netlink::Whom;
use crate::sys::privilege::cap;
use crate::sys::{child, clock, fifo, knob, lockfile, poll, privilege, rtsync, seqpacket, signal};
use crate::time::Duration;
use crate::vmac;
use crate::wire::netlink::{
    Control, Kind, del_addr, del_link, del_route, del_rule, frames, get_addrs, get_links, get_routes, get_rules,
    messages, nft,
};
use bytes::BytesMut;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};

/// Deletions in one request, so that their answers fit into the socket's buffer.
const SLICE: usize = 64;
/// How long a kalived that has started may take until it is in charge. Its guard has the snapshot and answers for the addresses.
const STARTING: Duration = Duration::from_secs(10);
/// Longest wait for a kalived to start after a frozen core was killed, and between two checks for one.
const PATIENCE: Duration = Duration::from_secs(2);
const LOOK_MS: i32 = 10;

/// The sources of the addresses that may exist.
#[derive(Clone, Copy, Debug)]
pub struct Holdings<'a> {
    /// The configuration in force; one that was being applied, or the same again.
    pub images: [&'a File; 2],
    /// The snapshot file: it contains the addresses of a previous configuration.
    pub snapshot: &'a File,
    /// No core follows: all static routes and rules too, otherwise only those that no configuration contains any more; and services of
    /// IPVS.
    pub routes: bool,
}

/// The argument for `routes`.
pub(super) const ROUTES: &str = "--routes";

/// The role; `args` are those behind the role's name. The images are at fds 3 and 4, the snapshot at 5; with [`AFTER`] the line to a
/// frozen core at 6, the lock's file at 7, and a pipe at 8 that reports when the core is frozen.
pub fn role(args: &[String]) -> ExitCode {
    child::set_name(c"kalived");
    // Named pipes may be in directories of other users, and belong to them.
    privilege::keep_only(&[cap::NET_ADMIN, cap::DAC_OVERRIDE, cap::FOWNER]);
    privilege::hide();
    // The removal must be complete: the guard may end meanwhile, and a signal to all processes reaches this one.
    signal::ignore();
    let routes = args.iter().any(|a| a == ROUTES);
    let of = |images: [&File; 2], snapshot: &File| {
        let removed = remove(Holdings { images, snapshot, routes });
        // Last, and never by the guard itself: a file system may not answer.
        if routes {
            remove_fifos(snapshot);
        }
        removed
    };
    let done = match args.iter().find_map(|a| a.strip_prefix(AFTER)?.parse().ok()) {
        None => child::inherited::<3>()
            .map_err(|e| e.to_string())
            .map(|all| all.map(File::from))
            .and_then(|[image, begun, snapshot]| of([&image, &begun], &snapshot)),
        Some(charges) => child::inherited::<6>().map_err(|e| e.to_string()).and_then(
            |[image, begun, snapshot, line, witness, begin]| {
                let [image, begun, snapshot, witness, begin] = [image, begun, snapshot, witness, begin].map(File::from);
                match is_frozen(begin) && is_left(&line, &witness, charges, &snapshot) {
                    true => of([&image, &begun], &snapshot),
                    false => Ok(()),
                }
            },
        ),
    };
    match done {
        Ok(()) => ExitCode::Ok,
        Err(why) => {
            say(&why);
            ExitCode::Fatal
        }
    }
}

/// Removes the named pipes that kalived made and no core has removed. One that another program has replaced stays.
fn remove_fifos(snapshot: &File) {
    let shot = snapshot.try_clone().ok().and_then(|f| Slots::new(f).newest().ok().flatten());
    for (path, dev, ino) in shot.iter().flat_map(|s| &s.fifos) {
        if let Err(e) = fifo::remove_at(path, (*dev, *ino)) {
            say(&format!("the named pipe {path} is left: {e}"));
        }
    }
}

/// Waits until the core has frozen; `false`: it did not, and its guard answers for it.
fn is_frozen(mut begin: File) -> bool {
    begin.read_exact(&mut [0]).is_ok()
}

/// Waits for the end of the core at `line`; returns whether no core is in charge after it then. A core that was not killed has removed
/// what it held, and no address is left to be found.
fn is_left(line: &OwnedFd, witness: &File, charges: u64, snapshot: &File) -> bool {
    let mut buf = [0; crate::process::proto::MAX];
    loop {
        // The core's messages are not used any more.
        match seqpacket::recv(line, &mut buf) {
            Ok(None) => drop(poll::readable(&[line.as_fd()], -1)),
            Ok(Some((1.., _))) => {}
            Err(e) if e.kind() == io::ErrorKind::InvalidData => {}
            Ok(Some((0, _))) | Err(_) => break,
        }
    }
    let shot = snapshot.try_clone().ok().and_then(|f| Slots::new(f).newest().ok().flatten());
    let died = clock::mono();
    let (until, starting) = (died + patience(shot.as_ref()), died + STARTING);
    while lockfile::charges(witness) == charges {
        let now = clock::mono();
        if now >= if lockfile::is_held(witness) { starting } else { until } {
            return !lockfile::is_held(witness);
        }
        let _ = poll::readable(&[], LOOK_MS);
    }
    false
}

/// How long a successor may still take: after two intervals without an advert a peer is about to take over.
fn patience(shot: Option<&Snapshot>) -> Duration {
    let masters = shot.iter().flat_map(|s| &s.instances).filter(|i| !i.addrs.is_empty());
    let shortest = masters.map(|i| Duration::from_nanos(i.master_interval)).min();
    shortest.map_or(PATIENCE, |interval| interval.saturating_mul(2).min(PATIENCE))
}

/// Removes the addresses. Waits for the kernel.
pub(super) fn remove(of: Holdings<'_>) -> Result<(), String> {
    let (links, there) = dump().map_err(|e| format!("the addresses could not be read: {e}"))?;
    let names: BTreeMap<u32, String> = links.values().map(|l| (l.ifindex, l.name.clone())).collect();
    let mut unread = None;
    let shot = of.snapshot.try_clone().map_err(|e| e.to_string());
    let shot = shot.and_then(|f| Slots::new(f).newest().map_err(|e| e.to_string()));
    let shot = shot.unwrap_or_else(|why| {
        unread = Some(why);
        None
    });
    let mut ours = shot.as_ref().map_or_else(Vec::new, |s| kept(s, &there));
    if of.routes {
        let fixed: BTreeSet<AddrId> = shot.iter().flat_map(|s| &s.fixed).copied().collect();
        let fixed = there.iter().filter(|a| a.proto == STATIC_PROTO && fixed.contains(&(a.ifindex, a.addr, a.prefix)));
        ours.extend(fixed.map(|a| spec(a, None)));
    }
    let mut configs = Vec::new();
    let mut ipvs = Ipvs::of(shot.as_ref());
    for image in of.images {
        match image_with_header(image) {
            Ok((config, header)) => {
                if of.routes
                    && let Err(why) = ipvs.add(image, &config, &header)
                {
                    unread = Some(why);
                }
                configs.push(config);
            }
            Err(why) => unread = Some(why),
        }
    }
    let mut fib = Fib::of(shot.as_ref(), of.routes || unread.is_none());
    for config in &configs {
        ours.extend(self::ours(config, &names, &there));
        fib.add(config, of.routes);
    }
    let filters =
        shot.as_ref().is_some_and(|s| s.filter) || configs.iter().flat_map(|c| &c.instances).any(|i| !i.accepts());
    // With the services that get their packets by marks, their table goes too.
    let marks = of.routes && configs.iter().any(|c| c.global.more.nftables_ipvs.is_some());
    let stuck = fib.remove();
    let unmade = delete_own(shot.as_ref(), &configs, &links);
    let failed = delete(&ours, del_addr, Errno::EADDRNOTAVAIL)
        .map_err(|e| format!("the addresses could not be removed: {e}"))?
        .map(|e| format!("an address could not be removed: errno {}", e.0));
    let served = if of.routes { ipvs.remove() } else { Ok(()) };
    // An address that is left stays filtered.
    let filtered = remove_tables(&configs, filters && failed.is_none(), marks);
    match failed.or(stuck.err()).or(unmade.err()).or(filtered.err()).or(served.err()).or(unread) {
        Some(why) => Err(why),
        None => Ok(()),
    }
}

/// Removes the tables of nf_tables that carry our comment under a name that one of these configurations gives them: those that drop packets,
/// those that mark them, or both.
fn remove_tables(configs: &[Config], filters: bool, marks: bool) -> Result<(), String> {
    let could_not = |e: io::Error| format!("the nftables table could not be removed: {e}");
    let mut ours: Vec<([String; 2], String)> = Vec::new();
    for config in configs {
        let (filter, marking) = (settings(config), marking::settings(config));
        ours.extend(filters.then(|| (filter.names(), filter.comment())));
        ours.extend(marks.then_some((marking.names, marking.comment)));
    }
    if ours.is_empty() {
        return Ok(());
    }
    let mut all: BTreeSet<String> = BTreeSet::new();
    let mut out = BytesMut::new();
    nft::get_tables(&mut out, 1);
    rtsync::ask_of(Whom::Netfilter, &out, &mut |bytes| {
        for f in frames(bytes).flatten() {
            if let Ok(Some(nft::Message::Table(t))) = nft::read(f.kind, f.body) {
                let is_ours = |(names, comment): &([String; 2], String)| {
                    names.contains(&t.name) && t.comment.as_ref() == Some(comment)
                };
                all.extend(ours.iter().any(is_ours).then_some(t.name));
            } else if f.control().is_some() {
                return true;
            }
        }
        false
    })
    .map_err(could_not)?;
    let names: Vec<String> = all.into_iter().collect();
    if names.is_empty() {
        return Ok(());
    }
    let mut failed = None;
    out.clear();
    nft::remove(&mut out, 2, &names);
    rtsync::ask_of(Whom::Netfilter, &out, &mut |bytes| {
        let Some(Ok(Control::Ack(result))) = frames(bytes).flatten().find_map(|f| f.control()) else { return false };
        failed = result.err();
        true
    })
    .map_err(could_not)?;
    failed.map_or(Ok(()), |e| Err(format!("the nftables table could not be removed: errno {}", e.0)))
}

/// Routes and rules that are to go.
#[derive(Default)]
struct Fib {
    routes: BTreeSet<RouteId>,
    rules: BTreeSet<RuleSpec>,
}

impl Fib {
    /// Those in a snapshot. `fixed`: the static ones too. [`Fib::add`] removes from the list the static ones that a configuration has;
    /// one that remains belongs to an earlier file, and no later core would remove it.
    fn of(shot: Option<&Snapshot>, fixed: bool) -> Fib {
        let mut fib = Fib::default();
        if let Some(s) = shot {
            fib.routes.extend(s.virtual_routes.iter().chain(s.routes.iter().filter(|_| fixed)));
            fib.rules.extend(s.virtual_rules.iter().chain(s.rules.iter().filter(|_| fixed)));
        }
        fib
    }

    /// Those of a configuration: the virtual ones, and with `all` the static ones too. Without `all`, a static one that a virtual router
    /// lists as well stays.
    fn add(&mut self, config: &Config, all: bool) {
        let more = || config.instances.iter().map(|i| &i.more);
        self.routes.extend(more().flat_map(|m| &m.routes).map(id_of));
        self.rules.extend(more().flat_map(|m| &m.rules).filter_map(|r| r.spec));
        let (routes, rules) =
            (config.static_routes.iter().map(id_of), config.static_rules.iter().filter_map(|r| r.spec));
        if all {
            self.routes.extend(routes);
            self.rules.extend(rules);
        } else {
            routes.for_each(|id| _ = self.routes.remove(&id));
            rules.for_each(|rule| _ = self.rules.remove(&rule));
        }
    }

    /// Removes them. Waits for the kernel.
    fn remove(&self) -> Result<(), String> {
        let mut stuck = None;
        if !self.rules.is_empty() {
            let could_not = |e: io::Error| format!("the rules could not be removed: {e}");
            let mut there = dump_rules().map_err(could_not)?;
            there.retain(|r| self.rules.contains(r));
            stuck = delete(&there, del_rule, Errno::ENOENT).map_err(could_not)?;
        }
        if !self.routes.is_empty() {
            let could_not = |e: io::Error| format!("the routes could not be removed: {e}");
            let mut there = dump_routes().map_err(could_not)?;
            there.retain(|r| r.proto == ROUTE_PROTO && self.routes.contains(&r.id));
            stuck = stuck.or(delete(&there, del_route, Errno::ESRCH).map_err(could_not)?);
        }
        stuck.map_or(Ok(()), |e| Err(format!("a route or rule could not be removed: errno {}", e.0)))
    }
}

/// The rules, of every protocol.
fn dump_rules() -> io::Result<Vec<RuleSpec>> {
    let mut all = Vec::new();
    let mut out = BytesMut::new();
    get_rules(&mut out, 1);
    rtsync::ask(&out, &mut |bytes| {
        for m in messages(bytes).flatten() {
            match m.kind {
                Kind::Rule(rule) => all.push(*rule),
                Kind::Done { .. } | Kind::Ack { .. } => return true,
                _ => {}
            }
        }
        false
    })?;
    Ok(all)
}

/// Asks the kernel to delete each of `all`. The first error that is not `gone`: what is gone already is as it should be.
fn delete<T>(all: &[T], request: impl Fn(&mut BytesMut, u32, &T), gone: Errno) -> io::Result<Option<Errno>> {
    delete_of(Whom::Route, all, request, gone)
}

/// The same, of another part of the kernel.
pub(super) fn delete_of<T>(
    whom: Whom,
    all: &[T],
    request: impl Fn(&mut BytesMut, u32, &T),
    gone: Errno,
) -> io::Result<Option<Errno>> {
    let mut failed = None;
    for slice in all.chunks(SLICE) {
        let mut out = BytesMut::new();
        (1..).zip(slice).for_each(|(seq, spec)| request(&mut out, seq, spec));
        let mut open = slice.len();
        rtsync::ask_of(whom, &out, &mut |bytes| {
            for control in frames(bytes).flatten().filter_map(|f| f.control()) {
                if let Ok(Control::Ack(result)) = control {
                    open -= usize::from(open > 0);
                    failed = failed.or(result.err().filter(|e| *e != gone && *e != Errno::ENODEV));
                }
            }
            open == 0
        })?;
    }
    Ok(failed)
}

/// The routes of our protocol, in every table.
fn dump_routes() -> io::Result<Vec<RouteSpec>> {
    let mut all = Vec::new();
    let mut out = BytesMut::new();
    get_routes(&mut out, 1);
    rtsync::ask(&out, &mut |bytes| {
        for m in messages(bytes).flatten() {
            match m.kind {
                Kind::Route { route, .. } => all.push(*route),
                Kind::Done { .. } | Kind::Ack { .. } => return true,
                _ => {}
            }
        }
        false
    })?;
    Ok(all)
}

/// The interfaces, and the addresses.
fn dump() -> io::Result<(BTreeMap<u32, Link>, Vec<AddrInfo>)> {
    let (mut links, mut all) = (BTreeMap::new(), Vec::new());
    let requests: [fn(&mut BytesMut, u32); 2] = [get_links, get_addrs];
    for request in requests {
        let mut out = BytesMut::new();
        request(&mut out, 1);
        rtsync::ask(&out, &mut |bytes| {
            for m in messages(bytes).flatten() {
                match m.kind {
                    Kind::Link(l) => drop(links.insert(l.ifindex, l)),
                    Kind::Addr(a) => all.push(a),
                    Kind::Done { .. } | Kind::Ack { .. } => return true,
                    _ => {}
                }
            }
            false
        })?;
    }
    Ok((links, all))
}

/// Deletes the interfaces that were made for virtual routers, and puts back the sysctls of those below.
fn delete_own(shot: Option<&Snapshot>, configs: &[Config], links: &BTreeMap<u32, Link>) -> Result<(), String> {
    let named = configs.iter().flat_map(|c| &c.instances).flat_map(|i| i.own_names());
    let named: BTreeSet<&str> = named.chain(shot.iter().flat_map(|s| &s.own).map(|o| o.name.as_str())).collect();
    let ours: Vec<u32> = links
        .values()
        .filter(|l| l.ours && l.upon.is_some() && named.contains(l.name.as_str()))
        .map(|l| l.ifindex)
        .collect();
    let gone = |out: &mut BytesMut, seq: u32, ifindex: &u32| del_link(out, seq, *ifindex);
    let failed = delete(&ours, gone, Errno::ENODEV);
    for below in shot.iter().flat_map(|s| &s.below) {
        let dev = match below.ifindex {
            vmac::HOST => vmac::HOST_NAME,
            ifindex => match links.get(&ifindex) {
                Some(link) => &link.name,
                None => continue,
            },
        };
        for (knob, to) in &below.before {
            // One that somebody else has changed meanwhile stays.
            let set = Set { knob: *knob, to: *to, only: vmac::below(*knob) };
            let _ = knob::set(dev, &set);
        }
    }
    match failed {
        Err(e) => Err(format!("the interfaces of virtual routers could not be deleted: {e}")),
        Ok(Some(e)) => Err(format!("an interface of a virtual router could not be deleted: errno {}", e.0)),
        Ok(None) => Ok(()),
    }
}

/// The addresses of `there` that are to be removed because a snapshot names them.
fn kept(shot: &Snapshot, there: &[AddrInfo]) -> Vec<AddrSpec> {
    let ids: BTreeSet<AddrId> = shot.instances.iter().flat_map(|i| &i.addrs).chain(&shot.going).copied().collect();
    let tagged = there.iter().filter(|a| a.proto == ADDR_PROTO && ids.contains(&(a.ifindex, a.addr, a.prefix)));
    tagged.map(|a| spec(a, None)).collect()
}

fn spec(a: &AddrInfo, peer: Option<IpAddr>) -> AddrSpec {
    AddrSpec { peer, ..AddrSpec::from(a) }
}

/// The addresses of `there` that are to be removed. An interface that the configuration does not name counts as each configured interface
/// that does not exist: the interface may have been renamed since, and the address on it is still ours.
fn ours(config: &Config, names: &BTreeMap<u32, String>, there: &[AddrInfo]) -> Vec<AddrSpec> {
    let present: BTreeSet<&str> = names.values().map(String::as_str).collect();
    let mut vips: BTreeMap<(IpAddr, Option<&str>), Option<IpAddr>> = BTreeMap::new();
    let mut named = BTreeSet::new();
    for i in &config.instances {
        for v in i.vips.iter().chain(&i.excluded) {
            let dev = v.dev.as_deref().unwrap_or(i.default_dev());
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

    #[test]
    fn a_static_route_that_no_file_has_any_more_goes_whoever_follows() {
        use crate::config::model::route::{Prefix, Route};
        let route = |n: u8| Route { to: Some(Prefix { addr: [192, 0, n, 0].into(), len: 24 }), ..Route::default() };
        let id = |n: u8| id_of(&route(n));
        let config = Config { static_routes: vec![route(1), route(2)], ..Config::default() };
        let shot = Snapshot { routes: vec![id(1), id(3)], virtual_routes: vec![id(4)], ..Snapshot::default() };
        let of = |fixed: bool, all: bool| {
            let mut fib = Fib::of(Some(&shot), fixed);
            fib.add(&config, all);
            fib.routes
        };
        assert_eq!(of(true, true), BTreeSet::from([id(1), id(2), id(3), id(4)]), "the end: no core follows");
        assert_eq!(of(true, false), BTreeSet::from([id(3), id(4)]), "a core follows, which has 1 and 2 from the file");
        assert_eq!(of(false, false), BTreeSet::from([id(4)]), "a file that cannot be read may name 3");
    }

    #[test]
    fn a_successor_is_waited_for_until_a_peer_is_about_to_take_over() {
        use crate::snapshot::InstanceShot;
        let one = |ms: u64, holds: bool| InstanceShot {
            master_interval: ms * 1_000_000,
            addrs: if holds { vec![(1, [192, 0, 2, 1].into(), 24)] } else { Vec::new() },
            ..InstanceShot::default()
        };
        let of = |all: &[(u64, bool)]| {
            let instances = all.iter().map(|(ms, holds)| one(*ms, *holds).into()).collect();
            patience(Some(&Snapshot { instances, ..Snapshot::default() }))
        };
        assert_eq!(of(&[(100, true), (10, false), (500, true)]), Duration::from_millis(200));
        assert_eq!(of(&[(255_000, true)]), PATIENCE);
        assert_eq!(of(&[(u64::MAX / 1_000_000, true)]), PATIENCE);
        assert_eq!(patience(None), PATIENCE);
    }
}
