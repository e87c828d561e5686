//! The command. Read `cli.rs` for the options, `daemon` for the loop.
fn main() {}
