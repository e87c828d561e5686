//! `kalived status --format=openmetrics`: the report as metrics, read by monitoring systems through a textfile collector or a wrapper.
//!
//! Names and units follow OpenMetrics 1.0: counters end in `_total`, durations in `_seconds`, states are a state set. Every reason of a
//! rejection and every condition is always present, so that a rule can be written before one occurs. Read first: `src/report/mod.rs`.

use crate::report::instance::Name;
use crate::report::{Counters, Instance, RealServer, Report, ServerState, VirtualServer};
use crate::vrrp::State;
use crate::vrrp::advert::Reject;
use core::fmt::{Display, Write};
use std::collections::BTreeMap;

struct Out(String);

impl Out {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# TYPE {name} {kind}");
        if let Some(unit) = name.strip_suffix("_seconds").map(|_| "seconds") {
            let _ = writeln!(self.0, "# UNIT {name} {unit}");
        }
        let _ = writeln!(self.0, "# HELP {name} {help}");
    }
    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<String> = labels.iter().map(|(k, v)| format!("{k}=\"{}\"", escape(v))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

type Gauge = (&'static str, &'static str, fn(&Instance) -> f64);
const GAUGES: &[Gauge] = &[
    ("kalived_vrrp_priority", "Configured priority.", |i| i.priority.into()),
    ("kalived_vrrp_effective_priority", "Priority in adverts.", |i| i.effective_priority.into()),
    ("kalived_vrrp_state_age_seconds", "Since when it has its state.", |i| i.since.age_seconds),
    ("kalived_vrrp_addresses", "Virtual addresses.", |i| i.addresses.len() as f64),
    ("kalived_vrrp_addresses_held", "Virtual addresses that are held.", |i| i.addresses_held as f64),
    ("kalived_vrrp_senders", "Routers heard with this VRID.", |i| i.senders.len() as f64),
    ("kalived_vrrp_advert_interval_seconds", "Configured interval.", |i| i.advert_interval_seconds),
];
type Count = (&'static str, &'static str, fn(&Counters) -> u64);
const COUNTS: &[Count] = &[
    ("kalived_vrrp_adverts_received", "Adverts accepted.", |c| c.adverts_received),
    ("kalived_vrrp_adverts_sent", "Adverts that left.", |c| c.adverts_sent),
    ("kalived_vrrp_adverts_not_sent", "Adverts that could not be sent.", |c| c.adverts_not_sent),
    ("kalived_vrrp_became_master", "Times it became Master.", |c| c.became_master),
    ("kalived_vrrp_released_master", "Times it stopped being Master.", |c| c.released_master),
    ("kalived_vrrp_priority_zero_received", "Farewells accepted.", |c| c.priority_zero_received),
    ("kalived_vrrp_priority_zero_sent", "Farewells sent.", |c| c.priority_zero_sent),
    ("kalived_vrrp_addresses_restored", "Addresses put back.", |c| c.addresses_restored),
    ("kalived_vrrp_dual_master", "Times that another Master was seen.", |c| c.dual_master),
];

type OfServer<T> = (&'static str, &'static str, fn(&T) -> u64);
const VIRTUAL: &[OfServer<VirtualServer>] = &[
    ("kalived_virtual_server_up", "Whether it has its quorum.", |v| v.up.into()),
    ("kalived_virtual_server_weight", "Sum of the weights of its servers that take connections.", |v| v.weight),
    ("kalived_virtual_server_quorum", "Weight that it needs.", |v| v.quorum),
    ("kalived_virtual_server_sorry", "Whether its sorry server replaces the others.", |v| v.sorry_active.into()),
    ("kalived_virtual_server_suspended", "Whether its checks rest.", |v| v.suspended.into()),
    ("kalived_virtual_server_services", "Services that the IPVS table should have.", |v| v.services),
    ("kalived_virtual_server_services_held", "Of these in the table.", |v| v.services_held),
];
const REAL: &[OfServer<RealServer>] = &[
    ("kalived_real_server_weight", "Its weight now.", |s| s.weight),
    ("kalived_real_server_checks_failing", "Its health checks whose verdict is down.", |s| {
        s.checks.iter().filter(|c| c.up == Some(false)).count() as u64
    }),
    ("kalived_real_server_check_failures", "Failures in a row that do not count yet.", |s| {
        s.checks.iter().map(|c| c.failures).sum()
    }),
];

/// Names as labels: one that stands there again has its number, because a sample must be unique.
fn unique<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let label = |name: &'a str| {
        let n = seen.entry(name).or_default();
        *n += 1;
        if *n == 1 { name.to_owned() } else { format!("{name} ({n})") }
    };
    names.map(label).collect()
}

