//! `keepalived.data`: configuration and state; a heading's items are indented by one space, their details by three.
//!
//! Fields of keepalived without a meaning in kalived (file descriptors, netlink buffers, iptables) are left out; every line that is
//! written has keepalived's name and form. Passwords are asterisks.

use super::words::{self, Out};
use crate::config::model::setting::Ready;
use crate::config::model::vrrp::{Notify, Track, TrackFile};
use crate::config::model::{Auth, Config, Global, InstanceConfig};
use crate::report::{Group, Instance, Moment, Report, rfc3339};
use crate::sys::clock;
use crate::time::{Duration, Wall, nanos};
use crate::vrrp::State;

/// The content of the file.
pub fn render(report: &Report, config: &Config) -> String {
    let mut out = Out(String::new());
    global(&mut out, config);
    out.head("VRRP Topology");
    for i in &report.instances {
        instance(&mut out, i, report, config);
    }
    sockets(&mut out, report);
    if !report.groups.is_empty() {
        out.head("VRRP Sync groups");
        report.groups.iter().for_each(|g| group(&mut out, g, report));
    }
    if !config.scripts.is_empty() {
        out.head("VRRP Scripts");
        config.scripts.iter().for_each(|s| script(&mut out, s, report, config));
    }
    if !config.track_files.is_empty() {
        out.head("VRRP Track files");
        for f in &config.track_files {
            track_file(&mut out, f, report);
            tracking(&mut out, config, |c| &c.more.tracks.files, &f.name, f.weight.weight);
        }
    }
    if !config.track_processes.is_empty() {
        out.head("VRRP Track processes");
        for p in &config.track_processes {
            out.one("VRRP Track process", &p.name);
            out.item("Process", p.process.join(" "));
            out.item("Min processes", p.quorum);
            let up = report.trackers.iter().find(|t| t.kind == "process" && *t.name == *p.name).and_then(|t| t.up);
            out.item("Have quorum", up.unwrap_or(false));
            out.item("Weight", p.weight.weight);
            out.item("Terminate delay", format!("{:.6}s", p.terminate_delay.as_secs_f64()));
            out.item("Fork delay", format!("{:.6}s", p.fork_delay.as_secs_f64()));
            out.item("Full command", p.full_command);
            tracking(&mut out, config, |c| &c.more.tracks.processes, &p.name, p.weight.weight);
        }
    }
    if !config.bfd.is_empty() {
        out.head("VRRP Track BFDs");
        for b in &config.bfd {
            out.one("VRRP Track BFD", &b.name);
            out.item("Weight", b.weight.weight);
            let up = report.bfd_sessions.iter().find(|s| *s.name == *b.name).and_then(|s| s.up);
            out.item("Bfd is", if up == Some(true) { "Up" } else { "Down" });
            tracking(&mut out, config, |c| &c.more.tracks.bfds, &b.name, b.weight.weight);
        }
    }
    interfaces(&mut out, report, config);
    out.0
}

fn unset(flag: Option<bool>) -> &'static str {
    match flag {
        None => "unset",
        Some(true) => "on",
        Some(false) => "off",
    }
}

/// A `track_file` and its number.
pub(super) fn track_file(out: &mut Out, f: &TrackFile, report: &Report) {
    out.one("Track file", &f.name);
    out.item("File", f.file.as_deref().unwrap_or(""));
    let value = report.trackers.iter().find(|t| t.kind == "file" && *t.name == *f.name);
    out.item("Status", value.and_then(|t| t.value.as_deref()).unwrap_or("0"));
    out.item("Weight", f.weight.weight);
}

pub(super) fn global(out: &mut Out, config: &Config) {
    let Global { router_id, process, more } = &config.global;
    out.head("Global definitions");
    out.one("Network namespace", config.root.net_namespace.as_deref().unwrap_or("(default)"));
    if let Some(id) = router_id {
        out.one("Router ID", id);
    }
    if let Some(server) = &more.smtp_server {
        out.one("Smtp server", &server.host);
        out.one("Smtp server port", server.port);
    }
    if let Some(helo) = &more.smtp_helo_name {
        out.one("Smtp HELO name", helo);
    }
    if let Some(from) = &more.notification_email_from {
        out.one("Email notification from", from);
    }
    out.one("Default smtp_alert", unset(more.smtp_alert));
    out.one("Default smtp_alert_vrrp", unset(more.smtp_alert_vrrp));
    out.one("Default smtp_alert_checker", unset(more.smtp_alert_checker));
    out.one("Checkers log all failures", more.checker_log_all_failures);
    out.one("Dynamic interfaces", true);
    out.one("FIFO write vrrp states on reload", more.fifo_write_vrrp_states_on_reload);
    out.one("VRRP notify priority changes", more.vrrp_notify_priority_changes);
    out.one("VRRP check unicast_src", more.vrrp_check_unicast_src);
    out.one("VRRP process priority", process.nice.unwrap_or(0));
    out.one("VRRP don't swap", process.no_swap);
    out.one("VRRP realtime priority", process.rt_priority.unwrap_or(0));
    out.one("SNMP vrrp", "disabled");
    out.line(1, format!("Script security {}", if more.enable_script_security { "enabled" } else { "disabled" }));
    out.one("umask", format!("0{:03o}", more.umask));
}

