//! `keepalived_check.data`: virtual servers, real servers and their health checks, as keepalived's checker process writes them.
//!
//! As in `data.rs`, a line that is written has keepalived's name and form, and fields without a meaning in kalived are left out.
//! Read first: `words.rs`, `src/report/lvs.rs`. What the report has of a server or a check is found by its place in the file.

use super::data;
use super::words::{self, Out};
use crate::config::model::check::{Check, CheckKind, HttpCheck, Pace};
use crate::config::model::lvs::{Checksum, GroupEntry, IpFamily, Method, Protocol, Scheduler, Service, Tunnel};
use crate::config::model::lvs::{RealServer, ServerGroup, VirtualServer};
use crate::config::model::{Config, setting::Script};
use crate::lvs::check::{CheckSpec, INTERVAL, TIMEOUT, What, alpha};
use crate::lvs::nth_address;

use crate::report::{self, HealthCheck, Report, ServerState};
use crate::time::Duration;
use core::fmt::Display;
use core::net::Ipv4Addr;
use std::collections::BTreeMap;

/// The content of the file.
pub fn render(report: &Report, config: &Config) -> String {
    let mut out = Out(String::new());
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let found: Vec<(&report::VirtualServer, &VirtualServer)> =
        report.virtual_servers.iter().filter_map(|vs| Some((vs, written(vs, config, &mut seen)?))).collect();
    data::global(&mut out, config);
    out.head("LVS Topology");
    for g in &config.server_groups {
        group(&mut out, g);
    }
    for (seen, vs) in &found {
        virtual_server(&mut out, seen, vs, config);
    }
    out.head("Health checkers");
    // Those that follow something else come last.
    for follows in [false, true] {
        for (seen, vs) in &found {
            for (rs, real) in seen.real_servers.iter().zip(&vs.real_servers) {
                checks(&mut out, seen, rs, vs, real, config, follows);
            }
        }
    }
    if !config.track_files.is_empty() {
        out.head("Checker track files");
        for f in &config.track_files {
            data::track_file(&mut out, f, report);
        }
    }
    out.0
}

// The block of the file that a virtual server of the report has. Several may have one name (the same mark for both families, a group
// without virtual servers before it): then the order decides.
fn written<'a>(
    vs: &'a report::VirtualServer,
    config: &'a Config,
    seen: &mut BTreeMap<&'a str, usize>,
) -> Option<&'a VirtualServer> {
    let (kind, number) = match vs.name.rsplit_once("]:") {
        // The number after a group's name is its place among those of this group.
        Some((group, n)) if n.bytes().all(|b| b.is_ascii_digit()) => (group.trim_start_matches('['), n.parse().ok()?),
        _ => {
            let number = seen.entry(&vs.name).or_default();
            *number += 1;
            (&*vs.name, *number - 1)
        }
    };
    let is = |c: &&VirtualServer| match &c.service {
        Service::Mark(mark) => format!("FWM {mark}") == kind,
        Service::Group(name) => **name == *kind,
        Service::Address(..) => c.track_name() == kind,
    };
    config.virtual_servers.iter().filter(is).nth(number)
}

fn flag(out: &mut Out, name: &str, is: bool) {
    out.item(name, if is { "enabled" } else { "disabled" });
}

fn switch(out: &mut Out, name: &str, is: bool) {
    out.line(3, format!("{name} is {}", if is { "ON" } else { "OFF" }));
}

fn seconds(d: Duration) -> String {
    format!("{:.6}", d.as_secs_f64())
}

fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

fn script(s: &Script) -> String {
    format!("{}, {}", words::command(s), words::user(s))
}

fn method(m: Method) -> String {
    let sum = |c: Checksum| match c {
        Checksum::None => "no checksum",
        Checksum::Csum => "checksum",
        Checksum::Remote => "remote checksum",
    };
    match m {
        Method::Nat => "NAT".to_owned(),
        Method::Dr => "DR".to_owned(),
        Method::Tun(Tunnel::Ipip) => "TUN, type = IPIP".to_owned(),
        Method::Tun(Tunnel::Gue(port, c)) => format!("TUN, type = GUE, port = {port}, {}", sum(c)),
        Method::Tun(Tunnel::Gre(c)) => format!("TUN, type = GRE, {}", sum(c)),
    }
}

