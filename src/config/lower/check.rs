//! The health checks of a real server. Read first: `server.rs`.

use super::Cx;
use super::refs::{Kind, Owner, Use};
use super::value::word;
use crate::automaton::Automaton;
use crate::config::diag::Severity;
use crate::config::keyword::{Form, Keyword, Scope};
use crate::config::kind;
use crate::config::lex::Word;
use crate::config::model::check::{Check, CheckKind, Regex, Target, Url};
use crate::config::model::setting::Block;
use crate::config::tree::Stmt;
use core::net::IpAddr;

/// Names of PCRE2 options that `regex_options` knows.
const REGEX_OPTIONS: &[&str] = &[
    "allow_empty_class",
    "alt_bsux",
    "auto_callout",
    "caseless",
    "dollar_endonly",
    "dotall",
    "dupnames",
    "extended",
    "firstline",
    "match_unset_backref",
    "multiline",
    "never_ucp",
    "never_utf",
    "no_auto_capture",
    "no_auto_possess",
    "no_dotstar_anchor",
    "no_start_optimize",
    "ucp",
    "ungreedy",
    "utf",
    "never_backslash_c",
    "alt_circumflex",
    "alt_verbnames",
    "use_offset_limit",
];

/// Reads one check; `None` when a required setting is missing, which is reported.
pub(super) fn check<'a>(cx: &mut Cx<'a>, k: &'static Keyword, head: &'a Stmt, stmts: &'a [Stmt]) -> Option<Check> {
    let Form::Block(scope) = k.form else { return None };
    cx.extra(head, 1);
    let kind = match k.name {
        "HTTP_GET" => CheckKind::Http(Box::default()),
        "SSL_GET" => CheckKind::Ssl(Box::default()),
        "PING_CHECK" => CheckKind::Ping,
        "UDP_CHECK" => CheckKind::Udp(Box::default()),
        "SMTP_CHECK" => CheckKind::Smtp(Box::default()),
        "DNS_CHECK" => CheckKind::Dns(Box::default()),
        "MISC_CHECK" => CheckKind::Misc(Box::default()),
        "FILE_CHECK" => CheckKind::File(Box::default()),
        "BFD_CHECK" => CheckKind::Bfd(Box::default()),
        _ => CheckKind::Tcp,
    };
    let mut check = Check { kind, ..Check::default() };
    let mut user = None;
    cx.walk(scope, stmts, |cx, k, stmt| {
        if k.name == "user" {
            user = cx.run_as(k, stmt);
        } else {
            one(cx, &mut check, k, stmt);
        }
    });
    if let (CheckKind::Misc(misc), Some((name, group))) = (&mut check.kind, user)
        && let Some(script) = &mut misc.misc_path
    {
        (script.user, script.group) = (Some(name), group);
    }
    let missing = match &check.kind {
        CheckKind::Http(http) | CheckKind::Ssl(http) if http.urls.is_empty() => Some("url { path <path> }"),
        CheckKind::Misc(misc) if misc.misc_path.is_none() => Some("misc_path <command>"),
        CheckKind::File(file) if file.track_file.is_none() => Some("track_file <name>"),
        CheckKind::Bfd(bfd) if bfd.name.is_none() => Some("name <bfd_instance>"),
        _ => None,
    };
    if let Some(missing) = missing {
        if super::says(cx.src, stmts, missing.split(' ').next().unwrap_or("")) {
            return None;
        }
        cx.say(head.span(), kind::check_without(k.name, missing)).help(format!("add `{missing}`"));
        return None;
    }
    Some(check)
}

