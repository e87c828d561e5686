//! The lines to the guard and to the helper under the shipped loop: sockets that keep messages apart, and what is at their other ends.
//!
//! A machine makes requests at random, the guard and the helper answer late, the lines are full at times, the helper dies or talks
//! nonsense, and another one follows. Read first: `mod.rs`, `src/daemon/guardline.rs`, `src/daemon/helperline.rs`.
//! `KALIVED_LINE=n cargo test --test sim one_line -- --nocapture` repeats one run.

use super::calls::JOINED_HERE;
use super::run::each_seed;
use super::{EAGAIN, Lie, Op, Rates, SimOs, What, fd_of};
use crate::rng::Rng;
use kalived::daemon::exec::Exec;
use kalived::daemon::log::Sink;
use kalived::daemon::{Machine, Turn};
use kalived::effect::{Effect, Effects, GuardFx, HelperFx, SockFx, SockSpec, SpawnSpec};
use kalived::event::{ChildEnd, Event, GuardEv, HelperEv, SockEv};
use kalived::exit::ExitCode;
use kalived::guard::beat::MISSED;
use kalived::helper::proto::{Ask, Tell};
use kalived::id::{ChildKey, SockKey, WatchKey};
use kalived::knob::{Knob, Set};
use kalived::process::line::Target;
use kalived::process::proto::{PERIOD, ToCore, ToGuard};
use kalived::time::{Duration, Instant, Now, earliest};
use kalived::timers::Due;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

const MS: Duration = Duration::from_millis(1);
/// Seeds of a run of the test command, and those within which a canary must be detected.
const SEEDS: u64 = 400;
const CANARY_SEEDS: u64 = 40;
/// Time within which a request is answered: longer than all delays together.
const PATIENCE: Duration = Duration::from_millis(500);
/// Requests are made for this time.
const LENGTH: Duration = Duration::from_millis(3_000);

/// One socket: what waits to be read, what was sent, whether the other end is closed.
#[derive(Default)]
pub struct Line {
    inbox: VecDeque<Vec<u8>>,
    sent: VecDeque<Vec<u8>>,
    closed: bool,
}

impl SimOs {
    fn open_line(&mut self) -> OwnedFd {
        let fd: OwnedFd = self.null.try_clone().expect("a descriptor is left").into();
        self.lines.insert(fd.as_raw_fd(), Line::default());
        fd
    }
    /// Whether a poll of this descriptor becomes final by itself.
    pub(super) fn line_ready(&self, fd: RawFd, write: bool) -> bool {
        self.lines.get(&fd).is_some_and(|l| write || l.closed || !l.inbox.is_empty())
    }
    fn say(&mut self, fd: RawFd, bytes: Vec<u8>) {
        if let Some(line) = self.lines.get_mut(&fd) {
            line.inbox.push_back(bytes);
            self.poll_again(fd);
        }
    }
    fn hang_up(&mut self, fd: RawFd) {
        if let Some(line) = self.lines.get_mut(&fd) {
            line.closed = true;
            self.poll_again(fd);
        }
    }
    // What a poll of a line waits for may have come.
    fn poll_again(&mut self, fd: RawFd) {
        let waits = |o: &Op| o.pending && matches!(o.what, What::Poll { write: false }) && fd_of(o) == Some(fd);
        let found = self.ops.iter().find(|(_, o)| waits(o)).map(|(k, _)| k);
        if let Some(op) = found {
            self.soon(op);
        }
    }
    pub(super) fn line_send(&mut self, fd: RawFd, bytes: &[u8]) -> io::Result<()> {
        let lost = self.lie == Some(Lie::LoseMessage) && self.rng.permille(20);
        let full = self.happens("line full", self.rates.full);
        match self.lines.get_mut(&fd) {
            Some(line) if line.closed => return Err(io::ErrorKind::BrokenPipe.into()),
            Some(_) if full => return Err(io::Error::from_raw_os_error(-EAGAIN)),
            Some(line) if !lost => line.sent.push_back(bytes.to_vec()),
            Some(_) => {}
            None => return Err(io::ErrorKind::WouldBlock.into()),
        }
        Ok(())
    }
    pub(super) fn line_recv(&mut self, fd: RawFd, buf: &mut [u8]) -> io::Result<Option<usize>> {
        let twice = self.lie == Some(Lie::RepeatMessage) && self.rng.permille(20);
        let Some(line) = self.lines.get_mut(&fd) else { return Ok(None) };
        let Some(bytes) = line.inbox.pop_front() else { return Ok(line.closed.then_some(0)) };
        buf[..bytes.len()].copy_from_slice(&bytes);
        let n = bytes.len();
        if twice {
            line.inbox.push_front(bytes);
        }
        Ok(Some(n))
    }
}

