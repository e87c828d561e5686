//! One virtual router: the state machine of `fsm.rs` with its timers, packets and addresses.
//!
//! Read first: `fsm.rs`, `timing.rs`; RFC 9568 §6.4. `Instance::go` is the only place that writes the state. Adverts are armed ahead in
//! the kernel on a time grid (`docs/architecture.md`), so there is no Adver_Timer here: each
//! [`AdvertEv::Sent`](crate::event::AdvertEv::Sent) arms one more. An extra advert sent at once does not move the grid;
//! RFC 9568 would restart the timer, here the next advert is a little early, never late.
//!
//! The other files: `health` (whether it can run) with `tracked` (what is tracked), `peers` (destinations and source of its adverts),
//! `master` (the state Master), `rival` (a second Master), `member` (its part in a sync group), `own` (own interfaces), `alter` (a reload),
//! `resume` (continuing in another process), `history` (earlier states), `stats` (counters), `report`.

mod alter;
mod health;
mod history;
mod master;
mod member;
mod own;
mod peers;
mod report;
mod resume;
mod rival;
mod stats;
mod tracked;

pub use master::IMMINENT;
pub(crate) use master::PREPARED;

pub use alter::{Before, changes};
pub use health::Fault;
pub use history::Moved;
pub use member::Member;
pub(crate) use own::stays;
pub use resume::{BEHIND, Mark, Since};
pub use stats::Stats;

use super::address::Addresses;
use super::advert::{Heard, Reject};
use super::announce::Announcer;
use super::fsm::{self, Act, Input, State, Step};
use super::seal::Seal;
use super::senders::Senders;
use super::text::{self, Limit};
use super::timing::{self, Grid, Phase};
use crate::config::model::{InstanceConfig, Version};
use crate::effect::{Effects, Packets};
use crate::event::Errno;
use crate::id::{SockKey, VrKey};
use crate::links::{AddrId, Links};
use crate::note::Note;
use crate::time::{Duration, Instant, Now};
use crate::timers::{Due, Timers};
use crate::track::Tracks;
use crate::vmac::Vmacs;
use crate::vrrp::change::{Change, Subject, What};
use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// See [`Instance::first_wait`]: links were reported to lose packets for three seconds; one more for safety.
const LISTEN: Duration = Duration::from_secs(4);
/// a learned interval above this multiple of our own causes a warning.
const SLOW: u32 = 3;

/// The parts of the world that a machine uses while it handles one input.
pub struct Cx<'a> {
    /// The time of the turn.
    pub now: Now,
    /// The one timer table.
    pub timers: &'a mut Timers,
    /// The effects of the turn; each machine appends its own.
    pub fx: &'a mut Effects,
    /// The kernel's interfaces and addresses.
    pub links: &'a Links,
    /// Wanted and held addresses.
    pub addrs: &'a mut Addresses,
    /// Interfaces of virtual routers' own.
    pub vmacs: &'a mut Vmacs,
    /// Gratuitous ARP and unsolicited NA that are still to be sent.
    pub announcer: &'a mut Announcer,
    /// The phases of the virtual routers' adverts on the time grid.
    pub grid: &'a mut Grid,
    /// Every VIP of the configuration: never a source address. An owner's are not among them: they are addresses of its interface, and
    /// valid sources (RFC 9568 §5.1.1.1).
    pub vips: &'a BTreeSet<IpAddr>,
    /// Changes to be reported, once all urgent work is done.
    pub changes: &'a mut Vec<Change>,
    /// Scripts, files, processes and checks.
    pub tracks: &'a Tracks,
}

/// State of the socket that an instance uses, as the world knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum SockState {
    /// None: the interface does not exist.
    None,
    /// An open was requested and is not answered yet.
    Opening(SockKey),
    /// Receives and sends.
    Ready(SockKey),
    /// The open failed; it will be tried again.
    Failed(Errno),
}

