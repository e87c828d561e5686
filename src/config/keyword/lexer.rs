//! Keyword rows: what works on text before keywords are read.
//! Sorted by name within a scope (tested). Read first: `mod.rs`.

use super::Form::*;
use super::Status::*;
use super::{Keyword, row};

#[rustfmt::skip]
pub(super) const LEXER: &[Keyword] = &[
    row("$NAME", Words, Supported, "$NAME or ${NAME}", "", "undefined name left as literal text",
        "Macro use; bare form must end at whitespace, / , ) or EOL."),
    row("$NAME=", Words, Supported, "$<NAME>=<value> (trailing \\ = continue)", "", "redefinition reported/replaced; no space before =",
        "Textual macro; multi-line when lines end in backslash."),
    row("$_BANG", Words, Supported, "${_BANG}", "!", "",
        "Builtin macro producing a literal !."),
    row("$_ENV", Words, Supported, "${_ENV NAME}", "", "unset -> empty",
        "Builtin macro (2.4.0): environment variable value."),
    row("$_HASH", Words, Supported, "${_HASH}", "#", "",
        "Builtin macro producing a literal #."),
    row("$_INSTANCE", Words, Supported, "${_INSTANCE}", "", "",
        "Builtin macro: config id (-i or short nodename)."),
    row("$_PWD", Words, Supported, "${_PWD}", "", "",
        "Builtin macro: directory of the file being read."),
    row("$_RANDOM", Words, Supported, "${_RANDOM [min [max]]}", "0..32767", "",
        "Builtin macro: random integer; see random_seed."),
    row("@ID", Words, Supported, "@<config-id> <rest of line>", "", "non-matching line dropped; bare @ID with no more text dropped",
        "Line applies only if config id (-i, else nodename up to first dot) equals ID."),
    row("@^ID", Words, Supported, "@^<config-id> <rest of line>", "", "as @ID",
        "Line applies only when config id differs from ID."),
    row("include", Words, Supported, "<glob>", "", "missing only reported; problem fatal (exit 6) if include_check or -e asks",
        "Splice file(s) in place; cwd is that file's dir while it is read; skips dirs and executable files."),
    row("includea", Words, Supported, "<glob>", "", "all checks above",
        "include with every check enabled."),
    row("includeb", Words, Supported, "<glob>", "", "any {a,b} alternative absent -> exit 6",
        "includer plus: every brace alternative must exist."),
    row("includem", Words, Supported, "<glob>", "", "named file absent -> exit 6",
        "includer plus: named file must exist."),
    row("includer", Words, Supported, "<glob>", "", "matched file unreadable/not regular/executable -> startup refused, exit 6; no match is still ok",
        "include insisting that matched files can be read."),
    row("includew", Words, Supported, "<glob>", "", "wildcard with no match -> exit 6",
        "includem plus: wildcards must match something."),
    row("~LST", Words, Supported, "~LST(var, v1, v2..) or ~LST({a,b},{1,2},..)", "", "bad syntax reported, line dropped",
        "Repeat the rest of line for each list item or tuple."),
    row("~SEQ", Words, Supported, "~SEQ(var, [start,[step,]] end) <text>", "start 1 step 1", "bad syntax reported, line dropped",
        "Repeat the rest of line for a decimal range, var usable as $var."),
    row("~SEQx", Words, Supported, "~SEQx(var, ...) <text>", "", "as ~SEQ",
        "~SEQ producing hexadecimal."),
];