/// The rules, in the order of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rule {
    /// Sysctls that are to be set are answered once, in time while a helper is there, whichever helper that is.
    Knobs,
    /// A helper watches what is watched, each once; what is not watched any more is not reported.
    Watches,
    /// A socket is ready, or failed, once and in time; the loop joins its group itself only where there is no helper.
    Groups,
    /// A program is started and its end reported once, or reported as not started; no signal for it precedes it.
    Programs,
    /// A request for a lull is answered once, in time.
    Lull,
    /// One message says that the process is ready; heartbeats come.
    Beats,
    /// At the end only the operations are in flight that always are.
    Leaks,
}

const ALL: [Rule; 7] = [Rule::Knobs, Rule::Watches, Rule::Groups, Rule::Programs, Rule::Lull, Rule::Beats, Rule::Leaks];

/// The machine above the loop.
struct Requester {
    rng: Rng,
    next: Instant,
    end: Instant,
    last: u64,
    jobs: BTreeMap<u64, Instant>,
    watches: BTreeSet<u64>,
    /// Sockets, and since when they are being opened.
    socks: BTreeMap<SockKey, Option<Instant>>,
    /// Programs, and whether the guard has received the request.
    programs: BTreeMap<u64, bool>,
    wrong: Option<(Rule, String)>,
    demanded: BTreeMap<Rule, u64>,
}

fn key(n: u64) -> u64 {
    1 << 32 | n
}

impl Requester {
    fn demand(&mut self, rule: Rule, is: bool, text: impl FnOnce() -> String) {
        *self.demanded.entry(rule).or_default() += 1;
        if !is && self.wrong.is_none() {
            self.wrong = Some((rule, text()));
        }
    }
    fn request(&mut self, now: Instant, fx: &mut Effects) {
        self.last += 1;
        let n = self.last;
        match self.rng.below(10) {
            0..=2 => {
                let set = vec![Set::to(Knob::ArpIgnore, 1)];
                self.jobs.insert(n, now);
                fx.push(Effect::Helper(HelperFx::SetKnobs { job: n, dev: "eth0".into(), set }));
            }
            3 | 4 => {
                self.watches.insert(key(n));
                let watch = WatchKey::from_bits(key(n)).expect("a name");
                fx.push(Effect::Helper(HelperFx::WatchFile { watch, path: format!("/f/{n}") }));
            }
            5 => {
                if let Some(watch) = self.watches.pop_first() {
                    let watch = WatchKey::from_bits(watch).expect("a name");
                    fx.push(Effect::Helper(HelperFx::Unwatch { watch }));
                }
            }
            6 => {
                let sock = SockKey::from_bits(key(n)).expect("a name");
                self.socks.insert(sock, Some(now));
                let spec = SockSpec::Multicast { ifindex: 2, group: [224, 0, 0, 18].into(), ah: false };
                fx.push(Effect::Sock(SockFx::Open { sock, spec }));
            }
            7 => {
                let some = self.rng.below(self.socks.len().max(1) as u64) as usize;
                if let Some(sock) = self.socks.keys().nth(some).copied() {
                    self.socks.remove(&sock);
                    fx.push(Effect::Sock(SockFx::Close { sock }));
                }
            }
            8 => {
                self.programs.insert(key(n), false);
                let child = ChildKey::from_bits(key(n)).expect("a name");
                let argv = vec!["/bin/true".to_owned()];
                let spec = Box::new(SpawnSpec { argv, env: Vec::new(), uid: 0, gid: 0, alone: false });
                fx.push(Effect::Guard(GuardFx::Spawn { child, spec }));
            }
            _ => {
                if let Some(bits) = self.programs.keys().next_back().copied() {
                    let child = ChildKey::from_bits(bits).expect("a name");
                    fx.push(Effect::Guard(GuardFx::Kill { child, hard: self.rng.permille(500) }));
                }
            }
        }
    }
}

