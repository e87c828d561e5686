//! The word after `-t`. keepalived's `-t` may name a log file, and only without a blank between them; `nginx -t`, `named-checkconf FILE`
//! and others take the file to test. So a word after a blank is the file to test: as the name of the log, it would cause that file to be
//! overwritten.

use clap::{Arg, Command};
use std::ffi::OsString;

/// The option that replaces a bare word.
const FILE: &str = "--test-file";

/// How an argument treats the next one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The next argument is its value.
    Value,
    /// The next argument is not its value.
    Alone,
}

/// Rewrites the first bare word of a command line with `-t` to the option that names the file to test.
pub(super) fn name_the_file(command: &Command, args: Vec<OsString>) -> Vec<OsString> {
    let mut out = Vec::with_capacity(args.len() + 1);
    let (mut testing, mut found) = (false, None);
    let mut skip = true; // the name of the program
    for (i, arg) in args.iter().enumerate() {
        let text = arg.to_string_lossy();
        if skip {
            skip = false;
        } else if text == "--" {
            found = found.or((args.len() == i + 2).then_some(i + 1));
            break;
        } else if text.starts_with('-') && text.len() > 1 {
            let (test, next) = look(command, &text);
            testing |= test;
            skip = next == Next::Value;
        } else {
            found = found.or(Some(i));
        }
    }
    for (i, arg) in args.into_iter().enumerate() {
        if testing && Some(i) == found {
            if out.last().is_some_and(|a: &OsString| a == "--") {
                out.pop();
            }
            let mut named = OsString::from(FILE);
            named.push("=");
            named.push(arg);
            out.push(named);
        } else {
            out.push(arg);
        }
    }
    out
}

/// Whether one of the options of an argument is `-t`, and how the next argument is treated.
fn look(command: &Command, text: &str) -> (bool, Next) {
    let takes = |a: &Arg| a.get_action().takes_values() && !a.is_require_equals_set();
    if let Some(long) = text.strip_prefix("--") {
        let (name, value) = long.split_once('=').map_or((long, None), |(n, v)| (n, Some(v)));
        let is = |a: &&Arg| a.get_long() == Some(name) || a.get_all_aliases().is_some_and(|all| all.contains(&name));
        let found = command.get_arguments().find(is);
        if found.is_some_and(|a| a.get_id() == "config-test") {
            return (true, Next::Alone);
        }
        let wants = value.is_none() && found.is_some_and(takes);
        return (false, if wants { Next::Value } else { Next::Alone });
    }
    let mut letters = text.chars().skip(1).peekable();
    while let Some(letter) = letters.next() {
        if letter == 't' {
            return (true, Next::Alone);
        }
        let found = command.get_arguments().find(|a| a.get_short() == Some(letter));
        if found.is_some_and(|a| a.get_action().takes_values()) {
            let wants = letters.peek().is_none() && found.is_some_and(takes);
            return (false, if wants { Next::Value } else { Next::Alone });
        }
    }
    (false, Next::Alone)
}
