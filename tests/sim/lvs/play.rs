//! One run: first there are faults, and the rules are checked after every turn; then there are none, and the table must follow from the
//! file and the servers; then the process is stopped.
//!
//! Read first: `mod.rs`, `draw.rs`. The order of a turn is that of the daemon's loop: completions, timers, effects.

use super::draw::{Drawn, File, Kind, Speaks};
use super::servers::{Answer, Conn, fails};
use super::table::{self, Entries};
use crate::recording::through_a_file;
use crate::rng::Rng;
use core::net::IpAddr;
use core::time::Duration;
use kalived::config::model::lvs::{Part, parts};
use kalived::effect::{ConnFx, Effect, Effects, GuardFx, LvsFx, LvsOp, NetFx};
use kalived::event::{ChildEnd, Errno, Event, GuardEv, Link, LvsEv, NetEv, Signal, Stream};
use kalived::id::{ChildKey, ConnKey};
use kalived::record::Tape;
use kalived::record::replay::replay;
use kalived::snapshot::Snapshot;
use kalived::time::{Instant, Now, Wall};
use kalived::wire::netlink::ipvs::{Act, Destination, DestinationKey, Forward, Protocol, Service, ServiceKey};
use kalived::world::World;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

/// How long faults last.
const CHAOS: Duration = Duration::from_secs(240);
/// The table is compared with what is wanted every 30 s; a request whose answer was lost is asked again by then.
pub(super) const LOOK: Duration = Duration::from_secs(32);

/// A canary: a fault in the simulation itself, which the rules must detect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Destinations are never really deleted, nor their weight set to 0.
    KeepServers,
    /// Every connection is opened.
    AllAnswer,
    /// None is.
    NoneAnswers,
    /// A check of this kind takes every answer, and every silence after a connection was opened, for a success.
    Believes(Speaks),
    /// A process that goes on has no verdicts of the one before.
    ForgetVerdicts,
    /// Sorry servers are never really deleted.
    KeepSorry,
    /// A hook that runs is there twice.
    RepeatHooks,
    /// The deletion of a destination of kalived also deletes those of another program.
    TakeOthers,
    /// Services are never really deleted.
    KeepServices,
}

/// The result of a run.
#[derive(Default)]
pub struct Outcome {
    /// Of everything that happened.
    pub hash: u64,
    /// The first violation.
    pub violation: Option<String>,
    /// What happened.
    pub story: Vec<String>,
    /// How often a server left the table, or its weight became 0.
    pub removed: u64,
    /// How often one came, or had a weight again.
    pub returned: u64,
    /// How often a sorry server came.
    pub sorry: u64,
    /// How often another program changed an entry of kalived.
    pub restored: u64,
    /// Events of recordings that begin with a checkpoint and were decided again.
    pub replayed: u64,
}

/// Something that waits for the loop.
pub(super) enum Completion {
    Net(Vec<NetEv>),
    Lvs(LvsEv),
    Connected(ConnKey),
    Failed(ConnKey, i32),
    Data(ConnKey, Vec<u8>),
    Closed(ConnKey),
    Ended(ChildKey, ChildEnd),
    Config,
    Go(Option<Box<Snapshot>>, Option<Instant>),
    Successor,
    Term,
}

pub(super) enum Work {
    Turn,
    /// The kernel executes a request of a process.
    Kernel(u32, LvsFx),
    /// A process dies that was started after a death.
    DiesAgain(u32),
    /// A completion comes to a process.
    Comes(u32, Completion),
    Fault(Kind),
    Mend(Kind),
}

struct Item(Instant, u64, Work);
impl PartialEq for Item {
    fn eq(&self, o: &Self) -> bool {
        (self.0, self.1) == (o.0, o.1)
    }
}
impl Eq for Item {}
impl PartialOrd for Item {
    fn partial_cmp(&self, o: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(o))
    }
}
impl Ord for Item {
    fn cmp(&self, o: &Self) -> core::cmp::Ordering {
        (self.0, self.1).cmp(&(o.0, o.1))
    }
}

