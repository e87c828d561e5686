//! The rules between the keywords of an instance: family, version, defaults, and which keywords exclude each other; then the rules
//! between instances.
//!
//! The rules are keepalived's (keyword table, kalived.conf(5)) except where they would put a wrong interval or count on
//! the wire: those are fatal here. Read first: `instance.rs`.

use super::Cx;
use super::global::{Globals, link_local_group};
use super::instance::{AuthGiven, AuthKind, Draft};
use super::unicast::{self, Vrids};
use crate::config::kind;
use crate::config::model::global::ExtraGarp;
use crate::config::model::vrrp::HmacMode;
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
            cx.say(draft.head, kind::duplicate_name("vrrp_instance", &draft.name))
                .also(src, *first, "the first one is here")
                .help("give it another name");
            continue;
        }
        names.insert(draft.name.clone(), draft.head);
        let vrid_span = draft.vrid.map_or(draft.head, |v| v.1);
        let Some(mut instance) = one(cx, global, check_source, draft) else { continue };
        let group = config.garp_groups.iter().find(|g| g.interfaces.iter().any(|i| **i == *instance.interface));
        if let Some(g) = group {
            (instance.garp.garp_interval, instance.garp.gna_interval) = (g.garp_interval, g.gna_interval);
        }
        if let Some(first) = vrids.insert(&instance, vrid_span) {
            let (vrid, on, family) = (instance.vrid, &instance.interface, family_name(instance.family));
            let text = match instance.peers() {
                None => kind::duplicate_vrid(vrid, on, family),
                Some(_) => kind::duplicate_vrid_of_peer(vrid, family),
            };
            cx.say(vrid_span, text)
                .also(src, first, "first used here")
                .help("give one of them another virtual_router_id, on all its routers");
        }
        config.instances.push(instance);
    }
    own_names(cx, &names, config);
}

/// Names for own interfaces that have none in the file, as keepalived makes them: PREFIX.VRID, for IPv6 also PREFIX6.VRID, then with a
/// number that makes them unique.
fn own_names(cx: &mut Cx<'_>, spans: &BTreeMap<String, Span>, config: &mut Config) {
    let mut taken: BTreeSet<String> = config.instances.iter().map(|i| i.interface.clone()).collect();
    for i in &mut config.instances {
        let Some(own) = i.more.own_interface.as_mut() else { continue };
        if let Some(name) = own.name.take_if(|name| taken.contains(&**name)) {
            let at = spans.get(&i.name).copied().unwrap_or_default();
            cx.say(at, kind::own_name_taken(&i.name, &name)).help("give it a name of its own, or none");
        }
        taken.extend(own.name.as_deref().map(str::to_owned));
    }
    let prefix = config.global.more.vmac_prefix.clone();
    for i in &mut config.instances {
        let Some(own) = i.more.own_interface.as_mut().filter(|own| own.name.is_none()) else { continue };
        let prefix = if own.ipvlan { "ipvlan" } else { &*prefix };
        let six = (i.family == Family::V6).then(|| format!("{prefix}6.{}", i.vrid));
        let numbered = (1..).map(|n: u32| format!("{prefix}{n}.{}", i.vrid));
        let mut names = core::iter::once(format!("{prefix}.{}", i.vrid)).chain(six).chain(numbered);
        if let Some(name) = names.find(|name| !taken.contains(name)) {
            own.name = Some(name.as_str().into());
            taken.insert(name);
        }
    }
    address_names(config, taken);
}