fn servers(out: &mut Out, r: &Report) {
    if let Some(available) = r.ipvs.available {
        out.family("kalived_ipvs_available", "gauge", "Whether the kernel executes requests for IPVS.");
        out.sample("kalived_ipvs_available", &[], u8::from(available));
    }
    out.family("kalived_ipvs_restored", "counter", "Entries corrected after another program changed them.");
    out.sample("kalived_ipvs_restored_total", &[], r.ipvs.restored);
    let names = unique(r.virtual_servers.iter().map(|v| v.name.as_str()));
    for (name, help, value) in VIRTUAL {
        out.family(name, "gauge", help);
        for (v, label) in r.virtual_servers.iter().zip(&names) {
            out.sample(name, &[("virtual_server", label)], value(v));
        }
    }
    let mut all: Vec<(&RealServer, &str, String)> = Vec::new();
    for (v, of) in r.virtual_servers.iter().zip(&names) {
        let labels = unique(v.real_servers.iter().map(|s| s.name.as_str()));
        all.extend(v.real_servers.iter().zip(labels).map(|(s, label)| (s, of.as_str(), label)));
    }
    out.family("kalived_real_server_state", "stateset", "What is known of a real server.");
    for (s, of, label) in &all {
        for word in ServerState::WORDS {
            let labels = [("virtual_server", *of), ("real_server", label), ("kalived_real_server_state", word)];
            out.sample("kalived_real_server_state", &labels, u8::from(s.state.word() == *word));
        }
    }
    for (name, help, value) in REAL {
        out.family(name, "gauge", help);
        for (s, of, label) in &all {
            out.sample(name, &[("virtual_server", of), ("real_server", label)], value(s));
        }
    }
}

