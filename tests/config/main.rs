//! The configuration path, from bytes to model and messages.
#![allow(clippy::unwrap_used)] // also in what tests share: the panic is the message

mod broken;
mod codes;
mod common;
mod corpus;
mod defaults;
mod diff;
mod dump;
mod fuzz;
mod fuzz_corpus;
mod hundred;
mod image;
mod keywords;
mod lints;
mod man;
mod man_messages;
mod mistakes;
mod quick;
mod rows;
mod scripts;
mod seeds;
mod shape;
mod snapshot;
mod text;
mod unicast;
mod verdict;
mod vrrp_check;
