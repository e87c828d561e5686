//! From the command line to the first turn, and back out with an exit code.
//!
//! The order matters: everything that can be wrong is found while standard error is still the operator's terminal (the
//! configuration, permissions, the pid file, the ring), and the ring is made by the process that stays.

use super::exec::Exec;
use super::log::{Sink, Target};
use super::{run, tools};
use crate::cli::{self, Options, Parsed};
use crate::effect::{Effect, Effects};
use crate::exit::ExitCode;
use crate::note::{Level, Note};
use crate::sys::daemonize::{self, Start};
use crate::sys::pidfile::{PidFile, Refused};
use crate::sys::ring::Ring;
use crate::sys::{clock, sched, signal};
use crate::world::World;
use std::io::Write;
use std::path::Path;

/// The socket of the syslog daemon.
const SYSLOG: &str = "/dev/log";

/// The whole program.
pub fn program() -> ExitCode {
    match cli::parse(std::env::args_os()) {
        Parsed::Say(text, code) => {
            // Nothing else to do than to say it: a closed standard error is the caller's choice.
            let _ = write!(std::io::stderr(), "{text}");
            code
        }
        Parsed::List(text) => {
            // A reader that has seen enough, as `| head` has, is no failure.
            let _ = write!(std::io::stdout(), "{text}");
            ExitCode::Ok
        }
        Parsed::Helper => crate::helper::main(),
        Parsed::Run(options) => start(&options),
        Parsed::Ask(ask, report) => crate::guard::client::run(&ask, &report),
        Parsed::Tool(tool, report) => tools::run(&tool, &report),
    }
}

pub(super) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "kalived: {text}");
}

fn start(options: &Options) -> ExitCode {
    let path = options.file.clone().unwrap_or_else(default_file);
    if let Some(log) = &options.test {
        return tools::test(&path, &options.report, log.as_deref());
    }
    let mut loaded = tools::read(&path, &options.report);
    tools::look(&mut loaded, &options.report, tools::For::Run);
    let text = loaded.render(false);
    // With -l the log says it.
    let fatal = loaded.fatal();
    if fatal.is_some() || !options.console {
        let _ = write!(std::io::stderr(), "{}", loaded.render(tools::colour(&options.report)));
    }
    if let Some(code) = fatal {
        return code;
    }
    if let Err(why) = permitted() {
        say(&why);
        return ExitCode::Permission;
    }
    let mut pid_file = match PidFile::lock(&options.pid_file) {
        Ok(p) => Ok(p),
        Err(Refused::Running) => {
            say(&format!("daemon is already running ({} is locked)", options.pid_file.display()));
            return ExitCode::Fatal;
        }
        // Of use to scripts only; addresses are more important than a file.
        Err(Refused::Io(e)) => Err(format!("no pid file {}: {e}", options.pid_file.display())),
    };
    let report = match options.foreground {
        true => Start::foreground(),
        false => match daemonize::background() {
            Ok(start) => start,
            Err(e) => {
                say(&format!("could not go into the background: {e}"));
                return ExitCode::Fatal;
            }
        },
    };
    let mut notes = Vec::new();
    if let Err(why) = pid_file.as_mut().map_err(|e| e.clone()).and_then(|p| p.write().map_err(|e| e.to_string())) {
        notes.push((Level::Warning, why));
    }
    let mut exec = match open(options, &mut notes) {
        Ok(exec) => exec,
        Err((why, code)) => {
            say(&why);
            drop(pid_file);
            report.failed(code as u8);
            return code;
        }
    };
    let process = &loaded.config.global.process;
    let outcome = sched::apply(&sched::Wanted {
        rt_priority: process.rt_priority,
        nice: process.nice,
        rttime: process.rlimit_rttime,
        cpus: process.cpu_affinity.clone(),
    });
    if !outcome.done.is_empty() {
        notes.push((Level::Info, outcome.done.join(", ")));
    }
    notes.extend(outcome.refused.into_iter().map(|l| (Level::Warning, l)));
    notes.extend(options.ignored.iter().map(|l| (Level::Warning, l.clone())));
    notes.extend(text.lines().map(|l| (Level::Warning, l.to_owned())));
    report.ready();

    let mut fx = Effects::default();
    fx.note(Note {
        level: Level::Notice,
        text: format!("Starting Kalived v{}, configuration {path}", env!("CARGO_PKG_VERSION")),
    });
    for (level, text) in notes {
        fx.note(Note { level, text });
    }
    exec.apply(clock::now(), &mut fx);
    let mut world = World::new(loaded.config);
    world.set_zone(clock::utc_offset);
    let code = run(&mut exec, &mut world);
    finish(&mut exec, code);
    drop(pid_file);
    code
}

/// The last line, and the time to write it.
fn finish(exec: &mut Exec, code: ExitCode) {
    if exec.broken().is_some() {
        return;
    }
    let mut fx = Effects::default();
    fx.note(Note { level: Level::Detail, text: format!("used {:.3} s of CPU", clock::cpu().as_secs_f64()) });
    fx.push(Effect::Exit(code));
    let now = clock::now();
    exec.apply(now, &mut fx);
    while exec.finished_at(clock::mono()).is_none() {
        if exec.wait(None, None, false).is_err() {
            break;
        }
        exec.events(clock::now(), &mut |_| {});
        exec.apply(clock::now(), &mut fx);
    }
}

pub(super) fn default_file() -> String {
    let found = cli::DEFAULT_FILES.iter().find(|f| Path::new(f).exists());
    found.unwrap_or(&cli::DEFAULT_FILES[0]).to_string()
}

fn permitted() -> Result<(), String> {
    let missing = daemonize::missing_capabilities().unwrap_or_default();
    if !missing.is_empty() {
        return Err(format!("missing {}: run it as root, or give it these capabilities", missing.join(" and ")));
    }
    match daemonize::may_open_raw() {
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => Err(format!(
            "a raw socket was refused ({e}) although CAP_NET_RAW is there: it is needed in the user namespace that \
             owns this network namespace"
        )),
        _ => Ok(()),
    }
}

fn open(options: &Options, notes: &mut Vec<(Level, String)>) -> Result<Exec, (String, ExitCode)> {
    clock::load_zone();
    let ring = Ring::new().map_err(|e| (e.to_string(), ExitCode::NoUring))?;
    notes.push((Level::Info, ring.describe()));
    let signals = signal::install().map_err(|e| (format!("no signals: {e}"), ExitCode::Fatal))?;
    // A container without a syslog daemon: in the foreground somebody reads standard error.
    let no_syslog = options.no_syslog || !Path::new(SYSLOG).exists();
    let target = match (options.console, options.foreground, no_syslog) {
        (true, _, _) => Target::Console,
        (false, true, true) if !options.no_syslog => Target::Console,
        _ if options.no_syslog => Target::Nowhere,
        _ => Target::Syslog(SYSLOG.to_owned()),
    };
    Exec::new(ring, signals, Sink::new(target, options.detail)).map_err(|e| {
        let code = match e.kind() {
            std::io::ErrorKind::PermissionDenied => ExitCode::Permission,
            _ => ExitCode::Fatal,
        };
        (format!("the sockets every run needs could not be opened: {e}"), code)
    })
}
