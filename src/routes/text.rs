//! Every log line about routes. Read first: `mod.rs`.

use crate::config::model::route::Route;
use crate::event::{Doer, Errno};
use crate::note::{Level, Note};
use crate::owned::Owner;
use crate::route::RouteId;
use crate::words;

fn note(level: Level, text: String) -> Note {
    Note { level, text }
}

fn why(e: Errno) -> String {
    match e.0 {
        1 => "not permitted".into(),
        22 => "the kernel does not take it so (is a src an address of this host? is a gateway reachable?)".into(),
        95 => "the kernel does not support this".into(),
        100 => "the interface is down".into(),
        101 => "the gateway is not reachable".into(),
        105 => "the answer was lost".into(),
        113 => "no route to the gateway".into(),
        n => format!("errno {n}"),
    }
}

/// Whose a route or a rule is, as the log says it.
pub fn who(owner: Owner, name: &str) -> String {
    match owner {
        Owner::File => "static".to_owned(),
        Owner::Instance(_) => format!("({name}) virtual"),
    }
}
/// It could not be added.
pub fn refused(who: &str, id: &RouteId, e: Errno) -> Note {
    note(Level::Warning, format!("{who} route {id} cannot be added: {}; it is tried again", why(e)))
}
/// It could not be deleted.
pub fn stuck(id: &RouteId, e: Errno) -> Note {
    note(Level::Error, format!("route {id} cannot be removed: {}; remove it by hand", why(e)))
}
/// Somebody else removed it.
pub fn taken(who: &str, id: &RouteId, by: Doer) -> Note {
    note(Level::Warning, format!("{who} route {id} was removed by {}; putting it back", words::by(by)))
}
/// A line that no kernel has a route for.
pub fn not_done(who: &str, r: &Route) -> Note {
    let to = r.to.map_or_else(|| "default".to_owned(), |p| format!("{}/{}", p.addr, p.len));
    note(Level::Warning, format!("{who} route {to} is not added: no kernel has routes of type nat"))
}
/// Two lines of the file name one route.
pub fn twice(who: &str, id: &RouteId) -> Note {
    note(
        Level::Warning,
        format!(
            "{who} route {id} stands twice in its block; the first line counts (several ways are `nexthop`s of one line)"
        ),
    )
}
/// Routes of our protocol that the file does not have.
pub fn strangers(ids: &[RouteId]) -> Note {
    let names: Vec<String> = ids.iter().take(8).map(ToString::to_string).collect();
    let more = if ids.len() > 8 { format!(" and {} more", ids.len() - 8) } else { String::new() };
    note(
        Level::Warning,
        format!(
            "routes with protocol keepalived that this configuration does not have: {}{more}; they stay (`ip route flush proto keepalived` removes them)",
            names.join(", ")
        ),
    )
}
/// Routes of the process before that the configuration does not have any more, or whose virtual router is not Master.
pub fn dropped(n: usize) -> Note {
    note(Level::Info, format!("removing {n} routes that were left and that are not to be there"))
}