fn one<'a>(cx: &mut Cx<'a>, check: &mut Check, k: &'static Keyword, stmt: &'a Stmt) {
    if k.name == "bind_if" {
        if let Some(w) = cx.arg(k, stmt) {
            check.target.bind_if = cx.interface_or(w, "a health check", Severity::Error).map(Into::into);
        }
        return;
    }
    let Check { pace, target, kind } = check;
    let special: &mut dyn Block = match kind {
        CheckKind::Tcp | CheckKind::Ping => return cx.set(&mut [pace, target], k, stmt),
        CheckKind::Udp(udp) => match k.name {
            "payload" => {
                let mut next = 1;
                let Some(w) = cx.need(k, stmt, &mut next) else { return };
                match hexes(cx, stmt) {
                    Some(pairs) if pairs.iter().all(|p| p.1 == 0xff) => {
                        udp.payload = Some(pairs.into_iter().map(|p| p.0).collect());
                    }
                    _ => cx.bad_word(k, w, "hexadecimal digits").unwrap_or_default(),
                }
                return;
            }
            "require_reply" => {
                // A reply is required, even where its content cannot be read.
                let reply = match word(stmt, 1) {
                    None => None,
                    Some(w) => hexes(cx, stmt).or_else(|| cx.bad_word(k, w, "hexadecimal digits, x for any")),
                };
                udp.require_reply = Some(reply.unwrap_or_default());
                return;
            }
            _ => &mut **udp,
        },
        CheckKind::Smtp(smtp) => {
            if k.name == "host" {
                cx.say(stmt.span(), kind::old_form_of_host())
                    .help("write one SMTP_CHECK for each host, with `connect_ip` in it");
                let mut target = Target::default();
                let stmts = stmt.block.as_ref().map_or(&[][..], |b| &b.stmts);
                // Keywords of the outer check that are not part of a destination have no meaning here.
                cx.walk(Scope::NetCheck, stmts, |cx, k, s| {
                    if target.setting(k.name).is_some() {
                        cx.set(&mut [&mut target], k, s);
                    }
                });
                smtp.hosts.push(target);
                return;
            }
            &mut **smtp
        }
        CheckKind::Dns(dns) => {
            if k.name == "name" {
                let Some(w) = cx.arg(k, stmt) else { return };
                let name = cx.text(w).strip_suffix('.').unwrap_or(cx.text(w));
                if name.split('.').any(|l| l.is_empty() || l.len() > 63) && !cx.text(w).is_empty() && cx.text(w) != "."
                {
                    return cx.bad_word(k, w, "labels of 1..63 bytes with dots between them").unwrap_or_default();
                }
                dns.name = name.into();
                return;
            }
            &mut **dns
        }
        CheckKind::Http(http) | CheckKind::Ssl(http) => {
            if k.name == "url" {
                let stmts = stmt.block.as_ref().map_or(&[][..], |b| &b.stmts);
                http.urls.extend(url(cx, stmt, stmts));
                return;
            }
            &mut **http
        }
        CheckKind::Misc(misc) => &mut **misc,
        CheckKind::File(file) => {
            cx.used(k, stmt, Kind::File, "FILE_CHECK");
            &mut **file
        }
        CheckKind::Bfd(bfd) => {
            cx.used(k, stmt, Kind::Bfd, "BFD_CHECK");
            &mut **bfd
        }
    };
    cx.set(&mut [special, pace, target], k, stmt);
}

impl<'a> Cx<'a> {
    fn used(&mut self, k: &Keyword, stmt: &'a Stmt, kind: Kind, block: &'static str) {
        if let (Some(w), "track_file" | "name") = (word(stmt, 1), k.name) {
            let (name, span, owner) = (self.text(w).into(), w.span, Owner { block, name: "".into() });
            self.uses.push(Use { kind, name, span, weight: None, word: None, owner });
        }
    }
}

/// Drops source addresses that are not of the family of the destination, as keepalived does: nothing could be sent from them.
pub(super) fn sources(cx: &mut Cx<'_>, check: &mut Check, server: IpAddr, head: &Stmt) {
    let hosts = match &mut check.kind {
        CheckKind::Smtp(smtp) => &mut smtp.hosts[..],
        _ => &mut [],
    };
    for target in core::iter::once(&mut check.target).chain(hosts) {
        let to = target.connect_ip.unwrap_or(server);
        if let Some(from) = target.bindto.filter(|from| from.is_ipv6() != to.is_ipv6()) {
            target.bindto = None;
            let stmts = head.block.as_ref().map_or(&[][..], |b| &b.stmts);
            let at = stmts.iter().find(|s| word(s, 0).is_some_and(|w| cx.text(w) == "bindto"));
            cx.say(at.unwrap_or(head).span(), kind::source_of_other_family(from));
        }
    }
}