fn micros(d: Duration) -> u128 {
    d.as_micros()
}

// As ctime(3), with microseconds.
fn moment(m: &Moment) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let wall = m.wall().unwrap_or_default();
    let (l, (sec, micro)) = (clock::local(wall), words::epoch(m));
    let local = sec.cast_signed() + clock::utc_offset(sec.cast_signed());
    let day = DAYS[local.div_euclid(86_400).rem_euclid(7) as usize];
    let month = MONTHS[usize::from(l.month.clamp(1, 12)) - 1];
    let time = format!("{:02}:{:02}:{:02}.{micro:06}", l.hour, l.minute, l.second);
    format!("{sec}.{micro:06} ({day} {month} {:2} {time} {})", l.day, l.year)
}

fn instance(out: &mut Out, i: &Instance, report: &Report, config: &Config) {
    let default = InstanceConfig::new(&i.name, &i.interface, i.vrid, crate::config::model::Family::V4);
    let c = config.instances.iter().find(|c| c.name == i.name).unwrap_or(&default);
    let on = |b: bool| if b { "enabled" } else { "disabled" };
    out.one("VRRP Instance", &i.name);
    out.item("VRRP Version", i.version);
    if let Some(g) = config.sync_groups.iter().find(|g| g.members.iter().any(|m| **m == *i.name)) {
        out.item("Sync group", &g.name);
    }
    if i.family == crate::report::instance::Family::IPv6 {
        out.line(3, "Using Native IPv6");
    }
    out.item("State", i.state.word());
    if i.state == State::Backup {
        out.item("Master router", i.master.map_or("unknown".to_owned(), |m| m.to_string()));
        out.item("Master priority", i.master_priority);
    }
    match c.peers() {
        Some(_) => {
            out.line(3, "Flags:");
            out.line(5, "Using unicast");
        }
        None => out.line(3, "Flags: none"),
    }
    out.item("Wantstate", i.state.word());
    out.item("Number of config faults", 0);
    let faults = i.reasons.split(", ").filter(|r| i.state == State::Fault && !r.is_empty()).count();
    out.item("Number of interface and track script faults", faults);
    out.item("Number of track scripts init", 0);
    out.item("Last transition", moment(&i.since));
    let secs = |s: f64| Duration::from_secs_f64(s.clamp(0.0, 1e9));
    match i.master_down_in_seconds {
        Some(left) => {
            let now = Moment { time: report.time.clone(), age_seconds: 0.0 };
            let at = Wall(now.wall().unwrap_or_default().0 + nanos(secs(left)));
            out.item("Read timeout", moment(&Moment { time: rfc3339(at), age_seconds: 0.0 }));
        }
        None => out.item("Read timeout", "DISABLED"),
    }
    out.item("Master down timer", format!("{} usecs", micros(secs(i.master_down_interval_seconds))));
    out.item("Interface", &i.interface);
    let source = i.source.map_or("(none)".to_owned(), |s| s.to_string());
    out.item("Using src_ip", format!("{source}{}", if c.source().is_some() { " (from configuration)" } else { "" }));
    if let (None, Some(group)) = (c.peers(), i.destinations.first()) {
        out.line(3, format!("Multicast address {group}"));
    }
    out.item("Gratuitous ARP delay", c.garp.delay.as_secs());
    out.item("Gratuitous ARP repeat", c.garp.repeat);
    out.item("Gratuitous ARP refresh", c.garp.refresh.as_secs());
    out.item("Gratuitous ARP refresh repeat", c.garp.refresh_repeat);
    out.item("Gratuitous ARP lower priority delay", c.garp.lower_prio_delay.as_secs());
    out.item("Gratuitous ARP lower priority repeat", c.garp.lower_prio_repeat);
    out.item("Down timer adverts", c.down_timer_adverts);
    out.item("Send advert after receive lower priority advert", !c.lower_prio_no_advert);
    out.item("Send advert after receive higher priority advert", c.higher_prio_send_advert);
    out.item("Virtual Router ID", i.vrid);
    out.item("Priority", i.priority);
    out.item("Effective priority", i.effective_priority);
    out.item("Total priority", i.effective_priority);
    let interval = match i.version {
        2 => format!("{} sec", i.advert_interval_seconds.round() as u64),
        _ => format!("{} milli-sec", (i.advert_interval_seconds * 1000.0).round() as u64),
    };
    out.item("Advert interval", interval);
    if i.state == State::Backup && i.version == 3 {
        let theirs = (i.master_advert_interval_seconds * 1000.0).round() as u64;
        out.item("Master advert interval", format!("{theirs} milli-sec"));
    }
    out.item("Accept", on(!c.more.no_accept));
    out.item("Preempt", on(c.preempt));
    if !c.preempt_delay.is_zero() {
        out.item("Preempt delay", format!("{} secs", c.preempt_delay.as_secs()));
    }
    out.item("Promote_secondaries", on(c.more.promote_secondaries));
    if i.version == 2 {
        let kind = match c.auth {
            Auth::None => "none",
            Auth::Pass(_) => "SIMPLE_PASSWORD",
            Auth::Ah(_) => "IPSEC_AH",
        };
        out.item("Authentication type", kind);
        if c.auth != Auth::None {
            out.item("Password", "********");
        }
    }
    vips(out, i, c);
    if let Some(peers) = c.peers() {
        out.item("Unicast TTL", c.more.unicast_ttl.filter(|t| *t > 0).unwrap_or(255));
        out.line(3, format!("Check unicast src : {}", if c.more.check_unicast_src { "yes" } else { "no" }));
        out.line(3, "Unicast Peer :");
        for p in peers {
            let (min, max) = (p.min_ttl.unwrap_or(0), p.max_ttl.unwrap_or(255));
            out.line(5, format!("{} min_ttl {min} max_ttl {max}", p.addr));
        }
    }
    tracked(out, c, config);
    notify(out, &c.more.notify, config);
}

