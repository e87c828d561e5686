//! `virtual_server`, `real_server`, `virtual_server_group`: their keywords, and the rules between them. Messages resemble keepalived's,
//! which an operator who migrates has seen. Read next: `check.rs`.

use super::Cx;
use super::check;
use super::refs::{Kind, Owner, Use};
use super::value::word;
use crate::config::keyword::{Form, Keyword, Scope};
use crate::config::kind;
use crate::config::model::Config;
use crate::config::model::lvs::{
    Checksum, GroupEntry, IpFamily, Method, Protocol, RealServer, Scheduler, ServerGroup, Service, Sorry, Tunnel,
    VirtualServer,
};
use crate::config::model::setting::{Block, Choice, Value};
use crate::config::source::Span;
use crate::config::tree::Stmt;
use core::net::IpAddr;
use std::collections::BTreeMap;

/// Most addresses of one range: IPv4 ranges count the last octet, IPv6 ranges the last 16 bits.
const MAX_RANGE: u32 = 0xffff;
/// Name of an IPVS persistence engine with its closing zero: IP_VS_PENAME_MAXLEN.
const MAX_ENGINE: usize = 15;
/// keepalived's persistence, in seconds, for a service that requires one.
const PERSISTENCE: u32 = 360;

/// What is needed to work out the defaults once the block is read.
#[derive(Default)]
struct Given {
    scheduler: bool,
    method: bool,
    protocol: Option<Span>,
    quorum: Option<Span>,
    ops: Option<Span>,
    /// Real servers of another family than the service. A tunnel permits them, and may be configured in a later line.
    foreign: Vec<(IpAddr, u16, Span)>,
    foreign_sorry: Option<Span>,
    /// `sorry_server_lvs_method`; without it the sorry server has the method of the service, wherever that stands.
    sorry_method: Option<Method>,
    /// There is a real_server, also a wrong one.
    members: bool,
}

/// Reads one block; `None` when it has no service, or no server.
pub(super) fn virtual_server<'a>(
    cx: &mut Cx<'a>,
    k: &'static Keyword,
    head: &'a Stmt,
    stmts: &'a [Stmt],
) -> Option<VirtualServer> {
    let service = service(cx, k, head)?;
    let mut vs = VirtualServer { service, place: cx.src.place(head.span()), ..VirtualServer::default() };
    let mut given = Given::default();
    let mut members = BTreeMap::new();
    cx.walk(Scope::VirtualServer, stmts, |cx, k, stmt| one(cx, &mut vs, &mut given, &mut members, k, stmt));
    complete(cx, &mut vs, &given, &members, head)
}

/// `<ip> [<port>]`, `fwmark <n>`, `group <name>`.
fn service<'a>(cx: &mut Cx<'a>, k: &'static Keyword, head: &'a Stmt) -> Option<Service> {
    let mut next = 1;
    let first = cx.need(k, head, &mut next)?;
    let second = word(head, 2);
    let service = match (cx.text(first), second) {
        ("fwmark", Some(w)) => Service::Mark(cx.number_of(k, w, 0, i64::from(u32::MAX))?),
        ("group", Some(w)) => {
            let name: Box<str> = cx.text(w).into();
            let owner = Owner { block: "virtual_server", name: "".into() };
            cx.uses.push(Use {
                kind: Kind::ServerGroup,
                name: name.clone(),
                span: w.span,
                weight: None,
                word: None,
                owner,
            });
            Service::Group(name)
        }
        ("fwmark" | "group", None) => return cx.bad_word(k, first, "a mark or a name after it"),
        _ => {
            let (addr, port) = cx.endpoint(k, head, 1)?;
            Service::Address(addr, port)
        }
    };
    cx.extra(head, 3);
    Some(service)
}

impl<'a> Cx<'a> {
    /// `<ip> [<port>]` from word `at`; port 0: not given.
    fn endpoint(&mut self, k: &'static Keyword, stmt: &'a Stmt, at: usize) -> Option<(IpAddr, u16)> {
        let mut next = at;
        let first = self.need(k, stmt, &mut next)?;
        let text = self.text(first);
        let bare =
            text.split_once('/').filter(|(_, len)| len.parse::<u8>().is_ok_and(|n| n <= 128)).map_or(text, |b| b.0);
        let Ok(addr) = bare.parse() else {
            self.say(first.span, kind::bad_address_of(text, k.name)).help(format!("write `{} {}`", k.name, k.args));
            return None;
        };
        if bare != text {
            self.say(first.span, kind::prefix_ignored(k.name, addr));
        }
        let port = match word(stmt, next) {
            Some(w) => self.number_of(k, w, 0, 65_535)?,
            None => 0,
        };
        Some((addr, port))
    }