// Why a state is entered, for the log. Formatted only after the urgent work.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
enum Cause {
    None,
    Text(String),
    // Master_Down_Timer ran out: which adverts were received and which were not.
    Silence,
}

// A state whose change was not reported yet: log, hooks, pipes and mail report the same, once the urgent work is done.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Entered {
    from: State,
    to: State,
    init: bool,
    cause: Cause,
}

// Since when and why no advert was received: the cause of a takeover.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
struct Silence {
    since: Option<Instant>,
    zero_from: Option<IpAddr>,
    preempting: Option<(IpAddr, u8)>,
    rejected: u64,
    last_reject: Option<(Reject, IpAddr)>,
}

#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
struct Limits {
    rejected: Vec<Limit>,
    lower: Limit,
    discarding: Limit,
    same: Limit,
    announcing: Limit,
    owners: Limit,
    interval: Limit,
    vips: Limit,
    zero: Limit,
    yielding: Limit,
    slow: Limit,
    master: Limit,
    equal: Limit,
    delay: Limit,
    delay_stopped: Limit,
    flapping: Limit,
    states: Limit,
    missed: Limit,
    own_peer: Limit,
    old_checksum: Limit,
    clocks: Limit,
    dual: Limit,
    dual_over: Limit,
    #[serde(default)]
    priority: Limit,
    #[serde(default)]
    bfd: Limit,
}

// Logs a line that other hosts can cause: at most `most` of its kind in a period, then only their number.
fn say(limit: &mut Limit, most: u32, cx: &mut Cx<'_>, line: impl FnOnce() -> Note) {
    if let Some(held_back) = limit.pass_some(cx.now.mono, most) {
        cx.fx.note(text::after(line(), held_back));
    }
}

/// One virtual router: its configuration, state, timers, armed adverts and addresses. The world has one for each `vrrp_instance`.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Instance {
    cfg: InstanceConfig,
    key: VrKey,
    state: State,
    // Its membership in a sync group, if it is in one.
    member: Option<Member>,
    since: Now,
    entered: Option<Entered>,
    // The last changes of state, oldest first; at most `REMEMBERED`.
    moved: VecDeque<Moved>,
    senders: Senders,
    faults: BTreeSet<Fault>,
    // Logged that it waits for a tracker's first result.
    waits: bool,
    priority: u8,
    // What the priority results from, as text.
    weighed: String,
    // Master_Adver_Interval: learned from the present Master (v3), else our own.
    master_interval: Duration,
    master: Option<IpAddr>,
    // The router that was last logged as Master, since this one is Backup.
    said_master: Option<IpAddr>,
    // The sender of the last accepted advert, in any state: a known router.
    known: Option<IpAddr>,
    // The previous Master, while this router is Master.
    predecessor: Option<IpAddr>,
    source: Option<IpAddr>,
    sock: SockState,
    // Its adverts, unsigned.
    packets: Option<Packets>,
    seal: Seal,
    // Unicast peers that the last advert was not sent to.
    missed: Vec<IpAddr>,
    // Adverts in the kernel, oldest first; at most `timing::depth`.
    armed: VecDeque<Instant>,
    epoch: u32,
    phase: Option<Phase>,
    // When the last advert left, or should have. Answers do not count: they do not move the grid.
    last: Instant,
    // The addresses of `cfg.vips` that an advert carries: those that fit the MTU.
    listed: Vec<IpAddr>,
    // All addresses, advertised or not, sorted; whether there are any that are not advertised.
    held: Vec<IpAddr>,
    unlisted: bool,
    // The sender of the last accepted advert without any address: see `advert::verify`.
    lists_none: Option<IpAddr>,
    // The sender of refused adverts without any address, and their number.
    #[serde(default)]
    empty: Option<(IpAddr, u8)>,
    answer_open: Instant,
    // The earliest time of the next announcement because of another router's advert.
    announce_open: Instant,
    // The earliest time of the next takeover that announces with all repetitions; the last one announced each address once.
    #[serde(default)]
    takeover_open: Instant,
    #[serde(default)]
    brief: bool,
    // When `notify_master_rx_lower_pri` may run again, and for how many adverts it was not run.
    lower_told: Instant,
    lower_untold: u64,
    // Sends that failed in a row.
    failing: u64,
    /// A priority-0 advert was sent and no failure was reported.
    farewell_open: bool,
    // A priority-0 advert is armed: adverts of the previous process were still to leave when this router left Master.
    parting: bool,
    // When the last advert that the previous process armed leaves.
    #[serde(default)]
    inherited: Instant,
    preempt_delay_over: bool,
    // The number of addresses that a takeover has requested so far.
    asked: usize,
    // The own interfaces on which addresses stay, and how many addresses were looked at to be put there.
    kept: BTreeSet<u32>,
    kept_from: usize,
    // Own interfaces that came up, and the last address of each that was announced.
    risen: BTreeMap<u32, Option<AddrId>>,
    // It is Master and has asked for all of them: its routes and rules follow.
    wants_routes: bool,
    silence: Silence,
    limits: Limits,
    stats: Stats,
}