pub(super) struct Sim {
    seed: u64,
    pub(super) drawn: Drawn,
    pub(super) now: Instant,
    pub(super) rng: Rng,
    world: World,
    // Which process; what comes for one before it is lost.
    pub(super) life: u32,
    inbox: VecDeque<Completion>,
    turn_at: Option<Instant>,
    asleep: bool,
    queue: BinaryHeap<Reverse<Item>>,
    order: u64,
    chaos: bool,
    pub(super) lossy: bool,
    pub(super) lie: Option<Lie>,
    pub(super) table: Entries,
    // The kernel executes requests one after the other.
    free_at: Instant,
    pub(super) answers: Vec<(Answer, Instant)>,
    pub(super) conns: BTreeMap<ConnKey, Conn>,
    // Servers that the process before had found not to answer: none of them gets a weight meanwhile.
    pub(super) known_down: BTreeSet<usize>,
    // Hooks that run, by service.
    running: BTreeMap<ChildKey, usize>,
    pub(super) hooks: BTreeMap<usize, String>,
    pub(super) file: File,
    unread: VecDeque<Part>,
    snapshot: Option<Snapshot>,
    // Time of the last fault that the rules allow for.
    pub(super) disturbed: Instant,
    ended: bool,
    pub(super) out: Outcome,
    hasher: DefaultHasher,
}

/// Runs a seed.
pub fn run(seed: u64, lie: Option<Lie>) -> Outcome {
    let drawn = Drawn::new(seed);
    let now = Instant(5_000_000_000);
    let mut sim = Sim {
        seed,
        now,
        rng: Rng::stream(seed, 0x4c_50_4c, 0),
        world: born(&drawn, false, seed),
        life: 0,
        inbox: VecDeque::new(),
        turn_at: None,
        asleep: false,
        queue: BinaryHeap::new(),
        order: 0,
        chaos: true,
        lossy: false,
        lie,
        table: Entries::from([(other(), (service(), BTreeMap::from([destination(9)])))]),
        free_at: now,
        answers: vec![(Answer::Right, now); drawn.servers],
        conns: BTreeMap::new(),
        known_down: BTreeSet::new(),
        running: BTreeMap::new(),
        hooks: BTreeMap::new(),
        file: drawn.file(),
        unread: VecDeque::new(),
        snapshot: None,
        disturbed: now,
        ended: false,
        out: Outcome::default(),
        hasher: DefaultHasher::new(),
        drawn,
    };
    sim.play();
    sim.out.hash = sim.hasher.finish();
    sim.out
}

/// The world of a new process. That of every other seed is recorded, in segments that fill many times.
fn born(drawn: &Drawn, standby: bool, seed: u64) -> World {
    let mut world = if standby { World::standby(drawn.config()) } else { World::new(drawn.config()) };
    if seed.is_multiple_of(2) {
        world.set_host("host");
        world.record(Tape::new(&drawn.config(), standby, "host", 4_000));
    }
    world
}

/// A service of another program.
pub(super) fn other() -> ServiceKey {
    ServiceKey::Address(Protocol::Tcp, [10, 99, 0, 1].into(), 443)
}

fn service() -> Service {
    let scheduler = "wlc".to_owned();
    Service { scheduler, flags: 0, timeout: 0, netmask: u32::MAX, engine: String::new() }
}

fn destination(host: u8) -> (DestinationKey, Destination) {
    let key = DestinationKey { addr: [10, 99, 1, host].into(), port: 443 };
    (key, Destination { forward: Forward::Direct, weight: 1, upper: 0, lower: 0 })
}

/// The service of this number.
pub(super) fn ours(n: usize) -> ServiceKey {
    ServiceKey::Address(Protocol::Tcp, Drawn::service(n), 80)
}

impl Sim {
    fn play(&mut self) {
        self.say(format!("{:?}", self.drawn));
        self.begin();
        for kind in self.drawn.faults.clone() {
            self.next_fault(kind);
        }
        self.until(self.now + CHAOS);
        self.heal();
        let calm = self.drawn.down_within() + LOOK * 3 + self.drawn.program * 8;
        self.until(self.now + calm);
        self.calm();
        self.replay();
        self.complete(Completion::Term);
        self.until(self.now + Duration::from_secs(30));
        self.gone(self.ended);
    }

    /// The recording of the process is decided again.
    fn replay(&mut self) {
        let Some(tape) = self.world.tape() else { return };
        let again = through_a_file(tape).and_then(|recording| {
            let first = recording.first;
            let n = replay(recording, |_| 0, &mut |_, _| {}).map_err(|differs| differs.to_string())?;
            Ok(if first > 0 { n } else { 0 })
        });
        match again {
            Ok(n) => self.out.replayed += n,
            Err(why) => self.violate(format!("recording: {why}")),
        }
    }

