//! A part of a snapshot that is encoded once and written with every snapshot until it changes.
//!
//! A snapshot has a part for each virtual router. Encoding a thousand of them takes tens of milliseconds on a slow processor, in one turn
//! of the loop, and most are as they were in the snapshot before. Read first: `mod.rs`; `world/resume.rs`, which decides what is encoded
//! anew.

use super::InstanceShot;
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::Error};
use serde_json::value::{RawValue, to_raw_value};
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, LazyLock, OnceLock};

/// The state of a virtual router and, once it was written, its JSON. A clone shares both. The JSON lacks the fields that have their
/// defaults: every reader since layout 4 has the same ones.
#[derive(Clone, Debug, Default)]
pub struct Encoded(Arc<(InstanceShot, OnceLock<Box<RawValue>>)>);

impl Encoded {
    /// Whether both are one: the state was not made and encoded anew between them.
    pub fn is(&self, other: &Encoded) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl From<InstanceShot> for Encoded {
    fn from(shot: InstanceShot) -> Self {
        Encoded(Arc::new((shot, OnceLock::new())))
    }
}

impl Deref for Encoded {
    type Target = InstanceShot;
    fn deref(&self) -> &InstanceShot {
        &self.0.0
    }
}

// Clones keep what they have.
impl DerefMut for Encoded {
    fn deref_mut(&mut self) -> &mut InstanceShot {
        let (shot, json) = Arc::make_mut(&mut self.0);
        json.take();
        shot
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
        let (shot, json) = &*self.0;
        // Other formats identify fields by position.
        if !serializer.is_human_readable() {
            return shot.serialize(serializer);
        }
        if let Some(json) = json.get() {
            return json.serialize(serializer);
        }
        let sparse = sparse(shot).map_err(S::Error::custom)?;
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
