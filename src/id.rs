//! Keys of things that are made and removed while the daemon runs. A [`Key`] is a slot and the generation of its content, so that a
//! completion, timer or reply that arrives after its owner was removed finds nothing, and never the next owner of the slot.
//!
//! Read first: nothing. Deliberately absent: iteration in hash order; an [`Arena`] iterates by slot.

use core::cell::Cell;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;
use core::num::NonZeroU32;

/// What a [`VrKey`] names: one virtual router (a `vrrp_instance`).
pub enum VrMark {}
/// What a [`SockKey`] names: one raw VRRP socket.
pub enum SockMark {}
/// What a [`GroupKey`] names: one sync group.
pub enum GroupMark {}
/// Name of a sync group.
pub type GroupKey = Key<GroupMark>;
/// Name of a virtual router.
pub type VrKey = Key<VrMark>;
/// Name of a raw VRRP socket, shared by all virtual routers on one interface, family and group.
pub type SockKey = Key<SockMark>;

/// What a [`ChildKey`] names: a program that runs, or is about to.
pub enum ChildMark {}
/// What a [`WatchKey`] names: a file or a kind of process that is watched.
pub enum WatchMark {}
/// What a [`ConnKey`] names: a stream connection (mail, a native check).
pub enum ConnMark {}
/// What a [`FifoKey`] names: a named pipe that events are written to.
pub enum FifoMark {}
/// What an [`RsKey`] names: a real server of a virtual server.
pub enum ServerMark {}
/// What a [`CheckId`] names: a health check that is carried out, for one real server or for several that share it.
pub enum CheckMark {}
/// What a [`BfdKey`] names: a BFD session.
pub enum BfdMark {}
/// What a [`TrackKey`] names: something that is tracked, whose state steers faults and priorities.
pub enum TrackMark {}
/// Name of a program that was spawned.
pub type ChildKey = Key<ChildMark>;
/// Name of a watch.
pub type WatchKey = Key<WatchMark>;
/// Name of a connection.
pub type ConnKey = Key<ConnMark>;
/// Name of a named pipe.
pub type FifoKey = Key<FifoMark>;
/// Name of a real server.
pub type RsKey = Key<ServerMark>;
/// Name of a BFD session.
pub type BfdKey = Key<BfdMark>;
/// Name of a health check of real servers.
pub type CheckId = Key<CheckMark>;
/// Name of a tracker.
pub type TrackKey = Key<TrackMark>;

/// What a [`VsKey`] names: a virtual server.
pub enum VirtualMark {}
/// What a [`SvcKey`] names: a service of the kernel's IPVS table; a virtual server has one or, as a group, several.
pub enum ServiceMark {}
/// Name of a virtual server.
pub type VsKey = Key<VirtualMark>;
/// Name of a service.
pub type SvcKey = Key<ServiceMark>;

/// Slot and generation. `M` only keeps names of different kinds apart.
pub struct Key<M> {
    slot: u32,
    generation: NonZeroU32,
    mark: PhantomData<fn() -> M>,
}

impl<M> Key<M> {
    /// Names nothing: no arena comes this far.
    pub const NOBODY: Key<M> = Key { slot: u32::MAX, generation: NonZeroU32::MAX, mark: PhantomData };

    /// The name as one number, for a completion's user data or a map's key.
    pub fn to_bits(self) -> u64 {
        (u64::from(self.generation.get()) << 32) | u64::from(self.slot)
    }
    /// Its place in the [`Arena`], which another thing may have after it: for an index beside the arena.
    pub fn slot(self) -> usize {
        self.slot as usize
    }
    /// The name back from [`Key::to_bits`]; `None` for a number that never was a name.
    pub fn from_bits(bits: u64) -> Option<Self> {
        let generation = NonZeroU32::new((bits >> 32) as u32)?;
        Some(Key { slot: bits as u32, generation, mark: PhantomData })
    }
}
impl<M> serde::Serialize for Key<M> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(self.to_bits())
    }
}
impl<'de, M> serde::Deserialize<'de> for Key<M> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let bits = <u64 as serde::Deserialize>::deserialize(from)?;
        Key::from_bits(bits).ok_or_else(|| serde::de::Error::custom("a number that never was a name"))
    }
}
impl<M> Clone for Key<M> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<M> Copy for Key<M> {}
impl<M> PartialEq for Key<M> {
    fn eq(&self, o: &Self) -> bool {
        self.to_bits() == o.to_bits()
    }
}
impl<M> Eq for Key<M> {}
impl<M> PartialOrd for Key<M> {
    fn partial_cmp(&self, o: &Self) -> Option<Ordering> {
        Some(self.cmp(o))
    }
}
impl<M> Ord for Key<M> {
    fn cmp(&self, o: &Self) -> Ordering {
        (self.slot, self.generation).cmp(&(o.slot, o.generation))
    }
}
impl<M> Hash for Key<M> {
    fn hash<H: Hasher>(&self, h: &mut H) {
        self.to_bits().hash(h);
    }
}
impl<M> fmt::Debug for Key<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}.{}", self.slot, self.generation)
    }
}

