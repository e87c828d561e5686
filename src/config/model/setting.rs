//! One setting as a value of its own: how the keyword table reaches the typed fields of the model without a line of code
//! per keyword, in both directions (a file sets it; a dump, a comparison or a test asks for it).
//!
//! A block is a struct made by `block!`: each field names the keywords that set it. A list of words of the language is
//! an enum made by `choice!`; the table and the parser take the words from it. No syntax and no messages here.

use core::net::IpAddr;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// What a keyword says, by the form the table gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Not said: the default or an outer block decides.
    Unset,
    /// On or off.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A time in microseconds.
    Micros(u64),
    /// A single word or quoted text.
    Text(Box<str>),
    /// An IPv4 or IPv6 address without a prefix.
    Ip(IpAddr),
    /// Number of the word in the list of the form.
    Choice(u8),
    /// A command, with the user who runs it.
    Script(Box<Script>),
    /// A weight, `<n> [reverse]`.
    Weight(Weight),
    /// Words with a form of their own.
    Words(Vec<Box<str>>),
}

/// A field of the model as the table sees it.
pub trait Setting {
    /// Takes a value; false when it is of another kind, which is a mistake in the table (tested for every row).
    fn put(&mut self, value: Value) -> bool;
    /// The present value.
    fn value(&self) -> Value;
}

/// A struct whose fields are set by keywords.
pub trait Block {
    /// The field that a keyword sets.
    fn setting(&mut self, keyword: &str) -> Option<&mut dyn Setting>;
    /// The value of the field that a keyword sets; `None`: no field belongs to it.
    fn get(&self, keyword: &str) -> Option<Value>;
}

/// A command as it is run: no shell, words already split.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// Program and arguments; at least the program.
    pub argv: Vec<Box<str>>,
    /// User to run as; `None`: `script_user`.
    pub user: Option<Box<str>>,
    /// Group to run as; `None`: the user's.
    pub group: Option<Box<str>>,
    /// What was found out about it where it is to run.
    pub ready: Ready,
}

/// A command, looked at on the machine that runs it. Done where the file is compiled, never on the loop.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ready {
    /// Nobody looked: it does not run.
    #[default]
    Unknown,
    /// Run as this user and group.
    As {
        /// User id that the command runs as.
        uid: u32,
        /// Group id that the command runs as.
        gid: u32,
    },
    /// It must not or cannot run: why, for people.
    Refused(Box<str>),
}

/// `weight <n> [reverse|noreverse]` of what is tracked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weight {
    /// 0: failed means FAULT. Above 0: added while up. Below 0: subtracted while down.
    pub weight: i32,
    /// Up and down exchanged.
    pub reverse: bool,
}

/// Text that reaches no log and no dump unless it is asked for.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret(pub Box<str>);

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("********")
    }
}

/// A type that a [`Value`] can become.
trait Kind: Sized {
    fn from_value(value: Value) -> Option<Self>;
    fn to_value(&self) -> Value;
}

impl<T: Kind> Setting for T {
    fn put(&mut self, value: Value) -> bool {
        T::from_value(value).map(|v| *self = v).is_some()
    }
    fn value(&self) -> Value {
        self.to_value()
    }
}

/// `None` is "not said".
impl<T: Kind> Kind for Option<T> {
    fn from_value(value: Value) -> Option<Self> {
        if value == Value::Unset { Some(None) } else { T::from_value(value).map(Some) }
    }
    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Unset, T::to_value)
    }
}

macro_rules! kind {
    ($($type:ty, $pattern:pat => $out:expr, $self:ident => $back:expr;)*) => {$(
        impl Kind for $type {
            fn from_value(value: Value) -> Option<Self> {
                match value {
                    $pattern => $out,
                    _ => None,
                }
            }
            fn to_value(&$self) -> Value {
                $back
            }
        }
    )*};
}