impl Machine for Requester {
    fn handle(&mut self, _: Now, event: Event<'_>, _: &mut Effects) {
        match event {
            Event::Helper(HelperEv::Knobs { job, .. }) => {
                let known = self.jobs.remove(&job).is_some();
                self.demand(Rule::Knobs, known, || format!("job {job} is answered, and waits for no answer"));
            }
            Event::Helper(HelperEv::FileRead { watch, .. }) => {
                let known = self.watches.contains(&watch.to_bits());
                self.demand(Rule::Watches, known, || format!("{watch:?} is reported, and is not watched"));
            }
            Event::Sock(SockEv::Ready { sock, result }) => {
                let opening = match result {
                    Ok(()) => self.socks.insert(sock, None),
                    Err(_) => self.socks.remove(&sock),
                };
                self.demand(Rule::Groups, matches!(opening, Some(Some(_))), || {
                    format!("{sock:?} is ready: {result:?}")
                });
            }
            Event::Guard(GuardEv::ChildExit { child, end }) => {
                let started = !matches!(end, ChildEnd::NotStarted(_));
                let known = self.programs.remove(&child.to_bits());
                let text = || format!("{child:?} ended with {end:?}; requested, and received by the guard: {known:?}");
                self.demand(Rule::Programs, known == Some(started), text);
            }
            _ => {}
        }
    }
    fn fire(&mut self, now: Now, _: usize, fx: &mut Effects) -> bool {
        if now.mono < self.next {
            return false;
        }
        self.next = now.mono + Duration::from_nanos(self.rng.range(100_000, 8_000_000));
        if now.mono < self.end {
            for _ in 0..self.rng.below(4) {
                self.request(now.mono, fx);
            }
        } else if now.mono > self.end + PATIENCE * 4 {
            fx.push(Effect::Exit(ExitCode::Ok));
        }
        false
    }
    fn next_deadline(&self) -> Option<(Instant, Due)> {
        Some((self.next, Due::GarpQueue))
    }
}

/// The first process.
struct Guard {
    fd: RawFd,
    ready: bool,
    beat: Instant,
    ends: Vec<(Instant, u64)>,
    asked: Option<Instant>,
    /// Signalled before they were started.
    early: BTreeSet<u64>,
}

impl Guard {
    fn act(&mut self, os: &mut SimOs, machine: &mut Requester, rng: &mut Rng) {
        let now = os.now;
        for bytes in core::mem::take(&mut os.lines.get_mut(&self.fd).expect("open").sent) {
            let message = ToGuard::decode(&bytes);
            // The guard takes any message for a heartbeat.
            self.beat = now;
            if message == Some(ToGuard::Ready) {
                let again = core::mem::replace(&mut self.ready, true);
                machine.demand(Rule::Beats, !again, || "it is ready twice".into());
            }
            match message {
                Some(ToGuard::Spawn { child, .. }) => {
                    let before = machine.programs.insert(child, true);
                    machine
                        .demand(Rule::Programs, before == Some(false), || format!("{child:x} is started: {before:?}"));
                    self.ends.push((now + Duration::from_nanos(rng.below(50_000_000)), child));
                }
                Some(ToGuard::Kill { child, .. }) => {
                    // It was not started because the line was full, and the machine does not know that yet.
                    if machine.programs.get(&child) == Some(&false) {
                        self.early.insert(child);
                    }
                }
                Some(ToGuard::Lull) => {
                    let asked = self.asked.take();
                    let late = asked.is_none_or(|at| now.since(at) > PATIENCE);
                    machine.demand(Rule::Lull, !late, || format!("a lull at {now:?}, asked for at {asked:?}"));
                }
                Some(_) => {}
                None => machine.demand(Rule::Programs, false, || format!("{bytes:?} is no message")),
            }
        }
        let quiet = now < machine.end + PATIENCE || self.ready;
        machine.demand(Rule::Beats, quiet, || "it is never ready".into());
        let gap = now.since(self.beat);
        machine.demand(Rule::Beats, gap < PERIOD * (MISSED + 1), || format!("no heartbeat for {gap:?}"));
        let late = self.asked.is_some_and(|at| now.since(at) > PATIENCE);
        machine.demand(Rule::Lull, !late, || format!("no lull, asked for at {:?}", self.asked));
        for (_, child) in self.ends.extract_if(.., |(at, _)| *at <= now) {
            os.say(self.fd, ToCore::ChildExit { child, end: ChildEnd::Exited(0) }.encode());
        }
        if now > machine.end + PATIENCE * 2 {
            return; // so that no message is on its way at the end
        }
        if self.asked.is_none() && rng.permille(10) {
            self.asked = Some(now);
            os.say(self.fd, ToCore::Lull.encode());
        }
        if rng.permille(2) {
            os.say(self.fd, vec![9, 9, 9]);
        }
    }
}

