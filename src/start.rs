//! From the command line to the guard's first turn, and back with an exit code.
//!
//! The order matters: errors are found while standard error is still the operator's terminal (the configuration, permissions, the pid
//! file; then the core's ring), and the background command waits until the core runs.

use crate::cli::tools::{self, default_file};
use crate::cli::{self, Options, Parsed, client};
use crate::config::Loaded;
use crate::config::files::STDIN;
use crate::config::image;
use crate::config::model::Config;
use crate::config::verdict::Wanted;
use crate::daemon::core;
use crate::exit::ExitCode;
use crate::guard::answers::Answers;
use crate::guard::ctl::Server;
use crate::guard::handover::snapshot_path;
use crate::guard::role::Roles;
use crate::guard::state::CHECK;
use crate::guard::systemd::{self, Notifier};
use crate::guard::upgrade::STORED;
use crate::guard::{Guard, Made, dump, inherit, text, vips};
use crate::note::{Level, Note};
use crate::process::args;
use crate::process::entry;
use crate::process::line::{SYSLOG, Target, choose_facility};
use crate::process::log::{Log, say};
use crate::process::proto::ToCore;
use crate::process::request::socket_path;
use crate::process::slots::{Slots, is_slots};
use crate::process::sysctls;
use crate::sys::child::Reports;
use crate::sys::daemonize::{self, Start};
use crate::sys::lockfile::{self, Lock, Open, Refused, is_left_over, open_own};
use crate::sys::pidfile::PidFile;
use crate::sys::{child, clock, giveback, limits, logfd, memfd, namespace, sched, signal, unixsock};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

// A process that may have read a large configuration ends: a reload has one, beside the adverts of the core.
fn after_reading(code: ExitCode) -> ! {
    let _ = std::io::stdout().flush();
    giveback::exit(code as u8)
}

/// The whole program; returns its exit code.
pub fn program() -> u8 {
    sched::small_pages();
    let words: Vec<String> = std::env::args_os().map(|a| a.to_string_lossy().into_owned()).collect();
    // After an exec of /proc/self/exe the name is "exe".
    if words.first().is_some_and(|a| a.starts_with("kalived: ")) {
        child::set_name(c"kalived");
    }
    if let Some((role, rest)) = words.get(1..).and_then(<[String]>::split_first) {
        match role.as_str() {
            args::CORE => return core::role(rest) as u8,
            args::REMOVE => return vips::role(rest) as u8,
            args::DUMP => return dump::role(rest) as u8,
            CHECK => return inherit::check() as u8,
            _ => {}
        }
    }
    if let Some(rest) = genhash_words(&words) {
        return cli::genhash::main(rest) as u8;
    }
    if let Some(number) = cli::facility(std::env::args_os()) {
        choose_facility(number);
    }
    if let Some(code) = inherit::guard() {
        return code;
    }
    let code = match cli::parse(std::env::args_os()) {
        Parsed::Say(text, code) => {
            // An error of this write is ignored: a closed standard error is the caller's choice.
            let _ = write!(std::io::stderr(), "{text}");
            code
        }
        Parsed::List(text) => {
            // A reader that closed the pipe early, such as `| head`, is no failure.
            let _ = write!(std::io::stdout(), "{text}");
            ExitCode::Ok
        }
        Parsed::Run(options) => return start(&options),
        Parsed::Helper => crate::helper::main(),
        Parsed::Ask(ask, report) => after_reading(client::run(&ask, &report)),
        Parsed::Tool(tool, report) => after_reading(tools::run(&tool, &report)),
    };
    code as u8
}

// `genhash ...`, `kalived genhash ...`, and keepalived's `--genhash ...` and `-T ...`.
fn genhash_words(words: &[String]) -> Option<&[String]> {
    let (name, rest) = words.split_first()?;
    if Path::new(name).file_name().is_some_and(|n| n == "genhash") {
        return Some(rest);
    }
    let (first, rest) = rest.split_first()?;
    matches!(first.as_str(), "genhash" | "--genhash" | "-T").then_some(rest)
}