    /// `NAT|DR|TUN [type ...]`.
    fn method(&mut self, k: &'static Keyword, stmt: &'a Stmt) -> Option<Method> {
        let mut next = 1;
        let first = self.need(k, stmt, &mut next)?;
        match self.text(first) {
            "NAT" => Some(Method::Nat),
            "DR" => Some(Method::Dr),
            "TUN" => self.tunnel(k, stmt).map(Method::Tun),
            // keepalived accepts capitals only; files also have them in lower case, as in ipvsadm and its manual.
            other if ["NAT", "DR", "TUN"].contains(&&*other.to_ascii_uppercase()) => {
                self.say(first.span, kind::unknown_word(other, self.without(k)).fate(self.fate()))
                    .help(format!("did you mean `{}`? letter case counts", other.to_ascii_uppercase()));
                None
            }
            _ => self.bad_word(k, first, "NAT, DR, TUN"),
        }
    }

    fn tunnel(&mut self, k: &'static Keyword, stmt: &'a Stmt) -> Option<Tunnel> {
        const HELP: &str = "type ipip, type gue port <n> [nocsum|csum|remcsum], type gre [nocsum|csum]";
        let Some(w) = word(stmt, 2) else { return Some(Tunnel::Ipip) };
        let kind = word(stmt, 3).map(|w| self.text(w));
        match (self.text(w), kind) {
            ("type", Some("ipip")) => Some(Tunnel::Ipip),
            ("type", Some("gue")) => {
                let port = word(stmt, 5).filter(|_| word(stmt, 4).is_some_and(|w| self.text(w) == "port"));
                let Some(port) = port else { return self.bad_word(k, w, HELP) };
                let port = self.number_of(k, port, 1, 65_535)?;
                Some(Tunnel::Gue(port, self.checksum(k, stmt, 6, true)?))
            }
            ("type", Some("gre")) => Some(Tunnel::Gre(self.checksum(k, stmt, 4, false)?)),
            _ => self.bad_word(k, w, HELP),
        }
    }

    fn checksum(&mut self, k: &'static Keyword, stmt: &'a Stmt, at: usize, remote: bool) -> Option<Checksum> {
        let Some(w) = word(stmt, at) else { return Some(Checksum::None) };
        match self.text(w) {
            "nocsum" => Some(Checksum::None),
            "csum" => Some(Checksum::Csum),
            "remcsum" if remote => Some(Checksum::Remote),
            _ => self.bad_word(k, w, if remote { "nocsum, csum, remcsum" } else { "nocsum, csum" }),
        }
    }
}

type Members = BTreeMap<(IpAddr, u16), Span>;