/// The same for interfaces that addresses have of their own: one for each interface below and family.
fn address_names(config: &mut Config, mut taken: BTreeSet<String>) {
    let more = &config.global.more;
    let prefix = more.vmac_addr_prefix.clone().unwrap_or_else(|| more.vmac_prefix.clone());
    for i in &mut config.instances {
        let InstanceConfig { vips, excluded, interface, vrid, family, more, .. } = i;
        // An ipvlan and a macvlan do not go upon one interface; with `use_vmac` alone the one of the instance is that of both families.
        let own = more.own_interface.as_deref().is_some_and(|own| !own.ipvlan);
        let mut named: BTreeMap<(String, bool), String> = BTreeMap::new();
        for vip in vips.iter_mut().chain(excluded) {
            let below = vip.dev.as_deref().unwrap_or(interface).to_owned();
            let (said, six) = (vip.more.as_ref().is_some_and(|m| m.use_vmac), vip.addr.is_ipv6());
            let (elsewhere, other) = (below != *interface, six != (*family == Family::V6));
            if said && own && !elsewhere && !other {
                // It is on the interface of the instance like those whose line says none.
                vip.dev = None;
            } else if said || more.use_vmac_addr && (elsewhere || other) {
                let name = named.entry((below, six)).or_insert_with(|| {
                    let with_six = six.then(|| format!("{prefix}6.{vrid}"));
                    let numbered = (1..).map(|n: u32| format!("{prefix}{n}.{vrid}"));
                    let mut names = core::iter::once(format!("{prefix}.{vrid}")).chain(with_six).chain(numbered);
                    names.find(|name| taken.insert(name.clone())).unwrap_or_default()
                });
                vip.more.get_or_insert_default().vmac = Some(name.as_str().into());
            } else if more.own_interface.is_some() && !elsewhere {
                // As keepalived: `dev` with the interface below is the instance's own one. The virtual MAC answers for the address.
                vip.dev = None;
            }
        }
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
        cx.say(head, kind::no_interface(&name))
            .help("add `interface <name>`; only unicast peers with `unicast_src_ip` can do without");
    }
    if draft.vrid.is_none() && !draft.vrid_told {
        cx.say(head, kind::no_vrid(&name))
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
    let hmac = draft.more.hmac.is_some();
    if let Some((_, at)) = draft.auth.take_if(|_| hmac) {
        cx.say(at, kind::auth_beside_hmac()).help("remove it");
    }
    if let Some(hmac) = draft.more.hmac.as_deref_mut().filter(|_| strict) {
        hmac.mode = HmacMode::Enforce;
    }
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
    more(cx, head, strict, global.global.more.vrrp_garp_extra_if, &mut out);
    if strict && out.priority == 255 {
        out.more.owner_ignore_adverts = Some(true);
    }
    accept(cx, head, strict, &mut out);
    ((interface.is_some() || without) && vrid.is_some()).then_some(out)
}

/// Whether packets to the addresses are accepted: RFC 9568 §6.1 (Accept_Mode) and §6.4.3, RFC 3768 §6.4.3.
fn accept(cx: &mut Cx<'_>, head: Span, strict: bool, out: &mut InstanceConfig) {
    let owner = out.priority == 255;
    if out.more.no_accept && owner {
        cx.say(head, kind::owner_accepts(&out.name)).help("remove `no_accept`, or give a priority below 255");
    }
    if strict && !owner {
        if out.more.accept && out.version == Version::V2 {
            cx.say(head, kind::accept_in_version_2(&out.name)).help("remove `accept`, strict mode, or use version 3");
            out.more.accept = false;
        }
        out.more.no_accept = !out.more.accept;
    }
}

/// What follows from keywords that stand in `more`.
fn more(cx: &mut Cx<'_>, head: Span, strict: bool, extra: Option<ExtraGarp>, out: &mut InstanceConfig) {
    let more = &mut out.more;
    more.garp_extra_if = more.garp_extra_if.or(extra).filter(|e| !e.every.is_zero());
    if more.timer_expired_backup.is_some() && out.preempt {
        cx.say(head, kind::needs_nopreempt());
        more.timer_expired_backup = None;
    }
    if more.owner_ignore_adverts == Some(true) && out.priority != 255 {
        cx.say(head, kind::needs_priority_255());
        more.owner_ignore_adverts = None;
    }
    if more.unicast_src_ip.is_some() && more.unicast_peer.is_none() {
        cx.say(head, kind::src_without_peer()).help("add `unicast_peer { <address> ... }`, or write `mcast_src_ip`");
    }
    if let Some(own) = more.own_interface.as_deref_mut() {
        if out.interface.is_empty() {
            cx.say(head, kind::own_without_interface()).help("add `interface <name>`");
            more.own_interface = None;
        } else if strict && (own.mac.is_some() || more.vmac_xmit_base) {
            cx.say(head, kind::own_in_strict_mode());
            own.mac = None;
            more.vmac_xmit_base = false;
        }
    }
    if more.vrf.is_some() && more.unicast_peer.is_none() {
        cx.say(head, kind::vrf_without_peer()).help("remove it: adverts to a group go by the VRF of the interface");
        more.vrf = None;
    }
    if more.unicast_ttl.is_some() && more.unicast_peer.is_none() {
        cx.say(head, kind::ttl_without_peer());
        more.unicast_ttl = None;
    }
}

fn version(cx: &mut Cx<'_>, global: &Globals, draft: &Draft, family: Family) -> Version {
    if family == Family::V6 {
        if let Some((2, span)) = draft.version {
            cx.say(span, kind::version2_ipv6()).help("remove `version 2`");
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
            cx.say(span, kind::owner_by_default());
            255
        }
        _ => 100,
    };
    let mut master = draft.state.is_some_and(|s| s.0);
    if let (true, true, Some((_, span))) = (strict && out.priority != 255, master, draft.state) {
        cx.say(span, kind::strict_master());
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
            cx.say(span, kind::nopreempt_unused(why))
                .help("write `state BACKUP` on all routers, and a priority below 255");
        }
    }
    if let Some((us, span)) = draft.preempt_delay {
        if strict {
            cx.say(span, kind::preempt_delay_unused_strict());
        } else if !out.preempt {
            cx.say(span, kind::preempt_delay_unused()).help("remove one of them");
        } else if master {
            cx.say(span, kind::preempt_delay_unused_master()).help("write `state BACKUP`");
        } else {
            out.preempt_delay = Duration::from_micros(us);
        }
    }
}