fn start(options: &Options) -> u8 {
    let log_to = target(options);
    // Nobody may look at standard error: what ends the start is in the log as well. The journal has both.
    let refused = |notes: &[Note]| {
        if matches!(log_to, Target::Syslog(_)) && !logfd::stderr_is_journal() {
            let mut log = Log::new(log_to.clone(), options.detail);
            notes.iter().for_each(|n| log.note(n));
        }
    };
    let fails = |why: &str| {
        say(why);
        refused(&[Note { level: Level::Error, text: why.to_owned() }]);
    };
    let path = options.file.clone().unwrap_or_else(default_file);
    if let Some(log) = &options.test {
        return tools::test(&path, &options.report, log.as_deref(), options.namespace.as_deref()) as u8;
    }
    if path == STDIN {
        fails(
            "a configuration from standard input can be tested (-t) or printed (--dump-conf), not run: a reload reads it again",
        );
        return ExitCode::Fatal as u8;
    }
    // The file is read again later, when the working directory has changed.
    let file = std::path::absolute(&path).map_or(path.clone(), |p| p.to_string_lossy().into_owned());
    let kept = snapshot_path(&lockfile::lock_path(&options.pid_file));
    let namespace_of = |loaded: &Loaded| {
        options.namespace.clone().or_else(|| loaded.config.root.net_namespace.as_deref().map(str::to_owned))
    };
    // The virtual routers start first where no command waits for messages about the rest, and no process before this one has left virtual
    // servers that are to stay.
    let fresh = !kept.exists() && systemd::stored(&|name| std::env::var(name).ok(), std::process::id()).is_empty();
    let quick = (options.foreground && fresh).then(|| tools::read_quickly(&path, &options.report)).flatten();
    // Where it runs decides where a process before this one left what is to stay.
    let quick = quick.filter(|loaded| options.namespace.is_some() || namespace_of(loaded).is_none());
    let incomplete = quick.is_some();
    let mut loaded = quick.unwrap_or_else(|| tools::read(&path, &options.report));
    let mut pid_path = options.pid_file.clone();
    if let Some(name) = namespace_of(&loaded).filter(|_| loaded.fatal().is_none()) {
        if let Err((why, code)) = enter(&name) {
            fails(&why);
            return code as u8;
        }
        if options.pid_by_default {
            pid_path = cli::pid_file_in(&name);
        }
    }
    tools::look(&mut loaded, &options.report, tools::For::Run, options.namespace.as_deref());
    let entries = entry::entries(&loaded);
    let fatal = loaded.fatal();
    let may = loaded.may_run(Wanted::Start);
    match (logfd::stderr_is_journal(), fatal) {
        // The log contains the result.
        (true, None) => {}
        (true, Some(_)) => entries.iter().for_each(|n| drop(writeln!(std::io::stderr(), "{}", entry::write(n)))),
        (false, None) if options.console => {}
        (false, _) => {
            let _ = write!(std::io::stderr(), "{}", loaded.render(tools::colour(&options.report)));
            if !loaded.diags.is_empty() {
                let _ = writeln!(std::io::stderr(), "{}", loaded.summary(Wanted::Start));
            }
        }
    }
    if let Err(code) = may {
        refused(&entries);
        refused(&[Note { level: Level::Error, text: loaded.summary(Wanted::Start) }]);
        return code as u8;
    }
    if options.foreground {
        // Not while the file is read: a read that waits for a pipe can be interrupted.
        signal::hold();
    }
    if let Err(why) = permitted() {
        fails(&why);
        return ExitCode::Permission as u8;
    }
    if let Err(why) = descriptors() {
        fails(&why);
        return ExitCode::Fatal as u8;
    }
    let running = |path: &Path| {
        fails(&format!("daemon is already running ({} is locked)", path.display()));
        ExitCode::Fatal as u8
    };
    let lock_file = lockfile::lock_path(&pid_path);
    let lock = match Lock::take(&lock_file) {
        Ok(lock) => Ok(lock),
        Err(Refused::Running) => return running(&lock_file),
        // Addresses have precedence over a file.
        Err(Refused::Io(e)) => Err(format!(
            "no lock file {}: {e}; another kalived may be started beside this one, and `kalived handover` is refused",
            lock_file.display()
        )),
    };
    let pid_file = match PidFile::lock(&pid_path) {
        Ok(p) => Ok(p),
        Err(Refused::Running) => return running(&pid_path),
        // Only scripts use the pid file.
        Err(Refused::Io(e)) => Err(format!("no pid file {}: {e}", pid_path.display())),
    };
    // Going into the background changes the working directory.
    let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
    let (kept, socket) = (absolute(snapshot_path(&lock_file)), absolute(socket_path(&pid_path)));
    let report = match options.foreground {
        true => Start::foreground(),
        false => match daemonize::background() {
            Ok(start) => start,
            Err(e) => {
                fails(&format!("could not go into the background: {e}"));
                return ExitCode::Fatal as u8;
            }
        },
    };
    // In the background only from here on: the command that waits for the start can be interrupted.
    signal::hold();
    let target = log_to.clone();
    let mut log = Log::new(target.clone(), options.detail);
    log.note(&text::starting(&path));
    let mut warnings = options.ignored.clone();
    let no_pid_file = |e| format!("no pid file {}: {e}", pid_path.display());
    let pid_file = pid_file.and_then(|p| p.written().map_err(no_pid_file));
    warnings.extend(pid_file.as_ref().err().cloned());
    warnings.extend(lock.as_ref().err().cloned());
    for text in warnings {
        log.note(&Note { level: Level::Warning, text });
    }
    entries.iter().for_each(|n| log.note(n));
    if !incomplete && let Err(text) = cli::saved::save(&loaded) {
        log.note(&Note { level: Level::Warning, text });
    }
    let made = image_file(&loaded.config).and_then(|image| {
        sched::apply_to_guard(loaded.config.global.process.rt_priority);
        let startup = loaded.config.global.more.startup_script.is_some();
        if let Some(name) = &loaded.config.global.more.process_name {
            child::set_name_to(name);
        }
        let roles = Roles {
            exe: std::env::current_exe().map_err(|e| format!("/proc/self/exe: {e}"))?,
            file,
            report: options.report.clone(),
            target,
            detail: options.detail,
            background: !options.foreground,
        };
        let env = |name: &str| std::env::var(name).ok();
        let (snapshot, go) = snapshot(&env, &kept, &mut log)?;
        // A kalived that goes on from another one has these values in its state.
        if go.is_none()
            && let Ok(lock) = &lock
        {
            let path = sysctls::path(lock.path());
            match sysctls::put_back(&path) {
                Ok(0) => {}
                Ok(n) => log.note(&text::sysctls_back(n)),
                Err(e) => log.note(&text::failed(&format!("{} is not used", path.display()), &e)),
            }
        }
        let server = Server::listen(&socket).map_err(|e| log.note(&text::no_socket(&socket, &e))).ok();
        let guard = Guard::new(Made {
            roles,
            log,
            lock: lock.ok(),
            pid_file: pid_file.ok(),
            core_pid_path: options.core_pid_file.as_ref().and_then(|p| std::path::absolute(p).ok()),
            checkers_pid_path: options.checkers_pid_file.as_ref().and_then(|p| std::path::absolute(p).ok()),
            signals: signal::install_with_children().map_err(|e| format!("no signals: {e}"))?,
            reports: Reports::new().map_err(|e| e.to_string())?,
            image,
            snapshot,
            answers: Answers::new(server, Notifier::from_env(&env)),
            never: options.dont_respawn,
            startup,
            rest: Some(Box::new(loaded)),
            incomplete,
            notes: entries.into_iter().filter(entry::says_once).map(|n| n.text).collect(),
        });
        Ok((guard, go))
    });
    match made {
        Ok((guard, go)) => guard.run(report, go),
        Err(why) => {
            fails(&why);
            report.failed(ExitCode::Fatal as u8);
            ExitCode::Fatal as u8
        }
    }
}

