//! Lines of routes and rules, in the words of `ip route` and `ip rule`. One wrong word discards its line, because an incomplete route
//! would lead packets to a wrong place. Names of tables and the like are not looked up here.

use super::Cx;
use super::address::netmask;
use super::value::word;
use crate::config::diag::Severity;
use crate::config::keyword::{self, Keyword, Scope, nearest};
use crate::config::kind;
use crate::config::lex::Word;
use crate::config::model::route::{Action, Hop, Metrics, Prefix, Route, Rule};
use crate::config::model::setting::Block;
use crate::config::tree::Stmt;
use crate::route::{Encap, IpTunnel, MOST_LABELS};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

impl<'a> Cx<'a> {
    /// All lines of a block of routes.
    pub(super) fn routes(&mut self, stmt: &'a Stmt, user: &str) -> Vec<Route> {
        self.lines(stmt, |cx, line| cx.route(line, user))
    }

    /// All lines of a block of rules.
    pub(super) fn rules(&mut self, stmt: &'a Stmt, user: &str) -> Vec<Rule> {
        self.lines(stmt, |cx, line| cx.rule(line, user))
    }

    fn lines<T>(&mut self, stmt: &'a Stmt, mut one: impl FnMut(&mut Self, &'a Stmt) -> Option<T>) -> Vec<T> {
        self.extra(stmt, 1);
        let mut out = Vec::new();
        for line in stmt.block.iter().flat_map(|b| &b.stmts) {
            if let Some(block) = &line.block {
                self.say(block.open, kind::block_in_line());
            }
            self.in_line = true;
            out.extend(one(self, line));
            self.in_line = false;
        }
        out
    }

    fn unknown_in_line<T>(&mut self, scope: Scope, w: &'a Word) -> Option<T> {
        let text = self.text(w);
        let near = nearest::nearest(scope, text).map(|n| format!("did you mean `{n}`?"));
        self.say(w.span, kind::unknown_word_in_line(text, scope.title()))
            .maybe_help(near.or(Some("one per line".to_owned())));
        None
    }

    /// `<ip>[/<len>]`; `Ok(None)` for `default`, `all`, `any`.
    fn prefix(&mut self, k: &Keyword, w: &'a Word) -> Option<Option<Prefix>> {
        let text = self.text(w);
        if matches!(text, "default" | "all" | "any") {
            return Some(None);
        }
        let (ip, len) = text.split_once('/').map_or((text, None), |(a, l)| (a, Some(l)));
        if let Ok(addr) = ip.parse::<IpAddr>() {
            let full = if addr.is_ipv4() { 32 } else { 128 };
            match len.map_or(Ok(full), str::parse::<u8>) {
                Ok(len) if len <= full => return Some(Some(Prefix { addr, len })),
                _ => {}
            }
            if let Some(ones) = len.filter(|_| addr.is_ipv4()).and_then(netmask) {
                self.say(w.span, kind::bad_value(text, self.without(k)).fate(self.fate()))
                    .help(format!("write the netmask as a prefix length: `{ip}/{ones}`"));
                return None;
            }
        }
        self.bad_word(k, w, "<ip>[/<len>], default")
    }

    /// Reads a gateway, `[inet|inet6] <ip>`. `None`: it is wrong, which is reported.
    fn gateway(&mut self, k: &'static Keyword, line: &'a Stmt, next: &mut usize) -> Option<IpAddr> {
        let mut w = self.need(k, line, next)?;
        if matches!(self.text(w), "inet" | "inet6") {
            w = self.need(k, line, next)?;
        }
        match self.text(w).parse() {
            Ok(ip) => Some(ip),
            Err(_) => self.bad_word(k, w, "an address"),
        }
    }

    /// `ip id 5 dst 10.0.0.1 ...`: the kind, then words in pairs until a word of the route itself.
    fn encap(&mut self, k: &'static Keyword, line: &'a Stmt, next: &mut usize) -> Option<Encap> {
        let kind = self.need(k, line, next)?;
        match self.text(kind) {
            "ip" => {
                let addr = |text: &str| text.parse::<Ipv4Addr>().ok().map(|a| a.octets());
                self.ip_tunnel(k, line, next, ["tos", "ttl"], [0; 4], addr).map(Encap::Ip)
            }
            "ip6" => {
                let addr = |text: &str| text.parse::<Ipv6Addr>().ok().map(|a| a.octets());
                self.ip_tunnel(k, line, next, ["tc", "hoplimit"], [0; 16], addr).map(Encap::Ip6)
            }
            "mpls" => {
                let w = self.need(k, line, next)?;
                let label = |text: &str| text.parse::<u32>().ok().filter(|n| *n < 1 << 20);
                match self.text(w).split('/').map(label).collect::<Option<Vec<u32>>>() {
                    Some(labels) if labels.len() <= MOST_LABELS => Some(Encap::Mpls(labels)),
                    _ => self.bad_word(k, w, "labels 0..1048575 with / between them, the outermost first"),
                }
            }
            "ila" => {
                let w = self.need(k, line, next)?;
                let part = |text: &str| u64::from_str_radix(text, 16).ok().filter(|n| *n <= 0xffff);
                match self.text(w).split(':').map(part).collect::<Option<Vec<u64>>>() {
                    Some(parts) if parts.len() == 4 => Some(Encap::Ila(parts.iter().fold(0, |all, n| all << 16 | n))),
                    _ => self.bad_word(k, w, "a locator such as 2001:db8:0:1"),
                }
            }
            _ => self.bad_word(k, kind, "ip, ip6, mpls, ila"),
        }
    }

    fn ip_tunnel<A>(
        &mut self,
        k: &'static Keyword,
        line: &'a Stmt,
        next: &mut usize,
        [tos, ttl]: [&str; 2],
        none: A,
        addr: impl Fn(&str) -> Option<A>,
    ) -> Option<IpTunnel<A>>
    where
        A: Copy,
    {
        let mut t = IpTunnel { id: 0, dst: none, src: none, tos: 0, ttl: 0, flags: 0 };
        while let Some(w) = word(line, *next) {
            let name = self.text(w);
            if !["id", "dst", "src", "flags", tos, ttl].contains(&name) {
                break;
            }
            *next += 1;
            let value = self.need(k, line, next)?;
            let text = self.text(value);
            let max = |n: u64| number(text).filter(|v| *v <= n);
            let done = match name {
                "id" => max(u64::MAX).map(|n| t.id = n),
                "dst" => addr(text).map(|a| t.dst = a),
                "src" => addr(text).map(|a| t.src = a),
                "flags" => max(0xffff).map(|n| t.flags = n as u16),
                _ if name == tos => max(255).map(|n| t.tos = n as u8),
                _ => max(255).map(|n| t.ttl = n as u8),
            };
            if done.is_none() {
                return self.bad_word(k, value, &format!("{name} and a number or address that fits"));
            }
        }
        Some(t)
    }

    fn route(&mut self, line: &'a Stmt, user: &str) -> Option<Route> {
        const SCOPE: Scope = Scope::RouteLine;
        let mut route = Route { place: self.src.place(line.span()), hops: vec![Hop::default()], ..Route::default() };
        let (mut next, mut has_to, mut locked) = (0, false, false);
        while let Some(w) = word(line, next) {
            next += 1;
            let Some(k) = keyword::find(SCOPE, self.text(w)) else {
                if has_to {
                    return self.unknown_in_line(SCOPE, w);
                }
                let to = keyword::find(SCOPE, "to")?;
                route.to = self.prefix(to, w)?;
                has_to = true;
                continue;
            };
            if let Some(now) = keyword::replaced_by(SCOPE, k.name) {
                self.say(w.span, kind::old_name(k.name, now).severity(Severity::Warning))
                    .help(format!("write `{now}`"));
            }
            let before = next;
            let hop = route.hops.last_mut()?;
            match k.name {
                "inet" | "inet6" => route.v6 = Some(k.name == "inet6"),
                "unicast" | "local" | "broadcast" | "multicast" | "throw" | "unreachable" | "prohibit"
                | "blackhole" | "nat"
                    if !has_to =>
                {
                    route.kind = Some(k.name.into());
                }
                "to" if !has_to => {
                    let w = self.need(k, line, &mut next)?;
                    route.to = self.prefix(k, w)?;
                    has_to = true;
                }
                "from" => {
                    let w = self.need(k, line, &mut next)?;
                    route.from = self.prefix(k, w)?;
                }
                "via" | "gw" => hop.via = Some(self.gateway(k, line, &mut next)?),
                "or" => {
                    let via = Some(self.gateway(k, line, &mut next)?);
                    route.hops.push(Hop { via, ..Hop::default() });
                }
                // The words before the first `nexthop` are not a hop.
                "nexthop" if *hop == Hop::default() => {}
                "nexthop" => route.hops.push(Hop::default()),
                "dev" | "oif" => {
                    let w = self.need(k, line, &mut next)?;
                    hop.dev = Some(self.interface(w, user)?.into());
                }
                "encap" => hop.encap = Some(self.encap(k, line, &mut next)?),
                "add" | "prepend" | "append" => route.mode = Some(k.name.into()),
                "lock" => locked = true,
                "realms" | "weight" | "onlink" if hop.setting(k.name).is_some() => {
                    let value = self.read(k, line, &mut next)?;
                    hop.setting(k.name)?.put(value);
                }
                _ if route.setting(k.name).is_some() => {
                    let value = self.read(k, line, &mut next)?;
                    route.setting(k.name)?.put(value);
                }
                _ if Metrics::default().setting(k.name).is_some() => {
                    if word(line, next).is_some_and(|w| self.text(w) == "lock") {
                        next += 1;
                        locked = true;
                    }
                    let value = self.read(k, line, &mut next)?;
                    let metrics = route.metrics.get_or_insert_default();
                    metrics.setting(k.name)?.put(value);
                    if std::mem::take(&mut locked) {
                        metrics.locked.push(k.name.into());
                    }
                }
                _ => return self.bad_word(k, w, "the words of a route, once and in their place"),
            }
            if k.name != "lock" && locked && before == next {
                return self.bad_word(k, w, "a metric after `lock`");
            }
        }
        if !has_to {
            self.say(line.span(), kind::route_without_destination())
                .help("an address with a prefix length, or default");
            return None;
        }
        let family = |v6: bool| v6 == route.v6.unwrap_or(v6);
        let mut all = route.to.iter().map(|p| p.addr.is_ipv6()).chain(route.src.iter().map(IpAddr::is_ipv6));
        if !all.all(family) || route.to.zip(route.src).is_some_and(|(t, s)| t.addr.is_ipv4() != s.is_ipv4()) {
            self.say(line.span(), kind::route_of_two_families());
            return None;
        }
        if route.hops == [Hop::default()] {
            route.hops.clear();
        }
        self.route_numbers(line, &mut route)?;
        Some(route)
    }

    fn rule(&mut self, line: &'a Stmt, user: &str) -> Option<Rule> {
        const SCOPE: Scope = Scope::RuleLine;
        let mut rule = Rule { place: self.src.place(line.span()), ..Rule::default() };
        let mut next = 0;
        while let Some(w) = word(line, next) {
            next += 1;
            let Some(k) = keyword::find(SCOPE, self.text(w)) else { return self.unknown_in_line(SCOPE, w) };
            match k.name {
                "inet" | "inet6" => rule.v6 = Some(k.name == "inet6"),
                "from" | "to" => {
                    let w = self.need(k, line, &mut next)?;
                    let prefix = self.prefix(k, w)?;
                    if k.name == "from" { rule.from = prefix } else { rule.to = prefix }
                }
                "table" | "lookup" => {
                    let w = self.need(k, line, &mut next)?;
                    rule.action = Action::Table(self.text(w).into());
                }
                "goto" => {
                    let w = self.need(k, line, &mut next)?;
                    rule.action = Action::Goto(self.number_of(k, w, 1, i64::from(u32::MAX))?);
                }
                "nop" => rule.action = Action::Nop,
                "blackhole" | "unreachable" | "prohibit" => rule.action = Action::Type(k.name.into()),
                "type" => {
                    const TYPES: &[&str] = &["unicast", "blackhole", "unreachable", "prohibit", "nat"];
                    let w = self.need(k, line, &mut next)?;
                    if !TYPES.contains(&self.text(w)) {
                        return self.bad_word(k, w, &TYPES.join(", "));
                    }
                    rule.action = Action::Type(self.text(w).into());
                }
                "dev" | "iif" | "oif" => {
                    let w = self.need(k, line, &mut next)?;
                    let name = Some(self.interface(w, user)?.into());
                    if k.name == "oif" { rule.oif = name } else { rule.iif = name }
                }
                "sport" | "dport" => {
                    let w = self.need(k, line, &mut next)?;
                    let range = Some(self.range(k, w, 65_535)?);
                    if k.name == "sport" { rule.sport = range } else { rule.dport = range }
                }
                "uidrange" => {
                    let w = self.need(k, line, &mut next)?;
                    rule.uidrange = Some(self.range(k, w, u32::MAX)?);
                }
                _ => {
                    let value = self.read(k, line, &mut next)?;
                    rule.setting(k.name)?.put(value);
                }
            }
        }
        if let Action::Goto(to) = rule.action
            && rule.preference.is_none_or(|own| to <= own)
        {
            self.say(line.span(), kind::goto_without_preference()).help("the line is ignored");
            return None;
        }
        rule.spec = self.rule_numbers(line, &rule)?;
        Some(rule)
    }

    /// `<a>-<b>`, or one number, which keepalived refuses by mistake.
    fn range<T: TryFrom<u32>>(&mut self, k: &Keyword, w: &'a Word, max: u32) -> Option<(T, T)> {
        let text = self.text(w);
        let (a, b) = text.split_once('-').unwrap_or((text, text));
        if let (Ok(a), Ok(b)) = (a.parse::<u32>(), b.parse::<u32>())
            && a <= b
            && b <= max
            && let (Ok(a), Ok(b)) = (T::try_from(a), T::try_from(b))
        {
            return Some((a, b));
        }
        self.bad_word(k, w, &format!("<a>-<b>, each 0..{max}, the smaller one first"))
    }
}

/// A number as C reads it: 0x and 0 in front say its base.
fn number(text: &str) -> Option<u64> {
    match (text.strip_prefix("0x").or(text.strip_prefix("0X")), text.strip_prefix('0')) {
        (Some(hex), _) => u64::from_str_radix(hex, 16).ok(),
        (None, Some(octal)) if !octal.is_empty() => u64::from_str_radix(octal, 8).ok(),
        _ => text.parse().ok(),
    }
}
