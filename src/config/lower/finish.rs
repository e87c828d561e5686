//! What follows from an instance's keywords together: family, version, defaults, and what excludes what; then what
//! follows from all instances together.
//!
//! The rules are keepalived's (keyword table, kalived.conf(5)) except where they would put a wrong interval or count on
//! the wire: those are fatal here. Read first: `instance.rs`.

use super::Cx;
use super::global::{Globals, link_local_group};
use super::instance::{AuthGiven, Draft};
use super::unicast::{self, Vrids};
use crate::config::model::{Auth, ChecksumMode, Config, Family, GarpConfig, InstanceConfig, Version, Vip};
use crate::config::source::Span;
use core::net::IpAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

/// Most addresses an advert can carry: its count is one byte.
const MAX_VIPS: usize = 255;

/// Completes every draft and compares them.
pub(super) fn all(cx: &mut Cx<'_>, global: &Globals, drafts: Vec<Draft>, config: &mut Config) {
    let src = cx.src;
    let mut names: BTreeMap<String, Span> = BTreeMap::new();
    let mut vrids = Vrids::default();
    let check_source = config.global.more.vrrp_check_unicast_src;
    for draft in drafts {
        if let Some(first) = names.get(&draft.name) {
            let text = format!("a second vrrp_instance `{}`: this block is ignored", draft.name);
            cx.error(draft.head, text).also(src, *first, "the first one is here").help("give it another name");
            continue;
        }
        names.insert(draft.name.clone(), draft.head);
        let vrid_span = draft.vrid.map_or(draft.head, |v| v.1);
        let Some(instance) = one(cx, global, check_source, draft) else { continue };
        if let Some(first) = vrids.insert(&instance, vrid_span) {
            let (vrid, on, family) = (instance.vrid, &instance.interface, family_name(instance.family));
            let text = match instance.peers() {
                None => format!("virtual_router_id {vrid} is used twice on {on} for {family}"),
                Some(_) => format!("virtual_router_id {vrid} is used twice with one unicast peer for {family}"),
            };
            cx.fatal(vrid_span, text)
                .also(src, first, "first used here")
                .help("give one of them another virtual_router_id, on all its routers");
        }
        config.instances.push(instance);
    }
}

/// IPv4 or IPv6.
pub(super) fn family_name(family: Family) -> &'static str {
    if family == Family::V4 { "IPv4" } else { "IPv6" }
}

fn one(cx: &mut Cx<'_>, global: &Globals, check_source: bool, mut draft: Draft) -> Option<InstanceConfig> {
    let head = draft.head;
    let name = draft.name.clone();
    let strict = draft.strict.unwrap_or(global.strict);
    let without = !draft.interface_told && unicast::needs_no_interface(&draft.more, draft.mcast_src.map(|s| s.0));
    if draft.interface.is_none() && !draft.interface_told && !without {
        cx.fatal(head, format!("vrrp_instance `{name}` has no interface"))
            .help("add `interface <name>`; only unicast peers with `unicast_src_ip` can do without");
    }
    if draft.vrid.is_none() && !draft.vrid_told {
        cx.fatal(head, format!("vrrp_instance `{name}` has no virtual_router_id"))
            .help("add `virtual_router_id <1..255>`, the same on all routers of this group");
    }
    let first = draft.vips.first().map(|(v, _)| Family::of(&v.addr));
    let family = if draft.native_ipv6.is_some() { Family::V6 } else { first.unwrap_or(Family::V4) };
    let version = version(cx, global, &draft, family);
    let interface = draft.interface.take().map(|i| i.0);
    let vrid = draft.vrid.map(|v| v.0);

    let mut out = InstanceConfig::new(&name, interface.as_deref().unwrap_or(""), vrid.unwrap_or(0), family);
    out.place = cx.src.place(head);
    out.version = version;
    priority_and_preemption(cx, &draft, strict, &mut out);
    out.advert_int = advert_int(cx, &draft, version);
    out.auth = auth(cx, draft.auth.take(), version, strict, &name);
    addresses(cx, &mut draft, strict, &mut out);
    out.garp = garp(global, &draft);
    multicast(cx, global, &draft, &mut out);
    tracks(cx, draft.tracks, &mut out);
    out.track_primary = !draft.dont_track_primary;
    out.checksum = match draft.v3_checksum_as_v2.unwrap_or(global.v3_checksum_as_v2) {
        true => ChecksumMode::MessageOnly,
        false => ChecksumMode::PseudoHeader,
    };
    out.down_timer_adverts = draft.down_timer_adverts.unwrap_or(global.down_timer_adverts);
    out.lower_prio_no_advert = draft.lower_prio_no_advert.unwrap_or(global.lower_prio_no_advert);
    out.higher_prio_send_advert = draft.higher_prio_send_advert.unwrap_or(global.higher_prio_send_advert);
    out.skip_check_adv_addr = draft.skip_check_adv_addr.unwrap_or(global.skip_check_adv_addr);
    if strict {
        out.down_timer_adverts = 3;
        out.lower_prio_no_advert = false;
        out.higher_prio_send_advert = false;
    }
    out.more = draft.more;
    unicast::finish(cx, head, strict, check_source, &mut out);
    more(cx, head, &mut out);
    ((interface.is_some() || without) && vrid.is_some()).then_some(out)
}

