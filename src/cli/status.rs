//! `kalived status` for people: which node is Master, since when, why it changed, which problems there are and what to check.
//!
//! Read first: `src/report/mod.rs`. Problems come first, then a paragraph for each virtual router, the rest in short. Times are local.
//! Pure: the time zone is passed in.

use crate::reload_time::{Zone, stamp};
use crate::report::{Instance, Moment, RealServer, Report, ServerState, VirtualServer};
use crate::vrrp::State;
use core::fmt::Write;

/// Most addresses listed for a virtual router; `--format=json` has all.
const NAMED: usize = 8;
/// Earlier transitions and other routers shown for each.
const SHOWN: usize = 4;

/// The report as text for people; `zone` converts times to local time.
pub fn render(r: &Report, zone: Zone) -> String {
    let mut out = String::new();
    head(&mut out, r);
    let bad: Vec<&Instance> = r.instances.iter().filter(|i| !i.conditions.is_empty()).collect();
    if !bad.is_empty() {
        out += "\nLook at:\n";
        for i in bad {
            conditions(&mut out, i, zone);
        }
    }
    for i in &r.instances {
        out += "\n";
        instance(&mut out, i, zone);
    }
    for g in &r.groups {
        let reasons = if g.reasons.is_empty() { String::new() } else { format!(": {}", g.reasons) };
        let _ =
            writeln!(out, "\n(vrrp_sync_group {}) {} since {}{reasons}", g.name, g.state.word(), at(&g.since, zone));
        let _ = writeln!(out, "    members: {}", g.members.join(", "));
    }
    for vs in &r.virtual_servers {
        out += "\n";
        virtual_server(&mut out, vs, zone);
    }
    rest(&mut out, r);
    out
}

fn virtual_server(out: &mut String, vs: &VirtualServer, zone: Zone) {
    let up = if vs.up { "UP" } else { "DOWN" };
    let reason = if vs.reason.is_empty() { String::new() } else { format!(": {}", vs.reason) };
    let _ = writeln!(out, "(virtual_server {}) {up} since {}{reason}", vs.name, at(&vs.since, zone));
    let _ = write!(out, "    {}, weight {}, quorum {}", vs.scheduler, vs.weight, vs.quorum);
    if vs.hysteresis > 0 {
        let _ = write!(out, ", hysteresis {}", vs.hysteresis);
    }
    if let Some(sorry) = &vs.sorry_server {
        let _ = write!(out, "; sorry server {sorry}{}", if vs.sorry_active { " IN CHARGE" } else { "" });
    }
    if vs.suspended {
        out.push_str("; its checks rest: this host does not have its address");
    }
    if let Some(mark) = vs.fwmark {
        let _ = write!(out, "; fwmark {mark}");
    }
    if vs.services_held < vs.services {
        let _ = write!(out, "; {} of {} services are in the IPVS table", vs.services_held, vs.services);
    }
    out.push('\n');
    // Servers that are down come first: among a thousand servers they are the ones looked for.
    let (bad, good): (Vec<&RealServer>, Vec<_>) =
        vs.real_servers.iter().partition(|s| matches!(s.state, ServerState::Down | ServerState::Awaited));
    for s in bad.iter().chain(&good).take(NAMED.max(bad.len())) {
        let state = s.state.word();
        let reason = if s.reason.is_empty() { String::new() } else { format!(": {}", s.reason) };
        let _ = writeln!(out, "    {} {state} for {}, weight {}{reason}", s.name, ago(&s.since), s.weight);
        for c in s.checks.iter().filter(|c| c.up == Some(false) || c.failures > 0) {
            let _ = writeln!(out, "        {}: {}", c.kind, c.result);
        }
    }
    match (bad.len() + good.len()).saturating_sub(NAMED.max(bad.len())) {
        0 => {}
        more => {
            let _ = writeln!(out, "    and {more} more, none of them down");
        }
    }
}

