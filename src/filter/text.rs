//! Every log line about kalived's tables of nf_tables. Read first: `mod.rs`.

use crate::event::Errno;
use crate::note::{Level, Note};

/// What a table is for.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    /// The setting that needs the table.
    pub setting: &'static str,
    /// What gives it its name.
    pub keyword: &'static str,
    /// What is the case without it.
    pub loss: &'static str,
}

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

/// There is no nf_tables: it goes on without the table.
pub fn missing(words: &Words, e: Errno) -> Note {
    let Words { setting, loss, .. } = words;
    note(Level::Error, format!("{setting} has no effect: {}; {loss} (`modprobe nf_tables`, then reload)", why(e)))
}
/// Both names are another program's.
pub fn no_name(words: &Words, names: &[String]) -> Note {
    let Words { setting, keyword, loss } = words;
    note(
        Level::Error,
        format!(
            "{setting} has no effect: the nftables tables {} belong to another program; {loss} (`nft delete table`, or `{keyword} <name>`, then restart)",
            names.join(" and ")
        ),
    )
}
/// The first name is another program's.
pub fn strange(first: &str, second: &str) -> Note {
    note(
        Level::Warning,
        format!(
            "an nftables table {first} is there that kalived did not make (of a keepalived that runs or was killed?): it stays, and its rules hold; kalived uses the table {second}"
        ),
    )
}
/// The table cannot be put in force.
pub fn refused(words: &Words, table: &str, e: Errno) -> Note {
    let loss = words.loss;
    note(
        Level::Error,
        format!("nftables table {table} cannot be put in force: {}; it is tried again, and until then {loss}", why(e)),
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
/// The table cannot be removed.
pub fn stuck(table: &str, e: Errno) -> Note {
    note(Level::Error, format!("nftables table {table} cannot be removed: {}; remove it by hand", why(e)))
}
/// Another program removed the table, or a part of it.
pub fn taken(table: &str) -> Note {
    note(Level::Warning, format!("nftables table {table} was changed or removed by another program; putting it back"))
}
/// A table that an earlier process left is not wanted.
pub fn left_over(table: &str) -> Note {
    note(Level::Info, format!("removing the nftables table {table} that was left"))
}
/// A table that an earlier process left is replaced.
pub fn replaced(table: &str) -> Note {
    note(Level::Info, format!("replacing the nftables table {table} that is there"))
}
/// What is marked from now on.
pub fn marking(table: &str, ranges: usize) -> Note {
    note(Level::Info, format!("nftables table {table} marks packets for IPVS: {ranges} ranges of addresses"))
}