/// Storage whose keys do not outlive what they name. Which slot is used next follows from what was done before, so that it is the same in
/// a copy that was written and read.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(bound(serialize = "T: serde::Serialize", deserialize = "T: serde::Deserialize<'de>"))]
pub struct Arena<M, T> {
    slots: Vec<Option<(NonZeroU32, T)>>,
    // Used before those behind the last slot, the latest first.
    free: Vec<u32>,
    last_generation: u32,
    looked_at: Cell<u64>,
    #[serde(skip)]
    mark: PhantomData<fn() -> M>,
}

impl<M, T> Default for Arena<M, T> {
    fn default() -> Self {
        Arena { slots: Vec::new(), free: Vec::new(), last_generation: 0, looked_at: Cell::new(0), mark: PhantomData }
    }
}

impl<M, T> Arena<M, T> {
    /// Stores `value` under a name that was never used before (until 2^32 insertions have been made).
    pub fn insert(&mut self, value: T) -> Key<M> {
        self.insert_with(|_| value)
    }
    /// As [`Arena::insert`], for a thing that wants to know its own name.
    pub fn insert_with(&mut self, make: impl FnOnce(Key<M>) -> T) -> Key<M> {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 things")
        });
        self.last_generation = self.last_generation.wrapping_add(1);
        let generation = NonZeroU32::new(self.last_generation).unwrap_or(NonZeroU32::MIN);
        let key = Key { slot, generation, mark: PhantomData };
        let value = Some((generation, make(key)));
        if let Some(place) = self.slots.get_mut(key.slot()) {
            *place = value;
        }
        key
    }
    /// The thing, if that very thing is still there.
    pub fn get(&self, key: Key<M>) -> Option<&T> {
        self.slots.get(key.slot())?.as_ref().filter(|e| e.0 == key.generation).map(|e| &e.1)
    }
    /// As [`Arena::get`], to change it.
    pub fn get_mut(&mut self, key: Key<M>) -> Option<&mut T> {
        self.slots.get_mut(key.slot())?.as_mut().filter(|e| e.0 == key.generation).map(|e| &mut e.1)
    }
    /// Takes the thing out; its name is dead from then on.
    pub fn remove(&mut self, key: Key<M>) -> Option<T> {
        let value = self.slots.get_mut(key.slot())?.take_if(|e| e.0 == key.generation)?.1;
        self.free.push(key.slot);
        Some(value)
    }
    /// All of them, by slot.
    pub fn iter(&self) -> impl Iterator<Item = (Key<M>, &T)> {
        self.looked_at.set(self.looked_at.get() + self.len() as u64);
        self.slots.iter().enumerate().filter_map(|(slot, e)| {
            let (generation, value) = e.as_ref()?;
            Some((Key { slot: slot as u32, generation: *generation, mark: PhantomData }, value))
        })
    }
    /// The keys of all entries, in the order of their slots.
    pub fn keys(&self) -> Vec<Key<M>> {
        self.iter().map(|(k, _)| k).collect()
    }
    /// How many were passed by [`Arena::iter`] and [`Arena::keys`] so far: what must not grow on the path of an advert.
    pub fn looked_at(&self) -> u64 {
        self.looked_at.get()
    }
    /// The number of entries.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_name_finds_nothing() {
        let mut a: Arena<VrMark, &str> = Arena::default();
        let old = a.insert("old");
        assert_eq!(a.remove(old), Some("old"));
        let new = a.insert("new");
        assert_eq!((a.get(old), a.get(new)), (None, Some(&"new")));
        assert_eq!(a.remove(old), None);
        assert_eq!(VrKey::from_bits(new.to_bits()), Some(new));
        assert_eq!(VrKey::from_bits(0), None);
    }
}