    pub(super) fn say(&mut self, what: String) {
        what.hash(&mut self.hasher);
        self.out.story.push(format!("{:>14} {what}", self.now.0));
    }
    pub(super) fn violate(&mut self, what: String) {
        let at = self.now.0;
        self.out.violation.get_or_insert(format!("{what} (at {at})"));
    }
    pub(super) fn at(&mut self, at: Instant, work: Work) {
        self.order += 1;
        self.queue.push(Reverse(Item(at.max(self.now), self.order, work)));
    }
    pub(super) fn upto(&mut self, most: Duration) -> Duration {
        Duration::from_nanos(1 + self.rng.below(most.as_nanos() as u64))
    }
    fn until(&mut self, end: Instant) {
        while self.out.violation.is_none()
            && let Some(Reverse(Item(at, ..))) = self.queue.peek()
            && *at <= end
        {
            self.now = *at;
            let Some(Reverse(Item(at, _, work))) = self.queue.pop() else { return };
            match work {
                Work::Turn if self.turn_at == Some(at) => self.turn(),
                Work::Turn => {}
                Work::Kernel(life, fx) => self.kernel(life, fx),
                Work::DiesAgain(life) if life == self.life => self.die_again(),
                Work::DiesAgain(_) => {}
                Work::Comes(life, c) if life == self.life => self.complete(c),
                Work::Comes(..) => {}
                Work::Fault(kind) => self.fault(kind),
                Work::Mend(kind) => self.mend(kind),
            }
        }
        self.now = end;
    }

    // ---- the process ----

    fn clock(&self) -> Now {
        Now { mono: self.now, wall: Wall(1_700_000_000_000_000_000 + self.now.0) }
    }
    fn begin(&mut self) {
        self.life += 1;
        (self.disturbed, self.turn_at, self.asleep) = (self.now, None, false);
        self.inbox.clear();
        self.conns.clear();
        self.running.clear();
        let (now, mut fx) = (self.clock(), Effects::default());
        self.world.handle(now, Event::Start, &mut fx);
        self.apply(fx);
        self.offer();
    }
    fn offer(&mut self) {
        self.unread = parts(&None, &[], &self.drawn.servers(&self.file)).collect();
        self.complete(Completion::Lvs(LvsEv::Offered));
    }
    fn wake(&mut self, at: Instant) {
        if self.asleep || self.turn_at.is_some_and(|t| t <= at.max(self.now)) {
            return;
        }
        let at = at.max(self.now) + self.upto(self.drawn.wake);
        self.turn_at = Some(at);
        self.at(at, Work::Turn);
    }
    fn complete(&mut self, c: Completion) {
        self.inbox.push_back(c);
        self.wake(self.now);
    }

    fn turn(&mut self) {
        self.turn_at = None;
        let (now, mut fx) = (self.clock(), Effects::default());
        for c in core::mem::take(&mut self.inbox) {
            let world = &mut self.world;
            match c {
                Completion::Net(all) => all.into_iter().for_each(|e| world.handle(now, Event::Net(e), &mut fx)),
                Completion::Lvs(event) => world.handle(now, Event::Lvs(event), &mut fx),
                Completion::Connected(conn) => {
                    if let Some(only) = self.conns.get(&conn).map(|c| c.only) {
                        if only {
                            self.conns.remove(&conn);
                        }
                        world.handle(now, Event::Conn { conn, what: Stream::Connected }, &mut fx);
                    }
                }
                Completion::Failed(conn, errno) => {
                    if self.conns.remove(&conn).is_some() {
                        let what = Stream::Failed(Errno(errno));
                        world.handle(now, Event::Conn { conn, what }, &mut fx);
                    }
                }
                Completion::Data(conn, bytes) => {
                    if self.conns.contains_key(&conn) {
                        world.handle(now, Event::Conn { conn, what: Stream::Data(&bytes) }, &mut fx);
                    }
                }
                Completion::Closed(conn) => {
                    if self.conns.contains_key(&conn) {
                        world.handle(now, Event::Conn { conn, what: Stream::End }, &mut fx);
                    }
                }
                Completion::Ended(child, end) => {
                    self.running.remove(&child);
                    world.handle(now, Event::Guard(GuardEv::ChildExit { child, end }), &mut fx);
                }
                Completion::Config => {
                    world.handle(now, Event::Guard(GuardEv::Config(Box::default())), &mut fx);
                }
                Completion::Go(snapshot, dead_since) => {
                    world.handle(now, Event::Guard(GuardEv::Go { snapshot, dead_since }), &mut fx);
                }
                Completion::Successor => {
                    world.handle(now, Event::Guard(GuardEv::Successor { in_charge: true }), &mut fx);
                }
                Completion::Term => world.handle(now, Event::Signal(Signal::Term), &mut fx),
            }
        }
        for _ in 0..20 {
            if !self.world.fire(now, 64, &mut fx) {
                break;
            }
        }
        self.world.check_invariants();
        self.world.checkpoint();
        if let Some(s) = self.world.snapshot(now) {
            self.snapshot = Some(s);
        }
        self.apply(fx);
        self.look();
        if let Some((at, _)) = self.world.next_deadline() {
            self.wake(at);
        }
    }

