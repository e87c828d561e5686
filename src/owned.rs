//! The owners of routes and rules: static lines of the file, and lines of virtual routers that are Master. Several owners may want one route.
//!
//! Read first: `reconcile/`. `routes/` and `rules/` keep here who wants which route or rule, and examine changes in slices. A static line
//! counts before those of virtual routers. The lines of a new Master wait until what they depend on (its addresses, for rules also its
//! routes) was requested and answered: [`Owned::ready`].

use crate::id::VrKey;
use std::collections::{BTreeMap, BTreeSet};

/// Who wants a route or a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Owner {
    /// The file: `static_routes`, `static_rules`.
    File,
    /// A virtual router that is Master.
    Instance(VrKey),
}

/// See the module. `K` is the key of a route or rule, `L` the line that wants it.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Owned<K: Ord, L> {
    lines: BTreeMap<(K, Owner), L>,
    // The owners that have lines; with the name of a virtual router, for the log.
    owners: BTreeMap<Owner, (String, BTreeSet<K>)>,
    // Keys to be examined.
    todo: BTreeSet<K>,
    // Keys of new Masters, until `ready`.
    waiting: BTreeSet<K>,
}

impl<K: Ord, L> Default for Owned<K, L> {
    fn default() -> Owned<K, L> {
        Owned { lines: BTreeMap::new(), owners: BTreeMap::new(), todo: BTreeSet::new(), waiting: BTreeSet::new() }
    }
}

/// The lines of one owner while they are replaced: [`Owned::replace`].
pub struct Replacing<K> {
    owner: Owner,
    name: String,
    old: BTreeSet<K>,
    new: BTreeSet<K>,
}

impl<K: Copy + Ord> Replacing<K> {
    /// Names the key of a new line. Returns whether it is the first line with that key.
    pub fn keeps(&mut self, key: K) -> bool {
        self.old.remove(&key);
        self.new.insert(key)
    }
}

impl<K: Copy + Ord, L> Owned<K, L> {
    /// Begins to replace the lines of an owner: each new line is named with [`Replacing::keeps`] and, if it is new or differs, passed to
    /// [`Owned::put`]. [`Owned::replaced`] ends it.
    pub fn replace(&mut self, owner: Owner, name: &str) -> Replacing<K> {
        let (_, old) = self.owners.remove(&owner).unwrap_or_default();
        Replacing { owner, name: name.to_owned(), old, new: BTreeSet::new() }
    }
    /// Adds a line, or replaces the owner's line with this key.
    pub fn put(&mut self, owner: Owner, key: K, line: L) {
        self.lines.insert((key, owner), line);
        match owner {
            Owner::File => self.todo.insert(key),
            Owner::Instance(_) => self.waiting.insert(key),
        };
    }
    /// Ends [`Owned::replace`]. `gone` is called with each removed line, and whether no other owner has a line with its key.
    pub fn replaced(&mut self, change: Replacing<K>, mut gone: impl FnMut(K, Option<L>, bool)) {
        for key in change.old {
            let line = self.lines.remove(&(key, change.owner));
            let last = self.first(key).is_none();
            if last {
                self.todo.remove(&key);
                self.waiting.remove(&key);
            } else {
                // Another owner wants it as well, perhaps with other properties.
                self.todo.insert(key);
            }
            gone(key, line, last);
        }
        if !change.new.is_empty() {
            self.owners.insert(change.owner, (change.name, change.new));
        }
    }
    /// Removes all lines, and returns them with their owners.
    pub fn clear(&mut self) -> impl Iterator<Item = (Owner, BTreeSet<K>)> + use<K, L> {
        let all = core::mem::take(self);
        all.owners.into_iter().map(|(owner, (_, keys))| (owner, keys))
    }