/// The helper, or none.
#[derive(Default)]
struct Helper {
    fd: Option<RawFd>,
    since: Instant,
    back: Instant,
    asked: BTreeSet<u64>,
    watches: BTreeSet<u64>,
    answers: Vec<(Instant, u64)>,
    joins: Vec<(Instant, u64, bool)>,
}

impl Helper {
    fn act(&mut self, exec: &mut Exec<SimOs>, machine: &mut Requester, rng: &mut Rng) {
        let now = exec.os().now;
        let Some(fd) = self.fd else {
            if now >= self.back {
                let socket = exec.os().open_line();
                *self = Helper { fd: Some(socket.as_raw_fd()), since: now, ..Helper::default() };
                exec.attach_helper(socket);
                exec.os().faults.remove(JOINED_HERE);
            }
            return;
        };
        let os = exec.os();
        for bytes in core::mem::take(&mut os.lines.get_mut(&fd).expect("open").sent) {
            match Ask::decode(&bytes) {
                Ok(Ask::Knobs { job, .. }) => {
                    let once = self.asked.insert(job) && machine.jobs.contains_key(&job);
                    machine.demand(Rule::Knobs, once, || format!("job {job} comes twice, or after its answer"));
                    self.answers.push((now + Duration::from_nanos(rng.below(30_000_000)), job));
                }
                Ok(Ask::WatchFile { watch, .. }) => {
                    let once = self.watches.insert(watch);
                    machine.demand(Rule::Watches, once, || format!("{watch:x} is watched twice"));
                }
                Ok(Ask::Unwatch { watch }) => {
                    let was = self.watches.remove(&watch);
                    machine.demand(Rule::Watches, was, || format!("{watch:x} ends, and was not watched"));
                }
                Ok(Ask::Join { job, .. }) => {
                    self.joins.push((now + Duration::from_nanos(rng.below(30_000_000)), job, rng.permille(900)));
                }
                Ok(Ask::Leave { .. }) => {}
                other => machine.demand(Rule::Knobs, false, || format!("{other:?}")),
            }
        }
        for (_, job) in self.answers.extract_if(.., |(at, _)| *at <= now) {
            let tell = Tell::Knobs { job, before: Vec::new(), failed: None };
            os.say(fd, tell.encode().expect("within the limits"));
        }
        for (_, job, fine) in self.joins.extract_if(.., |(at, ..)| *at <= now) {
            let tell = Tell::Joined { job, result: if fine { Ok(()) } else { Err(19) } };
            os.say(fd, tell.encode().expect("within the limits"));
        }
        machine.demand(Rule::Groups, !os.faults.contains_key(JOINED_HERE), || "the loop joined a group".into());
        for watch in &self.watches {
            if now < machine.end + PATIENCE * 2 && rng.permille(5) {
                let tell = Tell::FileRead { watch: *watch, result: Ok(b"1".to_vec()) };
                os.say(fd, tell.encode().expect("within the limits"));
            }
        }
        let oldest = machine.jobs.values().min().copied();
        let late = oldest.is_some_and(|at| now.since(at.max(self.since)) > PATIENCE);
        machine.demand(Rule::Knobs, !late, || format!("a job of {oldest:?} has no answer at {now:?}"));
        if now > machine.end + PATIENCE * 2 {
            let wanted = machine.watches.clone();
            machine.demand(Rule::Watches, self.watches == wanted, || {
                format!("{:x?} instead of {wanted:x?}", self.watches)
            });
        } else if now < machine.end && rng.permille(4) {
            match rng.permille(500) {
                true => os.hang_up(fd),
                false => os.say(fd, vec![0xff; 3]),
            }
            *self = Helper { back: now + Duration::from_nanos(rng.below(60_000_000)), ..Helper::default() };
        }
    }
}

type Demanded = BTreeMap<Rule, u64>;

