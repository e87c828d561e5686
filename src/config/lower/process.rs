//! `global_defs`: keywords with a form of their own that do not concern virtual routers. The keyword table reads all others. Read
//! first: `global.rs`.

use super::Cx;
use super::value::word;
use crate::config::keyword::Keyword;
use crate::config::kind;
use crate::config::model::global::{ExtraGarp, GlobalMore, LvsFlush, LvsSync, RxBuffers, SmtpServer};
use crate::config::tree::Stmt;
use core::time::Duration;

/// Reads one statement.
pub(super) fn one<'a>(cx: &mut Cx<'a>, more: &mut GlobalMore, k: &'static Keyword, stmt: &'a Stmt) {
    match k.name {
        "notification_email" => {
            more.notification_email = names(cx, stmt);
            if more.notification_email.is_empty() {
                cx.say(stmt.span(), kind::no_mail_address()).help("add an address, or remove it");
            }
        }
        "smtp_server" => more.smtp_server = smtp_server(cx, k, stmt).or(more.smtp_server.take()),
        "lvs_timeouts" => lvs_timeouts(cx, more, k, stmt),
        "lvs_sync_daemon" => more.lvs_sync_daemon = lvs_sync(cx, k, stmt).or(more.lvs_sync_daemon.take()),
        "lvs_flush_on_stop" | "lvs_flush_onstop" => {
            more.lvs_flush_on_stop = match word(stmt, 1) {
                None => LvsFlush::All,
                Some(w) if cx.text(w) == "VS" => LvsFlush::Services,
                Some(w) => cx.bad_word(k, w, "VS, or nothing").unwrap_or_default(),
            };
        }
        "vrrp_garp_extra_if" | "vrrp_vmac_garp_intvl" => {
            more.vrrp_garp_extra_if = extra_garp(cx, k, stmt, 1).or(more.vrrp_garp_extra_if);
        }
        "vrrp_iptables" => {
            let chain = |cx: &Cx<'a>, i, or| word(stmt, i).map_or(or, |w| cx.text(w)).into();
            more.vrrp_iptables = Some((chain(cx, 1, "INPUT"), chain(cx, 2, "OUTPUT")));
            cx.extra(stmt, 3);
        }
        "vrrp_ipsets" => more.vrrp_ipsets = ipsets(cx, k, stmt).or(more.vrrp_ipsets.take()),
        "notify_fifo" => more.notify_fifo = cx.fifo(k, stmt).or(more.notify_fifo.take()),
        "vrrp_notify_fifo" => more.vrrp_notify_fifo = cx.fifo(k, stmt).or(more.vrrp_notify_fifo.take()),
        "lvs_notify_fifo" => more.lvs_notify_fifo = cx.fifo(k, stmt).or(more.lvs_notify_fifo.take()),
        "checker_rt_priority" => more.checker_rt_priority = cx.rt_priority(k, stmt).or(more.checker_rt_priority),
        "bfd_rt_priority" => more.bfd_rt_priority = cx.rt_priority(k, stmt).or(more.bfd_rt_priority),
        "checker_cpu_affinity" => cx.cpus_into(&mut more.checker_cpu_affinity, k, stmt),
        "bfd_cpu_affinity" => cx.cpus_into(&mut more.bfd_cpu_affinity, k, stmt),
        "script_user" => more.script_user = cx.run_as(k, stmt).or(more.script_user.take()),
        "vrrp_rx_bufs_policy" => rx_buffers(cx, more, k, stmt),
        "umask" => more.umask = umask(cx, k, stmt).unwrap_or(more.umask),
        "include_check" => more.include_check = include_check(cx, k, stmt),
        "dynamic_interfaces" => {
            if let Some(w) = word(stmt, 1).filter(|w| cx.text(w) != "allow_if_changes") {
                cx.bad_word::<()>(k, w, "allow_if_changes, or nothing");
            }
        }
        "smtp_connect_timeout" => {
            cx.set(&mut [more], k, stmt);
            if more.smtp_connect_timeout.is_zero() {
                cx.say(stmt.span(), kind::zero_connect_timeout());
                more.smtp_connect_timeout = Duration::from_secs(1);
            }
        }
        "reload_file" | "config_save_dir" => {
            cx.set(&mut [more], k, stmt);
            let field = if k.name == "reload_file" { &mut more.reload_file } else { &mut more.config_save_dir };
            if field.as_ref().is_some_and(|p| !p.starts_with('/')) {
                cx.say(stmt.span(), kind::relative_path(k.name));
                *field = None;
            }
        }
        "reload_time_file" => {
            cx.set(&mut [more], k, stmt);
            if more.reload_time_file.as_ref().is_some_and(|p| !p.starts_with('/')) {
                cx.say(stmt.span(), kind::relative_path(k.name));
                more.reload_time_file = None;
            }
        }
        "process_name"
        | "vrrp_process_name"
        | "checker_process_name"
        | "lvs_process_name"
        | "bfd_process_name"
        | "vmac_prefix"
        | "vmac_addr_prefix" => {
            // A process and an interface have names of at most 15 bytes; a prefix leaves room for a number.
            let most = if k.name.starts_with("vmac") { 11 } else { 15 };
            match word(stmt, 1) {
                Some(w) if cx.text(w).len() > most => {
                    cx.say(w.span, kind::name_too_long(cx.text(w), most, k.name))
                        .help(format!("allowed: 1..{most} bytes"));
                }
                _ => cx.set(&mut [more], k, stmt),
            }
        }
        _ => cx.set(&mut [more], k, stmt),
    }
}