fn vips(out: &mut Out, i: &Instance, c: &InstanceConfig) {
    let held = |n: usize| i.addresses.get(n).is_some_and(|a| a.held);
    if !c.vips.is_empty() {
        out.line(3, format!("Virtual IP ({}):", c.vips.len()));
        for (n, v) in c.vips.iter().enumerate() {
            out.line(5, words::vip(v, &i.interface, held(n)));
        }
    }
    if !c.excluded.is_empty() {
        out.line(3, "Virtual IP Excluded :");
        for (n, v) in c.excluded.iter().enumerate() {
            out.line(5, words::vip(v, &i.interface, held(c.vips.len() + n)));
        }
    }
}

fn tracked(out: &mut Out, c: &InstanceConfig, config: &Config) {
    let own = |kind: &str, name: &str| match kind {
        "scripts" => config.scripts.iter().find(|s| *s.name == *name).map(|s| s.weight.weight),
        "BFDs" => config.bfd.iter().find(|s| *s.name == *name).map(|s| s.weight.weight),
        "files" => config.track_files.iter().find(|s| *s.name == *name).map(|s| s.weight.weight),
        _ => config.track_processes.iter().find(|s| *s.name == *name).map(|s| s.weight.weight),
    };
    if !c.track_interfaces.is_empty() {
        out.line(3, "Tracked interfaces :");
        for t in &c.track_interfaces {
            out.line(5, format!("{} weight {}{}", t.name, t.weight, if t.reverse { " reverse" } else { "" }));
        }
    }
    let t = &c.more.tracks;
    for (title, lines) in [("scripts", &t.scripts), ("files", &t.files), ("processes", &t.processes), ("BFDs", &t.bfds)]
    {
        if !lines.is_empty() {
            out.line(3, format!("Tracked {title} :"));
            for l in lines {
                let reverse = if l.reverse == Some(true) { " reverse" } else { "" };
                let comma = if title == "scripts" { "" } else { "," };
                out.line(
                    5,
                    format!(
                        "{}{comma} weight {}{reverse}",
                        l.name,
                        l.weight.or_else(|| own(title, &l.name)).unwrap_or(0)
                    ),
                );
            }
        }
    }
}