fn group(out: &mut Out, g: &ServerGroup) {
    let has = |v6: bool| {
        let of = |e: &GroupEntry| matches!(e, GroupEntry::Range(addr, ..) if addr.is_ipv6() == v6);
        yes(g.entries.iter().any(of))
    };
    out.line(1, "------< Virtual server group >------");
    out.one("Virtual Server Group", format!("{}, IPv4 = {}, IPv6 = {}", g.name, has(false), has(true)));
    for entry in &g.entries {
        match entry {
            GroupEntry::Range(addr, 0, port) => out.line(3, format!("VIP = {addr}, VPORT = {port}")),
            GroupEntry::Range(addr, more, port) => {
                out.line(3, format!("VIP Range = {addr}-{}, VPORT = {port}", nth_address(*addr, *more)));
            }
            GroupEntry::Mark(mark, _) => out.item("FWMARK", mark),
        }
    }
}

fn virtual_server(out: &mut Out, seen: &report::VirtualServer, vs: &VirtualServer, config: &Config) {
    out.line(1, "------< Virtual server >------");
    match &vs.service {
        Service::Address(addr, port) => out.one("VS VIP", format!("{addr}, VPORT = {port}")),
        Service::Mark(mark) => out.one("VS FWMARK", mark),
        Service::Group(_) => out.one("VS GROUP", &seen.name),
    }
    if let Some(host) = &vs.virtualhost {
        out.item("VirtualHost", host);
    }
    let first = vs.real_servers.first().is_some_and(|rs| rs.addr.is_ipv6());
    let v6 = match (&vs.service, vs.ip_family) {
        (Service::Address(addr, _), _) => addr.is_ipv6(),
        (_, Some(family)) => family == IpFamily::Inet6,
        (_, None) => first,
    };
    out.item("Address family", if v6 { "inet6" } else { "inet" });
    out.item("connection timeout", seconds(vs.connect_timeout.unwrap_or(TIMEOUT)));
    out.item("delay_loop", seconds(vs.pace.delay_loop.unwrap_or(INTERVAL)));
    out.item("lvs_sched", vs.scheduler.word());
    flag(out, "Hashed", vs.hashed);
    // In keepalived's order.
    let names: &[(u8, &str)] = match vs.scheduler {
        Scheduler::Sh => &[(2, "sh-port"), (1, "sh-fallback")],
        Scheduler::Mh => &[(2, "mh-port"), (1, "mh-fallback")],
        _ => &[(1, "flag-1"), (2, "flag-2"), (4, "flag-3")],
    };
    for (bit, name) in names {
        flag(out, name, vs.flags & bit != 0);
    }
    flag(out, "One packet scheduling", vs.ops);
    if vs.persistence_timeout > 0 {
        out.item("persistence timeout", vs.persistence_timeout);
        match vs.granularity {
            Some(mask) if !v6 => out.item("persistence granularity", Ipv4Addr::from_bits(mask)),
            Some(prefix) => out.item("persistence granularity", prefix),
            None => {}
        }
    }
    if let Some(engine) = &vs.persistence_engine {
        out.item("persistence engine", engine);
    }
    let mark = matches!(vs.service, Service::Mark(_));
    out.item("protocol", vs.protocol.filter(|_| !mark).map_or("none", Protocol::word));
    switch(out, "alpha", vs.pace.alpha.unwrap_or(false));
    switch(out, "omega", vs.omega);
    retries(out, &vs.pace, &vs.pace);
    switch(out, "Inhibit on failure", vs.inhibit_on_failure);
    out.item("quorum", format!("{}, hysteresis = {}", vs.quorum, vs.hysteresis));
    if let Some(s) = &vs.quorum_up {
        out.item("Quorum up notify script", script(s));
    }
    if let Some(s) = &vs.quorum_down {
        out.item("Quorum down notify script", script(s));
    }
    if vs.ha_suspend {
        out.line(3, "Using HA suspend");
    }
    let more = &config.global.more;
    let mail = vs.smtp_alert.or(more.smtp_alert_checker).or(more.smtp_alert);
    out.item("Using smtp notification", yes(mail.unwrap_or(false)));
    out.item("default forwarding method", method(vs.method));
    if let (Some(sorry), Some(name)) = (&vs.sorry, &seen.sorry_server) {
        out.item("sorry server", name);
        out.line(5, format!("forwarding method = {}", method(sorry.method)));
        if sorry.inhibit {
            out.line(5, "Inhibit on failure is ON");
        }
    }
    out.item("alive", 1);
    out.item("quorum_state_up", u8::from(seen.up));
    for (rs, real) in seen.real_servers.iter().zip(&vs.real_servers) {
        real_server(out, seen, rs, vs, real, mail);
    }
}

