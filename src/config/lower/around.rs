//! Blocks and keywords of the top level except `global_defs` (`global.rs`), `vrrp_instance` (`instance.rs`) and those of LVS
//! (`server.rs`): sync groups, trackers, static entries, BFD. Read first: `mod.rs`.

use super::process::names;
use super::refs::{Kind, Owner, Use};
use super::track::{notify, tracks};
use super::value::word;
use super::vrrp_check;
use super::{Cx, says};
use crate::config::keyword::{Form, Keyword, Scope};
use crate::config::kind;
use crate::config::model::Config;
use crate::config::model::bfd::BfdInstance;
use crate::config::model::lvs::Ssl;
use crate::config::model::vrrp::{
    GarpGroup, InitFile, LinkDelay, Linkbeat, ParamMatch, SyncGroup, TrackFile, TrackGroup, TrackProcess, VrrpScript,
};
use crate::config::tree::Stmt;
use core::time::Duration;

/// Longest name of a BFD session.
const MAX_BFD_NAME: usize = 31;

/// Reads one statement of the top level.
pub(super) fn block<'a>(cx: &mut Cx<'a>, k: &'static Keyword, stmt: &'a Stmt, stmts: &'a [Stmt], config: &mut Config) {
    match k.name {
        "vrrp_sync_group" => {
            let Some(name) = cx.name(k, stmt) else { return };
            config.sync_groups.extend(sync_group(cx, name, stmt, stmts));
        }
        "vrrp_script" => {
            let Some(name) = cx.name(k, stmt) else { return };
            config.scripts.extend(vrrp_script(cx, name, stmt, stmts));
        }
        "vrrp_check" => {
            let Some(name) = cx.name(k, stmt) else { return };
            config.checks.extend(vrrp_check::vrrp_check(cx, name, stmt, stmts));
        }
        "track_file" | "vrrp_track_file" => {
            let Some(name) = cx.name(k, stmt) else { return };
            config.track_files.extend(track_file(cx, name, stmt, stmts));
        }
        "vrrp_track_process" => {
            let Some(name) = cx.name(k, stmt) else { return };
            config.track_processes.extend(track_process(cx, name, stmt, stmts));
        }
        "bfd_instance" => {
            let Some(name) = cx.name(k, stmt) else { return };
            let Some(new) = bfd(cx, name, stmt, stmts) else { return };
            // A received packet would belong to both sessions.
            let same = |b: &&BfdInstance| {
                (b.neighbor_ip, b.source_ip, b.multihop) == (new.neighbor_ip, new.source_ip, new.multihop)
            };
            match config.bfd.iter().find(same) {
                Some(first) => drop(cx.say(stmt.span(), kind::duplicate_bfd(&new.name, &first.name))),
                None => config.bfd.push(new),
            }
        }
        "track_group" => {
            let Some(name) = cx.name(k, stmt) else { return };
            let (mut members, owner) = (Vec::new(), Owner { block: "track_group", name: "".into() });
            cx.walk(Scope::TrackGroup, stmts, |cx, k, s| members = cx.instances(k, s, &owner));
            config.track_groups.push(TrackGroup { name, members });
        }
        "garp_group" => config.garp_groups.extend(garp_group(cx, stmt, stmts)),
        "linkbeat_interfaces" => linkbeats(cx, k, stmt, config),
        "interface_up_down_delays" => delays(cx, k, stmt, config),
        "static_ipaddress" => {
            cx.extra(stmt, 1);
            for line in stmts {
                config.static_addresses.extend(cx.address_line(line, "static_ipaddress").map(|v| v.0));
            }
        }
        "static_routes" => config.static_routes.extend(cx.routes(stmt, "static_routes")),
        "static_rules" => config.static_rules.extend(cx.rules(stmt, "static_rules")),
        "SSL" => {
            let mut ssl = config.ssl.take().unwrap_or_default();
            cx.fill(Scope::Ssl, stmts, &mut ssl, |_, _: &mut Ssl, _, _| false);
            config.ssl = Some(ssl);
        }
        _ => cx.set(&mut [&mut config.root], k, stmt),
    }
}