/// The words of a block of names.
pub(super) fn names<'a>(cx: &mut Cx<'a>, stmt: &'a Stmt) -> Vec<Box<str>> {
    cx.extra(stmt, 1);
    let lines = stmt.block.iter().flat_map(|b| &b.stmts);
    lines.flat_map(|s| &s.words).map(|w| cx.text(w).into()).collect()
}

fn smtp_server<'a>(cx: &mut Cx<'a>, k: &'static Keyword, stmt: &'a Stmt) -> Option<SmtpServer> {
    let mut next = 1;
    let host = cx.need(k, stmt, &mut next)?;
    let port = match word(stmt, 2) {
        Some(w) => cx.number_of(k, w, 1, 65_535)?,
        None => 25,
    };
    cx.extra(stmt, 3);
    if !is_host(cx.text(host)) {
        cx.say(host.span, kind::bad_host(cx.text(host), cx.without(k)).fate(cx.fate()))
            .help("an address, or a name of letters, digits, `-` and points");
        return None;
    }
    Some(SmtpServer { host: cx.text(host).into(), port })
}

/// An address, or what could be the name of a host: not four numbers, and labels of 1 to 63 bytes.
fn is_host(text: &str) -> bool {
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    let numbers = name.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    text.parse::<core::net::IpAddr>().is_ok() || (!numbers && name.len() <= 253 && name.split('.').all(label))
}

fn lvs_timeouts<'a>(cx: &mut Cx<'a>, more: &mut GlobalMore, k: &'static Keyword, stmt: &'a Stmt) {
    let mut next = 1;
    cx.need(k, stmt, &mut next);
    next = 1;
    while let Some(name) = word(stmt, next) {
        let field = match cx.text(name) {
            "tcp" => &mut more.lvs_timeouts.tcp,
            "tcpfin" => &mut more.lvs_timeouts.tcpfin,
            "udp" => &mut more.lvs_timeouts.udp,
            _ => return cx.bad_word(k, name, "tcp, tcpfin, udp").unwrap_or_default(),
        };
        match word(stmt, next + 1) {
            Some(w) => *field = cx.number_of(k, w, 0, 2_678_400).or(*field),
            None => return cx.bad_word(k, name, "a number of seconds after it").unwrap_or_default(),
        }
        next += 2;
    }
}

fn lvs_sync<'a>(cx: &mut Cx<'a>, k: &'static Keyword, stmt: &'a Stmt) -> Option<LvsSync> {
    let mut next = 1;
    let interface = cx.need(k, stmt, &mut next)?;
    let mut sync = LvsSync { interface: cx.interface(interface, "lvs_sync_daemon")?.into(), ..LvsSync::default() };
    while let Some(name) = word(stmt, next) {
        let value = word(stmt, next + 1);
        let known = matches!(cx.text(name), "inst" | "id" | "maxlen" | "port" | "ttl" | "group");
        match (cx.text(name), value) {
            ("inst", Some(v)) => sync.instance = Some(cx.text(v).into()),
            ("id", Some(v)) => sync.id = cx.number_of(k, v, 0, 255),
            ("maxlen", Some(v)) => sync.maxlen = cx.number_of(k, v, 1, 65_507),
            ("port", Some(v)) => sync.port = cx.number_of(k, v, 1, 65_535),
            ("ttl", Some(v)) => sync.ttl = cx.number_of(k, v, 1, 255),
            ("group", Some(v)) => match cx.text(v).parse() {
                Ok(ip) => sync.group = Some(ip),
                Err(_) => return cx.bad_word(k, v, "a multicast address"),
            },
            // The name of the instance may stand without `inst`, as the first word.
            (instance, _) if !known && next == 2 => {
                sync.instance = Some(instance.into());
                next += 1;
                continue;
            }
            _ => return cx.bad_word(k, name, "inst, id, maxlen, port, ttl, group, each with a value"),
        }
        next += 2;
    }
    Some(sync)
}