/// The snapshot file: the one that systemd kept, or the one beside the pid file if a kalived handed over; and the message for the core.
/// The core decides whether the snapshot can be used.
fn snapshot(
    env: &dyn Fn(&str) -> Option<String>,
    path: &Path,
    log: &mut Log,
) -> Result<(File, Option<ToCore>), String> {
    let file = memfd::create("kalived snapshot").map_err(|e| e.to_string())?;
    let mut slots = Slots::new(file.try_clone().map_err(|e| e.to_string())?);
    let mut found = None;
    // A snapshot that cannot be read is logged, and the addresses of the previous kalived are removed as left-overs.
    let newest = |file: File, whose: &str, log: &mut Log| {
        let found = Slots::new(file).newest();
        found.unwrap_or_else(|why| {
            log.note(&text::failed(&format!("{whose} is not used"), &why));
            None
        })
    };
    for (number, name) in systemd::stored(env, std::process::id()) {
        let Ok(fd) = unixsock::inherited(number) else { continue };
        if name == STORED {
            found = newest(fd.into(), "the state that systemd kept", log);
        }
    }
    match open_own(path, Open::Read) {
        Ok(kept) if is_left_over(&kept, is_slots).is_err() => {
            let what = format!("{} is not used", path.display());
            log.note(&text::failed(&what, &"a file is there that kalived did not write"));
        }
        Ok(kept) => {
            // A snapshot is used once: for another start it would be out of date.
            let _ = std::fs::remove_file(path);
            let whose = path.display().to_string();
            found = found.or_else(|| newest(kept, &whose, log));
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => log.note(&text::failed(&format!("{} is not used", path.display()), &e)),
    }
    let Some(shot) = found.filter(|s| s.at <= clock::mono().0) else { return Ok((file, None)) };
    slots.write(&shot)?;
    let dead_since = (!shot.last).then_some(shot.at);
    Ok((file, Some(ToCore::Go { dead_since })))
}

/// The image of the configuration for the core.
fn image_file(config: &Config) -> Result<File, String> {
    let bytes = image::encode(config).map_err(|e| e.to_string())?;
    let file = memfd::create("kalived image").map_err(|e| format!("no memory for the configuration: {e}"))?;
    file.write_all_at(&bytes, 0).and_then(|()| memfd::seal(&file)).map_err(|e| e.to_string())?;
    Ok(file)
}

/// The destination of log lines. In a container without a syslog daemon: in the foreground, standard error is read.
fn target(options: &Options) -> Target {
    let no_syslog = options.no_syslog || !Path::new(SYSLOG).exists();
    match (options.console, options.foreground, no_syslog) {
        (true, _, _) => Target::Console,
        (false, true, true) if !options.no_syslog => Target::Console,
        _ if options.no_syslog => Target::Nowhere,
        _ => Target::Syslog(SYSLOG.to_owned()),
    }
}

/// Moves this process, and with it all that it starts, to the network namespace.
fn enter(name: &str) -> Result<(), (String, ExitCode)> {
    if namespace::is_current(name) {
        return Ok(());
    }
    namespace::enter(name).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => {
            (format!("network namespace {name} does not exist: `ip netns add {name}` makes it"), ExitCode::Fatal)
        }
        std::io::ErrorKind::InvalidInput => {
            (format!("network namespace {name}: this is no name of a network namespace"), ExitCode::Fatal)
        }
        std::io::ErrorKind::PermissionDenied => {
            (format!("network namespace {name}: {e}: CAP_SYS_ADMIN is needed"), ExitCode::Permission)
        }
        _ => (format!("network namespace {name}: {e}"), ExitCode::Fatal),
    })
}

/// Whether programs can be started with the limit of open files.
fn descriptors() -> Result<(), String> {
    // Raised as far as it is allowed. The core asks for more when it knows what is configured.
    let (files, least) = (limits::raise_files(child::LEAST_FILES), child::LEAST_FILES);
    match files < least {
        true => Err(format!(
            "at most {files} open files are allowed, and {least} are needed: raise the limit (ulimit -n, LimitNOFILE= of the unit)"
        )),
        false => Ok(()),
    }
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