    // ---- effects ----

    fn apply(&mut self, mut fx: Effects) {
        for e in fx.drain().collect::<Vec<_>>() {
            match e {
                Effect::Lvs(LvsFx::Read) => {
                    let some = self.unread.drain(..self.unread.len().min(3)).collect();
                    self.complete(Completion::Lvs(LvsEv::Config(Ok(some))));
                }
                Effect::Lvs(fx) => {
                    self.free_at = self.free_at.max(self.now) + self.upto(self.drawn.netlink);
                    self.at(self.free_at, Work::Kernel(self.life, fx));
                }
                Effect::Conn(ConnFx::Connect { conn, to, way }) => self.connect(conn, &to, way.is_some_and(|w| w.only)),
                Effect::Conn(ConnFx::Write { conn, bytes }) => self.asked(conn, &bytes),
                Effect::Conn(ConnFx::Close { conn }) => drop(self.conns.remove(&conn)),
                Effect::Guard(GuardFx::Spawn { child, spec }) => self.spawn(child, &spec.argv),
                Effect::Guard(GuardFx::LookForSuccessor) => self.complete(Completion::Successor),
                Effect::Net(NetFx::Resync) => self.complete(Completion::Net(vec![
                    NetEv::DumpBegin,
                    NetEv::LinkNew(link()),
                    NetEv::Synced { complete: true },
                ])),
                Effect::Note(note) => self.say(note.text),
                Effect::Exit(_) => self.ended = true,
                // Nothing else is asked for by a configuration of virtual servers, or needs an answer.
                _ => {}
            }
        }
    }

    fn spawn(&mut self, child: ChildKey, argv: &[String]) {
        if let [program, service, word] = argv
            && program == "/hook"
            && let Ok(n) = service.parse()
        {
            self.running.insert(child, n);
            self.hook(n, word);
            if self.lie == Some(Lie::RepeatHooks) {
                self.hook(n, word);
            }
        }
        let at = self.now + self.upto(self.drawn.program);
        self.at(at, Work::Comes(self.life, Completion::Ended(child, ChildEnd::Exited(0))));
    }

    // ---- the kernel ----

    fn kernel(&mut self, life: u32, fx: LvsFx) {
        let mut events = Vec::new();
        let lost = self.lossy && self.rng.permille(100);
        match fx {
            LvsFx::Read => {}
            LvsFx::Open => events.push(LvsEv::Opened(Ok(()))),
            LvsFx::DumpWithSync => return self.kernel(life, LvsFx::Dump(None)),
            LvsFx::Dump(of) => {
                let all = table::dump(&self.table, of);
                let some = if lost { all.len() / 2 } else { all.len() };
                events.extend(all[..some].chunks(2).map(|part| LvsEv::Found(part.to_vec())));
                events.push(LvsEv::Synced { complete: !lost });
            }
            LvsFx::Change { req, op } => {
                // A lost answer, or a request that was lost.
                let done = !lost || self.rng.permille(500);
                let result = if done { self.change(op) } else { Ok(()) };
                let result = if lost { Err(Errno::ENOBUFS) } else { result };
                events.push(LvsEv::Reply { req, result });
            }
        }
        if life == self.life {
            events.into_iter().for_each(|e| self.complete(Completion::Lvs(e)));
        }
    }

