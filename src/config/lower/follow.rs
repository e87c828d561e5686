//! `track_group`: its instances track the interfaces of the static addresses, routes and rules that name it, as if each had a line of
//! `track_interface` for it. While such an interface is down they are in FAULT.
//!
//! Read first: `refs.rs`, which leaves only members that exist.

use crate::config::model::{Config, TrackInterface};
use std::collections::{BTreeMap, BTreeSet};

/// keepalived's default for an address without `dev`.
const DEFAULT_INTERFACE: &str = "eth0";

pub(super) fn follow(config: &mut Config) {
    let default = config.global.more.default_interface.as_deref().unwrap_or(DEFAULT_INTERFACE);
    let mut needs: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for v in &config.static_addresses {
        if let Some(group) = v.more.as_ref().and_then(|m| m.track_group.as_deref()) {
            needs.entry(group).or_default().insert(v.dev.as_deref().unwrap_or(default));
        }
    }
    for r in &config.static_routes {
        if let Some(group) = r.track_group.as_deref() {
            needs.entry(group).or_default().extend(r.hops.iter().filter_map(|h| h.dev.as_deref()));
        }
    }
    for r in &config.static_rules {
        if let Some(group) = r.track_group.as_deref() {
            needs.entry(group).or_default().extend([&r.iif, &r.oif].into_iter().filter_map(|i| i.as_deref()));
        }
    }
    let mut of: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for g in &config.track_groups {
        for (member, names) in g.members.iter().zip(core::iter::repeat(needs.get(&*g.name))) {
            of.entry(member).or_default().extend(names.into_iter().flatten());
        }
    }
    for i in &mut config.instances {
        let known: BTreeSet<&str> =
            i.track_interfaces.iter().map(|t| &*t.name).chain(i.track_primary.then_some(&*i.interface)).collect();
        let names = of.get(&*i.name).into_iter().flatten().filter(|n| !known.contains(**n));
        let more: Vec<TrackInterface> =
            names.map(|n| TrackInterface { name: (*n).to_owned(), weight: 0, reverse: false }).collect();
        i.track_interfaces.extend(more);
    }
}

#[cfg(test)]
mod tests {
    use crate::config::load;
    use crate::config::source::{FileError, Files};

    struct One<'a>(&'a str);
    impl Files for One<'_> {
        fn read(&self, _: &str) -> Result<Vec<u8>, FileError> {
            Ok(self.0.as_bytes().to_vec())
        }
    }

    #[test]
    fn members_track_the_interfaces_of_what_names_their_group() {
        let instance = |name: &str, vrid: u8| {
            format!(
                "vrrp_instance {name} {{\n interface eth0\n virtual_router_id {vrid}\n virtual_ipaddress {{ 10.0.0.{vrid} }}\n}}\n"
            )
        };
        let text = "global_defs {\n default_interface eth5\n}\n\
            track_group g {\n group { a b }\n}\ntrack_group h {\n group { b }\n}\n\
            static_ipaddress {\n 10.1.0.1/24 dev eth1 track_group g\n 10.5.0.1/24 track_group h\n 10.6.0.1/24 dev eth6\n 10.0.0.9/24 dev eth0 track_group g\n}\n\
            static_routes {\n 10.2.0.0/16 dev eth2 track_group g\n 10.7.0.0/16 dev eth7\n}\n\
            static_rules {\n from 10.3.0.0/16 iif eth3 table 100 track_group h\n}\n";
        let text = format!("{text}{}{}{}", instance("a", 1), instance("b", 2), instance("c", 3));
        let loaded = load(&One(&text), "k.conf");
        let tracks = |n: usize| {
            let all = loaded.config.instances[n].track_interfaces.iter().map(|t| (&*t.name, t.weight));
            all.collect::<Vec<_>>()
        };
        // Its own interface is tracked without a line.
        assert_eq!(tracks(0), [("eth1", 0), ("eth2", 0)], "{:?}", loaded.diags);
        assert_eq!(tracks(1), [("eth1", 0), ("eth2", 0), ("eth3", 0), ("eth5", 0)]);
        assert_eq!(tracks(2), []);
    }
}