/// What follows from keywords that stand in `more`.
fn more(cx: &mut Cx<'_>, head: Span, out: &mut InstanceConfig) {
    let more = &mut out.more;
    if more.timer_expired_backup.is_some() && out.preempt {
        cx.error(head, "`timer_expired_backup` needs `nopreempt`: it is ignored");
        more.timer_expired_backup = None;
    }
    if more.owner_ignore_adverts == Some(true) && out.priority != 255 {
        cx.error(head, "`owner_ignore_adverts` is for priority 255: it is ignored");
        more.owner_ignore_adverts = None;
    }
    if more.unicast_src_ip.is_some() && more.unicast_peer.is_none() {
        cx.note(head, "`unicast_src_ip` without `unicast_peer`: adverts go to the multicast group")
            .help("add `unicast_peer { <address> ... }`, or write `mcast_src_ip`");
    }
    if more.unicast_ttl.is_some() && more.unicast_peer.is_none() {
        cx.error(head, "`unicast_ttl` without `unicast_peer`: it is ignored");
        more.unicast_ttl = None;
    }
}

fn version(cx: &mut Cx<'_>, global: &Globals, draft: &Draft, family: Family) -> Version {
    if family == Family::V6 {
        if let Some((2, span)) = draft.version {
            cx.error(span, "version 2 has no IPv6: version 3 is used").help("remove `version 2`");
        }
        return Version::V3;
    }
    match draft.version.map_or(global.version, |v| v.0) {
        3 => Version::V3,
        _ => Version::V2,
    }
}

fn priority_and_preemption(cx: &mut Cx<'_>, draft: &Draft, strict: bool, out: &mut InstanceConfig) {
    out.priority = match (draft.priority, draft.state) {
        (Some((p, _)), _) => p,
        (None, Some((true, span))) => {
            cx.note(span, "`state MASTER` without `priority`: priority is 255, the owner of the addresses");
            255
        }
        _ => 100,
    };
    let mut master = draft.state.is_some_and(|s| s.0);
    if let (true, true, Some((_, span))) = (strict && out.priority != 255, master, draft.state) {
        cx.warn(span, "in strict mode only priority 255 may say state MASTER: BACKUP is used");
        master = false;
    }
    let why = match (master, out.priority) {
        (true, _) => Some("state MASTER"),
        (_, 255) => Some("priority 255"),
        _ => None,
    };
    if let Some(span) = draft.nopreempt {
        out.preempt = why.is_some();
        if let Some(why) = why {
            cx.warn(span, format!("`nopreempt` has no effect with {why}"))
                .help("write `state BACKUP` on all routers, and a priority below 255");
        }
    }
    if let Some((us, span)) = draft.preempt_delay {
        if strict {
            cx.warn(span, "`preempt_delay` has no effect in strict mode");
        } else if !out.preempt {
            cx.warn(span, "`preempt_delay` has no effect with `nopreempt`").help("remove one of them");
        } else if master {
            cx.warn(span, "`preempt_delay` has no effect with state MASTER").help("write `state BACKUP`");
        } else {
            out.preempt_delay = Duration::from_micros(us);
        }
    }
}

