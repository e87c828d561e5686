//! What a sync group tracks, its members track: so that faults and weights have one place where they are added up.
//!
//! Read first: `vrrp.rs` (`SyncGroup`, `Tracks`), `vrrp/instance/tracked.rs`. The world does this to every configuration that it is
//! given, before it looks at it. As in keepalived, a weight that a member gives to something it tracks itself counts as 0 (its
//! failure is a FAULT) unless the group says `sync_group_tracking_weight`: with priorities that differ from member to member no
//! group would ever have all of them in its favour.

use super::vrrp::{SyncGroup, Track, Tracks};
use super::{Config, InstanceConfig, TrackInterface};
use std::collections::{BTreeMap, BTreeSet};

/// Weights that scripts, checks, files, processes and BFD sessions have of their own: in this order. Virtual servers, the last, have none.
type Weights<'a> = [BTreeMap<&'a str, i32>; 6];

fn lists(t: &mut Tracks) -> [&mut Vec<Track>; 6] {
    [&mut t.scripts, &mut t.checks, &mut t.files, &mut t.processes, &mut t.bfds, &mut t.virtual_servers]
}

impl Config {
    /// See the module. Done twice it is as done once.
    pub fn share_group_tracks(&mut self) {
        let groups = &self.sync_groups;
        if groups.is_empty() {
            return;
        }
        let weights: Weights<'_> = [
            self.scripts.iter().map(|s| (&*s.name, s.weight.weight)).collect(),
            self.checks.iter().map(|s| (&*s.name, s.weight.weight)).collect(),
            self.track_files.iter().map(|s| (&*s.name, s.weight.weight)).collect(),
            self.track_processes.iter().map(|s| (&*s.name, s.weight.weight)).collect(),
            self.bfd.iter().map(|s| (&*s.name, s.weight.weight)).collect(),
            BTreeMap::new(),
        ];
        let of: BTreeMap<&str, &SyncGroup> =
            groups.iter().rev().flat_map(|g| g.members.iter().map(move |m| (&**m, g))).collect();
        for i in &mut self.instances {
            if let Some(group) = of.get(i.name.as_str()) {
                share(i, group, &weights);
            }
        }
    }
}

fn share(i: &mut InstanceConfig, group: &SyncGroup, weights: &Weights<'_>) {
    let mut given = group.tracks.clone();
    for ((to, from), own) in lists(&mut i.more.tracks).into_iter().zip(lists(&mut given)).zip(weights) {
        let names: BTreeSet<&str> = from.iter().map(|t| &*t.name).collect();
        // The group's line counts where both have one.
        to.retain(|t| !names.contains(&*t.name));
        if !group.tracking_weight {
            for t in to.iter_mut().filter(|t| t.weight.or(own.get(&*t.name).copied()).is_some_and(|w| w != 0)) {
                t.weight = Some(0);
            }
        }
        to.append(from);
    }
    i.more.notify.priority_changes = i.more.notify.priority_changes.or(group.notify.priority_changes);
    if !group.tracking_weight {
        i.track_interfaces.iter_mut().for_each(|t| t.weight = 0);
    }
    for t in &given.interfaces {
        i.track_interfaces.retain(|own| *own.name != *t.name);
        // Its own interface is tracked anyhow.
        if !(i.track_primary && *i.interface == *t.name) {
            let weight = t.weight.unwrap_or(0).clamp(-254, 254) as i16;
            let reverse = t.reverse.unwrap_or(false);
            i.track_interfaces.push(TrackInterface { name: t.name.to_string(), weight, reverse });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::setting::Weight;
    use super::super::vrrp::{TrackFile, VrrpScript};
    use super::super::{Family, InstanceConfig};
    use super::*;

    fn line(name: &str, weight: Option<i32>) -> Track {
        Track { name: name.into(), weight, reverse: None }
    }

    #[test]
    fn members_track_what_their_group_tracks() {
        let mut config = Config::default();
        for (name, interface) in [("A", "eth0"), ("B", "eth1"), ("C", "eth0")] {
            let mut i = InstanceConfig::new(name, interface, 5, Family::V4);
            i.more.tracks.scripts = vec![line("own", None), line("both", Some(9))];
            i.more.tracks.files = vec![line("f", None)];
            i.track_interfaces = vec![TrackInterface { name: "eth2".into(), weight: -7, reverse: false }];
            config.instances.push(i);
        }
        let weight = Weight { weight: 20, reverse: false };
        config.scripts = vec![VrrpScript { name: "own".into(), weight, ..VrrpScript::default() }];
        config.track_files = vec![TrackFile { name: "f".into(), ..TrackFile::default() }];
        let mut group = SyncGroup { name: "g".into(), members: vec!["A".into(), "B".into()], ..SyncGroup::default() };
        group.tracks.scripts = vec![line("both", Some(3))];
        group.tracks.interfaces = vec![line("eth1", None)];
        config.sync_groups = vec![group];
        let unweighed = config.clone();

        config.share_group_tracks();
        let all = |c: &Config, n: usize| {
            let i = &c.instances[n];
            let tracks = [&i.more.tracks.scripts, &i.more.tracks.files].into_iter().flatten();
            let tracks = tracks.map(|t| format!("{} {:?}", t.name, t.weight));
            let links = i.track_interfaces.iter().map(|t| format!("{} {}", t.name, t.weight));
            tracks.chain(links).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(all(&config, 0), "own Some(0), both Some(3), f Some(0), eth2 0, eth1 0");
        assert_eq!(all(&config, 1), "own Some(0), both Some(3), f Some(0), eth2 0", "its own interface");
        assert_eq!(all(&config, 2), "own None, both Some(9), f None, eth2 -7", "no member");
        let once = config.clone();
        config.share_group_tracks();
        assert_eq!(config, once);

        let mut weighed = unweighed;
        weighed.sync_groups[0].tracking_weight = true;
        weighed.share_group_tracks();
        assert_eq!(all(&weighed, 0), "own None, both Some(3), f None, eth2 -7, eth1 0");
    }
}