fn url<'a>(cx: &mut Cx<'a>, head: &'a Stmt, stmts: &'a [Stmt]) -> Option<Url> {
    let (mut url, mut pattern) = (Url::default(), None);
    cx.fill(Scope::Url, stmts, &mut url, |cx, url, k, stmt| {
        let mut next = 1;
        match k.name {
            "digest" => {
                let Some(w) = cx.need(k, stmt, &mut next) else { return true };
                let bytes: Option<Vec<u8>> = hex(cx.text(w)).map(|p| p.into_iter().map(|p| p.0).collect());
                match bytes.and_then(|b| <[u8; 16]>::try_from(b).ok()) {
                    Some(digest) if cx.text(w).len() == 32 && !cx.text(w).contains(['x', 'X']) => {
                        url.digest = Some(digest);
                    }
                    _ => cx.bad_word(k, w, "32 hexadecimal digits").unwrap_or_default(),
                }
            }
            "status_code" => status(cx, url, k, stmt),
            "regex" => {
                let Some(w) = cx.need(k, stmt, &mut next) else { return true };
                url.regex.get_or_insert_default().pattern = Some(cx.text(w).into());
                pattern = Some(w.span);
            }
            // It turns the sense of `regex` round, wherever that stands. With a word it is both.
            "regex_no_match" => {
                let regex = url.regex.get_or_insert_default();
                regex.no_match = true;
                if let Some(w) = word(stmt, 1) {
                    regex.pattern = Some(cx.text(w).into());
                    pattern = Some(w.span);
                }
            }
            "regex_options" => {
                let regex = url.regex.get_or_insert_default();
                for w in stmt.words.iter().skip(1) {
                    if REGEX_OPTIONS.contains(&cx.text(w)) {
                        regex.options.push(cx.text(w).into());
                    } else {
                        cx.bad_word::<()>(k, w, &REGEX_OPTIONS.join(", "));
                    }
                }
            }
            "regex_stack" => {
                let start = cx.need(k, stmt, &mut next);
                let most = start.and_then(|_| cx.need(k, stmt, &mut next));
                let (Some(start), Some(most)) = (start, most) else { return true };
                let max = i64::from(u32::MAX);
                let sizes = (cx.number_of::<u32>(k, start, 1, max), cx.number_of::<u32>(k, most, 1, max));
                match sizes {
                    (Some(a), Some(b)) if a <= b => url.regex.get_or_insert_default().stack = Some((a, b)),
                    (Some(_), Some(_)) => cx.bad_word(k, most, "a size not below the first one").unwrap_or_default(),
                    _ => {}
                }
            }
            "regex_min_offset" | "regex_max_offset" => {
                let regex: &mut Regex = url.regex.get_or_insert_default();
                cx.set(&mut [regex], k, stmt);
                if let (Some(a), Some(b)) = (regex.min_offset, regex.max_offset)
                    && a >= b
                {
                    cx.say(stmt.span(), kind::offsets_reversed());
                    (regex.min_offset, regex.max_offset) = (None, None);
                }
            }
            _ => return false,
        }
        true
    });
    if let (Some(regex), Some(span)) = (&url.regex, pattern) {
        // Thousands of servers may have the same one.
        if cx.regex.as_ref().is_none_or(|(known, _)| *known != **regex) {
            let made = Automaton::new(regex.pattern.as_deref().unwrap_or_default(), &regex.options);
            cx.regex = Some(((**regex).clone(), made.err()));
        }
        if let Some((_, Some(why))) = &cx.regex {
            let message = kind::regex_unusable(why);
            cx.say(span, message);
            url.regex = None;
        }
    }
    if url.path.is_none() {
        if !super::says(cx.src, stmts, "path") {
            cx.say(head.span(), kind::url_without_path()).help("add `path /`");
        }
        return None;
    }
    Some(url)
}

fn status<'a>(cx: &mut Cx<'a>, url: &mut Url, k: &'static Keyword, stmt: &'a Stmt) {
    let mut next = 1;
    cx.need(k, stmt, &mut next);
    for w in stmt.words.iter().skip(1) {
        let text = cx.text(w);
        let (a, b) = text.split_once('-').unwrap_or((text, text));
        match (a.parse::<u16>(), b.parse::<u16>()) {
            (Ok(a), Ok(b)) if a <= b && (100..=599).contains(&a) && (100..=599).contains(&b) => url.status.push((a, b)),
            _ => out_of_range(cx, k, w),
        }
    }
}

fn out_of_range<'a>(cx: &mut Cx<'a>, k: &Keyword, w: &'a Word) {
    cx.say(w.span, kind::status_out_of_range(cx.text(w), k.name)).help("allowed: 100..599, or a range such as 200-299");
}

/// Bytes of all words of a line, as in keepalived.conf(5): of each word two digits are a byte, and a last single digit is one.
fn hexes<'a>(cx: &Cx<'a>, stmt: &'a Stmt) -> Option<Vec<(u8, u8)>> {
    let words: Option<Vec<_>> = stmt.words.iter().skip(1).map(|w| hex(cx.text(w))).collect();
    words.map(|w| w.concat())
}

/// Bytes, each with a mask: `x` stands for any four bits.
fn hex(text: &str) -> Option<Vec<(u8, u8)>> {
    let digit = |b: &u8| match b {
        b'x' | b'X' => Some((0, 0)),
        _ => char::from(*b).to_digit(16).map(|d| (d as u8, 0xf)),
    };
    let digits: Option<Vec<(u8, u8)>> = text.as_bytes().iter().map(digit).collect();
    let byte = |pair: &[(u8, u8)]| match *pair {
        [(high, mask), (low, rest)] => (high << 4 | low, mask << 4 | rest),
        [(low, mask)] => (low, 0xf0 | mask),
        _ => (0, 0xff),
    };
    Some(digits.filter(|d| !d.is_empty())?.chunks(2).map(byte).collect())
}