// Only what is written.
fn retries(out: &mut Out, own: &Pace, all: &Pace) {
    if let Some(retry) = own.retry.or(all.retry) {
        out.item("Retry count", retry);
    }
    if let Some(delay) = own.delay_before_retry.or(all.delay_before_retry) {
        out.item("Retry delay", seconds(delay));
    }
    if let Some(warmup) = own.warmup.or(all.warmup) {
        out.item("Warmup", seconds(warmup));
    }
}

fn serves(state: ServerState) -> bool {
    matches!(state, ServerState::Up | ServerState::Unchecked)
}

fn real_server(
    out: &mut Out,
    of: &report::VirtualServer,
    seen: &report::RealServer,
    vs: &VirtualServer,
    rs: &RealServer,
    mail: Option<bool>,
) {
    out.line(3, "------< Real server >------");
    let weight = seen.weight;
    // The port in use: that of a service by mark is 0.
    let port = seen.name.rsplit_once(':').map_or("0", |(_, port)| port);
    out.item("RIP", format!("{}, RPORT = {port}, WEIGHT = {weight} EFF WEIGHT = {weight}", rs.addr));
    out.item("forwarding method", method(rs.method.unwrap_or(vs.method)));
    let (own, all) = (&rs.pace, &vs.pace);
    switch(out, "Alpha", own.alpha.or(all.alpha).unwrap_or(false));
    let timeout = rs.connect_timeout.or(vs.connect_timeout).unwrap_or(TIMEOUT);
    out.item("connection timeout", seconds(timeout));
    out.item("connection limit range", format!("{} -> {}", rs.lthreshold, rs.uthreshold));
    out.item("Delay loop", seconds(own.delay_loop.or(all.delay_loop).unwrap_or(INTERVAL)));
    retries(out, own, all);
    switch(out, "Inhibit on failure", seen.inhibit_on_failure);
    if let Some(s) = &rs.notify_up {
        out.line(5, format!("RS up notify script = {}", script(s)));
    }
    if let Some(s) = &rs.notify_down {
        out.line(5, format!("RS down notify script = {}", script(s)));
    }
    // Of real servers it is on unless it is turned off.
    out.item("Using smtp notification", yes(rs.smtp_alert.or(mail).unwrap_or(true)));
    out.item("initial weight", rs.weight.unwrap_or(vs.weight));
    out.item("effective weight", weight);
    out.item("alive", u8::from(serves(seen.state)));
    out.item("num failed checkers", seen.checks.iter().filter(|c| failed(c, seen.state)).count());
    let held = !of.sorry_active && of.services_held > 0 && (serves(seen.state) || seen.inhibit_on_failure);
    out.item("RS set", u8::from(held));
}

// With `alpha` a check that has not ended counts as failed.
fn failed(c: &HealthCheck, of: ServerState) -> bool {
    !c.up.unwrap_or(of != ServerState::Awaited)
}

fn checks(
    out: &mut Out,
    of: &report::VirtualServer,
    seen: &report::RealServer,
    vs: &VirtualServer,
    rs: &RealServer,
    config: &Config,
    follows: bool,
) {
    let specs = rs.checks.iter().flat_map(|c| CheckSpec::of(config, vs, rs, c).into_iter().map(move |s| (s, c)));
    let is = |c: &Check| matches!(c.kind, CheckKind::File(_) | CheckKind::Bfd(_)) == follows;
    for ((spec, written), check) in specs.zip(&seen.checks).filter(|((_, c), _)| is(c)) {
        out.line(1, format!("{} -> {}", of.name, seen.name));
        out.item("Enabled", yes(follows || !of.suspended));
        out.item("Up", yes(!failed(check, seen.state)));
        out.item("Has run", yes(check.up.is_some()));
        let micros = |d: Duration| format!("{} us", d.as_micros());
        if !follows {
            out.item("Alpha", yes(alpha(vs, rs, written)));
            out.item("Delay loop", micros(spec.pace.interval));
            out.item("Warmup", micros(spec.pace.warmup));
            out.item("Retries", spec.pace.retries);
            out.item("Delay before retry", micros(spec.pace.retry_delay));
        }
        out.item("Log all failures", yes(spec.log_all));
        connection(out, &spec);
        out.item("Keepalive method", kind(&check.kind, &written.kind));
        parameters(out, written, &spec);
    }
}

