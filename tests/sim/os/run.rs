//! One run: the shipped loop, its services, and a machine that makes all requests; time passes while the loop sleeps.
//!
//! Read first: `mod.rs`, `machine.rs`. `KALIVED_LOOP=n cargo test --test sim one_loop -- --nocapture` repeats one run.

use super::buffers::Datagram;
use super::machine::{Exerciser, Rule};
use super::{Left, Lie, Rates, SimOs};
use crate::rng::Rng;
use kalived::daemon::Turn;
use kalived::daemon::exec::Exec;
use kalived::daemon::log::Sink;
use kalived::daemon::token::{SockToken, Token};
use kalived::effect::{Effect, Effects, SockFx, SockSpec};
use kalived::event::{Event, SockEv};
use kalived::process::line::Target;
use kalived::time::{Duration, Instant};
use std::collections::BTreeMap;
use std::io::Write as _;

/// Seeds of a run of the test command.
const SEEDS: u64 = 400;
/// Seeds within which a canary must be detected.
const CANARY_SEEDS: u64 = 40;
/// Limit of the turns, which no run reaches without a fault in the code.
const TURNS: u64 = 400_000;
/// Operations that remain at the end: the receive of rtnetlink and the read of signals.
const OPERATIONS: usize = 2;
/// Likewise: signals, rtnetlink, frames, the log.
const FILES: usize = 4;

/// The results of runs.
#[derive(Default)]
pub struct Figures {
    seeds: u64,
    turns: u64,
    simulated: Duration,
    demanded: BTreeMap<Rule, u64>,
    faults: BTreeMap<&'static str, u64>,
}

fn rates(rng: &mut Rng) -> Rates {
    let mut one = |most: u64| if rng.permille(500) { rng.below(most) as u32 } else { 0 };
    Rates {
        send: one(100),
        race: one(400),
        memory: one(20),
        receive: one(100),
        overflow: one(50),
        full: one(100),
        stream: one(60),
        netlink: one(60),
        open: 0,
    }
}

/// Runs a seed; returns the violation, if there is one.
pub fn run(seed: u64, lie: Option<Lie>, figures: &mut Figures) -> Option<(Rule, String)> {
    let mut rng = Rng::stream(seed, 0x100, 0);
    let start = Instant(1_000_000_000 + rng.below(1_000_000_000));
    let rates = rates(&mut rng);
    let os = SimOs::new(start, Rng::stream(seed, 0x101, 0), rates, lie);
    let mut machine = Exerciser::new(Rng::stream(seed, 0x102, 0), start, Duration::from_millis(700));
    let several = rng.permille(500);
    let mut os = os;
    let signals = os.open().expect("no fault is on yet");
    let sink = Sink::with_fd(Target::Console, true, None);
    let mut exec = Exec::new(os, signals, sink, several).expect("the simulated system has everything");
    exec.os().rates.open = if rng.permille(300) { 50 } else { 0 };
    let mut turn = Turn::begin(&mut exec, &mut machine);
    let mut turns = 0;
    let code = loop {
        turn.sleep(&mut exec, &mut machine);
        let os = exec.os();
        let stall = rng.permille(5);
        match os.asleep.take() {
            Some(until) => sleep(os, until),
            None => os.advance(os.now + Duration::from_nanos(rng.range(1_000, 20_000))),
        }
        let late = if stall { rng.below(30_000_000) } else { rng.below(200_000) };
        os.advance(os.now + Duration::from_nanos(late));
        strangers(os, &mut machine, &mut rng);
        seen(os, &mut machine);
        machine.look(os.now, rates.send > 0);
        if let Err(wrong) = os.buffers_held() {
            machine.violate(Rule::Buffers, wrong);
        }
        if machine.wrong.is_some() {
            break None;
        }
        turns += 1;
        if turns > TURNS {
            machine.violate(Rule::Leaks, "it does not end".into());
            break None;
        }
        let code = turn.wake(&mut exec, &mut machine);
        if code.is_some() {
            break code;
        }
    };
    if let Some((_, text)) = machine.wrong.as_mut().filter(|_| code.is_none()) {
        *text += &format!("\n  {:?}; {rates:?}", exec.report());
    }
    let os = exec.os();
    if code.is_some() {
        at_the_end(os, &mut machine);
    }
    figures.seeds += 1;
    figures.turns += turns;
    figures.simulated += os.now.since(start);
    machine.demanded.iter().for_each(|(r, n)| *figures.demanded.entry(*r).or_default() += n);
    os.faults.iter().for_each(|(f, n)| *figures.faults.entry(f).or_default() += n);
    machine.wrong
}

