//! Every log line of the guard, once; keepalived's wording where operators grep for it.

use crate::event::ChildEnd;
use crate::exit::ExitCode;
use crate::note::{Level, Note};
use crate::process::dump::Kind;
use crate::sys::child::End;
use crate::time::Duration;
use crate::vrrp::text::errno;
use crate::words::span;
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

/// The first line of the log: kalived starts.
pub fn starting(path: &str) -> Note {
    note(Level::Notice, format!("Starting Kalived v{}, configuration {path}", env!("CARGO_PKG_VERSION")))
}
/// The last line of the log: kalived has stopped.
pub fn stopped() -> Note {
    note(Level::Notice, format!("Stopped Kalived v{}", env!("CARGO_PKG_VERSION")))
}
/// A core was started.
pub fn core_started(pid: u32) -> Note {
    note(Level::Info, format!("Starting VRRP child process, pid={pid}"))
}
/// The core could not be forked.
pub fn core_not_started(e: &io::Error) -> Note {
    note(Level::Error, format!("the VRRP child process could not be started: {e}"))
}
/// The core ended, and another one is started.
pub fn respawning(pid: u32, how: End) -> Note {
    note(Level::Error, format!("VRRP child process({pid}) died: Respawning ({})", end(how)))
}
/// The core ended, and no other one is started.
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
/// The core died, and with `-R` the guard ends.
pub fn not_respawning(pid: u32, how: End) -> Note {
    note(Level::Error, format!("VRRP child process({pid}) died: Exiting ({})", end(how)))
}
/// The core dies too often.
pub fn delayed(wait: Duration) -> Note {
    note(
        Level::Warning,
        format!(
            "Restart of VRRP process delayed {} seconds to limit respawn rate; its addresses are removed",
            wait.as_secs()
        ),
    )
}
/// The core is hung: no beat came.
pub fn hung(pid: u32) -> Note {
    note(Level::Error, format!("VRRP child process({pid}) does not answer: killing it"))
}
/// The core does not stop on request.
pub fn forcing(pid: u32) -> Note {
    note(Level::Error, format!("VRRP child process({pid}) process failed to die - forcing termination"))
}
/// The core sent an invalid message, or accepts no more messages.
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
/// The core takes long to answer to a new configuration.
pub fn not_answered(after: Duration) -> Note {
    let text = format!("Reload: the VRRP process has not answered for {}; it may still put it in force", span(after));
    note(Level::Error, text)
}
/// The core's answer to the new configuration.
pub fn reloaded(done: bool, text: &str) -> Note {
    match done {
        true => note(Level::Notice, format!("Reloaded: {text}")),
        false => reload_refused(text),
    }
}
/// The virtual servers of the file, which are read after the start.
pub fn no_servers(why: &dyn core::fmt::Display) -> Note {
    let text = format!(
        "the virtual servers of the configuration are not served: {why}; the virtual routers run. Correct it, then reload"
    );
    note(Level::Error, text)
}
/// The helper of the core ended without a request.
pub fn helper_died(pid: u32, how: End) -> Note {
    note(Level::Error, format!("helper process({pid}) died: Respawning ({})", end(how)))
}
/// Another helper was started, after one that ended or could not be started.
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
/// The shell ran a script because it has no `#!` line; keepalived's wording.
pub fn shebang(path: &str) -> Note {
    note(Level::Warning, format!("Please add a #! shebang to script {path}"))
}
/// The result of the process that removes addresses.
pub fn removed(how: End) -> Note {
    match how {
        End::Exited(0) => note(Level::Notice, "the virtual addresses were removed".to_owned()),
        other => note(Level::Error, format!("removing the virtual addresses failed ({})", end(other))),
    }
}
/// The upgrade begins: the program is checked.
pub fn upgrading(path: &std::path::Path) -> Note {
    note(Level::Notice, format!("Upgrading: {} is asked to go on", path.display()))
}
/// The upgrade was refused; nothing changed.
pub fn upgrade_refused(why: &str) -> Note {
    note(Level::Error, format!("Upgrade refused: {why}; what runs goes on"))
}
/// The upgrade is complete.
pub fn upgraded(pid: u32) -> Note {
    note(Level::Notice, format!("Upgraded to Kalived v{}: VRRP process {pid} goes on", env!("CARGO_PKG_VERSION")))
}
/// A hand-over is requested: the program that would be started next reads the configuration first.
pub fn handover_asked() -> Note {
    note(Level::Notice, "Asked to hand over: the configuration is read first".to_owned())
}
/// There is no hand-over. `stops`: the requester has decided that this process ends.
pub fn handover_refused(why: &str, stops: bool) -> Note {
    let then = if stops { "stopping instead, and the addresses are removed" } else { "what runs goes on" };
    note(Level::Error, format!("Hand-over refused: {why}; {then}"))
}
/// The state was not kept; the core is frozen already.
pub fn state_not_kept(why: &str) -> Note {
    note(Level::Error, format!("the state could not be kept ({why}): the next kalived starts as any other"))
}
/// The core freezes for the process that is started next.
pub fn handing_over() -> Note {
    note(Level::Notice, "Handing over: no farewell is sent; the addresses stay until another kalived is in charge, or a peer may take over".to_owned())
}
/// There is no control socket: `kalived reload` and the like cannot reach the guard.
pub fn no_socket(path: &std::path::Path, e: &io::Error) -> Note {
    note(
        Level::Error,
        format!("no socket for commands at {}: {e}; `kalived reload` and its like cannot be used", path.display()),
    )
}
/// The keyword of the first script.
pub const STARTUP: &str = "startup_script";
/// The keyword of the last script.
pub const SHUTDOWN: &str = "shutdown_script";
/// The script failed, or could not be started.
pub fn around_ended(word: &str, end: ChildEnd) -> Note {
    let how = match end {
        ChildEnd::Exited(code) => format!("exited with status {code}"),
        ChildEnd::Signaled(signal) => format!("ended by signal {signal}"),
        ChildEnd::NotStarted(e) => format!("could not be started: {}", errno(e)),
    };
    note(Level::Warning, format!("{word} {how}"))
}
/// The script takes too long.
pub fn around_too_slow(word: &str) -> Note {
    note(Level::Warning, format!("{word} has not ended within {word}_timeout: killed"))
}
/// A dump file is requested.
pub fn dumping(kind: Kind, pid: u32) -> Note {
    note(Level::Info, format!("{} for process({pid}) on signal", kind.printing()))
}
/// The dump file cannot be written.
pub fn not_dumped(kind: Kind, why: &str) -> Note {
    note(Level::Warning, format!("the {} file is not written: {why}", kind.word()))
}
/// A signal that has an effect in keepalived and none in kalived.
pub fn unused_signal(s: u8) -> Note {
    let what = match s {
        64 => "(keepalived: print threads) has no meaning here",
        _ => "has no meaning here",
    };
    note(Level::Info, format!("signal {s} {what}: ignored; `kalived status` prints how things are"))
}
/// Any other failure that does not end the guard.
pub fn failed(what: &str, e: &dyn core::fmt::Display) -> Note {
    note(Level::Error, format!("{what}: {e}"))
}
/// `reload_file` could not be made or removed.
pub fn no_reload_file(path: &str, e: &dyn core::fmt::Display) -> Note {
    note(Level::Warning, format!("reload_file {path}: {e}; the reload goes on"))
}
/// Sysctls that a kalived left changed were put back.
pub fn sysctls_back(n: usize) -> Note {
    note(Level::Notice, format!("put back {n} sysctls that a kalived which was killed had changed"))
}