impl Instance {
    /// A virtual router that has not started.
    pub fn new(cfg: InstanceConfig, key: VrKey) -> Instance {
        let mut new = Instance {
            key,
            state: State::Init,
            member: None,
            since: Now::default(),
            entered: None,
            moved: VecDeque::new(),
            senders: Senders::default(),
            faults: BTreeSet::new(),
            weighed: String::new(),
            waits: false,
            priority: cfg.priority,
            master_interval: cfg.advert_int,
            master: None,
            said_master: None,
            known: None,
            predecessor: None,
            source: None,
            sock: SockState::None,
            packets: None,
            seal: Seal::default(),
            missed: Vec::new(),
            armed: VecDeque::new(),
            epoch: 0,
            phase: None,
            last: Instant::default(),
            listed: Vec::new(),
            held: Vec::new(),
            unlisted: false,
            lists_none: None,
            empty: None,
            answer_open: Instant::default(),
            announce_open: Instant::default(),
            takeover_open: Instant::default(),
            brief: false,
            lower_told: Instant::default(),
            lower_untold: 0,
            failing: 0,
            farewell_open: false,
            parting: false,
            inherited: Instant::default(),
            preempt_delay_over: false,
            asked: 0,
            kept: BTreeSet::new(),
            kept_from: 0,
            risen: BTreeMap::new(),
            wants_routes: false,
            silence: Silence::default(),
            limits: Limits { rejected: vec![Limit::default(); Reject::ALL.len()], ..Limits::default() },
            stats: Stats::default(),
            cfg,
        };
        new.list(usize::MAX);
        new
    }
    // Sets the address lists from the configuration; an advert has room for `fits` addresses.
    fn list(&mut self, fits: usize) {
        let sorted = |mut all: Vec<IpAddr>| {
            all.sort_unstable();
            all.dedup();
            all
        };
        let again = self.cfg.more.repeated.iter().copied();
        self.listed = self.cfg.vips.iter().map(|v| v.addr).chain(again).take(fits).collect();
        self.held = sorted(self.vips().map(|v| v.addr).collect());
        self.unlisted = self.held.len() > sorted(self.listed.clone()).len();
    }
    /// The configuration in force, as the last reload left it.
    pub fn cfg(&self) -> &InstanceConfig {
        &self.cfg
    }
    /// The parts that contain a password.
    pub(crate) fn secrets(&mut self) -> (&mut InstanceConfig, Option<&mut Packets>) {
        (&mut self.cfg, self.packets.as_mut())
    }
    /// Whether its routes and rules are wanted: it is Master, and has requested all its addresses.
    pub fn wants_routes(&self) -> bool {
        self.wants_routes
    }
    /// The present state. Only `Instance::go` changes it.
    pub fn state(&self) -> State {
        self.state
    }
    /// When it entered that state.
    pub fn since(&self) -> Now {
        self.since
    }
    /// Base priority with tracking weights, 1..=254, or 255 for an owner.
    pub fn priority(&self) -> u8 {
        self.priority
    }
    /// The present Master as far as known; `None` while it is this router or there is none.
    pub fn master(&self) -> Option<IpAddr> {
        self.master
    }
    /// The source of adverts.
    pub fn source(&self) -> Option<IpAddr> {
        self.source
    }
    /// Why it is in FAULT.
    pub fn faults(&self) -> &BTreeSet<Fault> {
        &self.faults
    }
    /// The reasons of its state, for a status line: the faults, or the changes of its priority; empty: none.
    pub fn reasons(&self) -> String {
        if self.state == State::Fault {
            return self.why_fault();
        }
        if self.priority == self.cfg.priority { String::new() } else { self.weighed.clone() }
    }
    /// Counters of adverts and of changes of state.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }
    /// Adverts armed in the kernel.
    pub fn armed(&self) -> usize {
        self.armed.len()
    }
    /// Master_Down_Interval with the present values.
    pub fn master_down_interval(&self) -> Duration {
        timing::master_down(self.cfg.version, self.priority, self.master_interval, self.cfg.down_timer_adverts)
    }
    /// How long an absence of adverts is not trusted after a start or a fault. A switch port or a bond that forwards only some seconds
    /// after link-up would make a `nopreempt` router preempt all the same (traps 31, 33); so it listens at least this long, one interval
    /// and its Skew_Time. Once it has received an advert, only Master_Down_Interval applies.
    pub fn first_wait(&self) -> Duration {
        let down = self.master_down_interval();
        if self.cfg.preempt || self.owner() {
            return down;
        }
        // Skew_Time decides between two routers that start together, as it does without `nopreempt`: the higher priority is first.
        let skew = timing::skew(self.cfg.version, self.priority, self.master_interval);
        down.max(LISTEN + self.cfg.advert_int + skew)
    }
    fn owner(&self) -> bool {
        self.cfg.priority == 255
    }
    fn is_master(&self) -> bool {
        self.state == State::Master
    }

