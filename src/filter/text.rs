//! What is said about the filter.

use crate::event::Errno;
use crate::note::{Level, Note};

fn note(level: Level, text: String) -> Note {
    Note { level, text }
}

fn why(e: Errno) -> String {
    match e.0 {
        1 => "not permitted (CAP_NET_ADMIN)".into(),
        12 => "out of memory".into(),
        17 => "another program made a table of this name".into(),
        90 => "the table is too long for one message".into(),
        93 | 95 | 97 => "this kernel has no nf_tables, or its module cannot be loaded".into(),
        105 => "the answer was lost".into(),
        n => format!("errno {n}"),
    }
}

/// Virtual routers go on without.
pub fn missing(e: Errno) -> Note {
    note(
        Level::Error,
        format!(
            "no_accept has no effect: {}; the addresses accept packets (`modprobe nf_tables`, then reload)",
            why(e)
        ),
    )
}
/// No name is free.
pub fn no_name(names: &[String]) -> Note {
    note(
        Level::Error,
        format!(
            "no_accept has no effect: the nftables tables {} belong to another program; the addresses accept packets (`nft delete table`, or `nftables <name>`, then restart)",
            names.join(" and ")
        ),
    )
}
/// The first name is taken.
pub fn strange(first: &str, second: &str) -> Note {
    note(
        Level::Warning,
        format!(
            "an nftables table {first} is there that kalived did not make (of a keepalived that runs or was killed?): it stays, and its rules hold; kalived uses the table {second}"
        ),
    )
}
/// It cannot be put in force.
pub fn refused(table: &str, e: Errno) -> Note {
    note(
        Level::Error,
        format!(
            "nftables table {table} cannot be put in force: {}; it is tried again, and until then the addresses accept packets",
            why(e)
        ),
    )
}
/// The kernel does not answer.
pub fn slow(table: &str) -> Note {
    note(
        Level::Warning,
        format!(
            "nftables table {table} is not in force yet: another program keeps nf_tables busy; the addresses wait no longer"
        ),
    )
}
/// It cannot be removed.
pub fn stuck(table: &str, e: Errno) -> Note {
    note(Level::Error, format!("nftables table {table} cannot be removed: {}; remove it by hand", why(e)))
}
/// Somebody else removed it, or something in it.
pub fn taken(table: &str) -> Note {
    note(Level::Warning, format!("nftables table {table} was changed or removed by another program; putting it back"))
}
/// One of a process before, that is not wanted.
pub fn left_over(table: &str) -> Note {
    note(Level::Info, format!("removing the nftables table {table} that was left"))
}
/// One of a process before, that is.
pub fn replaced(table: &str) -> Note {
    note(Level::Info, format!("replacing the nftables table {table} that is there"))
}
