//! The configuration: from the text of a file to [`model`], with messages about mistakes. Entry point: [`load`].
//!
//! - from text to the model: `source` (files and places) → `input` (include, conditions, repetitions) → `lex` → `tree` → `keyword` (the
//!   table of all keywords) → `lower` → `model`; `files` and `glob` read files, `rtnames` the names of tables and protocols
//! - messages: `kind` (all kinds), `diag` (one message with its place), `hint` (remedies), `lint` (allowed settings with unwanted effects),
//!   `allow` (silencing), `secret` (what none of them shows), `verdict` (what a message means for a test, a start and a reload), `report` (JSON)
//! - checks against this machine: `check` (interfaces; runs lints and silencing), `scripts` and `secure` (commands, and who can change them)
//! - the model for others: `image` (bytes), `dump` (text), `diff` (the plan of a reload), `node` (the model as a tree, for `dump` and `diff`)
//! - `man`: the generated parts of kalived.conf(5)

pub mod allow;
pub mod check;
pub mod diag;
pub mod diff;
pub mod dump;
pub mod files;
pub mod glob;
mod hint;
pub mod image;
pub mod input;
pub mod keyword;
pub mod kind;
pub mod lex;
pub mod lint;
mod load;
pub mod lower;
pub mod man;
pub mod model;

pub mod node;
pub mod quick;
pub mod report;
pub mod rtnames;
pub mod scripts;
mod secret;
pub mod secure;
mod shown;
pub mod source;
pub mod tree;
pub mod verdict;

pub use input::{Limits, Options};
pub use load::{Loaded, check_interfaces, load, load_with};
