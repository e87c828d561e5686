//! `vrrp_check`: a check that kalived makes itself, and its target; also the one script that is equivalent to such a check,
//! `</dev/tcp/ADDR/PORT`. Host names are refused, because a check that waits for a name server would test the name server. Read first:
//! `value.rs`.

use super::Cx;
use super::value::word;
use crate::config::keyword::{Keyword, Scope};
use crate::config::kind;
use crate::config::model::vrrp::{CheckTarget, VrrpCheck};
use crate::config::tree::Stmt;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

/// Longest path of a unix socket: `sun_path` without its NUL.
const MAX_UNIX: usize = 107;

/// Reads one block.
pub(super) fn vrrp_check<'a>(cx: &mut Cx<'a>, name: Box<str>, head: &'a Stmt, stmts: &'a [Stmt]) -> Option<VrrpCheck> {
    let mut check = VrrpCheck { name, ..VrrpCheck::default() };
    cx.fill(Scope::VrrpCheck, stmts, &mut check, |cx, check, k, stmt| {
        let target = match k.name {
            "interval" | "timeout" => {
                cx.set(&mut [check], k, stmt);
                let field = if k.name == "interval" { &mut check.interval } else { &mut check.timeout };
                cx.not_zero(field, k, stmt);
                return true;
            }
            "tcp" => tcp(cx, k, stmt),
            "http" => http(cx, k, stmt),
            "unix" => unix(cx, k, stmt),
            "process" => {
                let mut next = 1;
                cx.need(k, stmt, &mut next);
                let words: Vec<Box<str>> = stmt.words.iter().skip(1).map(|w| cx.text(w).into()).collect();
                (!words.is_empty()).then_some(CheckTarget::Process(words))
            }
            _ => return false,
        };
        if target.is_some() && check.target.is_some() {
            cx.say(stmt.span(), kind::second_target(k.name)).help("make a second vrrp_check");
        } else {
            check.target = check.target.take().or(target);
        }
        true
    });
    if check.target.is_none() {
        if ["tcp", "http", "unix", "process"].iter().any(|t| super::says(cx.src, stmts, t)) {
            return None;
        }
        cx.say(head.span(), kind::no_target(check.name))
            .help("add `tcp <address>:<port>`, `http <url>`, `unix <path>` or `process <name>`");
        return None;
    }
    Some(check)
}

impl<'a> Cx<'a> {
    /// Replaces a time of 0 by one second, as keepalived does: with 0 there would be no pause between two runs, or no time for one.
    pub(super) fn not_zero(&mut self, field: &mut Duration, k: &Keyword, stmt: &'a Stmt) {
        if field.is_zero() && word(stmt, 1).is_some() {
            *field = Duration::from_secs(1);
            self.say(stmt.span(), kind::zero_interval(k.name));
        }
    }
}

/// A numeric address, or `localhost`.
fn host(text: &str) -> Option<IpAddr> {
    if text == "localhost" { Some(IpAddr::V4(Ipv4Addr::LOCALHOST)) } else { text.parse().ok() }
}

fn port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|p| *p != 0 && text.bytes().all(|b| b.is_ascii_digit()))
}

/// Reads `ADDR:PORT` or `[ADDR]:PORT`; the address is a number, IPv6 in brackets.
fn endpoint(text: &str) -> Option<SocketAddr> {
    let (addr, number) = text.rsplit_once(':')?;
    let ip = match addr.strip_prefix('[').map(|a| a.strip_suffix(']')) {
        Some(inner) => IpAddr::V6(inner?.parse().ok()?),
        None => host(addr).filter(IpAddr::is_ipv4)?,
    };
    Some(SocketAddr::new(ip, port(number)?))
}

fn tcp<'a>(cx: &mut Cx<'a>, k: &'static Keyword, stmt: &'a Stmt) -> Option<CheckTarget> {
    let mut next = 1;
    let first = cx.need(k, stmt, &mut next)?;
    let found = match word(stmt, 2) {
        Some(second) => host(cx.text(first)).zip(port(cx.text(second))).map(|(ip, port)| SocketAddr::new(ip, port)),
        None => endpoint(cx.text(first)),
    };
    cx.extra(stmt, 3);
    match found {
        Some(to) => Some(CheckTarget::Tcp(to)),
        None => cx.bad_word(k, first, "192.0.2.1:80, 192.0.2.1 80, [2001:db8::1]:80, localhost 80; no host names"),
    }
}