impl<'a> Cx<'a> {
    /// The name of a block; `None` when it has none or another block has it.
    pub(super) fn name(&mut self, k: &'static Keyword, stmt: &'a Stmt) -> Option<Box<str>> {
        let word = self.arg(k, stmt)?;
        let name = self.text(word);
        let kind = if k.name == "vrrp_track_file" { "track_file" } else { k.name };
        if let Some(first) = self.names.get(&(kind, name)).copied() {
            let (src, text) = (self.src, kind::duplicate_name(kind, name));
            self.say(word.span, text).also(src, first, "the first one is here").help("give it another name");
            return None;
        }
        self.names.insert((kind, name), word.span);
        Some(name.into())
    }

    /// Names of instances, each of which must exist.
    fn instances(&mut self, k: &'static Keyword, stmt: &'a Stmt, owner: &Owner) -> Vec<Box<str>> {
        let lines = stmt.block.iter().flat_map(|b| &b.stmts).flat_map(|s| &s.words);
        for w in lines {
            let (name, span, word, owner) = (self.text(w).into(), w.span, Some(k.name), owner.clone());
            self.uses.push(Use { kind: Kind::Instance, name, span, weight: None, word, owner });
        }
        names(self, stmt)
    }
}

fn sync_group<'a>(cx: &mut Cx<'a>, name: Box<str>, head: &'a Stmt, stmts: &'a [Stmt]) -> Option<SyncGroup> {
    let mut group = SyncGroup { place: cx.src.place(head.span()), name, ..SyncGroup::default() };
    let owner = Owner { block: "vrrp_sync_group", name: group.name.clone() };
    cx.fill(Scope::SyncGroup, stmts, &mut group, |cx, group, k, stmt| {
        if k.name == "group" {
            group.members = cx.instances(k, stmt, &owner);
            return true;
        }
        tracks(cx, &mut group.tracks, k, stmt, &owner) || notify(cx, &mut group.notify, k, stmt)
    });
    match group.members.len() {
        0 => {
            cx.say(head.span(), kind::no_members(&owner)).help("add `group { <instance> ... }`");
            return None;
        }
        1 => {
            cx.say(head.span(), kind::single_member(&owner));
        }
        _ => {}
    }
    Some(group)
}

fn vrrp_script<'a>(cx: &mut Cx<'a>, name: Box<str>, head: &'a Stmt, stmts: &'a [Stmt]) -> Option<VrrpScript> {
    let mut script = VrrpScript { name, ..VrrpScript::default() };
    let mut user = None;
    cx.fill(Scope::VrrpScript, stmts, &mut script, |cx, script, k, stmt| {
        match k.name {
            "user" => user = cx.run_as(k, stmt),
            "interval" | "timeout" => {
                cx.set(&mut [script], k, stmt);
                let field = if k.name == "interval" { &mut script.interval } else { &mut script.timeout };
                cx.not_zero(field, k, stmt);
            }
            _ => return false,
        }
        true
    });
    match (&mut script.script, user) {
        (Some(s), Some((user, group))) => (s.user, s.group) = (Some(user), group),
        (None, _) => {
            if !says(cx.src, stmts, "script") {
                cx.say(head.span(), kind::no_script(&script.name)).help("add `script \"<command>\"`");
            }
            return None;
        }
        _ => {}
    }
    if let Some([_, _, text]) = script.script.as_ref().map(|s| &s.argv[..]) {
        script.native = vrrp_check::of_script(text);
    }
    Some(script)
}

