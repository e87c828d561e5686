//! A queue in which owners take turns: the first item of each comes before the second of any.
//!
//! So 255 routers that take over at once have one address each before one of them has all of its own.

use std::collections::{BTreeMap, VecDeque};

/// See the module.
#[derive(Debug)]
pub struct Fair<K, V> {
    lanes: BTreeMap<K, VecDeque<V>>,
    // Each key of `lanes` once.
    turns: VecDeque<K>,
    len: usize,
}

impl<K, V> Default for Fair<K, V> {
    fn default() -> Self {
        Fair { lanes: BTreeMap::new(), turns: VecDeque::new(), len: 0 }
    }
}

impl<K: Ord + Copy, V> Fair<K, V> {
    /// Behind everything of its owner.
    pub fn push_back(&mut self, owner: K, item: V) {
        let lane = self.lanes.entry(owner).or_default();
        if lane.is_empty() {
            self.turns.push_back(owner);
        }
        lane.push_back(item);
        self.len += 1;
    }
    /// The next item of the owner whose turn it is.
    pub fn pop_front(&mut self) -> Option<V> {
        let owner = self.turns.pop_front()?;
        let lane = self.lanes.get_mut(&owner)?;
        let item = lane.pop_front()?;
        self.len -= 1;
        if lane.is_empty() {
            self.lanes.remove(&owner);
        } else {
            self.turns.push_back(owner);
        }
        Some(item)
    }
    /// Items of all owners.
    pub fn len(&self) -> usize {
        self.len
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_take_turns_and_each_keeps_its_order() {
        let mut q = Fair::default();
        for (owner, item) in [(1, "a1"), (1, "a2"), (1, "a3"), (2, "b1"), (3, "c1"), (3, "c2")] {
            q.push_back(owner, item);
        }
        assert_eq!(q.len(), 6);
        assert_eq!(q.pop_front(), Some("a1"));
        q.push_back(2, "b2");
        let rest: Vec<_> = core::iter::from_fn(|| q.pop_front()).collect();
        assert_eq!(rest, ["b1", "c1", "a2", "b2", "c2", "a3"]);
        assert!(q.is_empty() && q.lanes.is_empty() && q.turns.is_empty());
    }
}