fn head(out: &mut String, r: &Report) {
    let d = &r.daemon;
    let count = |s: State| r.instances.iter().filter(|i| i.state == s).count();
    let states = [State::Master, State::Backup, State::Fault, State::Init].map(|s| (s, count(s)));
    let states: Vec<String> =
        states.into_iter().filter(|(_, n)| *n > 0).map(|(s, n)| format!("{n} {}", s.word())).collect();
    let wrong = r.instances.iter().filter(|i| !i.conditions.is_empty()).count();
    let what = if states.is_empty() { "no virtual router".to_owned() } else { states.join(", ") };
    let what = match (r.virtual_servers.len(), r.virtual_servers.iter().filter(|v| v.up).count()) {
        (0, _) => what,
        (all, up) => format!("{what}; {up} of {all} virtual servers up"),
    };
    let what = if wrong > 0 { format!("{what}; {wrong} to look at") } else { what };
    let _ = writeln!(out, "kalived {}: {what}", d.version);
    if let Some(problem) = &d.problem {
        let _ = writeln!(out, "    {problem}");
    }
    if r.truncated && d.problem.is_none() {
        out.push_str("    the report is not complete\n");
    }
    let _ = write!(out, "    configuration {}, process {}", d.configuration, d.pid);
    if let (Some(core), Some(since)) = (d.core_pid, &d.core_since) {
        let _ = write!(out, ", VRRP process {core} for {}", ago(since));
    }
    if d.cores > 1 {
        let _ = write!(out, " ({} VRRP processes so far)", d.cores);
    }
    out.push('\n');
    if let Some(last) = &d.last_reload {
        let _ = writeln!(out, "    last reload: {last}");
    }
}

fn conditions(out: &mut String, i: &Instance, zone: Zone) {
    for c in &i.conditions {
        let since = c.since.as_ref().map_or_else(String::new, |m| format!(" since {}", at(m, zone)));
        let _ = writeln!(out, "    ({}) {}{since}: {}", i.name, c.name.word(), c.detail);
        if !c.look_at.is_empty() {
            let _ = writeln!(out, "        {}", c.look_at);
        }
    }
}

fn instance(out: &mut String, i: &Instance, zone: Zone) {
    let cause = if i.cause.is_empty() { String::new() } else { format!(": {}", i.cause) };
    let _ = writeln!(out, "({}) {} since {}{cause}", i.name, i.state.word(), at(&i.since, zone));
    let _ = write!(
        out,
        "    {} VRID {}, VRRP version {}, priority {}",
        i.interface, i.vrid, i.version, i.effective_priority
    );
    if i.effective_priority != i.priority {
        let _ = write!(out, " of {}", i.priority);
    }
    if i.state != State::Fault && !i.reasons.is_empty() {
        let _ = write!(out, " ({})", i.reasons);
    }
    match i.master {
        Some(m) => {
            let _ = write!(out, "; Master is {m}, priority {}", i.master_priority);
        }
        None if i.state == State::Backup => out.push_str("; no Master heard yet"),
        None => {}
    }
    out.push('\n');
    let _ = write!(out, "    holds {} of {} addresses:", i.addresses_held, i.addresses.len());
    for a in i.addresses.iter().take(NAMED) {
        let _ = write!(out, " {}/{}", a.address, a.prefix_length);
    }
    match i.addresses.len().saturating_sub(NAMED) {
        0 => {}
        more => *out += &format!(" and {more} more"),
    }
    out.push('\n');
    for s in i.senders.iter().take(SHOWN) {
        let priority = s.priority.map_or_else(String::new, |p| format!(", priority {p}"));
        let refused = match (&s.last_refused_reason, s.refused) {
            (Some(why), n) if n > 0 => format!(", {n} refused ({why})"),
            _ => String::new(),
        };
        let _ = writeln!(
            out,
            "    heard {}{priority}: {} adverts{refused}, the last {} ago",
            s.address,
            s.accepted + s.refused,
            ago(&s.last)
        );
    }
    if i.senders.is_empty() {
        out.push_str("    no other router heard\n");
    }
    for t in i.transitions.iter().skip(1).take(SHOWN) {
        let cause = if t.cause.is_empty() { String::new() } else { format!(": {}", t.cause) };
        let _ = writeln!(out, "    before: {} at {}{cause}", t.to.word(), at(&t.at, zone));
    }
    let c = &i.counters;
    let _ = write!(out, "    adverts: {} received, {} sent", c.adverts_received, c.adverts_sent);
    for (n, what) in [
        (c.adverts_not_sent, "not sent"),
        (c.priority_zero_received, "farewells received"),
        (c.priority_zero_sent, "farewells sent"),
        (c.addresses_restored, "addresses put back"),
    ] {
        if n > 0 {
            let _ = write!(out, ", {n} {what}");
        }
    }
    let _ = write!(out, "; became Master {} times", c.became_master);
    if !c.rejected.is_empty() {
        let list: Vec<String> = c.rejected.iter().map(|(why, n)| format!("{why} {n}")).collect();
        let _ = write!(out, "; refused: {}", list.join(", "));
    }
    out.push('\n');
}

