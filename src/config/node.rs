//! Any part of the model as a tree of names and texts, by serde: `diff.rs` compares and prints it without code for each keyword.
//!
//! Types with a special meaning are recognised by their name: a `Place` is left out (the same setting on another line is the same
//! setting), a `Duration` is seconds, a secret is compared but never printed. Read next: `diff.rs`.

use serde::Serialize;
use serde::ser;
use std::borrow::Cow;
use std::fmt::{self, Write};

/// Types whose text is printed as asterisks.
const SECRET: &[&str] = &["Auth", "Secret"];
/// The text that is printed for them.
pub const MASK: &str = "********";

/// Part of the model without types: a text, a list or a block of named values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// Ignored in a comparison.
    Skip,
    /// An option that is `None`.
    Unset,
    /// One text. The second field: it is a secret.
    Leaf(String, bool),
    /// A struct or an enum's variant with fields.
    Block(Block),
    /// Several values, in the order of the model.
    List(Vec<Node>),
}

/// A struct, or an enum's variant with fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The type's name; of a variant, the variant's.
    pub kind: &'static str,
    /// In the order of the type.
    pub fields: Vec<(Cow<'static, str>, Node)>,
}

impl Block {
    /// A field by its name.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.fields.iter().find(|f| f.0 == name).map(|f| &f.1)
    }
}

impl Node {
    /// Any part of the model.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Node {
        // The only error of this serializer is a map key that is not text, which the model does not have.
        value.serialize(Maker).unwrap_or(Node::Skip)
    }
    /// Whether it has no content, like a field that was not set.
    pub fn is_empty(&self) -> bool {
        match self {
            Node::Skip | Node::Unset => true,
            Node::Leaf(t, _) => matches!(t.as_str(), "" | "no" | "0" | "0 s"),
            Node::List(l) => l.is_empty(),
            Node::Block(b) => b.fields.iter().all(|f| f.1.is_empty()),
        }
    }
    fn hidden(self) -> Node {
        match self {
            Node::Skip | Node::Unset => self,
            Node::Leaf(t, _) => Node::Leaf(t, true),
            other => Node::Leaf(format!("{other:?}"), true),
        }
    }
}

/// On one line; of a block the fields that are set.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::Skip => Ok(()),
            Node::Unset => f.write_str("not set"),
            Node::Leaf(_, true) => f.write_str(MASK),
            Node::Leaf(t, false) => {
                t.chars().try_for_each(|c| f.write_char(if c.is_control() { '\u{FFFD}' } else { c }))
            }
            Node::List(l) => {
                for (i, n) in l.iter().enumerate() {
                    write!(f, "{}{n}", if i > 0 { ", " } else { "" })?;
                }
                Ok(())
            }
            Node::Block(b) => {
                let mut gap = "";
                for (name, n) in b.fields.iter().filter(|x| !x.1.is_empty()) {
                    write!(f, "{gap}{name} {n}")?;
                    gap = " ";
                }
                Ok(())
            }
        }
    }
}

/// A variant with values, as words: `Mark(5)` is "mark 5".
fn worded(variant: &str, values: &[Node]) -> Node {
    let mut text = match variant {
        "Address" | "Range" | "Pass" | "Type" => String::new(),
        other => other.to_lowercase(),
    };
    for v in values {
        let _ = write!(text, "{}{v}", if text.is_empty() { "" } else { " " });
    }
    Node::Leaf(text, false)
}

struct Maker;

/// Never returned, see [`Node::of`].
#[derive(Debug)]
struct NoText;
impl fmt::Display for NoText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key that is no text")
    }
}
impl std::error::Error for NoText {}
impl ser::Error for NoText {
    fn custom<T: fmt::Display>(_: T) -> Self {
        NoText
    }
}

type Made = Result<Node, NoText>;

macro_rules! plain {
    ($($name:ident $type:ty),*) => {$(
        fn $name(self, v: $type) -> Made {
            Ok(Node::Leaf(v.to_string(), false))
        }
    )*};
}

impl ser::Serializer for Maker {
    type Ok = Node;
    type Error = NoText;
    type SerializeSeq = Parts;
    type SerializeTuple = Parts;
    type SerializeTupleStruct = Parts;
    type SerializeTupleVariant = Parts;
    type SerializeMap = Parts;
    type SerializeStruct = Parts;
    type SerializeStructVariant = Parts;

    plain!(serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64, serialize_u8 u8, serialize_u16 u16,
        serialize_u32 u32, serialize_u64 u64, serialize_f32 f32, serialize_f64 f64, serialize_char char, serialize_str &str);