fn unix<'a>(cx: &mut Cx<'a>, k: &'static Keyword, stmt: &'a Stmt) -> Option<CheckTarget> {
    let path = cx.arg(k, stmt)?;
    let text = cx.text(path);
    if !text.starts_with('/') || text.len() > MAX_UNIX {
        return cx.bad_word(k, path, "an absolute path of at most 107 bytes");
    }
    Some(CheckTarget::Unix(text.into()))
}

fn http<'a>(cx: &mut Cx<'a>, k: &'static Keyword, stmt: &'a Stmt) -> Option<CheckTarget> {
    let mut next = 1;
    let first = cx.need(k, stmt, &mut next)?;
    let Some((to, name, path)) = url(cx.text(first)) else {
        let allowed = "http://192.0.2.1/path, http://[2001:db8::1]:8080/path, http://localhost/path; a host name \
                       goes after `host`";
        return cx.bad_word(k, first, allowed);
    };
    let (mut name, mut status) = (Box::from(name), (200, 299));
    while let Some(w) = word(stmt, next) {
        let value = word(stmt, next + 1);
        next += 2;
        match (cx.text(w), value) {
            ("host", Some(v)) if printable(cx.text(v)) => name = cx.text(v).into(),
            ("status", Some(v)) => match statuses(cx.text(v)) {
                Some(range) => status = range,
                None => return cx.bad_word(k, v, "100..599, one number or two with - between them"),
            },
            _ => return cx.bad_word(k, w, "host <name>, status <n>[-<n>]"),
        }
    }
    Some(CheckTarget::Http { to, host: name, path: path.into(), status })
}

/// Whether no byte could end a line of the request, or a word of it.
fn printable(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
}

/// The address, the host as written, and the path.
fn url(text: &str) -> Option<(SocketAddr, &str, &str)> {
    let rest = text.strip_prefix("http://").filter(|_| printable(text))?;
    let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let to = match endpoint(authority) {
        Some(to) => to,
        None => endpoint(&format!("{authority}:80"))?,
    };
    Some((to, authority, path))
}

fn statuses(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    (first >= 100 && last <= 599 && first <= last).then_some((first, last))
}

/// The target of a script that is nothing but `</dev/tcp/ADDR/PORT`.
pub(super) fn of_script(text: &str) -> Option<CheckTarget> {
    let (addr, number) = text.trim().strip_prefix('<')?.trim_start().strip_prefix("/dev/tcp/")?.split_once('/')?;
    Some(CheckTarget::Tcp(SocketAddr::new(host(addr)?, port(number)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_that_is_a_check() {
        let of = |t| of_script(t).map(|t| format!("{t:?}"));
        assert_eq!(of("</dev/tcp/127.0.0.1/80").as_deref(), Some("Tcp(127.0.0.1:80)"));
        assert_eq!(of(" < /dev/tcp/localhost/3306 ").as_deref(), Some("Tcp(127.0.0.1:3306)"));
        assert_eq!(of("</dev/tcp/::1/22").as_deref(), Some("Tcp([::1]:22)"));
        for not in ["</dev/tcp/www/80", "</dev/tcp/127.0.0.1/80; exit 0", "</dev/tcp/127.0.0.1/0", "</etc/passwd", "x"]
        {
            assert_eq!(of(not), None, "{not}");
        }
    }
    #[test]
    fn urls() {
        let of = |t| url(t).map(|(to, host, path)| format!("{to} {host} {path}"));
        assert_eq!(of("http://127.0.0.1").as_deref(), Some("127.0.0.1:80 127.0.0.1 /"));
        assert_eq!(of("http://[::1]:8080/a?b=c").as_deref(), Some("[::1]:8080 [::1]:8080 /a?b=c"));
        assert_eq!(of("http://[::1]/x").as_deref(), Some("[::1]:80 [::1] /x"));
        assert_eq!(of("http://localhost/x").as_deref(), Some("127.0.0.1:80 localhost /x"));
        for not in
            ["http://www.example.org/", "https://127.0.0.1/", "http:///x", "http://127.0.0.1:0/", "http://1.2.3.4/a b"]
        {
            assert_eq!(of(not), None, "{not}");
        }
    }
    #[test]
    fn status_ranges() {
        assert_eq!((statuses("200"), statuses("200-399")), (Some((200, 200)), Some((200, 399))));
        for not in ["", "99", "600", "300-200", "2xx", "200-", "+200", "200-300-400"] {
            assert_eq!(statuses(not), None, "{not}");
        }
    }
}