fn one<'a>(
    cx: &mut Cx<'a>,
    vs: &mut VirtualServer,
    given: &mut Given,
    members: &mut Members,
    k: &'static Keyword,
    stmt: &'a Stmt,
) {
    match k.name {
        "lb_kind" | "lvs_method" => {
            given.method = true;
            if let Some(method) = cx.method(k, stmt) {
                vs.method = method;
            }
        }
        "lb_algo" | "lvs_sched" => {
            given.scheduler = true;
            if let Some(Value::Choice(n)) = cx.value(k, stmt) {
                vs.scheduler = Choice::by_number(n).unwrap_or(vs.scheduler);
            }
        }
        "protocol" => {
            given.protocol = Some(stmt.span());
            cx.set(&mut [vs], k, stmt);
        }
        "quorum" => {
            given.quorum = Some(stmt.span());
            cx.set(&mut [vs], k, stmt);
        }
        "ops" => {
            given.ops = Some(stmt.span());
            cx.set(&mut [vs], k, stmt);
        }
        "flag-1" => vs.flags |= 1,
        "flag-2" => vs.flags |= 2,
        "flag-3" => vs.flags |= 4,
        // Their numbers in the kernel are those of the raw flags.
        "sh-fallback" | "mh-fallback" => scheduler_flag(cx, vs, k, stmt, 1),
        "sh-port" | "mh-port" => scheduler_flag(cx, vs, k, stmt, 2),
        "hashed" => {
            vs.hashed = matches!(vs.scheduler, Scheduler::Sh | Scheduler::Mh);
            if !vs.hashed {
                cx.say(stmt.span(), kind::hashed_without_hash());
            }
        }
        "on_down" => {
            if let Some(Value::Choice(n)) = cx.value(k, stmt) {
                vs.inhibit_on_failure = n == 1;
            }
        }
        "persistence_granularity" => granularity(cx, vs, k, stmt),
        "persistence_engine" => match cx.arg(k, stmt) {
            Some(w) if cx.text(w).len() > MAX_ENGINE => {
                cx.bad_word(k, w, &format!("1..{MAX_ENGINE} bytes")).unwrap_or_default()
            }
            Some(w) => vs.persistence_engine = Some(cx.text(w).into()),
            None => {}
        },
        "ha_suspend" if !matches!(vs.service, Service::Address(..)) => {
            cx.say(stmt.span(), kind::suspend_without_address());
        }
        "ip_family" => {
            cx.set(&mut [vs], k, stmt);
            if let (Service::Address(addr, _), Some(family)) = (&vs.service, vs.ip_family)
                && addr.is_ipv6() != (family == IpFamily::Inet6)
            {
                cx.say(stmt.span(), kind::other_ip_family());
                vs.ip_family = None;
            }
        }
        "sorry_server" => {
            if let Some((addr, port)) = cx.endpoint(k, stmt, 1) {
                cx.extra(stmt, 3);
                {
                    if other_family(vs, addr) {
                        given.foreign_sorry = Some(stmt.span());
                    }
                    vs.sorry = Some(Box::new(Sorry { addr, port, inhibit: false, method: vs.method }));
                }
            }
        }
        "sorry_server_inhibit" | "sorry_server_lvs_method" => {
            let method = if k.form == Form::Flag { None } else { cx.method(k, stmt) };
            match (&mut vs.sorry, method) {
                (Some(_), Some(method)) => given.sorry_method = Some(method),
                (Some(sorry), None) => sorry.inhibit |= k.form == Form::Flag,
                (None, _) => {
                    cx.say(stmt.span(), kind::needs_sorry_server(k.name));
                }
            }
        }
        "real_server" => {
            let stmts = stmt.block.as_ref().map_or(&[][..], |b| &b.stmts);
            if let Some(rs) = real_server(cx, members, k, stmt, stmts) {
                if other_family(vs, rs.addr) {
                    given.foreign.push((rs.addr, rs.port, stmt.span()));
                }
                vs.real_servers.push(rs);
            }
            given.members = true;
        }
        _ => {
            let VirtualServer { pace, .. } = vs;
            if pace.setting(k.name).is_some() {
                cx.set(&mut [pace], k, stmt);
            } else {
                cx.set(&mut [vs], k, stmt);
            }
        }
    }
}

fn other_family(vs: &VirtualServer, addr: IpAddr) -> bool {
    match (&vs.service, vs.ip_family) {
        (Service::Address(own, _), _) => own.is_ipv4() != addr.is_ipv4(),
        (_, Some(family)) => addr.is_ipv6() != (family == IpFamily::Inet6),
        _ => vs.real_servers.first().is_some_and(|r| r.addr.is_ipv4() != addr.is_ipv4()),
    }
}

fn scheduler_flag<'a>(cx: &mut Cx<'a>, vs: &mut VirtualServer, k: &'static Keyword, stmt: &'a Stmt, bit: u8) {
    let own = if k.name.starts_with("sh") { Scheduler::Sh } else { Scheduler::Mh };
    let name = k.name;
    match vs.scheduler {
        s if s == own => vs.flags |= bit,
        Scheduler::Sh | Scheduler::Mh => {
            cx.say(stmt.span(), kind::for_scheduler(name, own.word()));
        }
        _ => {
            cx.say(stmt.span(), kind::needs_scheduler(name, own.word()));
        }
    }
}