/// The loop sleeps until something has completed or its time has come.
pub fn sleep(os: &mut SimOs, until: Option<Instant>) {
    use kalived::sys::os::Ops;
    while os.queued() == 0 {
        let next = kalived::time::earliest(until, os.next_due()).expect("something is always due");
        os.advance(next);
        if until.is_some_and(|at| os.now >= at) {
            return;
        }
    }
}

/// Other hosts send datagrams, and the peers of streams act at random.
fn strangers(os: &mut SimOs, machine: &mut Exerciser, rng: &mut Rng) {
    for sock in machine.ready_socks() {
        let count = if rng.permille(20) { 40 } else { rng.below(3) };
        for _ in 0..count {
            let id = machine.id();
            // struct sockaddr_in of 192.0.2.77.
            let mut name = vec![0; 16];
            name[0] = 2;
            name[4..8].copy_from_slice(&[192, 0, 2, 77]);
            let d = Datagram { name, control: Vec::new(), payload: id.to_be_bytes().to_vec() };
            if os.datagram(Token::Sock(SockToken::Rx(sock)), d) {
                machine.injected.entry(sock).or_default().push_back((id, os.now));
            }
        }
    }
    for conn in machine.open_conns() {
        let Some(fd) = os.fd_by(|t| matches!(t, Token::Conn(c, _) if *c == conn)) else { continue };
        if os.stream_over(fd) {
            continue;
        }
        let got = os.stream_taken(fd).to_vec();
        machine.peer_got(conn, &got);
        if rng.permille(200) {
            let bytes: Vec<u8> = (0..rng.range(1, 6_000)).map(|_| rng.bits() as u8).collect();
            machine.peer_sent(conn, &bytes);
            os.stream(fd, &bytes, false, false);
        }
        if rng.permille(10) {
            os.stream(fd, &[], rng.permille(700), false);
        } else if rng.permille(5) {
            os.stream(fd, &[], false, true);
        }
    }
}

/// Passes what left to the machine, in order.
fn seen(os: &mut SimOs, machine: &mut Exerciser) {
    for (at, what) in core::mem::take(&mut os.left) {
        match what {
            Left::Packet(bytes) => machine.packet_left(at, &bytes),
            Left::Frame(bytes) => machine.frame_left(&bytes),
        }
    }
    machine.frames_answered();
}

fn at_the_end(os: &mut SimOs, machine: &mut Exerciser) {
    use kalived::sys::os::Ops;
    seen(os, machine);
    let (operations, files) = (os.in_flight(), os.open_files());
    machine.demand(Rule::Leaks, operations == OPERATIONS, || format!("{operations} operations in flight at the end"));
    machine.demand(Rule::Leaks, files == FILES, || format!("{files} descriptors open at the end"));
    let held = os.buffers_held().unwrap_or(usize::MAX);
    machine.demand(Rule::Leaks, held == 0, || format!("{held} buffers held at the end"));
    let given = os.buffers_given();
    *machine.demanded.entry(Rule::Buffers).or_default() += given;
    let text = String::from_utf8_lossy(&os.log).into_owned();
    let lines: Vec<u32> = text.lines().filter_map(|l| l.rsplit_once("line ")?.1.parse().ok()).collect();
    let wanted: Vec<u32> = (1..=machine.lines).collect();
    machine.demand(Rule::Log, lines == wanted, || format!("{} of {} lines were written", lines.len(), wanted.len()));
}

fn report(f: &Figures) -> String {
    let mut out = format!("loop: {} seeds, {} turns, {:.0?} of virtual time\n", f.seeds, f.turns, f.simulated);
    for rule in Rule::ALL {
        let n = f.demanded.get(&rule).copied().unwrap_or(0);
        out += &format!("  {rule:?}: demanded {n} times\n");
    }
    let faults: Vec<String> = f.faults.iter().map(|(f, n)| format!("{f} {n}")).collect();
    out + "  faults: " + &faults.join(", ") + "\n"
}

/// Runs the seeds from 0 on, up to the first violation. `again`: the environment variable and the test that repeat one of them.
pub fn each_seed<R: core::fmt::Debug>(
    seeds: u64,
    again: (&str, &str),
    mut run: impl FnMut(u64) -> Option<(R, String)>,
) {
    for seed in 0..seeds {
        if let Some((rule, text)) = run(seed) {
            let (name, test) = again;
            panic!("seed {seed}: {rule:?}: {text}\nagain: {name}={seed} cargo test --test sim {test} -- --nocapture");
        }
    }
}

