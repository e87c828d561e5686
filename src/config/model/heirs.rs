//! Which parts of one configuration continue in another. Shared by `config/diff.rs`, which prints them, and `world/reload.rs`, which
//! applies them. Read first: `mod.rs`.
//!
//! A virtual router is identified by its place on the wire: its peers know an interface, a VRID and a family, and no name. So a router
//! with the same three continues, under another name if necessary; also when two instances exchange their VRIDs, because both virtual
//! routers still exist then and no peer sees a change. Only a router whose place on the wire is not configured any more is matched by its
//! name; it sends a priority-0 advert and starts anew.

use super::{Family, InstanceConfig, Place};
use std::collections::BTreeMap;
use std::fmt;

impl InstanceConfig {
    /// The identity on the wire: interface, VRID, family.
    pub fn wire(&self) -> (&str, u8, Family) {
        (&self.interface, self.vrid, self.family)
    }
    /// Removes the positions in the files, so that two can be compared by their content.
    pub fn forget_places(&mut self) {
        self.place = Place::default();
        self.vips.iter_mut().chain(&mut self.excluded).for_each(|v| v.place = Place::default());
        self.more.routes.iter_mut().for_each(|r| r.place = Place::default());
        self.more.rules.iter_mut().for_each(|r| r.place = Place::default());
    }
}

/// The numbers of virtual routers that a change of configuration affects: those with an equal heir are kept, those with another heir
/// altered. A plan predicts these numbers, and a reload reports them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Routers {
    /// Virtual routers that continue unchanged.
    pub kept: usize,
    /// Virtual routers that continue with changes.
    pub altered: usize,
    /// Virtual routers that are new.
    pub added: usize,
    /// Virtual routers that are removed.
    pub removed: usize,
}

impl fmt::Display for Routers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Routers { kept, altered, added, removed } = self;
        write!(f, "virtual routers: {kept} kept, {altered} altered, {added} added, {removed} removed")
    }
}

/// For each of `new`, in order: the one of `old` that continues in it. None of `old` is named twice.
pub fn heirs(old: &[&InstanceConfig], new: &[InstanceConfig]) -> Vec<Option<usize>> {
    let mut by_wire: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    let mut by_name = BTreeMap::new();
    for (n, i) in old.iter().enumerate() {
        by_wire.entry(i.wire()).or_default().push(n);
        by_name.insert(i.name.as_str(), n);
    }
    let mut free = vec![true; old.len()];
    let mut take = |n: usize| core::mem::take(&mut free[n]).then_some(n);
    let named = |i: &InstanceConfig| by_name.get(i.name.as_str()).copied();
    // A match of wire and name precedes a match of one of them.
    let mut out: Vec<Option<usize>> =
        new.iter().map(|i| named(i).filter(|n| old[*n].wire() == i.wire()).and_then(&mut take)).collect();
    for (i, heir) in new.iter().zip(&mut out).filter(|(_, heir)| heir.is_none()) {
        *heir = by_wire.get(&i.wire()).into_iter().flatten().find_map(|n| take(*n));
    }
    for (i, heir) in new.iter().zip(&mut out).filter(|(_, heir)| heir.is_none()) {
        *heir = named(i).and_then(&mut take);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, vrid: u8) -> InstanceConfig {
        InstanceConfig::new(name, "eth0", vrid, Family::V4)
    }
    fn pairs(old: &[InstanceConfig], new: &[InstanceConfig]) -> Vec<Option<usize>> {
        heirs(&old.iter().collect::<Vec<_>>(), new)
    }

    #[test]
    fn the_wire_comes_before_the_name() {
        let old = [one("a", 1), one("b", 2)];
        assert_eq!(pairs(&old, &[one("b", 2), one("a", 1)]), [Some(1), Some(0)]);
        assert_eq!(pairs(&old, &[one("c", 1), one("b", 2)]), [Some(0), Some(1)], "renamed");
        assert_eq!(pairs(&old, &[one("a", 2), one("b", 1)]), [Some(1), Some(0)], "swapped");
        assert_eq!(pairs(&old, &[one("a", 3), one("b", 2)]), [Some(0), Some(1)], "another VRID");
        assert_eq!(pairs(&old, &[one("a", 2)]), [Some(1)], "the VRID of one that is gone");
        assert_eq!(pairs(&old, &[one("c", 3), one("a", 1)]), [None, Some(0)]);
        assert_eq!(pairs(&[], &[one("a", 1)]), [None]);
        // No router continues twice, whatever the file contains.
        assert_eq!(pairs(&[one("a", 1)], &[one("a", 1), one("a", 1)]), [Some(0), None]);
    }
}