fn granularity<'a>(cx: &mut Cx<'a>, vs: &mut VirtualServer, k: &'static Keyword, stmt: &'a Stmt) {
    let Some(w) = cx.arg(k, stmt) else { return };
    let text = cx.text(w);
    let v6 = matches!(vs.service, Service::Address(IpAddr::V6(_), _)) || !text.contains('.');
    let found = match v6 {
        true => text.parse().ok().filter(|n| (1..=128).contains(n)),
        false => text.parse::<core::net::Ipv4Addr>().ok().map(|m| m.to_bits()),
    };
    match found {
        Some(mask) => vs.granularity = Some(mask),
        None => cx.bad_word(k, w, "an IPv4 netmask, or for IPv6 a prefix length 1..128").unwrap_or_default(),
    }
}

fn real_server<'a>(
    cx: &mut Cx<'a>,
    members: &mut Members,
    k: &'static Keyword,
    head: &'a Stmt,
    stmts: &'a [Stmt],
) -> Option<RealServer> {
    let (addr, port) = cx.endpoint(k, head, 1)?;
    cx.extra(head, 3);
    let mut rs = RealServer { addr, port, ..RealServer::default() };
    cx.walk(Scope::RealServer, stmts, |cx, k, stmt| match k.form {
        Form::Block(_) => {
            let stmts = stmt.block.as_ref().map_or(&[][..], |b| &b.stmts);
            if let Some(mut check) = check::check(cx, k, stmt, stmts) {
                check::sources(cx, &mut check, addr, stmt);
                rs.checks.push(check);
            }
        }
        _ if k.name == "lvs_method" => rs.method = cx.method(k, stmt).or(rs.method),
        _ => {
            let RealServer { pace, .. } = &mut rs;
            if pace.setting(k.name).is_some() {
                cx.set(&mut [pace], k, stmt);
            } else {
                cx.set(&mut [&mut rs], k, stmt);
            }
        }
    });
    if let Some(first) = members.insert((addr, port), head.span()) {
        let src = cx.src;
        cx.say(head.span(), kind::duplicate_real_server(addr, port)).also(src, first, "the first one is here");
        members.insert((addr, port), first);
        return None;
    }
    Some(rs)
}

fn complete(
    cx: &mut Cx<'_>,
    vs: &mut VirtualServer,
    given: &Given,
    members: &Members,
    head: &Stmt,
) -> Option<VirtualServer> {
    let at = head.span();
    if let Some(sorry) = &mut vs.sorry {
        sorry.method = given.sorry_method.unwrap_or(vs.method);
    }
    let tunnel = |m: Method| matches!(m, Method::Tun(_));
    for (addr, port, span) in &given.foreign {
        let own = vs.method;
        let keep = |r: &RealServer| (r.addr, r.port) != (*addr, *port) || tunnel(r.method.unwrap_or(own));
        if !vs.real_servers.iter().all(keep) {
            vs.real_servers.retain(keep);
            cx.say(*span, kind::real_server_of_other_family(addr)).help("only `lb_kind TUN` leads to another family");
        }
    }
    if let (Some(span), Some(sorry)) = (given.foreign_sorry, &vs.sorry)
        && !tunnel(sorry.method)
    {
        cx.say(span, kind::sorry_server_of_other_family());
        vs.sorry = None;
    }
    if vs.real_servers.is_empty() && given.members {
        return None;
    }
    if vs.real_servers.is_empty() {
        cx.say(at, kind::no_real_server()).help("add `real_server <ip> <port> { ... }`");
        return None;
    }
    let mark = matches!(vs.service, Service::Mark(_));
    if mark && vs.ip_family.is_none() {
        // That of the first server: the same mark may serve both.
        let v6 = vs.real_servers.first().is_some_and(|r| r.addr.is_ipv6());
        vs.ip_family = Some(if v6 { IpFamily::Inet6 } else { IpFamily::Inet });
    }
    match (mark, vs.protocol, given.protocol) {
        (true, Some(_), Some(span)) => {
            cx.say(span, kind::protocol_of_mark());
            vs.protocol = None;
        }
        (false, None, None) if matches!(vs.service, Service::Group(_)) => {}
        (false, None, None) => {
            no_protocol(cx, at);
            vs.protocol = Some(Protocol::Udp);
        }
        // A wrong one is reported already.
        (false, None, Some(_)) => vs.protocol = Some(Protocol::Udp),
        _ => {}
    }
    if !given.scheduler {
        cx.say(at, kind::no_scheduler()).help("add `lb_algo wlc`");
    }
    if !given.method {
        cx.say(at, kind::no_method()).help("add `lb_kind NAT`");
    }
    if let (Some(span), true) = (given.ops, vs.protocol.is_some_and(|p| p != Protocol::Udp)) {
        cx.say(span, kind::ops_without_udp());
        vs.ops = false;
    }
    if vs.granularity.is_some() && vs.persistence_timeout == 0 {
        vs.persistence_timeout = PERSISTENCE;
    }
    match vs.service {
        Service::Address(_, 0) => persistence(cx, vs, at),
        Service::Group(_) => cx.of_group.push(at),
        _ => {}
    }
    ports(cx, vs, members, at);
    let sum: i64 = vs.real_servers.iter().map(|r| i64::from(r.weight.unwrap_or(vs.weight))).sum();
    if sum <= 0 {
        cx.say(given.quorum.unwrap_or(at), kind::no_weight()).help("give at least one real_server a weight");
        vs.quorum = 1;
    } else if i64::from(vs.quorum) > sum {
        cx.say(given.quorum.unwrap_or(at), kind::quorum_above_weights(vs.quorum, sum))
            .help("lower it, or raise the weights");
        vs.quorum = u32::try_from(sum).unwrap_or(u32::MAX);
    }
    if vs.hysteresis >= vs.quorum && vs.hysteresis > 0 {
        let near = vs.quorum.saturating_sub(1);
        cx.say(at, kind::hysteresis_above_quorum(vs.hysteresis, vs.quorum, near));
        vs.hysteresis = near;
    }
    Some(std::mem::take(vs))
}