    fn change(&mut self, op: LvsOp) -> Result<(), Errno> {
        self.say(format!("{op:?}"));
        if self.is_a_lie(&op) {
            return Ok(());
        }
        if self.lie == Some(Lie::TakeOthers)
            && matches!(op, LvsOp::Destination(Act::Delete, ..))
            && let Some((_, all)) = self.table.get_mut(&other())
        {
            all.clear();
        }
        let weights = self.weights();
        let result = table::change(&mut self.table, op);
        self.count(&weights);
        self.others();
        result
    }
    fn is_a_lie(&self, op: &LvsOp) -> bool {
        let goes = |act: Act, d: &Destination| act == Act::Delete || (act == Act::Set && d.weight == 0);
        match (self.lie, op) {
            (Some(Lie::KeepServices), LvsOp::Service(Act::Delete, ..)) => true,
            (Some(Lie::KeepServers), LvsOp::Destination(act, _, key, d)) => goes(*act, d) && !is_sorry(key),
            (Some(Lie::KeepSorry), LvsOp::Destination(act, _, key, d)) => goes(*act, d) && is_sorry(key),
            _ => false,
        }
    }
    // Destinations with a weight.
    fn weights(&self) -> Vec<(ServiceKey, DestinationKey)> {
        let all = self.table.iter().flat_map(|(s, (_, all))| all.iter().map(move |(k, d)| (*s, *k, d.weight)));
        all.filter(|(_, _, weight)| *weight > 0).map(|(s, k, _)| (s, k)).collect()
    }
    fn count(&mut self, before: &[(ServiceKey, DestinationKey)]) {
        let after = self.weights();
        let new = |of: &[(ServiceKey, DestinationKey)], than: &[(ServiceKey, DestinationKey)], sorry: bool| {
            of.iter().filter(|e| !than.contains(e) && is_sorry(&e.1) == sorry).count() as u64
        };
        self.out.removed += new(before, &after, false);
        self.out.returned += new(&after, before, false);
        self.out.sorry += new(&after, before, true);
    }

    // ---- faults ----

    fn next_fault(&mut self, kind: Kind) {
        let mean = if kind == Kind::Server { 20 } else { 60 };
        let at = self.now + self.upto(Duration::from_secs(mean));
        self.at(at, Work::Fault(kind));
    }

    fn fault(&mut self, kind: Kind) {
        if !self.chaos {
            return;
        }
        self.say(format!("fault {kind:?}"));
        let stay = match kind {
            Kind::Server => self.upto(Duration::from_secs(60)),
            Kind::Pause => self.upto(Duration::from_secs(3)),
            _ => self.upto(Duration::from_secs(20)),
        };
        match kind {
            Kind::Server => {
                let server = self.rng.below(self.drawn.servers as u64) as usize;
                let answer = self.rng.pick(fails(self.drawn.speaks[server]));
                self.set_server(server, answer);
            }
            Kind::Meddle => self.meddle(),
            Kind::Loss => {
                self.lossy = true;
                self.known_down.clear();
            }
            Kind::Reload => {
                let file = self.drawn.another(&mut self.rng);
                self.reload(file);
            }
            Kind::Upgrade => self.upgrade(),
            Kind::Crash => self.crash(true),
            Kind::Again => {
                self.crash(true);
                let at = self.now + self.upto(Duration::from_millis(50));
                self.at(at, Work::DiesAgain(self.life));
            }
            Kind::Restart => self.crash(false),
            Kind::Pause => self.asleep = true,
        }
        self.at(self.now + stay, Work::Mend(kind));
    }

    fn mend(&mut self, kind: Kind) {
        match kind {
            Kind::Server => {
                let server = self.rng.below(self.drawn.servers as u64) as usize;
                self.set_server(server, Answer::Right);
            }
            Kind::Loss => (self.lossy, self.disturbed) = (false, self.now),
            Kind::Reload => self.reload(self.drawn.file()),
            Kind::Pause => {
                (self.asleep, self.turn_at, self.disturbed) = (false, None, self.now);
                self.wake(self.now);
            }
            Kind::Meddle | Kind::Upgrade | Kind::Crash | Kind::Again | Kind::Restart => {}
        }
        if self.chaos {
            self.next_fault(kind);
        }
    }