fn advert_int(cx: &mut Cx<'_>, draft: &Draft, version: Version) -> Duration {
    let Some((us, span)) = draft.advert_int else { return Duration::from_secs(1) };
    let text = super::value::seconds(us);
    match version {
        // An advert of version 2 has its interval in whole seconds: the other routers would receive a different one.
        Version::V2 if !us.is_multiple_of(1_000_000) => {
            cx.say(span, kind::v2_interval(&text))
                .help("write whole seconds, 1..255; or `version 3` on all routers of this virtual_router_id");
            Duration::from_secs(1)
        }
        Version::V3 if us > 40_950_000 => {
            cx.say(span, kind::v3_interval(&text)).help("write 0.01..40.95");
            Duration::from_secs(1)
        }
        Version::V3 if !us.is_multiple_of(10_000) => {
            let centi = ((us + 5_000) / 10_000).clamp(1, 4095);
            let used = super::value::seconds(centi * 10_000);
            cx.say(span, kind::v3_interval_rounded(&used));
            Duration::from_millis(centi * 10)
        }
        _ => Duration::from_micros(us),
    }
}

fn auth(cx: &mut Cx<'_>, given: Option<(AuthGiven, Span)>, version: Version, strict: bool, name: &str) -> Auth {
    let Some((given, span)) = given else { return Auth::None };
    if strict {
        cx.say(span, kind::auth_in_strict_mode()).help("remove it, or `vrrp_strict`");
        return Auth::None;
    }
    if version == Version::V3 {
        cx.say(span, kind::auth_in_version_3()).help("remove it; RFC 9568 section 9 says why");
        return Auth::None;
    }
    if let Some((_, at)) = given.password.as_ref().filter(|(p, _)| p.len() > 8) {
        cx.say(*at, kind::password_too_long()).help("shorten it");
    }
    match (given.kind, given.password) {
        // As keepalived: an empty password is none.
        (Some((kind @ (AuthKind::Pass | AuthKind::Ah), _)), Some((pass, _))) if !pass.is_empty() => {
            let mut bytes = [0; 8];
            for (to, from) in bytes.iter_mut().zip(pass.bytes()) {
                *to = from;
            }
            if kind == AuthKind::Ah { Auth::Ah(bytes) } else { Auth::Pass(bytes) }
        }
        (_, None) | (None, _) if given.told => Auth::None,
        (Some((AuthKind::Pass | AuthKind::Ah, at)), _) => {
            cx.say(at, kind::no_password(name)).help("add `auth_pass <at most 8 bytes>`");
            Auth::None
        }
        (None, _) => {
            cx.say(span, kind::no_auth_type(name)).help("add `auth_type PASS`");
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
            cx.say(span, kind::duplicate_address(vip.addr)).also(src, *first, "first here");
            return false;
        }
        seen.insert(key, span);
        true
    };
    for (vip, span) in std::mem::take(&mut draft.vips) {
        if Family::of(&vip.addr) != out.family {
            let (this, other) = if out.family == Family::V4 { ("IPv4", "IPv6") } else { ("IPv6", "IPv4") };
            let why = kind::address_of_other_family(vip.addr, this);
            let help = format!(
                "move it to `virtual_ipaddress_excluded` of this instance, or make a second vrrp_instance for {other}"
            );
            cx.say(span, why).help(help);
        } else if fresh(cx, &vip, span, &out.interface) {
            if out.vips.len() < MAX_VIPS {
                out.vips.push(vip);
                continue;
            }
            if out.excluded.is_empty() {
                cx.say(span, kind::too_many_addresses())
                    .help("move them to `virtual_ipaddress_excluded`, on all routers");
            }
            out.excluded.push(vip);
        } else if out.vips.len() + out.more.repeated.len() < MAX_VIPS {
            out.more.repeated.push(vip.addr);
        }
    }
    for (vip, span) in std::mem::take(&mut draft.excluded) {
        if fresh(cx, &vip, span, &out.interface) {
            out.excluded.push(vip);
        }
    }
    if out.vips.is_empty() && !draft.no_vips_wanted {
        let help = "add an address to `virtual_ipaddress`, or say `no_virtual_ipaddress`";
        let name = &out.name;
        match (strict, out.version) {
            (true, _) => cx.say(draft.head, kind::no_address_strict(name)),
            (_, Version::V3) => cx.say(draft.head, kind::no_address_v3(name)),
            // There is no address because it was wrong, which is reported already.
            _ if draft.vips_told => return,
            _ => cx.say(draft.head, kind::no_address(name)),
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
    // The burst that answers a lower advert has the global burst of a new Master as its default, not that of the instance.
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
            cx.say(span, kind::mcast_src_of_other_family());
        } else if ip.is_multicast() || ip.is_unspecified() {
            cx.say(span, kind::bad_mcast_src());
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
            cx.say(span, kind::bad_mcast_dst(want));
        }
    }
}

fn tracks(cx: &mut Cx<'_>, given: Vec<(crate::config::model::TrackInterface, Span)>, out: &mut InstanceConfig) {
    let mut seen = BTreeSet::new();
    for (track, span) in given {
        if track.name == out.interface {
            cx.say(span, kind::own_interface_tracked(track.name))
                .help("remove the line, or say `dont_track_primary` if that was meant");
        } else if !seen.insert(track.name.clone()) {
            cx.say(span, kind::duplicate_track(track.name));
        } else {
            out.track_interfaces.push(track);
        }
    }
}
