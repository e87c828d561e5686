//! `keepalived.stats`: counters, every value an integer, sections that end with a colon.

use crate::report::Report;
use core::fmt::Write;

/// The content of the file.
pub fn render(report: &Report) -> String {
    let mut out = String::new();
    for i in &report.instances {
        let c = &i.counters;
        let no = |reason: &str| c.rejected.get(reason).copied().unwrap_or(0);
        let _ = write!(
            out,
            "VRRP Instance: {}\n  Advertisements:\n    Received: {}\n    Sent: {}\n  Became master: {}\n  Released master: {}\n  \
             Packet Errors:\n    Length: {}\n    TTL: {}\n    Invalid Type: {}\n    Advertisement Interval: {}\n    Address List: {}\n  \
             Authentication Errors:\n    Invalid Type: {}\n    Type Mismatch: {}\n    Failure: {}\n  Priority Zero:\n    Received: {}\n    \
             Sent: {}\n",
            i.name,
            c.adverts_received,
            c.adverts_sent,
            c.became_master,
            c.released_master,
            no("length"),
            no("ttl"),
            no("type"),
            no("interval"),
            no("address-list"),
            // An unknown authentication type counts as a type mismatch.
            0,
            no("auth-type"),
            no("auth-data"),
            c.priority_zero_received,
            c.priority_zero_sent
        );
    }
    out
}