fn connection(out: &mut Out, spec: &CheckSpec) {
    let to = match &spec.what {
        What::Tcp(to) | What::Smtp { to, .. } | What::Dns { to, .. } | What::Udp { to, .. } => (to.ip(), to.port()),
        What::Http(http) => (http.to.ip(), http.to.port()),
        What::Ping(to) => (*to, spec.backend.port()),
        What::Misc { .. } | What::File { .. } | What::Bfd(_) | What::Never(_) => return,
    };
    let line = |out: &mut Out, name: &str, value: &dyn Display| out.line(5, format!("{name} = {value}"));
    out.line(3, "Connection");
    line(out, "Dest", &format_args!("[{}]:{}", to.0, to.1));
    if let Some(from) = spec.source.addr {
        out.line(5, format!("Bind to = [{}]:{}", from.ip(), from.port()));
    }
    if let Some(device) = &spec.source.device {
        line(out, "Bind i/f", device);
    }
    if spec.source.mark > 0 {
        line(out, "Mark", &spec.source.mark);
    }
    line(out, "Timeout", &seconds(spec.pace.timeout));
}

fn kind(name: &str, kind: &CheckKind) -> String {
    match kind {
        CheckKind::Http(h) | CheckKind::Ssl(h) => format!("{name}, http protocol {}", h.http_protocol.word()),
        _ => name.to_owned(),
    }
}

fn parameters(out: &mut Out, check: &Check, spec: &CheckSpec) {
    match &check.kind {
        CheckKind::Tcp | CheckKind::Ping => {}
        CheckKind::Udp(udp) => {
            if let What::Udp { payload, .. } = &spec.what {
                out.item("Payload len", payload.len());
            }
            out.item("Require reply", yes(udp.require_reply.is_some()));
            if let Some(reply) = &udp.require_reply {
                out.line(5, format!("Min reply length = {}", udp.min_reply_length));
                out.line(5, format!("Max reply length = {}", udp.max_reply_length));
                out.line(5, format!("Reply data len = {}", reply.len()));
                out.line(5, format!("Reply data mask = {}", yes(reply.iter().any(|(_, mask)| *mask != 0xff))));
            }
        }
        CheckKind::Smtp(_) => {
            if let What::Smtp { helo, .. } = &spec.what {
                out.item("helo", helo);
            }
        }
        CheckKind::Dns(dns) => {
            out.item("Type", dns.query.word());
            out.item("Name", &dns.name);
        }
        CheckKind::Http(http) | CheckKind::Ssl(http) => pages(out, http),
        CheckKind::Misc(misc) => {
            if let Some(s) = &misc.misc_path {
                out.item("script", words::command(s));
                out.item("timeout", spec.pace.timeout.as_secs());
                out.item("dynamic", if misc.misc_dynamic { "YES" } else { "NO" });
                out.item("uid:gid", words::ids(s));
            }
        }
        CheckKind::File(file) => out.line(5, format!("Tracked file = {}", file.track_file.as_deref().unwrap_or(""))),
        CheckKind::Bfd(bfd) => out.item("Name", bfd.name.as_deref().unwrap_or("")),
    }
}

fn pages(out: &mut Out, http: &HttpCheck) {
    out.line(3, format!("Enable SNI {}", if http.enable_sni { "set" } else { "unset" }));
    out.line(3, format!("Fast recovery {}", if http.fast_recovery { "set" } else { "unset" }));
    for url in &http.urls {
        out.item("Checked url", url.path.as_deref().unwrap_or("/"));
        if let Some(digest) = url.digest {
            let hex: String = digest.iter().map(|b| format!("{b:02x}")).collect();
            out.line(5, format!("digest = {hex}"));
        }
        if !url.status.is_empty() {
            out.line(5, "HTTP Status Code(s)");
            for (low, high) in &url.status {
                let range = if low == high { low.to_string() } else { format!("{low}-{high}") };
                out.line(7, range);
            }
        }
        if let Some(host) = &url.virtualhost {
            out.line(5, format!("Virtual host = {host}"));
        }
        if let Some(regex) = &url.regex {
            out.line(5, format!("Regex = \"{}\"", regex.pattern.as_deref().unwrap_or("")));
            if regex.no_match {
                out.line(5, "Regex no match");
            }
            if !regex.options.is_empty() {
                out.line(5, format!("Regex options: {}", regex.options.join(" ")));
            }
        }
    }
}