fn track_file<'a>(cx: &mut Cx<'a>, name: Box<str>, head: &'a Stmt, stmts: &'a [Stmt]) -> Option<TrackFile> {
    let mut file = TrackFile { name, ..TrackFile::default() };
    cx.fill(Scope::TrackFile, stmts, &mut file, |cx, file, k, stmt| {
        if k.name != "init_file" {
            return false;
        }
        let mut init = InitFile::default();
        for w in stmt.words.iter().skip(1) {
            match cx.text(w) {
                "overwrite" => init.overwrite = true,
                t => match t.parse() {
                    Ok(n) => init.value = n,
                    Err(_) => cx.bad_word(k, w, "a whole number, overwrite").unwrap_or_default(),
                },
            }
        }
        file.init = Some(init);
        true
    });
    if file.file.is_none() {
        if !says(cx.src, stmts, "file") {
            cx.say(head.span(), kind::no_file(&file.name)).help("add `file \"<path>\"`");
        }
        return None;
    }
    Some(file)
}

fn track_process<'a>(cx: &mut Cx<'a>, name: Box<str>, head: &'a Stmt, stmts: &'a [Stmt]) -> Option<TrackProcess> {
    let mut process = TrackProcess { name, ..TrackProcess::default() };
    let mut quorum_at = None;
    cx.fill(Scope::TrackProcess, stmts, &mut process, |cx, process, k, stmt| {
        match k.name {
            "process" => {
                let mut next = 1;
                cx.need(k, stmt, &mut next);
                process.process = stmt.words.iter().skip(1).map(|w| cx.text(w).into()).collect();
            }
            "param_match" => {
                process.param_match = match word(stmt, 1).map(|w| (w, cx.text(w))) {
                    None => ParamMatch::Exact,
                    Some((_, "initial")) => ParamMatch::Initial,
                    Some((_, "partial")) => ParamMatch::Partial,
                    Some((w, _)) => cx.bad_word(k, w, "initial, partial, or nothing").unwrap_or_default(),
                };
            }
            "delay" => {
                if let Some(delay) = cx.time_of(k, stmt) {
                    (process.fork_delay, process.terminate_delay) = (delay, delay);
                }
            }
            "quorum_max" => {
                quorum_at = Some(stmt.span());
                return false;
            }
            _ => return false,
        }
        true
    });
    if let (Some(max), Some(span)) = (process.quorum_max, quorum_at) {
        if max == 0 {
            process.quorum = 0;
        } else if max < process.quorum {
            cx.say(span, kind::quorum_max_below(max, process.quorum));
            process.quorum_max = None;
        }
    }
    if process.process.is_empty() {
        if !says(cx.src, stmts, "process") {
            cx.say(head.span(), kind::no_process(&process.name)).help("add `process <name>`");
        }
        return None;
    }
    Some(process)
}

fn garp_group<'a>(cx: &mut Cx<'a>, head: &'a Stmt, stmts: &'a [Stmt]) -> Option<GarpGroup> {
    let mut group = GarpGroup::default();
    cx.extra(head, 1);
    cx.fill(Scope::GarpGroup, stmts, &mut group, |cx, group, k, stmt| match k.form {
        Form::Text => {
            if let Some(name) = cx.arg(k, stmt).and_then(|w| cx.interface(w, "garp_group")) {
                group.interfaces.push(name.into());
            }
            true
        }
        Form::Entries(_) => {
            cx.extra(stmt, 1);
            for w in stmt.block.iter().flat_map(|b| &b.stmts).flat_map(|s| &s.words) {
                group.interfaces.extend(cx.interface(w, "garp_group").map(Box::from));
            }
            true
        }
        _ => {
            cx.set(&mut [group], k, stmt);
            if group.garp_interval.max(group.gna_interval) >= Duration::from_secs(1) {
                cx.say(stmt.span(), kind::very_large(k.name)).help("it is a gap between packets, in seconds");
            }
            true
        }
    });
    if group.garp_interval.is_zero() && group.gna_interval.is_zero() {
        cx.say(head.span(), kind::garp_group_without_interval()).help("add `garp_interval <seconds>`");
        return None;
    }
    Some(group)
}

