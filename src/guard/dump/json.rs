//! `keepalived.json`: an array of instances, or with `json_version 2` an object. The states are numbers.

use super::words;
use crate::config::model::{Auth, Config, InstanceConfig};
use crate::report::{Instance, Report};
use crate::time::Duration;
use crate::vrrp::State;
use serde_json::{Map, Value, json};

/// The content of the file.
pub fn render(report: &Report, config: &Config) -> String {
    let all: Vec<Value> = report
        .instances
        .iter()
        .map(|i| {
            let cfg = config.instances.iter().find(|c| c.name == i.name);
            json!({"data": data(i, cfg), "stats": stats(i)})
        })
        .collect();
    match config.global.more.json_version {
        1 => Value::Array(all).to_string(),
        _ => {
            let processes = config.track_processes.iter().map(|p| process(p, report)).collect::<Vec<_>>();
            json!({"vrrp": all, "track_process": processes}).to_string()
        }
    }
}

/// keepalived's number of a state. 97 (deleted) and 98 (stopped) are states of instances that only keepalived keeps.
pub(super) fn number(state: State) -> u8 {
    match state {
        State::Init => 0,
        State::Backup => 1,
        State::Master => 2,
        State::Fault => 3,
    }
}

// Whole seconds as an integer.
fn secs(s: f64) -> Value {
    if s.fract() == 0.0 { json!(s as u64) } else { json!(s) }
}

fn whole(d: Duration) -> u64 {
    d.as_secs()
}

fn data(i: &Instance, cfg: Option<&InstanceConfig>) -> Value {
    let mut m = Map::new();
    let mut put = |k: &str, v: Value| drop(m.insert(k.to_owned(), v));
    let default = InstanceConfig::new(&i.name, &i.interface, i.vrid, crate::config::model::Family::V4);
    let c = cfg.unwrap_or(&default);
    let flag = |b: bool| json!(u8::from(b));
    let (sec, micro) = words::epoch(&i.since);
    put("iname", json!(i.name));
    put("dont_track_primary", flag(!c.track_primary));
    put("skip_check_adv_addr", flag(c.skip_check_adv_addr));
    put("strict_mode", json!(0));
    put("vmac_ifname", json!(c.own().map_or("", |(_, name)| name)));
    put("ifp_ifname", json!(c.own().map_or(&*i.interface, |(_, name)| name)));
    put("master_priority", json!(i.master_priority));
    put("last_transition", number_of(&format!("{sec}.{micro:06}")));
    put("garp_delay", json!(whole(c.garp.delay)));
    put("garp_refresh", json!(whole(c.garp.refresh)));
    put("garp_rep", json!(c.garp.repeat));
    put("garp_refresh_rep", json!(c.garp.refresh_repeat));
    put("garp_lower_prio_delay", json!(whole(c.garp.lower_prio_delay)));
    put("garp_lower_prio_rep", json!(c.garp.lower_prio_repeat));
    put("lower_prio_no_advert", flag(c.lower_prio_no_advert));
    put("higher_prio_send_advert", flag(c.higher_prio_send_advert));
    put("vrid", json!(i.vrid));
    put("base_priority", json!(i.priority));
    put("effective_priority", json!(i.effective_priority));
    put("vipset", json!(i.addresses_held > 0));
    put("promote_secondaries", json!(c.more.promote_secondaries));
    put("adver_int", secs(i.advert_interval_seconds));
    put("master_adver_int", secs(i.master_advert_interval_seconds));
    put("accept", flag(!c.more.no_accept));
    put("nopreempt", json!(!c.preempt));
    put("preempt_delay", json!(whole(c.preempt_delay)));
    put("state", json!(number(i.state)));
    put("wantstate", json!(number(i.state)));
    put("version", json!(i.version));
    put("smtp_alert", json!(c.more.notify.smtp_alert.unwrap_or(false)));
    put("notify_deleted", json!(c.more.notify.deleted.is_some()));
    let n = &c.more.notify;
    for (key, script) in [
        ("script_backup", &n.backup),
        ("script_master", &n.master),
        ("script_fault", &n.fault),
        ("script_stop", &n.stop),
        ("script", &n.any),
        ("script_master_rx_lower_pri", &n.master_rx_lower_pri),
    ] {
        if let Some(s) = script {
            put(key, json!(words::command(s)));
        }
    }
    let held = |n: usize| i.addresses.get(n).is_some_and(|a| a.held);
    let list = |vips: &[crate::config::model::Vip], from: usize| -> Vec<String> {
        vips.iter().enumerate().map(|(n, v)| words::vip(v, &i.interface, held(from + n))).collect()
    };
    for (key, all) in [("vips", list(&c.vips, 0)), ("evips", list(&c.excluded, c.vips.len()))] {
        if !all.is_empty() {
            put(key, json!(all));
        }
    }
    let t = &c.more.tracks;
    let names =
        |lines: &[crate::config::model::vrrp::Track]| lines.iter().map(|l| l.name.to_string()).collect::<Vec<_>>();
    let interfaces = c.track_interfaces.iter().map(|t| t.name.clone()).collect();
    for (key, all) in
        [("track_ifp", interfaces), ("track_script", names(&t.scripts)), ("track_process", names(&t.processes))]
    {
        if !all.is_empty() {
            put(key, json!(all));
        }
    }
    let kind = match c.auth {
        Auth::None => 0,
        Auth::Pass(_) => 1,
        Auth::Ah(_) => 2,
    };
    put("auth_type", json!(kind));
    if c.auth != Auth::None {
        put("auth_data", json!("********"));
    }
    Value::Object(m)
}

// A decimal number that must keep its digits.
fn number_of(text: &str) -> Value {
    text.parse::<f64>().map_or(json!(0), |n| json!(n))
}

fn stats(i: &Instance) -> Value {
    let c = &i.counters;
    let no = |reason: &str| c.rejected.get(reason).copied().unwrap_or(0);
    json!({
        "advert_rcvd": c.adverts_received,
        "advert_sent": c.adverts_sent,
        "become_master": c.became_master,
        "release_master": c.released_master,
        "packet_len_err": no("length"),
        "advert_interval_err": no("interval"),
        "ip_ttl_err": no("ttl"),
        "invalid_type_rcvd": no("type"),
        "addr_list_err": no("address-list"),
        "invalid_authtype": 0,
        "authtype_mismatch": no("auth-type"),
        "auth_failure": no("auth-data"),
        "pri_zero_rcvd": c.priority_zero_received,
        "pri_zero_sent": c.priority_zero_sent,
    })
}

fn process(p: &crate::config::model::vrrp::TrackProcess, report: &Report) -> Value {
    let up = report.trackers.iter().find(|t| t.kind == "process" && *t.name == *p.name).and_then(|t| t.up);
    json!({"name": p.name, "process": p.process.join(" "), "quorum": p.quorum, "have_quorum": up.unwrap_or(false)})
}
