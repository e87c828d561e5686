//! One line of `virtual_ipaddress`: `192.168.200.17/24 brd + dev eth0 label eth0:1`.

use super::Cx;
use crate::config::keyword::{self, Keyword, Scope, Status, nearest};
use crate::config::kind;
use crate::config::lex::Word;
use crate::config::model::Vip;
use crate::config::model::setting::{Block, Value};
use crate::config::source::Span;
use crate::config::tree::Stmt;
use core::net::{IpAddr, Ipv4Addr};

impl<'a> Cx<'a> {
    /// The address of a line; `None` when the line is dropped, which is then reported.
    pub(super) fn address_line(&mut self, stmt: &'a Stmt, user: &str) -> Option<(Vip, Span)> {
        let (first, rest) = stmt.words.split_first()?;
        if let Some(block) = &stmt.block {
            self.say(block.open, kind::block_in_address());
        }
        let (addr, prefix) = self.address(first)?;
        let full = if addr.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(full);
        let mut vip = Vip {
            addr,
            prefix,
            dev: None,
            brd: None,
            scope: 0,
            label: None,
            // keepalived's rule: such an address would otherwise become the source of the host's own traffic.
            deprecated: addr.is_ipv6() && prefix == full,
            noprefixroute: false,
            peer: None,
            more: None,
            place: self.src.place(first.span),
        };
        let mut words = rest.iter();
        while let Some(word) = words.next() {
            let name = self.text(word);
            let Some(k) = keyword::find(Scope::AddressLine, name) else {
                let help = match name.split('/').next().is_some_and(|a| a.parse::<IpAddr>().is_ok()) {
                    true => Some("one address per line".to_owned()),
                    false => nearest::nearest(Scope::AddressLine, name).map(|n| format!("did you mean `{n}`?")),
                };
                self.say(word.span, kind::unknown_word_of_address(name)).maybe_help(help);
                continue;
            };
            let value = if k.args.is_empty() { None } else { words.next() };
            if value.is_none() && !k.args.is_empty() {
                self.say(word.span, kind::missing_value_of_address(name)).help(format!("write `{name} {}`", k.args));
                continue;
            }
            match (k.status, value) {
                (Status::Supported, Some(value)) if k.name != "track_group" => {
                    self.address_word(&mut vip, k.name, value, user)
                }
                (Status::Supported, None) if k.name == "noprefixroute" => vip.noprefixroute = true,
                (_, value) => {
                    if !k.status.has_effect() && self.quiet == 0 {
                        self.postpone(Scope::AddressLine, k, word.span);
                    }
                    self.more_of_address(&mut vip, k, value);
                }
            }
        }
        if let Some(more) = vip.more.as_deref_mut() {
            // Otherwise the kernel refuses the address, or ignores the word.
            let fits = [
                (&mut more.home, "home", vip.addr.is_ipv6(), "an IPv6 address"),
                (
                    &mut more.mngtmpaddr,
                    "mngtmpaddr",
                    vip.addr.is_ipv6() && vip.prefix == 64,
                    "an IPv6 address with /64",
                ),
            ];
            for (said, word, fits, what) in fits {
                if *said && !fits {
                    *said = false;
                    self.say(stmt.span(), kind::word_needs_address(word, what));
                }
            }
        }
        if vip.dev.is_none() && vip.more.as_ref().is_some_and(|m| m.use_vmac) {
            self.say(stmt.span(), kind::use_vmac_without_dev());
            vip.more.get_or_insert_default().use_vmac = false;
        }
        if let Some(more) = vip.more.as_deref_mut().filter(|m| m.use_vmac && user == "static_ipaddress") {
            more.use_vmac = false;
            self.say(stmt.span(), kind::use_vmac_of_static());
        }
        Some((vip, stmt.span()))
    }

    fn more_of_address(&mut self, vip: &mut Vip, k: &Keyword, value: Option<&'a Word>) {
        let value = value.map_or(Value::Bool(true), |w| Value::Text(self.text(w).into()));
        if let Some(field) = vip.more.get_or_insert_default().setting(k.name) {
            field.put(value);
        }
    }