fn linkbeats<'a>(cx: &mut Cx<'a>, k: &'static Keyword, stmt: &'a Stmt, config: &mut Config) {
    cx.extra(stmt, 1);
    for line in stmt.block.iter().flat_map(|b| &b.stmts) {
        let Some(interface) = word(line, 0).and_then(|w| cx.interface(w, k.name)) else { continue };
        let method = match word(line, 1) {
            Some(w) if matches!(cx.text(w), "MII" | "ETHTOOL" | "IOCTL") => Some(cx.text(w).into()),
            Some(w) => cx.bad_word(k, w, "MII, ETHTOOL, IOCTL"),
            None => None,
        };
        config.linkbeats.push(Linkbeat { interface: interface.into(), method });
    }
}

fn delays<'a>(cx: &mut Cx<'a>, k: &'static Keyword, stmt: &'a Stmt, config: &mut Config) {
    cx.extra(stmt, 1);
    for line in stmt.block.iter().flat_map(|b| &b.stmts) {
        let Some(interface) = word(line, 0).and_then(|w| cx.interface(w, k.name)) else { continue };
        let Some(first) = word(line, 1) else {
            cx.say(line.span(), kind::missing_delay()).help(format!("write `{}`", k.args));
            continue;
        };
        const RANGE: (u64, u64) = (0, 255_000_000);
        let down = cx.seconds_of(k, first, RANGE);
        // keepalived's code, not its manual: a delay that is left out is none.
        let up = word(line, 2).map_or(Some(Duration::ZERO), |w| cx.seconds_of(k, w, RANGE));
        if let (Some(down), Some(up)) = (down, up) {
            config.link_delays.push(LinkDelay { interface: interface.into(), down, up });
        }
    }
}

fn bfd<'a>(cx: &mut Cx<'a>, name: Box<str>, head: &'a Stmt, stmts: &'a [Stmt]) -> Option<BfdInstance> {
    if name.len() > MAX_BFD_NAME {
        cx.say(head.span(), kind::bfd_name_too_long(MAX_BFD_NAME));
        return None;
    }
    let mut bfd = BfdInstance { name, ..BfdInstance::default() };
    cx.fill(Scope::BfdInstance, stmts, &mut bfd, |cx, bfd, k, stmt| {
        cx.set(&mut [bfd], k, stmt);
        let large = match k.name {
            "min_rx" => bfd.min_rx.as_secs() > 10,
            "min_tx" => bfd.min_tx.as_secs() > 10,
            "idle_tx" => bfd.idle_tx.as_secs() > 10,
            "multiplier" => bfd.multiplier > 10,
            _ => false,
        };
        if large {
            cx.say(stmt.span(), kind::very_large(k.name)).help("intervals are milliseconds");
        }
        true
    });
    // Neither keyword is the same as both: VRRP and health checks follow the session.
    if !bfd.vrrp && !bfd.checker {
        (bfd.vrrp, bfd.checker) = (true, true);
    }
    let Some(peer) = bfd.neighbor_ip else {
        if !says(cx.src, stmts, "neighbor_ip") {
            cx.say(head.span(), kind::no_neighbor(&bfd.name)).help("add `neighbor_ip <address>`");
        }
        return None;
    };
    if bfd.source_ip.is_some_and(|s| s.is_ipv4() != peer.is_ipv4()) {
        cx.say(head.span(), kind::bfd_of_two_families());
        return None;
    }
    let ttl = i16::from(bfd.ttl.unwrap_or(if peer.is_ipv4() { 255 } else { 64 }));
    if bfd.max_hops > ttl {
        cx.say(head.span(), kind::max_hops_above_ttl(bfd.max_hops, ttl));
        bfd.max_hops = ttl;
    }
    Some(bfd)
}