fn run(seed: u64, lie: Option<Lie>, all: &mut Demanded) -> Option<(Rule, String)> {
    let mut rng = Rng::stream(seed, 0x110, 0);
    let start = Instant(1_000_000_000 + rng.below(1_000_000_000));
    let full = if rng.permille(500) { rng.below(300) as u32 } else { 0 };
    let overflow = rng.below(50) as u32;
    let mut os = SimOs::new(start, Rng::stream(seed, 0x111, 0), Rates { full, overflow, ..Rates::default() }, lie);
    let mut machine = Requester {
        rng: Rng::stream(seed, 0x112, 0),
        next: start,
        end: start + LENGTH,
        last: 0,
        jobs: BTreeMap::new(),
        watches: BTreeSet::new(),
        socks: BTreeMap::new(),
        programs: BTreeMap::new(),
        wrong: None,
        demanded: Demanded::new(),
    };
    let (signals, line) = (os.open().expect("no fault is on"), os.open_line());
    let mut guard = Guard {
        fd: line.as_raw_fd(),
        ready: false,
        beat: start,
        ends: Vec::new(),
        asked: None,
        early: BTreeSet::new(),
    };
    let mut helper = Helper { back: start + Duration::from_nanos(rng.below(20_000_000)), ..Helper::default() };
    let sink = Sink::with_fd(Target::Console, true, None);
    let mut exec = Exec::new(os, signals, sink, rng.permille(500)).expect("the simulated system has everything");
    exec.connect_guard(line, false);
    let mut turn = Turn::begin(&mut exec, &mut machine);
    let mut ended = false;
    while !ended && machine.wrong.is_none() {
        turn.sleep(&mut exec, &mut machine);
        let os = exec.os();
        if let Some(until) = os.asleep.take() {
            super::run::sleep(os, earliest(until, Some(os.now + MS)));
        }
        let late = if rng.permille(5) { 30_000_000 } else { 200_000 };
        os.advance(os.now + Duration::from_nanos(rng.below(late)));
        let now = os.now;
        guard.act(os, &mut machine, &mut rng);
        let oldest = machine.socks.values().flatten().min().copied();
        let late = oldest.is_some_and(|at| now.since(at) > PATIENCE);
        machine.demand(Rule::Groups, !late, || format!("a socket of {oldest:?} is not ready at {now:?}"));
        helper.act(&mut exec, &mut machine, &mut rng);
        ended = turn.wake(&mut exec, &mut machine).is_some();
    }
    if ended {
        let left: Vec<u64> = machine.programs.keys().copied().collect();
        machine.demand(Rule::Programs, left.is_empty(), || format!("{left:x?} never ended"));
        let jobs: Vec<u64> = machine.jobs.keys().copied().collect();
        machine.demand(Rule::Knobs, jobs.is_empty(), || format!("{jobs:?} have no answer"));
        use kalived::sys::os::Ops;
        // The read of signals, the receive of rtnetlink, the polls of both lines, and a receive for each socket.
        let flying = exec.os().in_flight();
        let flying = flying - machine.socks.len();
        machine.demand(Rule::Leaks, flying == 4, || format!("{flying} operations in flight at the end"));
    }
    machine.demanded.iter().for_each(|(rule, n)| *all.entry(*rule).or_default() += n);
    machine.wrong
}

#[test]
fn lines() {
    let mut all = Demanded::new();
    let seeds = crate::number("KALIVED_SEEDS").map_or(SEEDS, |n| n / 8);
    each_seed(seeds, ("KALIVED_LINE", "one_line"), |seed| run(seed, None, &mut all));
    let _ = std::io::stderr().write_all(format!("lines: {seeds} seeds, {all:?}\n").as_bytes());
    for rule in ALL {
        assert!(all.get(&rule).is_some_and(|n| *n > 0), "{rule:?} was never demanded");
    }
}

#[test]
fn one_line() {
    let seed = crate::number("KALIVED_LINE").unwrap_or(1);
    assert_eq!(run(seed, None, &mut Demanded::new()), None, "seed {seed}");
}

/// A message that is lost, and one that is delivered twice, are noticed.
#[test]
fn every_lie_of_a_line_is_noticed() {
    for lie in [Lie::LoseMessage, Lie::RepeatMessage] {
        let found = (0..CANARY_SEEDS).find_map(|seed| run(seed, Some(lie), &mut Demanded::new()));
        assert!(found.is_some(), "{lie:?} was not noticed within {CANARY_SEEDS} seeds");
    }
}