fn advert_int(cx: &mut Cx<'_>, draft: &Draft, version: Version) -> Duration {
    let Some((us, span)) = draft.advert_int else { return Duration::from_secs(1) };
    let text = super::value::seconds(us);
    match version {
        // An advert of version 2 says its interval in whole seconds; anything else is not what the others are told.
        Version::V2 if !us.is_multiple_of(1_000_000) => {
            cx.fatal(span, format!("VRRP version 2 cannot announce an interval of {text} s"))
                .help("write whole seconds, 1..255; or `version 3` on all routers of this virtual_router_id");
            Duration::from_secs(1)
        }
        Version::V3 if us > 40_950_000 => {
            cx.fatal(span, format!("VRRP version 3 cannot announce an interval of {text} s")).help("write 0.01..40.95");
            Duration::from_secs(1)
        }
        Version::V3 if !us.is_multiple_of(10_000) => {
            let centi = ((us + 5_000) / 10_000).clamp(1, 4095);
            let used = super::value::seconds(centi * 10_000);
            cx.warn(span, format!("VRRP version 3 counts hundredths of a second: {used} s is used"));
            Duration::from_millis(centi * 10)
        }
        _ => Duration::from_micros(us),
    }
}

fn auth(cx: &mut Cx<'_>, given: Option<(AuthGiven, Span)>, version: Version, strict: bool, name: &str) -> Auth {
    let Some((given, span)) = given else { return Auth::None };
    if strict {
        cx.warn(span, "strict mode has no authentication: the block is ignored").help("remove it, or `vrrp_strict`");
        return Auth::None;
    }
    if version == Version::V3 {
        cx.warn(span, "VRRP version 3 has no authentication: the block is ignored")
            .help("remove it; RFC 9568 section 9 says why");
        return Auth::None;
    }
    if let Some((_, at)) = given.password.as_ref().filter(|(p, _)| p.len() > 8) {
        cx.warn(*at, "`auth_pass` is longer than 8 bytes: only the first 8 are used").help("shorten it");
    }
    match (given.pass_type, given.password) {
        (Some((true, _)), Some((pass, _))) => {
            let mut bytes = [0; 8];
            for (to, from) in bytes.iter_mut().zip(pass.bytes()) {
                *to = from;
            }
            Auth::Pass(bytes)
        }
        (_, None) | (None, _) if given.told => Auth::None,
        (Some((true, at)), None) => {
            cx.error(at, format!("`auth_pass` is missing: adverts of `{name}` are not authenticated"))
                .help("add `auth_pass <at most 8 bytes>`");
            Auth::None
        }
        (None, _) => {
            cx.error(span, format!("`auth_type` is missing: adverts of `{name}` are not authenticated"))
                .help("add `auth_type PASS`");
            Auth::None
        }
        _ => Auth::None,
    }
}