    // ---- inputs ----

    /// Handles an advert that passed every check. In the initial state and in FAULT it is ignored.
    pub fn on_advert(&mut self, heard: &Heard, cx: &mut Cx<'_>) {
        let says = self.says(heard);
        self.meet(heard.src, Some(says), None, cx);
        if matches!(self.state, State::Init | State::Fault) {
            return;
        }
        self.stats.advert_rcvd += 1;
        self.known = Some(heard.src);
        if heard.no_vips {
            self.lists_none = Some(heard.src);
        } else if self.empty.is_some_and(|(src, _)| src == heard.src) {
            self.empty = None;
        }
        let name = self.cfg.name.clone();
        if heard.other_interval {
            let ours = self.cfg.advert_int;
            say(&mut self.limits.interval, 1, cx, || text::other_interval(&name, heard.src, ours, heard.interval));
        }
        if heard.other_vips {
            self.stats.other_vips += 1;
            say(&mut self.limits.vips, 1, cx, || text::other_vips(&name, heard.src));
        }
        if heard.old_checksum {
            say(&mut self.limits.old_checksum, 1, cx, || text::old_checksum(&name, heard.src));
        }
        if heard.clocks_apart {
            say(&mut self.limits.clocks, 1, cx, || text::clocks_apart(&name, heard.src));
        }
        if heard.priority == 255 && self.owner() {
            say(&mut self.limits.owners, 1, cx, || text::two_owners(&name, heard.src));
        }
        if heard.priority == 0 {
            self.stats.pri_zero_rcvd += 1;
            say(&mut self.limits.zero, 1, cx, || text::got_zero(&name, self.state, heard.src));
        }
        let input = self.input_of(heard);
        let cause = match (self.state, input) {
            (State::Master, Input::RxHigher) => {
                let ours = self.priority;
                say(&mut self.limits.yielding, Limit::FEW, cx, || text::higher(&name, heard.src, heard.priority, ours));
                Cause::Text(format!("{} has priority {} > {}", heard.src, heard.priority, self.priority))
            }
            (State::Master, Input::RxEqualGreater) => {
                say(&mut self.limits.yielding, Limit::FEW, cx, || {
                    text::equal_greater(&name, heard.src, heard.priority)
                });
                Cause::Text(format!("{} has the same priority {} and a higher address", heard.src, heard.priority))
            }
            _ => Cause::None,
        };
        self.go(self.decide(input), cause, Some(heard), cx);
    }

