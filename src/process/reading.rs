//! How a configuration is read, and the form of the messages about it: options that the compiler and a new guard are given as well.

/// When messages are printed in colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colour {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Colour also where the output is no terminal.
    Always,
    /// No colour, also on a terminal.
    Never,
}

/// How a configuration is read, and the form and selection of the messages about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// `-i`: the value that `@id` in the configuration is compared with; `None`: the node name.
    pub config_id: Option<String>,
    /// `-e`: every `include` must find its files.
    pub strict_include: bool,
    /// `--format=json`: messages are JSON.
    pub json: bool,
    /// `--color`: when messages have colours.
    pub colour: Colour,
    /// `--offline`: the interfaces of this machine are not examined.
    pub offline: bool,
    /// `--strict-lints`: a lint fails a test.
    pub strict_lints: bool,
    /// `--allow`: names of existing messages.
    pub allow: Vec<String>,
}
