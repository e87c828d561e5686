//! Every log line about rules. Read first: `mod.rs`.

use crate::event::{Doer, Errno};
use crate::note::{Level, Note};
use crate::rule::RuleSpec;
use crate::words;

fn note(level: Level, text: String) -> Note {
    Note { level, text }
}

fn why(e: Errno) -> String {
    match e.0 {
        1 => "not permitted".into(),
        22 => "the kernel does not take it so".into(),
        95 => "the kernel does not support this".into(),
        97 => "the kernel has no such address family".into(),
        105 => "the answer was lost".into(),
        n => format!("errno {n}"),
    }
}

/// It could not be added.
pub fn refused(who: &str, rule: &RuleSpec, e: Errno) -> Note {
    note(Level::Warning, format!("{who} rule {rule} cannot be added: {}; it is tried again", why(e)))
}
/// It could not be deleted.
pub fn stuck(rule: &RuleSpec, e: Errno) -> Note {
    note(Level::Error, format!("rule {rule} cannot be removed: {}; remove it by hand", why(e)))
}
/// Somebody else removed it.
pub fn taken(who: &str, rule: &RuleSpec, by: Doer) -> Note {
    note(Level::Warning, format!("{who} rule {rule} was removed by {}; putting it back", words::by(by)))
}
/// Two lines of a block say the same.
pub fn twice(who: &str, rule: &RuleSpec) -> Note {
    note(Level::Warning, format!("{who} rule {rule} stands twice in its block; it is added once"))
}
/// Rules of our protocol that the file does not have.
pub fn strangers(rules: &[RuleSpec]) -> Note {
    let names: Vec<String> = rules.iter().take(8).map(ToString::to_string).collect();
    let more = if rules.len() > 8 { format!(" and {} more", rules.len() - 8) } else { String::new() };
    let names = names.join(", ");
    note(
        Level::Warning,
        format!("rules with protocol keepalived that this configuration does not have: {names}{more}; they stay"),
    )
}
/// Rules that were left and are not to be there.
pub fn dropped(n: usize) -> Note {
    note(Level::Info, format!("removing {n} rules that were left and that are not to be there"))
}