    fn serialize_bool(self, v: bool) -> Made {
        Ok(Node::Leaf(if v { "yes" } else { "no" }.to_owned(), false))
    }
    fn serialize_bytes(self, v: &[u8]) -> Made {
        Ok(Node::Leaf(String::from_utf8_lossy(v).into_owned(), false))
    }
    fn serialize_none(self) -> Made {
        Ok(Node::Unset)
    }
    fn serialize_some<T: Serialize + ?Sized>(self, v: &T) -> Made {
        v.serialize(self)
    }
    fn serialize_unit(self) -> Made {
        Ok(Node::Unset)
    }
    fn serialize_unit_struct(self, _: &'static str) -> Made {
        Ok(Node::Unset)
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Made {
        Ok(Node::Leaf(variant.to_owned(), false))
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, v: &T) -> Made {
        let made = v.serialize(self)?;
        Ok(if SECRET.contains(&name) { made.hidden() } else { made })
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        v: &T,
    ) -> Made {
        let made = match v.serialize(Maker)? {
            Node::Block(b) => Node::Block(Block { kind: variant, fields: b.fields }),
            other => worded(variant, &[other]),
        };
        Ok(if SECRET.contains(&name) { made.hidden() } else { made })
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Parts, NoText> {
        Ok(Parts::new("", false))
    }
    fn serialize_tuple(self, _: usize) -> Result<Parts, NoText> {
        Ok(Parts::new("", false))
    }
    fn serialize_tuple_struct(self, name: &'static str, _: usize) -> Result<Parts, NoText> {
        Ok(Parts::new(name, SECRET.contains(&name)))
    }
    fn serialize_tuple_variant(self, name: &'static str, _: u32, v: &'static str, _: usize) -> Result<Parts, NoText> {
        Ok(Parts { variant: true, ..Parts::new(v, SECRET.contains(&name)) })
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Parts, NoText> {
        Ok(Parts::new("map", false))
    }
    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Parts, NoText> {
        Ok(Parts::new(name, SECRET.contains(&name)))
    }
    fn serialize_struct_variant(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts, NoText> {
        Ok(Parts::new(variant, SECRET.contains(&name)))
    }
}

/// A list or a struct that is being read.
struct Parts {
    kind: &'static str,
    secret: bool,
    variant: bool,
    fields: Vec<(Cow<'static, str>, Node)>,
    list: Vec<Node>,
}

impl Parts {
    fn new(kind: &'static str, secret: bool) -> Parts {
        Parts { kind, secret, variant: false, fields: Vec::new(), list: Vec::new() }
    }
    fn push<T: Serialize + ?Sized>(&mut self, v: &T) -> Result<(), NoText> {
        self.list.push(v.serialize(Maker)?);
        Ok(())
    }
    fn field<T: Serialize + ?Sized>(&mut self, name: &'static str, v: &T) -> Result<(), NoText> {
        let node = v.serialize(Maker)?;
        if node != Node::Skip {
            self.fields.push((Cow::Borrowed(name), node));
        }
        Ok(())
    }
    fn seal(self, node: Node) -> Made {
        Ok(if self.secret { node.hidden() } else { node })
    }
    fn list(mut self) -> Made {
        let list = std::mem::take(&mut self.list);
        let node = if self.variant { worded(self.kind, &list) } else { Node::List(list) };
        self.seal(node)
    }
    fn block(mut self) -> Made {
        if self.kind == "Place" {
            return Ok(Node::Skip);
        }
        if self.kind == "Duration" {
            return Ok(Node::Leaf(self.seconds(), false));
        }
        let block = Node::Block(Block { kind: self.kind, fields: std::mem::take(&mut self.fields) });
        self.seal(block)
    }
    /// serde's own form of a duration: `secs` and `nanos`.
    fn seconds(&self) -> String {
        let part = |i: usize| match self.fields.get(i) {
            Some((_, Node::Leaf(t, _))) => t.as_str(),
            _ => "0",
        };
        let text = format!("{}.{:0>9}", part(0), part(1));
        format!("{} s", text.trim_end_matches('0').trim_end_matches('.'))
    }
}

macro_rules! lists {
    ($($trait:ident $method:ident),*) => {$(
        impl ser::$trait for Parts {
            type Ok = Node;
            type Error = NoText;
            fn $method<T: Serialize + ?Sized>(&mut self, v: &T) -> Result<(), NoText> {
                self.push(v)
            }
            fn end(self) -> Made {
                self.list()
            }
        }
    )*};
}
lists!(SerializeSeq serialize_element, SerializeTuple serialize_element, SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field);

macro_rules! blocks {
    ($($trait:ident),*) => {$(
        impl ser::$trait for Parts {
            type Ok = Node;
            type Error = NoText;
            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, v: &T) -> Result<(), NoText> {
                self.field(name, v)
            }
            fn end(self) -> Made {
                self.block()
            }
        }
    )*};
}
blocks!(SerializeStruct, SerializeStructVariant);

impl ser::SerializeMap for Parts {
    type Ok = Node;
    type Error = NoText;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), NoText> {
        let Node::Leaf(key, _) = key.serialize(Maker)? else { return Err(NoText) };
        self.fields.push((Cow::Owned(key), Node::Unset));
        Ok(())
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, v: &T) -> Result<(), NoText> {
        let node = v.serialize(Maker)?;
        if let Some(last) = self.fields.last_mut() {
            last.1 = node;
        }
        Ok(())
    }
    fn end(self) -> Made {
        self.block()
    }
}