    fn input_of(&self, heard: &Heard) -> Input {
        if heard.priority == 0 {
            return Input::RxZero;
        }
        // Addresses are compared as unsigned numbers in network order, 128 bits for IPv6, as Ord of Ipv4Addr and Ipv6Addr does.
        match (heard.priority.cmp(&self.priority), self.source.map(|own| heard.src.cmp(&own))) {
            (core::cmp::Ordering::Less, _) => Input::RxLower,
            (core::cmp::Ordering::Greater, _) => Input::RxHigher,
            (_, Some(core::cmp::Ordering::Greater) | None) => Input::RxEqualGreater,
            (_, Some(core::cmp::Ordering::Equal)) => Input::RxEqualSame,
            (_, Some(core::cmp::Ordering::Less)) => Input::RxEqualLess,
        }
    }

    /// Whether this router is Master and becomes Backup by this verified advert.
    pub fn yields_to(&self, heard: &Heard) -> bool {
        self.is_master() && fsm::step(State::Master, self.input_of(heard)).next == State::Backup
    }

    /// Master_Down_Timer expired: the router becomes Master, or asks its sync group.
    pub fn on_master_down(&mut self, cx: &mut Cx<'_>) {
        self.go(self.decide(Input::MasterDown), Cause::Silence, None, cx);
    }

    /// `preempt_delay` is over: from now on lower adverts no longer count.
    pub fn on_preempt_delay(&mut self) {
        self.preempt_delay_over = true;
    }

    /// The daemon stops: a Master sends its farewell.
    pub fn on_shutdown(&mut self, cx: &mut Cx<'_>) {
        let was = self.state;
        self.go(self.decide(Input::Shutdown), Cause::None, None, cx);
        self.forget_faults();
        self.give_up_own(cx);
        if was != State::Init {
            cx.fx.note(text::stopped(&self.cfg.name, was));
            self.tell(What::Stop, String::new(), cx);
        }
    }

    // ---- the state machine ----

    /// The step for `input`, before it is executed.
    pub fn decide(&self, input: Input) -> Step {
        match self.member {
            None => fsm::step(self.state, input),
            Some(_) => fsm::step_of_member(self.state, input),
        }
    }