fn addresses(cx: &mut Cx<'_>, draft: &mut Draft, strict: bool, out: &mut InstanceConfig) {
    let src = cx.src;
    let mut seen: BTreeMap<(IpAddr, String), Span> = BTreeMap::new();
    let mut fresh = |cx: &mut Cx<'_>, vip: &Vip, span: Span, interface: &str| {
        let key = (vip.addr, vip.dev.clone().unwrap_or_else(|| interface.to_owned()));
        if let Some(first) = seen.get(&key) {
            let text = format!("{} stands twice in this instance; ignored", vip.addr);
            cx.error(span, text).also(src, *first, "first here");
            return false;
        }
        seen.insert(key, span);
        true
    };
    for (vip, span) in std::mem::take(&mut draft.vips) {
        if Family::of(&vip.addr) != out.family {
            let (this, other) = if out.family == Family::V4 { ("IPv4", "IPv6") } else { ("IPv6", "IPv4") };
            let why = format!("{} in an {this} instance: adverts carry one address family only; ignored", vip.addr);
            let help = format!(
                "move it to `virtual_ipaddress_excluded` of this instance, or make a second vrrp_instance for {other}"
            );
            cx.error(span, why).help(help);
        } else if fresh(cx, &vip, span, &out.interface) {
            if out.vips.len() < MAX_VIPS {
                out.vips.push(vip);
                continue;
            }
            if out.excluded.is_empty() {
                cx.warn(
                    span,
                    "an advert carries at most 255 addresses: from here on they are treated as excluded ones",
                )
                .help("move them to `virtual_ipaddress_excluded`, on all routers");
            }
            out.excluded.push(vip);
        }
    }
    for (vip, span) in std::mem::take(&mut draft.excluded) {
        if fresh(cx, &vip, span, &out.interface) {
            out.excluded.push(vip);
        }
    }
    if out.vips.is_empty() && !draft.no_vips_wanted {
        let help = "add an address to `virtual_ipaddress`, or say `no_virtual_ipaddress`";
        let text = format!("vrrp_instance `{}` has no virtual_ipaddress", out.name);
        match (strict, out.version) {
            (true, _) => cx.fatal(draft.head, format!("{text}, which strict mode needs")),
            (_, Version::V3) => cx.fatal(draft.head, format!("{text}, which version 3 needs")),
            // No address, because the address was wrong: that is the message.
            _ if draft.vips_told => return,
            _ => cx.warn(draft.head, text),
        }
        .help(help);
    }
}

fn garp(global: &Globals, draft: &Draft) -> GarpConfig {
    let (mine, all, base) = (&draft.garp, &global.garp, GarpConfig::default());
    let (repeat, delay) = match global.min_garp {
        true => (1, Duration::ZERO),
        false => (base.repeat, base.delay),
    };
    // What answers a lower advert defaults to the global burst of a new Master, whatever the instance's own is.
    let (repeat, delay) = (all.repeat.unwrap_or(repeat), all.delay.unwrap_or(delay));
    GarpConfig {
        repeat: mine.repeat.unwrap_or(repeat),
        delay: mine.delay.unwrap_or(delay),
        refresh: mine.refresh.or(all.refresh).unwrap_or(base.refresh),
        refresh_repeat: mine.refresh_repeat.or(all.refresh_repeat).unwrap_or(base.refresh_repeat),
        lower_prio_repeat: mine.lower_prio_repeat.or(all.lower_prio_repeat).unwrap_or(repeat),
        lower_prio_delay: mine.lower_prio_delay.or(all.lower_prio_delay).unwrap_or(delay),
        garp_interval: global.garp_interval,
        gna_interval: global.gna_interval,
    }
}

fn multicast(cx: &mut Cx<'_>, global: &Globals, draft: &Draft, out: &mut InstanceConfig) {
    if let Some((ip, span)) = draft.mcast_src {
        if Family::of(&ip) != out.family {
            cx.error(span, "`mcast_src_ip` is of the other address family than the instance; ignored");
        } else if ip.is_multicast() || ip.is_unspecified() {
            cx.error(span, "`mcast_src_ip` is not the address of a host; ignored");
        } else {
            out.mcast_src = Some(ip);
        }
    }
    out.mcast_group = if out.family == Family::V4 { global.group4 } else { global.group6 };
    if let Some((ip, span)) = draft.mcast_dst {
        let fits = match out.family {
            Family::V4 => ip.is_ipv4() && ip.is_multicast(),
            Family::V6 => link_local_group(&ip),
        };
        if fits {
            out.mcast_group = ip;
        } else {
            let want = if out.family == Family::V4 { "an IPv4" } else { "a link-local IPv6" };
            cx.error(span, format!("`mcast_dst_ip` is not {want} multicast address; ignored"));
        }
    }
}

fn tracks(cx: &mut Cx<'_>, given: Vec<(crate::config::model::TrackInterface, Span)>, out: &mut InstanceConfig) {
    let mut seen = BTreeSet::new();
    for (track, span) in given {
        if track.name == out.interface {
            cx.error(span, format!("{} is the instance's own interface and tracked anyway; ignored", track.name))
                .help("remove the line, or say `dont_track_primary` if that was meant");
        } else if !seen.insert(track.name.clone()) {
            cx.error(span, format!("{} is tracked already; ignored", track.name));
        } else {
            out.track_interfaces.push(track);
        }
    }
}