#[test]
fn loops() {
    let mut figures = Figures::default();
    let seeds = crate::number("KALIVED_SEEDS").map_or(SEEDS, |n| n / 8);
    each_seed(seeds, ("KALIVED_LOOP", "one_loop"), |seed| run(seed, None, &mut figures));
    let _ = std::io::stderr().write_all(report(&figures).as_bytes());
    for rule in Rule::ALL {
        assert!(figures.demanded.get(&rule).is_some_and(|n| *n > 0), "{rule:?} was never demanded");
    }
}

#[test]
fn one_loop() {
    let seed = crate::number("KALIVED_LOOP").unwrap_or(1);
    let mut figures = Figures::default();
    let wrong = run(seed, None, &mut figures);
    println!("{}", report(&figures));
    assert_eq!(wrong, None, "seed {seed}");
}

/// Each canary of the ring, and the rules that detect it.
#[test]
fn every_lie_is_noticed() {
    let lies: [(Lie, &[Rule]); 6] = [
        (Lie::DropCompletion, &[Rule::Reported, Rule::Netlink, Rule::Dump, Rule::Immediate, Rule::Leaks]),
        (Lie::ArmTwice, &[Rule::OnTime]),
        (Lie::LoseAnswer, &[Rule::Netlink]),
        (Lie::GiveTwice, &[Rule::Buffers]),
        (Lie::RepeatStream, &[Rule::Stream]),
        (Lie::KeepChain, &[Rule::OnTime]),
    ];
    for (lie, rules) in lies {
        let found = (0..CANARY_SEEDS).find_map(|seed| run(seed, Some(lie), &mut Figures::default()));
        let (rule, text) = found.unwrap_or_else(|| panic!("{lie:?} was not noticed within {CANARY_SEEDS} seeds"));
        assert!(rules.contains(&rule), "{lie:?} was noticed by {rule:?}: {text}");
    }
}

const GROUP: [u8; 4] = [224, 0, 0, 18];

/// A machine that listens, and for which a timer is always due.
#[derive(Default)]
struct Listener {
    read: usize,
    /// How many datagrams were read before each time that timers were dispatched.
    fired: Vec<usize>,
}

impl kalived::daemon::Machine for Listener {
    fn handle(&mut self, _: kalived::time::Now, event: Event<'_>, fx: &mut Effects) {
        match event {
            Event::Start => {
                let sock = kalived::id::Arena::<kalived::id::SockMark, ()>::default().insert(());
                let spec = SockSpec::Multicast { ifindex: 2, group: GROUP.into(), ah: false };
                fx.push(Effect::Sock(SockFx::Open { sock, spec }));
            }
            Event::Sock(SockEv::Datagram { .. }) => self.read += 1,
            _ => {}
        }
    }
    fn fire(&mut self, _: kalived::time::Now, _: usize, _: &mut Effects) -> bool {
        self.fired.push(self.read);
        false
    }
    fn next_deadline(&self) -> Option<(Instant, kalived::timers::Due)> {
        None
    }
}

/// The loop stood still, and there are more datagrams than buffers: all of them are read before a timer fires. A flood does not hold the
/// timers back for ever.
#[test]
fn timers_wait_for_what_arrived_before_them_but_not_for_a_flood() {
    for flood in [false, true] {
        let os = SimOs::new(Instant(1_000_000_000), Rng::stream(1, 0x101, 0), Rates::default(), None);
        let mut os = os;
        let signals = os.open().expect("no fault is on");
        let sink = Sink::with_fd(Target::Console, true, None);
        let mut exec = Exec::new(os, signals, sink, true).expect("the simulated system has everything");
        let mut machine = Listener::default();
        let mut turn = Turn::begin(&mut exec, &mut machine);
        let mut turns = |exec: &mut Exec<SimOs>, machine: &mut Listener, n: usize, each: usize| {
            for _ in 0..n {
                turn.sleep(exec, machine);
                for _ in 0..each {
                    let mut name = vec![0; 16];
                    name[0] = 2;
                    let d = Datagram { name, control: Vec::new(), payload: vec![0; 20] };
                    exec.os().multicast(GROUP.into(), &d);
                }
                let now = exec.os().now + Duration::from_micros(10);
                exec.os().advance(now);
                assert!(turn.wake(exec, machine).is_none());
            }
        };
        turns(&mut exec, &mut machine, 3, 0);
        machine.fired.clear();
        if flood {
            turns(&mut exec, &mut machine, 1000, 20);
            assert!(machine.fired.len() > 50, "{:?}", machine.fired);
        } else {
            turns(&mut exec, &mut machine, 1, 500);
            turns(&mut exec, &mut machine, 100, 0);
            assert_eq!((machine.read, machine.fired.first()), (500, Some(&500)), "{:?}", machine.fired);
        }
    }
}