    fn go(&mut self, step: Step, cause: Cause, heard: Option<&Heard>, cx: &mut Cx<'_>) {
        let old = self.state;
        if step.next != old {
            self.say_entered(cx);
        }
        if matches!(step.act, Act::Yield | Act::Farewell | Act::Resign) {
            // While the state is still Master: the priority-0 advert must be sent before the addresses are deleted.
            self.leave_master(step.act, heard, cx);
        }
        self.state = step.next;
        if step.act == Act::Claim {
            // The advert is sent before the log lines are formatted.
            self.claim(cx);
        }
        // A state that continues was reported by the previous process.
        if step.next != old && step.act != Act::GoOn {
            self.since = cx.now;
            self.forget_rivals(cx);
            let init = old == State::Init && step.next != State::Master;
            self.entered = Some(Entered { from: old, to: step.next, init, cause });
            if step.act != Act::Claim {
                self.say_entered(cx);
            }
        }
        match step.act {
            Act::Ignore | Act::Farewell | Act::Claim | Act::GoOn => {}
            Act::Listen => {
                self.enter_backup(cx);
                self.master_interval = self.cfg.advert_int;
                // An owner whose group has other members does not wait; its group may have to.
                let wait = if self.owner() { Duration::ZERO } else { self.first_wait() };
                cx.timers.set(Due::MasterDown(self.key), cx.now.mono + wait);
            }
            Act::Report => self.set_ready(true),
            Act::Wish => self.wish(cx),
            Act::Resign => {
                self.enter_backup(cx);
                self.arm_master_down(cx);
            }
            Act::Hurry => {
                let skew = timing::skew(self.cfg.version, self.priority, self.master_interval);
                cx.timers.set(Due::MasterDown(self.key), cx.now.mono + skew);
                self.silence.zero_from = heard.map(|h| h.src);
            }
            Act::Follow => self.heard_equal_or_higher(heard, cx),
            Act::PreemptOrFollow => self.heard_lower(heard, cx),
            Act::Answer => self.answer(heard, cx),
            Act::Reassert => self.answer_now(cx),
            Act::Complain => {
                if let Some(h) = heard {
                    say(&mut self.limits.same, 1, cx, || text::same_address(&self.cfg.name, h.src));
                }
            }
            Act::Yield => {
                self.enter_backup(cx);
                self.follow(heard, cx);
            }
            Act::Quit => self.quit(cx),
        }
        if old == State::Fault && matches!(step.next, State::Backup | State::Master) {
            self.announce_source(cx);
        }
    }

    // The line "Entering … STATE". A new Master logs it at `Due::Claim`, or before any other line.
    fn say_entered(&mut self, cx: &mut Cx<'_>) {
        let Some(Entered { from, to: state, init, cause }) = self.entered.take().filter(|e| e.to != State::Init) else {
            return;
        };
        let cause = match cause {
            Cause::None => String::new(),
            Cause::Text(text) => text,
            Cause::Silence => self.silence_cause(self.since.mono),
        };
        say(&mut self.limits.states, Limit::STATES, cx, || text::entering(&self.cfg.name, state, init, &cause));
        self.remember(Moved { at: self.since, from, to: state, cause: cause.clone() });
        self.tell(What::State(state), cause, cx);
    }

    // Log, hooks, pipes and mail report the same, in the same order.
    fn tell(&self, what: What, cause: String, cx: &mut Cx<'_>) {
        let (who, priority) = (Subject::Instance(self.cfg.name.clone()), self.priority);
        cx.changes.push(Change { who, what, priority, cause, at: cx.now });
    }

    fn enter_backup(&mut self, cx: &mut Cx<'_>) {
        self.preempt_delay_over = false;
        cx.timers.stop(Due::PreemptDelay(self.key));
        self.silence = Silence { since: Some(cx.now.mono), ..Silence::default() };
        (self.master, self.said_master) = (None, None);
    }

    fn arm_master_down(&mut self, cx: &mut Cx<'_>) {
        cx.timers.set(Due::MasterDown(self.key), cx.now.mono + self.master_down_interval());
    }

    // RFC 9568 §6.4.2 (435)-(455): learn, recompute, restart.
    fn follow(&mut self, heard: Option<&Heard>, cx: &mut Cx<'_>) {
        if let Some(h) = heard {
            self.follows();
            if self.cfg.version == Version::V3 && self.master_interval != h.interval {
                self.master_interval = h.interval;
                if h.interval > self.cfg.advert_int * SLOW {
                    let down = self.master_down_interval();
                    say(&mut self.limits.slow, 1, cx, || text::slow_takeover(&self.cfg.name, h.src, down));
                }
            }
            let new = self.master.replace(h.src) != Some(h.src);
            // A line that was suppressed is logged at a later advert: the last line names the present Master.
            if self.said_master != Some(h.src)
                && let Some(held_back) = self.limits.master.pass_some(cx.now.mono, Limit::FEW)
            {
                let old = self.said_master.replace(h.src);
                cx.fx.note(text::after(text::master_is(&self.cfg.name, old, h.src, h.priority), held_back));
            }
            if new && h.priority == self.priority {
                //
                say(&mut self.limits.equal, 1, cx, || text::same_priority(&self.cfg.name, h.src, h.priority));
            }
            self.silence = Silence { since: Some(cx.now.mono), ..Silence::default() };
        }
        self.arm_master_down(cx);
    }

