//! What the reconcilers of own interfaces compare: an interface by its name, and its state.
//!
//! Read first: `vmac/mod.rs`, `reconcile/`.

use crate::event::Errno;
use crate::id::VrKey;
use crate::net::{Link, OwnLink};
use crate::reconcile::Item;

/// Name of an interface, at most 15 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Name([u8; 16]);

impl Name {
    pub(super) const FIRST: Name = Name([0; 16]);
    pub(super) const LAST: Name = Name([u8::MAX; 16]);

    /// The first 15 bytes of `text`.
    pub(super) fn of(text: &str) -> Name {
        let mut name = [0; 16];
        name.iter_mut().zip(text.bytes().take(15)).for_each(|(to, from)| *to = from);
        Name(name)
    }
    /// The name as text, without the zeros behind it.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(self.0.split(|b| *b == 0).next().unwrap_or_default()).into_owned()
    }
}

impl Item for OwnLink {
    type Owner = VrKey;
    const SERIES: u8 = 6;
    const IN_PLACE: bool = false;
    // Never: an interface of this name may be another program's.
    fn is_there(_: Errno) -> bool {
        false
    }
    fn is_gone(errno: Errno) -> bool {
        matches!(errno, Errno::ENODEV | Errno::ENXIO)
    }
}

/// The state of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Stand {
    /// `IFF_UP`: the interface is taken up.
    pub up: bool,
    /// It has our alias.
    pub ours: bool,
}

impl Item for Stand {
    type Owner = VrKey;
    const SERIES: u8 = 7;
    const IN_PLACE: bool = true;
    fn is_there(_: Errno) -> bool {
        false
    }
    fn is_gone(errno: Errno) -> bool {
        matches!(errno, Errno::ENODEV | Errno::ENXIO)
    }
}

pub(super) fn stand_of(l: &Link) -> Stand {
    Stand { up: l.up, ours: l.ours && !l.fresh }
}

// An interface with our alias, as it is; `None`: it is of another kind, or not ours.
pub(super) fn as_is(l: &Link) -> Option<OwnLink> {
    let upon = l.upon.filter(|_| l.ours)?;
    Some(OwnLink { name: l.name.clone(), upon, mac: l.mac, group: 0, master: l.master })
}
