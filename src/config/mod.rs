//! Text to meaning: `source` → `input` → `lex` → `tree` → `keyword` → `lower` → [`model`]. Entry point: [`load`].

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
pub mod secure;
pub mod source;
pub mod tree;
pub mod verdict;

pub use input::{Limits, Options};
pub use load::{Loaded, check_interfaces, load, load_with};