kind! {
    bool, Value::Bool(b) => Some(b), self => Value::Bool(*self);
    u8, Value::Int(n) => n.try_into().ok(), self => Value::Int(i64::from(*self));
    u16, Value::Int(n) => n.try_into().ok(), self => Value::Int(i64::from(*self));
    u32, Value::Int(n) => n.try_into().ok(), self => Value::Int(i64::from(*self));
    i16, Value::Int(n) => n.try_into().ok(), self => Value::Int(i64::from(*self));
    i32, Value::Int(n) => n.try_into().ok(), self => Value::Int(i64::from(*self));
    u64, Value::Int(n) => n.try_into().ok(), self => Value::Int(i64::try_from(*self).unwrap_or(i64::MAX));
    Duration, Value::Micros(us) => Some(Duration::from_micros(us)),
        self => Value::Micros(u64::try_from(self.as_micros()).unwrap_or(u64::MAX));
    Box<str>, Value::Text(t) => Some(t), self => Value::Text(self.clone());
    Secret, Value::Text(t) => Some(Secret(t)), self => Value::Text(self.0.clone());
    IpAddr, Value::Ip(ip) => Some(ip), self => Value::Ip(*self);
    Box<Script>, Value::Script(s) => Some(s), self => Value::Script(self.clone());
    Weight, Value::Weight(w) => Some(w), self => Value::Weight(*self);
    Vec<Box<str>>, Value::Words(w) => Some(w), self => Value::Words(self.clone());
}

/// An enum whose members are words of the language, in the order of its table form.
macro_rules! choice {
    ($(#[$meta:meta])* pub enum $name:ident { $($member:ident = $word:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name {
            $(#[doc = concat!("`", $word, "`.")] $member,)*
        }
        impl $name {
            /// The words of the language, in the order of the members.
            pub const WORDS: &'static [&'static str] = &[$($word),*];
            const MEMBERS: &'static [$name] = &[$($name::$member),*];
            /// The word of this member, as it is written in a file.
            pub fn word(self) -> &'static str {
                match self { $($name::$member => $word),* }
            }
            /// The member for a word; `None`: it is none of the words.
            pub fn of(word: &str) -> Option<$name> {
                match word { $($word => Some($name::$member),)* _ => None }
            }
        }
        impl $crate::config::model::setting::Choice for $name {
            fn number(self) -> u8 {
                self as u8
            }
            fn by_number(n: u8) -> Option<$name> {
                $name::MEMBERS.get(usize::from(n)).copied()
            }
        }
    };
}
pub(crate) use choice;

/// An enum made by `choice!`, for the code that reads and writes any of them.
pub trait Choice: Copy {
    /// Its place in the list of words.
    fn number(self) -> u8;
    /// The other way.
    fn by_number(n: u8) -> Option<Self>;
}

macro_rules! choices {
    ($($type:ty),* $(,)?) => {$(
        impl Kind for $type {
            fn from_value(value: Value) -> Option<Self> {
                match value {
                    Value::Choice(n) => Choice::by_number(n),
                    _ => None,
                }
            }
            fn to_value(&self) -> Value {
                Value::Choice(self.number())
            }
        }
    )*};
}
choices! {
    super::lvs::Scheduler, super::lvs::Protocol, super::lvs::IpFamily, super::check::HttpProtocol,
    super::check::DnsType, super::vrrp::AntiReplay, super::vrrp::HmacMode,
}

/// A struct with its defaults and the keywords of its fields:
/// `pub field: Type = default => "keyword" | "alias",`. Without `=` the type's default; without `=>` the field has a form
/// of its own, which the lowering knows.
macro_rules! block {
    ($(#[$meta:meta])* pub struct $name:ident {
        $($(#[$field_meta:meta])* pub $field:ident : $type:ty $(= $default:expr)? $(=> $($keyword:literal)|+)?),* $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub struct $name {
            $($(#[$field_meta])* $(#[doc = concat!("Set by: ", $("`", $keyword, "` "),+)])? pub $field: $type,)*
        }
        impl Default for $name {
            fn default() -> Self {
                $name { $($field: $crate::config::model::setting::block!(@default $($default)?),)* }
            }
        }
        impl $crate::config::model::setting::Block for $name {
            #[allow(unused_variables)]
            fn setting(&mut self, keyword: &str) -> Option<&mut dyn $crate::config::model::setting::Setting> {
                match keyword {
                    $($($($keyword)|+ => Some(&mut self.$field),)?)*
                    _ => None,
                }
            }
            fn get(&self, keyword: &str) -> Option<$crate::config::model::setting::Value> {
                use $crate::config::model::setting::Setting;
                match keyword {
                    $($($($keyword)|+ => Some(self.$field.value()),)?)*
                    _ => None,
                }
            }
        }
    };
    (@default $default:expr) => { $default };
    (@default) => { Default::default() };
}
pub(crate) use block;
