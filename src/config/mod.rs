//! Text to meaning: `source` → `lex` → `tree` → `keyword` → `lower` → [`model`]. Entry point: [`load`].

pub mod diag;
pub mod diff;
pub mod files;
pub mod image;
pub mod keyword;
pub mod lex;
mod load;
pub mod lower;
pub mod model;
pub mod node;
pub mod source;
pub mod tree;

pub use load::{Loaded, check_interfaces, load};
