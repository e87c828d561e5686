//! A queue that is fair among owners: the first item of each comes before the second of any.
//!
//! Items of one owner leave in the order they were queued. An item is queued once, so the number of items limits the queue.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// See the module. `O` names an owner, `K` an item.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
#[serde(bound(
    serialize = "K: serde::Serialize, O: serde::Serialize",
    deserialize = "K: serde::Deserialize<'de> + Ord, O: serde::Deserialize<'de> + Ord"
))]
pub struct Lanes<K, O> {
    lanes: BTreeMap<O, VecDeque<K>>,
    // Owners with queued items, each once, in the order of their turns.
    turn: VecDeque<O>,
    queued: BTreeSet<K>,
}

impl<K, O> Default for Lanes<K, O> {
    fn default() -> Self {
        Lanes { lanes: BTreeMap::new(), turn: VecDeque::new(), queued: BTreeSet::new() }
    }
}

impl<K: Copy + Ord, O: Copy + Ord> Lanes<K, O> {
    /// Queues `key` behind the other items of `owner`, unless it is queued already.
    pub fn push(&mut self, owner: O, key: K) {
        if self.queued.insert(key) {
            let lane = self.lanes.entry(owner).or_default();
            if lane.is_empty() {
                self.turn.push_back(owner);
            }
            lane.push_back(key);
        }
    }
    /// Takes the next item of the owner whose turn it is.
    pub fn pop(&mut self) -> Option<K> {
        let owner = self.turn.pop_front()?;
        let lane = self.lanes.get_mut(&owner)?;
        let key = lane.pop_front();
        if lane.is_empty() {
            self.lanes.remove(&owner);
        } else {
            self.turn.push_back(owner);
        }
        key.inspect(|k| {
            self.queued.remove(k);
        })
    }
    /// The number of queued items.
    pub fn len(&self) -> usize {
        self.queued.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_each_comes_before_the_second_of_any() {
        let mut q = Lanes::default();
        for (owner, key) in [('a', 1), ('a', 2), ('a', 3), ('b', 11), ('c', 21), ('c', 22), ('a', 1)] {
            q.push(owner, key);
        }
        assert_eq!(q.len(), 6, "an item is queued once");
        let order: Vec<i32> = core::iter::from_fn(|| q.pop()).collect();
        assert_eq!(order, [1, 11, 21, 2, 22, 3]);
        assert!(q.queued.is_empty() && q.lanes.is_empty() && q.turn.is_empty());
    }

    #[test]
    fn who_comes_later_waits_for_one_item_of_the_others() {
        let mut q = Lanes::default();
        (0..10).for_each(|k| q.push('a', k));
        assert_eq!(q.pop(), Some(0));
        q.push('b', 100);
        assert_eq!((q.pop(), q.pop(), q.pop()), (Some(1), Some(100), Some(2)));
    }
}