    /// `ip` or `ip/len`, of an address that a host can have.
    fn address(&mut self, word: &'a Word) -> Option<(IpAddr, Option<u8>)> {
        let text = self.text(word);
        let (ip, len) = text.split_once('/').map_or((text, None), |(a, l)| (a, Some(l)));
        let Ok(ip) = ip.parse::<IpAddr>() else {
            self.say(word.span, kind::bad_address_line(text));
            return None;
        };
        let full = if ip.is_ipv4() { 32 } else { 128 };
        let prefix = match len.map(str::parse::<u8>) {
            None => None,
            Some(Ok(n)) if n <= full => Some(n),
            // keepalived ignores the mask, too, and uses the address.
            Some(_) if ip.is_ipv4() && len.and_then(netmask).is_some() => {
                let ones = len.and_then(netmask).unwrap_or(full);
                self.say(word.span, kind::bad_prefix(text, full))
                    .help(format!("write the netmask as a prefix length: `{ip}/{ones}`"));
                Some(full)
            }
            Some(_) => {
                // As keepalived: the address is used, with its own length where only a comma follows.
                let near = len.and_then(|l| l.trim_end_matches(',').parse().ok()).filter(|n| *n <= full);
                let used = near.unwrap_or(full);
                self.say(word.span, kind::bad_prefix(text, used)).help(format!("allowed: 0..{full}"));
                Some(used)
            }
        };
        let broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
        if ip.is_unspecified() || ip.is_multicast() || broadcast {
            self.say(word.span, kind::not_a_host(ip));
            return None;
        }
        Some((ip, prefix))
    }

    fn address_word(&mut self, vip: &mut Vip, name: &str, value: &'a Word, user: &str) {
        let text = self.text(value);
        match name {
            "dev" => vip.dev = self.interface(value, user).or(vip.dev.take()),
            "scope" => match scope(text) {
                Some(s) => vip.scope = s,
                None => {
                    self.say(value.span, kind::bad_scope(text)).help("global, site, link, host, nowhere or 0..255");
                }
            },
            "brd" | "broadcast" => vip.brd = self.broadcast(vip, value).or(vip.brd),
            "label" if vip.addr.is_ipv6() => {
                self.say(value.span, kind::label_is_ipv4());
            }
            "label" if text.len() > 15 || text.is_empty() => {
                self.say(value.span, kind::bad_label(text));
            }
            "label" => vip.label = Some(text.to_owned()),
            "peer" => match self.address(value) {
                Some((peer, len)) if peer.is_ipv4() == vip.addr.is_ipv4() => {
                    // With a peer the prefix is the peer's, as in `ip address add A peer B/len`.
                    vip.prefix = len.unwrap_or(vip.prefix);
                    vip.peer = Some(peer);
                }
                Some(_) => {
                    self.say(value.span, kind::peer_of_other_family());
                }
                None => {}
            },
            "preferred_lft" => match text {
                "forever" => vip.deprecated = false,
                _ => match text.parse::<u32>() {
                    Ok(0) => vip.deprecated = true,
                    Ok(_) => {
                        vip.deprecated = false;
                        self.say(value.span, kind::unsupported_lifetime());
                    }
                    Err(_) => {
                        self.say(value.span, kind::bad_lifetime(text)).help("seconds, or forever");
                    }
                },
            },
            other => debug_assert!(false, "address line: {other}"),
        }
    }

    fn broadcast(&mut self, vip: &Vip, value: &'a Word) -> Option<Ipv4Addr> {
        let IpAddr::V4(addr) = vip.addr else {
            self.say(value.span, kind::broadcast_is_ipv4());
            return None;
        };
        let hosts = u32::MAX.checked_shr(u32::from(vip.prefix)).unwrap_or(0);
        let text = self.text(value);
        match text {
            "+" | "-" if vip.prefix >= 31 => {
                self.say(value.span, kind::no_broadcast(vip.prefix))
                    .help("write the prefix length of the network, for example /24");
                None
            }
            "+" => Some(Ipv4Addr::from_bits(addr.to_bits() | hosts)),
            "-" => Some(Ipv4Addr::from_bits(addr.to_bits() & !hosts)),
            _ => match text.parse() {
                Ok(ip) => Some(ip),
                Err(_) => {
                    self.say(value.span, kind::bad_ipv4_address(text)).help("an address, + or -");
                    None
                }
            },
        }
    }
}

/// The length of a netmask such as 255.255.255.0.
pub(super) fn netmask(text: &str) -> Option<u8> {
    let mask = text.parse::<Ipv4Addr>().ok()?.to_bits();
    let ones = mask.leading_ones();
    (mask.count_ones() == ones).then_some(ones as u8)
}

fn scope(text: &str) -> Option<u8> {
    // The kernel's numbers (rtnetlink).
    match text {
        "global" | "universe" => Some(0),
        "site" => Some(200),
        "link" => Some(253),
        "host" => Some(254),
        "nowhere" => Some(255),
        _ => text.parse().ok(),
    }
}
