//! The configuration path, from bytes to model and messages.

mod broken;
mod common;
mod corpus;
mod defaults;
mod fuzz;
mod keywords;
mod man;
mod rows;
mod seeds;
mod shape;
mod text;
