//! The process of the loop, from its exec to its exit: its descriptors from the guard, the ring, the world.
//!
//! Its descriptors: 3 the line to the guard, 4 the configuration's image, 5 the snapshot file, 6 the line to the helper, 7 the file that
//! shows a successor.

use super::exec::Exec;
use super::handover::Kept;
use super::log::Sink;
use super::needed;
use super::run;
use super::streams::{self, Streams};
use crate::effect::{Effect, Effects};
use crate::event::{Event, LvsEv};
use crate::exit::ExitCode;
use crate::lvs::check::CONNECTIONS;
use crate::lvs::sync;
use crate::note::{Level, Note};
use crate::process::args;
use crate::process::image::image_with_header;
use crate::process::line::Target;
use crate::process::log::{Log, say};
use crate::process::parts::Parts;
use crate::process::slots::Slots;
use crate::record::{self, Tape};
use crate::sys::op::Fd;
use crate::sys::privilege::{Files, cap};
use crate::sys::ring::{self, NoRing, Ring};
use crate::sys::{child, clock, daemonize, limits, namespace, netlink, poll, privilege, sched, sections, signal};
use crate::time::Duration;
use crate::world::World;
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;

/// The guard's arguments.
struct Words {
    target: Target,
    detail: bool,
    standby: bool,
    detach: bool,
}

impl Words {
    fn of(words: &[String]) -> Words {
        let has = |word| args::has(words, word);
        Words {
            target: args::target(words),
            detail: has(args::DETAIL),
            standby: has(args::STANDBY),
            detach: has(args::DETACH),
        }
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
            // Nothing here is due any more. The kernel takes 1.5 ms to free locked memory, and the core that continued after this one
            // must not wait for that behind an equal priority.
            let _ = sched::change_class(None);
            code
        }
        Err((why, code)) => {
            say(&why);
            // The terminal of the command must be released.
            if words.target != Target::Console {
                let text = format!("could not start: {why}");
                Log::new(words.target, words.detail).note(&Note { level: Level::Error, text });
            }
            code
        }
    }
}

/// Open files at a time.
const FILES: u64 = streams::MOST as u64 + streams::REST;

/// How often, and how many milliseconds apart, memory for a ring is asked for: altogether far less than the 3 s in which a peer takes over
/// by default, and more than the kernel takes to free a ring.
const RING_TRIES: usize = 20;
const RING_PAUSE_MS: i32 = 10;
/// How long a core joins multicast groups itself: until its sockets are open, with time to spare.
const STARTING: Duration = Duration::from_secs(1);

type Refused = (String, ExitCode);

fn start(words: &Words) -> Result<(Exec, World), Refused> {
    let internal = |e: &dyn core::fmt::Display| (format!("not started by the guard: {e}"), ExitCode::Internal);
    let [line, image, snapshot, helper, witness] = child::inherited::<5>().map_err(|e| internal(&e))?;
    let image = File::from(image);
    let (config, header) = image_with_header(&image).map_err(|e| internal(&e))?;
    let mut notes = Vec::new();
    let mut exec = open(words, line, snapshot, &mut notes)?;
    let process = config.global.process.clone();
    let synced = sync::is_configured(&config);
    let ipvs_namespace = config.root.net_namespace_ipvs.clone();
    if let Some(name) = config.global.more.core_name() {
        child::set_name_to(name);
    }
    let host = crate::sys::host::short_name();
    let tape = Tape::new(&config, words.standby, &host, record::segment(config.instances.len()));
    let uses_more = needed::uses_more(&config);
    let mut world = if words.standby { World::standby(config) } else { World::new(config) };
    world.set_zone(clock::utc_offset);
    world.set_host(&host);
    world.record(tape);
    if let Some(name) = ipvs_namespace.as_deref() {
        let socket = namespace::within(name, netlink::open_generic)
            .map_err(|e| (format!("the own network namespace cannot be entered again: {e}"), ExitCode::Fatal))?;
        if let Err(e) = &socket {
            let shown = if name.is_empty() { "of the first process" } else { name };
            notes.push((Level::Error, format!("network namespace {shown}: {e}: virtual servers are not set")));
        }
        exec.ipvs.give(socket);
    }
    exec.attach_helper(helper);
    exec.join_alone_until(clock::mono() + STARTING);
    exec.witness = Some(witness.into());
    let outcome = sched::apply(&sched::Wanted {
        rt_priority: process.rt_priority,
        nice: process.nice,
        rttime: process.rlimit_rttime,
        cpus: process.cpu_affinity,
    });
    if uses_more {
        sections::keep(sections::Part::More);
    }
    exec.rt_priority = outcome.rt_priority;
    if !outcome.done.is_empty() {
        notes.push((Level::Info, outcome.done.join(", ")));
    }
    notes.extend(outcome.refused.into_iter().map(|l| (Level::Warning, l)));
    let parts = Parts::new(image, &header);
    exec.inbox.extend(make_room(&mut exec.streams, parts.any(), &mut notes));
    let offered = exec.offer(parts, synced);
    exec.inbox.extend(offered);
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

/// As many connections as the limit of open files allows; the rest is for adverts and the kernel. `Some`: how many health checks may have,
/// where that is fewer than usual. `checks`: there may be some.
fn make_room(streams: &mut Streams, checks: bool, notes: &mut Vec<(Level, String)>) -> Option<Event<'static>> {
    let files = limits::raise_files(FILES);
    if files >= FILES {
        return None;
    }
    let [all, of_checks] = streams::fitting(files);
    streams.limit(all);
    let text = format!(
        "the limit of open files is {files}: health checks have at most {of_checks} connections at a time, and others wait for their turn; \
         with LimitNOFILE={FILES} of the unit (ulimit -Hn) they have {CONNECTIONS}"
    );
    notes.push((if checks { Level::Warning } else { Level::Info }, text));
    Some(Event::Lvs(LvsEv::Room(of_checks)))
}

