//! How a configuration is read, and how the messages about it look: options that the compiler and a new guard are given as well.

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colour {
    /// On a terminal, unless the environment says NO_COLOR.
    #[default]
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

/// How a configuration is read, and how messages about it look, and which.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// `-i`: what `@id` in the configuration is compared with; `None`: the node name.
    pub config_id: Option<String>,
    /// `-e`: every `include` must find what it names.
    pub strict_include: bool,
    /// `--format=json`.
    pub json: bool,
    /// `--color`.
    pub colour: Colour,
    /// `--offline`: the interfaces of this machine do not matter.
    pub offline: bool,
    /// `--strict-lints`.
    pub strict_lints: bool,
    /// `--allow`: names that exist.
    pub allow: Vec<String>,
}
