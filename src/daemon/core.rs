//! The loop's process, from its exec to its exit: what the guard gave it, the ring, the world.
//!
//! Its fds: 3 the line to the guard, 4 the configuration's image, 5 where snapshots are kept, 6 the line to the helper, 7 the
//! file by which a successor is seen.

use super::exec::Exec;
use super::handover::Slots;
use super::log::{Sink, Target};
use super::run;
use crate::config::image;
use crate::config::model::Config;
use crate::effect::{Effect, Effects};
use crate::exit::ExitCode;
use crate::guard::log::Log;
use crate::guard::role;
use crate::guard::start::{SYSLOG, say};
use crate::note::{Level, Note};
use crate::record::{SEGMENT, Tape};
use crate::sys::privilege::{Files, cap};
use crate::sys::ring::Ring;
use crate::sys::{child, clock, daemonize, limits, privilege, sched, signal};
use crate::world::World;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

/// What the guard said on the command line.
struct Words {
    target: Target,
    detail: bool,
    standby: bool,
    detach: bool,
}

impl Words {
    fn of(args: &[String]) -> Words {
        let has = |w: &str| args.iter().any(|a| a == w);
        let target = match (has(role::LOGS[1]), has(role::LOGS[2])) {
            (true, _) => Target::Syslog(SYSLOG.to_owned()),
            (_, true) => Target::Nowhere,
            _ => Target::Console,
        };
        Words { target, detail: has(role::DETAIL), standby: has(role::STANDBY), detach: has(role::DETACH) }
    }
}

/// The role; `args` are those behind the role's name.
pub fn role(args: &[String]) -> ExitCode {
    child::set_name(c"kalived");
    clock::load_zone();
    let words = Words::of(args);
    match start(&words) {
        Ok((mut exec, mut world)) => {
            let code = run(&mut exec, &mut world);
            finish(&mut exec, code);
            code
        }
        Err((why, code)) => {
            say(&why);
            // Nobody may be left at the terminal.
            if words.target != Target::Console {
                let text = format!("could not start: {why}");
                Log::new(words.target, words.detail).note(&Note { level: Level::Error, text });
            }
            code
        }
    }
}

/// Open files at a time: the connections, and 512 for everything else (a socket for each interface and family, pipes).
const FILES: u64 = super::streams::MOST as u64 + 512;

type Refused = (String, ExitCode);

fn start(words: &Words) -> Result<(Exec, World), Refused> {
    let internal = |e: &dyn core::fmt::Display| (format!("not started by the guard: {e}"), ExitCode::Internal);
    let [line, image, snapshot, helper, witness] = child::inherited::<5>().map_err(|e| internal(&e))?;
    let config = image_of(&image.into()).map_err(|e| internal(&e))?;
    let mut notes = Vec::new();
    let mut exec = open(words, line, snapshot, &mut notes)?;
    let process = config.global.process.clone();
    let host = crate::sys::host::short_name();
    let tape = Tape::new(&config, words.standby, &host, SEGMENT);
    let mut world = if words.standby { World::standby(config) } else { World::new(config) };
    world.set_zone(clock::utc_offset);
    world.set_host(&host);
    world.record(tape);
    exec.attach_helper(helper);
    exec.witness = Some(witness.into());
    let outcome = sched::apply(&sched::Wanted {
        rt_priority: process.rt_priority,
        nice: process.nice,
        rttime: process.rlimit_rttime,
        cpus: process.cpu_affinity,
    });
    exec.rt_priority = outcome.rt_priority;
    if !outcome.done.is_empty() {
        notes.push((Level::Info, outcome.done.join(", ")));
    }
    notes.extend(outcome.refused.into_iter().map(|l| (Level::Warning, l)));
    let mut fx = Effects::default();
    for (level, text) in notes {
        fx.note(Note { level, text });
    }
    exec.apply(clock::now(), &mut fx);
    if words.detach {
        daemonize::null_stdio();
    }
    confine();
    Ok((exec, world))
}