/// Keeps the capabilities that the loop needs while it runs: for addresses and sockets, and for its priority and locked memory, which may
/// be set again. It receives packets from untrusted hosts, so it keeps no access to files, and starts no program itself.
fn confine() {
    privilege::keep_only(&[cap::NET_ADMIN, cap::NET_RAW, cap::IPC_LOCK, cap::SYS_NICE]);
    privilege::leave_files(Files::Kernel);
    privilege::hide();
}

/// The loop, on a ring as large as the limit of locked memory allows. The kernel still counts the ring of a core that was killed, and one
/// that left no room for the buffers, for a moment.
fn engine(signals: &Fd, sink: impl Fn() -> Sink) -> Result<Exec, Refused> {
    let several_cpus = std::thread::available_parallelism().is_ok_and(|n| n.get() > 1);
    let mut most = ring::SQ_ENTRIES;
    let mut refused = None;
    for _ in 0..RING_TRIES {
        let none = match Ring::at_most(most) {
            Ok(ring) => {
                let entries = ring.entries();
                match Exec::new(ring, signals.clone(), sink(), several_cpus) {
                    Err(e) if e.kind() == ErrorKind::OutOfMemory => {
                        most = entries / 2;
                        NoRing::from(e)
                    }
                    Err(e) => {
                        let code = match e.kind() {
                            ErrorKind::PermissionDenied => ExitCode::Permission,
                            _ => ExitCode::Fatal,
                        };
                        return Err((format!("the sockets every run needs could not be opened: {e}"), code));
                    }
                    Ok(exec) => return Ok(exec),
                }
            }
            Err(none) => none,
        };
        let again = none.for_memory;
        refused = Some((none.to_string(), ExitCode::NoUring));
        if !again {
            break;
        }
        let _ = poll::readable(&[], RING_PAUSE_MS);
    }
    // There was one try at least.
    Err(refused.unwrap_or((String::new(), ExitCode::NoUring)))
}

fn open(words: &Words, line: OwnedFd, snapshot: OwnedFd, notes: &mut Vec<(Level, String)>) -> Result<Exec, Refused> {
    let signals = signal::install().map_err(|e| (format!("no signals: {e}"), ExitCode::Fatal))?;
    let mut exec = engine(&signals, || Sink::new(words.target.clone(), words.detail))?;
    let ring = exec.os();
    notes.push((if ring.is_small() { Level::Warning } else { Level::Detail }, ring.describe()));
    exec.connect_guard(line, words.standby);
    let mut slots = Slots::new(snapshot.into());
    if !words.standby
        && let Ok(Some(shot)) = slots.newest()
    {
        // Of the state of a core that died too often only what it left in the file system is used.
        exec.inherit_fifos(&shot.fifos);
    }
    exec.kept = Some(Kept::new(slots));
    Ok(exec)
}

/// Writes the last line of the log, within a time limit.
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
