//! A part of a snapshot that is encoded once and written with every snapshot until it changes.
//!
//! A snapshot has a part for each virtual router. Encoding a thousand of them takes tens of milliseconds on a slow processor, in one turn
//! of the loop, and most are as they were in the snapshot before. Read first: `mod.rs`; `world/resume.rs`, which decides what is encoded
//! anew.

use super::InstanceShot;
use core::fmt;
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::Error};
use serde_json::value::{RawValue, to_raw_value};
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, LazyLock, OnceLock};

/// The state of a virtual router, as itself, as JSON, or as both; a clone shares both. The JSON lacks the fields that have their defaults:
/// every reader since layout 4 has the same ones.
#[derive(Clone)]
pub struct Encoded(Arc<Part>);

// One of the two is set from the beginning.
#[derive(Default)]
struct Part {
    shot: OnceLock<Box<InstanceShot>>,
    json: OnceLock<Box<RawValue>>,
}

impl Encoded {
    /// Keeps only the JSON, which is the smaller one; the state is read from it when somebody asks for it.
    pub fn of(shot: InstanceShot) -> Encoded {
        match sparse(&shot) {
            Ok(json) => Encoded(Arc::new(Part { json: json.into(), ..Part::default() })),
            Err(_) => shot.into(),
        }
    }

    /// Whether both are one: the state was not made and encoded anew between them.
    pub fn is(&self, other: &Encoded) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl From<InstanceShot> for Encoded {
    fn from(shot: InstanceShot) -> Self {
        Encoded(Arc::new(Part { shot: Box::new(shot).into(), ..Part::default() }))
    }
}

impl Deref for Encoded {
    type Target = InstanceShot;
    fn deref(&self) -> &InstanceShot {
        let Part { shot, json } = &*self.0;
        let read = || serde_json::from_str(json.get()?.get()).ok();
        shot.get_or_init(|| read().expect("what was encoded here is read"))
    }
}

// Clones keep what they have.
impl DerefMut for Encoded {
    fn deref_mut(&mut self) -> &mut InstanceShot {
        *self = InstanceShot::clone(self).into();
        Arc::get_mut(&mut self.0).and_then(|part| part.shot.get_mut()).expect("it was just made")
    }
}

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl PartialEq for Encoded {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Encoded {}

impl Serialize for Encoded {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Other formats identify fields by position.
        if !serializer.is_human_readable() {
            return (**self).serialize(serializer);
        }
        let json = &self.0.json;
        if let Some(json) = json.get() {
            return json.serialize(serializer);
        }
        let sparse = sparse(self).map_err(S::Error::custom)?;
        json.get_or_init(|| sparse).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Encoded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        InstanceShot::deserialize(deserializer).map(Self::from)
    }
}

/// The JSON of each field of a state that has only defaults.
static BLANK: LazyLock<BTreeMap<String, Box<RawValue>>> = LazyLock::new(|| {
    let all = serde_json::to_string(&InstanceShot::default()).expect("names are strings, and no number is infinite");
    serde_json::from_str(&all).expect("it was just written")
});

fn sparse(shot: &InstanceShot) -> Result<Box<RawValue>, serde_json::Error> {
    let all = serde_json::to_string(shot)?;
    let mut fields: BTreeMap<&str, &RawValue> = serde_json::from_str(&all)?;
    fields.retain(|name, json| BLANK.get(*name).is_none_or(|blank| blank.get() != json.get()));
    to_raw_value(&fields)
}
