//! The description of a report's fields: the types contain it, and the JSON schema and the section of kalived(8) are generated from it.
//!
//! `record!` and `words!` define a type together with its `Described`. Read first: `mod.rs`.

use core::fmt::Write;
use core::net::IpAddr;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The form of a value in JSON.
#[derive(Clone, Copy)]
pub enum Shape {
    /// A text (JSON string).
    Text,
    /// True or false.
    Flag,
    /// A count or a number of the protocol.
    Integer,
    /// A duration, in the unit that the field's name ends with.
    Number,
    /// One of these words.
    Words(&'static [&'static str]),
    /// The value, or null.
    Maybe(fn() -> Shape),
    /// An array of values.
    List(fn() -> Shape),
    /// Counts by name.
    Counts,
    /// An object with named fields.
    Record(&'static Record),
}

/// The description of an object of a report.
pub struct Record {
    /// Name of the type.
    pub name: &'static str,
    /// The description for the schema and the manual.
    pub about: &'static str,
    /// Its fields, in order.
    pub fields: &'static [Field],
}

/// A field of an object.
pub struct Field {
    /// Name of the field in JSON.
    pub name: &'static str,
    /// The description for the schema and the manual.
    pub doc: &'static str,
    /// The form of its value.
    pub shape: fn() -> Shape,
}

/// A type that may be part of a report.
pub trait Described {
    /// The form of the type's values.
    fn shape() -> Shape;
}

macro_rules! described {
    ($($shape:expr => $($ty:ty),+;)+) => { $($(impl Described for $ty { fn shape() -> Shape { $shape } })+)+ };
}
described! {
    Shape::Text => String, IpAddr;
    Shape::Flag => bool;
    Shape::Integer => u8, u32, u64;
    Shape::Number => f64;
    Shape::Counts => BTreeMap<String, u64>;
}
impl<T: Described> Described for Option<T> {
    fn shape() -> Shape {
        Shape::Maybe(T::shape)
    }
}
impl<T: Described> Described for Vec<T> {
    fn shape() -> Shape {
        Shape::List(T::shape)
    }
}

/// Defines an object of a report.
macro_rules! record {
    ($(#[doc = $about:literal])+ pub struct $name:ident { $($(#[doc = $doc:literal])+ pub $field:ident: $ty:ty,)+ }) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default)]
        pub struct $name { $($(#[doc = $doc])+ pub $field: $ty,)+ }
        impl $crate::report::describe::Described for $name {
            fn shape() -> $crate::report::describe::Shape {
                use $crate::report::describe::{Field, Record, Shape};
                static RECORD: Record = Record {
                    name: stringify!($name),
                    about: concat!($($about),+),
                    fields: &[$(Field {
                        name: stringify!($field),
                        doc: concat!($($doc),+),
                        shape: <$ty as $crate::report::describe::Described>::shape,
                    }),+],
                };
                Shape::Record(&RECORD)
            }
        }
    };
}

/// Defines a choice of words of a report; the first one is the default.
macro_rules! words {
    ($(#[doc = $about:literal])+ pub enum $name:ident { $first:ident = $word:literal $(, $rest:ident = $words:literal)* $(,)? }) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[allow(missing_docs)] // the words
        pub enum $name {
            #[default]
            #[serde(rename = $word)]
            $first,
            $(#[serde(rename = $words)] $rest,)*
        }
        impl $name {
            /// The words of the choice, in the order of the members.
            pub const WORDS: &'static [&'static str] = &[$word $(, $words)*];
            /// The word of this member in JSON.
            pub fn word(self) -> &'static str {
                Self::WORDS[self as usize]
            }
        }
        impl $crate::report::describe::Described for $name {
            fn shape() -> $crate::report::describe::Shape {
                $crate::report::describe::Shape::Words(Self::WORDS)
            }
        }
    };
}
pub(crate) use {record, words};

fn schema_of(shape: Shape, records: &mut BTreeMap<&'static str, Value>) -> Value {
    match shape {
        Shape::Text => json!({"type": "string"}),
        Shape::Flag => json!({"type": "boolean"}),
        Shape::Integer => json!({"type": "integer", "minimum": 0}),
        Shape::Number => json!({"type": "number", "minimum": 0}),
        Shape::Words(words) => json!({"enum": words}),
        Shape::Maybe(of) => json!({"anyOf": [schema_of(of(), records), {"type": "null"}]}),
        Shape::List(of) => json!({"type": "array", "items": schema_of(of(), records)}),
        Shape::Counts => {
            json!({"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}})
        }
        Shape::Record(r) => {
            if !records.contains_key(r.name) {
                records.insert(r.name, Value::Null);
                let object = object(r, records);
                records.insert(r.name, object);
            }
            json!({"$ref": format!("#/$defs/{}", r.name)})
        }
    }
}

fn object(r: &Record, records: &mut BTreeMap<&'static str, Value>) -> Value {
    let mut properties = serde_json::Map::new();
    for f in r.fields {
        let mut of = schema_of((f.shape)(), records);
        of["description"] = json!(f.doc.trim());
        properties.insert(f.name.to_owned(), of);
    }
    let required: Vec<&str> = r.fields.iter().map(|f| f.name).collect();
    json!({
        "description": r.about.trim(),
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// The JSON schema (draft 2020-12) of `T`: every field is required, and no other is allowed.
pub fn schema<T: Described>() -> Value {
    let mut records = BTreeMap::new();
    let root = schema_of(T::shape(), &mut records);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "kalived status --format=json",
        "$ref": root["$ref"],
        "$defs": records,
    })
}

fn word_of(shape: Shape) -> String {
    match shape {
        Shape::Text => "text".to_owned(),
        Shape::Flag => "true or false".to_owned(),
        Shape::Integer => "integer".to_owned(),
        Shape::Number => "number".to_owned(),
        Shape::Words(words) => words.join(", "),
        Shape::Maybe(of) => format!("{} or null", word_of(of())),
        Shape::List(of) => format!("array: {}", word_of(of())),
        Shape::Counts => "object of integers".to_owned(),
        Shape::Record(r) => format!("object {}", r.name),
    }
}

/// All object types of `T`: `T` first, each before those that only it contains.
fn records<T: Described>() -> Vec<&'static Record> {
    fn add(shape: Shape, all: &mut Vec<&'static Record>) {
        match shape {
            Shape::Maybe(of) | Shape::List(of) => add(of(), all),
            Shape::Record(r) if !all.iter().any(|known| known.name == r.name) => {
                all.push(r);
                r.fields.iter().for_each(|f| add((f.shape)(), all));
            }
            _ => {}
        }
    }
    let mut all = Vec::new();
    add(T::shape(), &mut all);
    all
}

/// The section of kalived(8) about `T`, in roff.
pub fn man<T: Described>() -> String {
    let plain = |text: &str| text.trim().replace('\\', "\\e").replace('-', "\\-").replace('`', "");
    let mut out = String::new();
    for r in records::<T>() {
        let _ = writeln!(out, ".SS {}\n{}", r.name, plain(r.about));
        for f in r.fields {
            let kind = plain(&word_of((f.shape)()));
            let _ = writeln!(out, ".TP\n.BR {} \" ({kind})\"\n{}", f.name, plain(f.doc));
        }
    }
    out
}
