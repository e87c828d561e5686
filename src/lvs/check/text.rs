//! Every log line about health checks: keepalived's text, then the cause.
//!
//! Read first: `note.rs`.

use super::User;
use super::spec::{CheckSpec, What};
use crate::note::{Level, Note};
use crate::time::Duration;
use crate::words::span;

/// As in lines and in reports.
pub(super) fn kind(what: &What) -> &'static str {
    match what {
        What::Tcp(_) => "TCP_CHECK",
        What::Http(http) if http.tls => "SSL_CHECK",
        What::Http(_) => "HTTP_CHECK",
        What::Smtp { .. } => "SMTP_CHECK",
        What::Dns { .. } => "DNS_CHECK",
        What::Udp { .. } => "UDP_CHECK",
        What::Ping(_) => "ICMP CHECK",
        What::Misc { .. } => "Misc check",
        What::File { .. } => "FILE_CHECK",
        What::Never(_) => "Health check",
        What::Bfd(_) => "BFD_CHECK",
    }
}

/// How the result of a program begins whose time is over.
pub(super) const TIMED_OUT: &str = "timed out after ";

fn note(level: Level, text: String) -> Note {
    Note { level, text }
}

fn program(what: &What) -> String {
    match what {
        What::Misc { program, .. } => program.argv.join(" "),
        _ => String::new(),
    }
}

/// It succeeds, and did not or had not ended yet.
pub(super) fn succeeded(spec: &CheckSpec, user: &User) -> Note {
    let (svc, service) = (&user.name, &user.service);
    let text = match &spec.what {
        What::Tcp(_) => format!("TCP connection to {svc} success."),
        What::Http(_) => format!("Remote Web server {svc} succeed on service."),
        What::Smtp { .. } => format!("Remote SMTP server {svc} succeed on service."),
        What::Dns { .. } => format!("DNS_CHECK on service {svc} success."),
        What::Udp { .. } => format!("UDP connection to {svc} success."),
        What::Ping(_) => format!("ICMP connection to {svc} success."),
        What::Misc { .. } => {
            format!("Misc check for [{svc} VS {service}] by [{}] succeeded.", program(&spec.what))
        }
        What::File { name, .. } => format!("({svc}): tracked file {name} leaving FAULT state"),
        What::Never(_) => format!("Health check on service {svc} success."),
        What::Bfd(name) => format!("BFD check of [{name}] RS({svc}) is UP"),
    };
    note(Level::Info, text)
}

/// The first line of a letter about a server that this check takes out of the pool or gives back, as keepalived has it.
pub(super) fn letter(what: &What, up: bool, words: &str) -> String {
    let verb = if up { "succeed" } else { "failed" };
    match what {
        What::Tcp(_) => format!("TCP CHECK {verb} on service"),
        What::Udp { .. } => format!("UDP CHECK {verb} on service"),
        What::Ping(_) => format!("ICMP CHECK {verb} on service"),
        What::Dns { .. } => format!("DNS_CHECK: {verb} on service"),
        What::Http(_) if !up => "CHECK failed on service : HTTP request failed".into(),
        What::Misc { .. } if up => "MISC CHECK succeeded on service".into(),
        What::Misc { .. } if words.starts_with(TIMED_OUT) => "MISC CHECK timed out on service".into(),
        What::Misc { .. } => "MISC CHECK failed on service".into(),
        What::Bfd(name) if up => format!("BFD CHECK {name} succeeded on service"),
        What::Bfd(name) => format!("BFD CHECK {name} failed on service"),
        What::Http(_) | What::Smtp { .. } | What::File { .. } | What::Never(_) => format!("CHECK {verb} on service"),
    }
}

/// It fails from now on, after so many failures that did not count.
pub(super) fn failed(spec: &CheckSpec, user: &User, forgiven: u32, why: &str) -> Note {
    let (svc, service) = (&user.name, &user.service);
    let after = match (forgiven, &spec.what) {
        (0, _) => String::new(),
        (1, What::Misc { .. }) => " after 1 retry".into(),
        (n, _) => format!(" after {n} retries"),
    };
    let text = match &spec.what {
        What::Misc { .. } => {
            format!("Misc check for [{svc} VS {service}] by [{}] failed{after} ({why}).", program(&spec.what))
        }
        What::File { name, .. } => format!("({svc}): tracked file {name} now FAULT state ({why})"),
        What::Bfd(name) => format!("BFD check of [{name}] RS({svc}) is DOWN"),
        what => format!("{} on service {svc} failed{after}. ({why})", kind(what)),
    };
    note(Level::Info, text)
}

/// A failure that does not count yet, where each is to be reported.
pub(super) fn forgiven(spec: &CheckSpec, user: &User, why: &str) -> Note {
    note(Level::Info, format!("{} on service {}: {why}, will be tried again", kind(&spec.what), user.name))
}

/// The cause is on this host.
pub(super) fn local(spec: &CheckSpec, user: &User, why: &str) -> Note {
    let text = format!(
        "{} on service {} could not be carried out on this host: {why}; it is tried again",
        kind(&spec.what),
        user.name
    );
    note(Level::Warning, text)
}

/// The text of a result whose cause is on this host.
pub(super) fn on_this_host(why: &str) -> String {
    format!("on this host: {why}")
}

/// It has not ended for so long; and so many others have not.
pub(super) fn overdue(spec: &CheckSpec, user: &User, since: Duration, others: u64) -> Note {
    let others = if others == 0 { String::new() } else { format!("; nor have {others} others in their time") };
    let text = format!("{} on service {} has not ended for {}{others}", kind(&spec.what), user.name, span(since));
    note(Level::Warning, text)
}

/// Checks begin later than they should.
pub(super) fn late(begun: u64, worst: Duration, checks: usize, running: usize) -> Note {
    let text = format!(
        "health checks cannot keep up: {begun} of {checks} began late, by {} at most, {running} are under way; their intervals are stretched",
        span(worst)
    );
    note(Level::Warning, text)
}