fn no_protocol(cx: &mut Cx<'_>, at: Span) {
    cx.say(at, kind::no_protocol()).help("add `protocol TCP`");
}

// The kernel schedules nothing for a service of all ports without it.
fn persistence(cx: &mut Cx<'_>, vs: &mut VirtualServer, at: Span) {
    if vs.persistence_timeout == 0 {
        cx.say(at, kind::no_persistence(PERSISTENCE)).help(format!("add `persistence_timeout {PERSISTENCE}`"));
        vs.persistence_timeout = PERSISTENCE;
    }
}

/// What of a service depends on its group, which may stand below it: the protocol, for a group of marks has none, and persistence.
pub(super) fn of_group(cx: &mut Cx<'_>, config: &mut Config) {
    let mut open = std::mem::take(&mut cx.of_group).into_iter();
    for vs in &mut config.virtual_servers {
        let Service::Group(name) = &vs.service else { continue };
        let Some(at) = open.find(|at| cx.src.place(*at) == vs.place) else { return };
        let entries = config.server_groups.iter().find(|g| g.name == *name).map_or(&[][..], |g| &g.entries);
        if vs.protocol.is_none() && (entries.is_empty() || entries.iter().any(|e| matches!(e, GroupEntry::Range(..)))) {
            vs.protocol = Some(Protocol::Udp);
            no_protocol(cx, at);
        }
        if entries.iter().any(|e| matches!(e, GroupEntry::Range(_, _, 0))) {
            persistence(cx, vs, at);
        }
    }
}

/// Only NAT can change the port.
fn ports(cx: &mut Cx<'_>, vs: &mut VirtualServer, members: &Members, at: Span) {
    let (service, mark) = match vs.service {
        Service::Address(_, port) => (port, false),
        Service::Mark(_) => (0, true),
        Service::Group(_) => return,
    };
    let (mut changed, mut first) = (0, None);
    for rs in &mut vs.real_servers {
        let nat = rs.method.unwrap_or(vs.method) == Method::Nat;
        if rs.port == 0 {
            rs.port = service;
        } else if rs.port != service && !nat {
            first = first.or_else(|| members.get(&(rs.addr, rs.port)).copied());
            // The checks use it. Behind a mark there is none in the table.
            if !mark {
                rs.written_port = Some(rs.port);
                rs.port = service;
            }
            changed += 1;
        }
    }
    if changed > 0 {
        let text = match mark {
            true => kind::port_of_mark(changed),
            false => kind::port_without_nat(service, changed),
        };
        cx.say(first.unwrap_or(at), text).help("write the port of the service, or none");
    }
}

/// Reads a `virtual_server_group`.
pub(super) fn group<'a>(
    cx: &mut Cx<'a>,
    k: &'static Keyword,
    head: &'a Stmt,
    lines: &'a [Stmt],
) -> Option<ServerGroup> {
    let name = cx.name(k, head)?;
    let mut group = ServerGroup { name, entries: Vec::new() };
    cx.in_line = true;
    for line in lines {
        group.entries.extend(entry(cx, k, line));
    }
    cx.in_line = false;
    if group.entries.is_empty() {
        cx.say(head.span(), kind::empty_server_group(&group.name));
        return None;
    }
    Some(group)
}