/// Reads the arguments `[all] <secs>`; `least` is the smallest number of seconds. `None`: they are wrong, which is reported.
pub(super) fn extra_garp<'a>(cx: &mut Cx<'a>, k: &'static Keyword, stmt: &'a Stmt, least: i64) -> Option<ExtraGarp> {
    let mut next = 1;
    let first = cx.need(k, stmt, &mut next)?;
    let all = cx.text(first) == "all";
    let time = if all { word(stmt, 2) } else { Some(first) };
    let Some(time) = time else { return cx.bad_word(k, first, "all and a number of seconds") };
    cx.extra(stmt, if all { 3 } else { 2 });
    cx.number_of::<u32>(k, time, least, 86_400).map(|n| ExtraGarp { all, every: Duration::from_secs(u64::from(n)) })
}

fn ipsets<'a>(cx: &mut Cx<'a>, k: &'static Keyword, stmt: &'a Stmt) -> Option<Vec<Box<str>>> {
    let mut sets: Vec<Box<str>> = Vec::new();
    for w in stmt.words.iter().skip(1).take(6) {
        // IPSET_MAXNAMELEN with its closing zero.
        if cx.text(w).len() > 31 || sets.iter().any(|s| **s == *cx.text(w)) {
            return cx.bad_word(k, w, "up to six different names of at most 31 bytes");
        }
        sets.push(cx.text(w).into());
    }
    cx.extra(stmt, 7);
    Some(sets)
}

fn rx_buffers<'a>(cx: &mut Cx<'a>, more: &mut GlobalMore, k: &'static Keyword, stmt: &'a Stmt) {
    let mut next = 1;
    let Some(w) = cx.need(k, stmt, &mut next) else { return };
    let found = match cx.text(w) {
        t if t.eq_ignore_ascii_case("MTU") => Some(RxBuffers::Mtu),
        t if t.eq_ignore_ascii_case("ADVERT") => Some(RxBuffers::Advert),
        t => match t.parse() {
            Ok(n) => Some(RxBuffers::Bytes(n)),
            Err(_) => cx.bad_word(k, w, "MTU, ADVERT or 0..4294967295 bytes"),
        },
    };
    cx.extra(stmt, 2);
    more.vrrp_rx_bufs_policy = found.or(more.vrrp_rx_bufs_policy);
}

/// `0177`, or `IRUSR|IWGRP`.
fn umask<'a>(cx: &mut Cx<'a>, k: &'static Keyword, stmt: &'a Stmt) -> Option<u16> {
    const HELP: &str = "0..0777, or words such as IRUSR|IWGRP|IRWXO";
    let mut next = 1;
    let first = cx.need(k, stmt, &mut next)?;
    let text: String = stmt.words.iter().skip(1).map(|w| cx.text(w)).collect();
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        let (digits, radix) = match text.strip_prefix("0x") {
            Some(hex) => (hex, 16),
            None if text.starts_with('0') => (text.as_str(), 8),
            None => (text.as_str(), 10),
        };
        return match u16::from_str_radix(digits, radix) {
            Ok(n) if n <= 0o777 => Some(n),
            _ => cx.bad_word(k, first, HELP),
        };
    }
    let mut mask = 0;
    for name in text.split('|') {
        let (bits, who) = match name.split_at_checked(4) {
            Some(("IRWX", "U")) => (0o7, "USR"),
            Some(("IRWX", "G")) => (0o7, "GRP"),
            Some(("IRWX", "O")) => (0o7, "OTH"),
            _ => match name.split_at_checked(2) {
                Some(("IR", who)) => (0o4, who),
                Some(("IW", who)) => (0o2, who),
                Some(("IX", who)) => (0o1, who),
                _ => return cx.bad_word(k, first, HELP),
            },
        };
        mask |= match who {
            "USR" => bits << 6,
            "GRP" => bits << 3,
            "OTH" => bits,
            _ => return cx.bad_word(k, first, HELP),
        };
    }
    Some(mask)
}

fn include_check<'a>(cx: &mut Cx<'a>, k: &'static Keyword, stmt: &'a Stmt) -> Vec<Box<str>> {
    const WORDS: &[&str] = &["read", "match", "wildcard_match", "brace_match"];
    let mut out = Vec::new();
    for w in stmt.words.iter().skip(1) {
        // kalived takes the word of the manual page, too.
        let name = cx.text(w).trim_start_matches(['+', '-']);
        if WORDS.contains(&name) || name == "readable" {
            out.push(cx.text(w).into());
        } else {
            cx.bad_word::<()>(k, w, "read, match, wildcard_match, brace_match, with + or - before them");
        }
    }
    out
}
