//! A policy rule as the kernel understands it: everything in numbers, interfaces by name.
//!
//! Read first: `route.rs`. `wire/netlink/rule.rs` writes it to a message and reads it from one; `rules/` decides which rules are wanted. A
//! rule has no key: the kernel distinguishes two rules by all their properties. Numbers are those of `linux/fib_rules.h`.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use serde::{Deserialize, Serialize};

/// `RTPROT_KEEPALIVED`: the protocol of a rule that does not say another one.
pub const RULE_PROTO: u8 = crate::route::ROUTE_PROTO;
/// The first preference that a rule without one gets; each further one of its family gets one less, as in keepalived.
pub const FIRST_PREFERENCE: u32 = 16_384;

/// `FR_ACT_TO_TBL`: the route is searched in a table.
pub const TO_TABLE: u8 = 1;
/// `FR_ACT_GOTO`: the search goes on at another rule.
pub const GOTO: u8 = 2;
/// `FR_ACT_NOP`: the search goes on at the next rule.
pub const NOP: u8 = 3;
/// `FR_ACT_BLACKHOLE`; with the two after it, an action that drops.
pub const BLACKHOLE: u8 = 6;
/// `FR_ACT_UNREACHABLE`: the packet is dropped; its sender gets an ICMP error.
pub const UNREACHABLE: u8 = 7;
/// `FR_ACT_PROHIBIT`: the packet is dropped; its sender gets an ICMP error "administratively prohibited".
pub const PROHIBIT: u8 = 8;
/// In place of a length or a group to suppress: none.
pub const NOTHING: u32 = u32::MAX;

/// An interface's name; all zero: none.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Name([u8; 16]);

impl Name {
    /// Of at most 15 bytes without a NUL; `None`: it is none.
    pub fn new(name: &[u8]) -> Option<Name> {
        let mut all = [0; 16];
        let fits = (1..16).contains(&name.len()) && !name.contains(&0);
        all.get_mut(..name.len()).filter(|_| fits)?.copy_from_slice(name);
        Some(Name(all))
    }
    /// Without the padding.
    pub fn bytes(&self) -> &[u8] {
        self.0.split(|b| *b == 0).next().unwrap_or_default()
    }
}

impl core::fmt::Debug for Name {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.bytes()))
    }
}

/// A rule to add, or as the kernel reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RuleSpec {
    /// Its place in the order of rules: the kernel examines the smallest first.
    pub preference: u32,
    /// Source without host bits, and prefix length; its family is the rule's.
    pub from: (IpAddr, u8),
    /// Destination without host bits, and prefix length.
    pub to: (IpAddr, u8),
    /// The match is inverted.
    pub not: bool,
    /// TOS, or of IPv6 the traffic class.
    pub tos: u8,
    /// Mark and mask; mask 0: none.
    pub fwmark: (u32, u32),
    /// Name of the incoming interface; all zero: any.
    pub iif: Name,
    /// Name of the outgoing interface; all zero: any.
    pub oif: Name,
    /// Tunnel; 0: none.
    pub tunnel: u64,
    /// User ids, both ends included.
    pub uids: Option<(u32, u32)>,
    /// `IPPROTO_*`; 0: any.
    pub ipproto: u8,
    /// Source ports, both ends included.
    pub sport: Option<(u16, u16)>,
    /// Destination ports, both ends included.
    pub dport: Option<(u16, u16)>,
    /// What is done with a packet that matches (`FR_ACT_*`).
    pub action: u8,
    /// Table of [`TO_TABLE`]; else 0.
    pub table: u32,
    /// Preference that [`GOTO`] goes to; else 0.
    pub goto: u32,
    /// Look up in the table of the packet's VRF.
    pub l3mdev: bool,
    /// Both realms; 0: none.
    pub realms: u32,
    /// Results with a prefix of this length or a shorter one do not count; [`NOTHING`]: all count.
    pub suppress_prefix: u32,
    /// Results over interfaces of this group do not count; [`NOTHING`]: all count.
    pub suppress_group: u32,
    /// Protocol number (`RTPROT_*`) of the program that added the rule.
    pub proto: u8,
}

impl RuleSpec {
    /// One that matches everything and does nothing yet.
    pub fn new(v6: bool) -> RuleSpec {
        let any = if v6 { IpAddr::V6(Ipv6Addr::UNSPECIFIED) } else { IpAddr::V4(Ipv4Addr::UNSPECIFIED) };
        RuleSpec {
            preference: 0,
            from: (any, 0),
            to: (any, 0),
            not: false,
            tos: 0,
            fwmark: (0, 0),
            iif: Name::default(),
            oif: Name::default(),
            tunnel: 0,
            uids: None,
            ipproto: 0,
            sport: None,
            dport: None,
            action: 0,
            table: 0,
            goto: 0,
            l3mdev: false,
            realms: 0,
            suppress_prefix: NOTHING,
            suppress_group: NOTHING,
            proto: RULE_PROTO,
        }
    }
    /// Whether it is one of IPv6.
    pub fn is_v6(&self) -> bool {
        self.from.0.is_ipv6()
    }
    /// The rule without its protocol number: the kernel has no two rules that differ only in that.
    pub fn untagged(self) -> RuleSpec {
        RuleSpec { proto: 0, ..self }
    }
}

impl core::fmt::Display for RuleSpec {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}:", self.preference)?;
        if self.not {
            f.write_str(" not")?;
        }
        match self.from {
            (_, 0) => write!(f, " from all{}", if self.is_v6() { " (IPv6)" } else { "" })?,
            (addr, len) => write!(f, " from {addr}/{len}")?,
        }
        if self.to.1 > 0 {
            write!(f, " to {}/{}", self.to.0, self.to.1)?;
        }
        if self.fwmark != (0, 0) {
            write!(f, " fwmark {:#x}/{:#x}", self.fwmark.0, self.fwmark.1)?;
        }
        for (word, name) in [("iif", self.iif), ("oif", self.oif)] {
            if !name.bytes().is_empty() {
                write!(f, " {word} {name:?}")?;
            }
        }
        match self.action {
            TO_TABLE if self.l3mdev => f.write_str(" l3mdev"),
            TO_TABLE => write!(f, " lookup {}", self.table),
            GOTO => write!(f, " goto {}", self.goto),
            NOP => f.write_str(" nop"),
            BLACKHOLE => f.write_str(" blackhole"),
            UNREACHABLE => f.write_str(" unreachable"),
            PROHIBIT => f.write_str(" prohibit"),
            n => write!(f, " action {n}"),
        }
    }
}
