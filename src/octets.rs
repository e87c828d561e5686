//! How the borrowed lists of an [`Event`](crate::event::Event) are written to a recording and read from it: bytes as bytes.
//!
//! An event borrows its bytes from the loop's buffers. One that is read back has no such buffer, so its lists are leaked: a process
//! that replays a recording reads one, of bounded size, and ends.

use crate::event::Errno;
use core::fmt;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Borrowed bytes, by a name that serde's macro does not take for a loan from its input.
pub type Octets<'a> = &'a [u8];

struct Bytes;

impl<'de> Visitor<'de> for Bytes {
    type Value = Vec<u8>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }
    fn visit_bytes<E>(self, v: &[u8]) -> Result<Vec<u8>, E> {
        Ok(v.to_vec())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<u8>, A::Error> {
        let mut all = Vec::new();
        while let Some(b) = seq.next_element()? {
            all.push(b);
        }
        Ok(all)
    }
}

/// Writes the bytes as a byte string, not as a list of numbers.
pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_bytes(bytes)
}

/// Reads a byte string. Its memory is never freed.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<&'static [u8], D::Error> {
    from.deserialize_byte_buf(Bytes).map(|v| &*v.leak())
}

/// Reads a list. Its memory is never freed.
pub fn list<'de, T: Deserialize<'de> + 'static, D: Deserializer<'de>>(from: D) -> Result<&'static [T], D::Error> {
    Vec::deserialize(from).map(|v| &*v.leak())
}

/// Reads a list, or why there is none.
pub fn list_result<'de, T: Deserialize<'de> + 'static, D: Deserializer<'de>>(
    from: D,
) -> Result<Result<&'static [T], Errno>, D::Error> {
    Result::<Vec<T>, Errno>::deserialize(from).map(|r| r.map(|v| &*v.leak()))
}

/// Bytes, or why there are none.
pub mod result {
    use super::*;

    #[derive(Serialize)]
    struct Borrowed<'a>(#[serde(serialize_with = "super::serialize")] &'a [u8]);

    /// Writes the bytes, or the errno.
    pub fn serialize<S: Serializer>(result: &Result<&[u8], Errno>, to: S) -> Result<S::Ok, S::Error> {
        result.map(Borrowed).serialize(to)
    }

    /// Reads the bytes, or the errno. Their memory is never freed.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Result<&'static [u8], Errno>, D::Error> {
        let read = Result::<Owned, Errno>::deserialize(from)?;
        Ok(read.map(|o| &*o.0.leak()))
    }

    struct Owned(Vec<u8>);

    impl<'de> Deserialize<'de> for Owned {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Owned, D::Error> {
            // As `Borrowed` is written: a structure of one field is that field.
            struct One;
            impl<'de> Visitor<'de> for One {
                type Value = Vec<u8>;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("bytes")
                }
                fn visit_newtype_struct<D: Deserializer<'de>>(self, d: D) -> Result<Vec<u8>, D::Error> {
                    d.deserialize_byte_buf(Bytes)
                }
            }
            from.deserialize_newtype_struct("Borrowed", One).map(Owned)
        }
    }
}