/// The whole text, with its `# EOF`.
pub fn render(r: &Report) -> String {
    let mut out = Out(String::new());
    let d = &r.daemon;
    out.family("kalived", "info", "Version of kalived.");
    out.sample("kalived_info", &[("version", &d.version)], 1);
    out.family("kalived_up", "gauge", "Whether the VRRP process answers.");
    out.sample("kalived_up", &[], u8::from(d.problem.is_none()));
    out.family("kalived_cores", "gauge", "VRRP processes so far.");
    out.sample("kalived_cores", &[], d.cores);
    out.family("kalived_log_lines_lost", "counter", "Log lines that were not taken in time.");
    out.sample("kalived_log_lines_lost_total", &[], r.log.lines_lost);
    let of = |i: &Instance| [i.name.clone(), i.interface.clone(), i.vrid.to_string(), i.family.word().to_owned()];
    let each: Vec<(&Instance, [String; 4])> = r.instances.iter().map(|i| (i, of(i))).collect();
    let labels = |l: &'_ [String; 4]| -> [(&'static str, String); 4] {
        [("instance", l[0].clone()), ("interface", l[1].clone()), ("vrid", l[2].clone()), ("family", l[3].clone())]
    };
    let put = |out: &mut Out, name: &str, l: &[String; 4], more: Option<(&str, &str)>, value: &dyn Display| {
        let own = labels(l);
        let mut all: Vec<(&str, &str)> = own.iter().map(|(k, v)| (*k, v.as_str())).collect();
        all.extend(more);
        out.sample(name, &all, value);
    };
    out.family("kalived_vrrp_state", "stateset", "State of a virtual router.");
    for (i, l) in &each {
        for s in State::ALL {
            put(&mut out, "kalived_vrrp_state", l, Some(("kalived_vrrp_state", s.word())), &u8::from(i.state == s));
        }
    }
    out.family("kalived_vrrp_condition", "stateset", "What is wrong with a virtual router, or worth a look.");
    for (i, l) in &each {
        for name in Name::WORDS {
            let is = i.conditions.iter().any(|c| c.name.word() == *name);
            put(&mut out, "kalived_vrrp_condition", l, Some(("kalived_vrrp_condition", name)), &u8::from(is));
        }
    }
    out.family("kalived_sync_group_state", "stateset", "State of a sync group.");
    for g in &r.groups {
        for s in State::ALL {
            let labels = [("group", g.name.as_str()), ("kalived_sync_group_state", s.word())];
            out.sample("kalived_sync_group_state", &labels, u8::from(g.state == s));
        }
    }
    for (name, help, value) in GAUGES {
        out.family(name, "gauge", help);
        each.iter().for_each(|(i, l)| put(&mut out, name, l, None, &value(i)));
    }
    for (name, help, value) in COUNTS {
        out.family(name, "counter", help);
        each.iter().for_each(|(i, l)| put(&mut out, &format!("{name}_total"), l, None, &value(&i.counters)));
    }
    out.family("kalived_vrrp_rejected", "counter", "Packets refused, by reason.");
    for (i, l) in &each {
        for reason in Reject::ALL {
            let n = i.counters.rejected.get(reason.name()).copied().unwrap_or(0);
            put(&mut out, "kalived_vrrp_rejected_total", l, Some(("reason", reason.name())), &n);
        }
    }
    out.family(
        "kalived_tracker_up",
        "gauge",
        "Whether what is tracked is as it should be; files are kalived_tracked_file.",
    );
    for t in &r.trackers {
        if let Some(up) = t.up {
            out.sample("kalived_tracker_up", &[("kind", &t.kind), ("name", &t.name)], u8::from(up));
        }
    }
    out.family("kalived_bfd_session_up", "gauge", "Whether a BFD session is up.");
    for b in &r.bfd_sessions {
        out.sample(
            "kalived_bfd_session_up",
            &[("name", &b.name), ("neighbor", &b.neighbor)],
            u8::from(b.up == Some(true)),
        );
    }
    out.family("kalived_bfd_session_lost", "counter", "Times a BFD session left Up.");
    for b in &r.bfd_sessions {
        out.sample("kalived_bfd_session_lost_total", &[("name", &b.name), ("neighbor", &b.neighbor)], b.times_lost);
    }
    out.family("kalived_bfd_discarded", "counter", "BFD packets discarded, by reason.");
    for (reason, n) in &r.bfd_discarded {
        out.sample("kalived_bfd_discarded_total", &[("reason", reason)], n);
    }
    out.family("kalived_tracked_file", "gauge", "The number in a tracked file.");
    for t in &r.trackers {
        if let Some(n) = &t.value {
            out.sample("kalived_tracked_file", &[("name", &t.name)], n);
        }
    }
    servers(&mut out, r);
    out.0 += "# EOF\n";
    out.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Condition, Group, HealthCheck, Ipvs, Tracker};
    use std::collections::BTreeSet;

    #[test]
    fn every_sample_belongs_to_its_family_and_stands_once() {
        let condition = Condition { name: Name::DualMaster, ..Condition::default() };
        let mut one =
            Instance { name: "a\"b".into(), state: State::Master, conditions: vec![condition], ..Instance::default() };
        one.counters.rejected.insert("ttl".into(), 3);
        let tracker = Tracker { kind: "script".into(), name: "x".into(), up: Some(false), ..Tracker::default() };
        let two = Instance { name: "c".into(), ..Instance::default() };
        let group = Group { name: "G".into(), state: State::Fault, ..Group::default() };
        let check = HealthCheck { up: Some(false), failures: 2, ..HealthCheck::default() };
        let down =
            RealServer { name: "r".into(), state: ServerState::Down, checks: vec![check], ..RealServer::default() };
        let real_servers = vec![down, RealServer { name: "r".into(), weight: 7, ..RealServer::default() }];
        let fwm = VirtualServer { name: "FWM 1".into(), real_servers, services: 1, ..VirtualServer::default() };
        let text = render(&Report {
            instances: vec![one, two],
            trackers: vec![tracker],
            groups: vec![group],
            virtual_servers: vec![fwm.clone(), VirtualServer { up: true, ..fwm }],
            ipvs: Ipvs { available: Some(false), ..Ipvs::default() },
            ..Report::default()
        });
        let (mut family, mut families, mut seen) = ("", BTreeSet::new(), BTreeSet::new());
        for line in text.strip_suffix("# EOF\n").expect("the end").lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                family = rest.split(' ').next().unwrap_or_default();
                assert!(families.insert(family), "{family} stands twice");
            } else if let Some(rest) = line.strip_prefix("# ") {
                assert_eq!(rest.split(' ').nth(1), Some(family), "{line}");
            } else {
                let (name, value) = line.rsplit_once(' ').expect("a value");
                assert!(value.parse::<f64>().is_ok() && seen.insert(name), "{line}");
                let metric = name.split('{').next().unwrap_or_default();
                assert!(
                    ["", "_total", "_info"].iter().any(|end| metric == format!("{family}{end}")),
                    "{line} in {family}"
                );
            }
        }
        let has = |line: &str| assert!(text.contains(line), "{line} in\n{text}");
        has(
            "kalived_vrrp_state{instance=\"a\\\"b\",interface=\"\",vrid=\"0\",family=\"ipv4\",kalived_vrrp_state=\"MASTER\"} 1\n",
        );
        has("family=\"ipv4\",kalived_vrrp_condition=\"DUAL_MASTER\"} 1\n");
        has("family=\"ipv4\",reason=\"ttl\"} 3\n");
        has("kalived_tracker_up{kind=\"script\",name=\"x\"} 0\n");
        has("kalived_sync_group_state{group=\"G\",kalived_sync_group_state=\"FAULT\"} 1\n");
        has("kalived_ipvs_available 0\n");
        has("kalived_virtual_server_up{virtual_server=\"FWM 1\"} 0\n");
        has("kalived_virtual_server_up{virtual_server=\"FWM 1 (2)\"} 1\n");
        let server = "{virtual_server=\"FWM 1\",real_server=\"r\"";
        has(&format!("kalived_real_server_state{server},kalived_real_server_state=\"down\"}} 1\n"));
        has(&format!("kalived_real_server_checks_failing{server}}} 1\n"));
        has(&format!("kalived_real_server_check_failures{server}}} 2\n"));
        has("kalived_real_server_weight{virtual_server=\"FWM 1\",real_server=\"r (2)\"} 7\n");
    }
}
