//! A route line in the kernel's numbers. A line with an unknown name is reported and left out. Read first: `route.rs`, which reads the
//! words of the line.

use super::Cx;
use crate::config::kind;
use crate::config::model::route::{Metrics, Numbers, Route};
use crate::config::rtnames::Space;
use crate::config::tree::Stmt;
use crate::route::{
    BLACKHOLE, BROADCAST, LOCAL, MULTICAST, Metric, Mode, PROHIBIT, ROUTE_PROTO, SCOPE_HOST, SCOPE_LINK,
    SCOPE_UNIVERSE, TABLE_LOCAL, TABLE_MAIN, THROW, UNICAST, UNREACHABLE,
};

impl<'a> Cx<'a> {
    /// Fills `route.numbers`; `None`: the line is ignored, and that was said.
    pub(super) fn route_numbers(&mut self, line: &'a Stmt, route: &mut Route) -> Option<()> {
        let v6 = route.is_v6();
        // No kernel since Linux 2.6.9 has such routes: `usable` stays false, and the log says so (`routes/text.rs`).
        if route.kind.as_deref() == Some("nat") {
            return Some(());
        }
        let kind = match route.kind.as_deref() {
            None | Some("unicast") => UNICAST,
            Some("local") => LOCAL,
            Some("broadcast") => BROADCAST,
            Some("multicast") => MULTICAST,
            Some("blackhole") => BLACKHOLE,
            Some("unreachable") => UNREACHABLE,
            Some("prohibit") => PROHIBIT,
            Some("throw") => THROW,
            Some(_) => return Some(()),
        };
        let leads_nowhere = matches!(kind, BLACKHOLE | UNREACHABLE | PROHIBIT | THROW);
        if leads_nowhere && !route.hops.is_empty() {
            self.say(line.span(), kind::way_of_nowhere()).help("leave out via and dev");
            return None;
        }
        if v6 && route.hops.iter().any(|h| h.via.is_some_and(|a| a.is_ipv4())) {
            self.say(line.span(), kind::ipv4_gateway());
            return None;
        }
        if route.vrf.is_some() && route.table.is_some() {
            self.say(line.span(), kind::table_of_vrf());
            return None;
        }
        for hop in &mut route.hops {
            hop.flow = self.realms(line, hop.realms.as_deref())?;
        }
        let table = if route.vrf.is_some() {
            0
        } else if matches!(kind, LOCAL | BROADCAST) {
            TABLE_LOCAL
        } else {
            TABLE_MAIN
        };
        let no_gateway = route.hops.iter().all(|h| h.via.is_none());
        let scope = match kind {
            _ if v6 => SCOPE_UNIVERSE,
            LOCAL => SCOPE_HOST,
            BROADCAST | MULTICAST => SCOPE_LINK,
            UNICAST if no_gateway => SCOPE_LINK,
            _ => SCOPE_UNIVERSE,
        };
        let byte = |n: u32| u8::try_from(n).unwrap_or(u8::MAX);
        let mut n = Numbers {
            usable: true,
            kind,
            table: self.named(line, Space::Table, route.table.as_deref(), table)?,
            tos: byte(self.named(line, Space::Tos, route.tos.as_deref(), 0)?),
            protocol: byte(self.named(line, Space::Protocol, route.protocol.as_deref(), ROUTE_PROTO.into())?),
            scope: byte(self.named(line, Space::Scope, route.scope.as_deref(), scope.into())?),
            realms: self.realms(line, route.realms.as_deref())?,
            ..Numbers::default()
        };
        if !route.no_track {
            n.protocol = ROUTE_PROTO;
        }
        if v6 {
            n.scope = SCOPE_UNIVERSE;
        }
        n.pref = match route.pref.as_deref() {
            None => None,
            // The values of RFC 4191 §2.1.
            Some(word) => match word {
                "low" => Some(3),
                "medium" => Some(0),
                "high" => Some(1),
                other => match other.parse().ok().filter(|n: &u8| matches!(n, 0 | 1 | 3)) {
                    Some(n) => Some(n),
                    None => return self.no_such(line, &format!("pref `{other}`"), "low, medium, high"),
                },
            },
        };
        n.mode = match route.mode.as_deref() {
            Some("append") => Mode::Append,
            Some("add") => Mode::Alone,
            _ => Mode::Prepend,
        };
        if let Some(metrics) = route.metrics.as_deref() {
            (n.metrics, n.lock) = self.metrics(line, metrics)?;
        }
        route.numbers = n;
        Some(())
    }

    pub(super) fn no_such<T>(&mut self, line: &'a Stmt, what: &str, help: &str) -> Option<T> {
        self.say(line.span(), kind::no_such_number(what)).help(help.to_owned());
        None
    }