/// What the loop needs once it runs: addresses and sockets; its priority and locked memory, which may be asked for again. It speaks
/// with strangers, so it keeps no right to any file, and starts no program itself.
fn confine() {
    privilege::keep_only(&[cap::NET_ADMIN, cap::NET_RAW, cap::IPC_LOCK, cap::SYS_NICE]);
    privilege::leave_files(Files::Kernel);
    privilege::hide();
}

fn open(words: &Words, line: OwnedFd, snapshot: OwnedFd, notes: &mut Vec<(Level, String)>) -> Result<Exec, Refused> {
    let ring = Ring::new().map_err(|e| (e.to_string(), ExitCode::NoUring))?;
    notes.push((Level::Detail, ring.describe()));
    let signals = signal::install().map_err(|e| (format!("no signals: {e}"), ExitCode::Fatal))?;
    let several_cpus = std::thread::available_parallelism().is_ok_and(|n| n.get() > 1);
    let mut exec =
        Exec::new(ring, signals, Sink::new(words.target.clone(), words.detail), several_cpus).map_err(|e| {
            let code = match e.kind() {
                std::io::ErrorKind::PermissionDenied => ExitCode::Permission,
                _ => ExitCode::Fatal,
            };
            (format!("the sockets every run needs could not be opened: {e}"), code)
        })?;
    exec.connect_guard(line, words.standby);
    let files = limits::raise_files(FILES);
    if files < FILES {
        notes.push((Level::Info, format!("at most {files} open files, {FILES} were wanted (LimitNOFILE= of the unit)")));
    }
    exec.slots = Some(Slots::new(snapshot.into()));
    Ok(exec)
}

/// The configuration in an image, without its virtual servers: of the file only the header and that section are read, whatever
/// follows them. Bounded by the file; nothing is mapped, for locked memory would be filled with all of it at once.
pub(crate) fn image_of(file: &File) -> Result<Config, String> {
    let failed = |e: std::io::Error| e.to_string();
    let len = file.metadata().map_err(failed)?.len();
    let mut header = [0; image::HEADER];
    let there = header.len().min(usize::try_from(len).unwrap_or(usize::MAX));
    let header = header.get_mut(..there).unwrap_or_default();
    file.read_exact_at(header, 0).map_err(failed)?;
    let header = image::Header::read(header).map_err(|e| e.to_string())?;
    if len != header.image_len() as u64 {
        return Err(format!("an image of {} bytes in a file of {len}", header.image_len()));
    }
    let at = header.vrrp_at();
    let mut section = vec![0; at.len()];
    file.read_exact_at(&mut section, at.start as u64).map_err(failed)?;
    header.vrrp(&section).map_err(|e| e.to_string())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::lvs::VirtualServer;
    use crate::config::model::{Family, InstanceConfig};
    use crate::sys::memfd;

    #[test]
    fn the_bytes_of_the_virtual_servers_are_not_looked_at() {
        let instances = vec![InstanceConfig::new("a", "eth0", 1, Family::V4)];
        let config = Config { instances, virtual_servers: vec![VirtualServer::default(); 10], ..Config::default() };
        let bytes = image::encode(&config).unwrap();
        let of = |bytes: &[u8]| {
            let file = memfd::create("test").unwrap();
            file.write_all_at(bytes, 0).unwrap();
            image_of(&file)
        };
        let vrrp = Config { virtual_servers: Vec::new(), ..config };
        assert_eq!(of(&bytes), Ok(vrrp.clone()));
        let with = |at: usize| {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            of(&bytes)
        };
        assert_eq!(with(bytes.len() - 1), Ok(vrrp));
        assert!(with(image::HEADER).unwrap_err().contains("damaged"));
        assert!(with(12).unwrap_err().contains("damaged"));
        assert!(of(&bytes[..bytes.len() - 1]).unwrap_err().starts_with("an image of "));
        assert!(of(&bytes[..5]).unwrap_err().contains("cut off"));
        assert!(of(b"").is_err());
    }
}