    /// The line of one owner.
    pub fn get(&self, key: K, owner: Owner) -> Option<&L> {
        self.lines.get(&(key, owner))
    }
    /// As [`Owned::get`], to change it.
    pub fn get_mut(&mut self, key: K, owner: Owner) -> Option<&mut L> {
        self.lines.get_mut(&(key, owner))
    }
    /// Of the lines with this key the one that counts.
    pub fn first(&self, key: K) -> Option<(Owner, &L)> {
        let ((found, owner), line) = self.lines.range((key, Owner::File)..).next()?;
        (*found == key).then_some((*owner, line))
    }
    /// Whether an owner has lines.
    pub fn has(&self, owner: Owner) -> bool {
        self.owners.contains_key(&owner)
    }
    /// The lines of an owner.
    pub fn of(&self, owner: Owner) -> impl Iterator<Item = K> {
        self.owners.get(&owner).into_iter().flat_map(|(_, keys)| keys).copied()
    }
    /// The number of lines of an owner.
    pub fn count(&self, owner: Owner) -> usize {
        self.owners.get(&owner).map_or(0, |(_, keys)| keys.len())
    }
    /// The virtual routers that have lines.
    pub fn instances(&self) -> impl Iterator<Item = Owner> {
        self.owners.keys().copied().filter(|owner| *owner != Owner::File)
    }
    /// The name of a virtual router that has lines; empty for others.
    pub fn name(&self, owner: Owner) -> &str {
        self.owners.get(&owner).map_or("", |(name, _)| name)
    }
    /// Every line with its key and its owner, in the order of the keys.
    pub fn lines(&self) -> impl Iterator<Item = (K, Owner, &L)> {
        self.lines.iter().map(|((key, owner), line)| (*key, *owner, line))
    }

    /// The key is to be examined again.
    pub fn look_at(&mut self, keys: impl IntoIterator<Item = K>) {
        self.todo.extend(keys);
    }
    /// The next key to be examined.
    pub fn pop(&mut self) -> Option<K> {
        self.todo.pop_first()
    }
    /// Whether a key is to be examined.
    pub fn has_next(&self) -> bool {
        !self.todo.is_empty()
    }
    /// Whether lines of new Masters wait; then [`Owned::ready`] is to be called.
    pub fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }
    /// What the lines of new Masters depend on was added: their keys are to be examined.
    pub fn ready(&mut self) {
        self.todo.append(&mut self.waiting);
    }
    /// Whether this key was not examined yet.
    pub fn is_pending(&self, key: K) -> bool {
        self.todo.contains(&key) || self.waiting.contains(&key)
    }
    /// The number of entries, for tests that none is left.
    pub fn sizes(&self) -> [usize; 2] {
        [self.lines.len(), self.todo.len() + self.waiting.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Gives `owner` these lines; what went, and whether it was the last of its name.
    fn set(owned: &mut Owned<u8, char>, owner: Owner, lines: &[(u8, char)]) -> Vec<(u8, bool)> {
        let mut change = owned.replace(owner, "V");
        for (key, line) in lines {
            if change.keeps(*key) && owned.get(*key, owner) != Some(line) {
                owned.put(owner, *key, *line);
            }
        }
        let mut out = Vec::new();
        owned.replaced(change, |key, line, last| {
            assert!(line.is_some());
            out.push((key, last));
        });
        out
    }

    #[test]
    fn a_line_of_the_file_counts_first_and_what_somebody_else_wants_is_looked_at_again() {
        let mut owned = Owned::default();
        let vr = Owner::Instance(VrKey::NOBODY);
        set(&mut owned, vr, &[(1, 'v'), (2, 'v'), (2, 'w')]);
        assert!(owned.pop().is_none() && owned.waits() && owned.is_pending(1));
        owned.ready();
        assert_eq!((owned.pop(), owned.pop(), owned.pop()), (Some(1), Some(2), None));
        set(&mut owned, Owner::File, &[(1, 'f')]);
        let next = owned.pop();
        assert_eq!((owned.first(1), next), (Some((Owner::File, &'f')), Some(1)));
        assert_eq!(set(&mut owned, Owner::File, &[]), [(1, false)]);
        let next = owned.pop();
        assert_eq!((owned.first(1), next), (Some((vr, &'v')), Some(1)));
        assert_eq!((owned.count(vr), owned.has(Owner::File), owned.name(vr)), (2, false, "V"));
        // The same again: nothing is to be done.
        assert!(set(&mut owned, vr, &[(1, 'v'), (2, 'v')]).is_empty() && !owned.has_next() && !owned.waits());
        assert_eq!(set(&mut owned, vr, &[(2, 'x')]), [(1, true)]);
        assert_eq!((owned.first(1), owned.sizes()), (None, [1, 1]));
    }
}