    // From now on there is no fault; some servers answer and some do not.
    fn heal(&mut self) {
        self.say("healed".into());
        self.chaos = false;
        self.mend(Kind::Loss);
        self.mend(Kind::Pause);
        self.mend(Kind::Reload);
        for server in 0..self.drawn.servers {
            let fails = self.rng.pick(fails(self.drawn.speaks[server]));
            let answer = self.rng.pick(&[Answer::Right, fails]);
            self.set_server(server, answer);
        }
    }

    // Another program deletes a service or a server of kalived, or gives it another weight.
    fn meddle(&mut self) {
        let n = self.rng.below(self.drawn.services.len() as u64) as usize;
        let what = self.rng.below(3);
        let pick = self.rng.bits();
        let Some((_, all)) = self.table.get_mut(&ours(n)) else { return };
        let keys: Vec<DestinationKey> = all.keys().copied().collect();
        let key = keys.get(pick as usize % keys.len().max(1)).copied();
        match (what, key) {
            (0, _) => drop(self.table.remove(&ours(n))),
            (1, Some(key)) => drop(all.remove(&key)),
            (_, Some(key)) => {
                if let Some(d) = all.get_mut(&key) {
                    d.weight += 5;
                }
            }
            _ => return,
        }
        self.out.restored += 1;
        self.disturbed = self.now;
        self.known_down.clear();
    }

    fn reload(&mut self, file: File) {
        if self.file == file {
            return;
        }
        self.say(format!("reload: {:?}", file.0));
        // A service that is not in the file any more and comes back is a new one.
        for (n, service) in self.file.0.iter().enumerate() {
            if service.is_none() {
                self.hooks.remove(&n);
            }
        }
        (self.file, self.disturbed) = (file, self.now);
        self.known_down.clear();
        self.complete(Completion::Config);
        self.offer();
    }

    fn upgrade(&mut self) {
        // Neither while it starts nor during a reload, as in the guard.
        if !self.world.running() || self.world.reloading() || !self.inbox.is_empty() || !self.unread.is_empty() {
            return;
        }
        let (now, mut fx) = (self.clock(), Effects::default());
        self.world.handle(now, Event::Guard(GuardEv::Freeze), &mut fx);
        self.apply(fx);
        let snapshot = self.world.last_snapshot(now);
        // The next process runs a hook that is running again, because it cannot know whether it has ended.
        self.running.values().for_each(|n| _ = self.hooks.remove(n));
        self.resume(snapshot, None);
    }

    fn crash(&mut self, resumes: bool) {
        self.hooks.clear();
        match self.snapshot.clone().filter(|_| resumes) {
            Some(snapshot) => self.resume(snapshot, Some(self.now)),
            None => {
                self.known_down.clear();
                self.snapshot = None;
                self.world = born(&self.drawn, false, self.seed);
                self.begin();
            }
        }
    }

    // As the guard does: of the snapshot only the virtual servers.
    fn die_again(&mut self) {
        self.hooks.clear();
        if let Some(snapshot) = self.snapshot.clone() {
            self.say("dies again".into());
            self.resume(snapshot.of_servers(), None);
        }
    }

    fn resume(&mut self, mut snapshot: Snapshot, dead_since: Option<Instant>) {
        if self.lie == Some(Lie::ForgetVerdicts) {
            snapshot.checks.clear();
        }
        self.know_down();
        let snapshot = Snapshot::decode(&snapshot.encode()).expect("what was written is read");
        self.world = born(&self.drawn, true, self.seed);
        self.begin();
        self.complete(Completion::Go(Some(Box::new(snapshot)), dead_since));
    }
}

/// Whether this is the sorry server of a service.
pub(super) fn is_sorry(key: &DestinationKey) -> bool {
    matches!(key.addr, IpAddr::V4(a) if a.octets()[..3] == [10, 77, 2])
}

fn link() -> Link {
    Link {
        ifindex: 2,
        name: "eth0".to_owned(),
        up: true,
        running: true,
        multicast: true,
        loopback: false,
        noarp: false,
        mtu: 1500,
        mac: Some([2, 0, 0, 0, 0, 1]),
        upon: None,
        ours: false,
        fresh: false,
        master: 0,
        vrf: false,
        table: 0,
    }
}
