//! Text to meaning: `source` → `tree` → `keyword` → `lower` → [`model`].

pub mod model;