    pub(super) fn named(&mut self, line: &'a Stmt, space: Space, word: Option<&str>, default: u32) -> Option<u32> {
        let Some(word) = word else { return Some(default) };
        let found = self.src.rt_names.number(space, word);
        let file = space.file();
        found.or_else(|| {
            self.no_such(
                line,
                &format!("name `{word}` in {file}"),
                &format!("a number 0..{}, or a name from /etc/iproute2/{file}", space.max()),
            )
        })
    }

    /// Reads realms, `[<from>/]<to>`, as one number: `<from>` in the upper 16 bits. `None`: a name is unknown, which is reported.
    pub(super) fn realms(&mut self, line: &'a Stmt, word: Option<&str>) -> Option<u32> {
        let Some(word) = word else { return Some(0) };
        let (from, to) = word.split_once('/').map_or((None, word), |(f, t)| (Some(f), t));
        let from = self.named(line, Space::Realm, from, 0)?;
        let to = self.named(line, Space::Realm, Some(to), 0)?;
        Some(from << 16 | to)
    }

    fn metrics(&mut self, line: &'a Stmt, m: &Metrics) -> Option<(Vec<(u16, Metric)>, u32)> {
        // `RTAX_*` of linux/rtnetlink.h.
        let byte = |n: Option<u8>| n.map(u32::from);
        let numbers = [
            ("mtu", 2, m.mtu),
            ("window", 3, m.window),
            ("ssthresh", 6, m.ssthresh),
            ("cwnd", 7, m.cwnd),
            ("advmss", 8, m.advmss),
            ("reordering", 9, m.reordering),
            ("hoplimit", 10, byte(m.hoplimit)),
            ("initcwnd", 11, m.initcwnd),
            // RTAX_FEATURE_ECN.
            ("features", 12, m.features.as_ref().map(|_| 1)),
            ("initrwnd", 14, m.initrwnd),
            ("quickack", 15, byte(m.quickack)),
            ("fastopen_no_cookie", 17, byte(m.fastopen_no_cookie)),
        ];
        // The kernel counts the first in eighths, the second in quarters of a millisecond.
        let times = [("rtt", 4, &m.rtt, 8), ("rttvar", 5, &m.rttvar, 4), ("rto_min", 13, &m.rto_min, 1)];
        let (mut all, mut lock) = (Vec::new(), 0);
        let mut lock_of =
            |name: &str, kind: u16| lock |= if m.locked.iter().any(|l| **l == *name) { 1 << kind } else { 0 };
        for (name, kind, value) in numbers {
            if let Some(value) = value {
                all.push((kind, Metric::Number(value)));
                lock_of(name, kind);
            }
        }
        for (name, kind, value, scale) in times {
            if let Some(word) = value {
                let Some(n) = milliseconds(word, scale) else {
                    return self.no_such(line, &format!("{name} `{word}`"), "a number, with ms or s behind it");
                };
                all.push((kind, Metric::Number(n)));
                lock_of(name, kind);
            }
        }
        if let Some(name) = &m.congctl {
            // TCP_CA_NAME_MAX is 16 with the NUL.
            if name.is_empty() || name.len() > 15 {
                return self.no_such(line, &format!("congctl `{name}`"), "a name of 1 to 15 characters");
            }
            all.push((16, Metric::Name(name.to_string())));
            lock_of("congctl", 16);
        }
        Some((all, lock))
    }
}

/// A time with a unit in the kernel's unit, of which a millisecond has `scale`; a number without a unit is in the kernel's unit already.
fn milliseconds(word: &str, scale: u32) -> Option<u32> {
    let digits = word.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(word.len());
    let (number, unit) = word.split_at(digits);
    let number: f64 = number.parse().ok()?;
    let value = match unit.to_ascii_lowercase().as_str() {
        "" => number,
        "ms" | "msec" | "msecs" => number * f64::from(scale),
        "s" | "sec" | "secs" => number * 1000.0 * f64::from(scale),
        _ => return None,
    };
    (value >= 0.0 && value <= f64::from(u32::MAX)).then_some(value as u32)
}

#[cfg(test)]
mod tests {
    use super::milliseconds;

    #[test]
    fn times_with_and_without_a_unit() {
        assert_eq!(milliseconds("100ms", 8), Some(800));
        assert_eq!(milliseconds("0.2s", 1), Some(200));
        assert_eq!(milliseconds("7", 8), Some(7));
        assert_eq!((milliseconds("ms", 8), milliseconds("5x", 8), milliseconds("9999999s", 8)), (None, None, None));
    }
}
