//! Every log line about own interfaces of virtual routers. Read first: `mod.rs`.

use crate::event::Errno;
use crate::knob::Knob;
use crate::note::{Level, Note};
use crate::words;

fn note(level: Level, text: String) -> Note {
    Note { level, text }
}

/// One could not be made. `there`: another interface has its name.
pub fn not_made(name: &str, there: bool, e: Errno) -> Note {
    let help = match (there, e) {
        (true, Errno::EEXIST) => {
            "; an interface of that name is there that is none for this virtual router: remove it, or give another name after use_vmac"
        }
        (_, Errno(95)) => "; the kernel has no such kind of interface",
        _ => "",
    };
    note(Level::Error, format!("cannot make interface {name}: {}{help}; trying again", words::errno(e)))
}
/// One could not be taken up or down.
pub fn not_set(name: &str, up: bool, e: Errno) -> Note {
    let word = if up { "up" } else { "down" };
    note(Level::Error, format!("cannot take interface {name} {word}: {}; trying again", words::errno(e)))
}
/// One could not be deleted.
pub fn stuck(name: &str, e: Errno) -> Note {
    note(Level::Error, format!("cannot delete interface {name}: {}; remove it by hand", words::errno(e)))
}
/// A sysctl could not be set.
pub fn knob_not_set(name: &str, knob: Knob, e: Errno) -> Note {
    let help = match knob {
        Knob::LocalIgmpReports => "",
        _ => "; set it by hand if clients do not reach the addresses",
    };
    note(Level::Warning, format!("cannot set {}: {}{help}", knob.sysctl(name), words::errno(e)))
}
/// Another program deleted or renamed an own interface.
pub fn deleted(name: &str) -> Note {
    note(Level::Warning, format!("interface {name} was deleted by another program, or renamed; making it again"))
}
/// Another program gave one other properties.
pub fn changed(name: &str) -> Note {
    note(Level::Warning, format!("interface {name} was changed by another program; making it again"))
}
/// Another program took one up or down; `up`: the wanted state.
pub fn moved(name: &str, up: bool) -> Note {
    let (was, is) = if up { ("down", "up") } else { ("up", "down") };
    note(Level::Warning, format!("interface {name} was taken {was} by another program; taking it {is} again"))
}
/// Interfaces that another process made and that are not wanted.
pub fn dropped(n: usize) -> Note {
    let what = if n == 1 { "interface that is" } else { "interfaces that are" };
    note(Level::Notice, format!("removing {n} {what} not in this configuration any more"))
}