fn rest(out: &mut String, r: &Report) {
    let mut lines = Vec::new();
    // Without received adverts, nothing can be reported about other senders.
    if r.instances.iter().any(|i| i.state == State::Master && i.senders.is_empty()) {
        lines.push(
            "A Master that hears no other router cannot see a second Master either: if there is one, look at firewall rules for IP \
             protocol 112 on both"
                .to_owned(),
        );
    }
    for t in &r.trackers {
        let is = match (t.up, &t.value) {
            (Some(true), _) => "up".to_owned(),
            (Some(false), _) => "DOWN".to_owned(),
            (None, Some(n)) => format!("has {n}"),
            (None, None) => "no result yet".to_owned(),
        };
        lines.push(format!("{} {}: {is}", t.kind, t.name));
    }
    for b in &r.bfd_sessions {
        let lost = b.detection_time_seconds.filter(|_| b.up == Some(true));
        let how = match (lost, &b.error) {
            (_, Some(e)) => format!(", {e}"),
            (Some(s), None) => format!(", lost after {} ms of silence", s * 1000.0),
            (None, None) => format!(", {}", b.local_diagnostic),
        };
        let state = if b.state == "Down" { "DOWN" } else { &b.state };
        lines.push(format!("BFD session {} with {}: {state} since {}{how}", b.name, b.neighbor, ago(&b.since)));
    }
    for (reason, n) in r.bfd_discarded.iter().filter(|(_, n)| **n > 0) {
        lines.push(format!("BFD packets discarded ({reason}): {n}"));
    }
    for i in r.interfaces.iter().filter(|i| !(i.up && i.running)) {
        let is = if i.ifindex.is_none() { "does not exist" } else { "is down" };
        lines.push(format!("interface {} {is}", i.name));
    }
    for s in r.sockets.iter().filter(|s| s.packets_of_unknown_vrid > 0) {
        lines.push(format!("{}: {} packets of another VRID", s.name, s.packets_of_unknown_vrid));
    }
    if r.routes.configured > 0 {
        lines.push(format!(
            "static routes: {} of {} held, {} waiting for an interface, {} put back",
            r.routes.held, r.routes.configured, r.routes.waiting, r.routes.restored
        ));
    }
    if r.ipvs.available == Some(false) {
        lines.push("virtual servers are not served: the kernel offers no IPVS (load the module ip_vs)".to_owned());
    }
    if r.routes.virtual_wanted > 0 {
        lines.push(format!("virtual routes: {} of {} held", r.routes.virtual_held, r.routes.virtual_wanted));
    }
    let rules = &r.rules;
    if rules.configured > 0 {
        lines.push(format!("static rules: {} of {} held, {} put back", rules.held, rules.configured, rules.restored));
    }
    if rules.virtual_wanted > 0 {
        lines.push(format!("virtual rules: {} of {} held", rules.virtual_held, rules.virtual_wanted));
    }
    let n = &r.notifications;
    if n.scripts_running + n.scripts_waiting + n.mails_waiting > 0 {
        lines.push(format!(
            "notification: {} scripts run, {} wait, {} mails wait",
            n.scripts_running, n.scripts_waiting, n.mails_waiting
        ));
    }
    for p in n.pipes.iter().filter(|p| !p.open || p.lines_lost > 0) {
        lines.push(format!(
            "named pipe {}: {}, {} lines lost",
            p.path,
            if p.open { "open" } else { "not open" },
            p.lines_lost
        ));
    }
    if r.log.lines_lost > 0 {
        lines.push(format!("log: {} lines lost", r.log.lines_lost));
    }
    if !lines.is_empty() {
        out.push('\n');
        *out += &lines.join("\n");
        out.push('\n');
    }
}

fn at(m: &Moment, zone: Zone) -> String {
    let seconds = m.wall().map_or(0, |w| (w.0 / 1_000_000_000).cast_signed());
    format!("{} ({} ago)", stamp(seconds, zone), ago(m))
}

// The two largest units: they show whether the change was recent.
fn ago(m: &Moment) -> String {
    let s = m.age_seconds;
    if s < 10.0 {
        return format!("{s:.1}s");
    }
    let text = humantime::format_duration(core::time::Duration::from_secs(s as u64)).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}
