//! Text to meaning: `source` → `input` → `lex` → `tree` → `keyword` → `lower` → [`model`]. Entry point: [`load`].

pub mod diag;
pub mod files;
pub mod glob;
pub mod input;
pub mod keyword;
pub mod lex;
mod load;
pub mod lower;
pub mod model;
pub mod source;
pub mod tree;

pub use input::{Limits, Options};
pub use load::{Loaded, check_interfaces, load, load_with};