fn entry<'a>(cx: &mut Cx<'a>, k: &'static Keyword, line: &'a Stmt) -> Option<GroupEntry> {
    let first = word(line, 0)?;
    let text = cx.text(first);
    if text == "fwmark" {
        let Some(w) = word(line, 1) else { return cx.bad_word(k, first, "fwmark <n> [inet|inet6]") };
        let mark = cx.number_of(k, w, 0, i64::from(u32::MAX))?;
        let family = match word(line, 2) {
            Some(w) => match IpFamily::of(cx.text(w)) {
                Some(f) => Some(f),
                None => return cx.bad_word(k, w, "inet, inet6"),
            },
            None => None,
        };
        return Some(GroupEntry::Mark(mark, family));
    }
    let port = match word(line, 1) {
        Some(w) => cx.number_of(k, w, 0, 65_535)?,
        None => 0,
    };
    cx.extra(line, 2);
    match range(text) {
        Some((addr, more)) => Some(GroupEntry::Range(addr, more, port)),
        None => cx.bad_word(k, first, "<ip>[-<last>|-<ip>|/<mask>] [<port>], fwmark <n>"),
    }
}

/// `10.0.0.1-9`, `10.0.0.1-10.0.0.9`, `10.0.0.0/28`, `2001:db8::1-ff`: the first address, and how many follow.
fn range(text: &str) -> Option<(IpAddr, u32)> {
    if let Ok(addr) = text.parse() {
        return Some((addr, 0));
    }
    if let Some((addr, len)) = text.split_once('/') {
        let addr: IpAddr = addr.parse().ok()?;
        let full: u32 = if addr.is_ipv4() { 32 } else { 128 };
        let host = full.checked_sub(len.parse().ok()?)?;
        let more = 1u32.checked_shl(host)?.checked_sub(1)?;
        return (more <= MAX_RANGE).then_some((addr, more));
    }
    let (addr, last) = text.rsplit_once('-')?;
    let addr: IpAddr = addr.parse().ok()?;
    if let Ok(last) = last.parse::<IpAddr>() {
        let more = match (addr, last) {
            (IpAddr::V4(a), IpAddr::V4(b)) => u128::from(b.to_bits().checked_sub(a.to_bits())?),
            (IpAddr::V6(a), IpAddr::V6(b)) => b.to_bits().checked_sub(a.to_bits())?,
            _ => return None,
        };
        return u32::try_from(more).ok().filter(|more| *more <= MAX_RANGE).map(|more| (addr, more));
    }
    let (own, last) = match addr {
        IpAddr::V4(a) => (u32::from(a.octets()[3]), u32::from(last.parse::<u8>().ok()?)),
        IpAddr::V6(a) => (u32::from(a.segments()[7]), u32::from(u16::from_str_radix(last, 16).ok()?)),
    };
    last.checked_sub(own).map(|more| (addr, more))
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn ranges() {
        let of = |t| range(t).map(|(a, n)| format!("{a}+{n}"));
        assert_eq!(of("10.0.0.1").as_deref(), Some("10.0.0.1+0"));
        assert_eq!(of("10.0.0.1-9").as_deref(), Some("10.0.0.1+8"));
        assert_eq!(of("10.0.0.16/28").as_deref(), Some("10.0.0.16+15"));
        assert_eq!(of("10.0.0.1-10.0.0.3").as_deref(), Some("10.0.0.1+2"));
        assert_eq!(of("10.0.0.254-10.0.1.3").as_deref(), Some("10.0.0.254+5"));
        assert_eq!(of("2001:db8::1-2001:db8::3").as_deref(), Some("2001:db8::1+2"));
        assert_eq!(of("2001:db8::10-1f").as_deref(), Some("2001:db8::10+15"));
        for bad in [
            "10.0.0.9-10.0.0.3",
            "10.0.0.1-2001:db8::1",
            "10.0.0.0-10.1.0.0",
            "10.0.0.9-1",
            "10.0.0.1-256",
            "10.0.0.0/0",
            "10.0.0.0/33",
            "x",
            "",
            "10.0.0.1-",
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
