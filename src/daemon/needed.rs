//! Which parts of the program a configuration uses, so that they are locked in memory. Read first: `sys/sections.rs`.

use crate::config::model::Config;
use crate::config::model::check::CheckKind;
use crate::config::model::lvs::Part;
use crate::sys::sections;

/// Locks what this configuration uses; its virtual servers follow by themselves ([`of_servers`]).
pub fn of(config: &Config) {
    if uses_more(config) {
        sections::keep(sections::Part::More);
    }
}

/// Whether there are routes, rules, own interfaces, a packet filter or BFD sessions.
pub fn uses_more(config: &Config) -> bool {
    !config.static_addresses.is_empty()
        || !config.static_routes.is_empty()
        || !config.static_rules.is_empty()
        || !config.bfd.is_empty()
        || config
            .instances
            .iter()
            .map(|i| &i.more)
            .any(|i| i.own_interface.is_some() || i.no_accept || !i.routes.is_empty() || !i.rules.is_empty())
}

/// Locks what these virtual servers use.
pub fn of_servers(parts: &[Part]) {
    if !parts.is_empty() {
        sections::keep(sections::Part::Servers);
    }
    if parts.iter().any(uses_libraries) {
        sections::keep(sections::Part::Libraries);
    }
}

// Whether these checks need TLS or regular expressions, whose code is not in memory otherwise.
fn uses_libraries(part: &Part) -> bool {
    let reals = match part {
        Part::Server(vs) => &vs.real_servers,
        Part::Reals(reals) => reals,
        _ => return false,
    };
    reals.iter().flat_map(|rs| &rs.checks).any(|check| match &check.kind {
        CheckKind::Ssl(_) => true,
        CheckKind::Http(http) => http.urls.iter().any(|url| url.regex.is_some()),
        _ => false,
    })
}