fn notify(out: &mut Out, n: &Notify, config: &Config) {
    let more = &config.global.more;
    let mail = n.smtp_alert.or(more.smtp_alert_vrrp).or(more.smtp_alert).unwrap_or(false);
    out.item("Using smtp notification", if mail { "yes" } else { "no" });
    out.item("Notify deleted", if n.deleted.is_some() { "Deleted" } else { "Fault" });
    for (name, script) in [
        ("Backup state transition script", &n.backup),
        ("Master state transition script", &n.master),
        ("Fault state transition script", &n.fault),
        ("Stop state transition script", &n.stop),
        ("Generic state transition script", &n.any),
        ("Master rx lower prio script", &n.master_rx_lower_pri),
    ] {
        if let Some(s) = script {
            out.item(name, format!("{}, {}", words::command(s), words::user(s)));
        }
    }
    out.item("Notify priority changes", n.priority_changes.unwrap_or(more.vrrp_notify_priority_changes));
}

fn sockets(out: &mut Out, report: &Report) {
    out.head("VRRP Sockpool");
    for s in &report.sockets {
        out.one("Interface", &s.name);
        out.item("Family", if s.address.contains(':') { "IPv6" } else { "IPv4" });
        out.item("Protocol", "VRRP");
        out.item("Type", if s.name == s.address { "Unicast" } else { "Multicast" });
        out.item("Address", &s.address);
        out.line(3, "VRRP instances");
        let uses = |i: &&Instance| i.interface == s.name || i.source.is_some_and(|a| a.to_string() == s.name);
        let same = |i: &&Instance| (i.family == crate::report::instance::Family::IPv6) == s.address.contains(':');
        report
            .instances
            .iter()
            .filter(uses)
            .filter(same)
            .for_each(|i| out.line(5, format!("{} vrid {}", i.name, i.vrid)));
    }
}

fn group(out: &mut Out, g: &Group, report: &Report) {
    let members = || report.instances.iter().filter(|i| g.members.contains(&i.name));
    let number = |s: State| members().filter(|i| i.state == s).count();
    out.one("VRRP Sync Group", format!("{}, {}", g.name, g.state.word()));
    out.line(3, format!("Num member fault {}, num member init {}", number(State::Fault), number(State::Init)));
    out.line(3, "VRRP member instances :");
    g.members.iter().for_each(|m| out.line(5, m));
}

fn script(out: &mut Out, s: &crate::config::model::vrrp::VrrpScript, report: &Report, config: &Config) {
    let found = report.trackers.iter().find(|t| t.kind == "script" && *t.name == *s.name);
    out.one("VRRP Script", &s.name);
    if let Some(command) = &s.script {
        out.item("Command", words::command(command));
    }
    out.item("Interval", format!("{} sec", s.interval.as_secs_f64()));
    out.item("Timeout", format!("{} sec", s.timeout.as_secs_f64()));
    out.item("Weight", s.weight.weight);
    out.item("Rise", s.rise);
    out.item("Fall", s.fall);
    let status = match found.map(|t| t.up) {
        None => "BAD",
        Some(None) if s.init_fail => "INIT/FAILED",
        Some(None) => "INIT",
        Some(Some(true)) => "GOOD",
        Some(Some(false)) => "BAD",
    };
    let runs = s.script.as_ref().is_none_or(|c| matches!(c.ready, Ready::As { .. }));
    out.item("Insecure", if runs { "no" } else { "yes" });
    out.item("Status", status);
    if let Some(command) = &s.script {
        out.item("Script uid:gid", words::ids(command));
    }
    tracking(out, config, |c| &c.more.tracks.scripts, &s.name, s.weight.weight);
    out.item("State", if found.is_some_and(|t| t.running) { "running" } else { "idle" });
}

fn tracking(out: &mut Out, config: &Config, lines: fn(&InstanceConfig) -> &Vec<Track>, name: &str, weight: i32) {
    out.line(3, "Tracking instances :");
    for c in &config.instances {
        for l in lines(c).iter().filter(|l| *l.name == *name) {
            out.line(5, format!("{}, weight {}", c.name, l.weight.unwrap_or(weight)));
        }
    }
}

fn interfaces(out: &mut Out, report: &Report, config: &Config) {
    out.head("Interfaces");
    for i in report.interfaces.iter().filter(|i| i.ifindex.is_some()) {
        out.one("Name", &i.name);
        out.item("index", i.ifindex.unwrap_or(0));
        if let Some(mac) = &i.mac {
            out.item("MAC", mac);
        }
        let mut state = vec![if i.up { "UP" } else { "DOWN" }, if i.running { "RUNNING" } else { "not RUNNING" }];
        state.extend((!i.multicast).then_some("no multicast"));
        out.item("State", state.join(", "));
        out.item("MTU", i.mtu_bytes);
        out.line(3, "Tracking VRRP instances :");
        for c in config.instances.iter().filter(|c| c.interface == i.name) {
            out.line(5, format!("{}, weight 0", c.name));
        }
    }
}
