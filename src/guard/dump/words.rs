//! Common parts of the formats: addresses, routes and commands as keepalived prints them.

use crate::config::model::Vip;
use crate::config::model::setting::{Ready, Script};
use crate::report::Moment;
use core::fmt::{Display, Write};

/// The text of a file of headings and lines.
pub(super) struct Out(pub(super) String);

impl Out {
    pub(super) fn head(&mut self, text: &str) {
        let _ = writeln!(self.0, "------< {text} >------");
    }
    /// ` NAME = VALUE`.
    pub(super) fn one(&mut self, name: &str, value: impl Display) {
        let _ = writeln!(self.0, " {name} = {value}");
    }
    /// `   NAME = VALUE`.
    pub(super) fn item(&mut self, name: &str, value: impl Display) {
        let _ = writeln!(self.0, "   {name} = {value}");
    }
    pub(super) fn line(&mut self, indent: usize, text: impl Display) {
        let _ = writeln!(self.0, "{:indent$}{text}", "");
    }
}

/// An address line, as in `ip address`.
pub(super) fn vip(v: &Vip, interface: &str, set: bool) -> String {
    let full = if v.addr.is_ipv4() { 32 } else { 128 };
    let mut s = v.addr.to_string();
    if v.prefix != full {
        let _ = write!(s, "/{}", v.prefix);
    }
    if let Some(brd) = v.brd {
        let _ = write!(s, " brd {brd}");
    }
    let _ = write!(s, " dev {} scope {}", v.dev.as_deref().unwrap_or(interface), scope(v.scope));
    if let Some(label) = &v.label {
        let _ = write!(s, " label {label}");
    }
    if v.addr.is_ipv6() {
        s += if v.deprecated { " deprecated" } else { " preferred_lft forever" };
    }
    s += if set { " set" } else { "" };
    s
}

fn scope(n: u8) -> String {
    match n {
        0 => "global".to_owned(),
        200 => "site".to_owned(),
        253 => "link".to_owned(),
        254 => "host".to_owned(),
        255 => "nowhere".to_owned(),
        n => n.to_string(),
    }
}

/// A command, each word in quotes.
pub(super) fn command(s: &Script) -> String {
    s.argv.iter().map(|a| format!("'{a}'")).collect::<Vec<_>>().join(" ")
}

/// The user and group of a command.
pub(super) fn user(s: &Script) -> String {
    format!("uid:gid {}", ids(s))
}
pub(super) fn ids(s: &Script) -> String {
    if let Ready::As { uid, gid } = s.ready { format!("{uid}:{gid}") } else { "unknown".to_owned() }
}

/// Seconds and microseconds since 1970.
pub(super) fn epoch(m: &Moment) -> (u64, u64) {
    let at = m.wall().map_or(0, |w| w.0) / 1000;
    (at / 1_000_000, at % 1_000_000)
}
