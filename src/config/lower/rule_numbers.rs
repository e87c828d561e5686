//! A rule line in the kernel's numbers, as `route_numbers.rs` does for routes.

use super::Cx;
use crate::config::kind;
use crate::config::model::route::{Action, Rule};
use crate::config::rtnames::Space;
use crate::config::tree::Stmt;
use crate::route::network;
use crate::rule::{BLACKHOLE, GOTO, NOP, NOTHING, Name, PROHIBIT, RULE_PROTO, RuleSpec, TO_TABLE, UNREACHABLE};

/// Names of `ipproto`, as /etc/protocols has them.
const PROTOCOLS: &[(&str, u8)] = &[
    ("icmp", 1),
    ("igmp", 2),
    ("ipip", 4),
    ("tcp", 6),
    ("udp", 17),
    ("dccp", 33),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("icmpv6", 58),
    ("ipv6-icmp", 58),
    ("ospf", 89),
    ("vrrp", 112),
    ("l2tp", 115),
    ("sctp", 132),
    ("udplite", 136),
];

impl<'a> Cx<'a> {
    /// `None`: the line is ignored, and that was said. `Some(None)`: the kernel cannot be asked for such a rule.
    pub(super) fn rule_numbers(&mut self, line: &'a Stmt, rule: &Rule) -> Option<Option<RuleSpec>> {
        let first = rule.from.iter().chain(&rule.to).map(|p| p.addr.is_ipv6()).next();
        let v6 = rule.v6.or(first).unwrap_or(false);
        if rule.from.iter().chain(&rule.to).any(|p| p.addr.is_ipv6() != v6) {
            self.say(line.span(), kind::rule_of_two_families());
            return None;
        }
        let mut spec = RuleSpec::new(v6);
        for (into, prefix) in [(&mut spec.from, rule.from), (&mut spec.to, rule.to)] {
            if let Some(p) = prefix {
                *into = network(p.addr, p.len);
            }
        }
        match &rule.action {
            Action::None if rule.l3mdev => spec.action = TO_TABLE,
            Action::None => {
                self.say(line.span(), kind::rule_without_action())
                    .help("add table <name|n>, goto <preference>, blackhole, unreachable, prohibit or nop");
                return None;
            }
            Action::Table(name) => {
                spec.action = TO_TABLE;
                spec.table = self.named(line, Space::Table, Some(name), 0)?;
            }
            Action::Goto(to) => (spec.action, spec.goto) = (GOTO, *to),
            Action::Nop => spec.action = NOP,
            Action::Type(name) => match &**name {
                "blackhole" => spec.action = BLACKHOLE,
                "unreachable" => spec.action = UNREACHABLE,
                "prohibit" => spec.action = PROHIBIT,
                // The kernel has no such action any more.
                "nat" => return Some(None),
                _ => {
                    self.say(line.span(), kind::rule_without_action()).help("type unicast needs table <name|n>");
                    return None;
                }
            },
        }
        if let Some(word) = rule.fwmark.as_deref() {
            let Some(fwmark) = mark(word) else {
                return self.no_such(line, &format!("fwmark `{word}`"), "<mark>[/<mask>], decimal or with 0x");
            };
            spec.fwmark = fwmark;
        }
        if let Some(word) = rule.ipproto.as_deref() {
            let known = PROTOCOLS.iter().find(|(name, _)| *name == word).map(|(_, n)| *n);
            let Some(n) = known.or_else(|| word.parse().ok()) else {
                return self.no_such(line, &format!("ipproto `{word}`"), "a number 0..255, tcp, udp, icmp, sctp ...");
            };
            spec.ipproto = n;
        }
        if let Some(word) = rule.suppress_ifgroup.as_deref() {
            spec.suppress_group = match word {
                "default" => 0,
                word => match word.parse().ok().filter(|n| *n != NOTHING) {
                    Some(n) => n,
                    None => return self.no_such(line, &format!("interface group `{word}`"), "a number, or default"),
                },
            };
        }
        for (into, name) in [(&mut spec.iif, &rule.iif), (&mut spec.oif, &rule.oif)] {
            if let Some(name) = name.as_deref() {
                // Its length was checked when it was read.
                *into = Name::new(name.as_bytes()).unwrap_or_default();
            }
        }
        spec.not = rule.not;
        spec.tos = self.named(line, Space::Tos, rule.tos.as_deref(), 0)?.try_into().unwrap_or(u8::MAX);
        spec.realms = if v6 { 0 } else { self.realms(line, rule.realms.as_deref())? };
        spec.suppress_prefix = rule.suppress_prefixlength.map_or(NOTHING, u32::from);
        spec.tunnel = rule.tunnel_id.unwrap_or(0).into();
        (spec.uids, spec.sport, spec.dport, spec.l3mdev) = (rule.uidrange, rule.sport, rule.dport, rule.l3mdev);
        spec.proto = rule.protocol.unwrap_or(RULE_PROTO);
        spec.preference = match rule.preference {
            Some(n) => n,
            None => self.next_preference(line, v6),
        };
        Some(Some(spec))
    }

    // As keepalived numbers them: from 16,384 down, each family for itself, in the order of the file.
    fn next_preference(&mut self, line: &'a Stmt, v6: bool) -> u32 {
        let next = &mut self.next_preference[usize::from(v6)];
        let n = *next;
        *next = next.saturating_sub(1).max(1);
        self.say(line.span(), kind::rule_without_preference(n)).help("add `preference <n>`");
        n
    }
}

/// Reads `<mark>[/<mask>]`, decimal or with 0x; without a mask all bits count.
fn mark(word: &str) -> Option<(u32, u32)> {
    let number = |w: &str| match w.strip_prefix("0x").or_else(|| w.strip_prefix("0X")) {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => w.parse().ok(),
    };
    match word.split_once('/') {
        Some((mark, mask)) => Some((number(mark)?, number(mask)?)),
        // The kernel takes 0 without a mask for no mark at all.
        None => number(word).map(|n| (n, if n == 0 { 0 } else { u32::MAX })),
    }
}

#[cfg(test)]
mod tests {
    use super::mark;

    #[test]
    fn marks_with_and_without_a_mask() {
        assert_eq!(mark("16"), Some((16, u32::MAX)));
        assert_eq!(mark("0x10/0xff"), Some((16, 255)));
        assert_eq!((mark("0"), mark("0x"), mark("1/2/3"), mark("-1")), (Some((0, 0)), None, None, None));
    }
}
