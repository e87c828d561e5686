//! Every log line of the guard, once; keepalived's wording where operators grep for it.

use crate::event::ChildEnd;
use crate::exit::ExitCode;
use crate::note::{Level, Note};
use crate::process::dump::Kind;
use crate::sys::child::End;
use crate::time::Duration;
use crate::vrrp::text::errno;
use std::io;

fn note(level: Level, text: String) -> Note {
    Note { level, text }
}

/// "exited with status 1", "due to signal 9".
pub fn end(end: End) -> String {
    match end {
        End::Exited(code) => format!("exited with status {code}"),
        End::Signaled(signal) => format!("due to signal {signal}"),
    }
}

/// First line of all.
pub fn starting(path: &str) -> Note {
    note(Level::Notice, format!("Starting Kalived v{}, configuration {path}", env!("CARGO_PKG_VERSION")))
}
/// Last line of all.
pub fn stopped() -> Note {
    note(Level::Notice, format!("Stopped Kalived v{}", env!("CARGO_PKG_VERSION")))
}
/// The core runs.
pub fn core_started(pid: u32) -> Note {
    note(Level::Info, format!("Starting VRRP child process, pid={pid}"))
}
/// It could not even be forked.
pub fn core_not_started(e: &io::Error) -> Note {
    note(Level::Error, format!("the VRRP child process could not be started: {e}"))
}
/// It ended, and another one goes on.
pub fn respawning(pid: u32, how: End) -> Note {
    note(Level::Error, format!("VRRP child process({pid}) died: Respawning ({})", end(how)))
}
/// It ended, and that is the end.
pub fn terminating(pid: u32, how: End) -> Note {
    let word = match how {
        End::Exited(c) if c == ExitCode::Config as u8 || c == ExitCode::NoConfig as u8 => "CONFIG",
        End::Exited(c) if c == ExitCode::Permission as u8 => "missing permission",
        _ => "FATAL",
    };
    note(
        Level::Error,
        format!("VRRP child process({pid}) exited with permanent error {word}. Terminating ({})", end(how)),
    )
}
/// `-R`.
pub fn not_respawning(pid: u32, how: End) -> Note {
    note(Level::Error, format!("VRRP child process({pid}) died: Exiting ({})", end(how)))
}
/// It dies too often.
pub fn delayed(wait: Duration) -> Note {
    note(
        Level::Warning,
        format!(
            "Restart of VRRP process delayed {} seconds to limit respawn rate; its addresses are removed",
            wait.as_secs()
        ),
    )
}
/// No beat.
pub fn hung(pid: u32) -> Note {
    note(Level::Error, format!("VRRP child process({pid}) does not answer: killing it"))
}
/// It does not stop when asked to.
pub fn forcing(pid: u32) -> Note {
    note(Level::Error, format!("VRRP child process({pid}) process failed to die - forcing termination"))
}
/// It said something that makes no sense, or takes nothing any more.
pub fn nonsense(pid: u32, what: &str) -> Note {
    note(Level::Error, format!("VRRP child process({pid}): {what}: killing it"))
}
/// A reload begins.
pub fn reloading() -> Note {
    note(Level::Notice, "Reloading ...".to_owned())
}
/// The configuration could not be compiled; nothing changed.
pub fn reload_refused(why: &str) -> Note {
    note(Level::Error, format!("Reload refused: {why}; the old configuration stays"))
}
/// What the core made of the new configuration.
pub fn reloaded(done: bool, text: &str) -> Note {
    match done {
        true => note(Level::Notice, format!("Reloaded: {text}")),
        false => reload_refused(text),
    }
}
/// The helper ended.
pub fn helper_died(pid: u32, how: End) -> Note {
    note(Level::Error, format!("helper process({pid}) died: Respawning ({})", end(how)))
}
/// Another one runs.
pub fn helper_started(pid: u32) -> Note {
    note(Level::Info, format!("Starting helper process, pid={pid}"))
}
/// A script that was secure when the configuration was read, and is not when it is to run.
pub fn exchanged(path: &str) -> Note {
    note(
        Level::Error,
        format!(
            "Unsafe permissions found for script '{path}' - not run: by now somebody other than root can change it, or a directory or \
             link on the way to it"
        ),
    )
}
/// keepalived's advice.
pub fn shebang(path: &str) -> Note {
    note(Level::Warning, format!("Please add a #! shebang to script {path}"))
}
/// What the process that removes addresses said.
pub fn removed(how: End) -> Note {
    match how {
        End::Exited(0) => note(Level::Notice, "the virtual addresses were removed".to_owned()),
        other => note(Level::Error, format!("removing the virtual addresses failed ({})", end(other))),
    }
}
/// Another program is looked at.
pub fn upgrading(path: &std::path::Path) -> Note {
    note(Level::Notice, format!("Upgrading: {} is asked to go on", path.display()))
}
/// Nothing changed.
pub fn upgrade_refused(why: &str) -> Note {
    note(Level::Error, format!("Upgrade refused: {why}; what runs goes on"))
}
/// Done.
pub fn upgraded(pid: u32) -> Note {
    note(Level::Notice, format!("Upgraded to Kalived v{}: VRRP process {pid} goes on", env!("CARGO_PKG_VERSION")))
}
/// A hand-over is asked for: what would be started next reads the configuration first.
pub fn handover_asked() -> Note {
    note(Level::Notice, "Asked to hand over: the configuration is read first".to_owned())
}
/// There is none. `stops`: whoever asked has decided that this process ends.
pub fn handover_refused(why: &str, stops: bool) -> Note {
    let then = if stops { "stopping instead, and the addresses are removed" } else { "what runs goes on" };
    note(Level::Error, format!("Hand-over refused: {why}; {then}"))
}
/// The core is frozen already.
pub fn state_not_kept(why: &str) -> Note {
    note(Level::Error, format!("the state could not be kept ({why}): the next kalived starts as any other"))
}
/// The core freezes for whoever is started next.
pub fn handing_over() -> Note {
    note(Level::Notice, "Handing over: no farewell is sent; the addresses stay until another kalived is in charge, or a peer may take over".to_owned())
}
/// `kalived reload` and its like will not reach us.
pub fn no_socket(path: &std::path::Path, e: &io::Error) -> Note {
    note(
        Level::Error,
        format!("no socket for commands at {}: {e}; `kalived reload` and its like cannot be used", path.display()),
    )
}
/// The keyword.
pub const STARTUP: &str = "startup_script";
/// The keyword.
pub const SHUTDOWN: &str = "shutdown_script";
/// It did not go well, or could not be started.
pub fn around_ended(word: &str, end: ChildEnd) -> Note {
    let how = match end {
        ChildEnd::Exited(code) => format!("exited with status {code}"),
        ChildEnd::Signaled(signal) => format!("ended by signal {signal}"),
        ChildEnd::NotStarted(e) => format!("could not be started: {}", errno(e)),
    };
    note(Level::Warning, format!("{word} {how}"))
}
/// It takes too long.
pub fn around_too_slow(word: &str) -> Note {
    note(Level::Warning, format!("{word} has not ended within {word}_timeout: killed"))
}
/// A dump file was asked for.
pub fn dumping(kind: Kind, pid: u32) -> Note {
    note(Level::Info, format!("{} for process({pid}) on signal", kind.printing()))
}
/// It cannot be written.
pub fn not_dumped(kind: Kind, why: &str) -> Note {
    note(Level::Warning, format!("the {} file is not written: {why}", kind.word()))
}
/// A signal of keepalived without effect here.
pub fn unused_signal(s: u8) -> Note {
    let what = match s {
        64 => "(keepalived: print threads) has no meaning here",
        _ => "has no meaning here",
    };
    note(Level::Info, format!("signal {s} {what}: ignored; `kalived status` prints how things are"))
}
/// Anything else that failed and is lived with.
pub fn failed(what: &str, e: &dyn core::fmt::Display) -> Note {
    note(Level::Error, format!("{what}: {e}"))
}
