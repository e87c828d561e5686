//! One line of `virtual_ipaddress`: `192.168.200.17/24 brd + dev eth0 label eth0:1`.

use super::Cx;
use crate::config::keyword::{self, Keyword, Scope, Status, nearest};
use crate::config::lex::Word;
use crate::config::model::Vip;
use crate::config::model::setting::{Block, Value};
use crate::config::source::Span;
use crate::config::tree::Stmt;
use core::net::{IpAddr, Ipv4Addr};

impl<'a> Cx<'a> {
    /// The address of a line; `None` when the line is dropped, which has then been told.
    pub(super) fn address_line(&mut self, stmt: &'a Stmt, user: &str) -> Option<(Vip, Span)> {
        let (first, rest) = stmt.words.split_first()?;
        if let Some(block) = &stmt.block {
            self.error(block.open, "an address line takes no block; what is in the braces is ignored");
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
                self.error(word.span, format!("unknown word `{name}` in an address line; ignored")).maybe_help(help);
                continue;
            };
            let value = if k.args.is_empty() { None } else { words.next() };
            if value.is_none() && !k.args.is_empty() {
                self.error(word.span, format!("`{name}` without a value; ignored"))
                    .help(format!("write `{name} {}`", k.args));
                continue;
            }
            match (k.status, value) {
                (Status::Supported, Some(value)) => self.address_word(&mut vip, k.name, value, user),
                (Status::Supported, None) => vip.noprefixroute = true, // the only one without a value
                (_, value) => {
                    if !k.status.has_effect() && self.quiet == 0 {
                        self.postpone(Scope::AddressLine, k, word.span, k.status.weighs());
                    }
                    self.more_of_address(&mut vip, k, value);
                }
            }
        }
        if vip.dev.is_none() && vip.more.as_ref().is_some_and(|m| m.use_vmac) {
            self.error(stmt.span(), "`use_vmac` needs `dev` in an address line: it is ignored");
            vip.more.get_or_insert_default().use_vmac = false;
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
            self.error(word.span, format!("`{text}` is not an IP address; the line is ignored"));
            return None;
        };
        let full = if ip.is_ipv4() { 32 } else { 128 };
        let prefix = match len.map(str::parse::<u8>) {
            None => None,
            Some(Ok(n)) if n <= full => Some(n),
            // keepalived reads the mask as nothing, too, and serves the address.
            Some(_) if ip.is_ipv4() && len.and_then(netmask).is_some() => {
                let ones = len.and_then(netmask).unwrap_or(full);
                self.error(word.span, format!("bad prefix length in `{text}`: /{full} is used"))
                    .help(format!("write the netmask as a prefix length: `{ip}/{ones}`"));
                Some(full)
            }
            Some(_) => {
                self.error(word.span, format!("bad prefix length in `{text}`; the line is ignored"))
                    .help(format!("allowed: 0..{full}"));
                return None;
            }
        };
        let broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
        if ip.is_unspecified() || ip.is_multicast() || broadcast {
            self.error(word.span, format!("`{ip}` cannot be the address of a host; the line is ignored"));
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
                    self.error(value.span, format!("unknown scope `{text}`; ignored"))
                        .help("global, site, link, host, nowhere or 0..255");
                }
            },
            "brd" | "broadcast" => vip.brd = self.broadcast(vip, value).or(vip.brd),
            "label" if vip.addr.is_ipv6() => {
                self.error(value.span, "IPv6 addresses have no label; ignored");
            }
            "label" if text.len() > 15 || text.is_empty() => {
                self.error(value.span, format!("label `{text}` has not 1 to 15 bytes; ignored"));
            }
            "label" => vip.label = Some(text.to_owned()),
            "peer" => match self.address(value) {
                Some((peer, len)) if peer.is_ipv4() == vip.addr.is_ipv4() => {
                    // With a peer the prefix is the peer's, as in `ip address add A peer B/len`.
                    vip.prefix = len.unwrap_or(vip.prefix);
                    vip.peer = Some(peer);
                }
                Some(_) => {
                    self.error(value.span, "the peer is of the other address family; ignored");
                }
                None => {}
            },
            "preferred_lft" => match text {
                "forever" => vip.deprecated = false,
                _ => match text.parse::<u32>() {
                    Ok(0) => vip.deprecated = true,
                    Ok(_) => {
                        vip.deprecated = false;
                        self.note(value.span, "a limited `preferred_lft` is not supported yet: forever is used");
                    }
                    Err(_) => {
                        self.error(value.span, format!("`{text}` is not a lifetime; ignored"))
                            .help("seconds, or forever");
                    }
                },
            },
            other => debug_assert!(false, "address line: {other}"),
        }
    }

    fn broadcast(&mut self, vip: &Vip, value: &'a Word) -> Option<Ipv4Addr> {
        let IpAddr::V4(addr) = vip.addr else {
            self.error(value.span, "IPv6 addresses have no broadcast address; ignored");
            return None;
        };
        let hosts = u32::MAX.checked_shr(u32::from(vip.prefix)).unwrap_or(0);
        let text = self.text(value);
        match text {
            "+" | "-" if vip.prefix >= 31 => {
                self.warn(value.span, format!("a /{} has no broadcast address; ignored", vip.prefix))
                    .help("write the prefix length of the network, for example /24");
                None
            }
            "+" => Some(Ipv4Addr::from_bits(addr.to_bits() | hosts)),
            "-" => Some(Ipv4Addr::from_bits(addr.to_bits() & !hosts)),
            _ => match text.parse() {
                Ok(ip) => Some(ip),
                Err(_) => {
                    self.error(value.span, format!("`{text}` is not an IPv4 address; ignored"))
                        .help("an address, + or -");
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