    fn heard_equal_or_higher(&mut self, heard: Option<&Heard>, cx: &mut Cx<'_>) {
        if cx.timers.stop(Due::PreemptDelay(self.key)) {
            say(&mut self.limits.delay_stopped, Limit::FEW, cx, || text::preempt_delay_stopped(&self.cfg.name));
        }
        self.preempt_delay_over = false;
        self.follow(heard, cx);
    }

    fn heard_lower(&mut self, heard: Option<&Heard>, cx: &mut Cx<'_>) {
        let Some(h) = heard else { return };
        // the owner preempts whatever Preempt_Mode is. A member that joins a group that is Master does not preempt: the group is
        // already Master for other routers.
        let at_once = self.owner() || self.joins();
        let preempt = self.cfg.preempt || at_once;
        let delaying = !self.cfg.preempt_delay.is_zero() && !self.preempt_delay_over && !at_once;
        if preempt && delaying && cx.timers.get(Due::PreemptDelay(self.key)).is_none() {
            // the delay counts from the first advert of lower priority; without adverts there is no delay.
            cx.timers.set(Due::PreemptDelay(self.key), cx.now.mono + self.cfg.preempt_delay);
            let delay = self.cfg.preempt_delay;
            say(&mut self.limits.delay, Limit::FEW, cx, || text::preempt_delay(&self.cfg.name, delay));
        }
        if !preempt || delaying {
            self.follow(heard, cx);
        } else {
            // the timer keeps running and nothing is learned.
            self.silence.preempting = Some((h.src, h.priority));
            self.silence.since = Some(cx.now.mono);
            say(&mut self.limits.discarding, 1, cx, || text::discarding_lower(&self.cfg.name, h.src, h.priority));
        }
    }

    /// Panics when an invariant is violated.
    pub fn check_invariants(&self, timers: &Timers, addrs: &Addresses) {
        let name = &self.cfg.name;
        let down = timers.get(Due::MasterDown(self.key)).is_some();
        assert_eq!(down, self.state == State::Backup, "({name}) Master_Down_Timer runs in Backup and only there");
        let claiming = timers.get(Due::Claim(self.key)).is_some();
        assert_eq!(
            self.phase.is_some() || claiming,
            self.is_master(),
            "({name}) a Master has a phase, and only a Master"
        );
        let reason = !self.faults.is_empty() || self.is_held();
        assert_eq!(reason, self.state == State::Fault, "({name}) FAULT has a reason: {:?}", self.faults);
        assert!(self.armed.len() <= timing::depth(self.cfg.advert_int), "({name}) armed too many");
        assert!(self.senders.all().len() <= super::senders::MOST, "({name}) keeps too many senders");
        let rival = timers.get(Due::DualMaster(self.key)).is_some();
        assert_eq!(
            rival,
            self.senders.dual().is_some(),
            "({name}) a second Master is looked for again, if there is one"
        );
        assert!(
            !rival || matches!(self.state, State::Master | State::Backup),
            "({name}) a second Master is seen by a Master or a Backup"
        );
        if self.is_master() {
            assert!(
                claiming || !self.armed.is_empty() || self.packets.is_none(),
                "({name}) a Master has an advert armed"
            );
        } else {
            assert!(self.armed.is_empty(), "({name}) only a Master arms adverts");
            let elsewhere = addrs.of(self.key).filter(|id| !self.kept.contains(&id.0) || !stays(id.1)).count();
            assert_eq!(
                elsewhere, 0,
                "({name}) only a Master wants addresses, but for those that stay on its own interfaces"
            );
        }
    }
}
